//! Flow monitors: who is told of which changes of the entries ([`crate::monitor`]).
//!
//! A change is told in whole, once for each connection, however many of its monitors cover it; what a connection's own
//! flow-mod did by its transaction alone, unless a monitor asks for more. What one message or packet leads to waits together
//! and goes out as few messages. An entry that many are told of is kept once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::connections::ConnectionId;
use super::flow_mod::sends_to;
use super::rule::Rule;
use super::stats::encoded_len;
use super::tables::{Entry, TABLES};
use super::{Output, Queued, Switch};
use crate::error::{BadRequest, Fault, FlowMonitorFailed};
use crate::flow::ALL_TABLES;
use crate::instruction::Instruction;
use crate::message::{Body, Message};
use crate::monitor::{FlowUpdate, MonitorEvent, MonitorRequest, MonitorUpdate, flags};
use crate::multipart::{MultipartReply, Reply};
use crate::port::PortNo;
use crate::wire::MESSAGE_MAX;

/// Monitors of one connection.
pub const MONITORS_MAX: usize = 64;

/// All bits there are, and those that say of which changes to tell.
const FLAGS: u16 = 0x3f;
const CHANGES: u16 = flags::ADD | flags::DELETE | flags::MODIFY;

#[derive(Debug)]
struct Monitor {
    flags: u16,
    out_port: PortNo,
    table: u8,
    rule: Rule,
}

impl Monitor {
    fn of(request: &MonitorRequest) -> Result<Self, Fault> {
        let &MonitorRequest { flags, out_port, table, .. } = request;
        if flags & !FLAGS != 0 || flags & CHANGES == 0 {
            return Err(FlowMonitorFailed::BadFlags.into());
        }
        if table >= TABLES && table != ALL_TABLES {
            return Err(BadRequest::BadTableId.into());
        }
        Ok(Self { flags, out_port, table, rule: Rule::of(&request.matching)? })
    }

    /// Whether it covers an entry, which did something else before it was changed.
    fn covers(&self, rule: &Rule, entry: &Entry, old: &[Instruction]) -> bool {
        let sends = |instructions| sends_to(instructions, self.out_port);
        (self.table == ALL_TABLES || self.table == entry.table)
            && self.rule.covers(rule)
            && (self.out_port == PortNo::ANY || sends(&entry.instructions) || sends(old))
    }
}

/// What a connection is told.
#[derive(Debug, Clone)]
enum Told {
    Own { xid: u32 },
    Flow { update: Arc<FlowUpdate>, with_instructions: bool },
}

impl Told {
    fn update(&self) -> MonitorUpdate {
        match self {
            Self::Own { xid } => MonitorUpdate::Own { xid: *xid },
            Self::Flow { update, with_instructions: true } => MonitorUpdate::Flow((**update).clone()),
            Self::Flow { update, .. } => {
                let &FlowUpdate { event, table, priority, idle_timeout, hard_timeout, cookie, .. } =
                    &**update;
                let (matching, instructions) = (update.matching.clone(), Vec::new());
                MonitorUpdate::Flow(FlowUpdate {
                    event,
                    table,
                    priority,
                    idle_timeout,
                    hard_timeout,
                    cookie,
                    matching,
                    instructions,
                })
            }
        }
    }
}

/// What waits to be told to a connection, oldest last.
#[derive(Debug)]
pub(super) struct Telling {
    connection: ConnectionId,
    told: Vec<Told>,
}

/// All monitors, and what is to be told.
#[derive(Debug, Default)]
pub(super) struct Monitors {
    all: BTreeMap<ConnectionId, BTreeMap<u32, Monitor>>,
    /// The flow-mod that is carried out.
    cause: Option<(ConnectionId, u32)>,
    waiting: BTreeMap<ConnectionId, Vec<Told>>,
}

fn of_entry(event: MonitorEvent, entry: &Entry) -> FlowUpdate {
    FlowUpdate {
        event,
        table: entry.table,
        priority: entry.priority,
        idle_timeout: entry.idle_timeout.get(),
        hard_timeout: entry.hard_timeout.get(),
        cookie: entry.cookie,
        matching: entry.matching.clone(),
        instructions: entry.instructions.clone(),
    }
}

impl Monitors {
    /// From here on, changes are that request's; with `None`, nobody's.
    pub(super) fn begin(&mut self, cause: Option<(ConnectionId, u32)>) {
        self.cause = cause;
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.all.remove(&connection);
        self.waiting.remove(&connection);
    }

    /// `NXT_FLOW_MONITOR_CANCEL`.
    pub(super) fn cancel(&mut self, connection: ConnectionId, id: u32) -> Result<(), Fault> {
        let gone = self.all.get_mut(&connection).and_then(|monitors| monitors.remove(&id));
        self.all.retain(|_, monitors| !monitors.is_empty());
        gone.map(|_| ()).ok_or_else(|| FlowMonitorFailed::UnknownMonitor.into())
    }

    /// Something has become of an entry, which did `old` before.
    pub(super) fn changed(&mut self, event: MonitorEvent, entry: &Entry, old: &[Instruction]) {
        if self.all.is_empty() {
            return;
        }
        let Ok(rule) = Rule::of(&entry.matching) else { return };
        let wanted = match event {
            MonitorEvent::Added => flags::ADD,
            MonitorEvent::Removed(_) => flags::DELETE,
            MonitorEvent::Modified => flags::MODIFY,
        };
        let mut shared = None;
        for (connection, monitors) in &self.all {
            let covering = monitors
                .values()
                .filter(|monitor| monitor.flags & wanted != 0 && monitor.covers(&rule, entry, old));
            let asked = covering.fold(0, |asked, monitor| asked | monitor.flags);
            if asked == 0 {
                continue;
            }
            let waiting = self.waiting.entry(*connection).or_default();
            match self.cause {
                Some((cause, xid)) if cause == *connection && asked & flags::OWN == 0 => {
                    if !matches!(waiting.last(), Some(Told::Own { xid: last }) if *last == xid) {
                        waiting.push(Told::Own { xid });
                    }
                }
                _ => {
                    let update = shared.get_or_insert_with(|| Arc::new(of_entry(event, entry)));
                    let with_instructions = asked & flags::ACTIONS != 0;
                    waiting.push(Told::Flow { update: Arc::clone(update), with_instructions });
                }
            }
        }
    }
}

impl Switch {
    /// Sets monitors up, all or none; the entries that those cover which ask for what is there.
    pub(super) fn monitor(
        &mut self,
        id: ConnectionId,
        requests: &[MonitorRequest],
    ) -> Result<Vec<MonitorUpdate>, Fault> {
        let there = self.monitors.all.get(&id);
        let mut new = BTreeMap::new();
        for request in requests {
            let is_there = there.is_some_and(|monitors| monitors.contains_key(&request.id));
            if is_there || new.insert(request.id, Monitor::of(request)?).is_some() {
                return Err(FlowMonitorFailed::MonitorExists.into());
            }
        }
        if new.is_empty() {
            return Ok(Vec::new());
        }
        if there.map_or(0, BTreeMap::len) + new.len() > MONITORS_MAX {
            return Err(BadRequest::Eperm.into());
        }
        let initial: Vec<&Monitor> =
            new.values().filter(|monitor| monitor.flags & flags::INITIAL != 0).collect();
        let asked = |rule: &Rule, entry: &Entry| {
            let covering = initial.iter().filter(|monitor| monitor.covers(rule, entry, &[]));
            covering.fold(0, |asked, monitor| asked | monitor.flags)
        };
        let tables = &self.datapath.tables;
        let found = tables.select(ALL_TABLES, |rule, entry| asked(rule, entry) != 0);
        let tell = |entry: &Entry| {
            let mut update = of_entry(MonitorEvent::Added, entry);
            let with = Rule::of(&entry.matching).map_or(0, |rule| asked(&rule, entry)) & flags::ACTIONS;
            if with == 0 {
                update.instructions.clear();
            }
            MonitorUpdate::Flow(update)
        };
        let updates = found.into_iter().filter_map(|id| tables.entry(id)).map(tell).collect();
        self.monitors.all.entry(id).or_default().extend(new);
        Ok(updates)
    }

    /// Puts what is to be told behind what is to be sent.
    pub(super) fn tell_monitors(&mut self) {
        while let Some((connection, mut told)) = self.monitors.waiting.pop_first() {
            told.reverse();
            self.outputs.push_back(Queued::Telling(Telling { connection, told }));
        }
    }

    /// The next message of it, if any is left, and the rest goes back to where it was. What the version has no words for is
    /// left out, as in statistics.
    pub(super) fn tell_next(&mut self, mut telling: Telling) -> Option<Output> {
        let connection = telling.connection;
        let version = self.connections.get(connection)?.version;
        let wrap = |updates| {
            let reply = MultipartReply { flags: 0, body: Reply::FlowMonitor(updates) };
            Message::new(0, Body::MultipartReply(reply))
        };
        let empty = encoded_len(version, &wrap(Vec::new())).unwrap_or(0);
        let (mut updates, mut length) = (Vec::new(), empty);
        while let Some(told) = telling.told.last() {
            let update = told.update();
            let own = encoded_len(version, &wrap(vec![update.clone()])).map(|whole| whole - empty);
            match own {
                Some(own) if length + own > MESSAGE_MAX => break,
                Some(own) => {
                    length += own;
                    updates.push(update);
                }
                None => {}
            }
            telling.told.pop();
        }
        if !telling.told.is_empty() {
            self.outputs.push_front(Queued::Telling(telling));
        }
        (!updates.is_empty()).then(|| Output::Message { connection, message: wrap(updates) })
    }
}
