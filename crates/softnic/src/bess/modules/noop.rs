//! `NoOP`.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::Idle;

pub(super) const CLASS: Class = Class {
    name: "NoOP",
    help: "a task that does nothing",
    template: "noop",
    arg: "EmptyArg",
    build: |_, argument| {
        decode::<pb::EmptyArg>(argument)?;
        Ok(Box::new(Idle))
    },
    commands: commands![Idle;],
};
