//! Flows and packets, their matches and actions.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::nicira_actions::nicira_actions;
use super::{Named, arp, ipv4, ipv6, mac, name};
use crate::Version;
use crate::action::Action;
use crate::field::Field;
use crate::flow::{
    self, FlowCommand, FlowMod, FlowRemoved, PacketIn, PacketInFormat, PacketInReason, PacketOut,
    RemovedReason,
};
use crate::instruction::Instruction;
use crate::matching::Match;
use crate::message::Body;
use crate::oxm::Oxm;
use crate::port::PortNo;

/// A match of TCP packets with a tag, in the version's form.
pub(super) fn tcp(version: Version) -> Match {
    let matching = Match::new().in_port(PortNo(1)).eth_src(mac(1)).eth_dst(mac(2)).vlan_vid(5).vlan_pcp(3);
    matching
        .ipv4_src_masked(ipv4(0), Ipv4Addr::new(255, 255, 255, 0))
        .ipv4_dst(ipv4(2))
        .ip_dscp(10)
        .tcp_src(4000)
        .tcp_dst(80)
        .normalise()
        .for_version(version)
}

pub(super) fn apply(actions: Vec<Action>) -> Vec<Instruction> {
    vec![Instruction::ApplyActions(actions)]
}

/// Actions that both versions have in words of their own.
pub(super) fn actions(version: Version) -> Vec<Action> {
    let mut actions = match version {
        Version::V10 => vec![
            Action::SetVlanVid(6),
            Action::SetVlanPcp(2),
            Action::StripVlan,
            Action::SetDlSrc(mac(3)),
            Action::SetDlDst(mac(4)),
            Action::SetNwSrc(ipv4(3)),
            Action::SetNwDst(ipv4(4)),
            Action::SetNwTos(0x28),
            Action::SetTpSrc(4001),
            Action::SetTpDst(8080),
            Action::Enqueue { port: PortNo(2), queue: 7 },
        ],
        Version::V13 => vec![
            Action::SetField(Oxm::exact(Field::VlanVid, 0x1006)),
            Action::SetField(Oxm::exact(Field::VlanPcp, 2)),
            Action::PopVlan,
            Action::PushVlan(0x8100),
            Action::SetField(Oxm::exact(Field::EthDst, 0x0200_0000_0004)),
            Action::SetField(Oxm::exact(Field::Ipv4Src, 0x0a00_0003)),
            Action::SetField(Oxm::exact(Field::IpDscp, 10)),
            Action::SetField(Oxm::exact(Field::TcpDst, 8080)),
            Action::SetNwTtl(64),
            Action::DecNwTtl,
            Action::SetQueue(7),
            Action::Group(1),
        ],
    };
    actions.push(Action::output(PortNo(2)));
    actions.push(Action::Output { port: PortNo::CONTROLLER, max_len: 128 });
    actions
}

pub(super) fn flows(version: Version) -> Vec<Named> {
    let v13 = version == Version::V13;
    let flow = |matching: Match, actions: Vec<Action>| FlowMod {
        cookie: 0x1122_3344_5566_7788,
        table: if v13 { 3 } else { 0 },
        idle_timeout: 60,
        hard_timeout: 300,
        priority: 100,
        flags: flow::flags::SEND_FLOW_REM | flow::flags::CHECK_OVERLAP,
        matching,
        instructions: apply(actions),
        ..FlowMod::default()
    };
    let all = Match::new().for_version(version);
    let metadata = Match::new().in_port(PortNo(1));
    let packet_in = PacketIn {
        format: PacketInFormat::Standard,
        buffer: flow::NO_BUFFER,
        total_len: 42,
        reason: PacketInReason::NoMatch,
        table: if v13 { 3 } else { 0 },
        cookie: if v13 { u64::MAX } else { 0 },
        metadata: metadata.clone(),
        data: arp(),
    };
    let removed = FlowRemoved {
        nxm: false,
        cookie: 0x1122_3344_5566_7788,
        priority: 100,
        reason: RemovedReason::IdleTimeout,
        table: if v13 { 3 } else { 0 },
        duration: (70, 5_000_000),
        idle_timeout: 60,
        hard_timeout: if v13 { 300 } else { 0 },
        packets: 10,
        bytes: 1000,
        matching: tcp(version),
    };
    let nicira_in = PacketIn {
        format: PacketInFormat::Nxm,
        reason: PacketInReason::Action,
        table: 3,
        cookie: 9,
        metadata: metadata.with(Oxm::exact(Field::Reg0, 5)),
        ..packet_in.clone()
    };
    let delete = FlowMod {
        command: FlowCommand::DeleteStrict,
        out_port: PortNo(2),
        priority: 1,
        matching: all.clone(),
        ..FlowMod::default()
    };
    let out = |actions: Vec<Action>| {
        let (buffer, in_port, data) = (flow::NO_BUFFER, PortNo::CONTROLLER, arp());
        Body::PacketOut(PacketOut { buffer, in_port, actions, data })
    };
    vec![
        (name("packet_in"), Body::PacketIn(packet_in)),
        (name("packet_in_nicira"), Body::PacketIn(nicira_in)),
        (name("packet_out_flood"), out(vec![Action::output(PortNo::FLOOD)])),
        (name("packet_out_table"), out(vec![Action::output(PortNo::TABLE)])),
        (name("flow_mod_all"), Body::FlowMod(flow(all.clone(), vec![Action::output(PortNo::NORMAL)]))),
        (name("flow_mod_tcp"), Body::FlowMod(flow(tcp(version), actions(version)))),
        (name("flow_mod_drop"), Body::FlowMod(FlowMod { instructions: vec![], ..flow(all, vec![]) })),
        (name("flow_mod_delete"), Body::FlowMod(delete)),
        (name("flow_mod_nicira_actions"), Body::FlowMod(flow(tcp(version), nicira_actions(version)))),
        (name("flow_removed"), Body::FlowRemoved(removed)),
    ]
}

/// A match that 1.0 has no room for, in NXM's words.
pub(super) fn nxm() -> Match {
    let word =
        |field: Field, value, mask| Oxm::Known { field, spelling: field.nicira_spelling(), value, mask };
    Match::Fields(vec![
        word(Field::InPort, 1, None),
        word(Field::EthDst, 0x0100_0000_0000, Some(0x0100_0000_0000)),
        word(Field::EthType, 0x0800, None),
        word(Field::VlanTci, 0x1005, Some(0x1fff)),
        word(Field::IpProto, 6, None),
        word(Field::TcpDst, 80, Some(0xfff0)),
        word(Field::TunnelId, 9, None),
        word(Field::Reg0, 5, Some(0xff)),
    ])
}

/// IPv6 and all else that needs 1.3.
pub(super) fn newer_flow() -> FlowMod {
    let matching = Match::new().metadata_masked(5, 0xff).ipv6_src(ipv6(1));
    FlowMod {
        table: 1,
        cookie: 1,
        cookie_mask: 0,
        flags: flow::flags::EMERG_OR_RESET_COUNTS | flow::flags::NO_PACKET_COUNTS,
        matching: matching
            .ipv6_dst_masked(ipv6(0), Ipv6Addr::new(0xffff, 0xffff, 0xffff, 0xffff, 0, 0, 0, 0))
            .icmpv6_type(135)
            .with(Oxm::exact(Field::NdTarget, ipv6(2).to_bits()))
            .normalise(),
        instructions: vec![
            Instruction::Meter(1),
            Instruction::ApplyActions(vec![Action::output(PortNo(1))]),
            Instruction::ClearActions,
            Instruction::WriteActions(vec![Action::output(PortNo(2))]),
            Instruction::WriteMetadata { value: 6, mask: 0xff },
            Instruction::GotoTable(2),
        ],
        ..FlowMod::default()
    }
}
