//! Ending containers and taking away what they left.
//!
//! Namespaces, mounts and interfaces are held by processes only, so killing a container's init takes
//! them. What remains is on disk and in cgroupfs, and the journal names it. Stopping is the same after
//! an orderly run, after a crash in the middle of a launch, and when there is nothing to stop.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::FlockOperation;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::cgroup;
use crate::error::{During, Error, Result};
use crate::layout::Container;

/// How long a killed process may take to disappear.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// Threads that take away directories and cgroups.
const CLEANERS: usize = 4;
/// Deepest directory removed.
const DEPTH_MAX: usize = 4096;

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOptions {
    /// How long commands may take to end by themselves after SIGTERM.
    pub grace: Duration,
    /// Whether logs, status and journal stay on disk.
    pub keep_logs: bool,
}

impl Default for StopOptions {
    fn default() -> Self {
        Self { grace: Duration::from_millis(1000), keep_logs: false }
    }
}

/// Stops containers all at once: one grace period for all. One result for each, in order.
/// A container that does not run is only cleaned up, one that is not there is a success.
#[must_use]
pub fn stop_many(containers: &[Container], options: StopOptions) -> Vec<Result<()>> {
    let inits: Vec<Option<OwnedFd>> = containers.iter().map(open_init).collect();
    signal_all(&inits, Signal::TERM);
    wait_all(&inits, options.grace);
    signal_all(&inits, Signal::KILL);
    wait_all(&inits, KILL_LIMIT);
    clean_all(containers, options)
}

/// Stops one container.
///
/// # Errors
/// Its process cannot be killed or its traces cannot be removed.
pub fn stop(container: &Container, options: StopOptions) -> Result<()> {
    stop_many(std::slice::from_ref(container), options).pop().unwrap_or(Ok(()))
}

fn open_init(container: &Container) -> Option<OwnedFd> {
    container.status().ok().flatten()?.init.open()
}

fn signal_all(inits: &[Option<OwnedFd>], signal: Signal) {
    for init in inits.iter().flatten() {
        // One that has ended needs no signal.
        let _ = rustix::process::pidfd_send_signal(init, signal);
    }
}

/// Waits until all have ended or the time is over.
fn wait_all(inits: &[Option<OwnedFd>], limit: Duration) {
    let deadline = Instant::now() + limit;
    for init in inits.iter().flatten() {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let _ = rustix::event::poll(&mut [PollFd::new(init, PollFlags::IN)], Some(&left));
    }
}

fn clean_all(containers: &[Container], options: StopOptions) -> Vec<Result<()>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((at, container)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, containers.get(at)?)))
        {
            done.push((at, clean(container, options)));
        }
        done
    };
    let mut results: Vec<_> = if containers.len() < CLEANERS {
        work()
    } else {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..CLEANERS).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        })
    };
    results.sort_unstable_by_key(|&(at, _)| at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Takes away what a container without processes left.
fn clean(container: &Container, options: StopOptions) -> Result<()> {
    let directory = container.directory();
    if !directory.exists() {
        return Ok(());
    }
    // An unreadable journal must not keep the rest from being taken away.
    let cgroups = container.journal().ok().flatten().map(|journal| journal.cgroups).unwrap_or_default();
    // Kills first whatever an init that could not write its status has started.
    let failures = cgroup::remove(&cgroups);
    wait_for_lock(container)?;
    remove_tree(&container.ready_mark())?;
    if options.keep_logs {
        for path in [container.layers(), container.bases(), container.root(), container.bundle()] {
            remove_tree(&path)?;
        }
    } else {
        remove_tree(directory)?;
        remove_empty_parents(container);
    }
    match failures.into_iter().next() {
        None => Ok(()),
        Some(failure) => Err(Error::Message(failure)),
    }
}

/// The lock is free once no process of the container's making is left, even one whose status nobody ever saw.
fn wait_for_lock(container: &Container) -> Result<()> {
    let Ok(lock) = fs::File::open(container.lock()) else { return Ok(()) };
    let deadline = Instant::now() + KILL_LIMIT;
    loop {
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(_) if Instant::now() < deadline => {
                // It may have told its number only now.
                if let Some(init) = open_init(container) {
                    let _ = rustix::process::pidfd_send_signal(&init, Signal::KILL);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(_) => return Err(Error::AlreadyRunning(container.name().into())),
        }
    }
}

/// The directories above a container go with the last one. `containers/`, the skeleton, then the deployment's own.
/// That of the ready marks stays, since it is watched.
pub(crate) fn remove_empty_parents(container: &Container) {
    let Some(containers) = container.directory().parent() else { return };
    if fs::remove_dir(containers).is_ok()
        && let Some(deployment) = containers.parent()
    {
        let _ = remove_tree(&crate::layout::Deployment::new(deployment).skeleton());
    }
}

/// Removes a directory and all in it, following no links; that it is not there is a success. Overlays leave
/// directories without any permission behind, which only root may enter.
///
/// # Errors
/// Something in it cannot be removed.
pub fn remove_tree(path: &Path) -> Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).during("look at", path.display()),
        Ok(meta) => meta,
    };
    if !meta.is_dir() {
        return fs::remove_file(path).during("remove", path.display());
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path, 0);
            fs::remove_dir_all(path).during("remove", path.display())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.during("remove", path.display()),
    }
}

fn open_up(directory: &Path, depth: usize) {
    let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o700));
    if depth < DEPTH_MAX
        && let Ok(entries) = fs::read_dir(directory)
    {
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            open_up(&entry.path(), depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Deployment;

    #[test]
    fn stopping_nothing_is_a_success() {
        let directory = tempfile::tempdir().unwrap();
        let container = Deployment::new(directory.path()).container("never-was");
        assert_eq!(stop(&container, StopOptions::default()), Ok(()));
    }

    #[test]
    fn remains_of_a_crash_are_removed_whatever_their_state() {
        let directory = tempfile::tempdir().unwrap();
        let deployment = Deployment::new(directory.path());
        let container = deployment.container("torn");
        fs::create_dir_all(container.layers().join("root/work/work")).unwrap();
        fs::set_permissions(container.layers().join("root/work/work"), fs::Permissions::from_mode(0o0))
            .unwrap();
        fs::write(container.directory().join("status.json"), "{half").unwrap();
        fs::write(container.directory().join("journal.json"), "").unwrap();
        std::os::unix::fs::symlink("/etc", container.layers().join("etc")).unwrap();
        assert_eq!(stop(&container, StopOptions::default()), Ok(()));
        assert_eq!(deployment.containers().unwrap(), []);
        assert!(Path::new("/etc/passwd").exists());
    }
}
