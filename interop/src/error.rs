//! What can go wrong while measuring.

use std::io;
use std::path::PathBuf;

/// Why a measurement could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot {what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("`{command}` failed ({status}): {output}")]
    Command { command: String, status: String, output: String },
    #[error("`{command}` did not end within {seconds} s")]
    TimedOut { command: String, seconds: u64 },
    #[error("{program} is not there; run tests/install.sh bench")]
    NoProgram { program: &'static str },
    #[error("{} is not there; run `cargo build --release -p weft`, or choose others with --peers", .0.display())]
    NoWeft(PathBuf),
    #[error("{peer}: {what}")]
    Peer { peer: String, what: String },
    #[error("this needs root: it makes network namespaces")]
    NotRoot,
    #[error("`{text}` in {place} is not what was expected")]
    Malformed { place: String, text: String },
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Says what was being done when an operation of the system failed.
pub(crate) trait During<T> {
    fn during(self, what: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<io::Error>> During<T> for std::result::Result<T, E> {
    fn during(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| Error::Io { what: what.into(), source: error.into() })
    }
}
