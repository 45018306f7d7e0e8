//! Topologies from files: what the Topology Zoo, Rocketfuel, networkx, TopoHub and hand-written lists offer.
//!
//! Every loader takes the whole text (at most [`FILE_BYTES_MAX`]), accepts what it can express, and names the
//! line of what it cannot. Names that repeat in a file, as labels of the Topology Zoo do, are told apart by the
//! node's id; links from a node to itself are kept.
//!
//! | function | format | link quantities it reads |
//! |---|---|---|
//! | [`graphml`] | GraphML, as the Topology Zoo writes it | `LinkSpeedRaw`, `LinkLabel`, `weight`, `delay` |
//! | [`gml`] | GML, the Topology Zoo's other format | the same |
//! | [`node_link`] | JSON of networkx and TopoHub | `capacity`, `weight`, `dist` |
//! | [`rocketfuel_weights`] | Rocketfuel `weights.intra` | weight |
//! | [`edge_list`] | a link a line: `a b [Mbit/s [ms]]` | capacity, delay |
//! | [`json`] | our own | all |
//!
//! [`by_name`] chooses by the name of the file.

mod edge_list;
mod gml;
mod graphml;
mod json;
mod node_link;
mod rocketfuel;

pub use edge_list::edge_list;
pub use gml::{GML_DEPTH_MAX, gml};
pub use graphml::graphml;
pub use json::{json, to_json};
pub use node_link::node_link;
pub use rocketfuel::rocketfuel_weights;

use std::collections::HashMap;
use std::path::Path;

use crate::graph::{TEXT_BYTES_MAX, Topology, TopologyError};
use crate::link::LinkSpec;
use crate::node::{NodeId, NodeKind, NodeSpec};
use crate::units::{Capacity, Delay};

/// The longest file.
pub const FILE_BYTES_MAX: usize = 32 << 20;

/// Why a file is not a topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file is too long; carries its length.
    #[error("a file of {0} bytes (at most {FILE_BYTES_MAX})")]
    TooLong(usize),
    /// The file is not what the format says.
    #[error("{}{what}", Line(*.line))]
    Malformed {
        /// The line, counted from 1; 0 where the format does not keep it.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The file says something a topology cannot hold.
    #[error("{}{source}", Line(*.line))]
    Topology {
        /// The line, counted from 1; 0 where the format does not keep it.
        line: usize,
        /// What it cannot hold.
        source: TopologyError,
    },
}

/// `line 7: `, or nothing for a line that is not known.
struct Line(usize);

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, "line {}: ", self.0) }
    }
}

impl LoadError {
    fn at(line: usize, what: impl Into<String>) -> Self {
        Self::Malformed { line, what: what.into() }
    }
}

/// Reads a file by what its name ends in: `.graphml` or `.xml`, `.gml`, `.json` (node-link JSON, or our own), `.intra`
/// (Rocketfuel's weights); anything else is an edge list.
///
/// # Errors
/// As the loader of that format.
pub fn by_name(path: &Path, text: &str) -> Result<Topology, LoadError> {
    let end = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
    match end.as_deref() {
        Some("graphml" | "xml") => graphml(text),
        Some("gml") => gml(text),
        Some("intra") => rocketfuel_weights(text),
        // Both have nodes and links; the fault of the more common one is told.
        Some("json") => json(text).or_else(|_| node_link(text)),
        _ => edge_list(text),
    }
}

fn check_length(text: &str) -> Result<(), LoadError> {
    if text.len() > FILE_BYTES_MAX { Err(LoadError::TooLong(text.len())) } else { Ok(()) }
}

/// A topology under construction whose nodes are known by what the file calls them.
struct Loader {
    topology: Topology,
    known: HashMap<String, NodeId>,
}

impl Loader {
    fn new() -> Self {
        Self { topology: Topology::new(), known: HashMap::new() }
    }

    /// Adds a node the file calls `key`, under `name` or, if that is taken or empty, a name made from both.
    fn node(&mut self, line: usize, key: &str, name: &str, spec: Attributes) -> Result<NodeId, LoadError> {
        if self.known.contains_key(key) {
            return Err(LoadError::at(line, format!("two nodes have the id `{}`", excerpt(key))));
        }
        let mut unique = if name.is_empty() { key.to_owned() } else { name.to_owned() };
        if self.topology.find(&unique).is_some() {
            unique = format!("{unique} ({key})");
        }
        let mut node = NodeSpec::new(spec.kind, unique);
        for (attribute, value) in spec.pairs {
            node = node.attribute(attribute, value);
        }
        if let Some(cluster) = spec.cluster {
            node = node.cluster(cluster);
        }
        let id = self.topology.add_node(node).map_err(|source| LoadError::Topology { line, source })?;
        self.known.insert(key.to_owned(), id);
        Ok(id)
    }

    /// The node the file calls `key`, added if it is new: for formats that list links only.
    fn node_of(&mut self, line: usize, key: &str) -> Result<NodeId, LoadError> {
        match self.known.get(key) {
            Some(id) => Ok(*id),
            None => self.node(line, key, key, Attributes::default()),
        }
    }

    fn link(&mut self, line: usize, from: &str, to: &str, spec: LinkSpec) -> Result<(), LoadError> {
        let find = |key: &str| {
            let id = self.known.get(key).copied();
            id.ok_or_else(|| LoadError::at(line, format!("a link to `{}`, which is no node", excerpt(key))))
        };
        let (from, to) = (find(from)?, find(to)?);
        self.topology.add_link(from, to, spec).map_err(|source| LoadError::Topology { line, source })?;
        Ok(())
    }
}

/// What a file says of a node.
#[derive(Default)]
struct Attributes {
    kind: NodeKind,
    cluster: Option<String>,
    pairs: Vec<(String, String)>,
}

impl Attributes {
    /// Takes an attribute of the Topology Zoo: `Internal` 0 is a node of another network. Values that are too
    /// long are left out: Zoo files carry whole notes.
    fn take(&mut self, name: &str, value: &str) {
        if name == "Internal" && value == "0" {
            self.kind = NodeKind::External;
        }
        if name.len() <= TEXT_BYTES_MAX && value.len() <= TEXT_BYTES_MAX && !value.is_empty() {
            self.pairs.push((name.to_owned(), value.to_owned()));
        }
    }
}

/// Takes an attribute of a link into its specification. What is unknown, or no number, is ignored: files of
/// the wild carry much that is of no use here.
fn take_link_attribute(spec: &mut LinkSpec, name: &str, value: &str) {
    match name {
        "LinkSpeedRaw" => spec.capacity = bits_per_second(value),
        "LinkLabel" | "label" if value.len() <= TEXT_BYTES_MAX && !value.is_empty() => {
            spec.label = Some(value.to_owned());
        }
        "weight" => {
            let weight = value.parse::<f64>().ok().filter(|weight| (0.5..=4e9).contains(weight));
            if let Some(weight) = weight.and_then(|weight| crate::units::Weight::new(weight.round() as u32)) {
                spec.weight = weight;
            }
        }
        "delay" => {
            // Milliseconds, as in the Zoo's derived data sets.
            if let Some(delay) = delay_ms(value) {
                spec.delay = delay;
            }
        }
        _ => {}
    }
}

fn bits_per_second(value: &str) -> Option<Capacity> {
    let bits = value.parse::<f64>().ok().filter(|bits| (0.0..1e18).contains(bits))?;
    Some(Capacity::from_bits_per_second(bits as u64))
}

fn delay_ms(value: &str) -> Option<Delay> {
    let ms = value.parse::<f64>().ok().filter(|ms| (0.0..1e9).contains(ms))?;
    Some(Delay::from_nanos((ms * 1e6).round() as u64))
}

/// As much of what is at fault as fits an error message.
fn excerpt(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A fault of JSON, its line in front rather than at the end.
fn json_error(error: &serde_json::Error) -> LoadError {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    LoadError::at(error.line(), format!("{what} (column {})", error.column()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_the_format() {
        let links =
            |name: &str, text: &str| by_name(Path::new(name), text).map(|topology| topology.link_count());
        let node_link = r#"{"nodes": [{"id": 0}, {"id": 1}], "links": [{"source": 0, "target": 1}]}"#;
        assert_eq!(links("a.json", node_link), Ok(1));
        let own = to_json(&by_name(Path::new("a.json"), node_link).unwrap());
        assert_eq!(links("dir.gml/b.JSON", &own), Ok(1));
        assert_eq!(links("a.gml", "graph [ node [ id 0 ] node [ id 1 ] edge [ source 0 target 1 ] ]"), Ok(1));
        assert_eq!(links("weights.intra", "a b 2.5"), Ok(1));
        assert_eq!(links("links.txt", "a b\nb c"), Ok(2));
        assert_eq!(links("links", "a b"), Ok(1));
        assert!(links("a.graphml", "a b").is_err());
    }
}
