//! Flow entries: changed, removed, listed (OpenFlow 1.0, sections 5.3.3, 5.3.5, 5.4.3; 1.3.5, sections 7.3.4.1, 7.3.5.2,
//! 7.4.2; Nicira's `nx_flow_mod`, `nx_flow_removed`).

use std::borrow::Cow;

use super::action::{self, About};
use super::matching::{decode_v10, encode_v10};
use super::read::Reader;
use super::write::{Block, Put, number_v10, unsayable};
use super::{DecodeError, EncodeError, instruction, kind, nicira, oxm};
use crate::Version;
use crate::error::{BadAction, BadRequest};
use crate::field::Field;
use crate::flow::{FlowCommand, FlowMod, FlowRemoved, RemovedReason};
use crate::group;
use crate::instruction::Instruction;
use crate::matching::{Match, MatchV10};
use crate::multipart::{FlowRequest, FlowStats};
use crate::oxm::Oxm;
use crate::port::PortNo;

/// Bytes of an entry of statistics without match and instructions.
const STATS_LEN: usize = 48;
/// The same in 1.0, with its match.
const STATS_LEN_V10: usize = 88;
/// Bytes of a flow-mod between its header and its match; in 1.0 from the command to the flags.
const FLOW_MOD_FIXED: usize = 40;
const COMMON_LEN_V10: usize = 16;
/// Bytes that most flow-mods fit in.
const FLOW_MOD_LEN: usize = 160;

fn command(number: u8) -> FlowCommand {
    match number {
        0 => FlowCommand::Add,
        1 => FlowCommand::Modify,
        2 => FlowCommand::ModifyStrict,
        3 => FlowCommand::Delete,
        4 => FlowCommand::DeleteStrict,
        other => FlowCommand::Other(other),
    }
}

const fn command_number(command: FlowCommand) -> u8 {
    match command {
        FlowCommand::Add => 0,
        FlowCommand::Modify => 1,
        FlowCommand::ModifyStrict => 2,
        FlowCommand::Delete => 3,
        FlowCommand::DeleteStrict => 4,
        FlowCommand::Other(other) => other,
    }
}

pub(super) fn decode_mod(version: Version, reader: &mut Reader<'_>) -> Result<FlowMod, DecodeError> {
    match version {
        Version::V10 => {
            let matching = Match::V10(decode_v10(reader)?);
            let mut flow = FlowMod { cookie: reader.u64()?, matching, ..FlowMod::default() };
            decode_common_v10(&mut flow, reader)?;
            flow.instructions = decode_actions_v10(*reader)?;
            reader.rest();
            Ok(flow)
        }
        Version::V13 => {
            let mut flow = FlowMod {
                cookie: reader.u64()?,
                cookie_mask: reader.u64()?,
                table: reader.u8()?,
                command: command(reader.u8()?),
                idle_timeout: reader.u16()?,
                hard_timeout: reader.u16()?,
                priority: reader.u16()?,
                buffer: reader.u32()?,
                out_port: PortNo(reader.u32()?),
                out_group: reader.u32()?,
                flags: reader.u16()?,
                ..FlowMod::default()
            };
            reader.skip(2)?;
            flow.matching = Match::Fields(oxm::decode_match(reader)?);
            flow.instructions = instruction::decode_all(reader)?;
            Ok(flow)
        }
    }
}

/// What 1.0's and Nicira's form have in common: command to flags.
fn decode_common_v10(flow: &mut FlowMod, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    // Nicira's `flow_mod_table_id` has the table in the upper byte.
    flow.table = reader.u8()?;
    flow.command = command(reader.u8()?);
    flow.idle_timeout = reader.u16()?;
    flow.hard_timeout = reader.u16()?;
    flow.priority = reader.u16()?;
    flow.buffer = reader.u32()?;
    flow.out_port = PortNo::from_v10(reader.u16()?);
    flow.flags = reader.u16()?;
    Ok(())
}

fn encode_common_v10(flow: &FlowMod, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if flow.out_group != group::ANY {
        return Err(unsayable(Version::V10, "a group in a flow-mod"));
    }
    let mut block = Block::<COMMON_LEN_V10>::new();
    block.u8(flow.table);
    block.u8(command_number(flow.command));
    block.u16(flow.idle_timeout);
    block.u16(flow.hard_timeout);
    block.u16(flow.priority);
    block.u32(flow.buffer);
    block.u16(number_v10(flow.out_port)?);
    block.u16(flow.flags);
    out.extend_from_slice(block.bytes());
    Ok(())
}

/// What follows the vendor's header.
pub(super) fn decode_nicira_mod(reader: &mut Reader<'_>) -> Result<FlowMod, DecodeError> {
    let mut flow = FlowMod { nxm: true, cookie: reader.u64()?, ..FlowMod::default() };
    decode_common_v10(&mut flow, reader)?;
    let length = reader.u16()?;
    reader.skip(6)?;
    flow.matching = Match::Fields(oxm::decode_nxm(reader, length)?);
    flow.instructions = decode_actions_v10(*reader)?;
    reader.rest();
    Ok(flow)
}

/// Appends a flow-mod; returns the message's number.
pub(super) fn encode_mod(version: Version, flow: &FlowMod, out: &mut Vec<u8>) -> Result<u8, EncodeError> {
    out.reserve(FLOW_MOD_LEN);
    match version {
        Version::V10 => encode_mod_v10(flow, out),
        Version::V13 => {
            let (fields, cookie) = fields_v13(flow);
            let (cookie, mask) = cookie.unwrap_or((flow.cookie, flow.cookie_mask));
            let mut block = Block::<FLOW_MOD_FIXED>::new();
            block.u64(cookie);
            block.u64(mask);
            block.u8(flow.table);
            block.u8(command_number(flow.command));
            block.u16(flow.idle_timeout);
            block.u16(flow.hard_timeout);
            block.u16(flow.priority);
            block.u32(flow.buffer);
            block.u32(flow.out_port.0);
            block.u32(flow.out_group);
            block.u16(flow.flags);
            out.extend_from_slice(block.bytes());
            oxm::encode_match(&fields, out)?;
            instruction::encode_all(&flow.instructions, About::Match(&flow.matching), out)?;
            Ok(kind::FLOW_MOD)
        }
    }
}

/// The fields of a flow-mod for 1.3, and the cookie and mask that restrict it where they were among them (Nicira's).
fn fields_v13(flow: &FlowMod) -> (Cow<'_, [Oxm]>, Option<(u64, u64)>) {
    let fields = flow.matching.as_fields();
    if !flow.nxm {
        return (fields, None);
    }
    let cookie = fields.iter().find_map(|field| match field {
        Oxm::Known { field: Field::Cookie, value, mask, .. } => {
            Some((*value as u64, mask.map_or(u64::MAX, |mask| mask as u64)))
        }
        _ => None,
    });
    let others = fields.iter().filter(|field| field.field() != Some(Field::Cookie)).cloned();
    (others.collect(), cookie)
}

fn encode_mod_v10(flow: &FlowMod, out: &mut Vec<u8>) -> Result<u8, EncodeError> {
    if !flow.nxm
        && flow.cookie_mask == 0
        && let Some(matching) = flow.matching.to_v10()
    {
        encode_v10(&matching, out);
        out.u64(flow.cookie);
        encode_common_v10(flow, out)?;
        encode_actions_v10(&flow.instructions, &flow.matching, out)?;
        return Ok(kind::FLOW_MOD);
    }
    let mut fields = if flow.nxm { flow.matching.nicira_fields() } else { flow.matching.in_nicira_words() };
    if flow.cookie_mask != 0 {
        fields.to_mut().push(Oxm::masked(Field::Cookie, flow.cookie.into(), flow.cookie_mask.into()));
    }
    nicira::put_header(nicira::FLOW_MOD, out);
    out.u64(flow.cookie);
    encode_common_v10(flow, out)?;
    let at = out.len();
    out.zeros(8);
    let length = oxm::encode_nxm(&fields, out)?;
    out[at..at + 2].copy_from_slice(&length.to_be_bytes());
    encode_actions_v10(&flow.instructions, &flow.matching, out)?;
    Ok(kind::EXPERIMENTER)
}

/// The actions of a 1.0 flow entry, as one instruction; none for none.
pub(super) fn decode_actions_v10(reader: Reader<'_>) -> Result<Vec<Instruction>, DecodeError> {
    if reader.is_empty() {
        return Ok(Vec::new());
    }
    let actions = action::decode_all(Version::V10, reader.named("actions", BadAction::BadLen))?;
    Ok(vec![Instruction::ApplyActions(actions)])
}

pub(super) fn encode_actions_v10(
    instructions: &[Instruction],
    matching: &Match,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match instructions {
        [] => Ok(()),
        [Instruction::ApplyActions(actions)] => {
            action::encode_all(Version::V10, actions, About::Match(matching), out)
        }
        _ => Err(unsayable(Version::V10, "instructions other than to apply actions")),
    }
}

pub(super) fn reason(number: u8) -> RemovedReason {
    match number {
        0 => RemovedReason::IdleTimeout,
        1 => RemovedReason::HardTimeout,
        2 => RemovedReason::Delete,
        3 => RemovedReason::GroupDelete,
        other => RemovedReason::Other(other),
    }
}

pub(super) const fn reason_number(reason: RemovedReason) -> u8 {
    match reason {
        RemovedReason::IdleTimeout => 0,
        RemovedReason::HardTimeout => 1,
        RemovedReason::Delete => 2,
        RemovedReason::GroupDelete => 3,
        RemovedReason::Other(other) => other,
    }
}

pub(super) fn decode_removed(version: Version, reader: &mut Reader<'_>) -> Result<FlowRemoved, DecodeError> {
    let v10 = version == Version::V10;
    let matching = if v10 { Match::V10(decode_v10(reader)?) } else { Match::default() };
    let mut removed = FlowRemoved {
        nxm: false,
        cookie: reader.u64()?,
        priority: reader.u16()?,
        reason: reason(reader.u8()?),
        table: reader.u8()?,
        duration: reader.duration()?,
        idle_timeout: reader.u16()?,
        hard_timeout: reader.u16()?,
        packets: reader.u64()?,
        bytes: reader.u64()?,
        matching,
    };
    if v10 {
        // Padding.
        (removed.table, removed.hard_timeout) = (0, 0);
    } else {
        removed.matching = Match::Fields(oxm::decode_match(reader)?);
    }
    Ok(removed)
}

/// What follows the vendor's header.
pub(super) fn decode_nicira_removed(reader: &mut Reader<'_>) -> Result<FlowRemoved, DecodeError> {
    let (cookie, priority, reason) = (reader.u64()?, reader.u16()?, reason(reader.u8()?));
    // One more than the table; 0 where it is not known.
    let table = reader.u8()?.wrapping_sub(1);
    let (duration, idle_timeout, length) = (reader.duration()?, reader.u16()?, reader.u16()?);
    let (packets, bytes) = (reader.u64()?, reader.u64()?);
    let matching = Match::Fields(oxm::decode_nxm(reader, length)?);
    Ok(FlowRemoved {
        nxm: true,
        cookie,
        priority,
        reason,
        table,
        duration,
        idle_timeout,
        hard_timeout: 0,
        packets,
        bytes,
        matching,
    })
}

/// Appends a removed flow; returns the message's number.
pub(super) fn encode_removed(
    version: Version,
    removed: &FlowRemoved,
    out: &mut Vec<u8>,
) -> Result<u8, EncodeError> {
    let v10 = match version {
        Version::V10 if removed.nxm => None,
        Version::V10 => removed.matching.to_v10(),
        Version::V13 => Some(MatchV10::ALL),
    };
    let nxm = v10.is_none();
    match &v10 {
        Some(matching) if version == Version::V10 => encode_v10(matching, out),
        Some(_) => {}
        None => nicira::put_header(nicira::FLOW_REMOVED, out),
    }
    out.u64(removed.cookie);
    out.u16(removed.priority);
    out.u8(reason_number(removed.reason));
    out.u8(match (version, nxm) {
        (Version::V10, false) => 0,
        (Version::V10, true) => removed.table.wrapping_add(1),
        (Version::V13, _) => removed.table,
    });
    out.duration(removed.duration);
    out.u16(removed.idle_timeout);
    let at = out.len();
    out.u16(if version == Version::V13 { removed.hard_timeout } else { 0 });
    out.u64(removed.packets);
    out.u64(removed.bytes);
    if version == Version::V13 {
        oxm::encode_match(&removed.matching.as_fields(), out)?;
    } else if nxm {
        let fields =
            if removed.nxm { removed.matching.nicira_fields() } else { removed.matching.in_nicira_words() };
        let length = oxm::encode_nxm(&fields, out)?;
        out[at..at + 2].copy_from_slice(&length.to_be_bytes());
        return Ok(kind::EXPERIMENTER);
    }
    Ok(kind::FLOW_REMOVED)
}

/// A match of a request or an entry of statistics of 1.0.
fn put_v10(matching: &Match, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let matching =
        matching.to_v10().ok_or_else(|| unsayable(Version::V10, format!("the match {matching:?}")))?;
    encode_v10(&matching, out);
    Ok(())
}

pub(super) fn decode_request(version: Version, reader: &mut Reader<'_>) -> Result<FlowRequest, DecodeError> {
    match version {
        Version::V10 => {
            let matching = Match::V10(decode_v10(reader)?);
            let table = reader.u8()?;
            reader.skip(1)?;
            let out_port = PortNo::from_v10(reader.u16()?);
            Ok(FlowRequest { table, out_port, out_group: group::ANY, cookie: 0, cookie_mask: 0, matching })
        }
        Version::V13 => {
            let table = reader.u8()?;
            reader.skip(3)?;
            let (out_port, out_group) = (PortNo(reader.u32()?), reader.u32()?);
            reader.skip(4)?;
            let (cookie, cookie_mask) = (reader.u64()?, reader.u64()?);
            let matching = Match::Fields(oxm::decode_match(reader)?);
            Ok(FlowRequest { table, out_port, out_group, cookie, cookie_mask, matching })
        }
    }
}

pub(super) fn encode_request(
    version: Version,
    request: &FlowRequest,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match version {
        Version::V10 => {
            if request.out_group != group::ANY || request.cookie_mask != 0 {
                return Err(unsayable(version, "flows of a group or cookie"));
            }
            put_v10(&request.matching, out)?;
            out.u8(request.table);
            out.u8(0);
            out.port16(request.out_port)
        }
        Version::V13 => {
            out.u8(request.table);
            out.zeros(3);
            out.u32(request.out_port.0);
            out.u32(request.out_group);
            out.u32(0);
            out.u64(request.cookie);
            out.u64(request.cookie_mask);
            oxm::encode_match(&request.matching.as_fields(), out)
        }
    }
}

pub(super) fn decode_stats(version: Version, reader: &mut Reader<'_>) -> Result<FlowStats, DecodeError> {
    let v10 = version == Version::V10;
    let least = if v10 { STATS_LEN_V10 } else { STATS_LEN };
    let mut inner = reader.entry(least, "flow", BadRequest::BadLen)?;
    let table = inner.u8()?;
    inner.skip(1)?;
    let matching = if v10 { Match::V10(decode_v10(&mut inner)?) } else { Match::default() };
    let duration = inner.duration()?;
    let (priority, idle_timeout, hard_timeout) = (inner.u16()?, inner.u16()?, inner.u16()?);
    let flags = if v10 { 0 } else { inner.u16()? };
    inner.skip(if v10 { 6 } else { 4 })?;
    let mut flow = FlowStats {
        table,
        duration,
        priority,
        idle_timeout,
        hard_timeout,
        flags,
        cookie: inner.u64()?,
        packets: inner.u64()?,
        bytes: inner.u64()?,
        matching,
        instructions: Vec::new(),
    };
    if v10 {
        flow.instructions = decode_actions_v10(inner)?;
    } else {
        flow.matching = Match::Fields(oxm::decode_match(&mut inner)?);
        flow.instructions = instruction::decode_all(&mut inner)?;
    }
    Ok(flow)
}

pub(super) fn encode_stats(version: Version, flow: &FlowStats, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(0);
    out.u8(flow.table);
    out.u8(0);
    if version == Version::V10 {
        put_v10(&flow.matching, out)?;
    }
    out.duration(flow.duration);
    out.u16(flow.priority);
    out.u16(flow.idle_timeout);
    out.u16(flow.hard_timeout);
    match version {
        Version::V10 => out.zeros(6),
        Version::V13 => {
            out.u16(flow.flags);
            out.u32(0);
        }
    }
    out.u64(flow.cookie);
    out.u64(flow.packets);
    out.u64(flow.bytes);
    match version {
        Version::V10 => encode_actions_v10(&flow.instructions, &flow.matching, out)?,
        Version::V13 => {
            oxm::encode_match(&flow.matching.as_fields(), out)?;
            instruction::encode_all(&flow.instructions, About::Match(&flow.matching), out)?;
        }
    }
    out.length(start, start, "flow")
}
