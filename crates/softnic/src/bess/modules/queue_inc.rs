//! `QueueInc`.

use super::port_inc::burst;
use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::PortIn;

pub(super) const CLASS: Class = Class {
    name: "QueueInc",
    help: "receives packets from one queue of a port",
    template: "queue_inc",
    arg: "QueueIncArg",
    build,
    commands: commands![PortIn; "set_burst" => set_burst],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::QueueIncArg = decode(argument)?;
    Ok(Box::new(setup.receive_from(&arg.port, Some(arg.qid))?))
}

fn set_burst(module: &mut PortIn, arg: pb::QueueIncCommandSetBurstArg) -> Result<(), Failure> {
    burst(module, arg.burst)
}
