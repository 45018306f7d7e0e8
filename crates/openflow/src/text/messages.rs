//! Whole messages: `OFPT_FLOW_MOD (OF1.3) (xid=0x1): ADD priority=10,ip actions=output:2`.

use std::fmt;

use super::actions::{self, Actions, Dialect};
use super::flows;
use super::groups::{self, MeterId};
use super::pen::{Pen, Reader, Writer};
use super::piece::{Piece, Result, Wrong};
use super::records;
use super::tables;
use super::value::{Hex, port};
use crate::Version;
use crate::error::{ErrorCode, Fault};
use crate::field::Field;
use crate::flow::{FlowRemoved, NO_BUFFER, PacketIn, PacketInFormat, PacketInReason, PacketOut};
use crate::group;
use crate::matching::Match;
use crate::message::{
    AsyncConfig, Body, Error, Features, Hello, HelloElement, Message, PortMod, PortReason, PortStatus, Role,
    RoleMessage, SwitchConfig, TableMod,
};
use crate::multipart::{AggregateStats, Description, MORE, MultipartReply, MultipartRequest, Reply, Request};
use crate::nicira;
use crate::oxm::Oxm;
use crate::port::{Port, PortNo};

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
    f.write_str(name(&message.body))?;
    if version == Some(Version::V13) {
        f.write_str(" (OF1.3)")?;
    }
    write!(f, " (xid={:#x}):", message.xid)?;
    body(f, &message.body, version)
}

/// Names of messages that are no statistics, and what an empty one of each is.
fn name(body: &Body) -> &'static str {
    match body {
        Body::Hello(_) => "OFPT_HELLO",
        Body::Error(_) => "OFPT_ERROR",
        Body::EchoRequest(_) => "OFPT_ECHO_REQUEST",
        Body::EchoReply(_) => "OFPT_ECHO_REPLY",
        Body::Nicira(message) => match message {
            nicira::Message::RoleRequest(_) => "NXT_ROLE_REQUEST",
            nicira::Message::RoleReply(_) => "NXT_ROLE_REPLY",
            nicira::Message::SetFlowFormat(_) => "NXT_SET_FLOW_FORMAT",
            nicira::Message::FlowModTableId(_) => "NXT_FLOW_MOD_TABLE_ID",
            nicira::Message::SetPacketInFormat(_) => "NXT_SET_PACKET_IN_FORMAT",
            nicira::Message::SetAsyncConfig(_) => "NXT_SET_ASYNC_CONFIG",
            nicira::Message::SetControllerId(_) => "NXT_SET_CONTROLLER_ID",
            nicira::Message::FlowAge => "NXT_FLOW_AGE",
            nicira::Message::Other { .. } => "NXT_OTHER",
        },
        Body::Experimenter { .. } => "OFPT_EXPERIMENTER",
        Body::FeaturesRequest => "OFPT_FEATURES_REQUEST",
        Body::FeaturesReply(_) => "OFPT_FEATURES_REPLY",
        Body::GetConfigRequest => "OFPT_GET_CONFIG_REQUEST",
        Body::GetConfigReply(_) => "OFPT_GET_CONFIG_REPLY",
        Body::SetConfig(_) => "OFPT_SET_CONFIG",
        Body::PacketIn(PacketIn { format: PacketInFormat::Nxm, .. }) => "NXT_PACKET_IN",
        Body::PacketIn(_) => "OFPT_PACKET_IN",
        Body::FlowRemoved(FlowRemoved { nxm: true, .. }) => "NXT_FLOW_REMOVED",
        Body::FlowRemoved(_) => "OFPT_FLOW_REMOVED",
        Body::PortStatus(_) => "OFPT_PORT_STATUS",
        Body::PacketOut(_) => "OFPT_PACKET_OUT",
        Body::FlowMod(flow) if flow.nxm => "NXT_FLOW_MOD",
        Body::FlowMod(_) => "OFPT_FLOW_MOD",
        Body::GroupMod(_) => "OFPT_GROUP_MOD",
        Body::PortMod(_) => "OFPT_PORT_MOD",
        Body::TableMod(_) => "OFPT_TABLE_MOD",
        Body::MeterMod(_) => "OFPT_METER_MOD",
        Body::MultipartRequest(request) => match &request.body {
            Request::Description => "OFPST_DESC request",
            Request::Flow(_) => "OFPST_FLOW request",
            Request::Aggregate(_) => "OFPST_AGGREGATE request",
            Request::Table => "OFPST_TABLE request",
            Request::Port(_) => "OFPST_PORT request",
            Request::Queue { .. } => "OFPST_QUEUE request",
            Request::Group(_) => "OFPST_GROUP request",
            Request::GroupDescription => "OFPST_GROUP_DESC request",
            Request::GroupFeatures => "OFPST_GROUP_FEATURES request",
            Request::Meter(_) => "OFPST_METER request",
            Request::MeterConfig(_) => "OFPST_METER_CONFIG request",
            Request::MeterFeatures => "OFPST_METER_FEATURES request",
            Request::TableFeatures(_) => "OFPST_TABLE_FEATURES request",
            Request::PortDescription => "OFPST_PORT_DESC request",
            Request::Nicira(nicira::StatsRequest::Flow { .. }) => "NXST_FLOW request",
            Request::Nicira(nicira::StatsRequest::Aggregate { .. }) => "NXST_AGGREGATE request",
            Request::Nicira(nicira::StatsRequest::Other { .. }) => "NXST_OTHER request",
            Request::Experimenter { .. } => "OFPST_EXPERIMENTER request",
        },
        Body::MultipartReply(reply) => match &reply.body {
            Reply::Description(_) => "OFPST_DESC reply",
            Reply::Flow(_) => "OFPST_FLOW reply",
            Reply::Aggregate(_) => "OFPST_AGGREGATE reply",
            Reply::Table(_) => "OFPST_TABLE reply",
            Reply::Port(_) => "OFPST_PORT reply",
            Reply::Queue(_) => "OFPST_QUEUE reply",
            Reply::Group(_) => "OFPST_GROUP reply",
            Reply::GroupDescription(_) => "OFPST_GROUP_DESC reply",
            Reply::GroupFeatures(_) => "OFPST_GROUP_FEATURES reply",
            Reply::Meter(_) => "OFPST_METER reply",
            Reply::MeterConfig(_) => "OFPST_METER_CONFIG reply",
            Reply::MeterFeatures(_) => "OFPST_METER_FEATURES reply",
            Reply::TableFeatures(_) => "OFPST_TABLE_FEATURES reply",
            Reply::PortDescription(_) => "OFPST_PORT_DESC reply",
            Reply::Nicira(nicira::StatsReply::Flow(_)) => "NXST_FLOW reply",
            Reply::Nicira(nicira::StatsReply::Aggregate(_)) => "NXST_AGGREGATE reply",
            Reply::Nicira(nicira::StatsReply::Other { .. }) => "NXST_OTHER reply",
            Reply::Experimenter { .. } => "OFPST_EXPERIMENTER reply",
        },
        Body::BarrierRequest => "OFPT_BARRIER_REQUEST",
        Body::BarrierReply => "OFPT_BARRIER_REPLY",
        Body::QueueGetConfigRequest(_) => "OFPT_QUEUE_GET_CONFIG_REQUEST",
        Body::QueueGetConfigReply { .. } => "OFPT_QUEUE_GET_CONFIG_REPLY",
        Body::RoleRequest(_) => "OFPT_ROLE_REQUEST",
        Body::RoleReply(_) => "OFPT_ROLE_REPLY",
        Body::GetAsyncRequest => "OFPT_GET_ASYNC_REQUEST",
        Body::GetAsyncReply(_) => "OFPT_GET_ASYNC_REPLY",
        Body::SetAsync(_) => "OFPT_SET_ASYNC",
    }
}

/// Writes a value by its form, which leaves it as it was.
macro_rules! written {
    ($form:path, $value:expr, $f:expr, $version:expr) => {
        $form(&mut Writer { f: $f, version: $version }, &mut $value.clone())
    };
}

fn body(f: &mut fmt::Formatter<'_>, body: &Body, version: Option<Version>) -> fmt::Result {
    match body {
        Body::Hello(hello) => write_hello(f, hello),
        Body::Error(error) => write_error(f, error, version),
        Body::EchoRequest(data) | Body::EchoReply(data) => {
            write!(f, " {} bytes of payload", data.len())?;
            write_data(f, data)
        }
        Body::Nicira(message) => write_nicira(f, message, version),
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
            write_packet_in(f, packet, version)
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
            write_flags(f, request.flags)?;
            write_request(f, &request.body, version)
        }
        Body::MultipartReply(reply) => {
            write_flags(f, reply.flags)?;
            write_reply(f, &reply.body, version)
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

fn write_flags(f: &mut fmt::Formatter<'_>, flags: u16) -> fmt::Result {
    match (flags & MORE != 0, flags & !MORE) {
        (false, 0) => Ok(()),
        (true, 0) => f.write_str(" flags=[more]"),
        (_, _) => write!(f, " flags={flags:#x}"),
    }
}

fn write_hello(f: &mut fmt::Formatter<'_>, hello: &Hello) -> fmt::Result {
    for element in &hello.elements {
        match element {
            HelloElement::VersionBitmap(words) => {
                f.write_str("\n version bitmap: ")?;
                let versions = words.iter().enumerate().flat_map(|(index, word)| {
                    (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| 32 * index + bit)
                });
                let versions: Vec<String> = versions.map(|version| format!("{version:#04x}")).collect();
                f.write_str(&versions.join(", "))?;
                // What is longer than its versions ask for has empty words.
                if words.len() != words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1) {
                    write!(f, " words={}", words.len())?;
                }
            }
            HelloElement::Other(kind, data) => write!(f, "\n element {kind}: data={}", Hex(data))?,
        }
    }
    Ok(())
}

/// Other names of faults: those of 1.0, and those `ovs-ofctl` has for all versions.
const FAULTS: &[(&str, &str)] = &[
    ("OFPBRC_BAD_STAT", "OFPBRC_BAD_MULTIPART"),
    ("OFPBRC_BAD_VENDOR", "OFPBRC_BAD_EXPERIMENTER"),
    ("OFPBRC_BAD_SUBTYPE", "OFPBRC_BAD_EXP_TYPE"),
    ("OFPBRC_IS_SECONDARY", "OFPBRC_IS_SLAVE"),
    ("OFPBAC_BAD_VENDOR", "OFPBAC_BAD_EXPERIMENTER"),
    ("OFPBAC_BAD_VENDOR_TYPE", "OFPBAC_BAD_EXP_TYPE"),
    ("OFPFMFC_ALL_TABLES_FULL", "OFPFMFC_TABLE_FULL"),
    ("OFPBPC_BAD_TYPE", "OFPTFFC_BAD_TYPE"),
    ("OFPBPC_BAD_LEN", "OFPTFFC_BAD_LEN"),
    ("OFPBPC_BAD_VALUE", "OFPTFFC_BAD_ARGUMENT"),
];

fn write_error(f: &mut fmt::Formatter<'_>, error: &Error, version: Option<Version>) -> fmt::Result {
    let ErrorCode { kind, code, experimenter } = error.code;
    match version.and_then(|version| error.code.fault(version)) {
        Some(fault) => write!(f, " {fault}")?,
        None => {
            write!(f, " type={kind} code={code}")?;
            if let Some(experimenter) = experimenter {
                write!(f, " experimenter={experimenter:#x}")?;
            }
        }
    }
    write_data(f, &error.data)
}

fn write_nicira(
    f: &mut fmt::Formatter<'_>,
    message: &nicira::Message,
    version: Option<Version>,
) -> fmt::Result {
    match message {
        nicira::Message::RoleRequest(role) | nicira::Message::RoleReply(role) => {
            written!(records::role, role, f, version)
        }
        nicira::Message::SetFlowFormat(0) => f.write_str(" format=openflow10"),
        nicira::Message::SetFlowFormat(2) => f.write_str(" format=nxm"),
        nicira::Message::SetFlowFormat(other) => write!(f, " format={other}"),
        nicira::Message::FlowModTableId(on) => f.write_str(if *on { " enable" } else { " disable" }),
        nicira::Message::SetPacketInFormat(PacketInFormat::Standard) => f.write_str(" format=standard"),
        nicira::Message::SetPacketInFormat(PacketInFormat::Nxm) => f.write_str(" format=nxt_packet_in"),
        nicira::Message::SetAsyncConfig(config) => written!(records::async_config, config, f, version),
        nicira::Message::SetControllerId(id) => write!(f, " id={id}"),
        nicira::Message::FlowAge => Ok(()),
        nicira::Message::Other { subtype, data } => {
            write!(f, " subtype={subtype}")?;
            write_data(f, data)
        }
    }
}

/// A group's number, or all.
fn write_group(f: &mut fmt::Formatter<'_>, group: u32) -> fmt::Result {
    match group {
        group::ALL => f.write_str(" group_id=ALL"),
        group::ANY => f.write_str(" group_id=ANY"),
        group => write!(f, " group_id={group}"),
    }
}

fn write_request(f: &mut fmt::Formatter<'_>, request: &Request, version: Option<Version>) -> fmt::Result {
    match request {
        Request::Description
        | Request::Table
        | Request::GroupDescription
        | Request::GroupFeatures
        | Request::MeterFeatures
        | Request::PortDescription => Ok(()),
        Request::Flow(flows) | Request::Aggregate(flows) => write!(f, " {flows}"),
        Request::Port(port) => write!(f, " port_no={port}"),
        Request::Queue { port, queue } => {
            write!(f, " port={port} queue=")?;
            written!(records::queue_number, queue, f, version)
        }
        Request::Group(group) => write_group(f, *group),
        Request::Meter(meter) | Request::MeterConfig(meter) => write!(f, " meter={}", MeterId(*meter)),
        Request::TableFeatures(features) => written!(tables::features, features, f, version),
        Request::Nicira(
            nicira::StatsRequest::Flow { out_port, table, matching }
            | nicira::StatsRequest::Aggregate { out_port, table, matching },
        ) => {
            let request = crate::multipart::FlowRequest {
                table: *table,
                out_port: *out_port,
                out_group: group::ANY,
                cookie: 0,
                cookie_mask: 0,
                matching: matching.clone(),
            };
            write!(f, " {request}")
        }
        Request::Nicira(nicira::StatsRequest::Other { subtype, data }) => {
            write!(f, " subtype={subtype}")?;
            write_data(f, data)
        }
        Request::Experimenter { experimenter, data } => {
            write!(f, " id={experimenter:#x}")?;
            write_data(f, data)
        }
    }
}

/// Each on a line of its own.
fn write_lines<T: fmt::Display>(f: &mut fmt::Formatter<'_>, start: &str, items: &[T]) -> fmt::Result {
    items.iter().try_for_each(|item| write!(f, "\n{start}{item}"))
}

fn write_reply(f: &mut fmt::Formatter<'_>, reply: &Reply, version: Option<Version>) -> fmt::Result {
    match reply {
        Reply::Description(description) => written!(records::description, description, f, version),
        Reply::Flow(flows) => write_lines(f, " ", flows),
        Reply::Aggregate(stats) | Reply::Nicira(nicira::StatsReply::Aggregate(stats)) => {
            written!(records::aggregate, stats, f, version)
        }
        Reply::Table(tables) => written!(records::tables, tables, f, version),
        Reply::Port(ports) => written!(records::port_stats, ports, f, version),
        Reply::Queue(queues) => written!(records::queue_stats, queues, f, version),
        Reply::Group(groups) => written!(records::group_stats, groups, f, version),
        Reply::GroupDescription(groups) => write_lines(f, " ", groups),
        Reply::GroupFeatures(features) => written!(records::group_features, features, f, version),
        Reply::Meter(meters) => written!(records::meter_stats, meters, f, version),
        Reply::MeterConfig(meters) => write_lines(f, "", meters),
        Reply::MeterFeatures(features) => written!(records::meter_features, features, f, version),
        Reply::TableFeatures(features) => written!(tables::features, features, f, version),
        Reply::PortDescription(ports) => written!(records::ports, ports, f, version),
        Reply::Nicira(nicira::StatsReply::Flow(flows)) => write_lines(f, " ", flows),
        Reply::Nicira(nicira::StatsReply::Other { subtype, data }) => {
            write!(f, " subtype={subtype}")?;
            write_data(f, data)
        }
        Reply::Experimenter { experimenter, data } => {
            write!(f, " id={experimenter:#x}")?;
            write_data(f, data)
        }
    }
}

/// Why a packet comes, by the words `ovs-ofctl` has.
const REASONS: &[(PacketInReason, &str)] = &[
    (PacketInReason::NoMatch, "no_match"),
    (PacketInReason::Action, "action"),
    (PacketInReason::InvalidTtl, "invalid_ttl"),
];

impl fmt::Display for PacketInReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (REASONS.iter().find(|(reason, _)| reason == self), self) {
            (Some((_, name)), _) => f.write_str(name),
            (None, Self::Other(reason)) => write!(f, "{reason}"),
            (None, _) => Err(fmt::Error),
        }
    }
}

impl fmt::Display for PacketIn {
    /// `total_len=60 in_port=1 (via no_match) data_len=60 (unbuffered)`, and the packet's bytes on a line of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_packet_in(f, self, None)
    }
}

/// The cookie that a form has which tells none.
fn cookie_untold(format: PacketInFormat, version: Option<Version>) -> u64 {
    if version == Some(Version::V10) && format == PacketInFormat::Standard { 0 } else { u64::MAX }
}

fn write_packet_in(f: &mut fmt::Formatter<'_>, packet: &PacketIn, version: Option<Version>) -> fmt::Result {
    if packet.table != 0 {
        write!(f, "table_id={} ", packet.table)?;
    }
    if packet.cookie != cookie_untold(packet.format, version) {
        write!(f, "cookie={:#x} ", packet.cookie)?;
    }
    write!(f, "total_len={} {} (via {})", packet.total_len, packet.metadata, packet.reason)?;
    write!(f, " data_len={}", packet.data.len())?;
    match packet.buffer {
        NO_BUFFER => f.write_str(" (unbuffered)")?,
        buffer => write!(f, " buffer={buffer:#010x}")?,
    }
    write_data(f, &packet.data)
}

impl fmt::Display for PacketOut {
    /// `in_port=CONTROLLER actions=output:1 data_len=60`, and the packet's bytes on a line of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in_port={} actions={}", self.in_port, Actions(&self.actions))?;
        match self.buffer {
            NO_BUFFER => write!(f, " data_len={}", self.data.len())?,
            buffer => write!(f, " buffer={buffer:#010x}")?,
        }
        write_data(f, &self.data)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        written!(records::port, self, f, None)
    }
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

fn read_hello(piece: Piece<'_>) -> Result<Hello> {
    /// A version's highest number.
    const VERSION_MAX: u128 = 32 * 16_384 - 1;
    let mut hello = Hello::default();
    for line in lines(piece) {
        let words = |of: Piece<'_>| of.number("words of a bitmap", 16_384).map(|words| words as usize);
        if let Some(rest) = line.strip_prefix("version bitmap:") {
            let (versions, length) = match rest.split_once("words=") {
                Some((versions, length)) => (versions, words(length)?),
                None => (rest, 0),
            };
            let mut bitmap = vec![0u32; length];
            for version in versions.split(',').map(Piece::trim).filter(|version| !version.is_empty()) {
                let version = version.number("version", VERSION_MAX)? as usize;
                let word = version / 32;
                bitmap.resize(bitmap.len().max(word + 1), 0);
                bitmap[word] |= 1 << (version % 32);
            }
            hello.elements.push(HelloElement::VersionBitmap(bitmap));
        } else if let Some(rest) = line.strip_prefix("element ") {
            let wrong = || line.unexpected("element of a hello", "write `element 2: data=00ff`");
            let (kind, rest) = rest.split_once(":").ok_or_else(wrong)?;
            let (_, bytes) = rest.split_once("data=").ok_or_else(wrong)?;
            hello.elements.push(HelloElement::Other(kind.u16("kind of an element")?, bytes.bytes("bytes")?));
        } else {
            return Err(line.unexpected("element of a hello", "write `version bitmap: 0x01, 0x04`"));
        }
    }
    Ok(hello)
}

fn read_error(piece: Piece<'_>, version: Version) -> Result<Error> {
    let (head, data) = data(piece)?;
    let known = FAULTS.iter().find(|(other, _)| *other == head.text).map_or(head.text, |(_, name)| name);
    if let Some(fault) = Fault::ALL.iter().find(|fault| fault.name() == known) {
        return Ok(Error { code: fault.code(version), data });
    }
    let mut code = ErrorCode::new(0, 0);
    for pair in head.pairs() {
        let pair = pair?;
        match pair.key.text {
            "type" => code.kind = pair.needed("type")?.u16("type")?,
            "code" => code.code = pair.needed("code")?.u16("code")?,
            "experimenter" => code.experimenter = Some(pair.needed("experimenter")?.u32("experimenter")?),
            _ => {
                let help = "write a name such as OFPBAC_BAD_OUT_PORT, or type= and code=";
                return Err(pair.key.unexpected("error", help));
            }
        }
    }
    Ok(Error { code, data })
}

fn read_echo(piece: Piece<'_>) -> Result<Vec<u8>> {
    let (head, data) = data(piece)?;
    let mut reader = Reader { rest: head, version: None };
    if !head.is_empty() {
        reader.decimal(&mut 0u64)?;
        reader.text("bytes of payload")?;
    }
    reader.end()?;
    Ok(data)
}

fn read_packet_in(piece: Piece<'_>, format: PacketInFormat, version: Version) -> Result<PacketIn> {
    let (head, data) = data(piece)?;
    let mut packet = PacketIn {
        format,
        buffer: NO_BUFFER,
        total_len: 0,
        reason: PacketInReason::NoMatch,
        table: 0,
        cookie: cookie_untold(format, Some(version)),
        metadata: Match::default(),
        data,
    };
    let mut reader = super::matches::Reader::new(false);
    // `(via action)` and `(unbuffered)` have no key.
    let (before, behind) = head.split_once("(via ").ok_or_else(|| {
        head.end().error(Wrong::Missing { wanted: "reason" }, "write `(via no_match)` or `(via action)`")
    })?;
    let (reason, behind) =
        behind.split_once(")").ok_or_else(|| behind.unexpected("reason", "close what `(` opens"))?;
    packet.reason = match REASONS.iter().find(|(_, name)| *name == reason.text) {
        Some((reason, _)) => *reason,
        None => PacketInReason::Other(reason.u8("reason of a packet-in")?),
    };
    let behind = behind.split_once("(unbuffered)").map_or(behind, |(behind, _)| behind);
    // `ovs-ofctl` has the packet's headers in words on the next line, which say nothing of the metadata.
    let behind = behind.split_once("\n").map_or(behind, |(line, _)| line);
    for pair in before.pairs().chain(behind.pairs()) {
        let pair = pair?;
        let value = |what| pair.needed(what);
        match pair.key.text {
            "table_id" => packet.table = value("table")?.u8("table")?,
            "cookie" => packet.cookie = value("cookie")?.u64("cookie")?,
            "total_len" => packet.total_len = value("length")?.u16("length")?,
            "data_len" => {
                value("length")?.u16("length")?;
            }
            "buffer" => packet.buffer = value("buffer")?.u32("buffer")?,
            _ if reader.take(pair)? => {}
            _ => {
                return Err(super::matches::unknown_key(
                    pair.key,
                    &["table_id", "cookie", "total_len", "buffer"],
                ));
            }
        }
    }
    packet.metadata = reader.finish()?;
    Ok(packet)
}

fn read_packet_out(piece: Piece<'_>, dialect: Dialect) -> Result<PacketOut> {
    let (head, data) = match piece.rsplit_once("\ndata=") {
        Some((before, bytes)) => (before, bytes.bytes("bytes")?),
        None => (piece, Vec::new()),
    };
    let missing = |wanted, help: &str| head.trim().error(Wrong::Missing { wanted }, help);
    let (before, list) = head.split_once("actions=").ok_or_else(|| missing("actions", "write `actions=`"))?;
    let (list, buffer) = match (list.rsplit_once(" data_len="), list.rsplit_once(" buffer=")) {
        (Some((list, length)), _) => {
            // The same.
            let length = length.split_once("\n").map_or(length, |(length, _)| length);
            length.u16("length")?;
            (list, NO_BUFFER)
        }
        (None, Some((list, buffer))) => (list, buffer.u32("buffer")?),
        (None, None) => (list, NO_BUFFER),
    };
    let in_port = port(keyed(before, "in_port")?)?;
    Ok(PacketOut { buffer, in_port, actions: actions::actions(list, dialect)?, data })
}

/// The flags of statistics, and what is behind them.
fn read_flags(piece: Piece<'_>) -> Result<(u16, Piece<'_>)> {
    let piece = piece.from(piece.text.len() - piece.text.trim_start_matches(' ').len());
    if let Some(rest) = piece.strip_prefix("flags=[more]") {
        return Ok((MORE, rest));
    }
    let Some(rest) = piece.strip_prefix("flags=") else { return Ok((0, piece)) };
    let end = rest.text.find(char::is_whitespace).unwrap_or(rest.text.len());
    Ok((rest.part(0..end).u16("flags")?, rest.from(end)))
}

fn read_request(name: Piece<'_>, piece: Piece<'_>, version: Version) -> Result<Request> {
    let flows = || flows::flow_request(piece);
    let empty = |request: Request| nothing(piece, Body::FeaturesRequest).map(|_| request);
    Ok(match name.text {
        "OFPST_DESC" => empty(Request::Description)?,
        "OFPST_FLOW" => Request::Flow(flows()?),
        "OFPST_AGGREGATE" => Request::Aggregate(flows()?),
        "OFPST_TABLE" => empty(Request::Table)?,
        "OFPST_PORT" => Request::Port(port(keyed(piece, "port_no")?)?),
        "OFPST_QUEUE" => {
            let (mut to, mut queue) = (PortNo::ANY, crate::queue::ALL);
            let mut reader = Reader { rest: piece, version: Some(version) };
            reader.text("port=")?;
            reader.port(&mut to)?;
            reader.text("queue=")?;
            records::queue_number(&mut reader, &mut queue)?;
            reader.end()?;
            Request::Queue { port: to, queue }
        }
        "OFPST_GROUP" => {
            let group = keyed(piece, "group_id")?;
            Request::Group(match group.text {
                "ALL" => group::ALL,
                "ANY" => group::ANY,
                _ => group.u32("group")?,
            })
        }
        // Since 1.5 one group or one port can be asked for; before, it is all.
        "OFPST_GROUP_DESC" if matches!(piece.text.trim(), "" | "group_id=ALL") => Request::GroupDescription,
        "OFPST_PORT_DESC" if matches!(piece.text.trim(), "" | "port=ANY") => Request::PortDescription,
        "OFPST_GROUP_FEATURES" => empty(Request::GroupFeatures)?,
        "OFPST_METER" => Request::Meter(groups::meter_id(keyed(piece, "meter")?)?),
        "OFPST_METER_CONFIG" => Request::MeterConfig(groups::meter_id(keyed(piece, "meter")?)?),
        "OFPST_METER_FEATURES" => empty(Request::MeterFeatures)?,
        "OFPST_TABLE_FEATURES" => Request::TableFeatures(read!(tables::features, Vec::new(), piece, version)),
        "NXST_FLOW" | "NXST_AGGREGATE" => {
            let crate::multipart::FlowRequest { table, out_port, matching, .. } = flows()?;
            let matching = in_nicira_words(&matching);
            Request::Nicira(match name.text {
                "NXST_FLOW" => nicira::StatsRequest::Flow { out_port, table, matching },
                _ => nicira::StatsRequest::Aggregate { out_port, table, matching },
            })
        }
        "NXST_OTHER" => {
            let (head, data) = data(piece)?;
            Request::Nicira(nicira::StatsRequest::Other {
                subtype: keyed(head, "subtype")?.u32("subtype")?,
                data,
            })
        }
        "OFPST_EXPERIMENTER" => {
            let (head, data) = data(piece)?;
            Request::Experimenter { experimenter: keyed(head, "id")?.u32("experimenter")?, data }
        }
        _ => return Err(unknown(name)),
    })
}

/// The meters of a list, each from its own `meter=` on.
fn meters(piece: Piece<'_>) -> Result<Vec<crate::meter::MeterConfig>> {
    let starts: Vec<usize> = piece.text.match_indices("meter=").map(|(at, _)| at).collect();
    if starts.first().is_none_or(|first| !piece.text[..*first].trim().is_empty()) {
        nothing(piece.part(0..starts.first().copied().unwrap_or(piece.text.len())), Body::BarrierReply)?;
    }
    let ends = starts.iter().skip(1).copied().chain([piece.text.len()]);
    starts.iter().zip(ends).map(|(start, end)| groups::meter_config(piece.part(*start..end))).collect()
}

fn read_reply(name: Piece<'_>, piece: Piece<'_>, dialect: Dialect, version: Version) -> Result<Reply> {
    let flows = || lines(piece).map(|line| flows::flow_stats(line, dialect));
    Ok(match name.text {
        "OFPST_DESC" => {
            Reply::Description(read!(records::description, Description::default(), piece, version))
        }
        "OFPST_FLOW" => Reply::Flow(flows().map(|flow| flow.map(|flow| flow.flow)).collect::<Result<_>>()?),
        "OFPST_AGGREGATE" => {
            Reply::Aggregate(read!(records::aggregate, AggregateStats::default(), piece, version))
        }
        "OFPST_TABLE" => Reply::Table(read!(records::tables, Vec::new(), piece, version)),
        "OFPST_PORT" => Reply::Port(read!(records::port_stats, Vec::new(), piece, version)),
        "OFPST_QUEUE" => Reply::Queue(read!(records::queue_stats, Vec::new(), piece, version)),
        "OFPST_GROUP" => Reply::Group(read!(records::group_stats, Vec::new(), piece, version)),
        "OFPST_GROUP_DESC" => {
            let groups = lines(piece).map(|line| groups::description(line, dialect));
            Reply::GroupDescription(groups.collect::<Result<_>>()?)
        }
        "OFPST_GROUP_FEATURES" => {
            let empty = crate::group::GroupFeatures::default();
            Reply::GroupFeatures(read!(records::group_features, empty, piece, version))
        }
        "OFPST_METER" => Reply::Meter(read!(records::meter_stats, Vec::new(), piece, version)),
        "OFPST_METER_CONFIG" => Reply::MeterConfig(meters(piece)?),
        "OFPST_METER_FEATURES" => {
            let empty = crate::meter::MeterFeatures::default();
            Reply::MeterFeatures(read!(records::meter_features, empty, piece, version))
        }
        "OFPST_TABLE_FEATURES" => Reply::TableFeatures(read!(tables::features, Vec::new(), piece, version)),
        "OFPST_PORT_DESC" => Reply::PortDescription(read!(records::ports, Vec::new(), piece, version)),
        "NXST_FLOW" => {
            let flows = flows().map(|flow| {
                let mut flow = flow?;
                flow.flow.matching = in_nicira_words(&flow.flow.matching);
                Ok(flow)
            });
            Reply::Nicira(nicira::StatsReply::Flow(flows.collect::<Result<_>>()?))
        }
        "NXST_AGGREGATE" => {
            let stats = read!(records::aggregate, AggregateStats::default(), piece, version);
            Reply::Nicira(nicira::StatsReply::Aggregate(stats))
        }
        "NXST_OTHER" => {
            let (head, data) = data(piece)?;
            Reply::Nicira(nicira::StatsReply::Other {
                subtype: keyed(head, "subtype")?.u32("subtype")?,
                data,
            })
        }
        "OFPST_EXPERIMENTER" => {
            let (head, data) = data(piece)?;
            Reply::Experimenter { experimenter: keyed(head, "id")?.u32("experimenter")?, data }
        }
        _ => return Err(unknown(name)),
    })
}

fn unknown(name: Piece<'_>) -> super::ParseError {
    name.unexpected("message", "write its name, such as OFPT_FLOW_MOD, OFPT_PACKET_OUT or OFPST_FLOW request")
}

fn read_body(name: Piece<'_>, piece: Piece<'_>, version: Version) -> Result<Body> {
    let dialect = Dialect { version: Some(version), strict: false };
    if let Some(name) = name.strip_suffix(" request") {
        let (flags, rest) = read_flags(piece)?;
        return Ok(Body::MultipartRequest(MultipartRequest {
            flags,
            body: read_request(name, rest, version)?,
        }));
    }
    if let Some(name) = name.strip_suffix(" reply") {
        let (flags, rest) = read_flags(piece)?;
        return Ok(Body::MultipartReply(MultipartReply {
            flags,
            body: read_reply(name, rest, dialect, version)?,
        }));
    }
    let empty_port = || Port::default();
    Ok(match name.text {
        "OFPT_HELLO" => Body::Hello(read_hello(piece)?),
        "OFPT_ERROR" => Body::Error(read_error(piece, version)?),
        "OFPT_ECHO_REQUEST" => Body::EchoRequest(read_echo(piece)?),
        "OFPT_ECHO_REPLY" => Body::EchoReply(read_echo(piece)?),
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
        "OFPT_PACKET_IN" => Body::PacketIn(read_packet_in(piece, PacketInFormat::Standard, version)?),
        "NXT_PACKET_IN" => Body::PacketIn(read_packet_in(piece, PacketInFormat::Nxm, version)?),
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
        "OFPT_PACKET_OUT" => Body::PacketOut(read_packet_out(piece, dialect)?),
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
        _ => Body::Nicira(read_nicira(name, piece, version)?),
    })
}

fn read_nicira(name: Piece<'_>, piece: Piece<'_>, version: Version) -> Result<nicira::Message> {
    let format = || keyed(piece, "format");
    Ok(match name.text {
        "NXT_ROLE_REQUEST" => {
            nicira::Message::RoleRequest(read!(records::role, Role::NoChange, piece, version))
        }
        "NXT_ROLE_REPLY" => nicira::Message::RoleReply(read!(records::role, Role::NoChange, piece, version)),
        "NXT_SET_FLOW_FORMAT" => {
            let format = format()?;
            nicira::Message::SetFlowFormat(match format.text {
                "openflow10" => 0,
                "nxm" => 2,
                _ => format.u32("form of flows")?,
            })
        }
        "NXT_FLOW_MOD_TABLE_ID" => match piece.text.trim() {
            "enable" => nicira::Message::FlowModTableId(true),
            "disable" => nicira::Message::FlowModTableId(false),
            _ => return Err(piece.unexpected("state", "write enable or disable")),
        },
        "NXT_SET_PACKET_IN_FORMAT" => {
            let format = format()?;
            nicira::Message::SetPacketInFormat(match format.text {
                "standard" | "openflow10" => PacketInFormat::Standard,
                "nxt_packet_in" => PacketInFormat::Nxm,
                _ => return Err(format.unexpected("form of packet-ins", "write standard or nxt_packet_in")),
            })
        }
        "NXT_SET_ASYNC_CONFIG" => nicira::Message::SetAsyncConfig(read!(
            records::async_config,
            AsyncConfig::default(),
            piece,
            version
        )),
        "NXT_SET_CONTROLLER_ID" => {
            nicira::Message::SetControllerId(keyed(piece, "id")?.u16("controller id")?)
        }
        "NXT_FLOW_AGE" => nothing(piece, Body::BarrierReply).map(|_| nicira::Message::FlowAge)?,
        "NXT_OTHER" => {
            let (head, data) = data(piece)?;
            nicira::Message::Other { subtype: keyed(head, "subtype")?.u32("subtype")?, data }
        }
        _ => return Err(unknown(name)),
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
