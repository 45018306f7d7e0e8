//! Modules are put into the chain and taken out of it.

use std::sync::atomic::Ordering;
use std::time::Instant;

use softnic::bess::pb;
use softnic::engine::{Edit, ModuleSnapshot};

use crate::numbered::Judge;
use crate::{Hop, NO_ARG, PATIENCE, Work, at_gates, elsewhere};

/// Modules that are put in at a time.
const INSERTED_MAX: usize = 4;

impl Work {
    /// Puts a module between two others by an edit of the engine: nothing is lost.
    fn insert(&mut self) {
        let at = self.dice.roll(self.chain.len() as u64 - 1) as usize;
        let classes = ["MACSwap", "Merge", "Update", "Bypass", "IPChecksum"];
        let class = classes[self.dice.roll(classes.len() as u64) as usize];
        let name = self.name("inserted");
        self.module(class, &name, &NO_ARG);
        let (before, after) = (self.chain[at].clone(), self.chain[at + 1].name.clone());
        let graph = self.daemon.bess.engine().graph();
        let worker = graph.iter().find(|module| module.name == before.name).unwrap().worker;
        let edit = Edit::new().connect(name.as_str(), 0, after, 0).move_to(name.as_str(), worker).rewire(
            before.name,
            before.gate,
            name.as_str(),
            0,
        );
        self.apply(edit);
        self.chain.insert(at + 1, Hop { name, gate: 0, inserted: true });
    }

    /// The same by BESS's own requests, between which the gate leads nowhere.
    fn insert_roughly(&mut self) {
        // The source is none of BESS's modules.
        let at = 1 + self.dice.roll(self.chain.len() as u64 - 2) as usize;
        let name = self.name("inserted");
        let queue = self.dice.roll(3) == 0;
        self.module(if queue { "Queue" } else { "Bypass" }, &name, &NO_ARG);
        if queue {
            let class = pb::TrafficClass { leaf_module_name: name.clone(), ..self.any_worker() };
            self.request("UpdateTcParent", &pb::UpdateTcParentRequest { class: Some(class) });
        }
        let (before, after) = (self.chain[at].clone(), self.chain[at + 1].name.clone());
        let hop = Hop { name, gate: 0, inserted: true };
        self.connect(&hop, &after);
        let queued = hop.name.clone();
        self.reconnect(&before, &queued);
        self.chain.insert(at + 1, hop);
        if queue {
            // Its packets would be lost with it, so it is emptied before it goes.
            self.take_out_roughly(at + 1);
        }
    }

    /// Leads a gate elsewhere by BESS's own requests, and accounts for every packet that came meanwhile.
    fn reconnect(&mut self, from: &Hop, to: &str) {
        assert_eq!(self.dropped_at_gates(), self.dropped, "packets were dropped by no request that may");
        let calm = self.judge(Judge::silence_ns);
        self.silence_ns = self.silence_ns.max(calm);
        let (name, ogate) = (from.name.clone(), u64::from(from.gate));
        self.request("DisconnectModules", &pb::DisconnectModulesRequest { name, ogate });
        self.drain();
        self.connect(from, to);
        self.dropped = self.dropped_at_gates();
        self.line.written_off.store(self.dropped, Ordering::Release);
        self.rough += 1;
        let target = self.sent();
        let start = Instant::now();
        while self.judge(|judge| judge.next) <= target {
            assert!(start.elapsed() < PATIENCE, "the stream has stopped");
        }
        let (missing, silence) = self.judge(|judge| (judge.missing, judge.silence_ns()));
        assert_eq!(missing, self.dropped, "each missing packet was counted at a gate");
        self.rough_silence_ns = self.rough_silence_ns.max(silence);
    }

    /// Waits until all has arrived that is behind the gate that leads nowhere: else what is still in a queue or ring there
    /// would be overtaken on the shorter way. The source soon has as many on their way as it may.
    fn drain(&self) {
        let start = Instant::now();
        while self.judge(|judge| judge.received) + self.dropped_at_gates() < self.sent() {
            assert!(start.elapsed() < PATIENCE, "packets neither arrive nor are counted");
        }
    }

    /// Takes an inserted module out again, by an edit of the engine.
    fn take_out(&mut self, at: usize) {
        let (before, after) = (self.chain[at - 1].clone(), self.chain[at + 1].name.clone());
        // The old way is closed in the same moment: what is in a ring there goes first.
        let old = self.chain[at].name.clone();
        self.apply(Edit::new().disconnect(old, 0).rewire(before.name, before.gate, after, 0));
        self.bury(at);
    }

    /// The same by BESS's own requests.
    fn take_out_roughly(&mut self, at: usize) {
        let (before, after) = (self.chain[at - 1].clone(), self.chain[at + 1].name.clone());
        self.reconnect(&before, &after);
        self.bury(at);
    }

    fn bury(&mut self, at: usize) {
        let Hop { name, .. } = self.chain.remove(at);
        let snapshot = self.daemon.bess.engine().snapshot();
        let module = snapshot.module(&name).unwrap();
        assert_eq!((elsewhere(module), module.held), (0, 0), "{name}");
        self.gone += at_gates(module);
        self.destroy(&name);
    }

    /// Packets that the modules that are in the chain have dropped.
    pub(crate) fn drops(&self, how: fn(&ModuleSnapshot) -> u64) -> u64 {
        let snapshot = self.daemon.bess.engine().snapshot();
        let of = |hop: &Hop| how(snapshot.module(&hop.name).unwrap());
        self.chain.iter().map(of).sum()
    }

    /// Packets that all modules that are or were in the chain have dropped at gates that led nowhere.
    pub(crate) fn dropped_at_gates(&self) -> u64 {
        self.gone + self.drops(at_gates)
    }

    pub(crate) fn edit_chain(&mut self) {
        let inserted: Vec<usize> = (0..self.chain.len()).filter(|&at| self.chain[at].inserted).collect();
        let rough = self.dice.roll(4) == 0;
        if inserted.len() < INSERTED_MAX && self.dice.roll(2) == 0 {
            if rough { self.insert_roughly() } else { self.insert() }
        } else if !inserted.is_empty() {
            let at = inserted[self.dice.roll(inserted.len() as u64) as usize];
            // The first stands behind the source, which is none of BESS's modules.
            if rough && at > 1 { self.take_out_roughly(at) } else { self.take_out(at) }
        }
    }
}
