//! Policy on random programs, held equal to the obvious reading of the list of rules.

mod fabric_kit;

use fabric_kit::{Net, SYN, Way, frame, mac, program, rule, to};
use packet::wire::tcp::Flags;
use proptest::prelude::*;
use softnic::fabric::Program;
use softnic::fabric::program::{Protocol, Rule, Selector, Service};

const ENDPOINTS: usize = 7;
const SERVICES: usize = 3;

fn name(endpoint: usize) -> String {
    ["client", "web", "db", "r1", "r2", "r3", "loner"][endpoint].into()
}

/// Whether a selector speaks of an endpoint.
fn speaks_of(selector: &Selector, endpoint: usize, program: &Program) -> bool {
    match selector {
        Selector::Endpoint(party) => *party == name(endpoint),
        Selector::Service(party) => program
            .services
            .iter()
            .any(|service| service.name == *party && service.members.contains(&name(endpoint))),
        Selector::Edge => program.endpoints[endpoint].edge,
        // As a destination only, and tested in `fabric_outside.rs`.
        Selector::Outside => false,
    }
}

/// The twin: the first rule that says yes, from top to bottom.
fn first_rule(program: &Program, from: usize, to: &Selector, protocol: Protocol, port: u16) -> Option<u64> {
    let says_yes = |rule: &&Rule| {
        let speaks_to = match (&rule.to, to) {
            (Selector::Edge, Selector::Endpoint(party)) => {
                program.endpoints.iter().any(|endpoint| endpoint.edge && endpoint.name == *party)
            }
            (rule, asked) => rule == asked,
        };
        let speaks_over = match protocol {
            Protocol::Any => rule.protocol == Protocol::Any && rule.ports == (0..=65535),
            Protocol::Tcp => rule.protocol != Protocol::Udp && rule.ports.contains(&port),
            Protocol::Udp => rule.protocol != Protocol::Tcp && rule.ports.contains(&port),
        };
        speaks_of(&rule.from, from, program) && speaks_to && speaks_over
    };
    program.rules.iter().find(says_yes).map(|rule| rule.id)
}

fn selectors() -> impl Strategy<Value = Selector> {
    prop_oneof![
        4 => (0..ENDPOINTS).prop_map(|endpoint| Selector::Endpoint(name(endpoint))),
        3 => (0..SERVICES).prop_map(|service| Selector::Service(format!("s{service}"))),
        1 => Just(Selector::Edge),
    ]
}

fn ports() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![Just((0, 65535)), (0..12u16, 0..12u16), (65_530..=65_535u16, 65_530..=65_535u16)]
        .prop_map(|(a, b)| (a.min(b), a.max(b)))
}

prop_compose! {
    fn programs()(
        rules in prop::collection::vec((selectors(), selectors(), 0..3usize, ports()), 0..24),
        members in prop::collection::vec(prop::collection::btree_set(0..ENDPOINTS, 0..4), SERVICES),
        edges in prop::collection::vec(prop::bool::weighted(0.2), ENDPOINTS),
    ) -> Program {
        let mut random = program();
        let service = |(index, members): (usize, std::collections::BTreeSet<usize>)| Service {
            name: format!("s{index}"),
            vip_v4: [10, 181, 1, index as u8].into(),
            vip_v6: std::net::Ipv6Addr::new(0xfd57, 1, 0, 0, 0, 0, 0, index as u16),
            members: members.into_iter().map(name).collect(),
        };
        random.services = members.into_iter().enumerate().map(service).collect();
        for (endpoint, edge) in random.endpoints.iter_mut().zip(edges) {
            endpoint.edge = edge;
        }
        let protocols = [Protocol::Any, Protocol::Tcp, Protocol::Udp];
        random.rules = rules
            .into_iter()
            .enumerate()
            .map(|(id, (from, to, protocol, (min, max)))| Rule {
                from,
                ..rule(id as u64 + 1, "", to, protocols[protocol], min..=max)
            })
            .collect();
        random
    }
}

fn questions() -> impl Strategy<Value = Vec<(usize, usize, u16)>> {
    let port = prop_oneof![0..14u16, 65_528..=65_535u16, any::<u16>()];
    prop::collection::vec((0..ENDPOINTS, 0..ENDPOINTS + SERVICES, port), 40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn explanations_equal_the_list_of_rules(program in programs(), questions in questions()) {
        let net = Net::new(&program);
        for (from, target, port) in questions {
            for protocol in [Protocol::Any, Protocol::Tcp, Protocol::Udp] {
                let selector = match target.checked_sub(ENDPOINTS) {
                    Some(service) => Selector::Service(format!("s{service}")),
                    None => to(&name(target)),
                };
                let asked = selector.to_string();
                let told = net.fabric.explain(&name(from), &asked, protocol, port).unwrap();
                let expected = first_rule(&program, from, &selector, protocol, port);
                prop_assert_eq!(told.rule, expected, "{} -> {} {}/{}", name(from), asked, protocol, port);
            }
        }
    }

    /// The listing, read as its documentation says.
    #[test]
    fn the_listing_equals_the_list_of_rules(program in programs(), questions in questions()) {
        let policy = Net::new(&program).fabric.policy();
        for (from, target, port) in questions {
            for protocol in [Protocol::Any, Protocol::Tcp, Protocol::Udp] {
                let selector = match target.checked_sub(ENDPOINTS) {
                    Some(service) => Selector::Service(format!("s{service}")),
                    None => to(&name(target)),
                };
                let is_edge = target < ENDPOINTS && program.endpoints[target].edge;
                let source = policy.sources.iter().find(|source| source.name == name(from)).unwrap();
                let found = policy.openings.iter().find(|open| {
                    source.parties.contains(&open.from)
                        && (open.to == selector.to_string() || is_edge && open.to == "the edge")
                        && open.protocol == protocol
                        && (open.min..=open.max).contains(&port)
                });
                let expected = first_rule(&program, from, &selector, protocol, port);
                prop_assert_eq!(found.map(|open| open.rule), expected, "{} -> {} {}/{}", name(from), selector, protocol, port);
            }
        }
    }

    #[test]
    fn packets_equal_the_list_of_rules(program in programs(), questions in questions(), v6: bool) {
        let mut net = Net::new(&program);
        for (client_port, (from, target, port)) in (1000..).zip(questions) {
            if from == target {
                continue;
            }
            let way = Way::new(from as u32, target as u32, (client_port, port), v6);
            let (bytes, selector, members) = match target.checked_sub(ENDPOINTS) {
                Some(service) => {
                    let vip = match v6 {
                        true => program.services[service].vip_v6.into(),
                        false => program.services[service].vip_v4.into(),
                    };
                    // As for an endpoint, but to the service's address.
                    let plain = Way { to: 0, ..way }.tcp(SYN, b"");
                    let (l4, protocol) = fabric_kit::transport(&plain);
                    let bytes = frame(from as u32, fabric_kit::ip(from as u32, v6), vip, protocol, &plain[l4..]);
                    let members = program.services[service].members.clone();
                    (bytes, Selector::Service(format!("s{service}")), members)
                }
                None => (way.tcp(SYN, b""), to(&name(target)), vec![name(target)]),
            };
            let out = net.send(from as u32, &bytes).expect("an answer, at least");
            let expected = first_rule(&program, from, &selector, Protocol::Tcp, port);
            let passed = fabric_kit::transport(&out.frame).1 == packet::wire::IpProtocol::TCP;
            let possible = expected.is_some() && !members.is_empty();
            prop_assert_eq!(passed, possible, "{} -> {}:{}", name(from), selector, port);
            if passed {
                prop_assert!(members.contains(&name(out.port as usize)));
                prop_assert_eq!(&out.frame[..6], &mac(out.port).0[..]);
                prop_assert_eq!(fabric_kit::tcp_flags(&out.frame), Flags::SYN);
            }
        }
    }
}
