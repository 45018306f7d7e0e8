//! When a router speaks (RFC 2453, §3.10.1).

use std::time::Duration;

use packet::wire::rip::{Entry, INFINITY, PORT};

use super::Rip;
use super::messages::{self, Which};
use super::prefix::Interface;
use crate::compose::Ends;
use crate::{Core, PortNo, Result, SendError, output};

/// Requests answered in a second: an answer may be long.
pub(super) const ANSWERS_PER_TICK_MAX: u32 = 8;

/// Whether routes that have changed are about to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// Nothing has changed, and nothing was told lately.
    Idle,
    /// They are told at once.
    Due,
    /// Some were told just now; what changes waits.
    Resting,
    /// They are told when it has rested.
    Waiting,
}

impl Rip {
    /// All routes are told again and again, never in step with other routers for long.
    pub(super) fn plan_update(&mut self, core: &mut Core) {
        let spread = u64::try_from(self.update.as_nanos() / 3).unwrap_or(u64::MAX);
        let delay = self.update * 5 / 6 + Duration::from_nanos(self.random.below(spread));
        core.after(delay, |this: &mut Self, core: &mut Core| {
            this.plan_update(core);
            this.announce(Which::All, core)
        });
    }

    /// Something has changed.
    pub(super) fn trigger(&mut self, core: &mut Core) {
        match self.trigger {
            Trigger::Idle => {
                self.trigger = Trigger::Due;
                core.after(Duration::ZERO, Self::tell_changes);
            }
            Trigger::Resting => self.trigger = Trigger::Waiting,
            Trigger::Due | Trigger::Waiting => {}
        }
    }

    /// Tells what has changed, unless an update has told it meanwhile, and rests for 1 to 5 s where updates are 30 s apart.
    fn tell_changes(&mut self, core: &mut Core) -> Result {
        self.trigger = Trigger::Resting;
        let spread = u64::try_from(self.update.as_nanos() * 4 / 30).unwrap_or(u64::MAX);
        let rest = self.update / 30 + Duration::from_nanos(self.random.below(spread));
        core.after(rest, |this: &mut Self, core: &mut Core| {
            if this.trigger == Trigger::Waiting {
                return this.tell_changes(core);
            }
            this.trigger = Trigger::Idle;
            Ok(())
        });
        self.announce(Which::Changed, core)
    }

    fn announce(&mut self, which: Which, core: &mut Core) -> Result {
        if self.connection.is_none() {
            return Ok(());
        }
        for at in 0..self.interfaces.len() {
            let interface = &self.interfaces[at];
            let Some(port) = interface.port.filter(|_| !interface.passive) else { continue };
            let ends = messages::to_routers(self.mac, interface.ip);
            let entries = messages::announcement(&self.routes, &self.interfaces, at, which);
            self.send_all(port, ends, PORT, &entries, core)?;
        }
        self.routes.announced();
        Ok(())
    }

    /// Asks the routers at an interface for all they know.
    pub(super) fn ask_for_routes(&mut self, interface: &Interface, core: &mut Core) -> Result {
        let Some(port) = interface.port.filter(|_| !interface.passive) else { return Ok(()) };
        let ends = messages::to_routers(self.mac, interface.ip);
        self.send(port, ends, PORT, &messages::whole_table(), core)?;
        Ok(())
    }

    /// Answers somebody who asks for all routes, or for some.
    pub(super) fn answer(
        &mut self,
        at: usize,
        (ends, to_port): (Ends, u16),
        asked: &[Entry],
        core: &mut Core,
    ) -> Result {
        let Some(port) = self.interfaces[at].port else { return Ok(()) };
        if self.answers == 0 {
            self.counters.unanswered += 1;
            return Ok(());
        }
        self.answers -= 1;
        let entries = match asked {
            [] => return Ok(()),
            [one] if one.family == 0 && one.metric == INFINITY => {
                messages::announcement(&self.routes, &self.interfaces, at, Which::All)
            }
            some => messages::answer(&self.routes, some.iter().copied()),
        };
        self.send_all(port, ends, to_port, &entries, core)
    }

    fn send_all(
        &mut self,
        port: PortNo,
        ends: Ends,
        to_port: u16,
        entries: &[Entry],
        core: &mut Core,
    ) -> Result {
        for payload in messages::responses(entries) {
            self.send(port, ends, to_port, &payload, core)?;
        }
        Ok(())
    }

    fn send(
        &mut self,
        port: PortNo,
        ends: Ends,
        to_port: u16,
        payload: &[u8],
        core: &mut Core,
    ) -> Result<(), SendError> {
        self.counters.sent += 1;
        let frame = messages::frame(ends, to_port, payload);
        core.inject(self.switch, PortNo::CONTROLLER, [output(port)], frame).map(|_| ())
    }
}
