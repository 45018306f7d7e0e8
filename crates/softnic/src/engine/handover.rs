//! What another process needs to go on with a graph: nothing on its way, and what modules have learnt.

use super::Engine;
use super::control::{CommandError, wait};
use super::worker::Worker;

/// Rounds in which packets that wait are let on. Each ring and each queue is emptied in a few; packets that go in circles
/// never end.
const ROUNDS_MAX: usize = 1024;

impl Engine {
    /// Lets on what waits in rings between workers and in modules with tasks of their own, whatever their traffic classes
    /// say, until nothing waits. For when all workers are paused. Returns the packets that modules keep all the same.
    pub fn drain(&self) -> usize {
        let state = self.lock();
        for _ in 0..ROUNDS_MAX {
            let answers: Vec<_> = state.workers.values().map(|worker| worker.ask(Worker::drain)).collect();
            let moved: usize = answers.iter().map(wait).sum();
            if moved == 0 {
                break;
            }
        }
        let held = |worker: &mut Worker| worker.executor.nodes().map(|(_, node)| node.module.held()).sum();
        let answers: Vec<_> = state.workers.values().map(|worker| worker.ask(held)).collect();
        answers.iter().map(wait::<usize>).sum()
    }

    /// What a module has learnt, see [`Module::save`](super::Module::save).
    ///
    /// # Errors
    /// When there is no such module, or it has panicked.
    pub fn save(&self, module: &str) -> Result<Option<Vec<u8>>, CommandError> {
        self.call(module, |module, _| module.save())
    }

    /// Gives a module what another one has learnt, see [`Module::restore`](super::Module::restore).
    ///
    /// # Errors
    /// When there is no such module, or it has panicked.
    pub fn restore(&self, module: &str, saved: Vec<u8>) -> Result<Result<usize, String>, CommandError> {
        self.call(module, move |module, _| module.restore(&saved))
    }
}
