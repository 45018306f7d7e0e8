//! A switch that learns IP addresses: hosts of any subnets speak to one another as if it were their router.
//!
//! It learns where an IPv4 address is from every ARP and IP packet. Packets to a known address get a flow that sets the
//! destination's hardware address; for an unknown one it asks by ARP at every port, and keeps the packets meanwhile. It answers
//! ARP itself for what it knows, and for the gateways it plays (`--gateways`). Anything but IPv4 and ARP is left to other
//! components.
//!
//! | option | meaning |
//! |---|---|
//! | `--gateways=IP,…` | addresses that hosts have as their gateways: answered with the switch's own hardware address |
//! | `--idle-timeout=SECONDS` | of its flows; 10 |
//! | `--timeout=SECONDS` | an address that is silent for so long is forgotten; 240 |
//! | `--wide` | one flow for each destination, not for each pair of ends |
//!
//! Launch: `weft pox forwarding.l3_learning --gateways=10.0.1.254,10.0.2.254`

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::action::Action;
use openflow::field::Field;
use openflow::matching::Match;
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use packet::wire::{MacAddr, arp};

use crate::components::proto::frames::{self, OWN_MAC};
use crate::{
    Component, ConnectionDown, ConnectionId, Core, Flow, OPENFLOW, Options, OptionsError, PacketIn,
    PortStatus, Result, compose, debug, is_live, output,
};

/// Addresses learned per switch.
pub const ADDRESSES_MAX: usize = 1 << 16;
/// Packets kept per unknown address.
pub const KEPT_MAX: usize = 5;
/// Unknown addresses that packets are kept for, per switch; the oldest makes way.
pub const UNKNOWN_MAX: usize = 256;
/// How long packets are kept.
const PATIENCE: Duration = Duration::from_secs(5);
/// An address is asked for so often at most.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The switch.
#[derive(Debug)]
pub struct L3Learning {
    gateways: BTreeSet<Ipv4Addr>,
    idle_timeout: u16,
    timeout: Duration,
    wide: bool,
    switches: BTreeMap<ConnectionId, Switch>,
}

#[derive(Debug, Default)]
struct Switch {
    hosts: BTreeMap<Ipv4Addr, Host>,
    unknown: VecDeque<Unknown>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Host {
    mac: MacAddr,
    port: PortNo,
    seen: Duration,
}

/// An address that was asked for.
#[derive(Debug)]
struct Unknown {
    ip: Ipv4Addr,
    asked: Duration,
    packets: Vec<PacketIn>,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(L3Learning {
        gateways: options.list("gateways")?.into_iter().collect(),
        idle_timeout: options.take_or("idle-timeout", 10)?,
        timeout: options.seconds("timeout", Duration::from_secs(240))?,
        wide: options.flag("wide")?,
        switches: BTreeMap::new(),
    }))
}

impl Component for L3Learning {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionDown, _: &mut Core| {
            this.switches.remove(&event.connection);
        });
        core.listen(OPENFLOW, Self::packet_in);
        core.listen(OPENFLOW, |this: &mut Self, event: &PortStatus, core: &mut Core| {
            if is_live(&event.port) {
                return Ok(());
            }
            let Some(switch) = this.switches.get_mut(&event.connection) else { return Ok(()) };
            switch.hosts.retain(|_, host| host.port != event.port.number);
            core.send(event.connection, Flow::delete(Match::new().ipv4()).out_port(event.port.number))
                .map(|_| ())
        });
        core.every(Duration::from_secs(1), Self::look_after);
        Ok(())
    }
}

impl L3Learning {
    /// Where a switch has seen an address.
    #[must_use]
    pub fn place_of(&self, connection: ConnectionId, ip: Ipv4Addr) -> Option<(MacAddr, PortNo)> {
        self.switches.get(&connection)?.hosts.get(&ip).map(|host| (host.mac, host.port))
    }

    /// Forgets hosts that are silent, and gives up packets whose destination does not answer.
    fn look_after(&mut self, core: &mut Core) {
        let now = core.now();
        for switch in self.switches.values_mut() {
            switch.hosts.retain(|_, host| host.seen + self.timeout > now);
            while switch.unknown.front().is_some_and(|unknown| unknown.asked + PATIENCE <= now) {
                for packet in switch.unknown.pop_front().into_iter().flat_map(|unknown| unknown.packets) {
                    let _ = core.drop_packet(&packet); // a switch that is gone keeps none
                }
            }
        }
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        if let Some(packet) = event.arp() {
            self.learn(event, packet.sender_ip, packet.sender_mac, core)?;
            if packet.sender_ip == packet.target_ip {
                core.flood(event)?; // a host announces itself, to the other switches too
                return Ok(());
            }
            if packet.operation == arp::Operation::REQUEST {
                return self.asked(event, &packet, core);
            }
            return self.replied(event, &packet, core);
        }
        let Some(ip) = event.ipv4() else { return Ok(()) };
        let (source, destination) = (ip.source(), ip.destination());
        self.learn(event, source, event.source(), core)?;
        if destination.is_multicast() || destination.is_broadcast() {
            core.flood(event)?;
            return Ok(());
        }
        let Some(switch) = self.switches.get_mut(&event.connection) else { return Ok(()) };
        if let Some(host) = switch.hosts.get(&destination).copied() {
            return self.forward(event, destination, host, core);
        }
        let now = core.now();
        let known = switch.unknown.iter_mut().find(|unknown| unknown.ip == destination);
        let ask = match known {
            Some(unknown) => {
                if unknown.packets.len() < KEPT_MAX {
                    unknown.packets.push(event.clone());
                } else {
                    core.drop_packet(event)?;
                }
                unknown.asked + ASK_AGAIN <= now
            }
            None => {
                if switch.unknown.len() >= UNKNOWN_MAX {
                    for packet in switch.unknown.pop_front().into_iter().flat_map(|unknown| unknown.packets) {
                        core.drop_packet(&packet)?;
                    }
                }
                switch.unknown.push_back(Unknown {
                    ip: destination,
                    asked: now,
                    packets: vec![event.clone()],
                });
                true
            }
        };
        if ask {
            debug!(core, "where is {destination}?");
            let question = compose::arp(&arp::Repr {
                operation: arp::Operation::REQUEST,
                sender_mac: event.source(),
                sender_ip: source,
                target_mac: MacAddr::UNSPECIFIED,
                target_ip: destination,
            });
            core.flood_packet(event.connection, event.in_port, question)?;
        }
        Ok(())
    }

    fn learn(&mut self, event: &PacketIn, ip: Ipv4Addr, mac: MacAddr, core: &mut Core) -> Result {
        if ip.is_unspecified() || !mac.is_unicast() || self.gateways.contains(&ip) {
            return Ok(());
        }
        let switch = self.switches.entry(event.connection).or_default();
        let host = Host { mac, port: event.in_port, seen: core.now() };
        let room = switch.hosts.len() < ADDRESSES_MAX;
        let before = match switch.hosts.get_mut(&ip) {
            Some(known) => Some(std::mem::replace(known, host)),
            None if room => switch.hosts.insert(ip, host),
            None => None,
        };
        if before.is_some_and(|before| (before.mac, before.port) != (mac, event.in_port)) {
            debug!(core, "{ip} has moved to {mac} at port {} of {}", event.in_port.0, event.datapath);
            core.send(event.connection, Flow::delete(Match::new().ipv4_dst(ip)))?;
        }
        let waiting = switch.unknown.iter().position(|unknown| unknown.ip == ip);
        let waiting = waiting.and_then(|at| switch.unknown.remove(at)).map(|unknown| unknown.packets);
        for packet in waiting.into_iter().flatten() {
            self.forward(&packet, ip, host, core)?;
        }
        Ok(())
    }

    fn asked(&self, event: &PacketIn, packet: &arp::Repr, core: &mut Core) -> Result {
        let known = self.place_of(event.connection, packet.target_ip);
        let mac = match known {
            // Whoever is behind the same port answers for himself.
            Some((_, port)) if port == event.in_port => return Ok(core.drop_packet(event)?),
            Some((mac, _)) => mac,
            None if self.gateways.contains(&packet.target_ip) => OWN_MAC,
            None => {
                core.flood(event)?;
                return Ok(());
            }
        };
        let reply = frames::arp_reply(event, packet, mac);
        core.inject(event.connection, event.in_port, [output(PortNo::IN_PORT)], reply)?;
        core.drop_packet(event)?;
        Ok(())
    }

    /// An answer goes to whoever asked.
    fn replied(&self, event: &PacketIn, packet: &arp::Repr, core: &mut Core) -> Result {
        match self.place_of(event.connection, packet.target_ip) {
            Some((_, port)) if port == event.in_port => core.drop_packet(event)?,
            Some((_, port)) => {
                core.packet_out(event, [output(port)])?;
            }
            None => {
                core.flood(event)?;
            }
        }
        Ok(())
    }

    fn forward(&self, event: &PacketIn, destination: Ipv4Addr, host: Host, core: &mut Core) -> Result {
        if host.port == event.in_port && host.mac == event.destination() {
            debug!(core, "{destination} is behind the port its packet came in by");
            return Ok(core.drop_packet(event)?);
        }
        let mac = host.mac.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
        let out = if host.port == event.in_port { PortNo::IN_PORT } else { host.port };
        let matching = if self.wide {
            Match::new().in_port(event.in_port).ipv4_dst(destination)
        } else {
            event.exact_match()
        };
        let flow = Flow::add(matching)
            .idle_timeout(self.idle_timeout)
            .action(Action::SetField(Oxm::exact(Field::EthDst, mac)))
            .output(out);
        core.install_for(event, flow)?;
        Ok(())
    }
}
