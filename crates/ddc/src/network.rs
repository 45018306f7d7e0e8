//! A whole network, one packet at a time: what experiments and traces walk through.

use crate::forwarder::{Cause, Decision, Forward, Forwarder, Outcome};
use crate::guide::Guide;
use crate::header::{Header, Phase};
use crate::map::Map;
use crate::plan::Plan;

/// The state of all nodes for one destination, and which links have failed.
#[derive(Debug, Clone)]
pub struct Network<'m> {
    map: &'m Map,
    nodes: Vec<Forwarder>,
    failed: Vec<bool>,
    guide: Guide<'m>,
}

/// One step of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Where the packet is.
    pub node: usize,
    /// By which port it came.
    pub arrival: Option<u16>,
    /// What it carried.
    pub header: Header,
    /// What came of it.
    pub outcome: Outcome,
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At the destination.
    Delivered,
    /// At a node that could not forward it.
    Dropped(Cause),
    /// It took as many hops as it was allowed.
    TooLong,
}

/// What a packet's walk was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    /// How it ended.
    pub end: End,
    /// The links it crossed.
    pub hops: u32,
    /// Nodes that reversed links for it or its ghost.
    pub reversals: u32,
    /// How often it or its ghost was sent back.
    pub bounces: u32,
    /// The longest header it had, in bytes.
    pub header_bytes: u32,
    /// The links that its ghost crossed.
    pub ghost_hops: u32,
}

impl<'m> Network<'m> {
    /// A network in which nothing has failed.
    pub fn new(map: &'m Map, plan: &Plan) -> Self {
        Self {
            map,
            nodes: (0..map.node_count()).map(|node| Forwarder::new(map, plan, node)).collect(),
            failed: vec![false; map.link_count()],
            guide: Guide::new(map, plan.destination),
        }
    }

    /// Fails a link; both ends know at once.
    pub fn fail(&mut self, link: usize) {
        self.failed[link] = true;
    }

    /// The state of every node.
    pub fn nodes(&self) -> &[Forwarder] {
        &self.nodes
    }

    /// Which links have failed.
    pub fn failed(&self) -> &[bool] {
        &self.failed
    }

    /// Sends a packet and follows it to its end, or for `hops_max` hops; then its ghost, where it had one. `seen` is told every
    /// step of both.
    pub fn send(&mut self, from: usize, phase: Phase, hops_max: u32, mut seen: impl FnMut(&Step)) -> Walk {
        let mut walk =
            Walk { end: End::TooLong, hops: 0, reversals: 0, bounces: 0, header_bytes: 1, ghost_hops: 0 };
        let mut ghost = None;
        let start = At { node: from, arrival: None, header: Header::new(phase) };
        (walk.end, walk.hops) = self.follow(start, hops_max, |step| {
            walk.reversals += u32::from(step.outcome.reversed > 0);
            walk.bounces += u32::from(step.outcome.bounced);
            walk.header_bytes = walk.header_bytes.max(step.header.wire_bytes() as u32);
            ghost = ghost.or(step.outcome.ghost.map(|forward| (step.node, forward)));
            seen(step);
        });
        if let Some((node, forward)) = ghost {
            let start = self.over(node, forward);
            let (_, hops) = self.follow(start, hops_max, |step| {
                walk.reversals += u32::from(step.outcome.reversed > 0);
                walk.bounces += u32::from(step.outcome.bounced);
                seen(step);
            });
            walk.ghost_hops = hops + 1;
        }
        walk
    }

    fn over(&self, node: usize, forward: Forward) -> At {
        let port = self.map.ports(node)[usize::from(forward.port)];
        At { node: port.node as usize, arrival: Some(port.far), header: forward.header }
    }

    fn follow(&mut self, mut at: At, hops_max: u32, mut seen: impl FnMut(&Step)) -> (End, u32) {
        let mut hops = 0;
        loop {
            let At { node, arrival, header } = at;
            let ports = self.map.ports(node);
            let live = |port: u16| !self.failed[usize::from(ports[usize::from(port)].link)];
            let outcome = self.nodes[node].receive(arrival, header, live, &mut self.guide);
            seen(&Step { node, arrival, header, outcome });
            match outcome.decision {
                Decision::Deliver => return (End::Delivered, hops),
                Decision::Drop(cause) => return (End::Dropped(cause), hops),
                Decision::Forward(_) if hops >= hops_max => return (End::TooLong, hops),
                Decision::Forward(forward) => at = self.over(node, forward),
            }
            hops += 1;
        }
    }
}

/// Where a packet is.
struct At {
    node: usize,
    arrival: Option<u16>,
    header: Header,
}
