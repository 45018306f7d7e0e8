//! Paced RC3 beside Cubic on random links: `cargo bench -p rc3 --bench links`; `-- 200 7` for 200 links of seed 7; `-- one 50 80 0.25
//! 3000` for what happens on one of 50 Mbit/s, 80 ms and a quarter of a product, to 3,000 KB.
//!
//! A link has 1 Mbit/s to 1 Gbit/s, a round trip of 5 to 300 ms and a buffer of 0.1 to 5 bandwidth-delay products; a flow has 10 KB to 10 MB,
//! and the link for itself. All four are drawn so that each power of ten is as likely as another. The sender's NIC has 10 Gbit/s. Each
//! link is run with five sizes within 2 % of its own: what differs among them is noise. A protocol is slower on a link if its mean is
//! more than 1 %, and more than twice the standard error, above Cubic's.

use rc3::simulate::{Flow, Limits, Outcome, run};
use rc3::{Algorithm, LowConfig, Pacing, SenderConfig};
use sim::stats::{Mean, percentile};
use sim::{LinkSpec, Network, NodeId, Random, Rate, Time};

/// Flows of a link.
const TRIES: u32 = 5;

fn cubic() -> SenderConfig {
    SenderConfig { algorithm: Algorithm::Cubic, initial_window: 10, ..SenderConfig::default() }
}

/// A link, and how much is to cross it.
#[derive(Debug, Clone, Copy)]
struct Case {
    rate: Rate,
    rtt: Time,
    /// In bandwidth-delay products.
    products: f64,
    bytes: u64,
}

impl Case {
    fn draw(random: &mut Random) -> Self {
        let mut between = |least: f64, most: f64| least * (most / least).powf(random.unit());
        Self {
            rate: Rate::from_bits_per_second(between(1e6, 1e9) as u64),
            rtt: Time::from_secs_f64(between(0.005, 0.3)),
            products: between(0.1, 5.0),
            bytes: between(1e4, 1e7) as u64,
        }
    }

    fn buffer(&self) -> u64 {
        // Two full segments at least: none has less.
        ((self.rate.bytes_in(self.rtt) as f64 * self.products) as u64).max(3_004)
    }

    /// Sender 0, router 1, receiver 2.
    fn network(&self) -> Network<rc3::Segment> {
        let mut net = Network::new(1);
        let nodes = [0, 1, 2].map(|_| net.add_node().expect("three nodes"));
        let nic = LinkSpec::new(Rate::from_mbit(10_000), Time::ZERO).buffer(1 << 30);
        let link = LinkSpec::new(self.rate, self.rtt.divided(2)).buffer(self.buffer());
        for (from, to, spec, ends) in
            [(0, 1, nic, &[2][..]), (1, 2, link, &[2]), (2, 1, nic, &[0]), (1, 0, link, &[0])]
        {
            let link = net.add_link(nodes[from], nodes[to], spec).expect("four links");
            ends.iter().for_each(|end| net.set_route(nodes[from], nodes[*end], link).expect("from there"));
        }
        net
    }

    fn outcome(&self, config: SenderConfig, number: u32) -> Outcome {
        let bytes = self.bytes as f64 * (0.98 + 0.01 * f64::from(number));
        let flow = Flow { start: Time::ZERO, from: NodeId(0), to: NodeId(2), bytes: bytes as u64, config: 0 };
        run(self.network(), &[flow], &[config], Limits::default())
    }

    /// Seconds of each try.
    fn times(&self, config: SenderConfig) -> Vec<f64> {
        let time = |number| self.outcome(config, number).finished[0].map_or(f64::NAN, Time::secs_f64);
        (0..TRIES).map(time).collect()
    }

    fn paced(&self, remembered: bool) -> SenderConfig {
        let pacing = Pacing::Bottleneck { percent: 90, remembered: remembered.then_some(self.rate) };
        cubic().with_low(LowConfig { pacing, ..LowConfig::default() })
    }

    /// What the tries did.
    fn tell(&self) {
        println!("{self:?}");
        for (name, config) in [("cubic", cubic()), ("first", self.paced(false)), ("next", self.paced(true))] {
            for outcome in (0..TRIES).map(|number| self.outcome(config, number)) {
                let time = outcome.finished[0].map_or(f64::NAN, Time::secs_f64);
                println!(
                    "{name} {time:.3} s, dropped by level {:?}, {:?}",
                    outcome.drops.by_level, outcome.senders
                );
            }
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = words.iter().position(|word| word == "one") {
        let figure = |number: usize| words.get(at + number).and_then(|word| word.parse::<f64>().ok());
        let [rate, rtt, products, kb] = [1, 2, 3, 4].map(|number| figure(number).expect("four figures"));
        let (rate, rtt) = (Rate::from_bits_per_second((rate * 1e6) as u64), Time::from_secs_f64(rtt / 1e3));
        return Case { rate, rtt, products, bytes: (kb * 1e3) as u64 }.tell();
    }
    let mut words = words.iter().filter_map(|word| word.parse::<u64>().ok());
    let (count, seed) = (words.next().unwrap_or(1_000), words.next().unwrap_or(1));
    let mut random = Random::new(seed, 0);
    let cases: Vec<Case> = (0..count).map(|_| Case::draw(&mut random)).collect();
    for (name, remembered) in [("the first transfer", false), ("the next one, which knows the rate", true)] {
        let ratios = sim::sweep(
            &cases,
            None,
            |case| {
                let (cubic, rc3) = (case.times(cubic()), case.times(case.paced(remembered)));
                let shares: Vec<f64> = cubic.iter().zip(&rc3).map(|(cubic, rc3)| rc3 / cubic).collect();
                Mean::of(&shares).expect("some tries")
            },
            |_| {},
        );
        report(name, seed, &cases, &ratios);
    }
}

fn slower(ratio: &Mean) -> bool {
    // 2.776 standard errors are half an interval of five values.
    ratio.mean > 1.01 && ratio.mean - 1.0 > ratio.half_width * 2.0 / 2.776
}

fn report(name: &str, seed: u64, cases: &[Case], ratios: &[Mean]) {
    let all: Vec<(&Case, &Mean)> = cases.iter().zip(ratios).collect();
    let behind: Vec<&(&Case, &Mean)> = all.iter().filter(|(_, ratio)| slower(ratio)).collect();
    println!("\n{name}: slower on {} of {} links, seed {seed}\n", behind.len(), cases.len());
    println!("| buffer, products | size, products | links | time / Cubic's: median | most | slower |");
    println!("|---|---|---|---|---|---|");
    let products = |case: &Case| case.bytes as f64 / case.rate.bytes_in(case.rtt).max(1) as f64;
    for (low, high) in [(0.1, 0.25), (0.25, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 5.1)] {
        for (small, large) in [(0.0, 0.3), (0.3, 1.0), (1.0, 3.0), (3.0, 10.0), (10.0, f64::MAX)] {
            let within = all.iter().filter(|(case, _)| {
                (low..high).contains(&case.products) && (small..large).contains(&products(case))
            });
            let within: Vec<_> = within.collect();
            let mut found: Vec<f64> = within.iter().map(|(_, ratio)| ratio.mean).collect();
            let (Some(median), Some(most)) = (percentile(&mut found, 0.5), percentile(&mut found, 1.0))
            else {
                continue;
            };
            let slow = within.iter().filter(|(_, ratio)| slower(ratio)).count();
            let large = if large == f64::MAX { "∞".into() } else { large.to_string() };
            println!(
                "| {low} to {high} | {small} to {large} | {} | {median:.2} | {most:.2} | {slow} |",
                within.len()
            );
        }
    }
    let mut worst = behind;
    worst.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean));
    for (case, ratio) in worst.iter().take(10) {
        println!(
            "- {:.2} ± {:.2} times Cubic's: {:.1} Mbit/s, {:.0} ms, buffer {:.2} products, {:.0} KB ({:.1} products)",
            ratio.mean,
            ratio.half_width,
            case.rate.bits_per_second() as f64 / 1e6,
            case.rtt.secs_f64() * 1e3,
            case.products,
            case.bytes as f64 / 1e3,
            products(case)
        );
    }
}
