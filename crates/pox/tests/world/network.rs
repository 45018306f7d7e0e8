//! The world itself: links, switches and hosts that come and go.

use super::{SECOND, configs, launched, line, with_hosts};
use ::topology::{Delay, LinkSpec, generate};
use pox::world::{World, WorldConfig};
use std::time::Duration;

#[test]
fn a_link_that_fails_is_seen_unless_it_fails_silently() {
    for config in configs() {
        let mut world = launched(&line(2), config, "forwarding.l2_learning");
        world.ping_within("h1", "h2", SECOND).unwrap().unwrap();
        world.set_link("s1", "s2", false).unwrap();
        assert_eq!(world.ping_within("h1", "h2", SECOND).unwrap(), None);
        let port = world.port_to("s1", "s2").unwrap().0;
        let is_live = |world: &World| {
            world.core().connection(pox::Dpid(1)).unwrap().live_ports().any(|live| live.number.0 == port)
        };
        assert!(!is_live(&world));
        world.set_link("s1", "s2", true).unwrap();
        assert!(world.ping_within("h1", "h2", SECOND).unwrap().is_some() && is_live(&world));
        world.set_link_silently("s1", "s2", false).unwrap();
        assert_eq!(world.ping_within("h1", "h2", SECOND).unwrap(), None);
        assert!(is_live(&world));
    }
}

#[test]
fn a_switch_that_dies_comes_back() {
    for config in configs() {
        let mut world = launched(&line(3), config, "forwarding.l2_learning");
        assert_eq!(world.ping_all(SECOND).unwrap(), (6, 6));
        world.kill_switch("s2").unwrap();
        world.run_for(SECOND).unwrap();
        assert_eq!(world.core().connections().count(), 2);
        assert!(world.switch("s2").unwrap().is_none());
        assert_eq!(world.ping_within("h1", "h3", SECOND).unwrap(), None);
        world.revive_switch("s2").unwrap();
        world.run_for(SECOND).unwrap();
        assert_eq!(world.core().connections().count(), 3);
        assert_eq!(world.ping_all(2 * SECOND).unwrap(), (6, 6));
    }
}

#[test]
fn delays_are_those_of_the_topology() {
    let delay = Duration::from_millis(5);
    let slow = LinkSpec::default().delay(Delay::from_millis(5));
    let network = generate::with_hosts(generate::line(2, &slow).unwrap(), 1, &slow).unwrap();
    let mut world = launched(&network, WorldConfig::default(), "forwarding.hub");
    world.ping_within("h1", "h2", SECOND).unwrap().unwrap();
    assert_eq!(
        world.ping_within("h1", "h2", SECOND).unwrap(),
        Some(6 * delay),
        "three links, there and back"
    );
}

#[test]
fn channels_are_kept_alive_and_the_controller_goes_down_in_order() {
    let mut world = launched(&line(2), WorldConfig::default(), "forwarding.l2_learning");
    world.run_for(300 * SECOND).unwrap();
    assert_eq!(world.core().connections().count(), 2);
    let told: Vec<String> = world.core().records().map(ToString::to_string).collect();
    assert_eq!(told.iter().filter(|text| text.contains("is up")).count(), 2, "{told:?}");
    world.stop();
    assert_eq!((world.core().connections().count(), world.core().phase()), (0, pox::Phase::Down));
}

#[test]
fn a_large_network_is_up_at_once() {
    let fabric = generate::fat_tree(8, &LinkSpec::default()).unwrap();
    let world = launched(&fabric, WorldConfig::default(), "forwarding.hub --reactive");
    assert_eq!(world.core().connections().count(), 80);
}

#[test]
fn what_is_not_there_is_named() {
    let mut world =
        World::new(&with_hosts(generate::line(2, &LinkSpec::default()).unwrap(), 1), WorldConfig::default())
            .unwrap();
    let text = |error: Result<(), pox::world::WorldError>| error.unwrap_err().to_string();
    assert_eq!(text(world.ping("h1", "h9")), "there is no host 'h9'");
    assert_eq!(text(world.kill_switch("h1")), "there is no switch 'h1'");
    assert_eq!(text(world.set_link("h1", "h2", false)), "there is no link between 'h1' and 'h2'");
    assert_eq!(text(world.launch("forwarding.hubb")), "there is no component 'forwarding.hubb'");
}
