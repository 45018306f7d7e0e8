//! Where the state of a deployment lies on disk.
//!
//! ```text
//! STATE/skeleton/              directories a rootless container may write to, shared by all of them
//! STATE/ready/NAME             there while the health checks of a container succeed; names its init
//! STATE/containers/NAME/journal.json    written before anything else is made: what to take away again
//!                       status.json     written by the container's init, always whole
//!                       lock            held by the init while it lives
//!                       log/output.log  output; output.log.1 … are older
//!                       layers/         upper and work directories of its overlays, by their place in the root
//!                       bases/          where the host's part of an image is put together (seen only inside)
//!                       root/           where the new root is put together (seen only inside)
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{During, Error, Result};
use crate::process::ProcessId;
use crate::spec::ContainerSpec;
use crate::status::Status;

/// Most bytes read from one state file.
const STATE_FILE_BYTES_MAX: u64 = 128 << 20;

/// The state directory of one deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    directory: PathBuf,
}

/// The state directory of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    directory: PathBuf,
    name: String,
}

/// What a launch wrote down before it made anything that outlives a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// The container as it was asked for, without the content of its files and the list of its secrets.
    pub spec: ContainerSpec,
    /// Cgroup directories made for it.
    pub cgroups: Vec<PathBuf>,
}

/// A directory of what a container wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where it was seen, relative to the container's root.
    pub place: PathBuf,
    /// Where it lies on the host.
    pub directory: PathBuf,
}

/// Stands for `/` in the name of a layer, which is the place it is for.
pub(crate) const PLACE_SEPARATOR: char = '\\';

impl Deployment {
    /// The deployment whose state lies in `directory`.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.into() }
    }

    /// The state of one of its containers, whether it exists or not.
    #[must_use]
    pub fn container(&self, name: &str) -> Container {
        Container { directory: self.directory.join("containers").join(name), name: name.into() }
    }

    /// Every container that left a trace here, by name.
    ///
    /// # Errors
    /// The directory cannot be read; that it does not exist is no error.
    pub fn containers(&self) -> Result<Vec<Container>> {
        let path = self.directory.join("containers");
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).during("list", path.display()),
        };
        let mut names: Vec<_> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        Ok(names.iter().map(|name| self.container(name)).collect())
    }

    /// The directory itself.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where containers with health checks show that these succeed: a file of the container's name that holds its init's
    /// [`ProcessId`] as JSON. It may not exist.
    #[must_use]
    pub fn ready(&self) -> PathBuf {
        self.directory.join("ready")
    }

    /// The container's init, if its health checks succeed.
    #[must_use]
    pub fn is_ready(&self, name: &str) -> Option<ProcessId> {
        read_json(&self.ready().join(name)).ok().flatten()
    }

    pub(crate) fn skeleton(&self) -> PathBuf {
        self.directory.join("skeleton")
    }
}

impl Container {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its current log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.log_directory().join(crate::log::FILE)
    }

    /// What its init last wrote about it.
    ///
    /// # Errors
    /// The file exists but is not what an init writes.
    pub fn status(&self) -> Result<Option<Status>> {
        read_json(&self.directory.join("status.json"))
    }

    /// What its launch wrote down before it began.
    ///
    /// # Errors
    /// The file exists but is not what a launch writes.
    pub fn journal(&self) -> Result<Option<Journal>> {
        read_json(&self.directory.join("journal.json"))
    }

    /// The mark of a container whose health checks succeed.
    pub(crate) fn ready_mark(&self) -> PathBuf {
        let deployment = self.directory.parent().and_then(Path::parent).unwrap_or(&self.directory);
        Deployment::new(deployment).ready().join(&self.name)
    }

    pub(crate) fn log_directory(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// What a container whose root was `kept` has written, once it has ended, in the form of overlays' upper
    /// directories; the place `` is the root itself. What the launch put there (mount points, /etc/hosts and its like) is
    /// among it.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn written(&self) -> Result<Vec<Written>> {
        let layers = self.layers();
        let entries = fs::read_dir(&layers).during("list", layers.display())?;
        let mut written = Vec::new();
        for entry in entries.flatten() {
            let directory = entry.path().join("upper");
            let name = entry.file_name().to_string_lossy().replace(PLACE_SEPARATOR, "/");
            if directory.is_dir() {
                written.push(Written { place: name.trim_start_matches('/').into(), directory });
            }
        }
        written.sort_unstable_by(|a, b| a.place.cmp(&b.place));
        Ok(written)
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.directory.join("layers")
    }

    pub(crate) fn bases(&self) -> PathBuf {
        self.directory.join("bases")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// Where an OCI runtime finds its configuration and keeps its state.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.directory.join("bundle")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.directory.join("lock")
    }

    pub(crate) fn write_journal(&self, journal: &Journal) -> Result<()> {
        let path = self.directory.join("journal.json");
        let text = serde_json::to_vec(journal).map_err(|error| Error::Message(error.to_string()))?;
        let draft = self.directory.join("journal.json.new");
        write_private(&draft, &text).during("write", draft.display())?;
        fs::rename(&draft, &path).during("write", path.display())
    }
}

/// Environments hold secrets, so nobody else may read this.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    use std::io::Read;
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).during("open", path.display()),
    };
    let mut bytes = Vec::new();
    file.take(STATE_FILE_BYTES_MAX).read_to_end(&mut bytes).during("read", path.display())?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| Error::Message(format!("{}: {error}", path.display())))
}
