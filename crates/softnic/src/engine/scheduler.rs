//! Which task has the next turn.
//!
//! This is where the tree of traffic classes (priority, weighted fair, round robin, rate limit) will stand: it
//! is told which tasks can run and what each turn cost, and picks the next one. A worker owns its scheduler.

use std::collections::VecDeque;

/// A task's number in its worker.
pub(crate) type TaskId = u32;

/// What a turn cost: the resources that a traffic class may limit or share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Packets brought into the graph.
    pub(crate) packets: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// Picks tasks for turns.
pub(crate) trait Scheduler: Send {
    /// A task, new or idle so far, can run. It is not in the scheduler's hands yet.
    fn ready(&mut self, task: TaskId);

    /// A task is gone; it may be waiting for its turn or not.
    fn remove(&mut self, task: TaskId);

    /// Hands out the task whose turn it is. It comes back by [`Scheduler::ran`].
    fn next(&mut self) -> Option<TaskId>;

    /// A turn has ended. `again` says whether the task can run again at once.
    fn ran(&mut self, task: TaskId, usage: Usage, again: bool);

    /// How many tasks wait for a turn.
    fn waiting(&self) -> usize;
}

/// Every task that can run has one turn, over and over.
#[derive(Default)]
pub(crate) struct RoundRobin(VecDeque<TaskId>);

impl Scheduler for RoundRobin {
    fn ready(&mut self, task: TaskId) {
        self.0.push_back(task);
    }

    fn remove(&mut self, task: TaskId) {
        self.0.retain(|&other| other != task);
    }

    fn next(&mut self) -> Option<TaskId> {
        self.0.pop_front()
    }

    fn ran(&mut self, task: TaskId, _usage: Usage, again: bool) {
        if again {
            self.0.push_back(task);
        }
    }

    fn waiting(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round_and_idle_tasks_stay_out() {
        let mut tasks = RoundRobin::default();
        (0..3).for_each(|task| tasks.ready(task));
        let mut order = Vec::new();
        for _ in 0..7 {
            let task = tasks.next().unwrap();
            order.push(task);
            // Task 1 has work for one turn only.
            tasks.ran(task, Usage::default(), task != 1);
        }
        assert_eq!(order, [0, 1, 2, 0, 2, 0, 2]);
        tasks.remove(0);
        assert_eq!((tasks.next(), tasks.next()), (Some(2), None));
    }
}
