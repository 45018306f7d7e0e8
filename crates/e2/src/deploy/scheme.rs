//! What never changes while a plan runs.

use std::collections::BTreeMap;

use super::{Deployed, SIDES, SiteId, gates};
use crate::compile::Plan;
use crate::compile::connect::{At, Rule, destination};
use crate::key::Fields;
use crate::plane::proto;
use crate::policy::{Delivery, End, Kind, Policy};

use super::DeployError;

/// Pipelets, rules and attributes of a plan, as data planes are told them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheme {
    pub(super) servers: usize,
    ports: usize,
    attributes: Vec<String>,
    pipelets: Vec<proto::Pipelet>,
    /// By port.
    port_rules: Vec<Vec<proto::Rule>>,
    functions: Vec<Function>,
}

#[derive(Clone, Debug, PartialEq)]
struct Function {
    fields: Fields,
    inside: Vec<u32>,
    legacy: bool,
    gates: u16,
    rules: Vec<proto::Rule>,
    leaving: Vec<proto::Leaving>,
}

/// Whether there is a network function of that name.
pub(super) fn is_native(name: &str) -> bool {
    netbricks::functions::Kind::find(name).is_some()
}

impl Scheme {
    /// That of a plan.
    ///
    /// # Errors
    /// More attributes than a tag has bits.
    pub fn of_plan(policy: &Policy, plan: &Plan) -> Result<Self, DeployError> {
        let travelling = policy.functions.iter().flat_map(|function| {
            let by_metadata =
                function.attributes.iter().filter(|(_, delivery)| *delivery == Delivery::Metadata);
            by_metadata.map(|(name, _)| format!("{}.{name}", function.name))
        });
        let attributes: Vec<String> = travelling.collect();
        if attributes.len() > 64 {
            return Err(DeployError::Attributes(attributes.len()));
        }
        let mut scheme = Self {
            servers: policy.hardware.servers.len(),
            ports: policy.hardware.ports.len(),
            pipelets: pipelets(policy),
            port_rules: vec![Vec::new(); policy.hardware.ports.len()],
            functions: Vec::new(),
            attributes,
        };
        let mut rules: BTreeMap<(usize, Option<&str>), Vec<proto::Rule>> = BTreeMap::new();
        for classifier in &plan.connections.classifiers {
            let converted = converted(&classifier.rules, plan);
            match &classifier.at {
                At::Port(port) => scheme.port_rules[*port] = converted,
                At::Vport(instance, attribute) => {
                    let function = plan.igraph.instances[*instance].function;
                    // Those of its other instances are the same, but where a range need not be asked.
                    rules.entry((function, attribute.as_deref())).or_insert(converted);
                }
            }
        }
        for (place, function) in policy.functions.iter().enumerate() {
            let of = |attribute: Option<&str>| rules.get(&(place, attribute)).cloned().unwrap_or_default();
            let leaving =
                function.attributes.iter().zip(u32::from(SIDES)..).map(|((name, delivery), gate)| {
                    let full = format!("{}.{name}", function.name);
                    let bit = scheme.attributes.iter().position(|known| *known == full);
                    let attribute = (*delivery == Delivery::Port).then_some(name.as_str());
                    proto::Leaving { gate, attributes: bit.map_or(0, |bit| 1 << bit), rules: of(attribute) }
                });
            let leaving = leaving.collect();
            scheme.functions.push(Function {
                fields: plan.igraph.keys[place],
                inside: function.inside.iter().map(|port| *port as u32).collect(),
                legacy: function.kind == Kind::Legacy,
                gates: gates(policy, place),
                rules: of(None),
                leaving,
            });
        }
        Ok(scheme)
    }

    /// What a site is told.
    pub(super) fn program(&self, deployed: &Deployed, site: SiteId) -> proto::Program {
        proto::Program {
            epoch: deployed.epoch,
            seed: deployed.seed,
            idle_ns: deployed.idle_ns,
            flows: deployed.flows,
            attributes: self.attributes.clone(),
            pipelets: self.pipelets.clone(),
            ports: (0..self.ports).map(|port| self.port(port, site)).collect(),
            groups: self.groups(deployed).collect(),
            instances: deployed.instances.keys().map(|id| self.instance(deployed, *id, site)).collect(),
            trunks: self.trunks(site),
        }
    }

    fn port(&self, port: usize, site: SiteId) -> proto::Port {
        let (at, rules) = match site {
            0 => (proto::port::At::Gate(port as u32), self.port_rules[port].clone()),
            _ => (proto::port::At::Trunk(0), Vec::new()),
        };
        proto::Port { id: port as u32, at: Some(at), rules }
    }

    fn groups<'a>(&'a self, deployed: &'a Deployed) -> impl Iterator<Item = proto::Group> + 'a {
        let shared = self.functions.iter().zip(&deployed.functions).zip(0..);
        let used = shared.filter(|((_, shared), _)| !shared.parts.is_empty());
        used.map(|((function, shared), id)| proto::Group {
            id,
            fields: function.fields.bits().into(),
            inside: function.inside.clone(),
            parts: shared
                .parts
                .iter()
                .map(|(range, instance)| proto::Part {
                    start: range.start,
                    end: range.end,
                    instance: *instance,
                })
                .collect(),
            exceptions: shared
                .exceptions
                .iter()
                .map(|(key, instance)| proto::Exception { key: *key, instance: *instance })
                .collect(),
        })
    }

    fn instance(&self, deployed: &Deployed, id: u32, site: SiteId) -> proto::Instance {
        let one = &deployed.instances[&id];
        let function = &self.functions[one.function];
        let at = if one.site == site {
            let detour =
                one.detour.map(|(range, to)| proto::Detour { start: range.start, end: range.end, to });
            let back = one.back.as_ref();
            proto::instance::At::Here(proto::Local {
                gate: one.gate.into(),
                gates: function.gates.into(),
                legacy: function.legacy,
                rules: function.rules.clone(),
                leaving: function.leaving.clone(),
                detour,
                back: back.map(|(keys, to)| proto::Return { keys: keys.iter().copied().collect(), to: *to }),
            })
        } else {
            // All that is elsewhere is behind the switch, for it behind the server's link.
            proto::instance::At::Trunk(if site == 0 { one.site as u32 - 1 } else { 0 })
        };
        proto::Instance { id, group: one.function as u32, at: Some(at) }
    }

    fn trunks(&self, site: SiteId) -> Vec<proto::Trunk> {
        match site.checked_sub(1) {
            None => (0..self.servers)
                .map(|server| {
                    let (local, remote) = ends(server);
                    proto::Trunk { gate: (self.ports + server) as u32, local, remote }
                })
                .collect(),
            Some(server) => {
                let (remote, local) = ends(server);
                vec![proto::Trunk { gate: 0, local, remote }]
            }
        }
    }
}

/// Addresses of a server's link, at the switch and at the server; link-local (RFC 3927), since they mean something on that link alone.
fn ends(server: usize) -> (u32, u32) {
    let first = 0xa9fe_0100 + server as u32 * 4;
    (first + 1, first + 2)
}

fn pipelets(policy: &Policy) -> Vec<proto::Pipelet> {
    let pipelet = |pipelet: &crate::policy::Pipelet| {
        let ends = || pipelet.edges.iter().flat_map(|edge| [edge.from, edge.to]);
        let start = pipelet.edges.iter().find_map(|edge| match edge.from {
            End::Port(port) => Some(port as u32),
            End::Function(_) => None,
        });
        let mut groups: Vec<u32> = ends()
            .filter_map(|end| match end {
                End::Function(function) => Some(function as u32),
                End::Port(_) => None,
            })
            .collect();
        groups.sort_unstable();
        groups.dedup();
        proto::Pipelet { traffic: pipelet.traffic.to_string(), port: start.unwrap_or(u32::MAX), groups }
    };
    policy.pipelets.iter().map(pipelet).collect()
}

/// Rules that lead to instances, as rules that lead to their functions.
fn converted(rules: &[Rule], plan: &Plan) -> Vec<proto::Rule> {
    let mut converted: Vec<proto::Rule> = Vec::new();
    let mut last = None;
    for rule in rules.iter().filter(|rule| last.replace(rule.order) != Some(rule.order)) {
        let to = match destination(rule.action, &plan.igraph) {
            End::Function(function) => proto::rule::To::Group(function as u32),
            End::Port(port) => proto::rule::To::Port(port as u32),
        };
        converted.push(proto::Rule {
            pipelets: rule.pipelets.iter().flatten().map(|pipelet| *pipelet as u32).collect(),
            filter: rule.filter.to_string(),
            sets: rule.sets.map(|pipelet| pipelet as u32),
            to: Some(to),
        });
    }
    converted
}
