//! `L4Checksum`. The hardware that `hw` of omec's clients asks for is not needed.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::L4Checksum;

pub(super) const CLASS: Class = Class {
    name: "L4Checksum",
    help: "computes or verifies the checksum of TCP and UDP",
    template: "l4_checksum",
    arg: "L4ChecksumArg",
    build: |_, argument| {
        let arg: pb::L4ChecksumArg = decode(argument)?;
        Ok(Box::new(if arg.verify { L4Checksum::verifying() } else { L4Checksum::new() }))
    },
    commands: commands![L4Checksum;],
};
