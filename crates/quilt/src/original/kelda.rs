//! The deployment of Kelda 0.8 (January 2018) and 0.13 (March 2018).
//!
//! The record is empty until an infrastructure is made. Then it has the infrastructure's settings, its `machines`,
//! `loadBalancers` and `containers` in the order they were deployed, and the `connections` in the order they were
//! allowed, by host name. Only 0.13 has `volumes`, and mounts and privileges of containers.

use std::collections::HashSet;

use super::{Places, dockerfiles, ids, json, map, number_of};
use crate::eval::raw::Raw;
use crate::fault::{Fault, similar};

/// What connections call everything outside.
const PUBLIC: &str = "public";

/// Whether there is an infrastructure at all.
fn is_made(record: &Raw) -> bool {
    !record.get("machines").is_absent()
}

/// Everything Kelda refuses to deploy.
pub(super) fn vet(record: &Raw, places: Places<'_>) -> Vec<Fault> {
    if !is_made(record) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let namespace = record.text("namespace");
    if namespace.chars().any(|c| c.to_lowercase().next() != Some(c)) {
        let help = format!("write '{}'", namespace.to_lowercase());
        faults.push(places.fault(record, format!("namespace '{namespace}' has capitals"), help));
    }
    let mut taken = HashSet::from([PUBLIC]);
    let balancers = record.list("loadBalancers").iter().map(|entry| (entry, entry.text("name")));
    let containers =
        record.list("containers").iter().map(|entry| (entry, entry.get("value").text("hostname")));
    for (entry, name) in balancers.chain(containers) {
        if !taken.insert(name) {
            let what = format!("host name '{name}' is used more than once");
            let help = "deploy each thing once, and leave `hostname` as it was given";
            faults.push(places.fault(entry, what, help));
        }
    }
    for connection in record.list("connections") {
        let ends = connection.list("from").iter().chain(connection.list("to"));
        let mut named = HashSet::new();
        for end in ends {
            let Raw::Text(name) = end else { continue };
            if !taken.contains(name.as_str()) && named.insert(name) {
                let hint = similar(name, taken.iter().copied());
                let hint = hint.map(|hint| format!(", or did you mean '{hint}'?")).unwrap_or_default();
                let what = format!("traffic is allowed for '{name}', which is never deployed");
                let help = format!("deploy it with `.deploy(infrastructure)`{hint}");
                faults.push(places.fault(connection, what, help));
            }
        }
    }
    faults.extend(dockerfiles(record.list("containers").iter(), places));
    let place = |machine: &Raw| (machine.text("provider").to_owned(), machine.text("region").to_owned());
    let machines = record.list("machines");
    if let Some(pair) = machines.windows(2).find(|pair| place(&pair[0]) != place(&pair[1])) {
        let [first, second] = [&pair[0], &pair[1]].map(place);
        let shown = |(provider, region): (String, String)| format!("'{provider}' in region '{region}'");
        let what = format!("machines are of {} and of {}", shown(first), shown(second));
        let help = "all machines of a deployment have one provider and one region";
        faults.push(places.fault(record, what, help));
    }
    faults
}

/// The deployment as Kelda's daemon is given it.
pub(super) fn deployment(record: &Raw) -> Raw {
    if !is_made(record) {
        return map([]);
    }
    let entries = record.list("containers");
    let what: Vec<String> = entries.iter().map(|entry| key(entry.get("value"))).collect();
    let numbers = entries.iter().map(|entry| number_of(entry.get("value")));
    let ids = ids::ids(what.iter().map(String::as_str).zip(numbers));
    let containers = entries.iter().zip(ids).map(|(entry, id)| container(entry, id)).collect();
    let balancer = |entry: &Raw| {
        map([("name", entry.get("name").clone()), ("hostnames", entry.get("hostnames").clone())])
    };
    let connection = |entry: &Raw| without(entry, &["at"]);
    let placements = entries.iter().flat_map(|entry| entry.list("placements").to_vec()).collect();
    // What a machine of that size has was for the blueprint to read.
    let machine = |machine: &Raw| without(machine, &["cpu", "ram"]);
    let all =
        |name: &str, each: &dyn Fn(&Raw) -> Raw| Raw::List(record.list(name).iter().map(each).collect());
    let mut deployment = vec![
        ("machines", all("machines", &machine)),
        ("loadBalancers", all("loadBalancers", &balancer)),
        ("containers", Raw::List(containers)),
        ("connections", all("connections", &connection)),
        ("placements", Raw::List(placements)),
    ];
    if !record.get("volumes").is_absent() {
        deployment.push(("volumes", all("volumes", &volume)));
    }
    deployment.push(("namespace", record.get("namespace").clone()));
    deployment.push(("adminACL", record.get("adminACL").clone()));
    Raw::Map(deployment.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// What a container is; not its mounts, nor whether it is privileged.
fn key(container: &Raw) -> String {
    let own = |name| (name, container.get(name).clone());
    json::sorted(&map(["image", "command", "env", "filepathToContent", "hostname"].map(own)))
}

fn container(entry: &Raw, id: String) -> Raw {
    let value = entry.get("value");
    let own = |name: &str| (name.to_owned(), value.get(name).clone());
    let mut members = vec![("id".to_owned(), Raw::Text(id))];
    members.extend(["image", "command", "env", "filepathToContent", "hostname"].map(own));
    if !entry.get("mounts").is_absent() {
        members.push(own("privileged"));
        members.push(("volumeMounts".to_owned(), entry.get("mounts").clone()));
    }
    Raw::Map(members)
}

/// Name and type of a volume, and everything else it was given.
fn volume(volume: &Raw) -> Raw {
    map([
        ("name", volume.get("name").clone()),
        ("type", volume.get("type").clone()),
        ("conf", without(volume, &["name", "type"])),
    ])
}

/// An object without some of its members.
fn without(object: &Raw, names: &[&str]) -> Raw {
    match object {
        Raw::Map(members) => {
            Raw::Map(members.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect())
        }
        other => other.clone(),
    }
}
