//! Packets for a process that nobody trusts: lent through shared memory, and taken back whatever it does.
//!
//! ```text
//!   dataplane (trusted)                 shared: one memfd, sealed            guest (hostile, for all we know)
//!  ┌────────────────────┐   ┌───────────────────────────────────────┐   ┌──────────────────────────────┐
//!  │ Domain             │   │ to guest: tail, asleep, entries ─────────▶ │ Guest                        │
//!  │  lent[slot]: the   │   │ to host:  tail, asleep, entries ◀───────── │  a Pool of its own: a batch  │
//!  │  packets themselves│   │ slot 0: bytes │ slot 1: bytes │ …      │   │  of ordinary Packets         │
//!  │  free slots        │   │ a note: a brief, then answers         │   │                              │
//!  │                    │   └───────────────────────────────────────┘   └──────────────────────────────┘
//!  └─────────┬──────────┘                                                              │
//!            └────────────── a socket pair: wakes a sleeper, ends with either process ─┘
//! ```
//!
//! [`Domain::send`] copies packets into slots and keeps the packets; [`Domain::receive`] copies what came back into
//! the same packets and hands them out. So ownership is a matter of the trusted side's private memory, and a guest
//! can neither lose, duplicate nor make a packet: it can say what the bytes of those it was lent shall be, or that
//! they are dropped. When it dies, the packets are still there ([`Domain::reclaim`]).
//!
//! # What a hostile guest can and cannot do
//!
//! - **Read others' packets**: no. A domain has one guest, its memory is new and zeroed, and only packets for that
//!   guest are ever copied there. Slots are not scrubbed between packets of the same guest.
//! - **Change a packet after it was taken back**: no. Bytes are copied once into private memory and only read there.
//!   This is why there is a copy: were the dataplane's pool itself shared, a guest could write to packets that the
//!   next function already works on. No copy is needed where the next hop distrusts the bytes anyway (a device that
//!   sends straight out of the slot).
//! - **Confuse the rings**: no. There is no read position to forge: a ring has as many entries as there are slots,
//!   so whoever holds a free slot has room. The one position that the trusted side reads, the guest's `tail`, is
//!   checked against that bound, and each word of an entry is read once and then checked, against the private record of
//!   who has which slot and against the slot's room.
//! - **Truncate the memory** under the trusted side (SIGBUS): no; the memfd is sealed against it.
//! - **Block the trusted side**: no. Each end of the socket pair has flags of its own, and the trusted end does not block.
//! - **Waste the trusted side's time**: some. It can ask to be woken for every batch, and wake the other for nothing.
//! - **Answer questions** ([`Domain::ask`]) with bytes of its choice, [`NOTE_MAX`] at most, late or never: yes. The trusted
//!   side waits as long as it says, and works on a private copy.
//! - **Lie about** a packet's bytes, its egress port, flow hash and offload state: yes, that is its work. The port that
//!   it came from, its time stamp and its metadata stay as they were.
//!
//! ```
//! use packet::{Batch, Pool, PoolConfig};
//! use ports::shm::{Config, Domain, Guest};
//!
//! let pool = Pool::new(PoolConfig { buffers: 64, ..PoolConfig::default() })?;
//! let (mut domain, end) = Domain::create(Config { slots: 64, ..Config::default() })?;
//! let mut batch = Batch::new();
//! batch.push(pool.packet(b"ping").expect("a buffer")).expect("room");
//! domain.send(&mut batch);
//!
//! // In the guest's process, which was passed both descriptors.
//! let mut guest = Guest::attach(end.memory, end.wake)?;
//! let mut work = Batch::new();
//! guest.receive(&mut work);
//! work[0].data_mut()[1] = b'o';
//! guest.send(&mut work);
//!
//! assert_eq!(domain.receive(&mut batch), 1);
//! assert_eq!(batch[0].data(), b"pong");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Under loom only the ring is there: it models one, in memory that loom watches.
#[cfg(not(loom))]
mod area;
#[cfg(not(loom))]
mod bell;
#[cfg(not(loom))]
mod domain;
#[cfg(not(loom))]
mod guest;
#[cfg(not(loom))]
mod note;
#[cfg_attr(loom, expect(dead_code, reason = "not all of it is modelled"))]
mod ring;

use std::os::fd::OwnedFd;

#[cfg(not(loom))]
use packet::{Checksum, Offload, Packet, VIRTIO_HEADER};

/// How many packets ahead of the one at hand the slots' lines are asked for: one takes a few nanoseconds, a line from
/// another core about a hundred.
#[cfg(not(loom))]
const AHEAD: u32 = 8;

#[cfg(not(loom))]
pub use domain::{Counters, Domain, Faults, Reclaimed};
#[cfg(not(loom))]
pub use guest::Guest;

/// The most slots that a domain may have.
pub const SLOTS_MAX: u32 = 1 << 16;

/// The most bytes that a domain may have.
pub const BYTES_MAX: usize = 1 << 30;

/// The most bytes of a note: what a guest finds when it joins, or answers.
pub const NOTE_MAX: usize = 64 << 10;

/// How large a domain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many packets the guest may have at once; rounded up to a power of two, at most [`SLOTS_MAX`].
    pub slots: u32,
    /// The longest packet that crosses, in bytes: at most [`packet::BUFFER_MAX`].
    pub room: u32,
}

impl Default for Config {
    /// 256 ordinary frames, with space for the headers that a guest may add.
    fn default() -> Self {
        Self { slots: 256, room: (packet::ROOM + packet::HEADROOM) as u32 }
    }
}

/// What the guest's process is passed: [`Guest::attach`] wants both.
#[derive(Debug)]
pub struct GuestEnd {
    /// The shared memory.
    pub memory: OwnedFd,
    /// The guest's end of the socket pair. The trusted side must not keep a copy of it, or it will never see the
    /// guest's end.
    pub wake: OwnedFd,
}

/// Why a domain could not be made or joined.
#[derive(Debug, thiserror::Error)]
pub enum ShmError {
    /// The kernel refused.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// No slots, or more than [`SLOTS_MAX`].
    #[error("a domain has 1 to {SLOTS_MAX} slots, not {0}")]
    Slots(u32),
    /// A slot without room, or with more than [`packet::BUFFER_MAX`].
    #[error("a slot has room for 1 to {max} bytes, not {0}", max = packet::BUFFER_MAX)]
    Room(u32),
    /// More than [`BYTES_MAX`] in all.
    #[error("{0} bytes of slots are more than the {BYTES_MAX} that a domain may have")]
    Size(usize),
    /// A note longer than [`NOTE_MAX`].
    #[error("a note has up to {NOTE_MAX} bytes, not {0}")]
    Note(usize),
    /// The descriptor is that of something else.
    #[error("this is no packet memory: it begins with {magic:#x} and has {bytes} bytes")]
    NotOurs {
        /// The first eight bytes.
        magic: u64,
        /// How long it is.
        bytes: u64,
    },
    /// The guest's own buffers.
    #[error(transparent)]
    Pool(#[from] packet::PoolError),
}

/// What an entry of a ring says: a slot, the length of the packet in it, and what is known of the packet.
///
/// | word | low half | high half |
/// |---|---|---|
/// | 0 | slot | length |
/// | 1 | ingress port | egress port |
/// | 2 | timestamp | |
/// | 3 | flow hash | virtio-net header, bytes 0 to 3 |
/// | 4 | virtio-net header, bytes 4 to 9 | |
///
/// It stands in the ring and not in the slot, so that a frame of 64 bytes is one cache line and entries, which are read
/// in order, are fetched before they are asked for.
#[cfg(not(loom))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    slot: u32,
    len: u32,
    ingress: u32,
    egress: u32,
    timestamp_ns: u64,
    flow_hash: u32,
    virtio: [u8; VIRTIO_HEADER],
}

#[cfg(not(loom))]
impl Entry {
    /// The length that says that the packet is dropped: only the slot comes back.
    const DROPPED: u32 = u32::MAX;

    fn dropped(slot: u32) -> Self {
        Self { slot, len: Self::DROPPED, ..Self::default() }
    }

    #[inline]
    fn of(slot: u32, packet: &Packet) -> Self {
        Self {
            slot,
            len: packet.len() as u32,
            ingress: packet.ingress().0,
            egress: packet.egress().0,
            timestamp_ns: packet.timestamp_ns(),
            flow_hash: packet.flow_hash(),
            // Mostly nothing is left to be done.
            virtio: match packet.offload() {
                Offload { checksum: Checksum::Unknown, segmentation: None } => [0; VIRTIO_HEADER],
                offload => offload.to_virtio(),
            },
        }
    }

    #[inline]
    fn to_record(self) -> [u64; ring::RECORD] {
        let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let [a, b, c, d, rest @ ..] = self.virtio;
        let [e, f, g, h, i, j] = rest;
        [
            pair(self.slot, self.len),
            pair(self.ingress, self.egress),
            self.timestamp_ns,
            pair(self.flow_hash, u32::from_le_bytes([a, b, c, d])),
            u64::from_le_bytes([e, f, g, h, i, j, 0, 0]),
        ]
    }

    #[inline]
    fn of_record([place, ports, timestamp_ns, hash, rest]: [u64; ring::RECORD]) -> Self {
        let (low, high) = (|word: u64| word as u32, |word: u64| (word >> 32) as u32);
        let [a, b, c, d] = high(hash).to_le_bytes();
        let [e, f, g, h, i, j, ..] = rest.to_le_bytes();
        Self {
            slot: low(place),
            len: high(place),
            ingress: low(ports),
            egress: high(ports),
            timestamp_ns,
            flow_hash: low(hash),
            virtio: [a, b, c, d, e, f, g, h, i, j],
        }
    }
}

#[cfg(not(loom))]
fn system(action: &'static str) -> impl Fn(rustix::io::Errno) -> ShmError {
    move |error| ShmError::System { action, source: error.into() }
}

#[cfg(all(test, not(loom)))]
mod hostile_tests;
#[cfg(all(test, not(loom)))]
mod tests;
