//! Which task of a worker has the next turn: one of a module, as the tree of traffic classes says, or a ring.
//!
//! Rings from other workers stand beside the tree, not in it: what is in them was charged where it came into the graph,
//! and must go on whatever the classes here say. While both have work, every other turn is a ring's.

use std::collections::VecDeque;

use super::traffic::{ClassId, TaskId, Tree, Usage};

/// Picks tasks for turns.
pub(crate) struct Scheduler {
    /// The classes, for the tasks of modules.
    pub(crate) tree: Tree,
    /// Rings that have packets.
    rings: VecDeque<TaskId>,
    ring_is_next: bool,
}

impl Scheduler {
    /// No tasks yet, below the class `root`.
    pub(crate) fn new(root: ClassId) -> Self {
        Self { tree: Tree::new(root), rings: VecDeque::new(), ring_is_next: false }
    }

    /// A task, new or idle so far, can run. Without a leaf it is a ring's; that is not in the scheduler's hands yet.
    pub(crate) fn ready(&mut self, task: TaskId, leaf: Option<ClassId>, now_ns: u64) {
        match leaf {
            Some(leaf) => self.tree.set_ready(leaf, true, now_ns),
            None => self.rings.push_back(task),
        }
    }

    /// A ring's task is gone; it may be waiting for its turn or not.
    pub(crate) fn remove_ring(&mut self, task: TaskId) {
        self.rings.retain(|&other| other != task);
    }

    /// Hands out the task whose turn it is. It comes back by [`Scheduler::ran`].
    #[inline]
    pub(crate) fn next(&mut self, now_ns: u64) -> Option<TaskId> {
        let first_ring = if self.ring_is_next { self.rings.pop_front() } else { None };
        let task = first_ring.or_else(|| self.tree.next(now_ns));
        // After a ring the tree comes first, after the tree a ring.
        self.ring_is_next = first_ring.is_none();
        task.or_else(|| self.rings.pop_front())
    }

    /// A turn has ended. `again` says whether the task can run again at once.
    #[inline]
    pub(crate) fn ran(
        &mut self,
        task: TaskId,
        leaf: Option<ClassId>,
        usage: &Usage,
        again: bool,
        now_ns: u64,
    ) {
        match leaf {
            Some(leaf) => self.tree.charge(leaf, usage, again, now_ns),
            None if again => self.rings.push_back(task),
            None => {}
        }
    }

    /// Whether anything can run now.
    pub(crate) fn has_work(&mut self, now_ns: u64) -> bool {
        !self.rings.is_empty() || self.tree.next(now_ns).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::traffic::{Class, Weight};

    #[test]
    fn rings_have_every_other_turn() {
        let mut scheduler = Scheduler::new(0);
        for leaf in 1..=2 {
            scheduler.tree.insert(leaf, Box::new(Class::leaf()));
            scheduler.tree.attach(leaf, 0, Weight::Equal, 0);
            scheduler.tree.bind(leaf, Some(leaf), 0);
            scheduler.ready(leaf, Some(leaf), 0);
        }
        scheduler.ready(10, None, 0);
        scheduler.ready(11, None, 0);
        let mut order = Vec::new();
        for turn in 0..9 {
            let task = scheduler.next(0).unwrap();
            order.push(task);
            let leaf = Some(task).filter(|&task| task < 10);
            // Task 1 has work for one turn only, ring 11 for two.
            let again = task != 1 && (task != 11 || turn < 6);
            scheduler.ran(task, leaf, &Usage::turn(1, 0, 0), again, 0);
        }
        assert_eq!(order, [1, 10, 2, 11, 2, 10, 2, 11, 2]);
        assert!(scheduler.has_work(0));
        scheduler.remove_ring(10);
        assert_eq!(scheduler.next(0), Some(2));
        scheduler.ran(2, Some(2), &Usage::turn(1, 0, 0), false, 0);
        assert_eq!(scheduler.next(0), None);
        assert!(!scheduler.has_work(0));
    }
}
