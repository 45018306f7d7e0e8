//! [`Replicate`].

use packet::Batch;

use super::gates::Gates;
use crate::engine::{Context, Gate, Module};

/// Gates that [`Replicate::over`] may copy to (as BESS).
pub const REPLICAS_MAX: Gate = 32;

/// Lets a copy of each packet out at every gate of its list.
///
/// *Input gates*: one. *Output gates*: as many as asked for; the last one of the list gets the original. Without gates,
/// everything is dropped.
///
/// A copy for which the packet's pool has no buffer is not made; [`Replicate::missing`] counts them.
///
/// ```
/// let replicate = softnic::modules::Replicate::new(2);
/// ```
#[derive(Clone, Debug)]
pub struct Replicate {
    gates: Gates,
    outputs: Gate,
    missing: u64,
}

impl Replicate {
    /// Replicates to `outputs` gates.
    pub fn new(outputs: Gate) -> Self {
        Self { gates: Gates::first(outputs), outputs, missing: 0 }
    }

    /// Replicates to these gates, which may be changed to any others below [`REPLICAS_MAX`].
    pub fn over(gates: Gates) -> Self {
        Self { gates, outputs: REPLICAS_MAX, missing: 0 }
    }

    /// Replicates to other gates, of those it has.
    pub fn set_gates(&mut self, gates: Gates) {
        self.gates = gates;
    }

    /// Copies that were not made for want of a buffer.
    pub fn missing(&self) -> u64 {
        self.missing
    }
}

impl Module for Replicate {
    fn class(&self) -> &'static str {
        "Replicate"
    }

    fn outputs(&self) -> Gate {
        self.outputs
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let Some((&last, others)) = self.gates.as_slice().split_last() else { return };
        for &gate in others {
            for packet in &*batch {
                match packet.try_clone() {
                    Some(copy) => ctx.emit(gate, copy),
                    None => self.missing += 1,
                }
            }
        }
        // A gate that it does not have drops.
        if last < self.outputs {
            ctx.forward(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use packet::{Pool, PoolConfig};

    use super::*;
    use crate::engine::rig::{Rig, packet};

    fn gates(module: &mut Replicate) -> Vec<Gate> {
        let out = Rig::on(module).pass(0, [packet(b"one"), packet(b"two")]);
        let mut gates: Vec<Gate> = out.iter().map(|(gate, _)| *gate).collect();
        for pair in out.chunks(2) {
            assert_eq!((pair[0].1.data(), pair[1].1.data()), (&b"one"[..], &b"two"[..]));
        }
        gates.dedup();
        gates
    }

    #[test]
    fn every_gate_gets_every_packet() {
        assert_eq!(gates(&mut Replicate::new(3)), [0, 1, 2]);
        let mut module = Replicate::over(Gates::new(vec![4, 2]).unwrap());
        assert_eq!(gates(&mut module), [4, 2]);
        module.set_gates(Gates::new(vec![31]).unwrap());
        assert_eq!(gates(&mut module), [31]);
        module.set_gates(Gates::new(vec![0, 40]).unwrap());
        assert_eq!(gates(&mut module), [0]);
        module.set_gates(Gates::default());
        assert!(gates(&mut module).is_empty());
    }

    #[test]
    fn copies_without_a_buffer_are_counted() {
        let pool = Pool::new(PoolConfig { buffers: 2, ..PoolConfig::default() }).unwrap();
        let mut module = Replicate::new(3);
        let out = Rig::on(&mut module).pass(0, [pool.packet(b"x").unwrap()]);
        assert_eq!((out.len(), module.missing()), (2, 1));
    }
}
