//! A function grows or shrinks while packets flow: the protocol of [`crate::scale`], carried out.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::record::{Record, Store};
use super::{LiveError, Site};
use crate::compile::{Plan, plan};
use crate::deploy::{Moving, Scheme, Seen, back, gates, out, server_for, site_name};
use crate::plane::proto::{Flows, FlowsOf, Forget};
use crate::policy::{Kind, Policy};
use crate::scale::{Input, Limits, Next, Output, Shift, Step};

/// How often sites are asked while a range moves.
const EVERY: Duration = Duration::from_millis(20);
/// After what time all has arrived that was sent before a change: queues and wires between sites hold no more.
const DRAINED: Duration = Duration::from_millis(250);
/// Keys told to be forgotten in one call.
const FORGET_MAX: usize = 4096;

/// What is wanted of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One instance more.
    Out,
    /// One less.
    In,
}

/// What a shift says on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It begins, or is taken over from a manager that died.
    Begins {
        /// Who has the range.
        source: String,
        /// Who gets it.
        target: String,
        /// Which.
        range: String,
    },
    /// A step was carried out.
    Did(Step),
    /// New flows of the range go to the target, and no packet takes a detour but those of old flows beyond the table.
    Converged {
        /// Since it began, in ns.
        after_ns: u64,
        /// Flows that stay where they are.
        old: usize,
    },
    /// It is over.
    Ended(Next),
}

/// Who scales.
pub struct Manager {
    store: Store,
    record: Record,
    policy: Policy,
    plan: Plan,
    scheme: Scheme,
    limits: Limits,
    sites: BTreeMap<usize, Site>,
    changed: Instant,
}

impl Manager {
    /// Takes over a cluster: whoever did so before is not heard any more.
    ///
    /// # Errors
    /// It does not run, or its policy cannot be read.
    pub fn take_over(store: &Store, name: &str, limits: Limits) -> Result<Self, LiveError> {
        let mut record = store.known(name)?;
        let policy = Policy::read(&record.policy).map_err(LiveError::Policy)?;
        let plan = plan(&policy).map_err(LiveError::Policy)?;
        let scheme = Scheme::of_plan(&policy, &plan)?;
        record.deployed.epoch += 1;
        store.save(&record)?;
        let (store, sites, changed) = (store.clone(), BTreeMap::new(), Instant::now());
        let mut manager = Self { store, record, policy, plan, scheme, limits, sites, changed };
        // What runs is what is written: a step that was written and not carried out is carried out now.
        manager.tell()?;
        Ok(manager)
    }

    /// Goes on with what another manager began; `false` where there is nothing.
    ///
    /// # Errors
    /// A site does not do what it is told.
    pub fn go_on(&mut self, said: &mut dyn FnMut(Event)) -> Result<bool, LiveError> {
        let Some(moving) = self.record.moving else { return Ok(false) };
        self.shift(moving, said)?;
        Ok(true)
    }

    /// Gives a function one instance more, or one less.
    ///
    /// # Errors
    /// It cannot have one, or a site does not do what it is told.
    pub fn scale(&mut self, function: &str, way: Way, said: &mut dyn FnMut(Event)) -> Result<(), LiveError> {
        self.go_on(said)?;
        let place = self.policy.functions.iter().position(|known| known.name == function);
        let place =
            place.ok_or_else(|| self.cannot(function, "there is no function of that name".to_owned()))?;
        let own = &self.policy.functions[place];
        let key = self.plan.igraph.keys[place];
        let reason = match own.kind {
            Kind::Legacy => Some("it is a legacy function, and these do not grow while they run yet"),
            Kind::Native if !own.scalable => Some("it is not scalable"),
            Kind::Native if own.rewrites.has_any(key) => {
                Some("it changes the fields that it is shared out by")
            }
            Kind::Native => None,
        };
        if let Some(reason) = reason {
            return Err(self.cannot(function, reason.to_owned()));
        }
        let moving = match way {
            Way::Out => self.add(place)?,
            Way::In => back(&self.record.deployed, place)
                .ok_or_else(|| self.cannot(function, "it has one instance".to_owned()))?,
        };
        self.shift(moving, said)
    }

    fn cannot(&self, function: &str, reason: String) -> LiveError {
        LiveError::Scale { function: function.to_owned(), reason }
    }

    /// Starts another instance, without hashes.
    fn add(&mut self, function: usize) -> Result<Moving, LiveError> {
        let name = self.policy.functions[function].name.clone();
        let server = server_for(&self.policy, &self.plan, &self.record.deployed, function)
            .map_err(|error| self.cannot(&name, error.to_string()))?;
        let deployed = &mut self.record.deployed;
        let id = deployed.instances.keys().next_back().map_or(0, |id| id + 1);
        let numbers =
            deployed.instances.values().filter(|one| one.function == function).map(|one| one.number);
        let number = numbers.max().unwrap_or(0) + 1;
        deployed.add(&self.policy, id, function, number, server + 1)?;
        let moving = out(deployed, function, id);
        let moving = moving.ok_or_else(|| self.cannot(&name, "nobody has hashes to give away".to_owned()))?;
        // It is known before it is there, so that it is ended whatever comes.
        self.record.moving = Some(moving);
        self.store.save(&self.record)?;
        Ok(moving)
    }

    /// What must be there before a range moves: the target, joined to its data plane. One that nothing goes to yet is made anew,
    /// since who began it may have died half-way.
    fn prepare(&mut self, moving: &Moving) -> Result<(), LiveError> {
        let deployed = &self.record.deployed;
        let begun = deployed.instances.get(&moving.source).is_some_and(|source| source.detour.is_some());
        let placed = deployed.instances.get(&moving.target).cloned();
        let Some(placed) = placed.filter(|_| !begun && deployed.parts_of(moving.target).next().is_none())
        else {
            return self.tell();
        };
        let function = &self.policy.functions[placed.function];
        let (words, gates) = (function.run.clone(), gates(&self.policy, placed.function));
        self.tell()?;
        let site = self.site(placed.site)?;
        site.remove_function(moving.target, &placed)?;
        site.add_function(moving.target, &words, &placed, gates)?;
        site.resume()
    }

    /// Moves a range.
    fn shift(&mut self, moving: Moving, said: &mut dyn FnMut(Event)) -> Result<(), LiveError> {
        self.record.moving = Some(moving);
        self.store.save(&self.record)?;
        self.prepare(&moving)?;
        let name = |id| self.record.deployed.name(&self.policy, id);
        let (source, target) = (name(moving.source), name(moving.target));
        said(Event::Begins { source, target, range: moving.range.to_string() });
        let began = Instant::now();
        let now_ns = || u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut shift = Shift::new(self.record.deployed.epoch, self.limits, 0);
        loop {
            let seen = self.seen(&moving);
            let observed = moving.observed(&self.record.deployed, seen);
            shift.handle(now_ns(), Input::Observed(Box::new(observed)));
            let mut idle = true;
            while let Some(output) = shift.poll_output() {
                match output {
                    Output::Do { step, .. } => {
                        idle = false;
                        self.carry_out(&moving, &step)?;
                        said(Event::Did(step));
                    }
                    Output::Converged { after_ns, old } => said(Event::Converged { after_ns, old }),
                    Output::Ended(next) => {
                        self.finish(&moving, &next)?;
                        said(Event::Ended(next));
                        return Ok(());
                    }
                }
            }
            if idle {
                sleep(EVERY);
            }
        }
    }

    fn seen(&mut self, moving: &Moving) -> Seen {
        let old = self.old(moving);
        let target_alive = self.lives(moving.target);
        Seen {
            source_alive: old.is_ok(),
            target_alive,
            old: old.unwrap_or_default().flows.into_iter().map(|flow| flow.key).collect(),
            drained: self.changed.elapsed() >= DRAINED,
        }
    }

    fn old(&mut self, moving: &Moving) -> Result<Flows, LiveError> {
        let (source, range) = (moving.source, moving.range);
        let placed = self.record.deployed.instances.get(&source);
        let site = placed.map_or(0, |placed| placed.site);
        let client = self.site(site)?;
        if !client.has_function(source)? {
            return Err(LiveError::Answer { site: client.name().to_owned(), asked: "get_report" });
        }
        client.flows(&FlowsOf { instance: source, start: range.start, end: range.end })
    }

    fn lives(&mut self, instance: u32) -> bool {
        let site = self.record.deployed.instances.get(&instance).map_or(0, |placed| placed.site);
        self.site(site).and_then(|client| client.has_function(instance)).unwrap_or(false)
    }

    /// Writes a step down, then tells it.
    fn carry_out(&mut self, moving: &Moving, step: &Step) -> Result<(), LiveError> {
        let cut = moving.apply(&mut self.record.deployed, step);
        self.store.save(&self.record)?;
        self.tell()?;
        let keys: Vec<u64> = cut.into_iter().collect();
        for keys in keys.chunks(FORGET_MAX) {
            let site = self.record.deployed.instances.get(&moving.source).map_or(0, |placed| placed.site);
            self.site(site)?.forget(&Forget { instance: moving.source, keys: keys.to_vec() })?;
        }
        Ok(())
    }

    /// Ends the instance that nothing goes to any more, if there is one.
    fn finish(&mut self, moving: &Moving, over: &Next) -> Result<(), LiveError> {
        let gone = match over {
            Next::Moved => (!moving.split).then_some(moving.source),
            Next::Back => Some(moving.target),
            Next::TakenOver => Some(moving.source),
            _ => None,
        };
        if let Some(placed) =
            gone.and_then(|id| self.record.deployed.instances.remove(&id).map(|placed| (id, placed)))
        {
            let (id, placed) = placed;
            self.record.moving = None;
            self.store.save(&self.record)?;
            self.tell()?;
            sleep(DRAINED);
            if let Ok(site) = self.site(placed.site) {
                site.remove_function(id, &placed)?;
            }
        }
        self.record.moving = None;
        self.store.save(&self.record)
    }

    /// Tells all sites what they do from now on. One that is gone is left out: that it is gone is seen when it is asked.
    fn tell(&mut self) -> Result<(), LiveError> {
        let programs = self.record.deployed.programs(&self.scheme);
        for (site, program) in programs.iter().enumerate() {
            let told = self.site(site).and_then(|client| client.set_program(program));
            match told {
                Err(error) if error.is_refusal() => return Err(error),
                Err(_) => drop(self.sites.remove(&site)),
                Ok(()) => {}
            }
        }
        self.changed = Instant::now();
        Ok(())
    }

    fn site(&mut self, site: usize) -> Result<&mut Site, LiveError> {
        let record = self.record.sites.get(site);
        let gone = || LiveError::Answer { site: site_name(&self.policy, site).to_owned(), asked: "connect" };
        let record = record.filter(|record| record.process.is_alive()).ok_or_else(gone)?;
        Ok(match self.sites.entry(site) {
            std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => free.insert(Site::connect(record)?),
        })
    }
}
