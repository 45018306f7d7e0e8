//! What runs, as the processes and the state directory tell it. Nothing is remembered from an earlier command.

use std::net::{Ipv4Addr, Ipv6Addr};

use host::{Exit, HealthStatus, State};
use serde::Serialize;
use softnic::daemon::{Client, Snapshot};

use super::edge::{EdgeClient, OutsideStatus, PublishedStatus};
use super::store::{Deployment, Role};
use super::{Record, RuntimeError};
use crate::check::placement::{Node, THIS_MACHINE};
use crate::model::{Blueprint, Protocol};

/// Everything that `weft ps` shows of a deployment.
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// The deployment's name.
    pub deployment: String,
    /// The blueprint's file.
    pub source: std::path::PathBuf,
    /// Process number of the dataplane, if it is alive.
    pub dataplane: Option<u32>,
    /// Containers, in the blueprint's order.
    pub containers: Vec<ContainerRow>,
    /// Services, in the blueprint's order.
    pub services: Vec<ServiceRow>,
    /// Published ports.
    pub published: Vec<PublishedRow>,
    /// Containers that still run as an earlier blueprint has them: the last `up` has not come to them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<String>,
    /// What was carried to the outside; absent where no link leads there, or the edge process is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside: Option<OutsideStatus>,
}

/// A container.
#[derive(Clone, Debug, Serialize)]
pub struct ContainerRow {
    /// Its name.
    pub name: String,
    /// What it does; `missing` when it was never started.
    pub state: String,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Process number of its first process, as the host counts, while it lives.
    pub pid: Option<u32>,
    /// How often its command was started again.
    pub restarts: u32,
    /// The code its command last ended with (128 + signal for a signal).
    pub exit: Option<i32>,
    /// When its command last started, in milliseconds after 1970.
    pub started_ms: Option<u64>,
    /// Why it failed, in words.
    pub message: Option<String>,
    /// What its health checks have shown; absent without any, and while it does not run.
    pub health: Option<HealthStatus>,
    /// Its command.
    pub command: Vec<String>,
}

/// A service.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceRow {
    /// Its name.
    pub name: String,
    /// Its virtual IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its virtual IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Who is behind it.
    pub members: Vec<String>,
}

/// A published port.
#[derive(Clone, Debug, Serialize)]
pub struct PublishedRow {
    /// Port of the host.
    pub host_port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Who answers.
    pub to: String,
    /// On which port.
    pub container_port: u16,
    /// What came through it; absent when the edge process is gone.
    pub status: Option<PublishedStatus>,
}

/// What runs, and how it is.
///
/// # Errors
/// When the state cannot be read.
pub fn list(deployment: &Deployment) -> Result<Listing, RuntimeError> {
    let record = deployment.record()?.unwrap_or_default();
    let blueprint = &record.deployed.blueprint;
    let edge = match deployment.alive(Role::Edge)? {
        Some(_) => EdgeClient::connect(&deployment.socket(Role::Edge)).ok(),
        None => None,
    };
    let published = edge.as_ref().and_then(|edge| edge.list().ok());
    Ok(Listing {
        deployment: deployment.name().to_owned(),
        source: record.source.clone(),
        dataplane: deployment.alive(Role::Dataplane)?.map(|process| process.pid),
        containers: containers(deployment, &record)?,
        services: services(&record),
        published: publishes(blueprint, published.as_deref()),
        unfinished: record.unfinished.iter().flat_map(|unfinished| unfinished.containers.clone()).collect(),
        outside: edge.and_then(|edge| edge.carried().ok().flatten()),
    })
}

fn containers(deployment: &Deployment, record: &Record) -> Result<Vec<ContainerRow>, RuntimeError> {
    let layout = deployment.containers();
    let row = |container: &crate::model::Container| {
        let status = host::Status::observe(&layout.container(&container.name))?;
        let address = record.addresses.get(&container.name);
        let alive = status.as_ref().is_some_and(|status| status.init.is_alive());
        Ok(ContainerRow {
            name: container.name.clone(),
            state: status.as_ref().map_or("missing", |status| state_name(status.state)).to_owned(),
            ipv4: address.map(|address| address.ipv4),
            ipv6: address.map(|address| address.ipv6),
            pid: status.as_ref().filter(|_| alive).map(|status| status.init.pid),
            restarts: status.as_ref().map_or(0, |status| status.restarts),
            exit: status.as_ref().and_then(|status| status.exit).map(Exit::code),
            started_ms: status.as_ref().and_then(|status| status.started_ms),
            health: status
                .as_ref()
                .filter(|status| status.state == State::Running)
                .and_then(|status| status.health.clone()),
            message: status.and_then(|status| status.message),
            command: container.command.clone(),
        })
    };
    record.deployed.blueprint.containers.iter().map(row).collect()
}

fn services(record: &Record) -> Vec<ServiceRow> {
    let row = |service: &crate::model::Service| {
        let address = record.addresses.get(&service.name);
        ServiceRow {
            name: service.name.clone(),
            ipv4: address.map(|address| address.ipv4),
            ipv6: address.map(|address| address.ipv6),
            members: service.members.clone(),
        }
    };
    record.deployed.blueprint.services.iter().map(row).collect()
}

fn publishes(blueprint: &Blueprint, statuses: Option<&[PublishedStatus]>) -> Vec<PublishedRow> {
    let row = |publish: &crate::model::Publish| PublishedRow {
        host_port: publish.host_port,
        protocol: publish.protocol,
        to: publish.to.to_string(),
        container_port: publish.container_port,
        status: statuses
            .unwrap_or_default()
            .iter()
            .find(|status| (status.port.port, status.port.protocol) == (publish.host_port, publish.protocol))
            .cloned(),
    };
    blueprint.publishes.iter().map(row).collect()
}

/// This machine, with the cores and the memory that it has.
pub fn this_machine() -> Node {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let about = rustix::system::sysinfo();
    Node {
        name: THIS_MACHINE.into(),
        cpu_milli: Some(cores as u64 * 1000),
        memory_bytes: Some(about.totalram.saturating_mul(about.mem_unit.into())),
        ..Node::default()
    }
}

/// A state's name, as listings show it.
pub fn state_name(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Running => "running",
        State::Backoff => "backoff",
        State::Exited => "exited",
        State::Failed => "failed",
        State::Lost => "lost",
    }
}

/// A connection to the deployment's dataplane.
///
/// # Errors
/// When it is not there; `weft up` brings it back.
pub fn dataplane(deployment: &Deployment) -> Result<Client, RuntimeError> {
    if deployment.alive(Role::Dataplane)?.is_none() {
        return Err(RuntimeError::NoDataplane(deployment.name().to_owned()));
    }
    Ok(Client::connect(&deployment.socket(Role::Dataplane))?)
}

/// Counts of everything in the dataplane, at one moment.
///
/// # Errors
/// When the dataplane is not there.
pub fn snapshot(deployment: &Deployment) -> Result<Snapshot, RuntimeError> {
    Ok(dataplane(deployment)?.snapshot()?)
}
