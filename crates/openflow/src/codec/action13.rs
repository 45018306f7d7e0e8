//! Actions of 1.3 (OpenFlow 1.3.5, section 7.2.4).

use super::read::Reader;
use super::write::Put;
use super::{DecodeError, EncodeError, oxm};
use crate::action::Action;
use crate::error::BadAction;
use crate::port::PortNo;

const OUTPUT: u16 = 0;
const COPY_TTL_OUT: u16 = 11;
const COPY_TTL_IN: u16 = 12;
const SET_MPLS_TTL: u16 = 15;
const DEC_MPLS_TTL: u16 = 16;
const PUSH_VLAN: u16 = 17;
const POP_VLAN: u16 = 18;
const PUSH_MPLS: u16 = 19;
const POP_MPLS: u16 = 20;
const SET_QUEUE: u16 = 21;
const GROUP: u16 = 22;
const SET_NW_TTL: u16 = 23;
const DEC_NW_TTL: u16 = 24;
const SET_FIELD: u16 = 25;
const PUSH_PBB: u16 = 26;
const POP_PBB: u16 = 27;

/// What follows type and length.
pub(super) fn decode(kind: u16, mut inner: Reader<'_>) -> Result<Action, DecodeError> {
    let (action, padding) = match kind {
        OUTPUT => (Action::Output { port: PortNo(inner.u32()?), max_len: inner.u16()? }, 6),
        COPY_TTL_OUT => (Action::CopyTtlOut, 4),
        COPY_TTL_IN => (Action::CopyTtlIn, 4),
        SET_MPLS_TTL => (Action::SetMplsTtl(inner.u8()?), 3),
        DEC_MPLS_TTL => (Action::DecMplsTtl, 4),
        PUSH_VLAN => (Action::PushVlan(inner.u16()?), 2),
        POP_VLAN => (Action::PopVlan, 4),
        PUSH_MPLS => (Action::PushMpls(inner.u16()?), 2),
        POP_MPLS => (Action::PopMpls(inner.u16()?), 2),
        SET_QUEUE => (Action::SetQueue(inner.u32()?), 0),
        GROUP => (Action::Group(inner.u32()?), 0),
        SET_NW_TTL => (Action::SetNwTtl(inner.u8()?), 3),
        DEC_NW_TTL => (Action::DecNwTtl, 4),
        SET_FIELD => {
            let length = inner.len();
            inner = inner.named("field to set", BadAction::BadSetLen);
            let field = oxm::decode(&mut inner)?;
            // Padded to a multiple of eight, and no further.
            if (length - inner.len() + 4).next_multiple_of(8) != length + 4 {
                return Err(inner.wrong());
            }
            (Action::SetField(field), inner.len())
        }
        PUSH_PBB => (Action::PushPbb(inner.u16()?), 2),
        POP_PBB => (Action::PopPbb, 4),
        _ => return Err(inner.fault(BadAction::BadType)),
    };
    inner.skip(padding)?;
    inner.end()?;
    Ok(action)
}

/// Appends an action of 1.3; whether it is one.
#[inline]
pub(super) fn encode(action: &Action, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
    match action {
        Action::Output { port, max_len } => {
            out.u16(OUTPUT);
            out.u16(16);
            out.u32(port.0);
            out.u16(*max_len);
            out.zeros(6);
        }
        Action::SetField(field) => {
            let start = out.len();
            out.u16(SET_FIELD);
            out.u16(0);
            oxm::encode(field, out)?;
            out.pad8(start);
            out.length(start, start + 2, "field to set")?;
        }
        Action::CopyTtlOut => plain(COPY_TTL_OUT, out),
        Action::CopyTtlIn => plain(COPY_TTL_IN, out),
        Action::DecMplsTtl => plain(DEC_MPLS_TTL, out),
        Action::PopVlan => plain(POP_VLAN, out),
        Action::DecNwTtl => plain(DEC_NW_TTL, out),
        Action::PopPbb => plain(POP_PBB, out),
        Action::SetMplsTtl(ttl) => number(SET_MPLS_TTL, u32::from(*ttl) << 24, out),
        Action::SetNwTtl(ttl) => number(SET_NW_TTL, u32::from(*ttl) << 24, out),
        Action::PushVlan(ethertype) => number(PUSH_VLAN, u32::from(*ethertype) << 16, out),
        Action::PushMpls(ethertype) => number(PUSH_MPLS, u32::from(*ethertype) << 16, out),
        Action::PopMpls(ethertype) => number(POP_MPLS, u32::from(*ethertype) << 16, out),
        Action::PushPbb(ethertype) => number(PUSH_PBB, u32::from(*ethertype) << 16, out),
        Action::SetQueue(queue) => number(SET_QUEUE, *queue, out),
        Action::Group(group) => number(GROUP, *group, out),
        _ => return Ok(false),
    }
    Ok(true)
}

fn plain(kind: u16, out: &mut Vec<u8>) {
    number(kind, 0, out);
}

/// An action of eight bytes.
fn number(kind: u16, argument: u32, out: &mut Vec<u8>) {
    out.u16(kind);
    out.u16(8);
    out.u32(argument);
}
