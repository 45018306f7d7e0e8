//! Running a command inside a container that runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::process::{Pid, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::command::Prepared;
use crate::error::{During, Error, Result};
use crate::init::exit_of;
use crate::layout::Container;
use crate::process::OneThread;
use crate::sandbox::same_namespace;
use crate::status::Status;
use crate::sys::{self, Fork};

/// A command to run inside a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment on top of the container's own.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Working directory; the container's when absent.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// User; the container's when absent.
    #[serde(default)]
    pub user: Option<String>,
}

/// Runs a command inside a container with the caller's standard input, output and error (a terminal
/// stays a terminal) and returns its exit code, 128 + N when signal N ended it. The command ends when the calling
/// process is killed. The calling process
/// must have one thread, and afterwards is in the container's namespaces: it should end.
///
/// # Errors
/// The container does not run, belongs to another user, or lacks the command.
pub fn exec(container: &Container, exec: &ExecSpec) -> Result<i32> {
    let single = OneThread::check()?;
    let status = Status::observe(container)?.filter(Status::is_live);
    let init = status.ok_or_else(|| Error::NotRunning(container.name().into()))?.init;
    let journal = container.journal()?.ok_or_else(|| Error::NotRunning(container.name().into()))?;
    let mut spec = journal.spec;
    if exec.command.is_empty() {
        return Err(Error::invalid("command for container", container.name(), "is empty"));
    }
    spec.command.clone_from(&exec.command);
    spec.env.extend(exec.env.clone());
    spec.cwd = exec.cwd.clone().unwrap_or(spec.cwd);
    spec.user = exec.user.clone().or(spec.user);
    spec.check()?;
    let handle = init.open().ok_or_else(|| Error::NotRunning(container.name().into()))?;
    // While the paths of the host are still there. Only for the child: this process ends soon.
    crate::cgroup::join(journal.cgroups.iter());
    let mut namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWCGROUP;
    if !same_namespace(init, "user") {
        namespaces |= libc::CLONE_NEWUSER;
    }
    sys::setns(&handle, namespaces).during("enter container", container.name())?;
    if namespaces & libc::CLONE_NEWUSER != 0 {
        become_root().during("become root in container", container.name())?;
    }
    let command = Prepared::new(&spec)?;
    run(single, &command)
}

fn become_root() -> rustix::io::Result<()> {
    let (uid, gid) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

/// Forks into the process namespace entered before, and waits.
fn run(single: OneThread, command: &Prepared) -> Result<i32> {
    use std::io::{Read, Write};
    let (mut failure, failure_writer) = std::io::pipe().during("make", "a pipe")?;
    match sys::fork(single).during("fork", "the command")? {
        Fork::Child => {
            let mut failure_writer = File::from(OwnedFd::from(failure_writer));
            // Nothing of the caller's but its three standard streams.
            sys::default_signals();
            let error = command.run_with_caller(&failure_writer);
            let _ = failure_writer.write_all(&serde_json::to_vec(&error).unwrap_or_default());
            sys::exit_now(127)
        }
        Fork::Parent(pid) => {
            drop(failure_writer);
            // The terminal sends these to the command, too, which decides what they mean.
            sys::ignore_signal(libc::SIGINT);
            sys::ignore_signal(libc::SIGQUIT);
            let mut text = Vec::new();
            failure.read_to_end(&mut text).during("hear from", "the command")?;
            let code = wait(pid)?;
            if text.is_empty() {
                return Ok(code);
            }
            Err(serde_json::from_slice(&text).unwrap_or_else(|error| Error::Message(error.to_string())))
        }
    }
}

fn wait(pid: Pid) -> Result<i32> {
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                if let Some(exit) = exit_of(status) {
                    return Ok(exit.code());
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).during("wait for", "the command"),
        }
    }
}
