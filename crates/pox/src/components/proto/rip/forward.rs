//! Where packets go: the switch's entries follow the routes and the hardware addresses known; what waits for one is kept.

use std::net::Ipv4Addr;

use openflow::port::PortNo;
use packet::wire::{MacAddr, arp};

use super::Rip;
use super::flows::{self, Target, Way};
use super::neighbours::Due;
use super::prefix::Prefix;
use super::routes::{Origin, Route};
use crate::{Core, PacketIn, Result, SendError, compose, output};

impl Rip {
    /// Tells the switch and the neighbours what has changed.
    pub(super) fn settle(&mut self, core: &mut Core) -> Result {
        for prefix in self.routes.take_turned() {
            self.set_network(prefix, core)?;
            for host in self.neighbours.within(prefix) {
                self.set_host(host, core)?;
            }
        }
        if self.routes.have_changed() {
            self.trigger(core);
        }
        Ok(())
    }

    /// Whose hardware address an address is.
    pub(super) fn learn(&mut self, ip: Ipv4Addr, mac: MacAddr, to_us: bool, core: &mut Core) -> Result {
        let Some(packets) = self.neighbours.hear(core.now(), ip, mac, to_us) else { return Ok(()) };
        self.neighbour_changed(ip, core)?;
        packets.iter().try_for_each(|packet| self.route(packet, core))
    }

    fn neighbour_changed(&mut self, ip: Ipv4Addr, core: &mut Core) -> Result {
        self.set_host(ip, core)?;
        let by_it: Vec<Prefix> =
            self.routes.iter().filter(|(_, route)| route.next_hop == ip).map(|(prefix, _)| prefix).collect();
        by_it.into_iter().try_for_each(|prefix| self.set_network(prefix, core))
    }

    /// Does what time, or the end of a network, has brought about.
    pub(super) fn attend(&mut self, due: Due, core: &mut Core) -> Result {
        for ip in due.questions {
            self.ask_for(ip, core)?;
        }
        for ip in due.silent {
            self.neighbour_changed(ip, core)?;
        }
        for packet in due.dropped {
            self.drop(&packet, core)?;
        }
        Ok(())
    }

    fn drop(&mut self, event: &PacketIn, core: &mut Core) -> Result<(), SendError> {
        self.counters.dropped += 1;
        core.drop_packet(event)
    }

    fn set_network(&mut self, prefix: Prefix, core: &mut Core) -> Result {
        let Some(connection) = self.connection else { return Ok(()) };
        let route = self.routes.get(prefix).filter(|route| route.is_reachable());
        let way = route.and_then(|route| {
            let port = self.interfaces.get(route.interface)?.port?;
            let mac = self.neighbours.get(route.next_hop).filter(|_| route.origin != Origin::Attached);
            Some(mac.map_or(Way::Ask, |mac| Way::Forward { port, mac }))
        });
        Ok(self.flows.set(connection, Target::Network(prefix), way, core)?)
    }

    /// A host has an entry where it is on an attached network, and no longer prefix leads elsewhere.
    fn set_host(&mut self, ip: Ipv4Addr, core: &mut Core) -> Result {
        let Some(connection) = self.connection else { return Ok(()) };
        let route = self.routes.lookup(ip).filter(|route| route.origin == Origin::Attached);
        let way = route.and_then(|route| {
            let port = self.interfaces.get(route.interface)?.port?;
            self.neighbours.get(ip).map(|mac| Way::Forward { port, mac })
        });
        Ok(self.flows.set(connection, Target::Host(ip), way, core)?)
    }

    /// Whom a packet goes to next: interface, port, address.
    fn next_hop(&self, route: &Route, destination: Ipv4Addr) -> Option<(PortNo, Ipv4Addr)> {
        let interface = self.interfaces.get(route.interface)?;
        match route.origin {
            Origin::Attached if !interface.network.is_host(destination) => None,
            Origin::Attached => Some((interface.port?, destination)),
            _ => Some((interface.port?, route.next_hop)),
        }
    }

    /// Routes a packet that the switch has no entry for.
    pub(super) fn route(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        let destination = event.ipv4().filter(|ip| ip.ttl() > 1).map(|ip| ip.destination());
        let is_there = event.buffer.is_some() || event.is_whole();
        let next = destination
            .filter(|ip| is_there && !ip.is_multicast() && !ip.is_broadcast())
            .and_then(|ip| self.next_hop(self.routes.lookup(ip)?, ip));
        let Some((port, ip)) = next else { return Ok(self.drop(event, core)?) };
        if let Some(mac) = self.neighbours.get(ip) {
            let out = if port == event.in_port { PortNo::IN_PORT } else { port };
            let actions = flows::rewrite(self.mac, mac).into_iter().chain([output(out)]);
            core.packet_out(event, actions.collect::<Vec<_>>())?;
            return Ok(());
        }
        let due = self.neighbours.ask(core.now(), ip, event);
        self.attend(due, core)
    }

    /// Asks for a hardware address.
    fn ask_for(&self, ip: Ipv4Addr, core: &mut Core) -> Result<(), SendError> {
        let near = self.interfaces.iter().find(|interface| interface.network.is_host(ip));
        let Some((interface, port)) = near.and_then(|near| near.port.map(|port| (near, port))) else {
            return Ok(());
        };
        let question = compose::arp(&arp::Repr {
            operation: arp::Operation::REQUEST,
            sender_mac: self.mac,
            sender_ip: interface.ip,
            target_mac: MacAddr::UNSPECIFIED,
            target_ip: ip,
        });
        core.inject(self.switch, PortNo::CONTROLLER, [output(port)], question).map(|_| ())
    }
}
