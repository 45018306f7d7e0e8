//! What runs at the hosts: the connections.

use std::ops::ControlFlow;

use sim::{Hosts, Network, NodeId, Packet, Progress, Time};

use super::metrics::Outcome;
use crate::config::SenderConfig;
use crate::receiver::Receiver;
use crate::segment::{Kind, Segment};
use crate::sender::{Input, Sender, SenderStats};

/// A flow: a connection that is opened, takes some bytes across, and is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// When its SYN goes out.
    pub start: Time,
    /// The host that sends.
    pub from: NodeId,
    /// The host that receives.
    pub to: NodeId,
    /// How much.
    pub bytes: u64,
    /// Which of the configurations it uses.
    pub config: u8,
}

/// When a run ends, whatever is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The virtual time.
    pub until: Time,
    /// Bytes that a receiver may hold out of order.
    pub receive_buffer: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { until: Time::from_secs(3_600), receive_buffer: 1 << 30 }
    }
}

/// The token of the timer that starts the next flow. Connections have their slot and generation.
const START: u64 = u64::MAX;

/// A place for a connection, used by one after the other.
struct Connection {
    sender: Sender,
    receiver: Receiver,
    flow: u32,
    generation: u32,
    /// The timer that counts; others that go off are over.
    timer: Time,
    open: bool,
}

struct World<'a> {
    flows: &'a [Flow],
    configs: &'a [SenderConfig],
    limits: Limits,
    next: usize,
    connections: Vec<Connection>,
    free: Vec<u32>,
    outcome: Outcome,
}

/// Runs flows, sorted by their start, to their end. A flow whose configuration there is not uses the default one.
pub fn run(net: Network<Segment>, flows: &[Flow], configs: &[SenderConfig], limits: Limits) -> Outcome {
    run_on(net, flows, configs, limits, |_| ControlFlow::Continue(())).0
}

/// As [`run`], telling how far it is, until told to break; gives the network back.
pub fn run_on(
    mut net: Network<Segment>,
    flows: &[Flow],
    configs: &[SenderConfig],
    limits: Limits,
    progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> (Outcome, Network<Segment>) {
    let mut world = World {
        flows,
        configs,
        limits,
        next: 0,
        connections: Vec::new(),
        free: Vec::new(),
        outcome: Outcome { finished: vec![None; flows.len()], ..Outcome::default() },
    };
    if let Some(first) = flows.first() {
        net.timer_at(first.start, START);
    }
    let _ = net.run_with(&mut world, limits.until, progress);
    let mut outcome = world.outcome;
    for connection in world.connections.iter().filter(|connection| connection.open) {
        outcome.senders.add(&connection.sender.stats());
    }
    outcome.count(&net);
    outcome.connections_most = world.connections.len();
    (outcome, net)
}

impl World<'_> {
    fn start(&mut self, net: &mut Network<Segment>) {
        let Some(flow) = self.flows.get(self.next) else { return };
        let config = self.configs.get(usize::from(flow.config)).copied().unwrap_or_default();
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.connections.push(Connection {
                    sender: Sender::new(config),
                    receiver: Receiver::new(self.limits.receive_buffer),
                    flow: 0,
                    generation: 0,
                    timer: Time::MAX,
                    open: false,
                });
                (self.connections.len() - 1) as u32
            }
        };
        let connection = &mut self.connections[slot as usize];
        connection.sender.reset(config);
        connection.receiver.reset(self.limits.receive_buffer);
        (connection.flow, connection.timer, connection.open) = (self.next as u32, Time::MAX, true);
        connection.generation = connection.generation.wrapping_add(1);
        connection.sender.write(flow.bytes);
        connection.sender.handle(net.now(), Input::Open);
        if flow.bytes == 0 {
            self.outcome.finished[self.next] = Some(Time::ZERO);
        }
        self.next += 1;
        if let Some(next) = self.flows.get(self.next) {
            net.timer_at(next.start, START);
        }
        self.pump(net, slot);
    }

    /// The slot that a token or a packet means, if that connection is still open.
    fn slot(&self, token: u64) -> Option<u32> {
        let (slot, generation) = (token as u32, (token >> 32) as u32);
        let connection = self.connections.get(slot as usize)?;
        (connection.open && connection.generation == generation).then_some(slot)
    }

    /// Sends what a sender has, and sees to its timer.
    fn pump(&mut self, net: &mut Network<Segment>, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        let flow = &self.flows[connection.flow as usize];
        let token = u64::from(connection.generation) << 32 | u64::from(slot);
        let now = net.now();
        if connection.sender.is_done() {
            let config = self.configs.get(usize::from(flow.config)).copied().unwrap_or_default();
            if config.low.is_some_and(|low| low.flush)
                && let Some(nic) = net.route(flow.from, flow.to)
            {
                net.flush(nic, token, 1);
            }
            connection.open = false;
            self.outcome.senders.add(&connection.sender.stats());
            self.free.push(slot);
            return;
        }
        while let Some(segment) = connection.sender.poll_output(now) {
            let low = segment.level > 0;
            let packet = Packet {
                level: segment.level,
                tell_departure: low,
                ..Packet::new(flow.to, segment.wire_bytes(), token, segment)
            };
            net.send(flow.from, packet);
        }
        if let Some(deadline) = connection.sender.next_deadline()
            && deadline < connection.timer
        {
            connection.timer = deadline;
            net.timer_at(deadline, token);
        }
    }

    fn receive(&mut self, net: &mut Network<Segment>, slot: u32, token: u64, segment: &Segment) {
        let connection = &mut self.connections[slot as usize];
        let (number, now) = (connection.flow as usize, net.now());
        let flow = &self.flows[number];
        connection.receiver.handle(now, segment);
        while let Some(ack) = connection.receiver.poll_output(now) {
            let packet = Packet { level: ack.level, ..Packet::new(flow.from, ack.wire_bytes(), token, ack) };
            net.send(flow.to, packet);
        }
        let finished = &mut self.outcome.finished[number];
        if finished.is_none() && connection.receiver.delivered() >= flow.bytes {
            *finished = Some(now - flow.start);
            let stats = connection.receiver.stats();
            self.outcome.accepted += stats.accepted;
            self.outcome.duplicate += stats.duplicate;
        }
    }
}

impl Hosts<Segment> for World<'_> {
    fn packet(&mut self, net: &mut Network<Segment>, _at: NodeId, packet: Packet<Segment>) {
        let Some(slot) = self.slot(packet.flow) else { return };
        match packet.body.kind {
            Kind::Syn | Kind::Data => self.receive(net, slot, packet.flow, &packet.body),
            Kind::SynAck | Kind::Ack | Kind::Window => {
                self.connections[slot as usize].sender.handle(net.now(), Input::Segment(&packet.body));
                self.pump(net, slot);
            }
        }
    }

    fn timer(&mut self, net: &mut Network<Segment>, token: u64) {
        if token == START {
            return self.start(net);
        }
        let Some(slot) = self.slot(token) else { return };
        let connection = &mut self.connections[slot as usize];
        if connection.timer == net.now() {
            connection.timer = Time::MAX;
            connection.sender.handle(net.now(), Input::Timer);
            self.pump(net, slot);
        }
    }

    fn departed(&mut self, net: &mut Network<Segment>, flow: u64) {
        if let Some(slot) = self.slot(flow) {
            self.connections[slot as usize].sender.handle(net.now(), Input::Departed);
            self.pump(net, slot);
        }
    }
}

impl SenderStats {
    pub(super) fn add(&mut self, other: &Self) {
        self.primary += other.primary;
        self.again += other.again;
        self.low += other.low;
        self.recoveries += other.recoveries;
        self.timeouts += other.timeouts;
        self.met += other.met;
    }
}
