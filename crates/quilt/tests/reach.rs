//! Reachability against the obvious: expand every link into pairs of names and look the pair up.

use std::collections::HashSet;

use proptest::prelude::*;
use quilt::check::reach::{Index, allowed};
use quilt::model::{Blueprint, Container, Link, Party, Ports, Protocol, Service, Span};

const CONTAINERS: [&str; 5] = ["a", "b", "c", "d", "e"];
const SERVICES: [&str; 3] = ["s", "t", "u"];

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![
        prop::sample::select(&CONTAINERS[..]).prop_map(|name| Party::Container(name.into())),
        prop::sample::select(&SERVICES[..]).prop_map(|name| Party::Service(name.into())),
        Just(Party::PublicInternet),
    ]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(&[Protocol::Any, Protocol::Tcp, Protocol::Udp][..])
}

fn link() -> impl Strategy<Value = Link> {
    (party(), party(), 1_u16..5, 0_u16..3, protocol()).prop_map(|(from, to, min, more, protocol)| Link {
        from,
        to,
        ports: Ports { min, max: min + more },
        protocol,
        through: Vec::new(),
        span: Span::default(),
    })
}

fn blueprint() -> impl Strategy<Value = Blueprint> {
    let members = prop::collection::btree_set(prop::sample::select(&CONTAINERS[..]), 0..4);
    let services = prop::collection::vec(members, SERVICES.len());
    (services, prop::collection::vec(link(), 0..6)).prop_map(|(members, links)| Blueprint {
        containers: CONTAINERS
            .map(|name| Container { name: name.into(), ..Container::default() })
            .into_iter()
            .collect(),
        services: SERVICES
            .iter()
            .zip(members)
            .map(|(name, members)| Service {
                name: (*name).into(),
                members: members.into_iter().map(str::to_owned).collect(),
                update: None,
                span: Span::default(),
            })
            .collect(),
        links,
        ..Blueprint::default()
    })
}

/// Every (source, destination, port, protocol) that may connect, written out.
fn expanded(blueprint: &Blueprint) -> HashSet<(String, String, u16, bool)> {
    let names = |party: &Party| -> Vec<String> {
        match party {
            Party::Container(name) => vec![name.clone()],
            Party::Service(name) => {
                let members =
                    &blueprint.services.iter().find(|service| service.name == *name).unwrap().members;
                members.iter().chain([name]).cloned().collect()
            }
            Party::PublicInternet => Vec::new(),
        }
    };
    let mut all = HashSet::new();
    for link in &blueprint.links {
        for source in names(&link.from) {
            for destination in names(&link.to) {
                for port in link.ports.min..=link.ports.max {
                    if link.protocol != Protocol::Udp {
                        all.insert((source.clone(), destination.clone(), port, true));
                    }
                    if link.protocol != Protocol::Tcp {
                        all.insert((source.clone(), destination.clone(), port, false));
                    }
                }
            }
        }
    }
    all
}

proptest! {
    #[test]
    fn allowed_is_what_the_links_say_when_written_out(blueprint in blueprint()) {
        let expanded = expanded(&blueprint);
        let index = Index::new(&blueprint);
        for source in CONTAINERS.iter().chain(&SERVICES) {
            for destination in CONTAINERS.iter().chain(&SERVICES) {
                for port in 0..9 {
                    for tcp in [true, false] {
                        let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
                        let expected = expanded.contains(&((*source).into(), (*destination).into(), port, tcp));
                        let link = allowed(&blueprint, source, destination, port, protocol);
                        prop_assert_eq!(link.is_some(), expected, "{} {} {} {}", source, destination, port, protocol);
                        prop_assert_eq!(index.allowed(source, destination, port, protocol), link);
                    }
                }
            }
        }
    }
}
