//! Processes of a cluster: started, in namespaces of their own, and ended with all that they have started.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use host::ProcessId;
use rustix::process::Signal;

use super::LiveError;

/// How long a process may take to begin, on a machine that others use too.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How long one may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is looked after.
const EVERY: Duration = Duration::from_millis(10);
/// What is read of what a process wrote.
const SAID_MAX: u64 = 64 << 10;
/// In the environment of all that is started, and of what they start: the file that they write to. By this they are found where
/// whoever started them died before it was written down.
const MARK: &str = "WEFT_E2_LOG";

/// A process that was started.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) process: ProcessId,
    what: String,
    log: std::path::PathBuf,
    /// What others have written there before.
    before: u64,
}

/// Starts a program, if it is wanted in a new network namespace. What it writes goes to a file.
pub(super) fn start(
    what: &str,
    mut command: Command,
    log: &Path,
    own_namespace: bool,
) -> Result<Started, LiveError> {
    let file = |error| LiveError::File { path: log.to_owned(), error };
    let out = OpenOptions::new().create(true).append(true).open(log).map_err(file)?;
    let before = out.metadata().map_err(file)?.len();
    command.env(MARK, log);
    command.stdout(Stdio::from(out.try_clone().map_err(file)?)).stderr(Stdio::from(out));
    // Signals of the caller's terminal are not for it.
    command.process_group(0);
    let failed = |error| LiveError::Process { what: what.to_owned(), error };
    let mut child = if own_namespace {
        // A child begins where the thread is that starts it.
        let started = std::thread::scope(|scope| {
            let thread = scope.spawn(|| host::netns::unshare_here().map(|()| command.spawn()));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        started?.map_err(failed)?
    } else {
        command.spawn().map_err(failed)?
    };
    match ProcessId::of(child.id()) {
        Ok(process) => Ok(Started { child, process, what: what.to_owned(), log: log.to_owned(), before }),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error.into())
        }
    }
}

impl Started {
    /// Waits until it has written a line that begins so; the rest of the line comes back.
    pub(super) fn wait_for(&mut self, beginning: &str) -> Result<String, LiveError> {
        let end = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            let complete = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let mut found = complete.filter_map(|line| line.trim_end().strip_prefix(beginning));
            if let Some(rest) = found.next() {
                return Ok(rest.trim().to_owned());
            }
            let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() > end {
                let problem = if ended { "has ended" } else { "does not begin" };
                return Err(LiveError::Ended {
                    what: self.what.clone(),
                    problem,
                    said: said.trim_end().to_owned(),
                });
            }
            std::thread::sleep(EVERY);
        }
    }

    fn said(&self) -> String {
        let mut said = Vec::new();
        if let Ok(mut file) = File::open(&self.log) {
            let _ = file.seek(SeekFrom::Start(self.before));
            let _ = file.take(SAID_MAX).read_to_end(&mut said);
        }
        String::from_utf8_lossy(&said).into_owned()
    }
}

/// Ends processes, all at once, and what is in the namespaces of those that have one of their own.
pub(super) fn end(processes: &[(ProcessId, bool)]) {
    let within: Vec<ProcessId> = processes
        .iter()
        .filter(|(process, own)| *own && process.is_alive())
        .flat_map(|(process, _)| inhabitants(*process))
        .collect();
    let mut all: Vec<ProcessId> = processes.iter().map(|(process, _)| *process).chain(within).collect();
    all.sort_unstable();
    all.dedup();
    for process in &all {
        let _ = process.kill(Signal::TERM);
    }
    let end = Instant::now() + GRACE;
    for process in &all {
        if !process.wait(end.saturating_duration_since(Instant::now())) {
            let _ = process.kill(Signal::KILL);
            let _ = process.wait(GRACE);
        }
    }
}

/// The processes in the network namespace of one.
fn inhabitants(of: ProcessId) -> Vec<ProcessId> {
    let Ok(namespace) = fs::read_link(of.namespace("net")) else { return Vec::new() };
    if fs::read_link("/proc/self/ns/net").is_ok_and(|own| own == namespace) {
        return Vec::new(); // a namespace that others use is not ours to empty
    }
    all()
        .filter(|process| fs::read_link(process.namespace("net")).is_ok_and(|own| own == namespace))
        .collect()
}

fn all() -> impl Iterator<Item = ProcessId> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| ProcessId::of(pid).ok())
}

/// Ends what is left of those that write to a file: started, and not written down; or started by one that has died.
pub(super) fn end_strays(log: &Path) {
    let mark = [MARK.as_bytes(), b"=", log.as_os_str().as_encoded_bytes()].concat();
    let has_it = |process: &ProcessId| {
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    end(&all().filter(has_it).map(|process| (process, false)).collect::<Vec<_>>());
}
