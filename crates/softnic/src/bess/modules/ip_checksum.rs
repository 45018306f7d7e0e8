//! `IPChecksum`. The hardware that `hw` of omec's clients asks for is not needed.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::IpChecksum;

pub(super) const CLASS: Class = Class {
    name: "IPChecksum",
    help: "computes or verifies the IPv4 header checksum",
    template: "ip_checksum",
    arg: "IPChecksumArg",
    build: |_, argument| {
        let arg: pb::IpChecksumArg = decode(argument)?;
        Ok(Box::new(if arg.verify { IpChecksum::verifying() } else { IpChecksum::new() }))
    },
    commands: commands![IpChecksum;],
};
