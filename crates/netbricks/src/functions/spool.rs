//! What functions write to files: records in a bounded buffer, written in one go.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};

use crate::{Args, ArgsError, Report};

/// Bytes of the buffer.
const HELD_MAX: usize = 256 << 10;
/// Records of at least this many bytes are cut.
const RECORD_MAX: usize = 128 << 10;
/// How long a record waits to be written.
const WAIT_NS: u64 = 100_000_000;

/// The way to a file, a pipe, or whatever else takes bytes.
///
/// Records are collected and written when the buffer is full, when the first has waited for 100 ms, and at the end. An
/// error loses what was to be written, is counted, and is not the end: the disk may have room again later. One who takes
/// nothing at the moment (`WouldBlock`) is asked again; meanwhile new records are lost once the buffer is full.
pub(super) struct Spool<W> {
    out: W,
    held: Vec<u8>,
    records: u64,
    /// When the first of those held should be written.
    due_ns: Option<u64>,
    counters: SpoolCounters,
}

/// What became of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SpoolCounters {
    pub(super) written_bytes: u64,
    /// Bytes that an error took along.
    pub(super) lost_bytes: u64,
    /// Records for which there was no room.
    pub(super) lost_records: u64,
    pub(super) errors: u64,
    last_error: Option<io::ErrorKind>,
}

/// Writes into the buffer as far as there is room.
struct Room<'a> {
    held: &'a mut Vec<u8>,
    most: usize,
}

impl fmt::Write for Room<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.held.len() + text.len() > self.most {
            return Err(fmt::Error);
        }
        self.held.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl<W: Write> Spool<W> {
    pub(super) fn new(out: W) -> Self {
        let held = Vec::with_capacity(HELD_MAX);
        Self { out, held, records: 0, due_ns: None, counters: SpoolCounters::default() }
    }

    /// Adds a line of text.
    pub(super) fn line(&mut self, now_ns: u64, line: fmt::Arguments<'_>) {
        self.record(now_ns, |held, most| {
            let mut room = Room { held, most: most - 1 };
            let whole = fmt::write(&mut room, line).is_ok();
            held.push(b'\n');
            whole
        });
    }

    /// Adds bytes.
    pub(super) fn bytes(&mut self, now_ns: u64, bytes: &[u8]) {
        self.record(now_ns, |held, most| {
            let fits = held.len() + bytes.len() <= most;
            if fits {
                held.extend_from_slice(bytes);
            }
            fits
        });
    }

    fn record(&mut self, now_ns: u64, mut add: impl FnMut(&mut Vec<u8>, usize) -> bool) {
        if self.held.len() + RECORD_MAX > HELD_MAX {
            self.write(now_ns);
        }
        let start = self.held.len();
        let most = HELD_MAX.min(start + RECORD_MAX);
        if most == start || !add(&mut self.held, most) {
            self.held.truncate(start);
            self.counters.lost_records += 1;
            return;
        }
        self.records += 1;
        self.due_ns.get_or_insert(now_ns.saturating_add(WAIT_NS));
    }

    /// When [`expire`](Self::expire) has work.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// Writes what has waited long enough.
    pub(super) fn expire(&mut self, now_ns: u64) {
        if self.due_ns.is_some_and(|due_ns| due_ns <= now_ns) {
            self.write(now_ns);
        }
    }

    /// Writes all that is there.
    pub(super) fn write(&mut self, now_ns: u64) {
        let mut written = 0;
        let error = loop {
            if written == self.held.len() {
                break self.out.flush().err();
            }
            match self.out.write(&self.held[written..]) {
                Ok(0) => break Some(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(error),
            }
        };
        self.counters.written_bytes += written as u64;
        self.held.drain(..written);
        self.due_ns = None;
        let Some(error) = error else { return };
        if error.kind() == io::ErrorKind::WouldBlock {
            self.due_ns = Some(now_ns.saturating_add(WAIT_NS));
            return;
        }
        self.counters.errors += 1;
        self.counters.last_error = Some(error.kind());
        self.counters.lost_bytes += self.held.len() as u64;
        self.held.clear();
    }

    pub(super) fn report(&self, report: &mut Report) {
        let counters = &self.counters;
        report.counter("records", self.records);
        report.counter("bytes written", counters.written_bytes);
        report.counter("records lost, no room", counters.lost_records);
        report.counter("bytes lost, write errors", counters.lost_bytes);
        report.counter("write errors", counters.errors);
        if let Some(error) = counters.last_error {
            report.line(format!("the last write error: {error}"));
        }
    }
}

/// Where the words say that output shall go: `file=NAME`, else the standard output.
pub(super) fn output(args: &mut Args) -> Result<Box<dyn Write + Send>, ArgsError> {
    let file = args.take_with("file", |name| File::create(name).map_err(|error| error.to_string()))?;
    Ok(match file {
        Some(file) => Box::new(file),
        None => Box::new(io::stdout()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time, or fails.
    #[derive(Default)]
    struct Outlet {
        taken: Vec<u8>,
        fails: Option<io::ErrorKind>,
    }

    impl Write for Outlet {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(kind) = self.fails {
                return Err(kind.into());
            }
            let count = bytes.len().min(7);
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn records_are_written_whole_and_in_order_when_their_time_comes() {
        let mut spool = Spool::new(Outlet::default());
        spool.line(5, format_args!("one {}", 1));
        spool.bytes(9, b"and more\n");
        assert_eq!(spool.deadline_ns(), Some(5 + WAIT_NS));
        spool.expire(4 + WAIT_NS);
        assert!(spool.out.taken.is_empty());
        spool.expire(5 + WAIT_NS);
        assert_eq!(spool.out.taken, b"one 1\nand more\n");
        assert_eq!(spool.deadline_ns(), None);
    }

    #[test]
    fn a_full_disk_loses_what_was_to_be_written_and_no_more() {
        let mut spool = Spool::new(Outlet { fails: Some(io::ErrorKind::StorageFull), ..Outlet::default() });
        spool.bytes(0, b"lost");
        spool.write(0);
        spool.out.fails = None;
        spool.bytes(0, b"kept");
        spool.write(0);
        assert_eq!(spool.out.taken, b"kept");
        assert_eq!(
            (spool.counters.errors, spool.counters.lost_bytes, spool.counters.written_bytes),
            (1, 4, 4)
        );
        let mut report = Report::default();
        spool.report(&mut report);
        assert_eq!(report.lines(), ["the last write error: no storage space"]);
    }

    #[test]
    fn who_takes_nothing_costs_records_and_not_memory() {
        let mut spool = Spool::new(Outlet { fails: Some(io::ErrorKind::WouldBlock), ..Outlet::default() });
        let record = [b'x'; 1000];
        (0..1000).for_each(|_| spool.bytes(0, &record));
        let held = HELD_MAX / 1000;
        assert_eq!((spool.counters.lost_records, spool.held.len()), (1000 - held as u64, held * 1000));
        assert!(spool.held.capacity() == HELD_MAX && spool.deadline_ns().is_some());
        spool.out.fails = None;
        spool.write(0);
        assert_eq!(spool.out.taken.len(), held * 1000);
        spool.line(0, format_args!("{}", String::from_utf8(vec![b'y'; RECORD_MAX]).unwrap()));
        assert_eq!((spool.counters.lost_records, spool.held.len()), (1001 - held as u64, 0));
    }
}
