//! Knows where hosts are: by hardware address, with the IP addresses they use.
//!
//! It learns from every packet that comes in where no other switch is known (with `openflow.discovery`; without, at every port),
//! and asks hosts that have been silent by ARP whether they are there. Hosts that come, move and go are told by `HostEvent`.
//!
//! | option | meaning |
//! |---|---|
//! | `--arp-aware=SECONDS` | a host with an IP address is asked after so much silence; 120 |
//! | `--arp-silent=SECONDS` | a host without one is gone after so much silence; 1200 |
//! | `--arp-reply=SECONDS` | how long an answer may take; 4 |
//! | `--asks=N` | so often, before the host is gone; 2 |
//!
//! Launch: `weft pox host_tracker openflow.discovery forwarding.l2_learning`

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::port::PortNo;
use packet::wire::{EtherType, MacAddr, arp};

use super::openflow::discovery::{Discovery, LinkEvent};
use super::proto::frames::OWN_MAC;
use crate::{
    Component, ConnectionDown, Core, Dpid, Event, Listen, OPENFLOW, Options, OptionsError, PacketIn,
    PortReason, PortStatus, Result, compose, debug, info, is_live, output,
};

/// Hosts known at one time.
pub const HOSTS_MAX: usize = 1 << 17;
/// IP addresses of one host.
pub const ADDRESSES_MAX: usize = 16;
/// How often silence is looked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// Where a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The switch.
    pub datapath: Dpid,
    /// Its port.
    pub port: PortNo,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Where it is.
    pub place: Place,
    /// When it last said something.
    pub seen: Duration,
    /// Its IPv4 addresses, and when each was last used.
    pub addresses: BTreeMap<Ipv4Addr, Duration>,
    /// Asked so often since, and when last.
    asked: (u32, Duration),
}

/// A host came, moved, or is gone. Raised by `host_tracker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostEvent {
    /// Which.
    pub mac: MacAddr,
    /// Where it was; `None` for one that came.
    pub before: Option<Place>,
    /// Where it is; `None` for one that is gone.
    pub now: Option<Place>,
}

impl Event for HostEvent {}

/// The hosts.
#[derive(Debug)]
pub struct HostTracker {
    arp_aware: Duration,
    arp_silent: Duration,
    arp_reply: Duration,
    asks: u32,
    hosts: BTreeMap<MacAddr, Host>,
    owners: BTreeMap<Ipv4Addr, MacAddr>,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(HostTracker {
        arp_aware: options.seconds("arp-aware", Duration::from_secs(120))?,
        arp_silent: options.seconds("arp-silent", Duration::from_secs(1200))?,
        arp_reply: options.seconds("arp-reply", Duration::from_secs(4))?,
        asks: options.take_or("asks", 2)?,
        hosts: BTreeMap::new(),
        owners: BTreeMap::new(),
    }))
}

impl Component for HostTracker {
    fn start(&mut self, core: &mut Core) -> Result {
        // Before components that stop an event.
        core.listen_with(OPENFLOW, Listen::priority(1_000), Self::packet_in);
        core.listen(OPENFLOW, |this: &mut Self, event: &PortStatus, core: &mut Core| {
            if event.reason == PortReason::Delete || !is_live(&event.port) {
                let place = Place { datapath: event.datapath, port: event.port.number };
                this.leave(|host| host.place == place, core);
            }
        });
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionDown, core: &mut Core| {
            this.leave(|host| host.place.datapath == event.datapath, core);
        });
        // What was taken for hosts behind a port that leads to a switch is behind that switch.
        core.listen("openflow.discovery", |this: &mut Self, event: &LinkEvent, core: &mut Core| {
            if event.added {
                let (datapath, port) = event.link.to;
                this.leave(|host| host.place == Place { datapath, port }, core);
            }
        });
        core.every(INTERVAL, Self::look_after);
        Ok(())
    }
}

impl HostTracker {
    /// A host.
    #[must_use]
    pub fn host(&self, mac: MacAddr) -> Option<&Host> {
        self.hosts.get(&mac)
    }

    /// The host that used an IP address last.
    #[must_use]
    pub fn host_of(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        self.owners.get(&ip).copied()
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = (MacAddr, &Host)> {
        self.hosts.iter().map(|(mac, host)| (*mac, host))
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) {
        let mac = event.source();
        if !mac.is_unicast() || event.ethertype() == EtherType::LLDP {
            return;
        }
        let edge = core
            .find::<Discovery>()
            .is_none_or(|discovery| discovery.is_edge_port(event.datapath, event.in_port));
        if !edge {
            return;
        }
        let now = core.now();
        let place = Place { datapath: event.datapath, port: event.in_port };
        let room = self.hosts.len() < HOSTS_MAX;
        match self.hosts.get_mut(&mac) {
            Some(host) => {
                let before = std::mem::replace(&mut host.place, place);
                (host.seen, host.asked) = (now, (0, now));
                if before != place {
                    info!(core, "{mac} has moved to port {} of {}", place.port.0, place.datapath);
                    core.raise(HostEvent { mac, before: Some(before), now: Some(place) });
                }
            }
            None if room => {
                let host = Host { place, seen: now, addresses: BTreeMap::new(), asked: (0, now) };
                self.hosts.insert(mac, host);
                info!(core, "{mac} is at port {} of {}", place.port.0, place.datapath);
                core.raise(HostEvent { mac, before: None, now: Some(place) });
            }
            None => return,
        }
        let ip = match event.arp() {
            Some(packet) => Some(packet.sender_ip).filter(|_| packet.sender_mac == mac),
            None => event.ipv4().map(|ip| ip.source()),
        };
        if let Some(ip) = ip.filter(|ip| !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast()) {
            self.uses(mac, ip, now);
        }
    }

    fn uses(&mut self, mac: MacAddr, ip: Ipv4Addr, now: Duration) {
        let Some(host) = self.hosts.get_mut(&mac) else { return };
        if host.addresses.len() >= ADDRESSES_MAX && !host.addresses.contains_key(&ip) {
            let oldest = host.addresses.iter().min_by_key(|(_, used)| **used).map(|(ip, _)| *ip);
            if let Some(oldest) = oldest {
                host.addresses.remove(&oldest);
                self.owners.remove(&oldest);
            }
        }
        host.addresses.insert(ip, now);
        if let Some(before) = self.owners.insert(ip, mac).filter(|before| *before != mac)
            && let Some(other) = self.hosts.get_mut(&before)
        {
            other.addresses.remove(&ip);
        }
    }

    fn leave(&mut self, which: impl Fn(&Host) -> bool, core: &mut Core) {
        for (mac, host) in self.hosts.extract_if(.., |_, host| which(host)) {
            for ip in host.addresses.keys() {
                self.owners.remove(ip);
            }
            info!(core, "{mac} is gone");
            core.raise(HostEvent { mac, before: Some(host.place), now: None });
        }
    }

    /// Asks who is silent, and gives up who does not answer.
    fn look_after(&mut self, core: &mut Core) {
        let now = core.now();
        let (aware, silent, patience, asks) = (self.arp_aware, self.arp_silent, self.arp_reply, self.asks);
        for (mac, host) in &mut self.hosts {
            let due = if host.asked.0 == 0 { host.seen + aware } else { host.asked.1 + patience };
            if host.addresses.is_empty() || host.asked.0 >= asks || due > now {
                continue;
            }
            host.asked = (host.asked.0 + 1, now);
            let Some(ip) = host.addresses.iter().max_by_key(|(_, used)| **used).map(|(ip, _)| *ip) else {
                continue;
            };
            debug!(core, "is {mac} still there?");
            let question = arp::Repr {
                operation: arp::Operation::REQUEST,
                sender_mac: OWN_MAC,
                sender_ip: Ipv4Addr::UNSPECIFIED,
                target_mac: *mac,
                target_ip: ip,
            };
            let frame = compose::arp_to(&question, *mac);
            // A switch that is gone takes its hosts along.
            let _ = core.inject(host.place.datapath, PortNo::CONTROLLER, [output(host.place.port)], frame);
        }
        self.leave(
            |host| {
                if host.addresses.is_empty() {
                    host.seen + silent <= now
                } else {
                    host.asked.0 >= asks && host.asked.1 + patience <= now
                }
            },
            core,
        );
    }
}
