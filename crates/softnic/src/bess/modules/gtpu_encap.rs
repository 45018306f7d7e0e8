//! `GtpuEncap`: over IPv4, or with `ipv6`, a field of ours, over IPv6.

use super::ip_encap::family;
use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::GtpuEncap;

pub(super) const CLASS: Class = Class {
    name: "GtpuEncap",
    help: "puts packets into a GTP-U tunnel",
    template: "gtpu_encap",
    arg: "GtpuEncapArg",
    build: |_, argument| {
        let arg: pb::GtpuEncapArg = decode(argument)?;
        Ok(Box::new(GtpuEncap::new(family(arg.ipv6), arg.add_psc)))
    },
    commands: commands![GtpuEncap;],
};
