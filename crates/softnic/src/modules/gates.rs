//! [`Gates`]: a list of gates to choose from; and the gate that drops.

use packet::{Batch, Packet};
use thiserror::Error;

use crate::engine::{Context, GATES_MAX, Gate};

/// The gate that no module has: what is sent there is dropped and counted.
pub const DROP: Gate = GATES_MAX;
/// Most gates of a list; the same one may be in it many times.
pub const GATE_LIST_MAX: usize = 16_384;

/// What is wrong with gates.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GateError {
    /// Neither a gate nor [`DROP`].
    #[error("invalid gate {gate}: at most {DROP}")]
    Number {
        /// Its number.
        gate: Gate,
    },
    /// More than there may be.
    #[error("no more than {most} gates, not {count}")]
    TooMany {
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
}

/// Gates to choose from, among them perhaps [`DROP`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates(Vec<Gate>);

impl Gates {
    /// These gates.
    ///
    /// # Errors
    /// More than [`GATE_LIST_MAX`]; one that is no gate.
    pub fn new(gates: Vec<Gate>) -> Result<Self, GateError> {
        if gates.len() > GATE_LIST_MAX {
            return Err(GateError::TooMany { count: gates.len(), most: GATE_LIST_MAX });
        }
        match gates.iter().find(|gate| **gate > DROP) {
            Some(&gate) => Err(GateError::Number { gate }),
            None => Ok(Self(gates)),
        }
    }

    /// Gates 0 to `count` - 1.
    pub fn first(count: Gate) -> Self {
        Self((0..count.min(GATES_MAX)).collect())
    }

    /// The gates, in order.
    pub fn as_slice(&self) -> &[Gate] {
        &self.0
    }

    /// The gate for a hash, so that equal hashes have equal gates and all gates about as many hashes; [`DROP`] where
    /// there is none.
    #[inline]
    pub(super) fn of_hash(&self, hash: u64) -> Gate {
        // The high half of the product lies in 0..len (Lemire, "Fast random integer generation in an interval", 2019).
        let at = ((u128::from(hash) * self.0.len() as u128) >> 64) as usize;
        self.0.get(at).copied().unwrap_or(DROP)
    }
}

/// Sends each packet of a batch to its gate, the batch as it is where all have one.
#[inline]
pub(super) fn send(ctx: &mut Context<'_>, batch: &mut Batch, gates: &[Gate]) {
    let Some((&first, rest)) = gates.split_first() else { return };
    // All of them, without a way out in between: that takes several at once.
    if rest.iter().fold(0, |differences, &gate| differences | gate ^ first) == 0 {
        if first != DROP {
            ctx.forward(first);
        }
        return;
    }
    for (packet, &gate) in batch.drain(..).zip(gates) {
        ctx.emit(gate, packet);
    }
}

/// [`send`] by what `choose` says of each packet.
#[inline]
pub(super) fn send_by(ctx: &mut Context<'_>, batch: &mut Batch, mut choose: impl FnMut(&mut Packet) -> Gate) {
    let mut gates = [DROP; packet::BATCH];
    for (gate, packet) in gates.iter_mut().zip(batch.iter_mut()) {
        *gate = choose(packet);
    }
    let count = batch.len();
    send(ctx, batch, &gates[..count]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gates_and_drop_are_gates() {
        assert!(Gates::new(vec![0, GATES_MAX - 1, DROP]).is_ok());
        assert_eq!(Gates::new(vec![0, DROP + 1]).unwrap_err(), GateError::Number { gate: DROP + 1 });
        let many = Gates::new(vec![0; GATE_LIST_MAX + 1]).unwrap_err();
        assert_eq!(many, GateError::TooMany { count: GATE_LIST_MAX + 1, most: GATE_LIST_MAX });
    }

    #[test]
    fn hashes_spread_over_all() {
        let gates = Gates::new(vec![7, 8, 9]).unwrap();
        let mut counts = [0u32; 10];
        (0..300u64).for_each(|at| counts[usize::from(gates.of_hash(at * (u64::MAX / 300)))] += 1);
        assert!(counts[7..].iter().all(|count| (99..=101).contains(count)), "{counts:?}");
        assert_eq!(Gates::default().of_hash(5), DROP);
    }
}
