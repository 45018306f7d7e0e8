//! Who may talk to whom, decided on names.
//!
//! A link to a service covers its virtual address and each of its members; a link from a service covers
//! connections of each member. A link to one member does not open the service's own name. Nothing is
//! transitive: a link is a right to connect, not a path.

use std::collections::{HashMap, HashSet};

use crate::model::{Blueprint, Link, Party, Protocol};

/// The first link by which `source` may connect to `destination` on `port`.
///
/// `source` and `destination` are names of containers or services; `protocol` is what the packet carries
/// (`Any` asks for both). A service as source is covered by links from the service itself.
///
/// ```
/// use quilt::check::reach::allowed;
/// use quilt::eval::{evaluate_text, Options};
/// use quilt::model::Protocol::Tcp;
///
/// let text = "import {Container, allow} from 'weft';
/// const web = new Container('web', {command: ['web'], replicas: 2});
/// const db = new Container('db', {command: ['db']});
/// allow(web, db, 5432);";
/// let blueprint = evaluate_text("shop.js", text, &Options::default()).unwrap().blueprint;
/// assert_eq!(allowed(&blueprint, "web-2", "db", 5432, Tcp).unwrap().span.line, 4);
/// assert!(allowed(&blueprint, "db", "web-2", 5432, Tcp).is_none());
/// ```
pub fn allowed<'a>(
    blueprint: &'a Blueprint,
    source: &str,
    destination: &str,
    port: u16,
    protocol: Protocol,
) -> Option<&'a Link> {
    blueprint.links.iter().find(|link| {
        link.ports.contains(port)
            && link.protocol.covers(protocol)
            && sends(blueprint, &link.from, source)
            && receives(blueprint, &link.to, destination)
    })
}

/// The links by which `source` may reach the public internet on `port`.
pub fn allowed_outside<'a>(
    blueprint: &'a Blueprint,
    source: &str,
    port: u16,
    protocol: Protocol,
) -> Option<&'a Link> {
    blueprint.links.iter().find(|link| {
        link.to == Party::PublicInternet
            && link.ports.contains(port)
            && link.protocol.covers(protocol)
            && sends(blueprint, &link.from, source)
    })
}

fn is_member(blueprint: &Blueprint, service: &str, container: &str) -> bool {
    blueprint.service(service).is_some_and(|service| service.members.iter().any(|member| member == container))
}

fn sends(blueprint: &Blueprint, party: &Party, source: &str) -> bool {
    match party {
        Party::Container(name) => name == source,
        Party::Service(name) => name == source || is_member(blueprint, name, source),
        Party::PublicInternet => false,
    }
}

fn receives(blueprint: &Blueprint, party: &Party, destination: &str) -> bool {
    match party {
        Party::Container(name) => name == destination,
        Party::Service(name) => name == destination || is_member(blueprint, name, destination),
        Party::PublicInternet => false,
    }
}

/// The same question asked many times: links indexed by the containers they start from.
pub struct Index<'a> {
    links: HashMap<&'a str, Vec<&'a Link>>,
    members: HashMap<&'a str, HashSet<&'a str>>,
}

impl<'a> Index<'a> {
    /// Indexes a blueprint; linear in links times members of their sources.
    pub fn new(blueprint: &'a Blueprint) -> Index<'a> {
        let members: HashMap<&str, HashSet<&str>> = blueprint
            .services
            .iter()
            .map(|service| (service.name.as_str(), service.members.iter().map(String::as_str).collect()))
            .collect();
        let mut links: HashMap<&str, Vec<&Link>> = HashMap::new();
        for link in &blueprint.links {
            match &link.from {
                Party::Container(name) => links.entry(name).or_default().push(link),
                Party::Service(name) => {
                    links.entry(name).or_default().push(link);
                    for member in members.get(name.as_str()).into_iter().flatten() {
                        links.entry(member).or_default().push(link);
                    }
                }
                Party::PublicInternet => {}
            }
        }
        Index { links, members }
    }

    /// As [`allowed`].
    pub fn allowed(
        &self,
        source: &str,
        destination: &str,
        port: u16,
        protocol: Protocol,
    ) -> Option<&'a Link> {
        let receives = |party: &Party| match party {
            Party::Container(name) => name == destination,
            Party::Service(name) => {
                name == destination
                    || self.members.get(name.as_str()).is_some_and(|set| set.contains(destination))
            }
            Party::PublicInternet => false,
        };
        self.links
            .get(source)?
            .iter()
            .copied()
            .find(|link| link.ports.contains(port) && link.protocol.covers(protocol) && receives(&link.to))
    }
}
