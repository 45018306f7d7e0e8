//! IGMP (RFC 1112, RFC 2236, RFC 9776): which groups a host listens to.
//!
//! ```text
//! 0      1                2          4
//! | type | max resp time  | checksum | group        versions 1 and 2, queries
//!                                    | … sources    queries of version 3
//! | 0x22 | reserved       | checksum | reserved 16 | records 16 | records …
//! ```
//!
//! ```
//! use packet::wire::igmp::{Repr, View};
//! let join = Repr::ReportV2 { group: "239.1.2.3".parse()? };
//! let mut bytes = vec![0; join.buffer_len()];
//! join.emit(&mut View::new_unchecked(&mut bytes[..]));
//! let view = View::new_checked(&bytes[..])?;
//! assert!(view.verify_checksum());
//! assert_eq!(view.to_string(), "igmp v2 report 239.1.2.3");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::net::Ipv4Addr;

use super::{Field, WireError, array, be16, need, put16};
use crate::checksum;

/// Bytes of the shortest message.
pub const HEADER_LEN: usize = 8;
/// Group records walked in one report of version 3.
pub const RECORDS_MAX: usize = 256;

mod field {
    use super::Field;
    pub(super) const KIND: usize = 0;
    pub(super) const RESPONSE: usize = 1;
    pub(super) const CHECKSUM: Field = 2..4;
    pub(super) const GROUP: Field = 4..8;
    pub(super) const RECORDS: Field = 6..8;
    pub(super) const QUERY_FLAGS: usize = 8;
    pub(super) const QUERY_SOURCES: Field = 10..12;
}

/// What a message is (IANA igmp-type-numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Type(pub u8);

impl Type {
    /// Who listens?
    pub const QUERY: Self = Self(0x11);
    /// I do, version 1.
    pub const REPORT_V1: Self = Self(0x12);
    /// I do, version 2.
    pub const REPORT_V2: Self = Self(0x16);
    /// I do no longer, version 2.
    pub const LEAVE: Self = Self(0x17);
    /// I do, to these sources: version 3.
    pub const REPORT_V3: Self = Self(0x22);
}

/// An IGMP message's bytes.
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
    /// A buffer shorter than the message; a query of version 3 shorter than its sources.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let data = buffer.as_ref();
        need("igmp message", data, HEADER_LEN)?;
        // A query longer than 8 bytes is of version 3 (RFC 9776 §7.1).
        if data[field::KIND] == Type::QUERY.0 && data.len() > HEADER_LEN {
            need("igmp query", data, 12)?;
            need("igmp query sources", data, 12 + 4 * usize::from(be16(&data[field::QUERY_SOURCES])))?;
        }
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// What it is.
    pub fn kind(&self) -> Type {
        Type(self.buffer.as_ref()[field::KIND])
    }

    /// Whether the checksum is right.
    pub fn verify_checksum(&self) -> bool {
        checksum::verify(0, self.buffer.as_ref())
    }

    /// The group; 0.0.0.0 in a query for all. Of a report of version 3 it means nothing.
    pub fn group(&self) -> Ipv4Addr {
        array::<4>(&self.buffer.as_ref()[field::GROUP]).into()
    }

    /// The records of a report of version 3.
    pub fn records(&self) -> Records<'_> {
        let data = self.buffer.as_ref();
        let left = if self.kind() == Type::REPORT_V3 { be16(&data[field::RECORDS]) } else { 0 };
        Records { data: &data[HEADER_LEN..], left, seen: 0 }
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Computes the checksum over all of the buffer.
    pub fn fill_checksum(&mut self) {
        put16(&mut self.buffer.as_mut()[field::CHECKSUM], 0);
        let check = !checksum::sum(self.buffer.as_ref());
        put16(&mut self.buffer.as_mut()[field::CHECKSUM], check);
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Repr::parse(self) {
            Ok(repr) => repr.fmt(f)?,
            Err(wrong) => write!(f, "igmp [{wrong}]")?,
        }
        for record in self.records() {
            match record {
                Ok(record) => write!(f, " [gaddr {record}]")?,
                Err(wrong) => write!(f, " [{wrong}]")?,
            }
        }
        Ok(())
    }
}

/// A group in a report of version 3 (RFC 9776 §4.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What is said of it: 1 includes, 2 excludes these sources, 3 and 4 change to that, 5 and 6 add and take away some.
    pub kind: u8,
    /// The group.
    pub group: Ipv4Addr,
    /// The sources, four bytes each.
    pub sources: &'a [u8],
}

impl Record<'_> {
    /// The sources.
    pub fn sources(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.sources.chunks_exact(4).map(|source| array::<4>(source).into())
    }

    /// Whether the host listens to the group, to whatever source: it excludes some, and not all.
    #[must_use]
    pub const fn joins(&self) -> bool {
        matches!(self.kind, 2 | 4)
    }

    /// Bytes [`Record::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        8 + self.sources.len()
    }

    /// Writes the record and returns its length.
    ///
    /// # Errors
    /// Sources that are not four bytes each; a buffer too short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, WireError> {
        let (length, sources) = (self.buffer_len(), self.sources.len());
        if !sources.is_multiple_of(4) || sources / 4 > usize::from(u16::MAX) {
            return Err(WireError::BadLength { what: "igmp record sources", value: sources });
        }
        need("igmp record buffer", buffer, length)?;
        buffer[..2].copy_from_slice(&[self.kind, 0]);
        put16(&mut buffer[2..], (sources / 4) as u16);
        buffer[4..8].copy_from_slice(&self.group.octets());
        buffer[8..length].copy_from_slice(self.sources);
        Ok(length)
    }
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            1 => "is_in",
            2 => "is_ex",
            3 => "to_in",
            4 => "to_ex",
            5 => "allow",
            6 => "block",
            _ => "unknown",
        };
        write!(f, "{} {kind} {{", self.group)?;
        for source in self.sources() {
            write!(f, " {source}")?;
        }
        f.write_str(" }")
    }
}

/// Walks group records, at most [`RECORDS_MAX`]. Ends at the first error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    data: &'a [u8],
    left: u16,
    seen: usize,
}

impl<'a> Records<'a> {
    fn advance(&mut self) -> Result<Record<'a>, WireError> {
        if self.seen == RECORDS_MAX {
            return Err(WireError::TooMany { what: "igmp records", limit: RECORDS_MAX });
        }
        need("igmp record", self.data, 8)?;
        let sources = 8 + 4 * usize::from(be16(&self.data[2..]));
        let end = sources + 4 * usize::from(self.data[1]); // auxiliary data, which no version has
        need("igmp record", self.data, end)?;
        let (record, rest) = self.data.split_at(end);
        self.data = rest;
        self.seen += 1;
        Ok(Record { kind: record[0], group: array::<4>(&record[4..]).into(), sources: &record[8..sources] })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let record = self.advance();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

/// What the message says; sources and records aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repr {
    /// Who listens? Of any version, without sources.
    Query {
        /// To this group; 0.0.0.0: to any.
        group: Ipv4Addr,
        /// Answer within so many tenths of a second; 0 is version 1's ten seconds.
        max_response: u8,
    },
    /// I do, version 1.
    ReportV1 {
        /// To this group.
        group: Ipv4Addr,
    },
    /// I do, version 2.
    ReportV2 {
        /// To this group.
        group: Ipv4Addr,
    },
    /// I do no longer.
    Leave {
        /// To this group.
        group: Ipv4Addr,
    },
    /// I do, version 3: [`View::records`] says to what.
    ReportV3 {
        /// How many records.
        records: u16,
    },
}

impl Repr {
    /// Reads a message.
    ///
    /// # Errors
    /// A type that there is not.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, WireError> {
        let (data, group) = (view.buffer.as_ref(), view.group());
        Ok(match view.kind() {
            Type::QUERY => Self::Query { group, max_response: data[field::RESPONSE] },
            Type::REPORT_V1 => Self::ReportV1 { group },
            Type::REPORT_V2 => Self::ReportV2 { group },
            Type::LEAVE => Self::Leave { group },
            Type::REPORT_V3 => Self::ReportV3 { records: be16(&data[field::RECORDS]) },
            Type(other) => return Err(WireError::BadValue { what: "igmp type", value: u64::from(other) }),
        })
    }

    /// Bytes [`Repr::emit`] writes; records follow.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the message, checksum included: it covers all of the buffer. With records, [`View::fill_checksum`] once they
    /// are there.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        let data = view.buffer.as_mut();
        data[..HEADER_LEN].fill(0);
        let (kind, group) = match *self {
            Self::Query { group, max_response } => {
                data[field::RESPONSE] = max_response;
                if data.len() > field::QUERY_FLAGS {
                    data[field::QUERY_FLAGS..].fill(0);
                }
                (Type::QUERY, group)
            }
            Self::ReportV1 { group } => (Type::REPORT_V1, group),
            Self::ReportV2 { group } => (Type::REPORT_V2, group),
            Self::Leave { group } => (Type::LEAVE, group),
            Self::ReportV3 { records } => (Type::REPORT_V3, Ipv4Addr::from(u32::from(records))),
        };
        data[field::KIND] = kind.0;
        data[field::GROUP].copy_from_slice(&group.octets());
        view.fill_checksum();
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query { group, .. } if group.is_unspecified() => f.write_str("igmp query"),
            Self::Query { group, .. } => write!(f, "igmp query [gaddr {group}]"),
            Self::ReportV1 { group } => write!(f, "igmp v1 report {group}"),
            Self::ReportV2 { group } => write!(f, "igmp v2 report {group}"),
            Self::Leave { group } => write!(f, "igmp leave {group}"),
            Self::ReportV3 { records } => write!(f, "igmp v3 report, {records} group record(s)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

    #[test]
    fn every_message_reads_back() {
        for repr in [
            Repr::Query { group: Ipv4Addr::UNSPECIFIED, max_response: 100 },
            Repr::Query { group: GROUP, max_response: 0 },
            Repr::ReportV1 { group: GROUP },
            Repr::ReportV2 { group: GROUP },
            Repr::Leave { group: GROUP },
            Repr::ReportV3 { records: 0 },
        ] {
            let mut bytes = vec![0xee; repr.buffer_len()];
            repr.emit(&mut View::new_unchecked(&mut bytes[..]));
            let view = View::new_checked(&bytes[..]).unwrap();
            assert!(view.verify_checksum());
            assert_eq!(Repr::parse(&view), Ok(repr));
        }
    }

    #[test]
    fn records_read_back_and_are_bounded() {
        let records = [
            Record { kind: 4, group: GROUP, sources: &[] },
            Record { kind: 1, group: GROUP, sources: &[10, 0, 0, 1, 10, 0, 0, 2] },
        ];
        let mut bytes = [0; HEADER_LEN + 24];
        let mut at = HEADER_LEN;
        for record in records {
            at += record.emit(&mut bytes[at..]).unwrap();
        }
        let mut view = View::new_unchecked(&mut bytes[..]);
        Repr::ReportV3 { records: 2 }.emit(&mut view);
        let view = View::new_checked(&bytes[..]).unwrap();
        assert!(view.verify_checksum() && records[0].joins() && !records[1].joins());
        assert_eq!(view.records().collect::<Result<Vec<_>, _>>().unwrap(), records);
        assert_eq!(
            view.to_string(),
            "igmp v3 report, 2 group record(s) [gaddr 239.1.2.3 to_ex { }] \
             [gaddr 239.1.2.3 is_in { 10.0.0.1 10.0.0.2 }]"
        );
        let mut many = vec![0x22, 0, 0, 0, 0, 0, 0xff, 0xff];
        many.extend([1, 0, 0, 0, 239, 1, 2, 3].repeat(RECORDS_MAX + 1));
        let view = View::new_checked(&many[..]).unwrap();
        let last = view.records().last();
        assert_eq!(last, Some(Err(WireError::TooMany { what: "igmp records", limit: RECORDS_MAX })));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert!(View::new_checked(&[0x16, 0, 0, 0, 239, 1, 2][..]).is_err());
        assert_eq!(
            View::new_checked(&[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 10, 0, 0, 1][..]),
            Err(WireError::Truncated { what: "igmp query sources", need: 20, have: 16 })
        );
        let short = [0x22, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 239, 1, 2, 3];
        let view = View::new_checked(&short[..]).unwrap();
        assert_eq!(
            view.records().next(),
            Some(Err(WireError::Truncated { what: "igmp record", need: 12, have: 8 }))
        );
    }
}
