//! Where the controller waits for switches, or calls them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A place for OpenFlow connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// What it is proved by, under TLS.
    pub tls: Option<TlsFiles>,
    /// Whether it matters little if somebody else has it already.
    pub optional: bool,
}

/// The files that say who we are and whom we trust, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our private key.
    pub private_key: PathBuf,
    /// Our certificate, and those that lead from it to an authority.
    pub certificate: PathBuf,
    /// The authorities that we trust.
    pub ca_certificate: PathBuf,
}

impl fmt::Display for Endpoint {
    /// `tcp:0.0.0.0:6653`, `ssl:…`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", if self.tls.is_some() { "ssl" } else { "tcp" }, self.address)
    }
}
