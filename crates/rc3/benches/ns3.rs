//! The simulator beside ns-3 3.44, as it comes from PyPI: `cargo bench -p rc3 --bench ns3`.
//!
//! The same flows by TCP on the same networks, in turn; CPU time of the runs alone, the least of three. Packet-hops of ns-3 are counted in
//! a run that is not timed.

mod clock;
#[path = "../tests/ns3/judge.rs"]
mod judge;

use clock::cpu_seconds;
use judge::Judge;
use rc3::SenderConfig;
use rc3::simulate::{Fabric, Flow, Limits, Outcome, Sizes, Summary, Workload, internet2, poisson, run};
use sim::Rate;
use topology::{Capacity, Delay, LinkSpec, Topology, generate};

const ROUNDS: u32 = 3;

fn main() {
    let judge = Judge::build();
    let link = |mbit, ms: u64| {
        LinkSpec::default().capacity(Capacity::from_mbit(mbit)).delay(Delay::from_nanos(1_000_000_u64 * ms))
    };
    let dumbbell = generate::dumbbell(16, &link(1_000, 1), &link(10_000, 10)).expect("a dumbbell");
    println!(
        "| network, flows | mean FCT: ns-3, ms | here | packet-hops: ns-3 | here | CPU seconds: ns-3 | here | packet-hops a CPU-second: ns-3 | here | times |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    row(&judge, "dumbbell of 16 and 16 hosts, 1,000", &dumbbell, 1_000, Rate::from_mbit(10_000));
    row(&judge, "the baseline, 3,500", &internet2(), 3_500, Rate::from_mbit(100_000));
}

fn row(judge: &Judge, name: &str, topology: &Topology, flows: u32, capacity: Rate) {
    let fabric = Fabric::new(topology).expect("a network");
    let config = SenderConfig::default();
    let sizes = Sizes::paper(config.segment);
    let workload = Workload { flows, load: 0.3, capacity, sizes, segment: config.segment, second: 0.0 };
    let flows = poisson(&workload, fabric.hosts(), 1);
    let counted = judge.run(topology, &flows, &config, true);
    let (mut theirs, mut own) = (f64::MAX, f64::MAX);
    let (mut hops, mut means) = (0, [0.0; 2]);
    for _ in 0..ROUNDS {
        let found = judge.run(topology, &flows, &config, false);
        theirs = theirs.min(found.cpu_seconds);
        let net = fabric.network(1, |link| link).expect("a network");
        let start = cpu_seconds();
        let mut outcome = run(net, &flows, &[config], Limits::default());
        own = own.min(cpu_seconds() - start);
        hops = outcome.net.hops;
        means[1] = mean(&flows, &outcome);
        outcome.finished = found.finished;
        means[0] = mean(&flows, &outcome);
    }
    let [slow, fast] = [counted.hops as f64 / theirs, hops as f64 / own];
    println!(
        "| {name} | {:.1} | {:.1} | {} | {hops} | {theirs:.2} | {own:.3} | {:.0} k | {:.2} M | {:.0} |",
        1e3 * means[0],
        1e3 * means[1],
        counted.hops,
        slow / 1e3,
        fast / 1e6,
        fast / slow
    );
}

fn mean(flows: &[Flow], outcome: &Outcome) -> f64 {
    Summary::of(flows, outcome, |_| true).map_or(f64::NAN, |all| all.over_flows)
}
