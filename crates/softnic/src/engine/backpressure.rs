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
                    if has_tasks { found.push(source) } else { rest.push(source) }
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
