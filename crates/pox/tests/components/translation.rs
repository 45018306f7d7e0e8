//! Hosts behind one address: what leaves, what comes back, and what does not.

use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::Version;
use openflow::action::Action;
use openflow::field::Field;
use openflow::flow::FlowMod;
use openflow::instruction::Instruction;
use openflow::message::Body;
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use packet::wire::{MacAddr, arp, icmpv4, ipv4};
use pox::components::misc::nat::Nat;
use pox::compose::{self, Ends};

use crate::lab::{Lab, both, question};

const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const NEXT: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const INSIDE: MacAddr = MacAddr([0x02, 0x77, 0x65, 0x66, 0x74, 0x01]);
const OUTSIDE: MacAddr = MacAddr([2, 0, 0, 0, 1, 2]);
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const LINE: [&str; 5] =
    ["misc.nat", "--switch=1", "--outside-port=2", "--outside-ip=192.0.2.2/24", "--gateway=192.0.2.1"];

const fn host(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 0, n)
}

fn query(from: Ipv4Addr, port: u16) -> Vec<u8> {
    compose::udp(Ends { macs: (HOST, INSIDE), ips: (from, SERVER) }, (port, 53), b"hello")
}

fn next_hop(lab: &mut Lab) {
    let reply = arp::Repr {
        operation: arp::Operation::REPLY,
        sender_mac: NEXT,
        sender_ip: GATEWAY,
        target_mac: OUTSIDE,
        target_ip: OWN,
    };
    lab.send(2, &compose::arp_to(&reply, OUTSIDE));
}

fn flows(lab: &mut Lab) -> Vec<FlowMod> {
    let flow = |message: openflow::message::Message| match message.body {
        Body::FlowMod(flow) => Some(flow),
        _ => None,
    };
    lab.sent().into_iter().filter_map(flow).collect()
}

fn actions(flow: &FlowMod) -> &[Action] {
    match &flow.instructions[..] {
        [Instruction::ApplyActions(actions)] => actions,
        other => panic!("{other:?}"),
    }
}

fn set(field: Field, value: u128) -> Action {
    Action::SetField(Oxm::exact(field, value))
}

#[test]
fn a_connection_is_rewritten_both_ways() {
    both(|version| {
        let mut lab = Lab::new(version, &LINE);
        lab.sent();
        lab.send(1, &query(host(5), 4000));
        assert!(flows(&mut lab).is_empty(), "the next hop is not known yet");
        next_hop(&mut lab);
        let made = flows(&mut lab);
        let [back, there] = &made[..] else { panic!("{made:?}") };
        assert_eq!(
            actions(there)[2..],
            [set(Field::Ipv4Src, OWN.to_bits().into()), set(Field::UdpSrc, 4000), Action::output(PortNo(2))]
        );
        assert_eq!(
            actions(back)[1..],
            [
                set(Field::EthDst, 0x0200_0000_0001),
                set(Field::Ipv4Dst, host(5).to_bits().into()),
                set(Field::UdpDst, 4000),
                Action::output(PortNo(1))
            ]
        );
        lab.send(1, &query(host(6), 4000));
        let other = flows(&mut lab);
        assert_eq!(actions(&other[1])[3], set(Field::UdpSrc, 4001), "the port is another's");
        let nat: &Nat = lab.controller.core().get("misc.nat").unwrap();
        assert_eq!(nat.mappings(), 2);
    });
}

#[test]
fn the_outside_begins_nothing() {
    let mut lab = Lab::new(Version::V13, &LINE);
    next_hop(&mut lab);
    lab.sent();
    let ends = Ends { macs: (NEXT, OUTSIDE), ips: (SERVER, OWN) };
    lab.send(2, &compose::udp(ends, (53, 4000), b"hello"));
    assert!(lab.sent().is_empty());
    lab.send(1, &query(host(5), 4000));
    lab.sent();
    let ends = Ends { macs: (NEXT, OUTSIDE), ips: (Ipv4Addr::new(198, 51, 100, 1), OWN) };
    lab.send(2, &compose::udp(ends, (9, 4000), b"hello"));
    assert_eq!(flows(&mut lab).len(), 1, "the port is the host's, whoever speaks to it");
    assert_eq!(lab.host(2, &question((NEXT, GATEWAY), OWN)).len(), 1, "ARP for the address outside");
    assert!(lab.host(2, &question((NEXT, GATEWAY), host(5))).is_empty());
}

#[test]
fn pings_pass_through_the_controller() {
    both(|version| {
        let mut lab = Lab::new(version, &LINE);
        next_hop(&mut lab);
        lab.sent();
        let ping = icmpv4::Repr::EchoRequest { ident: 7, sequence: 1, data: b"abc" };
        let ends = Ends { macs: (HOST, INSIDE), ips: (host(5), SERVER) };
        let out = lab.host(1, &compose::icmpv4(ends, &ping));
        let view = ipv4::View::new_checked(&out[0][14..]).unwrap();
        assert_eq!((view.source(), view.destination()), (OWN, SERVER));
        let ident = icmpv4::View::new_checked(view.payload()).unwrap().ident();
        let pong = icmpv4::Repr::EchoReply { ident, sequence: 1, data: b"abc" };
        let ends = Ends { macs: (NEXT, OUTSIDE), ips: (SERVER, OWN) };
        let back = lab.host(2, &compose::icmpv4(ends, &pong));
        let expected = icmpv4::Repr::EchoReply { ident: 7, sequence: 1, data: b"abc" };
        let ends = Ends { macs: (INSIDE, HOST), ips: (SERVER, host(5)) };
        assert_eq!(back, [compose::icmpv4(ends, &expected)]);
    });
}

#[test]
fn mappings_end_and_what_is_cut_short_does_no_harm() {
    let mut lab = Lab::new(Version::V10, &LINE);
    next_hop(&mut lab);
    let ping = icmpv4::Repr::EchoRequest { ident: 7, sequence: 1, data: b"abc" };
    let ends = Ends { macs: (HOST, INSIDE), ips: (host(5), SERVER) };
    for frame in [query(host(5), 4000), compose::icmpv4(ends, &ping)] {
        for length in 0..frame.len() {
            lab.send(1, &frame[..length]);
            lab.send(2, &frame[..length]);
        }
    }
    lab.host(1, &compose::icmpv4(ends, &ping));
    let mappings = |lab: &Lab| lab.controller.core().get::<Nat>("misc.nat").unwrap().mappings();
    assert!(mappings(&lab) > 0);
    lab.pass(Duration::from_secs(320));
    assert_eq!(mappings(&lab), 0);
    assert!(lab.controller.core().health().iter().all(|health| health.failures == 0));
}
