//! Histograms of durations, and what they say in short.

/// Counts values in buckets of one width: bucket N holds the values from N × width on, and the last one everything above
/// the range. A value stands for its bucket's lower bound.
///
/// ```
/// use softnic::modules::Histogram;
/// let mut histogram = Histogram::new(100, 10);
/// [5, 19, 25, 99_999].into_iter().for_each(|value| histogram.insert(value));
/// let summary = histogram.summary(&[50.0, 100.0]);
/// assert_eq!((summary.count, summary.above_range, summary.min), (4, 1, 0));
/// assert_eq!(summary.percentiles, [10, 1000]);
/// ```
#[derive(Clone, Debug)]
pub struct Histogram {
    width: u64,
    buckets: Vec<u64>,
    /// No bucket above this one holds anything, so that summing up costs what was seen and not what could have been.
    highest: usize,
}

/// What a histogram says in short. Without values everything is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many values.
    pub count: u64,
    /// How many of them above the range.
    pub above_range: u64,
    /// The least.
    pub min: u64,
    /// The greatest; too low if some were above the range.
    pub max: u64,
    /// The mean.
    pub mean: u64,
    /// Their sum.
    pub total: u64,
    /// For each percentile asked for, the least value that as many values do not exceed.
    pub percentiles: Vec<u64>,
}

impl Histogram {
    /// `count` buckets of `width` (1 at least), and one for what is above. A width of 0 is taken for 1.
    pub fn new(count: usize, width: u64) -> Self {
        Self { width: width.max(1), buckets: vec![0; count + 1], highest: 0 }
    }

    /// How wide a bucket is.
    pub fn width(&self) -> u64 {
        self.width
    }

    /// An empty one of the same shape.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self::new(self.buckets.len() - 1, self.width)
    }

    /// Counts a value.
    #[inline]
    pub fn insert(&mut self, value: u64) {
        let last = self.buckets.len() - 1;
        let bucket = usize::try_from(value / self.width).unwrap_or(last).min(last);
        self.buckets[bucket] += 1;
        self.highest = self.highest.max(bucket);
    }

    /// Sums up, with `percentiles` of 0 to 100 in rising order.
    pub fn summary(&self, percentiles: &[f64]) -> Summary {
        summarise(self.width, &self.buckets[..=self.highest], self.buckets.len() - 1, percentiles)
    }
}

/// Sums up counts of buckets, the last of which, above the range, has the number `above`.
pub(super) fn summarise<C: Copy + Into<u64>>(
    width: u64,
    buckets: &[C],
    above: usize,
    percentiles: &[f64],
) -> Summary {
    let counts = || buckets.iter().map(|count| (*count).into());
    let count: u64 = counts().sum();
    let mut summary = Summary { count, ..Summary::default() };
    summary.above_range = buckets.get(above).map_or(0, |count| (*count).into());
    let mut wanted = percentiles.iter();
    let mut next = wanted.next();
    let mut so_far = 0;
    for (bucket, here) in counts().enumerate().filter(|(_, here)| *here > 0) {
        let value = bucket as u64 * width;
        if so_far == 0 {
            summary.min = value;
        }
        summary.max = value;
        summary.total = summary.total.saturating_add(value.saturating_mul(here));
        so_far += here;
        while next
            .is_some_and(|percentile| so_far == count || so_far as f64 * 100.0 >= percentile * count as f64)
        {
            summary.percentiles.push(value);
            next = wanted.next();
        }
    }
    summary.mean = summary.total.checked_div(count).unwrap_or(0);
    summary.percentiles.resize(percentiles.len(), 0);
    summary
}

/// Whether percentiles are in rising order and between 0 and 100.
pub fn are_percentiles(percentiles: &[f64]) -> bool {
    percentiles.iter().all(|percentile| (0.0..=100.0).contains(percentile)) && percentiles.is_sorted()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The twin: all values in a row.
    fn twin(values: &[u64], count: usize, width: u64, percentiles: &[f64]) -> Summary {
        let mut values: Vec<u64> =
            values.iter().map(|value| (value / width).min(count as u64) * width).collect();
        values.sort_unstable();
        let (Some(min), Some(max)) = (values.first(), values.last()) else {
            return Summary { percentiles: vec![0; percentiles.len()], ..Summary::default() };
        };
        let at = |percentile: f64| {
            let reached = |n: &usize| *n as f64 * 100.0 >= percentile * values.len() as f64;
            values[(1..values.len()).find(reached).unwrap_or(values.len()) - 1]
        };
        let total: u64 = values.iter().sum();
        Summary {
            count: values.len() as u64,
            above_range: values.iter().filter(|value| **value == count as u64 * width).count() as u64,
            min: *min,
            max: *max,
            mean: total / values.len() as u64,
            total,
            percentiles: percentiles.iter().map(|percentile| at(*percentile)).collect(),
        }
    }

    proptest! {
        #[test]
        fn it_says_what_the_values_say(
            values in prop::collection::vec(0..600u64, 0..200), count in 1..50usize, width in 1..20u64,
            mut percentiles in prop::collection::vec(0.0..=100.0f64, 0..6),
        ) {
            percentiles.sort_by(f64::total_cmp);
            let mut histogram = Histogram::new(count, width);
            values.iter().for_each(|value| histogram.insert(*value));
            prop_assert_eq!(histogram.summary(&percentiles), twin(&values, count, width, &percentiles));
            prop_assert_eq!(histogram.emptied().summary(&[]), Summary::default());
        }
    }

    #[test]
    fn extremes_have_their_buckets() {
        let mut histogram = Histogram::new(10, 0);
        [0, 9, 10, u64::MAX].into_iter().for_each(|value| histogram.insert(value));
        let summary = histogram.summary(&[0.0, 100.0]);
        assert_eq!((summary.above_range, summary.min, summary.max), (2, 0, 10));
        assert_eq!(summary.percentiles, [0, 10]);
        assert!(are_percentiles(&[0.0, 50.0, 50.0, 100.0]) && are_percentiles(&[]));
        assert!(
            !are_percentiles(&[50.0, 49.0]) && !are_percentiles(&[100.1]) && !are_percentiles(&[f64::NAN])
        );
    }
}
