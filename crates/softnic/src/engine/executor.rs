//! Runs packets through the modules of one worker, to completion.
//!
//! A module that has returned leaves batches behind, one or more per output gate. They go on a stack, the first one
//! on top, so the graph is walked depth first without recursion: a batch stays in the cache while it crosses
//! module after module, and the packets of one path never overtake each other. A batch that leaves whole by
//! [`Context::forward`](super::Context::forward) and has nobody beside it does not even see the stack.

mod trace;

use std::panic::{AssertUnwindSafe, catch_unwind};

use packet::{BATCH, Batch};

use super::context::{Context, Emission};
use super::node::{NOT_OPEN, Node, NodeId, show};
use super::{Gate, Place, Ran};

pub(crate) use trace::Walk;

/// Modules that a packet may cross in one turn. What is still on its way then goes in circles and is dropped.
pub const HOPS_MAX: u16 = 256;

/// Calls of modules in one turn: bounds loops in which packets multiply. What is left then is dropped.
pub const TURN_CALLS_MAX: u32 = 65_536;

/// A batch on its way.
struct Item {
    node: NodeId,
    gate: Gate,
    hops: u16,
    batch: Box<Batch>,
    /// Its bytes.
    bytes: Option<u64>,
}

/// Tasks of a module that want to be woken, one bit each.
pub(crate) type Woken = (NodeId, u64);

/// The modules of one worker, and what is under way between them during a turn.
#[derive(Default)]
pub(crate) struct Executor {
    /// The worker's number.
    worker: usize,
    nodes: Vec<Option<Box<Node>>>,
    stack: Vec<Item>,
    /// The batch in the running module's hands.
    current: Box<Batch>,
    /// Its bytes, while they are known: they are counted once, and go along as long as nobody changes a length.
    bytes: Option<u64>,
    emission: Emission,
    /// The module that runs, for the case that it panics.
    running: NodeId,
    /// Packets that it was given.
    given: u64,
    calls: u32,
    /// Packets dropped for going in circles.
    circling: u64,
    /// Tasks that modules have woken in this turn.
    woken: Vec<Woken>,
    /// Modules that have become full, or are not full any more, in this turn.
    overloads: Vec<NodeId>,
}

impl Executor {
    /// No modules yet, for the worker of that number.
    pub(crate) fn new(worker: usize) -> Self {
        Self { worker, ..Self::default() }
    }

    /// Puts a module in its place.
    pub(crate) fn insert(&mut self, id: NodeId, node: Box<Node>) {
        let at = id as usize;
        if self.nodes.len() <= at {
            self.nodes.resize_with(at + 1, || None);
        }
        self.nodes[at] = Some(node);
    }

    /// Takes a module out.
    pub(crate) fn remove(&mut self, id: NodeId) -> Option<Box<Node>> {
        self.nodes.get_mut(id as usize)?.take()
    }

    #[inline]
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id as usize)?.as_deref()
    }

    #[inline]
    pub(crate) fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id as usize)?.as_deref_mut()
    }

    /// All modules with their numbers.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().filter_map(|(id, node)| Some((id as NodeId, node.as_deref()?)))
    }

    /// Packets dropped for going in circles.
    pub(crate) fn circling(&self) -> u64 {
        self.circling
    }

    /// The next task that a module has woken.
    #[inline]
    pub(crate) fn woken(&mut self) -> Option<Woken> {
        self.woken.pop()
    }

    /// The next module that has become full, or is not full any more.
    #[inline]
    pub(crate) fn overload(&mut self) -> Option<NodeId> {
        self.overloads.pop()
    }

    /// One turn of a module's task; `None` when the module is gone, out of order, or has panicked.
    #[inline]
    pub(crate) fn run(&mut self, id: NodeId, task: usize) -> Option<Ran> {
        self.call(id, BATCH, |node, ctx, batch| {
            let ran = node.module.run(ctx, task, batch);
            node.bytes = (ran.packets as usize == batch.len()).then_some(ran.bytes);
            ran
        })
    }

    /// Tells a module that its deadline has passed.
    pub(crate) fn expire(&mut self, id: NodeId) {
        self.call(id, BATCH, |node, ctx, _| node.module.expire(ctx));
    }

    /// Has a module see to what is not a packet.
    pub(crate) fn tend(&mut self, id: NodeId) {
        self.call(id, 0, |node, _, _| node.module.tend());
    }

    /// Tells a module, and those who look at its packets, where its metadata attributes lie.
    pub(crate) fn place(&mut self, id: NodeId, places: &[Place]) {
        self.call(id, 0, |node, _, _| node.module.place(places));
        if let Some(node) = self.node_mut(id) {
            node.place_hooks(places);
        }
    }

    /// Calls into a module and sees what it lets out through the graph; `None` as for [`Executor::run`].
    pub(crate) fn call<R>(
        &mut self,
        id: NodeId,
        budget: usize,
        f: impl FnOnce(&mut Parts<'_>, &mut Context<'_>, &mut Batch) -> R,
    ) -> Option<R> {
        self.begin(self.worker);
        let mut result = None;
        self.guarded(|this| {
            let Some(node) = this.nodes.get_mut(id as usize).and_then(Option::as_deref_mut) else { return };
            if node.failed.is_some() {
                return;
            }
            (this.running, this.given) = (id, 0);
            let Node { module, outputs, .. } = node;
            let mut ctx = Context::new(outputs, &mut this.emission, budget);
            let mut parts = Parts { module: &mut **module, bytes: None };
            result = Some(f(&mut parts, &mut ctx, &mut this.current));
            this.bytes = this.emission.bytes.take().or(parts.bytes);
            if let Some((node, gate)) = this.leave(0) {
                this.through(node, gate, 1);
            }
            this.drain();
        });
        result
    }

    /// Runs a batch that came from another worker through the graph.
    pub(crate) fn accept(&mut self, from: usize, node: NodeId, gate: Gate, batch: Batch) {
        self.begin(from);
        *self.current = batch;
        self.guarded(|this| {
            this.through(node, gate, 0);
            this.drain();
        });
    }

    /// A turn begins, with packets that a task of worker `origin` has brought.
    #[inline]
    fn begin(&mut self, origin: usize) {
        (self.calls, self.bytes) = (0, None);
        (self.emission.now_ns, self.emission.origin) = (None, origin);
    }

    /// Runs `f`, and the rest of the stack if a module panics on the way.
    #[inline]
    fn guarded(&mut self, f: impl FnOnce(&mut Self)) {
        // Unwind safety: `fail` puts everything that a panic can leave half-way back in order.
        let mut outcome = catch_unwind(AssertUnwindSafe(|| f(self)));
        while let Err(panic) = outcome {
            self.fail(&*panic);
            outcome = catch_unwind(AssertUnwindSafe(|| self.drain()));
        }
    }

    #[inline]
    fn drain(&mut self) {
        while let Some(item) = self.stack.pop() {
            let empty = std::mem::replace(&mut self.current, item.batch);
            self.emission.spare.push(empty);
            self.bytes = item.bytes;
            self.through(item.node, item.gate, item.hops);
        }
    }

    /// Takes the current batch through a module, and on for as long as it stays alone.
    #[inline]
    fn through(&mut self, mut id: NodeId, mut gate: Gate, mut hops: u16) {
        loop {
            if hops > HOPS_MAX || self.calls >= TURN_CALLS_MAX {
                self.circling += self.current.len() as u64;
                self.current.clear();
                return;
            }
            self.calls += 1;
            let Self { nodes, emission, current, bytes, .. } = self;
            let node = nodes[id as usize].as_deref_mut().expect("edges lead to modules");
            let count = current.len();
            self.given = count as u64;
            if node.failed.is_some() {
                node.lost += self.given;
                current.clear();
                return;
            }
            self.running = id;
            node.inputs[usize::from(gate)] += self.given;
            if !node.input_hooks.is_empty()
                && let Some((_, hooks)) = node.input_hooks.iter_mut().find(|(other, _)| *other == gate)
            {
                show(hooks, current);
            }
            let mut ctx = Context::new(&mut node.outputs, emission, BATCH);
            node.module.process(&mut ctx, gate, current);
            let counted = emission.bytes.take();
            if !node.keeps_lengths || current.len() != count {
                *bytes = counted;
            }
            let next =
                if emission.more { self.leave(hops) } else { leave_whole(node, emission, current, bytes) };
            let Some(next) = next else { return };
            (id, gate) = next;
            hops += 1;
        }
    }

    /// Sees to what the module that just ran has let out. What goes on whole, alone and within this worker stays
    /// the current batch; everything else is on the stack or away, and the current batch is empty.
    fn leave(&mut self, hops: u16) -> Option<(NodeId, Gate)> {
        let Self { nodes, emission, current, bytes, running, woken, overloads, .. } = self;
        let node = nodes[*running as usize].as_deref_mut().expect("it just ran");
        emission.more = false;
        if emission.wakes != 0 {
            woken.push((*running, std::mem::take(&mut emission.wakes)));
        }
        if let Some(full) = emission.overload.take()
            && std::mem::replace(&mut node.overloaded, full) != full
        {
            overloads.push(*running);
        }
        if emission.emitted.is_empty() && emission.no_gate == 0 {
            return leave_whole(node, emission, current, bytes);
        }
        self.leave_by_gates(hops);
        None
    }

    fn leave_by_gates(&mut self, hops: u16) {
        let Self { nodes, emission, current, running, stack, .. } = self;
        let node = nodes[*running as usize].as_deref_mut().expect("it just ran");
        if let Some(gate) = emission.forward.take() {
            Context::new(&mut node.outputs, emission, 0).emit_batch(gate, current);
        }
        node.dropped += current.len() as u64 + std::mem::take(&mut emission.no_gate);
        current.clear();
        emission.more = false;
        let first = stack.len();
        for (gate, mut batch) in emission.emitted.drain(..) {
            let output = &mut node.outputs[usize::from(gate)];
            output.open = NOT_OPEN;
            let mut bytes = None;
            let next = if batch.is_empty() { None } else { output.pass(&mut batch, &mut bytes) };
            match next {
                Some((node, gate)) => stack.push(Item { node, gate, hops: hops + 1, batch, bytes }),
                None => emission.spare.push(batch),
            }
        }
        stack[first..].reverse();
    }

    /// Puts the module that panicked out of order, drops and counts what it had in its hands.
    #[cold]
    fn fail(&mut self, panic: &(dyn std::any::Any + Send)) {
        let Self { nodes, emission, current, running, overloads, .. } = self;
        let node = nodes[*running as usize].as_deref_mut().expect("it just ran");
        if std::mem::take(&mut node.overloaded) {
            // Nobody waits for a module that will never have room again.
            overloads.push(*running);
        }
        let mut emitted = std::mem::take(&mut emission.no_gate) + current.len() as u64;
        for (gate, batch) in emission.emitted.drain(..) {
            node.outputs[usize::from(gate)].open = NOT_OPEN;
            emitted += batch.len() as u64;
        }
        current.clear();
        (emission.forward, emission.bytes, emission.more) = (None, None, false);
        (emission.wakes, emission.overload) = (0, None);
        // What the module took out of the batch and still had on its own stack is in neither count but the first.
        node.lost += self.given.max(emitted);
        let message = panic_message(panic);
        tracing::error!(module = %node.name, class = node.module.class(), "panicked: {message}");
        node.failed = Some(message);
    }
}

/// What [`Executor::call`] lets its caller touch of a module.
pub(crate) struct Parts<'a> {
    pub(crate) module: &'a mut dyn super::Module,
    /// What the caller knows of the bytes of the batch that the module leaves.
    bytes: Option<u64>,
}

/// Sees to a batch that stays whole: where it goes on in this worker. Elsewhere it is away, or dropped.
#[inline]
fn leave_whole(
    node: &mut Node,
    emission: &mut Emission,
    batch: &mut Batch,
    bytes: &mut Option<u64>,
) -> Option<(NodeId, Gate)> {
    let forward = emission.forward.take();
    if batch.is_empty() {
        return None;
    }
    let Some(output) = forward.and_then(|gate| node.outputs.get_mut(usize::from(gate))) else {
        node.dropped += batch.len() as u64;
        batch.clear();
        return None;
    };
    output.pass(batch, bytes)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use packet::{Packet, Pool, PoolConfig};
    use proptest::prelude::*;

    use super::*;
    use crate::engine::Module;
    use crate::engine::node::{Shape, Target};

    /// What a module does with a packet, by the packet's number.
    #[derive(Clone, Copy, Debug)]
    enum Action {
        /// Lets it out at a gate.
        Emit(Gate),
        /// Leaves it in the batch.
        Leave,
        /// Lets a copy out at a gate and leaves it in the batch.
        Copy(Gate),
    }

    #[derive(Clone, Debug)]
    struct Plan {
        actions: Vec<Action>,
        forward: Option<Gate>,
        /// Where each of the gates leads.
        gates: Vec<Option<usize>>,
    }

    /// The mark of a packet that was left in its batch.
    const LEFT: u8 = 100;

    /// The numbers of the packets that reached a place without gates, by their way there.
    type Arrivals = BTreeMap<Vec<u8>, Vec<u8>>;

    struct Scripted {
        id: u8,
        plan: Plan,
        arrivals: Arc<Mutex<Arrivals>>,
    }

    impl Module for Scripted {
        fn class(&self) -> &'static str {
            "Scripted"
        }

        fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
            for packet in &mut *batch {
                packet.append(1).unwrap()[0] = self.id;
                if self.plan.gates.is_empty() {
                    let way = packet.data()[1..].to_vec();
                    self.arrivals.lock().unwrap().entry(way).or_default().push(packet.data()[0]);
                }
            }
            let packets: Vec<Packet> = batch.drain(..).collect();
            for packet in packets {
                let (emit, leave) = match self.plan.action(packet.data()[0]) {
                    Action::Emit(gate) => (Some((gate, packet)), None),
                    Action::Leave => (None, Some(packet)),
                    Action::Copy(gate) => (Some((gate, packet.try_clone().unwrap())), Some(packet)),
                };
                // The gate is part of a packet's way, and so is whether it was emitted or left.
                if let Some((gate, mut packet)) = emit {
                    packet.append(1).unwrap()[0] = gate as u8;
                    ctx.emit(gate, packet);
                }
                if let Some(mut packet) = leave {
                    packet.append(1).unwrap()[0] = LEFT;
                    batch.push(packet).unwrap();
                }
            }
            if let Some(gate) = self.plan.forward {
                ctx.forward(gate);
            }
        }
    }

    impl Plan {
        fn action(&self, number: u8) -> Action {
            self.actions[usize::from(number) % self.actions.len()]
        }
    }

    /// The twin: one packet at a time, by recursion.
    fn visit(plans: &[Plan], at: usize, number: u8, mut way: Vec<u8>, arrivals: &mut Arrivals) {
        let plan = &plans[at];
        way.push(at as u8);
        if plan.gates.is_empty() {
            arrivals.entry(way.clone()).or_default().push(number);
        }
        let (first, second) = match plan.action(number) {
            Action::Emit(gate) => (Some(gate), None),
            Action::Leave => (None, plan.forward),
            Action::Copy(gate) => (Some(gate), plan.forward),
        };
        let ways = [first.map(|gate| (gate, gate as u8)), second.map(|gate| (gate, LEFT))];
        for (gate, mark) in ways.into_iter().flatten() {
            if let Some(&Some(next)) = plan.gates.get(usize::from(gate)) {
                visit(plans, next, number, [&way[..], &[mark]].concat(), arrivals);
            }
        }
    }

    fn plans() -> impl Strategy<Value = Vec<Plan>> {
        let action = prop_oneof![
            (0..4u16).prop_map(Action::Emit),
            Just(Action::Leave),
            (0..4u16).prop_map(Action::Copy)
        ];
        let plan = (
            prop::collection::vec(action, 1..5),
            prop::option::weighted(0.8, 0..4u16),
            prop::collection::vec(prop::option::weighted(0.8, any::<prop::sample::Index>()), 0..4),
        );
        prop::collection::vec(plan, 1..8).prop_map(|plans| {
            let count = plans.len();
            let forwards = |at: usize, gate: prop::sample::Index| at + 1 + gate.index(count - at - 1);
            let build =
                |(at, (actions, forward, gates)): (usize, (_, _, Vec<Option<prop::sample::Index>>))| {
                    let lead =
                        |gate: Option<_>| gate.filter(|_| at + 1 < count).map(|gate| forwards(at, gate));
                    Plan { actions, forward, gates: gates.into_iter().map(lead).collect() }
                };
            plans.into_iter().enumerate().map(build).collect()
        })
    }

    /// Does something to the lengths of a batch and forwards the rest of it.
    #[derive(Clone, Copy, Debug)]
    enum Lengths {
        /// All stay.
        Keep,
        /// All are one byte longer.
        Grow,
        /// The first packet is gone, the others stay.
        Behead,
        /// All leave one by one.
        Part,
    }

    impl Module for Lengths {
        fn class(&self) -> &'static str {
            "Lengths"
        }

        fn keeps_lengths(&self) -> bool {
            !matches!(self, Self::Grow)
        }

        fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
            ctx.forward(0);
            match self {
                Self::Keep => {}
                Self::Grow => batch.iter_mut().for_each(|packet| packet.append(1).unwrap()[0] = 0),
                Self::Behead => batch.drop_front(1),
                Self::Part => batch.drain(..).for_each(|packet| ctx.emit(0, packet)),
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_that_go_along_are_those_of_the_packets(
            modules in prop::collection::vec(
                prop_oneof![Just(Lengths::Keep), Just(Lengths::Grow), Just(Lengths::Behead), Just(Lengths::Part)],
                1..12,
            ),
            lengths in prop::collection::vec(1..40usize, 1..=BATCH),
        ) {
            let pool = Pool::new(PoolConfig { buffers: 64, room: 64, ..PoolConfig::default() }).unwrap();
            let mut executor = Executor::default();
            let shape = |module: &Lengths| Shape {
                class: "Lengths",
                inputs: 1,
                outputs: 1,
                tasks: 0,
                keeps_lengths: module.keeps_lengths(),
            };
            for (id, module) in modules.iter().enumerate() {
                let mut node = Node::new("x".into(), Box::new(*module), shape(module));
                node.outputs[0].target = Target::Local(id as NodeId + 1, 0);
                executor.insert(id as NodeId, Box::new(node));
            }
            let end = Shape { class: "Sink", inputs: 1, outputs: 0, tasks: 0, keeps_lengths: false };
            let sink = Box::new(crate::modules::Sink::new());
            executor.insert(modules.len() as NodeId, Box::new(Node::new("end".into(), sink, end)));
            let mut batch = Batch::new();
            for &length in &lengths {
                batch.push(pool.packet(&vec![0; length]).unwrap()).unwrap();
            }
            executor.accept(0, 0, 0, batch);
            let mut twin = lengths;
            for (id, module) in modules.iter().enumerate() {
                match module {
                    Lengths::Keep | Lengths::Part => {}
                    Lengths::Grow => twin.iter_mut().for_each(|length| *length += 1),
                    Lengths::Behead if twin.is_empty() => {}
                    Lengths::Behead => drop(twin.remove(0)),
                }
                let output = &executor.node(id as NodeId).unwrap().outputs[0];
                prop_assert_eq!(output.packets, twin.len() as u64);
                prop_assert_eq!(output.bytes, twin.iter().sum::<usize>() as u64);
            }
        }

        #[test]
        fn packets_take_the_ways_that_recursion_takes(plans in plans(), count in 1..=BATCH as u8) {
            let pool = Pool::new(PoolConfig { buffers: 8192, room: 64, ..PoolConfig::default() }).unwrap();
            let arrivals = Arc::new(Mutex::new(Arrivals::new()));
            let mut executor = Executor::default();
            for (id, plan) in plans.iter().enumerate() {
                let module = Scripted { id: id as u8, plan: plan.clone(), arrivals: Arc::clone(&arrivals) };
                let outputs = plan.gates.len() as Gate;
                let shape = Shape { class: "Scripted", inputs: 1, outputs, tasks: 0, keeps_lengths: false };
                let mut node = Node::new("x".into(), Box::new(module), shape);
                for (output, to) in node.outputs.iter_mut().zip(&plan.gates) {
                    output.target = to.map_or(Target::None, |to| Target::Local(to as NodeId, 0));
                }
                executor.insert(id as NodeId, Box::new(node));
            }
            let mut batch = Batch::new();
            let mut twin = Arrivals::new();
            for number in 0..count {
                batch.push(pool.packet(&[number]).unwrap()).unwrap();
                visit(&plans, 0, number, Vec::new(), &mut twin);
            }
            executor.accept(0, 0, 0, batch);
            prop_assert_eq!(&*arrivals.lock().unwrap(), &twin);
            prop_assert_eq!(executor.circling(), 0);
            drop(executor);
            prop_assert_eq!(pool.available(), 8192);
        }
    }
}
