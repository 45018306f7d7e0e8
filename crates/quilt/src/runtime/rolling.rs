//! Replacing members of a service a batch at a time, so that it goes on answering.
//!
//! A batch is taken out of rotation, so that new connections go to the others; those that it has may end by themselves,
//! for a while; then it is stopped and started anew, and once it is ready and in rotation again, and a pause is over, it
//! is the next one's turn. Members that the service loses go last. After each step the record says how far it is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use softnic::daemon::Client;

use super::RuntimeError;
use super::ready::{self, NotReady};
use super::up::{Progress, Up};
use crate::model::Update;

/// Pause between two looks at connections that are to end.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the dataplane may take to hear that a container is ready.
const ROTATION_LIMIT: Duration = Duration::from_secs(10);

/// What is to be done with a service.
pub(super) struct Service {
    name: String,
    update: Update,
    /// Members to be replaced, in order.
    replaced: Vec<String>,
    /// Members that it loses.
    lost: Vec<String>,
}

impl Service {
    /// Everybody who is stopped for it.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.replaced.iter().chain(&self.lost)
    }

    fn progress(&self, done: usize, doing: &'static str) -> Progress {
        Progress::Update { service: self.name.clone(), done, total: self.replaced.len(), doing }
    }
}

/// The services whose members are to be replaced in batches, those first that others depend on.
pub(super) fn batches(up: &Up<'_>) -> Vec<Service> {
    let replace: BTreeSet<&String> = up.plan.replace.iter().map(|replace| &replace.name).collect();
    let mut taken = BTreeSet::new();
    let mut services = Vec::new();
    for service in &up.wanted.services {
        let Some(update) = service.update else { continue };
        let mut replaced: Vec<String> = service
            .members
            .iter()
            .filter(|name| replace.contains(name) && taken.insert((*name).clone()))
            .cloned()
            .collect();
        // Who does not answer anyhow costs nothing.
        replaced.sort_by_key(|name| {
            !matches!(
                ready::look(up.deployment, name),
                Ok(ready::Readiness::NotYet(_) | ready::Readiness::Never(_))
            )
        });
        let lost: Vec<String> =
            up.lost_members(&service.name).into_iter().filter(|name| taken.insert(name.clone())).collect();
        if !replaced.is_empty() || !lost.is_empty() {
            services.push(Service { name: service.name.clone(), update, replaced, lost });
        }
    }
    in_order(up, services)
}

/// Services with those first that members of others depend on; there are no circles.
fn in_order(up: &Up<'_>, mut services: Vec<Service>) -> Vec<Service> {
    let mut ordered = Vec::with_capacity(services.len());
    while !services.is_empty() {
        let free = |service: &Service| {
            let on: BTreeSet<String> = service.replaced.iter().flat_map(|name| up.depends_on(name)).collect();
            services
                .iter()
                .filter(|other| other.name != service.name)
                .all(|other| other.replaced.iter().all(|name| !on.contains(name)))
        };
        let next = services.iter().position(free).unwrap_or(0);
        ordered.push(services.remove(next));
    }
    ordered
}

impl Up<'_> {
    /// Replaces in batches what is to be replaced so.
    pub(super) fn roll(
        &mut self,
        dataplane: &mut Client,
        services: Vec<Service>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), RuntimeError> {
        for service in services {
            self.roll_service(dataplane, &service, progress)?;
        }
        Ok(())
    }

    fn roll_service(
        &mut self,
        dataplane: &mut Client,
        service: &Service,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), RuntimeError> {
        let size = usize::try_from(service.update.batch.max(1)).unwrap_or(usize::MAX);
        let mut done = 0;
        for batch in service.replaced.chunks(size) {
            if done > 0 && service.update.pause_ms > 0 {
                progress(service.progress(done, "pausing"));
                std::thread::sleep(Duration::from_millis(service.update.pause_ms.into()));
            }
            progress(service.progress(done, "waiting for the others"));
            self.others_are_ready(service, done)?;
            self.replace(dataplane, service, batch, done, progress)?;
            done += batch.len();
        }
        if !service.lost.is_empty() {
            progress(service.progress(done, "waiting for connections to end"));
            let lost: BTreeSet<String> = service.lost.iter().cloned().collect();
            self.take_out(dataplane, &lost, service.update)?;
            self.stop_old(dataplane, &lost, progress)?;
            self.take_in(dataplane)?;
        }
        Ok(())
    }

    /// Waits for those members that are as they should be, and for what the others depend on: while these are not ready,
    /// nobody else is taken out.
    fn others_are_ready(&mut self, service: &Service, done: usize) -> Result<(), RuntimeError> {
        let members = self.wanted.service(&service.name).map(|service| service.members.clone());
        let depended = service.replaced.iter().flat_map(|name| self.depends_on(name));
        let others: BTreeSet<String> = members
            .unwrap_or_default()
            .into_iter()
            .chain(depended)
            .filter(|name| !self.instances.old.contains(name))
            .collect();
        let others: Vec<String> = others.into_iter().collect();
        match ready::wait(self.deployment, self.wanted, &others, Instant::now())? {
            Ok(()) => Ok(()),
            Err(not_ready) => self.stand_still(service, done, not_ready),
        }
    }

    fn replace(
        &mut self,
        dataplane: &mut Client,
        service: &Service,
        batch: &[String],
        done: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), RuntimeError> {
        let names: BTreeSet<String> = batch.iter().cloned().collect();
        progress(service.progress(done, "waiting for connections to end"));
        self.take_out(dataplane, &names, service.update)?;
        progress(service.progress(done, "replacing"));
        self.stop_old(dataplane, &names, &mut |_| {})?;
        // From here on the names mean the new ones.
        self.apply(dataplane, true)?;
        let since = Instant::now();
        let failures = self.launch(&names, (0, names.len()), &mut |told| {
            if let Progress::Warning(_) = told {
                progress(told);
            }
        })?;
        self.write_record()?;
        if let Some(failure) = failures.into_iter().next() {
            self.take_in(dataplane)?;
            let waited = since.elapsed();
            let (name, state) = (failure.name, format!("it did not start: {}", failure.reason));
            return self.stand_still(service, done, NotReady { name, waited, state, last_line: None });
        }
        let outcome = ready::wait(self.deployment, self.wanted, batch, since)?;
        self.take_in(dataplane)?;
        if let Err(not_ready) = outcome {
            return self.stand_still(service, done, not_ready);
        }
        in_rotation(dataplane, batch)
    }

    /// Takes containers out of rotation and waits until their connections are over, or as long as these may last.
    fn take_out(
        &mut self,
        dataplane: &mut Client,
        names: &BTreeSet<String>,
        update: Update,
    ) -> Result<(), RuntimeError> {
        self.instances.resting.clone_from(names);
        self.apply(dataplane, true)?;
        let deadline = Instant::now() + Duration::from_millis(update.drain_ms.into());
        let names: Vec<String> = names.iter().cloned().collect();
        while dataplane.rotation(names.clone())?.iter().any(|state| state.connections > 0)
            && Instant::now() < deadline
        {
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn take_in(&mut self, dataplane: &mut Client) -> Result<(), RuntimeError> {
        self.instances.resting.clear();
        self.apply(dataplane, true)
    }

    /// Members that a service has had and that are not wanted any more at all.
    fn lost_members(&self, service: &str) -> Vec<String> {
        let before = self.members_before(service);
        let remove: BTreeSet<&String> = self.plan.remove.iter().collect();
        before.into_iter().filter(|name| remove.contains(name)).collect()
    }

    /// Says where an update stands that does not go on.
    fn stand_still<T>(
        &mut self,
        service: &Service,
        done: usize,
        not_ready: NotReady,
    ) -> Result<T, RuntimeError> {
        self.write_record()?;
        let left: Box<[String]> =
            service.replaced.iter().filter(|name| self.instances.old.contains(*name)).cloned().collect();
        let span = self.wanted.container(&not_ready.name).map(|one| one.span.clone()).unwrap_or_default();
        let done = (done, service.replaced.len());
        let (service, not_ready) = (service.name.clone(), Box::new(not_ready));
        Err(RuntimeError::UpdateStopped { service, done, left, not_ready, span })
    }
}

/// Waits until services give these new connections: the dataplane hears of it a moment after the container is ready.
fn in_rotation(dataplane: &mut Client, names: &[String]) -> Result<(), RuntimeError> {
    let deadline = Instant::now() + ROTATION_LIMIT;
    while !dataplane.rotation(names.to_vec())?.iter().all(|state| state.in_rotation) {
        // It was ready; if it is not any more, the next batch's own wait finds that out.
        if Instant::now() > deadline {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
