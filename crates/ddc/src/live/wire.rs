//! What goes over a link between two routers.
//!
//! ```text
//!  byte 0      version 1 in the upper half, kind in the lower: 1 control, 2 packet, 3 ghost
//!  byte 1      the sender's number of this life of the link, its lowest byte
//!  bytes 2–5   number of the frame
//!  bytes 6–7   control messages sent before it, modulo 2¹⁶
//!  packet      2 bytes destination (a router), the header (crate::Header), the IP packet
//!  ghost       2 bytes destination, 2 bytes hops that are left, the header
//!  control     4 bytes digest of the network file, 4 the sender's number of this life, 4 the receiver's as it was heard (0: not),
//!              2 messages received, 2 number of the first message here, 1 how many, 3 zero; 16 bytes a message:
//!              2 destination or router, 1 kind, 1 flags, 4 round or number, 8 links that live
//! ```

use crate::header::HEADER_BYTES_MAX;
use crate::router::Message;

/// The EtherType of frames between routers: the first of the two that IEEE 802 keeps for local experiments (IEEE Std 802 §9.2.4).
pub const ETHERTYPE: u16 = 0x88b5;
/// The most bytes that a frame between routers has beyond its Ethernet header and the IP packet in it.
pub const OVERHEAD_MAX: usize = SHIM_BYTES + 2 + HEADER_BYTES_MAX;

pub(super) const SHIM_BYTES: usize = 8;
const VERSION: u8 = 1;
const CONTROL_BYTES: usize = 20;
const ITEM_BYTES: usize = 16;
/// The most messages of one frame: it fits every Ethernet link.
pub(super) const ITEMS_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Control,
    Packet,
    Ghost,
}

/// What every frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shim {
    pub(super) kind: Kind,
    pub(super) session: u8,
    pub(super) sequence: u32,
    pub(super) messages: u16,
}

impl Shim {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let kind = match self.kind {
            Kind::Control => 1,
            Kind::Packet => 2,
            Kind::Ghost => 3,
        };
        out.extend([VERSION << 4 | kind, self.session]);
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.messages.to_be_bytes());
    }

    /// Reads it; also gives what follows.
    pub(super) fn read(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (shim, rest) = frame.split_first_chunk::<SHIM_BYTES>()?;
        let kind = match shim[0] {
            0x11 => Kind::Control,
            0x12 => Kind::Packet,
            0x13 => Kind::Ghost,
            _ => return None,
        };
        let sequence = u32::from_be_bytes([shim[2], shim[3], shim[4], shim[5]]);
        let messages = u16::from_be_bytes([shim[6], shim[7]]);
        Some((Self { kind, session: shim[1], sequence, messages }, rest))
    }
}

/// A control message: of one destination, or of a router's links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Of { destination: u16, message: Message },
    Links { router: u16, number: u32, live: u64 },
}

impl Item {
    fn write(&self, out: &mut Vec<u8>) {
        let (subject, number, live) = match *self {
            Self::Links { router, number, live } => (router, number, live),
            Self::Of { destination, message: Message::Heartbeat { round, .. } } => (destination, round, 0),
            Self::Of { destination, .. } => (destination, 0, 0),
        };
        let (kind, flags) = match self {
            Self::Links { .. } => (10, 0),
            Self::Of { message, .. } => match *message {
                Message::Lock => (0, 0),
                Message::Locked => (1, 0),
                Message::Create { vnode } => (2, u8::from(vnode)),
                Message::Created => (3, 0),
                Message::Switch { vnode } => (4, u8::from(vnode)),
                Message::Switched => (5, 0),
                Message::Abort { vnode } => (6, u8::from(vnode)),
                Message::Aborted => (7, 0),
                Message::Unlock => (8, 0),
                Message::Heartbeat { seq, vnode, .. } => (9, u8::from(vnode) | u8::from(seq) << 1),
            },
        };
        out.extend(subject.to_be_bytes());
        out.extend([kind, flags]);
        out.extend(number.to_be_bytes());
        out.extend(live.to_be_bytes());
    }

    fn read(bytes: &[u8; ITEM_BYTES]) -> Option<Self> {
        let subject = u16::from_be_bytes([bytes[0], bytes[1]]);
        let number = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let live = u64::from_be_bytes(*bytes.last_chunk()?);
        let (vnode, seq) = (bytes[3] & 1 != 0, bytes[3] & 2 != 0);
        let message = match bytes[2] {
            0 => Message::Lock,
            1 => Message::Locked,
            2 => Message::Create { vnode },
            3 => Message::Created,
            4 => Message::Switch { vnode },
            5 => Message::Switched,
            6 => Message::Abort { vnode },
            7 => Message::Aborted,
            8 => Message::Unlock,
            9 => Message::Heartbeat { round: number, seq, vnode },
            10 => return Some(Self::Links { router: subject, number, live }),
            _ => return None,
        };
        Some(Self::Of { destination: subject, message })
    }
}

/// A control frame behind its shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) digest: u32,
    pub(super) session: u32,
    pub(super) peer: u32,
    pub(super) received: u16,
    pub(super) first: u16,
    pub(super) items: Vec<Item>,
}

impl Control {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for word in [self.digest, self.session, self.peer] {
            out.extend(word.to_be_bytes());
        }
        out.extend(self.received.to_be_bytes());
        out.extend(self.first.to_be_bytes());
        out.extend([self.items.len() as u8, 0, 0, 0]);
        self.items.iter().for_each(|item| item.write(out));
    }

    /// Reads it. What follows it is padding.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (fixed, rest) = bytes.split_first_chunk::<CONTROL_BYTES>()?;
        let word = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let half = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let count = usize::from(fixed[16]);
        let items = rest.get(..count * ITEM_BYTES).filter(|_| count <= ITEMS_MAX)?;
        let (items, _) = items.as_chunks::<ITEM_BYTES>();
        Some(Self {
            digest: word(0),
            session: word(4),
            peer: word(8),
            received: half(12),
            first: half(14),
            items: items.iter().map(Item::read).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let messages = [
            Message::Lock,
            Message::Locked,
            Message::Create { vnode: true },
            Message::Created,
            Message::Switch { vnode: false },
            Message::Switched,
            Message::Abort { vnode: true },
            Message::Aborted,
            Message::Unlock,
            Message::Heartbeat { round: 1 << 31, seq: true, vnode: false },
            Message::Heartbeat { round: 7, seq: false, vnode: true },
        ];
        let of = |message| Item::Of { destination: 300, message };
        let mut items: Vec<Item> = messages.map(of).into();
        items.push(Item::Links { router: 9, number: 3, live: u64::MAX - 1 });
        let control = Control { digest: 1, session: 2, peer: 3, received: 4, first: 5, items };
        let shim = Shim { kind: Kind::Control, session: 2, sequence: 77, messages: 9 };
        let mut bytes = Vec::new();
        shim.write(&mut bytes);
        control.write(&mut bytes);
        let (read, rest) = Shim::read(&bytes).unwrap();
        assert_eq!((read, Control::read(rest).as_ref()), (shim, Some(&control)));
        for cut in 0..bytes.len() {
            let whole = Shim::read(&bytes[..cut]).and_then(|(_, rest)| Control::read(rest));
            assert_eq!(whole, None, "{cut} bytes");
        }
        bytes[SHIM_BYTES + CONTROL_BYTES + 2] = 11;
        assert_eq!(Control::read(&bytes[SHIM_BYTES..]), None, "an unknown kind");
    }
}
