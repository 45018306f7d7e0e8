//! `VXLANDecap`: out of IPv4, for the attributes that BESS's clients read have 4 bytes, or with `ipv6`, a field of ours, out
//! of IPv6.

use super::ip_encap::family;
use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::VxlanDecap;

pub(super) const CLASS: Class = Class {
    name: "VXLANDecap",
    help: "takes the outer Ethernet, IP, UDP and VXLAN headers off frames",
    template: "vxlan_decap",
    arg: "VXLANDecapArg",
    build: |_, argument| {
        let arg: pb::VxlanDecapArg = decode(argument)?;
        Ok(Box::new(VxlanDecap::new(family(arg.ipv6))))
    },
    commands: commands![VxlanDecap;],
};
