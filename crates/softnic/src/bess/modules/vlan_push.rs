//! `VLANPush`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::VlanPush;

pub(super) const CLASS: Class = Class {
    name: "VLANPush",
    help: "adds an 802.1Q or 802.1ad tag",
    template: "vlan_push",
    arg: "VLANPushArg",
    build,
    commands: commands![VlanPush; "set_tci" => set_tci],
};

/// Of the number that clients send, the lower 16 bits count, as in BESS.
fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::VlanPushArg = decode(argument)?;
    Ok(Box::new(VlanPush::new(arg.tci as u16)))
}

fn set_tci(module: &mut VlanPush, arg: pb::VlanPushArg) -> Result<(), Failure> {
    module.set(arg.tci as u16);
    Ok(())
}
