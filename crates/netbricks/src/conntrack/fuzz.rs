//! The body of the fuzz target for connection tracking.

use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, icmpv4, ipv4, tcp, udp};

use super::{Config, Direction, State, Tracker};

/// Bytes that make one packet or another action.
const ACTION: usize = 12;

/// The tracker under any packets: `data` as a frame, and as a script of packets between a few ends, translations and
/// time. Its books balance, and what it holds it finds.
pub fn conntrack(data: &[u8]) {
    let checksums = data.first().is_some_and(|byte| byte & 1 != 0);
    let config = Config { flows: 6, translations: 3, checksums, ..Config::default() };
    let mut tracker = Tracker::<u8>::new(&config, FlowHasher::new(1));
    for layers in [Layers::of(data), Layers::of_ip(data), Layers::of_quoted(data)].into_iter().flatten() {
        tracker.track(0, &layers, data);
    }
    let mut now_ns = 0u64;
    for action in data.chunks_exact(ACTION) {
        now_ns += u64::from(action[0]) << (action[1] & 31);
        act(&mut tracker, action, now_ns);
        holds(&tracker, now_ns);
    }
    tracker.expire(u64::MAX, usize::MAX, |_| ());
    assert!(tracker.is_empty(), "{}", tracker.counters());
}

fn act(tracker: &mut Tracker<u8>, action: &[u8], now_ns: u64) {
    let frame = frame(action);
    let Ok(layers) = Layers::of(&frame) else { return };
    match action[2] & 15 {
        0 => {
            tracker.expire(now_ns, usize::from(action[3] & 3), |_| ());
        }
        1 => {
            let nth = tracker.iter().nth(usize::from(action[3] & 7)).map(|(id, _)| id);
            assert_eq!(nth.and_then(|id| tracker.remove(id)).is_some(), nth.is_some());
        }
        2 | 3 => {
            let nth = tracker.iter().nth(usize::from(action[3] & 7)).map(|(id, _)| id);
            if let (Some(id), Some(key)) = (nth, FlowKey::of(&layers, &frame)) {
                let _collides = tracker.alter_reply(id, key, now_ns);
            }
        }
        _ => {
            let verdict = tracker.track(now_ns, &layers, &frame);
            assert!(matches!(verdict.state, State::Invalid(_)) || verdict.flow.is_some(), "{verdict:?}");
        }
    }
}

/// A packet from a few bytes, so that most belong to a flow that is known.
fn frame(action: &[u8]) -> Vec<u8> {
    let end = |byte: u8| ([10, 0, 0, byte & 1].into(), u16::from(byte >> 1 & 1) + 1);
    let ((source, source_port), (destination, destination_port)) = (end(action[4]), end(action[4] >> 2));
    let near = |byte: u8| u32::from(byte).wrapping_sub(128).wrapping_mul(1 << (action[5] & 15));
    let mut payload = vec![0; 60];
    let protocol = match action[4] >> 5 {
        0 => {
            udp::Repr { source_port, destination_port, payload_len: 52 }
                .emit(&mut udp::View::new_unchecked(&mut payload[..]));
            IpProtocol::UDP
        }
        1 | 2 => {
            let quoted = ipv4::Repr::new(destination, source, IpProtocol::UDP, 8);
            quoted.emit(&mut ipv4::View::new_unchecked(&mut payload[8..]));
            udp::Repr { source_port, destination_port, payload_len: 0 }
                .emit(&mut udp::View::new_unchecked(&mut payload[28..36]));
            payload[0] = action[6];
            icmpv4::View::new_unchecked(&mut payload[..]).fill_checksum();
            IpProtocol::ICMP
        }
        _ => {
            let repr = tcp::Repr {
                source_port,
                destination_port,
                flags: tcp::Flags(u16::from(action[6])),
                sequence: near(action[7]),
                ack: near(action[8]),
                window: u16::from_be_bytes([action[9], action[10]]),
                window_scale: (action[11] & 1 != 0).then_some(action[11] >> 4),
                sack_permitted: action[11] & 2 != 0,
                ..tcp::Repr::default()
            };
            let mut view = tcp::View::new_unchecked(&mut payload[..]);
            repr.emit(&mut view);
            view.fill_checksum(source.into(), destination.into());
            IpProtocol::TCP
        }
    };
    let mut frame = vec![0; ethernet::HEADER_LEN + ipv4::HEADER_LEN];
    ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr([4; 6]), ethertype: EtherType::IPV4 }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    ipv4::Repr::new(source, destination, protocol, payload.len())
        .emit(&mut ipv4::View::new_unchecked(&mut frame[ethernet::HEADER_LEN..]));
    frame.extend(payload);
    frame
}

fn holds(tracker: &Tracker<u8>, now_ns: u64) {
    let counters = tracker.counters();
    let gone = counters.expired + counters.evicted + counters.reopened + counters.removed;
    assert_eq!(counters.new - gone, tracker.len() as u64, "{counters}");
    assert!(tracker.len() <= tracker.capacity());
    for (id, flow) in tracker.iter() {
        let ends = tracker.deadline_ns(id).expect("a deadline");
        if ends <= now_ns || matches!(flow.protocol(), IpProtocol::ICMP | IpProtocol::ICMPV6) {
            continue;
        }
        assert_eq!(tracker.find(flow.original(), now_ns), Some((id, Direction::Original)), "{flow}");
        let reply = if flow.reply() == flow.original() { Direction::Original } else { Direction::Reply };
        assert_eq!(tracker.find(flow.reply(), now_ns), Some((id, reply)), "{flow}");
    }
}
