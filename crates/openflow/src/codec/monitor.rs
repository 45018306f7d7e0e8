//! Flow monitors: Nicira's in 1.0 (`nx_flow_monitor_request`, `nx_flow_update_*` of OVS' public header nicira-ext.h), the
//! Foundation's extension 187 in 1.3.

use super::read::Reader;
use super::write::Put;
use super::{DecodeError, EncodeError, action, flow, instruction, oxm};
use crate::Version;
use crate::error::{BadRequest, NiciraRequest, ONF};
use crate::matching::Match;
use crate::monitor::{FlowUpdate, MonitorEvent, MonitorMessage, MonitorRequest, MonitorUpdate};
use crate::port::PortNo;

/// The Foundation's type of such statistics in 1.3, and Nicira's in 1.0.
pub(super) const STATS_V13: u32 = 1870;
pub(super) const STATS_V10: u32 = 2;

// Nicira's messages.
pub(super) const CANCEL_V10: u32 = 21;
pub(super) const PAUSED_V10: u32 = 22;
pub(super) const RESUMED_V10: u32 = 23;
// The Foundation's.
const CANCEL_V13: u32 = 1870;
const PAUSED_V13: u32 = 1871;
const RESUMED_V13: u32 = 1872;

// What has become of an entry (`nx_flow_update_event`).
const ADDED: u16 = 0;
const REMOVED: u16 = 1;
const MODIFIED: u16 = 2;
const OWN: u16 = 3;

/// Bytes of an update that names a transaction, and of one of an entry before its match.
const OWN_LEN: usize = 8;
const FLOW_LEN: usize = 24;

/// What a message of that type says, if it is about monitors.
pub(super) fn decode_message(
    version: Version,
    kind: u32,
    reader: &mut Reader<'_>,
) -> Result<Option<MonitorMessage>, DecodeError> {
    Ok(match (version, kind) {
        (Version::V10, CANCEL_V10) | (Version::V13, CANCEL_V13) => {
            Some(MonitorMessage::Cancel(reader.u32()?))
        }
        (Version::V10, PAUSED_V10) | (Version::V13, PAUSED_V13) => Some(MonitorMessage::Paused),
        (Version::V10, RESUMED_V10) | (Version::V13, RESUMED_V13) => Some(MonitorMessage::Resumed),
        _ => None,
    })
}

/// Whether an experimenter's message would be read as one about monitors: it is not to be written as something else.
pub(super) fn claims(version: Version, experimenter: u32, data: &[u8]) -> bool {
    matches!(kind_v13(version, experimenter, data), Some(CANCEL_V13 | PAUSED_V13 | RESUMED_V13))
}

/// The same of the statistics that an experimenter asks for. Open vSwitch has a match there as everywhere, others (os-ken)
/// its fields alone, which the extension's text can be read to mean: these stay the experimenter's.
pub(super) fn claims_request(version: Version, experimenter: u32, data: &[u8]) -> bool {
    let first = data.get(4..).unwrap_or_default();
    let has_match = first.get(6..8).is_none_or(|length| length > [0, 3].as_slice())
        && first.get(16..18).is_none_or(|kind| kind == [0, 1]);
    kind_v13(version, experimenter, data) == Some(STATS_V13) && has_match
}

/// The same of the statistics that it tells.
pub(super) fn claims_reply(version: Version, experimenter: u32, data: &[u8]) -> bool {
    kind_v13(version, experimenter, data) == Some(STATS_V13)
}

/// The type within the Foundation's extensions of 1.3.
fn kind_v13(version: Version, experimenter: u32, data: &[u8]) -> Option<u32> {
    let kind = data.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    kind.filter(|_| version == Version::V13 && experimenter == ONF)
}

/// Appends its type and what follows.
pub(super) fn encode_message(version: Version, message: MonitorMessage, out: &mut Vec<u8>) {
    let (v10, v13) = match message {
        MonitorMessage::Cancel(_) => (CANCEL_V10, CANCEL_V13),
        MonitorMessage::Paused => (PAUSED_V10, PAUSED_V13),
        MonitorMessage::Resumed => (RESUMED_V10, RESUMED_V13),
    };
    out.u32(if version == Version::V10 { v10 } else { v13 });
    if let MonitorMessage::Cancel(id) = message {
        out.u32(id);
    }
}

/// Monitors to be set up: what follows the type.
pub(super) fn decode_requests(
    version: Version,
    reader: &mut Reader<'_>,
) -> Result<Vec<MonitorRequest>, DecodeError> {
    reader.all(|reader| decode_request(version, reader))
}

fn decode_request(version: Version, reader: &mut Reader<'_>) -> Result<MonitorRequest, DecodeError> {
    let (id, flags) = (reader.u32()?, reader.u16()?);
    // The length of 1.3's match is in the match, too.
    let (out_port, length, zeros) = match version {
        Version::V10 => (PortNo::from_v10(reader.u16()?), reader.u16()?, 5),
        Version::V13 => {
            let length = reader.u16()?;
            (PortNo(reader.u32()?), length, 3)
        }
    };
    let table = reader.u8()?;
    if reader.take(zeros)?.iter().any(|byte| *byte != 0) {
        return Err(reader.fault(NiciraRequest::MustBeZero));
    }
    let matching = decode_match(version, length, reader)?;
    Ok(MonitorRequest { id, flags, out_port, table, matching })
}

fn decode_match(version: Version, length: u16, reader: &mut Reader<'_>) -> Result<Match, DecodeError> {
    match version {
        Version::V10 => oxm::decode_nxm(reader, length).map(Match::Fields),
        Version::V13 => {
            let before = reader.len();
            let fields = oxm::decode_match(reader)?;
            let length = usize::from(length).next_multiple_of(8);
            if before - reader.len() == length { Ok(Match::Fields(fields)) } else { Err(reader.wrong()) }
        }
    }
}

/// Appends the match; returns its length without the padding behind it.
fn encode_match(version: Version, matching: &Match, out: &mut Vec<u8>) -> Result<u16, EncodeError> {
    match version {
        Version::V10 => oxm::encode_nxm(&matching.nicira_fields(), out),
        Version::V13 => {
            let start = out.len();
            oxm::encode_match(&matching.as_fields(), out)?;
            Ok(u16::from_be_bytes([out[start + 2], out[start + 3]]))
        }
    }
}

pub(super) fn encode_requests(
    version: Version,
    requests: &[MonitorRequest],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    for request in requests {
        out.u32(request.id);
        out.u16(request.flags);
        let at = match version {
            Version::V10 => {
                out.port16(request.out_port)?;
                out.u16(0);
                out.u8(request.table);
                out.zeros(5);
                out.len() - 8
            }
            Version::V13 => {
                out.u16(0);
                out.u32(request.out_port.0);
                out.u8(request.table);
                out.zeros(3);
                out.len() - 10
            }
        };
        let length = encode_match(version, &request.matching, out)?;
        out[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// Changes: what follows the type.
pub(super) fn decode_updates(
    version: Version,
    reader: &mut Reader<'_>,
) -> Result<Vec<MonitorUpdate>, DecodeError> {
    reader.all(|reader| decode_update(version, reader))
}

fn decode_update(version: Version, reader: &mut Reader<'_>) -> Result<MonitorUpdate, DecodeError> {
    let mut inner = reader.entry(OWN_LEN, "flow update", BadRequest::BadLen)?;
    let kind = inner.u16()?;
    if kind == OWN {
        let xid = inner.u32()?;
        inner.end()?;
        return Ok(MonitorUpdate::Own { xid });
    }
    let reason = inner.u16()?;
    let event = match (kind, u8::try_from(reason)) {
        (ADDED, _) => MonitorEvent::Added,
        (MODIFIED, _) => MonitorEvent::Modified,
        (REMOVED, Ok(reason)) => MonitorEvent::Removed(flow::reason(reason)),
        _ => return Err(inner.fault(NiciraRequest::BadEvent)),
    };
    let (priority, idle_timeout, hard_timeout) = (inner.u16()?, inner.u16()?, inner.u16()?);
    let (length, table) = (inner.u16()?, inner.u8()?);
    inner.skip(1)?;
    let cookie = inner.u64()?;
    let matching = decode_match(version, length, &mut inner)?;
    let instructions = match version {
        Version::V10 => flow::decode_actions_v10(inner)?,
        Version::V13 => instruction::decode_all(&mut inner)?,
    };
    Ok(MonitorUpdate::Flow(FlowUpdate {
        event,
        table,
        priority,
        idle_timeout,
        hard_timeout,
        cookie,
        matching,
        instructions,
    }))
}

pub(super) fn encode_update(
    version: Version,
    update: &MonitorUpdate,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(0);
    let flow = match update {
        MonitorUpdate::Own { xid } => {
            out.u16(OWN);
            out.u32(*xid);
            return out.length(start, start, "flow update");
        }
        MonitorUpdate::Flow(flow) => flow,
    };
    let (kind, reason) = match flow.event {
        MonitorEvent::Added => (ADDED, 0),
        MonitorEvent::Modified => (MODIFIED, 0),
        MonitorEvent::Removed(reason) => (REMOVED, flow::reason_number(reason)),
    };
    [kind, reason.into(), flow.priority, flow.idle_timeout, flow.hard_timeout, 0]
        .iter()
        .for_each(|number| out.u16(*number));
    out.u8(flow.table);
    out.u8(0);
    out.u64(flow.cookie);
    debug_assert_eq!(out.len() - start, FLOW_LEN);
    let length = encode_match(version, &flow.matching, out)?;
    out[start + 12..start + 14].copy_from_slice(&length.to_be_bytes());
    match version {
        Version::V10 => flow::encode_actions_v10(&flow.instructions, &flow.matching, out)?,
        Version::V13 => {
            instruction::encode_all(&flow.instructions, action::About::Match(&flow.matching), out)?;
        }
    }
    out.length(start, start, "flow update")
}
