//! What a user of the tracker sees besides TCP: translations, a full table, deadlines, fragments, checksums.

use std::net::SocketAddr;

use netbricks::conntrack::{AlterError, Config, Direction, End, Invalid, State, TcpState, Tracker};
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::{IpProtocol, icmpv4, ipv4, tcp, udp};

mod conntrack_scripts;
use conntrack_scripts::{Ends, Segment, ip_frame};

const SECOND: u64 = 1_000_000_000;

fn tracker(config: &Config) -> Tracker<u32> {
    Tracker::new(config, FlowHasher::new(11))
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn udp_frame(source: &str, destination: &str) -> Vec<u8> {
    let (source, destination) = (at(source), at(destination));
    let mut bytes = [0; 8];
    let mut view = udp::View::new_unchecked(&mut bytes[..]);
    udp::Repr { source_port: source.port(), destination_port: destination.port(), payload_len: 0 }
        .emit(&mut view);
    view.fill_checksum(source.ip(), destination.ip());
    ip_frame(source, destination, IpProtocol::UDP, &bytes)
}

fn track(tracker: &mut Tracker<u32>, now_ns: u64, frame: &[u8]) -> State {
    tracker.track(now_ns, &Layers::of(frame).unwrap(), frame).state
}

fn key(source: &str, destination: &str) -> FlowKey {
    FlowKey::new(IpProtocol::UDP, at(source), at(destination)).unwrap()
}

#[test]
fn a_translated_flow_is_found_by_both_its_tuples() {
    let mut nat = tracker(&Config::default());
    let out = udp_frame("10.0.0.1:5000", "9.9.9.9:53");
    let verdict = nat.track(0, &Layers::of(&out).unwrap(), &out);
    let id = verdict.flow.unwrap();
    nat.flow_mut(id).unwrap().data = 61_000;
    nat.alter_reply(id, key("9.9.9.9:53", "192.0.2.1:61000"), 0).unwrap();

    assert_eq!(track(&mut nat, 1, &udp_frame("9.9.9.9:53", "192.0.2.1:61000")), State::Established);
    assert_eq!(track(&mut nat, 2, &out), State::Established);
    let flow = nat.flow(id).unwrap();
    assert_eq!((flow.data, flow.traffic(Direction::Reply).packets), (61_000, 1));
    assert_eq!(
        flow.to_string(),
        "udp 10.0.0.1:5000 -> 9.9.9.9:53 reply udp 9.9.9.9:53 -> 192.0.2.1:61000 packets 2/1 bytes 56/28"
    );

    // What would have been the answer without the translation belongs to nobody.
    let stray = track(&mut nat, 3, &udp_frame("9.9.9.9:53", "10.0.0.1:5000"));
    assert_eq!(stray, State::Invalid(Invalid::Collision));
    // An error from outside quotes the translated packet; it belongs to the flow all the same.
    let sent = udp_frame("192.0.2.1:61000", "9.9.9.9:53");
    let mut error = vec![0; 8 + 28];
    icmpv4::Repr::unreachable(3, &sent[14..]).emit(&mut icmpv4::View::new_unchecked(&mut error[..]));
    let error = ip_frame(at("9.9.9.9:0"), at("192.0.2.1:0"), IpProtocol::ICMP, &error);
    let verdict = nat.track(4, &Layers::of(&error).unwrap(), &error);
    assert_eq!(
        (verdict.state, verdict.direction, verdict.flow),
        (State::Related, Direction::Reply, Some(id))
    );
}

#[test]
fn a_reply_tuple_has_one_owner() {
    let mut nat = tracker(&Config { translations: 1, ..Config::default() });
    let open = |nat: &mut Tracker<u32>, port: u16| {
        let frame = udp_frame(&format!("10.0.0.1:{port}"), "9.9.9.9:53");
        nat.track(0, &Layers::of(&frame).unwrap(), &frame).flow.unwrap()
    };
    let (first, second) = (open(&mut nat, 1), open(&mut nat, 2));
    let outside = key("9.9.9.9:53", "192.0.2.1:61000");
    nat.alter_reply(first, outside, 0).unwrap();
    let collision = Err(AlterError::Collision { reply: outside, flow: first });
    assert_eq!(nat.alter_reply(second, outside, 0), collision);
    let other = key("9.9.9.9:53", "192.0.2.1:61001");
    assert!(matches!(nat.alter_reply(second, other, 0), Err(AlterError::Full(_))));
    let theirs = key("9.9.9.9:53", "10.0.0.1:1");
    assert_eq!(nat.alter_reply(second, theirs, 0), Err(AlterError::Collision { reply: theirs, flow: first }));
    assert_eq!(nat.counters().collisions, 2);
    let tcp = FlowKey::new(IpProtocol::TCP, at("9.9.9.9:53"), at("192.0.2.1:61002")).unwrap();
    assert_eq!(nat.alter_reply(first, tcp, 0), Err(AlterError::Protocol { reply: tcp }));
    nat.alter_reply(first, outside, 0).unwrap(); // as it is
    nat.alter_reply(first, other, 0).unwrap();
    assert_eq!(nat.find(&outside, 0), None);
    nat.alter_reply(first, theirs, 0).unwrap(); // as it was
    assert!(!nat.flow(first).unwrap().is_altered());
    nat.alter_reply(second, outside, 0).unwrap();
    nat.remove(second).unwrap();
    assert_eq!(nat.alter_reply(second, outside, 0), Err(AlterError::Gone));
    nat.alter_reply(first, outside, 0).unwrap(); // the place is free again
}

#[test]
fn a_full_table_gives_up_what_nobody_answered_first() {
    let mut small = tracker(&Config { flows: 3, ..Config::default() });
    let answered = |tracker: &mut Tracker<u32>, now_ns| {
        track(tracker, now_ns, &udp_frame("10.0.0.1:1", "10.0.0.9:53"));
        track(tracker, now_ns, &udp_frame("10.0.0.9:53", "10.0.0.1:1"));
    };
    answered(&mut small, 0);
    track(&mut small, 1, &udp_frame("10.0.0.1:2", "10.0.0.9:53"));
    track(&mut small, 2, &udp_frame("10.0.0.1:3", "10.0.0.9:53"));
    let mut gone = Vec::new();
    let frame = udp_frame("10.0.0.1:4", "10.0.0.9:53");
    let layers = Layers::of(&frame).unwrap();
    let verdict = small.track_with(3, &layers, &frame, &mut |end, flow| gone.push((end, *flow.original())));
    assert_eq!(verdict.state, State::New);
    assert_eq!(gone, [(End::Evicted, key("10.0.0.1:2", "10.0.0.9:53"))]);
    assert!(small.find(&key("10.0.0.1:1", "10.0.0.9:53"), 3).is_some(), "the answered flow stays");
}

#[test]
fn assured_flows_are_not_given_up() {
    let mut small = tracker(&Config { flows: 2, ..Config::default() });
    for now_ns in [0, 3 * SECOND] {
        for port in [1, 2] {
            let (here, there) = (format!("10.0.0.1:{port}"), "10.0.0.9:53");
            track(&mut small, now_ns, &udp_frame(&here, there));
            track(&mut small, now_ns, &udp_frame(there, &here));
        }
    }
    assert!(small.iter().all(|(_, flow)| flow.is_assured()));
    let third = udp_frame("10.0.0.1:3", "10.0.0.9:53");
    assert_eq!(track(&mut small, 4 * SECOND, &third), State::Invalid(Invalid::TableFull));
    assert_eq!((small.counters().full(), small.counters().evicted), (1, 0));
    // 120 s later they have ended by themselves.
    assert_eq!(track(&mut small, 124 * SECOND, &third), State::New);
    assert!(small.counters().expired > 0);
}

#[test]
fn a_connection_that_is_over_may_be_given_up() {
    let mut small = tracker(&Config { flows: 1, ..Config::default() });
    let ends = Ends { client: at("10.0.0.1:1"), server: at("10.0.0.2:2") };
    let send = |tracker: &mut Tracker<u32>, direction, flags, sequence, ack| {
        let segment =
            Segment { flags, repr: tcp::Repr { sequence, ack, window: 100, ..tcp::Repr::default() }, len: 0 };
        track(tracker, 0, &ends.frame(direction, &segment))
    };
    let (syn, ack, rst) = (tcp::Flags::SYN, tcp::Flags::ACK, tcp::Flags::RST);
    send(&mut small, Direction::Original, syn, 1, 0);
    send(&mut small, Direction::Reply, syn | ack, 1, 2);
    send(&mut small, Direction::Original, ack, 2, 2);
    let other = udp_frame("10.0.0.1:2", "10.0.0.9:53");
    // Its turn in the queue passes while it is open …
    assert_eq!(track(&mut small, 0, &other), State::Invalid(Invalid::TableFull));
    // … and comes again when it is reset.
    assert_eq!(send(&mut small, Direction::Original, rst, 2, 0), State::Established);
    assert_eq!(small.iter().next().unwrap().1.tcp_state(), Some(TcpState::Close));
    assert_eq!(track(&mut small, 0, &other), State::New);
}

#[test]
fn udp_lives_30_s_unanswered_and_120_s_as_a_stream() {
    let mut tracker = tracker(&Config::default());
    let (there, back) = (udp_frame("10.0.0.1:1", "10.0.0.9:53"), udp_frame("10.0.0.9:53", "10.0.0.1:1"));
    let mut lives = |now_ns, frame: &[u8]| {
        let verdict = tracker.track(now_ns, &Layers::of(frame).unwrap(), frame);
        tracker.deadline_ns(verdict.flow.unwrap()).unwrap() - now_ns
    };
    assert_eq!(lives(0, &there), 30 * SECOND);
    assert_eq!(lives(1, &back), 30 * SECOND);
    assert_eq!(lives(2, &there), 30 * SECOND); // a question and its answer are no stream
    assert_eq!(lives(2 * SECOND + 1, &back), 120 * SECOND);
    assert_eq!(tracker.next_deadline_ns().map(|ns| ns <= 122 * SECOND + 1), Some(true));
    let mut gone = Vec::new();
    tracker.expire(122 * SECOND, 100, |flow| gone.push(flow));
    assert!(gone.is_empty());
    tracker.expire(122 * SECOND + 1, 100, |flow| gone.push(flow));
    assert_eq!((gone.len(), gone[0].traffic(Direction::Reply).packets, tracker.is_empty()), (1, 2, true));
}

#[test]
fn later_fragments_are_handed_back_and_the_first_is_tracked() {
    let mut tracker = tracker(&Config { checksums: true, ..Config::default() });
    let mut fragment = |offset, more| {
        let mut frame = udp_frame("10.0.0.1:1", "10.0.0.9:53");
        let mut ip = ipv4::View::new_checked(&mut frame[14..]).unwrap();
        ip.set_fragment(false, more, offset);
        ip.fill_checksum();
        track(&mut tracker, 0, &frame)
    };
    assert_eq!(fragment(8, true), State::Fragment);
    assert_eq!(fragment(0, true), State::New);
    assert_eq!(fragment(16, false), State::Fragment);
    assert_eq!((tracker.counters().fragments, tracker.len()), (2, 1));
}

#[test]
fn the_first_fragment_of_a_segment_ends_the_window_check() {
    let mut tracker = tracker(&Config::default());
    let ends = Ends { client: at("10.0.0.1:1"), server: at("10.0.0.2:2") };
    let mut send = |direction, flags, sequence, ack, len, is_fragment: bool| {
        let repr = tcp::Repr { sequence, ack, window: 5000, ..tcp::Repr::default() };
        let mut frame = ends.frame(direction, &Segment { flags, repr, len });
        if is_fragment {
            let mut ip = ipv4::View::new_checked(&mut frame[14..]).unwrap();
            ip.set_fragment(false, true, 0);
            ip.fill_checksum();
        }
        track(&mut tracker, 0, &frame)
    };
    let (syn, ack) = (tcp::Flags::SYN, tcp::Flags::ACK);
    send(Direction::Original, syn, 0, 0, 0, false);
    send(Direction::Reply, syn | ack, 0, 1, 0, false);
    assert_eq!(send(Direction::Original, ack, 1, 1, 100, true), State::Established);
    // 1,000 bytes were sent, 100 of them in the first fragment.
    assert_eq!(send(Direction::Reply, ack, 1, 1001, 0, false), State::Established);
}

#[test]
fn checksums_are_verified_where_asked_for() {
    let mut strict = tracker(&Config { checksums: true, ..Config::default() });
    let mut frame = udp_frame("10.0.0.1:1", "10.0.0.9:53");
    assert_eq!(track(&mut strict, 0, &frame), State::New);
    frame[14 + 20 + 6] ^= 1;
    assert_eq!(track(&mut strict, 0, &frame), State::Invalid(Invalid::Checksum));
    assert_eq!(track(&mut tracker(&Config::default()), 0, &frame), State::New);
    let ends = Ends { client: at("10.0.0.1:1"), server: at("10.0.0.2:2") };
    let syn = Segment { flags: tcp::Flags::SYN, ..Segment::default() };
    let mut frame = ends.frame(Direction::Original, &syn);
    *frame.last_mut().unwrap() ^= 1;
    assert_eq!(track(&mut strict, 0, &frame), State::Invalid(Invalid::Checksum));
    assert_eq!(strict.counters().invalid(Invalid::Checksum), 2);
    assert!(strict.counters().to_string().ends_with("invalid 2\n  wrong checksum: 2"));
}

#[test]
fn what_is_not_ip_and_neighbour_discovery_is_not_tracked() {
    let mut tracker = tracker(&Config::default());
    let mut frame = vec![0; 60];
    frame[12..14].copy_from_slice(&[0x88, 0xcc]);
    assert_eq!(track(&mut tracker, 0, &frame), State::Untracked);
    let mut solicitation = [0; 24];
    solicitation[0] = 135;
    let frame = ip_frame(at("[fd00::1]:0"), at("[fd00::2]:0"), IpProtocol::ICMPV6, &solicitation);
    assert_eq!(track(&mut tracker, 0, &frame), State::Untracked);
    assert_eq!((tracker.counters().untracked, tracker.len()), (2, 0));
}

#[test]
fn a_reply_may_be_of_the_other_family() {
    let mut nat64 = tracker(&Config::default());
    let ping = |source: &str, destination: &str, kind, protocol| {
        let bytes = [kind, 0, 0, 0, 0, 77, 0, 1];
        ip_frame(at(source), at(destination), protocol, &bytes)
    };
    let out = ping("[fd00::1]:0", "[64:ff9b::909:909]:0", 128, IpProtocol::ICMPV6);
    let id = nat64.track(0, &Layers::of(&out).unwrap(), &out).flow.unwrap();
    let back = ping("9.9.9.9:0", "192.0.2.1:0", 0, IpProtocol::ICMP);
    let reply = FlowKey::of(&Layers::of(&back).unwrap(), &back).unwrap();
    nat64.alter_reply(id, reply, 0).unwrap();
    let verdict = nat64.track(1, &Layers::of(&back).unwrap(), &back);
    assert_eq!((verdict.state, verdict.flow), (State::Established, Some(id)));
}

#[test]
fn equal_acknowledgements_and_a_closed_window_shorten_a_connection() {
    let mut tracker = tracker(&Config::default());
    let ends = Ends { client: at("10.0.0.1:1"), server: at("10.0.0.2:2") };
    let mut lives_s = |direction, flags, sequence, ack, window, len| {
        let repr = tcp::Repr { sequence, ack, window, ..tcp::Repr::default() };
        let frame = ends.frame(direction, &Segment { flags, repr, len });
        let id = tracker.track(0, &Layers::of(&frame).unwrap(), &frame).flow.unwrap();
        tracker.deadline_ns(id).unwrap() / SECOND
    };
    let (syn, ack) = (tcp::Flags::SYN, tcp::Flags::ACK);
    let (there, back) = (Direction::Original, Direction::Reply);
    assert_eq!(lives_s(there, syn, 0, 0, 100, 0), 120);
    assert_eq!(lives_s(back, syn | ack, 0, 1, 100, 0), 60);
    // The SYN/ACK is acknowledged, the SYN was: five days.
    assert_eq!(lives_s(there, ack, 1, 1, 100, 0), 432_000);
    assert_eq!(lives_s(there, ack, 1, 1, 100, 10), 300, "data on its way");
    assert_eq!(lives_s(back, ack, 1, 11, 100, 0), 432_000);
    assert_eq!(lives_s(back, ack, 1, 11, 0, 0), 300, "a closed window");
    assert_eq!(lives_s(back, ack, 1, 11, 100, 0), 432_000);
    assert_eq!(lives_s(back, ack, 1, 11, 100, 0), 432_000);
    assert_eq!(lives_s(back, ack, 1, 11, 100, 0), 432_000);
    assert_eq!(lives_s(back, ack, 1, 11, 100, 0), 300, "the same for the third time");
}
