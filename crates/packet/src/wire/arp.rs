//! ARP for IPv4 over Ethernet (RFC 826); other hardware or protocol types are refused.

use std::fmt;
use std::net::Ipv4Addr;

use super::{EtherType, Field, MacAddr, WireError, array, be16, need, put16};

/// Bytes of a packet.
pub const PACKET_LEN: usize = 28;

mod field {
    use super::Field;
    pub(super) const HARDWARE: Field = 0..2;
    pub(super) const PROTOCOL: Field = 2..4;
    pub(super) const LENGTHS: Field = 4..6;
    pub(super) const OPERATION: Field = 6..8;
    pub(super) const SENDER_MAC: Field = 8..14;
    pub(super) const SENDER_IP: Field = 14..18;
    pub(super) const TARGET_MAC: Field = 18..24;
    pub(super) const TARGET_IP: Field = 24..28;
}

const HARDWARE_ETHERNET: u16 = 1;

/// What the sender wants (IANA arp-parameters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operation(pub u16);

impl Operation {
    /// Who has this address?
    pub const REQUEST: Self = Self(1);
    /// I have it.
    pub const REPLY: Self = Self(2);
}

/// An ARP packet's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> View<T> {
    /// Without validation: for emitting. Accessors panic on a buffer shorter than [`PACKET_LEN`].
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// # Errors
    /// A buffer shorter than the packet; types or address lengths other than Ethernet and IPv4.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let data = buffer.as_ref();
        need("arp packet", data, PACKET_LEN)?;
        let wrong = |what, value: u16| Err(WireError::BadValue { what, value: u64::from(value) });
        match (be16(&data[field::HARDWARE]), be16(&data[field::PROTOCOL]), be16(&data[field::LENGTHS])) {
            (HARDWARE_ETHERNET, 0x0800, 0x0604) => Ok(Self { buffer }),
            (HARDWARE_ETHERNET, 0x0800, lengths) => wrong("arp address lengths", lengths),
            (HARDWARE_ETHERNET, protocol, _) => wrong("arp protocol type", protocol),
            (hardware, ..) => wrong("arp hardware type", hardware),
        }
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Request, reply, ...
    #[inline]
    pub fn operation(&self) -> Operation {
        Operation(be16(&self.buffer.as_ref()[field::OPERATION]))
    }

    /// The sender's Ethernet address.
    #[inline]
    pub fn sender_mac(&self) -> MacAddr {
        MacAddr(array(&self.buffer.as_ref()[field::SENDER_MAC]))
    }

    /// The sender's IPv4 address; 0.0.0.0 in a probe (RFC 5227).
    #[inline]
    pub fn sender_ip(&self) -> Ipv4Addr {
        array::<4>(&self.buffer.as_ref()[field::SENDER_IP]).into()
    }

    /// The target's Ethernet address; zero in a request.
    #[inline]
    pub fn target_mac(&self) -> MacAddr {
        MacAddr(array(&self.buffer.as_ref()[field::TARGET_MAC]))
    }

    /// The target's IPv4 address.
    #[inline]
    pub fn target_ip(&self) -> Ipv4Addr {
        array::<4>(&self.buffer.as_ref()[field::TARGET_IP]).into()
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Repr::parse(self), f)?;
        write!(f, ", length {}", self.buffer.as_ref().len())
    }
}

/// What the packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Request, reply, ...
    pub operation: Operation,
    /// The sender's Ethernet address.
    pub sender_mac: MacAddr,
    /// The sender's IPv4 address.
    pub sender_ip: Ipv4Addr,
    /// The target's Ethernet address.
    pub target_mac: MacAddr,
    /// The target's IPv4 address.
    pub target_ip: Ipv4Addr,
}

impl Repr {
    /// Reads a packet.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self {
            operation: view.operation(),
            sender_mac: view.sender_mac(),
            sender_ip: view.sender_ip(),
            target_mac: view.target_mac(),
            target_ip: view.target_ip(),
        }
    }

    /// The answer of the station `mac` to this request.
    #[must_use]
    pub const fn reply(&self, mac: MacAddr) -> Self {
        Self {
            operation: Operation::REPLY,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Bytes [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        PACKET_LEN
    }

    /// Writes the packet.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        let data = view.buffer.as_mut();
        put16(&mut data[field::HARDWARE], HARDWARE_ETHERNET);
        put16(&mut data[field::PROTOCOL], EtherType::IPV4.0);
        data[field::LENGTHS].copy_from_slice(&[6, 4]);
        put16(&mut data[field::OPERATION], self.operation.0);
        data[field::SENDER_MAC].copy_from_slice(&self.sender_mac.0);
        data[field::SENDER_IP].copy_from_slice(&self.sender_ip.octets());
        data[field::TARGET_MAC].copy_from_slice(&self.target_mac.0);
        data[field::TARGET_IP].copy_from_slice(&self.target_ip.octets());
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Operation::REQUEST => write!(f, "Request who-has {} tell {}", self.target_ip, self.sender_ip),
            Operation::REPLY => write!(f, "Reply {} is-at {}", self.sender_ip, self.sender_mac),
            Operation(other) => write!(f, "Unknown ({other})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Repr {
        Repr {
            operation: Operation::REQUEST,
            sender_mac: MacAddr([2, 0, 0, 0, 0, 2]),
            sender_ip: [10, 0, 0, 2].into(),
            target_mac: MacAddr::UNSPECIFIED,
            target_ip: [10, 0, 0, 1].into(),
        }
    }

    #[test]
    fn request_and_its_reply() {
        let mut bytes = [0; PACKET_LEN];
        request().emit(&mut View::new_unchecked(&mut bytes[..]));
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(Repr::parse(&view), request());
        assert_eq!(view.to_string(), "Request who-has 10.0.0.1 tell 10.0.0.2, length 28");
        let reply = request().reply(MacAddr([2, 0, 0, 0, 0, 1]));
        assert_eq!(reply.to_string(), "Reply 10.0.0.1 is-at 02:00:00:00:00:01");
    }

    #[test]
    fn other_hardware_is_refused_and_named() {
        let mut bytes = [0; PACKET_LEN];
        request().emit(&mut View::new_unchecked(&mut bytes[..]));
        bytes[4] = 8;
        let wrong = View::new_checked(&bytes[..]).unwrap_err();
        assert_eq!(wrong, WireError::BadValue { what: "arp address lengths", value: 0x0804 });
        bytes[1] = 6;
        let wrong = View::new_checked(&bytes[..]).unwrap_err();
        assert_eq!(wrong, WireError::BadValue { what: "arp hardware type", value: 6 });
    }
}
