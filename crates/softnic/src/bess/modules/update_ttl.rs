//! `UpdateTTL`.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::UpdateTtl;

pub(super) const CLASS: Class = Class {
    name: "UpdateTTL",
    help: "lowers the time to live by 1",
    template: "update_ttl",
    arg: "EmptyArg",
    build: |_, argument| {
        decode::<pb::EmptyArg>(argument)?;
        Ok(Box::new(UpdateTtl))
    },
    commands: commands![UpdateTtl;],
};
