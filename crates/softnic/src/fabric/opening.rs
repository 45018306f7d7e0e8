//! The first packet of a flow: who is meant, whether a rule allows it, and which member of a service it goes to.
//!
//! **Services.** A rule to a service allows its virtual address and nothing else: members are reached through that
//! address, not by their own (a rule to the endpoint does that). New TCP and UDP flows go to members in turn, those
//! without a link, not ready or resting left out; ports stay as they are. The fabric itself answers a ping of the address. Other protocols
//! cannot go through it.
//!
//! A client that is a member of the service has its own turn too: what comes to it then has the service's address
//! as source, so that its answers find the way back. A flow whose far side would be the same as another's (the same
//! client port, to a member directly and through the service) goes to the next member, or is dropped as a collision,
//! and the client's next attempt comes from another port or to another member.

use packet::Packet;

use super::answer::{LINK_LOCAL_GATEWAY, Notice};
use super::conntrack::{Found, OpenError, State};
use super::datapath::{Fabric, is_neighbour_discovery};
use super::header::{Address, Headers, Key, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, Transport};
use super::report::DropReason;
use super::state::{Stop, To};
use super::tables::{NONE, Owner, Want};

/// Members tried for a flow before it counts as a collision.
const TRIES_MAX: usize = 8;

impl From<OpenError> for Stop {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Full => DropReason::FlowTableFull.into(),
            OpenError::Collision => DropReason::Collision.into(),
        }
    }
}

/// What a packet wants as rules see it.
pub(crate) fn want(headers: &Headers, port: u16) -> Want {
    match headers.transport {
        Transport::Tcp => Want::Tcp(port),
        Transport::Udp => Want::Udp(port),
        Transport::EchoRequest | Transport::EchoReply => Want::Echo,
        _ => Want::Other,
    }
}

fn opening_state(transport: Transport) -> State {
    match transport {
        Transport::Tcp => State::TcpOpening,
        Transport::Udp => State::UdpOneWay,
        Transport::EchoRequest | Transport::EchoReply => State::EchoOneWay,
        _ => State::OtherOneWay,
    }
}

impl Fabric {
    /// A packet of no known flow.
    pub(crate) fn open(
        &mut self,
        now: u64,
        packet: &mut Packet,
        headers: &Headers,
        source: u32,
    ) -> Result<To, Stop> {
        let Some(owner) = self.owner(headers.key.destination) else {
            return Err(Stop::denied(DropReason::UnknownDestination, headers));
        };
        if self.is_foreign(source, headers) {
            return self.heard_outside(now, packet, headers, source, owner);
        }
        if owner == Owner::Gateway {
            return self.gateway(now, packet, headers, source);
        }
        if is_neighbour_discovery(packet.data(), headers) || headers.key.source.is_link_local_v6() {
            return Err(DropReason::Unanswered.into());
        }
        let opens = headers.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN) == TCP_SYN;
        if headers.transport == Transport::Tcp && !opens {
            return self.middle(now, packet, headers, source, owner);
        }
        let allowed = self.tables.allowed(source, owner, want(headers, headers.key.destination_port()));
        let Some(rule) = allowed.filter(|_| headers.transport != Transport::EchoReply) else {
            return self.unknown(now, packet, headers, source, owner);
        };
        self.check_forwardable(packet, headers)?;
        match owner {
            Owner::Gateway => Err(DropReason::Unrelated.into()),
            Owner::Endpoint(to) => self.open_to(now, packet, headers, [to, source], rule),
            Owner::Outside if !matches!(headers.transport, Transport::Tcp | Transport::Udp) => {
                Err(Stop::telling(DropReason::OutsideProtocol, Notice::Prohibited, headers))
            }
            Owner::Outside => self.open_to(now, packet, headers, [self.tables.via, source], rule),
            Owner::Service(service) => self.balance(now, packet, headers, source, service, rule),
        }
    }

    /// Opens a flow of which no address changes.
    fn open_to(
        &mut self,
        now: u64,
        packet: &mut Packet,
        headers: &Headers,
        to: [u32; 2],
        rule: u32,
    ) -> Result<To, Stop> {
        self.check_attached(to[0], headers)?;
        let keys = [headers.key, headers.key.reversed()];
        let flow = self.flows.open(now, keys, to, rule, opening_state(headers.transport))?;
        self.rules[rule as usize].flows += 1;
        self.pass(now, packet, headers, Found { flow, direction: 0 })
    }

    /// What somebody outside sends that belongs to no known flow: nobody there may open one.
    fn heard_outside(
        &mut self,
        now: u64,
        packet: &mut Packet,
        headers: &Headers,
        source: u32,
        owner: Owner,
    ) -> Result<To, Stop> {
        if let Some(found) = self.adopt_answer(now, headers, source, owner)? {
            return self.pass(now, packet, headers, found);
        }
        match headers.transport {
            Transport::Tcp => Err(Stop::telling(DropReason::OutOfState, Notice::Reset, headers)),
            _ => Err(DropReason::Unrelated.into()),
        }
    }

    /// Whether an endpoint's questions may be passed on to a resolver outside, by way of the edge.
    pub(crate) fn may_forward(&self, source: u32, headers: &Headers) -> bool {
        self.tables.endpoints[source as usize].outside != NONE
            && self.tables.via != source
            && !headers.key.source.is_link_local_v6()
            && headers.key.destination != LINK_LOCAL_GATEWAY
    }

    /// Passes a packet for the gateway's name server on to the edge's, which asks a resolver outside.
    pub(crate) fn forward(
        &mut self,
        now: u64,
        packet: &mut Packet,
        headers: &Headers,
        source: u32,
    ) -> Result<To, Stop> {
        let (key, via) = (headers.key, self.tables.via);
        if let Some(found) = self.flows.find(&key).filter(|found| !self.reopens(*found, headers)) {
            return self.pass(now, packet, headers, found);
        }
        if headers.transport == Transport::Tcp && headers.flags & (TCP_SYN | TCP_ACK | TCP_RST) != TCP_SYN {
            return Err(Stop::telling(DropReason::OutOfState, Notice::Reset, headers));
        }
        self.check_forwardable(packet, headers)?;
        self.check_attached(via, headers)?;
        let (edge, asker) = (&self.tables.endpoints[via as usize], &self.tables.endpoints[source as usize]);
        let server = if headers.v4 { edge.v4 } else { edge.v6 };
        let rule = asker.outside;
        let answer =
            Key::new(server, key.source, key.protocol(), (key.destination_port(), key.source_port()));
        let state = opening_state(headers.transport);
        let flow = self.flows.open(now, [key, answer], [via, source], rule, state)?;
        self.pass(now, packet, headers, Found { flow, direction: 0 })
    }

    /// The first packet of a flow to a service.
    fn balance(
        &mut self,
        now: u64,
        packet: &mut Packet,
        headers: &Headers,
        source: u32,
        service: u32,
        rule: u32,
    ) -> Result<To, Stop> {
        match headers.transport {
            Transport::Tcp | Transport::Udp => {}
            Transport::EchoRequest => return self.echo(packet, headers, source),
            _ => {
                let (reason, notice) = (DropReason::NotTranslatable, Notice::ProtocolUnreachable);
                return Err(Stop::telling(reason, notice, headers));
            }
        }
        let flow = self.open_balanced(now, headers, source, service, rule)?;
        self.rules[rule as usize].flows += 1;
        self.pass(now, packet, headers, Found { flow, direction: 0 })
    }

    fn open_balanced(
        &mut self,
        now: u64,
        headers: &Headers,
        source: u32,
        service: u32,
        rule: u32,
    ) -> Result<u32, Stop> {
        let key = headers.key;
        let entry = &self.tables.services[service as usize];
        let members = entry.members.len();
        let first = self.turns[service as usize] as usize;
        let mut tries = 0;
        for step in 0..members {
            let turn = (first + step) % members;
            let member = entry.members[turn];
            if !self.in_rotation(member) {
                continue;
            }
            let address = |entry: &super::tables::EndpointEntry| if headers.v4 { entry.v4 } else { entry.v6 };
            let member_address = address(&self.tables.endpoints[member as usize]);
            // To itself, a client must not seem to speak from its own address.
            let peer: Address = if member == source { key.destination } else { key.source };
            let ports = (key.destination_port(), key.source_port());
            let reply = Key::new(member_address, peer, key.protocol(), ports);
            let state = opening_state(headers.transport);
            match self.flows.open(now, [key, reply], [member, source], rule, state) {
                Ok(flow) => {
                    self.turns[service as usize] = ((turn + 1) % members) as u32;
                    return Ok(flow);
                }
                Err(OpenError::Collision) if tries + 1 < TRIES_MAX => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
        if tries > 0 {
            return Err(DropReason::Collision.into());
        }
        Err(Stop::telling(DropReason::NoMember, Notice::HostUnreachable, headers))
    }

    /// A packet that no rule allows as the first of a flow: it may be an answer of a flow that is to be adopted.
    fn unknown(
        &mut self,
        now: u64,
        packet: &mut Packet,
        headers: &Headers,
        source: u32,
        owner: Owner,
    ) -> Result<To, Stop> {
        if let Some(found) = self.adopt_answer(now, headers, source, owner)? {
            return self.pass(now, packet, headers, found);
        }
        match headers.transport {
            Transport::EchoReply => Err(DropReason::Unrelated.into()),
            _ => Err(Stop::denied(DropReason::NotAllowed, headers)),
        }
    }

    /// A TCP packet that does not open a connection, of no known one.
    fn middle(
        &mut self,
        now: u64,
        packet: &mut Packet,
        headers: &Headers,
        source: u32,
        owner: Owner,
    ) -> Result<To, Stop> {
        if headers.flags & TCP_RST == 0 && now < self.adopt_until_ns {
            let wanted = want(headers, headers.key.destination_port());
            let to = match owner {
                Owner::Endpoint(to) => Some(to),
                Owner::Outside => Some(self.tables.via),
                Owner::Gateway | Owner::Service(_) => None,
            };
            if let (Some(to), Some(rule)) = (to, self.tables.allowed(source, owner, wanted))
                && self.adopts(now, [source, to])
            {
                let keys = [headers.key, headers.key.reversed()];
                let flow = self.adopt(now, keys, [to, source], rule, headers)?;
                return self.pass(now, packet, headers, Found { flow, direction: 0 });
            }
            if let Some(found) = self.adopt_answer(now, headers, source, owner)? {
                return self.pass(now, packet, headers, found);
            }
        }
        Err(Stop::telling(DropReason::OutOfState, Notice::Reset, headers))
    }

    /// During the grace after a restart, opens the flow that this packet is an answer of, if policy allows that.
    fn adopt_answer(
        &mut self,
        now: u64,
        headers: &Headers,
        source: u32,
        owner: Owner,
    ) -> Result<Option<Found>, Stop> {
        let Owner::Endpoint(opener) = owner else { return Ok(None) };
        let answers = headers.transport != Transport::EchoRequest;
        if !self.adopts(now, [source, opener]) || !answers || headers.flags & TCP_SYN != 0 {
            return Ok(None);
        }
        let wanted = want(headers, headers.key.source_port());
        let other = if self.is_foreign(source, headers) { Owner::Outside } else { Owner::Endpoint(source) };
        let Some(rule) = self.tables.allowed(opener, other, wanted) else {
            return Ok(None);
        };
        let keys = [headers.key.reversed(), headers.key];
        let flow = self.adopt(now, keys, [source, opener], rule, headers)?;
        Ok(Some(Found { flow, direction: 1 }))
    }

    fn adopt(
        &mut self,
        now: u64,
        keys: [Key; 2],
        to: [u32; 2],
        rule: u32,
        headers: &Headers,
    ) -> Result<u32, Stop> {
        let state = match headers.transport {
            Transport::Tcp => State::TcpEstablished,
            Transport::Udp => State::UdpStream,
            Transport::EchoRequest | Transport::EchoReply => State::EchoAnswered,
            _ => State::OtherAnswered,
        };
        let flow = self.flows.open(now, keys, to, rule, state)?;
        self.flows.counters.adopted += 1;
        self.rules[rule as usize].flows += 1;
        Ok(flow)
    }
}
