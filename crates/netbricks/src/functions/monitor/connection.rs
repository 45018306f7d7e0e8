//! What is known of one connection from watching it.

use std::fmt;

use packet::flow::FlowKey;
use packet::wire::tcp::{self, Flags, HeaderOption};

/// Holes remembered of each direction.
const HOLES_MAX: usize = 4;
/// A hole filled sooner than this was never lost, where no handshake says how long a retransmission takes.
const REORDER_NS: u64 = 3_000_000;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// A SYN was seen.
    #[default]
    SynSent,
    /// A SYN/ACK was seen.
    SynReceived,
    /// Both ends may send.
    Established,
    /// One end has sent FIN.
    Closing,
    /// Both have.
    Closed,
    /// One end has reset it.
    Reset,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SynSent => "syn sent",
            Self::SynReceived => "syn received",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Reset => "reset",
        })
    }
}

/// Times from a question to its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrips {
    /// How many were measured.
    pub count: u64,
    /// The shortest.
    pub least_ns: u64,
    /// Their mean, the later ones counting more (RFC 6298: an eighth for each).
    pub mean_ns: u64,
}

impl RoundTrips {
    fn add(&mut self, ns: u64) {
        self.count += 1;
        if self.count == 1 {
            (self.least_ns, self.mean_ns) = (ns, ns);
        } else {
            self.least_ns = self.least_ns.min(ns);
            self.mean_ns = self.mean_ns - self.mean_ns / 8 + ns / 8;
        }
    }
}

/// What one end has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Packets.
    pub packets: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// Bytes of payload, those sent again included.
    pub payload_bytes: u64,
    /// Segments with bytes that were seen before, or were lost in front of here.
    pub retransmissions: u64,
    /// Segments that had been overtaken.
    pub out_of_order: u64,
    /// Keep-alives.
    pub keep_alives: u64,
    /// Segments that close the window.
    pub zero_windows: u64,
    /// Round trips from here to this end and back.
    pub round_trips: RoundTrips,
}

impl End {
    /// Adds what another has sent; not its round trips.
    pub(super) fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.payload_bytes += other.payload_bytes;
        self.retransmissions += other.retransmissions;
        self.out_of_order += other.out_of_order;
        self.keep_alives += other.keep_alives;
        self.zero_windows += other.zero_windows;
    }
}

/// How far an end's sequence numbers have come.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    seen: bool,
    /// Behind the highest.
    next: u32,
    /// Bytes below `next` that were not seen: from, to, and when the hole was made.
    holes: [(u32, u32, u64); HOLES_MAX],
    hole_count: usize,
    finished: bool,
    /// A timestamp whose echo is waited for, and when it was sent.
    asked: Option<(u32, u64)>,
}

/// A connection.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// Its ends: the initiator is the source.
    pub key: FlowKey,
    /// Where it stands.
    pub state: State,
    /// When it was first seen.
    pub began_ns: u64,
    /// When it was last seen.
    pub last_ns: u64,
    /// What the initiator and the responder sent.
    pub ends: [End; 2],
    tracks: [Track; 2],
    first_sequence: u32,
    /// When SYN and SYN/ACK were first seen.
    syn_ns: Option<u64>,
    answer_ns: Option<u64>,
}

/// Whether sequence number `a` comes before `b`.
const fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

impl Connection {
    pub(super) fn new(key: FlowKey, now_ns: u64) -> Self {
        Self {
            key,
            state: State::default(),
            began_ns: now_ns,
            last_ns: now_ns,
            ends: [End::default(); 2],
            tracks: [Track::default(); 2],
            first_sequence: 0,
            syn_ns: None,
            answer_ns: None,
        }
    }

    /// Bytes in both directions.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.ends[0].bytes + self.ends[1].bytes
    }

    /// Whether a SYN with this sequence number begins another connection.
    pub(super) const fn is_over_for(&self, sequence: u32) -> bool {
        matches!(self.state, State::Closed | State::Reset) && sequence != self.first_sequence
    }

    /// Takes a segment of the connection, in a frame of `bytes`.
    pub(super) fn take(&mut self, key: &FlowKey, segment: &tcp::View<&[u8]>, bytes: usize, now_ns: u64) {
        let from = usize::from(*key != self.key);
        let flags = segment.flags();
        let end = &mut self.ends[from];
        end.packets += 1;
        end.bytes += bytes as u64;
        end.payload_bytes += segment.payload().len() as u64;
        self.last_ns = now_ns;
        if segment.window() == 0 && !flags.intersects(Flags::SYN | Flags::FIN | Flags::RST) {
            end.zero_windows += 1;
        }
        if flags.contains(Flags::SYN) && from == 0 && self.syn_ns.is_none() {
            self.first_sequence = segment.sequence();
        }
        if !flags.contains(Flags::RST) {
            self.sequence(from, segment, now_ns);
        }
        self.round_trips(from, segment, now_ns);
        self.advance(from, flags);
    }

    /// The time from SYN to SYN/ACK to ACK, where it was seen.
    fn handshake_ns(&self) -> Option<u64> {
        let (to, back) = (&self.ends[1].round_trips, &self.ends[0].round_trips);
        (self.syn_ns.is_some() && to.count > 0 && back.count > 0).then(|| to.least_ns + back.least_ns)
    }

    /// Puts a segment among those seen before it.
    fn sequence(&mut self, from: usize, segment: &tcp::View<&[u8]>, now_ns: u64) {
        let length = segment.sequence_len();
        let (start, end) = (segment.sequence(), segment.sequence().wrapping_add(length));
        let reorder_ns = self.handshake_ns().unwrap_or(REORDER_NS);
        let (track, count) = (&mut self.tracks[from], &mut self.ends[from]);
        if !track.seen {
            (track.seen, track.next) = (true, end);
            return;
        }
        let special = segment.flags().intersects(Flags::SYN | Flags::FIN);
        if segment.payload().len() <= 1 && start == track.next.wrapping_sub(1) && !special {
            count.keep_alives += 1;
            return;
        }
        if length == 0 {
            return;
        }
        if before(start, track.next) {
            match track.fill(start, end) {
                Some(made_ns) if now_ns.saturating_sub(made_ns) < reorder_ns => count.out_of_order += 1,
                _ => count.retransmissions += 1,
            }
        } else if start != track.next {
            track.open(start, now_ns);
        }
        if before(track.next, end) {
            track.next = end;
        }
    }

    fn round_trips(&mut self, from: usize, segment: &tcp::View<&[u8]>, now_ns: u64) {
        let flags = segment.flags();
        let (syn, ack) = (flags.contains(Flags::SYN), flags.contains(Flags::ACK));
        match (from, syn, ack) {
            (0, true, false) => self.syn_ns = self.syn_ns.or(Some(now_ns)),
            (1, true, true) if self.answer_ns.is_none() => {
                self.answer_ns = Some(now_ns);
                self.syn_ns.iter().for_each(|asked_ns| self.ends[1].round_trips.add(now_ns - asked_ns));
            }
            (0, false, true) if self.state == State::SynReceived => {
                self.answer_ns.iter().for_each(|asked_ns| self.ends[0].round_trips.add(now_ns - asked_ns));
            }
            _ => {}
        }
        let timestamps = segment.options().filter_map(Result::ok).find_map(|option| match option {
            HeaderOption::Timestamps { value, echo } => Some((value, echo)),
            _ => None,
        });
        let Some((value, echo)) = timestamps.filter(|_| !syn) else { return };
        if let Some((_, asked_ns)) = self.tracks[1 - from].asked.take_if(|(asked, _)| *asked == echo) {
            self.ends[from].round_trips.add(now_ns - asked_ns);
        }
        // Only what carries data is answered at once.
        if !segment.payload().is_empty() {
            self.tracks[from].asked.get_or_insert((value, now_ns));
        }
    }

    fn advance(&mut self, from: usize, flags: Flags) {
        self.tracks[from].finished |= flags.contains(Flags::FIN);
        let finished = self.tracks.iter().filter(|track| track.finished).count();
        self.state = match (self.state, flags) {
            (State::Reset, _) => State::Reset,
            (_, flags) if flags.contains(Flags::RST) => State::Reset,
            _ if finished == 2 => State::Closed,
            _ if finished == 1 => State::Closing,
            (State::SynSent, flags) if flags.contains(Flags::SYN | Flags::ACK) && from == 1 => {
                State::SynReceived
            }
            (State::SynSent, flags) if flags.contains(Flags::SYN) => State::SynSent,
            // Without a SYN it was picked up in its midst.
            (State::SynSent, _) => State::Established,
            (State::SynReceived, flags) if flags.contains(Flags::ACK) && from == 0 => State::Established,
            (state, _) => state,
        };
    }
}

impl Track {
    /// Bytes up to `start` were skipped.
    fn open(&mut self, start: u32, now_ns: u64) {
        if self.hole_count < HOLES_MAX {
            self.holes[self.hole_count] = (self.next, start, now_ns);
            self.hole_count += 1;
        }
    }

    /// Takes bytes out of the holes; when the hole was made, if they all lie in one.
    fn fill(&mut self, start: u32, end: u32) -> Option<u64> {
        let at = self.holes[..self.hole_count]
            .iter()
            .position(|(from, to, _)| !before(start, *from) && !before(*to, end))?;
        let (from, to, made_ns) = self.holes[at];
        self.hole_count -= 1;
        self.holes.copy_within(at + 1.., at);
        for (from, to) in [(from, start), (end, to)] {
            if before(from, to) && self.hole_count < HOLES_MAX {
                self.holes[self.hole_count] = (from, to, made_ns);
                self.hole_count += 1;
            }
        }
        Some(made_ns)
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = (self.last_ns - self.began_ns) / 1_000_000;
        write!(f, "{} {}, {milliseconds} ms", self.key, self.state)?;
        for (end, way) in self.ends.iter().zip(["there", "back"]) {
            let End { packets, bytes, retransmissions, out_of_order, zero_windows, round_trips, .. } = end;
            write!(f, "; {way} {packets} packets {bytes} bytes")?;
            for (count, what) in [
                (retransmissions, "sent again"),
                (out_of_order, "out of order"),
                (zero_windows, "zero windows"),
            ] {
                if *count > 0 {
                    write!(f, " {count} {what}")?;
                }
            }
            if round_trips.count > 0 {
                write!(f, " rtt {}/{} us", round_trips.least_ns / 1000, round_trips.mean_ns / 1000)?;
            }
        }
        Ok(())
    }
}
