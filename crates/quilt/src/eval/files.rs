//! The only files a blueprint can see: those below its own directory.
//!
//! Scripts see that directory as `/blueprint`, so that nothing of this machine's paths gets into a blueprint.
//! Every path is resolved with its symbolic links before it is opened, and every file read is recorded.

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

/// Endings tried, in order, when an import names no existing file.
const ENDINGS: [&str; 6] = ["", ".js", ".mjs", ".cjs", ".json", "/index.js"];

/// A file below the root, by the name spans and stacks use.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Name shown to people.
    pub(crate) name: String,
    /// Resolved path.
    pub(crate) real: PathBuf,
}

/// The blueprint's directory, and what was read of it.
#[derive(Clone)]
pub(crate) struct Files {
    root: Option<PathBuf>,
    shown: PathBuf,
    /// Text of everything read as source.
    pub(crate) sources: Sources,
    /// Resolved paths of everything read.
    pub(crate) inputs: Vec<PathBuf>,
    /// Relative path below the root, by shown name.
    relative: BTreeMap<String, PathBuf>,
}

impl Files {
    /// Files below `root` (resolved), shown with the prefix `shown`; none without a root.
    pub(crate) fn new(root: Option<PathBuf>, shown: PathBuf) -> Files {
        Files { root, shown, sources: Sources::new(), inputs: Vec::new(), relative: BTreeMap::new() }
    }

    /// Makes the blueprint itself known.
    pub(crate) fn add(&mut self, name: &str, relative: PathBuf, text: Arc<str>) {
        self.relative.insert(name.to_owned(), relative);
        self.sources.insert(name.to_owned(), text);
    }

    /// The directory of the file shown as `name`, relative to the root.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        self.relative.get(name).and_then(|path| path.parent()).unwrap_or(Path::new("")).to_owned()
    }

    /// Finds the file that a script in directory `base` (relative to the root) calls `path`.
    pub(crate) fn find(&mut self, base: &Path, path: &str, endings: bool) -> Result<Found, String> {
        let root = self.root.clone().ok_or("this blueprint has no directory to read from")?;
        if path.contains('\0') {
            return Err("the path has a zero byte".into());
        }
        let relative = normalise(base, path).ok_or_else(|| outside(path))?;
        let endings = if endings { &ENDINGS[..] } else { &ENDINGS[..1] };
        for ending in endings {
            let mut candidate = root.join(&relative).into_os_string();
            candidate.push(ending);
            let Ok(real) = Path::new(&candidate).canonicalize() else { continue };
            let Ok(below) = real.strip_prefix(&root) else { return Err(outside(path)) };
            if real.is_file() {
                let name = self.shown.join(below).to_string_lossy().into_owned();
                self.relative.insert(name.clone(), below.to_owned());
                return Ok(Found { name, real });
            }
        }
        Err("there is no such file".into())
    }

    /// Reads a file found before, as text.
    pub(crate) fn read(&mut self, found: &Found) -> Result<Arc<str>, String> {
        if let Some(text) = self.sources.get(&found.name) {
            return Ok(text.clone());
        }
        if self.inputs.len() >= READS_MAX {
            return Err(format!("a blueprint may read {READS_MAX} files at most"));
        }
        let text = read_text(&found.real)?;
        if !self.inputs.contains(&found.real) {
            self.inputs.push(found.real.clone());
        }
        self.sources.insert(found.name.clone(), text.clone());
        Ok(text)
    }
}

/// Reads a regular file of bounded size as UTF-8, without a byte order mark.
pub(crate) fn read_text(path: &Path) -> Result<Arc<str>, String> {
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
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).into())
}

fn outside(path: &str) -> String {
    let shown: String = path.chars().take(200).collect();
    format!("'{shown}' is outside the blueprint's directory")
}

/// `path` as seen from `base`, relative to the root; `None` if it climbs out.
fn normalise(base: &Path, path: &str) -> Option<PathBuf> {
    let (start, path) = match path.strip_prefix(VIRTUAL_ROOT) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            (Path::new(""), rest.trim_start_matches('/'))
        }
        _ if path.starts_with('/') => return None,
        _ => (base, path),
    };
    let mut parts = PathBuf::new();
    for component in start.components().chain(Path::new(path).components()) {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !parts.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        let at = |base: &str, path: &str| normalise(Path::new(base), path).map(|p| p.display().to_string());
        assert_eq!(at("", "./a.js").as_deref(), Some("a.js"));
        assert_eq!(at("lib", "../a.js").as_deref(), Some("a.js"));
        assert_eq!(at("lib", "/blueprint/b/../a.js").as_deref(), Some("a.js"));
        assert_eq!(at("lib", "../../a.js"), None);
        assert_eq!(at("", "/etc/passwd"), None);
        assert_eq!(at("", "/blueprints/x"), None);
        assert_eq!(at("", "/blueprint/../etc/passwd"), None);
    }
}
