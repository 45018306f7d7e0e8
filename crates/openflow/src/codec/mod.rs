//! Messages to bytes and back.
//!
//! What decodes encodes to the same bytes, with these exceptions, all of which mean nothing: padding is written as zeros
//! (it is read whatever it is, as the specification demands), text that is not UTF-8 or goes on behind its NUL is not
//! kept, nor is what a hello has beyond well-formed elements.
//!
//! Encoding for a version translates what has a counterpart there: matches, actions on fields, VLAN tags where the match or
//! the packet tells whether there is one. A command that cannot be said in that version is an [`EncodeError`] that names
//! what; a report (statistics, a removed flow, a packet-in) leaves out the numbers that its form has no room for.
//!
//! Whether what a message says makes sense is not the codec's to judge, but for what it needs to read on: see
//! [`crate::matching::check`] for matches.
//!
//! ```
//! use openflow::{Version, action::Action, codec, flow::FlowMod, instruction::Instruction, matching::Match};
//! use openflow::{message::{Body, Message}, port::PortNo};
//!
//! let flow = FlowMod {
//!     priority: 10,
//!     matching: Match::new().in_port(PortNo(1)).ipv4_dst([10, 0, 0, 2].into()),
//!     instructions: vec![Instruction::ApplyActions(vec![Action::output(PortNo(2))])],
//!     ..FlowMod::default()
//! };
//! let message = Message::new(7, Body::FlowMod(flow));
//! let mut bytes = Vec::new();
//! for version in Version::ALL {
//!     bytes.clear();
//!     codec::encode(version, &message, &mut bytes)?;
//!     let (read, Message { xid: 7, body: Body::FlowMod(flow) }) = codec::decode(&bytes)? else { panic!() };
//!     assert_eq!((read, flow.matching.tagged()), (version, None));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod action;
mod action10;
mod action13;
mod flow;
mod group;
mod instruction;
mod learn;
mod matching;
mod meter;
mod monitor;
mod multipart;
mod nicira;
mod nicira_action;
mod oxm;
mod packet;
mod port;
mod queue;
mod read;
mod session;
mod table;
mod translate;
mod write;

pub use self::packet::PacketInView;

use self::read::Reader;
use self::write::{Put, unsayable};
use crate::Version;
use crate::error::{BadRequest, Fault};
use crate::message::{Body, Hello, Message};
use crate::wire::{HEADER_LEN, Header, MESSAGE_MAX};

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {fault}")]
pub struct DecodeError {
    /// What a switch answers.
    pub fault: Fault,
    /// What was read.
    pub what: &'static str,
}

/// Why a message has no bytes in a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The version has no way to say it.
    #[error("{version} cannot say {what}")]
    Unsayable {
        /// The version.
        version: Version,
        /// What.
        what: String,
    },
    /// It does not fit where it belongs.
    #[error("{what} of {length} bytes, at most {max} fit")]
    TooLong {
        /// What.
        what: &'static str,
        /// Its bytes.
        length: usize,
        /// The most that fit.
        max: usize,
    },
    /// No version can say it.
    #[error("{0}")]
    Invalid(&'static str),
}

/// Decodes one whole message.
///
/// # Errors
/// The fault that a switch answers with.
pub fn decode(bytes: &[u8]) -> Result<(Version, Message), DecodeError> {
    let (header, reader) = framed(bytes)?;
    let Some(version) = Version::from_wire(header.version) else {
        return Err(reader.fault(BadRequest::BadVersion));
    };
    Ok((version, Message { xid: header.xid, body: body(version, header.kind, reader)? }))
}

/// Decodes a hello of any version: the first message of a peer, which says the highest version that it speaks.
///
/// # Errors
/// It is no hello.
pub fn decode_hello(bytes: &[u8]) -> Result<(Header, Hello), DecodeError> {
    let (header, reader) = framed(bytes)?;
    if header.kind != kind::HELLO {
        return Err(reader.fault(BadRequest::BadType));
    }
    Ok((header, session::decode_hello(reader)))
}

fn framed(bytes: &[u8]) -> Result<(Header, Reader<'_>), DecodeError> {
    let mut reader = Reader::new(bytes, "message", BadRequest::BadLen);
    let Ok(Some(header)) = Header::peek(bytes) else { return Err(reader.wrong()) };
    reader.skip(HEADER_LEN)?;
    if usize::from(header.length) != bytes.len() {
        return Err(reader.wrong());
    }
    Ok((header, reader))
}

/// Appends a message.
///
/// # Errors
/// The version cannot say it; `out` is as it was.
pub fn encode(version: Version, message: &Message, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    encode_body(version, message.xid, &message.body, out)
}

/// Appends a message of that transaction and body.
///
/// # Errors
/// As [`encode`].
pub fn encode_body(version: Version, xid: u32, body: &Body, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let done = put(version, xid, body, out);
    if done.is_err() {
        out.truncate(start);
    }
    done
}

fn put(version: Version, xid: u32, body: &Body, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&Header { version: version.wire(), kind: 0, length: 0, xid }.bytes());
    out[start + 1] = put_body(version, body, out)?;
    let length = out.len() - start;
    if length > MESSAGE_MAX {
        return Err(EncodeError::TooLong { what: "message", length, max: MESSAGE_MAX });
    }
    out.length(start, start + 2, "message")
}

/// Numbers of messages that both versions share; see [`newer`] for those that moved.
mod kind {
    pub(super) const HELLO: u8 = 0;
    pub(super) const ERROR: u8 = 1;
    pub(super) const ECHO_REQUEST: u8 = 2;
    pub(super) const ECHO_REPLY: u8 = 3;
    pub(super) const EXPERIMENTER: u8 = 4;
    pub(super) const FEATURES_REQUEST: u8 = 5;
    pub(super) const FEATURES_REPLY: u8 = 6;
    pub(super) const GET_CONFIG_REQUEST: u8 = 7;
    pub(super) const GET_CONFIG_REPLY: u8 = 8;
    pub(super) const SET_CONFIG: u8 = 9;
    pub(super) const PACKET_IN: u8 = 10;
    pub(super) const FLOW_REMOVED: u8 = 11;
    pub(super) const PORT_STATUS: u8 = 12;
    pub(super) const PACKET_OUT: u8 = 13;
    pub(super) const FLOW_MOD: u8 = 14;
    pub(super) const GROUP_MOD: u8 = 15;
    pub(super) const PORT_MOD: u8 = 16;
    pub(super) const TABLE_MOD: u8 = 17;
    pub(super) const MULTIPART_REQUEST: u8 = 18;
    pub(super) const MULTIPART_REPLY: u8 = 19;
    pub(super) const BARRIER_REQUEST: u8 = 20;
    pub(super) const BARRIER_REPLY: u8 = 21;
    pub(super) const QUEUE_GET_CONFIG_REQUEST: u8 = 22;
    pub(super) const QUEUE_GET_CONFIG_REPLY: u8 = 23;
    pub(super) const ROLE_REQUEST: u8 = 24;
    pub(super) const ROLE_REPLY: u8 = 25;
    pub(super) const GET_ASYNC_REQUEST: u8 = 26;
    pub(super) const GET_ASYNC_REPLY: u8 = 27;
    pub(super) const SET_ASYNC: u8 = 28;
    pub(super) const METER_MOD: u8 = 29;
}

/// 1.3's number of a message of 1.0, and the reverse. 1.0 has no group-mod and no table-mod, so that port-mod, statistics,
/// barriers and queues have lower numbers there.
const fn newer(kind: u8) -> Option<u8> {
    match kind {
        0..=14 => Some(kind),
        15 => Some(kind::PORT_MOD),
        16..=21 => Some(kind + 2),
        _ => None,
    }
}

const fn older(kind: u8) -> Option<u8> {
    match kind {
        0..=14 => Some(kind),
        kind::PORT_MOD => Some(15),
        18..=23 => Some(kind - 2),
        _ => None,
    }
}

fn body(version: Version, wire: u8, mut reader: Reader<'_>) -> Result<Body, DecodeError> {
    let kind = match version {
        Version::V13 => wire,
        Version::V10 => newer(wire).ok_or_else(|| reader.fault(BadRequest::BadType))?,
    };
    let body = match kind {
        kind::HELLO => return Ok(Body::Hello(session::decode_hello(reader))),
        kind::ERROR => Body::Error(session::decode_error(version, &mut reader)?),
        kind::ECHO_REQUEST => Body::EchoRequest(reader.rest().to_vec()),
        kind::ECHO_REPLY => Body::EchoReply(reader.rest().to_vec()),
        kind::EXPERIMENTER => return nicira::decode(version, reader),
        kind::FEATURES_REQUEST => Body::FeaturesRequest,
        kind::FEATURES_REPLY => Body::FeaturesReply(session::decode_features(version, &mut reader)?),
        kind::GET_CONFIG_REQUEST => Body::GetConfigRequest,
        kind::GET_CONFIG_REPLY => Body::GetConfigReply(session::decode_config(&mut reader)?),
        kind::SET_CONFIG => Body::SetConfig(session::decode_config(&mut reader)?),
        kind::PACKET_IN => Body::PacketIn(packet::decode_in(version, &mut reader)?),
        kind::FLOW_REMOVED => Body::FlowRemoved(flow::decode_removed(version, &mut reader)?),
        kind::PORT_STATUS => Body::PortStatus(port::decode_status(version, &mut reader)?),
        kind::PACKET_OUT => Body::PacketOut(packet::decode_out(version, &mut reader)?),
        kind::FLOW_MOD => Body::FlowMod(flow::decode_mod(version, &mut reader)?),
        kind::GROUP_MOD => Body::GroupMod(group::decode_mod(&mut reader)?),
        kind::PORT_MOD => Body::PortMod(port::decode_mod(version, &mut reader)?),
        kind::TABLE_MOD => Body::TableMod(table::decode_mod(&mut reader)?),
        kind::MULTIPART_REQUEST => Body::MultipartRequest(multipart::decode_request(version, &mut reader)?),
        kind::MULTIPART_REPLY => Body::MultipartReply(multipart::decode_reply(version, &mut reader)?),
        kind::BARRIER_REQUEST => Body::BarrierRequest,
        kind::BARRIER_REPLY => Body::BarrierReply,
        kind::QUEUE_GET_CONFIG_REQUEST => {
            Body::QueueGetConfigRequest(queue::decode_request(version, &mut reader)?)
        }
        kind::QUEUE_GET_CONFIG_REPLY => queue::decode_reply(version, &mut reader)?,
        kind::ROLE_REQUEST => Body::RoleRequest(session::decode_role(&mut reader)?),
        kind::ROLE_REPLY => Body::RoleReply(session::decode_role(&mut reader)?),
        kind::GET_ASYNC_REQUEST => Body::GetAsyncRequest,
        kind::GET_ASYNC_REPLY => Body::GetAsyncReply(session::decode_async(&mut reader)?),
        kind::SET_ASYNC => Body::SetAsync(session::decode_async(&mut reader)?),
        kind::METER_MOD => Body::MeterMod(meter::decode_mod(&mut reader)?),
        _ => return Err(reader.fault(BadRequest::BadType)),
    };
    reader.end()?;
    Ok(body)
}

/// Appends what follows the header; returns the message's number.
fn put_body(version: Version, body: &Body, out: &mut Vec<u8>) -> Result<u8, EncodeError> {
    let kind = match body {
        Body::Hello(hello) => {
            session::encode_hello(hello, out)?;
            kind::HELLO
        }
        Body::Error(error) => {
            session::encode_error(version, error, out)?;
            kind::ERROR
        }
        Body::EchoRequest(data) => {
            out.extend_from_slice(data);
            kind::ECHO_REQUEST
        }
        Body::EchoReply(data) => {
            out.extend_from_slice(data);
            kind::ECHO_REPLY
        }
        Body::Nicira(message) => {
            nicira::encode(version, message, out)?;
            kind::EXPERIMENTER
        }
        Body::Monitor(message) => {
            nicira::encode_monitor(version, *message, out);
            kind::EXPERIMENTER
        }
        Body::Experimenter { experimenter, data } if monitor::claims(version, *experimenter, data) => {
            return Err(unsayable(version, "a flow monitor as something else"));
        }
        Body::Experimenter { experimenter, data } => {
            out.u32(*experimenter);
            out.extend_from_slice(data);
            kind::EXPERIMENTER
        }
        Body::FeaturesRequest => kind::FEATURES_REQUEST,
        Body::FeaturesReply(features) => {
            session::encode_features(version, features, out)?;
            kind::FEATURES_REPLY
        }
        Body::GetConfigRequest => kind::GET_CONFIG_REQUEST,
        Body::GetConfigReply(config) => {
            session::encode_config(*config, out);
            kind::GET_CONFIG_REPLY
        }
        Body::SetConfig(config) => {
            session::encode_config(*config, out);
            kind::SET_CONFIG
        }
        Body::PacketIn(packet) => return packet::encode_in(version, packet, out),
        Body::FlowRemoved(removed) => return flow::encode_removed(version, removed, out),
        Body::PortStatus(status) => {
            port::encode_status(version, status, out)?;
            kind::PORT_STATUS
        }
        Body::PacketOut(packet) => {
            packet::encode_out(version, packet, out)?;
            kind::PACKET_OUT
        }
        Body::FlowMod(flow) => return flow::encode_mod(version, flow, out),
        Body::GroupMod(group) => {
            group::encode_mod(group, out)?;
            kind::GROUP_MOD
        }
        Body::PortMod(port) => {
            port::encode_mod(version, port, out)?;
            kind::PORT_MOD
        }
        Body::TableMod(table) => {
            table::encode_mod(*table, out);
            kind::TABLE_MOD
        }
        Body::MeterMod(meter) => {
            meter::encode_mod(meter, out)?;
            kind::METER_MOD
        }
        Body::MultipartRequest(request) => {
            multipart::encode_request(version, request, out)?;
            kind::MULTIPART_REQUEST
        }
        Body::MultipartReply(reply) => {
            multipart::encode_reply(version, reply, out)?;
            kind::MULTIPART_REPLY
        }
        Body::BarrierRequest => kind::BARRIER_REQUEST,
        Body::BarrierReply => kind::BARRIER_REPLY,
        Body::QueueGetConfigRequest(port) => {
            queue::encode_request(version, *port, out)?;
            kind::QUEUE_GET_CONFIG_REQUEST
        }
        Body::QueueGetConfigReply { port, queues } => {
            queue::encode_reply(version, *port, queues, out)?;
            kind::QUEUE_GET_CONFIG_REPLY
        }
        Body::RoleRequest(role) => {
            session::encode_role(*role, out);
            kind::ROLE_REQUEST
        }
        Body::RoleReply(role) => {
            session::encode_role(*role, out);
            kind::ROLE_REPLY
        }
        Body::GetAsyncRequest => kind::GET_ASYNC_REQUEST,
        Body::GetAsyncReply(config) => {
            session::encode_async(config, out);
            kind::GET_ASYNC_REPLY
        }
        Body::SetAsync(config) => {
            session::encode_async(config, out);
            kind::SET_ASYNC
        }
    };
    match version {
        Version::V13 => Ok(kind),
        Version::V10 => older(kind).ok_or_else(|| unsayable(version, name(kind))),
    }
}

/// What only 1.3 has.
const fn name(kind: u8) -> &'static str {
    match kind {
        kind::GROUP_MOD => "a group-mod",
        kind::TABLE_MOD => "a table-mod",
        kind::ROLE_REQUEST | kind::ROLE_REPLY => "a role (but Nicira's)",
        kind::GET_ASYNC_REQUEST | kind::GET_ASYNC_REPLY | kind::SET_ASYNC => {
            "what is sent unasked (but Nicira's)"
        }
        kind::METER_MOD => "a meter-mod",
        _ => "that message",
    }
}
