//! The guest's side of a domain: packets come in batches of ordinary [`Packet`]s, and go back as they are.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use packet::{BATCH, Batch, HEADROOM, Offload, Packet, Pool, PoolConfig, PortId};

use super::area::{Area, Head};
use super::bell::Bell;
use super::ring::{Reader, Writer};
use super::{Entry, ShmError};

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
    area: Area,
    from_host: Reader,
    to_host: Writer,
    bell: Bell,
    pool: Pool,
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
            pool,
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
        let count = self.pool.alloc_batch(waiting.min(batch.room()), batch);
        for ahead in 0..count {
            let Entry { slot, len } = Entry::from_word(self.from_host.get(ahead as u32));
            let packet = &mut batch[first + ahead];
            // The trusted side lends slots that exist, and the pool's buffers have their room.
            let _ = packet.set_len(len as usize);
            let head = self.area.read(slot, packet.data_mut());
            packet.set_ingress(PortId(head.ingress));
            packet.set_egress(PortId(head.egress));
            packet.set_flow_hash(head.flow_hash);
            packet.set_timestamp_ns(head.timestamp_ns);
            packet.set_offload(Offload::from_virtio(&head.virtio).unwrap_or_default());
            self.held[ahead] = Held { slot, buffer: buffer_of(packet), used: false };
        }
        self.held_len = count;
        self.from_host.advance(count as u32);
        count
    }

    /// Gives all slots of the last [`Guest::receive`] back, with the packets of `batch`, in order: each in the slot
    /// that it came in, a new one in one that is left over. Slots left after that are given back as dropped. The batch
    /// is empty afterwards.
    pub fn send(&mut self, batch: &mut Batch) {
        let slots = self.assign(batch);
        let mut written = 0;
        for (packet, slot) in batch.iter().zip(slots) {
            let Some(slot) = slot else {
                self.excess += 1;
                continue;
            };
            let held = &mut self.held[usize::from(slot)];
            if packet.len() > self.area.layout.room as usize {
                held.used = false;
                continue;
            }
            self.area.write(held.slot, Head::of(packet), packet.data());
            self.to_host.put(written, Entry { slot: held.slot, len: packet.len() as u32 }.to_word());
            written += 1;
        }
        for held in &self.held[..self.held_len] {
            if !held.used {
                self.to_host.put(written, Entry { slot: held.slot, len: Entry::DROPPED }.to_word());
                written += 1;
            }
        }
        self.held_len = 0;
        batch.clear();
        if written > 0 && self.to_host.publish(written) {
            self.bell.ring();
        }
    }

    /// Which of the held slots each packet of a batch goes back in.
    fn assign(&mut self, batch: &Batch) -> [Option<u8>; BATCH] {
        let mut slots = [None; BATCH];
        let held = &mut self.held[..self.held_len];
        // Nearly always the packets are those that came, in order, with gaps.
        let mut next = 0;
        for (slot, packet) in slots.iter_mut().zip(batch) {
            let buffer = buffer_of(packet);
            let found = (next..held.len()).chain(0..next).find(|&at| held[at].buffer == buffer);
            if let Some(at) = found {
                held[at].used = true;
                *slot = Some(at as u8);
                next = at + 1;
            }
        }
        let mut left = held.iter_mut().enumerate().filter(|(_, held)| !held.used);
        for slot in slots[..batch.len()].iter_mut().filter(|slot| slot.is_none()) {
            let Some((at, held)) = left.next() else { break };
            held.used = true;
            *slot = Some(at as u8);
        }
        slots
    }

    /// Sleeps until packets come; false when the trusted side is gone.
    pub fn wait(&self) -> bool {
        if self.from_host.prepare_sleep() {
            self.bell.wait(None);
            self.from_host.woken();
        }
        !self.bell.is_alone()
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
