//! `Buffer`.

use crate::bess::class::{Class, commands, decode};
use crate::bess::pb;
use crate::modules::Buffer;

pub(super) const CLASS: Class = Class {
    name: "Buffer",
    help: "holds packets until a batch is full",
    template: "buffer",
    arg: "BufferArg",
    build: |setup, argument| {
        decode::<pb::BufferArg>(argument)?;
        Ok(Box::new(Buffer::new(setup.burst_max() as usize)))
    },
    commands: commands![Buffer;],
};
