//! The tree against its slow, obvious twin: no heaps, nothing remembered that can be worked out, everything looked at
//! again after every step.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::bucket::{Bucket, Verdict};
use super::{Class, ClassId, Policy, Resource, Tree, Usage, Weight};

const ROOT: ClassId = 0;
const INNER: ClassId = 8;
const LEAVES: ClassId = 8;

struct Twin(BTreeMap<ClassId, Member>);

#[derive(Clone)]
struct Member {
    parent: Option<ClassId>,
    /// None for a leaf.
    policy: Option<Policy>,
    weight: Weight,
    ready: bool,
    resting: bool,
    blocked: bool,
    key: u128,
    served: u128,
    bucket: Option<Bucket>,
    until: Option<u64>,
    usage: Usage,
}

impl Member {
    fn new(policy: Option<Policy>) -> Self {
        let bucket = match policy {
            Some(Policy::RateLimit { limit, max_burst, .. }) => Some(Bucket::new(limit, max_burst)),
            _ => None,
        };
        Self {
            parent: None,
            policy,
            weight: Weight::Equal,
            ready: false,
            resting: false,
            blocked: true,
            key: 0,
            served: 0,
            bucket,
            until: None,
            usage: Usage::default(),
        }
    }
}

fn until(verdict: Verdict) -> Option<u64> {
    match verdict {
        Verdict::Pass => None,
        Verdict::Wait(until) => Some(until),
        Verdict::Never => Some(u64::MAX),
    }
}

impl Twin {
    fn at(&mut self, id: ClassId) -> &mut Member {
        self.0.get_mut(&id).unwrap()
    }

    fn children(&self, id: ClassId) -> Vec<ClassId> {
        self.0.iter().filter(|(_, member)| member.parent == Some(id)).map(|(&id, _)| id).collect()
    }

    fn blocked(&self, id: ClassId) -> bool {
        let member = &self.0[&id];
        match member.policy {
            None => !member.ready || member.resting,
            Some(_) => {
                member.until.is_some() || self.children(id).into_iter().all(|child| self.blocked(child))
            }
        }
    }

    /// After a change: who can run that could not before enters among its siblings.
    fn settle(&mut self, now: u64) {
        for id in self.0.keys().copied().collect::<Vec<_>>() {
            let blocked = self.blocked(id);
            let was = std::mem::replace(&mut self.at(id).blocked, blocked);
            if was && !blocked {
                self.enter(id, now);
            }
        }
    }

    fn enter(&mut self, id: ClassId, now: u64) {
        let Some(parent) = self.0[&id].parent else { return };
        let key = self.0[&id].key;
        let above = self.at(parent);
        let key = match above.policy.unwrap() {
            Policy::Priority => key,
            Policy::WeightedFair { .. } => key.max(above.served),
            Policy::RoundRobin => {
                above.served += 1;
                above.served
            }
            Policy::RateLimit { .. } => {
                above.bucket.as_mut().unwrap().resume(now);
                0
            }
        };
        self.at(id).key = key;
    }

    fn next(&mut self, now: u64) -> Option<ClassId> {
        while let Some((_, id)) = self
            .0
            .iter()
            .filter_map(|(&id, member)| Some((member.until?, id)))
            .min()
            .filter(|due| due.0 <= now)
        {
            self.at(id).until = None;
            self.settle(now);
        }
        let mut id = ROOT;
        while self.0[&id].policy.is_some() {
            let runnable = self.children(id).into_iter().filter(|child| !self.blocked(*child));
            id = runnable.min_by_key(|child| (self.0[child].key, *child))?;
        }
        (!self.blocked(id)).then_some(id)
    }

    fn charge(&mut self, leaf: ClassId, usage: Usage, again: bool, now: u64) {
        self.at(leaf).ready = again;
        let mut path = Some(leaf);
        while let Some(id) = path {
            let member = self.at(id);
            member.usage += usage;
            if let Some(Policy::RateLimit { resource, .. }) = member.policy {
                member.until = until(member.bucket.as_mut().unwrap().charge(usage.of(resource), now));
            }
            let Member { parent, weight, key, .. } = *member;
            if let Some(above) = parent.map(|parent| self.at(parent)) {
                let key = match (above.policy.unwrap(), weight) {
                    (Policy::Priority, _) => key,
                    (Policy::WeightedFair { resource }, Weight::Share(share)) => {
                        above.served = key;
                        key + u128::from(usage.price(resource)) * u128::from((1u64 << 52) / u64::from(share))
                    }
                    (Policy::WeightedFair { .. }, _) => unreachable!("children have shares"),
                    (Policy::RoundRobin, _) => {
                        above.served += 1;
                        above.served
                    }
                    (Policy::RateLimit { .. }, _) => 0,
                };
                self.at(id).key = key;
            }
            path = parent;
        }
        self.settle(now);
    }

    fn detach(&mut self, id: ClassId, now: u64) {
        self.at(id).parent = None;
        self.settle(now);
    }

    fn attach(&mut self, id: ClassId, parent: ClassId, weight: Weight, now: u64) {
        let member = self.at(id);
        (member.parent, member.weight) = (Some(parent), weight);
        member.key = if let Weight::Priority(priority) = weight { u128::from(priority) } else { 0 };
        if !self.blocked(id) {
            self.enter(id, now);
        }
        self.settle(now);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Turn { cycles: u64, packets: u64, bytes: u64, again: bool },
    Ready(ClassId),
    Rest(ClassId),
    Move { id: ClassId, parent: prop::sample::Index, weight: u32 },
    Limit { id: ClassId, limit: u64, burst: u64, resource: Resource },
    Wait(u64),
    Away(ClassId),
}

fn resources() -> impl Strategy<Value = Resource> {
    prop::sample::select(Resource::ALL.to_vec())
}

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Priority),
        Just(Policy::RoundRobin),
        resources().prop_map(|resource| Policy::WeightedFair { resource }),
        (resources(), prop_oneof![Just(0), 1..2_000_000u64], 0..1000u64)
            .prop_map(|(resource, limit, max_burst)| Policy::RateLimit { resource, limit, max_burst }),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let leaf = || INNER + 1..=INNER + LEAVES;
    prop_oneof![
        8 => (1..5000u64, 0..33u64, 0..2000u64, prop::bool::weighted(0.8))
            .prop_map(|(cycles, packets, bytes, again)| Step::Turn { cycles, packets, bytes, again }),
        4 => leaf().prop_map(Step::Ready),
        1 => leaf().prop_map(Step::Rest),
        2 => (1..=INNER + LEAVES, any::<prop::sample::Index>(), 1..100u32)
            .prop_map(|(id, parent, weight)| Step::Move { id, parent, weight }),
        1 => (1..=INNER, prop_oneof![Just(0), 1..2_000_000u64], 0..1000u64, resources())
            .prop_map(|(id, limit, burst, resource)| Step::Limit { id, limit, burst, resource }),
        2 => prop_oneof![0..10_000u64, 0..1_000_000_000u64].prop_map(Step::Wait),
        1 => (1..=INNER + LEAVES).prop_map(Step::Away),
    ]
}

/// Both trees, and the time.
struct Pair {
    tree: Tree,
    twin: Twin,
    now: u64,
}

impl Pair {
    fn new(policies: &[Policy]) -> Self {
        let mut pair = Self { tree: Tree::new(ROOT), twin: Twin(BTreeMap::new()), now: 1_000_000_000 };
        pair.twin.0.insert(ROOT, Member::new(Some(Policy::RoundRobin)));
        for (id, &policy) in (1..).zip(policies) {
            pair.tree.insert(id, Box::new(Class::inner(policy)));
            pair.twin.0.insert(id, Member::new(Some(policy)));
            let never = matches!(policy, Policy::RateLimit { limit: 0, .. });
            pair.twin.at(id).until = never.then_some(u64::MAX);
        }
        for id in INNER + 1..=INNER + LEAVES {
            pair.tree.insert(id, Box::new(Class::leaf()));
            pair.tree.bind(id, Some(id), pair.now);
            pair.twin.0.insert(id, Member::new(None));
        }
        pair
    }

    /// Whether `id` stands under `above`, or is it.
    fn under(&self, id: ClassId, above: ClassId) -> bool {
        id == above || self.twin.0[&id].parent.is_some_and(|parent| self.under(parent, above))
    }

    fn place(&mut self, id: ClassId, parent: ClassId, weight: u32) {
        let siblings = self.twin.children(parent);
        let weight = match self.twin.0[&parent].policy {
            None => return,
            Some(Policy::RateLimit { .. }) if siblings.iter().any(|&child| child != id) => return,
            Some(Policy::Priority)
                if siblings.iter().any(|child| self.twin.0[child].weight == Weight::Priority(weight)) =>
            {
                return;
            }
            Some(Policy::Priority) => Weight::Priority(weight),
            Some(Policy::WeightedFair { .. }) => Weight::Share(weight),
            Some(_) => Weight::Equal,
        };
        if !self.under(parent, id) {
            self.tree.detach(id, self.now);
            self.twin.detach(id, self.now);
            self.tree.attach(id, parent, weight, self.now);
            self.twin.attach(id, parent, weight, self.now);
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Turn { cycles, packets, bytes, again } => {
                let picked = self.tree.next(now);
                assert_eq!(picked, self.twin.next(now));
                let Some(leaf) = picked else { return };
                self.now += cycles;
                let usage = Usage::turn(cycles, packets, bytes);
                self.tree.charge(leaf, &usage, again, self.now);
                self.twin.charge(leaf, usage, again, self.now);
            }
            Step::Ready(leaf) => {
                self.tree.set_ready(leaf, true, now);
                self.twin.at(leaf).ready = true;
                self.twin.settle(now);
            }
            Step::Rest(leaf) => {
                let resting = !self.twin.0[&leaf].resting;
                self.tree.set_resting(leaf, resting, now);
                self.twin.at(leaf).resting = resting;
                self.twin.settle(now);
            }
            Step::Move { id, parent, weight } => {
                self.place(id, parent.index(INNER as usize + 1) as ClassId, weight);
            }
            Step::Limit { id, limit, burst, resource } => {
                let Some(Policy::RateLimit { resource: before, .. }) = self.twin.0[&id].policy else {
                    return;
                };
                let policy = Policy::RateLimit { resource, limit, max_burst: burst };
                self.tree.update(id, policy, now);
                let member = self.twin.at(id);
                member.policy = Some(policy);
                if resource != before {
                    member.bucket = Some(Bucket::new(limit, 0));
                }
                member.until = until(member.bucket.as_mut().unwrap().change(limit, burst, now));
                self.twin.settle(now);
            }
            Step::Wait(ns) => self.now += ns,
            Step::Away(id) => {
                // Out of the tree and back in, as when a class goes to another worker.
                let Some(parent) = self.twin.0[&id].parent else { return };
                let weight = self.twin.0[&id].weight;
                self.tree.detach(id, now);
                let class = self.tree.take(id).unwrap();
                self.tree.insert(id, class);
                self.tree.attach(id, parent, weight, now);
                self.twin.detach(id, now);
                self.twin.attach(id, parent, weight, now);
            }
        }
    }

    fn compare(&self) {
        for (&id, member) in &self.twin.0 {
            assert_eq!(self.tree.look(id), Some((member.usage, self.twin.blocked(id))), "class {id}");
        }
        let due =
            self.twin.0.values().filter_map(|member| member.until.filter(|&until| until < u64::MAX)).min();
        assert_eq!(self.tree.deadline_ns(), due);
    }
}

proptest! {
    #[test]
    fn the_tree_picks_what_its_twin_picks(
        policies in prop::collection::vec(policies(), INNER as usize),
        places in prop::collection::vec((any::<prop::sample::Index>(), 1..100u32), (INNER + LEAVES) as usize),
        steps in prop::collection::vec(steps(), 1..300),
    ) {
        let mut pair = Pair::new(&policies);
        for (id, (parent, weight)) in (1..).zip(places) {
            pair.place(id, parent.index(id.min(INNER + 1) as usize) as ClassId, weight);
        }
        for step in steps {
            pair.step(step);
            pair.compare();
        }
    }
}
