//! `HashLB`.

use super::field::{fields, gates};
use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{GATE_LIST_MAX, Gates, HashLb, HashMode, Position};

/// Without gates, everything goes to gate 0. Differences from BESS: which flow goes where, as the hash is keyed; what is not
/// IPv4 is not taken for it; fields in attributes are refused, where BESS looks at the start of the frame.
pub(super) const CLASS: Class = Class {
    name: "HashLB",
    help: "spreads flows over gates",
    template: "hash_lb",
    arg: "HashLBArg",
    build,
    commands: commands![HashLb; "set_mode" => set_mode, "set_gates" => set_gates],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::HashLbArg = decode(argument)?;
    let mode = match arg.mode.as_str() {
        "" if arg.fields.is_empty() => HashMode::L4,
        name => mode(name, &arg.fields)?,
    };
    Ok(Box::new(HashLb::new(list(&arg.gates)?, mode, setup.seed())))
}

fn list(numbers: &[i64]) -> Result<Gates, Failure> {
    if numbers.is_empty() { Ok(Gates::first(1)) } else { gates(numbers, GATE_LIST_MAX) }
}

fn mode(name: &str, of: &[pb::Field]) -> Result<HashMode, Failure> {
    if !of.is_empty() {
        let fields = fields(of, &[])?;
        if fields.iter().any(|field| matches!(field.position, Position::Attribute(_))) {
            return Err(Failure::invalid("fields of HashLB must have an 'offset'"));
        }
        return Ok(HashMode::Fields(fields));
    }
    match name {
        "l2" => Ok(HashMode::L2),
        "l3" => Ok(HashMode::L3),
        "l4" => Ok(HashMode::L4),
        _ => Err(Failure::invalid("available LB modes: l2, l3, l4")),
    }
}

fn set_mode(module: &mut HashLb, arg: pb::HashLbCommandSetModeArg) -> Result<(), Failure> {
    module.set_mode(mode(&arg.mode, &arg.fields)?);
    Ok(())
}

fn set_gates(module: &mut HashLb, arg: pb::HashLbCommandSetGatesArg) -> Result<(), Failure> {
    module.set_gates(list(&arg.gates)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_known_by_name_or_fields() {
        let field = |position| pb::Field { position: Some(position), num_bytes: 4 };
        let offset = field(pb::field::Position::Offset(26));
        assert!(matches!(mode("l3", &[]), Ok(HashMode::L3)));
        assert!(matches!(mode("l3", &[offset]), Ok(HashMode::Fields(_))));
        assert!(mode("", &[]).is_err() && mode("l5", &[]).is_err());
        assert!(mode("", &[field(pb::field::Position::AttrName("a".to_owned()))]).is_err());
        assert!(list(&[9000]).is_err() && list(&[0; GATE_LIST_MAX + 1]).is_err());
    }
}
