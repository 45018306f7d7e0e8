//! On real sockets: files over RC3 ([`serve()`], [`get()`]), and a pair of proxies ([`Proxy`], [`Egress`]) that lets programs that know
//! nothing of it benefit.
//!
//! Each is one loop on one thread around a [`Connection`](crate::connection::Connection) or an [`Endpoint`](crate::Endpoint): what arrives
//! goes in with the time at which the kernel has seen it, what comes out is sent with its level as DSCP. Timers are the kernel's
//! high-resolution ones, since pacing is in steps of a few hundred microseconds.

mod destination;
mod egress;
mod files;
mod get;
mod proxy;
mod reactor;
mod resolver;
mod serve;
mod server;
mod socket;
mod splice;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

use crate::connection::{Code, Reason};
use crate::secure::{Key, KeyError};

pub use destination::{Allow, AllowError, Destination, DestinationError, Host};
pub use egress::{Egress, EgressConfig};
pub use get::{Got, Url, UrlError, get};
pub use proxy::{Proxy, ProxyConfig};
pub use reactor::Stop;
pub use serve::{Serve, ServeConfig};

/// What goes wrong.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The system refuses something.
    #[error("{0}: {1}")]
    System(String, #[source] io::Error),
    /// A file has no key.
    #[error("{0}: {1}")]
    Key(PathBuf, #[source] KeyError),
    /// A name leads nowhere.
    #[error("{0} has no address")]
    NoAddress(String),
    /// The connection has ended.
    #[error("{0}: {1}")]
    Closed(String, #[source] Reason),
    /// The server does not give what was asked for.
    #[error("{0}: {2} ({1:?})")]
    Refused(String, Code, String),
    /// There is less than was announced, or more.
    #[error("{0}: {1} bytes came of {2}")]
    Truncated(String, u64, u64),
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
}

/// Turns an error of the system into one that says what could not be done.
fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> LiveError {
    let what = what.into();
    move |error| LiveError::System(what, error)
}

/// The first address of `HOST:PORT`.
pub(crate) fn resolve(text: &str) -> Result<SocketAddr, LiveError> {
    let mut found = text.to_socket_addrs().map_err(system(text))?;
    found.next().ok_or_else(|| LiveError::NoAddress(text.to_owned()))
}

/// 32 random bytes of the machine's.
pub(crate) fn seed() -> Result<[u8; 32], LiveError> {
    let mut seed = [0; 32];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| LiveError::System("random bytes".to_owned(), io::Error::other("the system has none")))?;
    Ok(seed)
}

/// A new key.
pub fn new_key() -> Result<Key, LiveError> {
    seed().map(Key::new)
}

/// Reads a key from a file.
pub fn read_key(path: &Path) -> Result<Key, LiveError> {
    let text = std::fs::read_to_string(path).map_err(system(path.display().to_string()))?;
    text.parse().map_err(|error| LiveError::Key(path.to_owned(), error))
}

/// Writes a new key into a file that is not there yet and that only its owner may read.
pub fn write_key(path: &Path) -> Result<(), LiveError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let key = new_key()?;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{}", key.to_hex()));
    written.map_err(system(path.display().to_string()))
}
