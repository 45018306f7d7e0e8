//! Whether a blueprint makes sense: every rule, every fault, each at its line.

mod container;
mod emulated;
mod function;
pub mod invariant;
mod names;
mod order;
pub mod placement;
pub mod reach;

use std::collections::{HashMap, HashSet};

use crate::fault::{Fault, Kind};
use crate::model::{Blueprint, Link, Party, Placement, PlacementRule, Protocol, Publish};

/// Most containers in one blueprint.
pub const CONTAINERS_MAX: usize = 10_000;
/// Most services in one blueprint.
pub const SERVICES_MAX: usize = 10_000;
/// Most links and published ports in one blueprint.
pub const LINKS_MAX: usize = 100_000;
/// Most emulated links in one blueprint: each has buffers of its own.
pub const EMULATED_MAX: usize = softnic::fabric::program::LINKS_MAX;
/// Most instances of network functions in one blueprint, of all together; half of what the dataplane takes, for those of the
/// blueprint before.
pub const INSTANCES_MAX: u16 = softnic::fabric::functions::INSTANCES_MAX as u16 / 2;
/// Most network functions that one link goes through.
pub const CHAIN_MAX: usize = softnic::fabric::functions::CHAIN_MAX;
/// Most links that go through network functions.
pub const LED_MAX: usize = 1_000;
/// Most invariants in one blueprint.
pub const INVARIANTS_MAX: usize = 1_000;
/// Most environment of one container, in bytes, names and separators included.
pub const ENV_BYTES_MAX: usize = 64 << 10;
/// Largest file of one container, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Most files of one container.
pub const FILES_MAX: usize = 1_000;
/// Most bytes of command line of one container.
pub const COMMAND_BYTES_MAX: usize = 64 << 10;
/// Least memory limit that lets a program start, in bytes.
pub const MEMORY_BYTES_MIN: u64 = 1 << 20;

/// Checks everything that can be decided from the blueprint alone. `secret` tells whether a secret has a value.
///
/// ```
/// use quilt::{check, model::Blueprint};
///
/// let faults = check::check(&Blueprint::default(), &|_| true);
/// assert_eq!(faults[0].to_string(), "'' is not a valid name for a deployment: it is empty");
/// assert_eq!(faults[1].to_string(), "the blueprint has no containers");
/// ```
pub fn check(blueprint: &Blueprint, secret: &dyn Fn(&str) -> bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    names::check(blueprint, &mut faults);
    sizes(blueprint, &mut faults);
    for (at, container) in blueprint.containers.iter().enumerate() {
        // Replicas stand together and share their faults: one report is enough.
        let before = at.checked_sub(1).map(|before| &blueprint.containers[before]);
        if !before.is_some_and(|before| container.span.is_known() && before.span == container.span) {
            container::check(container, secret, &mut faults);
        }
    }
    let known = Known::of(blueprint);
    order::check(blueprint, &known, &mut faults);
    for link in &blueprint.links {
        self::link(link, &known, &mut faults);
    }
    publishes(&blueprint.publishes, &known, &mut faults);
    emulated::check(blueprint, &known, &mut faults);
    function::check(blueprint, &known, &mut faults);
    for invariant in &blueprint.invariants {
        for party in invariant.claim.parties() {
            let kind = known.missing(party, "the expectation");
            faults.extend(kind.map(|kind| Fault::new(kind, invariant.span.clone())));
        }
    }
    blueprint.placements.iter().for_each(|placement| self::placement(placement, &known, &mut faults));
    // What is proved of a network that does not make sense means nothing.
    if faults.is_empty() {
        faults.extend(invariant::faults(blueprint));
    }
    faults
}

/// Names that exist.
struct Known<'a> {
    containers: HashSet<&'a str>,
    services: HashSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(blueprint: &'a Blueprint) -> Known<'a> {
        Known {
            containers: blueprint.containers.iter().map(|container| container.name.as_str()).collect(),
            services: blueprint.services.iter().map(|service| service.name.as_str()).collect(),
        }
    }

    /// The fault of naming `party`, if nothing is called that.
    fn missing(&self, party: &Party, what: &str) -> Option<Kind> {
        let (names, name) = match party {
            Party::Container(name) => (&self.containers, name),
            Party::Service(name) => (&self.services, name),
            Party::PublicInternet => return None,
        };
        (!names.contains(name.as_str())).then(|| Kind::Unknown {
            what: what.to_owned(),
            name: name.clone(),
            similar: crate::fault::similar(name, names.iter().copied()),
        })
    }
}

fn sizes(blueprint: &Blueprint, faults: &mut Vec<Fault>) {
    let mut limit = |count: usize, max: usize, what: &str, span: Option<&crate::model::Span>| {
        if count > max {
            let what = format!("{count} {what}");
            faults.push(Fault::new(Kind::TooLarge { what }, span.cloned().unwrap_or_default()));
        }
    };
    let container = blueprint.containers.get(CONTAINERS_MAX).map(|container| &container.span);
    limit(blueprint.containers.len(), CONTAINERS_MAX, "containers", container);
    let service = blueprint.services.get(SERVICES_MAX).map(|service| &service.span);
    limit(blueprint.services.len(), SERVICES_MAX, "services", service);
    let links = blueprint.links.len() + blueprint.publishes.len();
    limit(links, LINKS_MAX, "links", blueprint.links.last().map(|link| &link.span));
    let invariant = blueprint.invariants.get(INVARIANTS_MAX).map(|invariant| &invariant.span);
    limit(blueprint.invariants.len(), INVARIANTS_MAX, "expectations", invariant);
    let rule = blueprint.placements.get(placement::PLACEMENTS_MAX).map(|rule| &rule.span);
    limit(blueprint.placements.len(), placement::PLACEMENTS_MAX, "rules of placement", rule);
}

fn link(link: &Link, known: &Known<'_>, faults: &mut Vec<Fault>) {
    let mut fault = |kind: Kind| faults.push(Fault::new(kind, link.span.clone()));
    for party in [&link.from, &link.to] {
        if let Some(kind) = known.missing(party, "the link") {
            fault(kind);
        }
    }
    if link.from == Party::PublicInternet {
        fault(Kind::Link {
            what: "the public internet cannot be the source of a link",
            help: "publish a port of the host instead: `publish(web, 8080, 80)`",
        });
    }
    if link.ports.min == 0 {
        fault(Kind::Port { what: format!("the link {} -> {}", link.from, link.to), found: "0".into() });
    }
    if link.ports.min > link.ports.max {
        let what = format!("the link {} -> {}", link.from, link.to);
        fault(Kind::PortOrder { what, min: link.ports.min, max: link.ports.max });
    }
}

/// Rules of placement speak of what exists.
fn placement(placement: &Placement, known: &Known<'_>, faults: &mut Vec<Fault>) {
    let other = match &placement.rule {
        PlacementRule::Apart(other) | PlacementRule::Beside(other) => Some(other),
        PlacementRule::On(_) | PlacementRule::NotOn(_) => None,
    };
    for party in other.into_iter().chain([&placement.target]) {
        let outside = (*party == Party::PublicInternet).then_some(Kind::Link {
            what: "the public internet runs on no machine",
            help: "place containers and services",
        });
        let kind = known.missing(party, "the placement").or(outside);
        faults.extend(kind.map(|kind| Fault::new(kind, placement.span.clone())));
    }
}

fn publishes(publishes: &[Publish], known: &Known<'_>, faults: &mut Vec<Fault>) {
    let mut taken: HashMap<(u16, Protocol), &Publish> = HashMap::new();
    for publish in publishes {
        let mut fault = |kind: Kind| faults.push(Fault::new(kind, publish.span.clone()));
        if let Some(kind) = known.missing(&publish.to, "the published port") {
            fault(kind);
        }
        if publish.to == Party::PublicInternet {
            fault(Kind::Link {
                what: "a port cannot be published onto the public internet",
                help: "publish it onto a container or a service",
            });
        }
        for port in [publish.host_port, publish.container_port] {
            if port == 0 {
                fault(Kind::Port {
                    what: format!("the published port of {}", publish.to),
                    found: "0".into(),
                });
            }
        }
        let protocols = match publish.protocol {
            Protocol::Any => &[Protocol::Tcp, Protocol::Udp][..],
            Protocol::Tcp => &[Protocol::Tcp],
            Protocol::Udp => &[Protocol::Udp],
        };
        if publish.protocol == Protocol::Any {
            fault(Kind::Link {
                what: "a published port is either TCP or UDP",
                help: "publish it twice, once with 'tcp' and once with 'udp'",
            });
        }
        for protocol in protocols {
            if let Some(first) = taken.insert((publish.host_port, *protocol), publish) {
                fault(Kind::PublishedTwice {
                    port: publish.host_port,
                    protocol: protocol.to_string(),
                    first: first.span.clone(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Container, Ports, Span};

    fn container(name: &str) -> Container {
        Container { name: name.into(), command: vec!["true".into()], ..Container::default() }
    }

    fn blueprint() -> Blueprint {
        Blueprint {
            name: "test".into(),
            containers: vec![container("a"), container("b")],
            links: vec![Link {
                from: Party::Container("a".into()),
                to: Party::Container("b".into()),
                ports: Ports::one(80),
                protocol: Protocol::Any,
                through: Vec::new(),
                span: Span::default(),
            }],
            publishes: vec![Publish {
                to: Party::Container("a".into()),
                host_port: 8080,
                container_port: 80,
                protocol: Protocol::Tcp,
                through: Vec::new(),
                span: Span::default(),
            }],
            ..Blueprint::default()
        }
    }

    fn faults(blueprint: &Blueprint) -> Vec<String> {
        check(blueprint, &|name| name == "known").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_sound_blueprint_has_no_faults() {
        assert_eq!(faults(&blueprint()), Vec::<String>::new());
    }

    #[test]
    fn links_name_what_exists_and_never_start_outside() {
        let mut blueprint = blueprint();
        blueprint.links[0].from = Party::Service("a".into());
        blueprint.links.push(Link {
            from: Party::PublicInternet,
            ports: Ports { min: 9, max: 0 },
            ..blueprint.links[0].clone()
        });
        assert_eq!(
            faults(&blueprint),
            [
                "the link names 'a', which does not exist",
                "the public internet cannot be the source of a link",
                "port range 9-0 of the link public internet -> b is upside down",
            ]
        );
    }

    #[test]
    fn a_container_may_link_to_itself() {
        let mut blueprint = blueprint();
        blueprint.links[0].to = Party::Container("a".into());
        assert_eq!(faults(&blueprint), Vec::<String>::new());
    }

    #[test]
    fn host_ports_are_distinct_for_each_protocol() {
        let mut blueprint = blueprint();
        let again = Publish { to: Party::Container("b".into()), ..blueprint.publishes[0].clone() };
        blueprint.publishes.push(Publish { protocol: Protocol::Udp, ..again.clone() });
        assert_eq!(faults(&blueprint), Vec::<String>::new());
        blueprint.publishes.push(again);
        assert_eq!(faults(&blueprint), ["host port 8080/tcp is published twice"]);
    }
}
