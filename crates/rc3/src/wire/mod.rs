//! Datagrams of version 1, over UDP. Numbers are big-endian.
//!
//! ```text
//! HELLO    0x11 │ id of the client 8 │ cookie length 1 │ cookie 0 or 24 │ noise length 2 │ noise │ zeros to 1,200 bytes
//! RETRY    0x12 │ id of the client 8 │ cookie 24
//! WELCOME  0x13 │ id of the client 8 │ noise
//! DATA     0x14 │ id of the receiver 8 │ number 8 │ frames, sealed │ tag 16
//! GONE     0x15 │ token 16
//! ```
//!
//! The high half of the first byte is the version, the low one the kind. A client that has not heard a WELCOME sends its HELLO again.
//! No answer to a HELLO is longer than it, so a forged source gets nothing out of it. A server with many half-open connections
//! answers with a RETRY first and keeps nothing: its cookie proves where the client is. GONE is what a server says of a connection
//! that it does not know; its token, which the client was told sealed, proves who says so.
//!
//! The handshake is Noise's NNpsk0 (`Noise_NNpsk0_25519_ChaChaPoly_SHA256`, prologue `weft rc3 1`): both sides prove that they have the
//! key, and past traffic stays secret if the key gets out. HELLO carries the largest datagram that the client takes (2 bytes);
//! WELCOME the same of the server's, its id (8) and the token of its GONE (16).
//!
//! The highest three bits of a DATA's number are its level, the others count the datagrams of that level: the number is the nonce. Each
//! level has its own window against replays, since a low level may come much later. The receiver goes by this level; the DSCP is
//! for the network.

mod frame;
mod replay;

pub use frame::{FRAME_DATA_BYTES, Frame, FrameError, Frames, TEXT_MAX};
pub use replay::{REPLAY_WINDOW, Replay};

/// The version of this module.
pub const VERSION: u8 = 1;
/// The least length of a HELLO.
pub const HELLO_BYTES: usize = 1_200;
/// Bytes of a cookie.
pub const COOKIE_BYTES: usize = 24;
/// Bytes of a token of a GONE.
pub const TOKEN_BYTES: usize = 16;
/// Bytes of a DATA beside its frames.
pub const DATA_BYTES: usize = 1 + 8 + 8 + 16;
/// Bytes of a datagram that go through wherever IPv6 does: 1,280 without the headers of IPv6 and UDP.
pub const DATAGRAM_BYTES: usize = 1_232;
/// The longest datagram that may be asked for: a jumbo frame of 9,000 bytes.
pub const DATAGRAM_BYTES_MAX: usize = 8_952;

/// The level's place in a number.
const LEVEL_SHIFT: u32 = 61;

/// A datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A client asks for a connection.
    Hello {
        /// What the client calls it.
        client: u64,
        /// What a RETRY has given.
        cookie: Option<&'a [u8; COOKIE_BYTES]>,
        /// The first message of the handshake.
        noise: &'a [u8],
    },
    /// The client is to come again with the cookie.
    Retry {
        /// What the client calls the connection.
        client: u64,
        /// Which.
        cookie: &'a [u8; COOKIE_BYTES],
    },
    /// The server grants it.
    Welcome {
        /// What the client calls the connection.
        client: u64,
        /// The second message of the handshake.
        noise: &'a [u8],
    },
    /// Frames.
    Data {
        /// What its receiver calls the connection.
        id: u64,
        /// Its number, with its level.
        number: u64,
        /// Frames and tag.
        sealed: &'a [u8],
    },
    /// The server knows no such connection.
    Gone {
        /// The token of the connection.
        token: &'a [u8; TOKEN_BYTES],
    },
}

/// What is no datagram of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// Of another version.
    #[error("version {0} of the protocol, where this is {VERSION}")]
    Version(u8),
    /// Of no known kind.
    #[error("kind {0} of datagram is unknown")]
    Kind(u8),
    /// Too short, or longer than it may be.
    #[error("{0} bytes are no datagram of its kind")]
    Length(usize),
}

impl<'a> Datagram<'a> {
    /// Reads a datagram.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DatagramError> {
        let length = DatagramError::Length(bytes.len());
        let (first, rest) = bytes.split_first().ok_or(length)?;
        if first >> 4 != VERSION {
            return Err(DatagramError::Version(first >> 4));
        }
        let kind = first & 15;
        if kind == 5 {
            return rest.try_into().map(|token| Self::Gone { token }).map_err(|_| length);
        }
        let (id, rest) = rest.split_first_chunk().ok_or(length)?;
        let id = u64::from_be_bytes(*id);
        match kind {
            1 if bytes.len() >= HELLO_BYTES => hello(id, rest).ok_or(length),
            2 => rest.try_into().map(|cookie| Self::Retry { client: id, cookie }).map_err(|_| length),
            3 => Ok(Self::Welcome { client: id, noise: rest }),
            4 => {
                let (number, sealed) = rest.split_first_chunk().ok_or(length)?;
                let number = u64::from_be_bytes(*number);
                if sealed.len() < 16 { Err(length) } else { Ok(Self::Data { id, number, sealed }) }
            }
            1 => Err(length),
            _ => Err(DatagramError::Kind(kind)),
        }
    }

    /// Writes it behind what is there.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let head = |kind: u8| VERSION << 4 | kind;
        match self {
            Self::Hello { client, cookie, noise } => {
                out.push(head(1));
                out.extend(client.to_be_bytes());
                out.push(cookie.map_or(0, |_| COOKIE_BYTES as u8));
                out.extend(cookie.iter().copied().flatten());
                out.extend((noise.len() as u16).to_be_bytes());
                out.extend(*noise);
                out.resize(out.len().max(start + HELLO_BYTES), 0);
            }
            Self::Retry { client, cookie } => {
                out.push(head(2));
                out.extend(client.to_be_bytes());
                out.extend(*cookie);
            }
            Self::Welcome { client, noise } => {
                out.push(head(3));
                out.extend(client.to_be_bytes());
                out.extend(*noise);
            }
            Self::Data { id, number, sealed } => {
                out.push(head(4));
                out.extend(id.to_be_bytes());
                out.extend(number.to_be_bytes());
                out.extend(*sealed);
            }
            Self::Gone { token } => {
                out.push(head(5));
                out.extend(*token);
            }
        }
    }
}

fn hello(client: u64, rest: &[u8]) -> Option<Datagram<'_>> {
    let (length, rest) = rest.split_first()?;
    let (cookie, rest) = match usize::from(*length) {
        0 => (None, rest),
        COOKIE_BYTES => rest.split_first_chunk().map(|(cookie, rest)| (Some(cookie), rest))?,
        _ => return None,
    };
    let (length, rest) = rest.split_first_chunk()?;
    let noise = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
    Some(Datagram::Hello { client, cookie, noise })
}

/// The number of the `count`-th datagram of a level.
pub fn number(level: u8, count: u64) -> u64 {
    u64::from(level & 7) << LEVEL_SHIFT | count & ((1 << LEVEL_SHIFT) - 1)
}

/// The level of a number.
pub fn level(number: u64) -> u8 {
    (number >> LEVEL_SHIFT) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let (cookie, token) = ([7; COOKIE_BYTES], [9; TOKEN_BYTES]);
        let all = [
            Datagram::Hello { client: 1, cookie: None, noise: &[1, 2, 3] },
            Datagram::Hello { client: u64::MAX, cookie: Some(&cookie), noise: &[] },
            Datagram::Retry { client: 3, cookie: &cookie },
            Datagram::Welcome { client: 4, noise: &[5; 90] },
            Datagram::Data { id: 5, number: number(3, 77), sealed: &[1; 16] },
            Datagram::Gone { token: &token },
        ];
        for datagram in all {
            let mut bytes = Vec::new();
            datagram.emit(&mut bytes);
            assert_eq!(Datagram::parse(&bytes), Ok(datagram));
            for cut in 0..bytes.len() {
                let welcome = matches!(datagram, Datagram::Welcome { .. }) && cut >= 9;
                assert!(welcome || Datagram::parse(&bytes[..cut]).is_err(), "{datagram:?} cut to {cut}");
            }
        }
        assert_eq!((level(number(3, 77)), number(3, 77) << 3 >> 3), (3, 77));
        assert_eq!(Datagram::parse(&[0x24; 40]), Err(DatagramError::Version(2)));
        assert_eq!(Datagram::parse(&[0x19; 40]), Err(DatagramError::Kind(9)));
    }
}
