//! Hellos, errors, echoes, and Nicira's messages about the connection.

use std::fmt;

use super::{data, keyed, lines, nothing, unknown, write_data};
use crate::Version;
use crate::error::{ErrorCode, Fault};
use crate::flow::PacketInFormat;
use crate::message::{AsyncConfig, Body, Error, Hello, HelloElement, Role};
use crate::monitor::MonitorMessage;
use crate::nicira;
use crate::text::pen::{Pen, Reader, Writer};
use crate::text::piece::{Piece, Result};
use crate::text::records;
use crate::text::value::Hex;

pub(super) fn write_hello(f: &mut fmt::Formatter<'_>, hello: &Hello) -> fmt::Result {
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

pub(super) fn read_hello(piece: Piece<'_>) -> Result<Hello> {
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

pub(super) fn write_error(
    f: &mut fmt::Formatter<'_>,
    error: &Error,
    version: Option<Version>,
) -> fmt::Result {
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

pub(super) fn read_error(piece: Piece<'_>, version: Version) -> Result<Error> {
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

pub(super) fn read_echo(piece: Piece<'_>) -> Result<Vec<u8>> {
    let (head, data) = data(piece)?;
    let mut reader = Reader { rest: head, version: None };
    if !head.is_empty() {
        reader.decimal(&mut 0u64)?;
        reader.text("bytes of payload")?;
    }
    reader.end()?;
    Ok(data)
}

pub(super) fn write_nicira(
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

pub(super) fn read_nicira(name: Piece<'_>, piece: Piece<'_>, version: Version) -> Result<nicira::Message> {
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

pub(super) fn write_monitor(f: &mut fmt::Formatter<'_>, message: MonitorMessage) -> fmt::Result {
    match message {
        MonitorMessage::Cancel(id) => write!(f, " id={id}"),
        MonitorMessage::Paused | MonitorMessage::Resumed => Ok(()),
    }
}

/// A message about monitors, which is 1.3's if it has the Foundation's name.
pub(super) fn read_monitor(name: Piece<'_>, piece: Piece<'_>) -> Result<Option<MonitorMessage>> {
    let nothing = |message| nothing(piece, Body::BarrierReply).map(|_| message);
    Ok(Some(match name.text.strip_prefix("NXT_").or_else(|| name.text.strip_prefix("ONFT_")) {
        Some("FLOW_MONITOR_CANCEL") => {
            MonitorMessage::Cancel(keyed(piece, "id")?.u32("number of a monitor")?)
        }
        Some("FLOW_MONITOR_PAUSED") => nothing(MonitorMessage::Paused)?,
        Some("FLOW_MONITOR_RESUMED") => nothing(MonitorMessage::Resumed)?,
        _ => return Ok(None),
    }))
}
