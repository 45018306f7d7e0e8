//! Links found, and loops kept open.

use super::{SECOND, assert_healthy, configs, launched, line, ring};
use ::topology::{LinkSpec, Topology, generate};
use pox::components::openflow::discovery::{Discovery, LinkEvent};
use pox::world::{World, WorldConfig};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

fn discovery(world: &World) -> &Discovery {
    world.core().get("openflow.discovery").unwrap()
}

fn links(world: &World) -> Vec<String> {
    discovery(world).two_way_links().map(|link| link.to_string()).collect()
}

/// Links between switches, as the topology has them.
fn between_switches(network: &Topology) -> usize {
    let is_switch = |node| network.node(node).unwrap().kind == ::topology::NodeKind::Switch;
    network.links().filter(|link| is_switch(link.from().node) && is_switch(link.to().node)).count()
}

#[test]
fn every_link_is_found_within_a_second() {
    for config in configs() {
        for network in [line(3), ring(5), generate::fat_tree(4, &LinkSpec::default()).unwrap()] {
            let world = launched(&network, config.clone(), "openflow.discovery");
            let found = discovery(&world);
            assert_eq!(found.two_way_links().count(), between_switches(&network), "{network:?}");
            assert_eq!(found.links().count(), 2 * between_switches(&network));
            assert_healthy(&world);
        }
        let world = launched(&line(2), config, "openflow.discovery");
        assert_eq!(links(&world), ["0000000000000001:1 -> 0000000000000002:1"]);
        let edge = |datapath, port| discovery(&world).is_edge_port(pox::Dpid(datapath), pox::PortNo(port));
        assert!(!edge(1, 1) && edge(1, 2) && !edge(2, 1) && edge(2, 2));
    }
}

#[test]
fn links_that_fail_are_told_of_at_once_or_when_their_time_is_over() {
    for config in configs() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let mut world = launched(&line(3), config, "openflow.discovery --link-timeout=4");
        let events = Rc::clone(&told);
        world.core_mut().listen(
            "openflow.discovery",
            move |(): &mut (), event: &LinkEvent, core: &mut pox::Core| {
                events.borrow_mut().push((core.now(), event.link.from.0.0, event.link.to.0.0, event.added));
            },
        );
        world.run_for(30 * SECOND).unwrap();
        assert!(told.borrow().is_empty(), "links that are there stay: {told:?}");
        let take = || std::mem::take(&mut *told.borrow_mut());
        let failed = world.now();
        world.set_link("s1", "s2", false).unwrap();
        world.run_for(SECOND).unwrap();
        let events = take();
        assert!(
            events.len() == 2 && events.iter().all(|event| !event.3 && event.0 < failed + SECOND / 10),
            "{events:?}"
        );
        world.set_link("s1", "s2", true).unwrap();
        world.run_for(SECOND).unwrap();
        assert!(take().iter().filter(|event| event.3).count() == 2);
        let failed = world.now();
        world.set_link_silently("s2", "s3", false).unwrap();
        world.run_for(10 * SECOND).unwrap();
        let events = take();
        assert!(events.len() == 2 && events.iter().all(|event| event.0 < failed + 5 * SECOND), "{events:?}");
        world.set_link_silently("s2", "s3", true).unwrap();
        world.run_for(3 * SECOND).unwrap();
        assert_eq!(take().len(), 2);
        world.kill_switch("s2").unwrap();
        world.run_for(SECOND).unwrap();
        assert_eq!(take().len(), 4);
        assert_eq!(links(&world), [""; 0]);
    }
}

/// Launch lines under which a ring must not turn into a storm: every component that forwards under each that keeps a tree, and
/// the one that has a tree of its own.
fn loop_free() -> Vec<String> {
    let forwarding =
        ["forwarding.l2_learning", "forwarding.l2_pairs", "forwarding.hub", "forwarding.hub --reactive"];
    let trees = ["openflow.spanning_tree", "openflow.spanning_forest"];
    let lines = trees.iter().flat_map(|tree| {
        forwarding.iter().map(move |forwarding| format!("openflow.discovery {tree} {forwarding}"))
    });
    lines.chain(["openflow.discovery forwarding.l2_flowvisor".into()]).collect()
}

/// In POX one ARP on a ring becomes 1,723 frames within five seconds.
#[test]
fn nothing_goes_round_in_circles() {
    for config in configs() {
        for launch in loop_free() {
            let mut world = World::new(&ring(4), config.clone()).unwrap();
            world.launch(&launch).unwrap();
            // From the very first packet on.
            world.ping("h1", "h3").unwrap();
            world.run_for(Duration::from_millis(20)).unwrap();
            world.ping("h1", "h4").unwrap();
            world.run_for(5 * SECOND).unwrap();
            let before = world.counters().frames;
            world.announce("h1").unwrap();
            world.run_for(SECOND).unwrap();
            let frames = world.counters().frames - before;
            // Up to its switch, over three links of the tree, down to three hosts; and discovery's own.
            assert!((7..40).contains(&frames), "{launch}: {frames} frames");
            for host in ["h2", "h3", "h4"] {
                let (one, received) = (world.host("h1").unwrap().mac, world.host(host).unwrap());
                let since = world.now() - SECOND;
                let copies =
                    received.frames().filter(|(at, frame)| *at >= since && frame[6..12] == one.0).count();
                assert_eq!(copies, 1, "{launch} {host}");
            }
            assert_eq!(world.ping_all(SECOND).unwrap(), (12, 12), "{launch}");
            assert_healthy(&world);
        }
    }
}

#[test]
fn a_tree_that_breaks_grows_anew() {
    for config in configs() {
        for launch in loop_free() {
            let mut world = launched(&ring(4), config.clone(), &launch);
            world.run_for(2 * SECOND).unwrap();
            assert_eq!(world.ping_all(SECOND).unwrap(), (12, 12), "{launch}");
            for (one, other) in [("s1", "s2"), ("s2", "s3"), ("s3", "s4"), ("s4", "s1")] {
                world.set_link(one, other, false).unwrap();
                let took = world.ping_until_answered("h1", "h2", SECOND / 20, 5 * SECOND).unwrap();
                assert!(took.is_some_and(|took| took < SECOND), "{launch} without {one}-{other}: {took:?}");
                // These two may not have needed that link; the others have their time too.
                world.run_for(SECOND / 2).unwrap();
                assert_eq!(world.ping_all(2 * SECOND).unwrap(), (12, 12), "{launch} without {one}-{other}");
                world.set_link(one, other, true).unwrap();
                world.run_for(4 * SECOND).unwrap();
                let before = world.counters().frames;
                world.announce("h1").unwrap();
                world.run_for(SECOND).unwrap();
                let frames = world.counters().frames - before;
                assert!(frames < 40, "{launch} with {one}-{other} again: {frames} frames");
            }
            world.kill_switch("s2").unwrap();
            world.run_for(SECOND).unwrap();
            assert!(
                world.ping_until_answered("h1", "h3", SECOND / 20, 2 * SECOND).unwrap().is_some(),
                "{launch}"
            );
            assert_healthy(&world);
        }
    }
}

#[test]
fn a_dense_network_floods_along_a_tree() {
    let mesh =
        generate::with_hosts(generate::full_mesh(6, &LinkSpec::default()).unwrap(), 1, &LinkSpec::default())
            .unwrap();
    for config in configs() {
        let mut world =
            launched(&mesh, config, "forwarding.l2_learning openflow.spanning_tree openflow.discovery");
        world.run_for(3 * SECOND).unwrap();
        assert_eq!(world.ping_all(SECOND).unwrap(), (30, 30));
        assert_eq!(world.counters().lost, 0);
    }
}

#[test]
fn without_a_tree_a_ring_storms() {
    // What the others are held against: the world does have storms.
    let mut world = launched(&ring(4), WorldConfig::default(), "forwarding.l2_learning");
    world.announce("h1").unwrap();
    world.run_for(5 * SECOND).unwrap();
    assert!(world.counters().frames > 1_000, "{:?}", world.counters());
}

#[test]
fn who_waits_for_links_that_nobody_finds_is_named() {
    let world = launched(&line(1), WorldConfig::default(), "openflow.spanning_tree");
    let told: Vec<String> = world.core().records().map(ToString::to_string).collect();
    let wanted =
        "WARNING core: openflow.spanning_tree waits for openflow.discovery, which nobody has launched";
    assert!(told.iter().any(|text| text == wanted), "{told:?}");
}
