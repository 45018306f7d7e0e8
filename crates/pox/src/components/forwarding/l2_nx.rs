//! A learning switch in two tables: the controller learns, and is asked by nobody else.
//!
//! The first table has an entry for each source that is known at its port; what it does not know comes to the controller as well,
//! and all goes on to the second. That has an entry for each destination, and floods the rest. So a packet comes to the controller
//! when its source is new or has moved, and never for its destination. Switches of 1.0 need Nicira's tables and resubmit, as Open
//! vSwitch has them.
//!
//! | option | meaning |
//! |---|---|
//! | `--idle-timeout=SECONDS` | a source that is silent for so long is forgotten; 60 |
//!
//! Launch: `weft pox forwarding.l2_nx`

use openflow::Version;
use openflow::action::Action;
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::Body;
use openflow::nicira;
use openflow::port::PortNo;

use crate::{
    Component, ConnectionId, ConnectionUp, Core, FloodChanged, Flow, OPENFLOW, Options, OptionsError,
    PacketIn, PortStatus, Result, debug, is_live,
};

/// The table of destinations.
const DESTINATIONS: u8 = 1;
/// Nicira's "as it came in".
const SAME_PORT: u16 = 0xfff8;

/// The switch.
#[derive(Debug)]
pub struct L2Nx {
    idle_timeout: u16,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(L2Nx { idle_timeout: options.take_or("idle-timeout", 60)? }))
}

impl Component for L2Nx {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, |_: &mut Self, event: &ConnectionUp, core: &mut Core| {
            two_tables(event.connection, core)?;
            let learn = on(Flow::add(Match::new()).priority(0).to_controller(), event.connection, core);
            core.send(event.connection, learn)?;
            flood_rest(event.connection, core)
        });
        core.listen(OPENFLOW, |_: &mut Self, event: &FloodChanged, core: &mut Core| {
            flood_rest(event.connection, core)
        });
        core.listen(OPENFLOW, Self::packet_in);
        core.listen(OPENFLOW, |_: &mut Self, event: &PortStatus, core: &mut Core| {
            if !is_live(&event.port) {
                forget_port(event.connection, event.port.number, core)?;
            }
            flood_rest(event.connection, core)
        });
        Ok(())
    }
}

/// Lets a switch of 1.0 be told the table of a flow.
pub(super) fn two_tables(connection: ConnectionId, core: &mut Core) -> Result {
    if core.connection(connection).is_some_and(|connection| connection.version() == Version::V10) {
        core.send(connection, Body::Nicira(nicira::Message::FlowModTableId(true)))?;
    }
    Ok(())
}

/// A flow that goes on to the table of destinations, in the switch's own words.
pub(super) fn on(flow: Flow, connection: ConnectionId, core: &Core) -> Flow {
    match core.connection(connection).map(crate::Connection::version) {
        Some(Version::V13) => flow.instruction(Instruction::GotoTable(DESTINATIONS)),
        _ => flow
            .action(Action::Nicira(nicira::Action::ResubmitTable { port: SAME_PORT, table: DESTINATIONS })),
    }
}

/// What the second table does with destinations it does not know.
pub(super) fn flood_rest(connection: ConnectionId, core: &mut Core) -> Result {
    let actions = core.flood_actions(connection);
    core.send(connection, Flow::add(Match::new()).table(DESTINATIONS).priority(0).actions(actions))?;
    Ok(())
}

/// What is behind a port that is down may be anywhere.
pub(super) fn forget_port(connection: ConnectionId, port: PortNo, core: &mut Core) -> Result {
    core.send(connection, Flow::delete(Match::new().in_port(port)).table(0))?;
    core.send(connection, Flow::delete(Match::new()).table(DESTINATIONS).out_port(port))?;
    Ok(())
}

impl L2Nx {
    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        let source = event.source();
        if !source.is_unicast() {
            return Ok(core.drop_packet(event)?);
        }
        debug!(core, "{source} is at port {} of {}", event.in_port.0, event.datapath);
        // Where it was before ends with its flow there; where it is now comes first.
        let there = Flow::add(Match::new().eth_dst(source)).table(DESTINATIONS).output(event.in_port);
        core.send(event.connection, there)?;
        core.send(event.connection, Flow::delete(Match::new().eth_src(source)).table(0))?;
        let known =
            Flow::add(Match::new().in_port(event.in_port).eth_src(source)).idle_timeout(self.idle_timeout);
        let known = on(known, event.connection, core);
        core.send(event.connection, known)?;
        core.drop_packet(event)?; // the table it came from has sent it on
        Ok(())
    }
}
