//! `GtpuDecap`.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::GtpuDecap;

pub(super) const CLASS: Class = Class {
    name: "GtpuDecap",
    help: "takes GTP-U headers off packets",
    template: "gtpu_decap",
    arg: "EmptyArg",
    build: |_, argument| {
        decode::<pb::EmptyArg>(argument)?;
        Ok(Box::new(GtpuDecap))
    },
    commands: commands![GtpuDecap;],
};
