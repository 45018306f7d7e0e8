//! A word with a run while packets flow.

use std::sync::Arc;

use super::core::Core;
use super::summary::Summary;
use crate::NetworkFunction;
use crate::state::mailbox::{AskError, Mailbox};

/// Reads and changes a running function, from any thread but the one that runs it.
///
/// A question waits for the end of the batch at hand, and of the run's sleep if it sleeps; it delays the packets behind
/// it by as long as it takes. A run that has not begun answers when it does.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) mailbox: Arc<Mailbox<Core>>,
}

impl Handle {
    /// Runs `question` on the function between two batches, and returns what it says.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn with<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn NetworkFunction) -> R + Send + 'static,
    ) -> Result<R, AskError> {
        self.mailbox.ask(|core| question(core.function_mut()))
    }

    /// What the run has done so far.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn report(&self) -> Result<Summary, AskError> {
        self.mailbox.ask(|core| core.summary(None))
    }
}
