//! A manager that nobody need tell anything: it grows and shrinks functions by what they carry, and starts again what has died.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::repair::Mortal;
use super::scaling::Hears;
use super::site::QUEUE;
use super::{Event, LiveError, Manager, Site};
use crate::deploy::{free_cores, joins};
use crate::policy::Kind;
use crate::scale::load::{self, Carried, Function, Output, Report, Settings};

/// The shortest time between two reports.
pub const EVERY_MIN: Duration = Duration::from_millis(50);
/// How often it is seen whether all live.
const LOOK: Duration = Duration::from_millis(100);
/// The longest time between two attempts to start something.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Such a manager. It may be killed at any time: another one goes on from what is written down.
pub struct Watch {
    manager: Manager,
    load: load::Watch,
    began: Instant,
    every: Duration,
    /// Whether it is asked how long cores work.
    cores: bool,
    report: Instant,
    /// Flows that each instance was last known to have.
    flows: BTreeMap<u32, u64>,
    /// What could not be started: how often, and when it is tried again.
    failed: BTreeMap<Mortal, (u32, Instant)>,
}

impl Watch {
    /// One that asks for reports `every` so often. [`Settings::queue`] is that of the sites, whatever it says.
    ///
    /// # Errors
    /// Settings that make no sense.
    pub fn new(manager: Manager, settings: Settings, every: Duration) -> Result<Self, LiveError> {
        let functions = manager.policy.functions.iter().enumerate();
        let functions = functions.map(|(place, function)| Function {
            capacity: function.capacity,
            fixed: manager.fixed(place),
            least: function.instances.least as usize,
            most: function.instances.most as usize,
        });
        let load = load::Watch::new(Settings { queue: QUEUE, ..settings }, functions.collect())?;
        let (now, every) = (Instant::now(), every.max(EVERY_MIN));
        let (flows, failed) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { manager, load, began: now, every, cores: false, report: now, flows, failed })
    }

    /// Has it look at how long the cores of native instances work, too. A thread that waits for a core that it shares counts as at work.
    #[must_use]
    pub fn with_cores(mut self, cores: bool) -> Self {
        self.cores = cores;
        self
    }

    /// Does what is to be done now, and says how long there is nothing more.
    ///
    /// # Errors
    /// Another manager has taken over. What else goes wrong is said, and tried again.
    pub fn turn(&mut self, said: &mut Hears<'_>) -> Result<Duration, LiveError> {
        self.manager.reap();
        for dead in self.manager.dead() {
            self.revive(dead, said)?;
        }
        let polled = self.manager.poll(said);
        self.unless_deposed("a shift", polled, said)?;
        if Instant::now() >= self.report {
            self.report = Instant::now() + self.every;
            for dead in self.manager.missing() {
                self.revive(dead, said)?;
            }
            self.weigh(said)?;
        }
        let next = self.manager.due().min(self.report).saturating_duration_since(Instant::now());
        Ok(next.min(LOOK))
    }

    fn unless_deposed(
        &mut self,
        about: &str,
        done: Result<(), LiveError>,
        said: &mut Hears<'_>,
    ) -> Result<(), LiveError> {
        match done {
            Ok(()) => Ok(()),
            Err(error) if error.is_deposed() => Err(error),
            Err(error) => self.manager.say(about, &Event::Cannot { what: error.to_string() }, said),
        }
    }

    fn revive(&mut self, dead: Mortal, said: &mut Hears<'_>) -> Result<(), LiveError> {
        let (times, at) = self.failed.get(&dead).copied().unwrap_or((0, self.began));
        let began = Instant::now();
        if began < at {
            return Ok(());
        }
        let (name, lost) = self.manager.loss(dead, &self.flows);
        if times == 0 {
            self.manager.say(&name, &Event::Died { lost }, said)?;
        }
        let event = match self.manager.revive(dead) {
            Ok(()) => {
                self.failed.remove(&dead);
                Event::Back { after: began.elapsed() }
            }
            Err(error) => {
                let again = Duration::from_secs(1 << times.min(6)).min(AGAIN_MAX);
                self.failed.insert(dead, (times + 1, Instant::now() + again));
                Event::Failed { error: error.to_string(), again }
            }
        };
        self.manager.say(&name, &event, said)
    }

    /// Hears what all carry, and decides.
    fn weigh(&mut self, said: &mut Hears<'_>) -> Result<(), LiveError> {
        // Where something is dead, others carry less or more than they will.
        let Some(report) = self.heard().filter(|_| self.manager.is_whole()) else { return Ok(()) };
        let now_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.load.handle(now_ns, &report);
        while let Some(output) = self.load.poll_output() {
            let (id, because) = match output {
                Output::Grow { source, because } | Output::Shrink { source, because, .. } => {
                    (source, because)
                }
                Output::Cannot { instance, because, .. } => (instance, because),
            };
            let name = self.manager.record.deployed.name(&self.manager.policy, id);
            let why = format!("{name} {because}");
            let done = match output {
                Output::Grow { source, .. } => self.manager.split(source, why),
                Output::Shrink { source, target, .. } => self.manager.join(source, target, why),
                Output::Cannot { hindrance, .. } => {
                    let what = format!("{because}, but {hindrance}");
                    self.manager.say(&name, &Event::Cannot { what }, said)
                }
            };
            self.unless_deposed(&name, done, said)?;
        }
        Ok(())
    }

    /// What all carry; none where one of them does not say.
    fn heard(&mut self) -> Option<Report> {
        let (manager, cores) = (&mut self.manager, self.cores);
        let mut report = Report::default();
        for site in 0..manager.record.sites.len() {
            let told = manager.ask(site, Site::report)?;
            for own in told.instances {
                let Some(placed) = manager.record.deployed.instances.get(&own.id) else { continue };
                let (function, worker) = (placed.function, placed.worker);
                let native = manager.policy.functions[function].kind == Kind::Native;
                let queues = match native {
                    true => manager.ask(site, |client| client.queues(own.id))?,
                    false => Default::default(),
                };
                let worked_ns = match native && cores {
                    true => Some(manager.ask(site, |client| client.worked_ns(own.id, worker))?),
                    false => None,
                };
                self.flows.insert(own.id, own.flows);
                report.instances.push(Carried {
                    id: own.id,
                    function,
                    packets: own.packets,
                    bytes: own.bytes,
                    queued: queues.iter().map(|queue| queue.count).sum(),
                    overrun: queues.iter().map(|queue| queue.dropped).sum(),
                    worked_ns,
                    busy: manager.is_busy(own.id),
                });
            }
        }
        let deployed = &manager.record.deployed;
        self.flows.retain(|id, _| deployed.instances.contains_key(id));
        let functions = 0..manager.policy.functions.len();
        let joins = functions.flat_map(|function| joins(deployed, function));
        report.joins = joins.map(|moving| (moving.source, moving.target)).collect();
        report.free = free_cores(&manager.policy, deployed);
        Some(report)
    }
}
