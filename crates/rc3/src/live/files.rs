//! What is asked for and answered when files are fetched: `get PATH`, then 8 bytes of length and so many bytes.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

use crate::connection::Code;

/// Bytes of the length before a file.
pub(super) const LENGTH_BYTES: usize = 8;
/// Most bytes of a path.
pub(super) const PATH_MAX: usize = 1_000;

/// A directory that is served: nothing outside of it, and nothing by a link.
#[derive(Debug)]
pub(super) struct Directory(OwnedFd);

impl Directory {
    pub(super) fn open(path: &std::path::Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(CWD, path, flags, Mode::empty())?))
    }

    /// A file in it, and its length.
    pub(super) fn file(&self, target: &[u8]) -> Result<(File, u64), (Code, &'static str)> {
        let path = target
            .strip_prefix(b"get ")
            .ok_or((Code::Violation, "this serves files: it knows `get PATH`"))?;
        let path = path.strip_prefix(b"/").unwrap_or(path);
        if path.is_empty() || path.len() > PATH_MAX || path.contains(&0) {
            return Err((Code::Missing, "no such file"));
        }
        // The kernel holds the path to what is beneath, without a race; NONBLOCK so that no FIFO holds us up.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file = openat2(&self.0, path, flags, Mode::empty(), beneath).map_err(|error| match error {
            rustix::io::Errno::XDEV => (Code::Denied, "the path leads out of what is served"),
            rustix::io::Errno::LOOP => (Code::Denied, "the path goes by a link"),
            rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::NAMETOOLONG => {
                (Code::Missing, "no such file")
            }
            rustix::io::Errno::ACCESS => (Code::Denied, "the server may not read it"),
            _ => (Code::Failed, "the server cannot open it"),
        })?;
        let stat = fstat(&file).map_err(|_| (Code::Failed, "the server cannot open it"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err((Code::Denied, "it is no file"));
        }
        Ok((File::from(file), u64::try_from(stat.st_size).unwrap_or(0)))
    }
}
