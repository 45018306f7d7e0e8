//! `IPEncap`: over IPv4, since the attributes that its clients set have 4 bytes.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::{Family, IpEncap};

pub(super) const CLASS: Class = Class {
    name: "IPEncap",
    help: "puts an IPv4 header in front of packets",
    template: "ip_encap",
    arg: "IPEncapArg",
    build: |_, argument| {
        decode::<pb::IpEncapArg>(argument)?;
        Ok(Box::new(IpEncap::new(Family::V4)))
    },
    commands: commands![IpEncap;],
};
