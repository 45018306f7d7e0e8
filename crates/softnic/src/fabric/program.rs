//! What the fabric is told to do: endpoints, services, rules and names, as plain data.
//!
//! A [`Program`] is the whole of it, complete every time: [`compile`](super::tables::compile) checks it and turns
//! it into lookup tables, and [`Fabric::apply`](super::Fabric::apply) replaces the old tables by the new at once.
//!
//! ```
//! use softnic::fabric::program::{Denied, Endpoint, Program, Protocol, Rule, Selector};
//!
//! let program = Program {
//!     endpoints: vec![
//!         Endpoint::new("web", packet::PortId(0), [10, 181, 0, 2].into(), "fd57::2".parse()?),
//!         Endpoint::new("db", packet::PortId(1), [10, 181, 0, 3].into(), "fd57::3".parse()?),
//!     ],
//!     rules: vec![Rule {
//!         id: 1,
//!         from: Selector::Endpoint("web".into()),
//!         to: Selector::Endpoint("db".into()),
//!         protocol: Protocol::Tcp,
//!         ports: 5432..=5432,
//!         label: "shop.js:12:1".into(),
//!         through: Vec::new(),
//!     }],
//!     ..Program::new([10, 181, 0, 1].into(), "fd57::1".parse()?)
//! };
//! assert_eq!(program.denied, Denied::Refuse);
//! softnic::fabric::tables::compile(&program)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use packet::PortId;
use packet::wire::MacAddr;
use serde::{Deserialize, Serialize};

use super::functions::{Function, FunctionError};

/// Endpoints of one program.
pub const ENDPOINTS_MAX: usize = 16_384;
/// Services of one program.
pub const SERVICES_MAX: usize = 16_384;
/// Members of all services together.
pub const MEMBERS_MAX: usize = 1_048_576;
/// Rules of one program.
pub const RULES_MAX: usize = 1_000_000;
/// Services one endpoint may be a member of: each is a look-up more when it opens a flow.
pub const MEMBERSHIPS_MAX: usize = 1024;
/// DNS names of one program.
pub const NAMES_MAX: usize = 65_536;
/// Addresses of one DNS name and family; more would not fit an answer without EDNS0.
pub const NAME_ADDRESSES_MAX: usize = 16;
/// Highest port number a port may have, so that a table indexed by it stays small.
pub const PORT_ID_MAX: u32 = 1_048_575;
/// Ports from here on are no endpoint's: two of each slot, for the gates of the network function that has it.
pub const FUNCTION_PORTS: u32 = PORT_ID_MAX + 1;
/// Networks that a program counts as its own.
pub const NETWORKS_MAX: usize = 16;
/// Emulated links of one program: each has buffers of its own.
pub const LINKS_MAX: usize = 64;
/// Pairs of endpoints that all links together join.
pub const LINK_PAIRS_MAX: usize = 65_536;
/// Smallest MTU, which IPv6 asks for (RFC 8200 §5).
pub const MTU_MIN: u16 = 1280;

/// The container network, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The address every container has as its router and name server.
    pub gateway_v4: Ipv4Addr,
    /// The same for IPv6. The gateway answers to `fe80::1` too.
    pub gateway_v6: Ipv6Addr,
    /// The gateway's Ethernet address, the same on every port.
    #[serde(with = "mac_text")]
    pub gateway_mac: MacAddr,
    /// What happens to packets no rule allows.
    #[serde(default)]
    pub denied: Denied,
    /// Largest IP packet, in bytes, that any port takes (packets that are to be segmented may be larger).
    pub mtu: u16,
    /// Networks of which no address is outside, whether somebody has it or not.
    #[serde(default)]
    pub inside: Vec<Network>,
    /// What is attached.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Virtual addresses and what is behind them.
    #[serde(default)]
    pub services: Vec<Service>,
    /// What is allowed. Everything else is denied.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What the gateway's name server knows.
    #[serde(default)]
    pub names: Vec<DnsName>,
    /// Links that are emulated. Between all others nothing takes time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<EmulatedLink>,
    /// Network functions that flows of rules pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<Function>,
}

impl Program {
    /// The Ethernet address of a gateway unless the program says otherwise; locally administered.
    pub const GATEWAY_MAC: MacAddr = MacAddr([0x02, 0x77, 0x65, 0x66, 0x74, 0x01]);

    /// An empty network with this gateway, an MTU of 1500, and refusal of what is not allowed.
    #[must_use]
    pub fn new(gateway_v4: Ipv4Addr, gateway_v6: Ipv6Addr) -> Self {
        Self {
            gateway_v4,
            gateway_v6,
            gateway_mac: Self::GATEWAY_MAC,
            denied: Denied::Refuse,
            mtu: 1500,
            inside: Vec::new(),
            endpoints: Vec::new(),
            services: Vec::new(),
            rules: Vec::new(),
            names: Vec::new(),
            links: Vec::new(),
            functions: Vec::new(),
        }
    }
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Any address of it.
    pub address: IpAddr,
    /// How many leading bits its addresses share; more than an address has count as all.
    pub bits: u8,
}

impl Network {
    /// Whether `address` is one of it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.bits.min(32))
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.bits.min(128))
            }
            _ => false,
        }
    }
}

/// What the sender of a packet that is not allowed learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Denied {
    /// An ICMP "administratively prohibited" message (RFC 1812 §5.2.7.1, RFC 4443 §3.1): it fails at once.
    #[default]
    Refuse,
    /// Nothing: it runs into its own timeout.
    Drop,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse => "refuse",
            Self::Drop => "drop",
        })
    }
}

/// A container, or whatever else is behind one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it is attached; [`PortId::NONE`] when it is not (yet): then it is unreachable and not balanced to.
    #[serde(with = "port_number")]
    pub port: PortId,
    /// Its name, unique among endpoints and services.
    pub name: String,
    /// The Ethernet address it sends from and is sent to.
    #[serde(with = "mac_text")]
    pub mac: MacAddr,
    /// Its IPv4 address.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address.
    pub ipv6: Ipv6Addr,
    /// Whether it is an edge, through which published ports come in: [`Selector::Edge`] stands for all of these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edge: bool,
    /// Whether services give it no new flows; those that it has live on, and its own name is reached as ever.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resting: bool,
}

impl Endpoint {
    /// An endpoint whose Ethernet address is made from its IPv4 address (see [`Endpoint::mac_of`]).
    #[must_use]
    pub fn new(name: impl Into<String>, port: PortId, ipv4: Ipv4Addr, ipv6: Ipv6Addr) -> Self {
        Self { port, name: name.into(), mac: Self::mac_of(ipv4), ipv4, ipv6, edge: false, resting: false }
    }

    /// The locally administered Ethernet address `02:77` and the four bytes of the IPv4 address.
    #[must_use]
    pub const fn mac_of(ipv4: Ipv4Addr) -> MacAddr {
        let [a, b, c, d] = ipv4.octets();
        MacAddr([0x02, 0x77, a, b, c, d])
    }
}

/// Members behind one virtual address, to which new flows go in turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, unique among endpoints and services.
    pub name: String,
    /// Its IPv4 address, which no endpoint has.
    pub vip_v4: Ipv4Addr,
    /// Its IPv6 address, which no endpoint has.
    pub vip_v6: Ipv6Addr,
    /// Names of endpoints, each at most once; the turn follows this order.
    pub members: Vec<String>,
}

/// Who a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selector {
    /// The endpoint of this name.
    Endpoint(String),
    /// As a source: every member of the service. As a destination: its virtual address, and the members through
    /// that address only.
    Service(String),
    /// Every endpoint that is an edge.
    Edge,
    /// Every address that is not of this network and that a machine may have on the Internet or its own network:
    /// as a destination only, and for TCP and UDP only. The way there leads through the first edge.
    Outside,
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(name) | Self::Service(name) => f.write_str(name),
            Self::Edge => f.write_str("the edge"),
            Self::Outside => f.write_str("public internet"),
        }
    }
}

/// A permission to open flows from one party to another; replies pass, nothing else comes back.
///
/// A rule of any protocol or port also allows ICMP echo requests from source to destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// A number, unique among rules; counters follow it when a program is replaced.
    pub id: u64,
    /// Who opens the flow.
    pub from: Selector,
    /// Whom to.
    pub to: Selector,
    /// Over what.
    pub protocol: Protocol,
    /// To which ports; looked at for TCP and UDP (and of no meaning for other protocols).
    pub ports: RangeInclusive<u16>,
    /// Where the rule comes from, for people: `shop.js:12:1`.
    pub label: String,
    /// Network functions that its flows pass, from who opens them to the other side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
}

/// A link that all packets between two parties share, in each direction one of this shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmulatedLink {
    /// A number, unique among links. What is on its way, and the counters, stay with a link of the same number and shape when a
    /// program is replaced.
    pub id: u64,
    /// One end: an endpoint, or all members of a service.
    pub a: Selector,
    /// The other end. An endpoint at both has no link to itself.
    pub b: Selector,
    /// What it is like.
    pub shape: LinkShape,
    /// Where it comes from, for people: `shop.js:12:1`.
    pub label: String,
}

/// What a link is like, one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LinkShape {
    /// Bit/s of Ethernet frames.
    pub rate: u64,
    /// How long a packet is on it, in nanoseconds.
    pub delay_ns: u64,
    /// Added to the delay, uniform from 0 to this, in nanoseconds; the order stays.
    #[serde(default)]
    pub jitter_ns: u64,
    /// Packets lost of a thousand million.
    #[serde(default)]
    pub loss_ppb: u32,
    /// Bytes that may wait before it.
    pub buffer_bytes: u64,
}

/// `50 Mbit/s, 40 ms`, and what else there is.
impl fmt::Display for LinkShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |ns: u64| ns as f64 / 1e6;
        write!(f, "{} Mbit/s, {} ms", self.rate as f64 / 1e6, ms(self.delay_ns))?;
        if self.jitter_ns > 0 {
            write!(f, ", jitter {} ms", ms(self.jitter_ns))?;
        }
        if self.loss_ppb > 0 {
            write!(f, ", loss {} %", f64::from(self.loss_ppb) / 1e7)?;
        }
        write!(f, ", buffer {} bytes", self.buffer_bytes)
    }
}

/// The protocols a rule speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP and UDP on the rule's ports; with all ports, every other protocol too.
    #[default]
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Whether a rule of this protocol speaks of packets of `other`, which is what a packet has or a person asks.
    #[must_use]
    pub const fn covers(self, other: Protocol) -> bool {
        matches!((self, other), (Self::Any, _) | (Self::Tcp, Self::Tcp) | (Self::Udp, Self::Udp))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A name and its addresses. Every endpoint may look up every name: names are not secrets, links are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsName {
    /// The name as it is asked for, without a dot at the end; letters of either case are the same.
    pub name: String,
    /// What A queries are answered with.
    #[serde(default)]
    pub ipv4s: Vec<Ipv4Addr>,
    /// What AAAA queries are answered with.
    #[serde(default)]
    pub ipv6s: Vec<Ipv6Addr>,
}

/// Why a program makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// More of something than there may be.
    #[error("{count} {what}: at most {max} are possible")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// An MTU below what IPv6 needs.
    #[error("an MTU of {0} is below IPv6's minimum of {MTU_MIN}")]
    Mtu(u16),
    /// A name used twice.
    #[error("two parties are called {0:?}")]
    NameTwice(String),
    /// A name that is empty or cannot be one.
    #[error("{0:?} is not a name: 1 to 253 bytes in labels of 1 to 63")]
    NotAName(String),
    /// An address used twice.
    #[error("{address} belongs to both {first:?} and {second:?}")]
    AddressTwice {
        /// The address.
        address: IpAddr,
        /// Its first owner.
        first: String,
        /// Its second owner.
        second: String,
    },
    /// An address no host can have.
    #[error("{address} of {name:?} is not a unicast address")]
    NotUnicast {
        /// The address.
        address: IpAddr,
        /// Whose.
        name: String,
    },
    /// An Ethernet address no host can have.
    #[error("{mac} of {name:?} is not a unicast Ethernet address")]
    NotUnicastMac {
        /// The address.
        mac: MacAddr,
        /// Whose.
        name: String,
    },
    /// A port used twice.
    #[error("port {} belongs to both {first:?} and {second:?}", port.0)]
    PortTwice {
        /// The port.
        port: PortId,
        /// Its first owner.
        first: String,
        /// Its second owner.
        second: String,
    },
    /// A port number above the limit.
    #[error("port {} of {name:?} is above {PORT_ID_MAX}", port.0)]
    PortTooHigh {
        /// The port.
        port: PortId,
        /// Whose.
        name: String,
    },
    /// A member that is no endpoint.
    #[error("service {service:?} has a member {member:?}, which is not an endpoint")]
    UnknownMember {
        /// The service.
        service: String,
        /// The member.
        member: String,
    },
    /// A member named twice.
    #[error("service {service:?} has the member {member:?} twice")]
    MemberTwice {
        /// The service.
        service: String,
        /// The member.
        member: String,
    },
    /// A member of too many services.
    #[error("endpoint {endpoint:?} is a member of more than {MEMBERSHIPS_MAX} services")]
    Memberships {
        /// The endpoint.
        endpoint: String,
    },
    /// A rule about a party that does not exist.
    #[error("rule {id} ({label}) speaks of {selector}, which does not exist")]
    UnknownParty {
        /// The rule.
        id: u64,
        /// Where it comes from.
        label: String,
        /// Whom it names.
        selector: Selector,
    },
    /// A rule from outside, or one that leads there where there is no edge.
    #[error("rule {id} ({label}): {what}")]
    Outside {
        /// The rule.
        id: u64,
        /// Where it comes from.
        label: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Functions that cannot be.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// A rule number used twice.
    #[error("two rules have the number {0}")]
    RuleTwice(u64),
    /// A range of ports that is empty.
    #[error("rule {id} ({label}) has the empty range of ports {min}-{max}")]
    EmptyPorts {
        /// The rule.
        id: u64,
        /// Where it comes from.
        label: String,
        /// First port.
        min: u16,
        /// Last port.
        max: u16,
    },
}

mod mac_text {
    use packet::wire::MacAddr;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(mac: &MacAddr, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(mac)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MacAddr, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

mod port_number {
    use packet::PortId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(port: &PortId, serializer: S) -> Result<S::Ok, S::Error> {
        (*port != PortId::NONE).then_some(port.0).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PortId, D::Error> {
        Ok(Option::<u32>::deserialize(deserializer)?.map_or(PortId::NONE, PortId))
    }
}
