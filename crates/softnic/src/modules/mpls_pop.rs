//! [`MplsPop`].

use packet::wire::{EtherType, ethernet, mpls};
use packet::{Batch, Packet};

use super::front;
use super::part::{mark, part};
use crate::engine::{Context, Gate, Module};

/// Takes the outermost MPLS label off each frame (RFC 3032).
///
/// *Input gates*: one. *Output gates*: two; 1 is for frames without a label, and for those that end within it.
///
/// Behind the last label the frame says what it is told to be, IPv4 by default; while labels remain, it stays MPLS (BESS
/// names the next type in any case). If it is told so, the Ethernet header goes as well.
///
/// ```
/// # use packet::wire::EtherType;
/// # use softnic::modules::MplsPop;
/// let mut pop = MplsPop::default();
/// pop.set(EtherType::IPV6, false);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MplsPop {
    next: EtherType,
    removes_ethernet: bool,
}

impl Default for MplsPop {
    fn default() -> Self {
        Self { next: EtherType::IPV4, removes_ethernet: false }
    }
}

impl MplsPop {
    /// What frames are behind the last label, and whether they lose their Ethernet header.
    pub fn set(&mut self, next: EtherType, removes_ethernet: bool) {
        *self = Self { next, removes_ethernet };
    }

    fn pop(self, packet: &mut Packet) -> bool {
        let Ok(frame) = ethernet::View::new_checked(packet.data()) else { return false };
        if frame.ethertype() != EtherType::MPLS {
            return false;
        }
        let Ok(label) = mpls::View::new_checked(frame.payload()) else { return false };
        let next = if label.bottom() { self.next } else { EtherType::MPLS };
        if self.removes_ethernet {
            return front::pull(packet, ethernet::HEADER_LEN + mpls::ENTRY_LEN);
        }
        front::cut(packet, ethernet::HEADER_LEN, mpls::ENTRY_LEN);
        ethernet::View::new_unchecked(packet.data_mut()).set_ethertype(next);
        true
    }
}

impl Module for MplsPop {
    fn class(&self) -> &'static str {
        "MPLSPop"
    }

    fn outputs(&self) -> Gate {
        2
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let popped = mark(batch, |packet| self.pop(packet));
        part(ctx, batch, popped, Some(0), Some(1));
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{framed, packet};
    use super::*;
    use crate::engine::Rig;

    const OUTER: [u8; 4] = [0, 1, 0, 64];
    const BOTTOM: [u8; 4] = [0, 2, 1, 64];

    #[test]
    fn labels_come_off_and_the_last_one_says_what_is_next() {
        let mut rig = Rig::new(MplsPop::default());
        let two = framed(EtherType::MPLS, &[&OUTER[..], &BOTTOM, b"payload"].concat());
        let left = rig.process(0, [packet(&two)]).remove(0);
        assert_eq!(
            (left.0, left.1.data()),
            (0, &framed(EtherType::MPLS, &[&BOTTOM[..], b"payload"].concat())[..])
        );
        let left = rig.process(0, [left.1]).remove(0);
        assert_eq!((left.0, left.1.data()), (0, &framed(EtherType::IPV4, b"payload")[..]));
        let left = rig.process(0, [left.1]).remove(0);
        assert_eq!((left.0, left.1.data()), (1, &framed(EtherType::IPV4, b"payload")[..]));
    }

    #[test]
    fn the_next_type_and_the_header_are_as_set() {
        let one = framed(EtherType::MPLS, &[&BOTTOM[..], b"payload"].concat());
        let mut rig = Rig::new(MplsPop::default());
        rig.module.set(EtherType::IPV6, false);
        assert_eq!(rig.process(0, [packet(&one)])[0].1.data(), framed(EtherType::IPV6, b"payload"));
        rig.module.set(EtherType::IPV6, true);
        assert_eq!(rig.process(0, [packet(&one)])[0].1.data(), b"payload");
        let cut = rig.process(0, [packet(&one[..17]), packet(&one[..13])]);
        assert!(cut.len() == 2 && cut.iter().all(|(gate, _)| *gate == 1));
    }
}
