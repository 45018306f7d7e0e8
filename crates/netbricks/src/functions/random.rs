//! Draws for what functions do at random: jitter, loss, sizes. Not for keys.

use std::ops::RangeInclusive;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): a good mixture of a
/// counter. Equal seeds draw equal numbers.
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// Draws that the seed determines.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next draw: 64 bits.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// One of the numbers of a range, each as likely (to 1 in 2⁶⁴ over its length).
    pub fn among(&mut self, range: &RangeInclusive<u64>) -> u64 {
        let count = u128::from(range.end() - range.start()) + 1;
        range.start() + ((u128::from(self.draw()) * count) >> 64) as u64
    }

    /// `true` in `chance` of 2³² cases.
    pub fn happens(&mut self, chance: u64) -> bool {
        self.draw() >> 32 < chance
    }
}

/// A share, `0.5%` or `0.005`, as cases of 2³².
pub(super) fn chance(text: &str) -> Result<u64, String> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.parse::<f64>().map_err(|error| error.to_string())? / whole;
    if !(0.0..=1.0).contains(&share) {
        return Err("a share is wanted: 0.5%, 0.005".into());
    }
    Ok((share * 4_294_967_296.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_sequence() {
        // The first numbers of the authors' `splitmix64.c` from seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!(
            [random.draw(), random.draw(), random.draw()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn shares_and_ranges_hold_to_their_ends() {
        let mut random = Random::new(1);
        assert_eq!((chance("0"), chance("100%"), chance("25%")), (Ok(0), Ok(1 << 32), Ok(1 << 30)));
        for wrong in ["", "101%", "-1", "NaN", "half"] {
            assert!(chance(wrong).is_err(), "{wrong}");
        }
        assert!((0..1000).all(|_| random.happens(1 << 32) && !random.happens(0)));
        let drawn: std::collections::BTreeSet<_> = (0..100).map(|_| random.among(&(5..=7))).collect();
        assert_eq!(drawn, [5, 6, 7].into());
        assert!((0..100).any(|_| random.among(&(0..=u64::MAX)) > u64::MAX / 2));
    }
}
