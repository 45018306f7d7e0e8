//! The processes that carry a deployment: how they are started, how they say that they are ready, and how every
//! one of them is found again.
//!
//! A process is this same program under a hidden subcommand. It inherits [`MARK`] in its environment, so that a
//! command that was killed between starting a process and noting it leaves nothing that cannot be found. The mark
//! is in `/proc/PID/environ` from the program's first instruction on, but not before: a forked child still shows its
//! parent's environment, and one in the middle of execve(2) shows none. So the child inherits the deployment's lock as
//! well, and lets go of it when its program runs ([`RoleContext::from_env`]): whoever holds the lock finds every process
//! that was ever started under it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use host::{Container, Enter, ProcessId, Sandbox};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::store::{Deployment, Role};
use super::{During, RuntimeError};

/// The environment variable that names the deployment's directory in each of its processes.
const MARK: &str = "WEFT_DEPLOYMENT";

/// How a process that starts says how it went, in one line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Started {
    Ready,
    Failed(String),
}

/// What a hidden subcommand is started with.
#[derive(Clone, Debug)]
pub struct RoleContext {
    pub(super) deployment: Deployment,
    pub(super) sandbox: Sandbox,
}

impl RoleContext {
    /// Reads what the starting command said, and lets go of its lock. The process must have one thread and have opened
    /// nothing yet.
    ///
    /// # Errors
    /// When it was not started by a command of ours.
    pub fn from_env() -> Result<Self, RuntimeError> {
        host::close_inherited()?;
        let store = super::Store::from_env()?;
        let directory = std::env::var_os(MARK).map(PathBuf::from);
        let name = directory.as_deref().and_then(|path| path.file_name()).and_then(OsStr::to_str);
        let deployment = store.deployment(name.ok_or(RuntimeError::NotAUser)?);
        Ok(Self { deployment, sandbox: Sandbox::detect() })
    }

    /// Enters the deployment's user namespace, and its network too if asked.
    pub(super) fn enter(&self, what: Enter) -> Result<ProcessId, RuntimeError> {
        let holder = self.deployment.holder()?.ok_or(RuntimeError::NoSandbox)?;
        self.sandbox.enter(holder, what)?;
        Ok(holder)
    }

    /// Notes the calling process as the one in this role, tells the starting command that all is well, and lets go of
    /// it. A process that is noted is one that can be counted on, even when its command was killed and hears nothing any
    /// more; one that is not yet so is a stray then.
    pub(super) fn ready(&self, role: Role) -> io::Result<()> {
        let noted =
            ProcessId::current().map_err(RuntimeError::from).and_then(|own| self.deployment.note(role, own));
        noted.map_err(io::Error::other)?;
        let _ = say(&Started::Ready);
        let null = File::options().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(null)?;
        Ok(())
    }
}

/// Runs the body of a long-lived role: in a session of its own, and with its failure told to whoever started it.
pub(super) fn run_role(
    context: &RoleContext,
    body: impl FnOnce(&RoleContext) -> Result<(), RuntimeError>,
) -> Result<(), RuntimeError> {
    // Not in a session of our own yet, unless somebody made us a group leader; then we need none.
    let _ = rustix::process::setsid();
    let result = body(context);
    if let Err(error) = &result {
        let _ = say(&Started::Failed(error.to_string()));
    }
    result
}

fn say(started: &Started) -> io::Result<()> {
    let mut line = serde_json::to_vec(started)?;
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    io::stdout().flush()
}

/// This program under a hidden subcommand, marked as the deployment's.
pub(super) fn command(deployment: &Deployment, subcommand: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("weft").arg(subcommand).env(MARK, deployment.directory());
    command
}

/// Starts a long-lived process and waits until it is ready.
pub(super) fn start(deployment: &Deployment, role: Role) -> Result<(), RuntimeError> {
    let log = File::options()
        .append(true)
        .create(true)
        .open(deployment.log(role))
        .during("open the log of a process")?;
    let subcommand = format!("__{}", role.name());
    let mut child = command(deployment, &subcommand)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .current_dir("/")
        .spawn()
        .during("start a process")?;
    let reason = match first_line(&mut child) {
        Ok(Started::Ready) => return Ok(()),
        Ok(Started::Failed(reason)) => reason,
        Err(_) => format!("it ended at once; its last words are in {}", deployment.log(role).display()),
    };
    let _ = (child.kill(), child.wait());
    Err(RuntimeError::Process { role: role.name(), reason })
}

fn first_line(child: &mut Child) -> io::Result<Started> {
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Every living process that carries this deployment's mark, the calling one and its parents excepted.
pub(super) fn marked(deployment: &Deployment) -> Vec<ProcessId> {
    let mut wanted = format!("{MARK}=").into_bytes();
    wanted.extend_from_slice(deployment.directory().as_os_str().as_bytes());
    let own = std::process::id();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let carries = |pid: &u32| {
        // A process of another user cannot be read, and is not ours to end.
        std::fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == wanted))
    };
    numbers.filter(|pid| *pid != own).filter(carries).filter_map(|pid| ProcessId::of(pid).ok()).collect()
}

/// Marked processes that nobody noted: a command was killed before they were ready, or they are its launcher, which
/// would go on making containers.
pub(super) fn strays(deployment: &Deployment, containers: &[Container]) -> Vec<ProcessId> {
    let carriers = Role::ALL.iter().filter_map(|role| deployment.process(*role).ok().flatten());
    let inits = containers.iter().filter_map(|container| Some(container.status().ok()??.init));
    let known: HashSet<ProcessId> = inits.chain(carriers).collect();
    marked(deployment).into_iter().filter(|process| !known.contains(process)).collect()
}

/// Ends what `look` finds, until it finds nothing: what ends may have started something a moment before. Says how many
/// there were.
pub(super) fn end_all(
    mut look: impl FnMut() -> Result<Vec<ProcessId>, RuntimeError>,
) -> Result<usize, RuntimeError> {
    /// Processes that are killed start nothing; a look that still finds some after so many is not to be trusted.
    const LOOKS_MAX: usize = 16;
    let mut ended = 0;
    for _ in 0..LOOKS_MAX {
        let found = look()?;
        if found.is_empty() {
            return Ok(ended);
        }
        if let Some(stuck) = end(&found).first() {
            return Err(RuntimeError::WouldNotEnd { pid: stuck.pid });
        }
        ended += found.len();
    }
    match look()?.first() {
        Some(left) => Err(RuntimeError::WouldNotEnd { pid: left.pid }),
        None => Ok(ended),
    }
}

/// Ends processes for good and waits until they are gone; says which would not go.
pub(super) fn end(processes: &[ProcessId]) -> Vec<ProcessId> {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
    for process in processes {
        let _ = process.kill(Signal::KILL);
    }
    processes.iter().copied().filter(|process| !process.wait(PATIENCE)).collect()
}
