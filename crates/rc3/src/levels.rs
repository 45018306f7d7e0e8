//! Which priority the k-th segment from the tail has (RC3, NSDI'14, section 3.1).

/// Segments of the first low level, over ten.
const STEP: u64 = 4;

/// The level of the `k`-th segment from the tail, k = 1 the last: ⌈log₁₀(9k/(10·S) + 1)⌉ with S = 4, at most `lowest`.
///
/// 40 segments at level 1, 400 at level 2, 4,000 at level 3, and so on: what takes the flow ten times further is ten times
/// less urgent.
///
/// ```
/// let levels = [1, 40, 41, 440, 441, 4_440, 4_441, 1_000_000].map(|k| rc3::level_of(k, 4));
/// assert_eq!(levels, [1, 1, 2, 2, 3, 3, 4, 4]);
/// ```
pub fn level_of(k: u64, lowest: u8) -> u8 {
    let (mut level, mut size, mut last) = (1, 10 * STEP, 10 * STEP);
    while k > last && level < lowest {
        level += 1;
        size *= 10;
        last += size;
    }
    level.min(lowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_are_those_of_the_formula() {
        for k in 1..100_000_u64 {
            let formula = (9.0 * k as f64 / (10.0 * STEP as f64) + 1.0).log10() - 1e-12;
            assert_eq!(f64::from(level_of(k, 7)), formula.ceil(), "segment {k}");
        }
        assert_eq!(level_of(u64::MAX, 7), 7);
        assert_eq!(level_of(3, 0), 0);
    }
}
