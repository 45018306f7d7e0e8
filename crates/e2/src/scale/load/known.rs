//! What was heard of an instance.

use std::collections::VecDeque;

use super::Carried;
use crate::rate::{Rate, Share};

/// Its last reports.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// With the time, oldest first.
    heard: VecDeque<(u64, Carried)>,
}

impl Known {
    pub(super) fn hear(&mut self, now_ns: u64, carried: Carried, keep: usize) {
        if let Some((last_ns, last)) = self.heard.back() {
            // One that began anew, or whose load is about to change or has just changed, is another one.
            if carried.bytes < last.bytes || carried.overrun < last.overrun || carried.busy != last.busy {
                self.heard.clear();
            } else if now_ns <= *last_ns {
                return;
            }
        }
        self.heard.push_back((now_ns, carried));
        // Between two there is one report's worth.
        while self.heard.len() > keep + 1 {
            self.heard.pop_front();
        }
    }

    /// The last reports, with the one before them; none where there are fewer.
    fn last(&self, reports: usize) -> Option<impl Iterator<Item = &(u64, Carried)> + Clone> {
        Some(self.heard.range(self.heard.len().checked_sub(reports + 1)?..))
    }

    fn ends(&self, reports: usize) -> Option<[&(u64, Carried); 2]> {
        Some([self.last(reports)?.next()?, self.heard.back()?])
    }

    /// What it got in the mean.
    pub(super) fn rate(&self, reports: usize) -> Option<Rate> {
        let [(began, first), (ended, last)] = self.ends(reports)?;
        Some(rate(last.bytes - first.bytes, ended - began))
    }

    /// How much of the time its core has worked for it, if that is known.
    pub(super) fn share(&self, reports: usize) -> Option<Share> {
        let [(began, first), (ended, last)] = self.ends(reports)?;
        let worked = last.worked_ns?.checked_sub(first.worked_ns?)?;
        let millionths = u128::from(worked) * u128::from(Share::ALL.0) / u128::from((ended - began).max(1));
        Some(Share(u32::try_from(millionths).unwrap_or(u32::MAX).min(Share::ALL.0)))
    }

    /// What it took of that.
    pub(super) fn served(&self, reports: usize) -> Option<Rate> {
        let [(_, first), (_, last)] = self.ends(reports)?;
        let packets = last.packets.saturating_sub(first.packets);
        let waiting = (last.overrun - first.overrun).saturating_add(last.queued.saturating_sub(first.queued));
        Some(self.rate(reports)?.part(packets.saturating_sub(waiting), packets))
    }

    /// Whether packets waited in front of it in each of the last reports: how many wait, and how many found no room since the last.
    pub(super) fn waits(&self, reports: usize, queue: u64) -> Option<(u64, u64)> {
        let last = self.last(reports)?;
        let mut pairs = last.clone().zip(last.skip(1));
        let overrun = |before: &Carried, after: &Carried| after.overrun - before.overrun;
        let waits = pairs.all(|((_, before), (_, after))| {
            let growth = after.queued.saturating_sub(before.queued).saturating_mul(16);
            // What waits still, but less each time, is of a load that has been seen to.
            let drained = before.queued.saturating_sub(after.queued).saturating_mul(64) >= queue;
            let much = after.queued.saturating_mul(4) >= queue && !drained;
            overrun(before, after) > 0 || much || growth >= queue.max(16)
        });
        let [(_, before), (_, after)] = self.ends(1)?;
        waits.then(|| (after.queued, overrun(before, after)))
    }
}

fn rate(bytes: u64, ns: u64) -> Rate {
    let bits = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(ns.max(1));
    Rate(u64::try_from(bits).unwrap_or(u64::MAX))
}
