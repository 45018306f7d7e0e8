//! What a packet does to the flow it belongs to.

use lookup::flow_table::Entry;

use super::config::Rules;
use super::flow::{Flow, Transport};
use super::segment::Segment;
use super::tcp::Step;
use super::verdict::{Counters, Direction, Invalid, State};
use super::way::Index;

/// A UDP flow in both directions is a stream once it is older than this (Linux' `stream_ts`).
const UDP_STREAM_AFTER_NS: u64 = 2_000_000_000;

/// What came of following a packet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Followed {
    /// The packet is in this state.
    Stays(State),
    /// The same, and its flow may be given up again for new ones.
    MayLeave(State),
    /// It opens another flow in this one's place.
    Reopens,
}

/// A packet of a known flow.
#[inline(always)]
pub(super) fn follow<T>(
    entry: &mut Entry<'_, Index, Flow<T>>,
    direction: Direction,
    segment: Option<Segment<'_>>,
    bytes: usize,
    now_ns: u64,
    rules: &Rules,
    counters: &mut Counters,
) -> Followed {
    let flow = entry.value_mut();
    let is_new = direction == Direction::Original && !flow.standing.replied;
    let state = if is_new { State::New } else { State::Established };
    let timeout_ns = match step(flow, direction, segment, now_ns, rules) {
        Step::Lives(timeout_ns) => Some(timeout_ns),
        Step::Dies => Some(0),
        Step::Repeats => None,
        Step::Ignored => {
            counters.ignored += 1;
            None
        }
        Step::Reopens => return Followed::Reopens,
        Step::Invalid(reason) => return Followed::Stays(State::Invalid(reason)),
        Step::Doubtful(reason, timeout_ns) => {
            let limit_ns = now_ns.saturating_add(timeout_ns);
            entry.set_deadline(entry.deadline_ns().min(limit_ns));
            return Followed::Stays(State::Invalid(reason));
        }
    };
    flow.standing.replied |= direction == Direction::Reply;
    flow.count(direction, bytes);
    counters.found += 1;
    let may_leave_again = !flow.is_candidate && flow.is_evictable();
    if let Some(timeout_ns) = timeout_ns {
        entry.set_deadline(now_ns.saturating_add(timeout_ns));
    }
    if may_leave_again { Followed::MayLeave(state) } else { Followed::Stays(state) }
}

/// What a packet does to its flow.
#[inline(always)]
pub(super) fn step<T>(
    flow: &mut Flow<T>,
    direction: Direction,
    segment: Option<Segment<'_>>,
    now_ns: u64,
    rules: &Rules,
) -> Step {
    if let (Transport::Tcp(tcp), Some(segment)) = (&mut flow.transport, segment) {
        return tcp.step(direction, segment, &mut flow.standing, rules);
    }
    match flow.transport {
        Transport::Tcp(_) => Step::Invalid(Invalid::OutOfState),
        Transport::Udp if !flow.standing.replied => Step::Lives(rules.udp_ns),
        Transport::Udp => {
            let streams = now_ns.saturating_sub(flow.since_ns) > UDP_STREAM_AFTER_NS;
            flow.standing.assured |= streams;
            Step::Lives(if streams { rules.udp_stream_ns } else { rules.udp_ns })
        }
        Transport::Icmp => Step::Lives(rules.icmp_ns),
        Transport::Other => Step::Lives(rules.other_ns),
    }
}
