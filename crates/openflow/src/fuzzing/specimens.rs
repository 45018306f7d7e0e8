//! One sensible message of every kind: what peers are shown, and what fuzzing starts from.

use std::net::{Ipv4Addr, Ipv6Addr};

use packet::wire::MacAddr;

use crate::action::Action;
use crate::error::{BadAction, ErrorCode, Fault};
use crate::field::Field;
use crate::flow::{
    self, FlowCommand, FlowMod, FlowRemoved, PacketIn, PacketInFormat, PacketInReason, PacketOut,
    RemovedReason,
};
use crate::group::{
    self, Bucket, GroupCommand, GroupDescription, GroupFeatures, GroupKind, GroupMod, GroupStats,
};
use crate::instruction::Instruction;
use crate::matching::Match;
use crate::message::{
    AsyncConfig, Body, Error, Features, Hello, HelloElement, Message, PortMod, PortReason, PortStatus, Role,
    RoleMessage, SwitchConfig, TableMod,
};
use crate::meter::{self, Band, BandKind, MeterCommand, MeterConfig, MeterFeatures, MeterMod, MeterStats};
use crate::multipart::{
    AggregateStats, Description, FlowRequest, FlowStats, MORE, MultipartReply, MultipartRequest, Reply,
    Request,
};
use crate::nicira::{self, Bundle, Learn, LearnDestination, LearnSource, LearnSpec, Subfield};
use crate::oxm::Oxm;
use crate::port::{Port, PortNo, PortStats, config, state};
use crate::queue::{Queue, QueueProperty, QueueStats};
use crate::table::{TableFeatures, TableProperty, TableStats, TypeId};
use crate::{Version, queue};

/// A maker that is none.
const MAKER: u32 = 0x0000_7777;

/// Their names and the messages, as the version has them.
#[must_use]
pub fn specimens(version: Version) -> Vec<(String, Message)> {
    let mut bodies = session(version);
    bodies.extend(flows(version));
    bodies.extend(requests(version));
    bodies.extend(replies(version));
    bodies.extend(nicira_messages(version));
    match version {
        Version::V10 => bodies.extend(only_v10()),
        Version::V13 => bodies.extend(only_v13()),
    }
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

fn session(version: Version) -> Vec<Named> {
    let v13 = version == Version::V13;
    let bitmap = HelloElement::VersionBitmap(vec![1 << 1 | 1 << 4]);
    let code = Fault::from(BadAction::BadOutPort).code(version);
    vec![
        (name("hello"), Body::Hello(Hello { elements: if v13 { vec![bitmap] } else { vec![] } })),
        (name("error"), Body::Error(Error { code, data: request_bytes(version) })),
        (name("echo_request"), Body::EchoRequest(b"anything".to_vec())),
        (name("echo_reply"), Body::EchoReply(b"anything".to_vec())),
        (name("experimenter"), Body::Experimenter { experimenter: MAKER, data: vec![0, 0, 0, 1] }),
        (name("features_request"), Body::FeaturesRequest),
        (
            name("features_reply"),
            Body::FeaturesReply(Features {
                datapath: 0x0000_0200_0000_0001,
                buffers: 256,
                tables: 254,
                auxiliary: 0,
                capabilities: 0x47,
                actions: if v13 { 0 } else { 0xfff },
                ports: if v13 { vec![] } else { vec![port(1, version), port(2, version)] },
            }),
        ),
        (name("get_config_request"), Body::GetConfigRequest),
        (name("get_config_reply"), Body::GetConfigReply(SwitchConfig { flags: 0, miss_send_len: 128 })),
        (name("set_config"), Body::SetConfig(SwitchConfig { flags: 1, miss_send_len: 0xffff })),
        (
            name("port_status"),
            Body::PortStatus(PortStatus { reason: PortReason::Modify, port: port(3, version) }),
        ),
        (
            name("port_mod"),
            Body::PortMod(PortMod {
                port: PortNo(3),
                address: mac(3),
                config: config::PORT_DOWN,
                mask: config::PORT_DOWN | config::NO_RECV,
                advertise: 1 << 5,
            }),
        ),
        (name("barrier_request"), Body::BarrierRequest),
        (name("barrier_reply"), Body::BarrierReply),
        (name("queue_get_config_request"), Body::QueueGetConfigRequest(PortNo(1))),
        (
            name("queue_get_config_reply"),
            Body::QueueGetConfigReply {
                port: PortNo(1),
                queues: vec![Queue {
                    queue: 7,
                    port: PortNo(1),
                    properties: vec![QueueProperty::MinRate(100), QueueProperty::MaxRate(500)],
                }],
            },
        ),
    ]
}

/// A match of TCP packets with a tag, in the version's form.
fn tcp(version: Version) -> Match {
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

fn apply(actions: Vec<Action>) -> Vec<Instruction> {
    vec![Instruction::ApplyActions(actions)]
}

/// Actions that both versions have in words of their own.
fn actions(version: Version) -> Vec<Action> {
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

fn flows(version: Version) -> Vec<Named> {
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

const fn subfield(header: u32, bits: u16) -> Subfield {
    Subfield { header, offset: 0, bits }
}

const fn is_standard_in_v13(action: &nicira::Action) -> bool {
    use nicira::Action as A;
    matches!(
        action,
        A::SetQueue(_)
            | A::DecTtl
            | A::PushMpls(_)
            | A::PopMpls(_)
            | A::SetMplsLabel(_)
            | A::SetMplsTc(_)
            | A::SetMplsTtl(_)
            | A::DecMplsTtl
    )
}

/// `NXM_NX_REG0`, `NXM_NX_REG1`, `NXM_OF_IN_PORT`, `NXM_OF_ETH_SRC`, `NXM_OF_ETH_DST`, `NXM_OF_VLAN_TCI`.
const REG0: u32 = 0x0001_0004;
const REG1: u32 = 0x0001_0204;
const IN_PORT: u32 = 0x0000_0002;
const ETH_SRC: u32 = 0x0000_0406;
const ETH_DST: u32 = 0x0000_0206;
const VLAN_TCI: u32 = 0x0000_0802;

/// Every action of Nicira's, in an order that TCP packets can take; in 1.3 without those that it has words of its own for.
fn nicira_actions(version: Version) -> Vec<Action> {
    use nicira::Action as A;
    let bundle = Bundle {
        algorithm: 1,
        fields: 0,
        basis: 7,
        port_type: IN_PORT,
        destination: None,
        ports: vec![1, 2, 3],
    };
    let learn = Learn {
        idle_timeout: 10,
        hard_timeout: 300,
        priority: 200,
        cookie: 5,
        flags: 1,
        table: 4,
        fin_idle_timeout: 1,
        fin_hard_timeout: 2,
        specs: vec![
            spec(LearnSource::Field(VLAN_TCI, 0), LearnDestination::Match(VLAN_TCI, 0), 12),
            spec(LearnSource::Field(ETH_SRC, 0), LearnDestination::Match(ETH_DST, 0), 48),
            spec(LearnSource::Immediate(vec![0, 5]), LearnDestination::Load(REG0, 16), 16),
            spec(LearnSource::Field(IN_PORT, 0), LearnDestination::Output, 16),
        ],
    };
    let multipath = A::Multipath {
        fields: 1,
        basis: 50,
        algorithm: 0,
        max_link: 3,
        argument: 0,
        destination: subfield(REG0, 4),
    };
    [
        A::Resubmit(2),
        A::ResubmitTable { port: 0xfff8, table: 4 },
        A::SetTunnel(5),
        A::SetTunnel64(0x1_0000_0005),
        A::SetQueue(7),
        A::PopQueue,
        A::RegMove { source: subfield(REG0, 16), destination: Subfield { offset: 16, ..subfield(REG1, 16) } },
        A::RegLoad { destination: subfield(REG0, 32), value: 0xdead_beef },
        A::RegLoad2(Oxm::Known { field: Field::Reg1, spelling: 0, value: 1, mask: Some(0xff) }),
        A::Note(b"a note".to_vec()),
        multipath,
        A::BundleLoad(Bundle { destination: Some(subfield(REG0, 16)), ..bundle.clone() }),
        A::Bundle(bundle),
        A::OutputReg { source: subfield(REG0, 16), max_len: 128 },
        A::Learn(learn),
        A::StackPush(subfield(REG0, 32)),
        A::StackPop(subfield(REG1, 32)),
        A::DecTtl,
        A::DecTtlControllers(vec![1, 2, 3]),
        A::FinTimeout { idle: 5, hard: 10 },
        A::Controller { max_len: 128, controller: 3, reason: 1 },
        A::PushMpls(0x8847),
        A::SetMplsLabel(99),
        A::SetMplsTc(3),
        A::SetMplsTtl(64),
        A::DecMplsTtl,
        A::PopMpls(0x0800),
        A::Exit,
    ]
    .into_iter()
    .filter(|action| version == Version::V10 || !is_standard_in_v13(action))
    .map(Action::Nicira)
    .collect()
}

const fn spec(source: LearnSource, destination: LearnDestination, bits: u16) -> LearnSpec {
    LearnSpec { source, destination, bits }
}

fn request(body: Request) -> Body {
    Body::MultipartRequest(MultipartRequest { flags: 0, body })
}

fn flow_request(matching: Match) -> FlowRequest {
    let (table, out_port, out_group) = (flow::ALL_TABLES, PortNo::ANY, group::ANY);
    FlowRequest { table, out_port, out_group, cookie: 0, cookie_mask: 0, matching }
}

fn requests(version: Version) -> Vec<Named> {
    [
        ("description", Request::Description),
        ("flow", Request::Flow(flow_request(Match::new().for_version(version)))),
        ("aggregate", Request::Aggregate(flow_request(tcp(version)))),
        ("table", Request::Table),
        ("port", Request::Port(PortNo::ANY)),
        ("queue", Request::Queue { port: PortNo::ANY, queue: queue::ALL }),
        ("port_description", Request::PortDescription),
        ("experimenter", Request::Experimenter { experimenter: MAKER, data: vec![0, 0, 0, 1] }),
    ]
    .into_iter()
    .map(|(kind, body)| (format!("request_{kind}"), request(body)))
    .collect()
}

fn reply(body: Reply) -> Body {
    Body::MultipartReply(MultipartReply { flags: 0, body })
}

fn flow_stats(version: Version) -> FlowStats {
    FlowStats {
        table: 3,
        duration: (70, 5_000_000),
        priority: 100,
        idle_timeout: 60,
        hard_timeout: 300,
        flags: if version == Version::V13 { flow::flags::SEND_FLOW_REM } else { 0 },
        cookie: 0x1122_3344_5566_7788,
        packets: 10,
        bytes: 1000,
        matching: tcp(version),
        instructions: apply(actions(version)),
    }
}

fn description() -> Description {
    Description {
        manufacturer: name("a maker"),
        hardware: name("a board"),
        software: name("a program"),
        serial: name("0001"),
        datapath: name("the first rack's switch"),
    }
}

fn replies(version: Version) -> Vec<Named> {
    let v13 = version == Version::V13;
    let table = TableStats {
        table: 3,
        name: if v13 { String::new() } else { name("classifier") },
        wildcards: if v13 { 0 } else { 0x003f_ffff },
        max_entries: if v13 { 0 } else { 1_000_000 },
        active: 5,
        lookups: 1000,
        matched: 900,
    };
    let port_stats = PortStats {
        port: PortNo(1),
        rx_packets: 1,
        tx_packets: 2,
        rx_bytes: 3,
        tx_bytes: 4,
        rx_dropped: 5,
        tx_dropped: 6,
        rx_errors: 7,
        tx_errors: 8,
        rx_frame_errors: 9,
        rx_over_errors: 10,
        rx_crc_errors: 11,
        collisions: u64::MAX,
        duration: if v13 { (70, 5_000_000) } else { (0, 0) },
    };
    let queue = QueueStats {
        port: PortNo(1),
        queue: 7,
        tx_bytes: 1000,
        tx_packets: 10,
        tx_errors: 1,
        duration: if v13 { (70, 5_000_000) } else { (0, 0) },
    };
    [
        ("description", Reply::Description(description())),
        ("flow", Reply::Flow(vec![flow_stats(version), flow_stats(version)])),
        ("aggregate", Reply::Aggregate(AggregateStats { packets: 10, bytes: 1000, flows: 2 })),
        ("table", Reply::Table(vec![table])),
        ("port", Reply::Port(vec![port_stats])),
        ("queue", Reply::Queue(vec![queue])),
        ("port_description", Reply::PortDescription(vec![port(1, version), port(2, version)])),
        ("experimenter", Reply::Experimenter { experimenter: MAKER, data: vec![0, 0, 0, 1] }),
    ]
    .into_iter()
    .map(|(kind, body)| (format!("reply_{kind}"), reply(body)))
    .collect()
}

fn async_config() -> AsyncConfig {
    AsyncConfig { packet_in: [7, 1], port_status: [7, 2], flow_removed: [15, 3] }
}

fn nicira_messages(version: Version) -> Vec<Named> {
    use nicira::Message as M;
    let mut messages: Vec<Named> = [
        ("role_request", M::RoleRequest(Role::Master)),
        ("role_reply", M::RoleReply(Role::Slave)),
        ("set_packet_in_format", M::SetPacketInFormat(PacketInFormat::Nxm)),
        ("set_async_config", M::SetAsyncConfig(async_config())),
        ("set_controller_id", M::SetControllerId(3)),
    ]
    .into_iter()
    .map(|(kind, message)| (format!("nicira_{kind}"), Body::Nicira(message)))
    .collect();
    if version == Version::V10 {
        messages.push((name("nicira_set_flow_format"), Body::Nicira(M::SetFlowFormat(2))));
        messages.push((name("nicira_flow_mod_table_id"), Body::Nicira(M::FlowModTableId(true))));
        messages.push((name("nicira_flow_age"), Body::Nicira(M::FlowAge)));
    }
    messages
}

/// A match that 1.0 has no room for, in NXM's words.
fn nxm() -> Match {
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

fn buckets() -> Vec<Bucket> {
    let bucket = |weight, port: u32| Bucket {
        weight,
        watch_port: PortNo::ANY,
        watch_group: group::ANY,
        actions: vec![Action::output(PortNo(port))],
    };
    vec![bucket(1, 1), bucket(2, 2)]
}

fn bands() -> Vec<Band> {
    vec![
        Band { rate: 1000, burst: 10, kind: BandKind::Drop },
        Band { rate: 500, burst: 10, kind: BandKind::DscpRemark { precedence: 1 } },
    ]
}

/// IPv6 and all else that needs 1.3.
fn newer_flow() -> FlowMod {
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

fn table_features() -> TableFeatures {
    let types =
        |kinds: &[u16]| kinds.iter().map(|kind| TypeId { kind: *kind, data: vec![] }).collect::<Vec<_>>();
    let field =
        |field: Field, masked: bool| Oxm::Known { field, spelling: 0, value: 0, mask: masked.then_some(0) };
    let fields = || vec![field(Field::EthDst, false), field(Field::Ipv4Dst, false)];
    TableFeatures {
        table: 0,
        name: name("classifier"),
        metadata_match: u64::MAX,
        metadata_write: u64::MAX,
        config: 3,
        max_entries: 1_000_000,
        properties: vec![
            TableProperty::Instructions { miss: false, instructions: types(&[1, 2, 3, 4, 5]) },
            TableProperty::Instructions { miss: true, instructions: types(&[1]) },
            TableProperty::NextTables { miss: false, tables: (1..10).collect() },
            TableProperty::NextTables { miss: true, tables: vec![1] },
            TableProperty::WriteActions { miss: false, actions: types(&[0, 17, 18]) },
            TableProperty::WriteActions { miss: true, actions: types(&[0]) },
            TableProperty::ApplyActions { miss: false, actions: types(&[0, 25]) },
            TableProperty::ApplyActions { miss: true, actions: types(&[0]) },
            TableProperty::Match(vec![field(Field::InPort, false), field(Field::EthDst, true)]),
            TableProperty::Wildcards(fields()),
            TableProperty::WriteSetField { miss: false, fields: fields() },
            TableProperty::WriteSetField { miss: true, fields: fields() },
            TableProperty::ApplySetField { miss: false, fields: fields() },
            TableProperty::ApplySetField { miss: true, fields: fields() },
        ],
    }
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

fn requests_v13() -> Vec<Named> {
    [
        ("group", Request::Group(group::ALL)),
        ("group_description", Request::GroupDescription),
        ("group_features", Request::GroupFeatures),
        ("meter", Request::Meter(meter::ALL)),
        ("meter_config", Request::MeterConfig(meter::ALL)),
        ("meter_features", Request::MeterFeatures),
        ("table_features", Request::TableFeatures(vec![])),
    ]
    .into_iter()
    .map(|(kind, body)| (format!("request_{kind}"), request(body)))
    .collect()
}

fn replies_v13() -> Vec<Named> {
    let group = GroupStats {
        group: 1,
        references: 2,
        packets: 10,
        bytes: 1000,
        duration: (70, 5_000_000),
        buckets: vec![(4, 400), (6, 600)],
    };
    let description = GroupDescription { kind: GroupKind::Select, group: 1, buckets: buckets() };
    let features = GroupFeatures {
        types: 0xf,
        capabilities: 0xf,
        max_groups: [100, 101, 102, 103],
        actions: [0x07ff_9801; 4],
    };
    let meter = MeterStats {
        meter: 1,
        flows: 2,
        packets: 10,
        bytes: 1000,
        duration: (70, 5_000_000),
        bands: vec![(4, 400), (6, 600)],
    };
    let config = MeterConfig { flags: meter::flags::KBPS | meter::flags::BURST, meter: 1, bands: bands() };
    let meter_features =
        MeterFeatures { max_meters: 100, band_types: 6, capabilities: 0xf, max_bands: 8, max_color: 1 };
    let more = MultipartReply { flags: MORE, body: Reply::Flow(vec![flow_stats(Version::V13)]) };
    let mut bodies: Vec<Named> = [
        ("group", Reply::Group(vec![group])),
        ("group_description", Reply::GroupDescription(vec![description])),
        ("group_features", Reply::GroupFeatures(features)),
        ("meter", Reply::Meter(vec![meter])),
        ("meter_config", Reply::MeterConfig(vec![config])),
        ("meter_features", Reply::MeterFeatures(meter_features)),
        ("table_features", Reply::TableFeatures(vec![table_features()])),
    ]
    .into_iter()
    .map(|(kind, body)| (format!("reply_{kind}"), reply(body)))
    .collect();
    bodies.push((name("reply_flow_more"), Body::MultipartReply(more)));
    bodies
}
