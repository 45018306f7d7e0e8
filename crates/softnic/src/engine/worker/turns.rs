//! The loop's steps: messages, turns, deadlines, and who is asked or woken in between.

use super::{
    ClassId, InboxId, Kind, Next, Node, NodeId, POLL_MAX_NS, POLL_MIN_NS, ROUND_TURNS, State, TaskId, Usage,
    Wakeup, Worker, monotonic_ns,
};

/// Turns of one task while a worker is drained, before others are seen to: as many as empty a long queue.
const DRAIN_TURNS: usize = 1024;

impl Worker {
    pub(super) fn read_mail(&mut self) {
        while let Some(message) = self.mailbox.has_messages().then(|| self.mailbox.message()).flatten() {
            message(self);
            self.see_to_calls();
        }
        let mut signals = std::mem::take(&mut self.signals);
        self.mailbox.signals(&mut signals);
        for inbox in signals.drain(..) {
            // An inbox that is not here any more was emptied when it went.
            if let Some(&(_, task)) = self.inboxes.get(&inbox) {
                self.wake(task);
            }
        }
        self.signals = signals;
    }

    pub(super) fn round(&mut self) {
        self.clock.round();
        for _ in 0..ROUND_TURNS {
            let Some(task) = self.scheduler.next(self.clock.now_ns()) else { return };
            self.turn(task);
            if self.mailbox.has_messages() {
                return;
            }
        }
    }

    /// Sleeps when nothing can run, and asks the idle tasks that have to be asked: after every round in which somebody
    /// had work, else ever more rarely.
    pub(super) fn between_rounds(&mut self) {
        if self.scheduler.has_work(self.clock.now_ns()) {
            if self.fruitful {
                self.wake_asked();
            }
        } else if self.asked.is_empty() {
            self.sleep(None);
            return;
        } else if self.fruitful {
            self.wake_asked();
        } else {
            self.sleep(Some(self.pause_ns));
            self.pause_ns = (self.pause_ns * 2).min(POLL_MAX_NS);
            self.wake_asked();
            return;
        }
        if self.watched > 0 {
            self.ask(false);
        }
    }

    fn wake_asked(&mut self) {
        self.fruitful = false;
        while let Some(id) = self.asked.pop() {
            if let Some(task) = self.tasks[id as usize].as_mut() {
                // A task that has come in the place of another one is not on the list.
                if std::mem::take(&mut task.listed) && task.state == State::Idle {
                    self.wake(id);
                }
            }
        }
    }

    fn turn(&mut self, id: TaskId) {
        self.turns += 1;
        let task = self.tasks[id as usize].as_mut().expect("the scheduler knows tasks that exist");
        task.state = State::Running;
        let ((packets, bytes), next) = match task.kind {
            Kind::Module { node, index, .. } => match self.executor.run(node, index) {
                Some(ran) => ((u64::from(ran.packets), ran.bytes), ran.next),
                None => ((0, 0), Next::Finished),
            },
            // Its packets were charged where they came into the graph.
            Kind::Inbox(inbox) => ((0, 0), self.read_inbox(inbox)),
        };
        self.packets += packets;
        self.bytes += bytes;
        let usage = Usage::turn(self.clock.turn(), packets, bytes);
        self.settle(id, &usage, next);
        self.see_to_calls();
    }

    /// Says where a task goes after its turn.
    fn settle(&mut self, id: TaskId, usage: &Usage, next: Next) {
        let task = self.tasks[id as usize].as_mut().expect("it just ran");
        let (kind, wakeup) = (task.kind, task.wakeup);
        task.state = match next {
            Next::More => State::Ready,
            Next::Idle => State::Idle,
            Next::Finished => State::Finished,
        };
        match next {
            Next::More => (self.fruitful, self.pause_ns) = (true, POLL_MIN_NS),
            Next::Idle if wakeup == Wakeup::Poll && !std::mem::replace(&mut task.listed, true) => {
                self.asked.push(id);
            }
            Next::Idle | Next::Finished => {}
        }
        self.scheduler.ran(id, kind.leaf(), usage, next == Next::More, self.clock.now_ns());
        if let (Next::Finished, Wakeup::Fd, Kind::Module { node, index, .. }) = (next, wakeup, kind) {
            // Its descriptor may stay readable for ever, as a closed port's does.
            self.unwatch(node, index);
            self.tasks[id as usize].as_mut().expect("it just ran").wakeup = Wakeup::Signal;
        }
    }

    fn read_inbox(&mut self, id: InboxId) -> Next {
        let Some((inbox, _)) = self.inboxes.get_mut(&id) else { return Next::Finished };
        let Some(batch) = inbox.receive().or_else(|| inbox.rest()) else { return Next::Idle };
        self.executor.accept(inbox.from, inbox.node, inbox.gate, batch);
        Next::More
    }

    /// Sees to what modules have asked of the worker while they ran.
    #[inline]
    pub(super) fn see_to_calls(&mut self) {
        while let Some((node, mask)) = self.executor.woken() {
            let tasks = self.executor.node(node).map_or(0, |node| node.tasks.len());
            for index in (0..tasks).filter(|index| mask & (1 << index) != 0) {
                if let Some(node) = self.executor.node(node) {
                    self.wake(node.tasks[index]);
                }
            }
        }
        while let Some(node) = self.executor.overload() {
            let full = self.executor.node(node).is_some_and(|node| node.overloaded);
            if self.pressure.note(node, full) {
                self.hold_back(node, full);
            }
        }
    }

    /// Lets the tasks upstream of a module rest, or run again.
    fn hold_back(&mut self, node: NodeId, full: bool) {
        let now_ns = self.clock.now_ns();
        let Self { pressure, executor, scheduler, .. } = self;
        let upstream = pressure.upstream(node, executor);
        for &id in upstream {
            let Some(node) = executor.node_mut(id) else { continue };
            let before = node.resting;
            node.resting = if full { before + 1 } else { before.saturating_sub(1) };
            if (before == 0) != (node.resting == 0) {
                rest(scheduler, &node.leaves, full, now_ns);
            }
        }
    }

    /// The graph of this worker is another one: what leads to full modules is looked for anew.
    pub(crate) fn graph_changed(&mut self) {
        let Some(full) = self.pressure.graph_changed() else { return };
        let now_ns = self.clock.now_ns();
        let mut counts = std::collections::HashMap::new();
        for node in full {
            for &upstream in self.pressure.upstream(node, &self.executor) {
                *counts.entry(upstream).or_insert(0) += 1;
            }
        }
        let ids: Vec<NodeId> = self.executor.nodes().map(|(id, _)| id).collect();
        for id in ids {
            let Some(node) = self.executor.node_mut(id) else { continue };
            let count = counts.get(&id).copied().unwrap_or(0);
            let before = std::mem::replace(&mut node.resting, count);
            if (before == 0) != (count == 0) {
                rest(&mut self.scheduler, &node.leaves, count > 0, now_ns);
            }
        }
    }

    pub(super) fn wake(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(id as usize).and_then(Option::as_mut)
            && matches!(task.state, State::Idle | State::Finished)
        {
            task.state = State::Ready;
            self.scheduler.ready(id, task.kind.leaf(), self.clock.now_ns());
        }
    }

    /// Takes what waits in rings and in modules with input gates and tasks as far as it goes; how many turns it took.
    pub(crate) fn drain(&mut self) -> usize {
        let mut turns = 0;
        let inboxes: Vec<InboxId> = self.inboxes.keys().copied().collect();
        for id in inboxes {
            while self.read_inbox(id) == Next::More {
                turns += 1;
            }
        }
        let waits = |node: &Node| node.task_count > 0 && !node.inputs.is_empty() && node.module.held() > 0;
        let full: Vec<NodeId> =
            self.executor.nodes().filter(|(_, node)| waits(node)).map(|(id, _)| id).collect();
        for id in full {
            let tasks = self.executor.node(id).map_or(0, |node| node.task_count);
            for task in 0..tasks {
                for _ in 0..DRAIN_TURNS {
                    let ran = self.executor.run(id, task);
                    if ran.is_none_or(|ran| ran.next != Next::More) {
                        break;
                    }
                    turns += 1;
                }
            }
        }
        self.see_to_calls();
        turns
    }

    pub(super) fn expire(&mut self) {
        if self.timed.is_empty() {
            return;
        }
        let now = monotonic_ns();
        for at in 0..self.timed.len() {
            let id = self.timed[at];
            if self.deadline(id).is_some_and(|deadline| deadline <= now) {
                self.executor.expire(id);
                self.see_to_calls();
            }
        }
    }
}

fn rest(scheduler: &mut super::Scheduler, leaves: &[ClassId], resting: bool, now_ns: u64) {
    for &leaf in leaves {
        scheduler.tree.set_resting(leaf, resting, now_ns);
    }
}
