//! [`UrlFilter`].

mod request;

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use lookup::flow_table::FlowTable;
use netbricks::reassembly::{Event, Exhausted, Policy, Segment, Shared, Stream, StreamConfig};
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::tcp::{self, Flags};
use packet::wire::{IpProtocol, ethernet, ipv4, ipv6};
use packet::{Batch, Packet, Pool};
use thiserror::Error;

use super::gates::DROP;
use crate::engine::{Context, Gate, Module};
use request::{HEAD_MAX, Known, Request, UrlHash};

/// Most addresses on the list, and most bytes of one.
pub const URLS_MAX: usize = 1 << 16;
/// Most bytes of a host and a path together.
pub const URL_BYTES_MAX: usize = 8 << 10;
/// Connections that are looked into, or blocked, at a time.
pub const REQUESTS_MAX: usize = 1 << 15;
/// How long a connection is remembered that nothing is heard of (as BESS).
const IDLE_NS: u64 = 10_000_000_000;
/// Bytes of memory for segments that wait for one in front of them, of all connections.
const WAITING_BYTES: usize = 4 << 20;
/// Connections looked at for expiry in one go.
const EXPIRE_WORK: usize = 256;

/// The inside, where requests come from.
const INSIDE: Gate = 0;
const OUTSIDE: Gate = 1;

const FORBIDDEN: &[u8] = b"HTTP/1.1 403 Bad Forbidden\r\nConnection: Closed\r\n\r\n";
/// Of answers.
const HOPS: u8 = 64;

/// Ends HTTP connections whose first request is for an address on a list.
///
/// *Input gates*: 0 for packets from the inside, 1 for those from the outside. *Output gates*: 0 to the outside, 1 to the
/// inside.
///
/// An address is a host, whose case does not count, and a path. The first request of each connection that begins inside is
/// read, however it is cut into segments and in whatever order they come. As soon as path and host are known and on the
/// list, the segment that completed them is dropped, the server is sent a reset, and the client an answer, `403`, and a
/// reset; what the client sends afterwards is dropped until it has been silent for ten seconds. All other packets pass:
/// from the outside, later requests, and what is no HTTP. IPv4 and IPv6, tagged or not.
///
/// Memory is bounded: [`REQUESTS_MAX`] connections are followed at a time, and what comes beyond passes unread; of a head
/// 64 KiB are read; a segment that came too early and for which there is no room is dropped, since its sender repeats it.
/// All three are counted in the status.
///
/// ```
/// use packet::{Pool, PoolConfig};
/// let pool = Pool::new(PoolConfig::default())?;
/// let mut module = softnic::modules::UrlFilter::new(pool, 0x5eed);
/// module.add("www.example.org", "/")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct UrlFilter {
    pool: Pool,
    hasher: FlowHasher,
    /// Hosts in small letters, and paths.
    urls: BTreeSet<(String, String)>,
    hashes: HashSet<UrlHash, FlowHasher>,
    flows: FlowTable<FlowKey, Flow>,
    shared: Shared,
    counts: Counts,
}

/// A connection that is remembered, by its packets from the client.
enum Flow {
    /// Its request is not known yet.
    Read(Reading),
    Blocked,
}

struct Reading {
    stream: Stream,
    request: Request,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    blocked: u64,
    unread: u64,
    no_room: u64,
    not_told: u64,
}

/// What is no address for the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlFilterError {
    /// As many as there may be.
    #[error("{URLS_MAX} addresses are on the list, as many as may be")]
    Full,
    /// Longer than one may be.
    #[error("an address of {0} bytes: at most {URL_BYTES_MAX}")]
    Long(usize),
}

/// What becomes of a packet from the inside.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Pass,
    Drop,
    /// It has completed a request for an address on the list.
    Refuse,
}

/// Addresses that are to come to `there` others, of which some are known already.
fn listed<'a>(
    urls: impl IntoIterator<Item = (&'a str, &'a str)>,
    there: usize,
    is_known: impl Fn(&(String, String)) -> bool,
) -> Result<BTreeSet<(String, String)>, UrlFilterError> {
    let mut new = BTreeSet::new();
    for (host, path) in urls {
        let bytes = host.len() + path.len();
        if bytes > URL_BYTES_MAX {
            return Err(UrlFilterError::Long(bytes));
        }
        let url = (host.to_ascii_lowercase(), path.to_owned());
        if !is_known(&url) {
            new.insert(url);
        }
        if there + new.len() > URLS_MAX {
            return Err(UrlFilterError::Full);
        }
    }
    Ok(new)
}

impl UrlFilter {
    /// An empty list. Answers are made in buffers of `pool`; the seed keys the hashes.
    pub fn new(pool: Pool, seed: u64) -> Self {
        let hasher = FlowHasher::new(seed.into());
        let config = StreamConfig {
            pool_bytes: WAITING_BYTES,
            stream_bytes: HEAD_MAX,
            stream_chunks: 64,
            ahead_bytes: HEAD_MAX,
            exhausted: Exhausted::DropSegment,
            ..StreamConfig::default()
        };
        Self {
            pool,
            hasher,
            urls: BTreeSet::new(),
            hashes: HashSet::with_hasher(hasher),
            flows: FlowTable::with_hasher(REQUESTS_MAX, hasher),
            shared: Shared::new(config),
            counts: Counts::default(),
        }
    }

    /// Puts an address on the list.
    ///
    /// # Errors
    /// It is too long; there are too many.
    pub fn add(&mut self, host: &str, path: &str) -> Result<(), UrlFilterError> {
        self.add_all([(host, path)])
    }

    /// Puts addresses, hosts and paths, on the list.
    ///
    /// # Errors
    /// One is too long; there are too many. Then nothing changes.
    pub fn add_all<'a>(
        &mut self,
        urls: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), UrlFilterError> {
        let new = listed(urls, self.urls.len(), |url| self.urls.contains(url))?;
        self.hashes.extend(new.iter().map(|(host, path)| UrlHash::new(self.hasher, host, path)));
        self.urls.extend(new);
        Ok(())
    }

    /// Has these addresses on the list and no others.
    ///
    /// # Errors
    /// As [`add_all`](Self::add_all).
    pub fn replace<'a>(
        &mut self,
        urls: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), UrlFilterError> {
        let new = listed(urls, 0, |_| false)?;
        self.hashes.clear();
        self.hashes.extend(new.iter().map(|(host, path)| UrlHash::new(self.hasher, host, path)));
        self.urls = new;
        Ok(())
    }

    /// Empties the list.
    pub fn clear(&mut self) {
        self.urls.clear();
        self.hashes.clear();
    }

    /// The list: hosts and paths, in order.
    pub fn urls(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.urls.iter().map(|(host, path)| (host.as_str(), path.as_str()))
    }

    fn look(&mut self, now_ns: u64, key: FlowKey, segment: &Segment<'_>) -> Verdict {
        let found = self.flows.find(&key, now_ns);
        if let Some(id) = found
            && matches!(self.flows.get(id), Some(Flow::Blocked))
        {
            self.flows.set_deadline(id, now_ns.saturating_add(IDLE_NS));
            return Verdict::Drop;
        }
        let call = segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::ACK);
        let id = match found {
            Some(id) if !call => id,
            _ if !call => return Verdict::Pass,
            _ => {
                let stream = Stream::new(Policy::default());
                let reading = Flow::Read(Reading { stream, request: Request::new(self.hasher) });
                let deadline_ns = now_ns.saturating_add(IDLE_NS);
                let Self { flows, shared, .. } = self;
                let entered =
                    flows.insert_with(key, reading, deadline_ns, now_ns, |_, gone| free(gone, shared));
                match entered {
                    Ok(id) => id,
                    Err(_) => {
                        self.counts.unread += 1;
                        return Verdict::Pass;
                    }
                }
            }
        };
        self.flows.set_deadline(id, now_ns.saturating_add(IDLE_NS));
        let Some(Flow::Read(reading)) = self.flows.get_mut(id) else { return Verdict::Pass };
        let known = reading.take(&mut self.shared, segment, &self.hashes);
        let over = segment.flags.intersects(Flags::FIN | Flags::RST);
        let (keep, verdict) = match known {
            Step::Refused => (true, Verdict::Refuse),
            // FIN and RST may have come early, or not be the client's own; as in BESS they end the reading.
            Step::Open => (!over, Verdict::Pass),
            Step::NoRoom => (true, Verdict::Drop),
            Step::Passed | Step::Unread => (false, Verdict::Pass),
        };
        self.counts.unread += u64::from(known == Step::Unread);
        self.counts.no_room += u64::from(known == Step::NoRoom);
        if verdict == Verdict::Refuse {
            self.counts.blocked += 1;
            if let Some(flow) = self.flows.get_mut(id) {
                free(std::mem::replace(flow, Flow::Blocked), &mut self.shared);
            }
        } else if !keep && let Some((_, flow)) = self.flows.remove(id) {
            free(flow, &mut self.shared);
        }
        verdict
    }

    /// A segment between the ends of `packet`, which goes on or back.
    fn answer(
        &self,
        packet: &Packet,
        layers: &Layers,
        back: bool,
        repr: &tcp::Repr,
        text: &[u8],
    ) -> Option<Packet> {
        let (source, destination) = layers.addresses(packet.data())?;
        let (from, to) = if back { (destination, source) } else { (source, destination) };
        let mut answer = self.pool.alloc()?;
        let length = tcp::HEADER_LEN + text.len();
        let header = if from.is_ipv4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
        answer.set_len(layers.l3 + header + length).ok()?;
        let (link, ip) = answer.data_mut().split_at_mut(layers.l3);
        link.copy_from_slice(&packet.data()[..layers.l3]);
        if back {
            let mut link = ethernet::View::new_unchecked(link);
            let (source, destination) = (link.source(), link.destination());
            link.set_source(destination);
            link.set_destination(source);
        }
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                // The client's SYN has 0, BESS supposes.
                let ident = if text.is_empty() { 2 } else { 1 };
                let whole = ipv4::Repr::new(from, to, IpProtocol::TCP, length);
                ipv4::Repr { ttl: HOPS, tos: 0, ident, dont_fragment: false, ..whole }
                    .emit(&mut ipv4::View::new_unchecked(&mut *ip));
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let whole = ipv6::Repr::new(from, to, IpProtocol::TCP, length);
                ipv6::Repr { hop_limit: HOPS, ..whole }.emit(&mut ipv6::View::new_unchecked(&mut *ip));
            }
            _ => return None,
        }
        ip[header + tcp::HEADER_LEN..].copy_from_slice(text);
        let mut segment = tcp::View::new_unchecked(&mut ip[header..]);
        repr.emit(&mut segment);
        segment.fill_checksum(from, to);
        Some(answer)
    }

    /// Resets both ends, and tells the client why.
    fn refuse(&mut self, ctx: &mut Context<'_>, packet: &Packet, layers: &Layers) {
        let Ok(request) = tcp::View::new_checked(layers.segment(packet.data())) else { return };
        let (source, destination) = (request.source_port(), request.destination_port());
        let (sequence, ack) = (request.sequence(), request.ack());
        let reset = Flags::RST | Flags::ACK;
        let behind = ack.wrapping_add(FORBIDDEN.len() as u32);
        let answers = [
            (OUTSIDE, plain((source, destination), (sequence, ack), reset), &[][..]),
            (INSIDE, plain((destination, source), (ack, sequence), Flags::ACK), FORBIDDEN),
            (INSIDE, plain((destination, source), (behind, sequence), reset), &[]),
        ];
        for (to, repr, text) in answers {
            match self.answer(packet, layers, to == INSIDE, &repr, text) {
                // Output gate 0 leads outside.
                Some(answer) => ctx.emit(to ^ 1, answer),
                None => self.counts.not_told += 1,
            }
        }
    }
}

/// What a segment has made known of a request.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    /// More is to come.
    Open,
    /// The request is for an address on the list.
    Refused,
    /// It is for none.
    Passed,
    /// It cannot be read.
    Unread,
    /// The segment cannot be kept until its turn comes.
    NoRoom,
}

impl Reading {
    fn take(
        &mut self,
        shared: &mut Shared,
        segment: &Segment<'_>,
        list: &HashSet<UrlHash, FlowHasher>,
    ) -> Step {
        let Self { stream, request } = self;
        let mut step = Step::Open;
        let no_room = shared.counters().no_room;
        let taken = stream.segment(shared, segment, &mut |event| match event {
            Event::Data { bytes, .. } => {
                for &byte in bytes {
                    if step != Step::Open {
                        return;
                    }
                    step = match request.read(byte) {
                        Known::Url(url) if list.contains(&url) => Step::Refused,
                        Known::Nothing | Known::Url(_) => Step::Open,
                        Known::End => Step::Passed,
                        Known::NoRequest => Step::Unread,
                    };
                }
            }
            Event::Gap { .. } if step == Step::Open => step = Step::Unread,
            _ => {}
        });
        if step == Step::Open && (taken.is_err() || shared.counters().no_room > no_room) {
            return Step::NoRoom;
        }
        step
    }
}

/// Gives back what a connection holds.
fn free(flow: Flow, shared: &mut Shared) {
    if let Flow::Read(mut reading) = flow {
        reading.stream.close(shared, &mut |_| ());
    }
}

/// A header without options, of a sender who takes no more.
fn plain(ports: (u16, u16), (sequence, ack): (u32, u32), flags: Flags) -> tcp::Repr {
    tcp::Repr {
        source_port: ports.0,
        destination_port: ports.1,
        sequence,
        ack,
        flags,
        window: 0,
        urgent: 0,
        maximum_segment: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: None,
        sack: tcp::SackBlocks::default(),
    }
}

impl Module for UrlFilter {
    fn class(&self) -> &'static str {
        "UrlFilter"
    }

    fn inputs(&self) -> Gate {
        2
    }

    fn outputs(&self) -> Gate {
        2
    }

    fn process(&mut self, ctx: &mut Context<'_>, gate: Gate, batch: &mut Batch) {
        if gate != INSIDE {
            return ctx.forward(1);
        }
        let now_ns = ctx.now_ns();
        for packet in batch.drain(..) {
            let (mut verdict, frame) = (Verdict::Pass, packet.data());
            let layers = Layers::of(frame).ok().filter(|layers| {
                layers.protocol == IpProtocol::TCP && layers.fragment.is_none() && layers.labels == 0
            });
            if let Some(layers) = &layers
                && let Some(key) = FlowKey::of(layers, frame)
                && let Ok(view) = tcp::View::new_checked(layers.segment(frame))
            {
                verdict = self.look(now_ns, key, &view.into());
            }
            if let Some(layers) = layers.filter(|_| verdict == Verdict::Refuse) {
                self.refuse(ctx, &packet, &layers);
            }
            ctx.emit(if verdict == Verdict::Pass { 0 } else { DROP }, packet);
        }
    }

    fn timed(&self) -> bool {
        true
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.flows.next_deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context<'_>) {
        let Self { flows, shared, .. } = self;
        flows.expire(ctx.now_ns(), EXPIRE_WORK, |_, flow| free(flow, shared));
    }

    fn status(&self) -> String {
        let Counts { blocked, unread, no_room, not_told } = self.counts;
        let hosts: BTreeSet<&str> = self.urls.iter().map(|(host, _)| host.as_str()).collect();
        format!(
            "{} hosts; {blocked} connections ended, {unread} not read, {no_room} segments without room, {not_told} \
             answers without a buffer",
            hosts.len()
        )
    }
}

#[cfg(test)]
mod tests;
