//! A learning switch that learns by itself: the controller sets it up and is not asked again.
//!
//! The first table has one entry, whose `learn` action writes an entry for the source of each packet into the second; then the packet
//! goes on to that one, which floods what it does not know. The switch must have Nicira's `learn`, as Open vSwitch and
//! `weft openflow switch` have.
//!
//! | option | meaning |
//! |---|---|
//! | `--hard-timeout=SECONDS` | an address is learned anew after so long; 10 |
//!
//! Launch: `weft pox forwarding.l2_nx_self_learning`

use openflow::action::Action;
use openflow::matching::Match;
use openflow::nicira::{self, Learn, LearnDestination, LearnSource, LearnSpec};

use super::l2_nx::{flood_rest, on, two_tables};
use crate::{
    Component, ConnectionUp, Core, FloodChanged, Flow, OPENFLOW, Options, OptionsError, PortStatus, Result,
    is_live,
};

/// `NXM_OF_IN_PORT`, `NXM_OF_ETH_DST`, `NXM_OF_ETH_SRC`: class, field and length (nicira-ext.h).
const IN_PORT: u32 = 0x0000_0002;
const ETH_DST: u32 = 0x0000_0206;
const ETH_SRC: u32 = 0x0000_0406;
/// The table that is written.
const LEARNED: u8 = 1;

/// The switch.
#[derive(Debug)]
pub struct SelfLearning {
    hard_timeout: u16,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(SelfLearning { hard_timeout: options.take_or("hard-timeout", 10)? }))
}

impl Component for SelfLearning {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, Self::connection_up);
        core.listen(OPENFLOW, |_: &mut Self, event: &FloodChanged, core: &mut Core| {
            flood_rest(event.connection, core)
        });
        core.listen(OPENFLOW, |_: &mut Self, event: &PortStatus, core: &mut Core| {
            if !is_live(&event.port) {
                core.send(
                    event.connection,
                    Flow::delete(Match::new()).table(LEARNED).out_port(event.port.number),
                )?;
            }
            flood_rest(event.connection, core)
        });
        Ok(())
    }
}

impl SelfLearning {
    fn connection_up(&mut self, event: &ConnectionUp, core: &mut Core) -> Result {
        two_tables(event.connection, core)?;
        let source = |header| LearnSource::Field(header, 0);
        let learn = Learn {
            idle_timeout: 0,
            hard_timeout: self.hard_timeout,
            priority: openflow::flow::DEFAULT_PRIORITY,
            cookie: 0,
            flags: 0,
            table: LEARNED,
            fin_idle_timeout: 0,
            fin_hard_timeout: 0,
            specs: vec![
                LearnSpec {
                    source: source(ETH_SRC),
                    destination: LearnDestination::Match(ETH_DST, 0),
                    bits: 48,
                },
                LearnSpec { source: source(IN_PORT), destination: LearnDestination::Output, bits: 16 },
            ],
        };
        let flow = Flow::add(Match::new()).priority(1).action(Action::Nicira(nicira::Action::Learn(learn)));
        let flow = on(flow, event.connection, core);
        core.send(event.connection, flow)?;
        flood_rest(event.connection, core)
    }
}
