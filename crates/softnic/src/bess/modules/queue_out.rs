//! `QueueOut`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;

pub(super) const CLASS: Class = Class {
    name: "QueueOut",
    help: "sends packets to one queue of a port",
    template: "queue_out",
    arg: "QueueOutArg",
    build,
    commands: commands![PortOut; "get_initial_arg" => INITIAL],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::QueueOutArg = decode(argument)?;
    Ok(Box::new(setup.send_to(&arg.port, Some(arg.qid))?))
}
