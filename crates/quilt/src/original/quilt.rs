//! The deployment of Quilt 0.2, July 2017.
//!
//! The record has a deployment's `machines` and settings as they are, its `services` in the order they were
//! deployed, and each container once in `containers`; services hold positions in that list.

use std::collections::HashSet;

use super::{Places, assign, dockerfiles, ids, json, map, number_of};
use crate::eval::raw::Raw;
use crate::fault::Fault;

/// What connections call everything outside.
const PUBLIC: &str = "public";

/// The containers of a service, by their positions.
fn members(service: &Raw) -> impl Iterator<Item = usize> + '_ {
    service.list("containers").iter().filter_map(|at| match at {
        Raw::Number(at) => Some(*at as usize),
        _ => None,
    })
}

/// Everything Quilt refuses to deploy.
pub(super) fn vet(record: &Raw, places: Places<'_>) -> Vec<Fault> {
    let services = record.list("services");
    let containers = record.list("containers");
    let deployed: HashSet<&str> = services.iter().map(|service| service.text("name")).collect();
    let mut faults = Vec::new();
    let mut hostnames = HashSet::new();
    for service in services {
        let name = service.text("name");
        let undeployed =
            |other: &str| format!("deploy it: `deployment.deploy({other})`, or remove this line");
        for connection in service.list("inbound") {
            let from = connection.text("from");
            if !deployed.contains(from) {
                let what =
                    format!("service '{name}' allows connections from '{from}', which is never deployed");
                faults.push(places.fault(connection, what, undeployed(from)));
            }
        }
        let mut floating = false;
        for placement in service.list("placements") {
            floating |= !is_falsy(placement.get("floatingIp"));
            match placement.get("otherLabel") {
                Raw::Text(other) if !deployed.contains(other.as_str()) => {
                    let what = format!("service '{name}' is placed by '{other}', which is never deployed");
                    faults.push(places.fault(placement, what, undeployed(other)));
                }
                _ => {}
            }
        }
        if floating && !service.list("incoming").is_empty() && service.list("containers").len() > 1 {
            let what = format!("service '{name}' has a floating address and several containers");
            let help =
                "an address leads to one container: give the service one, or let in nothing from outside";
            faults.push(places.fault(service, what, help));
        }
        for container in members(service).filter_map(|at| containers.get(at)) {
            let hostname = container.get("value").get("hostname");
            if *hostname != Raw::Undefined && !hostnames.insert(json::plain(hostname)) {
                let what = format!("host name {} is used more than once", json::plain(hostname));
                let help = "give each container its own, and put one that has one into a single service";
                faults.push(places.fault(container, what, help));
            }
        }
    }
    let used = services.iter().flat_map(members).filter_map(|at| containers.get(at));
    faults.extend(dockerfiles(used, places));
    faults
}

/// The deployment as Quilt's daemon is given it.
pub(super) fn deployment(record: &Raw) -> Raw {
    let mut machines = record.list("machines").to_vec();
    let what: Vec<String> = machines.iter().map(machine_key).collect();
    let machine_ids = ids::ids(what.iter().map(String::as_str).zip(machines.iter().map(number_of)));
    for (machine, id) in machines.iter_mut().zip(machine_ids) {
        assign(machine, "id", Raw::Text(id));
    }
    let containers: Vec<&Raw> = record.list("containers").iter().map(|entry| entry.get("value")).collect();
    let what: Vec<String> = containers.iter().map(|container| container_key(container)).collect();
    let numbers = containers.iter().map(|container| number_of(container));
    let container_ids = ids::ids(what.iter().map(String::as_str).zip(numbers));
    let services = record.list("services");
    let mut seen = HashSet::new();
    let mut unique = Vec::new();
    for at in services.iter().flat_map(members) {
        let (Some(container), Some(id)) = (containers.get(at), container_ids.get(at)) else { continue };
        if seen.insert(id) {
            let mut container = (*container).clone();
            assign(&mut container, "id", Raw::Text(id.clone()));
            unique.push(container);
        }
    }
    let label = |service: &Raw| {
        let ids = members(service).filter_map(|at| container_ids.get(at).cloned().map(Raw::Text)).collect();
        map([
            ("name", service.get("name").clone()),
            ("ids", Raw::List(ids)),
            ("annotations", service.get("annotations").clone()),
        ])
    };
    map([
        ("machines", Raw::List(machines)),
        ("labels", Raw::List(services.iter().map(label).collect())),
        ("containers", Raw::List(unique)),
        ("connections", Raw::List(services.iter().flat_map(connections).collect())),
        ("placements", Raw::List(services.iter().flat_map(placements).collect())),
        ("invariants", record.get("invariants").clone()),
        ("namespace", record.get("namespace").clone()),
        ("adminACL", record.get("adminACL").clone()),
        ("maxPrice", record.get("maxPrice").clone()),
    ])
}

/// What a machine is, without the keys that open it.
fn machine_key(machine: &Raw) -> String {
    let range = |name| match machine.get(name) {
        number @ Raw::Number(_) => map([("min", number.clone()), ("max", number.clone())]),
        range => range.clone(),
    };
    let own = |name| machine.get(name).clone();
    json::sorted(&map([
        ("_refID", Raw::Text(String::new())),
        ("provider", own("provider")),
        ("role", own("role")),
        ("region", own("region")),
        ("size", own("size")),
        ("floatingIp", own("floatingIp")),
        ("diskSize", own("diskSize")),
        ("cpu", range("cpu")),
        ("ram", range("ram")),
        ("preemptible", own("preemptible")),
    ]))
}

/// What a container is; its host name is no part of it.
fn container_key(container: &Raw) -> String {
    let image = container.get("image");
    let own = |name| container.get(name).clone();
    json::sorted(&map([
        ("_refID", Raw::Text(String::new())),
        (
            "image",
            map([("name", image.get("name").clone()), ("dockerfile", image.get("dockerfile").clone())]),
        ),
        ("command", own("command")),
        ("env", own("env")),
        ("filepathToContent", own("filepathToContent")),
    ]))
}

fn connections(service: &Raw) -> Vec<Raw> {
    let own = service.get("name");
    let public = Raw::Text(PUBLIC.into());
    let connection = |from: &Raw, to: &Raw, ports: &Raw| {
        map([
            ("from", from.clone()),
            ("to", to.clone()),
            ("minPort", ports.get("min").clone()),
            ("maxPort", ports.get("max").clone()),
        ])
    };
    let inbound = service.list("inbound").iter().map(|ports| connection(ports.get("from"), own, ports));
    let outgoing = service.list("outgoing").iter().map(|ports| connection(own, &public, ports));
    let incoming = service.list("incoming").iter().map(|ports| connection(&public, own, ports));
    inbound.chain(outgoing).chain(incoming).collect()
}

fn placements(service: &Raw) -> Vec<Raw> {
    let placement = |rule: &Raw| {
        let or_empty = |name| {
            let value = rule.get(name);
            if is_falsy(value) { Raw::Text(String::new()) } else { value.clone() }
        };
        map([
            ("targetLabel", service.get("name").clone()),
            ("exclusive", rule.get("exclusive").clone()),
            ("otherLabel", or_empty("otherLabel")),
            ("provider", or_empty("provider")),
            ("size", or_empty("size")),
            ("region", or_empty("region")),
            ("floatingIp", or_empty("floatingIp")),
        ])
    };
    service.list("placements").iter().map(placement).collect()
}

/// Whether JavaScript takes a value for false.
fn is_falsy(value: &Raw) -> bool {
    match value {
        Raw::Undefined | Raw::Null | Raw::Bool(false) => true,
        Raw::Number(number) => *number == 0.0 || number.is_nan(),
        Raw::Text(text) => text.is_empty(),
        _ => false,
    }
}
