//! Chains of connections: which nodes one leads to, and by which rules.

use std::collections::{HashMap, VecDeque};

use super::cover::{Asked, Covered};
use super::quotient::{End, NodeId, Quotient};

/// Everything that chains from some nodes lead to. Each rule is looked at once.
pub(super) struct Walk<'q, 'a> {
    quotient: &'q Quotient<'a>,
    /// The rule by which a node was first reached, and the node it starts from.
    arrived: Vec<Option<(usize, NodeId)>>,
    /// For a rule that can be used, the node that first could.
    user: Vec<Option<NodeId>>,
    /// Nodes that chains start from.
    is_start: Vec<bool>,
    /// Nodes that chains go on from.
    passed: Vec<bool>,
    covered: HashMap<End, Covered>,
}

impl<'q, 'a> Walk<'q, 'a> {
    /// Walks from `starts`, on through the nodes that `may_pass`; what is outside is never passed.
    pub(super) fn from(
        quotient: &'q Quotient<'a>,
        starts: &[NodeId],
        may_pass: impl Fn(NodeId) -> bool,
    ) -> Walk<'q, 'a> {
        let mut walk = Walk {
            quotient,
            arrived: vec![None; quotient.nodes.len()],
            user: vec![None; quotient.edges.len()],
            is_start: vec![false; quotient.nodes.len()],
            passed: vec![false; quotient.nodes.len()],
            covered: HashMap::new(),
        };
        let mut waiting: VecDeque<NodeId> = VecDeque::new();
        for start in starts {
            walk.is_start[*start] = true;
            if !std::mem::replace(&mut walk.passed[*start], true) {
                waiting.push_back(*start);
            }
        }
        let mut sent = vec![false; quotient.from_service.len()];
        let mut received = vec![false; quotient.to_service.len()];
        while let Some(node) = waiting.pop_front() {
            let mut edges: Vec<usize> = quotient.from_node[node].clone();
            for service in &quotient.services_of[node] {
                if !std::mem::replace(&mut sent[*service], true) {
                    edges.extend(&quotient.from_service[*service]);
                }
            }
            for edge in edges {
                walk.user[edge] = Some(node);
                let to = quotient.edges[edge].to;
                if let End::Service(service) = to
                    && std::mem::replace(&mut received[service], true)
                {
                    continue;
                }
                for next in quotient.nodes_of(to) {
                    walk.arrived[*next].get_or_insert((edge, node));
                    let passable = !quotient.nodes[*next].outside && may_pass(*next);
                    if passable && !std::mem::replace(&mut walk.passed[*next], true) {
                        waiting.push_back(*next);
                    }
                }
            }
        }
        walk
    }

    /// Whether chains go on from a node.
    pub(super) fn passes(&self, node: NodeId) -> bool {
        self.passed[node]
    }

    /// What nodes that chains lead to are called, up to `most` of them.
    pub(super) fn reached(&self, most: usize) -> Vec<String> {
        let reached = self.arrived.iter().enumerate().filter(|(_, arrived)| arrived.is_some());
        reached.take(most).map(|(node, _)| self.quotient.nodes[node].name(self.is_start[node])).collect()
    }

    /// Whether last connections to a node are on some of what is asked for.
    pub(super) fn touches(&mut self, node: NodeId, asked: Asked) -> bool {
        let quotient = self.quotient;
        self.covered(End::Node(node), asked).is_some()
            || quotient.services_of[node].iter().any(|of| self.covered(End::Service(*of), asked).is_some())
    }

    /// What last connections to an end itself are on, of the ports that are asked for.
    fn covered(&mut self, end: End, asked: Asked) -> &Covered {
        let quotient = self.quotient;
        let user = &self.user;
        self.covered.entry(end).or_insert_with(|| {
            let edges = match end {
                End::Node(node) => &quotient.to_node[node],
                End::Service(service) => &quotient.to_service[service],
            };
            let edges = edges.iter().filter(|edge| user[**edge].is_some());
            Covered::of(edges.map(|edge| &quotient.edges[*edge]), asked)
        })
    }

    /// Whether last connections to a node are on all that is asked for.
    pub(super) fn covers(&mut self, node: NodeId, asked: Asked) -> bool {
        let quotient = self.quotient;
        let mut all = self.covered(End::Node(node), asked).clone();
        for service in &quotient.services_of[node] {
            all = all.with(self.covered(End::Service(*service), asked));
        }
        all.is_all(asked)
    }

    /// Whether last connections to a service's own name are on all that is asked for.
    pub(super) fn covers_name(&mut self, service: usize, asked: Asked) -> bool {
        self.covered(End::Service(service), asked).is_all(asked)
    }

    /// A chain whose last connection to `node` is on something that is asked for.
    pub(super) fn chain(&self, node: NodeId, asked: Asked) -> Option<Vec<Step>> {
        let quotient = self.quotient;
        let services = quotient.services_of[node].iter().flat_map(|service| &quotient.to_service[*service]);
        let mut last = quotient.to_node[node].iter().chain(services);
        let (edge, user) = last.find_map(|edge| {
            let user = self.user[*edge]?;
            asked.touches(&quotient.edges[*edge]).then_some((*edge, user))
        })?;
        Some(self.chain_by(edge, user, node))
    }

    fn chain_by(&self, edge: usize, user: NodeId, to: NodeId) -> Vec<Step> {
        let mut hops = vec![(edge, to)];
        let mut at = user;
        while let Some((edge, before)) = self.arrived[at].filter(|_| !self.is_start[at]) {
            hops.push((edge, at));
            at = before;
        }
        let mut steps = Vec::new();
        let mut met = vec![false; self.quotient.nodes.len()];
        let mut name = |node: NodeId| {
            let again = std::mem::replace(&mut met[node], true);
            self.quotient.nodes[node].name(again)
        };
        let mut from = name(at);
        for (edge, node) in hops.into_iter().rev() {
            let to = name(node);
            steps.push(Step { from, to: to.clone(), edge });
            from = to;
        }
        steps
    }
}

/// One connection of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) edge: usize,
}
