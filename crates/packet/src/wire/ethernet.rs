//! Ethernet II (IEEE 802.3 §3, RFC 894).
//!
//! ```text
//! 0              6              12         14
//! | destination  | source       | EtherType | payload, padded to 46 bytes
//! ```

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{EtherType, Field, WireError, array, be16, need, put16, span, span_mut};

/// Bytes of the header.
pub const HEADER_LEN: usize = 14;

mod field {
    use super::Field;
    pub(super) const DESTINATION: Field = 0..6;
    pub(super) const SOURCE: Field = 6..12;
    pub(super) const ETHERTYPE: Field = 12..14;
}

/// An Ethernet (EUI-48) address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// 00:00:00:00:00:00, "none".
    pub const UNSPECIFIED: Self = Self([0; 6]);

    /// Whether the group bit is set (broadcast is multicast too).
    #[inline]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether it is ff:ff:ff:ff:ff:ff.
    #[inline]
    #[must_use]
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether it names one station: neither a group nor zero.
    #[inline]
    #[must_use]
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self != Self::UNSPECIFIED
    }

    /// Whether the "locally administered" bit is set.
    #[inline]
    #[must_use]
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// The multicast address for an IPv6 group: 33:33 and the last four bytes (RFC 2464 §7).
    #[must_use]
    pub const fn multicast_v6(group: std::net::Ipv6Addr) -> Self {
        let o = group.octets();
        Self([0x33, 0x33, o[12], o[13], o[14], o[15]])
    }

    /// The multicast address for an IPv4 group: 01:00:5e and the last 23 bits (RFC 1112 §6.4).
    #[must_use]
    pub const fn multicast_v4(group: std::net::Ipv4Addr) -> Self {
        let o = group.octets();
        Self([0x01, 0x00, 0x5e, o[1] & 0x7f, o[2], o[3]])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not an Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not an Ethernet address: expected six hex pairs like 02:00:00:00:00:01")]
pub struct MacAddrError(pub String);

impl FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || MacAddrError(text.chars().take(40).collect());
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2 && !p.starts_with('+')).ok_or_else(wrong)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() { Err(wrong()) } else { Ok(Self(octets)) }
    }
}

/// A frame's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> View<T> {
    /// Without validation: for emitting. Accessors panic on a buffer shorter than [`HEADER_LEN`].
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// # Errors
    /// A buffer shorter than the header.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("ethernet header", buffer.as_ref(), HEADER_LEN)?;
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> MacAddr {
        MacAddr(array(&self.buffer.as_ref()[field::DESTINATION]))
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> MacAddr {
        MacAddr(array(&self.buffer.as_ref()[field::SOURCE]))
    }

    /// What follows: a type, or below 0x0600 an 802.3 length.
    #[inline]
    pub fn ethertype(&self) -> EtherType {
        EtherType(be16(&self.buffer.as_ref()[field::ETHERTYPE]))
    }

    /// Everything after the header, padding included: only the next header knows where the padding starts.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), HEADER_LEN, usize::MAX)
    }
}

impl<'a> View<&'a [u8]> {
    /// [`View::payload`] that outlives the view.
    #[inline]
    pub fn into_payload(self) -> &'a [u8] {
        span(self.buffer, HEADER_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Sets the destination address.
    #[inline]
    pub fn set_destination(&mut self, address: MacAddr) {
        self.buffer.as_mut()[field::DESTINATION].copy_from_slice(&address.0);
    }

    /// Sets the source address.
    #[inline]
    pub fn set_source(&mut self, address: MacAddr) {
        self.buffer.as_mut()[field::SOURCE].copy_from_slice(&address.0);
    }

    /// Sets the EtherType.
    #[inline]
    pub fn set_ethertype(&mut self, ethertype: EtherType) {
        put16(&mut self.buffer.as_mut()[field::ETHERTYPE], ethertype.0);
    }

    /// Everything after the header.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        span_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.buffer.as_ref().len();
        write!(
            f,
            "{} > {}, ethertype {}, length {length}",
            self.source(),
            self.destination(),
            self.ethertype()
        )
    }
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Source address.
    pub source: MacAddr,
    /// Destination address.
    pub destination: MacAddr,
    /// What follows.
    pub ethertype: EtherType,
}

impl Repr {
    /// Reads a header.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self { source: view.source(), destination: view.destination(), ethertype: view.ethertype() }
    }

    /// Bytes [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        view.set_destination(self.destination);
        view.set_source(self.source);
        view.set_ethertype(self.ethertype);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runt_is_an_error() {
        for len in 0..HEADER_LEN {
            let runt = vec![0; len];
            assert_eq!(
                View::new_checked(&runt[..]),
                Err(WireError::Truncated { what: "ethernet header", need: HEADER_LEN, have: len })
            );
        }
    }

    #[test]
    fn addresses_read_and_print() {
        let mac: MacAddr = "02:00:5e:10:00:FF".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:5e:10:00:ff");
        assert!(mac.is_local() && mac.is_unicast() && !mac.is_multicast());
        for wrong in [
            "",
            "02:00:5e:10:00",
            "02:00:5e:10:00:ff:01",
            "02:00:5e:10:00:f",
            "02:00:5e:10:00:+1",
            "zz:0:0:0:0:0",
        ] {
            assert!(wrong.parse::<MacAddr>().is_err(), "{wrong}");
        }
        assert_eq!(MacAddr::multicast_v6("ff02::1:ff00:1".parse().unwrap()).to_string(), "33:33:ff:00:00:01");
        assert_eq!(MacAddr::multicast_v4([239, 129, 2, 3].into()).to_string(), "01:00:5e:01:02:03");
    }

    #[test]
    fn prints_like_tcpdump() {
        let mut bytes = [0; 60];
        let repr = Repr {
            source: MacAddr([2, 0, 0, 0, 0, 1]),
            destination: MacAddr::BROADCAST,
            ethertype: EtherType::ARP,
        };
        repr.emit(&mut View::new_unchecked(&mut bytes[..]));
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(Repr::parse(&view), repr);
        assert_eq!(
            view.to_string(),
            "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 60"
        );
    }
}
