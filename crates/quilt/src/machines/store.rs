//! The secrets of clusters of rented machines, on this machine.
//!
//! ```text
//! $WEFT_STATE/machines/NAME/
//!     lock            held by the command that changes the machines
//!     cluster.json    provider, region and secrets; readable by nobody else
//!     kubeconfig      for `kubectl --kubeconfig`
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::{Identity, MachineError};

/// What is kept of a deployment's machines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// Whose the machines are.
    pub provider: String,
    /// Where they are.
    pub region: String,
    /// The cluster's secrets.
    pub identity: Identity,
}

/// Where the secrets of a deployment's machines lie. Whoever holds it is the only one to change them.
#[derive(Debug)]
pub struct MachineStore {
    name: String,
    folder: PathBuf,
    /// Locked until it is closed; none for who only looks.
    _lock: Option<File>,
}

trait During<T> {
    fn during(self, action: &'static str) -> Result<T, MachineError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, action: &'static str) -> Result<T, MachineError> {
        self.map_err(|source| MachineError::System { action, source })
    }
}

impl MachineStore {
    /// Opens, and locks, what is kept of a deployment's machines below a state directory.
    ///
    /// # Errors
    /// When another command has it, or the directory cannot be made.
    pub fn open(state: &Path, name: &str) -> Result<MachineStore, MachineError> {
        let folder = state.join("machines").join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).during("make the state directory")?;
        let lock =
            OpenOptions::new().create(true).append(true).open(folder.join("lock")).during("open a lock")?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(MachineStore { name: name.to_owned(), folder, _lock: Some(lock) }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(MachineError::Busy(name.to_owned())),
            Err(error) => Err(MachineError::System { action: "lock the machines", source: error.into() }),
        }
    }

    /// The same for who only looks: nothing is made, and nobody is kept away.
    pub fn look(state: &Path, name: &str) -> MachineStore {
        MachineStore { name: name.to_owned(), folder: state.join("machines").join(name), _lock: None }
    }

    /// The deployments of which something is kept.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn names(state: &Path) -> Result<Vec<String>, MachineError> {
        let entries = match fs::read_dir(state.join("machines")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(MachineError::System { action: "read the state directory", source }),
        };
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().join("cluster.json").exists())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// The deployment.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file of the secrets.
    pub fn path(&self) -> PathBuf {
        self.folder.join("cluster.json")
    }

    /// The file for `kubectl`.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// What is kept, if anything is.
    ///
    /// # Errors
    /// When the file is there and is not what weft wrote.
    pub fn read(&self) -> Result<Option<Kept>, MachineError> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(MachineError::System { action: "read the cluster's secrets", source }),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| MachineError::Damaged { path, source })
    }

    /// Keeps it. It is on the disk before anything is rented with it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, kept: &Kept) -> Result<(), MachineError> {
        let text = serde_json::to_vec_pretty(kept)
            .map_err(|source| MachineError::Damaged { path: self.path(), source })?;
        self.put(&self.path(), &text)
    }

    /// Writes the kubeconfig.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_kubeconfig(&self, text: &str) -> Result<(), MachineError> {
        self.put(&self.kubeconfig_path(), text.as_bytes())
    }

    /// Whole or not at all, and only for this user.
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), MachineError> {
        let beside = path.with_extension("new");
        let write = || {
            let mut file =
                OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().during("write the cluster's secrets")
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self) -> Result<(), MachineError> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(MachineError::System { action: "remove the cluster's secrets", source: error })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_kept_for_this_user_alone_and_one_command_at_a_time() {
        let state = tempfile::tempdir().unwrap();
        let store = MachineStore::open(state.path(), "shop").unwrap();
        assert!(store.read().unwrap().is_none());
        assert!(MachineStore::names(state.path()).unwrap().is_empty());
        let kept = Kept { provider: "Amazon".into(), region: "r".into(), identity: Identity::new().unwrap() };
        store.write(&kept).unwrap();
        assert_eq!(fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(store.read().unwrap().unwrap().identity.token, kept.identity.token);
        assert!(!format!("{kept:?}").contains(&kept.identity.token));
        let busy = MachineStore::open(state.path(), "shop").unwrap_err();
        assert!(matches!(busy, MachineError::Busy(_)));
        assert_eq!(MachineStore::names(state.path()).unwrap(), ["shop"]);
        fs::write(store.path(), "{").unwrap();
        assert!(store.read().unwrap_err().to_string().contains("is damaged"));
        store.remove().unwrap();
        assert!(MachineStore::names(state.path()).unwrap().is_empty());
    }
}
