//! Flow-mods of both versions: what is added, changed, removed, refused.

use openflow::error::FlowModFailed;
use openflow::flow::{ALL_TABLES, FlowCommand, FlowMod, FlowRemoved, RemovedReason, flags};
use openflow::instruction::Instruction;
use openflow::matching::{Match, MatchV10, wildcards};
use openflow::message::{Body, Message};
use openflow::multipart::{FlowRequest, FlowStats, MultipartReply, MultipartRequest, Reply, Request};
use openflow::port::PortNo;
use openflow::switch::{ConnectionId, Output};

use crate::rig::{NEW, OLD, Rig, out, udp4};

fn to(port: u32) -> Vec<Instruction> {
    vec![out(&[port])]
}

/// All entries, as a connection sees them.
fn flows(rig: &mut Rig, from: ConnectionId) -> Vec<FlowStats> {
    let wanted = FlowRequest {
        table: ALL_TABLES,
        out_port: PortNo::ANY,
        out_group: openflow::group::ANY,
        cookie: 0,
        cookie_mask: 0,
        matching: Match::default(),
    };
    match rig.ask(from, Body::MultipartRequest(MultipartRequest { flags: 0, body: Request::Flow(wanted) })) {
        Body::MultipartReply(MultipartReply { flags: 0, body: Reply::Flow(flows) }) => flows,
        other => panic!("{other:?}"),
    }
}

fn removed(outputs: Vec<Output>) -> Vec<(ConnectionId, FlowRemoved)> {
    let one = |output| match output {
        Output::Message { connection, message: Message { body: Body::FlowRemoved(removed), .. } } => {
            Some((connection, removed))
        }
        _ => None,
    };
    outputs.into_iter().filter_map(one).collect()
}

#[test]
fn priorities_and_misses() {
    let mut rig = Rig::new();
    let packet = udp4([10, 0, 0, 2], 53, b"hello");
    rig.output(1, Match::new().ipv4(), 2);
    rig.output(5, Match::new().udp_dst(53), 3);
    assert_eq!(rig.ports(1, &packet), [3]);
    assert_eq!(rig.ports(1, &packet), [3], "and from the cache");
    rig.flow(
        NEW,
        FlowMod {
            command: FlowCommand::DeleteStrict,
            priority: 5,
            matching: Match::new().udp_dst(53),
            ..FlowMod::default()
        },
    );
    assert_eq!(rig.ports(1, &packet), [2]);
    rig.flow(NEW, FlowMod { command: FlowCommand::Delete, table: ALL_TABLES, ..FlowMod::default() });
    assert_eq!(rig.switch.flows(), 0);
    // Not back to where it came from.
    rig.output(1, Match::default(), 1);
    assert_eq!(rig.ports(1, &packet), []);
}

#[test]
fn an_entry_of_one_version_is_seen_by_the_other() {
    let mut rig = Rig::new();
    let matching =
        Match::V10(MatchV10 { wildcards: wildcards::ALL & !wildcards::IN_PORT, in_port: 1, ..MatchV10::ALL });
    let drop = FlowMod { matching, instructions: Vec::new(), ..FlowMod::default() };
    rig.flow(OLD, FlowMod { instructions: to(2), priority: 7, cookie: 9, ..drop.clone() });
    let seen = flows(&mut rig, NEW);
    assert_eq!(
        (seen.len(), seen[0].priority, seen[0].cookie, seen[0].instructions.clone()),
        (1, 7, 9, to(2))
    );
    // The same match in 1.3's words is the same entry.
    rig.flow(
        NEW,
        FlowMod {
            instructions: to(3),
            priority: 7,
            matching: Match::new().in_port(PortNo(1)),
            ..FlowMod::default()
        },
    );
    assert_eq!(flows(&mut rig, OLD).len(), 1);
    assert_eq!(rig.ports(1, &udp4([10, 0, 0, 2], 53, b"")), [3]);
    // What 1.0 has no words for is left out there.
    rig.flow(
        NEW,
        FlowMod { instructions: vec![Instruction::GotoTable(1)], priority: 8, ..FlowMod::default() },
    );
    assert_eq!((flows(&mut rig, NEW).len(), flows(&mut rig, OLD).len()), (2, 1));
}

#[test]
fn timeouts_tell_both_versions() {
    let mut rig = Rig::new();
    let packet = udp4([10, 0, 0, 2], 53, b"");
    let entry = FlowMod {
        idle_timeout: 5,
        hard_timeout: 12,
        flags: flags::SEND_FLOW_REM,
        instructions: to(2),
        ..FlowMod::default()
    };
    rig.flow(NEW, entry.clone());
    for _ in 0..3 {
        rig.wait(4);
        assert_eq!(rig.ports(1, &packet).len(), usize::from(rig.switch.flows() == 1));
    }
    // The third time it was 12 seconds old.
    assert_eq!(rig.switch.flows(), 0);
    rig.drain();
    rig.flow(NEW, entry);
    assert_eq!(rig.ports(1, &packet), [2]);
    let due = rig.switch.next_deadline().unwrap();
    assert_eq!(due, rig.now + std::time::Duration::from_secs(5));
    rig.wait(5);
    let told = removed(rig.drain());
    assert_eq!(told.len(), 2);
    for (_, told) in told {
        assert_eq!(
            (told.reason, told.packets, told.bytes, told.duration),
            (RemovedReason::IdleTimeout, 1, 42, (5, 0))
        );
    }
}

#[test]
fn strict_and_loose_cookies_ports_and_overlap() {
    let mut rig = Rig::new();
    let entry = |cookie, priority, matching: Match, port| FlowMod {
        cookie,
        priority,
        matching,
        instructions: to(port),
        ..FlowMod::default()
    };
    let narrow = Match::new().ipv4().ipv4_dst([10, 0, 0, 2].into());
    rig.flow(NEW, entry(0x11, 5, narrow.clone(), 2));
    rig.flow(NEW, entry(0x21, 5, Match::new().arp(), 3));
    let overlapping =
        FlowMod { flags: flags::CHECK_OVERLAP, ..entry(0, 5, Match::new().in_port(PortNo(1)), 2) };
    rig.refused(NEW, Body::FlowMod(overlapping.clone()), FlowModFailed::Overlap);
    rig.refused(OLD, Body::FlowMod(overlapping.clone()), FlowModFailed::Overlap);
    rig.flow(NEW, FlowMod { priority: 6, ..overlapping });
    assert_eq!(rig.switch.flows(), 3);
    // A modification changes what the match covers, and adds nothing in 1.3.
    let modify =
        FlowMod { command: FlowCommand::Modify, instructions: to(4), ..entry(0, 0, Match::new().ipv4(), 4) };
    rig.flow(NEW, FlowMod { cookie: 0x20, cookie_mask: 0xf0, ..modify.clone() });
    assert!(flows(&mut rig, NEW).iter().all(|flow| flow.instructions != to(4)), "another cookie");
    rig.flow(NEW, modify.clone());
    let changed = flows(&mut rig, NEW).into_iter().filter(|flow| flow.instructions == to(4));
    assert_eq!(changed.map(|flow| flow.cookie).collect::<Vec<_>>(), [0x11]);
    rig.flow(NEW, FlowMod { command: FlowCommand::ModifyStrict, priority: 4, ..modify });
    assert_eq!(rig.switch.flows(), 3);
    // A deletion of what outputs somewhere.
    let delete = FlowMod { command: FlowCommand::Delete, table: ALL_TABLES, ..FlowMod::default() };
    rig.flow(NEW, FlowMod { out_port: PortNo(1), ..delete.clone() });
    assert_eq!(rig.switch.flows(), 3);
    rig.flow(NEW, FlowMod { out_port: PortNo(4), ..delete.clone() });
    assert_eq!(rig.switch.flows(), 2);
    rig.flow(NEW, FlowMod { cookie: 0x21, cookie_mask: u64::MAX, ..delete });
    assert_eq!(rig.switch.flows(), 1);
}

#[test]
fn one_point_zero_modifies_by_adding() {
    let mut rig = Rig::new();
    let modify = FlowMod { command: FlowCommand::Modify, instructions: to(2), ..FlowMod::default() };
    rig.flow(OLD, modify.clone());
    assert_eq!(rig.switch.flows(), 1);
    assert_eq!(rig.ports(1, &udp4([10, 0, 0, 2], 1, b"")), [2]);
    let before = flows(&mut rig, OLD);
    rig.flow(OLD, FlowMod { cookie: 5, ..modify });
    let after = flows(&mut rig, OLD);
    assert_eq!((before[0].packets, after[0].packets, after[0].cookie), (1, 1, 5), "counters go on");
    rig.flow(OLD, FlowMod { instructions: to(2), ..FlowMod::default() });
    assert_eq!(flows(&mut rig, OLD)[0].packets, 0, "an addition starts anew");
}

#[test]
fn emergency_entries_are_refused() {
    let mut rig = Rig::new();
    let emergency = FlowMod { flags: flags::EMERG_OR_RESET_COUNTS, ..FlowMod::default() };
    rig.refused(OLD, Body::FlowMod(emergency.clone()), FlowModFailed::TableFull);
    rig.refused(OLD, Body::FlowMod(FlowMod { idle_timeout: 1, ..emergency }), FlowModFailed::BadEmergTimeout);
}

#[test]
fn counters_are_kept_or_reset() {
    let mut rig = Rig::new();
    let add = FlowMod { instructions: to(2), ..FlowMod::default() };
    rig.flow(NEW, add.clone());
    rig.ports(1, &udp4([10, 0, 0, 2], 1, b""));
    rig.flow(NEW, add.clone());
    assert_eq!(flows(&mut rig, NEW)[0].packets, 1, "copied from the entry replaced");
    rig.flow(NEW, FlowMod { flags: flags::EMERG_OR_RESET_COUNTS, ..add.clone() });
    assert_eq!(flows(&mut rig, NEW)[0].packets, 0);
    rig.flow(NEW, FlowMod { flags: flags::NO_PACKET_COUNTS | flags::NO_BYTE_COUNTS, ..add });
    rig.ports(1, &udp4([10, 0, 0, 2], 1, b""));
    assert_eq!((flows(&mut rig, NEW)[0].packets, flows(&mut rig, NEW)[0].bytes), (0, 0));
}

#[test]
fn a_full_table_is_full() {
    use openflow::switch::SwitchConfig;
    let mut rig = Rig::with(SwitchConfig { flows_per_table: 2, ..SwitchConfig::default() });
    rig.switch.connect(rig.now, NEW, openflow::Version::V13);
    for number in 1..=2 {
        rig.output(1, Match::new().in_port(PortNo(number)), 3);
    }
    let third =
        FlowMod { matching: Match::new().in_port(PortNo(3)), instructions: to(2), ..FlowMod::default() };
    rig.refused(NEW, Body::FlowMod(third.clone()), FlowModFailed::TableFull);
    rig.flow(NEW, FlowMod { table: 1, ..third });
    // One that is there can still be replaced.
    rig.output(1, Match::new().in_port(PortNo(1)), 4);
    assert_eq!(rig.ports(1, &udp4([10, 0, 0, 2], 1, b"")), [4]);
}

#[test]
fn an_exact_entry_of_1_0_comes_first() {
    let mut rig = Rig::new();
    let packet = udp4([10, 0, 0, 2], 53, b"");
    let all = Match::V10(MatchV10::ALL);
    rig.flow(OLD, FlowMod { priority: 65_535, matching: all, instructions: to(2), ..FlowMod::default() });
    let exact = MatchV10 { wildcards: 0, ..MatchV10::from_packet(PortNo(1), &packet) };
    let exact =
        FlowMod { priority: 0, matching: Match::V10(exact), instructions: to(4), ..FlowMod::default() };
    rig.flow(OLD, exact.clone());
    assert_eq!(rig.ports(1, &packet), [4]);
    // Whatever its priority, it is the same entry.
    rig.flow(OLD, FlowMod { priority: 9, command: FlowCommand::DeleteStrict, ..exact });
    assert_eq!(rig.ports(1, &packet), [2]);
}
