//! memif: packets through memory that is shared with another process, which may run in a container or another dataplane.
//!
//! ```text
//!      client                                              server
//!  ┌────────────┐  Unix socket: what is shared, its fds  ┌───────────┐
//!  │            │ ─────────────────────────────────────▶ │           │
//!  │  makes the │  ┌──── memfd, sealed ───────────────┐  │ maps it,  │
//!  │  memory    │  │ ring to server  │ ring to client │  │ trusts    │
//!  │            │  │ buffer│buffer│… │ buffer│buffer│… │  │ nothing   │
//!  │            │  └──────────────────────────────────┘  │ in it     │
//!  └────────────┘  eventfds: wake whoever sleeps         └───────────┘
//! ```
//!
//! The protocol is FD.io's, version 2.0, as VPP, libmemif and DPDK's `net_memif` speak it. A port is a server, which
//! listens, or a client, which connects, tries again every [`RETRY`] and owns the memory. Each has so many queues; when
//! the other side has fewer, queues that send share its rings. A frame longer than a buffer lies in several.
//!
//! Why memif and not vhost-user: both let a process in without a copy by the kernel. memif was made for two equal
//! processes, has a client side that needs no virtual machine, and its peers are packaged (DPDK, VPP); vhost-user's other
//! side is the driver of a virtual machine's kernel, which QEMU must be started for.
//!
//! | module | what is in it |
//! |---|---|
//! | `wire` | control messages |
//! | `session` | the control channel, as a state machine without I/O |
//! | `layout`, `memory` | where things lie in a client's memory; making, checking and mapping memory |
//! | `ring`, `half`, `transfer` | positions in a ring; a ring with its buffers; packets in and out |
//! | `bell` | waking the other process |
//! | `live`, `control` | a session with its socket and memory; the thread that minds a socket |
//! | `interface`, `queue` | what thread and queues share; the queues |
//!
//! # What a hostile peer can and cannot do
//!
//! - **Read or change packets of others**: no. Packets are copied between the shared memory and the pool, each byte once.
//! - **Make this process touch other memory**: no. Every word of a descriptor is read once and then checked: its region,
//!   offset and length. Positions in rings are checked against what was lent. A client does not even read where its own
//!   buffers are.
//! - **Take the memory away** (SIGBUS): no. A server takes only memory that is sealed against truncation, or seals it,
//!   and no memory of huge pages.
//! - **Block a worker**: no. Eventfds that both have are never read or written: they are watched for changes, and rung by
//!   a way that cannot wait (`bell`). A ring that is never emptied is full, and its packets stay with the caller.
//! - **Block the control thread**: no; a client that stalls is dismissed after 5 s. Except that it may hand
//!   over a descriptor that hangs when closed (a file of its own FUSE file system), which stops new connections to that
//!   one socket, and no packet.
//! - **Exhaust memory or descriptors**: no. A connection has up to 16 regions, 1 GiB in all, and the rings that the port
//!   has queues; 16 clients may be in the middle of connecting.
//! - **Waste time**: some. It may wake a sleeping worker for nothing, and ask to be woken for each batch.
//!
//! Whoever breaks the rules of a ring is disconnected, with the reason said, and what was lost is counted. A client tries
//! again; to a server, another one may come.

// Under loom only the ring is there: it models one, in memory that loom watches.
#[cfg(not(loom))]
mod bell;
#[cfg(not(loom))]
mod control;
#[cfg(not(loom))]
pub(crate) mod fuzzing;
#[cfg(not(loom))]
mod half;
#[cfg(not(loom))]
mod interface;
#[cfg(not(loom))]
mod layout;
#[cfg(not(loom))]
mod live;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod port;
#[cfg(not(loom))]
mod queue;
#[cfg_attr(loom, expect(dead_code, reason = "not all of it is modelled"))]
mod ring;
#[cfg(not(loom))]
mod session;
#[cfg(not(loom))]
mod transfer;
#[cfg(not(loom))]
mod wire;

#[cfg(not(loom))]
pub use control::RETRY;
#[cfg(not(loom))]
pub use port::{MemifConfig, MemifPort, QUEUES_MAX, Role, Status};

#[cfg(all(test, not(loom)))]
mod hostile_tests;
