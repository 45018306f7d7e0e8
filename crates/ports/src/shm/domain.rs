//! The trusted side of a domain.

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use packet::{BATCH, Batch, Offload, Packet, PortId};

use super::area::{Area, Layout};
use super::bell::Bell;
use super::ring::{Reader, Writer};
use super::{AHEAD, Config, Entry, GuestEnd, ShmError, system};

/// What a guest has said that no honest one says, by kind. Any of it is reason to kill the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Looks at a ring whose position is impossible.
    pub position: u64,
    /// Entries with a slot that does not exist or is not lent: made up, or given back twice.
    pub slot: u64,
    /// Packets longer than a slot.
    pub length: u64,
    /// Packets with an offload state that means nothing.
    pub offload: u64,
}

impl Faults {
    /// Whether there are any.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// What a domain has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets lent to the guest.
    pub sent: u64,
    /// Packets that came back.
    pub received: u64,
    /// Packets that the guest has dropped.
    pub dropped: u64,
    /// Packets dropped because no slot, or on their way back no buffer, is that long.
    pub too_long: u64,
    /// What the guest has done wrong.
    pub faults: Faults,
}

/// What a guest that died had.
#[derive(Debug, Default)]
pub struct Reclaimed {
    /// Packets that it may have been working on, which are dropped: the oldest it had, one batch at most.
    pub lost: usize,
    /// The packets behind those, as they were when they were sent, oldest first. An honest guest never saw them.
    pub unseen: Vec<Packet>,
}

/// A packet that the guest has.
struct Lent {
    packet: Packet,
    /// The place of its entry in the ring.
    position: u32,
}

/// The trusted side of a domain: lends packets to one guest and takes them back.
///
/// Nothing that the guest does makes a call of this panic, block, or work longer than on as many packets as there are
/// slots. Dropping the domain drops the packets that are lent.
pub struct Domain {
    pub(super) area: Area,
    to_guest: Writer,
    from_guest: Reader,
    pub(super) bell: Bell,
    /// The number of the last question.
    pub(super) asked: Cell<u32>,
    /// By slot: the packet, while the guest has a copy. This, and not what the memory says, is who owns what.
    lent: Box<[Option<Lent>]>,
    /// The slots that are not lent; last in, first out, since those are still in the cache.
    free: Vec<u32>,
    counters: Counters,
}

impl Domain {
    /// Makes the memory, and what a guest's process needs to join. A domain serves one guest: one that is started
    /// again gets a new domain, so that nothing of its predecessor can reach it.
    ///
    /// # Errors
    /// [`ShmError`] when a size is out of bounds, or the kernel refuses memory or descriptors.
    pub fn create(config: Config) -> Result<(Self, GuestEnd), ShmError> {
        let layout = Layout::new(config)?;
        let (area, memory) = Area::create(layout)?;
        let (bell, wake) = Bell::pair().map_err(system("making a socket pair"))?;
        let domain = Self {
            to_guest: Writer::new(area.to_guest()),
            from_guest: Reader::new(area.to_host()),
            area,
            bell,
            asked: Cell::new(0),
            lent: (0..layout.slots).map(|_| None).collect(),
            free: (0..layout.slots).rev().collect(),
            counters: Counters::default(),
        };
        Ok((domain, GuestEnd { memory, wake }))
    }

    /// How many packets the guest may have at once.
    pub fn slots(&self) -> usize {
        self.lent.len()
    }

    /// How many packets the guest has.
    pub fn in_flight(&self) -> usize {
        self.lent.len() - self.free.len()
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Tells the guest the time, before [`Domain::send`].
    pub fn set_now_ns(&self, now_ns: u64) {
        self.area.clock().store(now_ns, Ordering::Relaxed);
    }

    /// Lends packets from the front of the batch to the guest, as many as there are free slots; returns how many
    /// have left the batch. Those longer than a slot are dropped and counted.
    pub fn send(&mut self, batch: &mut Batch) -> usize {
        let count = batch.len().min(self.free.len());
        let mut written = 0;
        for packet in batch.drain(..count) {
            if packet.len() > self.area.layout.room as usize {
                self.counters.too_long += 1;
                continue;
            }
            let Some(slot) = self.free.pop() else { break };
            self.area.write(slot, packet.data());
            self.to_guest.put(written, Entry::of(slot, &packet).to_record());
            let position = self.to_guest.position().wrapping_add(written);
            self.lent[slot as usize] = Some(Lent { packet, position });
            written += 1;
        }
        if written > 0 {
            self.counters.sent += u64::from(written);
            if self.to_guest.publish(written) {
                self.bell.ring();
            }
        }
        count
    }

    /// Takes packets back, as many as have come and the batch has room for; returns how many. Each is the very
    /// packet that was lent, with the bytes, egress port, flow hash and offload state that the guest gave it.
    pub fn receive(&mut self, batch: &mut Batch) -> usize {
        let Ok(waiting) = self.from_guest.waiting() else {
            self.counters.faults.position += 1;
            return 0;
        };
        let (mut read, before) = (0, batch.len());
        (0..waiting.min(AHEAD)).for_each(|ahead| self.prefetch(ahead));
        while read < waiting && batch.room() > 0 {
            if read + AHEAD < waiting {
                self.prefetch(read + AHEAD);
            }
            let entry = Entry::of_record(self.from_guest.get(read));
            read += 1;
            if let Some(packet) = self.take_back(&entry) {
                // There is room.
                let _ = batch.push(packet);
            }
        }
        self.from_guest.advance(read);
        let count = batch.len() - before;
        self.counters.received += count as u64;
        count
    }

    #[inline]
    fn prefetch(&self, ahead: u32) {
        self.area.prefetch(self.from_guest.glance(ahead) as u32);
    }

    /// Ends the loan that an entry of the guest's speaks of, if there is one.
    #[inline]
    fn take_back(&mut self, entry: &Entry) -> Option<Packet> {
        let &Entry { slot, len, .. } = entry;
        let Some(lent) = self.lent.get_mut(slot as usize).and_then(Option::take) else {
            self.counters.faults.slot += 1;
            return None;
        };
        self.free.push(slot);
        if len == Entry::DROPPED {
            self.counters.dropped += 1;
            return None;
        }
        if len > self.area.layout.room {
            self.counters.faults.length += 1;
            return None;
        }
        let mut packet = lent.packet;
        if !resize(&mut packet, len as usize) {
            self.counters.too_long += 1;
            return None;
        }
        let Ok(offload) = Offload::from_virtio(&entry.virtio) else {
            self.counters.faults.offload += 1;
            return None;
        };
        self.area.read(slot, packet.data_mut());
        packet.set_offload(offload);
        packet.set_egress(PortId(entry.egress));
        packet.set_flow_hash(entry.flow_hash);
        Some(packet)
    }

    /// Sleeps until the guest hands something back, is gone, or `limit` has passed. An honest guest rings; a hostile
    /// one may not, and may ring for nothing, so the limit should be one that the caller can live with.
    pub fn wait(&self, limit: Duration) {
        if self.from_guest.prepare_sleep() {
            self.bell.wait(Some(limit));
            self.from_guest.woken();
        }
    }

    /// Whether the guest's process has ended (or has closed its end, which is as good).
    pub fn peer_gone(&self) -> bool {
        self.bell.is_alone()
    }

    /// A descriptor that hangs up (`POLLHUP`) when the guest's process has ended.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.bell.fd()
    }

    /// Ends all loans: to be called when the guest's process has ended, and after [`Domain::receive`] has taken what
    /// it had finished. It works on one batch at a time and in order, so at most the oldest [`BATCH`] packets that it
    /// has are lost.
    pub fn reclaim(mut self) -> Reclaimed {
        let end = self.to_guest.position();
        let mut lent: Vec<_> = self.lent.iter_mut().filter_map(Option::take).collect();
        lent.sort_by_key(|lent| std::cmp::Reverse(end.wrapping_sub(lent.position)));
        let lost = lent.len().min(BATCH);
        Reclaimed { lost, unseen: lent.drain(lost..).map(|lent| lent.packet).collect() }
    }
}

/// Makes a packet `len` bytes long, into the headroom when there is no other place.
#[inline]
fn resize(packet: &mut Packet, len: usize) -> bool {
    let Err(short) = packet.set_len(len) else { return true };
    packet.prepend(short.wanted - short.available).is_ok() && packet.set_len(len).is_ok()
}

impl std::fmt::Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Domain")
            .field("slots", &self.slots())
            .field("in_flight", &self.in_flight())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
