//! Packets in: from the cache or through the pipeline, and what they lead to.

use std::time::Duration;

use super::cache::Way;
use super::frame::{Frame, parse};
use super::key::Key;
use super::op::{Op, Walk};
use super::pipeline::Run;
use super::ports::{PortState, bump};
use super::tables::EntryId;
use super::{Datapath, FRAGMENTS_DROP, FRAGMENTS_NORMAL, FRAME_MAX, FRAME_MIN, Output, Switch};
use crate::port::{PortNo, config};
use crate::version::Version;

impl Switch {
    /// A packet came in; what it leads to is polled. Frames shorter than an Ethernet header are counted as errors.
    pub fn receive(&mut self, now: Duration, port: PortNo, packet: &[u8]) {
        if let Some(port) = self.forward(now, port, packet) {
            self.push_unasked(Output::Packet { port, queue: None, bytes: packet.to_vec() });
        }
    }

    /// As [`Self::receive`], but a packet that is known to leave by one port as it came is not copied: it is counted, and
    /// the caller sends it out of the port returned. What is to be polled already goes first.
    #[must_use]
    pub fn forward(&mut self, now: Duration, port: PortNo, packet: &[u8]) -> Option<PortNo> {
        let state = self.datapath.ports.get(port.0)?;
        if packet.len() < FRAME_MIN || packet.len() > FRAME_MAX {
            bump(&state.rx_errors);
            return None;
        }
        state.received.add(packet.len());
        let hides_ports = self.datapath.fragments == FRAGMENTS_NORMAL;
        let mut key = Key::arriving(port.0);
        let layout = parse(packet, &mut key, hides_ports);
        if !admits(&self.datapath, state, &key) {
            bump(&state.rx_dropped);
            return None;
        }
        let known = self.cache.find(&key.0, self.generation);
        if let Some(Way { ops, unchanged: Some(to), .. }) = known {
            ops.iter().for_each(|&op| self.datapath.count(op, now, packet.len()));
            return self.datapath.lets_out(*to, None, packet.len()).then_some(PortNo(*to));
        }
        let frame = Frame { bytes: packet.to_vec(), key, layout, hides_ports };
        if let Some(way) = known {
            let (datapath, effects) = (&self.datapath, &mut self.effects);
            let mut walk = Walk { datapath, now, frame, saved: Vec::new(), effects, is_trial: false };
            for (at, &op) in way.ops.iter().enumerate() {
                let goes_on = walk.step(op, at + 1 == way.ops.len());
                // A TTL at its end: the steps that follow are those of that.
                if !goes_on && matches!(op, Op::Meter(_)) {
                    break;
                }
            }
        } else {
            let mut run = Run::new(&self.datapath, now, frame, &mut self.effects);
            run.pipeline(0);
            if let Some(ops) = run.record {
                self.cache.keep(&key.0, self.generation, &ops);
            }
        }
        self.settle(now);
        self.tell_monitors();
        None
    }

    /// Sends a packet through the tables from the first on, as `OFPP_TABLE` does.
    pub(super) fn run_tables(&mut self, now: Duration, bytes: Vec<u8>, in_port: u32) {
        if bytes.len() >= FRAME_MIN {
            let frame = Frame::new(bytes, in_port, self.datapath.fragments == FRAGMENTS_NORMAL);
            Run::new(&self.datapath, now, frame, &mut self.effects).pipeline(0);
            self.settle(now);
        }
    }

    /// Does an entry's instructions with a packet that was kept.
    pub(super) fn run_entry(&mut self, now: Duration, id: Option<EntryId>, bytes: Vec<u8>, in_port: u32) {
        if let Some(entry) = id.and_then(|id| self.datapath.tables.entry(id))
            && bytes.len() >= FRAME_MIN
        {
            entry.hit(now, bytes.len());
            let frame = Frame::new(bytes, in_port, self.datapath.fragments == FRAGMENTS_NORMAL);
            let mut run = Run::new(&self.datapath, now, frame, &mut self.effects);
            (run.table, run.cookie, run.entry) = (entry.table, entry.cookie, id);
            run.instructions(entry);
            self.settle(now);
        }
    }

    /// Carries out what packets led to.
    pub(super) fn settle(&mut self, now: Duration) {
        let mut effects = std::mem::take(&mut self.effects);
        self.over_limit += std::mem::take(&mut effects.dropped);
        for sent in effects.outputs.drain(..) {
            let output = Output::Packet { port: PortNo(sent.port), queue: sent.queue, bytes: sent.bytes };
            self.push_unasked(output);
        }
        for punted in effects.punts.drain(..) {
            self.punt(now, punted);
        }
        for (station, port) in effects.stations.drain(..) {
            if self.datapath.macs.learn(now, station, port) {
                self.generation += 1;
            }
        }
        for (id, idle, hard) in effects.fins.drain(..) {
            let Some(entry) = self.datapath.tables.entry(id) else { continue };
            let shorter = |old: u16, new: u16| if new > 0 && (old == 0 || new < old) { new } else { old };
            entry.idle_timeout.set(shorter(entry.idle_timeout.get(), idle));
            entry.hard_timeout.set(shorter(entry.hard_timeout.get(), hard));
            self.datapath.tables.arm(id);
        }
        for flow in effects.learned.drain(..) {
            // As `ModifyStrict` in 1.0: added where it is not there. One that does not fit is not learned.
            if self.change_flows(now, Version::V10, flow.table, &flow).is_err() {
                self.over_limit += 1;
            }
        }
        // Its vectors keep their room.
        self.effects = effects;
    }
}

/// Whether a port takes a packet in, and the switch the fragment.
pub(super) fn admits(datapath: &Datapath, state: &PortState, key: &Key) -> bool {
    let is_fragment = key.fragment() != 0;
    let is_spanning_tree = key.eth_dst() == 0x0180_c200_0000;
    // 1.0: NO_RECV leaves spanning tree frames in, which NO_RECV_STP is for.
    let receives = if is_spanning_tree {
        let no_stp = state.port.config & (config::PORT_DOWN | config::NO_RECV_STP) != 0;
        !no_stp
    } else {
        state.receives()
    };
    receives && !(is_fragment && datapath.fragments == FRAGMENTS_DROP)
}
