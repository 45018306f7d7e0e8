//! The switch's ports: what they are, how they are configured, what they counted, and their queues.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Fault, PortModFailed};
use crate::message::PortMod;
use crate::port::{Port, PortNo, PortStats, config, state};
use crate::queue::{Queue, QueueStats};
use crate::version::Version;

/// Ports a switch may have.
pub const PORTS_MAX: usize = 4096;
/// Queues a port may have.
pub const QUEUES_MAX: usize = 64;

/// Packets and bytes.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) packets: Cell<u64>,
    pub(super) bytes: Cell<u64>,
}

impl Count {
    pub(super) fn add(&self, bytes: usize) {
        self.packets.set(self.packets.get().wrapping_add(1));
        self.bytes.set(self.bytes.get().wrapping_add(bytes as u64));
    }

    pub(super) fn get(&self) -> (u64, u64) {
        (self.packets.get(), self.bytes.get())
    }

    pub(super) fn reset(&self) {
        self.packets.set(0);
        self.bytes.set(0);
    }
}

/// A queue and what it counted.
#[derive(Debug)]
pub(super) struct QueueState {
    pub(super) queue: Queue,
    pub(super) sent: Count,
}

/// A port and what it counted.
#[derive(Debug)]
pub(super) struct PortState {
    pub(super) port: Port,
    pub(super) added: Duration,
    pub(super) received: Count,
    pub(super) sent: Count,
    pub(super) rx_dropped: Cell<u64>,
    pub(super) tx_dropped: Cell<u64>,
    pub(super) rx_errors: Cell<u64>,
    pub(super) queues: Vec<QueueState>,
}

impl PortState {
    /// Whether packets can go out: up, with a carrier, and allowed to forward.
    pub(super) const fn forwards(&self) -> bool {
        self.is_up() && self.port.config & config::NO_FWD == 0
    }

    pub(super) const fn is_up(&self) -> bool {
        self.port.config & config::PORT_DOWN == 0 && self.port.state & state::LINK_DOWN == 0
    }

    /// Whether flooding includes it: `NO_FLOOD` is 1.0's, blocking and 1.0's spanning tree states (bits 8 and 9) the port's.
    pub(super) const fn floods(&self) -> bool {
        self.forwards() && self.port.config & config::NO_FLOOD == 0 && self.port.state & state::BLOCKED == 0
    }

    /// Whether it takes packets in.
    pub(super) const fn receives(&self) -> bool {
        self.port.config & (config::PORT_DOWN | config::NO_RECV) == 0
    }
}

/// `Cell` counters count up.
pub(super) fn bump(cell: &Cell<u64>) {
    cell.set(cell.get().wrapping_add(1));
}

/// Seconds and nanoseconds since a time.
pub(super) fn since(now: Duration, then: Duration) -> (u32, u32) {
    let age = now.saturating_sub(then);
    (u32::try_from(age.as_secs()).unwrap_or(u32::MAX), age.subsec_nanos())
}

/// Why a port was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Not a number a port may have.
    #[error("{} is not a number for a port", .0.0)]
    Number(PortNo),
    /// As many ports as there may be.
    #[error("{PORTS_MAX} ports are there, as many as may be")]
    TooMany,
    /// As many queues as a port may have.
    #[error("a port has at most {QUEUES_MAX} queues")]
    TooManyQueues,
    /// No such port.
    #[error("there is no port {}", .0.0)]
    Unknown(PortNo),
}

/// All ports, by number.
#[derive(Debug, Default)]
pub(super) struct Ports {
    ports: BTreeMap<u32, PortState>,
}

impl Ports {
    pub(super) fn get(&self, number: u32) -> Option<&PortState> {
        self.ports.get(&number)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PortState> {
        self.ports.values()
    }

    /// Adds a port, or describes the one there anew. `true` where it is new.
    pub(super) fn set(&mut self, now: Duration, port: Port) -> Result<bool, PortError> {
        let number = port.number;
        if number.0 == 0 || (number > PortNo::MAX && number != PortNo::LOCAL) {
            return Err(PortError::Number(number));
        }
        if let Some(state) = self.ports.get_mut(&number.0) {
            // What a controller configured stays.
            let config = state.port.config;
            state.port = Port { config, ..port };
            return Ok(false);
        }
        if self.ports.len() >= PORTS_MAX {
            return Err(PortError::TooMany);
        }
        let state = PortState {
            port,
            added: now,
            received: Count::default(),
            sent: Count::default(),
            rx_dropped: Cell::new(0),
            tx_dropped: Cell::new(0),
            rx_errors: Cell::new(0),
            queues: Vec::new(),
        };
        self.ports.insert(number.0, state);
        Ok(true)
    }

    pub(super) fn remove(&mut self, number: PortNo) -> Option<Port> {
        self.ports.remove(&number.0).map(|state| state.port)
    }

    pub(super) fn set_queues(&mut self, port: PortNo, queues: Vec<Queue>) -> Result<(), PortError> {
        let state = self.ports.get_mut(&port.0).ok_or(PortError::Unknown(port))?;
        if queues.len() > QUEUES_MAX {
            return Err(PortError::TooManyQueues);
        }
        let make = |queue| QueueState { queue, sent: Count::default() };
        state.queues = queues.into_iter().map(make).collect();
        Ok(())
    }

    pub(super) fn queue(&self, port: u32, queue: u32) -> Option<&QueueState> {
        self.get(port)?.queues.iter().find(|known| known.queue.queue == queue)
    }

    /// `ofp_port_mod`: the port as it is then.
    pub(super) fn modify(&mut self, version: Version, request: &PortMod) -> Result<Option<Port>, Fault> {
        let state = self.ports.get_mut(&request.port.0).ok_or(PortModFailed::BadPort)?;
        if request.address != state.port.address {
            return Err(PortModFailed::BadHwAddr.into());
        }
        let both = config::PORT_DOWN | config::NO_RECV | config::NO_FWD | config::NO_PACKET_IN;
        let known = match version {
            Version::V10 => both | config::NO_STP | config::NO_RECV_STP | config::NO_FLOOD,
            Version::V13 => both,
        };
        if request.mask & !known != 0 && version == Version::V13 {
            return Err(PortModFailed::BadConfig.into());
        }
        let mask = request.mask & known;
        let config = state.port.config & !mask | request.config & mask;
        let changed = config != state.port.config;
        state.port.config = config;
        Ok(changed.then(|| state.port.clone()))
    }

    pub(super) fn stats(&self, now: Duration, port: PortNo) -> Vec<PortStats> {
        let wanted = |state: &&PortState| port == PortNo::ANY || state.port.number == port;
        let one = |state: &PortState| {
            let ((rx_packets, rx_bytes), (tx_packets, tx_bytes)) = (state.received.get(), state.sent.get());
            PortStats {
                port: state.port.number,
                rx_packets,
                tx_packets,
                rx_bytes,
                tx_bytes,
                rx_dropped: state.rx_dropped.get(),
                tx_dropped: state.tx_dropped.get(),
                rx_errors: state.rx_errors.get(),
                duration: since(now, state.added),
                ..PortStats::default()
            }
        };
        self.iter().filter(wanted).map(one).collect()
    }

    pub(super) fn queue_stats(&self, now: Duration, port: PortNo, queue: u32) -> Vec<QueueStats> {
        let all = matches!(port, PortNo::ANY | PortNo::ALL);
        let ports = self.iter().filter(|state| all || state.port.number == port);
        let queues = ports.flat_map(|state| state.queues.iter().map(move |queue| (state, queue)));
        let wanted =
            |(_, known): &(&PortState, &QueueState)| queue == crate::queue::ALL || known.queue.queue == queue;
        let one = |(port, known): (&PortState, &QueueState)| QueueStats {
            port: port.port.number,
            queue: known.queue.queue,
            tx_bytes: known.sent.get().1,
            tx_packets: known.sent.get().0,
            tx_errors: 0,
            duration: since(now, port.added),
        };
        queues.filter(wanted).map(one).collect()
    }
}
