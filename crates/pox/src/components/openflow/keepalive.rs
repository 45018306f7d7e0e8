//! Finds switches that have gone quiet, by asking each to finish what it was told.
//!
//! A switch whose barrier is not answered in time is disconnected; it may connect again. The channel itself sends echo requests
//! too, but those a switch can answer while it does nothing else.
//!
//! | option | meaning |
//! |---|---|
//! | `--interval=SECONDS` | how often; 20 |
//! | `--timeout=SECONDS` | how long an answer may take; 3 |
//!
//! Launch: `weft pox openflow.keepalive --interval=5 forwarding.l2_learning`

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{
    Component, Connection, ConnectionDown, ConnectionId, Core, OPENFLOW, Options, OptionsError, Result,
    TimerId, debug,
};

/// Asks.
#[derive(Debug)]
pub struct Keepalive {
    interval: Duration,
    timeout: Duration,
    /// Who was asked, and the end of its time.
    asked: BTreeMap<ConnectionId, TimerId>,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    let interval = options.seconds("interval", Duration::from_secs(20))?;
    let timeout = options.seconds("timeout", Duration::from_secs(3))?;
    if interval < Duration::from_millis(100) || timeout.is_zero() {
        return Err(options
            .conflict("an interval of less than 100 ms, or no time to answer, would drown the switches"));
    }
    Ok(Box::new(Keepalive { interval, timeout, asked: BTreeMap::new() }))
}

impl Component for Keepalive {
    fn start(&mut self, core: &mut Core) -> Result {
        core.every(self.interval, Self::ask);
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionDown, core: &mut Core| {
            if let Some(timer) = this.asked.remove(&event.connection) {
                core.cancel(timer);
            }
        });
        Ok(())
    }
}

impl Keepalive {
    fn ask(&mut self, core: &mut Core) {
        let connections: Vec<ConnectionId> = core.connections().map(Connection::id).collect();
        for id in connections {
            if self.asked.contains_key(&id) {
                continue; // its time is not over
            }
            let asked = core.barrier(id, move |this: &mut Self, answer, core| {
                if answer.is_ok()
                    && let Some(timer) = this.asked.remove(&id)
                {
                    core.cancel(timer);
                }
            });
            if let Err(problem) = asked {
                debug!(core, "{id} was not asked: {problem}");
                continue;
            }
            let timeout = self.timeout;
            let timer = core.after(timeout, move |this: &mut Self, core: &mut Core| {
                this.asked.remove(&id);
                core.disconnect(id, format!("it did not answer within {} ms", timeout.as_millis()));
            });
            self.asked.insert(id, timer);
        }
    }
}
