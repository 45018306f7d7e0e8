//! The sender: the primary loop, ordinary SACK TCP that leaves out what has been SACKed, and beside it the low-priority loop.
//!
//! The primary loop counts what it has in flight, `[una, next)` without what is SACKed and what is taken for lost. Its counters
//! change with each ack by what that ack says; nothing walks over the scoreboard.

use sim::{Rate, Time};

use crate::config::{SenderConfig, earliest};
use crate::congestion::Window;
use crate::low::Low;
use crate::ranges::Ranges;
use crate::rtt::Rtt;
use crate::segment::{Kind, Segment};

/// Duplicate acks after which a segment is taken for lost.
const DUPLICATES: u32 = 3;

/// What comes in.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The application wants the connection.
    Open,
    /// The connection is there by other means than a SYN of its own: it lies in one that is open.
    Granted {
        /// What the receiver has room for.
        window: u64,
        /// The round trip, if it is known.
        rtt: Option<Time>,
    },
    /// A segment of the receiver's.
    Segment(&'a Segment),
    /// A low-priority segment has left the NIC, or was dropped there.
    Departed,
    /// Time has passed: at or after [`Sender::next_deadline`].
    Timer,
}

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Asked for; whether the SYN has yet to go out.
    Asking(bool),
    Open,
}

/// What is being repaired.
#[derive(Debug, Clone, Copy)]
struct Recovery {
    /// It is over when everything below is acked.
    end: u64,
    /// Holes below have been sent again.
    resent: u64,
    /// Holes below are lost.
    lost_to: u64,
    /// Unacked bytes of `resent..lost_to`.
    lost: u64,
    /// Whether the first segment has yet to be sent again, whatever the window.
    first: bool,
}

/// What a sender counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderStats {
    /// Segments of the primary loop, those sent again among them.
    pub primary: u64,
    /// Segments sent again.
    pub again: u64,
    /// Segments of the low-priority loop.
    pub low: u64,
    /// How often three duplicate acks began a recovery.
    pub recoveries: u64,
    /// How often the timeout went off.
    pub timeouts: u64,
    /// How often the loops met: the cumulative ack was beyond what the primary had sent.
    pub met: u64,
}

/// A sender. [`Sender::handle`] takes what comes, [`Sender::poll_output`] gives what goes until it gives none, and
/// [`Sender::next_deadline`] says when to come back if nothing comes.
#[derive(Debug, Clone)]
pub struct Sender {
    config: SenderConfig,
    state: State,
    window: Window,
    rtt: Rtt,
    /// The first byte that is not acked.
    una: u64,
    /// The next byte of the primary loop.
    next: u64,
    /// Behind the last byte that the primary loop ever sent.
    high: u64,
    /// Behind the last byte written.
    tail: u64,
    /// Behind the last byte that the receiver has room for.
    limit: u64,
    sacked: Ranges,
    /// SACKed bytes of `una..next`.
    sacked_sent: u64,
    duplicates: u32,
    /// What was in flight when the first duplicate ack came.
    at_duplicate: u64,
    recovery: Option<Recovery>,
    /// No recovery begins below: what a timeout had sent again.
    quiet_below: u64,
    /// Where the loops met, and how many acks of then are yet to come.
    bumped: Option<(u64, u64)>,
    /// A segment that is timed: its end, and when it went.
    timed: Option<(u64, Time)>,
    timeout_at: Option<Time>,
    low: Option<Low>,
    stats: SenderStats,
}

impl Sender {
    /// A sender of a connection that is not open.
    pub fn new(config: SenderConfig) -> Self {
        Self {
            config,
            state: State::Closed,
            window: Window::new(config.algorithm, config.segment, config.initial_window),
            rtt: Rtt::new(config.rtt),
            una: 0,
            next: 0,
            high: 0,
            tail: 0,
            limit: u64::MAX,
            sacked: Ranges::default(),
            sacked_sent: 0,
            duplicates: 0,
            at_duplicate: 0,
            recovery: None,
            quiet_below: 0,
            bumped: None,
            timed: None,
            timeout_at: None,
            low: config.low.map(|low| Low::new(low, config.segment_bytes())),
            stats: SenderStats::default(),
        }
    }

    /// For another connection, in the memory of this one.
    pub fn reset(&mut self, config: SenderConfig) {
        self.sacked.clear();
        let sacked = std::mem::take(&mut self.sacked);
        *self = Self { sacked, ..Self::new(config) };
    }

    /// Takes bytes of the application's, and tells how many: what the buffer has room for.
    pub fn write(&mut self, bytes: u64) -> u64 {
        let taken =
            bytes.min(self.config.buffer.saturating_sub(self.tail - self.una)).min(u64::MAX / 2 - self.tail);
        if taken > 0 {
            let start = self.tail;
            self.tail += taken;
            if let Some(low) = &mut self.low {
                low.written(start, self.tail);
            }
        }
        taken
    }

    /// Is every byte written acked, cumulatively or by SACK?
    pub fn is_done(&self) -> bool {
        self.state == State::Open && (self.una == self.tail || self.sacked.gap(self.una) >= self.tail)
    }

    /// The first byte that is not acked.
    pub fn acked(&self) -> u64 {
        self.una
    }

    /// The congestion window, in bytes.
    pub fn window(&self) -> u64 {
        self.window.bytes
    }

    /// What the low-priority loop is paced at.
    pub fn low_rate(&self) -> Option<Rate> {
        self.low.as_ref().and_then(Low::rate)
    }

    /// The rate of the bottleneck as far as this connection has found it itself, worth remembering for the next one.
    pub fn bottleneck(&self) -> Option<Rate> {
        self.low.as_ref().and_then(Low::estimate)
    }

    /// The round trip, smoothed.
    pub fn round_trip(&self) -> Option<Time> {
        self.rtt.smoothed()
    }

    /// Is there something to send, nothing in flight, and no room at the receiver? Somebody has to ask it then.
    pub fn is_blocked(&self) -> bool {
        let len = self.config.segment_bytes().min(self.tail - self.next);
        self.state == State::Open && len > 0 && self.next == self.una && self.next + len > self.limit
    }

    /// What it counted.
    pub fn stats(&self) -> SenderStats {
        self.stats
    }

    /// Takes what has come.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Open if self.state == State::Closed => self.state = State::Asking(true),
            Input::Granted { window, rtt } if self.state == State::Closed => {
                (self.state, self.limit) = (State::Open, window);
                rtt.into_iter().for_each(|rtt| self.rtt.sample(rtt));
            }
            Input::Segment(segment) if segment.kind == Kind::SynAck => self.opened(now, segment),
            Input::Segment(segment) if segment.kind == Kind::Ack && self.state == State::Open => {
                self.ack(now, segment);
            }
            Input::Segment(segment) if segment.kind == Kind::Window && self.state == State::Open => {
                self.has_room(segment);
            }
            Input::Departed => self.low.iter_mut().for_each(Low::departed),
            Input::Timer if self.timeout_at.is_some_and(|at| at <= now) => self.timeout(),
            Input::Open | Input::Granted { .. } | Input::Segment(_) | Input::Timer => {}
        }
    }

    /// When it wants [`Input::Timer`], or to be polled, if nothing comes.
    pub fn next_deadline(&self) -> Option<Time> {
        let low = self.low.as_ref().filter(|_| self.low_may_run());
        earliest(self.timeout_at, low.and_then(|low| low.deadline(self.next)))
    }

    /// The next segment to send now.
    pub fn poll_output(&mut self, now: Time) -> Option<Segment> {
        match self.state {
            State::Closed | State::Asking(false) => None,
            State::Asking(true) => {
                self.state = State::Asking(false);
                // One that is sent again tells nothing of the round trip.
                self.timed = (self.stats.timeouts == 0).then_some((0, now));
                self.timeout_at = Some(now + self.rtt.timeout());
                Some(Segment::new(Kind::Syn, 0))
            }
            State::Open => self.poll_primary(now).or_else(|| self.poll_low(now)),
        }
    }

    fn opened(&mut self, now: Time, segment: &Segment) {
        if let State::Asking(_) = self.state {
            self.state = State::Open;
            self.limit = segment.window;
            self.timeout_at = None;
            if let Some((_, sent)) = self.timed.take() {
                self.rtt.sample(now - sent);
            }
        }
    }

    /// What the primary loop has in the network.
    fn in_flight(&self) -> u64 {
        let lost = self.recovery.map_or(0, |recovery| recovery.lost);
        (self.next - self.una).saturating_sub(self.sacked_sent + lost)
    }

    /// What was in flight when the loops met and has not been acked since, as far as it leaves room for a segment: without it a whole
    /// window would go out at once, which a small buffer has no room for. Where the low-priority loop is not paced, as in the paper, it
    /// does.
    fn behind(&self) -> u64 {
        if !self.low.as_ref().is_some_and(Low::is_paced) {
            return 0;
        }
        let segment = self.config.segment_bytes();
        let left = self.bumped.filter(|bumped| bumped.0 == self.una).map_or(0, |bumped| bumped.1 * segment);
        left.min(self.window.bytes.saturating_sub(segment))
    }

    fn poll_primary(&mut self, now: Time) -> Option<Segment> {
        let segment = self.config.segment_bytes();
        let mut counted = self.in_flight();
        if !self.config.limited_transmit && self.duplicates > 0 && self.recovery.is_none() {
            counted = counted.max(self.at_duplicate);
        }
        let room = self.window.bytes.saturating_sub(counted + self.behind());
        if let Some(again) = self.poll_again(now, room) {
            return Some(again);
        }
        let seq = self.sacked.gap(self.next);
        let end = self.sacked.gap_end(seq, self.tail);
        let len = segment.min(end.saturating_sub(seq));
        if len == 0 || len > room || seq + len > self.limit {
            return None;
        }
        self.sacked_sent += seq - self.next;
        self.next = seq + len;
        let again = seq < self.high;
        self.high = self.high.max(self.next);
        if again {
            self.stats.again += 1;
        } else if self.timed.is_none() {
            self.timed = Some((self.next, now));
        }
        Some(self.primary(now, seq, len))
    }

    /// What is lost goes first.
    fn poll_again(&mut self, now: Time, room: u64) -> Option<Segment> {
        let segment = self.config.segment_bytes();
        let recovery = self.recovery.as_mut()?;
        let seq = self.sacked.gap(recovery.resent.max(self.una));
        let end = self.sacked.gap_end(seq, recovery.lost_to);
        let len = segment.min(end.saturating_sub(seq));
        if len == 0 || (len > room && !recovery.first) {
            return None;
        }
        recovery.first = false;
        recovery.resent = seq + len;
        recovery.lost = recovery.lost.saturating_sub(len);
        self.timed = None; // Karn
        self.stats.again += 1;
        Some(self.primary(now, seq, len))
    }

    fn primary(&mut self, now: Time, seq: u64, len: u64) -> Segment {
        self.stats.primary += 1;
        self.timeout_at.get_or_insert_with(|| now + self.rtt.timeout());
        Segment { seq, len: len as u32, ..Segment::new(Kind::Data, 0) }
    }

    /// The low-priority loop starts once the initial window has gone out, and rests while the receiver has no room for the tail.
    fn low_may_run(&self) -> bool {
        let initial = u64::from(self.config.initial_window) * self.config.segment_bytes();
        self.state == State::Open && self.high >= initial.min(self.tail) && self.tail <= self.limit
    }

    fn poll_low(&mut self, now: Time) -> Option<Segment> {
        if !self.low_may_run() {
            return None;
        }
        let low = self.low.as_mut()?;
        let next = low.poll(now, self.next)?;
        // Where the loops meet, part of it may be acked.
        let (seq, end) = (next.seq.max(self.una), next.seq + u64::from(next.len));
        if seq >= end {
            low.departed();
            return None;
        }
        self.stats.low += 1;
        Some(Segment { seq, len: (end - seq) as u32, ..Segment::new(Kind::Data, next.level) })
    }

    fn ack(&mut self, now: Time, segment: &Segment) {
        if segment.ack > self.tail {
            return; // of bytes that were never written
        }
        let before = self.in_flight();
        for (start, end) in segment.sack.blocks() {
            self.mark(*start, *end);
        }
        if segment.level > 0 {
            let rtt = self.rtt.smoothed();
            if let (Some(low), Some(block)) = (&mut self.low, segment.sack.blocks().first()) {
                low.acked(now, *block, rtt);
            }
        } else {
            self.has_room(segment);
            self.primary_ack(now, segment, before);
        }
        if self.is_done() {
            self.all_there();
        }
    }

    /// The receiver has all that was written, though the cumulative ack that says so may be lost: none will be sent again, so what was
    /// written must make room now.
    fn all_there(&mut self) {
        self.timeout_at = None;
        if self.una < self.tail {
            (self.una, self.next, self.high) = (self.tail, self.tail, self.tail);
            (self.sacked_sent, self.duplicates) = (0, 0);
            (self.recovery, self.bumped, self.timed) = (None, None, None);
            self.sacked.cut(self.tail);
        }
    }

    /// Takes what the receiver has room for, which never becomes less.
    fn has_room(&mut self, segment: &Segment) {
        if segment.ack <= self.tail {
            self.limit = self.limit.max(segment.ack.saturating_add(segment.window));
        }
    }

    /// Marks bytes as SACKed, and takes them out of what is in flight and what is lost.
    fn mark(&mut self, start: u64, end: u64) {
        let (start, end) = (start.max(self.una), end.min(self.tail));
        if let Some(recovery) = &mut self.recovery {
            let (from, to) = (start.max(recovery.resent), end.min(recovery.lost_to));
            let new = self.sacked.insert(from, to.max(from));
            recovery.lost = recovery.lost.saturating_sub(new);
            self.sacked_sent += new;
        }
        self.sacked_sent += self.sacked.insert(start, end.min(self.next).max(start));
        self.sacked.insert(start.max(self.next), end);
    }

    fn primary_ack(&mut self, now: Time, segment: &Segment, before: u64) {
        let ack = segment.ack;
        if ack > self.una {
            if let Some((end, sent)) = self.timed.filter(|timed| timed.0 <= ack) {
                self.timed = None;
                self.rtt.sample(now - sent);
                debug_assert!(end <= ack);
            }
            self.advance(ack, before);
            self.duplicates = 0;
            self.timeout_at = (self.next > self.una).then(|| now + self.rtt.timeout());
            let train_end = u64::from(self.config.initial_window) * self.config.segment_bytes();
            let train_end = train_end.min(self.tail);
            self.low.iter_mut().for_each(|low| low.train(now, segment.stamp, ack, train_end));
            self.expect();
            self.repair(now, segment);
        } else if ack == self.una {
            match &mut self.bumped {
                Some((at, left)) if *at == ack && *left > 0 => {
                    *left -= 1;
                    self.window.grow(now, self.rtt.smoothed());
                }
                // An ack of what had come before (RFC 2883) tells of no loss.
                _ if segment.sack.blocks().first().is_some_and(|own| own.1 <= ack) => {}
                _ if self.next > self.una => self.duplicate(segment, before),
                _ => {}
            }
        }
    }

    /// Has slow start end at what the bottleneck and the way to it hold, where the low-priority loop knows that (Hoe, SIGCOMM'96): doubling
    /// on would lose what a small buffer has no room for.
    fn expect(&mut self) {
        let rate = self.low.as_ref().and_then(Low::bottleneck);
        if let Some((rate, rtt)) = rate.zip(self.rtt.least()) {
            self.window.expect(rate.bytes_in(rtt));
        }
    }

    /// Moves the cumulative ack.
    fn advance(&mut self, ack: u64, in_flight: u64) {
        if let Some(recovery) = &mut self.recovery {
            let to = ack.min(recovery.lost_to);
            if to > recovery.resent {
                let passed = to - recovery.resent - self.sacked.count(recovery.resent, to);
                recovery.lost = recovery.lost.saturating_sub(passed);
                recovery.resent = to;
            }
        }
        let cut = self.sacked.cut(ack);
        self.una = ack;
        if ack > self.next {
            // The loops have met.
            self.stats.met += 1;
            (self.next, self.high, self.sacked_sent) = (ack, self.high.max(ack), 0);
            let segments = in_flight.div_ceil(self.config.segment_bytes());
            self.bumped = Some((ack, segments.saturating_sub(1)));
        } else {
            self.sacked_sent = self.sacked_sent.saturating_sub(cut);
        }
    }

    /// After a new ack: on with the recovery, or the window grows.
    fn repair(&mut self, now: Time, segment: &Segment) {
        let Some(recovery) = self.recovery else { return self.window.grow(now, self.rtt.smoothed()) };
        if self.una >= recovery.end {
            self.recovery = None;
            return;
        }
        // A partial ack: what is next was lost, too, unless it has been sent again already.
        let hole = if recovery.resent <= self.una { self.una + self.config.segment_bytes() } else { 0 };
        self.lost_below(hole.max(self.lost_edge(segment)));
    }

    fn duplicate(&mut self, segment: &Segment, before: u64) {
        if self.duplicates == 0 {
            self.at_duplicate = before;
        }
        self.duplicates += 1;
        if self.recovery.is_some() {
            self.lost_below(self.lost_edge(segment));
        } else if self.duplicates == DUPLICATES && self.una >= self.quiet_below {
            self.stats.recoveries += 1;
            self.window.lose(self.at_duplicate);
            let (end, una) = (self.next, self.una);
            self.recovery = Some(Recovery { end, resent: una, lost_to: una, lost: 0, first: true });
            self.lost_below(self.lost_edge(segment).max(una + self.config.segment_bytes()));
        }
    }

    /// Below this three later segments have arrived. Only what the primary loop sent counts: the first block of its ack, as far as it
    /// has sent.
    fn lost_edge(&self, segment: &Segment) -> u64 {
        let latest = segment.sack.blocks().first().map_or(0, |block| block.1.min(self.next));
        latest.saturating_sub(u64::from(DUPLICATES) * self.config.segment_bytes())
    }

    fn lost_below(&mut self, edge: u64) {
        let Some(recovery) = &mut self.recovery else { return };
        let (from, to) = (recovery.lost_to.max(self.una), edge.min(self.next));
        if to > from {
            recovery.lost += to - from - self.sacked.count(from, to);
            recovery.lost_to = to;
            recovery.resent = recovery.resent.max(self.una);
        }
    }

    fn timeout(&mut self) {
        self.stats.timeouts += 1;
        self.rtt.double();
        self.timeout_at = None;
        self.timed = None;
        if let State::Asking(_) = self.state {
            self.state = State::Asking(true);
            return;
        }
        self.window.collapse(self.in_flight());
        self.sacked.clear();
        self.sacked_sent = 0;
        self.duplicates = 0;
        (self.recovery, self.bumped) = (None, None);
        self.quiet_below = self.high;
        self.next = self.una;
    }
}
