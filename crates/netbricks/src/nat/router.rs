//! The router around a translator: what comes to its addresses, and where what it lets out goes.

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr};

use packet::Packet;
use packet::flow::FlowHasher;
use packet::parse::{Layers, Network};
use packet::wire::{MacAddr, ethernet, ipv4};

use super::{INSIDE, OUTSIDE};
use crate::answer::{Notice, Notices, Question};
use crate::functions::Setup;
use crate::neighbours::{Interface, Neighbours, Subnet, UNREACHABLE, WAITING_MAX};
use crate::{Args, ArgsError, Cause, Context, Gate, Report, rewrite};

const TAGGED: Cause = Cause::new("tagged frame");
const NOT_IP: Cause = Cause::new("not IP");
const NOT_FOR_US: Cause = Cause::new("for another station");
const SOURCE: Cause = Cause::new("source address of the wrong side");
const NO_ROUTE: Cause = Cause::new("no route");
const CHECKSUM: Cause = Cause::new("wrong header checksum");
const EXPIRED: Cause = Cause::new("time to live exceeded");

/// Two gates with a link behind each, and a way on from the second.
pub(crate) struct Router {
    pub(crate) neighbours: Neighbours,
    notices: Notices,
    gateway: Option<IpAddr>,
    /// Packets that no neighbour took.
    given_up: Vec<(Gate, Packet)>,
}

impl Router {
    /// Reads what all translators are given: their sides and the addresses of their neighbours.
    pub(crate) fn build(
        args: &mut Args,
        setup: &Setup,
        [inside, outside]: [Subnet; 2],
        externals: (Ipv4Addr, Ipv4Addr),
    ) -> Result<Self, ArgsError> {
        let mut gates = Vec::new();
        for (gate, subnet, mac, next_hop) in [
            (INSIDE, inside, "inside-mac", "inside-next-hop"),
            (OUTSIDE, outside, "outside-mac", "outside-next-hop"),
        ] {
            let own = args.take_or(mac, drawn_mac(setup, gate))?;
            let mut interface = Interface::new(own, vec![subnet]);
            interface.next_hop = args.take(next_hop)?;
            gates.push(interface);
        }
        gates[1].answers.push(externals.0.into()..=externals.1.into());
        let gateway = args.take::<Ipv4Addr>("gateway")?.map(IpAddr::V4);
        if gateway.is_some_and(|gateway| !gates[1].is_on_link(gateway)) {
            return Err(args.conflict("the gateway is not on the outside link"));
        }
        let neighbours = Neighbours::new(gates, &setup.pool, FlowHasher::new(setup.key));
        let given_up = Vec::with_capacity(WAITING_MAX);
        Ok(Self { neighbours, notices: Notices::default(), gateway, given_up })
    }

    /// Takes a packet in. Gives back what is to be translated: IP, from a host of that side, with hops left.
    #[inline]
    pub(crate) fn arrive(
        &mut self,
        ctx: &mut Context,
        gate: Gate,
        packet: Packet,
        layers: &Layers,
    ) -> Option<Packet> {
        if !layers.vlans.is_empty() || layers.labels > 0 {
            ctx.drop(packet, TAGGED);
            return None;
        }
        let mut packet = self.neighbours.input(ctx, gate, layers, packet)?;
        match self.judge(gate, layers, packet.data()) {
            Err(cause) => {
                ctx.drop(packet, cause);
                None
            }
            Ok(destination) if self.is_own(destination) && is_echo(layers, packet.data()) => {
                self.answer(ctx, gate, packet, layers);
                None
            }
            Ok(_) if rewrite::ttl(packet.data_mut(), layers) => Some(packet),
            Ok(_) => {
                self.refuse(ctx, gate, packet, layers, (Notice::TimeExceeded, EXPIRED));
                None
            }
        }
    }

    /// The destination of a packet that may go on.
    fn judge(&self, gate: Gate, layers: &Layers, frame: &[u8]) -> Result<IpAddr, Cause> {
        let (source, destination) = layers.addresses(frame).ok_or(NOT_IP)?;
        let own = self.neighbours.interface(gate).ok_or(Cause::NO_GATE)?;
        let to = ethernet::View::new_checked(frame)?.destination();
        // A gate with one known station behind it takes what it is given.
        if to != own.mac && (own.next_hop.is_none() || !to.is_unicast()) {
            return Err(NOT_FOR_US);
        }
        let inside = self.neighbours.interface(INSIDE).ok_or(Cause::NO_GATE)?;
        let fits = match gate {
            INSIDE => is_host(source) && inside.is_on_link(source) && !inside.is_own(source),
            _ => is_host(source) && !inside.is_on_link(source) && !own.answers_for(source),
        };
        if !fits || !is_host(destination) {
            return Err(SOURCE);
        }
        if layers.network == Network::V4 {
            let ip = ipv4::View::new_checked(layers.network_packet(frame))?;
            if !ip.verify_checksum() {
                return Err(CHECKSUM); // RFC 1812 §4.2.2.5
            }
            if layers.ip_options && has_source_route(&ip) {
                return Err(Question::SOURCE_ROUTE);
            }
        }
        Ok(destination)
    }

    fn is_own(&self, address: IpAddr) -> bool {
        let own = |gate| self.neighbours.interface(gate).is_some_and(|own| own.answers_for(address));
        own(INSIDE) || own(OUTSIDE)
    }

    fn answer(&self, ctx: &mut Context, gate: Gate, mut packet: Packet, layers: &Layers) {
        let mac = self.neighbours.interface(gate).map_or(MacAddr::UNSPECIFIED, |own| own.mac);
        let answered = Question::of(layers, packet.data())
            .map_or(Err(Question::FRAGMENT), |question| question.answer(&mut packet, layers, mac, true));
        match answered {
            Ok(()) => ctx.send(gate, packet),
            Err(cause) => ctx.drop(packet, cause),
        }
    }

    /// Ends a packet and tells its sender, where it may be told.
    pub(crate) fn refuse(
        &mut self,
        ctx: &mut Context,
        gate: Gate,
        mut packet: Packet,
        layers: &Layers,
        (notice, cause): (Notice, Cause),
    ) {
        let told = self.tell(ctx.now_ns(), gate, &mut packet, layers, notice);
        if told {
            ctx.count(cause, 1);
            ctx.send(gate, packet);
        } else {
            ctx.drop(packet, cause);
        }
    }

    /// Turns a packet into the error about it, from our address at `gate`; whether it may be told.
    fn tell(
        &mut self,
        now_ns: u64,
        gate: Gate,
        packet: &mut Packet,
        layers: &Layers,
        notice: Notice,
    ) -> bool {
        let own = self.neighbours.interface(gate);
        let source = layers.addresses(packet.data()).map(|(source, _)| source);
        let from = own.zip(source).and_then(|(own, source)| own.address_towards(source));
        rewrite::finish(packet, layers);
        from.is_some_and(|from| self.notices.error(packet, layers, notice, from, now_ns))
    }

    /// Lets a packet out at `gate` on its way to `destination`.
    #[inline]
    pub(crate) fn depart(&mut self, ctx: &mut Context, gate: Gate, destination: IpAddr, packet: Packet) {
        let Some(own) = self.neighbours.interface(gate) else { return ctx.drop(packet, Cause::NO_GATE) };
        let next_hop = match self.gateway.filter(|_| gate == OUTSIDE) {
            _ if own.next_hop.is_some() || own.is_on_link(destination) => destination,
            Some(gateway) => gateway,
            None => return ctx.drop(packet, NO_ROUTE),
        };
        self.neighbours.send(ctx, gate, next_hop, packet);
    }

    /// Asks again for neighbours, and gives up on those that do not answer.
    pub(crate) fn expire(&mut self, ctx: &mut Context) {
        let given_up = &mut self.given_up;
        self.neighbours.expire(ctx, |_, gate, packet| given_up.push((gate, packet)));
    }

    /// The ICMP error about a packet whose neighbour did not answer. It was translated before it waited, so its error is
    /// translated back as if a router behind that gate had sent it.
    pub(crate) fn unreachable(&mut self, ctx: &mut Context) -> Option<(Gate, Packet)> {
        while let Some((gate, mut packet)) = self.given_up.pop() {
            ctx.count(UNREACHABLE, 1);
            let Ok(layers) = Layers::of(packet.data()) else { continue };
            if self.tell(ctx.now_ns(), gate, &mut packet, &layers, Notice::HostUnreachable) {
                return Some((gate, packet));
            }
        }
        None
    }

    pub(crate) fn report(&self, report: &mut Report) {
        report.counter("errors sent", self.notices.sent());
        report.counter("errors withheld", self.notices.withheld());
        self.neighbours.report(report);
    }
}

/// An Ethernet address of our own making, different for each gate.
fn drawn_mac(setup: &Setup, gate: Gate) -> MacAddr {
    let [a, b, c, d, e, ..] = FlowHasher::new(setup.key).hash_one((setup.seed, gate)).to_be_bytes();
    MacAddr([2, a, b, c, d, e])
}

fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, ..] = address.octets();
            first != 0 && first != 127 && first < 224
        }
        IpAddr::V6(address) => {
            !(address.is_multicast()
                || address.is_unspecified()
                || address.is_loopback()
                || address.is_unicast_link_local())
        }
    }
}

fn is_echo(layers: &Layers, frame: &[u8]) -> bool {
    matches!(Question::of(layers, frame), Some(Question::Echo { .. }))
}

fn has_source_route(ip: &ipv4::View<&[u8]>) -> bool {
    ip.options().any(|option| matches!(option, Ok(ipv4::HeaderOption::SourceRoute { .. })))
}
