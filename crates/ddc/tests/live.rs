//! Whole networks of live nodes in virtual time: frames that are lost or overtaken, links that fail with and without a word,
//! routers that start again.

use std::collections::{BTreeMap, BTreeSet};

use ddc::Random;
use ddc::live::{Direction, Node, Refused, Site, Verdict, Way};
use ddc::{Cause, Map};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

/// Twelve routers in a ring, each with a link to the one four further on.
fn site() -> Site {
    let routers: String = (0..12).map(|router| format!("router R{router}\n")).collect();
    let ring: String = (0..12).map(|router| format!("link R{router} R{}\n", (router + 1) % 12)).collect();
    let chords: String = (0..12).map(|router| format!("link R{router} R{}\n", (router + 4) % 12)).collect();
    Site::parse(&format!("{routers}{ring}{chords}hello 20ms dead 100ms\nheartbeat 200ms\n")).unwrap()
}

enum Event {
    /// At a node's port.
    Frame(usize, u16, Vec<u8>),
    Carrier(usize, u16, bool),
}

struct Net {
    site: Site,
    nodes: Vec<Node>,
    now_ns: u64,
    number: u64,
    events: BTreeMap<(u64, u64), Event>,
    /// By link: nothing passes; and since when it does again.
    cut: Vec<bool>,
    since_ns: Vec<u64>,
    loss_percent: usize,
    late_percent: usize,
    random: Random,
    next_packet: u32,
    /// Packets under way: how often each was forwarded.
    under_way: BTreeMap<u32, u32>,
    /// Of packets.
    delivered: BTreeMap<u32, u32>,
    /// Packets that a link lost, or that came when it was given up.
    lost: BTreeSet<u32>,
    refused: BTreeMap<Refused, u64>,
}

impl Net {
    fn new(seed: u64) -> Self {
        let site = site();
        let nodes = (0..12).map(|me| Node::new(&site, me, 7, 0)).collect();
        let mut net = Self {
            cut: vec![false; site.map.link_count()],
            since_ns: vec![0; site.map.link_count()],
            site,
            nodes,
            now_ns: 0,
            number: 0,
            events: BTreeMap::new(),
            loss_percent: 0,
            late_percent: 0,
            random: Random::new(seed),
            next_packet: 0,
            under_way: BTreeMap::new(),
            delivered: BTreeMap::new(),
            lost: BTreeSet::new(),
            refused: BTreeMap::new(),
        };
        (0..12).for_each(|node| net.connect(node));
        net
    }

    fn connect(&mut self, node: usize) {
        for port in 0..self.nodes[node].ports() as u16 {
            self.nodes[node].set_carrier(port, true);
        }
        self.talk(node);
    }

    fn map(&self) -> &Map {
        &self.site.map
    }

    fn at(&mut self, delay_ns: u64, event: Event) {
        self.number += 1;
        self.events.insert((self.now_ns + delay_ns, self.number), event);
    }

    fn transmit(&mut self, node: usize, port: u16, frame: Vec<u8>) {
        let there = self.map().ports(node)[usize::from(port)];
        if self.cut[usize::from(there.link)] || self.random.below(100) < self.loss_percent {
            self.lose(&frame);
            return;
        }
        let late = self.random.below(100) < self.late_percent;
        self.at(if late { 5 * MS } else { MS }, Event::Frame(there.node as usize, there.far, frame));
    }

    /// A packet ends with its number; other frames are not counted.
    fn lose(&mut self, frame: &[u8]) {
        if frame[0] == 0x12 {
            let packet = u32::from_be_bytes(*frame.last_chunk().unwrap());
            self.under_way.remove(&packet);
            self.lost.insert(packet);
        }
    }

    fn talk(&mut self, node: usize) {
        while let Some((port, frame)) = self.nodes[node].poll_output(self.now_ns) {
            self.transmit(node, port, frame);
        }
    }

    fn follow(&mut self, node: usize, frame: &[u8], verdict: Verdict) {
        match verdict {
            Verdict::Taken => {}
            Verdict::Deliver { skip } => {
                let packet = u32::from_be_bytes(frame[skip..].try_into().unwrap());
                let hops = self.under_way.remove(&packet).unwrap();
                self.delivered.insert(packet, hops);
            }
            Verdict::Forward { skip, way } => self.forward(node, &frame[skip..], &way),
            Verdict::Drop { refused, .. } => {
                *self.refused.entry(refused).or_default() += 1;
                self.lose(frame);
            }
        }
        self.talk(node);
    }

    fn forward(&mut self, node: usize, packet: &[u8], way: &Way) {
        let number = u32::from_be_bytes(packet.try_into().unwrap());
        *self.under_way.entry(number).or_default() += 1;
        let mut frame = Vec::new();
        self.nodes[node].seal(way, &mut frame);
        frame.extend(packet);
        self.transmit(node, way.port, frame);
    }

    fn send(&mut self, from: usize, to: usize) -> u32 {
        let packet = self.next_packet;
        self.next_packet += 1;
        self.under_way.insert(packet, 0);
        let verdict = self.nodes[from].start(self.now_ns, to);
        let mut frame = packet.to_be_bytes().to_vec();
        if let Verdict::Drop { refused, .. } = verdict {
            *self.refused.entry(refused).or_default() += 1;
            self.under_way.remove(&packet);
            frame.clear();
            return packet;
        }
        self.follow(from, &frame, verdict);
        packet
    }

    fn pass_time(&mut self, time_ns: u64) {
        let end_ns = self.now_ns + time_ns;
        loop {
            let timer = (0..12).map(|node| (self.nodes[node].next_deadline(), node)).min().unwrap();
            let frame = self.events.first_key_value().map(|((at, _), _)| *at);
            let next = frame.map_or(timer.0, |frame| frame.min(timer.0));
            if next > end_ns {
                break;
            }
            self.now_ns = self.now_ns.max(next);
            if frame.is_some_and(|frame| frame <= timer.0) {
                match self.events.pop_first().unwrap().1 {
                    Event::Frame(node, port, frame) => {
                        let verdict = self.nodes[node].arrive(self.now_ns, port, &frame);
                        self.follow(node, &frame, verdict);
                    }
                    Event::Carrier(node, port, carrier) => {
                        self.nodes[node].set_carrier(port, carrier);
                        self.talk(node);
                    }
                }
            } else {
                self.nodes[timer.1].expire(self.now_ns);
                self.talk(timer.1);
            }
        }
        self.now_ns = end_ns;
    }

    /// A link fails or is back, and its ends notice within 10 ms.
    fn set_link(&mut self, link: usize, cut: bool) {
        self.cut[link] = cut;
        self.since_ns[link] = self.now_ns;
        for (node, port) in self.map().ends(link) {
            let after = self.random.below(10) as u64 * MS;
            self.at(after, Event::Carrier(node as usize, port, !cut));
        }
    }

    /// All pairs are as near as the map says, without the links that are cut.
    fn expect_shortest(&mut self, what: &str) {
        for to in 0..12 {
            let distances = self.site.map.distances(to, |link| !self.cut[usize::from(link)]);
            for from in (0..12).filter(|from| *from != to) {
                let packet = self.send(from, to);
                self.pass_time(30 * MS);
                let hops = self.delivered.get(&packet).copied();
                assert_eq!(hops, Some(distances[from]), "{what}: R{from} to R{to}");
            }
        }
    }

    /// Is it in one piece without a link, and without those that no heartbeat may have brought into the graphs yet?
    fn is_connected_without(&self, link: usize) -> bool {
        let old = |other: usize| self.now_ns > self.since_ns[other] + SECOND;
        let live = |other: usize| other != link && !self.cut[other] && old(other);
        self.site.map.distances(0, |other| live(usize::from(other))).iter().all(|far| *far != ddc::FAR)
    }
}

#[test]
fn a_network_that_starts_finds_the_shortest_ways() {
    let mut net = Net::new(1);
    net.pass_time(2 * SECOND);
    net.expect_shortest("after the start");
    assert!(net.refused.is_empty(), "{:?}", net.refused);
}

#[test]
fn links_fail_and_come_back_and_only_what_was_on_them_is_lost() {
    for seed in 0..6 {
        let mut net = Net::new(seed);
        net.pass_time(2 * SECOND);
        for _ in 0..60 {
            let link = net.random.below(24);
            let cut = !net.cut[link];
            if !cut || net.is_connected_without(link) {
                net.set_link(link, cut);
            }
            for _ in 0..100 {
                let (from, to) = (net.random.below(12), net.random.below(12));
                if from != to {
                    net.send(from, to);
                }
                net.pass_time(MS);
            }
        }
        net.pass_time(3 * SECOND);
        assert!(net.under_way.is_empty(), "seed {seed}: {:?}", net.under_way);
        // Lost on the link, or come when its end had given it up; nothing else.
        let other: Vec<_> = net.refused.iter().filter(|(cause, _)| **cause != Refused::Stale).collect();
        assert!(other.is_empty(), "seed {seed}: {other:?}");
        assert_eq!(net.delivered.len() + net.lost.len(), net.next_packet as usize, "seed {seed}");
        // At most ten milliseconds of packets for each end of a cut.
        assert!(net.lost.len() < 300, "seed {seed}: {} of {}", net.lost.len(), net.next_packet);
        for link in 0..24 {
            if net.cut[link] {
                net.set_link(link, false);
            }
        }
        net.pass_time(3 * SECOND);
        net.expect_shortest(&format!("seed {seed}, all back"));
    }
}

#[test]
fn ways_become_the_shortest_that_are_left() {
    let mut net = Net::new(9);
    net.pass_time(2 * SECOND);
    for link in [0, 3, 13, 20] {
        net.set_link(link, true);
    }
    net.pass_time(3 * SECOND);
    net.expect_shortest("four links gone");
}

#[test]
fn loss_and_disorder_of_every_frame_are_stood() {
    let mut net = Net::new(4);
    (net.loss_percent, net.late_percent) = (10, 10);
    net.pass_time(5 * SECOND);
    for _ in 0..2000 {
        let (from, to) = (net.random.below(12), net.random.below(12));
        if from != to {
            net.send(from, to);
        }
        net.pass_time(MS);
    }
    net.pass_time(SECOND);
    let wrong = |cause: &Refused| matches!(cause, Refused::By(Cause::OutOfOrder) | Refused::Malformed);
    assert!(!net.refused.keys().any(wrong), "{:?}", net.refused);
    assert!(net.refused[&Refused::Late] > 0);
    (net.loss_percent, net.late_percent) = (0, 0);
    net.pass_time(3 * SECOND);
    net.expect_shortest("all is well again");
}

#[test]
fn a_router_that_is_gone_is_gone_round_and_finds_its_place_again() {
    let mut net = Net::new(5);
    net.pass_time(2 * SECOND);
    // It says nothing any more: its links are silent.
    let gone: Vec<usize> = net.map().ports(5).iter().map(|port| usize::from(port.link)).collect();
    gone.iter().for_each(|link| net.cut[*link] = true);
    net.pass_time(150 * MS);
    for from in (0..12).filter(|node| *node != 5) {
        for to in (0..12).filter(|node| *node != 5 && *node != from) {
            let packet = net.send(from, to);
            net.pass_time(60 * MS);
            assert!(net.delivered.contains_key(&packet), "R{from} to R{to}");
        }
    }
    // It is back, and knows nothing, while one of its links stays cut.
    net.nodes[5] = Node::new(&net.site, 5, 7 + 600, net.now_ns);
    gone.iter().skip(1).for_each(|link| net.cut[*link] = false);
    net.connect(5);
    net.pass_time(3 * SECOND);
    net.expect_shortest("back with one link less");
    net.cut[gone[0]] = false;
    net.pass_time(3 * SECOND);
    net.expect_shortest("back");
    let report = net.nodes[5].report();
    assert!(report.links.iter().all(|link| link.up));
    let ways = report.destinations.iter().flat_map(|destination| &destination.ways);
    assert!(ways.clone().all(|way| matches!(way.direction, Direction::In | Direction::Out)), "{report:#?}");
}

#[test]
fn a_router_with_another_file_is_left_alone() {
    let mut net = Net::new(6);
    let other = Site::parse("router A\nrouter B\nlink A B\n").unwrap();
    let mut foreign = Node::new(&other, 0, 7, 0);
    foreign.set_carrier(0, true);
    let (_, hello) = foreign.poll_output(0).unwrap();
    let verdict = net.nodes[0].arrive(0, 0, &hello);
    assert_eq!(verdict, Verdict::Drop { refused: Refused::Foreign, skip: None });
}
