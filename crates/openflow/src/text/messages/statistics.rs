//! Statistics and descriptions: what is asked for, and what is told.

use std::fmt;

use super::{data, in_nicira_words, keyed, lines, nothing, unknown, write_data};
use crate::Version;
use crate::group;
use crate::matching::Match;
use crate::message::Body;
use crate::monitor::MonitorUpdate;
use crate::multipart::{AggregateStats, Description, MORE, Reply, Request};
use crate::nicira;
use crate::port::PortNo;
use crate::text::actions::Dialect;
use crate::text::groups::{self, MeterId};
use crate::text::pen::{Pen, Reader, Writer};
use crate::text::piece::{Piece, Result};
use crate::text::value::port;
use crate::text::{flows, monitors, records, tables};

pub(super) fn write_flags(f: &mut fmt::Formatter<'_>, flags: u16) -> fmt::Result {
    match (flags & MORE != 0, flags & !MORE) {
        (false, 0) => Ok(()),
        (true, 0) => f.write_str(" flags=[more]"),
        (_, _) => write!(f, " flags={flags:#x}"),
    }
}

/// The flags of statistics, and what is behind them.
pub(super) fn read_flags(piece: Piece<'_>) -> Result<(u16, Piece<'_>)> {
    let piece = piece.from(piece.text.len() - piece.text.trim_start_matches(' ').len());
    if let Some(rest) = piece.strip_prefix("flags=[more]") {
        return Ok((MORE, rest));
    }
    let Some(rest) = piece.strip_prefix("flags=") else { return Ok((0, piece)) };
    let end = rest.text.find(char::is_whitespace).unwrap_or(rest.text.len());
    Ok((rest.part(0..end).u16("flags")?, rest.from(end)))
}

/// A group's number, or all.
fn write_group(f: &mut fmt::Formatter<'_>, group: u32) -> fmt::Result {
    match group {
        group::ALL => f.write_str(" group_id=ALL"),
        group::ANY => f.write_str(" group_id=ANY"),
        group => write!(f, " group_id={group}"),
    }
}

pub(super) fn write_request(
    f: &mut fmt::Formatter<'_>,
    request: &Request,
    version: Option<Version>,
) -> fmt::Result {
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
        Request::FlowMonitor(requests) => write_lines(f, " ", requests),
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

pub(super) fn read_request(name: Piece<'_>, piece: Piece<'_>, version: Version) -> Result<Request> {
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
        "NXST_FLOW_MONITOR" | "ONFST_FLOW_MONITOR" => {
            let requests = lines(piece).map(|line| {
                let mut request = monitors::request(line)?;
                request.matching = monitored(request.matching, version);
                Ok(request)
            });
            Request::FlowMonitor(requests.collect::<Result<_>>()?)
        }
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

/// Each on a line of its own.
fn write_lines<T: fmt::Display>(f: &mut fmt::Formatter<'_>, start: &str, items: &[T]) -> fmt::Result {
    items.iter().try_for_each(|item| write!(f, "\n{start}{item}"))
}

pub(super) fn write_reply(
    f: &mut fmt::Formatter<'_>,
    reply: &Reply,
    version: Option<Version>,
) -> fmt::Result {
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
        Reply::FlowMonitor(updates) => write_lines(f, " ", updates),
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

/// The meters of a list, each from its own `meter=` on.
fn meters(piece: Piece<'_>) -> Result<Vec<crate::meter::MeterConfig>> {
    let starts: Vec<usize> = piece.text.match_indices("meter=").map(|(at, _)| at).collect();
    if starts.first().is_none_or(|first| !piece.text[..*first].trim().is_empty()) {
        nothing(piece.part(0..starts.first().copied().unwrap_or(piece.text.len())), Body::BarrierReply)?;
    }
    let ends = starts.iter().skip(1).copied().chain([piece.text.len()]);
    starts.iter().zip(ends).map(|(start, end)| groups::meter_config(piece.part(*start..end))).collect()
}

pub(super) fn read_reply(
    name: Piece<'_>,
    piece: Piece<'_>,
    dialect: Dialect,
    version: Version,
) -> Result<Reply> {
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
        "NXST_FLOW_MONITOR" | "ONFST_FLOW_MONITOR" => {
            let updates = lines(piece).map(|line| {
                let mut update = monitors::update(line, dialect)?;
                if let MonitorUpdate::Flow(flow) = &mut update {
                    flow.matching = monitored(std::mem::take(&mut flow.matching), version);
                }
                Ok(update)
            });
            Reply::FlowMonitor(updates.collect::<Result<_>>()?)
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

/// A match of a flow monitor, in the words that the version has for it.
fn monitored(matching: Match, version: Version) -> Match {
    match version {
        Version::V10 => in_nicira_words(&matching),
        Version::V13 => matching,
    }
}
