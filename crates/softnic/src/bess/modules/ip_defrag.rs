//! `IPDefrag`. The memory node that clients may name does not matter here.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::IpDefrag;

pub(super) const CLASS: Class = Class {
    name: "IPDefrag",
    help: "puts fragments of IP together",
    template: "ip_defrag",
    arg: "IPDefragArg",
    build,
    commands: commands![IpDefrag;],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::IpDefragArg = decode(argument)?;
    let module = IpDefrag::new(setup.pool(), arg.num_flows as usize, u128::from(setup.seed()));
    Ok(Box::new(module.map_err(Failure::refused)?))
}
