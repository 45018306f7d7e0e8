//! Where packets enter and leave: one trait over TAP interfaces, packet sockets, AF_XDP, Unix sockets, memif, capture files
//! and memory.
//!
//! ```text
//!                 Port: info, link, counters          control side, stays with whoever opened it
//!                   │ queue(n), once each
//!        ┌──────────┴──────────┐
//!     RxQueue               TxQueue                   to the worker that runs them; no lock from then on
//!   receive(&mut Batch)   send(&mut Batch)
//!        ▲                     │ what the port lacks: finish::{complete, Segments}
//!  tap packet xdp unix memif pcap ring
//! ```
//!
//! A received packet carries the work that its sender left undone as its [`packet::Offload`]; a port does that work
//! when it sends, by itself or through the kernel, and leaves it undone where the other side can do it later. So a TCP
//! segment of 64 KiB crosses from one TAP to another in one piece, and its checksum is never computed.
//!
//! A queue that cannot take a packet now leaves it in the batch; a packet that can never be sent is dropped and
//! counted. A link that goes down is a [`LinkState`]; only what ends a port for good is a [`PortError`].
//!
//! ```
//! use packet::{Batch, Pool, PoolConfig};
//! use ports::{Port, PortSpec};
//!
//! let pool = Pool::new(PoolConfig::default())?;
//! let spec: PortSpec = "ring:loop,capacity=64".parse()?; // or tap:wt0, veth:eth1, xdp:eth1, unix:@name, pcap:in.pcap
//! let mut port = ports::open(&spec, &pool)?;
//! let (mut rx, mut tx) = port.queue(0).expect("a queue that nobody has yet");
//!
//! let mut batch = Batch::new();
//! batch.push(pool.packet(b"a frame").expect("a free buffer")).expect("room");
//! assert_eq!(tx.send(&mut batch)?, 1);
//!
//! assert_eq!(rx.receive(&mut batch)?, 1);
//! assert_eq!(batch[0].data(), b"a frame");
//! assert_eq!(port.counters().to_string(), "rx 1 packets 7 bytes 0 dropped, tx 1 packets 7 bytes 0 dropped");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bpf;
mod counters;
mod error;
pub mod finish;
#[cfg(not(loom))]
mod foreign;
#[cfg(not(loom))]
pub mod fuzzing;
mod interface;
pub mod memif;
mod packet_ring;
pub mod packet_socket;
pub mod pcap;
mod port;
pub mod ring;
mod seqpacket;
pub mod shm;
#[cfg(not(loom))]
pub mod spec;
pub mod tap;
pub mod unix;
mod wake;
pub mod xdp;
mod xdp_ring;

pub use error::PortError;
pub use port::{Counters, LinkState, Offloads, Port, PortInfo, RxQueue, TxQueue};
#[cfg(not(loom))]
pub use spec::{PortSpec, adopt, open};
