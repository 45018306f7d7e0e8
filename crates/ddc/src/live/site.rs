//! The network file.
//!
//! ```text
//! # two routers with hosts, one between them
//! router R1 10.1.0.1/24 fd00:1::1/64
//! router R2 10.2.0.1/24
//! router R3
//! link R1 R3
//! link R3 R2 cost 2
//! hello 20ms dead 100ms
//! heartbeat 500ms
//! mtu 1500
//! ```

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use topology::{LinkSpec, NodeId, NodeSpec, Topology, Weight, paths};

use crate::map::{COST_MAX, FAR, Map, MapError};

/// The longest network file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// The most routers of a network.
pub const ROUTERS_MAX: usize = 256;
/// The most links of a router.
pub const PORTS_MAX: usize = 64;
/// The least that the MTU may be (RFC 8200 §5).
pub const MTU_MIN: u16 = 1280;
/// The most, so that frames fit the buffers of ports.
pub const MTU_MAX: u16 = 1900;
/// The most addresses of a router.
const ADDRESSES_MAX: usize = 16;
/// The longest name of a router: it becomes that of interfaces and namespaces.
const NAME_BYTES_MAX: usize = 12;
const TIME_NS_MAX: u64 = 600_000_000_000;
const MILLISECOND_NS: u64 = 1_000_000;

/// A line that is wrong, and what is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct SiteError {
    /// The line, counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file is too long.
    #[error("the file has {0} bytes (at most {FILE_BYTES_MAX})")]
    Long(usize),
    /// A word that means nothing here.
    #[error("`{0}`: router, link, hello, heartbeat or mtu is wanted")]
    Word(String),
    /// Something is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Not a name.
    #[error("`{0}`: a name has 1 to {NAME_BYTES_MAX} letters, digits, `-` or `_`, and is not `host` or `lo`")]
    Name(String),
    /// A name that no line before it gives to a router.
    #[error("there is no router `{0}`; routers come before their links")]
    NoRouter(String),
    /// Two of a kind.
    #[error("`{0}` is there already")]
    Twice(String),
    /// A link from a router to itself.
    #[error("a link of `{0}` to itself")]
    Loop(String),
    /// Not an address with the length of its prefix.
    #[error("`{0}` is no address with a prefix length, such as 10.1.0.1/24 or fd00:1::1/64")]
    Address(String),
    /// Not a time.
    #[error("`{0}` is no time from 1ms to 600s, such as 20ms or 1s")]
    Time(String),
    /// The link would be given up between two hellos.
    #[error(
        "a link that is dead after {dead_ms} ms needs hellos of at most a third of it, not every {hello_ms} ms"
    )]
    Dead {
        /// Time between two hellos.
        hello_ms: u64,
        /// Time after which a silent link is given up.
        dead_ms: u64,
    },
    /// Not a number in its range.
    #[error("`{text}`: a number from {least} to {most} is wanted")]
    Number {
        /// What was there.
        text: String,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// Too many of something.
    #[error("more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most.
        most: usize,
    },
    /// No way leads to a router.
    #[error("no way leads from `{0}` to `{1}`")]
    Disconnected(String, String),
    /// It makes no map.
    #[error(transparent)]
    Map(#[from] MapError),
}

/// Times of a network, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Between two hellos.
    pub hello_ns: u64,
    /// After which a silent link is given up.
    pub dead_ns: u64,
    /// Between two heartbeats of a destination.
    pub heartbeat_ns: u64,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            hello_ns: 20 * MILLISECOND_NS,
            dead_ns: 100 * MILLISECOND_NS,
            heartbeat_ns: 500 * MILLISECOND_NS,
        }
    }
}

/// A router of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its addresses, with the length of the prefix that is attached to it.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// A network.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its routers, as the map numbers them.
    pub routers: Vec<Member>,
    /// Who is linked to whom.
    pub map: Arc<Map>,
    /// Its times.
    pub timers: Timers,
    /// The largest IP packet, in bytes, on every link of a router.
    pub mtu: u16,
    /// What routers compare to know that they were given the same network: FNV-1a of routers and links.
    pub digest: u32,
}

impl Site {
    /// Reads a network file.
    ///
    /// # Errors
    /// The first line at fault.
    pub fn parse(text: &str) -> Result<Self, SiteError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(SiteError { line: 0, problem: Problem::Long(text.len()) });
        }
        let mut reader = Reader::default();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.split('#').next().unwrap_or_default();
            reader.line(line, text).map_err(|problem| SiteError { line, problem })?;
        }
        reader.finish()
    }

    /// The number of a router.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.routers.iter().position(|router| router.name == name)
    }
}

#[derive(Default)]
struct Reader {
    topology: Topology,
    routers: Vec<Member>,
    nodes: HashMap<String, (NodeId, usize, usize)>,
    links: Vec<(String, String)>,
    prefixes: HashMap<(IpAddr, u8), ()>,
    timers: Timers,
    mtu: Option<u16>,
    said: String,
}

impl Reader {
    fn line(&mut self, line: usize, text: &str) -> Result<(), Problem> {
        let mut words = text.split_whitespace();
        let Some(first) = words.next() else { return Ok(()) };
        match first {
            "router" => self.router(line, words),
            "link" => self.link(words),
            "hello" => self.hello(words),
            "heartbeat" => {
                self.timers.heartbeat_ns = time(words.next().ok_or(Problem::Missing("a time"))?)?;
                end(words)
            }
            "mtu" => {
                let word = words.next().ok_or(Problem::Missing("a number of bytes"))?;
                self.mtu = Some(number(word, MTU_MIN.into(), MTU_MAX.into())? as u16);
                end(words)
            }
            other => Err(Problem::Word(short(other))),
        }
    }

    fn router<'a>(&mut self, line: usize, mut words: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
        let name = words.next().ok_or(Problem::Missing("a name"))?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) || ["host", "lo"].contains(&name) {
            return Err(Problem::Name(short(name)));
        }
        if self.routers.len() >= ROUTERS_MAX {
            return Err(Problem::TooMany { what: "routers", most: ROUTERS_MAX });
        }
        let mut addresses = Vec::new();
        for word in words {
            let (address, length) = address(word).ok_or_else(|| Problem::Address(short(word)))?;
            if self.prefixes.insert((prefix(address, length), length), ()).is_some() {
                return Err(Problem::Twice(format!("{}/{length}", prefix(address, length))));
            }
            if addresses.len() >= ADDRESSES_MAX {
                return Err(Problem::TooMany { what: "addresses of a router", most: ADDRESSES_MAX });
            }
            addresses.push((address, length));
        }
        let node = self.topology.add_node(NodeSpec::switch(name));
        let node = node.map_err(|_| Problem::Twice(short(name)))?;
        self.nodes.insert(name.to_owned(), (node, 0, line));
        self.said += &format!("router {name} {addresses:?}\n");
        self.routers.push(Member { name: name.to_owned(), addresses });
        Ok(())
    }

    fn link<'a>(&mut self, mut words: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
        let mut ends = Vec::new();
        for _ in 0..2 {
            let name = words.next().ok_or(Problem::Missing("the name of a router"))?;
            let (node, links, _) = self.nodes.get_mut(name).ok_or_else(|| Problem::NoRouter(short(name)))?;
            *links += 1;
            if *links > PORTS_MAX {
                return Err(Problem::TooMany { what: "links of a router", most: PORTS_MAX });
            }
            ends.push((name.to_owned(), *node));
        }
        let cost = match words.next() {
            None => 1,
            Some("cost") => number(words.next().ok_or(Problem::Missing("a cost"))?, 1, COST_MAX)?,
            Some(other) => return Err(Problem::Word(short(other))),
        };
        let [(a, from), (b, to)] = &ends[..] else { return Err(Problem::Missing("a router")) };
        if a == b {
            return Err(Problem::Loop(a.clone()));
        }
        let pair = if a < b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) };
        if self.links.contains(&pair) {
            return Err(Problem::Twice(format!("link {a} {b}")));
        }
        self.links.push(pair);
        self.said += &format!("link {a} {b} {cost}\n");
        let weight = Weight::new(cost as u32).unwrap_or_default();
        let added = self.topology.add_link(*from, *to, LinkSpec::default().weight(weight));
        added.map(drop).map_err(|error| Problem::Word(error.to_string()))?;
        end(words)
    }

    fn hello<'a>(&mut self, mut words: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
        let hello_ns = time(words.next().ok_or(Problem::Missing("a time"))?)?;
        if words.next() != Some("dead") {
            return Err(Problem::Missing("`dead` and a time"));
        }
        let dead_ns = time(words.next().ok_or(Problem::Missing("a time"))?)?;
        if hello_ns * 3 > dead_ns {
            let ms = |ns| ns / MILLISECOND_NS;
            return Err(Problem::Dead { hello_ms: ms(hello_ns), dead_ms: ms(dead_ns) });
        }
        (self.timers.hello_ns, self.timers.dead_ns) = (hello_ns, dead_ns);
        end(words)
    }

    fn finish(self) -> Result<Site, SiteError> {
        let whole = |problem: MapError| SiteError { line: 0, problem: problem.into() };
        let map = Map::new(&self.topology, paths::by_weight).map_err(whole)?;
        let distances = map.distances(0, |_| true);
        if let Some(lost) = distances.iter().position(|distance| *distance == FAR) {
            let [first, lost] = [0, lost].map(|router| self.routers[router].name.clone());
            let line = self.nodes.get(&lost).map_or(0, |(_, _, line)| *line);
            return Err(SiteError { line, problem: Problem::Disconnected(first, lost) });
        }
        let digest = self
            .said
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Ok(Site {
            routers: self.routers,
            map: Arc::new(map),
            timers: self.timers,
            mtu: self.mtu.unwrap_or(1500),
            digest,
        })
    }
}

fn end<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
    words.next().map_or(Ok(()), |word| Err(Problem::Word(short(word))))
}

fn short(word: &str) -> String {
    word.chars().take(60).collect()
}

fn number(text: &str, least: u64, most: u64) -> Result<u64, Problem> {
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let value = digits.and_then(|text| text.parse().ok()).filter(|value| (least..=most).contains(value));
    value.ok_or_else(|| Problem::Number { text: short(text), least, most })
}

fn time(text: &str) -> Result<u64, Problem> {
    let wrong = || Problem::Time(short(text));
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
    let (value, unit) = text.split_at(unit_at);
    let unit_ns = match unit {
        "ms" => MILLISECOND_NS,
        "s" => 1000 * MILLISECOND_NS,
        _ => return Err(wrong()),
    };
    let value: u64 = value.parse().map_err(|_| wrong())?;
    let time_ns = value.checked_mul(unit_ns);
    time_ns.filter(|ns| (MILLISECOND_NS..=TIME_NS_MAX).contains(ns)).ok_or_else(wrong)
}

fn address(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    Some((address, number(length, 0, most).ok()? as u8))
}

/// The first address of a prefix.
fn prefix(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read() {
        let text = "# comment\nrouter R1 10.1.0.1/24 fd00:1::1/64\nrouter R2\nlink R1 R2 cost 7 # fast\n\
                    hello 10ms dead 1s\nheartbeat 2s\nmtu 1400\n";
        let site = Site::parse(text).unwrap();
        assert_eq!(site.routers[0].addresses[0], ("10.1.0.1".parse().unwrap(), 24));
        assert_eq!((site.find("R2"), site.find("R3")), (Some(1), None));
        assert_eq!((site.mtu, site.map.ports(0)[0].cost), (1400, 7));
        let timers = Timers { hello_ns: 10_000_000, dead_ns: 1_000_000_000, heartbeat_ns: 2_000_000_000 };
        assert_eq!(site.timers, timers);
        let other = Site::parse(&text.replace("cost 7", "cost 8")).unwrap();
        assert_ne!(site.digest, other.digest);
        assert_eq!(site.digest, Site::parse(&text.replace("1400", "1500")).unwrap().digest);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let two = "router A\nrouter B\nlink A B\n";
        for (text, line, says) in [
            ("rooter A", 1, "`rooter`"),
            ("router A\nrouter A", 2, "`A` is there already"),
            ("router host", 1, "is not `host`"),
            ("router a_name_too_long", 1, "a name has"),
            ("router A 10.0.0.1/33", 1, "no address"),
            ("router A 10.0.0.1/24\nrouter B 10.0.0.2/24", 2, "`10.0.0.0/24` is there already"),
            ("router A\nlink A C", 2, "no router `C`"),
            ("router A\nlink A A", 2, "to itself"),
            ("router A\nrouter B\nlink A B\nlink B A", 4, "`link B A` is there already"),
            ("router A\nrouter B\nlink A B cost 0", 3, "a number from 1"),
            ("router A\nrouter B\nlink A B cost -1", 3, "`-1`"),
            ("router A\nrouter B\nlink A", 3, "missing"),
            ("router A\nrouter B\nrouter C\nlink A B", 3, "no way leads from `A` to `C`"),
            ("router A", 0, "two"),
            (&format!("{two}hello 20ms dead 50ms"), 4, "at most a third"),
            (&format!("{two}hello 20ms"), 4, "dead"),
            (&format!("{two}heartbeat 20"), 4, "no time"),
            (&format!("{two}heartbeat 601s"), 4, "no time"),
            (&format!("{two}mtu 576"), 4, "1280"),
            (&format!("{two}mtu 1500 bytes"), 4, "`bytes`"),
        ] {
            let error = Site::parse(text).unwrap_err();
            assert!(error.line == line && error.to_string().contains(says), "{text}: {error}");
        }
    }
}
