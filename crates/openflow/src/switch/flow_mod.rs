//! Changes of the flow tables (OpenFlow 1.0, section 4.6; 1.3.5, sections 6.4 and 6.5).

use std::time::Duration;

use super::Switch;
use super::abilities::Asked;
use super::check::Checker;
use super::connections::ConnectionId;
use super::rule::{Rule, rank};
use super::tables::{Entry, EntryId, NewEntry, TABLES};
use crate::action::Action;
use crate::error::{Fault, FlowModFailed};
use crate::flow::{ALL_TABLES, FlowCommand, FlowMod, NO_BUFFER, RemovedReason, flags};
use crate::group;
use crate::instruction::Instruction;
use crate::matching::Match;
use crate::monitor::MonitorEvent;
use crate::nicira;
use crate::port::PortNo;
use crate::version::Version;

/// Lists of actions of an entry.
fn actions(instructions: &[Instruction]) -> impl Iterator<Item = &Action> {
    instructions.iter().flat_map(|instruction| match instruction {
        Instruction::ApplyActions(actions) | Instruction::WriteActions(actions) => actions.as_slice(),
        _ => &[],
    })
}

/// Whether an entry outputs to that port.
pub(super) fn sends_to(instructions: &[Instruction], wanted: PortNo) -> bool {
    actions(instructions).any(|action| match action {
        Action::Output { port, .. } | Action::Enqueue { port, .. } => *port == wanted,
        Action::Nicira(nicira::Action::Bundle(bundle)) => {
            bundle.ports.iter().any(|port| PortNo::from_v10(*port) == wanted)
        }
        Action::Nicira(nicira::Action::Controller { .. }) => wanted == PortNo::CONTROLLER,
        _ => false,
    })
}

/// Whether an entry leads to that group.
fn leads_to(instructions: &[Instruction], wanted: u32) -> bool {
    actions(instructions).any(|action| *action == Action::Group(wanted))
}

/// Whether it is the table-miss entry (1.3.5, section 5.4).
fn is_miss(priority: u16, matching: &Match) -> bool {
    priority == 0 && matching.as_fields().is_empty()
}

/// Which entries a request is about, beyond its match.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    pub(super) cookie: u64,
    pub(super) cookie_mask: u64,
    pub(super) out_port: PortNo,
    pub(super) out_group: u32,
}

impl Filter {
    pub(super) fn admits(&self, entry: &Entry) -> bool {
        (entry.cookie ^ self.cookie) & self.cookie_mask == 0
            && (self.out_port == PortNo::ANY || sends_to(&entry.instructions, self.out_port))
            && (self.out_group == group::ANY || leads_to(&entry.instructions, self.out_group))
    }
}

impl Switch {
    /// A flow-mod of a connection.
    pub(super) fn flow_mod(
        &mut self,
        now: Duration,
        id: ConnectionId,
        xid: u32,
        request: &FlowMod,
    ) -> Result<(), Fault> {
        let Some(connection) = self.connections.get(id) else { return Ok(()) };
        let (version, has_table_ids) = (connection.version, connection.has_table_ids);
        let deletes = matches!(request.command, FlowCommand::Delete | FlowCommand::DeleteStrict);
        let adds = request.command == FlowCommand::Add;
        let table = match version {
            Version::V13 => request.table,
            // 1.0's one table is the first for an addition and any for what is there.
            Version::V10 if has_table_ids => match request.table {
                ALL_TABLES if adds => 0,
                table => table,
            },
            Version::V10 if request.table != 0 => return Err(FlowModFailed::BadCommand.into()),
            Version::V10 if adds => 0,
            Version::V10 => ALL_TABLES,
        };
        if !self.datapath.tables.is_there(table)
            && !(table == ALL_TABLES && (deletes || version == Version::V10))
        {
            return Err(FlowModFailed::BadTableId.into());
        }
        self.check_flags(version, request)?;
        self.monitors.begin(Some((id, xid)));
        let added = self.change_flows(now, version, table, request)?;
        self.monitors.begin(None);
        if request.buffer == NO_BUFFER || deletes {
            return Ok(());
        }
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let kept = connection.buffers.take(now, request.buffer)?;
        // 1.0 does the new entry's actions; 1.3 sends the packet through the tables (section 7.3.4.1).
        match version {
            Version::V13 => self.run_tables(now, kept.bytes, kept.in_port.0),
            Version::V10 => self.run_entry(now, added, kept.bytes, kept.in_port.0),
        }
        Ok(())
    }

    fn check_flags(&self, version: Version, request: &FlowMod) -> Result<(), Fault> {
        match version {
            Version::V10 => {
                if request.flags & flags::EMERG_OR_RESET_COUNTS != 0 && request.command == FlowCommand::Add {
                    // There is no emergency table, or one that is full (1.0, section 4.6).
                    let has_timeouts = request.idle_timeout != 0 || request.hard_timeout != 0;
                    let fault =
                        if has_timeouts { FlowModFailed::BadEmergTimeout } else { FlowModFailed::TableFull };
                    return Err(fault.into());
                }
                if request.flags & !0b111 != 0 {
                    return Err(FlowModFailed::BadFlags.into());
                }
            }
            Version::V13 if request.flags & !0b1_1111 != 0 => return Err(FlowModFailed::BadFlags.into()),
            Version::V13 => {}
        }
        Ok(())
    }

    /// Changes the tables; the entry that was added or changed first.
    pub(super) fn change_flows(
        &mut self,
        now: Duration,
        version: Version,
        table: u8,
        request: &FlowMod,
    ) -> Result<Option<EntryId>, Fault> {
        let rule = Rule::of(&request.matching)?;
        let changed = match request.command {
            FlowCommand::Add => self.add_flow(now, version, table, &rule, request)?,
            FlowCommand::Modify | FlowCommand::ModifyStrict => {
                let found = self.select(table, &rule, request);
                // 1.0: what is not there is added (section 4.6).
                if found.is_empty() && version == Version::V10 {
                    let table = if table == ALL_TABLES { 0 } else { table };
                    self.add_flow(now, version, table, &rule, request)?
                } else {
                    self.modify_flows(now, version, &found, &rule, request)?
                }
            }
            FlowCommand::Delete | FlowCommand::DeleteStrict => {
                for id in self.select(table, &rule, request) {
                    self.remove_flow(now, id, RemovedReason::Delete);
                }
                None
            }
            FlowCommand::Other(_) => return Err(FlowModFailed::BadCommand.into()),
        };
        self.generation += 1;
        Ok(changed)
    }

    /// The entries a modification or deletion is about.
    fn select(&self, table: u8, rule: &Rule, request: &FlowMod) -> Vec<EntryId> {
        let is_strict = matches!(request.command, FlowCommand::ModifyStrict | FlowCommand::DeleteStrict);
        let deletes = matches!(request.command, FlowCommand::Delete | FlowCommand::DeleteStrict);
        let filter = Filter {
            cookie: request.cookie,
            cookie_mask: request.cookie_mask,
            out_port: if deletes { request.out_port } else { PortNo::ANY },
            out_group: if deletes { request.out_group } else { group::ANY },
        };
        if !is_strict {
            return self
                .datapath
                .tables
                .select(table, |found, entry| rule.covers(found) && filter.admits(entry));
        }
        let rank = rank(&request.matching, request.priority);
        let tables = if table == ALL_TABLES { 0..TABLES } else { table..table + 1 };
        let exact = tables.filter_map(|table| self.datapath.tables.exact(table, rule, rank));
        exact.filter(|id| self.datapath.tables.entry(*id).is_some_and(|entry| filter.admits(entry))).collect()
    }

    fn add_flow(
        &mut self,
        now: Duration,
        version: Version,
        table: u8,
        rule: &Rule,
        request: &FlowMod,
    ) -> Result<Option<EntryId>, Fault> {
        Checker::of_rule(&self.datapath, version, rule).instructions(table, &request.instructions)?;
        let tables = &mut self.datapath.tables;
        if !tables.is_there(table) {
            return Err(FlowModFailed::BadTableId.into());
        }
        if let Some(abilities) = tables.abilities(table) {
            abilities.admit_match(request.priority, &request.matching)?;
            abilities.admit(is_miss(request.priority, &request.matching), &request.instructions)?;
        }
        if request.flags & flags::CHECK_OVERLAP != 0 {
            let overlapping =
                |found: &Rule, entry: &Entry| entry.priority == request.priority && found.overlaps(rule);
            if !tables.select(table, overlapping).is_empty() {
                return Err(FlowModFailed::Overlap.into());
            }
        }
        let new = NewEntry {
            table,
            priority: request.priority,
            cookie: request.cookie,
            idle_timeout: request.idle_timeout,
            hard_timeout: request.hard_timeout,
            flags: request.flags,
            matching: request.matching.clone(),
            instructions: request.instructions.clone(),
        };
        let Some(id) = tables.exact(table, rule, rank(&request.matching, request.priority)) else {
            let id = tables.insert(now, rule, new)?;
            if let Some(entry) = tables.entry(id) {
                self.monitors.changed(MonitorEvent::Added, entry, &[]);
            }
            return Ok(Some(id));
        };
        // 1.0: the counters start anew. 1.3: they go on, if not asked otherwise (section 6.4).
        if (version == Version::V10 || request.flags & flags::EMERG_OR_RESET_COUNTS != 0)
            && let Some(entry) = tables.entry(id)
        {
            entry.count.reset();
        }
        let old = tables.replace(now, id, new);
        if let Some(entry) = tables.entry(id) {
            self.monitors.changed(MonitorEvent::Added, entry, &old);
        }
        Ok(Some(id))
    }

    fn modify_flows(
        &mut self,
        now: Duration,
        version: Version,
        found: &[EntryId],
        rule: &Rule,
        request: &FlowMod,
    ) -> Result<Option<EntryId>, Fault> {
        if found.is_empty() {
            // What cannot be done is refused though nothing is there to do it to.
            let table = if request.table < TABLES { request.table } else { 0 };
            Checker::of_rule(&self.datapath, version, rule).instructions(table, &request.instructions)?;
        }
        for &id in found {
            let Some(entry) = self.datapath.tables.entry(id) else { continue };
            let own = Rule::of(&entry.matching)?;
            Checker::of_rule(&self.datapath, version, &own)
                .instructions(entry.table, &request.instructions)?;
            if let Some(abilities) = self.datapath.tables.abilities(entry.table) {
                abilities.admit(is_miss(entry.priority, &entry.matching), &request.instructions)?;
            }
        }
        for &id in found {
            let Some(entry) = self.datapath.tables.entry_mut(id) else { continue };
            let old = std::mem::replace(&mut entry.instructions, request.instructions.clone());
            let old_cookie = entry.cookie;
            entry.modified = now;
            // 1.0's cookie belongs to the actions; 1.3 leaves it.
            if version == Version::V10 {
                entry.cookie = request.cookie;
            }
            if version == Version::V13 && request.flags & flags::EMERG_OR_RESET_COUNTS != 0 {
                entry.count.reset();
            }
            if entry.instructions != old || entry.cookie != old_cookie {
                self.monitors.changed(MonitorEvent::Modified, entry, &old);
            }
        }
        Ok(found.first().copied())
    }

    /// Takes an entry out and tells who asked for it.
    pub(super) fn remove_flow(&mut self, now: Duration, id: EntryId, reason: RemovedReason) {
        if let Some(entry) = self.datapath.tables.remove(id) {
            self.generation += 1;
            self.monitors.changed(MonitorEvent::Removed(reason), &entry, &[]);
            self.tell_removed(now, &entry, reason);
        }
    }

    /// Gives the tables what a controller asks of them (1.3.5, section 7.3.5.5.1). Entries of tables that are gone, or can do
    /// something else now, go without a word but to monitors.
    pub(super) fn ask_tables(&mut self, asked: Vec<Asked>) {
        for id in self.datapath.tables.ask(asked) {
            if let Some(entry) = self.datapath.tables.remove(id) {
                self.monitors.changed(MonitorEvent::Removed(RemovedReason::Delete), &entry, &[]);
            }
        }
        self.generation += 1;
    }

    fn remove_users(&mut self, now: Duration, reason: RemovedReason, uses: impl Fn(&[Instruction]) -> bool) {
        let users = self.datapath.tables.select(ALL_TABLES, |_, entry| uses(&entry.instructions));
        users.into_iter().for_each(|id| self.remove_flow(now, id, reason));
    }

    /// Takes out the entries that lead to groups that are gone; the numbers are in order.
    pub(super) fn remove_users_of_groups(&mut self, now: Duration, gone: &[u32]) {
        let is_gone =
            |action: &Action| matches!(action, Action::Group(led) if gone.binary_search(led).is_ok());
        self.remove_users(now, RemovedReason::GroupDelete, |all| actions(all).any(is_gone));
    }

    /// Takes out the entries through meters that are gone; the numbers are in order.
    pub(super) fn remove_users_of_meters(&mut self, now: Duration, gone: &[u32]) {
        let uses = |all: &[Instruction]| {
            all.iter().any(|one| matches!(one, Instruction::Meter(used) if gone.binary_search(used).is_ok()))
        };
        self.remove_users(now, RemovedReason::Delete, uses);
    }
}
