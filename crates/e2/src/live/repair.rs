//! What has died is started again: a site's process, with its wires and all its instances, or one instance.

use std::collections::BTreeMap;
use std::process::Child;

use super::building::{Building, trunk_name};
use super::record::SiteRecord;
use super::{LiveError, Manager, Site};
use crate::deploy::{gates, site_name};
use crate::policy::Kind;

/// What can die.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mortal {
    /// A site's process, the switch's first.
    Site(usize),
    /// An instance: a legacy one with its namespace, or a native one that its site does not have any more.
    Instance(u32),
}

impl Manager {
    /// What has died and can be started again. While an instance of a site has a part in a shift, that comes to its end first: the
    /// other one gets all.
    pub(super) fn dead(&self) -> Vec<Mortal> {
        let shifts = |site: usize| {
            let mut here = self.record.deployed.instances.iter().filter(|(_, placed)| placed.site == site);
            here.any(|(id, _)| self.is_busy(*id))
        };
        let sites = self.record.sites.iter().enumerate();
        let sites = sites.filter(|(site, record)| !record.is_alive() && !shifts(*site));
        let held = self.record.held.iter().filter(|held| !held.process.is_alive());
        let lone = held.filter(|held| !self.is_busy(held.instance)).filter(|held| {
            let placed = self.record.deployed.instances.get(&held.instance);
            placed.is_some_and(|placed| self.record.sites[placed.site].is_alive())
        });
        let sites = sites.map(|(site, _)| Mortal::Site(site));
        sites.chain(lone.map(|held| Mortal::Instance(held.instance))).collect()
    }

    /// Native instances that their sites do not have any more, though these live. Of one that has a part in a shift that is seen there.
    pub(super) fn missing(&mut self) -> Vec<Mortal> {
        let native = |function: usize| self.policy.functions[function].kind == Kind::Native;
        let all = self.record.deployed.instances.iter();
        let asked = all.filter(|(id, placed)| native(placed.function) && !self.is_busy(**id));
        let asked: Vec<(u32, usize)> = asked.map(|(id, placed)| (*id, placed.site)).collect();
        let mut missing = |(id, site)| {
            let gone = self.ask(site, |client| client.has_function(id)) == Some(false);
            gone.then_some(Mortal::Instance(id))
        };
        asked.into_iter().filter_map(&mut missing).collect()
    }

    /// Whether all sites are there.
    pub(super) fn is_whole(&self) -> bool {
        self.record.sites.iter().all(SiteRecord::is_alive)
    }

    /// Its name, and what is lost with it. `flows` says how many each instance was last known to have.
    pub(super) fn loss(&self, dead: Mortal, flows: &BTreeMap<u32, u64>) -> (String, String) {
        let deployed = &self.record.deployed;
        let (name, instances) = match dead {
            Mortal::Instance(id) => (deployed.name(&self.policy, id), vec![id]),
            Mortal::Site(site) => {
                let here = deployed.instances.iter().filter(|(_, placed)| placed.site == site);
                (site_name(&self.policy, site).to_owned(), here.map(|(id, _)| *id).collect())
            }
        };
        let each = instances.iter().map(|id| {
            let known = flows.get(id).map_or_else(String::new, |count| format!(" ({count} flows)"));
            format!("{}{known}", deployed.name(&self.policy, *id))
        });
        let lost = match instances.is_empty() {
            true => "no instance was there".to_owned(),
            false => format!("lost is the state of {}", each.collect::<Vec<_>>().join(", ")),
        };
        (name, lost)
    }

    /// Starts it again. It is told what is in force now: its hashes are its own as before.
    pub(super) fn revive(&mut self, dead: Mortal) -> Result<(), LiveError> {
        match dead {
            Mortal::Site(site) => self.revive_site(site),
            Mortal::Instance(id) => self.revive_instance(id),
        }
    }

    pub(super) fn building(&mut self) -> Building<'_> {
        let Self { store, program, policy, record, children, .. } = self;
        Building { store, program, policy, record, children }
    }

    fn revive_site(&mut self, site: usize) -> Result<(), LiveError> {
        self.reconnect(site);
        let programs = self.record.deployed.programs(&self.scheme);
        let switch = self.record.sites.first().is_some_and(SiteRecord::is_alive);
        let mut building = self.building();
        let started = building.start_site(site)?;
        building.served(site, started)?;
        if let Some(server) = site.checked_sub(1) {
            building.trunk(server)?;
        }
        building.tell(site, &programs[site])?;
        if let Some(server) = site.checked_sub(1).filter(|_| switch) {
            // Its end of the wire that was there is of no use any more.
            let mut client = Site::connect(&building.record.sites[0])?;
            client.remove_port(&trunk_name(building.record.deployed.seed, server))?;
            building.trunk_port(server, &mut client)?;
            client.resume()?;
        }
        building.finish(site)
    }

    fn revive_instance(&mut self, id: u32) -> Result<(), LiveError> {
        let Some(placed) = self.record.deployed.instances.get(&id).cloned() else { return Ok(()) };
        let function = &self.policy.functions[placed.function];
        let mut client = Site::connect(&self.record.sites[placed.site])?;
        match function.kind {
            Kind::Native => {
                client.remove_function(id, &placed)?;
                client.add_function(id, function, &placed, gates(&self.policy, placed.function))?;
            }
            Kind::Legacy => self.building().join(&mut client, id, &placed)?,
        }
        client.resume()
    }

    /// Sees what it has started end, so that no process waits for that.
    pub(super) fn reap(&mut self) {
        let runs = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        self.children.retain_mut(runs);
    }
}
