//! Multipart messages put together (OpenFlow 1.3.5, section 7.3.5: parts of one transaction, all but the last with
//! `MORE`).

use std::collections::VecDeque;

use crate::multipart::{MORE, MultipartReply, MultipartRequest, Reply, Request};
use crate::nicira::StatsReply;

/// Bytes on the wire of all messages of a connection that are being put together.
pub const ASSEMBLY_BYTES_MAX: usize = 16 << 20;
/// Messages of a connection that are put together at the same time; the oldest is given up for another one.
pub const ASSEMBLIES_MAX: usize = 16;

/// A part of a message.
pub(super) trait Part: Sized {
    /// Whether more parts follow.
    fn more(&self) -> bool;
    /// Adds another part behind it, or says that they do not belong together.
    fn join(&mut self, next: Self) -> bool;
    /// It is the whole message now.
    fn end(&mut self);
}

/// What has become of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Assembled<T> {
    /// More parts must come.
    Waiting,
    /// The message is whole.
    Whole(T),
    /// The message was too long, or its parts do not fit together, and this was its last part.
    Failed,
}

/// The messages of one kind that are being put together.
#[derive(Debug)]
pub(super) struct Assembly<T> {
    open: VecDeque<Open<T>>,
    bytes: usize,
}

#[derive(Debug)]
struct Open<T> {
    xid: u32,
    bytes: usize,
    /// `None` once it has failed; the rest of it is waited for, so that it is not taken for a message of its own.
    message: Option<T>,
}

impl<T> Default for Assembly<T> {
    fn default() -> Self {
        Self { open: VecDeque::new(), bytes: 0 }
    }
}

impl<T: Part> Assembly<T> {
    /// Takes a part of so many bytes.
    pub(super) fn add(&mut self, xid: u32, bytes: usize, part: T) -> Assembled<T> {
        let more = part.more();
        let at = self.open.iter().position(|open| open.xid == xid);
        let Some(at) = at else {
            if !more {
                return Assembled::Whole(part);
            }
            if self.open.len() == ASSEMBLIES_MAX
                && let Some(oldest) = self.open.pop_front()
            {
                self.bytes -= oldest.bytes;
            }
            self.open.push_back(Open { xid, bytes: 0, message: None });
            let last = self.open.len() - 1;
            if self.account(last, bytes) {
                self.open[last].message = Some(part);
            }
            return Assembled::Waiting;
        };
        let fits = self.account(at, bytes);
        let open = &mut self.open[at];
        if !(fits && open.message.as_mut().is_some_and(|message| message.join(part))) {
            self.bytes -= open.bytes;
            (open.bytes, open.message) = (0, None);
        }
        if more {
            return Assembled::Waiting;
        }
        let ended = self.open.remove(at).and_then(|open| {
            self.bytes -= open.bytes;
            open.message
        });
        match ended {
            Some(mut message) => {
                message.end();
                Assembled::Whole(message)
            }
            None => Assembled::Failed,
        }
    }

    /// Counts bytes to one of them, if there is room.
    fn account(&mut self, at: usize, bytes: usize) -> bool {
        if self.bytes + bytes > ASSEMBLY_BYTES_MAX {
            return false;
        }
        self.bytes += bytes;
        self.open[at].bytes += bytes;
        true
    }

    /// Gives one up, if it is there.
    pub(super) fn forget(&mut self, xid: u32) {
        if let Some(at) = self.open.iter().position(|open| open.xid == xid)
            && let Some(open) = self.open.remove(at)
        {
            self.bytes -= open.bytes;
        }
    }
}

impl Part for MultipartReply {
    fn more(&self) -> bool {
        self.flags & MORE != 0
    }

    fn join(&mut self, next: Self) -> bool {
        match (&mut self.body, next.body) {
            (Reply::Flow(all), Reply::Flow(next)) => all.extend(next),
            (Reply::Table(all), Reply::Table(next)) => all.extend(next),
            (Reply::Port(all), Reply::Port(next)) => all.extend(next),
            (Reply::Queue(all), Reply::Queue(next)) => all.extend(next),
            (Reply::Group(all), Reply::Group(next)) => all.extend(next),
            (Reply::GroupDescription(all), Reply::GroupDescription(next)) => all.extend(next),
            (Reply::Meter(all), Reply::Meter(next)) => all.extend(next),
            (Reply::MeterConfig(all), Reply::MeterConfig(next)) => all.extend(next),
            (Reply::TableFeatures(all), Reply::TableFeatures(next)) => all.extend(next),
            (Reply::PortDescription(all), Reply::PortDescription(next)) => all.extend(next),
            (Reply::FlowMonitor(all), Reply::FlowMonitor(next)) => all.extend(next),
            (Reply::Nicira(StatsReply::Flow(all)), Reply::Nicira(StatsReply::Flow(next))) => all.extend(next),
            _ => return false,
        }
        true
    }

    fn end(&mut self) {
        self.flags &= !MORE;
    }
}

impl Part for MultipartRequest {
    fn more(&self) -> bool {
        self.flags & MORE != 0
    }

    fn join(&mut self, next: Self) -> bool {
        match (&mut self.body, next.body) {
            (Request::TableFeatures(all), Request::TableFeatures(next)) => all.extend(next),
            (Request::FlowMonitor(all), Request::FlowMonitor(next)) => all.extend(next),
            _ => return false,
        }
        true
    }

    fn end(&mut self) {
        self.flags &= !MORE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some numbers, and whether more follow.
    #[derive(Debug, PartialEq, Eq)]
    struct Numbers(Vec<u32>, bool);

    impl Part for Numbers {
        fn more(&self) -> bool {
            self.1
        }

        fn join(&mut self, next: Self) -> bool {
            self.0.extend(&next.0);
            next.0 != [666]
        }

        fn end(&mut self) {
            self.1 = false;
        }
    }

    fn part(numbers: &[u32], more: bool) -> Numbers {
        Numbers(numbers.to_vec(), more)
    }

    #[test]
    fn parts_of_several_messages_are_kept_apart() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.add(9, 8, part(&[9], false)), Assembled::Whole(part(&[9], false)));
        assert_eq!(assembly.add(1, 8, part(&[1], true)), Assembled::Waiting);
        assert_eq!(assembly.add(2, 8, part(&[2], true)), Assembled::Waiting);
        assert_eq!(assembly.add(1, 8, part(&[3], true)), Assembled::Waiting);
        assert_eq!(assembly.add(2, 8, part(&[4], false)), Assembled::Whole(part(&[2, 4], false)));
        assert_eq!(assembly.add(1, 8, part(&[], false)), Assembled::Whole(part(&[1, 3], false)));
        assert_eq!((assembly.bytes, assembly.open.len()), (0, 0));
    }

    #[test]
    fn what_never_ends_is_given_up_and_known_when_it_ends() {
        let mut assembly = Assembly::default();
        for _ in 0..1000 {
            assert_eq!(assembly.add(1, 60_000, part(&[1], true)), Assembled::Waiting);
            assert!(assembly.bytes <= ASSEMBLY_BYTES_MAX);
        }
        assert_eq!(assembly.add(2, 60_000, part(&[2], true)), Assembled::Waiting);
        assert_eq!(assembly.add(1, 8, part(&[1], false)), Assembled::Failed);
        assert_eq!(assembly.add(2, 8, part(&[3], false)), Assembled::Whole(part(&[2, 3], false)));
        // Parts that do not belong together.
        assert_eq!(assembly.add(1, 8, part(&[1], true)), Assembled::Waiting);
        assert_eq!(assembly.add(1, 8, part(&[666], true)), Assembled::Waiting);
        assert_eq!(assembly.add(1, 8, part(&[1], false)), Assembled::Failed);
        assert_eq!((assembly.bytes, assembly.open.len()), (0, 0));
    }

    #[test]
    fn the_oldest_makes_way() {
        let mut assembly = Assembly::default();
        for xid in 0..1000 {
            assert_eq!(assembly.add(xid, 100, part(&[xid], true)), Assembled::Waiting);
        }
        assert_eq!(assembly.open.len(), ASSEMBLIES_MAX);
        assert_eq!(assembly.bytes, 100 * ASSEMBLIES_MAX);
        assert_eq!(assembly.add(999, 8, part(&[1], false)), Assembled::Whole(part(&[999, 1], false)));
        assembly.forget(998);
        assert_eq!((assembly.open.len(), assembly.bytes), (ASSEMBLIES_MAX - 2, 100 * (ASSEMBLIES_MAX - 2)));
    }
}
