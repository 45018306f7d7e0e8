//! Naming a process so that the name never comes to mean another one.

use std::fs;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

use crate::error::{During, Error, Result};

/// A process, for all time: its number and the moment it started. Numbers are used again; pairs are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number in the host's process namespace.
    pub pid: u32,
    /// When it started, in clock ticks after boot (field 22 of proc_pid_stat(5)).
    pub start_time: u64,
}

impl ProcessId {
    /// The process that calls.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn current() -> Result<Self> {
        // Through /proc and not getpid(2): inside a new process namespace the old /proc still tells the host's number.
        let stat = fs::read_to_string("/proc/self/stat").during("read", "/proc/self/stat")?;
        let pid = stat.split(' ').next().and_then(|pid| pid.parse().ok());
        let start_time = start_time(&stat);
        pid.zip(start_time)
            .map(|(pid, start_time)| Self { pid, start_time })
            .ok_or_else(|| Error::Message(format!("/proc/self/stat: {stat}")))
    }

    /// The process that has this number now.
    ///
    /// # Errors
    /// There is none.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).during("read", &path)?;
        let start_time = start_time(&stat).ok_or_else(|| Error::Message(format!("{path}: {stat}")))?;
        Ok(Self { pid, start_time })
    }

    /// Whether it still runs. One that has ended but was not yet waited for does not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return false };
        start_time(&stat) == Some(self.start_time) && !matches!(state(&stat), Some('Z' | 'X'))
    }

    /// A handle that stays tied to this process, or `None` when it has ended.
    #[must_use]
    pub fn open(self) -> Option<OwnedFd> {
        self.handle().filter(|_| self.is_alive())
    }

    /// A handle even of a process that has ended and was not yet waited for.
    fn handle(self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Checked after the handle was made: if it is right now, the handle was made for the right process.
        Self::of(self.pid).is_ok_and(|now| now == self).then_some(handle)
    }

    /// Sends a signal; says whether the process was there to receive it.
    ///
    /// # Errors
    /// The caller may not signal it.
    pub fn kill(self, signal: Signal) -> Result<bool> {
        let Some(handle) = self.open() else { return Ok(false) };
        match rustix::process::pidfd_send_signal(&handle, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error).during("signal process", self.pid),
        }
    }

    /// Waits for its end, that of all its threads; says whether it has ended.
    #[must_use]
    pub fn wait(self, limit: Duration) -> bool {
        // Its first thread may be a zombie while others still hold its sockets: only the handle knows of those.
        let Some(handle) = self.handle() else { return true };
        let limit =
            rustix::event::Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        let mut polled = [PollFd::new(&handle, PollFlags::IN)];
        matches!(rustix::event::poll(&mut polled, Some(&limit)), Ok(1)) || !self.is_alive()
    }

    /// Path of one of its namespaces (`net`, `user`, `mnt`, …).
    #[must_use]
    pub fn namespace(self, kind: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/{kind}", self.pid))
    }
}

/// Closes every descriptor but standard input, output and error: those that the program was started with, by its
/// caller or its caller's caller, and never learnt of. Only for a process that has opened nothing yet.
///
/// # Errors
/// The process has several threads, which may have.
pub fn close_inherited() -> Result<()> {
    OneThread::check()?;
    crate::sys::close_all_but(&mut [0, 1, 2]);
    Ok(())
}

/// The fields after the command name, which may itself hold spaces and parentheses.
fn after_name(stat: &str) -> Option<&str> {
    stat.rfind(')').and_then(|end| stat.get(end + 2..))
}

fn start_time(stat: &str) -> Option<u64> {
    after_name(stat)?.split(' ').nth(19)?.parse().ok()
}

fn state(stat: &str) -> Option<char> {
    after_name(stat)?.chars().next()
}

/// Proof that the process has one thread: after fork(2) only the calling one is left, and setns(2) into a user
/// namespace wants exactly one. Whoever holds it starts no thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OneThread(PhantomData<*const ()>);

impl OneThread {
    pub(crate) fn check() -> Result<Self> {
        let threads = fs::read_dir("/proc/self/task").during("list", "/proc/self/task")?.count();
        if threads == 1 { Ok(Self(PhantomData)) } else { Err(Error::ManyThreads(threads)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_confuse() {
        let mut stat = String::from("7 (a) b) c) S 1");
        for field in 5..=22 {
            stat.push_str(&format!(" {field}"));
        }
        assert_eq!((start_time(&stat), state(&stat)), (Some(22), Some('S')));
        assert_eq!(start_time("7 (x"), None);
    }

    #[test]
    fn a_process_is_alive_until_it_ends_and_is_never_another() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        assert!(id.is_alive() && !id.wait(Duration::ZERO));
        let other = ProcessId { start_time: id.start_time - 1, ..id };
        assert!(!other.is_alive() && !other.kill(Signal::KILL).unwrap());
        assert!(id.is_alive(), "a signal for an older process of this number must not arrive");
        assert!(id.kill(Signal::KILL).unwrap());
        assert!(id.wait(Duration::from_secs(5)));
        assert!(!id.is_alive(), "a zombie is not alive");
        child.wait().unwrap();
    }

    #[test]
    fn the_current_process_is_found() {
        assert_eq!(ProcessId::current().unwrap(), ProcessId::of(std::process::id()).unwrap());
    }
}
