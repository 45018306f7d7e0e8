//! Instructions (OpenFlow 1.3.5, section 7.2.5).

use super::action::{self, About};
use super::read::Reader;
use super::write::Put;
use super::{DecodeError, EncodeError};
use crate::Version;
use crate::error::{BadAction, BadInstruction};
use crate::instruction::Instruction;

const GOTO_TABLE: u16 = 1;
const WRITE_METADATA: u16 = 2;
const WRITE_ACTIONS: u16 = 3;
const APPLY_ACTIONS: u16 = 4;
const CLEAR_ACTIONS: u16 = 5;
const METER: u16 = 6;
const EXPERIMENTER: u16 = 0xffff;

/// Bytes of the shortest, and what every length is a multiple of.
const INSTRUCTION_LEN: usize = 8;

/// Instructions until the end.
pub(super) fn decode_all(reader: &mut Reader<'_>) -> Result<Vec<Instruction>, DecodeError> {
    reader.all(decode)
}

fn decode(reader: &mut Reader<'_>) -> Result<Instruction, DecodeError> {
    let (kind, mut inner) =
        reader.tlv(INSTRUCTION_LEN, INSTRUCTION_LEN, "instruction", BadInstruction::BadLen)?;
    let instruction = match kind {
        GOTO_TABLE => {
            let table = inner.u8()?;
            inner.skip(3)?;
            Instruction::GotoTable(table)
        }
        WRITE_METADATA => {
            inner.skip(4)?;
            Instruction::WriteMetadata { value: inner.u64()?, mask: inner.u64()? }
        }
        WRITE_ACTIONS | APPLY_ACTIONS => {
            inner.skip(4)?;
            let actions = action::decode_all(Version::V13, inner.named("actions", BadAction::BadLen))?;
            return Ok(match kind {
                WRITE_ACTIONS => Instruction::WriteActions(actions),
                _ => Instruction::ApplyActions(actions),
            });
        }
        CLEAR_ACTIONS => {
            inner.skip(4)?;
            Instruction::ClearActions
        }
        METER => Instruction::Meter(inner.u32()?),
        EXPERIMENTER => Instruction::Experimenter { experimenter: inner.u32()?, data: inner.rest().to_vec() },
        _ => return Err(inner.fault(BadInstruction::UnknownInst)),
    };
    inner.end()?;
    Ok(instruction)
}

/// Instructions for packets that are known so far.
pub(super) fn encode_all(
    instructions: &[Instruction],
    about: About<'_>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    instructions.iter().try_for_each(|instruction| encode(instruction, about, out))
}

fn encode(instruction: &Instruction, about: About<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let mut put = |kind: u16, length: u16| {
        out.u16(kind);
        out.u16(length);
    };
    match instruction {
        Instruction::GotoTable(table) => {
            put(GOTO_TABLE, 8);
            out.u8(*table);
            out.zeros(3);
        }
        Instruction::WriteMetadata { value, mask } => {
            put(WRITE_METADATA, 24);
            out.u32(0);
            out.u64(*value);
            out.u64(*mask);
        }
        Instruction::WriteActions(actions) | Instruction::ApplyActions(actions) => {
            let apply = matches!(instruction, Instruction::ApplyActions(_));
            put(if apply { APPLY_ACTIONS } else { WRITE_ACTIONS }, 0);
            out.u32(0);
            action::encode_all(Version::V13, actions, about, out)?;
            out.length(start, start + 2, "instruction")?;
        }
        Instruction::ClearActions => {
            put(CLEAR_ACTIONS, 8);
            out.u32(0);
        }
        Instruction::Meter(meter) => {
            put(METER, 8);
            out.u32(*meter);
        }
        Instruction::Experimenter { experimenter, data } => {
            put(EXPERIMENTER, 0);
            out.u32(*experimenter);
            out.extend_from_slice(data);
            if !(out.len() - start).is_multiple_of(INSTRUCTION_LEN) {
                return Err(EncodeError::Invalid(
                    "an experimenter's instruction that does not fill 8-byte words",
                ));
            }
            out.length(start, start + 2, "instruction")?;
        }
    }
    Ok(())
}
