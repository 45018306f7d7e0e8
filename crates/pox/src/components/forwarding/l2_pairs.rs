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

use openflow::port::PortNo;

use super::pairs::Pairs;
use crate::{
    Component, ConnectionDown, Core, FloodChanged, FloodSettled, OPENFLOW, Options, OptionsError, PacketIn,
    PortStatus, Result, output,
};

/// The switch of pairs.
#[derive(Debug, Default)]
pub struct L2Pairs {
    all_ports: bool,
    pairs: Pairs,
    flushing: bool,
}

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(L2Pairs { all_ports: options.flag("disable-flood")?, ..L2Pairs::default() }))
}

impl Component for L2Pairs {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, Self::packet_in);
        core.listen(OPENFLOW, |this: &mut Self, event: &PortStatus, core: &mut Core| {
            this.pairs.port_status(event, core)
        });
        core.listen(OPENFLOW, Self::flood_changed);
        core.listen(OPENFLOW, |this: &mut Self, _: &FloodSettled, core: &mut Core| this.flush(core));
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionDown, _: &mut Core| {
            this.pairs.disconnected(event.connection);
        });
        Ok(())
    }
}

impl L2Pairs {
    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        if event.ethernet().is_none() {
            return Ok(());
        }
        if !core.connection(event.connection).is_some_and(|connection| connection.floods(event.in_port)) {
            // A port off the tree: whatever comes there has come, or will, by another.
            core.drop_packet(event)?;
            return Ok(());
        }
        if self.pairs.packet_in(event, core)? {
            return Ok(());
        }
        if self.all_ports {
            core.packet_out(event, [output(PortNo::ALL)])?;
        } else {
            core.flood(event)?;
        }
        Ok(())
    }

    /// A tree that has changed may lead to any address by another port, on any switch.
    fn flood_changed(&mut self, _: &FloodChanged, core: &mut Core) {
        if !std::mem::replace(&mut self.flushing, true) {
            core.after(Duration::ZERO, Self::flush);
        }
    }

    fn flush(&mut self, core: &mut Core) -> Result {
        self.flushing = false;
        self.pairs.flush(core)
    }
}
