//! Packets for the modules' tests.

mod wire;

use packet::Packet;

pub(super) use self::wire::*;
pub(super) use crate::engine::rig::{packet, pool};

/// Packets of 60 bytes, numbered in their first byte.
pub(super) fn packets(count: u8) -> impl Iterator<Item = Packet> {
    (0..count).map(|number| {
        let mut bytes = [0; 60];
        bytes[0] = number;
        packet(&bytes)
    })
}
