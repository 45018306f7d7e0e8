//! The pipeline: tables, instructions, the action set (OpenFlow 1.3.5, sections 5.1 to 5.10).

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use super::Datapath;
use super::frame::Frame;
use super::macs::{is_group, is_reserved};
use super::op::{Change, Effects, Limit, Op, Punt, Walk};
use super::tables::{Entry, EntryId};
use super::trace::Notes;
use crate::action::Action;
use crate::field::Field;
use crate::flow::PacketInReason;
use crate::group::GroupKind;
use crate::instruction::Instruction;
use crate::matching::Match;
use crate::port::PortNo;

/// Actions done for one packet, in all tables and groups.
pub const ACTIONS_PER_PACKET_MAX: usize = 16_384;
/// Resubmissions and groups one within the other.
pub const DEPTH_MAX: usize = 64;
/// Resubmissions for one packet.
pub const RESUBMITS_MAX: usize = 4096;
/// Values on Nicira's stack.
pub const STACK_MAX: usize = 1024;

/// One packet's way.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) walk: Walk<'a>,
    /// The steps so far; `None` once the way depends on more than the key.
    pub(super) record: Option<Vec<Op>>,
    pub(super) notes: Option<Notes>,
    pub(super) in_port: u32,
    pub(super) table: u8,
    pub(super) cookie: u64,
    pub(super) entry: Option<EntryId>,
    /// The entry is a table-miss entry.
    is_miss: bool,
    /// Merged by `WriteActions`.
    set: Vec<Action>,
    pub(super) queue: Option<u32>,
    pub(super) stack: Vec<u128>,
    budget: usize,
    pub(super) resubmits: usize,
    pub(super) depth: usize,
    /// Fields are known now that were not in the key.
    pub(super) revealed: bool,
    /// No more actions, but for the set's.
    pub(super) exited: bool,
    /// Nothing more at all.
    pub(super) dropped: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(datapath: &'a Datapath, now: Duration, frame: Frame, effects: &'a mut Effects) -> Self {
        let in_port = frame.key.in_port();
        Self {
            walk: Walk { datapath, now, frame, saved: Vec::new(), effects, is_trial: false },
            record: Some(Vec::new()),
            notes: None,
            in_port,
            table: 0,
            cookie: u64::MAX,
            entry: None,
            is_miss: false,
            set: Vec::new(),
            queue: None,
            stack: Vec::new(),
            budget: ACTIONS_PER_PACKET_MAX,
            resubmits: 0,
            depth: 0,
            revealed: false,
            exited: false,
            dropped: false,
        }
    }

    pub(super) fn note(&mut self, text: impl FnOnce(&Frame) -> String) {
        if let Some(notes) = &mut self.notes {
            notes.add(self.depth, &text(&self.walk.frame));
        }
    }

    /// What comes next depends on fields.
    pub(super) fn decide(&mut self) {
        if self.revealed {
            self.record = None;
        }
    }

    pub(super) fn step(&mut self, op: Op) -> bool {
        if let Some(record) = &mut self.record {
            record.push(op);
        }
        self.walk.step(op, false)
    }

    pub(super) fn change(&mut self, change: Change) -> bool {
        let done = self.step(Op::Change(change));
        self.revealed |= match change {
            Change::PopVlan | Change::PopMpls(_) | Change::PopPbb => true,
            Change::Set { field, .. } => matches!(
                field,
                Field::EthType | Field::IpProto | Field::Icmpv6Type | Field::VlanTci | Field::VlanVid
            ),
            _ => false,
        };
        done
    }

    /// Through the tables from `first` on, and the action set at the end.
    pub(super) fn pipeline(&mut self, first: u8) {
        // "The switch processes all packets using the OFPP_NORMAL reserved port" (1.3.5, section 6.3.2), whatever the
        // entries that a controller has left behind.
        if self.walk.datapath.stands_alone {
            self.note(|_| "the switch stands alone".to_owned());
            return self.normal();
        }
        self.traverse(first, None, true);
        if !self.dropped {
            self.do_set();
        }
    }

    /// A copy of the packet, with all that was written to it, through the tables.
    pub(super) fn through_tables(&mut self) {
        let before = (self.walk.frame.clone(), self.queue, self.revealed);
        self.pipeline(0);
        self.set.clear();
        (self.exited, self.dropped) = (false, self.budget == 0);
        (self.walk.frame, self.queue, self.revealed) = before;
    }

    /// From a table on, in which the packet is looked up as if it had come in by `as_from`; a packet that nothing matches
    /// is a miss only where `can_miss`.
    pub(super) fn traverse(&mut self, first: u8, mut as_from: Option<u32>, can_miss: bool) {
        let mut table = first;
        loop {
            self.decide();
            self.table = table;
            let datapath = self.walk.datapath;
            let mut key = self.walk.frame.key;
            if let Some(port) = as_from.take() {
                key.set_in_port(port);
            }
            let Some((id, entry)) = datapath.tables.lookup(table, &key.0) else {
                self.step(Op::Lookup { table, entry: None });
                self.note(|_| format!("{table:2}. no match"));
                if can_miss {
                    self.miss();
                }
                return;
            };
            self.step(Op::Lookup { table, entry: Some(id) });
            (self.entry, self.cookie) = (Some(id), entry.cookie);
            self.is_miss =
                entry.priority == 0 && matches!(&entry.matching, Match::Fields(fields) if fields.is_empty());
            self.note(|_| super::trace::entry_line(entry));
            match self.instructions(entry) {
                // Tables are only left forwards: this ends.
                Some(next) if next > table && !self.exited && !self.dropped => table = next,
                _ => return,
            }
        }
    }

    /// Does an entry's instructions in the order of section 5.9; the table to go to.
    pub(super) fn instructions(&mut self, entry: &'a Entry) -> Option<u8> {
        let all = &entry.instructions;
        for instruction in all {
            if let &Instruction::Meter(number) = instruction {
                self.note(|_| format!("meter:{number}"));
                let remarks =
                    self.walk.datapath.meters.get(number).is_some_and(super::meters::Meter::remarks);
                if !self.step(Op::Meter(number)) {
                    self.note(|_| "dropped by the meter".to_owned());
                    (self.dropped, self.record) = (true, None);
                    return None;
                }
                self.revealed |= remarks;
            }
        }
        for instruction in all {
            if let Instruction::ApplyActions(actions) = instruction {
                self.actions(actions);
            }
        }
        if self.exited || self.dropped {
            return None;
        }
        if all.contains(&Instruction::ClearActions) {
            self.note(|_| "clear_actions".to_owned());
            self.set.clear();
        }
        let mut next = None;
        for instruction in all {
            match instruction {
                Instruction::WriteActions(actions) => {
                    self.note(|_| format!("write_actions({})", super::trace::actions_text(actions)));
                    actions.iter().for_each(|action| write(&mut self.set, action));
                }
                &Instruction::WriteMetadata { value, mask } => {
                    let (value, mask) = (u128::from(value), u128::from(mask));
                    self.note(|_| format!("write_metadata:{value:#x}/{mask:#x}"));
                    self.change(Change::Set { field: Field::Metadata, value, mask });
                }
                &Instruction::GotoTable(table) => {
                    self.note(|_| format!("goto_table:{table}"));
                    next = Some(table);
                }
                _ => {}
            }
        }
        next
    }

    /// Nothing matched. 1.0 sends it to the controller; 1.3 without a table-miss entry drops it.
    fn miss(&mut self) {
        let table = self.table;
        let no_packet_in = crate::port::config::NO_PACKET_IN;
        let in_port = self.walk.datapath.ports.get(self.in_port);
        if in_port.is_some_and(|port| port.port.config & no_packet_in != 0) {
            return;
        }
        let reason = PacketInReason::NoMatch;
        let punt = Punt { reason, table, cookie: u64::MAX, max_len: Limit::Miss, controller: 0 };
        self.step(Op::Punt(punt));
    }

    /// Does actions in order.
    pub(super) fn actions(&mut self, actions: &[Action]) {
        for action in actions {
            if self.exited || self.dropped {
                return;
            }
            if self.budget == 0 {
                self.walk.effects.dropped += 1;
                self.dropped = true;
                return;
            }
            self.budget -= 1;
            self.action(action);
        }
    }

    fn action(&mut self, action: &Action) {
        self.note(|_| super::trace::actions_text(std::slice::from_ref(action)));
        let set = |field, value: u128| Change::Set { field, value, mask: u128::MAX };
        let mac = |address: &packet::wire::MacAddr| address.0.iter().fold(0, |v, &b| v << 8 | u128::from(b));
        let change = match action {
            Action::Output { port, max_len } => return self.output(*port, *max_len),
            Action::Enqueue { port, queue } => {
                let before = self.queue.replace(*queue);
                self.output(*port, 0);
                self.queue = before;
                return;
            }
            Action::SetQueue(queue) => {
                self.queue = Some(*queue);
                return;
            }
            Action::Group(group) => return self.group(*group),
            Action::Nicira(action) => return self.nicira(action),
            Action::SetVlanVid(id) => Change::Tag { value: *id, mask: 0x0fff },
            Action::SetVlanPcp(priority) => Change::Tag { value: u16::from(*priority) << 13, mask: 0xe000 },
            Action::StripVlan | Action::PopVlan => Change::PopVlan,
            Action::SetDlSrc(address) => set(Field::EthSrc, mac(address)),
            Action::SetDlDst(address) => set(Field::EthDst, mac(address)),
            Action::SetNwSrc(address) => set(self.of_kind(Field::Ipv4Src), u128::from(address.to_bits())),
            Action::SetNwDst(address) => set(self.of_kind(Field::Ipv4Dst), u128::from(address.to_bits())),
            Action::SetNwTos(tos) => set(Field::NwTos, u128::from(*tos)),
            Action::SetTpSrc(port) => set(self.of_kind(Field::TcpSrc), u128::from(*port)),
            Action::SetTpDst(port) => set(self.of_kind(Field::TcpDst), u128::from(*port)),
            Action::CopyTtlOut => Change::CopyTtlOut,
            Action::CopyTtlIn => Change::CopyTtlIn,
            Action::SetMplsTtl(ttl) => set(Field::MplsTtl, u128::from(*ttl)),
            Action::DecMplsTtl => Change::DecMplsTtl,
            Action::PushVlan(kind) => Change::PushVlan(*kind),
            Action::PushMpls(kind) => Change::PushMpls(*kind),
            Action::PopMpls(kind) => Change::PopMpls(*kind),
            Action::SetNwTtl(ttl) => set(Field::NwTtl, u128::from(*ttl)),
            Action::DecNwTtl => Change::DecTtl,
            Action::SetField(oxm) => match *oxm {
                crate::oxm::Oxm::Known { field, value, mask, .. } => {
                    Change::Set { field, value, mask: mask.unwrap_or(u128::MAX) }
                }
                crate::oxm::Oxm::Unknown { .. } => return,
            },
            Action::PushPbb(kind) => Change::PushPbb(*kind),
            Action::PopPbb => Change::PopPbb,
            // Refused when the entry came.
            Action::Experimenter { .. } => return,
        };
        self.alter(change, &[0]);
    }

    /// 1.0's names mean what the packet has: ARP's addresses (Open vSwitch leaves them, as 1.0 speaks of IPv4), the ports
    /// of any transport.
    fn of_kind(&mut self, field: Field) -> Field {
        let protocol = self.walk.frame.key.protocol();
        // Which field is meant is a decision.
        if matches!(field, Field::TcpSrc | Field::TcpDst) {
            self.decide();
        }
        match (field, protocol) {
            (Field::TcpSrc, super::key::protocol::UDP) => Field::UdpSrc,
            (Field::TcpDst, super::key::protocol::UDP) => Field::UdpDst,
            (Field::TcpSrc, super::key::protocol::SCTP) => Field::SctpSrc,
            (Field::TcpDst, super::key::protocol::SCTP) => Field::SctpDst,
            (other, _) => other,
        }
    }

    /// Does a change; a TTL at its end sends the packet to these controllers and ends its way.
    pub(super) fn alter(&mut self, change: Change, controllers: &[u16]) {
        if matches!(change, Change::DecTtl | Change::DecMplsTtl) {
            self.decide();
        }
        if self.change(change) {
            return;
        }
        self.note(|_| "TTL at its end".to_owned());
        self.dropped = true;
        for &controller in controllers {
            self.punt(PacketInReason::InvalidTtl, crate::action::NO_BUFFER_LEN, controller);
        }
    }

    pub(super) fn punt(&mut self, reason: PacketInReason, max_len: u16, controller: u16) {
        let (table, cookie) = (self.table, self.cookie);
        self.step(Op::Punt(Punt { reason, table, cookie, max_len: Limit::Bytes(max_len), controller }));
    }

    pub(super) fn output(&mut self, port: PortNo, max_len: u16) {
        match port {
            PortNo::IN_PORT => self.send(self.in_port),
            PortNo::NORMAL => self.normal(),
            PortNo::ALL | PortNo::FLOOD => self.flood(port == PortNo::FLOOD),
            PortNo::CONTROLLER => {
                let reason = if self.is_miss { PacketInReason::NoMatch } else { PacketInReason::Action };
                self.punt(reason, max_len, 0);
            }
            PortNo(number) if number == self.in_port => {
                self.note(|_| "not back to where it came from".to_owned());
            }
            PortNo(number) => self.send(number),
        }
    }

    fn send(&mut self, port: u32) {
        let queue = self.queue;
        self.step(Op::Output { port, queue });
    }

    fn flood(&mut self, is_flood: bool) {
        let datapath = self.walk.datapath;
        for state in datapath.ports.iter() {
            let number = state.port.number.0;
            let takes = if is_flood { state.floods() } else { state.forwards() };
            // The switch's own stack is no port of the spanning tree, but flooded to as any.
            if number != self.in_port && takes {
                self.send(number);
            }
        }
    }

    /// As a learning bridge does (IEEE 802.1D, section 7).
    pub(super) fn normal(&mut self) {
        self.decide();
        let port = self.in_port;
        self.step(Op::Station { port });
        let key = &self.walk.frame.key;
        let (station, datapath) = ((key.vlan_id(), key.eth_dst()), self.walk.datapath);
        if is_reserved(station.1) {
            self.note(|_| "a bridge keeps such frames".to_owned());
            return;
        }
        match datapath.macs.port(station).filter(|_| !is_group(station.1)) {
            Some(known) if known == port => self.note(|_| "it lives where it came from".to_owned()),
            Some(known) => {
                self.note(|_| format!("learned: port {known}"));
                self.send(known);
            }
            None => {
                self.note(|_| "flooded".to_owned());
                self.flood(true);
            }
        }
    }

    /// A hash of the flow for choosing among links: addresses, VLAN, EtherType, protocol, ports.
    pub(super) fn flow_hash(&self) -> u64 {
        let key = &self.walk.frame.key;
        let mut state = self.walk.datapath.hasher.build_hasher();
        let words = &key.0;
        state.write_u64(words[0] & 0xffff_ffff);
        state.write_u64(words[11] & !0xff);
        state.write_u64(words[12] >> 16);
        words[13..17].iter().for_each(|word| state.write_u64(*word));
        state.write_u64(words[17] >> 32);
        state.finish()
    }

    fn group(&mut self, number: u32) {
        let datapath = self.walk.datapath;
        let Some(group) = datapath.groups.get(number) else { return };
        if self.depth >= DEPTH_MAX {
            self.walk.effects.dropped += 1;
            return;
        }
        self.step(Op::Group(number));
        let is_live = |bucket: &crate::group::Bucket| datapath.groups.is_live(bucket, &datapath.ports);
        match group.kind {
            GroupKind::All => (0..group.buckets.len()).for_each(|bucket| self.bucket(number, bucket)),
            GroupKind::Indirect => self.bucket(number, 0),
            GroupKind::Select => {
                self.decide();
                if let Some(bucket) = group.select(self.flow_hash(), is_live) {
                    self.bucket(number, bucket);
                }
            }
            GroupKind::FastFailover => {
                if let Some(bucket) = group.buckets.iter().position(is_live) {
                    self.bucket(number, bucket);
                }
            }
            GroupKind::Other(_) => {}
        }
    }

    /// Does a bucket's actions, a set, with a copy of the packet.
    fn bucket(&mut self, group: u32, bucket: usize) {
        let datapath = self.walk.datapath;
        let Some(actions) = datapath.groups.get(group).and_then(|found| found.buckets.get(bucket)) else {
            return;
        };
        let before = (self.queue, self.revealed);
        self.step(Op::Save);
        self.note(|_| format!("bucket {bucket}"));
        self.step(Op::Bucket { group, bucket: bucket as u32 });
        let mut set = Vec::new();
        actions.actions.iter().for_each(|action| write(&mut set, action));
        self.depth += 1;
        self.actions(&in_order(set));
        self.depth -= 1;
        self.step(Op::Restore);
        (self.queue, self.revealed) = before;
        // A copy that ended does not end the packet.
        (self.dropped, self.exited) = (self.dropped && self.budget == 0, false);
    }

    fn do_set(&mut self) {
        if self.set.is_empty() {
            return;
        }
        self.note(|_| "action set:".to_owned());
        self.exited = false;
        let set = in_order(std::mem::take(&mut self.set));
        self.actions(&set);
    }
}

/// Whether two actions are of one type, of which a set has one.
fn is_same(a: &Action, b: &Action) -> bool {
    use crate::oxm::Oxm;
    match (a, b) {
        (Action::SetField(Oxm::Known { field: a, .. }), Action::SetField(Oxm::Known { field: b, .. })) => {
            a == b
        }
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

/// Merges an action into a set.
pub(super) fn write(set: &mut Vec<Action>, action: &Action) {
    match set.iter_mut().find(|old| is_same(old, action)) {
        Some(old) => old.clone_from(action),
        None => set.push(action.clone()),
    }
}

/// A set's actions in the order of section 5.10. A group takes the place of an output.
pub(super) fn in_order(mut set: Vec<Action>) -> Vec<Action> {
    let rank = |action: &Action| match action {
        Action::CopyTtlIn => 0,
        Action::PopVlan | Action::PopMpls(_) | Action::PopPbb | Action::StripVlan => 1,
        Action::PushMpls(_) => 2,
        Action::PushPbb(_) => 3,
        Action::PushVlan(_) => 4,
        Action::CopyTtlOut => 5,
        Action::DecNwTtl | Action::DecMplsTtl => 6,
        Action::SetQueue(_) => 8,
        Action::Group(_) => 9,
        Action::Output { .. } | Action::Enqueue { .. } => 10,
        _ => 7,
    };
    if set.iter().any(|action| matches!(action, Action::Group(_))) {
        set.retain(|action| !matches!(action, Action::Output { .. } | Action::Enqueue { .. }));
    }
    set.sort_by_key(rank);
    set
}
