//! What a daemon runs, saved so that the next one can go on with it.
//!
//! ```text
//!   DIR/bess.lock       locked by the daemon that saves there
//!   DIR/bess.state      a picture of all that runs, then each request since that has changed something
//!   DIR/bess.state.new  the next picture while it is written; then it takes the place of the other
//! ```
//!
//! **A picture and a journal.** A request is written down once it is carried out and before it is answered, so what a client
//! was told is saved. The journal alone would grow for ever and would be carried out from the beginning; the picture alone
//! would have to be written as a whole with every request. When more has been written since the picture than the picture
//! has, and than [`JOURNAL_MIN`], the next one is written. The requests behind a picture are carried out as they came, in
//! order; since all that decides what they do is in the picture, they do the same again.
//!
//! **What is durable.** A killed process loses no request that was answered. A power cut loses what came in the last
//! [`SYNC`]: the file is synced no more often. Pictures are synced before they take their place. A request that was being
//! written when the process ended was not answered, and is left out; the log says so. Everything else that is not as it was
//! written is an error, and nothing starts.
//!
//! **A full disk** refuses requests before they are carried out: room is reserved first.
//!
//! **What is not saved** is what passes: packets, counters, measurements, and what modules have learnt from packets, such as
//! the flows of NAT.

pub(super) mod file;
mod kept;
mod picture;
mod restore;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use prost::Message;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

pub use self::file::FileError;
pub(crate) use self::kept::{Keep, Kept};
pub use self::restore::{RestoreError, Restored, Saved};
use super::control::Bess;
use super::{Failure, pb};

/// Bytes of requests that are written before a new picture is, however small the last one.
pub const JOURNAL_MIN: u64 = 4 << 20;
/// Bytes of requests after which the next start writes one.
pub const JOURNAL_START: u64 = 64 << 10;
/// Bytes of the longest file. A daemon whose state is larger refuses what would add to it.
pub const FILE_MAX: u64 = 8 << 30;
/// How often what was written is synced to the disk.
pub const SYNC: Duration = Duration::from_secs(1);
/// Bytes that are reserved at a time.
const RESERVE: u64 = 256 << 10;

/// The names in the directory.
const STATE: &str = "bess.state";
const NEW: &str = "bess.state.new";
const LOCK: &str = "bess.lock";

/// Requests that only ask, or that change nothing that is saved.
const ASKING: &[&str] = &[
    "get_version",
    "kill_bess",
    "import_plugin",
    "unload_plugin",
    "list_plugins",
    "list_workers",
    "list_tcs",
    "get_tc_stats",
    "list_drivers",
    "get_driver_info",
    "list_ports",
    "get_port_conf",
    "get_port_stats",
    "get_link_status",
    "list_mclass",
    "get_mclass_info",
    "list_modules",
    "get_module_info",
    "dump_mempool",
    "list_gate_hook_class",
    "get_gate_hook_class_info",
    "list_gate_hooks",
    "gate_hook_command",
    "configure_resume_hook",
];

/// The file that is written.
pub(crate) struct Journal {
    directory: PathBuf,
    file: File,
    /// Held for as long as the daemon saves here.
    lock: File,
    /// Bytes in the file.
    len: u64,
    /// Bytes of the picture at its beginning.
    picture: u64,
    /// Bytes of the file that are known to have room on the disk.
    reserved: u64,
    /// Records written, for whoever syncs them.
    written: u64,
    /// Whether something was not written, so that a picture has to be.
    behind: bool,
    /// The length at which a picture is tried again that could not be written.
    retry: u64,
    syncer: std::thread::Thread,
}

/// Makes the directory and locks it.
fn lock(directory: &Path) -> io::Result<File> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(directory.join(LOCK))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(io::Error::other("another daemon saves there")),
        Err(error) => Err(error.into()),
    }
}

impl Journal {
    /// Writes a picture of what runs, and begins a journal behind it.
    pub(super) fn begin(bess: &Arc<Bess>, directory: &Path, lock: File) -> Result<Self, Failure> {
        let (file, picture) = write_picture(bess, directory)?;
        Self::over(bess, directory.to_owned(), file, lock, (picture, picture))
    }

    /// The lock that is held, for whoever goes on here.
    pub(super) fn lock(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    /// Goes on behind a file's `len` bytes, of which the first `picture` are one.
    fn over(
        bess: &Arc<Bess>,
        directory: PathBuf,
        file: File,
        lock: File,
        (len, picture): (u64, u64),
    ) -> Result<Self, Failure> {
        let weak = Arc::downgrade(bess);
        let thread = std::thread::Builder::new().name("saver".into()).spawn(move || sync(&weak));
        let thread = thread.map_err(|error| Failure::no_memory(format!("a thread: {error}")))?;
        Ok(Self {
            directory,
            file,
            lock,
            len,
            picture,
            reserved: len,
            written: 0,
            behind: false,
            retry: 0,
            syncer: thread.thread().clone(),
        })
    }

    /// Writes a picture if what was carried out behind the last one is much, so that it is not carried out again with every
    /// start. It may as well be left out.
    fn shorten(&mut self, bess: &Bess) {
        if self.len - self.picture > self.picture.max(JOURNAL_START)
            && let Err(failure) = self.rewrite(bess)
        {
            tracing::warn!("{failure}");
        }
    }

    /// Makes sure that a record can be written, before what it says is done.
    fn prepare(&mut self, bess: &Bess, bytes: u64) -> Result<(), Failure> {
        let due = self.len - self.picture > self.picture.max(JOURNAL_MIN) && self.len >= self.retry;
        if self.behind || due {
            match self.rewrite(bess) {
                Ok(()) => {}
                Err(failure) if self.behind => return Err(failure),
                Err(failure) => {
                    tracing::warn!("{failure}; what comes is written behind the rest");
                    self.retry = self.len + JOURNAL_MIN;
                }
            }
        }
        let end = self.len + bytes;
        if end > FILE_MAX {
            return Err(Failure::no_space(format!("no more than {FILE_MAX} bytes are saved")));
        }
        if end > self.reserved {
            let room = bytes.max(RESERVE);
            match fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.len, room) {
                Ok(()) => self.reserved = self.len + room,
                // Not every file system can; then it shows when it is written.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(error) => return Err(unsaved(&self.directory.join(STATE), &error.into())),
            }
        }
        Ok(())
    }

    /// Writes a record. What it says is done already, so when it cannot be written the client is told, and a picture is
    /// written before anything else is done.
    fn append(&mut self, kind: &str, body: &[u8]) -> Result<(), Failure> {
        let mut record = Vec::with_capacity(file::length(kind, body) as usize);
        let written = file::write(&mut record, kind, body).and_then(|()| (&self.file).write_all(&record));
        if let Err(error) = written {
            self.behind = true;
            // Half a record would be taken for one that was being written when the process ended, which it is not.
            let cut = self.file.set_len(self.len).and_then(|()| (&self.file).seek(SeekFrom::Start(self.len)));
            if let Err(error) = cut {
                tracing::error!("{}: {error}", self.directory.display());
            }
            let path = self.directory.join(STATE);
            let message = format!("done, but not saved in {}: {error}", path.display());
            return Err(Failure { message, ..errno(&error) });
        }
        self.len += record.len() as u64;
        self.written += 1;
        self.syncer.unpark();
        Ok(())
    }

    /// Writes a picture in the place of everything.
    fn rewrite(&mut self, bess: &Bess) -> Result<(), Failure> {
        let (file, picture) = write_picture(bess, &self.directory)?;
        (self.file, self.len, self.picture, self.reserved) = (file, picture, picture, picture);
        (self.behind, self.retry) = (false, 0);
        Ok(())
    }
}

/// Writes a picture aside, syncs it, and puts it in the place of the last one. Returns the file, to be written on, and its
/// length.
fn write_picture(bess: &Bess, directory: &Path) -> Result<(File, u64), Failure> {
    let (new, path) = (directory.join(NEW), directory.join(STATE));
    let failed = |error: io::Error| unsaved(&path, &error);
    let written = || -> Result<(File, u64), Failure> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(failed)?;
        let mut to = BufWriter::with_capacity(1 << 16, file);
        file::begin(&mut to).map_err(failed)?;
        bess.picture::<Failure>(&mut |kind, body| file::write(&mut to, kind, body).map_err(failed))?;
        let mut file = to.into_inner().map_err(|error| failed(error.into_error()))?;
        let len = file.stream_position().map_err(failed)?;
        if len > FILE_MAX {
            return Err(Failure::no_space(format!("no more than {FILE_MAX} bytes are saved, not {len}")));
        }
        file.sync_all().map_err(failed)?;
        std::fs::rename(&new, &path).map_err(failed)?;
        // The rename is on the disk only once the directory is.
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        Ok((file, len))
    };
    written().inspect_err(|_| {
        // It would only take room.
        let _ = std::fs::remove_file(&new);
    })
}

/// Why something was not saved.
fn unsaved(path: &Path, error: &io::Error) -> Failure {
    let message = format!("it cannot be saved in {}, so it is not done: {error}", path.display());
    Failure { message, ..errno(error) }
}

fn errno(error: &io::Error) -> Failure {
    let code = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
    Failure::new(code, error.to_string())
}

/// Syncs what was written, now and then, until the daemon is gone.
fn sync(bess: &Weak<Bess>) {
    let mut synced = 0;
    loop {
        std::thread::park_timeout(SYNC * 10);
        std::thread::sleep(SYNC);
        let Some(bess) = bess.upgrade() else { return };
        // Requests go on while the disk is waited for.
        let file = match &*bess.journal() {
            Some(journal) if journal.written != synced => {
                synced = journal.written;
                journal.file.try_clone()
            }
            _ => continue,
        };
        if let Err(error) = file.and_then(|file| file.sync_data()) {
            tracing::error!("syncing the saved state: {error}");
        }
    }
}

/// Whether a request may change what is saved.
fn changes<Q: Message + 'static>(name: &str, request: &Q) -> bool {
    let command = (request as &dyn Any).downcast_ref::<pb::CommandRequest>();
    match command.filter(|_| name == "module_command") {
        Some(command) => !kept::asks(&command.cmd),
        None => !ASKING.contains(&name),
    }
}

impl Bess {
    /// Carries out a request and writes it down, if it may change something and there is where to write.
    pub(super) fn written_down<Q: Message + 'static, A>(
        &self,
        name: &'static str,
        request: &Q,
        run: impl FnOnce() -> Result<A, Failure>,
    ) -> Result<A, Failure> {
        if !changes(name, request) {
            return run();
        }
        let mut journal = self.journal();
        let Some(journal) = &mut *journal else {
            drop(journal);
            return run();
        };
        let body = request.encode_to_vec();
        let kind = method(name);
        journal.prepare(self, file::length(&kind, &body))?;
        let outcome = run();
        match &outcome {
            Ok(_) => journal.append(&kind, &body)?,
            // After an error of our own nobody knows how far it came.
            Err(failure) if failure.code == Errno::IO.raw_os_error() => journal.behind = true,
            Err(_) => {}
        }
        outcome
    }
}

/// The name of a method whose function is called that: `CreateModule` of `create_module`.
fn method(function: &str) -> String {
    let mut name = String::with_capacity(function.len());
    for word in function.split('_') {
        let (first, rest) = word.split_at(1.min(word.len()));
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
    }
    name
}
