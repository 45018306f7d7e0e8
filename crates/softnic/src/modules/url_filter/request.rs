//! The head of an HTTP request (RFC 9112), byte by byte, in memory that does not depend on its length.

use std::hash::{BuildHasher, Hasher};

use packet::flow::{FlowHasher, FlowState};

/// The longest head that is read.
pub(super) const HEAD_MAX: u32 = 64 << 10;
const HOST: &[u8] = b"host";

/// What a byte has made known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing yet.
    Nothing,
    /// A host has been named, and before it the path: the hashes of both.
    Url(UrlHash),
    /// The head is over.
    End,
    /// This is no request.
    NoRequest,
}

/// The keyed hashes of a host, in small letters, and a path: who does not know the key cannot make two alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct UrlHash {
    host: u64,
    path: u64,
}

impl UrlHash {
    pub(super) fn new(hasher: FlowHasher, host: &str, path: &str) -> Self {
        let hash = |bytes: &mut dyn Iterator<Item = u8>| {
            let mut state = hasher.build_hasher();
            bytes.for_each(|byte| state.write_u8(byte));
            state.finish()
        };
        Self {
            host: hash(&mut host.bytes().map(|byte| byte.to_ascii_lowercase())),
            path: hash(&mut path.bytes()),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Start,
    Method,
    Path,
    Version,
    /// The first byte of a line, perhaps behind a carriage return.
    Line,
    /// The name of a field, of which so many bytes were those of `host`; `None` where one was not.
    Name(Option<u8>),
    /// The value of `Host`, and the blanks that are part of it if more follows.
    Host(u16),
    Value,
}

/// A request as far as it has been read.
#[derive(Clone, Debug)]
pub(super) struct Request {
    hasher: FlowHasher,
    place: Place,
    read: u32,
    path: FlowState,
    host: FlowState,
    /// The host has begun.
    begun: bool,
}

impl Request {
    pub(super) fn new(hasher: FlowHasher) -> Self {
        let fresh = hasher.build_hasher();
        Self { hasher, place: Place::Start, read: 0, path: fresh.clone(), host: fresh, begun: false }
    }

    /// Reads on.
    pub(super) fn read(&mut self, byte: u8) -> Known {
        self.read += 1;
        if self.read > HEAD_MAX {
            return Known::NoRequest;
        }
        match self.place {
            Place::Start | Place::Method | Place::Path | Place::Version => self.request_line(byte),
            Place::Line => match byte {
                b'\r' => Known::Nothing,
                b'\n' => Known::End,
                // A value goes on (RFC 9112 §5.2).
                b' ' | b'\t' => self.go(Place::Value),
                _ => {
                    self.place = Place::Name(Some(0));
                    self.name(byte)
                }
            },
            Place::Name(_) => self.name(byte),
            Place::Host(blanks) => self.host(byte, blanks),
            Place::Value if byte == b'\n' => self.go(Place::Line),
            Place::Value => Known::Nothing,
        }
    }

    fn go(&mut self, place: Place) -> Known {
        self.place = place;
        Known::Nothing
    }

    fn request_line(&mut self, byte: u8) -> Known {
        let control = byte < b' ' || byte == 0x7f;
        match self.place {
            // Empty lines in front of a request are passed over (RFC 9112 §2.2).
            Place::Start if byte == b'\r' || byte == b'\n' => Known::Nothing,
            Place::Start if byte == b' ' || control => Known::NoRequest,
            Place::Start => self.go(Place::Method),
            Place::Method if byte == b' ' => self.go(Place::Path),
            Place::Path if byte == b' ' => self.go(Place::Version),
            Place::Version if byte == b'\n' => self.go(Place::Line),
            Place::Version => Known::Nothing,
            _ if control => Known::NoRequest,
            Place::Path => {
                self.path.write_u8(byte);
                Known::Nothing
            }
            _ => Known::Nothing,
        }
    }

    fn name(&mut self, byte: u8) -> Known {
        let Place::Name(matched) = self.place else { return Known::NoRequest };
        match byte {
            b'\n' => Known::NoRequest,
            b':' if matched == Some(HOST.len() as u8) => {
                (self.host, self.begun) = (self.hasher.build_hasher(), false);
                self.go(Place::Host(0))
            }
            b':' => self.go(Place::Value),
            _ => {
                let next = matched.and_then(|at| HOST.get(usize::from(at)).map(|wanted| (at + 1, *wanted)));
                let matched = next.filter(|(_, wanted)| byte.to_ascii_lowercase() == *wanted);
                self.go(Place::Name(matched.map(|(at, _)| at)))
            }
        }
    }

    fn host(&mut self, byte: u8, blanks: u16) -> Known {
        match byte {
            b'\n' => {
                self.place = Place::Line;
                Known::Url(UrlHash { host: self.host.finish(), path: self.path.finish() })
            }
            b'\r' => Known::Nothing,
            b' ' | b'\t' if !self.begun => Known::Nothing,
            b' ' | b'\t' => self.go(Place::Host(blanks.saturating_add(1))),
            _ => {
                (0..blanks).for_each(|_| self.host.write_u8(b' '));
                self.host.write_u8(byte.to_ascii_lowercase());
                self.begun = true;
                self.go(Place::Host(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASHER: FlowHasher = FlowHasher::new(7);

    /// What the bytes make known, one after the other.
    fn known(text: &str) -> Vec<Known> {
        let mut request = Request::new(HASHER);
        text.bytes().map(|byte| request.read(byte)).filter(|known| *known != Known::Nothing).collect()
    }

    #[test]
    fn hosts_and_paths_are_found() {
        let url = |host, path| Known::Url(UrlHash::new(HASHER, host, path));
        for text in [
            "GET /a HTTP/1.1\r\nHost: www.foo.com\r\n\r\n",
            "\r\nGET /a HTTP/1.1\r\nhOST:\t WWW.foo.com \t\r\n\r\n",
            "POST /a HTTP/1.0\nHos: x\nHosts: y\nHost:www.foo.com\n\n",
            "GET /a HTTP/1.1\r\nX: 1\r\n Host: b\r\nHost: www.foo.com\r\nX-Host: c\r\n\r\n",
        ] {
            assert_eq!(known(text), [url("www.foo.com", "/a"), Known::End], "{text:?}");
        }
        let two = known("GET / HTTP/1.1\r\nHost: a b\r\nHost: c\r\n\r\n");
        assert_eq!(two, [url("a b", "/"), url("c", "/"), Known::End]);
        assert_eq!(known("GET / HTTP/1.1\r\nHost: a"), []);
    }

    #[test]
    fn what_is_no_request_is_told_early() {
        for text in ["\x16\x03\x01", " GET", "GET /a\r\n", "GE\0", "GET / HTTP/1.1\r\nno colon\r\n"] {
            assert_eq!(known(text).first(), Some(&Known::NoRequest), "{text:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(HEAD_MAX as usize));
        assert_eq!(known(&long).first(), Some(&Known::NoRequest));
    }
}
