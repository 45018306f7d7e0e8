//! Building the forest of one address family.

use std::collections::HashMap;

use super::block::{Block, Class, LANES};
use super::forest::{Forest, Group, NODES_MAX, Node, Rooted, WAYS};
use super::region::{Bounds, DESTINATION, DIMENSIONS, Region, SOURCE};
use super::{BYTES_PER_RULE, RULES_MAX};

/// Steps from a root to a leaf.
const DEPTH_MAX: u32 = 24;
/// How many roots a rule of a rooted group stands below, on average over all rules.
const ROOTS_PER_RULE: usize = 8;
/// So many rules that are broad in both addresses, or in one, are no groups of their own.
const FEW: usize = 256;

// The budget of bytes keeps the nodes below their own limit.
const _: () = assert!(RULES_MAX * BYTES_PER_RULE / size_of::<Node>() <= NODES_MAX);

/// The forest of `bounds`, which are in order of priority; `classes` tells how many there are of sources and destinations.
pub(super) fn forest<C: Class>(bounds: &[Bounds], classes: [usize; 2]) -> Forest<C> {
    let [plots, others] = [SOURCE, DESTINATION].map(|favoured| {
        let groups = partition(bounds, favoured);
        groups.into_iter().flat_map(|group| Plot::of_group(bounds, classes, group)).collect::<Vec<Plot>>()
    });
    let plots = if work(&others) < work(&plots) { others } else { plots };
    let least: usize = plots.iter().map(|plot| least_bytes::<C>(plot.rules.len())).sum();
    let spare = (BYTES_PER_RULE * bounds.len()).saturating_sub(least);
    let replicas: usize = plots.iter().map(|plot| plot.rules.len()).sum();

    let forest = Forest { groups: Vec::new(), nodes: Vec::new(), blocks: Vec::new() };
    let mut builder = Builder { bounds, forest, leaves: HashMap::new() };
    for plot in plots {
        let count = plot.rules.len();
        let share = spare as u128 * count as u128 / replicas.max(1) as u128;
        let root = builder.reserve(1);
        builder.tree(root, plot.rules, plot.region, least_bytes::<C>(count) + share as usize, DEPTH_MAX);
        if builder.forest.groups.last().is_none_or(|group| group.rooted != plot.rooted) {
            let (rooted, first_rule) = (plot.rooted, plot.first_rule);
            builder.forest.groups.push(Group { rooted, roots: Vec::new(), first_rule });
        }
        if let Some(group) = builder.forest.groups.last_mut() {
            group.roots.extend(std::iter::repeat_n(root as u32, plot.roots));
        }
    }
    builder.forest.groups.sort_by_key(|group| group.first_rule);
    builder.forest
}

/// Bytes of a tree that is one leaf.
fn least_bytes<C>(rules: usize) -> usize {
    size_of::<Node>() + rules.div_ceil(LANES).max(1) * size_of::<Block<C>>()
}

/// About how many steps a packet takes: a walk for each group, and in it a step for each halving of the rules of a plot.
fn work(plots: &[Plot]) -> f64 {
    const WALK: f64 = 6.0;
    let groups = 1 + plots.windows(2).filter(|pair| pair[0].rooted != pair[1].rooted).count();
    let rules: usize = plots.iter().map(|plot| plot.rules.len()).sum();
    let steps =
        |plot: &Plot| plot.rules.len() as f64 * (plot.rules.len() as f64 / LANES as f64).max(1.0).log2();
    WALK * groups as f64 + plots.iter().map(steps).sum::<f64>() / rules.max(1) as f64
}

/// Which rules share trees, and by which address the trees are chosen: by the one that is narrower, `favoured` where both
/// are narrow, as long as the roots are few enough; the rest shares one tree.
fn partition(bounds: &[Bounds], favoured: usize) -> Vec<(Rooted, Vec<u32>)> {
    const NARROW: usize = 4;
    let mut order: Vec<u32> = (0..bounds.len() as u32).collect();
    let widths = |rule: u32| [SOURCE, DESTINATION].map(|address| bounds[rule as usize].width(address));
    order.sort_by_cached_key(|&rule| widths(rule).into_iter().min());
    let room = ROOTS_PER_RULE * bounds.len();
    let (mut rooted, mut roots, mut rest) = ([Vec::new(), Vec::new()], [0, 0], Vec::new());
    for rule in order {
        let [source, destination] = widths(rule);
        let narrow = match source.max(destination) {
            ..=NARROW => favoured,
            _ => usize::from(destination < source),
        };
        let choice = [narrow, 1 - narrow].into_iter().find(|&side| roots[side] + widths(rule)[side] <= room);
        match choice {
            Some(side) => {
                roots[side] += widths(rule)[side];
                rooted[side].push(rule);
            }
            None => rest.push(rule),
        }
    }
    // A group costs every packet a walk: a small one joins another if it can.
    for side in [0, 1] {
        let other = 1 - side;
        if rooted[side].len() > FEW {
            continue;
        }
        let more: usize = rooted[side].iter().map(|&rule| widths(rule)[other]).sum();
        let small = std::mem::take(&mut rooted[side]);
        if !rooted[other].is_empty() && roots[other] + more <= room {
            roots[other] += more;
            rooted[other].extend(small);
        } else {
            rest.extend(small);
        }
    }
    let [sources, destinations] = rooted;
    let groups = [(Rooted::Source, sources), (Rooted::Destination, destinations), (Rooted::Nowhere, rest)];
    groups.into_iter().filter(|(_, rules)| !rules.is_empty()).collect()
}

/// The ground of one tree.
struct Plot {
    rooted: Rooted,
    first_rule: u32,
    rules: Vec<u32>,
    region: Region,
    /// How many values of the rooting dimension lead here.
    roots: usize,
}

impl Plot {
    /// The plots of a group, by ascending value of the dimension it is rooted in.
    fn of_group(
        bounds: &[Bounds],
        classes: [usize; 2],
        (rooted, mut rules): (Rooted, Vec<u32>),
    ) -> Vec<Self> {
        let ports = (0, u16::MAX.into());
        let [sources, destinations] = classes.map(|count| (0, count as u32 - 1));
        let everything = [sources, destinations, ports, ports, (0, u8::MAX.into())];
        rules.sort_unstable();
        let first_rule = bounds[rules[0] as usize].number;
        let dimension = match rooted {
            Rooted::Source => SOURCE,
            Rooted::Destination => DESTINATION,
            Rooted::Nowhere => {
                return vec![Self { rooted, first_rule, rules, region: everything, roots: 1 }];
            }
        };
        let range = |rule: u32| bounds[rule as usize].region[dimension];
        let end = everything[dimension].1 + 1;
        let mut cuts: Vec<u32> = rules.iter().flat_map(|&rule| [range(rule).0, range(rule).1 + 1]).collect();
        cuts.extend([0, end]);
        cuts.sort_unstable();
        cuts.dedup();
        rules.sort_by_key(|&rule| range(rule).0);
        let mut coming = rules.into_iter().peekable();
        let mut active: Vec<u32> = Vec::new();
        let plot = |cut: &[u32]| {
            let (first, next) = (cut[0], cut[1]);
            active.retain(|&rule| range(rule).1 >= first);
            active.extend(std::iter::from_fn(|| coming.next_if(|&rule| range(rule).0 <= first)));
            active.sort_unstable();
            let mut region = everything;
            region[dimension] = (first, next - 1);
            Self { rooted, first_rule, rules: active.clone(), region, roots: (next - first) as usize }
        };
        cuts.windows(2).map(plot).collect()
    }
}

struct Builder<'a, C> {
    bounds: &'a [Bounds],
    forest: Forest<C>,
    /// The first blocks of the leaves that are there already, by their rules.
    leaves: HashMap<Vec<u32>, u32>,
}

impl<C: Class> Builder<'_, C> {
    fn reserve(&mut self, nodes: usize) -> usize {
        let at = self.forest.nodes.len();
        self.forest.nodes.resize(at + nodes, Node::default());
        at
    }

    /// Plants the tree of `rules` for `region` at the node `at`, in at most `budget` bytes, which one leaf never exceeds.
    fn tree(&mut self, at: usize, mut rules: Vec<u32>, region: Region, budget: usize, depth: u32) {
        if let Some(all) = rules.iter().position(|&rule| self.bounds[rule as usize].covers(&region)) {
            rules.truncate(all + 1); // what is behind it never comes first here
        }
        let split = (rules.len() > LANES && depth > 0).then(|| self.split(&rules, &region)).flatten();
        let parts = split.as_ref().map_or_else(Vec::new, |split| self.parts(&rules, &region, split));
        let least: usize = parts.iter().map(|part| least_bytes::<C>(part.rules.len())).sum();
        let (Some(split), Some(spare)) = (split, budget.checked_sub(size_of::<Node>() + least)) else {
            self.forest.nodes[at] = Node::leaf(self.leaf(rules), at);
            return;
        };
        drop(rules);
        let replicas: usize = parts.iter().map(|part| part.rules.len()).sum();
        let next = self.reserve(parts.len());
        self.forest.nodes[at] = Node::split(split.dimension, &split.cuts, next);
        for (index, Part { rules, region }) in parts.into_iter().enumerate() {
            let share = spare as u128 * rules.len() as u128 / replicas as u128;
            let budget = least_bytes::<C>(rules.len()) + share as usize;
            self.tree(next + index, rules, region, budget, depth - 1);
        }
    }

    /// What a split makes of a region.
    fn parts(&self, rules: &[u32], region: &Region, split: &Split) -> Vec<Part> {
        let dimension = split.dimension;
        let (first, last) = region[dimension];
        let starts = std::iter::once(first).chain(split.cuts.iter().map(|cut| cut + 1));
        let ends = split.cuts.iter().copied().chain([last]);
        let part = |range| {
            let mut region = *region;
            region[dimension] = range;
            let inside = rules.iter().copied().filter(|&rule| self.bounds[rule as usize].meets(&region));
            Part { rules: inside.collect(), region }
        };
        starts.zip(ends).map(part).collect()
    }

    fn leaf(&mut self, rules: Vec<u32>) -> usize {
        if let Some(&block) = self.leaves.get(&rules) {
            return block as usize;
        }
        let block = self.forest.blocks.len();
        let bounds = rules.iter().map(|&rule| &self.bounds[rule as usize]);
        Block::push_leaf(&mut self.forest.blocks, bounds);
        self.leaves.insert(rules, block as u32);
        block
    }

    /// The dimension in which one cut leaves the fewest rules to look at, and there up to [`WAYS`] parts; `None` where no
    /// cut takes a rule away from both of its sides.
    fn split(&self, rules: &[u32], region: &Region) -> Option<Split> {
        let cut_in = |dimension| self.cut(rules, region, dimension).map(|(cost, cut)| (cost, dimension, cut));
        let (_, dimension, cut) = (0..DIMENSIONS).filter_map(cut_in).min()?;
        let mut split = Split { dimension, cuts: vec![cut] };
        while split.cuts.len() < WAYS - 1 {
            let parts = self.parts(rules, region, &split);
            let largest = parts.iter().filter(|part| part.rules.len() > LANES);
            let next = largest
                .filter_map(|part| {
                    self.cut(&part.rules, &part.region, dimension).map(|cut| (part.rules.len(), cut))
                })
                .max_by_key(|&(count, (cost, _))| (count * count).saturating_sub(cost));
            let Some((_, (_, cut))) = next else { break };
            split.cuts.push(cut);
            split.cuts.sort_unstable();
        }
        Some(split)
    }

    /// The best cut in one dimension, as its cost and the last value below it: the cost is the sum of the squares of the
    /// rules on both sides.
    fn cut(&self, rules: &[u32], region: &Region, dimension: usize) -> Option<(usize, u32)> {
        let (low, high) = region[dimension];
        let range = |&rule: &u32| self.bounds[rule as usize].region[dimension];
        let mut firsts: Vec<u32> = rules.iter().map(|rule| range(rule).0.max(low)).collect();
        let mut lasts: Vec<u32> = rules.iter().map(|rule| range(rule).1.min(high)).collect();
        firsts.sort_unstable();
        lasts.sort_unstable();
        let before = firsts.iter().map(|&first| first.wrapping_sub(1));
        let values = before.chain(lasts.iter().copied()).filter(|value| (low..high).contains(value));
        let cost = |value: u32| {
            let below = firsts.partition_point(|&first| first <= value);
            let above = rules.len() - lasts.partition_point(|&last| last <= value);
            (below.max(above) < rules.len()).then_some((below * below + above * above, value))
        };
        values.filter_map(cost).min()
    }
}

/// The last values, in one dimension, of all parts but the last one.
struct Split {
    dimension: usize,
    cuts: Vec<u32>,
}

/// A part of a region, and the rules that meet it.
struct Part {
    rules: Vec<u32>,
    region: Region,
}
