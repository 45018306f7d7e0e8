//! `Sink`.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::Sink;

pub(super) const CLASS: Class = Class {
    name: "Sink",
    help: "takes packets and frees them",
    template: "sink",
    arg: "SinkArg",
    build: |_, argument| {
        decode::<pb::SinkArg>(argument)?;
        Ok(Box::new(Sink::new()))
    },
    commands: commands![Sink;],
};
