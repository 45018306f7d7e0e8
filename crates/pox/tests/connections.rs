//! Connections, from their first message to their last, with switches played by the test.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use openflow::Version;
use openflow::error::ErrorCode;
use openflow::flow::{FlowCommand, FlowMod, NO_BUFFER, PacketOut};
use openflow::matching::Match;
use openflow::message::{self, Body, Features, Message, PortReason};
use openflow::multipart::{Description, MultipartReply, Reply, Request};
use openflow::port::{Port, config, state};
use pox::{
    ConnectionDown, ConnectionId, ConnectionUp, Controller, Core, Dpid, ErrorIn, Event, FloodChanged, Flow,
    Input, OPENFLOW, Output, PacketIn, PortNo, PortStatus, Raw, RequestError, SendError, StatisticsReply,
    output,
};

type Diary = Rc<RefCell<Vec<String>>>;

fn read(diary: &Diary) -> Vec<String> {
    std::mem::take(&mut *diary.borrow_mut())
}

/// Notes every event of a kind.
fn note<E: Event>(core: &mut Core, diary: &Diary, text: impl Fn(&E) -> String + 'static) {
    let diary = Rc::clone(diary);
    core.listen(OPENFLOW, move |(): &mut (), event: &E, _: &mut Core| diary.borrow_mut().push(text(event)));
}

fn features(datapath: u64, ports: u32) -> Features {
    let port = |number| Port { number: PortNo(number), name: format!("p{number}"), ..Port::default() };
    Features { datapath, tables: 1, ports: (1..=ports).map(port).collect(), ..Features::default() }
}

fn sent(controller: &mut Controller) -> Vec<(ConnectionId, Message)> {
    let mut messages = Vec::new();
    while let Some(output) = controller.poll_output() {
        if let Output::Message { connection, message } = output {
            messages.push((connection, message));
        }
    }
    messages
}

fn tell(controller: &mut Controller, connection: ConnectionId, xid: u32, body: Body) {
    let message = Message::new(xid, body);
    controller.handle(Duration::ZERO, Input::Message { connection, message });
}

/// Connects a switch under a number that was not used before.
fn begin(controller: &mut Controller, version: Version, features: Features, peer: &str) -> ConnectionId {
    let id = ConnectionId(
        controller.core().connections().map(|connection| connection.id().0 + 1).max().unwrap_or(0),
    );
    controller.connected(Duration::ZERO, id, version, features, peer);
    id
}

/// Connects a switch, and answers its first barrier.
fn connect(controller: &mut Controller, version: Version, datapath: u64) -> ConnectionId {
    let id = begin(controller, version, features(datapath, 3), "test:1");
    let (_, barrier) = sent(controller).pop().unwrap();
    assert_eq!(barrier.body, Body::BarrierRequest);
    tell(controller, id, barrier.xid, Body::BarrierReply);
    id
}

fn packet_in(data: &[u8], buffer: u32, total_len: u16) -> Body {
    Body::PacketIn(openflow::flow::PacketIn {
        format: openflow::flow::PacketInFormat::Standard,
        buffer,
        total_len,
        reason: openflow::flow::PacketInReason::NoMatch,
        table: 0,
        cookie: 0,
        metadata: Match::Fields(vec![openflow::oxm::Oxm::exact(openflow::field::Field::InPort, 2)]),
        data: data.to_vec(),
    })
}

fn frame() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
    frame.extend([0x55; 46]);
    frame
}

#[test]
fn a_switch_is_put_in_order_before_anybody_knows_it() {
    for version in Version::ALL {
        let diary = Diary::default();
        let mut controller = Controller::new();
        note(controller.core_mut(), &diary, |event: &ConnectionUp| format!("{} up", event.datapath));
        note(controller.core_mut(), &diary, |event: &PacketIn| format!("packet of {}", event.datapath));
        let id = begin(&mut controller, version, features(7, 3), "test:1");
        let messages = sent(&mut controller);
        let bodies: Vec<&Body> = messages.iter().map(|(_, message)| &message.body).collect();
        assert!(matches!(bodies[0], Body::SetConfig(config) if config.miss_send_len == 0xffff));
        let emptied =
            |body: &&Body| matches!(body, Body::FlowMod(FlowMod { command: FlowCommand::Delete, .. }));
        let missed = |body: &&Body| matches!(body, Body::FlowMod(FlowMod { priority: 0, .. }));
        assert!(bodies.iter().any(emptied));
        assert_eq!(bodies.iter().any(missed), version == Version::V13);
        tell(&mut controller, id, 99, packet_in(&frame(), NO_BUFFER, 60));
        assert!(read(&diary).is_empty(), "nobody has asked for its packets");
        assert!(controller.core().connections().next().is_none());
        tell(&mut controller, id, messages.last().unwrap().1.xid, Body::BarrierReply);
        assert_eq!(read(&diary), ["0000000000000007 up"]);
        let connection = controller.core().connection(Dpid(7)).unwrap();
        assert_eq!((connection.ports().len(), connection.version()), (3, version));
        assert_eq!(connection.to_string(), format!("0000000000000007 ({version}, test:1)"));
    }
}

#[test]
fn a_switch_that_connects_anew_takes_its_own_place() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    note(controller.core_mut(), &diary, |event: &ConnectionUp| format!("{} up", event.connection));
    note(controller.core_mut(), &diary, |event: &ConnectionDown| {
        format!("{} down: {}", event.connection, event.reason)
    });
    let first = connect(&mut controller, Version::V13, 7);
    let second = begin(&mut controller, Version::V13, features(7, 3), "test:2");
    let (_, barrier) = sent(&mut controller).pop().unwrap();
    tell(&mut controller, second, barrier.xid, Body::BarrierReply);
    let closed = std::iter::from_fn(|| controller.poll_output());
    let closed: Vec<Output> = closed.filter(|output| matches!(output, Output::Close { .. })).collect();
    let reason = "the switch has connected anew".into();
    assert_eq!(closed, [Output::Close { connection: first, reason }]);
    let expected = ["connection 0 up", "connection 0 down: it has connected anew", "connection 1 up"];
    assert_eq!(read(&diary), expected);
    // What the edge says about the old one changes nothing.
    controller.handle(Duration::ZERO, Input::Disconnected { connection: first, reason: "closed".into() });
    assert_eq!(controller.core().connection(Dpid(7)).unwrap().id(), second);
    controller.handle(Duration::ZERO, Input::Disconnected { connection: second, reason: "closed".into() });
    assert_eq!(read(&diary), ["connection 1 down: closed"]);
    let core = controller.core_mut();
    assert_eq!(core.send(second, Body::BarrierRequest), Err(SendError::Down(second)));
    assert_eq!(core.send(Dpid(7), Body::BarrierRequest), Err(SendError::Disconnected(Dpid(7))));
}

#[test]
fn auxiliary_connections_are_turned_away() {
    let mut controller = Controller::new();
    let auxiliary = Features { auxiliary: 1, ..features(7, 3) };
    let id = begin(&mut controller, Version::V13, auxiliary, "test:1");
    let reason = "auxiliary connection 1 is not used".into();
    assert_eq!(controller.poll_output(), Some(Output::Close { connection: id, reason }));
}

#[test]
fn a_switch_that_never_answers_is_closed() {
    let mut controller = Controller::new();
    let id = begin(&mut controller, Version::V10, features(7, 3), "test:1");
    sent(&mut controller);
    assert_eq!(controller.next_deadline(), Some(Duration::from_secs(30)));
    controller.handle(Duration::from_secs(30), Input::Time);
    assert!(matches!(controller.poll_output(), Some(Output::Close { connection, .. }) if connection == id));
}

#[test]
fn requests_get_their_answers_and_nobody_else_does() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    note(controller.core_mut(), &diary, |event: &ErrorIn| format!("error {}", event.xid));
    note(controller.core_mut(), &diary, |event: &StatisticsReply| format!("statistics {}", event.xid));
    let id = connect(&mut controller, Version::V13, 7);
    let core = controller.core_mut();
    let told = Rc::clone(&diary);
    let description = core.statistics(id, Request::Description, move |(): &mut (), reply, _: &mut Core| {
        told.borrow_mut().push(format!("{:?}", reply.map(|reply| matches!(reply, Reply::Description(_)))));
    });
    let told = Rc::clone(&diary);
    let barrier = core.barrier(id, move |(): &mut (), done, _: &mut Core| {
        told.borrow_mut().push(format!("barrier {done:?}"));
    });
    let told = Rc::clone(&diary);
    let refused = core.barrier(id, move |(): &mut (), done, _: &mut Core| {
        told.borrow_mut().push(format!("refused {}", matches!(done, Err(RequestError::Refused(_)))));
    });
    let told = Rc::clone(&diary);
    core.barrier(id, move |(): &mut (), done, _: &mut Core| told.borrow_mut().push(format!("late {done:?}")))
        .unwrap();
    let told = Rc::clone(&diary);
    let unsaid = core.barrier(id, move |(): &mut (), done, _: &mut Core| {
        told.borrow_mut().push(done.unwrap_err().to_string());
    });
    let description = description.unwrap();
    let body = Reply::Description(Description::default());
    let reply = Body::MultipartReply(MultipartReply { flags: 0, body });
    tell(&mut controller, id, description, reply.clone());
    tell(&mut controller, id, barrier.unwrap(), Body::BarrierReply);
    let error = message::Error { code: ErrorCode { kind: 1, code: 1, experimenter: None }, data: Vec::new() };
    tell(&mut controller, id, refused.unwrap(), Body::Error(error.clone()));
    let unsaid =
        Input::Unsaid { connection: id, xid: unsaid.unwrap(), problem: "OF1.0 cannot say it".into() };
    controller.handle(Duration::ZERO, unsaid);
    assert_eq!(read(&diary), ["Ok(true)", "barrier Ok(())", "refused true", "not sent: OF1.0 cannot say it"]);
    // Whoever did not ask by callback hears of it as an event.
    tell(&mut controller, id, description, reply);
    tell(&mut controller, id, 1234, Body::Error(error));
    assert_eq!(read(&diary), [format!("statistics {description}"), "error 1234".into()]);
    controller.handle(Duration::from_secs(30), Input::Time);
    assert_eq!(read(&diary), ["late Err(Timeout)"]);
    assert_eq!(controller.core().connection(id).unwrap().waiting(), 0);
}

/// Three changes that are made, refused, not sayable, or cut off: one answer, by the first that failed.
#[test]
fn changes_are_answered_once_by_what_became_of_them() {
    let refusal = |xid| (xid, Body::Error(message::Error { code: ErrorCode::new(5, 1), data: Vec::new() }));
    for (fate, wanted) in [
        ("made", "Ok(())"),
        ("refused", "the switch refused it: OFPFMFC_TABLE_FULL"),
        ("unsaid", "not sent: too new"),
        ("gone", "the connection ended before the answer came"),
        ("silent", "no answer within 30 s"),
    ] {
        let (mut controller, diary) = (Controller::new(), Diary::default());
        let id = connect(&mut controller, Version::V13, 7);
        let told = Rc::clone(&diary);
        let then = move |(): &mut (), done: Result<(), RequestError>, _: &mut Core| {
            told.borrow_mut().push(done.map_or_else(|error| error.text(Version::V13), |()| "Ok(())".into()));
        };
        let changes = (1..=3).map(|priority| Flow::add(Match::new()).priority(priority));
        controller.core_mut().apply(id, changes, then).unwrap();
        let xids: Vec<u32> = sent(&mut controller).iter().map(|(_, message)| message.xid).collect();
        let [_, second, third, barrier] = xids[..] else { panic!("{xids:?}") };
        assert!(read(&diary).is_empty());
        match fate {
            "refused" => {
                for (xid, error) in [second, third].map(refusal) {
                    tell(&mut controller, id, xid, error);
                }
            }
            "unsaid" => {
                let problem = "too new".into();
                controller.handle(Duration::ZERO, Input::Unsaid { connection: id, xid: second, problem });
            }
            "gone" => {
                let input = Input::Disconnected { connection: id, reason: "gone".into() };
                controller.handle(Duration::ZERO, input);
            }
            "silent" => controller.handle(Duration::from_secs(31), Input::Time),
            _ => {}
        }
        if !matches!(fate, "gone" | "silent") {
            assert!(read(&diary).is_empty(), "{fate}: not before the barrier");
            tell(&mut controller, id, barrier, Body::BarrierReply);
        }
        assert_eq!(read(&diary), [wanted]);
        assert_eq!(controller.core().connection(id).map_or(0, pox::Connection::waiting), 0, "{fate}");
        // Errors that come later are nobody's.
        let (xid, error) = refusal(third);
        tell(&mut controller, id, xid, error);
        assert!(read(&diary).is_empty());
    }
}

#[test]
fn requests_of_a_switch_that_goes_are_answered() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    let id = connect(&mut controller, Version::V13, 7);
    let told = Rc::clone(&diary);
    let core = controller.core_mut();
    core.barrier(id, move |(): &mut (), done, _: &mut Core| told.borrow_mut().push(format!("{done:?}")))
        .unwrap();
    controller.handle(Duration::ZERO, Input::Disconnected { connection: id, reason: "gone".into() });
    assert_eq!(read(&diary), ["Err(Down)"]);
}

#[test]
fn listeners_of_one_connection_come_first_and_may_keep_it_from_the_others() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    note(controller.core_mut(), &diary, |event: &PacketIn| format!("all {}", event.datapath));
    let one = connect(&mut controller, Version::V13, 1);
    let two = connect(&mut controller, Version::V13, 2);
    let told = Rc::clone(&diary);
    controller.core_mut().listen(two, move |(): &mut (), event: &PacketIn, _: &mut Core| {
        told.borrow_mut().push(format!("two {}", event.datapath));
        pox::Verdict::Halt
    });
    for connection in [one, two] {
        tell(&mut controller, connection, 1, packet_in(&frame(), NO_BUFFER, 60));
    }
    assert_eq!(read(&diary), ["all 0000000000000001", "two 0000000000000002"]);
}

#[test]
fn packets_go_out_from_the_buffer_or_in_the_message() {
    let mut controller = Controller::new();
    let id = connect(&mut controller, Version::V13, 7);
    let core = controller.core_mut();
    core.listen(OPENFLOW, |(): &mut (), event: &PacketIn, core: &mut Core| {
        assert_eq!((event.in_port, event.source().0[5], event.destination().0[5]), (PortNo(2), 1, 2));
        core.install_for(event, Flow::add(event.exact_match()).output(PortNo(3)))
    });
    let buffered = packet_in(&frame()[..20], 5, 60);
    tell(&mut controller, id, 1, buffered);
    let bodies: Vec<Body> = sent(&mut controller).into_iter().map(|(_, message)| message.body).collect();
    assert!(matches!(&bodies[..], [Body::FlowMod(FlowMod { buffer: 5, .. })]), "{bodies:?}");
    tell(&mut controller, id, 1, packet_in(&frame(), NO_BUFFER, 60));
    let bodies: Vec<Body> = sent(&mut controller).into_iter().map(|(_, message)| message.body).collect();
    let [Body::FlowMod(flow), Body::PacketOut(out)] = &bodies[..] else { panic!("{bodies:?}") };
    assert_eq!(flow.buffer, NO_BUFFER);
    let (in_port, actions, data) = (PortNo(2), vec![output(PortNo(3))], frame());
    assert_eq!(*out, PacketOut { buffer: NO_BUFFER, in_port, actions, data });
    // Neither kept nor whole: it is lost, and that is said; the flow is there.
    tell(&mut controller, id, 1, packet_in(&frame()[..20], NO_BUFFER, 60));
    assert!(matches!(&sent(&mut controller)[..], [(_, Message { body: Body::FlowMod(_), .. })]));
    let failure = controller.core().health()[0].last_failure.clone();
    assert_eq!(failure.as_deref(), Some("the switch sent 20 bytes of a packet of 60, and kept no more"));
}

#[test]
fn packets_that_do_not_parse_fail_nobody() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    note(controller.core_mut(), &diary, |event: &PacketIn| {
        let nothing = event.arp().is_none() && event.udp().is_none() && event.icmpv4().is_none();
        format!("{} {} {:?}", event.ethernet().is_some(), nothing, event.exact_match())
    });
    let id = connect(&mut controller, Version::V13, 7);
    // An IPv4 header that lies about its length, a runt, nothing.
    let lying = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x4f, 0, 0, 99];
    for (data, ethernet) in [(&lying[..], true), (&lying[..13], false), (&[], false)] {
        tell(&mut controller, id, 1, packet_in(data, NO_BUFFER, data.len() as u16));
        let told = read(&diary);
        assert!(told[0].starts_with(&format!("{ethernet} true")), "{told:?}");
    }
    assert_eq!(controller.core().counters().failures, 0);
}

#[test]
fn ports_are_kept_up_to_date() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    note(controller.core_mut(), &diary, |event: &PortStatus| {
        format!("{:?} {} {}", event.reason, event.port.number.0, event.before.is_some())
    });
    let id = connect(&mut controller, Version::V10, 7);
    let port = |number, state| Port { number: PortNo(number), state, ..Port::default() };
    for (reason, port) in [
        (PortReason::Add, port(4, 0)),
        (PortReason::Modify, port(4, state::LINK_DOWN)),
        (PortReason::Delete, port(1, 0)),
    ] {
        tell(&mut controller, id, 0, Body::PortStatus(message::PortStatus { reason, port }));
    }
    assert_eq!(read(&diary), ["Add 4 false", "Modify 4 true", "Delete 1 true"]);
    let connection = controller.core().connection(id).unwrap();
    assert_eq!(connection.live_ports().map(|port| port.number.0).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn floods_obey_whoever_decides_port_by_port() {
    for version in Version::ALL {
        let diary = Diary::default();
        let mut controller = Controller::new();
        note(controller.core_mut(), &diary, |event: &FloodChanged| event.datapath.to_string());
        let open = connect(&mut controller, version, 1);
        let all = if version == Version::V10 { PortNo::FLOOD } else { PortNo::ALL };
        assert_eq!(controller.core().flood_actions(open), [output(all)]);
        controller.core_mut().hold_floods(true);
        let held = begin(&mut controller, version, features(2, 3), "test:1");
        let messages = sent(&mut controller);
        let closed = messages.iter().filter(|(_, message)| match &message.body {
            Body::PortMod(port) => port.config == config::NO_FLOOD && port.mask == config::NO_FLOOD,
            _ => false,
        });
        assert_eq!(closed.count(), if version == Version::V10 { 3 } else { 0 }, "1.3 has no such bit");
        tell(&mut controller, held, messages.last().unwrap().1.xid, Body::BarrierReply);
        assert_eq!(controller.core().flood_actions(held), []);
        let core = controller.core_mut();
        core.set_flood(held, PortNo(2), true).unwrap();
        core.set_flood(held, PortNo(2), true).unwrap(); // no change
        core.set_flood(Dpid(2), PortNo(3), true).unwrap();
        let list = match version {
            Version::V10 => vec![output(PortNo::FLOOD)],
            Version::V13 => vec![output(PortNo(2)), output(PortNo(3))],
        };
        assert_eq!(core.flood_actions(held), list);
        controller.handle(Duration::ZERO, Input::Time);
        assert_eq!(read(&diary), ["0000000000000002"; 2]);
    }
}

#[test]
fn whoever_wants_sees_every_message() {
    let diary = Diary::default();
    let mut controller = Controller::new();
    note(controller.core_mut(), &diary, |event: &Raw| format!("{:?} {}", event.direction, event.message.xid));
    let id = connect(&mut controller, Version::V10, 7);
    let told = read(&diary);
    let sends = told.iter().filter(|text| text.starts_with("Sent")).count();
    assert_eq!((sends, told.last().map(String::as_str)), (3, Some("Received 3")), "{told:?}");
    tell(&mut controller, id, 77, packet_in(&frame(), NO_BUFFER, 60));
    assert_eq!(read(&diary), ["Received 77"]);
}
