//! A run on the clock of capture files: as fast as it goes, and the same each time.

use packet::Batch;

use super::core::{Core, Stamp};
use super::stop::Stop;
use super::summary::Ended;
use crate::state::mailbox::Mailbox;

/// The latest time, so that what functions add to it does not overflow: the year 2262.
const TIME_MAX_NS: u64 = i64::MAX as u64;
/// Deadlines that are met between two packets, however far apart they are, and after the last.
const EXPIRIES_MAX: u64 = 1 << 20;
/// Deadlines in a row that let nothing out, after which a run without input ends.
const QUIET_EXPIRIES_MAX: u64 = 1 << 16;

pub(super) fn run(core: &mut Core, mailbox: &Mailbox<Core>, stop: &Stop) -> Ended {
    core.stamp = Stamp::NowBut(None);
    if core.links.iter().all(|link| link.input().is_none()) {
        // A timestamp of zero would say that there is none.
        core.set_now_ns(1);
        return generate(core, mailbox, stop);
    }
    let ended = read(core, mailbox, stop);
    core.stamp = Stamp::NowBut(None);
    if ended == Ended::Inputs || ended == Ended::Packets {
        let end_ns = end_ns(core, stop);
        expire_until(core, mailbox, stop, end_ns, |core| core.held() > 0);
    }
    ended
}

/// The time beyond which it does not go.
fn end_ns(core: &Core, stop: &Stop) -> u64 {
    core.end_ns(stop).map_or(TIME_MAX_NS, |end| end.min(TIME_MAX_NS))
}

/// Hands in the packets of all files in the order of their timestamps, each at its time.
fn read(core: &mut Core, mailbox: &Mailbox<Core>, stop: &Stop) -> Ended {
    let mut batch = Batch::new();
    loop {
        mailbox.serve(core);
        if let Some(ended) = core.limit(stop) {
            return ended;
        }
        let heads =
            core.links.iter_mut().enumerate().filter_map(|(gate, link)| Some((link.next_ns()?, gate)));
        let Some((timestamp_ns, gate)) = heads.min() else { return Ended::Inputs };
        let stamp_ns = timestamp_ns.max(1);
        let now_ns = stamp_ns.min(end_ns(core, stop));
        core.stamp = Stamp::NowBut(None);
        expire_until(core, mailbox, stop, now_ns, |_| true);
        core.set_now_ns(now_ns);
        if core.limit(stop).is_some() {
            continue;
        }
        if let Some(mut packet) = core.links[gate].next() {
            packet.set_timestamp_ns(stamp_ns);
            core.stamp = Stamp::NowBut(Some(stamp_ns));
            // It is empty.
            let _ = batch.push(packet);
            core.hand_in(gate, &mut batch);
        }
    }
}

/// Meets the deadlines up to a time, each at its time, while `more`.
fn expire_until(
    core: &mut Core,
    mailbox: &Mailbox<Core>,
    stop: &Stop,
    until_ns: u64,
    more: impl Fn(&Core) -> bool,
) {
    for _ in 0..EXPIRIES_MAX {
        match core.deadline_ns() {
            Some(deadline) if deadline <= until_ns && more(core) && !stop.is_stopped() => {
                core.set_now_ns(deadline);
                core.expire();
                mailbox.serve(core);
            }
            _ => return,
        }
    }
}

/// Runs a function that nothing comes in to from deadline to deadline.
fn generate(core: &mut Core, mailbox: &Mailbox<Core>, stop: &Stop) -> Ended {
    let mut quiet = 0;
    while quiet < QUIET_EXPIRIES_MAX {
        mailbox.serve(core);
        if let Some(ended) = core.limit(stop) {
            return ended;
        }
        let end_ns = end_ns(core, stop);
        match core.deadline_ns() {
            Some(deadline) if deadline <= end_ns => {
                core.set_now_ns(deadline);
                quiet = if core.expire() > 0 { 0 } else { quiet + 1 };
            }
            // Nothing more until the time is over.
            Some(_) if core.ctx.now_ns() < end_ns => core.set_now_ns(end_ns),
            _ => break,
        }
    }
    Ended::Inputs
}
