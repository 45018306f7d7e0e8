//! What a DHCP server says (RFC 2131): for whoever has addresses to lend.

use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::port::PortNo;
use packet::wire::MacAddr;
use packet::wire::dhcpv4::{self, CLIENT_PORT, MessageType, SERVER_PORT};

use super::frames;
use super::pool::Pool;
use crate::compose::{self, Ends};
use crate::{Core, PacketIn, Result, Subnet, debug, info, output, warning};

/// How long an offer is kept for its client.
const OFFER: Duration = Duration::from_secs(60);
/// How long an address stays out of use that a client has found in use.
const DECLINED: Duration = Duration::from_secs(3600);
/// Characters kept of a client's name.
const NAME_MAX: usize = 64;

/// A server: its addresses and what it tells clients.
#[derive(Debug)]
pub(crate) struct DhcpServer {
    pub(crate) subnet: Subnet,
    pub(crate) ip: Ipv4Addr,
    pub(crate) mac: MacAddr,
    pub(crate) router: Option<Ipv4Addr>,
    pub(crate) dns: Vec<Ipv4Addr>,
    pub(crate) domain: Option<String>,
    pub(crate) lease: Duration,
    pub(crate) pool: Pool,
}

/// What a message has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    /// No change of what is lent.
    Nothing,
    /// An address was lent, or is lent on.
    Lent { ip: Ipv4Addr, name: Option<String> },
    /// An address is no longer its client's.
    Freed(Ipv4Addr),
}

/// The DHCP message to a server in a packet.
pub(crate) fn is_request(event: &PacketIn) -> bool {
    event.udp().is_some_and(|udp| (udp.source_port(), udp.destination_port()) == (CLIENT_PORT, SERVER_PORT))
}

impl DhcpServer {
    /// Answers a client's message, at the port it came from.
    pub(crate) fn answer(
        &mut self,
        event: &PacketIn,
        request: &dhcpv4::Repr<'_>,
        core: &mut Core,
    ) -> Result<Done> {
        let (client, now) = (request.client_mac, core.now());
        match request.kind {
            MessageType::DISCOVER => {
                let Some(ip) = self.pool.offer(client, request.requested_ip, now, OFFER) else {
                    warning!(core, "no address left for {client}");
                    return Ok(Done::Nothing);
                };
                debug!(core, "{ip} offered to {client}");
                self.reply(event, request, MessageType::OFFER, ip, core)?;
                Ok(Done::Nothing)
            }
            MessageType::REQUEST => self.request(event, request, core),
            MessageType::DECLINE => {
                if let Some(ip) = request.requested_ip.filter(|_| request.server == Some(self.ip))
                    && self.pool.decline(client, ip, now + DECLINED)
                {
                    warning!(core, "{client} finds {ip} in use");
                    return Ok(Done::Freed(ip));
                }
                Ok(Done::Nothing)
            }
            MessageType::RELEASE => {
                if self.pool.release(client, request.client_ip) {
                    info!(core, "{client} gives {} back", request.client_ip);
                    return Ok(Done::Freed(request.client_ip));
                }
                Ok(Done::Nothing)
            }
            MessageType::INFORM => {
                self.reply(event, request, MessageType::ACK, Ipv4Addr::UNSPECIFIED, core)?;
                Ok(Done::Nothing)
            }
            _ => Ok(Done::Nothing),
        }
    }

    /// RFC 2131, section 4.3.2: selecting, after a restart, renewing or rebinding.
    fn request(&mut self, event: &PacketIn, request: &dhcpv4::Repr<'_>, core: &mut Core) -> Result<Done> {
        let (client, now) = (request.client_mac, core.now());
        if request.server.is_some_and(|server| server != self.ip) {
            self.pool.withdraw(client); // another server's offer was taken
            return Ok(Done::Nothing);
        }
        let ip = request.requested_ip.unwrap_or(request.client_ip);
        let known = self.pool.address_of(client, now);
        let in_subnet = self.subnet.contains(ip);
        if known.is_none() && request.server.is_none() && in_subnet && !self.pool.take(client, ip, now) {
            // A client of another time, with an address that is another's or none of ours.
            return self.refuse(event, request, core);
        }
        if self.pool.address_of(client, now) != Some(ip) || !in_subnet {
            return self.refuse(event, request, core);
        }
        self.pool.lease(client, now + self.lease);
        let name =
            request.host_name.map(|name| String::from_utf8_lossy(name).chars().take(NAME_MAX).collect());
        info!(core, "{ip} lent to {client} at port {} of {}", event.in_port.0, event.datapath);
        self.reply(event, request, MessageType::ACK, ip, core)?;
        Ok(Done::Lent { ip, name })
    }

    fn refuse(&self, event: &PacketIn, request: &dhcpv4::Repr<'_>, core: &mut Core) -> Result<Done> {
        debug!(core, "{} is refused what it asks for", request.client_mac);
        self.reply(event, request, MessageType::NAK, Ipv4Addr::UNSPECIFIED, core)?;
        Ok(Done::Nothing)
    }

    fn reply(
        &self,
        event: &PacketIn,
        request: &dhcpv4::Repr<'_>,
        kind: MessageType,
        ip: Ipv4Addr,
        core: &mut Core,
    ) -> Result {
        let mut reply = request.reply(kind, ip, self.ip);
        if kind == MessageType::NAK {
            reply.message = Some(b"not an address of yours");
        } else {
            reply.client_ip =
                if kind == MessageType::ACK { request.client_ip } else { Ipv4Addr::UNSPECIFIED };
            reply.subnet_mask = Some(self.subnet.mask());
            reply.broadcast_address = Some(self.subnet.broadcast());
            reply.routers = self.router.into_iter().collect();
            reply.name_servers = self.dns.iter().copied().take(dhcpv4::ADDRESSES_MAX).collect();
            reply.domain_name = self.domain.as_deref().map(str::as_bytes);
            if request.kind != MessageType::INFORM {
                let seconds = u32::try_from(self.lease.as_secs()).unwrap_or(u32::MAX);
                reply.lease_s = Some(seconds);
                reply.renewal_s = Some(seconds / 2);
                reply.rebinding_s = Some((u64::from(seconds) * 7 / 8) as u32);
            }
        }
        let mut message = vec![0; reply.buffer_len()];
        reply.emit(&mut dhcpv4::View::new_unchecked(&mut message[..]));
        // To the address a client has, else to the one it gets, else to all (RFC 2131, section 4.1).
        let unicast = kind != MessageType::NAK && !request.broadcast;
        let (mac, to) = match request.client_ip {
            has if kind != MessageType::NAK && !has.is_unspecified() => (request.client_mac, has),
            _ if unicast && !ip.is_unspecified() => (request.client_mac, ip),
            _ => (MacAddr::BROADCAST, Ipv4Addr::BROADCAST),
        };
        let ends = Ends { macs: (self.mac, mac), ips: (self.ip, to) };
        let packet = compose::udp(ends, (SERVER_PORT, CLIENT_PORT), &message);
        let mut frame = frames::answer(event, self.mac, frames::packet(&packet));
        frame[..6].copy_from_slice(&mac.0);
        core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], frame)?;
        Ok(())
    }
}
