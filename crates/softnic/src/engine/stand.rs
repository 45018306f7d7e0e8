//! A stand for tests of one module: packets in by hand, and out again with the gates at which they left.

use std::cell::RefCell;
use std::fmt;
use std::sync::OnceLock;

use packet::{BATCH, Batch, Packet, Pool, PoolConfig};

use super::context::Emission;
use super::node::{NOT_OPEN, Output};
use super::rig::process_as_declared;
use super::{Context, GATES_MAX, Gate, Module};

/// The pool of all tests.
pub(crate) fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool::new(PoolConfig { buffers: 4096, ..PoolConfig::default() }).expect("a pool"))
}

/// A packet of these bytes.
pub(crate) fn packet(frame: &[u8]) -> Packet {
    pool().packet(frame).expect("a buffer")
}

thread_local! {
    /// As many as a module may have, made once: tests call modules often.
    static OUTPUTS: RefCell<Box<[Output]>> = RefCell::new({
        (0..GATES_MAX).map(|_| Output::new()).collect()
    });
}

/// Where a module is, for a call of it.
pub(crate) struct Stand {
    /// The worker whose task brought the packets.
    pub(crate) origin: usize,
    /// The time.
    pub(crate) now_ns: u64,
}

impl Stand {
    /// At worker 0, at 0 ns.
    pub(crate) fn new() -> Self {
        Self { origin: 0, now_ns: 0 }
    }

    /// Lets packets in at `gate`, in batches; what comes out, gate by gate in the order in which the gates were used,
    /// and within a gate in order. What the module drops is not among it.
    pub(crate) fn pass(
        &self,
        module: &mut dyn Module,
        gate: Gate,
        packets: impl IntoIterator<Item = Packet>,
    ) -> Vec<(Gate, Packet)> {
        let outputs = usize::from(module.outputs());
        let (mut packets, mut out) = (packets.into_iter().peekable(), Vec::new());
        while packets.peek().is_some() {
            let mut batch = Batch::new();
            packets.by_ref().take(BATCH).for_each(|packet| batch.push(packet).expect("room"));
            let mut emission =
                Emission { origin: self.origin, now_ns: Some(self.now_ns), ..Emission::default() };
            OUTPUTS.with_borrow_mut(|gates| {
                let gates = &mut gates[..outputs];
                let mut ctx = Context::new(gates, &mut emission, BATCH);
                process_as_declared(module, &mut ctx, gate, &mut batch);
                emission.emitted.iter().for_each(|(gate, _)| gates[usize::from(*gate)].open = NOT_OPEN);
            });
            for (gate, mut emitted) in emission.emitted.drain(..) {
                out.extend(emitted.drain(..).map(|packet| (gate, packet)));
            }
            if let Some(gate) = emission.forward.filter(|gate| usize::from(*gate) < outputs) {
                out.extend(batch.drain(..).map(|packet| (gate, packet)));
            }
        }
        out
    }

    /// The gate at which one frame leaves; `None` when it is dropped.
    pub(crate) fn gate(&self, module: &mut dyn Module, frame: &[u8]) -> Option<Gate> {
        self.pass(module, 0, [packet(frame)]).first().map(|(gate, _)| *gate)
    }
}

/// Numbers for random tests (SplitMix64); `Debug` prints what a failed test needs to be run again.
pub(crate) struct Random {
    seed: u64,
    state: u64,
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WEFT_SEED={}", self.seed)
    }
}

impl Random {
    /// From `WEFT_SEED`, else from the clock.
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("WEFT_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(super::clock::monotonic_ns);
        Self { seed, state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
