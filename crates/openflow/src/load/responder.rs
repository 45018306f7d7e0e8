//! What a switch of the load answers to questions: as little as keeps a controller content.

use packet::wire::MacAddr;

use crate::Version;
use crate::error::{BadRequest, Fault};
use crate::message::{Body, Error, Features, Message, RoleMessage, SwitchConfig, capabilities};
use crate::multipart::{Description, MultipartReply, Reply, Request};
use crate::port::{Port, PortNo};

/// The answer to a message, if it wants one. `whole` is how it came, for an error to quote.
pub(super) fn answer(
    version: Version,
    datapath: u64,
    ports: u32,
    message: &Message,
    whole: &[u8],
) -> Option<Message> {
    let body = match &message.body {
        Body::FeaturesRequest => Body::FeaturesReply(Features {
            datapath,
            buffers: u32::MAX,
            tables: 1,
            capabilities: capabilities::FLOW_STATS | capabilities::PORT_STATS,
            // Output, and all that 1.0 can set.
            actions: 0xfff,
            ports: if version == Version::V10 { all(datapath, ports) } else { Vec::new() },
            ..Features::default()
        }),
        Body::GetConfigRequest => Body::GetConfigReply(SwitchConfig { flags: 0, miss_send_len: 0xffff }),
        Body::BarrierRequest => Body::BarrierReply,
        Body::RoleRequest(RoleMessage { role, generation }) => {
            Body::RoleReply(RoleMessage { role: *role, generation: *generation })
        }
        Body::MultipartRequest(request) => {
            let body = match &request.body {
                Request::Description => Reply::Description(Description {
                    manufacturer: "weft".into(),
                    hardware: "none".into(),
                    software: env!("CARGO_PKG_VERSION").into(),
                    serial: format!("{datapath:016x}"),
                    datapath: "load".into(),
                }),
                Request::PortDescription => Reply::PortDescription(all(datapath, ports)),
                Request::Flow(_) => Reply::Flow(Vec::new()),
                Request::Table => Reply::Table(Vec::new()),
                Request::Port(_) => Reply::Port(Vec::new()),
                _ => return Some(refused(version, message.xid, BadRequest::BadMultipart.into(), whole)),
            };
            Body::MultipartReply(MultipartReply { flags: 0, body })
        }
        Body::Experimenter { .. } | Body::Nicira(_) | Body::Monitor(_) => {
            return Some(refused(version, message.xid, BadRequest::BadExperimenter.into(), whole));
        }
        _ => return None,
    };
    Some(Message::new(message.xid, body))
}

fn refused(version: Version, xid: u32, fault: Fault, whole: &[u8]) -> Message {
    let data = whole[..whole.len().min(crate::channel::ERROR_DATA_BYTES)].to_vec();
    Message::new(xid, Body::Error(Error { code: fault.code(version), data }))
}

fn all(datapath: u64, ports: u32) -> Vec<Port> {
    let [.., a, b, c] = datapath.to_be_bytes();
    let of = |number: u32| Port {
        number: PortNo(number),
        address: MacAddr([6, a, b, c, (number >> 8) as u8, number as u8]),
        name: format!("port{number}"),
        ..Port::default()
    };
    (1..=ports).map(of).collect()
}
