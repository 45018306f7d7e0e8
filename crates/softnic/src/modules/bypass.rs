//! [`Bypass`].

use packet::Batch;

use crate::engine::{Context, GATES_MAX, Gate, Module, monotonic_ns};

/// The longest that one batch is kept: who changes the graph waits for it.
pub const BYPASS_NS_MAX: u64 = 10_000_000;

/// Lets packets pass from each input gate to the output gate of the same number, and takes its time over it.
///
/// *Input and output gates*: 8192.
///
/// It does nothing for so many nanoseconds for each batch, each packet and each byte, and stands in for a module that is
/// not written yet. [`BYPASS_NS_MAX`] is the most for one batch.
///
/// ```
/// use softnic::modules::Bypass;
/// let module = Bypass { batch_ns: 0, packet_ns: 50, byte_ns: 0 };
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Bypass {
    /// For each batch.
    pub batch_ns: u64,
    /// For each packet.
    pub packet_ns: u64,
    /// For each byte.
    pub byte_ns: u64,
}

impl Bypass {
    fn time_ns(&self, batch: &Batch) -> u64 {
        let packets = self.packet_ns.saturating_mul(batch.len() as u64);
        let bytes: u64 = match self.byte_ns {
            0 => 0,
            _ => batch.iter().map(|packet| packet.len() as u64).sum(),
        };
        let all = self.batch_ns.saturating_add(packets).saturating_add(self.byte_ns.saturating_mul(bytes));
        all.min(BYPASS_NS_MAX)
    }

    #[inline(never)]
    fn wait(&self, batch: &Batch) {
        // Not the time of the turn, which stands still.
        let end_ns = monotonic_ns() + self.time_ns(batch);
        while monotonic_ns() < end_ns {
            std::hint::spin_loop();
        }
    }
}

impl Module for Bypass {
    fn class(&self) -> &'static str {
        "Bypass"
    }

    fn inputs(&self) -> Gate {
        GATES_MAX
    }

    fn outputs(&self) -> Gate {
        GATES_MAX
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, gate: Gate, batch: &mut Batch) {
        if self.batch_ns | self.packet_ns | self.byte_ns != 0 {
            self.wait(batch);
        }
        ctx.forward(gate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::{Rig, packet};

    #[test]
    fn gates_lead_to_their_like_after_the_time_asked_for() {
        let mut module = Bypass { batch_ns: 100_000, packet_ns: 20_000, byte_ns: 1000 };
        let start_ns = monotonic_ns();
        let out = Rig::on(&mut module).pass(77, [packet(&[0; 40]), packet(&[0; 60])]);
        assert!(monotonic_ns() - start_ns >= 240_000);
        assert_eq!(out.iter().map(|(gate, _)| *gate).collect::<Vec<_>>(), [77, 77]);
    }

    #[test]
    fn no_batch_takes_for_ever() {
        let module = Bypass { batch_ns: u64::MAX, packet_ns: u64::MAX, byte_ns: u64::MAX };
        let mut batch = Batch::new();
        batch.push(packet(&[0; 60])).unwrap();
        assert_eq!(module.time_ns(&batch), BYPASS_NS_MAX);
        assert_eq!(Bypass::default().time_ns(&batch), 0);
    }
}
