//! The stock components. Each is one file, whose doc comment is its manual: `weft pox list` and `weft pox help` print them.
//!
//! To add one: a file here with a `build` function, its `mod` line in its group, and a line in [`KINDS`].

pub mod forwarding;
pub mod host_tracker;
pub mod info;
pub mod messenger;
pub mod misc;
pub mod openflow;
pub mod proto;
pub mod py;
pub mod web;

use crate::kind;
use crate::launch::Kind;

/// All kinds, by name.
pub const KINDS: &[Kind] = &[
    kind!("forwarding.hub", "forwarding/hub.rs", forwarding::hub::build),
    kind!("forwarding.l2_flowvisor", "forwarding/l2_flowvisor.rs", forwarding::l2_flowvisor::build),
    kind!("forwarding.l2_learning", "forwarding/l2_learning.rs", forwarding::l2_learning::build),
    kind!("forwarding.l2_multi", "forwarding/l2_multi.rs", forwarding::l2_multi::build),
    kind!("forwarding.l2_nx", "forwarding/l2_nx.rs", forwarding::l2_nx::build),
    kind!(
        "forwarding.l2_nx_self_learning",
        "forwarding/l2_nx_self_learning.rs",
        forwarding::l2_nx_self_learning::build
    ),
    kind!("forwarding.l2_pairs", "forwarding/l2_pairs.rs", forwarding::l2_pairs::build),
    kind!("forwarding.l3_learning", "forwarding/l3_learning.rs", forwarding::l3_learning::build),
    kind!("forwarding.topo_proactive", "forwarding/topo_proactive.rs", forwarding::topo_proactive::build),
    kind!("host_tracker", "host_tracker.rs", host_tracker::build),
    kind!("info.packet_dump", "info/packet_dump.rs", info::packet_dump::build),
    kind!("info.switch_info", "info/switch_info.rs", info::switch_info::build),
    kind!("messenger", "messenger/messenger.rs", messenger::messenger::build),
    kind!("messenger.chat", "messenger/chat.rs", messenger::chat::build, several),
    kind!("messenger.log_service", "messenger/log_service.rs", messenger::log_service::build),
    kind!("messenger.tcp_transport", "messenger/tcp_transport.rs", messenger::tcp_transport::build, several),
    kind!("misc.cbench", "misc/cbench.rs", misc::cbench::build),
    kind!("misc.full_payload", "misc/full_payload.rs", misc::full_payload::build),
    kind!("misc.ip_loadbalancer", "misc/ip_loadbalancer.rs", misc::ip_loadbalancer::build),
    kind!("misc.mac_blocker", "misc/mac_blocker.rs", misc::mac_blocker::build),
    kind!("misc.nat", "misc/nat.rs", misc::nat::build),
    kind!("misc.of_tutorial", "misc/of_tutorial.rs", misc::of_tutorial::build),
    kind!("openflow.debug", "openflow/debug.rs", openflow::debug::build),
    kind!("openflow.discovery", "openflow/discovery.rs", openflow::discovery::build),
    kind!("openflow.flow_table", "openflow/flow_table.rs", openflow::flow_table::build),
    kind!("openflow.keepalive", "openflow/keepalive.rs", openflow::keepalive::build),
    kind!("openflow.of_01", "openflow/of_01.rs", openflow::of_01::build, several),
    kind!("openflow.of_service", "openflow/of_service.rs", openflow::of_service::build),
    kind!("openflow.spanning_forest", "openflow/spanning_forest.rs", openflow::spanning_forest::build),
    kind!("openflow.spanning_tree", "openflow/spanning_tree.rs", openflow::spanning_tree::build),
    kind!("openflow.topology", "openflow/topology.rs", openflow::topology::build),
    kind!("proto.arp_responder", "proto/arp_responder.rs", proto::arp_responder::build),
    kind!("proto.dhcp_client", "proto/dhcp_client.rs", proto::dhcp_client::build, several),
    kind!("proto.dhcpd", "proto/dhcpd.rs", proto::dhcpd::build),
    kind!("proto.dns_spy", "proto/dns_spy.rs", proto::dns_spy::build),
    kind!("proto.dnsd", "proto/dnsd.rs", proto::dnsd::build),
    kind!("proto.pong", "proto/pong.rs", proto::pong::build),
    kind!("proto.rip", "proto/rip.rs", proto::rip::build, several),
    kind!("py", "py.rs", py::build),
    kind!("web.jsonrpc", "web/jsonrpc.rs", web::jsonrpc::build),
    kind!("web.webcore", "web/webcore.rs", web::webcore::build),
];
