//! A stream of numbered packets: who sends it, and who sees what has become of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use packet::{BATCH, Batch, Pool};
use softnic::engine::{Context, Gate, Module, Ran, Readiness};

/// Packets on their way at a time: fewer than a ring between two workers holds, so that none overflows for want of a core.
const WINDOW: u64 = 128;
/// Nanoseconds between two batches.
const PACE_NS: u64 = 400_000;
/// Where the number stands in a frame: behind Ethernet, IPv4 and UDP.
const NUMBER: std::ops::Range<usize> = 42..50;
/// Gaps that are remembered.
const GAPS_MAX: usize = 100_000;

/// What the two ends of a stream know of each other.
#[derive(Default)]
pub(crate) struct Line {
    received: AtomicU64,
    /// Packets that will never arrive, as whoever dropped them has counted.
    pub(crate) written_off: AtomicU64,
}

/// Numbers the packets that it makes, a batch at a time, as long as not too many are on their way.
pub(crate) struct Numbered {
    pool: Pool,
    line: Arc<Line>,
    pub(crate) sent: u64,
    pub(crate) stop: bool,
    next_ns: u64,
}

impl Numbered {
    pub(crate) fn new(pool: Pool, line: Arc<Line>) -> Self {
        Self { pool, line, sent: 0, stop: false, next_ns: 0 }
    }
}

/// A UDP datagram from 10.0.0.5:1000 to 203.0.113.9:53, without a UDP checksum.
fn frame() -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    frame[14..34].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 5, 203, 0, 113, 9]);
    let words = frame[14..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    frame[34..42].copy_from_slice(&[3, 232, 0, 53, 0, 26, 0, 0]);
    frame
}

impl Module for Numbered {
    fn class(&self) -> &'static str {
        "Numbered"
    }

    fn inputs(&self) -> Gate {
        0
    }

    fn tasks(&self) -> usize {
        1
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, batch: &mut Batch) -> Ran {
        let arrived =
            self.line.received.load(Ordering::Acquire) + self.line.written_off.load(Ordering::Acquire);
        let room = (WINDOW + arrived).saturating_sub(self.sent).min(BATCH as u64) as usize;
        if self.stop || room == 0 {
            return Ran::idle();
        }
        let got = self.pool.alloc_batch(ctx.budget().min(room), batch);
        for packet in &mut *batch {
            let mut frame = frame();
            frame[NUMBER].copy_from_slice(&self.sent.to_be_bytes());
            packet.append(frame.len()).unwrap().copy_from_slice(&frame);
            self.sent += 1;
        }
        ctx.forward(0);
        Ran { packets: got as u32, bytes: 60 * got as u64, ..Ran::idle() }
    }

    fn readiness(&self, _task: usize) -> Readiness<'_> {
        Readiness::Signal
    }

    fn timed(&self) -> bool {
        true
    }

    fn deadline_ns(&self) -> Option<u64> {
        Some(self.next_ns)
    }

    fn expire(&mut self, ctx: &mut Context<'_>) {
        self.next_ns = ctx.now_ns() + PACE_NS;
        ctx.wake(0);
    }
}

/// Sees what arrives: in order, and what is missing.
pub(crate) struct Judge {
    line: Arc<Line>,
    pub(crate) received: u64,
    /// The number that should come next.
    pub(crate) next: u64,
    /// Packets that were overtaken, or came twice.
    pub(crate) overtaken: u64,
    /// Packets that were jumped over.
    pub(crate) missing: u64,
    /// The first of each run of missing packets, and how many.
    pub(crate) gaps: Vec<(u64, u64)>,
    last_ns: Option<u64>,
    silence_ns: u64,
}

impl Judge {
    pub(crate) fn new(line: Arc<Line>) -> Self {
        Self {
            line,
            received: 0,
            next: 0,
            overtaken: 0,
            missing: 0,
            gaps: Vec::new(),
            last_ns: None,
            silence_ns: 0,
        }
    }

    /// The longest time between two arrivals since it was last asked.
    pub(crate) fn silence_ns(&mut self) -> u64 {
        std::mem::take(&mut self.silence_ns)
    }
}

impl Module for Judge {
    fn class(&self) -> &'static str {
        "Judge"
    }

    fn outputs(&self) -> Gate {
        0
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        for packet in &*batch {
            let number = u64::from_be_bytes(packet.data()[NUMBER].try_into().unwrap());
            if number < self.next {
                self.overtaken += 1;
                continue;
            }
            if number > self.next {
                self.missing += number - self.next;
                if self.gaps.len() < GAPS_MAX {
                    self.gaps.push((self.next, number - self.next));
                }
            }
            self.next = number + 1;
        }
        let now_ns = ctx.now_ns();
        if let Some(last_ns) = self.last_ns.replace(now_ns) {
            self.silence_ns = self.silence_ns.max(now_ns.saturating_sub(last_ns));
        }
        self.received += batch.len() as u64;
        batch.clear();
        self.line.received.store(self.received, Ordering::Release);
    }
}
