//! The instances of a shift: made before a range moves, and ended where nothing goes to them any more.

use std::thread::sleep;
use std::time::Instant;

use super::record::{Leaving, SiteRecord};
use super::scaling::DRAINED;
use super::{LiveError, Manager, Site};
use crate::deploy::{Moving, Placed, gates};
use crate::policy::Kind;
use crate::scale::Next;

impl Manager {
    /// What must be there before a range moves: the target, joined to its data plane. One that nothing goes to yet is made anew,
    /// since who began it may have died half-way. Where it cannot be, there is no shift.
    pub(super) fn prepare(&mut self, place: usize, moving: &Moving) -> Result<(), LiveError> {
        let deployed = &self.record.deployed;
        let begun = deployed.instances.get(&moving.source).is_some_and(|source| source.detour.is_some());
        let empty = deployed.parts_of(moving.target).next().is_none();
        let new = deployed.instances.get(&moving.target).filter(|_| !begun && empty).cloned();
        self.tell()?;
        if let Some(placed) = new {
            match self.make(moving.target, &placed) {
                // A site that is gone is seen to be when it is asked.
                Err(error) if error.is_refusal() || matches!(error, LiveError::Ended { .. }) => {
                    let name = self.record.deployed.name(&self.policy, moving.target);
                    let _ = self.unmake(moving.target, &placed, &name);
                    self.record.deployed.instances.remove(&moving.target);
                    self.forget(place)?;
                    self.tell()?;
                    return Err(error);
                }
                _ => {}
            }
        }
        let running = &mut self.shifts[place];
        (running.prepared, running.began, running.changed) = (true, Instant::now(), Instant::now());
        Ok(())
    }

    /// Makes an instance, whatever there is of it.
    fn make(&mut self, id: u32, placed: &Placed) -> Result<(), LiveError> {
        let function = self.policy.functions[placed.function].clone();
        let gates = gates(&self.policy, placed.function);
        match function.kind {
            Kind::Native => {
                let site = self.site(placed.site)?;
                site.remove_function(id, placed)?;
                site.add_function(id, &function, placed, gates)?;
            }
            Kind::Legacy => {
                self.site(placed.site)?;
                let mut site = Site::connect(&self.record.sites[placed.site])?;
                self.building().add_legacy(&mut site, id, placed)?;
            }
        }
        self.site(placed.site)?.resume()
    }

    /// Ends an instance, as far as it is there. `name` is what it was called.
    fn unmake(&mut self, id: u32, placed: &Placed, name: &str) -> Result<(), LiveError> {
        match self.policy.functions[placed.function].kind {
            Kind::Native => {
                self.ask(placed.site, |site| site.remove_function(id, placed));
                Ok(())
            }
            Kind::Legacy => self.building().remove_legacy(id, placed, name),
        }
    }

    /// Whether an instance is there: one whose site has died is not. None where that cannot be said.
    pub(super) fn lives(&mut self, instance: u32) -> Option<bool> {
        let site = self.site_of(instance);
        if !self.record.sites.get(site).is_some_and(SiteRecord::is_alive) {
            return Some(false);
        }
        let placed = self.record.deployed.instances.get(&instance);
        if placed.is_some_and(|placed| self.policy.functions[placed.function].kind == Kind::Legacy) {
            let held = self.record.held.iter().find(|held| held.instance == instance);
            return Some(held.is_some_and(|held| held.process.is_alive()));
        }
        self.ask(site, |client| client.has_function(instance))
    }

    /// Ends the instance that nothing goes to any more, if there is one.
    pub(super) fn finish(&mut self, place: usize, moving: &Moving, over: &Next) -> Result<(), LiveError> {
        let gone = match over {
            Next::Moved => (!moving.split).then_some(moving.source),
            Next::Back => Some(moving.target),
            Next::TakenOver => Some(moving.source),
            Next::Lost => moving.lost(&mut self.record.deployed),
            _ => None,
        };
        let name = gone.map(|id| self.record.deployed.name(&self.policy, id)).unwrap_or_default();
        let removed = gone.and_then(|id| Some((id, self.record.deployed.instances.remove(&id)?)));
        self.record.leaving.extend(removed.map(|(instance, placed)| Leaving { instance, name, placed }));
        self.forget(place)?;
        self.tell()?;
        self.end_leaving()
    }

    /// Ends instances that nothing goes to any more, once what was on its way has arrived.
    pub(super) fn end_leaving(&mut self) -> Result<(), LiveError> {
        if self.record.leaving.is_empty() {
            return Ok(());
        }
        sleep(DRAINED);
        for Leaving { instance, name, placed } in self.record.leaving.clone() {
            self.unmake(instance, &placed, &name)?;
        }
        self.record.leaving.clear();
        self.store.save(&self.record)
    }
}
