//! Statistics and descriptions: asked for and told.

use super::flows::{actions, apply, tcp};
use super::{MAKER, Named, name, port};
use crate::action::Action;
use crate::field::Field;
use crate::flow;
use crate::group::{self, Bucket, GroupDescription, GroupFeatures, GroupKind, GroupStats};
use crate::matching::Match;
use crate::message::Body;
use crate::meter::{self, Band, BandKind, MeterConfig, MeterFeatures, MeterStats};
use crate::multipart::{
    AggregateStats, Description, FlowRequest, FlowStats, MORE, MultipartReply, MultipartRequest, Reply,
    Request,
};
use crate::oxm::Oxm;
use crate::port::{PortNo, PortStats};
use crate::queue::QueueStats;
use crate::table::{TableFeatures, TableProperty, TableStats, TypeId};
use crate::{Version, queue};

pub(super) fn request(body: Request) -> Body {
    Body::MultipartRequest(MultipartRequest { flags: 0, body })
}

fn flow_request(matching: Match) -> FlowRequest {
    let (table, out_port, out_group) = (flow::ALL_TABLES, PortNo::ANY, group::ANY);
    FlowRequest { table, out_port, out_group, cookie: 0, cookie_mask: 0, matching }
}

pub(super) fn requests(version: Version) -> Vec<Named> {
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

pub(super) fn requests_v13() -> Vec<Named> {
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

pub(super) fn reply(body: Reply) -> Body {
    Body::MultipartReply(MultipartReply { flags: 0, body })
}

pub(super) fn flow_stats(version: Version) -> FlowStats {
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

pub(super) fn replies(version: Version) -> Vec<Named> {
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

pub(super) fn replies_v13() -> Vec<Named> {
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

pub(super) fn buckets() -> Vec<Bucket> {
    let bucket = |weight, port: u32| Bucket {
        weight,
        watch_port: PortNo::ANY,
        watch_group: group::ANY,
        actions: vec![Action::output(PortNo(port))],
    };
    vec![bucket(1, 1), bucket(2, 2)]
}

pub(super) fn bands() -> Vec<Band> {
    vec![
        Band { rate: 1000, burst: 10, kind: BandKind::Drop },
        Band { rate: 500, burst: 10, kind: BandKind::DscpRemark { precedence: 1 } },
    ]
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
