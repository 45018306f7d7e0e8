//! What is written down of a cluster, and where.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use host::ProcessId;
use serde::{Deserialize, Serialize};

use super::LiveError;
use crate::deploy::{Deployed, Moving};

/// The longest name.
const NAME_MAX: usize = 63;
const RECORD: &str = "record.json";

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
    /// A range on its way.
    #[serde(default)]
    pub moving: Option<Moving>,
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
