//! Small components: those that watch the control channel, and those that are for tests and measurements.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::rc::Rc;

use super::{SECOND, assert_healthy, configs, launched, line, with_hosts};
use ::topology::{LinkSpec, Topology, generate};
use openflow::action::Action;
use openflow::capture::{Capture, PORTS};
use openflow::codec;
use openflow::flow::{FlowMod, NO_BUFFER};
use openflow::instruction::Instruction;
use openflow::message::{Body, Message};
use packet::pcap;
use packet::wire::{EtherType, MacAddr};
use pox::components::misc::mac_blocker::MacBlocker;
use pox::world::{World, WorldConfig};
use pox::{Connection, Core, Direction, Dpid, OPENFLOW, PortNo, Raw, compose};

/// Every message of every switch, in order.
type Messages = Rc<RefCell<Vec<(Dpid, Direction, Message)>>>;

/// A network under a launch line, whose messages are kept from the first one on.
fn overheard(network: &Topology, config: WorldConfig, line: &str) -> (World, Messages) {
    let mut world = World::new(network, config).unwrap();
    let messages = Messages::default();
    let kept = Rc::clone(&messages);
    world.core_mut().listen(OPENFLOW, move |(): &mut (), event: &Raw, _: &mut Core| {
        kept.borrow_mut().push((event.datapath, event.direction, event.message.clone()));
    });
    world.launch(line).unwrap();
    world.run_for(SECOND).unwrap();
    (world, messages)
}

fn told(world: &World, words: &str) -> usize {
    world.core().records().filter(|record| record.text.contains(words)).count()
}

#[test]
fn a_switch_that_answers_echoes_and_no_barrier_is_disconnected_and_no_other() {
    for config in configs() {
        // Left alone it stays: its channel is alive.
        let mut world = launched(&line(2), config.clone(), "forwarding.hub");
        world.hang_switch("s2", true).unwrap();
        world.run_for(120 * SECOND).unwrap();
        assert_eq!(world.core().connections().count(), 2);

        let mut world = launched(&line(2), config, "openflow.keepalive --interval=5 --timeout=2");
        world.run_for(120 * SECOND).unwrap();
        assert_eq!((world.core().connections().count(), told(&world, "is down")), (2, 0));
        world.hang_switch("s2", true).unwrap();
        let start = world.now();
        let gone = |world: &World| world.core().connection(Dpid(2)).is_none();
        assert!(world.run_until(start + 8 * SECOND, gone).unwrap(), "asked within 5 s, given 2 s");
        assert!(world.now() - start >= 2 * SECOND);
        world.run_for(60 * SECOND).unwrap();
        let reason = "switch 0000000000000002 is down: closed here: it did not answer within 2000 ms";
        assert_eq!((told(&world, reason), told(&world, "is down")), (1, 1));
        // It calls again, and is let in as soon as it does what it is told.
        world.hang_switch("s2", false).unwrap();
        world.run_for(60 * SECOND).unwrap();
        assert_eq!((world.core().connections().count(), told(&world, "is down")), (2, 1));
        assert_healthy(&world);
    }
}

/// The messages of each switch, those it received and those it sent, as bytes; in some order of the switches.
type Conversations = Vec<[Vec<Vec<u8>>; 2]>;

fn place(direction: Direction) -> usize {
    usize::from(direction == Direction::Received)
}

/// What was overheard, as its switch's version has it.
fn conversations(world: &World, messages: &Messages) -> Conversations {
    let mut all: BTreeMap<Dpid, [Vec<Vec<u8>>; 2]> = BTreeMap::new();
    for (switch, direction, message) in messages.borrow().iter() {
        let mut bytes = Vec::new();
        codec::encode(world.core().connection(*switch).unwrap().version(), message, &mut bytes).unwrap();
        all.entry(*switch).or_default()[place(*direction)].push(bytes);
    }
    let mut all: Conversations = all.into_values().collect();
    all.sort_unstable();
    all
}

/// What a capture file has.
fn captured(path: &Path) -> Conversations {
    let mut file = pcap::open(path).unwrap();
    let mut capture = Capture::new(&PORTS);
    let mut all: BTreeMap<IpAddr, [Vec<Vec<u8>>; 2]> = BTreeMap::new();
    while let Some(record) = file.next().unwrap() {
        for seen in capture.frame(record.data) {
            let (from, to) = (seen.flow.source(), seen.flow.destination());
            let (switch, direction) = match from == Ipv4Addr::LOCALHOST {
                true => (to, Direction::Sent),
                false => (from, Direction::Received),
            };
            all.entry(switch).or_default()[place(direction)].push(seen.bytes);
        }
    }
    let mut all: Conversations = all.into_values().collect();
    all.sort_unstable();
    all
}

fn count(conversations: &Conversations) -> usize {
    conversations.iter().flatten().map(Vec::len).sum()
}

#[test]
fn a_capture_has_every_message() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.pcap");
    let launch = format!("openflow.debug --file={} forwarding.l2_learning", path.display());
    for config in configs() {
        let (mut world, messages) = overheard(&line(2), config.clone(), &launch);
        assert_eq!(world.ping_all(SECOND).unwrap(), (2, 2));
        // More than fits into one segment.
        let large = vec![7; 40_000];
        world.core_mut().inject(Dpid(1), PortNo::CONTROLLER, Vec::new(), large).unwrap();
        world.run_for(2 * SECOND).unwrap();
        let found = captured(&path);
        assert_eq!(found, conversations(&world, &messages), "{config:?}");
        let counters = world.core().connections().map(Connection::counters);
        let counted = counters.map(|counters| counters.sent + counters.received + counters.packet_ins);
        assert_eq!(count(&found) as u64, counted.sum::<u64>());
        assert_healthy(&world);
    }
}

#[test]
fn a_capture_ends_at_its_limit() {
    const LIMIT: u64 = 4096;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.pcap");
    let launch = format!("openflow.debug --limit={LIMIT} --file={} forwarding.l2_learning", path.display());
    for config in configs() {
        let (mut world, messages) = overheard(&line(2), config, &launch);
        for _ in 0..10 {
            assert_eq!(world.ping_all(SECOND).unwrap(), (2, 2));
            world.run_for(15 * SECOND).unwrap();
        }
        // The file has a header of its own.
        let size = std::fs::metadata(&path).unwrap().len() - 24;
        assert!((LIMIT / 2..=LIMIT).contains(&size), "{size}");
        assert_eq!(told(&world, "4096 bytes are enough"), 1);
        let (found, all) = (captured(&path), conversations(&world, &messages));
        assert!(count(&found) < count(&all));
        for (found, all) in found.iter().zip(&all) {
            assert!(all[0].starts_with(&found[0]) && all[1].starts_with(&found[1]), "the first messages");
        }
        assert_healthy(&world);
    }
}

#[test]
fn a_station_is_cut_off_and_let_in_again() {
    let network = with_hosts(generate::line(2, &LinkSpec::default()).unwrap(), 2);
    let block = |world: &mut World, blocked: bool| {
        let mac = world.host("h1").unwrap().mac;
        let done =
            world.core_mut().call("misc.mac_blocker", move |this: &mut MacBlocker, core: &mut Core| {
                if blocked { this.block(mac, core) } else { this.unblock(mac, core) }
            });
        assert!(done.unwrap());
        world.run_for(SECOND).unwrap();
    };
    // Of 12 pairs six have the first host at an end.
    for config in configs() {
        for forwarding in ["forwarding.l2_learning", "forwarding.l2_pairs", "forwarding.hub"] {
            let launch = format!("misc.mac_blocker {forwarding}");
            let mut world = launched(&network, config.clone(), &launch);
            assert_eq!(world.ping_all(SECOND).unwrap(), (12, 12));
            block(&mut world, true);
            // At once, though it was in the middle of talking to everybody.
            assert_eq!(world.ping_all(SECOND).unwrap(), (6, 12), "{launch} {config:?}");
            assert_eq!(world.ping_within("h2", "h4", SECOND).unwrap().map(|_| ()), Some(()));
            // On a switch that was away too.
            world.kill_switch("s1").unwrap();
            world.run_for(SECOND).unwrap();
            world.revive_switch("s1").unwrap();
            world.run_for(2 * SECOND).unwrap();
            assert_eq!(world.ping_all(SECOND).unwrap(), (6, 12), "{launch} {config:?}");
            block(&mut world, false);
            assert_eq!(world.ping_all(SECOND).unwrap(), (12, 12), "{launch} {config:?}");
            assert_healthy(&world);
        }
        let mut world =
            launched(&network, config, "misc.mac_blocker --block=02:00:00:00:00:01 forwarding.l2_learning");
        assert_eq!(world.ping_all(SECOND).unwrap(), (6, 12));
        block(&mut world, false);
        assert_eq!(world.ping_all(SECOND).unwrap(), (12, 12));
    }
}

/// A flow of a tagged packet says all that 1.0 can say of it, and comes before all others there.
#[test]
fn a_station_is_cut_off_whatever_its_flows_say() {
    let network = with_hosts(generate::line(1, &LinkSpec::default()).unwrap(), 2);
    for config in configs() {
        let mut world = launched(&network, config.clone(), "misc.mac_blocker forwarding.l2_learning");
        assert_eq!(world.ping_all(SECOND).unwrap(), (2, 2));
        let [one, two] = ["h1", "h2"].map(|name| {
            let host = world.host(name).unwrap();
            (host.mac, host.ip)
        });
        let ends = compose::Ends { macs: (one.0, two.0), ips: (one.1, two.1) };
        let mut frame = compose::udp(ends, (1000, 2000), b"tagged");
        frame.splice(12..12, [0x81, 0, 0, 5]);
        let arrives = |world: &mut World| {
            let before = world.host("h2").unwrap().received();
            world.send_frame("h1", frame.clone()).unwrap();
            world.run_for(SECOND / 10).unwrap();
            world.host("h2").unwrap().received() > before
        };
        assert!(arrives(&mut world) && arrives(&mut world));
        let block = move |this: &mut MacBlocker, core: &mut Core| this.block(one.0, core);
        assert!(world.core_mut().call("misc.mac_blocker", block).unwrap());
        world.run_for(SECOND / 10).unwrap();
        assert!(!arrives(&mut world), "{config:?}");
        assert_healthy(&world);
    }
}

/// A broadcast of 400 bytes from a station.
fn frame(station: u8) -> Vec<u8> {
    compose::ethernet(MacAddr([2, 0, 0, 0, 9, station]), MacAddr::BROADCAST, EtherType(0x88b5), &[0; 386])
}

#[test]
fn switches_are_told_how_much_of_a_packet_to_send() {
    for config in configs() {
        for (options, asked) in [("", 0xffff), (" --bytes=128", 128)] {
            let launch = format!("misc.full_payload{options} forwarding.hub --reactive");
            let (mut world, messages) = overheard(&line(1), config.clone(), &launch);
            world.send_frame("h1", frame(1)).unwrap();
            world.run_for(SECOND).unwrap();
            let messages = messages.borrow();
            let set = messages.iter().find_map(|(_, _, message)| match &message.body {
                Body::SetConfig(set) => Some(set.miss_send_len),
                _ => None,
            });
            assert_eq!(set, Some(asked));
            let sent = messages.iter().find_map(|(_, _, message)| match &message.body {
                Body::PacketIn(packet) => Some((packet.data.len(), packet.buffer == NO_BUFFER)),
                _ => None,
            });
            // A switch that keeps no packets sends all of them.
            let cut = config.buffers > 0 && asked == 128;
            assert_eq!(sent, Some((if cut { 128 } else { 400 }, !cut)), "{launch} {config:?}");
            assert_healthy(&world);
        }
    }
}

#[test]
fn each_packet_in_is_answered_once() {
    for config in configs() {
        for (options, flow) in [("", true), (" --answer=flow", true), (" --answer=packet", false)] {
            let (mut world, messages) = overheard(&line(1), config.clone(), &format!("misc.cbench{options}"));
            messages.borrow_mut().clear();
            for station in 0..10 {
                world.send_frame("h1", frame(station)).unwrap();
                world.run_for(SECOND / 10).unwrap();
                let messages = std::mem::take(&mut *messages.borrow_mut());
                let [(_, _, Message { body: Body::PacketIn(asked), .. }), (_, _, answer)] = &messages[..]
                else {
                    panic!("{messages:#?}")
                };
                match &answer.body {
                    Body::FlowMod(answer) => {
                        assert!(flow);
                        assert_eq!((answer.buffer, output(answer)), (asked.buffer, PortNo(1)));
                    }
                    Body::PacketOut(answer) => {
                        assert!(!flow && answer.actions.is_empty());
                        assert_eq!(answer.buffer, asked.buffer);
                        assert!(asked.buffer != NO_BUFFER || answer.data == frame(station));
                    }
                    other => panic!("{other:?}"),
                }
            }
            // A flow is for exactly its packet, which comes no more.
            world.send_frame("h1", frame(3)).unwrap();
            world.run_for(SECOND / 10).unwrap();
            assert_eq!(messages.borrow().is_empty(), flow);
            assert_healthy(&world);
        }
    }
}

/// The port of a flow of one action.
fn output(flow: &FlowMod) -> PortNo {
    match &flow.instructions[..] {
        [Instruction::ApplyActions(actions)] => match actions[..] {
            [Action::Output { port, .. }] => port,
            _ => panic!("{actions:?}"),
        },
        other => panic!("{other:?}"),
    }
}
