//! Fields on the wire: OXM and NXM entries, and bare headers (OpenFlow 1.3.5, section 7.2.3.2).

use super::read::Reader;
use super::write::{Put, unsayable};
use super::{DecodeError, EncodeError};
use crate::Version;
use crate::error::BadMatch;
use crate::field::{Field, NXM_IN_PORT, WireHeader};
use crate::oxm::Oxm;
use crate::port::PortNo;

/// A number that is no port of 1.0.
const NO_PORT: u32 = 0xffff_0000;
/// Class of experimenters' fields: their maker's number leads the payload.
pub(super) const EXPERIMENTER: u16 = 0xffff;

/// Fields until the end.
pub(super) fn decode_all(mut reader: Reader<'_>) -> Result<Vec<Oxm>, DecodeError> {
    let mut fields = Vec::with_capacity((reader.len() / 8).min(16));
    while !reader.is_empty() {
        fields.push(decode(&mut reader)?);
    }
    Ok(fields)
}

/// One field.
pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Oxm, DecodeError> {
    let header = reader.u32()?;
    let payload = reader.take((header & 0xff) as usize)?;
    Ok(known(header, payload).unwrap_or_else(|| Oxm::Unknown { header, payload: payload.to_vec() }))
}

fn known(header: u32, payload: &[u8]) -> Option<Oxm> {
    let (class, number) = ((header >> 16) as u16, (header >> 9 & 0x7f) as u8);
    let (experimenter, payload) = match class {
        EXPERIMENTER => {
            let (maker, rest) = payload.split_first_chunk()?;
            (Some(u32::from_be_bytes(*maker)), rest)
        }
        _ => (None, payload),
    };
    let masked = header & 0x100 != 0;
    let width = payload.len() >> u32::from(masked);
    let (field, spelling) = Field::from_header(class, number, experimenter, width)?;
    let (value, mask) = payload.split_at(width);
    if (class, number) == NXM_IN_PORT {
        // Its 16 bits are those of 1.0. They cannot be masked.
        let value = PortNo::from_v10(number_of(value) as u16).0.into();
        return (!masked).then_some(Oxm::Known { field, spelling, value, mask: None });
    }
    if masked && mask.len() != width {
        return None;
    }
    Some(Oxm::Known { field, spelling, value: number_of(value), mask: masked.then(|| number_of(mask)) })
}

#[inline]
fn number_of(bytes: &[u8]) -> u128 {
    match *bytes {
        [a] => a.into(),
        [a, b] => u16::from_be_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_be_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f] => u64::from_be_bytes([0, 0, a, b, c, d, e, f]).into(),
        [a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]).into(),
        _ => bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)),
    }
}

/// The header of a field in that spelling: class, number, mask bit, length of the payload.
pub(super) fn header(field: Field, spelling: u8, masked: bool) -> (u32, Option<u32>) {
    let wire = field.wire_header(spelling);
    (with_mask(wire, masked), wire.experimenter)
}

/// With the mask bit, and the length of the mask.
#[inline]
const fn with_mask(wire: WireHeader, masked: bool) -> u32 {
    if masked { (wire.header | 0x100) + wire.width as u32 } else { wire.header }
}

/// One field.
pub(super) fn encode(field: &Oxm, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (field, spelling, value, mask) = match field {
        Oxm::Known { field, spelling, value, mask } => (*field, *spelling, *value, *mask),
        Oxm::Unknown { header, payload } => {
            if payload.len() != (header & 0xff) as usize {
                return Err(EncodeError::Invalid("a field's payload is not as long as its header says"));
            }
            out.u32(*header);
            out.extend_from_slice(payload);
            return Ok(());
        }
    };
    let wire = field.wire_header(spelling);
    let width = wire.width;
    out.u32(with_mask(wire, mask.is_some()));
    if let Some(experimenter) = wire.experimenter {
        out.u32(experimenter);
    }
    if field == Field::InPort && width == 2 {
        return match mask {
            None => out.port16(PortNo(u32::try_from(value).unwrap_or(NO_PORT))),
            Some(_) => Err(unsayable(Version::V10, "a mask of the ingress port")),
        };
    }
    number(value, width, out)?;
    mask.map_or(Ok(()), |mask| number(mask, width, out))
}

/// Writes a value of a field of that many bytes.
#[inline]
fn number(value: u128, width: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if width < 16 && value >> (8 * width) != 0 {
        return Err(EncodeError::Invalid("a value wider than its field"));
    }
    out.extend_from_slice(&value.to_be_bytes()[16 - width..]);
    Ok(())
}

/// A header without payload, as tables' features have them.
pub(super) fn decode_header(reader: &mut Reader<'_>) -> Result<Oxm, DecodeError> {
    let header = reader.u32()?;
    let (class, number) = ((header >> 16) as u16, (header >> 9 & 0x7f) as u8);
    let maker = if class == EXPERIMENTER { reader.take(4)? } else { &[] };
    let masked = header & 0x100 != 0;
    let length = ((header & 0xff) as usize).saturating_sub(maker.len());
    let experimenter = maker.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    if (length & 1 == 0 || !masked)
        && let Some((field, spelling)) =
            Field::from_header(class, number, experimenter, length >> u32::from(masked))
    {
        return Ok(Oxm::Known { field, spelling, value: 0, mask: masked.then_some(0) });
    }
    Ok(Oxm::Unknown { header, payload: maker.to_vec() })
}

/// A header without payload.
pub(super) fn encode_header(field: &Oxm, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match field {
        Oxm::Known { field, spelling, mask, .. } => {
            let (header, experimenter) = header(*field, *spelling, mask.is_some());
            out.u32(header);
            if let Some(experimenter) = experimenter {
                out.u32(experimenter);
            }
        }
        Oxm::Unknown { header, payload } => {
            let maker = if (header >> 16) as u16 == EXPERIMENTER { 4 } else { 0 };
            if payload.len() != maker {
                return Err(EncodeError::Invalid("a bare header with a payload"));
            }
            out.u32(*header);
            out.extend_from_slice(payload);
        }
    }
    Ok(())
}

/// Fields of 1.3's match or of a packet-in, and the padding behind them (`ofp_match`).
pub(super) fn decode_match(reader: &mut Reader<'_>) -> Result<Vec<Oxm>, DecodeError> {
    let mut start = reader.named("match", BadMatch::BadLen);
    let kind = start.u16()?;
    let length = usize::from(start.u16()?);
    if kind != 1 {
        return Err(start.fault(BadMatch::BadType));
    }
    let Some(inner) = length.checked_sub(4) else { return Err(start.wrong()) };
    let padded = length.next_multiple_of(8) - 4;
    let mut all = start.sub(padded, "match", BadMatch::BadLen)?;
    let fields = decode_all(all.sub(inner, "match", BadMatch::BadLen)?)?;
    reader.skip(padded + 4)?;
    Ok(fields)
}

/// The same.
pub(super) fn encode_match(fields: &[Oxm], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.u16(1);
    out.u16(0);
    fields.iter().try_for_each(|field| encode(field, out))?;
    out.length(start, start + 2, "match")?;
    out.pad8(start);
    Ok(())
}

/// Fields of Nicira's match: their length is elsewhere, padding follows.
pub(super) fn decode_nxm(reader: &mut Reader<'_>, length: u16) -> Result<Vec<Oxm>, DecodeError> {
    let length = usize::from(length);
    let mut all = reader.sub(length.next_multiple_of(8), "match", BadMatch::BadLen)?;
    decode_all(all.sub(length, "match", BadMatch::BadLen)?)
}

/// The same; returns their length.
pub(super) fn encode_nxm(fields: &[Oxm], out: &mut Vec<u8>) -> Result<u16, EncodeError> {
    let start = out.len();
    fields.iter().try_for_each(|field| encode(field, out))?;
    let length = out.len() - start;
    out.pad8(start);
    u16::try_from(length).map_err(|_| EncodeError::TooLong {
        what: "match",
        length,
        max: usize::from(u16::MAX),
    })
}
