//! Lists of actions, and what both versions share of them (OpenFlow 1.0, section 5.2.4; 1.3.5, section 7.2.4).

use super::read::Reader;
use super::translate::Translator;
use super::write::Put;
use super::{DecodeError, EncodeError, action10, action13, nicira_action};
use crate::Version;
use crate::action::Action;
use crate::error::BadAction;
use crate::matching::Match;
use crate::nicira;

/// Type of makers' own actions.
pub(super) const EXPERIMENTER: u16 = 0xffff;
/// Bytes of the shortest action, and what every length is a multiple of.
pub(super) const ACTION_LEN: usize = 8;

/// What is known of the packets that actions are for, where the other version's actions need to know.
#[derive(Debug, Clone, Copy)]
pub(super) enum About<'a> {
    /// Nothing.
    Nothing,
    /// They match that.
    Match(&'a Match),
    /// It is this one.
    Packet(&'a [u8]),
}

/// Actions until the end.
pub(super) fn decode_all(version: Version, mut reader: Reader<'_>) -> Result<Vec<Action>, DecodeError> {
    reader.all(|reader| decode(version, reader))
}

fn decode(version: Version, reader: &mut Reader<'_>) -> Result<Action, DecodeError> {
    let (kind, mut inner) = reader.tlv(ACTION_LEN, ACTION_LEN, "action", BadAction::BadLen)?;
    if kind == EXPERIMENTER {
        return match inner.u32()? {
            nicira::VENDOR => nicira_action::decode(inner).map(Action::Nicira),
            experimenter => Ok(Action::Experimenter { experimenter, data: inner.rest().to_vec() }),
        };
    }
    match version {
        Version::V10 => action10::decode(kind, inner),
        Version::V13 => action13::decode(kind, inner),
    }
}

/// Actions, those of the other version translated.
pub(super) fn encode_all(
    version: Version,
    actions: &[Action],
    about: About<'_>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut translator = Translator::new(about);
    let mut rest = actions;
    while let [first, others @ ..] = rest {
        if encode(version, first, out)? {
            translator.follow(first);
            rest = others;
            continue;
        }
        let (taken, instead) = translator.translate(version, rest)?;
        for action in &instead {
            if !encode(version, action, out)? {
                return Err(EncodeError::Invalid("a translation that is none"));
            }
            translator.follow(action);
        }
        rest = &rest[taken..];
    }
    Ok(())
}

/// Appends an action that the version has itself; whether it has.
#[inline]
fn encode(version: Version, action: &Action, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
    match action {
        Action::Nicira(action) => nicira_action::encode(action, out).map(|()| true),
        Action::Experimenter { experimenter, data } => {
            let start = out.len();
            out.u16(EXPERIMENTER);
            out.u16(0);
            out.u32(*experimenter);
            out.extend_from_slice(data);
            if !(out.len() - start).is_multiple_of(ACTION_LEN) {
                return Err(EncodeError::Invalid("an experimenter's action that does not fill 8-byte words"));
            }
            out.length(start, start + 2, "action").map(|()| true)
        }
        action => match version {
            Version::V10 => action10::encode(action, out),
            Version::V13 => action13::encode(action, out),
        },
    }
}
