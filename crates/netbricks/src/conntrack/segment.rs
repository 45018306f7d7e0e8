//! A TCP segment as the tracker reads it.

use packet::parse::Layers;
use packet::wire::tcp::{self, Flags};

/// What a segment asks for. A segment with more than one of these flags is what stands first here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rst,
    SynAck,
    Syn,
    Fin,
    Ack,
}

/// One segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    view: tcp::View<&'a [u8]>,
    pub(super) kind: Kind,
    flags: Flags,
    pub(super) sequence: u32,
    /// The sequence number behind it.
    pub(super) end: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    /// The first fragment of a segment: more data follows than is seen here.
    pub(super) is_fragment: bool,
}

impl<'a> Segment<'a> {
    /// Reads a segment; `None` for a combination of flags that no connection has.
    #[inline(always)]
    pub(super) fn read(layers: &Layers, frame: &'a [u8]) -> Option<Self> {
        Self::of(layers.segment(frame), layers.fragment.is_some())
    }

    /// [`read`](Self::read) from a segment's own bytes, or those that the first fragment has of it.
    #[inline(always)]
    pub(super) fn of(segment: &'a [u8], is_fragment: bool) -> Option<Self> {
        let view = tcp::View::new_checked(segment).ok()?;
        let flags = view.flags();
        let kind = KINDS[usize::from(flags.0) % KINDS.len()]?;
        let sequence = view.sequence();
        Some(Self {
            view,
            kind,
            flags,
            sequence,
            end: sequence.wrapping_add(view.sequence_len()),
            ack: view.ack(),
            window: view.window(),
            is_fragment,
        })
    }

    #[inline]
    pub(super) const fn syn(&self) -> bool {
        self.flags.contains(Flags::SYN)
    }

    #[inline]
    pub(super) const fn rst(&self) -> bool {
        self.flags.contains(Flags::RST)
    }

    #[inline]
    pub(super) const fn has_ack(&self) -> bool {
        self.flags.contains(Flags::ACK)
    }

    #[inline]
    pub(super) fn has_options(&self) -> bool {
        self.view.header_len() > tcp::HEADER_LEN
    }

    /// Whether there may be more among its options than the timestamps which nearly every segment has, in the layout that
    /// RFC 7323, appendix A, recommends.
    #[inline(always)]
    pub(super) fn has_rare_options(&self) -> bool {
        self.has_options()
            && (self.view.header_len() != tcp::HEADER_LEN + TIMESTAMPS_LEN
                || !self.view.into_inner()[tcp::HEADER_LEN..].starts_with(&TIMESTAMPS))
    }

    pub(super) fn options(&self) -> tcp::Options<'_> {
        self.view.options()
    }
}

/// How options start that are timestamps alone: NOP, NOP, kind 8, length 10.
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];
const TIMESTAMPS_LEN: usize = 12;

/// [`kind`] by the six flags of RFC 793; the others say nothing.
static KINDS: [Option<Kind>; 64] = {
    let mut kinds = [None; 64];
    let mut bits = 0;
    while bits < kinds.len() {
        kinds[bits] = kind(Flags(bits as u16));
        bits += 1;
    }
    kinds
};

/// PSH and the congestion bits go with everything, URG with everything but a reset. Each segment is a SYN, a SYN/ACK, a
/// reset, or has ACK (RFC 9293 §3.10.7.4, "if the ACK bit is off, drop the segment").
const fn kind(flags: Flags) -> Option<Kind> {
    let urgent = flags.contains(Flags::URG);
    let (syn, fin) = (flags.contains(Flags::SYN), flags.contains(Flags::FIN));
    match (syn, fin, flags.contains(Flags::RST), flags.contains(Flags::ACK)) {
        (true, false, false, false) => Some(Kind::Syn),
        (true, false, false, true) if !urgent => Some(Kind::SynAck),
        (false, false, true, _) if !urgent => Some(Kind::Rst),
        (false, true, false, true) => Some(Kind::Fin),
        (false, false, false, true) => Some(Kind::Ack),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_32_combinations_nine_are_possible() {
        let urg = Flags::URG.0;
        let possible: Vec<u16> = (0..0x40u16)
            .filter(|bits| bits & Flags::PSH.0 == 0)
            .filter(|bits| kind(Flags(*bits)).is_some())
            .collect();
        let expected = [0x02, 0x04, 0x10, 0x11, 0x12, 0x14, 0x02 | urg, 0x10 | urg, 0x11 | urg];
        assert_eq!(possible, expected);
        for bits in 0..0x200u16 {
            let free = Flags::PSH.0 | Flags::ECE.0 | Flags::CWR.0 | Flags::AE.0;
            assert_eq!(kind(Flags(bits)), kind(Flags(bits & !free)), "{bits:#x}");
            assert_eq!(kind(Flags(bits)), KINDS[usize::from(bits) % KINDS.len()], "{bits:#x}");
        }
    }
}
