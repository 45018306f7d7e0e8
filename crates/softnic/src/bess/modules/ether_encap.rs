//! `EtherEncap`.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::EtherEncap;

pub(super) const CLASS: Class = Class {
    name: "EtherEncap",
    help: "puts an Ethernet header in front of packets",
    template: "ether_encap",
    arg: "EtherEncapArg",
    build: |_, argument| {
        decode::<pb::EtherEncapArg>(argument)?;
        Ok(Box::new(EtherEncap::default()))
    },
    commands: commands![EtherEncap;],
};
