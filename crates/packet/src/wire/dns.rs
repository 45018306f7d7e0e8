//! DNS messages (RFC 1035): reading questions, writing answers.
//!
//! The dataplane answers names itself, so this is the part of DNS an authoritative server without zones needs: one
//! question in, addresses or a refusal out, EDNS(0) honoured (RFC 6891). Names are read with compression; a pointer must
//! point backwards, and a name may follow [`POINTERS_MAX`] of them.
//!
//! ```
//! use packet::wire::dns::{Answer, Name, Query, RecordType, Response};
//! let name: Name = "web.shop.weft".parse()?;
//! # let mut message = [0u8; 64];
//! # let length = Query { id: 7, recursion_desired: true, name, kind: RecordType::A }.emit(&mut message)?;
//! let query = Query::parse(&message[..length])?; // what came in over UDP port 53
//! let mut out = [0; packet::wire::dns::UDP_LEN_MAX];
//! let response = Response { query: &message[..length], answer: Answer::Addresses(&["10.0.0.2".parse()?]), ttl_s: 5 };
//! let length = response.emit(&mut out)?;
//! assert_eq!(query.name, name);
//! # assert!(length > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::net::IpAddr;

use super::{Field, WireError, be16, be32, need};

mod exchange;
mod name;

pub use exchange::{Answer, Query, Response};
pub use name::{Name, NameError};

/// Bytes of the header.
pub const HEADER_LEN: usize = 12;
/// Bytes of a name on the wire (RFC 1035 §2.3.4).
pub const NAME_LEN_MAX: usize = 255;
/// Bytes of a label (RFC 1035 §2.3.4).
pub const LABEL_LEN_MAX: usize = 63;
/// Compression pointers followed in one name.
pub const POINTERS_MAX: usize = 16;
/// Records walked in one message.
pub const RECORDS_MAX: usize = 256;
/// Bytes of a response without EDNS (RFC 1035 §2.3.4).
pub const UDP_LEN: usize = 512;
/// Bytes of the longest response: what avoids fragments (RFC 9715).
pub const UDP_LEN_MAX: usize = 1232;

mod field {
    use super::Field;
    pub(super) const ID: Field = 0..2;
    pub(super) const FLAGS: Field = 2..4;
    pub(super) const QUESTIONS: Field = 4..6;
    pub(super) const ANSWERS: Field = 6..8;
    pub(super) const AUTHORITY: Field = 8..10;
    pub(super) const ADDITIONAL: Field = 10..12;
}

const RESPONSE: u16 = 0x8000;
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;

const CLASS_IN: u16 = 1;
const OPT_LEN: usize = 11;

/// A record's type (IANA dns-parameters).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordType(pub u16);

impl RecordType {
    /// IPv4 address.
    pub const A: Self = Self(1);
    /// Alias.
    pub const CNAME: Self = Self(5);
    /// Reverse name.
    pub const PTR: Self = Self(12);
    /// IPv6 address, RFC 3596.
    pub const AAAA: Self = Self(28);
    /// Service, RFC 2782.
    pub const SRV: Self = Self(33);
    /// EDNS options, RFC 6891.
    pub const OPT: Self = Self(41);
    /// Service binding, RFC 9460.
    pub const HTTPS: Self = Self(65);
    /// A question for everything.
    pub const ANY: Self = Self(255);
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::A => f.write_str("A"),
            Self::CNAME => f.write_str("CNAME"),
            Self::PTR => f.write_str("PTR"),
            Self::AAAA => f.write_str("AAAA"),
            Self::SRV => f.write_str("SRV"),
            Self::OPT => f.write_str("OPT"),
            Self::HTTPS => f.write_str("HTTPS"),
            Self::ANY => f.write_str("ANY"),
            Self(other) => write!(f, "Type{other}"),
        }
    }
}

impl fmt::Debug for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A response's code (RFC 1035 §4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResponseCode(pub u8);

impl ResponseCode {
    /// It worked.
    pub const NO_ERROR: Self = Self(0);
    /// The question cannot be read.
    pub const FORMAT_ERROR: Self = Self(1);
    /// The server is at fault.
    pub const SERVER_FAILURE: Self = Self(2);
    /// There is no such name.
    pub const NAME_ERROR: Self = Self(3);
    /// The server does not do this kind of question.
    pub const NOT_IMPLEMENTED: Self = Self(4);
    /// The server does not want to answer.
    pub const REFUSED: Self = Self(5);
}

/// One question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The name asked for.
    pub name: Name,
    /// The type asked for.
    pub kind: RecordType,
    /// Its class; 1 is the Internet.
    pub class: u16,
}

/// One record of an answer, authority or additional section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Whose record.
    pub name: Name,
    /// What kind.
    pub kind: RecordType,
    /// Its class; in OPT records the sender's payload size.
    pub class: u16,
    /// Seconds it may be kept.
    pub ttl_s: u32,
    /// Its data.
    pub data: &'a [u8],
}

impl Record<'_> {
    /// The address of an A or AAAA record.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self.kind {
            RecordType::A => <[u8; 4]>::try_from(self.data).ok().map(IpAddr::from),
            RecordType::AAAA => <[u8; 16]>::try_from(self.data).ok().map(IpAddr::from),
            _ => None,
        }
    }
}

/// A DNS message's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> View<T> {
    /// # Errors
    /// A buffer shorter than the header. Questions and records are checked as they are walked.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("dns header", buffer.as_ref(), HEADER_LEN)?;
        Ok(Self { buffer })
    }

    /// Chosen by the asker, repeated in the answer.
    pub fn id(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::ID])
    }

    fn flags(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::FLAGS])
    }

    /// Whether it is an answer.
    pub fn is_response(&self) -> bool {
        self.flags() & RESPONSE != 0
    }

    /// Kind of message; 0 is a plain query.
    pub fn opcode(&self) -> u8 {
        (self.flags() >> 11) as u8 & 0xf
    }

    /// The answer was cut; ask again over TCP.
    pub fn truncated(&self) -> bool {
        self.flags() & TRUNCATED != 0
    }

    /// The asker wants the server to ask others.
    pub fn recursion_desired(&self) -> bool {
        self.flags() & RECURSION_DESIRED != 0
    }

    /// How it went.
    pub fn response_code(&self) -> ResponseCode {
        ResponseCode(self.flags() as u8 & 0xf)
    }

    /// Questions claimed.
    pub fn question_count(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::QUESTIONS])
    }

    /// Records claimed: answers, authority, additional.
    pub fn record_counts(&self) -> [u16; 3] {
        [field::ANSWERS, field::AUTHORITY, field::ADDITIONAL].map(|field| be16(&self.buffer.as_ref()[field]))
    }

    /// The questions.
    pub fn questions(&self) -> Questions<'_> {
        Questions { message: self.buffer.as_ref(), at: HEADER_LEN, left: self.question_count() }
    }

    /// The records of all three sections, in order.
    ///
    /// # Errors
    /// A question that cannot be read.
    pub fn records(&self) -> Result<Records<'_>, WireError> {
        let mut questions = self.questions();
        for question in questions.by_ref() {
            question?;
        }
        let left = self.record_counts().iter().map(|count| usize::from(*count)).sum();
        Ok(Records { message: self.buffer.as_ref(), at: questions.at, left, seen: 0 })
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id())?;
        if self.is_response() {
            let [answers, authority, additional] = self.record_counts();
            match self.response_code() {
                ResponseCode::NO_ERROR => {}
                ResponseCode::NAME_ERROR => f.write_str(" NXDomain")?,
                ResponseCode::REFUSED => f.write_str(" Refused")?,
                ResponseCode(code) => write!(f, " Resp{code}")?,
            }
            write!(f, " {answers}/{authority}/{additional}")?;
            for record in self.records().into_iter().flatten().map_while(Result::ok) {
                match record.address() {
                    Some(address) => write!(f, " {} {address}", record.kind)?,
                    None => write!(f, " {}", record.kind)?,
                }
            }
        } else {
            f.write_str(if self.recursion_desired() { "+" } else { "" })?;
            for question in self.questions() {
                match question {
                    Ok(question) => write!(f, " {}? {}", question.kind, question.name)?,
                    Err(wrong) => write!(f, " [{wrong}]")?,
                }
            }
        }
        write!(f, " ({})", self.buffer.as_ref().len())
    }
}

/// Walks the questions. Each takes at least 5 bytes, so a lying count ends at the message's end. Ends at the first error.
#[derive(Debug, Clone)]
pub struct Questions<'a> {
    message: &'a [u8],
    at: usize,
    left: u16,
}

impl Questions<'_> {
    fn advance(&mut self) -> Result<Question, WireError> {
        let (name, at) = Name::read(self.message, self.at)?;
        need("dns question", self.message, at + 4)?;
        self.at = at + 4;
        let data = &self.message[at..];
        Ok(Question { name, kind: RecordType(be16(data)), class: be16(&data[2..]) })
    }
}

impl Iterator for Questions<'_> {
    type Item = Result<Question, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let question = self.advance();
        if question.is_err() {
            self.left = 0;
        }
        Some(question)
    }
}

/// Walks the records, at most [`RECORDS_MAX`]. Ends at the first error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    message: &'a [u8],
    at: usize,
    left: usize,
    seen: usize,
}

impl<'a> Records<'a> {
    fn advance(&mut self) -> Result<Record<'a>, WireError> {
        if self.seen == RECORDS_MAX {
            return Err(WireError::TooMany { what: "dns records", limit: RECORDS_MAX });
        }
        let (name, at) = Name::read(self.message, self.at)?;
        need("dns record", self.message, at + 10)?;
        let head = &self.message[at..];
        let end = at + 10 + usize::from(be16(&head[8..]));
        need("dns record data", self.message, end)?;
        let data = &self.message[at + 10..end];
        self.at = end;
        self.seen += 1;
        Ok(Record {
            name,
            kind: RecordType(be16(head)),
            class: be16(&head[2..]),
            ttl_s: be32(&head[4..]),
            data,
        })
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
