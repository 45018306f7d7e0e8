//! The paper's baseline: `cargo bench -p rc3`; `-- 5` for five seeds instead of twenty.
//!
//! First what the closed form says of one flow and what it takes; then the loaded run, seed by seed, with 95 % confidence intervals;
//! last what a run costs, in CPU time of its thread.

mod clock;

use clock::cpu_seconds;
use rc3::scenario::{BASELINE, Results, Row, Scenario};
use rc3::simulate::{Fabric, Flow, Limits, Outcome, PAPER_SIZES, Sizes, Workload, internet2, poisson, run};
use rc3::{LowConfig, Model, SenderConfig};
use sim::{Rate, Time};

const SEGMENT: u32 = 1_460;

fn main() {
    let seeds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(20);
    let fabric = Fabric::new(&internet2()).expect("the baseline");
    closed_form(&fabric);
    loaded(seeds);
    cost(&fabric);
}

fn configs() -> [SenderConfig; 2] {
    [SenderConfig::default(), SenderConfig::default().with_low(LowConfig::paper())]
}

/// One flow alone, between the hosts that are the farthest apart.
fn closed_form(fabric: &Fabric) {
    let host = |name| fabric.host(name).expect("a host");
    let (from, to) = (host("11"), host("19"));
    let rtt = fabric.round_trip(from, to).expect("a way");
    let model = Model { rtt, rate: Rate::from_mbit(1_000), segment: SEGMENT, initial_window: 4 };
    println!("one flow alone, round trip {} ms\n", rtt.secs_f64() * 1e3);
    println!("| segments | TCP: form, ms | simulated | off, % | RC3: form, ms | simulated | off, % |");
    println!("|---|---|---|---|---|---|---|");
    for (segments, _) in PAPER_SIZES {
        let flow = |config| Flow {
            start: Time::from_secs(100 * u64::from(config)),
            from,
            to,
            bytes: segments * u64::from(SEGMENT),
            config,
        };
        let net = fabric.network(1, |link| link).expect("the baseline");
        let outcome = run(net, &[flow(0), flow(1)], &configs(), Limits::default());
        let cells = [model.tcp(segments), model.rc3(segments)].into_iter().zip(&outcome.finished).map(
            |(form, found)| {
                let (form, found) = (form.secs_f64(), found.map_or(f64::NAN, Time::secs_f64));
                format!("{:.3} | {:.3} | {:+.3}", form * 1e3, found * 1e3, 100.0 * (found / form - 1.0))
            },
        );
        println!("| {segments} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

fn loaded(seeds: u32) {
    let mut scenario = Scenario::parse(BASELINE, &|_| Err(String::new())).expect("it is tested");
    scenario.set_seeds(seeds);
    let results: Results = scenario.run(None, |_| {}).expect("it is tested");
    println!("\n30 % load, 3,500 flows, {seeds} seeds; times in ms, 95 % intervals\n");
    println!(
        "| | over flows | over bytes | up to 4,380 B | to 100 KB | beyond | p99 | less over flows, % | over bytes, % | dropped by level |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for row in &results.rows {
        let Row { over_flows, over_bytes, by_size: [short, middle, long], p99, .. } = row;
        let cell = |found: &Option<rc3::scenario::Interval>, factor: f64| {
            found.map_or("".into(), |found| {
                let interval =
                    found.half_width.map_or(String::new(), |half| format!(" ± {:.2}", factor * half));
                format!("{:.2}{interval}", factor * found.mean)
            })
        };
        let times = [over_flows, over_bytes, short, middle, long, p99].map(|found| cell(found, 1e3));
        let less = [&row.reduction_over_flows, &row.reduction_over_bytes].map(|found| cell(found, 100.0));
        println!("| {} | {} | {} | {:?} |", row.protocol, times.join(" | "), less.join(" | "), row.dropped);
    }
}

fn cost(fabric: &Fabric) {
    println!(
        "\n| one loaded run | packet-hops | events | CPU seconds, least of 5 | packet-hops a CPU-second |"
    );
    println!("|---|---|---|---|---|");
    let capacity = fabric.access();
    let sizes = Sizes::paper(SEGMENT);
    let workload = Workload { flows: 3_500, load: 0.3, capacity, sizes, segment: SEGMENT, second: 0.0 };
    let flows = poisson(&workload, fabric.hosts(), 1);
    for (name, config) in ["TCP", "RC3"].into_iter().zip(configs()) {
        let (mut least, mut last) = (f64::MAX, Outcome::default());
        for _ in 0..5 {
            let start = cpu_seconds();
            let net = fabric.network(1, |link| link).expect("the baseline");
            last = run(net, &flows, &[config], Limits::default());
            least = least.min(cpu_seconds() - start);
        }
        let (hops, events) = (last.net.hops, last.net.events);
        println!("| {name} | {hops} | {events} | {least:.2} | {:.1} M |", hops as f64 / least / 1e6);
    }
}
