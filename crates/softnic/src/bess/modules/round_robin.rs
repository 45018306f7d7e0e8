//! `RoundRobin`.

use super::field::gates;
use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{GATE_LIST_MAX, RoundRobin};

/// Batch by batch, unless the client says otherwise.
pub(super) const CLASS: Class = Class {
    name: "RoundRobin",
    help: "spreads packets over gates in turn",
    template: "rr",
    arg: "RoundRobinArg",
    build,
    commands: commands![RoundRobin; "set_mode" => set_mode, "set_gates" => set_gates],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::RoundRobinArg = decode(argument)?;
    let mut module = RoundRobin::over(gates(&arg.gates, GATE_LIST_MAX)?);
    module.set_by_batch(arg.mode.is_empty() || by_batch(&arg.mode)?);
    Ok(Box::new(module))
}

fn by_batch(mode: &str) -> Result<bool, Failure> {
    match mode {
        "packet" => Ok(false),
        "batch" => Ok(true),
        _ => Err(Failure::invalid("argument must be either 'packet' or 'batch'")),
    }
}

fn set_mode(module: &mut RoundRobin, arg: pb::RoundRobinCommandSetModeArg) -> Result<(), Failure> {
    module.set_by_batch(by_batch(&arg.mode)?);
    Ok(())
}

fn set_gates(module: &mut RoundRobin, arg: pb::RoundRobinCommandSetGatesArg) -> Result<(), Failure> {
    module.set_gates(gates(&arg.gates, GATE_LIST_MAX)?);
    Ok(())
}
