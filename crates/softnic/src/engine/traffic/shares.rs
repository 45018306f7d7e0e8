//! Who gets how much: trees in virtual time against arithmetic.
//!
//! A turn takes as many nanoseconds as it costs cycles, so a second holds 10⁹ cycles, and what every class must get of
//! them can be worked out with pencil and paper: what a limit leaves over goes to the siblings, in proportion.

use proptest::prelude::*;

use super::{Class, ClassId, Policy, Resource, Tree, Usage, Weight};

const SECOND: u64 = 1_000_000_000;

/// A tree on paper.
#[derive(Clone, Debug)]
enum Paper {
    /// A task that always has work, and the cycles of its turns.
    Leaf(u64),
    Priority(Vec<Paper>),
    Shares(Vec<(u32, Paper)>),
    /// Its turns all cost the same.
    Turns(Vec<Paper>),
    /// Cycles a second.
    Limit(u64, Box<Paper>),
}

impl Paper {
    /// The most that it can use.
    fn demand(&self) -> f64 {
        let sum: f64 = match self {
            Self::Leaf(_) => 1.0,
            Self::Priority(children) | Self::Turns(children) => children.iter().map(Self::demand).sum(),
            Self::Shares(children) => children.iter().map(|(_, child)| child.demand()).sum(),
            Self::Limit(limit, child) => child.demand().min(*limit as f64 / SECOND as f64),
        };
        sum.min(1.0)
    }

    /// What each leaf gets when all of them together get `given`.
    fn portions(&self, given: f64, out: &mut Vec<f64>) {
        let given = given.min(self.demand());
        match self {
            Self::Leaf(_) => out.push(given),
            Self::Limit(_, child) => child.portions(given, out),
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
            Self::Shares(children) => {
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
            Self::Shares(_) => Class::inner(Policy::WeightedFair { resource: Resource::Cycle }),
            Self::Turns(_) => Class::inner(Policy::RoundRobin),
            Self::Limit(limit, _) => {
                Class::inner(Policy::RateLimit { resource: Resource::Cycle, limit: *limit, max_burst: 0 })
            }
        };
        tree.insert(id, Box::new(class));
        let children: Vec<(Weight, &Self)> = match self {
            Self::Leaf(_) => Vec::new(),
            Self::Priority(children) => (0..).map(Weight::Priority).zip(children).collect(),
            Self::Shares(children) => {
                children.iter().map(|(share, child)| (Weight::Share(*share), child)).collect()
            }
            Self::Turns(children) => children.iter().map(|child| (Weight::Equal, child)).collect(),
            Self::Limit(_, child) => vec![(Weight::Equal, child)],
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
            Self::Shares(children) => 1 + children.iter().map(|(_, child)| child.depth()).max().unwrap_or(0),
            Self::Limit(_, child) => 1 + child.depth(),
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

/// Trees of which all turns cost `cost`, or each leaf's its own.
fn papers(cost: Option<u64>) -> impl Strategy<Value = Paper> {
    let leaf = match cost {
        Some(cost) => Just(Paper::Leaf(cost)).boxed(),
        None => (2_000..30_000u64).prop_map(Paper::Leaf).boxed(),
    };
    leaf.prop_recursive(4, 16, 4, move |below| {
        let many = || prop::collection::vec(below.clone(), 1..4);
        let shares = prop::collection::vec((1..20u32, below.clone()), 1..5).prop_map(Paper::Shares);
        let limit = (SECOND / 100..SECOND, below.clone())
            .prop_map(|(limit, child)| Paper::Limit(limit, child.into()));
        let priority = many().prop_map(Paper::Priority);
        if cost.is_some() {
            prop_oneof![2 => shares, 2 => limit, 1 => priority, 1 => many().prop_map(Paper::Turns)].boxed()
        } else {
            prop_oneof![2 => shares, 2 => limit, 1 => priority].boxed()
        }
    })
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
        tree.charge(leaf, &Usage::turn(cost, 1, 60), true, now);
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
    fn portions_are_what_arithmetic_says(paper in papers(None)) {
        judge(&paper, SECOND)?;
    }

    #[test]
    fn portions_are_what_arithmetic_says_with_turns_in_turn(paper in papers(Some(8_000))) {
        judge(&paper, SECOND)?;
    }

    /// Whatever is shared, by tasks whose turns bring in different numbers of packets of different lengths.
    #[test]
    fn shares_hold_in_every_resource(
        at in 0..4usize,
        tasks in prop::collection::vec((1..50u32, 100..5000u64, 1..33u64, 60..1515u64), 1..20),
    ) {
        let resource = Resource::ALL[at];
        let mut tree = Tree::new(0);
        tree.insert(1, Box::new(Class::inner(Policy::WeightedFair { resource })));
        tree.attach(1, 0, Weight::Equal, 0);
        for (leaf, task) in (2..).zip(&tasks) {
            tree.insert(leaf, Box::new(Class::leaf()));
            tree.attach(leaf, 1, Weight::Share(task.0), 0);
            tree.bind(leaf, Some(leaf), 0);
            tree.set_ready(leaf, true, 0);
        }
        let turn = |&(_, cycles, packets, bytes): &(u32, u64, u64, u64)| Usage::turn(cycles, packets, packets * bytes);
        let mut now = 0;
        for _ in 0..20_000 {
            let leaf = tree.next(now).unwrap();
            let usage = turn(&tasks[leaf as usize - 2]);
            now += usage.cycles;
            tree.charge(leaf, &usage, true, now);
        }
        let shares: u32 = tasks.iter().map(|task| task.0).sum();
        let all = tree.look(1).unwrap().0.of(resource) as f64;
        for (leaf, task) in (2..).zip(&tasks) {
            let got = tree.look(leaf).unwrap().0.of(resource) as f64;
            let want = all * f64::from(task.0) / f64::from(shares);
            let grain = 2 * tasks.iter().map(|task| turn(task).of(resource)).max().unwrap();
            prop_assert!((got - want).abs() <= want * 0.01 + grain as f64, "{leaf}: {got} of {all}, {want} wanted");
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
