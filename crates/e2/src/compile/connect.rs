//! Step 6: virtual ports, the classifiers at them, and the rules of the switch.
//!
//! An instance takes packets by one vport and gives them by one, and by one more for every attribute that it delivers by a port.
//! What decides where a packet goes sits at the vport that it leaves by: predicates with what the vport says about attributes
//! put in, and the hash ranges. Whatever leads to another server gets a tunnel tag, one for each vport that is reached from
//! elsewhere and one for each port, and the switch has one rule for each tag.

use std::collections::BTreeMap;

use serde::Serialize;

use super::merge::{Alternative, PGraph, Told};
use super::offload::Offload;
use super::split::{IGraph, Node};
use crate::filter::{Attribute, Filter};
use crate::key::{Fields, HashRange};
use crate::policy::{Delivery, End, Kind, Policy};

/// Where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Site {
    /// In the switch's table.
    Switch,
    /// On a server, by place.
    Server(usize),
}

/// A virtual port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vport {
    /// `ids.2:in`, `ids.2:out`, `ids.2:safe`.
    pub name: String,
    /// Its instance.
    pub instance: usize,
    /// Where it is.
    pub site: Site,
    /// How its instance takes packets.
    pub kind: Kind,
    /// Its tunnel tag, where packets come to it from elsewhere.
    pub tag: Option<u32>,
}

/// What a rule does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Hands it to an instance on the same site.
    Deliver(usize),
    /// Sends it to an instance elsewhere, in a tunnel.
    Tunnel {
        /// The instance.
        instance: usize,
        /// The tag.
        tag: u32,
    },
    /// Sends it out by a port of the switch: at the switch at once, from a server in a tunnel.
    Port {
        /// The port.
        port: usize,
        /// The tag; none at the switch.
        tag: Option<u32>,
    },
}

/// One rule of a classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Of all that match, the lowest is taken.
    pub order: (usize, usize),
    /// The pipelets whose packets it takes, by tag; none where it need not ask.
    pub pipelets: Option<Vec<usize>>,
    /// Which packets.
    pub filter: Filter,
    /// The hashes that it asks for, and over what.
    pub range: Option<(Fields, HashRange)>,
    /// The pipelet that it writes into the packet's tag, where headers told it.
    pub sets: Option<usize>,
    /// What becomes of them.
    pub action: Action,
}

/// Where a classifier sits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// At a port, in the switch.
    Port(usize),
    /// At a vport of an instance; the attribute that it stands for, if any.
    Vport(usize, Option<String>),
}

/// The rules for what leaves somewhere. What no rule takes ends there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classifier {
    /// Where.
    pub at: At,
    /// On which site.
    pub site: Site,
    /// By order.
    pub rules: Vec<Rule>,
}

/// A switch's rule for a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TagRule {
    /// The tag.
    pub tag: u32,
    /// Where it leads: to the server of an instance, or out by a port.
    pub to: Destination,
}

/// What a tag stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// An instance.
    Instance(usize),
    /// A port.
    Port(usize),
}

/// Everything that is set up around the instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Virtual ports, by instance.
    pub vports: Vec<Vport>,
    /// Classifiers: of ports, then of vports.
    pub classifiers: Vec<Classifier>,
    /// Rules for tags, by tag.
    pub tags: Vec<TagRule>,
    /// Entries of the switch's table: one for every tag, one for every rule of a classifier in the switch, and those of
    /// functions that were put there.
    pub entries: u64,
    /// Instances that change the key by which packets find them, with the hashes that packets on their way back must have: such
    /// an instance picks new addresses and ports so that they have.
    pub reverse: Vec<(usize, Fields, HashRange)>,
}

/// Connects all instances. `servers` is by instance.
pub fn connect(
    policy: &Policy,
    pgraph: &PGraph,
    igraph: &IGraph,
    servers: &[usize],
    offload: &Offload,
) -> Connections {
    let sites: Vec<Site> = igraph
        .instances
        .iter()
        .zip(servers)
        .map(
            |(instance, server)| {
                if offload.has(instance.function) { Site::Switch } else { Site::Server(*server) }
            },
        )
        .collect();
    let site = |node: Node| match node {
        Node::Port(_) => Site::Switch,
        Node::Instance(place) => sites[place],
    };
    let mut tags: BTreeMap<Destination, u32> = BTreeMap::new();
    for edge in igraph.edges.iter().filter(|edge| site(edge.from) != site(edge.to)) {
        let destination = match edge.to {
            Node::Instance(place) if sites[place] != Site::Switch => Destination::Instance(place),
            Node::Instance(place) => Destination::Instance(place), // the switch's own table takes it from there
            Node::Port(place) => Destination::Port(place),
        };
        tags.insert(destination, 0);
    }
    for (tag, given) in tags.values_mut().zip(1..) {
        *tag = given;
    }
    let mut connections = Connections {
        vports: Vec::new(),
        classifiers: Vec::new(),
        tags: tags.iter().map(|(to, tag)| TagRule { tag: *tag, to: *to }).collect(),
        entries: 0,
        reverse: Vec::new(),
    };
    for (place, instance) in igraph.instances.iter().enumerate() {
        let (function, name) = (&policy.functions[instance.function], igraph.name(policy, place));
        let mut vport = |what: &str, tag: Option<u32>| {
            let vport = Vport {
                name: format!("{name}:{what}"),
                instance: place,
                site: sites[place],
                kind: function.kind,
                tag,
            };
            connections.vports.push(vport);
        };
        vport("in", tags.get(&Destination::Instance(place)).copied());
        vport("out", None);
        by_port(policy, instance.function).for_each(|attribute| vport(attribute, None));
        let key = igraph.keys[instance.function];
        if instance.range != HashRange::ALL && function.rewrites.has_any(key) {
            connections.reverse.push((place, key, instance.range));
        }
    }
    let starts = (0..policy.hardware.ports.len())
        .map(Node::Port)
        .chain((0..igraph.instances.len()).map(Node::Instance));
    let mut leaving: BTreeMap<Node, Vec<usize>> = BTreeMap::new();
    for (at, edge) in igraph.edges.iter().enumerate() {
        leaving.entry(edge.from).or_default().push(at);
    }
    for from in starts {
        let edges = leaving.get(&from).map_or(&[][..], Vec::as_slice);
        for at in classifier_sites(policy, igraph, from) {
            let mut rules = Vec::new();
            for edge in edges.iter().map(|at| &igraph.edges[*at]) {
                let action = action(edge.to, site(from), &sites, &tags);
                let key = match edge.to {
                    Node::Instance(place) => igraph.keys[igraph.instances[place].function],
                    Node::Port(_) => Fields::NONE,
                };
                let range = edge.range.map(|range| (key, range));
                rules.extend(
                    pgraph.edges[edge.of]
                        .alternatives
                        .iter()
                        .filter_map(|alternative| rule(policy, igraph, alternative, &at, range, action)),
                );
            }
            rules.sort_by_key(|rule| (rule.order, rule.range.map(|(_, range)| range)));
            connections.classifiers.push(Classifier { at, site: site(from), rules });
        }
    }
    let in_switch = connections
        .classifiers
        .iter()
        .filter(|one| one.site == Site::Switch)
        .map(|one| one.rules.len() as u64);
    connections.entries = in_switch.sum::<u64>() + tags.len() as u64 + offload.entries(policy);
    connections
}

/// The attributes that a function delivers by ports of their own.
fn by_port(policy: &Policy, function: usize) -> impl Iterator<Item = &str> {
    let attributes = policy.functions[function].attributes.iter();
    attributes.filter(|(_, delivery)| *delivery == Delivery::Port).map(|(name, _)| name.as_str())
}

fn classifier_sites(policy: &Policy, igraph: &IGraph, from: Node) -> Vec<At> {
    match from {
        Node::Port(port) => vec![At::Port(port)],
        Node::Instance(place) => {
            let own = by_port(policy, igraph.instances[place].function).map(|name| Some(name.to_owned()));
            std::iter::once(None).chain(own).map(|attribute| At::Vport(place, attribute)).collect()
        }
    }
}

fn action(to: Node, from: Site, sites: &[Site], tags: &BTreeMap<Destination, u32>) -> Action {
    match to {
        Node::Port(port) if from == Site::Switch => Action::Port { port, tag: None },
        Node::Port(port) => Action::Port { port, tag: tags.get(&Destination::Port(port)).copied() },
        Node::Instance(instance) if sites[instance] == from => Action::Deliver(instance),
        Node::Instance(instance) => {
            let tag = tags.get(&Destination::Instance(instance)).copied().unwrap_or(0);
            Action::Tunnel { instance, tag }
        }
    }
}

/// A predicate at one vport: what the vport says about its instance's attributes is put in. None where nothing can match.
fn rule(
    policy: &Policy,
    igraph: &IGraph,
    alternative: &Alternative,
    at: &At,
    range: Option<(Fields, HashRange)>,
    action: Action,
) -> Option<Rule> {
    let filter = match at {
        At::Port(_) => alternative.filter.clone(),
        At::Vport(instance, leaves_by) => {
            let function = igraph.instances[*instance].function;
            let known = |attribute: &Attribute| {
                let own = attribute.function.as_ref() == Some(&policy.functions[function].name);
                if own && by_port(policy, function).any(|name| name == attribute.name) {
                    Filter::Constant(leaves_by.as_ref() == Some(&attribute.name))
                } else {
                    Filter::Attribute(attribute.clone())
                }
            };
            alternative.filter.with_attributes(&known).simplified()
        }
    };
    if filter == Filter::Constant(false) {
        return None;
    }
    let (pipelets, sets) = match alternative.told {
        Told::Nothing => (None, None),
        Told::Tag => (Some(alternative.pipelets.clone()), None),
        Told::Header => (None, alternative.pipelets.first().copied()),
    };
    Some(Rule { order: alternative.order, pipelets, filter, range, sets, action })
}

/// Where a packet goes from a node of the pGraph, by name; for tests and for those who explain plans.
pub fn destination(action: Action, igraph: &IGraph) -> End {
    match action {
        Action::Deliver(instance) | Action::Tunnel { instance, .. } => {
            End::Function(igraph.instances[instance].function)
        }
        Action::Port { port, .. } => End::Port(port),
    }
}
