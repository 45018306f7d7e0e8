//! The module itself.

use std::collections::HashMap;

use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::{Batch, Packet, Pool};
use ports::finish::{self, Segments};
use softnic::engine::{Context, Gate, Module, monotonic_ns};

use super::drops::{Cause, Drops};
use super::flows::Flows;
use super::program::{self, Entry, GATES, Program, ProgramError, Target, Way};
use super::proto;
use super::tag::Tag;
use super::tunnel::{self, To};
use crate::key::{Fields, HashRange};

/// How often a packet is sent on inside one data plane before it ends.
const HOPS_MAX: usize = 4;

/// The data plane of a server, or of the switch; see [the module](super).
///
/// *Input and output gates*: up to [`GATES`], each as the program says: a port, a trunk, or one of an instance.
pub struct Plane {
    pool: Pool,
    said: proto::Program,
    program: Program,
    /// By place in the program, of instances that are here.
    instances: Vec<Option<Counted>>,
    /// By place in the program.
    ports: Vec<proto::report::Port>,
    drops: Drops,
    now_ns: u64,
}

/// What is known of an instance that is here.
struct Counted {
    flows: Flows,
    report: proto::report::Instance,
}

/// A packet on its way through.
struct Passing {
    packet: Packet,
    key: Option<FlowKey>,
    tag: Tag,
}

/// Where it leaves.
pub(super) type Exit = Result<(Gate, Packet), Cause>;

/// The key of a frame; all fragments of a packet have one. None where it is not IP.
fn key_of(frame: &[u8]) -> Option<FlowKey> {
    let layers = Layers::of(frame).ok()?;
    match layers.fragment {
        Some(_) => FlowKey::hosts(&layers, frame),
        None => FlowKey::of(&layers, frame).or_else(|| FlowKey::hosts(&layers, frame)),
    }
}

impl Plane {
    /// One without a program: it drops all.
    pub fn new(pool: Pool) -> Self {
        let said = proto::Program::default();
        let program = program::read(&said).unwrap_or_else(|error| unreachable!("an empty program: {error}"));
        let (instances, ports, drops) = (Vec::new(), Vec::new(), Drops::default());
        Self { pool, said, program, instances, ports, drops, now_ns: monotonic_ns() }
    }

    /// Does from now on what a program says. Flows stay, of instances that stay; those that hashes of another key told apart are
    /// forgotten.
    ///
    /// # Errors
    /// What is wrong with it, or that a later manager has spoken already; then nothing changes.
    pub fn set_program(&mut self, said: proto::Program) -> Result<(), SetError> {
        if said.epoch < self.said.epoch {
            return Err(SetError::Epoch { said: said.epoch, known: self.said.epoch });
        }
        let program = program::read(&said)?;
        let rekeyed = said.seed != self.said.seed || said.flows != self.said.flows;
        let hasher = program.hasher;
        let before = self.instances.drain(..).flatten().filter(|_| !rekeyed);
        let mut before: HashMap<u32, Counted> = before.map(|one| (one.report.id, one)).collect();
        let mut counted =
            |id| before.remove(&id).unwrap_or_else(|| Counted::new(id, said.flows as usize, hasher));
        let instances = program.instances.iter().map(|one| one.here.is_some().then(|| counted(one.id)));
        self.instances = instances.collect();
        let before: HashMap<u32, proto::report::Port> =
            self.ports.drain(..).map(|port| (port.id, port)).collect();
        let port = |id| before.get(&id).copied().unwrap_or(proto::report::Port { id, ..Default::default() });
        self.ports = program.ports.iter().map(|one| port(one.id)).collect();
        (self.said, self.program) = (said, program);
        Ok(())
    }

    /// What it was told last.
    pub const fn said(&self) -> &proto::Program {
        &self.said
    }

    /// What it has counted.
    pub fn report(&mut self) -> proto::Report {
        let now_ns = self.now();
        let here = self.instances.iter_mut().flatten();
        let mut instances: Vec<_> = here.map(|one| one.told(now_ns)).collect();
        instances.sort_by_key(|one| one.id);
        let mut ports = self.ports.clone();
        ports.sort_by_key(|port| port.id);
        proto::Report { epoch: self.said.epoch, instances, ports, drops: self.drops.report() }
    }

    /// The flows of an instance in a range.
    pub fn flows(&mut self, of: proto::FlowsOf) -> proto::Flows {
        let now_ns = self.now();
        let range = HashRange { start: of.start, end: of.end };
        let listed = self.counted(of.instance).map(|one| one.flows.list(range, now_ns));
        proto::Flows { flows: listed.unwrap_or_default() }
    }

    /// These flows have ended.
    pub fn forget(&mut self, forget: &proto::Forget) {
        let now_ns = self.now();
        if let Some(counted) = self.counted(forget.instance) {
            forget.keys.iter().for_each(|key| counted.flows.forget(*key, now_ns));
        }
    }

    /// What is known of an instance that is here.
    fn counted(&mut self, id: u32) -> Option<&mut Counted> {
        let place = self.program.instance(id)?;
        self.instances.get_mut(place)?.as_mut()
    }

    fn now(&mut self) -> u64 {
        self.now_ns = self.now_ns.max(monotonic_ns());
        self.now_ns
    }

    /// Lets one packet through.
    pub(super) fn pass(&mut self, gate: Gate, mut packet: Packet) -> Exit {
        match self.program.entry(gate).ok_or(Cause::NoProgram)? {
            Entry::Port(port) => {
                let id = self.program.ports[port].id;
                self.ports[port].received += 1;
                let key = key_of(packet.data());
                let passing = Passing { packet, key, tag: Tag::of_port(id as u16) };
                self.classify(passing, None)
            }
            Entry::Instance(instance, gate) => {
                let key = key_of(packet.data());
                let passing = self.left(instance, gate, packet, key)?;
                self.classify(passing, Some((instance, gate)))
            }
            Entry::Trunk(trunk) => {
                let local = self.program.trunks[trunk].local;
                let (to, tag) = tunnel::unwrap(&mut packet, local).ok_or(Cause::NotOurs)?;
                let key = key_of(packet.data());
                let passing = Passing { packet, key, tag };
                match to {
                    To::Instance(id) => {
                        let instance = self.program.instance(id).ok_or(Cause::NoWay)?;
                        let digest = self.digest(instance, passing.key.as_ref());
                        self.hand_to(instance, digest, passing)
                    }
                    To::Port(id) => self.send_to(self.program.port(id).ok_or(Cause::NoWay)?, passing),
                }
            }
        }
    }

    /// A packet that has left an instance, with the tag that it has or must have had.
    fn left(
        &mut self,
        instance: usize,
        gate: Gate,
        packet: Packet,
        key: Option<FlowKey>,
    ) -> Result<Passing, Cause> {
        let one = &self.program.instances[instance];
        let here = one.here.as_ref().ok_or(Cause::NoProgram)?;
        if let Some(counted) = &mut self.instances[instance] {
            counted.report.left += 1;
        }
        let group = &self.program.groups[one.group];
        // What leaves where packets of its port come in is an answer, and goes the other way.
        let answers = |tag: &Tag| group.has_sides() && gate < 2 && group.side(tag.port.into()) == gate;
        let tag = Tag::take(&packet).filter(|tag| !here.legacy && !answers(tag));
        let mut tag = tag.unwrap_or_else(|| self.program.retold(instance, gate, key.as_ref()));
        tag.attributes |= here.leaving(gate).0;
        tag.sent_on = false;
        Ok(Passing { packet, key, tag })
    }

    /// By rules to a function, and by hash to one of its instances.
    fn classify(&mut self, mut passing: Passing, left: Option<(usize, Gate)>) -> Exit {
        let rules = match (left, passing.tag.port) {
            (Some((instance, gate)), _) => {
                self.program.instances[instance].here.as_ref().map(|here| here.leaving(gate).1)
            }
            (None, port) => self.program.port(port.into()).map(|port| &*self.program.ports[port].rules),
        };
        let rule = self.program.rule(rules.unwrap_or_default(), passing.key.as_ref(), passing.tag);
        let rule = rule.ok_or(Cause::NoRule)?;
        passing.tag.pipelet = rule.sets.unwrap_or(passing.tag.pipelet);
        match rule.to {
            Target::Port(port) => self.send_to(port, passing),
            Target::Group(group) => {
                let group = &self.program.groups[group];
                let digest = digest(&self.program.hasher, group.fields, passing.key.as_ref());
                let instance = group.instance(digest).ok_or(Cause::NoWay)?;
                self.hand_to(instance, digest, passing)
            }
        }
    }

    fn digest(&self, instance: usize, key: Option<&FlowKey>) -> u64 {
        let group = &self.program.groups[self.program.instances[instance].group];
        digest(&self.program.hasher, group.fields, key)
    }

    /// To an instance, wherever it is.
    fn hand_to(&mut self, mut instance: usize, digest: u64, mut passing: Passing) -> Exit {
        for _ in 0..HOPS_MAX {
            let one = &self.program.instances[instance];
            let (first, here) = match (one.way, &one.here) {
                (Way::Trunk(trunk), _) => return self.tunnel(trunk, To::Instance(one.id), digest, passing),
                (Way::Here(_), None) => return Err(Cause::NoWay),
                (Way::Here(first), Some(here)) => (first, here),
            };
            let counted = self.instances[instance].as_mut().ok_or(Cause::NoWay)?;
            let in_detour = here
                .detour
                .filter(|(range, _)| range.contains(HashRange::hash_of(digest)) && passing.key.is_some());
            let back = here.back.as_ref().filter(|(keys, _)| !passing.tag.sent_on && keys.contains(&digest));
            instance = match (in_detour, back) {
                (Some((_, to)), _) if !counted.flows.knows(digest, self.now_ns) => {
                    counted.report.detoured += 1;
                    to
                }
                (_, Some((_, to))) => {
                    counted.report.returned += 1;
                    *to
                }
                _ => {
                    counted.take(&passing, digest, self.now_ns, self.said.idle_ns);
                    let group = &self.program.groups[one.group];
                    let side = group.side(passing.tag.port.into()).min(here.gates - 1);
                    passing.tag.put(&mut passing.packet);
                    return Ok((first + side, passing.packet));
                }
            };
            passing.tag.sent_on = true;
        }
        Err(Cause::Circle)
    }

    /// To a port, wherever it is.
    fn send_to(&mut self, place: usize, mut passing: Passing) -> Exit {
        let port = &self.program.ports[place];
        match port.way {
            Way::Trunk(trunk) => self.tunnel(trunk, To::Port(port.id), 0, passing),
            Way::Here(gate) => {
                self.ports[place].sent += 1;
                passing.packet.set_flow_hash(0);
                Ok((gate, passing.packet))
            }
        }
    }

    fn tunnel(&self, trunk: usize, to: To, digest: u64, mut passing: Passing) -> Exit {
        let trunk = &self.program.trunks[trunk];
        let ends = (trunk.local, trunk.remote);
        match tunnel::wrap(&mut passing.packet, ends, to, passing.tag, digest as u16) {
            true => Ok((trunk.gate, passing.packet)),
            false => Err(Cause::NoRoom),
        }
    }

    /// Lets a packet through and out.
    fn pass_out(&mut self, ctx: &mut Context<'_>, gate: Gate, packet: Packet) {
        match self.pass(gate, packet) {
            Ok((gate, packet)) => ctx.emit(gate, packet),
            Err(cause) => self.drops.count(cause),
        }
    }

    /// What senders have left to the network card is done first: tunnels carry packets as they are on a wire.
    fn finish(&mut self, ctx: &mut Context<'_>, gate: Gate, mut packet: Packet) {
        let Some(wanted) = packet.offload().segmentation else {
            match finish::complete(&mut packet) {
                Ok(()) => self.pass_out(ctx, gate, packet),
                Err(_) => self.drops.count(Cause::Unfinished),
            }
            return;
        };
        let pool = self.pool.clone();
        let Ok(mut segments) = Segments::new(&packet, wanted, false) else {
            self.drops.count(Cause::Unfinished);
            return;
        };
        while !segments.is_empty() {
            let Ok(segment) = segments.next_packet(&pool) else {
                self.drops.count(Cause::NoBuffer);
                return;
            };
            self.pass_out(ctx, gate, segment);
        }
    }
}

/// All that is not IP has one digest.
fn digest(hasher: &FlowHasher, fields: Fields, key: Option<&FlowKey>) -> u64 {
    key.map_or(0, |key| fields.digest(hasher, key))
}

/// Why a program was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// It is wrong.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A later manager has spoken.
    #[error("of epoch {said}, but {known} has spoken already")]
    Epoch {
        /// Its epoch.
        said: u64,
        /// The last one.
        known: u64,
    },
}

impl Counted {
    fn new(id: u32, flows: usize, hasher: FlowHasher) -> Self {
        let report = proto::report::Instance { id, ..Default::default() };
        Self { flows: Flows::new(flows, hasher), report }
    }

    fn take(&mut self, passing: &Passing, digest: u64, now_ns: u64, idle_ns: u64) {
        self.report.packets += 1;
        self.report.bytes += passing.packet.len() as u64;
        if let Some(key) = &passing.key {
            self.flows.touch(digest, key, now_ns, idle_ns);
        }
    }

    fn told(&mut self, now_ns: u64) -> proto::report::Instance {
        self.flows.sweep_all(now_ns);
        let (flows, untracked) = (self.flows.len() as u64, self.flows.untracked);
        proto::report::Instance { flows, untracked, ..self.report }
    }
}

impl Module for Plane {
    fn class(&self) -> &'static str {
        "E2Plane"
    }

    fn inputs(&self) -> Gate {
        GATES
    }

    fn outputs(&self) -> Gate {
        GATES
    }

    fn process(&mut self, ctx: &mut Context<'_>, gate: Gate, batch: &mut Batch) {
        self.now_ns = ctx.now_ns();
        // What comes from a port of the kernel's, to the world or to a legacy function, may have work left undone.
        for packet in batch.drain(..) {
            self.finish(ctx, gate, packet);
        }
        let now_ns = self.now_ns;
        self.instances.iter_mut().flatten().for_each(|one| one.flows.sweep(now_ns));
    }

    fn status(&self) -> String {
        let here = self.program.instances.iter().filter(|one| one.here.is_some()).count();
        let lost = self.drops.of(Cause::NoRule);
        format!("epoch {}, {here} instances, {lost} packets that no rule takes", self.said.epoch)
    }
}
