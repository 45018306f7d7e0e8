//! Manifests as drafts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use super::needs::{host_variable, mentions};
use super::{Container, Draft, Link, Source, label};
use crate::kubernetes::manifest::{PodContainer, PortName, Quantity, ServicePort};
use crate::kubernetes::ports::{PortSet, Transport};
use crate::kubernetes::reach::Reach;
use crate::kubernetes::read::{Cluster, Service, Workload};
use crate::model::{Ports, Protocol, Restart, Text};

/// An address of the public internet: what reaches it reaches that.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(8, 8, 8, 8);

/// A draft of what manifests run: links are what their policies allow by name of ports, and where they allow
/// everything, what is shown to be needed.
pub fn draft(cluster: &Cluster, reach: &Reach, name: &str, origin: &str) -> Draft {
    let namespaces: BTreeSet<&str> =
        cluster.workloads.iter().map(|workload| workload.namespace.as_str()).collect();
    let single = namespaces.len() == 1;
    let name = match namespaces.first() {
        Some(only) if single && *only != "default" => only,
        _ => name,
    };
    let mut draft = Draft { name: label(name), origin: origin.to_owned(), ..Draft::default() };
    for note in &cluster.notes {
        draft.note(note.clone());
    }
    let mut labels: Vec<String> = Vec::new();
    for workload in &cluster.workloads {
        let wanted =
            if single { workload.name.clone() } else { format!("{}-{}", workload.namespace, workload.name) };
        let mut unique = label(&wanted);
        while labels.contains(&unique) {
            unique.truncate(60);
            unique.push_str("-x");
        }
        labels.push(unique);
    }
    for (workload, name) in cluster.workloads.iter().zip(&labels) {
        let container = container(cluster, workload, name, &mut draft);
        draft.containers.push(container);
    }
    let services: Vec<(&Service, Vec<usize>)> =
        cluster.services.iter().map(|service| (service, selected(cluster, service))).collect();
    self::services(&services, &labels, single, &mut draft);
    for from in 0..cluster.workloads.len() {
        let texts = texts(cluster, &cluster.workloads[from]);
        for to in 0..cluster.workloads.len() {
            if from == to && cluster.workloads[to].count < 2 {
                continue;
            }
            for (ports, protocol, why) in links(cluster, reach, &services, (from, &texts), to, &mut draft) {
                draft.link(Link {
                    from: labels[from].clone(),
                    to: Some(labels[to].clone()),
                    ports,
                    protocol,
                    why,
                });
            }
        }
    }
    for (from, name) in labels.iter().enumerate() {
        outside(cluster, reach, from, name, &mut draft);
    }
    publishes(&services, cluster, &labels, &mut draft);
    draft
}

/// The workloads whose pods a service leads to.
fn selected(cluster: &Cluster, service: &Service) -> Vec<usize> {
    let selector = &service.spec.selector;
    let is_member = |workload: &Workload| {
        !selector.is_empty()
            && workload.namespace == service.namespace
            && selector.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
    };
    (0..cluster.workloads.len()).filter(|at| is_member(&cluster.workloads[*at])).collect()
}

/// Services whose name is not that of their only workload.
fn services(services: &[(&Service, Vec<usize>)], labels: &[String], single: bool, draft: &mut Draft) {
    for (service, members) in services.iter().filter(|(_, members)| !members.is_empty()) {
        let wanted =
            if single { service.name.clone() } else { format!("{}-{}", service.namespace, service.name) };
        let name = label(&wanted);
        let members: Vec<String> = members.iter().map(|at| labels[*at].clone()).collect();
        let taken = labels.contains(&name) || draft.services.iter().any(|(other, _)| *other == name);
        if !taken {
            draft.services.push((name, members));
        } else if members != [name.clone()] {
            draft.note(format!("service {wanted} is not taken over: a container has its name"));
        }
    }
}

/// What one workload may connect to another on, and why.
fn links(
    cluster: &Cluster,
    reach: &Reach,
    services: &[(&Service, Vec<usize>)],
    (from, texts): (usize, &[(String, String)]),
    to: usize,
    draft: &mut Draft,
) -> Vec<(Ports, Protocol, String)> {
    let open = reach.between(from, to);
    if open.is_empty() {
        return Vec::new();
    }
    let (ingress, egress) = (&reach.closed_by[to].0, &reach.closed_by[from].1);
    let why: Vec<&str> =
        ingress.iter().chain(egress).map(|policy| cluster.policies[*policy].name.as_str()).collect();
    let why = format!("policies {}", why.join(", "));
    if !open.other {
        return ranges(open, &why, draft);
    }
    let needed = needs(cluster, services, (from, texts), to, draft);
    let mut asked = PortSet::default();
    for (transport, port, _) in &needed {
        asked.add(*transport, *port, *port);
    }
    let reason = needed.first().map(|(.., why)| why.clone()).unwrap_or_default();
    // A policy that names the other shows that it is needed, and its ports are those that it says it has.
    if needed.is_empty() && (!ingress.is_empty() || !egress.is_empty()) {
        let target = &cluster.workloads[to];
        for own in target.pod.containers.iter().flat_map(|container| &container.ports) {
            if let Some(transport) = Transport::named(own.protocol.as_deref()) {
                asked.add(transport, own.container_port, own.container_port);
            }
        }
        if asked.is_empty() {
            let target = target.full_name();
            draft.note(format!(
                "policies let {} reach {target} on every port, and nothing shows which it \
                                needs: there is no link",
                cluster.workloads[from].full_name()
            ));
        }
        return ranges(&asked.intersection(open), &why, draft);
    }
    ranges(&asked.intersection(open), &reason, draft)
}

/// What a workload's policies let it reach of the public internet.
fn outside(cluster: &Cluster, reach: &Reach, from: usize, name: &str, draft: &mut Draft) {
    let egress = &reach.closed_by[from].1;
    if egress.is_empty() {
        return;
    }
    let why: Vec<&str> = egress.iter().map(|policy| cluster.policies[*policy].name.as_str()).collect();
    let why = format!("policies {}", why.join(", "));
    let public = IpAddr::V4(PUBLIC);
    for (range, open) in &reach.to_outside[from] {
        if range.first <= public && public <= range.last && !open.other {
            for (ports, protocol, why) in ranges(open, &why, draft) {
                draft.link(Link { from: name.to_owned(), to: None, ports, protocol, why });
            }
        } else if range.first.is_ipv4() {
            draft.note(format!("{name} may reach {range}: addresses outside are not told apart"));
        }
    }
}

fn ranges(open: &PortSet, why: &str, draft: &mut Draft) -> Vec<(Ports, Protocol, String)> {
    let mut links = Vec::new();
    for (transport, protocol) in [(Transport::Tcp, Protocol::Tcp), (Transport::Udp, Protocol::Udp)] {
        let of = open.ranges(transport).iter();
        links.extend(of.map(|(min, max)| (Ports { min: *min, max: *max }, protocol, why.to_owned())));
    }
    if !open.ranges(Transport::Sctp).is_empty() {
        draft.note("ports of SCTP are not taken over");
    }
    links
}

/// What the texts of one workload show that it needs of another: ports of its pods.
fn needs(
    cluster: &Cluster,
    services: &[(&Service, Vec<usize>)],
    (from, texts): (usize, &[(String, String)]),
    to: usize,
    draft: &mut Draft,
) -> Vec<(Transport, u16, String)> {
    let mut needs = Vec::new();
    let (source, target) = (&cluster.workloads[from], &cluster.workloads[to]);
    for (service, members) in services.iter().filter(|(_, members)| members.contains(&to)) {
        debug_assert!(!members.is_empty());
        let suffixes = ["", ".svc", ".svc.cluster.local"].map(|end| format!(".{}{end}", service.namespace));
        // The longest first: the others are its beginnings.
        let suffixes: Vec<String> = suffixes.into_iter().rev().collect();
        for (key, text) in texts {
            let of_host = host_variable(key);
            let sibling: Option<u16> =
                of_host.as_ref().and_then(|port| texts.iter().find(|(key, _)| key == port)?.1.parse().ok());
            for mention in mentions(text, &service.name, &suffixes, of_host.is_some()) {
                let asked = mention.port.or(sibling);
                let ports =
                    service.spec.ports.iter().filter(|port| asked.is_none_or(|asked| asked == port.port));
                for port in ports {
                    for (transport, inside) in pod_ports(port, target) {
                        if inside != port.port {
                            draft.note(format!(
                                "{} calls {}:{}, which is port {inside} of its pods: change what it calls",
                                source.name, service.name, port.port
                            ));
                        }
                        needs.push((transport, inside, key.clone()));
                    }
                }
            }
        }
    }
    needs
}

/// Ports of a workload's pods that a port of a service leads to.
fn pod_ports(port: &ServicePort, target: &Workload) -> Vec<(Transport, u16)> {
    let Some(transport) = Transport::named(port.protocol.as_deref()) else { return Vec::new() };
    match &port.target_port {
        None => vec![(transport, port.port)],
        Some(PortName::Number(number)) => vec![(transport, *number)],
        Some(PortName::Name(name)) => {
            let own = target.pod.containers.iter().flat_map(|container| &container.ports);
            let named = own.filter(|own| own.name.as_ref() == Some(name));
            named.map(|own| (transport, own.container_port)).collect()
        }
    }
}

/// Environment and commands of a workload, with the variable's name or `command`.
fn texts(cluster: &Cluster, workload: &Workload) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for container in &workload.pod.containers {
        for (name, text) in env(cluster, &workload.namespace, container) {
            if let Text::Plain(text) = text {
                texts.push((name, text));
            }
        }
        texts.extend(
            container.command.iter().chain(&container.args).map(|word| ("command".into(), word.clone())),
        );
    }
    texts
}

fn env(cluster: &Cluster, namespace: &str, container: &PodContainer) -> BTreeMap<String, Text> {
    let mut env = BTreeMap::new();
    for variable in &container.env {
        let source = variable.value_from.clone().unwrap_or_default();
        let text = if let Some(secret) = source.secret_key_ref {
            Text::Secret { secret: format!("{}-{}", secret.name, secret.key) }
        } else if let Some(key) = source.config_map_key_ref {
            let map = cluster.config_maps.get(&(namespace.to_owned(), key.name));
            let Some(text) = map.and_then(|map| map.get(&key.key)) else { continue };
            Text::Plain(text.clone())
        } else {
            // `$$(` is how a manifest writes `$(`.
            Text::Plain(variable.value.clone().unwrap_or_default().replace("$$(", "$("))
        };
        env.insert(variable.name.clone(), text);
    }
    env
}

fn container(cluster: &Cluster, workload: &Workload, name: &str, draft: &mut Draft) -> Container {
    let Some(own) = workload.pod.containers.first() else {
        draft.note(format!("{name} has no containers"));
        return Container { name: name.to_owned(), replicas: 1, ..Container::default() };
    };
    if workload.pod.containers.len() > 1 || !workload.pod.init_containers.is_empty() {
        draft.note(format!("of the containers of {name} only {} is taken over", own.name));
    }
    if workload.kind == "CronJob" {
        draft.note(format!("{name} runs once, not at its times"));
    }
    let limit = |key: &str| {
        own.resources.as_ref().and_then(|resources| match resources.limits.get(key)? {
            Quantity::Text(text) => Some(text.clone()),
            Quantity::Number(value) => Some(value.to_string()),
        })
    };
    let cpu = limit("cpu").and_then(|cpu| match cpu.strip_suffix('m') {
        Some(milli) => milli.parse::<f64>().ok().map(|milli| milli / 1000.0),
        None => cpu.parse().ok(),
    });
    let (mounts, files) = mounts(cluster, workload, own, name, draft);
    let user =
        own.security_context.as_ref().and_then(|context| match (context.run_as_user, context.run_as_group) {
            (Some(user), Some(group)) => Some(format!("{user}:{group}")),
            (Some(user), None) => Some(user.to_string()),
            (None, _) => None,
        });
    let words = own.command.iter().chain(&own.args);
    Container {
        name: name.to_owned(),
        image: own.image.clone(),
        build: None,
        command: words.map(|word| word.replace("$$(", "$(")).collect(),
        env: env(cluster, &workload.namespace, own),
        files,
        mounts,
        user,
        workdir: own.working_dir.clone(),
        memory: limit("memory").and_then(|amount| memory(&amount)),
        cpu,
        pids: None,
        restart: match workload.pod.restart_policy.as_deref() {
            Some("OnFailure") => Restart::OnFailure,
            Some("Never") => Restart::Never,
            _ => Restart::Always,
        },
        health: None,
        depends_on: Vec::new(),
        replicas: workload.count.max(1),
    }
}

/// A quantity of memory as weft writes one: `Mi` is `M`, and `M`, a million, is written out.
fn memory(amount: &str) -> Option<String> {
    let digits = amount.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(amount.len());
    let (number, unit) = amount.split_at(digits);
    let factor = match unit {
        "" => return Some(number.to_owned()),
        "Ki" | "Mi" | "Gi" | "Ti" => return Some(format!("{number}{}", &unit[..1])),
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| ((number * factor) as u64).to_string())
}

type Mounts = BTreeMap<String, (Source, bool)>;

fn mounts(
    cluster: &Cluster,
    workload: &Workload,
    own: &PodContainer,
    name: &str,
    draft: &mut Draft,
) -> (Mounts, BTreeMap<String, Text>) {
    let (mut mounts, mut files) = (Mounts::new(), BTreeMap::new());
    for mount in &own.volume_mounts {
        let volume = workload.pod.volumes.iter().find(|volume| volume.name == mount.name);
        let path = mount.mount_path.trim_end_matches('/').to_owned();
        let read_only = mount.read_only.unwrap_or(false);
        let Some(volume) = volume else { continue };
        if let Some(host) = &volume.host_path {
            mounts.insert(path, (Source::Host(host.path.clone()), read_only));
        } else if let Some(claim) = &volume.persistent_volume_claim {
            mounts.insert(path, (Source::Named(label(&claim.claim_name)), read_only));
        } else if let Some(config) = &volume.config_map {
            let map = cluster.config_maps.get(&(workload.namespace.clone(), config.name.clone()));
            for (key, text) in map.into_iter().flatten() {
                match &mount.sub_path {
                    None => files.insert(format!("{path}/{key}"), Text::Plain(text.clone())),
                    Some(only) if only == key => files.insert(path.clone(), Text::Plain(text.clone())),
                    Some(_) => None,
                };
            }
        } else if let (Some(secret), Some(key)) = (&volume.secret, &mount.sub_path) {
            files.insert(path, Text::Secret { secret: format!("{}-{key}", secret.secret_name) });
        } else {
            draft.note(format!("volume {} of {name} is not taken over", volume.name));
        }
    }
    (mounts, files)
}

/// Ports of services that are open to what is outside.
fn publishes(services: &[(&Service, Vec<usize>)], cluster: &Cluster, labels: &[String], draft: &mut Draft) {
    for (service, members) in services {
        let is_open = matches!(service.spec.kind.as_deref(), Some("LoadBalancer" | "NodePort"));
        let Some(first) = members.first().filter(|_| is_open) else { continue };
        let names: Vec<&String> = members.iter().map(|at| &labels[*at]).collect();
        let of_all =
            draft.services.iter().find(|(_, of)| names.len() > 1 && of.iter().eq(names.iter().copied()));
        let to = of_all.map_or(&labels[*first], |(name, _)| name).clone();
        if of_all.is_none() && names.len() > 1 {
            draft
                .note(format!("service {} leads to several workloads: only {to} is published", service.name));
        }
        for port in &service.spec.ports {
            for (transport, inside) in pod_ports(port, &cluster.workloads[*first]) {
                let protocol = match transport {
                    Transport::Tcp => Protocol::Tcp,
                    Transport::Udp => Protocol::Udp,
                    Transport::Sctp => continue,
                };
                if draft.publishes.iter().any(|(_, host, _, of)| (*host, *of) == (port.port, protocol)) {
                    draft.note(format!(
                        "port {} is taken: {} is not published there",
                        port.port, service.name
                    ));
                } else {
                    draft.publishes.push((to.clone(), port.port, inside, protocol));
                }
            }
        }
    }
}
