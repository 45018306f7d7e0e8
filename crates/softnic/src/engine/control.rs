//! The engine's control side: what other threads hold to build, change, ask and watch a running graph.

use std::any::{Any, type_name};
use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ports::{Port, RxQueue, TxQueue};

use super::classes::Nature;
use super::commit::{Go, Meeting, Stop, remote};
use super::edge::{InboxId, ring};
use super::edit::{Applied, Edit, EditError, Removed};
use super::hook::Hook;
use super::mailbox::Mailbox;
use super::model::{Model, Trial};
use super::node::{Node, NodeId, Target};
use super::snapshot::{
    AttributeSnapshot, GateSnapshot, ModuleLinks, ModuleSnapshot, PortSnapshot, Snapshot, WorkerSnapshot,
};
use super::traffic::ClassId;
use super::worker::Worker;
use super::{Context, Module, Place};

/// A running graph, and the handle by which other threads work on it.
///
/// All methods may be called from any thread but a worker's own (from inside a module they would wait for
/// themselves). Dropping the engine stops its workers and drops its modules.
#[derive(Default)]
pub struct Engine {
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) model: Model,
    pub(super) workers: BTreeMap<usize, Handle>,
    ports: BTreeMap<String, Box<dyn Port>>,
    next_inbox: InboxId,
}

/// A worker as seen from outside.
pub(super) struct Handle {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) thread: Option<JoinHandle<()>>,
}

/// The two directions of a port's queue.
pub type QueuePair = (Box<dyn RxQueue>, Box<dyn TxQueue>);

/// Why a command did not reach a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No module has the name.
    #[error("there is no module `{0}`")]
    NoModule(String),
    /// The module is of another class.
    #[error("module `{module}` is a {class}, not a {wanted}")]
    Class {
        /// The module.
        module: String,
        /// Its class.
        class: &'static str,
        /// The type that was asked for.
        wanted: &'static str,
    },
    /// The module has panicked, before or during the command, and is out of order.
    #[error("module `{0}` is out of order: it has panicked")]
    Failed(String),
}

/// Why a port or a queue of one is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortsError {
    /// Two ports of one name.
    #[error("there is a port `{0}` already")]
    NameTaken(String),
    /// No port has the name.
    #[error("there is no port `{0}`")]
    NoPort(String),
    /// The port has no such queue, or it is in use.
    #[error("port `{port}` has no free queue {queue}: it has {queues} in all")]
    NoQueue {
        /// The port.
        port: String,
        /// The queue.
        queue: usize,
        /// How many it has.
        queues: usize,
    },
}

impl Engine {
    /// An engine without workers or modules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes all changes of an edit at once, while packets flow.
    ///
    /// Returns when they are in force. Packets inside modules stay there, packets in rings between workers are
    /// delivered; what is lost is only what waited in a ring for a module that the edit removes.
    ///
    /// # Errors
    /// [`EditError`] when one of the changes is impossible; then none is made.
    pub fn apply(&self, edit: Edit) -> Result<Applied, EditError> {
        let mut state = self.lock();
        let trial = state.model.attempt(edit.ops)?;
        let places = state.model.relocate();
        Ok(state.carry_out(trial, places))
    }

    /// Runs a command on a module, between two batches of its worker, and returns what it returns.
    ///
    /// ```
    /// use softnic::engine::{Edit, Engine, WorkerConfig};
    /// use softnic::modules::Sink;
    ///
    /// let engine = Engine::new();
    /// let worker = engine.add_worker(WorkerConfig::default())?;
    /// engine.apply(Edit::new().add("sink", Sink::new(), worker))?;
    /// assert_eq!(engine.with_module("sink", |sink: &mut Sink| sink.packets())?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When there is no such module, it is not an `M`, or it has panicked.
    pub fn with_module<M: Module, R: Send + 'static>(
        &self,
        name: &str,
        command: impl FnOnce(&mut M) -> R + Send + 'static,
    ) -> Result<R, CommandError> {
        self.command(name, move |module: &mut M, _ctx| command(module))
    }

    /// As [`Engine::with_module`], for commands that let packets out or wake tasks.
    ///
    /// # Errors
    /// As [`Engine::with_module`].
    pub fn command<M: Module, R: Send + 'static>(
        &self,
        name: &str,
        command: impl FnOnce(&mut M, &mut Context<'_>) -> R + Send + 'static,
    ) -> Result<R, CommandError> {
        let (done, class) = self.call(name, move |module, ctx| {
            let class = module.class();
            let module: &mut dyn Any = module;
            (module.downcast_mut::<M>().map(|module| command(module, ctx)), class)
        })?;
        let module = || name.to_owned();
        done.ok_or_else(|| CommandError::Class { module: module(), class, wanted: type_name::<M>() })
    }

    /// Runs a command on a module of any class.
    pub(super) fn call<R: Send + 'static>(
        &self,
        name: &str,
        command: impl FnOnce(&mut dyn Module, &mut Context<'_>) -> R + Send + 'static,
    ) -> Result<R, CommandError> {
        let answer = {
            let state = self.lock();
            let id = state.model.id(name).ok_or_else(|| CommandError::NoModule(name.to_owned()))?;
            let entry = state.model.entry(id).expect("names lead to entries");
            state.workers[&entry.worker]
                .ask(move |worker| worker.executor.call(id, 0, |parts, ctx, _| command(parts.module, ctx)))
        };
        wait(&answer).ok_or_else(|| CommandError::Failed(name.to_owned()))
    }

    /// The modules and their connections, without counts: asks no worker.
    pub fn graph(&self) -> Vec<ModuleLinks> {
        let state = self.lock();
        let links = |entry: &super::model::Entry| {
            let to = |id| state.model.entry(id).expect("links lead to modules").name.to_string();
            entry.links.iter().map(|(&output, link)| (output, to(link.to), link.input)).collect()
        };
        let describe = |entry: &super::model::Entry| ModuleLinks {
            name: entry.name.to_string(),
            class: entry.shape.class,
            worker: entry.worker,
            tasks: entry.shape.tasks,
            inputs: entry.shape.inputs,
            outputs: entry.shape.outputs,
            links: links(entry),
        };
        state.model.modules().map(describe).collect()
    }

    /// What the engine looks like now.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let answers: Vec<_> = state.workers.values().map(|worker| worker.ask(inspect)).collect();
        let mut snapshot = Snapshot::default();
        for (worker, modules) in answers.iter().map(wait) {
            snapshot.workers.push(worker);
            for (id, mut module) in modules {
                let entry = state.model.entry(id).expect("workers have what the model knows");
                for (gate, link) in &entry.links {
                    let to = state.model.entry(link.to).expect("links lead to modules");
                    module.outputs[usize::from(*gate)].to = Some((to.name.to_string(), link.input));
                }
                let places = entry.attributes.iter().zip(&entry.places);
                module.attributes =
                    places.map(|(attribute, place)| AttributeSnapshot::of(attribute, *place)).collect();
                snapshot.modules.push(module);
            }
        }
        snapshot.modules.sort_by(|a, b| a.name.cmp(&b.name));
        snapshot.ports = state.ports.iter().map(|(name, port)| PortSnapshot::of(name, &**port)).collect();
        snapshot
    }

    /// Puts a port into the engine's care, under a name.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_port(&self, name: &str, port: Box<dyn Port>) -> Result<(), PortsError> {
        let mut state = self.lock();
        if state.ports.contains_key(name) {
            return Err(PortsError::NameTaken(name.to_owned()));
        }
        state.ports.insert(name.to_owned(), port);
        Ok(())
    }

    /// Takes a port out of the engine's care. Modules keep the queues that they have.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn remove_port(&self, name: &str) -> Result<Box<dyn Port>, PortsError> {
        self.lock().ports.remove(name).ok_or_else(|| PortsError::NoPort(name.to_owned()))
    }

    /// The two directions of a port's queue, for [`PortIn`](crate::modules::PortIn) and
    /// [`PortOut`](crate::modules::PortOut).
    ///
    /// # Errors
    /// When there is no such port or queue, or the queue is in use.
    pub fn queue(&self, port: &str, queue: usize) -> Result<QueuePair, PortsError> {
        let mut state = self.lock();
        let found = state.ports.get_mut(port).ok_or_else(|| PortsError::NoPort(port.to_owned()))?;
        let queues = found.info().queues;
        found.queue(queue).ok_or_else(|| PortsError::NoQueue { port: port.to_owned(), queue, queues })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No panic can leave the picture half changed: edits are rolled back or carried out whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let mut state = self.lock();
        for worker in state.workers.values() {
            worker.mailbox.post(Box::new(Worker::stop));
        }
        for thread in state.workers.values_mut().filter_map(|worker| worker.thread.take()) {
            // A worker's panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Handle {
    /// Has the worker do something between two batches; the answer comes through the channel.
    pub(super) fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Worker) -> R + Send + 'static,
    ) -> Receiver<R> {
        let (answer, receiver) = channel();
        self.mailbox.post(Box::new(move |worker| {
            let _ = answer.send(question(worker));
        }));
        receiver
    }
}

pub(super) fn wait<R>(answer: &Receiver<R>) -> R {
    answer.recv().expect("a worker lives as long as its engine")
}

impl State {
    /// Has the workers do what the model has already made, and waits until it is in force.
    pub(super) fn carry_out(&mut self, mut trial: Trial, places: Vec<(NodeId, Vec<Place>)>) -> Applied {
        let (stops, meeting) = self.plan(&mut trial, places);
        let answers: Vec<_> = stops
            .into_iter()
            .map(|(worker, stop)| {
                let meeting = Arc::clone(&meeting);
                self.workers[&worker].ask(move |worker| meeting.attend(worker, stop))
            })
            .collect();
        let stalls = answers.iter().map(wait).collect();
        self.model.settle(&trial);
        let (removed, lost) = meeting.leftovers();
        Applied { removed: removed.into_iter().map(taken_out).collect(), stalls, lost }
    }

    /// Says what each worker has to do for an edit that the model has already made.
    fn plan(
        &mut self,
        trial: &mut Trial,
        places: Vec<(NodeId, Vec<Place>)>,
    ) -> (BTreeMap<usize, Stop>, Arc<Meeting>) {
        let mut stops: BTreeMap<usize, Stop> = BTreeMap::new();
        let mut go: HashMap<usize, Go> = HashMap::new();
        let mut owner: HashMap<NodeId, usize> = HashMap::new();
        let mut ends: Vec<NodeId> = Vec::new();
        for (&id, &worker) in trial.removed.iter().chain(&trial.moved) {
            stops.entry(worker).or_default().nodes.push(id);
        }
        for &id in trial.moved.keys() {
            owner.insert(id, self.worker_of(id));
        }
        let added: Vec<NodeId> = trial.added.iter().map(|&(id, _)| id).collect();
        for (id, module) in trial.added.drain(..) {
            let entry = self.model.entry(id).expect("it was just added");
            let mut node = Node::new(Arc::clone(&entry.name), module, entry.shape);
            node.leaves.clone_from(&entry.leaves);
            go.entry(entry.worker).or_default().nodes.push((id, Box::new(node)));
        }
        for (&(from, gate), &before) in &trial.touched {
            if !added.contains(&from) {
                let worker = self.worker_before(from, trial);
                stops.entry(worker).or_default().unlink.push((from, gate));
            }
            if let Some((before, inbox)) = before.and_then(|link| Some((link, link.inbox?))) {
                let worker = self.worker_before(before.to, trial);
                stops.entry(worker).or_default().inboxes.push(inbox);
                if self.model.entry(before.to).is_some() {
                    owner.insert(before.to, self.worker_of(before.to));
                    ends.push(before.to);
                }
            }
            self.connect(from, gate, &mut go);
        }
        for (id, places) in places {
            go.entry(self.worker_of(id)).or_default().places.push((id, places));
        }
        let class_owner = self.plan_classes(trial, &mut stops, &mut go);
        for &worker in go.keys().chain(owner.values()).chain(class_owner.values()) {
            stops.entry(worker).or_default();
        }
        let order = self.model.downstream_first(&ends);
        let meeting = Arc::new(Meeting::new(stops.len(), go, owner, class_owner, order));
        (stops, meeting)
    }

    /// The same for the traffic classes: all that stand elsewhere are taken out and put in again. Returns who has them
    /// then.
    fn plan_classes(
        &self,
        trial: &Trial,
        stops: &mut BTreeMap<usize, Stop>,
        go: &mut HashMap<usize, Go>,
    ) -> HashMap<ClassId, usize> {
        let roster = &self.model.roster;
        let mut owner = HashMap::new();
        for (&id, &before) in &trial.classes.moved {
            if let Some(worker) = before {
                stops.entry(worker).or_default().classes.push(id);
            }
            let Some(entry) = roster.entry(id) else { continue };
            let go = go.entry(entry.worker).or_default();
            if before.is_some() {
                owner.insert(id, entry.worker);
            } else {
                go.classes.push((id, Box::new(entry.class())));
            }
            go.seats.extend(entry.seat.map(|seat| (id, seat.parent, seat.weight())));
        }
        for &id in &trial.classes.updated {
            if let Some(entry) = roster.entry(id)
                && let Nature::Inner(policy) = entry.nature
            {
                go.entry(entry.worker).or_default().policies.push((id, policy));
            }
        }
        owner
    }

    /// Leads an output gate where the model says, through a ring if need be.
    fn connect(&mut self, from: NodeId, gate: super::Gate, go: &mut HashMap<usize, Go>) {
        let Some(entry) = self.model.entry(from) else { return };
        let Some(&link) = entry.links.get(&gate) else { return };
        let (here, there) = (entry.worker, self.worker_of(link.to));
        if here == there {
            go.entry(here).or_default().targets.push((from, gate, Target::Local(link.to, link.input)));
            self.model.set_inbox(from, gate, None);
            return;
        }
        self.next_inbox += 1;
        let id = self.next_inbox;
        let (sender, inbox) = ring(id, here, link.to, link.input, Arc::clone(&self.workers[&there].mailbox));
        go.entry(here).or_default().targets.push((from, gate, remote(sender)));
        go.entry(there).or_default().inboxes.push(inbox);
        self.model.set_inbox(from, gate, Some(id));
    }

    fn worker_of(&self, id: NodeId) -> usize {
        self.model.entry(id).expect("links lead between modules that exist").worker
    }

    /// The worker that had a module before the edit.
    fn worker_before(&self, id: NodeId, trial: &Trial) -> usize {
        let gone = trial.removed.get(&id).or_else(|| trial.moved.get(&id));
        gone.copied().unwrap_or_else(|| self.worker_of(id))
    }
}

/// Counts of a worker and its modules.
fn inspect(worker: &mut Worker) -> (WorkerSnapshot, Vec<(NodeId, ModuleSnapshot)>) {
    let index = worker.index;
    let modules = worker.executor.nodes().map(|(id, node)| (id, describe(node, Some(index)))).collect();
    (worker.snapshot(), modules)
}

fn describe(node: &Node, worker: Option<usize>) -> ModuleSnapshot {
    let hook = |hook: &Hook| (hook.name.clone(), hook.hook.class().to_owned());
    let gate = |output: &super::node::Output| GateSnapshot {
        to: None,
        batches: output.batches,
        packets: output.packets,
        bytes: output.bytes,
        unconnected: output.unconnected,
        overrun: output.overrun,
        hooks: output.hooks.iter().map(hook).collect(),
    };
    ModuleSnapshot {
        name: node.name.to_string(),
        class: node.module.class().to_owned(),
        worker,
        tasks: node.task_count,
        inputs: node.inputs.clone(),
        input_hooks: node
            .input_hooks
            .iter()
            .map(|(gate, hooks)| (*gate, hooks.iter().map(hook).collect()))
            .collect(),
        outputs: node.outputs.iter().map(gate).collect(),
        dropped: node.dropped,
        lost: node.lost,
        held: node.module.held(),
        attributes: Vec::new(),
        failed: node.failed.clone(),
        status: node.module.status(),
    }
}

fn taken_out(node: Node) -> Removed {
    Removed { name: node.name.to_string(), counts: describe(&node, None), module: node.module }
}
