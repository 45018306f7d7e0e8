//! IPv4 and IPv6 with their options and extension headers.

use packet::wire::*;

use super::{AllOk, agree, option_areas, option_list, place, strings};

#[test]
fn ipv4_lengths() {
    let totals: Vec<u16> = (0..=84).chain([255, 256, 1500, 0x7fff, 0x8000, 0xff00, 0xffff]).collect();
    for first in 0..=255u8 {
        for total in &totals {
            let mut buffer = [0x01; 84]; // options of padding
            buffer[0] = first;
            buffer[2..4].copy_from_slice(&total.to_be_bytes());
            let (header, total) = (usize::from(first & 15) * 4, usize::from(*total));
            let quotable = |length| first >> 4 == 4 && header >= 20 && header <= length && header <= total;
            for length in 0..=84 {
                let bytes = &buffer[..length];
                let case = || format!("{first:#x}, total {total}, {length} bytes");
                let whole = quotable(length) && total <= length;
                if let Some(view) = agree(ipv4::View::new_checked(bytes), whole, case) {
                    assert_eq!(place(bytes, view.payload()), header..total);
                    assert_eq!(place(bytes, view.packet()), 0..total);
                    assert_eq!(view.options().count(), header - 20);
                }
                if let Some(view) = agree(ipv4::View::new_quoted(bytes), quotable(length), case) {
                    assert_eq!(place(bytes, view.payload()), header..total.min(length));
                }
            }
        }
    }
}

#[test]
fn ipv4_options() {
    option_areas(|area| {
        let (expected, well) = option_list(area);
        let found: Vec<_> = ipv4::Options::new(area).collect();
        assert_eq!(found.len(), expected.len() + usize::from(!well), "{area:?}");
        assert!(
            found.iter().enumerate().all(|(at, option)| option.is_ok() == (at < expected.len())),
            "{area:?}"
        );
        for (option, (kind, body)) in found.iter().flatten().zip(expected) {
            let right = match option {
                ipv4::HeaderOption::End => kind == 0,
                ipv4::HeaderOption::Nop => kind == 1,
                ipv4::HeaderOption::RouterAlert(value) => kind == 148 && value.to_be_bytes() == body,
                ipv4::HeaderOption::SourceRoute { strict, pointer, route } => {
                    kind == if *strict { 137 } else { 131 } && [&[*pointer], *route].concat() == body
                }
                ipv4::HeaderOption::RecordRoute { pointer, route } => {
                    kind == 7 && [&[*pointer], *route].concat() == body
                }
                ipv4::HeaderOption::Timestamp(data) => kind == 68 && *data == body,
                ipv4::HeaderOption::Unknown { kind: other, data } => (*other, *data) == (kind, body),
            };
            assert!(right, "{area:?}: {option:?}");
        }
    });
}

/// What `upper` must find: protocol, offset, later or first fragment; `None` where a header is cut.
fn upper(mut next: u8, payload: &[u8]) -> Option<(u8, usize)> {
    let mut at = 0;
    for seen in 0.. {
        if ![0, 43, 44, 51, 60].contains(&next) {
            return Some((next, 40 + at));
        }
        let header = &payload[at..];
        let length = match next {
            44 => 8,
            51 => (usize::from(*header.get(1)?) + 2) * 4,
            _ => (usize::from(*header.get(1)?) + 1) * 8,
        };
        if header.len() < length.max(8) || next == 51 && length < 12 || seen == ipv6::EXTENSIONS_MAX {
            return None;
        }
        let later = next == 44 && u16::from_be_bytes([header[2], header[3]]) >> 3 != 0;
        next = header[0];
        at += length;
        if later {
            return Some((next, 40 + at));
        }
    }
    None
}

#[test]
fn ipv6_lengths() {
    let mut buffer = [0; 90];
    for first in 0..=255u8 {
        buffer[0] = first;
        for payload_len in (0..=48u16).chain([255, 256, 0x8000, 0xffff]) {
            buffer[4..6].copy_from_slice(&payload_len.to_be_bytes());
            let total = 40 + usize::from(payload_len);
            for length in 0..=90 {
                let (bytes, case) =
                    (&buffer[..length], || format!("{first:#x}, {payload_len}, {length} bytes"));
                let header = length >= 40 && first >> 4 == 6;
                if let Some(view) = agree(ipv6::View::new_checked(bytes), header && total <= length, case) {
                    assert_eq!(place(bytes, view.payload()), 40..total);
                }
                if let Some(view) = agree(ipv6::View::new_quoted(bytes), header, case) {
                    assert_eq!(place(bytes, view.payload()), 40..total.min(length));
                }
            }
        }
    }
}

#[test]
fn ipv6_extension_headers() {
    const NEXT: [u8; 8] = [0, 43, 44, 51, 60, 59, 17, 50];
    const LENGTHS: [u8; 6] = [0, 1, 2, 3, 4, 255];
    let mut buffer = [0; 80];
    buffer[0] = 0x60;
    for payload_len in 0..=40u8 {
        buffer[5] = payload_len;
        for [first, second, third] in
            NEXT.iter().flat_map(|a| NEXT.map(|b| NEXT.map(|c| [*a, b, c]))).flatten()
        {
            for (one, two) in LENGTHS.iter().flat_map(|one| LENGTHS.map(|two| (*one, two))) {
                for fragment in [0, 1, 8, 0xf8] {
                    let payload = &mut buffer[40..];
                    payload.fill(0);
                    payload[..4].copy_from_slice(&[second, one, 0, fragment]);
                    let behind = match first {
                        44 => 8,
                        51 => (usize::from(one) + 2) * 4,
                        _ => (usize::from(one) + 1) * 8,
                    };
                    if let Some(header) = payload.get_mut(behind..behind + 4) {
                        header.copy_from_slice(&[third, two, 0, fragment]);
                    }
                    buffer[6] = first;
                    let bytes = &buffer[..40 + usize::from(payload_len)];
                    let view = ipv6::View::new_checked(bytes).unwrap();
                    let found = view.upper().ok().map(|upper| (upper.protocol.0, upper.offset));
                    assert_eq!(found, upper(first, &bytes[40..]), "{bytes:?}");
                }
            }
        }
        assert!(
            !ipv6::View::new_checked(&buffer[..40 + usize::from(payload_len)])
                .unwrap()
                .to_string()
                .is_empty()
        );
    }
}

#[test]
fn ipv6_number_of_extension_headers() {
    for count in 0..=2 * ipv6::EXTENSIONS_MAX {
        let mut bytes = vec![0; 40 + count * 8 + 8];
        bytes[0] = 0x60;
        bytes[5] = (count * 8 + 8) as u8;
        bytes[6] = if count > 0 { 60 } else { 17 };
        (0..count).for_each(|at| bytes[40 + at * 8] = if at + 1 < count { 60 } else { 17 });
        let view = ipv6::View::new_checked(&bytes[..]).unwrap();
        assert_eq!(view.upper().is_ok(), count <= ipv6::EXTENSIONS_MAX);
        assert!(view.extensions().count() <= ipv6::EXTENSIONS_MAX + 1);
        assert!(!view.to_string().is_empty());
    }
}

#[test]
fn ipv6_options() {
    fn count(mut area: &[u8]) -> (usize, bool) {
        let mut options = 0;
        loop {
            match area {
                [] => return (options, true),
                [0, rest @ ..] => area = rest,
                [_, length, rest @ ..] if usize::from(*length) <= rest.len() => {
                    area = &rest[usize::from(*length)..];
                }
                _ => return (options, false),
            }
            options += 1;
        }
    }
    let check = |area: &[u8]| {
        let mut bytes = [0; 48];
        bytes[..7].copy_from_slice(&[0x60, 0, 0, 0, 0, 8, 60]);
        bytes[40..].copy_from_slice(&[&[59, 0], area].concat());
        let view = ipv6::View::new_checked(&bytes[..]).unwrap();
        let Some(Ok(ipv6::Extension::Destination(options))) = view.extensions().next() else {
            panic!("{view}")
        };
        let (whole, well) = count(area);
        assert_eq!((options.flatten().count(), options.all_ok()), (whole, well), "{area:?}");
    };
    for kind in 0..=255 {
        for length in 0..=255 {
            strings(&[0, 1, 2, 5], 2, |rest| check(&[kind, length, rest[0], rest[1], 0, 1]));
        }
    }
    strings(&[0, 1, 2, 3, 4, 5, 0xc2], 6, check);
}
