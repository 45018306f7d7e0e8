//! Workers come, go, pause and go on.

use std::io;
use std::sync::Arc;

use super::control::{Engine, Handle, State, wait};
use super::mailbox::Mailbox;
use super::worker::{Worker, WorkerConfig};

/// The most workers that an engine has; their numbers are below. BESS has 64; one more is for whoever serves its clients
/// and wants a worker that they do not see.
pub const WORKERS_MAX: usize = 65;

/// Why a worker could not be started, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// There are [`WORKERS_MAX`].
    #[error("an engine has {WORKERS_MAX} workers at most")]
    TooMany,
    /// No worker can have the number.
    #[error("worker {0}: numbers go from 0 to {max}", max = WORKERS_MAX - 1)]
    Number(usize),
    /// There is a worker of that number.
    #[error("there is a worker {0} already")]
    Taken(usize),
    /// No worker has the number.
    #[error("there is no worker {0}")]
    NoWorker(usize),
    /// The worker has modules.
    #[error("worker {worker} cannot go: it has modules, `{module}` among them")]
    Busy {
        /// The worker.
        worker: usize,
        /// One of its modules; one with tasks, if there is one.
        module: String,
    },
    /// The kernel refused a thread or a descriptor.
    #[error("worker {index} could not be started: {source}")]
    Start {
        /// Its number.
        index: usize,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Engine {
    /// Starts a worker under the lowest number that is free, and returns its number.
    ///
    /// # Errors
    /// When the kernel refuses a thread or a descriptor, or there are [`WORKERS_MAX`].
    pub fn add_worker(&self, config: WorkerConfig) -> Result<usize, WorkerError> {
        let mut state = self.lock();
        let free = (0..WORKERS_MAX).find(|index| !state.workers.contains_key(index));
        let index = free.ok_or(WorkerError::TooMany)?;
        state.start_worker(index, config)?;
        Ok(index)
    }

    /// Starts a worker under a number below [`WORKERS_MAX`].
    ///
    /// # Errors
    /// When the number is too high or taken, or the kernel refuses a thread or a descriptor.
    pub fn add_worker_as(&self, index: usize, config: WorkerConfig) -> Result<(), WorkerError> {
        let mut state = self.lock();
        if index >= WORKERS_MAX {
            return Err(WorkerError::Number(index));
        }
        if state.workers.contains_key(&index) {
            return Err(WorkerError::Taken(index));
        }
        state.start_worker(index, config)
    }

    /// Ends a worker that has no modules. Its traffic classes go with it.
    ///
    /// # Errors
    /// When there is no such worker, or it has modules.
    pub fn remove_worker(&self, index: usize) -> Result<(), WorkerError> {
        let mut state = self.lock();
        if !state.workers.contains_key(&index) {
            return Err(WorkerError::NoWorker(index));
        }
        let own = state.model.modules().filter(|entry| entry.worker == index);
        if let Some(entry) = own.max_by_key(|entry| entry.shape.tasks.min(1)) {
            return Err(WorkerError::Busy { worker: index, module: entry.name.to_string() });
        }
        let mut handle = state.workers.remove(&index).expect("it was there a moment ago");
        handle.mailbox.post(Box::new(Worker::stop));
        if let Some(thread) = handle.thread.take() {
            // A worker's panic was reported when it happened.
            let _ = thread.join();
        }
        state.model.roster.remove_root(index);
        Ok(())
    }

    /// Has a worker give no more turns. When this returns, no task of it runs; packets stay where they are. It goes on
    /// answering questions and taking part in edits, and rings that an edit retires are emptied through the graph.
    ///
    /// Nothing needs this: edits, commands and questions work while packets flow. It is for those who want to see a graph
    /// stand still. What comes over a ring is dropped once the ring is full.
    ///
    /// # Errors
    /// When there is no such worker.
    pub fn pause_worker(&self, index: usize) -> Result<(), WorkerError> {
        self.lock().set_paused(index, true)
    }

    /// Has a paused worker go on.
    ///
    /// # Errors
    /// When there is no such worker.
    pub fn resume_worker(&self, index: usize) -> Result<(), WorkerError> {
        self.lock().set_paused(index, false)
    }

    /// Asks the thread of each worker something, paused ones as well.
    pub fn ask_threads<R: Send + 'static>(
        &self,
        question: impl Fn() -> R + Clone + Send + 'static,
    ) -> Vec<R> {
        let state = self.lock();
        let answers: Vec<_> = state
            .workers
            .values()
            .map(|worker| {
                let question = question.clone();
                worker.ask(move |_| question())
            })
            .collect();
        drop(state);
        answers.iter().map(wait).collect()
    }

    /// Pauses all workers, as [`Engine::pause_worker`].
    pub fn pause_all(&self) {
        self.lock().set_all_paused(true);
    }

    /// Has all workers go on.
    pub fn resume_all(&self) {
        self.lock().set_all_paused(false);
    }
}

impl State {
    fn start_worker(&mut self, index: usize, config: WorkerConfig) -> Result<(), WorkerError> {
        let root = self.model.roster.add_root(index);
        let start = || {
            let mailbox = Arc::new(Mailbox::new()?);
            let worker = Worker::new(index, root, config, Arc::clone(&mailbox))?;
            let thread = std::thread::Builder::new().name(format!("worker{index}"));
            Ok(Handle { mailbox, thread: Some(thread.spawn(move || worker.live())?) })
        };
        match start() {
            Ok(handle) => {
                self.workers.insert(index, handle);
                Ok(())
            }
            Err(source) => {
                self.model.roster.remove_root(index);
                Err(WorkerError::Start { index, source })
            }
        }
    }

    fn set_paused(&self, index: usize, paused: bool) -> Result<(), WorkerError> {
        let worker = self.workers.get(&index).ok_or(WorkerError::NoWorker(index))?;
        wait(&worker.ask(move |worker| worker.set_paused(paused)));
        Ok(())
    }

    fn set_all_paused(&self, paused: bool) {
        let set = move |worker: &mut Worker| worker.set_paused(paused);
        let answers: Vec<_> = self.workers.values().map(|worker| worker.ask(set)).collect();
        answers.iter().for_each(wait);
    }
}
