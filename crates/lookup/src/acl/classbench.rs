//! Rule sets and traces as ClassBench makes them, from a seed: for tests and measurements.
//!
//! Taylor and Turner, "ClassBench: A Packet Classification Benchmark" (INFOCOM 2005), describe real filter sets by the
//! pairs of prefix lengths, the classes of port ranges (WC any, HI 1024 and above, LO below, EM one, AR other), the
//! protocols, and how often prefixes share their beginnings; and draw synthetic ones from that. Here the description is
//! cut down to one table a [`Flavour`], after the sets generated from ClassBench's acl, fw and ipc seeds.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use packet::flow::{FlowKey, Tuple};
use packet::wire::IpProtocol;

use super::rule::{Networks, Prefix, ProtocolMatch, Rule};

/// Times that a rule is drawn anew because the set has it already; then the set has it twice.
const DRAWS_MAX: usize = 64;
/// Packets of one burst of a trace.
const BURST_MAX: usize = 1000;

/// What kind of filter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Access control lists: long prefixes on both sides, one destination port.
    Acl,
    /// Firewalls: most rules leave one side open.
    Fw,
    /// IP chains: in between.
    Ipc,
}

impl Flavour {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Acl, Self::Fw, Self::Ipc];

    /// What ClassBench calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acl => "acl",
            Self::Fw => "fw",
            Self::Ipc => "ipc",
        }
    }

    const fn recipe(self) -> &'static Recipe {
        match self {
            Self::Acl => &ACL,
            Self::Fw => &FW,
            Self::Ipc => &IPC,
        }
    }
}

/// The family of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6: the prefixes stretched to their IPv6 counterparts, hosts to /128 and sites to /48.
    V6,
}

/// A class of port ranges.
#[derive(Clone, Copy)]
enum Ports {
    Any,
    High,
    Low,
    Range,
    One,
}

/// A description of filter sets; weights are relative.
struct Recipe {
    /// Weight, length of the source prefix, of the destination prefix.
    lengths: &'static [(u32, u8, u8)],
    /// Weight, class of source ports, of destination ports.
    ports: &'static [(u32, Ports, Ports)],
    /// Weight, protocol; 0 is any.
    protocols: &'static [(u32, u8)],
    /// How many children a prefix has: source, destination.
    branches: [u64; 2],
}

static ACL: Recipe = Recipe {
    lengths: &[
        (31, 32, 32),
        (16, 24, 32),
        (8, 28, 32),
        (6, 16, 32),
        (5, 32, 24),
        (4, 24, 28),
        (4, 24, 0),
        (3, 28, 24),
        (3, 24, 8),
        (3, 8, 32),
        (2, 28, 28),
        (2, 32, 28),
        (2, 16, 28),
        (2, 0, 32),
        (1, 24, 24),
        (1, 16, 8),
        (1, 27, 30),
        (1, 0, 24),
        (1, 30, 21),
    ],
    ports: &[
        (670, Ports::Any, Ports::One),
        (150, Ports::Any, Ports::Any),
        (112, Ports::Any, Ports::Range),
        (66, Ports::Any, Ports::High),
        (1, Ports::One, Ports::High),
        (1, Ports::Any, Ports::Low),
    ],
    protocols: &[(730, 6), (179, 17), (55, 0), (36, 1), (1, 47)],
    branches: [9, 9],
};

static FW: Recipe = Recipe {
    lengths: &[
        (320, 0, 32),
        (210, 8, 32),
        (100, 32, 0),
        (70, 0, 28),
        (70, 32, 8),
        (30, 28, 0),
        (30, 24, 0),
        (20, 8, 0),
        (20, 32, 32),
        (10, 24, 8),
        (10, 16, 0),
        (10, 32, 24),
        (10, 0, 8),
        (10, 8, 28),
        (6, 0, 0),
        (10, 24, 32),
    ],
    ports: &[
        (606, Ports::Any, Ports::One),
        (152, Ports::Any, Ports::Any),
        (140, Ports::One, Ports::Any),
        (45, Ports::High, Ports::High),
        (25, Ports::One, Ports::One),
        (16, Ports::High, Ports::One),
        (11, Ports::One, Ports::High),
        (2, Ports::Any, Ports::Range),
        (1, Ports::High, Ports::Range),
    ],
    protocols: &[(555, 6), (366, 17), (49, 1), (16, 47), (14, 0)],
    branches: [64, 64],
};

static IPC: Recipe = Recipe {
    lengths: &[
        (19, 24, 24),
        (14, 32, 32),
        (13, 24, 32),
        (7, 32, 24),
        (5, 24, 16),
        (4, 24, 28),
        (4, 16, 24),
        (4, 24, 0),
        (3, 0, 32),
        (3, 0, 24),
        (3, 28, 24),
        (3, 8, 32),
        (2, 8, 24),
        (2, 24, 8),
        (2, 16, 32),
        (1, 28, 32),
    ],
    ports: &[
        (369, Ports::Any, Ports::Any),
        (357, Ports::Any, Ports::One),
        (165, Ports::One, Ports::Any),
        (60, Ports::Any, Ports::High),
        (24, Ports::Any, Ports::Range),
        (18, Ports::Range, Ports::Any),
        (3, Ports::One, Ports::One),
        (3, Ports::High, Ports::Any),
        (1, Ports::One, Ports::Range),
    ],
    protocols: &[(381, 17), (328, 0), (275, 6), (11, 1), (3, 47), (1, 51), (1, 50)],
    branches: [10, 12],
};

/// Ports that single-port rules name, the frequent ones first.
static SINGLES: [u16; 32] = [
    80, 53, 25, 514, 1521, 22, 123, 443, 69, 3106, 21, 1433, 161, 110, 23, 750, 9003, 137, 8080, 2049, 389,
    5540, 6000, 7648, 1705, 5631, 143, 119, 179, 513, 20, 10080,
];

/// Other ranges.
static RANGES: [(u16, u16); 10] = [
    (20, 21),
    (137, 138),
    (2010, 2011),
    (4011, 4014),
    (33434, 33600),
    (109, 110),
    (20, 23),
    (1645, 1646),
    (40000, 65535),
    (6000, 6063),
];

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// From 0 to below 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn weighted<T: Copy>(&mut self, table: &[T], weight: fn(&T) -> u32) -> T {
        let total: u32 = table.iter().map(weight).sum();
        let mut left = self.below(total.into()) as u32;
        for entry in table {
            match left.checked_sub(weight(entry)) {
                Some(rest) => left = rest,
                None => return *entry,
            }
        }
        table[table.len() - 1]
    }

    /// Small numbers more often than large ones.
    fn skewed(&mut self, bound: u64) -> u64 {
        let fraction = self.fraction();
        (bound as f64 * fraction * fraction) as u64
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// `count` rules, the most specific first, without duplicates as far as the flavour has so many. Equal arguments give
/// equal rules.
#[must_use]
pub fn rules(flavour: Flavour, version: Version, count: usize, seed: u64) -> Vec<Rule> {
    let mut random = Random(mix(seed));
    let mut there = std::collections::HashSet::new();
    let mut rules = Vec::with_capacity(count);
    for _ in 0..count {
        let mut rule = draw(flavour.recipe(), version, &mut random, seed);
        for _ in 0..DRAWS_MAX {
            if there.insert(rule.clone()) {
                break;
            }
            rule = draw(flavour.recipe(), version, &mut random, seed);
        }
        rules.push(rule);
    }
    let specific = |rule: &Rule| match rule.networks {
        Networks::Any => 0,
        Networks::V4 { source, destination } => u16::from(source.length()) + u16::from(destination.length()),
        Networks::V6 { source, destination } => u16::from(source.length()) + u16::from(destination.length()),
    };
    rules.sort_by_key(|rule| std::cmp::Reverse(specific(rule)));
    rules
}

fn draw(recipe: &Recipe, version: Version, random: &mut Random, seed: u64) -> Rule {
    let (_, source, destination) = random.weighted(recipe.lengths, |entry| entry.0);
    let [source, destination] = [source, destination].map(|length| near(length, random));
    let from = address(random, source, recipe.branches[0], mix(seed ^ 1));
    let to = address(random, destination, recipe.branches[1], mix(seed ^ 2));
    let networks = match version {
        Version::V4 => Networks::V4 { source: v4(from, source), destination: v4(to, destination) },
        Version::V6 => Networks::V6 { source: v6(from, source), destination: v6(to, destination) },
    };
    let (_, source_ports, destination_ports) = random.weighted(recipe.ports, |entry| entry.0);
    let (_, protocol) = random.weighted(recipe.protocols, |entry| entry.0);
    let has_ports = matches!(protocol, 6 | 17);
    let mut range = |class| if has_ports { ports(class, random) } else { 0..=u16::MAX };
    Rule {
        networks,
        source_ports: range(source_ports),
        destination_ports: range(destination_ports),
        protocol: match protocol {
            0 => ProtocolMatch::ANY,
            protocol => ProtocolMatch::exactly(IpProtocol(protocol)),
        },
    }
}

/// A table has the frequent lengths; a fifth of the prefixes is up to three bits shorter, so that there are about as many
/// pairs of lengths as in ClassBench's sets.
fn near(length: u8, random: &mut Random) -> u8 {
    if length > 3 && random.below(5) == 0 { length - 1 - random.below(3) as u8 } else { length }
}

/// An address out of a tree in which every node has `branches` children, one for each further byte, and some of them
/// are walked more often; so prefixes nest and repeat.
fn address(random: &mut Random, length: u8, branches: u64, tree: u64) -> u32 {
    let (mut node, mut address) = (tree, 0);
    for byte in 0..u32::from(length).div_ceil(8) {
        node = mix(node ^ random.skewed(branches).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        address |= (node as u32 & 0xff) << (24 - 8 * byte);
    }
    address
}

fn v4(address: u32, length: u8) -> Prefix<Ipv4Addr> {
    Prefix::<Ipv4Addr>::new(Ipv4Addr::from_bits(address), length.min(32)).unwrap_or(Prefix::<Ipv4Addr>::ANY)
}

/// The IPv4 prefix below 2000::/3: /8 becomes /32, /16 /48, /24 /64, and /32 /128.
fn v6(address: u32, length: u8) -> Prefix<Ipv6Addr> {
    let [a, b, c, d] = address.to_be_bytes().map(u128::from);
    let spread =
        0x2001 << 112 | (0x400 + a) << 96 | b << 80 | c << 64 | u128::from(mix(d as u64)) & !0xff | d;
    let stretched = match length {
        0 => 0,
        1..=24 => 24 + length + length.saturating_sub(8),
        25.. => 96 + length.min(32),
    };
    Prefix::<Ipv6Addr>::new(Ipv6Addr::from_bits(spread), stretched).unwrap_or(Prefix::<Ipv6Addr>::ANY)
}

fn ports(class: Ports, random: &mut Random) -> RangeInclusive<u16> {
    match class {
        Ports::Any => 0..=u16::MAX,
        Ports::High => 1024..=u16::MAX,
        Ports::Low => 0..=1023,
        Ports::Range => {
            let (first, last) = RANGES[random.skewed(RANGES.len() as u64) as usize];
            first..=last
        }
        Ports::One if random.below(12) == 0 => {
            let port = 1024 + random.skewed(1024) as u16;
            port..=port
        }
        Ports::One => {
            let port = SINGLES[random.skewed(SINGLES.len() as u64) as usize];
            port..=port
        }
    }
}

/// `count` packets for `rules`: of 16 bursts, 15 lie in a rule drawn at random, and one anywhere. A burst is one packet
/// repeated so often as a Pareto distribution says (shape 1, scale `scale`, as ClassBench's trace generator has it):
/// the larger the scale, the more a trace repeats itself.
#[must_use]
pub fn trace(rules: &[Rule], count: usize, scale: f64, seed: u64) -> Vec<FlowKey> {
    let mut random = Random(mix(!seed));
    let mut packets = Vec::with_capacity(count);
    while packets.len() < count {
        let inside = !rules.is_empty() && random.below(16) > 0;
        let rule = if inside { &rules[random.below(rules.len() as u64) as usize] } else { &Rule::ANY };
        let v6 = rules.first().is_some_and(|rule| matches!(rule.networks, Networks::V6 { .. }));
        let packet = within(rule, v6, &mut random);
        let repeats = (scale / (1.0 - random.fraction())) as usize;
        packets.extend(std::iter::repeat_n(packet, repeats.clamp(1, BURST_MAX).min(count - packets.len())));
    }
    packets
}

/// A packet that `rule` matches, half of the time at the bounds of its ranges.
fn within(rule: &Rule, v6: bool, random: &mut Random) -> FlowKey {
    let corner = random.below(2) == 0;
    let mut pick = |first: u128, last: u128| match (corner, random.next()) {
        (true, bits) => {
            if bits & 1 == 0 {
                first
            } else {
                last
            }
        }
        (false, bits) => {
            let wide = u128::from(bits) << 64 | u128::from(random.next());
            (last - first).checked_add(1).map_or(wide, |span| first + wide % span)
        }
    };
    let ports = [&rule.source_ports, &rule.destination_ports]
        .map(|range| pick((*range.start()).into(), (*range.end()).into()) as u16);
    let four = rule.networks.v4_bounds().filter(|_| !v6);
    let six = rule.networks.v6_bounds();
    let ((from, from_last), (to, to_last)) = four.or(six).unwrap_or(((0, 0), (0, 0)));
    let (source, destination) = (pick(from, from_last), pick(to, to_last));
    let free = pick(0, u128::from(!rule.protocol.mask())) as u8 & !rule.protocol.mask();
    let protocol = IpProtocol(if rule.protocol.mask() == 0 {
        [6, 17, 1, free][usize::from(free) % 4]
    } else {
        rule.protocol.value() | free
    });
    let [source_port, destination_port] = ports;
    if four.is_some() {
        let (source, destination) =
            (Ipv4Addr::from_bits(source as u32), Ipv4Addr::from_bits(destination as u32));
        FlowKey::V4(Tuple { source, destination, source_port, destination_port, protocol })
    } else {
        let (source, destination) = (Ipv6Addr::from_bits(source), Ipv6Addr::from_bits(destination));
        FlowKey::V6(Tuple { source, destination, source_port, destination_port, protocol })
    }
}
