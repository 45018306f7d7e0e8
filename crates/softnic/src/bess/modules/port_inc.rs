//! `PortInc`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::PortIn;

pub(super) const CLASS: Class = Class {
    name: "PortInc",
    help: "receives packets from all queues of a port",
    template: "port_inc",
    arg: "PortIncArg",
    build,
    commands: commands![PortIn; "set_burst" => set_burst, "get_initial_arg" => INITIAL],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::PortIncArg = decode(argument)?;
    Ok(Box::new(setup.receive_from(&arg.port, None)?))
}

fn set_burst(module: &mut PortIn, arg: pb::PortIncCommandSetBurstArg) -> Result<(), Failure> {
    burst(module, arg.burst)
}

/// Sets a burst, which [`QueueInc`](super::queue_inc) has as well.
pub(super) fn burst(module: &mut PortIn, wanted: u64) -> Result<(), Failure> {
    let most = module.most();
    let burst = usize::try_from(wanted).ok().filter(|&burst| burst <= most);
    module.set_burst(burst.ok_or_else(|| Failure::invalid(format!("burst size must be [0,{most}]")))?);
    Ok(())
}
