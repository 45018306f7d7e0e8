//! Batches beside the same packets one by one: whatever they do to each other, nobody can tell which it was.

use std::net::SocketAddr;

use netbricks::conntrack::{Config, FlowId, State, Tracker, Verdict};
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::{IpProtocol, icmpv4, tcp, udp};
use proptest::prelude::*;

mod conntrack_scripts;
use conntrack_scripts::ip_frame;

fn end(number: u8, v6: bool) -> SocketAddr {
    let port = 7000 + u16::from(number % 2);
    if v6 {
        (std::net::Ipv6Addr::from_bits(u128::from(number / 2)), port).into()
    } else {
        ([10, 0, 0, number / 2], port).into()
    }
}

/// A packet between two of few ends.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let flags =
        prop_oneof![Just(0x02u16), Just(0x12), Just(0x10), Just(0x10), Just(0x11), Just(0x14), Just(0x04)];
    (0..4u8, 0..4u8, 0..4u8, any::<bool>(), flags, 0..3u32, 0..3u32).prop_map(
        |(from, to, kind, v6, flags, sequence, ack)| {
            let (source, destination) = (end(from, v6), end(to, v6));
            let (source_port, destination_port) = (source.port(), destination.port());
            let mut bytes = vec![0; 20];
            let protocol = match kind {
                0 => {
                    bytes.truncate(udp::HEADER_LEN);
                    udp::Repr { source_port, destination_port, payload_len: 0 }
                        .emit(&mut udp::View::new_unchecked(&mut bytes[..]));
                    IpProtocol::UDP
                }
                1 if !v6 => {
                    bytes.truncate(8);
                    icmpv4::Repr::EchoRequest { ident: 7, sequence: 1, data: &[] }
                        .emit(&mut icmpv4::View::new_unchecked(&mut bytes[..]));
                    IpProtocol::ICMP
                }
                _ => {
                    let flags = tcp::Flags(flags);
                    tcp::Repr {
                        source_port,
                        destination_port,
                        flags,
                        sequence,
                        ack,
                        window: 9,
                        ..tcp::Repr::default()
                    }
                    .emit(&mut tcp::View::new_unchecked(&mut bytes[..]));
                    IpProtocol::TCP
                }
            };
            ip_frame(source, destination, protocol, &bytes)
        },
    )
}

/// What a user does about a verdict: removes flows, translates them, keeps something with them.
fn user(tracker: &mut Tracker<u64>, now_ns: u64, verdict: Verdict, act: u8) {
    let Some(id) = verdict.flow else { return };
    match act {
        0 => _ = tracker.remove(id),
        1 if verdict.state == State::New => {
            let translated = tracker.flow(id).and_then(|flow| {
                let to = SocketAddr::new(flow.original().source(), 7001);
                FlowKey::new(flow.protocol(), SocketAddr::new(flow.original().destination(), 7000), to)
            });
            _ = translated.map(|reply| tracker.alter_reply(id, reply, now_ns));
        }
        _ => {
            if let Some(flow) = tracker.flow_mut(id) {
                flow.data = flow.data.wrapping_mul(31).wrapping_add(u64::from(act));
            }
        }
    }
}

/// All that can be seen of a tracker: its counters, and each flow with its id, data and deadline.
fn state(tracker: &Tracker<u64>) -> Vec<String> {
    let flow = |(id, flow): (FlowId, &netbricks::conntrack::Flow<u64>)| {
        format!("{id:?} {flow} {} {:?}", flow.data, tracker.deadline_ns(id))
    };
    [tracker.counters().to_string()].into_iter().chain(tracker.iter().map(flow)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_batch_is_its_packets_one_by_one(
        batches in prop::collection::vec(
            (prop::collection::vec((frame(), 0..6u8), 0..80), prop_oneof![0..3u64, Just(200_000_000_000)]),
            1..6,
        ),
        flows in prop_oneof![1..4usize, Just(100)],
    ) {
        let config = Config { flows, translations: 2, ..Config::default() };
        let new = || Tracker::<u64>::new(&config, FlowHasher::new(0x5eed));
        let (mut one, mut many, mut now_ns) = (new(), new(), 1);
        for (batch, pause_ns) in batches {
            now_ns += pause_ns;
            let (mut expected, mut gone_one) = (Vec::new(), Vec::new());
            for (frame, act) in &batch {
                let layers = Layers::of(frame).unwrap();
                let verdict =
                    one.track_with(now_ns, &layers, frame, &mut |end, flow| gone_one.push((end, flow)));
                expected.push(verdict);
                user(&mut one, now_ns, verdict, *act);
            }
            let (mut seen, mut gone_many) = (Vec::new(), Vec::new());
            let arrivals: Vec<_> = batch.iter().map(|(frame, _)| many.arrival(frame).unwrap()).collect();
            many.fetch(&arrivals);
            for (arrival, (frame, act)) in arrivals.iter().zip(&batch) {
                let verdict =
                    many.track_arrival(now_ns, arrival, frame, &mut |end, flow| gone_many.push((end, flow)));
                seen.push(verdict);
                user(&mut many, now_ns, verdict, *act);
            }
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(gone_many, gone_one);
            prop_assert_eq!(state(&many), state(&one));
        }
    }
}
