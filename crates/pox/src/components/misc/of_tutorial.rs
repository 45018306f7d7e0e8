//! What the OpenFlow tutorial starts from: a hub, to be made a learning switch.
//!
//! Copy this file to begin a component of your own. As it is, every packet comes to the controller and is flooded; the second
//! half of the tutorial's exercise is here too.
//!
//! | option | meaning |
//! |---|---|
//! | `--act-like=hub` | floods every packet; this is what it does without the option |
//! | `--act-like=switch` | learns which address is behind which port, and installs a flow for what it knows |
//!
//! Launch: `weft pox misc.of_tutorial`, `weft pox misc.of_tutorial --act-like=switch`

use std::collections::HashMap;

use openflow::port::PortNo;
use packet::wire::MacAddr;

use crate::{Component, ConnectionId, Core, Flow, OPENFLOW, Options, OptionsError, PacketIn, Result, debug};

/// Addresses remembered, of all switches.
const ADDRESSES_MAX: usize = 1 << 16;

/// The tutorial's switch.
#[derive(Debug, Default)]
pub struct Tutorial {
    /// Which it acts like.
    learns: bool,
    /// On which switch an address is behind which port.
    ports: HashMap<(ConnectionId, MacAddr), PortNo>,
}

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    let learns = match options.text("act-like")?.as_deref() {
        None | Some("hub") => false,
        Some("switch") => true,
        Some(other) => return Err(options.wrong("act-like", other, "hub or switch")),
    };
    Ok(Box::new(Tutorial { learns, ..Tutorial::default() }))
}

impl Component for Tutorial {
    fn start(&mut self, core: &mut Core) -> Result {
        // From now on `packet_in` is called with every packet that a switch sends.
        core.listen(OPENFLOW, Self::packet_in);
        Ok(())
    }
}

impl Tutorial {
    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        if self.learns { self.act_like_switch(event, core) } else { self.act_like_hub(event, core) }
    }

    fn act_like_hub(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        core.flood(event)?;
        Ok(())
    }

    fn act_like_switch(&mut self, event: &PacketIn, core: &mut Core) -> Result {
        // Learn the port of whoever sent it.
        if self.ports.len() < ADDRESSES_MAX {
            self.ports.insert((event.connection, event.source()), event.in_port);
        }
        match self.ports.get(&(event.connection, event.destination())) {
            // A flow for this and all packets like it; the present one goes the same way.
            Some(&port) => {
                debug!(core, "{} is behind port {} of {}", event.destination(), port.0, event.datapath);
                core.install_for(event, Flow::add(event.exact_match()).idle_timeout(10).output(port))?;
            }
            None => {
                core.flood(event)?;
            }
        }
        Ok(())
    }
}
