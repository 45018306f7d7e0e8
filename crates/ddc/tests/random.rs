//! The properties of the protocol on networks of up to 200 nodes: random schedules with loss, cuts at any time, and ends that
//! notice them late.

use ddc::explore::{Limits, sweep, wander};
use ddc::{BounceTest, Map, Phase, Plan, Priority};
use proptest::prelude::*;
use topology::{LinkSpec, generate, paths};

fn network() -> impl Strategy<Value = Map> {
    let link = LinkSpec::default();
    let map = |topology| Map::new(&topology, paths::by_hops).expect("undirected");
    (0..3, 6_u32..=200, any::<u64>()).prop_map(move |(model, nodes, seed)| {
        let topology = match model {
            0 => generate::waxman(nodes, 0.3, 0.2, seed, &link),
            1 => generate::barabasi_albert(nodes, 2, seed, &link),
            _ => generate::erdos_renyi(nodes, 3.0 / f64::from(nodes), seed, &link),
        };
        map(topology.expect("the parameters are in range"))
    })
}

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![Just(Phase::Plain), (0_u8..30).prop_map(Phase::Patient)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_arrive(map in network(), phase in phase(), detour: bool, seed: u64) {
        let priority = if detour { Priority::Detour } else { Priority::Nearest };
        let plan = Plan::towards(&map, 0, priority);
        let nodes = map.node_count() as u32;
        let limits = Limits {
            in_flight_max: 12,
            cuts_max: 12,
            connected: true,
            late: true,
            aeos_max: 0,
            restores_max: 0,
            reversals_max: nodes * nodes,
            states_max: 0,
            phase,
            any: false,
            test: BounceTest::Equal,
        };
        let result = wander(&map, &plan, &limits, 1500, 12 * nodes * nodes, seed);
        result.map_err(|wrong| TestCaseError::fail(wrong.to_string()))?;
    }
    #[test]
    fn heartbeats_make_ways_shortest(map in network(), seed: u64) {
        let plan = Plan::towards(&map, 0, Priority::Nearest);
        let nodes = map.node_count() as u32;
        let limits = Limits {
            in_flight_max: 12,
            cuts_max: 12,
            connected: true,
            late: true,
            aeos_max: 30,
            restores_max: 6,
            reversals_max: 31 * nodes * nodes,
            states_max: 0,
            phase: Phase::Plain,
            any: false,
            test: BounceTest::Equal,
        };
        let result = sweep(&map, &plan, &limits, 1500, 400 * nodes * nodes, seed);
        result.map_err(|wrong| TestCaseError::fail(wrong.to_string()))?;
    }
}
