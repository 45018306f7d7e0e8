//! Replacing the program while flows live.

use std::collections::{HashMap, HashSet};

use packet::PortId;

use super::conntrack::{Flow, State};
use super::datapath::Fabric;
use super::header::{TCP, UDP};
use super::program::{Program, ProgramError};
use super::state::{EndpointState, RuleState};
use super::tables::{NONE, Owner, Tables, Want, compile};

impl Fabric {
    /// Replaces the program. Flows that the new one allows live on, with the member they were balanced to; the
    /// others are cut, and their next packet is answered with a reset. Counters stay with the names of endpoints and
    /// the numbers of rules. A program that is wrong changes nothing. Returns how many flows were cut.
    ///
    /// # Errors
    /// What is wrong with the program.
    pub fn apply(&mut self, program: &Program) -> Result<u64, ProgramError> {
        Ok(self.replace(compile(program)?))
    }

    /// [`Fabric::apply`] for a program that was compiled elsewhere, so that packets need not wait for that.
    pub fn replace(&mut self, tables: Tables) -> u64 {
        let cut_before = self.flows.counters.cut;
        let old = std::mem::replace(&mut self.tables, tables);
        self.keep_endpoints(&old);
        self.keep_rules(&old);
        self.keep_turns(&old);
        self.keep_slots(&old.functions);
        self.keep_flows();
        let tables = &self.tables;
        self.denied.retain_sources(|source| matches!(tables.owner(source), Some(Owner::Endpoint(_))));
        self.flows.counters.cut - cut_before
    }

    /// Removes the flows of whatever is behind these ports: it is gone, and what comes there next is not to hear what
    /// was meant for it. Packets that go on with such a flow are answered with a reset. Returns how many there were.
    pub fn forget(&mut self, ports: &[PortId]) -> u64 {
        let gone: HashSet<u32> = ports.iter().filter_map(|port| self.tables.endpoint_of(*port)).collect();
        let before = self.flows.counters.orphaned;
        for flow in 0..self.flows.entries() {
            if self.flows.is_live(flow) && self.flows.get(flow).to.iter().any(|end| gone.contains(end)) {
                self.flows.remove(flow);
                self.flows.counters.orphaned += 1;
            }
        }
        self.flows.counters.orphaned - before
    }

    fn keep_endpoints(&mut self, old: &Tables) {
        let mut states = std::mem::take(&mut self.endpoints);
        let kept = self.tables.endpoints.iter().map(|endpoint| {
            let attached = endpoint.port != PortId::NONE;
            let Some(Owner::Endpoint(before)) = old.by_name.get(&endpoint.name).copied() else {
                return EndpointState { up: attached, ..EndpointState::default() };
            };
            let same_port = old.endpoints[before as usize].port == endpoint.port;
            let state = std::mem::take(&mut states[before as usize]);
            let from_before = state.from_before && same_port;
            EndpointState { up: if same_port { state.up } else { attached }, from_before, ..state }
        });
        self.endpoints = kept.collect();
    }

    fn keep_rules(&mut self, old: &Tables) {
        let before: HashMap<u64, RuleState> =
            old.rules.iter().map(|rule| rule.id).zip(self.rules.iter().copied()).collect();
        let kept = self
            .tables
            .rules
            .iter()
            .map(|rule| RuleState { chain: rule.chain, ..before.get(&rule.id).copied().unwrap_or_default() });
        self.rules = kept.collect();
    }

    fn keep_turns(&mut self, old: &Tables) {
        let kept = self.tables.services.iter().map(|service| {
            let Some(Owner::Service(before)) = old.by_name.get(&service.name).copied() else { return 0 };
            self.turns[before as usize].checked_rem(service.members.len() as u32).unwrap_or(0)
        });
        self.turns = kept.collect();
    }

    fn keep_flows(&mut self) {
        for flow in 0..self.flows.entries() {
            if !self.flows.is_live(flow) {
                continue;
            }
            match allow_again(&self.tables, self.flows.get(flow)) {
                Some((to, rule)) => self.flows.redirect(flow, to, rule),
                None => {
                    self.flows.remove(flow);
                    self.flows.counters.cut += 1;
                }
            }
        }
    }
}

/// Where a flow's packets go under new tables and which rule allows it; `None` when none does.
fn allow_again(tables: &Tables, flow: &Flow) -> Option<([u32; 2], u32)> {
    let keys = &flow.keys;
    let Some(Owner::Endpoint(opener)) = tables.owner(keys[0].source) else { return None };
    let other = match tables.owner(keys[1].source)? {
        Owner::Endpoint(other) => other,
        Owner::Outside => tables.via,
        Owner::Gateway | Owner::Service(_) => return None,
    };
    let owner = tables.owner(keys[0].destination)?;
    if owner == Owner::Gateway {
        // A question that is passed on to a resolver outside.
        let rule = tables.endpoints[opener as usize].outside;
        return (rule != NONE && other == tables.via).then_some(([other, opener], rule));
    }
    let same_place = match owner {
        Owner::Gateway => false,
        Owner::Outside => tables.owner(keys[1].source) == Some(Owner::Outside),
        Owner::Endpoint(endpoint) => endpoint == other,
        Owner::Service(service) => tables.is_member(other, service),
    };
    let port = keys[0].destination_port();
    let want = match (keys[0].protocol(), flow.state) {
        (TCP, _) => Want::Tcp(port),
        (UDP, _) => Want::Udp(port),
        (_, State::EchoOneWay | State::EchoAnswered) => Want::Echo,
        _ => Want::Other,
    };
    let rule = tables.allowed(opener, owner, want).filter(|_| same_place)?;
    Some(([other, opener], rule))
}
