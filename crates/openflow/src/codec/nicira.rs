//! Nicira's messages and statistics (`nicira_header`, `nicira_stats_msg` of OVS' public header nicira-ext.h).

use super::read::Reader;
use super::write::{Put, unsayable};
use super::{DecodeError, EncodeError, flow, monitor, multipart, oxm, packet, session};
use crate::Version;
use crate::error::{BadRequest, ONF};
use crate::flow::PacketInFormat;
use crate::matching::Match;
use crate::message::{Body, Role};
use crate::monitor::MonitorMessage;
use crate::nicira::{self, FlowStats, Message, StatsReply, StatsRequest};
use crate::port::PortNo;

const ROLE_REQUEST: u32 = 10;
const ROLE_REPLY: u32 = 11;
const SET_FLOW_FORMAT: u32 = 12;
pub(super) const FLOW_MOD: u32 = 13;
pub(super) const FLOW_REMOVED: u32 = 14;
const FLOW_MOD_TABLE_ID: u32 = 15;
const SET_PACKET_IN_FORMAT: u32 = 16;
pub(super) const PACKET_IN: u32 = 17;
const FLOW_AGE: u32 = 18;
const SET_ASYNC_CONFIG: u32 = 19;
const SET_CONTROLLER_ID: u32 = 20;

/// An experimenter's message: what follows the header. Nicira's flow-mod, flow-removed and packet-in are bodies of their
/// own; the first two are 1.0's only.
pub(super) fn decode(version: Version, mut reader: Reader<'_>) -> Result<Body, DecodeError> {
    let experimenter = reader.u32()?;
    if version == Version::V13 && experimenter == ONF {
        let mut whole = reader;
        let mut reader = reader.named("flow monitor's message", BadRequest::BadLen);
        if let Ok(kind) = reader.u32()
            && let Some(message) = monitor::decode_message(version, kind, &mut reader)?
        {
            reader.end()?;
            return Ok(Body::Monitor(message));
        }
        return Ok(Body::Experimenter { experimenter, data: whole.rest().to_vec() });
    }
    if experimenter != nicira::VENDOR {
        return Ok(Body::Experimenter { experimenter, data: reader.rest().to_vec() });
    }
    let subtype = reader.u32()?;
    let mut reader = reader.named("Nicira's message", BadRequest::BadLen);
    let whole = reader;
    if version == Version::V10
        && let Some(message) = monitor::decode_message(version, subtype, &mut reader)?
    {
        reader.end()?;
        return Ok(Body::Monitor(message));
    }
    let other = |mut whole: Reader<'_>| Body::Nicira(Message::Other { subtype, data: whole.rest().to_vec() });
    let body = match subtype {
        FLOW_MOD if version == Version::V10 => Body::FlowMod(flow::decode_nicira_mod(&mut reader)?),
        FLOW_REMOVED if version == Version::V10 => {
            Body::FlowRemoved(flow::decode_nicira_removed(&mut reader)?)
        }
        PACKET_IN => Body::PacketIn(packet::decode_nicira_in(&mut reader)?),
        ROLE_REQUEST => Body::Nicira(Message::RoleRequest(role(reader.u32()?))),
        ROLE_REPLY => Body::Nicira(Message::RoleReply(role(reader.u32()?))),
        SET_FLOW_FORMAT => Body::Nicira(Message::SetFlowFormat(reader.u32()?)),
        FLOW_MOD_TABLE_ID => match reader.u8()? {
            0 | 1 if reader.len() != 7 => return Err(reader.wrong()),
            set @ (0 | 1) => {
                reader.skip(7)?;
                Body::Nicira(Message::FlowModTableId(set == 1))
            }
            _ => return Ok(other(whole)),
        },
        SET_PACKET_IN_FORMAT => Body::Nicira(Message::SetPacketInFormat(match reader.u32()? {
            0 => PacketInFormat::Standard,
            1 => PacketInFormat::Nxm,
            _ => return Ok(other(whole)),
        })),
        FLOW_AGE => Body::Nicira(Message::FlowAge),
        SET_ASYNC_CONFIG => Body::Nicira(Message::SetAsyncConfig(session::decode_async(&mut reader)?)),
        SET_CONTROLLER_ID => {
            reader.skip(6)?;
            Body::Nicira(Message::SetControllerId(reader.u16()?))
        }
        _ => return Ok(other(whole)),
    };
    reader.end()?;
    Ok(body)
}

fn role(number: u32) -> Role {
    match number {
        0 => Role::Equal,
        1 => Role::Master,
        2 => Role::Slave,
        other => Role::Other(other),
    }
}

fn role_number(role: Role) -> Result<u32, EncodeError> {
    match role {
        Role::NoChange => Err(EncodeError::Invalid("a role of Nicira's that changes nothing")),
        Role::Equal => Ok(0),
        Role::Master => Ok(1),
        Role::Slave => Ok(2),
        Role::Other(other) => Ok(other),
    }
}

/// The vendor and subtype.
pub(super) fn put_header(subtype: u32, out: &mut Vec<u8>) {
    out.u32(nicira::VENDOR);
    out.u32(subtype);
}

/// Nicira's in 1.0, the Foundation's in 1.3.
pub(super) fn encode_monitor(version: Version, message: MonitorMessage, out: &mut Vec<u8>) {
    out.u32(if version == Version::V10 { nicira::VENDOR } else { ONF });
    monitor::encode_message(version, message, out);
}

pub(super) fn encode(version: Version, message: &Message, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if let Message::Other { subtype, .. } = message
        && version == Version::V10
        && matches!(
            *subtype,
            FLOW_MOD | FLOW_REMOVED | monitor::CANCEL_V10 | monitor::PAUSED_V10 | monitor::RESUMED_V10
        )
    {
        return Err(unsayable(version, "1.3's form of Nicira's flows and monitors"));
    }
    put_header(subtype(message), out);
    match message {
        Message::RoleRequest(role) | Message::RoleReply(role) => out.u32(role_number(*role)?),
        Message::SetFlowFormat(format) => out.u32(*format),
        Message::FlowModTableId(set) => {
            out.u8(u8::from(*set));
            out.zeros(7);
        }
        Message::SetPacketInFormat(format) => out.u32(match format {
            PacketInFormat::Standard => 0,
            PacketInFormat::Nxm => 1,
        }),
        Message::SetAsyncConfig(config) => session::encode_async(config, out),
        Message::SetControllerId(controller) => {
            out.zeros(6);
            out.u16(*controller);
        }
        Message::FlowAge => {}
        Message::Other { data, .. } => out.extend_from_slice(data),
    }
    Ok(())
}

const fn subtype(message: &Message) -> u32 {
    match message {
        Message::RoleRequest(_) => ROLE_REQUEST,
        Message::RoleReply(_) => ROLE_REPLY,
        Message::SetFlowFormat(_) => SET_FLOW_FORMAT,
        Message::FlowModTableId(_) => FLOW_MOD_TABLE_ID,
        Message::SetPacketInFormat(_) => SET_PACKET_IN_FORMAT,
        Message::SetAsyncConfig(_) => SET_ASYNC_CONFIG,
        Message::SetControllerId(_) => SET_CONTROLLER_ID,
        Message::FlowAge => FLOW_AGE,
        Message::Other { subtype, .. } => *subtype,
    }
}

// Statistics: subtypes and what their requests and replies share.
const FLOW_STATS: u32 = 0;
const AGGREGATE_STATS: u32 = 1;
/// Bytes of an entry without match and actions.
const FLOW_STATS_LEN: usize = 48;

/// What follows the type. Flow statistics are 1.0's only.
pub(super) fn decode_stats_request(
    version: Version,
    subtype: u32,
    reader: &mut Reader<'_>,
) -> Result<StatsRequest, DecodeError> {
    if version != Version::V10 || subtype > AGGREGATE_STATS {
        return Ok(StatsRequest::Other { subtype, data: reader.rest().to_vec() });
    }
    let (out_port, length, table) = (PortNo::from_v10(reader.u16()?), reader.u16()?, reader.u8()?);
    reader.skip(3)?;
    let matching = Match::Fields(oxm::decode_nxm(reader, length)?);
    Ok(match subtype {
        FLOW_STATS => StatsRequest::Flow { out_port, table, matching },
        _ => StatsRequest::Aggregate { out_port, table, matching },
    })
}

/// 1.0's header has padding behind the subtype, 1.3's before the vendor.
pub(super) fn stats_subtype(version: Version, reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let subtype = reader.u32()?;
    if version == Version::V10 {
        reader.skip(4)?;
    }
    Ok(subtype)
}

pub(super) fn put_stats_subtype(version: Version, subtype: u32, out: &mut Vec<u8>) {
    put_header(subtype, out);
    if version == Version::V10 {
        out.u32(0);
    }
}

/// Statistics of flows that were not read as such are not 1.0's.
fn not_flows(version: Version, subtype: u32) -> Result<(), EncodeError> {
    match version {
        Version::V10 if subtype <= monitor::STATS_V10 => {
            Err(unsayable(version, "1.3's form of Nicira's flow statistics"))
        }
        _ => Ok(()),
    }
}

fn only_v10(version: Version) -> Result<(), EncodeError> {
    match version {
        Version::V10 => Ok(()),
        Version::V13 => Err(unsayable(version, "flow statistics of Nicira's")),
    }
}

pub(super) fn encode_stats_request(
    version: Version,
    request: &StatsRequest,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let (subtype, out_port, table, matching) = match request {
        StatsRequest::Flow { out_port, table, matching } => (FLOW_STATS, out_port, table, matching),
        StatsRequest::Aggregate { out_port, table, matching } => (AGGREGATE_STATS, out_port, table, matching),
        StatsRequest::Other { subtype, data } => {
            not_flows(version, *subtype)?;
            put_stats_subtype(version, *subtype, out);
            out.extend_from_slice(data);
            return Ok(());
        }
    };
    only_v10(version)?;
    put_stats_subtype(version, subtype, out);
    out.port16(*out_port)?;
    let at = out.len();
    out.u16(0);
    out.u8(*table);
    out.zeros(3);
    let length = oxm::encode_nxm(&matching.nicira_fields(), out)?;
    out[at..at + 2].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

pub(super) fn decode_stats_reply(
    version: Version,
    subtype: u32,
    reader: &mut Reader<'_>,
) -> Result<StatsReply, DecodeError> {
    Ok(match subtype {
        FLOW_STATS if version == Version::V10 => StatsReply::Flow(reader.all(decode_flow_stats)?),
        AGGREGATE_STATS if version == Version::V10 => {
            StatsReply::Aggregate(multipart::decode_aggregate(reader)?)
        }
        subtype => StatsReply::Other { subtype, data: reader.rest().to_vec() },
    })
}

pub(super) fn encode_stats_reply(
    version: Version,
    reply: &StatsReply,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match reply {
        StatsReply::Flow(flows) => {
            only_v10(version)?;
            put_stats_subtype(version, FLOW_STATS, out);
            flows.iter().try_for_each(|flow| encode_flow_stats(flow, out))
        }
        StatsReply::Aggregate(stats) => {
            only_v10(version)?;
            put_stats_subtype(version, AGGREGATE_STATS, out);
            multipart::put_aggregate(stats, out);
            Ok(())
        }
        StatsReply::Other { subtype, data } => {
            not_flows(version, *subtype)?;
            put_stats_subtype(version, *subtype, out);
            out.extend_from_slice(data);
            Ok(())
        }
    }
}

fn decode_flow_stats(reader: &mut Reader<'_>) -> Result<FlowStats, DecodeError> {
    let mut inner = reader.entry(FLOW_STATS_LEN, "flow", BadRequest::BadLen)?;
    let table = inner.u8()?;
    inner.skip(1)?;
    let duration = inner.duration()?;
    let (priority, idle_timeout, hard_timeout) = (inner.u16()?, inner.u16()?, inner.u16()?);
    let length = inner.u16()?;
    let (idle_age, hard_age) = (inner.u16()?, inner.u16()?);
    let (cookie, packets, bytes) = (inner.u64()?, inner.u64()?, inner.u64()?);
    let matching = Match::Fields(oxm::decode_nxm(&mut inner, length)?);
    let flow = crate::multipart::FlowStats {
        table,
        duration,
        priority,
        idle_timeout,
        hard_timeout,
        flags: 0,
        cookie,
        packets,
        bytes,
        matching,
        instructions: flow::decode_actions_v10(inner)?,
    };
    Ok(FlowStats { flow, idle_age, hard_age })
}

fn encode_flow_stats(stats: &FlowStats, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let flow = &stats.flow;
    let start = out.len();
    out.u16(0);
    out.u8(flow.table);
    out.u8(0);
    out.duration(flow.duration);
    [flow.priority, flow.idle_timeout, flow.hard_timeout, 0, stats.idle_age, stats.hard_age]
        .iter()
        .for_each(|number| out.u16(*number));
    out.u64(flow.cookie);
    out.u64(flow.packets);
    out.u64(flow.bytes);
    let length = oxm::encode_nxm(&flow.matching.nicira_fields(), out)?;
    out[start + 18..start + 20].copy_from_slice(&length.to_be_bytes());
    flow::encode_actions_v10(&flow.instructions, &flow.matching, out)?;
    out.length(start, start, "flow")
}
