//! One connection: a socket and its channel.

use std::io;
use std::time::Duration;

use super::stream::Stream;
use crate::channel::{Channel, ConnectionId, Down};

/// Times that a connection is written to in a row.
const WRITES_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) stream: Stream,
    pub(super) channel: Channel,
    /// The other side's address.
    pub(super) peer: String,
    pub(super) dial: Option<usize>,
    /// Whether the handler knows of it.
    pub(super) up: bool,
    connecting: bool,
    /// As far as is known, a read or a write would do something.
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The other side has closed, or the socket has an error: reading to the end tells.
    pub(super) ending: bool,
    /// Among those that have something to send.
    pub(super) dirty: bool,
}

impl Connection {
    pub(super) fn new(
        id: ConnectionId,
        stream: Stream,
        channel: Channel,
        peer: String,
        dial: Option<usize>,
    ) -> Self {
        let connecting = dial.is_some();
        Self {
            id,
            stream,
            channel,
            peer,
            dial,
            up: false,
            connecting,
            // What came before it was registered is told of; but asking once is cheap.
            readable: !connecting,
            writable: !connecting,
            ending: false,
            dirty: false,
        }
    }

    /// Whether it can be read and written by now.
    pub(super) fn is_connected(&mut self, now: Duration) -> bool {
        if self.connecting && self.writable {
            match self.stream.connected() {
                Ok(true) => (self.connecting, self.readable) = (false, true),
                Ok(false) => self.writable = false,
                Err(error) => self.failed(now, &error),
            }
        }
        !self.connecting
    }

    /// Reads once. Whether that is worth trying again.
    pub(super) fn read(&mut self, now: Duration) -> bool {
        if !self.readable || !self.channel.wants_input() {
            return false;
        }
        let space = self.channel.input_space();
        let most = space.len();
        if most == 0 {
            return false;
        }
        match self.stream.read(space) {
            Ok(0) => {
                self.readable = false;
                self.channel.handle_closed(now);
            }
            Ok(count) => {
                self.channel.input_filled(now, count);
                if count < most && self.stream.reads_all() && !self.ending {
                    self.readable = false;
                }
                if !self.stream.reads_all() {
                    // A TLS handshake may be over.
                    self.writable = true;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                self.writable |= !self.stream.reads_all();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.channel.handle_closed(now),
            Err(error) => self.failed(now, &error),
        }
        true
    }

    /// Writes what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self, now: Duration) {
        for _ in 0..WRITES_MAX {
            if !self.writable {
                return;
            }
            let output = self.channel.output();
            let written =
                if output.is_empty() { self.stream.flush().map(|()| 0) } else { self.stream.write(output) };
            match written {
                Ok(0) => return,
                Ok(count) => self.channel.consume_output(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.failed(now, &error),
            }
        }
    }

    fn failed(&mut self, now: Duration, error: &io::Error) {
        (self.readable, self.writable) = (false, false);
        self.channel.close(now, Down::Socket(error.to_string()));
    }
}
