//! The low-priority loop: which segment it sends next, at which level, and when.

use sim::{Rate, Time};

use crate::config::{LowConfig, Pacing};
use crate::levels::level_of;
use crate::segment::HEADER_BYTES;

/// Acks of later low-priority segments after which one counts as lost.
const LOST_AFTER: u8 = 3;

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
    write: Write,
    in_nic: u32,
    rate: Option<Rate>,
    /// When pacing lets the next segment out.
    due: Time,
    /// The first acks of the primary loop: when the first came, and what it acked.
    train: Option<(Time, u64)>,
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
            write: Write::default(),
            in_nic: 0,
            rate,
            due: Time::ZERO,
            train: None,
            acked_down_to: 0,
            since_gap: 0,
            gap: false,
            halved: None,
        }
    }

    /// The application has written `start..end`: the loop starts again, over these bytes alone.
    pub(crate) fn written(&mut self, start: u64, end: u64) {
        self.write = Write { start, end, sent: 0 };
        self.acked_down_to = end;
        (self.gap, self.since_gap) = (false, 0);
    }

    /// A segment has left the NIC.
    pub(crate) fn departed(&mut self) {
        self.in_nic = self.in_nic.saturating_sub(1);
    }

    /// The segment that is next from the tail; none where the loop has met the primary or an earlier write.
    fn next(&self, primary: u64) -> Option<Next> {
        let Write { start, end, sent } = self.write;
        // Cut as the primary cuts, from the start of the write, so that the short segment is the last.
        let number = (end - start).div_ceil(self.segment).checked_sub(sent + 1)?;
        let seq = start + number * self.segment;
        if seq + self.segment <= primary {
            return None;
        }
        let len = (end - seq).min(self.segment) as u32;
        Some(Next { seq, len, level: level_of(sent + 1, self.config.lowest()) })
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
        let next = self.next(primary)?;
        self.write.sent += 1;
        self.in_nic += 1;
        if let Some(rate) = self.rate {
            // From when it was due, so that late polls do not slow it down; but no burst after a pause.
            let step = rate.time_of(u64::from(next.len + HEADER_BYTES));
            self.due = self.due.max(now - step) + step;
        }
        Some(next)
    }

    /// A new ack of the primary loop: of the first train the distances tell the rate of the bottleneck. `acked` of `train_end` bytes.
    pub(crate) fn train(&mut self, now: Time, acked: u64, train_end: u64) {
        let Pacing::Bottleneck { percent, remembered: None } = self.config.pacing else { return };
        if self.rate.is_some() {
            return;
        }
        match self.train {
            None => self.train = Some((now, acked)),
            Some((first, before)) if acked >= train_end && now > first && acked > before => {
                let segments = (acked - before).div_ceil(self.segment);
                let bits = 8.0 * (acked - before + segments * u64::from(HEADER_BYTES)) as f64;
                let rate = bits / (now - first).secs_f64();
                self.rate = Some(share(Rate::from_bits_per_second(rate as u64), percent));
                self.due = now;
            }
            Some(_) => {}
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
            let floor = |rate: Rate| Rate::from_bits_per_second((rate.bits_per_second() / 2).max(8_000));
            self.rate = self.rate.map(floor);
        }
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
        low.train(Time::from_secs(1), 100, 400);
        low.train(Time::from_secs(1) + Time::from_micros(3_408), 400, 400);
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
