//! What a connection tells the application.

/// Why something ended, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Because it was over.
    Done = 0,
    /// What was sent made no sense.
    Violation = 1,
    /// There is no such thing.
    Missing = 2,
    /// It is not allowed.
    Denied = 3,
    /// It could not be done.
    Failed = 4,
    /// There are too many.
    Busy = 5,
    /// No such stream is known (any more).
    Unknown = 6,
    /// The destination refuses.
    Refused = 7,
    /// There is no way to the destination, or no such name.
    Unreachable = 8,
}

impl Code {
    /// From what the wire has.
    pub(crate) fn from_wire(code: u8) -> Self {
        match code {
            0 => Self::Done,
            1 => Self::Violation,
            2 => Self::Missing,
            3 => Self::Denied,
            5 => Self::Busy,
            6 => Self::Unknown,
            7 => Self::Refused,
            8 => Self::Unreachable,
            _ => Self::Failed,
        }
    }
}

/// Why a connection is no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The other side has closed it.
    #[error("the other side closed the connection: {1}")]
    Peer(Code, String),
    /// Nothing was heard for too long.
    #[error("the other side has fallen silent")]
    Idle,
    /// Nobody answered.
    #[error("nobody answers there, or nobody with this key")]
    NoAnswer,
    /// The network says that nobody is there, and nobody has shown otherwise.
    #[error("nobody listens there")]
    Unreachable,
    /// The server does not know the connection any more: it was started again.
    #[error("the other side was started again")]
    Gone,
    /// The other side sent what makes no sense.
    #[error("the other side sent {0}")]
    Violation(&'static str),
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The handshake is through.
    Connected,
    /// The client asks for a stream: to be answered by [`accept`](super::Connection::accept) or
    /// [`reset`](super::Connection::reset).
    Asked {
        /// Which.
        stream: u32,
        /// To what: up to 1,024 bytes of whatever the client wrote.
        target: Vec<u8>,
    },
    /// The server has granted a stream.
    Opened {
        /// Which.
        stream: u32,
    },
    /// There is something to take, or the end.
    Readable {
        /// Of which stream.
        stream: u32,
    },
    /// There is room again.
    Writable {
        /// In which stream.
        stream: u32,
    },
    /// The other side has given a stream up, or there was no answer about it.
    Reset {
        /// Which.
        stream: u32,
        /// Why.
        code: Code,
        /// In words.
        text: String,
    },
    /// The connection is no more, and none of its streams.
    Closed(Reason),
}

/// What of a stream can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<'a> {
    /// These bytes, and perhaps more behind them.
    Bytes(&'a [u8]),
    /// Nothing for now.
    Nothing,
    /// Nothing any more: the stream has ended, and is whole.
    End,
}

/// What a connection counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Sealed datagrams sent, by level.
    pub sent: [u64; 8],
    /// Sealed datagrams that could be opened, by level.
    pub received: [u64; 8],
    /// Datagrams that are none of this protocol.
    pub malformed: u64,
    /// Datagrams of other connections, or at the wrong time.
    pub stray: u64,
    /// Datagrams that the holder of the key has not sent.
    pub forged: u64,
    /// Datagrams that had come before, or are too old to tell.
    pub replayed: u64,
    /// Streams that were opened.
    pub streams: u64,
}
