//! How long to wait for an ack: RFC 6298.

use sim::Time;

/// The figures of it. The default is that of the RC3 paper's experiments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RttConfig {
    /// The timeout before the first measurement.
    pub initial: Time,
    /// The shortest timeout.
    pub least: Time,
    /// The longest timeout, however often it was doubled.
    pub most: Time,
}

impl Default for RttConfig {
    fn default() -> Self {
        Self { initial: Time::from_secs(1), least: Time::from_millis(200), most: Time::from_secs(60) }
    }
}

/// The estimate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rtt {
    config: RttConfig,
    smoothed: Option<Time>,
    least: Option<Time>,
    variation: Time,
    /// How often the timeout was doubled.
    doubled: u32,
}

impl Rtt {
    pub(crate) const fn new(config: RttConfig) -> Self {
        Self { config, smoothed: None, least: None, variation: Time::ZERO, doubled: 0 }
    }

    pub(crate) const fn smoothed(&self) -> Option<Time> {
        self.smoothed
    }

    /// The shortest that was measured.
    pub(crate) const fn least(&self) -> Option<Time> {
        self.least
    }

    /// Takes a measurement of a segment that was sent once.
    pub(crate) fn sample(&mut self, rtt: Time) {
        self.least = Some(self.least.map_or(rtt, |least| least.min(rtt)));
        self.doubled = 0;
        match self.smoothed {
            None => (self.smoothed, self.variation) = (Some(rtt), rtt.divided(2)),
            Some(smoothed) => {
                let off = rtt.max(smoothed) - rtt.min(smoothed);
                self.variation = (self.variation.times(3) + off).divided(4);
                self.smoothed = Some((smoothed.times(7) + rtt).divided(8));
            }
        }
    }

    /// The timeout has gone off.
    pub(crate) fn double(&mut self) {
        self.doubled = (self.doubled + 1).min(32);
    }

    pub(crate) fn timeout(&self) -> Time {
        let RttConfig { initial, least, most } = self.config;
        let base = match self.smoothed {
            None => initial,
            Some(smoothed) => (smoothed + self.variation.times(4)).max(least),
        };
        base.times(1 << self.doubled).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_those_of_the_rfc() {
        let ms = Time::from_millis;
        let mut rtt = Rtt::new(RttConfig::default());
        assert_eq!(rtt.timeout(), ms(1_000));
        rtt.double();
        assert_eq!(rtt.timeout(), ms(2_000));
        rtt.sample(ms(100)); // variation 50
        assert_eq!(rtt.timeout(), ms(300));
        rtt.sample(ms(180)); // variation (3·50 + 80)/4 = 57.5, smoothed 110
        assert_eq!(rtt.timeout(), ms(340));
        for _ in 0..100 {
            rtt.sample(ms(10));
        }
        assert_eq!(rtt.timeout(), ms(200));
        (0..100).for_each(|_| rtt.double());
        assert_eq!(rtt.timeout(), ms(60_000));
    }
}
