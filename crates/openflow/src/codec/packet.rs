//! Packets to and from the controller (OpenFlow 1.0, sections 5.3.6, 5.4.1; 1.3.5, sections 7.3.7, 7.4.1; Nicira's
//! `nx_packet_in`).

use super::action::{self, About};
use super::read::Reader;
use super::write::Put;
use super::{DecodeError, EncodeError, framed, kind, nicira, oxm, port};
use crate::Version;
use crate::error::{BadAction, BadRequest};
use crate::field::{Field, NXM_IN_PORT};
use crate::flow::{PacketIn, PacketInFormat, PacketInReason, PacketOut};
use crate::matching::Match;
use crate::nicira::VENDOR;
use crate::oxm::Oxm;
use crate::port::PortNo;

/// Bytes of a packet-in without its match and packet.
const PACKET_IN_LEN: usize = 48;

/// A packet-in read in place: nothing is copied, and of the metadata only the ingress port is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketInView<'a> {
    /// Its version.
    pub version: Version,
    /// Its transaction.
    pub xid: u32,
    /// Its layout.
    pub format: PacketInFormat,
    /// Buffer that holds the packet, or [`crate::flow::NO_BUFFER`].
    pub buffer: u32,
    /// The packet's whole length in bytes.
    pub total_len: u16,
    /// Why it comes.
    pub reason: PacketInReason,
    /// Table that sent it; 0 in 1.0's own form.
    pub table: u8,
    /// Cookie of the entry that sent it; 0 in 1.0's own form.
    pub cookie: u64,
    /// The port it came in by; [`PortNo::ANY`] where it is not told.
    pub in_port: PortNo,
    /// The packet, or its first bytes.
    pub data: &'a [u8],
}

impl<'a> PacketInView<'a> {
    /// Reads one whole message, which is a packet-in of either version or of Nicira's form; `None` for other messages.
    ///
    /// # Errors
    /// A packet-in that is malformed, or another version.
    pub fn new(bytes: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        let (header, mut reader) = framed(bytes)?;
        let Some(version) = Version::from_wire(header.version) else {
            return Err(reader.fault(BadRequest::BadVersion));
        };
        let (fixed, in_port) = match header.kind {
            kind::PACKET_IN => {
                let fixed = Fixed::decode(version, &mut reader)?;
                match version {
                    Version::V10 => (fixed, fixed.in_port),
                    Version::V13 => (fixed, in_port(&mut reader, None)?),
                }
            }
            kind::EXPERIMENTER => {
                if reader.len() < 8 || reader.u32()? != VENDOR || reader.u32()? != nicira::PACKET_IN {
                    return Ok(None);
                }
                let (fixed, length) = Fixed::decode_nicira(&mut reader)?;
                (fixed, in_port(&mut reader, Some(length))?)
            }
            _ => return Ok(None),
        };
        if fixed.format == PacketInFormat::Nxm || version == Version::V13 {
            reader.skip(2)?;
        }
        Ok(Some(Self {
            version,
            xid: header.xid,
            format: fixed.format,
            buffer: fixed.buffer,
            total_len: fixed.total_len,
            reason: fixed.reason,
            table: fixed.table,
            cookie: fixed.cookie,
            in_port,
            data: reader.rest(),
        }))
    }
}

/// Skips a match; the ingress port in it. `length` is that of Nicira's form, which has no header.
fn in_port(reader: &mut Reader<'_>, length: Option<u16>) -> Result<PortNo, DecodeError> {
    let (length, padded) = match length {
        Some(length) => (usize::from(length), usize::from(length).next_multiple_of(8)),
        None => {
            let (kind, length) = (reader.u16()?, usize::from(reader.u16()?));
            let Some(inner) = length.checked_sub(4).filter(|_| kind == 1) else { return Err(reader.wrong()) };
            (inner, length.next_multiple_of(8) - 4)
        }
    };
    let fields = reader.take(padded)?;
    let mut fields = Reader::new(&fields[..length], "match", crate::error::BadMatch::BadLen);
    let mut port = PortNo::ANY;
    while !fields.is_empty() {
        let header = fields.u32()?;
        let mut payload = fields.sub((header & 0xff) as usize, "match", crate::error::BadMatch::BadLen)?;
        match header {
            IN_PORT => port = PortNo(payload.u32()?),
            NXM_OF_IN_PORT => port = PortNo::from_v10(payload.u16()?),
            _ => {}
        }
    }
    Ok(port)
}

/// Headers of the ingress port: OXM's and NXM's.
const IN_PORT: u32 = 0x8000_0004;
const NXM_OF_IN_PORT: u32 = (NXM_IN_PORT.0 as u32) << 16 | (NXM_IN_PORT.1 as u32) << 9 | 2;

/// What comes before the match.
#[derive(Debug, Clone, Copy)]
struct Fixed {
    format: PacketInFormat,
    buffer: u32,
    total_len: u16,
    reason: PacketInReason,
    table: u8,
    cookie: u64,
    in_port: PortNo,
}

impl Fixed {
    #[inline]
    fn decode(version: Version, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (buffer, total_len) = (reader.u32()?, reader.u16()?);
        let in_port = match version {
            Version::V10 => PortNo::from_v10(reader.u16()?),
            Version::V13 => PortNo::ANY,
        };
        let reason = reason(reader.u8()?);
        let (table, cookie) = match version {
            Version::V10 => {
                reader.skip(1)?;
                (0, 0)
            }
            Version::V13 => (reader.u8()?, reader.u64()?),
        };
        let format = PacketInFormat::Standard;
        Ok(Self { format, buffer, total_len, reason, table, cookie, in_port })
    }

    /// What follows the vendor's header, and the length of the match.
    fn decode_nicira(reader: &mut Reader<'_>) -> Result<(Self, u16), DecodeError> {
        let fixed = Self {
            format: PacketInFormat::Nxm,
            in_port: PortNo::ANY,
            buffer: reader.u32()?,
            total_len: reader.u16()?,
            reason: reason(reader.u8()?),
            table: reader.u8()?,
            cookie: reader.u64()?,
        };
        let length = reader.u16()?;
        reader.skip(6)?;
        Ok((fixed, length))
    }

    fn with(self, metadata: Vec<Oxm>, data: &[u8]) -> PacketIn {
        PacketIn {
            format: self.format,
            buffer: self.buffer,
            total_len: self.total_len,
            reason: self.reason,
            table: self.table,
            cookie: self.cookie,
            metadata: Match::Fields(metadata),
            data: data.to_vec(),
        }
    }
}

const fn reason(number: u8) -> PacketInReason {
    match number {
        0 => PacketInReason::NoMatch,
        1 => PacketInReason::Action,
        2 => PacketInReason::InvalidTtl,
        other => PacketInReason::Other(other),
    }
}

const fn reason_number(reason: PacketInReason) -> u8 {
    match reason {
        PacketInReason::NoMatch => 0,
        PacketInReason::Action => 1,
        PacketInReason::InvalidTtl => 2,
        PacketInReason::Other(other) => other,
    }
}

pub(super) fn decode_in(version: Version, reader: &mut Reader<'_>) -> Result<PacketIn, DecodeError> {
    let fixed = Fixed::decode(version, reader)?;
    let metadata = match version {
        Version::V10 => vec![Oxm::exact(Field::InPort, fixed.in_port.0.into())],
        Version::V13 => {
            let fields = oxm::decode_match(reader)?;
            reader.skip(2)?;
            fields
        }
    };
    Ok(fixed.with(metadata, reader.rest()))
}

/// What follows the vendor's header.
pub(super) fn decode_nicira_in(reader: &mut Reader<'_>) -> Result<PacketIn, DecodeError> {
    let (fixed, length) = Fixed::decode_nicira(reader)?;
    let fields = oxm::decode_nxm(reader, length)?;
    reader.skip(2)?;
    Ok(fixed.with(fields, reader.rest()))
}

/// Appends a packet-in; returns the message's number.
pub(super) fn encode_in(version: Version, packet: &PacketIn, out: &mut Vec<u8>) -> Result<u8, EncodeError> {
    out.reserve(PACKET_IN_LEN + packet.data.len());
    let nicira = packet.format == PacketInFormat::Nxm;
    if nicira {
        nicira::put_header(nicira::PACKET_IN, out);
    }
    out.u32(packet.buffer);
    out.u16(packet.total_len);
    if version == Version::V10 && !nicira {
        out.port16(packet.in_port().unwrap_or(PortNo::ANY))?;
        out.u8(reason_number(packet.reason));
        out.u8(0);
        out.extend_from_slice(&packet.data);
        return Ok(kind::PACKET_IN);
    }
    out.u8(reason_number(packet.reason));
    out.u8(packet.table);
    out.u64(packet.cookie);
    if nicira {
        let at = out.len();
        out.zeros(8);
        let length = oxm::encode_nxm(&packet.metadata.nicira_fields(), out)?;
        out[at..at + 2].copy_from_slice(&length.to_be_bytes());
    } else {
        oxm::encode_match(&packet.metadata.as_fields(), out)?;
    }
    out.u16(0);
    out.extend_from_slice(&packet.data);
    Ok(if nicira { kind::EXPERIMENTER } else { kind::PACKET_IN })
}

pub(super) fn decode_out(version: Version, reader: &mut Reader<'_>) -> Result<PacketOut, DecodeError> {
    let buffer = reader.u32()?;
    let in_port = port::number(version, reader)?;
    let length = reader.u16()?.into();
    if version == Version::V13 {
        reader.skip(6)?;
    }
    let actions = action::decode_all(version, reader.sub(length, "actions", BadAction::BadLen)?)?;
    Ok(PacketOut { buffer, in_port, actions, data: reader.rest().to_vec() })
}

pub(super) fn encode_out(version: Version, packet: &PacketOut, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.reserve(PACKET_IN_LEN + packet.data.len());
    out.u32(packet.buffer);
    port::put_number(version, packet.in_port, out)?;
    let at = out.len();
    out.zeros(if version == Version::V10 { 2 } else { 8 });
    let start = out.len();
    let about = if packet.data.is_empty() { About::Nothing } else { About::Packet(&packet.data) };
    action::encode_all(version, &packet.actions, about, out)?;
    out.length(start, at, "actions")?;
    out.extend_from_slice(&packet.data);
    Ok(())
}
