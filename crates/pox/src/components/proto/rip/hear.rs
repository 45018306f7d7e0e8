//! What a router hears: RIP, ARP, pings, and packets that are to be routed.

use packet::wire::rip::{Command, Entry, PORT, ROUTERS, View};
use packet::wire::{IpProtocol, arp};

use super::Rip;
use super::routes::{Teller, Told};
use crate::components::proto::{frames, pong};
use crate::compose::Ends;
use crate::{Core, PacketIn, PortNo, Result, Verdict, debug, output};

/// What became of a message.
enum Heard {
    Yes,
    Malformed,
    Stranger,
}

impl Rip {
    pub(super) fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<Verdict> {
        let here = Some(event.connection) == self.connection;
        let our_port = self.interfaces.iter().any(|interface| interface.port == Some(event.in_port));
        if !here || !(our_port || event.destination() == self.mac) {
            return Ok(Verdict::Continue);
        }
        if let Some(packet) = event.arp() {
            self.hear_arp(event, &packet, core)?;
            core.drop_packet(event)?;
        } else if let Some(destination) = event.ipv4().map(|ip| ip.destination()) {
            if destination == ROUTERS || self.is_own(destination) {
                self.hear_ip(event, core)?;
                core.drop_packet(event)?;
            } else if event.destination() == self.mac {
                self.route(event, core)?;
            } else {
                core.drop_packet(event)?;
            }
        } else {
            core.drop_packet(event)?;
        }
        self.settle(core)?;
        Ok(Verdict::Halt)
    }

    fn hear_arp(&mut self, event: &PacketIn, packet: &arp::Repr, core: &mut Core) -> Result {
        let asks_us = self
            .interfaces
            .iter()
            .any(|interface| interface.port == Some(event.in_port) && interface.ip == packet.target_ip);
        let is_near = self.interface_at(event.in_port, packet.sender_ip).is_some();
        if is_near && !self.is_own(packet.sender_ip) {
            self.learn(packet.sender_ip, packet.sender_mac, asks_us, core)?;
        }
        if packet.operation == arp::Operation::REQUEST && asks_us {
            let reply = frames::arp_reply(event, packet, self.mac);
            core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], reply)?;
        }
        Ok(())
    }

    /// A packet for the router itself, or for all routers.
    fn hear_ip(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        if event.udp().is_some_and(|udp| udp.destination_port() == PORT) {
            match self.hear_rip(event, core)? {
                Heard::Yes => self.counters.heard += 1,
                Heard::Malformed => self.counters.malformed += 1,
                Heard::Stranger => self.counters.strangers += 1,
            }
        } else if event.ipv4().is_some_and(|ip| ip.protocol() == IpProtocol::ICMP)
            && event.is_whole()
            && let Some((_, reply)) = pong::echo_v4(event)
        {
            let frame = frames::answer(event, self.mac, &reply);
            core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], frame)?;
        }
        Ok(())
    }

    fn hear_rip(&mut self, event: &PacketIn, core: &mut Core) -> Result<Heard> {
        let (Some(ip), Some(udp)) = (event.ipv4(), event.udp()) else { return Ok(Heard::Malformed) };
        let source = ip.source();
        let Some(at) = self.interface_at(event.in_port, source) else { return Ok(Heard::Stranger) };
        if self.is_own(source) || self.interfaces[at].passive {
            return Ok(Heard::Stranger);
        }
        let is_sound = event.is_whole() && udp.verify_checksum(source.into(), ip.destination().into());
        let view = match View::new_checked(udp.payload()) {
            Ok(view) if is_sound && !view.is_authenticated() => view,
            _ => return Ok(Heard::Malformed),
        };
        match view.command() {
            Command::REQUEST => {
                self.learn(source, event.source(), true, core)?;
                let asked: Vec<Entry> = view.entries().filter_map(std::result::Result::ok).collect();
                let ends = Ends { macs: (self.mac, event.source()), ips: (self.interfaces[at].ip, source) };
                self.answer(at, (ends, udp.source_port()), &asked, core)?;
            }
            Command::RESPONSE if udp.source_port() != PORT => return Ok(Heard::Stranger),
            Command::RESPONSE => {
                self.learn(source, event.source(), true, core)?;
                for entry in view.entries() {
                    match entry.ok().as_ref().and_then(Told::read) {
                        Some(told) => self.hear_route(Teller { ip: source, interface: at }, told, core),
                        None => self.counters.refused += 1,
                    }
                }
            }
            _ => return Ok(Heard::Malformed),
        }
        Ok(Heard::Yes)
    }

    fn hear_route(&mut self, teller: Teller, mut told: Told, core: &mut Core) {
        if self.is_own(told.next_hop) {
            self.counters.refused += 1;
            return;
        }
        if !self.interfaces[teller.interface].network.is_host(told.next_hop) {
            told.next_hop = std::net::Ipv4Addr::UNSPECIFIED;
        }
        debug!(core, "{} tells of {} at {}", teller.ip, told.prefix, told.metric);
        self.routes.hear(core.now(), teller, &told);
    }
}
