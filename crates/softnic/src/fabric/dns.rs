//! The gateway's name server: A, AAAA and PTR of the program's names, over UDP.
//!
//! It knows the program's names and nothing else, exactly as they are given (letters of either case are the same).
//! Questions for other names from endpoints that may reach the outside are passed on to a resolver there, unless
//! the name has a single label, which is a name of no other network:
//!
//! * a known name of another type gets no answer records and no error; an unknown one NXDOMAIN, so that a look-up
//!   fails at once and a resolver goes on with its search list;
//! * every endpoint may ask for every name: names are not secrets, links are what is enforced;
//! * an answer that does not fit (512 bytes, or what EDNS0 offers up to [`PAYLOAD_MAX`]) is cut at a record and
//!   marked truncated; there is no TCP, and a connection to it is reset at once;
//! * it answers only verified source addresses, only queries, and with at most [`PAYLOAD_MAX`] bytes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::header::{Address, be16};
use super::program::{DnsName, NAME_ADDRESSES_MAX, ProgramError};
use super::tables::{FastMap, check_name};

/// The port it answers on.
pub(crate) const PORT: u16 = 53;
/// Bytes of the longest answer (the DNS flag day's limit, which fits the IPv6 minimum MTU).
pub(crate) const PAYLOAD_MAX: usize = 1232;
/// Bytes without EDNS0 (RFC 1035 §4.2.1).
const PAYLOAD_PLAIN: usize = 512;
/// Seconds an answer may be kept; short, because programs change.
const TTL_SECONDS: u32 = 5;
const HEADER: usize = 12;
/// Presentation form of the longest name (RFC 1035 §3.1), with room for every dot.
const NAME_MAX: usize = 255;
const OPT_LENGTH: usize = 11;
/// Records behind the question that are looked through for EDNS0.
const ADDITIONAL_MAX: u16 = 4;

const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;
const CLASS_ANY: u16 = 255;

const NO_ERROR: u8 = 0;
const FORMAT_ERROR: u8 = 1;
const NAME_ERROR: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;
const REFUSED: u8 = 5;

#[derive(Clone, Debug)]
struct Entry {
    name: Box<str>,
    v4: Box<[Ipv4Addr]>,
    v6: Box<[Ipv6Addr]>,
}

/// The program's names, by name and by address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    entries: Vec<Entry>,
    by_name: HashMap<Box<[u8]>, u32>,
    by_address: FastMap<Address, u32>,
}

impl Names {
    pub(crate) fn compile(names: &[DnsName]) -> Result<Self, ProgramError> {
        let mut compiled = Self::default();
        for name in names {
            check_name(&name.name)?;
            let count = name.ipv4s.len().max(name.ipv6s.len());
            if count > NAME_ADDRESSES_MAX {
                return Err(ProgramError::TooMany {
                    what: "addresses of a name",
                    count,
                    max: NAME_ADDRESSES_MAX,
                });
            }
            let index = compiled.entries.len() as u32;
            let folded = name.name.to_ascii_lowercase().into_bytes().into_boxed_slice();
            if compiled.by_name.insert(folded, index).is_some() {
                return Err(ProgramError::NameTwice(name.name.clone()));
            }
            let addresses = name.ipv4s.iter().map(|v4| IpAddr::V4(*v4));
            for address in addresses.chain(name.ipv6s.iter().map(|v6| IpAddr::V6(*v6))) {
                compiled.by_address.entry(address.into()).or_insert(index);
            }
            compiled.entries.push(Entry {
                name: name.name.as_str().into(),
                v4: name.ipv4s.clone().into(),
                v6: name.ipv6s.clone().into(),
            });
        }
        Ok(compiled)
    }

    /// Writes the answer to a message; `None` when it deserves none (no header, or itself an answer).
    pub(crate) fn answer(&self, query: &[u8], out: &mut [u8; PAYLOAD_MAX]) -> Option<usize> {
        let header = query.get(..HEADER)?;
        if header[2] & 0x80 != 0 {
            return None;
        }
        let mut writer = Writer { out, at: HEADER, max: PAYLOAD_PLAIN, answers: 0, truncated: false };
        writer.out[..HEADER].fill(0);
        writer.out[..2].copy_from_slice(&header[..2]);
        // An answer, authoritative; opcode and "recursion desired" as asked; "recursion available", or stub
        // resolvers complain.
        (writer.out[2], writer.out[3]) = (0x84 | header[2] & 0x79, 0x80);
        let code = self.answer_into(query, &mut writer);
        Some(writer.finish(code))
    }

    /// Whether a message asks for something that this server does not know and another one might: a name of two labels
    /// or more, or the name of an address that is `outside`. Malformed ones and unknown kinds are answered here.
    pub(crate) fn is_foreign(&self, query: &[u8], outside: impl FnOnce(Address) -> bool) -> bool {
        let Some(header) = query.get(..HEADER) else { return false };
        // Neither an answer nor another operation than a query, and one question.
        if header[2] & 0xf8 != 0 || be16(&header[4..]) != 1 {
            return false;
        }
        let mut name = [0; NAME_MAX];
        let Some((length, end)) = read_name(query, HEADER, &mut name) else { return false };
        let name = &name[..length];
        if query.get(end..end + 4).is_none_or(|question| be16(&question[2..]) != CLASS_IN) {
            return false;
        }
        match reverse(name) {
            Some(address) => outside(address),
            None => name.contains(&b'.') && !self.by_name.contains_key(name),
        }
    }

    fn answer_into(&self, query: &[u8], writer: &mut Writer<'_>) -> u8 {
        if query[2] & 0x78 != 0 {
            return NOT_IMPLEMENTED;
        }
        let counts = [4, 6, 8, 10].map(|at| be16(&query[at..]));
        let mut name = [0; NAME_MAX];
        let Some((length, end)) = read_name(query, HEADER, &mut name) else { return FORMAT_ERROR };
        let Some(question) = query.get(end..end + 4).filter(|_| counts[0] == 1) else { return FORMAT_ERROR };
        let (kind, class) = (be16(question), be16(&question[2..]));
        let (at, question_end) = (HEADER, end + 4);
        writer.out[at..question_end].copy_from_slice(&query[at..question_end]);
        writer.out[5] = 1;
        writer.at = question_end;
        let records = counts[1].saturating_add(counts[2]).saturating_add(counts[3]);
        match find_opt(query, question_end, records) {
            Ok(None) => {}
            Ok(Some(offered)) => writer.allow(offered),
            Err(()) => return FORMAT_ERROR,
        }
        if class != CLASS_IN && class != CLASS_ANY {
            return REFUSED;
        }
        self.answer_question(&name[..length], kind, writer)
    }

    fn answer_question(&self, name: &[u8], kind: u16, writer: &mut Writer<'_>) -> u8 {
        if let Some(address) = reverse(name) {
            let Some(index) = self.by_address.get(&address) else { return NAME_ERROR };
            if kind == TYPE_PTR || kind == TYPE_ANY {
                writer.pointer(&self.entries[*index as usize].name);
            }
            return NO_ERROR;
        }
        let Some(index) = self.by_name.get(name) else { return NAME_ERROR };
        let entry = &self.entries[*index as usize];
        if kind == TYPE_A || kind == TYPE_ANY {
            entry.v4.iter().for_each(|address| writer.record(TYPE_A, &address.octets()));
        }
        if kind == TYPE_AAAA || kind == TYPE_ANY {
            entry.v6.iter().for_each(|address| writer.record(TYPE_AAAA, &address.octets()));
        }
        NO_ERROR
    }
}

/// An answer under way.
struct Writer<'a> {
    out: &'a mut [u8; PAYLOAD_MAX],
    at: usize,
    /// What the asker takes; with EDNS0 the OPT record's place is set aside.
    max: usize,
    answers: u16,
    truncated: bool,
}

impl Writer<'_> {
    /// The asker speaks EDNS0 and takes answers of this size (RFC 6891 §6.2.3).
    fn allow(&mut self, offered: u16) {
        self.max = usize::from(offered).clamp(PAYLOAD_PLAIN, PAYLOAD_MAX) - OPT_LENGTH;
        self.out[11] = 1;
    }

    fn record(&mut self, kind: u16, data: &[u8]) {
        let length = 12 + data.len();
        if self.truncated || self.at + length > self.max {
            self.truncated = true;
            return;
        }
        let record = &mut self.out[self.at..self.at + length];
        record[..2].copy_from_slice(&[0xc0, HEADER as u8]); // the question's name
        record[2..4].copy_from_slice(&kind.to_be_bytes());
        record[4..6].copy_from_slice(&CLASS_IN.to_be_bytes());
        record[6..10].copy_from_slice(&TTL_SECONDS.to_be_bytes());
        record[10..12].copy_from_slice(&(data.len() as u16).to_be_bytes());
        record[12..].copy_from_slice(data);
        self.at += length;
        self.answers += 1;
    }

    fn pointer(&mut self, name: &str) {
        let mut data = [0; NAME_MAX + 1];
        let mut at = 0;
        // A checked name has 253 bytes at most, so its labels come to 255 with their lengths and the root.
        for label in name.split('.') {
            data[at] = label.len() as u8;
            data[at + 1..at + 1 + label.len()].copy_from_slice(label.as_bytes());
            at += 1 + label.len();
        }
        self.record(TYPE_PTR, &data[..at + 1]);
    }

    fn finish(mut self, code: u8) -> usize {
        self.out[3] |= code;
        if self.truncated {
            self.out[2] |= 0x02;
        }
        self.out[6..8].copy_from_slice(&self.answers.to_be_bytes());
        if self.out[11] == 1 {
            let opt = &mut self.out[self.at..self.at + OPT_LENGTH];
            opt.fill(0);
            opt[1..3].copy_from_slice(&TYPE_OPT.to_be_bytes());
            opt[3..5].copy_from_slice(&(PAYLOAD_MAX as u16).to_be_bytes());
            self.at += OPT_LENGTH;
        }
        self.at
    }
}

/// Reads a name without compression (a question needs none) into `out`, lower case, with dots: its length there,
/// and where it ends in the message.
fn read_name(message: &[u8], mut at: usize, out: &mut [u8; NAME_MAX]) -> Option<(usize, usize)> {
    let (start, mut length) = (at, 0);
    loop {
        let label = usize::from(*message.get(at)?);
        if label == 0 {
            return Some((length, at + 1));
        }
        let bytes = message.get(at + 1..at + 1 + label)?;
        if label > 63 || at + 2 + label - start > NAME_MAX {
            return None;
        }
        if length > 0 {
            out[length] = b'.';
            length += 1;
        }
        // A dot inside a label would read as two labels; no name of ours has one.
        for (to, from) in out[length..].iter_mut().zip(bytes) {
            *to = if *from == b'.' { 0 } else { from.to_ascii_lowercase() };
        }
        length += label;
        at += 1 + label;
    }
}

/// Looks for the OPT record behind the question: the size it offers.
fn find_opt(message: &[u8], mut at: usize, records: u16) -> Result<Option<u16>, ()> {
    for _ in 0..records.min(ADDITIONAL_MAX) {
        at = skip_name(message, at).ok_or(())?;
        let record = message.get(at..at + 10).ok_or(())?;
        if be16(record) == TYPE_OPT {
            return Ok(Some(be16(&record[2..])));
        }
        at += 10 + usize::from(be16(&record[8..]));
    }
    Ok(None)
}

fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    // Every round goes forward, so the message's end bounds it.
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            label if label >= 0xc0 => return Some(at + 2),
            label if label > 63 => return None,
            label => at += 1 + usize::from(label),
        }
    }
}

/// The address that a name under in-addr.arpa (RFC 1035 §3.5) or ip6.arpa (RFC 3596 §2.5) speaks of.
fn reverse(name: &[u8]) -> Option<Address> {
    let name = std::str::from_utf8(name).ok()?;
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0; 4];
        let mut labels = rest.split('.');
        for octet in octets.iter_mut().rev() {
            *octet = labels.next()?.parse().ok()?;
        }
        return labels.next().is_none().then(|| Address::from(Ipv4Addr::from(octets)));
    }
    let rest = name.strip_suffix(".ip6.arpa")?;
    let mut bits = 0u128;
    let mut labels = rest.split('.');
    for place in 0..32 {
        let label = labels.next().filter(|label| label.len() == 1)?;
        bits |= u128::from(label.chars().next()?.to_digit(16)?) << (place * 4);
    }
    labels.next().is_none().then(|| Address::from(Ipv6Addr::from(bits)))
}
