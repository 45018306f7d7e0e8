//! The stretch experiment: the busiest links fail, packets are sent, and their walks are compared with the shortest way left.

use std::cmp::Reverse;

use topology::{Topology, paths};

use crate::header::Phase;
use crate::map::{FAR, Map};
use crate::network::{End, Network};
use crate::plan::{Plan, Priority};
use crate::random::Random;

/// A packet that walks farther than this is given up, and counted.
pub const HOPS_MAX: u32 = 1 << 20;
/// Patience of a bounded packet: this many times its distance, and a few hops.
const PATIENCE_TIMES: u32 = 2;
const PATIENCE_MORE: u32 = 4;

/// How packets are led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// The paper's protocol, with the links in this order.
    Plain(Priority),
    /// The same, and every packet's walk bounded by a scout.
    Bounded(Priority),
}

impl Scheme {
    /// The order of links.
    pub fn priority(self) -> Priority {
        match self {
            Self::Plain(priority) | Self::Bounded(priority) => priority,
        }
    }

    /// How a packet of a node at this distance starts.
    pub fn phase(self, distance: u32) -> Phase {
        match self {
            Self::Plain(_) => Phase::Plain,
            Self::Bounded(_) => Phase::Patient(patience(distance)),
        }
    }
}

/// How many hops a packet to a destination that is so far follows the link directions before it scouts.
pub fn patience(distance: u32) -> u8 {
    let patience = distance.saturating_mul(PATIENCE_TIMES).saturating_add(PATIENCE_MORE);
    patience.min(u32::from(u8::MAX)) as u8
}

/// The links to fail, the busiest first: those that most shortest paths to these nodes use, leaving out each whose failure
/// would cut something off. At most `most` of them.
pub fn busiest(
    topology: &Topology,
    map: &Map,
    destinations: impl IntoIterator<Item = usize>,
    most: usize,
) -> Vec<usize> {
    let nodes: Vec<_> = topology.nodes().map(topology::Node::id).collect();
    let used = paths::usage(topology, destinations.into_iter().map(|node| nodes[node]), paths::by_hops);
    let mut links: Vec<usize> = (0..map.link_count()).collect();
    links.sort_by_key(|link| (Reverse(used[map.id(*link).index()]), *link));
    let mut failed = Vec::new();
    for link in links {
        if failed.len() >= most || used[map.id(link).index()] == 0 {
            break;
        }
        failed.push(link);
        let left = |link: u16| !failed.contains(&usize::from(link));
        if map.distances(0, left).contains(&FAR) {
            failed.pop();
        }
    }
    failed
}

/// What one packet did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Was it delivered?
    pub delivered: bool,
    /// The links it crossed.
    pub hops: u32,
    /// The links of the shortest way that is left.
    pub shortest: u32,
    /// Nodes that reversed links for it.
    pub reversals: u32,
    /// The longest header it had, in bytes.
    pub header_bytes: u32,
    /// The links that its ghost crossed.
    pub ghost_hops: u32,
}

impl Sent {
    /// How many times longer than the shortest way it was.
    pub fn stretch(&self) -> f64 {
        f64::from(self.hops) / f64::from(self.shortest.max(1))
    }
}

/// Sends `packets` packets, one after the other, from a node to the destination of the plan in a fresh network in which
/// these links have failed.
pub fn send(
    map: &Map,
    plan: &Plan,
    scheme: Scheme,
    failed: &[usize],
    from: usize,
    packets: u32,
) -> Vec<Sent> {
    let mut network = Network::new(map, plan);
    for link in failed {
        network.fail(*link);
    }
    let left = |link: u16| !failed.contains(&usize::from(link));
    let shortest = map.distances(plan.destination, left)[from];
    let phase = scheme.phase(plan.distance[from]);
    let walks = (0..packets).map(|_| network.send(from, phase, HOPS_MAX, |_| {}));
    walks
        .map(|walk| Sent {
            delivered: walk.end == End::Delivered,
            hops: walk.hops,
            shortest,
            reversals: walk.reversals,
            header_bytes: walk.header_bytes,
            ghost_hops: walk.ghost_hops,
        })
        .collect()
}

/// What [`compare`] tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trials {
    /// Destinations, each with its own failures.
    pub trials: usize,
    /// Sources for each destination.
    pub pairs: usize,
    /// Packets of each pair, one after the other.
    pub packets: u32,
    /// Links that fail, at most: those that are used most towards the destination.
    pub failures: usize,
    /// For the choice of destinations and sources.
    pub seed: u64,
}

/// What the packets of one scheme did.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// Packets that were not delivered.
    pub undelivered: usize,
    /// Hops of first packets, sorted.
    pub first_hops: Vec<u32>,
    /// By packet of a pair: the stretch, sorted.
    pub stretch: Vec<Vec<f64>>,
    /// The longest header, in bytes.
    pub header_bytes: u32,
}

/// Sends the same packets under each scheme.
pub fn compare(topology: &Topology, map: &Map, schemes: &[Scheme], trials: Trials) -> Vec<Results> {
    let mut all: Vec<Results> = schemes
        .iter()
        .map(|_| Results {
            undelivered: 0,
            first_hops: Vec::new(),
            stretch: vec![Vec::new(); trials.packets as usize],
            header_bytes: 0,
        })
        .collect();
    let mut random = Random::new(trials.seed);
    for _ in 0..trials.trials {
        let destination = random.below(map.node_count());
        let failed = busiest(topology, map, [destination], trials.failures);
        let plans: Vec<Plan> =
            schemes.iter().map(|scheme| Plan::towards(map, destination, scheme.priority())).collect();
        for _ in 0..trials.pairs {
            let from = random.below(map.node_count());
            if from == destination || plans.first().is_none_or(|plan| !plan.reaches(from)) {
                continue;
            }
            for ((scheme, plan), results) in schemes.iter().zip(&plans).zip(&mut all) {
                let sent = send(map, plan, *scheme, &failed, from, trials.packets);
                results.take(&sent);
            }
        }
    }
    for results in &mut all {
        results.first_hops.sort_unstable();
        results.stretch.iter_mut().for_each(|stretch| stretch.sort_by(f64::total_cmp));
    }
    all
}

impl Results {
    fn take(&mut self, sent: &[Sent]) {
        self.undelivered += sent.iter().filter(|sent| !sent.delivered).count();
        self.first_hops.extend(sent.first().map(|first| first.hops));
        for (stretch, sent) in self.stretch.iter_mut().zip(sent) {
            stretch.push(sent.stretch());
            self.header_bytes = self.header_bytes.max(sent.header_bytes);
        }
    }
}

/// The value below which a share of the sorted values lies: the nearest rank.
pub fn quantile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}
