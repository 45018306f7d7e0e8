//! What a run has done.

use std::fmt;
use std::sync::Arc;

use ports::{Counters, PortError};

use crate::{Drops, Report};

/// What a run has done, so far or in all.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Why it ended; `None` while it goes on.
    pub ended: Option<Ended>,
    /// How long it took, on its own clock.
    pub elapsed_ns: u64,
    /// Packets that came in from ports.
    pub packets_in: u64,
    /// Packets that ports took.
    pub packets_out: u64,
    /// Each function: those of a [`Line`](crate::Line) in order, else the one there is, as `function`.
    pub stages: Vec<Stage>,
    /// What is attached to each gate, by gate.
    pub ports: Vec<PortSummary>,
    /// What ended outside every function, such as packets that a port did not take.
    pub drops: Drops,
    /// Packets that functions still kept.
    pub held: usize,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// No input is left.
    Inputs,
    /// The captures that were played into live ports are through.
    Played,
    /// The limit of packets.
    Packets,
    /// The limit of time.
    Duration,
    /// Somebody said so.
    Stopped,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inputs => "no input is left",
            Self::Played => "the captures are through",
            Self::Packets => "the limit of packets is reached",
            Self::Duration => "the time is over",
            Self::Stopped => "stopped",
        })
    }
}

/// What one function has done.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name in the line.
    pub name: String,
    /// What it says of itself.
    pub report: Report,
    /// What it dropped.
    pub drops: Drops,
}

/// What one port has done.
#[derive(Clone, Debug)]
pub struct PortSummary {
    /// The port as it was asked for; empty for a gate without one.
    pub name: String,
    /// What it counted; zero where the run has only its queues.
    pub counters: Counters,
    /// What ended it.
    pub error: Option<Arc<PortError>>,
}
