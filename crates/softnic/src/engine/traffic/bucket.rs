//! How much of a resource may be used in time, when what a turn costs is known only after it.

/// How long a class that is ready but not served (the worker slept too long, a sibling was in front) keeps what comes in,
/// beyond its burst. Without it every wake-up that comes late would lower the rate.
pub(super) const LATENESS_NS: u64 = 10_000_000;

/// Units of the level in a unit of the resource: nanoseconds in a second, so that nothing is ever rounded.
const SCALE: i128 = 1_000_000_000;

/// A token bucket that may be overdrawn by one turn; the debt is waited for.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    limit: u64,
    burst: u64,
    /// Scaled; what is owed when negative.
    level: i128,
    /// When the level was that.
    at_ns: u64,
}

/// What a charge has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// More may be used.
    Pass,
    /// Nothing before that time.
    Wait(u64),
    /// Nothing, as long as the limit is 0.
    Never,
}

impl Bucket {
    /// A bucket that will be full at its first use.
    pub(super) fn new(limit: u64, burst: u64) -> Self {
        let level = if limit == 0 { 0 } else { i128::from(burst) * SCALE };
        Self { limit, burst, level, at_ns: 0 }
    }

    /// Something is there to be passed, after a time without: what came in meanwhile is kept up to the burst.
    pub(super) fn resume(&mut self, now_ns: u64) {
        self.fill(now_ns);
        self.level = self.level.min(i128::from(self.burst) * SCALE);
    }

    /// Takes what a turn has used.
    #[inline]
    pub(super) fn charge(&mut self, amount: u64, now_ns: u64) -> Verdict {
        self.fill(now_ns);
        let late = i128::from(self.limit) * i128::from(LATENESS_NS);
        let most = (i128::from(self.burst) * SCALE).max(late);
        self.level = (self.level - i128::from(amount) * SCALE).min(most);
        self.verdict()
    }

    /// Another limit; debts stay.
    pub(super) fn change(&mut self, limit: u64, burst: u64, now_ns: u64) -> Verdict {
        self.fill(now_ns);
        (self.limit, self.burst) = (limit, burst);
        self.level = self.level.min(i128::from(burst) * SCALE);
        self.verdict()
    }

    #[inline]
    fn fill(&mut self, now_ns: u64) {
        // Three centuries at most, so that the product stays in range.
        let elapsed_ns = now_ns.saturating_sub(self.at_ns).min(1 << 62);
        self.level = self.level.saturating_add(i128::from(self.limit) * i128::from(elapsed_ns));
        self.at_ns = self.at_ns.max(now_ns);
    }

    fn verdict(&self) -> Verdict {
        if self.limit == 0 {
            return Verdict::Never;
        }
        if self.level >= 0 {
            return Verdict::Pass;
        }
        let wait_ns = self.level.unsigned_abs().div_ceil(u128::from(self.limit));
        Verdict::Wait(self.at_ns.saturating_add(u64::try_from(wait_ns).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_turn_too_many_is_waited_for() {
        let mut bucket = Bucket::new(1_000_000, 10);
        assert_eq!(bucket.charge(32, 1000), Verdict::Wait(22_000), "10 saved, 1 came in, 21 owed");
        assert_eq!(bucket.charge(0, 22_000), Verdict::Pass);
        bucket.resume(1_000_000);
        assert_eq!(bucket.charge(10, 1_000_000), Verdict::Pass);
        assert_eq!(bucket.charge(1, 1_000_000), Verdict::Wait(1_001_000));
    }

    #[test]
    fn nothing_passes_a_limit_of_nothing() {
        let mut bucket = Bucket::new(0, 1000);
        assert_eq!(bucket.charge(0, 5), Verdict::Never);
        assert_eq!(bucket.change(1, 0, 10), Verdict::Pass);
        assert_eq!(bucket.change(0, 0, 20), Verdict::Never);
    }

    /// BESS lets nothing in any more after two weeks (NetSys/bess issue 1054).
    #[test]
    fn weeks_change_nothing() {
        const WEEK_NS: u64 = 7 * 24 * 3600 * 1_000_000_000;
        let turns = |begin: u64, until: u64| {
            let mut bucket = Bucket::new(100, 10);
            bucket.resume(begin);
            let (mut now, mut used) = (begin, 0);
            while now < until {
                used += 32;
                match bucket.charge(32, now) {
                    Verdict::Wait(next) => now = next,
                    other => assert_eq!(other, Verdict::Pass),
                }
            }
            (used, now - begin)
        };
        let fresh = turns(0, WEEK_NS / 1000);
        for weeks in [2, 3, 500] {
            assert_eq!(turns(weeks * WEEK_NS, weeks * WEEK_NS + WEEK_NS / 1000), fresh, "{weeks} weeks");
        }
        // Three weeks without a break: all that came in was used, but for less than a turn.
        let (used, took_ns) = turns(WEEK_NS, 4 * WEEK_NS);
        let came = 10 + took_ns / 10_000_000;
        assert!(used <= came && came - used < 32, "{used} of {came}");
    }

    #[test]
    fn no_number_is_too_large() {
        let mut bucket = Bucket::new(u64::MAX, u64::MAX);
        bucket.resume(u64::MAX);
        for now in [0, u64::MAX, 1] {
            bucket.charge(u64::MAX, now);
            bucket.change(u64::MAX, u64::MAX, now);
        }
        let mut slow = Bucket::new(1, 0);
        assert_eq!(slow.charge(u64::MAX, 1), Verdict::Wait(u64::MAX));
    }

    proptest! {
        /// Whatever happens, no more is used than has come in, but for the last turn.
        #[test]
        fn no_more_is_used_than_comes_in(
            limit in 0..10_000_000_000u64,
            burst in 0..1_000_000u64,
            turns in prop::collection::vec((0..50_000_000u64, 1..10_000u64, any::<bool>()), 1..500),
        ) {
            let mut bucket = Bucket::new(limit, burst);
            let begin = 1_000_000_000;
            let (mut now, mut used) = (begin, 0u128);
            bucket.resume(begin);
            for (takes_ns, amount, idle) in turns {
                let allowed = u128::from(limit) * u128::from(now - begin) / 1_000_000_000 + u128::from(burst);
                prop_assert!(used <= allowed, "{used} used before a turn, {allowed} allowed");
                now += takes_ns;
                used += u128::from(amount);
                match bucket.charge(amount, now) {
                    Verdict::Pass => {}
                    Verdict::Wait(until) => now = until,
                    Verdict::Never => break,
                }
                if idle {
                    bucket.resume(now);
                }
            }
        }

        /// Who always has work uses all that comes in, to the last unit, however late it is woken within reason.
        #[test]
        fn all_that_comes_in_is_used(
            limit in 1..10_000_000_000u64,
            burst in 0..1_000_000u64,
            turns in prop::collection::vec((0..1000u64, 0..10_000u64, 0..LATENESS_NS / 2), 1..500),
        ) {
            let mut bucket = Bucket::new(limit, burst);
            let begin = 1_000_000_000;
            let (mut now, mut used) = (begin, 0u128);
            bucket.resume(begin);
            for (takes_ns, more, late_ns) in turns {
                // More than comes in meanwhile, or it would not always be at its limit.
                let amount = limit * takes_ns / 1_000_000_000 + 1 + more;
                now += takes_ns;
                used += u128::from(amount);
                if let Verdict::Wait(until) = bucket.charge(amount, now) {
                    let came = u128::from(limit) * u128::from(until - begin) + u128::from(burst) * 1_000_000_000;
                    let rest = came.checked_sub(used * 1_000_000_000);
                    prop_assert!(rest.is_some_and(|rest| rest < u128::from(limit)), "{came} came, {used} used");
                    now = until + late_ns;
                }
            }
        }
    }
}
