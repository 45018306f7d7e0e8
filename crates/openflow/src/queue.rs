//! Queues of a port (OpenFlow 1.0, section 5.2.2; 1.3.5, section 7.2.2).

use crate::port::PortNo;

/// Every queue, in requests.
pub const ALL: u32 = 0xffff_ffff;

/// A queue as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queue {
    /// Its number.
    pub queue: u32,
    /// 1.3: its port (in 1.0 that of the message).
    pub port: PortNo,
    /// Its properties.
    pub properties: Vec<QueueProperty>,
}

/// A property of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueProperty {
    /// Guaranteed rate in tenths of a percent; over 1000 is none.
    MinRate(u16),
    /// Highest rate in tenths of a percent; over 1000 is none.
    MaxRate(u16),
    /// 1.3: another maker's.
    Experimenter {
        /// Who.
        experimenter: u32,
        /// All that follows.
        data: Vec<u8>,
    },
    /// None of these: its number and bytes behind the property's header.
    Other(u16, Vec<u8>),
}

/// Counters of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// Its port.
    pub port: PortNo,
    /// Its number.
    pub queue: u32,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets dropped.
    pub tx_errors: u64,
    /// Its age: seconds, nanoseconds (1.3).
    pub duration: (u32, u32),
}
