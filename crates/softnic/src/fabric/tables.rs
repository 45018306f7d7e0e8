//! A program as the tables packets are looked up in.
//!
//! Whom a rule speaks of is a *party*: an endpoint, a service, the edge, or everybody outside. Rules are kept per pair of parties and
//! never multiplied by members: an endpoint that opens a flow is looked up as itself and as each party it belongs
//! to. Per pair and protocol the port ranges are cut into disjoint pieces, each with the first rule (in the
//! program's order) that covers it, so that a look-up is a hash and a binary search however many rules there are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use foldhash::fast::FixedState;
use packet::PortId;
use packet::wire::MacAddr;

use super::dns::Names;
use super::functions::Functions;
use super::header::Address;
use super::program::{
    Denied, ENDPOINTS_MAX, MEMBERS_MAX, MEMBERSHIPS_MAX, MTU_MIN, NAMES_MAX, NETWORKS_MAX, Network,
    PORT_ID_MAX, Program, ProgramError, Protocol, RULES_MAX, Rule, SERVICES_MAX, Selector,
};

/// No endpoint, no rule, no anything: the index that is never used.
pub(crate) const NONE: u32 = u32::MAX;

pub(crate) type FastMap<K, V> = HashMap<K, V, FixedState>;

/// Who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Gateway,
    Endpoint(u32),
    Service(u32),
    /// Somebody who is not of this network.
    Outside,
}

#[derive(Clone, Debug)]
pub(crate) struct EndpointEntry {
    pub(crate) name: Box<str>,
    pub(crate) port: PortId,
    pub(crate) mac: MacAddr,
    pub(crate) v4: Address,
    pub(crate) v6: Address,
    pub(crate) edge: bool,
    pub(crate) resting: bool,
    /// The first rule that lets it reach the outside, on whatever port.
    pub(crate) outside: u32,
    /// Who it is in the eyes of rules, as a source.
    pub(crate) parties: Box<[u32]>,
}

#[derive(Clone, Debug)]
pub(crate) struct ServiceEntry {
    pub(crate) name: Box<str>,
    pub(crate) v4: Address,
    pub(crate) v6: Address,
    pub(crate) members: Box<[u32]>,
}

#[derive(Clone, Debug)]
pub(crate) struct RuleEntry {
    pub(crate) id: u64,
    pub(crate) label: Box<str>,
    pub(crate) from: Box<str>,
    pub(crate) to: Box<str>,
    /// The chain of network functions that its flows pass, or [`NONE`].
    pub(crate) chain: u32,
}

/// Ports `min..=max` and the first rule that allows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) min: u16,
    pub(crate) max: u16,
    pub(crate) rule: u32,
}

/// What is allowed between two parties: places in [`Tables::pieces`], and rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) tcp: (u32, u32),
    pub(crate) udp: (u32, u32),
    /// The first rule that allows every protocol.
    pub(crate) other: u32,
    /// The first rule of all.
    first: u32,
}

/// What a packet wants, as rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Tcp(u16),
    Udp(u16),
    Echo,
    Other,
}

/// A program, checked and ready.
#[derive(Clone, Debug)]
pub struct Tables {
    pub(crate) gateway_v4: Address,
    pub(crate) gateway_v6: Address,
    pub(crate) gateway_mac: MacAddr,
    pub(crate) denied: Denied,
    pub(crate) mtu: usize,
    pub(crate) endpoints: Vec<EndpointEntry>,
    pub(crate) services: Vec<ServiceEntry>,
    pub(crate) rules: Vec<RuleEntry>,
    pub(crate) names: Names,
    pub(crate) functions: Functions,
    pub(crate) by_name: HashMap<Box<str>, Owner>,
    /// The edge that the way outside leads through; none where no rule leads there.
    pub(crate) via: u32,
    inside: Box<[Network]>,
    addresses: FastMap<Address, Owner>,
    ports: Vec<u32>,
    pub(crate) pairs: FastMap<u64, Pair>,
    pub(crate) pieces: Vec<Piece>,
}

impl Tables {
    /// The endpoint behind a port.
    #[inline]
    pub(crate) fn endpoint_of(&self, port: PortId) -> Option<u32> {
        self.ports.get(port.0 as usize).copied().filter(|endpoint| *endpoint != NONE)
    }

    /// Says where the instances of each network function are, in the program's order; without, they have the slots from 0
    /// on.
    pub fn place(&mut self, slots: Vec<Vec<u16>>) {
        self.functions.place(slots);
    }

    pub(crate) fn owner(&self, address: Address) -> Option<Owner> {
        let outside = || (self.via != NONE && self.is_outside(address)).then_some(Owner::Outside);
        self.addresses.get(&address).copied().or_else(outside)
    }

    /// Whether an address is one that somebody outside may have.
    pub(crate) fn is_outside(&self, address: Address) -> bool {
        let inside = || self.inside.iter().any(|network| network.contains(address.to_ip()));
        address.is_forwardable() && !self.addresses.contains_key(&address) && !inside()
    }

    /// Whether an endpoint is a member of a service.
    pub(crate) fn is_member(&self, endpoint: u32, service: u32) -> bool {
        let party = self.endpoints.len() as u32 + service;
        // Itself, then services in order, then the edge: which is in order throughout.
        self.endpoints[endpoint as usize].parties.binary_search(&party).is_ok()
    }

    /// The first rule that allows `source` to open such a flow to `destination`.
    pub(crate) fn allowed(&self, source: u32, destination: Owner, want: Want) -> Option<u32> {
        let count = self.endpoints.len() as u32;
        let edge = count + self.services.len() as u32;
        let to = match destination {
            Owner::Gateway => return None,
            Owner::Outside => [edge + 1, NONE],
            Owner::Service(index) => [count + index, NONE],
            // A destination is not looked up as the services it is a member of: those lead through their address.
            Owner::Endpoint(index) if self.endpoints[index as usize].edge => [index, edge],
            Owner::Endpoint(index) => [index, NONE],
        };
        let mut best = NONE;
        for to in to.into_iter().filter(|to| *to != NONE) {
            for from in &self.endpoints[source as usize].parties {
                if let Some(pair) = self.pairs.get(&(u64::from(*from) << 32 | u64::from(to))) {
                    best = best.min(self.first_match(pair, want));
                }
            }
        }
        (best != NONE).then_some(best)
    }

    fn first_match(&self, pair: &Pair, want: Want) -> u32 {
        let ((start, end), port) = match want {
            Want::Tcp(port) => (pair.tcp, port),
            Want::Udp(port) => (pair.udp, port),
            Want::Echo => return pair.first,
            Want::Other => return pair.other,
        };
        let pieces = &self.pieces[start as usize..end as usize];
        let at = pieces.partition_point(|piece| piece.max < port);
        pieces.get(at).filter(|piece| piece.min <= port).map_or(NONE, |piece| piece.rule)
    }
}

/// Checks a program and builds its tables.
///
/// # Errors
/// The first thing in it that makes no sense, see [`ProgramError`].
pub fn compile(program: &Program) -> Result<Tables, ProgramError> {
    check_limits(program)?;
    let (functions, chains) = Functions::compile(program)?;
    let mut tables = Tables {
        gateway_v4: program.gateway_v4.into(),
        gateway_v6: program.gateway_v6.into(),
        gateway_mac: program.gateway_mac,
        denied: program.denied,
        mtu: usize::from(program.mtu),
        endpoints: Vec::with_capacity(program.endpoints.len()),
        services: Vec::with_capacity(program.services.len()),
        rules: Vec::with_capacity(program.rules.len()),
        names: Names::compile(&program.names)?,
        functions,
        by_name: HashMap::with_capacity(program.endpoints.len() + program.services.len()),
        via: NONE,
        inside: program.inside.clone().into(),
        addresses: FastMap::default(),
        ports: Vec::new(),
        pairs: FastMap::default(),
        pieces: Vec::new(),
    };
    unicast_mac(program.gateway_mac, "the gateway")?;
    for address in [IpAddr::V4(program.gateway_v4), IpAddr::V6(program.gateway_v6)] {
        tables.claim(program, address, "the gateway", Owner::Gateway)?;
    }
    for endpoint in 0..program.endpoints.len() {
        tables.add_endpoint(program, endpoint)?;
    }
    for service in 0..program.services.len() {
        tables.add_service(program, service)?;
    }
    tables.add_parties(program)?;
    tables.add_rules(program, &chains)?;
    Ok(tables)
}

fn check_limits(program: &Program) -> Result<(), ProgramError> {
    let members = program.services.iter().map(|service| service.members.len()).sum();
    for (what, count, max) in [
        ("endpoints", program.endpoints.len(), ENDPOINTS_MAX),
        ("services", program.services.len(), SERVICES_MAX),
        ("members of services", members, MEMBERS_MAX),
        ("rules", program.rules.len(), RULES_MAX),
        ("names", program.names.len(), NAMES_MAX),
        ("networks", program.inside.len(), NETWORKS_MAX),
    ] {
        if count > max {
            return Err(ProgramError::TooMany { what, count, max });
        }
    }
    if program.mtu < MTU_MIN { Err(ProgramError::Mtu(program.mtu)) } else { Ok(()) }
}

fn unicast_mac(mac: MacAddr, name: &str) -> Result<(), ProgramError> {
    if mac.is_unicast() { Ok(()) } else { Err(ProgramError::NotUnicastMac { mac, name: name.into() }) }
}

/// Whether a name can be one: a DNS name in presentation form, without escapes.
pub(crate) fn check_name(name: &str) -> Result<(), ProgramError> {
    let fits = name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()));
    if fits { Ok(()) } else { Err(ProgramError::NotAName(name.into())) }
}

impl Tables {
    fn claim(&mut self, program: &Program, ip: IpAddr, name: &str, owner: Owner) -> Result<(), ProgramError> {
        let address = Address::from(ip);
        let mapped = matches!(ip, IpAddr::V6(_)) && address.is_v4();
        let loopback = ip.is_loopback();
        if address.is_multicast()
            || address.is_unspecified()
            || address.is_link_local_v6()
            || mapped
            || loopback
        {
            return Err(ProgramError::NotUnicast { address: ip, name: name.into() });
        }
        if let Some(first) = self.addresses.insert(address, owner) {
            let first = match first {
                Owner::Gateway => "the gateway",
                Owner::Endpoint(index) => &program.endpoints[index as usize].name,
                Owner::Service(index) => &program.services[index as usize].name,
                Owner::Outside => "the outside",
            };
            return Err(ProgramError::AddressTwice { address: ip, first: first.into(), second: name.into() });
        }
        Ok(())
    }

    fn claim_name(&mut self, name: &str, owner: Owner) -> Result<(), ProgramError> {
        check_name(name)?;
        match self.by_name.insert(name.into(), owner) {
            None => Ok(()),
            Some(_) => Err(ProgramError::NameTwice(name.into())),
        }
    }

    fn add_endpoint(&mut self, program: &Program, index: usize) -> Result<(), ProgramError> {
        let endpoint = &program.endpoints[index];
        let owner = Owner::Endpoint(index as u32);
        self.claim_name(&endpoint.name, owner)?;
        unicast_mac(endpoint.mac, &endpoint.name)?;
        self.claim(program, endpoint.ipv4.into(), &endpoint.name, owner)?;
        self.claim(program, endpoint.ipv6.into(), &endpoint.name, owner)?;
        if endpoint.port != PortId::NONE {
            self.claim_port(program, index)?;
        }
        self.endpoints.push(EndpointEntry {
            name: endpoint.name.as_str().into(),
            port: endpoint.port,
            mac: endpoint.mac,
            v4: endpoint.ipv4.into(),
            v6: endpoint.ipv6.into(),
            edge: endpoint.edge,
            resting: endpoint.resting,
            outside: NONE,
            parties: Box::default(),
        });
        Ok(())
    }

    fn claim_port(&mut self, program: &Program, index: usize) -> Result<(), ProgramError> {
        let endpoint = &program.endpoints[index];
        let port = endpoint.port;
        if port.0 > PORT_ID_MAX {
            return Err(ProgramError::PortTooHigh { port, name: endpoint.name.clone() });
        }
        let at = port.0 as usize;
        if self.ports.len() <= at {
            self.ports.resize(at + 1, NONE);
        }
        let first = std::mem::replace(&mut self.ports[at], index as u32);
        if first != NONE {
            let first = program.endpoints[first as usize].name.clone();
            return Err(ProgramError::PortTwice { port, first, second: endpoint.name.clone() });
        }
        Ok(())
    }

    fn add_service(&mut self, program: &Program, index: usize) -> Result<(), ProgramError> {
        let service = &program.services[index];
        let owner = Owner::Service(index as u32);
        self.claim_name(&service.name, owner)?;
        self.claim(program, service.vip_v4.into(), &service.name, owner)?;
        self.claim(program, service.vip_v6.into(), &service.name, owner)?;
        let mut seen = HashSet::with_capacity(service.members.len());
        let mut members = Vec::with_capacity(service.members.len());
        for member in &service.members {
            let (service, member_name) = (service.name.clone(), member.clone());
            let Some(Owner::Endpoint(endpoint)) = self.by_name.get(member.as_str()).copied() else {
                return Err(ProgramError::UnknownMember { service, member: member_name });
            };
            if !seen.insert(endpoint) {
                return Err(ProgramError::MemberTwice { service, member: member_name });
            }
            members.push(endpoint);
        }
        self.services.push(ServiceEntry {
            name: service.name.as_str().into(),
            v4: service.vip_v4.into(),
            v6: service.vip_v6.into(),
            members: members.into(),
        });
        Ok(())
    }

    fn add_parties(&mut self, program: &Program) -> Result<(), ProgramError> {
        let count = self.endpoints.len() as u32;
        let edge = count + self.services.len() as u32;
        let mut parties: Vec<Vec<u32>> = (0..count).map(|endpoint| vec![endpoint]).collect();
        for (index, service) in self.services.iter().enumerate() {
            for member in &service.members {
                parties[*member as usize].push(count + index as u32);
            }
        }
        for ((entry, endpoint), mut parties) in self.endpoints.iter_mut().zip(&program.endpoints).zip(parties)
        {
            if parties.len() > MEMBERSHIPS_MAX + 1 {
                return Err(ProgramError::Memberships { endpoint: endpoint.name.clone() });
            }
            if endpoint.edge {
                parties.push(edge);
            }
            entry.parties = parties.into();
        }
        Ok(())
    }

    fn party_of(&self, rule: &Rule, selector: &Selector) -> Result<u32, ProgramError> {
        let count = self.endpoints.len() as u32;
        let edge = count + self.services.len() as u32;
        let owner = match selector {
            Selector::Edge => return Ok(edge),
            Selector::Outside => return Ok(edge + 1),
            Selector::Endpoint(name) | Selector::Service(name) => self.by_name.get(name.as_str()),
        };
        match (selector, owner) {
            (Selector::Endpoint(_), Some(Owner::Endpoint(index))) => Ok(*index),
            (Selector::Service(_), Some(Owner::Service(index))) => Ok(count + index),
            _ => Err(ProgramError::UnknownParty {
                id: rule.id,
                label: rule.label.clone(),
                selector: selector.clone(),
            }),
        }
    }

    fn add_rules(&mut self, program: &Program, chains: &[u32]) -> Result<(), ProgramError> {
        let mut ids = HashSet::with_capacity(program.rules.len());
        let mut ordered = Vec::with_capacity(program.rules.len());
        for (index, rule) in program.rules.iter().enumerate() {
            if !ids.insert(rule.id) {
                return Err(ProgramError::RuleTwice(rule.id));
            }
            if rule.ports.is_empty() {
                let (min, max) = (*rule.ports.start(), *rule.ports.end());
                return Err(ProgramError::EmptyPorts { id: rule.id, label: rule.label.clone(), min, max });
            }
            let (from, to) = (self.party_of(rule, &rule.from)?, self.party_of(rule, &rule.to)?);
            self.check_outside(rule)?;
            ordered.push((u64::from(from) << 32 | u64::from(to), index as u32));
            self.rules.push(RuleEntry {
                id: rule.id,
                label: rule.label.as_str().into(),
                from: rule.from.to_string().into(),
                to: rule.to.to_string().into(),
                chain: chains[index],
            });
        }
        ordered.sort_unstable();
        for group in ordered.chunk_by(|a, b| a.0 == b.0) {
            let rules = || group.iter().map(|(_, index)| (*index, &program.rules[*index as usize]));
            let all_ports = |rule: &Rule| rule.protocol == Protocol::Any && rule.ports == (0..=u16::MAX);
            let other = rules().find(|(_, rule)| all_ports(rule)).map_or(NONE, |(index, _)| index);
            let tcp = self.add_pieces(rules().filter(|(_, rule)| rule.protocol.covers(Protocol::Tcp)));
            let udp = self.add_pieces(rules().filter(|(_, rule)| rule.protocol.covers(Protocol::Udp)));
            self.pairs.insert(group[0].0, Pair { tcp, udp, other, first: group[0].1 });
        }
        self.note_outside();
        Ok(())
    }

    /// Finds the way out for a rule that leads there.
    fn check_outside(&mut self, rule: &Rule) -> Result<(), ProgramError> {
        let wrong = |what| Err(ProgramError::Outside { id: rule.id, label: rule.label.clone(), what });
        if rule.from == Selector::Outside {
            return wrong("nobody outside opens flows: those that come in do so at the edge");
        }
        if rule.to == Selector::Outside && self.via == NONE {
            let Some(edge) = self.endpoints.iter().position(|endpoint| endpoint.edge) else {
                return wrong("it leads outside, and there is no edge to go through");
            };
            self.via = edge as u32;
        }
        Ok(())
    }

    /// Notes at each endpoint which rule lets it reach the outside.
    fn note_outside(&mut self) {
        let outside = (self.endpoints.len() + self.services.len()) as u32 + 1;
        for at in 0..self.endpoints.len() {
            let rules = self.endpoints[at].parties.iter().filter_map(|party| {
                self.pairs.get(&(u64::from(*party) << 32 | u64::from(outside))).map(|pair| pair.first)
            });
            self.endpoints[at].outside = rules.min().unwrap_or(NONE);
        }
    }

    /// Cuts ranges that may overlap into disjoint pieces, each with the lowest rule over it: a sweep over the
    /// places where ranges start and end, with the set of rules open there.
    fn add_pieces<'a>(&mut self, rules: impl Iterator<Item = (u32, &'a Rule)>) -> (u32, u32) {
        let start = self.pieces.len();
        let mut edges: Vec<(u32, bool, u32)> = Vec::new();
        for (index, rule) in rules {
            edges.push((u32::from(*rule.ports.start()), true, index));
            edges.push((u32::from(*rule.ports.end()) + 1, false, index));
        }
        edges.sort_unstable();
        let mut open = BTreeSet::new();
        let mut edges = edges.into_iter().peekable();
        while let Some((port, opens, rule)) = edges.next() {
            if opens {
                open.insert(rule);
            } else {
                open.remove(&rule);
            }
            let Some((next, ..)) = edges.peek() else { break };
            let Some(first) = open.first().filter(|_| *next > port) else { continue };
            let (min, max) = (port as u16, (*next - 1) as u16);
            match self.pieces[start..].last_mut() {
                Some(last) if last.rule == *first && u32::from(last.max) + 1 == port => last.max = max,
                _ => self.pieces.push(Piece { min, max, rule: *first }),
            }
        }
        (start as u32, self.pieces.len() as u32)
    }
}
