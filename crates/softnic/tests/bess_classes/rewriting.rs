//! Classes that change packets.

use packet::wire::{EtherType, gtpu, tcp};
use softnic::bess::pb;

use crate::bess_kit::bench::Bench;
use crate::bess_kit::frames::{datagram, framed, segment, tagged};
use crate::{ENDS, NO_ARG, of, other, pass};

#[test]
fn ip_swap_exchanges_the_ends() {
    for [one, two] in ENDS {
        let cases = [
            (0, datagram([one, two], b"x"), 0, datagram([two, one], b"x")),
            (0, segment([one, two], tcp::Flags::ACK, b"x"), 0, segment([two, one], tcp::Flags::ACK, b"x")),
            (0, other(), 0, other()),
        ];
        pass(&[of("IPSwap", &NO_ARG)], 1, &cases);
    }
}

#[test]
fn l4_checksum_fills_or_verifies() {
    for (ends, l4) in ENDS.into_iter().zip([34, 54]) {
        for (right, at) in
            [(datagram(ends, b"hello"), l4 + 6), (segment(ends, tcp::Flags::ACK, b"hello"), l4 + 16)]
        {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            let fill = pb::L4ChecksumArg::default();
            pass(&[of("L4Checksum", &fill)], 1, &[(0, wrong.clone(), 0, right.clone())]);
            let verify = pb::L4ChecksumArg { verify: true, ..fill };
            let cases = [(0, wrong.clone(), 1, wrong), (0, right.clone(), 0, right)];
            pass(&[of("L4Checksum", &verify)], 2, &cases);
        }
    }
}

#[test]
fn mpls_pop_takes_a_label_off() {
    let labelled = framed(EtherType::MPLS, &[&[0, 2, 1, 64][..], b"payload"].concat());
    let cases = [(0, labelled.clone(), 0, framed(EtherType::IPV4, b"payload")), (0, other(), 1, other())];
    let mut bench = pass(&[of("MPLSPop", &NO_ARG)], 2, &cases);
    let set = |next_eth_type, remove_eth_header| pb::MplsPopArg { next_eth_type, remove_eth_header };
    bench.ask::<_, pb::EmptyArg>("set", &set(0x86dd, false));
    assert_eq!(bench.through(0, &labelled, 0), framed(EtherType::IPV6, b"payload"));
    bench.ask::<_, pb::EmptyArg>("set", &set(0x86dd, true));
    assert_eq!(bench.through(0, &labelled, 0), b"payload");
    assert_eq!(bench.command("set", &set(0x1_0000, false)).error.unwrap().code, 22);
}

#[test]
fn random_update_writes_values_of_its_ranges() {
    let field = |offset, size, min, max| pb::random_update_arg::Field { offset, size, min, max };
    let arg = |fields: &[_]| pb::RandomUpdateArg { fields: fields.to_vec() };
    let frame = [0u8; 60];
    let mut bench = Bench::new("RandomUpdate", &arg(&[field(1, 1, 7, 7)]), 1);
    let written = bench.through(0, &frame, 0);
    assert_eq!((&written[..3], &written[3..]), (&[0, 7, 0][..], &frame[3..]));
    bench.ask::<_, pb::EmptyArg>("add", &arg(&[field(4, 2, 0x0110, 0x0112)]));
    let drawn = |bench: &Bench| {
        let out = bench.through(0, &frame, 0);
        assert_eq!((out[1], &out[6..]), (7, &frame[6..]));
        u16::from_be_bytes([out[4], out[5]])
    };
    let mut values: Vec<u16> = (0..100).map(|_| drawn(&bench)).collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values, [0x0110, 0x0111, 0x0112]);
    assert_eq!(bench.command("add", &arg(&[field(0, 3, 0, 1)])).error.unwrap().code, 22);
    bench.ask::<_, pb::EmptyArg>("clear", &NO_ARG);
    assert_eq!(bench.through(0, &frame, 0), frame);
}

#[test]
fn static_nat_exchanges_addresses_one_for_one() {
    use pb::static_nat_arg::{AddressRange, AddressRangePair};
    let range = |start: &str, end: &str| Some(AddressRange { start: start.to_owned(), end: end.to_owned() });
    let arg = pb::StaticNatArg {
        pairs: vec![
            AddressRangePair {
                int_range: range("10.0.0.0", "10.0.0.255"),
                ext_range: range("198.51.100.0", "198.51.100.255"),
            },
            AddressRangePair {
                int_range: range("fd00::", "fd00::f"),
                ext_range: range("2001:db8:1::", "2001:db8:1::f"),
            },
        ],
    };
    let mut cases = Vec::new();
    for ([inside, peer], outside) in ENDS.into_iter().zip(["198.51.100.1:1000", "[2001:db8:1::1]:1000"]) {
        cases.push((0, datagram([inside, peer], b"out"), 1, datagram([outside, peer], b"out")));
        cases.push((1, datagram([peer, outside], b"in"), 0, datagram([peer, inside], b"in")));
    }
    cases.push((0, other(), 1, other()));
    let mut bench = pass(&[of("StaticNAT", &arg)], 2, &cases);
    assert_eq!(bench.ask::<_, pb::StaticNatArg>("get_initial_arg", &NO_ARG), arg);
    bench.ask::<_, pb::EmptyArg>("get_runtime_config", &NO_ARG);
    bench.ask::<_, pb::EmptyArg>("set_runtime_config", &NO_ARG);
    let (_, frame, gate, out) = cases.swap_remove(0);
    assert_eq!(bench.through(0, &frame, gate), out, "as before");
    let wrong = AddressRangePair {
        int_range: range("10.0.0.1", "10.0.0.9"),
        ext_range: range("192.0.2.1", "192.0.2.1"),
    };
    let request = pb::CreateModuleRequest {
        mclass: "StaticNAT".to_owned(),
        arg: Some(crate::packed(&pb::StaticNatArg { pairs: vec![wrong] })),
        ..Default::default()
    };
    assert_eq!(bench.daemon.tell("CreateModule", &request).0, 22);
}

#[test]
fn gtpu_echo_answers_requests() {
    let message = |message, ends, elements: &[u8]| {
        let repr = gtpu::Repr {
            message,
            teid: 0,
            sequence: Some(7),
            pdu_session: None,
            payload_len: elements.len(),
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut gtpu::View::new_unchecked(&mut bytes[..]));
        datagram(ends, &[&bytes, elements].concat())
    };
    for [asker, asked] in [["10.0.0.1:2000", "10.0.0.2:2152"], ["[fd00::1]:2000", "[fd00::2]:2152"]] {
        let request = message(gtpu::Message::ECHO_REQUEST, [asker, asked], b"");
        // A recovery element, with restart counter 0.
        let answer = message(gtpu::Message::ECHO_RESPONSE, [asked, asker], &[14, 0]);
        let cases =
            [(0, request, 1, answer.clone()), (0, answer.clone(), 0, answer), (0, other(), 0, other())];
        pass(&[of("GtpuEcho", &pb::GtpuEchoArg { s1u_sgw_ip: 0x0a00_0002 })], 2, &cases);
    }
}

#[test]
fn vlan_push_takes_another_tag() {
    let mut bench = Bench::new("VLANPush", &pb::VlanPushArg { tci: 3 }, 1);
    for ends in ENDS {
        let frame = datagram(ends, b"x");
        bench.ask::<_, pb::EmptyArg>("set_tci", &pb::VlanPushArg { tci: 0x6005 });
        assert_eq!(bench.through(0, &frame, 0), tagged(&frame, EtherType::VLAN, 0x6005));
        bench.ask::<_, pb::EmptyArg>("set_tci", &pb::VlanPushArg { tci: 4 });
        assert_eq!(bench.through(0, &frame, 0), tagged(&frame, EtherType::VLAN, 4));
    }
}
