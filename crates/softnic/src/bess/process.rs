//! The daemon as a process: one at a time, by a lock on its pid file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::control::{Bess, Config};
use super::handover::{self, Giver, HandoverError, Taken};
use super::saving::{RestoreError, Restored, Saved};
use super::server::serve_on;
use super::{Failure, ServeError};

/// How often a running daemon is asked to end before it is killed, and after that.
const ASKED: u32 = 3;
const TRIES: u32 = 5;
/// How long to wait after the first time; twice as long after each further one.
const WAIT: Duration = Duration::from_millis(100);

/// How a daemon process is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where clients connect; nowhere if there is no address.
    pub listen: Option<SocketAddr>,
    /// The file that holds its number and the lock; without one, several may run.
    pub pid_file: Option<PathBuf>,
    /// Whether a daemon that runs already is ended first.
    pub replace: bool,
    /// When it ends by itself.
    pub duration: Option<Duration>,
    /// What it starts with.
    pub config: Config,
    /// Where what it runs is saved, and restored from.
    pub state: Option<State>,
}

/// Where what a daemon runs is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The directory, which is made if it is not there.
    pub directory: PathBuf,
    /// What is done with what is saved there.
    pub begin: Begin,
}

/// How a daemon begins that saves what it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// It restores what is saved.
    #[default]
    Restore,
    /// It forgets what is saved.
    Forget,
    /// It takes over from the daemon that runs and saves there, with its ports, connections and sockets.
    TakeOver,
}

/// Why a daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Another one runs.
    #[error("a daemon runs already (process {pid}, {file}): -k ends it first")]
    Running {
        /// Its number, as its pid file says.
        pid: i32,
        /// The pid file.
        file: String,
    },
    /// Another one does not end.
    #[error("the daemon that runs already (process {pid}) does not end")]
    Unkillable {
        /// Its number.
        pid: i32,
    },
    /// The pid file cannot be used.
    #[error("{file}: {source}")]
    PidFile {
        /// The pid file.
        file: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Memory or a thread is not to be had.
    #[error("{0}")]
    Start(#[from] Failure),
    /// The runtime for control calls is not to be had.
    #[error("starting: {0}")]
    Runtime(#[from] io::Error),
    /// Serving failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// What was saved could not be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Nothing was taken over.
    #[error(transparent)]
    TakeOver(#[from] HandoverError),
}

/// Runs a daemon until a client calls `KillBess`, SIGTERM or SIGINT comes, or its time is over. `start` gets it before clients
/// do, with what was restored, to build what a file says; `ready` gets the address once they can connect.
///
/// # Errors
/// [`ProcessError`]; `start`'s own error is passed on.
pub fn run<E: From<ProcessError>>(
    options: &Options,
    start: impl FnOnce(&Arc<Bess>, Option<&Restored>) -> Result<(), E>,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), E> {
    let Begun { bess, restored, listener, pid_file } = begin(options)?;
    if let Some(State { directory, .. }) = &options.state {
        let listener =
            listener.as_ref().map(TcpListener::try_clone).transpose().map_err(ProcessError::from)?;
        let pid_file = pid_file.as_ref().map(File::try_clone).transpose().map_err(ProcessError::from)?;
        let giver = Giver { directory: directory.clone(), listener, pid_file };
        handover::serve(&bess, giver).map_err(ProcessError::from)?;
    }
    start(&bess, restored.as_ref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.map_err(ProcessError::from)?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let serving = async {
            match listener {
                Some(listener) => serve_on(bess.clone(), listener, ready).await.map_err(ProcessError::from),
                None => {
                    bess.over().await;
                    Ok(())
                }
            }
        };
        let end = async {
            match options.duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            served = serving => served,
            () = end => Ok(()),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    });
    served?;
    Ok(())
}

/// A daemon that is about to serve.
struct Begun {
    bess: Arc<Bess>,
    restored: Option<Restored>,
    listener: Option<TcpListener>,
    /// With its lock.
    pid_file: Option<File>,
}

/// Starts a daemon, with what was saved or what another one hands over.
fn begin(options: &Options) -> Result<Begun, ProcessError> {
    let config = options.config.clone();
    if let Some(State { directory, begin: Begin::TakeOver }) = &options.state {
        let Taken { bess, listener, mut pid_file, restored } = handover::take(directory, config)?;
        if let Some(file) = &mut pid_file {
            number(file)?;
        }
        return Ok(Begun { bess, restored: Some(restored), listener, pid_file });
    }
    let pid_file = match &options.pid_file {
        Some(path) => Some(take(path, options.replace)?),
        None => None,
    };
    let (bess, restored) = match &options.state {
        Some(State { directory, begin }) => {
            let saved = Saved::open(directory, *begin == Begin::Forget)?;
            let bess = Bess::start(saved.config(config)?)?;
            let restored = saved.restore(&bess)?;
            tracing::info!("{}: {restored}", directory.display());
            (bess, Some(restored))
        }
        None => (Bess::start(config)?, None),
    };
    let listen =
        |address| TcpListener::bind(address).map_err(|source| ServeError::Listen { address, source });
    let listener = options.listen.map(listen).transpose()?;
    Ok(Begun { bess, restored, listener, pid_file })
}

/// Writes our number into the pid file.
fn number(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Takes the lock and writes our number into the file.
fn take(path: &Path, replace: bool) -> Result<File, ProcessError> {
    let failed = |source: io::Error| ProcessError::PidFile { file: path.display().to_string(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o644);
    let mut file = options.open(path).map_err(failed)?;
    let mut tries = 0;
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(failed(error.into()));
        }
        let pid = holder(&mut file).map_err(failed)?;
        if !replace {
            return Err(ProcessError::Running { pid, file: path.display().to_string() });
        }
        if tries == TRIES {
            return Err(ProcessError::Unkillable { pid });
        }
        let signal = if tries < ASKED { Signal::TERM } else { Signal::KILL };
        if let Some(pid) = Pid::from_raw(pid) {
            // One that has just ended is no error: then the lock is free.
            let _ = kill_process(pid, signal);
        }
        std::thread::sleep(WAIT * (1 << tries));
        tries += 1;
    }
    number(&mut file).map_err(failed)?;
    Ok(file)
}

/// The number in the file.
fn holder(file: &mut File) -> io::Result<i32> {
    let mut text = String::new();
    file.rewind()?;
    file.take(32).read_to_string(&mut text)?;
    let number = text.trim_matches(['\0', '\n', ' ']).parse();
    number.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "holds no process number"))
}
