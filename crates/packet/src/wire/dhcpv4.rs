//! DHCP for IPv4 (RFC 2131, options RFC 2132): what clients, servers and relays say, over UDP ports 67 and 68.
//!
//! ```text
//! 0    1       2      3      4     8      10      12       28              44      108    236      240
//! | op | htype | hlen | hops | xid | secs | flags | 4 × IP | hardware addr | sname | file | cookie | options
//! ```
//!
//! Options are read from the options field and, where option 52 says so, from `file` and `sname` (RFC 2131 §4.1). An
//! option that comes twice counts once, the first; long options in several parts (RFC 3396) are not joined.
//!
//! ```
//! use packet::wire::{MacAddr, dhcpv4};
//! let ask = dhcpv4::Repr::discover(7, MacAddr([2, 0, 0, 0, 0, 1]));
//! let mut bytes = vec![0; ask.buffer_len()];
//! ask.emit(&mut dhcpv4::View::new_unchecked(&mut bytes[..]));
//! let view = dhcpv4::View::new_checked(&bytes[..])?;
//! let asked = dhcpv4::Repr::parse(&view)?;
//! let offer = asked.reply(dhcpv4::MessageType::OFFER, "10.0.0.5".parse()?, "10.0.0.1".parse()?);
//! assert_eq!(offer.to_string(), "DHCP Offer xid 0x7 to 02:00:00:00:00:01, your address 10.0.0.5, server 10.0.0.1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::net::Ipv4Addr;

use super::{Field, MacAddr, WireError, array, be16, be32, need, span};

pub mod option;
mod options;
mod repr;
#[cfg(test)]
mod tests;

pub use options::Options;
pub use repr::{Addresses, Repr};

/// Bytes before the options, the magic cookie included.
pub const HEADER_LEN: usize = 240;
/// Bytes of the shortest message that old relays and clients take (RFC 1542 §2.1); shorter ones are padded.
pub const MESSAGE_LEN_MIN: usize = 300;
/// Options walked in one message.
pub const OPTIONS_MAX: usize = 128;
/// Bytes of one option's data.
pub const OPTION_LEN_MAX: usize = 255;
/// Addresses kept of a list of routers or name servers; those behind are left out.
pub const ADDRESSES_MAX: usize = 8;
/// The UDP port of servers and relays.
pub const SERVER_PORT: u16 = 67;
/// The UDP port of clients.
pub const CLIENT_PORT: u16 = 68;

mod field {
    use super::Field;
    pub(super) const OPERATION: usize = 0;
    pub(super) const HARDWARE: Field = 1..3;
    pub(super) const HOPS: usize = 3;
    pub(super) const TRANSACTION: Field = 4..8;
    pub(super) const SECONDS: Field = 8..10;
    pub(super) const FLAGS: Field = 10..12;
    pub(super) const CLIENT_IP: Field = 12..16;
    pub(super) const YOUR_IP: Field = 16..20;
    pub(super) const NEXT_SERVER: Field = 20..24;
    pub(super) const RELAY_IP: Field = 24..28;
    pub(super) const CLIENT_MAC: Field = 28..34;
    pub(super) const SERVER_NAME: Field = 44..108;
    pub(super) const FILE: Field = 108..236;
    pub(super) const COOKIE: Field = 236..240;
}

const COOKIE: u32 = 0x6382_5363;
const ETHERNET: u16 = 0x0106; // hardware type 1, address length 6
const BROADCAST: u16 = 0x8000;

/// Kind of message (RFC 2132 §9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageType(pub u8);

impl MessageType {
    /// Which servers are there?
    pub const DISCOVER: Self = Self(1);
    /// A server offers an address.
    pub const OFFER: Self = Self(2);
    /// The client takes it, or renews it.
    pub const REQUEST: Self = Self(3);
    /// The client's address is in use already.
    pub const DECLINE: Self = Self(4);
    /// It has the address.
    pub const ACK: Self = Self(5);
    /// It has not.
    pub const NAK: Self = Self(6);
    /// The client gives it back.
    pub const RELEASE: Self = Self(7);
    /// The client has an address and wants the rest.
    pub const INFORM: Self = Self(8);
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::DISCOVER => "Discover",
            Self::OFFER => "Offer",
            Self::REQUEST => "Request",
            Self::DECLINE => "Decline",
            Self::ACK => "ACK",
            Self::NAK => "NACK",
            Self::RELEASE => "Release",
            Self::INFORM => "Inform",
            Self(other) => return write!(f, "Unknown ({other})"),
        })
    }
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A client (1, BOOTREQUEST).
    Request,
    /// A server (2, BOOTREPLY).
    Reply,
}

/// A DHCP message's bytes.
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
    /// A buffer shorter than the header, hardware other than Ethernet, an unknown operation, no magic cookie (plain
    /// BOOTP). Options are checked as they are walked.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let data = buffer.as_ref();
        need("dhcp header", data, HEADER_LEN)?;
        let wrong = |what, value: u32| Err(WireError::BadValue { what, value: u64::from(value) });
        match (data[field::OPERATION], be16(&data[field::HARDWARE]), be32(&data[field::COOKIE])) {
            (1 | 2, ETHERNET, COOKIE) => Ok(Self { buffer }),
            (1 | 2, ETHERNET, cookie) => wrong("dhcp cookie", cookie),
            (1 | 2, hardware, _) => wrong("dhcp hardware type and length", u32::from(hardware)),
            (operation, ..) => wrong("dhcp operation", u32::from(operation)),
        }
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    fn ip(&self, field: Field) -> Ipv4Addr {
        array::<4>(&self.buffer.as_ref()[field]).into()
    }

    /// Who speaks.
    pub fn operation(&self) -> Operation {
        if self.buffer.as_ref()[field::OPERATION] == 2 { Operation::Reply } else { Operation::Request }
    }

    /// Relays passed.
    pub fn hops(&self) -> u8 {
        self.buffer.as_ref()[field::HOPS]
    }

    /// Chosen by the client, repeated in answers.
    pub fn transaction(&self) -> u32 {
        be32(&self.buffer.as_ref()[field::TRANSACTION])
    }

    /// Seconds since the client began.
    pub fn seconds(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::SECONDS])
    }

    /// The client cannot receive unicast yet.
    pub fn broadcast(&self) -> bool {
        be16(&self.buffer.as_ref()[field::FLAGS]) & BROADCAST != 0
    }

    /// The address the client has (`ciaddr`).
    pub fn client_ip(&self) -> Ipv4Addr {
        self.ip(field::CLIENT_IP)
    }

    /// The address the client gets (`yiaddr`).
    pub fn your_ip(&self) -> Ipv4Addr {
        self.ip(field::YOUR_IP)
    }

    /// The server to boot from (`siaddr`).
    pub fn next_server(&self) -> Ipv4Addr {
        self.ip(field::NEXT_SERVER)
    }

    /// The relay on the client's link (`giaddr`).
    pub fn relay_ip(&self) -> Ipv4Addr {
        self.ip(field::RELAY_IP)
    }

    /// The client's Ethernet address.
    pub fn client_mac(&self) -> MacAddr {
        MacAddr(array(&self.buffer.as_ref()[field::CLIENT_MAC]))
    }

    /// The options, of all fields that hold some.
    pub fn options(&self) -> Options<'_> {
        let data = self.buffer.as_ref();
        Options::of(span(data, HEADER_LEN, usize::MAX), &data[field::FILE], &data[field::SERVER_NAME])
    }

    /// The data of the first option of that number.
    pub fn option(&self, number: u8) -> Option<&[u8]> {
        self.options().map_while(Result::ok).find(|(kind, _)| *kind == number).map(|(_, data)| data)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BOOTP/DHCP, ")?;
        match self.operation() {
            Operation::Request => write!(f, "Request from {}", self.client_mac())?,
            Operation::Reply => f.write_str("Reply")?,
        }
        write!(f, ", length {}", self.buffer.as_ref().len())?;
        match Repr::parse(self) {
            Ok(repr) => write!(f, ": {repr}"),
            Err(wrong) => write!(f, " [{wrong}]"),
        }
    }
}
