//! ACL before nftables: random rules, changed while packets flow, and each packet passes both or neither.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use packet::wire::{EtherType, IpProtocol, ethernet, ipv4};
use rustix::net::{SendFlags, send};
use softnic::bess::{Config, pb};

use crate::bess_kit::{Daemon, receive};
use crate::functions_traffic::{PORTS, Traffic, host, mark, number_of};
use crate::lab::{Random, seed};
use crate::nft_judge::Judge;

/// Sets of rules at least and, as some let next to nothing or next to everything pass, at most; rules of one, and packets
/// under one.
const SETS: usize = 4;
const SETS_MAX: usize = 24;
const RULES: usize = 40;
const PACKETS: usize = 800;
/// Where marks go, which always pass.
const MARK: u32 = 9999;

/// A rule of BESS's.
#[derive(Clone, Debug)]
struct Rule {
    hosts: [Option<(IpAddr, u8)>; 2],
    ports: [Option<u16>; 2],
    drops: bool,
}

impl Rule {
    fn random(random: &mut Random) -> Self {
        let v4 = random.below(2) == 0;
        let hosts = [0, 1].map(|_| {
            let (side, any) = (random.below(2), random.below(3) == 0);
            let (shortest, longest) = if v4 { (22, 32) } else { (118, 128) };
            let length = shortest + random.below(longest - shortest + 1);
            (!any).then(|| (host(random, side, v4), length as u8))
        });
        let ports = [8, 3].map(|seldom| (random.below(seldom) == 0).then(|| random.one_of(&PORTS)));
        Self { hosts, ports, drops: random.below(2) == 0 }
    }

    fn bess(&self, random: &mut Random) -> pb::acl_arg::Rule {
        let everybody = ["", "0.0.0.0/0", "::/0"];
        let [src_ip, dst_ip] = self.hosts.map(|host| match host {
            None => random.one_of(&everybody).to_owned(),
            // An address alone is one host.
            Some((address @ IpAddr::V4(_), 32) | (address, 128)) => address.to_string(),
            Some((address, length)) => format!("{address}/{length}"),
        });
        let [src_port, dst_port] = self.ports.map(|port| u32::from(port.unwrap_or(0)));
        pb::acl_arg::Rule { src_ip, dst_ip, src_port, dst_port, drop: self.drops, ..Default::default() }
    }

    fn nft(&self) -> String {
        let mut text = String::new();
        for (host, what) in self.hosts.iter().zip(["saddr", "daddr"]) {
            if let Some((address, length)) = host {
                let family = if address.is_ipv4() { "ip" } else { "ip6" };
                text += &format!("{family} {what} {address}/{length} ");
            }
        }
        for (port, what) in self.ports.iter().zip(["sport", "dport"]) {
            if let Some(port) = port {
                text += &format!("meta l4proto {{ tcp, udp }} th {what} {port} ");
            }
        }
        text + if self.drops { "drop" } else { "accept" }
    }
}

/// A daemon with an ACL from one socket to another.
struct Firewall {
    daemon: Daemon,
    inside: OwnedFd,
    outside: OwnedFd,
    number: u16,
}

impl Firewall {
    /// Lets marks pass.
    fn new() -> Self {
        let mut daemon = Daemon::start(Config { buffers: 1024, ..Config::default() });
        let [inside, outside] = ["p0", "p1"].map(|name| daemon.socket(name));
        daemon.module("PortInc", "in", &pb::PortIncArg { port: "p0".to_owned(), prefetch: false });
        daemon.module("ACL", "acl", &pb::AclArg { rules: vec![Self::marks()] });
        daemon.module("PortOut", "out", &pb::PortOutArg { port: "p1".to_owned() });
        daemon.connect("in", 0, 0, "acl");
        daemon.connect("acl", 0, 0, "out");
        daemon.must("ResumeAll", &pb::EmptyRequest {});
        Self { daemon, inside, outside, number: 0 }
    }

    fn marks() -> pb::acl_arg::Rule {
        pb::acl_arg::Rule { dst_port: MARK, ..Default::default() }
    }

    fn add(&mut self, rules: Vec<pb::acl_arg::Rule>) {
        assert_eq!(self.daemon.command("acl", "add", &pb::AclArg { rules }).error, None);
    }

    fn clear(&mut self) {
        assert_eq!(self.daemon.command("acl", "clear", &pb::EmptyArg {}).error, None);
        self.add(vec![Self::marks()]);
    }

    fn passes(&mut self, frame: &[u8]) -> bool {
        self.number += 1;
        for frame in [frame, &mark(0, self.number)] {
            send(&self.inside, frame, SendFlags::empty()).unwrap();
        }
        let mut passed = false;
        loop {
            let seen = receive(&self.outside);
            match number_of(&seen) {
                Some(number) => {
                    assert_eq!(number, self.number);
                    return passed;
                }
                None => {
                    assert_eq!(seen, frame);
                    passed = true;
                }
            }
        }
    }
}

/// Makes a fragment of some packets of IPv4: the first of its packet, or a later one.
fn sometimes_a_fragment(random: &mut Random, mut frame: Vec<u8>) -> Vec<u8> {
    let is_ipv4 = ethernet::View::new_checked(&frame[..]).unwrap().ethertype() == EtherType::IPV4;
    if is_ipv4 && random.below(8) == 0 {
        let mut ip = ipv4::View::new_checked(&mut frame[ethernet::HEADER_LEN..]).unwrap();
        let is_later = ip.protocol() != IpProtocol::TCP && random.below(2) == 0;
        ip.set_fragment(false, true, if is_later { 512 } else { 0 });
        ip.fill_checksum();
        if is_later {
            // No port that a rule names: the kernel has been seen to take what is there for ports.
            ip.payload_mut()[..4].fill(0xff);
        }
    }
    frame
}

#[test]
fn the_acl_decides_as_nftables_does() {
    let mut random = Random(seed());
    let (mut judge, mut firewall) = (Judge::stateless(), Firewall::new());
    let (mut passed, mut dropped) = (0, 0);
    for set in 0..SETS_MAX {
        if set >= SETS && passed > PACKETS / 4 && dropped > PACKETS / 4 {
            break;
        }
        firewall.clear();
        judge.replace(&[]);
        let (mut traffic, mut rules) = (Traffic::default(), Vec::new());
        for at in 0..PACKETS {
            // The rules come in two halves, the second under traffic.
            if at % (PACKETS / 2) == 0 {
                let more: Vec<Rule> = (0..RULES / 2).map(|_| Rule::random(&mut random)).collect();
                firewall.add(more.iter().map(|rule| rule.bess(&mut random)).collect());
                judge.add(&more.iter().map(Rule::nft).collect::<Vec<_>>());
                rules.extend(more);
            }
            let (gate, what, frame) = traffic.next(&mut random, &[]);
            let frame = sometimes_a_fragment(&mut random, frame);
            let (kernel, ours) = (judge.passes(gate, &frame), firewall.passes(&frame));
            assert_eq!(
                ours, kernel,
                "set {set}, packet {at}, {what}: passes ours, the kernel; {rules:#?} {frame:02x?}"
            );
            traffic.passed(ours);
            if ours { passed += 1 } else { dropped += 1 }
        }
    }
    assert!(judge.still_drops());
    eprintln!("{passed} passed, {dropped} did not");
    assert!(passed > PACKETS / 4 && dropped > PACKETS / 4, "{passed} passed, {dropped} did not");
}
