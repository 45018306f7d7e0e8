//! Random statistics and descriptions, groups and meters.

use super::generate::{Generator, MAKER};
use crate::group::{
    self, Bucket, GroupCommand, GroupDescription, GroupFeatures, GroupKind, GroupMod, GroupStats,
};
use crate::meter::{Band, BandKind, MeterCommand, MeterConfig, MeterFeatures, MeterMod, MeterStats};
use crate::monitor::{FlowUpdate, MonitorEvent, MonitorRequest, MonitorUpdate};
use crate::multipart::{
    AggregateStats, Description, FlowRequest, FlowStats, MultipartReply, MultipartRequest, Reply, Request,
};
use crate::nicira;
use crate::port::{PortNo, PortStats};
use crate::queue::QueueStats;
use crate::table::{TableFeatures, TableProperty, TableStats, TypeId};

/// Kinds of requests and replies that both versions have.
const SHARED: usize = 10;
/// All kinds.
const KINDS: usize = 17;

impl Generator<'_> {
    fn kind(&mut self) -> usize {
        self.random.below(if self.v10() { SHARED } else { KINDS })
    }

    pub(super) fn multipart_request(&mut self) -> MultipartRequest {
        let body = match self.kind() {
            0 => Request::Description,
            1 => Request::Flow(self.flow_request()),
            2 => Request::Aggregate(self.flow_request()),
            3 => Request::Table,
            4 => Request::Port(self.port()),
            5 => Request::Queue { port: self.port(), queue: self.u32() },
            6 => Request::PortDescription,
            7 => Request::Nicira(self.nicira_request()),
            8 => Request::Experimenter { experimenter: MAKER, data: self.bytes(40) },
            9 => Request::FlowMonitor(self.list(Self::monitor_request)),
            10 => Request::Group(self.u32()),
            11 => Request::GroupDescription,
            12 => Request::GroupFeatures,
            13 => Request::Meter(self.u32()),
            14 => Request::MeterConfig(self.u32()),
            15 => Request::MeterFeatures,
            _ => Request::TableFeatures(self.list(Self::table_features)),
        };
        MultipartRequest { flags: self.u16(), body }
    }

    fn flow_request(&mut self) -> FlowRequest {
        FlowRequest {
            table: self.u8(),
            out_port: self.port(),
            out_group: if self.v10() { group::ANY } else { self.u32() },
            cookie: self.newer(Self::u64),
            cookie_mask: self.newer(Self::u64),
            matching: self.matching(false),
        }
    }

    fn nicira_request(&mut self) -> nicira::StatsRequest {
        use nicira::StatsRequest as R;
        let (out_port, table) = (PortNo::from_v10(self.u16()), self.u8());
        match self.u8() % 3 {
            0 if self.v10() => R::Flow { out_port, table, matching: self.matching(true) },
            1 if self.v10() => R::Aggregate { out_port, table, matching: self.matching(true) },
            _ => R::Other { subtype: 3 + self.u32() % 100, data: self.bytes(40) },
        }
    }

    pub(super) fn multipart_reply(&mut self) -> MultipartReply {
        let body = match self.kind() {
            0 => Reply::Description(Description {
                manufacturer: self.text(256),
                hardware: self.text(256),
                software: self.text(256),
                serial: self.text(32),
                datapath: self.text(256),
            }),
            1 => Reply::Flow(self.list(Self::flow_stats)),
            2 => Reply::Aggregate(self.aggregate()),
            3 => Reply::Table(self.list(Self::table_stats)),
            4 => Reply::Port(self.list(Self::port_stats)),
            5 => Reply::Queue(self.list(Self::queue_stats)),
            6 => Reply::PortDescription(self.list(Self::port_description)),
            7 => Reply::Nicira(self.nicira_reply()),
            8 => Reply::Experimenter { experimenter: MAKER, data: self.bytes(40) },
            9 => Reply::FlowMonitor(self.list(Self::monitor_update)),
            10 => Reply::Group(self.list(Self::group_stats)),
            11 => Reply::GroupDescription(self.list(|this| GroupDescription {
                kind: this.group_kind(),
                group: this.u32(),
                buckets: this.list(Self::bucket),
            })),
            12 => Reply::GroupFeatures(GroupFeatures {
                types: self.u32(),
                capabilities: self.u32(),
                max_groups: std::array::from_fn(|_| self.u32()),
                actions: std::array::from_fn(|_| self.u32()),
            }),
            13 => Reply::Meter(self.list(|this| MeterStats {
                meter: this.u32(),
                flows: this.u32(),
                packets: this.u64(),
                bytes: this.u64(),
                duration: this.duration(),
                bands: this.list(|this| (this.u64(), this.u64())),
            })),
            14 => Reply::MeterConfig(self.list(|this| MeterConfig {
                flags: this.u16(),
                meter: this.u32(),
                bands: this.list(Self::band),
            })),
            15 => Reply::MeterFeatures(MeterFeatures {
                max_meters: self.u32(),
                band_types: self.u32(),
                capabilities: self.u32(),
                max_bands: self.u8(),
                max_color: self.u8(),
            }),
            _ => Reply::TableFeatures(self.list(Self::table_features)),
        };
        MultipartReply { flags: self.u16(), body }
    }

    fn flow_stats(&mut self) -> FlowStats {
        FlowStats {
            table: self.u8(),
            duration: self.duration(),
            priority: self.u16(),
            idle_timeout: self.u16(),
            hard_timeout: self.u16(),
            flags: self.newer(Self::u16),
            cookie: self.u64(),
            packets: self.u64(),
            bytes: self.u64(),
            matching: self.matching(false),
            instructions: self.instructions(),
        }
    }

    fn aggregate(&mut self) -> AggregateStats {
        AggregateStats { packets: self.u64(), bytes: self.u64(), flows: self.u32() }
    }

    fn nicira_reply(&mut self) -> nicira::StatsReply {
        use nicira::StatsReply as R;
        let flow = |this: &mut Self| nicira::FlowStats {
            flow: FlowStats { matching: this.matching(true), ..this.flow_stats() },
            idle_age: this.u16(),
            hard_age: this.u16(),
        };
        match self.u8() % 3 {
            0 if self.v10() => R::Flow(self.list(flow)),
            1 if self.v10() => R::Aggregate(self.aggregate()),
            _ => R::Other { subtype: 3 + self.u32() % 100, data: self.bytes(40) },
        }
    }

    fn monitor_request(&mut self) -> MonitorRequest {
        MonitorRequest {
            id: self.u32(),
            flags: self.u16(),
            out_port: self.port(),
            table: self.u8(),
            matching: self.matching(self.v10()),
        }
    }

    fn monitor_update(&mut self) -> MonitorUpdate {
        if self.bool() {
            return MonitorUpdate::Own { xid: self.u32() };
        }
        MonitorUpdate::Flow(FlowUpdate {
            event: match self.u8() % 3 {
                0 => MonitorEvent::Added,
                1 => MonitorEvent::Modified,
                _ => MonitorEvent::Removed(self.removed_reason()),
            },
            table: self.u8(),
            priority: self.u16(),
            idle_timeout: self.u16(),
            hard_timeout: self.u16(),
            cookie: self.u64(),
            matching: self.matching(self.v10()),
            instructions: self.instructions(),
        })
    }

    fn table_stats(&mut self) -> TableStats {
        let v10 = self.v10();
        TableStats {
            table: self.u8(),
            name: if v10 { self.text(32) } else { String::new() },
            wildcards: if v10 { self.u32() } else { 0 },
            max_entries: if v10 { self.u32() } else { 0 },
            active: self.u32(),
            lookups: self.u64(),
            matched: self.u64(),
        }
    }

    fn port_stats(&mut self) -> PortStats {
        PortStats {
            port: self.port(),
            rx_packets: self.u64(),
            tx_packets: self.u64(),
            rx_bytes: self.u64(),
            tx_bytes: self.u64(),
            rx_dropped: self.u64(),
            tx_dropped: self.u64(),
            rx_errors: self.u64(),
            tx_errors: self.u64(),
            rx_frame_errors: self.u64(),
            rx_over_errors: self.u64(),
            rx_crc_errors: self.u64(),
            collisions: self.u64(),
            duration: self.newer(Self::duration),
        }
    }

    fn queue_stats(&mut self) -> QueueStats {
        QueueStats {
            port: self.port(),
            queue: self.u32(),
            tx_bytes: self.u64(),
            tx_packets: self.u64(),
            tx_errors: self.u64(),
            duration: self.newer(Self::duration),
        }
    }

    fn group_kind(&mut self) -> GroupKind {
        match self.u8() % 5 {
            0 => GroupKind::All,
            1 => GroupKind::Select,
            2 => GroupKind::Indirect,
            3 => GroupKind::FastFailover,
            _ => GroupKind::Other(self.u8() | 4),
        }
    }

    fn bucket(&mut self) -> Bucket {
        Bucket {
            weight: self.u16(),
            watch_port: self.port(),
            watch_group: self.u32(),
            actions: self.list(Self::action),
        }
    }

    pub(super) fn group_mod(&mut self) -> GroupMod {
        GroupMod {
            command: match self.u8() % 4 {
                0 => GroupCommand::Add,
                1 => GroupCommand::Modify,
                2 => GroupCommand::Delete,
                _ => GroupCommand::Other(self.u16() | 4),
            },
            kind: self.group_kind(),
            group: self.u32(),
            buckets: self.list(Self::bucket),
        }
    }

    fn group_stats(&mut self) -> GroupStats {
        GroupStats {
            group: self.u32(),
            references: self.u32(),
            packets: self.u64(),
            bytes: self.u64(),
            duration: self.duration(),
            buckets: self.list(|this| (this.u64(), this.u64())),
        }
    }

    fn band(&mut self) -> Band {
        Band {
            rate: self.u32(),
            burst: self.u32(),
            kind: match self.u8() % 4 {
                0 => BandKind::Drop,
                1 => BandKind::DscpRemark { precedence: self.u8() },
                2 => BandKind::Experimenter { experimenter: self.u32(), data: self.bytes(20) },
                _ => BandKind::Other { kind: 3 + self.u16() % 100, data: self.bytes(20) },
            },
        }
    }

    pub(super) fn meter_mod(&mut self) -> MeterMod {
        MeterMod {
            command: match self.u8() % 4 {
                0 => MeterCommand::Add,
                1 => MeterCommand::Modify,
                2 => MeterCommand::Delete,
                _ => MeterCommand::Other(self.u16() | 4),
            },
            flags: self.u16(),
            meter: self.u32(),
            bands: self.list(Self::band),
        }
    }

    fn type_id(&mut self) -> TypeId {
        TypeId { kind: self.u16(), data: self.bytes(12) }
    }

    fn table_features(&mut self) -> TableFeatures {
        TableFeatures {
            table: self.u8(),
            name: self.text(32),
            metadata_match: self.u64(),
            metadata_write: self.u64(),
            config: self.u32(),
            max_entries: self.u32(),
            properties: self.list(Self::table_property),
        }
    }

    fn table_property(&mut self) -> TableProperty {
        let miss = self.bool();
        match self.random.below(9) {
            0 => TableProperty::Instructions { miss, instructions: self.list(Self::type_id) },
            1 => TableProperty::NextTables { miss, tables: self.bytes(20) },
            2 => TableProperty::WriteActions { miss, actions: self.list(Self::type_id) },
            3 => TableProperty::ApplyActions { miss, actions: self.list(Self::type_id) },
            4 => TableProperty::Match(self.list(Self::oxm_header)),
            5 => TableProperty::Wildcards(self.list(Self::oxm_header)),
            6 => TableProperty::WriteSetField { miss, fields: self.list(Self::oxm_header) },
            7 => TableProperty::ApplySetField { miss, fields: self.list(Self::oxm_header) },
            _ => TableProperty::Other(100 + self.u16() % 100, self.bytes(20)),
        }
    }
}
