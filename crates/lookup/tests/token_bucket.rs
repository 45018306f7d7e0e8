//! Token buckets and markers beside whole tokens with a remainder, and the RFCs' text.

use std::num::NonZeroU64;

use lookup::token_bucket::{Colour, MarkerError, Rate, SingleRateMarker, TokenBucket, TwoRateMarker};
use proptest::prelude::*;

/// Whole tokens and a fraction of one, brought up to date by division.
#[derive(Clone, Copy)]
struct Fraction {
    tokens: u128,
    /// Of `period`.
    rest: u128,
    period: u128,
}

impl Fraction {
    fn full(burst: u64, period: u64) -> Self {
        Self { tokens: burst.into(), rest: 0, period: period.into() }
    }

    /// Adds `elapsed × rate / period` up to `burst`; returns the tokens and fraction that had no room.
    fn add(&mut self, came: (u128, u128), burst: u64) -> (u128, u128) {
        let carry = u128::from(self.rest + came.1 >= self.period);
        let rest = self.rest + came.1 - carry * self.period;
        let tokens = self.tokens + came.0 + carry;
        if tokens < burst.into() {
            (self.tokens, self.rest) = (tokens, rest);
            return (0, 0);
        }
        (self.tokens, self.rest) = (burst.into(), 0);
        (tokens - u128::from(burst), rest)
    }

    fn came(&self, elapsed_ns: u64, rate: u64) -> (u128, u128) {
        let product = u128::from(elapsed_ns) * u128::from(rate);
        (product / self.period, product % self.period)
    }

    fn take(&mut self, tokens: u64) -> bool {
        let enough = self.tokens >= tokens.into();
        self.tokens -= if enough { tokens.into() } else { 0 };
        enough
    }
}

/// A clock that sometimes goes back; the twins know only the latest time.
fn elapsed(latest_ns: &mut u64, now_ns: u64) -> u64 {
    let elapsed_ns = now_ns.saturating_sub(*latest_ns);
    *latest_ns = now_ns.max(*latest_ns);
    elapsed_ns
}

/// Numbers of every magnitude.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4u64,
        (0..=63u32, any::<u64>()).prop_map(|(shift, random)| random >> shift),
        Just(u64::MAX)
    ]
}

fn period() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1), Just(1_000_000_000), Just(8_000_000_000), Just(3_600_000_000_000), number()]
        .prop_map(|period| period.max(1))
}

fn rate(tokens: u64, period: u64) -> Rate {
    Rate::new(tokens, NonZeroU64::new(period).unwrap())
}

/// Steps of (time, tokens): times jump, creep and go back; tokens lie about the burst.
fn steps(burst: u64) -> impl Strategy<Value = Vec<(u64, u64)>> {
    let tokens = prop_oneof![0..=burst, number().prop_map(move |number| number.min(burst)), number()];
    prop::collection::vec((number(), any::<bool>(), tokens), 1..60).prop_map(|steps| {
        let mut now_ns = 0u64;
        let mut at = |step_ns, back| {
            let step_ns = if back { step_ns } else { step_ns >> 20 };
            now_ns = if back && step_ns % 3 == 0 {
                now_ns.saturating_sub(step_ns)
            } else {
                now_ns.saturating_add(step_ns)
            };
            now_ns
        };
        steps.into_iter().map(|(step_ns, back, tokens)| (at(step_ns, back), tokens)).collect()
    })
}

fn bucket() -> impl Strategy<Value = (u64, u64, u64, Vec<(u64, u64)>)> {
    (number(), period(), number())
        .prop_flat_map(|(tokens, period, burst)| (Just(tokens), Just(period), Just(burst), steps(burst)))
}

fn colour() -> impl Strategy<Value = Colour> {
    prop::sample::select(vec![Colour::Green, Colour::Green, Colour::Yellow, Colour::Red])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_bucket_gives_what_whole_tokens_and_a_rest_give((tokens, period, burst, steps) in bucket()) {
        let mut bucket = TokenBucket::new(rate(tokens, period), burst, 0);
        let (mut twin, mut latest_ns) = (Fraction::full(burst, period), 0);
        for (now_ns, wanted) in steps {
            let came = twin.came(elapsed(&mut latest_ns, now_ns), tokens);
            twin.add(came, burst);
            prop_assert_eq!(u128::from(bucket.available(now_ns)), twin.tokens);
            if let Some(ready_ns) = bucket.ready_ns(wanted, now_ns) {
                prop_assert!(ready_ns >= now_ns);
                prop_assert!(bucket.clone().take(wanted, ready_ns), "{} ns is too early", ready_ns);
                prop_assert!(ready_ns == now_ns || !bucket.clone().take(wanted, ready_ns - 1), "{} ns is too late", ready_ns);
            } else {
                prop_assert!(!bucket.clone().take(wanted, u64::MAX));
            }
            prop_assert_eq!(bucket.take(wanted, now_ns), twin.take(wanted));
        }
    }

    /// RFC 2697, section 3, with its "at least as large" comparisons.
    #[test]
    fn one_rate_colours_as_rfc_2697_does(
        (tokens, period, committed, steps) in bucket(),
        excess in number(),
        colours in prop::collection::vec(colour(), 60),
    ) {
        let Ok(mut marker) = SingleRateMarker::new(rate(tokens, period), committed, excess, 0) else {
            prop_assert_eq!((committed, excess), (0, 0));
            return Ok(());
        };
        let (mut tc, mut te, mut latest_ns) = (Fraction::full(committed, period), Fraction::full(excess, period), 0);
        for ((now_ns, bytes), arrived) in steps.into_iter().zip(colours) {
            let came = tc.came(elapsed(&mut latest_ns, now_ns), tokens);
            let over = tc.add(came, committed);
            te.add(over, excess);
            let expected = match arrived {
                Colour::Green if tc.take(bytes) => Colour::Green,
                Colour::Green | Colour::Yellow if te.take(bytes) => Colour::Yellow,
                _ => Colour::Red,
            };
            prop_assert_eq!(marker.mark(bytes, arrived, now_ns), expected);
        }
    }

    /// RFC 2698, section 3.
    #[test]
    fn two_rates_colour_as_rfc_2698_does(
        (cir, period, cbs, steps) in bucket(),
        (pir, peak_period, pbs) in (number(), period(), number()),
        colours in prop::collection::vec(colour(), 60),
    ) {
        let (committed, peak) = ((rate(cir, period), cbs), (rate(pir, peak_period), pbs));
        let below = u128::from(pir) * u128::from(period) < u128::from(cir) * u128::from(peak_period);
        let Ok(mut marker) = TwoRateMarker::new(committed, peak, 0) else {
            prop_assert!(below || cbs == 0 || pbs == 0);
            return Ok(());
        };
        prop_assert!(!below && cbs > 0 && pbs > 0);
        let (mut tc, mut tp, mut latest_ns) = (Fraction::full(cbs, period), Fraction::full(pbs, peak_period), 0);
        for ((now_ns, bytes), arrived) in steps.into_iter().zip(colours) {
            let elapsed_ns = elapsed(&mut latest_ns, now_ns);
            tc.add(tc.came(elapsed_ns, cir), cbs);
            tp.add(tp.came(elapsed_ns, pir), pbs);
            let expected = if arrived == Colour::Red || tp.tokens < bytes.into() {
                Colour::Red
            } else if arrived == Colour::Yellow || tc.tokens < bytes.into() {
                tp.take(bytes);
                Colour::Yellow
            } else {
                tp.take(bytes);
                tc.take(bytes);
                Colour::Green
            };
            prop_assert_eq!(marker.mark(bytes, arrived, now_ns), expected);
        }
    }
}

/// Polled at odd moments for ten days, an empty bucket has given what its rate says, to the token.
#[test]
fn nothing_drifts() {
    const DAYS_NS: u64 = 10 * 86_400 * 1_000_000_000;
    for (rate, given) in [
        (Rate::per_hour(1), 240),
        (rate(3, 7), DAYS_NS / 7 * 3 + DAYS_NS % 7 * 3 / 7),
        (Rate::bits_per_second(400_000_000_000), 864_000 * 50_000_000_000),
    ] {
        let burst = 1 << 50;
        let mut bucket = TokenBucket::new(rate, burst, 0);
        assert!(bucket.take(burst, 0), "from here on it is never full");
        let (mut taken, mut now_ns, mut random) = (0, 0u64, 1u64);
        while now_ns < DAYS_NS {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            now_ns = (now_ns + (random >> 30)).min(DAYS_NS);
            let tokens = bucket.available(now_ns);
            assert!(bucket.take(tokens, now_ns));
            taken += tokens;
        }
        assert_eq!(taken, given, "{rate:?}");
    }
}

#[test]
fn slow_fast_and_never() {
    let mut hourly = TokenBucket::new(Rate::per_hour(1), 2, 0);
    assert!(hourly.take(2, 0));
    assert_eq!(hourly.ready_ns(1, 5), Some(3_600_000_000_000));
    assert_eq!(hourly.ready_ns(2, 5), Some(7_200_000_000_000));
    assert_eq!(hourly.ready_ns(3, 5), None, "more than the burst");

    let mut fast = TokenBucket::new(Rate::bits_per_second(400_000_000_000), 9000, 0);
    assert!(fast.take(9000, 0));
    assert_eq!((fast.available(1), fast.ready_ns(1500, 0)), (50, Some(30)));

    let mut never = TokenBucket::new(Rate::per_second(0), 1, 0);
    assert!(never.take(1, 0) && !never.take(1, u64::MAX));
    assert_eq!(never.ready_ns(1, 0), None);
    assert_eq!(TokenBucket::new(Rate::per_second(1), 0, 0).ready_ns(0, 7), Some(7));
}

#[test]
fn time_that_goes_back_is_harmless() {
    let mut bucket = TokenBucket::new(Rate::per_second(1), 10, 5_000_000_000);
    assert!(bucket.take(10, 5_000_000_000));
    assert!(!bucket.take(1, 0));
    assert!(!bucket.take(1, 5_999_999_999), "the time before was not counted twice");
    assert!(bucket.take(1, 6_000_000_000));
}

#[test]
fn a_new_rate_keeps_what_is_there() {
    let mut bucket = TokenBucket::new(Rate::per_second(2), 10, 0);
    assert!(bucket.take(10, 0));
    bucket.set_rate(Rate::per_hour(1), 3, 1_000_000_000);
    assert_eq!(bucket.available(1_000_000_000), 2);
    bucket.set_rate(Rate::per_second(1), 1, 500_000_000);
    assert_eq!(bucket.available(1_000_000_000), 1, "up to the new burst");
    assert!(bucket.take(1, 1_000_000_000));
    assert_eq!(bucket.ready_ns(1, 0), Some(2_000_000_000), "and its time does not go back");
}

#[test]
fn markers_that_make_no_sense_are_refused() {
    let (slow, fast) = (Rate::per_second(1), Rate::bits_per_second(9));
    assert_eq!(
        TwoRateMarker::new((fast, 1), (slow, 1), 0).err(),
        Some(MarkerError::PeakBelowCommitted { peak: slow, committed: fast })
    );
    assert!(TwoRateMarker::new((slow, 1), (Rate::bits_per_second(8), 1), 0).is_ok(), "equal is enough");
    assert_eq!(
        TwoRateMarker::new((slow, 0), (fast, 1), 0).err(),
        Some(MarkerError::NoBurst { committed: 0, other: 1 })
    );
    assert_eq!(
        SingleRateMarker::new(slow, 0, 0, 0).err(),
        Some(MarkerError::NoBurst { committed: 0, other: 0 })
    );
}
