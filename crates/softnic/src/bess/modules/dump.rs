//! `Dump`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::Dump;

pub(super) const CLASS: Class = Class {
    name: "Dump",
    help: "shows a packet and its metadata in the log now and then",
    template: "dump",
    arg: "DumpArg",
    build,
    commands: commands![Dump; "set_interval" => set_interval],
};

const SECOND_NS: u64 = 1_000_000_000;

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::DumpArg = decode(argument)?;
    let name = setup.name().to_owned();
    let mut module = Dump::new(SECOND_NS).to(move |text| tracing::info!("{name}: {text}"));
    if arg.interval != 0.0 {
        set_interval(&mut module, arg)?;
    }
    Ok(Box::new(module))
}

fn set_interval(module: &mut Dump, arg: pb::DumpArg) -> Result<(), Failure> {
    let seconds = arg.interval;
    if seconds.is_nan() || seconds <= 0.0 {
        return Err(Failure::invalid(format!("invalid interval: {seconds}")));
    }
    // What is too long for the clock is cut to its end.
    module.set_interval_ns((seconds * SECOND_NS as f64) as u64);
    Ok(())
}
