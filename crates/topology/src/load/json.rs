//! Our own JSON: everything a topology holds, nodes by name.
//!
//! ```json
//! { "name": "pair",
//!   "nodes": [ { "name": "a", "kind": "switch" }, { "name": "b", "kind": "host", "cluster": "rack 1" } ],
//!   "links": [ { "from": "a", "to": "b", "capacity_bps": 1000000000, "delay_ns": 1000, "label": "uplink" } ] }
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LoadError, check_length, json_error};
use crate::graph::Topology;
use crate::link::{LinkSpec, PortNumber};
use crate::node::{NodeKind, NodeSpec};
use crate::units::{Capacity, Delay, Weight};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    nodes: Vec<DocumentNode>,
    #[serde(default)]
    links: Vec<DocumentLink>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentNode {
    name: String,
    #[serde(default)]
    kind: NodeKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentLink {
    from: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_port: Option<PortNumber>,
    to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to_port: Option<PortNumber>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    capacity_bps: Option<Capacity>,
    #[serde(default)]
    delay_ns: Delay,
    #[serde(default)]
    weight: Weight,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(default)]
    directed: bool,
}

/// Reads our JSON.
///
/// # Errors
/// When the file is too long, no such JSON, or says what a topology cannot hold (then without a line).
pub fn json(text: &str) -> Result<Topology, LoadError> {
    check_length(text)?;
    let document: Document = serde_json::from_str(text).map_err(|error| json_error(&error))?;
    let mut topology = Topology::new();
    topology.name = document.name;
    let refuse = |source| LoadError::Topology { line: 0, source };
    for DocumentNode { name, kind, cluster, attributes } in document.nodes {
        let mut spec = NodeSpec::new(kind, name);
        for (name, value) in attributes {
            spec = spec.attribute(name, value);
        }
        spec = if let Some(cluster) = cluster { spec.cluster(cluster) } else { spec };
        topology.add_node(spec).map_err(refuse)?;
    }
    for link in document.links {
        let find = |name: &str| {
            let unknown =
                || LoadError::at(0, format!("a link to `{}`, which is no node", super::excerpt(name)));
            topology.find(name).ok_or_else(unknown)
        };
        let (from, to) = (find(&link.from)?, find(&link.to)?);
        let DocumentLink { from_port, to_port, capacity_bps, delay_ns, weight, label, directed, .. } = link;
        let spec =
            LinkSpec { capacity: capacity_bps, delay: delay_ns, weight, label, directed, from_port, to_port };
        topology.add_link(from, to, spec).map_err(refuse)?;
    }
    Ok(topology)
}

/// Writes our JSON; [`json`] reads the same topology from it.
pub fn to_json(topology: &Topology) -> String {
    let name_of = |id| topology.node(id).map_or_else(String::new, |node| node.name().to_owned());
    let nodes = topology.nodes().map(|node| DocumentNode {
        name: node.name().to_owned(),
        kind: node.kind,
        cluster: node.cluster.clone(),
        attributes: node.attributes.clone(),
    });
    let links = topology.links().map(|link| DocumentLink {
        from: name_of(link.from().node),
        from_port: Some(link.from().port),
        to: name_of(link.to().node),
        to_port: Some(link.to().port),
        capacity_bps: link.capacity,
        delay_ns: link.delay,
        weight: link.weight,
        label: link.label.clone(),
        directed: link.is_directed(),
    });
    let document = Document { name: topology.name.clone(), nodes: nodes.collect(), links: links.collect() };
    serde_json::to_string_pretty(&document).expect("strings, numbers and lists are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut topology = crate::generate::fat_tree(4, &LinkSpec::default().label("\"x\"")).unwrap();
        let first = topology.links().next().unwrap().id();
        topology.link_mut(first).unwrap().capacity = Some(Capacity::from_gbit(10));
        assert_eq!(json(&to_json(&topology)).unwrap(), topology);
    }

    #[test]
    fn faults_are_named() {
        let fault = |text: &str| json(text).unwrap_err().to_string();
        assert!(fault("{\n\"nodes\": [}").starts_with("line 2: "));
        assert!(fault("{\"nodes\": [], \"edges\": []}").contains("unknown field `edges`"));
        let nobody = "{\"nodes\": [], \"links\": [{\"from\": \"a\", \"to\": \"b\"}]}";
        assert_eq!(fault(nobody), "a link to `a`, which is no node");
        let twice = "{\"nodes\": [{\"name\": \"a\"}, {\"name\": \"a\"}]}";
        assert_eq!(fault(twice), "two nodes are named `a`");
        let weightless =
            "{\"nodes\": [{\"name\": \"a\"}], \"links\": [{\"from\": \"a\", \"to\": \"a\", \"weight\": 0}]}";
        assert!(fault(weightless).contains("nonzero"), "{}", fault(weightless));
        assert!(fault(&"[".repeat(100_000)).starts_with("line 1: "));
    }
}
