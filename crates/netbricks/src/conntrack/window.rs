//! Which TCP segments can belong to a connection that is only watched: window tracking after Guido van Rooij, "Real
//! Stateful TCP Packet Filtering in IP Filter" (SANE 2000), with the bounds of RFC 9293 as Linux applies them.
//!
//! A watcher between two ends knows neither end's state, only what passed. From that it keeps for each end
//!
//! ```text
//! end         the highest sequence number it sent, plus one
//! max_end     the highest it may send: the other end's acknowledgement plus its window
//! max_window  the largest window it offered
//!
//!        end - the other's max_window           end                max_end
//! ───────────┼───────────────────────────────────┼────────────────────┼─────────▶ sequence numbers
//!   too old: │      sent, maybe again            │  may be sent next  │  beyond the window:
//!   ignored  │                                   │                    │  invalid
//! ```
//!
//! and the other end may acknowledge up to `end`, but not more than [`ACK_DELAY_MIN`] or a window behind it.

use packet::wire::tcp::{HeaderOption, SackBlocks};

use super::segment::Segment;
use super::tcp::TcpState;
use super::verdict::{Direction, Invalid};

/// An acknowledgement may lie this far behind, if the window is not larger still: a window without scaling and a segment.
pub(super) const ACK_DELAY_MIN: u32 = 66_000;
/// The largest window scale (RFC 7323 §2.3).
const SCALE_MAX: u8 = 14;

/// Whether `a` comes before `b` (RFC 9293 §3.4: sequence numbers are a circle).
#[inline]
pub(super) const fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

#[inline]
const fn after(a: u32, b: u32) -> bool {
    before(b, a)
}

/// What one end of a connection was seen to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Side {
    end: u32,
    max_end: u32,
    /// 0 until the end has sent something.
    max_window: u32,
    max_ack: u32,
    scale: u8,
    scales: bool,
    sacks: bool,
    /// Its beginning was not seen, so its segments are not held to the window.
    liberal: bool,
    /// `max_ack` holds something.
    acks: bool,
    /// The other end has not acknowledged all it sent.
    unacknowledged: bool,
}

/// How a segment fits the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It does.
    Within,
    /// It does not, and nobody minds: the connection was picked up, or the tracker is liberal.
    Excused,
    /// It does not but may be honest: it passes, and what it says is not believed.
    Ignored,
    /// It cannot come from the other end.
    Outside(Invalid),
}

impl Side {
    /// The end that opens a connection with `syn`.
    pub(super) fn opening(syn: &Segment<'_>) -> Self {
        let mut side = Self::default();
        side.open(syn);
        side
    }

    /// The ends of a connection that is picked up in its middle from `segment`: neither is held to the window, because
    /// its scale is not known.
    pub(super) fn picked_up(segment: &Segment<'_>) -> [Self; 2] {
        let other = Self::unknown();
        let max_window = u32::from(segment.window).max(1);
        let sender =
            Self { end: segment.end, max_end: segment.end.wrapping_add(max_window), max_window, ..other };
        [sender, other]
    }

    /// An end that has sent nothing that was seen, and is not held to the window.
    pub(super) fn unknown() -> Self {
        Self { sacks: true, liberal: true, ..Self::default() }
    }

    /// The end whose `syn` was noted while the connection seemed to be in another state.
    pub(super) fn noted(end: u32, window: u16, options: SynOptions) -> Self {
        let mut side = Self { end, max_end: end, max_window: u32::from(window).max(1), ..Self::default() };
        side.take(options);
        side
    }

    /// Forgotten, but for its liberality.
    pub(super) fn forget(&mut self) {
        *self = Self { liberal: self.liberal, ..Self::default() };
    }

    /// Nothing more is checked: a fragment passed, and how much its rest carries is not known.
    pub(super) fn loosen(&mut self) {
        self.liberal = true;
    }

    /// A word of it, to have it in the cache.
    #[inline]
    pub(super) const fn touch(&self) -> u32 {
        self.end
    }

    /// Whether data is on its way.
    pub(super) const fn is_unacknowledged(&self) -> bool {
        self.unacknowledged
    }

    /// The highest acknowledgement this end sent.
    pub(super) const fn max_ack(&self) -> Option<u32> {
        if self.acks { Some(self.max_ack) } else { None }
    }

    const fn is_unseen(&self) -> bool {
        self.max_window == 0
    }

    fn open(&mut self, syn: &Segment<'_>) {
        (self.end, self.max_end) = (syn.end, syn.end);
        self.max_window = u32::from(syn.window).max(1);
        if syn.has_options() {
            self.take(SynOptions::of(syn));
        }
    }

    fn take(&mut self, options: SynOptions) {
        self.scale = options.scale.unwrap_or(0);
        self.scales = options.scale.is_some();
        self.sacks = options.sacks;
        (self.acks, self.unacknowledged) = (false, false);
    }

    /// [`Side::open`] for an end of a connection of which the other end is known: scaling needs both (RFC 7323 §2.2).
    fn open_towards(&mut self, other: &mut Self, syn: &Segment<'_>, direction: Direction) {
        self.open(syn);
        if direction == Direction::Reply && !(self.scales && other.scales) {
            (self.scale, other.scale) = (0, 0);
        }
    }

    /// The first that is seen of this end is not a SYN.
    fn join(&mut self, other: &mut Self, segment: &Segment<'_>, sack: u32) {
        self.end = segment.end;
        self.max_window = (u32::from(segment.window) << self.scale).max(1);
        self.max_end = segment.end.wrapping_add(self.max_window);
        if other.is_unseen() {
            (other.end, other.max_end) = (sack, sack);
        } else if sack == other.end.wrapping_add(1) {
            other.end = sack; // it answers a keepalive (RFC 9293 §3.8.4), which carried one byte of garbage
        }
    }
}

/// What a SYN says of the windows to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SynOptions {
    scale: Option<u8>,
    sacks: bool,
}

impl SynOptions {
    pub(super) fn of(syn: &Segment<'_>) -> Self {
        let mut options = Self::default();
        for option in syn.options().flatten() {
            match option {
                HeaderOption::WindowScale(shift) => options.scale = Some(shift.min(SCALE_MAX)),
                HeaderOption::SackPermitted => options.sacks = true,
                _ => {}
            }
        }
        options
    }
}

/// Sender and receiver of what travels in `direction`.
const fn ends(sides: &mut [Side; 2], direction: Direction) -> (&mut Side, &mut Side) {
    let [original, reply] = sides;
    match direction {
        Direction::Original => (original, reply),
        Direction::Reply => (reply, original),
    }
}

/// Whether an ACK of an end that was seen before, without SYN or RST, is [`Fit::Within`]; then the windows move by what it
/// says. What is not plain, such as SACKs, is for [`fit`] to say; then nothing has changed. This is for an open connection
/// what header prediction is for an end: without a branch for each rule.
#[inline(always)]
pub(super) fn plainly_fits(sides: &mut [Side; 2], direction: Direction, segment: &Segment<'_>) -> bool {
    let (sender, receiver) = ends(sides, direction);
    if receiver.sacks && segment.has_rare_options() || sender.is_unseen() || receiver.is_unseen() {
        return false;
    }
    let Segment { sequence, end, ack, .. } = *segment;
    let delay_max = sender.max_window.max(ACK_DELAY_MIN);
    // Each is negative where a rule of `Place::judge` says no.
    let no = sender.max_end.wrapping_sub(sequence)
        | receiver.end.wrapping_sub(ack)
        | ack.wrapping_sub(receiver.end.wrapping_sub(delay_max))
        | end.wrapping_sub(sender.end.wrapping_sub(receiver.max_window));
    if (no as i32) < 0 {
        return false;
    }
    Place { sequence, end, ack, sack: ack }.advance(sender, receiver, segment, sender.scale);
    true
}

/// Holds `segment` to the windows of a connection in `state`, and moves them by what it says.
pub(super) fn fit(
    sides: &mut [Side; 2],
    direction: Direction,
    state: Option<TcpState>,
    segment: &Segment<'_>,
    liberal: bool,
) -> Fit {
    let (sender, receiver) = ends(sides, direction);
    let mut place = Place::of(segment, receiver.sacks);
    if let Some(fit) = place.adjust(sender, receiver, direction, state, segment) {
        return fit;
    }
    match place.judge(sender, receiver) {
        Fit::Within => {
            let scale = if segment.syn() { 0 } else { sender.scale }; // RFC 7323 §2.2: never in a SYN
            place.advance(sender, receiver, segment, scale);
            Fit::Within
        }
        _ if liberal || sender.liberal => Fit::Excused,
        unfit => unfit,
    }
}

/// The numbers of a segment, as they are compared.
struct Place {
    sequence: u32,
    end: u32,
    ack: u32,
    /// The highest number acknowledged, selectively or not.
    sack: u32,
}

impl Place {
    #[inline]
    fn of(segment: &Segment<'_>, sacks: bool) -> Self {
        let Segment { sequence, end, ack, .. } = *segment;
        let sack = if sacks && segment.has_rare_options() { highest_sack(segment) } else { ack };
        Self { sequence, end, ack, sack }
    }

    /// Sees to the first segments of an end, and to numbers that mean something else than they say. The fit, if that
    /// settles it.
    fn adjust(
        &mut self,
        sender: &mut Side,
        receiver: &mut Side,
        direction: Direction,
        state: Option<TcpState>,
        segment: &Segment<'_>,
    ) -> Option<Fit> {
        if sender.is_unseen() {
            if segment.syn() {
                sender.open_towards(receiver, segment, direction);
                if !segment.has_ack() {
                    return Some(Fit::Within); // simultaneous open
                }
            } else {
                sender.join(receiver, segment, self.sack);
            }
        } else if segment.syn()
            && after(segment.end, sender.end)
            && matches!(state, Some(TcpState::SynSent | TcpState::SynReceived))
        {
            // Another SYN than the last: what it says counts (RFC 9293 §3.4.3).
            sender.open_towards(receiver, segment, direction);
            if direction == Direction::Reply && !segment.has_ack() {
                return Some(Fit::Within);
            }
        }
        if !segment.has_ack() || segment.rst() && segment.ack == 0 {
            // Nothing is acknowledged; some stacks set the flag in resets all the same.
            (self.ack, self.sack) = (receiver.end, receiver.end);
        }
        if segment.rst() && segment.sequence == 0 && state == Some(TcpState::SynSent) {
            (self.sequence, self.end) = (sender.end, sender.end); // the answer to a SYN (RFC 9293 §3.10.7.1)
        }
        None
    }

    #[inline]
    fn judge(&self, sender: &mut Side, receiver: &Side) -> Fit {
        let acks_sent = !after(self.sack, receiver.end);
        let ack_is_recent =
            !before(self.sack, receiver.end.wrapping_sub(sender.max_window.max(ACK_DELAY_MIN)));
        let data_is_recent = !before(self.end, sender.end.wrapping_sub(receiver.max_window));
        if after(self.sequence, sender.max_end) {
            let beyond = self.end.wrapping_sub(sender.max_end).wrapping_add(1);
            let harmless = data_is_recent && ack_is_recent && acks_sent && beyond <= receiver.max_window;
            if !harmless || receiver.is_unseen() {
                return Fit::Outside(Invalid::SequenceAbove);
            }
            // Some stacks send a little more than they may, and it may be acknowledged: that must not look wrong.
            (sender.end, sender.unacknowledged) = (self.end, true);
            return Fit::Ignored;
        }
        if !acks_sent {
            return Fit::Outside(Invalid::AckAbove);
        }
        if !(data_is_recent || receiver.is_unseen()) || !ack_is_recent {
            return Fit::Ignored;
        }
        Fit::Within
    }

    #[inline(always)]
    fn advance(&self, sender: &mut Side, receiver: &mut Side, segment: &Segment<'_>, scale: u8) {
        let window = u32::from(segment.window) << scale;
        sender.max_window = sender.max_window.max(window.wrapping_add(self.sack.wrapping_sub(self.ack)));
        if after(self.end, sender.end) {
            (sender.end, sender.unacknowledged) = (self.end, true);
        }
        if segment.has_ack() && (!sender.acks || after(self.ack, sender.max_ack)) {
            (sender.acks, sender.max_ack) = (true, self.ack);
        }
        if !receiver.is_unseen() && after(self.end, sender.max_end) {
            receiver.max_window = receiver.max_window.wrapping_add(self.end.wrapping_sub(sender.max_end));
        }
        let allowed = self.sack.wrapping_add(window);
        if !before(allowed, receiver.max_end) {
            receiver.max_end = allowed.wrapping_add(u32::from(window == 0)); // a probe of one byte
        }
        if self.ack == receiver.end {
            receiver.unacknowledged = false;
        }
    }
}

/// The highest right edge of the SACK blocks (RFC 2018), or the acknowledgement.
fn highest_sack(segment: &Segment<'_>) -> u32 {
    let blocks = segment.options().flatten().find_map(|option| match option {
        HeaderOption::Sack(blocks) => Some(blocks),
        _ => None,
    });
    let edges = blocks.iter().flat_map(SackBlocks::as_slice);
    edges.fold(segment.ack, |highest, &(_, right)| if after(right, highest) { right } else { highest })
}

#[cfg(test)]
mod tests {
    use packet::parse::Layers;
    use packet::wire::{IpProtocol, ipv4, tcp};
    use proptest::prelude::*;

    use super::*;

    /// An ACK with so much data in an IPv4 packet.
    fn ack(sequence: u32, ack: u32, window: u16, data: usize, options: Options) -> Vec<u8> {
        let mut repr = tcp::Repr { flags: tcp::Flags::ACK, sequence, ack, window, ..tcp::Repr::default() };
        match options {
            Options::None => {}
            Options::Timestamps => repr.timestamps = Some((1, 2)),
            Options::Sack(right) => _ = repr.sack.push(right.wrapping_sub(1), right),
        }
        let length = repr.buffer_len() + data;
        let mut bytes = vec![0; ipv4::HEADER_LEN + length];
        ipv4::Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::TCP, length)
            .emit(&mut ipv4::View::new_unchecked(&mut bytes[..]));
        repr.emit(&mut tcp::View::new_unchecked(&mut bytes[ipv4::HEADER_LEN..]));
        if matches!(options, Options::Timestamps) {
            bytes[ipv4::HEADER_LEN + tcp::HEADER_LEN..][..12].rotate_right(2); // NOPs first, as everybody has it
        }
        bytes
    }

    #[derive(Debug, Clone, Copy)]
    enum Options {
        None,
        Timestamps,
        Sack(u32),
    }

    /// Numbers near each other, near where a window ends, and anywhere.
    fn number() -> impl Strategy<Value = u32> {
        prop_oneof![
            4 => 0..4u32,
            2 => u32::MAX - 3..=u32::MAX,
            2 => ACK_DELAY_MIN - 3..ACK_DELAY_MIN + 4,
            1 => (1u32 << 31) - 3..(1 << 31) + 4,
            1 => any::<u32>(),
        ]
    }

    fn side() -> impl Strategy<Value = Side> {
        let numbers = (number(), number(), number(), number());
        (numbers, 0..=SCALE_MAX, any::<[bool; 4]>()).prop_map(
            |((end, max_end, max_window, max_ack), scale, [sacks, liberal, acks, unacknowledged])| Side {
                end,
                max_end,
                max_window,
                max_ack,
                scale,
                sacks,
                liberal,
                acks,
                unacknowledged,
                ..Side::default()
            },
        )
    }

    fn options() -> impl Strategy<Value = Options> {
        prop_oneof![Just(Options::None), Just(Options::Timestamps), number().prop_map(Options::Sack)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// What fits plainly is within the window, and moves it as `fit` does; what does not is left for `fit`.
        #[test]
        fn plainly_fits_is_fit(
            sides in [side(), side()],
            numbers in (number(), number(), prop_oneof![0..3u16, any::<u16>()], 0..3usize),
            options in options(),
            replies in any::<bool>(),
        ) {
            let bytes = ack(numbers.0, numbers.1, numbers.2, numbers.3, options);
            let segment = Segment::read(&Layers::of_ip(&bytes).unwrap(), &bytes).unwrap();
            let direction = if replies { Direction::Reply } else { Direction::Original };
            let (mut plain, mut full) = (sides, sides);
            let fits = plainly_fits(&mut plain, direction, &segment);
            let is_within =
                fit(&mut full, direction, Some(TcpState::Established), &segment, false) == Fit::Within;
            if fits {
                prop_assert!(is_within);
                prop_assert_eq!(plain, full);
            } else {
                prop_assert_eq!(plain, sides);
                let sacked = sides[direction.opposite() as usize].sacks && matches!(options, Options::Sack(_));
                let is_rare = sacked || sides.iter().any(Side::is_unseen);
                prop_assert!(is_rare || !is_within, "it fits, and that was not seen");
            }
        }
    }
}
