//! Keeps a copy of every switch's flow tables.
//!
//! Each switch is asked for its flows when it connects and again and again; flows it tells of having removed are taken out at once.
//! Other components, the shell and the web read the copy: `FlowTables::flows`. A switch's copy is told by `FlowsRead` each time it
//! has been read. Changes that others make show at the next reading.
//!
//! | option | meaning |
//! |---|---|
//! | `--interval=SECONDS` | how often each switch is asked; 5 |
//!
//! Launch: `weft pox openflow.flow_table forwarding.l2_learning`

use std::collections::BTreeMap;
use std::time::Duration;

use openflow::flow::ALL_TABLES;
use openflow::matching::Match;
use openflow::multipart::{FlowRequest, FlowStats, Reply, Request};
use openflow::port::PortNo;

use crate::{
    Component, Connection, ConnectionDown, ConnectionUp, Core, Dpid, Event, FlowRemoved, OPENFLOW, Options,
    OptionsError, Result, debug, warning,
};

/// Flows kept of one switch; of more the first are.
pub const FLOWS_MAX: usize = 1 << 17;
/// Switches are asked no more often than this.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The copies.
#[derive(Debug)]
pub struct FlowTables {
    interval: Duration,
    switches: BTreeMap<Dpid, Copy>,
}

/// What a switch said last.
#[derive(Debug, Default)]
struct Copy {
    flows: Vec<FlowStats>,
    read: Option<Duration>,
    asked: bool,
}

/// A switch's flows were read. Raised by `openflow.flow_table`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowsRead {
    /// The switch.
    pub datapath: Dpid,
    /// How many there are.
    pub flows: usize,
}

impl Event for FlowsRead {}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    let interval = options.seconds("interval", Duration::from_secs(5))?;
    if interval < INTERVAL_MIN {
        return Err(options.conflict("an interval of less than 100 ms would drown the switches"));
    }
    Ok(Box::new(FlowTables { interval, switches: BTreeMap::new() }))
}

impl Component for FlowTables {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionUp, core: &mut Core| {
            this.switches.insert(event.datapath, Copy::default());
            this.ask(event.datapath, core);
        });
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionDown, _: &mut Core| {
            this.switches.remove(&event.datapath);
        });
        core.listen(OPENFLOW, Self::flow_removed);
        core.every(self.interval, |this: &mut Self, core: &mut Core| {
            let switches: Vec<Dpid> = core.connections().map(Connection::datapath).collect();
            for switch in switches {
                this.ask(switch, core);
            }
        });
        Ok(())
    }
}

impl FlowTables {
    /// A switch's flows, and when they were read. `None` for a switch that has not told them yet.
    #[must_use]
    pub fn flows(&self, switch: Dpid) -> Option<(&[FlowStats], Duration)> {
        let copy = self.switches.get(&switch)?;
        Some((&copy.flows, copy.read?))
    }

    /// Asks, unless an answer is still due.
    fn ask(&mut self, switch: Dpid, core: &mut Core) {
        let copy = self.switches.entry(switch).or_default();
        if copy.asked {
            return;
        }
        let request = FlowRequest {
            table: ALL_TABLES,
            out_port: PortNo::ANY,
            out_group: openflow::group::ANY,
            cookie: 0,
            cookie_mask: 0,
            matching: Match::new(),
        };
        let asked = core.statistics(switch, Request::Flow(request), move |this: &mut Self, answer, core| {
            this.answered(switch, answer, core);
        });
        match asked {
            Ok(_) => copy.asked = true,
            Err(problem) => debug!(core, "{switch} was not asked: {problem}"),
        }
    }

    fn answered(
        &mut self,
        switch: Dpid,
        answer: std::result::Result<Reply, crate::RequestError>,
        core: &mut Core,
    ) {
        let Some(copy) = self.switches.get_mut(&switch) else { return };
        copy.asked = false;
        match answer {
            Ok(Reply::Flow(mut flows)) => {
                if flows.len() > FLOWS_MAX {
                    warning!(core, "{switch} has {} flows: {FLOWS_MAX} are kept", flows.len());
                    flows.truncate(FLOWS_MAX);
                }
                copy.flows = flows;
                copy.read = Some(core.now());
                core.raise(FlowsRead { datapath: switch, flows: copy.flows.len() });
            }
            Ok(other) => warning!(core, "{switch} answers for its flows with {other:?}"),
            Err(problem) => debug!(core, "{switch} does not tell its flows: {problem}"),
        }
    }

    fn flow_removed(&mut self, event: &FlowRemoved, _: &mut Core) {
        let Some(copy) = self.switches.get_mut(&event.datapath) else { return };
        let gone = &event.flow;
        copy.flows.retain(|flow| {
            flow.priority != gone.priority
                || flow.table != gone.table
                || !flow.matching.is_same(&gone.matching)
        });
    }
}
