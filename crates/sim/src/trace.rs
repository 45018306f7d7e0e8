//! What happened to every packet, as columns (CSV) or as a capture (pcapng).

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use packet::pcap::{LinkType, PcapError};
use packet::pcapng;

use crate::packets::Packet;
use crate::report::LinkId;
use crate::time::Time;

/// What happened to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It has to wait for a link.
    Queue,
    /// It goes onto a link.
    Send,
    /// There was no room in the queue, no route, or it went in a circle.
    Drop,
    /// It is lost on a link.
    Lose,
    /// It was taken out of a queue.
    Flush,
    /// It has reached its node.
    Deliver,
}

impl Kind {
    /// As it is written in columns.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Send => "send",
            Self::Drop => "drop",
            Self::Lose => "lose",
            Self::Flush => "flush",
            Self::Deliver => "deliver",
        }
    }
}

/// What happened, when, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub time: Time,
    /// What.
    pub kind: Kind,
    /// At which link; none where a node had no route.
    pub link: Option<LinkId>,
}

/// Why a trace is not whole.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Its file could not be written.
    #[error("the trace could not be written: {0}")]
    Io(#[from] std::io::Error),
    /// Its capture could not be written.
    #[error("the capture could not be written: {0}")]
    Pcap(#[from] PcapError),
}

/// Records what happens. A failure is kept and told at the end: a run does not depend on its trace.
pub trait Trace<B> {
    /// Takes a record.
    fn record(&mut self, record: &Record, packet: &Packet<B>);

    /// Writes what is left.
    ///
    /// # Errors
    /// The first failure.
    fn finish(&mut self) -> Result<(), TraceError>;
}

/// A line for each event: `time_ps,event,link,to,flow,level,bytes`. The link is empty where there is none.
#[derive(Debug)]
pub struct Csv<W: Write> {
    out: W,
    failed: Option<std::io::Error>,
}

impl<W: Write> Csv<W> {
    /// Starts with the names of the columns.
    pub fn new(mut out: W) -> Self {
        let failed = out.write_all(b"time_ps,event,link,to,flow,level,bytes\n").err();
        Self { out, failed }
    }
}

impl<B, W: Write> Trace<B> for Csv<W> {
    fn record(&mut self, record: &Record, packet: &Packet<B>) {
        if self.failed.is_some() {
            return;
        }
        let (time, kind) = (record.time.picos(), record.kind.name());
        let Packet { to, bytes, level, flow, .. } = packet;
        let written = match record.link {
            Some(LinkId(link)) => writeln!(self.out, "{time},{kind},{link},{},{flow},{level},{bytes}", to.0),
            None => writeln!(self.out, "{time},{kind},,{},{flow},{level},{bytes}", to.0),
        };
        self.failed = written.err();
    }

    fn finish(&mut self) -> Result<(), TraceError> {
        match self.failed.take() {
            Some(error) => Err(error.into()),
            None => Ok(self.out.flush()?),
        }
    }
}

/// A capture of what goes onto links, one interface for each, named by its number. The frames are made by a function, for a
/// packet here is a value and not bytes.
pub struct Capture<W: Write, F> {
    writer: pcapng::Writer<W>,
    frame: F,
    bytes: Vec<u8>,
    failed: Option<PcapError>,
}

impl<W: Write, F> std::fmt::Debug for Capture<W, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl<W: Write, F> Capture<W, F> {
    /// Of links 0 to `links`; `frame` writes the bytes of a packet and tells its whole length, of which it may have written
    /// only the front.
    ///
    /// # Errors
    /// The first blocks could not be written, or there are more links than a capture has interfaces.
    pub fn new(out: W, links: u32, kind: LinkType, frame: F) -> Result<Self, TraceError> {
        let mut writer = pcapng::Writer::new(out)?;
        for link in 0..links {
            writer.add_interface(&LinkId(link).to_string(), kind)?;
        }
        Ok(Self { writer, frame, bytes: Vec::new(), failed: None })
    }
}

impl<B, W: Write, F: FnMut(&Packet<B>, &mut Vec<u8>) -> u32> Trace<B> for Capture<W, F> {
    fn record(&mut self, record: &Record, packet: &Packet<B>) {
        let (Kind::Send, Some(LinkId(link)), None) = (record.kind, record.link, &self.failed) else { return };
        self.bytes.clear();
        let length = (self.frame)(packet, &mut self.bytes);
        self.failed = self.writer.write_cut(link, record.time.nanos(), &self.bytes, length).err();
    }

    fn finish(&mut self) -> Result<(), TraceError> {
        match self.failed.take() {
            Some(error) => Err(error.into()),
            None => Ok(self.writer.flush()?),
        }
    }
}

/// Bytes in memory that are read after the run: a trace belongs to its network while that runs.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// What was written so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
