//! A run on the clock of the machine.

use std::time::Duration;

use arrayvec::ArrayVec;
use packet::Batch;
use ports::PortError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::core::Core;
use super::link::Link;
use super::stop::Stop;
use super::summary::Ended;
use crate::GATES_MAX;
use crate::state::mailbox::Mailbox;

/// How long a run pauses at first when nothing came from a port that must be asked; it doubles each time.
const PAUSE_MIN_NS: u64 = 50_000;
/// The longest such pause.
const PAUSE_MAX_NS: u64 = 5_000_000;
/// How long packets that the function keeps are waited for once all input is through.
const LINGER_NS: u64 = 10_000_000_000;
/// How long a live port that does not fall quiet is listened to once the captures are through.
const SETTLE_NS: u64 = 100_000_000;

pub(super) fn run(core: &mut Core, mailbox: &Mailbox<Core>, stop: &Stop) -> Result<Ended, PortError> {
    let mut batch = Batch::new();
    let mut pause_ns = PAUSE_MIN_NS;
    // What captures are played into has no end. A limit of time says how long to wait for answers.
    let plays = stop.duration_ns.is_none() && core.links.iter().any(Link::is_capture_input);
    let mut through_ns = None;
    loop {
        core.set_now_ns(monotonic_ns());
        mailbox.serve(core);
        if let Some(ended) = core.limit(stop) {
            return Ok(ended);
        }
        let mut busy = false;
        for gate in 0..core.links.len() {
            core.links[gate].receive(&mut batch);
            if !batch.is_empty() {
                busy = true;
                // No packet's time is before it came: what holds packets back counts from then on.
                core.set_now_ns(monotonic_ns());
                core.hand_in(gate, &mut batch);
            }
        }
        let now_ns = core.ctx.now_ns();
        if core.deadline_ns().is_some_and(|deadline| deadline <= now_ns) {
            busy = true;
            core.expire();
        }
        let ended = match plays {
            _ if core.links.iter().all(|link| link.input().is_none()) => Some(Ended::Inputs),
            true if !core.links.iter().any(Link::is_capture_input) => Some(Ended::Played),
            _ => None,
        };
        if let Some(ended) = ended {
            let waited_ns = now_ns - *through_ns.get_or_insert(now_ns);
            let keeps = core.held() > 0 && core.deadline_ns().is_some() && waited_ns < LINGER_NS;
            if !keeps && (!busy || waited_ns >= SETTLE_NS) {
                return Ok(ended);
            }
        }
        if busy {
            pause_ns = PAUSE_MIN_NS;
        } else {
            sleep(core, mailbox, stop, pause_ns)?;
            pause_ns = (pause_ns * 2).min(PAUSE_MAX_NS);
        }
    }
}

/// Sleeps until a packet may have come, a deadline is over, or somebody wants something.
fn sleep(core: &Core, mailbox: &Mailbox<Core>, stop: &Stop, pause_ns: u64) -> Result<(), PortError> {
    let wake = mailbox.waker();
    wake.fall_asleep();
    let result = if mailbox.waits() || stop.is_stopped() {
        Ok(0)
    } else {
        let mut descriptors = ArrayVec::<PollFd<'_>, { GATES_MAX as usize + 1 }>::new();
        descriptors.push(PollFd::new(&**wake, PollFlags::IN));
        let mut asked = false;
        for input in core.links.iter().filter_map(Link::input) {
            match input.poll_fd() {
                Some(descriptor) => descriptors.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN)),
                None => asked = true,
            }
        }
        let now_ns = monotonic_ns();
        let until = [core.deadline_ns(), core.end_ns(stop)].into_iter().flatten();
        let pauses = until.map(|at| at.saturating_sub(now_ns)).chain(asked.then_some(pause_ns));
        let timeout =
            pauses.min().map(|ns| Timespec::try_from(Duration::from_nanos(ns)).expect("years at most"));
        poll(&mut descriptors, timeout.as_ref())
    };
    wake.awake();
    match result {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => {
            let port = "the ports of a run".into();
            Err(PortError::System { port, action: "poll", source: error.into() })
        }
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // It starts at zero and never runs backwards.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
