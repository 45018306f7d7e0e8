//! What stations and bridges tell each other: DHCP's options, LLDP's TLVs.

use packet::wire::*;

use super::{agree, strings};

/// Kinds of DHCP options before the end, and whether all of them lie in their area.
fn dhcp_options(mut area: &[u8]) -> (Vec<u8>, bool) {
    let mut kinds = Vec::new();
    loop {
        match area {
            [] | [255, ..] => return (kinds, true),
            [0, rest @ ..] => area = rest,
            [kind, length, rest @ ..] if rest.len() >= usize::from(*length) => {
                kinds.push(*kind);
                area = &rest[usize::from(*length)..];
            }
            _ => return (kinds, false),
        }
    }
}

#[test]
fn dhcp_options_in_all_three_fields() {
    let mut header = vec![0; dhcpv4::HEADER_LEN];
    header[..3].copy_from_slice(&[1, 1, 6]);
    header[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    for length in 0..=dhcpv4::HEADER_LEN {
        let case = || format!("{length} bytes");
        agree(dhcpv4::View::new_checked(&header[..length]), length == dhcpv4::HEADER_LEN, case);
    }
    for length in 0..=6 {
        strings(&[0, 1, 2, 3, 52, 53, 255], length, |area| {
            let message = [&header[..], area].concat();
            let view = dhcpv4::View::new_checked(&message[..]).unwrap();
            let (kinds, whole) = dhcp_options(area);
            // Option 52 brings in fields of nothing but fillers here.
            let read: Vec<u8> = view.options().flatten().map(|(kind, _)| kind).collect();
            assert_eq!(read, kinds, "{area:?}");
            assert_eq!(view.options().all(|option| option.is_ok()), whole, "{area:?}");
            assert!(!view.to_string().is_empty());
        });
    }
}

/// The types of the TLVs before the end, where all of them lie in the frame.
fn lldp_types(mut data: &[u8]) -> Option<Vec<(u8, usize)>> {
    let mut types = Vec::new();
    loop {
        match data {
            [] | [0 | 1, _, ..] => return Some(types),
            [first, length, rest @ ..] => {
                let length = usize::from(*length) | usize::from(first & 1) << 8;
                types.push((first >> 1, length));
                data = rest.get(length..)?;
            }
            [_] => return None,
        }
    }
}

#[test]
fn lldp_order_and_lengths() {
    let check = |frame: &[u8]| {
        let types = lldp_types(frame);
        let accepts = types.as_ref().is_some_and(|types| {
            let ids = |of: &(u8, usize)| (2..=256).contains(&of.1);
            let fits = types.iter().all(|(kind, length)| match kind {
                7 => *length == 4,
                127 => *length >= 4,
                _ => true,
            });
            let [chassis, port, ttl, rest @ ..] = &types[..] else { return false };
            let order = (chassis.0, port.0, ttl.0) == (1, 2, 3) && ids(chassis) && ids(port) && ttl.1 >= 2;
            order && fits && rest.iter().all(|(kind, _)| *kind > 3)
        });
        agree(lldp::View::new_checked(frame), accepts, || format!("{frame:?}"));
    };
    let good = [2, 2, 7, b'a', 4, 2, 7, b'b', 6, 2, 0, 120];
    for length in 0..=good.len() {
        check(&good[..length]);
    }
    for at in 0..good.len() {
        for value in 0..=255 {
            let mut frame = good;
            frame[at] = value;
            check(&frame);
        }
    }
    for length in 0..=6 {
        strings(&[0, 1, 2, 4, 6, 14, 254, 255], length, |tail| check(&[&good[..], tail].concat()));
    }
    for length in 0..=511usize {
        let mut frame = good.to_vec();
        frame.resize(good.len() + 2, 0);
        frame[good.len()] = 10 | u8::from(length > 255);
        frame[good.len() + 1] = length as u8;
        for have in [0, length.saturating_sub(1), length] {
            frame.resize(good.len() + 2 + have, 9);
            check(&frame);
            frame.truncate(good.len() + 2);
        }
    }
}
