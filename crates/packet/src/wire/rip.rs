//! RIP version 2 (RFC 2453): routes and their metrics, over UDP port 520.
//!
//! ```text
//! 0         1         2      4        6     8         12     16         20
//! | command | version | zero | family | tag | address | mask | next hop | metric |, up to 25 times
//! ```
//!
//! ```
//! use packet::wire::rip::{Command, Entry, Repr, View};
//! let route = Entry { address: "10.1.0.0".parse()?, prefix_len: 16, metric: 2, ..Entry::DEFAULT };
//! let repr = Repr { command: Command::RESPONSE, entries: 1 };
//! let mut bytes = vec![0; repr.buffer_len()];
//! let mut view = View::new_unchecked(&mut bytes[..]);
//! repr.emit(&mut view);
//! view.set_entry(0, &route);
//! let view = View::new_checked(&bytes[..])?;
//! assert!(view.entries().eq([Ok(route)]));
//! assert_eq!(view.to_string(), "RIPv2, Response, length: 24, routes: 1: 10.1.0.0/16 metric 2");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::net::Ipv4Addr;

use super::{WireError, array, be16, be32, need, put16, put32, span};

/// Bytes of the header.
pub const HEADER_LEN: usize = 4;
/// Bytes of an entry.
pub const ENTRY_LEN: usize = 20;
/// Entries of a message (§4).
pub const ENTRIES_MAX: usize = 25;
/// The UDP port.
pub const PORT: u16 = 520;
/// Where version 2 sends to (§4.5).
pub const ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 9);
/// The metric of what cannot be reached (§3.6).
pub const INFINITY: u32 = 16;

const VERSION: u8 = 2;
const FAMILY_IP: u16 = 2;
const FAMILY_AUTHENTICATION: u16 = 0xffff;

/// What a message wants (§3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command(pub u8);

impl Command {
    /// Send me your routes.
    pub const REQUEST: Self = Self(1);
    /// These are my routes.
    pub const RESPONSE: Self = Self(2);
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::REQUEST => f.write_str("Request"),
            Self::RESPONSE => f.write_str("Response"),
            Self(other) => write!(f, "unknown ({other})"),
        }
    }
}

/// A route (§4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Family: 2 is IP, 0 in a request for all routes, 0xffff authentication (then the rest is its data).
    pub family: u16,
    /// A mark that is passed on.
    pub tag: u16,
    /// The network.
    pub address: Ipv4Addr,
    /// Bits of its prefix.
    pub prefix_len: u8,
    /// The router to send to; 0.0.0.0 is the sender.
    pub next_hop: Ipv4Addr,
    /// Hops, 1 to 15; [`INFINITY`] means out of reach.
    pub metric: u32,
}

impl Entry {
    /// The default route, out of reach.
    pub const DEFAULT: Self = Self {
        family: FAMILY_IP,
        tag: 0,
        address: Ipv4Addr::UNSPECIFIED,
        prefix_len: 0,
        next_hop: Ipv4Addr::UNSPECIFIED,
        metric: INFINITY,
    };
    /// What asks for all routes (§3.9.1).
    pub const WHOLE_TABLE: Self = Self { family: 0, ..Self::DEFAULT };

    fn parse(data: &[u8]) -> Result<Self, WireError> {
        let mask = be32(&data[8..]);
        if mask.leading_ones() + mask.trailing_zeros() < 32 {
            return Err(WireError::BadValue { what: "rip subnet mask", value: u64::from(mask) });
        }
        Ok(Self {
            family: be16(data),
            tag: be16(&data[2..]),
            address: array::<4>(&data[4..]).into(),
            prefix_len: mask.leading_ones() as u8,
            next_hop: array::<4>(&data[12..]).into(),
            metric: be32(&data[16..]),
        })
    }

    fn emit(&self, data: &mut [u8]) {
        put16(data, self.family);
        put16(&mut data[2..], self.tag);
        data[4..8].copy_from_slice(&self.address.octets());
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix_len.min(32))).unwrap_or(0);
        put32(&mut data[8..], mask);
        data[12..16].copy_from_slice(&self.next_hop.octets());
        put32(&mut data[16..], self.metric);
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} metric {}", self.address, self.prefix_len, self.metric)?;
        if !self.next_hop.is_unspecified() {
            write!(f, " next hop {}", self.next_hop)?;
        }
        Ok(())
    }
}

/// A RIP message's bytes.
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
    /// A buffer shorter than the header, that is no whole number of entries or has more than [`ENTRIES_MAX`]; a version
    /// other than 2.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let data = buffer.as_ref();
        need("rip header", data, HEADER_LEN)?;
        if data[1] != VERSION {
            return Err(WireError::BadValue { what: "rip version", value: u64::from(data[1]) });
        }
        let entries = data.len() - HEADER_LEN;
        if !entries.is_multiple_of(ENTRY_LEN) {
            return Err(WireError::BadLength { what: "rip entries", value: entries });
        }
        if entries / ENTRY_LEN > ENTRIES_MAX {
            return Err(WireError::TooMany { what: "rip entries", limit: ENTRIES_MAX });
        }
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// What it wants.
    pub fn command(&self) -> Command {
        Command(self.buffer.as_ref()[0])
    }

    /// The routes; those whose mask is no prefix are errors. An authentication in the first place is left out.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, WireError>> {
        let data = span(self.buffer.as_ref(), HEADER_LEN, usize::MAX);
        let entries = data.chunks_exact(ENTRY_LEN).take(ENTRIES_MAX);
        entries.filter(|entry| be16(entry) != FAMILY_AUTHENTICATION).map(Entry::parse)
    }

    /// Whether it begins with an authentication (§4.1).
    pub fn is_authenticated(&self) -> bool {
        self.count() > 0 && be16(&self.buffer.as_ref()[HEADER_LEN..]) == FAMILY_AUTHENTICATION
    }

    fn count(&self) -> usize {
        self.buffer.as_ref().len().saturating_sub(HEADER_LEN) / ENTRY_LEN
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Writes an entry; one beyond the buffer is left out.
    pub fn set_entry(&mut self, index: usize, entry: &Entry) {
        let entries = &mut self.buffer.as_mut()[HEADER_LEN..];
        if let Some(data) = entries.chunks_exact_mut(ENTRY_LEN).nth(index) {
            entry.emit(data);
        }
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, count) = (self.buffer.as_ref().len(), self.count());
        write!(f, "RIPv2, {}, length: {length}, routes: {count}", self.command())?;
        for (index, entry) in self.entries().enumerate() {
            f.write_str(if index == 0 { ": " } else { ", " })?;
            match entry {
                Ok(entry) => entry.fmt(f)?,
                Err(wrong) => write!(f, "[{wrong}]")?,
            }
        }
        Ok(())
    }
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// What it wants.
    pub command: Command,
    /// How many entries; [`ENTRIES_MAX`] at most.
    pub entries: usize,
}

impl Repr {
    /// Reads a header.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self { command: view.command(), entries: view.count() }
    }

    /// Bytes of the header with room for its entries.
    #[must_use]
    pub fn buffer_len(&self) -> usize {
        HEADER_LEN + ENTRY_LEN * self.entries.min(ENTRIES_MAX)
    }

    /// Writes the header; [`View::set_entry`] writes the entries.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        view.buffer.as_mut()[..HEADER_LEN].copy_from_slice(&[self.command.0, VERSION, 0, 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_read_back() {
        let routes: Vec<Entry> = (0..=24u8)
            .map(|index| Entry {
                tag: u16::from(index),
                address: Ipv4Addr::new(10, index, 0, 0),
                prefix_len: index + 8,
                next_hop: Ipv4Addr::new(10, 0, 0, index),
                metric: u32::from(index),
                ..Entry::DEFAULT
            })
            .collect();
        let repr = Repr { command: Command::RESPONSE, entries: routes.len() };
        let mut bytes = vec![0; repr.buffer_len()];
        let mut view = View::new_unchecked(&mut bytes[..]);
        repr.emit(&mut view);
        routes.iter().enumerate().for_each(|(index, route)| view.set_entry(index, route));
        view.set_entry(25, &Entry::DEFAULT); // beyond: nothing
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(Repr::parse(&view), repr);
        assert_eq!(view.entries().collect::<Result<Vec<_>, _>>().unwrap(), routes);
    }

    #[test]
    fn masks_that_are_no_prefix_and_other_lengths_are_refused() {
        let mut bytes = [0; HEADER_LEN + ENTRY_LEN];
        bytes[..2].copy_from_slice(&[2, 2]);
        bytes[12..16].copy_from_slice(&[255, 0, 255, 0]);
        let view = View::new_checked(&bytes[..]).unwrap();
        let wrong = WireError::BadValue { what: "rip subnet mask", value: 0xff00_ff00 };
        assert_eq!(view.entries().next(), Some(Err(wrong)));
        assert!(view.to_string().contains("rip subnet mask"));
        assert_eq!(
            View::new_checked(&bytes[..23]),
            Err(WireError::BadLength { what: "rip entries", value: 19 })
        );
        bytes[1] = 1;
        assert_eq!(View::new_checked(&bytes[..]), Err(WireError::BadValue { what: "rip version", value: 1 }));
        let many = [&[2, 2, 0, 0][..], &[0; ENTRY_LEN * (ENTRIES_MAX + 1)]].concat();
        assert_eq!(
            View::new_checked(&many[..]),
            Err(WireError::TooMany { what: "rip entries", limit: ENTRIES_MAX })
        );
    }

    #[test]
    fn authentication_is_no_route() {
        let mut bytes = [0; HEADER_LEN + 2 * ENTRY_LEN];
        let mut view = View::new_unchecked(&mut bytes[..]);
        Repr { command: Command::REQUEST, entries: 2 }.emit(&mut view);
        view.set_entry(0, &Entry { family: 0xffff, ..Entry::DEFAULT });
        view.set_entry(1, &Entry::WHOLE_TABLE);
        let view = View::new_checked(&bytes[..]).unwrap();
        assert!(view.entries().eq([Ok(Entry::WHOLE_TABLE)]) && view.is_authenticated());
        assert!(!View::new_checked(&bytes[..HEADER_LEN]).unwrap().is_authenticated());
        bytes[HEADER_LEN] = 0;
        assert!(!View::new_checked(&bytes[..]).unwrap().is_authenticated());
    }
}
