//! Runs one module by itself, for the modules' own tests: what comes in, what leaves where, and at what time.

use packet::{BATCH, Batch, Packet};

use super::context::{Context, Emission};
use super::node::{NOT_OPEN, Output};
use super::{Gate, Module, Place, Ran};

/// A module whose gates all lead to the test.
pub(crate) struct Rig<M> {
    pub(crate) module: M,
    /// Packets that were dropped.
    pub(crate) dropped: usize,
    now_ns: u64,
    outputs: Vec<Output>,
    emission: Emission,
    places: Vec<(String, Place)>,
}

/// Packets by the gate that they left at, in order.
pub(crate) type Left = Vec<(Gate, Packet)>;

impl<M: Module> Rig<M> {
    /// A module at time 0, its attributes side by side.
    pub(crate) fn new(mut module: M) -> Self {
        let mut next = 0;
        let mut places = Vec::new();
        for attribute in module.attributes() {
            places.push((attribute.name, Place::At(next)));
            next += attribute.size;
        }
        module.place(&places.iter().map(|(_, place)| *place).collect::<Vec<_>>());
        let outputs = (0..module.outputs()).map(|_| Output::new()).collect();
        Self { module, dropped: 0, now_ns: 0, outputs, emission: Emission::default(), places }
    }

    /// Sets the clock.
    pub(crate) fn at(&mut self, now_ns: u64) -> &mut Self {
        self.now_ns = now_ns;
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
        call: impl FnOnce(&mut M, &mut Context<'_>, &mut Batch) -> R,
    ) -> (R, Left) {
        self.emission.now_ns = Some(self.now_ns);
        let mut ctx = Context::new(&mut self.outputs, &mut self.emission, BATCH);
        let result = call(&mut self.module, &mut ctx, &mut batch);
        let mut left = Vec::new();
        for (gate, mut emitted) in self.emission.emitted.drain(..) {
            self.outputs[usize::from(gate)].open = NOT_OPEN;
            left.extend(emitted.drain(..).map(|packet| (gate, packet)));
        }
        self.dropped += std::mem::take(&mut self.emission.no_gate) as usize;
        match self.emission.forward.take().filter(|gate| usize::from(*gate) < self.outputs.len()) {
            Some(gate) => left.extend(batch.drain(..).map(|packet| (gate, packet))),
            None => self.dropped += batch.len(),
        }
        (result, left)
    }
}

/// Gives a batch to a module, and sees that lengths stay where the module has said so.
pub(crate) fn process_as_declared(
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
