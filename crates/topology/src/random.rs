//! Seeded randomness and the few functions that must give the same bits on every platform.
//!
//! xoshiro256** (Blackman and Vigna, 2018), seeded through SplitMix64 as its authors advise. The standard
//! library's `exp`, `sin` and `cos` come from the platform and differ in the last bit, so that a generated
//! topology would too; these use only operations that IEEE 754 rounds exactly.

/// A small, fast generator. Not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: [u64; 4],
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut mixer = seed;
        Self { state: std::array::from_fn(|_| split_mix(&mut mixer)) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Uniform in 0..bound (0 for an empty range), by Lemire's multiplication without its rejection: the bias
    /// is below 2⁻⁴⁰ for any bound used here.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Uniform in [0, 1), in steps of 2⁻⁵³.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// e⁻ˣ for x ≥ 0: halve x until it is small, sum the series, square back.
pub(crate) fn exp_negative(x: f64) -> f64 {
    if x.is_nan() || x > 700.0 {
        return 0.0;
    }
    let (mut small, mut halvings) = (x.max(0.0), 0);
    while small > 0.25 {
        small /= 2.0;
        halvings += 1;
    }
    let (mut term, mut sum) = (1.0, 1.0);
    for power in 1..16 {
        term *= -small / f64::from(power);
        sum += term;
    }
    (0..halvings).fold(sum, |value, _| value * value)
}

/// Sine and cosine of an angle in turns, 0 ≤ turns ≤ 1.
pub(crate) fn sin_cos_turns(turns: f64) -> (f64, f64) {
    let quarter = (turns * 4.0).floor();
    let angle = (turns - quarter / 4.0) * std::f64::consts::TAU;
    let (mut sin, mut cos, mut term) = (0.0, 0.0, 1.0);
    for power in 0..24 {
        match power % 4 {
            0 => cos += term,
            1 => sin += term,
            2 => cos -= term,
            _ => sin -= term,
        }
        term *= angle / f64::from(power + 1);
    }
    match quarter as i64 % 4 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // From the reference xoshiro256starstar.c, state {1, 2, 3, 4}.
        let mut random = Random { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| random.next()).collect();
        assert_eq!(first, [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
        // From the reference splitmix64.c, seed 1234567.
        let mut state = 1_234_567;
        assert_eq!(split_mix(&mut state), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(&mut state), 3_203_168_211_198_807_973);
    }

    #[test]
    fn functions_agree_with_the_platform() {
        let mut random = Random::new(7);
        for _ in 0..1000 {
            let (x, turns) = (random.unit() * 30.0, random.unit());
            assert!((exp_negative(x) - (-x).exp()).abs() < 1e-13, "{x}");
            let (sin, cos) = sin_cos_turns(turns);
            let (want_sin, want_cos) = (turns * std::f64::consts::TAU).sin_cos();
            assert!((sin - want_sin).abs() < 1e-12 && (cos - want_cos).abs() < 1e-12, "{turns}");
            assert!(random.below(10) < 10);
        }
        assert_eq!(random.below(0), 0);
    }
}
