//! Drawings: Graphviz text ([`dot`]) and self-contained pictures ([`svg`]).
//!
//! Both are deterministic: the same topology and options give the same bytes on every platform.

mod dot;
mod force;
mod layered;
mod order;
mod picture;
mod svg;
mod text;

pub use dot::dot;
pub use svg::svg;

/// The most nodes of a picture. More than this nobody can read, and layouts take time quadratic in it.
pub const PICTURE_NODES_MAX: usize = 2000;
/// The most links of a picture.
pub const PICTURE_LINKS_MAX: usize = 8000;

/// How to draw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Style {
    /// Written above the picture; the topology's name where none is given.
    pub title: Option<String>,
    /// How nodes are placed (pictures only).
    pub layout: Layout,
    /// The node attribute written below the name: an address, a command.
    pub detail: Option<String>,
    /// Write port numbers at the ends of links?
    pub port_numbers: bool,
    /// Write capacity and delay on links that have no label?
    pub quantities: bool,
}

/// How nodes are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Layered where a link is directed; otherwise by forces, and circular above 600 nodes and clusters.
    #[default]
    Auto,
    /// In columns, so that links lead from left to right (Sugiyama, Tagawa and Toda, 1981).
    Layered,
    /// Links pull, nodes push (Fruchterman and Reingold, 1991).
    Force,
    /// On a circle.
    Circular,
}

/// Why there is no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Nobody could read it.
    #[error(
        "a picture of {nodes} nodes and {links} links (at most {PICTURE_NODES_MAX} and {PICTURE_LINKS_MAX}); \
         Graphviz text has no such limit"
    )]
    TooLarge {
        /// How many nodes there are.
        nodes: usize,
        /// How many links there are.
        links: usize,
    },
}

/// What is written on a link.
fn link_text(link: &crate::link::Link, style: &Style) -> Option<String> {
    if link.label.is_some() || !style.quantities {
        return link.label.clone();
    }
    let capacity = link.capacity.map(|capacity| capacity.to_string());
    let delay = Some(link.delay).filter(|delay| delay.nanos() > 0).map(|delay| delay.to_string());
    let parts: Vec<String> = [capacity, delay].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The title of a drawing.
fn title<'a>(topology: &'a crate::graph::Topology, style: &'a Style) -> Option<&'a str> {
    style.title.as_deref().or(Some(topology.name.as_str())).filter(|title| !title.is_empty())
}
