//! `WildcardMatch`.

use super::field::{Order, binary, fields, gate, values};
use crate::bess::class::{Argument, Class, Setup, Told, commands, decode, told};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{Fields, WildcardMatch, WildcardMatchError, WildcardMatchRule};

/// Numbers among values and masks have their highest byte first, those written (`valuesv`) their lowest, whatever the field
/// is in. Differences from BESS: 512 different masks instead of 16; deleting a rule that is not there is an error; a full
/// table is one; `entries` is not needed, the tables grow.
pub(super) const CLASS: Class = Class {
    name: "WildcardMatch",
    help: "sends packets to gates by some of the bits of some fields",
    template: "wm",
    arg: "WildcardMatchArg",
    build,
    commands: commands![WildcardMatch;
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
    let arg: pb::WildcardMatchArg = decode(argument)?;
    let (fields, values) = (fields(&arg.fields, &[])?, fields(&arg.values, &[])?);
    Ok(Box::new(WildcardMatch::new(fields, values, setup.seed())))
}

/// Values or masks, of which those given as too few bytes are filled up with 0.
fn of_fields(fields: &Fields, data: &[pb::FieldData], what: &str) -> Result<Vec<Vec<u8>>, Failure> {
    if data.len() != fields.len() {
        return Err(Failure::invalid(format!("must specify {} {what}", fields.len())));
    }
    let mut values = values(fields, data, |_| Order::Big)?;
    for (value, field) in
        values.iter_mut().zip(fields.iter()).filter(|(value, field)| value.len() < field.bytes)
    {
        value.resize(field.bytes, 0);
    }
    Ok(values)
}

fn add(module: &mut WildcardMatch, arg: pb::WildcardMatchCommandAddArg) -> Result<(), Failure> {
    let fields = of_fields(module.fields(), &arg.values, "values")?;
    let masks = of_fields(module.fields(), &arg.masks, "masks")?;
    let gate = gate(arg.gate)?;
    if arg.valuesv.len() != module.values().len() {
        return Err(Failure::invalid(format!("must specify {} values", module.values().len())));
    }
    let written = values(module.values(), &arg.valuesv, |_| Order::Little)?;
    Ok(module.add(&fields, &masks, &written, arg.priority, gate)?)
}

fn delete(module: &mut WildcardMatch, arg: pb::WildcardMatchCommandDeleteArg) -> Result<(), Failure> {
    let fields = of_fields(module.fields(), &arg.values, "values")?;
    let masks = of_fields(module.fields(), &arg.masks, "masks")?;
    Ok(module.delete(&fields, &masks)?)
}

fn clear(module: &mut WildcardMatch, _: pb::EmptyArg) -> Result<(), Failure> {
    module.clear();
    Ok(())
}

fn set_default_gate(
    module: &mut WildcardMatch,
    arg: pb::WildcardMatchCommandSetDefaultGateArg,
) -> Result<(), Failure> {
    module.set_default_gate(gate(arg.gate)?);
    Ok(())
}

fn get_runtime_config(
    module: &mut WildcardMatch,
    _: pb::EmptyArg,
) -> Result<pb::WildcardMatchConfig, Failure> {
    Ok(config(module, module.rules()))
}

fn config(module: &WildcardMatch, rules: Vec<WildcardMatchRule>) -> pb::WildcardMatchConfig {
    let rules = rules.into_iter().map(|rule| pb::WildcardMatchCommandAddArg {
        gate: rule.gate.into(),
        priority: rule.priority,
        values: binary(rule.fields),
        masks: binary(rule.masks),
        valuesv: binary(rule.values),
    });
    pb::WildcardMatchConfig { default_gate: module.default_gate().into(), rules: rules.collect() }
}

/// The whole of it, or nothing changes.
fn set_runtime_config(module: &mut WildcardMatch, arg: pb::WildcardMatchConfig) -> Result<(), Failure> {
    let mut new = module.emptied();
    new.set_default_gate(gate(arg.default_gate)?);
    arg.rules.into_iter().try_for_each(|rule| add(&mut new, rule))?;
    *module = new;
    Ok(())
}

impl From<WildcardMatchError> for Failure {
    fn from(error: WildcardMatchError) -> Self {
        let message = error.to_string();
        match error {
            WildcardMatchError::Full(_) => {
                Self::no_space(format!("failed to add a new wildcard pattern: {message}"))
            }
            WildcardMatchError::NoRule => Self::not_found(message),
            _ => Self::invalid(message),
        }
    }
}

/// Rules of one priority stand in the order in which their masks first came, which says who wins.
pub(super) fn save(module: &mut WildcardMatch) -> Vec<Told> {
    vec![told("set_runtime_config", &config(module, module.rules_by_mask()))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::Rig;
    use crate::modules::Field;

    fn int(number: u64) -> pb::FieldData {
        pb::FieldData { encoding: Some(pb::field_data::Encoding::ValueInt(number)) }
    }

    fn module() -> WildcardMatch {
        let fields = vec![Field::attribute("babylon5", 2), Field::at(10, 1)];
        WildcardMatch::new(Fields::new(fields).unwrap(), Fields::default(), 1)
    }

    fn rule(
        priority: i64,
        gate: u64,
        values: [&[u8]; 2],
        masks: [&[u8]; 2],
    ) -> pb::WildcardMatchCommandAddArg {
        let [values, masks] = [values, masks].map(|of| binary(of.map(<[u8]>::to_vec).to_vec()));
        pb::WildcardMatchCommandAddArg { gate, priority, values, masks, valuesv: Vec::new() }
    }

    /// The test of BESS's own that kills it.
    #[test]
    fn a_configuration_reads_back_in_order_and_restores() {
        let mut module = module();
        let rules = vec![
            rule(1, 1, [&[0x88, 0x80], &[3]], [&[0xff, 0xf0], &[0x7f]]),
            rule(2, 2, [&[0x70, 0x70], &[5]], [&[0xf0, 0xff], &[0x3f]]),
        ];
        rules.iter().rev().for_each(|rule| add(&mut module, rule.clone()).unwrap());
        set_default_gate(&mut module, pb::WildcardMatchCommandSetDefaultGateArg { gate: 3 }).unwrap();
        let config = get_runtime_config(&mut module, pb::EmptyArg {}).unwrap();
        assert_eq!(config, pb::WildcardMatchConfig { default_gate: 3, rules });
        clear(&mut module, pb::EmptyArg {}).unwrap();
        set_runtime_config(&mut module, config.clone()).unwrap();
        assert_eq!(get_runtime_config(&mut module, pb::EmptyArg {}).unwrap(), config);
        let mut wrong = config.clone();
        wrong.default_gate = 5;
        wrong.rules.insert(1, rule(3, 9000, [&[0, 0], &[0]], [&[0, 0], &[0]]));
        assert_eq!(set_runtime_config(&mut module, wrong).unwrap_err().code, 22);
        let gate = pb::WildcardMatchConfig { default_gate: 9000, rules: Vec::new() };
        assert_eq!(set_runtime_config(&mut module, gate).unwrap_err().code, 22);
        assert_eq!(get_runtime_config(&mut module, pb::EmptyArg {}).unwrap(), config, "as it was");
    }

    #[test]
    fn who_wins_among_equals_is_told() {
        let mut module = module();
        // Of one priority, with masks that come in no order of their own.
        let masks: [[&[u8]; 2]; 3] = [[&[0xff, 0], &[0]], [&[0, 0], &[0xff]], [&[0, 0xff], &[0]]];
        for (mask, number) in masks.into_iter().zip(1..) {
            add(&mut module, rule(7, number, [&[0, 0], &[0]], mask)).unwrap();
        }
        let gate = Rig::on(&mut module).gate(&[0; 20]);
        let mut other = module.emptied();
        let (_, told) = save(&mut module).remove(0);
        set_runtime_config(&mut other, prost::Message::decode(&*told.value).unwrap()).unwrap();
        assert_eq!(other.rules_by_mask(), module.rules_by_mask());
        assert_eq!(Rig::on(&mut other).gate(&[0; 20]), gate);
    }

    #[test]
    fn numbers_have_the_highest_byte_first_and_wrong_rules_are_refused() {
        let fields = Fields::new(vec![Field::at(0, 2)]).unwrap();
        let mut module = WildcardMatch::new(fields, Fields::default(), 1);
        let arg = |value, mask, gate| pb::WildcardMatchCommandAddArg {
            gate,
            priority: 0,
            values: vec![int(value)],
            masks: vec![int(mask)],
            valuesv: Vec::new(),
        };
        add(&mut module, arg(0x1200, 0xff00, 5)).unwrap();
        assert_eq!(Rig::on(&mut module).gate(&[0x12, 0x99]), Some(5));
        let mut code = |arg| add(&mut module, arg).unwrap_err().code;
        assert_eq!(code(arg(0x1234, 0xff00, 5)), 22);
        assert_eq!(code(arg(0x1_0000, 0xff00, 5)), 22);
        assert_eq!(code(arg(0, 0, 8193)), 22);
        assert_eq!(code(pb::WildcardMatchCommandAddArg { masks: vec![], ..arg(0, 0, 0) }), 22);
        assert_eq!(code(pb::WildcardMatchCommandAddArg { valuesv: vec![int(1)], ..arg(0, 0, 0) }), 22);
        let gone = pb::WildcardMatchCommandDeleteArg { values: vec![int(0)], masks: vec![int(0xff00)] };
        assert_eq!(delete(&mut module, gone).unwrap_err().code, 2);
    }
}
