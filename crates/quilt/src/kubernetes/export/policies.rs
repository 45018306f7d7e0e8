//! Links and published ports as network policies: one for each party, and two for all.

use std::collections::BTreeMap;

use super::{Exporter, Manifest};
use crate::kubernetes::manifest::{
    EgressRule, IngressRule, IpBlock, LabelSelector, NetworkPolicySpec, Object, Peer, PolicyPort, PortName,
};
use crate::model::{Party, Ports, Protocol};

/// Networks that are not the public internet: private, shared and link-local addresses (RFC 1918, RFC 6598,
/// RFC 3927).
const PRIVATE_IPV4: [&str; 5] =
    ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"];
/// The same (RFC 4193, RFC 4291 section 2.5.6).
const PRIVATE_IPV6: [&str; 2] = ["fc00::/7", "fe80::/10"];

/// Rules of one policy under construction.
#[derive(Default)]
struct Rules {
    ingress: Vec<IngressRule>,
    egress: Vec<EgressRule>,
    /// What they were written as, and where.
    lines: Vec<String>,
}

impl Exporter<'_> {
    pub(super) fn policies(&self) -> Vec<Manifest> {
        let mut rules: BTreeMap<&Party, Rules> = BTreeMap::new();
        for link in &self.blueprint.links {
            let ports = policy_ports(link.ports, link.protocol);
            let from = rules.entry(&link.from).or_default();
            from.lines.push(format!("{link} ({})", link.span));
            let to = match &link.to {
                Party::PublicInternet => internet(),
                party => vec![self.peer(party)],
            };
            add(&mut from.egress, EgressRule { to, ports: ports.clone() });
            if link.to != Party::PublicInternet {
                let to = rules.entry(&link.to).or_default();
                if link.from != link.to {
                    to.lines.push(format!("{link} ({})", link.span));
                }
                add(&mut to.ingress, IngressRule { from: vec![self.peer(&link.from)], ports });
            }
        }
        for publish in &self.blueprint.publishes {
            let to = rules.entry(&publish.to).or_default();
            to.lines.push(format!("published: {publish} ({})", publish.span));
            let ports = policy_ports(Ports::one(publish.container_port), publish.protocol);
            add(&mut to.ingress, IngressRule { from: self.everyone(), ports });
        }
        let mut manifests = vec![self.deny(), self.dns()];
        for (party, rules) in rules {
            let types = [("Ingress", !rules.ingress.is_empty()), ("Egress", !rules.egress.is_empty())];
            let spec = NetworkPolicySpec {
                pod_selector: LabelSelector { match_labels: self.labels(party), ..LabelSelector::default() },
                policy_types: types
                    .iter()
                    .filter(|(_, is)| *is)
                    .map(|(kind, _)| (*kind).to_owned())
                    .collect(),
                ingress: rules.ingress,
                egress: rules.egress,
            };
            let mut policy = self.policy(party.name(), spec);
            policy.metadata.annotations.insert("weft/links".into(), rules.lines.join("\n"));
            manifests.push(Manifest::Policy(policy));
        }
        manifests
    }

    fn policy(&self, name: &str, spec: NetworkPolicySpec) -> Object<NetworkPolicySpec> {
        Object {
            api_version: "networking.k8s.io/v1".into(),
            kind: "NetworkPolicy".into(),
            metadata: self.metadata(name),
            spec,
        }
    }

    /// Nothing passes that no other policy allows. No container can be called that: names have no dots.
    fn deny(&self) -> Manifest {
        let policy_types = ["Ingress", "Egress"].map(str::to_owned).into();
        let spec = NetworkPolicySpec { policy_types, ..NetworkPolicySpec::default() };
        Manifest::Policy(self.policy("weft.deny", spec))
    }

    /// Every container may look up names.
    fn dns(&self) -> Manifest {
        let servers = Peer {
            namespace_selector: Some(LabelSelector::of("kubernetes.io/metadata.name", "kube-system")),
            pod_selector: Some(LabelSelector::of("k8s-app", "kube-dns")),
            ip_block: None,
        };
        let ports = policy_ports(Ports::one(53), Protocol::Any);
        let spec = NetworkPolicySpec {
            policy_types: vec!["Egress".into()],
            egress: vec![EgressRule { to: vec![servers], ports }],
            ..NetworkPolicySpec::default()
        };
        Manifest::Policy(self.policy("weft.dns", spec))
    }

    fn peer(&self, party: &Party) -> Peer {
        let selector = LabelSelector { match_labels: self.labels(party), ..LabelSelector::default() };
        Peer { pod_selector: Some(selector), ..Peer::default() }
    }

    /// Who published ports are open to: the gateway, or everyone outside, also private addresses, as which load
    /// balancers often show.
    fn everyone(&self) -> Vec<Peer> {
        if let Some(gateway) = self.options.gateway {
            return gateway.peers(&self.blueprint.name);
        }
        let block = |cidr: &str, is_ipv6: bool| {
            let except = self.options.pod_networks.iter().filter(|network| network.contains(':') == is_ipv6);
            address_block(cidr, except.cloned().collect())
        };
        vec![block("0.0.0.0/0", false), block("::/0", true)]
    }
}

/// The public internet: pods have private addresses, so these are left out.
fn internet() -> Vec<Peer> {
    let owned = |networks: &[&str]| networks.iter().map(|network| (*network).to_owned()).collect();
    vec![address_block("0.0.0.0/0", owned(&PRIVATE_IPV4)), address_block("::/0", owned(&PRIVATE_IPV6))]
}

fn address_block(cidr: &str, except: Vec<String>) -> Peer {
    Peer { ip_block: Some(IpBlock { cidr: cidr.into(), except }), ..Peer::default() }
}

/// Adds a rule unless it was said before.
fn add<R: PartialEq>(rules: &mut Vec<R>, rule: R) {
    if !rules.contains(&rule) {
        rules.push(rule);
    }
}

fn policy_ports(ports: Ports, protocol: Protocol) -> Vec<PolicyPort> {
    let one = |protocol: &str| PolicyPort {
        protocol: Some(protocol.into()),
        port: Some(PortName::Number(ports.min)),
        end_port: (ports.min < ports.max).then_some(ports.max),
    };
    match protocol {
        Protocol::Any => vec![one("TCP"), one("UDP")],
        Protocol::Tcp => vec![one("TCP")],
        Protocol::Udp => vec![one("UDP")],
    }
}
