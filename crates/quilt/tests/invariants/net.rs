//! Random networks, described so that any count of replicas can be written out.

use std::collections::BTreeSet;

use proptest::prelude::*;
use quilt::model::{
    Blueprint, Claim, Container, Invariant, Link, Party, Ports, Protocol, Publish, Service, Span,
};

/// Replica groups, single containers and hand-made services of every network.
const GROUPS: usize = 2;
const SINGLES: usize = 3;
const SERVICES: usize = 2;

/// What a rule, a claim or a list of members names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Group(usize),
    /// A member of a group, from 0.
    Replica(usize, usize),
    Single(usize),
    Service(usize),
    Outside,
}

impl Name {
    fn party(self) -> Party {
        match self {
            Name::Group(at) => Party::Service(format!("g{at}")),
            Name::Replica(group, at) => Party::Container(format!("g{group}-{}", at + 1)),
            Name::Single(at) => Party::Container(format!("s{at}")),
            Name::Service(at) => Party::Service(format!("v{at}")),
            Name::Outside => Party::PublicInternet,
        }
    }
}

type On = (Ports, Protocol);

#[derive(Clone, Debug)]
pub(crate) enum Claimed {
    Connect(Name, Name, Option<Ports>, Protocol),
    Reach(Name, Name, Option<Ports>, Protocol),
    Between(Name, Vec<Name>, Name),
}

impl Claimed {
    fn names(&self) -> Vec<Name> {
        match self {
            Claimed::Connect(from, to, ..) | Claimed::Reach(from, to, ..) => vec![*from, *to],
            Claimed::Between(from, through, to) => through.iter().copied().chain([*from, *to]).collect(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Net {
    services: Vec<Vec<Name>>,
    links: Vec<(Name, Name, On)>,
    publishes: Vec<(Name, u16, Protocol)>,
    pub(crate) claims: Vec<(Claimed, bool)>,
    /// Counts of replicas that the blueprint is written with.
    pub(crate) written: Vec<usize>,
}

impl Net {
    /// The least count that each group can have: members that something names exist.
    fn least(&self) -> Vec<usize> {
        let names = self.services.iter().flatten().copied();
        let names = names.chain(self.links.iter().flat_map(|(from, to, _)| [*from, *to]));
        let names = names.chain(self.publishes.iter().map(|(to, ..)| *to));
        let names = names.chain(self.claims.iter().flat_map(|(claim, _)| claim.names()));
        let mut least = vec![1; GROUPS];
        for name in names {
            if let Name::Replica(group, at) = name {
                least[group] = least[group].max(at + 1);
            }
        }
        least
    }

    /// The least counts and up to two more, in all combinations: one more shows what any replica can do, two more
    /// what any two can do with each other.
    pub(crate) fn every_count(&self) -> Vec<Vec<usize>> {
        let least = self.least();
        let more = (0..3_usize.pow(GROUPS as u32)).map(|mut at| {
            let mut counts = least.clone();
            for count in &mut counts {
                *count += at % 3;
                at /= 3;
            }
            counts
        });
        more.collect()
    }

    pub(crate) fn blueprint(&self, counts: &[usize]) -> Blueprint {
        let span = |line: usize| Span { file: "net.js".into(), line: line as u32, ..Span::default() };
        let mut blueprint = Blueprint { name: "net".into(), ..Blueprint::default() };
        let mut container = |name: String, line: usize| {
            blueprint.containers.push(Container { name, span: span(line), ..Container::default() });
        };
        let replicas =
            |group: usize| (1..=counts[group]).map(move |at| format!("g{group}-{at}")).collect::<Vec<_>>();
        for group in 0..GROUPS {
            replicas(group).into_iter().for_each(|name| container(name, 1 + group));
        }
        (0..SINGLES).for_each(|at| container(format!("s{at}"), 20 + at));
        for group in 0..GROUPS {
            let (name, members) = (format!("g{group}"), replicas(group));
            blueprint.services.push(Service { name, members, update: None, span: span(1 + group) });
        }
        for (at, items) in self.services.iter().enumerate() {
            let mut members: Vec<String> = Vec::new();
            for item in items {
                match item {
                    Name::Group(group) => members.extend(replicas(*group)),
                    other => members.push(other.party().name().to_owned()),
                }
            }
            let mut seen = BTreeSet::new();
            members.retain(|member| seen.insert(member.clone()));
            blueprint.services.push(Service {
                name: format!("v{at}"),
                members,
                update: None,
                span: span(40 + at),
            });
        }
        for (at, (from, to, (ports, protocol))) in self.links.iter().enumerate() {
            let (from, to) = (from.party(), to.party());
            let (ports, protocol) = (*ports, *protocol);
            blueprint.links.push(Link {
                from,
                to,
                ports,
                protocol,
                through: Vec::new(),
                span: span(100 + at),
            });
        }
        for (at, (to, port, protocol)) in self.publishes.iter().enumerate() {
            blueprint.publishes.push(Publish {
                to: to.party(),
                host_port: 8000 + at as u16,
                container_port: *port,
                protocol: *protocol,
                through: Vec::new(),
                span: span(200 + at),
            });
        }
        for (at, (claim, holds)) in self.claims.iter().enumerate() {
            let claim = match claim {
                Claimed::Connect(from, to, ports, protocol) => {
                    Claim::Connect { from: from.party(), to: to.party(), ports: *ports, protocol: *protocol }
                }
                Claimed::Reach(from, to, ports, protocol) => {
                    Claim::Reach { from: from.party(), to: to.party(), ports: *ports, protocol: *protocol }
                }
                Claimed::Between(from, through, to) => Claim::Between {
                    from: from.party(),
                    through: through.iter().map(|name| name.party()).collect(),
                    to: to.party(),
                },
            };
            blueprint.invariants.push(Invariant { claim, holds: *holds, span: span(300 + at) });
        }
        blueprint
    }
}

fn inside() -> impl Strategy<Value = Name> {
    prop_oneof![
        4 => (0..GROUPS).prop_map(Name::Group),
        1 => (0..GROUPS, 0_usize..2).prop_map(|(group, at)| Name::Replica(group, at)),
        4 => (0..SINGLES).prop_map(Name::Single),
        3 => (0..SERVICES).prop_map(Name::Service),
    ]
}

fn anywhere() -> impl Strategy<Value = Name> {
    prop_oneof![8 => inside(), 1 => Just(Name::Outside)]
}

fn member() -> impl Strategy<Value = Name> {
    prop_oneof![
        2 => (0..GROUPS).prop_map(Name::Group),
        1 => (0..GROUPS, 0_usize..2).prop_map(|(group, at)| Name::Replica(group, at)),
        4 => (0..SINGLES).prop_map(Name::Single),
    ]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(&[Protocol::Any, Protocol::Tcp, Protocol::Udp][..])
}

fn ports() -> impl Strategy<Value = Ports> {
    (1_u16..4, 0_u16..2).prop_map(|(min, more)| Ports { min, max: min + more })
}

fn claimed() -> impl Strategy<Value = Claimed> {
    let asked = || (prop::option::of(ports()), protocol());
    prop_oneof![
        (anywhere(), anywhere(), asked())
            .prop_map(|(a, b, (ports, over))| Claimed::Connect(a, b, ports, over)),
        (anywhere(), anywhere(), asked()).prop_map(|(a, b, (ports, over))| Claimed::Reach(a, b, ports, over)),
        (anywhere(), prop::collection::vec(inside(), 1..3), anywhere())
            .prop_map(|(a, through, b)| Claimed::Between(a, through, b)),
    ]
}

/// Networks of up to some fifteen containers.
pub(crate) fn net() -> impl Strategy<Value = Net> {
    let services = prop::collection::vec(prop::collection::vec(member(), 1..4), SERVICES);
    let links = prop::collection::vec((inside(), anywhere(), (ports(), protocol())), 0..9);
    let either = prop::sample::select(&[Protocol::Tcp, Protocol::Udp][..]);
    let publishes = prop::collection::vec((inside(), 1_u16..4, either), 0..3);
    let claims = prop::collection::vec((claimed(), any::<bool>()), 1..7);
    let more = prop::collection::vec(0_usize..3, GROUPS);
    (services, links, publishes, claims, more).prop_map(|(services, links, publishes, claims, more)| {
        let mut net = Net { services, links, publishes, claims, written: Vec::new() };
        // A member that is named beside its group cannot be told from the others, which may be any number.
        for items in &mut net.services {
            let whole: Vec<Name> =
                items.iter().filter(|name| matches!(name, Name::Group(_))).copied().collect();
            items.retain(|name| !matches!(name, Name::Replica(of, _) if whole.contains(&Name::Group(*of))));
        }
        // A service that lists every member by name looks like one that lists the group: one is left out.
        let listed = |group: usize| {
            let is = |name: &Name| matches!(name, Name::Replica(of, _) if *of == group);
            net.services.iter().any(|items| items.iter().any(is))
        };
        let counts = net.least().into_iter().zip(more).enumerate();
        net.written =
            counts.map(|(group, (least, more))| least + more.max(usize::from(listed(group)))).collect();
        net
    })
}
