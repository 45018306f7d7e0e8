//! Many packets at once: each step is taken for all of them before the next, so that the waits for memory overlap.

use std::hint::black_box;

use lookup::flow_table::FlowId;
use packet::BATCH;
use packet::parse::Layers;

use super::flow::{End, Flow};
use super::subject::Subject;
use super::tracker::Tracker;
use super::verdict::{State, Verdict};
use super::way::Index;

/// What is known of a batch before its first packet is followed. Following one may open, end and replace flows, so of
/// the next ones this is only a hint.
struct Ahead {
    subjects: [Subject; BATCH],
    found: [Option<FlowId>; BATCH],
}

impl<T: Default> Tracker<T> {
    /// [`track_with`](Self::track_with) for packets that came together, with the same result. With many flows it takes a
    /// fraction of the time, because frames, index and flows of up to [`BATCH`] packets are fetched from memory at once.
    ///
    /// `each` gets every packet's verdict, by its number in `packets`, before the next packet is looked at: what it does to
    /// the flow (alters its reply, removes it, writes its data) holds for the rest of the batch.
    ///
    /// ```
    /// # use netbricks::conntrack::{Config, State, Tracker};
    /// # use packet::{flow::FlowHasher, parse::Layers};
    /// # let mut frame = [0u8; 42];
    /// # frame[12..14].copy_from_slice(&[8, 0]);
    /// # frame[14..34].copy_from_slice(&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    /// # frame[34..42].copy_from_slice(&[0x30, 0x39, 0, 53, 0, 8, 0, 0]);
    /// let mut tracker: Tracker<u32> = Tracker::new(&Config::default(), FlowHasher::new(0x5eed));
    /// let packets = [(Layers::of(&frame)?, &frame[..]), (Layers::of(&frame)?, &frame[..])];
    /// let mut new = 0;
    /// tracker.track_batch(1, &packets, &mut |_, _| (), |tracker, _, verdict| {
    ///     new += u32::from(verdict.state == State::New);
    ///     let flow = verdict.flow.and_then(|id| tracker.flow_mut(id)).expect("a flow");
    ///     flow.data += 1;
    ///     assert_eq!(flow.data, new);
    /// });
    /// assert_eq!((new, tracker.len()), (2, 1));
    /// # Ok::<(), packet::wire::WireError>(())
    /// ```
    pub fn track_batch(
        &mut self,
        now_ns: u64,
        packets: &[(Layers, &[u8])],
        gone: &mut dyn FnMut(End, Flow<T>),
        mut each: impl FnMut(&mut Self, usize, Verdict),
    ) {
        let mut number = 0;
        for packets in packets.chunks(BATCH) {
            let ahead = self.look_ahead(now_ns, packets);
            for ((layers, frame), (subject, hint)) in
                packets.iter().zip(ahead.subjects.iter().zip(ahead.found))
            {
                let verdict = self.judge(now_ns, subject, hint, layers, frame, gone);
                each(self, number, verdict);
                number += 1;
            }
        }
    }

    /// What [`BATCH`] packets at most are about, and the flows under their indices, which are in the cache then.
    fn look_ahead(&self, now_ns: u64, packets: &[(Layers, &[u8])]) -> Ahead {
        let mut ahead = Ahead { subjects: [Subject::Settled(State::Untracked); BATCH], found: [None; BATCH] };
        let mut indices = [Index::NONE; BATCH];
        for ((layers, frame), (subject, index)) in
            packets.iter().zip(ahead.subjects.iter_mut().zip(&mut indices))
        {
            *subject = Subject::of(layers, frame, self.rules.checksums);
            if let Subject::Flow(way) = subject {
                *index = way.index;
            }
        }
        let count = packets.len().min(BATCH);
        self.flows.find_batch(&indices[..count], now_ns, &mut ahead.found);
        let flows = ahead.found.iter().flatten().filter_map(|id| self.flows.get(*id));
        black_box(flows.fold(0, |touched, flow| touched ^ flow.touch()));
        ahead
    }
}
