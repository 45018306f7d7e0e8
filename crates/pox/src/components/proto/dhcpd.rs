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

use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::matching::Match;
use openflow::port::PortNo;
use packet::wire::dhcpv4::{CLIENT_PORT, SERVER_PORT};
use packet::wire::{MacAddr, arp, dhcpv4};

use super::dhcp_server::{DhcpServer, Done, is_request};
use super::frames::{self, OWN_MAC};
use super::pool::Pool;
use crate::{
    Component, ConnectionUp, Core, Dpid, Event, Flow, Listen, OPENFLOW, Options, OptionsError, PacketIn,
    Result, Subnet, Verdict, info, output,
};

/// Priority of the flow that brings requests to the controller.
pub const PRIORITY: u16 = 0x7000;

/// The server.
#[derive(Debug)]
pub struct Dhcpd {
    server: DhcpServer,
    switches: Vec<Dpid>,
    ports: Vec<u32>,
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
        server: DhcpServer {
            subnet,
            ip,
            mac: options.take_or("mac", OWN_MAC)?,
            router,
            dns: options.list("dns")?,
            domain: options.text("domain")?,
            lease: options.seconds("lease-time", Duration::from_secs(3600))?.max(Duration::from_secs(1)),
            pool,
        },
        switches: options.list("switches")?,
        ports: options.list("ports")?,
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
        self.server.pool.client_of(ip, now)
    }

    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) -> Result {
        if self.switches.is_empty() || self.switches.contains(&event.datapath) {
            let requests = Match::new().udp_src(CLIENT_PORT).udp_dst(SERVER_PORT);
            core.send(event.connection, Flow::add(requests).priority(PRIORITY).to_controller())?;
            let questions = Match::new().arp_op(1).arp_tpa(self.server.ip);
            core.send(event.connection, Flow::add(questions).priority(PRIORITY + 1).to_controller())?;
        }
        Ok(())
    }

    fn expire(&mut self, core: &mut Core) {
        for ip in self.server.pool.expire(core.now()) {
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
            if request.operation != arp::Operation::REQUEST || request.target_ip != self.server.ip {
                return Ok(Verdict::Continue);
            }
            let reply = frames::arp_reply(event, &request, self.server.mac);
            core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], reply)?;
            core.drop_packet(event)?;
            return Ok(Verdict::Halt);
        }
        let Some(udp) = event.udp().filter(|_| is_request(event)) else { return Ok(Verdict::Continue) };
        let for_us = event
            .ipv4()
            .is_some_and(|ip| ip.destination() == self.server.ip || ip.destination().is_broadcast());
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
        match self.server.answer(event, request, core)? {
            Done::Nothing => {}
            Done::Freed(ip) => core.raise(LeaseOver { ip }),
            Done::Lent { ip, name } => core.raise(Lease {
                ip,
                mac: request.client_mac,
                name,
                time: self.server.lease,
                datapath: event.datapath,
                port: event.in_port,
            }),
        }
        Ok(())
    }
}
