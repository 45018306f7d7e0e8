//! Keeps stations out by their hardware address.
//!
//! What they send is dropped by a flow before all others, on every switch; what is sent to them too. Other components block and
//! unblock while traffic flows: `MacBlocker::block`, `MacBlocker::unblock`.
//!
//! | option | meaning |
//! |---|---|
//! | `--block=MAC,…` | blocked from the start |
//!
//! Launch: `weft pox misc.mac_blocker --block=02:00:00:00:00:07 forwarding.l2_learning`

use std::collections::BTreeSet;

use openflow::matching::Match;
use packet::wire::MacAddr;

use crate::{Component, ConnectionUp, Core, Dpid, Flow, OPENFLOW, Options, OptionsError, Result, info};

/// Stations blocked at one time.
pub const BLOCKED_MAX: usize = 1 << 12;
/// Priority of the flows that drop.
pub const PRIORITY: u16 = 0xfff0;

/// Blocks stations.
#[derive(Debug)]
pub struct MacBlocker {
    blocked: BTreeSet<MacAddr>,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    let blocked: BTreeSet<MacAddr> = options.list("block")?.into_iter().collect();
    if blocked.len() > BLOCKED_MAX {
        return Err(options.conflict(format!("more than {BLOCKED_MAX} stations to block")));
    }
    Ok(Box::new(MacBlocker { blocked }))
}

/// What a station sends, and what is sent to it.
fn matches(mac: MacAddr) -> [Match; 2] {
    [Match::new().eth_src(mac), Match::new().eth_dst(mac)]
}

/// Cuts a station off. The flows it has go: in 1.0 one without wildcards comes before all others, whatever their priority.
fn cut(mac: MacAddr) -> impl Iterator<Item = Flow> {
    let flows = |matching: Match| [Flow::delete(matching.clone()), Flow::add(matching).priority(PRIORITY)];
    matches(mac).into_iter().flat_map(flows)
}

impl Component for MacBlocker {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionUp, core: &mut Core| {
            for flow in this.blocked.iter().flat_map(|mac| cut(*mac)) {
                core.send(event.connection, flow)?;
            }
            Ok::<(), crate::SendError>(())
        });
        Ok(())
    }
}

impl MacBlocker {
    /// The stations that are blocked.
    pub fn blocked(&self) -> impl Iterator<Item = MacAddr> {
        self.blocked.iter().copied()
    }

    /// Blocks a station; `false` where it is blocked already, or [`BLOCKED_MAX`] are.
    pub fn block(&mut self, mac: MacAddr, core: &mut Core) -> bool {
        let new = self.blocked.len() < BLOCKED_MAX && self.blocked.insert(mac);
        if new {
            info!(core, "{mac} is blocked");
            tell(core, &cut(mac).collect::<Vec<_>>());
        }
        new
    }

    /// Lets a station in again; `false` where it is not blocked.
    pub fn unblock(&mut self, mac: MacAddr, core: &mut Core) -> bool {
        let known = self.blocked.remove(&mac);
        if known {
            info!(core, "{mac} is let in again");
            let flow = |matching| Flow::delete_strict(matching).priority(PRIORITY);
            tell(core, &matches(mac).map(flow));
        }
        known
    }
}

fn tell(core: &mut Core, flows: &[Flow]) {
    let switches: Vec<Dpid> = core.connections().map(crate::Connection::datapath).collect();
    for switch in switches {
        for flow in flows {
            // A switch that goes away now is told when it comes back.
            let _ = core.send(switch, flow.clone());
        }
    }
}
