//! The guest's side of a domain: packets come in batches of ordinary [`Packet`]s, and go back as they are.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use packet::{BATCH, Batch, HEADROOM, Offload, Packet, Pool, PoolConfig, PortId};

use super::area::Area;
use super::bell::Bell;
use super::ring::{Reader, Writer};
use super::{AHEAD, Entry, ShmError};

/// Buffers of a guest's own, beyond those of the batch it works on, for packets that it keeps for later.
const SPARE: usize = 1024;

/// A slot of the batch being worked on, and the buffer that its packet was copied to.
#[derive(Clone, Copy, Default)]
struct Held {
    slot: u32,
    buffer: usize,
    /// Whether a packet goes back in it.
    used: bool,
}

/// The guest's side of a domain.
///
/// A function written against [`Batch`] runs unchanged: it is given packets of a private pool. They are copied out of
/// the slots and back, 64 bytes in a few nanoseconds; a function that is not written against [`Packet`] could work
/// in the slots themselves.
///
/// Between a `receive` and its `send` the guest has at most one batch. No more packets go out than came in, since the
/// slots are the trusted side's to lend; a function may answer, change, hold back or drop packets, and send one that
/// it held back in the place of another.
pub struct Guest {
    pub(super) area: Area,
    from_host: Reader,
    to_host: Writer,
    pub(super) bell: Bell,
    /// The number of the question that was answered last.
    pub(super) answered: u32,
    pool: Pool,
    /// Packets that have been sent, for the next batch: cheaper than by way of the pool.
    spare: Batch,
    held: [Held; BATCH],
    held_len: usize,
    excess: u64,
}

impl Guest {
    /// Joins a domain, with the descriptors of its [`super::GuestEnd`].
    ///
    /// # Errors
    /// [`ShmError`] when the memory is none of a domain's, or cannot be mapped.
    pub fn attach(memory: OwnedFd, wake: OwnedFd) -> Result<Self, ShmError> {
        let area = Area::open(&memory)?;
        // The mapping keeps it.
        drop(memory);
        let pool = Pool::new(PoolConfig {
            buffers: BATCH + SPARE,
            room: area.layout.room as usize,
            headroom: HEADROOM,
            ..PoolConfig::default()
        })?;
        Ok(Self {
            from_host: Reader::new(area.to_guest()),
            to_host: Writer::new(area.to_host()),
            area,
            bell: Bell::of(wake),
            answered: 0,
            pool,
            spare: Batch::new(),
            held: [Held::default(); BATCH],
            held_len: 0,
            excess: 0,
        })
    }

    /// The pool that packets are copied to.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Packets that were dropped because more went out than came in.
    pub fn excess(&self) -> u64 {
        self.excess
    }

    /// The time, as the trusted side last told it.
    pub fn now_ns(&self) -> u64 {
        self.area.clock().load(Ordering::Relaxed)
    }

    /// Takes the next packets, which are added to `batch`; returns how many. Takes none before [`Guest::send`] has
    /// given those of the last call back.
    pub fn receive(&mut self, batch: &mut Batch) -> usize {
        if self.held_len > 0 {
            return 0;
        }
        let waiting = self.from_host.waiting().unwrap_or(0) as usize;
        let first = batch.len();
        let count = waiting.min(batch.room());
        let at_hand = if self.spare.len() <= count { batch.append(&mut self.spare) } else { 0 };
        let count = at_hand + self.pool.alloc_batch(count - at_hand, batch);
        let prefetch = |ahead| self.area.prefetch(self.from_host.glance(ahead) as u32);
        (0..AHEAD.min(count as u32)).for_each(prefetch);
        for ((ahead, packet), held) in (0..).zip(batch.iter_mut().skip(first)).zip(&mut self.held) {
            if ahead + AHEAD < count as u32 {
                prefetch(ahead + AHEAD);
            }
            let entry = Entry::of_record(self.from_host.get(ahead));
            // The trusted side lends slots that exist, and the pool's buffers have their room.
            let _ = packet.set_len(entry.len as usize);
            self.area.read(entry.slot, packet.data_mut());
            packet.set_ingress(PortId(entry.ingress));
            packet.set_egress(PortId(entry.egress));
            packet.set_flow_hash(entry.flow_hash);
            packet.set_timestamp_ns(entry.timestamp_ns);
            packet.set_offload(Offload::from_virtio(&entry.virtio).unwrap_or_default());
            *held = Held { slot: entry.slot, buffer: buffer_of(packet), used: false };
        }
        self.held_len = count;
        self.from_host.advance(count as u32);
        count
    }

    /// Gives all slots of the last [`Guest::receive`] back, with the packets of `batch`, in order: each in the slot
    /// that it came in, a new one in one that is left over. Slots left after that are given back as dropped. The batch
    /// is empty afterwards.
    pub fn send(&mut self, batch: &mut Batch) {
        let (mut written, mut next, mut in_order) = (0, 0, 0);
        // Nearly always the packets are those that came, in order, with gaps.
        for packet in batch.iter() {
            let buffer = buffer_of(packet);
            let Some(ahead) = self.held[next..self.held_len].iter().position(|held| held.buffer == buffer)
            else {
                break;
            };
            self.put(&mut written, next + ahead, packet);
            (next, in_order) = (next + ahead + 1, in_order + 1);
        }
        if in_order < batch.len() {
            self.send_strays(&mut written, batch, in_order);
        }
        if (written as usize) < self.held_len {
            for held in self.held[..self.held_len].iter().filter(|held| !held.used) {
                self.to_host.put(written, Entry::dropped(held.slot).to_record());
                written += 1;
            }
        }
        self.held_len = 0;
        // They are used again, if they begin where new ones would.
        batch.retain(|packet| packet.headroom() == HEADROOM);
        self.spare.append(batch);
        batch.clear();
        if written > 0 && self.to_host.publish(written) {
            self.bell.ring();
        }
    }

    /// Writes a packet into a held slot, unless it is too long.
    #[inline(always)]
    fn put(&mut self, written: &mut u32, at: usize, packet: &Packet) {
        let held = &mut self.held[at];
        if packet.len() <= self.area.layout.room as usize {
            held.used = true;
            self.area.write(held.slot, packet.data());
            self.to_host.put(*written, Entry::of(held.slot, packet).to_record());
            *written += 1;
        }
    }

    /// Sends the packets from `first` on: those that came go into their slots, others into what is left over.
    #[cold]
    fn send_strays(&mut self, written: &mut u32, batch: &Batch, first: usize) {
        let mut places = [None; BATCH];
        let held = &mut self.held[..self.held_len];
        for (place, packet) in places.iter_mut().zip(batch.iter().skip(first)) {
            let buffer = buffer_of(packet);
            *place = held.iter().position(|held| held.buffer == buffer && !held.used);
            place.iter().for_each(|&at| held[at].used = true);
        }
        for (place, packet) in places.into_iter().zip(batch.iter().skip(first)) {
            let left = || self.held[..self.held_len].iter().position(|held| !held.used);
            let Some(at) = place.or_else(left) else {
                self.excess += 1;
                continue;
            };
            self.held[at].used = false;
            self.put(written, at, packet);
        }
    }

    /// Sleeps until packets come; false when the trusted side is gone.
    pub fn wait(&self) -> bool {
        if !self.from_host.prepare_sleep() {
            return true;
        }
        let attended = self.bell.sleep();
        self.from_host.woken();
        attended
    }
}

/// Tells buffers of a pool apart: where the buffer's space starts, wherever in it the packet does.
#[inline]
fn buffer_of(packet: &Packet) -> usize {
    packet.data().as_ptr() as usize - packet.headroom()
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest")
            .field("layout", &self.area.layout)
            .field("held", &self.held_len)
            .finish_non_exhaustive()
    }
}
