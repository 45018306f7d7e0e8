//! [`RoundRobin`].

use packet::Batch;

use super::gates::{DROP, Gates, send_by};
use crate::engine::{Context, GATES_MAX, Gate, Module};

/// Spreads packets over gates in turn.
///
/// *Input gates*: one. *Output gates*: as many as asked for, or those of its list, up to 8191; a gate that is in the list
/// twice has two turns. Without gates, everything is dropped.
///
/// Packets of one flow may overtake each other behind this module; [`RoundRobin::by_batch`] keeps those together
/// that came together, which is also cheaper.
///
/// ```
/// let spread = softnic::modules::RoundRobin::new(4);
/// let cheaper = softnic::modules::RoundRobin::by_batch(4);
/// ```
#[derive(Clone, Debug)]
pub struct RoundRobin {
    gates: Gates,
    outputs: Gate,
    /// Whose turn it is.
    next: usize,
    whole: bool,
}

impl RoundRobin {
    /// Each packet goes to the next of `outputs` gates.
    pub fn new(outputs: Gate) -> Self {
        Self { gates: Gates::first(outputs), outputs, next: 0, whole: false }
    }

    /// Each batch goes to the next of `outputs` gates.
    pub fn by_batch(outputs: Gate) -> Self {
        Self { whole: true, ..Self::new(outputs) }
    }

    /// Each packet goes to the next of these gates, which may be changed to any others.
    pub fn over(gates: Gates) -> Self {
        Self { gates, outputs: GATES_MAX, next: 0, whole: false }
    }

    /// Spreads over other gates, of those it has.
    pub fn set_gates(&mut self, gates: Gates) {
        self.gates = gates;
    }

    /// Says whether each batch goes to the next gate, or each packet.
    pub fn set_by_batch(&mut self, whole: bool) {
        self.whole = whole;
    }

    #[inline]
    fn turn(&mut self) -> Gate {
        let gates = self.gates.as_slice();
        // The list may have become shorter.
        let at = if self.next < gates.len() { self.next } else { 0 };
        self.next = at + 1;
        gates.get(at).copied().unwrap_or(DROP)
    }
}

impl Module for RoundRobin {
    fn class(&self) -> &'static str {
        "RoundRobin"
    }

    fn outputs(&self) -> Gate {
        self.outputs
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        if !self.whole {
            return send_by(ctx, batch, |_| self.turn());
        }
        let gate = self.turn();
        if gate != DROP {
            ctx.forward(gate);
        }
    }
}

#[cfg(test)]
mod tests {
    use packet::BATCH;

    use super::*;
    use crate::engine::rig::{Rig, packet};

    /// The gates of `count` packets, in their order.
    fn turns(module: &mut RoundRobin, count: usize) -> Vec<Gate> {
        let packets = (0..count).map(|at| packet(&(at as u32).to_be_bytes()));
        let mut out = Rig::on(module).pass(0, packets);
        out.sort_by(|(_, a), (_, b)| a.data().cmp(b.data()));
        out.iter().map(|(gate, _)| *gate).collect()
    }

    #[test]
    fn packets_take_turns_over_batches() {
        let mut module = RoundRobin::over(Gates::new(vec![5, 1, 1]).unwrap());
        let expected: Vec<Gate> = [5, 1, 1].into_iter().cycle().take(100).collect();
        assert_eq!(turns(&mut module, 100), expected);
        assert_eq!(turns(&mut module, 2), [1, 1]);
        module.set_gates(Gates::new(vec![9]).unwrap());
        assert_eq!(turns(&mut module, 3), [9; 3]);
        module.set_gates(Gates::new(vec![2, DROP, 3]).unwrap());
        assert_eq!(turns(&mut module, 6), [3, 2, 3, 2], "every third is dropped");
        module.set_gates(Gates::default());
        assert!(turns(&mut module, 3).is_empty());
    }

    #[test]
    fn batches_take_turns_whole() {
        let mut module = RoundRobin::by_batch(2);
        let gates = turns(&mut module, 3 * BATCH);
        let runs: Vec<Gate> = gates.chunks(BATCH).map(|run| run[0]).collect();
        assert!(gates.chunks(BATCH).all(|run| run.iter().all(|gate| *gate == run[0])));
        assert_eq!(runs, [0, 1, 0]);
        module.set_by_batch(false);
        assert_eq!(turns(&mut module, 3), [1, 0, 1]);
        assert_eq!(RoundRobin::new(2).outputs(), 2);
    }
}
