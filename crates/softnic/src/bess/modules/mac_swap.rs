//! `MACSwap`.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::MacSwap;

pub(super) const CLASS: Class = Class {
    name: "MACSwap",
    help: "exchanges source and destination MAC addresses",
    template: "macswap",
    arg: "MACSwapArg",
    build: |_, argument| {
        decode::<pb::MacSwapArg>(argument)?;
        Ok(Box::new(MacSwap))
    },
    commands: commands![MacSwap;],
};
