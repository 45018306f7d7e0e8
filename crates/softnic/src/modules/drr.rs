//! [`Drr`].

use std::collections::VecDeque;

use lookup::flow_table::FlowTable;
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::{Batch, Packet};

use super::store::{NONE, Store};
use crate::engine::{Context, Gate, Module, Next, Ran, Readiness};

/// Gives every flow the same share of bytes: deficit round robin (Shreedhar and Varghese, SIGCOMM 1995).
///
/// *Input gates*: one. *Output gates*: one. *Tasks*: one, which sleeps while no packet waits.
///
/// Each flow (TCP, UDP and ICMP of IPv4 and IPv6 by its ends, other IP by its addresses, and all the rest together) has a
/// queue. In each round a flow may send its quantum of bytes, and what it could not use for want of a small enough
/// packet is added in the next round. A flow exists as long as packets of it wait.
///
/// Packets are dropped when their flow's queue is full, when there are as many flows as there may be, and when
/// [`Drr::HELD_MAX`] packets wait in all.
///
/// ```
/// # use softnic::modules::{Drr, DrrConfig};
/// let drr = Drr::new(DrrConfig { quantum: 9000, ..DrrConfig::default() }, 0x5eed)?;
/// # Ok::<(), softnic::modules::DrrError>(())
/// ```
pub struct Drr {
    quantum: u64,
    queue_max: usize,
    hasher: FlowHasher,
    by_key: FlowTable<Key, u32>,
    flows: Vec<Flow>,
    free: Vec<u32>,
    /// Flows with packets, the one whose turn it is in front.
    round: VecDeque<u32>,
    /// Whether the flow in front has had its quantum.
    in_turn: bool,
    store: Store,
}

/// How [`Drr`] schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrrConfig {
    /// The most flows that wait at a time, 1 to [`Drr::FLOWS_MAX`].
    pub flows: usize,
    /// Bytes that a flow may send in a round.
    pub quantum: u64,
    /// The most packets of one flow that wait.
    pub queue_max: usize,
}

impl Default for DrrConfig {
    /// 4096 flows, 1500 bytes, 8192 packets.
    fn default() -> Self {
        Self { flows: 4096, quantum: 1500, queue_max: 8192 }
    }
}

/// A schedule that [`Drr`] does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrrError {
    /// No flow, or more than there may be.
    #[error("1 to {max} flows, not {0}", max = Drr::FLOWS_MAX)]
    Flows(usize),
    /// Nothing may be sent.
    #[error("quantum size must be at least 1")]
    Quantum,
    /// Nothing may wait.
    #[error("max queue size must be at least 1")]
    QueueMax,
}

/// What the packets of a flow have in common; `None` for all that is not IP.
type Key = Option<FlowKey>;

#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    key: Key,
    deficit: u64,
    count: usize,
    first: u32,
    last: u32,
}

/// Entries that no time ends.
const FOR_EVER: u64 = u64::MAX;

impl Drr {
    /// The most flows.
    pub const FLOWS_MAX: usize = 65_536;
    /// The most packets that wait.
    pub const HELD_MAX: usize = 65_536;

    /// Schedules like that. The key, drawn at random, keeps whoever sends from aiming at the flow table.
    ///
    /// # Errors
    /// See [`DrrError`].
    pub fn new(config: DrrConfig, key: u128) -> Result<Self, DrrError> {
        let DrrConfig { flows, quantum, queue_max } = config;
        if !(1..=Self::FLOWS_MAX).contains(&flows) {
            return Err(DrrError::Flows(flows));
        }
        let hasher = FlowHasher::new(key);
        let mut module = Self {
            quantum: 1,
            queue_max: 1,
            hasher,
            by_key: FlowTable::with_hasher(flows, hasher),
            flows: vec![Flow::default(); flows],
            free: (0..flows as u32).rev().collect(),
            round: VecDeque::with_capacity(flows),
            in_turn: false,
            store: Store::new(Self::HELD_MAX),
        };
        module.set_quantum(quantum)?;
        module.set_queue_max(queue_max)?;
        Ok(module)
    }

    /// Bytes that a flow may send in a round, from its next turn on.
    ///
    /// # Errors
    /// 0.
    pub fn set_quantum(&mut self, quantum: u64) -> Result<(), DrrError> {
        if quantum == 0 {
            return Err(DrrError::Quantum);
        }
        self.quantum = quantum;
        Ok(())
    }

    /// The most packets of one flow that wait. Those that wait already do so, however many.
    ///
    /// # Errors
    /// 0.
    pub fn set_queue_max(&mut self, queue_max: usize) -> Result<(), DrrError> {
        if queue_max == 0 {
            return Err(DrrError::QueueMax);
        }
        self.queue_max = queue_max;
        Ok(())
    }

    /// Lets a packet wait, or gives it back.
    fn enqueue(&mut self, packet: Packet) -> Result<(), Packet> {
        let key = key(&packet);
        let Some(number) = self.flow(key) else { return Err(packet) };
        let flow = &mut self.flows[number as usize];
        if flow.count >= self.queue_max {
            return Err(packet);
        }
        let at = match self.store.put(packet) {
            Ok(at) => at,
            Err(packet) => {
                self.retire(number);
                return Err(packet);
            }
        };
        if flow.count == 0 {
            flow.first = at;
            self.round.push_back(number);
        } else {
            self.store.link(flow.last, at);
        }
        flow.last = at;
        flow.count += 1;
        Ok(())
    }

    /// The flow of a key, a new one if there is none; `None` where there are too many.
    fn flow(&mut self, key: Key) -> Option<u32> {
        if let Some(number) = self.by_key.find(&key, 0).and_then(|id| self.by_key.get(id)) {
            return Some(*number);
        }
        let number = self.free.pop()?;
        self.flows[number as usize] = Flow { key, first: NONE, last: NONE, ..Flow::default() };
        // There are as many entries as flows.
        let _ = self.by_key.insert(key, number, FOR_EVER, 0);
        Some(number)
    }

    /// Forgets a flow, if none of its packets wait.
    fn retire(&mut self, number: u32) {
        let flow = &self.flows[number as usize];
        if flow.count == 0 {
            if let Some(id) = self.by_key.find(&flow.key, 0) {
                self.by_key.remove(id);
            }
            self.free.push(number);
        }
    }

    /// Lets the flow in front send what its deficit allows and the batch takes; returns the bytes.
    fn serve(&mut self, number: u32, room: usize, batch: &mut Batch) -> u64 {
        let flow = &mut self.flows[number as usize];
        let mut bytes = 0;
        for _ in 0..room {
            let length = self.store.length(flow.first);
            if flow.count == 0 || length > flow.deficit {
                break;
            }
            let Some((packet, next)) = self.store.take(flow.first) else { break };
            flow.first = next;
            flow.count -= 1;
            flow.deficit -= length;
            bytes += length;
            // The room is the batch's.
            let _ = batch.push(packet);
        }
        bytes
    }

    /// Fills a batch up to `budget` packets; returns their bytes. Ends after a round in which nobody could send anything:
    /// deficits have grown, and the next call goes on.
    fn fill(&mut self, budget: usize, batch: &mut Batch) -> u64 {
        let (mut bytes, mut silent) = (0, 0);
        while let Some(&number) = self.round.front().filter(|_| batch.len() < budget) {
            if silent > self.round.len() {
                break;
            }
            let flow = &mut self.flows[number as usize];
            if !self.in_turn {
                flow.deficit = flow.deficit.saturating_add(self.quantum);
                self.in_turn = true;
            }
            let before = batch.len();
            bytes += self.serve(number, budget - before, batch);
            silent = if batch.len() > before { 0 } else { silent + 1 };
            let Flow { count, first, deficit, .. } = self.flows[number as usize];
            if count > 0 && self.store.length(first) <= deficit {
                break; // The batch is full, and the flow's turn is not over.
            }
            self.in_turn = false;
            self.round.pop_front();
            if count > 0 {
                self.round.push_back(number);
            } else {
                self.retire(number);
            }
        }
        bytes
    }
}

fn key(packet: &Packet) -> Key {
    let layers = Layers::of(packet.data()).ok()?;
    FlowKey::of(&layers, packet.data()).or_else(|| FlowKey::hosts(&layers, packet.data()))
}

impl std::fmt::Debug for Drr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drr")
            .field("quantum", &self.quantum)
            .field("queue_max", &self.queue_max)
            .field("hasher", &self.hasher)
            .field("flows", &self.round.len())
            .field("held", &self.store.held())
            .finish_non_exhaustive()
    }
}

impl Module for Drr {
    fn class(&self) -> &'static str {
        "DRR"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        for packet in std::mem::take(batch) {
            if let Err(packet) = self.enqueue(packet) {
                // It came out of a batch of this size.
                drop(batch.push(packet));
            }
        }
        ctx.wake(0);
    }

    fn tasks(&self) -> usize {
        1
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, batch: &mut Batch) -> Ran {
        let bytes = self.fill(ctx.budget(), batch);
        ctx.forward(0);
        let next = if self.round.is_empty() { Next::Idle } else { Next::More };
        Ran { packets: batch.len() as u32, bytes, next }
    }

    fn readiness(&self, _task: usize) -> Readiness<'_> {
        Readiness::Signal
    }

    fn held(&self) -> usize {
        self.store.held()
    }

    fn status(&self) -> String {
        format!("{} flows, {} packets", self.round.len(), self.store.held())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use packet::wire::EtherType;
    use proptest::prelude::*;

    use super::super::frames::{datagram, framed, packet};
    use super::*;
    use crate::engine::rig::{Own, Rig};

    fn rig(config: DrrConfig) -> Own<Drr> {
        Rig::new(Drr::new(config, 7).unwrap())
    }

    /// A frame of flow `flow`, whose last byte is `number`, and which is `length` long.
    fn frame(flow: u8, number: u8, length: usize) -> Vec<u8> {
        let mut payload = vec![0; length - 42];
        *payload.last_mut().unwrap() = number;
        datagram([&format!("10.0.0.{flow}:1"), "10.0.0.9:2"], &payload)
    }

    fn flow_of(packet: &Packet) -> u8 {
        packet.data()[29]
    }

    fn number_of(packet: &Packet) -> u8 {
        *packet.data().last().unwrap()
    }

    #[test]
    fn a_packet_alone_passes_at_once() {
        let mut rig = rig(DrrConfig { flows: 2, queue_max: 100, ..DrrConfig::default() });
        assert!(rig.process(0, [packet(&frame(1, 5, 60))]).is_empty());
        assert_eq!((rig.woken(), rig.module.held()), (1, 1));
        let (ran, left) = rig.run(0);
        assert_eq!((ran, left.len()), (Ran { packets: 1, bytes: 60, next: Next::Idle }, 1));
        assert_eq!((left[0].1.data(), rig.module.held()), (&frame(1, 5, 60)[..], 0));
        assert_eq!(rig.run(0).0, Ran { packets: 0, bytes: 0, next: Next::Idle });
    }

    #[test]
    fn flows_share_bytes_whatever_the_size_of_their_packets() {
        let mut rig = rig(DrrConfig { quantum: 1000, ..DrrConfig::default() });
        // More than is sent below, of each flow.
        for (flow, length, count) in [(0, 100, 4000), (1, 700, 600), (2, 1400, 300)] {
            for _ in 0..count / 20 {
                rig.process(0, (0..20).map(|number| packet(&frame(flow, number, length))));
            }
        }
        assert_eq!((rig.dropped, rig.module.held()), (0, 4900));
        let mut sent: BTreeMap<u8, u64> = BTreeMap::new();
        while sent.values().sum::<u64>() < 900_000 {
            for (_, packet) in rig.run(0).1 {
                *sent.entry(flow_of(&packet)).or_default() += packet.len() as u64;
            }
        }
        let fair = sent.values().sum::<u64>() / 3;
        assert!(sent.len() == 3 && sent.values().all(|bytes| bytes.abs_diff(fair) * 100 <= fair), "{sent:?}");
    }

    #[test]
    fn a_quantum_smaller_than_a_packet_takes_several_rounds() {
        let mut rig = rig(DrrConfig { quantum: 10, ..DrrConfig::default() });
        rig.process(0, [packet(&frame(1, 0, 100)), packet(&frame(2, 0, 100))]);
        let mut turns = 0;
        let mut seen = Vec::new();
        while rig.module.held() > 0 {
            let (ran, left) = rig.run(0);
            assert_eq!((ran.packets as usize, left.len()), (left.len(), left.len()));
            seen.extend(left.iter().map(|(_, packet)| flow_of(packet)));
            turns += 1;
            assert!(turns < 20);
        }
        assert_eq!(seen, [1, 2]);
    }

    #[test]
    fn what_is_too_much_is_dropped() {
        let mut rig = rig(DrrConfig { flows: 2, queue_max: 3, ..DrrConfig::default() });
        rig.process(0, (0..5).map(|number| packet(&frame(1, number, 60))));
        assert_eq!((rig.dropped, rig.module.held()), (2, 3));
        rig.process(0, (2..5).map(|flow| packet(&frame(flow, 0, 60))));
        assert_eq!((rig.dropped, rig.module.held()), (4, 4));
        // Flows that have sent everything make room for others.
        assert_eq!(rig.run(0).1.len(), 4);
        rig.process(0, (2..4).map(|flow| packet(&frame(flow, 0, 60))));
        assert_eq!((rig.dropped, rig.module.held()), (4, 2));
    }

    #[test]
    fn a_flow_that_got_no_place_is_none() {
        let mut rig = rig(DrrConfig { flows: 1, ..DrrConfig::default() });
        rig.module.store = Store::new(0);
        rig.process(0, [packet(&frame(1, 0, 60)), packet(&frame(2, 0, 60))]);
        assert_eq!((rig.dropped, rig.module.free.len(), rig.module.by_key.len()), (2, 1, 0));
    }

    #[test]
    fn what_is_no_ip_is_one_flow() {
        let mut rig = rig(DrrConfig { flows: 1, ..DrrConfig::default() });
        let other = framed(EtherType::LLDP, b"x");
        rig.process(0, [packet(&other), packet(b"runt"), packet(b"")]);
        assert_eq!((rig.dropped, rig.run(0).1.len()), (0, 3));
    }

    #[test]
    fn schedules_that_cannot_be_are_refused() {
        let wrong = |config| Drr::new(config, 1).unwrap_err();
        let fair = DrrConfig::default();
        assert_eq!(wrong(DrrConfig { flows: 0, ..fair }), DrrError::Flows(0));
        assert_eq!(wrong(DrrConfig { flows: 65_537, ..fair }), DrrError::Flows(65_537));
        assert_eq!(wrong(DrrConfig { quantum: 0, ..fair }), DrrError::Quantum);
        assert_eq!(wrong(DrrConfig { queue_max: 0, ..fair }), DrrError::QueueMax);
    }

    /// The twin: queues in a map, rounds spelled out, and no batches.
    fn twin(arrivals: &[(u8, usize)], quantum: u64) -> Vec<(u8, u8)> {
        /// A flow, its credit, and its packets: number and length.
        type Flow = (u8, u64, VecDeque<(u8, u64)>);
        let mut queues: Vec<Flow> = Vec::new();
        for (number, (flow, length)) in arrivals.iter().enumerate() {
            let entry = (number as u8, *length as u64);
            match queues.iter_mut().find(|(known, ..)| known == flow) {
                Some((_, _, queue)) => queue.push_back(entry),
                None => queues.push((*flow, 0, VecDeque::from([entry]))),
            }
        }
        let mut out = Vec::new();
        while !queues.is_empty() {
            for (flow, deficit, queue) in &mut queues {
                *deficit += quantum;
                while let Some((number, length)) =
                    queue.front().copied().filter(|(_, length)| length <= deficit)
                {
                    *deficit -= length;
                    queue.pop_front();
                    out.push((*flow, number));
                }
            }
            queues.retain(|(_, _, queue)| !queue.is_empty());
        }
        out
    }

    proptest! {
        #[test]
        fn packets_leave_in_the_order_of_the_rounds(
            arrivals in prop::collection::vec((0..5u8, 60..1500usize), 1..120), quantum in 50..3000u64,
        ) {
            let mut rig = rig(DrrConfig { quantum, ..DrrConfig::default() });
            let frames: Vec<Packet> =
                arrivals.iter().enumerate().map(|(n, (flow, length))| packet(&frame(*flow, n as u8, *length))).collect();
            let mut frames = frames.into_iter().peekable();
            while frames.peek().is_some() {
                rig.process(0, frames.by_ref().take(32).collect::<Vec<_>>());
            }
            let mut out = Vec::new();
            while rig.module.held() > 0 {
                out.extend(rig.run(0).1.iter().map(|(_, packet)| (flow_of(packet), number_of(packet))));
            }
            prop_assert_eq!(out, twin(&arrivals, quantum));
            prop_assert_eq!((rig.module.by_key.len(), rig.module.round.len(), rig.dropped), (0, 0, 0));
        }
    }
}
