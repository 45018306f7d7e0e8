//! Serves the files of a directory.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::files::Directory;
use super::reactor::Stop;
use super::server::Server;
use super::splice::SCRATCH_BYTES;
use super::{LiveError, system};
use crate::connection::{Code, Config, Connection, Event, Received};
use crate::endpoint::EndpointStats;
use crate::secure::Key;

/// Files that are open at once.
const FILES_MAX: usize = 512;

/// What a server is told.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Whose files.
    pub directory: PathBuf,
    /// Where clients come to.
    pub listen: SocketAddr,
    /// The key that they have; [`Key::OPEN`] for everybody.
    pub key: Key,
    /// Connections.
    pub connection: Config,
}

/// A file on its way.
#[derive(Debug)]
struct Sending {
    file: File,
    /// Bytes that are yet to be read.
    left: u64,
}

/// A server.
#[derive(Debug)]
pub struct Serve {
    directory: Directory,
    server: Server,
    files: BTreeMap<(u64, u32), Sending>,
    /// Files of which more can be read.
    due: VecDeque<(u64, u32)>,
    scratch: Vec<u8>,
}

impl Serve {
    /// Listens; [`Serve::run`] serves.
    pub fn bind(config: &ServeConfig) -> Result<Self, LiveError> {
        let directory =
            Directory::open(&config.directory).map_err(system(config.directory.display().to_string()))?;
        Ok(Self {
            directory,
            server: Server::bind(config.listen, config.connection, config.key)?,
            files: BTreeMap::new(),
            due: VecDeque::new(),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    /// Where clients come to.
    pub fn local(&self) -> Result<SocketAddr, LiveError> {
        self.server.local()
    }

    /// What ends it.
    pub fn stopper(&self) -> Stop {
        self.server.reactor.stopper()
    }

    /// What it counted.
    pub fn stats(&self) -> EndpointStats {
        self.server.endpoint.stats()
    }

    /// Serves until it is stopped.
    pub fn run(&mut self) -> Result<(), LiveError> {
        let mut ready = Vec::new();
        while !self.server.reactor.is_stopped() {
            self.server.hear()?;
            self.events();
            self.server.flush()?;
            self.server.wait(None, &mut ready)?;
        }
        self.server.end("the server ends")
    }

    fn events(&mut self) {
        while let Some((id, event)) = self.server.endpoint.poll_event() {
            match event {
                Event::Asked { stream, target } => self.asked((id, stream), &target),
                Event::Writable { stream } => self.due.push_back((id, stream)),
                Event::Reset { stream, .. } => drop(self.files.remove(&(id, stream))),
                Event::Closed(_) => self.files.retain(|whose, _| whose.0 != id),
                // What clients have to say after their question is not asked for, and taken so that their end is heard.
                Event::Readable { stream } => {
                    if let Some(connection) = self.server.endpoint.connection(id) {
                        while let Received::Bytes(bytes) = connection.received(stream) {
                            let length = bytes.len();
                            connection.take(stream, length);
                        }
                    }
                }
                Event::Connected | Event::Opened { .. } => {}
            }
        }
        while let Some(whose) = self.due.pop_front() {
            self.send(whose);
        }
    }

    fn asked(&mut self, (id, stream): (u64, u32), target: &[u8]) {
        let now = self.server.reactor.now();
        let found = if self.files.len() < FILES_MAX {
            self.directory.file(target)
        } else {
            Err((Code::Busy, "too many files"))
        };
        let Some(connection) = self.server.endpoint.connection(id) else { return };
        match found {
            Ok((file, length)) => {
                connection.accept(now, stream);
                connection.write(stream, &length.to_be_bytes());
                self.files.insert((id, stream), Sending { file, left: length });
                self.due.push_back((id, stream));
            }
            Err((code, text)) => connection.reset(stream, code, text),
        }
    }

    /// Reads and writes as much as there is room for.
    fn send(&mut self, whose: (u64, u32)) {
        let Some(sending) = self.files.get_mut(&whose) else { return };
        let Some(connection) = self.server.endpoint.connection(whose.0) else { return };
        match sending.send(connection, whose.1, &mut self.scratch) {
            Ok(false) => {}
            Ok(true) => {
                connection.finish(whose.1);
                self.files.remove(&whose);
            }
            Err(error) => {
                tracing::warn!("a file could not be read: {error}");
                connection.reset(whose.1, Code::Failed, "the server could not read it to its end");
                self.files.remove(&whose);
            }
        }
    }
}

impl Sending {
    /// Whether it is through.
    fn send(&mut self, connection: &mut Connection, stream: u32, scratch: &mut [u8]) -> io::Result<bool> {
        while self.left > 0 {
            let room = connection
                .room(stream)
                .min(scratch.len())
                .min(usize::try_from(self.left).unwrap_or(usize::MAX));
            if room == 0 {
                return Ok(false);
            }
            match self.file.read(&mut scratch[..room]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()), // it has become shorter
                Ok(length) => {
                    connection.write(stream, &scratch[..length]);
                    self.left -= length as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
