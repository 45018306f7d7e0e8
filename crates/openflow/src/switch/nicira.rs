//! Nicira's actions, after Open vSwitch's manual ovs-actions(7).

use std::hash::{BuildHasher, Hasher};

use super::key::{ethertype, protocol};
use super::learn;
use super::op::Change;
use super::pipeline::{DEPTH_MAX, RESUBMITS_MAX, Run, STACK_MAX};
use super::rule::field_of;
use crate::field::Field;
use crate::flow::PacketInReason;
use crate::nicira::{Action, Bundle, Subfield};
use crate::oxm::Oxm;
use crate::port::PortNo;

/// Ones in the lowest `bits`.
pub(super) const fn low_ones(bits: u16) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

/// `resubmit` without a table, or with this one, stays in the table.
const THIS_TABLE: u8 = 0xff;
/// `NXM_OF_IN_PORT` in `resubmit` and the like leaves the port.
const IN_PORT: u16 = 0xfff8;
/// No link is up (`OFPP_NONE` of 1.0).
const NO_PORT: u16 = 0xffff;

impl Run<'_> {
    pub(super) fn read(&self, part: &Subfield) -> u128 {
        let Some(field) = field_of(part.header) else { return 0 };
        let value = if self.walk.frame.has(field) { self.walk.frame.get(field) } else { 0 };
        value >> part.offset.min(127) & low_ones(part.bits)
    }

    pub(super) fn load(&mut self, part: &Subfield, value: u128) {
        let Some(field) = field_of(part.header) else { return };
        let offset = part.offset.min(127);
        let mask = low_ones(part.bits) << offset;
        self.change(Change::Set { field, value: value << offset & mask, mask });
        // The port it came in by is what it is looked up with, and sent back to.
        if field == Field::InPort {
            self.in_port = self.walk.frame.key.in_port();
        }
    }

    pub(super) fn nicira(&mut self, action: &Action) {
        let set = |field, value: u128| Change::Set { field, value, mask: u128::MAX };
        match action {
            Action::Resubmit(port) => self.resubmit(*port, THIS_TABLE),
            Action::ResubmitTable { port, table } => self.resubmit(*port, *table),
            Action::SetTunnel(id) => self.alter(set(Field::TunnelId, u128::from(*id)), &[]),
            Action::SetTunnel64(id) => self.alter(set(Field::TunnelId, u128::from(*id)), &[]),
            Action::SetQueue(queue) => self.queue = Some(*queue),
            Action::PopQueue => self.queue = None,
            Action::RegMove { source, destination } => {
                self.decide();
                let value = self.read(source);
                self.load(destination, value);
            }
            Action::RegLoad { destination, value } => self.load(destination, u128::from(*value)),
            Action::RegLoad2(Oxm::Known { field, value, mask, .. }) => {
                let change = Change::Set { field: *field, value: *value, mask: mask.unwrap_or(u128::MAX) };
                self.alter(change, &[]);
                self.in_port =
                    if *field == Field::InPort { self.walk.frame.key.in_port() } else { self.in_port };
            }
            Action::Multipath { fields, basis, algorithm, max_link, argument, destination } => {
                self.decide();
                let hash = self.link_hash(*fields, *basis);
                let link = choose_link(hash, *algorithm, u32::from(*max_link) + 1, *argument);
                self.load(destination, u128::from(link));
            }
            Action::Bundle(bundle) => {
                if let Some(port) = self.choose_port(bundle) {
                    self.output(PortNo::from_v10(port), 0);
                }
            }
            Action::BundleLoad(bundle) => {
                let port = self.choose_port(bundle).unwrap_or(NO_PORT);
                if let Some(destination) = &bundle.destination {
                    self.load(destination, u128::from(port));
                }
            }
            Action::OutputReg { source, max_len } => {
                self.decide();
                let value = self.read(source);
                let port = match u16::try_from(value) {
                    Ok(short) => PortNo::from_v10(short),
                    Err(_) => PortNo(u32::try_from(value).unwrap_or(u32::MAX)),
                };
                self.output(port, *max_len);
            }
            Action::Learn(spec) => {
                // A table is changed: no two packets are alike.
                self.record = None;
                match learn::flow(spec, self) {
                    Some(flow) if self.walk.effects.learned.len() < learn::LEARNED_MAX => {
                        self.note(|_| format!("learns: table {}, {}", flow.table, flow.matching));
                        self.walk.effects.learned.push(flow);
                    }
                    _ => self.note(|_| "learns nothing".to_owned()),
                }
            }
            Action::Exit => self.exited = true,
            Action::DecTtl => self.alter(Change::DecTtl, &[0]),
            Action::DecTtlControllers(controllers) => self.alter(Change::DecTtl, controllers),
            Action::FinTimeout { idle, hard } => self.fin_timeout(*idle, *hard),
            Action::Controller { max_len, controller, reason } => {
                let reason = match reason {
                    0 => PacketInReason::NoMatch,
                    1 => PacketInReason::Action,
                    2 => PacketInReason::InvalidTtl,
                    &other => PacketInReason::Other(other),
                };
                self.punt(reason, *max_len, *controller);
            }
            Action::PushMpls(kind) => self.alter(Change::PushMpls(*kind), &[]),
            Action::PopMpls(kind) => self.alter(Change::PopMpls(*kind), &[]),
            Action::SetMplsLabel(label) => self.alter(set(Field::MplsLabel, u128::from(*label)), &[]),
            Action::SetMplsTc(class) => self.alter(set(Field::MplsTc, u128::from(*class)), &[]),
            Action::SetMplsTtl(ttl) => self.alter(set(Field::MplsTtl, u128::from(*ttl)), &[]),
            Action::DecMplsTtl => self.alter(Change::DecMplsTtl, &[0]),
            Action::StackPush(part) => {
                self.decide();
                if self.stack.len() < STACK_MAX {
                    self.stack.push(self.read(part));
                } else {
                    self.walk.effects.dropped += 1;
                    self.dropped = true;
                }
            }
            Action::StackPop(part) => {
                if let Some(value) = self.stack.pop() {
                    self.load(part, value & low_ones(part.bits));
                }
            }
            Action::Note(_) | Action::RegLoad2(Oxm::Unknown { .. }) | Action::Other { .. } => {}
        }
    }

    /// Looks up again, as if the packet had come in by `port`, does what is found there, and goes on behind it. Those
    /// actions see the real port.
    fn resubmit(&mut self, port: u16, table: u8) {
        if self.depth >= DEPTH_MAX || self.resubmits >= RESUBMITS_MAX {
            self.note(|_| "resubmitted too often".to_owned());
            self.walk.effects.dropped += 1;
            (self.exited, self.dropped) = (true, true);
            return;
        }
        self.resubmits += 1;
        let before = (self.table, self.cookie, self.entry);
        let as_from = (port != IN_PORT).then_some(PortNo::from_v10(port).0);
        self.depth += 1;
        self.traverse(if table == THIS_TABLE { self.table } else { table }, as_from, false);
        self.depth -= 1;
        (self.table, self.cookie, self.entry) = before;
    }

    /// `NX_HASH_FIELDS_*`.
    fn link_hash(&self, fields: u16, basis: u16) -> u64 {
        let key = &self.walk.frame.key;
        let mut state = self.walk.datapath.hasher.build_hasher();
        state.write_u64(u64::from(basis));
        if fields == 0 {
            state.write_u64(key.eth_src());
            return state.finish();
        }
        // Symmetric: both directions of a flow give the same.
        let words = &key.0;
        let transport = matches!(key.protocol(), protocol::TCP | protocol::UDP | protocol::SCTP);
        let ports = if transport { words[17] >> 32 } else { 0 };
        state.write_u64(if fields == 1 { key.eth_src() ^ key.eth_dst() } else { 0 });
        state.write_u64(u64::from(key.ethertype()) << 16 | u64::from(key.vlan_id()));
        match key.ethertype() {
            ethertype::IPV4 => state.write_u64((words[13] >> 32) ^ (words[13] & 0xffff_ffff)),
            ethertype::IPV6 => {
                state.write_u64(words[13] ^ words[15]);
                state.write_u64(words[14] ^ words[16]);
            }
            _ => {}
        }
        state.write_u64(u64::from(key.protocol()) << 16 | (ports >> 16 ^ ports & 0xffff));
        state.finish()
    }

    fn choose_port(&mut self, bundle: &Bundle) -> Option<u16> {
        let datapath = self.walk.datapath;
        let is_live = |port: &u16| {
            datapath.ports.get(PortNo::from_v10(*port).0).is_some_and(super::ports::PortState::is_up)
        };
        if bundle.algorithm == 0 {
            return bundle.ports.iter().copied().find(is_live);
        }
        self.decide();
        let hash = self.link_hash(bundle.fields, bundle.basis);
        let live = bundle.ports.iter().copied().filter(is_live);
        live.max_by_key(|port| mix(hash, u64::from(*port)))
    }

    /// After a FIN or RST, the entry goes sooner.
    fn fin_timeout(&mut self, idle: u16, hard: u16) {
        self.decide();
        let ends = self.walk.frame.key.protocol() == protocol::TCP
            && self.walk.frame.get(Field::TcpFlags) & 0b101 != 0;
        if let (true, Some(entry)) = (ends, self.entry) {
            self.record = None;
            self.walk.effects.fins.push((entry, idle, hard));
        }
    }
}

/// SplitMix64's finaliser.
const fn mix(hash: u64, salt: u64) -> u64 {
    let mut z = hash.wrapping_add(salt.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Links tried by the highest random weight; more are chosen among by the modulus.
const LINKS_WEIGHED_MAX: u32 = 64;

/// `NX_MP_ALG_*`: modulo, hash threshold, highest random weight, iterative hash.
fn choose_link(hash: u64, algorithm: u16, links: u32, argument: u32) -> u32 {
    let short = (hash >> 32) as u32;
    match algorithm {
        1 if links > 1 => short / (u32::MAX / links + 1),
        2 if links <= LINKS_WEIGHED_MAX => {
            (0..links).max_by_key(|link| mix(hash, u64::from(*link))).unwrap_or(0)
        }
        3 => {
            let wide = links.max(argument).max(1);
            let tries = (0..LINKS_WEIGHED_MAX).map(|at| (mix(hash, u64::from(at)) % u64::from(wide)) as u32);
            tries.into_iter().find(|link| *link < links).unwrap_or(short % links)
        }
        _ => short % links,
    }
}
