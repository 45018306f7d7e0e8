//! `GtpuParser`: of IPv4, or with `ipv6`, a field of ours, of both versions.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::GtpuParser;

pub(super) const CLASS: Class = Class {
    name: "GtpuParser",
    help: "says in metadata who talks to whom inside a GTP-U tunnel",
    template: "gtpu_parser",
    arg: "GtpuParserArg",
    build: |_, argument| {
        let arg: pb::GtpuParserArg = decode(argument)?;
        Ok(Box::new(if arg.ipv6 { GtpuParser::with_ipv6() } else { GtpuParser::default() }))
    },
    commands: commands![GtpuParser;],
};
