//! What an engine looks like at one moment, for `show` and `top`.

use ports::{Counters, LinkState};
use serde::{Deserialize, Serialize};

use super::{Access, Attribute, Gate, Place};

/// An engine at one moment. Each worker is counted between two batches, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The workers, by number.
    pub workers: Vec<WorkerSnapshot>,
    /// The modules, by name.
    pub modules: Vec<ModuleSnapshot>,
    /// The ports, by name.
    pub ports: Vec<PortSnapshot>,
}

impl Snapshot {
    /// The module of that name.
    pub fn module(&self, name: &str) -> Option<&ModuleSnapshot> {
        self.modules.iter().find(|module| module.name == name)
    }
}

/// A worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerSnapshot {
    /// Its number.
    pub index: usize,
    /// Whether it gives turns; not while it is paused.
    pub running: bool,
    /// The core that it was to be pinned to.
    pub core: Option<usize>,
    /// Whether the kernel has done so.
    pub pinned: bool,
    /// Tasks, of modules and of rings.
    pub tasks: usize,
    /// Tasks that have work at this moment.
    pub active_tasks: usize,
    /// Turns given so far.
    pub turns: u64,
    /// Packets that its tasks have brought into the graph.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Times it went to sleep.
    pub sleeps: u64,
    /// Nanoseconds awake.
    pub awake_ns: u64,
    /// Nanoseconds asleep for want of work.
    pub asleep_ns: u64,
    /// Nanoseconds of CPU time used.
    pub cpu_ns: u64,
    /// Packets dropped because they went in circles.
    pub circling: u64,
    /// Nanoseconds that the longest edit has kept it from its packets.
    pub stall_ns_max: u64,
}

/// A module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleSnapshot {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// The worker that owns it; `None` once it is taken out.
    pub worker: Option<usize>,
    /// How many tasks it has.
    pub tasks: usize,
    /// Packets that have come in, by input gate, as far as gates have been opened.
    pub inputs: Vec<u64>,
    /// Hooks on input gates, by name and class.
    pub input_hooks: Vec<(Gate, Vec<(String, String)>)>,
    /// Its output gates, as far as they have been opened.
    pub outputs: Vec<GateSnapshot>,
    /// Packets that it has not let out again, on purpose or for want of a gate.
    pub dropped: u64,
    /// Packets lost to a panic, or that came while it was out of order.
    pub lost: u64,
    /// Packets that it keeps inside.
    pub held: usize,
    /// The metadata attributes that it uses.
    pub attributes: Vec<AttributeSnapshot>,
    /// What it panicked with, if it is out of order.
    pub failed: Option<String>,
    /// What it says of itself.
    pub status: String,
}

/// A module and where its output gates lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleLinks {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: &'static str,
    /// The worker that owns it.
    pub worker: usize,
    /// How many tasks it has.
    pub tasks: usize,
    /// How many input gates it has.
    pub inputs: Gate,
    /// How many output gates it has.
    pub outputs: Gate,
    /// Its connections: output gate, the module that it leads to, the input gate there.
    pub links: Vec<(Gate, String, Gate)>,
}

/// A metadata attribute of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeSnapshot {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u8,
    /// `read`, `write` or `update`.
    pub access: String,
    /// Where it lies in a packet's metadata, or why it lies nowhere, as BESS numbers it: -1 nobody has written it, -2
    /// nobody reads it, -3 no space.
    pub offset: i64,
}

impl AttributeSnapshot {
    pub(crate) fn of(attribute: &Attribute, place: Place) -> Self {
        let access = match attribute.access {
            Access::Read => "read",
            Access::Write => "write",
            Access::Update => "update",
        };
        let offset = match place {
            Place::At(offset) => i64::from(offset),
            Place::NoRead => -1,
            Place::NoWrite => -2,
            Place::NoSpace => -3,
        };
        Self { name: attribute.name.clone(), size: attribute.size, access: access.to_owned(), offset }
    }
}

/// An output gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateSnapshot {
    /// The module and the input gate that it leads to.
    pub to: Option<(String, Gate)>,
    /// Batches that went there.
    pub batches: u64,
    /// Packets that went there.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets dropped because nothing was connected.
    pub unconnected: u64,
    /// Packets dropped because the ring to the next worker was full.
    pub overrun: u64,
    /// Its hooks, by name and class.
    pub hooks: Vec<(String, String)>,
}

/// A port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSnapshot {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub kind: String,
    /// Whether its link is up; `None` when the port has no notion of one.
    pub up: Option<bool>,
    /// Its queues.
    pub queues: usize,
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets that arrived but were dropped by the port.
    pub rx_dropped: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that were to be sent but could not be.
    pub tx_dropped: u64,
}

impl PortSnapshot {
    pub(crate) fn of(name: &str, port: &dyn ports::Port) -> Self {
        let Counters { rx_packets, rx_bytes, rx_dropped, tx_packets, tx_bytes, tx_dropped } = port.counters();
        Self {
            name: name.to_owned(),
            kind: port.info().kind.to_owned(),
            up: match port.link() {
                LinkState::Up => Some(true),
                LinkState::Down => Some(false),
                LinkState::Unknown => None,
            },
            queues: port.info().queues,
            rx_packets,
            rx_bytes,
            rx_dropped,
            tx_packets,
            tx_bytes,
            tx_dropped,
        }
    }
}
