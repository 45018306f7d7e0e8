//! How a cluster is.

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::{Past, Record, Shifting};
use super::{LiveError, Site};
use crate::deploy::{Deployed, site_name};
use crate::plane::proto;
use crate::policy::{Kind, Policy};

/// A cluster at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its manager's epoch.
    pub epoch: u64,
    /// The switch, then the servers.
    pub sites: Vec<SiteStatus>,
    /// The process that manages it, if one does.
    pub manager: Option<u32>,
    /// What moves, where, and why.
    pub moving: Vec<String>,
    /// What has happened, the oldest first.
    pub history: Vec<Past>,
    /// Ports to the world.
    pub ports: Vec<PortStatus>,
    /// Instances.
    pub instances: Vec<InstanceStatus>,
}

/// A site.
#[derive(Clone, Debug, Serialize)]
pub struct SiteStatus {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Why it does not answer, if it does not.
    pub error: Option<String>,
    /// Packets that ended there, by cause; those that a queue had no room for are with its instance.
    pub drops: BTreeMap<String, u64>,
}

/// A port.
#[derive(Clone, Debug, Serialize)]
pub struct PortStatus {
    /// Its name.
    pub name: String,
    /// What it is.
    pub at: String,
    /// Packets that came in.
    pub received: u64,
    /// Packets that left.
    pub sent: u64,
}

/// An instance.
#[derive(Clone, Debug, Serialize)]
pub struct InstanceStatus {
    /// `ids.2`.
    pub name: String,
    /// Its number.
    pub id: u32,
    /// Its site.
    pub site: String,
    /// Whether it is native.
    pub native: bool,
    /// Its hashes.
    pub ranges: Vec<String>,
    /// Packets and bytes that were handed to it.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Packets that left it.
    pub left: u64,
    /// Flows that it is known to have.
    pub flows: u64,
    /// Packets that were sent on to another instance, by detour and by return.
    pub sent_on: u64,
    /// Packets that wait in front of it, or found no room there.
    pub queued: u64,
    /// Packets that found no room there.
    pub overrun: u64,
}

impl Shifting {
    /// What moves, where, and why.
    pub(super) fn text(&self, deployed: &Deployed, policy: &Policy) -> String {
        let name = |id| deployed.name(policy, id);
        let (source, target) = (name(self.moving.source), name(self.moving.target));
        format!("{} goes from {source} to {target}: {}", self.moving.range, self.why)
    }
}

/// Asks all sites. One that does not answer is told as such.
pub fn status(record: &Record, policy: &Policy) -> Status {
    let mut status = Status {
        name: record.name.clone(),
        epoch: record.deployed.epoch,
        sites: Vec::new(),
        manager: record.manager.filter(|process| process.is_alive()).map(|process| process.pid),
        moving: record.moving.iter().map(|shifting| shifting.text(&record.deployed, policy)).collect(),
        history: record.history.clone(),
        ports: Vec::new(),
        instances: Vec::new(),
    };
    for (place, site) in record.sites.iter().enumerate() {
        let there = || match site.process.is_alive() {
            true => Ok(()),
            false => Err(LiveError::Died(site.name.clone())),
        };
        let asked = there().and_then(|()| Site::connect(site)).and_then(|mut client| {
            let report = client.report()?;
            add(&mut status, record, policy, place, &mut client, &report)?;
            let mut drops = client.losses()?;
            drops.extend(report.drops.into_iter().map(|drop| (drop.cause, drop.packets)));
            Ok(drops)
        });
        let (drops, error) = match asked {
            Ok(drops) => (drops, None),
            Err(error) => (BTreeMap::new(), Some(error.to_string())),
        };
        status.sites.push(SiteStatus { name: site.name.clone(), pid: site.process.pid, error, drops });
    }
    status.instances.sort_by_key(|instance| instance.id);
    status
}

fn add(
    status: &mut Status,
    record: &Record,
    policy: &Policy,
    site: usize,
    client: &mut Site,
    report: &proto::Report,
) -> Result<(), LiveError> {
    if site == 0 {
        let known =
            report.ports.iter().filter_map(|port| Some((port, policy.hardware.ports.get(port.id as usize)?)));
        status.ports.extend(known.map(|(port, own)| PortStatus {
            name: own.name.clone(),
            at: own.at.clone().unwrap_or_default(),
            received: port.received,
            sent: port.sent,
        }));
    }
    for told in &report.instances {
        let Some(placed) = record.deployed.instances.get(&told.id) else { continue };
        let native = policy.functions[placed.function].kind == Kind::Native;
        let queues = if native { client.queues(told.id)? } else { Default::default() };
        status.instances.push(InstanceStatus {
            name: record.deployed.name(policy, told.id),
            id: told.id,
            site: site_name(policy, site).to_owned(),
            native,
            ranges: record.deployed.parts_of(told.id).map(|range| range.to_string()).collect(),
            packets: told.packets,
            bytes: told.bytes,
            left: told.left,
            flows: told.flows,
            sent_on: told.detoured + told.returned,
            queued: queues.iter().map(|queue| queue.count).sum(),
            overrun: queues.iter().map(|queue| queue.dropped).sum(),
        });
    }
    Ok(())
}
