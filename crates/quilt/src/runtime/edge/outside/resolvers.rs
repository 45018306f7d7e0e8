//! The machine's resolvers, as `resolv.conf(5)` names them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::SystemTime;

const FILE: &str = "/etc/resolv.conf";
/// Resolvers that are asked, one after the other (MAXNS of resolv.h).
const RESOLVERS_MAX: usize = 3;
/// Bytes of the file that are read.
const BYTES_MAX: u64 = 64 << 10;

/// What the file said when it was last changed: machines move between networks.
#[derive(Debug, Default)]
pub(super) struct Resolvers {
    read_at: Option<SystemTime>,
    list: Vec<SocketAddr>,
}

impl Resolvers {
    /// Those of the moment; at least one.
    pub(super) fn now(&mut self) -> Vec<SocketAddr> {
        let changed = std::fs::metadata(FILE).and_then(|about| about.modified()).ok();
        if self.list.is_empty() || changed != self.read_at {
            self.list = parse(&text());
            self.read_at = changed;
        }
        self.list.clone()
    }
}

fn text() -> String {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(FILE).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The addresses of a file; without any, the one of this machine, as in the C library.
fn parse(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then_some(())?;
        words.next()?.parse::<IpAddr>().ok()
    };
    let mut list: Vec<_> = text
        .lines()
        .filter_map(server)
        .take(RESOLVERS_MAX)
        .map(|ip| SocketAddr::new(ip, super::names::PORT))
        .collect();
    if list.is_empty() {
        list.push((Ipv4Addr::LOCALHOST, super::names::PORT).into());
    }
    list
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn name_servers_are_found_among_other_lines() {
        let text = "# made by hand\nsearch example.org\nnameserver 192.0.2.1\n nameserver\t2001:db8::53 # two\n\
                    nameserver\nnameserver x\noptions edns0\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        let found: Vec<_> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::53]:53", "192.0.2.3:53"]);
        assert_eq!(parse("")[0].to_string(), "127.0.0.1:53");
    }
}
