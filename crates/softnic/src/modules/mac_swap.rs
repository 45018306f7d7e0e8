//! [`MacSwap`].

use netbricks::answer::turn_round;
use packet::Batch;
use packet::wire::ethernet;

use crate::engine::{Context, Gate, Module};

/// Exchanges the Ethernet addresses of every frame.
///
/// *Input gates*: one. *Output gates*: one. What is too short to have addresses passes as it is.
///
/// ```
/// let back = softnic::modules::MacSwap;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MacSwap;

impl Module for MacSwap {
    fn class(&self) -> &'static str {
        "MACSwap"
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        for packet in batch {
            let frame = packet.data_mut();
            if frame.len() >= ethernet::HEADER_LEN {
                turn_round(frame);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::packet;
    use super::*;
    use crate::engine::Rig;

    #[test]
    fn addresses_change_places() {
        let left = Rig::new(MacSwap).process(0, [packet(b"sixbtsSIXBTS\x08\x00rest"), packet(b"short")]);
        assert_eq!(left[0].1.data(), b"SIXBTSsixbts\x08\x00rest");
        assert_eq!(left[1].1.data(), b"short");
    }
}
