//! The tables of the original, as its clients read them: the rows of each as a JSON list.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha1::{Digest, Sha1};

use super::lower::{Lowered, PUBLIC, ids};
use super::{Deployment, VERSION};
use crate::address::AddressPlan;
use crate::runtime::{ContainerRow, Listing};

/// A machine. There is one in every deployment: this one, which runs everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Machine {
    /// Its number.
    #[serde(rename = "ID")]
    pub id: i64,
    /// A hash of what it is.
    #[serde(rename = "StitchID")]
    pub stitch_id: String,
    /// `Master` or `Worker`.
    pub role: String,
    /// Whose it is.
    pub provider: String,
    /// Where it is.
    pub region: String,
    /// Which kind it is.
    pub size: String,
    /// Its disk, in GiB.
    pub disk_size: i64,
    /// Who may log in.
    #[serde(rename = "SSHKeys")]
    pub ssh_keys: Vec<String>,
    /// Its lasting address.
    #[serde(rename = "FloatingIP")]
    pub floating_ip: String,
    /// Whether it may be taken back.
    pub preemptible: bool,
    /// What its provider calls it.
    #[serde(rename = "CloudID")]
    pub cloud_id: String,
    /// Where it is reached from outside.
    #[serde(rename = "PublicIP")]
    pub public_ip: String,
    /// Where it is reached by containers.
    #[serde(rename = "PrivateIP")]
    pub private_ip: String,
    /// How it is.
    pub status: String,
}

/// A container. What is empty is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Container {
    /// Its address.
    #[serde(rename = "IP", skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// The address of its machine.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub minion: String,
    /// The hash that the deployment knows it by.
    #[serde(rename = "StitchID", skip_serializing_if = "String::is_empty")]
    pub stitch_id: String,
    /// What it is called where it runs.
    #[serde(rename = "DockerID", skip_serializing_if = "String::is_empty")]
    pub docker_id: String,
    /// How it is: `running`, `exited` and so on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Its command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Its groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Its environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Its files.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub filepath_to_content: BTreeMap<String, String>,
    /// When it was started, RFC 3339.
    pub created: String,
    /// Its image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
}

/// A group of containers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Label {
    /// Its number.
    #[serde(rename = "ID")]
    pub id: i64,
    /// Its name.
    pub label: String,
    /// Its address.
    #[serde(rename = "IP")]
    pub ip: String,
    /// Those of its containers.
    #[serde(rename = "ContainerIPs")]
    pub container_ips: Vec<String>,
}

/// A permission to connect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Connection {
    /// Who: a label, or `public`.
    pub from: String,
    /// To whom.
    pub to: String,
    /// On which ports, the lowest.
    pub min_port: i64,
    /// The highest.
    pub max_port: i64,
}

/// An image that is to be built.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Image {
    /// Its number.
    #[serde(rename = "ID")]
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it is built from.
    pub dockerfile: String,
    /// What was built.
    #[serde(rename = "DockerID")]
    pub docker_id: String,
    /// How that went.
    pub status: String,
}

/// What was deployed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Cluster {
    /// Its number.
    #[serde(rename = "ID")]
    pub id: i64,
    /// Its name.
    pub namespace: String,
    /// The deployment, as JSON.
    pub blueprint: String,
}

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Etcd {
    /// Its number.
    #[serde(rename = "ID")]
    pub id: i64,
    /// Who has a vote.
    #[serde(rename = "EtcdIPs")]
    pub etcd_ips: Vec<String>,
    /// Whether it is who is asked.
    pub leader: bool,
    /// The leader's address.
    #[serde(rename = "LeaderIP")]
    pub leader_ip: String,
}

/// What tables are made from.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) lowered: &'a Lowered,
    /// What runs of it, if anything does.
    pub(super) listing: Option<&'a Listing>,
}

/// The rows of a table, `db.Container` or just `Container`; without a deployment each has none. `None` for a table
/// that there is not.
pub(super) fn rows(table: &str, view: Option<&View<'_>>) -> Option<serde_json::Result<Value>> {
    let name = table.strip_prefix("db.").unwrap_or(table);
    if !["Machine", "Container", "Label", "Connection", "Image", "Cluster", "Etcd"].contains(&name) {
        return None;
    }
    let Some(view) = view else { return Some(Ok(Value::Array(Vec::new()))) };
    Some(match name {
        "Machine" if view.deployment.is_empty() => Ok(Value::Array(Vec::new())),
        "Machine" => serde_json::to_value([view.machine()]),
        "Container" => serde_json::to_value(view.containers()),
        "Label" => serde_json::to_value(view.labels()),
        "Connection" => serde_json::to_value(view.connections()),
        "Image" => serde_json::to_value(view.images()),
        "Cluster" => serde_json::to_value([view.cluster()]),
        _ => serde_json::to_value([etcd()]),
    })
}

/// This machine's address, as containers see it.
fn gateway() -> String {
    AddressPlan::gateway().ipv4.to_string()
}

fn etcd() -> Etcd {
    Etcd { id: 1, etcd_ips: vec![gateway()], leader: true, leader_ip: gateway() }
}

impl View<'_> {
    /// This machine, under the identifier of the first worker that the deployment asks for.
    fn machine(&self) -> Machine {
        let worker = self.deployment.machines.iter().find(|machine| machine.role != "Master");
        let own = || {
            let hash = Sha1::digest(format!("weft {VERSION} {}", self.lowered.blueprint.name));
            hash.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        Machine {
            id: 1,
            stitch_id: worker.map(|worker| worker.id.clone()).filter(|id| !id.is_empty()).unwrap_or_else(own),
            role: "Worker".into(),
            provider: "weft".into(),
            region: "local".into(),
            size: "host".into(),
            public_ip: "127.0.0.1".into(),
            private_ip: gateway(),
            status: "connected".into(),
            ..Machine::default()
        }
    }

    fn containers(&self) -> Vec<Container> {
        let ids = ids(self.lowered);
        let row = |name: &str| {
            self.listing.and_then(|listing| listing.containers.iter().find(|row| row.name == name))
        };
        let container = |own: &crate::model::Container| {
            let id = ids.get(own.name.as_str()).copied().unwrap_or_default();
            let asked = self.deployment.containers.iter().find(|asked| asked.id == id);
            let labels = self.deployment.labels.iter().filter(|label| label.ids.iter().any(|one| one == id));
            let mut labels: Vec<String> = labels.map(|label| label.name.clone()).collect();
            labels.sort_unstable();
            let row = row(&own.name);
            Container {
                ip: row.and_then(|row| row.ipv4).map(|ip| ip.to_string()).unwrap_or_default(),
                minion: row.map(|_| gateway()).unwrap_or_default(),
                stitch_id: id.to_owned(),
                docker_id: row.map(|row| row.name.clone()).unwrap_or_default(),
                status: row.map(|row| row.state.clone()).unwrap_or_default(),
                command: asked.map(|asked| asked.command.clone()).unwrap_or_default(),
                labels,
                env: asked.map(|asked| asked.env.clone()).unwrap_or_default(),
                filepath_to_content: asked.map(|asked| asked.filepathtocontent.clone()).unwrap_or_default(),
                created: created(row),
                image: asked.map(|asked| asked.image.name.clone()).unwrap_or_default(),
            }
        };
        let mut rows: Vec<Container> = self.lowered.blueprint.containers.iter().map(container).collect();
        rows.sort_by(|a, b| a.stitch_id.cmp(&b.stitch_id));
        rows
    }

    fn labels(&self) -> Vec<Label> {
        let ip = |ip: Option<std::net::Ipv4Addr>| ip.map(|ip| ip.to_string());
        let label = |(at, asked): (usize, &super::deployment::Label)| {
            let service = self.lowered.labels.get(&asked.name).and_then(|name| {
                self.listing.and_then(|listing| listing.services.iter().find(|row| row.name == *name))
            });
            let members = service.map(|service| service.members.as_slice()).unwrap_or_default();
            let of = |name: &String| {
                let listing = self.listing?;
                ip(listing.containers.iter().find(|row| row.name == *name)?.ipv4)
            };
            Label {
                id: at as i64 + 1,
                label: asked.name.clone(),
                ip: service.and_then(|service| ip(service.ipv4)).unwrap_or_default(),
                container_ips: members.iter().filter_map(of).collect(),
            }
        };
        self.deployment.labels.iter().enumerate().map(label).collect()
    }

    fn connections(&self) -> Vec<Connection> {
        let row = |asked: &super::deployment::Connection| Connection {
            from: asked.from.clone(),
            to: asked.to.clone(),
            min_port: asked.minport,
            max_port: asked.maxport,
        };
        self.deployment.connections.iter().map(row).collect()
    }

    fn images(&self) -> Vec<Image> {
        let mut images: BTreeMap<(&str, &str), ()> = BTreeMap::new();
        for container in self.deployment.containers.iter().filter(|one| !one.image.dockerfile.is_empty()) {
            images.insert((&container.image.name, &container.image.dockerfile), ());
        }
        let row = |(at, (name, dockerfile)): (usize, (&str, &str))| Image {
            id: at as i64 + 1,
            name: name.to_owned(),
            dockerfile: dockerfile.to_owned(),
            ..Image::default()
        };
        images.into_keys().enumerate().map(row).collect()
    }

    fn cluster(&self) -> Cluster {
        let namespace = self.deployment.namespace.clone();
        Cluster { id: 1, namespace, blueprint: self.deployment.to_string() }
    }
}

/// When a container was started: RFC 3339 in UTC, in the original's way the year 1 where it was not.
fn created(row: Option<&ContainerRow>) -> String {
    let Some(ms) = row.and_then(|row| row.started_ms) else { return "0001-01-01T00:00:00Z".into() };
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = date(days);
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", rest % 1000)
}

/// The date of a day after 1970-01-01 (<http://howardhinnant.github.io/date_algorithms.html>, `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, of_year - (153 * shifted_month + 2) / 5 + 1)
}

/// Whether a label means everything outside.
pub fn is_public(label: &str) -> bool {
    label == PUBLIC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_722, (2023, 12, 31)),
            (47_540, (2100, 2, 28)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }

    #[test]
    fn tables_have_the_names_they_had_and_no_others() {
        for table in [
            "db.Machine",
            "db.Container",
            "db.Label",
            "db.Connection",
            "db.Image",
            "db.Cluster",
            "db.Etcd",
            "Label",
        ] {
            assert_eq!(rows(table, None).unwrap().unwrap(), Value::Array(Vec::new()), "{table}");
        }
        for table in ["", "db.", "db.Minion", "db.ACL", "machine", "db.db.Machine"] {
            assert!(rows(table, None).is_none(), "{table}");
        }
    }
}
