//! `IPSwap`.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::IpSwap;

pub(super) const CLASS: Class = Class {
    name: "IPSwap",
    help: "exchanges source and destination IP addresses and L4 ports",
    template: "ipswap",
    arg: "EmptyArg",
    build: |_, argument| {
        decode::<pb::EmptyArg>(argument)?;
        Ok(Box::new(IpSwap))
    },
    commands: commands![IpSwap;],
};
