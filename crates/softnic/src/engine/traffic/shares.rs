//! Who gets how much: trees in virtual time against arithmetic.
//!
//! A turn takes as many nanoseconds as it costs cycles, so a second holds 10⁹ cycles, and what every class must get of
//! them can be worked out with pencil and paper: what a limit leaves over goes to the siblings, in proportion. Where all turns
//! are alike, each class of a tree shares out, or limits, a resource of its own: the paper stays the same. Where they are
//! not, all of a tree share the same one, and what is shared out is worked out in it.

use proptest::prelude::*;

use super::{Class, ClassId, Policy, Resource, Tree, Usage, Weight};

const SECOND: u64 = 1_000_000_000;

/// A tree on paper.
#[derive(Clone, Debug)]
enum Paper {
    /// A task that always has work, and the cycles of its turns.
    Leaf(u64),
    Priority(Vec<Paper>),
    Shares(Resource, Vec<(u32, Paper)>),
    /// Its turns all cost the same.
    Turns(Vec<Paper>),
    /// Cycles a second, told to the tree as the amount of the resource that is used in them.
    Limit(Resource, u64, Box<Paper>),
}

/// What a turn of so many cycles uses.
fn turn(cycles: u64) -> Usage {
    Usage::turn(cycles, 7, 7 * 500)
}

impl Paper {
    /// The most that it can use.
    fn demand(&self) -> f64 {
        let sum: f64 = match self {
            Self::Leaf(_) => 1.0,
            Self::Priority(children) | Self::Turns(children) => children.iter().map(Self::demand).sum(),
            Self::Shares(_, children) => children.iter().map(|(_, child)| child.demand()).sum(),
            Self::Limit(_, limit, child) => child.demand().min(*limit as f64 / SECOND as f64),
        };
        sum.min(1.0)
    }

    /// What each leaf gets when all of them together get `given`.
    fn portions(&self, given: f64, out: &mut Vec<f64>) {
        let given = given.min(self.demand());
        match self {
            Self::Leaf(_) => out.push(given),
            Self::Limit(.., child) => child.portions(given, out),
            Self::Priority(children) => {
                let mut rest = given;
                for child in children {
                    let part = child.demand().min(rest);
                    child.portions(part, out);
                    rest -= part;
                }
            }
            Self::Turns(children) => {
                let parts =
                    fill(&children.iter().map(|child| (1.0, child.demand())).collect::<Vec<_>>(), given);
                children.iter().zip(parts).for_each(|(child, part)| child.portions(part, out));
            }
            Self::Shares(_, children) => {
                let wants = children.iter().map(|(share, child)| (f64::from(*share), child.demand()));
                let parts = fill(&wants.collect::<Vec<_>>(), given);
                children.iter().zip(parts).for_each(|((_, child), part)| child.portions(part, out));
            }
        }
    }

    /// Plants the tree; returns its root.
    fn plant(&self, tree: &mut Tree, next: &mut ClassId, costs: &mut Vec<(ClassId, u64)>) -> ClassId {
        let id = *next;
        *next += 1;
        let class = match self {
            Self::Leaf(cost) => {
                costs.push((id, *cost));
                Class::leaf()
            }
            Self::Priority(_) => Class::inner(Policy::Priority),
            Self::Shares(resource, _) => Class::inner(Policy::WeightedFair { resource: *resource }),
            Self::Turns(_) => Class::inner(Policy::RoundRobin),
            Self::Limit(resource, cycles, _) => {
                let limit = match resource {
                    Resource::Cycle => *cycles,
                    other => cycles / ALIKE * turn(ALIKE).of(*other),
                };
                Class::inner(Policy::RateLimit { resource: *resource, limit, max_burst: 0 })
            }
        };
        tree.insert(id, Box::new(class));
        let children: Vec<(Weight, &Self)> = match self {
            Self::Leaf(_) => Vec::new(),
            Self::Priority(children) => (0..).map(Weight::Priority).zip(children).collect(),
            Self::Shares(_, children) => {
                children.iter().map(|(share, child)| (Weight::Share(*share), child)).collect()
            }
            Self::Turns(children) => children.iter().map(|child| (Weight::Equal, child)).collect(),
            Self::Limit(.., child) => vec![(Weight::Equal, child)],
        };
        for (weight, child) in children {
            let child = child.plant(tree, next, costs);
            tree.attach(child, id, weight, 0);
        }
        id
    }

    fn depth(&self) -> u64 {
        match self {
            Self::Leaf(_) => 1,
            Self::Priority(children) | Self::Turns(children) => {
                1 + children.iter().map(Self::depth).max().unwrap_or(0)
            }
            Self::Shares(_, children) => {
                1 + children.iter().map(|(_, child)| child.depth()).max().unwrap_or(0)
            }
            Self::Limit(.., child) => 1 + child.depth(),
        }
    }
}

/// Shares `given` out by weight, to nobody more than he wants.
fn fill(wants: &[(f64, f64)], given: f64) -> Vec<f64> {
    let mut parts = vec![0.0; wants.len()];
    let mut open: Vec<usize> = (0..wants.len()).collect();
    let mut rest = given;
    while !open.is_empty() {
        let weight: f64 = open.iter().map(|&at| wants[at].0).sum();
        let (sated, hungry): (Vec<usize>, Vec<usize>) =
            open.iter().partition(|&&at| wants[at].1 <= rest * wants[at].0 / weight);
        if sated.is_empty() {
            hungry.iter().for_each(|&at| parts[at] = rest * wants[at].0 / weight);
            break;
        }
        for at in sated {
            parts[at] = wants[at].1;
            rest -= wants[at].1;
        }
        open = hungry;
    }
    parts
}

/// Cycles of a turn where all are alike.
const ALIKE: u64 = 8_000;

fn resources() -> impl Strategy<Value = Resource> {
    prop::sample::select(Resource::ALL.to_vec())
}

/// Trees in cycles, in which each leaf has its own turns.
fn papers() -> impl Strategy<Value = Paper> {
    let leaf = (2_000..30_000u64).prop_map(Paper::Leaf);
    leaf.prop_recursive(4, 16, 4, |below| {
        let priority = prop::collection::vec(below.clone(), 1..4).prop_map(Paper::Priority);
        let shares = prop::collection::vec((1..20u32, below.clone()), 1..5)
            .prop_map(|children| Paper::Shares(Resource::Cycle, children));
        let limit = (SECOND / 100..SECOND, below)
            .prop_map(|(limit, child)| Paper::Limit(Resource::Cycle, limit, child.into()));
        prop_oneof![2 => shares, 2 => limit, 1 => priority]
    })
}

/// Trees in which every class has a resource of its own, and all turns are alike.
fn mixed_papers() -> impl Strategy<Value = Paper> {
    Just(Paper::Leaf(ALIKE)).prop_recursive(4, 16, 4, |below| {
        let many = || prop::collection::vec(below.clone(), 1..4);
        let shares = (resources(), prop::collection::vec((1..20u32, below.clone()), 1..5))
            .prop_map(|(resource, children)| Paper::Shares(resource, children));
        // So many turns a second, from 1 % of all there can be.
        let limit = (resources(), SECOND / ALIKE / 100..SECOND / ALIKE, below.clone())
            .prop_map(|(resource, turns, child)| Paper::Limit(resource, turns * ALIKE, child.into()));
        let (priority, turns) = (many().prop_map(Paper::Priority), many().prop_map(Paper::Turns));
        prop_oneof![2 => shares, 2 => limit, 1 => priority, 1 => turns]
    })
}

/// Trees of shares of one resource, and what each leaf's turn uses.
fn shared_papers() -> impl Strategy<Value = (Paper, Vec<Usage>)> {
    let usage = (100..5000u64, 1..33u64, 60..1515u64)
        .prop_map(|(cycles, packets, bytes)| Usage::turn(cycles, packets, packets * bytes));
    let trees = resources().prop_flat_map(|resource| {
        Just(Paper::Leaf(0)).prop_recursive(4, 24, 6, move |below| {
            prop::collection::vec((1..50u32, below), 1..6)
                .prop_map(move |children| Paper::Shares(resource, children))
        })
    });
    (trees, prop::collection::vec(usage, 64))
}

/// Runs a tree for a virtual time, and holds what the leaves got against arithmetic.
fn judge(paper: &Paper, run_ns: u64) -> Result<(), TestCaseError> {
    let mut tree = Tree::new(0);
    let mut costs = Vec::new();
    let top = paper.plant(&mut tree, &mut 1, &mut costs);
    tree.attach(top, 0, Weight::Equal, 0);
    for &(leaf, _) in &costs {
        tree.bind(leaf, Some(leaf), 0);
        tree.set_ready(leaf, true, 0);
    }
    let dearest = costs.iter().map(|&(_, cost)| cost).max().unwrap();
    let mut now = 0;
    while now < run_ns {
        let Some(leaf) = tree.next(now) else {
            now = tree.deadline_ns().unwrap().max(now);
            continue;
        };
        let cost = costs[costs.binary_search_by_key(&leaf, |&(leaf, _)| leaf).unwrap()].1;
        now += cost;
        tree.charge(leaf, &turn(cost), true, now);
    }
    let mut wanted = Vec::new();
    paper.portions(1.0, &mut wanted);
    for (&(leaf, _), want) in costs.iter().zip(wanted) {
        let got = tree.look(leaf).unwrap().0.cycles as f64;
        let want = want * now as f64;
        // A turn is not cut in two, at no level.
        let grain = (2 * dearest * paper.depth()) as f64;
        let apart = (got - want).abs();
        prop_assert!(
            apart <= want * 0.01 + grain,
            "leaf {leaf} got {got}, arithmetic says {want}, in {paper:?}"
        );
    }
    let used = tree.look(0).unwrap().0;
    prop_assert_eq!(
        used.cycles,
        costs.iter().map(|&(leaf, _)| tree.look(leaf).unwrap().0.cycles).sum::<u64>()
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn portions_are_what_arithmetic_says(paper in papers()) {
        judge(&paper, SECOND)?;
    }

    #[test]
    fn portions_are_what_arithmetic_says_whatever_each_class_counts(paper in mixed_papers()) {
        judge(&paper, SECOND)?;
    }

    /// Whatever is shared, by tasks whose turns bring in different numbers of packets of different lengths.
    #[test]
    fn shares_hold_in_every_resource((paper, usages) in shared_papers()) {
        let Paper::Shares(resource, _) = &paper else { return Ok(()) };
        let resource = *resource;
        let mut tree = Tree::new(0);
        let mut leaves = Vec::new();
        let top = paper.plant(&mut tree, &mut 1, &mut leaves);
        tree.attach(top, 0, Weight::Equal, 0);
        for &(leaf, _) in &leaves {
            tree.bind(leaf, Some(leaf), 0);
            tree.set_ready(leaf, true, 0);
        }
        let usage = |leaf| usages[leaves.binary_search_by_key(&leaf, |&(leaf, _)| leaf).unwrap() % usages.len()];
        let mut now = 0;
        for _ in 0..20_000 {
            let leaf = tree.next(now).unwrap();
            now += usage(leaf).cycles;
            tree.charge(leaf, &usage(leaf), true, now);
        }
        let mut wanted = Vec::new();
        paper.portions(1.0, &mut wanted);
        let all = tree.look(top).unwrap().0.of(resource) as f64;
        let dearest = leaves.iter().map(|&(leaf, _)| usage(leaf).of(resource)).max().unwrap();
        for (&(leaf, _), want) in leaves.iter().zip(wanted) {
            let (got, want) = (tree.look(leaf).unwrap().0.of(resource) as f64, all * want);
            let grain = (2 * dearest * paper.depth()) as f64;
            prop_assert!((got - want).abs() <= want * 0.01 + grain, "{leaf}: {got} of {all}, {want} wanted");
        }
    }

    /// A limit holds in every resource, for a task that has work all the time, beside one that takes the rest.
    #[test]
    fn limits_hold_in_every_resource(
        at in 0..4usize,
        (cycles, packets, bytes) in (100..5000u64, 1..33u64, 60..1515u64),
        part in 0.01..0.9f64,
        late in 0..1_000_000u64,
    ) {
        let resource = Resource::ALL[at];
        let usage = Usage::turn(cycles, packets, packets * bytes);
        // What it would use alone, and a part of that.
        let alone = usage.of(resource) as f64 * SECOND as f64 / cycles as f64;
        let limit = (alone * part) as u64;
        let mut tree = Tree::new(0);
        tree.insert(1, Box::new(Class::inner(Policy::RateLimit { resource, limit, max_burst: 0 })));
        tree.insert(2, Box::new(Class::leaf()));
        tree.attach(2, 1, Weight::Equal, 0);
        tree.attach(1, 0, Weight::Equal, 0);
        tree.bind(2, Some(2), 0);
        tree.set_ready(2, true, 0);
        let mut now = 0;
        while now < SECOND / 4 {
            if tree.next(now).is_some() {
                now += cycles;
                tree.charge(2, &usage, true, now);
            } else {
                // The worker oversleeps.
                now = tree.deadline_ns().unwrap() + late;
            }
        }
        let got = tree.look(2).unwrap().0.of(resource) as f64;
        let want = limit as f64 * now as f64 / SECOND as f64;
        let grain = usage.of(resource) as f64 + limit as f64 * late as f64 / SECOND as f64;
        prop_assert!((got - want).abs() <= want * 0.001 + grain, "{got} of {resource}, {want} wanted");
    }
}
