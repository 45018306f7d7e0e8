//! Packet-ins: a packet the switch hands to the controller, read as far as a component looks.

use std::cell::OnceCell;

use openflow::field::Field;
use openflow::flow::{NO_BUFFER, PacketInReason};
use openflow::matching::Match;
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use packet::parse::{Layers, Network};
use packet::wire::{EtherType, IpProtocol, MacAddr, arp, ethernet, icmpv4, icmpv6, ipv4, ipv6, tcp, udp};

use super::{ConnectionId, Dpid};
use crate::event::Event;

/// Bit of a VLAN id's field that says there is a tag (`OFPVID_PRESENT`).
const VLAN_PRESENT: u128 = 0x1000;

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

    /// The match of exactly this flow: its port and every field that OpenFlow 1.0 can match, written so that 1.3 has the
    /// prerequisites. Of a packet that does not parse, port and Ethernet header.
    #[must_use]
    pub fn exact_match(&self) -> Match {
        let mut fields = Vec::with_capacity(12);
        fields.push(Oxm::exact(Field::InPort, self.in_port.0.into()));
        self.push_fields(&mut fields);
        Match::Fields(fields)
    }

    /// [`PacketIn::exact_match`] whatever the port.
    #[must_use]
    pub fn exact_match_anywhere(&self) -> Match {
        let mut fields = Vec::with_capacity(11);
        self.push_fields(&mut fields);
        Match::Fields(fields)
    }

    fn push_fields(&self, fields: &mut Vec<Oxm>) {
        let Some(frame) = self.ethernet() else { return };
        fields.push(Oxm::exact(Field::EthDst, mac(frame.destination())));
        fields.push(Oxm::exact(Field::EthSrc, mac(frame.source())));
        let Some(layers) = self.layers() else {
            fields.push(Oxm::exact(Field::EthType, frame.ethertype().0.into()));
            return;
        };
        // 1.0 calls 802.3 frames 0x05ff, 1.3 by their length: left open. Behind labels and a second tag neither looks.
        let plain = layers.labels == 0 && layers.vlans.len() < 2;
        if plain && layers.ethertype.0 >= EtherType::TYPE_MIN {
            fields.push(Oxm::exact(Field::EthType, layers.ethertype.0.into()));
        }
        match layers.vlans.outer() {
            Some(tag) => {
                fields.push(Oxm::exact(Field::VlanVid, VLAN_PRESENT | u128::from(tag.id)));
                fields.push(Oxm::exact(Field::VlanPcp, tag.priority.into()));
            }
            None => fields.push(Oxm::exact(Field::VlanVid, 0)),
        }
        if !plain {
            return;
        }
        match layers.network {
            Network::V4 => self.push_ipv4(layers, fields),
            Network::Arp => {
                if let Some(arp) = self.arp() {
                    fields.push(Oxm::exact(Field::ArpOp, arp.operation.0.into()));
                    fields.push(Oxm::exact(Field::ArpSpa, u32::from(arp.sender_ip).into()));
                    fields.push(Oxm::exact(Field::ArpTpa, u32::from(arp.target_ip).into()));
                }
            }
            // 1.0 knows no IPv6.
            Network::V6 | Network::Other => {}
        }
    }

    fn push_ipv4(&self, layers: &Layers, fields: &mut Vec<Oxm>) {
        let Some(ip) = self.ipv4() else { return };
        fields.push(Oxm::exact(Field::IpDscp, (ip.tos() >> 2).into()));
        fields.push(Oxm::exact(Field::IpProto, ip.protocol().0.into()));
        fields.push(Oxm::exact(Field::Ipv4Src, u32::from(ip.source()).into()));
        fields.push(Oxm::exact(Field::Ipv4Dst, u32::from(ip.destination()).into()));
        self.push_ports(layers, fields);
    }

    /// TCP and UDP ports, ICMP type and code: the first two fields of 16 or 8 bits. A fragment has none.
    fn push_ports(&self, layers: &Layers, fields: &mut Vec<Oxm>) {
        if layers.fragment.is_some() {
            return;
        }
        let segment = layers.segment(&self.data);
        let [a, b, c, d, ..] = *segment else { return };
        let (first, second, wide) = match layers.protocol {
            IpProtocol::TCP => (Field::TcpSrc, Field::TcpDst, true),
            IpProtocol::UDP => (Field::UdpSrc, Field::UdpDst, true),
            IpProtocol::ICMP => (Field::Icmpv4Type, Field::Icmpv4Code, false),
            _ => return,
        };
        let (one, two) = if wide {
            (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        } else {
            (a.into(), b.into())
        };
        fields.push(Oxm::exact(first, one.into()));
        fields.push(Oxm::exact(second, two.into()));
    }

    /// The number of its buffer as messages have it.
    #[must_use]
    pub(crate) fn buffer_id(&self) -> u32 {
        self.buffer.unwrap_or(NO_BUFFER)
    }
}

/// A hardware address as the value of a field.
fn mac(address: MacAddr) -> u128 {
    address.0.iter().fold(0, |value, byte| value << 8 | u128::from(*byte))
}
