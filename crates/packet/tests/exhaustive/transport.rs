//! TCP, UDP, neighbour discovery.

use packet::wire::*;

use super::{agree, option_areas, option_list, place};

#[test]
fn tcp_lengths() {
    let mut buffer = [1; 84];
    for offset in 0..=255u8 {
        buffer[12] = offset;
        let header = usize::from(offset >> 4) * 4;
        for length in 0..=84 {
            let (bytes, case) = (&buffer[..length], || format!("{offset:#x}, {length} bytes"));
            let accepts = header >= 20 && header <= length;
            if let Some(view) = agree(tcp::View::new_checked(bytes), accepts, case) {
                assert_eq!(place(bytes, view.payload()), header..length);
                assert_eq!(view.options().count(), header - 20);
                assert!(view.sequence_len() as usize >= length - header);
            }
        }
    }
}

#[test]
fn tcp_options() {
    option_areas(|area| {
        let (expected, well) = option_list(area);
        let found: Vec<_> = tcp::Options::new(area).collect();
        assert_eq!(found.len(), expected.len() + usize::from(!well), "{area:?}");
        assert!(
            found.iter().enumerate().all(|(at, option)| option.is_ok() == (at < expected.len())),
            "{area:?}"
        );
        for (option, (kind, body)) in found.iter().flatten().zip(expected) {
            let right = match option {
                tcp::HeaderOption::End => kind == 0,
                tcp::HeaderOption::Nop => kind == 1,
                tcp::HeaderOption::MaximumSegment(size) => kind == 2 && size.to_be_bytes() == body,
                tcp::HeaderOption::WindowScale(shift) => kind == 3 && [*shift] == body,
                tcp::HeaderOption::SackPermitted => kind == 4 && body.is_empty(),
                tcp::HeaderOption::Sack(blocks) => {
                    let edges = blocks.as_slice().iter().flat_map(|(left, right)| [*left, *right]);
                    kind == 5 && edges.flat_map(u32::to_be_bytes).eq(body.iter().copied())
                }
                tcp::HeaderOption::Timestamps { value, echo } => {
                    kind == 8 && [value.to_be_bytes(), echo.to_be_bytes()].concat() == body
                }
                tcp::HeaderOption::Unknown { kind: other, data } => (*other, *data) == (kind, body),
            };
            assert!(right && !option.to_string().is_empty(), "{area:?}: {option:?}");
        }
    });
}

#[test]
fn udp_lengths() {
    let mut buffer = [0; 48];
    for field in (0..=48u16).chain([255, 256, 0x0800, 0x7fff, 0x8000, 0xffff]) {
        buffer[4..6].copy_from_slice(&field.to_be_bytes());
        let claimed = usize::from(field);
        for length in 0..=48 {
            let (bytes, case) = (&buffer[..length], || format!("length {field}, {length} bytes"));
            let accepts = (8..=length).contains(&claimed);
            if let Some(view) = agree(udp::View::new_checked(bytes), accepts, case) {
                assert_eq!(place(bytes, view.payload()), 8..claimed);
            }
            if let Some(view) = agree(udp::View::new_quoted(bytes), length >= 8, case) {
                assert!(place(bytes, view.payload()).end <= length);
            }
        }
    }
}

#[test]
fn neighbour_discovery_bodies_and_options() {
    for kind in 0..=255u8 {
        let fixed = match kind {
            133 => 4,
            134 => 12,
            135 | 136 => 20,
            137 => 36,
            _ => usize::MAX,
        };
        for length in 8..=84usize {
            for (option, units) in
                [0, 1, 2, 3, 5].into_iter().flat_map(|option| (0..=6).map(move |units| (option, units)))
            {
                let mut bytes = vec![0; length];
                bytes[0] = kind;
                let area = bytes[4..].get_mut(fixed..);
                let mut well = area.is_some();
                let mut rest = area.unwrap_or_default();
                while !rest.is_empty() {
                    let size = units * 8;
                    if size == 0 || rest.len() < size.max(8) {
                        rest.iter_mut().zip([option, units as u8]).for_each(|(byte, value)| *byte = value);
                        well = false;
                        break;
                    }
                    rest[..2].copy_from_slice(&[option, units as u8]);
                    rest = &mut rest[size..];
                }
                let view = icmpv6::View::new_checked(&bytes[..]).unwrap();
                let case = || format!("type {kind}, option {option} of {units}, {length} bytes");
                agree(ndp::Repr::parse(&view), well, case);
                assert!(!view.to_string().is_empty());
            }
        }
    }
}
