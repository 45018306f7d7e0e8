//! Shortest paths over many switches.

use super::{SECOND, assert_healthy, configs, launched, line, ring};
use ::topology::{LinkSpec, generate};
use pox::components::forwarding::l2_multi::L2Multi;
use pox::world::World;

const LAUNCH: &str = "openflow.discovery forwarding.l2_multi";

fn packet_ins(world: &World) -> u64 {
    world.core().connections().map(|connection| connection.counters().packet_ins).sum()
}

/// In POX nothing is ever flooded under a switch that keeps no packets: its packet-out has neither buffer nor packet.
#[test]
fn everybody_reaches_everybody_loops_or_not() {
    for config in configs() {
        for network in [line(3), ring(4), generate::fat_tree(4, &LinkSpec::default()).unwrap()] {
            let hosts = network.nodes().filter(|node| node.kind == ::topology::NodeKind::Host).count();
            let mut world = launched(&network, config.clone(), LAUNCH);
            world.run_for(2 * SECOND).unwrap();
            let all = hosts * (hosts - 1);
            assert_eq!(world.ping_all(SECOND).unwrap(), (all, all), "{config:?}");
            assert_healthy(&world);
        }
    }
}

#[test]
fn nothing_loops_and_known_flows_need_no_controller() {
    for config in configs() {
        let mut world = launched(&ring(6), config, LAUNCH);
        world.run_for(2 * SECOND).unwrap();
        world.announce("h1").unwrap();
        world.run_for(SECOND / 2).unwrap();
        let announced = world.host("h1").unwrap().mac;
        // Discovery's frames come there too.
        let copies =
            world.host("h4").unwrap().frames().filter(|(_, frame)| frame[6..12] == announced.0).count();
        assert_eq!(copies, 1);
        let first = world.ping_within("h1", "h3", SECOND).unwrap().unwrap();
        world.run_for(SECOND / 10).unwrap(); // the path is set up
        let before = packet_ins(&world);
        let second = world.ping_within("h1", "h3", SECOND / 20).unwrap().unwrap();
        // Discovery's frames come in all the time.
        assert!(packet_ins(&world) - before <= 2);
        assert!(
            second < first && second == 8 * pox::world::LINK_DELAY,
            "two hops and two hosts, there and back: {second:?}"
        );
    }
}

#[test]
fn a_host_that_moves_is_found_within_a_second() {
    for config in configs() {
        for seen in [true, false] {
            let mut world = launched(&ring(4), config.clone(), LAUNCH);
            world.run_for(2 * SECOND).unwrap();
            assert_eq!(world.ping_all(SECOND).unwrap(), (12, 12));
            world.move_host("h1", "s3", seen).unwrap();
            if !seen {
                // Nobody but the host can tell; not before its port cannot lead to a switch any more.
                world.run_for(SECOND * 6 / 10).unwrap();
                world.announce("h1").unwrap();
            }
            for from in ["h2", "h3", "h4"] {
                let took = world.ping_until_answered(from, "h1", SECOND / 20, 10 * SECOND).unwrap();
                assert!(took.is_some_and(|took| took < SECOND), "{from} seen {seen}: {took:?}");
            }
            let multi: &L2Multi = world.core().get("forwarding.l2_multi").unwrap();
            assert_eq!(
                multi.place_of(world.host("h1").unwrap().mac).unwrap().0,
                world.datapath("s3").unwrap()
            );
        }
    }
}

#[test]
fn paths_lead_round_what_has_failed() {
    for config in configs() {
        let mut world = launched(&ring(5), config, LAUNCH);
        world.run_for(2 * SECOND).unwrap();
        assert_eq!(world.ping_all(SECOND).unwrap(), (20, 20));
        world.set_link("s1", "s2", false).unwrap();
        let took = world.ping_until_answered("h1", "h2", SECOND / 20, 10 * SECOND).unwrap();
        assert!(took.is_some_and(|took| took < SECOND), "{took:?}");
        world.set_link("s1", "s2", true).unwrap();
        world.run_for(SECOND).unwrap();
        world.kill_switch("s5").unwrap();
        world.run_for(SECOND).unwrap();
        for (from, to) in [("h1", "h4"), ("h4", "h1"), ("h2", "h3")] {
            assert!(
                world.ping_until_answered(from, to, SECOND / 20, SECOND).unwrap().is_some(),
                "{from} to {to}"
            );
        }
        assert_healthy(&world);
    }
}
