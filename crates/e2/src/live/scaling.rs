//! Functions grow and shrink while packets flow: the protocol of [`crate::scale`], carried out, several shifts beside each other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use host::ProcessId;

use super::cluster::locked;
use super::record::{Lock, Record, Shifting, Store};
use super::{Event, LiveError, Site};
use crate::compile::{Plan, plan};
use crate::deploy::{Moving, Scheme, Seen, back, out, server_for, site_name};
use crate::plane::proto::{FlowsOf, Forget};
use crate::policy::Policy;
use crate::scale::{Input, Limits, Output, Shift, Step};

/// How soon sites are asked again after a step.
const SOON: Duration = Duration::from_millis(20);
/// How late they are asked where nothing happens: a list of flows is work for those that carry packets.
const LATE: Duration = Duration::from_millis(200);
/// After what time all has arrived that was sent before a change: queues and wires between sites hold no more.
pub(super) const DRAINED: Duration = Duration::from_millis(250);
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

/// Hears what a manager does: about what, and what it is.
pub type Hears<'a> = dyn FnMut(&str, &Event) + 'a;

/// Who scales, and starts again what has died. All that it knows is written down before it is done.
pub struct Manager {
    pub(super) store: Store,
    pub(super) record: Record,
    pub(super) policy: Policy,
    pub(super) scheme: Scheme,
    pub(super) program: PathBuf,
    /// What it has started.
    pub(super) children: Vec<Child>,
    plan: Plan,
    limits: Limits,
    sites: BTreeMap<usize, Site>,
    /// As the record's list of what moves.
    pub(super) shifts: Vec<Running>,
    _lock: Lock,
}

/// A shift, as this manager knows it.
pub(super) struct Running {
    shift: Shift,
    pub(super) began: Instant,
    pub(super) prepared: bool,
    /// When something was last changed for it.
    pub(super) changed: Instant,
    /// When it is looked at again.
    due: Instant,
    pause: Duration,
}

impl Running {
    fn new(epoch: u64, limits: Limits) -> Self {
        let now = Instant::now();
        let shift = Shift::new(epoch, limits, 0);
        Self { shift, began: now, prepared: false, changed: now, due: now, pause: SOON }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Says when it is looked at again: later each time where nothing happens, but no later than it has to do something.
    fn rest(&mut self, acted: bool) {
        self.pause = if acted { SOON } else { (self.pause * 2).min(LATE) };
        let now = Instant::now();
        let deadline = self.shift.next_deadline().map(|ns| self.began + Duration::from_nanos(ns));
        let deadline = deadline.filter(|deadline| *deadline > now);
        self.due = deadline.map_or(now + self.pause, |deadline| deadline.min(now + self.pause));
    }
}

impl Manager {
    /// Takes over a cluster: whoever did so before is not heard any more. `program` is weft's, for what is started again.
    ///
    /// # Errors
    /// It does not run, somebody else manages it, or its policy cannot be read.
    pub fn take_over(store: &Store, name: &str, limits: Limits, program: &Path) -> Result<Self, LiveError> {
        store.known(name)?;
        let lock = locked(store, name)?;
        let mut record = store.known(name)?;
        let policy = Policy::read(&record.policy).map_err(LiveError::Policy)?;
        if record.sites.len() != policy.hardware.servers.len() + 1 {
            return Err(LiveError::Half(name.to_owned()));
        }
        let plan = plan(&policy).map_err(LiveError::Policy)?;
        let scheme = Scheme::of_plan(&policy, &plan)?;
        record.deployed.epoch += 1;
        record.manager = Some(ProcessId::current()?);
        store.save(&record)?;
        let shifts = record.moving.iter().map(|_| Running::new(record.deployed.epoch, limits)).collect();
        let (store, program, children, sites) =
            (store.clone(), program.to_owned(), Vec::new(), BTreeMap::new());
        let mut manager = Self {
            store,
            record,
            policy,
            scheme,
            program,
            children,
            plan,
            limits,
            sites,
            shifts,
            _lock: lock,
        };
        // What runs is what is written: a step that was written and not carried out is carried out now.
        manager.tell()?;
        manager.end_leaving()?;
        Ok(manager)
    }

    /// Goes on with what another manager began, to its end; `false` where there is nothing.
    ///
    /// # Errors
    /// A site does not do what it is told.
    pub fn go_on(&mut self, said: &mut Hears<'_>) -> Result<bool, LiveError> {
        let any = !self.shifts.is_empty();
        while !self.shifts.is_empty() {
            self.poll(said)?;
            sleep(self.due().saturating_duration_since(Instant::now()));
        }
        Ok(any)
    }

    /// Gives a function one instance more, or one less, and waits until that is over.
    ///
    /// # Errors
    /// It cannot have one, or a site does not do what it is told.
    pub fn scale(&mut self, function: &str, way: Way, said: &mut Hears<'_>) -> Result<(), LiveError> {
        self.go_on(said)?;
        let place = self.policy.functions.iter().position(|known| known.name == function);
        let place =
            place.ok_or_else(|| self.cannot(function, "there is no function of that name".to_owned()))?;
        if let Some(reason) = self.fixed(place) {
            return Err(self.cannot(function, reason.to_owned()));
        }
        let why = "told so".to_owned();
        let count = self.record.deployed.instances.values().filter(|one| one.function == place).count();
        let bounds = self.policy.functions[place].instances;
        match way {
            Way::Out if count >= bounds.most as usize => {
                return Err(self.cannot(function, format!("the policy wants no more than {}", bounds.most)));
            }
            Way::In if count <= bounds.least as usize => {
                return Err(self.cannot(function, format!("the policy wants no fewer than {}", bounds.least)));
            }
            Way::Out => {
                let moving = out(&self.record.deployed, place, self.next_id());
                self.grow(place, moving, why)?;
            }
            Way::In => {
                let moving = back(&self.record.deployed, place)
                    .ok_or_else(|| self.cannot(function, "none of its instances can go".to_owned()))?;
                self.begin(moving, why)?;
            }
        }
        self.go_on(said).map(drop)
    }

    /// Why a function has the instances that it has, whatever comes.
    pub(super) fn fixed(&self, function: usize) -> Option<&'static str> {
        let own = &self.policy.functions[function];
        match own.rewrites.has_any(self.plan.igraph.keys[function]) {
            _ if !own.scalable => Some("it is not scalable"),
            true => Some("it changes the fields that it is shared out by"),
            false => None,
        }
    }

    /// Splits an instance.
    pub(super) fn split(&mut self, source: u32, why: String) -> Result<(), LiveError> {
        let Some(placed) = self.record.deployed.instances.get(&source) else { return Ok(()) };
        let function = placed.function;
        let moving = Moving::half(&self.record.deployed, function, source, self.next_id());
        self.grow(function, moving, why)
    }

    /// Joins two.
    pub(super) fn join(&mut self, source: u32, target: u32, why: String) -> Result<(), LiveError> {
        let Some(placed) = self.record.deployed.instances.get(&source) else { return Ok(()) };
        match Moving::all(&self.record.deployed, placed.function, source, target) {
            Some(moving) => self.begin(moving, why),
            None => Ok(()),
        }
    }

    fn cannot(&self, function: &str, reason: String) -> LiveError {
        LiveError::Scale { function: function.to_owned(), reason }
    }

    fn next_id(&self) -> u32 {
        self.record.deployed.instances.keys().next_back().map_or(0, |id| id + 1)
    }

    /// A new instance gets a range.
    fn grow(&mut self, function: usize, moving: Option<Moving>, why: String) -> Result<(), LiveError> {
        let name = self.policy.functions[function].name.clone();
        let moving = moving.ok_or_else(|| self.cannot(&name, "nobody has hashes to give away".to_owned()))?;
        let server = server_for(&self.policy, &self.plan, &self.record.deployed, function)
            .map_err(|error| self.cannot(&name, error.to_string()))?;
        let deployed = &mut self.record.deployed;
        let numbers =
            deployed.instances.values().filter(|one| one.function == function).map(|one| one.number);
        let number = numbers.max().unwrap_or(0) + 1;
        deployed.add(&self.policy, moving.target, function, number, server + 1)?;
        self.begin(moving, why)
    }

    /// It is known before it is there, so that it is ended whatever comes.
    fn begin(&mut self, moving: Moving, why: String) -> Result<(), LiveError> {
        self.record.moving.push(Shifting { moving, why });
        self.shifts.push(Running::new(self.record.deployed.epoch, self.limits));
        self.store.save(&self.record)
    }

    /// Whether an instance has a part in a shift.
    pub(super) fn is_busy(&self, instance: u32) -> bool {
        self.record.moving.iter().any(|one| [one.moving.source, one.moving.target].contains(&instance))
    }

    /// When [`Manager::poll`] has something to do.
    pub fn due(&self) -> Instant {
        let dues = self.shifts.iter().map(|running| running.due);
        dues.min().unwrap_or_else(|| Instant::now() + LATE)
    }

    /// Takes each shift that is due one look further.
    ///
    /// # Errors
    /// A site does not do what it is told.
    pub fn poll(&mut self, said: &mut Hears<'_>) -> Result<(), LiveError> {
        for place in (0..self.shifts.len()).rev() {
            if self.shifts[place].due <= Instant::now() {
                self.shifts[place].rest(false);
                self.advance(place, said)?;
            }
        }
        Ok(())
    }

    fn advance(&mut self, place: usize, said: &mut Hears<'_>) -> Result<(), LiveError> {
        let shifting = self.record.moving[place].clone();
        let moving = shifting.moving;
        let name = |id| self.record.deployed.name(&self.policy, id);
        let about = format!("{} to {}", name(moving.source), name(moving.target));
        if !self.shifts[place].prepared {
            self.prepare(place, &moving)?;
            let what = format!("{} moves: {}", moving.range, shifting.why);
            self.say(&about, &Event::Begins { what }, said)?;
        }
        let Some(seen) = self.seen(&moving, self.shifts[place].changed) else { return Ok(()) };
        let observed = moving.observed(&self.record.deployed, seen);
        let running = &mut self.shifts[place];
        running.shift.handle(running.now_ns(), Input::Observed(Box::new(observed)));
        let mut acted = false;
        while let Some(output) = self.shifts[place].shift.poll_output() {
            match output {
                Output::Do { step, .. } => {
                    acted = true;
                    self.carry_out(place, &moving, &step)?;
                    self.say(&about, &Event::Did(step), said)?;
                }
                Output::Converged { after_ns, old } => {
                    self.say(&about, &Event::Converged { after_ns, old }, said)?;
                }
                Output::Ended(next) => {
                    self.finish(place, &moving, &next)?;
                    return self.say(&about, &Event::Ended(next), said);
                }
            }
        }
        self.shifts[place].rest(acted);
        Ok(())
    }

    /// Says something, and writes down what is worth it.
    pub(super) fn say(&mut self, about: &str, event: &Event, said: &mut Hears<'_>) -> Result<(), LiveError> {
        said(about, event);
        if !event.is_kept() {
            return Ok(());
        }
        self.record.note(format!("{about}: {event}"));
        self.store.save(&self.record)
    }

    pub(super) fn forget(&mut self, place: usize) -> Result<(), LiveError> {
        self.shifts.remove(place);
        self.record.moving.remove(place);
        self.store.save(&self.record)
    }

    /// What the instances of a shift say; none where that is not to be had at the moment.
    fn seen(&mut self, moving: &Moving, changed: Instant) -> Option<Seen> {
        let (source_alive, target_alive) = (self.lives(moving.source)?, self.lives(moving.target)?);
        let mut seen =
            Seen { source_alive, target_alive, drained: changed.elapsed() >= DRAINED, ..Seen::default() };
        if source_alive {
            let (site, range) = (self.site_of(moving.source), moving.range);
            let of = FlowsOf { instance: moving.source, start: range.start, end: range.end };
            let flows = self.ask(site, |client| client.flows(&of))?;
            seen.old = flows.flows.into_iter().map(|flow| flow.key).collect();
        }
        Some(seen)
    }

    pub(super) fn site_of(&self, instance: u32) -> usize {
        self.record.deployed.instances.get(&instance).map_or(0, |placed| placed.site)
    }

    /// Asks a site. Where it gives no answer the connection is made anew the next time.
    pub(super) fn ask<T>(
        &mut self,
        site: usize,
        ask: impl FnOnce(&mut Site) -> Result<T, LiveError>,
    ) -> Option<T> {
        let answer = self.site(site).and_then(ask);
        if answer.is_err() {
            self.sites.remove(&site);
        }
        answer.ok()
    }

    /// Writes a step down, then tells it.
    fn carry_out(&mut self, place: usize, moving: &Moving, step: &Step) -> Result<(), LiveError> {
        let cut = moving.apply(&mut self.record.deployed, step);
        self.store.save(&self.record)?;
        self.tell()?;
        self.shifts[place].changed = Instant::now();
        let keys: Vec<u64> = cut.into_iter().collect();
        for keys in keys.chunks(FORGET_MAX) {
            let site = self.site_of(moving.source);
            self.site(site)?.forget(&Forget { instance: moving.source, keys: keys.to_vec() })?;
        }
        Ok(())
    }

    /// Tells all sites what they do from now on. One that is gone is left out: that it is gone is seen when it is asked, and it is told
    /// when it is started again.
    pub(super) fn tell(&mut self) -> Result<(), LiveError> {
        let programs = self.record.deployed.programs(&self.scheme);
        for (site, program) in programs.iter().enumerate() {
            let told = self.site(site).and_then(|client| client.set_program(program));
            match told {
                Err(error) if error.is_refusal() => return Err(error),
                Err(_) => drop(self.sites.remove(&site)),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    pub(super) fn site(&mut self, site: usize) -> Result<&mut Site, LiveError> {
        let record = self.record.sites.get(site).filter(|record| record.is_alive());
        let record = record.ok_or_else(|| LiveError::Died(site_name(&self.policy, site).to_owned()))?;
        Ok(match self.sites.entry(site) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => free.insert(Site::connect(record)?),
        })
    }

    /// A site has another process.
    pub(super) fn reconnect(&mut self, site: usize) {
        self.sites.remove(&site);
    }
}
