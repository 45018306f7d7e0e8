//! Where a client of the proxy wants to go, and where it may.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Most bytes of a name.
const NAME_MAX: usize = 253;

/// A host and its port: `example.org:80`, `192.0.2.1:80`, `[2001:db8::1]:80`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// By name: letters, digits, `-`, `_` and `.`, in lower case.
    Name(String),
    /// By address.
    Ip(IpAddr),
}

/// What is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no HOST:PORT")]
pub struct DestinationError(pub String);

impl Destination {
    /// From what a SOCKS client says.
    pub fn named(name: &[u8], port: u16) -> Result<Self, DestinationError> {
        let wrong =
            || DestinationError(String::from_utf8_lossy(&name[..name.len().min(NAME_MAX)]).into_owned());
        let text = std::str::from_utf8(name).map_err(|_| wrong())?;
        if let Ok(ip) = text.parse() {
            return Ok(Self { host: Host::Ip(ip), port });
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > NAME_MAX || !text.bytes().all(fits) || text.starts_with(['.', '-'])
        {
            return Err(wrong());
        }
        Ok(Self { host: Host::Name(text.to_ascii_lowercase()), port })
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let wrong = || DestinationError(text.chars().take(NAME_MAX).collect());
        if let Ok(address) = text.parse::<std::net::SocketAddr>() {
            return Ok(Self { host: Host::Ip(address.ip()), port: address.port() });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        Self::named(host.as_bytes(), port)
            .ok()
            .filter(|found| matches!(found.host, Host::Name(_)))
            .ok_or_else(wrong)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Ip(ip) => std::net::SocketAddr::new(*ip, self.port).fmt(f),
        }
    }
}

/// A rule of what is allowed: `HOST`, `*.HOST`, `ADDRESS` or `ADDRESS/LENGTH`, and `:PORT` behind it for that port alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    what: What,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Name(String),
    /// What ends in this, dot and all.
    Below(String),
    Net(IpAddr, u8),
}

/// What is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no HOST, *.HOST, ADDRESS or ADDRESS/LENGTH, with or without :PORT")]
pub struct AllowError(String);

impl Allow {
    /// May one go to the name?
    pub fn allows_name(&self, name: &str, port: u16) -> bool {
        let same = match &self.what {
            What::Name(known) => known == name,
            What::Below(end) => name.ends_with(end.as_str()),
            What::Net(..) => false,
        };
        same && self.port.is_none_or(|only| only == port)
    }

    /// May one go to the address?
    pub fn allows_ip(&self, ip: IpAddr, port: u16) -> bool {
        let What::Net(net, length) = &self.what else { return false };
        bits(*net, *length) == bits(ip.to_canonical(), *length) && self.port.is_none_or(|only| only == port)
    }
}

/// The first bits of an address, and how long it is.
fn bits(ip: IpAddr, length: u8) -> (u32, u128) {
    let (width, number) = match ip {
        IpAddr::V4(ip) => (32, u128::from(ip.to_bits())),
        IpAddr::V6(ip) => (128, ip.to_bits()),
    };
    (width, number.checked_shr(width.saturating_sub(u32::from(length))).unwrap_or(0))
}

impl FromStr for Allow {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        let wrong = || AllowError(text.to_owned());
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self { what: net(ip, None).ok_or_else(wrong)?, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| wrong())?))
            }
            _ => (text, None),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let (address, length) = match host.split_once('/') {
            Some((address, length)) => (address, Some(length.parse().map_err(|_| wrong())?)),
            None => (host, None),
        };
        let what = match (address.parse::<IpAddr>(), host.strip_prefix("*.")) {
            (Ok(ip), _) => net(ip, length).ok_or_else(wrong)?,
            (Err(_), Some(end)) => {
                let Host::Name(end) = Destination::named(end.as_bytes(), 0).map_err(|_| wrong())?.host else {
                    return Err(wrong());
                };
                What::Below(format!(".{end}"))
            }
            (Err(_), None) => match Destination::named(host.as_bytes(), 0).map_err(|_| wrong())?.host {
                Host::Name(name) => What::Name(name),
                Host::Ip(_) => return Err(wrong()),
            },
        };
        Ok(Self { what, port })
    }
}

fn net(ip: IpAddr, length: Option<u8>) -> Option<What> {
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(most);
    (length <= most).then_some(What::Net(ip, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_read_back() {
        for text in ["example.org:80", "192.0.2.1:443", "[2001:db8::1]:8080", "a_b.c-d:1"] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for text in
            ["", ":80", "example.org", "a b:80", "a:99999", "-a:1", "::1:80:", "a/../b:80", "\u{e9}:80"]
        {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }

    #[test]
    fn rules_allow_what_they_say() {
        let allow = |rule: &str, to: &str| {
            let (rule, to): (Allow, Destination) = (rule.parse().unwrap(), to.parse().unwrap());
            match &to.host {
                Host::Name(name) => rule.allows_name(name, to.port),
                Host::Ip(ip) => rule.allows_ip(*ip, to.port),
            }
        };
        for (rule, yes, no) in [
            ("example.org", "example.org:1", "www.example.org:1"),
            ("Example.org:80", "EXAMPLE.org:80", "example.org:81"),
            ("*.example.org:80", "www.example.org:80", "example.org:80"),
            ("*.example.org", "a.b.example.org:9", "badexample.org:9"),
            ("10.0.0.0/8", "10.9.8.7:1", "11.0.0.1:1"),
            ("10.0.0.1", "10.0.0.1:7", "10.0.0.2:7"),
            ("10.0.0.0/8:22", "10.0.0.1:22", "10.0.0.1:23"),
            ("2001:db8::/32", "[2001:db8:1::1]:80", "[2001:db9::1]:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80", "[2001:db8::1]:81"),
            ("0.0.0.0/0", "1.2.3.4:80", "[::1]:80"),
        ] {
            assert!(allow(rule, yes), "{rule} allows {yes}");
            assert!(!allow(rule, no), "{rule} does not allow {no}");
        }
        for rule in ["", "10.0.0.0/33", "a b", "*.", "x:y", "10.0.0.0/x", "*.10.0.0.1"] {
            assert!(rule.parse::<Allow>().is_err(), "{rule}");
        }
    }
}
