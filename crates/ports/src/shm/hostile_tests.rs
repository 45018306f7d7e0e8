//! Guests that are not honest: nothing they write makes the trusted side panic, hang, lose a buffer or see a packet
//! twice. They write through the memory's descriptor, as a process with its own mapping would.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use packet::{BATCH, Batch, Packet, Pool};
use proptest::prelude::*;

use super::area::{Layout, places};
use super::tests::pool;
use super::*;

const CONFIG: Config = Config { slots: 32, room: 256 };

/// A guest that writes what it likes to the ring.
struct Forger {
    memory: OwnedFd,
    tail: u32,
}

impl Forger {
    fn layout() -> Layout {
        Layout::new(CONFIG).unwrap()
    }

    fn poke(&self, at: usize, bytes: &[u8]) {
        rustix::io::pwrite(&self.memory, bytes, at as u64).unwrap();
    }

    fn set_tail(&mut self, tail: u32) {
        self.tail = tail;
        self.poke(places::TO_HOST_TAIL, &tail.to_ne_bytes());
    }

    fn publish(&mut self, entry: Entry) {
        let size = size_of_val(&entry.to_record());
        let at = places::to_host_entries(Self::layout()) + (self.tail % CONFIG.slots) as usize * size;
        self.poke(at, &entry.to_record().map(u64::to_ne_bytes).concat());
        self.set_tail(self.tail.wrapping_add(1));
    }
}

fn forged() -> (Domain, Forger) {
    let (domain, end) = Domain::create(CONFIG).unwrap();
    (domain, Forger { memory: end.memory, tail: 0 })
}

fn lend(pool: &Pool, domain: &mut Domain, count: usize) {
    let mut batch = Batch::new();
    for number in 0..count {
        batch.push(pool.packet(&[number as u8; 60]).unwrap()).unwrap();
    }
    domain.send(&mut batch);
}

#[test]
fn a_slot_given_back_twice_or_made_up_is_no_packet() {
    let (pool, (mut domain, mut forger)) = (pool(), forged());
    lend(&pool, &mut domain, 2);
    for slot in [0, 0, 5, 32, u32::MAX, 1] {
        forger.publish(Entry { slot, len: 60, ..Entry::default() });
    }
    let mut batch = Batch::new();
    assert_eq!(domain.receive(&mut batch), 2);
    assert_eq!(domain.counters().faults, Faults { slot: 4, ..Faults::default() });
    assert_eq!(domain.in_flight(), 0);
}

#[test]
fn lengths_and_offload_states_that_cannot_be_end_their_packet_only() {
    let (pool, (mut domain, mut forger)) = (pool(), forged());
    lend(&pool, &mut domain, 4);
    forger.publish(Entry { slot: 0, len: 257, ..Entry::default() });
    forger.publish(Entry { slot: 1, len: u32::MAX - 1, ..Entry::default() });
    // virtio_net_hdr::gso_type.
    let virtio = [0, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0];
    forger.publish(Entry { slot: 2, len: 60, virtio, ..Entry::default() });
    forger.publish(Entry { slot: 3, len: 0, ..Entry::default() });
    let mut batch = Batch::new();
    assert_eq!(domain.receive(&mut batch), 1);
    assert!(batch[0].is_empty());
    assert_eq!(domain.counters().faults, Faults { length: 2, offload: 1, ..Faults::default() });
    drop((batch, domain));
    assert_eq!(pool.available(), pool.capacity());
}

#[test]
fn a_position_out_of_reach_yields_nothing_and_is_counted() {
    let (pool, (mut domain, mut forger)) = (pool(), forged());
    lend(&pool, &mut domain, 3);
    for tail in [33, u32::MAX, 1 << 31] {
        forger.set_tail(tail);
        assert_eq!(domain.receive(&mut Batch::new()), 0);
    }
    assert_eq!(domain.counters().faults, Faults { position: 3, ..Faults::default() });
    assert_eq!((domain.in_flight(), domain.reclaim().lost), (3, 3));
}

#[test]
fn an_answer_that_cannot_be_is_none() {
    let (domain, forger) = forged();
    domain.ask(1);
    let answered = |number: u32, len: u64| {
        let word = u64::from(number) << 32 | len;
        forger.poke(places::ANSWERED, &word.to_ne_bytes());
        domain.answer(std::time::Duration::ZERO)
    };
    for (number, len) in [(0, 1), (2, 1), (1, NOTE_MAX as u64 + 1), (1, u64::from(u32::MAX))] {
        assert_eq!(answered(number, len), None, "{number} {len}");
    }
    assert_eq!(answered(1, NOTE_MAX as u64), Some(vec![0; NOTE_MAX]));
}

/// What a forger does next.
#[derive(Clone, Debug)]
enum Act {
    Publish(u32, u32),
    Tail(u32),
    Poke(u16, Vec<u8>),
    Lend(usize),
    Receive,
}

fn act() -> impl Strategy<Value = Act> {
    let slot = prop_oneof![8 => 0_u32..32, 1 => any::<u32>()];
    let len = prop_oneof![8 => 0_u32..=257, 1 => any::<u32>(), 1 => Just(Entry::DROPPED)];
    prop_oneof![
        6 => (slot, len).prop_map(|(slot, len)| Act::Publish(slot, len)),
        1 => any::<u32>().prop_map(Act::Tail),
        2 => (any::<u16>(), prop::collection::vec(any::<u8>(), 1..64)).prop_map(|(at, bytes)| Act::Poke(at, bytes)),
        3 => (0..=BATCH).prop_map(Act::Lend),
        3 => Just(Act::Receive),
    ]
}

proptest! {
    /// The twin is a set of the buffers that are lent: each comes out of it once, by a receive or at the end.
    #[test]
    fn every_buffer_comes_home_once_whatever_is_forged(acts in prop::collection::vec(act(), 1..100)) {
        let (pool, (mut domain, mut forger)) = (pool(), forged());
        let buffer = |packet: &Packet| packet.data().as_ptr() as usize - packet.headroom();
        let mut lent = HashSet::new();
        for act in acts {
            match act {
                Act::Publish(slot, len) => forger.publish(Entry { slot, len, ..Entry::default() }),
                Act::Tail(tail) => forger.set_tail(tail),
                Act::Poke(at, bytes) => {
                    let end = Forger::layout().len() - bytes.len();
                    forger.poke(usize::from(at) % end, &bytes);
                }
                Act::Lend(count) => {
                    let mut batch = Batch::new();
                    for _ in 0..count {
                        batch.push(pool.packet(&[7; 60]).unwrap()).unwrap();
                    }
                    let buffers: Vec<_> = batch.iter().map(buffer).collect();
                    let sent = domain.send(&mut batch);
                    lent.extend(buffers.into_iter().take(sent));
                }
                Act::Receive => {
                    let mut batch = Batch::new();
                    domain.receive(&mut batch);
                    for packet in &batch {
                        prop_assert!(lent.remove(&buffer(packet)), "a packet that was not lent, or came before");
                        prop_assert!(packet.len() <= 256);
                    }
                }
            }
            prop_assert!(domain.in_flight() <= lent.len());
            prop_assert_eq!(pool.available(), pool.capacity() - domain.in_flight());
        }
        let in_flight = domain.in_flight();
        let reclaimed = domain.reclaim();
        prop_assert_eq!(reclaimed.lost + reclaimed.unseen.len(), in_flight);
        drop(reclaimed);
        prop_assert_eq!(pool.available(), pool.capacity());
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Writes random bytes over all of the memory, the words of the rings most of all, until told to stop.
fn scribble(memory: &OwnedFd, stop: &AtomicBool, mut random: Random) {
    let layout = Forger::layout();
    let entries = places::to_host_entries(layout);
    while !stop.load(Ordering::Relaxed) {
        let at = match random.next() % 4 {
            0 => places::TO_HOST_TAIL,
            1 => entries + (random.next() % (u64::from(CONFIG.slots) * 5)) as usize * 8,
            _ => (random.next() % (layout.len() as u64 - 8)) as usize,
        };
        // Mostly small numbers: slots and positions that might be right.
        let value =
            if random.next().is_multiple_of(4) { random.next() } else { random.next() & 0x7f_0000_001f };
        rustix::io::pwrite(memory, &value.to_ne_bytes(), at as u64).unwrap();
    }
}

#[test]
fn a_guest_that_scribbles_over_everything_harms_only_itself() {
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    let (pool, stop) = (pool(), AtomicBool::new(false));
    let (mut domain, end) = Domain::create(CONFIG).unwrap();
    let mut received = 0;
    std::thread::scope(|scope| {
        let scribbler = scope.spawn(|| scribble(&end.memory, &stop, Random(seed)));
        let started = std::time::Instant::now();
        while started.elapsed() < std::time::Duration::from_secs(1) {
            lend(&pool, &mut domain, BATCH);
            let mut batch = Batch::new();
            domain.receive(&mut batch);
            received += batch.len();
            assert!(batch.iter().all(|packet| packet.len() <= CONFIG.room as usize));
            assert_eq!(pool.available(), pool.capacity() - domain.in_flight() - batch.len());
        }
        stop.store(true, Ordering::Relaxed);
        scribbler.join().unwrap();
    });
    let faults = domain.counters().faults;
    assert!(faults.position > 0 && faults.slot > 0 && received > 0, "{faults:?}, {received} received");
    drop(domain);
    assert_eq!(pool.available(), pool.capacity());
}
