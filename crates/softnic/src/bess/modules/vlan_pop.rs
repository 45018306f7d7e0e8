//! `VLANPop`.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::VlanPop;

pub(super) const CLASS: Class = Class {
    name: "VLANPop",
    help: "removes an 802.1Q or 802.1ad tag",
    template: "vlan_pop",
    arg: "VLANPopArg",
    build: |_, argument| {
        decode::<pb::VlanPopArg>(argument)?;
        Ok(Box::new(VlanPop))
    },
    commands: commands![VlanPop;],
};
