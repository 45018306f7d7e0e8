//! What is written down of a cluster, and where.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use host::ProcessId;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::LiveError;
use crate::deploy::{Deployed, Moving, Placed};

/// How much of what has happened is kept.
pub const HISTORY_MAX: usize = 32;
/// The longest name.
const NAME_MAX: usize = 63;
const RECORD: &str = "record.json";
const LOCK: &str = "manager.lock";

/// The right to manage a cluster. It ends with its holder, whatever ends that.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "it is held by being open")] fs::File);

/// A site's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteRecord {
    /// Its name.
    pub name: String,
    /// Its process.
    pub process: ProcessId,
    /// Where it is told what to do, in its namespace.
    pub address: SocketAddr,
    /// Whether it has a namespace of its own.
    pub own_namespace: bool,
    /// The core that its workers are counted from: sites of one machine share its cores.
    pub core: usize,
    /// Whether it was told all that it is: a process that was not is no site yet.
    pub whole: bool,
}

impl SiteRecord {
    /// Whether it is there.
    pub fn is_alive(&self) -> bool {
        self.whole && self.process.is_alive()
    }
}

/// What holds the namespace of a legacy instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whose.
    pub instance: u32,
    /// The process.
    pub process: ProcessId,
}

/// A cluster, as it was last known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// The policy, as the file said it.
    pub policy: String,
    /// The switch, then the servers.
    pub sites: Vec<SiteRecord>,
    /// Legacy instances.
    pub held: Vec<Held>,
    /// What the sites were told.
    pub deployed: Deployed,
    /// Ranges on their way. No instance has a part in two of them.
    #[serde(default)]
    pub moving: Vec<Shifting>,
    /// Instances that nothing goes to any more, and that are being ended.
    #[serde(default)]
    pub leaving: Vec<Leaving>,
    /// Who manages it, if that process lives.
    #[serde(default)]
    pub manager: Option<ProcessId>,
    /// What has happened, the oldest first: the last [`HISTORY_MAX`].
    #[serde(default)]
    pub history: Vec<Past>,
}

/// A range on its way, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shifting {
    /// The range.
    pub moving: Moving,
    /// Why.
    pub why: String,
}

/// An instance that is being ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Its number.
    pub instance: u32,
    /// What it was called.
    pub name: String,
    /// Where it is.
    pub placed: Placed,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// When, in seconds since 1970.
    pub at: u64,
    /// What.
    pub what: String,
}

impl Record {
    /// Adds to what has happened.
    pub fn note(&mut self, what: String) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.history.push(Past { at: since.as_secs(), what });
        let old = self.history.len().saturating_sub(HISTORY_MAX);
        self.history.drain(..old);
    }
}

/// The directory of all clusters.
#[derive(Clone, Debug)]
pub struct Store(PathBuf);

impl Store {
    /// Below weft's state directory.
    pub fn new(state: &Path) -> Self {
        Self(state.join("e2"))
    }

    /// The directory of a cluster.
    ///
    /// # Errors
    /// No directory can have that name.
    pub fn directory(&self, name: &str) -> Result<PathBuf, LiveError> {
        let fine = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        match (1..=NAME_MAX).contains(&name.len()) && name.chars().all(fine) {
            true => Ok(self.0.join(name)),
            false => Err(LiveError::Name(name.chars().take(80).collect())),
        }
    }

    /// The names of all clusters that were started and not stopped.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let known = entries.filter(|entry| entry.path().join(RECORD).exists());
        let mut names: Vec<_> = known.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// What is written of a cluster; none where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(&self, name: &str) -> Result<Option<Record>, LiveError> {
        let path = self.directory(name)?.join(RECORD);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| LiveError::File { path: path.clone(), error })?,
        };
        let wrong = |error: serde_json::Error| LiveError::File { path: path.clone(), error: error.into() };
        serde_json::from_slice(&text).map(Some).map_err(wrong)
    }

    /// What is written of a cluster that must be there.
    ///
    /// # Errors
    /// It is not.
    pub fn known(&self, name: &str) -> Result<Record, LiveError> {
        let unknown = || LiveError::Unknown { name: name.to_owned(), known: self.names() };
        self.load(name)?.ok_or_else(unknown)
    }

    /// Writes it down, whole or not at all.
    ///
    /// # Errors
    /// The kernel's.
    pub fn save(&self, record: &Record) -> Result<(), LiveError> {
        let path = self.directory(&record.name)?.join(RECORD);
        let beside = path.with_extension("new");
        let write = || {
            let mut file = fs::File::create(&beside)?;
            file.write_all(&serde_json::to_vec_pretty(record)?)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(|error| LiveError::File { path: path.clone(), error })
    }

    /// The right to manage a cluster; none where somebody has it.
    pub(super) fn lock(&self, name: &str) -> Result<Option<Lock>, LiveError> {
        let path = self.directory(name)?.join(LOCK);
        let lock = || {
            let file = fs::File::options().create(true).append(true).open(&path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(Some(Lock(file))),
                Err(Errno::WOULDBLOCK) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        lock().map_err(|error: std::io::Error| LiveError::File { path: path.clone(), error })
    }

    /// Takes the directory of a cluster away.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove(&self, name: &str) -> Result<(), LiveError> {
        let path = self.directory(name)?;
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(LiveError::File { path, error }),
            _ => Ok(()),
        }
    }
}
