//! Where captures go: a FIFO or file that is written without ever waiting.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Bytes that wait for a slow reader; packets that come while there are more are left out and counted.
pub const BACKLOG_MAX: usize = 1 << 20;

/// Why a capture could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}; a FIFO needs a reader (tcpdump -r {path}) before it is written")]
pub struct OutletError {
    /// The file.
    pub path: String,
    /// The kernel's answer.
    pub source: io::Error,
}

impl OutletError {
    pub(super) fn new(path: &Path, source: io::Error) -> Self {
        Self { path: path.display().to_string(), source }
    }
}

/// A descriptor that never blocks, and what it has not taken yet.
#[derive(Debug)]
pub(super) struct Outlet {
    file: File,
    backlog: Vec<u8>,
    /// The reader is gone, or the disk is full.
    pub(super) broken: bool,
}

impl Outlet {
    /// Opens for writing: a FIFO that has a reader, or a file, which is made if it is not there.
    pub(super) fn open(path: &PathBuf) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::CREATE | OFlags::TRUNC;
        let file = File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?);
        Ok(Self { file, backlog: Vec::new(), broken: false })
    }

    /// Whether `len` more bytes would still be kept for a slow reader.
    pub(super) fn has_room(&self, len: usize) -> bool {
        !self.broken && self.backlog.len() + len <= BACKLOG_MAX
    }

    /// Hands on as much as the reader takes.
    pub(super) fn push(&mut self) {
        while !self.backlog.is_empty() && !self.broken {
            match self.file.write(&self.backlog) {
                Ok(0) => return,
                Ok(written) => {
                    self.backlog.drain(..written);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.broken = true,
            }
        }
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.backlog.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push();
        Ok(())
    }
}
