//! Workers: adding, pausing, resuming; which module belongs to which.

use super::{Bess, State};
use crate::bess::placement::{self, Node};
use crate::bess::{Failure, pb};
use crate::engine::{Edit, WorkerConfig};

/// The workers that clients know of.
#[derive(Default)]
pub(super) struct Workers;

impl Bess {
    /// Starts the worker that has the modules that nobody runs yet.
    pub(super) fn start_nursery(&self) -> Result<(), Failure> {
        self.engine.add_worker(WorkerConfig::default())?;
        Ok(())
    }

    pub(super) fn nursery(&self) -> usize {
        0
    }

    /// Gives modules to the workers whose tasks lead to them.
    pub(super) fn place(&self, _state: &State) -> Result<(), Failure> {
        let snapshot = self.engine.snapshot();
        let at = |name: &str| snapshot.modules.iter().position(|module| module.name == name);
        let node = |module: &crate::engine::ModuleSnapshot| Node {
            worker: module.worker.unwrap_or_default(),
            tasks: module.tasks > 0,
            next: module.outputs.iter().filter_map(|output| at(&output.to.as_ref()?.0)).collect(),
        };
        let nodes: Vec<Node> = snapshot.modules.iter().map(node).collect();
        let workers = placement::place(&nodes, self.nursery());
        let moves = nodes
            .iter()
            .zip(&workers)
            .zip(&snapshot.modules)
            .filter(|((node, worker), _)| node.worker != **worker);
        let edit =
            moves.fold(Edit::new(), |edit, ((_, &worker), module)| edit.move_to(module.name.clone(), worker));
        self.engine.apply(edit)?;
        Ok(())
    }

    pub(crate) fn pause_all(&self, _: &pb::EmptyRequest) -> Result<pb::EmptyResponse, Failure> {
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn pause_worker(&self, _: &pb::PauseWorkerRequest) -> Result<pb::EmptyResponse, Failure> {
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn resume_all(&self, _: &pb::EmptyRequest) -> Result<pb::EmptyResponse, Failure> {
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn resume_worker(&self, _: &pb::ResumeWorkerRequest) -> Result<pb::EmptyResponse, Failure> {
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn reset_workers(&self, _: &pb::EmptyRequest) -> Result<pb::EmptyResponse, Failure> {
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn list_workers(&self, _: &pb::EmptyRequest) -> Result<pb::ListWorkersResponse, Failure> {
        Ok(pb::ListWorkersResponse::default())
    }

    pub(crate) fn add_worker(&self, _: &pb::AddWorkerRequest) -> Result<pb::EmptyResponse, Failure> {
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn destroy_worker(&self, _: &pb::DestroyWorkerRequest) -> Result<pb::EmptyResponse, Failure> {
        Ok(pb::EmptyResponse::default())
    }
}
