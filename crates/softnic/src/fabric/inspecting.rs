//! What people see of the fabric: counters, and explanations from the very tables that packets are looked up in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use packet::PortId;

use super::answer::LINK_LOCAL_GATEWAY;
use super::datapath::Fabric;
use super::functions::{FunctionCounters, InstanceCounters};
use super::header::{Address, TCP, UDP};
use super::policy::Policy;
use super::program::Protocol;
use super::report::{
    Counters, DeniedPair, DropReason, EndpointCounters, ExplainError, Explanation, RuleCounters,
};
use super::tables::{Owner, Tables, Want};

/// How long after its last datagram a flow may still be waiting for one.
const DATAGRAMS_LAST_NS: u64 = 2_000_000_000;

impl Fabric {
    /// Everything that is counted, as of now.
    pub fn counters(&self) -> Counters {
        let endpoints =
            self.tables.endpoints.iter().zip(&self.endpoints).enumerate().map(|(at, (entry, state))| {
                EndpointCounters {
                    name: entry.name.to_string(),
                    port: (entry.port != PortId::NONE).then_some(entry.port.0),
                    up: state.up,
                    in_rotation: self.in_rotation(at as u32),
                    sent_packets: state.sent_packets,
                    sent_bytes: state.sent_bytes,
                    received_packets: state.received_packets,
                    received_bytes: state.received_bytes,
                    dropped_packets: state.dropped_packets,
                }
            });
        let drops = DropReason::ALL.into_iter().map(|reason| (reason, self.drops[reason as usize]));
        Counters {
            endpoints: endpoints.collect(),
            rules: (0..self.rules.len()).map(|rule| self.rule_counters(rule as u32)).collect(),
            drops: drops.filter(|(_, count)| *count > 0).collect(),
            denied: self.denied_pairs(),
            denied_unlisted: self.denied.unlisted,
            flows: self.flows.counters,
            answers: self.answers,
            links: Vec::new(),
            functions: (0..self.tables.functions.entries.len())
                .map(|at| self.function_counters(at))
                .collect(),
        }
    }

    fn function_counters(&self, function: usize) -> FunctionCounters {
        let entry = &self.tables.functions.entries[function];
        let instances = entry.slots.iter().map(|slot| {
            let state = self.slots[usize::from(*slot)];
            let (packets, bytes, left) = (state.packets, state.bytes, state.left);
            InstanceCounters { packets, bytes, left, ..InstanceCounters::default() }
        });
        FunctionCounters {
            name: entry.name.to_string(),
            words: entry.words.to_vec(),
            affinity: entry.affinity,
            slots: entry.slots.to_vec(),
            instances: instances.collect(),
        }
    }

    /// The functions that flows of a rule pass.
    fn functions_of(&self, rule: u32) -> Vec<FunctionCounters> {
        let chain = self.tables.functions.chains.get(self.tables.rules[rule as usize].chain as usize);
        let functions = chain.map_or(&[][..], |chain| chain);
        functions.iter().map(|function| self.function_counters(*function as usize)).collect()
    }

    /// Connections to each of these endpoints, whatever address they were opened to, and whether services give it new
    /// ones. Counted is TCP that is open or being opened, and UDP with a datagram in the last two seconds.
    /// What no endpoint is called has none and is given none.
    pub fn rotation(&self, now_ns: u64, names: &[String]) -> Vec<(u64, bool)> {
        let mut counts = vec![0; self.tables.endpoints.len()];
        for flow in (0..self.flows.entries()).filter(|flow| self.flows.is_live(*flow)) {
            let entry = self.flows.get(flow);
            let lasts = match entry.keys[0].protocol() {
                TCP => !entry.state.is_over(),
                UDP => now_ns.saturating_sub(entry.last_ns()) < DATAGRAMS_LAST_NS,
                _ => false,
            };
            if lasts {
                counts[entry.to[0] as usize] += 1;
            }
        }
        let state = |name: &String| match self.tables.by_name.get(name.as_str()) {
            Some(Owner::Endpoint(endpoint)) => (counts[*endpoint as usize], self.in_rotation(*endpoint)),
            _ => (0, false),
        };
        names.iter().map(state).collect()
    }

    fn rule_counters(&self, rule: u32) -> RuleCounters {
        let (entry, state) = (&self.tables.rules[rule as usize], &self.rules[rule as usize]);
        RuleCounters {
            id: entry.id,
            label: entry.label.to_string(),
            from: entry.from.to_string(),
            to: entry.to.to_string(),
            flows: state.flows,
            packets: state.packets,
            bytes: state.bytes,
        }
    }

    fn denied_pairs(&self) -> Vec<DeniedPair> {
        // IPv4 and IPv6 between the same two are one pair for people.
        let mut named: BTreeMap<(String, String), DeniedPair> = BTreeMap::new();
        for (from, to, pair) in self.denied.iter() {
            let (source, destination) = (self.tables.name_of(from), self.tables.name_of(to));
            let before = named.remove(&(source.clone(), destination.clone()));
            let packets = pair.packets + before.as_ref().map_or(0, |before| before.packets);
            let fresh = DeniedPair {
                source: source.clone(),
                destination: destination.clone(),
                reason: pair.reason,
                packets: pair.packets,
                protocol: pair.protocol,
                port: pair.port,
                last_ns: pair.last_ns,
            };
            let last = before.filter(|before| before.last_ns > fresh.last_ns).unwrap_or(fresh);
            named.insert((source, destination), DeniedPair { packets, ..last });
        }
        let mut pairs: Vec<DeniedPair> = named.into_values().collect();
        pairs.sort_by(|a, b| {
            let names = |pair: &DeniedPair| (pair.source.clone(), pair.destination.clone());
            b.packets.cmp(&a.packets).then_with(|| names(a).cmp(&names(b)))
        });
        pairs
    }

    /// Everything that may pass, from the tables that packets are looked up in.
    pub fn policy(&self) -> Policy {
        self.tables.policy()
    }

    /// Whether `source` may open a flow to `destination` (names or addresses; `publicInternet` is everybody outside),
    /// and why. A service as the source stands
    /// for its members: the answer is about one that may not, if there is one.
    ///
    /// # Errors
    /// [`ExplainError`] when one of them does not exist.
    pub fn explain(
        &self,
        source: &str,
        destination: &str,
        protocol: Protocol,
        port: u16,
    ) -> Result<Explanation, ExplainError> {
        let sources = self.sources(source);
        let Some(first) = sources.first().copied() else {
            return Err(ExplainError::UnknownSource(source.to_owned()));
        };
        let (owner, address) = self.find(destination)?;
        let want = match protocol {
            Protocol::Tcp => Want::Tcp(port),
            Protocol::Udp => Want::Udp(port),
            Protocol::Any => Want::Other,
        };
        let rule_of = |from: u32| owner.and_then(|owner| self.tables.allowed(from, owner, want));
        let from = sources.iter().copied().find(|from| rule_of(*from).is_none()).unwrap_or(first);
        let rule = rule_of(from);
        let service = match owner {
            Some(Owner::Service(index)) => Some(&self.tables.services[index as usize]),
            _ => None,
        };
        let serves = |member: &&u32| self.in_rotation(**member);
        let members: Vec<String> = service.map_or(Vec::new(), |service| {
            let name = |member: &u32| self.tables.endpoints[*member as usize].name.to_string();
            service.members.iter().filter(serves).map(name).collect()
        });
        let gateway_answers =
            owner == Some(Owner::Gateway) && protocol == Protocol::Udp && port == super::dns::PORT;
        let reason = match owner {
            None => Some(DropReason::UnknownDestination),
            Some(Owner::Gateway) => (!gateway_answers).then_some(DropReason::NoSuchPort),
            Some(_) if rule.is_none() => Some(DropReason::NotAllowed),
            Some(Owner::Service(_)) if protocol == Protocol::Any => Some(DropReason::NotTranslatable),
            Some(Owner::Service(_)) => members.is_empty().then_some(DropReason::NoMember),
            Some(Owner::Endpoint(to)) => (!self.endpoints[to as usize].up).then_some(DropReason::PortDown),
            Some(Owner::Outside) if protocol == Protocol::Any => Some(DropReason::OutsideProtocol),
            Some(Owner::Outside) => {
                (!self.endpoints[self.tables.via as usize].up).then_some(DropReason::PortDown)
            }
        };
        Ok(Explanation {
            source: self.tables.endpoints[from as usize].name.to_string(),
            destination: destination.to_owned(),
            address: address.map(Address::to_ip),
            protocol,
            port,
            allowed: reason.is_none(),
            rule: rule.map(|rule| self.tables.rules[rule as usize].id),
            label: rule.map(|rule| self.tables.rules[rule as usize].label.to_string()),
            service: service.map(|service| service.name.to_string()),
            members,
            counter: rule.map(|rule| self.rule_counters(rule)),
            denied_packets: self.denied_to(from, owner, address),
            denied: self.tables.denied,
            reason,
            link: None,
            functions: rule.filter(|_| reason.is_none()).map_or(Vec::new(), |rule| self.functions_of(rule)),
        })
    }

    /// The endpoints that a name or address stands for as a source: itself, or a service's members.
    fn sources(&self, source: &str) -> Vec<u32> {
        let by_address = || self.tables.owner(Address::from(source.parse::<IpAddr>().ok()?));
        match self.tables.by_name.get(source).copied().or_else(by_address) {
            Some(Owner::Endpoint(endpoint)) => vec![endpoint],
            Some(Owner::Service(service)) => self.tables.services[service as usize].members.to_vec(),
            // What comes from outside comes from the edge.
            None if is_outside(source) => {
                let edges = 0..self.tables.endpoints.len() as u32;
                edges.filter(|edge| self.tables.endpoints[*edge as usize].edge).collect()
            }
            Some(Owner::Gateway | Owner::Outside) | None => Vec::new(),
        }
    }

    /// Who is meant, and at which address; everybody outside has none.
    fn find(&self, destination: &str) -> Result<(Option<Owner>, Option<Address>), ExplainError> {
        if let Some(owner) = self.tables.by_name.get(destination).copied() {
            return Ok((Some(owner), self.tables.addresses_of(owner).first().copied()));
        }
        if is_outside(destination) {
            return Ok((Some(Owner::Outside), None));
        }
        let ip: IpAddr =
            destination.parse().map_err(|_| ExplainError::UnknownDestination(destination.to_owned()))?;
        let address = Address::from(ip);
        let gateway = (address == LINK_LOCAL_GATEWAY).then_some(Owner::Gateway);
        Ok((gateway.or_else(|| self.tables.owner(address)), Some(address)))
    }

    /// Packets denied so far, over both families.
    fn denied_to(&self, from: u32, owner: Option<Owner>, address: Option<Address>) -> u64 {
        let entry = &self.tables.endpoints[from as usize];
        let packets = |destination: Address| {
            let source = if destination.is_v4() { entry.v4 } else { entry.v6 };
            self.denied.packets(source, destination)
        };
        match (owner, address) {
            (None | Some(Owner::Outside), Some(address)) => packets(address),
            (None | Some(Owner::Outside), None) => {
                let outside = self.denied.iter().filter(|(source, to, _)| {
                    (*source == entry.v4 || *source == entry.v6) && self.tables.is_outside(*to)
                });
                outside.map(|(_, _, pair)| pair.packets).sum()
            }
            (Some(owner), _) => self.tables.addresses_of(owner).iter().map(|to| packets(*to)).sum(),
        }
    }
}

impl Tables {
    /// Both addresses, IPv4 first; none of those outside.
    fn addresses_of(&self, owner: Owner) -> Vec<Address> {
        match owner {
            Owner::Outside => Vec::new(),
            Owner::Gateway => vec![self.gateway_v4, self.gateway_v6],
            Owner::Endpoint(index) => {
                let endpoint = &self.endpoints[index as usize];
                vec![endpoint.v4, endpoint.v6]
            }
            Owner::Service(index) => {
                let service = &self.services[index as usize];
                vec![service.v4, service.v6]
            }
        }
    }

    fn name_of(&self, address: Address) -> String {
        match self.owner(address) {
            Some(Owner::Endpoint(index)) => self.endpoints[index as usize].name.to_string(),
            Some(Owner::Service(index)) => self.services[index as usize].name.to_string(),
            Some(Owner::Gateway) => "the gateway".to_owned(),
            Some(Owner::Outside) | None => address.to_ip().to_string(),
        }
    }
}

/// Whether a name means everybody outside: as blueprints write it, and as listings show it.
fn is_outside(name: &str) -> bool {
    matches!(name, "publicInternet" | "public internet")
}
