//! `WorkerSplit`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{WorkerSplit, WorkerSplitError};

/// Difference from BESS: a worker above 63 is an error, where BESS writes behind its table.
pub(super) const CLASS: Class = Class {
    name: "WorkerSplit",
    help: "sends packets to a gate by the worker whose task brought them",
    template: "ws",
    arg: "WorkerSplitArg",
    build,
    commands: commands![WorkerSplit; "reset" => reset],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let mut module = WorkerSplit::default();
    reset(&mut module, decode(argument)?)?;
    Ok(Box::new(module))
}

fn reset(module: &mut WorkerSplit, arg: pb::WorkerSplitArg) -> Result<(), Failure> {
    Ok(module.reset(arg.worker_gates.into_iter().collect())?)
}

impl From<WorkerSplitError> for Failure {
    fn from(error: WorkerSplitError) -> Self {
        Self::invalid(error.to_string())
    }
}
