//! Where CPU time goes: the whole machine's from `/proc/stat`, a process's from `/proc/PID/stat` (proc(5)).

use std::fs;
use std::ops::{AddAssign, Sub};

use serde::{Deserialize, Serialize};

use crate::error::{During, Error, Result};

/// CPU seconds of the whole machine, by what they were spent on.
///
/// A kernel that counts ticks finds out what a CPU does a hundred times a second or so: shares come out right
/// under steady load, but work that begins with a timer and ends before the next tick is never seen. When a CPU is
/// idle is measured exactly, so the total is what was not idle, and the ticks only say how to divide it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Split {
    pub(crate) user: f64,
    pub(crate) system: f64,
    pub(crate) irq: f64,
    pub(crate) softirq: f64,
    /// Time the hypervisor gave to others: not spent by us, but a warning.
    pub(crate) steal: f64,
    /// Time nothing ran, or only input and output were waited for.
    pub(crate) idle: f64,
    /// Time that passed, on every CPU.
    pub(crate) passed: f64,
}

impl Split {
    /// Seconds spent working.
    pub(crate) fn busy(&self) -> f64 {
        (self.passed - self.idle - self.steal).max(0.0)
    }

    /// Seconds of work that ticks saw: what shares are taken of.
    pub(crate) fn seen(&self) -> f64 {
        self.user + self.system + self.irq + self.softirq
    }
}

impl Sub for Split {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
            irq: self.irq - earlier.irq,
            softirq: self.softirq - earlier.softirq,
            steal: self.steal - earlier.steal,
            idle: self.idle - earlier.idle,
            passed: self.passed - earlier.passed,
        }
    }
}

impl AddAssign for Split {
    fn add_assign(&mut self, other: Self) {
        self.user += other.user;
        self.system += other.system;
        self.irq += other.irq;
        self.softirq += other.softirq;
        self.steal += other.steal;
        self.idle += other.idle;
        self.passed += other.passed;
    }
}

/// What the machine has spent since it started.
pub(crate) fn machine() -> Result<Split> {
    let text = fs::read_to_string("/proc/stat").during("read /proc/stat")?;
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    #[expect(clippy::cast_precision_loss, reason = "seconds and nanoseconds since boot")]
    let since_boot = uptime.tv_sec as f64 + uptime.tv_nsec as f64 / 1e9;
    parse_machine(&text, since_boot).ok_or_else(|| malformed("/proc/stat", &text))
}

/// `cpu user nice system idle iowait irq softirq steal …`, in ticks; then a line for each CPU that is online.
#[expect(clippy::cast_precision_loss, reason = "CPUs")]
fn parse_machine(text: &str, since_boot: f64) -> Option<Split> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let second = ticks_per_second();
    let at = |index: usize| ticks.get(index).map(|count| count / second);
    let cpus = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
    Some(Split {
        user: at(0)? + at(1)?,
        system: at(2)?,
        irq: at(5)?,
        softirq: at(6)?,
        steal: at(7)?,
        idle: at(3)? + at(4)?,
        passed: since_boot * cpus as f64,
    })
}

/// CPU seconds of some processes: in their own code, and in the kernel for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Spent {
    pub(crate) fn total(&self) -> f64 {
        self.user + self.system
    }
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { user: self.user - earlier.user, system: self.system - earlier.system }
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.user += other.user;
        self.system += other.system;
    }
}

/// What the processes have spent since they started. One that is gone counts nothing.
pub(crate) fn processes(pids: &[u32]) -> Spent {
    let mut sum = Spent::default();
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        sum += parse_process(&text).unwrap_or_default();
    }
    sum
}

/// Fields 14 and 15, counted after the name, which may hold spaces and parentheses.
fn parse_process(text: &str) -> Option<Spent> {
    let (_, fields) = text.rsplit_once(')')?;
    let ticks: Vec<&str> = fields.split_whitespace().collect();
    let second = ticks_per_second();
    let at = |index: usize| ticks.get(index)?.parse::<f64>().ok().map(|count| count / second);
    Some(Spent { user: at(11)?, system: at(12)? })
}

#[expect(clippy::cast_precision_loss, reason = "a hundred or so")]
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// How many CPUs this process may use.
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn malformed(place: &str, text: &str) -> Error {
    Error::Malformed { place: place.into(), text: text.chars().take(80).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_line_is_read_by_position() {
        let text = "cpu  100 100 300 4000 50 60 70 80 0 0\ncpu0 1 2 3 4\ncpu1 1 2 3 4\nintr 5\n";
        let split = parse_machine(text, 100.0).unwrap();
        let second = ticks_per_second();
        assert_eq!(split.user, 200.0 / second);
        assert_eq!(split.softirq, 70.0 / second);
        assert_eq!(split.seen(), (200.0 + 300.0 + 60.0 + 70.0) / second);
        assert_eq!(split.busy(), 200.0 - (4000.0 + 50.0 + 80.0) / second);
        assert_eq!(parse_machine("cpu  1 2 3\n", 1.0), None);
    }

    #[test]
    fn a_process_may_be_called_anything() {
        let text = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 9 0 0\n";
        let second = ticks_per_second();
        assert_eq!(parse_process(text), Some(Spent { user: 250.0 / second, system: 50.0 / second }));
        assert_eq!(parse_process("7 (sh"), None);
    }

    #[test]
    fn work_is_counted() {
        let before = (machine().unwrap(), processes(&[std::process::id()]));
        let started = std::time::Instant::now();
        let mut sum = 0u64;
        while started.elapsed().as_millis() < 300 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
        }
        assert!((processes(&[std::process::id()]) - before.1).total() > 0.0);
        assert!((machine().unwrap() - before.0).busy() > 0.0);
    }
}
