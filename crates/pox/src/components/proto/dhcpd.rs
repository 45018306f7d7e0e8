//! A DHCP server (RFC 2131) at every switch.
//!
//! Requests come to the controller by a flow of its own on each switch, and are answered at the port they came from. A client
//! gets the address it had, if that is free; then the one it asks for; then the lowest. Addresses that a client has declined
//! are left alone for an hour. The server also answers ARP for its own address, so that clients can renew. Relays are not served.
//!
//! | option | meaning |
//! |---|---|
//! | `--network=A.B.C.D/N` | the subnet; 192.168.0.0/24 |
//! | `--first=N`, `--count=N` | the pool: from the Nth address of the subnet on, so many; 1, and all but the last |
//! | `--ip=IP` | the server's own address; the subnet's last |
//! | `--mac=MAC` | and its hardware address; `02:77:65:66:74:01` |
//! | `--router=IP` | what clients are told; the server's address. `--router=none` tells none |
//! | `--dns=IP,…` | name servers; none |
//! | `--domain=NAME` | the domain; none |
//! | `--lease-time=SECONDS` | how long an address is lent; 3600 |
//! | `--switches=DPID,…` | serves at these switches only |
//! | `--ports=N,…` | serves at these ports only |
//!
//! Launch: `weft pox proto.dhcpd --network=10.1.0.0/16 --dns=10.1.255.254 forwarding.l2_learning`

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::matching::Match;
use openflow::port::PortNo;
use packet::wire::dhcpv4::{CLIENT_PORT, MessageType, SERVER_PORT};
use packet::wire::{MacAddr, arp, dhcpv4};

use super::frames::{self, OWN_MAC};
use super::pool::{Pool, Subnet};
use crate::compose::{self, Ends};
use crate::{
    Component, ConnectionUp, Core, Dpid, Event, Flow, Listen, OPENFLOW, Options, OptionsError, PacketIn,
    Result, Verdict, debug, info, output,
};

/// Priority of the flow that brings requests to the controller.
pub const PRIORITY: u16 = 0x7000;
/// How long an offer is kept for its client.
const OFFER: Duration = Duration::from_secs(60);
/// How long an address stays out of use that a client has found in use.
const DECLINED: Duration = Duration::from_secs(3600);

/// The server.
#[derive(Debug)]
pub struct Dhcpd {
    subnet: Subnet,
    ip: Ipv4Addr,
    mac: MacAddr,
    router: Option<Ipv4Addr>,
    dns: Vec<Ipv4Addr>,
    domain: Option<String>,
    lease: Duration,
    switches: Vec<Dpid>,
    ports: Vec<u32>,
    pool: Pool,
    names: BTreeMap<Ipv4Addr, String>,
}

/// An address was lent, or is lent on. Raised by `proto.dhcpd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub ip: Ipv4Addr,
    /// The client.
    pub mac: MacAddr,
    /// What it calls itself.
    pub name: Option<String>,
    /// For so long.
    pub time: Duration,
    /// The switch it is at.
    pub datapath: Dpid,
    /// The port it is at.
    pub port: PortNo,
}

/// An address was given back, or its time is over. Raised by `proto.dhcpd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOver {
    /// The address.
    pub ip: Ipv4Addr,
}

impl Event for Lease {}
impl Event for LeaseOver {}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    let subnet: Subnet = options.take_or("network", Subnet::new([192, 168, 0, 0].into(), 24))?;
    let ip = options.take_or("ip", subnet.last())?;
    if !subnet.is_host(ip) {
        return Err(options.wrong("ip", &ip.to_string(), format!("not a host of {subnet}")));
    }
    let first = options.take_or("first", 1_u32)?;
    let count =
        options.take::<u32>("count")?.unwrap_or(subnet.hosts().saturating_sub(first.saturating_sub(1)));
    let pool = Pool::new(subnet, first, count, ip).ok_or_else(|| {
        options.conflict(format!("{count} addresses from the {first}th on do not lie in {subnet}"))
    })?;
    let router = match options.text("router")? {
        None => Some(ip),
        Some(text) if text == "none" => None,
        Some(text) => Some(text.parse().map_err(|problem| options.wrong("router", &text, problem))?),
    };
    Ok(Box::new(Dhcpd {
        subnet,
        ip,
        mac: options.take_or("mac", OWN_MAC)?,
        router,
        dns: options.list("dns")?,
        domain: options.text("domain")?,
        lease: options.seconds("lease-time", Duration::from_secs(3600))?.max(Duration::from_secs(1)),
        switches: options.list("switches")?,
        ports: options.list("ports")?,
        pool,
        names: BTreeMap::new(),
    }))
}

impl Component for Dhcpd {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, Self::connection_up);
        core.listen_with(OPENFLOW, Listen::priority(100), Self::packet_in);
        core.every(Duration::from_secs(5), Self::expire);
        Ok(())
    }
}

impl Dhcpd {
    /// Whose an address is at this time.
    #[must_use]
    pub fn client_of(&self, ip: Ipv4Addr, now: Duration) -> Option<MacAddr> {
        self.pool.client_of(ip, now)
    }

    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) -> Result {
        if self.switches.is_empty() || self.switches.contains(&event.datapath) {
            let requests = Match::new().udp_src(CLIENT_PORT).udp_dst(SERVER_PORT);
            core.send(event.connection, Flow::add(requests).priority(PRIORITY).to_controller())?;
            let questions = Match::new().arp_op(1).arp_tpa(self.ip);
            core.send(event.connection, Flow::add(questions).priority(PRIORITY + 1).to_controller())?;
        }
        Ok(())
    }

    fn expire(&mut self, core: &mut Core) {
        for ip in self.pool.expire(core.now()) {
            self.names.remove(&ip);
            info!(core, "{ip} is free again");
            core.raise(LeaseOver { ip });
        }
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<Verdict> {
        let served = (self.switches.is_empty() || self.switches.contains(&event.datapath))
            && (self.ports.is_empty() || self.ports.contains(&event.in_port.0));
        if !served {
            return Ok(Verdict::Continue);
        }
        if let Some(request) = event.arp() {
            if request.operation != arp::Operation::REQUEST || request.target_ip != self.ip {
                return Ok(Verdict::Continue);
            }
            let reply = frames::arp_reply(event, &request, self.mac);
            core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], reply)?;
            core.drop_packet(event)?;
            return Ok(Verdict::Halt);
        }
        let Some(udp) = event
            .udp()
            .filter(|udp| (udp.source_port(), udp.destination_port()) == (CLIENT_PORT, SERVER_PORT))
        else {
            return Ok(Verdict::Continue);
        };
        let for_us =
            event.ipv4().is_some_and(|ip| ip.destination() == self.ip || ip.destination().is_broadcast());
        if !for_us {
            return Ok(Verdict::Continue);
        }
        let Ok(view) = dhcpv4::View::new_checked(udp.payload()) else { return Ok(Verdict::Continue) };
        if let Ok(request) = dhcpv4::Repr::parse(&view)
            && request.operation == dhcpv4::Operation::Request
            && request.relay_ip.is_unspecified()
        {
            self.answer(event, &request, core)?;
        }
        core.drop_packet(event)?;
        Ok(Verdict::Halt)
    }

    fn answer(&mut self, event: &PacketIn, request: &dhcpv4::Repr<'_>, core: &mut Core) -> Result {
        let (client, now) = (request.client_mac, core.now());
        match request.kind {
            MessageType::DISCOVER => {
                let Some(ip) = self.pool.offer(client, request.requested_ip, now, OFFER) else {
                    crate::warning!(core, "no address left for {client}");
                    return Ok(());
                };
                debug!(core, "{ip} offered to {client}");
                self.reply(event, request, MessageType::OFFER, ip, core)
            }
            MessageType::REQUEST => self.request(event, request, core),
            MessageType::DECLINE => {
                if let Some(ip) = request.requested_ip.filter(|_| request.server == Some(self.ip))
                    && self.pool.decline(client, ip, now + DECLINED)
                {
                    crate::warning!(core, "{client} finds {ip} in use");
                    core.raise(LeaseOver { ip });
                }
                Ok(())
            }
            MessageType::RELEASE => {
                if self.pool.release(client, request.client_ip) {
                    info!(core, "{client} gives {} back", request.client_ip);
                    core.raise(LeaseOver { ip: request.client_ip });
                }
                Ok(())
            }
            MessageType::INFORM => self.reply(event, request, MessageType::ACK, Ipv4Addr::UNSPECIFIED, core),
            _ => Ok(()),
        }
    }

    /// RFC 2131, section 4.3.2: selecting, after a restart, renewing or rebinding.
    fn request(&mut self, event: &PacketIn, request: &dhcpv4::Repr<'_>, core: &mut Core) -> Result {
        let (client, now) = (request.client_mac, core.now());
        if request.server.is_some_and(|server| server != self.ip) {
            self.pool.withdraw(client); // another server's offer was taken
            return Ok(());
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
            request.host_name.map(|name| String::from_utf8_lossy(name).chars().take(64).collect::<String>());
        if let Some(name) = &name {
            self.names.insert(ip, name.clone());
        }
        info!(core, "{ip} lent to {client} at port {} of {}", event.in_port.0, event.datapath);
        self.reply(event, request, MessageType::ACK, ip, core)?;
        core.raise(Lease {
            ip,
            mac: client,
            name,
            time: self.lease,
            datapath: event.datapath,
            port: event.in_port,
        });
        Ok(())
    }

    fn refuse(&self, event: &PacketIn, request: &dhcpv4::Repr<'_>, core: &mut Core) -> Result {
        debug!(core, "{} is refused what it asks for", request.client_mac);
        self.reply(event, request, MessageType::NAK, Ipv4Addr::UNSPECIFIED, core)
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
