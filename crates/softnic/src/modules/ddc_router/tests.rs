use std::collections::VecDeque;

use packet::wire::{icmpv4, icmpv6};

use super::*;
use crate::engine::rig::{Own, Random, Rig, packet, pool};

const SITE: &str = "router A 10.1.0.1/24 fd00:1::1/64\nrouter B 10.9.0.1/32 fd00:9::1/128\n\
                    router C 10.3.0.1/24 fd00:3::1/64\nlink A B\nlink B C\nlink A C cost 5\n";
const STEP_NS: u64 = 1_000_000;

/// Three routers whose links hand frames over at once.
struct Net {
    site: Site,
    rigs: Vec<Own<DdcRouter>>,
    now_ns: u64,
    /// Links that lose everything, by the number in the map.
    silent: Vec<usize>,
    /// What left at a local side.
    local: Vec<(usize, Vec<u8>)>,
}

impl Net {
    fn new() -> Self {
        let site = Site::parse(SITE).unwrap();
        let rigs = (0..3).map(|me| Rig::new(DdcRouter::new(&site, me, 1000, 0, &pool()))).collect();
        let mut net = Self { site, rigs, now_ns: 0, silent: Vec::new(), local: Vec::new() };
        for me in 0..3 {
            (0..2).for_each(|port| net.set_carrier(me, port, true));
        }
        net.pass_time(2000);
        net
    }

    /// What a router has to say of it is let out at once.
    fn set_carrier(&mut self, me: usize, port: u16, carrier: bool) {
        self.rigs[me].module.set_carrier(port, carrier);
        let now_ns = self.now_ns;
        let left = self.rigs[me].at(now_ns).expire();
        self.carry(me, left);
    }

    fn pass_time(&mut self, steps: u64) {
        for _ in 0..steps {
            self.now_ns += STEP_NS;
            for me in 0..3 {
                if self.rigs[me].module.deadline_ns().is_some_and(|deadline| deadline <= self.now_ns) {
                    let now_ns = self.now_ns;
                    let left = self.rigs[me].at(now_ns).expire();
                    self.carry(me, left);
                }
            }
        }
    }

    fn carry(&mut self, me: usize, left: Vec<(Gate, Packet)>) {
        let mut under_way: VecDeque<_> = left.into_iter().map(|(gate, packet)| (me, gate, packet)).collect();
        while let Some((from, gate, packet)) = under_way.pop_front() {
            let Some(port) = gate.checked_sub(1) else {
                self.local.push((from, packet.data().to_vec()));
                continue;
            };
            let port = self.site.map.ports(from)[usize::from(port)];
            if self.silent.contains(&usize::from(port.link)) {
                continue;
            }
            let (to, now_ns) = (port.node as usize, self.now_ns);
            let left = self.rigs[to].at(now_ns).process(1 + port.far, [packet]);
            under_way.extend(left.into_iter().map(|(gate, packet)| (to, gate, packet)));
        }
    }

    fn send(&mut self, from: usize, frame: &[u8]) -> Vec<(usize, Vec<u8>)> {
        self.local.clear();
        let now_ns = self.now_ns;
        let left = self.rigs[from].at(now_ns).process(0, [packet(frame)]);
        self.carry(from, left);
        std::mem::take(&mut self.local)
    }
}

fn frame(ip: &[u8], v6: bool) -> Vec<u8> {
    let mut frame = Vec::new();
    write_ethernet(&mut frame, INSIDE, LOCAL, if v6 { EtherType::IPV6.0 } else { EtherType::IPV4.0 });
    frame.extend(ip);
    frame.resize(frame.len().max(60), 0);
    frame
}

fn v4(from: &str, to: &str, hops: u8) -> Vec<u8> {
    let mut ip = vec![0; 20 + 8];
    ip[0] = 0x45;
    ip[3] = 28;
    ip[8] = hops;
    ip[9] = 17;
    let mut view = ipv4::View::new_unchecked(&mut ip);
    view.set_source(from.parse().unwrap());
    view.set_destination(to.parse().unwrap());
    view.fill_checksum();
    ip[25] = 8; // the length of a UDP datagram without payload
    frame(&ip, false)
}

fn v6(from: &str, to: &str, hops: u8) -> Vec<u8> {
    let mut ip = vec![0; 40 + 8];
    (ip[0], ip[5], ip[6], ip[7], ip[45]) = (0x60, 8, 17, hops, 8);
    ip[8..24].copy_from_slice(&from.parse::<Ipv6Addr>().unwrap().octets());
    ip[24..40].copy_from_slice(&to.parse::<Ipv6Addr>().unwrap().octets());
    frame(&ip, true)
}

#[test]
fn packets_of_both_families_cross_and_lose_a_hop_in_between() {
    let mut net = Net::new();
    let got = net.send(0, &v4("10.1.0.2", "10.3.0.2", 9));
    let (at, frame) = &got[0];
    let ip = ipv4::View::new_checked(&frame[14..]).unwrap();
    assert_eq!((got.len(), *at, frame.len(), ip.ttl(), ip.verify_checksum()), (1, 2, 14 + 28, 8, true));
    let got = net.send(0, &v6("fd00:1::2", "fd00:3::2", 9));
    assert_eq!((got.len(), got[0].0, got[0].1.len(), got[0].1[14 + 7]), (1, 2, 14 + 48, 8));
}

#[test]
fn senders_are_told() {
    let mut net = Net::new();
    let kind = |frame: &[u8]| icmpv4::View::new_checked(&frame[34..]).unwrap().kind();
    let got = net.send(0, &v4("10.1.0.2", "10.3.0.2", 1));
    assert_eq!((got.len(), got[0].0, kind(&got[0].1)), (1, 0, icmpv4::Type::TIME_EXCEEDED));
    assert_eq!(got[0].1[26..30], [10, 9, 0, 1], "the router in between");
    let got = net.send(0, &v6("fd00:1::2", "fd00:3::2", 1));
    let kind6 = icmpv6::View::new_checked(&got[0].1[54..]).unwrap().kind();
    assert_eq!((got[0].0, kind6), (0, icmpv6::Type::TIME_EXCEEDED));
    let got = net.send(0, &v4("10.1.0.2", "10.4.0.2", 9));
    assert_eq!((got[0].0, kind(&got[0].1)), (0, icmpv4::Type::UNREACHABLE));
}

#[test]
fn a_carrier_that_goes_loses_nothing() {
    let mut net = Net::new();
    // B's port 1 leads to C.
    net.set_carrier(1, 1, false);
    net.set_carrier(2, 0, false);
    for _ in 0..10 {
        let got = net.send(0, &v4("10.1.0.2", "10.3.0.2", 9));
        assert_eq!((got.len(), got[0].0), (1, 2));
    }
    let report = net.rigs[1].module.report();
    assert!(report.destinations[2].reversals > 0 && !report.links[1].up, "{report:?}");
    net.set_carrier(1, 1, true);
    net.set_carrier(2, 0, true);
    net.pass_time(2000);
    let got = net.send(0, &v4("10.1.0.2", "10.3.0.2", 9));
    assert_eq!(got[0].1[14 + 8], 8, "by B again");
}

#[test]
fn a_silent_link_is_given_up() {
    let mut net = Net::new();
    net.silent = vec![1];
    assert!(net.send(0, &v4("10.1.0.2", "10.3.0.2", 9)).is_empty());
    net.pass_time(150);
    let got = net.send(0, &v4("10.1.0.2", "10.3.0.2", 9));
    assert_eq!((got.len(), got[0].0), (1, 2));
    assert_eq!(net.rigs[1].module.report().links[1].counts.timeouts, 1);
    // Cut off altogether: the sender is told once routers have planned anew.
    net.silent = vec![1, 2];
    net.pass_time(2000);
    let got = net.send(0, &v4("10.1.0.2", "10.3.0.2", 9));
    assert_eq!((got.len(), got[0].0, got[0].1[34]), (1, 0, icmpv4::Type::UNREACHABLE.0));
    net.silent.clear();
    net.pass_time(2000);
    assert_eq!(net.send(0, &v4("10.1.0.2", "10.3.0.2", 9))[0].0, 2);
}

#[test]
fn malformed_frames_are_counted_and_nothing_else() {
    let mut net = Net::new();
    let mut random = Random::seeded();
    for turn in 0..20_000 {
        let length = random.below(120);
        let mut bytes = random.bytes(length);
        if turn % 4 > 0 {
            // As far as this, it looks like a router's.
            let mut start = Vec::new();
            write_ethernet(&mut start, GROUP, net.rigs[2].module.mac, ETHERTYPE);
            start.push(0x11 + (turn % 3) as u8);
            bytes.splice(..bytes.len().min(start.len()), start);
        }
        let gate = random.below(3) as Gate;
        let now_ns = net.now_ns;
        net.rigs[0].at(now_ns).process(gate, [packet(&bytes)]);
    }
    let dropped: u64 = net.rigs[0].module.report().dropped.values().sum();
    assert!(dropped > 15_000, "{dropped}, {random:?}");
    net.pass_time(3000);
    assert_eq!(net.send(0, &v4("10.1.0.2", "10.3.0.2", 9)).len(), 1, "{random:?}");
}
