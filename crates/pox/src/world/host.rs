//! A simulated host: ARP, echo, UDP, and whatever frames a test has it send.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use packet::parse::{Layers, Network};
use packet::wire::{EtherType, IpProtocol, MacAddr, arp, ethernet, icmpv4, ipv4, udp};

use crate::compose::{self, Ends};

/// Addresses a host resolves.
pub const NEIGHBOURS_MAX: usize = 4_096;
/// Packets that wait for an address.
pub const WAITING_MAX: usize = 256;
/// Frames and datagrams that are kept to be looked at.
pub const KEPT_MAX: usize = 4_096;
/// Pings of one host.
pub const PINGS_MAX: usize = 1 << 16;
/// How long a host waits for an ARP reply before it asks again.
pub const ARP_RETRY: Duration = Duration::from_secs(1);
/// How often it asks.
pub const ARP_TRIES: u32 = 3;

/// Bytes of a ping beside its headers.
const PING_BYTES: [u8; 56] = [0x42; 56];

/// A ping and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// To whom.
    pub to: Ipv4Addr,
    /// When it was sent, or would have been: resolving the address counts.
    pub sent: Duration,
    /// When its reply came.
    pub answered: Option<Duration>,
}

/// A datagram that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// When.
    pub at: Duration,
    /// Who sent it: address and port.
    pub from: (Ipv4Addr, u16),
    /// Where it came to: address and port.
    pub to: (Ipv4Addr, u16),
    /// What it carries.
    pub payload: Vec<u8>,
}

/// A packet that waits for an address.
#[derive(Debug)]
struct Waiting {
    next_hop: Ipv4Addr,
    frame: Vec<u8>,
}

/// An address that is asked for.
#[derive(Debug)]
struct Asking {
    again: Duration,
    tries: u32,
}

/// A host.
#[derive(Debug)]
pub struct Host {
    /// Its name in the topology.
    pub name: String,
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Its IPv4 address.
    pub ip: Ipv4Addr,
    /// Bits of its network's prefix.
    pub prefix: u8,
    /// Where what is not of its network goes.
    pub gateway: Option<Ipv4Addr>,
    /// Whether it answers ARP and echo requests.
    pub answers: bool,
    neighbours: BTreeMap<Ipv4Addr, MacAddr>,
    waiting: VecDeque<Waiting>,
    asking: BTreeMap<Ipv4Addr, Asking>,
    pings: Vec<Ping>,
    datagrams: VecDeque<Datagram>,
    frames: VecDeque<(Duration, Vec<u8>)>,
    received: u64,
    outputs: VecDeque<Vec<u8>>,
}

impl Host {
    pub(crate) fn new(name: &str, mac: MacAddr, ip: Ipv4Addr) -> Self {
        Self {
            name: name.into(),
            mac,
            ip,
            prefix: 8,
            gateway: None,
            answers: true,
            neighbours: BTreeMap::new(),
            waiting: VecDeque::new(),
            asking: BTreeMap::new(),
            pings: Vec::new(),
            datagrams: VecDeque::new(),
            frames: VecDeque::new(),
            received: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Frames that have come, whoever they were for.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The last frames that have come, and when.
    pub fn frames(&self) -> impl Iterator<Item = (Duration, &[u8])> {
        self.frames.iter().map(|(at, frame)| (*at, &**frame))
    }

    /// The last datagrams that have come to it.
    pub fn datagrams(&self) -> impl Iterator<Item = &Datagram> {
        self.datagrams.iter()
    }

    /// Its pings, in the order they were sent.
    #[must_use]
    pub fn pings(&self) -> &[Ping] {
        &self.pings
    }

    /// The Ethernet address it knows for an address.
    #[must_use]
    pub fn neighbour(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        self.neighbours.get(&ip).copied()
    }

    /// Forgets the Ethernet addresses it knows.
    pub fn forget_neighbours(&mut self) {
        self.neighbours.clear();
    }

    /// Sends an echo request; the place among [`Host::pings`], or the last one's where there are [`PINGS_MAX`].
    pub(crate) fn ping(&mut self, now: Duration, to: Ipv4Addr) -> usize {
        if self.pings.len() >= PINGS_MAX {
            return PINGS_MAX - 1;
        }
        let place = self.pings.len();
        self.pings.push(Ping { to, sent: now, answered: None });
        let message = icmpv4::Repr::EchoRequest { ident: 0x7074, sequence: place as u16, data: &PING_BYTES };
        let frame = compose::icmpv4(self.ends(to), &message);
        self.send_ip(now, to, frame);
        place
    }

    /// Sends a datagram.
    pub(crate) fn send_udp(&mut self, now: Duration, to: (Ipv4Addr, u16), from: u16, payload: &[u8]) {
        let frame = compose::udp(self.ends(to.0), (from, to.1), payload);
        self.send_ip(now, to.0, frame);
    }

    /// Sends a frame as it is.
    pub(crate) fn send_frame(&mut self, frame: Vec<u8>) {
        self.outputs.push_back(frame);
    }

    /// Says who and where it is, as a host does that has come up (RFC 5227, section 3).
    pub(crate) fn announce(&mut self) {
        let packet = arp::Repr {
            operation: arp::Operation::REQUEST,
            sender_mac: self.mac,
            sender_ip: self.ip,
            target_mac: MacAddr::UNSPECIFIED,
            target_ip: self.ip,
        };
        self.outputs.push_back(compose::arp(&packet));
    }

    fn ends(&self, to: Ipv4Addr) -> Ends {
        Ends { macs: (self.mac, MacAddr::UNSPECIFIED), ips: (self.ip, to) }
    }

    /// Sends an IPv4 frame whose destination address is still to be filled in.
    fn send_ip(&mut self, now: Duration, to: Ipv4Addr, mut frame: Vec<u8>) {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
        let near = (u32::from(to) ^ u32::from(self.ip)) & mask == 0;
        let next_hop = if near { to } else { self.gateway.unwrap_or(to) };
        let known = match to {
            Ipv4Addr::BROADCAST => Some(MacAddr::BROADCAST),
            _ if to.is_multicast() => Some(MacAddr::multicast_v4(to)),
            _ => self.neighbours.get(&next_hop).copied(),
        };
        if let Some(mac) = known {
            ethernet::View::new_unchecked(&mut frame[..]).set_destination(mac);
            self.outputs.push_back(frame);
            return;
        }
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting { next_hop, frame });
        if let Entry::Vacant(place) = self.asking.entry(next_hop) {
            place.insert(Asking { again: now + ARP_RETRY, tries: 1 });
            self.ask(next_hop);
        }
    }

    fn ask(&mut self, target_ip: Ipv4Addr) {
        let packet = arp::Repr {
            operation: arp::Operation::REQUEST,
            sender_mac: self.mac,
            sender_ip: self.ip,
            target_mac: MacAddr::UNSPECIFIED,
            target_ip,
        };
        self.outputs.push_back(compose::arp(&packet));
    }

    /// When [`Host::expire`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.asking.values().map(|asking| asking.again).min()
    }

    /// Asks again for addresses nobody has told, and gives up in the end.
    pub(crate) fn expire(&mut self, now: Duration) {
        let due: Vec<Ipv4Addr> =
            self.asking.iter().filter(|(_, asking)| asking.again <= now).map(|(ip, _)| *ip).collect();
        for ip in due {
            match self.asking.get_mut(&ip) {
                Some(asking) if asking.tries < ARP_TRIES => {
                    asking.tries += 1;
                    asking.again = now + ARP_RETRY;
                    self.ask(ip);
                }
                _ => {
                    self.asking.remove(&ip);
                    self.waiting.retain(|waiting| waiting.next_hop != ip);
                }
            }
        }
    }

    /// The next frame to send.
    pub(crate) fn poll_output(&mut self) -> Option<Vec<u8>> {
        self.outputs.pop_front()
    }

    /// A frame came.
    pub(crate) fn receive(&mut self, now: Duration, frame: &[u8]) {
        self.received += 1;
        if self.frames.len() >= KEPT_MAX {
            self.frames.pop_front();
        }
        self.frames.push_back((now, frame.to_vec()));
        let Ok(header) = ethernet::View::new_checked(frame) else { return };
        let destination = header.destination();
        if destination != self.mac && !destination.is_multicast() {
            return;
        }
        let Ok(layers) = Layers::of(frame) else { return };
        match layers.network {
            Network::Arp if header.ethertype() == EtherType::ARP => {
                if let Ok(packet) = arp::View::new_checked(layers.network_packet(frame)) {
                    self.receive_arp(&arp::Repr::parse(&packet));
                }
            }
            Network::V4 => self.receive_ipv4(now, header.source(), &layers, frame),
            _ => {}
        }
    }

    fn receive_arp(&mut self, packet: &arp::Repr) {
        if packet.sender_ip != Ipv4Addr::UNSPECIFIED {
            self.learn(packet.sender_ip, packet.sender_mac);
        }
        if self.answers && packet.operation == arp::Operation::REQUEST && packet.target_ip == self.ip {
            self.outputs.push_back(compose::arp(&packet.reply(self.mac)));
        }
    }

    fn learn(&mut self, ip: Ipv4Addr, mac: MacAddr) {
        let asked = self.asking.remove(&ip).is_some();
        if asked || self.neighbours.contains_key(&ip) || self.neighbours.len() < NEIGHBOURS_MAX {
            self.neighbours.insert(ip, mac);
        }
        let (ready, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|one| one.next_hop == ip);
        self.waiting = waiting;
        let ready: VecDeque<Waiting> = ready;
        for Waiting { mut frame, .. } in ready {
            ethernet::View::new_unchecked(&mut frame[..]).set_destination(mac);
            self.outputs.push_back(frame);
        }
    }

    fn receive_ipv4(&mut self, now: Duration, sender: MacAddr, layers: &Layers, frame: &[u8]) {
        let Ok(packet) = ipv4::View::new_checked(layers.network_packet(frame)) else { return };
        let (from, to) = (packet.source(), packet.destination());
        let for_all = to == Ipv4Addr::BROADCAST || to.is_multicast();
        if to != self.ip && !for_all {
            return;
        }
        let segment = layers.segment(frame);
        match packet.protocol() {
            IpProtocol::ICMP => {
                let Ok(message) = icmpv4::View::new_checked(segment) else { return };
                match icmpv4::Repr::parse(&message) {
                    Ok(icmpv4::Repr::EchoRequest { ident, sequence, data }) if self.answers && !for_all => {
                        let ends = Ends { macs: (self.mac, sender), ips: (self.ip, from) };
                        let reply = icmpv4::Repr::EchoReply { ident, sequence, data };
                        self.outputs.push_back(compose::icmpv4(ends, &reply));
                    }
                    Ok(icmpv4::Repr::EchoReply { sequence, .. }) => {
                        if let Some(ping) = self.pings.get_mut(usize::from(sequence))
                            && ping.to == from
                        {
                            ping.answered.get_or_insert(now);
                        }
                    }
                    _ => {}
                }
            }
            IpProtocol::UDP => {
                let Ok(datagram) = udp::View::new_checked(segment) else { return };
                if self.datagrams.len() >= KEPT_MAX {
                    self.datagrams.pop_front();
                }
                self.datagrams.push_back(Datagram {
                    at: now,
                    from: (from, datagram.source_port()),
                    to: (to, datagram.destination_port()),
                    payload: datagram.payload().to_vec(),
                });
            }
            _ => {}
        }
    }
}
