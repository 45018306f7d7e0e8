//! What is done with a packet, step by step: the pipeline finds these steps, does them, and remembers them for packets
//! of the same key.

use std::time::Duration;

use super::Datapath;
use super::frame::Frame;
use super::macs::Station;
use super::meters::{Verdict, remark};
use super::ports::{PortState, bump};
use super::tables::EntryId;
use crate::field::Field;
use crate::flow::{FlowMod, PacketInReason};

/// Packets one packet may become.
pub const COPIES_MAX: usize = 4096;
/// Packet-ins one packet may cause.
pub const PUNTS_MAX: usize = 64;

/// A change of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Set {
        field: Field,
        value: u128,
        mask: u128,
    },
    /// The bits of the tag under the mask, which is added where there is none.
    Tag {
        value: u16,
        mask: u16,
    },
    PushVlan(u16),
    PopVlan,
    PushMpls(u16),
    PopMpls(u16),
    PushPbb(u16),
    PopPbb,
    DecTtl,
    DecMplsTtl,
    CopyTtlOut,
    CopyTtlIn,
}

/// A packet for the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Punt {
    pub(super) reason: PacketInReason,
    pub(super) table: u8,
    pub(super) cookie: u64,
    pub(super) max_len: Limit,
    /// Only connections of that number.
    pub(super) controller: u16,
}

/// How much of a packet the controller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// What the connection set, of a packet that nothing matched: 1.0 only.
    Miss,
    Bytes(u16),
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// Looked up in a table and found that entry, or none.
    Lookup {
        table: u8,
        entry: Option<EntryId>,
    },
    Meter(u32),
    Group(u32),
    Bucket {
        group: u32,
        bucket: u32,
    },
    Change(Change),
    Output {
        port: u32,
        queue: Option<u32>,
    },
    Punt(Punt),
    /// Learn where the sender is.
    Station {
        port: u32,
    },
    /// Keep a copy.
    Save,
    /// Go on with the copy.
    Restore,
}

/// What a packet leads to, outside of the tables.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) outputs: Vec<Sent>,
    pub(super) punts: Vec<Punted>,
    pub(super) learned: Vec<FlowMod>,
    pub(super) stations: Vec<(Station, u32)>,
    /// Shorter timeouts of an entry: idle and hard.
    pub(super) fins: Vec<(EntryId, u16, u16)>,
    /// Copies over a limit.
    pub(super) dropped: u64,
}

/// A packet to send.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) port: u32,
    pub(super) queue: Option<u32>,
    pub(super) bytes: Vec<u8>,
}

/// A packet for the controller.
#[derive(Debug)]
pub(super) struct Punted {
    pub(super) punt: Punt,
    pub(super) frame: Frame,
}

/// Does a change; `false` where a TTL is at its end.
pub(super) fn change(frame: &mut Frame, change: Change) -> bool {
    match change {
        Change::Set { field, value, mask } => {
            frame.set(field, value, mask);
        }
        Change::Tag { value, mask } => frame.set_tag(value, mask),
        Change::PushVlan(kind) => frame.push_vlan(kind),
        Change::PopVlan => frame.pop_vlan(),
        Change::PushMpls(kind) => frame.push_mpls(kind),
        Change::PopMpls(kind) => frame.pop_mpls(kind),
        Change::PushPbb(kind) => frame.push_pbb(kind),
        Change::PopPbb => frame.pop_pbb(),
        Change::DecTtl => return frame.decrement_ttl(),
        Change::DecMplsTtl => return frame.decrement_mpls_ttl(),
        Change::CopyTtlOut => frame.copy_ttl_out(),
        Change::CopyTtlIn => frame.copy_ttl_in(),
    }
    true
}

/// A packet and its copies while steps are done with it.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) datapath: &'a Datapath,
    pub(super) now: Duration,
    pub(super) frame: Frame,
    pub(super) saved: Vec<Frame>,
    pub(super) effects: &'a mut Effects,
    /// Not in earnest: nothing is counted.
    pub(super) is_trial: bool,
}

impl Walk<'_> {
    /// Does a step; `false` where the packet's way ends. `is_last`: nobody needs the packet after it.
    pub(super) fn step(&mut self, op: Op, is_last: bool) -> bool {
        match op {
            Op::Lookup { .. } | Op::Group(_) | Op::Bucket { .. } => {
                if !self.is_trial {
                    self.datapath.count(op, self.now, self.frame.bytes.len());
                }
            }
            Op::Meter(number) => return self.meter(number),
            Op::Change(wanted) => return change(&mut self.frame, wanted),
            Op::Output { port, queue } => self.output(port, queue, is_last),
            Op::Punt(punt) => {
                if self.effects.punts.len() < PUNTS_MAX {
                    self.effects.punts.push(Punted { punt, frame: self.frame.clone() });
                } else {
                    self.effects.dropped += 1;
                }
            }
            Op::Station { port } => {
                let key = &self.frame.key;
                self.effects.stations.push(((key.vlan_id(), key.eth_src()), port));
            }
            Op::Save => self.saved.push(self.frame.clone()),
            Op::Restore => {
                if let Some(frame) = self.saved.pop() {
                    self.frame = frame;
                }
            }
        }
        true
    }

    fn meter(&mut self, number: u32) -> bool {
        let Some(meter) = self.datapath.meters.get(number) else { return true };
        let bytes = self.frame.bytes.len();
        let verdict = if self.is_trial { meter.peek(self.now, bytes) } else { meter.meter(self.now, bytes) };
        match verdict {
            Verdict::Pass => true,
            Verdict::Drop => false,
            Verdict::Remark(precedence) => {
                let dscp = remark(self.frame.get(Field::IpDscp) as u8, precedence);
                self.frame.set(Field::IpDscp, u128::from(dscp), u128::MAX);
                true
            }
        }
    }

    fn output(&mut self, port: u32, queue: Option<u32>, is_last: bool) {
        let is_full = self.effects.outputs.len() >= COPIES_MAX;
        let is_let_out = if self.is_trial {
            self.datapath.ports.get(port).is_some_and(PortState::forwards)
        } else if is_full {
            self.datapath.holds_back(port)
        } else {
            self.datapath.lets_out(port, queue, self.frame.bytes.len())
        };
        if !is_let_out || is_full {
            self.effects.dropped += u64::from(is_let_out);
            return;
        }
        let bytes = if is_last { std::mem::take(&mut self.frame.bytes) } else { self.frame.bytes.clone() };
        self.effects.outputs.push(Sent { port, queue, bytes });
    }
}

impl Datapath {
    /// Counts a packet of so many bytes in what a step looks up or passes.
    pub(super) fn count(&self, op: Op, now: Duration, bytes: usize) {
        match op {
            Op::Lookup { table, entry } => {
                self.tables.count_lookup(table, entry.is_some());
                if let Some(entry) = entry.and_then(|id| self.tables.entry(id)) {
                    entry.hit(now, bytes);
                }
            }
            Op::Group(number) => {
                if let Some(group) = self.groups.get(number) {
                    group.count.add(bytes);
                }
            }
            Op::Bucket { group, bucket } => {
                if let Some(group) = self.groups.get(group) {
                    group.bucket_counts[bucket as usize].add(bytes);
                }
            }
            _ => {}
        }
    }

    /// Whether a port forwards a packet of so many bytes; counts it as sent or dropped there.
    pub(super) fn lets_out(&self, port: u32, queue: Option<u32>, bytes: usize) -> bool {
        let Some(state) = self.ports.get(port) else { return false };
        if !state.forwards() {
            bump(&state.tx_dropped);
            return false;
        }
        state.sent.add(bytes);
        if let Some(queue) = queue.and_then(|queue| self.ports.queue(port, queue)) {
            queue.sent.add(bytes);
        }
        true
    }

    /// Counts a packet as dropped at a port, since it is one too many; whether the port would have forwarded it.
    fn holds_back(&self, port: u32) -> bool {
        let Some(state) = self.ports.get(port) else { return false };
        bump(&state.tx_dropped);
        state.forwards()
    }
}
