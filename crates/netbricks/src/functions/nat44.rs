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

use packet::{Batch, Packet};

use super::Setup;
use super::nat_args::{self, Translator};
use crate::answer::Notice;
use crate::nat::{Arrival, Arrivals, Glance, Glances, Hastened, Nat, Outcome, Realm, Router};
use crate::{Args, ArgsError, Context, Gate, NetworkFunction, Report};

/// NAT44; see the function's manual.
pub struct Nat44 {
    router: Router,
    nat: Nat,
    tells: bool,
}

impl Nat44 {
    /// A packet whose flow is probably known.
    #[inline]
    fn known(&mut self, gate: Gate, packet: Packet, glance: &Glance, ctx: &mut Context) {
        let layers = glance.layers(packet.data());
        let Some(mut packet) = self.router.arrive(ctx, gate, packet, &layers) else { return };
        match self.nat.hasten(ctx.now_ns(), gate, glance, &mut packet) {
            Some(Hastened::Passed(gate, destination)) => {
                self.router.depart(ctx, gate, destination.into(), packet);
            }
            Some(Hastened::Ended(cause)) => ctx.drop(packet, cause),
            None => self.translate_read(gate, packet, ctx),
        }
    }

    /// A packet that is read first: the short way did not know it, or there was no batch to read it with.
    #[inline(never)]
    fn translate_read(&mut self, gate: Gate, packet: Packet, ctx: &mut Context) {
        match self.nat.arrival(gate, packet.data()) {
            Ok(arrival) => self.translate(gate, packet, &arrival, ctx),
            Err(wrong) => ctx.drop(packet, wrong.into()),
        }
    }

    /// A packet of which nothing is known.
    #[inline(never)]
    fn stranger(
        &mut self,
        gate: Gate,
        packet: Packet,
        arrivals: &Arrivals,
        number: usize,
        ctx: &mut Context,
    ) {
        match arrivals.get(number) {
            Some(Ok(arrival)) => {
                if let Some(packet) = self.router.arrive(ctx, gate, packet, arrival.layers()) {
                    self.translate(gate, packet, arrival, ctx);
                }
            }
            Some(Err(wrong)) => ctx.drop(packet, (*wrong).into()),
            None => self.translate_read(gate, packet, ctx),
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
        let (mut glances, mut arrivals) = (Glances::default(), Arrivals::default());
        self.nat.glance(batch.iter().map(Packet::data), &mut glances);
        self.nat.arrivals(gate, &glances, batch.iter().map(Packet::data), &mut arrivals);
        for (number, packet) in batch.drain(..).enumerate() {
            match &glances[number] {
                known if known.is_known() => self.known(gate, packet, known, ctx),
                _ => self.stranger(gate, packet, &arrivals, number, ctx),
            }
        }
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.nat.deadline_ns().into_iter().chain(self.router.neighbours.deadline_ns()).min()
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.nat.expire(ctx.now_ns());
        self.router.expire(ctx);
        while let Some((gate, packet)) = self.router.unreachable(ctx) {
            self.translate_read(gate, packet, ctx);
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
    let inside = nat_args::subnet_v4(args, "inside", "its address inside, such as 10.0.0.1/24")?;
    let Translator { router, nat, tells } = Translator::build(args, setup, inside, Realm::Same)?;
    Ok(Box::new(Nat44 { router, nat, tells }))
}

#[cfg(test)]
mod tests;
