//! The connection, the switch and its ports.

use super::{MAKER, Named, mac, name, port, request_bytes};
use crate::Version;
use crate::error::{BadAction, Fault};
use crate::flow::PacketInFormat;
use crate::message::{
    AsyncConfig, Body, Error, Features, Hello, HelloElement, PortMod, PortReason, PortStatus, Role,
    SwitchConfig,
};
use crate::nicira;
use crate::port::{PortNo, config};
use crate::queue::{Queue, QueueProperty};

pub(super) fn session(version: Version) -> Vec<Named> {
    let v13 = version == Version::V13;
    let bitmap = HelloElement::VersionBitmap(vec![1 << 1 | 1 << 4]);
    let code = Fault::from(BadAction::BadOutPort).code(version);
    vec![
        (name("hello"), Body::Hello(Hello { elements: if v13 { vec![bitmap] } else { vec![] } })),
        (name("error"), Body::Error(Error { code, data: request_bytes(version) })),
        (name("echo_request"), Body::EchoRequest(b"anything".to_vec())),
        (name("echo_reply"), Body::EchoReply(b"anything".to_vec())),
        (name("experimenter"), Body::Experimenter { experimenter: MAKER, data: vec![0, 0, 0, 1] }),
        (name("features_request"), Body::FeaturesRequest),
        (
            name("features_reply"),
            Body::FeaturesReply(Features {
                datapath: 0x0000_0200_0000_0001,
                buffers: 256,
                tables: 254,
                auxiliary: 0,
                capabilities: 0x47,
                actions: if v13 { 0 } else { 0xfff },
                ports: if v13 { vec![] } else { vec![port(1, version), port(2, version)] },
            }),
        ),
        (name("get_config_request"), Body::GetConfigRequest),
        (name("get_config_reply"), Body::GetConfigReply(SwitchConfig { flags: 0, miss_send_len: 128 })),
        (name("set_config"), Body::SetConfig(SwitchConfig { flags: 1, miss_send_len: 0xffff })),
        (
            name("port_status"),
            Body::PortStatus(PortStatus { reason: PortReason::Modify, port: port(3, version) }),
        ),
        (
            name("port_mod"),
            Body::PortMod(PortMod {
                port: PortNo(3),
                address: mac(3),
                config: config::PORT_DOWN,
                mask: config::PORT_DOWN | config::NO_RECV,
                advertise: 1 << 5,
            }),
        ),
        (name("barrier_request"), Body::BarrierRequest),
        (name("barrier_reply"), Body::BarrierReply),
        (name("queue_get_config_request"), Body::QueueGetConfigRequest(PortNo(1))),
        (
            name("queue_get_config_reply"),
            Body::QueueGetConfigReply {
                port: PortNo(1),
                queues: vec![Queue {
                    queue: 7,
                    port: PortNo(1),
                    properties: vec![QueueProperty::MinRate(100), QueueProperty::MaxRate(500)],
                }],
            },
        ),
    ]
}

pub(super) fn nicira_messages(version: Version) -> Vec<Named> {
    use nicira::Message as M;
    let mut messages: Vec<Named> = [
        ("role_request", M::RoleRequest(Role::Master)),
        ("role_reply", M::RoleReply(Role::Slave)),
        ("set_packet_in_format", M::SetPacketInFormat(PacketInFormat::Nxm)),
        ("set_async_config", M::SetAsyncConfig(async_config())),
        ("set_controller_id", M::SetControllerId(3)),
    ]
    .into_iter()
    .map(|(kind, message)| (format!("nicira_{kind}"), Body::Nicira(message)))
    .collect();
    if version == Version::V10 {
        messages.push((name("nicira_set_flow_format"), Body::Nicira(M::SetFlowFormat(2))));
        messages.push((name("nicira_flow_mod_table_id"), Body::Nicira(M::FlowModTableId(true))));
        messages.push((name("nicira_flow_age"), Body::Nicira(M::FlowAge)));
    }
    messages
}

pub(super) fn async_config() -> AsyncConfig {
    AsyncConfig { packet_in: [7, 1], port_status: [7, 2], flow_removed: [15, 3] }
}
