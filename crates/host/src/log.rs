//! A container's output on disk, bounded in size.
//!
//! Lines are as Kubernetes' container runtimes write them (CRI logging), so existing readers read them:
//!
//! ```text
//! 2026-11-23T09:49:01.123456Z stdout F a whole line
//! 2026-11-23T09:49:01.123460Z stderr P the first part of a long or unfinished one
//! ```
//!
//! The bytes after the tag are the command's own, whatever they are.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};

use crate::layout::Container;
use crate::spec::LogSpec;

/// Name of the current log file.
pub const FILE: &str = "output.log";
/// Longest line written as one; a longer one is cut into parts.
pub const LINE_BYTES_MAX: usize = 16 << 10;
/// Most files kept, whatever was asked for.
pub const FILES_MAX: u32 = 64;

/// Output taken in at once.
const PIECE_BYTES: usize = 1024;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The command's standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was read from the command, RFC 3339 in UTC.
    pub time: String,
    /// Where it came from.
    pub stream: Stream,
    /// Whether it is only a part, continued by the next line of the same stream.
    pub partial: bool,
    /// What the command wrote, without the line end.
    pub text: Vec<u8>,
}

impl Line {
    /// Reads one line of a log file, without its line end.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.splitn(4, |&byte| byte == b' ');
        let time = String::from_utf8(fields.next()?.to_vec()).ok()?;
        let stream = match fields.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let partial = match fields.next()? {
            b"P" => true,
            b"F" => false,
            _ => return None,
        };
        Some(Self { time, stream, partial, text: fields.next()?.to_vec() })
    }
}

/// Everything kept of a container's output, oldest first.
///
/// # Errors
/// A file cannot be read; that there is none is no error.
pub fn read(container: &Container) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for number in (0..FILES_MAX).rev() {
        match std::fs::read(container.log_directory().join(file_name(number))) {
            Ok(bytes) => lines.extend(bytes.split(|&byte| byte == b'\n').filter_map(Line::parse)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(lines)
}

/// Reads a container's log as it grows, across rotations and restarts.
#[derive(Debug)]
pub struct Follower {
    container: Container,
    file: Option<File>,
    rest: Vec<u8>,
}

/// Most bytes one call of [`Follower::next_lines`] reads.
const FOLLOW_BYTES_MAX: u64 = 1 << 20;

impl Follower {
    /// Starts at the beginning of the current log file.
    #[must_use]
    pub fn new(container: &Container) -> Self {
        Self { container: container.clone(), file: None, rest: Vec::new() }
    }

    /// Leaves out what is there already.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn skip_to_end(&mut self) -> io::Result<()> {
        use std::io::{Seek, SeekFrom};
        self.open()?;
        self.file.as_mut().map_or(Ok(0), |file| file.seek(SeekFrom::End(0))).map(drop)
    }

    /// The lines that came since the last call; empty when there are none yet. Ask again a little later.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_lines(&mut self) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        self.open()?;
        let read = self.read_into(&mut lines)?;
        if read == 0 && self.rotated() {
            // What was written between the read and the rotation is still in the old file.
            self.read_into(&mut lines)?;
            self.file = None;
            self.rest.clear();
            self.open()?;
            self.read_into(&mut lines)?;
        }
        Ok(lines)
    }

    fn open(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            match File::open(self.container.log()) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_into(&mut self, lines: &mut Vec<Line>) -> io::Result<usize> {
        let Some(file) = &mut self.file else { return Ok(0) };
        let read = file.take(FOLLOW_BYTES_MAX).read_to_end(&mut self.rest)?;
        let whole = self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        lines.extend(self.rest[..whole].split(|&byte| byte == b'\n').filter_map(Line::parse));
        self.rest.drain(..whole);
        Ok(read)
    }

    /// Whether the name now means another file than the one that is open.
    fn rotated(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let open =
            self.file.as_ref().and_then(|file| file.metadata().ok()).map(|meta| (meta.dev(), meta.ino()));
        let named = std::fs::metadata(self.container.log()).ok().map(|meta| (meta.dev(), meta.ino()));
        named.is_some() && open != named
    }
}

fn file_name(number: u32) -> String {
    if number == 0 { FILE.into() } else { format!("{FILE}.{number}") }
}

/// Writes the log through a directory the process can no longer name.
#[derive(Debug)]
pub(crate) struct Writer {
    directory: OwnedFd,
    file: Option<OwnedFd>,
    written: u64,
    spec: LogSpec,
    unfinished: [Vec<u8>; 2],
    block: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(directory: OwnedFd, spec: LogSpec) -> Self {
        let spec = LogSpec { files: spec.files.clamp(1, FILES_MAX), ..spec };
        let mut writer = Self {
            directory,
            file: None,
            written: 0,
            spec,
            unfinished: [Vec::new(), Vec::new()],
            block: Vec::new(),
        };
        writer.open();
        writer
    }

    /// Takes output as it comes, in pieces of any size.
    pub(crate) fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let now = rfc3339(SystemTime::now());
        // In small pieces, so that a flood of empty lines does not grow the block.
        for piece in bytes.chunks(PIECE_BYTES) {
            let unfinished = &mut self.unfinished[stream as usize];
            for &byte in piece {
                if byte != b'\n' {
                    unfinished.push(byte);
                }
                if byte == b'\n' || unfinished.len() == LINE_BYTES_MAX {
                    put_line(&mut self.block, &now, stream, byte != b'\n', unfinished);
                }
            }
            if self.block.len() >= LINE_BYTES_MAX {
                self.flush();
            }
        }
        self.flush();
    }

    /// Writes out lines that have not ended; their command is gone or waits for an answer.
    pub(crate) fn finish(&mut self) {
        let now = rfc3339(SystemTime::now());
        for stream in [Stream::Stdout, Stream::Stderr] {
            let unfinished = &mut self.unfinished[stream as usize];
            if !unfinished.is_empty() {
                put_line(&mut self.block, &now, stream, true, unfinished);
            }
        }
        self.flush();
    }

    /// What cannot be written (a full disk) is lost: the container goes on.
    fn flush(&mut self) {
        if self.block.is_empty() {
            return;
        }
        if self.written > 0 && self.written + self.block.len() as u64 > self.spec.bytes_max {
            self.rotate();
        }
        if let Some(file) = &self.file {
            let mut rest = self.block.as_slice();
            while let Ok(written @ 1..) = rustix::io::write(file, rest) {
                self.written += written as u64;
                rest = &rest[written..];
                if rest.is_empty() {
                    break;
                }
            }
        }
        self.block.clear();
        self.block.shrink_to(LINE_BYTES_MAX);
    }

    fn rotate(&mut self) {
        let directory = self.directory.as_fd();
        for number in (0..self.spec.files - 1).rev() {
            let _ = rustix::fs::renameat(directory, file_name(number), directory, file_name(number + 1));
        }
        if self.spec.files == 1 {
            let _ = rustix::fs::unlinkat(directory, FILE, rustix::fs::AtFlags::empty());
        }
        self.open();
    }

    fn open(&mut self) {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
        self.file = rustix::fs::openat(&self.directory, FILE, flags, Mode::from_raw_mode(0o644)).ok();
        self.written = self
            .file
            .as_ref()
            .and_then(|file| rustix::fs::fstat(file).ok())
            .map_or(0, |stat| stat.st_size as u64);
    }
}

fn put_line(block: &mut Vec<u8>, now: &str, stream: Stream, partial: bool, text: &mut Vec<u8>) {
    let name = if stream == Stream::Stdout { "stdout" } else { "stderr" };
    block.extend_from_slice(now.as_bytes());
    block.extend_from_slice(format!(" {name} {} ", if partial { 'P' } else { 'F' }).as_bytes());
    block.append(text);
    block.push(b'\n');
}

/// RFC 3339 in UTC with microseconds. Days to dates after Howard Hinnant, "chrono-compatible low-level date algorithms".
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Deployment;
    use proptest::prelude::*;
    use std::time::Duration;

    fn container(directory: &std::path::Path) -> Container {
        let container = Deployment::new(directory).container("c");
        std::fs::create_dir_all(container.log_directory()).unwrap();
        container
    }

    fn writer(container: &Container, bytes_max: u64, files: u32) -> Writer {
        let directory = File::open(container.log_directory()).unwrap().into();
        Writer::new(directory, LogSpec { bytes_max, files })
    }

    #[test]
    fn times_are_right() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::new(seconds, 123_456_789));
        // date -u -d @N
        assert_eq!(at(0), "1970-01-01T00:00:00.123456Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59.123456Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.123456Z");
        assert_eq!(at(1_795_427_341), "2026-11-23T09:49:01.123456Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.123456Z");
    }

    #[test]
    fn logs_stay_within_their_bounds_and_lose_the_oldest() {
        let directory = tempfile::tempdir().unwrap();
        let container = container(directory.path());
        let mut writer = writer(&container, 4096, 3);
        for number in 0..2000 {
            writer.take(Stream::Stdout, format!("line {number}\n").as_bytes());
        }
        let sizes: Vec<_> = std::fs::read_dir(container.log_directory())
            .unwrap()
            .map(|e| e.unwrap().metadata().unwrap().len())
            .collect();
        assert_eq!(sizes.len(), 3);
        assert!(sizes.iter().all(|&size| size <= 4096), "{sizes:?}");
        let lines = read(&container).unwrap();
        let last: Vec<_> = lines.iter().map(|line| String::from_utf8(line.text.clone()).unwrap()).collect();
        let expected: Vec<_> = (2000 - lines.len()..2000).map(|number| format!("line {number}")).collect();
        assert_eq!(last, expected);
        assert!(lines.len() > 100);
    }

    #[test]
    fn a_follower_sees_every_line_across_rotations() {
        let directory = tempfile::tempdir().unwrap();
        let container = container(directory.path());
        let mut follower = Follower::new(&container);
        assert_eq!(follower.next_lines().unwrap(), []);
        let mut writer = writer(&container, 1024, 2);
        let mut seen = Vec::new();
        for number in 0..200 {
            writer.take(Stream::Stderr, format!("{number}\n").as_bytes());
            seen.extend(follower.next_lines().unwrap());
        }
        let seen: Vec<_> = seen.iter().map(|line| String::from_utf8(line.text.clone()).unwrap()).collect();
        assert_eq!(seen, (0..200).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_come_out_again(
            pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40_000)), 0..6)
        ) {
            let directory = tempfile::tempdir().unwrap();
            let container = container(directory.path());
            let mut writer = writer(&container, 1 << 30, 1);
            let mut sent = [Vec::new(), Vec::new()];
            for (stderr, bytes) in &pieces {
                let stream = if *stderr { Stream::Stderr } else { Stream::Stdout };
                writer.take(stream, bytes);
                sent[stream as usize].extend_from_slice(bytes);
            }
            writer.finish();
            let mut got = [Vec::new(), Vec::new()];
            for line in read(&container).unwrap() {
                prop_assert!(line.text.len() <= LINE_BYTES_MAX);
                got[line.stream as usize].extend_from_slice(&line.text);
                if !line.partial {
                    got[line.stream as usize].push(b'\n');
                }
            }
            prop_assert_eq!(got, sent);
        }
    }
}
