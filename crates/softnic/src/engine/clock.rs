//! The clocks that workers read.

use host::cycles;
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Nanoseconds since 1970, by the clock that the kernel stamps packets with.
pub(crate) fn realtime_ns() -> u64 {
    nanoseconds(ClockId::Realtime)
}

/// Nanoseconds of CPU time that the calling thread has used.
pub(crate) fn thread_cpu_ns() -> u64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // All of these start at zero or long ago, and count up.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The time of turns: the processor's counter, read once a turn, and `CLOCK_MONOTONIC` made of it.
///
/// Both clocks are read together once a round, so that they cannot drift apart.
pub(crate) struct TurnClock {
    /// Both clocks when this one was made.
    first: (u64, u64),
    /// Both clocks at the last round.
    base: (u64, u64),
    /// Nanoseconds of a cycle, times 2³².
    ns_per_cycle: u64,
    cycles: u64,
    now_ns: u64,
}

impl TurnClock {
    pub(crate) fn new() -> Self {
        let base = (cycles::now(), monotonic_ns());
        Self { first: base, base, ns_per_cycle: 0, cycles: base.0, now_ns: base.1 }
    }

    /// Reads both clocks.
    pub(crate) fn round(&mut self) {
        self.base = (cycles::now(), monotonic_ns());
        let (cycles, ns) = (self.base.0 - self.first.0, self.base.1 - self.first.1);
        // The longer it runs, the better it knows how fast the counter is.
        let ns_per_cycle = (u128::from(ns) << u32::BITS) / u128::from(cycles.max(1));
        self.ns_per_cycle = u64::try_from(ns_per_cycle).unwrap_or(u64::MAX);
        self.cycles = self.base.0;
        self.now_ns = self.now_ns.max(self.base.1);
    }

    /// A turn has ended: what it took by the counter.
    #[inline]
    pub(crate) fn turn(&mut self) -> u64 {
        let cycles = cycles::now();
        let took = cycles.saturating_sub(std::mem::replace(&mut self.cycles, cycles));
        let since = cycles.saturating_sub(self.base.0);
        let since_ns = ((u128::from(since) * u128::from(self.ns_per_cycle)) >> u32::BITS) as u64;
        self.now_ns = self.now_ns.max(self.base.1.saturating_add(since_ns));
        took
    }

    /// The time when the last turn ended, or the round began.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_turns_is_the_system_clocks() {
        let mut clock = TurnClock::new();
        let begin = monotonic_ns();
        let (mut last, mut cycles) = (clock.now_ns(), 0);
        while monotonic_ns() - begin < 20_000_000 {
            clock.round();
            for _ in 0..32 {
                cycles += clock.turn();
                assert!(clock.now_ns() >= last);
                last = clock.now_ns();
            }
        }
        clock.round();
        let apart = clock.now_ns().abs_diff(monotonic_ns());
        // Losing the core between two readings costs a few time slices at most.
        assert!(apart < 200_000_000, "{apart} ns apart");
        assert!(cycles > 0);
    }
}
