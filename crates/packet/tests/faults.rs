//! Faults of NetBricks and Capsule that concern parsing: each stays out by a test that names it.

use packet::flow::FlowKey;
use packet::parse::Layers;
use packet::wire::*;

mod frames;

/// A UDP frame of 2 bytes payload, padded to Ethernet's 60.
fn padded() -> Vec<u8> {
    let packet = frames::ip4(IpProtocol::UDP, &frames::udp(false, (5000, 53), b"hi"));
    let mut frame = frames::ethernet(EtherType::IPV4, &packet);
    frame.resize(60, 0xee);
    frame
}

fn syn() -> Vec<u8> {
    frames::ethernet(EtherType::IPV4, &frames::ip4(IpProtocol::TCP, &frames::tcp(false, &frames::syn(), b"")))
}

#[test]
fn netbricks_ihl_that_lies_does_not_wrap_the_payload_size() {
    for ihl in 0..16u8 {
        let mut frame = syn();
        frame[14] = 0x40 | ihl;
        match Layers::of(&frame) {
            // Longer headers are possible where the bytes after them still make a segment.
            Ok(layers) => assert!(ihl >= 5 && layers.l4_payload(&frame).len() <= 40, "{ihl}: {layers:?}"),
            Err(wrong) => assert_ne!(ihl, 5, "{wrong}"),
        }
        if ihl < 5 {
            let value = usize::from(ihl) * 4;
            assert_eq!(Layers::of(&frame), Err(WireError::BadLength { what: "ipv4 header length", value }));
        }
    }
}

#[test]
fn netbricks_data_offset_that_lies_does_not_wrap_the_payload_size() {
    for offset in 0..16u8 {
        let mut frame = syn();
        frame[34 + 12] = offset << 4;
        let expected = match offset {
            0..5 => Err(WireError::BadLength { what: "tcp data offset", value: usize::from(offset) * 4 }),
            5..=10 => Ok(40 - usize::from(offset) * 4),
            _ => {
                Err(WireError::Truncated { what: "tcp data offset", need: usize::from(offset) * 4, have: 40 })
            }
        };
        assert_eq!(Layers::of(&frame).map(|layers| layers.l4_payload(&frame).len()), expected);
    }
}

#[test]
fn netbricks_total_length_that_lies_is_refused() {
    for total in [0u16, 1, 19, 20, 27, 61, 1500, 65_535] {
        let mut frame = padded();
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        assert!(Layers::of(&frame).is_err(), "{total}");
    }
}

#[test]
fn netbricks_flow_does_not_swap_source_and_destination_port() {
    let frame = padded();
    let key = FlowKey::of(&Layers::of(&frame).unwrap(), &frame).unwrap();
    assert_eq!((key.source_port(), key.destination_port()), (5000, 53));
    assert_eq!(key.to_string(), "udp 10.0.0.1:5000 -> 10.0.0.2:53");
}

#[test]
fn netbricks_ethernet_padding_is_not_payload() {
    let frame = padded();
    let layers = Layers::of(&frame).unwrap();
    assert_eq!(layers.l4_payload(&frame), b"hi");
    assert_eq!(layers.network_packet(&frame).len(), 30);
    // TCP has no length of its own, so here only the IP header tells.
    let mut frame = syn();
    frame.resize(100, 0xee);
    let layers = Layers::of(&frame).unwrap();
    assert_eq!(layers.segment(&frame).len(), 40);
    assert!(layers.l4_payload(&frame).is_empty());
}

#[test]
fn netbricks_ttl_edit_does_not_leave_the_checksum_stale() {
    let mut frame = padded();
    let mut ip = ipv4::View::new_checked(&mut frame[14..]).unwrap();
    assert!(ip.decrement_ttl());
    assert!(ip.verify_checksum());
}

#[test]
fn netbricks_nat_does_not_leave_the_l4_checksum_stale() {
    use packet::checksum;
    let mut frame = padded();
    let layers = Layers::of(&frame).unwrap();
    let (old, new): ([u8; 4], [u8; 4]) = ([10, 0, 0, 1], [192, 168, 77, 5]);
    ipv4::View::new_checked(&mut frame[14..]).unwrap().translate_source(new.into());
    let mut udp = udp::View::new_checked(layers.segment_mut(&mut frame)).unwrap();
    let check = checksum::update_udp(udp.checksum(), &old, &new);
    let check = checksum::update_udp(check, &5000u16.to_be_bytes(), &61_000u16.to_be_bytes());
    udp.set_source_port(61_000);
    udp.set_checksum(check);
    assert!(udp.verify_checksum([192, 168, 77, 5].into(), [10, 0, 0, 2].into()));
}

#[test]
fn netbricks_runt_frames_are_errors_at_every_length() {
    for (name, frame, _) in frames::all() {
        assert!(Layers::of(&frame).is_ok(), "{name}");
        for length in 0..frame.len() {
            let cut = &frame[..length];
            if let Ok(layers) = Layers::of(cut) {
                // Only what is not IP may be cut and still be read.
                assert!(layers.addresses(cut).is_none(), "{name} cut to {length}");
            }
        }
    }
}

#[test]
fn capsule_options_do_not_move_the_transport_header() {
    let options = [7, 7, 4, 10, 0, 0, 9, 0];
    let repr = ipv4::Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::TCP, 0);
    let segment = frames::tcp(false, &frames::syn(), b"data");
    let frame = frames::ethernet(EtherType::IPV4, &frames::ip4_with(repr, &options, &segment));
    let layers = Layers::of(&frame).unwrap();
    assert_eq!((layers.l4, layers.payload, layers.ip_options), (Some(42), Some(42 + 40), true));
    assert_eq!(layers.l4_payload(&frame), b"data");
    let key = FlowKey::of(&layers, &frame).unwrap();
    assert_eq!((key.source_port(), key.destination_port()), (40_000, 80));
}

#[test]
fn capsule_length_and_checksum_stop_at_the_packets_end_not_the_buffers() {
    let mut frame = syn();
    frame.resize(100, 0xee);
    let layers = Layers::of(&frame).unwrap();
    let segment = tcp::View::new_checked(layers.segment(&frame)).unwrap();
    assert!(segment.verify_checksum([10, 0, 0, 1].into(), [10, 0, 0, 2].into()));
}

#[test]
fn capsule_ttl_zero_does_not_underflow() {
    for ttl in [0, 1] {
        let mut frame = padded();
        let mut ip = ipv4::View::new_checked(&mut frame[14..]).unwrap();
        ip.set_ttl(ttl);
        assert!(!ip.decrement_ttl());
        assert_eq!(ip.ttl(), ttl);
    }
}
