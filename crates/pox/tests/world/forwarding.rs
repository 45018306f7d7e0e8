//! Components that forward.

use super::{SECOND, assert_healthy, configs, launched, line, with_hosts};
use ::topology::{LinkSpec, generate};
use packet::wire::MacAddr;
use pox::components::forwarding::l2_learning::L2Learning;
use std::time::Duration;

#[test]
fn everybody_reaches_everybody() {
    for config in configs() {
        for launch in [
            "forwarding.hub",
            "forwarding.hub --reactive",
            "forwarding.l2_learning",
            "forwarding.l2_pairs",
            "forwarding.l2_nx",
            "forwarding.l2_nx_self_learning",
            "forwarding.l3_learning",
            "forwarding.l3_learning --wide",
            "misc.of_tutorial",
            "misc.of_tutorial --act-like=switch",
        ] {
            let mut world = launched(&line(3), config.clone(), launch);
            assert_eq!(world.ping_all(SECOND).unwrap(), (6, 6), "{launch} under {config:?}");
            assert_healthy(&world);
        }
    }
}

#[test]
fn what_is_learned_needs_no_controller() {
    for config in configs() {
        for (launch, silent) in [
            ("forwarding.hub", true),
            ("forwarding.l2_learning", true),
            ("forwarding.l2_pairs", true),
            ("forwarding.l2_nx", true),
            ("forwarding.l2_nx_self_learning", true),
            ("misc.of_tutorial", false),
        ] {
            let mut world = launched(&line(2), config.clone(), launch);
            world.ping_within("h1", "h2", SECOND).unwrap().unwrap();
            let packet_ins = |world: &pox::world::World| {
                world.core().connections().map(|connection| connection.counters().packet_ins).sum::<u64>()
            };
            let before = packet_ins(&world);
            for _ in 0..5 {
                world.ping_within("h1", "h2", SECOND).unwrap().unwrap();
            }
            assert_eq!(packet_ins(&world) == before, silent, "{launch} under {config:?}");
        }
    }
}

#[test]
fn a_flow_reaches_only_whom_it_is_for() {
    for config in configs() {
        let star = generate::star(4, &LinkSpec::default()).unwrap();
        for (launch, alone) in
            [("forwarding.l2_learning", true), ("forwarding.l2_pairs", true), ("forwarding.hub", false)]
        {
            let mut world = launched(&star, config.clone(), launch);
            world.ping_within("h1", "h2", SECOND).unwrap().unwrap();
            let before = world.host("h3").unwrap().received();
            world.ping_within("h1", "h2", SECOND).unwrap().unwrap();
            assert_eq!(world.host("h3").unwrap().received() == before, alone, "{launch}");
        }
    }
}

/// POX leaves a host that has moved unreachable for 25 s: it learns where it is, and leaves the flows that lead elsewhere.
#[test]
fn a_host_that_moves_is_found_within_a_second() {
    for config in configs() {
        for launch in [
            "forwarding.l2_learning",
            "forwarding.l2_pairs",
            "forwarding.l2_nx",
            "forwarding.l2_nx_self_learning",
            "forwarding.l3_learning",
        ] {
            for seen in [true, false] {
                let mut world = launched(&line(3), config.clone(), launch);
                assert_eq!(world.ping_all(SECOND).unwrap(), (6, 6));
                world.move_host("h1", "s3", seen).unwrap();
                // What it says first (a host that comes up announces itself) tells where it is.
                world.announce("h1").unwrap();
                for from in ["h2", "h3"] {
                    let every = Duration::from_millis(50);
                    let took = world.ping_until_answered(from, "h1", every, 10 * SECOND).unwrap();
                    assert!(took.is_some_and(|took| took < SECOND), "{launch} {from} seen {seen}: {took:?}");
                }
                assert_healthy(&world);
            }
        }
    }
}

/// Without a word of the host itself, its carrier tells that it is not where it was.
#[test]
fn a_host_that_moves_silently_is_found_by_its_carrier() {
    for config in configs() {
        for launch in ["forwarding.l2_learning", "forwarding.l2_pairs"] {
            let mut world = launched(
                &with_hosts(generate::line(1, &LinkSpec::default()).unwrap(), 3),
                config.clone(),
                launch,
            );
            assert_eq!(world.ping_all(SECOND).unwrap(), (6, 6));
            world.move_host("h1", "s1", true).unwrap();
            let took = world.ping_until_answered("h2", "h1", Duration::from_millis(50), 10 * SECOND).unwrap();
            assert!(took.is_some_and(|took| took < SECOND), "{launch}: {took:?}");
        }
    }
}

#[test]
fn l2_learning_holds_down_floods_and_ignores_switches() {
    for config in configs() {
        let mut world = launched(&line(2), config.clone(), "forwarding.l2_learning --hold-down=5");
        assert_eq!(world.ping_within("h1", "h2", SECOND).unwrap(), None);
        world.run_for(5 * SECOND).unwrap();
        assert!(world.ping_within("h1", "h2", 2 * SECOND).unwrap().is_some());
        let mut world = launched(&line(2), config, "forwarding.l2_learning --ignore=2");
        assert_eq!(world.ping_within("h1", "h2", SECOND).unwrap(), None);
        let core = world.core();
        let learning: &L2Learning = core.get("forwarding.l2_learning").unwrap();
        let [one, two] = [1, 2].map(|id| core.connection(pox::Dpid(id)).unwrap().id());
        let host = MacAddr([2, 0, 0, 0, 0, 1]);
        assert!(learning.port_of(one, host).is_some() && learning.port_of(two, host).is_none());
    }
}

#[test]
fn l2_learning_leaves_frames_for_bridges_alone() {
    for config in configs() {
        for (launch, passes) in
            [("forwarding.l2_learning", false), ("forwarding.l2_learning --transparent", true)]
        {
            let mut world = launched(&line(2), config.clone(), launch);
            let bridges = MacAddr([1, 0x80, 0xc2, 0, 0, 3]);
            let frame = pox::compose::ethernet(
                MacAddr([2, 0, 0, 0, 0, 1]),
                bridges,
                packet::wire::EtherType(0x888e),
                &[0; 46],
            );
            world.send_frame("h1", frame).unwrap();
            world.run_for(SECOND).unwrap();
            assert_eq!(world.host("h2").unwrap().received(), u64::from(passes), "{launch}");
        }
    }
}

/// In POX any ICMP error, and much else that is odd, raises inside the parser for every listener.
#[test]
fn packets_that_make_no_sense_are_forwarded_like_any_others() {
    for config in configs() {
        let mut world =
            launched(&line(2), config.clone(), "forwarding.l2_learning info.packet_dump --verbose");
        world.ping_within("h1", "h2", SECOND).unwrap().unwrap();
        let (h1, h2) = (world.host("h1").unwrap(), world.host("h2").unwrap());
        let ends = pox::compose::Ends { macs: (h1.mac, h2.mac), ips: (h1.ip, h2.ip) };
        let quoted =
            [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1, 0, 1, 0, 2, 0, 8, 0, 0];
        let mut frames = vec![
            pox::compose::icmpv4(ends, &packet::wire::icmpv4::Repr::unreachable(3, &quoted)),
            pox::compose::icmpv4(ends, &packet::wire::icmpv4::Repr::time_exceeded(&quoted)),
            pox::compose::icmpv4(ends, &packet::wire::icmpv4::Repr::unreachable(3, &quoted[..21])),
        ];
        for cut in [60, 40, 20, 14] {
            let mut lying = pox::compose::udp(ends, (1, 2), &[0; 40]);
            lying.truncate(cut);
            frames.push(lying);
        }
        let before = world.host("h2").unwrap().received();
        for frame in &frames {
            world.send_frame("h1", frame.clone()).unwrap();
            world.run_for(SECOND / 10).unwrap();
        }
        assert_eq!(world.host("h2").unwrap().received() - before, frames.len() as u64, "{config:?}");
        assert_healthy(&world);
    }
}
