//! A TCP connection and a stream of ours, end to end: bytes both ways, each way's end, and nothing held that the other side has no
//! room for.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;

use super::reactor::Ready;
use crate::connection::{Code, Connection, Received};

/// Bytes that are read at once.
pub(super) const SCRATCH_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Splice {
    tcp: TcpStream,
    pub(super) stream: u32,
    readable: bool,
    writable: bool,
    /// TCP has no more for us.
    ended: bool,
    /// TCP was told that there is no more.
    shut: bool,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// It goes on.
    Going,
    /// Both ways are through.
    Done,
    /// TCP has failed; the stream is given up.
    Failed,
}

impl Splice {
    pub(super) fn new(tcp: TcpStream, stream: u32) -> Self {
        Self { tcp, stream, readable: true, writable: true, ended: false, shut: false }
    }

    /// Passes on what there is, both ways.
    pub(super) fn pump(
        &mut self,
        ready: Option<Ready>,
        connection: &mut Connection,
        scratch: &mut [u8],
    ) -> Pumped {
        self.readable |= ready.is_some_and(|ready| ready.readable);
        self.writable |= ready.is_some_and(|ready| ready.writable);
        match self.outward(connection, scratch).and_then(|()| self.inward(connection)) {
            Ok(()) if self.ended && self.shut => Pumped::Done,
            Ok(()) => Pumped::Going,
            Err(error) => {
                connection.reset(self.stream, Code::Failed, &error.to_string());
                Pumped::Failed
            }
        }
    }

    fn outward(&mut self, connection: &mut Connection, scratch: &mut [u8]) -> io::Result<()> {
        while self.readable && !self.ended {
            let room = connection.room(self.stream).min(scratch.len());
            if room == 0 {
                break;
            }
            match self.tcp.read(&mut scratch[..room]) {
                Ok(0) => {
                    self.ended = true;
                    connection.finish(self.stream);
                }
                Ok(length) => {
                    connection.write(self.stream, &scratch[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn inward(&mut self, connection: &mut Connection) -> io::Result<()> {
        while self.writable && !self.shut {
            let written = match connection.received(self.stream) {
                Received::Bytes(bytes) => self.tcp.write(bytes),
                Received::Nothing => break,
                Received::End => {
                    self.shut = true;
                    return match self.tcp.shutdown(Shutdown::Write) {
                        Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
                        _ => Ok(()),
                    };
                }
            };
            match written {
                Ok(length) => connection.take(self.stream, length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends TCP in a way that does not look like the end of what was sent.
    pub(super) fn abort(self) {
        let _ = rustix::net::sockopt::set_socket_linger(&self.tcp, Some(Duration::ZERO));
    }
}
