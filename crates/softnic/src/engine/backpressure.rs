//! Who rests while a module is full ([`Context::overload`](super::Context::overload)).
//!
//! Upstream of a full module are the modules with tasks from which packets come straight to it: the search goes against
//! the edges and ends at modules that have tasks, since a queue among them takes packets in until it is full itself, as
//! in BESS. It ends at the worker's border too: a ring is emptied whatever stands behind it.

use std::collections::{BTreeSet, HashMap};

use super::executor::Executor;
use super::node::{NodeId, Target};

/// The full modules of a worker, and what leads to them.
#[derive(Default)]
pub(crate) struct Backpressure {
    full: BTreeSet<NodeId>,
    /// The modules with tasks upstream of a module, as far as somebody has asked since the graph changed.
    upstream: HashMap<NodeId, Vec<NodeId>>,
    /// The modules whose gates lead to a module.
    sources: Option<HashMap<NodeId, Vec<NodeId>>>,
    /// Whether anybody has been full since the graph last changed, or was then.
    was_full: bool,
}

impl Backpressure {
    /// Notes whether a module is full; says whether that is news.
    pub(crate) fn note(&mut self, node: NodeId, full: bool) -> bool {
        self.was_full |= full;
        if full { self.full.insert(node) } else { self.full.remove(&node) }
    }

    /// The graph has changed. Says which modules are full, when there are any or were before.
    pub(crate) fn graph_changed(&mut self) -> Option<Vec<NodeId>> {
        self.upstream.clear();
        self.sources = None;
        let is_full = !self.full.is_empty();
        let concerned = std::mem::replace(&mut self.was_full, is_full) || is_full;
        concerned.then(|| self.full.iter().copied().collect())
    }

    /// The modules whose tasks rest while `node` is full.
    pub(crate) fn upstream(&mut self, node: NodeId, executor: &Executor) -> &[NodeId] {
        let sources = self.sources.get_or_insert_with(|| sources(executor));
        self.upstream.entry(node).or_insert_with(|| {
            let mut found = Vec::new();
            let mut seen = BTreeSet::from([node]);
            let mut rest = vec![node];
            while let Some(at) = rest.pop() {
                for &source in sources.get(&at).map_or(&[][..], Vec::as_slice) {
                    if !seen.insert(source) {
                        continue;
                    }
                    let has_tasks = executor.node(source).is_some_and(|node| node.task_count > 0);
                    if has_tasks {
                        found.push(source);
                    } else {
                        rest.push(source);
                    }
                }
            }
            found
        })
    }
}

fn sources(executor: &Executor) -> HashMap<NodeId, Vec<NodeId>> {
    let mut sources: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for (id, node) in executor.nodes() {
        for output in &node.outputs {
            if let Target::Local(to, _) = output.target {
                sources.entry(to).or_default().push(id);
            }
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::Gate;
    use crate::engine::node::{Node, Shape};
    use crate::modules::NoOp;

    /// A module: whether it has a task, and where its gates lead.
    type Plan = (bool, Vec<Option<prop::sample::Index>>);

    /// The twin goes the other way, as packets do: from a module with a task on to the next ones with tasks.
    fn reached(plans: &[Plan], start: usize) -> BTreeSet<usize> {
        let mut seen = BTreeSet::from([start]);
        let mut rest = vec![start];
        while let Some(at) = rest.pop() {
            for to in plans[at].1.iter().flatten().map(|to| to.index(plans.len())) {
                if seen.insert(to) && !plans[to].0 {
                    rest.push(to);
                }
            }
        }
        seen.remove(&start);
        seen
    }

    proptest! {
        #[test]
        fn those_rest_whose_packets_come_straight_here(
            plans in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 0..4)),
                1..20,
            ),
        ) {
            let mut executor = Executor::default();
            for (id, (task, gates)) in plans.iter().enumerate() {
                let outputs = gates.len() as Gate;
                let tasks = usize::from(*task);
                let shape = Shape { class: "NoOp", inputs: 1, outputs, tasks, keeps_lengths: true };
                let mut node = Node::new("x".into(), Box::new(NoOp), shape);
                for (output, to) in node.outputs.iter_mut().zip(gates) {
                    output.target =
                        to.map_or(Target::None, |to| Target::Local(to.index(plans.len()) as NodeId, 0));
                }
                executor.insert(id as NodeId, Box::new(node));
            }
            let mut pressure = Backpressure::default();
            for full in 0..plans.len() {
                let mut found = pressure.upstream(full as NodeId, &executor).to_vec();
                found.sort_unstable();
                let leads = |&task: &usize| plans[task].0 && reached(&plans, task).contains(&full);
                let twin: Vec<NodeId> = (0..plans.len()).filter(leads).map(|task| task as NodeId).collect();
                prop_assert_eq!(found, twin, "upstream of {}", full);
            }
        }
    }
}
