//! Query and response: what an authoritative server without zones reads and writes.

use std::net::IpAddr;

use super::{
    AUTHORITATIVE, CLASS_IN, HEADER_LEN, Name, OPT_LEN, RECURSION_AVAILABLE, RECURSION_DESIRED, RESPONSE,
    RecordType, ResponseCode, TRUNCATED, UDP_LEN, UDP_LEN_MAX, View, field,
};
use crate::wire::{WireError, need, put16};

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
    use crate::wire::dns::{POINTERS_MAX, RECORDS_MAX};

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
}
