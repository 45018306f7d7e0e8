//! Where to listen or to dial, in OVS' words.
//!
//! | words | what |
//! |---|---|
//! | `tcp:ADDRESS[:PORT]` | dials |
//! | `ptcp:[PORT][:ADDRESS]` | listens; on all addresses unless it says which |
//! | `ssl:ADDRESS[:PORT]`, `pssl:[PORT][:ADDRESS]` | the same under TLS |
//! | `unix:PATH`, `punix:PATH` | dials, listens on a Unix socket |
//!
//! The port is 6653 unless it is given; an IPv6 address stands in brackets.
//!
//! ```
//! use openflow::live::Target;
//!
//! let target: Target = "tcp:127.0.0.1".parse()?;
//! assert_eq!(target.to_string(), "tcp:127.0.0.1:6653");
//! assert!("ptcp:".parse::<Target>()?.listens());
//! # Ok::<(), openflow::live::TargetError>(())
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// The port of OpenFlow (IANA).
pub const PORT: u16 = 6653;
/// Bytes of a Unix socket's path (`sun_path`, with its NUL).
const PATH_BYTES_MAX: usize = 107;

/// Where to listen or to dial.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// `tcp:`, `ssl:`
    Dial(SocketAddr, Tls),
    /// `ptcp:`, `pssl:`
    Listen(SocketAddr, Tls),
    /// `unix:`
    DialUnix(PathBuf),
    /// `punix:`
    ListenUnix(PathBuf),
}

/// Whether it is under TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tls {
    /// It is not.
    No,
    /// It is.
    Yes,
}

/// What is wrong with a target's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{words}: {problem}")]
pub struct TargetError {
    /// The words.
    pub words: String,
    /// What is wrong.
    pub problem: String,
}

impl Target {
    /// Whether it waits for others to connect.
    #[must_use]
    pub fn listens(&self) -> bool {
        matches!(self, Self::Listen(..) | Self::ListenUnix(_))
    }

    /// Whether it needs a certificate.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Dial(_, Tls::Yes) | Self::Listen(_, Tls::Yes))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |tls: &Tls| if *tls == Tls::Yes { "ssl" } else { "tcp" };
        match self {
            Self::Dial(address, tls) => write!(f, "{}:{address}", name(tls)),
            Self::Listen(address, tls) if address.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) => {
                write!(f, "p{}:{}", name(tls), address.port())
            }
            Self::Listen(address, tls) => match address.ip() {
                IpAddr::V4(ip) => write!(f, "p{}:{}:{ip}", name(tls), address.port()),
                IpAddr::V6(ip) => write!(f, "p{}:{}:[{ip}]", name(tls), address.port()),
            },
            Self::DialUnix(path) => write!(f, "unix:{}", path.display()),
            Self::ListenUnix(path) => write!(f, "punix:{}", path.display()),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// Names are looked up, which may take time.
    fn from_str(words: &str) -> Result<Self, TargetError> {
        let wrong = |problem: String| TargetError { words: words.to_owned(), problem };
        let (kind, rest) = words
            .split_once(':')
            .ok_or_else(|| wrong("such as tcp:127.0.0.1:6653, ptcp:6653, ssl:…, pssl:…, unix:PATH".into()))?;
        match kind {
            "tcp" => dialled(rest).map(|at| Self::Dial(at, Tls::No)),
            "ssl" => dialled(rest).map(|at| Self::Dial(at, Tls::Yes)),
            "ptcp" => listened(rest).map(|at| Self::Listen(at, Tls::No)),
            "pssl" => listened(rest).map(|at| Self::Listen(at, Tls::Yes)),
            "unix" => path(rest).map(Self::DialUnix),
            "punix" => path(rest).map(Self::ListenUnix),
            _ => Err("the kinds are tcp, ptcp, ssl, pssl, unix, punix".into()),
        }
        .map_err(wrong)
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    match text.len() {
        0 => Err("a path is missing".into()),
        PATH_BYTES_MAX.. => Err(format!("a socket's path has less than {PATH_BYTES_MAX} bytes")),
        _ => Ok(text.into()),
    }
}

fn port(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        Ok(PORT)
    } else {
        text.parse().map_err(|_| format!("`{text}` is no port, 0 to 65535"))
    }
}

/// `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]`, `[ADDRESS]:PORT`.
fn dialled(text: &str) -> Result<SocketAddr, String> {
    let (host, port_text) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, ""),
        Some((host, rest)) => {
            (host, rest.strip_prefix(':').ok_or("a port follows the bracket after a colon")?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = port(port_text)?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    if host.is_empty() {
        return Err("an address is missing".into());
    }
    let mut found = (host, port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    found.next().ok_or_else(|| format!("{host} has no address"))
}

/// `[PORT][:ADDRESS]`.
fn listened(text: &str) -> Result<SocketAddr, String> {
    let (port_text, address) = text.split_once(':').unwrap_or((text, ""));
    let port = port(port_text)?;
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match (address, bare) {
        ("", _) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        (_, Some(v6)) => v6.parse::<Ipv6Addr>().map_err(|_| format!("`{v6}` is no IPv6 address"))?.into(),
        (address, None) => address.parse().map_err(|_| format!("`{address}` is no address"))?,
    };
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for (words, meant) in [
            ("tcp:127.0.0.1:6633", "tcp:127.0.0.1:6633"),
            ("tcp:127.0.0.1", "tcp:127.0.0.1:6653"),
            ("tcp:[::1]:1", "tcp:[::1]:1"),
            ("ssl:[::1]", "ssl:[::1]:6653"),
            ("ptcp:", "ptcp:6653"),
            ("ptcp:0", "ptcp:0"),
            ("pssl:6634:127.0.0.1", "pssl:6634:127.0.0.1"),
            ("ptcp::[::1]", "ptcp:6653:[::1]"),
            ("unix:/run/of.sock", "unix:/run/of.sock"),
            ("punix:of.sock", "punix:of.sock"),
        ] {
            let target: Target = words.parse().unwrap();
            assert_eq!(target.to_string(), meant);
            assert_eq!(meant.parse::<Target>().unwrap(), target);
            assert_eq!(target.listens(), words.starts_with('p'));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (words, part) in [
            ("6653", "such as tcp:127.0.0.1:6653"),
            ("udp:127.0.0.1", "the kinds are"),
            ("tcp:", "an address is missing"),
            ("tcp:127.0.0.1:x", "`x` is no port"),
            ("tcp:[::1]6653", "after a colon"),
            ("ptcp:70000", "no port"),
            ("ptcp:1:nowhere", "`nowhere` is no address"),
            ("unix:", "a path is missing"),
        ] {
            let error = words.parse::<Target>().unwrap_err().to_string();
            assert!(error.starts_with(words) && error.contains(part), "{error}");
        }
        assert!(format!("unix:{}", "x".repeat(200)).parse::<Target>().is_err());
    }
}
