//! Writes what TCP connections carry into files, one for each direction, and passes the packets on.
//!
//! Files are named as tcpflow names them: `010.000.000.001.40000-010.000.000.002.00080` is what 10.0.0.1 port 40000 sent to
//! 10.0.0.2 port 80; further connections between the same ends get `c1`, `c2` and so on behind it. A file that is there is
//! never written over. Every byte is written once and at its place, in whatever order segments come. Bytes that were never
//! seen are a hole, which reads as zeros; a direction that carries nothing has no file. What comes in at one gate leaves at
//! the other.
//!
//! | argument | default | |
//! |---|---|---|
//! | `dir=PATH` | | the directory, which must be there |
//! | `policy=linux` | `linux` | which copy of a byte counts where they differ: `first`, `last`, `bsd`, `linux`, `old-linux` |
//! | `open=256` | 256 | files kept open; the one not written to for longest makes way, and is opened again when needed |
//! | `files=65536` | 65536 | files made in all |
//! | `size=1024` | 1024 | MiB of one file; what is beyond is counted |
//! | `connections=16384` | 16384 | connections followed at a time; what comes beyond is counted and not written |
//! | `memory=64` | 64 | MiB for segments that wait for one before them |
//! | `checksums=on` | `off` | whether segments with a wrong checksum are left out, as receivers do |
//!
//! A full disk, and whatever else the directory refuses, costs the bytes at hand, which are counted, and never traffic.
//! Connections are told apart by addresses and ports, not by VLAN. Connections whose beginning was not seen are written
//! from the first byte that was.
//!
//! Example:
//!   weft netbricks run streams dir=/tmp --in pcap:in.pcap --out pcap:out.pcap

mod store;

use std::fmt::Write as _;
use std::net::IpAddr;

use packet::Batch;
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;

use super::{Setup, stream_args};
use crate::reassembly::{Config, Conversation, Direction, Event, Reassembler, Sink};
use crate::{Args, ArgsError, Context, Gate, NetworkFunction, Report};
use store::Files;

pub use store::{Directory, Limits, Store};

/// Connections looked at for expiry in one call.
const EXPIRE_WORK: usize = 64;

/// The function. `S` is where its files are.
pub struct TcpStreams<S: Store> {
    reassembler: Reassembler<[Place; 2]>,
    files: Files<S>,
    malformed: u64,
}

/// Where a direction's bytes go.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// Nothing has come yet.
    #[default]
    None,
    /// The file with so many before it of the same name; perhaps open under a ticket.
    File { nth: u16, slot: u16, ticket: u64 },
    /// It could not be made.
    Refused,
}

/// A flow as tcpflow names it.
fn name(key: &FlowKey, nth: u16, name: &mut String) {
    name.clear();
    for (address, port) in [(key.source(), key.source_port()), (key.destination(), key.destination_port())] {
        let hyphen = if name.is_empty() { "" } else { "-" };
        // A string takes all that is written to it.
        let _ = match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                write!(name, "{hyphen}{a:03}.{b:03}.{c:03}.{d:03}.{port:05}")
            }
            IpAddr::V6(address) => write!(name, "{hyphen}{address}.{port:05}"),
        };
    }
    if nth > 0 {
        let _ = write!(name, "c{nth}");
    }
}

impl<S: Store> Sink<[Place; 2]> for Files<S> {
    fn event(&mut self, conversation: &mut Conversation<'_, [Place; 2]>, event: Event<'_>) {
        let Conversation { key, direction, state } = conversation;
        match event {
            Event::Data { offset, bytes } => {
                let key = if *direction == Direction::FromInitiator { **key } else { key.reversed() };
                self.write(&mut state[*direction as usize], &key, offset, bytes);
            }
            Event::Finished => self.close(&state[*direction as usize]),
            Event::Closed { .. } => state.iter().for_each(|place| self.close(place)),
            Event::Opened { .. } | Event::Gap { .. } | Event::Urgent { .. } | Event::Conflict { .. } => {}
        }
    }
}

impl<S: Store> TcpStreams<S> {
    /// Puts streams together by `config` and writes them to `store`, within `limits`.
    #[must_use]
    pub fn new(store: S, config: Config, limits: Limits, hasher: FlowHasher) -> Self {
        Self { reassembler: Reassembler::new(config, hasher), files: Files::new(store, limits), malformed: 0 }
    }
}

impl<S: Store> NetworkFunction for TcpStreams<S> {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        for packet in batch.iter() {
            match Layers::of(packet.data()) {
                Ok(layers) => {
                    self.reassembler.segment(ctx.now_ns(), &layers, packet.data(), &mut self.files);
                }
                Err(_) => self.malformed += 1,
            }
        }
        ctx.send_batch(gate ^ 1, batch);
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.reassembler.next_deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.reassembler.expire(ctx.now_ns(), EXPIRE_WORK, &mut self.files);
    }

    fn finish(&mut self, _: &mut Context) {
        self.reassembler.finish(&mut self.files);
    }

    fn report(&self, report: &mut Report) {
        self.files.report(report);
        report.counter("malformed packets", self.malformed);
        stream_args::report(&self.reassembler, report);
    }
}

pub(super) fn build(args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let path: String = args.require("dir", "the directory that the files are made in")?;
    let directory = Directory::new(&path).map_err(|error| args.wrong("dir", &path, error))?;
    let limits = Limits {
        open: args.number("open", 256, 1..=4096)? as usize,
        files: args.number("files", 65_536, 1..=u64::MAX)?,
        file_bytes: args.number("size", 1024, 1..=1 << 30)? << 20,
    };
    let config = stream_args::reassembly(args)?;
    Ok(Box::new(TcpStreams::new(directory, config, limits, FlowHasher::new(setup.key))))
}

#[cfg(test)]
mod tests;
