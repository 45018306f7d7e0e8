//! A range of hashes on its way from one instance to another, in terms of what is deployed: what is in force, and what a step of the
//! [protocol](crate::scale) changes. No wires here either.
//!
//! The switch of the protocol is every place where packets are shared out: all data planes hold all groups. One after the other is told
//! of a flip, and in between some send the range to the source and others to the target. Both lead to the same instance then: the
//! detour beside the source and the return beside the target are there before the flip and after it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Deployed, Shared};
use crate::key::HashRange;
use crate::scale::{Key, Observed, Side, Step};

/// A range on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moving {
    /// Of which function.
    pub function: usize,
    /// Who has it.
    pub source: u32,
    /// Who gets it.
    pub target: u32,
    /// What is moved.
    pub range: HashRange,
    /// Whether the source keeps a part; else all that it has goes to the target, and it ends.
    pub split: bool,
}

/// What the sites of a shift say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether the source runs.
    pub source_alive: bool,
    /// Whether the target runs.
    pub target_alive: bool,
    /// Flows of the range that the source has.
    pub old: BTreeSet<Key>,
    /// Whether all that was sent before the last change has arrived.
    pub drained: bool,
}

impl Moving {
    /// The upper half of an instance's largest part, for a new instance.
    pub fn half(deployed: &Deployed, function: usize, source: u32, target: u32) -> Option<Self> {
        let parts = deployed.functions.get(function)?.parts.iter();
        let largest =
            parts.filter(|(_, instance)| *instance == source).max_by_key(|(range, _)| range.len())?.0;
        let middle = largest.start + largest.len().div_ceil(2);
        let range = HashRange { start: middle, end: largest.end };
        (!range.is_empty()).then_some(Self { function, source, target, range, split: true })
    }

    /// All that an instance has, for another one. None where what it has is in pieces, which no split leads to but a neighbour's
    /// end does: then another instance can go.
    pub fn all(deployed: &Deployed, function: usize, source: u32, target: u32) -> Option<Self> {
        let mut own =
            deployed.functions.get(function)?.parts.iter().filter(|(_, instance)| *instance == source);
        let (range, more) = (own.next()?.0, own.next());
        more.is_none().then_some(Self { function, source, target, range, split: false })
    }

    /// What is in force.
    pub fn observed(&self, deployed: &Deployed, seen: Seen) -> Observed {
        let shared = &deployed.functions[self.function];
        let to_target = shared.owner(self.range.start) == Some(self.target);
        let moved_to = if to_target { Side::Target } else { Side::Source };
        let source = deployed.instances.get(&self.source);
        let returned = deployed.instances.get(&self.target).and_then(|target| target.back.as_ref());
        let excepted = shared.exceptions.iter().filter(|(_, instance)| **instance == self.source);
        // What is kept goes to the source, unless all was given to the target because the source has ended.
        let kept = deployed.parts_of(self.source).any(|range| range != self.range);
        Observed {
            source_alive: seen.source_alive,
            target_alive: seen.target_alive,
            narrowed: None,
            detour: source.is_some_and(|source| source.detour.is_some()),
            old: seen.old,
            returned: returned.map(|(keys, _)| keys.clone()).unwrap_or_default(),
            excepted: excepted.map(|(key, _)| *key).collect(),
            kept_to: if self.split && (kept || !to_target) { Side::Source } else { self.kept_by(deployed) },
            moved_to,
            source_drained: seen.drained,
            target_drained: seen.drained,
        }
    }

    /// Of two that are joined: the target's own part.
    fn kept_by(&self, deployed: &Deployed) -> Side {
        match deployed.parts_of(self.target).next() {
            Some(_) => Side::Target,
            None => Side::Source,
        }
    }

    /// Does a step. Flows that are cut are forgotten by the source's data plane: they come back.
    pub fn apply(&self, deployed: &mut Deployed, step: &Step) -> BTreeSet<Key> {
        let (source, target) = (self.source, self.target);
        match step {
            Step::Narrow | Step::Widen => {}
            Step::StartDetour => self.detour(deployed, true),
            Step::EndDetour => self.detour(deployed, false),
            Step::Return(keys) => {
                if let Some(one) = deployed.instances.get_mut(&target) {
                    one.back = (!keys.is_empty()).then(|| (keys.clone(), source));
                }
            }
            Step::Except(keys) => {
                let exceptions = &mut deployed.functions[self.function].exceptions;
                exceptions.retain(|_, instance| *instance != source);
                exceptions.extend(keys.iter().map(|key| (*key, source)));
            }
            Step::Flip => deployed.functions[self.function].assign(self.range, target),
            Step::RouteAll(side) => {
                let (left, other) = match side {
                    Side::Source => (source, target),
                    Side::Target => (target, source),
                };
                let ranges: Vec<HashRange> = deployed.parts_of(other).collect();
                let shared = &mut deployed.functions[self.function];
                ranges.into_iter().for_each(|range| shared.assign(range, left));
            }
            Step::Cut(keys) => return keys.clone(),
        }
        BTreeSet::new()
    }

    /// Both have died: nothing is left of the way there, and each has what it had. The one that had nothing, or was to have nothing,
    /// comes back.
    pub fn lost(&self, deployed: &mut Deployed) -> Option<u32> {
        for step in [Step::EndDetour, Step::Return(BTreeSet::new()), Step::Except(BTreeSet::new())] {
            self.apply(deployed, &step);
        }
        [self.target, self.source].into_iter().find(|id| deployed.parts_of(*id).next().is_none())
    }

    fn detour(&self, deployed: &mut Deployed, on: bool) {
        if let Some(one) = deployed.instances.get_mut(&self.source) {
            one.detour = on.then_some((self.range, self.target));
        }
    }
}

impl Shared {
    /// The instance of a hash.
    pub fn owner(&self, hash: u32) -> Option<u32> {
        self.parts.iter().find(|(range, _)| range.contains(hash)).map(|(_, instance)| *instance)
    }

    /// Gives hashes to an instance.
    pub fn assign(&mut self, range: HashRange, instance: u32) {
        let outside = |(part, owner): &(HashRange, u32)| {
            let before = HashRange { start: part.start, end: part.end.min(range.start) };
            let behind = HashRange { start: part.start.max(range.end), end: part.end };
            [(before, *owner), (behind, *owner)]
        };
        let mut parts: Vec<_> =
            self.parts.iter().flat_map(outside).filter(|(part, _)| !part.is_empty()).collect();
        parts.push((range, instance));
        parts.sort_by_key(|(part, _)| part.start);
        parts.dedup_by(|later, earlier| {
            let joins = later.1 == earlier.1 && earlier.0.end == later.0.start;
            if joins {
                earlier.0.end = later.0.end;
            }
            joins
        });
        self.parts = parts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::{Input, Limits, Next, Output, Shift};
    use std::collections::BTreeMap;

    fn deployed() -> Deployed {
        let placed = |number, site| super::super::Placed {
            function: 0,
            number,
            site,
            gate: 1,
            worker: 1,
            detour: None,
            back: None,
        };
        Deployed {
            epoch: 1,
            seed: 1,
            idle_ns: 1,
            flows: 16,
            functions: vec![Shared { parts: vec![(HashRange::ALL, 0)], exceptions: BTreeMap::new() }],
            instances: [(0, placed(1, 1)), (1, placed(2, 2))].into(),
        }
    }

    /// Runs a shift on what is deployed until it says that it waits or is over.
    fn run(
        deployed: &mut Deployed,
        moving: &Moving,
        shift: &mut Shift,
        now_ns: u64,
        old: &[u64],
        alive: (bool, bool),
    ) -> Vec<Output> {
        let mut outputs = Vec::new();
        for _ in 0..50 {
            let seen = Seen {
                source_alive: alive.0,
                target_alive: alive.1,
                old: old.iter().copied().collect(),
                drained: true,
            };
            shift.handle(now_ns, Input::Observed(Box::new(moving.observed(deployed, seen))));
            let Some(output) = shift.poll_output() else { return outputs };
            if let Output::Do { step, .. } = &output {
                moving.apply(deployed, step);
            }
            let over = matches!(output, Output::Ended(_));
            outputs.push(output);
            if over {
                return outputs;
            }
        }
        panic!("no end: {outputs:?}");
    }

    const LIMITS: Limits = Limits { entries: 2, wait_ns: 10, cut_ns: None };

    #[test]
    fn a_half_moves_joins_again_and_leaves_nothing() {
        let mut now = deployed();
        let moving = Moving::half(&now, 0, 0, 1).unwrap();
        let mut shift = Shift::new(1, LIMITS, 0);
        run(&mut now, &moving, &mut shift, 0, &[1, 2, 3], (true, true));
        assert!(now.instances[&0].detour.is_some() && now.functions[0].parts.len() == 1, "phase 1");
        run(&mut now, &moving, &mut shift, 10, &[1, 2, 3], (true, true));
        assert_eq!(now.functions[0].owner(0xffff), Some(1));
        assert_eq!(now.functions[0].exceptions.len(), 2, "the table");
        assert_eq!(now.instances[&1].back, Some(([3].into(), 0)), "the rest");
        let ended = run(&mut now, &moving, &mut shift, 20, &[], (true, true));
        assert_eq!(ended.last(), Some(&Output::Ended(Next::Moved)));
        let clean = |now: &Deployed| {
            now.functions[0].exceptions.is_empty()
                && now.instances.values().all(|one| one.detour.is_none() && one.back.is_none())
        };
        assert!(clean(&now));
        // And back.
        let moving = Moving::all(&now, 0, 1, 0).unwrap();
        let mut shift = Shift::new(2, LIMITS, 30);
        let ended = run(&mut now, &moving, &mut shift, 50, &[], (true, true));
        assert_eq!(ended.last(), Some(&Output::Ended(Next::Moved)));
        assert_eq!(now.functions[0].parts, [(HashRange::ALL, 0)]);
        assert!(clean(&now));
    }

    #[test]
    fn whoever_dies_the_other_gets_all() {
        for (alive, old_flip, over, left) in [
            ((true, false), false, Next::Back, 0),
            ((true, false), true, Next::Back, 0),
            ((false, true), false, Next::TakenOver, 1),
            ((false, true), true, Next::TakenOver, 1),
        ] {
            let mut now = deployed();
            let moving = Moving::half(&now, 0, 0, 1).unwrap();
            let mut shift = Shift::new(1, LIMITS, 0);
            run(&mut now, &moving, &mut shift, if old_flip { 10 } else { 0 }, &[1, 2, 3], (true, true));
            // Another manager goes on.
            let mut shift = Shift::new(2, LIMITS, 10);
            let ended = run(&mut now, &moving, &mut shift, 11, &[], alive);
            assert_eq!(ended.last(), Some(&Output::Ended(over)), "{alive:?} {old_flip}");
            assert_eq!(now.functions[0].parts, [(HashRange::ALL, left)]);
            assert!(now.functions[0].exceptions.is_empty());
            assert!(now.instances.values().all(|one| one.detour.is_none() && one.back.is_none()));
        }
    }

    #[test]
    fn where_both_die_each_keeps_what_it_has() {
        for (now_ns, gone) in [(0, Some(1)), (10, None)] {
            let mut now = deployed();
            let moving = Moving::half(&now, 0, 0, 1).unwrap();
            let mut shift = Shift::new(1, LIMITS, 0);
            run(&mut now, &moving, &mut shift, now_ns, &[1, 2, 3], (true, true));
            let parts = now.functions[0].parts.clone();
            let ended = run(&mut now, &moving, &mut shift, 11, &[], (false, false));
            assert_eq!(ended.last(), Some(&Output::Ended(Next::Lost)));
            assert_eq!(moving.lost(&mut now), gone);
            assert_eq!(now.functions[0].parts, parts);
            assert!(now.functions[0].exceptions.is_empty());
            assert!(now.instances.values().all(|one| one.detour.is_none() && one.back.is_none()));
        }
    }

    #[test]
    fn parts_cover_all_hashes_whatever_is_given_to_whom() {
        let mut shared = Shared { parts: vec![(HashRange::ALL, 0)], ..Shared::default() };
        let mut state = 7u64;
        for _ in 0..1000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (one, other) = ((state >> 16) as u32 % 65_537, (state >> 40) as u32 % 65_537);
            let range = HashRange { start: one.min(other), end: one.max(other) };
            if range.is_empty() {
                continue;
            }
            shared.assign(range, (state >> 60) as u32);
            assert_eq!(shared.owner(range.start), Some((state >> 60) as u32));
            let parts = &shared.parts;
            assert_eq!((parts[0].0.start, parts[parts.len() - 1].0.end), (0, HashRange::SPACE));
            assert!(parts.windows(2).all(|two| two[0].0.end == two[1].0.start && two[0].1 != two[1].1));
        }
    }
}
