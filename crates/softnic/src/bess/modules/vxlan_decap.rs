//! `VXLANDecap`: out of IPv4, since the attributes that its clients read have 4 bytes.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::{Family, VxlanDecap};

pub(super) const CLASS: Class = Class {
    name: "VXLANDecap",
    help: "takes the outer Ethernet, IP, UDP and VXLAN headers off frames",
    template: "vxlan_decap",
    arg: "VXLANDecapArg",
    build: |_, argument| {
        decode::<pb::VxlanDecapArg>(argument)?;
        Ok(Box::new(VxlanDecap::new(Family::V4)))
    },
    commands: commands![VxlanDecap;],
};
