//! Topologies by rule: the shapes of textbooks, data centres and random-graph models.
//!
//! Every generator gives a connected topology, whatever its parameters and seed; the same parameters and seed
//! give the same topology on every platform. Switches are named `s1`, `s2`, …, hosts `h1`, `h2`, … as Mininet
//! names them. [`with_hosts`] hangs hosts on the shapes that come without.

mod datacentre;
mod random_graphs;
mod regular;

pub use datacentre::{fat_tree, leaf_spine};
pub use random_graphs::{PAIRS_NODES_MAX, barabasi_albert, erdos_renyi, waxman};
pub use regular::{dumbbell, full_mesh, grid, line, ring, star, torus, tree};

use crate::graph::{LINKS_MAX, NODES_MAX, Topology, TopologyError};
use crate::link::LinkSpec;
use crate::node::{Node, NodeId, NodeKind, NodeSpec};

/// Why a topology was not generated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GenerateError {
    /// A parameter is out of its range.
    #[error("{shape}: {parameter} is {value}, but must be {range}")]
    Parameter {
        /// The generator.
        shape: &'static str,
        /// The parameter at fault.
        parameter: &'static str,
        /// What it was.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// The parameters ask for more than a topology holds.
    #[error("{shape}: {nodes} nodes and {links} links (at most {NODES_MAX} and {LINKS_MAX})")]
    TooLarge {
        /// The generator.
        shape: &'static str,
        /// How many nodes it would have.
        nodes: u64,
        /// How many links it would have.
        links: u64,
    },
    /// The topology to extend does not take more.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// Hangs `per_switch` hosts on every switch, named `h1`, `h2`, … in the order of the switches.
///
/// # Errors
/// When the topology would grow too large, or already has a node of such a name.
pub fn with_hosts(
    mut topology: Topology,
    per_switch: u32,
    link: &LinkSpec,
) -> Result<Topology, GenerateError> {
    let is_switch = |node: &&Node| node.kind == NodeKind::Switch;
    let switches: Vec<NodeId> = topology.nodes().filter(is_switch).map(Node::id).collect();
    let hosts = switches.len() as u64 * u64::from(per_switch);
    check_size("with_hosts", topology.node_count() as u64 + hosts, topology.link_count() as u64 + hosts)?;
    let mut number = 0;
    for switch in switches {
        for _ in 0..per_switch {
            number += 1;
            let host = topology.add_node(NodeSpec::host(format!("h{number}")))?;
            topology.add_link(host, switch, link.clone())?;
        }
    }
    Ok(topology)
}

fn check_size(shape: &'static str, nodes: u64, links: u64) -> Result<(), GenerateError> {
    if nodes > NODES_MAX as u64 || links > LINKS_MAX as u64 {
        return Err(GenerateError::TooLarge { shape, nodes, links });
    }
    Ok(())
}

fn check(
    shape: &'static str,
    parameter: &'static str,
    value: impl Into<f64>,
    holds: bool,
    range: &'static str,
) -> Result<(), GenerateError> {
    if holds {
        Ok(())
    } else {
        Err(GenerateError::Parameter { shape, parameter, value: value.into(), range })
    }
}

/// Builds a shape of nodes numbered from 0 whose size was checked before.
struct Builder {
    topology: Topology,
    nodes: Vec<NodeId>,
    link: LinkSpec,
}

impl Builder {
    fn new(name: String, link: &LinkSpec) -> Self {
        // A port asked for can be held by one link only, so generated links take free ones.
        let link = LinkSpec { from_port: None, to_port: None, ..link.clone() };
        let mut topology = Topology::new();
        topology.name = name;
        Self { topology, nodes: Vec::new(), link }
    }

    /// With switches `s1`, `s2`, ….
    fn switches(mut self, count: u32) -> Result<Self, GenerateError> {
        for number in 1..=count {
            self.add(NodeSpec::switch(format!("s{number}")))?;
        }
        Ok(self)
    }

    fn add(&mut self, spec: NodeSpec) -> Result<usize, GenerateError> {
        self.nodes.push(self.topology.add_node(spec)?);
        Ok(self.nodes.len() - 1)
    }

    fn join(&mut self, from: usize, to: usize) -> Result<(), GenerateError> {
        let link = self.link.clone();
        self.join_by(from, to, link)
    }

    fn join_by(&mut self, from: usize, to: usize, link: LinkSpec) -> Result<(), GenerateError> {
        self.topology.add_link(self.nodes[from], self.nodes[to], link)?;
        Ok(())
    }
}
