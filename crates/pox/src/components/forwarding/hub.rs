//! Floods every packet: makes hubs of switches.
//!
//! Every switch gets one flow entry that floods whatever comes; no packet comes to the controller. With a spanning tree beside
//! it (`openflow.spanning_tree`) it floods along the tree, and the entry is written anew when the tree changes.
//!
//! | option | meaning |
//! |---|---|
//! | `--reactive` | no entry: every packet comes to the controller, which has it flooded |
//!
//! Launch: `weft pox forwarding.hub`, `weft pox forwarding.hub --reactive`

use openflow::matching::Match;

use crate::{
    Component, ConnectionId, ConnectionUp, Core, FloodChanged, Flow, OPENFLOW, Options, OptionsError,
    PacketIn, Result, debug,
};

/// The hub.
#[derive(Debug, Default)]
pub struct Hub {
    /// Floods packet by packet.
    pub reactive: bool,
}

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(Hub { reactive: options.flag("reactive")? }))
}

impl Component for Hub {
    fn start(&mut self, core: &mut Core) -> Result {
        if self.reactive {
            core.listen(OPENFLOW, |_: &mut Self, event: &PacketIn, core: &mut Core| {
                core.flood(event).map(|_| ())
            });
        } else {
            core.listen(OPENFLOW, |_: &mut Self, event: &ConnectionUp, core: &mut Core| {
                install(event.connection, core)
            });
            core.listen(OPENFLOW, |_: &mut Self, event: &FloodChanged, core: &mut Core| {
                install(event.connection, core)
            });
        }
        Ok(())
    }
}

fn install(connection: ConnectionId, core: &mut Core) -> Result {
    let flow = Flow::add(Match::new()).actions(core.flood_actions(connection));
    debug!(core, "{connection} floods to {} ports", flow.applied().len());
    core.send(connection, flow)?;
    Ok(())
}
