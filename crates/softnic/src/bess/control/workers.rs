//! Workers: adding, pausing, resuming; which module belongs to which.
//!
//! Modules that no worker of the client's runs yet are with a worker of our own, the *nursery*, which never runs. They
//! leave it when their tasks are attached, or adopted as everything resumes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Bess, State};
use crate::bess::placement::{self, Node};
use crate::bess::{Failure, pb};
use crate::engine::{Edit, ModuleLinks, WORKERS_MAX, WorkerConfig};

/// The number of our own worker.
pub(super) const NURSERY: usize = WORKERS_MAX - 1;

/// The workers that clients know of.
#[derive(Default)]
pub(in crate::bess) struct Workers {
    /// The core of each.
    cores: BTreeMap<usize, usize>,
    /// The worker that adopts next.
    pub(in crate::bess) next: usize,
    /// Those that are not paused.
    pub(in crate::bess) running: BTreeSet<usize>,
    /// Nobody runs, whatever clients have asked for, until a saved state is whole again.
    held: bool,
}

fn is_present(core: i64) -> bool {
    core >= 0 && Path::new(&format!("/sys/devices/system/cpu/cpu{core}")).exists()
}

/// A worker's number as a client gives it.
fn number(wid: i64) -> Result<usize, Failure> {
    let number = usize::try_from(wid).ok().filter(|&wid| wid < NURSERY);
    number.ok_or_else(|| {
        Failure::invalid(format!("invalid worker id {wid}: they go from 0 to {}", NURSERY - 1))
    })
}

impl Bess {
    /// Starts the worker that has the modules that nobody runs yet.
    pub(super) fn start_nursery(&self) -> Result<(), Failure> {
        self.engine.add_worker_as(NURSERY, WorkerConfig::default())?;
        self.engine.pause_worker(NURSERY)?;
        Ok(())
    }

    pub(super) fn nursery(&self) -> usize {
        NURSERY
    }

    /// Starts a worker, paused.
    fn launch(&self, state: &mut State, worker: usize, core: usize) -> Result<(), Failure> {
        self.engine.add_worker_as(worker, WorkerConfig { core: Some(core), spin: false })?;
        self.engine.pause_worker(worker)?;
        state.workers.cores.insert(worker, core);
        Ok(())
    }

    fn pause(&self, state: &mut State, worker: usize) -> Result<(), Failure> {
        if !state.workers.held {
            self.engine.pause_worker(worker)?;
        }
        state.workers.running.remove(&worker);
        Ok(())
    }

    fn resume(&self, state: &mut State, worker: usize) -> Result<(), Failure> {
        if !state.workers.held {
            self.engine.resume_worker(worker)?;
        }
        state.workers.running.insert(worker);
        Ok(())
    }

    /// Has nobody run until [`release`](Self::release), although clients resume.
    pub(in crate::bess) fn hold(&self) -> Result<(), Failure> {
        let mut state = self.lock();
        for &worker in &state.workers.running {
            self.engine.pause_worker(worker)?;
        }
        state.workers.held = true;
        Ok(())
    }

    /// Has those run that clients have resumed.
    pub(in crate::bess) fn release(&self) -> Result<(), Failure> {
        let mut state = self.lock();
        state.workers.held = false;
        for &worker in &state.workers.running {
            self.engine.resume_worker(worker)?;
        }
        Ok(())
    }

    /// A worker by its number, or any if it is -1. The first one is started if there is none.
    pub(super) fn worker(&self, state: &mut State, wid: i64) -> Result<usize, Failure> {
        let none = state.workers.cores.is_empty();
        if none && (wid == 0 || wid == -1) {
            self.launch(state, 0, self.config.core)?;
            return Ok(0);
        }
        if wid == -1 {
            return Ok(state.workers.take_turn());
        }
        let worker = number(wid)?;
        let known = state.workers.cores.contains_key(&worker);
        if known { Ok(worker) } else { Err(Failure::invalid(format!("worker:{wid} does not exist"))) }
    }

    /// Makes a change for which a worker may be chosen, or started. Where it is refused, no other worker is there than
    /// before, nor is it another one's turn.
    pub(super) fn or_as_before(
        &self,
        state: &mut State,
        change: impl FnOnce(&mut State) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (next, none) = (state.workers.next, state.workers.cores.is_empty());
        let changed = change(state);
        if changed.is_err() {
            state.workers.next = next;
            let started = if none { state.workers.all() } else { Vec::new() };
            for worker in started {
                self.dismiss(state, worker)?;
            }
        }
        changed
    }

    /// Gives modules to the workers whose tasks lead to them.
    pub(super) fn place(&self, _state: &State) -> Result<(), Failure> {
        self.place_with(Edit::new(), &self.engine.graph())
    }

    /// Makes an edit that turns the graph into `graph`, and in the same moment gives modules to the workers whose tasks lead
    /// to them then. One after the other, packets would go to a worker that is not to have them, and be lost once the ring
    /// to it is full; the nursery empties none.
    pub(super) fn place_with(&self, edit: Edit, graph: &[ModuleLinks]) -> Result<(), Failure> {
        let workers = placement::place(&nodes(graph), NURSERY);
        let moved = graph.iter().zip(workers).filter(|(module, worker)| module.worker != *worker);
        let edit = moved.fold(edit, |edit, (module, worker)| edit.move_to(module.name.clone(), worker));
        self.engine.apply(edit)?;
        Ok(())
    }

    /// Modules that more workers lead to than their class allows. Here they would work, since a module has one worker and
    /// the others hand their packets over, but a script that was wrong for BESS is to be told so.
    pub(super) fn crowded(&self, state: &State) -> Vec<String> {
        let graph = self.engine.graph();
        let reached = placement::reach(&nodes(&graph), NURSERY);
        let crowded = |(module, workers): (&ModuleLinks, BTreeSet<usize>)| {
            let class = state.modules.get(&module.name)?.class;
            let most = self.config.flavour.workers_max(class.name)?;
            (workers.len() > most).then(|| module.name.clone())
        };
        graph.iter().zip(reached).filter_map(crowded).collect()
    }

    /// Gives the tasks that nobody has attached to the workers in turn, if everything is paused.
    pub(super) fn adopt(&self, state: &mut State) -> Result<(), Failure> {
        if !state.workers.running.is_empty() {
            return Ok(());
        }
        let graph = self.engine.graph();
        for module in graph.iter().filter(|module| module.tasks > 0 && module.worker == NURSERY) {
            let worker = self.worker(state, -1)?;
            self.engine.apply(Edit::new().move_to(module.name.clone(), worker))?;
        }
        self.place(state)
    }

    pub(crate) fn pause_all(&self, _: &pb::EmptyRequest) -> Result<pb::EmptyResponse, Failure> {
        let mut state = self.lock();
        for worker in state.workers.all() {
            self.pause(&mut state, worker)?;
        }
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn pause_worker(
        &self,
        request: &pb::PauseWorkerRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        let mut state = self.lock();
        let worker = state.workers.find(request.wid)?;
        self.pause(&mut state, worker)?;
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn resume_all(&self, _: &pb::EmptyRequest) -> Result<pb::EmptyResponse, Failure> {
        let mut state = self.lock();
        self.adopt(&mut state)?;
        for worker in state.workers.all() {
            self.resume(&mut state, worker)?;
        }
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn resume_worker(
        &self,
        request: &pb::ResumeWorkerRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        let mut state = self.lock();
        let worker = state.workers.find(request.wid)?;
        self.resume(&mut state, worker)?;
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn reset_workers(&self, _: &pb::EmptyRequest) -> Result<pb::EmptyResponse, Failure> {
        let mut state = self.lock();
        for worker in state.workers.all() {
            self.dismiss(&mut state, worker)?;
        }
        state.workers.next = 0;
        Ok(pb::EmptyResponse::default())
    }

    /// Ends a worker. Its modules go back to the nursery.
    fn dismiss(&self, state: &mut State, worker: usize) -> Result<(), Failure> {
        let graph = self.engine.graph();
        let own = graph.iter().filter(|module| module.worker == worker);
        let edit = own.fold(Edit::new(), |edit, module| edit.move_to(module.name.clone(), NURSERY));
        self.engine.apply(edit)?;
        self.engine.remove_worker(worker)?;
        state.workers.cores.remove(&worker);
        state.workers.running.remove(&worker);
        Ok(())
    }

    pub(crate) fn list_workers(&self, _: &pb::EmptyRequest) -> Result<pb::ListWorkersResponse, Failure> {
        let state = self.lock();
        let snapshot = self.engine.snapshot();
        let classes = self.engine.classes();
        let status = |worker: &crate::engine::WorkerSnapshot| {
            let core = *state.workers.cores.get(&worker.index)?;
            Some(pb::list_workers_response::WorkerStatus {
                wid: worker.index as i64,
                core: core as i64,
                running: state.workers.running.contains(&worker.index),
                num_tcs: classes.iter().filter(|class| class.worker == worker.index).count() as i64,
                silent_drops: worker.circling as i64,
            })
        };
        let workers_status = snapshot.workers.iter().filter_map(status).collect();
        Ok(pb::ListWorkersResponse { error: None, workers_status })
    }

    pub(crate) fn add_worker(&self, request: &pb::AddWorkerRequest) -> Result<pb::EmptyResponse, Failure> {
        let mut state = self.lock();
        let worker = number(request.wid)?;
        if !is_present(request.core) {
            return Err(Failure::invalid(format!("invalid core {}", request.core)));
        }
        if state.workers.cores.contains_key(&worker) {
            return Err(Failure::exists(format!("worker:{worker} is already active")));
        }
        if !matches!(request.scheduler.as_str(), "" | "experimental") {
            return Err(Failure::invalid(format!("invalid scheduler {}", request.scheduler)));
        }
        self.launch(&mut state, worker, request.core as usize)?;
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn destroy_worker(
        &self,
        request: &pb::DestroyWorkerRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        let mut state = self.lock();
        let worker = state.workers.find(request.wid)?;
        let graph = self.engine.graph();
        let busy = graph.iter().find(|module| module.tasks > 0 && module.worker == worker);
        if let Some(module) = busy {
            let message = format!("worker {worker} has active tasks: !leaf_{}:0", module.name);
            return Err(Failure::busy(message));
        }
        self.dismiss(&mut state, worker)?;
        Ok(pb::EmptyResponse::default())
    }
}

impl Workers {
    fn find(&self, wid: i64) -> Result<usize, Failure> {
        let worker = number(wid)?;
        let known = self.cores.contains_key(&worker);
        if known { Ok(worker) } else { Err(Failure::not_found(format!("worker {wid} is not active"))) }
    }

    /// The worker whose turn it is to adopt.
    fn take_turn(&mut self) -> usize {
        let after = self.cores.range(self.next..).next();
        let worker = after.or_else(|| self.cores.iter().next()).map_or(NURSERY, |(&worker, _)| worker);
        self.next = worker + 1;
        worker
    }

    /// Whether nobody runs although clients have resumed.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Lets one run once nobody is held any more.
    pub(in crate::bess) fn run(&mut self, worker: usize) -> Result<(), Failure> {
        if !self.held || !self.contains(worker) {
            return Err(Failure::not_found(format!("there is no worker {worker} to be resumed")));
        }
        self.running.insert(worker);
        Ok(())
    }

    /// Their numbers.
    pub(super) fn all(&self) -> Vec<usize> {
        self.cores.keys().copied().collect()
    }

    /// Their numbers and cores.
    pub(in crate::bess) fn cores(&self) -> impl Iterator<Item = (usize, usize)> {
        self.cores.iter().map(|(&worker, &core)| (worker, core))
    }

    /// Whether clients know of a worker.
    pub(in crate::bess) fn contains(&self, worker: usize) -> bool {
        self.cores.contains_key(&worker)
    }
}

fn nodes(graph: &[ModuleLinks]) -> Vec<Node> {
    let index: BTreeMap<&str, usize> =
        graph.iter().enumerate().map(|(at, module)| (module.name.as_str(), at)).collect();
    let node = |module: &ModuleLinks| Node {
        worker: module.worker,
        tasks: module.tasks > 0,
        next: module.links.iter().filter_map(|link| index.get(link.1.as_str()).copied()).collect(),
    };
    graph.iter().map(node).collect()
}
