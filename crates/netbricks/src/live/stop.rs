//! When a run ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::state::mailbox::Wake;

/// Ends runs: at a limit, or when somebody says so through a clone of it, from any thread.
///
/// ```
/// use std::time::Duration;
/// use netbricks::live::Stop;
///
/// let stop = Stop::new().after_packets(1000).after(Duration::from_secs(10));
/// stop.clone().stop();
/// assert!(stop.is_stopped());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stop {
    shared: Arc<Shared>,
    pub(super) packets: Option<u64>,
    pub(super) duration_ns: Option<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    /// Those of the runs that go on.
    sleepers: Mutex<Vec<Weak<Wake>>>,
}

impl Stop {
    /// Without limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends a run once `packets` have come in from its ports, or as many have gone out to them.
    #[must_use]
    pub fn after_packets(self, packets: u64) -> Self {
        Self { packets: Some(packets), ..self }
    }

    /// Ends a run after that time, on the clock of the run.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self { duration_ns: Some(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)), ..self }
    }

    /// Ends the runs that have this or a clone of it, between two batches.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let sleepers = self.shared.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        sleepers.iter().filter_map(Weak::upgrade).for_each(|sleeper| sleeper.wake());
    }

    /// Whether somebody said so.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::SeqCst)
    }

    /// Has `sleeper` woken by [`Stop::stop`].
    pub(super) fn watch(&self, sleeper: &Arc<Wake>) {
        let mut sleepers = self.shared.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        sleepers
            .retain(|other| other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), Arc::as_ptr(sleeper)));
        sleepers.push(Arc::downgrade(sleeper));
    }
}
