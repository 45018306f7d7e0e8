//! A small cluster: a switch, two servers with a data plane and an instance each, tunnels between them, a manager, and packets.

use std::collections::BTreeSet;

use e2::scale::{Limits, Next, Observed, Side, Step, next};

use crate::explore::System;

const SOURCE: usize = 0;
const TARGET: usize = 1;
/// Nobody owns the flow.
const NOBODY: u8 = 2;
/// More steps of the manager than any shift takes.
const STEPS_MAX: usize = 40;
/// How many packets may be on one way at once.
const ROOM: usize = 1;

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    /// The data plane forgets flows that the instance still has state for.
    ForgetsEarly,
    /// The switch is flipped before exceptions are there.
    BreaksBeforeMake,
    /// The detour ends with the flip, as in the paper.
    EndsDetourAtFlip,
    /// The source allocates keys of the moved range while it is moved.
    AllocatesAnywhere,
    /// Steps of a manager that died are still obeyed.
    ObeysTheDead,
    /// Flows that get an entry are not waited for on their way.
    DrainsNothing,
    /// The table is not minded.
    FillsTheTable,
}

/// What is explored.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) flows: usize,
    /// By flow: whether its key is in the moved range.
    pub(crate) moved: Vec<bool>,
    /// Whether instances change keys, so that packets come back by another.
    pub(crate) translates: bool,
    /// Whether the source keeps a part of its range, or all of it goes to a target that has another.
    pub(crate) splits: bool,
    pub(crate) entries: usize,
    /// Whether the first flow never ends.
    pub(crate) immortal: bool,
    pub(crate) deaths: u8,
    pub(crate) managers: u8,
    pub(crate) broken: Broken,
}

/// Keys are bits: of each flow the one it comes by, and those that it may come back by, of the kept and of the moved range.
type Keys = u16;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    owner: Vec<u8>,
    /// By flow: whether it comes back by a key of the moved range.
    back_moved: Vec<bool>,
    kept_to: u8,
    moved_to: u8,
    excepted: Keys,
    narrowed: bool,
    detour: bool,
    old: Keys,
    returned: Keys,
    /// By side: whether its instance, and its server, run.
    instance: [bool; 2],
    server: [bool; 2],
    /// By side: keys of packets from the switch, and from the other server.
    ways: [Vec<u8>; 2],
    tunnels: [Vec<u8>; 2],
    pending: Option<Step>,
    of_the_dead: Option<Step>,
    deaths: u8,
    managers: u8,
    died: bool,
}

impl Cluster {
    pub(crate) fn start(&self) -> World {
        World {
            owner: vec![NOBODY; self.flows],
            back_moved: vec![false; self.flows],
            kept_to: if self.splits { SOURCE } else { TARGET } as u8,
            moved_to: SOURCE as u8,
            excepted: 0,
            narrowed: !self.translates || !self.splits,
            detour: false,
            old: 0,
            returned: 0,
            instance: [true; 2],
            server: [true; 2],
            ways: [vec![], vec![]],
            tunnels: [vec![], vec![]],
            pending: None,
            of_the_dead: None,
            deaths: self.deaths,
            managers: self.managers,
            died: false,
        }
    }

    fn flow(&self, key: u8) -> usize {
        key as usize / 3
    }

    fn is_moved(&self, key: u8) -> bool {
        match key % 3 {
            0 => self.moved[self.flow(key)],
            other => other == 2,
        }
    }

    /// The keys by which packets of a flow that lives come.
    fn keys(&self, world: &World, flow: usize) -> Vec<u8> {
        let first = flow as u8 * 3;
        if self.translates { vec![first, first + 1 + u8::from(world.back_moved[flow])] } else { vec![first] }
    }

    fn observed(&self, world: &World) -> Observed {
        let set = |bits: Keys| -> BTreeSet<u64> { (0..16).filter(|bit| bits >> bit & 1 == 1).collect() };
        let side = |side: u8| if side == SOURCE as u8 { Side::Source } else { Side::Target };
        let empty = |side: usize| world.ways[side].is_empty() && world.tunnels[side].is_empty();
        Observed {
            source_alive: world.instance[SOURCE],
            target_alive: world.instance[TARGET],
            narrowed: (self.translates && self.splits)
                .then_some(world.narrowed || self.broken == Broken::AllocatesAnywhere),
            detour: world.detour,
            old: set(world.old),
            returned: set(world.returned),
            excepted: set(world.excepted),
            kept_to: side(world.kept_to),
            moved_to: side(world.moved_to),
            source_drained: empty(SOURCE),
            target_drained: empty(TARGET) || self.broken == Broken::DrainsNothing,
        }
    }

    fn decide(&self, world: &World, waited: bool, cut: bool) -> Next {
        let observed = self.observed(world);
        let entries = if self.broken == Broken::FillsTheTable { 16 } else { self.entries };
        let limits = Limits { entries, wait_ns: 0, cut_ns: None };
        match next(&observed, &limits, waited, cut) {
            Next::Do(Step::Return(_) | Step::Except(_))
                if self.broken == Broken::BreaksBeforeMake && observed.moved_to == Side::Source =>
            {
                Next::Do(Step::Flip)
            }
            _ if self.broken == Broken::EndsDetourAtFlip
                && observed.moved_to == Side::Target
                && observed.detour =>
            {
                Next::Do(Step::EndDetour)
            }
            // Then it does not begin again either.
            Next::Do(Step::StartDetour)
                if self.broken == Broken::EndsDetourAtFlip && observed.moved_to == Side::Target =>
            {
                Next::WaitForEnd
            }
            other => other,
        }
    }

    fn apply(&self, world: &mut World, step: &Step) {
        let bits = |keys: &BTreeSet<u64>| keys.iter().fold(0, |bits, key| bits | 1 << key);
        match step {
            Step::Narrow => world.narrowed = true,
            Step::Widen => world.narrowed = false,
            Step::StartDetour => world.detour = world.server[SOURCE],
            Step::EndDetour => world.detour = false,
            Step::Return(keys) => world.returned = if world.server[TARGET] { bits(keys) } else { 0 },
            Step::Except(keys) => world.excepted = bits(keys),
            Step::Flip => world.moved_to = TARGET as u8,
            Step::RouteAll(side) => {
                let side = if *side == Side::Source { SOURCE } else { TARGET } as u8;
                (world.kept_to, world.moved_to) = (side, side);
            }
            Step::Cut(keys) => {
                let cut: Keys = bits(keys);
                for flow in 0..self.flows {
                    if self.keys(world, flow).iter().any(|key| cut >> key & 1 == 1)
                        && world.owner[flow] == SOURCE as u8
                    {
                        world.owner[flow] = NOBODY;
                        // What is on its way of a flow that was ended by force is of no flow any more.
                        let ways = world.ways.iter_mut().chain(&mut world.tunnels);
                        ways.for_each(|way| way.retain(|key| self.flow(*key) != flow));
                    }
                }
                world.old &= !cut;
            }
        }
    }

    /// Where the switch sends a key.
    fn switched(&self, world: &World, key: u8) -> usize {
        if world.excepted >> key & 1 == 1 {
            return SOURCE;
        }
        usize::from(if self.is_moved(key) { world.moved_to } else { world.kept_to })
    }

    /// What a data plane does with a key: its instance (true) or the other server.
    fn stays(&self, world: &World, side: usize, key: u8, by_tunnel: bool) -> bool {
        match side {
            SOURCE => !(world.detour && self.is_moved(key) && world.old >> key & 1 == 0),
            _ => by_tunnel || world.returned >> key & 1 == 0,
        }
    }

    /// A packet at a data plane: the worlds that may come of it, or what is wrong.
    fn arrive(&self, world: &World, side: usize, key: u8, by_tunnel: bool) -> Vec<Result<World, String>> {
        let mut world = world.clone();
        if !world.server[side] {
            return vec![Ok(world)]; // lost with its server
        }
        if !self.stays(&world, side, key, by_tunnel) {
            let other = 1 - side;
            if world.server[other] {
                world.tunnels[other].push(key);
            }
            return vec![Ok(world)];
        }
        if !world.instance[side] {
            return vec![Ok(world)]; // lost with its instance
        }
        let flow = self.flow(key);
        if world.owner[flow] == side as u8 {
            return vec![Ok(world)];
        }
        if world.owner[flow] != NOBODY {
            return vec![Err(format!("a packet of flow {flow} reaches {side}, which does not know it"))];
        }
        if !key.is_multiple_of(3) {
            return vec![Ok(world)]; // comes back to a flow that has ended
        }
        world.owner[flow] = side as u8;
        let mut choices = vec![false];
        if self.translates {
            choices = match (side, self.splits) {
                (SOURCE, true) if world.narrowed => vec![false],
                (SOURCE, true) if world.moved_to == TARGET as u8 && world.kept_to == TARGET as u8 => {
                    vec![false]
                }
                (SOURCE, true) => vec![false, true],
                (SOURCE, false) | (_, true) => vec![true],
                (_, false) => vec![false],
            };
        }
        let born = choices.into_iter().map(|moved| {
            let mut world = world.clone();
            world.back_moved[flow] = moved;
            if side == SOURCE && !world.detour {
                for key in self.keys(&world, flow).into_iter().filter(|key| self.is_moved(*key)) {
                    world.old |= 1 << key;
                }
            }
            Ok(world)
        });
        born.collect()
    }

    fn on_the_way(&self, world: &World, flow: usize) -> bool {
        world.ways.iter().chain(&world.tunnels).flatten().any(|key| self.flow(*key) == flow)
    }

    fn dies(&self, world: &World, side: usize, server: bool) -> World {
        let mut world = world.clone();
        world.died = true;
        world.deaths -= 1;
        world.instance[side] = false;
        world.owner.iter_mut().filter(|owner| **owner == side as u8).for_each(|owner| *owner = NOBODY);
        if side == SOURCE {
            world.old = 0;
        }
        if server {
            world.server[side] = false;
            world.ways[side].clear();
            world.tunnels[side].clear();
            if side == SOURCE {
                world.detour = false;
            } else {
                world.returned = 0;
            }
        }
        world
    }

    /// The manager alone, without packets: it must come to an end soon, though no flow ends.
    fn converges(&self, world: &World) -> Result<(), String> {
        let mut world = world.clone();
        (world.ways, world.tunnels) = Default::default();
        for _ in 0..STEPS_MAX {
            if let Some(step) = world.pending.take() {
                self.apply(&mut world, &step);
            }
            match self.decide(&world, true, false) {
                Next::Do(step) => world.pending = Some(step),
                Next::WaitForFew => return Err("waits for flows that never end".into()),
                Next::WaitForDrain => return Err("waits for packets that have arrived".into()),
                Next::WaitForEnd | Next::Moved => {
                    let moved = world.moved_to == TARGET as u8;
                    return if moved { Ok(()) } else { Err("ends before the range has moved".into()) };
                }
                over @ (Next::Back | Next::TakenOver) => {
                    let left = if over == Next::Back { SOURCE } else { TARGET } as u8;
                    let clean = world.excepted == 0 && world.returned == 0 && !world.detour;
                    let all = (world.kept_to, world.moved_to) == (left, left);
                    return if clean && all {
                        Ok(())
                    } else {
                        Err(format!("{over:?} leaves something behind"))
                    };
                }
                Next::Lost => return Ok(()),
            }
        }
        Err(format!("is not over after {STEPS_MAX} steps"))
    }
}

impl System for Cluster {
    type State = World;

    fn check(&self, world: &World) -> Result<(), String> {
        if world.excepted.count_ones() as usize > self.entries {
            return Err(format!("{} entries in a table of {}", world.excepted.count_ones(), self.entries));
        }
        if world.died {
            return self.converges(world);
        }
        for flow in (0..self.flows).filter(|flow| world.owner[*flow] != NOBODY) {
            for key in self.keys(world, flow) {
                // The way that a packet would take now.
                let (mut side, mut by_tunnel, mut hops) = (self.switched(world, key), false, 0);
                while !self.stays(world, side, key, by_tunnel) {
                    (side, by_tunnel, hops) = (1 - side, true, hops + 1);
                    if hops > 2 {
                        return Err(format!("flow {flow} goes in a circle"));
                    }
                }
                if side != usize::from(world.owner[flow]) {
                    return Err(format!("flow {flow} of {} would go to {side}", world.owner[flow]));
                }
            }
        }
        self.converges(world)
    }

    fn next(&self, world: &World) -> Vec<(String, Result<World, String>)> {
        let mut all = Vec::new();
        let mut add = |name: String, next: World| all.push((name, Ok(next)));
        for flow in 0..self.flows {
            let lives = world.owner[flow] != NOBODY;
            for key in if lives { self.keys(world, flow) } else { vec![flow as u8 * 3] } {
                let side = self.switched(world, key);
                if world.ways[side].len() < ROOM && world.server[side] {
                    let mut next = world.clone();
                    next.ways[side].push(key);
                    add(format!("the switch sends {key} of flow {flow} to {side}"), next);
                }
            }
            if lives && !self.on_the_way(world, flow) && !(self.immortal && flow == 0) {
                let mut next = world.clone();
                next.owner[flow] = NOBODY;
                add(format!("flow {flow} ends"), next);
            }
        }
        for key in (0..16u8).filter(|key| world.old >> key & 1 == 1) {
            let flow = self.flow(key);
            let over = world.owner[flow] != SOURCE as u8 || !self.keys(world, flow).contains(&key);
            if (over || self.broken == Broken::ForgetsEarly) && !self.on_the_way(world, flow) {
                let mut next = world.clone();
                // An entry holds both keys of its flow.
                let ended = world.owner[flow] != SOURCE as u8;
                next.old &= !(if ended { 0b111 << (flow * 3) } else { 1 << key });
                add(format!("the source's data plane forgets {key}"), next);
            }
        }
        if let Some(step) = &world.pending {
            let mut next = world.clone();
            next.pending = None;
            self.apply(&mut next, step);
            add(format!("done: {step:?}"), next);
            if world.managers > 0 {
                let mut next = world.clone();
                next.managers -= 1;
                next.of_the_dead = next.pending.take().filter(|_| self.broken == Broken::ObeysTheDead);
                add(format!("the manager dies before {step:?}"), next);
            }
        } else {
            for (waited, cut) in [(false, false), (true, false), (true, true)] {
                if let Next::Do(step) = self.decide(world, waited, cut) {
                    let mut next = world.clone();
                    next.pending = Some(step.clone());
                    add(format!("the manager asks for {step:?}"), next);
                }
            }
        }
        if let Some(step) = &world.of_the_dead {
            let mut next = world.clone();
            next.of_the_dead = None;
            self.apply(&mut next, step);
            add(format!("of the dead manager: {step:?}"), next);
        }
        if world.deaths > 0 {
            for side in [SOURCE, TARGET].into_iter().filter(|side| world.instance[*side]) {
                add(format!("instance {side} dies"), self.dies(world, side, false));
                add(format!("server {side} dies"), self.dies(world, side, true));
            }
        }
        for side in [SOURCE, TARGET] {
            for by_tunnel in [false, true] {
                let way = if by_tunnel { &world.tunnels[side] } else { &world.ways[side] };
                let Some(key) = way.first().copied() else { continue };
                let blocked =
                    !self.stays(world, side, key, by_tunnel) && world.tunnels[1 - side].len() >= ROOM;
                if blocked && world.server[1 - side] {
                    continue; // it waits
                }
                let mut taken = world.clone();
                if by_tunnel {
                    taken.tunnels[side].remove(0)
                } else {
                    taken.ways[side].remove(0)
                };
                let name =
                    format!("{key} arrives at {side}{}", if by_tunnel { " by the tunnel" } else { "" });
                all.extend(
                    self.arrive(&taken, side, key, by_tunnel).into_iter().map(|next| (name.clone(), next)),
                );
            }
        }
        all
    }
}
