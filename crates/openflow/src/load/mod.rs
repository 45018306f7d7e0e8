//! A load generator for controllers, in the spirit of cbench: many switches on one thread, which send packet-ins of many
//! hosts and count what comes back.
//!
//! ```text
//!   connect ─► teach ─► warm up ─► measure ─► Report
//!   all up     a frame  as in      responses, latencies
//!              of each  measuring
//!              host
//! ```
//!
//! Each switch has [`LoadConfig::hosts`] stations spread over its ports. First each says something to everybody, so that
//! a learning controller knows where it is. Then frames go from each to the next one, which is behind another port: a
//! controller that has learned answers with a flow-mod. With [`LoadConfig::window`] packet-ins at most are unanswered per
//! switch (1 measures latency); without a window the switches send whatever the sockets take (throughput).
//!
//! A response is a flow-mod. Packet-outs are counted apart: a controller that only floods has no responses. Within a window
//! responses are paired with packet-ins in order, which holds for controllers that answer each one with one flow-mod.

mod frames;
mod histogram;
mod responder;
mod switches;

use std::io;
use std::time::Duration;

use thiserror::Error;

pub use histogram::Histogram;

use crate::Version;
use crate::channel::{Config, Versions};
use crate::live::{Hub, HubConfig, LinkError, Side, Target};
use switches::Switches;

/// Switches of a load.
pub const SWITCHES_MAX: usize = 16_384;
/// Hosts of a switch.
pub const HOSTS_MAX: usize = 65_536;
/// Ports of a switch.
pub const PORTS_MAX: u32 = 1024;
/// Connections begun and not up yet: more would only wait for each other.
const CONNECTING_MAX: usize = 512;
/// A packet-in of a window that is not answered for so long is given up and counted as lost.
const LOST_AFTER: Duration = Duration::from_secs(1);
/// Quiet after the last switch has told its features: a controller has more to do until it takes packet-ins.
const SETTLE: Duration = Duration::from_millis(300);
/// Bytes that a switch keeps ready for its socket when there is no window.
const AHEAD_BYTES: usize = 32 << 10;
/// How often the switches that have a window are looked at, for what is lost.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What to load, and how.
#[derive(Debug, Clone)]
pub struct LoadConfig {
    /// The controller.
    pub controller: Target,
    /// Switches.
    pub switches: usize,
    /// Hosts of each switch; rounded up to a multiple of the ports.
    pub hosts: usize,
    /// Ports of each switch, at least two.
    pub ports: u32,
    /// The version to speak.
    pub version: Version,
    /// The first switch's datapath id; the others follow.
    pub first_datapath: u64,
    /// Unanswered packet-ins per switch; `None` for as many as go.
    pub window: Option<u32>,
    /// Whether packet-ins come with buffers, which saves the controller the sending of packets.
    pub buffers: bool,
    /// Time before measuring.
    pub warm_up: Duration,
    /// Time of measuring. Zero measures connecting alone.
    pub duration: Duration,
    /// Time for all switches to come up.
    pub connect_timeout: Duration,
}

impl LoadConfig {
    /// One switch with a thousand hosts on four ports, 1.0, no window, a second of warming up, five of measuring.
    #[must_use]
    pub fn new(controller: Target) -> Self {
        Self {
            controller,
            switches: 1,
            hosts: 1000,
            ports: 4,
            version: Version::V10,
            first_datapath: 1,
            window: None,
            buffers: true,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(60),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// From the first connection to the last switch's features.
    pub connect_time: Duration,
    /// Time of measuring.
    pub elapsed: Duration,
    /// Packet-ins sent in it.
    pub packet_ins: u64,
    /// Flow-mods received in it.
    pub flow_mods: u64,
    /// Packet-outs received in it.
    pub packet_outs: u64,
    /// Flow-mods for the switch that had the fewest, and for the one that had the most.
    pub flow_mods_per_switch: (u64, u64),
    /// Packet-ins given up.
    pub lost: u64,
    /// Connections lost, in all the time.
    pub disconnected: u64,
    /// From packet-in to flow-mod, in nanoseconds.
    pub latency: Histogram,
}

/// Where a load stands; told as each begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Switches come up.
    Connecting,
    /// Hosts make themselves known, and all runs without being counted.
    WarmingUp,
    /// It counts.
    Measuring,
    /// It is over.
    Done,
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum LoadError {
    /// What is asked for makes no sense.
    #[error("{0}")]
    Config(String),
    /// The system says no.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The controller cannot be dialled.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Not all switches came up.
    #[error("{up} of {of} switches are up after {} s{}", .after.as_secs(), .reason.as_ref().map(|reason| format!("; {reason}")).unwrap_or_default())]
    NotUp {
        /// Those that are.
        up: usize,
        /// All.
        of: usize,
        /// So long.
        after: Duration,
        /// Why one of the others is not.
        reason: Option<String>,
    },
}

/// Runs a load; `phase` is told where it stands.
///
/// # Errors
/// The configuration makes no sense, or the switches do not come up.
pub fn run(config: &LoadConfig, mut phase: impl FnMut(Phase)) -> Result<Report, LoadError> {
    check(config)?;
    let channel = Config {
        versions: Versions::only(config.version),
        raw: true,
        // A controller that is slow to read is what is measured, not a fault.
        echo_after: Duration::from_secs(30),
        echo_timeout: Duration::from_secs(30),
        ..Config::default()
    };
    let limits = HubConfig { connections_max: config.switches, tls: None };
    let hosts = config.hosts.next_multiple_of(config.ports as usize);
    let mut hub = Hub::new(Switches::new(&LoadConfig { hosts, ..config.clone() }), limits)?;

    phase(Phase::Connecting);
    let begin = hub.links().now();
    let mut dialled = 0;
    while hub.handler().ready() < config.switches {
        while dialled < config.switches && dialled < hub.handler().ready() + CONNECTING_MAX {
            hub.links().dial(&config.controller, Side::Switch(channel.clone()))?;
            dialled += 1;
        }
        hub.turn(Some(LOOK_EVERY))?;
        let after = hub.links().now() - begin;
        if after > config.connect_timeout {
            let (up, reason) = (hub.handler().ready(), hub.handler().refusal());
            return Err(LoadError::NotUp { up, of: config.switches, after, reason });
        }
    }
    let connect_time = hub.links().now() - begin;
    let mut report = Report { connect_time, ..Report::default() };
    if !config.duration.is_zero() {
        phase(Phase::WarmingUp);
        run_for(&mut hub, SETTLE)?;
        hub.with(Switches::begin);
        run_for(&mut hub, config.warm_up)?;
        hub.handler().reset();
        phase(Phase::Measuring);
        report.elapsed = run_for(&mut hub, config.duration)?;
    }
    phase(Phase::Done);
    hub.handler().report(&mut report);
    Ok(report)
}

fn run_for(hub: &mut Hub<Switches>, time: Duration) -> io::Result<Duration> {
    let begin = hub.links().now();
    loop {
        hub.turn(Some(LOOK_EVERY.min(time)))?;
        let elapsed = hub.links().now() - begin;
        if elapsed >= time {
            return Ok(elapsed);
        }
    }
}

fn check(config: &LoadConfig) -> Result<(), LoadError> {
    let wrong = |problem: String| Err(LoadError::Config(problem));
    if !(1..=SWITCHES_MAX).contains(&config.switches) {
        return wrong(format!("{} switches: 1 to {SWITCHES_MAX}", config.switches));
    }
    if !(2..=HOSTS_MAX).contains(&config.hosts) {
        return wrong(format!("{} hosts: 2 to {HOSTS_MAX} per switch", config.hosts));
    }
    if !(2..=PORTS_MAX).contains(&config.ports) {
        return wrong(format!("{} ports: 2 to {PORTS_MAX} per switch", config.ports));
    }
    if config.window == Some(0) {
        return wrong("a window of 0: nothing would be sent".into());
    }
    Ok(())
}
