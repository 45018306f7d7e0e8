//! The slow, obvious checker: every container, every connection, closed by Warshall's algorithm.

use quilt::model::{Blueprint, Claim, Invariant, Party, Ports, Protocol};

/// A rule between two containers; the last number is everything outside.
struct Connection {
    from: usize,
    to: usize,
    ports: Ports,
    protocol: Protocol,
}

pub(crate) struct Explicit<'a> {
    blueprint: &'a Blueprint,
    count: usize,
    connections: Vec<Connection>,
}

impl<'a> Explicit<'a> {
    pub(crate) fn of(blueprint: &'a Blueprint) -> Explicit<'a> {
        let count = blueprint.containers.len() + 1;
        let mut explicit = Explicit { blueprint, count, connections: Vec::new() };
        let mut connections = Vec::new();
        for link in &blueprint.links {
            for from in explicit.containers(&link.from) {
                for to in explicit.containers(&link.to) {
                    connections.push(Connection { from, to, ports: link.ports, protocol: link.protocol });
                }
            }
        }
        for publish in &blueprint.publishes {
            for to in explicit.containers(&publish.to) {
                let ports = Ports::one(publish.container_port);
                connections.push(Connection { from: count - 1, to, ports, protocol: publish.protocol });
            }
        }
        explicit.connections = connections;
        explicit
    }

    fn containers(&self, party: &Party) -> Vec<usize> {
        let at = |name: &str| self.blueprint.containers.iter().position(|c| c.name == name).unwrap();
        match party {
            Party::PublicInternet => vec![self.count - 1],
            party => self.blueprint.members(party).into_iter().map(at).collect(),
        }
    }

    /// Which containers a chain from each leads on from, if it passes only what `may_pass`; each leads to itself.
    fn closure(&self, may_pass: impl Fn(usize) -> bool) -> Vec<Vec<bool>> {
        let outside = self.count - 1;
        let mut leads: Vec<Vec<bool>> =
            (0..self.count).map(|at| (0..self.count).map(|to| at == to).collect()).collect();
        let passable = |at: usize| at != outside && may_pass(at);
        for connection in self.connections.iter().filter(|connection| passable(connection.to)) {
            leads[connection.from][connection.to] = true;
        }
        for middle in (0..self.count).filter(|middle| passable(*middle)) {
            for from in 0..self.count {
                if leads[from][middle] {
                    let further = leads[middle].clone();
                    for (to, further) in leads[from].iter_mut().zip(further) {
                        *to |= further;
                    }
                }
            }
        }
        leads
    }

    pub(crate) fn is_true(&self, invariant: &Invariant) -> bool {
        let pairs = |from: &Party, to: &Party| {
            let to = self.containers(to);
            let pairs = self
                .containers(from)
                .into_iter()
                .flat_map(|x| to.iter().map(move |y| (x, *y)).collect::<Vec<_>>());
            pairs.filter(|(x, y)| x != y).collect::<Vec<_>>()
        };
        match &invariant.claim {
            Claim::Connect { from, to, ports, protocol } => {
                let pairs = pairs(from, to);
                let direct = |x: usize| (0..self.count).map(|at| at == x).collect::<Vec<bool>>();
                if invariant.holds {
                    pairs.iter().all(|(x, y)| self.on_all(&direct(*x), *y, *ports, *protocol))
                        && self
                            .containers(from)
                            .into_iter()
                            .all(|x| self.name_is_open(x, to, *ports, *protocol))
                } else {
                    !pairs.iter().any(|(x, y)| self.on_some(&direct(*x), *y, *ports, *protocol))
                }
            }
            Claim::Reach { from, to, ports, protocol } => {
                let leads = self.closure(|_| true);
                let pairs = pairs(from, to);
                if invariant.holds {
                    pairs.iter().all(|(x, y)| self.on_all(&leads[*x], *y, *ports, *protocol))
                } else {
                    !pairs.iter().any(|(x, y)| self.on_some(&leads[*x], *y, *ports, *protocol))
                }
            }
            Claim::Enough => unreachable!("a claim about machines"),
            Claim::Between { from, through, to } => {
                let through: Vec<usize> = through.iter().flat_map(|party| self.containers(party)).collect();
                let leads = self.closure(|at| !through.contains(&at));
                let around =
                    pairs(from, to).into_iter().filter(|(x, y)| !through.contains(x) && !through.contains(y));
                let avoids = |x: usize, y: usize| self.on_some(&leads[x], y, None, Protocol::Any);
                let avoided: Vec<bool> = around.map(|(x, y)| avoids(x, y)).collect();
                avoided.into_iter().all(|avoided| avoided != invariant.holds)
            }
        }
    }

    /// Whether a last connection to `to` is on one of the ports.
    fn on_some(&self, leads: &[bool], to: usize, ports: Option<Ports>, protocol: Protocol) -> bool {
        let ports = ports.unwrap_or(Ports { min: 1, max: 9 });
        (ports.min..=ports.max).any(|port| over(protocol).iter().any(|one| self.last(leads, to, port, *one)))
    }

    /// Whether last connections to `to` are on all of the ports; without ports, on some.
    fn on_all(&self, leads: &[bool], to: usize, ports: Option<Ports>, protocol: Protocol) -> bool {
        match ports {
            None => self.on_some(leads, to, None, protocol),
            Some(ports) => (ports.min..=ports.max)
                .all(|port| over(protocol).iter().all(|one| self.last(leads, to, port, *one))),
        }
    }

    fn last(&self, leads: &[bool], to: usize, port: u16, protocol: Protocol) -> bool {
        self.connections.iter().any(|connection| {
            leads[connection.from]
                && connection.to == to
                && connection.ports.contains(port)
                && connection.protocol.covers(protocol)
        })
    }

    /// Whether `from` may connect to the name of a service on all of the ports.
    fn name_is_open(&self, from: usize, to: &Party, ports: Option<Ports>, protocol: Protocol) -> bool {
        if !matches!(to, Party::Service(_)) {
            return true;
        }
        let links = self
            .blueprint
            .links
            .iter()
            .filter(|link| link.to == *to && self.containers(&link.from).contains(&from));
        let rules: Vec<(Ports, Protocol)> = links.map(|link| (link.ports, link.protocol)).collect();
        let publishes =
            self.blueprint.publishes.iter().filter(|publish| publish.to == *to && from == self.count - 1);
        let published = publishes.map(|publish| (Ports::one(publish.container_port), publish.protocol));
        let rules: Vec<_> = rules.into_iter().chain(published).collect();
        let open =
            |port: u16, one: Protocol| rules.iter().any(|(ports, of)| ports.contains(port) && of.covers(one));
        match ports {
            None => (1..=9).any(|port| over(protocol).iter().any(|one| open(port, *one))),
            Some(ports) => {
                (ports.min..=ports.max).all(|port| over(protocol).iter().all(|one| open(port, *one)))
            }
        }
    }
}

fn over(protocol: Protocol) -> &'static [Protocol] {
    match protocol {
        Protocol::Any => &[Protocol::Tcp, Protocol::Udp],
        Protocol::Tcp => &[Protocol::Tcp],
        Protocol::Udp => &[Protocol::Udp],
    }
}
