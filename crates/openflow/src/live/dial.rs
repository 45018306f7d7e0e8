//! Connections that we make, again and again.

use std::time::Duration;

use super::{Side, Target};

/// How long a failed connection waits for its first repetition.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// How long it waits at most; each time twice as long as before.
pub const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// A connection that is made, to those who have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub usize);

#[derive(Debug)]
pub(super) struct Dial {
    pub(super) target: Target,
    pub(super) side: Side,
    /// The next pause.
    backoff: Duration,
    /// When it is tried again; `None` while it is connected or connecting.
    pub(super) due: Option<Duration>,
    /// The slot of its connection.
    pub(super) slot: Option<usize>,
}

impl Dial {
    pub(super) fn new(target: Target, side: Side) -> Self {
        Self { target, side, backoff: BACKOFF_MIN, due: None, slot: None }
    }

    /// It is up.
    pub(super) fn succeeded(&mut self) {
        self.backoff = BACKOFF_MIN;
    }

    /// It failed; when to try again.
    pub(super) fn failed(&mut self, now: Duration) -> Duration {
        let due = now + self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        (self.due, self.slot) = (Some(due), None);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Config;

    #[test]
    fn pauses_grow_until_it_is_up() {
        let side = Side::Switch(Config::default());
        let mut dial = Dial::new("tcp:127.0.0.1".parse().unwrap(), side);
        let seconds: Vec<u64> = (0..5).map(|_| dial.failed(Duration::ZERO).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 8]);
        dial.succeeded();
        assert_eq!(dial.failed(Duration::from_secs(100)), Duration::from_secs(101));
    }
}
