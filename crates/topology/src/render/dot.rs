//! Graphviz text: `dot -Tsvg`, or any other of its layouts.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::text::escape_dot;
use super::{Style, link_text, title};
use crate::graph::Topology;
use crate::node::{Node, NodeKind};

/// The topology in the Graphviz language, clusters as `subgraph cluster_…`. Undirected topologies become a
/// `graph`, those with a directed link a `digraph` in which the others have no arrowheads.
pub fn dot(topology: &Topology, style: &Style) -> String {
    let directed = topology.has_directed_links();
    let mut out = String::new();
    write(&mut out, topology, style, directed).expect("writing to a string cannot fail");
    out
}

fn write(out: &mut String, topology: &Topology, style: &Style, directed: bool) -> std::fmt::Result {
    let heading = title(topology, style).unwrap_or_default();
    writeln!(out, "{} \"{}\" {{", if directed { "digraph" } else { "graph" }, escape_dot(heading))?;
    if !heading.is_empty() {
        writeln!(out, "  label=\"{}\"; labelloc=t;", escape_dot(heading))?;
    }
    if directed {
        writeln!(out, "  rankdir=LR;")?;
    }
    writeln!(out, "  node [fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\", fontsize=10];")?;

    let mut clusters: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in topology.nodes() {
        match &node.cluster {
            Some(cluster) => clusters.entry(cluster).or_default().push(node),
            None => write_node(out, node, style, "  ")?,
        }
    }
    for (number, (cluster, nodes)) in clusters.into_iter().enumerate() {
        writeln!(out, "  subgraph cluster_{number} {{")?;
        writeln!(out, "    label=\"{}\"; style=rounded;", escape_dot(cluster))?;
        for node in nodes {
            write_node(out, node, style, "    ")?;
        }
        writeln!(out, "  }}")?;
    }
    for link in topology.links() {
        let arrow = if directed { "->" } else { "--" };
        write!(out, "  {} {arrow} {}", link.from().node, link.to().node)?;
        let mut attributes = Vec::new();
        if let Some(text) = link_text(link, style) {
            attributes.push(format!("label=\"{}\"", escape_dot(&text)));
        }
        if style.port_numbers {
            attributes.push(format!("taillabel=\"{}\", headlabel=\"{}\"", link.from().port, link.to().port));
        }
        if directed && !link.is_directed() {
            attributes.push("dir=none".to_owned());
        }
        if !attributes.is_empty() {
            write!(out, " [{}]", attributes.join(", "))?;
        }
        writeln!(out, ";")?;
    }
    writeln!(out, "}}")
}

fn write_node(out: &mut String, node: &Node, style: &Style, indent: &str) -> std::fmt::Result {
    let shape = match node.kind {
        NodeKind::Host => "box, style=rounded",
        NodeKind::Switch => "box",
        NodeKind::Service => "ellipse",
        NodeKind::External => "ellipse, style=dashed",
        NodeKind::Custom => "component",
    };
    let mut label = escape_dot(node.name());
    if let Some(detail) = style.detail.as_ref().and_then(|name| node.attributes.get(name)) {
        label.push_str("\\n");
        label.push_str(&escape_dot(detail));
    }
    writeln!(out, "{indent}{} [label=\"{label}\", shape={shape}];", node.id())
}
