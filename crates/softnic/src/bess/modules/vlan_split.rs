//! `VLANSplit`.

use crate::bess::class::{Argument, Class, Setup, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::VlanSplit;

pub(super) const CLASS: Class = Class {
    name: "VLANSplit",
    help: "takes the outer VLAN tag off and sends packets to the gate of its VLAN",
    template: "vlan_split",
    arg: "VLANSplitArg",
    build,
    commands: &[],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let pb::VlanSplitArg {} = decode(argument)?;
    Ok(Box::new(VlanSplit))
}
