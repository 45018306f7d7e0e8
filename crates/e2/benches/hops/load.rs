//! So many packets at once, each of which is sent again when it comes back: nothing is lost, and nobody sends more than is taken.

use std::net::Ipv4Addr;

use e2::plane::tag::Tag;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, udp};
use packet::{Batch, Packet, Pool};
use softnic::engine::{Context, Gate, Module, Ran, Readiness, monotonic_ns};

/// Bytes of a frame, without its check sequence.
pub(crate) const FRAME: usize = 60;
/// Flows that take turns.
pub(crate) const FLOWS: u16 = 1024;
/// The port that all of them lead to.
pub(crate) const PORT: u16 = 53;
/// Times that are kept.
const TIMES_MAX: usize = 1 << 16;

/// What there is to see of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Packets that came back.
    pub(crate) back: u64,
    /// Packets that are on their way.
    pub(crate) out: u64,
    /// How long they took, in ns, if somebody wanted to know.
    pub(crate) times: Vec<u32>,
}

/// *Input gates*: one, for what comes back. *Output gates*: one. *Tasks*: one, which sends.
pub(crate) struct Load {
    frames: Vec<Vec<u8>>,
    next: usize,
    /// Back, and not sent again yet.
    home: Vec<Packet>,
    stopped: bool,
    timed: bool,
    sent_ns: u64,
    seen: Seen,
}

impl Load {
    /// `window` packets at once; with `timed` it is noted how long each takes, which makes sense of one.
    pub(crate) fn new(pool: &Pool, window: usize, timed: bool) -> Self {
        let frames: Vec<Vec<u8>> = (0..FLOWS).map(frame).collect();
        let home = (0..window).map(|_| pool.packet(&frames[0]).expect("a buffer")).collect();
        Self { frames, next: 0, home, stopped: false, timed, sent_ns: 0, seen: Seen::default() }
    }

    /// What it has seen since it was asked last; times are given away.
    pub(crate) fn look(&mut self) -> Seen {
        let times = std::mem::take(&mut self.seen.times);
        Seen { times, ..self.seen }
    }

    /// Sends nothing more.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }
}

impl Module for Load {
    fn class(&self) -> &'static str {
        "Load"
    }

    fn tasks(&self) -> usize {
        1
    }

    fn readiness(&self, _task: usize) -> Readiness<'_> {
        Readiness::Signal
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        self.seen.back += batch.len() as u64;
        self.seen.out -= batch.len() as u64;
        if self.timed && self.seen.times.len() < TIMES_MAX {
            let took = monotonic_ns() - self.sent_ns;
            self.seen.times.push(u32::try_from(took).unwrap_or(u32::MAX));
        }
        self.home.extend(batch.drain(..));
        ctx.wake(0);
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, batch: &mut Batch) -> Ran {
        let count = if self.stopped { 0 } else { self.home.len().min(ctx.budget()) };
        if count == 0 {
            return Ran::idle();
        }
        for mut packet in self.home.drain(self.home.len() - count..) {
            // What a function has made of it is of no interest.
            packet.data_mut()[..FRAME].copy_from_slice(&self.frames[self.next]);
            self.next = (self.next + 1) % self.frames.len();
            // As a data plane leaves it to a function: come in by the first port, of the first pipelet.
            Tag { pipelet: 0, ..Tag::of_port(0) }.put(&mut packet);
            // There is room: it is no more than the budget.
            let _ = batch.push(packet);
        }
        self.seen.out += count as u64;
        if self.timed {
            self.sent_ns = monotonic_ns();
        }
        ctx.forward(0);
        Ran::more(count, (count * FRAME) as u64)
    }
}

/// A datagram of a flow.
fn frame(flow: u16) -> Vec<u8> {
    const L3: usize = ethernet::HEADER_LEN;
    const L4: usize = L3 + ipv4::HEADER_LEN;
    let mut bytes = vec![0; FRAME];
    let (source, destination) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    let link = ethernet::Repr { source, destination, ethertype: EtherType::IPV4 };
    link.emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    let [high, low] = flow.to_be_bytes();
    let (source, destination) = (Ipv4Addr::new(10, 0, high, low), Ipv4Addr::new(198, 18, 0, 1));
    let header = ipv4::Repr::new(source, destination, IpProtocol::UDP, FRAME - L4);
    header.emit(&mut ipv4::View::new_unchecked(&mut bytes[L3..]));
    let ports = udp::Repr {
        source_port: 1024 + flow,
        destination_port: PORT,
        payload_len: FRAME - L4 - udp::HEADER_LEN,
    };
    ports.emit(&mut udp::View::new_unchecked(&mut bytes[L4..]));
    bytes
}
