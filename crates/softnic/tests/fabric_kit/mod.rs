//! A small network to drive the fabric with, frames to send, and a judge of what comes out.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::net::{IpAddr, Ipv6Addr};

use packet::wire::tcp::Flags;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, icmpv4, icmpv6, ipv4, ipv6, tcp, udp};
use packet::{Checksum, Offload, Pool, PoolConfig, PortId, ROOM_GSO, checksum};
use softnic::fabric::Fabric;
use softnic::fabric::program::{DnsName, Endpoint, Program, Protocol, Rule, Selector, Service};

pub const SYN: Flags = Flags::SYN;
pub const ACK: Flags = Flags::ACK;
pub const FIN: Flags = Flags::FIN;
pub const RST: Flags = Flags::RST;
pub const SYN_ACK: Flags = Flags(0x12);
pub const FIN_ACK: Flags = Flags(0x11);
pub const SECOND: u64 = 1_000_000_000;

pub const CLIENT: u32 = 0;
pub const WEB: u32 = 1;
pub const DB: u32 = 2;
pub const REPLICAS: [u32; 3] = [3, 4, 5];
pub const LONER: u32 = 6;
/// The address of "tier", whose members are the replicas.
pub const TIER: u32 = 1000;
pub const GATEWAY: u32 = 1001;
pub const NOBODY: u32 = 1002;

/// The address of a party in one family.
pub fn ip(party: u32, v6: bool) -> IpAddr {
    let (net, host) = match party {
        TIER => (1, 1),
        GATEWAY => (0, 1),
        NOBODY => (9, 9),
        endpoint => (0, endpoint as u16 + 2),
    };
    match v6 {
        true => Ipv6Addr::new(0xfd57, net, 0, 0, 0, 0, 0, host).into(),
        false => [10, 181, net as u8, host as u8].into(),
    }
}

pub fn mac(endpoint: u32) -> MacAddr {
    let IpAddr::V4(v4) = ip(endpoint, false) else { unreachable!() };
    Endpoint::mac_of(v4)
}

pub fn endpoint(name: &str, number: u32) -> Endpoint {
    let (IpAddr::V4(v4), IpAddr::V6(v6)) = (ip(number, false), ip(number, true)) else { unreachable!() };
    Endpoint::new(name, PortId(number), v4, v6)
}

pub fn rule(
    id: u64,
    from: &str,
    to: Selector,
    protocol: Protocol,
    ports: std::ops::RangeInclusive<u16>,
) -> Rule {
    let label = format!("shop.js:{id}:1");
    Rule { id, from: Selector::Endpoint(from.into()), to, protocol, ports, label, through: Vec::new() }
}

pub fn to(name: &str) -> Selector {
    Selector::Endpoint(name.into())
}

/// client -> web (everything), web -> db (TCP 5432), client -> tier (TCP 80-81, UDP 80).
pub fn program() -> Program {
    let (IpAddr::V4(v4), IpAddr::V6(v6)) = (ip(GATEWAY, false), ip(GATEWAY, true)) else { unreachable!() };
    let (IpAddr::V4(vip_v4), IpAddr::V6(vip_v6)) = (ip(TIER, false), ip(TIER, true)) else { unreachable!() };
    let names =
        [("client", CLIENT), ("web", WEB), ("db", DB), ("r1", 3), ("r2", 4), ("r3", 5), ("loner", LONER)];
    let tier = || Selector::Service("tier".into());
    Program {
        endpoints: names.map(|(name, number)| endpoint(name, number)).into(),
        services: vec![Service {
            name: "tier".into(),
            vip_v4,
            vip_v6,
            members: ["r1", "r2", "r3"].map(String::from).into(),
        }],
        rules: vec![
            rule(1, "client", to("web"), Protocol::Any, 0..=65535),
            rule(2, "web", to("db"), Protocol::Tcp, 5432..=5432),
            rule(3, "client", tier(), Protocol::Tcp, 80..=81),
            rule(4, "client", tier(), Protocol::Udp, 80..=80),
        ],
        names: vec![
            DnsName {
                name: "web".into(),
                ipv4s: vec![[10, 181, 0, 3].into()],
                ipv6s: vec!["fd57::3".parse().unwrap()],
            },
            DnsName { name: "Tier.weft.internal".into(), ipv4s: vec![vip_v4], ipv6s: vec![] },
        ],
        ..Program::new(v4, v6)
    }
}

/// What came out of the fabric.
#[derive(Debug, Clone)]
pub struct Out {
    pub port: u32,
    pub frame: Vec<u8>,
    pub offload: Offload,
}

/// A fabric, a pool, and a clock that stands still unless it is moved.
pub struct Net {
    pub fabric: Fabric,
    pub pool: Pool,
    pub now: u64,
}

impl Net {
    pub fn new(program: &Program) -> Self {
        Self::with_flows(program, 4096)
    }

    pub fn with_flows(program: &Program, flows: usize) -> Self {
        let config = PoolConfig { buffers: 8, room: ROOM_GSO, ..PoolConfig::default() };
        let fabric = Fabric::with_flows(program, 42, flows).unwrap();
        Self { fabric, pool: Pool::new(config).unwrap(), now: SECOND }
    }

    /// Sends a frame from an endpoint's port. Whatever comes out is judged to be well-formed.
    pub fn send_with(&mut self, from: u32, frame: &[u8], offload: Offload) -> Option<Out> {
        let mut packet = self.pool.packet(frame).expect("a free buffer");
        packet.set_ingress(PortId(from));
        packet.set_offload(offload);
        let mut outs = Vec::new();
        self.fabric.handle(self.now, packet, &mut |packet| {
            outs.push(Out {
                port: packet.egress().0,
                frame: packet.data().to_vec(),
                offload: packet.offload(),
            });
        });
        assert!(outs.len() <= 1, "one packet in, one out");
        let out = outs.pop()?;
        judge(&out);
        Some(out)
    }

    pub fn send(&mut self, from: u32, frame: &[u8]) -> Option<Out> {
        self.send_with(from, frame, Offload::default())
    }

    pub fn dropped(&self, reason: softnic::fabric::report::DropReason) -> u64 {
        self.fabric.counters().drops.iter().find(|(which, _)| *which == reason).map_or(0, |(_, count)| *count)
    }
}

/// A frame from an endpoint to the gateway's Ethernet address.
pub fn frame(from: u32, source: IpAddr, destination: IpAddr, protocol: IpProtocol, l4: &[u8]) -> Vec<u8> {
    let header = if source.is_ipv4() { 20 } else { 40 };
    let mut bytes = vec![0; 14 + header];
    let ethertype = if source.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
    ethernet::Repr { source: mac(from), destination: Program::GATEWAY_MAC, ethertype }
        .emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ipv4::Repr::new(source, destination, protocol, l4.len())
                .emit(&mut ipv4::View::new_unchecked(&mut bytes[14..]));
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ipv6::Repr::new(source, destination, protocol, l4.len())
                .emit(&mut ipv6::View::new_unchecked(&mut bytes[14..]));
        }
        _ => panic!("families differ"),
    }
    bytes.extend_from_slice(l4);
    bytes
}

/// Where a flow goes: the parties and their ports.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub from: u32,
    pub to: u32,
    pub ports: (u16, u16),
    pub v6: bool,
}

impl Way {
    pub fn new(from: u32, to: u32, ports: (u16, u16), v6: bool) -> Self {
        Self { from, to, ports, v6 }
    }

    pub fn ips(&self) -> (IpAddr, IpAddr) {
        (ip(self.from, self.v6), ip(self.to, self.v6))
    }

    pub fn back(&self) -> Self {
        Self { from: self.to, to: self.from, ports: (self.ports.1, self.ports.0), v6: self.v6 }
    }

    pub fn tcp(&self, flags: Flags, payload: &[u8]) -> Vec<u8> {
        let (source, destination) = self.ips();
        let mut l4 = vec![0; 20];
        let mut view = tcp::View::new_unchecked(&mut l4[..]);
        view.set_source_port(self.ports.0);
        view.set_destination_port(self.ports.1);
        view.set_sequence(1000);
        view.set_ack(2000);
        view.set_header_len_flags(20, flags);
        view.set_window(64_000);
        l4.extend_from_slice(payload);
        tcp::View::new_unchecked(&mut l4[..]).fill_checksum(source, destination);
        frame(self.from, source, destination, IpProtocol::TCP, &l4)
    }

    pub fn udp(&self, payload: &[u8]) -> Vec<u8> {
        let (source, destination) = self.ips();
        let mut l4 = vec![0; 8];
        l4.extend_from_slice(payload);
        let mut view = udp::View::new_unchecked(&mut l4[..]);
        udp::Repr { source_port: self.ports.0, destination_port: self.ports.1, payload_len: payload.len() }
            .emit(&mut view);
        view.fill_checksum(source, destination);
        frame(self.from, source, destination, IpProtocol::UDP, &l4)
    }

    /// An echo request (or reply) with the first port as identifier.
    pub fn echo(&self, reply: bool, data: &[u8]) -> Vec<u8> {
        let (source, destination) = self.ips();
        let (ident, sequence) = (self.ports.0, 7);
        match (source, destination) {
            (IpAddr::V4(_), _) => {
                let repr = match reply {
                    false => icmpv4::Repr::EchoRequest { ident, sequence, data },
                    true => icmpv4::Repr::EchoReply { ident, sequence, data },
                };
                let mut l4 = vec![0; repr.buffer_len()];
                repr.emit(&mut icmpv4::View::new_unchecked(&mut l4[..]));
                frame(self.from, source, destination, IpProtocol::ICMP, &l4)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let repr = match reply {
                    false => icmpv6::Repr::EchoRequest { ident, sequence, data },
                    true => icmpv6::Repr::EchoReply { ident, sequence, data },
                };
                let mut l4 = vec![0; repr.buffer_len()];
                repr.emit(source, destination, &mut icmpv6::View::new_unchecked(&mut l4[..]));
                frame(self.from, source.into(), destination.into(), IpProtocol::ICMPV6, &l4)
            }
            _ => unreachable!(),
        }
    }

    /// "Port unreachable" about an IP packet that this way's sender received.
    pub fn unreachable(&self, quoted: &[u8]) -> Vec<u8> {
        let (source, destination) = self.ips();
        match (source, destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let repr = icmpv6::Repr::unreachable(4, quoted);
                let mut l4 = vec![0; repr.buffer_len()];
                repr.emit(source, destination, &mut icmpv6::View::new_unchecked(&mut l4[..]));
                frame(self.from, source.into(), destination.into(), IpProtocol::ICMPV6, &l4)
            }
            _ => {
                let repr = icmpv4::Repr::unreachable(3, quoted);
                let mut l4 = vec![0; repr.buffer_len()];
                repr.emit(&mut icmpv4::View::new_unchecked(&mut l4[..]));
                frame(self.from, source, destination, IpProtocol::ICMP, &l4)
            }
        }
    }
}

/// Source and destination address of a frame.
pub fn addresses(frame: &[u8]) -> (IpAddr, IpAddr) {
    match frame[14] >> 4 {
        4 => {
            let view = ipv4::View::new_quoted(&frame[14..]).unwrap();
            (view.source().into(), view.destination().into())
        }
        _ => {
            let view = ipv6::View::new_quoted(&frame[14..]).unwrap();
            (view.source().into(), view.destination().into())
        }
    }
}

/// Where the transport header starts in a frame of this kit (no options, no extension headers), and its protocol.
pub fn transport(frame: &[u8]) -> (usize, IpProtocol) {
    if frame[14] >> 4 == 4 { (34, IpProtocol(frame[23])) } else { (54, IpProtocol(frame[20])) }
}

/// The type and code of an ICMP message.
pub fn icmp_kind(frame: &[u8]) -> (u8, u8) {
    let (l4, protocol) = transport(frame);
    assert!(matches!(protocol, IpProtocol::ICMP | IpProtocol::ICMPV6), "{protocol} is not ICMP");
    (frame[l4], frame[l4 + 1])
}

/// "Administratively prohibited" of a family.
pub fn prohibited(v6: bool) -> (u8, u8) {
    if v6 { (1, 1) } else { (3, 13) }
}

pub fn tcp_flags(frame: &[u8]) -> Flags {
    let (l4, protocol) = transport(frame);
    assert_eq!(protocol, IpProtocol::TCP);
    Flags(u16::from(frame[l4 + 13]))
}

/// The address of a frame's transport checksum's sum, finished if it was partial: all ones when right.
pub fn transport_sum(frame: &[u8], offload: Offload) -> u16 {
    let (l4, protocol) = transport(frame);
    let (source, destination) = addresses(frame);
    if let Checksum::Partial { start, offset } = offload.checksum {
        let (start, field) = (usize::from(start), usize::from(start + offset));
        let mut finished = frame.to_vec();
        let check = !checksum::sum(&frame[start..]);
        finished[field..field + 2].copy_from_slice(&check.to_be_bytes());
        return transport_sum(&finished, Offload::default());
    }
    let pseudo = match protocol {
        IpProtocol::ICMP => 0,
        _ => checksum::pseudo(source, destination, protocol, (frame.len() - l4) as u32).unwrap(),
    };
    checksum::combine(pseudo, checksum::sum(&frame[l4..]))
}

/// Panics unless a frame is whole: lengths, the gateway as source, IPv4 header checksum.
pub fn judge(out: &Out) {
    let frame = &out.frame;
    assert_eq!(frame[6..12], Program::GATEWAY_MAC.0, "leaves from the gateway");
    match u16::from_be_bytes([frame[12], frame[13]]) {
        0x0806 => assert_eq!(frame.len(), 42),
        0x0800 => {
            let view = ipv4::View::new_checked(&frame[14..]).expect("an IPv4 packet");
            assert_eq!(view.total_len(), frame.len() - 14);
            assert!(view.verify_checksum(), "IPv4 header checksum");
        }
        0x86dd => {
            let view = ipv6::View::new_checked(&frame[14..]).expect("an IPv6 packet");
            assert_eq!(view.total_len(), frame.len() - 14);
        }
        other => panic!("ethertype {other:#x} leaves"),
    }
    if let Checksum::Partial { start, offset } = out.offload.checksum {
        assert!(usize::from(start + offset) + 2 <= frame.len(), "the checksum field is in the packet");
    }
}

/// Panics unless the transport checksum of a frame of this kit is right as well.
pub fn assert_checksum(out: &Out) {
    assert_eq!(transport_sum(&out.frame, out.offload), 0xffff, "transport checksum of {:02x?}", out.frame);
}
