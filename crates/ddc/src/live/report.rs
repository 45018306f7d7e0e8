//! What a router says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::link::LinkCounts;

/// What a router says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its name.
    pub router: String,
    /// Its links, by port.
    pub links: Vec<LinkReport>,
    /// All routers of the network, as destinations.
    pub destinations: Vec<DestinationReport>,
    /// Frames and packets dropped, by cause.
    pub dropped: BTreeMap<String, u64>,
    /// Ghosts that were not sent, because there were too many.
    pub ghosts_withheld: u64,
    /// How often it planned anew.
    pub plans: u64,
}

/// One end of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkReport {
    /// The router at the other end.
    pub to: String,
    /// Is it alive?
    pub up: bool,
    /// What it has counted.
    #[serde(flatten)]
    pub counts: LinkCounts,
}

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationReport {
    /// The router.
    pub router: String,
    /// How far it is by the last plan, in cost; `None`: there is no way.
    pub distance: Option<u32>,
    /// The last heartbeat that was acted upon.
    pub round: u32,
    /// The links, the first to try in front.
    pub ways: Vec<Way>,
    /// Packets that started here.
    pub started: u64,
    /// Packets that came from a neighbour and went to one.
    pub forwarded: u64,
    /// Packets that were for this router.
    pub delivered: u64,
    /// Links reversed.
    pub reversals: u64,
    /// Packets sent back because the neighbour did not know of a reversal.
    pub bounced: u64,
    /// Packets that became scouts here.
    pub scouts: u64,
    /// Ghosts sent or passed on.
    pub ghosts: u64,
}

/// A link as one destination sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The router at the other end.
    pub to: String,
    /// Which way it leads.
    pub direction: Direction,
}

/// Which way a link leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the neighbour.
    Out,
    /// From the neighbour.
    In,
    /// It lives, but no heartbeat has brought it into the graph yet.
    Unknown,
    /// It does not live.
    Down,
}
