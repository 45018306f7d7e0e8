//! A switch with ports and controllers, and frames to send through it.

use std::time::Duration;

use openflow::Version;
use openflow::action::Action;
use openflow::error::Fault;
use openflow::flow::{FlowMod, PacketIn};
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{Body, Message};
use openflow::port::{Port, PortNo};
use openflow::switch::{ConnectionId, Output, Switch, SwitchConfig};
use packet::wire::{EtherType, IpProtocol, MacAddr, arp, ethernet, icmpv6, ipv4, ipv6, tcp, udp};

/// The connection of 1.3.
pub(crate) const NEW: ConnectionId = ConnectionId(13);
/// The connection of 1.0.
pub(crate) const OLD: ConnectionId = ConnectionId(10);

pub(crate) struct Rig {
    pub(crate) switch: Switch,
    pub(crate) now: Duration,
    xid: u32,
}

pub(crate) fn port(number: u32) -> Port {
    Port {
        number: PortNo(number),
        address: MacAddr([2, 0, 0, 0, 1, number as u8]),
        name: format!("p{number}"),
        ..Port::default()
    }
}

impl Rig {
    /// Ports 1 to 4, and a controller of each version.
    pub(crate) fn new() -> Self {
        let mut rig = Self::with(SwitchConfig::default());
        rig.switch.connect(rig.now, NEW, Version::V13);
        rig.switch.connect(rig.now, OLD, Version::V10);
        rig
    }

    /// Ports 1 to 4, and no controller.
    pub(crate) fn with(config: SwitchConfig) -> Self {
        let (mut switch, now) = (Switch::new(config), Duration::from_secs(1000));
        for number in 1..=4 {
            switch.add_port(now, port(number)).unwrap();
        }
        Self { switch, now, xid: 0 }
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.switch.expire(self.now);
    }

    /// Sends a message; all that comes out then.
    pub(crate) fn send(&mut self, from: ConnectionId, body: Body) -> Vec<Output> {
        self.xid += 1;
        self.switch.handle_message(self.now, from, &Message::new(self.xid, body));
        self.drain()
    }

    /// Sends a message that is answered with nothing.
    pub(crate) fn tell(&mut self, from: ConnectionId, body: Body) {
        let outputs = self.send(from, body);
        assert!(outputs.is_empty(), "{outputs:?}");
    }

    /// Sends a message that is answered with one, to the same connection and of its transaction.
    pub(crate) fn ask(&mut self, from: ConnectionId, body: Body) -> Body {
        let mut outputs = self.send(from, body);
        assert_eq!(outputs.len(), 1, "{outputs:?}");
        let Some(Output::Message { connection, message }) = outputs.pop() else { panic!("no answer") };
        assert_eq!((connection, message.xid), (from, self.xid));
        message.body
    }

    /// Sends a message that is refused.
    pub(crate) fn refused(&mut self, from: ConnectionId, body: Body, fault: impl Into<Fault>) {
        let what = format!("{body:?}");
        let version = if from == OLD { Version::V10 } else { Version::V13 };
        let mut sent = Vec::new();
        let can_be_said = openflow::codec::encode_body(version, self.xid + 1, &body, &mut sent).is_ok();
        let Body::Error(error) = self.ask(from, body) else { panic!("not refused: {what}") };
        let found = error.code.fault(version);
        assert_eq!(error.code, fault.into().code(version), "{found:?} for {what}");
        sent.truncate(64);
        assert!(!can_be_said || error.data == sent, "the head of the request");
    }

    pub(crate) fn flow(&mut self, from: ConnectionId, flow: FlowMod) {
        self.tell(from, Body::FlowMod(flow));
    }

    /// An entry of 1.3 that outputs.
    pub(crate) fn output(&mut self, priority: u16, matching: Match, to: u32) {
        self.flow(NEW, FlowMod { priority, matching, instructions: vec![out(&[to])], ..FlowMod::default() });
    }

    /// What a packet leads to.
    pub(crate) fn packet(&mut self, port: u32, bytes: &[u8]) -> Vec<Output> {
        self.switch.receive(self.now, PortNo(port), bytes);
        self.drain()
    }

    /// Where copies of a packet go, and that nothing is changed.
    pub(crate) fn ports(&mut self, port: u32, bytes: &[u8]) -> Vec<u32> {
        let sent = |output| match output {
            Output::Packet { port, bytes: sent, .. } => {
                assert_eq!(sent, bytes, "unchanged");
                Some(port.0)
            }
            Output::Message { .. } => None,
        };
        self.packet(port, bytes).into_iter().filter_map(sent).collect()
    }

    /// The one packet that a packet becomes.
    pub(crate) fn becomes(&mut self, port: u32, bytes: &[u8]) -> Vec<u8> {
        let mut outputs = self.packet(port, bytes);
        assert_eq!(outputs.len(), 1, "{outputs:?}");
        match outputs.pop() {
            Some(Output::Packet { bytes, .. }) => bytes,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.switch.poll_output()).collect()
    }
}

/// Sends to each of those ports.
pub(crate) fn out(ports: &[u32]) -> Instruction {
    Instruction::ApplyActions(ports.iter().map(|port| Action::output(PortNo(*port))).collect())
}

pub(crate) fn packet_ins(outputs: Vec<Output>) -> Vec<(ConnectionId, PacketIn)> {
    let one = |output| match output {
        Output::Message { connection, message: Message { body: Body::PacketIn(packet_in), .. } } => {
            Some((connection, packet_in))
        }
        _ => None,
    };
    outputs.into_iter().filter_map(one).collect()
}

pub(crate) const SOURCE: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(crate) const DESTINATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

pub(crate) fn frame(ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 14];
    let header = ethernet::Repr { source: SOURCE, destination: DESTINATION, ethertype };
    header.emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    bytes.extend_from_slice(payload);
    bytes
}

/// UDP over IPv4 from 10.0.0.1:1000.
pub(crate) fn udp4(destination: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = ([10, 0, 0, 1].into(), destination.into());
    let mut bytes = vec![0; 28 + payload.len()];
    bytes[28..].copy_from_slice(payload);
    let ip = ipv4::Repr::new(source, destination, IpProtocol::UDP, 8 + payload.len());
    ip.emit(&mut ipv4::View::new_unchecked(&mut bytes[..]));
    let mut view = udp::View::new_unchecked(&mut bytes[20..]);
    udp::Repr { source_port: 1000, destination_port: port, payload_len: payload.len() }.emit(&mut view);
    view.fill_checksum(source.into(), destination.into());
    frame(EtherType::IPV4, &bytes)
}

/// TCP over IPv6 from fd00::1.
pub(crate) fn tcp6(port: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
    let mut bytes = vec![0; 60 + payload.len()];
    bytes[60..].copy_from_slice(payload);
    ipv6::Repr::new(source, destination, IpProtocol::TCP, 20 + payload.len())
        .emit(&mut ipv6::View::new_unchecked(&mut bytes[..]));
    let mut view = tcp::View::new_unchecked(&mut bytes[40..]);
    view.set_source_port(1000);
    view.set_destination_port(port);
    view.set_header_len_flags(20, tcp::Flags(flags));
    view.fill_checksum(source.into(), destination.into());
    frame(EtherType::IPV6, &bytes)
}

pub(crate) fn arp_request() -> Vec<u8> {
    let ask = arp::Repr {
        operation: arp::Operation::REQUEST,
        sender_mac: SOURCE,
        sender_ip: [10, 0, 0, 1].into(),
        target_mac: MacAddr::UNSPECIFIED,
        target_ip: [10, 0, 0, 2].into(),
    };
    let mut bytes = vec![0; 28];
    ask.emit(&mut arp::View::new_unchecked(&mut bytes[..]));
    frame(EtherType::ARP, &bytes)
}

/// Whether every checksum of a frame is right.
pub(crate) fn is_sound(bytes: &[u8]) -> bool {
    let layers = packet::parse::Layers::of(bytes).unwrap();
    let network = layers.network_packet(bytes);
    let ip = layers.network != packet::parse::Network::V4
        || ipv4::View::new_checked(network).is_ok_and(|view| view.verify_checksum());
    let Some((source, destination)) = layers.addresses(bytes) else { return ip };
    let segment = layers.segment(bytes);
    ip && match layers.protocol {
        IpProtocol::TCP => tcp::View::new_checked(segment).unwrap().verify_checksum(source, destination),
        IpProtocol::UDP => udp::View::new_checked(segment).unwrap().verify_checksum(source, destination),
        IpProtocol::ICMPV6 => match (source, destination) {
            (std::net::IpAddr::V6(source), std::net::IpAddr::V6(destination)) => {
                icmpv6::View::new_checked(segment).unwrap().verify_checksum(source, destination)
            }
            _ => false,
        },
        _ => true,
    }
}
