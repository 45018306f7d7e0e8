//! The tracker: the flows, and what each packet is to them.

use std::net::IpAddr;

use lookup::flow_table::{FlowId, FlowTable, RECLAIM_TURNS, Tag};
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::IpProtocol;

use super::config::{Config, FLOWS_MAX, Rules};
use super::eviction::Candidates;
use super::flow::{End, Flow, Transport, Tuple};
use super::follow::{Followed, follow, step};
use super::segment::Segment;
use super::subject::Subject;
use super::tcp::{Step, Tcp};
use super::verdict::{Counters, Direction, Invalid, State, Verdict};
use super::way::{Index, Way};

/// What a tuple belongs to.
pub(super) enum Owner {
    Flow(FlowId, Direction),
    Nobody,
    /// Its mirror image is a translated flow's.
    Mirrored(FlowId),
}

/// Follows the flows of the packets it is shown; see the [module's documentation](super).
pub struct Tracker<T = ()> {
    pub(super) flows: FlowTable<Index, Flow<T>>,
    /// Altered reply tuples, under the same hasher. They have no deadline of their own but go with their flow.
    pub(super) altered: FlowTable<Index, FlowId>,
    candidates: Candidates,
    pub(super) rules: Rules,
    pub(super) counters: Counters,
}

impl<T> Tracker<T> {
    /// A tracker without flows, its memory reserved. `hasher` is keyed at random: those who send the packets choose the
    /// tuples.
    #[must_use]
    pub fn new(config: &Config, hasher: FlowHasher) -> Self {
        let flows = config.flows.clamp(1, FLOWS_MAX);
        Self {
            flows: FlowTable::with_hasher(flows, hasher),
            altered: FlowTable::with_hasher(config.translations.min(flows), hasher),
            candidates: Candidates::new(flows),
            rules: Rules::of(config),
            counters: Counters::default(),
        }
    }

    /// Flows held, with those past their deadline that were not handed out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Flows it holds at most.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.flows.capacity()
    }

    /// What it has counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A flow; `None` once it is gone. One that ended with this packet is still there.
    #[inline]
    #[must_use]
    pub fn flow(&self, id: FlowId) -> Option<&Flow<T>> {
        self.flows.get(id)
    }

    /// A flow, to change what is kept with it.
    #[inline]
    #[must_use]
    pub fn flow_mut(&mut self, id: FlowId) -> Option<&mut Flow<T>> {
        self.flows.get_mut(id)
    }

    /// When a flow ends if nothing comes.
    #[must_use]
    pub fn deadline_ns(&self, id: FlowId) -> Option<u64> {
        self.flows.deadline_ns(id)
    }

    /// All flows, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (FlowId, &Flow<T>)> {
        self.flows.iter().map(|(id, _, flow)| (id, flow))
    }

    /// The flow that a packet of this tuple would belong to, and which way it would travel. ICMP keys stand for echo
    /// requests, or else for their answers.
    #[must_use]
    pub fn find(&self, key: &FlowKey, now_ns: u64) -> Option<(FlowId, Direction)> {
        let query = if matches!(key.protocol(), IpProtocol::ICMP | IpProtocol::ICMPV6) { 8 } else { 0 };
        [false, query != 0].into_iter().find_map(|answers| {
            match self.owner(&Way::of(&Tuple { key: *key, query, answers }), now_ns) {
                Owner::Flow(id, direction) => Some((id, direction)),
                Owner::Nobody | Owner::Mirrored(_) => None,
            }
        })
    }

    /// Forgets a flow, such as one whose first packet was dropped.
    pub fn remove(&mut self, id: FlowId) -> Option<Flow<T>> {
        let (_, flow) = self.flows.remove(id)?;
        self.counters.removed += 1;
        forget_reply(&mut self.altered, &flow);
        Some(flow)
    }

    /// Hands out flows that have ended, and looks at no more than `most`; returns how many. Flows end without it too, so
    /// it need not run, but it is better to do the work in idle moments than for a packet.
    pub fn expire(&mut self, now_ns: u64, most: usize, mut gone: impl FnMut(Flow<T>)) -> usize {
        let (altered, counters) = (&mut self.altered, &mut self.counters);
        self.flows.expire(now_ns, most, |_, flow| {
            counters.expired += 1;
            forget_reply(altered, &flow);
            gone(flow);
        })
    }

    /// No flow ends before; `None` while there is none.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.flows.next_deadline_ns()
    }

    /// Puts a flow among those that may be asked to leave.
    pub(super) fn candidate(&mut self, id: FlowId) {
        self.candidates.add(id, &mut self.flows);
    }

    pub(super) fn owner(&self, way: &Way, now_ns: u64) -> Owner {
        let tag = self.flows.tag(&way.index);
        let found = self.flows.find_tagged(tag, &way.index, now_ns);
        match found.and_then(|id| Some((id, self.flows.get(id)?.direction_of(way, true)?))) {
            Some((id, direction)) => Owner::Flow(id, direction),
            None => self.owner_by_translation(way, tag, found, now_ns),
        }
    }

    /// The owner, where it is not the flow under the tuple's own index.
    fn owner_by_translation(&self, way: &Way, tag: Tag, mirrored: Option<FlowId>, now_ns: u64) -> Owner {
        let mut mirrored = mirrored;
        if !self.altered.is_empty()
            && let Some(id) = self.altered_owner(&way.index, tag, now_ns)
        {
            match self.flows.get(id).and_then(|flow| flow.direction_of(way, false)) {
                Some(direction) => return Owner::Flow(id, direction),
                None => mirrored = mirrored.or(Some(id)),
            }
        }
        mirrored.map_or(Owner::Nobody, Owner::Mirrored)
    }

    /// The flow with an altered reply of this index, if it has not ended.
    fn altered_owner(&self, index: &Index, tag: Tag, now_ns: u64) -> Option<FlowId> {
        let id = *self.altered.get(self.altered.find_tagged(tag, index, now_ns)?)?;
        self.flows.deadline_ns(id).is_some_and(|deadline_ns| deadline_ns > now_ns).then_some(id)
    }

    fn error(&self, about: &Tuple, to: IpAddr, now_ns: u64) -> Verdict {
        match self.owner(&Way::of(about), now_ns) {
            Owner::Flow(id, direction) => {
                let honest = about.key.destination() == to;
                let state = if honest { State::Related } else { State::Invalid(Invalid::QuoteLies) };
                Verdict { state, direction, flow: Some(id) }
            }
            Owner::Nobody | Owner::Mirrored(_) => Verdict::of(State::Invalid(Invalid::Unrelated)),
        }
    }
}

impl<T: Default> Tracker<T> {
    /// Says what a packet is, and takes it into its flow's account. `frame` is what `layers` was read from.
    #[inline]
    pub fn track(&mut self, now_ns: u64, layers: &Layers, frame: &[u8]) -> Verdict {
        self.track_with(now_ns, layers, frame, &mut |_, _| ())
    }

    /// [`track`](Self::track), and flows that end by it go to `gone`: what is kept with them may have to be given back.
    #[inline]
    pub fn track_with(
        &mut self,
        now_ns: u64,
        layers: &Layers,
        frame: &[u8],
        gone: &mut dyn FnMut(End, Flow<T>),
    ) -> Verdict {
        let subject = Subject::of(layers, frame, self.rules.checksums);
        let tag = self.tag(&subject);
        self.judge(now_ns, &subject, tag, layers, frame, gone)
    }

    /// What the packet about `subject` is, which is looked for by `tag`.
    #[inline(always)]
    pub(super) fn judge(
        &mut self,
        now_ns: u64,
        subject: &Subject,
        tag: Tag,
        layers: &Layers,
        frame: &[u8],
        gone: &mut dyn FnMut(End, Flow<T>),
    ) -> Verdict {
        let verdict = match subject {
            Subject::Flow(way) => self.packet(now_ns, way, tag, layers, frame, gone),
            Subject::Error { about, to } => self.error(about, *to, now_ns),
            Subject::Settled(state) => Verdict::of(*state),
        };
        if !matches!(verdict.state, State::New | State::Established) {
            self.counters.count(verdict.state);
        }
        verdict
    }

    #[inline(always)]
    fn packet(
        &mut self,
        now_ns: u64,
        way: &Way,
        tag: Tag,
        layers: &Layers,
        frame: &[u8],
        gone: &mut dyn FnMut(End, Flow<T>),
    ) -> Verdict {
        let bytes = layers.end - layers.l3;
        // Two calls that are inlined, so that no segment is put into an option and taken out again.
        if layers.protocol != IpProtocol::TCP {
            return self.packet_with(now_ns, way, tag, None, bytes, gone);
        }
        match Segment::read(layers, frame) {
            Some(segment) => self.packet_with(now_ns, way, tag, Some(segment), bytes, gone),
            None => Verdict::of(State::Invalid(Invalid::Flags)),
        }
    }

    #[inline(always)]
    fn packet_with(
        &mut self,
        now_ns: u64,
        way: &Way,
        tag: Tag,
        segment: Option<Segment<'_>>,
        bytes: usize,
        gone: &mut dyn FnMut(End, Flow<T>),
    ) -> Verdict {
        let mut under_index = None;
        if let Some((id, mut entry)) = self.flows.find_entry(tag, &way.index, now_ns) {
            if let Some(direction) = entry.value_mut().direction_of(way, true) {
                let (rules, counters) = (&self.rules, &mut self.counters);
                let done = follow(&mut entry, direction, segment, bytes, now_ns, rules, counters);
                return match done {
                    Followed::Stays(state) => Verdict { state, direction, flow: Some(id) },
                    rare => self.end_follow(rare, id, direction, now_ns, way, segment, bytes, gone),
                };
            }
            under_index = Some(id);
        }
        self.packet_of_other(now_ns, way, tag, under_index, segment, bytes, gone)
    }

    /// Follows a whole packet of TCP or UDP whose flow the caller has found by itself, at a [place](FlowId::place) of the
    /// table: `is` looks at what is kept with the flow there, and says which way the packet travels and whatever else the
    /// caller wants to know, or `None` where it is another's. `segment` is that of TCP, which is neither a SYN nor a FIN nor
    /// a reset. What it comes to is what [`track_with`](Self::track_with) would have said; `None`, and nothing changed,
    /// where that has to be asked.
    #[inline(always)]
    pub(crate) fn follow_at<R>(
        &mut self,
        now_ns: u64,
        place: u32,
        segment: Option<&[u8]>,
        bytes: usize,
        is: impl FnOnce(&T) -> Option<(Direction, R)>,
    ) -> Option<(State, R)> {
        let (id, mut entry) = self.flows.entry_at(place, now_ns)?;
        let (direction, known) = is(&entry.value_mut().data)?;
        let (rules, counters) = (&self.rules, &mut self.counters);
        let done = match segment {
            Some(segment) => {
                let segment = Some(Segment::of(segment, false)?);
                follow(&mut entry, direction, segment, bytes, now_ns, rules, counters)
            }
            None => follow(&mut entry, direction, None, bytes, now_ns, rules, counters),
        };
        let state = match done {
            Followed::Stays(state) => state,
            Followed::MayLeave(state) => {
                self.candidate(id);
                state
            }
            // Only a SYN does.
            Followed::Reopens => return None,
        };
        if !matches!(state, State::New | State::Established) {
            self.counters.count(state);
        }
        Some((state, known))
    }

    /// Has in the cache what [`follow_at`](Self::follow_at) will read; `touch` reads a word of what is kept with a flow.
    #[inline]
    pub(crate) fn fetch_at(&self, places: impl IntoIterator<Item = u32>, touch: impl Fn(&T) -> u64) {
        self.flows.fetch_at(places, |flow| flow.touch_state() ^ touch(&flow.data));
    }

    /// Whether packets are followed by what their headers say alone.
    pub(crate) const fn believes_checksums(&self) -> bool {
        !self.rules.checksums
    }

    /// A packet of a flow that is not the one under its index, if there is one: translated, or new.
    #[expect(clippy::too_many_arguments, reason = "all that is known of one packet")]
    fn packet_of_other(
        &mut self,
        now_ns: u64,
        way: &Way,
        tag: Tag,
        mirrored: Option<FlowId>,
        segment: Option<Segment<'_>>,
        bytes: usize,
        gone: &mut dyn FnMut(End, Flow<T>),
    ) -> Verdict {
        match self.owner_by_translation(way, tag, mirrored, now_ns) {
            Owner::Flow(id, direction) => {
                let Some(mut entry) = self.flows.entry(id) else {
                    return self.open(now_ns, way, segment.as_ref(), bytes, gone);
                };
                let done =
                    follow(&mut entry, direction, segment, bytes, now_ns, &self.rules, &mut self.counters);
                self.end_follow(done, id, direction, now_ns, way, segment, bytes, gone)
            }
            Owner::Nobody => self.open(now_ns, way, segment.as_ref(), bytes, gone),
            Owner::Mirrored(id) => {
                Verdict { flow: Some(id), ..Verdict::of(State::Invalid(Invalid::Collision)) }
            }
        }
    }

    /// Does what is left to do once a packet has been followed.
    #[expect(clippy::too_many_arguments, reason = "all that is known of one packet")]
    fn end_follow(
        &mut self,
        done: Followed,
        id: FlowId,
        direction: Direction,
        now_ns: u64,
        way: &Way,
        segment: Option<Segment<'_>>,
        bytes: usize,
        gone: &mut dyn FnMut(End, Flow<T>),
    ) -> Verdict {
        let state = match done {
            Followed::Stays(state) => state,
            Followed::MayLeave(state) => {
                self.candidates.add(id, &mut self.flows);
                state
            }
            Followed::Reopens => {
                self.end_reopened(id, gone);
                return self.open(now_ns, way, segment.as_ref(), bytes, gone);
            }
        };
        Verdict { state, direction, flow: Some(id) }
    }

    /// A packet of no known flow.
    fn open(
        &mut self,
        now_ns: u64,
        way: &Way,
        segment: Option<&Segment<'_>>,
        bytes: usize,
        gone: &mut dyn FnMut(End, Flow<T>),
    ) -> Verdict {
        match self.opened(way, segment, now_ns) {
            Err(reason) => Verdict::of(State::Invalid(reason)),
            Ok(_) if !self.make_room(now_ns, gone) => Verdict::of(State::Invalid(Invalid::TableFull)),
            Ok((mut flow, timeout_ns)) => {
                flow.count(Direction::Original, bytes);
                self.admit(way.index, flow, now_ns, timeout_ns, gone)
            }
        }
    }

    /// The flow that a packet opens, and how long it lives.
    fn opened(
        &self,
        way: &Way,
        segment: Option<&Segment<'_>>,
        now_ns: u64,
    ) -> Result<(Flow<T>, u64), Invalid> {
        let tuple = way.tuple();
        if tuple.answers {
            return Err(Invalid::IcmpType);
        }
        let transport = match (segment, tuple.key.protocol(), tuple.query) {
            (Some(segment), ..) => {
                Transport::Tcp(Tcp::opening(segment, self.rules.loose).ok_or(Invalid::NotOpening)?)
            }
            (None, IpProtocol::UDP | IpProtocol::UDP_LITE, _) => Transport::Udp,
            (None, _, 1..) => Transport::Icmp,
            _ => Transport::Other,
        };
        let mut flow = Flow::new(way, transport, now_ns, T::default());
        match step(&mut flow, Direction::Original, segment.copied(), now_ns, &self.rules) {
            Step::Lives(timeout_ns) => Ok((flow, timeout_ns)),
            Step::Invalid(reason) => Err(reason),
            _ => Err(Invalid::NotOpening),
        }
    }

    fn admit(
        &mut self,
        index: Index,
        flow: Flow<T>,
        now_ns: u64,
        timeout_ns: u64,
        gone: &mut dyn FnMut(End, Flow<T>),
    ) -> Verdict {
        let (altered, counters) = (&mut self.altered, &mut self.counters);
        let deadline_ns = now_ns.saturating_add(timeout_ns);
        let inserted = self.flows.insert_with(index, flow, deadline_ns, now_ns, |_, flow| {
            counters.expired += 1;
            forget_reply(altered, &flow);
            gone(End::Expired, flow);
        });
        let Ok(id) = inserted else { return Verdict::of(State::Invalid(Invalid::TableFull)) };
        self.counters.new += 1;
        self.candidates.add(id, &mut self.flows);
        Verdict { state: State::New, direction: Direction::Original, flow: Some(id) }
    }

    /// Whether there is room for another flow; if need be one makes room.
    fn make_room(&mut self, now_ns: u64, gone: &mut dyn FnMut(End, Flow<T>)) -> bool {
        if self.flows.len() < self.flows.capacity() {
            return true;
        }
        if self.expire(now_ns, RECLAIM_TURNS, |flow| gone(End::Expired, flow)) > 0 {
            return true;
        }
        let Some(id) = self.candidates.choose(&mut self.flows) else { return false };
        let Some((_, flow)) = self.flows.remove(id) else { return false };
        self.counters.evicted += 1;
        forget_reply(&mut self.altered, &flow);
        gone(End::Evicted, flow);
        true
    }

    fn end_reopened(&mut self, id: FlowId, gone: &mut dyn FnMut(End, Flow<T>)) {
        if let Some((_, flow)) = self.flows.remove(id) {
            self.counters.reopened += 1;
            forget_reply(&mut self.altered, &flow);
            gone(End::Reopened, flow);
        }
    }
}

fn forget_reply<T>(altered: &mut FlowTable<Index, FlowId>, flow: &Flow<T>) {
    if let Some(id) = flow.altered() {
        altered.remove(id);
    }
}
