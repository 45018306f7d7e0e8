//! Nicira's actions (`nx_action_*` of OVS' public header nicira-ext.h).

use super::read::Reader;
use super::write::Put;
use super::{DecodeError, EncodeError, learn, oxm};
use crate::nicira::{Action, Bundle, Subfield};

const RESUBMIT: u16 = 1;
const SET_TUNNEL: u16 = 2;
const SET_QUEUE: u16 = 4;
const POP_QUEUE: u16 = 5;
const REG_MOVE: u16 = 6;
const REG_LOAD: u16 = 7;
const NOTE: u16 = 8;
const SET_TUNNEL64: u16 = 9;
const MULTIPATH: u16 = 10;
const BUNDLE: u16 = 12;
const BUNDLE_LOAD: u16 = 13;
const RESUBMIT_TABLE: u16 = 14;
const OUTPUT_REG: u16 = 15;
const LEARN: u16 = 16;
const EXIT: u16 = 17;
const DEC_TTL: u16 = 18;
const FIN_TIMEOUT: u16 = 19;
const CONTROLLER: u16 = 20;
const DEC_TTL_CONTROLLERS: u16 = 21;
const PUSH_MPLS: u16 = 23;
const POP_MPLS: u16 = 24;
const SET_MPLS_TTL: u16 = 25;
const DEC_MPLS_TTL: u16 = 26;
const STACK_PUSH: u16 = 27;
const STACK_POP: u16 = 28;
const SET_MPLS_LABEL: u16 = 30;
const SET_MPLS_TC: u16 = 31;
const REG_LOAD2: u16 = 33;

/// Bits that a number of bits less one takes, the first bit's number being above.
const BITS_SHIFT: u32 = 6;
/// Highest number of a first bit.
const OFFSET_MAX: u16 = 0x3ff;

/// What follows the vendor.
pub(super) fn decode(mut inner: Reader<'_>) -> Result<Action, DecodeError> {
    let subtype = inner.u16()?;
    let (action, padding) = match subtype {
        RESUBMIT => (Action::Resubmit(inner.u16()?), 4),
        RESUBMIT_TABLE => (Action::ResubmitTable { port: inner.u16()?, table: inner.u8()? }, 3),
        SET_TUNNEL => {
            inner.skip(2)?;
            (Action::SetTunnel(inner.u32()?), 0)
        }
        SET_TUNNEL64 => {
            inner.skip(6)?;
            (Action::SetTunnel64(inner.u64()?), 0)
        }
        SET_QUEUE => {
            inner.skip(2)?;
            (Action::SetQueue(inner.u32()?), 0)
        }
        POP_QUEUE => (Action::PopQueue, 6),
        REG_MOVE => (reg_move(&mut inner)?, 0),
        REG_LOAD => (Action::RegLoad { destination: packed_subfield(&mut inner)?, value: inner.u64()? }, 0),
        REG_LOAD2 => {
            let field = oxm::decode(&mut inner)?;
            (Action::RegLoad2(field), inner.len())
        }
        NOTE => (Action::Note(inner.rest().to_vec()), 0),
        MULTIPATH => (multipath(&mut inner)?, 0),
        BUNDLE | BUNDLE_LOAD => {
            let bundle = bundle(&mut inner)?;
            let action = if subtype == BUNDLE { Action::Bundle(bundle) } else { Action::BundleLoad(bundle) };
            (action, inner.len())
        }
        OUTPUT_REG => {
            let source = packed_subfield(&mut inner)?;
            (Action::OutputReg { source, max_len: inner.u16()? }, 6)
        }
        LEARN => (Action::Learn(learn::decode(&mut inner)?), 0),
        EXIT => (Action::Exit, 6),
        DEC_TTL => (Action::DecTtl, 6),
        DEC_TTL_CONTROLLERS => {
            let count = inner.u16()?;
            inner.skip(4)?;
            let controllers = (0..count).map(|_| inner.u16()).collect::<Result<_, _>>()?;
            (Action::DecTtlControllers(controllers), inner.len())
        }
        FIN_TIMEOUT => (Action::FinTimeout { idle: inner.u16()?, hard: inner.u16()? }, 2),
        CONTROLLER => {
            let (max_len, controller, reason) = (inner.u16()?, inner.u16()?, inner.u8()?);
            (Action::Controller { max_len, controller, reason }, 1)
        }
        PUSH_MPLS => (Action::PushMpls(inner.u16()?), 4),
        POP_MPLS => (Action::PopMpls(inner.u16()?), 4),
        SET_MPLS_LABEL => {
            inner.skip(2)?;
            (Action::SetMplsLabel(inner.u32()?), 0)
        }
        SET_MPLS_TC => (Action::SetMplsTc(inner.u8()?), 5),
        SET_MPLS_TTL => (Action::SetMplsTtl(inner.u8()?), 5),
        DEC_MPLS_TTL => (Action::DecMplsTtl, 6),
        STACK_PUSH => (Action::StackPush(stack(&mut inner)?), 6),
        STACK_POP => (Action::StackPop(stack(&mut inner)?), 6),
        subtype => (Action::Other { subtype, data: inner.rest().to_vec() }, 0),
    };
    inner.skip(padding)?;
    inner.end()?;
    Ok(action)
}

fn reg_move(inner: &mut Reader<'_>) -> Result<Action, DecodeError> {
    let (bits, from, to) = (inner.u16()?, inner.u16()?, inner.u16()?);
    Ok(Action::RegMove {
        source: Subfield { header: inner.u32()?, offset: from, bits },
        destination: Subfield { header: inner.u32()?, offset: to, bits },
    })
}

fn multipath(inner: &mut Reader<'_>) -> Result<Action, DecodeError> {
    let (fields, basis) = (inner.u16()?, inner.u16()?);
    inner.skip(2)?;
    let (algorithm, max_link, argument) = (inner.u16()?, inner.u16()?, inner.u32()?);
    inner.skip(2)?;
    let destination = packed_subfield(inner)?;
    Ok(Action::Multipath { fields, basis, algorithm, max_link, argument, destination })
}

fn bundle(inner: &mut Reader<'_>) -> Result<Bundle, DecodeError> {
    let (algorithm, fields, basis) = (inner.u16()?, inner.u16()?, inner.u16()?);
    let port_type = inner.u32()?;
    let count = inner.u16()?;
    let mut place = *inner;
    let used = place.take(6)?.iter().any(|byte| *byte != 0);
    let destination = packed_subfield(inner)?;
    inner.skip(4)?;
    let ports = (0..count).map(|_| inner.u16()).collect::<Result<_, _>>()?;
    Ok(Bundle { algorithm, fields, basis, port_type, destination: used.then_some(destination), ports })
}

/// `offset`, header, `n_bits`.
fn stack(inner: &mut Reader<'_>) -> Result<Subfield, DecodeError> {
    let (offset, header, bits) = (inner.u16()?, inner.u32()?, inner.u16()?);
    Ok(Subfield { header, offset, bits })
}

/// `ofs_nbits`, header.
fn packed_subfield(inner: &mut Reader<'_>) -> Result<Subfield, DecodeError> {
    let packed = inner.u16()?;
    let (offset, bits) = (packed >> BITS_SHIFT, (packed & 0x3f) + 1);
    Ok(Subfield { header: inner.u32()?, offset, bits })
}

fn put_packed_subfield(subfield: &Subfield, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if subfield.offset > OFFSET_MAX || !(1..=1 << BITS_SHIFT).contains(&subfield.bits) {
        return Err(EncodeError::Invalid("a range of bits that is none of 1 to 64 from bit 0 to 1023 on"));
    }
    out.u16(subfield.offset << BITS_SHIFT | (subfield.bits - 1));
    out.u32(subfield.header);
    Ok(())
}

pub(super) fn encode(action: &Action, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.vendor(0, subtype(action));
    match action {
        Action::Resubmit(port) => out.u16(*port),
        Action::ResubmitTable { port, table } => {
            out.u16(*port);
            out.u8(*table);
        }
        Action::SetTunnel(number) | Action::SetQueue(number) | Action::SetMplsLabel(number) => {
            out.u16(0);
            out.u32(*number);
        }
        Action::SetTunnel64(number) => {
            out.zeros(6);
            out.u64(*number);
        }
        Action::RegMove { source, destination } => {
            if source.bits != destination.bits {
                return Err(EncodeError::Invalid("a move of bits to a range of another size"));
            }
            [source.bits, source.offset, destination.offset].iter().for_each(|number| out.u16(*number));
            out.u32(source.header);
            out.u32(destination.header);
        }
        Action::RegLoad { destination, value } => {
            put_packed_subfield(destination, out)?;
            out.u64(*value);
        }
        Action::RegLoad2(field) => oxm::encode(field, out)?,
        Action::Note(bytes) | Action::Other { data: bytes, .. } => {
            out.extend_from_slice(bytes);
            if !(out.len() - start).is_multiple_of(8) {
                return Err(EncodeError::Invalid("an action of Nicira's that does not fill 8-byte words"));
            }
        }
        Action::Multipath { fields, basis, algorithm, max_link, argument, destination } => {
            [*fields, *basis, 0, *algorithm, *max_link].iter().for_each(|number| out.u16(*number));
            out.u32(*argument);
            out.u16(0);
            put_packed_subfield(destination, out)?;
        }
        Action::Bundle(bundle) | Action::BundleLoad(bundle) => put_bundle(bundle, out)?,
        Action::OutputReg { source, max_len } => {
            put_packed_subfield(source, out)?;
            out.u16(*max_len);
            out.zeros(6);
        }
        Action::Learn(action) => learn::encode(action, out)?,
        Action::DecTtlControllers(controllers) => {
            put_count(controllers.len(), out)?;
            out.u32(0);
            controllers.iter().for_each(|controller| out.u16(*controller));
        }
        Action::FinTimeout { idle, hard } => {
            out.u16(*idle);
            out.u16(*hard);
        }
        Action::Controller { max_len, controller, reason } => {
            out.u16(*max_len);
            out.u16(*controller);
            out.u8(*reason);
        }
        Action::PushMpls(ethertype) | Action::PopMpls(ethertype) => out.u16(*ethertype),
        Action::SetMplsTc(number) | Action::SetMplsTtl(number) => out.u8(*number),
        Action::StackPush(subfield) | Action::StackPop(subfield) => {
            out.u16(subfield.offset);
            out.u32(subfield.header);
            out.u16(subfield.bits);
            out.zeros(6);
        }
        Action::PopQueue | Action::Exit | Action::DecTtl | Action::DecMplsTtl => {}
    }
    out.pad8(start);
    out.length(start, start + 2, "action")
}

fn put_bundle(bundle: &Bundle, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    [bundle.algorithm, bundle.fields, bundle.basis].iter().for_each(|number| out.u16(*number));
    out.u32(bundle.port_type);
    put_count(bundle.ports.len(), out)?;
    match &bundle.destination {
        Some(destination) => put_packed_subfield(destination, out)?,
        None => out.zeros(6),
    }
    out.u32(0);
    bundle.ports.iter().for_each(|port| out.u16(*port));
    Ok(())
}

fn put_count(count: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let max = usize::from(u16::MAX);
    let short =
        u16::try_from(count).map_err(|_| EncodeError::TooLong { what: "action", length: count, max })?;
    out.u16(short);
    Ok(())
}

const fn subtype(action: &Action) -> u16 {
    match action {
        Action::Resubmit(_) => RESUBMIT,
        Action::ResubmitTable { .. } => RESUBMIT_TABLE,
        Action::SetTunnel(_) => SET_TUNNEL,
        Action::SetTunnel64(_) => SET_TUNNEL64,
        Action::SetQueue(_) => SET_QUEUE,
        Action::PopQueue => POP_QUEUE,
        Action::RegMove { .. } => REG_MOVE,
        Action::RegLoad { .. } => REG_LOAD,
        Action::RegLoad2(_) => REG_LOAD2,
        Action::Note(_) => NOTE,
        Action::Multipath { .. } => MULTIPATH,
        Action::Bundle(_) => BUNDLE,
        Action::BundleLoad(_) => BUNDLE_LOAD,
        Action::OutputReg { .. } => OUTPUT_REG,
        Action::Learn(_) => LEARN,
        Action::Exit => EXIT,
        Action::DecTtl => DEC_TTL,
        Action::DecTtlControllers(_) => DEC_TTL_CONTROLLERS,
        Action::FinTimeout { .. } => FIN_TIMEOUT,
        Action::Controller { .. } => CONTROLLER,
        Action::PushMpls(_) => PUSH_MPLS,
        Action::PopMpls(_) => POP_MPLS,
        Action::SetMplsLabel(_) => SET_MPLS_LABEL,
        Action::SetMplsTc(_) => SET_MPLS_TC,
        Action::SetMplsTtl(_) => SET_MPLS_TTL,
        Action::DecMplsTtl => DEC_MPLS_TTL,
        Action::StackPush(_) => STACK_PUSH,
        Action::StackPop(_) => STACK_POP,
        Action::Other { subtype, .. } => *subtype,
    }
}
