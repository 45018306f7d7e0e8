//! Figures of many runs: means with confidence intervals, percentiles.

/// A mean and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Half the width of its 95 % confidence interval, by Student's t; 0 for a single value.
    pub half_width: f64,
    /// Of how many values.
    pub count: usize,
}

/// Student's t, two-sided 95 %, for 1 to 30 degrees of freedom.
const T_95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// The same, for more.
const T_95_MANY: f64 = 1.96;

impl Mean {
    /// Of independent values, one a seed; none of none.
    ///
    /// ```
    /// let mean = sim::stats::Mean::of(&[1.0, 2.0, 3.0]).unwrap();
    /// assert_eq!(mean.mean, 2.0);
    /// assert!((mean.half_width - 4.303 / 3f64.sqrt()).abs() < 1e-12);
    /// ```
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let half_width = match count - 1 {
            0 => 0.0,
            freedom => {
                let t = T_95.get(freedom - 1).copied().unwrap_or(T_95_MANY);
                t * (squares / freedom as f64 / count as f64).sqrt()
            }
        };
        Some(Self { mean, half_width, count })
    }
}

/// The value below which that share of the values lies (nearest rank); sorts them. None of none.
///
/// ```
/// let mut values = [30.0, 10.0, 20.0, 40.0];
/// assert_eq!(sim::stats::percentile(&mut values, 0.5), Some(20.0));
/// assert_eq!(sim::stats::percentile(&mut values, 0.99), Some(40.0));
/// ```
pub fn percentile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let rank = (share.clamp(0.0, 1.0) * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_mean_as_often_as_they_say() {
        let mut random = crate::Random::new(11, 0);
        let held = (0..2_000)
            .filter(|_| {
                let values: Vec<f64> =
                    (0..20).map(|_| random.unit() + random.unit() + random.unit()).collect();
                let mean = Mean::of(&values).unwrap();
                (mean.mean - 1.5).abs() <= mean.half_width
            })
            .count();
        assert!((1_860..=1_940).contains(&held), "{held} of 2,000 for 95 %");
        assert_eq!(Mean::of(&[]), None);
        assert_eq!(Mean::of(&[4.0]).map(|mean| mean.half_width), Some(0.0));
        assert_eq!(percentile(&mut [], 0.5), None);
    }
}
