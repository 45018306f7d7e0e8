//! [`Capture`].

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use packet::pcap::LinkType;
use packet::pcapng::COMMENT_MAX;
use packet::{Batch, Packet, pcap, pcapng};

use super::outlet::{Outlet, OutletError};
use crate::engine::{Attribute, GateHook, Place, monotonic_ns};

/// Bytes that a record takes beside the packet, at most.
const RECORD_OVERHEAD: usize = 48;
/// How often a FIFO without a reader is tried again.
const RETRY_NS: u64 = 100_000_000;

/// How packets are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// pcap, nanoseconds.
    Pcap,
    /// pcapng, one interface, nanoseconds; the metadata attributes that the gate's module uses are a comment of each packet.
    PcapNg,
}

/// Writes the packets that pass into a FIFO or a file, as tcpdump, tshark and Wireshark read them.
///
/// It never waits: what a slow reader does not take is kept up to [`BACKLOG_MAX`](super::BACKLOG_MAX) bytes, beyond that
/// packets are left out and counted. When the reader goes, it falls silent, or with
/// [`reconnect`](Capture::reconnect) waits for the next one, which gets a header of its own.
///
/// A comment is `name = VALUE` for each attribute, its bytes in hexadecimal in the order in which they lie, with a blank in
/// between; `X` stands for what lies nowhere (as BESS).
///
/// ```
/// use softnic::hooks::{Capture, Format};
/// let path = std::env::temp_dir().join("weft-doc-capture.pcap");
/// let hook = Capture::open(Format::Pcap, &path)?;
/// // engine.add_hook("wire", Side::Output(0), "dump", Box::new(hook))?;
/// # drop(hook);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Capture {
    format: Format,
    path: PathBuf,
    output: Option<Output>,
    reconnect: bool,
    /// When a missing reader is looked for again.
    retry_ns: Option<u64>,
    /// From the monotonic clock to the time of day.
    offset_ns: u64,
    written: u64,
    missed: u64,
    attributes: Vec<(Attribute, Place)>,
    /// What stands with the packet that is being written.
    comment: String,
}

enum Output {
    Pcap(pcap::Writer<Outlet>),
    PcapNg(pcapng::Writer<Outlet>),
}

impl Output {
    fn open(format: Format, path: &PathBuf) -> io::Result<Self> {
        let outlet = Outlet::open(path)?;
        let never = |error: pcap::PcapError| io::Error::other(error);
        Ok(match format {
            Format::Pcap => Self::Pcap(pcap::Writer::new(outlet, LinkType::ETHERNET).map_err(never)?),
            Format::PcapNg => {
                let mut writer = pcapng::Writer::new(outlet).map_err(never)?;
                writer.add_interface("weft", LinkType::ETHERNET).map_err(never)?;
                Self::PcapNg(writer)
            }
        })
    }

    fn outlet(&mut self) -> &mut Outlet {
        match self {
            Self::Pcap(writer) => writer.get_mut(),
            Self::PcapNg(writer) => writer.get_mut(),
        }
    }

    fn write(&mut self, time_ns: u64, data: &[u8], comment: &str) -> bool {
        let written = match self {
            Self::Pcap(writer) => writer.write(time_ns, data),
            Self::PcapNg(writer) if comment.is_empty() => writer.write(0, time_ns, data),
            Self::PcapNg(writer) => writer.write_commented(0, time_ns, data, comment),
        };
        written.is_ok()
    }
}

/// Says what a packet's attributes are; those that the comment has no room for are left out, and all behind them.
fn comment(text: &mut String, attributes: &[(Attribute, Place)], packet: &Packet) {
    text.clear();
    for (Attribute { name, size, .. }, place) in attributes {
        let size = usize::from(*size);
        if text.len() + name.len() + 2 * size + " = ".len() + 1 > COMMENT_MAX {
            break;
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{}{name} = ", if text.is_empty() { "" } else { " " });
        match place.get(packet, size) {
            Some(value) => value.iter().for_each(|byte| _ = write!(text, "{byte:02X}")),
            None => text.extend(std::iter::repeat_n('X', 2 * size)),
        }
    }
}

impl Capture {
    /// Opens a file, or a FIFO that has a reader.
    ///
    /// # Errors
    /// [`OutletError`], such as a FIFO without a reader.
    pub fn open(format: Format, path: impl Into<PathBuf>) -> Result<Self, OutletError> {
        let mut capture = Self::deferred(format, path);
        let output =
            Output::open(format, &capture.path).map_err(|error| OutletError::new(&capture.path, error))?;
        (capture.output, capture.retry_ns) = (Some(output), None);
        capture.push(monotonic_ns());
        Ok(capture)
    }

    /// Opens once the first packet passes, and looks for a reader until there is one.
    pub fn deferred(format: Format, path: impl Into<PathBuf>) -> Self {
        let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        Self {
            format,
            path: path.into(),
            output: None,
            reconnect: false,
            retry_ns: Some(0),
            offset_ns: day.saturating_sub(monotonic_ns()),
            written: 0,
            missed: 0,
            attributes: Vec::new(),
            comment: String::new(),
        }
    }

    /// Whether to wait for another reader when one goes.
    #[must_use]
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Packets written, and packets left out.
    pub fn counts(&self) -> (u64, u64) {
        (self.written, self.missed)
    }

    /// Hands on what waits. An output without a reader is closed at once, so that the next reader does not find what
    /// the last one left in the FIFO.
    fn push(&mut self, now_ns: u64) {
        if let Some(output) = &mut self.output {
            output.outlet().push();
            if output.outlet().broken {
                self.output = None;
                self.retry_ns = self.reconnect.then_some(now_ns);
            }
        }
    }

    /// Looks for a reader where one is awaited.
    fn find_reader(&mut self, now_ns: u64) {
        if self.output.is_none() && self.retry_ns.is_some_and(|retry| retry <= now_ns) {
            self.output = Output::open(self.format, &self.path).ok();
            self.retry_ns = if self.output.is_some() { None } else { Some(now_ns + RETRY_NS) };
        }
    }
}

impl GateHook for Capture {
    fn class(&self) -> &'static str {
        match self.format {
            Format::Pcap => "TcpDump",
            Format::PcapNg => "PcapNg",
        }
    }

    fn pass(&mut self, batch: &Batch, now_ns: u64) {
        self.find_reader(now_ns);
        let Some(output) = &mut self.output else {
            self.missed += batch.len() as u64;
            return;
        };
        for packet in batch {
            comment(&mut self.comment, &self.attributes, packet);
            let fits = output.outlet().has_room(packet.len() + self.comment.len() + RECORD_OVERHEAD);
            if fits && output.write(self.offset_ns + now_ns, packet.data(), &self.comment) {
                self.written += 1;
            } else {
                self.missed += 1;
            }
        }
        self.push(now_ns);
    }

    fn place(&mut self, attributes: &[Attribute], places: &[Place]) {
        if self.format == Format::PcapNg {
            self.attributes = attributes.iter().cloned().zip(places.iter().copied()).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use packet::{Pool, PoolConfig};
    use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

    use super::*;

    fn batch(count: usize, len: usize) -> Batch {
        let pool = Pool::new(PoolConfig { buffers: 64, ..PoolConfig::default() }).unwrap();
        let mut batch = Batch::new();
        for _ in 0..count {
            batch.push(pool.packet(&vec![7; len]).unwrap()).unwrap();
        }
        batch
    }

    #[test]
    fn a_file_has_what_passed() {
        for format in [Format::Pcap, Format::PcapNg] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let mut capture = Capture::open(format, file.path()).unwrap();
            capture.pass(&batch(3, 60), monotonic_ns());
            drop(capture);
            let mut records = pcap::open(file.path()).unwrap();
            let mut found = 0;
            while let Some(record) = records.next().unwrap() {
                assert_eq!(record.data, [7; 60]);
                found += 1;
            }
            assert_eq!(found, 3);
        }
    }

    #[test]
    fn a_fifo_waits_for_readers_and_never_blocks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(Capture::open(Format::Pcap, &path).is_err(), "nobody reads");
        let mut capture = Capture::deferred(Format::Pcap, &path).reconnect(true);
        capture.pass(&batch(1, 60), 1);
        assert_eq!(capture.counts(), (0, 1));
        for round in 1..3 {
            let mut reader = {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK;
                std::fs::File::from(rustix::fs::open(&path, flags, Mode::empty()).unwrap())
            };
            capture.pass(&batch(1, 60), round * 10 * RETRY_NS);
            let mut start = [0; 24 + 16 + 60];
            reader.read_exact(&mut start).unwrap();
            assert_eq!(start[..4], 0xa1b2_3c4du32.to_le_bytes());
            // Far more than a FIFO holds: some is kept back, the rest is counted.
            for _ in 0..100 {
                capture.pass(&batch(16, 1500), round * 10 * RETRY_NS + 1);
            }
            drop(reader);
            capture.pass(&batch(1, 60), round * 10 * RETRY_NS + 2);
        }
        let (written, missed) = capture.counts();
        assert!(written > 2 && missed > 100, "{written} {missed}");
    }
}
