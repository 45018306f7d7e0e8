//! GraphML, as the Internet Topology Zoo (Knight et al., IEEE JSAC 29(9), 2011) and networkx write it.

use std::collections::HashMap;

use roxmltree::{Document, Node, ParsingOptions};

use super::{Attributes, LoadError, Loader, check_length, excerpt, take_link_attribute};
use crate::graph::Topology;
use crate::link::LinkSpec;

/// The most XML nodes (elements, texts, comments) of a file.
const XML_NODES_MAX: u32 = 4_000_000;

/// Reads the first graph of a GraphML file. A node is named by its `label` (or `name`), else by its id; a node
/// with `Internal` 0 is external; other data are attributes.
///
/// # Errors
/// When the file is too long, no XML, or no GraphML. A document type declaration is refused: GraphML has none.
pub fn graphml(text: &str) -> Result<Topology, LoadError> {
    check_length(text)?;
    let options =
        ParsingOptions { allow_dtd: false, nodes_limit: XML_NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| LoadError::at(error.pos().row as usize, error.to_string()))?;
    let root = document.root_element();
    let lines = Lines::of(text);
    if root.tag_name().name() != "graphml" {
        let name = excerpt(root.tag_name().name());
        return Err(LoadError::at(lines.at(root), format!("expected `graphml`, found `{name}`")));
    }
    let keys: HashMap<&str, &str> = children(root, "key")
        .filter_map(|key| Some((key.attribute("id")?, key.attribute("attr.name")?)))
        .collect();
    let graph = children(root, "graph").next();
    let graph = graph.ok_or_else(|| LoadError::at(lines.at(root), "there is no `graph` in it"))?;

    let mut loader = Loader::new();
    for (name, value) in data(graph, &keys) {
        if matches!(name, "Network" | "name") && !value.is_empty() {
            loader.topology.name = value.chars().take(200).collect();
        }
    }
    let directed = graph.attribute("edgedefault") == Some("directed");
    for node in children(graph, "node") {
        add_node(&mut loader, lines.at(node), node, &keys)?;
    }
    for edge in children(graph, "edge") {
        let line = lines.at(edge);
        let directed = edge.attribute("directed").map_or(directed, |directed| directed == "true");
        let mut spec = LinkSpec { directed, ..LinkSpec::default() };
        for (name, value) in data(edge, &keys) {
            take_link_attribute(&mut spec, name, value);
        }
        let end = |name: &str| {
            edge.attribute(name).ok_or_else(|| LoadError::at(line, format!("an edge without a {name}")))
        };
        loader.link(line, end("source")?, end("target")?, spec)?;
    }
    Ok(loader.topology)
}

fn add_node(
    loader: &mut Loader,
    line: usize,
    node: Node<'_, '_>,
    keys: &HashMap<&str, &str>,
) -> Result<(), LoadError> {
    let id = node.attribute("id").ok_or_else(|| LoadError::at(line, "a node without an id"))?;
    let (mut name, mut attributes) = ("", Attributes::default());
    for (key, value) in data(node, keys) {
        match key {
            "label" | "name" => name = value,
            _ => attributes.take(key, value),
        }
    }
    loader.node(line, id, name, attributes)?;
    Ok(())
}

fn children<'a, 'input>(
    parent: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    parent.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// The `data` of an element, by the name its key was declared with, else by the key.
fn data<'a>(
    element: Node<'a, '_>,
    keys: &HashMap<&'a str, &'a str>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    children(element, "data").filter_map(|data| {
        let key = data.attribute("key")?;
        Some((keys.get(key).copied().unwrap_or(key), data.text().unwrap_or_default().trim()))
    })
}

/// Where lines begin: the parser's own search starts from the top for every question.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    fn at(&self, node: Node<'_, '_>) -> usize {
        self.0.partition_point(|newline| *newline < node.range().start) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodeKind;
    use crate::units::Capacity;

    const ZOO: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key attr.name="label" attr.type="string" for="node" id="d33" />
  <key attr.name="Internal" attr.type="int" for="node" id="d31" />
  <key attr.name="LinkSpeedRaw" attr.type="double" for="edge" id="d41" />
  <key attr.name="LinkLabel" attr.type="string" for="edge" id="d42" />
  <key attr.name="Network" attr.type="string" for="graph" id="d5" />
  <graph edgedefault="undirected">
    <data key="d5">Example &amp; Co</data>
    <node id="0"><data key="d33">Oslo</data><data key="d31">1</data></node>
    <node id="1"><data key="d33">Oslo</data><data key="d31">0</data></node>
    <node id="2" />
    <edge source="0" target="1"><data key="d41">10000000000.0</data><data key="d42">10 Gbps</data></edge>
    <edge source="1" target="2" />
  </graph>
</graphml>"#;

    #[test]
    fn the_topology_zoo_is_read() {
        let topology = graphml(ZOO).unwrap();
        assert_eq!(
            (topology.name.as_str(), topology.node_count(), topology.link_count()),
            ("Example & Co", 3, 2)
        );
        let other = topology.node(topology.find("Oslo (1)").unwrap()).unwrap();
        assert_eq!(other.kind, NodeKind::External);
        let link = topology.links().next().unwrap();
        assert_eq!((link.capacity, link.label.as_deref()), (Some(Capacity::from_gbit(10)), Some("10 Gbps")));
        assert!(!link.is_directed());
    }

    #[test]
    fn faults_are_named_by_line() {
        let fault = |text: &str| graphml(text).unwrap_err().to_string();
        let broken = |from: &str, to: &str| fault(&ZOO.replacen(from, to, 1));
        assert_eq!(broken("target=\"2\"", "target=\"9\""), "line 14: a link to `9`, which is no node");
        assert_eq!(broken("<node id=\"2\" />", "<node />"), "line 12: a node without an id");
        assert_eq!(broken("id=\"2\"", "id=\"1\""), "line 12: two nodes have the id `1`");
        assert!(broken("</graph>", "</grap>").starts_with("line 15: "));
        assert_eq!(fault("<svg/>"), "line 1: expected `graphml`, found `svg`");
        assert_eq!(fault("<graphml/>"), "line 1: there is no `graph` in it");
        assert!(fault("<!DOCTYPE a [<!ENTITY x 'y'>]><graphml/>").contains("DTD"));
        // However deep elements nest, the thread's stack does not grow.
        assert!(fault(&"<a>".repeat(1_000_000)).starts_with("line 1: "));
        let (open, close) = ("<graphml>".repeat(500_000), "</graphml>".repeat(500_000));
        assert_eq!(fault(&(open + &close)), "line 1: there is no `graph` in it");
        assert!(fault("").starts_with("line 1: "));
    }
}
