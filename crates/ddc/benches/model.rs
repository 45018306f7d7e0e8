//! The checks of `tests/model.rs` with more packets under way, and of all networks of five nodes: `cargo bench -p ddc --bench
//! model`. Prints what was tried as it goes; `-- WORD…` tries only the rows that have all the words in them.

#[path = "../tests/graphs/mod.rs"]
mod graphs;

use std::time::Instant;

use ddc::explore::{Limits, Report, explore};
use ddc::{BounceTest, Phase, Plan, Priority};

const ALL: usize = usize::MAX;

/// What is tried, and whether of all first graphs and priorities at once.
type Row = (usize, bool, usize, Phase, usize, bool, bool, u8);

const ROWS: [Row; 20] = [
    (2, true, 6, Phase::Plain, ALL, true, true, 0),
    (3, true, 6, Phase::Plain, ALL, true, true, 0),
    (4, true, 1, Phase::Plain, ALL, true, true, 0),
    (4, true, 2, Phase::Plain, ALL, true, true, 0),
    (4, true, 3, Phase::Plain, ALL, true, true, 0),
    (4, true, 4, Phase::Plain, ALL, true, true, 0),
    (4, false, 3, Phase::Plain, ALL, true, true, 0),
    (4, true, 2, Phase::Plain, ALL, true, false, 0),
    (4, false, 1, Phase::Patient(0), ALL, true, true, 0),
    (4, false, 2, Phase::Patient(1), ALL, true, true, 0),
    (4, false, 1, Phase::Plain, 1, false, true, 1),
    (4, false, 1, Phase::Plain, 1, true, true, 1),
    (5, true, 1, Phase::Plain, 1, true, true, 0),
    (5, true, 1, Phase::Plain, 2, true, true, 0),
    (5, true, 1, Phase::Plain, ALL, false, true, 0),
    (5, true, 1, Phase::Plain, ALL, true, true, 0),
    (5, true, 2, Phase::Plain, ALL, false, true, 0),
    (5, true, 2, Phase::Plain, ALL, true, true, 0),
    (5, false, 1, Phase::Patient(1), 1, false, true, 0),
    (5, false, 1, Phase::Plain, 0, false, true, 1),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    println!(
        "nodes searches links under-way phase      cuts  noticed connected AEOs      states        steps   stages reversals hops  seconds"
    );
    for (nodes, any, in_flight_max, phase, cuts_max, late, connected, aeos_max) in ROWS {
        let cuts = if cuts_max == ALL { "all".to_owned() } else { cuts_max.to_string() };
        let choice = if any { "any" } else { "plan" };
        let noticed = if late { "late" } else { "at-once" };
        let phase_name = format!("{phase:?}");
        let name = |searches: usize| {
            format!(
                "{nodes:5} {searches:8} {choice:5} {in_flight_max:9} {phase_name:10} {cuts:>4} {noticed:>8} {connected:9} {aeos_max:4}"
            )
        };
        if !words.iter().all(|word| name(0).split_whitespace().any(|part| part == word)) {
            continue;
        }
        let limits = Limits {
            in_flight_max,
            cuts_max,
            connected,
            late,
            aeos_max,
            restores_max: u8::from(aeos_max > 0 && cuts_max > 0),
            reversals_max: (nodes * nodes) as u32 * (1 + u32::from(aeos_max)),
            states_max: 1 << 30,
            phase,
            any,
            test: BounceTest::Equal,
        };
        let maps = if any { vec![graphs::complete(nodes)] } else { graphs::connected(nodes) };
        let (start, mut total) = (Instant::now(), Report::default());
        for map in &maps {
            match explore(map, &Plan::towards(map, 0, Priority::Nearest), &limits) {
                Ok(report) => total.add(report),
                Err(violation) => panic!("{}\n{violation}", name(maps.len())),
            }
        }
        println!(
            "{} {:11} {:12} {:8} {:9} {:4} {:8.1}",
            name(maps.len()),
            total.states,
            total.steps,
            total.stages,
            total.reversals,
            total.hops,
            start.elapsed().as_secs_f64()
        );
    }
}
