//! The graph: nodes and the links between their ports.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use petgraph::Direction;
use petgraph::stable_graph::{EdgeIndex, NodeIndex, StableDiGraph};
use petgraph::visit::{EdgeIndexable, NodeIndexable};

use crate::link::{Endpoint, Hop, Link, LinkId, LinkSpec, PortNumber};
use crate::node::{Node, NodeId, NodeSpec};

/// The most nodes a topology holds.
pub const NODES_MAX: usize = 1 << 17;
/// The most links a topology holds.
pub const LINKS_MAX: usize = 1 << 20;
/// The longest name of a node, cluster, link label, attribute or attribute value, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;
/// The most attributes of a node.
pub const ATTRIBUTES_MAX: usize = 64;

/// Why a node or link was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// The topology is full.
    #[error("more than {NODES_MAX} nodes")]
    TooManyNodes,
    /// The topology is full.
    #[error("more than {LINKS_MAX} links")]
    TooManyLinks,
    /// Nodes are found by name, so they need one.
    #[error("a node needs a name")]
    EmptyName,
    /// A name, label or attribute is too long; carries how long.
    #[error("a text of {0} bytes (at most {TEXT_BYTES_MAX})")]
    TextTooLong(usize),
    /// Names are unique.
    #[error("two nodes are named `{0}`")]
    DuplicateName(String),
    /// The node has too many attributes; carries how many.
    #[error("{0} attributes on one node (at most {ATTRIBUTES_MAX})")]
    TooManyAttributes(usize),
    /// No such node, or no longer.
    #[error("there is no node {0}")]
    UnknownNode(NodeId),
    /// A port holds one end of one link.
    #[error("port {port} of `{node}` is taken")]
    PortTaken {
        /// Name of the node.
        node: String,
        /// The port asked for.
        port: PortNumber,
    },
}

/// A graph of nodes and links. Nodes have unique names; two nodes may have several links, and a node a link
/// to itself. Iteration is in the order of ids, so that everything made from a topology is deterministic.
#[derive(Clone, Default)]
pub struct Topology {
    /// What the whole is called; empty where nobody said.
    pub name: String,
    graph: StableDiGraph<Node, Link, u32>,
    names: BTreeMap<String, NodeId>,
    ports_taken: HashSet<Endpoint>,
    /// For every node index, a port number below which none is free.
    ports_from: Vec<u32>,
}

impl Topology {
    /// An empty topology.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node.
    ///
    /// # Errors
    /// When the topology is full, the name is empty or taken, or a text or the attributes are too long.
    pub fn add_node(&mut self, spec: NodeSpec) -> Result<NodeId, TopologyError> {
        spec.check()?;
        if self.graph.node_count() >= NODES_MAX {
            return Err(TopologyError::TooManyNodes);
        }
        if self.names.contains_key(&spec.name) {
            return Err(TopologyError::DuplicateName(spec.name));
        }
        let NodeSpec { name, kind, cluster, attributes } = spec;
        let index =
            self.graph.add_node(Node { id: NodeId(0), name: name.clone(), kind, cluster, attributes });
        let id = NodeId::at(index.index());
        self.graph[index].id = id;
        self.names.insert(name, id);
        let bound = self.node_bound();
        self.ports_from.resize(bound, 1);
        self.ports_from[id.index()] = 1;
        Ok(id)
    }

    /// Joins two nodes (or one to itself).
    ///
    /// # Errors
    /// When the topology is full, a node does not exist, a port asked for is taken, or the label is too long.
    pub fn add_link(&mut self, from: NodeId, to: NodeId, spec: LinkSpec) -> Result<LinkId, TopologyError> {
        if self.graph.edge_count() >= LINKS_MAX {
            return Err(TopologyError::TooManyLinks);
        }
        if let Some(label) = spec.label.as_ref().filter(|label| label.len() > TEXT_BYTES_MAX) {
            return Err(TopologyError::TextTooLong(label.len()));
        }
        for id in [from, to] {
            self.node(id).ok_or(TopologyError::UnknownNode(id))?;
        }
        let from_end = self.take_port(from, spec.from_port)?;
        let to_end = self.take_port(to, spec.to_port).inspect_err(|_| self.free_port(from_end))?;
        let LinkSpec { capacity, delay, weight, label, directed, .. } = spec;
        let link =
            Link { id: LinkId(0), from: from_end, to: to_end, directed, capacity, delay, weight, label };
        let index = self.graph.add_edge(NodeIndex::new(from.index()), NodeIndex::new(to.index()), link);
        let id = LinkId(u32::try_from(index.index()).expect("LINKS_MAX fits u32"));
        self.graph[index].id = id;
        Ok(id)
    }

    fn take_port(&mut self, node: NodeId, wanted: Option<PortNumber>) -> Result<Endpoint, TopologyError> {
        if let Some(port) = wanted {
            let end = Endpoint { node, port };
            if !self.ports_taken.insert(end) {
                let node = self.graph[NodeIndex::new(node.index())].name.clone();
                return Err(TopologyError::PortTaken { node, port });
            }
            return Ok(end);
        }
        // Ends: a node has at most 2 × LINKS_MAX ports taken.
        let mut port = self.ports_from[node.index()];
        while !self.ports_taken.insert(Endpoint { node, port: PortNumber(port) }) {
            port += 1;
        }
        self.ports_from[node.index()] = port + 1;
        Ok(Endpoint { node, port: PortNumber(port) })
    }

    fn free_port(&mut self, end: Endpoint) {
        self.ports_taken.remove(&end);
        let from = &mut self.ports_from[end.node.index()];
        *from = (*from).min(end.port.0.max(1));
    }

    /// Removes a node and every link at it.
    pub fn remove_node(&mut self, id: NodeId) -> Option<Node> {
        self.node(id)?;
        let links: Vec<LinkId> = self.links_at(id).map(Link::id).collect();
        for link in links {
            self.remove_link(link); // nothing, the second time a loop comes up
        }
        let node = self.graph.remove_node(NodeIndex::new(id.index()))?;
        self.names.remove(&node.name);
        Some(node)
    }

    /// Removes a link.
    pub fn remove_link(&mut self, id: LinkId) -> Option<Link> {
        let link = self.graph.remove_edge(EdgeIndex::new(id.index()))?;
        self.free_port(link.from);
        self.free_port(link.to);
        Some(link)
    }

    /// The node of an id.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.graph.node_weight(NodeIndex::new(id.index()))
    }

    /// The node of an id, to change its kind, cluster or attributes.
    pub fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.graph.node_weight_mut(NodeIndex::new(id.index()))
    }

    /// The link of an id.
    pub fn link(&self, id: LinkId) -> Option<&Link> {
        self.graph.edge_weight(EdgeIndex::new(id.index()))
    }

    /// The link of an id, to change its quantities or label.
    pub fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.graph.edge_weight_mut(EdgeIndex::new(id.index()))
    }

    /// The node of a name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.names.get(name).copied()
    }

    /// The link that holds a port, and so what is at the other end of a port.
    pub fn link_at_port(&self, end: Endpoint) -> Option<&Link> {
        self.links_at(end.node).find(|link| link.from == end || link.to == end)
    }

    /// Every node, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.graph.node_weights()
    }

    /// Every link, by id.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.graph.edge_weights()
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.graph.node_count()
    }

    /// How many links there are.
    pub fn link_count(&self) -> usize {
        self.graph.edge_count()
    }

    /// One more than the highest node index: the length of an array indexed by node.
    pub fn node_bound(&self) -> usize {
        NodeIndexable::node_bound(&self.graph)
    }

    /// One more than the highest link index.
    pub fn link_bound(&self) -> usize {
        EdgeIndexable::edge_bound(&self.graph)
    }

    /// Does any link carry one way only?
    pub fn has_directed_links(&self) -> bool {
        self.links().any(Link::is_directed)
    }

    /// The links with an end at a node, whichever way they carry. A loop comes twice.
    pub fn links_at(&self, node: NodeId) -> impl Iterator<Item = &Link> {
        self.edges(node, Direction::Outgoing).chain(self.edges(node, Direction::Incoming))
    }

    /// The steps that can be taken from a node, loops left out.
    pub fn hops_from(&self, node: NodeId) -> impl Iterator<Item = Hop> {
        let out = self.edges(node, Direction::Outgoing);
        let back = self.edges(node, Direction::Incoming).filter(|link| !link.directed);
        steps(node, out.chain(back))
    }

    /// The steps that lead to a node, each named by the node it comes from, loops left out.
    pub fn hops_to(&self, node: NodeId) -> impl Iterator<Item = Hop> {
        let into = self.edges(node, Direction::Incoming);
        let back = self.edges(node, Direction::Outgoing).filter(|link| !link.directed);
        steps(node, into.chain(back))
    }

    fn edges(&self, node: NodeId, direction: Direction) -> impl Iterator<Item = &Link> {
        self.graph.edges_directed(NodeIndex::new(node.index()), direction).map(|edge| edge.weight())
    }
}

fn steps<'a>(node: NodeId, links: impl Iterator<Item = &'a Link>) -> impl Iterator<Item = Hop> {
    links
        .filter(|link| !link.is_loop())
        .filter_map(move |link| Some(Hop { node: link.opposite(node)?.node, link: link.id }))
}

/// Nodes by name, links as `a:1 -- b:2` or `a:1 -> b:2`.
impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |end: Endpoint| format!("{}:{}", self.node(end.node).map_or("?", Node::name), end.port);
        let link = |link: &Link| {
            let arrow = if link.directed { "->" } else { "--" };
            format!("{} {arrow} {} weight {}", end(link.from), end(link.to), link.weight)
        };
        f.debug_struct("Topology")
            .field("name", &self.name)
            .field("nodes", &self.nodes().map(Node::name).collect::<Vec<_>>())
            .field("links", &self.links().map(link).collect::<Vec<_>>())
            .finish()
    }
}

/// Equal when they have the same nodes and links in the same order, whatever their ids.
impl PartialEq for Topology {
    fn eq(&self, other: &Self) -> bool {
        let ends = |topology: &Self, end: Endpoint| Some((topology.node(end.node)?.name.clone(), end.port));
        self.name == other.name
            && self.node_count() == other.node_count()
            && self.link_count() == other.link_count()
            && self.nodes().zip(other.nodes()).all(|(a, b)| {
                a.name == b.name && a.kind == b.kind && a.cluster == b.cluster && a.attributes == b.attributes
            })
            && self.links().zip(other.links()).all(|(a, b)| {
                ends(self, a.from) == ends(other, b.from)
                    && ends(self, a.to) == ends(other, b.to)
                    && (a.directed, a.capacity, a.delay, a.weight, &a.label)
                        == (b.directed, b.capacity, b.delay, b.weight, &b.label)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Topology, NodeId, NodeId) {
        let mut topology = Topology::new();
        let a = topology.add_node(NodeSpec::switch("a")).unwrap();
        let b = topology.add_node(NodeSpec::host("b")).unwrap();
        (topology, a, b)
    }

    #[test]
    fn ports_are_unique_and_reused() {
        let (mut topology, a, b) = pair();
        let first = topology.add_link(a, b, LinkSpec::default()).unwrap();
        let wanted = LinkSpec::default().ports(PortNumber(2), PortNumber(7));
        topology.add_link(a, b, wanted).unwrap();
        let taken = LinkSpec::default().ports(PortNumber(9), PortNumber(2));
        let refused = TopologyError::PortTaken { node: "a".into(), port: PortNumber(2) };
        assert_eq!(topology.add_link(b, a, taken), Err(refused));
        assert!(topology.link_at_port(Endpoint { node: b, port: PortNumber(9) }).is_none());
        assert!(!topology.ports_taken.contains(&Endpoint { node: b, port: PortNumber(9) }), "given back");
        let third = topology.add_link(a, b, LinkSpec::default()).unwrap();
        assert_eq!(topology.link(third).unwrap().from().port, PortNumber(3));
        topology.remove_link(first).unwrap();
        let again = topology.add_link(a, b, LinkSpec::default()).unwrap();
        assert_eq!(topology.link(again).unwrap().from().port, PortNumber(1));
        let end = topology.link(again).unwrap().to();
        assert_eq!(topology.link_at_port(end).map(Link::id), Some(again));
    }

    #[test]
    fn removing_a_node_takes_its_links_and_name() {
        let (mut topology, a, b) = pair();
        topology.add_link(a, a, LinkSpec::default()).unwrap();
        topology.add_link(a, b, LinkSpec::default()).unwrap();
        assert_eq!(topology.remove_node(a).unwrap().name(), "a");
        assert_eq!((topology.node_count(), topology.link_count()), (1, 0));
        assert_eq!(topology.find("a"), None);
        assert!(topology.remove_node(a).is_none());
        assert_eq!(topology.add_link(a, b, LinkSpec::default()), Err(TopologyError::UnknownNode(a)));
        assert!(topology.ports_taken.is_empty());
    }

    #[test]
    fn a_directed_link_is_crossed_one_way() {
        let (mut topology, a, b) = pair();
        let link = topology.add_link(a, b, LinkSpec::default().directed()).unwrap();
        assert_eq!(topology.hops_from(a).collect::<Vec<_>>(), [Hop { node: b, link }]);
        assert_eq!(topology.hops_from(b).count(), 0);
        assert_eq!(topology.hops_to(b).collect::<Vec<_>>(), [Hop { node: a, link }]);
        assert_eq!(topology.hops_to(a).count(), 0);
    }

    #[test]
    fn bad_nodes_are_refused() {
        let (mut topology, ..) = pair();
        assert_eq!(topology.add_node(NodeSpec::host("")), Err(TopologyError::EmptyName));
        assert_eq!(topology.add_node(NodeSpec::host("a")), Err(TopologyError::DuplicateName("a".into())));
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(topology.add_node(NodeSpec::host(&long)), Err(TopologyError::TextTooLong(1025)));
        assert_eq!(
            topology.add_node(NodeSpec::host("c").attribute("k", &long)),
            Err(TopologyError::TextTooLong(1025))
        );
    }
}
