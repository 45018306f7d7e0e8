//! Parting a batch in two.

use packet::Batch;

use crate::engine::{Context, Gate};

/// Lets the packets whose bits are set in `chosen` out at the gate `yes` and the others at `no`; where that is no gate,
/// they are dropped. A batch of one kind stays where it is, which is what most batches are.
#[inline]
pub(super) fn part(
    ctx: &mut Context<'_>,
    batch: &mut Batch,
    chosen: u64,
    yes: Option<Gate>,
    no: Option<Gate>,
) {
    let all = (1u64 << batch.len()) - 1;
    match chosen & all {
        chosen if chosen == all => {
            if let Some(gate) = yes {
                ctx.forward(gate);
            }
        }
        0 => {
            if let Some(gate) = no {
                ctx.forward(gate);
            }
        }
        mixed => apart(ctx, batch, mixed, yes, no),
    }
}

#[cold]
fn apart(ctx: &mut Context<'_>, batch: &mut Batch, chosen: u64, yes: Option<Gate>, no: Option<Gate>) {
    let packets = std::mem::take(batch);
    for (at, packet) in packets.into_iter().enumerate() {
        match if chosen >> at & 1 == 1 { yes } else { no } {
            Some(gate) => ctx.emit(gate, packet),
            // It came out of a batch of this size.
            None => drop(batch.push(packet)),
        }
    }
}

/// Does something to every packet of a batch, and says by a bit each where it answered `true`.
#[inline]
pub(super) fn mark(batch: &mut Batch, mut judge: impl FnMut(&mut packet::Packet) -> bool) -> u64 {
    // The first ends up on top: a constant shift for each is cheaper than one by its number.
    let marks = batch.iter_mut().fold(0u64, |marks, packet| marks << 1 | u64::from(judge(packet)));
    marks.reverse_bits().unbounded_shr(u64::BITS - batch.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::super::frames::packets;
    use super::*;
    use crate::engine::{Module, Rig};

    /// Parts by a constant.
    struct Parting(u64, Option<Gate>, Option<Gate>);

    impl Module for Parting {
        fn class(&self) -> &'static str {
            "Parting"
        }

        fn outputs(&self) -> Gate {
            2
        }

        fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
            part(ctx, batch, self.0, self.1, self.2);
        }
    }

    #[test]
    fn every_packet_has_the_bit_of_its_number() {
        for count in [0, 1, 5, 31, 32] {
            let mut batch = Batch::new();
            packets(count).for_each(|packet| batch.push(packet).unwrap());
            let marks = mark(&mut batch, |packet| packet.data()[0] % 3 == 0);
            let twin = (0..u64::from(count)).filter(|at| at % 3 == 0).fold(0, |marks, at| marks | 1 << at);
            assert_eq!(marks, twin, "{count}");
        }
    }

    #[test]
    fn every_packet_goes_where_its_bit_says() {
        for chosen in [0, 1, 0b1010, 0b1111, u64::MAX] {
            for (yes, no) in [(Some(0), Some(1)), (Some(1), None), (None, Some(0)), (None, None)] {
                let mut rig = Rig::new(Parting(chosen, yes, no));
                let left = rig.process(0, packets(4));
                let at = |at: u8| if chosen >> at & 1 == 1 { yes } else { no };
                for gate in 0..2 {
                    let numbers: Vec<u8> = left
                        .iter()
                        .filter(|(at, _)| *at == gate)
                        .map(|(_, packet)| packet.data()[0])
                        .collect();
                    let expected: Vec<u8> = (0..4).filter(|number| at(*number) == Some(gate)).collect();
                    assert_eq!(numbers, expected, "{chosen:b} {yes:?} {no:?}");
                }
                assert_eq!(rig.dropped, 4 - left.len());
            }
        }
    }
}
