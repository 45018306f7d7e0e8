//! Statistics and descriptions (OpenFlow 1.0, section 5.3.5; 1.3.5, section 7.3.5).

use super::read::Reader;
use super::write::{Put, unsayable};
use super::{DecodeError, EncodeError, flow, group, meter, monitor, nicira, port, queue, table};
use crate::Version;
use crate::error::{BadRequest, ONF};
use crate::multipart::{AggregateStats, Description, MultipartReply, MultipartRequest, Reply, Request};
use crate::nicira::VENDOR;
use crate::port::PortNo;

const DESCRIPTION: u16 = 0;
const FLOW: u16 = 1;
const AGGREGATE: u16 = 2;
const TABLE: u16 = 3;
const PORT: u16 = 4;
const QUEUE: u16 = 5;
const GROUP: u16 = 6;
const GROUP_DESCRIPTION: u16 = 7;
const GROUP_FEATURES: u16 = 8;
const METER: u16 = 9;
const METER_CONFIG: u16 = 10;
const METER_FEATURES: u16 = 11;
const TABLE_FEATURES: u16 = 12;
const PORT_DESCRIPTION: u16 = 13;
const EXPERIMENTER: u16 = 0xffff;

/// Bytes of a description's strings, and of its serial number.
const STRING_LEN: usize = 256;
const SERIAL_LEN: usize = 32;

/// Whether the version has that type: those of groups, meters and table features came later than 1.0. Port descriptions
/// are 1.3's, and Open vSwitch has them in 1.0 too.
const fn has(version: Version, kind: u16) -> bool {
    matches!(kind, DESCRIPTION..=QUEUE | PORT_DESCRIPTION | EXPERIMENTER)
        || matches!(version, Version::V13) && kind <= PORT_DESCRIPTION
}

fn decode_header(version: Version, reader: &mut Reader<'_>) -> Result<(u16, u16), DecodeError> {
    let (kind, flags) = (reader.u16()?, reader.u16()?);
    if version == Version::V13 {
        reader.skip(4)?;
    }
    if !has(version, kind) {
        return Err(reader.fault(BadRequest::BadMultipart));
    }
    Ok((kind, flags))
}

fn put_header(version: Version, kind: u16, flags: u16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if !has(version, kind) {
        return Err(unsayable(version, "statistics of groups or meters, or tables' features"));
    }
    out.u16(kind);
    out.u16(flags);
    if version == Version::V13 {
        out.u32(0);
    }
    Ok(())
}

/// A number and its padding.
fn number(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let number = reader.u32()?;
    reader.skip(4)?;
    Ok(number)
}

fn put_number(number: u32, out: &mut Vec<u8>) {
    out.u32(number);
    out.u32(0);
}

/// Every port of a queue request is `ALL` in 1.0 and `ANY` in 1.3: 1.0's two change places.
const fn all_ports(version: Version, port: PortNo) -> PortNo {
    match (version, port) {
        (Version::V10, PortNo::ANY) => PortNo::ALL,
        (Version::V10, PortNo::ALL) => PortNo::ANY,
        (_, port) => port,
    }
}

/// Whether `claims` has the Foundation's statistics be of flow monitors; their type is taken then.
fn is_monitor(claims: fn(Version, u32, &[u8]) -> bool, version: Version, reader: &mut Reader<'_>) -> bool {
    let mut ahead = *reader;
    claims(version, ONF, ahead.rest()) && reader.u32().is_ok()
}

fn put_monitor_type(version: Version, out: &mut Vec<u8>) {
    match version {
        Version::V10 => nicira::put_stats_subtype(version, monitor::STATS_V10, out),
        Version::V13 => {
            out.u32(ONF);
            out.u32(monitor::STATS_V13);
        }
    }
}

pub(super) fn decode_request(
    version: Version,
    reader: &mut Reader<'_>,
) -> Result<MultipartRequest, DecodeError> {
    let (kind, flags) = decode_header(version, reader)?;
    let body = match kind {
        DESCRIPTION => Request::Description,
        FLOW => Request::Flow(flow::decode_request(version, reader)?),
        AGGREGATE => Request::Aggregate(flow::decode_request(version, reader)?),
        TABLE => Request::Table,
        PORT => {
            let port = port::number(version, reader)?;
            reader.skip(if version == Version::V10 { 6 } else { 4 })?;
            Request::Port(port)
        }
        QUEUE => Request::Queue {
            port: all_ports(version, port::decode_which(version, reader)?),
            queue: reader.u32()?,
        },
        GROUP => Request::Group(number(reader)?),
        GROUP_DESCRIPTION => Request::GroupDescription,
        GROUP_FEATURES => Request::GroupFeatures,
        METER => Request::Meter(number(reader)?),
        METER_CONFIG => Request::MeterConfig(number(reader)?),
        METER_FEATURES => Request::MeterFeatures,
        TABLE_FEATURES => Request::TableFeatures(reader.all(table::decode_features)?),
        PORT_DESCRIPTION => Request::PortDescription,
        _ => match reader.u32()? {
            VENDOR => match (version, nicira::stats_subtype(version, reader)?) {
                (Version::V10, monitor::STATS_V10) => {
                    Request::FlowMonitor(monitor::decode_requests(version, reader)?)
                }
                (_, subtype) => Request::Nicira(nicira::decode_stats_request(version, subtype, reader)?),
            },
            ONF if is_monitor(monitor::claims_request, version, reader) => {
                Request::FlowMonitor(monitor::decode_requests(version, reader)?)
            }
            experimenter => Request::Experimenter { experimenter, data: reader.rest().to_vec() },
        },
    };
    Ok(MultipartRequest { flags, body })
}

const fn request_kind(request: &Request) -> u16 {
    match request {
        Request::Description => DESCRIPTION,
        Request::Flow(_) => FLOW,
        Request::Aggregate(_) => AGGREGATE,
        Request::Table => TABLE,
        Request::Port(_) => PORT,
        Request::Queue { .. } => QUEUE,
        Request::Group(_) => GROUP,
        Request::GroupDescription => GROUP_DESCRIPTION,
        Request::GroupFeatures => GROUP_FEATURES,
        Request::Meter(_) => METER,
        Request::MeterConfig(_) => METER_CONFIG,
        Request::MeterFeatures => METER_FEATURES,
        Request::TableFeatures(_) => TABLE_FEATURES,
        Request::PortDescription => PORT_DESCRIPTION,
        Request::FlowMonitor(_) | Request::Nicira(_) | Request::Experimenter { .. } => EXPERIMENTER,
    }
}

pub(super) fn encode_request(
    version: Version,
    request: &MultipartRequest,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    put_header(version, request_kind(&request.body), request.flags, out)?;
    match &request.body {
        Request::Flow(flow) | Request::Aggregate(flow) => flow::encode_request(version, flow, out)?,
        Request::Port(port) => {
            port::put_number(version, *port, out)?;
            out.zeros(if version == Version::V10 { 6 } else { 4 });
        }
        Request::Queue { port, queue } => {
            port::put_which(version, all_ports(version, *port), out)?;
            out.u32(*queue);
        }
        Request::Group(which) | Request::Meter(which) | Request::MeterConfig(which) => {
            put_number(*which, out);
        }
        Request::TableFeatures(tables) => {
            tables.iter().try_for_each(|table| table::encode_features(table, out))?;
        }
        Request::FlowMonitor(monitors) => {
            put_monitor_type(version, out);
            monitor::encode_requests(version, monitors, out)?;
        }
        Request::Nicira(request) => nicira::encode_stats_request(version, request, out)?,
        Request::Experimenter { experimenter, data }
            if monitor::claims_request(version, *experimenter, data) =>
        {
            return Err(unsayable(version, "a flow monitor as something else"));
        }
        Request::Experimenter { experimenter, data } => {
            out.u32(*experimenter);
            out.extend_from_slice(data);
        }
        Request::Description
        | Request::Table
        | Request::GroupDescription
        | Request::GroupFeatures
        | Request::MeterFeatures
        | Request::PortDescription => {}
    }
    Ok(())
}

pub(super) fn decode_reply(version: Version, reader: &mut Reader<'_>) -> Result<MultipartReply, DecodeError> {
    let (kind, flags) = decode_header(version, reader)?;
    let body = match kind {
        DESCRIPTION => Reply::Description(decode_description(reader)?),
        FLOW => Reply::Flow(reader.all(|reader| flow::decode_stats(version, reader))?),
        AGGREGATE => Reply::Aggregate(decode_aggregate(reader)?),
        TABLE => Reply::Table(reader.all(|reader| table::decode_stats(version, reader))?),
        PORT => Reply::Port(reader.all(|reader| port::decode_stats(version, reader))?),
        QUEUE => Reply::Queue(reader.all(|reader| queue::decode_stats(version, reader))?),
        GROUP => Reply::Group(reader.all(group::decode_stats)?),
        GROUP_DESCRIPTION => Reply::GroupDescription(reader.all(group::decode_description)?),
        GROUP_FEATURES => Reply::GroupFeatures(group::decode_features(reader)?),
        METER => Reply::Meter(reader.all(meter::decode_stats)?),
        METER_CONFIG => Reply::MeterConfig(reader.all(meter::decode_config)?),
        METER_FEATURES => Reply::MeterFeatures(meter::decode_features(reader)?),
        TABLE_FEATURES => Reply::TableFeatures(reader.all(table::decode_features)?),
        PORT_DESCRIPTION => Reply::PortDescription(reader.all(|reader| port::decode(version, reader))?),
        _ => match reader.u32()? {
            VENDOR => match (version, nicira::stats_subtype(version, reader)?) {
                (Version::V10, monitor::STATS_V10) => {
                    Reply::FlowMonitor(monitor::decode_updates(version, reader)?)
                }
                (_, subtype) => Reply::Nicira(nicira::decode_stats_reply(version, subtype, reader)?),
            },
            ONF if is_monitor(monitor::claims_reply, version, reader) => {
                Reply::FlowMonitor(monitor::decode_updates(version, reader)?)
            }
            experimenter => Reply::Experimenter { experimenter, data: reader.rest().to_vec() },
        },
    };
    Ok(MultipartReply { flags, body })
}

const fn reply_kind(reply: &Reply) -> u16 {
    match reply {
        Reply::Description(_) => DESCRIPTION,
        Reply::Flow(_) => FLOW,
        Reply::Aggregate(_) => AGGREGATE,
        Reply::Table(_) => TABLE,
        Reply::Port(_) => PORT,
        Reply::Queue(_) => QUEUE,
        Reply::Group(_) => GROUP,
        Reply::GroupDescription(_) => GROUP_DESCRIPTION,
        Reply::GroupFeatures(_) => GROUP_FEATURES,
        Reply::Meter(_) => METER,
        Reply::MeterConfig(_) => METER_CONFIG,
        Reply::MeterFeatures(_) => METER_FEATURES,
        Reply::TableFeatures(_) => TABLE_FEATURES,
        Reply::PortDescription(_) => PORT_DESCRIPTION,
        Reply::FlowMonitor(_) | Reply::Nicira(_) | Reply::Experimenter { .. } => EXPERIMENTER,
    }
}

pub(super) fn encode_reply(
    version: Version,
    reply: &MultipartReply,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    put_header(version, reply_kind(&reply.body), reply.flags, out)?;
    match &reply.body {
        Reply::Description(description) => encode_description(description, out),
        Reply::Flow(flows) => flows.iter().try_for_each(|flow| flow::encode_stats(version, flow, out)),
        Reply::Aggregate(stats) => {
            put_aggregate(stats, out);
            Ok(())
        }
        Reply::Table(tables) => tables.iter().try_for_each(|table| table::encode_stats(version, table, out)),
        Reply::Port(ports) => ports.iter().try_for_each(|port| port::encode_stats(version, port, out)),
        Reply::Queue(queues) => queues.iter().try_for_each(|queue| queue::encode_stats(version, queue, out)),
        Reply::Group(groups) => groups.iter().try_for_each(|group| group::encode_stats(group, out)),
        Reply::GroupDescription(groups) => {
            groups.iter().try_for_each(|group| group::encode_description(group, out))
        }
        Reply::GroupFeatures(features) => {
            group::encode_features(features, out);
            Ok(())
        }
        Reply::Meter(meters) => meters.iter().try_for_each(|meter| meter::encode_stats(meter, out)),
        Reply::MeterConfig(meters) => meters.iter().try_for_each(|meter| meter::encode_config(meter, out)),
        Reply::MeterFeatures(features) => {
            meter::encode_features(features, out);
            Ok(())
        }
        Reply::TableFeatures(tables) => {
            tables.iter().try_for_each(|table| table::encode_features(table, out))
        }
        Reply::PortDescription(ports) => ports.iter().try_for_each(|port| port::encode(version, port, out)),
        Reply::FlowMonitor(updates) => {
            put_monitor_type(version, out);
            updates.iter().try_for_each(|update| monitor::encode_update(version, update, out))
        }
        Reply::Nicira(reply) => nicira::encode_stats_reply(version, reply, out),
        Reply::Experimenter { experimenter, data } if monitor::claims_reply(version, *experimenter, data) => {
            Err(unsayable(version, "a flow monitor as something else"))
        }
        Reply::Experimenter { experimenter, data } => {
            out.u32(*experimenter);
            out.extend_from_slice(data);
            Ok(())
        }
    }
}

fn decode_description(reader: &mut Reader<'_>) -> Result<Description, DecodeError> {
    Ok(Description {
        manufacturer: reader.text::<STRING_LEN>()?,
        hardware: reader.text::<STRING_LEN>()?,
        software: reader.text::<STRING_LEN>()?,
        serial: reader.text::<SERIAL_LEN>()?,
        datapath: reader.text::<STRING_LEN>()?,
    })
}

fn encode_description(description: &Description, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.text(&description.manufacturer, STRING_LEN, "manufacturer")?;
    out.text(&description.hardware, STRING_LEN, "hardware description")?;
    out.text(&description.software, STRING_LEN, "software description")?;
    out.text(&description.serial, SERIAL_LEN, "serial number")?;
    out.text(&description.datapath, STRING_LEN, "datapath description")
}

pub(super) fn decode_aggregate(reader: &mut Reader<'_>) -> Result<AggregateStats, DecodeError> {
    let stats = AggregateStats { packets: reader.u64()?, bytes: reader.u64()?, flows: reader.u32()? };
    reader.skip(4)?;
    Ok(stats)
}

pub(super) fn put_aggregate(stats: &AggregateStats, out: &mut Vec<u8>) {
    out.u64(stats.packets);
    out.u64(stats.bytes);
    put_number(stats.flows, out);
}
