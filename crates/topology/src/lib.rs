//! Graphs of switches, hosts and links: made by rule, read from files, searched, partitioned and drawn.
//!
//! ```text
//!  generate  line, ring, tree, fat_tree, waxman, … ─┐                ┌─ paths      shortest, ECMP, Yen, cuts
//!  load      GraphML, GML, JSON, Rocketfuel, … ─────┼─▶ [Topology] ──┼─ structure  components, bridges, trees
//!  add_node, add_link ──────────────────────────────┘   nodes, links ├─ partition  balanced parts, small cut
//!                                                       and ports    └─ render     Graphviz text, SVG
//! ```
//!
//! A [`Topology`] holds [`Node`]s with unique names and [`Link`]s between their ports. Ids are small integers
//! that stay the same while others are removed, so arrays can be indexed by them. Links carry both ways unless
//! they are directed. Every size has a named limit ([`NODES_MAX`], [`LINKS_MAX`], …), and everything is
//! deterministic: ties are broken by id, randomness comes from a seed, and the same input gives the same bytes
//! on every platform.
//!
//! ```
//! use topology::{Delay, LinkSpec, generate, load, partition, paths, render, structure};
//!
//! // The fat tree of Al-Fares et al. with k = 4: 20 switches, 16 hosts.
//! let fabric = generate::fat_tree(4, &LinkSpec::default().delay(Delay::from_micros(1)))?;
//! assert_eq!((fabric.node_count(), fabric.link_count()), (36, 48));
//!
//! // Two hosts in different pods are six hops apart, and an edge switch may choose between two next hops.
//! let (h1, h16) = (fabric.find("h1").unwrap(), fabric.find("h16").unwrap());
//! let routes = paths::Routes::towards(&fabric, h16, paths::by_hops);
//! assert_eq!(routes.distance(h1), Some(6));
//! assert_eq!(routes.next_hops(fabric.find("edge1.1").unwrap()).len(), 2);
//!
//! // A failed link is one the cost function has no cost for.
//! let failed = routes.next_hop(h1).unwrap().link;
//! let left = |link: &topology::Link| (link.id() != failed).then_some(1);
//! assert_eq!(paths::ShortestPaths::from(&fabric, h1, left).distance(h16), None);
//! assert!(structure::bridges(&fabric).contains(&failed));
//!
//! // Into two halves of equal size: the best cut is through the core.
//! let halves = partition::partition(&fabric, partition::PartitionSpec::new(2), |_| 1, |_| 1)?;
//! assert!(halves.is_balanced() && halves.cut_weight <= 8);
//!
//! // As a picture, and as a file to be read again.
//! let picture = render::svg(&fabric, &render::Style::default())?;
//! assert!(picture.starts_with("<svg"));
//! assert_eq!(load::json(&load::to_json(&fabric))?, fabric);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod generate;
mod graph;
mod link;
pub mod load;
mod node;
pub mod partition;
pub mod paths;
mod random;
pub mod render;
pub mod structure;
mod units;

pub use graph::{ATTRIBUTES_MAX, LINKS_MAX, NODES_MAX, TEXT_BYTES_MAX, Topology, TopologyError};
pub use link::{Endpoint, Hop, Link, LinkId, LinkSpec, PortNumber};
pub use node::{Node, NodeId, NodeKind, NodeSpec};
pub use units::{Capacity, Delay, Weight};
