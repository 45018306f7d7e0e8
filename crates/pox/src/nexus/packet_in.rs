//! Packet-ins: a packet the switch hands to the controller, read as far as a component looks.

use std::cell::OnceCell;

use openflow::flow::{NO_BUFFER, PacketInReason};
use openflow::matching::{Match, MatchV10, wildcards};
use openflow::port::PortNo;
use packet::parse::{Layers, Network};
use packet::wire::{EtherType, IpProtocol, MacAddr, arp, ethernet, icmpv4, icmpv6, ipv4, ipv6, tcp, udp};

use super::{ConnectionId, Dpid};
use crate::event::Event;

/// A packet came to the controller. Raised of its connection, then of [`OPENFLOW`](crate::OPENFLOW).
///
/// The packet is parsed when a listener first looks, once for all of them. One that does not parse has no layers; nothing
/// fails for that.
#[derive(Debug, Clone)]
pub struct PacketIn {
    /// The connection it came by.
    pub connection: ConnectionId,
    /// The switch.
    pub datapath: Dpid,
    /// The port it came in by.
    pub in_port: PortNo,
    /// Where the switch keeps it, if it does.
    pub buffer: Option<u32>,
    /// Its whole length in bytes; [`PacketIn::data`] may be less.
    pub total_len: u16,
    /// Why it comes.
    pub reason: PacketInReason,
    /// Table that sent it (1.3; 0 in 1.0).
    pub table: u8,
    /// Cookie of the entry that sent it (1.3; 0 in 1.0).
    pub cookie: u64,
    pub(crate) data: Vec<u8>,
    pub(crate) layers: OnceCell<Option<Layers>>,
}

impl Event for PacketIn {}

impl Default for PacketIn {
    fn default() -> Self {
        Self {
            connection: ConnectionId(0),
            datapath: Dpid(0),
            in_port: PortNo::ANY,
            buffer: None,
            total_len: 0,
            reason: PacketInReason::NoMatch,
            table: 0,
            cookie: 0,
            data: Vec::new(),
            layers: OnceCell::new(),
        }
    }
}

impl PacketIn {
    /// The packet, or its first bytes.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Fills in the packet; the room of the one before is used again.
    pub fn set_data(&mut self, data: &[u8]) {
        self.data.clear();
        self.data.extend_from_slice(data);
        self.layers = OnceCell::new();
    }

    /// Whether all of the packet is here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.data.len() >= usize::from(self.total_len)
    }

    /// Where its layers are; `None` where it does not parse.
    pub fn layers(&self) -> Option<&Layers> {
        self.layers.get_or_init(|| Layers::of(&self.data).ok()).as_ref()
    }

    /// Its Ethernet header; `None` for a runt.
    #[inline]
    pub fn ethernet(&self) -> Option<ethernet::View<&[u8]>> {
        ethernet::View::new_checked(self.data()).ok()
    }

    /// Who sent it; zero for a runt.
    #[inline]
    #[must_use]
    pub fn source(&self) -> MacAddr {
        self.ethernet().map_or(MacAddr::UNSPECIFIED, |frame| frame.source())
    }

    /// Whom it is for; zero for a runt.
    #[inline]
    #[must_use]
    pub fn destination(&self) -> MacAddr {
        self.ethernet().map_or(MacAddr::UNSPECIFIED, |frame| frame.destination())
    }

    /// What it carries, behind VLAN tags; that of the header where it does not parse, 0 for a runt.
    #[must_use]
    pub fn ethertype(&self) -> EtherType {
        let first = self.ethernet().map_or(EtherType(0), |frame| frame.ethertype());
        if first.is_vlan() || first.is_mpls() {
            self.layers().map_or(first, |layers| layers.ethertype)
        } else {
            first
        }
    }

    /// Its ARP packet.
    pub fn arp(&self) -> Option<arp::Repr> {
        let layers = self.layers().filter(|layers| layers.network == Network::Arp)?;
        arp::View::new_checked(layers.network_packet(&self.data)).ok().map(|view| arp::Repr::parse(&view))
    }

    /// Its IPv4 packet.
    pub fn ipv4(&self) -> Option<ipv4::View<&[u8]>> {
        let layers = self.layers().filter(|layers| layers.network == Network::V4)?;
        ipv4::View::new_checked(layers.network_packet(&self.data)).ok()
    }

    /// Its IPv6 packet.
    pub fn ipv6(&self) -> Option<ipv6::View<&[u8]>> {
        let layers = self.layers().filter(|layers| layers.network == Network::V6)?;
        ipv6::View::new_checked(layers.network_packet(&self.data)).ok()
    }

    fn segment(&self, protocol: IpProtocol) -> Option<&[u8]> {
        let layers = self.layers().filter(|layers| layers.protocol == protocol && layers.l4.is_some())?;
        Some(layers.segment(&self.data))
    }

    /// Its UDP datagram.
    pub fn udp(&self) -> Option<udp::View<&[u8]>> {
        udp::View::new_checked(self.segment(IpProtocol::UDP)?).ok()
    }

    /// Its TCP segment.
    pub fn tcp(&self) -> Option<tcp::View<&[u8]>> {
        tcp::View::new_checked(self.segment(IpProtocol::TCP)?).ok()
    }

    /// Its ICMP message.
    pub fn icmpv4(&self) -> Option<icmpv4::View<&[u8]>> {
        icmpv4::View::new_checked(self.segment(IpProtocol::ICMP)?).ok()
    }

    /// Its ICMPv6 message.
    pub fn icmpv6(&self) -> Option<icmpv6::View<&[u8]>> {
        icmpv6::View::new_checked(self.segment(IpProtocol::ICMPV6)?).ok()
    }

    /// The match of exactly this flow: its port and every field that 1.0 can match, on a switch of either version. Of a packet
    /// that does not parse, port and Ethernet header.
    #[must_use]
    pub fn exact_match(&self) -> Match {
        match self.in_port.to_v10() {
            Some(_) => Match::V10(MatchV10::from_packet(self.in_port, &self.data)),
            None => Match::from_packet(self.in_port, &self.data),
        }
    }

    /// [`PacketIn::exact_match`] whatever the port.
    #[must_use]
    pub fn exact_match_anywhere(&self) -> Match {
        let mut matching = MatchV10::from_packet(PortNo::ANY, &self.data);
        matching.wildcards |= wildcards::IN_PORT;
        Match::V10(matching)
    }

    /// The number of its buffer as messages have it.
    #[must_use]
    pub(crate) fn buffer_id(&self) -> u32 {
        self.buffer.unwrap_or(NO_BUFFER)
    }
}
