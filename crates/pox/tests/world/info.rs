//! Components that tell what is going on.

use super::{SECOND, assert_healthy, configs, launched, line};
use pox::world::World;

fn said(world: &World, component: &str) -> Vec<String> {
    let records = world.core().records().filter(|record| &*record.component == component);
    records.map(|record| record.text.clone()).collect()
}

#[test]
fn packets_are_shown_by_their_layers() {
    for config in configs() {
        let mut world = launched(&line(1), config.clone(), "info.packet_dump");
        world.send_udp("h1", 1000, ([10, 255, 255, 255].into(), 2000), b"hello").unwrap();
        world.run_for(SECOND / 2).unwrap();
        assert_eq!(
            said(&world, "info.packet_dump"),
            ["0000000000000001 port 1: [ethernet][arp]"],
            "{config:?}"
        );
        world.send_udp("h1", 1000, ([255; 4].into(), 2000), b"hello").unwrap();
        world.run_for(SECOND / 2).unwrap();
        let last = said(&world, "info.packet_dump").pop().unwrap();
        assert_eq!(last, "0000000000000001 port 1: [ethernet][ipv4][udp][5 bytes]");
        for (options, shown) in
            [("--show=udp", 1), ("--hide=udp", 0), ("--hide=arp", 1), ("--show=tcp,arp", 0)]
        {
            let mut world = launched(&line(1), config.clone(), &format!("info.packet_dump {options}"));
            world.send_udp("h1", 1000, ([255; 4].into(), 2000), b"hello").unwrap();
            world.run_for(SECOND).unwrap();
            assert_eq!(said(&world, "info.packet_dump").len(), shown, "{options}");
        }
        let mut world = launched(&line(1), config.clone(), "info.packet_dump --verbose --max-length=60");
        world.send_udp("h1", 1000, ([255; 4].into(), 2000), b"hello").unwrap();
        world.run_for(SECOND).unwrap();
        let text = said(&world, "info.packet_dump").pop().unwrap();
        assert!(
            text.starts_with("0000000000000001 port 1: 02:00:00:00:00:01 > ff") && text.len() == 60,
            "{text}"
        );
        assert_healthy(&world);
    }
}

#[test]
fn a_switch_is_told_of_once_and_again_when_it_has_changed() {
    for config in configs() {
        let mut world = launched(&line(2), config.clone(), "info.switch_info");
        let texts = said(&world, "info.switch_info");
        assert_eq!(texts.len(), 2, "{texts:?}");
        let one = texts.iter().find(|text| text.starts_with("switch 0000000000000001\n")).unwrap();
        assert!(one.contains("hardware      software switch") && one.contains("s1-eth1 s1-eth2"), "{one}");
        for _ in 0..2 {
            world.kill_switch("s1").unwrap();
            world.run_for(SECOND).unwrap();
            world.revive_switch("s1").unwrap();
            world.run_for(SECOND).unwrap();
        }
        assert_eq!(said(&world, "info.switch_info").len(), 2);
        world.kill_switch("s1").unwrap();
        world.move_host("h2", "s1", true).unwrap();
        world.run_for(SECOND).unwrap();
        world.revive_switch("s1").unwrap();
        world.run_for(SECOND).unwrap();
        assert_eq!(said(&world, "info.switch_info").len(), 3);
        let mut world = launched(&line(1), config, "info.switch_info --always");
        world.kill_switch("s1").unwrap();
        world.run_for(SECOND).unwrap();
        world.revive_switch("s1").unwrap();
        world.run_for(SECOND).unwrap();
        assert_eq!(said(&world, "info.switch_info").len(), 2);
    }
}

#[test]
fn the_copy_of_the_tables_is_what_the_switches_have() {
    use pox::components::openflow::flow_table::FlowTables;
    for config in configs() {
        let mut world = launched(&line(2), config, "openflow.flow_table --interval=1 forwarding.l2_pairs");
        let switches: Vec<_> = world.core().connections().map(pox::Connection::datapath).collect();
        let flows = |world: &pox::world::World, switch| {
            let tables: &FlowTables = world.core().get("openflow.flow_table").unwrap();
            tables.flows(switch).unwrap().0.len()
        };
        let before: Vec<usize> = switches.iter().map(|switch| flows(&world, *switch)).collect();
        world.ping_within("h1", "h2", SECOND).unwrap().unwrap();
        world.run_for(2 * SECOND).unwrap();
        for (switch, before) in switches.iter().zip(before) {
            assert_eq!(flows(&world, *switch), before + 2, "one for each direction");
        }
        assert_healthy(&world);
    }
}
