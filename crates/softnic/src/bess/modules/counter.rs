//! `Counter`. Whether a counter exists, which `check_exist` asks for, follows from its number.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::Counter;

pub(super) const CLASS: Class = Class {
    name: "Counter",
    help: "counts packets and bytes of sessions",
    template: "counter",
    arg: "CounterArg",
    build,
    commands: commands![Counter; "add" => add, "removeAll" => remove_all, "remove" => remove],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::CounterArg = decode(argument)?;
    Ok(Box::new(Counter::new(arg.name_id, arg.total as usize).map_err(Failure::refused)?))
}

fn add(module: &mut Counter, _: pb::CounterAddArg) -> Result<(), Failure> {
    module.add();
    Ok(())
}

fn remove_all(module: &mut Counter, _: pb::EmptyArg) -> Result<(), Failure> {
    module.remove_all();
    Ok(())
}

/// No answer has a place for the counts, so they are in the log, as in BESS.
fn remove(module: &mut Counter, arg: pb::CounterRemoveArg) -> Result<(), Failure> {
    let counts = module.remove(arg.ctr_id);
    tracing::info!("counter {}: {} packets, {} bytes", arg.ctr_id, counts.packets, counts.bytes);
    Ok(())
}
