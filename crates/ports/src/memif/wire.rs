//! Control messages: 128 bytes each, in the machine's byte order (FD.io, `memif.h`, version 2.0).
//!
//! | type | message | from | what behind the type (bytes) |
//! |---|---|---|---|
//! | 1 | ACK | server | |
//! | 2 | HELLO | server | name (32), least and greatest version (2, 2), greatest index of a region, of a ring to the client, of a ring to the server (2, 2, 2), log2 of the longest ring (1) |
//! | 3 | INIT | client | version (2), id (4), mode (1), secret (24), name (32) |
//! | 4 | ADD_REGION | client, with a descriptor | index (2), bytes (8) |
//! | 5 | ADD_RING | client, with a descriptor | flags (2), index (2), region (2), offset (4), log2 of its entries (1), private header (2) |
//! | 6 | CONNECT | client | name of its interface (32) |
//! | 7 | CONNECTED | server | name of its interface (32) |
//! | 8 | DISCONNECT | both | code (4), reason (96) |

use std::fmt;

/// Bytes of a message.
pub(crate) const MESSAGE: usize = 128;
/// The protocol's version, 2.0.
pub(crate) const VERSION: u16 = 2 << 8;
/// Ethernet frames, as opposed to bare IP packets.
pub(crate) const MODE_ETHERNET: u8 = 0;
/// Bytes of a name.
pub(crate) const NAME: usize = 32;
/// Bytes of a secret.
pub(crate) const SECRET: usize = 24;
/// Bytes of a reason.
pub(crate) const REASON: usize = 96;
/// The flag of a ring from the client to the server.
const RING_TO_SERVER: u16 = 1;

/// Text in a field of `N` bytes, filled up with zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> Text<N> {
    /// As much of the text as leaves room for a zero at the end.
    pub(crate) fn new(text: &str) -> Self {
        let mut bytes = [0; N];
        let mut len = text.len().min(N - 1);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self(bytes)
    }

    fn bytes(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// Whether both say the same; how long that takes does not tell where they differ.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        let padded = |text: &Self| {
            let mut bytes = [0; N];
            bytes[..text.bytes().len()].copy_from_slice(text.bytes());
            bytes
        };
        padded(self).iter().zip(padded(other)).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.bytes() {
            // No control bytes of the other side's reach a terminal.
            match byte {
                b' '..=b'~' => write!(f, "{}", char::from(byte))?,
                other => write!(f, "\\x{other:02x}")?,
            }
        }
        Ok(())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Which way the packets of a ring go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) name: Text<NAME>,
    pub(crate) versions: (u16, u16),
    pub(crate) region_max: u16,
    pub(crate) to_client_max: u16,
    pub(crate) to_server_max: u16,
    pub(crate) log2_entries_max: u8,
}

/// Which interface a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Init {
    pub(crate) version: u16,
    pub(crate) id: u32,
    pub(crate) mode: u8,
    pub(crate) secret: Text<SECRET>,
    pub(crate) name: Text<NAME>,
}

/// Shared memory, whose descriptor comes with the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddRegion {
    pub(crate) index: u16,
    pub(crate) bytes: u64,
}

/// A ring; the descriptor of what wakes its reader comes with the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddRing {
    pub(crate) direction: Direction,
    pub(crate) index: u16,
    pub(crate) region: u16,
    pub(crate) offset: u32,
    pub(crate) log2_entries: u8,
    pub(crate) private_header: u16,
}

/// A control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Ack,
    Hello(Hello),
    Init(Init),
    AddRegion(AddRegion),
    AddRing(AddRing),
    Connect(Text<NAME>),
    Connected(Text<NAME>),
    Disconnect { code: u32, reason: Text<REASON> },
}

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// Not [`MESSAGE`] bytes.
    #[error("a message of {0} bytes")]
    Length(usize),
    /// A type that does not exist.
    #[error("a message of type {0}")]
    Type(u16),
}

impl Message {
    fn code(&self) -> u16 {
        match self {
            Self::Ack => 1,
            Self::Hello(_) => 2,
            Self::Init(_) => 3,
            Self::AddRegion(_) => 4,
            Self::AddRing(_) => 5,
            Self::Connect(_) => 6,
            Self::Connected(_) => 7,
            Self::Disconnect { .. } => 8,
        }
    }

    /// What it is called.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Ack => "ACK",
            Self::Hello(_) => "HELLO",
            Self::Init(_) => "INIT",
            Self::AddRegion(_) => "ADD_REGION",
            Self::AddRing(_) => "ADD_RING",
            Self::Connect(_) => "CONNECT",
            Self::Connected(_) => "CONNECTED",
            Self::Disconnect { .. } => "DISCONNECT",
        }
    }

    pub(crate) fn encode(&self) -> [u8; MESSAGE] {
        let mut out = Out { bytes: [0; MESSAGE], at: 0 };
        out.put(self.code().to_ne_bytes());
        match self {
            Self::Ack => {}
            Self::Hello(hello) => {
                out.put(hello.name.0);
                let (least, greatest) = hello.versions;
                for word in [least, greatest, hello.region_max, hello.to_client_max, hello.to_server_max] {
                    out.put(word.to_ne_bytes());
                }
                out.put([hello.log2_entries_max]);
            }
            Self::Init(init) => {
                out.put(init.version.to_ne_bytes());
                out.put(init.id.to_ne_bytes());
                out.put([init.mode]);
                out.put(init.secret.0);
                out.put(init.name.0);
            }
            Self::AddRegion(region) => {
                out.put(region.index.to_ne_bytes());
                out.put(region.bytes.to_ne_bytes());
            }
            Self::AddRing(ring) => {
                let flags = if ring.direction == Direction::ToServer { RING_TO_SERVER } else { 0 };
                for word in [flags, ring.index, ring.region] {
                    out.put(word.to_ne_bytes());
                }
                out.put(ring.offset.to_ne_bytes());
                out.put([ring.log2_entries]);
                out.put(ring.private_header.to_ne_bytes());
            }
            Self::Connect(name) | Self::Connected(name) => out.put(name.0),
            Self::Disconnect { code, reason } => {
                out.put(code.to_ne_bytes());
                out.put(reason.0);
            }
        }
        out.bytes
    }

    /// Reads a message; bytes behind what its type has are ignored.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let bytes: &[u8; MESSAGE] = bytes.try_into().map_err(|_| WireError::Length(bytes.len()))?;
        let mut from = In { bytes, at: 0 };
        Ok(match from.word() {
            1 => Self::Ack,
            2 => Self::Hello(Hello {
                name: Text(from.take()),
                versions: (from.word(), from.word()),
                region_max: from.word(),
                to_client_max: from.word(),
                to_server_max: from.word(),
                log2_entries_max: from.byte(),
            }),
            3 => Self::Init(Init {
                version: from.word(),
                id: u32::from_ne_bytes(from.take()),
                mode: from.byte(),
                secret: Text(from.take()),
                name: Text(from.take()),
            }),
            4 => Self::AddRegion(AddRegion { index: from.word(), bytes: u64::from_ne_bytes(from.take()) }),
            5 => {
                let to_server = from.word() & RING_TO_SERVER != 0;
                Self::AddRing(AddRing {
                    direction: if to_server { Direction::ToServer } else { Direction::ToClient },
                    index: from.word(),
                    region: from.word(),
                    offset: u32::from_ne_bytes(from.take()),
                    log2_entries: from.byte(),
                    private_header: from.word(),
                })
            }
            6 => Self::Connect(Text(from.take())),
            7 => Self::Connected(Text(from.take())),
            8 => Self::Disconnect { code: u32::from_ne_bytes(from.take()), reason: Text(from.take()) },
            other => return Err(WireError::Type(other)),
        })
    }
}

/// A message while it is written; no message is longer than it may be.
struct Out {
    bytes: [u8; MESSAGE],
    at: usize,
}

impl Out {
    fn put<const N: usize>(&mut self, field: [u8; N]) {
        self.bytes[self.at..self.at + N].copy_from_slice(&field);
        self.at += N;
    }
}

/// A message while it is read.
struct In<'a> {
    bytes: &'a [u8; MESSAGE],
    at: usize,
}

impl In<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let field = std::array::from_fn(|byte| self.bytes[self.at + byte]);
        self.at += N;
        field
    }

    fn word(&mut self) -> u16 {
        u16::from_ne_bytes(self.take())
    }

    fn byte(&mut self) -> u8 {
        u8::from_ne_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where the fields lie in the packed structures of `memif.h`.
    #[test]
    fn fields_lie_where_others_look_for_them() {
        let hello = Message::Hello(Hello {
            name: Text::new("weft"),
            versions: (VERSION, VERSION),
            region_max: 15,
            to_client_max: 3,
            to_server_max: 2,
            log2_entries_max: 14,
        });
        let bytes = hello.encode();
        assert_eq!(bytes[..6], *b"\x02\0weft");
        assert_eq!(bytes[34..45], [0, 2, 0, 2, 15, 0, 3, 0, 2, 0, 14]);
        let init = Init {
            version: VERSION,
            id: 7,
            mode: MODE_ETHERNET,
            secret: Text::new("s"),
            name: Text::new("n"),
        };
        let bytes = Message::Init(init).encode();
        assert_eq!(bytes[..10], [3, 0, 0, 2, 7, 0, 0, 0, 0, b's']);
        assert_eq!(bytes[33], b'n');
        let region = Message::AddRegion(AddRegion { index: 1, bytes: 0x0102_0304 }).encode();
        assert_eq!(region[..12], [4, 0, 1, 0, 4, 3, 2, 1, 0, 0, 0, 0]);
        let ring = Message::AddRing(AddRing {
            direction: Direction::ToServer,
            index: 2,
            region: 1,
            offset: 0x80,
            log2_entries: 10,
            private_header: 0,
        });
        assert_eq!(ring.encode()[..15], [5, 0, 1, 0, 2, 0, 1, 0, 0x80, 0, 0, 0, 10, 0, 0]);
        let disconnect = Message::Disconnect { code: 1, reason: Text::new("why") };
        assert_eq!(disconnect.encode()[..9], [8, 0, 1, 0, 0, 0, b'w', b'h', b'y']);
    }

    #[test]
    fn text_is_cut_at_a_character_and_compared_up_to_the_zero() {
        assert_eq!(Text::<4>::new("abcdef").to_string(), "abc");
        assert_eq!(Text::<4>::new("abé"), Text(*b"ab\0\0"));
        assert!(Text(*b"a\0bc").matches(&Text(*b"a\0\0\0")) && !Text(*b"ab\0\0").matches(&Text(*b"a\0\0\0")));
        assert_eq!(Text(*b"\x1b[0m").to_string(), "\\x1b[0m");
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(bytes in proptest::array::uniform32(any::<u8>()), kind in 0..12u8) {
            let mut message = [0; MESSAGE];
            message.chunks_mut(32).for_each(|chunk| chunk.copy_from_slice(&bytes));
            message[..2].copy_from_slice(&[kind, 0]);
            match Message::decode(&message) {
                Ok(read) => prop_assert_eq!(Message::decode(&read.encode()), Ok(read)),
                Err(error) => prop_assert_eq!(error, WireError::Type(u16::from(kind))),
            }
            prop_assert_eq!(Message::decode(&message[1..]), Err(WireError::Length(127)));
        }
    }
}
