//! Leaves: eight rules at a time, compared lane by lane in plain loops that compilers turn into vector instructions.

use super::region::{Bounds, DESTINATION, DESTINATION_PORT, Key, PROTOCOL, SOURCE, SOURCE_PORT};

/// Rules of a block.
pub(super) const LANES: usize = 8;
/// In the last number of a block: another block of the same leaf follows.
const MORE: u32 = 1 << 31;
/// The number of no rule.
pub(super) const NONE: u32 = MORE - 1;

/// What a block holds classes as: 16 bits are enough where there are at most 2^16 of them.
pub(super) trait Class: Copy {
    /// The largest number of classes.
    const COUNT_MAX: usize;

    fn new(class: u32) -> Self;

    /// 0 where `self` is at least `first` and at most `span` above it.
    fn outside(self, first: Self, span: Self) -> u16;
}

impl Class for u16 {
    const COUNT_MAX: usize = 1 << 16;

    #[inline(always)]
    fn new(class: u32) -> Self {
        class as Self
    }

    #[inline(always)]
    fn outside(self, first: Self, span: Self) -> u16 {
        self.wrapping_sub(first).saturating_sub(span)
    }
}

impl Class for u32 {
    const COUNT_MAX: usize = 1 << 31;

    #[inline(always)]
    fn new(class: u32) -> Self {
        class
    }

    #[inline(always)]
    fn outside(self, first: Self, span: Self) -> u16 {
        u16::from(self.wrapping_sub(first) > span)
    }
}

/// One range a lane, as first value and span.
#[derive(Clone, Copy)]
struct Ranges<N> {
    first: [N; LANES],
    span: [N; LANES],
}

impl<N: Class> Ranges<N> {
    fn empty() -> Self {
        Self { first: [N::new(0); LANES], span: [N::new(0); LANES] }
    }

    fn set(&mut self, lane: usize, (first, last): (u32, u32)) {
        self.first[lane] = N::new(first);
        self.span[lane] = N::new(last - first);
    }

    #[inline(always)]
    fn outside(&self, lane: usize, value: N) -> u16 {
        value.outside(self.first[lane], self.span[lane])
    }
}

/// Up to eight rules, the most important first. Three cache lines where classes have 16 bits.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Block<C> {
    source: Ranges<C>,
    destination: Ranges<C>,
    source_port: Ranges<u16>,
    destination_port: Ranges<u16>,
    protocol_value: [u16; LANES],
    protocol_mask: [u16; LANES],
    rules: [u32; LANES],
}

/// One number a lane: 0 where the rule matches.
pub(super) type Misses = [u16; LANES];

impl<C: Class> Block<C> {
    /// A block in which nothing matches: no protocol is 0xffff.
    fn empty() -> Self {
        Self {
            source: Ranges::empty(),
            destination: Ranges::empty(),
            source_port: Ranges::empty(),
            destination_port: Ranges::empty(),
            protocol_value: [u16::MAX; LANES],
            protocol_mask: [0; LANES],
            rules: [NONE; LANES],
        }
    }

    fn set(&mut self, lane: usize, rule: &Bounds) {
        self.source.set(lane, rule.region[SOURCE]);
        self.destination.set(lane, rule.region[DESTINATION]);
        self.source_port.set(lane, rule.region[SOURCE_PORT]);
        self.destination_port.set(lane, rule.region[DESTINATION_PORT]);
        self.protocol_value[lane] = rule.protocol.value().into();
        self.protocol_mask[lane] = rule.protocol.mask().into();
        self.rules[lane] = rule.number;
    }

    /// Appends a leaf of `rules`, the most important first, to `blocks`.
    pub(super) fn push_leaf<'a>(blocks: &mut Vec<Self>, rules: impl ExactSizeIterator<Item = &'a Bounds>) {
        let count = rules.len();
        blocks.push(Self::empty());
        for (index, rule) in rules.enumerate() {
            if let Some(block) = blocks.last_mut() {
                block.set(index % LANES, rule);
            }
            if index % LANES == LANES - 1 && index + 1 < count {
                if let Some(block) = blocks.last_mut() {
                    block.rules[LANES - 1] |= MORE;
                }
                blocks.push(Self::empty());
            }
        }
    }

    /// Compares `key` with all eight rules.
    #[inline(always)]
    pub(super) fn misses(&self, key: &Key) -> Misses {
        let (source, destination) = (C::new(key[SOURCE]), C::new(key[DESTINATION]));
        let (source_port, destination_port) = (key[SOURCE_PORT] as u16, key[DESTINATION_PORT] as u16);
        let protocol = key[PROTOCOL] as u16;
        let mut misses = [0; LANES];
        for (lane, misses) in misses.iter_mut().enumerate() {
            *misses = self.source.outside(lane, source)
                | self.destination.outside(lane, destination)
                | self.source_port.outside(lane, source_port)
                | self.destination_port.outside(lane, destination_port)
                | protocol & self.protocol_mask[lane] ^ self.protocol_value[lane];
        }
        misses
    }

    /// The number of the first rule that matches, or [`NONE`].
    #[inline(always)]
    pub(super) fn first(&self, misses: &Misses) -> u32 {
        let mut hits = 0u32;
        for (lane, &miss) in misses.iter().enumerate() {
            hits |= u32::from(miss == 0) << lane;
        }
        let rule = self.rules[hits.trailing_zeros() as usize % LANES] & !MORE;
        if hits == 0 { NONE } else { rule }
    }

    /// Whether the next block continues the leaf.
    #[inline(always)]
    pub(super) fn has_more(&self) -> bool {
        self.rules[LANES - 1] & MORE != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_is_three_cache_lines() {
        assert_eq!(size_of::<Block<u16>>(), 192);
        assert_eq!(size_of::<Block<u32>>(), 256);
    }
}
