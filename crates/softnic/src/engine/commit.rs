//! How an edit reaches the workers: all that it concerns stop between two batches, exchange what changes hands,
//! and go on.
//!
//! Each worker concerned is sent the same message. It takes out what leaves it ([`Stop`]), lays it on the table
//! ([`Meeting`]) and waits for the others; the last to come deals out what was laid down ([`Go`]). So the workers wait
//! for each other only, never for the thread that asked for the edit; an edit that concerns one worker waits for
//! nobody.
//!
//! A ring that is taken out may still hold packets. They are run through the new graph by the worker that has
//! their module now, before it runs anything else, so that no packet sent later on the same path overtakes them.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::edge::{Inbox, InboxId, Sender};
use super::node::{Node, NodeId, Target};
use super::traffic::{Class, ClassId, Policy, Weight};
use super::worker::Worker;
use super::{Gate, Place};

/// What a worker takes out first.
#[derive(Default)]
pub(crate) struct Stop {
    /// Output gates that lead nowhere from now on.
    pub(crate) unlink: Vec<(NodeId, Gate)>,
    pub(crate) inboxes: Vec<InboxId>,
    pub(crate) nodes: Vec<NodeId>,
    /// Traffic classes that stand elsewhere from now on, or nowhere.
    pub(crate) classes: Vec<ClassId>,
}

/// What a worker puts in before it goes on.
#[derive(Default)]
pub(crate) struct Go {
    pub(crate) classes: Vec<(ClassId, Box<Class>)>,
    /// Other numbers for the policies of classes that stay.
    pub(crate) policies: Vec<(ClassId, Policy)>,
    /// Under which class a class stands from now on.
    pub(crate) seats: Vec<(ClassId, ClassId, Weight)>,
    pub(crate) nodes: Vec<(NodeId, Box<Node>)>,
    pub(crate) targets: Vec<(NodeId, Gate, Target)>,
    /// Where metadata attributes lie from now on.
    pub(crate) places: Vec<(NodeId, Vec<Place>)>,
    pub(crate) inboxes: Vec<Inbox>,
    /// Rings that are no more, to be emptied.
    pub(crate) drain: Vec<Inbox>,
}

/// The table at which the workers meet.
#[derive(Default)]
pub(crate) struct Meeting {
    table: Mutex<Table>,
    all_here: Condvar,
}

#[derive(Default)]
struct Table {
    missing: usize,
    nodes: Vec<(NodeId, Box<Node>)>,
    classes: Vec<(ClassId, Box<Class>)>,
    inboxes: Vec<Inbox>,
    /// What each worker gets.
    go: HashMap<usize, Go>,
    /// The worker that each module has from now on; a module that is not listed is gone.
    owner: HashMap<NodeId, usize>,
    /// The same of the traffic classes.
    class_owner: HashMap<ClassId, usize>,
    /// The modules behind rings that are no more, those downstream first.
    order: HashMap<NodeId, usize>,
    removed: Vec<Node>,
    lost: u64,
}

impl Meeting {
    /// A meeting of `workers` workers, at which each gets its `go`.
    pub(crate) fn new(
        workers: usize,
        go: HashMap<usize, Go>,
        owner: HashMap<NodeId, usize>,
        class_owner: HashMap<ClassId, usize>,
        order: HashMap<NodeId, usize>,
    ) -> Self {
        let table = Table { missing: workers, go, owner, class_owner, order, ..Table::default() };
        Self { table: Mutex::new(table), all_here: Condvar::new() }
    }

    /// One worker's part, on its own thread. Returns how long it took.
    pub(crate) fn attend(&self, worker: &mut Worker, stop: Stop) -> Duration {
        let begin = Instant::now();
        let (nodes, classes, inboxes) = take_out(worker, stop);
        let mut table = self.lock();
        table.nodes.extend(nodes);
        table.classes.extend(classes);
        table.inboxes.extend(inboxes);
        table.missing -= 1;
        if table.missing == 0 {
            table.deal();
            self.all_here.notify_all();
        }
        let mut table = self
            .all_here
            .wait_while(table, |table| table.missing > 0)
            .unwrap_or_else(PoisonError::into_inner);
        let go = table.go.remove(&worker.index).unwrap_or_default();
        drop(table);
        put_in(worker, go);
        let took = begin.elapsed();
        worker.stalled(took);
        took
    }

    /// After the meeting: the modules that nobody has any more, and how many packets were on their way to them.
    pub(crate) fn leftovers(self: Arc<Self>) -> (Vec<Node>, u64) {
        let mut table = self.lock();
        (std::mem::take(&mut table.removed), table.lost)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Everybody is here: says who gets what was laid down.
    fn deal(&mut self) {
        for (id, node) in std::mem::take(&mut self.nodes) {
            match self.owner.get(&id) {
                Some(&worker) => self.go.entry(worker).or_default().nodes.push((id, node)),
                None => self.removed.push(*node),
            }
        }
        for (id, class) in std::mem::take(&mut self.classes) {
            if let Some(&worker) = self.class_owner.get(&id) {
                self.go.entry(worker).or_default().classes.push((id, class));
            }
        }
        let mut inboxes = std::mem::take(&mut self.inboxes);
        // What is further on its way was sent earlier, so it goes first.
        inboxes.sort_by_key(|inbox| self.order.get(&inbox.node).copied());
        for mut inbox in inboxes {
            match self.owner.get(&inbox.node) {
                Some(&worker) => self.go.entry(worker).or_default().drain.push(inbox),
                None => {
                    // Its writer has let go of it, so what is in it now is all that will ever be.
                    while let Some(batch) = inbox.receive() {
                        self.lost += batch.len() as u64;
                    }
                }
            }
        }
    }
}

/// Modules, traffic classes and rings that leave a worker.
type Leaving = (Vec<(NodeId, Box<Node>)>, Vec<(ClassId, Box<Class>)>, Vec<Inbox>);

fn take_out(worker: &mut Worker, stop: Stop) -> Leaving {
    for (id, gate) in stop.unlink {
        set_target(worker, id, gate, Target::None);
    }
    let nodes = stop.nodes.into_iter().filter_map(|id| Some((id, worker.uninstall(id)?))).collect();
    let classes = worker.uninstall_classes(&stop.classes);
    let inboxes = stop.inboxes.into_iter().filter_map(|id| worker.uninstall_inbox(id)).collect();
    (nodes, classes, inboxes)
}

fn put_in(worker: &mut Worker, go: Go) {
    worker.install_classes(go.classes, go.policies, go.seats);
    for (id, node) in go.nodes {
        worker.install(id, node);
    }
    for (id, gate, target) in go.targets {
        set_target(worker, id, gate, target);
    }
    for (id, places) in go.places {
        worker.executor.place(id, &places);
    }
    for mut inbox in go.drain {
        while let Some(batch) = inbox.receive() {
            worker.executor.accept(inbox.from, inbox.node, inbox.gate, batch);
        }
    }
    for inbox in go.inboxes {
        worker.install_inbox(inbox);
    }
    worker.graph_changed();
}

fn set_target(worker: &mut Worker, id: NodeId, gate: Gate, target: Target) {
    if let Target::Local(to, input) = target
        && let Some(node) = worker.executor.node_mut(to)
    {
        node.open_input(input);
    }
    if let Some(output) = worker.executor.node_mut(id).and_then(|node| node.output(gate)) {
        output.target = target;
    }
}

/// The target that leads into a ring.
pub(crate) fn remote(sender: Sender) -> Target {
    Target::Remote(sender)
}
