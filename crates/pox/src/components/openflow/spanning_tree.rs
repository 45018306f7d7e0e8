//! Keeps floods from going round in circles: they follow a tree of the links that `openflow.discovery` finds.
//!
//! From the moment a switch connects it floods to none of its ports. A port whose link is part of the tree is opened at once; one
//! behind which no switch is found within the hold-down is taken for a host's, and opened too; the others stay closed. When
//! links come or go the tree is made anew: what is to be closed is closed first, and only when the switches have confirmed that,
//! what is to be opened is opened. So no packet loops, from the first one on.
//!
//! Components that flood through the controller obey it, on switches of either version: 1.0 switches are told by the port's
//! `NO_FLOOD` bit, which 1.3 does not have, so there they flood by a list of ports. What is not flooded is not affected.
//!
//! The tree is that of least hops from the switch of the lowest datapath id.
//!
//! | option | meaning |
//! |---|---|
//! | `--hold-down=SECONDS` | how long a port must be without another switch to be a host's; 1 |
//! | `--no-flood` | closes the ports of a switch that connects: so it is always, the option is POX's |
//!
//! Launch: `weft pox openflow.spanning_tree openflow.discovery forwarding.l2_learning`

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::discovery::{Discovery, Link, LinkEvent};
use crate::{
    Component, Connection, ConnectionDown, ConnectionId, ConnectionUp, Core, Dpid, Listen, OPENFLOW, Options,
    OptionsError, PortNo, PortReason, PortStatus, Result, debug, info, is_live,
};

/// The component whose links it uses.
const DISCOVERY: &str = "openflow.discovery";
/// Listens before the components that forward.
const PRIORITY: i32 = 1 << 15;
/// How long confirmations are waited for; a switch that gives none so long is as good as gone.
const CONFIRM: Duration = Duration::from_secs(1);

/// Keeps floods on a tree.
#[derive(Debug)]
pub struct SpanningTree {
    hold_down: Duration,
    /// Since when each port is live.
    since: BTreeMap<(Dpid, PortNo), Duration>,
    /// The present tree: its ports.
    tree: BTreeSet<(Dpid, PortNo)>,
    /// A new tree is about to be made.
    planned: bool,
    /// Switches that have not confirmed yet; which round of confirmations this is.
    unconfirmed: BTreeSet<ConnectionId>,
    round: u64,
}

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    options.flag("no-flood")?;
    Ok(Box::new(SpanningTree {
        hold_down: options.seconds("hold-down", Duration::from_secs(1))?,
        since: BTreeMap::new(),
        tree: BTreeSet::new(),
        planned: false,
        unconfirmed: BTreeSet::new(),
        round: 0,
    }))
}

impl Component for SpanningTree {
    fn start(&mut self, core: &mut Core) -> Result {
        core.hold_floods(true);
        core.listen_with(OPENFLOW, Listen::priority(PRIORITY), Self::connection_up);
        core.listen_with(OPENFLOW, Listen::priority(PRIORITY), Self::connection_down);
        core.listen_with(OPENFLOW, Listen::priority(PRIORITY), Self::port_status);
        core.listen(DISCOVERY, |this: &mut Self, _: &LinkEvent, core: &mut Core| this.plan(core));
        core.call_when_ready([DISCOVERY], |this: &mut Self, core: &mut Core| this.plan(core));
        Ok(())
    }
}

impl SpanningTree {
    /// Whether the tree's links leave by a port.
    #[must_use]
    pub fn is_tree_port(&self, datapath: Dpid, port: PortNo) -> bool {
        self.tree.contains(&(datapath, port))
    }

    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) {
        let Some(connection) = core.connection(event.connection) else { return };
        let now = core.now();
        self.since.extend(connection.live_ports().map(|port| ((event.datapath, port.number), now)));
        self.hold(core);
        self.plan(core);
    }

    fn connection_down(&mut self, event: &ConnectionDown, core: &mut Core) {
        self.since.retain(|(datapath, _), _| *datapath != event.datapath);
        self.confirmed(event.connection, core);
        self.plan(core);
    }

    fn port_status(&mut self, event: &PortStatus, core: &mut Core) -> Result {
        let port = (event.datapath, event.port.number);
        if event.port.number >= PortNo::MAX {
            return Ok(());
        }
        if event.reason == PortReason::Delete || !is_live(&event.port) {
            self.since.remove(&port);
        } else if let Entry::Vacant(since) = self.since.entry(port) {
            // Who knows what is behind it now.
            since.insert(core.now());
            core.set_flood(event.connection, event.port.number, false)?;
            self.hold(core);
        }
        self.plan(core);
        Ok(())
    }

    /// Looks again once the ports that are held down now are not any more.
    fn hold(&self, core: &mut Core) {
        core.after(self.hold_down, Self::plan);
    }

    /// Makes the tree anew, once all that happens at this moment has happened.
    fn plan(&mut self, core: &mut Core) {
        if !std::mem::replace(&mut self.planned, true) {
            core.after(Duration::ZERO, Self::close);
        }
    }

    /// Whether floods should leave by a port.
    fn wanted(&self, port: (Dpid, PortNo), discovery: &Discovery, now: Duration) -> bool {
        let Some(since) = self.since.get(&port) else { return false };
        if discovery.is_edge_port(port.0, port.1) {
            now >= *since + self.hold_down
        } else {
            self.tree.contains(&port)
        }
    }

    /// The ports that are not as they should be: connection, port, whether to open it.
    fn changes(&self, core: &Core) -> Vec<(ConnectionId, PortNo, bool)> {
        let Some(discovery) = core.get::<Discovery>(DISCOVERY) else { return Vec::new() };
        let mut changes = Vec::new();
        for connection in core.connections() {
            for port in connection.physical_ports() {
                let wanted = self.wanted((connection.datapath(), port.number), discovery, core.now());
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
        let switches: BTreeSet<Dpid> = core.connections().map(Connection::datapath).collect();
        self.tree = tree(&switches, discovery.two_way_links());
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

/// The ports of a tree of least hops over links that carry both ways, from the switch of the lowest id; one tree for each part
/// that hangs together.
fn tree(switches: &BTreeSet<Dpid>, links: impl Iterator<Item = Link>) -> BTreeSet<(Dpid, PortNo)> {
    let mut neighbours: BTreeMap<Dpid, Vec<Link>> = BTreeMap::new();
    for link in links.flat_map(|link| [link, link.flipped()]) {
        neighbours.entry(link.from.0).or_default().push(link);
    }
    let (mut seen, mut ports) = (BTreeSet::new(), BTreeSet::new());
    for &root in switches {
        let mut waiting = VecDeque::from([root]);
        if !seen.insert(root) {
            continue;
        }
        while let Some(switch) = waiting.pop_front() {
            let links = neighbours.get(&switch).map(Vec::as_slice).unwrap_or_default();
            // In order, so that the same links always give the same tree.
            let mut links: Vec<&Link> = links.iter().filter(|link| switches.contains(&link.to.0)).collect();
            links.sort_unstable_by_key(|link| (link.to, link.from));
            for link in links {
                if seen.insert(link.to.0) {
                    ports.extend([link.from, link.to]);
                    waiting.push_back(link.to.0);
                }
            }
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(from: (u64, u32), to: (u64, u32)) -> Link {
        Link { from: (Dpid(from.0), PortNo(from.1)), to: (Dpid(to.0), PortNo(to.1)) }
    }

    #[test]
    fn a_ring_and_a_double_link_are_cut_once() {
        let links = [
            link((1, 1), (2, 1)),
            link((1, 2), (3, 1)),
            link((2, 2), (3, 2)),
            link((1, 3), (2, 3)),
            link((7, 1), (8, 1)),
        ];
        let switches = [1, 2, 3, 7, 8].map(Dpid).into();
        let ports: Vec<_> =
            tree(&switches, links.into_iter()).into_iter().map(|(id, port)| (id.0, port.0)).collect();
        assert_eq!(ports, [(1, 1), (1, 2), (2, 1), (3, 1), (7, 1), (8, 1)]);
    }

    #[test]
    fn a_switch_that_is_not_connected_is_not_part_of_it() {
        let links = [link((1, 1), (2, 1)), link((2, 2), (3, 1))];
        let ports = tree(&[1, 3].map(Dpid).into(), links.into_iter());
        assert!(ports.is_empty(), "{ports:?}");
    }
}
