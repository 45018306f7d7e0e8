//! Where hosts are, and the graph of the network.

use std::time::Duration;

use packet::wire::MacAddr;
use pox::components::host_tracker::{HostEvent, HostTracker};
use pox::components::openflow::topology::NetworkTopology;
use pox::world::World;

use super::{SECOND, assert_healthy, configs, launched, line};

fn tracker(world: &World) -> &HostTracker {
    world.core().get("host_tracker").unwrap()
}

/// The switch and port of each host, by address.
fn places(world: &World) -> Vec<(MacAddr, u64)> {
    tracker(world).hosts().map(|(mac, host)| (mac, host.place.datapath.0)).collect()
}

const LINE: &str =
    "host_tracker --arp-aware=5 --arp-reply=1 openflow.discovery forwarding.l2_learning openflow.topology";

#[test]
fn hosts_are_found_where_they_are_and_not_behind_other_switches() {
    for config in configs() {
        let mut world = launched(&line(3), config, LINE);
        world.run_for(10 * SECOND).unwrap(); // until the links are known
        assert_eq!(world.ping_all(SECOND).unwrap(), (6, 6));
        let mut switches: Vec<u64> = places(&world).into_iter().map(|(_, switch)| switch).collect();
        switches.sort_unstable();
        let mut wanted: Vec<u64> = world.core().connections().map(|switch| switch.datapath().0).collect();
        wanted.sort_unstable();
        assert_eq!(switches, wanted, "one at each");
        let graph = NetworkTopology::graph(world.core()).unwrap();
        assert_eq!((graph.node_count(), graph.link_count()), (6, 5));
        assert_healthy(&world);
    }
}

#[test]
fn a_host_that_moves_is_told_and_one_that_is_silent_is_asked() {
    for config in configs() {
        let mut world = launched(&line(3), config, LINE);
        world.run_for(10 * SECOND).unwrap();
        world.ping_all(SECOND).unwrap();
        let moves = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let kept = std::rc::Rc::clone(&moves);
        world.core_mut().listen("host_tracker", move |(): &mut (), event: &HostEvent, _: &mut pox::Core| {
            kept.borrow_mut().push((event.before.is_some(), event.now.is_some()));
        });
        // Silent for long, but there: it answers when it is asked.
        world.run_for(Duration::from_secs(30)).unwrap();
        assert_eq!(tracker(&world).hosts().count(), 3);
        assert!(moves.borrow().is_empty(), "{moves:?}");
        world.move_host("h1", "s3", false).unwrap();
        world.announce("h1").unwrap();
        world.run_for(SECOND).unwrap();
        assert_eq!(*moves.borrow(), [(true, true)]);
        assert_healthy(&world);
    }
}
