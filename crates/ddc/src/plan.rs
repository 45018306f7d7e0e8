//! What the control plane says of one destination: the first acyclic graph, and which links to try first.

use crate::map::{FAR, Map};

/// The order in which a node tries its links. It decides how far packets walk, never whether they arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// The neighbour that is nearest to the destination first: the paper's.
    #[default]
    Nearest,
    /// The neighbour first from which the destination is nearest without the node itself, as loop-free alternates are
    /// chosen. The same among links that lead down; of the others, those that lead nowhere come last.
    Detour,
}

/// The plan of one destination.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The destination.
    pub destination: usize,
    /// By node: how far the destination is; [`FAR`] where there is no way.
    pub distance: Vec<u32>,
    /// By node: its ports, the first to try in front.
    order: Vec<Box<[u16]>>,
}

impl Plan {
    /// Makes the plan of a destination.
    pub fn towards(map: &Map, destination: usize, priority: Priority) -> Self {
        Self::over(map, destination, priority, |_| true)
    }

    /// The same, over the links that `live` lets pass: what the control plane says once it knows of failures.
    pub fn over(map: &Map, destination: usize, priority: Priority, live: impl Fn(u16) -> bool) -> Self {
        let distance = map.distances(destination, &live);
        let order = (0..map.node_count())
            .map(|node| {
                let detour;
                let rest = match priority {
                    Priority::Nearest => &distance,
                    Priority::Detour => {
                        detour = without(map, destination, node, &live);
                        &detour
                    }
                };
                let mut ports: Vec<u16> = (0..map.ports(node).len() as u16).collect();
                ports.sort_by_key(|port| {
                    let port = map.ports(node)[usize::from(*port)];
                    (rest[port.node as usize].saturating_add(port.cost), port.node, port.link)
                });
                ports.into()
            })
            .collect();
        Self { destination, distance, order }
    }

    /// The ports of a node, the first to try in front.
    pub fn order(&self, node: usize) -> &[u16] {
        &self.order[node]
    }

    /// Does a link lead from `node` to `other` at first? Every link leads from the farther to the nearer node; of two that
    /// are as far, from the one with the higher number. So there is no way round.
    pub fn leads(&self, node: usize, other: usize) -> bool {
        (self.distance[node], node) > (self.distance[other], other)
    }

    /// Has the node a way to the destination?
    pub fn reaches(&self, node: usize) -> bool {
        self.distance[node] != FAR
    }
}

fn without(map: &Map, destination: usize, node: usize, live: &impl Fn(u16) -> bool) -> Vec<u32> {
    if node == destination {
        return vec![0; map.node_count()];
    }
    let at_node: Vec<u16> = map.ports(node).iter().map(|port| port.link).collect();
    let mut avoided = vec![false; map.link_count()];
    for link in at_node {
        avoided[usize::from(link)] = true;
    }
    map.distances(destination, |link| live(link) && !avoided[usize::from(link)])
}
