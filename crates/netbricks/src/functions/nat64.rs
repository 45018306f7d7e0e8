//! Lets hosts of IPv6 speak with hosts of IPv4 (stateful NAT64, RFC 6146).
//!
//! Gate 0 is the inside, which speaks IPv6, gate 1 the outside, which speaks IPv4. A host inside reaches 192.0.2.33 as
//! `64:ff9b::192.0.2.33`; names become such addresses by a DNS64 elsewhere. It is a router between the two: hosts inside
//! have its inside address as the gateway of the prefix, it answers neighbour discovery, ARP and ping for its own
//! addresses, lowers the hop limit and answers "time exceeded".
//!
//! | argument | default | |
//! |---|---|---|
//! | `inside=fd00::1/64` | | its address inside; only hosts of that subnet are translated |
//! | `prefix=64:ff9b::/96` | that | where IPv4 is, seen from inside; 32, 40, 48, 56, 64 or 96 bits (RFC 6052) |
//! | `mtu=1500` | 1500 | of the inside link: larger packets are refused with "fragmentation needed" |
//! | `lowest-mtu=1280` | 1280 | packets of IPv4 that may be fragmented are cut to this (RFC 7915 §4.1) |
//!
//! All other arguments are those of `nat44`: `outside=`, `gateway=`, `external=`, `ports=`, `filter=`,
//! `forward=tcp/8080:[fd00::5]:80`, `flows=`, `mappings=`, `per-host=`, `refuse=`, `liberal=`, and the Ethernet addresses.
//!
//! TCP, UDP and ICMP echo are translated, and ICMP errors both ways with the packet they quote (RFC 7915). IPv4 options and
//! IPv6 extension headers end here; packets with a source route or a routing header that is not done are dropped. A UDP
//! datagram without checksum gets one, unless it comes in fragments: then it is dropped, and so is fragmented ICMP. Later
//! fragments follow their first one for 30 s; one that comes before it is dropped, which RFC 6146 §3.4 would have held.
//!
//! Example:
//!   weft netbricks run nat64 inside=fd00::1/64 outside=192.0.2.2/24 gateway=192.0.2.1 --in veth:eth0 --out veth:eth1

use std::net::IpAddr;

use arrayvec::ArrayVec;
use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::WireError;
use packet::{BATCH, Batch, Offload, Packet, Pool};

use super::Setup;
use super::nat_args::Translator;
use crate::answer::Notice;
use crate::nat::siit::{self, Failed};
use crate::nat::{Arrival, Nat, Outcome, Prefix, Realm, Router};
use crate::neighbours::Subnet;
use crate::{Args, ArgsError, Cause, Context, Gate, NetworkFunction, Report, rewrite};

/// It does not fit the inside link, and may not be fragmented.
const TOO_BIG: Cause = Cause::new("larger than the inside link");

/// NAT64; see the function's manual.
pub struct Nat64 {
    router: Router,
    nat: Nat,
    pool: Pool,
    tells: bool,
    mtu: usize,
    lowest_mtu: usize,
    /// The next identification of an IPv4 packet.
    ident: u16,
}

impl Nat64 {
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

    fn translate(&mut self, gate: Gate, packet: Packet, arrival: &Arrival, ctx: &mut Context) {
        let layers = arrival.layers();
        match self.nat.translate(ctx.now_ns(), gate, arrival, packet.data()) {
            Outcome::Pass(gate, tuple) => self.pass(ctx, gate, packet, layers, &tuple),
            Outcome::Error { gate, outer, quoted } => {
                self.error(ctx, gate, packet, layers, (&outer, &quoted));
            }
            Outcome::Refuse(cause) if self.tells => {
                self.router.refuse(ctx, gate, packet, layers, (Notice::Prohibited, cause));
            }
            Outcome::Refuse(cause) | Outcome::End(cause) => ctx.drop(packet, cause),
        }
    }

    /// Lets a packet out with its new tuple, in the family that has.
    fn pass(&mut self, ctx: &mut Context, gate: Gate, mut packet: Packet, layers: &Layers, new: &FlowKey) {
        let made = match (layers.network, new) {
            (Network::V6, FlowKey::V6(_)) => {
                let offload = packet.offload();
                rewrite::tuple(packet.data_mut(), layers, &offload, new); // a hairpin
                Ok(())
            }
            (Network::V4, FlowKey::V6(_)) => match siit::length_in_v6(&packet, layers) {
                Ok(length) if siit::may_fragment(&packet, layers) && length > self.lowest_mtu => {
                    return self.cut(ctx, gate, packet, layers, new);
                }
                Ok(length) if length > self.mtu => {
                    let notice = Notice::TooBig((self.mtu - 20) as u32);
                    return self.router.refuse(ctx, gate ^ 1, packet, layers, (notice, TOO_BIG));
                }
                Ok(_) => siit::packet(&mut packet, layers, new, 0),
                Err(failed) => Err(failed),
            },
            _ => {
                self.ident = self.ident.wrapping_add(1);
                siit::packet(&mut packet, layers, new, self.ident)
            }
        };
        self.depart(ctx, gate, packet, new, made);
    }

    fn depart(
        &mut self,
        ctx: &mut Context,
        gate: Gate,
        packet: Packet,
        to: &FlowKey,
        made: Result<(), Failed>,
    ) {
        match made {
            Ok(()) => self.router.depart(ctx, gate, to.destination(), packet),
            Err(failed) => ctx.drop(packet, failed.into()),
        }
    }

    #[cold]
    fn cut(&mut self, ctx: &mut Context, gate: Gate, packet: Packet, layers: &Layers, new: &FlowKey) {
        let (router, to) = (&mut self.router, (new, self.lowest_mtu));
        let cut = siit::fragments(packet, layers, to, &self.pool, |piece| {
            router.depart(ctx, gate, new.destination(), piece);
        });
        match cut {
            Ok(lost) => ctx.count(Cause::NO_BUFFER, lost),
            Err(failed) => ctx.count(failed.into(), 1),
        }
    }

    fn error(
        &mut self,
        ctx: &mut Context,
        gate: Gate,
        mut packet: Packet,
        layers: &Layers,
        (outer, quoted): (&FlowKey, &FlowKey),
    ) {
        let made = if (layers.network == Network::V4) == outer.source().is_ipv4() {
            rewrite::quote(packet.data_mut(), layers, |quote, inner| {
                rewrite::tuple(quote, inner, &Offload::default(), quoted)
            });
            rewrite::tuple(packet.data_mut(), layers, &Offload::default(), outer);
            Ok(())
        } else {
            self.ident = self.ident.wrapping_add(1);
            siit::error(&mut packet, layers, (outer, quoted), self.ident)
        };
        self.depart(ctx, gate, packet, outer, made);
    }
}

impl NetworkFunction for Nat64 {
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
    let inside: Subnet = args.require("inside", "its address inside, such as fd00::1/64")?;
    let IpAddr::V6(own) = inside.address() else {
        return Err(args.wrong("inside", &inside.to_string(), "an IPv6 address is wanted"));
    };
    let prefix = args.take_or("prefix", Prefix::WELL_KNOWN)?;
    if prefix.extract(own).is_some() {
        return Err(args.conflict("the inside address lies in the prefix"));
    }
    let mtu = args.number("mtu", 1500, 1280..=65_535)? as usize;
    let lowest_mtu = args.number("lowest-mtu", 1280, 1280..=65_535)? as usize;
    let Translator { router, nat, tells } = Translator::build(args, setup, inside, Realm::V6(prefix))?;
    let (pool, lowest_mtu) = (setup.pool.clone(), lowest_mtu.min(mtu));
    Ok(Box::new(Nat64 { router, nat, pool, tells, mtu, lowest_mtu, ident: 0 }))
}

#[cfg(test)]
mod tests;
