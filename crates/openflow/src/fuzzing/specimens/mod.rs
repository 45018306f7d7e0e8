//! One sensible message of every kind: what peers are shown, and what fuzzing starts from.

mod flows;
mod monitors;
mod nicira_actions;
mod session;
mod statistics;

use std::net::{Ipv4Addr, Ipv6Addr};

use packet::wire::MacAddr;

use self::flows::{apply, newer_flow, nxm};
use self::session::async_config;
use self::statistics::{bands, buckets, flow_stats, replies_v13, reply, request, requests_v13};
use crate::Version;
use crate::action::Action;
use crate::error::ErrorCode;
use crate::flow::{self, FlowMod, FlowRemoved, RemovedReason};
use crate::group::{Bucket, GroupCommand, GroupKind, GroupMod};
use crate::message::{Body, Error, Message, Role, RoleMessage, TableMod};
use crate::meter::{self, MeterCommand, MeterMod};
use crate::multipart::{AggregateStats, FlowStats, Reply, Request};
use crate::nicira;
use crate::port::{Port, PortNo, config, state};

/// A maker that is none.
const MAKER: u32 = 0x0000_7777;

/// Their names and the messages, as the version has them.
#[must_use]
pub fn specimens(version: Version) -> Vec<(String, Message)> {
    let mut bodies = session::session(version);
    bodies.extend(flows::flows(version));
    bodies.extend(statistics::requests(version));
    bodies.extend(statistics::replies(version));
    bodies.extend(session::nicira_messages(version));
    match version {
        Version::V10 => bodies.extend(only_v10()),
        Version::V13 => bodies.extend(only_v13()),
    }
    bodies.extend(monitors::monitors(version));
    let named =
        |(at, (name, body)): (usize, (String, Body))| (name, Message::new(0x0100_0000 + at as u32, body));
    bodies.into_iter().enumerate().map(named).collect()
}

type Named = (String, Body);

fn name(name: &str) -> String {
    name.to_owned()
}

const fn mac(last: u8) -> MacAddr {
    MacAddr([0x02, 0, 0, 0, 0, last])
}

const fn ipv4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

const fn ipv6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last)
}

/// An echo request, as an error quotes it.
fn request_bytes(version: Version) -> Vec<u8> {
    let mut bytes = vec![version.wire(), 2, 0, 64, 0, 0, 0, 9];
    bytes.resize(64, b'x');
    bytes
}

/// An ARP request, whole.
fn arp() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(mac(1).0);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac(1).0);
    frame.extend(ipv4(1).octets());
    frame.extend([0; 6]);
    frame.extend(ipv4(2).octets());
    frame
}

fn port(number: u32, version: Version) -> Port {
    Port {
        number: PortNo(number),
        address: mac(number as u8),
        name: format!("eth{number}"),
        config: config::NO_PACKET_IN,
        state: state::LINK_DOWN,
        // 10 Gbit/s, copper, autonegotiation.
        current: 1 << 6 | 1 << 11 | 1 << 13,
        advertised: 1 << 5,
        supported: 1 << 5 | 1 << 6,
        peer: 0,
        speed_current: if version == Version::V13 { 10_000_000 } else { 0 },
        speed_max: if version == Version::V13 { 10_000_000 } else { 0 },
    }
}

fn only_v10() -> Vec<Named> {
    let flow = FlowMod {
        nxm: true,
        cookie: 5,
        priority: 10,
        matching: nxm(),
        instructions: apply(vec![Action::output(PortNo(2))]),
        ..FlowMod::default()
    };
    let removed = FlowRemoved {
        nxm: true,
        cookie: 5,
        priority: 10,
        reason: RemovedReason::Delete,
        table: 3,
        duration: (70, 5_000_000),
        idle_timeout: 60,
        hard_timeout: 0,
        packets: 10,
        bytes: 1000,
        matching: nxm(),
    };
    let stats = nicira::FlowStats {
        flow: FlowStats { matching: nxm(), ..flow_stats(Version::V10) },
        idle_age: 6,
        hard_age: 11,
    };
    let nicira_error = ErrorCode { kind: 1, code: 260, experimenter: Some(nicira::VENDOR) };
    let (out_port, table) = (PortNo::ANY, flow::ALL_TABLES);
    vec![
        (name("flow_mod_nicira"), Body::FlowMod(flow)),
        (name("flow_removed_nicira"), Body::FlowRemoved(removed)),
        (name("error_nicira"), Body::Error(Error { code: nicira_error, data: request_bytes(Version::V10) })),
        (
            name("request_nicira_flow"),
            request(Request::Nicira(nicira::StatsRequest::Flow { out_port, table, matching: nxm() })),
        ),
        (
            name("request_nicira_aggregate"),
            request(Request::Nicira(nicira::StatsRequest::Aggregate { out_port, table, matching: nxm() })),
        ),
        (name("reply_nicira_flow"), reply(Reply::Nicira(nicira::StatsReply::Flow(vec![stats])))),
        (
            name("reply_nicira_aggregate"),
            reply(Reply::Nicira(nicira::StatsReply::Aggregate(AggregateStats {
                packets: 10,
                bytes: 1000,
                flows: 2,
            }))),
        ),
    ]
}

fn only_v13() -> Vec<Named> {
    let group = |command, kind| GroupMod { command, kind, group: 1, buckets: buckets() };
    let role = |role| RoleMessage { role, generation: 0x1122_3344 };
    let meter_flags = meter::flags::KBPS | meter::flags::BURST | meter::flags::STATS;
    let failover = GroupMod {
        buckets: vec![Bucket { watch_port: PortNo(1), weight: 0, ..buckets().remove(0) }],
        ..group(GroupCommand::Modify, GroupKind::FastFailover)
    };
    let meter = |command| MeterMod { command, flags: meter_flags, meter: 1, bands: bands() };
    let mut bodies = vec![
        (name("flow_mod_newer"), Body::FlowMod(newer_flow())),
        (name("group_mod_select"), Body::GroupMod(group(GroupCommand::Add, GroupKind::Select))),
        (name("group_mod_failover"), Body::GroupMod(failover)),
        (name("table_mod"), Body::TableMod(TableMod { table: 0xff, config: 0 })),
        (name("meter_mod"), Body::MeterMod(meter(MeterCommand::Add))),
        (name("meter_mod_delete"), Body::MeterMod(MeterMod { bands: vec![], ..meter(MeterCommand::Delete) })),
        (name("role_request"), Body::RoleRequest(role(Role::Master))),
        (name("role_reply"), Body::RoleReply(role(Role::Equal))),
        (name("get_async_request"), Body::GetAsyncRequest),
        (name("get_async_reply"), Body::GetAsyncReply(async_config())),
        (name("set_async"), Body::SetAsync(async_config())),
    ];
    bodies.extend(requests_v13());
    bodies.extend(replies_v13());
    bodies
}
