//! A connection that the guard has opened, and what it says in it.

use packet::flow::FlowKey;
use packet::parse::Layers;
use packet::wire::tcp::{self, Flags};
use packet::wire::{ethernet, vlan};

use crate::answer::segment;

/// How long the server's answer is waited for at first, and at most: twice as long each time (RFC 6298 §2.1, §2.5, §5.5).
const ANSWER_NS: (u64, u64) = (1_000_000_000, 60_000_000_000);
/// Bytes of the longest link header: with all tags that are parsed.
const LINK_MAX: usize = ethernet::HEADER_LEN + vlan::TAGS_MAX * vlan::TAG_LEN;

/// A connection that was opened by cookie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    /// The client's first sequence number.
    pub(super) sequence: u32,
    /// The sequence number that the client was told.
    pub(super) cookie: u32,
    pub(super) segment: u16,
    pub(super) window: u16,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// The server has been asked so often, by frames of this link.
    Asking(u8, Link),
    /// Both sides speak.
    Open {
        /// How far the server's sequence numbers are from those that the client was told.
        distance: u32,
        /// Sides that have sent a FIN, by gate.
        finished: [bool; 2],
    },
}

/// A link header, as it came from the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    bytes: [u8; LINK_MAX],
    length: u8,
}

impl Link {
    pub(super) fn of(layers: &Layers, frame: &[u8]) -> Option<Self> {
        let mut bytes = [0; LINK_MAX];
        bytes.get_mut(..layers.l3)?.copy_from_slice(frame.get(..layers.l3)?);
        Some(Self { bytes, length: layers.l3 as u8 })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl Opened {
    /// The SYN that the server did not see.
    pub(super) fn syn(&self, key: &FlowKey) -> tcp::Repr {
        let ports = (key.source_port(), key.destination_port());
        let repr = segment::plain(ports, (self.sequence, 0), Flags::SYN, self.window);
        tcp::Repr { maximum_segment: Some(self.segment), ..repr }
    }

    /// The end, as the server would say it to the client.
    pub(super) fn reset(&self, key: &FlowKey) -> tcp::Repr {
        let ports = (key.destination_port(), key.source_port());
        let numbers = (self.cookie.wrapping_add(1), self.sequence.wrapping_add(1));
        segment::plain(ports, numbers, Flags::RST | Flags::ACK, 0)
    }
}

/// How long the answer to the `asked`-th SYN is waited for.
pub(super) fn answer_ns(asked: u8) -> u64 {
    (ANSWER_NS.0 << (asked - 1).min(32)).min(ANSWER_NS.1)
}
