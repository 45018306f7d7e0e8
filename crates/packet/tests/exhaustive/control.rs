//! What stations, routers and bridges tell each other: DHCP's options, LLDP's TLVs, EAP, IGMP, RIP, LLC, the spanning tree.

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

#[test]
fn eapol_and_eap_lengths() {
    for (have, claimed) in (0..=12usize).flat_map(|have| (0..=12usize).map(move |claimed| (have, claimed))) {
        let mut frame = vec![1, 0, 0, claimed as u8];
        frame.resize(4 + have, 7);
        let case = || format!("{have} {claimed}");
        agree(eapol::View::new_checked(&frame[..]), claimed <= have, case);
        for code in 0..=5 {
            let mut packet = vec![code, 9, 0, claimed as u8];
            packet.resize(4 + have, 1);
            let least = if matches!(code, 1 | 2) { 5 } else { 4 };
            let accepts = (1..=4).contains(&code) && claimed >= least && claimed <= packet.len();
            agree(eapol::Eap::parse(&packet), accepts, case);
        }
    }
    for length in 0..4 {
        assert!(eapol::View::new_checked(&[0; 4][..length]).is_err());
        assert!(eapol::Eap::parse(&[1, 1, 0, 4][..length]).is_err());
    }
}

#[test]
fn igmp_sources_and_records() {
    for (kind, length, count) in [0x11, 0x12, 0x16, 0x17, 0x22, 0].into_iter().flat_map(|kind| {
        (0..=32usize).flat_map(move |length| (0..=6u8).map(move |count| (kind, length, count)))
    }) {
        let mut message = vec![0; length];
        message.iter_mut().take(1).for_each(|first| *first = kind);
        if let Some(records) = message.get_mut(7) {
            *records = count;
        }
        if let Some(sources) = message.get_mut(11) {
            *sources = count;
        }
        let query = kind == 0x11 && length > 8;
        let accepts = length >= 8 && (!query || length >= 12 + 4 * usize::from(count));
        let case = || format!("{kind:#x} {length} {count}");
        let Some(view) = agree(igmp::View::new_checked(&message[..]), accepts, case) else { continue };
        // Records of the count's sources each, from byte 8 on.
        let mut at = 8;
        let mut whole = 0;
        while kind == 0x22 && whole < count && at + 8 <= length {
            let end = at
                + 8
                + 4 * (usize::from(message[at + 2]) << 8 | usize::from(message[at + 3]))
                + 4 * usize::from(message[at + 1]);
            if end > length {
                break;
            }
            (at, whole) = (end, whole + 1);
        }
        assert_eq!(view.records().flatten().count(), usize::from(whole), "{}", case());
    }
}

#[test]
fn rip_entries_and_masks() {
    for length in 0..=4 + 20 * (rip::ENTRIES_MAX + 2) {
        let mut message = vec![2; 2];
        message.resize(length.max(2), 0);
        message.truncate(length);
        let accepts = length >= 4 && (length - 4) % 20 == 0 && (length - 4) / 20 <= rip::ENTRIES_MAX;
        agree(rip::View::new_checked(&message[..]), accepts, || length.to_string());
    }
    for mask in (0..=32u32)
        .flat_map(|ones| [1u32, 2, 0].map(|wrong| u32::MAX.checked_shl(32 - ones).unwrap_or(0) ^ wrong))
    {
        let mut message = [0; 24];
        message[..2].copy_from_slice(&[2, 2]);
        message[12..16].copy_from_slice(&mask.to_be_bytes());
        let prefix = (0..=32).find(|ones| u32::MAX.checked_shl(32 - ones).unwrap_or(0) == mask);
        let view = rip::View::new_checked(&message[..]).unwrap();
        let read = view.entries().next().unwrap().ok().map(|entry| u32::from(entry.prefix_len));
        assert_eq!(read, prefix, "{mask:#x}");
    }
}

#[test]
fn llc_and_bpdu_lengths() {
    for (destination, control, length) in [0x42, 0xaa].into_iter().flat_map(|destination| {
        (0..=255u8).flat_map(move |control| (0..=9usize).map(move |length| (destination, control, length)))
    }) {
        let frame = [destination, destination, control, 0, 0, 0, 8, 0, 1];
        let header = match (destination, control) {
            (0xaa, 3) => 8,
            (_, control) if control & 3 == 3 => 3,
            _ => 4,
        };
        let case = || format!("{destination:#x} {control:#x} {length}");
        let accepts = length >= header;
        if let Some(view) = agree(llc::View::new_checked(&frame[..length]), accepts, case) {
            assert_eq!(view.payload().len(), length - header);
        }
    }
    for kind in 0..=255u8 {
        let mut message = [0; 40];
        message[3] = kind;
        let least = match kind {
            0 => 35,
            2 => 36,
            0x80 => 4,
            _ => usize::MAX,
        };
        for length in 0..=40 {
            agree(bpdu::View::new_checked(&message[..length]), length >= least, || {
                format!("{kind} {length}")
            });
        }
    }
}
