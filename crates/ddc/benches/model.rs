//! The checks of `tests/model.rs` with more packets under way, and of all networks of five nodes: `cargo bench -p ddc --bench
//! model`. Takes minutes; prints what was tried.

#[path = "../tests/graphs/mod.rs"]
mod graphs;

use std::time::Instant;

use ddc::explore::{Limits, Report, explore};
use ddc::{BounceTest, Phase, Plan, Priority};

fn main() {
    println!(
        "nodes graphs under-way phase      cuts late connected AEOs      states        steps reversals hops  seconds"
    );
    const ALL: usize = usize::MAX;
    for (nodes, in_flight_max, phase, cuts_max, late, connected, aeos_max) in [
        (4, 4, Phase::Plain, ALL, true, true, 0),
        (4, 2, Phase::Patient(0), ALL, true, true, 0),
        (4, 2, Phase::Patient(1), ALL, true, true, 0),
        (4, 2, Phase::Plain, 3, true, false, 0),
        (4, 1, Phase::Plain, 1, false, true, 1),
        (5, 1, Phase::Plain, ALL, false, true, 0),
        (5, 2, Phase::Plain, 2, true, true, 0),
        (5, 1, Phase::Patient(1), 3, false, true, 0),
    ] {
        let limits = Limits {
            in_flight_max,
            cuts_max,
            connected,
            late,
            aeos_max,
            restores_max: u8::from(aeos_max > 0),
            reversals_max: (nodes * nodes) as u32 * (1 + u32::from(aeos_max)),
            states_max: 20_000_000,
            phase,
            test: BounceTest::Equal,
        };
        let (start, mut total, maps) = (Instant::now(), Report::default(), graphs::connected(nodes));
        for map in &maps {
            match explore(map, &Plan::towards(map, 0, Priority::Nearest), &limits) {
                Ok(report) => total.add(report),
                Err(violation) => panic!("{violation}"),
            }
        }
        let cuts = if cuts_max == ALL { "all".to_owned() } else { cuts_max.to_string() };
        println!(
            "{nodes:5} {:6} {in_flight_max:9} {:10} {cuts:>4} {late:5} {connected:9} {aeos_max:4} {:11} {:12} {:9} {:4} {:8.1}",
            maps.len(),
            format!("{phase:?}"),
            total.states,
            total.steps,
            total.reversals,
            total.hops,
            start.elapsed().as_secs_f64()
        );
    }
}
