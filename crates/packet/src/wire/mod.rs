//! Wire formats as zero-copy views: one protocol, one file, one shape.
//!
//! Every protocol module holds
//!
//! * `View<T: AsRef<[u8]>>`, the bytes seen as that protocol. [`View::new_checked`](udp::View::new_checked)
//!   validates every length the header claims **once**; after it, accessors cannot fail. With `T: AsMut<[u8]>`
//!   there are setters. An accessor that slices by a length field clamps to the buffer, so a setter that lies
//!   shortens a payload and never panics;
//! * `Repr`, a plain value of what the header says: `Repr::parse(&view)` reads it, `repr.emit(&mut view)` writes
//!   it into a buffer of at least `repr.buffer_len()` bytes (made with `View::new_unchecked`, whose accessors panic
//!   on a buffer shorter than the fixed header);
//! * iterators over options and extension headers which yield `Result`, end at the first error, and are bounded by
//!   the length of what they walk;
//! * `Display`, which reads like tcpdump.
//!
//! ```
//! use packet::wire::{ethernet, ipv4, udp};
//! # use packet::wire::{EtherType, IpProtocol, MacAddr};
//! # let mut bytes = [0u8; 14 + 20 + 8 + 2];
//! # ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr::BROADCAST, ethertype: EtherType::IPV4 }
//! #     .emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
//! # ipv4::Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::UDP, 10)
//! #     .emit(&mut ipv4::View::new_unchecked(&mut bytes[14..]));
//! # udp::Repr { source_port: 5000, destination_port: 53, payload_len: 2 }
//! #     .emit(&mut udp::View::new_unchecked(&mut bytes[34..]));
//! let frame = ethernet::View::new_checked(&bytes[..])?;
//! let ip = ipv4::View::new_checked(frame.payload())?;
//! let datagram = udp::View::new_checked(ip.payload())?;
//! assert_eq!((datagram.source_port(), datagram.destination_port()), (5000, 53));
//! # Ok::<(), packet::wire::WireError>(())
//! ```

use thiserror::Error;

pub mod arp;
pub mod bpdu;
pub mod dhcpv4;
pub mod dns;
pub mod eapol;
pub mod ethernet;
pub mod geneve;
pub mod gre;
pub mod gtpu;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ipv4;
pub mod ipv6;
pub mod llc;
pub mod lldp;
pub mod mpls;
pub mod ndp;
pub mod protocol;
pub mod rip;
pub mod tcp;
pub mod udp;
pub mod vlan;
pub mod vxlan;

pub use ethernet::MacAddr;
pub use protocol::{EtherType, IpProtocol};

/// Why bytes are not what they claim to be. Carries the field and the value at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// The buffer ends before the header, or before where its length field says it ends.
    #[error("{what}: needs {need} bytes, has {have}")]
    Truncated {
        /// The header or field.
        what: &'static str,
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// A length field contradicts the format (shorter than its own header, not a multiple, ...).
    #[error("{what}: {value} is not a possible length")]
    BadLength {
        /// The length field.
        what: &'static str,
        /// Its value in bytes.
        value: usize,
    },
    /// A version, type or reserved field holds something this format does not have.
    #[error("{what}: {value:#x} is not valid here")]
    BadValue {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// More items than the named limit.
    #[error("{what}: more than the limit of {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// A field's place in its header.
pub(crate) type Field = std::ops::Range<usize>;

#[inline]
pub(crate) fn need(what: &'static str, data: &[u8], need: usize) -> Result<(), WireError> {
    if data.len() < need {
        return Err(WireError::Truncated { what, need, have: data.len() });
    }
    Ok(())
}

/// `data[start..end]`, clamped to what is there.
#[inline]
pub(crate) fn span(data: &[u8], start: usize, end: usize) -> &[u8] {
    let end = end.min(data.len());
    &data[start.min(end)..end]
}

/// `data[start..end]`, clamped to what is there.
#[inline]
pub(crate) fn span_mut(data: &mut [u8], start: usize, end: usize) -> &mut [u8] {
    let end = end.min(data.len());
    &mut data[start.min(end)..end]
}

#[inline]
pub(crate) fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

#[inline]
pub(crate) fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[inline]
pub(crate) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[..N]);
    out
}

#[inline]
pub(crate) fn put16(bytes: &mut [u8], value: u16) {
    bytes[..2].copy_from_slice(&value.to_be_bytes());
}

#[inline]
pub(crate) fn put32(bytes: &mut [u8], value: u32) {
    bytes[..4].copy_from_slice(&value.to_be_bytes());
}

/// A length as a 16-bit header field; what does not fit saturates (callers stay below 64 KiB).
#[inline]
pub(crate) fn len16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
