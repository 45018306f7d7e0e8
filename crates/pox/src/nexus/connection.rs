//! A switch's connection, as the controller knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use openflow::Version;
use openflow::flow::ALL_TABLES;
use openflow::message::{Body, Features};
use openflow::nicira;
use openflow::port::{Port, PortNo, config, state};

use super::Dpid;
use super::request::Pending;

/// Ports of one switch; more are not remembered.
pub const PORTS_MAX: usize = 1 << 16;

/// Which connection. Whoever runs the controller numbers them, and uses no number again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its tables are put in order; the barrier of that transaction ends it.
    Ordering(u32),
    /// Everybody knows it.
    Up,
}

/// A switch that is connected.
pub struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) version: Version,
    pub(crate) peer: String,
    pub(crate) stage: Stage,
    pub(crate) features: Features,
    pub(crate) ports: BTreeMap<PortNo, Port>,
    pub(crate) up_since: Duration,
    pub(crate) flooding: Flooding,
    /// 1.0: flow-mods have tables, by Nicira's extension.
    pub(crate) has_tables: bool,
    pub(crate) next_xid: u32,
    pub(crate) requests: HashMap<u32, Pending, FixedState>,
    pub(crate) counters: ConnectionCounters,
}

/// To which ports a switch floods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Flooding {
    /// Somebody decides port by port.
    pub(crate) chosen: bool,
    /// Ports not flooded to.
    pub(crate) closed: BTreeSet<PortNo>,
}

/// What has passed over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionCounters {
    /// Packet-ins.
    pub packet_ins: u64,
    /// Other messages received.
    pub received: u64,
    /// Messages sent.
    pub sent: u64,
    /// Errors the switch reported.
    pub errors: u64,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Connection {
    /// `0000000000000001 (OF1.3, tcp:127.0.0.1:40000)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.datapath(), self.version, self.peer)
    }
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, version: Version, features: Features, peer: &str) -> Self {
        Self {
            id,
            version,
            peer: peer.into(),
            stage: Stage::Ordering(0),
            ports: by_number(&features.ports),
            features,
            up_since: Duration::ZERO,
            flooding: Flooding::default(),
            has_tables: version != Version::V10,
            next_xid: 1,
            requests: HashMap::default(),
            counters: ConnectionCounters::default(),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The switch.
    #[must_use]
    pub fn datapath(&self) -> Dpid {
        Dpid(self.features.datapath)
    }

    /// The version spoken.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where it comes from: `tcp:127.0.0.1:40000`.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// What the switch said of itself.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Its ports as they are now, by number; reserved ones such as [`PortNo::LOCAL`] among them.
    #[must_use]
    pub fn ports(&self) -> &BTreeMap<PortNo, Port> {
        &self.ports
    }

    /// Its physical ports that are neither taken down nor without carrier.
    pub fn live_ports(&self) -> impl Iterator<Item = &Port> {
        self.physical_ports().filter(|port| is_live(port))
    }

    /// Its physical ports, reserved ones left out.
    pub fn physical_ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.range(..PortNo::MAX).map(|(_, port)| port)
    }

    /// Since when everybody knows it.
    #[must_use]
    pub fn up_since(&self) -> Duration {
        self.up_since
    }

    /// Whether its handshake is done.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    /// Whether it floods to that port, carrier or not.
    #[must_use]
    pub fn floods(&self, port: PortNo) -> bool {
        !self.flooding.closed.contains(&port)
    }

    /// What has passed over it.
    #[must_use]
    pub fn counters(&self) -> ConnectionCounters {
        self.counters
    }

    /// Requests that wait for an answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.requests.len()
    }

    /// Makes a message fit the switch's version where its meaning stays the same: without Nicira's extension a 1.0 flow-mod says
    /// no table, and means all of them.
    pub(crate) fn fit(&mut self, body: &mut Body) {
        match body {
            Body::FlowMod(flow) if !self.has_tables && flow.table == ALL_TABLES => flow.table = 0,
            Body::Nicira(nicira::Message::FlowModTableId(on)) => {
                self.has_tables = *on || self.version != Version::V10;
            }
            _ => {}
        }
    }

    pub(crate) fn waits_for(&self, xid: u32) -> bool {
        self.stage == Stage::Ordering(xid) || self.requests.contains_key(&xid)
    }

    pub(crate) fn xid(&mut self) -> u32 {
        let xid = self.next_xid;
        self.next_xid = self.next_xid.wrapping_add(1).max(1);
        xid
    }
}

/// Ports by their numbers, at most [`PORTS_MAX`].
pub(crate) fn by_number(ports: &[Port]) -> BTreeMap<PortNo, Port> {
    ports.iter().take(PORTS_MAX).map(|port| (port.number, port.clone())).collect()
}

/// Neither taken down nor without carrier.
#[must_use]
pub fn is_live(port: &Port) -> bool {
    port.config & config::PORT_DOWN == 0 && port.state & state::LINK_DOWN == 0
}
