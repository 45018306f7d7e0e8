//! `RandomSplit`.

use super::field::gates;
use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{GATE_LIST_MAX, NoRate, RandomSplit};

pub(super) const CLASS: Class = Class {
    name: "RandomSplit",
    help: "drops some packets and spreads the others over gates, at random",
    template: "random_split",
    arg: "RandomSplitArg",
    build,
    commands: commands![RandomSplit; "set_droprate" => set_droprate, "set_gates" => set_gates],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::RandomSplitArg = decode(argument)?;
    let gates = gates(&arg.gates, GATE_LIST_MAX)?;
    Ok(Box::new(RandomSplit::new(gates, arg.drop_rate, setup.seed())?))
}

fn set_droprate(module: &mut RandomSplit, arg: pb::RandomSplitCommandSetDroprateArg) -> Result<(), Failure> {
    Ok(module.set_drop_rate(arg.drop_rate)?)
}

fn set_gates(module: &mut RandomSplit, arg: pb::RandomSplitCommandSetGatesArg) -> Result<(), Failure> {
    module.set_gates(gates(&arg.gates, GATE_LIST_MAX)?);
    Ok(())
}

impl From<NoRate> for Failure {
    fn from(error: NoRate) -> Self {
        Self::invalid(error.to_string())
    }
}
