//! Which worker each module belongs to.
//!
//! A module with tasks belongs to the worker that its tasks are attached to. Every other one belongs to a worker whose
//! tasks lead to it, the one that it has already if that is among them, else the lowest; packets of the others come
//! through a ring. What no task leads to stays where it is.

use std::collections::BTreeSet;

/// A module as placement sees it.
pub(super) struct Node {
    /// The worker that has it.
    pub(super) worker: usize,
    /// Whether it has tasks, and so stays where they are.
    pub(super) tasks: bool,
    /// Where its output gates lead.
    pub(super) next: Vec<usize>,
}

/// The workers whose tasks lead to each module, its own included if it has tasks. Tasks on worker `nursery` lead nobody
/// anywhere.
pub(super) fn reach(nodes: &[Node], nursery: usize) -> Vec<BTreeSet<usize>> {
    let mut reached: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); nodes.len()];
    for (start, node) in nodes.iter().enumerate() {
        if !node.tasks || node.worker == nursery {
            continue;
        }
        reached[start].insert(node.worker);
        let mut stack = node.next.clone();
        while let Some(at) = stack.pop() {
            // What leaves a module with tasks of its own is the work of its own worker.
            if !nodes[at].tasks && reached[at].insert(node.worker) {
                stack.extend(&nodes[at].next);
            }
        }
    }
    reached
}

/// The worker of each module from now on.
pub(super) fn place(nodes: &[Node], nursery: usize) -> Vec<usize> {
    let choose = |(node, workers): (&Node, BTreeSet<usize>)| match workers.first() {
        Some(&first) if !node.tasks && !workers.contains(&node.worker) => first,
        _ => node.worker,
    };
    nodes.iter().zip(reach(nodes, nursery)).map(choose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(worker: usize, tasks: bool, next: &[usize]) -> Node {
        Node { worker, tasks, next: next.to_vec() }
    }

    #[test]
    fn modules_follow_the_tasks_that_lead_to_them() {
        // 0 ─► 2 ─► 3 (a queue, on worker 1) ─► 4 ◄─ 1 ◄─ 5 (on worker 2)
        let nodes = [
            node(0, true, &[2]),
            node(9, false, &[4]),
            node(9, false, &[3]),
            node(1, true, &[4]),
            node(9, false, &[]),
            node(2, true, &[1]),
            node(9, false, &[]),
        ];
        assert_eq!(place(&nodes, 9), [0, 2, 0, 1, 1, 2, 9]);
    }

    #[test]
    fn a_shared_module_stays_where_it_is() {
        let nodes = [node(0, true, &[2]), node(1, true, &[2]), node(1, false, &[2])];
        assert_eq!(place(&nodes, 9), [0, 1, 1]);
    }
}
