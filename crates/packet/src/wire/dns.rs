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
use std::str::FromStr;

use thiserror::Error;

use super::{Field, WireError, be16, be32, need, put16, span};

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

/// A name in wire form, compared without regard to case (RFC 4343).
#[derive(Clone, Copy)]
pub struct Name {
    wire: [u8; NAME_LEN_MAX],
    len: u8,
}

/// Text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a domain name: labels have 1 to 63 bytes, the whole at most 253")]
pub struct NameError(pub String);

impl Name {
    /// The root.
    pub const ROOT: Self = Self { wire: [0; NAME_LEN_MAX], len: 1 };

    /// Length bytes and labels, ending in 0.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.wire[..usize::from(self.len)]
    }

    /// The labels, leftmost first.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.as_wire();
        std::iter::from_fn(move || {
            let length = usize::from(*rest.first()?);
            let label = rest.get(1..=length).filter(|label| !label.is_empty())?;
            rest = &rest[1 + length..];
            Some(label)
        })
    }

    /// Whether it ends in `suffix`, label by label.
    #[must_use]
    pub fn ends_with(&self, suffix: &Self) -> bool {
        let mut rest = self.as_wire();
        loop {
            if rest.eq_ignore_ascii_case(suffix.as_wire()) {
                return true;
            }
            match rest.first() {
                Some(length) if *length > 0 => rest = span(rest, 1 + usize::from(*length), usize::MAX),
                _ => return false,
            }
        }
    }

    /// The name in lower case as text, without the dot of the root at its end: a key for tables. Bytes that are not
    /// printable become `\DDD`.
    #[must_use]
    pub fn to_lower(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }

    fn push(&mut self, label: &[u8]) -> Result<(), WireError> {
        let start = usize::from(self.len) - 1;
        let end = start + 1 + label.len();
        if end >= NAME_LEN_MAX {
            return Err(WireError::BadLength { what: "dns name", value: end + 1 });
        }
        self.wire[start] = label.len() as u8;
        self.wire[start + 1..end].copy_from_slice(label);
        self.wire[end] = 0;
        self.len = (end + 1) as u8;
        Ok(())
    }

    /// Reads a name at `at`; returns it with where the bytes after it start.
    fn read(message: &[u8], at: usize) -> Result<(Self, usize), WireError> {
        let mut name = Self::ROOT;
        let (mut at, mut after, mut pointers) = (at, None, 0);
        loop {
            need("dns name", message, at + 1)?;
            let length = usize::from(message[at]);
            match length >> 6 {
                0 if length == 0 => return Ok((name, after.unwrap_or(at + 1))),
                0 => {
                    need("dns label", message, at + 1 + length)?;
                    name.push(&message[at + 1..=at + length])?;
                    at += 1 + length;
                }
                3 => {
                    need("dns name pointer", message, at + 2)?;
                    let target = usize::from(be16(&message[at..]) & 0x3fff);
                    pointers += 1;
                    if pointers > POINTERS_MAX {
                        return Err(WireError::TooMany { what: "dns name pointers", limit: POINTERS_MAX });
                    }
                    if target >= at || target < HEADER_LEN {
                        return Err(WireError::BadValue { what: "dns name pointer", value: target as u64 });
                    }
                    after.get_or_insert(at + 2);
                    at = target;
                }
                _ => return Err(WireError::BadValue { what: "dns label type", value: length as u64 }),
            }
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_wire().eq_ignore_ascii_case(other.as_wire())
    }
}

impl Eq for Name {}

impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_wire().iter().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
    }
}

/// Reads `a.b.c`, with or without a dot at the end; no escapes.
impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError(text.chars().take(80).collect());
        let mut name = Self::ROOT;
        let trimmed = text.strip_suffix('.').unwrap_or(text);
        if trimmed.is_empty() {
            return if text == "." { Ok(name) } else { Err(wrong()) };
        }
        for label in trimmed.split('.') {
            if label.is_empty() || label.len() > LABEL_LEN_MAX {
                return Err(wrong());
            }
            name.push(label.as_bytes()).map_err(|_| wrong())?;
        }
        Ok(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len == 1 {
            return f.write_str(".");
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            for byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
                    0x21..=0x7e => write!(f, "{}", char::from(*byte))?,
                    other => write!(f, "\\{other:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
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

/// A query of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Chosen by the asker.
    pub id: u16,
    /// The server shall ask others.
    pub recursion_desired: bool,
    /// The name asked for.
    pub name: Name,
    /// The type asked for.
    pub kind: RecordType,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// A response, an opcode other than "query", a class other than the Internet, any number of questions but one. To
    /// answer these, emit a [`Response`] with the fitting [`Answer`]: it repeats what could be read.
    pub fn parse(message: &[u8]) -> Result<Self, WireError> {
        let view = View::new_checked(message)?;
        let wrong = |what, value: u16| Err(WireError::BadValue { what, value: u64::from(value) });
        if view.is_response() {
            return wrong("dns response flag", 1);
        }
        if view.opcode() != 0 {
            return wrong("dns opcode", u16::from(view.opcode()));
        }
        if view.question_count() != 1 {
            return wrong("dns question count", view.question_count());
        }
        let mut questions = view.questions();
        let Some(question) = questions.next().transpose()? else { return wrong("dns question count", 0) };
        if question.class != CLASS_IN {
            return wrong("dns class", question.class);
        }
        let (name, kind) = (question.name, question.kind);
        Ok(Self { id: view.id(), recursion_desired: view.recursion_desired(), name, kind })
    }

    /// Writes the query and returns its length.
    ///
    /// # Errors
    /// A buffer too short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, WireError> {
        let mut writer = Writer { buffer, at: 0, limit: UDP_LEN };
        let flags = if self.recursion_desired { RECURSION_DESIRED } else { 0 };
        for word in [self.id, flags, 1, 0, 0, 0] {
            writer.put(&word.to_be_bytes())?;
        }
        writer.put(self.name.as_wire())?;
        writer.put(&self.kind.0.to_be_bytes())?;
        writer.put(&CLASS_IN.to_be_bytes())?;
        Ok(writer.at)
    }
}

/// How to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// These addresses. Those whose family was not asked for are left out, so with none left it is "no data": the name
    /// exists, without this type.
    Addresses(&'a [IpAddr]),
    /// The name exists, without the type asked for.
    NoData,
    /// No such name.
    NoName,
    /// Any other code, with no records.
    Code(ResponseCode),
}

/// The answer to a query. Negative answers carry no SOA record, so resolvers do not keep them (RFC 2308 §5): names come
/// and go with each deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// The query as it came in.
    pub query: &'a [u8],
    /// How to answer it.
    pub answer: Answer<'a>,
    /// Seconds the answer may be kept.
    pub ttl_s: u32,
}

impl Response<'_> {
    /// Writes the response and returns its length. It stays within 512 bytes, or within what the query's EDNS record
    /// allows up to [`UDP_LEN_MAX`]; addresses that do not fit are left out and the "truncated" bit is set.
    ///
    /// # Errors
    /// A query without a whole header, or that is itself a response (answering it could loop); a buffer too short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, WireError> {
        let view = View::new_checked(self.query)?;
        if view.is_response() {
            return Err(WireError::BadValue { what: "dns response flag", value: 1 });
        }
        let question = if view.question_count() == 1 { view.questions().next() } else { None };
        let question = question.and_then(Result::ok);
        let edns = edns_len(&view);
        let limit = edns.map_or(UDP_LEN, |length| usize::from(length).clamp(UDP_LEN, UDP_LEN_MAX));
        let code = match self.answer {
            Answer::Addresses(_) | Answer::NoData => ResponseCode::NO_ERROR,
            Answer::NoName => ResponseCode::NAME_ERROR,
            Answer::Code(code) => code,
        };
        // What was asked for comes back: opcode and "recursion desired".
        let kept = view.flags() & (0x7800 | RECURSION_DESIRED);
        let mut flags = RESPONSE | AUTHORITATIVE | RECURSION_AVAILABLE | kept | u16::from(code.0 & 0xf);

        need("dns response buffer", buffer, HEADER_LEN)?;
        buffer[..HEADER_LEN].fill(0);
        let mut writer = Writer { buffer, at: HEADER_LEN, limit };
        if let Some(question) = &question {
            writer.put(question.name.as_wire())?;
            writer.put(&question.kind.0.to_be_bytes())?;
            writer.put(&question.class.to_be_bytes())?;
        }
        let mut answers = 0;
        if let (Some(question), Answer::Addresses(addresses)) = (&question, self.answer) {
            writer.limit = limit - if edns.is_some() { OPT_LEN } else { 0 };
            for address in addresses.iter().filter(|address| wanted(question.kind, address)) {
                if writer.address(address, self.ttl_s).is_err() {
                    flags |= TRUNCATED;
                    break;
                }
                answers += 1;
            }
            writer.limit = limit;
        }
        if edns.is_some() {
            writer.put(&[0, 0, RecordType::OPT.0 as u8])?;
            writer.put(&(UDP_LEN_MAX as u16).to_be_bytes())?;
            writer.put(&[0; 6])?; // extended code 0, version 0, no flags, no options
        }
        let Writer { buffer, at, .. } = writer;
        put16(&mut buffer[field::ID], view.id());
        put16(&mut buffer[field::FLAGS], flags);
        put16(&mut buffer[field::QUESTIONS], u16::from(question.is_some()));
        put16(&mut buffer[field::ANSWERS], answers);
        put16(&mut buffer[field::ADDITIONAL], u16::from(edns.is_some()));
        Ok(at)
    }
}

const fn wanted(kind: RecordType, address: &IpAddr) -> bool {
    matches!(
        (kind, address),
        (RecordType::A, IpAddr::V4(_)) | (RecordType::AAAA, IpAddr::V6(_)) | (RecordType::ANY, _)
    )
}

/// The response size a query's OPT record allows.
fn edns_len<T: AsRef<[u8]>>(view: &View<T>) -> Option<u16> {
    let mut records = view.records().ok()?.map_while(Result::ok);
    records.find(|record| record.kind == RecordType::OPT).map(|record| record.class)
}

struct Writer<'a> {
    buffer: &'a mut [u8],
    at: usize,
    limit: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let end = self.at + bytes.len();
        let have = self.buffer.len().min(self.limit);
        if end > have {
            return Err(WireError::Truncated { what: "dns buffer", need: end, have });
        }
        self.buffer[self.at..end].copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    /// A record named by a pointer to the question. Written whole or not at all.
    fn address(&mut self, address: &IpAddr, ttl_s: u32) -> Result<(), WireError> {
        let mut record = [0; 28];
        record[..2].copy_from_slice(&(0xc000 | HEADER_LEN as u16).to_be_bytes());
        put16(&mut record[4..], CLASS_IN);
        record[6..10].copy_from_slice(&ttl_s.to_be_bytes());
        let length = match address {
            IpAddr::V4(address) => {
                put16(&mut record[2..], RecordType::A.0);
                record[12..16].copy_from_slice(&address.octets());
                4
            }
            IpAddr::V6(address) => {
                put16(&mut record[2..], RecordType::AAAA.0);
                record[12..28].copy_from_slice(&address.octets());
                16
            }
        };
        put16(&mut record[10..], length);
        self.put(&record[..12 + usize::from(length)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn query(kind: RecordType, edns: Option<u16>) -> Vec<u8> {
        let mut bytes = vec![0; 300];
        let query = Query { id: 0xbeef, recursion_desired: true, name: name("Web.shop.weft"), kind };
        let length = query.emit(&mut bytes).unwrap();
        bytes.truncate(length);
        assert_eq!(Query::parse(&bytes).unwrap(), query);
        if let Some(size) = edns {
            bytes[11] = 1;
            bytes.extend([0, 0, 41]);
            bytes.extend(size.to_be_bytes());
            bytes.extend([0; 6]);
        }
        bytes
    }

    fn respond(query: &[u8], answer: Answer<'_>) -> Vec<u8> {
        let mut out = vec![0xaa; 2000];
        let length = Response { query, answer, ttl_s: 5 }.emit(&mut out).unwrap();
        out.truncate(length);
        out
    }

    #[test]
    fn answers_carry_only_the_family_asked_for() {
        let addresses: [IpAddr; 3] = ["10.0.0.2", "fd00::2", "10.0.0.3"].map(|text| text.parse().unwrap());
        let four = respond(&query(RecordType::A, None), Answer::Addresses(&addresses));
        let view = View::new_checked(&four[..]).unwrap();
        assert_eq!(view.to_string(), "48879 2/0/0 A 10.0.0.2 A 10.0.0.3 (63)");
        let record = view.records().unwrap().next().unwrap().unwrap();
        assert_eq!((record.name, record.ttl_s), (name("web.SHOP.weft"), 5));
        let six = respond(&query(RecordType::AAAA, None), Answer::Addresses(&addresses));
        assert_eq!(View::new_checked(&six[..]).unwrap().to_string(), "48879 1/0/0 AAAA fd00::2 (59)");
        let other = respond(&query(RecordType::HTTPS, None), Answer::Addresses(&addresses));
        assert_eq!(View::new_checked(&other[..]).unwrap().to_string(), "48879 0/0/0 (31)");
    }

    #[test]
    fn refusals_repeat_the_question() {
        let bytes = query(RecordType::A, None);
        assert_eq!(View::new_checked(&bytes[..]).unwrap().to_string(), "48879+ A? Web.shop.weft (31)");
        for (answer, code) in [
            (Answer::NoName, ResponseCode::NAME_ERROR),
            (Answer::NoData, ResponseCode::NO_ERROR),
            (Answer::Code(ResponseCode::REFUSED), ResponseCode::REFUSED),
        ] {
            let out = respond(&bytes, answer);
            let view = View::new_checked(&out[..]).unwrap();
            assert_eq!((view.response_code(), view.id(), view.is_response()), (code, 0xbeef, true));
            assert!(view.recursion_desired());
            assert_eq!(view.questions().next().unwrap().unwrap().name, name("web.shop.weft"));
        }
    }

    #[test]
    fn edns_is_answered_and_sets_the_size() {
        let addresses: Vec<IpAddr> = (0..100u8).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        for (edns, most, additional) in
            [(None, 512, 0), (Some(100), 512, 1), (Some(1000), 1000, 1), (Some(9000), 1232, 1)]
        {
            let out = respond(&query(RecordType::A, edns), Answer::Addresses(&addresses));
            let view = View::new_checked(&out[..]).unwrap();
            assert!(view.truncated());
            assert!(out.len() <= most && out.len() > most - 16, "{edns:?}: {}", out.len());
            assert_eq!(view.record_counts()[2], additional);
            assert!(view.records().unwrap().all(|record| record.is_ok()));
        }
    }

    #[test]
    fn pointers_that_loop_or_point_ahead_are_refused() {
        let with = |tail: &[u8]| {
            let mut bytes = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            bytes.extend(tail);
            Query::parse(&bytes).unwrap_err()
        };
        let pointer = |value| WireError::BadValue { what: "dns name pointer", value };
        assert_eq!(with(&[0xc0, 12, 0, 1, 0, 1]), pointer(12)); // to itself
        assert_eq!(with(&[0xc0, 14, 0xc0, 12, 0, 1, 0, 1]), pointer(14)); // ahead
        assert_eq!(with(&[0xc0, 0, 0, 1, 0, 1]), pointer(0)); // into the header
        assert_eq!(
            with(&[1, b'a', 0xc0, 12, 0, 1, 0, 1]),
            WireError::TooMany { what: "dns name pointers", limit: POINTERS_MAX }
        );
        assert_eq!(with(&[0x40, 0]), WireError::BadValue { what: "dns label type", value: 0x40 });
        assert_eq!(with(&[5, b'a']), WireError::Truncated { what: "dns label", need: 18, have: 14 });
        let long = [&[63u8; 64][..]].concat().repeat(4);
        assert!(matches!(with(&long), WireError::BadLength { what: "dns name", .. }));
    }

    #[test]
    fn messages_that_are_no_query_are_refused_and_responses_never_answered() {
        let good = query(RecordType::A, None);
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        assert!(Query::parse(&with(2, 0x81)).is_err());
        assert!(
            Response { query: &with(2, 0x81), answer: Answer::NoName, ttl_s: 0 }.emit(&mut [0; 512]).is_err()
        );
        assert_eq!(Query::parse(&with(2, 0x29)), Err(WireError::BadValue { what: "dns opcode", value: 5 }));
        assert!(Query::parse(&with(5, 2)).is_err());
        assert!(Query::parse(&with(good.len() - 1, 3)).is_err());
        let out = respond(&with(2, 0x29), Answer::Code(ResponseCode::NOT_IMPLEMENTED));
        assert_eq!(View::new_checked(&out[..]).unwrap().opcode(), 5);
    }

    #[test]
    fn counts_that_lie_end_at_the_message() {
        let mut bytes = query(RecordType::A, None);
        bytes[6..12].fill(0xff);
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(view.records().unwrap().count(), 1);
        bytes.extend([0u8; 11].repeat(300));
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(
            view.records().unwrap().last(),
            Some(Err(WireError::TooMany { what: "dns records", limit: RECORDS_MAX }))
        );
    }

    #[test]
    fn names_read_compare_and_print() {
        assert_eq!(name("a.B.c."), name("A.b.C"));
        assert_ne!(name("ab.c"), name("a.bc"));
        assert!(name("x.shop.WEFT").ends_with(&name("shop.weft")));
        assert!(!name("xshop.weft").ends_with(&name("shop.weft")));
        assert!(name("x").ends_with(&Name::ROOT));
        assert_eq!((Name::ROOT.to_string().as_str(), name(".")), (".", Name::ROOT));
        assert_eq!(name("Web.Shop").to_lower(), "web.shop");
        for wrong in ["", "..", "a..b", ".a", &"a".repeat(64), &"abc.".repeat(64)] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
        assert_eq!("abc.".repeat(63).parse::<Name>().unwrap().as_wire().len(), 253);
    }
}
