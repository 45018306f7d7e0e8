//! [`OpenFlowSwitch`].

use std::os::fd::AsFd;
use std::time::Duration;

use openflow::live::agent::{Agent, AgentConfig, ControllerStatus, Ended};
use openflow::live::{Hub, HubConfig, LinkError, Target};
use openflow::port::{Port, PortNo, state};
use openflow::switch::{PortError, Switch, Trace};
use packet::{Batch, Pool};
use ports::finish::{self, Segments};

use crate::engine::{Context, GATES_MAX, Gate, Module, Ran, Readiness, monotonic_ns};

/// An OpenFlow switch: its gates are the switch's ports, its controllers are connected to it.
///
/// *Input and output gates*: as many as ports; gate N is port N + 1. *Tasks*: one, which serves the controllers'
/// connections and sleeps while they are quiet.
///
/// Controllers are dialled and listened for as [`AgentConfig`] says, in either version of OpenFlow. Everything happens in
/// the worker: a flow that a controller sends is in force for the next packet. A turn of the task takes a bounded number
/// of messages from each controller, so that packets go on passing meanwhile.
///
/// What a sender has left to the network card is done first, checksums and the cutting of large segments: a controller sees
/// packets as they are on a wire. Queues of ports are not told apart.
///
/// ```
/// use openflow::live::agent::AgentConfig;
/// use openflow::port::Port;
/// use packet::{Pool, PoolConfig};
/// use softnic::engine::Module;
/// use softnic::modules::OpenFlowSwitch;
///
/// let config = AgentConfig::new(Default::default(), vec!["ptcp:0:127.0.0.1".parse()?]);
/// let ports = ["left", "right"].map(|name| Port { name: name.into(), ..Port::default() });
/// let pool = Pool::new(PoolConfig::default())?;
/// let (switch, listening) = OpenFlowSwitch::new(config, ports.into(), pool, Default::default())?;
/// assert_eq!((switch.inputs(), switch.outputs(), listening.len()), (2, 2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OpenFlowSwitch {
    hub: Hub<Agent>,
    pool: Pool,
    gates: Gate,
    /// The engine's time at the hub's zero.
    epoch_ns: u64,
    counters: OpenFlowSwitchCounters,
    /// A frame cut from a large segment; used again for the next.
    segment: Vec<u8>,
    error: String,
}

/// Packets that an [`OpenFlowSwitch`] drops beside what its tables drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenFlowSwitchCounters {
    /// Sent, but no buffer was free, or none long enough.
    pub no_buffer: u64,
    /// Sent out of a port that is no gate (the switch's own network stack).
    pub no_gate: u64,
    /// Received with work left undone that makes no sense.
    pub unfinished: u64,
}

/// Why there is no switch.
#[derive(Debug, thiserror::Error)]
pub enum OpenFlowSwitchError {
    /// A controller cannot be dialled or listened for.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A port cannot be.
    #[error(transparent)]
    Port(#[from] PortError),
    /// More ports than gates.
    #[error("{0} ports, of at most {GATES_MAX}")]
    TooMany(usize),
}

impl OpenFlowSwitch {
    /// A switch with these ports, whose numbers are set here, and where it listens for controllers.
    ///
    /// # Errors
    /// [`OpenFlowSwitchError`].
    pub fn new(
        config: AgentConfig,
        ports: Vec<Port>,
        pool: Pool,
        limits: HubConfig,
    ) -> Result<(Self, Vec<Target>), OpenFlowSwitchError> {
        let gates = Gate::try_from(ports.len()).ok().filter(|&gates| gates <= GATES_MAX);
        let gates = gates.ok_or(OpenFlowSwitchError::TooMany(ports.len()))?;
        let (mut hub, listening) = Agent::start(config, limits)?;
        let epoch_ns = monotonic_ns();
        for (number, port) in (1..).zip(ports) {
            let port = Port { number: PortNo(number), ..port };
            hub.with(|agent, links| agent.change(links, |switch, now| switch.add_port(now, port)))?;
        }
        let counters = OpenFlowSwitchCounters::default();
        let segment = Vec::new();
        Ok((Self { hub, pool, gates, epoch_ns, counters, segment, error: String::new() }, listening))
    }

    /// The switch, to look at.
    pub fn switch(&mut self) -> &Switch {
        self.hub.handler().switch()
    }

    /// Changes the switch, and tells its controllers what that leads to. Packets that it leads to wait for the next turn.
    pub fn change<R>(&mut self, change: impl FnOnce(&mut Switch, Duration) -> R) -> R {
        let result = self.hub.with(|agent, links| agent.change(links, change));
        self.hub.flush();
        result
    }

    /// Says whether a gate's link is up.
    pub fn set_link(&mut self, gate: Gate, up: bool) {
        let number = PortNo(u32::from(gate) + 1);
        let Some(mut port) = self.switch().ports().find(|port| port.number == number).cloned() else {
            return;
        };
        let before = port.state;
        port.state = (port.state & !(state::LINK_DOWN | state::LIVE))
            | if up { state::LIVE } else { state::LINK_DOWN };
        if port.state != before {
            // It is there: it was just found.
            let _ = self.change(|switch, now| switch.port_changed(now, port));
        }
    }

    /// What would become of a packet that came in at a gate.
    pub fn explain(&mut self, gate: Gate, packet: &[u8]) -> Trace {
        let port = PortNo(u32::from(gate) + 1);
        self.hub.with(|agent, links| agent.switch().explain(links.now(), port, packet))
    }

    /// The controllers.
    pub fn controllers(&mut self) -> Vec<ControllerStatus> {
        self.hub.handler().controllers()
    }

    /// Connections that were made to it and are over.
    pub fn ended(&mut self) -> Ended {
        self.hub.handler().ended().clone()
    }

    /// Whether it forwards by itself, for want of a controller.
    pub fn is_alone(&mut self) -> bool {
        self.hub.handler().is_alone()
    }

    /// What was dropped.
    pub fn counters(&self) -> OpenFlowSwitchCounters {
        self.counters
    }

    /// Serves the controllers' connections; how many packets, and bytes, that brought into the graph.
    fn turn(&mut self, ctx: &mut Context<'_>) -> (usize, u64) {
        if let Err(error) = self.hub.turn(Some(Duration::ZERO)) {
            self.error = format!("no connection is served any more: {error}");
        }
        self.send(ctx)
    }

    /// Lets the packets out that the switch sends; how many, and their bytes.
    fn send(&mut self, ctx: &mut Context<'_>) -> (usize, u64) {
        let mut exit = Exit { pool: &self.pool, gates: self.gates, counters: &mut self.counters };
        exit.send(self.hub.handler(), ctx)
    }
}

/// Where packets leave.
struct Exit<'a> {
    pool: &'a Pool,
    gates: Gate,
    counters: &'a mut OpenFlowSwitchCounters,
}

impl Exit<'_> {
    /// The gate of a port, which is counted where it has none.
    fn gate(&mut self, port: PortNo) -> Option<Gate> {
        let gate = port.0.checked_sub(1).and_then(|gate| Gate::try_from(gate).ok());
        let gate = gate.filter(|&gate| gate < self.gates);
        self.counters.no_gate += u64::from(gate.is_none());
        gate
    }

    /// Lets the packets out that the switch sends; how many, and their bytes.
    fn send(&mut self, agent: &mut Agent, ctx: &mut Context<'_>) -> (usize, u64) {
        let (mut packets, mut bytes) = (0, 0);
        while let Some(sent) = agent.poll_packet() {
            let Some(gate) = self.gate(sent.port) else { continue };
            match self.pool.packet(&sent.bytes) {
                Some(packet) => {
                    (packets, bytes) = (packets + 1, bytes + sent.bytes.len() as u64);
                    ctx.emit(gate, packet);
                }
                None => self.counters.no_buffer += 1,
            }
        }
        (packets, bytes)
    }
}

impl Module for OpenFlowSwitch {
    fn class(&self) -> &'static str {
        "OpenFlowSwitch"
    }

    fn inputs(&self) -> Gate {
        self.gates
    }

    fn outputs(&self) -> Gate {
        self.gates
    }

    fn process(&mut self, ctx: &mut Context<'_>, gate: Gate, batch: &mut Batch) {
        let port = PortNo(u32::from(gate) + 1);
        // What a controller has sent meanwhile goes first.
        self.send(ctx);
        let (mut exit, segment) =
            (Exit { pool: &self.pool, gates: self.gates, counters: &mut self.counters }, &mut self.segment);
        self.hub.with(|agent, links| {
            for mut packet in batch.drain(..) {
                let Some(wanted) = packet.offload().segmentation else {
                    if finish::complete(&mut packet).is_err() {
                        exit.counters.unfinished += 1;
                    } else if let Some(to) = agent.forward(links, port, packet.data()) {
                        if let Some(gate) = exit.gate(to) {
                            ctx.emit(gate, packet);
                        }
                    } else {
                        exit.send(agent, ctx);
                    }
                    continue;
                };
                let Ok(mut segments) = Segments::new(&packet, wanted, false) else {
                    exit.counters.unfinished += 1;
                    continue;
                };
                segment.resize(segments.frame_len_max(), 0);
                while let Some(len) = segments.write_next(segment) {
                    agent.receive(links, port, &segment[..len]);
                }
                exit.send(agent, ctx);
            }
        });
        self.hub.flush();
        if self.hub.is_busy() {
            ctx.wake(0);
        }
    }

    fn tasks(&self) -> usize {
        1
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, _batch: &mut Batch) -> Ran {
        let (packets, bytes) = self.turn(ctx);
        match self.hub.is_busy() || packets > 0 {
            true => Ran::more(packets, bytes),
            false => Ran::idle(),
        }
    }

    fn readiness(&self, _task: usize) -> Readiness<'_> {
        Readiness::Fd(self.hub.as_fd())
    }

    fn timed(&self) -> bool {
        true
    }

    fn deadline_ns(&self) -> Option<u64> {
        let due = self.hub.next_deadline()?;
        Some(self.epoch_ns.saturating_add(u64::try_from(due.as_nanos()).unwrap_or(u64::MAX)))
    }

    fn expire(&mut self, ctx: &mut Context<'_>) {
        self.turn(ctx);
        if self.hub.is_busy() {
            ctx.wake(0);
        }
    }

    fn status(&self) -> String {
        self.error.clone()
    }
}
