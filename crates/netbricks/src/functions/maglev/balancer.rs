//! Which back end a packet goes to: that of its connection, else the Maglev table's.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use lookup::flow_table::{FlowTable, Tag};
use lookup::maglev::{self, MaglevError, SIZE_SMALL};
use packet::BATCH;
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::tcp::{self, Flags};
use packet::wire::{IpProtocol, MacAddr};

use super::service::{Backend, Service};
use crate::Report;

/// Packets in fragments that are followed at a time, and how long (RFC 791 and Linux: 30 s).
const FRAGMENTS_MAX: usize = 4096;
const FRAGMENTS_NS: u64 = 30_000_000_000;
/// How long a connection is remembered after a FIN or RST, at most.
const CLOSING_NS: u64 = 60_000_000_000;

/// Limits of a balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalancerConfig {
    /// Connections remembered.
    pub flows: usize,
    /// How long one is that is silent.
    pub idle_ns: u64,
    /// Entries of the Maglev table, a prime.
    pub table: usize,
}

impl Default for BalancerConfig {
    fn default() -> Self {
        Self { flows: 131_072, idle_ns: 300_000_000_000, table: SIZE_SMALL }
    }
}

/// Where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) mac: Option<MacAddr>,
}

impl Target {
    /// The flow as it is behind the translation.
    pub(super) fn to(&self, flow: &FlowKey) -> Option<FlowKey> {
        let client = (flow.source(), flow.source_port()).into();
        FlowKey::new(flow.protocol(), client, (self.address, self.port).into())
    }
}

/// A flow to the service, and what its connection is looked for by.
pub(super) struct Sought {
    flow: FlowKey,
    tag: Tag,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    target: Target,
    closing: bool,
}

/// A packet in fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Pieces {
    hosts: FlowKey,
    ident: u32,
}

impl Pieces {
    fn of(layers: &Layers, frame: &[u8]) -> Option<Self> {
        Some(Self { hosts: FlowKey::hosts(layers, frame)?, ident: layers.fragment?.ident })
    }
}

/// A back end, and how many connections it was given.
struct Server {
    backend: Backend,
    given: u64,
}

pub(super) struct Balancer {
    service: Service,
    config: BalancerConfig,
    hasher: FlowHasher,
    servers: Vec<Server>,
    /// `None` where no back end takes new connections.
    table: Option<maglev::Maglev>,
    connections: FlowTable<FlowKey, Connection>,
    /// Where fragments go behind their first; those of answers have no target.
    pieces: FlowTable<Pieces, Option<Target>>,
    not_kept: u64,
}

impl Balancer {
    pub(super) fn new(
        service: Service,
        backends: Vec<Backend>,
        config: BalancerConfig,
        hasher: FlowHasher,
    ) -> Result<Self, MaglevError> {
        let mut balancer = Self {
            service,
            config,
            hasher,
            servers: Vec::new(),
            table: None,
            connections: FlowTable::with_hasher(config.flows, hasher),
            pieces: FlowTable::with_hasher(FRAGMENTS_MAX, hasher),
            not_kept: 0,
        };
        balancer.set_backends(backends)?;
        Ok(balancer)
    }

    pub(super) fn set_backends(&mut self, mut backends: Vec<Backend>) -> Result<(), MaglevError> {
        for backend in &mut backends {
            if backend.port == 0 {
                backend.port = self.service.port;
            }
        }
        let names: Vec<_> =
            backends.iter().map(|backend| format!("{}:{}", backend.address, backend.port)).collect();
        let given: Vec<_> = names
            .iter()
            .zip(&backends)
            .map(|(name, backend)| maglev::Backend { name: name.as_bytes(), weight: backend.weight })
            .collect();
        self.table = match maglev::Maglev::new(self.config.table, &given, self.hasher) {
            Ok(table) => Some(table),
            Err(MaglevError::NoBackends { .. }) => None,
            Err(error) => return Err(error),
        };
        let old = std::mem::take(&mut self.servers);
        let given = |new: &Backend| {
            let same = |old: &&Server| (old.backend.address, old.backend.port) == (new.address, new.port);
            old.iter().find(same).map_or(0, |old| old.given)
        };
        self.servers =
            backends.into_iter().map(|backend| Server { given: given(&backend), backend }).collect();
        Ok(())
    }

    pub(super) const fn service(&self) -> &Service {
        &self.service
    }

    pub(super) fn sought(&self, flow: FlowKey) -> Sought {
        Sought { tag: self.connections.tag(&flow), flow }
    }

    /// Has in the cache what is known of these connections, [`BATCH`] at most.
    pub(super) fn fetch<'a>(&self, sought: impl Iterator<Item = &'a Sought>) {
        let tags: ArrayVec<Tag, BATCH> = sought.map(|sought| sought.tag).take(BATCH).collect();
        self.connections.fetch(&tags, |_, connection| connection.target.port.into());
    }

    /// The Maglev table's choice.
    fn choose(&self, flow: &FlowKey) -> Option<usize> {
        Some(self.table.as_ref()?.lookup(self.hasher.hash(flow)))
    }

    fn target(&self, server: usize) -> Target {
        let Backend { address, port, mac, .. } = self.servers[server].backend;
        Target { address, port, mac }
    }

    /// Where packets of a flow to the service go, without making it a connection.
    pub(super) fn target_of(&self, flow: &FlowKey, now_ns: u64) -> Option<Target> {
        let known = self.connections.find(flow, now_ns).and_then(|id| self.connections.get(id));
        known.map(|known| known.target).or_else(|| self.choose(flow).map(|server| self.target(server)))
    }

    /// Where a packet of a flow to the service goes; the flow becomes a connection.
    #[inline]
    pub(super) fn assign(
        &mut self,
        Sought { flow, tag }: &Sought,
        layers: &Layers,
        frame: &[u8],
        now_ns: u64,
    ) -> Option<Target> {
        let flags = flags(layers, frame);
        let opens = flags.contains(Flags::SYN) && !flags.contains(Flags::ACK);
        let closes = flags.intersects(Flags::FIN | Flags::RST);
        let known = self.connections.find_tagged(*tag, flow, now_ns);
        let target = match known.and_then(|id| Some((id, self.connections.get_mut(id)?))) {
            // A client that opens another connection from the port of one that is over begins anew.
            Some((id, connection)) if !(opens && connection.closing) => {
                connection.closing |= closes;
                let (target, closing) = (connection.target, connection.closing);
                self.connections.set_deadline(id, now_ns.saturating_add(self.silence_ns(closing)));
                target
            }
            _ => self.connect(flow, closes, now_ns)?,
        };
        self.note_first(layers, frame, Some(target), now_ns);
        Some(target)
    }

    fn connect(&mut self, flow: &FlowKey, closing: bool, now_ns: u64) -> Option<Target> {
        let server = self.choose(flow)?;
        let target = self.target(server);
        let deadline_ns = now_ns.saturating_add(self.silence_ns(closing));
        match self.connections.insert(*flow, Connection { target, closing }, deadline_ns, now_ns) {
            Ok(_) => self.servers[server].given += 1,
            Err(_) => self.not_kept += 1,
        }
        Some(target)
    }

    fn silence_ns(&self, closing: bool) -> u64 {
        if closing { self.config.idle_ns.min(CLOSING_NS) } else { self.config.idle_ns }
    }

    /// Whether a packet from inside is the service's answer to a client, in the connection `sought`.
    pub(super) fn answers(
        &mut self,
        key: &FlowKey,
        sought: Option<&Sought>,
        layers: &Layers,
        frame: &[u8],
        now_ns: u64,
    ) -> bool {
        if key.protocol() != self.service.protocol {
            return false;
        }
        if layers.fragment.is_some_and(|fragment| fragment.offset > 0) {
            return Pieces::of(layers, frame)
                .is_some_and(|pieces| self.pieces.find(&pieces, now_ns).is_some());
        }
        let Some(Sought { flow, tag }) = sought else { return false };
        let answers = match self.connections.find_tagged(*tag, flow, now_ns) {
            Some(id) => {
                let closes = flags(layers, frame).intersects(Flags::FIN | Flags::RST);
                let Some(connection) = self.connections.get_mut(id) else { return false };
                let is_of = connection.target.to(flow).is_some_and(|there| there.reversed() == *key);
                connection.closing |= closes && is_of;
                let closing = connection.closing;
                if is_of {
                    self.connections.set_deadline(id, now_ns.saturating_add(self.silence_ns(closing)));
                }
                is_of
            }
            // Of a connection that could not be kept.
            None => {
                let end = (key.source(), key.source_port());
                self.servers.iter().any(|server| (server.backend.address, server.backend.port) == end)
            }
        };
        if answers {
            self.note_first(layers, frame, None, now_ns);
        }
        answers
    }

    /// `None` if it is no later fragment to the service, else where its first went, if that is known.
    pub(super) fn later_fragment(
        &self,
        layers: &Layers,
        frame: &[u8],
        now_ns: u64,
    ) -> Option<Option<Target>> {
        layers.fragment.filter(|fragment| fragment.offset > 0 && layers.protocol == self.service.protocol)?;
        let id = Pieces::of(layers, frame).and_then(|pieces| self.pieces.find(&pieces, now_ns));
        Some(id.and_then(|id| *self.pieces.get(id)?))
    }

    fn note_first(&mut self, layers: &Layers, frame: &[u8], target: Option<Target>, now_ns: u64) {
        if layers.fragment.is_some()
            && let Some(pieces) = Pieces::of(layers, frame)
        {
            // In a full table the fragments behind it are dropped as early, and counted.
            let _ = self.pieces.insert(pieces, target, now_ns.saturating_add(FRAGMENTS_NS), now_ns);
        }
    }

    pub(super) fn deadline_ns(&self) -> Option<u64> {
        let tables = [self.connections.next_deadline_ns(), self.pieces.next_deadline_ns()];
        tables.into_iter().flatten().min()
    }

    pub(super) fn expire(&mut self, now_ns: u64, most: usize) {
        self.connections.expire(now_ns, most, |_, _| ());
        self.pieces.expire(now_ns, most, |_, _| ());
    }

    pub(super) fn report(&self, report: &mut Report) {
        for Server { backend, given } in &self.servers {
            let Backend { address, port, weight, .. } = backend;
            report.line(format!("{address} port {port} weight {weight}: {given} connections"));
        }
        report.counter("connections", self.connections.stats().inserted);
        report.counter("connections now", self.connections.len() as u64);
        report.counter("connections not kept, table full", self.not_kept);
    }
}

fn flags(layers: &Layers, frame: &[u8]) -> Flags {
    if layers.protocol != IpProtocol::TCP {
        return Flags(0);
    }
    tcp::View::new_checked(layers.segment(frame)).map_or(Flags(0), |segment| segment.flags())
}
