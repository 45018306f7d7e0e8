//! `forwarding.l2_pairs` for a slice of a network with loops, in which ports cannot be told not to flood.
//!
//! FlowVisor and its like give a controller some of the ports of shared switches, but not the ports' configuration, by which
//! `openflow.spanning_tree` closes them. So nothing is ever flooded here: a packet for everybody, or for nobody known, goes to a
//! list of ports, those of a tree of the links that `openflow.discovery` finds and those with no other switch behind them.
//! What comes in by any other port is dropped. A port is a host's when no switch has been found behind it for the hold-down;
//! until it is known what it is nothing goes there, so no packet loops, from the first one on.
//!
//! All traffic from one address to another is one flow of a switch, which stays. When links come or go, all that was learned is
//! learned anew. It does not touch the ports that other components flood to, and obeys no spanning tree but its own.
//!
//! | option | meaning |
//! |---|---|
//! | `--hold-down=SECONDS` | how long a port must be without another switch to be a host's; 1 |
//!
//! Launch: `weft pox forwarding.l2_flowvisor openflow.discovery`

use std::time::Duration;

use openflow::action::Action;
use packet::wire::EtherType;

use super::addresses::is_bridge_filtered;
use super::pairs::Pairs;
use crate::components::openflow::discovery::{Discovery, LinkEvent};
use crate::components::openflow::flood_ports::{FloodPorts, least_hops, network};
use crate::{
    Component, ConnectionDown, ConnectionUp, Core, Dpid, FLOOD_SETTLE, OPENFLOW, Options, OptionsError,
    PacketIn, PortNo, PortStatus, Result, output,
};

/// The component whose links it uses.
const DISCOVERY: &str = "openflow.discovery";

/// The switch of pairs, on a tree of its own.
#[derive(Debug)]
pub struct L2FlowVisor {
    ports: FloodPorts,
    pairs: Pairs,
    /// A new tree is about to be made.
    planned: bool,
    /// How often links have changed.
    changes: u64,
}

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    let hold_down = options.seconds("hold-down", Duration::from_secs(1))?;
    Ok(Box::new(L2FlowVisor {
        ports: FloodPorts::new(Some(hold_down)),
        pairs: Pairs::default(),
        planned: false,
        changes: 0,
    }))
}

impl Component for L2FlowVisor {
    fn start(&mut self, core: &mut Core) -> Result {
        core.call_when_ready([DISCOVERY], |this: &mut Self, core: &mut Core| {
            core.listen(OPENFLOW, Self::packet_in);
            this.plan(core);
        });
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionUp, core: &mut Core| {
            let Some(connection) = core.connection(event.connection) else { return };
            this.ports.connected(connection, core.now());
            this.plan(core);
        });
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionDown, core: &mut Core| {
            this.ports.disconnected(event.datapath);
            this.pairs.disconnected(event.connection);
            this.plan(core);
        });
        core.listen(OPENFLOW, |this: &mut Self, event: &PortStatus, core: &mut Core| {
            this.ports.port_status(event, core.now());
            this.pairs.port_status(event, core)
        });
        core.listen(DISCOVERY, |this: &mut Self, _: &LinkEvent, core: &mut Core| this.plan(core));
        Ok(())
    }
}

impl L2FlowVisor {
    /// Whether packets for everybody leave by a port at this time.
    #[must_use]
    pub fn floods(&self, core: &Core, datapath: Dpid, port: PortNo) -> bool {
        let discovery = core.get::<Discovery>(DISCOVERY);
        discovery.is_some_and(|discovery| self.ports.are_open((datapath, port), discovery, core.now()))
    }

    /// Makes the tree anew, once all that happens at this moment has happened.
    fn plan(&mut self, core: &mut Core) {
        if !std::mem::replace(&mut self.planned, true) {
            core.after(Duration::ZERO, Self::make_tree);
        }
    }

    fn make_tree(&mut self, core: &mut Core) -> Result {
        self.planned = false;
        let Some(discovery) = core.get::<Discovery>(DISCOVERY) else { return Ok(()) };
        let (switches, links) = network(core, discovery);
        self.ports.set_tree(least_hops(&switches, &links), discovery);
        self.changes += 1;
        let changes = self.changes;
        // Packets on their old ways may still be under way, and what is learned of them may be wrong.
        core.after(
            FLOOD_SETTLE,
            move |this: &mut Self, core: &mut Core| {
                if this.changes == changes { this.pairs.flush(core) } else { Ok(()) }
            },
        );
        self.pairs.flush(core)
    }

    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        let Some(frame) = event.ethernet() else { return Ok(()) };
        if frame.ethertype() == EtherType::LLDP
            || is_bridge_filtered(frame.destination())
            || !self.floods(core, event.datapath, event.in_port)
        {
            core.drop_packet(event)?;
            return Ok(());
        }
        if self.pairs.packet_in(event, core)? {
            return Ok(());
        }
        let actions = self.everywhere(event, core);
        if actions.is_empty() {
            core.drop_packet(event)?;
        } else {
            core.packet_out(event, actions)?;
        }
        Ok(())
    }

    /// Out of every port that floods may leave by, but the one the packet came in by.
    fn everywhere(&self, event: &PacketIn, core: &Core) -> Vec<Action> {
        let Some(connection) = core.connection(event.connection) else { return Vec::new() };
        let ports = connection.live_ports().map(|port| port.number).filter(|port| *port != event.in_port);
        ports.filter(|port| self.floods(core, event.datapath, *port)).map(output).collect()
    }
}
