//! Bringing what runs to what a blueprint asks for, touching nothing else.
//!
//! The state directory and the living processes are the truth; the record only says what was asked for. So a
//! command that dies at any point leaves something that the next one understands: a container that the record
//! does not know is replaced, one that the record knows but that is gone is made again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use host::{Sandbox, State, Status};
use softnic::daemon::Client;

use super::edge::{EdgeClient, PublishedPort};
use super::error::ContainerFailure;
use super::launcher::{self, Order, Outcome};
use super::spec::{Specs, edge_network};
use super::stop::{GRACE, stop_containers, stop_locked};
use super::store::{Deployment, Record, Role, Store};
use super::{RuntimeError, outside, process, publish};
use crate::compile::{EDGE, compile};
use crate::images::{self, Failure, Making, Prepared};
use crate::model::{Blueprint, Image, Party, Publish};
use crate::plan::{Deployed, Plan};

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
    let running = record.map(|record| present(&deployment, record.deployed)).transpose()?;
    Ok(Plan::between(running.as_ref(), blueprint))
}

/// Starts what the blueprint asks for, or changes what runs into it.
///
/// # Errors
/// When something could not be started. A deployment that did not run before is then taken away again; one that
/// did keeps what works.
pub fn up(
    store: &Store,
    blueprint: &Blueprint,
    source: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Deployment, Plan), RuntimeError> {
    outside::ports(blueprint)?;
    let deployment = store.deployment(&blueprint.name);
    // Before anything is made: a port that is taken, or a secret that is missing, costs nothing.
    let fresh = !deployment.exists();
    let lock = deployment.lock()?;
    let result = (|| {
        if !fresh {
            end_strays(&deployment)?;
        }
        let images = images(store, &deployment, blueprint, source, progress)?;
        Up::prepare(&deployment, store, blueprint, source, images)?.run(progress)
    })();
    match result {
        Ok(plan) => Ok((deployment, plan)),
        Err(error) => {
            if fresh {
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
fn cut_off(deployment: &Deployment) -> Result<bool, RuntimeError> {
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

struct Up<'a> {
    deployment: &'a Deployment,
    store: &'a Store,
    wanted: &'a Blueprint,
    plan: Plan,
    record: Record,
    images: Prepared,
}

impl<'a> Up<'a> {
    fn prepare(
        deployment: &'a Deployment,
        store: &'a Store,
        wanted: &'a Blueprint,
        source: &Path,
        images: Prepared,
    ) -> Result<Self, RuntimeError> {
        let recorded = deployment.record()?;
        let running =
            recorded.as_ref().map(|record| present(deployment, record.deployed.clone())).transpose()?;
        let plan = Plan::between(running.as_ref(), wanted);
        let mut record = recorded.unwrap_or_default();
        record.deployed = running.unwrap_or_default();
        record.addresses = record.addresses.next(wanted)?;
        record.ports = assign_ports(&record.ports, wanted);
        record.source = source.to_owned();
        Ok(Self { deployment, store, wanted, plan, record, images })
    }

    fn run(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Plan, RuntimeError> {
        let edge = self.living_edge()?;
        let served = edge.as_ref().map_or(Ok(Vec::new()), EdgeClient::list)?;
        let sockets = publish::bind_new(&self.wanted.publishes, &served)?;
        self.clear_away(progress)?;
        self.deployment.write_record(&self.record)?;
        let mut dataplane = self.living_dataplane(progress)?;
        let edge = self.served_edge(edge, progress)?;
        self.attach_living(&mut dataplane, progress)?;
        if let Some(edge) = &edge {
            // Before any container may send there.
            edge.outside(outside::ports(self.wanted)?)?;
        }
        dataplane.apply(&compile(self.wanted, &self.record.addresses, |name| self.port(name)))?;
        let failures = self.launch(&self.orders()?, progress)?;
        if let Some(edge) = edge {
            self.publish(&edge, sockets)?;
        }
        self.record.deployed = Deployed::of(self.wanted);
        self.record.deployed.fingerprints.retain(|name, _| failures.iter().all(|one| one.name != *name));
        self.deployment.write_record(&self.record)?;
        if failures.is_empty() { Ok(self.plan.clone()) } else { Err(RuntimeError::Containers(failures)) }
    }

    /// The dataplane port of a container, or of the edge.
    fn port(&self, name: &str) -> Option<u32> {
        if name == EDGE { Some(EDGE_PORT) } else { self.record.ports.get(name).copied() }
    }

    /// What is to be launched.
    fn orders(&self) -> Result<Vec<Order>, RuntimeError> {
        let specs = Specs::new(self.deployment, self.store, &self.record.addresses, &self.images)?;
        let replaced = self.plan.replace.iter().map(|replace| replace.name.as_str());
        let names: BTreeSet<&str> = self.plan.create.iter().map(String::as_str).chain(replaced).collect();
        let containers =
            self.wanted.containers.iter().filter(|container| names.contains(container.name.as_str()));
        containers
            .map(|container| {
                let port = self.port(&container.name).unwrap_or_default();
                Ok(Order { port, spec: specs.spec(container, port)? })
            })
            .collect()
    }

    /// Stops containers that are no longer wanted, are to be replaced, or are there without the record's knowledge.
    fn clear_away(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), RuntimeError> {
        let kept: BTreeSet<&str> = self.plan.keep.iter().map(String::as_str).collect();
        let mut doomed = self.deployment.containers().containers()?;
        doomed.retain(|container| !kept.contains(container.name()));
        let names: BTreeSet<String> = doomed.iter().map(|container| container.name().to_owned()).collect();
        self.record.deployed.fingerprints.retain(|name, _| kept.contains(name.as_str()));
        if doomed.is_empty() {
            return Ok(());
        }
        progress(Progress::Step("stopping containers"));
        self.deployment.write_record(&self.record)?;
        stop_containers(self.deployment, &doomed, GRACE)?;
        if let (Some(_), Ok(mut dataplane)) =
            (self.deployment.alive(Role::Dataplane)?, self.connect_dataplane())
        {
            let ports = names.iter().filter_map(|name| self.port(name)).collect();
            dataplane.detach(ports)?;
        }
        Ok(())
    }

    fn connect_dataplane(&self) -> Result<Client, RuntimeError> {
        Ok(Client::connect(&self.deployment.socket(Role::Dataplane))?)
    }

    /// The dataplane, started if it is not there.
    fn living_dataplane(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Client, RuntimeError> {
        if self.deployment.alive(Role::Sandbox)?.is_none() {
            process::start(self.deployment, Role::Sandbox)?;
        }
        if self.deployment.alive(Role::Dataplane)?.is_some()
            && let Ok(mut dataplane) = self.connect_dataplane()
            && dataplane.hello().is_ok()
        {
            return Ok(dataplane);
        }
        progress(Progress::Step("starting the dataplane"));
        if let Some(stuck) = self.deployment.process(Role::Dataplane)? {
            process::end(&[stuck]);
        }
        process::start(self.deployment, Role::Dataplane)?;
        self.connect_dataplane()
    }

    /// Attaches what lives and is not attached: after the dataplane was started again, or because a command was killed
    /// before it came to it.
    fn attach_living(
        &self,
        dataplane: &mut Client,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), RuntimeError> {
        let attached = dataplane.hello()?.ports;
        for container in self.deployment.containers().containers()? {
            let living = Status::observe(&container)?.filter(|status| status.init.is_alive());
            let spec = container.journal()?.map(|journal| journal.spec);
            let port = self.port(container.name()).filter(|port| !attached.contains(port));
            let parts = living.zip(spec).zip(port);
            if let Some(((status, spec), port)) = parts
                && let Some(device) = launcher::device(&spec, status.init)
                && let Err(error) = dataplane.attach(port, container.name(), device)
            {
                progress(Progress::Warning(format!("{} is cut off: {error}", container.name())));
            }
        }
        if let Some(edge) = self.deployment.alive(Role::Edge)?.filter(|_| !attached.contains(&EDGE_PORT)) {
            let network = edge_network(edge);
            dataplane.attach(EDGE_PORT, EDGE, launcher::device_of(&network.kind, edge))?;
        }
        Ok(())
    }

    /// The edge process, if it is of use.
    fn living_edge(&self) -> Result<Option<EdgeClient>, RuntimeError> {
        let Some(noted) = self.deployment.process(Role::Edge)? else { return Ok(None) };
        if noted.is_alive()
            && !cut_off(self.deployment)?
            && let Ok(edge) = EdgeClient::connect(&self.deployment.socket(Role::Edge))
        {
            return Ok(Some(edge));
        }
        // Even one that was killed just now may still hold its ports for a moment.
        process::end(&[noted]);
        Ok(None)
    }

    /// The edge process, started if ports are published or links lead outside and it is not there.
    fn served_edge(
        &self,
        living: Option<EdgeClient>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<EdgeClient>, RuntimeError> {
        let needed = !self.wanted.publishes.is_empty() || !outside::ports(self.wanted)?.is_empty();
        if living.is_some() || !needed {
            return Ok(living);
        }
        progress(Progress::Step("starting the edge"));
        process::start(self.deployment, Role::Edge)?;
        Ok(Some(EdgeClient::connect(&self.deployment.socket(Role::Edge))?))
    }

    fn launch(
        &self,
        orders: &[Order],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<ContainerFailure>, RuntimeError> {
        let (total, mut done, mut failures) = (orders.len(), 0, Vec::new());
        if total == 0 {
            return Ok(failures);
        }
        progress(Progress::Containers { done, total });
        let mut finished = BTreeSet::new();
        let mut warnings: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let ran = launcher::launch(self.deployment, orders, |Outcome { name, result }| {
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
        let unheard = orders.iter().map(|order| &order.spec.name).filter(|name| !finished.contains(*name));
        failures.extend(
            unheard.map(|name| self.failure(name, "the launcher did not say what became of it".into())),
        );
        Ok(failures)
    }

    fn failure(&self, name: &str, mut reason: String) -> ContainerFailure {
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

    /// Leads the published ports to their targets, and closes those that are no longer wanted.
    fn publish(
        &self,
        edge: &EdgeClient,
        mut sockets: BTreeMap<PublishedPort, OwnedFd>,
    ) -> Result<(), RuntimeError> {
        let wanted: BTreeSet<_> = self.wanted.publishes.iter().map(publish::port_of).collect();
        for served in edge.list()? {
            if !wanted.contains(&served.port) {
                edge.withdraw(served.port)?;
            }
        }
        for publish in &self.wanted.publishes {
            let Some(target) = self.target(publish) else { continue };
            let port = publish::port_of(publish);
            let socket = sockets.remove(&port);
            edge.publish(port, target, socket.as_ref().map(AsFd::as_fd))?;
        }
        Ok(())
    }

    /// Where a published port leads.
    fn target(&self, publish: &Publish) -> Option<SocketAddr> {
        let address = match &publish.to {
            Party::Container(name) | Party::Service(name) => self.record.addresses.get(name),
            Party::PublicInternet => None,
        };
        address.map(|address| SocketAddr::from((address.ipv4, publish.container_port)))
    }
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
