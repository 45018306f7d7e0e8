//! Bringing what runs to what a blueprint asks for, touching nothing else.
//!
//! The state directory and the living processes are the truth; the record only says what was asked for. So a
//! command that dies at any point leaves something that the next one understands: a container that the record
//! does not know is replaced, one that the record knows but that is gone is made again.
//!
//! The order is this, so that no packet passes that neither the old nor the new blueprint allows
//! ([`crate::transition`]):
//!
//! 1. the network in between is put in force: links that are taken away end, for all that stays;
//! 2. containers that are to go, or to be replaced at once, are stopped;
//! 3. the network is that of the new blueprint, but for containers that are replaced in batches;
//! 4. containers are started, each once what it depends on is ready ([`super::start`]);
//! 5. containers are replaced in batches ([`super::rolling`]), each time with a network in between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use host::{Sandbox, State, Status};
use softnic::daemon::Client;
use softnic::fabric::program::Program;

use super::error::ContainerFailure;
use super::launcher::{self, Order, Outcome};
use super::record::{Record, Unfinished};
use super::spec::Specs;
use super::stop::{GRACE, stop_containers, stop_locked};
use super::store::{Deployment, Store};
use super::{RuntimeError, outside, process, publish, rolling};
use crate::address::AddressPlan;
use crate::compile::{EDGE, compile};
use crate::images::{self, Failure, Making, Prepared};
use crate::model::{Blueprint, Container, Image};
use crate::plan::{Deployed, Plan};
use crate::transition::{self, Instances};

/// The dataplane port of the edge; containers have the numbers after it.
pub(super) const EDGE_PORT: u32 = 0;

/// What `up` is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A step that takes a moment.
    Step(&'static str),
    /// Containers that are being started.
    Containers {
        /// Ready or failed.
        done: usize,
        /// To be started.
        total: usize,
    },
    /// An image is being made: what is done for it.
    Image(String),
    /// A line that a command wrote which makes an image.
    Output(String),
    /// What others wait for that are to be started.
    Waiting(Vec<String>),
    /// Members of a service that are replaced in batches.
    Update {
        /// The service.
        service: String,
        /// Replaced, and ready.
        done: usize,
        /// To be replaced.
        total: usize,
        /// What is being done.
        doing: &'static str,
    },
    /// Something was done differently than asked for.
    Warning(String),
}

/// What `up` would change.
///
/// # Errors
/// When the state cannot be read, or the blueprint asks for what this runtime does not carry.
pub fn plan(store: &Store, blueprint: &Blueprint) -> Result<Plan, RuntimeError> {
    let deployment = store.deployment(&blueprint.name);
    outside::ports(blueprint)?;
    let record = deployment.record()?;
    let running = record.map(|record| present(&deployment, record.running())).transpose()?;
    Ok(Plan::between(running.as_ref(), blueprint))
}

/// Where a blueprint comes from, and how its containers are started.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Its file.
    pub source: &'a Path,
    /// An OCI runtime of this machine that starts the commands of containers, as an absolute path; weft does it itself
    /// without. Containers that run already stay as they are.
    pub runtime: Option<&'a Path>,
}

/// Starts what the blueprint asks for, or changes what runs into it.
///
/// # Errors
/// When something could not be started. A deployment that did not run before is then taken away again; one that
/// did keeps what works. Where something did not get ready in time, all that runs is left for the next `up`.
pub fn up(
    store: &Store,
    blueprint: &Blueprint,
    start: Start<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Deployment, Plan), RuntimeError> {
    outside::ports(blueprint)?;
    let deployment = store.deployment(&blueprint.name);
    // Before anything is made: a port that is taken, or a secret that is missing, costs nothing.
    let fresh = !deployment.exists();
    let lock = deployment.lock()?;
    let result = (|| {
        progress(Progress::Step("looking at what runs"));
        if !fresh {
            end_strays(&deployment)?;
        }
        let images = images(store, &deployment, blueprint, start.source, progress)?;
        Up::prepare(&deployment, store, blueprint, start, images)?.run(progress)
    })();
    match result {
        Ok(plan) => Ok((deployment, plan)),
        Err(error) => {
            if fresh && !error.is_to_be_continued() {
                progress(Progress::Step("taking away what was started"));
                stop_locked(&deployment, lock, std::time::Duration::ZERO)?;
            }
            Err(error)
        }
    }
}

/// Makes the images that are not there.
fn images(
    store: &Store,
    deployment: &Deployment,
    blueprint: &Blueprint,
    source: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Prepared, RuntimeError> {
    let lacking = |container: &Container| {
        let Image::Alias(image) = &container.image else { return None };
        let reason = images::lacking(image, &container.command)?;
        Some(ContainerFailure { name: container.name.clone(), reason, span: container.span.clone() })
    };
    let lacking: Vec<_> = blueprint.containers.iter().filter_map(lacking).collect();
    if !lacking.is_empty() {
        return Err(RuntimeError::Containers(lacking));
    }
    let root = source.parent().unwrap_or(Path::new("/"));
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let command = process::command(deployment, "__image");
    images::prepare(store.images(), blueprint, &root, command, &mut |making| {
        progress(match making {
            Making::Step(text) => Progress::Image(text),
            Making::Output(line) => Progress::Output(line),
            Making::Warning(text) => Progress::Warning(text),
        });
    })
    .map_err(|Failure { image, reason, span }| RuntimeError::Image { image, reason, span })
}

/// Ends what a command that was killed had just started.
fn end_strays(deployment: &Deployment) -> Result<(), RuntimeError> {
    process::end_all(|| Ok(process::strays(deployment, &deployment.containers().containers()?)))?;
    Ok(())
}

/// Whether the containers' network is gone for good. A user namespace that nobody holds cannot be entered any more,
/// so the dataplane cannot get back to them; root's can.
pub(super) fn cut_off(deployment: &Deployment) -> Result<bool, RuntimeError> {
    Ok(Sandbox::detect() == Sandbox::Rootless && deployment.holder()?.is_none())
}

/// What the record says, less the containers that are not there any more or cannot be reached.
fn present(deployment: &Deployment, mut deployed: Deployed) -> Result<Deployed, RuntimeError> {
    let layout = deployment.containers();
    if cut_off(deployment)? {
        deployed.fingerprints.clear();
    }
    deployed.fingerprints.retain(|name, _| {
        let status = Status::observe(&layout.container(name)).ok().flatten();
        status.is_some_and(|status| !matches!(status.state, State::Failed | State::Lost))
    });
    Ok(deployed)
}

/// What was in force before.
struct Before {
    blueprint: Blueprint,
    addresses: AddressPlan,
    ports: BTreeMap<String, u32>,
}

pub(super) struct Up<'a> {
    pub(super) deployment: &'a Deployment,
    store: &'a Store,
    pub(super) wanted: &'a Blueprint,
    pub(super) plan: Plan,
    pub(super) record: Record,
    images: Prepared,
    runtime: Option<&'a Path>,
    before: Option<Before>,
    pub(super) instances: Instances,
}

impl<'a> Up<'a> {
    fn prepare(
        deployment: &'a Deployment,
        store: &'a Store,
        wanted: &'a Blueprint,
        Start { source, runtime }: Start<'a>,
        images: Prepared,
    ) -> Result<Self, RuntimeError> {
        let recorded = deployment.record()?;
        let running = recorded.as_ref().map(|record| present(deployment, record.running())).transpose()?;
        let plan = Plan::between(running.as_ref(), wanted);
        let before = recorded.as_ref().map(|record| Before {
            blueprint: in_force(record, wanted).clone(),
            addresses: record.addresses.clone(),
            ports: record.ports.clone(),
        });
        let mut record = recorded.unwrap_or_default();
        record.addresses = record.addresses.next(wanted)?;
        record.ports = assign_ports(&record.ports, wanted);
        record.source = source.to_owned();
        let fingerprints = running.map(|running| running.fingerprints).unwrap_or_default();
        record.deployed = Deployed { blueprint: wanted.clone(), fingerprints };
        let old: BTreeSet<String> =
            plan.replace.iter().map(|replace| &replace.name).chain(&plan.remove).cloned().collect();
        let instances = Instances::default();
        let mut up = Self { deployment, store, wanted, plan, record, images, runtime, before, instances };
        up.instances = Instances { fresh: up.fresh(&old), old, resting: BTreeSet::new() };
        Ok(up)
    }

    /// Containers that were not there before as they are wanted now, but for the old ones.
    fn fresh(&self, old: &BTreeSet<String>) -> BTreeSet<String> {
        let same = |name: &str| {
            let was = self.before.as_ref().and_then(|before| before.blueprint.container(name));
            was.is_some_and(|was| {
                self.wanted.container(name).is_some_and(|wanted| wanted.fingerprint() == was.fingerprint())
            })
        };
        let names = self.wanted.containers.iter().map(|container| &container.name);
        names.filter(|name| !old.contains(*name) && !same(name)).cloned().collect()
    }

    fn run(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Plan, RuntimeError> {
        let edge = self.living_edge()?;
        let served = edge.as_ref().map_or(Ok(Vec::new()), super::edge::EdgeClient::list)?;
        let sockets = publish::bind_new(&self.wanted.publishes, &served)?;
        let batches = rolling::batches(self);
        self.stop_strangers(progress)?;
        self.write_record()?;
        let mut dataplane = self.living_dataplane(progress)?;
        let edge = self.served_edge(edge, progress)?;
        if let Some(edge) = &edge {
            // Before any container may send there.
            edge.outside(outside::ports(self.wanted)?)?;
        }
        progress(Progress::Step("putting the network in force"));
        if !self.instances.old.is_empty() {
            self.apply(&mut dataplane, false)?;
        }
        self.attach_living(&mut dataplane, progress)?;
        let later: BTreeSet<String> = batches.iter().flat_map(rolling::Service::names).cloned().collect();
        let now: BTreeSet<String> = self.instances.old.difference(&later).cloned().collect();
        self.stop_old(&mut dataplane, &now, progress)?;
        progress(Progress::Step("putting the network in force"));
        self.apply(&mut dataplane, true)?;
        let replaced = self.plan.replace.iter().map(|replace| &replace.name);
        let names = self.plan.create.iter().chain(replaced).filter(|name| !later.contains(*name)).cloned();
        let failures = self.start_in_order(names.collect(), progress)?;
        progress(Progress::Step("publishing ports"));
        if let Some(edge) = edge {
            self.publish(&edge, sockets)?;
        }
        self.write_record()?;
        if !failures.is_empty() {
            return Err(RuntimeError::Containers(failures));
        }
        self.roll(&mut dataplane, batches, progress)?;
        self.write_record()?;
        Ok(self.plan.clone())
    }

    /// Who was behind a service.
    pub(super) fn members_before(&self, service: &str) -> Vec<String> {
        let service = self.before.as_ref().and_then(|before| before.blueprint.service(service));
        service.map(|service| service.members.clone()).unwrap_or_default()
    }

    /// The dataplane port of a container, or of the edge; of one that is to go, too.
    pub(super) fn port(&self, name: &str) -> Option<u32> {
        if name == EDGE {
            return Some(EDGE_PORT);
        }
        let before = || self.before.as_ref().and_then(|before| before.ports.get(name));
        self.record.ports.get(name).or_else(before).copied()
    }

    /// Puts the network of this moment in force; with `all`, those that are to be started have their ports in it.
    pub(super) fn apply(&self, dataplane: &mut Client, all: bool) -> Result<(), RuntimeError> {
        let there = |name: &str| all || name == EDGE || self.record.deployed.fingerprints.contains_key(name);
        let new =
            compile(self.wanted, &self.record.addresses, |name| self.port(name).filter(|_| there(name)));
        let old = match &self.before {
            Some(before) if !self.instances.old.is_empty() => {
                compile(&before.blueprint, &before.addresses, |name| self.port(name))
            }
            _ => Program::new(new.gateway_v4, new.gateway_v6),
        };
        dataplane.apply(&transition::program(&old, &new, &self.instances))?;
        Ok(())
    }

    /// Writes down what was asked for, and what has become of it so far.
    pub(super) fn write_record(&mut self) -> Result<(), RuntimeError> {
        let left = &self.instances.old;
        self.record.unfinished = self
            .before
            .as_ref()
            .filter(|_| !left.is_empty())
            .map(|before| Unfinished { blueprint: before.blueprint.clone(), containers: left.clone() });
        self.deployment.write_record(&self.record)
    }

    /// What is to be launched for these containers.
    fn orders(&self, names: &BTreeSet<String>) -> Result<Vec<Order>, RuntimeError> {
        let specs =
            Specs::new(self.deployment, self.store, &self.record.addresses, &self.images, self.runtime)?;
        let containers = self.wanted.containers.iter().filter(|container| names.contains(&container.name));
        containers
            .map(|container| {
                let port = self.port(&container.name).unwrap_or_default();
                Ok(Order { port, spec: specs.spec(container, port)? })
            })
            .collect()
    }

    /// Stops containers that are there without the record's knowledge, and clears away those that have ended.
    fn stop_strangers(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), RuntimeError> {
        let mut strangers = self.deployment.containers().containers()?;
        strangers.retain(|container| !self.record.deployed.fingerprints.contains_key(container.name()));
        if strangers.is_empty() {
            return Ok(());
        }
        progress(Progress::Step("stopping containers"));
        stop_containers(self.deployment, &strangers, GRACE)
    }

    /// Stops containers that are no longer wanted as they are.
    pub(super) fn stop_old(
        &mut self,
        dataplane: &mut Client,
        names: &BTreeSet<String>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), RuntimeError> {
        if names.is_empty() {
            return Ok(());
        }
        progress(Progress::Step("stopping containers"));
        let layout = self.deployment.containers();
        let containers: Vec<_> = names.iter().map(|name| layout.container(name)).collect();
        stop_containers(self.deployment, &containers, GRACE)?;
        dataplane.detach(names.iter().filter_map(|name| self.port(name)).collect())?;
        self.record.deployed.fingerprints.retain(|name, _| !names.contains(name));
        self.instances.old.retain(|name| !names.contains(name));
        self.instances.fresh = self.fresh(&self.instances.old);
        self.write_record()
    }

    /// Launches containers and notes those that could be; says which could not.
    pub(super) fn launch(
        &mut self,
        names: &BTreeSet<String>,
        (done_before, total): (usize, usize),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<ContainerFailure>, RuntimeError> {
        let orders = self.orders(names)?;
        let (mut done, mut failures) = (done_before, Vec::new());
        if orders.is_empty() {
            return Ok(failures);
        }
        progress(Progress::Containers { done, total });
        let mut finished = BTreeSet::new();
        let mut warnings: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let ran = launcher::launch(self.deployment, &orders, |Outcome { name, result }| {
            done += 1;
            finished.insert(name.clone());
            match result {
                Ok(texts) => {
                    for text in texts {
                        warnings.entry(text).or_default().push(name.clone());
                    }
                }
                Err(reason) => failures.push(self.failure(&name, reason)),
            }
            progress(Progress::Containers { done, total });
        });
        for (text, names) in warnings {
            let whose =
                if names.len() == 1 { names[0].clone() } else { format!("{} containers", names.len()) };
            progress(Progress::Warning(format!("{whose}: {text}")));
        }
        ran?;
        let unheard = names.iter().filter(|name| !finished.contains(*name));
        failures.extend(
            unheard.map(|name| self.failure(name, "the launcher did not say what became of it".into())),
        );
        for name in names.iter().filter(|name| failures.iter().all(|failure| failure.name != **name)) {
            if let Some(container) = self.wanted.container(name) {
                self.record.deployed.fingerprints.insert(name.clone(), container.fingerprint());
            }
        }
        Ok(failures)
    }

    pub(super) fn failure(&self, name: &str, mut reason: String) -> ContainerFailure {
        let container = self.wanted.container(name);
        let span = container.map(|container| container.span.clone()).unwrap_or_default();
        if let Some(Image::Alias(image)) = container.map(|container| &container.image)
            && reason.contains("not found")
            && let Some(advice) = images::advice(image)
        {
            reason = format!("{reason}; {advice}");
        }
        ContainerFailure { name: name.to_owned(), reason, span }
    }
}

/// The blueprint that containers which are to go were started from: of an `up` that was not finished, the one before, if
/// this one goes on with it.
fn in_force<'a>(record: &'a Record, wanted: &Blueprint) -> &'a Blueprint {
    match &record.unfinished {
        Some(unfinished) if same_network(&record.deployed.blueprint, wanted) => &unfinished.blueprint,
        _ => &record.deployed.blueprint,
    }
}

/// Whether two blueprints ask for the same, wherever in their files.
fn same_network(one: &Blueprint, other: &Blueprint) -> bool {
    Plan::between(Some(&Deployed::of(one)), other).is_empty()
}

/// Port numbers for the containers of a blueprint: those that have one keep it, new ones get the lowest that
/// nobody had in the last run, since its old owner may still be attached.
fn assign_ports(known: &BTreeMap<String, u32>, blueprint: &Blueprint) -> BTreeMap<String, u32> {
    let taken: BTreeSet<u32> = known.values().copied().collect();
    let mut free = (EDGE_PORT + 1..).filter(|port| !taken.contains(port));
    let number = |name: &String| known.get(name).copied().or_else(|| free.next()).unwrap_or(u32::MAX);
    let mut names: Vec<_> = blueprint.containers.iter().map(|container| container.name.clone()).collect();
    names.sort_unstable();
    let numbers: Vec<_> = names.iter().map(number).collect();
    names.into_iter().zip(numbers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Container;

    #[test]
    fn port_numbers_stay_and_are_not_handed_on_at_once() {
        let blueprint = |names: &[&str]| Blueprint {
            containers: names
                .iter()
                .map(|name| Container { name: (*name).into(), ..Container::default() })
                .collect(),
            ..Blueprint::default()
        };
        let first = assign_ports(&BTreeMap::new(), &blueprint(&["a", "b"]));
        assert_eq!(first, BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
        let second = assign_ports(&first, &blueprint(&["b", "c"]));
        assert_eq!(second, BTreeMap::from([("b".into(), 2), ("c".into(), 3)]));
        let third = assign_ports(&second, &blueprint(&["b", "d"]));
        assert_eq!(third, BTreeMap::from([("b".into(), 2), ("d".into(), 1)]));
    }
}
