//! The channel: what both ends say to each other, and what a hostile peer can do.

use std::time::Duration;

use openflow::Version;
use openflow::channel::{
    ASSEMBLY_BYTES_MAX, Answer, Channel, Config, Counters, Down, EARLY_MAX, ERROR_DATA_BYTES, Event,
    REQUESTS_MAX, SendError, Versions,
};
use openflow::codec;
use openflow::flow::{FlowMod, NO_BUFFER, PacketIn, PacketInFormat, PacketInReason};
use openflow::matching::Match;
use openflow::message::{Body, Features, Message, PortReason, PortStatus, SwitchConfig};
use openflow::multipart::{Description, MORE, MultipartReply, MultipartRequest, Reply, Request};
use openflow::port::{Port, PortNo, PortStats};
use proptest::prelude::*;

const T0: Duration = Duration::ZERO;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn encoded(version: Version, xid: u32, body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(version, &Message::new(xid, body), &mut bytes).unwrap();
    bytes
}

fn hello(version: Version) -> Vec<u8> {
    vec![version.wire(), 0, 0, 8, 0, 0, 0, 9]
}

fn port(number: u32) -> Port {
    Port { number: PortNo(number), name: format!("eth{number}"), ..Port::default() }
}

fn packet_in(version: Version, data: &[u8]) -> Body {
    Body::PacketIn(PacketIn {
        format: PacketInFormat::Standard,
        buffer: NO_BUFFER,
        total_len: data.len() as u16,
        reason: PacketInReason::NoMatch,
        table: 0,
        cookie: if version == Version::V13 { 7 } else { 0 },
        metadata: Match::new().in_port(PortNo(1)),
        data: data.to_vec(),
    })
}

/// Everything that happens now.
fn events(channel: &mut Channel) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(event) = channel.poll_event() {
        all.push(format!("{event:?}"));
    }
    all
}

fn down(channel: &mut Channel) -> Down {
    while let Some(event) = channel.poll_event() {
        if let Event::Down(reason) = event {
            assert!(channel.is_down() && channel.next_deadline().is_none());
            assert!(channel.poll_event().is_none());
            return reason;
        }
    }
    panic!("it is not down");
}

/// All messages that wait to be sent, sent.
fn sent(channel: &mut Channel) -> Vec<(Version, Message)> {
    let mut bytes = channel.output().to_vec();
    channel.consume_output(bytes.len());
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        let message: Vec<u8> = bytes.drain(..length).collect();
        all.push(codec::decode(&message).unwrap());
    }
    all
}

/// A switch's end that is up.
fn switch(version: Version, config: Config) -> Channel {
    let mut channel = Channel::switch(config, T0);
    channel.handle_bytes(T0, &hello(version));
    assert_eq!(events(&mut channel).len(), 1);
    assert_eq!(channel.version(), Some(version));
    sent(&mut channel);
    channel
}

/// What a switch answers to what a controller's handshake asks.
fn answers(asked: &[(Version, Message)], ports: &[Port]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (version, message) in asked {
        let body = match (&message.body, version) {
            (Body::FeaturesRequest, Version::V10) => {
                Body::FeaturesReply(Features { datapath: 5, ports: ports.to_vec(), ..Features::default() })
            }
            (Body::FeaturesRequest, Version::V13) => {
                Body::FeaturesReply(Features { datapath: 5, ..Features::default() })
            }
            (Body::MultipartRequest(_), _) => {
                for port in ports {
                    let body = Reply::PortDescription(vec![port.clone()]);
                    let part = Body::MultipartReply(MultipartReply { flags: MORE, body });
                    bytes.extend(encoded(*version, message.xid, part));
                }
                Body::MultipartReply(MultipartReply { flags: 0, body: Reply::PortDescription(vec![]) })
            }
            (Body::BarrierRequest, _) => Body::BarrierReply,
            _ => continue,
        };
        bytes.extend(encoded(*version, message.xid, body));
    }
    bytes
}

/// A controller's end that is up.
fn controller(version: Version, config: Config) -> Channel {
    let mut channel = Channel::controller(config, T0);
    sent(&mut channel);
    channel.handle_bytes(T0, &hello(version));
    while !channel.is_up() {
        assert_eq!(events(&mut channel), [""; 0]);
        let answers = answers(&sent(&mut channel), &[port(1), port(2)]);
        assert!(!answers.is_empty(), "the handshake is stuck");
        channel.handle_bytes(T0, &answers);
        if let Some(Event::Up(up)) = channel.poll_event() {
            let features = up.features.unwrap();
            assert_eq!((up.version, features.datapath), (version, 5));
            assert_eq!(features.ports, [port(1), port(2)]);
        }
    }
    channel
}

#[test]
fn two_ends_agree_and_know_each_other() {
    for version in Version::ALL {
        let mut controller = controller(version, Config::default());
        assert_eq!((controller.is_up(), controller.version()), (true, Some(version)));
        assert_eq!(events(&mut controller), [""; 0]);
    }
}

#[test]
fn a_controller_tells_the_switch_how_to_treat_packets_before_it_is_up() {
    let config = SwitchConfig { flags: 0, miss_send_len: 0xffff };
    let mut channel = Channel::controller(Config { set_config: Some(config), ..Config::default() }, T0);
    channel.handle_bytes(T0, &hello(Version::V10));
    assert_eq!(events(&mut channel), [""; 0]);
    let bodies: Vec<Body> = sent(&mut channel).into_iter().map(|(_, message)| message.body).collect();
    assert!(
        matches!(&bodies[..], [Body::Hello(_), Body::FeaturesRequest, Body::SetConfig(set)] if *set == config)
    );
}

#[test]
fn what_comes_during_the_handshake_is_kept_in_order_and_bounded() {
    let mut channel = Channel::controller(Config::default(), T0);
    sent(&mut channel);
    let status = |n: u32| Body::PortStatus(PortStatus { reason: PortReason::Modify, port: port(n) });
    channel.handle_bytes(T0, &hello(Version::V13));
    for n in 1..=EARLY_MAX as u32 + 10 {
        channel.handle_bytes(T0, &encoded(Version::V13, 0, status(n)));
        channel.handle_bytes(T0, &encoded(Version::V13, 0, packet_in(Version::V13, b"early")));
    }
    let mut all = Vec::new();
    while !channel.is_up() {
        all.extend(events(&mut channel));
        let answers = answers(&sent(&mut channel), &[port(1)]);
        channel.handle_bytes(T0, &answers);
        all.extend(events(&mut channel));
    }
    assert_eq!(all.len(), 1 + EARLY_MAX);
    assert!(all[0].starts_with("Up("));
    assert!(all[1].contains("eth1\"") && all[EARLY_MAX].contains(&format!("eth{EARLY_MAX}\"")));
    let counters = channel.counters();
    assert_eq!((counters.early_dropped, counters.packet_ins_dropped), (10, 10 + EARLY_MAX as u64));
}

#[test]
fn a_switch_that_knows_no_barriers_or_port_descriptions_is_taken_all_the_same() {
    let mut channel = Channel::controller(Config::default(), T0);
    sent(&mut channel);
    channel.handle_bytes(T0, &hello(Version::V13));
    for _ in 0..5 {
        assert!(events(&mut channel).len() <= 1);
        for (version, message) in sent(&mut channel) {
            let bytes = match message.body {
                Body::FeaturesRequest => answers(&[(version, message)], &[]),
                // Type 1 (bad request), code 1 (bad type).
                _ => {
                    let mut bytes = vec![4, 1, 0, 12];
                    bytes.extend(message.xid.to_be_bytes());
                    bytes.extend([0, 1, 0, 1]);
                    bytes
                }
            };
            channel.handle_bytes(T0, &bytes);
        }
    }
    assert!(channel.is_up());
}

#[test]
fn no_version_in_common_ends_with_an_error_that_says_so() {
    for (ours, theirs) in [(Versions::ALL, 2), (Versions::only(Version::V13), 1)] {
        let mut channel = Channel::switch(Config { versions: ours, ..Config::default() }, T0);
        sent(&mut channel);
        channel.handle_bytes(T0, &[theirs, 0, 0, 8, 0, 0, 0, 77]);
        let Down::Version(text) = down(&mut channel) else { panic!() };
        let told = sent(&mut channel);
        let [(_, Message { xid: 77, body: Body::Error(error) })] = &told[..] else { panic!("{told:?}") };
        assert_eq!((error.code.kind, error.code.code), (0, 0));
        assert_eq!(error.data, text.as_bytes());
        assert!(text.contains(&format!("{theirs:#04x}")), "{text}");
        // The other side hears it, whatever version the error has.
        let mut other = Channel::controller(Config::default(), T0);
        let mut bytes = vec![2, 1, 0, 12 + text.len() as u8, 0, 0, 0, 1, 0, 0, 0, 0];
        bytes.extend(text.as_bytes());
        other.handle_bytes(T0, &bytes);
        assert_eq!(down(&mut other), Down::Refused(text));
    }
}

#[test]
fn nothing_but_a_hello_comes_first() {
    let mut channel = Channel::switch(Config::default(), T0);
    channel.handle_bytes(T0, &encoded(Version::V10, 1, Body::FeaturesRequest));
    assert_eq!(down(&mut channel), Down::NoHello { kind: 5 });
}

#[test]
fn after_the_hello_another_version_is_the_end() {
    let mut channel = switch(Version::V13, Config::default());
    let wrong = encoded(Version::V10, 3, Body::BarrierRequest);
    channel.handle_bytes(T0, &wrong);
    assert_eq!(down(&mut channel), Down::OtherVersion { got: 1, agreed: Version::V13 });
    let told = sent(&mut channel);
    let [(Version::V13, Message { xid: 3, body: Body::Error(error) })] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((error.code.kind, error.code.code, &error.data), (1, 0, &wrong));
}

#[test]
fn lengths_that_lie() {
    for length in 0..8 {
        let mut channel = switch(Version::V13, Config::default());
        channel.handle_bytes(T0, &[4, 5, 0, length, 0, 0, 0, 1]);
        assert!(matches!(down(&mut channel), Down::Frame(_)), "{length}");
    }
    // Longer than what is there: it waits, then it is stuck.
    let mut channel = switch(Version::V13, Config::default());
    channel.handle_bytes(T0, &[4, 5, 0xff, 0xff, 0, 0, 0, 1, 1, 2, 3]);
    assert_eq!(events(&mut channel), [""; 0]);
    channel.expire(seconds(10));
    channel.handle_bytes(seconds(19), &[0; 1000]);
    channel.expire(seconds(20));
    assert_eq!(down(&mut channel), Down::Stalled { have: 1011, length: 65_535 });
}

#[test]
fn a_peer_that_trickles_is_no_better_than_one_that_is_silent() {
    let mut channel = switch(Version::V10, Config::default());
    let mut now = T0;
    let message = [1, 5, 0xff, 0xff];
    for n in 0.. {
        channel.handle_bytes(now, &message[n % 4..=n % 4]);
        if channel.next_deadline().is_some_and(|due| due <= now) {
            channel.expire(now);
        }
        if let Some(event) = channel.poll_event() {
            assert!(matches!(event, Event::Down(Down::Stalled { .. })), "{event:?}");
            break;
        }
        now += seconds(1);
        assert!(now < seconds(30), "it is still up");
    }
}

#[test]
fn what_cannot_be_read_is_answered_and_passed_over() {
    for version in Version::ALL {
        let mut channel = switch(version, Config::default());
        // No such type; and a flow-mod that is cut short, longer than is quoted.
        let mut bytes = vec![version.wire(), 200, 0, 8, 0, 0, 0, 1];
        let mut cut = encoded(version, 2, Body::FlowMod(FlowMod::default()));
        let length = cut.len() + 100;
        cut.resize(length, 0xee);
        cut[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        bytes.extend(&cut);
        bytes.extend(encoded(version, 3, Body::BarrierRequest));
        channel.handle_bytes(T0, &bytes);
        let all = events(&mut channel);
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(all[0].starts_with("Unreadable") && all[1].starts_with("Unreadable"), "{all:?}");
        assert!(all[2].contains("BarrierRequest"));
        let told = sent(&mut channel);
        let [
            (_, Message { xid: 1, body: Body::Error(first) }),
            (_, Message { xid: 2, body: Body::Error(second) }),
        ] = &told[..]
        else {
            panic!("{told:?}")
        };
        assert_eq!((first.code.kind, first.code.code, first.data.len()), (1, 1, 8));
        assert_eq!(second.data, cut[..ERROR_DATA_BYTES]);
        assert_eq!(channel.counters().unreadable, 2);
    }
}

#[test]
fn errors_are_not_answered_with_errors() {
    let mut channel = switch(Version::V13, Config::default());
    // An error without type and code.
    channel.handle_bytes(T0, &[4, 1, 0, 8, 0, 0, 0, 1]);
    assert!(events(&mut channel)[0].starts_with("Unreadable"));
    assert_eq!(sent(&mut channel), []);
}

#[test]
fn echoes_are_answered_and_keep_it_alive() {
    let mut channel = switch(Version::V13, Config::default());
    channel.handle_bytes(T0, &encoded(Version::V13, 8, Body::EchoRequest(b"are you there?".to_vec())));
    assert_eq!(events(&mut channel), [""; 0]);
    assert_eq!(
        sent(&mut channel),
        [(Version::V13, Message::new(8, Body::EchoReply(b"are you there?".to_vec())))]
    );

    let mut now = T0;
    for _ in 0..100 {
        let due = channel.next_deadline().unwrap();
        assert_eq!(due, now + seconds(10));
        now = due;
        channel.expire(now);
        let asked = sent(&mut channel);
        let [(_, Message { xid, body: Body::EchoRequest(_) })] = asked[..] else { panic!("{asked:?}") };
        assert_eq!(channel.next_deadline().unwrap(), now + seconds(10));
        now += seconds(9);
        channel.handle_bytes(now, &encoded(Version::V13, xid, Body::EchoReply(vec![])));
        assert_eq!(events(&mut channel), [""; 0]);
    }
    channel.expire(now + seconds(10));
    channel.expire(now + seconds(20));
    assert_eq!(down(&mut channel), Down::Silent(seconds(20)));
}

#[test]
fn a_handshake_does_not_take_for_ever() {
    let mut channel = Channel::controller(Config::default(), T0);
    channel.expire(seconds(9));
    assert!(!channel.is_down());
    channel.expire(channel.next_deadline().unwrap());
    assert_eq!(down(&mut channel), Down::Handshake("hello"));

    // One that answers echoes and never says what it is.
    let mut channel = Channel::controller(Config::default(), T0);
    channel.handle_bytes(T0, &hello(Version::V13));
    for n in 0..10 {
        channel.handle_bytes(seconds(n), &encoded(Version::V13, 1, Body::EchoRequest(vec![])));
        assert_eq!(events(&mut channel), [""; 0]);
        channel.expire(seconds(n));
    }
    channel.expire(seconds(10));
    assert_eq!(down(&mut channel), Down::Handshake("features"));
}

#[test]
fn replies_find_their_requests() {
    let mut channel = controller(Version::V13, Config::default());
    let outbox = channel.outbox();
    let barrier = outbox.request(seconds(5), &Body::BarrierRequest).unwrap();
    let describe = Body::MultipartRequest(MultipartRequest { flags: 0, body: Request::Description });
    let description = outbox.request(seconds(5), &describe).unwrap();
    let refused = outbox.request(seconds(5), &Body::GetConfigRequest).unwrap();
    let late = outbox.request(seconds(4), &Body::GetAsyncRequest).unwrap();
    assert!(matches!(
        outbox.request(seconds(5), &Body::FlowMod(FlowMod::default())),
        Err(SendError::Request)
    ));
    sent(&mut channel);

    // In any order; a reply of another kind under the same transaction is none.
    let reply = Reply::Description(Description { software: "weft".into(), ..Description::default() });
    let reply = Body::MultipartReply(MultipartReply { flags: 0, body: reply });
    channel.handle_bytes(T0, &encoded(Version::V13, barrier, reply.clone()));
    channel.handle_bytes(T0, &encoded(Version::V13, description, reply));
    channel.handle_bytes(T0, &encoded(Version::V13, barrier, Body::BarrierReply));
    let mut error = vec![4, 1, 0, 12];
    error.extend(refused.to_be_bytes());
    error.extend([0, 1, 0, 1]);
    channel.handle_bytes(T0, &error);
    // A second answer is just a message.
    channel.handle_bytes(T0, &encoded(Version::V13, barrier, Body::BarrierReply));

    let mut seen = Vec::new();
    while let Some(event) = channel.poll_event() {
        seen.push(match event {
            Event::Answer { xid, answer: Answer::Reply(_) } => (xid, "reply"),
            Event::Answer { xid, answer: Answer::Failed(_) } => (xid, "failed"),
            Event::Message(message) => (message.xid, "message"),
            other => panic!("{other:?}"),
        });
    }
    let expected = [
        (barrier, "message"),
        (description, "reply"),
        (barrier, "reply"),
        (refused, "failed"),
        (barrier, "message"),
    ];
    assert_eq!(seen, expected);

    assert_eq!(channel.next_deadline(), Some(seconds(4)));
    channel.expire(seconds(4));
    match channel.poll_event() {
        Some(Event::Answer { xid, answer: Answer::TimedOut }) => assert_eq!(xid, late),
        other => panic!("{other:?}"),
    }
    assert_eq!(channel.next_deadline(), Some(seconds(10)));
}

#[test]
fn so_many_requests_wait_and_no_more() {
    let mut channel = controller(Version::V13, Config::default());
    let outbox = channel.outbox();
    let mut xids: Vec<u32> =
        (0..REQUESTS_MAX).map(|_| outbox.request(seconds(5), &Body::BarrierRequest).unwrap()).collect();
    assert!(matches!(outbox.request(seconds(5), &Body::BarrierRequest), Err(SendError::Request)));
    xids.sort_unstable();
    xids.dedup();
    assert_eq!(xids.len(), REQUESTS_MAX);
    channel.handle_bytes(T0, &encoded(Version::V13, xids[0], Body::BarrierReply));
    assert_eq!(events(&mut channel).len(), 1);
    channel.outbox().request(seconds(5), &Body::BarrierRequest).unwrap();
    channel.expire(seconds(5));
    assert_eq!(events(&mut channel).len(), REQUESTS_MAX);
}

/// A part of a reply with `count` ports' counters.
fn counters_of(first: u32, count: u32, flags: u16) -> Body {
    let stats =
        (first..first + count).map(|n| PortStats { port: PortNo(n), ..PortStats::default() }).collect();
    Body::MultipartReply(MultipartReply { flags, body: Reply::Port(stats) })
}

#[test]
fn parts_of_a_reply_come_as_one() {
    let mut channel = controller(Version::V13, Config::default());
    let ask = Body::MultipartRequest(MultipartRequest { flags: 0, body: Request::Port(PortNo::ANY) });
    let xid = channel.outbox().request(seconds(5), &ask).unwrap();
    for (xid, body) in [
        (xid, counters_of(1, 3, MORE)),
        (xid + 1000, counters_of(100, 1, MORE)),
        (xid, counters_of(4, 3, MORE)),
        (xid + 1000, counters_of(101, 1, 0)),
        (xid, counters_of(7, 1, 0)),
    ] {
        channel.handle_bytes(T0, &encoded(Version::V13, xid, body));
    }
    let ports = |body: &Body| match body {
        Body::MultipartReply(MultipartReply { flags: 0, body: Reply::Port(ports) }) => {
            ports.iter().map(|stats| stats.port.0).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    match channel.poll_event() {
        Some(Event::Message(message)) => assert_eq!(ports(&message.body), [100, 101]),
        other => panic!("{other:?}"),
    }
    match channel.poll_event() {
        Some(Event::Answer { xid: got, answer: Answer::Reply(body) }) => {
            assert_eq!((got, ports(&body)), (xid, vec![1, 2, 3, 4, 5, 6, 7]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reply_without_end_is_not_kept_without_end() {
    let mut channel = controller(Version::V13, Config::default());
    let ask = Body::MultipartRequest(MultipartRequest { flags: 0, body: Request::Port(PortNo::ANY) });
    let xid = channel.outbox().request(seconds(5), &ask).unwrap();
    let part = encoded(Version::V13, xid, counters_of(1, 500, MORE));
    for _ in 0..=ASSEMBLY_BYTES_MAX / part.len() {
        channel.handle_bytes(T0, &part);
        assert_eq!(events(&mut channel), [""; 0]);
    }
    channel.handle_bytes(T0, &encoded(Version::V13, xid, counters_of(1, 1, 0)));
    assert!(matches!(channel.poll_event(), Some(Event::Answer { answer: Answer::TooLong, .. })));
}

#[test]
fn who_does_not_read_is_cut_off_and_loses_packet_ins_before() {
    let config = Config { output_max: 100_000, ..Config::default() };
    let mut channel = switch(Version::V13, config);
    let packet = packet_in(Version::V13, &[7; 1000]);
    let (mut taken, mut dropped) = (0, 0);
    for _ in 0..1000 {
        match channel.send_body(&packet) {
            Ok(_) => taken += 1,
            Err(SendError::Full) => dropped += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!((45..=50).contains(&taken), "{taken}");
    assert_eq!(channel.counters().packet_ins_dropped, dropped);
    // Answers still go out, and requests are not read meanwhile.
    assert!(!channel.wants_input());
    channel.send_body(&Body::BarrierReply).unwrap();
    assert_eq!(events(&mut channel), [""; 0]);
    // Once it reads there is room again.
    channel.consume_output(90_000);
    assert!(channel.wants_input());
    channel.send_body(&packet).unwrap();

    let mut refused = 0;
    for _ in 0..1000 {
        let body = Body::EchoReply(vec![0; 1000]);
        refused += u32::from(channel.send_body(&body).is_err());
    }
    assert!(refused > 890 && channel.output().len() <= 100_000);
    assert!(matches!(down(&mut channel), Down::Slow(_)));
    assert!(matches!(channel.send_body(&Body::BarrierReply), Err(SendError::Full | SendError::NotUp)));
}

#[test]
fn a_controller_whose_switch_does_not_read_drops_its_packet_ins_and_reads_on() {
    let mut channel = controller(Version::V10, Config { output_max: 100_000, ..Config::default() });
    for _ in 0..60 {
        channel.send_body(&Body::EchoRequest(vec![0; 1000])).unwrap();
    }
    assert!(channel.wants_input());
    let mut bytes = encoded(Version::V10, 0, packet_in(Version::V10, b"abc"));
    bytes.extend(encoded(Version::V10, 4, Body::BarrierReply));
    channel.handle_bytes(T0, &bytes);
    let all = events(&mut channel);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("BarrierReply"));
    assert_eq!(channel.counters().packet_ins_dropped, 1);
}

#[test]
fn a_flood_of_echo_requests_is_answered_up_to_a_limit() {
    let mut channel = switch(Version::V10, Config { output_max: 1 << 16, ..Config::default() });
    let echo = encoded(Version::V10, 1, Body::EchoRequest(vec![1; 1000]));
    for _ in 0..100 {
        channel.handle_bytes(T0, &echo);
        if let Some(event) = channel.poll_event() {
            assert!(matches!(event, Event::Down(Down::Slow(_))), "{event:?}");
            assert!(channel.output().len() <= 1 << 16);
            return;
        }
    }
    panic!("it is still up");
}

#[test]
fn a_switch_says_which_of_its_connections_this_is() {
    let mut channel = switch(Version::V13, Config { auxiliary: 3, ..Config::default() });
    channel.send_body(&Body::FeaturesReply(Features { datapath: 5, ..Features::default() })).unwrap();
    let told = sent(&mut channel);
    let [(_, Message { body: Body::FeaturesReply(features), .. })] = &told[..] else { panic!("{told:?}") };
    assert_eq!((features.datapath, features.auxiliary), (5, 3));
}

#[test]
fn a_packet_in_is_read_where_it_lies_and_answered_meanwhile() {
    for version in Version::ALL {
        let mut channel = controller(version, Config::default());
        let bytes = encoded(version, 0, packet_in(version, b"a frame"));
        channel.handle_bytes(T0, &bytes);
        let Some((Event::PacketIn(view), outbox)) = channel.poll() else { panic!() };
        assert_eq!(codec::PacketInView::new(&bytes), Ok(Some(view)));
        assert_eq!((view.in_port, view.data), (PortNo(1), &b"a frame"[..]));
        outbox.send_body(&Body::EchoRequest(view.data.to_vec())).unwrap();
        assert_eq!(sent(&mut channel)[0].1.body, Body::EchoRequest(b"a frame".to_vec()));
    }
}

#[test]
fn closed_by_the_peer() {
    let mut channel = switch(Version::V13, Config::default());
    channel.handle_bytes(T0, &encoded(Version::V13, 1, Body::BarrierRequest));
    channel.handle_closed(T0);
    assert!(matches!(channel.poll_event(), Some(Event::Message(_))), "what came before is still told");
    assert_eq!(down(&mut channel), Down::Closed);

    let mut channel = switch(Version::V13, Config::default());
    channel.handle_bytes(T0, &[4, 5, 0]);
    channel.handle_closed(T0);
    assert_eq!(down(&mut channel), Down::Cut { have: 3 });
}

#[test]
fn counters_count() {
    let mut channel = switch(Version::V13, Config::default());
    channel.handle_bytes(T0, &encoded(Version::V13, 1, Body::EchoRequest(vec![])));
    events(&mut channel);
    let expected = Counters { messages_in: 2, messages_out: 2, ..Counters::default() };
    assert_eq!(channel.counters(), expected);
}

proptest! {
    /// However the bytes are cut, the same happens, and the same is answered.
    #[test]
    fn delivery_makes_no_difference(
        which in prop::collection::vec(0..8usize, 0..40), v13: bool, cuts in prop::collection::vec(1..200usize, 1..20),
    ) {
        let version = if v13 { Version::V13 } else { Version::V10 };
        let mut bytes = hello(version);
        for (xid, which) in which.into_iter().enumerate() {
            let xid = xid as u32 + 1;
            bytes.extend(match which {
                0 => encoded(version, xid, Body::EchoRequest(vec![9; xid as usize])),
                1 => encoded(version, xid, Body::FlowMod(FlowMod::default())),
                2 => encoded(version, xid, Body::BarrierRequest),
                3 => vec![version.wire(), 99, 0, 9, 0, 0, 0, xid as u8, 0],
                4 => encoded(version, xid, packet_in(version, &vec![1; 3 * xid as usize])),
                5 => encoded(version, 1, counters_of(xid, 2, MORE)),
                6 => encoded(version, 1, counters_of(xid, 2, 0)),
                _ => encoded(version, xid, Body::EchoReply(vec![])),
            });
        }
        let mut whole = Channel::switch(Config::default(), T0);
        whole.handle_bytes(T0, &bytes);
        let expected = events(&mut whole);
        let mut cut = Channel::switch(Config::default(), T0);
        let (mut rest, mut seen) = (&bytes[..], Vec::new());
        for length in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*length).min(rest.len()));
            // Half of it by the other way in.
            if length % 2 == 0 {
                cut.handle_bytes(T0, now);
            } else {
                let mut now = now;
                while !now.is_empty() {
                    let space = cut.input_space();
                    let count = space.len().min(now.len());
                    space[..count].copy_from_slice(&now[..count]);
                    cut.input_filled(T0, count);
                    now = &now[count..];
                    seen.extend(events(&mut cut));
                }
            }
            seen.extend(events(&mut cut));
            rest = later;
        }
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(cut.output(), whole.output());
    }
}
