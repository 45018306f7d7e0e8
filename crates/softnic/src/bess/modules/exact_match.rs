//! `ExactMatch`.

use super::field::{Order, binary, fields, gate, values};
use crate::bess::class::{Argument, Class, Setup, Told, commands, decode, told};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{ENTRIES_MAX, ExactMatch, ExactMatchError};

/// Differences from BESS: a mask given as bytes is taken byte for byte, where BESS turns that of a packet's field round;
/// a rule's bits outside of the masks are cleared, where such a rule never matches in BESS; a full table is an error.
pub(super) const CLASS: Class = Class {
    name: "ExactMatch",
    help: "sends packets to gates by the exact values of some fields",
    template: "em",
    arg: "ExactMatchArg",
    build,
    commands: commands![ExactMatch;
        "get_initial_arg" => INITIAL,
        "get_runtime_config" => get_runtime_config,
        "set_runtime_config" => set_runtime_config,
        "add" => add,
        "delete" => delete,
        "clear" => clear,
        "set_default_gate" => set_default_gate,
    ],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::ExactMatchArg = decode(argument)?;
    let entries = match arg.entries {
        0 => None,
        more => Some(
            usize::try_from(more)
                .ok()
                .filter(|entries| *entries <= ENTRIES_MAX)
                .ok_or_else(|| Failure::no_memory(format!("{more} entries: at most {ENTRIES_MAX}")))?,
        ),
    };
    let (fields, values) = (fields(&arg.fields, &arg.masks)?, fields(&arg.values, &arg.masksv)?);
    Ok(Box::new(ExactMatch::new(fields, values, entries, setup.seed())))
}

fn add(module: &mut ExactMatch, arg: pb::ExactMatchCommandAddArg) -> Result<(), Failure> {
    let gate = gate(arg.gate)?;
    if arg.fields.is_empty() {
        return Err(Failure::invalid("'fields' must be a list"));
    }
    if arg.values.len() != module.values().len() {
        let (wanted, given) = (module.values().len(), arg.values.len());
        return Err(Failure::invalid(format!(
            "rule has incorrect number of values. Need {wanted}, has {given}"
        )));
    }
    let fields = values(module.fields(), &arg.fields, Order::of)?;
    let written = values(module.values(), &arg.values, Order::of)?;
    Ok(module.add(&fields, &written, gate)?)
}

fn delete(module: &mut ExactMatch, arg: pb::ExactMatchCommandDeleteArg) -> Result<(), Failure> {
    if arg.fields.is_empty() {
        return Err(Failure::invalid("argument must be a list"));
    }
    let fields = values(module.fields(), &arg.fields, Order::of)?;
    Ok(module.delete(&fields)?)
}

fn clear(module: &mut ExactMatch, _: pb::EmptyArg) -> Result<(), Failure> {
    module.clear();
    Ok(())
}

fn set_default_gate(
    module: &mut ExactMatch,
    arg: pb::ExactMatchCommandSetDefaultGateArg,
) -> Result<(), Failure> {
    module.set_default_gate(gate(arg.gate)?);
    Ok(())
}

fn get_runtime_config(module: &mut ExactMatch, _: pb::EmptyArg) -> Result<pb::ExactMatchConfig, Failure> {
    Ok(config(module))
}

fn config(module: &ExactMatch) -> pb::ExactMatchConfig {
    let rules = module.rules().into_iter().map(|rule| pb::ExactMatchCommandAddArg {
        gate: rule.gate.into(),
        fields: binary(rule.fields),
        values: binary(rule.values),
    });
    pb::ExactMatchConfig { default_gate: module.default_gate().into(), rules: rules.collect() }
}

/// The whole of it, or nothing changes.
fn set_runtime_config(module: &mut ExactMatch, arg: pb::ExactMatchConfig) -> Result<(), Failure> {
    let mut new = module.emptied();
    new.set_default_gate(gate(arg.default_gate)?);
    arg.rules.into_iter().try_for_each(|rule| add(&mut new, rule))?;
    *module = new;
    Ok(())
}

impl From<ExactMatchError> for Failure {
    fn from(error: ExactMatchError) -> Self {
        let message = error.to_string();
        match error {
            ExactMatchError::Fields(_) | ExactMatchError::Values(_) => Self::invalid(message),
            ExactMatchError::Full { .. } => Self::no_space(message),
            ExactMatchError::NoRule => Self::not_found(message),
        }
    }
}

pub(super) fn save(module: &mut ExactMatch) -> Vec<Told> {
    vec![told("set_runtime_config", &config(module))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::Rig;
    use crate::modules::{Field, Fields};

    fn int(number: u64) -> pb::FieldData {
        pb::FieldData { encoding: Some(pb::field_data::Encoding::ValueInt(number)) }
    }

    #[test]
    fn a_configuration_reads_back_in_order_and_restores() {
        let fields = vec![Field::attribute("babylon5", 2), Field::at(10, 1)];
        let mut module = ExactMatch::new(Fields::new(fields).unwrap(), Fields::default(), None, 1);
        let rule = |gate, bytes: [&[u8]; 2]| pb::ExactMatchCommandAddArg {
            gate,
            fields: binary(bytes.map(<[u8]>::to_vec).to_vec()),
            values: Vec::new(),
        };
        let rules = vec![rule(1, [&[0x88, 0x80], &[3]]), rule(2, [&[0x77, 0x70], &[5]])];
        rules.iter().rev().for_each(|rule| add(&mut module, rule.clone()).unwrap());
        set_default_gate(&mut module, pb::ExactMatchCommandSetDefaultGateArg { gate: 3 }).unwrap();
        let config = get_runtime_config(&mut module, pb::EmptyArg {}).unwrap();
        assert_eq!(config, pb::ExactMatchConfig { default_gate: 3, rules });
        clear(&mut module, pb::EmptyArg {}).unwrap();
        set_runtime_config(&mut module, config.clone()).unwrap();
        assert_eq!(get_runtime_config(&mut module, pb::EmptyArg {}).unwrap(), config);
        let mut wrong = config.clone();
        wrong.default_gate = 5;
        wrong.rules.insert(1, rule(9000, [&[1, 2], &[3]]));
        assert_eq!(set_runtime_config(&mut module, wrong).unwrap_err().code, 22);
        let gate = pb::ExactMatchConfig { default_gate: 9000, rules: Vec::new() };
        assert_eq!(set_runtime_config(&mut module, gate).unwrap_err().code, 22);
        assert_eq!(get_runtime_config(&mut module, pb::EmptyArg {}).unwrap(), config, "as it was");
    }

    #[test]
    fn numbers_in_packets_have_the_highest_byte_first() {
        let fields = Fields::new(vec![Field::at(1, 2)]).unwrap();
        let mut module = ExactMatch::new(fields, Fields::default(), None, 1);
        let arg = pb::ExactMatchCommandAddArg { gate: 4, fields: vec![int(0x1234)], values: Vec::new() };
        add(&mut module, arg.clone()).unwrap();
        assert_eq!(Rig::on(&mut module).gate(&[0, 0x12, 0x34]), Some(4));
        let wrong = |fields, values, gate| {
            let arg = pb::ExactMatchCommandAddArg { gate, fields, values };
            add(&mut ExactMatch::new(module.fields().clone(), Fields::default(), None, 1), arg)
                .unwrap_err()
                .code
        };
        assert_eq!(wrong(vec![], vec![], 0), 22);
        assert_eq!(wrong(vec![int(1), int(2)], vec![], 0), 22);
        assert_eq!(wrong(vec![int(1)], vec![int(1)], 0), 22);
        assert_eq!(wrong(vec![int(0x1_0000)], vec![], 0), 22);
        assert_eq!(wrong(binary(vec![vec![1]]), vec![], 0), 22);
        assert_eq!(wrong(vec![int(1)], vec![], 9000), 22);
        delete(&mut module, pb::ExactMatchCommandDeleteArg { fields: arg.fields.clone() }).unwrap();
        let gone = delete(&mut module, pb::ExactMatchCommandDeleteArg { fields: arg.fields });
        assert_eq!(gone.unwrap_err().code, 2);
    }
}
