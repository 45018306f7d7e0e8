//! Queues (OpenFlow 1.0, sections 5.2.2, 5.3.4; 1.3.5, sections 7.2.2, 7.3.6).

use super::read::Reader;
use super::write::Put;
use super::{DecodeError, EncodeError, port};
use crate::Version;
use crate::error::BadRequest;
use crate::message::Body;
use crate::port::PortNo;
use crate::queue::{Queue, QueueProperty, QueueStats};

const MIN_RATE: u16 = 1;
const MAX_RATE: u16 = 2;
const EXPERIMENTER: u16 = 0xffff;
/// Bytes of a property's header, and of one with a rate.
const PROPERTY_LEN: usize = 8;
const RATE_LEN: usize = 16;

pub(super) fn decode_request(version: Version, reader: &mut Reader<'_>) -> Result<PortNo, DecodeError> {
    let port = port::decode_which(version, reader)?;
    if version == Version::V13 {
        reader.skip(4)?;
    }
    Ok(port)
}

pub(super) fn encode_request(version: Version, port: PortNo, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    port::put_which(version, port, out)?;
    if version == Version::V13 {
        out.u32(0);
    }
    Ok(())
}

pub(super) fn decode_reply(version: Version, reader: &mut Reader<'_>) -> Result<Body, DecodeError> {
    let port = port::number(version, reader)?;
    reader.skip(if version == Version::V10 { 6 } else { 4 })?;
    let queues = reader.all(|reader| decode(version, port, reader))?;
    Ok(Body::QueueGetConfigReply { port, queues })
}

pub(super) fn encode_reply(
    version: Version,
    port: PortNo,
    queues: &[Queue],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    port::put_number(version, port, out)?;
    out.zeros(if version == Version::V10 { 6 } else { 4 });
    queues.iter().try_for_each(|queue| encode(version, queue, out))
}

fn decode(version: Version, of: PortNo, reader: &mut Reader<'_>) -> Result<Queue, DecodeError> {
    let queue = reader.u32()?;
    let (port, before) = match version {
        Version::V10 => (of, 6),
        Version::V13 => (PortNo(reader.u32()?), 10),
    };
    let length = usize::from(reader.u16()?);
    let Some(left) = length.checked_sub(before) else { return Err(reader.wrong()) };
    let mut inner = reader.sub(left, "queue", BadRequest::BadLen)?;
    inner.skip(if version == Version::V10 { 2 } else { 6 })?;
    Ok(Queue { queue, port, properties: inner.all(decode_property)? })
}

fn encode(version: Version, queue: &Queue, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.u32(queue.queue);
    if version == Version::V13 {
        out.u32(queue.port.0);
    }
    let at = out.len();
    out.zeros(if version == Version::V10 { 4 } else { 8 });
    for property in &queue.properties {
        encode_property(property, out)?;
    }
    out.length(start, at, "queue")
}

fn decode_property(reader: &mut Reader<'_>) -> Result<QueueProperty, DecodeError> {
    let (kind, mut inner) = reader.tlv(PROPERTY_LEN, 1, "queue property", BadRequest::BadLen)?;
    inner.skip(4)?;
    if matches!(kind, MIN_RATE | MAX_RATE) && inner.len() == RATE_LEN - PROPERTY_LEN {
        let rate = inner.u16()?;
        return Ok(if kind == MIN_RATE {
            QueueProperty::MinRate(rate)
        } else {
            QueueProperty::MaxRate(rate)
        });
    }
    if kind == EXPERIMENTER && inner.len() >= 4 {
        return Ok(QueueProperty::Experimenter { experimenter: inner.u32()?, data: inner.rest().to_vec() });
    }
    Ok(QueueProperty::Other(kind, inner.rest().to_vec()))
}

fn encode_property(property: &QueueProperty, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let kind = match property {
        QueueProperty::MinRate(_) => MIN_RATE,
        QueueProperty::MaxRate(_) => MAX_RATE,
        QueueProperty::Experimenter { .. } => EXPERIMENTER,
        QueueProperty::Other(kind, _) => *kind,
    };
    out.u16(kind);
    out.zeros(6);
    match property {
        QueueProperty::MinRate(rate) | QueueProperty::MaxRate(rate) => {
            out.u16(*rate);
            out.zeros(6);
        }
        QueueProperty::Experimenter { experimenter, data } => {
            out.u32(*experimenter);
            out.extend_from_slice(data);
        }
        QueueProperty::Other(_, data) => out.extend_from_slice(data),
    }
    out.length(start, start + 2, "queue property")
}

pub(super) fn decode_stats(version: Version, reader: &mut Reader<'_>) -> Result<QueueStats, DecodeError> {
    Ok(QueueStats {
        port: port::decode_which(version, reader)?,
        queue: reader.u32()?,
        tx_bytes: reader.u64()?,
        tx_packets: reader.u64()?,
        tx_errors: reader.u64()?,
        duration: if version == Version::V10 { (0, 0) } else { reader.duration()? },
    })
}

pub(super) fn encode_stats(
    version: Version,
    stats: &QueueStats,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    port::put_which(version, stats.port, out)?;
    out.u32(stats.queue);
    out.u64(stats.tx_bytes);
    out.u64(stats.tx_packets);
    out.u64(stats.tx_errors);
    if version == Version::V13 {
        out.duration(stats.duration);
    }
    Ok(())
}
