//! Answers every ping that comes to the controller, whomever it is for.
//!
//! IPv4 and IPv6. A ping in fragments is left to others, and so is one that is not for the addresses of `--for`. Hosts find
//! the hardware address to send to by `proto.arp_responder`, or by an entry of their own.
//!
//! | option | meaning |
//! |---|---|
//! | `--for=IP,…` | answers for these addresses only |
//!
//! Launch: `weft pox proto.pong proto.arp_responder --hosts=10.0.0.254`

use std::net::IpAddr;

use openflow::port::PortNo;
use packet::wire::{IpProtocol, icmpv4, icmpv6, ipv6};

use super::frames;
use crate::compose::{self, Ends};
use crate::{
    Component, Core, Listen, OPENFLOW, Options, OptionsError, PacketIn, Result, Verdict, debug, output,
};

/// Answers pings.
#[derive(Debug)]
pub struct Pong {
    addresses: Vec<IpAddr>,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(Pong { addresses: options.list("for")? }))
}

impl Component for Pong {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen_with(OPENFLOW, Listen::priority(50), Self::packet_in);
        Ok(())
    }
}

impl Pong {
    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<Verdict> {
        if !event.is_whole() || !event.destination().is_unicast() {
            return Ok(Verdict::Continue);
        }
        let Some((asked, reply)) = echo_v4(event).or_else(|| echo_v6(event)) else {
            return Ok(Verdict::Continue);
        };
        if !self.addresses.is_empty() && !self.addresses.contains(&asked) {
            return Ok(Verdict::Continue);
        }
        debug!(core, "ping for {asked} answered");
        let frame = frames::answer(event, event.destination(), &reply);
        core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], frame)?;
        core.drop_packet(event)?;
        Ok(Verdict::Halt)
    }
}

/// Who is pinged, and the packet that answers.
pub(crate) fn echo_v4(event: &PacketIn) -> Option<(IpAddr, Vec<u8>)> {
    let ip = event.ipv4().filter(|ip| !ip.is_fragment() && !ip.destination().is_multicast())?;
    event.icmpv4().filter(|icmp| icmp.kind() == icmpv4::Type::ECHO_REQUEST && icmp.verify_checksum())?;
    let icmp = event.icmpv4()?;
    let reply =
        icmpv4::Repr::EchoReply { ident: icmp.ident(), sequence: icmp.sequence(), data: icmp.payload() };
    let ends = Ends { macs: (event.destination(), event.source()), ips: (ip.destination(), ip.source()) };
    Some((ip.destination().into(), frames::packet(&compose::icmpv4(ends, &reply)).to_vec()))
}

fn echo_v6(event: &PacketIn) -> Option<(IpAddr, Vec<u8>)> {
    let ip = event.ipv6().filter(|ip| !ip.destination().is_multicast())?;
    let icmp = event.icmpv6()?;
    if icmp.kind() != icmpv6::Type::ECHO_REQUEST || !icmp.verify_checksum(ip.source(), ip.destination()) {
        return None;
    }
    let reply =
        icmpv6::Repr::EchoReply { ident: icmp.ident(), sequence: icmp.sequence(), data: icmp.payload() };
    let head = ipv6::Repr::new(ip.destination(), ip.source(), IpProtocol::ICMPV6, reply.buffer_len());
    let mut packet = vec![0; head.buffer_len() + reply.buffer_len()];
    head.emit(&mut ipv6::View::new_unchecked(&mut packet[..]));
    let mut message = icmpv6::View::new_unchecked(&mut packet[head.buffer_len()..]);
    reply.emit(ip.destination(), ip.source(), &mut message);
    Some((ip.destination().into(), packet))
}
