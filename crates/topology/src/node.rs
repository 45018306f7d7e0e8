//! Nodes: what they are, and what they are made from.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::graph::{ATTRIBUTES_MAX, TEXT_BYTES_MAX, TopologyError};

/// Which node. Stays the same until the node is removed; small, so that arrays can be indexed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// The id as an index into an array of [`Topology::node_bound`](crate::Topology::node_bound) entries.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn at(index: usize) -> Self {
        Self(u32::try_from(index).expect("NODES_MAX fits u32"))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Sends and receives: a machine, a container.
    Host,
    /// Passes on: a switch, a router.
    #[default]
    Switch,
    /// A name that stands for several hosts.
    Service,
    /// Outside: the Internet, another network.
    External,
    /// Anything else.
    Custom,
}

/// A node of a topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    /// What it is.
    pub kind: NodeKind,
    /// The group it is drawn in: a service, a rack, a site.
    pub cluster: Option<String>,
    /// Anything more that is known of it.
    pub attributes: BTreeMap<String, String>,
}

impl Node {
    /// Its id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its name, unique in the topology.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What a node is made from: a name, and what is not usual about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeSpec {
    pub(crate) name: String,
    pub(crate) kind: NodeKind,
    pub(crate) cluster: Option<String>,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl NodeSpec {
    /// A node of the given kind.
    pub fn new(kind: NodeKind, name: impl Into<String>) -> Self {
        Self { name: name.into(), kind, ..Self::default() }
    }

    /// A host.
    pub fn host(name: impl Into<String>) -> Self {
        Self::new(NodeKind::Host, name)
    }

    /// A switch.
    pub fn switch(name: impl Into<String>) -> Self {
        Self::new(NodeKind::Switch, name)
    }

    /// Puts it into a cluster.
    #[must_use]
    pub fn cluster(mut self, cluster: impl Into<String>) -> Self {
        self.cluster = Some(cluster.into());
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    pub(crate) fn check(&self) -> Result<(), TopologyError> {
        if self.name.is_empty() {
            return Err(TopologyError::EmptyName);
        }
        if self.attributes.len() > ATTRIBUTES_MAX {
            return Err(TopologyError::TooManyAttributes(self.attributes.len()));
        }
        let attributes = self.attributes.iter().flat_map(|(name, value)| [name, value]);
        let mut texts = attributes.chain([&self.name]).chain(&self.cluster).map(String::len);
        match texts.find(|length| *length > TEXT_BYTES_MAX) {
            Some(length) => Err(TopologyError::TextTooLong(length)),
            None => Ok(()),
        }
    }
}
