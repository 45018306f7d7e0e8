//! `PortOut`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;

pub(super) const CLASS: Class = Class {
    name: "PortOut",
    help: "sends packets to a port",
    template: "port_out",
    arg: "PortOutArg",
    build,
    commands: commands![PortOut; "get_initial_arg" => INITIAL],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::PortOutArg = decode(argument)?;
    Ok(Box::new(setup.send_to(&arg.port, None)?))
}
