//! Entries of an archive, one by one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use tar::{Entry, EntryType};

use super::{BYTES_MAX, Budget, ENTRIES_MAX, ImageError, Options, Unpacked};
use crate::images::tarball::{NAME_BYTES_MAX, Names};

/// Most devices of one archive that are named.
const DEVICES_MAX: usize = 20;

/// One archive being unpacked.
pub(super) struct Unpacker<'a> {
    root: OwnedFd,
    options: &'a Options,
    budget: &'a mut Budget,
    unpacked: Unpacked,
    /// The directory that the last entry was put into.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Times of directories, set when nothing is put into them any more.
    times: BTreeMap<PathBuf, u64>,
    devices: Vec<String>,
    strangers: u64,
}

/// Why an entry cannot be unpacked: a reason of ours, or the system's.
enum Bad {
    Because(String),
    System(Errno),
    Stream(io::Error),
}

impl From<Errno> for Bad {
    fn from(error: Errno) -> Bad {
        Bad::System(error)
    }
}

fn because(reason: &str) -> Bad {
    Bad::Because(reason.to_owned())
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(root: OwnedFd, options: &'a Options, budget: &'a mut Budget) -> Self {
        Self {
            root,
            options,
            budget,
            unpacked: Unpacked::default(),
            parent: None,
            times: BTreeMap::new(),
            devices: Vec::new(),
            strangers: 0,
        }
    }

    /// Unpacks an entry.
    pub(super) fn entry<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        names: &Names,
    ) -> Result<(), ImageError> {
        let shown =
            || String::from_utf8_lossy(&names.path).chars().take(200).flat_map(char::escape_debug).collect();
        self.unpacked.entries += 1;
        self.budget.entries = self.budget.entries.checked_sub(1).ok_or_else(|| ImageError::TooLarge {
            what: format!("more than {ENTRIES_MAX} files, of which '{}' is the next", shown()),
        })?;
        self.place(entry, names).map_err(|bad| match bad {
            Bad::Because(reason) => {
                ImageError::Entry { layer: self.options.what.clone(), entry: shown(), reason }
            }
            Bad::System(error) => ImageError::Entry {
                layer: self.options.what.clone(),
                entry: shown(),
                reason: format!("cannot be made: {}", io::Error::from(error)),
            },
            Bad::Stream(error) => ImageError::Torn {
                file: self.options.what.clone(),
                reason: format!("in the entry '{}': {error}", shown()),
            },
        })
    }

    fn place<R: Read>(&mut self, entry: &mut Entry<'_, R>, names: &Names) -> Result<(), Bad> {
        let mut path = self.options.below.join(inside(&names.path)?);
        if let Some(name) = &self.options.rename {
            path = self.options.below.join(OsStr::from_bytes(name));
        }
        let kind = entry.header().entry_type();
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            // The root itself.
            return if kind.is_dir() { self.root_directory(entry, names) } else { Ok(()) };
        };
        if self.options.whiteouts
            && let Some(hidden) = name.as_bytes().strip_prefix(b".wh.")
        {
            return self.whiteout(&path, hidden);
        }
        let parent = self.parent(path.parent().unwrap_or(Path::new("")))?;
        let parent = parent.as_fd();
        match kind {
            EntryType::Directory => self.directory(parent, &name)?,
            EntryType::Regular | EntryType::Continuous => self.file(parent, &name, entry)?,
            EntryType::Symlink => {
                self.clear(parent, &name)?;
                rustix::fs::symlinkat(names.link.as_slice(), parent, &name)?;
            }
            EntryType::Link => return self.hard_link(parent, &name, &names.link),
            EntryType::Fifo => {
                self.clear(parent, &name)?;
                rustix::fs::mknodat(parent, &name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
            }
            EntryType::Block | EntryType::Char => {
                if self.devices.len() < DEVICES_MAX {
                    self.devices.push(path.display().to_string());
                }
                return Ok(());
            }
            EntryType::GNUSparse => return Err(because("is a sparse file, which images have no use for")),
            other => {
                return Err(Bad::Because(format!("is of an unknown kind, {:?}", other.as_byte() as char)));
            }
        }
        self.dress(parent, &name, entry, names)?;
        if kind.is_dir() {
            self.times.insert(path, time(entry, names));
        }
        Ok(())
    }

    /// The directory at `path`, made if the archive has not made it.
    fn parent(&mut self, path: &Path) -> Result<OwnedFd, Bad> {
        if let Some((known, directory)) = &self.parent
            && known == path
        {
            return directory.try_clone().map_err(|error| Bad::Because(error.to_string()));
        }
        let directory = match self.open(path) {
            Err(Errno::NOENT | Errno::NOTDIR) => self.make(path)?,
            outcome => outcome.map_err(|error| led_out(error, "goes through"))?,
        };
        let kept = directory.try_clone().map_err(|error| Bad::Because(error.to_string()))?;
        self.parent = Some((path.to_owned(), kept));
        Ok(directory)
    }

    /// Opens a directory below the root.
    fn open(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = if self.options.own_root { ResolveFlags::IN_ROOT } else { ResolveFlags::BENEATH };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve | ResolveFlags::NO_MAGICLINKS)
    }

    /// Makes a directory and those above it, as they are in the layers below.
    fn make(&mut self, path: &Path) -> Result<OwnedFd, Bad> {
        let mut here = self.open(Path::new(""))?;
        let mut so_far = PathBuf::new();
        for part in path {
            so_far.push(part);
            here = match self.open(&so_far) {
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    if !self.is_free(here.as_fd(), part)? {
                        return Err(because("lies below something that is no directory"));
                    }
                    self.directory(here.as_fd(), part)?;
                    self.like_below(&here, part, &so_far)?;
                    self.open(&so_far).map_err(|error| led_out(error, "goes through"))?
                }
                outcome => outcome.map_err(|error| led_out(error, "goes through"))?,
            };
        }
        Ok(here)
    }

    /// Whether nothing stands at a name but perhaps a whiteout.
    fn is_free(&self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<bool, Bad> {
        match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(true),
            Err(error) => Err(error.into()),
            Ok(stat) => Ok(is_whiteout(&stat)),
        }
    }

    fn like_below(&self, parent: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), Bad> {
        let below = self.options.lowers.iter().find_map(|lower| {
            std::fs::symlink_metadata(lower.join(path)).ok().filter(std::fs::Metadata::is_dir)
        });
        let (mode, owner) =
            below.map_or((0o755, (0, 0)), |meta| (meta.mode() & 0o7777, (meta.uid(), meta.gid())));
        self.own(parent.as_fd(), name, self.options.owner.unwrap_or(owner))?;
        rustix::fs::chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        Ok(())
    }

    fn root_directory<R: Read>(&mut self, entry: &mut Entry<'_, R>, names: &Names) -> Result<(), Bad> {
        if self.options.own_root {
            return Ok(());
        }
        let root = self.open(Path::new(""))?;
        self.dress(root.as_fd(), OsStr::new("."), entry, names)
    }

    /// Takes away what stands at a name, so that something else can.
    fn clear(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Bad> {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
                Ok(()) => {
                    self.parent = None;
                    Ok(())
                }
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    Err(because("takes the place of a directory that is not empty"))
                }
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn directory(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Bad> {
        let there = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => None,
            outcome => Some(outcome?),
        };
        let hidden = there.as_ref().is_some_and(is_whiteout);
        if let Some(stat) = &there {
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Directory {
                return Ok(());
            }
            // A link to a directory that was there before stays one, where the root is a whole system.
            if self.options.own_root && kind == FileType::Symlink {
                return Ok(());
            }
            self.clear(parent, name)?;
        }
        rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
        if hidden {
            self.mark_opaque(parent, name)?;
        }
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        entry: &mut Entry<'_, R>,
    ) -> Result<(), Bad> {
        let bytes = entry.size();
        if bytes > self.budget.bytes {
            return Err(Bad::Because(format!("makes it larger than {} GiB", BYTES_MAX >> 30)));
        }
        self.clear(parent, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
        let copied = io::copy(entry, &mut File::from(file)).map_err(Bad::Stream)?;
        if copied != bytes {
            return Err(Bad::Stream(io::Error::other("the archive ends in the middle of it")));
        }
        self.budget.bytes -= copied;
        self.unpacked.bytes += copied;
        Ok(())
    }

    fn hard_link(&mut self, parent: BorrowedFd<'_>, name: &OsStr, target: &[u8]) -> Result<(), Bad> {
        let shown = String::from_utf8_lossy(target)
            .chars()
            .take(200)
            .flat_map(char::escape_debug)
            .collect::<String>();
        let target =
            self.options.below.join(inside(target).map_err(|_| {
                Bad::Because(format!("is a link to '{shown}', which leads out of the image"))
            })?);
        let (Some(directory), Some(file)) = (target.parent(), target.file_name()) else {
            return Err(Bad::Because(format!("is a link to '{shown}', which is no file")));
        };
        let lacks = || Bad::Because(format!("is a link to '{shown}', which the layer does not have"));
        let directory = self.open(directory).map_err(|error| match error {
            Errno::NOENT => lacks(),
            error => led_out(error, "is a link through"),
        })?;
        self.clear(parent, name)?;
        rustix::fs::linkat(&directory, file, parent, name, AtFlags::empty()).map_err(|error| match error {
            Errno::NOENT => lacks(),
            Errno::PERM => Bad::Because(format!("is a link to '{shown}', which is no file")),
            error => Bad::System(error),
        })
    }

    /// Takes a name of the layers below away, or all names of a directory.
    fn whiteout(&mut self, path: &Path, hidden: &[u8]) -> Result<(), Bad> {
        let parent_path = path.parent().unwrap_or(Path::new(""));
        let parent = self.parent(parent_path)?;
        if hidden == b".wh..opq" {
            return self.mark_opaque(parent.as_fd(), OsStr::new("."));
        }
        // Other marks that begin so are of aufs and mean nothing here.
        if hidden.starts_with(b".wh.") {
            return Ok(());
        }
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(because("takes away a name that is none"));
        }
        let name = OsStr::from_bytes(hidden);
        match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            // It is only about the layers below. A directory of this one hides theirs.
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                self.mark_opaque(parent.as_fd(), name)
            }
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => {
                // Allowed to everybody since Linux 5.8.
                Ok(rustix::fs::mknodat(&parent, name, FileType::CharacterDevice, Mode::empty(), 0)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn mark_opaque(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Bad> {
        let mark = if self.options.user_marks { "user.overlay.opaque" } else { "trusted.overlay.opaque" };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        Ok(rustix::fs::fsetxattr(&directory, mark, b"y", XattrFlags::empty())?)
    }

    /// Owner, mode, attributes and time of what an entry has made.
    fn dress<R: Read>(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        entry: &mut Entry<'_, R>,
        names: &Names,
    ) -> Result<(), Bad> {
        let header = entry.header();
        let id = |own: Option<u64>, other: io::Result<u64>| {
            let id = own.or(other.ok()).unwrap_or(0);
            u32::try_from(id).ok().filter(|id| *id != u32::MAX).unwrap_or(0)
        };
        let said = (id(names.uid, header.uid()), id(names.gid, header.gid()));
        let owned = self.own(parent, name, self.options.owner.unwrap_or(said))?;
        if !owned {
            self.strangers += 1;
        }
        let kind = header.entry_type();
        if kind.is_symlink() {
            return self.set_time(parent, name, time(entry, names));
        }
        let mut mode = header.mode().unwrap_or(0o644) & 0o7777;
        if !owned && !kind.is_dir() {
            // A program that takes on its owner must not take on another.
            mode &= 0o1777;
        }
        rustix::fs::chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        self.attributes(parent, name, names);
        if kind.is_dir() { Ok(()) } else { self.set_time(parent, name, time(entry, names)) }
    }

    /// Gives something away. In a user namespace there may be nobody of that number: then it stays the caller's.
    fn own(&self, parent: BorrowedFd<'_>, name: &OsStr, (uid, gid): (u32, u32)) -> Result<bool, Bad> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        match rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL | Errno::PERM) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Capabilities of programs and what users set; not what steers an overlay.
    fn attributes(&self, parent: BorrowedFd<'_>, name: &OsStr, names: &Names) {
        for (key, value) in &names.attributes {
            let wanted = key == "security.capability" || key.starts_with("user.");
            if !wanted || key.starts_with("user.overlay.") {
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            if let Ok(file) = rustix::fs::openat(parent, name, flags, Mode::empty()) {
                // File systems without them do without.
                let _ = rustix::fs::fsetxattr(&file, key.as_str(), value, XattrFlags::empty());
            }
        }
    }

    fn set_time(&self, parent: BorrowedFd<'_>, name: &OsStr, seconds: u64) -> Result<(), Bad> {
        let time = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(0), tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        // Times beyond what the file system has are not worth an error.
        let _ = rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW);
        Ok(())
    }

    /// Sets what can only be set at the end, and says what was done.
    pub(super) fn finish(mut self) -> Unpacked {
        for (path, seconds) in std::mem::take(&mut self.times).into_iter().rev() {
            let name = path.file_name().unwrap_or_default();
            if let Ok(parent) = self.open(path.parent().unwrap_or(Path::new(""))) {
                let _ = self.set_time(parent.as_fd(), name, seconds);
            }
        }
        if !self.devices.is_empty() {
            let text = format!("devices are left out of {}: {}", self.options.what, self.devices.join(", "));
            self.unpacked.warnings.push(text);
        }
        if self.strangers > 0 {
            self.unpacked.warnings.push(format!(
                "{} files of {} belong to users that there are not here; they are root's, without set-uid bits",
                self.strangers, self.options.what
            ));
        }
        self.unpacked
    }
}

/// A name of an archive as a path below its root.
fn inside(name: &[u8]) -> Result<PathBuf, Bad> {
    let mut path = PathBuf::new();
    if name.len() as u64 > NAME_BYTES_MAX {
        return Err(because("has too long a name"));
    }
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(because("leads out of the image by '..'")),
            part if part.contains(&0) => return Err(because("has a zero byte in its name")),
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    Ok(path)
}

fn led_out(error: Errno, how: &str) -> Bad {
    match error {
        Errno::XDEV => Bad::Because(format!("{how} a link that leads out of the image")),
        Errno::LOOP => Bad::Because(format!("{how} links that lead in a circle")),
        Errno::NOTDIR => because("lies below something that is no directory"),
        error => Bad::System(error),
    }
}

fn is_whiteout(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn time<R: Read>(entry: &Entry<'_, R>, names: &Names) -> u64 {
    names.mtime.or(entry.header().mtime().ok()).unwrap_or(0)
}
