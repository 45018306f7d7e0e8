//! [`Nat`].

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use netbricks::conntrack::{Moved, TcpState, Traffic};
use netbricks::nat::{
    self, Arrivals, EXTERNALS_MAX, Glances, Hastened, Inside, Limits, MovedFlow, Outcome, Realm,
};
use netbricks::{Drops, conntrack};
use packet::flow::{FlowHasher, FlowKey};
use packet::wire::IpProtocol;
use packet::{BATCH, Batch, Packet};
use serde::{Deserialize, Serialize};

use crate::engine::{Context, Gate, Module, monotonic_ns};

/// Translates addresses and ports, so that many hosts share a few addresses (NAPT, RFC 3022), in IPv4 and IPv6, each with
/// external addresses of its own: the translator of [`netbricks::nat`].
///
/// *Input gates*: two, 0 for packets from inside, 1 for packets from outside. *Output gates*: two; from inside packets
/// leave at gate 1, from outside at gate 0.
///
/// A host keeps to one external address, an inside end looks the same to everybody, and whoever is outside may answer a
/// mapped end (RFC 4787 REQ-1, REQ-2, REQ-8). A host's port is kept where it is free. TCP, UDP and ICMP echo are
/// translated, with the ICMP errors about them; everything else, and what comes from outside to an end that is nobody's,
/// is dropped, and so is the version of IP without an external address. Ethernet addresses and the time to live stay as
/// they are: this is no router.
///
/// Differences to BESS: a mapping ends with the last of its flows ([`nat::timeouts`]) instead of when its port is wanted;
/// TCP that is no part of a connection is dropped; ICMP is echo and errors; ports below 1024 are not set apart.
///
/// ```
/// # use softnic::modules::{ExternalAddress, Nat, NatConfig};
/// let external = ExternalAddress { address: "192.0.2.1".parse()?, ports: vec![1024..=65_535] };
/// let nat = Nat::new(&NatConfig { externals: vec![external], ..NatConfig::default() }, 0x5eed)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Nat {
    nat: nat::Nat,
    drops: Drops,
}

/// An address that inside hosts have outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAddress {
    /// The address.
    pub address: IpAddr,
    /// Ports and ICMP identifiers that are given out with it.
    pub ports: Vec<RangeInclusive<u16>>,
}

/// How [`Nat`] translates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatConfig {
    /// The addresses outside, one at least.
    pub externals: Vec<ExternalAddress>,
    /// Connections at a time.
    pub flows: usize,
    /// Inside ends at a time, of all hosts or of one.
    pub mappings: usize,
}

impl Default for NatConfig {
    /// 65,536 connections and inside ends, and no address.
    fn default() -> Self {
        Self { externals: Vec::new(), flows: 65_536, mappings: 65_536 }
    }
}

/// Addresses that [`Nat`] does not translate to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NatError {
    /// There is none.
    #[error("at least one external IP address must be specified")]
    NoAddress,
    /// There are more than there may be.
    #[error("at most {EXTERNALS_MAX} external addresses, not {0}")]
    TooMany(usize),
}

impl Nat {
    /// Translates like that. The key is drawn at random: who knows it can predict ports.
    ///
    /// # Errors
    /// See [`NatError`].
    pub fn new(config: &NatConfig, key: u128) -> Result<Self, NatError> {
        let NatConfig { externals, flows, mappings } = config;
        match externals.len() {
            0 => return Err(NatError::NoAddress),
            count if count > EXTERNALS_MAX => return Err(NatError::TooMany(count)),
            _ => {}
        }
        let per_host = u32::try_from(*mappings).unwrap_or(u32::MAX);
        let limits = Limits { ports: 1..=u16::MAX, mappings: *mappings, per_host };
        let timeouts = nat::timeouts();
        let conntrack = conntrack::Config {
            flows: *flows,
            translations: *flows,
            // What a translator lets pass is not a firewall's business.
            liberal: true,
            timeouts,
            ..conntrack::Config::default()
        };
        let mut addresses: Vec<IpAddr> = externals.iter().map(|external| external.address).collect();
        // An address that is named twice has the ports of both, but each once.
        addresses.sort_unstable();
        addresses.dedup();
        let config =
            nat::Config { realm: Realm::Same, externals: addresses, limits, filters: false, conntrack };
        let mut nat = nat::Nat::new(&config, FlowHasher::new(key));
        for address in &config.externals {
            let of_address = externals.iter().filter(|external| external.address == *address);
            let ports: Vec<_> = of_address.flat_map(|external| external.ports.iter().cloned()).collect();
            nat.restrict(*address, &ports);
        }
        Ok(Self { nat, drops: Drops::default() })
    }

    /// How many inside ends are mapped.
    pub fn mapped(&self) -> usize {
        self.nat.mapped()
    }

    /// What it has dropped, by cause.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Translates a packet on the long way; `arrivals` may know it as `number`.
    #[inline(never)]
    fn translate(
        &mut self,
        now_ns: u64,
        gate: Gate,
        packet: &mut Packet,
        arrivals: &Arrivals,
        number: usize,
    ) -> Option<Gate> {
        let read;
        let arrival = match arrivals.get(number) {
            Some(arrival) => arrival,
            None => {
                read = self.nat.arrival(gate, packet.data());
                &read
            }
        };
        let arrival = match arrival {
            Ok(arrival) => arrival,
            Err(wrong) => {
                self.drops.count((*wrong).into(), 1);
                return None;
            }
        };
        let outcome = self.nat.translate(now_ns, gate, arrival, packet.data());
        if let Outcome::End(cause) | Outcome::Refuse(cause) = outcome {
            self.drops.count(cause, 1);
        }
        outcome.apply(packet, arrival.layers()).map(|(gate, _)| gate)
    }
}

impl Module for Nat {
    fn class(&self) -> &'static str {
        "NAT"
    }

    fn inputs(&self) -> Gate {
        2
    }

    fn outputs(&self) -> Gate {
        2
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, gate: Gate, batch: &mut Batch) {
        let now_ns = ctx.now_ns();
        let usual = 1 - gate;
        let (mut glances, mut arrivals) = (Glances::default(), Arrivals::default());
        self.nat.glance(batch.iter().map(Packet::data), &mut glances);
        self.nat.arrivals(gate, &glances, batch.iter().map(Packet::data), &mut arrivals);
        let mut exits = [None; BATCH];
        let mut all_as_usual = true;
        for (number, (packet, exit)) in batch.iter_mut().zip(&mut exits).enumerate() {
            *exit = match self.nat.hasten(now_ns, gate, &glances[number], packet) {
                Some(Hastened::Passed(gate, _)) => Some(gate),
                Some(Hastened::Ended(cause)) => {
                    self.drops.count(cause, 1);
                    None
                }
                None => self.translate(now_ns, gate, packet, &arrivals, number),
            };
            all_as_usual &= *exit == Some(usual);
        }
        if all_as_usual {
            return ctx.forward(usual);
        }
        let exits = &exits[..batch.len()];
        let packets = std::mem::take(batch);
        for (packet, exit) in packets.into_iter().zip(exits) {
            match *exit {
                Some(gate) => ctx.emit(gate, packet),
                // It came out of a batch of this size.
                None => drop(batch.push(packet)),
            }
        }
    }

    fn timed(&self) -> bool {
        true
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.nat.deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context<'_>) {
        self.nat.expire(ctx.now_ns());
    }

    fn status(&self) -> String {
        format!("{} entries", self.mapped())
    }

    /// Flows and the ends outside that they have; fragments that are followed are not among it.
    fn save(&mut self) -> Option<Vec<u8>> {
        let flows: Vec<SavedFlow> = self.nat.moved().map(SavedFlow::of).collect();
        serde_json::to_vec(&flows).ok()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<usize, String> {
        let flows: Vec<SavedFlow> = serde_json::from_slice(saved).map_err(|error| error.to_string())?;
        let now_ns = monotonic_ns();
        let mut lost = 0;
        for flow in flows {
            let taken = flow.moved().is_some_and(|flow| self.nat.take_in(&flow, now_ns).is_ok());
            lost += usize::from(!taken);
        }
        Ok(lost)
    }
}

/// A flow as it goes to another process.
#[derive(Serialize, Deserialize)]
struct SavedFlow {
    protocol: u8,
    /// Source and destination of what opened it, and of its answers.
    original: [SocketAddr; 2],
    reply: [SocketAddr; 2],
    query: u8,
    /// Which of [`TcpState::ALL`].
    tcp: Option<usize>,
    replied: bool,
    assured: bool,
    /// Packets and bytes of each direction.
    traffic: [[u64; 2]; 2],
    since_ns: u64,
    deadline_ns: u64,
    gates: [Gate; 2],
    /// Protocol, end inside and end outside of the mappings that it uses.
    holds: [Option<(u8, SocketAddr, SocketAddr)>; 2],
}

impl SavedFlow {
    fn of(MovedFlow { flow, gates, holds }: MovedFlow) -> Self {
        let ends = |key: &FlowKey| {
            [(key.source(), key.source_port()), (key.destination(), key.destination_port())]
                .map(SocketAddr::from)
        };
        let hold = |(inside, external): (Inside, SocketAddr)| {
            (inside.protocol.0, SocketAddr::new(inside.address, inside.port), external)
        };
        Self {
            protocol: flow.original.protocol().0,
            original: ends(&flow.original),
            reply: ends(&flow.reply),
            query: flow.query,
            tcp: flow.tcp.and_then(|state| TcpState::ALL.iter().position(|known| *known == state)),
            replied: flow.replied,
            assured: flow.assured,
            traffic: flow.traffic.map(|traffic| [traffic.packets, traffic.bytes]),
            since_ns: flow.since_ns,
            deadline_ns: flow.deadline_ns,
            gates,
            holds: holds.map(|one| one.map(hold)),
        }
    }

    /// `None` where it makes no sense.
    fn moved(&self) -> Option<MovedFlow> {
        let protocol = IpProtocol(self.protocol);
        let key = |[source, destination]: [SocketAddr; 2]| FlowKey::new(protocol, source, destination);
        let tcp = match self.tcp {
            Some(at) => Some(*TcpState::ALL.get(at)?),
            None => None,
        };
        let flow = Moved {
            original: key(self.original)?,
            query: self.query,
            reply: key(self.reply)?,
            tcp,
            replied: self.replied,
            assured: self.assured,
            traffic: self.traffic.map(|[packets, bytes]| Traffic { packets, bytes }),
            since_ns: self.since_ns,
            deadline_ns: self.deadline_ns,
        };
        let hold = |(protocol, inside, external): (u8, SocketAddr, SocketAddr)| {
            let protocol = IpProtocol(protocol);
            (Inside { protocol, address: inside.ip(), port: inside.port() }, external)
        };
        Some(MovedFlow { flow, gates: self.gates, holds: self.holds.map(|one| one.map(hold)) })
    }
}

#[cfg(test)]
mod tests {
    use packet::wire::tcp::Flags;
    use packet::wire::{EtherType, icmpv4, icmpv6, ipv4, ipv6, udp};

    use super::super::frames::{datagram, framed, ip, packet, segment};
    use packet::parse::Layers;

    use super::*;
    use crate::engine::rig::{Own, Rig};

    const OUTSIDE: &str = "192.168.1.1";
    const OUTSIDE_V6: &str = "2001:db8::1";

    fn nat(ports: &[RangeInclusive<u16>]) -> Own<Nat> {
        nat_of(&[OUTSIDE, OUTSIDE_V6], ports)
    }

    fn nat_of(addresses: &[&str], ports: &[RangeInclusive<u16>]) -> Own<Nat> {
        // An address comes once with each range, which is as good as once with all.
        let external = |(address, range): (&str, &RangeInclusive<u16>)| ExternalAddress {
            address: address.parse().unwrap(),
            ports: vec![range.clone()],
        };
        let each = addresses.iter().flat_map(|&address| ports.iter().map(move |range| (address, range)));
        let externals = each.map(external).collect();
        let config = NatConfig { externals, flows: 1000, mappings: 1000 };
        Rig::new(Nat::new(&config, 7).unwrap())
    }

    /// The source port, or ICMP identifier, of a translated packet.
    fn port(frame: &[u8]) -> u16 {
        let layers = Layers::of(frame).unwrap();
        packet::flow::FlowKey::of(&layers, frame).unwrap().source_port()
    }

    fn one(rig: &mut Own<Nat>, gate: Gate, frame: &[u8]) -> Option<Vec<u8>> {
        let left = rig.process(gate, [packet(frame)]);
        left.first().map(|(out, packet)| {
            assert_eq!(*out, 1 - gate);
            packet.data().to_vec()
        })
    }

    /// Out and back: `make` makes a packet of two ends.
    fn round_trip(inside: &str, peer: &str, make: impl Fn(&str, &str) -> Vec<u8>) {
        let mut rig = nat(&[1..=65_535]);
        let natted = one(&mut rig, 0, &make(inside, peer)).expect("it goes out");
        let outside = if inside.starts_with('[') { format!("[{OUTSIDE_V6}]") } else { OUTSIDE.to_owned() };
        let outside = format!("{outside}:{}", port(&natted));
        assert_eq!(natted, make(&outside, peer));
        let back = one(&mut rig, 1, &make(peer, &outside)).expect("the answer comes in");
        assert_eq!(back, make(peer, inside));
        assert_eq!((rig.module.mapped(), rig.module.status()), (1, "1 entries".to_owned()));
    }

    #[test]
    fn udp_goes_out_and_back() {
        round_trip("172.16.0.2:56797", "8.8.8.8:53", |from, to| datagram([from, to], b"helloworld"));
        round_trip("172.16.0.2:56797", "8.8.8.8:53", |from, to| {
            let mut frame = datagram([from, to], b"helloworld");
            udp::View::new_unchecked(&mut frame[34..]).set_checksum(0);
            frame
        });
        round_trip("[fd00::2]:56797", "[2001:db8:f::8]:53", |from, to| datagram([from, to], b"helloworld"));
    }

    #[test]
    fn tcp_goes_out_and_back() {
        // Both say SYN, with data: whoever tests a translator may.
        round_trip("172.16.0.2:52428", "8.8.8.8:80", |from, to| {
            segment([from, to], Flags::SYN, b"helloworld")
        });
        round_trip("[fd00::2]:52428", "[2001:db8:f::8]:80", |from, to| {
            segment([from, to], Flags::SYN, b"helloworld")
        });
    }

    fn echo(kind: u8, from: &str, to: &str, ident: u16) -> Vec<u8> {
        let [a, b] = ident.to_be_bytes();
        let mut message = [&[kind, 0, 0, 0, a, b, 0, 0][..], b"helloworld"].concat();
        icmpv4::View::new_unchecked(&mut message[..]).fill_checksum();
        let mut frame = ip(from.parse().unwrap(), to.parse().unwrap(), IpProtocol::ICMP, &message);
        ipv4::View::new_unchecked(&mut frame[14..]).fill_checksum();
        frame
    }

    #[test]
    fn echo_goes_out_and_back_also_with_identifier_0() {
        let mut rig = nat(&[0..=65_535]);
        let natted = one(&mut rig, 0, &echo(8, "172.16.0.2", "8.8.8.8", 0)).unwrap();
        let ident = port(&natted);
        assert_eq!(natted, echo(8, OUTSIDE, "8.8.8.8", ident));
        let back = one(&mut rig, 1, &echo(0, "8.8.8.8", OUTSIDE, ident)).unwrap();
        assert_eq!(back, echo(0, "8.8.8.8", "172.16.0.2", 0));
    }

    fn message_v6([from, to]: [&str; 2], message: &icmpv6::Repr<'_>) -> Vec<u8> {
        let [from, to]: [std::net::Ipv6Addr; 2] = [from, to].map(|address| address.parse().unwrap());
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(from, to, &mut icmpv6::View::new_unchecked(&mut bytes[..]));
        ip(from.into(), to.into(), IpProtocol::ICMPV6, &bytes)
    }

    #[test]
    fn echo_of_ipv6_goes_out_and_back() {
        let mut rig = nat(&[0..=65_535]);
        let (inside, peer) = ("fd00::2", "2001:db8:f::8");
        let data = &b"helloworld"[..];
        let request = |ends, ident| message_v6(ends, &icmpv6::Repr::EchoRequest { ident, sequence: 1, data });
        let reply = |ends, ident| message_v6(ends, &icmpv6::Repr::EchoReply { ident, sequence: 1, data });
        let natted = one(&mut rig, 0, &request([inside, peer], 9)).unwrap();
        let ident = port(&natted);
        assert_eq!(natted, request([OUTSIDE_V6, peer], ident));
        let back = one(&mut rig, 1, &reply([peer, OUTSIDE_V6], ident)).unwrap();
        assert_eq!(back, reply([peer, inside], 9));
    }

    #[test]
    fn an_error_of_ipv6_comes_back_with_what_was_sent() {
        let mut rig = nat(&[1..=65_535]);
        let (inside, peer) = ("[fd00::2]:5000", "[2001:db8:f::8]:53");
        let sent = datagram([inside, peer], b"helloworld");
        let natted = one(&mut rig, 0, &sent).unwrap();
        let error = |to, quoted| {
            let repr = icmpv6::Repr::unreachable(icmpv6::unreachable::PORT, quoted);
            message_v6(["2001:db8:e::1", to], &repr)
        };
        let back = one(&mut rig, 1, &error(OUTSIDE_V6, &natted[14..])).unwrap();
        assert_eq!(back, error("fd00::2", &sent[14..]));
    }

    #[test]
    fn fragments_of_ipv6_follow_their_first() {
        let mut rig = nat(&[1..=65_535]);
        let fragment = |[from, to]: [&str; 2], offset: u16, payload: &[u8]| {
            let whole = datagram([from, to], &[7; 24]);
            let header =
                [&[17, 0][..], &(offset | u16::from(offset == 0)).to_be_bytes(), &[0, 0, 0, 9]].concat();
            let mut frame = [&whole[..54], &header, payload].concat();
            let mut ip = ipv6::View::new_unchecked(&mut frame[14..]);
            ip.set_next_header(IpProtocol::FRAGMENT);
            ip.set_payload_len(ipv6::FRAGMENT_LEN + payload.len());
            frame
        };
        let (inside, peer) = ("[fd00::2]:5000", "[2001:db8:f::8]:53");
        let [first, last] = [0, 16].map(|offset| {
            let whole = datagram([inside, peer], &[7; 24]);
            let end = if offset == 0 { 54 + 16 } else { whole.len() };
            fragment([inside, peer], offset, &whole[54 + usize::from(offset)..end])
        });
        assert!(one(&mut rig, 0, &last).is_none(), "before the first nobody knows where it goes");
        let natted = one(&mut rig, 0, &first).unwrap();
        let outside = format!("[{OUTSIDE_V6}]:{}", port(&natted));
        let whole = datagram([&outside, peer], &[7; 24]);
        assert_eq!(natted, fragment([&outside, peer], 0, &whole[54..70]));
        assert_eq!(one(&mut rig, 0, &last), Some(fragment([&outside, peer], 16, &whole[70..])));
    }

    #[test]
    fn a_version_without_an_external_address_is_dropped() {
        let [four, six] = [["10.0.0.1:9", "8.8.8.8:53"], ["[fd00::1]:9", "[2001:db8:f::8]:53"]];
        for (own, passes, other) in [(OUTSIDE, four, six), (OUTSIDE_V6, six, four)] {
            let mut rig = nat_of(&[own], &[1..=65_535]);
            assert!(one(&mut rig, 0, &datagram(passes, b"")).is_some());
            assert!(one(&mut rig, 0, &datagram(other, b"")).is_none());
            assert_eq!((rig.module.drops().of(nat::NO_MAPPING), rig.module.mapped()), (1, 1));
        }
    }

    #[test]
    fn only_the_ports_that_are_given_are_used_and_then_none() {
        let mut rig = nat(&[2000..=2001, 3000..=3000]);
        let mut ports: Vec<u16> = (0..3)
            .map(|n| {
                let from = format!("10.0.0.{n}:500");
                port(&one(&mut rig, 0, &datagram([&from, "8.8.8.8:53"], b"")).unwrap())
            })
            .collect();
        ports.sort_unstable();
        assert_eq!(ports, [2000, 2001, 3000]);
        assert!(one(&mut rig, 0, &datagram(["10.0.0.9:500", "8.8.8.8:53"], b"")).is_none());
        assert_eq!((rig.dropped, rig.module.drops().of(nat::PORTS_OUT)), (1, 1));
        // When the first flows are over, their ports are free.
        let later = rig.module.deadline_ns().unwrap() + 600_000_000_000;
        assert!(rig.at(later).expire().is_empty());
        assert_eq!(rig.module.mapped(), 0);
        assert!(one(&mut rig, 0, &datagram(["10.0.0.9:500", "8.8.8.8:53"], b"")).is_some());
    }

    #[test]
    fn what_leads_nowhere_is_dropped_and_counted() {
        let mut rig = nat(&[1..=65_535]);
        assert!(one(&mut rig, 1, &datagram(["8.8.8.8:53", "192.168.1.1:5000"], b"")).is_none());
        let [from, to] = ["10.0.0.1", "8.8.8.8"].map(|address| address.parse().unwrap());
        assert!(one(&mut rig, 0, &ip(from, to, IpProtocol::GRE, &[0; 8])).is_none());
        assert!(one(&mut rig, 0, &framed(EtherType::ARP, &[0; 20])).is_none());
        assert_eq!(rig.module.drops().of(nat::NO_MAPPING), 1);
        assert_eq!(rig.module.drops().of(nat::PROTOCOL), 1);
        assert_eq!(rig.dropped, 3);
        let good = datagram(["10.0.0.1:9", "8.8.8.8:53"], b"");
        let left = rig.process(0, [packet(&good), packet(b"runt"), packet(&good)]);
        assert_eq!((left.len(), rig.dropped), (2, 4));
    }

    #[test]
    fn flows_go_on_in_another_module() {
        let mut rig = nat(&[1..=65_535]);
        rig.at(monotonic_ns());
        let syn = one(&mut rig, 0, &segment(["10.0.0.1:80", "8.8.8.8:80"], Flags::SYN, b"")).unwrap();
        let query = one(&mut rig, 0, &datagram(["10.0.0.2:80", "8.8.8.8:53"], b"x")).unwrap();
        let ping = one(&mut rig, 0, &echo(8, "10.0.0.3", "8.8.8.8", 80)).unwrap();
        let six = one(&mut rig, 0, &datagram(["[fd00::2]:80", "[2001:db8:f::8]:53"], b"x")).unwrap();
        let saved = rig.module.save().unwrap();
        let mut other = nat(&[1..=65_535]);
        other.at(monotonic_ns());
        assert_eq!(other.module.restore(&saved), Ok(0));
        assert_eq!((other.module.mapped(), other.module.restore(&saved)), (4, Ok(4)), "once");
        let back = |port: u16| format!("{OUTSIDE}:{port}");
        let answer = datagram(["8.8.8.8:53", &back(port(&query))], b"y");
        assert_eq!(one(&mut other, 1, &answer), Some(datagram(["8.8.8.8:53", "10.0.0.2:80"], b"y")));
        let answer = segment(["8.8.8.8:80", &back(port(&syn))], Flags::SYN | Flags::ACK, b"");
        assert!(one(&mut other, 1, &answer).is_some());
        let answer = one(&mut other, 1, &echo(0, "8.8.8.8", OUTSIDE, port(&ping)));
        assert_eq!(answer, Some(echo(0, "8.8.8.8", "10.0.0.3", 80)));
        let answer = datagram(["[2001:db8:f::8]:53", &format!("[{OUTSIDE_V6}]:{}", port(&six))], b"y");
        let back = datagram(["[2001:db8:f::8]:53", "[fd00::2]:80"], b"y");
        assert_eq!(one(&mut other, 1, &answer), Some(back));
        assert!(other.module.restore(b"[{}]").is_err() && other.module.restore(b"").is_err());
        let wrong = String::from_utf8(saved).unwrap().replace("\"gates\":[0,1]", "\"gates\":[0,9]");
        assert_eq!(nat(&[1..=65_535]).module.restore(wrong.as_bytes()), Ok(4));
    }

    #[test]
    fn there_is_an_address_and_not_too_many() {
        let external = ExternalAddress { address: OUTSIDE.parse().unwrap(), ports: Vec::new() };
        let with = |count| {
            Nat::new(&NatConfig { externals: vec![external.clone(); count], ..NatConfig::default() }, 1)
        };
        assert_eq!(with(0).err(), Some(NatError::NoAddress));
        assert_eq!(with(257).err(), Some(NatError::TooMany(257)));
    }
}
