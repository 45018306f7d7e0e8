//! A switch and its controllers: what stands between [`Switch`] and sockets.
//!
//! ```text
//!   controllers ◄── Hub ──► Agent: Switch ──► Agent::poll_packet ──► ports
//!                             ▲
//!                             └── Agent::receive ◄────────────────── ports
//! ```
//!
//! Whoever owns the ports owns the `Hub<Agent>` too: packets go in by [`Hub::with`], whose connections then carry what the
//! switch tells its controllers.
//!
//! A switch that fails standalone and whose last controller is gone waits for [`AgentConfig::grace`] before it forwards by
//! itself, as Open vSwitch does (three of its echo periods): a controller that is restarted does not find its network
//! flooded.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{DialId, Handler, Hub, HubConfig, LinkError, Links, Side, Target};
use crate::Version;
use crate::channel::{Config, ConnectionId, Down, Event, SendError, Up};
use crate::message::{AsyncConfig, Body, Message};
use crate::port::PortNo;
use crate::switch::{FailMode, Output, Switch, SwitchConfig};

/// After so much silence a switch asks its controller for an echo (OVS: `inactivity_probe`).
pub const PROBE: Duration = Duration::from_secs(5);
/// Bytes that a switch keeps for a controller: a table of a hundred thousand flows, described.
const OUTPUT_BYTES_MAX: usize = 64 << 20;
/// Nobody's connection: while it is there the switch does not take itself for alone.
const GRACE: ConnectionId = ConnectionId(u64::MAX);

/// A switch and where its controllers are.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The switch.
    pub switch: SwitchConfig,
    /// Its controllers: dialled, or waited for.
    pub controllers: Vec<Target>,
    /// How channels behave.
    pub channel: Config,
    /// Without a controller for so long, a switch that fails standalone does so.
    pub grace: Duration,
}

impl AgentConfig {
    /// Both versions, echoes after [`PROBE`], a grace of three of them.
    #[must_use]
    pub fn new(switch: SwitchConfig, controllers: Vec<Target>) -> Self {
        let channel = Config {
            echo_after: PROBE,
            echo_timeout: PROBE,
            output_max: OUTPUT_BYTES_MAX,
            ..Config::default()
        };
        Self { switch, controllers, channel, grace: 3 * PROBE }
    }
}

/// A packet that the switch sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Out of that port.
    pub port: PortNo,
    /// By that queue of it.
    pub queue: Option<u32>,
    /// The frame.
    pub bytes: Vec<u8>,
}

/// Where a controller stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerStatus {
    /// Its address.
    pub peer: String,
    /// What is spoken with it; `None` while it is not connected.
    pub version: Option<Version>,
    /// Why it was not, the last time.
    pub problem: Option<String>,
}

/// What an agent has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgentCounters {
    /// Packet-ins and other messages not sent, since a controller does not read.
    pub unsent: u64,
    /// Messages that the version of a connection cannot say.
    pub unsayable: u64,
}

/// Connections that somebody made to a switch that listens, and that are over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// How many.
    pub count: u64,
    /// Whose the last one was, and why it is over.
    pub last: Option<(String, String)>,
}

impl Ended {
    fn add(&mut self, peer: &str, reason: &Down) {
        self.count += 1;
        self.last = Some((peer.to_owned(), reason.to_string()));
    }
}

/// A switch, as the handler of its controllers' connections.
#[derive(Debug)]
pub struct Agent {
    switch: Switch,
    grace: Duration,
    standing: Standing,
    connections: BTreeMap<ConnectionId, (String, Version)>,
    /// By the dialled address: why it failed last.
    problems: BTreeMap<String, String>,
    dials: Vec<(Target, DialId)>,
    packets: VecDeque<Sent>,
    counters: AgentCounters,
    ended: Ended,
}

/// Whether a switch that fails standalone does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A controller is there, or none matters.
    Led,
    /// Until then one may come back.
    Waiting(Duration),
    /// By itself.
    Alone,
}

impl Agent {
    /// A hub with a switch, its controllers dialled and listened for; returns where it listens, in order.
    ///
    /// # Errors
    /// What is wrong with a target, or what the system says.
    pub fn start(config: AgentConfig, limits: HubConfig) -> Result<(Hub<Self>, Vec<Target>), LinkError> {
        let stands_alone = config.switch.fail_mode == FailMode::Standalone;
        let mut agent = Self {
            switch: Switch::new(config.switch),
            grace: config.grace,
            standing: Standing::Led,
            connections: BTreeMap::new(),
            problems: BTreeMap::new(),
            dials: Vec::new(),
            packets: VecDeque::new(),
            counters: AgentCounters::default(),
            ended: Ended::default(),
        };
        if stands_alone {
            if config.controllers.is_empty() {
                agent.standing = Standing::Alone;
            } else {
                agent.wait(Duration::ZERO);
            }
        }
        let mut hub = Hub::new(agent, limits).map_err(LinkError::Poll)?;
        let mut listening = Vec::new();
        for target in config.controllers {
            let side = Side::Switch(config.channel.clone());
            if target.listens() {
                listening.push(hub.links().listen(&target, side)?);
            } else {
                let dial = hub.links().dial(&target, side)?;
                hub.handler().dials.push((target, dial));
            }
        }
        Ok((hub, listening))
    }

    /// The switch, to look at.
    #[must_use]
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Changes the switch, and tells its controllers what that leads to.
    pub fn change<R>(&mut self, links: &mut Links<'_>, change: impl FnOnce(&mut Switch, Duration) -> R) -> R {
        let result = change(&mut self.switch, links.now());
        self.settle(links);
        result
    }

    /// A packet came in at a port; what it leads to is polled.
    pub fn receive(&mut self, links: &mut Links<'_>, port: PortNo, packet: &[u8]) {
        self.switch.receive(links.now(), port, packet);
        self.settle(links);
    }

    /// As [`Switch::forward`]: the port by which the caller sends the packet as it came, or `None` where what it leads to
    /// is polled.
    #[must_use]
    pub fn forward(&mut self, links: &mut Links<'_>, port: PortNo, packet: &[u8]) -> Option<PortNo> {
        let to = self.switch.forward(links.now(), port, packet);
        if to.is_none() {
            self.settle(links);
        }
        to
    }

    /// The next packet to be sent.
    pub fn poll_packet(&mut self) -> Option<Sent> {
        self.packets.pop_front()
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> AgentCounters {
        self.counters
    }

    /// Connections that were made to it and are over: turned away, lost or closed.
    #[must_use]
    pub fn ended(&self) -> &Ended {
        &self.ended
    }

    fn is_dialled(&self, peer: &str) -> bool {
        self.dials.iter().any(|(target, _)| target.to_string() == peer)
    }

    /// Whether it forwards by itself, for want of a controller.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.standing == Standing::Alone
    }

    /// The controllers: those that are connected, then those that are not.
    #[must_use]
    pub fn controllers(&self) -> Vec<ControllerStatus> {
        let connected = self.connections.values().map(|(peer, version)| ControllerStatus {
            peer: peer.clone(),
            version: Some(*version),
            problem: None,
        });
        let mut all: Vec<_> = connected.collect();
        for (target, _) in &self.dials {
            let peer = target.to_string();
            if !all.iter().any(|status| status.peer == peer) {
                let problem = self.problems.get(&peer).cloned();
                all.push(ControllerStatus { peer, version: None, problem });
            }
        }
        all
    }

    /// Carries out what the switch wants done.
    fn settle(&mut self, links: &mut Links<'_>) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Packet { port, queue, bytes } => self.packets.push_back(Sent { port, queue, bytes }),
                Output::Message { connection: GRACE, .. } => {}
                Output::Message { connection, message } => match links.send(connection, &message) {
                    Ok(()) => {}
                    Err(SendError::Encode(_)) => self.counters.unsayable += 1,
                    Err(SendError::NotUp | SendError::Full | SendError::Request) => self.counters.unsent += 1,
                },
            }
        }
    }

    /// The last controller is gone; it may come back.
    fn wait(&mut self, now: Duration) {
        self.switch.connect(now, GRACE, Version::V13);
        // It wants to be told nothing.
        let nothing = Body::SetAsync(AsyncConfig::default());
        self.switch.handle_message(now, GRACE, &Message::new(0, nothing));
        self.standing = Standing::Waiting(now + self.grace);
    }
}

impl Handler for Agent {
    fn connected(&mut self, links: &mut Links<'_>, id: ConnectionId, up: Up) {
        if !self.switch.connect(links.now(), id, up.version) {
            return links.close(id, "the switch has as many controllers as may be");
        }
        let peer = links.peer(id).unwrap_or_default().to_owned();
        self.problems.remove(&peer);
        self.connections.insert(id, (peer, up.version));
        if let Standing::Waiting(_) = self.standing {
            self.switch.disconnect(links.now(), GRACE);
        }
        self.standing = Standing::Led;
        self.settle(links);
    }

    fn event(&mut self, links: &mut Links<'_>, id: ConnectionId, event: Event<'_>) {
        if let Event::Message(message) = event {
            self.switch.handle_message(links.now(), id, &message);
            self.settle(links);
        }
    }

    fn disconnected(&mut self, links: &mut Links<'_>, id: ConnectionId, reason: &Down) {
        let Some((peer, _)) = self.connections.remove(&id) else { return };
        if self.is_dialled(&peer) {
            self.problems.insert(peer, reason.to_string());
        } else {
            self.ended.add(&peer, reason);
        }
        let now = links.now();
        if self.connections.is_empty() && self.switch.fail_mode() == FailMode::Standalone {
            self.wait(now);
        }
        self.switch.disconnect(now, id);
        self.settle(links);
    }

    fn refused(&mut self, _links: &mut Links<'_>, peer: &str, reason: &Down) {
        if self.is_dialled(peer) {
            self.problems.insert(peer.to_owned(), reason.to_string());
        } else {
            self.ended.add(peer, reason);
        }
    }

    fn next_deadline(&self) -> Option<Duration> {
        let own = match self.standing {
            Standing::Waiting(until) => Some(until),
            Standing::Led | Standing::Alone => None,
        };
        own.into_iter().chain(self.switch.next_deadline()).min()
    }

    fn deadline(&mut self, links: &mut Links<'_>) {
        let now = links.now();
        if let Standing::Waiting(until) = self.standing
            && until <= now
        {
            self.switch.disconnect(now, GRACE);
            self.standing = Standing::Alone;
        }
        self.switch.expire(now);
        self.settle(links);
    }
}
