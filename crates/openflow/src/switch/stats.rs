//! Statistics and descriptions (OpenFlow 1.0, section 5.3.5; 1.3.5, section 7.3.5).

use std::collections::BTreeMap;
use std::time::Duration;

use super::Switch;
use super::abilities;
use super::connections::ConnectionId;
use super::features;
use super::flow_mod::Filter;
use super::groups::{Groups, led_to};
use super::meters::Meters;
use super::rule::Rule;
use super::tables::{EntryId, TABLES};
use crate::codec;
use crate::error::{BadRequest, Fault, FlowModFailed, QueueOpFailed};
use crate::field::Field;
use crate::flow::ALL_TABLES;
use crate::group;
use crate::instruction::Instruction;
use crate::matching::{Match, wildcards};
use crate::message::{Body, Message};
use crate::multipart::{
    AggregateStats, FlowRequest, FlowStats, MORE, MultipartReply, MultipartRequest, Reply, Request,
};
use crate::nicira;
use crate::oxm::Oxm;
use crate::port::PortNo;
use crate::table::TableStats;
use crate::version::Version;
use crate::wire::MESSAGE_MAX;

/// 1.0's table of emergency entries in requests.
const EMERGENCY_TABLE: u8 = 0xfe;

/// Bytes of a message; `None` where the version cannot say it.
pub(super) fn encoded_len(version: Version, message: &Message) -> Option<usize> {
    let mut bytes = Vec::new();
    codec::encode(version, message, &mut bytes).ok().map(|()| bytes.len())
}

impl Switch {
    pub(super) fn multipart(
        &mut self,
        now: Duration,
        id: ConnectionId,
        xid: u32,
        request: &MultipartRequest,
    ) -> Result<(), Fault> {
        let Some(version) = self.connections.get(id).map(|connection| connection.version) else {
            return Ok(());
        };
        // Requests that come in parts are put together by the channel.
        if request.flags & MORE != 0 {
            return Err(BadRequest::MultipartBufferOverflow.into());
        }
        let mut answer = Answer { switch: self, id, xid, version };
        match &request.body {
            Request::Description => {
                let description = answer.switch.config.description.clone();
                answer.one(Reply::Description(description));
            }
            Request::Flow(wanted) => {
                let flows = answer.switch.flow_stats(now, version, wanted)?;
                answer.parts(flows, Reply::Flow);
            }
            Request::Aggregate(wanted) => {
                let sum = answer.switch.aggregate(version, wanted)?;
                answer.one(Reply::Aggregate(sum));
            }
            Request::Table => {
                let tables = answer.switch.table_stats();
                answer.parts(tables, Reply::Table);
            }
            Request::Port(port) => {
                if *port != PortNo::ANY && answer.switch.datapath.ports.get(port.0).is_none() {
                    return Err(BadRequest::BadPort.into());
                }
                let ports = answer.switch.datapath.ports.stats(now, *port);
                answer.parts(ports, Reply::Port);
            }
            Request::Queue { port, queue } => {
                let ports = &answer.switch.datapath.ports;
                if !matches!(*port, PortNo::ANY | PortNo::ALL) && ports.get(port.0).is_none() {
                    return Err(QueueOpFailed::BadPort.into());
                }
                let queues = ports.queue_stats(now, *port, *queue);
                if queues.is_empty() && *queue != crate::queue::ALL {
                    return Err(QueueOpFailed::BadQueue.into());
                }
                answer.parts(queues, Reply::Queue);
            }
            Request::Group(number) => {
                let references = answer.switch.references();
                let groups = answer.switch.datapath.groups.stats(now, *number, &references);
                answer.parts(groups, Reply::Group);
            }
            Request::GroupDescription => {
                let groups = answer.switch.datapath.groups.descriptions();
                answer.parts(groups, Reply::GroupDescription);
            }
            Request::GroupFeatures => answer.one(Reply::GroupFeatures(Groups::features(features::ACTIONS))),
            Request::Meter(number) => {
                let users = answer.switch.meter_users();
                let meters = answer.switch.datapath.meters.stats(now, *number, &users)?;
                answer.parts(meters, Reply::Meter);
            }
            Request::MeterConfig(number) => {
                let meters = answer.switch.datapath.meters.configs(*number)?;
                answer.parts(meters, Reply::MeterConfig);
            }
            Request::MeterFeatures => answer.one(Reply::MeterFeatures(Meters::features())),
            Request::TableFeatures(wanted) => {
                if !wanted.is_empty() {
                    let asked = abilities::parse(wanted)?;
                    answer.switch.ask_tables(asked);
                }
                let tables = answer.switch.datapath.tables.features();
                answer.parts(tables, Reply::TableFeatures);
            }
            Request::FlowMonitor(monitors) => {
                let updates = answer.switch.monitor(id, monitors)?;
                answer.parts(updates, Reply::FlowMonitor);
            }
            Request::PortDescription => {
                let ports = answer.switch.ports().cloned().collect();
                answer.parts(ports, Reply::PortDescription);
            }
            Request::Nicira(wanted) => return answer.nicira(now, wanted),
            Request::Experimenter { .. } => return Err(BadRequest::BadExperimenter.into()),
        }
        Ok(())
    }

    fn selected(&self, version: Version, wanted: &FlowRequest) -> Result<Vec<EntryId>, Fault> {
        if version == Version::V10 && wanted.table == EMERGENCY_TABLE {
            return Ok(Vec::new());
        }
        if wanted.table != ALL_TABLES && !self.datapath.tables.is_there(wanted.table) {
            return Err(if version == Version::V13 {
                BadRequest::BadTableId.into()
            } else {
                FlowModFailed::BadTableId.into()
            });
        }
        let rule = Rule::of(&wanted.matching)?;
        let filter = Filter {
            cookie: wanted.cookie,
            cookie_mask: wanted.cookie_mask,
            out_port: wanted.out_port,
            out_group: wanted.out_group,
        };
        Ok(self
            .datapath
            .tables
            .select(wanted.table, |found, entry| rule.covers(found) && filter.admits(entry)))
    }

    fn flow_stats(
        &self,
        now: Duration,
        version: Version,
        wanted: &FlowRequest,
    ) -> Result<Vec<FlowStats>, Fault> {
        let selected = self.selected(version, wanted)?;
        Ok(selected
            .into_iter()
            .filter_map(|id| self.datapath.tables.entry(id))
            .map(|entry| entry.stats(now))
            .collect())
    }

    fn aggregate(&self, version: Version, wanted: &FlowRequest) -> Result<AggregateStats, Fault> {
        let mut sum = AggregateStats::default();
        for entry in
            self.selected(version, wanted)?.into_iter().filter_map(|id| self.datapath.tables.entry(id))
        {
            let (packets, bytes) = entry.count.get();
            sum.packets = sum.packets.wrapping_add(packets);
            sum.bytes = sum.bytes.wrapping_add(bytes);
            sum.flows += 1;
        }
        Ok(sum)
    }

    fn table_stats(&self) -> Vec<TableStats> {
        let one = |table: u8| {
            let (active, lookups, matched, limit) = self.datapath.tables.figures(table);
            TableStats {
                table,
                name: self.datapath.tables.name(table),
                wildcards: wildcards::ALL,
                max_entries: u32::try_from(limit).unwrap_or(u32::MAX),
                active: u32::try_from(active).unwrap_or(u32::MAX),
                lookups,
                matched,
            }
        };
        (0..TABLES).filter(|table| self.datapath.tables.is_there(*table)).map(one).collect()
    }

    /// How many entries lead to each group.
    fn references(&self) -> BTreeMap<u32, u32> {
        let mut count = BTreeMap::new();
        for instruction in self.datapath.tables.entries().flat_map(|entry| &entry.instructions) {
            if let Instruction::ApplyActions(actions) | Instruction::WriteActions(actions) = instruction {
                led_to(actions).for_each(|group| *count.entry(group).or_default() += 1);
            }
        }
        count
    }

    /// How many entries go through each meter.
    fn meter_users(&self) -> BTreeMap<u32, u32> {
        let mut count = BTreeMap::new();
        for instruction in self.datapath.tables.entries().flat_map(|entry| &entry.instructions) {
            if let Instruction::Meter(number) = instruction {
                *count.entry(*number).or_default() += 1;
            }
        }
        count
    }
}

/// Where an answer goes.
struct Answer<'a> {
    switch: &'a mut Switch,
    id: ConnectionId,
    xid: u32,
    version: Version,
}

impl Answer<'_> {
    fn send(&mut self, flags: u16, body: Reply) {
        self.switch.reply(self.id, self.xid, Body::MultipartReply(MultipartReply { flags, body }));
    }

    fn one(&mut self, body: Reply) {
        self.send(0, body);
    }

    /// Bytes of a reply; `None` where the version cannot say it.
    fn length(&self, body: Reply) -> Option<usize> {
        let message = Message::new(self.xid, Body::MultipartReply(MultipartReply { flags: 0, body }));
        encoded_len(self.version, &message)
    }

    /// A list, in as many messages as it needs. What the version has no words for is left out.
    fn parts<T: Clone>(&mut self, items: Vec<T>, wrap: fn(Vec<T>) -> Reply) {
        let empty = self.length(wrap(Vec::new())).unwrap_or(0);
        let (mut part, mut length) = (Vec::new(), empty);
        for item in items {
            let Some(own) = self.length(wrap(vec![item.clone()])).map(|whole| whole - empty) else {
                continue;
            };
            if length + own > MESSAGE_MAX {
                self.send(MORE, wrap(std::mem::take(&mut part)));
                length = empty;
            }
            length += own;
            part.push(item);
        }
        self.send(0, wrap(part));
    }

    fn nicira(mut self, now: Duration, wanted: &nicira::StatsRequest) -> Result<(), Fault> {
        // A cookie to be asked for is a field there.
        let request = |out_port: PortNo, table: u8, matching: &Match| {
            let mut fields = matching.fields();
            let cookie =
                fields.iter().position(|oxm| oxm.field() == Some(Field::Cookie)).map(|at| fields.remove(at));
            let (cookie, cookie_mask) = match &cookie {
                Some(oxm @ Oxm::Known { value, .. }) => (*value as u64, oxm.effective_mask() as u64),
                _ => (0, 0),
            };
            let matching = Match::Fields(fields);
            FlowRequest { table, out_port, out_group: group::ANY, cookie, cookie_mask, matching }
        };
        match wanted {
            nicira::StatsRequest::Flow { out_port, table, matching } => {
                let flows =
                    self.switch.flow_stats(now, self.version, &request(*out_port, *table, matching))?;
                let flows =
                    flows.into_iter().map(|flow| nicira::FlowStats { flow, idle_age: 0, hard_age: 0 });
                self.parts(flows.collect(), |flows| Reply::Nicira(nicira::StatsReply::Flow(flows)));
            }
            nicira::StatsRequest::Aggregate { out_port, table, matching } => {
                let sum = self.switch.aggregate(self.version, &request(*out_port, *table, matching))?;
                self.one(Reply::Nicira(nicira::StatsReply::Aggregate(sum)));
            }
            nicira::StatsRequest::Other { .. } => return Err(BadRequest::BadExpType.into()),
        }
        Ok(())
    }
}
