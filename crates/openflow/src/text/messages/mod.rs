//! Whole messages: `OFPT_FLOW_MOD (OF1.3) (xid=0x1): ADD priority=10,ip actions=output:2`.

use std::fmt;

use super::actions::Dialect;
use super::flows;
use super::groups;
use super::pen::{Pen, Reader, Writer};
use super::piece::{Piece, Result, Wrong};
use super::records;
use super::value::{Hex, port};
use crate::Version;
use crate::field::Field;
use crate::flow::PacketInFormat;
use crate::matching::Match;
use crate::message::{
    AsyncConfig, Body, Features, Message, PortMod, PortReason, PortStatus, Role, RoleMessage, SwitchConfig,
    TableMod,
};
use crate::multipart::{MultipartReply, MultipartRequest};
use crate::oxm::Oxm;
use crate::port::{Port, PortNo};

/// Writes a value by its form, which leaves it as it was.
macro_rules! written {
    ($form:path, $value:expr, $f:expr, $version:expr) => {
        $form(&mut Writer { f: $f, version: $version }, &mut $value.clone())
    };
}

/// Reads all of a piece by its form.
macro_rules! read {
    ($form:path, $empty:expr, $piece:expr, $version:expr) => {{
        let mut value = $empty;
        let mut reader = Reader { rest: $piece, version: Some($version) };
        $form(&mut reader, &mut value)?;
        reader.end()?;
        value
    }};
}

mod names;
mod packets;
mod session;
mod statistics;

/// A message as one version has it: names of errors and bits are that version's, and its header names it.
#[derive(Debug, Clone, Copy)]
pub struct Versioned<'a> {
    version: Version,
    message: &'a Message,
}

impl Message {
    /// The message's text as that version's; [`parse_message`] reads it back.
    #[must_use]
    pub const fn text(&self, version: Version) -> Versioned<'_> {
        Versioned { version, message: self }
    }
}

impl fmt::Display for Versioned<'_> {
    /// As `ovs-ofctl ofp-print` writes it. 1.0, as there, has no name in the header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.message, Some(self.version))
    }
}

impl fmt::Display for Message {
    /// The same without a version: errors by number, and bits by 1.3's names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self, None)
    }
}

fn write(f: &mut fmt::Formatter<'_>, message: &Message, version: Option<Version>) -> fmt::Result {
    f.write_str(names::name(&message.body, version))?;
    if version == Some(Version::V13) {
        f.write_str(" (OF1.3)")?;
    }
    write!(f, " (xid={:#x}):", message.xid)?;
    body(f, &message.body, version)
}

fn body(f: &mut fmt::Formatter<'_>, body: &Body, version: Option<Version>) -> fmt::Result {
    match body {
        Body::Hello(hello) => session::write_hello(f, hello),
        Body::Error(error) => session::write_error(f, error, version),
        Body::EchoRequest(data) | Body::EchoReply(data) => {
            write!(f, " {} bytes of payload", data.len())?;
            write_data(f, data)
        }
        Body::Nicira(message) => session::write_nicira(f, message, version),
        Body::Monitor(message) => session::write_monitor(f, *message),
        Body::Experimenter { experimenter, data } => {
            write!(f, " id={experimenter:#x}")?;
            write_data(f, data)
        }
        Body::FeaturesReply(features) => written!(records::features, features, f, version),
        Body::GetConfigReply(config) | Body::SetConfig(config) => {
            written!(records::switch_config, config, f, version)
        }
        Body::PacketIn(packet) => {
            f.write_str(" ")?;
            packets::write_packet_in(f, packet, version)
        }
        Body::FlowRemoved(removed) => {
            f.write_str(" ")?;
            removed.write(f, version)
        }
        Body::PortStatus(status) => written!(records::port_status, status, f, version),
        Body::PacketOut(packet) => write!(f, " {packet}"),
        Body::FlowMod(flow) => write!(f, " {flow}"),
        Body::GroupMod(group) => write!(f, "\n {group}"),
        Body::PortMod(change) => written!(records::port_mod, change, f, version),
        Body::TableMod(change) => written!(records::table_mod, change, f, version),
        Body::MeterMod(meter) => write!(f, " {meter}"),
        Body::MultipartRequest(request) => {
            statistics::write_flags(f, request.flags)?;
            statistics::write_request(f, &request.body, version)
        }
        Body::MultipartReply(reply) => {
            statistics::write_flags(f, reply.flags)?;
            statistics::write_reply(f, &reply.body, version)
        }
        Body::QueueGetConfigRequest(port) => write!(f, " port={port}"),
        Body::QueueGetConfigReply { port, queues } => {
            write!(f, " port={port}")?;
            records::queues(&mut Writer { f, version }, *port, &mut queues.clone())
        }
        Body::RoleRequest(role) | Body::RoleReply(role) => written!(records::role_message, role, f, version),
        Body::GetAsyncReply(config) | Body::SetAsync(config) => {
            written!(records::async_config, config, f, version)
        }
        Body::FeaturesRequest
        | Body::GetConfigRequest
        | Body::BarrierRequest
        | Body::BarrierReply
        | Body::GetAsyncRequest => Ok(()),
    }
}

/// Bytes on a line of their own; none where there are none.
fn write_data(f: &mut fmt::Formatter<'_>, data: &[u8]) -> fmt::Result {
    if data.is_empty() { Ok(()) } else { write!(f, "\ndata={}", Hex(data)) }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        written!(records::port, self, f, None)
    }
}

/// What the last line holds behind `data=`, and what is before it.
fn data(piece: Piece<'_>) -> Result<(Piece<'_>, Vec<u8>)> {
    // A word of its own: `metadata=` is none.
    let found = piece.rsplit_once("\ndata=").or_else(|| piece.rsplit_once(" data="));
    match found.or_else(|| piece.strip_prefix("data=").map(|data| (piece.part(0..0), data))) {
        Some((before, data)) => Ok((before.trim(), data.bytes("bytes")?)),
        None => Ok((piece.trim(), Vec::new())),
    }
}

/// What a `key=` says that must be there, in a list that has nothing else but data.
fn keyed<'a>(piece: Piece<'a>, key: &'static str) -> Result<Piece<'a>> {
    let mut found = None;
    for pair in piece.pairs() {
        let pair = pair?;
        if pair.key.text != key {
            return Err(pair.key.unexpected("part of this message", format!("write `{key}=`")));
        }
        found = Some(pair.needed(key)?);
    }
    found.ok_or_else(|| {
        piece.end().error(Wrong::Missing { wanted: key }, format!("write `{key}=` and its value"))
    })
}

/// Nothing is there.
fn nothing(piece: Piece<'_>, body: Body) -> Result<Body> {
    let piece = piece.trim();
    if piece.is_empty() { Ok(body) } else { Err(piece.unexpected("part of this message", "remove it")) }
}

/// The lines that have something on them.
fn lines(piece: Piece<'_>) -> impl Iterator<Item = Piece<'_>> {
    piece.split('\n').map(Piece::trim).filter(|line| !line.is_empty())
}

/// A match in the words of Nicira's messages, which have the VLAN tag as one field.
fn in_nicira_words(matching: &Match) -> Match {
    let mut fields = matching.in_nicira_words().into_owned();
    for field in &mut fields {
        if let Oxm::Known { field: field @ Field::VlanVid, mask, .. } = field {
            *mask = Some(mask.unwrap_or(field.all_bits()));
            *field = Field::VlanTci;
        }
    }
    Match::Fields(fields)
}

fn unknown(name: Piece<'_>) -> crate::text::ParseError {
    name.unexpected("message", "write its name, such as OFPT_FLOW_MOD, OFPT_PACKET_OUT or OFPST_FLOW request")
}

fn read_body(name: Piece<'_>, piece: Piece<'_>, version: Version) -> Result<Body> {
    let dialect = Dialect { version: Some(version), strict: false };
    if let Some(name) = name.strip_suffix(" request") {
        let (flags, rest) = statistics::read_flags(piece)?;
        return Ok(Body::MultipartRequest(MultipartRequest {
            flags,
            body: statistics::read_request(name, rest, version)?,
        }));
    }
    if let Some(name) = name.strip_suffix(" reply") {
        let (flags, rest) = statistics::read_flags(piece)?;
        return Ok(Body::MultipartReply(MultipartReply {
            flags,
            body: statistics::read_reply(name, rest, dialect, version)?,
        }));
    }
    let empty_port = || Port::default();
    Ok(match name.text {
        "OFPT_HELLO" => Body::Hello(session::read_hello(piece)?),
        "OFPT_ERROR" => Body::Error(session::read_error(piece, version)?),
        "OFPT_ECHO_REQUEST" => Body::EchoRequest(session::read_echo(piece)?),
        "OFPT_ECHO_REPLY" => Body::EchoReply(session::read_echo(piece)?),
        "OFPT_EXPERIMENTER" => {
            let (head, data) = data(piece)?;
            Body::Experimenter { experimenter: keyed(head, "id")?.u32("experimenter")?, data }
        }
        "OFPT_FEATURES_REQUEST" => nothing(piece, Body::FeaturesRequest)?,
        "OFPT_FEATURES_REPLY" => {
            Body::FeaturesReply(read!(records::features, Features::default(), piece, version))
        }
        "OFPT_GET_CONFIG_REQUEST" => nothing(piece, Body::GetConfigRequest)?,
        "OFPT_GET_CONFIG_REPLY" => {
            Body::GetConfigReply(read!(records::switch_config, SwitchConfig::default(), piece, version))
        }
        "OFPT_SET_CONFIG" => {
            Body::SetConfig(read!(records::switch_config, SwitchConfig::default(), piece, version))
        }
        "OFPT_PACKET_IN" => {
            Body::PacketIn(packets::read_packet_in(piece, PacketInFormat::Standard, version)?)
        }
        "NXT_PACKET_IN" => Body::PacketIn(packets::read_packet_in(piece, PacketInFormat::Nxm, version)?),
        "OFPT_FLOW_REMOVED" => Body::FlowRemoved(flows::flow_removed(piece, false, version)?),
        "NXT_FLOW_REMOVED" => {
            let mut removed = flows::flow_removed(piece, true, version)?;
            removed.matching = in_nicira_words(&removed.matching);
            Body::FlowRemoved(removed)
        }
        "OFPT_PORT_STATUS" => {
            let empty = PortStatus { reason: PortReason::Other(0), port: empty_port() };
            Body::PortStatus(read!(records::port_status, empty, piece, version))
        }
        "OFPT_PACKET_OUT" => Body::PacketOut(packets::read_packet_out(piece, dialect)?),
        "OFPT_FLOW_MOD" => Body::FlowMod(flows::flow_mod(piece, dialect)?),
        "NXT_FLOW_MOD" => {
            let mut flow = flows::flow_mod(piece, dialect)?;
            flow.nxm = true;
            flow.matching = in_nicira_words(&flow.matching);
            Body::FlowMod(flow)
        }
        "OFPT_GROUP_MOD" => Body::GroupMod(groups::group_mod(piece.trim(), dialect)?),
        "OFPT_PORT_MOD" => {
            let empty = PortMod {
                port: PortNo::default(),
                address: packet::wire::MacAddr::default(),
                config: 0,
                mask: 0,
                advertise: 0,
            };
            Body::PortMod(read!(records::port_mod, empty, piece, version))
        }
        "OFPT_TABLE_MOD" => {
            Body::TableMod(read!(records::table_mod, TableMod { table: 0, config: 0 }, piece, version))
        }
        "OFPT_METER_MOD" => Body::MeterMod(groups::meter_mod(piece, false)?),
        "OFPT_BARRIER_REQUEST" => nothing(piece, Body::BarrierRequest)?,
        "OFPT_BARRIER_REPLY" => nothing(piece, Body::BarrierReply)?,
        "OFPT_QUEUE_GET_CONFIG_REQUEST" => Body::QueueGetConfigRequest(port(keyed(piece, "port")?)?),
        "OFPT_QUEUE_GET_CONFIG_REPLY" => {
            let (mut port, mut queues) = (PortNo::default(), Vec::new());
            let mut reader = Reader { rest: piece, version: Some(version) };
            reader.text("port=")?;
            reader.port(&mut port)?;
            records::queues(&mut reader, port, &mut queues)?;
            reader.end()?;
            Body::QueueGetConfigReply { port, queues }
        }
        "OFPT_ROLE_REQUEST" | "OFPT_ROLE_REPLY" => {
            let empty = RoleMessage { role: Role::NoChange, generation: 0 };
            let message = read!(records::role_message, empty, piece, version);
            if name.text.ends_with("REPLY") { Body::RoleReply(message) } else { Body::RoleRequest(message) }
        }
        "OFPT_GET_ASYNC_REQUEST" => nothing(piece, Body::GetAsyncRequest)?,
        "OFPT_GET_ASYNC_REPLY" => {
            Body::GetAsyncReply(read!(records::async_config, AsyncConfig::default(), piece, version))
        }
        "OFPT_SET_ASYNC" => {
            Body::SetAsync(read!(records::async_config, AsyncConfig::default(), piece, version))
        }
        _ => match session::read_monitor(name, piece)? {
            Some(message) => Body::Monitor(message),
            None => Body::Nicira(session::read_nicira(name, piece, version)?),
        },
    })
}

/// A whole message as [`Message::text`] writes it, and its version: 1.0 where the header names none. Lines behind it that
/// begin with `#` are comments.
///
/// What comes back is the same message, but for what its text does not tell: a match's form (it comes back as fields, each
/// in the preferred spelling), bits of values that their mask leaves out, masks of ones, `max_len` of outputs to other ports
/// than the controller's, and which of two actions that do the same (1.3's or Nicira's) it was.
///
/// ```
/// let text = "OFPT_FLOW_MOD (OF1.3) (xid=0x7): ADD priority=10,ip,nw_dst=10.0.0.0/8 actions=output:2";
/// let (version, message) = openflow::text::parse_message(text)?;
/// assert_eq!(message.text(version).to_string(), text);
/// # Ok::<(), openflow::text::ParseError>(())
/// ```
///
/// # Errors
/// What is no message, with the place.
pub fn parse_message(text: &str) -> Result<(Version, Message)> {
    let piece = Piece::new(text)?.trim();
    let piece = piece.split_once("\n#").map_or(piece, |(message, _)| message);
    let header = "write it as OFPT_BARRIER_REQUEST (OF1.3) (xid=0x1):";
    let (head, body) = piece.split_once("):").ok_or_else(|| {
        let quoted: usize = piece.text.chars().take(40).map(char::len_utf8).sum();
        piece.part(0..quoted).unexpected("header of a message", header)
    })?;
    let (head, xid) =
        head.split_once("(xid=").ok_or_else(|| head.unexpected("header of a message", header))?;
    let head = head.trim();
    let (name, version) = match head.strip_suffix("(OF1.3)") {
        Some(name) => (name.trim(), Version::V13),
        None => (head.strip_suffix("(OF1.0)").unwrap_or(head).trim(), Version::V10),
    };
    let xid = xid.u32("transaction")?;
    Ok((version, Message { xid, body: read_body(name, body, version)? }))
}
