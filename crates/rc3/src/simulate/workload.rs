//! Which flows come: how large, when, between whom.

use sim::{NodeId, Random, Rate, Time};

use super::world::Flow;
use crate::segment::HEADER_BYTES;

/// Sizes of flows in segments with their cumulative probability: the table of the RC3 paper's experiments, after traces of a
/// backbone. Its mean is 184.475.
pub const PAPER_SIZES: [(u64, f64); 11] = [
    (1, 0.5),
    (2, 0.6),
    (3, 0.7),
    (5, 0.75),
    (7, 0.8),
    (40, 0.8125),
    (72, 0.825),
    (137, 0.85),
    (267, 0.9),
    (1_187, 0.95),
    (2_107, 1.0),
];

/// Most lines of a table of sizes.
pub const SIZES_MAX: usize = 65_536;

/// Streams of random numbers beside those of links, which are numbered from 0.
const ARRIVALS: u64 = 1 << 40;
const SIZES: u64 = ARRIVALS + 1;
const ENDS: u64 = ARRIVALS + 2;
const DEPLOYED: u64 = ARRIVALS + 4;

/// Why a table is none.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum SizesError {
    /// It has no line, or more than there may be.
    #[error("{0} sizes: want 1 to {SIZES_MAX}")]
    Count(usize),
    /// Probabilities go up from above 0 to 1.
    #[error("size {number} has the cumulative probability {value}: want them to rise, the last to be 1")]
    Probability {
        /// Which line, from 1.
        number: usize,
        /// What it says.
        value: f64,
    },
    /// A flow of no bytes.
    #[error("size {0} is 0 bytes")]
    Nothing(usize),
}

/// A distribution of sizes, in bytes; sampled without interpolation.
#[derive(Debug, Clone, PartialEq)]
pub struct Sizes(Vec<(u64, f64)>);

impl Sizes {
    /// From sizes in bytes with their cumulative probabilities.
    ///
    /// # Errors
    /// Probabilities that do not rise to 1, sizes of 0, no size or too many.
    pub fn new(table: Vec<(u64, f64)>) -> Result<Self, SizesError> {
        if table.is_empty() || table.len() > SIZES_MAX {
            return Err(SizesError::Count(table.len()));
        }
        let mut before = 0.0;
        for (number, &(bytes, value)) in (1..).zip(&table) {
            let last = number == table.len();
            if !(value > before && value <= 1.0) || (last && value != 1.0) {
                return Err(SizesError::Probability { number, value });
            }
            if bytes == 0 {
                return Err(SizesError::Nothing(number));
            }
            before = value;
        }
        Ok(Self(table))
    }

    /// The paper's table, in segments of that many bytes.
    pub fn paper(segment: u32) -> Self {
        let bytes = |segments: u64| segments * u64::from(segment.max(1));
        Self(PAPER_SIZES.iter().map(|&(segments, share)| (bytes(segments), share)).collect())
    }

    /// All of one size.
    pub fn fixed(bytes: u64) -> Self {
        Self(vec![(bytes.max(1), 1.0)])
    }

    /// The sizes in bytes with their cumulative probabilities.
    pub fn table(&self) -> &[(u64, f64)] {
        &self.0
    }

    /// The mean, in bytes.
    pub fn mean(&self) -> f64 {
        let shares = self.0.iter().scan(0.0, |before, &(_, share)| {
            let own = share - *before;
            *before = share;
            Some(own)
        });
        self.0.iter().zip(shares).map(|(size, share)| size.0 as f64 * share).sum()
    }

    /// The mean with the headers of its segments, in bytes.
    fn mean_on_the_wire(&self, segment: u32) -> f64 {
        let wire = |bytes: u64| bytes + bytes.div_ceil(u64::from(segment.max(1))) * u64::from(HEADER_BYTES);
        Self(self.0.iter().map(|&(bytes, share)| (wire(bytes), share)).collect()).mean()
    }

    fn draw(&self, random: &mut Random) -> u64 {
        let at = random.unit();
        let line = self.0.partition_point(|line| line.1 <= at);
        self.0[line.min(self.0.len() - 1)].0
    }
}

/// Flows that arrive as a Poisson process.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// How many.
    pub flows: u32,
    /// The share of [`Workload::capacity`] that they take, headers included.
    pub load: f64,
    /// What a load of 1 is.
    pub capacity: Rate,
    /// How large they are.
    pub sizes: Sizes,
    /// Bytes of a full segment.
    pub segment: u32,
    /// The share of flows with configuration 1, drawn flow by flow; the others have 0.
    pub second: f64,
}

/// Draws flows between hosts: each from a host, to another that hangs on another router, or to any other where all hang on one.
/// Hosts come with their router.
///
/// Sizes, times, ends and who uses what are streams of their own: a run at another load has the same flows, closer together.
pub fn poisson(workload: &Workload, hosts: &[(NodeId, NodeId)], seed: u64) -> Vec<Flow> {
    let apart = hosts.iter().any(|host| host.1 != hosts[0].1);
    if hosts.len() < 2 {
        return Vec::new();
    }
    let [mut times, mut sizes, mut ends, mut deployed] =
        [ARRIVALS, SIZES, ENDS, DEPLOYED].map(|stream| Random::new(seed, stream));
    let bits = 8.0 * workload.sizes.mean_on_the_wire(workload.segment);
    let pause = bits / (workload.load * workload.capacity.bits_per_second() as f64);
    let mut now = 0.0;
    (0..workload.flows)
        .map(|_| {
            now += times.exponential(pause);
            let from = hosts[ends.below(hosts.len() as u64) as usize];
            // Ends by itself nearly at once: at least half of all hosts are elsewhere, or there are two.
            let to = loop {
                let to = hosts[ends.below(hosts.len() as u64) as usize];
                if to.0 != from.0 && (!apart || to.1 != from.1) {
                    break to;
                }
            };
            let bytes = workload.sizes.draw(&mut sizes);
            let config = u8::from(deployed.chance(workload.second));
            Flow { start: Time::from_secs_f64(now), from: from.0, to: to.0, bytes, config }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_its_mean_and_is_drawn_without_interpolation() {
        let sizes = Sizes::paper(1);
        assert!((sizes.mean() - 184.475).abs() < 1e-9, "{}", sizes.mean());
        let mut random = Random::new(1, 0);
        let drawn: Vec<u64> = (0..100_000).map(|_| sizes.draw(&mut random)).collect();
        assert!(drawn.iter().all(|size| PAPER_SIZES.iter().any(|line| line.0 == *size)));
        let share = drawn.iter().filter(|size| **size == 1).count() as f64 / 100_000.0;
        assert!((share - 0.5).abs() < 0.01, "{share}");
    }

    #[test]
    fn bad_tables_are_refused() {
        assert_eq!(Sizes::new(vec![]), Err(SizesError::Count(0)));
        let fault = Sizes::new(vec![(1, 0.5), (2, 0.4), (3, 1.0)]);
        assert_eq!(fault, Err(SizesError::Probability { number: 2, value: 0.4 }));
        assert!(Sizes::new(vec![(1, 0.9)]).is_err() && Sizes::new(vec![(1, f64::NAN)]).is_err());
        assert_eq!(Sizes::new(vec![(0, 1.0)]), Err(SizesError::Nothing(1)));
    }

    fn faster_than_none() -> Workload {
        let (capacity, sizes) = (Rate::from_mbit(1), Sizes::fixed(1));
        Workload { flows: 5, load: 1.0, capacity, sizes, segment: 1, second: 0.0 }
    }

    #[test]
    fn arrivals_make_the_load() {
        let hosts: Vec<_> = (0..20).map(|host| (NodeId(host), NodeId(100 + host % 2))).collect();
        let workload = Workload {
            flows: 20_000,
            load: 0.5,
            capacity: Rate::from_mbit(100),
            sizes: Sizes::fixed(14_600),
            segment: 1_460,
            second: 0.25,
        };
        let flows = poisson(&workload, &hosts, 3);
        let seconds = flows.last().unwrap().start.secs_f64();
        let load = 20_000.0 * 15_020.0 * 8.0 / seconds / 100e6;
        assert!((load - 0.5).abs() < 0.02, "{load}");
        assert!(flows.iter().all(|flow| flow.from.0 % 2 != flow.to.0 % 2), "to another router's");
        let second = flows.iter().filter(|flow| flow.config == 1).count();
        assert!((4_700..5_300).contains(&second), "{second}");
        let faster = poisson(&Workload { load: 0.7, second: 0.5, ..workload }, &hosts, 3);
        assert!(flows.iter().zip(&faster).all(|(a, b)| (a.from, a.to, a.bytes) == (b.from, b.to, b.bytes)));
        assert!(poisson(&faster_than_none(), &hosts[..1], 0).is_empty());
    }
}
