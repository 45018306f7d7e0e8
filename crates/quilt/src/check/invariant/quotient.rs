//! The network with replicas folded together: one node for all containers that no rule tells apart.
//!
//! Containers are alike when they are members of the same services and nothing names them one by one. What a link
//! says of one of them it says of all, so a walk over nodes decides for all of them at once.
//!
//! The members of a replica group (the service that `replicas` makes, known by its names and its place) are *any number*: what is decided holds for
//! each count, not only the one that is written. A member that something names is a node of its own, which is there
//! in every count; the others are one node, which may have many members, and none where the named ones are all.

use std::collections::{HashMap, HashSet};

use crate::model::{Blueprint, Container, Party, Ports, Protocol, Service, Span};

/// Number of a node.
pub(super) type NodeId = usize;

/// Containers that no rule tells apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// What up to two of them are called.
    names: Vec<String>,
    /// Whether there is one in every count of replicas.
    pub(super) always: bool,
    /// Whether there can be more than one.
    pub(super) many: bool,
    /// Whether it is everything outside, which starts and ends chains and is never inside one.
    pub(super) outside: bool,
}

impl Node {
    /// What to call a member; `again` for a second one.
    pub(super) fn name(&self, again: bool) -> String {
        match self.names.as_slice() {
            [_, second, ..] if again => second.clone(),
            [only] if again && self.many => format!("another replica like {only}"),
            [first, ..] => first.clone(),
            [] => "another replica".into(),
        }
    }
}

/// An end of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    Node(NodeId),
    Service(usize),
}

/// A link or a published port.
#[derive(Clone, Debug)]
pub(super) struct Edge<'a> {
    pub(super) to: End,
    pub(super) ports: Ports,
    pub(super) protocol: Protocol,
    pub(super) span: &'a Span,
}

/// Nodes, and the rules between them; as large as the blueprint.
#[derive(Debug)]
pub(super) struct Quotient<'a> {
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge<'a>>,
    /// Edges that start at a node itself.
    pub(super) from_node: Vec<Vec<usize>>,
    /// Edges that start at a service.
    pub(super) from_service: Vec<Vec<usize>>,
    /// Edges that end at a node itself.
    pub(super) to_node: Vec<Vec<usize>>,
    /// Edges that end at a service.
    pub(super) to_service: Vec<Vec<usize>>,
    /// Services that a node's containers are members of.
    pub(super) services_of: Vec<Vec<usize>>,
    /// Nodes of a service.
    members: Vec<Vec<NodeId>>,
    /// Every node, so that one alone is a slice too.
    all: Vec<NodeId>,
    node_of: HashMap<&'a str, NodeId>,
    service_of: HashMap<&'a str, usize>,
    outside: NodeId,
}

impl<'a> Quotient<'a> {
    /// Folds a blueprint whose names all exist.
    pub(super) fn of(blueprint: &'a Blueprint) -> Quotient<'a> {
        let service_of: HashMap<&str, usize> =
            blueprint.services.iter().enumerate().map(|(at, service)| (service.name.as_str(), at)).collect();
        let mut services_of: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, service) in blueprint.services.iter().enumerate() {
            for member in &service.members {
                let services = services_of.entry(member).or_default();
                if services.last() != Some(&at) {
                    services.push(at);
                }
            }
        }
        let mut fold = Fold {
            named: named(blueprint),
            services_of,
            nodes: Vec::new(),
            node_services: Vec::new(),
            node_of: HashMap::new(),
        };
        fold.groups(blueprint);
        fold.others(&blueprint.containers);
        let Fold { mut nodes, node_services: mut services_of, node_of, .. } = fold;
        let outside = nodes.len();
        nodes.push(Node {
            names: vec![Party::PublicInternet.to_string()],
            always: true,
            many: false,
            outside: true,
        });
        services_of.push(Vec::new());
        let mut members = vec![Vec::new(); blueprint.services.len()];
        for (node, services) in services_of.iter().enumerate() {
            services.iter().for_each(|service| members[*service].push(node));
        }
        let count = nodes.len();
        let mut quotient = Quotient {
            nodes,
            edges: Vec::new(),
            from_node: vec![Vec::new(); count],
            from_service: vec![Vec::new(); members.len()],
            to_node: vec![Vec::new(); count],
            to_service: vec![Vec::new(); members.len()],
            services_of,
            members,
            all: (0..count).collect(),
            node_of,
            service_of,
            outside,
        };
        for link in &blueprint.links {
            quotient.edge(&link.from, &link.to, link.ports, link.protocol, &link.span);
        }
        for publish in &blueprint.publishes {
            let ports = Ports::one(publish.container_port);
            quotient.edge(&Party::PublicInternet, &publish.to, ports, publish.protocol, &publish.span);
        }
        quotient
    }

    fn edge(&mut self, from: &Party, to: &Party, ports: Ports, protocol: Protocol, span: &'a Span) {
        let (Some(from), Some(to)) = (self.end(from), self.end(to)) else { return };
        let edge = self.edges.len();
        self.edges.push(Edge { to, ports, protocol, span });
        match from {
            End::Node(node) => self.from_node[node].push(edge),
            End::Service(service) => self.from_service[service].push(edge),
        }
        match to {
            End::Node(node) => self.to_node[node].push(edge),
            End::Service(service) => self.to_service[service].push(edge),
        }
    }

    /// What a party is here; `None` for a name that does not exist.
    pub(super) fn end(&self, party: &Party) -> Option<End> {
        match party {
            Party::Container(name) => self.node_of.get(name.as_str()).map(|node| End::Node(*node)),
            Party::Service(name) => self.service_of.get(name.as_str()).map(|service| End::Service(*service)),
            Party::PublicInternet => Some(End::Node(self.outside)),
        }
    }

    /// The nodes an end stands for, each once.
    pub(super) fn nodes_of(&self, end: End) -> &[NodeId] {
        match end {
            End::Node(node) => &self.all[node..=node],
            End::Service(service) => &self.members[service],
        }
    }

    /// The nodes a party stands for.
    pub(super) fn party(&self, party: &Party) -> &[NodeId] {
        self.end(party).map_or(&[], |end| self.nodes_of(end))
    }
}

/// Containers that something names one by one.
fn named(blueprint: &Blueprint) -> HashSet<&str> {
    let links = blueprint.links.iter().flat_map(|link| [&link.from, &link.to]);
    let publishes = blueprint.publishes.iter().map(|publish| &publish.to);
    let claims = blueprint.invariants.iter().flat_map(|invariant| invariant.claim.parties());
    links
        .chain(publishes)
        .chain(claims)
        .filter_map(|party| match party {
            Party::Container(name) => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

/// Nodes under construction.
struct Fold<'a> {
    named: HashSet<&'a str>,
    services_of: HashMap<&'a str, Vec<usize>>,
    nodes: Vec<Node>,
    node_services: Vec<Vec<usize>>,
    node_of: HashMap<&'a str, NodeId>,
}

impl<'a> Fold<'a> {
    fn node(&mut self, node: Node, services: Vec<usize>) -> NodeId {
        self.nodes.push(node);
        self.node_services.push(services);
        self.nodes.len() - 1
    }

    fn single(&mut self, name: &'a str) {
        let services = self.services_of.get(name).cloned().unwrap_or_default();
        let node = Node { names: vec![name.into()], always: true, many: false, outside: false };
        let node = self.node(node, services);
        self.node_of.insert(name, node);
    }

    /// One node for the replicas of a group that nothing names, and one for each of the others.
    fn groups(&mut self, blueprint: &'a Blueprint) {
        let spans: HashMap<&str, &Span> =
            blueprint.containers.iter().map(|container| (container.name.as_str(), &container.span)).collect();
        for group in &blueprint.services {
            if !is_replica_group(group, &spans) {
                continue;
            }
            let services = self.services_of_all(group);
            let mut names = Vec::new();
            let mut last_named = None;
            let mut first_alike = None;
            for (index, member) in group.members.iter().enumerate() {
                let alike = !self.named.contains(member.as_str())
                    && self.services_of.get(member.as_str()).is_some_and(|of| *of == services);
                if alike {
                    first_alike = first_alike.or(Some(index));
                    names.push(member.as_str());
                } else {
                    last_named = Some(index);
                    self.single(member);
                }
            }
            // With every member named there may be another one, or not; one that comes before a named one is there.
            let always = match (first_alike, last_named) {
                (Some(first), Some(last)) => first < last,
                (first, _) => first.is_some(),
            };
            let shown = names.iter().take(2).map(|name| (*name).to_owned()).collect();
            let node = self.node(Node { names: shown, always, many: true, outside: false }, services);
            names.into_iter().for_each(|name| {
                self.node_of.insert(name, node);
            });
        }
    }

    /// The services that all members of a group are in.
    fn services_of_all(&self, group: &Service) -> Vec<usize> {
        let mut members = group.members.iter().map(|member| self.services_of.get(member.as_str()));
        let mut common = members.next().flatten().cloned().unwrap_or_default();
        for services in members {
            common.retain(|service| services.is_some_and(|services| services.binary_search(service).is_ok()));
        }
        common
    }

    /// Containers of no replica group, folded where they are alike.
    fn others(&mut self, containers: &'a [Container]) {
        let mut alike: HashMap<Vec<usize>, NodeId> = HashMap::new();
        for Container { name, .. } in containers {
            if self.node_of.contains_key(name.as_str()) {
                continue;
            }
            if self.named.contains(name.as_str()) {
                self.single(name);
                continue;
            }
            let services = self.services_of.get(name.as_str()).cloned().unwrap_or_default();
            if let Some(node) = alike.get(&services) {
                let own = &mut self.nodes[*node];
                own.many = true;
                if own.names.len() < 2 {
                    own.names.push(name.clone());
                }
                self.node_of.insert(name, *node);
            } else {
                self.single(name);
                alike.insert(services, self.nodes.len() - 1);
            }
        }
    }
}

/// Whether a service is what `replicas` makes: `web-1`, `web-2`, … made where the service `web` was made.
fn is_replica_group(service: &Service, spans: &HashMap<&str, &Span>) -> bool {
    let is_replica = |(at, member): (usize, &String)| {
        let index = member.strip_prefix(service.name.as_str()).and_then(|rest| rest.strip_prefix('-'));
        index.is_some_and(|index| index == (at + 1).to_string())
            && spans.get(member.as_str()).is_some_and(|span| **span == service.span)
    };
    service.span.is_known()
        && !service.members.is_empty()
        && service.members.iter().enumerate().all(is_replica)
}
