//! Looks for signatures in TCP streams and UDP datagrams, tells of them, and ends connections that carry them if told to.
//!
//! Streams are put in order first, so a signature is found however it is cut into segments, and whatever order they come
//! in; where copies of a byte differ, `policy` says which one counts, as at the receiving host. What comes in at one gate
//! leaves at the other at once; only what a `drop` rule has hit does not.
//!
//! | argument | default | |
//! |---|---|---|
//! | `rule=…` | | a rule, repeated; `rule=@FILE` reads a file of them, one a line |
//! | `file=alerts.txt` | none | where alerts go as well, a line each |
//! | `policy=linux` | `linux` | or `first`, `last`, `bsd`, `old-linux` |
//! | `connections=16384` | 16384 | connections followed at a time; what comes beyond is counted and not looked into |
//! | `memory=64` | 64 | MiB for segments that wait for one before them |
//! | `checksums=on` | `off` | whether segments with a wrong checksum are left out, as receivers do |
//!
//! A rule is `alert "NAME" content "TEXT"` or `alert "NAME" regex "EXPRESSION"`, with `drop` in place of `alert`, and behind
//! it any of `nocase` (of content), `tcp`, `udp`, `port 80` (of either end). In a content `|0d 0a|` is bytes, and `\"`,
//! `\\`, `\|` are the characters themselves. 1,024 rules of 1,024 bytes are taken.
//!
//! Expressions are those of Rust's regex crates, on bytes; `(?u)` makes classes and case those of Unicode. All are made into
//! automata before the first packet, so a byte costs the same whatever is sent. Refused are: backreferences and
//! look-around, which no automaton has; `\b` under `(?u)`; what matches the empty text; what needs more than 16 MiB
//! (`[ab]*a[ab]{24}`), or all together more than four automata of that size. `^` is the beginning of a stream or datagram,
//! `$` its end: neither is at a gap.
//!
//! A rule alerts once in each direction of a connection, at the first byte behind its first hit, and once a datagram. The
//! last 256 alerts and the hits of each rule are reported. A `drop` rule drops the packet that completes the signature, and
//! all packets of the connection until it has been silent for 60 s; of UDP it drops the datagram. Up to 16,384
//! connections are ended at a time. IP fragments are passed and counted, not looked into: put packets together first.
//!
//! Example:
//!   weft netbricks run signature rule='drop "exe" content "|4d 5a 90 00|" tcp' --in veth:left --out veth:right

mod matcher;
mod rules;

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;

use lookup::flow_table::FlowTable;
use packet::Batch;
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::IpProtocol;

use super::spool::Spool;
use super::{Setup, stream_args};
use crate::reassembly::{Config, Conversation, Direction, Event, Reassembler, Sink};
use crate::{Args, ArgsError, Cause, Context, Gate, NetworkFunction, Report};
use matcher::{Matcher, Place};

pub use matcher::MatcherError;
use rules::RULES_MAX;
pub use rules::{Action, Pattern, Rule, RuleError};

/// It completed a signature, or belongs to a connection that did.
const HIT: Cause = Cause::new("signature");
/// Connections that are ended at a time, and how long they are after their last packet.
const ENDED_MAX: usize = 16_384;
const ENDED_NS: u64 = 60_000_000_000;
/// Alerts that are kept.
const ALERTS_MAX: usize = 256;
/// Entries looked at for expiry in one call.
const EXPIRE_WORK: usize = 64;

/// A rule has hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Which of the rules.
    pub rule: usize,
    /// The flow, in the direction of the bytes.
    pub key: FlowKey,
    /// Bytes of the stream, or of the datagram, up to the end of the signature.
    pub end: u64,
}

/// Which rules have hit.
#[derive(Clone, Copy, Debug, Default)]
struct Seen([u64; RULES_MAX / 64]);

impl Seen {
    /// Whether it is the first time.
    fn insert(&mut self, rule: usize) -> bool {
        let (word, bit) = (&mut self.0[rule / 64], 1 << (rule % 64));
        let first = *word & bit == 0;
        *word |= bit;
        first
    }
}

/// What is kept of a connection: of each direction, how far the automata are, and which rules have hit.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    midstream: bool,
    places: [Option<Place>; 2],
    /// Bytes read.
    lengths: [u64; 2],
    seen: [Seen; 2],
}

/// What hits lead to.
struct Tally<W> {
    rules: Vec<Rule>,
    counts: Vec<u64>,
    alerts: VecDeque<Alert>,
    told: u64,
    ended: FlowTable<FlowKey, ()>,
    not_ended: u64,
    /// A `drop` rule has hit since this was last looked at.
    stop: bool,
    spool: Option<Spool<W>>,
    now_ns: u64,
}

impl<W: Write> Tally<W> {
    fn hit(&mut self, rule: usize, key: &FlowKey, end: u64, seen: &mut Seen) {
        if !self.rules[rule].concerns(key) {
            return;
        }
        self.counts[rule] += 1;
        if !seen.insert(rule) {
            return;
        }
        let alert = Alert { rule, key: *key, end };
        self.told += 1;
        if self.alerts.len() == ALERTS_MAX {
            self.alerts.pop_front();
        }
        self.alerts.push_back(alert);
        if let Some(spool) = &mut self.spool {
            let name = &self.rules[rule].name;
            spool.line(self.now_ns, format_args!("{name:?} {key} {end}"));
        }
        if self.rules[rule].action == Action::Drop {
            self.end(key);
        }
    }

    fn end(&mut self, key: &FlowKey) {
        self.stop = true;
        if key.protocol() == IpProtocol::TCP {
            let deadline_ns = self.now_ns.saturating_add(ENDED_NS);
            let ended = self.ended.insert(key.symmetric(), (), deadline_ns, self.now_ns);
            self.not_ended += u64::from(ended.is_err());
        }
    }
}

/// Shows streams to the automata.
struct Look<'a, W> {
    matcher: &'a Matcher,
    tally: &'a mut Tally<W>,
}

impl<W: Write> Look<'_, W> {
    /// The stream of a direction is over.
    fn end(&mut self, state: &mut Watched, key: &FlowKey, direction: Direction) {
        let at = direction as usize;
        let Some(place) = state.places[at].take() else { return };
        let (length, seen) = (state.lengths[at], &mut state.seen[at]);
        self.matcher.end(&place, |rule| self.tally.hit(rule, key, length, seen));
    }
}

impl<W: Write> Sink<Watched> for Look<'_, W> {
    fn event(&mut self, conversation: &mut Conversation<'_, Watched>, event: Event<'_>) {
        let Conversation { key, direction, state } = conversation;
        let at = *direction as usize;
        let towards = |direction| if direction == Direction::FromInitiator { **key } else { key.reversed() };
        match event {
            Event::Opened { midstream } => state.midstream = midstream,
            Event::Data { offset, bytes } => {
                let fresh = if state.midstream { self.matcher.midst() } else { self.matcher.begin() };
                let (place, seen) = (state.places[at].get_or_insert(fresh), &mut state.seen[at]);
                let key = towards(*direction);
                self.matcher.read(place, bytes, |rule, read| {
                    self.tally.hit(rule, &key, offset + read as u64, seen);
                });
                state.lengths[at] = offset + bytes.len() as u64;
            }
            Event::Gap { .. } => state.places[at] = Some(self.matcher.midst()),
            Event::Finished => self.end(state, &towards(*direction), *direction),
            Event::Closed { .. } => {
                Direction::BOTH
                    .into_iter()
                    .for_each(|direction| self.end(state, &towards(direction), direction));
            }
            Event::Urgent { .. } | Event::Conflict { .. } => {}
        }
    }
}

/// The function. `W` is where alerts go beside its report.
pub struct SignatureMatch<W> {
    matcher: Matcher,
    tally: Tally<W>,
    reassembler: Reassembler<Watched>,
    malformed: u64,
    fragments: u64,
}

impl<W: Write> SignatureMatch<W> {
    /// Looks for `rules`, 1,024 at most, in streams put together by `config`.
    ///
    /// # Errors
    /// See [`MatcherError`].
    pub fn new(
        mut rules: Vec<Rule>,
        config: Config,
        hasher: FlowHasher,
        out: Option<W>,
    ) -> Result<Self, MatcherError> {
        rules.truncate(RULES_MAX);
        let matcher = Matcher::new(&rules)?;
        let tally = Tally {
            counts: vec![0; rules.len()],
            rules,
            alerts: VecDeque::with_capacity(ALERTS_MAX),
            told: 0,
            ended: FlowTable::with_hasher(ENDED_MAX, hasher),
            not_ended: 0,
            stop: false,
            spool: out.map(Spool::new),
            now_ns: 0,
        };
        let reassembler = Reassembler::new(config, hasher);
        Ok(Self { matcher, tally, reassembler, malformed: 0, fragments: 0 })
    }

    /// The latest alerts, 256 of them.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.tally.alerts.iter()
    }

    /// Looks into a packet; `false` where it must not pass.
    fn look(&mut self, frame: &[u8]) -> bool {
        let Ok(layers) = Layers::of(frame) else {
            self.malformed += 1;
            return true;
        };
        if layers.fragment.is_some() {
            self.fragments += 1;
            return true;
        }
        match FlowKey::of(&layers, frame) {
            Some(key) if layers.protocol == IpProtocol::TCP => self.segment(&layers, frame, &key),
            Some(key) if layers.protocol == IpProtocol::UDP => {
                self.datagram(layers.l4_payload(frame), &key);
                !self.tally.stop
            }
            _ => true,
        }
    }

    fn segment(&mut self, layers: &Layers, frame: &[u8], key: &FlowKey) -> bool {
        let Self { matcher, tally, reassembler, .. } = self;
        let (flow, now_ns) = (key.symmetric(), tally.now_ns);
        if let Some(id) = tally.ended.find(&flow, now_ns) {
            tally.ended.set_deadline(id, now_ns.saturating_add(ENDED_NS));
            return false;
        }
        reassembler.segment(now_ns, layers, frame, &mut Look { matcher, tally });
        // What a segment makes known may be of another connection, whose memory it took.
        !(tally.stop && tally.ended.find(&flow, now_ns).is_some())
    }

    fn datagram(&mut self, payload: &[u8], key: &FlowKey) {
        let (mut place, mut seen) = (self.matcher.begin(), Seen::default());
        let tally = &mut self.tally;
        self.matcher.read(&mut place, payload, |rule, read| tally.hit(rule, key, read as u64, &mut seen));
        self.matcher.end(&place, |rule| tally.hit(rule, key, payload.len() as u64, &mut seen));
    }
}

impl<W: Write + Send + 'static> NetworkFunction for SignatureMatch<W> {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        self.tally.now_ns = ctx.now_ns();
        for packet in batch.drain(..) {
            self.tally.stop = false;
            if self.look(packet.data()) {
                ctx.send(gate ^ 1, packet);
            } else {
                ctx.drop(packet, HIT);
            }
        }
    }

    fn deadline_ns(&self) -> Option<u64> {
        let spool = self.tally.spool.as_ref().and_then(Spool::deadline_ns);
        let tables = [self.reassembler.next_deadline_ns(), self.tally.ended.next_deadline_ns()];
        tables.into_iter().flatten().chain(spool).min()
    }

    fn expire(&mut self, ctx: &mut Context) {
        let now_ns = ctx.now_ns();
        let Self { matcher, tally, reassembler, .. } = self;
        tally.now_ns = now_ns;
        reassembler.expire(now_ns, EXPIRE_WORK, &mut Look { matcher, tally });
        tally.ended.expire(now_ns, EXPIRE_WORK, |_, ()| ());
        tally.spool.iter_mut().for_each(|spool| spool.expire(now_ns));
    }

    fn finish(&mut self, ctx: &mut Context) {
        let Self { matcher, tally, reassembler, .. } = self;
        reassembler.finish(&mut Look { matcher, tally });
        tally.spool.iter_mut().for_each(|spool| spool.write(ctx.now_ns()));
    }

    fn report(&self, report: &mut Report) {
        let Tally { rules, counts, alerts, .. } = &self.tally;
        for Alert { rule, key, end } in alerts {
            report.line(format!("{:?} {key} {end}", rules[*rule].name));
        }
        report.counter("alerts", self.tally.told);
        report.counter("connections ended", self.tally.ended.stats().inserted);
        report.counter("connections not ended, table full", self.tally.not_ended);
        report.counter("malformed packets", self.malformed);
        report.counter("fragments, not looked into", self.fragments);
        stream_args::report(&self.reassembler, report);
        for (rule, count) in rules.iter().zip(counts).filter(|(_, count)| **count > 0) {
            report.counter(format!("hits of {:?}", rule.name), *count);
        }
        self.tally.spool.iter().for_each(|spool| spool.report(report));
    }
}

pub(super) fn build(args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let texts = args.lines("rule")?;
    if texts.is_empty() || texts.len() > RULES_MAX {
        let count = texts.len();
        return Err(args.conflict(format!("{count} rules; rule=… takes 1 to {RULES_MAX}")));
    }
    let rules = texts.iter().map(|text| Rule::parse(text)).collect::<Result<_, _>>();
    let rules = rules.map_err(|error| args.conflict(error))?;
    let file = args.take_with("file", |name| File::create(name).map_err(|error| error.to_string()))?;
    let config = stream_args::reassembly(args)?;
    let function = SignatureMatch::new(rules, config, FlowHasher::new(setup.key), file);
    Ok(Box::new(function.map_err(|error| args.conflict(error))?))
}

#[cfg(test)]
mod tests;
