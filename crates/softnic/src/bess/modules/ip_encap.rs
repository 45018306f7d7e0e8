//! `IPEncap`: over IPv4, for the attributes that BESS's clients set have 4 bytes, or with `ipv6`, a field of ours, over IPv6.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::{Family, IpEncap};

pub(super) const CLASS: Class = Class {
    name: "IPEncap",
    help: "puts an IP header in front of packets",
    template: "ip_encap",
    arg: "IPEncapArg",
    build: |_, argument| {
        let arg: pb::IpEncapArg = decode(argument)?;
        Ok(Box::new(IpEncap::new(family(arg.ipv6))))
    },
    commands: commands![IpEncap;],
};

/// What an argument's `ipv6` asks for.
pub(super) fn family(ipv6: bool) -> Family {
    if ipv6 { Family::V6 } else { Family::V4 }
}
