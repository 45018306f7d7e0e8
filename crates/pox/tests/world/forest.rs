//! Trees that change as little as they can, and a tree in a slice whose ports cannot be told anything.

use super::{SECOND, assert_healthy, configs, launched, ring, with_hosts};
use ::topology::{LinkSpec, NodeSpec, Topology, generate};
use openflow::message::Body;
use pox::components::openflow::discovery::Discovery;
use pox::world::{World, WorldConfig};
use pox::{Direction, FloodChanged, OPENFLOW, Raw};
use std::cell::Cell;
use std::rc::Rc;

const FOREST: &str = "openflow.discovery openflow.spanning_forest forwarding.l2_learning";
const TREE: &str = "openflow.discovery openflow.spanning_tree forwarding.l2_learning";
const SLICE: &str = "openflow.discovery forwarding.l2_flowvisor";

/// Frames that one broadcast becomes, discovery's own among them.
fn broadcast(world: &mut World) -> u64 {
    let before = world.counters().frames;
    world.announce("h1").unwrap();
    world.run_for(SECOND).unwrap();
    world.counters().frames - before
}

/// How often a port is opened or closed for floods.
fn flood_changes(world: &mut World) -> Rc<Cell<u32>> {
    let changes = Rc::new(Cell::new(0));
    let count = Rc::clone(&changes);
    let note = move |(): &mut (), _: &FloodChanged, _: &mut pox::Core| count.set(count.get() + 1);
    world.core_mut().listen(OPENFLOW, note);
    changes
}

#[test]
fn a_link_that_comes_moves_nothing() {
    for config in configs() {
        let changes = |launch: &str| {
            let mut world = World::new(&ring(6), config.clone()).unwrap();
            world.launch(launch).unwrap();
            // The tree is made without the link that would be the first choice.
            world.set_link("s1", "s2", false).unwrap();
            world.run_for(4 * SECOND).unwrap();
            assert_eq!(world.ping_all(SECOND).unwrap(), (30, 30), "{launch}");
            let changes = flood_changes(&mut world);
            world.set_link("s1", "s2", true).unwrap();
            world.run_for(4 * SECOND).unwrap();
            assert!(broadcast(&mut world) < 40);
            assert_eq!(world.ping_all(SECOND).unwrap(), (30, 30), "{launch}");
            assert_healthy(&world);
            changes.get()
        };
        assert_eq!(changes(FOREST), 0, "the ports of the new link were closed, and stay so");
        assert!(changes(TREE) > 0, "what it is held against");
        let unstable = "openflow.discovery openflow.spanning_forest --mode=unstable forwarding.l2_learning";
        assert!(changes(unstable) > 0);
    }
}

#[test]
fn every_mode_keeps_loops_out() {
    for config in configs() {
        for mode in ["stable", "unstable", "randomized --seed=7", "nx"] {
            let launch = format!(
                "openflow.discovery openflow.spanning_forest --mode={mode} --hold-down=0.5 forwarding.l2_learning"
            );
            let mesh = with_hosts(generate::full_mesh(4, &LinkSpec::default()).unwrap(), 1);
            let mut world = World::new(&mesh, config.clone()).unwrap();
            world.launch(&launch).unwrap();
            world.ping("h1", "h3").unwrap();
            world.run_for(3 * SECOND).unwrap();
            assert!(broadcast(&mut world) < 60, "{launch}");
            assert_eq!(world.ping_all(SECOND).unwrap(), (12, 12), "{launch}");
            world.kill_switch("s2").unwrap();
            world.run_for(2 * SECOND).unwrap();
            assert!(broadcast(&mut world) < 60, "{launch}");
            for (from, to) in [("h1", "h3"), ("h3", "h4"), ("h4", "h1")] {
                assert!(world.ping_within(from, to, SECOND).unwrap().is_some(), "{launch}: {from} to {to}");
            }
            assert_healthy(&world);
        }
    }
}

/// Two rings of three switches, each with a host, and nothing between them.
fn two_rings() -> Topology {
    let mut network = Topology::new();
    for half in 0..2 {
        let switches: Vec<_> = (1..=3)
            .map(|n| network.add_node(NodeSpec::switch(format!("s{}", 3 * half + n))).unwrap())
            .collect();
        for (one, other) in [(0, 1), (1, 2), (2, 0)] {
            network.add_link(switches[one], switches[other], LinkSpec::default()).unwrap();
        }
        for (n, switch) in (1..).zip(switches) {
            let host = network.add_node(NodeSpec::host(format!("h{}", 3 * half + n))).unwrap();
            network.add_link(switch, host, LinkSpec::default()).unwrap();
        }
    }
    network
}

#[test]
fn networks_apart_have_a_tree_each() {
    for config in configs() {
        let mut world = launched(&two_rings(), config, FOREST);
        world.run_for(2 * SECOND).unwrap();
        assert_eq!(world.ping_all(SECOND).unwrap(), (12, 30), "six pairs in each half, both ways");
        assert!(broadcast(&mut world) < 40);
        world.set_link("s4", "s5", false).unwrap();
        world.run_for(SECOND).unwrap();
        assert_eq!(world.ping_all(SECOND).unwrap(), (12, 30));
        assert_healthy(&world);
    }
}

/// A link that lets nothing through, though both ends have carrier, and then does again: between the first frame and the next
/// probe nothing must go round.
#[test]
fn a_link_that_comes_back_unseen_closes_no_ring() {
    for config in configs() {
        for launch in [FOREST, TREE, SLICE] {
            let mut world = launched(&ring(3), config.clone(), launch);
            world.run_for(3 * SECOND).unwrap();
            assert_eq!(world.ping_all(SECOND).unwrap(), (6, 6), "{launch}");
            for (one, other) in [("s1", "s2"), ("s2", "s3"), ("s3", "s1")] {
                world.set_link_silently(one, other, false).unwrap();
                world.run_for(20 * SECOND).unwrap();
                let discovery: &Discovery = world.core().get("openflow.discovery").unwrap();
                assert_eq!(discovery.two_way_links().count(), 2);
                assert_eq!(world.ping_all(SECOND).unwrap(), (6, 6), "{launch} without {one}-{other}");
                world.set_link_silently(one, other, true).unwrap();
                assert!(broadcast(&mut world) < 40, "{launch} with {one}-{other} again");
                world.run_for(10 * SECOND).unwrap();
                assert!(broadcast(&mut world) < 40, "{launch} with {one}-{other} again");
                assert_eq!(world.ping_all(SECOND).unwrap(), (6, 6), "{launch} with {one}-{other} again");
            }
            assert_healthy(&world);
        }
    }
}

#[test]
fn two_that_keep_trees_are_one_too_many() {
    for line in
        ["openflow.spanning_tree openflow.spanning_forest", "openflow.spanning_forest openflow.spanning_tree"]
    {
        let mut world = World::new(&ring(3), WorldConfig::default()).unwrap();
        let error = world.launch(line).unwrap_err().to_string();
        assert!(error.ends_with("keeps the floods already: launch one of them"), "{error}");
    }
    let mut world = World::new(&ring(3), WorldConfig::default()).unwrap();
    let error = world.launch("openflow.spanning_forest --mode=fast").unwrap_err().to_string();
    assert!(error.contains("the modes are stable, unstable, randomized, nx"), "{error}");
}

#[test]
fn a_slice_is_told_nothing_of_its_ports() {
    for config in configs() {
        let told = |launch: &str| {
            let mut world = World::new(&ring(4), config.clone()).unwrap();
            let told = Rc::new(Cell::new(0));
            let count = Rc::clone(&told);
            world.core_mut().listen(OPENFLOW, move |(): &mut (), event: &Raw, _: &mut pox::Core| {
                let is_port = matches!(event.message.body, Body::PortMod(_));
                count.set(count.get() + u32::from(is_port && event.direction == Direction::Sent));
            });
            world.launch(launch).unwrap();
            world.ping("h1", "h3").unwrap();
            world.run_for(4 * SECOND).unwrap();
            assert_eq!(world.ping_all(SECOND).unwrap(), (12, 12));
            assert_healthy(&world);
            told.get()
        };
        assert_eq!(told(SLICE), 0);
        if config.versions == [openflow::Version::V10] {
            assert!(told(TREE) > 0, "what it is held against");
        }
    }
}

#[test]
fn in_a_slice_pairs_need_no_controller_and_hosts_may_move() {
    for config in configs() {
        let mut world = launched(&ring(4), config, SLICE);
        world.run_for(2 * SECOND).unwrap();
        assert_eq!(world.ping_all(SECOND).unwrap(), (12, 12));
        let first = world.ping_within("h1", "h3", SECOND).unwrap().unwrap();
        assert!(first <= 10 * pox::world::LINK_DELAY, "by the switches' own flows: {first:?}");
        world.move_host("h1", "s3", true).unwrap();
        // Its new port may be another switch's for a second.
        world.run_for(SECOND * 11 / 10).unwrap();
        world.announce("h1").unwrap();
        let took = world.ping_until_answered("h2", "h1", SECOND / 20, 5 * SECOND).unwrap();
        assert!(took.is_some_and(|took| took < SECOND), "{took:?}");
        assert_healthy(&world);
    }
}
