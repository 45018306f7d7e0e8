//! Translates IPv4 addresses and ports, so that many hosts share a few addresses (NAPT, RFC 3022).
//!
//! Gate 0 is the inside, gate 1 the outside. It is a router between the two: hosts inside have its inside address as
//! their gateway, it answers ARP and ping for its own addresses, lowers the time to live and answers "time exceeded".
//!
//! | argument | default | |
//! |---|---|---|
//! | `inside=10.0.0.1/24` | | its address inside; only hosts of that subnet are translated |
//! | `outside=192.0.2.2/24` | | its address outside |
//! | `gateway=192.0.2.1` | none | where packets go that are not for the outside link |
//! | `external=A[-B]` | the outside address | the addresses that hosts have outside, 256 at most; a host keeps to one |
//! | `ports=1024-65535` | | ports given out; the host's own where it is free, else a random one |
//! | `filter=on` | `on` | let in only who was spoken to (RFC 4787 §5); `off`: whoever speaks to a mapped end |
//! | `forward=tcp/8080:10.0.0.5:80` | none | external port 8080 leads to that host, for whoever begins; repeatable; the first external address, or `tcp/192.0.2.3:8080:…` |
//! | `flows=65536` | | connections at a time; the oldest unanswered one makes room |
//! | `mappings=65536` | | inside ends at a time |
//! | `per-host=4096` | | inside ends of one host at a time |
//! | `refuse=icmp` | `icmp` | tell who gets no mapping ("administratively prohibited"); `silent`: do not |
//! | `liberal=off` | `off` | let TCP segments pass that lie outside the window |
//! | `inside-mac=`, `outside-mac=` | drawn at each start | its Ethernet addresses |
//! | `inside-next-hop=`, `outside-next-hop=` | ask | the Ethernet address all packets go to, instead of ARP |
//!
//! What is kept by which rule: endpoint-independent mapping, port preservation, hairpinning, paired pooling (RFC 4787
//! REQ-1 to 3, 9); ICMP errors and what they quote both ways (RFC 5508). A mapping lives as long as its flows: TCP that
//! is open 2 h 4 min, opening and closing 4 min, after a reset 10 s (RFC 5382 REQ-5); UDP 5 min (RFC 4787 REQ-5); echo
//! 60 s (RFC 5508 REQ-2). Later fragments follow their first one for 30 s; one that comes before it is dropped, which
//! RFC 4787 REQ-14 would have held, and fragments keep their identification. Other protocols are dropped.
//!
//! Example:
//!   weft netbricks run nat44 inside=10.0.0.1/24 outside=192.0.2.2/24 gateway=192.0.2.1 --in veth:eth0 --out veth:eth1

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;

use arrayvec::ArrayVec;
use packet::flow::FlowHasher;
use packet::wire::{IpProtocol, WireError};
use packet::{BATCH, Batch, Packet};

use super::Setup;
use crate::answer::Notice;
use crate::conntrack::{self, FLOWS_MAX};
use crate::nat::{self, Arrival, Config, EXTERNALS_MAX, Limits, MAPPINGS_MAX, Nat, Outcome, Realm, Router};
use crate::neighbours::Subnet;
use crate::{Args, ArgsError, Context, Gate, NetworkFunction, Report};

/// NAT44; see the function's manual.
pub struct Nat44 {
    router: Router,
    nat: Nat,
    tells: bool,
}

impl Nat44 {
    fn packet(
        &mut self,
        gate: Gate,
        packet: Packet,
        arrival: &Result<Arrival, WireError>,
        ctx: &mut Context,
    ) {
        match arrival {
            Ok(arrival) => {
                if let Some(packet) = self.router.arrive(ctx, gate, packet, arrival.layers()) {
                    self.translate(gate, packet, arrival, ctx);
                }
            }
            Err(wrong) => ctx.drop(packet, (*wrong).into()),
        }
    }

    fn translate(&mut self, gate: Gate, mut packet: Packet, arrival: &Arrival, ctx: &mut Context) {
        let layers = arrival.layers();
        let outcome = self.nat.translate(ctx.now_ns(), gate, arrival, packet.data());
        if let Some((gate, destination)) = outcome.apply(&mut packet, layers) {
            return self.router.depart(ctx, gate, destination, packet);
        }
        match outcome {
            Outcome::Refuse(cause) if self.tells => {
                self.router.refuse(ctx, gate, packet, layers, (Notice::Prohibited, cause));
            }
            Outcome::Refuse(cause) | Outcome::End(cause) => ctx.drop(packet, cause),
            // These have left.
            Outcome::Pass(..) | Outcome::Error { .. } => {}
        }
    }
}

impl NetworkFunction for Nat44 {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        let arrivals: ArrayVec<_, BATCH> =
            batch.iter().map(|packet| self.nat.arrival(gate, packet.data())).collect();
        self.nat.fetch(arrivals.iter().flatten());
        for (packet, arrival) in batch.drain(..).zip(&arrivals) {
            self.packet(gate, packet, arrival, ctx);
        }
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.nat.deadline_ns().into_iter().chain(self.router.neighbours.deadline_ns()).min()
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.nat.expire(ctx.now_ns());
        self.router.expire(ctx);
        while let Some((gate, packet)) = self.router.unreachable(ctx) {
            if let Ok(arrival) = self.nat.arrival(gate, packet.data()) {
                self.translate(gate, packet, &arrival, ctx);
            }
        }
    }

    fn held(&self) -> usize {
        self.router.neighbours.held()
    }

    fn report(&self, report: &mut Report) {
        self.nat.report(report);
        self.router.report(report);
    }
}

pub(super) fn build(args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let inside = subnet_v4(args, "inside", "its address inside, such as 10.0.0.1/24")?;
    let (outside, address) = outside(args)?;
    let externals = externals(args, address)?;
    let forwards = args.lines("forward")?;
    let router = Router::build(args, setup, [inside, outside], externals)?;
    let (config, tells) = config(args, Realm::V4, externals)?;
    let mut nat = Nat::new(&config, FlowHasher::new(setup.key));
    forward(args, &mut nat, &forwards, (externals.0, &inside))?;
    Ok(Box::new(Nat44 { router, nat, tells }))
}

/// Sets the static forwards up.
pub(super) fn forward(
    args: &Args,
    nat: &mut Nat,
    forwards: &[String],
    (external, inside): (Ipv4Addr, &Subnet),
) -> Result<(), ArgsError> {
    for text in forwards {
        let wrong = |problem: &str| args.wrong("forward", text, problem);
        let (protocol, from, to) = parse_forward(text, external).map_err(|problem| wrong(&problem))?;
        if !inside.contains(to.ip()) {
            return Err(wrong("the host is not inside"));
        }
        if !nat.forward(protocol, from, to) {
            return Err(wrong("the external address is none of ours, or the port is taken"));
        }
    }
    Ok(())
}

fn subnet_v4(args: &mut Args, key: &'static str, wanted: &'static str) -> Result<Subnet, ArgsError> {
    let subnet: Subnet = args.require(key, wanted)?;
    match subnet.address().is_ipv4() && !subnet.is_reserved(subnet.address()) {
        true => Ok(subnet),
        false => Err(args.wrong(key, &subnet.to_string(), "a host's IPv4 address is wanted")),
    }
}

/// The address outside, as all translators have one.
pub(super) fn outside(args: &mut Args) -> Result<(Subnet, Ipv4Addr), ArgsError> {
    let subnet = subnet_v4(args, "outside", "its address outside, such as 192.0.2.2/24")?;
    match subnet.address() {
        IpAddr::V4(address) => Ok((subnet, address)),
        IpAddr::V6(_) => Err(args.conflict("outside is IPv4")),
    }
}

/// `external=A[-B]`: the first and the last.
pub(super) fn externals(args: &mut Args, own: Ipv4Addr) -> Result<(Ipv4Addr, Ipv4Addr), ArgsError> {
    let read = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let wrong = |_| "an address or two are wanted: 192.0.2.3-192.0.2.9".to_owned();
        let (first, last): (Ipv4Addr, Ipv4Addr) =
            (first.parse().map_err(wrong)?, last.parse().map_err(wrong)?);
        match last.to_bits().checked_sub(first.to_bits()) {
            Some(count) if (count as usize) < EXTERNALS_MAX => Ok((first, last)),
            _ => Err(format!("1 to {EXTERNALS_MAX} addresses are wanted")),
        }
    };
    Ok(args.take_with("external", read)?.unwrap_or((own, own)))
}

/// What all translators are told, and whether they tell who gets no mapping.
pub(super) fn config(
    args: &mut Args,
    realm: Realm,
    (first, last): (Ipv4Addr, Ipv4Addr),
) -> Result<(Config, bool), ArgsError> {
    let ports = args.take_with("ports", parse_ports)?.unwrap_or(1024..=u16::MAX);
    let filters = args.switch("filter", true)?;
    let flows = args.number("flows", 65_536, 1..=FLOWS_MAX as u64)? as usize;
    let mappings = args.number("mappings", 65_536, 1..=MAPPINGS_MAX as u64)? as usize;
    let per_host = args.number("per-host", 4096, 1..=MAPPINGS_MAX as u64)? as u32;
    let tells = args.take_with("refuse", |text| match text {
        "icmp" => Ok(true),
        "silent" => Ok(false),
        _ => Err("icmp or silent is wanted".into()),
    })?;
    let liberal = args.switch("liberal", false)?;
    let conntrack = conntrack::Config {
        flows,
        translations: flows,
        liberal,
        timeouts: nat::timeouts(),
        ..Default::default()
    };
    let externals = (first.to_bits()..=last.to_bits()).map(Ipv4Addr::from).collect();
    let limits = Limits { ports, mappings, per_host };
    Ok((Config { realm, externals, limits, filters, conntrack }, tells.unwrap_or(true)))
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || "a range of ports from 1 on is wanted: 1024-65535".to_owned();
    let (low, high) = text.split_once('-').ok_or_else(wrong)?;
    let (low, high): (u16, u16) = (low.parse().map_err(|_| wrong())?, high.parse().map_err(|_| wrong())?);
    if low == 0 || low > high { Err(wrong()) } else { Ok(low..=high) }
}

/// Reads `tcp/8080:10.0.0.5:80` and `udp/192.0.2.3:53:[fd00::5]:53`.
fn parse_forward(text: &str, external: Ipv4Addr) -> Result<(IpProtocol, SocketAddrV4, SocketAddr), String> {
    let wrong = || "tcp/PORT:HOST:PORT or udp/ADDRESS:PORT:HOST:PORT is wanted".to_owned();
    let (protocol, rest) = text.split_once('/').ok_or_else(wrong)?;
    let protocol = match protocol {
        "tcp" => IpProtocol::TCP,
        "udp" => IpProtocol::UDP,
        _ => return Err(wrong()),
    };
    let (first, behind) = rest.split_once(':').ok_or_else(wrong)?;
    let (external, port, inside) = match first.parse::<Ipv4Addr>() {
        Ok(address) => {
            let (port, inside) = behind.split_once(':').ok_or_else(wrong)?;
            (address, port, inside)
        }
        Err(_) => (external, first, behind),
    };
    let (port, inside): (u16, SocketAddr) =
        (port.parse().map_err(|_| wrong())?, inside.parse().map_err(|_| wrong())?);
    if port == 0 || inside.port() == 0 {
        Err(wrong())
    } else {
        Ok((protocol, SocketAddrV4::new(external, port), inside))
    }
}

#[cfg(test)]
mod tests;
