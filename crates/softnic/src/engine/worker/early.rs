//! How early a worker wakes up for a deadline that is to be met exactly ([`Module::exact`](crate::engine::Module::exact)).
//!
//! A thread that sleeps until a time runs again later than that: by a few microseconds after a short sleep, by up to hundreds
//! after a long one, when the processor has gone to sleep as well, or a hypervisor has taken it away. How much later is learnt
//! from each sleep that a timer ended. A worker goes to sleep until so much before its deadline; what is left then is a short
//! sleep, after which it is as much too early as short sleeps are late, and it waits for the deadline awake.

/// Sleeps from this on are long.
const LONG_NS: u64 = 1_000_000;
/// What is taken for the lateness of a short and of a long sleep at first, and at least and at most: the most is what waiting
/// awake may cost for one deadline, since a long sleep is followed by a short one.
const SHORT: [u64; 3] = [20_000, 3_000, 50_000];
const LONG: [u64; 3] = [150_000, 10_000, 500_000];

/// What it has learnt: how late it wakes after short and after long sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Early {
    late_ns: [u64; 2],
}

impl Early {
    pub(super) fn new() -> Self {
        Self { late_ns: [SHORT[0], LONG[0]] }
    }

    /// How long to sleep before a deadline that is so far away; `None` where it is better to stay awake.
    pub(super) fn sleep_ns(&self, left_ns: u64) -> Option<u64> {
        left_ns.checked_sub(self.late_ns[usize::from(left_ns >= LONG_NS)]).filter(|ns| *ns > 0)
    }

    /// A timer was to end a sleep after so long, and the thread ran again so much later.
    pub(super) fn learn(&mut self, slept_ns: u64, late_ns: u64) {
        let long = slept_ns >= LONG_NS;
        let known = &mut self.late_ns[usize::from(long)];
        // Quickly up and slowly down: being early costs little, being late is what it is about.
        *known =
            if late_ns > *known { *known + (late_ns - *known) / 2 } else { *known - (*known - late_ns) / 32 };
        let [_, least, most] = if long { LONG } else { SHORT };
        *known = (*known).clamp(least, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1_000;

    #[test]
    fn a_long_sleep_ends_early_and_a_short_one_follows() {
        let early = Early::new();
        assert_eq!(early.sleep_ns(40_000 * US), Some(39_850 * US));
        assert_eq!(early.sleep_ns(150 * US), Some(130 * US));
        assert_eq!((early.sleep_ns(20 * US), early.sleep_ns(0)), (None, None));
    }

    #[test]
    fn what_waking_takes_is_learnt_within_bounds() {
        let mut early = Early::new();
        (0..20).for_each(|_| early.learn(39_000 * US, 300 * US));
        let up = early.late_ns[1];
        assert!((290 * US..=300 * US).contains(&up), "{up}");
        early.learn(39_000 * US, 80 * US);
        assert!((280 * US..up).contains(&early.late_ns[1]), "one good sleep does not change much");
        (0..500).for_each(|_| early.learn(39_000 * US, 80 * US));
        assert!((80 * US..85 * US).contains(&early.late_ns[1]), "{}", early.late_ns[1]);
        assert_eq!(early.late_ns[0], 20 * US, "short sleeps are another matter");
        (0..20).for_each(|_| early.learn(39_000 * US, 9_000 * US));
        (0..20).for_each(|_| early.learn(100 * US, 9_000 * US));
        assert_eq!(early.late_ns, [50 * US, 500 * US]);
        (0..2_000).for_each(|_| early.learn(100 * US, 0));
        assert_eq!(early.late_ns[0], 3 * US);
    }
}
