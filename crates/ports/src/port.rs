//! The one trait that every kind of port has, and what its queues can do.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};

use packet::Batch;

use crate::PortError;

/// A place where packets enter and leave.
///
/// The port itself is the control side: what it is, whether its link is up, what it has counted. Its queues do
/// the work; each is handed out once, to the worker that will run it, and needs no lock from then on.
pub trait Port: Send {
    /// What the port is.
    fn info(&self) -> &PortInfo;

    /// Whether a frame sent now could arrive.
    fn link(&self) -> LinkState;

    /// What its queues have counted so far, added up.
    fn counters(&self) -> Counters;

    /// The two directions of a queue; `None` when there is no such queue or it is already in use.
    fn queue(&mut self, index: usize) -> Option<(Box<dyn RxQueue>, Box<dyn TxQueue>)>;

    /// Duplicates of the descriptors that it is made of, from which [`adopt`](crate::adopt) makes it anew in another process,
    /// which then has what the kernel holds for it. Both may not be used at a time. `None` where that is not possible.
    ///
    /// # Errors
    /// When there are no more descriptors to be had.
    fn duplicate(&self) -> std::io::Result<Option<Vec<OwnedFd>>> {
        Ok(None)
    }
}

/// The receiving side of a port's queue.
pub trait RxQueue: Send {
    /// Adds as many waiting packets to the batch as it has room for and returns how many; 0 when none wait.
    ///
    /// # Errors
    /// When the port is gone or broken. A packet that cannot be taken is dropped and counted, not an error.
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError>;

    /// Sees to what is not a packet, such as a new client of a socket, for as long as nobody receives. A port that has
    /// nothing of the kind does nothing.
    fn tend(&mut self) {}

    /// Whether [`tend`](RxQueue::tend) does something.
    fn tends(&self) -> bool {
        false
    }

    /// A descriptor that polls readable while packets wait, so that a worker can sleep; `None` for a port that
    /// must be asked.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// The sending side of a port's queue.
pub trait TxQueue: Send {
    /// Takes packets from the front of the batch and returns how many. What it leaves there it has no space for
    /// now; whoever calls decides whether to try again or to drop.
    ///
    /// # Errors
    /// When the port is gone or broken. A packet that can never be sent is dropped and counted, not an error.
    fn send(&mut self, batch: &mut Batch) -> Result<usize, PortError>;
}

/// What a port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// The name it was opened under.
    pub name: String,
    /// The driver: `tap`, `packet`, `xdp`, `unix`, `memif`, `pcap`, `ring`.
    pub kind: &'static str,
    /// The address of the interface, where it has one.
    pub mac: Option<[u8; 6]>,
    /// The largest frame payload in bytes (after the Ethernet header).
    pub mtu: usize,
    /// How many queues it has.
    pub queues: usize,
    /// What may be left to it.
    pub offloads: Offloads,
}

/// What a port does for the packets that it sends; the rest is done in software before it gets them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Finishes a partial checksum.
    pub checksum: bool,
    /// Takes TCP segments up to 64 KiB.
    pub tcp_segmentation: bool,
    /// Takes trains of UDP datagrams up to 64 KiB.
    pub udp_segmentation: bool,
}

/// Whether a frame sent now could arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Yes.
    Up,
    /// Not now.
    Down,
    /// The port has no notion of a link.
    Unknown,
}

/// What a port or queue has counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received, of frames as they came (a large segment counts once).
    pub rx_bytes: u64,
    /// Packets that arrived but were dropped for want of a buffer or for being malformed.
    pub rx_dropped: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that were to be sent but could not be.
    pub tx_dropped: u64,
}

impl std::ops::Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rx_packets: self.rx_packets + other.rx_packets,
            rx_bytes: self.rx_bytes + other.rx_bytes,
            rx_dropped: self.rx_dropped + other.rx_dropped,
            tx_packets: self.tx_packets + other.tx_packets,
            tx_bytes: self.tx_bytes + other.tx_bytes,
            tx_dropped: self.tx_dropped + other.tx_dropped,
        }
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rx {} packets {} bytes {} dropped, tx {} packets {} bytes {} dropped",
            self.rx_packets, self.rx_bytes, self.rx_dropped, self.tx_packets, self.tx_bytes, self.tx_dropped
        )
    }
}
