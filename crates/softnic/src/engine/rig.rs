//! Runs one module by itself, for the modules' own tests: what comes in, what leaves where, and at what time.

use std::cell::RefCell;
use std::fmt;
use std::ops::DerefMut;
use std::sync::LazyLock;

use packet::fuzzing::bounded;
use packet::{BATCH, Batch, Packet, Pool, PoolConfig};

use super::context::{Context, Emission};
use super::node::{NOT_OPEN, Output, bytes};
use super::{Gate, Module, Place, Ran};

/// The tests' buffers.
pub(crate) fn pool() -> Pool {
    static POOL: LazyLock<Pool> = LazyLock::new(|| {
        Pool::new(PoolConfig { buffers: 1 << 14, ..PoolConfig::default() }).expect("memory for buffers")
    });
    POOL.clone()
}

/// A packet of these bytes.
pub(crate) fn packet(frame: &[u8]) -> Packet {
    pool().packet(frame).expect("a buffer")
}

thread_local! {
    /// Gates that no rig has at the moment: some modules have thousands, and tests call them often.
    static SPARE: RefCell<Vec<Output>> = const { RefCell::new(Vec::new()) };
}

/// A module whose gates all lead to the test. It has the module ([`Rig::new`]), or only sees it ([`Rig::on`]).
pub(crate) struct Rig<D: DerefMut<Target: Module>> {
    pub(crate) module: D,
    /// Packets that were dropped.
    pub(crate) dropped: usize,
    now_ns: u64,
    origin: usize,
    outputs: Vec<Output>,
    emission: Emission,
    places: Vec<(String, Place)>,
}

/// A rig that has its module.
pub(crate) type Own<M> = Rig<Box<M>>;

/// Packets by the gate that they left at: gate by gate in the order in which the gates were used, and within a gate in
/// order.
pub(crate) type Left = Vec<(Gate, Packet)>;

impl<M: Module> Own<M> {
    /// A module at time 0, its attributes side by side.
    pub(crate) fn new(mut module: M) -> Self {
        let mut next = 0;
        let mut places = Vec::new();
        for attribute in module.attributes() {
            places.push((attribute.name, Place::At(next)));
            next += attribute.size;
        }
        module.place(&places.iter().map(|(_, place)| *place).collect::<Vec<_>>());
        let mut rig = Rig::on(Box::new(module));
        rig.places = places;
        rig
    }
}

impl<D: DerefMut<Target: Module>> Rig<D> {
    /// A module at time 0, its attributes where they are.
    pub(crate) fn on(module: D) -> Self {
        let mut outputs = SPARE.take();
        outputs.resize_with(outputs.len().max(module.outputs().into()), Output::new);
        Self {
            module,
            dropped: 0,
            now_ns: 0,
            origin: 0,
            outputs,
            emission: Emission::default(),
            places: Vec::new(),
        }
    }

    /// Sets the clock.
    pub(crate) fn at(&mut self, now_ns: u64) -> &mut Self {
        self.now_ns = now_ns;
        self
    }

    /// Says which worker's task brings the packets.
    pub(crate) fn by(&mut self, origin: usize) -> &mut Self {
        self.origin = origin;
        self
    }

    /// Where an attribute lies.
    pub(crate) fn place(&self, name: &str) -> Place {
        self.places.iter().find(|(known, _)| known == name).expect("an attribute of the module").1
    }

    /// Gives packets to an input gate, as one batch.
    pub(crate) fn process(&mut self, gate: Gate, packets: impl IntoIterator<Item = Packet>) -> Left {
        let mut batch = Batch::new();
        for packet in packets {
            batch.push(packet).expect("a batch of them");
        }
        self.call(batch, |module, ctx, batch| process_as_declared(module, ctx, gate, batch)).1
    }

    /// Gives packets to an input gate, in as many batches as it takes.
    pub(crate) fn pass(&mut self, gate: Gate, packets: impl IntoIterator<Item = Packet>) -> Left {
        let (mut packets, mut left) = (packets.into_iter().peekable(), Vec::new());
        while packets.peek().is_some() {
            left.extend(self.process(gate, packets.by_ref().take(BATCH)));
        }
        left
    }

    /// The gate at which one frame leaves; `None` when it is dropped.
    pub(crate) fn gate(&mut self, frame: &[u8]) -> Option<Gate> {
        self.process(0, [packet(frame)]).first().map(|(gate, _)| *gate)
    }

    /// Gives a turn to a task.
    pub(crate) fn run(&mut self, task: usize) -> (Ran, Left) {
        self.call(Batch::new(), |module, ctx, batch| module.run(ctx, task, batch))
    }

    /// Tells the module that its deadline has come.
    pub(crate) fn expire(&mut self) -> Left {
        self.call(Batch::new(), |module, ctx, _| module.expire(ctx)).1
    }

    /// The tasks that the module has woken since it was asked last, one bit each.
    pub(crate) fn woken(&mut self) -> u64 {
        std::mem::take(&mut self.emission.wakes)
    }

    /// What the module has said of being full since it was asked last.
    pub(crate) fn overload(&mut self) -> Option<bool> {
        self.emission.overload.take()
    }

    fn call<R>(
        &mut self,
        mut batch: Batch,
        call: impl FnOnce(&mut D::Target, &mut Context<'_>, &mut Batch) -> R,
    ) -> (R, Left) {
        (self.emission.now_ns, self.emission.origin) = (Some(self.now_ns), self.origin);
        let outputs = &mut self.outputs[..self.module.outputs().into()];
        let mut ctx = Context::new(outputs, &mut self.emission, BATCH);
        let result = call(&mut self.module, &mut ctx, &mut batch);
        if let Some(counted) = self.emission.bytes.take() {
            assert_eq!(counted, bytes(&batch), "bytes that the module has counted");
        }
        let mut left = Vec::new();
        for (gate, mut emitted) in self.emission.emitted.drain(..) {
            outputs[usize::from(gate)].open = NOT_OPEN;
            left.extend(emitted.drain(..).map(|packet| (gate, packet)));
        }
        self.dropped += std::mem::take(&mut self.emission.no_gate) as usize;
        match self.emission.forward.take().filter(|gate| usize::from(*gate) < outputs.len()) {
            Some(gate) => left.extend(batch.drain(..).map(|packet| (gate, packet))),
            None => self.dropped += batch.len(),
        }
        (result, left)
    }
}

/// Gives a batch to a module, and sees that lengths stay where the module has said so.
fn process_as_declared(
    module: &mut (impl Module + ?Sized),
    ctx: &mut Context<'_>,
    gate: Gate,
    batch: &mut Batch,
) {
    let lengths = |batch: &Batch| batch.iter().map(Packet::len).collect::<Vec<_>>();
    let before = lengths(batch);
    module.process(ctx, gate, batch);
    if module.keeps_lengths() && batch.len() == before.len() {
        assert_eq!(lengths(batch), before, "{} says that it keeps lengths", module.class());
    }
}

impl<D: DerefMut<Target: Module>> Drop for Rig<D> {
    fn drop(&mut self) {
        // A module that has panicked leaves gates open; nobody gets those.
        if !std::thread::panicking() {
            SPARE.set(std::mem::take(&mut self.outputs));
        }
    }
}

/// Numbers for random tests; `Debug` prints what a failed test needs to be run again.
pub(crate) struct Random {
    seed: u64,
    numbers: bounded::Random,
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WEFT_FUZZ_SEED={}", self.seed)
    }
}

impl Random {
    /// From `WEFT_FUZZ_SEED`, else from the clock.
    pub(crate) fn seeded() -> Self {
        let seed = bounded::seed(None);
        Self { seed, numbers: bounded::Random(seed) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.numbers.next()
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.numbers.below(end)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.numbers.bytes(count)
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
