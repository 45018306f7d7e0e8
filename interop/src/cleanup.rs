//! What must be taken away again, on every way out: return, error, panic, Ctrl-C and SIGTERM.
//!
//! Each [`Guard`] stands for one thing made on the machine. Dropping it takes the thing away; a signal takes
//! away everything that is registered, newest first, and ends the process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{During, Result};

/// Exit code after an interruption: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// How one thing is taken away.
#[derive(Debug)]
enum Undo {
    /// A process we started and have not waited for.
    Kill(Pid),
    /// A named network namespace.
    Namespace(String),
    /// A directory of ours and everything in it.
    Directory(PathBuf),
    /// A command that cleans up, given by program, arguments and environment.
    Run { program: PathBuf, arguments: Vec<String>, variable: (&'static str, PathBuf) },
}

impl Undo {
    fn run(&self) {
        match self {
            // It may have ended by itself; not being there is what we want.
            Self::Kill(pid) => {
                let _ = kill_process(*pid, Signal::KILL);
                let _ = waitpid(Some(*pid), WaitOptions::empty());
            }
            Self::Namespace(name) => quietly(Command::new("ip").args(["netns", "del", name])),
            Self::Directory(path) => drop(std::fs::remove_dir_all(path)),
            Self::Run { program, arguments, variable: (name, value) } => {
                quietly(Command::new(program).args(arguments).env(name, value));
            }
        }
    }
}

fn quietly(command: &mut Command) {
    drop(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status());
}

#[derive(Debug, Default)]
struct Registry {
    next: u64,
    made: BTreeMap<u64, Undo>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { next: 0, made: BTreeMap::new() });

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stands for one thing made on the machine; dropping it takes that away.
#[derive(Debug)]
#[must_use]
pub(crate) struct Guard(u64);

impl Guard {
    fn new(undo: Undo) -> Self {
        let mut registry = registry();
        registry.next += 1;
        let key = registry.next;
        registry.made.insert(key, undo);
        Self(key)
    }

    /// Removes the named network namespace.
    pub(crate) fn namespace(name: &str) -> Self {
        Self::new(Undo::Namespace(name.to_owned()))
    }

    /// Removes the directory with all that is in it.
    pub(crate) fn directory(path: &Path) -> Self {
        Self::new(Undo::Directory(path.to_owned()))
    }

    /// Runs a command.
    pub(crate) fn command(program: &Path, arguments: &[&str], name: &'static str, value: &Path) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self::new(Undo::Run { program: program.to_owned(), arguments, variable: (name, value.to_owned()) })
    }

    /// Kills the process, which the caller reaps through [`Guard::release_if`].
    pub(crate) fn process(pid: Pid) -> Self {
        Self::new(Undo::Kill(pid))
    }

    /// Forgets the thing if `gone` says it is no longer there. No signal handler runs in between, so a process
    /// id that was reaped is never killed.
    pub(crate) fn release_if<T>(&self, gone: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut registry = registry();
        let value = gone()?;
        registry.made.remove(&self.0);
        Some(value)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let undo = registry().made.remove(&self.0);
        if let Some(undo) = undo {
            undo.run();
        }
    }
}

/// From here on SIGINT and SIGTERM clean up before they end the process.
pub(crate) fn on_signals() -> Result<()> {
    static STARTED: OnceLock<()> = OnceLock::new();
    if STARTED.set(()).is_err() {
        return Ok(());
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().during("wait for signals")?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt()).during("catch SIGINT")?,
            signal(SignalKind::terminate()).during("catch SIGTERM")?,
        )
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        // Held until the end: nothing new is made, and guards that are dropped meanwhile wait.
        let mut registry = registry();
        eprintln!("interop: interrupted, cleaning up");
        while let Some((_, undo)) = registry.made.pop_last() {
            undo.run();
        }
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

/// Removes namespaces that an earlier run left because it was killed: `wbPID…` of a process that is gone.
pub(crate) fn sweep() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let Some(rest) = name.strip_prefix("wb") else { continue };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if !digits.is_empty() && !Path::new("/proc").join(digits).exists() {
            Undo::Namespace(name).run();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_takes_away_what_it_stands_for() {
        let directory = std::env::temp_dir().join(format!("wb{}-guard", std::process::id()));
        std::fs::create_dir_all(directory.join("inside")).unwrap();
        let guard = Guard::directory(&directory);
        assert!(directory.exists());
        drop(guard);
        assert!(!directory.exists());
    }

    #[test]
    fn what_is_released_is_left_alone() {
        let directory = std::env::temp_dir().join(format!("wb{}-released", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let guard = Guard::directory(&directory);
        assert_eq!(guard.release_if(|| None::<()>), None);
        assert_eq!(guard.release_if(|| Some(7)), Some(7));
        drop(guard);
        assert!(directory.exists());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
