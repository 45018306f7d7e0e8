//! Nicira's `learn` action: a flow made of the packet (`nx_action_learn`).

use super::read::Reader;
use super::write::Put;
use super::{DecodeError, EncodeError};
use crate::error::BadAction;
use crate::nicira::{Learn, LearnDestination, LearnSource, LearnSpec};

// A part's first 16 bits: how many bits, where they go, where they come from.
const BITS: u16 = 0x07ff;
const DESTINATION: u16 = 0x1800;
const TO_MATCH: u16 = 0 << 11;
const TO_LOAD: u16 = 1 << 11;
const TO_OUTPUT: u16 = 2 << 11;
const IMMEDIATE: u16 = 1 << 13;
const RESERVED: u16 = 0xc000;

/// What follows the subtype.
pub(super) fn decode(inner: &mut Reader<'_>) -> Result<Learn, DecodeError> {
    let mut learn = Learn {
        idle_timeout: inner.u16()?,
        hard_timeout: inner.u16()?,
        priority: inner.u16()?,
        cookie: inner.u64()?,
        flags: inner.u16()?,
        table: inner.u8()?,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        specs: Vec::new(),
    };
    inner.skip(1)?;
    learn.fin_idle_timeout = inner.u16()?;
    learn.fin_hard_timeout = inner.u16()?;
    while inner.len() >= 2 {
        let header = inner.u16()?;
        if header == 0 {
            break;
        }
        learn.specs.push(decode_spec(header, inner)?);
    }
    // Padding.
    if inner.rest().iter().any(|byte| *byte != 0) {
        return Err(inner.fault(BadAction::BadArgument));
    }
    Ok(learn)
}

fn decode_spec(header: u16, inner: &mut Reader<'_>) -> Result<LearnSpec, DecodeError> {
    let bits = header & BITS;
    if header & RESERVED != 0 {
        return Err(inner.fault(BadAction::BadArgument));
    }
    let source = if header & IMMEDIATE == 0 {
        LearnSource::Field(inner.u32()?, inner.u16()?)
    } else {
        LearnSource::Immediate(inner.take(immediate_len(bits))?.to_vec())
    };
    let destination = match header & DESTINATION {
        TO_MATCH => LearnDestination::Match(inner.u32()?, inner.u16()?),
        TO_LOAD => LearnDestination::Load(inner.u32()?, inner.u16()?),
        TO_OUTPUT => LearnDestination::Output,
        _ => return Err(inner.fault(BadAction::BadArgument)),
    };
    Ok(LearnSpec { source, destination, bits })
}

/// Bytes that so many bits take.
fn immediate_len(bits: u16) -> usize {
    2 * usize::from(bits.div_ceil(16))
}

pub(super) fn encode(learn: &Learn, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    [learn.idle_timeout, learn.hard_timeout, learn.priority].iter().for_each(|number| out.u16(*number));
    out.u64(learn.cookie);
    out.u16(learn.flags);
    out.u8(learn.table);
    out.u8(0);
    out.u16(learn.fin_idle_timeout);
    out.u16(learn.fin_hard_timeout);
    learn.specs.iter().try_for_each(|spec| encode_spec(spec, out))
}

fn encode_spec(spec: &LearnSpec, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (source, length) = match &spec.source {
        LearnSource::Field(..) => (0, immediate_len(spec.bits)),
        LearnSource::Immediate(bytes) => (IMMEDIATE, bytes.len()),
    };
    let destination = match spec.destination {
        LearnDestination::Match(..) => TO_MATCH,
        LearnDestination::Load(..) => TO_LOAD,
        LearnDestination::Output => TO_OUTPUT,
    };
    let header = source | destination | spec.bits;
    if spec.bits > BITS || header == 0 || length != immediate_len(spec.bits) {
        return Err(EncodeError::Invalid("a part of a learned flow with a wrong number of bits"));
    }
    out.u16(header);
    match &spec.source {
        LearnSource::Field(header, offset) => {
            out.u32(*header);
            out.u16(*offset);
        }
        LearnSource::Immediate(bytes) => out.extend_from_slice(bytes),
    }
    if let LearnDestination::Match(header, offset) | LearnDestination::Load(header, offset) = spec.destination
    {
        out.u32(header);
        out.u16(offset);
    }
    Ok(())
}
