//! Tier 1 of isolation: keeping a network function's panic to its batch.

use std::panic::{AssertUnwindSafe, catch_unwind};

use packet::Batch;

use crate::cause::Cause;
use crate::find::Change;
use crate::{Context, Gate, NetworkFunction, Report};

/// The pause before a function that panics again and again is made anew, at first and at most.
const BACK_OFF_NS: (u64, u64) = (1_000_000, 1_000_000_000);

/// Makes a function.
pub type Make = Box<dyn FnMut() -> Box<dyn NetworkFunction> + Send>;

/// Runs a network function and catches its panics: the batch at hand is dropped and counted as [`Cause::PANIC`], a new
/// function is made in the place of the broken one, whose state is gone, and its neighbours notice nothing.
///
/// One that panics on every batch is made anew ever more rarely, up to once a second; what arrives meanwhile is dropped
/// and counted. What this holds against, and what not, is in the README's threat model. What a run's
/// [`Handle::change`](crate::live::Handle::change) did to the function is done to the new one.
///
/// ```
/// use netbricks::{Contained, Context, Gate, NetworkFunction};
/// # use packet::{Batch, Pool, PoolConfig};
/// struct Faulty;
/// impl NetworkFunction for Faulty {
///     fn process(&mut self, _: Gate, batch: &mut Batch, _: &mut Context) {
///         assert!(batch.len() != 1, "one packet is too few");
///     }
/// }
/// # let pool = Pool::new(PoolConfig { buffers: 4, ..PoolConfig::default() }).unwrap();
/// let mut contained = Contained::new(Box::new(Faulty), Box::new(|| Box::new(Faulty)));
/// let (mut batch, mut ctx) = (Batch::new(), Context::new(2));
/// batch.push(pool.packet(b"a frame").unwrap()).unwrap();
/// # std::panic::set_hook(Box::new(|_| {}));
/// contained.process(0, &mut batch, &mut ctx);
/// assert_eq!((contained.restarts(), ctx.drops().of(netbricks::Cause::PANIC), pool.available()), (1, 1, 4));
/// ```
pub struct Contained {
    make: Make,
    /// `None` between a panic and the next attempt.
    function: Option<Box<dyn NetworkFunction>>,
    /// Made to what is made anew.
    lasting: Option<Change>,
    gates: Gate,
    restarts: u64,
    /// When the next attempt may be made, and the pause after it, should it fail.
    retry_ns: u64,
    pause_ns: u64,
    /// Batches since the last panic.
    good: u64,
}

impl std::fmt::Debug for Contained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contained").field("restarts", &self.restarts).finish_non_exhaustive()
    }
}

impl Contained {
    /// Runs `function`, and what `make` makes in its place after a panic.
    #[must_use]
    pub fn new(function: Box<dyn NetworkFunction>, make: Make) -> Self {
        let gates = function.gates();
        let (function, lasting) = (Some(function), None);
        Self { make, function, lasting, gates, restarts: 0, retry_ns: 0, pause_ns: 0, good: 1 }
    }

    /// How often the function was made anew, or would have been.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// The function, unless it is broken, and the change that outlives it.
    pub(crate) fn parts_mut(&mut self) -> (Option<&mut dyn NetworkFunction>, &mut Option<Change>) {
        (self.function.as_mut().map(|function| &mut **function as _), &mut self.lasting)
    }

    /// Calls the function. Should it panic, what was in the batch or inside, and has not left, is counted as dropped.
    fn guard(
        &mut self,
        batch: &mut Batch,
        ctx: &mut Context,
        call: impl FnOnce(&mut Box<dyn NetworkFunction>, &mut Batch, &mut Context),
    ) {
        if self.function.is_none() {
            self.attempt(ctx.now_ns());
        }
        let Some(function) = &mut self.function else {
            ctx.count(Cause::PANIC, batch.len() as u64);
            batch.clear();
            return;
        };
        let arrived = (batch.len() + function.held()) as u64;
        let (sent, dropped) = (ctx.sent(), ctx.drops().total());
        // Unwind safe: the function is not used again after a panic; a batch and a context are whole at every moment.
        if catch_unwind(AssertUnwindSafe(|| call(function, batch, ctx))).is_ok() {
            self.good += 1;
            return;
        }
        // What it had let out stays out.
        let gone = (ctx.sent() - sent) + (ctx.drops().total() - dropped);
        ctx.count(Cause::PANIC, arrived.saturating_sub(gone));
        batch.clear();
        self.broke(ctx.now_ns());
    }

    #[cold]
    fn broke(&mut self, now_ns: u64) {
        let broken = self.function.take();
        // Should its drop panic as well, what it holds is lost and nothing else.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
        self.restarts += 1;
        // A single panic costs no pause.
        let again = self.good == 0;
        self.pause_ns = if again { (self.pause_ns * 2).clamp(BACK_OFF_NS.0, BACK_OFF_NS.1) } else { 0 };
        self.retry_ns = now_ns.saturating_add(self.pause_ns);
        self.good = 0;
        self.attempt(now_ns);
    }

    fn attempt(&mut self, now_ns: u64) {
        if now_ns >= self.retry_ns {
            let (make, lasting) = (&mut self.make, &mut self.lasting);
            let anew = || {
                let mut function = make();
                lasting.iter_mut().for_each(|change| change(&mut *function));
                function
            };
            self.function = catch_unwind(AssertUnwindSafe(anew)).ok();
        }
        if self.function.is_none() && now_ns >= self.retry_ns {
            self.retry_ns = now_ns.saturating_add(BACK_OFF_NS.1);
        }
    }
}

impl NetworkFunction for Contained {
    fn gates(&self) -> Gate {
        self.gates
    }

    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        self.guard(batch, ctx, |function, batch, ctx| function.process(gate, batch, ctx));
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.function.as_ref().and_then(NetworkFunction::deadline_ns)
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.guard(&mut Batch::new(), ctx, |function, _, ctx| function.expire(ctx));
    }

    fn held(&self) -> usize {
        self.function.as_ref().map_or(0, NetworkFunction::held)
    }

    fn finish(&mut self, ctx: &mut Context) {
        self.guard(&mut Batch::new(), ctx, |function, _, ctx| function.finish(ctx));
    }

    fn report(&self, report: &mut Report) {
        if let Some(function) = &self.function {
            function.report(report);
        }
        if self.restarts > 0 {
            report.counter("restarts after a panic", self.restarts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::{Pool, PoolConfig};

    /// Passes frames on, and panics on one that says so.
    struct Touchy {
        seen: u64,
    }

    impl NetworkFunction for Touchy {
        fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
            for packet in batch.drain(..) {
                assert!(packet.data() != b"panic", "as the frame says");
                self.seen += 1;
                ctx.send(1 - gate, packet);
            }
        }

        fn report(&self, report: &mut Report) {
            report.counter("seen", self.seen);
        }
    }

    fn touchy() -> Box<dyn NetworkFunction> {
        Box::new(Touchy { seen: 0 })
    }

    fn batch(pool: &Pool, frames: &[&[u8]]) -> Batch {
        let mut batch = Batch::new();
        frames.iter().for_each(|frame| batch.push(pool.packet(frame).unwrap()).unwrap());
        batch
    }

    #[test]
    fn a_panic_costs_the_rest_of_its_batch_and_the_state_and_no_buffer() {
        let pool = Pool::new(PoolConfig { buffers: 16, room: 64, ..PoolConfig::default() }).unwrap();
        let mut contained = Contained::new(touchy(), Box::new(touchy));
        let mut ctx = Context::new(2);
        contained.process(0, &mut batch(&pool, &[b"a", b"panic", b"b"]), &mut ctx);
        assert_eq!((ctx.sent(), ctx.drops().of(Cause::PANIC), contained.restarts()), (1, 2, 1));
        ctx.drain(1, |_| {});
        assert_eq!(pool.available(), 16);
        contained.process(0, &mut batch(&pool, &[b"a", b"b"]), &mut ctx);
        ctx.drain(1, Batch::clear);
        let mut report = Report::default();
        contained.report(&mut report);
        assert_eq!((report.get("seen"), report.get("restarts after a panic")), (2, 1));
        assert_eq!(pool.available(), 16);
    }

    #[test]
    fn one_that_always_panics_is_made_anew_ever_more_rarely() {
        let pool = Pool::new(PoolConfig { buffers: 4, room: 64, ..PoolConfig::default() }).unwrap();
        let made = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = made.clone();
        let make = move || {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            touchy()
        };
        let mut contained = Contained::new(touchy(), Box::new(make));
        let mut ctx = Context::new(2);
        for ms in 0..10_000u64 {
            ctx.set_now_ns(ms * 1_000_000);
            contained.process(0, &mut batch(&pool, &[b"panic"]), &mut ctx);
        }
        assert_eq!(ctx.drops().of(Cause::PANIC), 10_000);
        let made = made.load(std::sync::atomic::Ordering::Relaxed);
        assert!((10..40).contains(&made), "made {made} times in ten seconds");
    }

    #[test]
    fn one_that_cannot_be_made_again_drops_until_it_can() {
        let pool = Pool::new(PoolConfig { buffers: 4, room: 64, ..PoolConfig::default() }).unwrap();
        let mut attempts = 0;
        let make = move || {
            attempts += 1;
            assert!(attempts > 2, "not yet");
            touchy()
        };
        let mut contained = Contained::new(touchy(), Box::new(make));
        let mut ctx = Context::new(2);
        contained.process(0, &mut batch(&pool, &[b"panic"]), &mut ctx);
        for second in 1..6u64 {
            ctx.set_now_ns(second * 2_000_000_000);
            contained.process(0, &mut batch(&pool, &[b"fine"]), &mut ctx);
        }
        assert_eq!((ctx.drops().of(Cause::PANIC), ctx.sent()), (2, 4));
    }
}
