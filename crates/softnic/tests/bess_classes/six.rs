//! Fields and attributes of 16 bytes, as addresses of IPv6 are.

use softnic::bess::pb;

use crate::bess_kit::bench::Bench;
use crate::bess_kit::frames::datagram;
use crate::{bytes, field, metadata, of, pass};

/// Frames of hosts that differ in one byte of their address.
fn hosts(at: usize) -> Vec<Vec<u8>> {
    let host = |number: u8| {
        let mut frame = datagram(["[fd00::1]:1000", "[2001:db8::7]:53"], b"x");
        frame[22 + at] = number;
        frame
    };
    (0..64).map(host).collect()
}

#[test]
fn hash_lb_looks_at_all_of_an_address() {
    let fields = vec![field(22, 16)];
    let arg = pb::HashLbArg { gates: vec![0, 1, 2, 3], fields, ..Default::default() };
    let bench = Bench::new("HashLB", &arg, 4);
    let gate = |frame: &[u8]| {
        bench.send(0, frame);
        let (gate, out) = bench.next();
        assert_eq!(out, frame);
        gate
    };
    for at in [0, 7, 8, 15] {
        let first: Vec<usize> = hosts(at).iter().map(|frame| gate(frame)).collect();
        assert!((0..4).all(|gate| first.contains(&gate)), "byte {at}: {first:?}");
        let again: Vec<usize> = hosts(at).iter().map(|frame| gate(frame)).collect();
        assert_eq!(first, again);
    }
}

#[test]
fn qos_tells_addresses_apart_by_any_byte() {
    let arg = pb::QosArg { fields: vec![field(22, 16)], values: vec![], entries: 128 };
    let mut bench = Bench::new("Qos", &arg, 7);
    bench.ask::<_, pb::EmptyArg>("set_default_gate", &pb::QosCommandSetDefaultGateArg { gate: 6 });
    for at in [0, 8, 15] {
        let frames = hosts(at);
        for (frame, gate) in frames[10..12].iter().zip([4, 5]) {
            let rule =
                pb::QosCommandAddArg { gate, fields: vec![bytes(&frame[22..38])], ..Default::default() };
            bench.ask::<_, pb::EmptyArg>("add", &rule);
        }
        for (frame, gate) in frames[9..].iter().zip([6, 4, 5, 6]) {
            assert_eq!(bench.through(0, frame, gate), *frame, "byte {at}");
        }
    }
}

#[test]
fn generic_encap_puts_an_address_in_front() {
    use pb::generic_encap_arg::EncapField;
    use pb::generic_encap_arg::encap_field::Insertion;
    let address: [u8; 16] = std::array::from_fn(|at| at as u8 + 1);
    let fields = vec![
        EncapField { size: 2, insertion: Some(Insertion::Value(bytes(&[0xbe, 0xef]))) },
        EncapField { size: 16, insertion: Some(Insertion::Attribute("address".to_owned())) },
    ];
    let encap = of("GenericEncap", &pb::GenericEncapArg { fields });
    let frame = datagram(["[fd00::1]:1000", "[2001:db8::7]:53"], b"x");
    let out = [&[0xbe, 0xef][..], &address, &frame].concat();
    pass(&[metadata(&[("address", &address)]), encap], 1, &[(0, frame, 0, out)]);
}
