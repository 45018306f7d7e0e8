//! Routers on switches that tell one another their routes.

use super::{SECOND, assert_healthy, configs, line, ring};
use ::topology::{LinkSpec, NodeKind, Topology, generate};
use pox::components::proto::rip::Rip;
use pox::components::proto::rip::prefix::Prefix;
use pox::world::{World, WorldConfig};
use std::net::Ipv4Addr;

/// A router on every switch. Host N is 10.N.0.2/24 behind router N, 10.N.0.1; between routers A and B is 172.A.B.0/24.
fn routers(network: &Topology, config: WorldConfig, options: &str) -> World {
    let mut world = World::new(network, config).unwrap();
    let names: Vec<String> = network
        .nodes()
        .filter(|node| node.kind == NodeKind::Switch)
        .map(|node| node.name().to_owned())
        .collect();
    let mut launch = String::new();
    for (own, name) in (1..).zip(&names) {
        let mut interfaces = Vec::new();
        for (other, peer) in (1..).zip(&names).filter(|(other, _)| *other != own) {
            let Ok(port) = world.port_to(name, peer) else { continue };
            let (low, high): (u32, u32) = (own.min(other), own.max(other));
            interfaces.push(format!("{}=172.{low}.{high}.{own}/24", port.0));
        }
        let host = format!("h{own}");
        if let Ok(port) = world.port_to(name, &host) {
            // By its name this time.
            interfaces.push(format!("{name}-eth{}=10.{own}.0.1/24", port.0));
            let host = world.host_mut(&host).unwrap();
            (host.ip, host.prefix) = (Ipv4Addr::new(10, own as u8, 0, 2), 24);
            host.gateway = Some(Ipv4Addr::new(10, own as u8, 0, 1));
        }
        launch += &format!(" proto.rip --switch={own:x} --interfaces={} {options}", interfaces.join(","));
    }
    world.launch(&launch).unwrap();
    world
}

fn router(world: &World, number: u32) -> &Rip {
    let name = if number == 1 { "proto.rip".into() } else { format!("proto.rip-{number}") };
    world.core().get(&name).unwrap()
}

/// The metric of a network at a router; `None` where it knows none.
fn metric(world: &World, number: u32, network: &str) -> Option<u8> {
    let network: Prefix = network.parse().unwrap();
    router(world, number).routes().find(|(prefix, _)| *prefix == network).map(|(_, route)| route.metric)
}

fn sent(world: &World, routers: u32) -> u64 {
    (1..=routers).map(|number| router(world, number).counters().sent).sum()
}

#[test]
fn hosts_reach_one_another_over_routers() {
    for config in configs() {
        for network in [line(4), ring(4)] {
            let mut world = routers(&network, config.clone(), "");
            world.run_for(10 * SECOND).unwrap();
            assert_eq!(world.ping_all(SECOND).unwrap(), (12, 12), "{config:?}");
            for number in 1..=4 {
                let counters = router(&world, number).counters();
                assert_eq!((counters.malformed, counters.refused), (0, 0), "{counters:?}");
            }
            assert_healthy(&world);
        }
        let mut world = routers(&line(4), config, "");
        world.run_for(10 * SECOND).unwrap();
        assert_eq!(metric(&world, 1, "10.4.0.0/24"), Some(4));
        world.ping_within("h1", "h4", SECOND).unwrap().unwrap();
        let packet_ins = |world: &World| -> u64 {
            world.core().connections().map(|connection| connection.counters().packet_ins).sum()
        };
        let before = packet_ins(&world);
        let took = world.ping_within("h1", "h4", SECOND / 10).unwrap().unwrap();
        assert_eq!(
            (took, packet_ins(&world)),
            (10 * pox::world::LINK_DELAY, before),
            "by the switches alone"
        );
        let (_, frame) =
            world.host("h4").unwrap().frames().filter(|(_, frame)| frame[23] == 1).last().unwrap();
        assert_eq!(frame[22], 60, "four routers have taken one off the TTL each");
        assert!(packet::wire::ipv4::View::new_checked(&frame[14..]).unwrap().verify_checksum());
    }
}

#[test]
fn routers_answer_pings_and_what_leads_nowhere_is_dropped() {
    for config in configs() {
        let mut world = routers(&line(2), config, "");
        world.run_for(5 * SECOND).unwrap();
        for address in [[10, 1, 0, 1], [172, 1, 2, 2], [10, 2, 0, 1]] {
            let place = world.ping_address("h1", address.into()).unwrap();
            world.run_for(SECOND).unwrap();
            assert!(world.host("h1").unwrap().pings()[place].answered.is_some(), "{address:?}");
        }
        // Nobody there; no such network; nobody's broadcast address.
        for address in [[10, 2, 0, 77], [10, 9, 0, 1], [10, 2, 0, 255]] {
            let place = world.ping_address("h1", address.into()).unwrap();
            world.run_for(5 * SECOND).unwrap();
            assert!(world.host("h1").unwrap().pings()[place].answered.is_none(), "{address:?}");
        }
        assert_eq!(world.ping_all(SECOND).unwrap(), (2, 2));
        assert_healthy(&world);
    }
}

#[test]
fn routes_lead_round_what_has_failed() {
    for config in configs() {
        let mut world = routers(&ring(4), config, "");
        world.run_for(10 * SECOND).unwrap();
        assert_eq!(metric(&world, 1, "10.2.0.0/24"), Some(2));
        world.set_link("s1", "s2", false).unwrap();
        let took = world.ping_until_answered("h1", "h2", SECOND / 10, 40 * SECOND).unwrap();
        assert!(took.is_some_and(|took| took < 40 * SECOND), "{took:?}");
        assert_eq!(metric(&world, 1, "10.2.0.0/24"), Some(4));
        world.set_link("s1", "s2", true).unwrap();
        world.run_for(SECOND).unwrap();
        assert_eq!(metric(&world, 1, "10.2.0.0/24"), Some(2), "asked for as soon as the link is back");
        // Nobody sees this one fail: what came that way holds for 180 s, and not longer.
        world.set_link_silently("s1", "s2", false).unwrap();
        world.run_for(140 * SECOND).unwrap();
        assert_eq!(world.ping_within("h1", "h2", SECOND).unwrap(), None);
        world.run_for(110 * SECOND).unwrap();
        assert_eq!(metric(&world, 1, "10.2.0.0/24"), Some(4));
        assert!(world.ping_within("h1", "h2", SECOND).unwrap().is_some());
        // A switch that is powered on again has everything anew.
        world.kill_switch("s3").unwrap();
        world.run_for(SECOND).unwrap();
        world.revive_switch("s3").unwrap();
        world.run_for(10 * SECOND).unwrap();
        assert!(world.ping_until_answered("h1", "h3", SECOND, 10 * SECOND).unwrap().is_some());
        assert_healthy(&world);
    }
}

/// Three routers in a ring may still count, poison or not (RFC 2453, §3.4.3): a network is lost while one of them cannot hear
/// it, and tells the next of it.
#[test]
fn counting_ends_at_sixteen() {
    for config in configs() {
        let mut world = routers(&ring(3), config, "");
        world.run_for(40 * SECOND).unwrap();
        assert_eq!(
            [1, 2, 3].map(|number| metric(&world, number, "10.1.0.0/24")),
            [Some(1), Some(2), Some(2)]
        );
        let before = sent(&world, 3);
        world.set_link_silently("s1", "s2", false).unwrap();
        world.set_link("s1", "h1", false).unwrap();
        // Router 2 has not heard of it, and tells 3, which tells 1.
        let counted = world.now() + 60 * SECOND;
        world
            .run_until(counted, |world| metric(world, 1, "10.1.0.0/24").is_some_and(|metric| metric == 4))
            .unwrap();
        assert_eq!(metric(&world, 1, "10.1.0.0/24"), Some(4), "they do count");
        world.set_link_silently("s1", "s2", true).unwrap();
        let end = world.now() + 200 * SECOND;
        let lost = |world: &World| {
            (1..=3).all(|number| metric(world, number, "10.1.0.0/24").is_none_or(|metric| metric == 16))
        };
        assert!(world.run_until(end, lost).unwrap(), "all have it out of reach");
        assert!(
            world
                .run_until(end + 150 * SECOND, |world| {
                    (1..=3).all(|number| metric(world, number, "10.1.0.0/24").is_none())
                })
                .unwrap()
        );
        let messages = sent(&world, 3) - before;
        assert!(messages < 400, "{messages} messages");
        assert_eq!(world.ping_within("h2", "h3", SECOND).unwrap().map(|_| ()), Some(()), "the others go on");
        assert_healthy(&world);
    }
}

#[test]
fn sixteen_routers_agree_and_then_say_no_more_than_they_must() {
    let grid = generate::grid(4, 4, &LinkSpec::default()).unwrap();
    let grid = generate::with_hosts(grid, 1, &LinkSpec::default()).unwrap();
    let mut world = routers(&grid, WorldConfig::default(), "");
    world.run_for(40 * SECOND).unwrap();
    for number in 1..=16 {
        let reachable = router(&world, number).routes().filter(|(_, route)| route.is_reachable()).count();
        assert_eq!(reachable, 16 + 24, "router {number}");
    }
    assert_eq!(metric(&world, 1, "10.16.0.0/24"), Some(7));
    assert!(world.ping_within("h1", "h16", SECOND).unwrap().is_some());
    let before = sent(&world, 16);
    world.run_for(300 * SECOND).unwrap();
    // 48 ends of links and 16 of hosts; 40 routes are two messages; ten updates, twelve where they come early.
    let said = sent(&world, 16) - before;
    assert!((8 * 128..=12 * 128).contains(&said), "{said} messages in five minutes");
    assert_healthy(&world);
}
