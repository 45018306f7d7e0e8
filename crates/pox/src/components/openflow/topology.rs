//! The network as a graph: switches, the links between them, the hosts at their ports.
//!
//! Links are those of `openflow.discovery`, hosts those of `host_tracker`. Whatever changes is told by `TopologyChanged`, once for
//! all that happens at one time. Other components take the graph (`NetworkTopology::graph`), programs outside the method
//! `topology.get`, with `{"format": "dot"}` as Graphviz reads it.
//!
//! Launch: `weft pox openflow.topology openflow.discovery host_tracker web.jsonrpc web.webcore`

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use topology::{LinkSpec, NodeId, NodeSpec, PortNumber, Topology, TopologyError};

use super::discovery::{Discovery, LinkEvent};
use crate::components::host_tracker::{HostEvent, HostTracker};
use crate::rpc::{Methods, RpcError};
use crate::{
    Component, Connection, ConnectionDown, ConnectionUp, Core, Dpid, Event, OPENFLOW, Options, OptionsError,
    Result,
};

/// The graph's keeper.
#[derive(Debug, Default)]
pub struct NetworkTopology {
    telling: bool,
}

/// Switches, links or hosts have changed. Raised by `openflow.topology`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopologyChanged;

impl Event for TopologyChanged {}

pub(crate) fn build(_: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(NetworkTopology::default()))
}

impl Component for NetworkTopology {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(OPENFLOW, |this: &mut Self, _: &ConnectionUp, core: &mut Core| this.changed(core));
        core.listen(OPENFLOW, |this: &mut Self, _: &ConnectionDown, core: &mut Core| this.changed(core));
        core.listen("openflow.discovery", |this: &mut Self, _: &LinkEvent, core: &mut Core| {
            this.changed(core);
        });
        core.listen("host_tracker", |this: &mut Self, _: &HostEvent, core: &mut Core| this.changed(core));
        core.call_when_ready(["web.jsonrpc"], |_: &mut Self, core: &mut Core| {
            core.call("web.jsonrpc", |methods: &mut Methods, _: &mut Core| {
                methods.offer(
                    "topology.get",
                    "switches, links and hosts; with format dot, as Graphviz reads it",
                    |core, parameters, reply| {
                        reply.send(answer(core, parameters));
                    },
                );
            })
        });
        Ok(())
    }
}

fn answer(core: &Core, parameters: &Value) -> Result<Value, RpcError> {
    let graph = NetworkTopology::graph(core).map_err(|error| RpcError::failed(error.to_string()))?;
    match parameters["format"].as_str() {
        Some("dot") => Ok(topology::render::dot(&graph, &topology::render::Style::default()).into()),
        Some(other) => Err(RpcError::parameters(format!("the formats are dot and none, not '{other}'"))),
        None => {
            let end = |end: topology::Endpoint| json!({ "node": graph.node(end.node).map(topology::Node::name), "port": end.port.0 });
            let links = graph.links().map(|link| json!({ "from": end(link.from()), "to": end(link.to()) }));
            let nodes =
                graph.nodes().map(|node| json!({ "name": node.name(), "kind": format!("{:?}", node.kind) }));
            Ok(json!({ "nodes": nodes.collect::<Vec<_>>(), "links": links.collect::<Vec<_>>() }))
        }
    }
}

impl NetworkTopology {
    /// The network as it is known now: a switch's name is its datapath id, a host's its hardware address.
    ///
    /// # Errors
    /// More of it than a graph holds.
    pub fn graph(core: &Core) -> std::result::Result<Topology, TopologyError> {
        let mut graph = Topology::new();
        let mut switches: BTreeMap<Dpid, NodeId> = BTreeMap::new();
        for datapath in core.connections().map(Connection::datapath) {
            switches.insert(datapath, graph.add_node(NodeSpec::switch(datapath.to_string()))?);
        }
        if let Some(discovery) = core.find::<Discovery>() {
            for link in discovery.two_way_links() {
                let (Some(from), Some(to)) = (switches.get(&link.from.0), switches.get(&link.to.0)) else {
                    continue;
                };
                let ports = (PortNumber(link.from.1.0), PortNumber(link.to.1.0));
                graph.add_link(*from, *to, LinkSpec::default().ports(ports.0, ports.1))?;
            }
        }
        if let Some(tracker) = core.find::<HostTracker>() {
            for (mac, host) in tracker.hosts() {
                let Some(switch) = switches.get(&host.place.datapath) else { continue };
                let addresses: Vec<String> = host.addresses.keys().map(ToString::to_string).collect();
                let spec = NodeSpec::host(mac.to_string()).attribute("ip", addresses.join(" "));
                let node = graph.add_node(spec)?;
                // Several hosts behind one port, such as those of a hub: the port is the first one's.
                let spec = LinkSpec::default().ports(PortNumber(host.place.port.0), PortNumber(1));
                if graph.add_link(*switch, node, spec).is_err() {
                    graph.remove_node(node);
                }
            }
        }
        Ok(graph)
    }

    fn changed(&mut self, core: &mut Core) {
        if !std::mem::replace(&mut self.telling, true) {
            core.after(Duration::ZERO, |this: &mut Self, core: &mut Core| {
                this.telling = false;
                core.raise(TopologyChanged);
            });
        }
    }
}
