//! What the fabric tells people: why packets were dropped, how many of everything, and what the policy says.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::functions::{FunctionCounters, instance_name};
use super::program::{Denied, LinkShape, Protocol};

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])* $name:ident => $text:literal,)*) => {
        /// Why a packet went no further.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum DropReason {
            $($(#[doc = $doc])* $name,)*
        }

        impl DropReason {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; [$(Self::$name),*].len()] = [$(Self::$name),*];
        }

        impl fmt::Display for DropReason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)* })
            }
        }
    };
}

drop_reasons! {
    /// No rule allows the flow.
    NotAllowed => "no link allows it",
    /// The destination is none of this network's addresses.
    UnknownDestination => "the destination is not in this network",
    /// The service has no member that is up.
    NoMember => "no member of the service is up",
    /// Another flow already has these addresses and ports on the far side of a service's address.
    Collision => "another connection has the same addresses and ports",
    /// The destination has no port, or its link is down.
    PortDown => "the destination is not attached",
    /// The packet came from a port that no endpoint has.
    UnknownPort => "it came from a port without an endpoint",
    /// The source address is not the endpoint's.
    SpoofedSource => "its source address is not the sender's",
    /// The frame is not addressed to the gateway.
    NotForGateway => "its Ethernet destination is not the gateway",
    /// A header contradicts itself or the frame.
    Malformed => "a header is malformed",
    /// Neither IP nor ARP, or tagged.
    NotIp => "it is neither IP nor ARP",
    /// Multicast and broadcast are not routed.
    Multicast => "multicast and broadcast are not routed",
    /// Neighbour discovery that needs no answer.
    Unanswered => "it asks for no answer",
    /// The time to live ran out.
    TtlExpired => "its time to live ran out",
    /// Larger than the MTU.
    TooBig => "it is larger than the MTU",
    /// A TCP packet that opens no flow and belongs to none.
    OutOfState => "it belongs to no open connection",
    /// An ICMP error about no flow that is known, or an answer to no question.
    Unrelated => "it is about no open connection",
    /// A fragment whose first one was not seen.
    FragmentUnknown => "its first fragment was not seen",
    /// The connection table is full of flows that are in use.
    FlowTableFull => "the connection table is full",
    /// The protocol cannot go through a service's address.
    NotTranslatable => "its protocol cannot go through a service address",
    /// Something else than TCP and UDP to the outside.
    OutsideProtocol => "only TCP and UDP are carried outside",
    /// A packet for the gateway that it offers nothing for.
    NoSuchPort => "the gateway serves nothing there",
    /// A network function let it out with headers that no open connection has.
    Strayed => "a network function gave it headers of no open connection",
    /// A network function kept it until its link did not lead through that function any more.
    ChainChanged => "a network function held it back until its link led elsewhere",
    /// A buffer for an answer was missing.
    NoBuffer => "no free packet buffer",
}

/// What one endpoint did, seen from the endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointCounters {
    /// Its name.
    pub name: String,
    /// Its port; `None` when it has none.
    pub port: Option<u32>,
    /// Whether its link is up.
    pub up: bool,
    /// Whether services that it is a member of give it new flows.
    #[serde(default)]
    pub in_rotation: bool,
    /// Packets it sent, whatever became of them.
    pub sent_packets: u64,
    /// Bytes it sent, Ethernet headers included.
    pub sent_bytes: u64,
    /// Packets that went to it.
    pub received_packets: u64,
    /// Bytes that went to it, Ethernet headers included.
    pub received_bytes: u64,
    /// Packets it sent that were dropped.
    pub dropped_packets: u64,
}

/// What passed because of one rule, both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCounters {
    /// The rule's number.
    pub id: u64,
    /// Where the rule comes from.
    pub label: String,
    /// Who opens flows, for people.
    pub from: String,
    /// Whom to, for people.
    pub to: String,
    /// Flows opened.
    pub flows: u64,
    /// Packets of them.
    pub packets: u64,
    /// Bytes of them, Ethernet headers included.
    pub bytes: u64,
}

/// What an emulated link did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCounters {
    /// The link's number.
    pub id: u64,
    /// Where it comes from.
    pub label: String,
    /// One end, for people.
    pub a: String,
    /// The other end, for people.
    pub b: String,
    /// What it is like.
    pub shape: LinkShape,
    /// From a to b, and from b to a.
    pub ways: [WayCounters; 2],
}

/// What one direction of an emulated link did, and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayCounters {
    /// Packets that have crossed it.
    pub packets: u64,
    /// Their bytes, Ethernet headers included.
    pub bytes: u64,
    /// Packets that found no room before it, made room for others, or found no buffer.
    pub dropped: u64,
    /// Packets lost on it.
    pub lost: u64,
    /// Packets that wait before it or are on it.
    pub held: u64,
    /// Bytes that wait before it.
    pub queued_bytes: u64,
    /// The most that have.
    pub queued_most: u64,
}

/// Packets from one endpoint to one address that were denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeniedPair {
    /// The sender's name.
    pub source: String,
    /// The destination's name, or its address when it has none.
    pub destination: String,
    /// Why the last of them was.
    pub reason: DropReason,
    /// How many.
    pub packets: u64,
    /// IP protocol number of the last.
    pub protocol: u8,
    /// Destination port of the last; 0 for protocols without ports.
    pub port: u16,
    /// Time of the last, on the clock of whoever drives the fabric.
    pub last_ns: u64,
}

/// What happened in the connection table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowCounters {
    /// Flows in the table.
    pub active: u64,
    /// The most there may be.
    pub max: u64,
    /// Flows opened since start.
    pub opened: u64,
    /// Flows picked up in the middle, after a restart.
    pub adopted: u64,
    /// Flows that ended or ran out of time.
    pub expired: u64,
    /// Flows without a reply that made room for a new one.
    pub evicted: u64,
    /// New flows refused because all were in use.
    pub refused: u64,
    /// Flows cut because a new program does not allow them.
    pub cut: u64,
    /// Flows cut because one end of them went away.
    #[serde(default)]
    pub orphaned: u64,
}

/// What the gateway answered itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerCounters {
    /// ARP replies.
    pub arp: u64,
    /// Neighbour advertisements.
    pub neighbour: u64,
    /// Echo replies.
    pub echo: u64,
    /// DNS answers.
    pub dns: u64,
    /// DNS questions that were passed on to a resolver outside.
    #[serde(default)]
    pub dns_forwarded: u64,
    /// ICMP errors.
    pub icmp_errors: u64,
    /// ICMP errors not sent because the sender had its share.
    pub icmp_suppressed: u64,
}

/// Everything the fabric counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Per endpoint, in the program's order.
    pub endpoints: Vec<EndpointCounters>,
    /// Per rule, in the program's order.
    pub rules: Vec<RuleCounters>,
    /// Packets dropped, by reason; reasons that never occurred are left out.
    pub drops: Vec<(DropReason, u64)>,
    /// Who was denied what, most packets first.
    pub denied: Vec<DeniedPair>,
    /// Denied packets whose pair found no room in the table.
    pub denied_unlisted: u64,
    /// The connection table.
    pub flows: FlowCounters,
    /// The gateway's answers.
    pub answers: AnswerCounters,
    /// Emulated links, in the program's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkCounters>,
    /// Network functions, in the program's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<FunctionCounters>,
}

/// Why a packet of this kind would pass or not, from the tables that packets themselves are looked up in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The sender's name.
    pub source: String,
    /// The destination as asked for.
    pub destination: String,
    /// Its IPv4 address, or the address asked for.
    pub address: Option<IpAddr>,
    /// What was asked for; [`Protocol::Any`] asks about protocols other than TCP and UDP.
    pub protocol: Protocol,
    /// The port asked for.
    pub port: u16,
    /// The answer.
    pub allowed: bool,
    /// The rule that allows it.
    pub rule: Option<u64>,
    /// Where the rule comes from.
    pub label: Option<String>,
    /// The service, when the destination is one.
    pub service: Option<String>,
    /// The members of the service a new flow may go to: those that are up, ready and not resting.
    pub members: Vec<String>,
    /// What passed because of the rule.
    pub counter: Option<RuleCounters>,
    /// Packets denied from this source to this destination so far.
    pub denied_packets: u64,
    /// What the sender learns of a denial.
    pub denied: Denied,
    /// Why not, when not allowed.
    pub reason: Option<DropReason>,
    /// The emulated link that it passes, when it is allowed and there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The network functions that it passes, in that order, when it is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<FunctionCounters>,
}

/// A line, such as `allowed: web -> db:5432/tcp by shop.js:2:1 (link web -> db; 1 connection, 2 packets, 120 B)` or
/// `denied: web -> db:1/tcp is refused: no link allows it (3 packets so far)`; below it one for each instance of the network
/// functions that it passes.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.allowed { "allowed" } else { "denied" };
        write!(f, "{verdict}: {} -> {}:{}/{}", self.source, self.destination, self.port, self.protocol)?;
        if !self.allowed {
            let how = match self.denied {
                Denied::Refuse => "refused",
                Denied::Drop => "dropped",
            };
            write!(f, " is {how}")?;
            if let Some(reason) = self.reason {
                write!(f, ": {reason}")?;
            }
            return write!(f, " ({} so far)", Count(self.denied_packets, "packet"));
        }
        match (&self.label, &self.counter) {
            (Some(label), Some(counter)) => write!(f, " by {label} ({counter})")?,
            (Some(label), None) => write!(f, " by {label}")?,
            (None, _) => f.write_str(", by the gateway itself")?,
        }
        if let Some(link) = &self.link {
            write!(f, ", over the link {link}")?;
        }
        if !self.functions.is_empty() {
            let names: Vec<&str> = self.functions.iter().map(|function| function.name.as_str()).collect();
            write!(f, ", through {}", names.join(", "))?;
        }
        self.functions.iter().try_for_each(|function| write_function(f, function))
    }
}

/// A line for each instance.
fn write_function(f: &mut fmt::Formatter<'_>, function: &FunctionCounters) -> fmt::Result {
    for (at, instance) in function.instances.iter().enumerate() {
        let name = instance_name(&function.name, at);
        let [there, back] = instance.packets;
        write!(f, "\n  {name} ({}): {there} there, {back} back", function.words.join(" "))?;
        write!(f, ", {} dropped", Count(instance.dropped(), "packet"))?;
        for (at, (cause, count)) in instance.drops.iter().enumerate() {
            write!(f, "{} {count} {cause}", if at == 0 { ":" } else { "," })?;
        }
    }
    Ok(())
}

impl fmt::Display for RuleCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (flows, packets) = (Count(self.flows, "connection"), Count(self.packets, "packet"));
        write!(f, "link {} -> {}; {flows}, {packets}, {}", self.from, self.to, Bytes(self.bytes))
    }
}

/// A number of things, with their name.
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// A number of bytes, in the unit that makes it short.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let power = self.0.ilog2() / 10;
        write!(f, "{:.1} {}", self.0 as f64 / (1_u64 << (10 * power)) as f64, UNITS[power as usize - 1])
    }
}

/// A question that cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// No endpoint of this name or address, and no service that has members.
    #[error("nothing that could connect is called {0:?}")]
    UnknownSource(String),
    /// Neither a name of the network nor an address.
    #[error("{0:?} is neither an endpoint, a service nor an address")]
    UnknownDestination(String),
}
