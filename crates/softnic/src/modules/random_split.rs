//! [`RandomSplit`].

use packet::Batch;
use thiserror::Error;

use super::gates::{DROP, Gates, send_by};
use crate::engine::{Context, GATES_MAX, Gate, Module};

/// Drops some packets and spreads the others over gates, at random.
///
/// *Input gates*: one. *Output gates*: those of its list, up to 8191; each packet that is not dropped goes to one of
/// them, each place of the list being as likely. Without gates, everything is dropped.
///
/// Equal seeds treat equal sequences of packets equally.
///
/// ```
/// use softnic::modules::{Gates, RandomSplit};
/// let module = RandomSplit::new(Gates::first(2), 0.01, 0x5eed)?;
/// # Ok::<(), softnic::modules::NoRate>(())
/// ```
#[derive(Clone, Debug)]
pub struct RandomSplit {
    gates: Gates,
    drop_rate: f64,
    state: u64,
}

/// A share of packets that is none.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("drop rate needs to be between [0, 1], is {0}")]
pub struct NoRate(pub f64);

fn rate(drop_rate: f64) -> Result<f64, NoRate> {
    if (0.0..=1.0).contains(&drop_rate) { Ok(drop_rate) } else { Err(NoRate(drop_rate)) }
}

impl RandomSplit {
    /// Drops that share of packets, 0 to 1, and spreads the others over `gates`.
    ///
    /// # Errors
    /// A share that is none.
    pub fn new(gates: Gates, drop_rate: f64, seed: u64) -> Result<Self, NoRate> {
        Ok(Self { gates, drop_rate: rate(drop_rate)?, state: seed })
    }

    /// Spreads over other gates.
    pub fn set_gates(&mut self, gates: Gates) {
        self.gates = gates;
    }

    /// Drops another share.
    ///
    /// # Errors
    /// A share that is none; then nothing changes.
    pub fn set_drop_rate(&mut self, drop_rate: f64) -> Result<(), NoRate> {
        self.drop_rate = rate(drop_rate)?;
        Ok(())
    }

    /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
    #[inline]
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    #[inline]
    fn choose(&mut self) -> Gate {
        // 53 bits: 0 to just below 1, so that a rate of 0 drops nothing and one of 1 everything.
        let drawn = (self.draw() >> 11) as f64 / (1u64 << 53) as f64;
        if drawn < self.drop_rate {
            return DROP;
        }
        let drawn = self.draw();
        self.gates.of_hash(drawn)
    }
}

impl Module for RandomSplit {
    fn class(&self) -> &'static str {
        "RandomSplit"
    }

    fn outputs(&self) -> Gate {
        GATES_MAX
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        send_by(ctx, batch, |_| self.choose());
    }

    fn status(&self) -> String {
        format!("drops {} %", self.drop_rate * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::{Rig, packet};

    /// How many of `count` packets leave at each gate.
    fn counts(module: &mut RandomSplit, count: usize) -> [usize; 4] {
        let mut counts = [0; 4];
        for _ in 0..count / 1000 {
            let out = Rig::on(&mut *module).pass(0, (0..1000).map(|_| packet(&[0])));
            out.iter().for_each(|(gate, _)| counts[usize::from(*gate)] += 1);
        }
        counts
    }

    #[test]
    fn shares_are_as_asked_for() {
        for (rate, passed) in [(0.0, 20_000), (0.3, 14_000), (0.9, 2000), (1.0, 0)] {
            let mut module = RandomSplit::new(Gates::new(vec![1, 3, 3]).unwrap(), rate, 0x5eed).unwrap();
            let [zero, one, two, three] = counts(&mut module, 20_000);
            assert_eq!((zero, two), (0, 0));
            // Five standard deviations of the binomial distribution.
            let near = |count: usize, share: f64| {
                let mean = 20_000.0 * (1.0 - rate) * share;
                let p = (1.0 - rate) * share;
                (count as f64 - mean).abs() <= 5.0 * (20_000.0 * p * (1.0 - p)).sqrt()
            };
            assert!(near(one, 1.0 / 3.0) && near(three, 2.0 / 3.0), "{rate}: {one} {three}");
            assert!(near(one + three, 1.0), "{rate}: {passed}");
        }
    }

    #[test]
    fn a_rate_is_a_share() {
        for wrong in [-0.1, 1.1, f64::INFINITY] {
            assert_eq!(RandomSplit::new(Gates::default(), wrong, 0).unwrap_err(), NoRate(wrong));
        }
        let mut module = RandomSplit::new(Gates::default(), 0.0, 0).unwrap();
        assert!(module.set_drop_rate(f64::NAN).is_err());
        assert_eq!(counts(&mut module, 1000), [0; 4], "no gates");
        module.set_gates(Gates::first(1));
        assert_eq!(counts(&mut module, 1000), [1000, 0, 0, 0]);
        module.set_drop_rate(1.0).unwrap();
        assert_eq!(counts(&mut module, 1000), [0; 4]);
    }
}
