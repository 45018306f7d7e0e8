//! Actions of 1.0 (OpenFlow 1.0, section 5.2.4).

use super::read::Reader;
use super::write::Put;
use super::{DecodeError, EncodeError};
use crate::action::Action;
use crate::error::BadAction;
use crate::port::PortNo;

const OUTPUT: u16 = 0;
const SET_VLAN_VID: u16 = 1;
const SET_VLAN_PCP: u16 = 2;
const STRIP_VLAN: u16 = 3;
const SET_DL_SRC: u16 = 4;
const SET_DL_DST: u16 = 5;
const SET_NW_SRC: u16 = 6;
const SET_NW_DST: u16 = 7;
const SET_NW_TOS: u16 = 8;
const SET_TP_SRC: u16 = 9;
const SET_TP_DST: u16 = 10;
const ENQUEUE: u16 = 11;

/// What follows type and length.
pub(super) fn decode(kind: u16, mut inner: Reader<'_>) -> Result<Action, DecodeError> {
    let (action, padding) = match kind {
        OUTPUT => (Action::Output { port: PortNo::from_v10(inner.u16()?), max_len: inner.u16()? }, 0),
        SET_VLAN_VID => (Action::SetVlanVid(inner.u16()?), 2),
        SET_VLAN_PCP => (Action::SetVlanPcp(inner.u8()?), 3),
        STRIP_VLAN => (Action::StripVlan, 4),
        SET_DL_SRC => (Action::SetDlSrc(inner.mac()?), 6),
        SET_DL_DST => (Action::SetDlDst(inner.mac()?), 6),
        SET_NW_SRC => (Action::SetNwSrc(inner.ipv4()?), 0),
        SET_NW_DST => (Action::SetNwDst(inner.ipv4()?), 0),
        SET_NW_TOS => (Action::SetNwTos(inner.u8()?), 3),
        SET_TP_SRC => (Action::SetTpSrc(inner.u16()?), 2),
        SET_TP_DST => (Action::SetTpDst(inner.u16()?), 2),
        ENQUEUE => {
            let port = PortNo::from_v10(inner.u16()?);
            inner.skip(6)?;
            (Action::Enqueue { port, queue: inner.u32()? }, 0)
        }
        _ => return Err(inner.fault(BadAction::BadType)),
    };
    inner.skip(padding)?;
    inner.end()?;
    Ok(action)
}

/// Appends an action of 1.0; whether it is one.
pub(super) fn encode(action: &Action, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
    let mut start = |kind: u16, length: u16| {
        out.u16(kind);
        out.u16(length);
    };
    match action {
        Action::Output { port, max_len } => {
            start(OUTPUT, 8);
            out.port16(*port)?;
            out.u16(*max_len);
        }
        Action::SetVlanVid(vid) => {
            start(SET_VLAN_VID, 8);
            out.u16(*vid);
            out.u16(0);
        }
        Action::SetVlanPcp(pcp) => {
            start(SET_VLAN_PCP, 8);
            out.u8(*pcp);
            out.zeros(3);
        }
        Action::StripVlan => {
            start(STRIP_VLAN, 8);
            out.u32(0);
        }
        Action::SetDlSrc(address) => {
            start(SET_DL_SRC, 16);
            out.extend_from_slice(&address.0);
            out.zeros(6);
        }
        Action::SetDlDst(address) => {
            start(SET_DL_DST, 16);
            out.extend_from_slice(&address.0);
            out.zeros(6);
        }
        Action::SetNwSrc(address) => {
            start(SET_NW_SRC, 8);
            out.extend_from_slice(&address.octets());
        }
        Action::SetNwDst(address) => {
            start(SET_NW_DST, 8);
            out.extend_from_slice(&address.octets());
        }
        Action::SetNwTos(tos) => {
            start(SET_NW_TOS, 8);
            out.u8(*tos);
            out.zeros(3);
        }
        Action::SetTpSrc(port) => {
            start(SET_TP_SRC, 8);
            out.u16(*port);
            out.u16(0);
        }
        Action::SetTpDst(port) => {
            start(SET_TP_DST, 8);
            out.u16(*port);
            out.u16(0);
        }
        Action::Enqueue { port, queue } => {
            start(ENQUEUE, 16);
            out.port16(*port)?;
            out.zeros(6);
            out.u32(*queue);
        }
        _ => return Ok(false),
    }
    Ok(true)
}
