//! The only files a blueprint can see: those below its own directory.
//!
//! Scripts see that directory as `/blueprint`, so that nothing of this machine's paths gets into a blueprint.
//! Every path is resolved with its symbolic links before it is opened, and every file read and directory listed is
//! recorded.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::fault::Sources;

/// Where scripts see the blueprint's directory.
pub const VIRTUAL_ROOT: &str = "/blueprint";
/// Largest file a blueprint may read, in bytes.
pub const READ_BYTES_MAX: u64 = 4 << 20;
/// Most files a blueprint may read.
pub const READS_MAX: usize = 1_000;

/// Most names in a directory that a blueprint may list.
const NAMES_MAX: usize = 10_000;

/// Why text that is no file can read none.
pub(super) const NO_DIRECTORY: &str = "this blueprint has no directory to read from";

/// A file below the root, by the name spans and stacks use.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Name shown to people.
    pub(crate) name: String,
    /// Resolved path.
    pub(crate) real: PathBuf,
}

/// What there is at a path.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A file.
    File(Found),
    /// A directory.
    Directory {
        /// Resolved path.
        real: PathBuf,
        /// The same, relative to the root.
        below: PathBuf,
    },
}

/// Why something could not be read, with the code that Node has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Why.
    pub(crate) reason: String,
    /// `ENOENT` and the like.
    pub(crate) code: &'static str,
}

impl Unread {
    fn new(reason: &str, code: &'static str) -> Unread {
        Unread { reason: reason.to_owned(), code }
    }

    /// Nothing is there.
    pub(crate) fn missing() -> Unread {
        Unread::new("there is no such file", "ENOENT")
    }

    /// It may not be read.
    pub(crate) fn refused(reason: String) -> Unread {
        Unread { reason, code: "EACCES" }
    }
}

/// The blueprint's directory, and what was read of it.
#[derive(Clone)]
pub(crate) struct Files {
    root: Option<PathBuf>,
    shown: PathBuf,
    /// The blueprint, relative to the root.
    main: PathBuf,
    /// Text of everything read as source.
    pub(crate) sources: Sources,
    /// Resolved paths of everything read or listed.
    pub(crate) inputs: Vec<PathBuf>,
    /// Relative path below the root, by shown name.
    relative: BTreeMap<String, PathBuf>,
}

impl Files {
    /// Files below `root` (resolved), shown with the prefix `shown`; none without a root.
    pub(crate) fn new(root: Option<PathBuf>, shown: PathBuf) -> Files {
        let (sources, inputs, relative) = (Sources::new(), Vec::new(), BTreeMap::new());
        Files { root, shown, main: PathBuf::new(), sources, inputs, relative }
    }

    /// Makes the blueprint itself known.
    pub(crate) fn add(&mut self, name: &str, relative: PathBuf, text: Arc<str>) {
        self.main.clone_from(&relative);
        self.relative.insert(name.to_owned(), relative);
        self.sources.insert(name.to_owned(), text);
    }

    /// The directory of the file shown as `name`, relative to the root; the blueprint's own for one that is unknown.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.relative.get(name).and_then(|path| path.parent());
        path.or(self.main.parent()).unwrap_or(Path::new("")).to_owned()
    }

    /// The directory itself, resolved.
    pub(crate) fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Whether there is a directory to read from.
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Where scripts see the blueprint.
    pub(crate) fn main(&self) -> String {
        seen(&self.main)
    }

    /// Where scripts see the blueprint's own directory, in which relative paths start.
    pub(crate) fn own(&self) -> String {
        seen(&self.directory(""))
    }

    /// Where scripts see the file shown as `name`.
    pub(crate) fn seen(&self, name: &str) -> String {
        self.relative.get(name).map_or_else(|| VIRTUAL_ROOT.to_owned(), |path| seen(path))
    }

    /// Finds what a script in directory `base` (relative to the root) calls `path`.
    pub(crate) fn look(&mut self, base: &Path, path: &str) -> Result<Option<Place>, String> {
        if self.is_empty() {
            return Err(NO_DIRECTORY.into());
        }
        let relative = normalise(base, path)?;
        self.place(&relative).map_err(|_| outside(path))
    }

    /// What is at a path relative to the root, if anything is; an error if links lead out of the root.
    pub(super) fn place(&mut self, relative: &Path) -> Result<Option<Place>, String> {
        let root = self.root.as_ref().ok_or(NO_DIRECTORY)?;
        let Ok(real) = root.join(relative).canonicalize() else { return Ok(None) };
        let below = real.strip_prefix(root).map_err(|_| outside(&relative.to_string_lossy()))?.to_owned();
        if real.is_dir() {
            return Ok(Some(Place::Directory { real, below }));
        }
        if !real.is_file() {
            return Ok(None);
        }
        let name = self.shown.join(&below).to_string_lossy().into_owned();
        self.relative.insert(name.clone(), below);
        Ok(Some(Place::File(Found { name, real })))
    }

    /// The content of what a script calls `path`.
    pub(crate) fn bytes(&mut self, path: &str) -> Result<Vec<u8>, Unread> {
        let base = self.directory("");
        let real = match self.look(&base, path).map_err(Unread::refused)? {
            Some(Place::File(found)) => found.real,
            Some(Place::Directory { .. }) => return Err(Unread::new("it is a directory", "EISDIR")),
            None => return Err(Unread::missing()),
        };
        self.count(&real).map_err(Unread::refused)?;
        read_bytes(&real).map_err(Unread::refused)
    }

    /// The names in the directory that a script calls `path`, sorted, and which of them are directories.
    pub(crate) fn names(&mut self, path: &str) -> Result<Vec<(String, bool)>, Unread> {
        let base = self.directory("");
        let real = match self.look(&base, path).map_err(Unread::refused)? {
            Some(Place::Directory { real, .. }) => real,
            Some(Place::File(_)) => return Err(Unread::new("it is no directory", "ENOTDIR")),
            None => return Err(Unread::missing()),
        };
        self.count(&real).map_err(Unread::refused)?;
        let fault = |error: std::io::Error| Unread::refused(error.to_string());
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&real).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            if names.len() == NAMES_MAX {
                return Err(Unread::refused(format!("it has more than {NAMES_MAX} names in it")));
            }
            names.push((entry.file_name().to_string_lossy().into_owned(), entry.path().is_dir()));
        }
        names.sort();
        Ok(names)
    }

    /// Records that a file or directory was read.
    fn count(&mut self, real: &Path) -> Result<(), String> {
        if !self.inputs.iter().any(|known| known == real) {
            if self.inputs.len() >= READS_MAX {
                return Err(format!("a blueprint may read {READS_MAX} files at most"));
            }
            self.inputs.push(real.to_owned());
        }
        Ok(())
    }

    /// Reads a file found before, as text.
    pub(crate) fn read(&mut self, found: &Found) -> Result<Arc<str>, String> {
        if let Some(text) = self.sources.get(&found.name) {
            return Ok(text.clone());
        }
        self.count(&found.real)?;
        let text = read_text(&found.real)?;
        self.sources.insert(found.name.clone(), text.clone());
        Ok(text)
    }
}

/// Reads a regular file of bounded size as UTF-8, without a byte order mark.
pub(crate) fn read_text(path: &Path) -> Result<Arc<str>, String> {
    let text = String::from_utf8(read_bytes(path)?).map_err(|_| "it is not UTF-8 text".to_owned())?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).into())
}

/// Reads a regular file of bounded size.
fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let fault = |error: std::io::Error| error.to_string();
    if !path.metadata().map_err(fault)?.is_file() {
        return Err("it is not a regular file".into());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(fault)?;
    file.take(READ_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() as u64 > READ_BYTES_MAX {
        return Err(format!("it is larger than {} MiB", READ_BYTES_MAX >> 20));
    }
    Ok(bytes)
}

/// Where scripts see a path relative to the root.
fn seen(relative: &Path) -> String {
    let below = relative.to_string_lossy();
    if below.is_empty() { VIRTUAL_ROOT.to_owned() } else { format!("{VIRTUAL_ROOT}/{below}") }
}

fn outside(path: &str) -> String {
    let shown: String = path.chars().take(200).collect();
    format!("'{shown}' is outside the blueprint's directory")
}

/// `path` as seen from `base`, relative to the root; an error if it climbs out.
pub(crate) fn normalise(base: &Path, path: &str) -> Result<PathBuf, String> {
    if path.contains('\0') {
        return Err("the path has a zero byte".into());
    }
    let (start, rest) = match path.strip_prefix(VIRTUAL_ROOT) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            (Path::new(""), rest.trim_start_matches('/'))
        }
        _ if path.starts_with('/') => return Err(outside(path)),
        _ => (base, path),
    };
    let mut parts = PathBuf::new();
    for component in start.components().chain(Path::new(rest).components()) {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !parts.pop() {
                    return Err(outside(path));
                }
            }
            Component::RootDir | Component::Prefix(_) => return Err(outside(path)),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        let at =
            |base: &str, path: &str| normalise(Path::new(base), path).ok().map(|p| p.display().to_string());
        assert_eq!(at("", "./a.js").as_deref(), Some("a.js"));
        assert_eq!(at("lib", "../a.js").as_deref(), Some("a.js"));
        assert_eq!(at("lib", "/blueprint/b/../a.js").as_deref(), Some("a.js"));
        assert_eq!(at("lib", "../../a.js"), None);
        assert_eq!(at("", "/etc/passwd"), None);
        assert_eq!(at("", "/blueprints/x"), None);
        assert_eq!(at("", "/blueprint/../etc/passwd"), None);
    }
}
