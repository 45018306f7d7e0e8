//! Addresses and prefixes of both families, as one type.

use std::fmt;
use std::hash::Hash;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::net::Ipv4Addr {}
    impl Sealed for std::net::Ipv6Addr {}
}

/// An address of one width: [`Ipv4Addr`] (32 bits) or [`Ipv6Addr`] (128).
pub trait Address: sealed::Sealed + Copy + Ord + Hash + fmt::Debug + fmt::Display {
    /// The address as a number, its first bit the highest.
    type Bits: Copy;
    /// Bits of an address.
    const WIDTH: u8;
    /// The address 0.
    const ZERO: Self;

    /// The number.
    fn bits(self) -> Self::Bits;
    /// The highest `count` bits of the number; `count` is 1 to 24.
    fn top(bits: Self::Bits, count: u8) -> usize;
    /// The number without its highest `count` bits, which must be fewer than all.
    fn skip(bits: Self::Bits, count: u8) -> Self::Bits;
    /// The address with all bits behind the first `len` cleared.
    #[must_use]
    fn masked(self, len: u8) -> Self;
    /// The address with all bits behind the first `len` set.
    #[must_use]
    fn last(self, len: u8) -> Self;
    /// The first `len` bits of this address, the others of another.
    #[must_use]
    fn joined(self, other: Self, len: u8) -> Self;
    /// The address of a number's low bits.
    fn truncated(number: u128) -> Self;
}

macro_rules! address {
    ($address:ty, $bits:ty) => {
        impl Address for $address {
            type Bits = $bits;
            const WIDTH: u8 = <$bits>::BITS as u8;
            const ZERO: Self = <$address>::UNSPECIFIED;

            #[inline(always)]
            fn bits(self) -> $bits {
                self.to_bits()
            }

            #[inline(always)]
            fn top(bits: $bits, count: u8) -> usize {
                (bits >> (Self::WIDTH - count)) as usize
            }

            #[inline(always)]
            fn skip(bits: $bits, count: u8) -> $bits {
                bits << count
            }

            fn masked(self, len: u8) -> Self {
                Self::from_bits(self.to_bits() & !<$bits>::MAX.checked_shr(len.into()).unwrap_or(0))
            }

            fn last(self, len: u8) -> Self {
                Self::from_bits(self.to_bits() | <$bits>::MAX.checked_shr(len.into()).unwrap_or(0))
            }

            fn joined(self, other: Self, len: u8) -> Self {
                let behind = <$bits>::MAX.checked_shr(len.into()).unwrap_or(0);
                Self::from_bits(self.to_bits() & !behind | other.to_bits() & behind)
            }

            fn truncated(number: u128) -> Self {
                Self::from_bits(number as $bits)
            }
        }
    };
}

address!(Ipv4Addr, u32);
address!(Ipv6Addr, u128);

/// An address and how many of its leading bits count; the others are 0.
///
/// Ordered by address, then the shorter first: a prefix stands before all it contains.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix<A> {
    address: A,
    len: u8,
}

/// Why an address and a length are no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError<A: Address> {
    /// Longer than the address.
    #[error("prefix length {len} of {address}: at most {}", A::WIDTH)]
    TooLong {
        /// The address.
        address: A,
        /// The length.
        len: u8,
    },
    /// A bit behind the length is set: a typing error more often than not. [`Prefix::containing`] clears them.
    #[error("{address}/{len} has bits set behind its length: {}/{len} is meant?", address.masked(*.len))]
    HostBits {
        /// The address.
        address: A,
        /// The length.
        len: u8,
    },
}

impl<A: Address> Prefix<A> {
    /// The default route: all addresses.
    pub const ALL: Self = Self { address: A::ZERO, len: 0 };

    /// A prefix as written: `10.1.0.0`, 16.
    ///
    /// # Errors
    /// A length beyond the address; bits set behind the length.
    pub fn new(address: A, len: u8) -> Result<Self, PrefixError<A>> {
        let prefix = Self::containing(address, len)?;
        if prefix.address == address { Ok(prefix) } else { Err(PrefixError::HostBits { address, len }) }
    }

    /// The prefix of this length that an address is in.
    ///
    /// # Errors
    /// A length beyond the address.
    pub fn containing(address: A, len: u8) -> Result<Self, PrefixError<A>> {
        if len > A::WIDTH {
            return Err(PrefixError::TooLong { address, len });
        }
        Ok(Self { address: address.masked(len), len })
    }

    /// Bounds of the prefixes that start between two addresses.
    pub(super) fn starting_in(first: A, last: A) -> RangeInclusive<Self> {
        Self { address: first, len: 0 }..=Self { address: last, len: A::WIDTH }
    }

    /// The first address.
    #[must_use]
    pub const fn address(self) -> A {
        self.address
    }

    /// Bits that count.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "not a number of items")]
    pub const fn len(self) -> u8 {
        self.len
    }

    /// The last address.
    #[must_use]
    pub fn last(self) -> A {
        self.address.last(self.len)
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn contains(self, address: A) -> bool {
        address.masked(self.len) == self.address
    }
}

impl<A: fmt::Display> fmt::Display for Prefix<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl<A: fmt::Display> fmt::Debug for Prefix<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_prefixes() {
        let any = Prefix::new(Ipv4Addr::UNSPECIFIED, 0).unwrap();
        assert!(any.contains(Ipv4Addr::BROADCAST) && any.last() == Ipv4Addr::BROADCAST);
        let host = Prefix::new(Ipv6Addr::LOCALHOST, 128).unwrap();
        assert!(host.contains(Ipv6Addr::LOCALHOST) && !host.contains(Ipv6Addr::UNSPECIFIED));
        assert_eq!(host.last(), Ipv6Addr::LOCALHOST);
        let net = Prefix::containing(Ipv4Addr::new(10, 1, 2, 3), 12).unwrap();
        assert_eq!(net.to_string(), "10.0.0.0/12");
        assert_eq!(net.last(), Ipv4Addr::new(10, 15, 255, 255));
        assert!(any < net && net < Prefix::containing(net.address(), 13).unwrap());
    }

    #[test]
    fn what_is_no_prefix_is_named() {
        let address = Ipv4Addr::new(10, 1, 2, 3);
        let wrong = Prefix::new(address, 8).unwrap_err();
        assert_eq!(wrong.to_string(), "10.1.2.3/8 has bits set behind its length: 10.0.0.0/8 is meant?");
        let wrong = Prefix::containing(address, 33).unwrap_err();
        assert_eq!(wrong.to_string(), "prefix length 33 of 10.1.2.3: at most 32");
    }
}
