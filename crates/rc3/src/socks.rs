//! What local clients of the proxy say before their bytes: SOCKS5 (RFC 1928, without passwords) or HTTP's CONNECT (RFC 9110, section
//! 9.3.6). Without I/O.

use crate::connection::Code;
use crate::live::{Destination, DestinationError};

/// Most bytes before a connection is granted.
pub const HANDSHAKE_MAX: usize = 8 << 10;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// SOCKS version 5.
    Socks5,
    /// HTTP's CONNECT.
    Http,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// More has to come.
    More,
    /// Say this, and go on.
    Say(Vec<u8>),
    /// Connect to there, then say [`Handshake::granted`] or [`Handshake::refused`].
    Connect(Destination),
    /// Say this, and close.
    Refuse(Vec<u8>),
}

/// A client's.
#[derive(Debug)]
pub struct Handshake {
    protocol: Protocol,
    bytes: Vec<u8>,
    /// The method of SOCKS is agreed upon.
    agreed: bool,
}

impl Handshake {
    /// Before the first byte.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, bytes: Vec::new(), agreed: false }
    }

    /// Takes bytes of the client's.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// What to do; to be asked again after [`Step::Say`].
    pub fn step(&mut self) -> Step {
        let step = match self.protocol {
            Protocol::Socks5 => self.socks(),
            Protocol::Http => self.http(),
        };
        match step {
            None if self.bytes.len() > HANDSHAKE_MAX => Step::Refuse(self.refused(Code::Violation)),
            None => Step::More,
            Some(step) => step,
        }
    }

    /// What came behind the handshake: the first bytes of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// What to say when the connection is there.
    pub fn granted(&self) -> Vec<u8> {
        match self.protocol {
            Protocol::Socks5 => reply(0),
            Protocol::Http => b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec(),
        }
    }

    /// What to say when it is not.
    pub fn refused(&self, code: Code) -> Vec<u8> {
        match self.protocol {
            Protocol::Socks5 => reply(match code {
                Code::Denied => 2,
                Code::Unreachable | Code::Missing => 4,
                Code::Refused => 5,
                _ => 1,
            }),
            Protocol::Http => http_error(match code {
                Code::Violation => "400 Bad Request",
                Code::Denied => "403 Forbidden",
                Code::Busy => "503 Service Unavailable",
                _ => "502 Bad Gateway",
            }),
        }
    }

    fn socks(&mut self) -> Option<Step> {
        let bytes = &self.bytes;
        if *bytes.first()? != 5 {
            return Some(Step::Refuse(vec![5, 0xff]));
        }
        let second = usize::from(*bytes.get(1)?);
        if !self.agreed {
            let methods = bytes.get(2..2 + second)?;
            if !methods.contains(&0) {
                return Some(Step::Refuse(vec![5, 0xff]));
            }
            self.bytes.drain(..2 + second);
            self.agreed = true;
            return Some(Step::Say(vec![5, 0]));
        }
        let kind = *bytes.get(3)?;
        let (from, length) = match kind {
            1 => (4, 4),
            3 => (5, usize::from(*bytes.get(4)?)),
            4 => (4, 16),
            _ => return Some(Step::Refuse(reply(8))),
        };
        let host = bytes.get(from..from + length)?;
        let port = u16::from_be_bytes(*bytes.get(from + length..)?.first_chunk()?);
        if second != 1 {
            return Some(Step::Refuse(reply(7)));
        }
        let destination = match kind {
            3 => Destination::named(host, port),
            _ => Ok(Destination { host: crate::live::Host::Ip(ip(host)?), port }),
        };
        self.bytes.drain(..from + length + 2);
        Some(destination.map_or_else(|_| Step::Refuse(reply(4)), Step::Connect))
    }

    fn http(&mut self) -> Option<Step> {
        const END: &[u8] = b"\r\n\r\n";
        let end = self.bytes.windows(END.len()).position(|window| window == END)?;
        let head = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
        self.bytes.drain(..end + END.len());
        let mut words = head.lines().next().unwrap_or_default().split(' ');
        let (method, target, version) = (words.next(), words.next().unwrap_or_default(), words.next());
        Some(match (method, version) {
            (Some("CONNECT"), Some("HTTP/1.0" | "HTTP/1.1")) => match target.parse() {
                Ok(destination) => Step::Connect(destination),
                Err(DestinationError(_)) => Step::Refuse(self.refused(Code::Violation)),
            },
            (Some(_), Some("HTTP/1.0" | "HTTP/1.1")) => Step::Refuse(http_error("405 Method Not Allowed")),
            _ => Step::Refuse(self.refused(Code::Violation)),
        })
    }
}

fn ip(bytes: &[u8]) -> Option<std::net::IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(Into::into).ok();
    four.or_else(|| <[u8; 16]>::try_from(bytes).map(Into::into).ok())
}

/// A reply of SOCKS; the address that the connection has at the other end is not told.
fn reply(code: u8) -> Vec<u8> {
    vec![5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

fn http_error(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(protocol: Protocol, bytes: &[u8], at_once: usize) -> (Vec<Step>, Vec<u8>) {
        let (mut handshake, mut found) = (Handshake::new(protocol), Vec::new());
        for piece in bytes.chunks(at_once) {
            handshake.push(piece);
            while !matches!(found.last(), Some(Step::Connect(_) | Step::Refuse(_))) {
                match handshake.step() {
                    Step::More => break,
                    step => found.push(step),
                }
            }
        }
        (found, handshake.rest())
    }

    #[test]
    fn clients_are_understood_however_their_bytes_come() {
        let named = b"\x05\x02\x02\x00\x05\x01\x00\x03\x0bexample.org\x00\x50GET /";
        let four = b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb";
        let six = b"\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50";
        let http = b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\nhello";
        for at_once in [1, 3, 1_000] {
            for (bytes, to, rest) in [
                (&named[..], "example.org:80", &b"GET /"[..]),
                (four, "192.0.2.1:443", b""),
                (six, "[2001:db8::1]:80", b""),
            ] {
                let (found, left) = steps(Protocol::Socks5, bytes, at_once);
                assert_eq!(found, [Step::Say(vec![5, 0]), Step::Connect(to.parse().unwrap())]);
                assert_eq!(left, rest);
            }
            let (found, left) = steps(Protocol::Http, http, at_once);
            assert_eq!(found, [Step::Connect("example.org:443".parse().unwrap())]);
            assert_eq!(left, b"hello");
        }
    }

    #[test]
    fn others_are_refused() {
        let refused = |protocol, bytes: &[u8]| match steps(protocol, bytes, 1_000).0.pop() {
            Some(Step::Refuse(reply)) => reply,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(Protocol::Socks5, b"\x04\x01"), [5, 0xff], "version 4");
        assert_eq!(refused(Protocol::Socks5, b"\x05\x01\x02"), [5, 0xff], "only with a password");
        assert_eq!(refused(Protocol::Socks5, b"\x05\x01\0\x05\x02\0\x01\x7f\0\0\x01\0\x50")[1], 7, "BIND");
        assert_eq!(
            refused(Protocol::Socks5, b"\x05\x01\0\x05\x01\0\x09\x7f\0\0\x01\0\x50")[1],
            8,
            "an address of kind 9"
        );
        assert_eq!(refused(Protocol::Socks5, b"\x05\x01\0\x05\x01\0\x03\x03a/b\0\x50")[1], 4, "no name");
        assert!(
            refused(Protocol::Http, b"GET http://example.org/ HTTP/1.1\r\n\r\n").starts_with(b"HTTP/1.1 405")
        );
        assert!(refused(Protocol::Http, b"CONNECT nowhere HTTP/1.1\r\n\r\n").starts_with(b"HTTP/1.1 400"));
        assert!(refused(Protocol::Http, &[b'a'; HANDSHAKE_MAX + 1]).starts_with(b"HTTP/1.1 400"));
    }
}
