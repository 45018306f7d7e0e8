//! What is asked for: network functions, pipelets, and the hardware they run on.
//!
//! A policy is one YAML file. YAML because `serde-saphyr`, which the workspace reads manifests with already, gives every value's
//! line and column and bounds what a file may cost; a TOML reader would be one more dependency, and lists of edges, most of a
//! policy, read badly in TOML.

mod check;
mod fault;
mod instances;
mod paths;
mod read;

pub use fault::{Fault, FaultKind, Faults, Place};
pub use instances::{INSTANCES_EACH_MAX, Instances};

use serde::Serialize;

use crate::filter::Filter;
use crate::key::Fields;
use crate::rate::{Rate, Share};

/// The longest file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// The most network functions.
pub const FUNCTIONS_MAX: usize = 1024;
/// The most attributes of a network function.
pub const ATTRIBUTES_MAX: usize = 32;
/// The most pipelets.
pub const PIPELETS_MAX: usize = 1024;
/// The most edges of all pipelets.
pub const EDGES_MAX: usize = 8192;
/// The most servers, and the most ports.
pub const SERVERS_MAX: usize = 1024;
/// The most cores of a server.
pub const CORES_MAX: u32 = 1024;
/// The most entries of a switch's table.
pub const ENTRIES_MAX: u32 = 1 << 24;

/// Everything that a file says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Network functions, by their place in the file.
    pub functions: Vec<Function>,
    /// Pipelets, by their place in the file: where the traffic of two overlaps, the first has it.
    pub pipelets: Vec<Pipelet>,
    /// What it runs on.
    pub hardware: Hardware,
}

/// How a network function takes packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// By the native interface: without copies, with tags that travel with a packet.
    Native,
    /// By a device of the kernel's; tags end at it.
    Legacy,
}

/// How an attribute reaches the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Packets that have it leave by a port of their own.
    Port,
    /// A tag that travels with the packet.
    Metadata,
}

/// A network function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// What pipelets call it.
    pub name: String,
    /// How it takes packets.
    pub kind: Kind,
    /// The attributes that it gives, by name.
    pub attributes: Vec<(String, Delivery)>,
    /// What its state is kept by; none where it keeps none.
    pub affinity: Fields,
    /// What one core of it carries; unlimited where nobody said.
    pub capacity: Option<Rate>,
    /// Whether there may be more than one instance.
    pub scalable: bool,
    /// How many there are, at least and at most.
    pub instances: Instances,
    /// Whether each instance, a native one, runs in a confined process.
    pub isolated: bool,
    /// Header fields that it changes.
    pub rewrites: Fields,
    /// Entries of a switch's table that do the same; none where a switch cannot.
    pub switch_entries: Option<u32>,
    /// What runs: for native ones a line of the room netbricks, `[firewall, "rule=permit out any any"]`, for legacy ones a command.
    pub run: Vec<String>,
    /// Ports whose packets come to its inside, by place; those of others come to its outside. Where none is said, all come to
    /// its inside.
    pub inside: Vec<usize>,
    /// Where in the file.
    pub place: Place,
}

/// Where an edge starts or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A port of the hardware, by its place.
    Port(usize),
    /// A network function, by its place.
    Function(usize),
}

/// What a class of traffic passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipelet {
    /// Its name.
    pub name: String,
    /// Which packets, as they come in by a port.
    pub traffic: Filter,
    /// How much it is thought to be.
    pub rate: Rate,
    /// Its edges: a graph without cycles from ports to ports.
    pub edges: Vec<Edge>,
    /// Where in the file.
    pub place: Place,
}

/// A way from one end to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Where packets come from.
    pub from: End,
    /// Where they go.
    pub to: End,
    /// Which of them.
    pub when: Filter,
    /// How much of what leaves `from` in this pipelet takes this edge; of ports, of what the pipelet gets.
    pub share: Share,
    /// Where in the file.
    pub place: Place,
}

/// Servers on a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// The switch between all servers.
    pub switch: Switch,
    /// Servers, by their place in the file.
    pub servers: Vec<Server>,
    /// Where traffic comes in and leaves.
    pub ports: Vec<Port>,
}

/// A switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Its name.
    pub name: String,
    /// How many entries its table has.
    pub entries: u32,
    /// Where in the file.
    pub place: Place,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Cores for instances, one each.
    pub cores: u32,
    /// What its links to the switch carry, each way, in sum.
    pub rate: Rate,
    /// Where in the file.
    pub place: Place,
}

/// A port of the switch to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// What it carries, each way.
    pub rate: Rate,
    /// What it really is, as [`ports::spec`] has it: `veth:eth1`.
    pub at: Option<String>,
    /// Where in the file.
    pub place: Place,
}

impl Policy {
    /// Reads a file and checks all that it says.
    ///
    /// # Errors
    /// Everything that is wrong, in order of lines.
    pub fn read(text: &str) -> Result<Self, Faults> {
        read::read(text)
    }

    /// The name of an end.
    pub fn name(&self, end: End) -> &str {
        match end {
            End::Port(place) => &self.hardware.ports[place].name,
            End::Function(place) => &self.functions[place].name,
        }
    }

    /// How many cores there are.
    pub fn cores(&self) -> u64 {
        self.hardware.servers.iter().map(|server| u64::from(server.cores)).sum()
    }
}
