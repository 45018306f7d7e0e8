//! Whether a container does its work: when it is asked, and what the answers amount to.
//!
//! ```text
//!              an answer                 `retries` failures in a row
//!   starting ─────────────▶ healthy ──────────────────────────────▶ unhealthy
//!      │                       ▲                                        │
//!      │                       └────────────── an answer ───────────────┘
//!      └─ `retries` failures in a row after the start period ──────────▲
//! ```
//!
//! Nothing here waits or looks at a clock: outcomes and the time go in, the time of the next question comes out.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::status::now_ms;

/// Pause before the first question, and between the first two; it doubles until it is the interval.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How it is found out whether a container does its work: its init asks, inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSpec {
    /// What is asked.
    pub probe: Probe,
    /// Pause between two checks. While the command starts they are made sooner.
    pub interval_ms: u32,
    /// How long a check may take.
    pub timeout_ms: u32,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// How long after the command's start failures do not count, unless a check has succeeded before.
    pub start_period_ms: u32,
    /// Failures in a row after which the command is started anew, whatever the restart policy; never when absent.
    pub restart_after: Option<u32>,
}

/// A question that a healthy container answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// A command, run as the container's user, that ends with code 0.
    Command(Vec<String>),
    /// A page whose status is 200 to 399.
    Http {
        /// Its port, at the container's own address.
        port: u16,
        /// Its path and query.
        path: String,
    },
    /// A port, at the container's own address, that accepts a connection.
    Tcp {
        /// The port.
        port: u16,
    },
}

impl HealthSpec {
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        for (field, value) in
            [("interval", self.interval_ms), ("timeout", self.timeout_ms), ("retries", self.retries)]
        {
            if value == 0 {
                return Err(Error::invalid(&format!("health check {field} of container"), name, "is zero"));
            }
        }
        let bad = |reason| Err(Error::invalid("health check of container", name, reason));
        match &self.probe {
            Probe::Command(words) if words.first().is_none_or(String::is_empty) => {
                bad("has an empty command")
            }
            Probe::Command(words) if words.iter().any(|word| word.contains('\0')) => bad("holds a zero byte"),
            Probe::Http { path, .. }
                if !path.starts_with('/') || path.contains(|c: char| c.is_control() || c == ' ') =>
            {
                bad("has a path that is none")
            }
            _ => Ok(()),
        }
    }
}

/// What the checks of a container have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It has not answered since its command started, and may not be ready.
    Starting,
    /// It answers.
    Healthy,
    /// It failed to answer more often than is allowed.
    Unhealthy,
}

/// What the checks of a container have shown, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthStatus {
    /// The verdict.
    pub state: Health,
    /// Failures in a row.
    pub failures: u32,
    /// Why the last check failed; absent when it did not.
    pub message: Option<String>,
    /// When the verdict last changed, in milliseconds after 1970.
    pub changed_ms: u64,
}

/// What an outcome leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Consequence {
    /// The status is another one.
    pub(crate) told: bool,
    /// The command is to be started anew.
    pub(crate) restart: bool,
}

/// The checks of one container.
#[derive(Debug)]
pub(crate) struct Checks {
    spec: HealthSpec,
    status: HealthStatus,
    started: Instant,
    next: Instant,
    pause: Duration,
}

impl Checks {
    /// Of a command that starts now.
    pub(crate) fn new(spec: HealthSpec, now: Instant) -> Self {
        let status =
            HealthStatus { state: Health::Starting, failures: 0, message: None, changed_ms: now_ms() };
        Self { spec, status, started: now, next: now + FIRST_PAUSE, pause: FIRST_PAUSE }
    }

    /// The command starts anew.
    pub(crate) fn restarted(&mut self, now: Instant) {
        *self = Self::new(self.spec.clone(), now);
    }

    pub(crate) fn status(&self) -> &HealthStatus {
        &self.status
    }

    pub(crate) fn spec(&self) -> &HealthSpec {
        &self.spec
    }

    /// When the next check is due.
    pub(crate) fn due(&self) -> Instant {
        self.next
    }

    /// Takes what came of a check.
    pub(crate) fn outcome(&mut self, now: Instant, outcome: std::result::Result<(), String>) -> Consequence {
        let before = self.status.clone();
        let interval = ms(self.spec.interval_ms);
        match outcome {
            Ok(()) => {
                (self.status.state, self.status.failures, self.status.message) = (Health::Healthy, 0, None);
                self.next = now + interval;
            }
            Err(message) => {
                self.status.message = Some(message);
                let starting = self.status.state == Health::Starting;
                if starting && now < self.started + ms(self.spec.start_period_ms) {
                    self.next = now + self.pause.min(interval);
                    self.pause = (self.pause * 2).min(interval);
                } else {
                    self.status.failures = self.status.failures.saturating_add(1);
                    if self.status.failures >= self.spec.retries {
                        self.status.state = Health::Unhealthy;
                    }
                    self.next = now + interval;
                }
            }
        }
        if self.status.state != before.state {
            self.status.changed_ms = now_ms();
        }
        let most = self.spec.restart_after.unwrap_or(u32::MAX);
        Consequence { told: self.status != before, restart: self.status.failures >= most }
    }
}

fn ms(count: u32) -> Duration {
    Duration::from_millis(count.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> HealthSpec {
        HealthSpec {
            probe: Probe::Tcp { port: 80 },
            interval_ms: 1000,
            timeout_ms: 100,
            retries: 3,
            start_period_ms: 2000,
            restart_after: Some(5),
        }
    }

    fn failed() -> std::result::Result<(), String> {
        Err("no".into())
    }

    #[test]
    fn failures_while_it_starts_do_not_count() {
        let now = Instant::now();
        let mut checks = Checks::new(spec(), now);
        let mut asked = 0;
        while checks.due() < now + ms(2000) {
            asked += 1;
            let due = checks.due();
            checks.outcome(due, failed());
            assert_eq!((checks.status().state, checks.status().failures), (Health::Starting, 0));
        }
        assert!((5..9).contains(&asked), "soon at first, then more seldom: {asked}");
        for turn in 1..=3 {
            let due = checks.due();
            checks.outcome(due, failed());
            assert_eq!(checks.status().failures, turn);
        }
        assert_eq!(checks.status().state, Health::Unhealthy);
    }

    #[test]
    fn one_answer_is_enough_and_failures_must_be_in_a_row() {
        let mut now = Instant::now();
        let mut checks = Checks::new(spec(), now);
        let mut ask = |outcome| {
            now = checks.due();
            let consequence = checks.outcome(now, outcome);
            (checks.status().state, consequence.told, consequence.restart)
        };
        assert_eq!(ask(Ok(())), (Health::Healthy, true, false));
        assert_eq!(ask(Ok(())), (Health::Healthy, false, false), "nothing new");
        assert_eq!(ask(failed()), (Health::Healthy, true, false));
        assert_eq!(ask(failed()), (Health::Healthy, true, false));
        assert_eq!(ask(Ok(())), (Health::Healthy, true, false));
        for state in [Health::Healthy, Health::Healthy, Health::Unhealthy, Health::Unhealthy] {
            assert_eq!(ask(failed()), (state, true, false));
        }
        assert_eq!(ask(failed()), (Health::Unhealthy, true, true), "the fifth in a row");
        assert_eq!(ask(Ok(())), (Health::Healthy, true, false));
    }
}
