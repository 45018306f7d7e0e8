//! From a blueprint to what the dataplane is told.

use std::collections::HashSet;

use packet::PortId;
use packet::wire::MacAddr;
use softnic::fabric::Function;
use softnic::fabric::program::{DnsName, EmulatedLink, Endpoint, Network, Program, Rule, Selector, Service};

use crate::address::{Address, AddressPlan, IPV4_NETWORK, IPV4_PREFIX, IPV6_NETWORK, IPV6_PREFIX};
use crate::model::{Blueprint, Party, Ports, Protocol, Publish};

/// The dataplane's name for the process through which connections come in and go out; no host name can look like it.
pub const EDGE: &str = "_edge";

/// The network program of a blueprint. `port` tells where a container, or the edge, is attached.
///
/// A link to a service becomes one rule for its virtual address and one for each member, as
/// [`crate::check::reach`] has it. A published port becomes a rule for the edge, a link to the internet one to the
/// outside. Rules are numbered by what they
/// say, so that counters stay with a link when others come and go.
pub fn compile(
    blueprint: &Blueprint,
    addresses: &AddressPlan,
    port: impl Fn(&str) -> Option<u32>,
) -> Program {
    let gateway = AddressPlan::gateway();
    let mut program = Program::new(gateway.ipv4, gateway.ipv6);
    program.denied = blueprint.denied;
    program.inside = vec![
        Network { address: IPV4_NETWORK.into(), bits: IPV4_PREFIX },
        Network { address: IPV6_NETWORK.into(), bits: IPV6_PREFIX },
    ];
    let endpoint = |name: &str, own: Address, edge: bool| Endpoint {
        port: port(name).map_or(PortId::NONE, PortId),
        name: name.to_owned(),
        mac: MacAddr(own.mac),
        ipv4: own.ipv4,
        ipv6: own.ipv6,
        edge,
        resting: false,
    };
    program.endpoints.push(endpoint(EDGE, AddressPlan::edge(), true));
    for container in &blueprint.containers {
        let own = addresses.get(&container.name);
        program.endpoints.extend(own.map(|own| endpoint(&container.name, own, false)));
    }
    for service in &blueprint.services {
        let own = addresses.get(&service.name);
        program.services.extend(own.map(|own| Service {
            name: service.name.clone(),
            vip_v4: own.ipv4,
            vip_v6: own.ipv6,
            members: service.members.clone(),
        }));
    }
    let name = |(name, own): (&str, Address)| DnsName {
        name: name.to_owned(),
        ipv4s: vec![own.ipv4],
        ipv6s: vec![own.ipv6],
    };
    let aliases =
        blueprint.aliases.iter().filter_map(|(alias, own)| Some((alias.as_str(), addresses.get(own)?)));
    program.names = addresses.iter().chain(aliases).map(name).collect();
    let mut rules = Rules::default();
    for link in &blueprint.links {
        let Some(from) = selector(&link.from) else { continue };
        for to in destinations(blueprint, &link.to) {
            let label = link.span.to_string();
            let origin = Origin { label: &label, through: &link.through };
            rules.add(&from, to, link.protocol, link.ports, origin);
        }
    }
    for Publish { to, container_port, protocol, through, span, .. } in &blueprint.publishes {
        // The edge reaches a service by its virtual address, so that the members answer in turn.
        let Some(to) = selector(to) else { continue };
        let label = span.to_string();
        let origin = Origin { label: &label, through };
        rules.add(&Selector::Edge, to, *protocol, Ports::one(*container_port), origin);
    }
    program.rules = rules.rules;
    let links = blueprint.emulated.iter().filter_map(|link| {
        let (a, b) = (selector(&link.a)?, selector(&link.b)?);
        let id = hash(&format!("{a:?} {b:?}"));
        Some(EmulatedLink { id, a, b, shape: link.shape, label: link.span.to_string() })
    });
    program.links = links.collect();
    let functions = blueprint.functions.iter().map(|function| Function {
        name: function.name.clone(),
        words: function.run.clone(),
        affinity: function.affinity,
        instances: function.instances,
    });
    program.functions = functions.collect();
    program
}

fn selector(party: &Party) -> Option<Selector> {
    match party {
        Party::Container(name) => Some(Selector::Endpoint(name.clone())),
        Party::Service(name) => Some(Selector::Service(name.clone())),
        Party::PublicInternet => None,
    }
}

/// What a link to a party opens.
fn destinations(blueprint: &Blueprint, party: &Party) -> Vec<Selector> {
    if *party == Party::PublicInternet {
        return vec![Selector::Outside];
    }
    let mut all: Vec<_> = selector(party).into_iter().collect();
    if let Party::Service(_) = party {
        all.extend(blueprint.members(party).into_iter().map(|member| Selector::Endpoint(member.to_owned())));
    }
    all
}

/// Where a rule comes from, and what its flows go through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) label: &'a str,
    pub(crate) through: &'a [String],
}

impl<'a> From<&'a Rule> for Origin<'a> {
    fn from(rule: &'a Rule) -> Self {
        Self { label: &rule.label, through: &rule.through }
    }
}

/// Rules under construction: a link that is written twice is one rule, labelled with its first place.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) rules: Vec<Rule>,
    numbers: HashSet<u64>,
}

impl Rules {
    pub(crate) fn add(
        &mut self,
        from: &Selector,
        to: Selector,
        protocol: Protocol,
        ports: Ports,
        origin: Origin<'_>,
    ) {
        let id = number(from, &to, protocol, ports);
        if self.numbers.insert(id) {
            let ports = ports.min..=ports.max;
            let (label, through) = (origin.label.to_owned(), origin.through.to_owned());
            self.rules.push(Rule { id, from: from.clone(), to, protocol, ports, label, through });
        }
    }
}

/// A number that says what a rule says, the same in every program and version (FNV-1a, 64 bit:
/// <http://www.isthe.com/chongo/tech/comp/fnv/>).
fn number(from: &Selector, to: &Selector, protocol: Protocol, ports: Ports) -> u64 {
    hash(&format!("{from:?} {to:?} {protocol} {ports}"))
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Options, evaluate_text};

    #[test]
    fn links_become_rules_with_their_lines_and_lasting_numbers() {
        let text = "import {Container, allow, publish} from 'weft';
const web = new Container('web', {command: ['web'], replicas: 2});
const db = new Container('db', {command: ['db']});
allow(web, db, 5432);
allow(db, web, 80);
publish(web, 8080, 80);";
        let blueprint = evaluate_text("shop.js", text, &Options::default()).unwrap().blueprint;
        let addresses = AddressPlan::default().next(&blueprint).unwrap();
        let ports = [EDGE, "web-1", "web-2"];
        let port = |name: &str| ports.iter().position(|attached| *attached == name).map(|at| at as u32);
        let program = compile(&blueprint, &addresses, port);
        let rules: Vec<_> =
            program.rules.iter().map(|rule| format!("{} {} -> {}", rule.label, rule.from, rule.to)).collect();
        let lines =
            ["4:1 web -> db", "5:1 db -> web", "5:1 db -> web-1", "5:1 db -> web-2", "6:1 the edge -> web"];
        assert_eq!(rules, lines.map(|line| format!("shop.js:{line}")));
        let db = program.endpoints.iter().find(|endpoint| endpoint.name == "db").unwrap();
        assert_eq!(db.port, PortId::NONE);
        softnic::fabric::tables::compile(&program).expect("a program that makes sense");

        let fewer =
            evaluate_text("other.js", &text.replace("allow(web, db, 5432);\n", ""), &Options::default())
                .unwrap();
        let again = compile(&fewer.blueprint, &addresses, |_| None);
        assert_eq!(again.rules[0].id, program.rules[1].id);
    }
}
