//! [`GtpuParser`].

use std::net::IpAddr;

use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, gtpu};
use packet::{Batch, Packet};

use super::part::{mark, part};
use crate::engine::{Attribute, Context, Gate, Module, Place};

/// Says in metadata who talks to whom: in a GTP-U tunnel (UDP to port 2152) the ends inside it, else those of the packet.
///
/// *Input gates*: one. *Output gates*: two; 1 is for IPv4 and ARP, 0 for everything else, and for what is malformed.
/// *Attributes*: writes `src_ip`, `dst_ip` (4 bytes each), `src_port`, `dst_port` (2), `teid` (4), `tunnel_ipv4_dst` (4) and
/// `ip_proto` (1), as they are on the wire. [With IPv6](Self::with_ipv6) gate 1 is for IPv6 too, and it also writes `src_ip6`,
/// `dst_ip6` and `tunnel_ipv6_dst` (16 each).
///
/// What a packet has not is all ones: ports of other protocols than TCP and UDP, the tunnel's attributes outside of a
/// tunnel, addresses of the other version of IP, everything of ARP. (BESS leaves those of other protocols what they were.)
///
/// ```
/// # use softnic::modules::GtpuParser;
/// let (parser, both) = (GtpuParser::default(), GtpuParser::with_ipv6());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GtpuParser {
    has_ipv6: bool,
    source: Place,
    destination: Place,
    source_port: Place,
    destination_port: Place,
    teid: Place,
    tunnel: Place,
    protocol: Place,
    /// Source, destination and end of the tunnel in IPv6.
    six: [Place; 3],
}

const NOTHING: [u8; 16] = [0xff; 16];
const NO_ADDRESS: [u8; 4] = [0xff; 4];

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    addresses: Option<(IpAddr, IpAddr)>,
    ports: [[u8; 2]; 2],
    protocol: u8,
}

const NOBODY: Ends = Ends { addresses: None, ports: [[0xff; 2]; 2], protocol: 0xff };

impl Ends {
    fn source(&self) -> Option<IpAddr> {
        self.addresses.map(|(source, _)| source)
    }

    fn destination(&self) -> Option<IpAddr> {
        self.addresses.map(|(_, destination)| destination)
    }
}

fn v4(address: Option<IpAddr>) -> [u8; 4] {
    match address {
        Some(IpAddr::V4(address)) => address.octets(),
        _ => NO_ADDRESS,
    }
}

fn v6(address: Option<IpAddr>) -> [u8; 16] {
    match address {
        Some(IpAddr::V6(address)) => address.octets(),
        _ => NOTHING,
    }
}

/// The ends of a packet of which `layers` were read.
fn ends(layers: &Layers, bytes: &[u8]) -> Ends {
    let Some(addresses) = layers.addresses(bytes) else { return NOBODY };
    let mut ends = Ends { addresses: Some(addresses), protocol: layers.protocol.0, ..NOBODY };
    if matches!(layers.protocol, IpProtocol::TCP | IpProtocol::UDP)
        && let [a, b, c, d, ..] = layers.segment(bytes)
    {
        ends.ports = [[*a, *b], [*c, *d]];
    }
    ends
}

/// The tunnel of a packet: its identifier and the ends inside.
fn tunnel(layers: &Layers, frame: &[u8], outer: &Ends) -> Option<([u8; 4], Ends)> {
    let is_tunnel = layers.protocol == IpProtocol::UDP && outer.ports[1] == gtpu::PORT.to_be_bytes();
    let message = gtpu::View::new_checked(layers.l4_payload(frame)).ok().filter(|_| is_tunnel)?;
    let inner =
        Layers::of_ip(message.payload()).ok().filter(|_| message.message() == gtpu::Message::G_PDU)?;
    Some((message.teid().to_be_bytes(), ends(&inner, message.payload())))
}

impl GtpuParser {
    /// Reads IPv6 as well, and says its addresses.
    pub fn with_ipv6() -> Self {
        Self { has_ipv6: true, ..Self::default() }
    }

    fn parse(self, packet: &mut Packet) -> bool {
        let Ok(layers) = Layers::of(packet.data()) else { return false };
        match layers.network {
            Network::V4 | Network::Arp => {}
            Network::V6 if self.has_ipv6 => {}
            _ => return false,
        }
        let outer = ends(&layers, packet.data());
        let (teid, end, said) = match tunnel(&layers, packet.data(), &outer) {
            Some((teid, inner)) => (teid, outer.destination(), inner),
            None => (NO_ADDRESS, None, outer),
        };
        self.source.write(packet, v4(said.source()));
        self.destination.write(packet, v4(said.destination()));
        self.source_port.write(packet, said.ports[0]);
        self.destination_port.write(packet, said.ports[1]);
        self.teid.write(packet, teid);
        self.tunnel.write(packet, v4(end));
        self.protocol.write(packet, [said.protocol]);
        if self.has_ipv6 {
            let values = [said.source(), said.destination(), end];
            self.six.into_iter().zip(values).for_each(|(place, value)| place.write(packet, v6(value)));
        }
        true
    }
}

impl Module for GtpuParser {
    fn class(&self) -> &'static str {
        "GtpuParser"
    }

    fn outputs(&self) -> Gate {
        2
    }

    fn attributes(&self) -> Vec<Attribute> {
        let mut attributes = vec![
            Attribute::write("src_ip", 4),
            Attribute::write("dst_ip", 4),
            Attribute::write("src_port", 2),
            Attribute::write("dst_port", 2),
            Attribute::write("teid", 4),
            Attribute::write("tunnel_ipv4_dst", 4),
            Attribute::write("ip_proto", 1),
        ];
        if self.has_ipv6 {
            attributes
                .extend(["src_ip6", "dst_ip6", "tunnel_ipv6_dst"].map(|name| Attribute::write(name, 16)));
        }
        attributes
    }

    fn place(&mut self, places: &[Place]) {
        if let &[source, destination, source_port, destination_port, teid, tunnel, protocol, ref six @ ..] =
            places
        {
            // Without IPv6 there are none.
            let six = <[Place; 3]>::try_from(six).unwrap_or_default();
            let has_ipv6 = self.has_ipv6;
            *self = Self {
                has_ipv6,
                source,
                destination,
                source_port,
                destination_port,
                teid,
                tunnel,
                protocol,
                six,
            };
        }
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let parsed = mark(batch, |packet| self.parse(packet));
        part(ctx, batch, parsed, Some(1), Some(0));
    }
}

#[cfg(test)]
mod tests {
    use packet::wire::EtherType;
    use packet::wire::tcp::Flags;

    use super::super::frames::{datagram, framed, ip, packet, segment};
    use super::*;
    use crate::engine::Rig;

    /// Addresses, ports, tunnel, protocol.
    type Said = ([[u8; 4]; 2], [[u8; 2]; 2], [[u8; 4]; 2], u8);

    /// What the module says of a frame.
    fn said(frame: &[u8]) -> Option<Said> {
        let mut rig = Rig::new(GtpuParser::default());
        let (gate, packet) = rig.process(0, [packet(frame)]).remove(0);
        let four = |name| rig.place(name).read::<4>(&packet);
        let two = |name| rig.place(name).read::<2>(&packet);
        let [protocol] = rig.place("ip_proto").read(&packet);
        let addresses = [four("src_ip"), four("dst_ip")];
        let ports = [two("src_port"), two("dst_port")];
        (gate == 1).then_some((addresses, ports, [four("teid"), four("tunnel_ipv4_dst")], protocol))
    }

    const NONE: [[u8; 4]; 2] = [NO_ADDRESS; 2];
    const NO_PORTS: [[u8; 2]; 2] = [[0xff; 2]; 2];

    fn tunnelled(inner: &[u8]) -> Vec<u8> {
        let message = gtpu::Message::G_PDU;
        let repr = gtpu::Repr {
            message,
            teid: 0x1234_5678,
            sequence: None,
            pdu_session: None,
            payload_len: inner.len(),
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut gtpu::View::new_unchecked(&mut bytes[..]));
        datagram(["10.0.0.1:2152", "10.0.0.2:2152"], &[&bytes[..], inner].concat())
    }

    #[test]
    fn the_ends_are_those_inside_the_tunnel() {
        let inner = segment(["1.2.3.4:1000", "5.6.7.8:80"], Flags::ACK, b"");
        let addresses = [[1, 2, 3, 4], [5, 6, 7, 8]];
        let ports = [1000u16, 80].map(u16::to_be_bytes);
        assert_eq!(said(&inner), Some((addresses, ports, NONE, 6)));
        let tunnel = [[0x12, 0x34, 0x56, 0x78], [10, 0, 0, 2]];
        assert_eq!(said(&tunnelled(&inner[14..])), Some((addresses, ports, tunnel, 6)));
        let esp = ip([1, 2, 3, 4].into(), [5, 6, 7, 8].into(), IpProtocol::ESP, &[0; 8]);
        assert_eq!(said(&tunnelled(&esp[14..])), Some((addresses, NO_PORTS, tunnel, 50)));
        let six = datagram(["[fd00::1]:1000", "[fd00::2]:80"], b"");
        assert_eq!(said(&tunnelled(&six[14..])), Some((NONE, ports, tunnel, 17)));
    }

    #[test]
    fn without_a_tunnel_they_are_the_packets() {
        let ports = [1000u16, 2152].map(u16::to_be_bytes);
        let addresses = [[1, 2, 3, 4], [5, 6, 7, 8]];
        let no_gtp = datagram(["1.2.3.4:1000", "5.6.7.8:2152"], b"hello");
        assert_eq!(said(&no_gtp), Some((addresses, ports, NONE, 17)));
        let ping = ip([1, 2, 3, 4].into(), [5, 6, 7, 8].into(), IpProtocol::ICMP, &[8, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(said(&ping), Some((addresses, NO_PORTS, NONE, 1)));
    }

    #[test]
    fn other_networks_leave_at_gate_0() {
        assert_eq!(said(&datagram(["[fd00::1]:1000", "[fd00::2]:80"], b"")), None);
        assert_eq!(said(&framed(EtherType::LLDP, &[0; 8])), None);
        assert_eq!(said(b"runt"), None);
        let arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[0; 20]].concat();
        assert_eq!(said(&framed(EtherType::ARP, &arp)), Some((NONE, NO_PORTS, NONE, 0xff)));
    }

    #[test]
    fn with_ipv6_both_versions_are_read() {
        let [one, two] = ["fd00::1", "fd00::2"].map(|address| address.parse::<std::net::Ipv6Addr>().unwrap());
        let [one, two] = [one.octets(), two.octets()];
        let six = datagram(["[fd00::1]:1000", "[fd00::2]:80"], b"");
        let four = datagram(["1.2.3.4:1000", "5.6.7.8:80"], b"");
        let outer = |inner: &[u8]| {
            let four = tunnelled(inner);
            datagram(["[fd00::a]:2152", "[fd00::2]:2152"], &four[42..])
        };
        for (frame, four, six) in [
            (six.clone(), [NO_ADDRESS; 3], [one, two, NOTHING]),
            (four.clone(), [[1, 2, 3, 4], [5, 6, 7, 8], NO_ADDRESS], [NOTHING; 3]),
            (outer(&four[14..]), [[1, 2, 3, 4], [5, 6, 7, 8], NO_ADDRESS], [NOTHING, NOTHING, two]),
            (outer(&six[14..]), [NO_ADDRESS; 3], [one, two, two]),
            (tunnelled(&six[14..]), [NO_ADDRESS, NO_ADDRESS, [10, 0, 0, 2]], [one, two, NOTHING]),
        ] {
            let mut rig = Rig::new(GtpuParser::with_ipv6());
            let (gate, packet) = rig.process(0, [packet(&frame)]).remove(0);
            assert_eq!(gate, 1);
            let said = ["src_ip", "dst_ip", "tunnel_ipv4_dst"].map(|name| rig.place(name).read::<4>(&packet));
            assert_eq!(said, four);
            let said =
                ["src_ip6", "dst_ip6", "tunnel_ipv6_dst"].map(|name| rig.place(name).read::<16>(&packet));
            assert_eq!(said, six);
            assert_eq!(rig.place("dst_port").read(&packet), 80u16.to_be_bytes());
        }
    }
}
