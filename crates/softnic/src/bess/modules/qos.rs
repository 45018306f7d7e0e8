//! `Qos`.

use super::field::{Order, binary, fields, gate, values};
use crate::bess::class::{Argument, Class, Setup, Told, commands, decode, told};
use crate::bess::pb::qos_command_add_arg::OptionalDeductLen;
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{Meter, Qos, QosAction, QosError, QosRule};

pub(super) const CLASS: Class = Class {
    name: "Qos",
    help: "finds the rule of a packet by some fields, and meters it",
    template: "qos",
    arg: "QosArg",
    build,
    commands: commands![
        Qos;
        "add" => add,
        "delete" => delete,
        "clear" => clear,
        "set_default_gate" => set_default_gate,
    ],
};

/// The gate of a rule that meters.
const METER: u64 = 0;
/// Bytes of a packet that do not count when the client does not say: its Ethernet header.
const DEDUCTED: i64 = 14;

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::QosArg = decode(argument)?;
    let entries = match arg.entries {
        0 => Qos::ENTRIES,
        entries => usize::try_from(entries)
            .ok()
            .filter(|entries| *entries <= Qos::ENTRIES_MAX)
            .ok_or_else(|| Failure::no_memory(format!("{entries} entries: at most {}", Qos::ENTRIES_MAX)))?,
    };
    let (fields, values) = (fields(&arg.fields, &[])?, fields(&arg.values, &[])?);
    Ok(Box::new(Qos::new(fields, values, entries, setup.seed())))
}

/// Numbers have the lowest byte first, in packets as well.
fn add(module: &mut Qos, arg: pb::QosCommandAddArg) -> Result<(), Failure> {
    let fields = values(module.fields(), &arg.fields, |_| Order::Little)?;
    let written = values(module.values(), &arg.values, |_| Order::Little)?;
    let action = if arg.gate == METER {
        let OptionalDeductLen::DeductLen(deducted) =
            arg.optional_deduct_len.unwrap_or(OptionalDeductLen::DeductLen(DEDUCTED));
        QosAction::Meter(Meter {
            committed: arg.cir,
            peak: arg.pir,
            committed_burst: arg.cbs,
            peak_burst: arg.pbs,
            deducted,
        })
    } else {
        QosAction::Gate(gate(arg.gate)?)
    };
    module.add(&fields, &written, action).map_err(|error| match error {
        QosError::Full(_) => Failure::no_space(error.to_string()),
        _ => Failure::refused(error),
    })
}

/// To delete what is not there is no error, as in BESS.
fn delete(module: &mut Qos, arg: pb::QosCommandDeleteArg) -> Result<(), Failure> {
    let fields = values(module.fields(), &arg.fields, |_| Order::Little)?;
    module.delete(&fields).map(drop).map_err(Failure::refused)
}

fn clear(module: &mut Qos, _: pb::EmptyArg) -> Result<(), Failure> {
    module.clear();
    Ok(())
}

fn set_default_gate(module: &mut Qos, arg: pb::QosCommandSetDefaultGateArg) -> Result<(), Failure> {
    module.set_default_gate(gate(arg.gate)?);
    Ok(())
}

/// Meters begin with full bursts.
pub(super) fn save(module: &mut Qos) -> Vec<Told> {
    let add = |rule: QosRule| {
        let mut add = pb::QosCommandAddArg {
            fields: binary(rule.fields),
            values: binary(rule.values),
            ..Default::default()
        };
        match rule.action {
            QosAction::Gate(gate) => add.gate = gate.into(),
            QosAction::Meter(Meter { committed, peak, committed_burst, peak_burst, deducted }) => {
                (add.cir, add.pir, add.cbs, add.pbs) = (committed, peak, committed_burst, peak_burst);
                add.optional_deduct_len = Some(OptionalDeductLen::DeductLen(deducted));
            }
        }
        told("add", &add)
    };
    let gate = pb::QosCommandSetDefaultGateArg { gate: module.default_gate().into() };
    let mut rules: Vec<_> = module.rules().collect();
    rules.sort_unstable_by(|a, b| a.fields.cmp(&b.fields));
    rules.into_iter().map(add).chain([told("set_default_gate", &gate)]).collect()
}
