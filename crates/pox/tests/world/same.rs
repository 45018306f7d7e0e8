//! The same seed gives the same run.

use super::{SECOND, configs, ring};
use pox::world::{World, WorldConfig};

/// All that is said and counted in a run.
fn run(config: WorldConfig) -> Vec<String> {
    let mut world = World::new(&ring(4), config).unwrap();
    world.core_mut().set_log_level(pox::Level::Debug);
    world.launch("forwarding.l2_learning openflow.of_01 info.switch_info info.packet_dump").unwrap();
    world.set_link("s1", "s4", false).unwrap();
    world.run_for(SECOND).unwrap();
    world.ping_all(SECOND).unwrap();
    world.move_host("h2", "s3", true).unwrap();
    world.kill_switch("s4").unwrap();
    world.ping_all(SECOND).unwrap();
    let mut all: Vec<String> =
        world.core().records().map(|record| format!("{:?} {record}", record.at)).collect();
    all.push(format!("{:?}", world.counters()));
    all
}

#[test]
fn a_run_is_repeated_by_its_seed() {
    for config in configs() {
        let once = run(config.clone());
        assert!(once.len() > 100, "{}", once.len());
        assert_eq!(once, run(config.clone()));
        assert_ne!(once, run(WorldConfig { seed: 2, ..config }));
    }
}
