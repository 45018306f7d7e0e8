//! Rules as boxes: five ranges of small numbers.

use super::rule::ProtocolMatch;

/// The five dimensions, as indices.
pub(super) const SOURCE: usize = 0;
pub(super) const DESTINATION: usize = 1;
pub(super) const SOURCE_PORT: usize = 2;
pub(super) const DESTINATION_PORT: usize = 3;
pub(super) const PROTOCOL: usize = 4;
/// How many there are.
pub(super) const DIMENSIONS: usize = 5;

/// A packet: its values by dimension, then zeros. Eight, so that three bits are always an index.
pub(super) type Key = [u32; 8];
/// An index of a [`Key`] at which there is always 0.
pub(super) const ZERO: usize = 7;

/// First and last value in each dimension.
pub(super) type Region = [(u32, u32); DIMENSIONS];

/// What a rule asks for, in the numbers of one family's classes.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// Contains all that the rule matches; under a protocol mask it is wider.
    pub(super) region: Region,
    pub(super) protocol: ProtocolMatch,
    /// The rule's place in the order, which is its priority.
    pub(super) number: u32,
}

impl Bounds {
    /// The protocols between which all lie that `protocol` contains.
    pub(super) fn protocols(protocol: ProtocolMatch) -> (u32, u32) {
        (protocol.value().into(), (protocol.value() | !protocol.mask()).into())
    }

    /// How many values the rule spans in a dimension.
    pub(super) fn width(&self, dimension: usize) -> usize {
        let (first, last) = self.region[dimension];
        (last - first) as usize + 1
    }

    /// Whether everything in `region` matches.
    pub(super) fn covers(&self, region: &Region) -> bool {
        let free = u32::from(!self.protocol.mask());
        let is_range = free & (free + 1) == 0; // the mask's free bits are the lowest ones
        is_range && self.region.iter().zip(region).all(|(own, other)| own.0 <= other.0 && other.1 <= own.1)
    }

    /// Whether anything in `region` may match.
    pub(super) fn meets(&self, region: &Region) -> bool {
        self.region.iter().zip(region).all(|(own, other)| own.0 <= other.1 && other.0 <= own.1)
    }
}
