//! Work that needs a process with one thread and the right user namespace, done by a child of the caller.
//!
//! A program that uses this crate has a hidden subcommand that calls [`serve`] before it starts any
//! thread, and starts itself with it:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use host::helper::{self, Request};
//! if std::env::args().nth(1).as_deref() == Some("host-helper") {
//!     std::process::exit(helper::serve());
//! }
//! let mut command = std::process::Command::new("/proc/self/exe");
//! command.arg("host-helper");
//! let request = Request::Launch { sandbox: host::Sandbox::detect(), member: None, specs: vec![] };
//! helper::call(&mut command, &request, |answer| println!("{answer:?}"))?;
//! # Ok(()) }
//! ```

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::error::{During, Error, Result};
use crate::layout::Deployment;
use crate::process::ProcessId;
use crate::sandbox::{Enter, Sandbox};
use crate::spec::ContainerSpec;
use crate::stop::StopOptions;

/// Largest request.
const REQUEST_BYTES_MAX: u64 = 1 << 30;
/// Longest answer line.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// What a helper shall do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Launch containers.
    Launch {
        /// Where the deployment lives.
        sandbox: Sandbox,
        /// A process of the deployment, to join its user namespace. Without one a rootless launch
        /// makes a user namespace that lives as long as its containers.
        member: Option<ProcessId>,
        /// The containers.
        specs: Vec<ContainerSpec>,
    },
    /// Stop containers and take away their traces.
    Stop {
        /// Where the deployment lives.
        sandbox: Sandbox,
        /// A process of the deployment that outlives this stop, if there is one.
        member: Option<ProcessId>,
        /// The deployment's state directory.
        state: PathBuf,
        /// Names of the containers; all that left a trace when absent.
        names: Option<Vec<String>>,
        /// How.
        options: StopOptions,
    },
}

/// What a helper has done, one for each container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A container runs, or why not. The number is its place in the request.
    Launched(usize, Result<crate::launch::Launched>),
    /// A container is gone, or why not.
    Stopped(String, Result<()>),
    /// Nothing could be done at all.
    Failed(Error),
    /// All has been done.
    Done,
}

/// Does what the request on standard input asks for, answers on standard output, and returns the exit
/// code. Must be called while the process has one thread.
#[must_use]
pub fn serve() -> i32 {
    // A caller that went away must not stop the work half-way.
    crate::sys::ignore_signal(libc::SIGPIPE);
    let mut text = Vec::new();
    let read =
        std::io::stdin().lock().take(REQUEST_BYTES_MAX).read_to_end(&mut text).during("read", "the request");
    let request =
        read.and_then(|_| serde_json::from_slice(&text).map_err(|error| Error::Message(error.to_string())));
    drop(text);
    let outcome = request.and_then(work);
    let code = i32::from(outcome.is_err());
    answer(&outcome.map_or_else(Answer::Failed, |()| Answer::Done));
    code
}

fn work(request: Request) -> Result<()> {
    match request {
        Request::Launch { sandbox, member, specs } => {
            join(sandbox, member)?;
            crate::launch::launch(specs, |index, outcome| answer(&Answer::Launched(index, outcome)))
        }
        Request::Stop { sandbox, member, state, names, options } => {
            let deployment = Deployment::new(&state);
            let containers = match names {
                Some(names) => names.iter().map(|name| deployment.container(name)).collect(),
                None => deployment.containers()?,
            };
            // Files of other users of the namespace can only be removed from within one with the same map.
            join(sandbox, member)?;
            for (container, outcome) in containers.iter().zip(crate::stop::stop_many(&containers, options)) {
                answer(&Answer::Stopped(container.name().into(), outcome));
            }
            Ok(())
        }
    }
}

fn join(sandbox: Sandbox, member: Option<ProcessId>) -> Result<()> {
    match member.filter(|member| member.is_alive()) {
        Some(member) => sandbox.enter(member, Enter::User),
        None => sandbox.create_here(),
    }
}

fn answer(answer: &Answer) {
    if let Ok(mut line) = serde_json::to_vec(answer) {
        line.push(b'\n');
        let _ = std::io::stdout().lock().write_all(&line);
        let _ = std::io::stdout().lock().flush();
    }
}

/// Starts `command`, which must end up in [`serve`], and passes its answers on as they come.
///
/// # Errors
/// The helper could not be started, could not do anything, or died in the middle.
pub fn call(command: &mut Command, request: &Request, mut each: impl FnMut(Answer)) -> Result<()> {
    let text = serde_json::to_vec(request).map_err(|error| Error::Message(error.to_string()))?;
    let what = format!("{}", command.get_program().display());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().during("start helper", &what)?;
    let mut outcome = Err(Error::Died("helper".into(), "its work".into()));
    if let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) {
        // It reads all before it answers, so this cannot wait for it while it waits for this.
        let _ = stdin.write_all(&text);
        drop(stdin);
        let mut lines = BufReader::new(stdout);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut lines).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(1..) => {}
                _ => break,
            }
            match serde_json::from_slice(&line) {
                Ok(Answer::Done) => outcome = Ok(()),
                Ok(Answer::Failed(error)) => outcome = Err(error),
                Ok(answer) => each(answer),
                Err(error) => outcome = Err(Error::Message(error.to_string())),
            }
        }
    }
    let _ = child.wait();
    outcome
}
