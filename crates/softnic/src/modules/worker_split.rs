//! [`WorkerSplit`].

use std::collections::BTreeMap;

use packet::Batch;
use thiserror::Error;

use crate::engine::{Context, GATES_MAX, Gate, Module};

/// Workers that it tells apart, and gates (as BESS).
pub const SPLIT_WORKERS_MAX: usize = 64;

/// Sends packets to a gate by the worker whose task brought them.
///
/// *Input gates*: one. *Output gates*: 64.
///
/// Worker N's packets go to gate N, until [`reset`](Self::reset) says otherwise; packets of workers that it then does not
/// name are dropped.
///
/// ```
/// use softnic::modules::WorkerSplit;
/// let mut split = WorkerSplit::default();
/// split.reset([(0, 1), (1, 0)].into())?;
/// # Ok::<(), softnic::modules::WorkerSplitError>(())
/// ```
#[derive(Clone, Debug)]
pub struct WorkerSplit {
    gates: [Option<Gate>; SPLIT_WORKERS_MAX],
}

/// What cannot be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WorkerSplitError {
    /// There is no such worker.
    #[error("worker {0}: must be less than {SPLIT_WORKERS_MAX}")]
    Worker(u32),
    /// There is no such gate.
    #[error("output gate must be less than {GATES_MAX}, is {0}")]
    Gate(u32),
}

impl Default for WorkerSplit {
    fn default() -> Self {
        Self { gates: std::array::from_fn(|worker| Some(worker as Gate)) }
    }
}

impl WorkerSplit {
    /// Says which gate is whose, by worker; with none, worker N's is gate N.
    ///
    /// # Errors
    /// A worker or a gate that cannot be; then nothing changes.
    pub fn reset(&mut self, gates: BTreeMap<u32, u32>) -> Result<(), WorkerSplitError> {
        if gates.is_empty() {
            *self = Self::default();
            return Ok(());
        }
        let mut new = [None; SPLIT_WORKERS_MAX];
        for (worker, gate) in gates {
            let place = new.get_mut(worker as usize).ok_or(WorkerSplitError::Worker(worker))?;
            let known = Gate::try_from(gate).ok().filter(|gate| *gate < GATES_MAX);
            *place = Some(known.ok_or(WorkerSplitError::Gate(gate))?);
        }
        self.gates = new;
        Ok(())
    }
}

impl Module for WorkerSplit {
    fn class(&self) -> &'static str {
        "WorkerSplit"
    }

    fn outputs(&self) -> Gate {
        SPLIT_WORKERS_MAX as Gate
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, _batch: &mut Batch) {
        let gate = self.gates.get(ctx.origin()).copied().flatten();
        if let Some(gate) = gate.filter(|gate| *gate < self.outputs()) {
            ctx.forward(gate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::Rig;

    fn gate(module: &mut WorkerSplit, origin: usize) -> Option<Gate> {
        Rig::on(module).by(origin).gate(&[0])
    }

    #[test]
    fn packets_go_by_their_worker() {
        let mut module = WorkerSplit::default();
        assert_eq!(
            [0, 1, 63, 64].map(|worker| gate(&mut module, worker)),
            [Some(0), Some(1), Some(63), None]
        );
        module.reset([(0, 1), (3, 1), (5, 100)].into()).unwrap();
        assert_eq!([0, 1, 3, 5].map(|worker| gate(&mut module, worker)), [Some(1), None, Some(1), None]);
        assert_eq!(module.reset([(1, 2), (64, 0)].into()), Err(WorkerSplitError::Worker(64)));
        assert_eq!(module.reset([(1, 8192)].into()), Err(WorkerSplitError::Gate(8192)));
        assert_eq!(gate(&mut module, 0), Some(1), "as it was");
        module.reset(BTreeMap::new()).unwrap();
        assert_eq!(gate(&mut module, 1), Some(1));
    }
}
