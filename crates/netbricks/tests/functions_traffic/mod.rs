//! Random rules, in our language and in that of nftables, and random traffic that they are likely to speak of.
#![allow(dead_code, unreachable_pub)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, icmpv4, icmpv6, ipv4, ipv6, tcp, udp};

use crate::lab::Random;

/// Hosts on each side, from 1 on.
pub const HOSTS: usize = 6;
/// Ports that conversations are about.
pub const PORTS: [u16; 6] = [22, 53, 80, 443, 5000, 40_000];
/// The port of frames that always pass.
const MARK: u16 = 9999;

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    permits: bool,
    gate: Option<u16>,
    protocol: Option<&'static str>,
    /// Source and destination, with their prefix lengths.
    hosts: [Option<(IpAddr, u8)>; 2],
    ports: [Option<(u16, u16)>; 2],
}

/// Somebody on that side.
pub fn host(random: &mut Random, side: usize, v4: bool) -> IpAddr {
    let number = 1 + random.below(HOSTS);
    match v4 {
        true => Ipv4Addr::new(10, 1 + side as u8, 0, number as u8).into(),
        false => Ipv6Addr::new(0xfd01 + side as u16, 0, 0, 0, 0, 0, 0, number as u16).into(),
    }
}

impl Rule {
    pub fn random(random: &mut Random) -> Self {
        let v4 = random.below(2) == 0;
        let icmp = if v4 { "icmp" } else { "icmp6" };
        let protocol = random.one_of(&[None, Some("tcp"), Some("tcp"), Some("udp"), Some("udp"), Some(icmp)]);
        let hosts = [0, 1].map(|_| {
            let any = random.below(3) == 0;
            let side = random.below(2);
            let address = host(random, side, v4);
            let length = if v4 { 24 + random.below(9) as u8 } else { 120 + random.below(9) as u8 };
            (!any).then_some((address, length))
        });
        let has_ports = matches!(protocol, Some("tcp" | "udp"));
        let ports = [0, 1].map(|at| {
            let (first, wide) = (random.one_of(&PORTS), random.below(3) == 0);
            let wanted = has_ports && random.below(if at == 0 { 8 } else { 2 }) == 0;
            wanted.then_some((first, first + if wide { 500 } else { 0 }))
        });
        Self {
            permits: random.below(2) == 0,
            gate: random.one_of(&[None, Some(0), Some(1)]),
            protocol,
            hosts,
            ports,
        }
    }

    /// As our functions read it.
    pub fn ours(&self) -> String {
        let action = if self.permits { "permit" } else { "deny" };
        let gate = self.gate.map_or("", |gate| ["out ", "in "][usize::from(gate)]);
        let side = |at: usize| {
            let host =
                self.hosts[at].map_or("any".to_owned(), |(address, length)| format!("{address}/{length}"));
            let ports = self.ports[at].map_or(String::new(), |(first, last)| format!(" {first}-{last}"));
            host + &ports
        };
        format!("{action} {gate}{} {} {}", self.protocol.unwrap_or("any"), side(0), side(1))
    }

    /// As nftables reads it, with a condition in front.
    pub fn nft(&self, condition: &str) -> String {
        let mut text = condition.to_owned();
        if let Some(gate) = self.gate {
            text += [" iifname in0", " iifname out0"][usize::from(gate)];
        }
        for (host, what) in self.hosts.iter().zip(["saddr", "daddr"]) {
            if let Some((address, length)) = host {
                let family = if address.is_ipv4() { "ip" } else { "ip6" };
                text += &format!(" {family} {what} {address}/{length}");
            }
        }
        match self.protocol {
            Some("icmp6") => text += " meta l4proto icmpv6",
            Some(protocol) => text += &format!(" meta l4proto {protocol}"),
            None => {}
        }
        for (ports, what) in self.ports.iter().zip(["sport", "dport"]) {
            if let Some((first, last)) = ports {
                text += &format!(" th {what} {first}-{last}");
            }
        }
        text + if self.permits { " accept" } else { " drop" }
    }
}

/// One conversation: its ends, and for TCP how far it is.
#[derive(Clone, Debug)]
struct Talk {
    protocol: IpProtocol,
    /// The side that began, by gate.
    gate: u16,
    ends: [(IpAddr, u16); 2],
    /// Next sequence number of each end.
    next: [u32; 2],
    step: usize,
}

/// Conversations that go on, and packets that were sent.
#[derive(Default)]
pub struct Traffic {
    talks: Vec<Talk>,
    sent: Vec<(u16, Vec<u8>)>,
    /// The conversation and the end that the last packet is of.
    last: Option<(usize, usize, u32)>,
}

/// What a TCP conversation says: which end, and its flags.
const SCRIPT: [(usize, u16); 10] = [
    (0, 0x02),
    (1, 0x12),
    (0, 0x10),
    (0, 0x18),
    (1, 0x10),
    (1, 0x18),
    (0, 0x10),
    (0, 0x11),
    (1, 0x11),
    (0, 0x10),
];

impl Traffic {
    /// A packet: the gate where it comes in, what it is, and the frame.
    pub fn next(&mut self, random: &mut Random, rules: &[Rule]) -> (u16, &'static str, Vec<u8>) {
        self.last = None;
        let (gate, what, frame) = match random.below(20) {
            0 if !self.sent.is_empty() => self.error(random),
            1..=2 if !self.talks.is_empty() => self.stray(random),
            3..=14 if !self.talks.is_empty() => self.go_on(random),
            _ => self.begin(random, rules),
        };
        self.sent.push((gate, frame.clone()));
        (gate, what, frame)
    }

    /// Whether the last packet passed: its conversation goes on only then.
    pub fn passed(&mut self, passed: bool) {
        if let (Some((talk, end, length)), true) = (self.last, passed) {
            let talk = &mut self.talks[talk];
            talk.next[end] = talk.next[end].wrapping_add(length);
            talk.step += 1;
        }
    }

    fn begin(&mut self, random: &mut Random, _: &[Rule]) -> (u16, &'static str, Vec<u8>) {
        let (gate, v4) = (random.below(2) as u16, random.below(2) == 0);
        let icmp = if v4 { IpProtocol::ICMP } else { IpProtocol::ICMPV6 };
        let protocol = random.one_of(&[IpProtocol::TCP, IpProtocol::TCP, IpProtocol::UDP, icmp]);
        let from = host(random, gate.into(), v4);
        let to = host(random, usize::from(gate ^ 1), v4);
        let ends = [(from, 1024 + random.below(500) as u16 * 100), (to, random.one_of(&PORTS))];
        let next = [random.next() as u32, random.next() as u32];
        self.talks.push(Talk { protocol, gate, ends, next, step: 0 });
        self.say(self.talks.len() - 1)
    }

    fn go_on(&mut self, random: &mut Random) -> (u16, &'static str, Vec<u8>) {
        // The last few are the likeliest.
        let recent = self.talks.len().min(8);
        self.say(self.talks.len() - 1 - random.below(recent))
    }

    fn say(&mut self, at: usize) -> (u16, &'static str, Vec<u8>) {
        let talk = &self.talks[at];
        let tcp = talk.protocol == IpProtocol::TCP;
        let (end, flags) = if tcp { SCRIPT[talk.step % SCRIPT.len()] } else { (talk.step % 2, 0) };
        if tcp && talk.step >= SCRIPT.len() {
            let last = SCRIPT.len() - 1;
            let frame = talk.frame(SCRIPT[last].0, SCRIPT[last].1, 0);
            return (talk.gate, "after the end", frame);
        }
        let data = if flags & 8 != 0 { 50 } else { 0 };
        let frame = talk.frame(end, flags, data);
        let length = data as u32 + u32::from(flags & 2 != 0) + u32::from(flags & 1 != 0);
        self.last = Some((at, end, length));
        let what = ["a packet of a conversation", "an answer in a conversation"][end];
        (talk.gate ^ end as u16, what, frame)
    }

    /// A segment that nobody expects: other flags, other numbers, the other end.
    fn stray(&mut self, random: &mut Random) -> (u16, &'static str, Vec<u8>) {
        let at = random.below(self.talks.len());
        let mut talk = self.talks[at].clone();
        let end = random.below(2);
        if random.below(2) == 0 {
            talk.next[end] = talk.next[end].wrapping_add(random.next() as u32);
        }
        let flags = random.one_of(&[0x02, 0x10, 0x12, 0x04, 0x14, 0x11, 0x00, 0x03, 0x29]);
        (talk.gate ^ end as u16, "a stray packet", talk.frame(end, flags, 10))
    }

    /// An ICMP error about a packet that was sent.
    fn error(&mut self, random: &mut Random) -> (u16, &'static str, Vec<u8>) {
        let recent = self.sent.len().min(20);
        let (gate, frame) = &self.sent[self.sent.len() - 1 - random.below(recent)];
        let layers = Layers::of(frame).unwrap();
        let (to, from) = layers.addresses(frame).unwrap();
        let quoted = layers.network_packet(frame);
        let answer = match (from, to) {
            (IpAddr::V4(_), _) => {
                let repr = icmpv4::Repr::unreachable(icmpv4::unreachable::PORT, quoted);
                let mut message = vec![0; repr.buffer_len()];
                repr.emit(&mut icmpv4::View::new_unchecked(&mut message[..]));
                packet(from, to, IpProtocol::ICMP, &message)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let repr = icmpv6::Repr::unreachable(icmpv6::unreachable::PORT, quoted);
                let mut message = vec![0; repr.buffer_len()];
                repr.emit(from, to, &mut icmpv6::View::new_unchecked(&mut message[..]));
                packet(from.into(), to.into(), IpProtocol::ICMPV6, &message)
            }
            other => panic!("{other:?}"),
        };
        (gate ^ 1, "an ICMP error", answer)
    }
}

impl Talk {
    /// A packet of one end's.
    fn frame(&self, end: usize, flags: u16, data: usize) -> Vec<u8> {
        let ((from, from_port), (to, to_port)) = (self.ends[end], self.ends[end ^ 1]);
        match self.protocol {
            IpProtocol::TCP => {
                let mut segment = vec![0; tcp::HEADER_LEN + data];
                let mut view = tcp::View::new_unchecked(&mut segment[..]);
                view.set_source_port(from_port);
                view.set_destination_port(to_port);
                view.set_sequence(self.next[end]);
                view.set_ack(if flags & 0x10 != 0 { self.next[end ^ 1] } else { 0 });
                view.set_header_len_flags(tcp::HEADER_LEN, tcp::Flags(flags));
                view.set_window(60_000);
                view.fill_checksum(from, to);
                packet(from, to, self.protocol, &segment)
            }
            IpProtocol::UDP => datagram(from, from_port, to, to_port, &[1; 20]),
            _ => self.echo(end, from, to),
        }
    }

    fn echo(&self, end: usize, from: IpAddr, to: IpAddr) -> Vec<u8> {
        let (ident, sequence, data) = (self.ends[0].1, 1, &[5; 16][..]);
        let mut message = vec![0; 8 + data.len()];
        match (from, to) {
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let repr = match end {
                    0 => icmpv6::Repr::EchoRequest { ident, sequence, data },
                    _ => icmpv6::Repr::EchoReply { ident, sequence, data },
                };
                repr.emit(from, to, &mut icmpv6::View::new_unchecked(&mut message[..]));
            }
            _ => {
                let repr = match end {
                    0 => icmpv4::Repr::EchoRequest { ident, sequence, data },
                    _ => icmpv4::Repr::EchoReply { ident, sequence, data },
                };
                repr.emit(&mut icmpv4::View::new_unchecked(&mut message[..]));
            }
        }
        packet(from, to, self.protocol, &message)
    }
}

fn datagram(from: IpAddr, source_port: u16, to: IpAddr, destination_port: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; udp::HEADER_LEN];
    bytes.extend(data);
    let mut view = udp::View::new_unchecked(&mut bytes[..]);
    udp::Repr { source_port, destination_port, payload_len: data.len() }.emit(&mut view);
    view.fill_checksum(from, to);
    packet(from, to, IpProtocol::UDP, &bytes)
}

fn packet(from: IpAddr, to: IpAddr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let (header, ethertype) = match from {
        IpAddr::V4(_) => (ipv4::HEADER_LEN, EtherType::IPV4),
        IpAddr::V6(_) => (ipv6::HEADER_LEN, EtherType::IPV6),
    };
    let mut frame = vec![0; ethernet::HEADER_LEN + header];
    frame.extend(payload);
    let link = ethernet::Repr {
        source: MacAddr([2, 0, 0, 0, 0, 1]),
        destination: MacAddr([2, 0, 0, 0, 0, 2]),
        ethertype,
    };
    link.emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    let ip = &mut frame[ethernet::HEADER_LEN..];
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            ipv4::Repr::new(from, to, protocol, payload.len()).emit(&mut ipv4::View::new_unchecked(ip));
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            ipv6::Repr::new(from, to, protocol, payload.len()).emit(&mut ipv6::View::new_unchecked(ip));
        }
        other => panic!("{other:?}"),
    }
    frame
}

/// A frame that always passes, with a number.
pub fn mark(gate: u16, number: u16) -> Vec<u8> {
    let side = |gate: u16| IpAddr::V4(Ipv4Addr::new(10, 1 + gate as u8, 0, 1));
    datagram(side(gate), 9, side(gate ^ 1), MARK, &number.to_be_bytes())
}

/// The number of a frame that always passes.
pub fn number_of(frame: &[u8]) -> Option<u16> {
    let layers = Layers::of(frame).ok()?;
    let datagram = udp::View::new_checked(layers.segment(frame)).ok()?;
    let is_mark = layers.protocol == IpProtocol::UDP && datagram.destination_port() == MARK;
    is_mark.then(|| u16::from_be_bytes(datagram.payload()[..2].try_into().unwrap()))
}

/// Whether a frame that came out is the one that went in: a router changes the link header and the hops.
pub fn is_same(seen: &[u8], sent: &[u8]) -> bool {
    let (Ok(seen_layers), Ok(sent_layers)) = (Layers::of(seen), Layers::of(sent)) else { return false };
    seen_layers.addresses(seen) == sent_layers.addresses(sent)
        && seen_layers.segment(seen) == sent_layers.segment(sent)
}
