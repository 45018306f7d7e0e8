//! The low-priority loop: which segment it sends next, at which level, and when.

use sim::{Rate, Time};

use crate::config::{LowConfig, Pacing};
use crate::levels::level_of;
use crate::segment::HEADER_BYTES;

/// Acks of later low-priority segments after which one counts as lost.
const LOST_AFTER: u8 = 3;
/// Writes that are not sent through, the newest among them; of more the oldest is left to the primary loop.
const WRITES_MAX: usize = 32;

/// A write that is sent backwards.
#[derive(Debug, Clone, Copy, Default)]
struct Write {
    start: u64,
    end: u64,
    /// Segments sent, from the tail.
    sent: u64,
}

/// A segment to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) seq: u64,
    pub(crate) len: u32,
    pub(crate) level: u8,
}

/// The loop.
#[derive(Debug, Clone)]
pub(crate) struct Low {
    config: LowConfig,
    segment: u64,
    /// What is sent is the last; below it are those that it broke off.
    writes: Vec<Write>,
    in_nic: u32,
    rate: Option<Rate>,
    /// When pacing lets the next segment out.
    due: Time,
    /// The first ack of a train: when what it acks had arrived, and what it acked.
    train: Option<(Time, u64)>,
    /// What has to be acked for the next train to be whole.
    train_end: u64,
    /// The rate of the bottleneck, of the fastest train so far.
    estimate: Option<Rate>,
    /// Where the acks of low-priority segments have got to, downwards.
    acked_down_to: u64,
    /// Acks since one was left out.
    since_gap: u8,
    gap: bool,
    halved: Option<Time>,
}

impl Low {
    pub(crate) fn new(config: LowConfig, segment: u64) -> Self {
        let rate = match config.pacing {
            Pacing::Nic => None,
            Pacing::Bottleneck { percent, remembered } => remembered.map(|rate| share(rate, percent)),
        };
        Self {
            config,
            segment,
            writes: Vec::new(),
            in_nic: 0,
            rate,
            due: Time::ZERO,
            train: None,
            train_end: 0,
            estimate: None,
            acked_down_to: 0,
            since_gap: 0,
            gap: false,
            halved: None,
        }
    }

    /// The application has written `start..end`: the loop starts again, over these bytes, and then goes on where it was. A write
    /// of which nothing has been sent and the one after it are one: so it is where an application's bytes come in pieces.
    pub(crate) fn written(&mut self, start: u64, end: u64) {
        match self.writes.last_mut().filter(|last| last.sent == 0 && last.end == start) {
            Some(last) => last.end = end,
            None => {
                if self.writes.len() == WRITES_MAX {
                    self.writes.remove(0);
                }
                self.writes.push(Write { start, end, sent: 0 });
            }
        }
        self.acked_down_to = end;
        (self.gap, self.since_gap) = (false, 0);
    }

    /// A segment has left the NIC.
    pub(crate) fn departed(&mut self) {
        self.in_nic = self.in_nic.saturating_sub(1);
    }

    /// The segment that is next from the tail; none where the loop has met the primary. Which write it is of, too.
    fn next(&self, primary: u64) -> Option<(usize, Next)> {
        let tail = self.writes.last()?.end;
        self.writes.iter().enumerate().rev().find_map(|(at, &Write { start, end, sent })| {
            // Cut as the primary cuts, from the start of the write, so that the short segment is the last.
            let number = (end - start).div_ceil(self.segment).checked_sub(sent + 1)?;
            let seq = start + number * self.segment;
            if seq + self.segment <= primary {
                return None;
            }
            let len = (end - seq).min(self.segment) as u32;
            let from_tail = sent + 1 + (tail - end).div_ceil(self.segment);
            Some((at, Next { seq, len, level: level_of(from_tail, self.config.lowest()) }))
        })
    }

    fn may_send(&self) -> bool {
        let paced = match self.config.pacing {
            Pacing::Nic => true,
            Pacing::Bottleneck { .. } => self.rate.is_some(),
        };
        paced && self.in_nic < self.config.nic_segments.max(1)
    }

    /// When there is something to send that only pacing holds back.
    pub(crate) fn deadline(&self, primary: u64) -> Option<Time> {
        (self.may_send() && self.next(primary).is_some()).then_some(self.due)
    }

    pub(crate) fn poll(&mut self, now: Time, primary: u64) -> Option<Next> {
        if !self.may_send() || now < self.due {
            return None;
        }
        let (at, next) = self.next(primary)?;
        self.writes.truncate(at + 1);
        self.writes[at].sent += 1;
        self.in_nic += 1;
        if let Some(rate) = self.rate {
            // From when it was due, so that late polls do not slow it down; but no burst after a pause.
            let step = rate.time_of(u64::from(next.len + HEADER_BYTES));
            self.due = self.due.max(now - step.max(self.config.slack)) + step;
        }
        Some(next)
    }

    /// A new ack of the primary loop, of a segment that arrived at `stamp`: of a train, the initial window and each as long as it,
    /// the distances tell the rate of the bottleneck. `acked` of `train_end` bytes.
    pub(crate) fn train(&mut self, now: Time, stamp: Time, acked: u64, train_end: u64) {
        let Pacing::Bottleneck { percent, remembered } = self.config.pacing else { return };
        let Some((first, before)) = self.train else {
            self.train = Some((stamp, acked));
            return;
        };
        if self.halved.is_some() || acked < train_end.max(self.train_end) || stamp <= first || acked <= before
        {
            return;
        }
        let segments = (acked - before).div_ceil(self.segment);
        let bits = 8.0 * (acked - before + segments * u64::from(HEADER_BYTES)) as f64;
        let rate = Rate::from_bits_per_second((bits / (stamp - first).secs_f64()) as u64);
        (self.train, self.train_end) = (Some((stamp, acked)), acked + train_end);
        if self.estimate.is_some_and(|known| known >= rate) {
            return;
        }
        self.estimate = Some(rate);
        if self.rate.is_none() {
            self.due = now;
        }
        if remembered.is_none() {
            self.rate = Some(share(rate, percent));
        }
    }

    /// An ack of a low level: its segment is `start..`. What it leaves out above itself is lost when a few more have come.
    pub(crate) fn acked(&mut self, now: Time, block: (u64, u64), rtt: Option<Time>) {
        if block.0 < self.acked_down_to {
            self.gap |= block.1 < self.acked_down_to;
            self.acked_down_to = block.0;
        }
        if !self.gap {
            return;
        }
        self.since_gap += 1;
        if self.since_gap < LOST_AFTER {
            return;
        }
        (self.gap, self.since_gap) = (false, 0);
        let rtt = rtt.unwrap_or(Time::ZERO);
        if self.halved.is_none_or(|last| now > last + rtt) {
            self.halved = Some(now);
            let halve = |rate: Rate| Rate::from_bits_per_second((rate.bits_per_second() / 2).max(8_000));
            self.rate = self.rate.map(halve);
        }
    }

    /// The rate of the bottleneck as this loop has found it. That it sends more slowly since segments of its own were lost changes
    /// nothing there: they give way to the primary loop's.
    pub(crate) fn estimate(&self) -> Option<Rate> {
        self.estimate
    }

    /// The rate of the bottleneck, as it was found or is remembered.
    pub(crate) fn bottleneck(&self) -> Option<Rate> {
        match self.config.pacing {
            Pacing::Nic => None,
            Pacing::Bottleneck { remembered, .. } => self.estimate.or(remembered),
        }
    }

    /// Whether it sends no faster than the bottleneck takes it.
    pub(crate) fn is_paced(&self) -> bool {
        matches!(self.config.pacing, Pacing::Bottleneck { .. })
    }

    /// The rate at which it sends; none where it is not paced or knows none yet.
    pub(crate) fn rate(&self) -> Option<Rate> {
        self.rate
    }
}

fn share(rate: Rate, percent: u8) -> Rate {
    let bits = u128::from(rate.bits_per_second()) * u128::from(percent.clamp(1, 100)) / 100;
    Rate::from_bits_per_second(u64::try_from(bits).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(low: &mut Low, primary: u64) -> Vec<(u64, u32, u8)> {
        let mut found = Vec::new();
        while let Some(next) = low.poll(Time::ZERO, primary) {
            found.push((next.seq, next.len, next.level));
            low.departed();
        }
        found
    }

    #[test]
    fn it_sends_backwards_until_it_meets_the_primary_or_the_write_before() {
        let mut low = Low::new(LowConfig::paper(), 100);
        low.written(0, 1_050);
        let sent = all(&mut low, 400);
        let seqs: Vec<u64> = sent.iter().map(|next| next.0).collect();
        assert_eq!(seqs, [1_000, 900, 800, 700, 600, 500, 400]);
        assert_eq!((sent[0], sent[1]), ((1_000, 50, 1), (900, 100, 1)));
        low.written(1_050, 1_300);
        assert_eq!(all(&mut low, 400), [(1_250, 50, 1), (1_150, 100, 1), (1_050, 100, 1)]);
        low.written(1_300, 1_301);
        assert_eq!(all(&mut low, 1_400), []);
    }

    #[test]
    fn levels_follow_the_distance_from_the_tail() {
        let mut low = Low::new(LowConfig { levels: 3, ..LowConfig::paper() }, 1);
        low.written(0, 5_000);
        let sent = all(&mut low, 0);
        let count = |level| sent.iter().filter(|next| next.2 == level).count();
        assert_eq!([1, 2, 3].map(count), [40, 4_960, 0]);
    }

    #[test]
    fn the_nic_holds_few_and_pacing_spaces_them() {
        let mut low = Low::new(LowConfig::paper(), 100);
        low.written(0, 10_000);
        assert_eq!((0..10).filter_map(|_| low.poll(Time::ZERO, 0)).count(), 4);

        let mut low = Low::new(LowConfig::default(), 100);
        low.written(0, 10_000);
        assert_eq!((low.poll(Time::from_secs(1), 0), low.deadline(0)), (None, None), "no rate is known");
        // Acks of 3 segments in 3.408 ms: 142 bytes each, 1 Mbit/s; 90 % of it.
        let (now, stamp) = (Time::from_secs(1), Time::from_secs(7));
        low.train(now, stamp, 100, 400);
        low.train(now, stamp + Time::from_micros(3_408), 400, 400);
        assert_eq!(low.rate(), Some(Rate::from_bits_per_second(900_000)));
        let start = Time::from_secs(2);
        assert!(low.poll(start, 0).is_some());
        let mut due = Vec::new();
        for _ in 0..3 {
            due.push(low.deadline(0).unwrap());
            assert!(low.poll(due.last().copied().unwrap() - Time::from_picos(1), 0).is_none());
            assert!(low.poll(due.last().copied().unwrap(), 0).is_some());
        }
        let step = Rate::from_bits_per_second(900_000).time_of(142);
        assert_eq!(due, [start, start + step, start + step.times(2)]);
    }

    #[test]
    fn a_faster_train_corrects_the_estimate_and_pieces_are_one_write() {
        let mut low = Low::new(LowConfig { slack: Time::from_millis(10), ..LowConfig::default() }, 100);
        low.written(0, 5_000);
        low.written(5_000, 10_000);
        let ms = |ms: u64| Time::from_micros(1_136 * ms); // 142 bytes at 1 Mbit/s
        for (stamp, acked) in [(0, 100), (6, 400), (20, 500), (23, 800), (100, 1_300)] {
            low.train(ms(stamp), ms(stamp), acked, 400);
        }
        assert_eq!(low.estimate(), Some(Rate::from_bits_per_second(500_000)), "each train has an end");
        assert_eq!(low.poll(ms(200), 0).map(|next| (next.seq, next.level)), Some((9_900, 1)));
        low.written(10_000, 10_100);
        let sent: Vec<u64> = (0..2).filter_map(|_| low.poll(ms(200), 0)).map(|next| next.seq).collect();
        assert_eq!(
            sent,
            [10_000, 9_800],
            "first the new write, then on with the old one, as far as slack lets it"
        );
    }

    #[test]
    fn losses_halve_it_once_a_round_trip() {
        let remembered = Some(Rate::from_mbit(100));
        let pacing = Pacing::Bottleneck { percent: 100, remembered };
        let mut low = Low::new(LowConfig { pacing, ..LowConfig::default() }, 100);
        low.written(0, 10_000);
        let mut ack = |ms, seq| {
            low.acked(Time::from_millis(ms), (seq, seq + 100), Some(Time::from_millis(50)));
            low.rate().unwrap().bits_per_second() / 1_000_000
        };
        assert_eq!([ack(0, 9_900), ack(0, 9_700), ack(1, 9_600)], [100, 100, 100]);
        assert_eq!([ack(2, 9_500), ack(3, 9_300), ack(4, 9_200), ack(5, 9_100)], [50; 4]);
        assert_eq!([ack(60, 8_900), ack(60, 8_800), ack(60, 8_700)], [50, 50, 25]);
    }
}
