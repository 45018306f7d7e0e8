//! Fetches a file.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::files::{LENGTH_BYTES, PATH_MAX};
use super::reactor::{Reactor, Stop};
use super::socket::{Arrival, Socket};
use super::{LiveError, resolve, seed, system};
use crate::connection::{Code, Config, Connection, Event, Input, Received};
use crate::secure::Key;

/// `rc3://HOST:PORT/PATH`. The path is taken as it stands; there are no escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    server: String,
    path: String,
}

/// What is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rc3://HOST:PORT/PATH")]
pub struct UrlError(String);

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let wrong = || UrlError(text.chars().take(200).collect());
        let (server, path) =
            text.strip_prefix("rc3://").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
        let (host, port) = server.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || port.parse::<u16>().is_err() || path.is_empty() || path.len() > PATH_MAX {
            return Err(wrong());
        }
        Ok(Self { server: server.to_owned(), path: path.to_owned() })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rc3://{}/{}", self.server, self.path)
    }
}

/// A file that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Got {
    /// Bytes.
    pub bytes: u64,
    /// How long it took, from the first datagram to the last byte.
    pub took: Duration,
    /// Sealed datagrams that came, by level.
    pub levels: [u64; 8],
}

/// A file beside the one that is wanted; it goes unless it takes that one's place.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn create(wanted: &Path) -> Result<Self, LiveError> {
        let mut name = std::ffi::OsString::from(".");
        name.push(wanted.file_name().unwrap_or_default());
        name.push(format!(".{}.part", std::process::id()));
        let path = wanted.with_file_name(name);
        let file = File::options().write(true).create_new(true).open(&path);
        file.map(|file| Self { path: path.clone(), file }).map_err(system(path.display().to_string()))
    }

    fn keep(&mut self, wanted: &Path) -> Result<(), LiveError> {
        let kept = self.file.sync_all().and_then(|()| std::fs::rename(&self.path, wanted));
        kept.map_err(system(wanted.display().to_string()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // where it was kept, it is not there any more
    }
}

/// Fetches a file into another, which is there only once it is whole. `begin` is given what ends it early; `progress` hears of the
/// bytes that have come, and of how many there will be.
pub fn get(
    url: &Url,
    into: &Path,
    key: Key,
    config: Config,
    begin: impl FnOnce(Stop),
    mut progress: impl FnMut(u64, u64),
) -> Result<Got, LiveError> {
    let mut reactor = Reactor::new()?;
    begin(reactor.stopper());
    let mut part = Part::create(into)?;
    let server = resolve(&url.server)?;
    let mut socket = Socket::connect(server, reactor.registry())?;
    let began = Instant::now();
    let mut connection = Connection::client(reactor.now(), config, key, seed()?);
    let target = format!("get {}", url.path);
    let refused = |code, text| LiveError::Refused(url.to_string(), code, text);
    let busy = || refused(Code::Busy, "too many streams".to_owned());
    let stream = connection.open(reactor.now(), target.as_bytes()).ok_or_else(busy)?;
    let mut incoming = Incoming::default();
    let (mut ready, mut out) = (Vec::new(), Vec::new());
    loop {
        connection.handle(reactor.now(), Input::Timer);
        let more = socket.receive(&reactor, |arrival| match arrival {
            Arrival::Datagram(at, _, bytes) => connection.handle(at, Input::Datagram(bytes)),
            Arrival::Unreachable(at) => connection.handle(at, Input::Unreachable),
        })?;
        while let Some(event) = connection.poll_event() {
            match event {
                Event::Opened { stream } => connection.finish(stream),
                Event::Reset { code, text, .. } => return Err(refused(code, text)),
                Event::Closed(reason) => return Err(LiveError::Closed(url.to_string(), reason)),
                Event::Connected | Event::Asked { .. } | Event::Readable { .. } | Event::Writable { .. } => {}
            }
        }
        let ended = incoming
            .take(&mut connection, stream, &mut part.file)
            .map_err(system(into.display().to_string()))?;
        progress(incoming.bytes, incoming.length().unwrap_or(0));
        if ended {
            connection.close(Code::Done, "it is here");
        }
        let mut free = socket.unstick()?;
        while free && let Some(level) = connection.poll_output(reactor.now(), &mut out) {
            free = socket.send(server, level, &out)?;
        }
        if ended {
            break;
        }
        if reactor.is_stopped() {
            return Err(LiveError::Stopped);
        }
        let deadline = if more { Some(sim::Time::ZERO) } else { connection.next_deadline() };
        reactor.wait(deadline, &mut ready)?;
    }
    let (took, expected) = (began.elapsed(), incoming.length().unwrap_or(u64::MAX));
    if incoming.bytes != expected {
        return Err(LiveError::Truncated(url.to_string(), incoming.bytes, expected));
    }
    part.keep(into)?;
    Ok(Got { bytes: incoming.bytes, took, levels: connection.stats().received })
}

/// What has come: the length, then the file.
#[derive(Debug, Default)]
struct Incoming {
    head: Vec<u8>,
    bytes: u64,
}

impl Incoming {
    fn length(&self) -> Option<u64> {
        self.head.as_slice().try_into().ok().map(u64::from_be_bytes)
    }

    /// Writes what is there into the file; whether that was all.
    fn take(&mut self, connection: &mut Connection, stream: u32, file: &mut File) -> std::io::Result<bool> {
        loop {
            let length = match connection.received(stream) {
                Received::Nothing => return Ok(false),
                Received::End => return Ok(true),
                Received::Bytes(bytes) => {
                    let (head, body) = bytes.split_at(bytes.len().min(LENGTH_BYTES - self.head.len()));
                    self.head.extend(head);
                    file.write_all(body)?;
                    self.bytes += body.len() as u64;
                    bytes.len()
                }
            };
            connection.take(stream, length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for text in ["rc3://example.org:7700/a/b", "rc3://[::1]:1/x", "rc3://127.0.0.1:65535/ä"] {
            assert_eq!(text.parse::<Url>().unwrap().to_string(), text);
        }
        for text in
            ["", "http://a:1/b", "rc3://a/b", "rc3://a:1", "rc3://a:1/", "rc3://:1/b", "rc3://a:99999/b"]
        {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }
}
