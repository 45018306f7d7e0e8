//! Flow monitors: who is told of which changes, in what words.

use openflow::Version;
use openflow::action::Action;
use openflow::error::{BadRequest, Fault, FlowModFailed, FlowMonitorFailed};
use openflow::field::Field;
use openflow::flow::{ALL_TABLES, FlowCommand, FlowMod, RemovedReason};
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{Body, Message};
use openflow::monitor::{FlowUpdate, MonitorEvent, MonitorMessage, MonitorRequest, MonitorUpdate, flags};
use openflow::multipart::{MultipartReply, MultipartRequest, Reply, Request};
use openflow::nicira::{Action as Nicira, Learn, LearnDestination, LearnSource, LearnSpec};
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use openflow::switch::{ConnectionId, MONITORS_MAX, Output};

use crate::rig::{NEW, OLD, Rig, out, udp4};

/// A second controller of 1.3.
const OTHER: ConnectionId = ConnectionId(14);
const CHANGES: u16 = flags::ADD | flags::DELETE | flags::MODIFY;

fn monitor(id: u32, flags: u16) -> MonitorRequest {
    MonitorRequest { id, flags, out_port: PortNo::ANY, table: ALL_TABLES, matching: Match::default() }
}

fn wanted(monitors: Vec<MonitorRequest>) -> Body {
    Body::MultipartRequest(MultipartRequest { flags: 0, body: Request::FlowMonitor(monitors) })
}

fn of(output: Output) -> Option<(ConnectionId, u32, Vec<MonitorUpdate>)> {
    match output {
        Output::Message {
            connection,
            message:
                Message {
                    xid,
                    body: Body::MultipartReply(MultipartReply { body: Reply::FlowMonitor(updates), .. }),
                },
        } => Some((connection, xid, updates)),
        _ => None,
    }
}

/// What everybody is told unasked, in order.
fn told(outputs: Vec<Output>) -> Vec<(ConnectionId, MonitorUpdate)> {
    let one = |(connection, xid, updates): (ConnectionId, u32, Vec<MonitorUpdate>)| {
        assert_eq!(xid, 0, "nobody asked");
        updates.into_iter().map(move |update| (connection, update))
    };
    outputs.into_iter().filter_map(of).flat_map(one).collect()
}

/// The same in short: who, what, priority, how many instructions.
fn short(outputs: Vec<Output>) -> Vec<(ConnectionId, &'static str, u16, usize)> {
    let one = |(connection, update)| match update {
        MonitorUpdate::Own { .. } => (connection, "own", 0, 0),
        MonitorUpdate::Flow(FlowUpdate { event, priority, instructions, .. }) => {
            let event = match event {
                MonitorEvent::Added => "added",
                MonitorEvent::Modified => "modified",
                MonitorEvent::Removed(RemovedReason::Delete) => "deleted",
                MonitorEvent::Removed(RemovedReason::IdleTimeout) => "idle",
                MonitorEvent::Removed(RemovedReason::HardTimeout) => "hard",
                MonitorEvent::Removed(_) => "removed",
            };
            (connection, event, priority, instructions.len())
        }
    };
    told(outputs).into_iter().map(one).collect()
}

fn add(priority: u16, to: u32) -> Body {
    Body::FlowMod(FlowMod { priority, instructions: vec![out(&[to])], ..FlowMod::default() })
}

fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.switch.connect(rig.now, OTHER, Version::V13);
    rig
}

fn updates(rig: &mut Rig, from: ConnectionId, monitors: Vec<MonitorRequest>) -> Vec<MonitorUpdate> {
    let outputs = rig.send(from, wanted(monitors));
    let parts: Vec<_> = outputs.into_iter().map(|output| of(output).expect("a reply")).collect();
    assert!(parts.iter().all(|(connection, xid, _)| *connection == from && *xid != 0));
    parts.into_iter().flat_map(|(_, _, updates)| updates).collect()
}

#[test]
fn what_others_change_is_told_in_full_and_what_one_changes_oneself_by_its_transaction() {
    for watcher in [NEW, OLD] {
        let mut rig = rig();
        assert_eq!(updates(&mut rig, watcher, vec![monitor(1, CHANGES | flags::ACTIONS)]), []);
        assert_eq!(short(rig.send(OTHER, add(5, 2))), [(watcher, "added", 5, 1)]);
        // Once more, with the same and with other instructions.
        assert_eq!(short(rig.send(OTHER, add(5, 2))), [(watcher, "added", 5, 1)]);
        let modify = |to| {
            let instructions = vec![out(&[to])];
            Body::FlowMod(FlowMod { command: FlowCommand::Modify, instructions, ..FlowMod::default() })
        };
        assert_eq!(short(rig.send(OTHER, modify(3))), [(watcher, "modified", 5, 1)]);
        assert_eq!(short(rig.send(OTHER, modify(3))), [], "nothing has changed");
        let own = rig.send(watcher, add(6, 2));
        assert!(matches!(told(own)[..], [(to, MonitorUpdate::Own { xid })] if to == watcher && xid != 0));
        let clear = Body::FlowMod(FlowMod { command: FlowCommand::Delete, table: 0, ..FlowMod::default() });
        let gone = told(rig.send(watcher, clear.clone()));
        assert!(matches!(gone[..], [(_, MonitorUpdate::Own { .. })]), "two flows, one request: {gone:?}");
        rig.send(OTHER, add(5, 2));
        rig.send(OTHER, add(6, 2));
        let mut both = short(rig.send(OTHER, clear));
        both.sort_unstable();
        assert_eq!(both, [(watcher, "deleted", 5, 1), (watcher, "deleted", 6, 1)]);
    }
}

#[test]
fn a_refused_request_is_nobodys_cause() {
    let mut rig = rig();
    updates(&mut rig, NEW, vec![monitor(1, CHANGES)]);
    let bad = FlowMod { table: 254, ..FlowMod::default() };
    rig.refused(NEW, Body::FlowMod(bad), FlowModFailed::BadTableId);
    let outputs = rig.send(OTHER, Body::FlowMod(FlowMod::default()));
    assert_eq!(short(outputs), [(NEW, "added", 0x8000, 0)], "another's, though");
}

#[test]
fn what_time_and_packets_do_is_told_too() {
    let mut rig = rig();
    updates(&mut rig, NEW, vec![monitor(1, CHANGES | flags::OWN)]);
    let timed = |priority, idle_timeout, hard_timeout| {
        Body::FlowMod(FlowMod { priority, idle_timeout, hard_timeout, ..FlowMod::default() })
    };
    assert_eq!(short(rig.send(NEW, timed(1, 10, 0))), [(NEW, "added", 1, 0)], "its own, in full");
    assert_eq!(short(rig.send(NEW, timed(2, 0, 20))), [(NEW, "added", 2, 0)]);
    rig.wait(10);
    assert_eq!(short(rig.drain()), [(NEW, "idle", 1, 0)]);
    rig.wait(10);
    assert_eq!(short(rig.drain()), [(NEW, "hard", 2, 0)]);
    // A flow that is learned from a packet.
    let learn = Learn {
        idle_timeout: 0,
        hard_timeout: 0,
        priority: 77,
        cookie: 5,
        flags: 0,
        table: 1,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        specs: vec![LearnSpec {
            source: LearnSource::Field(0x0000_0406, 0),
            destination: LearnDestination::Match(0x0000_0206, 0),
            bits: 48,
        }],
    };
    let apply = Instruction::ApplyActions(vec![Action::Nicira(Nicira::Learn(learn))]);
    rig.send(NEW, Body::FlowMod(FlowMod { instructions: vec![apply], ..FlowMod::default() }));
    let packet = udp4([10, 0, 0, 2], 53, b"");
    assert_eq!(short(rig.packet(1, &packet)), [(NEW, "added", 77, 0)]);
}

#[test]
fn monitors_cover_tables_matches_and_ports() {
    let mut rig = rig();
    let ip = || Match::new().ipv4();
    let monitors = vec![
        MonitorRequest { table: 1, ..monitor(1, CHANGES) },
        MonitorRequest { matching: ip(), ..monitor(2, CHANGES | flags::ACTIONS) },
        MonitorRequest { out_port: PortNo(3), ..monitor(3, CHANGES) },
    ];
    assert_eq!(updates(&mut rig, NEW, monitors), []);
    let flow = |table, matching: Match, to| {
        Body::FlowMod(FlowMod { table, matching, instructions: vec![out(&[to])], ..FlowMod::default() })
    };
    assert_eq!(short(rig.send(OTHER, flow(0, Match::default(), 2))), []);
    assert_eq!(short(rig.send(OTHER, flow(1, Match::default(), 2))).len(), 1);
    // Two cover it: it is told once, with what either asks for.
    let tcp = ip().with(Oxm::exact(Field::IpProto, 6));
    assert_eq!(short(rig.send(OTHER, flow(1, tcp.clone(), 2))), [(NEW, "added", 0x8000, 1)]);
    let six = Match::new().with(Oxm::exact(Field::EthType, 0x86dd));
    assert_eq!(short(rig.send(OTHER, flow(0, six.clone(), 2))), [], "not IPv4");
    assert_eq!(short(rig.send(OTHER, flow(0, six.clone(), 3))), [(NEW, "added", 0x8000, 0)]);
    // From port 3 to another: who watched it there is told.
    assert_eq!(short(rig.send(OTHER, flow(0, six.clone(), 4))), [(NEW, "added", 0x8000, 0)]);
    assert_eq!(short(rig.send(OTHER, flow(0, six, 2))), []);
    // One less.
    rig.tell(NEW, Body::Monitor(MonitorMessage::Cancel(1)));
    assert_eq!(short(rig.send(OTHER, flow(1, Match::default(), 2))), []);
}

#[test]
fn what_is_there_is_told_at_once_where_it_is_asked_for() {
    let mut rig = rig();
    for priority in 1..=6000 {
        rig.send(OTHER, add(priority, if priority % 2 == 0 { 2 } else { 3 }));
    }
    let all = flags::INITIAL | CHANGES | flags::ACTIONS;
    for from in [NEW, OLD] {
        let outputs = rig.send(
            from,
            wanted(vec![
                MonitorRequest { out_port: PortNo(2), ..monitor(1, all) },
                MonitorRequest { out_port: PortNo(3), ..monitor(2, CHANGES) },
            ]),
        );
        assert!(outputs.len() > 1, "as many messages as it needs");
        let mut count = 0;
        for output in outputs {
            let (to, _, updates) = of(output).unwrap();
            assert_eq!(to, from);
            for update in updates {
                let MonitorUpdate::Flow(flow) = update else { panic!() };
                assert!(flow.event == MonitorEvent::Added && flow.priority % 2 == 0);
                assert_eq!(flow.instructions.len(), 1);
                count += 1;
            }
        }
        assert_eq!(count, 3000);
    }
    // All of them at once, in messages that fit, to both.
    let clear = FlowMod { command: FlowCommand::Delete, table: ALL_TABLES, ..FlowMod::default() };
    let outputs = rig.send(OTHER, Body::FlowMod(clear));
    for output in &outputs {
        let Output::Message { connection, message } = output else { panic!() };
        let version = if *connection == OLD { Version::V10 } else { Version::V13 };
        openflow::codec::encode(version, message, &mut Vec::new()).unwrap();
    }
    let told = short(outputs);
    for from in [NEW, OLD] {
        let own: Vec<u16> = told.iter().filter(|(to, ..)| *to == from).map(|told| told.2).collect();
        assert_eq!(own, (1..=6000).collect::<Vec<u16>>());
    }
}

#[test]
fn monitors_that_cannot_be_are_refused_all_together() {
    let mut rig = rig();
    for from in [NEW, OLD] {
        let mut refused = |monitors, fault: Fault| rig.refused(from, wanted(monitors), fault);
        refused(vec![monitor(1, 0)], FlowMonitorFailed::BadFlags.into());
        refused(vec![monitor(1, flags::INITIAL)], FlowMonitorFailed::BadFlags.into());
        refused(vec![monitor(1, CHANGES | 0x40)], FlowMonitorFailed::BadFlags.into());
        refused(vec![monitor(1, CHANGES), monitor(1, CHANGES)], FlowMonitorFailed::MonitorExists.into());
        refused(vec![MonitorRequest { table: 254, ..monitor(1, CHANGES) }], BadRequest::BadTableId.into());
        let many = (0..=MONITORS_MAX as u32).map(|id| monitor(id, CHANGES)).collect();
        refused(many, BadRequest::Eperm.into());
        rig.refused(from, Body::Monitor(MonitorMessage::Cancel(1)), FlowMonitorFailed::UnknownMonitor);
        rig.refused(from, Body::Monitor(MonitorMessage::Paused), BadRequest::BadExpType);
        assert_eq!(updates(&mut rig, from, vec![monitor(1, CHANGES)]), []);
        rig.refused(from, wanted(vec![monitor(1, CHANGES)]), FlowMonitorFailed::MonitorExists);
        assert_eq!(updates(&mut rig, from, vec![]), []);
        rig.tell(from, Body::Monitor(MonitorMessage::Cancel(1)));
        assert_eq!(updates(&mut rig, from, vec![monitor(1, CHANGES)]), []);
    }
    // Whoever is gone hears nothing, nor does its place.
    rig.switch.disconnect(rig.now, NEW);
    rig.switch.connect(rig.now, NEW, Version::V13);
    assert_eq!(short(rig.send(OTHER, add(5, 2))), [(OLD, "added", 5, 0)]);
}

#[test]
fn updates_come_before_the_barrier_behind_them() {
    let mut rig = rig();
    updates(&mut rig, NEW, vec![monitor(1, CHANGES)]);
    // Nothing is polled in between.
    for (xid, body) in [(8, add(5, 2)), (9, Body::BarrierRequest)] {
        rig.switch.handle_message(rig.now, NEW, &Message::new(xid, body));
    }
    let outputs = rig.drain();
    assert!(
        matches!(
            &outputs[..],
            [
                Output::Message { message: Message { xid: 0, .. }, .. },
                Output::Message { message: Message { xid: 9, body: Body::BarrierReply }, .. },
            ]
        ),
        "{outputs:?}"
    );
}
