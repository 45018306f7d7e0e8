//! Frames: what a DATA carries, sealed, one behind the other.
//!
//! ```text
//! PING    1 │ –                                        to be answered
//! PONG    2 │ –
//! OPEN    3 │ stream 4 │ room 4 │ length 2 │ target    sent again until answered
//! OPENED  4 │ stream 4 │ room 4
//! DATA    5 │ stream 4 │ offset 8 │ length 2 │ bytes
//! LAST    6 │ the same; the stream ends behind it, and the end counts as a byte
//! ACK     7 │ stream 4 │ ack 8 │ room 4 │ arrival 8 (ns) │ blocks 1 │ blocks, start 8 and end 8 each
//! ROOM    8 │ stream 4 │ ack 8 │ room 4                what the receiver has room for
//! ASK     9 │ stream 4                                 asks for a ROOM
//! RESET  10 │ stream 4 │ code 1 │ length 1 │ text      sent again until answered
//! DROPPED 11 │ stream 4                                answers a RESET
//! CLOSE  12 │ code 1 │ length 1 │ text
//! ```
//!
//! The level of what a DATA frame carries, or an ACK tells of, is that of its datagram.

use sim::Time;

use crate::segment::{SACK_BLOCKS_MAX, Sack};

/// Bytes of a DATA frame beside what it carries.
pub const FRAME_DATA_BYTES: usize = 1 + 4 + 8 + 2;
/// Most bytes of a text.
pub const TEXT_MAX: usize = 200;
/// Most bytes of the target of an OPEN.
const TARGET_MAX: usize = 1_024;

/// A frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Is somebody there?
    Ping,
    /// Yes.
    Pong,
    /// The client asks for a stream.
    Open {
        /// Which.
        stream: u32,
        /// What the client has room for.
        room: u32,
        /// To what.
        target: &'a [u8],
    },
    /// The server grants it.
    Opened {
        /// Which.
        stream: u32,
        /// What the server has room for.
        room: u32,
    },
    /// Bytes of a stream.
    Data {
        /// Which.
        stream: u32,
        /// The number of the first.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
        /// Whether the stream ends behind them.
        last: bool,
    },
    /// What has come of a stream.
    Ack {
        /// Which.
        stream: u32,
        /// The first byte that has not.
        ack: u64,
        /// How many bytes from there there is room for.
        room: u32,
        /// When what it acks arrived, in whole nanoseconds.
        arrival: Time,
        /// What has come beyond.
        sack: Sack,
    },
    /// What there is room for.
    Room {
        /// Of which stream.
        stream: u32,
        /// The first byte that has not come.
        ack: u64,
        /// How many bytes from there.
        room: u32,
    },
    /// Asks for it.
    Ask {
        /// Of which stream.
        stream: u32,
    },
    /// The stream is no more, in either direction.
    Reset {
        /// Which.
        stream: u32,
        /// Why.
        code: u8,
        /// In words.
        text: &'a [u8],
    },
    /// A RESET has come.
    Dropped {
        /// Of which stream.
        stream: u32,
    },
    /// The connection is no more.
    Close {
        /// Why.
        code: u8,
        /// In words.
        text: &'a [u8],
    },
}

/// What is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Of no known kind.
    #[error("kind {0} of frame is unknown")]
    Kind(u8),
    /// Cut off, or longer than it may be.
    #[error("a frame of kind {0} is cut off or too long")]
    Length(u8),
}

impl Frame<'_> {
    /// Writes it behind what is there. Texts and targets are cut to what may be.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Ping => out.push(1),
            Self::Pong => out.push(2),
            Self::Open { stream, room, target } => {
                let target = &target[..target.len().min(TARGET_MAX)];
                head(out, 3, stream);
                out.extend(room.to_be_bytes());
                out.extend((target.len() as u16).to_be_bytes());
                out.extend(target);
            }
            Self::Opened { stream, room } => {
                head(out, 4, stream);
                out.extend(room.to_be_bytes());
            }
            Self::Data { stream, offset, bytes, last } => {
                head(out, 5 + u8::from(last), stream);
                out.extend(offset.to_be_bytes());
                out.extend((bytes.len() as u16).to_be_bytes());
                out.extend(bytes);
            }
            Self::Ack { stream, ack, room, arrival, sack } => {
                head(out, 7, stream);
                out.extend(ack.to_be_bytes());
                out.extend(room.to_be_bytes());
                out.extend(arrival.nanos().to_be_bytes());
                out.push(sack.blocks().len() as u8);
                sack.blocks()
                    .iter()
                    .flat_map(|block| [block.0, block.1])
                    .for_each(|end| out.extend(end.to_be_bytes()));
            }
            Self::Room { stream, ack, room } => {
                head(out, 8, stream);
                out.extend(ack.to_be_bytes());
                out.extend(room.to_be_bytes());
            }
            Self::Ask { stream } => head(out, 9, stream),
            Self::Reset { stream, code, text } => {
                head(out, 10, stream);
                words(out, code, text);
            }
            Self::Dropped { stream } => head(out, 11, stream),
            Self::Close { code, text } => {
                out.push(12);
                words(out, code, text);
            }
        }
    }
}

fn head(out: &mut Vec<u8>, kind: u8, stream: u32) {
    out.push(kind);
    out.extend(stream.to_be_bytes());
}

fn words(out: &mut Vec<u8>, code: u8, text: &[u8]) {
    let text = &text[..text.len().min(TEXT_MAX)];
    out.extend([code, text.len() as u8]);
    out.extend(text);
}

/// The frames of a datagram. After an error there are no more.
#[derive(Debug, Clone)]
pub struct Frames<'a>(&'a [u8]);

impl<'a> Frames<'a> {
    /// Of what was sealed.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<usize> {
        self.take().map(u16::from_be_bytes).map(usize::from)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.u8()?);
        if length > TEXT_MAX { None } else { self.bytes(length) }
    }

    /// Reads a frame of a kind; `Some(None)` where there is no such kind.
    fn frame(&mut self, kind: u8) -> Option<Option<Frame<'a>>> {
        Some(Some(match kind {
            1 => Frame::Ping,
            2 => Frame::Pong,
            3 => {
                let (stream, room, length) = (self.u32()?, self.u32()?, self.u16()?);
                if length > TARGET_MAX {
                    return None;
                }
                Frame::Open { stream, room, target: self.bytes(length)? }
            }
            4 => Frame::Opened { stream: self.u32()?, room: self.u32()? },
            5 | 6 => {
                let (stream, offset, length) = (self.u32()?, self.u64()?, self.u16()?);
                Frame::Data { stream, offset, bytes: self.bytes(length)?, last: kind == 6 }
            }
            7 => {
                let (stream, ack, room) = (self.u32()?, self.u64()?, self.u32()?);
                let (arrival, count) = (Time::from_nanos(self.u64()?.min(Time::MAX.nanos())), self.u8()?);
                if usize::from(count) > SACK_BLOCKS_MAX {
                    return None;
                }
                let mut sack = Sack::default();
                for _ in 0..count {
                    sack.push((self.u64()?, self.u64()?));
                }
                Frame::Ack { stream, ack, room, arrival, sack }
            }
            8 => Frame::Room { stream: self.u32()?, ack: self.u64()?, room: self.u32()? },
            9 => Frame::Ask { stream: self.u32()? },
            10 => Frame::Reset { stream: self.u32()?, code: self.u8()?, text: self.text()? },
            11 => Frame::Dropped { stream: self.u32()? },
            12 => Frame::Close { code: self.u8()?, text: self.text()? },
            _ => return Some(None),
        }))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        let kind = self.u8()?;
        let read = match self.frame(kind) {
            Some(Some(frame)) => Ok(frame),
            Some(None) => Err(FrameError::Kind(kind)),
            None => Err(FrameError::Length(kind)),
        };
        if read.is_err() {
            self.0 = &[];
        }
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut sack = Sack::default();
        sack.push((10, 20));
        sack.push((40, u64::MAX));
        let arrival = Time::from_nanos(123_456);
        let all = [
            Frame::Ping,
            Frame::Pong,
            Frame::Open { stream: 1, room: 2, target: b"connect example.org:80" },
            Frame::Opened { stream: 1, room: 9 },
            Frame::Data { stream: 3, offset: 1 << 40, bytes: b"bytes", last: false },
            Frame::Data { stream: 3, offset: 5, bytes: b"", last: true },
            Frame::Ack { stream: 4, ack: 9, room: 1, arrival, sack },
            Frame::Ack { stream: 4, ack: 9, room: 1, arrival, sack: Sack::default() },
            Frame::Room { stream: 1, ack: 2, room: 3 },
            Frame::Ask { stream: 5 },
            Frame::Reset { stream: 6, code: 7, text: b"no such file" },
            Frame::Dropped { stream: 8 },
            Frame::Close { code: 0, text: b"" },
        ];
        let mut bytes = Vec::new();
        all.iter().for_each(|frame| frame.emit(&mut bytes));
        let read: Vec<Frame<'_>> = Frames::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(read, all);
        for cut in 0..bytes.len() {
            let found: Vec<_> = Frames::new(&bytes[..cut]).collect();
            assert!(found.len() < all.len() || found.last().is_some_and(Result::is_err));
        }
        assert_eq!(Frames::new(&[77, 1]).collect::<Vec<_>>(), [Err(FrameError::Kind(77))]);
        assert_eq!(Frames::new(&[5, 0, 0]).collect::<Vec<_>>(), [Err(FrameError::Length(5))]);
    }
}
