//! What COPY and ADD take: files of a directory that they cannot leave, in a fixed order, with what they are.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::{ImageError, On};
use super::glob::{Ignore, Pattern, is_pattern, parts};
use super::layout::hex;

/// Most files, directories and links that one COPY may take.
pub const ENTRIES_MAX: usize = 200_000;
/// Most bytes that one COPY may take.
pub const BYTES_MAX: u64 = 4 << 30;
/// Deepest directory that is looked into.
const DEPTH_MAX: usize = 128;
/// Largest `.dockerignore`.
const IGNORE_BYTES_MAX: u64 = 1 << 20;

/// A directory that is copied from.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Resolved.
    root: PathBuf,
    ignore: Ignore,
    /// What errors call it.
    shown: String,
}

/// What is copied under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where it is.
    real: PathBuf,
    kind: Kind,
    /// Its permission bits.
    mode: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File { bytes: u64 },
    Link { target: PathBuf },
}

/// What a COPY takes, by the name that it gets below its destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) entries: BTreeMap<PathBuf, Entry>,
    /// Whether it is one file, which the destination may give another name.
    pub(crate) single: bool,
    /// The files that were named by themselves.
    named: Vec<PathBuf>,
}

impl Context {
    /// The context in a directory, less what its `.dockerignore` (or that of the Dockerfile, `NAME.dockerignore`) leaves
    /// out.
    pub(crate) fn new(root: &Path, shown: &str, ignore_file: Option<&Path>) -> Result<Context, ImageError> {
        let root = root.canonicalize().on("read", shown)?;
        let own = ignore_file.filter(|path| path.is_file()).map(Path::to_owned);
        let path = own.unwrap_or_else(|| root.join(".dockerignore"));
        let mut text = String::new();
        if path.is_file() {
            let file = File::open(&path).on("read", &path)?;
            file.take(IGNORE_BYTES_MAX).read_to_string(&mut text).on("read", &path)?;
        }
        Ok(Context { root, ignore: Ignore::new(&text), shown: shown.to_owned() })
    }

    /// Everything below a directory.
    pub(crate) fn whole(root: &Path, shown: &str) -> Context {
        Context { root: root.to_owned(), ignore: Ignore::default(), shown: shown.to_owned() }
    }

    /// What the sources of a COPY are.
    pub(crate) fn select(&self, sources: &[String]) -> Result<Selection, ImageError> {
        let mut selection = Selection::default();
        let mut found = Vec::new();
        for source in sources {
            let relative = below(source).ok_or_else(|| self.outside(source))?;
            if is_pattern(source) {
                let before = found.len();
                self.find(&relative, &mut found)?;
                if found.len() == before {
                    return Err(ImageError::Work(format!("nothing in {} matches '{source}'", self.shown)));
                }
            } else {
                found.push(relative);
            }
        }
        let only = found.len() == 1;
        for relative in found {
            let shown = relative.display().to_string();
            let Ok(real) = self.root.join(&relative).canonicalize() else {
                return Err(self.missing(&shown));
            };
            let place = real.strip_prefix(&self.root).map_err(|_| self.outside(&shown))?.to_owned();
            if !place.as_os_str().is_empty()
                && self.ignore.leaves_out(&place)
                && !self.ignore.has_exceptions()
            {
                return Err(self.missing(&shown));
            }
            let meta = fs::symlink_metadata(&real).on("read", &shown)?;
            if meta.is_dir() {
                self.walk(&place, Path::new(""), 0, &mut selection)?;
            } else {
                let name = PathBuf::from(relative.file_name().unwrap_or_default());
                selection.named.push(name.clone());
                self.add(&real, name, &meta, &mut selection)?;
                selection.single = only;
            }
        }
        Ok(selection)
    }

    fn outside(&self, source: &str) -> ImageError {
        ImageError::Work(format!("'{source}' is outside of {}", self.shown))
    }

    fn missing(&self, source: &str) -> ImageError {
        let out = self.ignore.leaves_out(Path::new(source));
        let why = if out { ", since its .dockerignore leaves it out" } else { "" };
        ImageError::Work(format!("there is no '{source}' in {}{why}", self.shown))
    }

    /// The paths that match a pattern, sorted.
    fn find(&self, pattern: &Path, found: &mut Vec<PathBuf>) -> Result<(), ImageError> {
        let depth = pattern.iter().count();
        let text = pattern.to_string_lossy();
        let whole = Pattern::new(&text);
        let mut waiting = vec![PathBuf::new()];
        while let Some(directory) = waiting.pop() {
            for (name, meta) in self.list(&directory)? {
                let path = directory.join(&name);
                if self.ignore.leaves_out(&path) {
                    continue;
                }
                let parts = parts(&path);
                if parts.len() == depth && whole.matches(&parts) {
                    found.push(path);
                    if found.len() > ENTRIES_MAX {
                        return Err(self.too_many());
                    }
                } else if meta.is_dir() && parts.len() < depth {
                    waiting.push(path);
                }
            }
        }
        found.sort();
        Ok(())
    }

    /// What is in a directory of the context, sorted.
    fn list(&self, directory: &Path) -> Result<Vec<(std::ffi::OsString, fs::Metadata)>, ImageError> {
        let path = self.root.join(directory);
        let mut entries = Vec::new();
        for entry in fs::read_dir(&path).on("list", &path)? {
            let entry = entry.on("list", &path)?;
            entries.push((entry.file_name(), entry.metadata().on("read", entry.path())?));
            if entries.len() > ENTRIES_MAX {
                return Err(self.too_many());
            }
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    fn too_many(&self) -> ImageError {
        ImageError::TooLarge { what: format!("more than {ENTRIES_MAX} files in {}", self.shown) }
    }

    /// Takes what is in a directory, but not the directory itself.
    fn walk(&self, place: &Path, name: &Path, depth: usize, into: &mut Selection) -> Result<(), ImageError> {
        if depth > DEPTH_MAX {
            return Err(ImageError::TooLarge { what: format!("directories nest deeper than {DEPTH_MAX}") });
        }
        for (file, meta) in self.list(place)? {
            let (place, name) = (place.join(&file), name.join(&file));
            let out = self.ignore.leaves_out(&place);
            if meta.is_dir() {
                if !out {
                    self.add(&self.root.join(&place), name.clone(), &meta, into)?;
                }
                if !out || self.ignore.has_exceptions() {
                    self.walk(&place, &name, depth + 1, into)?;
                }
            } else if !out {
                self.add(&self.root.join(&place), name, &meta, into)?;
            }
        }
        Ok(())
    }

    fn add(
        &self,
        real: &Path,
        name: PathBuf,
        meta: &fs::Metadata,
        into: &mut Selection,
    ) -> Result<(), ImageError> {
        let kind = if meta.is_dir() {
            Kind::Directory
        } else if meta.is_file() {
            Kind::File { bytes: meta.len() }
        } else if meta.is_symlink() {
            Kind::Link { target: fs::read_link(real).on("read", real)? }
        } else {
            // Sockets and pipes are nothing that an image could have.
            return Ok(());
        };
        if into.entries.len() == ENTRIES_MAX {
            return Err(self.too_many());
        }
        let mode = meta.permissions().mode() & 0o7777;
        into.entries.insert(name, Entry { real: real.to_owned(), kind, mode });
        Ok(())
    }
}

/// A source as a path below the context: absolute ones start there, too.
fn below(source: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in Path::new(source.trim_start_matches('/')).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => {
                if !path.pop() {
                    return None;
                }
            }
        }
    }
    Some(path)
}

impl Selection {
    /// Where its files are.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.entries
            .values()
            .filter(|entry| matches!(entry.kind, Kind::File { .. }))
            .map(|entry| entry.real.as_path())
    }

    /// Takes the archives out of it that were named by themselves, opened: ADD unpacks them.
    pub(crate) fn take_archives(&mut self) -> Result<Vec<File>, ImageError> {
        let mut archives = Vec::new();
        for name in &self.named {
            let Some(entry) = self.entries.get(name).filter(|entry| matches!(entry.kind, Kind::File { .. }))
            else {
                continue;
            };
            let mut file = File::open(&entry.real).on("read", &entry.real)?;
            if is_archive(&mut file) {
                file.seek(io::SeekFrom::Start(0)).on("read", &entry.real)?;
                self.entries.remove(name);
                archives.push(file);
            }
        }
        Ok(archives)
    }

    /// A digest of all of it: names, modes and contents.
    pub(crate) fn digest(&self) -> Result<String, ImageError> {
        self.read(&mut |_, _, _| Ok(()))
    }

    /// Writes it as a tar archive, everything root's, and gives the digest of what was written. With `mode`, all
    /// files and directories have that.
    pub(crate) fn write(&self, archive: &mut File, mode: Option<u32>) -> Result<String, ImageError> {
        let mut builder = tar::Builder::new(io::BufWriter::new(archive));
        let digest = self.read(&mut |name, entry, content| {
            let mut header = tar::Header::new_gnu();
            header.set_mode(mode.unwrap_or(entry.mode));
            header.set_mtime(modified(&entry.real));
            match &entry.kind {
                Kind::Directory => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    builder.append_data(&mut header, name, io::empty())
                }
                Kind::Link { target } => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    builder.append_link(&mut header, name, target)
                }
                Kind::File { bytes } => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_size(*bytes);
                    builder.append_data(&mut header, name, content)
                }
            }
        })?;
        let finished = builder.into_inner().and_then(|mut writer| writer.flush());
        finished.map_err(|error| ImageError::Work(format!("cannot copy: {error}")))?;
        Ok(digest)
    }

    /// Shows all of it to `each`, which must read the content of files, and gives its digest.
    fn read(
        &self,
        each: &mut dyn FnMut(&Path, &Entry, &mut dyn Read) -> io::Result<()>,
    ) -> Result<String, ImageError> {
        let mut whole = Sha256::new();
        let mut left = BYTES_MAX;
        for (name, entry) in &self.entries {
            let mut field = |bytes: &[u8]| {
                whole.update((bytes.len() as u64).to_le_bytes());
                whole.update(bytes);
            };
            field(name.as_os_str().as_encoded_bytes());
            match &entry.kind {
                Kind::Directory => {
                    field(format!("directory {:o}", entry.mode).as_bytes());
                    each(name, entry, &mut io::empty()).on("copy", &entry.real)?;
                }
                Kind::Link { target } => {
                    field(b"link");
                    field(target.as_os_str().as_encoded_bytes());
                    each(name, entry, &mut io::empty()).on("copy", &entry.real)?;
                }
                Kind::File { bytes } => {
                    let what = || format!("more than {} GiB to copy", BYTES_MAX >> 30);
                    left = left.checked_sub(*bytes).ok_or_else(|| ImageError::TooLarge { what: what() })?;
                    field(format!("file {:o}", entry.mode).as_bytes());
                    field(&contents(name, entry, *bytes, each)?);
                }
            }
        }
        field_of(&mut whole, if self.single { b"single" } else { b"several" });
        Ok(hex(&whole.finalize()))
    }
}

fn field_of(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// Reads a file, shows it to `each`, and gives its digest.
fn contents(
    name: &Path,
    entry: &Entry,
    bytes: u64,
    each: &mut dyn FnMut(&Path, &Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<Vec<u8>, ImageError> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = File::options().read(true).custom_flags(flags.bits() as i32).open(&entry.real);
    let mut tee = Tee { inner: opened.on("read", &entry.real)?.take(bytes), hash: Sha256::new(), read: 0 };
    each(name, entry, &mut tee).on("copy", &entry.real)?;
    io::copy(&mut tee, &mut io::sink()).on("read", &entry.real)?;
    if tee.read != bytes {
        return Err(ImageError::Work(format!("{} changes while it is copied", entry.real.display())));
    }
    Ok(tee.hash.finalize().to_vec())
}

struct Tee<R> {
    inner: R,
    hash: Sha256,
    read: u64,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.read += read as u64;
        Ok(read)
    }
}

/// Whether a file begins with a header of tar, packed or not.
fn is_archive(file: &mut File) -> bool {
    let mut block = [0; 512];
    let read =
        super::unpack::decoder(io::BufReader::new(file)).and_then(|mut plain| plain.read_exact(&mut block));
    let header = tar::Header::from_byte_slice(&block);
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    read.is_ok() && block != [0; 512] && header.cksum().is_ok_and(|told| told == sum)
}

fn modified(path: &Path) -> u64 {
    let time = fs::symlink_metadata(path).and_then(|meta| meta.modified());
    let since = time.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> (tempfile::TempDir, Context) {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("c");
        fs::create_dir_all(root.join("src/deep")).unwrap();
        for (name, text) in
            [("a.js", "a"), ("b.js", "b"), ("src/c.js", "c"), ("src/deep/d.md", "d"), ("secret", "s")]
        {
            fs::write(root.join(name), text).unwrap();
        }
        fs::write(root.join(".dockerignore"), "secret\n**/*.md\n").unwrap();
        fs::write(place.path().join("outside"), "x").unwrap();
        std::os::unix::fs::symlink("../outside", root.join("out")).unwrap();
        let context = Context::new(&root, "the context", None).unwrap();
        (place, context)
    }

    fn names(selection: &Selection) -> Vec<&str> {
        selection.entries.keys().filter_map(|name| name.to_str()).collect()
    }

    #[test]
    fn files_directories_and_patterns_are_taken() {
        let (_place, context) = context();
        let select = |sources: &[&str]| {
            context.select(&sources.iter().map(|source| (*source).to_owned()).collect::<Vec<_>>())
        };
        let one = select(&["a.js"]).unwrap();
        assert_eq!((names(&one), one.single), (vec!["a.js"], true));
        assert_eq!(names(&select(&["*.js"]).unwrap()), ["a.js", "b.js"]);
        assert_eq!(names(&select(&["/src"]).unwrap()), ["c.js", "deep"]);
        assert_eq!(
            names(&select(&["."]).unwrap()),
            [".dockerignore", "a.js", "b.js", "out", "src", "src/c.js", "src/deep"],
            "a link is copied as a link"
        );
        for (bad, why) in [
            ("../outside", "'../outside' is outside of the context"),
            ("out", "'out' is outside of the context"),
            ("src/../../x", "'src/../../x' is outside of the context"),
            ("secret", "there is no 'secret' in the context, since its .dockerignore leaves it out"),
            ("nothing", "there is no 'nothing' in the context"),
            ("*.py", "nothing in the context matches '*.py'"),
        ] {
            assert_eq!(select(&[bad]).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn a_digest_is_of_names_modes_and_contents() {
        let (place, context) = context();
        let digest = || context.select(&["src".to_owned()]).unwrap().digest().unwrap();
        let first = digest();
        assert_eq!(digest(), first);
        let file = place.path().join("c/src/c.js");
        fs::write(&file, "C").unwrap();
        let second = digest();
        assert_ne!(second, first);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(digest(), second);
        let selection = context.select(&["src".to_owned()]).unwrap();
        let mut archive = tempfile::tempfile().unwrap();
        assert_eq!(selection.write(&mut archive, None).unwrap(), selection.digest().unwrap());
    }
}
