//! Network functions one behind the other.

use std::collections::VecDeque;

use packet::Batch;

use crate::cause::{Cause, Drops};
use crate::{Context, Gate, NetworkFunction, Report};

/// Functions in one line.
pub const LINE_MAX: usize = 64;
/// Calls of functions that one call of a line may lead to; what is under way then is dropped and counted.
const CALLS_MAX: usize = 4096;

/// Packets between two functions went back and forth without end.
const LOOP: Cause = Cause::new("loop between functions");

/// Two-sided functions joined outside to inside, as a function:
///
/// ```text
///   gate 0 ◀─▶ [0 first 1] ◀─▶ [0 second 1] ◀─▶ … ◀─▶ [0 last 1] ◀─▶ gate 1
/// ```
///
/// What a function answers goes back the way the question came. Each function's drops are counted apart.
#[derive(Default)]
pub struct Line {
    stages: Vec<Stage>,
    inner: Option<Context>,
    waiting: VecDeque<(usize, Gate, Batch)>,
}

struct Stage {
    name: String,
    function: Box<dyn NetworkFunction>,
    drops: Drops,
    packets: [u64; 2],
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.stages.iter().map(|stage| &stage.name)).finish()
    }
}

impl Line {
    /// An empty line: what comes in at one gate leaves at the other.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function at the outer end. Beyond [`LINE_MAX`] nothing is added, and it says `false`.
    pub fn push(&mut self, name: &str, function: Box<dyn NetworkFunction>) -> bool {
        if self.stages.len() == LINE_MAX {
            return false;
        }
        let name = name.into();
        self.stages.push(Stage { name, function, drops: Drops::default(), packets: [0; 2] });
        true
    }

    /// How many functions it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stages.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Each function's name, what it says of itself, and what it dropped.
    pub fn stages(&self) -> impl Iterator<Item = (&str, Report, &Drops)> {
        self.stages.iter().map(|stage| {
            let mut report = Report::default();
            report.counter("packets in at gate 0", stage.packets[0]);
            report.counter("packets in at gate 1", stage.packets[1]);
            stage.function.report(&mut report);
            (&*stage.name, report, &stage.drops)
        })
    }

    /// The functions, from the inside out.
    pub(crate) fn functions_mut(&mut self) -> impl Iterator<Item = &mut dyn NetworkFunction> {
        self.stages.iter_mut().map(|stage| &mut *stage.function)
    }

    /// Makes a call of one function, and puts what it let out on its way.
    fn call(
        &mut self,
        at: usize,
        ctx: &mut Context,
        call: impl FnOnce(&mut Box<dyn NetworkFunction>, &mut Context),
    ) {
        let inner = self.inner.get_or_insert_with(|| Context::new(2));
        let stage = &mut self.stages[at];
        inner.set_now_ns(ctx.now_ns());
        inner.swap_drops(&mut stage.drops);
        call(&mut stage.function, inner);
        inner.swap_drops(&mut stage.drops);
        let (waiting, last) = (&mut self.waiting, self.stages.len() - 1);
        inner.drain(0, |batch| match at.checked_sub(1) {
            None => ctx.send_batch(0, batch),
            Some(before) => waiting.push_back((before, 1, std::mem::take(batch))),
        });
        inner.drain(1, |batch| match at {
            at if at == last => ctx.send_batch(1, batch),
            at => waiting.push_back((at + 1, 0, std::mem::take(batch))),
        });
    }

    /// Runs all that waits between functions.
    fn settle(&mut self, ctx: &mut Context) {
        for _ in 0..CALLS_MAX {
            let Some((at, gate, mut batch)) = self.waiting.pop_front() else { return };
            self.stages[at].packets[usize::from(gate)] += batch.len() as u64;
            self.call(at, ctx, |function, inner| {
                function.process(gate, &mut batch, inner);
                inner.count(Cause::LEFT_BEHIND, batch.len() as u64);
            });
        }
        let lost = self.waiting.drain(..).map(|(.., batch)| batch.len() as u64).sum();
        ctx.count(LOOP, lost);
    }
}

impl NetworkFunction for Line {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        if self.stages.is_empty() {
            return ctx.send_batch(gate ^ 1, batch);
        }
        let at = if gate == 0 { 0 } else { self.stages.len() - 1 };
        self.waiting.push_back((at, gate.min(1), std::mem::take(batch)));
        self.settle(ctx);
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.stages.iter().filter_map(|stage| stage.function.deadline_ns()).min()
    }

    fn expire(&mut self, ctx: &mut Context) {
        for at in 0..self.stages.len() {
            if self.stages[at].function.deadline_ns().is_some_and(|deadline| deadline <= ctx.now_ns()) {
                self.call(at, ctx, NetworkFunction::expire);
                self.settle(ctx);
            }
        }
    }

    fn held(&self) -> usize {
        self.stages.iter().map(|stage| stage.function.held()).sum()
    }

    fn finish(&mut self, ctx: &mut Context) {
        for at in 0..self.stages.len() {
            self.call(at, ctx, NetworkFunction::finish);
            self.settle(ctx);
        }
    }

    fn report(&self, report: &mut Report) {
        for (name, stage, drops) in self.stages() {
            stage.lines().iter().for_each(|line| report.line(format!("{name}: {line}")));
            stage.counters().iter().for_each(|(key, value)| report.counter(format!("{name}: {key}"), *value));
            drops
                .iter()
                .for_each(|(cause, count)| report.counter(format!("{name}: dropped, {cause}"), count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::{Pool, PoolConfig};

    /// Writes its mark behind every frame; answers a question at the gate it came from.
    struct Mark(u8);

    impl NetworkFunction for Mark {
        fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
            for mut packet in batch.drain(..) {
                packet.append(1).unwrap()[0] = self.0;
                let answers = packet.data()[0] == b'?' && self.0 == b'b';
                ctx.send(if answers { gate } else { 1 - gate }, packet);
            }
        }
    }

    /// Sends everything back.
    struct Mirror;

    impl NetworkFunction for Mirror {
        fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
            ctx.send_batch(gate, batch);
        }
    }

    fn run(line: &mut Line, gate: Gate, frame: &[u8]) -> (Vec<(Gate, Vec<u8>)>, Drops) {
        let pool = Pool::new(PoolConfig { buffers: 4, room: 128, ..PoolConfig::default() }).unwrap();
        let (mut ctx, mut batch) = (Context::new(2), Batch::new());
        batch.push(pool.packet(frame).unwrap()).unwrap();
        line.process(gate, &mut batch, &mut ctx);
        let mut left = Vec::new();
        for gate in 0..2 {
            ctx.drain(gate, |batch| left.extend(batch.drain(..).map(|p| (gate, p.data().to_vec()))));
        }
        assert_eq!(pool.available(), 4);
        (left, ctx.drops().clone())
    }

    #[test]
    fn both_directions_pass_all_and_an_answer_goes_back() {
        let mut line = Line::new();
        assert_eq!(run(&mut line, 0, b"x").0, [(1, b"x".to_vec())]);
        b"abc".iter().for_each(|mark| assert!(line.push("mark", Box::new(Mark(*mark)))));
        assert_eq!(run(&mut line, 0, b"x").0, [(1, b"xabc".to_vec())]);
        assert_eq!(run(&mut line, 1, b"x").0, [(0, b"xcba".to_vec())]);
        assert_eq!(run(&mut line, 0, b"?").0, [(0, b"?aba".to_vec())]);
        let mut report = Report::default();
        line.report(&mut report);
        assert_eq!(
            (report.get("mark: packets in at gate 0"), report.get("mark: packets in at gate 1")),
            (5, 4)
        );
    }

    #[test]
    fn a_packet_between_two_mirrors_ends() {
        let mut line = Line::new();
        line.push("pass", Box::new(Mark(b'a')));
        line.push("mirror", Box::new(Mirror));
        assert_eq!(run(&mut line, 0, b"x").0, [(0, b"xaa".to_vec())]);
        let mut line = Line::new();
        line.push("outward", Box::new(Both(1)));
        line.push("inward", Box::new(Both(0)));
        let (left, drops) = run(&mut line, 0, b"x");
        assert_eq!((left.len(), drops.of(LOOP)), (0, 1));
    }

    /// Sends everything to one gate.
    struct Both(Gate);

    impl NetworkFunction for Both {
        fn process(&mut self, _: Gate, batch: &mut Batch, ctx: &mut Context) {
            ctx.send_batch(self.0, batch);
        }
    }
}
