//! Links: the ports they join, and what they are made from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::node::NodeId;
use crate::units::{Capacity, Delay, Weight};

/// Which link. Stays the same until the link is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(crate) u32);

impl LinkId {
    /// The id as an index into an array of [`Topology::link_bound`](crate::Topology::link_bound) entries.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l{}", self.0)
    }
}

/// A port of a node. Ports handed out by the topology count from 1, as `OpenFlow` ports do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortNumber(pub u32);

impl fmt::Display for PortNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The node.
    pub node: NodeId,
    /// The port of that node.
    pub port: PortNumber,
}

/// A link between two ports. It carries both ways unless it is directed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub(crate) id: LinkId,
    pub(crate) from: Endpoint,
    pub(crate) to: Endpoint,
    pub(crate) directed: bool,
    /// What it carries each way, where known.
    pub capacity: Option<Capacity>,
    /// How long a bit is on it.
    pub delay: Delay,
    /// What routing says it costs.
    pub weight: Weight,
    /// What is written on it in a drawing.
    pub label: Option<String>,
}

impl Link {
    /// Its id.
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// The end it was added from.
    pub fn from(&self) -> Endpoint {
        self.from
    }

    /// The end it was added to.
    pub fn to(&self) -> Endpoint {
        self.to
    }

    /// Does it carry only from [`Link::from`] to [`Link::to`]?
    pub fn is_directed(&self) -> bool {
        self.directed
    }

    /// Does it join a node to itself?
    pub fn is_loop(&self) -> bool {
        self.from.node == self.to.node
    }

    /// The end opposite the given node; none if the node is at neither end.
    pub fn opposite(&self, node: NodeId) -> Option<Endpoint> {
        if self.from.node == node {
            Some(self.to)
        } else if self.to.node == node {
            Some(self.from)
        } else {
            None
        }
    }
}

/// What a link is made from. The default carries both ways at weight 1, without delay, between free ports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkSpec {
    /// What it carries each way, where known.
    pub capacity: Option<Capacity>,
    /// How long a bit is on it.
    pub delay: Delay,
    /// What routing says it costs.
    pub weight: Weight,
    /// What is written on it in a drawing.
    pub label: Option<String>,
    /// Does it carry one way only?
    pub directed: bool,
    /// The port at the first end; the lowest free one where none is given.
    pub from_port: Option<PortNumber>,
    /// The port at the second end; the lowest free one where none is given.
    pub to_port: Option<PortNumber>,
}

impl LinkSpec {
    /// The same, with a capacity.
    #[must_use]
    pub fn capacity(mut self, capacity: Capacity) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// The same, with a delay.
    #[must_use]
    pub fn delay(mut self, delay: Delay) -> Self {
        self.delay = delay;
        self
    }

    /// The same, with a weight.
    #[must_use]
    pub fn weight(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }

    /// The same, with a label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The same, one way only.
    #[must_use]
    pub fn directed(mut self) -> Self {
        self.directed = true;
        self
    }

    /// The same, between these ports.
    #[must_use]
    pub fn ports(mut self, from: PortNumber, to: PortNumber) -> Self {
        (self.from_port, self.to_port) = (Some(from), Some(to));
        self
    }
}

/// One step: over a link, to the node at its other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// Where it leads.
    pub node: NodeId,
    /// What it crosses.
    pub link: LinkId,
}
