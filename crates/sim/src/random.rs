//! Seeded randomness: xoshiro256** (Blackman and Vigna, 2018), seeded through `SplitMix64` as its authors advise.

use crate::math::ln;

/// A stream of random numbers, the same on every machine. Not for secrets.
///
/// Every part of a run (a link, the arrivals, the sizes) takes a stream of its own, so that what one part draws changes
/// nothing for another: a link that is made lossy leaves the workload as it was.
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of that number of a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        // Mixed once before they are joined: neighbours in either number give unrelated states.
        let mut of_stream = stream ^ 0x6a09_e667_f3bc_c908;
        let mut mixer = seed ^ split_mix(&mut of_stream);
        Self { state: std::array::from_fn(|_| split_mix(&mut mixer)) }
    }

    /// The next 64 bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
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

    /// Uniform in 0..bound (0 for an empty range), by Lemire's multiplication without its rejection: the bias is below
    /// bound · 2⁻⁶⁴.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in [0, 1), in steps of 2⁻⁵³.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with that probability.
    #[inline]
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Exponential with that mean: the pause between arrivals of a Poisson process.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * ln(1.0 - self.unit())
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // From the reference xoshiro256starstar.c, state {1, 2, 3, 4}.
        let mut random = Random { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| random.bits()).collect();
        assert_eq!(first, [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
        // From the reference splitmix64.c, seed 1234567.
        let mut state = 1_234_567;
        assert_eq!(split_mix(&mut state), 6_457_827_717_110_365_317);
    }

    #[test]
    fn streams_differ_and_means_are_right() {
        let (mut one, mut two) = (Random::new(1, 0), Random::new(1, 1));
        assert!((0..100).all(|_| one.bits() != two.bits()));
        let mut swapped = Random::new(0, 1);
        assert_ne!(Random::new(1, 0).bits(), swapped.bits());
        let mean = (0..100_000).map(|_| one.exponential(2.0)).sum::<f64>() / 100_000.0;
        assert!((mean - 2.0).abs() < 0.03, "{mean}"); // five standard errors of 2/√100,000
        assert_eq!(one.below(0), 0);
        assert!(!one.chance(0.0) && one.chance(1.0));
    }
}
