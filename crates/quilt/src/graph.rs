//! A blueprint as a drawing: containers and services as nodes, links as arrows.

use std::collections::HashMap;

use topology::{LinkSpec, NodeId, NodeKind, NodeSpec, Topology, TopologyError};

use crate::model::{Blueprint, Party, Ports, Protocol};

/// Name of the node that stands for everything outside.
const OUTSIDE: &str = "public internet";

/// The graph of a blueprint; containers of one service stand in one cluster.
///
/// ```
/// use quilt::eval::{evaluate_text, Options};
/// use topology::render::{Style, dot};
///
/// let text = "import {Container, publish} from 'weft';
///     publish(new Container('web', {command: ['web'], replicas: 2}), 8080, 80);";
/// let blueprint = evaluate_text("web.js", text, &Options::default()).unwrap().blueprint;
/// let graph = quilt::graph::graph(&blueprint)?;
/// assert!(dot(&graph, &Style::default()).contains("8080 to 80/tcp"));
/// # Ok::<(), topology::TopologyError>(())
/// ```
pub fn graph(blueprint: &Blueprint) -> Result<Topology, TopologyError> {
    let mut graph = Topology::new();
    graph.name.clone_from(&blueprint.name);
    let mut clusters: HashMap<&str, &str> = HashMap::new();
    for service in &blueprint.services {
        for member in &service.members {
            clusters.entry(member).or_insert(&service.name);
        }
    }
    let mut nodes: HashMap<&str, NodeId> = HashMap::new();
    for service in &blueprint.services {
        let spec = NodeSpec::new(NodeKind::Service, &service.name).cluster(&service.name);
        nodes.insert(&service.name, graph.add_node(spec)?);
    }
    for container in &blueprint.containers {
        let command: String = container.command.join(" ").chars().take(60).collect();
        let mut spec = NodeSpec::host(&container.name).attribute("command", command);
        if let Some(cluster) = clusters.get(container.name.as_str()) {
            spec = spec.cluster(*cluster);
        }
        nodes.insert(&container.name, graph.add_node(spec)?);
    }
    for service in &blueprint.services {
        for member in &service.members {
            join(&mut graph, &nodes, &service.name, member, LinkSpec::default())?;
        }
    }
    let to_outside = blueprint.links.iter().any(|link| link.to == Party::PublicInternet);
    if to_outside || !blueprint.publishes.is_empty() {
        nodes.insert(OUTSIDE, graph.add_node(NodeSpec::new(NodeKind::External, OUTSIDE))?);
    }
    for link in &blueprint.links {
        // A service opens no connections itself: its members do, and an arrow from it would pass behind them.
        for from in blueprint.members(&link.from) {
            let spec = LinkSpec::default().label(led(label(link.ports, link.protocol), &link.through));
            join(&mut graph, &nodes, from, link.to.name(), spec)?;
        }
    }
    for link in &blueprint.emulated {
        if let (Some(a), Some(b)) = (nodes.get(link.a.name()), nodes.get(link.b.name())) {
            graph.add_link(*a, *b, LinkSpec::default().label(link.shape.to_string()))?;
        }
    }
    for publish in &blueprint.publishes {
        let inside = label(Ports::one(publish.container_port), publish.protocol);
        let label = led(format!("{} to {inside}", publish.host_port), &publish.through);
        let spec = LinkSpec::default().label(label);
        join(&mut graph, &nodes, OUTSIDE, publish.to.name(), spec)?;
    }
    Ok(graph)
}

fn label(ports: Ports, protocol: Protocol) -> String {
    match protocol {
        Protocol::Any => ports.to_string(),
        protocol => format!("{ports}/{protocol}"),
    }
}

/// A label, and what its packets go through.
fn led(label: String, through: &[String]) -> String {
    if through.is_empty() { label } else { format!("{label} through {}", through.join(", ")) }
}

fn join(
    graph: &mut Topology,
    nodes: &HashMap<&str, NodeId>,
    from: &str,
    to: &str,
    spec: LinkSpec,
) -> Result<(), TopologyError> {
    // Checked blueprints name only what exists; an unchecked one is drawn without the rest.
    if let (Some(from), Some(to)) = (nodes.get(from), nodes.get(to)) {
        graph.add_link(*from, *to, spec.directed())?;
    }
    Ok(())
}
