//! Nicira's `learn`: a flow entry made of the packet at hand.

use super::key::ones;
use super::nicira::low_ones;
use super::pipeline::Run;
use super::rule::field_of;
use crate::action::Action;
use crate::flow::{FlowCommand, FlowMod, flags};
use crate::instruction::Instruction;
use crate::matching::Match;
use crate::nicira::{Action as NiciraAction, Learn, LearnDestination, LearnSource, Subfield};
use crate::oxm::Oxm;
use crate::port::PortNo;

/// Entries learned from one packet.
pub const LEARNED_MAX: usize = 16;
/// `NX_LEARN_F_SEND_FLOW_REM`.
const SEND_FLOW_REM: u16 = 1;

/// Bytes as a number, of which the lowest bits count.
fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u128::from(byte))
}

/// The entry; `None` where a field is not known.
pub(super) fn flow(spec: &Learn, run: &Run<'_>) -> Option<FlowMod> {
    let mut fields: Vec<(crate::field::Field, u128, u128)> = Vec::new();
    let mut actions = Vec::new();
    for part in &spec.specs {
        let value = match &part.source {
            &LearnSource::Field(header, offset) => run.read(&Subfield { header, offset, bits: part.bits }),
            LearnSource::Immediate(bytes) => number(bytes) & low_ones(part.bits),
        };
        match part.destination {
            LearnDestination::Match(header, offset) => {
                let field = field_of(header)?;
                let mask = low_ones(part.bits) << offset.min(127) & ones(field);
                let value = value << offset.min(127) & mask;
                match fields.iter_mut().find(|(known, ..)| *known == field) {
                    Some((_, old, seen)) => (*old, *seen) = (*old & !mask | value, *seen | mask),
                    None => fields.push((field, value, mask)),
                }
            }
            LearnDestination::Load(header, offset) => {
                field_of(header)?;
                // At most 64 bits a load.
                let mut done = 0;
                while done < part.bits {
                    let bits = (part.bits - done).min(64);
                    let destination = Subfield { header, offset: offset + done, bits };
                    let value = (value >> done & low_ones(bits)) as u64;
                    actions.push(Action::Nicira(NiciraAction::RegLoad { destination, value }));
                    done += bits;
                }
            }
            LearnDestination::Output => {
                let port = match u16::try_from(value) {
                    Ok(short) => PortNo::from_v10(short),
                    Err(_) => PortNo(u32::try_from(value).ok()?),
                };
                actions.push(Action::output(port));
            }
        }
    }
    // What a field needs comes before it.
    fields.sort_by_key(|(field, ..)| *field);
    let oxm = |(field, value, mask): (crate::field::Field, u128, u128)| {
        if mask == ones(field) { Oxm::exact(field, value) } else { Oxm::masked(field, value, mask) }
    };
    Some(FlowMod {
        cookie: spec.cookie,
        table: spec.table,
        command: FlowCommand::ModifyStrict,
        idle_timeout: spec.idle_timeout,
        hard_timeout: spec.hard_timeout,
        priority: spec.priority,
        flags: if spec.flags & SEND_FLOW_REM != 0 { flags::SEND_FLOW_REM } else { 0 },
        matching: Match::Fields(fields.into_iter().map(oxm).collect()),
        instructions: vec![Instruction::ApplyActions(learned_actions(spec, actions))],
        ..FlowMod::default()
    })
}

/// A learned entry's own timeouts after a FIN come first.
fn learned_actions(spec: &Learn, mut actions: Vec<Action>) -> Vec<Action> {
    let (idle, hard) = (spec.fin_idle_timeout, spec.fin_hard_timeout);
    if idle > 0 || hard > 0 {
        actions.insert(0, Action::Nicira(NiciraAction::FinTimeout { idle, hard }));
    }
    actions
}
