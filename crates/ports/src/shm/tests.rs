//! An honest guest: everything arrives, in order, as what it was.

use std::time::Duration;

use packet::{Checksum, SegmentKind, Segmentation};
use proptest::prelude::*;

use super::*;
use packet::{BATCH, Batch, Offload, Pool, PoolConfig, PortId};

pub(super) fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 256, room: 256, headroom: 32, ..PoolConfig::default() }).unwrap()
}

fn domain(slots: u32) -> (Domain, Guest) {
    let (domain, end) = Domain::create(Config { slots, room: 256 }).unwrap();
    (domain, Guest::attach(end.memory, end.wake).unwrap())
}

fn batch(pool: &Pool, packets: &[&[u8]]) -> Batch {
    let mut batch = Batch::new();
    for bytes in packets {
        batch.push(pool.packet(bytes).unwrap()).unwrap();
    }
    batch
}

/// Every length that is copied in its own way, and what is beside it: nothing but the packet crosses.
#[test]
fn packets_of_every_length_cross_whole_and_alone() {
    let pool = pool();
    let (mut domain, mut guest) = domain(1);
    let (mut work, mut back) = (Batch::new(), Batch::new());
    for len in (0..=256).chain((0..=256).rev()) {
        let frame: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8 | 1).collect();
        let mut sent = batch(&pool, &[&[0xee; 256]]);
        sent[0].data_mut()[..len].copy_from_slice(&frame);
        sent[0].truncate(len);
        domain.send(&mut sent);
        guest.receive(&mut work);
        assert_eq!(work[0].data(), frame);
        let behind = &work[0].room_mut()[len..];
        assert!(!behind.contains(&0xee), "bytes behind a packet of {len} crossed");
        work[0].data_mut().iter_mut().for_each(|byte| *byte ^= 0x10);
        guest.send(&mut work);
        assert_eq!(domain.receive(&mut back), 1);
        let changed: Vec<u8> = frame.iter().map(|byte| byte ^ 0x10).collect();
        assert_eq!(back.pop().unwrap().data(), changed);
    }
}

fn bytes(batch: &Batch) -> Vec<Vec<u8>> {
    batch.iter().map(|packet| packet.data().to_vec()).collect()
}

#[test]
fn a_packet_keeps_what_is_the_trusted_sides_and_takes_on_what_the_guest_says() {
    let (pool, (mut domain, mut guest)) = (pool(), domain(4));
    let mut packets = batch(&pool, &[b"frame"]);
    let mut layout = packet::MetaLayout::default();
    let tenant = layout.slot::<u32>().unwrap();
    packets[0].set(tenant, 77);
    packets[0].set_ingress(PortId(3));
    packets[0].set_timestamp_ns(42);
    packets[0]
        .set_offload(Offload { checksum: Checksum::Partial { start: 34, offset: 6 }, segmentation: None });
    let buffer = packets[0].data().as_ptr();
    domain.set_now_ns(7);
    assert_eq!((domain.send(&mut packets), guest.now_ns()), (1, 7));

    let mut work = Batch::new();
    assert_eq!(guest.receive(&mut work), 1);
    assert_eq!((work[0].data(), work[0].ingress(), work[0].timestamp_ns()), (&b"frame"[..], PortId(3), 42));
    assert_eq!(work[0].offload().checksum, Checksum::Partial { start: 34, offset: 6 });
    work[0].prepend(2).unwrap().copy_from_slice(b"<<");
    work[0].append(240).unwrap().fill(b'>');
    let segmentation = Segmentation { kind: SegmentKind::TcpV4, ecn: false, size: 100, header_len: 54 };
    work[0].set_offload(Offload { checksum: Checksum::Unknown, segmentation: Some(segmentation) });
    work[0].set_egress(PortId(9));
    work[0].set_ingress(PortId(8));
    work[0].set_timestamp_ns(43);
    guest.send(&mut work);

    assert_eq!(domain.receive(&mut packets), 1);
    let packet = &packets[0];
    assert_eq!((packet.len(), &packet.data()[..8], packet.data()[246]), (247, &b"<<frame>"[..], b'>'));
    assert_eq!(packet.data().as_ptr(), buffer, "it is the very packet that was lent");
    assert_eq!((packet.ingress(), packet.timestamp_ns(), packet.get(tenant)), (PortId(3), 42, 77));
    assert_eq!((packet.egress(), packet.offload().segmentation), (PortId(9), Some(segmentation)));
    assert_eq!(domain.counters(), Counters { sent: 1, received: 1, ..Counters::default() });
}

#[test]
fn a_packet_grows_into_its_headroom_where_its_tail_ends() {
    let pool = Pool::new(PoolConfig { buffers: 2, room: 8, headroom: 8, ..PoolConfig::default() }).unwrap();
    let (mut domain, mut guest) = domain(2);
    let mut packets = batch(&pool, &[b"12345678", b"12345678"]);
    domain.send(&mut packets);
    let mut work = Batch::new();
    guest.receive(&mut work);
    work[0].append(8).unwrap().fill(b'+');
    work[1].append(9).unwrap().fill(b'+');
    guest.send(&mut work);
    assert_eq!(domain.receive(&mut packets), 1, "the other is longer than its buffer");
    assert_eq!(packets[0].data(), b"12345678++++++++");
    assert_eq!((domain.counters().too_long, domain.in_flight()), (1, 0));
    drop(packets);
    assert_eq!(pool.available(), 2);
}

#[test]
fn what_cannot_be_lent_waits_or_is_counted() {
    let (pool, (mut domain, _guest)) = (pool(), domain(2));
    let mut packets = batch(&pool, &[&[0; 256], b"a", b"b", b"c"]);
    packets[0].prepend(1).unwrap();
    assert_eq!(domain.send(&mut packets), 2, "the long one is gone, one is lent");
    assert_eq!(domain.send(&mut packets), 1);
    assert_eq!((packets.len(), domain.send(&mut packets)), (1, 0));
    assert_eq!((domain.counters().too_long, domain.counters().sent, domain.in_flight()), (1, 2, 2));
}

#[test]
fn a_guest_may_answer_hold_back_and_drop_but_not_make_more_of_what_it_was_lent() {
    let (pool, (mut domain, mut guest)) = (pool(), domain(8));
    let (mut out, mut work) = (batch(&pool, &[b"a", b"b", b"c"]), Batch::new());
    domain.send(&mut out);
    guest.receive(&mut work);
    assert_eq!(guest.receive(&mut Batch::new()), 0, "one batch at a time");
    let held_back = work.pop().unwrap();
    work.retain(|packet| packet.data() != b"a");
    guest.send(&mut work);
    domain.receive(&mut out);
    assert_eq!((bytes(&out), domain.counters().dropped), (vec![b"b".to_vec()], 2));

    out.clear();
    let mut next = batch(&pool, &[b"d", b"e"]);
    domain.send(&mut next);
    guest.receive(&mut work);
    let new = guest.pool().packet(b"new").unwrap();
    let last = work.pop().unwrap();
    drop(work.pop());
    for packet in [held_back, new, last] {
        work.push(packet).unwrap();
    }
    guest.send(&mut work);
    domain.receive(&mut out);
    assert_eq!(bytes(&out), [b"c".to_vec(), b"e".to_vec()], "in order, as many as came in");
    assert_eq!((guest.excess(), domain.in_flight(), domain.counters().faults.any()), (1, 0, false));
}

#[test]
fn a_guest_that_ends_is_noticed_and_its_packets_are_there() {
    let (pool, (mut domain, mut guest)) = (pool(), domain(64));
    assert!(!domain.peer_gone());
    let numbered: Vec<[u8; 1]> = (0..40).map(|number| [number]).collect();
    for chunk in numbered.chunks(20) {
        let chunk: Vec<&[u8]> = chunk.iter().map(<[u8; 1]>::as_slice).collect();
        domain.send(&mut batch(&pool, &chunk));
    }
    let mut work = Batch::new();
    assert_eq!(guest.receive(&mut work), BATCH);
    drop(guest);
    domain.wait(Duration::from_secs(60));
    assert!(domain.peer_gone());
    drop(work);
    let Reclaimed { lost, unseen } = domain.reclaim();
    assert_eq!(lost, BATCH);
    assert_eq!(
        unseen.iter().map(|packet| packet.data()[0]).collect::<Vec<_>>(),
        (32..40).collect::<Vec<_>>()
    );
    drop(unseen);
    assert_eq!(pool.available(), 256);
}

#[test]
fn a_guest_sleeps_until_there_is_work_and_ends_with_the_trusted_side() {
    let (pool, (mut domain, mut guest)) = (pool(), domain(64));
    let thread = std::thread::spawn(move || {
        let (mut work, mut count) = (Batch::new(), 0);
        while guest.wait() {
            while guest.receive(&mut work) > 0 {
                count += work.len();
                guest.send(&mut work);
            }
        }
        count
    });
    let mut back = Batch::new();
    for round in 0..1000_u32 {
        domain.send(&mut batch(&pool, &[&round.to_ne_bytes()]));
        while domain.receive(&mut back) == 0 {
            domain.wait(Duration::from_secs(60));
        }
        assert_eq!(back.pop().unwrap().data(), round.to_ne_bytes());
    }
    drop(domain);
    assert_eq!(thread.join().unwrap(), 1000);
}

#[test]
fn other_memory_is_refused() {
    let (_domain, end) = Domain::create(Config { slots: 2, room: 64 }).unwrap();
    let other = rustix::fs::memfd_create("other", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::io::pwrite(&other, &[0xff; 100], 0).unwrap();
    let error = Guest::attach(other, end.wake).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is no packet memory: it begins with 0xffffffffffffffff and has 100 bytes"
    );
    for size in [0, 1 << 30] {
        assert!(rustix::fs::ftruncate(&end.memory, size).is_err(), "sealed");
    }
}

#[test]
fn a_guest_is_briefed_and_answers_what_it_is_asked() {
    let (mut domain, end) = Domain::create(Config { slots: 2, room: 64 }).unwrap();
    assert!(matches!(domain.brief(&vec![0; NOTE_MAX + 1]), Err(ShmError::Note(65_537))));
    domain.brief(b"the key").unwrap();
    let mut guest = Guest::attach(end.memory, end.wake).unwrap();
    assert_eq!((guest.brief(), guest.asked()), (b"the key".to_vec(), None));
    assert_eq!(domain.answer(Duration::ZERO), None, "nothing was asked");
    domain.ask(7);
    assert_eq!((guest.asked(), domain.answer(Duration::ZERO)), (Some(7), None));
    guest.answer(b"seven");
    assert_eq!((guest.asked(), domain.answer(Duration::ZERO)), (None, Some(b"seven".to_vec())));
    // The answer to what was asked before is none to what was asked last.
    domain.ask(7);
    domain.ask(8);
    assert_eq!((domain.answer(Duration::ZERO), guest.asked()), (None, Some(8)));
    guest.answer(&vec![b'8'; NOTE_MAX + 1]);
    assert_eq!(domain.answer(Duration::from_secs(60)), Some(vec![b'8'; NOTE_MAX]));
    // Notes do not touch packets.
    let pool = pool();
    domain.send(&mut batch(&pool, &[b"frame"]));
    let mut work = Batch::new();
    guest.receive(&mut work);
    guest.answer(&[0xff; 999]);
    guest.send(&mut work);
    let mut back = Batch::new();
    assert_eq!((domain.receive(&mut back), bytes(&back)), (1, vec![b"frame".to_vec()]));
}

#[test]
fn a_question_wakes_a_guest_and_its_end_ends_the_wait() {
    let (domain, mut guest) = domain(2);
    let thread = std::thread::spawn(move || {
        let mut answered = 0;
        while guest.wait() {
            if let Some(question) = guest.asked() {
                guest.answer(&question.to_ne_bytes());
                answered += 1;
                if question == 99 {
                    break;
                }
            }
        }
        answered
    });
    for question in 0..100_u32 {
        domain.ask(question);
        assert_eq!(domain.answer(Duration::from_secs(60)), Some(question.to_ne_bytes().to_vec()));
    }
    assert_eq!(thread.join().unwrap(), 100);
    domain.ask(1);
    assert_eq!(domain.answer(Duration::from_secs(3600)), None);
}

/// What a guest does to a batch: for each packet whether it keeps it and how long it makes it.
fn treatment() -> impl Strategy<Value = Vec<Vec<(bool, u16)>>> {
    prop::collection::vec(prop::collection::vec((any::<bool>(), 0_u16..256), 0..=BATCH), 1..20)
}

proptest! {
    /// The twin: a list from which the dropped packets are taken, and the others cut to their new length.
    #[test]
    fn what_comes_back_is_what_a_list_would_hold(rounds in treatment(), slots in 1_u32..64) {
        let (pool, (mut domain, mut guest)) = (pool(), domain(slots));
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        let (mut work, mut back, mut number) = (Batch::new(), Batch::new(), 0_u8);
        for round in rounds {
            let lens: Vec<Vec<u8>> = round.iter().map(|(_, len)| {
                number = number.wrapping_add(1);
                vec![number; usize::from(*len)]
            }).collect();
            let mut out = batch(&pool, &lens.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let sent = domain.send(&mut out);
            prop_assert_eq!(sent, round.len().min(domain.slots()));
            guest.receive(&mut work);
            let mut keeps = round.iter();
            work.retain(|packet| {
                let (keep, len) = keeps.next().unwrap();
                packet.truncate(usize::from(*len) / 2);
                *keep
            });
            guest.send(&mut work);
            let kept = lens[..sent].iter().zip(&round).filter(|(_, (keep, _))| *keep);
            expected.extend(kept.map(|(bytes, _)| bytes[..bytes.len() / 2].to_vec()));
            domain.receive(&mut back);
            got.extend(bytes(&back));
            back.clear();
            prop_assert_eq!(domain.in_flight(), 0);
        }
        prop_assert_eq!(got, expected);
        prop_assert!(!domain.counters().faults.any());
        prop_assert_eq!(pool.available(), 256);
    }
}
