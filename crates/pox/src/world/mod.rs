//! A whole network in virtual time: switches, hosts and links of a topology, under the controller and the components that run
//! live too. The same seed gives the same run, byte for byte.
//!
//! ```text
//!   hosts ── links ── openflow::switch ── channels, real bytes ── Controller ── components
//! ```
//!
//! ```
//! use std::time::Duration;
//! use pox::world::{World, WorldConfig};
//! use topology::{LinkSpec, generate};
//!
//! let network = generate::with_hosts(generate::line(3, &LinkSpec::default())?, 1, &LinkSpec::default())?;
//! let mut world = World::new(&network, WorldConfig::default())?;
//! world.launch("forwarding.l2_learning")?;
//! world.run_for(Duration::from_secs(1))?;
//! assert!(world.ping_within("h1", "h3", Duration::from_secs(1))?.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Links lose nothing and have no rate, only the topology's delay; what would have more than [`IN_FLIGHT_MAX`] frames under way in
//! one direction drops the rest, and counts them.

mod acts;
mod host;
mod queue;
mod run;
mod switch;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use openflow::Version;
use openflow::switch::{PortError, Switch};
use packet::wire::MacAddr;
use thiserror::Error;
use topology::{Endpoint, NodeId, NodeKind, PortNumber, Topology};

use crate::Core;
use crate::controller::Controller;
use crate::launch::{self, LaunchError, Launcher};
use crate::nexus::{ConnectionId, Dpid};
use crate::random::Random;

use queue::Queue;
use switch::SimSwitch;

pub use host::{
    ARP_RETRY, ARP_TRIES, Datagram, Host, KEPT_MAX, NEIGHBOURS_MAX, PINGS_MAX, Ping, WAITING_MAX,
};

/// Frames under way on a link in one direction.
pub const IN_FLIGHT_MAX: u32 = 1_024;
/// What may happen in one run.
pub const HAPPENINGS_MAX: u64 = 100_000_000;
/// The delay of a link whose topology says none.
pub const LINK_DELAY: Duration = Duration::from_micros(10);
/// How long a switch waits before it calls the controller again.
pub const REDIAL: Duration = Duration::from_secs(1);

/// What a world is like.
#[derive(Debug, Clone)]
pub struct WorldConfig {
    /// What switches speak, in turn: two entries make a mixed network.
    pub versions: Vec<Version>,
    /// Packets a switch keeps for the controller. None, as Open vSwitch; 256 as OpenFlow's first switches.
    pub buffers: u32,
    /// One way between switch and controller.
    pub control_delay: Duration,
    /// Within what time the switches connect, in an order that the seed draws.
    pub spread: Duration,
    /// What is drawn comes from here.
    pub seed: u64,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            versions: vec![Version::V13],
            buffers: 0,
            control_delay: Duration::from_micros(500),
            spread: Duration::from_millis(10),
            seed: 1,
        }
    }
}

/// Why the world is not as it was told to be.
#[derive(Debug, Error)]
pub enum WorldError {
    /// No node of that name and kind.
    #[error("there is no {kind} '{name}'")]
    Missing {
        /// What was looked for.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// No link between these two.
    #[error("there is no link between '{0}' and '{1}'")]
    NoLink(String, String),
    /// A port that a switch cannot have.
    #[error("{0}: {1}")]
    Port(String, PortError),
    /// [`HAPPENINGS_MAX`].
    #[error("more than {HAPPENINGS_MAX} things have happened in one run")]
    TooMuch,
    /// Components that were not launched.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// Hosts have one link each.
    #[error("host '{0}' has no link")]
    Unplugged(String),
}

/// What is at the end of a link.
#[derive(Debug)]
enum Node {
    Switch(Box<SimSwitch>),
    Host(Box<Host>),
}

/// One direction of a link.
#[derive(Debug)]
struct Wire {
    to: Endpoint,
    delay: Duration,
    /// Whether its ends see a carrier.
    carrier: bool,
    /// Whether frames pass.
    passes: bool,
    in_flight: u32,
}

/// What a world has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorldCounters {
    /// Frames that went over a link.
    pub frames: u64,
    /// Frames that were lost: no link, a dead one, too many under way.
    pub lost: u64,
    /// Bytes of control channels, both ways.
    pub control_bytes: u64,
}

/// A network in virtual time.
pub struct World {
    config: WorldConfig,
    now: Duration,
    started: bool,
    queue: Queue,
    controller: Controller,
    controller_timer: Option<Duration>,
    names: BTreeMap<String, NodeId>,
    nodes: BTreeMap<NodeId, Node>,
    wires: BTreeMap<Endpoint, Wire>,
    lines: u64,
    owners: BTreeMap<ConnectionId, NodeId>,
    random: Random,
    counters: WorldCounters,
}

impl World {
    /// The switches, hosts and links of a topology. Switches have datapath ids 1, 2, … in its order; hosts have addresses
    /// 10.0.0.1, 10.0.0.2, … and 02:00:00:00:00:01, … likewise.
    ///
    /// # Errors
    /// A port number that switches do not have.
    pub fn new(topology: &Topology, config: WorldConfig) -> Result<Self, WorldError> {
        let mut world = Self {
            now: Duration::ZERO,
            started: false,
            queue: Queue::default(),
            controller: Controller::new(),
            controller_timer: None,
            names: BTreeMap::new(),
            nodes: BTreeMap::new(),
            wires: BTreeMap::new(),
            lines: 0,
            owners: BTreeMap::new(),
            random: Random::new(config.seed),
            counters: WorldCounters::default(),
            config,
        };
        let (mut switches, mut hosts) = (0u64, 0u32);
        for node in topology.nodes() {
            let made = if node.kind == NodeKind::Switch {
                switches += 1;
                let versions = &world.config.versions;
                let version = versions.get((switches - 1) as usize % versions.len().max(1)).copied();
                let version = version.unwrap_or(Version::V13);
                Node::Switch(Box::new(SimSwitch::new(
                    node.name(),
                    Dpid(switches),
                    version,
                    world.config.buffers,
                )))
            } else {
                hosts += 1;
                let [_, a, b, c] = hosts.to_be_bytes();
                let ip = Ipv4Addr::new(10, a, b, c);
                Node::Host(Box::new(Host::new(node.name(), MacAddr([2, 0, 0, a, b, c]), ip)))
            };
            world.names.insert(node.name().into(), node.id());
            world.nodes.insert(node.id(), made);
        }
        for link in topology.links() {
            let delay = Duration::from_nanos(link.delay.nanos()).max(LINK_DELAY);
            world.plug(link.from(), link.to(), delay)?;
        }
        Ok(world)
    }

    fn plug(&mut self, from: Endpoint, to: Endpoint, delay: Duration) -> Result<(), WorldError> {
        for (from, to) in [(from, to), (to, from)] {
            self.wires.insert(from, Wire { to, delay, carrier: true, passes: true, in_flight: 0 });
            self.set_port(from, true)?;
        }
        Ok(())
    }

    fn set_port(&mut self, at: Endpoint, carrier: bool) -> Result<(), WorldError> {
        let now = self.now;
        if let Some(Node::Switch(switch)) = self.nodes.get_mut(&at.node) {
            let set = switch.set_port(now, at.port.0, carrier);
            set.map_err(|error| WorldError::Port(switch.name.clone(), error))?;
            self.drain_switch(at.node);
        }
        Ok(())
    }

    /// Launches components by a launch line: `forwarding.l2_learning openflow.discovery --link-timeout=10`.
    ///
    /// # Errors
    /// As [`Launcher::launch`].
    pub fn launch(&mut self, line: &str) -> Result<(), WorldError> {
        let lines = launch::read_words(line.split_whitespace())?;
        Launcher::stock().launch(self.controller.core_mut(), &lines)?;
        Ok(())
    }

    /// The core, as components see it.
    #[must_use]
    pub fn core(&self) -> &Core {
        self.controller.core()
    }

    /// The core, to register components of one's own and call those there are.
    pub fn core_mut(&mut self) -> &mut Core {
        self.controller.core_mut()
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> WorldCounters {
        self.counters
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// What is under way or planned.
    #[must_use]
    pub fn planned(&self) -> usize {
        self.queue.len()
    }

    fn find(&self, kind: &'static str, name: &str) -> Result<NodeId, WorldError> {
        let missing = || WorldError::Missing { kind, name: name.into() };
        self.names.get(name).copied().ok_or_else(missing)
    }

    fn find_switch(&mut self, name: &str) -> Result<(NodeId, &mut SimSwitch), WorldError> {
        let id = self.find("switch", name)?;
        match self.nodes.get_mut(&id) {
            Some(Node::Switch(switch)) => Ok((id, switch)),
            _ => Err(WorldError::Missing { kind: "switch", name: name.into() }),
        }
    }

    fn find_host(&mut self, name: &str) -> Result<(NodeId, &mut Host), WorldError> {
        let id = self.find("host", name)?;
        match self.nodes.get_mut(&id) {
            Some(Node::Host(host)) => Ok((id, host)),
            _ => Err(WorldError::Missing { kind: "host", name: name.into() }),
        }
    }

    /// A host.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn host(&self, name: &str) -> Result<&Host, WorldError> {
        match self.nodes.get(&self.find("host", name)?) {
            Some(Node::Host(host)) => Ok(host),
            _ => Err(WorldError::Missing { kind: "host", name: name.into() }),
        }
    }

    /// A host, to change its addresses.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn host_mut(&mut self, name: &str) -> Result<&mut Host, WorldError> {
        self.find_host(name).map(|(_, host)| host)
    }

    /// A switch; `None` while it is dead.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn switch(&self, name: &str) -> Result<Option<&Switch>, WorldError> {
        match self.nodes.get(&self.find("switch", name)?) {
            Some(Node::Switch(switch)) => Ok(switch.switch.as_ref()),
            _ => Err(WorldError::Missing { kind: "switch", name: name.into() }),
        }
    }

    /// A switch's datapath id.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn datapath(&self, name: &str) -> Result<Dpid, WorldError> {
        match self.nodes.get(&self.find("switch", name)?) {
            Some(Node::Switch(switch)) => Ok(switch.datapath),
            _ => Err(WorldError::Missing { kind: "switch", name: name.into() }),
        }
    }

    /// The port of one node that leads to another.
    ///
    /// # Errors
    /// No such nodes, no link between them.
    pub fn port_to(&self, from: &str, to: &str) -> Result<PortNumber, WorldError> {
        self.end(from, to).map(|end| end.port)
    }

    fn end(&self, from: &str, to: &str) -> Result<Endpoint, WorldError> {
        let (a, b) = (self.find("node", from)?, self.find("node", to)?);
        let mut ends = self.wires.iter().filter(|(end, wire)| end.node == a && wire.to.node == b);
        let found = ends.next().map(|(end, _)| *end);
        found.ok_or_else(|| WorldError::NoLink(from.into(), to.into()))
    }
}
