//! Where deployments keep their state, and the lock that lets one command at a time change one.
//!
//! ```text
//! $WEFT_STATE (else $XDG_STATE_HOME/weft, else ~/.local/state/weft)
//! ├ images/              see [`crate::images`]
//! └ deployments/NAME/
//!     lock               held by the command that changes the deployment, whose pid and start time it says
//!     record.json        what was asked for last, and the addresses and ports given out
//!     sandbox.json       the processes that carry it, by pid and start time
//!     dataplane.json
//!     edge.json
//!     dataplane.log …    what they had to say
//!     containers/…       see the `host` room
//!     volumes/NAME/      kept when the deployment stops
//! ```
//! The sockets lie in `$XDG_RUNTIME_DIR/weft` where there is one and `WEFT_STATE` does not say otherwise: a
//! socket's path may have only 107 bytes (`unix(7)`).

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use host::ProcessId;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::Record;
use super::{During, RuntimeError};
use crate::images::ImageStore;

/// How long the children of a command that was killed may take until their program runs and lets go of its lock.
const BIRTH_LIMIT: Duration = Duration::from_secs(10);
/// How often a lock is tried that such children hold.
const RETRY_PAUSE: Duration = Duration::from_millis(2);

/// Longest path of a socket: `sun_path` less its terminating zero (`linux/un.h`).
const SOCKET_PATH_MAX: usize = 107;

/// Where the state of all deployments lies.
#[derive(Clone, Debug)]
pub struct Store {
    state: PathBuf,
    sockets: PathBuf,
}

impl Store {
    /// The store that the environment names.
    ///
    /// # Errors
    /// When neither `WEFT_STATE`, `XDG_STATE_HOME` nor `HOME` is set.
    pub fn from_env() -> Result<Self, RuntimeError> {
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(state) = env::var_os("WEFT_STATE").filter(|value| !value.is_empty()) {
            let state = std::path::absolute(PathBuf::from(state)).during("read the current directory")?;
            return Ok(Self { sockets: state.clone(), state });
        }
        let state = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .map(|base| base.join("weft"))
            .ok_or(RuntimeError::NoStateDirectory)?;
        let sockets = absolute("XDG_RUNTIME_DIR").filter(|path| path.is_dir()).map(|path| path.join("weft"));
        Ok(Self { sockets: sockets.unwrap_or_else(|| state.clone()), state })
    }

    /// Where images are kept.
    pub fn images(&self) -> ImageStore {
        ImageStore::new(&self.state)
    }

    /// The directory of all state.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Every directory that weft keeps something in.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        if self.state == self.sockets {
            vec![self.state.clone()]
        } else {
            vec![self.state.clone(), self.sockets.clone()]
        }
    }

    /// The deployment of this name, whether it exists or not.
    pub fn deployment(&self, name: &str) -> Deployment {
        let below = |base: &Path| base.join("deployments").join(name);
        Deployment { name: name.to_owned(), directory: below(&self.state), sockets: below(&self.sockets) }
    }

    /// Every deployment that has left a trace, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn deployments(&self) -> Result<Vec<Deployment>, RuntimeError> {
        let entries = match fs::read_dir(self.state.join("deployments")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.during("read the state directory")?,
        };
        let mut names: Vec<_> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        Ok(names.iter().map(|name| self.deployment(name)).filter(Deployment::exists).collect())
    }

    /// A file of this name, for what is of no single deployment; its directory is made.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(crate) fn file(&self, name: &str) -> Result<PathBuf, RuntimeError> {
        make_directory(&self.state).during("make the state directory")?;
        Ok(self.state.join(name))
    }

    /// The deployment that a command without a name means: the only one there is.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn only(&self) -> Result<Deployment, RuntimeError> {
        let mut all = self.deployments()?;
        match all.len() {
            0 => Err(RuntimeError::NothingRuns),
            1 => Ok(all.remove(0)),
            _ => Err(RuntimeError::Which(all.into_iter().map(|one| one.name).collect())),
        }
    }
}

/// One deployment's place in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    name: String,
    directory: PathBuf,
    sockets: PathBuf,
}

/// A process that carries a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Holds the namespaces that the others enter.
    Sandbox,
    /// Carries the packets.
    Dataplane,
    /// Serves the published ports.
    Edge,
}

impl Role {
    pub(crate) const ALL: [Role; 3] = [Role::Sandbox, Role::Dataplane, Role::Edge];

    /// Its name in file names and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Dataplane => "dataplane",
            Self::Edge => "edge",
        }
    }
}

impl Deployment {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its state lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The containers' part of its state.
    pub fn containers(&self) -> host::Deployment {
        host::Deployment::new(&self.directory)
    }

    /// Whether it has left a trace.
    pub fn exists(&self) -> bool {
        self.directory.join("lock").exists()
    }

    /// Makes its directories and takes its lock. A living command that holds it is not waited for. One that was killed may
    /// have left children that are no program of their own yet, and they hold it until they are: see [`super::process`].
    ///
    /// # Errors
    /// When another command holds the lock, or the directories cannot be made.
    pub(crate) fn lock(&self) -> Result<Lock, RuntimeError> {
        let longest = self.socket(Role::Dataplane);
        if longest.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(RuntimeError::SocketPath { path: longest, bytes_max: SOCKET_PATH_MAX });
        }
        let deadline = Instant::now() + BIRTH_LIMIT;
        loop {
            match self.try_lock()? {
                Tried::Locked(lock) => return Ok(lock),
                Tried::Held { alive: true } => return Err(RuntimeError::Busy(self.name.clone())),
                _ if Instant::now() > deadline => return Err(RuntimeError::Busy(self.name.clone())),
                Tried::Held { alive: false } => std::thread::sleep(RETRY_PAUSE),
                Tried::Removed => {}
            }
        }
    }

    fn try_lock(&self) -> Result<Tried, RuntimeError> {
        let path = self.directory.join("lock");
        make_directory(&self.directory).during("make the state directory")?;
        make_directory(&self.sockets).during("make the directory for sockets")?;
        let mut file =
            match File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)
            {
                // A command that stops the deployment has removed the directory just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tried::Removed),
                opened => opened.during("open the deployment's lock")?,
            };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Tried::Held { alive: holder_lives(&mut file) }),
            Err(error) => return Err(io::Error::from(error)).during("lock the deployment"),
        }
        // A command that stops the deployment removes its lock; then ours is on a file that nobody else finds.
        let held = file.metadata().during("look at the deployment's lock")?;
        if !fs::metadata(&path).is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
            return Ok(Tried::Removed);
        }
        // On a full disk nobody learns who holds it, and stopping, which makes room, still works.
        let _ = say_who_holds(&mut file);
        // Every child is to hold it, too, until its program runs.
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())
            .map_err(io::Error::from)
            .during("hand on the deployment's lock")?;
        Ok(Tried::Locked(Lock { _file: file }))
    }

    /// The control socket of a process.
    pub(crate) fn socket(&self, role: Role) -> PathBuf {
        self.sockets.join(role.name()).with_extension("sock")
    }

    /// Where a process says what it has to say.
    pub(crate) fn log(&self, role: Role) -> PathBuf {
        self.directory.join(role.name()).with_extension("log")
    }

    /// Where a named volume lies.
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.directory.join("volumes").join(name)
    }

    /// The process in this role, if one was noted.
    ///
    /// # Errors
    /// When the note cannot be read.
    pub(crate) fn process(&self, role: Role) -> Result<Option<ProcessId>, RuntimeError> {
        self.read(&format!("{}.json", role.name()))
    }

    /// The process in this role, if it is alive.
    ///
    /// # Errors
    /// When the note cannot be read.
    pub(crate) fn alive(&self, role: Role) -> Result<Option<ProcessId>, RuntimeError> {
        Ok(self.process(role)?.filter(|process| process.is_alive()))
    }

    /// A living process whose user and network namespaces are the deployment's.
    ///
    /// # Errors
    /// When a note cannot be read.
    pub(crate) fn holder(&self) -> Result<Option<ProcessId>, RuntimeError> {
        Ok(self.alive(Role::Sandbox)?.or(self.alive(Role::Dataplane)?))
    }

    /// Notes the calling process as the one in this role.
    pub(crate) fn note(&self, role: Role, process: ProcessId) -> Result<(), RuntimeError> {
        self.write(&format!("{}.json", role.name()), &process)
    }

    /// What the last command wrote down; nothing before the first `up`.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn record(&self) -> Result<Option<Record>, RuntimeError> {
        self.read("record.json")
    }

    pub(crate) fn write_record(&self, record: &Record) -> Result<(), RuntimeError> {
        self.write("record.json", record)
    }

    /// Removes all of its state but the volumes; the directory too when it has none.
    pub(crate) fn remove(&self, lock: Lock) -> Result<(), RuntimeError> {
        for entry in fs::read_dir(&self.directory).during("read the deployment's state")?.flatten() {
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            match entry.file_name().to_str() {
                // The lock goes last: while it is there, the deployment exists.
                Some("lock" | "volumes") => Ok(()),
                _ if is_directory => fs::remove_dir_all(entry.path()),
                _ => fs::remove_file(entry.path()),
            }
            .during("remove the deployment's state")?;
        }
        for role in Role::ALL {
            let _ = fs::remove_file(self.socket(role));
        }
        fs::remove_file(self.directory.join("lock")).during("remove the deployment's lock")?;
        drop(lock);
        // Not empty where volumes are kept, or where it is the state directory too.
        let _ = (fs::remove_dir(&self.sockets), fs::remove_dir(&self.directory));
        Ok(())
    }

    /// Removes the named volumes of a deployment that has stopped, and the directory that they kept.
    ///
    /// # Errors
    /// When files in them belong to others.
    pub fn remove_volumes(&self) -> Result<(), RuntimeError> {
        match fs::remove_dir_all(self.directory.join("volumes")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).during("remove the volumes"),
            _ => {
                let _ = fs::remove_dir(&self.directory);
                Ok(())
            }
        }
    }

    fn read<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, RuntimeError> {
        let path = self.directory.join(file);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).during("read the deployment's state"),
        };
        serde_json::from_slice(&text).map(Some).map_err(|source| RuntimeError::State { path, source })
    }

    /// Writes a file so that a reader, or a crash, sees the old or the new one and nothing between.
    fn write(&self, file: &str, value: &impl Serialize) -> Result<(), RuntimeError> {
        let path = self.directory.join(file);
        let draft = self.directory.join(format!("{file}.{}", std::process::id()));
        let text =
            serde_json::to_vec(value).map_err(|source| RuntimeError::State { path: path.clone(), source })?;
        let written =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft).and_then(
                |mut file| {
                    io::Write::write_all(&mut file, &text)?;
                    file.sync_data()?;
                    fs::rename(&draft, &path)
                },
            );
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written.during("write the deployment's state")
    }
}

/// The right to change a deployment, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// What came of trying to take a lock.
enum Tried {
    Locked(Lock),
    /// Somebody holds it: the command that took it, if that lives, else children of it.
    Held {
        alive: bool,
    },
    /// The file was removed while it was being locked.
    Removed,
}

/// Makes a directory and those above it; that it is there is a success.
fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    match builder.create(path) {
        // A command that stops the deployment removed it between our finding it and our looking what it is.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !path.exists() => builder.create(path),
        outcome => outcome,
    }
}

fn say_who_holds(lock: &mut File) -> io::Result<()> {
    let own = ProcessId::current().map_err(io::Error::other)?;
    lock.set_len(0)?;
    io::Write::write_all(lock, &serde_json::to_vec(&own)?)
}

/// Whether the command that took the lock lives. One that has not said who it is counts as dead: it will have, by the
/// next time one asks.
fn holder_lives(lock: &mut File) -> bool {
    let mut text = Vec::new();
    io::Read::read_to_end(lock, &mut text).is_ok()
        && serde_json::from_slice::<ProcessId>(&text).is_ok_and(ProcessId::is_alive)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;

    /// A child inherits every lock that its process holds, those of other tests, too: one test at a time.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deployment(base: &Path) -> Deployment {
        Store { state: base.to_owned(), sockets: base.to_owned() }.deployment("d")
    }

    #[test]
    fn a_living_command_that_holds_the_lock_is_not_waited_for() {
        let _alone = alone();
        let base = tempfile::tempdir().unwrap();
        let deployment = deployment(base.path());
        let lock = deployment.lock().unwrap();
        let start = Instant::now();
        assert!(matches!(deployment.lock(), Err(RuntimeError::Busy(name)) if name == "d"));
        assert!(start.elapsed() < BIRTH_LIMIT);
        drop(lock);
        deployment.lock().unwrap();
    }

    #[test]
    fn the_lock_outlives_its_command_until_the_children_let_go() {
        let _alone = alone();
        let base = tempfile::tempdir().unwrap();
        let deployment = deployment(base.path());
        let lock = deployment.lock().unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        // As after the end of the command: only the child has the lock, and the file names nobody who lives.
        drop(lock);
        let mut dead = Command::new("true").spawn().unwrap();
        let holder = ProcessId { pid: dead.id(), start_time: 0 };
        dead.wait().unwrap();
        fs::write(deployment.directory.join("lock"), serde_json::to_vec(&holder).unwrap()).unwrap();
        assert!(matches!(deployment.try_lock().unwrap(), Tried::Held { alive: false }));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| deployment.lock().map(|_lock| ()));
            drop(child.stdin.take());
            child.wait().unwrap();
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_lock_that_was_removed_meanwhile_is_not_taken_for_the_deployments() {
        let _alone = alone();
        let base = tempfile::tempdir().unwrap();
        let deployment = deployment(base.path());
        let stopping = deployment.lock().unwrap();
        std::thread::scope(|scope| {
            let stopped = scope.spawn(|| deployment.remove(stopping));
            // Busy until the other has removed it; never an error, and never a lock that others do not find.
            let lock = loop {
                match deployment.lock() {
                    Err(RuntimeError::Busy(_)) => {}
                    other => break other.unwrap(),
                }
            };
            assert!(matches!(deployment.lock(), Err(RuntimeError::Busy(_))));
            stopped.join().unwrap().unwrap();
            drop(lock);
        });
    }
}
