//! A learning switch: every switch learns which address is behind which port, and gets an entry for each flow.
//!
//! A packet to a known address gets an exact entry of its own (10 s idle, 30 s hard); one to an unknown address or a group is
//! flooded. Frames for bridges themselves (LLDP, 01:80:c2:00:00:0x) are not forwarded.
//!
//! A host that moves is found again with its first packet, or when its old port goes down: the flows that lead to where it was
//! are removed at once, not when they time out. When the tree that a spanning tree component floods along changes, everything is
//! learned anew. Where there are loops, launch `openflow.spanning_tree` beside it: nothing is flooded before the tree is known.
//!
//! | option | meaning |
//! |---|---|
//! | `--transparent` | forwards frames for bridges too |
//! | `--hold-down=SECONDS` | floods nothing for so long after a switch connects; 0 |
//! | `--ignore=DPID,…` | leaves these switches alone |
//! | `--idle-timeout=SECONDS` | of its flows; 10 |
//! | `--hard-timeout=SECONDS` | of its flows; 30 |
//!
//! Launch: `weft pox forwarding.l2_learning`

use std::collections::BTreeSet;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use openflow::matching::Match;
use openflow::port::PortNo;
use packet::wire::{EtherType, MacAddr};

use super::addresses::is_bridge_filtered;
use crate::{
    Component, ConnectionDown, ConnectionId, ConnectionUp, Core, Dpid, FloodChanged, FloodSettled, Flow,
    OPENFLOW, Options, OptionsError, PacketIn, PortReason, PortStatus, Result, debug, is_live, warning,
};

/// Addresses learned per switch; packets to more are flooded.
pub const ADDRESSES_MAX: usize = 1 << 17;
/// How long a flow drops whose packets would go back to where they came from, in seconds.
const DROP_SECONDS: u16 = 10;

/// The learning switch.
#[derive(Debug)]
pub struct L2Learning {
    transparent: bool,
    hold_down: Duration,
    ignore: BTreeSet<Dpid>,
    idle_timeout: u16,
    hard_timeout: u16,
    switches: HashMap<ConnectionId, Switch, RandomState>,
    /// Everything is about to be learned anew.
    flushing: bool,
}

/// What is known of one switch.
#[derive(Debug, Default)]
struct Switch {
    ports: HashMap<MacAddr, PortNo, RandomState>,
    /// Before, it floods nothing.
    floods_from: Duration,
    full: bool,
}

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(L2Learning {
        transparent: options.flag("transparent")?,
        hold_down: options.seconds("hold-down", Duration::ZERO)?,
        ignore: options.list("ignore")?.into_iter().collect(),
        idle_timeout: options.take_or("idle-timeout", 10)?,
        hard_timeout: options.take_or("hard-timeout", 30)?,
        switches: HashMap::default(),
        flushing: false,
    }))
}

impl Component for L2Learning {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, Self::connection_up);
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionDown, _: &mut Core| {
            this.switches.remove(&event.connection);
        });
        core.listen(OPENFLOW, Self::packet_in);
        core.listen(OPENFLOW, Self::port_status);
        core.listen(OPENFLOW, Self::flood_changed);
        core.listen(OPENFLOW, |this: &mut Self, _: &FloodSettled, core: &mut Core| this.flush(core));
        Ok(())
    }
}

impl L2Learning {
    /// The port behind which a switch has seen an address.
    #[must_use]
    pub fn port_of(&self, connection: ConnectionId, address: MacAddr) -> Option<PortNo> {
        self.switches.get(&connection)?.ports.get(&address).copied()
    }

    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) {
        if self.ignore.contains(&event.datapath) {
            debug!(core, "switch {} is ignored", event.datapath);
            return;
        }
        let floods_from = core.now() + self.hold_down;
        self.switches.insert(event.connection, Switch { floods_from, ..Switch::default() });
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        let Some(frame) = event.ethernet() else { return Ok(()) };
        let Some(switch) = self.switches.get_mut(&event.connection) else { return Ok(()) };
        let (source, destination) = (frame.source(), frame.destination());
        if !core.connection(event.connection).is_some_and(|connection| connection.floods(event.in_port)) {
            // A port off the tree: whatever comes there has come, or will, by another.
            core.drop_packet(event)?;
            return Ok(());
        }
        if source.is_unicast()
            && let Some(before) = switch.learn(source, event.in_port, core)
        {
            debug!(
                core,
                "{source} has moved from port {} to {} of {}", before.0, event.in_port.0, event.datapath
            );
            core.send(event.connection, Flow::delete(Match::new().eth_dst(source)))?;
        }
        if !self.transparent && (frame.ethertype() == EtherType::LLDP || is_bridge_filtered(destination)) {
            core.drop_packet(event)?;
            return Ok(());
        }
        let known = if destination.is_multicast() { None } else { switch.ports.get(&destination) };
        match known.copied() {
            None if core.now() < switch.floods_from => core.drop_packet(event)?,
            None => {
                core.flood(event)?;
            }
            Some(port) if port == event.in_port => {
                // It is on the far side already, or a loop brought it back.
                debug!(
                    core,
                    "{source} to {destination} on {}: back to port {}, dropped", event.datapath, port.0
                );
                let flow =
                    Flow::add(event.exact_match()).idle_timeout(DROP_SECONDS).hard_timeout(DROP_SECONDS);
                core.install_for(event, flow)?;
            }
            Some(port) => {
                let flow = Flow::add(event.exact_match())
                    .idle_timeout(self.idle_timeout)
                    .hard_timeout(self.hard_timeout)
                    .output(port);
                core.install_for(event, flow)?;
            }
        }
        Ok(())
    }

    /// What was behind a port that is down may be anywhere.
    fn port_status(&mut self, event: &PortStatus, core: &mut Core) -> Result {
        if event.reason != PortReason::Delete && is_live(&event.port) {
            return Ok(());
        }
        let Some(switch) = self.switches.get_mut(&event.connection) else { return Ok(()) };
        for address in switch.forget(|port| port == event.port.number) {
            core.send(event.connection, Flow::delete(Match::new().eth_dst(address)))?;
        }
        Ok(())
    }

    /// A tree that has changed may lead to any address by another port, on any switch.
    fn flood_changed(&mut self, _: &FloodChanged, core: &mut Core) {
        if !std::mem::replace(&mut self.flushing, true) {
            core.after(Duration::ZERO, Self::flush);
        }
    }

    fn flush(&mut self, core: &mut Core) {
        self.flushing = false;
        let mut switches: Vec<_> = self.switches.iter_mut().collect();
        switches.sort_unstable_by_key(|(connection, _)| **connection);
        for (connection, switch) in switches {
            for address in switch.forget(|_| true) {
                // A switch that is gone has no flows.
                let _ = core.send(*connection, Flow::delete(Match::new().eth_dst(address)));
            }
        }
    }
}

impl Switch {
    /// Notes where an address is; tells where it was, if that was elsewhere.
    fn learn(&mut self, address: MacAddr, port: PortNo, core: &mut Core) -> Option<PortNo> {
        if let Some(known) = self.ports.get_mut(&address) {
            return Some(std::mem::replace(known, port)).filter(|before| *before != port);
        }
        if self.ports.len() < ADDRESSES_MAX {
            self.ports.insert(address, port);
        } else if !std::mem::replace(&mut self.full, true) {
            warning!(core, "more than {ADDRESSES_MAX} addresses on one switch: the others are flooded");
        }
        None
    }

    /// Forgets the addresses behind some ports, and tells them in order.
    fn forget(&mut self, which: impl Fn(PortNo) -> bool) -> Vec<MacAddr> {
        let mut gone: Vec<MacAddr> =
            self.ports.extract_if(|_, port| which(*port)).map(|(address, _)| address).collect();
        gone.sort_unstable();
        gone
    }
}
