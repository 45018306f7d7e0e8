//! How modules, rings and traffic classes come to a worker and leave it.

use super::{
    ClassId, Inbox, InboxId, Kind, Node, NodeId, Readiness, State, Task, TaskId, Wakeup, Worker, epoll,
};
use crate::engine::traffic::{Class, Policy, Weight};

impl Worker {
    /// Takes a module in. The classes of its tasks are here already.
    pub(crate) fn install(&mut self, id: NodeId, node: Box<Node>) {
        let (tasks, timed, failed) = (node.task_count, node.module.timed(), node.failed.is_some());
        if node.module.tended() {
            self.tended.push(id);
        }
        let (leaves, overloaded) = (node.leaves.clone(), node.overloaded);
        self.executor.insert(id, node);
        if timed {
            self.timed.push(id);
        }
        if overloaded {
            self.pressure.note(id, true);
        }
        for (index, leaf) in (0..tasks).zip(leaves) {
            let task = self.number();
            let wakeup = self.watch(id, index, task);
            let state = if failed { State::Finished } else { State::Ready };
            let kind = Kind::Module { node: id, index, leaf };
            self.tasks[task as usize] = Some(Task { kind, wakeup, state, listed: false });
            if let Some(node) = self.executor.node_mut(id) {
                node.tasks.push(task);
            }
            self.scheduler.tree.bind(leaf, Some(task), self.clock.now_ns());
            if state == State::Ready {
                // Every task starts with a turn: it may have work from before.
                self.scheduler.ready(task, Some(leaf), self.clock.now_ns());
            }
        }
    }

    /// Registers the descriptor of a task, if it has one.
    fn watch(&mut self, node: NodeId, index: usize, task: TaskId) -> Wakeup {
        let Some(node) = self.executor.node(node) else { return Wakeup::Signal };
        match node.module.readiness(index) {
            Readiness::Signal => Wakeup::Signal,
            Readiness::Poll => Wakeup::Poll,
            Readiness::Fd(fd) => {
                let data = epoll::EventData::new_u64(u64::from(task));
                match epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN) {
                    Ok(()) => {
                        self.watched += 1;
                        Wakeup::Fd
                    }
                    Err(error) => {
                        // A plain file cannot be waited for; it is always ready.
                        tracing::debug!(module = %node.name, "asked instead of waited for: {error}");
                        Wakeup::Poll
                    }
                }
            }
        }
    }

    pub(super) fn unwatch(&mut self, node: NodeId, index: usize) {
        if let Some(node) = self.executor.node(node)
            && let Readiness::Fd(fd) = node.module.readiness(index)
        {
            // A descriptor that is closed already has left by itself.
            let _ = epoll::delete(&self.epoll, fd);
            self.watched -= 1;
        }
    }

    /// Gives a module away, with the packets that it holds. The classes of its tasks stay.
    pub(crate) fn uninstall(&mut self, id: NodeId) -> Option<Box<Node>> {
        let node = self.executor.node_mut(id)?;
        node.resting = 0;
        let tasks = std::mem::take(&mut node.tasks);
        for (index, task) in tasks.into_iter().enumerate() {
            if self.tasks[task as usize].as_ref().is_some_and(|task| task.wakeup == Wakeup::Fd) {
                self.unwatch(id, index);
            }
            if let Some(leaf) = self.forget(task).and_then(Kind::leaf) {
                self.scheduler.tree.bind(leaf, None, self.clock.now_ns());
            }
        }
        self.timed.retain(|&other| other != id);
        self.tended.retain(|&other| other != id);
        self.pressure.note(id, false);
        self.executor.remove(id)
    }

    /// A number for a new task.
    fn number(&mut self) -> TaskId {
        self.free.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            self.tasks.len() as TaskId - 1
        })
    }

    fn forget(&mut self, task: TaskId) -> Option<Kind> {
        self.free.push(task);
        self.tasks[task as usize].take().map(|task| task.kind)
    }

    /// Takes in the reading end of a ring.
    pub(crate) fn install_inbox(&mut self, inbox: Inbox) {
        if let Some(node) = self.executor.node_mut(inbox.node) {
            node.open_input(inbox.gate);
        }
        let task = self.number();
        let kind = Kind::Inbox(inbox.id);
        self.tasks[task as usize] =
            Some(Task { kind, wakeup: Wakeup::Signal, state: State::Ready, listed: false });
        self.scheduler.ready(task, None, self.clock.now_ns());
        self.inboxes.insert(inbox.id, (inbox, task));
    }

    /// Gives the reading end of a ring away, with what is in it.
    pub(crate) fn uninstall_inbox(&mut self, id: InboxId) -> Option<Inbox> {
        let (inbox, task) = self.inboxes.remove(&id)?;
        self.scheduler.remove_ring(task);
        self.forget(task);
        Some(inbox)
    }

    /// Takes traffic classes in, gives policies other numbers, and puts classes where they stand from now on.
    pub(crate) fn install_classes(
        &mut self,
        classes: Vec<(ClassId, Box<Class>)>,
        policies: Vec<(ClassId, Policy)>,
        seats: Vec<(ClassId, ClassId, Weight)>,
    ) {
        let (tree, now_ns) = (&mut self.scheduler.tree, self.clock.now_ns());
        for (id, class) in classes {
            tree.insert(id, class);
        }
        for (id, policy) in policies {
            tree.update(id, policy, now_ns);
        }
        for (id, parent, weight) in seats {
            tree.attach(id, parent, weight, now_ns);
        }
    }

    /// Gives traffic classes away. What stands below one and is not among them goes with it, out of sight until it is put
    /// somewhere again.
    pub(crate) fn uninstall_classes(&mut self, ids: &[ClassId]) -> Vec<(ClassId, Box<Class>)> {
        let (tree, now_ns) = (&mut self.scheduler.tree, self.clock.now_ns());
        for &id in ids {
            tree.detach(id, now_ns);
        }
        ids.iter().filter_map(|&id| Some((id, tree.take(id)?))).collect()
    }
}
