//! Ethernet, ARP, tags, labels, tunnels, and the ICMP headers.

use packet::wire::*;

use super::{AllOk, agree, place, strings};

#[test]
fn ethernet_and_vxlan_and_icmp_need_their_header() {
    let buffer = [0xa5; 24];
    for length in 0..=24 {
        let bytes = &buffer[..length];
        if let Some(view) = agree(ethernet::View::new_checked(bytes), length >= 14, || length.to_string()) {
            assert_eq!(place(bytes, view.payload()), 14..length);
        }
        for byte in 0..=255 {
            let mut bytes = bytes.to_vec();
            bytes.iter_mut().take(1).for_each(|first| *first = byte);
            let case = || format!("{byte:#x}, {length} bytes");
            let flag = length >= 8 && byte & 8 != 0;
            if let Some(view) = agree(vxlan::View::new_checked(&bytes[..]), flag, case) {
                assert_eq!(place(&bytes, view.payload()), 8..length);
            }
            if let Some(view) = agree(icmpv4::View::new_checked(&bytes[..]), length >= 8, case) {
                assert_eq!(place(&bytes, view.payload()), 8..length);
                assert!(view.quoted().is_err(), "nothing there is an IPv4 header");
                let _ = (icmpv4::Repr::parse(&view).is_ok(), view.rest(), view.verify_checksum());
            }
            // Errors, echoes and neighbour discovery have four bytes more than other messages.
            let long = byte < 128 || matches!(byte, 128 | 129 | 133..=137);
            let need = if long { 8 } else { 4 };
            if let Some(view) = agree(icmpv6::View::new_checked(&bytes[..]), length >= need, case) {
                assert_eq!(place(&bytes, view.body()), 4..length);
                assert_eq!(place(&bytes, view.payload()), 8.min(length)..length);
                let _ = (view.ident(), view.sequence(), view.rest(), view.quoted().is_ok());
            }
        }
    }
}

#[test]
fn gre_flags() {
    let buffer = [0x5a; 20];
    for flags in 0..=0xffffu16 {
        let fields = usize::from(flags >> 15) + usize::from(flags >> 13 & 1) + usize::from(flags >> 12 & 1);
        let header = 4 + 4 * fields;
        let understood = flags & 0x4007 == 0;
        for length in [0, 3, 4, 7, 8, 11, 12, 15, 16, 20] {
            let mut bytes = buffer[..length].to_vec();
            bytes.iter_mut().zip(flags.to_be_bytes()).for_each(|(byte, flags)| *byte = flags);
            let case = || format!("{flags:#x}, {length} bytes");
            let accepts = length >= 4 && understood && header <= length;
            if let Some(view) = agree(gre::View::new_checked(&bytes[..]), accepts, case) {
                assert_eq!(place(&bytes, view.payload()), header..length);
                let fields = [view.checksum().is_some(), view.key().is_some(), view.sequence().is_some()];
                assert_eq!(fields, [15, 13, 12].map(|bit| flags >> bit & 1 == 1), "{flags:#x}");
            }
        }
    }
}

#[test]
fn geneve_options() {
    fn count(mut area: &[u8]) -> (usize, bool) {
        let mut options = 0;
        while !area.is_empty() {
            let Some(option) = area.get(3).map(|byte| 4 + usize::from(byte & 31) * 4) else {
                return (options, false);
            };
            let Some(rest) = area.get(option..) else { return (options, false) };
            (area, options) = (rest, options + 1);
        }
        (options, true)
    }
    let mut buffer = [0; 264];
    for first in 0..=255u8 {
        buffer[0] = first;
        let header = 8 + usize::from(first & 63) * 4;
        for length in 0..=264 {
            let (bytes, case) = (&buffer[..length], || format!("{first:#x}, {length} bytes"));
            let accepts = length >= 8 && first < 64 && header <= length;
            if let Some(view) = agree(geneve::View::new_checked(bytes), accepts, case) {
                assert_eq!(place(bytes, view.payload()), header..length);
                assert_eq!(view.options().count(), usize::from(first));
            }
        }
    }
    for words in 0..=10usize {
        for (one, two) in (0..=255).flat_map(|one| (0..=31).map(move |two| (one, two))) {
            let mut bytes = vec![0; 8 + words * 4];
            bytes[0] = words as u8;
            bytes.iter_mut().skip(8 + 3).step_by(4).for_each(|byte| *byte = two);
            bytes.iter_mut().skip(8 + 3).take(1).for_each(|byte| *byte = one);
            let view = geneve::View::new_checked(&bytes[..]).unwrap();
            let expected = count(&bytes[8..]);
            assert_eq!((view.options().flatten().count(), view.options().all_ok()), expected, "{bytes:?}");
            assert!(!view.to_string().is_empty());
        }
    }
}

#[test]
fn vlan_tags_and_stacks() {
    for control in 0..=0xffffu16 {
        let [high, low] = control.to_be_bytes();
        let view = vlan::View::new_checked([high, low, 8, 0]).unwrap();
        let bits = (u16::from(view.priority()) << 13) | (u16::from(view.drop_eligible()) << 12) | view.id();
        assert_eq!(bits, control);
    }
    let kinds = [0x8100u16, 0x88a8, 0x9100, 0x0800];
    let choices: Vec<u8> = (0..4).collect();
    strings(&choices, 6, |stack| {
        let bytes: Vec<u8> = stack
            .iter()
            .flat_map(|kind| [[0, 7], kinds[usize::from(*kind)].to_be_bytes()])
            .flatten()
            .collect();
        let tags = 1 + stack.iter().take_while(|kind| **kind < 3).count();
        for length in 0..=bytes.len() {
            let mut walk = vlan::Tags::new(EtherType::VLAN, &bytes[..length]);
            let read = walk.by_ref().flatten().count();
            assert_eq!(read, tags.min(length / 4).min(vlan::TAGS_MAX), "{bytes:?}, {length}");
            assert_eq!(walk.offset(), read * 4);
            let well = vlan::Tags::new(EtherType::VLAN, &bytes[..length]).all_ok();
            assert_eq!(well, tags <= (length / 4).min(vlan::TAGS_MAX), "{bytes:?}, {length}");
        }
    });
}

#[test]
fn mpls_stacks() {
    for bottom in 0..=mpls::LABELS_MAX + 2 {
        let mut bytes = [0x40; 80]; // the bottom bit is clear in 0x40
        bytes[bottom * 4 + 2] |= 1;
        for length in 0..=80 {
            let mut walk = mpls::Labels::new(&bytes[..length]);
            let read = walk.by_ref().flatten().count();
            assert_eq!(read, (bottom + 1).min(length / 4).min(mpls::LABELS_MAX), "{bottom}, {length}");
            assert_eq!(walk.offset(), read * 4);
            let well = mpls::Labels::new(&bytes[..length]).all_ok();
            assert_eq!(well, bottom < (length / 4).min(mpls::LABELS_MAX), "{bottom}, {length}");
            let behind = bytes[..length].get(read * 4).map(|byte| byte >> 4);
            assert_eq!(walk.guess().is_some(), matches!(behind, Some(4 | 6)));
        }
    }
}

#[test]
fn arp_fixed_fields() {
    let right = [0, 1, 8, 0, 6, 4];
    for (at, byte) in (0..6).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
        let mut buffer = [0; 46];
        buffer[..6].copy_from_slice(&right);
        buffer[at] = byte;
        for length in 0..=46 {
            let accepts = length >= 28 && byte == right[at];
            agree(arp::View::new_checked(&buffer[..length]), accepts, || {
                format!("{byte} at {at}, {length} bytes")
            });
        }
    }
}
