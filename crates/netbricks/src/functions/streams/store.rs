//! Files of streams, of which few are open.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use packet::flow::FlowKey;

use super::{Place, name};
use crate::Report;

/// Connections between the same ends that get files of their own.
const NAMESAKES_MAX: u16 = 999;

/// What files are made in.
pub trait Store: Send + 'static {
    /// An open file.
    type File: Send;

    /// Makes a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or it cannot be made.
    fn create(&mut self, name: &str) -> io::Result<Self::File>;

    /// Opens a file that was made.
    ///
    /// # Errors
    /// It cannot be opened.
    fn open(&mut self, name: &str) -> io::Result<Self::File>;

    /// Writes all of `bytes`, the first at `offset`.
    ///
    /// # Errors
    /// They are not all written.
    fn write(&mut self, file: &mut Self::File, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// A directory.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// The directory at `path`.
    ///
    /// # Errors
    /// There is none.
    pub fn new(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        if path.metadata()?.is_dir() { Ok(Self(path)) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }
}

impl Store for Directory {
    type File = File;

    fn create(&mut self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.0.join(name))
    }

    fn open(&mut self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.0.join(name))
    }

    fn write(&mut self, file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }
}

/// How much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files open at a time; at least 1.
    pub open: usize,
    /// Files made in all.
    pub files: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
}

/// An open file, whose it is, and when it was last written to.
struct Slot<F> {
    ticket: u64,
    used: u64,
    file: F,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    files: u64,
    reopened: u64,
    bytes: u64,
    refused: u64,
    beyond_bytes: u64,
    lost_bytes: u64,
    errors: u64,
    last_error: Option<io::ErrorKind>,
}

/// The files, of which those written to last are open.
pub(super) struct Files<S: Store> {
    store: S,
    limits: Limits,
    slots: Vec<Option<Slot<S::File>>>,
    /// Counts openings and writes.
    clock: u64,
    name: String,
    counters: Counters,
}

impl<S: Store> Files<S> {
    pub(super) fn new(store: S, limits: Limits) -> Self {
        let slots = (0..limits.open.clamp(1, usize::from(u16::MAX))).map(|_| None).collect();
        Self {
            store,
            limits,
            slots,
            clock: 0,
            name: String::with_capacity(128),
            counters: Counters::default(),
        }
    }

    /// Writes bytes of a direction to its file, which is made when the first come.
    pub(super) fn write(&mut self, place: &mut Place, key: &FlowKey, offset: u64, bytes: &[u8]) {
        let within = self.limits.file_bytes.saturating_sub(offset).min(bytes.len() as u64) as usize;
        self.counters.beyond_bytes += (bytes.len() - within) as u64;
        if within == 0 {
            return;
        }
        if let Err(error) = self.try_write(place, key, offset, &bytes[..within]) {
            self.counters.lost_bytes += within as u64;
            if let Some(error) = error {
                self.counters.errors += 1;
                self.counters.last_error = Some(error.kind());
            }
        }
    }

    /// Fails without an error where it has failed before.
    fn try_write(
        &mut self,
        place: &mut Place,
        key: &FlowKey,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Option<io::Error>> {
        let at = self.at_hand(place, key)?;
        self.clock += 1;
        let Some(slot) = &mut self.slots[at] else { return Err(None) };
        slot.used = self.clock;
        self.store.write(&mut slot.file, offset, bytes)?;
        self.counters.bytes += bytes.len() as u64;
        Ok(())
    }

    /// The slot of a direction's file, which is open then.
    fn at_hand(&mut self, place: &mut Place, key: &FlowKey) -> Result<usize, Option<io::Error>> {
        let (nth, file) = match *place {
            Place::Refused => return Err(None),
            Place::File { slot, ticket, .. } if self.is_open(slot, ticket) => return Ok(usize::from(slot)),
            Place::File { nth, .. } => {
                name(key, nth, &mut self.name);
                self.counters.reopened += 1;
                (nth, self.store.open(&self.name)?)
            }
            Place::None => {
                // Until it turns out otherwise.
                *place = Place::Refused;
                let made = self.create(key).inspect_err(|_| self.counters.refused += 1)?;
                self.counters.files += 1;
                made
            }
        };
        let at = self.free_slot();
        self.clock += 1;
        let ticket = self.clock;
        self.slots[at] = Some(Slot { ticket, used: ticket, file });
        *place = Place::File { nth, slot: at as u16, ticket };
        Ok(at)
    }

    fn create(&mut self, key: &FlowKey) -> Result<(u16, S::File), Option<io::Error>> {
        if self.counters.files >= self.limits.files {
            return Err(None);
        }
        for nth in 0..=NAMESAKES_MAX {
            name(key, nth, &mut self.name);
            match self.store.create(&self.name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return Ok((nth, made?)),
            }
        }
        Err(None)
    }

    fn is_open(&self, slot: u16, ticket: u64) -> bool {
        self.slots[usize::from(slot)].as_ref().is_some_and(|slot| slot.ticket == ticket)
    }

    /// A slot that is free, or whose file was not written to for longest.
    fn free_slot(&self) -> usize {
        let used = |slot: &Option<Slot<S::File>>| slot.as_ref().map_or(0, |slot| slot.used);
        self.slots.iter().enumerate().min_by_key(|(_, slot)| used(slot)).map_or(0, |(at, _)| at)
    }

    /// No more comes for a direction.
    pub(super) fn close(&mut self, place: &Place) {
        if let Place::File { slot, ticket, .. } = *place
            && self.is_open(slot, ticket)
        {
            self.slots[usize::from(slot)] = None;
        }
    }

    pub(super) fn report(&self, report: &mut Report) {
        let counters = &self.counters;
        if let Some(error) = counters.last_error {
            report.line(format!("the last error: {error}"));
        }
        for (name, count) in [
            ("files made", counters.files),
            ("files opened again", counters.reopened),
            ("files refused", counters.refused),
            ("bytes written", counters.bytes),
            ("bytes lost, errors and files refused", counters.lost_bytes),
            ("bytes beyond the size of a file", counters.beyond_bytes),
            ("errors", counters.errors),
            ("files open", self.slots.iter().flatten().count() as u64),
        ] {
            report.counter(name, count);
        }
    }
}
