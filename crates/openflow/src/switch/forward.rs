//! Packets in: from the cache or through the pipeline, and what they lead to.

use std::time::Duration;

use super::frame::Frame;
use super::op::{Op, Walk};
use super::pipeline::Run;
use super::ports::{PortState, bump};
use super::tables::EntryId;
use super::{Datapath, FRAGMENTS_DROP, FRAGMENTS_NORMAL, FRAME_MAX, FRAME_MIN, Output, Switch};
use crate::port::{PortNo, config};
use crate::version::Version;

impl Switch {
    /// A packet came in. Frames shorter than an Ethernet header are counted as errors.
    pub fn receive(&mut self, now: Duration, port: PortNo, packet: &[u8]) {
        let Some(state) = self.datapath.ports.get(port.0) else { return };
        if packet.len() < FRAME_MIN || packet.len() > FRAME_MAX {
            bump(&state.rx_errors);
            return;
        }
        state.received.add(packet.len());
        let frame = Frame::new(packet.to_vec(), port.0, self.datapath.fragments == FRAGMENTS_NORMAL);
        if !admits(&self.datapath, state, &frame) {
            bump(&state.rx_dropped);
            return;
        }
        match self.cache.find(&frame.key.0, self.generation) {
            Some(ops) => {
                let (datapath, effects) = (&self.datapath, &mut self.effects);
                let mut walk = Walk { datapath, now, frame, saved: Vec::new(), effects, is_trial: false };
                for (at, &op) in ops.iter().enumerate() {
                    let goes_on = walk.step(op, at + 1 == ops.len());
                    // A TTL at its end: the steps that follow are those of that.
                    if !goes_on && matches!(op, Op::Meter(_)) {
                        break;
                    }
                }
            }
            None => {
                let key = frame.key.0;
                let mut run = Run::new(&self.datapath, now, frame, &mut self.effects);
                run.pipeline(0);
                if let Some(ops) = run.record {
                    self.cache.keep(&key, self.generation, &ops);
                }
            }
        }
        self.settle(now);
        self.tell_monitors();
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
pub(super) fn admits(datapath: &Datapath, state: &PortState, frame: &Frame) -> bool {
    let is_fragment = frame.get(crate::field::Field::IpFrag) != 0;
    let is_spanning_tree = frame.key.eth_dst() == 0x0180_c200_0000;
    // 1.0: NO_RECV leaves spanning tree frames in, which NO_RECV_STP is for.
    let receives = if is_spanning_tree {
        let no_stp = state.port.config & (config::PORT_DOWN | config::NO_RECV_STP) != 0;
        !no_stp
    } else {
        state.receives()
    };
    receives && !(is_fragment && datapath.fragments == FRAGMENTS_DROP)
}
