//! Node-link JSON, as networkx writes it (`node_link_data`) and TopoHub publishes its graphs.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Attributes, LoadError, Loader, check_length, excerpt, json_error, take_link_attribute};
use crate::graph::Topology;
use crate::link::LinkSpec;
use crate::units::{Capacity, Delay};

/// Light in fibre covers a kilometre in about 5 µs (refractive index 1.468).
const NANOS_PER_KILOMETRE: f64 = 4_897.0;

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    directed: bool,
    #[serde(default)]
    graph: Map<String, Value>,
    nodes: Vec<Map<String, Value>>,
    #[serde(alias = "edges")]
    links: Vec<Map<String, Value>>,
}

/// Reads node-link JSON: nodes with an `id` and perhaps a `name` or `label`, links (or `edges`) with `source`
/// and `target`. A link's `capacity` is in Mbit/s, its `dist` in kilometres, from which its delay follows.
/// Other scalar attributes of nodes are kept.
///
/// # Errors
/// When the file is too long or no such JSON, or says what a topology cannot hold (then without a line).
pub fn node_link(text: &str) -> Result<Topology, LoadError> {
    check_length(text)?;
    let document: Document = serde_json::from_str(text).map_err(|error| json_error(&error))?;
    let mut loader = Loader::new();
    if let Some(name) = document.graph.get("name").and_then(Value::as_str) {
        name.clone_into(&mut loader.topology.name);
    }
    for node in &document.nodes {
        let id = scalar(node.get("id")).ok_or_else(|| LoadError::at(0, "a node without an id"))?;
        let name = ["name", "label"].into_iter().find_map(|key| node.get(key).and_then(Value::as_str));
        let mut attributes = Attributes::default();
        for (key, value) in node.iter().filter(|(key, _)| !matches!(key.as_str(), "id" | "name" | "label")) {
            if let Some(value) = scalar(Some(value)) {
                attributes.take(key, &value);
            }
        }
        loader.node(0, &id, name.unwrap_or_default(), attributes)?;
    }
    for link in &document.links {
        let end = |key: &str| {
            scalar(link.get(key)).ok_or_else(|| LoadError::at(0, format!("a link without a {key}")))
        };
        let mut spec = LinkSpec { directed: document.directed, ..LinkSpec::default() };
        for (key, value) in link {
            match (key.as_str(), value.as_f64()) {
                ("capacity", Some(mbit)) if (0.0..1e12).contains(&mbit) => {
                    spec.capacity = Some(Capacity::from_bits_per_second((mbit * 1e6) as u64));
                }
                ("dist", Some(km)) if (0.0..1e9).contains(&km) => {
                    spec.delay = Delay::from_nanos((km * NANOS_PER_KILOMETRE) as u64);
                }
                _ => take_link_attribute(&mut spec, key, &scalar(Some(value)).unwrap_or_default()),
            }
        }
        loader.link(0, &end("source")?, &end("target")?, spec)?;
    }
    Ok(loader.topology)
}

/// A string or number as text.
fn scalar(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(excerpt(&number.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networkx_and_topohub_are_read() {
        let text = r#"{"directed": false, "multigraph": false, "graph": {"name": "Tiny"},
            "nodes": [{"id": 0, "name": "Oslo", "pos": [1, 2], "deg": 1}, {"id": 1, "name": "Oslo"}],
            "edges": [{"source": 0, "target": 1, "dist": 100.0, "capacity": 10}]}"#;
        let topology = node_link(text).unwrap();
        assert_eq!(topology.name, "Tiny");
        assert!(topology.find("Oslo (1)").is_some(), "a second node of one name");
        let link = topology.links().next().unwrap();
        assert_eq!(
            (link.delay.to_string(), link.capacity),
            ("489.7 µs".into(), Some(Capacity::from_mbit(10)))
        );
    }

    #[test]
    fn faults_are_named() {
        let fault = |text: &str| node_link(text).unwrap_err().to_string();
        assert_eq!(fault(r#"{"nodes": [{}], "links": []}"#), "a node without an id");
        assert_eq!(fault(r#"{"nodes": [{"id": 1}], "links": [{"source": 1}]}"#), "a link without a target");
        let unknown = r#"{"nodes": [{"id": 1}], "links": [{"source": 1, "target": 2}]}"#;
        assert_eq!(fault(unknown), "a link to `2`, which is no node");
        assert_eq!(fault(r#"{"nodes": [{"id": 1}, {"id": 1}], "links": []}"#), "two nodes have the id `1`");
        assert!(fault("{\n\n\"nodes\": 7}").starts_with("line 3: invalid type"));
    }
}
