//! Flow keys: the 5-tuple of a packet, and a keyed hash of it.
//!
//! The hash is SipHash-1-3 (Aumasson and Bernstein, 2012), the function of Rust's own maps, under a 128-bit key which the
//! caller draws at random once per process. Those who send the packets choose the tuples, so anything weaker would let
//! them aim at one bucket or one worker.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::parse::{Layers, Network};
use crate::wire::{IpProtocol, be16, icmpv4, icmpv6, span};

/// A 5-tuple. 13 bytes of content for IPv4, 37 for IPv6.
///
/// For echo requests and replies both ports are the echo's identifier, so that the reply's key is the request's
/// [`reversed`](FlowKey::reversed). For protocols without ports both are 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowKey {
    /// IPv4.
    V4(Tuple<Ipv4Addr>),
    /// IPv6.
    V6(Tuple<Ipv6Addr>),
}

/// Addresses, ports and protocol of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple<A> {
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Protocol.
    pub protocol: IpProtocol,
}

impl<A: Ord> Tuple<A> {
    fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
        }
    }

    fn is_ordered(&self) -> bool {
        (&self.source, self.source_port) <= (&self.destination, self.destination_port)
    }
}

impl FlowKey {
    /// A key from its parts; `None` where the addresses' families differ.
    #[must_use]
    pub const fn new(protocol: IpProtocol, source: SocketAddr, destination: SocketAddr) -> Option<Self> {
        let (source_port, destination_port) = (source.port(), destination.port());
        match (source, destination) {
            (SocketAddr::V4(s), SocketAddr::V4(d)) => Some(Self::V4(Tuple {
                source: *s.ip(),
                destination: *d.ip(),
                source_port,
                destination_port,
                protocol,
            })),
            (SocketAddr::V6(s), SocketAddr::V6(d)) => Some(Self::V6(Tuple {
                source: *s.ip(),
                destination: *d.ip(),
                source_port,
                destination_port,
                protocol,
            })),
            _ => None,
        }
    }

    /// The key of a packet; `frame` is what `layers` was read from. `None` where the packet is not IP, and for fragments
    /// that are not the first: they carry no ports, and a key that pretends otherwise would belong to no flow. Their
    /// 3-tuple is [`FlowKey::hosts`].
    #[inline]
    #[must_use]
    pub fn of(layers: &Layers, frame: &[u8]) -> Option<Self> {
        if layers.fragment.is_some_and(|fragment| fragment.offset > 0) {
            return None;
        }
        let ports = layers.l4.map_or((0, 0), |l4| ports(layers, span(frame, l4, layers.end)));
        Self::with_ports(layers, frame, ports)
    }

    /// Addresses and protocol with ports 0: what all fragments of a packet share. `None` where the packet is not IP.
    #[must_use]
    pub fn hosts(layers: &Layers, frame: &[u8]) -> Option<Self> {
        Self::with_ports(layers, frame, (0, 0))
    }

    #[inline]
    fn with_ports(layers: &Layers, frame: &[u8], ports: (u16, u16)) -> Option<Self> {
        let protocol = layers.protocol;
        let (source_port, destination_port) = ports;
        match layers.addresses(frame)? {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Some(Self::V4(Tuple { source, destination, source_port, destination_port, protocol }))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Some(Self::V6(Tuple { source, destination, source_port, destination_port, protocol }))
            }
            _ => None,
        }
    }

    /// The key of the packets that come back.
    #[inline]
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::V4(tuple) => Self::V4(tuple.reversed()),
            Self::V6(tuple) => Self::V6(tuple.reversed()),
        }
    }

    /// One key for both directions: the smaller end first.
    #[inline]
    #[must_use]
    pub fn symmetric(self) -> Self {
        let ordered = match &self {
            Self::V4(tuple) => tuple.is_ordered(),
            Self::V6(tuple) => tuple.is_ordered(),
        };
        if ordered { self } else { self.reversed() }
    }

    /// Source address.
    #[inline]
    #[must_use]
    pub const fn source(&self) -> IpAddr {
        match self {
            Self::V4(tuple) => IpAddr::V4(tuple.source),
            Self::V6(tuple) => IpAddr::V6(tuple.source),
        }
    }

    /// Destination address.
    #[inline]
    #[must_use]
    pub const fn destination(&self) -> IpAddr {
        match self {
            Self::V4(tuple) => IpAddr::V4(tuple.destination),
            Self::V6(tuple) => IpAddr::V6(tuple.destination),
        }
    }

    /// Source port.
    #[inline]
    #[must_use]
    pub const fn source_port(&self) -> u16 {
        match self {
            Self::V4(tuple) => tuple.source_port,
            Self::V6(tuple) => tuple.source_port,
        }
    }

    /// Destination port.
    #[inline]
    #[must_use]
    pub const fn destination_port(&self) -> u16 {
        match self {
            Self::V4(tuple) => tuple.destination_port,
            Self::V6(tuple) => tuple.destination_port,
        }
    }

    /// Protocol.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> IpProtocol {
        match self {
            Self::V4(tuple) => tuple.protocol,
            Self::V6(tuple) => tuple.protocol,
        }
    }
}

/// Source and destination port of a segment; its header may be cut behind the ports (a quote).
#[inline]
fn ports(layers: &Layers, segment: &[u8]) -> (u16, u16) {
    match layers.protocol {
        IpProtocol::TCP | IpProtocol::UDP | IpProtocol::SCTP | IpProtocol::UDP_LITE if segment.len() >= 4 => {
            (be16(segment), be16(&segment[2..]))
        }
        IpProtocol::ICMP if layers.network == Network::V4 => icmpv4::View::new_checked(segment)
            .ok()
            .filter(|view| view.kind().is_echo())
            .map_or((0, 0), |view| (view.ident(), view.ident())),
        IpProtocol::ICMPV6 if layers.network == Network::V6 => icmpv6::View::new_checked(segment)
            .ok()
            .filter(|view| view.kind().is_echo())
            .map_or((0, 0), |view| (view.ident(), view.ident())),
        _ => (0, 0),
    }
}

/// Feeds whole words: two for IPv4, five for IPv6.
impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let last = |family: u64, source_port: u16, destination_port: u16, protocol: IpProtocol| {
            family << 40
                | u64::from(protocol.0) << 32
                | u64::from(source_port) << 16
                | u64::from(destination_port)
        };
        match self {
            Self::V4(t) => {
                state.write_u64(u64::from(t.source.to_bits()) << 32 | u64::from(t.destination.to_bits()));
                state.write_u64(last(4, t.source_port, t.destination_port, t.protocol));
            }
            Self::V6(t) => {
                let (source, destination) = (t.source.to_bits(), t.destination.to_bits());
                state.write_u64((source >> 64) as u64);
                state.write_u64(source as u64);
                state.write_u64((destination >> 64) as u64);
                state.write_u64(destination as u64);
                state.write_u64(last(6, t.source_port, t.destination_port, t.protocol));
            }
        }
    }
}

impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol() {
            IpProtocol::ICMPV6 => f.write_str("icmp6")?,
            IpProtocol(number) => match self.protocol().name().filter(|name| !name.contains(' ')) {
                Some(name) => name.chars().try_for_each(|c| write!(f, "{}", c.to_ascii_lowercase()))?,
                None => write!(f, "proto {number}")?,
            },
        }
        let has_ports = matches!(
            self.protocol(),
            IpProtocol::TCP | IpProtocol::UDP | IpProtocol::SCTP | IpProtocol::UDP_LITE
        );
        if has_ports {
            let source = SocketAddr::new(self.source(), self.source_port());
            let destination = SocketAddr::new(self.destination(), self.destination_port());
            return write!(f, " {source} -> {destination}");
        }
        write!(f, " {} -> {}", self.source(), self.destination())?;
        if self.source_port() != 0 { write!(f, " id {}", self.source_port()) } else { Ok(()) }
    }
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A keyed hash of flow keys, and the [`BuildHasher`] for tables of them. Equal seeds give equal hashes.
///
/// ```
/// # use packet::{flow::{FlowHasher, FlowKey}, wire::IpProtocol};
/// let hasher = FlowHasher::new(0x5eed);
/// let key = FlowKey::new(IpProtocol::TCP, "10.0.0.1:40000".parse()?, "10.0.0.2:80".parse()?).unwrap();
/// assert_eq!(key.to_string(), "tcp 10.0.0.1:40000 -> 10.0.0.2:80");
/// assert_ne!(hasher.hash(&key), hasher.hash(&key.reversed()));
/// assert_eq!(hasher.hash(&key.symmetric()), hasher.hash(&key.reversed().symmetric()));
/// let table: std::collections::HashMap<FlowKey, u64, FlowHasher> = std::collections::HashMap::with_hasher(hasher);
/// # drop(table);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy)]
pub struct FlowHasher {
    key: [u64; 2],
}

impl FlowHasher {
    /// A hasher under `key`, which the caller draws at random: who knows it can aim packets at one bucket.
    #[must_use]
    pub const fn new(key: u128) -> Self {
        Self { key: [key as u64, (key >> 64) as u64] }
    }

    /// The hash of `key`.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        self.hash_one(key)
    }
}

/// The key stays out of logs.
impl fmt::Debug for FlowHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowHasher")
    }
}

impl BuildHasher for FlowHasher {
    type Hasher = FlowState;

    #[inline]
    fn build_hasher(&self) -> FlowState {
        let [low, high] = self.key;
        FlowState {
            v: [
                low ^ 0x736f_6d65_7073_6575,
                high ^ 0x646f_7261_6e64_6f6d,
                low ^ 0x6c79_6765_6e65_7261,
                high ^ 0x7465_6462_7974_6573,
            ],
            words: 0,
        }
    }
}

/// SipHash-1-3 over 64-bit words; shorter writes are padded to one, so it is not byte-compatible with the reference
/// unless all input is words.
#[derive(Debug, Clone)]
pub struct FlowState {
    v: [u64; 4],
    words: u64,
}

impl FlowState {
    #[inline]
    fn round(v: &mut [u64; 4]) {
        v[0] = v[0].wrapping_add(v[1]);
        v[2] = v[2].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[1]);
        v[0] = v[0].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].rotate_left(32);
    }

    #[inline]
    fn absorb(v: &mut [u64; 4], word: u64) {
        v[3] ^= word;
        Self::round(v);
        v[0] ^= word;
    }
}

impl Hasher for FlowState {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
        if !bytes.len().is_multiple_of(8) {
            self.write_u64(bytes.len() as u64);
        }
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        Self::absorb(&mut self.v, word);
        self.words = self.words.wrapping_add(1);
    }

    #[inline]
    fn finish(&self) -> u64 {
        let mut v = self.v;
        Self::absorb(&mut v, self.words << 59); // the byte count, modulo 256, in the top byte
        v[2] ^= 0xff;
        (0..3).for_each(|_| Self::round(&mut v));
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn key(text: (&str, &str)) -> FlowKey {
        FlowKey::new(IpProtocol::TCP, text.0.parse().unwrap(), text.1.parse().unwrap()).unwrap()
    }

    #[test]
    fn hash_is_siphash_1_3() {
        // The standard library's SipHash-1-3 (DefaultHasher, key 0) over the same words.
        let mut twin = std::hash::DefaultHasher::new();
        let mut ours = FlowHasher::new(0).build_hasher();
        for word in [1u64, u64::MAX, 0x0123_4567_89ab_cdef, 0] {
            twin.write_u64(word);
            ours.write_u64(word);
            assert_eq!(ours.finish(), twin.finish());
        }
    }

    #[test]
    fn hash_depends_on_the_key_and_on_every_field() {
        let keys = [
            key(("10.0.0.1:1", "10.0.0.2:2")),
            key(("10.0.0.1:2", "10.0.0.2:1")),
            key(("10.0.0.2:1", "10.0.0.1:2")),
            key(("10.0.0.2:2", "10.0.0.1:1")),
            key(("[fd00::1]:1", "[fd00::2]:2")),
            FlowKey::new(IpProtocol::UDP, "10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap())
                .unwrap(),
        ];
        let hashes = |seed| keys.iter().map(|key| FlowHasher::new(seed).hash(key)).collect::<HashSet<_>>();
        assert_eq!(hashes(1).len(), keys.len());
        assert!(hashes(1).is_disjoint(&hashes(2)));
        assert!(hashes(1).is_disjoint(&hashes(1 << 64)));
    }

    #[test]
    fn both_directions_share_one_symmetric_key() {
        for key in [key(("10.0.0.1:9", "10.0.0.2:2")), key(("[fd00::1]:9", "[fd00::1]:2"))] {
            assert_ne!(key, key.reversed());
            assert_eq!(key, key.reversed().reversed());
            assert_eq!(key.symmetric(), key.reversed().symmetric());
        }
    }

    #[test]
    fn families_do_not_mix_and_text_reads_like_a_flow() {
        let (four, six) = ("10.0.0.1:1".parse().unwrap(), "[fd00::1]:2".parse().unwrap());
        assert_eq!(FlowKey::new(IpProtocol::TCP, four, six), None);
        assert_eq!(
            FlowKey::new(IpProtocol::UDP, six, six).unwrap().to_string(),
            "udp [fd00::1]:2 -> [fd00::1]:2"
        );
        assert_eq!(
            FlowKey::new(IpProtocol::ICMP, four, four).unwrap().to_string(),
            "icmp 10.0.0.1 -> 10.0.0.1 id 1"
        );
        assert_eq!(
            FlowKey::new(IpProtocol(200), six, six).unwrap().to_string(),
            "proto 200 fd00::1 -> fd00::1 id 2"
        );
    }

    #[test]
    fn key_is_small() {
        assert!(size_of::<FlowKey>() <= 40, "{}", size_of::<FlowKey>());
    }
}
