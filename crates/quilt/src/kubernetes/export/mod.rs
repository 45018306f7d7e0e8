//! A blueprint as manifests.
//!
//! | blueprint | Kubernetes |
//! |---|---|
//! | deployment | `Namespace` |
//! | container | `Deployment` of one pod (a `Job` where it is not always restarted), headless `Service` of its name |
//! | `replicas: n` | `Deployment` of n pods and a `Service`; where something names a replica, a `Deployment` for each |
//! | service | `Service`: its own address for single ports, the addresses of its members for ranges |
//! | link | a rule of the `NetworkPolicy` of each end; everything else is denied but DNS |
//! | published port | port of a `LoadBalancer` service, and a rule that lets everyone outside in; or listener and route of a [`Gateway`], and a rule that lets the gateway in |
//! | rule of placement | affinity of pods, required: for nodes by their labels, for or against other pods by node |
//! | file, secret, volume | `ConfigMap`, `Secret`, `PersistentVolumeClaim` (or `hostPath`) |
//!
//! What a manifest cannot say is told in [`Exported::notes`].

mod dynamics;
mod gateway;
mod placement;
mod pods;
mod policies;
mod services;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::gateway::{GatewaySpec, RouteSpec};
use super::manifest::{
    ClaimSpec, DataObject, Map, Metadata, NetworkPolicySpec, Object, ServiceSpec, WorkloadSpec,
};
pub use gateway::Gateway;
pub(crate) use placement::node_labels;

use crate::fault::{Fault, Kind};
use crate::model::{Blueprint, Container, Image, Party, PlacementRule, Restart, Service, Text};

/// Label of a pod: which container, or which container with replicas, it is.
const CONTAINER_LABEL: &str = "weft/container";
/// Value of the label that says that a pod is a member of a service.
const MEMBER: &str = "member";
/// Most bytes of files of one container that a `ConfigMap` holds (the API server's limit is 1 MiB in all).
const FILES_BYTES_MAX: usize = 900 << 10;

/// The value of a secret by its name, if it has one.
pub type SecretOf = dyn Fn(&str) -> Option<String>;

/// What a blueprint does not say.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Image of containers that run on the host's own files.
    pub host_image: &'a str,
    /// Networks that pods have their addresses from, so that what is open to everyone outside is not open to them.
    pub pod_networks: &'a [String],
    /// Published ports as a gateway; without it they are services of type `LoadBalancer`.
    pub gateway: Option<&'a Gateway<'a>>,
    /// A namespace that is there; without, the deployment gets one of its own name.
    pub namespace: Option<&'a str>,
    /// Values of secrets; without it no `Secret` is written.
    pub secrets: Option<&'a SecretOf>,
}

/// Image of containers that run on the host's own files, unless said.
pub const HOST_IMAGE: &str = "debian:stable-slim";

impl Default for Options<'_> {
    fn default() -> Self {
        Options { host_image: HOST_IMAGE, pod_networks: &[], gateway: None, namespace: None, secrets: None }
    }
}

/// The manifests, and what they do not say.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// The objects, in the order in which they can be made.
    pub manifests: Vec<Manifest>,
    /// What of the blueprint is lost or different.
    pub notes: Vec<String>,
}

impl Exported {
    /// The manifests as YAML, as `kubectl apply -f` takes it.
    pub fn yaml(&self) -> Result<String, serde_saphyr::ser::Error> {
        let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
        serde_saphyr::to_string_multiple_with_options(&self.manifests, options)
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Manifest {
    /// `Namespace`.
    Namespace(Object<Map>),
    /// `ConfigMap` or `Secret`.
    Data(DataObject),
    /// `PersistentVolumeClaim`.
    Claim(Object<ClaimSpec>),
    /// `NetworkPolicy`.
    Policy(Object<NetworkPolicySpec>),
    /// `Service`.
    Service(Object<ServiceSpec>),
    /// `Deployment` or `Job`.
    Workload(Box<Object<WorkloadSpec>>),
    /// `Gateway`.
    Gateway(Object<GatewaySpec>),
    /// `HTTPRoute`, `TCPRoute` or `UDPRoute`.
    Route(Object<RouteSpec>),
}

/// Writes a checked blueprint as manifests. Policies come before pods, so that no pod is ever open.
pub fn export(blueprint: &Blueprint, options: &Options<'_>) -> Result<Exported, Vec<Fault>> {
    let mut faults = nameable(blueprint);
    faults.extend(led(blueprint));
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut exporter = Exporter {
        blueprint,
        options,
        workloads: workloads(blueprint),
        services_of: services_of(blueprint),
        secrets: BTreeMap::new(),
        volumes: BTreeMap::new(),
        notes: BTreeSet::new(),
        faults: Vec::new(),
    };
    let mut manifests = Vec::new();
    if options.namespace.is_none() {
        manifests.push(Manifest::Namespace(Object {
            api_version: "v1".into(),
            kind: "Namespace".into(),
            metadata: Metadata { namespace: None, ..exporter.metadata(&blueprint.name) },
            spec: Map::new(),
        }));
    }
    let policies = exporter.policies();
    let services = exporter.services();
    let (files, pods) = exporter.pods();
    manifests.extend(policies);
    manifests.extend(exporter.secrets());
    manifests.extend(files);
    manifests.extend(exporter.claims());
    manifests.extend(services);
    manifests.extend(pods);
    manifests.extend(exporter.gateway());
    exporter.lost();
    if !exporter.faults.is_empty() {
        return Err(exporter.faults);
    }
    Ok(Exported { manifests, notes: exporter.notes.into_iter().collect() })
}

/// Names that Kubernetes does not take: a service's starts with a letter (RFC 1035 section 2.3.1).
fn nameable(blueprint: &Blueprint) -> Vec<Fault> {
    let services = blueprint.services.iter().map(|service| (&service.name, &service.span, "service"));
    let containers =
        blueprint.containers.iter().map(|container| (&container.name, &container.span, "container"));
    let wrong =
        services.chain(containers).filter(|(name, ..)| !name.starts_with(|c: char| c.is_ascii_lowercase()));
    let mut seen = HashSet::new();
    let wrong = wrong.filter(|(_, span, _)| seen.insert(*span));
    wrong
        .map(|(name, span, what)| {
            let reason = "on Kubernetes it has to start with a letter";
            Fault::new(Kind::Name { what, name: name.clone(), reason }, span.clone())
        })
        .collect()
}

/// Links that go through network functions: manifests that left them out would let through what the functions do not.
fn led(blueprint: &Blueprint) -> Vec<Fault> {
    let links = blueprint.links.iter().map(|link| (link.to_string(), &link.through, &link.span));
    let publishes =
        blueprint.publishes.iter().map(|publish| (publish.to_string(), &publish.through, &publish.span));
    let led = links.chain(publishes).filter(|(_, through, _)| !through.is_empty());
    led.map(|(shown, _, span)| {
        let what = format!("{shown}: Kubernetes manifests lead no packets through network functions");
        let help = "leave `.through(…)` away for a cluster, for instance where `args.cluster` is set: --arg cluster=yes";
        Fault::new(Kind::Function { what, help: help.into() }, span.clone())
    })
    .collect()
}

/// Pods that are alike: a container, or all replicas of one.
struct Workload<'a> {
    name: &'a str,
    members: &'a [Container],
}

/// Replicas that nothing tells apart are one workload, all other containers one each.
fn workloads(blueprint: &Blueprint) -> Vec<Workload<'_>> {
    let mut named: HashSet<&str> = HashSet::new();
    let ends = blueprint.links.iter().flat_map(|link| [&link.from, &link.to]);
    let placed = blueprint.placements.iter().flat_map(|placement| match &placement.rule {
        PlacementRule::Apart(other) | PlacementRule::Beside(other) => vec![&placement.target, other],
        PlacementRule::On(_) | PlacementRule::NotOn(_) => vec![&placement.target],
    });
    for party in ends.chain(blueprint.publishes.iter().map(|publish| &publish.to)).chain(placed) {
        if let Party::Container(name) = party {
            named.insert(name);
        }
    }
    let mut services: HashMap<&str, HashSet<&str>> = HashMap::new();
    for service in &blueprint.services {
        for member in &service.members {
            services.entry(member).or_default().insert(&service.name);
        }
    }
    let said = said(blueprint);
    let position: HashMap<&str, usize> = blueprint
        .containers
        .iter()
        .enumerate()
        .map(|(at, container)| (container.name.as_str(), at))
        .collect();
    // The workload that starts at a container, and how many containers it has.
    let mut groups: HashMap<usize, (&str, usize)> = HashMap::new();
    for service in &blueprint.services {
        let Some(first) = service.members.first().and_then(|first| position.get(first.as_str())) else {
            continue;
        };
        let members = blueprint.containers.get(*first..*first + service.members.len()).unwrap_or_default();
        let alike = |(at, member): (usize, &Container)| {
            member.name == format!("{}-{}", service.name, at + 1)
                && member.span == service.span
                && Container { name: members[0].name.clone(), ..member.clone() } == members[0]
                && services.get(member.name.as_str()) == services.get(members[0].name.as_str())
                && !named.contains(member.name.as_str())
                && !said.contains(member.name.as_str())
        };
        if members.len() == service.members.len() && members.iter().enumerate().all(alike) {
            groups.insert(*first, (&service.name, members.len()));
        }
    }
    let mut workloads = Vec::new();
    let mut at = 0;
    while let Some(container) = blueprint.containers.get(at) {
        let (name, count) = groups.get(&at).copied().unwrap_or((&container.name, 1));
        workloads.push(Workload { name, members: &blueprint.containers[at..at + count] });
        at += count;
    }
    workloads
}

/// Every word of every text of a blueprint that could be a container's name.
fn said(blueprint: &Blueprint) -> HashSet<&str> {
    let mut texts: Vec<&str> = Vec::new();
    let mut before = None;
    for container in &blueprint.containers {
        // Replicas say the same.
        if before == Some(&container.span) && container.span.is_known() {
            continue;
        }
        before = Some(&container.span);
        texts.extend(container.command.iter().map(String::as_str));
        for text in container.env.values().chain(container.files.values()) {
            if let Text::Plain(text) = text {
                texts.push(text);
            }
        }
    }
    let is_label = |c: char| c.is_ascii_alphanumeric() || c == '-';
    texts
        .into_iter()
        .flat_map(|text| text.split(move |c| !is_label(c)))
        .filter(|word| word.len() > 2)
        .collect()
}

fn services_of(blueprint: &Blueprint) -> HashMap<&str, Vec<&Service>> {
    let mut services: HashMap<&str, Vec<&Service>> = HashMap::new();
    for service in &blueprint.services {
        for member in &service.members {
            services.entry(member).or_default().push(service);
        }
    }
    services
}

struct Exporter<'a> {
    blueprint: &'a Blueprint,
    options: &'a Options<'a>,
    workloads: Vec<Workload<'a>>,
    services_of: HashMap<&'a str, Vec<&'a Service>>,
    /// Objects of the secrets that are used, by the secret's name.
    secrets: BTreeMap<&'a str, String>,
    /// Objects of the named volumes that are used, by the volume's name, and how many pods use each.
    volumes: BTreeMap<&'a str, (String, usize)>,
    notes: BTreeSet<String>,
    faults: Vec<Fault>,
}

impl<'a> Exporter<'a> {
    /// Name, namespace and labels of an object.
    fn metadata(&self, name: &str) -> Metadata {
        let labels = [
            ("app.kubernetes.io/managed-by", "weft"),
            ("app.kubernetes.io/part-of", self.blueprint.name.as_str()),
        ];
        Metadata {
            name: name.to_owned(),
            namespace: Some(self.namespace().to_owned()),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            annotations: Map::new(),
        }
    }

    /// Where everything goes.
    fn namespace(&self) -> &str {
        self.options.namespace.unwrap_or(&self.blueprint.name)
    }

    /// Labels of the pods a party stands for.
    fn labels(&self, party: &Party) -> Map {
        match party {
            Party::Container(name) => [(CONTAINER_LABEL.to_owned(), name.clone())].into(),
            Party::Service(name) => [(member_label(name), MEMBER.to_owned())].into(),
            Party::PublicInternet => Map::new(),
        }
    }

    /// What the manifests cannot say.
    fn lost(&mut self) {
        if self.blueprint.containers.iter().any(|container| container.image == Image::Host) {
            let image = self.options.host_image;
            self.notes.insert(format!(
                "containers without an image run on this machine's files; on Kubernetes their image is {image}"
            ));
        }
        if self.blueprint.containers.iter().any(|container| container.limits.pids.is_some()) {
            self.notes
                .insert("limits of processes are not exported: the kubelet has one for all pods".into());
        }
        if self.blueprint.containers.iter().any(|container| container.restart != Restart::Always) {
            self.notes.insert("containers that are not always restarted are jobs".into());
        }
        if self.blueprint.containers.iter().any(|container| !container.depends_on.is_empty()) {
            self.notes.insert("`dependsOn` is not exported: on Kubernetes all pods start at once".into());
        }
        if !self.blueprint.emulated.is_empty() {
            self.notes
                .insert("emulated links are not exported: packets between pods are not slowed down".into());
        }
    }
}

/// Label that says that a pod is a member of a service; a label of its own, as a pod may be in several.
fn member_label(service: &str) -> String {
    format!("service.weft/{service}")
}

/// A DNS label for an object of a secret or volume, which may have any name: two names never share one.
fn object_name<'n>(name: &str, mut taken: impl Iterator<Item = &'n String>) -> String {
    let lower = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    let lower: String = lower.take(50).collect();
    let lower = lower.trim_matches('-');
    let plain = if lower.is_empty() { "x".to_owned() } else { lower.to_owned() };
    if !taken.any(|other| *other == plain) {
        return plain;
    }
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{plain}-{hash:08x}")
}
