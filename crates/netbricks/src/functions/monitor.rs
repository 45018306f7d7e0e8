//! Watches TCP connections: state, bytes, retransmissions, round trips, closed windows, resets; and passes packets on.
//!
//! What comes in at one gate leaves at the other. The report lists the connections with the most bytes, those that are over
//! among them, and counts everything.
//!
//! | argument | default | |
//! |---|---|---|
//! | `top=10` | 10 | connections listed, up to 500 |
//! | `flows=16384` | 16384 | connections watched at a time; packets of others are counted as `not watched` |
//! | `idle=10m` | 10 min | how long one is that is silent; 1 min once it is over |
//!
//! A segment is a **retransmission** where its bytes were seen before, or fill a hole later than the round trip of the
//! handshake (3 ms where that was not seen) after the hole was made; it is **out of order** where they fill it sooner: the
//! rule of Wireshark, with the bytes that were seen in place of a guess. A keep-alive is neither. Four holes of each direction
//! are remembered.
//!
//! The **round trip** to the server is the time from SYN to SYN/ACK, that to the client from SYN/ACK to ACK; after it, from
//! a timestamp to its echo (RFC 7323), whose least and mean are kept. Bytes are those of frames.
//!
//! Example:
//!   weft netbricks run monitor top=5 --in pcap:in.pcap --out pcap:out.pcap

mod connection;

use std::cmp::Reverse;

use lookup::flow_table::{FlowId, FlowTable};
use packet::Batch;
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::IpProtocol;
use packet::wire::tcp::{self, Flags};

use super::Setup;
use crate::{Args, ArgsError, Context, Gate, NetworkFunction, Report};
pub use connection::{Connection, End, RoundTrips, State};

/// The most connections listed.
const TOP_MAX: u64 = 500;
/// How long one that is over is kept, at most.
const OVER_NS: u64 = 60_000_000_000;
/// Entries looked at for expiry in one call.
const EXPIRE_WORK: usize = 64;

/// Connections that began and ended, and all their packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections seen.
    pub connections: u64,
    /// Those that ended with FINs.
    pub closed: u64,
    /// Those that ended with a reset.
    pub reset: u64,
    /// Those that fell silent.
    pub silent: u64,
    /// Both directions of those that are forgotten.
    pub past: End,
    /// Segments of connections that were not watched, or of none.
    pub not_watched: u64,
    /// Packets that are malformed.
    pub malformed: u64,
    /// Fragments.
    pub fragments: u64,
}

/// The function.
pub struct TcpMonitor {
    connections: FlowTable<FlowKey, Connection>,
    /// Of those that are forgotten, the ones with the most bytes.
    past: Vec<Connection>,
    totals: Totals,
    top: usize,
    idle_ns: u64,
}

impl TcpMonitor {
    /// Watches up to `flows` connections, each until it has been silent for `idle_ns`, and lists `top`.
    #[must_use]
    pub fn new(flows: usize, idle_ns: u64, top: usize, hasher: FlowHasher) -> Self {
        let connections = FlowTable::with_hasher(flows, hasher);
        Self { connections, past: Vec::with_capacity(top + 1), totals: Totals::default(), top, idle_ns }
    }

    /// All connections that are watched.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().map(|(_, _, connection)| connection)
    }

    /// The connections with the most bytes, those that are forgotten among them.
    #[must_use]
    pub fn top(&self) -> Vec<Connection> {
        let mut all: Vec<_> = self.connections().chain(&self.past).copied().collect();
        all.sort_by_key(|connection| (Reverse(connection.bytes()), connection.key));
        all.truncate(self.top);
        all
    }

    /// What was counted.
    #[must_use]
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    fn watch(&mut self, frame: &[u8], now_ns: u64) {
        let Ok(layers) = Layers::of(frame) else {
            self.totals.malformed += 1;
            return;
        };
        if layers.protocol != IpProtocol::TCP {
            return;
        }
        if layers.fragment.is_some() {
            self.totals.fragments += 1;
            return;
        }
        let key = FlowKey::of(&layers, frame).filter(|key| *key != key.reversed());
        let (Some(key), Ok(segment)) = (key, tcp::View::new_checked(layers.segment(frame))) else { return };
        let Some(id) = self.connection(&key, &segment, now_ns) else {
            self.totals.not_watched += 1;
            return;
        };
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.take(&key, &segment, frame.len(), now_ns);
        let over = matches!(connection.state, State::Closed | State::Reset);
        let silence_ns = if over { self.idle_ns.min(OVER_NS) } else { self.idle_ns };
        self.connections.set_deadline(id, now_ns.saturating_add(silence_ns));
    }

    /// The connection that a segment belongs to, which it may begin.
    fn connection(&mut self, key: &FlowKey, segment: &tcp::View<&[u8]>, now_ns: u64) -> Option<FlowId> {
        let flags = segment.flags();
        let opens = flags.contains(Flags::SYN) && !flags.contains(Flags::ACK);
        if let Some(id) = self.connections.find(&key.symmetric(), now_ns) {
            let is_over =
                self.connections.get(id).is_some_and(|connection| connection.is_over_for(segment.sequence()));
            if !(opens && is_over) {
                return Some(id);
            }
            if let Some((_, connection)) = self.connections.remove(id) {
                self.forget(connection);
            }
        }
        // A late reset, or the last acknowledgement of a connection that is forgotten, begins none.
        let carries = opens || flags.contains(Flags::SYN) || !segment.payload().is_empty();
        if flags.contains(Flags::RST) || !carries {
            return None;
        }
        let initiator = if flags.contains(Flags::SYN) && !opens { key.reversed() } else { *key };
        let connection = Connection::new(initiator, now_ns);
        let deadline_ns = now_ns.saturating_add(self.idle_ns);
        let Self { connections, past, totals, top, .. } = self;
        let gone = |_, connection| forget(past, totals, *top, connection);
        let id = connections.insert_with(key.symmetric(), connection, deadline_ns, now_ns, gone).ok()?;
        self.totals.connections += 1;
        Some(id)
    }

    fn forget(&mut self, connection: Connection) {
        forget(&mut self.past, &mut self.totals, self.top, connection);
    }
}

/// Keeps of a connection what the totals and the list of the largest need.
fn forget(past: &mut Vec<Connection>, totals: &mut Totals, top: usize, connection: Connection) {
    match connection.state {
        State::Closed => totals.closed += 1,
        State::Reset => totals.reset += 1,
        _ => totals.silent += 1,
    }
    connection.ends.iter().for_each(|end| totals.past.add(end));
    past.push(connection);
    if past.len() > top
        && let Some((least, _)) = past.iter().enumerate().min_by_key(|(_, connection)| connection.bytes())
    {
        past.swap_remove(least);
    }
}

impl NetworkFunction for TcpMonitor {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        batch.iter().for_each(|packet| self.watch(packet.data(), ctx.now_ns()));
        ctx.send_batch(gate ^ 1, batch);
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.connections.next_deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context) {
        let Self { connections, past, totals, top, .. } = self;
        connections.expire(ctx.now_ns(), EXPIRE_WORK, |_, connection| forget(past, totals, *top, connection));
    }

    fn report(&self, report: &mut Report) {
        self.top().iter().for_each(|connection| report.line(connection.to_string()));
        let (mut all, totals) = (self.totals.past, &self.totals);
        self.connections().flat_map(|connection| &connection.ends).for_each(|end| all.add(end));
        let now = |state| self.connections().filter(|connection| connection.state == state).count() as u64;
        for (name, count) in [
            ("connections", totals.connections),
            ("connections open now", now(State::Established)),
            ("connections closed", totals.closed + now(State::Closed)),
            ("connections reset", totals.reset + now(State::Reset)),
            ("connections fallen silent", totals.silent),
            ("packets", all.packets),
            ("bytes", all.bytes),
            ("payload bytes", all.payload_bytes),
            ("retransmissions", all.retransmissions),
            ("out of order", all.out_of_order),
            ("keep-alives", all.keep_alives),
            ("zero windows", all.zero_windows),
            ("segments not watched", totals.not_watched),
            ("malformed packets", totals.malformed),
            ("fragments, not read", totals.fragments),
        ] {
            report.counter(name, count);
        }
    }
}

pub(super) fn build(args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let flows = args.number("flows", 16_384, 1..=1 << 24)? as usize;
    let idle_ns = args.duration_ns("idle", 600_000_000_000)?.max(1_000_000_000);
    let top = args.number("top", 10, 0..=TOP_MAX)? as usize;
    Ok(Box::new(TcpMonitor::new(flows, idle_ns, top, FlowHasher::new(setup.key))))
}

#[cfg(test)]
mod tests;
