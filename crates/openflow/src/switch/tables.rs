//! Flow tables: entries, what finds them, and when their time is over.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lookup::tuple_space::TupleSpace;
use packet::flow::FlowHasher;

use super::abilities::{self, Abilities, Asked};
use super::features;
use super::key::{WORDS, Words};
use super::ports::{Count, bump, since};
use super::rule::{Rule, rank};
use crate::error::{Fault, FlowModFailed};
use crate::flow::{ALL_TABLES, RemovedReason, flags};
use crate::instruction::Instruction;
use crate::matching::Match;
use crate::multipart::FlowStats;
use crate::table::TableFeatures;

/// Flow tables: 0 to 253.
pub const TABLES: u8 = 254;
/// Most flow entries of all tables together.
pub const FLOWS_MAX: usize = 1 << 20;

/// An entry's place; it may be taken by another once it is gone.
pub(super) type EntryId = u32;

/// A flow entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) table: u8,
    pub(super) priority: u16,
    pub(super) cookie: u64,
    pub(super) idle_timeout: Cell<u16>,
    pub(super) hard_timeout: Cell<u16>,
    pub(super) flags: u16,
    /// As it was given.
    pub(super) matching: Match,
    pub(super) instructions: Vec<Instruction>,
    pub(super) created: Duration,
    /// The last change, from which the hard timeout of a modified entry counts in `nx_flow_stats`.
    pub(super) modified: Duration,
    pub(super) used: Cell<Duration>,
    pub(super) count: Count,
    /// When it is to be looked at, in the timer.
    timer: Option<Duration>,
}

impl Entry {
    pub(super) fn hit(&self, now: Duration, bytes: usize) {
        let (packets, octets) = self.count.get();
        if self.flags & flags::NO_PACKET_COUNTS == 0 {
            self.count.packets.set(packets.wrapping_add(1));
        }
        if self.flags & flags::NO_BYTE_COUNTS == 0 {
            self.count.bytes.set(octets.wrapping_add(bytes as u64));
        }
        if self.used.get() < now {
            self.used.set(now);
        }
    }

    /// When its time is over, as it looks now, and why.
    fn due(&self) -> Option<(Duration, RemovedReason)> {
        let after = |start: Duration, seconds: u16, reason| {
            (seconds > 0).then(|| (start + Duration::from_secs(u64::from(seconds)), reason))
        };
        let hard = after(self.created, self.hard_timeout.get(), RemovedReason::HardTimeout);
        let idle = after(self.used.get(), self.idle_timeout.get(), RemovedReason::IdleTimeout);
        match (hard, idle) {
            (Some(hard), Some(idle)) => Some(if idle.0 < hard.0 { idle } else { hard }),
            (hard, idle) => hard.or(idle),
        }
    }

    pub(super) fn stats(&self, now: Duration) -> FlowStats {
        let (packets, bytes) = self.count.get();
        FlowStats {
            table: self.table,
            duration: since(now, self.created),
            priority: self.priority,
            idle_timeout: self.idle_timeout.get(),
            hard_timeout: self.hard_timeout.get(),
            flags: self.flags,
            cookie: self.cookie,
            packets,
            bytes,
            matching: self.matching.clone(),
            instructions: self.instructions.clone(),
        }
    }
}

/// What an entry is made of.
#[derive(Debug)]
pub(super) struct NewEntry {
    pub(super) table: u8,
    pub(super) priority: u16,
    pub(super) cookie: u64,
    pub(super) idle_timeout: u16,
    pub(super) hard_timeout: u16,
    pub(super) flags: u16,
    pub(super) matching: Match,
    pub(super) instructions: Vec<Instruction>,
}

#[derive(Debug)]
struct Table {
    rules: TupleSpace<WORDS, EntryId>,
    lookups: Cell<u64>,
    matched: Cell<u64>,
    limit: usize,
    /// What a controller has asked of it; nothing, and it can do everything.
    asked: Option<Box<Asked>>,
    /// A controller may ask for other tables only.
    is_there: bool,
}

/// All tables.
#[derive(Debug)]
pub(super) struct Tables {
    tables: Vec<Table>,
    entries: Vec<Option<Entry>>,
    free: Vec<EntryId>,
    timer: BTreeSet<(Duration, EntryId)>,
    count: usize,
    limit: usize,
}

impl Tables {
    pub(super) fn new(hasher: FlowHasher, per_table: usize) -> Self {
        let limit = per_table.min(FLOWS_MAX);
        let table = |_| Table {
            rules: TupleSpace::with_limits(limit, usize::MAX, hasher),
            lookups: Cell::new(0),
            matched: Cell::new(0),
            limit,
            asked: None,
            is_there: true,
        };
        Self {
            tables: (0..TABLES).map(table).collect(),
            entries: Vec::new(),
            free: Vec::new(),
            timer: BTreeSet::new(),
            count: 0,
            limit: FLOWS_MAX,
        }
    }

    pub(super) fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(id as usize)?.as_ref()
    }

    pub(super) fn entry_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        self.entries.get_mut(id as usize)?.as_mut()
    }

    /// Whether there is such a table.
    pub(super) fn is_there(&self, table: u8) -> bool {
        self.tables.get(usize::from(table)).is_some_and(|table| table.is_there)
    }

    /// What its entries may be, where a controller has asked for less than everything.
    pub(super) fn abilities(&self, table: u8) -> Option<&Abilities> {
        self.tables.get(usize::from(table))?.asked.as_ref().map(|asked| &asked.abilities)
    }

    /// A table's name.
    pub(super) fn name(&self, table: u8) -> String {
        let asked = self.tables.get(usize::from(table)).and_then(|table| table.asked.as_ref());
        asked.map_or_else(|| features::table_name(table), |asked| asked.name.clone())
    }

    /// What the tables that are there can do.
    pub(super) fn features(&self) -> Vec<TableFeatures> {
        let there = (0..TABLES).filter(|table| self.is_there(*table));
        there.map(|table| self.features_of(table)).collect()
    }

    fn features_of(&self, number: u8) -> TableFeatures {
        let table = &self.tables[usize::from(number)];
        let full = features::table(number, table.limit);
        let Some(asked) = &table.asked else { return full };
        let (metadata_match, metadata_write) = asked.abilities.metadata();
        TableFeatures {
            name: asked.name.clone(),
            metadata_match,
            metadata_write,
            config: asked.config,
            properties: asked.abilities.properties(),
            ..full
        }
    }

    /// Makes the tables what is asked; the entries of tables that are gone then, or can do something else.
    pub(super) fn ask(&mut self, asked: Vec<Asked>) -> Vec<EntryId> {
        // What each can do now, in the same form.
        let before = abilities::parse(&self.features()).unwrap_or_default();
        let mut before: BTreeMap<u8, Abilities> =
            before.into_iter().map(|asked| (asked.table, asked.abilities)).collect();
        self.tables.iter_mut().for_each(|table| table.is_there = false);
        for asked in asked {
            let table = &mut self.tables[usize::from(asked.table)];
            table.is_there = true;
            if before.get(&asked.table) == Some(&asked.abilities) {
                before.remove(&asked.table);
            }
            table.asked = Some(Box::new(asked));
        }
        let mut gone = Vec::new();
        for table in before.into_keys() {
            gone.extend(self.select(table, |_, _| true));
        }
        gone
    }

    /// The entry a packet is under in a table.
    pub(super) fn lookup(&self, table: u8, key: &Words) -> Option<(EntryId, &Entry)> {
        let id = self.tables.get(usize::from(table))?.rules.lookup(key)?.value;
        self.entry(id).map(|entry| (id, entry))
    }

    pub(super) fn count_lookup(&self, table: u8, matched: bool) {
        if let Some(table) = self.tables.get(usize::from(table)) {
            bump(&table.lookups);
            if matched {
                bump(&table.matched);
            }
        }
    }

    /// Entries, lookups, matches, and the limit of a table.
    pub(super) fn figures(&self, table: u8) -> (usize, u64, u64, usize) {
        let table = &self.tables[usize::from(table)];
        (table.rules.len(), table.lookups.get(), table.matched.get(), table.limit)
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The entry of exactly that match and rank.
    pub(super) fn exact(&self, table: u8, rule: &Rule, rank: u32) -> Option<EntryId> {
        let rules = &self.tables.get(usize::from(table))?.rules;
        rules.find(&rule.key, &rule.mask, rank).map(|found| found.value)
    }

    /// Entries of a table, or of all ([`ALL_TABLES`]), that `wanted` says yes to; in the order of their tables.
    pub(super) fn select(&self, table: u8, mut wanted: impl FnMut(&Rule, &Entry) -> bool) -> Vec<EntryId> {
        let tables = self.tables.iter().enumerate();
        let tables = tables.filter(|(number, _)| table == ALL_TABLES || *number == usize::from(table));
        let mut found = Vec::new();
        for (_, table) in tables.filter(|(_, table)| !table.rules.is_empty()) {
            let start = found.len();
            for rule in table.rules.iter() {
                let compiled = Rule { key: rule.key, mask: rule.mask };
                if self.entry(rule.value).is_some_and(|entry| wanted(&compiled, entry)) {
                    found.push(rule.value);
                }
            }
            // Hash tables have an order of their own.
            found[start..].sort_unstable();
        }
        found
    }

    /// Adds an entry where none of that match and priority is.
    pub(super) fn insert(&mut self, now: Duration, rule: &Rule, new: NewEntry) -> Result<EntryId, Fault> {
        let table = self.tables.get_mut(usize::from(new.table)).ok_or(FlowModFailed::BadTableId)?;
        if self.count >= self.limit {
            return Err(FlowModFailed::TableFull.into());
        }
        let id = self.free.last().copied().unwrap_or(self.entries.len() as EntryId);
        // Full, or too many masks: both are a limit of the table.
        table
            .rules
            .insert(rule.key, rule.mask, rank(&new.matching, new.priority), id)
            .map_err(|_| FlowModFailed::TableFull)?;
        let entry = Entry {
            table: new.table,
            priority: new.priority,
            cookie: new.cookie,
            idle_timeout: Cell::new(new.idle_timeout),
            hard_timeout: Cell::new(new.hard_timeout),
            flags: new.flags,
            matching: new.matching,
            instructions: new.instructions,
            created: now,
            modified: now,
            used: Cell::new(now),
            count: Count::default(),
            timer: None,
        };
        if self.free.pop().is_some() {
            self.entries[id as usize] = Some(entry);
        } else {
            self.entries.push(Some(entry));
        }
        self.count += 1;
        self.arm(id);
        Ok(id)
    }

    /// Puts another entry in the place of one of the same match and priority, as adding it does.
    /// What it did is returned.
    pub(super) fn replace(&mut self, now: Duration, id: EntryId, new: NewEntry) -> Vec<Instruction> {
        let Some(entry) = self.entry_mut(id) else { return Vec::new() };
        entry.cookie = new.cookie;
        entry.idle_timeout.set(new.idle_timeout);
        entry.hard_timeout.set(new.hard_timeout);
        entry.flags = new.flags;
        // The same match in other words, or of the same rank with another number.
        (entry.matching, entry.priority) = (new.matching, new.priority);
        let old = std::mem::replace(&mut entry.instructions, new.instructions);
        (entry.created, entry.modified) = (now, now);
        entry.used.set(now);
        self.arm(id);
        old
    }

    /// Puts an entry into the timer anew, after its timeouts or times changed.
    pub(super) fn arm(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get_mut(id as usize).and_then(Option::as_mut) else { return };
        let due = entry.due().map(|(time, _)| time);
        if due == entry.timer {
            return;
        }
        if let Some(old) = entry.timer {
            self.timer.remove(&(old, id));
        }
        entry.timer = due;
        if let Some(due) = due {
            self.timer.insert((due, id));
        }
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, id: EntryId) -> Option<Entry> {
        let entry = self.entries.get_mut(id as usize)?.take()?;
        if let Some(due) = entry.timer {
            self.timer.remove(&(due, id));
        }
        if let Ok(rule) = Rule::of(&entry.matching) {
            let rules = &mut self.tables[usize::from(entry.table)].rules;
            rules.remove(&rule.key, &rule.mask, rank(&entry.matching, entry.priority));
        }
        self.free.push(id);
        self.count -= 1;
        Some(entry)
    }

    /// Takes out one entry whose time is over.
    pub(super) fn expired(&mut self, now: Duration) -> Option<(Entry, RemovedReason)> {
        while let Some(&(due, id)) = self.timer.first()
            && due <= now
        {
            match self.entry(id).and_then(Entry::due) {
                Some((real, reason)) if real <= now => return self.remove(id).map(|entry| (entry, reason)),
                // It was used since.
                Some(_) => self.arm(id),
                None => {
                    self.timer.pop_first();
                }
            }
        }
        None
    }

    /// When an entry's time may be over.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.timer.first().map(|&(due, _)| due)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }
}
