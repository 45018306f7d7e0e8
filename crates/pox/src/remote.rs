//! From other threads: work that is handed to the core, to be done between two events.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};

use crate::Core;

/// Jobs that may wait for the core.
pub const JOBS_MAX: usize = 1_024;

type Job = Box<dyn FnOnce(&mut Core) + Send>;
type Wake = Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>;

/// A hand into the core, for threads that serve what is not OpenFlow: the web, a shell. Made by [`Core::remote`].
#[derive(Clone)]
pub struct Remote {
    jobs: SyncSender<Job>,
    wake: Wake,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}

/// The core takes no more work: it has ended, or [`JOBS_MAX`] jobs wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the controller takes no work: it has ended, or {JOBS_MAX} jobs wait already")]
pub struct Refused;

impl Remote {
    /// Has the core do something, soon, on its own thread.
    ///
    /// # Errors
    /// Where it takes no more.
    pub fn post(&self, job: impl FnOnce(&mut Core) + Send + 'static) -> Result<(), Refused> {
        self.jobs.try_send(Box::new(job)).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Refused,
        })?;
        if let Some(wake) = self.wake.get() {
            wake();
        }
        Ok(())
    }

    /// Has the core answer something; waits for the answer. Not to be called on the core's own thread.
    ///
    /// # Errors
    /// Where it takes no more, or ends before it answers.
    pub fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Core) -> R + Send + 'static,
    ) -> Result<R, Refused> {
        let (answer, answered) = sync_channel(1);
        self.post(move |core| {
            let _ = answer.send(question(core)); // nobody waits any more
        })?;
        answered.recv().map_err(|_| Refused)
    }
}

/// Where the jobs arrive.
pub(crate) struct Inbox {
    jobs: Receiver<Job>,
    remote: Remote,
}

impl Default for Inbox {
    fn default() -> Self {
        let (sender, jobs) = sync_channel(JOBS_MAX);
        Self { jobs, remote: Remote { jobs: sender, wake: Arc::default() } }
    }
}

impl Inbox {
    /// What to call when a job has arrived, once.
    pub(crate) fn on_job(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.remote.wake.set(Box::new(wake)); // one edge runs the core; a second has no say
        // Jobs that came before there was anything to call.
        if let Some(wake) = self.remote.wake.get() {
            wake();
        }
    }
}

impl Core {
    /// A hand into the core for other threads.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.inbox.remote.clone()
    }

    /// Does what other threads have handed in.
    pub(crate) fn do_jobs(&mut self) {
        for _ in 0..JOBS_MAX {
            let Ok(job) = self.inbox.jobs.try_recv() else { return };
            // A job that panics fails as a handler does: counted, logged, and the core stays whole.
            let _ = self.act(crate::component::ComponentId::OUTSIDE, |_, core| {
                job(core);
                Ok(crate::event::Verdict::Continue)
            });
            self.settle();
        }
    }
}
