//! How long things take: counts in buckets that grow with what they count.

use std::fmt;

/// Buckets per power of two: a value is known to 1/32.
const STEPS: usize = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Powers of two.
const POWERS: usize = 64 - STEP_BITS as usize;

/// Counts of values, each known to about 3 %.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; (POWERS + 1) * STEPS], count: 0, max: 0 }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Histogram({} values, at most {})", self.count, self.max)
    }
}

impl Histogram {
    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        self.buckets[bucket(value)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// Values counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that a share of all, `0.99` say, do not exceed; 0 of none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return highest(at).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(value: u64) -> usize {
    let power = 63u32.saturating_sub(value.leading_zeros());
    if power < STEP_BITS {
        return value as usize;
    }
    let shift = power - STEP_BITS;
    (shift as usize + 1) * STEPS + ((value >> shift) as usize - STEPS)
}

/// The highest value of a bucket.
fn highest(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let shift = bucket / STEPS - 1;
    let above = (bucket % STEPS + STEPS + 1) as u128;
    u64::try_from((above << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_bucket_whose_end_is_near() {
        for power in 0..64 {
            for value in [1u64 << power, (1 << power) - 1, (1 << power) + 1, (3 << power) >> 1] {
                let end = highest(bucket(value));
                assert!(end >= value && end - value <= value / STEPS as u64, "{value} {end}");
            }
        }
        assert_eq!(highest(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn quantiles_are_those_of_a_sorted_list() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile(0.5), histogram.max()), (0, 0));
        let values: Vec<u64> = (0..1000).map(|n| n * n).collect();
        values.iter().for_each(|&value| histogram.add(value));
        for share in [0.01, 0.5, 0.9, 0.99, 1.0] {
            let exact = values[(1000.0 * share) as usize - 1];
            let got = histogram.quantile(share);
            assert!(got >= exact && got - exact <= exact / 30 + 1, "{share}: {got} {exact}");
        }
        assert_eq!((histogram.count(), histogram.max()), (1000, 999 * 999));
    }
}
