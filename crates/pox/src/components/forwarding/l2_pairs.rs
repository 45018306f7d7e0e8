//! A learning switch with an entry for each pair of addresses, both ways at once.
//!
//! Coarser than `forwarding.l2_learning`: all traffic from one address to another is one flow, which stays. The flows of a host
//! that moves are removed when it is seen elsewhere, or when its old port goes down.
//!
//! | option | meaning |
//! |---|---|
//! | `--disable-flood` | sends what it would flood to all ports (`ALL`), on switches that do not flood; no spanning tree is obeyed |
//!
//! Launch: `weft pox forwarding.l2_pairs`

use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use openflow::matching::Match;
use openflow::port::PortNo;
use packet::wire::MacAddr;

use super::l2_learning::ADDRESSES_MAX;
use crate::{
    Component, ConnectionDown, ConnectionId, Core, FloodChanged, FloodSettled, Flow, OPENFLOW, Options,
    OptionsError, PacketIn, PortReason, PortStatus, Result, debug, is_live, output,
};

/// The switch of pairs.
#[derive(Debug, Default)]
pub struct L2Pairs {
    all_ports: bool,
    ports: HashMap<ConnectionId, HashMap<MacAddr, PortNo, RandomState>, RandomState>,
    flushing: bool,
}

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(L2Pairs { all_ports: options.flag("disable-flood")?, ..L2Pairs::default() }))
}

impl Component for L2Pairs {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, Self::packet_in);
        core.listen(OPENFLOW, Self::port_status);
        core.listen(OPENFLOW, Self::flood_changed);
        core.listen(OPENFLOW, |this: &mut Self, _: &FloodSettled, core: &mut Core| this.flush(core));
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionDown, _: &mut Core| {
            this.ports.remove(&event.connection);
        });
        Ok(())
    }
}

impl L2Pairs {
    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        let Some(frame) = event.ethernet() else { return Ok(()) };
        let (source, destination) = (frame.source(), frame.destination());
        if !core.connection(event.connection).is_some_and(|connection| connection.floods(event.in_port)) {
            // A port off the tree: whatever comes there has come, or will, by another.
            core.drop_packet(event)?;
            return Ok(());
        }
        let ports = self.ports.entry(event.connection).or_default();
        if source.is_unicast() && (ports.len() < ADDRESSES_MAX || ports.contains_key(&source)) {
            let before = ports.insert(source, event.in_port);
            if before.is_some_and(|before| before != event.in_port) {
                forget_flows(core, event.connection, source)?;
            }
        }
        let Some(&port) = ports.get(&destination).filter(|_| !destination.is_multicast()) else {
            if self.all_ports {
                core.packet_out(event, [output(PortNo::ALL)])?;
            } else {
                core.flood(event)?;
            }
            return Ok(());
        };
        if port == event.in_port {
            core.drop_packet(event)?;
            return Ok(());
        }
        debug!(core, "{source} and {destination} on {}", event.datapath);
        core.send(
            event.connection,
            Flow::add(Match::new().eth_src(destination).eth_dst(source)).output(event.in_port),
        )?;
        core.install_for(event, Flow::add(Match::new().eth_src(source).eth_dst(destination)).output(port))?;
        Ok(())
    }

    fn port_status(&mut self, event: &PortStatus, core: &mut Core) -> Result {
        if event.reason != PortReason::Delete && is_live(&event.port) {
            return Ok(());
        }
        self.forget(core, event.connection, |port| port == event.port.number)
    }

    /// A tree that has changed may lead to any address by another port, on any switch.
    fn flood_changed(&mut self, _: &FloodChanged, core: &mut Core) {
        if !std::mem::replace(&mut self.flushing, true) {
            core.after(Duration::ZERO, Self::flush);
        }
    }

    fn flush(&mut self, core: &mut Core) -> Result {
        self.flushing = false;
        let mut connections: Vec<ConnectionId> = self.ports.keys().copied().collect();
        connections.sort_unstable();
        connections.into_iter().try_for_each(|connection| self.forget(core, connection, |_| true))
    }

    fn forget(
        &mut self,
        core: &mut Core,
        connection: ConnectionId,
        which: impl Fn(PortNo) -> bool,
    ) -> Result {
        let Some(ports) = self.ports.get_mut(&connection) else { return Ok(()) };
        let mut gone: Vec<MacAddr> =
            ports.extract_if(|_, port| which(*port)).map(|(address, _)| address).collect();
        gone.sort_unstable();
        gone.into_iter().try_for_each(|address| forget_flows(core, connection, address))
    }
}

fn forget_flows(core: &mut Core, connection: ConnectionId, address: MacAddr) -> Result {
    core.send(connection, Flow::delete(Match::new().eth_dst(address)))?;
    core.send(connection, Flow::delete(Match::new().eth_src(address)))?;
    Ok(())
}
