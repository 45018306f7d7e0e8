//! Names: a service for each container and service of the blueprint, and one for published ports.

use std::collections::{BTreeMap, BTreeSet};

use super::{Exporter, Manifest};
use crate::kubernetes::manifest::{Object, PortName, ServicePort, ServiceSpec};
use crate::model::{Party, Ports, Protocol, Publish};

/// Most ports of a service with an address of its own; with more, its name stands for its members' addresses.
const SERVICE_PORTS_MAX: usize = 64;

impl Exporter<'_> {
    pub(super) fn services(&self) -> Vec<Manifest> {
        let mut manifests = Vec::new();
        for workload in &self.workloads {
            // The service of a container with replicas is among the blueprint's own.
            if let [container] = workload.members
                && container.name == workload.name
            {
                let party = Party::Container(container.name.clone());
                manifests.push(self.service(&container.name, headless(), &party));
            }
        }
        for service in &self.blueprint.services {
            let party = Party::Service(service.name.clone());
            let spec = match self.listens(&party) {
                Some(ports) => ServiceSpec { ports, ..ServiceSpec::default() },
                None => headless(),
            };
            manifests.push(self.service(&service.name, spec, &party));
        }
        let mut published: BTreeMap<&Party, Vec<&Publish>> = BTreeMap::new();
        for publish in &self.blueprint.publishes {
            published.entry(&publish.to).or_default().push(publish);
        }
        for (party, publishes) in published {
            let ports = publishes.into_iter().map(|publish| ServicePort {
                name: Some(format!("{}-{}", publish.protocol, publish.host_port)),
                port: publish.host_port,
                target_port: Some(PortName::Number(publish.container_port)),
                protocol: Some(word(publish.protocol).into()),
            });
            // A gateway reaches them through an address of the cluster.
            let kind = self.options.gateway.is_none().then(|| "LoadBalancer".into());
            let spec = ServiceSpec { kind, ports: ports.collect(), ..ServiceSpec::default() };
            manifests.push(self.service(&self.public_name(party.name()), spec, party));
        }
        manifests
    }

    fn service(&self, name: &str, spec: ServiceSpec, party: &Party) -> Manifest {
        Manifest::Service(Object {
            api_version: "v1".into(),
            kind: "Service".into(),
            metadata: self.metadata(name),
            spec: ServiceSpec { selector: self.labels(party), ..spec },
        })
    }

    /// The single ports that links and published ports open of a service; `None` if there are none, or ranges.
    fn listens(&self, party: &Party) -> Option<Vec<ServicePort>> {
        let links = self.blueprint.links.iter().filter(|link| link.to == *party);
        let links = links.map(|link| (link.ports, link.protocol));
        let publishes = self.blueprint.publishes.iter().filter(|publish| publish.to == *party);
        let publishes = publishes.map(|publish| (Ports::one(publish.container_port), publish.protocol));
        let mut ports: BTreeSet<(u16, Protocol)> = BTreeSet::new();
        for (range, protocol) in links.chain(publishes) {
            if range.min != range.max {
                return None;
            }
            let protocols: &[Protocol] = match protocol {
                Protocol::Any => &[Protocol::Tcp, Protocol::Udp],
                Protocol::Tcp => &[Protocol::Tcp],
                Protocol::Udp => &[Protocol::Udp],
            };
            ports.extend(protocols.iter().map(|protocol| (range.min, *protocol)));
        }
        let port = |(port, protocol): (u16, Protocol)| ServicePort {
            name: Some(format!("{protocol}-{port}")),
            port,
            target_port: None,
            protocol: Some(word(protocol).into()),
        };
        let fits = !ports.is_empty() && ports.len() <= SERVICE_PORTS_MAX;
        fits.then(|| ports.into_iter().map(port).collect())
    }

    /// A name that no container or service has.
    pub(super) fn public_name(&self, name: &str) -> String {
        let is_taken = |name: &str| {
            self.blueprint.services.iter().any(|service| service.name == name)
                || self.workloads.iter().any(|workload| workload.name == name)
        };
        let base: String = name.chars().take(50).collect();
        let mut public = format!("{base}-public");
        let mut number = 2;
        while is_taken(&public) {
            public = format!("{base}-public{number}");
            number += 1;
        }
        public
    }
}

/// A name that stands for the addresses of pods, on every port.
fn headless() -> ServiceSpec {
    ServiceSpec { cluster_ip: Some("None".into()), ..ServiceSpec::default() }
}

fn word(protocol: Protocol) -> &'static str {
    if protocol == Protocol::Udp { "UDP" } else { "TCP" }
}
