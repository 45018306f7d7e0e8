//! A word with a run while packets flow.

use std::any::type_name;
use std::sync::Arc;

use super::core::Core;
use super::summary::Summary;
use crate::NetworkFunction;
use crate::find::{change, find};
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

    /// Runs `question` on the function of type `F`: the run's own, or the first such one of its line, contained or not.
    /// Functions in a process of their own are out of reach.
    ///
    /// # Errors
    /// See [`AskError`]; [`AskError::Absent`] also while the function is broken and not made anew yet.
    pub fn ask<F: NetworkFunction, R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut F) -> R + Send + 'static,
    ) -> Result<R, AskError> {
        let said = self.with(|function| find::<F>(function).map(|found| question(found.function)))?;
        said.ok_or(AskError::Absent(type_name::<F>()))
    }

    /// As [`ask`](Self::ask), with a question that changes the function for good. Where it is
    /// [`Contained`](crate::Contained), panics and is made anew, the last change that returned `Ok` is made again: let
    /// it say all that the function shall be.
    ///
    /// ```
    /// use netbricks::functions::{self, Backend, Maglev, Setup};
    /// use netbricks::live::{Runner, Stop};
    /// # use packet::{Pool, PoolConfig};
    /// # let pool = Pool::new(PoolConfig::default())?;
    ///
    /// let words = ["maglev", "vip=192.0.2.10:80/tcp", "backend=10.0.0.1", "backend=10.0.0.2"];
    /// let line = functions::build(&words, &Setup { pool: pool.clone(), key: 1, seed: 1 })?;
    /// let mut runner = Runner::new(Box::new(line), pool)?;
    /// # runner.add(Box::new(ports::ring::loopback("quiet", 4)?))?;
    /// let (handle, stop) = (runner.handle(), Stop::new());
    /// let until = stop.clone();
    /// let run = std::thread::spawn(move || runner.run(&until));
    ///
    /// let left: Vec<Backend> = vec!["10.0.0.2".parse()?];
    /// handle.change::<Maglev, _, _>(move |maglev| maglev.set_backends(left.clone()))??;
    /// # stop.stop();
    /// # run.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn change<F: NetworkFunction, R: Send + 'static, E: Send + 'static>(
        &self,
        by: impl FnMut(&mut F) -> Result<R, E> + Send + 'static,
    ) -> Result<Result<R, E>, AskError> {
        let said = self.with(|function| change::<F, R, E>(function, by))?;
        said.ok_or(AskError::Absent(type_name::<F>()))
    }

    /// What the run has done so far.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn report(&self) -> Result<Summary, AskError> {
        self.mailbox.ask(|core| core.summary(None))
    }
}
