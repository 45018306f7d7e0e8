//! The translator behind NAT44, NAT66 and NAT64: which packet becomes which. It decides; the functions rewrite and send.
//!
//! ```text
//!            inside                                      outside
//!  original  10.0.0.5:40000 ─► 192.0.2.9:80      ┐ one flow of the connection tracker, with
//!  reply     192.0.2.9:80 ─► 198.51.100.1:40000  ┘ its reply tuple altered
//!  mapping   10.0.0.5:40000 ◄─► 198.51.100.1:40000, whoever it talks to, as long as it has flows
//! ```
//!
//! Mappings are endpoint-independent (RFC 4787 REQ-1): an inside end looks the same to everybody. Their life is that of
//! their flows, which the [tracker](crate::conntrack) ends. With [`Config::filters`] only those are let in who were spoken
//! to, address and port (RFC 4787 §5); without it, whoever speaks to a mapped end.
//!
//! A packet of a flow leaves with the other direction's tuple reversed, whichever way it goes, so outgoing, incoming,
//! forwarded and hairpin packets are one case.
//!
//! Whoever has a batch looks at it first ([`Nat::glance`], [`Nat::arrivals`]) and tries the short way with each packet
//! ([`Nat::hasten`]), which nearly all packets of known flows take; [`Nat::translate`] is for the others.

mod arrival;
mod express;
mod fragment;
pub(crate) mod fuzz;
mod mapping;
mod moved;
mod ports;
mod prefix;
mod router;
pub(crate) mod siit;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::IpProtocol;
use packet::{Offload, Packet};

use crate::conntrack::{self, Direction, FLOWS_MAX, Flow, FlowId, Invalid, State, Timeouts, Tracker};
use crate::{Cause, Gate, Report, rewrite};

pub use arrival::{Arrival, Arrivals};
pub use express::{Glance, Glances, Hastened};
pub use fragment::{FOLLOW_NS, PACKETS_MAX};
pub use mapping::{EXTERNALS_MAX, Inside, Limits, MAPPINGS_MAX, Refused};
pub use moved::MovedFlow;
pub use prefix::{Prefix, PrefixError};
pub(crate) use router::Router;

use arrival::Kind;
use express::{Express, Lanes};
use fragment::Fragments;
use mapping::{Mappings, Target};

/// Flows that are looked at in one [`Nat::expire`].
pub const EXPIRE_TURNS: usize = 256;

/// The gate of the inside.
pub const INSIDE: Gate = 0;
/// The gate of the outside.
pub const OUTSIDE: Gate = 1;

/// Neither TCP nor UDP nor an ICMP echo or error.
pub const PROTOCOL: Cause = Cause::new("protocol is not translated");
/// From outside, to an end that leads nowhere.
pub const NO_MAPPING: Cause = Cause::new("no mapping");
/// From outside, from one who was not spoken to.
pub const FILTERED: Cause = Cause::new("filtered");
/// A fragment whose first one was not seen, or is forgotten.
pub const FRAGMENT: Cause = Cause::new("fragment without its first");
/// A packet at the wrong side of its flow.
pub const WRONG_SIDE: Cause = Cause::new("from the wrong side");
/// Not what the flow's state lets follow.
pub const INVALID: Cause = Cause::new("invalid in its flow");
/// No room for another flow.
pub const FLOWS_FULL: Cause = Cause::new("too many flows");
/// No external port is left.
pub const PORTS_OUT: Cause = Cause::new("no external port left");
/// The host has too many mappings.
pub const HOST_FULL: Cause = Cause::new("too many mappings of the host");
/// The packet's tuple after translation is another flow's.
pub const COLLISION: Cause = Cause::new("tuple of another flow");

/// How the ends outside look from inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Realm {
    /// Both sides speak the same version of IP: as they are.
    Same,
    /// The inside speaks IPv6, the outside IPv4: under a prefix.
    V6(Prefix),
}

impl Realm {
    /// The host outside that an inside host means by an address.
    fn meant(self, address: IpAddr) -> Option<IpAddr> {
        match (self, address) {
            (Self::Same, address) => Some(address),
            (Self::V6(prefix), IpAddr::V6(address)) => prefix.extract(address).map(IpAddr::V4),
            (Self::V6(_), IpAddr::V4(_)) => None,
        }
    }

    /// What a host outside looks like from inside.
    #[must_use]
    pub fn seen(self, address: IpAddr) -> IpAddr {
        match (self, address) {
            (Self::V6(prefix), IpAddr::V4(address)) => prefix.embed(address).into(),
            (_, address) => address,
        }
    }

    /// A protocol in the inside's own number.
    fn protocol(self, protocol: IpProtocol) -> IpProtocol {
        match (self, protocol) {
            (Self::V6(_), IpProtocol::ICMP) => IpProtocol::ICMPV6,
            (_, other) => other,
        }
    }
}

/// How a translator translates.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the inside speaks.
    pub realm: Realm,
    /// The addresses that inside hosts have outside, [`EXTERNALS_MAX`] at most.
    pub externals: Vec<IpAddr>,
    /// Ports and mappings.
    pub limits: Limits,
    /// Whether only those are let in who were spoken to.
    pub filters: bool,
    /// Flows and their timeouts.
    pub conntrack: conntrack::Config,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It leaves at this gate with this tuple.
    Pass(Gate, FlowKey),
    /// It is an ICMP error, and leaves at this gate with these addresses, and the packet it quotes with this tuple.
    Error {
        /// Where it leaves.
        gate: Gate,
        /// The error's own addresses.
        outer: FlowKey,
        /// The quoted packet's tuple.
        quoted: FlowKey,
    },
    /// It ends here.
    End(Cause),
    /// It ends here for want of something; its sender may be told.
    Refuse(Cause),
}

impl Outcome {
    /// Rewrites the packet as it says, and returns the gate where it leaves and for whom it is; `None`, and nothing changed,
    /// where the packet ends.
    #[inline]
    pub fn apply(&self, packet: &mut Packet, layers: &Layers) -> Option<(Gate, IpAddr)> {
        let offload = packet.offload();
        match self {
            Self::Pass(gate, tuple) => {
                rewrite::tuple(packet.data_mut(), layers, &offload, tuple);
                Some((*gate, tuple.destination()))
            }
            Self::Error { gate, outer, quoted } => {
                rewrite::quote(packet.data_mut(), layers, |quote, inner| {
                    rewrite::tuple(quote, inner, &Offload::default(), quoted)
                });
                rewrite::tuple(packet.data_mut(), layers, &offload, outer);
                Some((*gate, outer.destination()))
            }
            Self::End(_) | Self::Refuse(_) => None,
        }
    }
}

/// What the translator keeps with a flow.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// First, so that it lies beside the flow's counts.
    express: Express,
    /// Where the flow came from, and where it went.
    gates: [Gate; 2],
    /// Mappings that it uses: its opener's, and the other end's.
    holds: [Option<Inside>; 2],
}

impl Link {
    fn new(gates: [Gate; 2], holds: [Option<Inside>; 2]) -> Self {
        Self { express: Express::UNKNOWN, gates, holds }
    }
}

/// How long a translator's flows may be silent: no shorter than the RFCs have them: 5382 REQ-5, 4787 REQ-5, 5508 REQ-2, 6146 §4.
#[must_use]
pub fn timeouts() -> Timeouts {
    let transitory = Duration::from_secs(4 * 60);
    let established = Duration::from_secs(2 * 3600 + 4 * 60);
    let udp = Duration::from_secs(5 * 60);
    Timeouts {
        syn_sent: transitory,
        syn_received: transitory,
        established,
        fin_wait: transitory,
        close_wait: transitory,
        last_ack: transitory,
        time_wait: transitory,
        retransmitting: established,
        unacknowledged: established,
        udp,
        udp_stream: udp,
        icmp: Duration::from_secs(60),
        ..Timeouts::default()
    }
}

/// A translator.
pub struct Nat {
    realm: Realm,
    filters: bool,
    tracker: Tracker<Option<Link>>,
    mappings: Mappings,
    lanes: Lanes,
    fragments: Fragments,
    fragments_full: u64,
}

impl Nat {
    /// A translator without flows. `hasher` is keyed at random: ports are drawn by it, and those who send the packets
    /// choose what is looked up.
    #[must_use]
    pub fn new(config: &Config, hasher: FlowHasher) -> Self {
        Self {
            realm: config.realm,
            filters: config.filters,
            tracker: Tracker::new(&config.conntrack, hasher),
            mappings: Mappings::new(&config.externals, &config.limits, hasher),
            lanes: Lanes::new(config.conntrack.flows.clamp(1, FLOWS_MAX), hasher),
            fragments: Fragments::new(hasher),
            fragments_full: 0,
        }
    }

    /// Leads an external end to an inside one for good: whoever outside may begin. `false` where the external port is taken
    /// or is of no external address.
    pub fn forward(&mut self, protocol: IpProtocol, external: SocketAddr, inside: SocketAddr) -> bool {
        let inside = Inside { protocol, address: inside.ip(), port: inside.port() };
        self.mappings.forward(protocol, external, inside)
    }

    /// Lets an external address have these ports only, of those it would have: before any packet comes.
    pub fn restrict(&mut self, external: IpAddr, ports: &[RangeInclusive<u16>]) {
        self.mappings.restrict(external, ports);
    }

    /// How many inside ends are mapped.
    #[must_use]
    pub fn mapped(&self) -> usize {
        self.mappings.len()
    }

    /// Says what becomes of a packet that came in at `gate`; `frame` is what `arrival` was read from.
    pub fn translate(&mut self, now_ns: u64, gate: Gate, arrival: &Arrival, frame: &[u8]) -> Outcome {
        let layers = arrival.layers();
        if layers.fragment.is_some_and(|fragment| fragment.offset > 0) {
            let to = self.fragments.follow(now_ns, gate, layers, frame);
            return to.map_or(Outcome::End(FRAGMENT), |(gate, tuple)| Outcome::Pass(gate, tuple));
        }
        let Some((kind, key)) = arrival.subject() else { return Outcome::End(PROTOCOL) };
        let mut target = None;
        if gate == OUTSIDE && kind == Kind::Query {
            target = arrival.external().and_then(|(external, tag)| self.mappings.target(external, tag));
            let Some(target) = target else { return Outcome::End(NO_MAPPING) };
            // A flow that would not be let in must not drive out another.
            let is_full = self.tracker.len() == self.tracker.capacity();
            if is_full && !self.lets_in(target) && self.tracker.find(key, now_ns).is_none() {
                return Outcome::End(FILTERED);
            }
        }
        let (mappings, lanes) = (&mut self.mappings, &mut self.lanes);
        let verdict = self.tracker.track_arrival(now_ns, arrival.tracked(), frame, &mut |_, flow| {
            release(mappings, lanes, flow.data);
        });
        let Some(id) = verdict.flow else { return Outcome::End(ended(verdict.state)) };
        match verdict.state {
            State::New | State::Established => {
                if self.tracker.flow(id).is_some_and(|flow| flow.data.is_none()) {
                    // The flow may have been given the place of the last one that the mapping had.
                    let external = arrival.external().filter(|_| target.is_some());
                    let target = external.and_then(|(external, tag)| self.mappings.target(external, tag));
                    if let Err(refusal) = self.open(now_ns, gate, key, id, target) {
                        self.tracker.remove(id);
                        return refusal;
                    }
                }
                let outcome = self.pass(gate, id, verdict.direction);
                match (layers.fragment, outcome) {
                    (Some(_), Outcome::Pass(out, tuple)) => {
                        let is_led = self.fragments.lead(now_ns, gate, (layers, frame), (out, tuple));
                        self.fragments_full += u64::from(!is_led);
                    }
                    (None, Outcome::Pass(..)) => self.note(id, gate, verdict.direction, target),
                    _ => {}
                }
                outcome
            }
            State::Related => self.error(gate, id, verdict.direction, layers, frame),
            state => Outcome::End(ended(state)),
        }
    }

    fn lets_in(&self, target: Target) -> bool {
        target.is_static || !self.filters
    }

    /// The tuple that a packet of a flow leaves with.
    fn pass(&self, gate: Gate, id: FlowId, direction: Direction) -> Outcome {
        let Some((flow, link)) = self.flow(id) else { return Outcome::End(INVALID) };
        let (from, to, tuple) = match direction {
            Direction::Original => (link.gates[0], link.gates[1], flow.reply().reversed()),
            Direction::Reply => (link.gates[1], link.gates[0], flow.original().reversed()),
        };
        if from == gate { Outcome::Pass(to, tuple) } else { Outcome::End(WRONG_SIDE) }
    }

    fn flow(&self, id: FlowId) -> Option<(&Flow<Option<Link>>, Link)> {
        let flow = self.tracker.flow(id)?;
        Some((flow, flow.data?))
    }

    /// An ICMP error about a packet of a flow (RFC 5508 §4.2, RFC 6146 §3.5.1.1). Whoever gets it knows the packet as it was
    /// before it was translated.
    fn error(&self, gate: Gate, id: FlowId, direction: Direction, layers: &Layers, frame: &[u8]) -> Outcome {
        let Some((flow, link)) = self.flow(id) else { return Outcome::End(INVALID) };
        let (from, to, quoted) = match direction {
            Direction::Original => (link.gates[0], link.gates[1], *flow.reply()),
            Direction::Reply => (link.gates[1], link.gates[0], *flow.original()),
        };
        if from != gate {
            return Outcome::End(WRONG_SIDE);
        }
        // Whoever is inside shows the address that the receiver knows of there.
        let sender = match layers.addresses(frame) {
            Some((sender, _)) if gate == OUTSIDE => self.realm.seen(sender),
            _ => quoted.destination(),
        };
        let protocol = if sender.is_ipv4() { IpProtocol::ICMP } else { IpProtocol::ICMPV6 };
        let [sender, receiver] = [sender, quoted.source()].map(|address| SocketAddr::new(address, 0));
        match FlowKey::new(protocol, sender, receiver) {
            Some(outer) => Outcome::Error { gate: to, outer, quoted },
            None => Outcome::End(INVALID),
        }
    }

    /// Gives a flow that was just opened its mappings and its reply.
    fn open(
        &mut self,
        now_ns: u64,
        gate: Gate,
        key: &FlowKey,
        id: FlowId,
        target: Option<Target>,
    ) -> Result<(), Outcome> {
        let (link, reply) = match target {
            _ if gate == INSIDE => self.outwards(key)?,
            Some(target) if self.lets_in(target) => self.inwards(key, target)?,
            Some(_) => return Err(Outcome::End(FILTERED)),
            None => return Err(Outcome::End(NO_MAPPING)),
        };
        let altered = reply
            .ok_or(COLLISION)
            .and_then(|reply| self.tracker.alter_reply(id, reply, now_ns).map_err(|_| COLLISION));
        if let Err(cause) = altered {
            release(&mut self.mappings, &mut self.lanes, Some(link));
            return Err(Outcome::End(cause));
        }
        if let Some(flow) = self.tracker.flow_mut(id) {
            flow.data = Some(link);
        }
        Ok(())
    }

    /// A flow from inside: to the outside, or by an external address to another inside host (RFC 4787 REQ-9).
    fn outwards(&mut self, key: &FlowKey) -> Result<(Link, Option<FlowKey>), Outcome> {
        let protocol = number(key.protocol());
        let opener = Inside { protocol, address: key.source(), port: key.source_port() };
        let to = self.realm.meant(key.destination()).ok_or(Outcome::End(NO_MAPPING))?;
        let to = SocketAddr::new(to, key.destination_port());
        if !self.mappings.is_external(to.ip()) {
            if !self.mappings.reaches(to.ip()) {
                return Err(Outcome::End(NO_MAPPING));
            }
            let own = self.mappings.acquire(opener, to.ip()).map_err(refusal)?;
            let link = Link::new([INSIDE, OUTSIDE], [Some(opener), None]);
            // Both ports of an ICMP key are the identifier.
            let port = if protocol == IpProtocol::ICMP { own.port() } else { to.port() };
            let there = SocketAddr::new(to.ip(), port);
            return Ok((link, FlowKey::new(numbered(protocol, to.ip()), there, own)));
        }
        let target = self.mappings.find(protocol, to).filter(|_| protocol != IpProtocol::ICMP);
        let target = target.ok_or(Outcome::End(NO_MAPPING))?;
        let own = self.mappings.acquire(opener, to.ip()).map_err(refusal)?;
        let link = Link::new([INSIDE, INSIDE], [Some(opener), Some(target.inside)]);
        if let Err(refused) = self.mappings.acquire(target.inside, to.ip()) {
            self.mappings.release(opener);
            return Err(refusal(refused));
        }
        let seen = SocketAddr::new(self.realm.seen(own.ip()), own.port());
        let other = SocketAddr::new(target.inside.address, target.inside.port);
        Ok((link, FlowKey::new(protocol, other, seen)))
    }

    /// A flow from outside to a mapped end.
    fn inwards(&mut self, key: &FlowKey, target: Target) -> Result<(Link, Option<FlowKey>), Outcome> {
        let from = key.source();
        self.mappings.acquire(target.inside, from).map_err(refusal)?;
        let link = Link::new([OUTSIDE, INSIDE], [None, Some(target.inside)]);
        let seen = SocketAddr::new(self.realm.seen(from), key.source_port());
        let inside = SocketAddr::new(target.inside.address, target.inside.port);
        Ok((link, FlowKey::new(self.realm.protocol(key.protocol()), inside, seen)))
    }

    /// When [`expire`](Self::expire) has work.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        self.tracker.next_deadline_ns()
    }

    /// Ends flows whose time is over, and with their last ones mappings; looks at no more than [`EXPIRE_TURNS`].
    pub fn expire(&mut self, now_ns: u64) {
        let (mappings, lanes) = (&mut self.mappings, &mut self.lanes);
        self.tracker.expire(now_ns, EXPIRE_TURNS, |flow| release(mappings, lanes, flow.data));
    }

    /// What it has counted and keeps.
    pub fn report(&self, report: &mut Report) {
        let counters = self.tracker.counters();
        report.counter("flows", self.tracker.len() as u64);
        report.counter("mappings", self.mappings.len() as u64);
        report.counter("flows opened", counters.new);
        report.counter("flows expired", counters.expired);
        report.counter("flows evicted", counters.evicted);
        report.counter("fragmented packets not followed", self.fragments_full);
    }
}

/// A protocol's number in mappings: ICMP has one there for either version.
fn number(protocol: IpProtocol) -> IpProtocol {
    if protocol == IpProtocol::ICMPV6 { IpProtocol::ICMP } else { protocol }
}

/// The number in packets to an address.
fn numbered(protocol: IpProtocol, address: IpAddr) -> IpProtocol {
    if protocol == IpProtocol::ICMP && address.is_ipv6() { IpProtocol::ICMPV6 } else { protocol }
}

fn refusal(refused: Refused) -> Outcome {
    Outcome::Refuse(match refused {
        Refused::Ports => PORTS_OUT,
        Refused::Host => HOST_FULL,
        Refused::Table => FLOWS_FULL,
    })
}

fn ended(state: State) -> Cause {
    if state == State::Invalid(Invalid::TableFull) { FLOWS_FULL } else { INVALID }
}

/// Gives back what a flow that is over has held.
fn release(mappings: &mut Mappings, lanes: &mut Lanes, link: Option<Link>) {
    let Some(link) = link else { return };
    lanes.forget(&link.express);
    link.holds.into_iter().flatten().for_each(|inside| mappings.release(inside));
}
