//! Where images are kept, once for all deployments.
//!
//! ```text
//! $WEFT_STATE/images/
//!     layers/KEY/          files of one layer, as overlays have them
//!     layers/KEY.json      what it is, and how large
//!     names/DIGEST.json    an image: its layers, and what it was called
//!     empty/               the root of `scratch`
//!     draft.PID/           what is being made; what a command that was killed has left goes with the next one
//! ```
//!
//! A layer is made aside and renamed, so it is there whole or not at all. The directory itself is the lock: exclusive
//! for whoever makes or removes something, shared for a command between looking and launching.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use host::RootSpec;
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{ImageError, On};

/// Hexadecimal digits of a key: short names, since a mount takes few bytes of them.
pub(crate) const KEY_DIGITS: usize = 32;
/// Largest description of an image or layer.
const NOTE_BYTES_MAX: u64 = 16 << 20;

/// Where images are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageStore {
    directory: PathBuf,
}

/// The right to use the store, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Lock {
    _directory: File,
}

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// What names its content.
    pub(crate) digest: String,
    /// What blueprints called it last.
    pub(crate) name: String,
    /// Keys of its layers, the topmost first.
    pub(crate) layers: Vec<String>,
    /// Whether they lie over the host's files.
    pub(crate) host: bool,
    /// When it was made, in milliseconds since 1970.
    pub(crate) made_ms: u64,
}

/// A layer that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerNote {
    /// What made it.
    pub(crate) what: String,
    /// Bytes of its files.
    pub(crate) bytes: u64,
}

/// An image, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageRow {
    /// What blueprints called it last.
    pub name: String,
    /// What names its content.
    pub digest: String,
    /// Number of layers.
    pub layers: usize,
    /// Whether they lie over the host's files.
    pub host: bool,
    /// Bytes of its layers, those that it shares included.
    pub bytes: u64,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// Deployments with containers that run on it.
    pub used_by: Vec<String>,
}

/// What containers stand on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// The topmost layer of their roots, and whose they are.
    tops: BTreeMap<PathBuf, BTreeSet<String>>,
    /// All layers.
    layers: BTreeSet<PathBuf>,
}

impl Users {
    /// Adds the root of a container of `deployment`.
    pub(crate) fn add(&mut self, deployment: &str, root: &RootSpec) {
        let RootSpec::Overlay { lower, layers, .. } = root;
        if let Some(top) = layers.first() {
            self.tops.entry(top.clone()).or_default().insert(deployment.to_owned());
        }
        self.layers.extend(layers.iter().chain([lower]).cloned());
    }
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Images.
    pub images: usize,
    /// Layers.
    pub layers: usize,
    /// Bytes of these.
    pub bytes: u64,
}

impl ImageStore {
    /// The store below a state directory.
    pub fn new(state: &Path) -> Self {
        Self { directory: state.join("images") }
    }

    /// The store that lies in `directory`.
    pub(crate) fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn layers(&self) -> PathBuf {
        self.directory.join("layers")
    }

    /// Where a layer lies, or would.
    pub(crate) fn layer(&self, key: &str) -> PathBuf {
        self.layers().join(key)
    }

    fn note(&self, digest: &str) -> PathBuf {
        self.directory.join("names").join(digest.replace(':', "-")).with_extension("json")
    }

    /// Where what is being made lies.
    pub(crate) fn draft(&self) -> PathBuf {
        self.directory.join(format!("draft.{}", std::process::id()))
    }

    /// What commands that were killed have left.
    pub(crate) fn stale_drafts(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let draft = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("draft.");
        entries.filter(draft).map(|entry| entry.path()).collect()
    }

    /// Makes the directories and waits for the lock; says by `wait` that another command has it.
    pub(crate) fn lock(&self, exclusive: bool, wait: &dyn Fn()) -> Result<Lock, ImageError> {
        use FlockOperation::{LockExclusive, LockShared, NonBlockingLockExclusive, NonBlockingLockShared};
        let (at_once, how) = match exclusive {
            true => (NonBlockingLockExclusive, LockExclusive),
            false => (NonBlockingLockShared, LockShared),
        };
        loop {
            for directory in ["layers", "names", "empty"] {
                let path = self.directory.join(directory);
                fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).on("make", &path)?;
            }
            let directory = File::open(&self.directory).on("open", &self.directory)?;
            let mut tried = flock(&directory, at_once);
            if tried == Err(rustix::io::Errno::WOULDBLOCK) {
                wait();
                tried = flock(&directory, how);
            }
            if tried == Err(rustix::io::Errno::INTR) {
                continue;
            }
            tried.on("lock", &self.directory)?;
            // One that removed everything has removed the directory, too.
            let held = directory.metadata().on("look at", &self.directory)?;
            let there = fs::metadata(&self.directory);
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
                return Ok(Lock { _directory: directory });
            }
        }
    }

    /// The image of a digest, if it is there with all its layers.
    pub(crate) fn kept(&self, digest: &str) -> Option<Kept> {
        let kept: Kept = read(&self.note(digest))?;
        kept.layers.iter().all(|key| is_key(key) && self.layer(key).is_dir()).then_some(kept)
    }

    /// Notes an image whose layers are there.
    pub(crate) fn keep(&self, kept: &Kept) -> Result<(), ImageError> {
        self.write(&self.note(&kept.digest), kept)
    }

    /// Puts a layer that was made aside into its place.
    pub(crate) fn place(&self, key: &str, made: &Path, note: &LayerNote) -> Result<(), ImageError> {
        let place = self.layer(key);
        self.write(&place.with_extension("json"), note)?;
        fs::rename(made, &place).on("put in place", &place)
    }

    fn write(&self, path: &Path, value: &impl Serialize) -> Result<(), ImageError> {
        let draft = path.with_extension("new");
        let text = serde_json::to_vec(value).unwrap_or_default();
        let written = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft);
        written
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_data()))
            .and_then(|()| fs::rename(&draft, path))
            .on("write", path)
    }

    /// The root of a container: an image's layers, or nothing at all.
    pub(crate) fn root(&self, kept: Option<&Kept>) -> RootSpec {
        let empty = || self.directory.join("empty");
        let Some(kept) = kept else {
            return RootSpec::Overlay { lower: empty(), layers: Vec::new(), kept: false };
        };
        self.root_of(&kept.layers, kept.host, false)
    }

    /// The root of layers, the topmost first. With `kept`, what is written there can be found afterwards.
    pub(crate) fn root_of(&self, layers: &[String], host: bool, kept: bool) -> RootSpec {
        let layers = layers.iter().map(|key| self.layer(key)).collect();
        let lower = if host { PathBuf::from("/") } else { self.directory.join("empty") };
        RootSpec::Overlay { lower, layers, kept }
    }

    /// Every image, by name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self, users: &Users) -> Result<Vec<ImageRow>, ImageError> {
        let mut rows: Vec<ImageRow> = self.all()?.into_iter().map(|kept| self.row(&kept, users)).collect();
        rows.sort_by(|a, b| (&a.name, a.made_ms).cmp(&(&b.name, b.made_ms)));
        Ok(rows)
    }

    fn row(&self, kept: &Kept, users: &Users) -> ImageRow {
        let bytes = kept.layers.iter().map(|key| self.layer_note(key).bytes).sum();
        let top = kept.layers.first().map(|key| self.layer(key));
        let used = top.and_then(|top| users.tops.get(&top)).cloned().unwrap_or_default();
        ImageRow {
            name: kept.name.clone(),
            digest: kept.digest.clone(),
            layers: kept.layers.len(),
            host: kept.host,
            bytes,
            made_ms: kept.made_ms,
            used_by: used.into_iter().collect(),
        }
    }

    fn all(&self) -> Result<Vec<Kept>, ImageError> {
        let names = self.directory.join("names");
        let entries = match fs::read_dir(&names) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.on("list", &names)?,
        };
        Ok(entries.flatten().filter_map(|entry| read(&entry.path())).collect())
    }

    fn layer_note(&self, key: &str) -> LayerNote {
        read(&self.layer(key).with_extension("json")).unwrap_or_default()
    }

    /// Whether anything was ever kept.
    pub(crate) fn exists(&self) -> bool {
        self.directory.is_dir()
    }

    /// Removes images, and layers that no image has any more; `command` is a process that removes files.
    pub(crate) fn take_away(
        &self,
        doomed: impl Fn(&ImageRow) -> bool,
        users: &Users,
        command: std::process::Command,
    ) -> Result<Pruned, ImageError> {
        let _lock = self.lock(true, &|| {})?;
        let (pruned, layers) = self.forget(doomed, users)?;
        if !layers.is_empty() || !self.stale_drafts().is_empty() {
            super::prepare::remove(self, layers, command)?;
        }
        self.remove_empty(users);
        Ok(pruned)
    }

    /// Forgets images, and names the layers that no image has any more. `doomed` says of each whether it goes.
    pub(crate) fn forget(
        &self,
        doomed: impl Fn(&ImageRow) -> bool,
        users: &Users,
    ) -> Result<(Pruned, Vec<String>), ImageError> {
        let mut pruned = Pruned::default();
        let mut wanted = BTreeSet::new();
        for kept in self.all()? {
            if doomed(&self.row(&kept, users)) {
                let path = self.note(&kept.digest);
                fs::remove_file(&path).on("remove", &path)?;
                pruned.images += 1;
            } else {
                wanted.extend(kept.layers);
            }
        }
        let mut layers = Vec::new();
        for entry in fs::read_dir(self.layers()).into_iter().flatten().flatten() {
            let key = entry.file_name().to_string_lossy().into_owned();
            let used = wanted.contains(&key) || users.layers.contains(&entry.path());
            if is_key(&key) && !used {
                pruned.bytes += self.layer_note(&key).bytes;
                layers.push(key);
            }
        }
        self.remove_torn();
        pruned.layers = layers.len();
        Ok((pruned, layers))
    }

    /// Removes descriptions that a command which was killed had just written.
    fn remove_torn(&self) {
        for directory in ["layers", "names"] {
            for entry in fs::read_dir(self.directory.join(directory)).into_iter().flatten().flatten() {
                let path = entry.path();
                let ending = path.extension().and_then(std::ffi::OsStr::to_str);
                let alone =
                    directory == "layers" && ending == Some("json") && !path.with_extension("").is_dir();
                if alone || ending == Some("new") {
                    let _ = fs::remove_file(path);
                }
            }
        }
    }

    /// Takes the empty directories away.
    pub(crate) fn remove_empty(&self, users: &Users) {
        for directory in ["layers", "names", "empty"] {
            let path = self.directory.join(directory);
            if !users.layers.contains(&path) {
                let _ = fs::remove_dir(path);
            }
        }
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Whether a name is a key: what the store holds is named by nobody else.
pub(crate) fn is_key(name: &str) -> bool {
    name.len() == KEY_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// What a file says; nothing if it is not what weft wrote.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(File::open(path).ok()?, NOTE_BYTES_MAX), &mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
