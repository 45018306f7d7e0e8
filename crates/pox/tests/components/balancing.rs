//! One address, several servers: who gets which connection, and what happens when a server dies.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::lab::{Lab, both, question};
use openflow::Version;
use openflow::action::Action;
use openflow::field::Field;
use openflow::flow::FlowCommand;
use openflow::message::Body;
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use packet::wire::{MacAddr, arp};
use pox::components::misc::ip_loadbalancer::{LoadBalancer, ServerChanged};
use pox::compose::{self, Ends};

const CLIENT: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const OWN: MacAddr = MacAddr([0x02, 0x77, 0x65, 0x66, 0x74, 0x01]);
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
const LINE: [&str; 3] = ["misc.ip_loadbalancer", "--ip=10.0.1.1", "--servers=10.0.0.1,10.0.0.2"];

const fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

const fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

/// A server says where it is.
fn here(lab: &mut Lab, n: u8) {
    let reply = arp::Repr {
        operation: arp::Operation::REPLY,
        sender_mac: mac(n),
        sender_ip: ip(n),
        target_mac: OWN,
        target_ip: SERVICE,
    };
    lab.host(n.into(), &compose::arp_to(&reply, OWN));
}

fn connect(port: u16) -> Vec<u8> {
    compose::udp(Ends { macs: (CLIENT, OWN), ips: (ip(9), SERVICE) }, (port, 80), b"hello")
}

/// The flows that a packet leads to: command and actions.
fn flows(lab: &mut Lab, port: u32, frame: &[u8]) -> Vec<(FlowCommand, Vec<Action>)> {
    lab.send(port, frame);
    lab.sent()
        .into_iter()
        .filter_map(|message| match message.body {
            Body::FlowMod(flow) => {
                let actions = flow.instructions.iter().find_map(|instruction| match instruction {
                    openflow::instruction::Instruction::ApplyActions(actions) => Some(actions.clone()),
                    _ => None,
                });
                Some((flow.command, actions.unwrap_or_default()))
            }
            _ => None,
        })
        .collect()
}

/// The server that a connection's packets go to.
fn server_of(flows: &[(FlowCommand, Vec<Action>)]) -> Option<u8> {
    (1..=2).find(|n| {
        let there = Action::SetField(Oxm::exact(Field::Ipv4Dst, ip(*n).to_bits().into()));
        flows.iter().any(|(_, actions)| actions.contains(&there))
    })
}

#[test]
fn each_connection_goes_to_the_server_that_has_fewest_and_stays() {
    both(|version| {
        let mut lab = Lab::new(version, &LINE);
        lab.sent();
        assert!(flows(&mut lab, 9, &connect(1000)).is_empty(), "no server lives yet");
        here(&mut lab, 1);
        here(&mut lab, 2);
        let servers: Vec<_> = (0..4).map(|n| server_of(&flows(&mut lab, 9, &connect(1000 + n)))).collect();
        assert_eq!(servers, [Some(1), Some(2), Some(1), Some(2)]);
        assert_eq!(server_of(&flows(&mut lab, 9, &connect(1001))), Some(2), "it is remembered");
        let balancer: &LoadBalancer = lab.controller.core().get("misc.ip_loadbalancer").unwrap();
        assert_eq!(balancer.loads().collect::<Vec<_>>(), [(ip(1), 2), (ip(2), 2)]);
    });
}

#[test]
fn both_directions_are_rewritten() {
    let mut lab = Lab::new(Version::V13, &LINE);
    here(&mut lab, 1);
    let to_client = [
        Action::SetField(Oxm::exact(Field::EthSrc, 0x0277_6566_7401)),
        Action::SetField(Oxm::exact(Field::EthDst, 0x0200_0000_0009)),
        Action::SetField(Oxm::exact(Field::Ipv4Src, SERVICE.to_bits().into())),
        Action::output(PortNo(9)),
    ];
    let made = flows(&mut lab, 9, &connect(1000));
    assert_eq!(made.len(), 2);
    assert_eq!(made[0].1, to_client, "the way back first: the answer finds it");
    assert_eq!(made[1].1.last(), Some(&Action::output(PortNo(1))));
    let answer = compose::udp(Ends { macs: (mac(1), OWN), ips: (ip(1), ip(9)) }, (80, 1000), b"hello");
    assert_eq!(flows(&mut lab, 1, &answer)[0].1, to_client, "when the flow is over it is made anew");
    let stray = compose::udp(Ends { macs: (mac(1), OWN), ips: (ip(1), ip(9)) }, (80, 1001), b"hello");
    assert!(flows(&mut lab, 1, &stray).is_empty(), "no connection of ours");
}

#[test]
fn a_server_that_dies_loses_its_connections_to_the_living() {
    both(|version| {
        let mut lab = Lab::new(version, &LINE);
        let changes = lab
            .diary("misc.ip_loadbalancer", |event: &ServerChanged| format!("{} {}", event.ip, event.alive));
        here(&mut lab, 1);
        here(&mut lab, 2);
        assert_eq!(server_of(&flows(&mut lab, 9, &connect(1000))), Some(1));
        // Its answer is on the way when it dies: the second server goes on answering the probes.
        for _ in 0..4 {
            lab.pass(Duration::from_secs(1));
            here(&mut lab, 2);
        }
        assert_eq!(changes.borrow().last().map(String::as_str), Some("10.0.0.1 false"));
        let late = compose::udp(Ends { macs: (mac(1), OWN), ips: (ip(1), ip(9)) }, (80, 1000), b"late");
        assert!(flows(&mut lab, 1, &late).is_empty());
        assert_eq!(server_of(&flows(&mut lab, 9, &connect(1000))), Some(2));
        assert!(flows(&mut lab, 1, &late).is_empty(), "an answer of a server it no longer belongs to");
        here(&mut lab, 1);
        assert_eq!(server_of(&flows(&mut lab, 9, &connect(1001))), Some(1), "it lives again, and has fewest");
        assert!(lab.controller.core().health().iter().all(|health| health.failures == 0));
    });
}

#[test]
fn servers_are_asked_again_and_again_and_arp_is_answered() {
    let mut lab = Lab::new(Version::V10, &LINE);
    lab.pass(Duration::from_millis(500));
    let asked = lab.pass(Duration::from_secs(3));
    assert_eq!(asked.len(), 6, "two servers, three times");
    assert_eq!(lab.host(9, &question((CLIENT, ip(9)), SERVICE)).len(), 1);
    assert!(lab.host(9, &question((CLIENT, ip(9)), ip(77))).is_empty());
}
