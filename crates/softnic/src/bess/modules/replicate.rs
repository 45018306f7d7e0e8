//! `Replicate`.

use super::field::gates;
use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{Gates, REPLICAS_MAX, Replicate};

/// Without gates, packets go to gate 0. Difference from BESS: each packet goes to the gates that are named, where BESS sends
/// it to gate 0 in place of the first of them.
pub(super) const CLASS: Class = Class {
    name: "Replicate",
    help: "lets a copy of each packet out at every gate",
    template: "repl",
    arg: "ReplicateArg",
    build,
    commands: commands![Replicate; "set_gates" => set_gates],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::ReplicateArg = decode(argument)?;
    Ok(Box::new(Replicate::over(list(&arg.gates)?)))
}

fn list(numbers: &[i64]) -> Result<Gates, Failure> {
    if numbers.is_empty() { Ok(Gates::first(1)) } else { gates(numbers, REPLICAS_MAX.into()) }
}

fn set_gates(module: &mut Replicate, arg: pb::ReplicateCommandSetGatesArg) -> Result<(), Failure> {
    module.set_gates(list(&arg.gates)?);
    Ok(())
}
