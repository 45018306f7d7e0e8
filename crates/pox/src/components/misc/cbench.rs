//! Answers each packet-in at once, as `cbench` and `weft openflow bench` want it: to measure what the controller costs by itself.
//!
//! Nothing is learned; compare with `forwarding.l2_learning`, which does the work.
//!
//! | option | meaning |
//! |---|---|
//! | `--answer=flow` | with a flow to port 1 for exactly that packet; this is what it does without the option |
//! | `--answer=packet` | with a packet-out without actions |
//!
//! Launch: `weft pox misc.cbench`

use openflow::port::PortNo;

use crate::{Component, Core, Flow, OPENFLOW, Options, OptionsError, PacketIn, Result};

/// Answers.
#[derive(Debug)]
pub struct Cbench {
    flow: bool,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    let flow = match options.text("answer")?.as_deref() {
        None | Some("flow") => true,
        Some("packet") => false,
        Some(other) => return Err(options.wrong("answer", other, "flow or packet")),
    };
    Ok(Box::new(Cbench { flow }))
}

impl Component for Cbench {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, |this: &mut Self, event: &PacketIn, core: &mut Core| {
            if this.flow {
                let flow = Flow::add(event.exact_match()).buffer(event.buffer_id()).output(PortNo(1));
                core.send(event.connection, flow).map(|_| ())
            } else {
                core.packet_out(event, []).map(|_| ())
            }
        });
        Ok(())
    }
}
