//! Routes IPv4 and IPv6 by the longest matching prefix.
//!
//! Every gate is an interface with addresses of its own. What comes in for the interface's Ethernet address is looked up,
//! loses one hop of its time to live, and leaves to the next hop, whose Ethernet address is found by ARP and neighbour
//! discovery. The senders of packets that end here are told by ICMP, as RFC 1812 and RFC 4443 ask for: no route, hops used
//! up, packet too big, host does not answer; at most 1000 a second, and never about errors, groups and later fragments.
//! Pings to its addresses are answered.
//!
//! Arguments:
//!   interface=GATE,address=ADDRESS/LENGTH,…  may be repeated, one for each gate from 0 on; `address=` may be repeated.
//!                                            Further: `mac=MAC` (default: 02:00 and the last four bytes of its first
//!                                            address), `mtu=BYTES` (default: 1500), `peer=MAC` for a link where
//!                                            everything goes to one station and nobody needs to be asked
//!   route=PREFIX,gate=GATE,via=ADDRESS       may be repeated; `route=@FILE` reads one a line. Without `via`, whoever has
//!                                            the destination address is on the link. `default` stands for 0.0.0.0/0
//!
//! Subnets of interfaces are routes without saying so. Not routed: frames with tags, groups, directed broadcasts, source
//! routes, link-local addresses. It sends no redirects. An IPv4 packet that is too big leaves in fragments if it may be
//! fragmented; segments that a port is still to cut are never fragmented: where they are too big, their sender is told.
//! Up to 64 gates, 2^22 routes of each family, 4096 neighbours.
//!
//! Example:
//!   weft netbricks run router interface=0,address=10.0.0.1/24 interface=1,address=192.0.2.2/30 \
//!     route=default,gate=1,via=192.0.2.1 --in tap:left --out tap:right

mod fragment;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::flow::FlowHasher;
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, MacAddr, ethernet, ipv4, ipv6};
use packet::{Batch, Packet, Pool};

use super::{Setup, ping};
use crate::answer::{Notice, Notices, Question, is_host_v4};
use crate::context::GATES_MAX;
use crate::neighbours::{Interface, Neighbours, Subnet};
use crate::routes::{Hop, Routes};
use crate::{Args, ArgsError, Cause, Context, Gate, NetworkFunction, Report};

const NOT_ADDRESSED: Cause = Cause::new("addressed to another station");
const GROUP: Cause = Cause::new("addressed to a group");
const TAGGED: Cause = Cause::new("tagged");
const NOT_IP: Cause = Cause::new("not IP");
const CHECKSUM: Cause = Cause::new("wrong IP checksum");
const MARTIAN: Cause = Cause::new("address that is not routed");
const SOURCE_ROUTE: Cause = Cause::new("source route");
const NO_ROUTE: Cause = Cause::new("no route");
const HOPS: Cause = Cause::new("hops used up");
const TOO_BIG: Cause = Cause::new("too big");
const LOCAL: Cause = Cause::new("for the router, which does not speak it");
const UNANSWERED: Cause = Cause::new("next hop does not answer");

/// The least that IPv6 asks of a link (RFC 8200 §5), and for IPv4 (RFC 791).
const MTU_MIN: u64 = 1280;

/// A router.
pub struct Router {
    routes: Routes,
    neighbours: Neighbours,
    /// Bytes that fit into a frame behind the link header, by gate.
    mtus: Vec<usize>,
    /// Where fragments come from.
    pool: Pool,
    notices: Notices,
    /// Packets whose next hop did not answer, until their senders are told.
    unanswered: Vec<Packet>,
    forwarded: u64,
    cut: u64,
    fragments: u64,
    answered: u64,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router")
            .field("gates", &self.mtus.len())
            .field("routes", &self.routes.len())
            .finish_non_exhaustive()
    }
}

/// What becomes of a packet.
enum Way {
    /// It leaves at a gate to a neighbour.
    To(Gate, IpAddr),
    /// So do its fragments, of at most so many bytes.
    InPieces(Gate, IpAddr, usize),
    /// It has become an answer, and goes back as it is.
    Back,
}

impl Router {
    /// Routes by `routes` between `interfaces` (one for each gate) that carry packets of so many bytes.
    #[must_use]
    pub fn new(interfaces: Vec<(Interface, usize)>, routes: Routes, setup: &Setup) -> Self {
        let (interfaces, mtus) = interfaces.into_iter().unzip();
        Self {
            routes,
            neighbours: Neighbours::new(interfaces, &setup.pool, FlowHasher::new(setup.key)),
            mtus,
            pool: setup.pool.clone(),
            notices: Notices::default(),
            unanswered: Vec::new(),
            forwarded: 0,
            cut: 0,
            fragments: 0,
            answered: 0,
        }
    }

    fn packet(&mut self, gate: Gate, packet: Packet, ctx: &mut Context) {
        let layers = match Layers::of(packet.data()) {
            Ok(layers) => layers,
            Err(wrong) => return ctx.drop(packet, wrong.into()),
        };
        let Some(mut packet) = self.neighbours.input(ctx, gate, &layers, packet) else { return };
        match self.route(gate, &layers, &mut packet, ctx.now_ns()) {
            Ok(Way::To(gate, next_hop)) => {
                self.forwarded += 1;
                self.neighbours.send(ctx, gate, next_hop, packet);
            }
            Ok(Way::InPieces(gate, next_hop, mtu)) => self.cut(ctx, (gate, next_hop), packet, &layers, mtu),
            Ok(Way::Back) => ctx.send(gate, packet),
            Err(cause) => ctx.drop(packet, cause),
        }
    }

    #[cold]
    fn cut(
        &mut self,
        ctx: &mut Context,
        (gate, next_hop): (Gate, IpAddr),
        packet: Packet,
        layers: &Layers,
        mtu: usize,
    ) {
        let Self { neighbours, pool, fragments, .. } = self;
        let cut = fragment::fragments(packet, layers, mtu, pool, |piece| {
            *fragments += 1;
            neighbours.send(ctx, gate, next_hop, piece);
        });
        match cut {
            Ok(lost) => {
                self.forwarded += 1;
                self.cut += 1;
                ctx.count(Cause::NO_BUFFER, lost);
            }
            Err(cause) => ctx.count(cause, 1),
        }
    }

    #[inline]
    fn route(&mut self, gate: Gate, layers: &Layers, packet: &mut Packet, now_ns: u64) -> Result<Way, Cause> {
        self.is_for_me(gate, layers, packet)?;
        let (to, stays) = destination(layers, packet.data())?;
        let (out, via) = match self.routes.find(to) {
            Some(Hop::Gate(..)) if stays => return Err(MARTIAN),
            Some(Hop::Gate(out, via)) => (out, via),
            Some(Hop::Local) => return self.local((gate, to), layers, packet, now_ns),
            Some(Hop::Nobody) => return Err(GROUP),
            None => return self.tell(gate, layers, packet, (Notice::NoRoute, NO_ROUTE), now_ns),
        };
        if hops(layers, packet.data()) <= 1 {
            return self.tell(gate, layers, packet, (Notice::TimeExceeded, HOPS), now_ns);
        }
        let mtu = self.mtus.get(usize::from(out)).copied().unwrap_or(0);
        let fits = length_on_wire(layers, packet) <= mtu;
        if !fits && !fragment::may_fragment(layers, packet) {
            return self.tell(gate, layers, packet, (Notice::TooBig(mtu as u32), TOO_BIG), now_ns);
        }
        take_a_hop(layers, packet.data_mut());
        let next_hop = via.unwrap_or(to);
        Ok(if fits { Way::To(out, next_hop) } else { Way::InPieces(out, next_hop, mtu) })
    }

    #[inline]
    fn is_for_me(&self, gate: Gate, layers: &Layers, packet: &Packet) -> Result<(), Cause> {
        let to = ethernet::View::new_unchecked(packet.data()).destination();
        match self.neighbours.interface(gate) {
            _ if to.is_multicast() => Err(GROUP),
            Some(interface) if interface.mac != to => Err(NOT_ADDRESSED),
            None => Err(Cause::NO_GATE),
            _ if layers.labels > 0 || !layers.vlans.is_empty() => Err(TAGGED),
            Some(_) => Ok(()),
        }
    }

    /// A packet for one of the router's own addresses, `own`, which is what answers.
    #[cold]
    fn local(
        &mut self,
        (gate, own): (Gate, IpAddr),
        layers: &Layers,
        packet: &mut Packet,
        now_ns: u64,
    ) -> Result<Way, Cause> {
        if let Some(question) = Question::of(layers, packet.data()) {
            let mac = self.neighbours.interface(gate).map_or(MacAddr::UNSPECIFIED, |interface| interface.mac);
            question.answer(packet, layers, mac, true)?;
            self.answered += 1;
            return Ok(Way::Back);
        }
        let mut told = |notice| self.notices.error(packet, layers, notice, own, now_ns);
        let told = match layers.protocol {
            IpProtocol::ICMP | IpProtocol::ICMPV6 => false,
            IpProtocol::UDP => told(Notice::PortUnreachable),
            IpProtocol::TCP => self.notices.reset(packet, layers, now_ns),
            _ => told(Notice::ProtocolUnreachable),
        };
        if told { Ok(Way::Back) } else { Err(LOCAL) }
    }

    /// Turns a packet into the error about it, from the address of the interface that it came in by (RFC 1812 §4.3.2.4).
    #[cold]
    fn tell(
        &mut self,
        gate: Gate,
        layers: &Layers,
        packet: &mut Packet,
        (notice, cause): (Notice, Cause),
        now_ns: u64,
    ) -> Result<Way, Cause> {
        let (sender, _) = layers.addresses(packet.data()).ok_or(cause)?;
        let from = self.neighbours.interface(gate).and_then(|interface| interface.address_towards(sender));
        let told = self.notices.error(packet, layers, notice, from.ok_or(cause)?, now_ns);
        if told { Ok(Way::Back) } else { Err(cause) }
    }

    /// Tells the sender of a packet that its next hop does not answer, by the way that leads to the sender.
    fn tell_unanswered(&mut self, ctx: &mut Context, mut packet: Packet) {
        let way_back = Layers::of(packet.data()).ok().and_then(|layers| {
            let (sender, _) = layers.addresses(packet.data())?;
            let Some(Hop::Gate(gate, via)) = self.routes.find(sender) else { return None };
            let from = self.neighbours.interface(gate)?.address_towards(sender)?;
            let notice = Notice::HostUnreachable;
            let told = self.notices.error(&mut packet, &layers, notice, from, ctx.now_ns());
            told.then_some((gate, via.unwrap_or(sender)))
        });
        match way_back {
            Some((gate, next_hop)) => self.neighbours.send(ctx, gate, next_hop, packet),
            None => ctx.drop(packet, UNANSWERED),
        }
    }
}

/// The destination of a packet that may be routed (RFC 1812 §5.3, RFC 4291 §2.5), and whether it stays on its link
/// because one of its addresses means something there only (RFC 3927 §2.6.2, RFC 4007 §9).
#[inline]
fn destination(layers: &Layers, frame: &[u8]) -> Result<(IpAddr, bool), Cause> {
    let packet = layers.network_packet(frame);
    match layers.network {
        Network::V4 => {
            let ip = ipv4::View::new_checked(packet)?;
            let (from, to) = (ip.source(), ip.destination());
            if !ip.verify_checksum() {
                return Err(CHECKSUM);
            }
            if to.is_multicast() || to.is_broadcast() {
                return Err(GROUP);
            }
            if !is_host_v4(from) || !is_host_v4(to) {
                return Err(MARTIAN);
            }
            let routed = |option| matches!(option, Ok(ipv4::HeaderOption::SourceRoute { .. }));
            if layers.ip_options && ip.options().any(routed) {
                return Err(SOURCE_ROUTE);
            }
            Ok((to.into(), from.is_link_local() || to.is_link_local()))
        }
        Network::V6 => {
            let ip = ipv6::View::new_checked(packet)?;
            let (from, to) = (ip.source(), ip.destination());
            if to.is_multicast() {
                return Err(GROUP);
            }
            let no_host = |address: Ipv6Addr| address.is_unspecified() || address.is_loopback();
            if from.is_multicast() || no_host(from) || no_host(to) {
                return Err(MARTIAN);
            }
            Ok((to.into(), from.is_unicast_link_local() || to.is_unicast_link_local()))
        }
        Network::Arp | Network::Other => Err(NOT_IP),
    }
}

/// Bytes from the IP header on, of the largest frame that the packet will be on the wire.
#[inline]
fn length_on_wire(layers: &Layers, packet: &Packet) -> usize {
    let whole = layers.end - layers.l3;
    match (packet.offload().segmentation, layers.payload) {
        (Some(segmentation), Some(payload)) => {
            (payload - layers.l3 + usize::from(segmentation.size)).min(whole)
        }
        _ => whole,
    }
}

/// The time to live, or hop limit.
#[inline]
fn hops(layers: &Layers, frame: &[u8]) -> u8 {
    let packet = layers.network_packet(frame);
    match layers.network {
        Network::V4 => ipv4::View::new_unchecked(packet).ttl(),
        _ => ipv6::View::new_unchecked(packet).hop_limit(),
    }
}

/// Takes one hop from the time to live, and mends the IPv4 checksum.
#[inline]
fn take_a_hop(layers: &Layers, frame: &mut [u8]) {
    let header = &mut frame[layers.l3..];
    match layers.network {
        Network::V4 => ipv4::View::new_unchecked(header).decrement_ttl(),
        _ => ipv6::View::new_unchecked(header).decrement_hop_limit(),
    };
}

impl NetworkFunction for Router {
    fn gates(&self) -> Gate {
        self.mtus.len() as Gate
    }

    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        batch.drain(..).for_each(|packet| self.packet(gate, packet, ctx));
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.neighbours.deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context) {
        let mut unanswered = std::mem::take(&mut self.unanswered);
        self.neighbours.expire(ctx, |_, _, packet| unanswered.push(packet));
        unanswered.drain(..).for_each(|packet| self.tell_unanswered(ctx, packet));
        self.unanswered = unanswered;
    }

    fn held(&self) -> usize {
        self.neighbours.held()
    }

    fn report(&self, report: &mut Report) {
        report.counter("routes", self.routes.len() as u64);
        report.counter("forwarded", self.forwarded);
        report.counter("of these, in fragments", self.cut);
        report.counter("fragments", self.fragments);
        report.counter("pings answered", self.answered);
        report.counter("ICMP errors and resets", self.notices.sent());
        report.counter("ICMP errors and resets withheld", self.notices.withheld());
        self.neighbours.report(report);
    }
}

/// `interface=0,address=…,mac=…,mtu=…,peer=…`: the gate, the interface, its MTU.
fn read_interface(text: &str) -> Result<(Gate, Interface, usize), String> {
    let mut fields = text.split(',');
    let gate: Gate = fields.next().unwrap_or_default().parse().map_err(|_| "a gate's number comes first")?;
    let (mut addresses, mut mac, mut peer, mut mtu) = (Vec::<Subnet>::new(), None, None, 1500);
    for field in fields {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("'{field}': KEY=VALUE is wanted"))?;
        match key {
            "address" => addresses.push(value.parse().map_err(|error| format!("{error}"))?),
            "mac" => mac = Some(station(value)?),
            "peer" => peer = Some(station(value)?),
            "mtu" => {
                mtu = value
                    .parse()
                    .ok()
                    .filter(|mtu| (MTU_MIN..=65_535).contains(mtu))
                    .ok_or("an MTU is 1280 to 65535")?;
            }
            _ => return Err(format!("'{key}': address, mac, peer or mtu is wanted")),
        }
    }
    let first = addresses.first().ok_or("an interface has at least one address=ADDRESS/LENGTH")?.address();
    let mut interface = Interface::new(mac.unwrap_or(ping::mac_of(Some(&first))), addresses);
    interface.next_hop = peer;
    Ok((gate, interface, mtu as usize))
}

fn station(text: &str) -> Result<MacAddr, String> {
    let mac: MacAddr = text.parse().map_err(|error| format!("{error}"))?;
    if mac.is_unicast() { Ok(mac) } else { Err(format!("{mac} is no station's address")) }
}

/// `PREFIX,gate=1,via=192.0.2.1`.
fn read_route(text: &str, gates: usize) -> Result<(&str, Hop), String> {
    let mut fields = text.split(',');
    let prefix = fields.next().unwrap_or_default();
    let (mut gate, mut via) = (None, None);
    for field in fields {
        match field.split_once('=') {
            Some(("gate", value)) => {
                gate = value.parse::<Gate>().ok().filter(|gate| usize::from(*gate) < gates);
            }
            Some(("via", value)) => {
                via = Some(value.parse().map_err(|_| format!("'{value}' is no address"))?);
            }
            _ => return Err(format!("'{field}': gate=… or via=… is wanted")),
        }
    }
    let gate = gate.ok_or_else(|| format!("gate=0 to gate={} is wanted", gates - 1))?;
    let prefix = match (prefix, via) {
        ("default", Some(IpAddr::V6(_))) => "::/0",
        ("default", _) => "0.0.0.0/0",
        _ => prefix,
    };
    Ok((prefix, Hop::Gate(gate, via)))
}

/// The routes that interfaces have by themselves: their subnets, and in them their own and nobody's addresses. A subnet
/// of link-local addresses is no route: every link has it.
fn insert_interface(routes: &mut Routes, gate: Gate, interface: &Interface) -> Result<(), String> {
    let mut insert = |address: IpAddr, length: u8, hop| {
        routes.insert(&format!("{address}/{length}"), hop).map_err(|error| error.to_string())
    };
    for subnet in &interface.addresses {
        let length = subnet.length();
        let (first, last, longest, everywhere) = match subnet.address() {
            IpAddr::V4(own) => {
                let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                let ends = [own.to_bits() & !host, own.to_bits() | host].map(Ipv4Addr::from_bits);
                (ends[0].into(), ends[1].into(), 32, false)
            }
            IpAddr::V6(own) => {
                let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                let ends = [own.to_bits() & !host, own.to_bits() | host].map(Ipv6Addr::from_bits);
                (ends[0].into(), ends[1].into(), 128, own.is_unicast_link_local())
            }
        };
        if !everywhere {
            insert(first, length, Hop::Gate(gate, None))?;
        }
        for end in [first, last].into_iter().filter(|end| subnet.is_reserved(*end)) {
            insert(end, longest, Hop::Nobody)?;
        }
        insert(subnet.address(), longest, Hop::Local)?;
    }
    Ok(())
}

pub(super) fn build(args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let mut interfaces = Vec::new();
    let mut routes = Routes::default();
    for text in args.lines("interface")? {
        let read = read_interface(&text).and_then(|(gate, interface, mtu)| {
            if usize::from(gate) != interfaces.len() || gate >= GATES_MAX {
                return Err(format!("gate {} comes next, and {GATES_MAX} are the most", interfaces.len()));
            }
            insert_interface(&mut routes, gate, &interface)?;
            Ok((interface, mtu))
        });
        interfaces.push(read.map_err(|problem| args.wrong("interface", &text, problem))?);
    }
    if interfaces.is_empty() {
        return Err(args.conflict("interface=… is missing: one for each gate, such as 0,address=10.0.0.1/24"));
    }
    for text in args.lines("route")? {
        let read = read_route(&text, interfaces.len());
        let inserted =
            read.and_then(|(prefix, hop)| routes.insert(prefix, hop).map_err(|error| error.to_string()));
        inserted.map_err(|problem| args.wrong("route", &text, problem))?;
    }
    Ok(Box::new(Router::new(interfaces, routes, setup)))
}

#[cfg(test)]
mod tests;
