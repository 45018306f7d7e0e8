//! `GtpuParser`.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::GtpuParser;

pub(super) const CLASS: Class = Class {
    name: "GtpuParser",
    help: "says in metadata who talks to whom inside a GTP-U tunnel",
    template: "gtpu_parser",
    arg: "EmptyArg",
    build: |_, argument| {
        decode::<pb::EmptyArg>(argument)?;
        Ok(Box::new(GtpuParser::default()))
    },
    commands: commands![GtpuParser;],
};
