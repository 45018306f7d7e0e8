//! Interfaces, addresses, routes and neighbours through netlink (rtnetlink(7)).
//!
//! A [`Netlink`] speaks to the network namespace the calling thread is in when it is opened, and keeps speaking to it.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::error::{During, Error, Result};
use crate::spec::{Mac, check_interface};

/// Longest answer read at once; the kernel sends dumps in pieces of at most 32 KiB.
const RECEIVE_BYTES: usize = 64 << 10;
/// Most interfaces, addresses or routes listed.
const LIST_MAX: usize = 1 << 20;

/// A connection to the kernel's network configuration.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// Learns of changes of the interfaces of a network namespace.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Watch {
    /// Watches the network namespace the calling thread is in, from now on.
    ///
    /// # Errors
    /// The kernel refuses the socket.
    pub fn open() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE).during("open", "a netlink socket")?;
        socket.bind_auto().during("bind", "a netlink socket")?;
        socket.add_membership(libc::RTNLGRP_LINK).during("watch", "interfaces")?;
        socket.set_non_blocking(true).during("watch", "interfaces")?;
        Ok(Self { socket, buffer: Vec::with_capacity(RECEIVE_BYTES) })
    }

    /// Waits until something has changed, or for so long; whether something has. What, [`Netlink::links`] tells: the kernel
    /// may have lost news.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn wait(&mut self, limit: std::time::Duration) -> Result<bool> {
        let limit =
            rustix::event::Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        let mut polled = [rustix::event::PollFd::new(&self.socket, rustix::event::PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            other => other.during("watch", "interfaces")?,
        };
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error).during("watch", "interfaces"),
            }
        }
    }
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address, if it has one of six bytes.
    pub mac: Option<Mac>,
    /// Largest packet.
    pub mtu: u32,
    /// Whether it was switched on.
    pub up: bool,
    /// Whether something is at its other end.
    pub carrier: bool,
}

/// One end of a veth pair to be made.
#[derive(Debug, Clone, Copy)]
pub struct VethEnd<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its hardware address; the kernel chooses one when absent.
    pub mac: Option<Mac>,
    /// The network namespace it is put in; the caller's when absent.
    pub netns: Option<BorrowedFd<'a>>,
    /// Whether it is switched on at once.
    pub up: bool,
}

/// A route to be added.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Where to.
    pub destination: IpAddr,
    /// How many leading bits of it count; 0 is the default route.
    pub prefix_len: u8,
    /// By which router; directly when absent.
    pub gateway: Option<IpAddr>,
    /// Through which interface.
    pub interface: u32,
    /// Preferred source address.
    pub source: Option<IpAddr>,
}

impl Netlink {
    /// Connects to the network namespace the calling thread is in.
    ///
    /// # Errors
    /// The kernel refuses the socket.
    pub fn open() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE).during("open", "a netlink socket")?;
        socket.bind_auto().during("bind", "a netlink socket")?;
        socket.connect(&SocketAddr::new(0, 0)).during("connect", "a netlink socket")?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(RECEIVE_BYTES) })
    }

    /// All interfaces.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let answers = self.request(
            RouteNetlinkMessage::GetLink(LinkMessage::default()),
            NLM_F_DUMP,
            "list",
            "interfaces",
        )?;
        Ok(answers.into_iter().filter_map(link_of).collect())
    }

    /// The interface of this name, or `None`.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>> {
        check_interface(name)?;
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        match self.request(RouteNetlinkMessage::GetLink(message), NLM_F_ACK, "find interface", name) {
            Ok(answers) => Ok(answers.into_iter().find_map(link_of)),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The number of an interface.
    ///
    /// # Errors
    /// There is none of this name (`ENODEV`).
    pub fn index(&mut self, name: &str) -> Result<u32> {
        let missing =
            Error::System { action: "find interface".into(), subject: name.into(), errno: libc::ENODEV };
        Ok(self.link(name)?.ok_or(missing)?.index)
    }

    /// Makes a veth pair.
    ///
    /// # Errors
    /// A name is taken or malformed, or the caller may not configure one of the namespaces.
    pub fn add_veth(
        &mut self,
        here: VethEnd<'_>,
        there: VethEnd<'_>,
        mtu: u32,
        txqueuelen: u32,
    ) -> Result<()> {
        let mut message = veth_end(here, mtu, txqueuelen)?;
        let peer = InfoData::Veth(InfoVeth::Peer(veth_end(there, mtu, txqueuelen)?));
        let info = vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(peer)];
        message.attributes.push(LinkAttribute::LinkInfo(info));
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.request(RouteNetlinkMessage::NewLink(message), flags, "make veth pair", here.name).map(drop)
    }

    /// Makes an interface of a kind without parameters (`dummy`, `bridge`, `ifb`).
    ///
    /// # Errors
    /// The name is taken, or the kernel has no such kind.
    pub fn add_link(&mut self, name: &str, kind: &str) -> Result<()> {
        check_interface(name)?;
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::from(kind))]));
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.request(RouteNetlinkMessage::NewLink(message), flags, "make interface", name).map(drop)
    }

    /// Removes an interface.
    ///
    /// # Errors
    /// It does not exist or cannot be removed.
    pub fn delete(&mut self, index: u32) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.request(RouteNetlinkMessage::DelLink(message), NLM_F_ACK, "delete interface", index).map(drop)
    }

    /// Switches an interface on or off.
    ///
    /// # Errors
    /// It does not exist.
    pub fn set_up(&mut self, index: u32, up: bool) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        self.change(message, if up { "switch on" } else { "switch off" })
    }

    /// Gives an interface another name.
    ///
    /// # Errors
    /// The name is taken or malformed.
    pub fn rename(&mut self, index: u32, name: &str) -> Result<()> {
        check_interface(name)?;
        self.set(index, LinkAttribute::IfName(name.into()), "rename")
    }

    /// Sets an interface's hardware address.
    ///
    /// # Errors
    /// The interface takes none.
    pub fn set_mac(&mut self, index: u32, mac: Mac) -> Result<()> {
        self.set(index, LinkAttribute::Address(mac.0.to_vec()), "set the hardware address of")
    }

    /// Sets an interface's largest packet.
    ///
    /// # Errors
    /// The size is outside what the interface can do.
    pub fn set_mtu(&mut self, index: u32, mtu: u32) -> Result<()> {
        self.set(index, LinkAttribute::Mtu(mtu), "set the MTU of")
    }

    /// Sets the length of an interface's transmit queue, in packets.
    ///
    /// # Errors
    /// The kernel refuses the length.
    pub fn set_txqueuelen(&mut self, index: u32, packets: u32) -> Result<()> {
        self.set(index, LinkAttribute::TxQueueLen(packets), "set the transmit queue of")
    }

    /// Moves an interface into another network namespace.
    ///
    /// # Errors
    /// It may not leave, or its name is taken there.
    pub fn move_to(&mut self, index: u32, netns: BorrowedFd<'_>) -> Result<()> {
        self.set(index, LinkAttribute::NetNsFd(netns.as_raw_fd()), "move")
    }

    /// Puts an interface into a bridge.
    ///
    /// # Errors
    /// One of them does not exist.
    pub fn set_controller(&mut self, index: u32, bridge: u32) -> Result<()> {
        self.set(index, LinkAttribute::Controller(bridge), "attach")
    }

    /// Gives an interface an address. IPv6 addresses are usable at once (no duplicate detection).
    ///
    /// # Errors
    /// It has it already, or IPv6 is switched off.
    pub fn add_address(&mut self, index: u32, address: IpAddr, prefix_len: u8) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = prefix_len;
        message.header.index = index;
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        if address.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.request(RouteNetlinkMessage::NewAddress(message), flags, "add address", address).map(drop)
    }

    /// Adds a route. A gateway counts as reachable through the interface, whatever the addresses say.
    ///
    /// # Errors
    /// The route exists, or the interface is off.
    pub fn add_route(&mut self, route: Route) -> Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(route.destination);
        message.header.destination_prefix_length = route.prefix_len;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        message.header.scope = match route.gateway {
            None if route.destination.is_ipv4() => RouteScope::Link,
            _ => RouteScope::Universe,
        };
        if route.prefix_len > 0 {
            message.attributes.push(RouteAttribute::Destination(route.destination.into()));
        }
        message.attributes.push(RouteAttribute::Oif(route.interface));
        if let Some(gateway) = route.gateway {
            message.header.flags = RouteFlags::Onlink;
            message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
        }
        if let Some(source) = route.source {
            message.attributes.push(RouteAttribute::PrefSource(source.into()));
        }
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        let what = format!("{}/{}", route.destination, route.prefix_len);
        self.request(RouteNetlinkMessage::NewRoute(message), flags, "add route to", what).map(drop)
    }

    /// Makes every address of a family one of this namespace, for packets that come in through an interface (the kernel's
    /// "AnyIP"): a route of kind local in a table of its own, which only such packets are looked up in.
    ///
    /// # Errors
    /// It is so already, or the kernel has no policy routing.
    pub fn take_everything(&mut self, interface: &str, loopback: u32, ipv4: bool) -> Result<()> {
        /// Any table that is not one of the kernel's own, 253 to 255.
        const TABLE: u8 = 100;
        check_interface(interface)?;
        let family = if ipv4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        let mut route = RouteMessage::default();
        route.header.address_family = family;
        route.header.table = TABLE;
        route.header.protocol = RouteProtocol::Static;
        route.header.kind = RouteType::Local;
        route.header.scope = if ipv4 { RouteScope::Host } else { RouteScope::Universe };
        route.attributes.push(RouteAttribute::Oif(loopback));
        self.request(RouteNetlinkMessage::NewRoute(route), flags, "take every address of", interface)?;
        let mut rule = RuleMessage::default();
        rule.header.family = family;
        rule.header.table = TABLE;
        rule.header.action = RuleAction::ToTable;
        rule.attributes.push(RuleAttribute::Iifname(interface.into()));
        self.request(RouteNetlinkMessage::NewRule(rule), flags, "take everything from", interface).map(drop)
    }

    /// Writes down the hardware address of a neighbour for good.
    ///
    /// # Errors
    /// The interface does not exist.
    pub fn add_neighbour(&mut self, index: u32, address: IpAddr, mac: Mac) -> Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = index;
        message.header.state = NeighbourState::Permanent;
        message.header.kind = RouteType::Unicast;
        message.attributes.push(NeighbourAttribute::Destination(match address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        }));
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        self.request(RouteNetlinkMessage::NewNeighbour(message), flags, "add neighbour", address).map(drop)
    }

    fn set(&mut self, index: u32, attribute: LinkAttribute, action: &str) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(attribute);
        self.change(message, action)
    }

    fn change(&mut self, message: LinkMessage, action: &str) -> Result<()> {
        let index = message.header.index;
        let subject = format!("interface {index}");
        self.request(RouteNetlinkMessage::SetLink(message), NLM_F_ACK, action, subject).map(drop)
    }

    /// Sends one request and reads answers up to its end.
    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        action: &str,
        subject: impl std::fmt::Display,
    ) -> Result<Vec<RouteNetlinkMessage>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = NetlinkMessage::from(message);
        packet.header.flags = NLM_F_REQUEST | flags;
        packet.header.sequence_number = self.sequence;
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0).during(action, &subject)?;
        let mut answers = Vec::new();
        loop {
            self.buffer.clear();
            self.socket.recv(&mut self.buffer, 0).during(action, &subject)?;
            let mut rest = self.buffer.as_slice();
            while !rest.is_empty() {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|error| Error::Message(format!("netlink: {error}")))?;
                // Each message is padded to four bytes (NLMSG_ALIGN).
                let step = (answer.header.length as usize).next_multiple_of(4).clamp(16, rest.len().max(16));
                rest = rest.get(step..).unwrap_or_default();
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::InnerMessage(inner) if answers.len() < LIST_MAX => answers.push(inner),
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::Error(error) => match error.code {
                        None => return Ok(answers),
                        Some(_) => return Err(error.to_io()).during(action, &subject),
                    },
                    _ => {}
                }
            }
        }
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn veth_end(end: VethEnd<'_>, mtu: u32, txqueuelen: u32) -> Result<LinkMessage> {
    check_interface(end.name)?;
    let mut message = LinkMessage::default();
    if end.up {
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
    }
    message.attributes = vec![
        LinkAttribute::IfName(end.name.into()),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::TxQueueLen(txqueuelen),
    ];
    message.attributes.extend(end.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    message.attributes.extend(end.netns.map(|netns| LinkAttribute::NetNsFd(netns.as_raw_fd())));
    Ok(message)
}

fn link_of(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: message.header.flags.contains(LinkFlags::LowerUp),
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok().map(Mac),
            _ => {}
        }
    }
    Some(link)
}
