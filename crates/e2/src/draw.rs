//! The stages of a plan as graphs for `topology::render`.

use topology::{LinkSpec, NodeId, NodeKind, NodeSpec, Topology, TopologyError};

use crate::compile::split::Node;
use crate::compile::{IGraph, PGraph, Plan};
use crate::policy::{End, Kind, Policy};
use crate::rate::Rate;

/// The longest predicate that is written on an edge, in characters.
const LABEL_MAX: usize = 60;

/// All pipelets as one graph: predicates and rates on its edges.
///
/// # Errors
/// The graph is larger than a topology may be.
pub fn pgraph(policy: &Policy, graph: &PGraph) -> Result<Topology, TopologyError> {
    let mut drawing = Topology::new();
    let ports = ports(policy, &mut drawing)?;
    let functions = policy
        .functions
        .iter()
        .map(|function| drawing.add_node(NodeSpec::new(kind(function.kind), &function.name)))
        .collect::<Result<Vec<_>, _>>()?;
    let node = |end: End| match end {
        End::Port(place) => ports[place],
        End::Function(place) => functions[place],
    };
    for edge in &graph.edges {
        let filters: Vec<String> = edge
            .alternatives
            .iter()
            .filter(|rule| !rule.filter.is_any())
            .map(|rule| rule.filter.to_string())
            .collect();
        let text: String = filters.join(" | ").chars().take(LABEL_MAX).collect();
        let label = if text.is_empty() { edge.rate.to_string() } else { format!("{text}, {}", edge.rate) };
        drawing.add_link(node(edge.from), node(edge.to), LinkSpec::default().directed().label(label))?;
    }
    Ok(drawing)
}

/// Instances: ranges and rates on the edges.
///
/// # Errors
/// The graph is larger than a topology may be.
pub fn igraph(policy: &Policy, graph: &IGraph) -> Result<Topology, TopologyError> {
    instances(policy, graph, &|_| None)
}

/// Instances on their servers, those in the switch on it.
///
/// # Errors
/// The graph is larger than a topology may be.
pub fn placement(policy: &Policy, plan: &Plan) -> Result<Topology, TopologyError> {
    instances(policy, &plan.igraph, &|instance| {
        let hardware = &policy.hardware;
        let server = plan.servers[instance].map(|server| &hardware.servers[server].name);
        Some(server.unwrap_or(&hardware.switch.name).clone())
    })
}

fn instances(
    policy: &Policy,
    graph: &IGraph,
    site: &dyn Fn(usize) -> Option<String>,
) -> Result<Topology, TopologyError> {
    let mut drawing = Topology::new();
    let ports = ports(policy, &mut drawing)?;
    let mut nodes = Vec::new();
    for (place, instance) in graph.instances.iter().enumerate() {
        let kind = kind(policy.functions[instance.function].kind);
        let mut spec =
            NodeSpec::new(kind, graph.name(policy, place)).attribute("rate", instance.rate.to_string());
        if let Some(site) = site(place) {
            spec = spec.cluster(site);
        }
        nodes.push(drawing.add_node(spec)?);
    }
    let node = |end: Node| match end {
        Node::Port(place) => ports[place],
        Node::Instance(place) => nodes[place],
    };
    for edge in graph.edges.iter().filter(|edge| edge.rate > Rate(0)) {
        let range = edge.range.map_or_else(String::new, |range| format!("{range}, "));
        let label = format!("{range}{}", edge.rate);
        drawing.add_link(node(edge.from), node(edge.to), LinkSpec::default().directed().label(label))?;
    }
    Ok(drawing)
}

fn ports(policy: &Policy, drawing: &mut Topology) -> Result<Vec<NodeId>, TopologyError> {
    let specs = policy.hardware.ports.iter().map(|port| NodeSpec::new(NodeKind::External, &port.name));
    specs.map(|spec| drawing.add_node(spec)).collect()
}

const fn kind(kind: Kind) -> NodeKind {
    match kind {
        Kind::Native => NodeKind::Host,
        Kind::Legacy => NodeKind::Custom,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::plan;

    #[test]
    fn every_stage_is_drawn_with_its_labels() {
        let policy = Policy::read(include_str!("../examples/shop.yaml")).unwrap();
        let plan = plan(&policy).unwrap();
        let style = topology::render::Style::default();
        let text = topology::render::dot(&pgraph(&policy, &plan.pgraph).unwrap(), &style);
        assert!(text.contains("firewall.safe") && text.contains("Gbit/s"), "{text}");
        let text = topology::render::dot(&igraph(&policy, &plan.igraph).unwrap(), &style);
        assert!(text.contains("cache.2") && text.contains("0x8000-0xffff, "), "{text}");
        let drawing = placement(&policy, &plan).unwrap();
        assert!(topology::render::dot(&drawing, &style).contains("label=\"s1\""));
        assert!(topology::render::svg(&drawing, &style).unwrap().starts_with("<svg"));
    }
}
