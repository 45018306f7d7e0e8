//! A packet's way through the fabric: what it is, whether its source is honest, which flow it belongs to, out.

use foldhash::fast::FixedState;
use packet::wire::EtherType;
use packet::{Batch, Packet, PortId};

use super::answer::{self, ERRORS_BURST, ERRORS_PER_SECOND, LINK_LOCAL_GATEWAY, Link, Notice};
use super::conntrack::{FlowTable, Found};
use super::denied::DeniedPairs;
use super::dns;
use super::fragments::Fragments;
use super::functions::Functions;
use super::header::{
    Address, ETHERNET, Fragment, Headers, ICMPV6, TCP_ACK, TCP_RST, TCP_SYN, Transport, be16,
};
use super::program::{Denied, Program, ProgramError};
use super::report::{AnswerCounters, DropReason};
use super::rewrite;
use super::state::{EndpointState, RuleState, SlotState, Stop, To};
use super::tables::{Owner, Tables, compile};

/// Flows a fabric tracks unless it is told otherwise.
pub const FLOWS_MAX: usize = 131_072;

const ERROR_INTERVAL_NS: u64 = 1_000_000_000 / ERRORS_PER_SECOND;
/// First and last of the ICMPv6 messages that never leave a link: router solicitation to redirect.
const NEIGHBOUR_DISCOVERY: std::ops::RangeInclusive<u8> = 133..=137;

/// The container network. See the [module](super).
#[derive(Debug)]
pub struct Fabric {
    pub(crate) tables: Tables,
    pub(crate) endpoints: Vec<EndpointState>,
    pub(crate) rules: Vec<RuleState>,
    /// Per service: the member whose turn it is.
    pub(crate) turns: Vec<u32>,
    pub(crate) flows: FlowTable,
    pub(crate) fragments: Fragments,
    pub(crate) denied: DeniedPairs,
    pub(crate) drops: [u64; DropReason::ALL.len()],
    pub(crate) answers: AnswerCounters,
    pub(crate) adopt_until_ns: u64,
    /// By slot: what passed the network function that has it.
    pub(crate) slots: Vec<SlotState>,
    /// Counts packets that any instance of a function may take.
    pub(crate) function_turn: u32,
    /// Shares out flows among instances.
    pub(crate) spread: FixedState,
}

impl Fabric {
    /// A fabric that runs `program`. The seed keys its hash tables: it should be one that nobody can guess.
    ///
    /// # Errors
    /// What is wrong with the program.
    pub fn new(program: &Program, seed: u64) -> Result<Self, ProgramError> {
        Self::with_flows(program, seed, FLOWS_MAX)
    }

    /// The same with room for `flows_max` flows.
    ///
    /// # Errors
    /// What is wrong with the program.
    pub fn with_flows(program: &Program, seed: u64, flows_max: usize) -> Result<Self, ProgramError> {
        Ok(Self::with_tables(compile(program)?, seed, flows_max))
    }

    /// The same for a program that was compiled elsewhere.
    pub fn with_tables(tables: Tables, seed: u64, flows_max: usize) -> Self {
        let up = |port| EndpointState { up: port != PortId::NONE, ..EndpointState::default() };
        let mut fabric = Self {
            endpoints: tables.endpoints.iter().map(|endpoint| up(endpoint.port)).collect(),
            rules: tables
                .rules
                .iter()
                .map(|rule| RuleState { chain: rule.chain, ..RuleState::default() })
                .collect(),
            turns: vec![0; tables.services.len()],
            flows: FlowTable::new(flows_max, seed),
            fragments: Fragments::new(seed ^ 0x66_7261_676d),
            denied: DeniedPairs::new(),
            drops: [0; DropReason::ALL.len()],
            answers: AnswerCounters::default(),
            adopt_until_ns: 0,
            slots: Vec::new(),
            function_turn: 0,
            spread: FixedState::with_seed(seed ^ 0x73_6861_7265),
            tables,
        };
        fabric.keep_slots(&Functions::default());
        fabric
    }

    /// Until then, a packet in the middle of a connection that policy allows is taken for one of a connection that
    /// was open before this fabric started, and opens a flow; so is a datagram that would be the answer of one. Both
    /// ends have to be attached now, and stay so: what comes later has no connections from before. Connections through
    /// a service's address cannot be adopted: which member they went to is not known any more.
    pub fn adopt_existing(&mut self, until_ns: u64) {
        self.adopt_until_ns = until_ns;
        for endpoint in &mut self.endpoints {
            endpoint.from_before = endpoint.up;
        }
    }

    /// Whether two endpoints may have connections from before the start.
    pub(crate) fn adopts(&self, now: u64, ends: [u32; 2]) -> bool {
        now < self.adopt_until_ns && ends.iter().all(|end| self.endpoints[*end as usize].from_before)
    }

    /// Says whether the link behind a port is up. Links are up when their endpoint appears.
    pub fn set_link(&mut self, port: PortId, up: bool) {
        if let Some(endpoint) = self.tables.endpoint_of(port) {
            let state = &mut self.endpoints[endpoint as usize];
            state.up = up;
            state.from_before &= up;
        }
    }

    /// Says whether what is behind a port is ready for what services give it. It is, unless this was said.
    pub fn set_ready(&mut self, port: PortId, ready: bool) {
        if let Some(endpoint) = self.tables.endpoint_of(port) {
            self.endpoints[endpoint as usize].unready = !ready;
        }
    }

    /// Whether services give an endpoint new flows.
    pub(crate) fn in_rotation(&self, endpoint: u32) -> bool {
        let state = &self.endpoints[endpoint as usize];
        state.up && !state.unready && !self.tables.endpoints[endpoint as usize].resting
    }

    /// The ports that endpoints have.
    pub fn ports(&self) -> impl Iterator<Item = PortId> + '_ {
        self.tables.endpoints.iter().map(|endpoint| endpoint.port).filter(|port| *port != PortId::NONE)
    }

    /// Takes in a packet, by its ingress port; gives out what leaves, with the egress port set: the packet itself,
    /// an answer to it, or nothing. Ports from [`FUNCTION_PORTS`](super::program::FUNCTION_PORTS) on are gates of network
    /// functions: what leaves them comes back by [`Fabric::resume`].
    pub fn handle(&mut self, now_ns: u64, mut packet: Packet, out: &mut impl FnMut(Packet)) {
        let Some(source) = self.tables.endpoint_of(packet.ingress()) else {
            self.drops[DropReason::UnknownPort as usize] += 1;
            return;
        };
        let sender = &mut self.endpoints[source as usize];
        sender.sent_packets += 1;
        sender.sent_bytes += packet.len() as u64;
        let to = match self.process(now_ns, &mut packet, source) {
            Ok(to) => to,
            Err(stop) => match self.stop(now_ns, &mut packet, source, &stop) {
                true => To::Endpoint(source),
                false => return,
            },
        };
        self.leave(packet, to, out);
    }

    /// Counts a packet where it goes, and gives it out.
    #[inline]
    pub(crate) fn leave(&mut self, mut packet: Packet, to: To, out: &mut impl FnMut(Packet)) {
        let length = packet.len() as u64;
        let port = match to {
            To::Endpoint(to) => {
                let receiver = &mut self.endpoints[to as usize];
                receiver.received_packets += 1;
                receiver.received_bytes += length;
                self.tables.endpoints[to as usize].port
            }
            To::Function { slot, gate } => {
                let state = &mut self.slots[usize::from(slot)];
                state.packets[gate] += 1;
                state.bytes[gate] += length;
                Self::function_port(slot, gate)
            }
        };
        packet.set_egress(port);
        out(packet);
    }

    /// [`Fabric::handle`] for every packet of a batch, which is empty afterwards.
    pub fn handle_batch(&mut self, now_ns: u64, batch: &mut Batch, out: &mut impl FnMut(Packet)) {
        for packet in batch.drain(..) {
            self.handle(now_ns, packet, out);
        }
    }

    /// Removes flows whose time is up; a bounded number at a time, so call it again while
    /// [`Fabric::next_deadline`] is in the past.
    pub fn expire(&mut self, now_ns: u64) {
        self.flows.expire(now_ns);
    }

    /// When [`Fabric::expire`] has something to do next.
    pub fn next_deadline(&self) -> Option<u64> {
        self.flows.next_deadline()
    }

    pub(crate) fn link_of(&self, endpoint: u32) -> Link {
        Link { to: self.tables.endpoints[endpoint as usize].mac, gateway: self.tables.gateway_mac }
    }

    /// Where the packet goes, rewritten in place; or why not.
    #[inline]
    fn process(&mut self, now: u64, packet: &mut Packet, source: u32) -> Result<To, Stop> {
        let entry = &self.tables.endpoints[source as usize];
        let frame = packet.data();
        if frame.len() < ETHERNET {
            return Err(DropReason::Malformed.into());
        }
        if frame[6..12] != entry.mac.0 {
            return Err(DropReason::SpoofedSource.into());
        }
        let ethertype = EtherType(be16(&frame[12..]));
        if ethertype == EtherType::ARP {
            let link = self.link_of(source);
            answer::arp(packet, entry.v4, link)?;
            self.answers.arp += 1;
            return Ok(To::Endpoint(source));
        }
        let headers = Headers::of_frame(frame, ethertype)?;
        headers.check_offload(&packet.offload())?;
        let own = if headers.v4 { entry.v4 } else { entry.v6 };
        if headers.key.source != own && !self.is_foreign(source, &headers) {
            check_other_source(&headers)?;
        }
        if headers.key.destination.is_multicast() {
            return self.multicast(packet, &headers, source);
        }
        if frame[..6] != self.tables.gateway_mac.0 {
            return Err(DropReason::NotForGateway.into());
        }
        match headers.transport {
            Transport::IcmpError => return self.pass_error(packet, &headers, source),
            Transport::Absent => return self.pass_fragment(now, packet, &headers),
            _ => {}
        }
        match self.flows.find(&headers.key) {
            Some(found) if !self.reopens(found, &headers) && !self.asks_names(&headers) => {
                self.pass(now, packet, &headers, found)
            }
            _ => self.open(now, packet, &headers, source),
        }
    }

    /// Whether a packet opens a connection anew in the place of one that is over.
    #[inline]
    pub(crate) fn reopens(&self, found: Found, headers: &Headers) -> bool {
        headers.flags & (TCP_SYN | TCP_ACK | TCP_RST) == TCP_SYN && self.flows.get(found.flow).state.is_over()
    }

    /// Whether the edge sends this for somebody outside.
    #[inline]
    pub(crate) fn is_foreign(&self, source: u32, headers: &Headers) -> bool {
        self.tables.endpoints[source as usize].edge
            && self.tables.via == source
            && self.tables.is_outside(headers.key.source)
    }

    /// Whether this is a question for the name server: each is looked at, though some are passed on as a flow.
    #[inline]
    fn asks_names(&self, headers: &Headers) -> bool {
        headers.transport == Transport::Udp
            && headers.key.destination_port() == dns::PORT
            && self.owner(headers.key.destination) == Some(Owner::Gateway)
    }

    /// Carries a packet of a flow.
    #[inline]
    pub(crate) fn pass(
        &mut self,
        now: u64,
        packet: &mut Packet,
        headers: &Headers,
        found: Found,
    ) -> Result<To, Stop> {
        self.check_forwardable(packet, headers)?;
        let flow = self.flows.get(found.flow);
        let (to, rule, generation) = (flow.to[found.direction], flow.rule, flow.generation);
        let new = flow.is_translated().then(|| flow.translated(found.direction));
        self.check_attached(to, headers)?;
        self.flows.note(found, now, headers.flags);
        let chain = self.count_rule(rule, packet);
        if let Fragment::First(id) = headers.fragment {
            self.fragments.remember(now, &headers.key, headers.v4, id, found, generation);
        }
        if let Some(function) = self.enter(found, chain) {
            let new = new.filter(|_| found.direction == 1);
            if let (Fragment::First(id), Some(new)) = (headers.fragment, &new) {
                // Behind the functions, its other fragments have the other addresses.
                self.fragments.remember(now, new, headers.v4, id, found, generation);
            }
            Self::prepare(packet, headers, |frame, offload| {
                if let Some(new) = new {
                    rewrite::addresses(frame, headers, &new, &offload);
                }
            });
            return Ok(function);
        }
        self.rewrite(packet, headers, to, |frame, offload| {
            if let Some(new) = new {
                rewrite::addresses(frame, headers, &new, &offload);
            }
        });
        Ok(To::Endpoint(to))
    }

    /// Carries a fragment other than the first, to where the first went.
    fn pass_fragment(&mut self, now: u64, packet: &mut Packet, headers: &Headers) -> Result<To, Stop> {
        let Fragment::Later(id) = headers.fragment else { return Err(DropReason::Malformed.into()) };
        let (found, generation) =
            self.fragments.find(now, &headers.key, headers.v4, id).ok_or(DropReason::FragmentUnknown)?;
        if self.flows.get_if(found.flow, generation).is_none() {
            return Err(DropReason::FragmentUnknown.into());
        }
        self.pass(now, packet, headers, found)
    }

    /// Carries an ICMP error to the sender of the packet that it quotes.
    fn pass_error(&mut self, packet: &mut Packet, headers: &Headers, source: u32) -> Result<To, Stop> {
        let frame = &packet.data()[..headers.end];
        let quoted = Headers::of_quoted(frame, headers.l4 + 8, headers.v4)?;
        // The quoted packet went to whoever sends the error, so the error goes the way of a reply to it. Nobody else
        // may say anything about it.
        let known = quoted.transport != Transport::Absent && quoted.key.source == headers.key.destination;
        let found = self.flows.find(&quoted.key.reversed()).filter(|_| known).ok_or(DropReason::Unrelated)?;
        let flow = self.flows.get(found.flow);
        let (to, rule) = (flow.to[found.direction], flow.rule);
        if flow.to[1 - found.direction] != source {
            return Err(DropReason::Unrelated.into());
        }
        let (outer, inner) = (flow.translated(found.direction), flow.keys[1 - found.direction]);
        let translated = flow.is_translated();
        self.check_forwardable(packet, headers)?;
        self.check_attached(to, headers)?;
        let chain = self.count_rule(rule, packet);
        let translate = |frame: &mut [u8]| rewrite::icmp_error(frame, headers, &quoted, &outer, &inner);
        if let Some(function) = self.enter(found, chain) {
            let now = translated && found.direction == 1;
            Self::prepare(packet, headers, |frame, _| {
                if now {
                    translate(frame);
                }
            });
            return Ok(function);
        }
        self.rewrite(packet, headers, to, |frame, _| {
            if translated {
                translate(frame);
            }
        });
        Ok(To::Endpoint(to))
    }

    /// What every packet has done to it that leaves for another endpoint.
    #[inline]
    fn rewrite(
        &self,
        packet: &mut Packet,
        headers: &Headers,
        to: u32,
        translate: impl FnOnce(&mut [u8], packet::Offload),
    ) {
        Self::prepare(packet, headers, translate);
        let link = self.link_of(to);
        rewrite::ethernet(packet.data_mut(), link.to, link.gateway);
    }

    /// Counts a packet of a rule; returns the rule's chain.
    #[inline]
    fn count_rule(&mut self, rule: u32, packet: &Packet) -> u32 {
        let rule = &mut self.rules[rule as usize];
        rule.packets += 1;
        rule.bytes += packet.len() as u64;
        rule.chain
    }

    /// Whether a packet may be routed at all, whoever sends it.
    #[inline]
    pub(crate) fn check_forwardable(&self, packet: &Packet, headers: &Headers) -> Result<(), Stop> {
        if headers.ttl <= 1 {
            return Err(Stop::telling(DropReason::TtlExpired, Notice::TimeExceeded, headers));
        }
        if headers.size_on_wire(&packet.offload()) > self.tables.mtu {
            let notice = Notice::TooBig(self.tables.mtu as u32);
            return Err(Stop::telling(DropReason::TooBig, notice, headers));
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn check_attached(&self, to: u32, headers: &Headers) -> Result<(), Stop> {
        if self.endpoints[to as usize].up {
            return Ok(());
        }
        Err(Stop::telling(DropReason::PortDown, Notice::HostUnreachable, headers))
    }

    fn multicast(&mut self, packet: &mut Packet, headers: &Headers, source: u32) -> Result<To, Stop> {
        if headers.key.protocol() != ICMPV6 || headers.v4 {
            return Err(DropReason::Multicast.into());
        }
        match headers.transport {
            Transport::IcmpOther => self.neighbour(packet, headers, source),
            _ => Err(DropReason::Multicast.into()),
        }
    }

    fn neighbour(&mut self, packet: &mut Packet, headers: &Headers, source: u32) -> Result<To, Stop> {
        let (own, link) = (self.tables.endpoints[source as usize].v6, self.link_of(source));
        answer::neighbour(packet, headers, own, link)?;
        self.answers.neighbour += 1;
        Ok(To::Endpoint(source))
    }

    /// A packet for the gateway itself.
    pub(crate) fn gateway(
        &mut self,
        now: u64,
        packet: &mut Packet,
        headers: &Headers,
        source: u32,
    ) -> Result<To, Stop> {
        let refused = |notice| Err(Stop::telling(DropReason::NoSuchPort, notice, headers));
        match headers.transport {
            Transport::EchoRequest => self.echo(packet, headers, source),
            Transport::IcmpOther if !headers.v4 => self.neighbour(packet, headers, source),
            Transport::Udp if headers.key.destination_port() == dns::PORT => {
                self.dns(now, packet, headers, source)
            }
            // Answers that do not fit a datagram are asked for again over TCP, which only a resolver outside gives.
            Transport::Tcp
                if headers.key.destination_port() == dns::PORT && self.may_forward(source, headers) =>
            {
                self.forward(now, packet, headers, source)
            }
            Transport::Udp => refused(Notice::PortUnreachable),
            Transport::Tcp => refused(Notice::Reset),
            Transport::Other => refused(Notice::ProtocolUnreachable),
            _ => Err(DropReason::Unrelated.into()),
        }
    }

    /// Answers an echo request in the name of its destination.
    pub(crate) fn echo(&mut self, packet: &mut Packet, headers: &Headers, source: u32) -> Result<To, Stop> {
        if headers.fragment != Fragment::Whole {
            return Err(DropReason::FragmentUnknown.into());
        }
        answer::echo(packet, headers, self.link_of(source));
        self.answers.echo += 1;
        Ok(To::Endpoint(source))
    }

    fn dns(&mut self, now: u64, packet: &mut Packet, headers: &Headers, source: u32) -> Result<To, Stop> {
        if headers.fragment != Fragment::Whole || headers.key.source_port() == 0 {
            return Err(DropReason::Malformed.into());
        }
        let length = usize::from(be16(&packet.data()[headers.l4 + 4..]));
        let mut reply = [0; dns::PAYLOAD_MAX];
        let query = packet.data().get(headers.l4 + 8..headers.l4 + length).ok_or(DropReason::Malformed)?;
        let names = &self.tables.names;
        if self.may_forward(source, headers)
            && names.is_foreign(query, |address| self.tables.is_outside(address))
        {
            self.answers.dns_forwarded += 1;
            return self.forward(now, packet, headers, source);
        }
        let length = self.tables.names.answer(query, &mut reply).ok_or(DropReason::Malformed)?;
        answer::datagram(packet, headers, self.link_of(source), &reply[..length])?;
        self.answers.dns += 1;
        Ok(To::Endpoint(source))
    }

    /// Counts a dropped packet; true when it was turned into an answer to its sender.
    #[cold]
    fn stop(&mut self, now: u64, packet: &mut Packet, source: u32, stop: &Stop) -> bool {
        self.drops[stop.reason as usize] += 1;
        self.endpoints[source as usize].dropped_packets += 1;
        let Some((notice, headers)) = &stop.notice else { return false };
        if stop.listed {
            self.denied.note(now, headers, stop.reason);
        }
        let silent = matches!(notice, Notice::Prohibited) || stop.reason == DropReason::OutOfState;
        if silent && self.tables.denied == Denied::Drop {
            return false;
        }
        let group = headers.key.destination.is_multicast();
        let quotable = !matches!(headers.transport, Transport::IcmpError | Transport::Absent) && !group;
        let resettable = *notice != Notice::Reset || headers.flags & TCP_RST == 0;
        if !quotable || !resettable || headers.key.source.is_unspecified() || !self.may_tell(now, source) {
            return false;
        }
        let (link, gateway) = (self.link_of(source), self.gateway_for(headers));
        let told = match notice {
            Notice::Reset if headers.fragment == Fragment::Whole => answer::reset(packet, headers, link),
            notice => answer::icmp_error(packet, headers, gateway, link, *notice),
        };
        match told {
            Ok(()) => self.answers.icmp_errors += 1,
            Err(reason) => self.drops[reason as usize] += 1,
        }
        told.is_ok()
    }

    fn gateway_for(&self, headers: &Headers) -> Address {
        if headers.v4 { self.tables.gateway_v4 } else { self.tables.gateway_v6 }
    }

    /// Takes one from an endpoint's share of ICMP errors.
    fn may_tell(&mut self, now: u64, source: u32) -> bool {
        let endpoint = &mut self.endpoints[source as usize];
        let from = endpoint.errors_until_ns.max(now);
        if from - now > ERROR_INTERVAL_NS * (ERRORS_BURST - 1) {
            self.answers.icmp_suppressed += 1;
            return false;
        }
        endpoint.errors_until_ns = from + ERROR_INTERVAL_NS;
        true
    }

    /// Who has the destination address; the gateway also has its link-local one.
    pub(crate) fn owner(&self, address: Address) -> Option<Owner> {
        if address == LINK_LOCAL_GATEWAY { Some(Owner::Gateway) } else { self.tables.owner(address) }
    }
}

/// A source that is not the endpoint's own: only IPv6 has some that are in order, towards the link.
fn check_other_source(headers: &Headers) -> Result<(), DropReason> {
    let Headers { key, .. } = headers;
    if key.destination.is_multicast() && key.source.is_unspecified() {
        let quiet = if headers.v4 { DropReason::Multicast } else { DropReason::Unanswered };
        return Err(quiet);
    }
    let on_link = key.destination.is_multicast() || key.destination == LINK_LOCAL_GATEWAY;
    // Neighbour discovery towards the gateway's global address may come from a link-local one too.
    let discovery = headers.transport == Transport::IcmpOther && headers.ttl == 255;
    if !headers.v4 && key.source.is_link_local_v6() && (on_link || discovery) {
        return Ok(());
    }
    Err(DropReason::SpoofedSource)
}

/// Whether this is neighbour discovery, which must not be routed.
pub(crate) fn is_neighbour_discovery(frame: &[u8], headers: &Headers) -> bool {
    headers.transport == Transport::IcmpOther
        && !headers.v4
        && NEIGHBOUR_DISCOVERY.contains(&frame[headers.l4])
}
