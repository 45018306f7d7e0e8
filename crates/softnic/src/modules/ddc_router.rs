//! [`DdcRouter`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ddc::live::{ETHERTYPE, Node, NodeReport, Refused, Site, Verdict, Way};
use lookup::lpm::{Lpm, Prefix};
use netbricks::answer::{Notice, Notices};
use packet::parse::Layers;
use packet::wire::{EtherType, MacAddr, ethernet, ipv4, ipv6};
use packet::{Batch, Packet, Pool};
use ports::{Offloads, finish};

use crate::engine::{Context, Gate, Module};

/// Where frames between routers are sent: a group of nobody's, since a link has one other end. Bridges pass it on.
const GROUP: MacAddr = MacAddr([0x03, 0x44, 0x44, 0x43, 0, 1]);
const ETHERNET: usize = ethernet::HEADER_LEN;

/// Forwards IP packets over Data-Driven Connectivity: one router of a network (`ddc::live`).
///
/// *Gates*, in and out alike: gate 0 is the router's local side, IP packets in Ethernet frames; gate 1 + N the link of port N
/// of the network file's map. What comes in at gate 0 is for another router's prefix; what leaves there is for this router's.
/// `netbricks`' `router` function stands there well (ARP, neighbour discovery, pings, fragments): [`local_side`] are its
/// arguments.
///
/// Between routers a packet has the EtherType 0x88b5 and a shim instead of its Ethernet header's type (`ddc::live`), at most 36
/// bytes: links need an MTU that is so much larger than the network's. Neither an MPLS label nor a VLAN tag would do. Each has
/// room for the paper's bit, but not for what a scout carries, nor for the number by which a link that does not keep order
/// is found out.
///
/// Hops: a router takes one from packets that come over a link and leave over a link; the function on the local side takes
/// those of the first and last router. Where a packet's hops are used up, or no way leads on, its sender is told by ICMP from the
/// router's first address of that family, at most 1000 times a second.
///
/// Segments that a host has left whole are cut where they come in, and checksums are finished.
pub struct DdcRouter {
    node: Node,
    routers_v4: Lpm<Ipv4Addr, u32>,
    routers_v6: Lpm<Ipv6Addr, u32>,
    own: Vec<IpAddr>,
    mtu: usize,
    mac: MacAddr,
    pool: Pool,
    notices: Notices,
    /// What goes in front of a packet; used again for every one.
    front: Vec<u8>,
    dropped: BTreeMap<&'static str, u64>,
}

/// The Ethernet address of the router on its local side, seen from the function that stands there.
const INSIDE: MacAddr = MacAddr([0x02, 0x44, 0x44, 0x43, 0, 0]);
/// That function's, seen from the router.
const LOCAL: MacAddr = MacAddr([0x02, 0x44, 0x44, 0x43, 0, 1]);

/// The arguments of `netbricks`' function `router` for the local side of a router: gate 0 is its hosts' link, gate 1 leads here.
/// Without addresses there is no local side.
pub fn local_side(site: &Site, me: usize) -> Option<Vec<String>> {
    let addresses = &site.routers[me].addresses;
    if addresses.is_empty() {
        return None;
    }
    let lines = |longest: bool| -> String {
        let line = |(address, length): &(IpAddr, u8)| match (longest, address) {
            (false, _) => format!(",address={address}/{length}"),
            (true, IpAddr::V4(_)) => format!(",address={address}/32"),
            (true, IpAddr::V6(_)) => format!(",address={address}/128"),
        };
        addresses.iter().map(line).collect()
    };
    Some(vec![
        format!("interface=0,mtu={}{}", site.mtu, lines(false)),
        format!("interface=1,mtu={},mac={LOCAL},peer={INSIDE}{}", site.mtu, lines(true)),
        "route=0.0.0.0/0,gate=1".to_owned(),
        "route=::/0,gate=1".to_owned(),
    ])
}

impl DdcRouter {
    /// A router whose links are all down until [`set_carrier`](Self::set_carrier) says otherwise. `start` is that of
    /// `Node::new`: higher whenever it starts again.
    pub fn new(site: &Site, me: usize, start: u32, now_ns: u64, pool: &Pool) -> Self {
        let (mut routers_v4, mut routers_v6) = (Lpm::new(), Lpm::new());
        for (number, router) in site.routers.iter().enumerate() {
            for (address, length) in &router.addresses {
                // The network file bounds how many there are, far below what a table holds.
                match address {
                    IpAddr::V4(address) => {
                        let prefix = Prefix::containing(*address, *length).ok();
                        prefix.map(|prefix| routers_v4.insert(prefix, number as u32).ok());
                    }
                    IpAddr::V6(address) => {
                        let prefix = Prefix::containing(*address, *length).ok();
                        prefix.map(|prefix| routers_v6.insert(prefix, number as u32).ok());
                    }
                }
            }
        }
        Self {
            node: Node::new(site, me, start, now_ns),
            routers_v4,
            routers_v6,
            own: site.routers[me].addresses.iter().map(|(address, _)| *address).collect(),
            mtu: site.mtu.into(),
            mac: MacAddr([0x02, 0x44, 0x44, 0x43, 1, me as u8]),
            pool: pool.clone(),
            notices: Notices::default(),
            front: Vec::with_capacity(64),
            dropped: BTreeMap::new(),
        }
    }

    /// Says whether the interface of a link has a carrier. To be followed by [`speak`](Self::speak).
    pub fn set_carrier(&mut self, port: u16, carrier: bool) {
        self.node.set_carrier(port, carrier);
    }

    /// Links, destinations and counters.
    pub fn report(&self) -> NodeReport {
        let mut report = self.node.report();
        for (cause, count) in &self.dropped {
            *report.dropped.entry((*cause).to_owned()).or_default() += count;
        }
        report
    }

    /// Lets out what the router has to say to its neighbours.
    pub fn speak(&mut self, ctx: &mut Context<'_>) {
        let now_ns = ctx.now_ns();
        while let Some((port, frame)) = self.node.poll_output(now_ns) {
            self.front.clear();
            write_ethernet(&mut self.front, GROUP, self.mac, ETHERTYPE);
            self.front.extend(frame);
            match self.pool.packet(&self.front) {
                Some(packet) => ctx.emit(1 + port, packet),
                None => self.drop("no buffer"),
            }
        }
    }

    fn drop(&mut self, cause: &'static str) {
        *self.dropped.entry(cause).or_default() += 1;
    }

    /// A packet from the local side.
    fn begin(&mut self, ctx: &mut Context<'_>, packet: Packet) {
        let pool = self.pool.clone();
        let finished = finish::finish(packet, Offloads::default(), &pool, |packet| self.route(ctx, packet));
        if finished.is_err() {
            self.drop("offloads that make no sense");
        }
    }

    /// A whole packet with an Ethernet header, from the local side or made here.
    fn route(&mut self, ctx: &mut Context<'_>, mut packet: Packet) {
        let Some(ip) = Ip::of(packet.data(), ETHERNET) else { return self.drop("not IP, or malformed") };
        packet.truncate(ETHERNET + ip.length);
        let router = match ip.to {
            IpAddr::V4(to) => self.routers_v4.lookup(to),
            IpAddr::V6(to) => self.routers_v6.lookup(to),
        };
        let Some(router) = router else {
            return self.tell(ctx, packet, ETHERNET, Notice::NoRoute, "no router has its destination");
        };
        if ip.length > self.mtu {
            return self.tell(ctx, packet, ETHERNET, Notice::TooBig(self.mtu as u32), "too big");
        }
        match self.node.start(ctx.now_ns(), router as usize) {
            Verdict::Forward { way, .. } => self.leave(ctx, packet, ETHERNET, &way),
            Verdict::Deliver { .. } => self.hand_over(ctx, packet, ETHERNET, ip.v6),
            Verdict::Drop { .. } => self.tell(ctx, packet, ETHERNET, Notice::HostUnreachable, ""),
            Verdict::Taken => {}
        }
    }

    /// A frame from a neighbour.
    fn arrive(&mut self, ctx: &mut Context<'_>, port: u16, packet: Packet) {
        let is_ours =
            ethernet::View::new_checked(packet.data()).is_ok_and(|frame| frame.ethertype().0 == ETHERTYPE);
        if !is_ours {
            return self.drop("not a router's frame");
        }
        match self.node.arrive(ctx.now_ns(), port, &packet.data()[ETHERNET..]) {
            Verdict::Taken => {}
            Verdict::Deliver { skip } => match Ip::of(packet.data(), ETHERNET + skip) {
                Some(ip) => self.hand_over(ctx, cut(packet, ETHERNET + skip, &ip), ETHERNET + skip, ip.v6),
                None => self.drop("not IP, or malformed"),
            },
            Verdict::Forward { skip, way } => self.pass_on(ctx, packet, ETHERNET + skip, &way),
            Verdict::Drop { refused: Refused::By(_), skip: Some(skip) } => {
                if Ip::of(packet.data(), ETHERNET + skip).is_some() {
                    self.tell(ctx, packet, ETHERNET + skip, Notice::HostUnreachable, "");
                }
            }
            Verdict::Drop { .. } => {}
        }
    }

    /// Takes a hop, and lets it out over a link.
    fn pass_on(&mut self, ctx: &mut Context<'_>, packet: Packet, at: usize, way: &Way) {
        let Some(ip) = Ip::of(packet.data(), at) else { return self.drop("not IP, or malformed") };
        let mut packet = cut(packet, at, &ip);
        if ip.hops <= 1 {
            return self.tell(ctx, packet, at, Notice::TimeExceeded, "hops used up");
        }
        let header = &mut packet.data_mut()[at..];
        match ip.v6 {
            false => ipv4::View::new_unchecked(header).decrement_ttl(),
            true => ipv6::View::new_unchecked(header).decrement_hop_limit(),
        };
        self.leave(ctx, packet, at, way);
    }

    /// Lets the IP packet behind the first `at` bytes out over a link.
    fn leave(&mut self, ctx: &mut Context<'_>, mut packet: Packet, at: usize, way: &Way) {
        self.front.clear();
        write_ethernet(&mut self.front, GROUP, self.mac, ETHERTYPE);
        self.node.seal(way, &mut self.front);
        if replace_front(&mut packet, at, &self.front) {
            ctx.emit(1 + way.port, packet);
        } else {
            self.drop("no room in its buffer");
        }
    }

    /// Lets the IP packet behind the first `at` bytes out on the local side.
    fn hand_over(&mut self, ctx: &mut Context<'_>, mut packet: Packet, at: usize, v6: bool) {
        self.front.clear();
        let kind = if v6 { EtherType::IPV6 } else { EtherType::IPV4 };
        write_ethernet(&mut self.front, LOCAL, INSIDE, kind.0);
        if replace_front(&mut packet, at, &self.front) {
            ctx.emit(0, packet);
        } else {
            self.drop("no room in its buffer");
        }
    }

    /// Tells the sender of the IP packet behind the first `at` bytes why it ends here. Counted where a cause is given.
    fn tell(
        &mut self,
        ctx: &mut Context<'_>,
        mut packet: Packet,
        at: usize,
        notice: Notice,
        cause: &'static str,
    ) {
        if !cause.is_empty() {
            self.drop(cause);
        }
        let Some(ip) = Ip::of(packet.data(), at) else { return };
        packet.truncate(at + ip.length);
        self.front.clear();
        let kind = if ip.v6 { EtherType::IPV6 } else { EtherType::IPV4 };
        write_ethernet(&mut self.front, INSIDE, LOCAL, kind.0);
        let own = self.own.iter().copied().find(|own| own.is_ipv6() == ip.v6);
        let (Some(own), true) = (own, replace_front(&mut packet, at, &self.front)) else { return };
        let Ok(layers) = Layers::of(packet.data()) else { return };
        if self.notices.error(&mut packet, &layers, notice, own, ctx.now_ns()) {
            // No error is sent about an error, so this comes back at most once.
            self.route(ctx, packet);
        }
    }
}

/// What a router looks at in an IP packet.
struct Ip {
    v6: bool,
    to: IpAddr,
    /// Of the whole packet, in bytes.
    length: usize,
    hops: u8,
}

impl Ip {
    /// The packet that begins at `at`.
    fn of(frame: &[u8], at: usize) -> Option<Self> {
        let packet = frame.get(at..)?;
        match packet.first()? >> 4 {
            4 => {
                let ip = ipv4::View::new_checked(packet).ok().filter(ipv4::View::verify_checksum)?;
                Some(Self { v6: false, to: ip.destination().into(), length: ip.total_len(), hops: ip.ttl() })
            }
            6 => {
                let ip = ipv6::View::new_checked(packet).ok()?;
                let length = ipv6::HEADER_LEN + ip.payload_len();
                Some(Self { v6: true, to: ip.destination().into(), length, hops: ip.hop_limit() })
            }
            _ => None,
        }
    }
}

/// Takes padding away.
fn cut(mut packet: Packet, at: usize, ip: &Ip) -> Packet {
    packet.truncate(at + ip.length);
    packet
}

fn write_ethernet(out: &mut Vec<u8>, to: MacAddr, from: MacAddr, kind: u16) {
    out.extend(to.0);
    out.extend(from.0);
    out.extend(kind.to_be_bytes());
}

/// Puts `front` where the first `at` bytes were; whether there was room.
fn replace_front(packet: &mut Packet, at: usize, front: &[u8]) -> bool {
    packet.trim_front(at);
    packet.prepend(front.len()).map(|room| room.copy_from_slice(front)).is_ok()
}

impl Module for DdcRouter {
    fn class(&self) -> &'static str {
        "DdcRouter"
    }

    fn inputs(&self) -> Gate {
        1 + self.node.ports() as Gate
    }

    fn outputs(&self) -> Gate {
        1 + self.node.ports() as Gate
    }

    fn process(&mut self, ctx: &mut Context<'_>, gate: Gate, batch: &mut Batch) {
        for packet in batch.drain(..) {
            match gate.checked_sub(1) {
                None => self.begin(ctx, packet),
                Some(port) => self.arrive(ctx, port, packet),
            }
            // A packet goes in front of the messages that it caused, and no other in between.
            self.speak(ctx);
        }
    }

    fn timed(&self) -> bool {
        true
    }

    fn deadline_ns(&self) -> Option<u64> {
        Some(self.node.next_deadline())
    }

    fn expire(&mut self, ctx: &mut Context<'_>) {
        self.node.expire(ctx.now_ns());
        self.speak(ctx);
    }

    fn status(&self) -> String {
        let up = (0..self.node.ports() as u16).filter(|port| self.node.is_up(*port)).count();
        format!("{up} of {} links up", self.node.ports())
    }
}

#[cfg(test)]
mod tests;
