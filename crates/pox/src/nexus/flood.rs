//! Flooding: to which ports a packet without a known place goes.
//!
//! A component that keeps loops out (a spanning tree) decides port by port with [`Core::set_flood`]; everything that floods
//! goes through [`Core::flood`] or [`Core::flood_actions`] and so obeys it, whatever the switch's version: 1.0 switches are told
//! by the port's `NO_FLOOD` bit, which 1.3 has not, so that there the ports are listed.

use std::time::Duration;

use openflow::Version;
use openflow::action::Action;
use openflow::message::PortMod;
use openflow::port::{PortNo, config};

use super::{ConnectionId, Dpid, FloodChanged, FloodSettled, PacketIn, SendError, To, output};
use crate::Core;
use crate::event::Source;

/// How long after the last change packets on their old ways may still be under way.
pub const FLOOD_SETTLE: Duration = Duration::from_millis(250);

/// Flooding.
impl Core {
    /// Whether switches that connect from now on flood to none of their ports until [`Core::set_flood`] opens them. A spanning
    /// tree says so when it starts, so that no packet loops before the tree is known.
    pub fn hold_floods(&mut self, hold: bool) {
        self.nexus.config.hold_floods = hold;
    }

    /// Opens or closes a port for floods; raises [`FloodChanged`] where that is a change.
    ///
    /// # Errors
    /// As [`Core::send`].
    pub fn set_flood(&mut self, to: impl Into<To>, port: PortNo, open: bool) -> Result<(), SendError> {
        let id = self.resolve(to)?;
        let connection = self.nexus.get_mut(id).ok_or(SendError::Down(id))?;
        connection.flooding.chosen = true;
        let changed = if open {
            connection.flooding.closed.remove(&port)
        } else {
            connection.flooding.closed.insert(port)
        };
        if !changed {
            return Ok(());
        }
        let datapath = connection.datapath();
        self.tell_flood(id, port, open)?;
        self.flood_changed(id, datapath);
        Ok(())
    }

    fn flood_changed(&mut self, connection: ConnectionId, datapath: Dpid) {
        self.raise_from(Source::Connection(connection), FloodChanged { connection, datapath });
        self.raise_from(Source::OpenFlow, FloodChanged { connection, datapath });
        self.nexus.flood_changes += 1;
        let changes = self.nexus.flood_changes;
        self.as_outside(|core| {
            core.after(FLOOD_SETTLE, move |(): &mut (), core: &mut Self| {
                if core.nexus.flood_changes == changes {
                    core.raise_from(Source::OpenFlow, FloodSettled);
                }
            })
        });
    }

    /// Tells a 1.0 switch about one of its ports.
    fn tell_flood(&mut self, id: ConnectionId, number: PortNo, open: bool) -> Result<(), SendError> {
        let connection = self.nexus.get(id).ok_or(SendError::Down(id))?;
        if connection.version() != Version::V10 {
            return Ok(());
        }
        let Some(port) = connection.ports.get(&number) else { return Ok(()) };
        let (address, mask) = (port.address, config::NO_FLOOD);
        let config = if open { 0 } else { mask };
        self.send(id, PortMod { port: number, address, config, mask, advertise: 0 }).map(|_| ())
    }

    /// Closes the ports of a new connection where floods are held, and new ports of a connection that is held.
    pub(crate) fn hold_ports(&mut self, id: ConnectionId, ports: &[PortNo]) {
        let hold = self.nexus.config.hold_floods;
        let Some(connection) = self.nexus.get_mut(id) else { return };
        if !hold && !connection.flooding.chosen {
            return;
        }
        connection.flooding.chosen = true;
        for port in ports.iter().filter(|port| **port < PortNo::MAX) {
            let Some(connection) = self.nexus.get_mut(id) else { return };
            connection.flooding.closed.insert(*port);
            // A connection that takes no more is about to go down.
            let _ = self.tell_flood(id, *port, false);
        }
    }

    /// The actions that flood, for a packet-out or a flow entry; none where no port is open. Entries that flood by a list of
    /// ports grow stale: [`FloodChanged`] tells.
    #[must_use]
    pub fn flood_actions(&self, to: impl Into<To>) -> Vec<Action> {
        let Some(connection) = self.connection(to) else { return Vec::new() };
        let open = |connection: &super::Connection| {
            connection.live_ports().any(|port| connection.floods(port.number))
        };
        match connection.version() {
            // FLOOD leaves out ports with the NO_FLOOD bit (1.0, section 3.3).
            Version::V10 if open(connection) || !connection.flooding.chosen => vec![output(PortNo::FLOOD)],
            Version::V10 => Vec::new(),
            // FLOOD is optional in 1.3, and there is no such bit (1.3.5, section 4.5).
            Version::V13 if !connection.flooding.chosen => vec![output(PortNo::ALL)],
            Version::V13 => {
                let open = connection.live_ports().filter(|port| connection.floods(port.number));
                open.map(|port| output(port.number)).collect()
            }
        }
    }

    /// Floods the packet of a packet-in: to every open port but the one it came in by. `false` where no port is open; the packet
    /// is dropped then.
    ///
    /// # Errors
    /// As [`Core::packet_out`].
    pub fn flood(&mut self, event: &PacketIn) -> Result<bool, SendError> {
        let actions = self.flood_actions(event.connection);
        if actions.is_empty() {
            self.drop_packet(event)?;
            return Ok(false);
        }
        self.packet_out(event, actions)?;
        Ok(true)
    }

    /// Floods a packet of the controller's own from a switch, as if it had come in by that port ([`PortNo::CONTROLLER`] for none).
    ///
    /// # Errors
    /// As [`Core::send`].
    pub fn flood_packet(
        &mut self,
        to: impl Into<To>,
        in_port: PortNo,
        packet: impl Into<Vec<u8>>,
    ) -> Result<bool, SendError> {
        let id = self.resolve(to)?;
        let actions = self.flood_actions(id);
        if actions.is_empty() {
            return Ok(false);
        }
        self.inject(id, in_port, actions, packet)?;
        Ok(true)
    }
}
