//! From a file back to what ran.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;

use super::file::{FileError, Next, Reader, Record};
use super::picture::{self, HEAD, Head, TAIL, Tail};
use super::{Journal, STATE};
use crate::bess::control::{Bess, Config};
use crate::bess::{Failure, Flavour, pb};

/// Why a saved state was not restored. Nothing runs then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The directory cannot be used.
    #[error("{directory}: {source}")]
    Directory {
        /// The directory.
        directory: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The file cannot be used.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: FileError,
    },
    /// It was saved for other clients.
    #[error("{path}: it was saved by a daemon for the clients of {saved:?}, not of {wanted:?}")]
    Flavour {
        /// The file.
        path: String,
        /// Whose clients were served.
        saved: Flavour,
        /// Whose clients are to be.
        wanted: Flavour,
    },
    /// What was done cannot be done again.
    #[error("{path}: {what}: {}", .failure.message)]
    Refused {
        /// The file.
        path: String,
        /// The record, by its number and what it is about.
        what: String,
        /// Why not.
        failure: Failure,
    },
    /// Saving cannot begin.
    #[error("{}", .0.message)]
    Begin(Failure),
}

/// A directory with what was saved in it, if anything was; nobody else saves there as long as this lives.
pub struct Saved {
    directory: PathBuf,
    lock: File,
    found: Option<(Reader, Head)>,
}

/// What was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Whether anything was saved.
    pub found: bool,
    /// Ports that are open again.
    pub ports: usize,
    /// Modules that are there again.
    pub modules: usize,
    /// Workers that are there again.
    pub workers: usize,
    /// Requests that were carried out behind the last picture.
    pub requests: u64,
    /// Whether the process ended while it wrote a request, which is left out.
    pub torn: bool,
    /// How long packets waited, when another process has handed over.
    pub waited: Option<Duration>,
    /// Packets that were left behind in modules of that process.
    pub held: u64,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.found {
            return f.write_str("nothing was saved");
        }
        let of = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let (ports, modules) = (of(self.ports, "port"), of(self.modules, "module"));
        write!(f, "{ports}, {modules}, {}", of(self.workers, "worker"))?;
        if let Some(waited) = self.waited {
            write!(f, "; packets waited for {:.1} ms", waited.as_secs_f64() * 1e3)?;
        }
        if self.held > 0 {
            write!(f, "; {} of them were left behind", self.held)?;
        }
        if self.torn {
            f.write_str("; the last request was not written to its end and is left out")?;
        }
        Ok(())
    }
}

impl Saved {
    /// Opens a directory, which is made if it is not there, and what is saved in it, which may be forgotten.
    ///
    /// # Errors
    /// When another daemon saves there, or what is there is no saved state.
    pub fn open(directory: &Path, forget: bool) -> Result<Self, RestoreError> {
        let failed = |source| RestoreError::Directory { directory: directory.display().to_string(), source };
        let lock = super::lock(directory).map_err(failed)?;
        let mut saved = Self { directory: directory.to_owned(), lock, found: None };
        if forget {
            return Ok(saved);
        }
        if let Some(reader) = Reader::open(&directory.join(STATE)).transpose() {
            saved.find(reader)?;
        }
        Ok(saved)
    }

    fn path(&self) -> String {
        self.directory.join(STATE).display().to_string()
    }

    /// How the daemon has to be set up to go on: hashes have the key that they had.
    ///
    /// # Errors
    /// When it is to serve other clients.
    pub fn config(&self, config: Config) -> Result<Config, RestoreError> {
        let Some((_, head)) = &self.found else { return Ok(config) };
        let saved =
            if head.flavour == picture::number(Flavour::Omec) { Flavour::Omec } else { Flavour::NetSys };
        if saved != config.flavour {
            return Err(RestoreError::Flavour { path: self.path(), saved, wanted: config.flavour });
        }
        Ok(Config { seed: head.seed, ..config })
    }

    /// What another process hands over: the lock that it held, and a file of all that it runs.
    pub(in crate::bess) fn handed(directory: &Path, lock: File, file: File) -> Result<Self, RestoreError> {
        let mut saved = Self { directory: directory.to_owned(), lock, found: None };
        saved.find(Reader::over(file))?;
        Ok(saved)
    }

    /// Reads how a file begins.
    fn find(&mut self, reader: Result<Reader, FileError>) -> Result<(), RestoreError> {
        let path = self.path();
        let wrong = |source| RestoreError::File { path: path.clone(), source };
        let mut reader = reader.map_err(wrong)?;
        let head = match reader.next().map_err(wrong)? {
            Next::Record(Record { kind, body }) if kind == HEAD => Head::decode(&*body).ok(),
            Next::Record(_) => None,
            Next::End | Next::Torn => return Err(wrong(FileError::Short(reader.at()))),
        };
        let head = head.ok_or_else(|| wrong(FileError::Damaged(0)))?;
        self.found = Some((reader, head));
        Ok(())
    }

    /// Brings a daemon, in which nothing runs yet, to what was saved, and has it save what changes from now on. Workers that
    /// were not paused run once everything is there.
    ///
    /// # Errors
    /// When what was saved cannot be read or done again; then nothing has run, and the daemon is of no use.
    pub fn restore(mut self, bess: &Arc<Bess>) -> Result<Restored, RestoreError> {
        if self.found.is_none() {
            let journal = Journal::begin(bess, &self.directory, self.lock).map_err(RestoreError::Begin)?;
            *bess.journal() = Some(journal);
            return Ok(Restored::default());
        }
        bess.hold().map_err(RestoreError::Begin)?;
        let (restored, lengths) = self.carry_out(bess)?;
        let journal = Journal::go_on(bess, self.directory, self.lock, lengths);
        let mut journal = journal.map_err(RestoreError::Begin)?;
        journal.shorten(bess);
        *bess.journal() = Some(journal);
        bess.release().map_err(RestoreError::Begin)?;
        Ok(restored)
    }

    /// Brings a daemon that is held to what was handed over, which nobody has saved yet. Returns the lock.
    pub(in crate::bess) fn replay(mut self, bess: &Arc<Bess>) -> Result<(File, Restored), RestoreError> {
        let (restored, _) = self.carry_out(bess)?;
        Ok((self.lock, restored))
    }

    /// Carries out all there is. Returns the bytes that were read as well, and those of the picture among them.
    fn carry_out(&mut self, bess: &Arc<Bess>) -> Result<(Restored, (u64, u64)), RestoreError> {
        let path = self.path();
        let wrong = |source| RestoreError::File { path: path.clone(), source };
        let (mut reader, _) = self.found.take().ok_or_else(|| wrong(FileError::Short(0)))?;
        // The head has been read.
        let (mut number, mut picture) = (1, None);
        let torn = loop {
            let record = match reader.next().map_err(wrong)? {
                Next::Record(record) => record,
                end => break end == Next::Torn,
            };
            if record.kind == TAIL {
                let tail = Tail::decode(&*record.body).ok().filter(|tail| tail.records == number);
                if tail.is_none() || picture.is_some() {
                    return Err(wrong(FileError::Damaged(reader.at())));
                }
                picture = Some((reader.at(), number));
            }
            number += 1;
            carry_out(bess, &record).map_err(|failure| RestoreError::Refused {
                path: path.clone(),
                what: format!("record {number}, {}", subject(&record)),
                failure,
            })?;
        };
        // The file was written as a whole up to here, or there would be none.
        let (picture, before) = picture.ok_or_else(|| wrong(FileError::Short(reader.at())))?;
        let state = bess.lock();
        let restored = Restored {
            found: true,
            ports: state.ports.requests().count(),
            modules: state.modules.len(),
            workers: state.workers.cores().count(),
            requests: number - before - 1,
            torn,
            ..Restored::default()
        };
        Ok((restored, (reader.at(), picture)))
    }
}

impl Journal {
    /// Goes on behind what was read of a file: its bytes, and those of the picture in it.
    fn go_on(
        bess: &Arc<Bess>,
        directory: PathBuf,
        lock: File,
        (len, picture): (u64, u64),
    ) -> Result<Self, Failure> {
        let path = directory.join(STATE);
        let open = || {
            let mut file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(len)?;
            file.seek(SeekFrom::Start(len))?;
            Ok(file)
        };
        let file = open().map_err(|error| super::unsaved(&path, &error))?;
        Self::over(bess, directory, file, lock, (len, picture))
    }
}

/// Does again what a record says.
fn carry_out(bess: &Bess, record: &Record) -> Result<(), Failure> {
    let run = || match record.kind.contains('.') {
        true => bess.carry_out_own(record),
        false => bess.carry_out(&record.kind, &record.body),
    };
    // Unwind safety: after a panic the daemon is not used.
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(Failure::internal("an error of the daemon's own")))
}

/// What a record is about, for people.
fn subject(Record { kind, body }: &Record) -> String {
    let body = body.as_slice();
    let name = match kind.as_str() {
        "CreatePort" => pb::CreatePortRequest::decode(body).map(|request| request.name),
        "CreateModule" => pb::CreateModuleRequest::decode(body)
            .map(|pb::CreateModuleRequest { name, mclass, .. }| format!("{name}::{mclass}")),
        "ModuleCommand" => pb::CommandRequest::decode(body)
            .map(|pb::CommandRequest { name, cmd, .. }| format!("{name}.{cmd}")),
        _ => Ok(String::new()),
    };
    let name = name.unwrap_or_default();
    if name.is_empty() { kind.clone() } else { format!("{kind} {name}") }
}
