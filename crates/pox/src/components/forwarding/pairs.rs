//! Where addresses are, by switch, and flows for pairs of them: what `forwarding.l2_pairs` and `forwarding.l2_flowvisor` share.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use openflow::matching::Match;
use openflow::port::PortNo;
use packet::wire::MacAddr;

use super::l2_learning::ADDRESSES_MAX;
use crate::{ConnectionId, Core, Flow, PacketIn, PortReason, PortStatus, Result, debug, is_live};

/// What was learned, and the flows made of it.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    ports: HashMap<ConnectionId, HashMap<MacAddr, PortNo, RandomState>, RandomState>,
}

impl Pairs {
    /// Learns where a packet's source is, and sets up both ways between its ends where its destination is known too. `false`
    /// where it is not: the packet is still to be flooded.
    pub(crate) fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<bool> {
        let (source, destination) = (event.source(), event.destination());
        let ports = self.ports.entry(event.connection).or_default();
        if source.is_unicast() && (ports.len() < ADDRESSES_MAX || ports.contains_key(&source)) {
            let before = ports.insert(source, event.in_port);
            if before.is_some_and(|before| before != event.in_port) {
                forget_flows(core, event.connection, source)?;
            }
        }
        let Some(&port) = ports.get(&destination).filter(|_| !destination.is_multicast()) else {
            return Ok(false);
        };
        if port == event.in_port {
            core.drop_packet(event)?;
            return Ok(true);
        }
        debug!(core, "{source} and {destination} on {}", event.datapath);
        core.send(
            event.connection,
            Flow::add(Match::new().eth_src(destination).eth_dst(source)).output(event.in_port),
        )?;
        core.install_for(event, Flow::add(Match::new().eth_src(source).eth_dst(destination)).output(port))?;
        Ok(true)
    }

    /// Forgets who was behind a port that has gone down.
    pub(crate) fn port_status(&mut self, event: &PortStatus, core: &mut Core) -> Result {
        if event.reason != PortReason::Delete && is_live(&event.port) {
            return Ok(());
        }
        self.forget(core, event.connection, |port| port == event.port.number)
    }

    /// Forgets a switch that is gone.
    pub(crate) fn disconnected(&mut self, connection: ConnectionId) {
        self.ports.remove(&connection);
    }

    /// Forgets everything, and removes the flows made of it.
    pub(crate) fn flush(&mut self, core: &mut Core) -> Result {
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
