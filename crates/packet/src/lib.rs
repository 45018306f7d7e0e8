//! Packets: the buffers they live in, the batches they travel in, and the formats they are written in.
//!
//! ```text
//!              ┌ Pool ────────────────────────────────────────────────────────┐
//!              │ [header|metadata|headroom│▓▓ frame ▓▓│tailroom] [header|…]   │
//!              └──▲───────────────────────▲──────────────────────────────────-┘
//!   Batch [● ● …] ┘ Packet: one owner     │
//!                                         └ wire::*::View, parse::Layers, flow::FlowKey
//! ```
//!
//! A [`Packet`] owns one buffer of a [`Pool`]; passing it on is a move, dropping it sends the buffer home. Work
//! that the last hop may do better (checksums, segmentation) stays with the packet as its [`Offload`]. The
//! [`wire`] formats are views: they check every length once and then read in place.
//!
//! ```
//! use packet::flow::FlowKey;
//! use packet::parse::Layers;
//! use packet::{Pool, PoolConfig};
//!
//! let pool = Pool::new(PoolConfig::default())?;
//! let frame = [
//!     0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00, // Ethernet II, IPv4
//!     0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0x66, 0xcd, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4, UDP
//!     0x30, 0x39, 0, 53, 0, 10, 0, 0, b'h', b'i', // UDP 12345 -> 53
//! ];
//! let packet = pool.packet(&frame).expect("a free buffer");
//! let layers = Layers::of(packet.data())?;
//! let flow = FlowKey::of(&layers, packet.data()).expect("a transport layer");
//! assert_eq!(flow.to_string(), "udp 10.0.0.1:12345 -> 10.0.0.2:53");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod buffer;
pub mod checksum;
pub mod flow;
#[doc(hidden)]
pub mod fuzzing;
mod meta;
mod offload;
mod open;
pub mod parse;
pub mod pcap;
pub mod pcapng;
mod pool;
pub mod wire;

pub use batch::{BATCH, Batch};
pub use buffer::{NoRoom, Packet, PortId};
pub use meta::{METADATA, MetaLayout, MetaSlot, MetadataFull};
pub use offload::{Checksum, Offload, OffloadError, SegmentKind, Segmentation, VIRTIO_HEADER};
pub use open::OpenPacket;
pub use pool::{BUFFER_MAX, BUFFERS_MAX, HEADROOM, HugePages, Pool, PoolConfig, PoolError, ROOM, ROOM_GSO};
