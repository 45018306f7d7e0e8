//! Capture files: packets come from one pcap or pcapng file and go to another.
//!
//! Reading goes as fast as it is asked for; timestamps are those of the file. At the end of the file the link goes
//! down, unless the file is read in a [loop](PcapConfig::repeat). A file that is cut off gives what it has, then an
//! error, once.
//!
//! What is written is what a wire would carry: checksums are finished and large packets cut. A packet is written with
//! its own timestamp, or, where nobody has noted one, with the time at which it is sent.
//!
//! What is sent is in the file within milliseconds, so that a reader of a pipe sees it; many packets go there in one write.
//! All of it is there once the queue is dropped, or the port has said what it counted. Where a write fails, because the disk
//! is full, what does not fit is dropped and counted, and the file ends with the last whole record, so it stays readable.

mod write;

use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use packet::pcap::{self, Capture, LinkType, PcapError};
use packet::{Batch, Packet, Pool};
use rustix::event::{EventfdFlags, eventfd};

use crate::counters::{self, QueueCounters};
use crate::{Counters, LinkState, Offloads, Port, PortError, PortInfo, RxQueue, TxQueue};
use write::{Output, PcapTx};

/// Records that one call to receive skips at most, because they do not fit a buffer.
const SKIPS_MAX: usize = 1024;

/// How capture files are opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PcapConfig {
    /// The file to read; nothing is received without one.
    pub read: Option<PathBuf>,
    /// The file to write, which is overwritten; without one, what is sent is dropped and counted.
    pub write: Option<PathBuf>,
    /// Whether to begin again at the end of the file.
    pub repeat: bool,
}

/// A port on capture files.
pub struct PcapPort {
    info: PortInfo,
    queue: Option<(PcapRx, PcapTx)>,
    counters: Arc<QueueCounters>,
    output: Option<Arc<Output>>,
    ended: Arc<AtomicBool>,
}

impl PcapPort {
    /// Opens the files.
    ///
    /// # Errors
    /// [`PortError`] when a file is missing, closed to us, or no capture.
    pub fn open(config: &PcapConfig, pool: &Pool) -> Result<Self, PortError> {
        let name = config
            .read
            .as_ref()
            .or(config.write.as_ref())
            .map_or_else(String::new, |path| path.display().to_string());
        let port = format!("pcap:{name}");
        let counters = Arc::<QueueCounters>::default();
        let ended = Arc::new(AtomicBool::new(config.read.is_none()));
        let ready = eventfd(u32::from(config.read.is_some()), EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let ready = ready.map_err(|error| PortError::System {
            port: port.clone(),
            action: "making an eventfd",
            source: error.into(),
        })?;
        let source = config.read.as_deref().map(|path| open_source(&port, path)).transpose()?;
        let tx = PcapTx::create(&port, config.write.as_deref(), counters.clone())?;
        let output = tx.output();
        let rx = PcapRx {
            port: port.clone(),
            source,
            path: config.read.clone().unwrap_or_default(),
            repeat: config.repeat,
            fruitful: false,
            ready,
            ended: ended.clone(),
            counters: counters.clone(),
            pool: pool.clone(),
        };
        let offloads = Offloads::default();
        let info = PortInfo { name, kind: "pcap", mac: None, mtu: pcap::RECORD_MAX, queues: 1, offloads };
        Ok(Self { info, queue: Some((rx, tx)), counters, output, ended })
    }
}

fn open_source(port: &str, path: &Path) -> Result<Capture<BufReader<File>>, PortError> {
    pcap::open(path).map_err(|error| match error {
        PcapError::Open { source, .. } => file_error(port, path, "opening the capture", source),
        other => broken(port, other),
    })
}

fn file_error(port: &str, path: &Path, action: &'static str, source: io::Error) -> PortError {
    let port = port.into();
    match source.kind() {
        io::ErrorKind::NotFound => {
            let remedy = "check the path; directories are not created";
            PortError::Missing { port, what: path.display().to_string(), remedy }
        }
        io::ErrorKind::PermissionDenied => {
            let remedy = "check the file's owner and mode";
            PortError::Privilege { port, action, remedy, source }
        }
        _ => PortError::System { port, action, source },
    }
}

fn broken(port: &str, error: PcapError) -> PortError {
    let source = io::Error::new(io::ErrorKind::InvalidData, error);
    PortError::System { port: port.into(), action: "the capture file", source }
}

impl Port for PcapPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn link(&self) -> LinkState {
        if self.ended.load(Ordering::Relaxed) { LinkState::Down } else { LinkState::Up }
    }

    fn counters(&self) -> Counters {
        self.output.iter().for_each(|output| output.settle());
        counters::total([&*self.counters])
    }

    fn queue(&mut self, index: usize) -> Option<(Box<dyn RxQueue>, Box<dyn TxQueue>)> {
        let (rx, tx) = (index == 0).then(|| self.queue.take())??;
        Some((Box::new(rx), Box::new(tx)))
    }
}

struct PcapRx {
    port: String,
    source: Option<Capture<BufReader<File>>>,
    path: PathBuf,
    repeat: bool,
    /// Whether this pass through the file has given a packet; a file without one is not read in a loop.
    fruitful: bool,
    /// Readable until the end.
    ready: OwnedFd,
    ended: Arc<AtomicBool>,
    counters: Arc<QueueCounters>,
    pool: Pool,
}

/// What the next record came to.
enum Next {
    Packet(Packet),
    Dropped,
    End,
}

impl PcapRx {
    fn next(&mut self) -> Result<Next, PortError> {
        let Some(source) = &mut self.source else { return Ok(Next::End) };
        let record = match source.next() {
            Ok(Some(record)) => record,
            Ok(None) => return self.again(),
            Err(error) => {
                let error = broken(&self.port, error);
                self.end();
                return Err(error);
            }
        };
        if record.link != LinkType::ETHERNET {
            let error = PortError::Option {
                port: self.port.clone(),
                option: format!("link type {}", record.link.0),
                problem: "the capture's frames are not Ethernet",
            };
            self.end();
            return Err(error);
        }
        let Some(mut packet) = self.pool.packet(record.data) else { return Ok(Next::Dropped) };
        packet.set_timestamp_ns(record.timestamp_ns);
        self.fruitful = true;
        Ok(Next::Packet(packet))
    }

    /// Begins again, if that is wanted and would give anything.
    fn again(&mut self) -> Result<Next, PortError> {
        if !self.repeat || !self.fruitful {
            self.end();
            return Ok(Next::End);
        }
        self.fruitful = false;
        self.source = Some(open_source(&self.port, &self.path).inspect_err(|_| self.end_flag())?);
        self.next()
    }

    fn end_flag(&self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = rustix::io::read(&self.ready, &mut [0u8; 8]);
    }

    fn end(&mut self) {
        self.source = None;
        self.end_flag();
    }
}

impl RxQueue for PcapRx {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let (mut packets, mut bytes, mut dropped) = (0, 0, 0);
        let mut result = Ok(());
        while batch.room() > 0 && dropped < SKIPS_MAX as u64 {
            match self.next() {
                Ok(Next::Packet(packet)) => {
                    packets += 1;
                    bytes += packet.len() as u64;
                    // There is room.
                    let _ = batch.push(packet);
                }
                Ok(Next::Dropped) => dropped += 1,
                Ok(Next::End) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.counters.received(packets, bytes, dropped);
        result.map(|()| packets as usize)
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.ready.as_fd())
    }
}
