//! Forwarding by IP address, and in two tables.

use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::Version;
use openflow::action::Action;
use openflow::field::Field;
use openflow::flow::{ALL_TABLES, FlowCommand, FlowMod};
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{Body, Message};
use openflow::nicira;
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use packet::wire::{MacAddr, arp};
use pox::compose::{self, Ends};

use crate::lab::{Lab, both, question};

const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const GATEWAY: MacAddr = MacAddr([0x02, 0x77, 0x65, 0x66, 0x74, 0x01]);

const fn ip(subnet: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, subnet, 1)
}

fn flows(messages: Vec<Message>) -> Vec<FlowMod> {
    let flow = |message: Message| match message.body {
        Body::FlowMod(flow) => Some(flow),
        _ => None,
    };
    messages.into_iter().filter_map(flow).collect()
}

fn datagram() -> Vec<u8> {
    compose::udp(Ends { macs: (HOST, GATEWAY), ips: (ip(1), ip(2)) }, (7, 7), b"hello")
}

#[test]
fn hosts_of_two_subnets_find_each_other() {
    both(|version| {
        let mut lab = Lab::new(version, &["forwarding.l3_learning", "--gateways=10.0.1.254"]);
        lab.sent();
        let answers = lab.host(1, &question((HOST, ip(1)), Ipv4Addr::new(10, 0, 1, 254)));
        assert_eq!(&answers[0][6..12], &GATEWAY.0);
        let asked = lab.host(1, &datagram());
        assert_eq!(asked, [question((HOST, ip(1)), ip(2))], "the packet waits");
        assert!(lab.host(1, &datagram()).is_empty(), "asked once a second");
        let reply = arp::Repr {
            operation: arp::Operation::REPLY,
            sender_mac: OTHER,
            sender_ip: ip(2),
            target_mac: HOST,
            target_ip: ip(1),
        };
        lab.send(2, &compose::arp(&reply));
        let sent = lab.sent();
        let packets = sent.iter().filter(|message| matches!(message.body, Body::PacketOut(_))).count();
        let made = flows(sent);
        assert_eq!((packets, made.len()), (3, 2), "both packets go on, and the answer");
        let [Instruction::ApplyActions(actions)] = &made[0].instructions[..] else { panic!("{made:?}") };
        let to = Action::SetField(Oxm::exact(Field::EthDst, 0x0200_0000_0002));
        assert_eq!(actions[..], [to, Action::output(PortNo(2))]);
    });
}

#[test]
fn a_host_that_moves_loses_its_flows_and_one_that_never_answers_its_packets() {
    let mut lab = Lab::new(Version::V13, &["forwarding.l3_learning"]);
    lab.host(1, &question((HOST, ip(1)), ip(9)));
    lab.sent();
    lab.send(2, &question((HOST, ip(1)), ip(9)));
    let gone = flows(lab.sent());
    assert_eq!((gone[0].command, &gone[0].matching), (FlowCommand::Delete, &Match::new().ipv4_dst(ip(1))));
    lab.host(1, &datagram());
    lab.pass(Duration::from_secs(7));
    assert_eq!(lab.host(1, &datagram()).len(), 1, "asked anew, since the first was given up");
    for length in 0..datagram().len() {
        lab.send(1, &datagram()[..length]);
    }
    assert!(lab.controller.core().health().iter().all(|health| health.failures == 0));
}

/// All of a handshake's flows that go to a table.
fn in_table(made: &[FlowMod], table: u8) -> Vec<&FlowMod> {
    made.iter().filter(|flow| flow.table == table && flow.command == FlowCommand::Add).collect()
}

#[test]
fn two_tables_learn_sources_and_destinations() {
    both(|version| {
        let mut lab = Lab::new(version, &["forwarding.l2_nx"]);
        let setup = lab.sent();
        let ids = setup.iter().any(|m| m.body == Body::Nicira(nicira::Message::FlowModTableId(true)));
        assert_eq!(ids, version == Version::V10);
        let made = flows(setup);
        assert_eq!((in_table(&made, 0).len(), in_table(&made, 1).len()), (1, 1));
        lab.send(1, &datagram());
        let made = flows(lab.sent());
        let there = in_table(&made, 1);
        assert_eq!(there[0].matching, Match::new().eth_dst(HOST));
        let known = in_table(&made, 0);
        assert_eq!(known[0].matching, Match::new().in_port(PortNo(1)).eth_src(HOST));
        let on = match version {
            Version::V10 => Instruction::ApplyActions(vec![Action::Nicira(nicira::Action::ResubmitTable {
                port: 0xfff8,
                table: 1,
            })]),
            Version::V13 => Instruction::GotoTable(1),
        };
        assert_eq!(known[0].instructions, [on]);
    });
}

#[test]
fn a_switch_of_10_without_table_ids_is_told_no_table() {
    let mut lab = Lab::new(Version::V10, &["forwarding.l3_learning"]);
    let mut all = Lab::new(Version::V10, &["forwarding.l2_nx"]);
    lab.host(1, &question((HOST, ip(1)), ip(9)));
    lab.send(2, &question((HOST, ip(1)), ip(9)));
    assert!(flows(lab.sent()).iter().all(|flow| flow.table == 0), "the table would be part of the command");
    all.sent();
    all.send(1, &datagram());
    all.controller.core_mut().send(all.switch, pox::Flow::delete(Match::new())).unwrap();
    assert!(flows(all.sent()).iter().any(|flow| flow.table == ALL_TABLES));
}

#[test]
fn one_flow_learns_by_itself() {
    both(|version| {
        let mut lab = Lab::new(version, &["forwarding.l2_nx_self_learning"]);
        let made = flows(lab.sent());
        let first = in_table(&made, 0);
        let [Instruction::ApplyActions(actions), ..] = &first[0].instructions[..] else {
            panic!("{first:?}")
        };
        assert!(matches!(actions[0], Action::Nicira(nicira::Action::Learn(_))));
        lab.send(1, &datagram());
        assert!(lab.sent().is_empty(), "the controller has nothing to say");
    });
}
