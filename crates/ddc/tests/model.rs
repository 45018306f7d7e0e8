//! The properties of the protocol, over every schedule of every small network, with loss and cuts at any time.

mod graphs;

use std::time::Instant;

use ddc::explore::{Limits, Report, Violation, explore};
use ddc::{BounceTest, Phase, Plan, Priority, SCOUT_HOPS, Scout};

/// Patience 1 and 0 bring scouts into every network; a scout from the start meets every failure.
const PHASES: [Phase; 4] =
    [Phase::Plain, Phase::Patient(1), Phase::Patient(0), Phase::Scout(Scout::new(SCOUT_HOPS))];

fn limits(nodes: usize, in_flight_max: usize, phase: Phase) -> Limits {
    Limits {
        in_flight_max,
        cuts_max: usize::MAX,
        connected: true,
        late: true,
        aeos_max: 0,
        restores_max: 0,
        reversals_max: (nodes * nodes) as u32,
        states_max: 20_000_000,
        phase,
        any: false,
        test: BounceTest::Equal,
    }
}

/// Explores every connected graph of so many nodes, and says what was tried.
fn all(nodes: usize, limits: &Limits) -> Result<Report, Violation> {
    let (start, mut total, mut graphs) = (Instant::now(), Report::default(), 0);
    for map in graphs::connected(nodes) {
        total.add(explore(&map, &Plan::towards(&map, 0, Priority::Nearest), limits)?);
        graphs += 1;
    }
    let (in_flight, phase, connected) = (limits.in_flight_max, limits.phase, limits.connected);
    println!(
        "{nodes} nodes, {graphs} graphs, {in_flight} under way, {phase:?}, connected {connected}: {total:?}, {:.1?}",
        start.elapsed()
    );
    Ok(total)
}

/// Explores all connected graphs of so many nodes, first graphs and priorities at once, as the complete graph, and says what
/// was tried.
fn at_once(nodes: usize, limits: &Limits) -> Result<Report, Violation> {
    let (start, map) = (Instant::now(), graphs::complete(nodes));
    let plan = Plan::towards(&map, 0, Priority::Nearest);
    let report = explore(&map, &plan, &Limits { any: true, ..*limits })?;
    let (in_flight, cuts) = (limits.in_flight_max, limits.cuts_max);
    println!(
        "{nodes} nodes at once, {in_flight} under way, {cuts} cuts: {report:?}, {:.1?}",
        start.elapsed()
    );
    Ok(report)
}

fn holds(nodes: usize, limits: &Limits) {
    if let Err(violation) = all(nodes, limits) {
        panic!("{violation}");
    }
}

#[test]
fn every_schedule_of_up_to_three_nodes() {
    for nodes in 2..=3 {
        for phase in PHASES {
            for in_flight_max in 1..=3 {
                holds(nodes, &limits(nodes, in_flight_max, phase));
                holds(nodes, &Limits { connected: false, ..limits(nodes, in_flight_max, phase) });
            }
        }
    }
}

#[test]
fn every_schedule_of_four_nodes() {
    holds(4, &limits(4, 3, Phase::Plain));
    for phase in &PHASES[1..] {
        holds(4, &limits(4, 1, *phase));
    }
    holds(4, &Limits { connected: false, cuts_max: 3, ..limits(4, 1, Phase::Plain) });
    at_once(4, &limits(4, 3, Phase::Plain)).unwrap_or_else(|violation| panic!("{violation}"));
}

/// A slice of what `cargo bench -p ddc --bench model` tries. Every connected graph is the complete one less some links, which
/// may be cut before the first packet; with all cuts that is all graphs, with fewer those that lack fewer links.
#[test]
fn schedules_of_five_nodes() {
    let five = limits(5, 1, Phase::Plain);
    for some in [
        Limits { late: false, ..five },
        Limits { cuts_max: 4, ..five },
        Limits { in_flight_max: 2, cuts_max: 3, ..five },
    ] {
        at_once(5, &some).unwrap_or_else(|violation| panic!("{violation}"));
    }
    holds(5, &Limits { cuts_max: 1, ..limits(5, 1, Phase::Patient(1)) });
}

/// AEOs at any node and time, links that are cut in their midst and come back.
#[test]
fn every_schedule_with_virtual_nodes() {
    for nodes in 2..=3 {
        let some = Limits { aeos_max: 2, restores_max: 1, ..limits(nodes, 1, Phase::Plain) };
        holds(nodes, &Limits { reversals_max: 3 * some.reversals_max, ..some });
    }
    let four = limits(4, 1, Phase::Plain);
    holds(
        4,
        &Limits { aeos_max: 1, cuts_max: 1, late: false, reversals_max: 2 * four.reversals_max, ..four },
    );
}

/// Node 1 leads nodes 2 and 3 to the destination, node 3 prefers node 2, and the way that is left begins at node 4. Once the
/// link between 0 and 1 is cut, node 1 reverses both of its links and sends to 2 or 3, whichever comes first; the packet comes
/// round to it over the link whose reversal it has not announced.
fn detour() -> ddc::Map {
    graphs::map_of(6, &[(0, 1), (1, 2), (1, 3), (2, 3), (2, 4), (4, 5), (5, 0)])
}

/// The paper prints the test for bouncing with `!=` where it must say `==`. Up to five nodes no schedule tells the two
/// apart; here one cut and one packet do.
#[test]
fn the_misprint_of_the_paper_is_caught() {
    let map = detour();
    let one = Limits { cuts_max: 1, ..limits(6, 1, Phase::Plain) };
    let plan = Plan::towards(&map, 0, Priority::Nearest);
    explore(&map, &plan, &one).unwrap_or_else(|violation| panic!("{violation}"));
    let wrong = explore(&map, &plan, &Limits { test: BounceTest::Misprinted, ..one });
    assert!(matches!(wrong, Err(Violation::Endless(_))), "{wrong:?}");
}
