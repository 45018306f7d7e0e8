//! The switch beside a slow, obvious twin: a list of entries that is read from its start, matched field by field against
//! what a packet was made of. Random entries of both versions, changes of every command, and packets, each sent twice so
//! that the second comes from the cache.

use std::collections::BTreeMap;

use openflow::action::Action;
use openflow::field::Field;
use openflow::flow::{ALL_TABLES, FlowCommand, FlowMod, flags};
use openflow::group;
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::Body;
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use openflow::switch::{ConnectionId, Output};
use packet::wire::EtherType;

use crate::random::Random;
use crate::rig::{NEW, OLD, Rig, arp_request, frame, tcp6, udp4};

/// A packet and the fields it was made of.
struct Sample {
    port: u32,
    bytes: Vec<u8>,
    fields: BTreeMap<Field, u128>,
}

fn sample(random: &mut Random) -> Sample {
    let mut fields = BTreeMap::new();
    let port = 1 + random.below(3) as u32;
    let mut put = |field, value: u64| fields.insert(field, u128::from(value));
    put(Field::InPort, port.into());
    let (low, tp) = (random.below(3), random.one_of(&[53_u16, 80]));
    let mut bytes = match random.below(4) {
        0 | 1 => {
            let destination = [10, 0, random.below(2) as u8, low as u8];
            put(Field::EthType, 0x0800);
            put(Field::IpProto, 17);
            put(Field::Ipv4Src, 0x0a00_0001);
            put(Field::Ipv4Dst, u64::from(u32::from_be_bytes(destination)));
            put(Field::UdpSrc, 1000);
            put(Field::UdpDst, tp.into());
            udp4(destination, tp, b"twin")
        }
        2 => {
            put(Field::EthType, 0x86dd);
            put(Field::IpProto, 6);
            put(Field::TcpSrc, 1000);
            put(Field::TcpDst, tp.into());
            tcp6(tp, 2, b"twin")
        }
        _ => {
            put(Field::EthType, 0x0806);
            put(Field::ArpOp, 1);
            put(Field::ArpSpa, 0x0a00_0001);
            put(Field::ArpTpa, 0x0a00_0002);
            arp_request()
        }
    };
    bytes[5] = low as u8;
    put(Field::EthDst, 0x0200_0000_0000 + low);
    put(Field::EthSrc, 0x0200_0000_0001);
    if random.below(3) == 0 {
        let (id, priority) = (1 + random.below(2) as u16, random.below(2) as u16);
        put(Field::VlanVid, 0x1000 | u64::from(id));
        put(Field::VlanPcp, priority.into());
        let mut tagged = frame(EtherType::VLAN, &(priority << 13 | id).to_be_bytes());
        tagged[..12].copy_from_slice(&bytes[..12]);
        tagged.extend_from_slice(&bytes[12..]);
        bytes = tagged;
    } else {
        put(Field::VlanVid, 0);
    }
    put(Field::Metadata, 0);
    Sample { port, bytes, fields }
}

/// A match of some fields that packets have, with what they need.
fn matching(random: &mut Random) -> Match {
    let model = sample(random);
    let mut matching = Match::new();
    for (&field, &value) in &model.fields {
        let value = match field {
            Field::Metadata => continue,
            Field::VlanPcp if model.fields[&Field::VlanVid] == 0 => continue,
            _ => value,
        };
        if random.below(4) != 0 {
            continue;
        }
        let mask = match field {
            Field::EthDst => random.one_of(&[u128::MAX, 0xff, 0x3]) & field.all_bits(),
            Field::Ipv4Dst | Field::Ipv4Src => random.one_of(&[0xffff_ffff, 0xffff_ff00, 0xff]),
            Field::VlanVid if value != 0 => random.one_of(&[0x1fff, 0x1000]),
            Field::TcpDst | Field::UdpDst => random.one_of(&[0xffff, 0xf]),
            _ => field.all_bits(),
        };
        matching = matching.with(if mask == field.all_bits() {
            Oxm::exact(field, value)
        } else {
            Oxm::masked(field, value, mask)
        });
    }
    matching
}

#[derive(Clone)]
struct Entry {
    table: u8,
    priority: u16,
    cookie: u64,
    matching: Match,
    to: Vec<u32>,
    next: Option<u8>,
    packets: u64,
}

impl Entry {
    fn instructions(&self) -> Vec<Instruction> {
        let actions = self.to.iter().map(|port| Action::output(PortNo(*port))).collect();
        let next = self.next.map(Instruction::GotoTable);
        std::iter::once(Instruction::ApplyActions(actions)).chain(next).collect()
    }
}

#[derive(Default)]
struct Twin {
    /// In the order they came.
    entries: Vec<Entry>,
}

impl Twin {
    fn matches(matching: &Match, fields: &BTreeMap<Field, u128>) -> bool {
        matching.fields().iter().all(|oxm| match oxm {
            Oxm::Known { field, value, .. } => {
                fields.get(field).is_some_and(|found| (found ^ value) & oxm.effective_mask() == 0)
            }
            Oxm::Unknown { .. } => false,
        })
    }

    fn receive(&mut self, sample: &Sample) -> Vec<u32> {
        let (mut table, mut sent) = (0, Vec::new());
        loop {
            let mut best: Option<usize> = None;
            for (at, entry) in self.entries.iter().enumerate() {
                let is_here = entry.table == table && Self::matches(&entry.matching, &sample.fields);
                if is_here && best.is_none_or(|best| self.entries[best].priority < entry.priority) {
                    best = Some(at);
                }
            }
            let Some(best) = best else { return sent };
            self.entries[best].packets += 1;
            sent.extend(self.entries[best].to.iter().copied().filter(|port| *port != sample.port));
            match self.entries[best].next {
                Some(next) => table = next,
                None => return sent,
            }
        }
    }

    /// Does a flow-mod; `false` where it is refused.
    fn change(&mut self, request: &FlowMod, entry: &Entry, is_old: bool) -> bool {
        let same = |found: &Entry| {
            found.table == entry.table
                && found.priority == entry.priority
                && found.matching.is_same(&entry.matching)
        };
        let in_table = |found: &Entry| is_old || request.table == ALL_TABLES || found.table == request.table;
        let has_cookie = |found: &Entry| is_old || (found.cookie ^ request.cookie) & request.cookie_mask == 0;
        let strict = |found: &Entry| {
            in_table(found) && found.priority == request.priority && found.matching.is_same(&request.matching)
        };
        let loose = |found: &Entry| in_table(found) && request.matching.covers(&found.matching);
        let outputs = |found: &Entry| {
            request.out_port == PortNo::ANY || found.to.iter().any(|port| PortNo(*port) == request.out_port)
        };
        match request.command {
            FlowCommand::Add => {
                let overlaps = |found: &Entry| {
                    found.table == entry.table
                        && found.priority == entry.priority
                        && found.matching.overlaps(&entry.matching)
                };
                if request.flags & flags::CHECK_OVERLAP != 0 && self.entries.iter().any(overlaps) {
                    return false;
                }
                match self.entries.iter_mut().find(|found| same(found)) {
                    Some(found) => {
                        let packets = if is_old { 0 } else { found.packets };
                        *found = Entry { packets, ..entry.clone() };
                    }
                    None => self.entries.push(entry.clone()),
                }
            }
            FlowCommand::Modify | FlowCommand::ModifyStrict => {
                let wanted = |found: &Entry| {
                    has_cookie(found)
                        && if request.command == FlowCommand::Modify { loose(found) } else { strict(found) }
                };
                // A table to go on to must be a later one for each of them.
                if entry
                    .next
                    .is_some_and(|next| self.entries.iter().any(|found| wanted(found) && found.table >= next))
                {
                    return false;
                }
                let mut found = false;
                for old in self.entries.iter_mut().filter(|old| wanted(old)) {
                    (old.to, old.next, found) = (entry.to.clone(), entry.next, true);
                    old.cookie = if is_old { request.cookie } else { old.cookie };
                }
                if !found && is_old {
                    // 1.0 adds it.
                    let addition = FlowMod { command: FlowCommand::Add, ..request.clone() };
                    return self.change(&addition, entry, is_old);
                }
            }
            FlowCommand::Delete => {
                self.entries.retain(|found| !(loose(found) && has_cookie(found) && outputs(found)));
            }
            FlowCommand::DeleteStrict => {
                self.entries.retain(|found| !(strict(found) && has_cookie(found) && outputs(found)));
            }
            FlowCommand::Other(_) => return false,
        }
        true
    }
}

fn random_change(random: &mut Random, twin: &Twin) -> (ConnectionId, FlowMod, Entry) {
    let is_old = random.below(4) == 0;
    // Half of the time about an entry that is there.
    let known = (!twin.entries.is_empty() && random.below(2) == 0)
        .then(|| twin.entries[random.below(twin.entries.len() as u64) as usize].clone());
    let table = if is_old { 0 } else { random.below(3) as u8 };
    let to = (0..random.below(3)).map(|_| 1 + random.below(4) as u32).collect();
    let mut entry = Entry {
        table,
        priority: random.below(4) as u16,
        cookie: random.below(4),
        matching: matching(random),
        to,
        next: (!is_old && random.below(3) == 0).then_some(table + 1 + random.below(2) as u8),
        packets: 0,
    };
    if let Some(known) = known {
        (entry.matching, entry.priority) = (known.matching, known.priority);
        if !is_old {
            entry.table = known.table;
            entry.next = entry.next.map(|_| entry.table + 1);
        }
    }
    let command = random.one_of(&[
        FlowCommand::Add,
        FlowCommand::Add,
        FlowCommand::Add,
        FlowCommand::Modify,
        FlowCommand::ModifyStrict,
        FlowCommand::Delete,
        FlowCommand::DeleteStrict,
    ]);
    let deletes = matches!(command, FlowCommand::Delete | FlowCommand::DeleteStrict);
    let request = FlowMod {
        command,
        table: if deletes && !is_old && random.below(4) == 0 { ALL_TABLES } else { entry.table },
        priority: entry.priority,
        cookie: entry.cookie,
        cookie_mask: if is_old || command == FlowCommand::Add { 0 } else { random.one_of(&[0, 1, u64::MAX]) },
        out_port: if deletes && random.below(3) == 0 {
            PortNo(1 + random.below(4) as u32)
        } else {
            PortNo::ANY
        },
        out_group: group::ANY,
        flags: if random.below(3) == 0 { flags::CHECK_OVERLAP } else { 0 },
        matching: entry.matching.clone(),
        instructions: entry.instructions(),
        ..FlowMod::default()
    };
    (if is_old { OLD } else { NEW }, request, entry)
}

fn run(seed: u64, rounds: usize) {
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let (mut rig, mut twin) = (Rig::new(), Twin::default());
    for round in 0..rounds {
        let (from, request, entry) = random_change(&mut random, &twin);
        let what = format!("seed {seed} round {round}: {request:?}");
        let done = twin.change(&request, &entry, from == OLD);
        let answer = rig.send(from, Body::FlowMod(request));
        assert_eq!(answer.is_empty(), done, "{what}: {answer:?}");
        assert_eq!(rig.switch.flows(), twin.entries.len(), "{what}");
        for _ in 0..3 {
            let sample = sample(&mut random);
            for pass in 0..2 {
                let sent =
                    rig.packet(sample.port, &sample.bytes).into_iter().filter_map(|output| match output {
                        Output::Packet { port, .. } => Some(port.0),
                        Output::Message { .. } => None,
                    });
                let sent: Vec<_> = sent.collect();
                assert_eq!(sent, twin.receive(&sample), "{what}, pass {pass}, {:?}", sample.fields);
            }
        }
    }
    // Counters, entry by entry.
    let wanted = openflow::multipart::FlowRequest {
        table: ALL_TABLES,
        out_port: PortNo::ANY,
        out_group: group::ANY,
        cookie: 0,
        cookie_mask: 0,
        matching: Match::default(),
    };
    let request = openflow::multipart::Request::Flow(wanted);
    let request = Body::MultipartRequest(openflow::multipart::MultipartRequest { flags: 0, body: request });
    let Body::MultipartReply(reply) = rig.ask(NEW, request) else { panic!() };
    let openflow::multipart::Reply::Flow(flows) = reply.body else { panic!() };
    let mut found: Vec<_> =
        flows.iter().map(|flow| (flow.table, flow.priority, flow.cookie, flow.packets)).collect();
    let mut wanted: Vec<_> =
        twin.entries.iter().map(|e| (e.table, e.priority, e.cookie, e.packets)).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "seed {seed}");
    assert!(rig.switch.counters().cache_hits > 0);
}

#[test]
fn the_switch_does_what_its_twin_does() {
    for seed in 1..=40 {
        run(seed, 250);
    }
}
