//! The tracker's tables beside a slow, obvious twin: a list of flows that is searched from end to end.

use std::collections::HashMap;
use std::net::SocketAddr;

use netbricks::conntrack::{AlterError, Config, Direction, FlowId, Invalid, State, Tracker};
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::{IpProtocol, icmpv4, udp};
use proptest::prelude::*;

mod conntrack_scripts;
use conntrack_scripts::ip_frame;

const SECOND: u64 = 1_000_000_000;

/// A packet between two of four ends: UDP, or a ping or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    from: u8,
    to: u8,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Udp,
    Ping,
    Pong,
}

fn end(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number / 2], 7000 + u16::from(number % 2)))
}

impl Sent {
    fn reversed(self) -> Self {
        let kind = match self.kind {
            Kind::Udp => Kind::Udp,
            Kind::Ping => Kind::Pong,
            Kind::Pong => Kind::Ping,
        };
        Self { from: self.to, to: self.from, kind }
    }

    fn frame(self) -> Vec<u8> {
        let (source, destination) = (end(self.from), end(self.to));
        let mut bytes = [0; 8];
        if self.kind == Kind::Udp {
            udp::Repr { source_port: source.port(), destination_port: destination.port(), payload_len: 0 }
                .emit(&mut udp::View::new_unchecked(&mut bytes[..]));
            return ip_frame(source, destination, IpProtocol::UDP, &bytes);
        }
        let (ident, sequence, data) = (7000, 1, &[][..]);
        match self.kind {
            Kind::Pong => icmpv4::Repr::EchoReply { ident, sequence, data },
            _ => icmpv4::Repr::EchoRequest { ident, sequence, data },
        }
        .emit(&mut icmpv4::View::new_unchecked(&mut bytes[..]));
        ip_frame(source, destination, IpProtocol::ICMP, &bytes)
    }

    fn key(self) -> FlowKey {
        let frame = self.frame();
        FlowKey::of(&Layers::of(&frame).unwrap(), &frame).unwrap()
    }

    /// Pings have no ports: ends on one host are one.
    fn canonical(self) -> Self {
        match self.kind {
            Kind::Udp => self,
            _ => Self { from: self.from & !1, to: self.to & !1, ..self },
        }
    }
}

struct TwinFlow {
    original: Sent,
    reply: Sent,
    replied: bool,
    since: u64,
    deadline: u64,
}

#[derive(Default)]
struct Twin {
    flows: Vec<TwinFlow>,
}

impl Twin {
    fn live(&self, now: u64) -> impl Iterator<Item = (usize, &TwinFlow)> {
        self.flows.iter().enumerate().filter(move |(_, flow)| flow.deadline > now)
    }

    fn owner(&self, sent: Sent, now: u64) -> Option<(usize, Direction)> {
        self.live(now).find_map(|(number, flow)| match sent {
            _ if sent == flow.original => Some((number, Direction::Original)),
            _ if sent == flow.reply => Some((number, Direction::Reply)),
            _ => None,
        })
    }

    fn is_mirrored(&self, sent: Sent, now: u64) -> bool {
        let mirror = sent.reversed();
        self.live(now).any(|(_, flow)| mirror == flow.original || mirror == flow.reply)
    }

    /// State, direction and flow of a packet.
    fn track(&mut self, sent: Sent, now: u64) -> (State, Direction, Option<usize>) {
        if let Some((number, direction)) = self.owner(sent, now) {
            let flow = &mut self.flows[number];
            let is_new = direction == Direction::Original && !flow.replied;
            let seconds = match sent.kind {
                Kind::Udp if flow.replied && now - flow.since > 2 * SECOND => 120,
                _ => 30,
            };
            flow.deadline = now + seconds * SECOND;
            flow.replied |= direction == Direction::Reply;
            return (if is_new { State::New } else { State::Established }, direction, Some(number));
        }
        if self.is_mirrored(sent, now) {
            return (State::Invalid(Invalid::Collision), Direction::Original, None);
        }
        if sent.kind == Kind::Pong {
            return (State::Invalid(Invalid::IcmpType), Direction::Original, None);
        }
        let deadline = now + 30 * SECOND;
        self.flows.push(TwinFlow {
            original: sent,
            reply: sent.reversed(),
            replied: false,
            since: now,
            deadline,
        });
        (State::New, Direction::Original, Some(self.flows.len() - 1))
    }

    fn alter(&mut self, number: usize, reply: Sent, now: u64) -> bool {
        let plain = self.flows[number].original.reversed();
        let taken = |(other, flow): (usize, &TwinFlow)| {
            let same = |sent| sent == reply || sent == reply.reversed();
            same(flow.original) || other != number && same(flow.reply)
        };
        // Its own altered reply the other way round is taken too, unless it is the same either way.
        let current = self.flows[number].reply;
        let turned = reply != current && reply.reversed() == current;
        let free = reply == plain || !turned && !self.live(now).any(taken);
        if free {
            self.flows[number].reply = reply;
        }
        free
    }
}

#[derive(Debug, Clone)]
enum Action {
    Packet(Sent),
    Alter(usize, Sent),
    Pass(u64),
    Expire(usize),
    Remove(usize),
}

fn sent() -> impl Strategy<Value = Sent> {
    let kind = prop_oneof![3 => Just(Kind::Udp), 1 => Just(Kind::Ping), 1 => Just(Kind::Pong)];
    (0..6u8, 0..6u8, kind).prop_map(|(from, to, kind)| Sent { from, to, kind }.canonical())
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => sent().prop_map(Action::Packet),
        2 => (0..40usize, sent()).prop_map(|(number, reply)| Action::Alter(number, reply)),
        2 => (0..40 * SECOND).prop_map(Action::Pass),
        1 => (0..8usize).prop_map(Action::Expire),
        1 => (0..40usize).prop_map(Action::Remove),
    ]
}

/// The books balance: what was opened is held or was given up for a reason.
fn books_balance(tracker: &Tracker<u32>) {
    let counters = tracker.counters();
    let gone = counters.expired + counters.evicted + counters.reopened + counters.removed;
    assert_eq!(counters.new - gone, tracker.len() as u64, "{counters}");
    assert!(tracker.len() <= tracker.capacity());
}

proptest! {
    #[test]
    fn the_tables_do_as_their_twin(actions in proptest::collection::vec(action(), 1..120)) {
        let config = Config { flows: 128, translations: 128, ..Config::default() };
        let mut tracker = Tracker::<u32>::new(&config, FlowHasher::new(3));
        let mut twin = Twin::default();
        let mut ids: HashMap<usize, FlowId> = HashMap::new();
        let mut now = 1;
        for action in actions {
            match action {
                Action::Packet(sent) => {
                    let frame = sent.frame();
                    let verdict = tracker.track(now, &Layers::of(&frame).unwrap(), &frame);
                    let (state, direction, number) = twin.track(sent, now);
                    prop_assert_eq!((verdict.state, verdict.direction), (state, direction), "{:?}", sent);
                    if let Some(number) = number {
                        let id = *ids.entry(number).or_insert(verdict.flow.unwrap());
                        prop_assert_eq!(verdict.flow, Some(id));
                        prop_assert_eq!(tracker.deadline_ns(id), Some(twin.flows[number].deadline));
                    }
                }
                Action::Alter(number, reply) => {
                    let Some(flow) = twin.flows.get(number) else { continue };
                    let is_query = flow.original.kind != Kind::Udp;
                    let reply = match (is_query, reply.kind) {
                        (false, Kind::Udp) | (true, Kind::Pong) => reply,
                        _ => continue, // a translation keeps the protocol
                    };
                    if flow.deadline <= now {
                        continue;
                    }
                    let altered = tracker.alter_reply(ids[&number], reply.key(), now);
                    let collides = matches!(altered, Err(AlterError::Collision { .. }));
                    prop_assert_eq!(collides, !twin.alter(number, reply, now), "{:?}", altered);
                }
                Action::Pass(time) => now += time,
                Action::Expire(most) => {
                    tracker.expire(now, most, |_| ());
                }
                Action::Remove(number) => {
                    if let Some(flow) = twin.flows.get_mut(number) && flow.deadline > now {
                        flow.deadline = 0;
                        prop_assert!(tracker.remove(ids[&number]).is_some());
                    }
                }
            }
            books_balance(&tracker);
            for (number, flow) in twin.live(now) {
                let found = |sent: Sent| tracker.find(&sent.key(), now);
                let is_palindrome = flow.original == flow.reply;
                prop_assert!(found(flow.original).is_some());
                if flow.original.kind == Kind::Udp && !is_palindrome {
                    prop_assert_eq!(found(flow.reply), Some((ids[&number], Direction::Reply)));
                }
            }
        }
        // In the end all that is past its deadline is handed out, and nothing else.
        tracker.expire(now, usize::MAX, |_| ());
        prop_assert_eq!(tracker.len(), twin.live(now).count());
    }

    #[test]
    fn a_full_table_stays_full_and_the_books_balance(packets in proptest::collection::vec(sent(), 1..200)) {
        let config = Config { flows: 3, ..Config::default() };
        let mut tracker = Tracker::<u32>::new(&config, FlowHasher::new(3));
        for (second, sent) in packets.into_iter().enumerate() {
            let frame = sent.frame();
            let mut ended = 0;
            let layers = Layers::of(&frame).unwrap();
            let before = tracker.len();
            let verdict = tracker.track_with(second as u64 * SECOND, &layers, &frame, &mut |_, _| ended += 1);
            let opened = verdict.state == State::New && tracker.flow(verdict.flow.unwrap()).unwrap()
                .traffic(Direction::Original).packets == 1;
            prop_assert_eq!(tracker.len(), before + usize::from(opened) - ended);
            books_balance(&tracker);
        }
    }
}
