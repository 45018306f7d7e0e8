//! What keeps floods on a tree, whichever tree that is: what must be closed is closed first, and only when the switches have
//! confirmed that, what may be open is opened. `openflow.spanning_tree` and `openflow.spanning_forest` are this, each with a
//! [`Shape`] of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::discovery::{Discovery, Link, LinkEvent};
use super::flood_ports::{FloodPorts, Place, Seen, network};
use crate::{
    Component, ConnectionDown, ConnectionId, ConnectionUp, Core, Dpid, Listen, OPENFLOW, PortNo, PortStatus,
    Result, debug, info,
};

/// The component whose links it uses.
const DISCOVERY: &str = "openflow.discovery";
/// The components that are this: one of them at a time.
const KEEPERS: [&str; 2] = ["openflow.spanning_forest", "openflow.spanning_tree"];
/// Listens before the components that forward.
const PRIORITY: i32 = 1 << 15;
/// How long confirmations are waited for; a switch that gives none so long is as good as gone.
const CONFIRM: Duration = Duration::from_secs(1);

/// Which tree: which links of a network floods follow.
pub trait Shape: fmt::Debug + 'static {
    /// The ports of the links floods follow, among those links and these switches: one tree for each part that hangs together,
    /// which reaches all of that part.
    fn tree(&mut self, switches: &BTreeSet<Dpid>, links: &[Link]) -> BTreeSet<Place>;
}

/// Keeps floods on a tree.
#[derive(Debug)]
pub struct FloodTree<S> {
    shape: S,
    ports: FloodPorts,
    /// A new tree is about to be made.
    planned: bool,
    /// Switches that have not confirmed yet; which round of confirmations this is.
    unconfirmed: BTreeSet<ConnectionId>,
    round: u64,
}

impl<S: Shape> Component for FloodTree<S> {
    fn start(&mut self, core: &mut Core) -> Result {
        let me = core.me();
        if let Some(other) = KEEPERS.into_iter().find(|name| **name != *me && core.has(name)) {
            return Err(format!("{other} keeps the floods already: launch one of them").into());
        }
        core.hold_floods(true);
        core.listen_with(OPENFLOW, Listen::priority(PRIORITY), Self::connection_up);
        core.listen_with(OPENFLOW, Listen::priority(PRIORITY), Self::connection_down);
        core.listen_with(OPENFLOW, Listen::priority(PRIORITY), Self::port_status);
        core.listen(DISCOVERY, |this: &mut Self, _: &LinkEvent, core: &mut Core| this.plan(core));
        core.call_when_ready([DISCOVERY], |this: &mut Self, core: &mut Core| {
            this.hold(core);
            this.plan(core);
        });
        Ok(())
    }
}

impl<S: Shape> FloodTree<S> {
    /// Ports are held down for so long; without a time, for a quarter of discovery's cycle.
    pub(crate) fn new(shape: S, hold_down: Option<Duration>) -> Self {
        Self {
            shape,
            ports: FloodPorts::new(hold_down),
            planned: false,
            unconfirmed: BTreeSet::new(),
            round: 0,
        }
    }

    /// Whether the tree's links leave by a port.
    #[must_use]
    pub fn is_tree_port(&self, datapath: Dpid, port: PortNo) -> bool {
        self.ports.is_tree_port((datapath, port))
    }

    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) {
        let Some(connection) = core.connection(event.connection) else { return };
        self.ports.connected(connection, core.now());
        self.hold(core);
        self.plan(core);
    }

    fn connection_down(&mut self, event: &ConnectionDown, core: &mut Core) {
        self.ports.disconnected(event.datapath);
        self.confirmed(event.connection, core);
        self.plan(core);
    }

    fn port_status(&mut self, event: &PortStatus, core: &mut Core) -> Result {
        if self.ports.port_status(event, core.now()) == Seen::New {
            core.set_flood(event.connection, event.port.number, false)?;
            self.hold(core);
        }
        self.plan(core);
        Ok(())
    }

    /// Looks again once the ports that are held down now are not any more.
    fn hold(&self, core: &mut Core) {
        let Some(discovery) = core.get::<Discovery>(DISCOVERY) else { return };
        core.after(self.ports.hold_down(discovery), Self::plan);
    }

    /// Makes the tree anew, once all that happens at this moment has happened.
    fn plan(&mut self, core: &mut Core) {
        if !std::mem::replace(&mut self.planned, true) {
            core.after(Duration::ZERO, Self::close);
        }
    }

    /// The ports that are not as they should be: connection, port, whether to open it.
    fn changes(&self, core: &Core) -> Vec<(ConnectionId, PortNo, bool)> {
        let Some(discovery) = core.get::<Discovery>(DISCOVERY) else { return Vec::new() };
        let mut changes = Vec::new();
        for connection in core.connections() {
            for port in connection.physical_ports() {
                let wanted = self.ports.are_open((connection.datapath(), port.number), discovery, core.now());
                if connection.floods(port.number) != wanted {
                    changes.push((connection.id(), port.number, wanted));
                }
            }
        }
        changes
    }

    /// First, closes what must not be open; opens nothing before that is confirmed.
    fn close(&mut self, core: &mut Core) {
        self.planned = false;
        let Some(discovery) = core.get::<Discovery>(DISCOVERY) else { return };
        let (switches, links) = network(core, discovery);
        let tree = self.shape.tree(&switches, &links);
        self.ports.set_tree(tree, discovery);
        let closing: Vec<_> = self.changes(core).into_iter().filter(|(.., open)| !open).collect();
        self.round += 1;
        for &(connection, port, _) in &closing {
            // A switch that is gone floods no more.
            if core.set_flood(connection, port, false).is_ok() {
                self.unconfirmed.insert(connection);
            }
        }
        if !closing.is_empty() {
            info!(core, "{} ports are closed", closing.len());
        }
        let touched: BTreeSet<ConnectionId> = closing.iter().map(|(connection, ..)| *connection).collect();
        for connection in touched {
            let done =
                move |this: &mut Self, _: std::result::Result<(), crate::RequestError>, core: &mut Core| {
                    this.confirmed(connection, core);
                };
            if core.barrier(connection, done).is_err() {
                self.unconfirmed.remove(&connection);
            }
        }
        if self.unconfirmed.is_empty() {
            self.open(core);
        } else {
            let round = self.round;
            core.after(CONFIRM, move |this: &mut Self, core: &mut Core| {
                if this.round == round && !this.unconfirmed.is_empty() {
                    this.unconfirmed.clear();
                    this.open(core);
                }
            });
        }
    }

    fn confirmed(&mut self, connection: ConnectionId, core: &mut Core) {
        if self.unconfirmed.remove(&connection) && self.unconfirmed.is_empty() && !self.planned {
            self.open(core);
        }
    }

    /// Then, opens what may be open.
    fn open(&mut self, core: &mut Core) {
        let opening: Vec<_> = self.changes(core).into_iter().filter(|(.., open)| *open).collect();
        for (connection, port, _) in opening.iter().copied() {
            debug!(core, "{connection} floods to port {}", port.0);
            // A switch that is gone floods nothing.
            let _ = core.set_flood(connection, port, true);
        }
        if !opening.is_empty() {
            info!(core, "{} ports are opened", opening.len());
        }
    }
}
