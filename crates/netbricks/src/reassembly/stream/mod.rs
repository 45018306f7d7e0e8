//! One direction of a connection: segments in any order in, bytes in order out.

mod deliver;
mod gaps;
mod history;

use packet::wire::tcp::{self, Flags};

use super::event::{Event, GapCause};
use super::policy::{Extent, Policy};
use super::pool::{List, NONE};
use super::shared::{Exhausted, Shared};
use history::compare;

/// What reassembly reads of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Sequence number.
    pub sequence: u32,
    /// Control bits.
    pub flags: Flags,
    /// Urgent pointer, valid with [`Flags::URG`].
    pub urgent: u16,
    /// The bytes it carries.
    pub payload: &'a [u8],
}

impl<'a> From<tcp::View<&'a [u8]>> for Segment<'a> {
    #[inline]
    fn from(view: tcp::View<&'a [u8]>) -> Self {
        Self {
            sequence: view.sequence(),
            flags: view.flags(),
            urgent: view.urgent(),
            payload: view.into_payload(),
        }
    }
}

/// All memory is in use. What could be kept of the segment is kept; [`Stream::resume`] goes on with the rest once there is
/// room again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no memory left for bytes from stream position {from} on")]
pub struct PoolEmpty {
    from: i64,
}

/// Why [`Stream::store`] stopped, and where.
enum Full {
    Stream(i64),
    Pool(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has been seen.
    Fresh,
    Open,
    /// All bytes up to the FIN have been told.
    Finished,
}

/// One direction of a TCP connection.
///
/// Positions count from the byte behind the SYN, or from the first one seen, and are 64 bits wide: sequence numbers are
/// taken modulo 2³² round the position expected next.
///
/// ```
/// use netbricks::reassembly::{Event, Policy, Segment, Shared, Stream, StreamConfig};
/// use packet::wire::tcp::Flags;
///
/// let mut shared = Shared::new(StreamConfig::default());
/// let mut stream = Stream::new(Policy::Linux);
/// let mut text: Vec<u8> = Vec::new();
/// for (sequence, flags, payload) in [
///     (u32::MAX, Flags::SYN, &b""[..]),
///     (6, Flags::ACK, b"world"), // overtook the one in front of it
///     (0, Flags::ACK, b"hello "),
///     (0, Flags::ACK, b"hello "), // sent again
/// ] {
///     let segment = Segment { sequence, flags, urgent: 0, payload };
///     stream.segment(&mut shared, &segment, &mut |event| {
///         if let Event::Data { bytes, .. } = event {
///             text.extend(bytes);
///         }
///     })?;
/// }
/// assert_eq!(text, b"hello world");
/// # Ok::<(), netbricks::reassembly::PoolEmpty>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    policy: Policy,
    state: State,
    /// Sequence number of position 0.
    base: u32,
    /// Everything in front of it has been told.
    next: i64,
    /// Behind the last byte seen; not behind `fin`.
    highest: i64,
    fin: Option<i64>,
    urgent: Option<i64>,
    /// Bytes behind holes: all begin behind `next`.
    pending: List,
    /// Bytes already told, to compare with.
    history: List,
}

impl Stream {
    /// A stream of which nothing has been seen.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Fresh,
            base: 0,
            next: 0,
            highest: 0,
            fin: None,
            urgent: None,
            pending: List::new(),
            history: List::new(),
        }
    }

    /// Whether its beginning is known.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state != State::Fresh
    }

    /// Whether all bytes up to the FIN have been told.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Offset of the byte expected next.
    #[must_use]
    pub const fn next_offset(&self) -> u64 {
        self.next as u64
    }

    /// Sequence number of the first byte.
    #[must_use]
    pub const fn first_sequence(&self) -> u32 {
        self.base
    }

    /// Bytes it holds behind holes.
    #[must_use]
    pub const fn pending_bytes(&self) -> usize {
        self.pending.bytes as usize
    }

    /// Whether it holds memory.
    #[inline]
    #[must_use]
    pub const fn holds_memory(&self) -> bool {
        !self.pending.is_empty() || !self.history.is_empty()
    }

    /// Says that the first byte has this sequence number. Of no effect once the stream is open.
    pub fn begin(&mut self, first_sequence: u32) {
        if self.state == State::Fresh {
            self.base = first_sequence;
            self.state = State::Open;
        }
    }

    #[inline]
    const fn expected(&self) -> u32 {
        self.base.wrapping_add(self.next as u32)
    }

    #[inline]
    const fn position(&self, sequence: u32) -> i64 {
        self.next + sequence.wrapping_sub(self.expected()) as i32 as i64
    }

    /// Whether a reset with this sequence number can be the sender's: not in front of what has been told and not behind
    /// what has been seen. Closer than RFC 9293's window, so that it takes more than a guess to blind the monitor.
    #[must_use]
    pub const fn accepts_reset(&self, sequence: u32) -> bool {
        let position = self.position(sequence);
        position >= self.next && position <= self.highest + self.fin.is_some() as i64
    }

    /// Whether `ack` acknowledges nothing or something that has been seen.
    #[must_use]
    pub const fn has_seen(&self, ack: u32) -> bool {
        let position = self.position(ack);
        position >= 0 && position <= self.highest + self.fin.is_some() as i64
    }

    /// Takes one segment.
    ///
    /// # Errors
    /// [`PoolEmpty`].
    #[inline]
    pub fn segment(
        &mut self,
        shared: &mut Shared,
        segment: &Segment<'_>,
        out: &mut impl FnMut(Event<'_>),
    ) -> Result<(), PoolEmpty> {
        shared.counters.segments += 1;
        let special = Flags::SYN | Flags::FIN | Flags::URG;
        let plain = self.state == State::Open
            && self.pending.is_empty()
            && self.fin.is_none()
            && self.urgent.is_none()
            && !segment.flags.intersects(special)
            && shared.config.history_bytes == 0;
        if plain && segment.sequence == self.expected() {
            if !segment.payload.is_empty() {
                self.deliver(shared, segment.payload, out);
                // A segment without bytes may have shown that there is more behind a hole.
                self.highest = self.highest.max(self.next);
            }
            return Ok(());
        }
        self.any_segment(shared, segment, out)
    }

    fn any_segment(
        &mut self,
        shared: &mut Shared,
        segment: &Segment<'_>,
        out: &mut impl FnMut(Event<'_>),
    ) -> Result<(), PoolEmpty> {
        let syn = segment.flags.contains(Flags::SYN);
        let first = segment.sequence.wrapping_add(u32::from(syn));
        self.begin(first);
        let extent = self.extent(segment);
        let len = segment.payload.len() as u64;
        if self.state == State::Finished {
            shared.counters.after_fin_bytes += len.min((extent.end - self.next).max(0) as u64);
            return Ok(());
        }
        if extent.start - self.next > i64::from(shared.config.ahead_bytes) {
            shared.counters.ahead += 1;
            return Ok(());
        }
        if len <= 1
            && extent.start == self.next - 1
            && extent.end <= self.next
            && !segment.flags.contains(Flags::FIN)
        {
            shared.counters.keep_alives += 1; // its byte is garbage
            return Ok(());
        }
        self.mark(segment, extent);
        let seen = self.fin.map_or(extent.end, |fin| extent.end.min(fin));
        self.highest = self.highest.max(seen);
        self.place(shared, segment.payload, extent, extent.start, out)
    }

    /// Where a segment's payload lies.
    fn extent(&self, segment: &Segment<'_>) -> Extent {
        let syn = u32::from(segment.flags.contains(Flags::SYN));
        let start = self.position(segment.sequence.wrapping_add(syn));
        Extent { start, end: start + segment.payload.len() as i64 }
    }

    /// Notes where the segment says that the stream ends, and which byte is urgent.
    fn mark(&mut self, segment: &Segment<'_>, extent: Extent) {
        if segment.flags.contains(Flags::FIN) && extent.end >= self.next {
            // Of several, the receiver comes to the nearest first.
            let fin = self.fin.map_or(extent.end, |fin| fin.min(extent.end));
            self.fin = Some(fin);
            self.highest = self.highest.min(fin);
        }
        if segment.flags.contains(Flags::URG) && segment.urgent > 0 {
            let mark = self.position(segment.sequence) + i64::from(segment.urgent) - 1;
            if mark >= self.next {
                self.urgent = Some(mark);
            }
        }
    }

    /// Goes on with a segment that met [`PoolEmpty`].
    ///
    /// # Errors
    /// [`PoolEmpty`] again.
    pub fn resume(
        &mut self,
        shared: &mut Shared,
        segment: &Segment<'_>,
        stopped: PoolEmpty,
        out: &mut impl FnMut(Event<'_>),
    ) -> Result<(), PoolEmpty> {
        if self.state == State::Finished {
            return Ok(());
        }
        let extent = self.extent(segment);
        self.place(shared, segment.payload, extent, stopped.from, out)
    }

    /// Puts the bytes of a segment from the position `from` on where they belong.
    fn place(
        &mut self,
        shared: &mut Shared,
        payload: &[u8],
        extent: Extent,
        mut from: i64,
        out: &mut impl FnMut(Event<'_>),
    ) -> Result<(), PoolEmpty> {
        let Extent { start, mut end } = extent;
        if let Some(fin) = self.fin.filter(|&fin| fin < end) {
            shared.counters.after_fin_bytes += (end - fin.max(from)).max(0) as u64;
            end = fin;
        }
        let bytes = |from: i64, end: i64| &payload[(from - start) as usize..(end - start) as usize];
        if from < self.next.min(end) {
            self.compare_with_history(shared, from, bytes(from, end.min(self.next)), out);
        }
        loop {
            from = from.max(self.next);
            if from >= end {
                break;
            }
            if from == self.next {
                self.in_order(shared, bytes(from, end), extent, out);
                break;
            }
            match self.store(shared, from, bytes(from, end), extent, out) {
                Ok(()) => break,
                Err(Full::Pool(at)) => return Err(PoolEmpty { from: at }),
                Err(Full::Stream(at)) => {
                    from = at;
                    if shared.config.exhausted == Exhausted::DropSegment {
                        shared.counters.no_room += 1;
                        break;
                    }
                    self.skip_hole(shared, from, GapCause::StreamBudget, out);
                }
            }
        }
        self.settle(shared, out);
        Ok(())
    }

    /// Tells bytes that begin at `next`, and settles with what is pending and lies under them.
    fn in_order(
        &mut self,
        shared: &mut Shared,
        mut bytes: &[u8],
        extent: Extent,
        out: &mut impl FnMut(Event<'_>),
    ) {
        let (mut start, end) = (self.next, self.next + bytes.len() as i64);
        while !self.pending.is_empty() {
            let at = self.pending.head;
            let chunk = *shared.pool.chunk(at);
            if chunk.start >= end {
                break;
            }
            let replaces = self.policy.replaces(extent, chunk.extent);
            let overlap = chunk.start..end.min(chunk.end());
            let fresh = &bytes[(overlap.start - start) as usize..(overlap.end - start) as usize];
            compare(&mut shared.counters, overlap.start, shared.pool.bytes(at), fresh, replaces, out);
            if !replaces {
                self.deliver_new(shared, &bytes[..(chunk.start - start) as usize], out);
                self.deliver_head(shared, out);
                bytes = &bytes[(overlap.end - start) as usize..];
                start = overlap.end;
            } else if chunk.end() <= end {
                shared.pool.free_front(&mut self.pending);
            } else {
                shared.pool.trim_front(&mut self.pending, at, end);
            }
        }
        self.deliver_new(shared, bytes, out);
        self.drain(shared, out);
    }

    /// Keeps bytes that begin behind a hole.
    fn store(
        &mut self,
        shared: &mut Shared,
        start: i64,
        bytes: &[u8],
        extent: Extent,
        out: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Full> {
        let end = start + bytes.len() as i64;
        let mut previous = self.before(shared, start);
        let mut from = start;
        while from < end {
            let at = if previous == NONE { self.pending.head } else { shared.pool.chunk(previous).next };
            let hole_end = if at == NONE { end } else { end.min(shared.pool.chunk(at).start) };
            let rest = &bytes[(from - start) as usize..];
            if from < hole_end {
                previous = self.keep(shared, previous, from, &rest[..(hole_end - from) as usize], extent)?;
                from = shared.pool.chunk(previous).end();
                continue;
            }
            let chunk = *shared.pool.chunk(at);
            let overlap_end = end.min(chunk.end());
            let overlap = &rest[..(overlap_end - from) as usize];
            let replaces = self.policy.replaces(extent, chunk.extent);
            if replaces && self.policy != Policy::Last && overlap_end < chunk.end() {
                // The new segment takes the front of an old one. It began no later, so it covers all of that front.
                self.keep(shared, previous, from, overlap, extent)?;
                compare(&mut shared.counters, from, shared.pool.bytes(at), overlap, true, out);
                shared.pool.trim_front(&mut self.pending, at, overlap_end);
                break;
            }
            compare(&mut shared.counters, from, shared.pool.bytes_from(at, from), overlap, replaces, out);
            if replaces {
                shared.pool.overwrite(at, from, overlap);
                shared.pool.set_extent(at, extent);
            }
            (previous, from) = (at, overlap_end);
        }
        Ok(())
    }

    /// The last pending chunk that ends at or in front of `start`. Segments mostly come behind all others.
    fn before(&self, shared: &Shared, start: i64) -> u32 {
        let tail = self.pending.tail;
        if tail != NONE && shared.pool.chunk(tail).end() <= start {
            return tail;
        }
        let (mut previous, mut at) = (NONE, self.pending.head);
        while at != NONE && shared.pool.chunk(at).end() <= start {
            (previous, at) = (at, shared.pool.chunk(at).next);
        }
        previous
    }

    /// Puts one chunk's worth of bytes into the pool, behind `previous`, within the stream's share.
    fn keep(
        &mut self,
        shared: &mut Shared,
        previous: u32,
        start: i64,
        bytes: &[u8],
        extent: Extent,
    ) -> Result<u32, Full> {
        let config = &shared.config;
        let len = bytes.len().min(shared.pool.chunk_bytes()) as u32;
        if self.pending.bytes + len > config.stream_bytes || self.pending.chunks >= config.stream_chunks {
            return Err(Full::Stream(start));
        }
        shared.pool.insert(&mut self.pending, previous, start, bytes, extent).ok_or(Full::Pool(start))
    }
}
