//! A packet that a match matches: for asking a switch what it would do with such a one.

use std::net::{Ipv4Addr, Ipv6Addr};

use packet::checksum;
use packet::wire::IpProtocol;

use super::Match;
use crate::field::Field;
use crate::oxm::Oxm;

/// Bytes of the shortest Ethernet frame, without its checksum.
const FRAME_BYTES_MIN: usize = 60;
/// What an IP packet carries behind its headers.
const PAYLOAD: [u8; 8] = *b"weft\0\0\0\0";
/// Addresses of the packet where the match has none: locally administered ones.
const SOURCE: u128 = 0x0200_0000_0001;
const DESTINATION: u128 = 0x0200_0000_0002;
/// Hops that it has left where the match does not say.
const TTL: u8 = 64;

const VLAN: u16 = 0x8100;
const VLAN_PRESENT: u16 = 0x1000;
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const MPLS: [u16; 2] = [0x8847, 0x8848];
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

impl Match {
    /// A packet that it matches, whole and with right checksums; bits that it leaves open are zero, or what is usual. What is
    /// no part of a packet (ports, registers, metadata) is left to whoever has the packet.
    #[must_use]
    pub fn example(&self) -> Vec<u8> {
        let fields = Fields(self.fields());
        let mut frame = Vec::new();
        frame.extend(&fields.get_or(Field::EthDst, DESTINATION).to_be_bytes()[10..]);
        frame.extend(&fields.get_or(Field::EthSrc, SOURCE).to_be_bytes()[10..]);
        if self.tagged() == Some(true) {
            let tci = fields.get(Field::VlanTci).or(fields.get(Field::VlanVid)).unwrap_or(0) as u16;
            let priority = (fields.get_or(Field::VlanPcp, u128::from(tci >> 13)) as u16) << 13;
            frame.extend(VLAN.to_be_bytes());
            frame.extend((priority | tci & 0x1fff & !VLAN_PRESENT).to_be_bytes());
        }
        let ethertype = fields.get_or(Field::EthType, 0x05ff) as u16;
        frame.extend(ethertype.to_be_bytes());
        match ethertype {
            IPV4 => fields.ipv4(&mut frame),
            IPV6 => fields.ipv6(&mut frame),
            ARP => fields.arp(&mut frame),
            other if MPLS.contains(&other) => {
                let label = (fields.get_or(Field::MplsLabel, 16) as u32) << 12
                    | (fields.get_or(Field::MplsTc, 0) as u32) << 9
                    | (fields.get_or(Field::MplsBos, 1) as u32) << 8
                    | fields.get_or(Field::MplsTtl, TTL.into()) as u32;
                frame.extend(label.to_be_bytes());
            }
            _ => {}
        }
        frame.resize(frame.len().max(FRAME_BYTES_MIN), 0);
        frame
    }
}

struct Fields(Vec<Oxm>);

impl Fields {
    /// What a field is, as far as the match says.
    fn get(&self, of: Field) -> Option<u128> {
        self.0.iter().find_map(|oxm| match oxm {
            Oxm::Known { field, value, .. } if *field == of => Some(*value),
            _ => None,
        })
    }

    fn get_or(&self, of: Field, otherwise: u128) -> u128 {
        self.get(of).unwrap_or(otherwise)
    }

    /// The first that the match has of several.
    fn first(&self, of: &[Field]) -> u16 {
        of.iter().find_map(|&field| self.get(field)).unwrap_or(0) as u16
    }

    fn tos(&self) -> u8 {
        let dscp =
            self.get(Field::IpDscp).map(|dscp| dscp << 2).or(self.get(Field::NwTos)).unwrap_or(0) as u8;
        dscp & 0xfc | self.get_or(Field::IpEcn, 0) as u8
    }

    /// The protocol; where the match does not say, one for experiments (253, RFC 3692).
    fn protocol(&self) -> u8 {
        self.get_or(Field::IpProto, 253) as u8
    }

    fn ipv4(&self, frame: &mut Vec<u8>) {
        let source = Ipv4Addr::from_bits(self.get_or(Field::Ipv4Src, 0x0a00_0001) as u32);
        let destination = Ipv4Addr::from_bits(self.get_or(Field::Ipv4Dst, 0x0a00_0002) as u32);
        let protocol = self.protocol();
        let segment = self.segment(protocol, |length| {
            checksum::pseudo_v4(source, destination, IpProtocol(protocol), length)
        });
        // Bit 0: a fragment; bit 1: not the first.
        let fragment: u16 = match self.get_or(Field::IpFrag, 0) {
            0 => 0,
            1 => 0x2000,
            _ => 0x2001,
        };
        let at = frame.len();
        frame.extend([0x45, self.tos()]);
        frame.extend((20 + segment.len() as u16).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(fragment.to_be_bytes());
        frame.extend([self.get_or(Field::NwTtl, TTL.into()) as u8, protocol, 0, 0]);
        frame.extend(source.octets());
        frame.extend(destination.octets());
        let sum = checksum::checksum(&frame[at..]);
        frame[at + 10..at + 12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(segment);
    }

    fn ipv6(&self, frame: &mut Vec<u8>) {
        let base = 0xfd00u128 << 112;
        let source = Ipv6Addr::from_bits(self.get_or(Field::Ipv6Src, base | 1));
        let destination = Ipv6Addr::from_bits(self.get_or(Field::Ipv6Dst, base | 2));
        let protocol = self.protocol();
        let segment = self.segment(protocol, |length| {
            checksum::pseudo_v6(source, destination, IpProtocol(protocol), length)
        });
        let first = 6 << 28 | u32::from(self.tos()) << 20 | self.get_or(Field::Ipv6Label, 0) as u32;
        frame.extend(first.to_be_bytes());
        frame.extend((segment.len() as u16).to_be_bytes());
        frame.extend([protocol, self.get_or(Field::NwTtl, TTL.into()) as u8]);
        frame.extend(source.octets());
        frame.extend(destination.octets());
        frame.extend(segment);
    }

    fn arp(&self, frame: &mut Vec<u8>) {
        let sender = self.get_or(Field::ArpSha, self.get_or(Field::EthSrc, SOURCE));
        frame.extend([0, 1, 8, 0, 6, 4]);
        frame.extend((self.get_or(Field::ArpOp, 1) as u16).to_be_bytes());
        frame.extend(&sender.to_be_bytes()[10..]);
        frame.extend((self.get_or(Field::ArpSpa, 0x0a00_0001) as u32).to_be_bytes());
        frame.extend(&self.get_or(Field::ArpTha, 0).to_be_bytes()[10..]);
        frame.extend((self.get_or(Field::ArpTpa, 0x0a00_0002) as u32).to_be_bytes());
    }

    /// What IP carries; `pseudo` is the sum of the pseudo header for a length.
    fn segment(&self, protocol: u8, pseudo: impl Fn(u32) -> u16) -> Vec<u8> {
        let source = self.first(&[Field::TcpSrc, Field::UdpSrc, Field::SctpSrc]).to_be_bytes();
        let destination = self.first(&[Field::TcpDst, Field::UdpDst, Field::SctpDst]).to_be_bytes();
        let ports = [source, destination].concat();
        // Where the checksum is, and whether it covers the pseudo header.
        let (mut segment, check) = match protocol {
            TCP => {
                // A SYN, unless the match says something else.
                let flags = (5 << 12 | self.get_or(Field::TcpFlags, 2) as u16).to_be_bytes();
                ([&ports[..], &[0; 8], &flags, &[0xff, 0xff, 0, 0, 0, 0]].concat(), Some((16, true)))
            }
            UDP => {
                let length = (8 + PAYLOAD.len() as u16).to_be_bytes();
                ([&ports[..], &length, &[0, 0]].concat(), Some((6, true)))
            }
            SCTP => ([&ports[..], &[0; 8]].concat(), None),
            ICMP => {
                let kind = [self.get_or(Field::Icmpv4Type, 8) as u8, self.get_or(Field::Icmpv4Code, 0) as u8];
                ([&kind[..], &[0; 6]].concat(), Some((2, false)))
            }
            ICMPV6 => (self.icmpv6(), Some((2, true))),
            _ => (Vec::new(), None),
        };
        if !matches!(segment.first(), Some(135 | 136)) || protocol != ICMPV6 {
            segment.extend(PAYLOAD);
        }
        if let Some((at, has_pseudo)) = check {
            let pseudo = if has_pseudo { pseudo(segment.len() as u32) } else { 0 };
            let sum = !checksum::combine(pseudo, checksum::sum(&segment));
            let sum = if protocol == UDP { checksum::udp_on_wire(sum) } else { sum };
            segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        segment
    }

    fn icmpv6(&self) -> Vec<u8> {
        let kind = self.get_or(Field::Icmpv6Type, 128) as u8;
        let mut message = vec![kind, self.get_or(Field::Icmpv6Code, 0) as u8, 0, 0, 0, 0, 0, 0];
        // Neighbour discovery has a target, and a link-layer address where one is matched (RFC 4861, section 4).
        if matches!(kind, 135 | 136) {
            message.extend(self.get_or(Field::NdTarget, 0).to_be_bytes());
            for (option, field) in [(1, Field::NdSll), (2, Field::NdTll)] {
                if let Some(address) = self.get(field) {
                    message.extend([option, 1]);
                    message.extend(&address.to_be_bytes()[10..]);
                }
            }
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::flow::FlowMod;
    use crate::instruction::Instruction;
    use crate::message::{Body, Message};
    use crate::port::{Port, PortNo};
    use crate::switch::{ConnectionId, Output, Switch, SwitchConfig};
    use crate::{Version, action::Action};

    /// A switch with that match alone sends the packet on.
    fn matches(matching: &Match) {
        let (mut switch, now, id) = (Switch::new(SwitchConfig::default()), Duration::ZERO, ConnectionId(1));
        for number in [1, 2] {
            switch.add_port(now, Port { number: PortNo(number), ..Port::default() }).unwrap();
        }
        switch.connect(now, id, Version::V13);
        let instructions = vec![Instruction::ApplyActions(vec![Action::output(PortNo(2))])];
        let flow = FlowMod { matching: matching.clone(), instructions, ..FlowMod::default() };
        switch.handle_message(now, id, &Message::new(1, Body::FlowMod(flow)));
        assert_eq!(switch.poll_output(), None, "{matching:?} is refused");
        let packet = matching.example();
        switch.receive(now, PortNo(1), &packet);
        let output = switch.poll_output();
        let sent = matches!(&output, Some(Output::Packet { bytes, .. }) if *bytes == packet);
        assert!(sent, "{matching:?}: {packet:02x?} leads to {output:?}");
    }

    #[test]
    fn every_field_of_a_packet_can_be_asked_for() {
        use packet::wire::MacAddr;
        let mac = MacAddr([0x0e, 1, 2, 3, 4, 5]);
        let all = [
            Match::default(),
            Match::new().eth_dst(mac).eth_src(mac),
            Match::new().vlan_vid(77),
            Match::new().any_vlan(),
            Match::new().untagged().ipv4(),
            Match::new().with(Oxm::exact(Field::VlanPcp, 5)).with(Oxm::exact(Field::Ipv4Dst, 0x0102_0304)),
            Match::new().arp().with(Oxm::exact(Field::ArpOp, 2)),
        ];
        all.iter().for_each(matches);
        let fields = [
            (Field::EthType, 0x88b5),
            (Field::IpDscp, 46),
            (Field::IpEcn, 3),
            (Field::IpProto, 89),
            (Field::Ipv4Src, 0xc0a8_0101),
            (Field::TcpSrc, 1),
            (Field::TcpDst, 65_535),
            (Field::UdpSrc, 53),
            (Field::UdpDst, 5353),
            (Field::SctpSrc, 9),
            (Field::SctpDst, 9),
            (Field::Icmpv4Type, 3),
            (Field::Icmpv4Code, 4),
            (Field::ArpSpa, 0x0a0a_0a0a),
            (Field::ArpTpa, 0x0a0a_0a0b),
            (Field::ArpSha, 0x0e0e_0e0e_0e0e),
            (Field::ArpTha, 0x0e0e_0e0e_0e0f),
            (Field::Ipv6Src, 0xfe80 << 112 | 9),
            (Field::Ipv6Dst, 0xff02 << 112 | 1),
            (Field::Ipv6Label, 0xabcde),
            (Field::Icmpv6Type, 1),
            (Field::Icmpv6Code, 3),
            (Field::NdTarget, 0xfe80 << 112 | 7),
            (Field::NdSll, 0x0e0e_0e0e_0e0e),
            (Field::NdTll, 0x0e0e_0e0e_0e0e),
            (Field::MplsLabel, 99),
            (Field::MplsTc, 3),
            (Field::MplsBos, 1),
        ];
        for (field, value) in fields {
            matches(&Match::new().with(Oxm::exact(field, value)));
        }
    }
}
