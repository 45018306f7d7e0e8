//! Random-graph models. Where a model may leave its graph in pieces, each further piece is joined to the first
//! by one extra link, so that the result is connected.

use super::{Builder, GenerateError, check, check_size};
use crate::graph::{LINKS_MAX, Topology};
use crate::link::LinkSpec;
use crate::node::NodeSpec;
use crate::random::{Random, exp_negative};
use crate::units::Delay;

/// The most nodes of the models that look at every pair of nodes.
pub const PAIRS_NODES_MAX: u32 = 10_000;

/// G(n, p) of Erdős and Rényi: every two switches are joined with `probability`.
///
/// # Errors
/// When the probability is not in 0..=1, or there is no switch, or too many, or too many links.
pub fn erdos_renyi(
    switches: u32,
    probability: f64,
    seed: u64,
    link: &LinkSpec,
) -> Result<Topology, GenerateError> {
    check_pairs("erdos_renyi", switches)?;
    check("erdos_renyi", "probability", probability, (0.0..=1.0).contains(&probability), "in 0..=1")?;
    let mut random = Random::new(seed);
    let mut builder =
        Builder::new(format!("Erdős–Rényi {switches} {probability}"), link).switches(switches)?;
    let mut pieces = Pieces::new(switches as usize);
    let mut links = 0;
    for from in 0..switches as usize {
        for to in from + 1..switches as usize {
            if random.unit() < probability {
                count_link("erdos_renyi", switches, &mut links)?;
                builder.join(from, to)?;
                pieces.join(from, to);
            }
        }
    }
    for node in 1..switches as usize {
        if pieces.of(node) != pieces.of(0) {
            // Any node of the first piece; the nodes before this one are all in it by now.
            let other = random.below(node);
            builder.join(other, node)?;
            pieces.join(other, node);
        }
    }
    Ok(builder.topology)
}

/// Waxman's model (IEEE JSAC 6(9), 1988): switches at random places of the unit square; two at distance d are
/// joined with probability `alpha` · e^(−d / (`beta` · √2)). The places are the attributes `x` and `y`; the
/// delay of a link is the given one times d. Pieces are joined where they are closest.
///
/// # Errors
/// When `alpha` or `beta` is not in (0, 1], or there is no switch, or too many, or too many links.
pub fn waxman(
    switches: u32,
    alpha: f64,
    beta: f64,
    seed: u64,
    link: &LinkSpec,
) -> Result<Topology, GenerateError> {
    check_pairs("waxman", switches)?;
    check("waxman", "alpha", alpha, alpha > 0.0 && alpha <= 1.0, "in (0, 1]")?;
    check("waxman", "beta", beta, beta > 0.0 && beta <= 1.0, "in (0, 1]")?;
    let mut random = Random::new(seed);
    let mut builder = Builder::new(format!("Waxman {switches} {alpha} {beta}"), link);
    let places: Vec<(f64, f64)> = (0..switches).map(|_| (random.unit(), random.unit())).collect();
    for ((x, y), number) in places.iter().zip(1..) {
        let spec = NodeSpec::switch(format!("s{number}"));
        builder.add(spec.attribute("x", format!("{x:.6}")).attribute("y", format!("{y:.6}")))?;
    }
    let distance = |from: usize, to: usize| {
        let ((ax, ay), (bx, by)) = (places[from], places[to]);
        ((ax - bx) * (ax - bx) + (ay - by) * (ay - by)).sqrt()
    };
    let by_distance = |from, to| {
        let delay = Delay::from_nanos((link.delay.nanos() as f64 * distance(from, to)) as u64);
        LinkSpec { from_port: None, to_port: None, delay, ..link.clone() }
    };
    let mut pieces = Pieces::new(switches as usize);
    let mut links = 0;
    for from in 0..switches as usize {
        for to in from + 1..switches as usize {
            let chance = alpha * exp_negative(distance(from, to) / (beta * std::f64::consts::SQRT_2));
            if random.unit() < chance {
                count_link("waxman", switches, &mut links)?;
                builder.join_by(from, to, by_distance(from, to))?;
                pieces.join(from, to);
            }
        }
    }
    for (from, to) in pieces.bridges(distance) {
        builder.join_by(from, to, by_distance(from, to))?;
    }
    Ok(builder.topology)
}

/// Preferential attachment (Barabási and Albert, Science 286, 1999): every new switch is joined to `links`
/// different older ones, chosen in proportion to the links they have. Starts from `links` + 1 switches, all
/// joined. Connected by construction.
///
/// # Errors
/// When `links` is 0 or not below `switches`, or the graph is too large.
pub fn barabasi_albert(
    switches: u32,
    links: u32,
    seed: u64,
    link: &LinkSpec,
) -> Result<Topology, GenerateError> {
    check("barabasi_albert", "links", links, links >= 1 && links < switches, "at least 1, below switches")?;
    check_size("barabasi_albert", switches.into(), u64::from(switches) * u64::from(links))?;
    let mut random = Random::new(seed);
    let mut builder = Builder::new(format!("Barabási–Albert {switches} {links}"), link).switches(switches)?;
    // Every node once for each of its links: a uniform choice here is a choice by degree.
    let mut ends = Vec::new();
    let links = links as usize;
    for node in 1..switches as usize {
        let mut chosen = Vec::with_capacity(links);
        if node <= links {
            chosen.extend(0..node);
        }
        while chosen.len() < links.min(node) {
            // Ends with probability 1: more than `links` older nodes have links.
            let older: usize = ends[random.below(ends.len())];
            if !chosen.contains(&older) {
                chosen.push(older);
            }
        }
        for older in chosen {
            builder.join(older, node)?;
            ends.extend([older, node]);
        }
    }
    Ok(builder.topology)
}

fn check_pairs(shape: &'static str, switches: u32) -> Result<(), GenerateError> {
    check(shape, "switches", switches, (1..=PAIRS_NODES_MAX).contains(&switches), "in 1..=10,000")
}

/// Counts a link, leaving room for those that join the pieces.
fn count_link(shape: &'static str, switches: u32, links: &mut u64) -> Result<(), GenerateError> {
    *links += 1;
    if *links + u64::from(switches) > LINKS_MAX as u64 {
        return Err(GenerateError::TooLarge {
            shape,
            nodes: switches.into(),
            links: *links + u64::from(switches),
        });
    }
    Ok(())
}

/// Which nodes are joined already: union-find with path halving.
struct Pieces {
    parent: Vec<usize>,
}

impl Pieces {
    fn new(nodes: usize) -> Self {
        Self { parent: (0..nodes).collect() }
    }

    fn of(&mut self, mut node: usize) -> usize {
        while self.parent[node] != node {
            self.parent[node] = self.parent[self.parent[node]];
            node = self.parent[node];
        }
        node
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(a), self.of(b));
        self.parent[a.max(b)] = a.min(b);
    }

    /// The links that make one piece of all, each from what is joined to the nearest node that is not: Prim's
    /// algorithm with distance 0 inside a piece. Takes nodes² steps.
    fn bridges(&mut self, distance: impl Fn(usize, usize) -> f64) -> Vec<(usize, usize)> {
        let count = self.parent.len();
        let piece: Vec<usize> = (0..count).map(|node| self.of(node)).collect();
        let mut bridges = Vec::new();
        let mut nearest: Vec<(f64, usize)> = vec![(f64::INFINITY, 0); count];
        let mut done = vec![false; count];
        let mut waiting = vec![0];
        loop {
            while let Some(node) = waiting.pop() {
                done[node] = true;
                for other in (0..count).filter(|other| piece[*other] != piece[node]) {
                    let length = distance(node, other);
                    if length < nearest[other].0 {
                        nearest[other] = (length, node);
                    }
                }
                if piece[node] == node {
                    waiting.extend((node + 1..count).filter(|other| piece[*other] == node));
                }
            }
            let next = (0..count).filter(|node| !done[*node]);
            let Some(next) = next.min_by(|a, b| nearest[*a].0.total_cmp(&nearest[*b].0)) else {
                return bridges;
            };
            bridges.push((nearest[next].1, next));
            waiting.push(piece[next]);
        }
    }
}
