//! The state of a TCP connection as someone between its ends sees it: the states of RFC 9293 §3.3.2 and the decisions of
//! Linux' `nf_conntrack_proto_tcp`.

use std::fmt;

use super::config::Rules;
use super::flow::Standing;
use super::segment::{Kind, Segment};
use super::verdict::{Direction, Invalid};
use super::window::{Fit, Side, SynOptions, before, fit, plainly_fits};

const OPEN: Option<TcpState> = Some(TcpState::Established);

/// The state of a TCP flow, under Linux' names. The picture is in the [module's documentation](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TcpState {
    /// SYN seen.
    SynSent,
    /// SYNs seen from both ends: simultaneous open.
    SynSent2,
    /// SYN/ACK seen.
    SynReceived,
    /// Open.
    Established,
    /// FIN seen.
    FinWait,
    /// FIN seen and acknowledged.
    CloseWait,
    /// FINs seen from both ends.
    LastAck,
    /// Both acknowledged.
    TimeWait,
    /// Reset seen.
    Close,
}

impl TcpState {
    /// Every state there is.
    pub const ALL: [Self; 9] = [
        Self::SynSent,
        Self::SynSent2,
        Self::SynReceived,
        Self::Established,
        Self::FinWait,
        Self::CloseWait,
        Self::LastAck,
        Self::TimeWait,
        Self::Close,
    ];

    /// Whether its end has begun.
    #[inline]
    #[must_use]
    pub const fn is_closing(self) -> bool {
        matches!(self, Self::FinWait | Self::CloseWait | Self::LastAck | Self::TimeWait | Self::Close)
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SynSent => "SYN_SENT",
            Self::SynSent2 => "SYN_SENT2",
            Self::SynReceived => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
        })
    }
}

/// Where a segment leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    To(TcpState),
    /// A SYN for the ends of a connection that is over.
    Reopen,
    /// It may be about a connection that this flow has missed: the other end's answer will tell.
    Ignore,
    Invalid,
}

/// The state machine without what depends on numbers.
const fn next(state: TcpState, direction: Direction, kind: Kind) -> Next {
    use Direction::{Original, Reply};
    use TcpState::{
        Close, CloseWait, Established, FinWait, LastAck, SynReceived, SynSent, SynSent2, TimeWait,
    };
    match (kind, direction, state) {
        (Kind::Rst, _, _) => Next::To(Close),

        (Kind::Syn, Original, SynSent) => Next::To(SynSent),
        (Kind::Syn, Original, SynSent2) | (Kind::Syn, Reply, SynSent | SynSent2) => Next::To(SynSent2),
        (Kind::Syn, Original, TimeWait | Close) | (Kind::Syn, Reply, TimeWait) => Next::Reopen,
        (Kind::Syn, Original, _) => Next::Ignore,
        (Kind::Syn, Reply, _) => Next::Invalid,

        (Kind::SynAck, Original, SynSent2 | SynReceived) => Next::To(SynReceived),
        (Kind::SynAck, Reply, SynSent | SynSent2) => Next::To(SynReceived),
        (Kind::SynAck, Original, _) => Next::Invalid,
        (Kind::SynAck, Reply, _) => Next::Ignore,

        (Kind::Fin, _, SynSent | SynSent2) => Next::Invalid,
        (Kind::Fin, _, SynReceived | Established) => Next::To(FinWait),
        (Kind::Fin, _, FinWait | CloseWait | LastAck) => Next::To(LastAck),

        (Kind::Ack, Original, SynSent | SynSent2) => Next::Invalid,
        (Kind::Ack, Reply, SynSent | SynSent2) => Next::Ignore, // perhaps a challenge, RFC 5961 §4
        (Kind::Ack, Original, SynReceived) | (Kind::Ack, _, Established) => Next::To(Established),
        (Kind::Ack, Reply, SynReceived) => Next::To(SynReceived),
        (Kind::Ack, _, FinWait | CloseWait) => Next::To(CloseWait),
        (Kind::Ack, _, LastAck) => Next::To(TimeWait),

        (Kind::Fin | Kind::Ack, _, TimeWait) => Next::To(TimeWait),
        (Kind::Fin | Kind::Ack, _, Close) => Next::To(Close),
    }
}

/// What the last segment said, and what an ignored SYN did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    kind: Option<Kind>,
    direction: Direction,
    sequence: u32,
    ack: u32,
    end: u32,
    window: u16,
}

/// A TCP flow's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Tcp {
    sides: [Side; 2],
    last: Last,
    /// `None` while its first segment is judged.
    state: Option<TcpState>,
    /// What an ignored SYN said of its windows.
    noted: SynOptions,
    retransmissions: u8,
    /// Both ends sent a SYN.
    simultaneous: bool,
    /// A SYN passed in LAST_ACK, so an ACK may be the challenge (RFC 5961 §4) and not the last.
    challenged: bool,
    /// It was closed by a FIN and may be reopened.
    finished: bool,
}

/// What a segment does to its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It belongs there; the flow lives this much longer.
    Lives(u64),
    /// It belongs there, and adds nothing to the flow's life.
    Repeats,
    /// It belongs there, and is the flow's last.
    Dies,
    /// It passes and changes nothing.
    Ignored,
    /// The flow is over, and the segment opens another.
    Reopens,
    /// It does not belong there.
    Invalid(Invalid),
    /// It does not belong there, but both ends may believe otherwise: the flow lives at most this much longer.
    Doubtful(Invalid, u64),
}

/// Where a flow goes with a segment, if the segment is in the window.
#[derive(Debug, Clone, Copy)]
struct Move {
    /// `None` for a flow's first segment.
    from: Option<TcpState>,
    to: TcpState,
    /// The window says nothing about it.
    unchecked: bool,
}

impl Tcp {
    /// The state before the first segment. `None` where it opens no connection: only a SYN does, and if `loose` an ACK.
    pub(super) fn opening(segment: &Segment<'_>, loose: bool) -> Option<Self> {
        let sides = match segment.kind {
            Kind::Syn => [Side::opening(segment), Side::default()],
            Kind::Ack if loose => Side::picked_up(segment),
            _ => return None,
        };
        Some(Self::of(None, sides))
    }

    /// A connection in this state, of which nothing else is known.
    pub(super) fn resumed(state: TcpState) -> Self {
        let finished = matches!(state, TcpState::LastAck | TcpState::TimeWait);
        Self { finished, ..Self::of(Some(state), [Side::unknown(); 2]) }
    }

    fn of(state: Option<TcpState>, sides: [Side; 2]) -> Self {
        let last =
            Last { kind: None, direction: Direction::Original, sequence: 0, ack: 0, end: 0, window: 0 };
        Self {
            state,
            sides,
            last,
            noted: SynOptions::default(),
            retransmissions: 0,
            simultaneous: false,
            challenged: false,
            finished: false,
        }
    }

    /// A word of its first cache line.
    #[inline]
    pub(super) const fn touch(&self) -> u32 {
        self.sides[0].touch()
    }

    pub(super) const fn state(&self) -> Option<TcpState> {
        self.state
    }

    /// Takes a segment in.
    #[inline(always)]
    pub(super) fn step(
        &mut self,
        direction: Direction,
        segment: Segment<'_>,
        standing: &mut Standing,
        rules: &Rules,
    ) -> Step {
        // Nearly every segment there is: the state machine has nothing to say about it, nor has the window.
        if self.state == OPEN
            && segment.kind == Kind::Ack
            && plainly_fits(&mut self.sides, direction, &segment)
        {
            self.count_retransmission(direction, &segment);
            let moved = Move { from: OPEN, to: TcpState::Established, unchecked: false };
            return self.enter(moved, direction, &segment, standing, rules);
        }
        let rare = segment; // a copy to be pointed to, so that the other can stay in registers
        self.step_with_care(direction, &rare, standing, rules)
    }

    /// [`step`](Self::step) for all segments.
    #[inline(never)]
    fn step_with_care(
        &mut self,
        direction: Direction,
        segment: &Segment<'_>,
        standing: &mut Standing,
        rules: &Rules,
    ) -> Step {
        let moved = match self.led(direction, segment, *standing) {
            Ok(moved) => moved,
            Err(step) => return step,
        };
        if !moved.unchecked {
            match fit(&mut self.sides, direction, self.state, segment, rules.liberal) {
                Fit::Within => self.count_retransmission(direction, segment),
                Fit::Excused => {}
                Fit::Ignored => return Step::Ignored,
                Fit::Outside(reason) => return self.doubt(reason, direction, segment, *standing, rules),
            }
        }
        self.enter(moved, direction, segment, standing, rules)
    }

    /// Where the state machine leads, and what of it is to be believed.
    fn led(&mut self, direction: Direction, segment: &Segment<'_>, standing: Standing) -> Result<Move, Step> {
        let led = self.lead(direction, segment)?;
        match segment.kind {
            Kind::Rst => self.reset(led, direction, segment, standing),
            Kind::Ack => self.ack(led, direction),
            Kind::Syn | Kind::SynAck | Kind::Fin => Ok(led),
        }
    }

    /// Where the state machine leads.
    fn lead(&mut self, direction: Direction, segment: &Segment<'_>) -> Result<Move, Step> {
        let Some(from) = self.state else {
            let to = if segment.syn() { TcpState::SynSent } else { TcpState::Established };
            return Ok(Move { from: None, to, unchecked: false });
        };
        match next(from, direction, segment.kind) {
            Next::To(to) => {
                self.simultaneous |= to == TcpState::SynSent2;
                Ok(Move { from: Some(from), to, unchecked: false })
            }
            Next::Invalid => Err(Step::Invalid(Invalid::OutOfState)),
            Next::Reopen if self.finished || self.last_was(Kind::Rst, direction) => Err(Step::Reopens),
            Next::Reopen | Next::Ignore if self.answers_noted_syn(direction, segment) => {
                self.follow_noted_syn(direction);
                Ok(Move { from: Some(TcpState::SynSent), to: TcpState::SynReceived, unchecked: false })
            }
            Next::Reopen | Next::Ignore => {
                self.note(from, direction, segment);
                Err(Step::Ignored)
            }
        }
    }

    fn last_was(&self, kind: Kind, direction: Direction) -> bool {
        self.last.kind == Some(kind) && self.last.direction == direction
    }

    /// Whether this SYN/ACK accepts a SYN that was ignored: then both ends agree, and only this flow was wrong.
    fn answers_noted_syn(&self, direction: Direction, segment: &Segment<'_>) -> bool {
        segment.kind == Kind::SynAck
            && self.last_was(Kind::Syn, direction.opposite())
            && segment.ack == self.last.end
    }

    fn follow_noted_syn(&mut self, direction: Direction) {
        let Last { end, window, .. } = self.last;
        let [this, other] = [direction as usize, direction.opposite() as usize];
        self.sides[other] = Side::noted(end, window, self.noted);
        self.sides[this].forget();
        (self.finished, self.challenged) = (false, false);
    }

    /// Remembers a segment that is ignored.
    fn note(&mut self, state: TcpState, direction: Direction, segment: &Segment<'_>) {
        let Segment { kind, sequence, end, window, .. } = *segment;
        self.last = Last { kind: Some(kind), direction, sequence, end, window, ..self.last };
        if kind == Kind::Syn && direction == Direction::Original {
            self.noted = SynOptions::of(segment);
            self.simultaneous = false;
            self.challenged = state == TcpState::LastAck;
        }
        if kind == Kind::Ack && state == TcpState::SynSent {
            self.last.ack = segment.ack; // perhaps a challenge: the reset it provokes has this sequence number
        }
    }

    fn ack(&mut self, led: Move, direction: Direction) -> Result<Move, Step> {
        match (led.from, led.to) {
            (Some(TcpState::LastAck), TcpState::TimeWait)
                if self.challenged && self.last_was(Kind::Syn, direction.opposite()) =>
            {
                self.challenged = false;
                Err(Step::Ignored)
            }
            (_, TcpState::SynReceived) if self.simultaneous => Ok(Move { to: TcpState::Established, ..led }),
            _ => Ok(led),
        }
    }

    /// A reset is believed where it is next in sequence; where it is in the window but not next, it passes and the state
    /// stays until the end that it hits has agreed (RFC 5961 §3).
    fn reset(
        &self,
        led: Move,
        direction: Direction,
        segment: &Segment<'_>,
        standing: Standing,
    ) -> Result<Move, Step> {
        let Some(from) = self.state else { return Ok(led) };
        let believed = Ok(Move { unchecked: true, ..led });
        if from.is_closing() {
            return believed; // the ends may have gone on to another connection already
        }
        let is_open = from == TcpState::Established && standing.assured;
        let mut led = led;
        // Behind a SYN that was let through, what was acknowledged before says nothing.
        let acked = self.sides[direction.opposite() as usize].max_ack();
        if let Some(acked) = acked.filter(|_| self.last.kind != Some(Kind::Syn)) {
            if segment.sequence == 0 && !is_open {
                return Ok(led); // most likely the answer to such a SYN
            }
            if before(segment.sequence, acked) {
                return Err(Step::Invalid(Invalid::Reset));
            }
            let follows_data = self.last_was(Kind::Ack, direction) && segment.sequence == self.last.end;
            if !is_open || segment.sequence == acked || follows_data {
                return Ok(led);
            }
            led.to = from;
        }
        Ok(Move { unchecked: self.rejects_ignored(direction, segment, standing), ..led })
    }

    /// Whether this reset answers a SYN, an ACK or a challenge that was ignored: it may acknowledge what was not seen.
    fn rejects_ignored(&self, direction: Direction, segment: &Segment<'_>, standing: Standing) -> bool {
        let last = self.last.kind;
        let of_ignored = standing.replied && self.last_was(Kind::Syn, direction.opposite())
            || !standing.assured && last == Some(Kind::Ack);
        let of_challenge =
            self.state == Some(TcpState::SynSent) && self.last_was(Kind::Ack, Direction::Reply);
        of_ignored && segment.ack == self.last.end || of_challenge && segment.sequence == self.last.ack
    }

    #[inline(always)]
    fn count_retransmission(&mut self, direction: Direction, segment: &Segment<'_>) {
        if segment.kind != Kind::Ack {
            return;
        }
        let Segment { kind, sequence, ack, end, window, .. } = *segment;
        let now = Last { kind: Some(kind), direction, sequence, ack, end, window };
        if now == (Last { kind: Some(kind), ..self.last }) {
            self.retransmissions = self.retransmissions.saturating_add(1);
        } else {
            (self.last, self.retransmissions) = (Last { kind: self.last.kind, ..now }, 0);
        }
    }

    /// Outside the window. A FIN or reset may still be honest, and then the flow must not stay for days: where both ends
    /// sent one, it is given no longer than unacknowledged data is.
    #[cold]
    fn doubt(
        &mut self,
        reason: Invalid,
        direction: Direction,
        segment: &Segment<'_>,
        standing: Standing,
        rules: &Rules,
    ) -> Step {
        let is_end = |kind| matches!(kind, Kind::Fin | Kind::Rst);
        if !standing.assured || !is_end(segment.kind) {
            return Step::Invalid(reason);
        }
        if self.last.kind.is_some_and(is_end) && self.last.direction != direction {
            return Step::Doubtful(reason, rules.unacknowledged_ns);
        }
        (self.last.kind, self.last.direction) = (Some(segment.kind), direction);
        Step::Invalid(reason)
    }

    #[inline(always)]
    fn enter(
        &mut self,
        moved: Move,
        direction: Direction,
        segment: &Segment<'_>,
        standing: &mut Standing,
        rules: &Rules,
    ) -> Step {
        let Move { from, to, .. } = moved;
        (self.last.kind, self.last.direction) = (Some(segment.kind), direction);
        self.state = Some(to);
        self.finished |= to == TcpState::FinWait && from != Some(to);
        if segment.is_fragment {
            self.sides.iter_mut().for_each(Side::loosen);
        }
        let timeout_ns = self.timeout_ns(to, segment, rules);
        if !standing.replied {
            return match (segment.kind, from) {
                (Kind::Rst, _) => Step::Dies, // refused: there never was a connection
                // A client that tries again and again keeps its flow, and a translation, no longer than one try.
                (Kind::Syn, Some(TcpState::SynSent)) => Step::Repeats,
                _ if to == TcpState::Established => Step::Lives(timeout_ns.min(rules.unacknowledged_ns)),
                _ => Step::Lives(timeout_ns),
            };
        }
        standing.assured |= to == TcpState::Established
            && matches!(from, Some(TcpState::SynReceived | TcpState::Established));
        Step::Lives(timeout_ns)
    }

    #[inline(always)]
    fn timeout_ns(&self, state: TcpState, segment: &Segment<'_>, rules: &Rules) -> u64 {
        let full_ns = rules.tcp_ns(state);
        if self.retransmissions >= rules.retransmissions_max && full_ns > rules.retransmitting_ns {
            rules.retransmitting_ns
        } else if segment.rst() {
            rules.tcp_ns(TcpState::Close)
        } else if self.sides.iter().any(Side::is_unacknowledged) && full_ns > rules.unacknowledged_ns {
            rules.unacknowledged_ns
        } else if self.last.window == 0 {
            full_ns.min(rules.retransmitting_ns)
        } else {
            full_ns
        }
    }
}
