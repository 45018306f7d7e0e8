//! Packets that came together: all that they need is fetched from memory before the first is followed, so that the waits
//! overlap. Following one may open, end and replace flows, so nothing of what was found is kept for the next ones.

use arrayvec::ArrayVec;
use lookup::flow_table::Tag;
use packet::BATCH;
use packet::parse::Layers;
use packet::wire::WireError;

use super::flow::{End, Flow};
use super::subject::Subject;
use super::tracker::Tracker;
use super::verdict::Verdict;

/// A packet that came: where its layers are, what it is about, and what that is looked for by.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    layers: Layers,
    subject: Subject,
    tag: Tag,
}

impl Arrival {
    /// Where its layers are.
    #[inline]
    #[must_use]
    pub const fn layers(&self) -> &Layers {
        &self.layers
    }
}

impl<T> Tracker<T> {
    /// Reads a packet that came. It is an arrival at this tracker, and says nothing to another.
    ///
    /// # Errors
    /// As [`Layers::of`].
    #[inline]
    pub fn arrival(&self, frame: &[u8]) -> Result<Arrival, WireError> {
        let layers = Layers::of(frame)?;
        let subject = Subject::of(&layers, frame, self.rules.checksums);
        Ok(Arrival { layers, subject, tag: self.tag(&subject) })
    }

    #[inline(always)]
    pub(super) fn tag(&self, subject: &Subject) -> Tag {
        match subject {
            Subject::Flow(way) => self.flows.tag(&way.index),
            Subject::Error { .. } | Subject::Settled(_) => Tag::default(),
        }
    }

    /// Has in the cache what following these packets will read; nothing changes by it. With many flows packets that came
    /// together take a fraction of the time they take one by one.
    ///
    /// ```
    /// # use netbricks::conntrack::{Config, State, Tracker};
    /// # use packet::{flow::FlowHasher, wire::WireError};
    /// # let mut frame = [0u8; 42];
    /// # frame[12..14].copy_from_slice(&[8, 0]);
    /// # frame[14..34].copy_from_slice(&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    /// # frame[34..42].copy_from_slice(&[0x30, 0x39, 0, 53, 0, 8, 0, 0]);
    /// let mut tracker: Tracker = Tracker::new(&Config::default(), FlowHasher::new(0x5eed));
    /// let frames = [&frame[..], &frame[..]];
    /// let arrivals = frames.iter().map(|frame| tracker.arrival(frame)).collect::<Result<Vec<_>, WireError>>()?;
    /// tracker.fetch(&arrivals);
    /// for (arrival, frame) in arrivals.iter().zip(frames) {
    ///     let verdict = tracker.track_arrival(1, arrival, frame, &mut |_, _| ());
    ///     assert_eq!(verdict.state, State::New);
    /// }
    /// assert_eq!(tracker.len(), 1);
    /// # Ok::<(), WireError>(())
    /// ```
    #[inline]
    pub fn fetch<'a>(&self, arrivals: impl IntoIterator<Item = &'a Arrival>) {
        let mut tags = ArrayVec::<Tag, BATCH>::new();
        for arrival in arrivals {
            if matches!(arrival.subject, Subject::Flow(_)) {
                tags.push(arrival.tag);
            }
            if tags.is_full() {
                self.fetch_flows(&tags);
                tags.clear();
            }
        }
        self.fetch_flows(&tags);
    }

    fn fetch_flows(&self, tags: &[Tag]) {
        let mut known = [false; BATCH];
        self.flows.fetch(tags, |at, flow| {
            known[at] = true;
            flow.touch()
        });
        if !self.altered.is_empty() {
            let others = tags.iter().zip(known).filter(|(_, known)| !known).map(|(tag, _)| *tag);
            let others: ArrayVec<Tag, BATCH> = others.collect();
            self.altered.fetch(&others, |_, id| self.flows.get(*id).map_or(0, Flow::touch));
        }
    }
}

impl<T: Default> Tracker<T> {
    /// [`track_with`](Self::track_with) for an arrival; `frame` is what it was read from.
    #[inline]
    pub fn track_arrival(
        &mut self,
        now_ns: u64,
        arrival: &Arrival,
        frame: &[u8],
        gone: &mut dyn FnMut(End, Flow<T>),
    ) -> Verdict {
        self.judge(now_ns, &arrival.subject, arrival.tag, &arrival.layers, frame, gone)
    }
}
