use packet::wire::{EtherType, IpProtocol, ipv4, ipv6};
use packet::{PoolConfig, ROOM_GSO};
use proptest::prelude::*;

use super::super::frames::{datagram, framed, packets};
use super::*;
use crate::engine::rig::{Own, Rig};

fn large() -> Pool {
    Pool::new(PoolConfig { buffers: 512, room: ROOM_GSO, ..PoolConfig::default() }).unwrap()
}

fn rig(pool: &Pool) -> Own<IpDefrag> {
    Rig::new(IpDefrag::new(pool.clone(), 100, 7).unwrap())
}

/// A whole frame of either version, of `length` bytes of UDP payload.
fn whole(six: bool, length: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    if six {
        return datagram(["[fd00::1]:1000", "[fd00::2]:2000"], &payload);
    }
    let mut frame = datagram(["10.0.0.1:1000", "10.0.0.2:2000"], &payload);
    let mut ip = ipv4::View::new_unchecked(&mut frame[14..]);
    ip.set_fragment(false, false, 0);
    ip.set_ident(7);
    ip.fill_checksum();
    frame
}

/// The fragment of a whole frame that has these bytes of its payload.
fn fragment(frame: &[u8], start: usize, end: usize, more: bool) -> Vec<u8> {
    let six = frame[12] == 0x86;
    if !six {
        let mut packet = [&frame[14..34], &frame[34 + start..34 + end]].concat();
        let total = packet.len();
        let mut ip = ipv4::View::new_unchecked(&mut packet[..]);
        ip.set_total_len(total);
        ip.set_fragment(false, more, start as u16);
        ip.fill_checksum();
        return framed(EtherType::IPV4, &packet);
    }
    let place = (start as u16 | u16::from(more)).to_be_bytes();
    let header = [17, 0, place[0], place[1], 0, 0, 0, 7];
    let mut packet = [&frame[14..54], &header, &frame[54 + start..54 + end]].concat();
    let length = packet.len() - 40;
    let mut ip = ipv6::View::new_unchecked(&mut packet[..]);
    ip.set_payload_len(length);
    ip.set_next_header(IpProtocol::FRAGMENT);
    framed(EtherType::IPV6, &packet)
}

fn give(rig: &mut Own<IpDefrag>, pool: &Pool, frames: &[Vec<u8>]) -> Vec<(Gate, Vec<u8>)> {
    let mut left = Vec::new();
    for frames in frames.chunks(32) {
        left.extend(rig.process(0, frames.iter().map(|frame| pool.packet(frame).unwrap())));
    }
    left.into_iter().map(|(gate, packet)| (gate, packet.data().to_vec())).collect()
}

proptest! {
    #[test]
    fn fragments_in_any_order_are_the_packet(
        six: bool, length in 1..5000usize, cuts in prop::collection::vec(1..600usize, 0..20), seed: u64, padding in 0..20usize,
    ) {
        let pool = large();
        let frame = whole(six, length);
        let payload = length + 8;
        let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut * 8).filter(|end| *end < payload).collect();
        ends.push(payload);
        ends.sort_unstable();
        ends.dedup();
        prop_assume!(ends.len() > 1);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let mut parts: Vec<Vec<u8>> = starts
            .zip(&ends)
            .map(|(start, end)| [&fragment(&frame, start, *end, *end < payload)[..], &vec![9; padding]].concat())
            .collect();
        let mut random = netbricks::functions::Random::new(seed);
        parts.sort_by_cached_key(|_| random.draw());
        let mut rig = rig(&pool);
        let left = give(&mut rig, &pool, &parts);
        prop_assert_eq!(left.len(), 1);
        prop_assert_eq!(&left[0], &(1, frame));
        prop_assert_eq!((rig.module.held(), rig.module.wholes.len(), rig.dropped), (0, 0, 0));
        drop(rig);
        prop_assert_eq!(pool.available(), 512);
    }
}

#[test]
fn what_is_whole_passes() {
    let pool = large();
    let mut rig = rig(&pool);
    let frame = whole(false, 100);
    assert_eq!(give(&mut rig, &pool, std::slice::from_ref(&frame)), [(1, frame.clone())]);
    let lldp = framed(EtherType::LLDP, &[0; 20]);
    let first = fragment(&frame, 0, 56, true);
    let last = fragment(&frame, 56, 108, false);
    let left = give(&mut rig, &pool, &[first, lldp.clone(), last]);
    assert_eq!(left, [(1, lldp), (1, frame)]);
    assert_eq!(rig.process(0, packets(3)).len(), 3);
}

#[test]
fn packets_are_told_apart() {
    let pool = large();
    let mut rig = rig(&pool);
    let frame = whole(false, 100);
    let mut other = frame.clone();
    other[19] = 8; // another identification
    let mut ip = ipv4::View::new_unchecked(&mut other[14..]);
    ip.fill_checksum();
    let parts = [fragment(&frame, 0, 56, true), fragment(&other, 56, 108, false)];
    assert!(give(&mut rig, &pool, &parts).is_empty());
    let rest = [fragment(&frame, 56, 108, false), fragment(&other, 0, 56, true)];
    assert_eq!(give(&mut rig, &pool, &rest), [(1, frame), (1, other)]);
}

#[test]
fn what_overlaps_or_contradicts_itself_is_given_up() {
    let frame = whole(false, 200);
    let part = |start, end, more| fragment(&frame, start, end, more);
    for (parts, cause, count) in [
        (vec![part(0, 64, true), part(56, 120, true)], OVERLAP, 2),
        (vec![part(64, 128, true), part(0, 128, true)], OVERLAP, 2),
        (vec![part(0, 64, true), part(0, 64, true)], DUPLICATE, 1),
        (vec![part(120, 208, false), part(64, 112, false)], END, 2),
        (vec![part(120, 176, true), part(64, 112, false)], END, 2),
        (vec![part(64, 112, false), part(120, 176, true)], END, 2),
    ] {
        let pool = large();
        let mut rig = rig(&pool);
        assert!(give(&mut rig, &pool, &parts).is_empty());
        assert_eq!(rig.module.drops().of(cause), count, "{cause}");
        assert_eq!(rig.dropped, 1);
        assert_eq!(rig.module.held(), 2 - count as usize);
        assert!(rig.module.status().contains(&cause.to_string()));
    }
}

#[test]
fn what_does_not_come_is_not_waited_for() {
    let pool = large();
    let mut rig = rig(&pool);
    let frame = whole(true, 200);
    give(&mut rig, &pool, &[fragment(&frame, 0, 64, true), fragment(&frame, 128, 208, false)]);
    assert_eq!((rig.module.held(), rig.module.deadline_ns()), (2, Some(WAIT_NS)));
    rig.at(WAIT_NS).expire();
    assert_eq!((rig.module.held(), rig.module.drops().of(TIME), pool.available()), (0, 2, 512));
    assert!(give(&mut rig, &pool, &[fragment(&frame, 64, 128, true)]).is_empty());
}

#[test]
fn malformed_fragments_leave_at_gate_0() {
    let pool = large();
    let mut rig = rig(&pool);
    let frame = whole(false, 200);
    let odd = fragment(&frame, 0, 63, true);
    let mut far = fragment(&frame, 8, 64, true);
    let mut ip = ipv4::View::new_unchecked(&mut far[14..]);
    ip.set_fragment(false, true, 65_528);
    ip.fill_checksum();
    let cut = fragment(&frame, 0, 64, true)[..30].to_vec();
    let all = [odd, far, cut];
    assert_eq!(give(&mut rig, &pool, &all), all.map(|frame| (0, frame)));
}

#[test]
fn what_fits_no_buffer_leaves_as_it_came() {
    let large = large();
    let small = Pool::new(PoolConfig { buffers: 4, room: 256, ..PoolConfig::default() }).unwrap();
    let mut rig = Rig::new(IpDefrag::new(small, 100, 7).unwrap());
    let frame = whole(false, 400);
    let [first, last] = [fragment(&frame, 0, 200, true), fragment(&frame, 200, 408, false)];
    assert_eq!(give(&mut rig, &large, &[last.clone(), first.clone()]), [(0, first), (0, last)]);
    assert_eq!(rig.module.held(), 0);
}

#[test]
fn there_are_limits() {
    let pool = large();
    assert_eq!(IpDefrag::new(pool.clone(), 0, 1).err(), Some(IpDefragError(0)));
    assert_eq!(IpDefrag::new(pool.clone(), 65_537, 1).err(), Some(IpDefragError(65_537)));
    let frame = whole(false, 1000);
    let parts: Vec<Vec<u8>> = (0..66).map(|at| fragment(&frame, at * 8, at * 8 + 8, true)).collect();
    let mut rig = rig(&pool);
    give(&mut rig, &pool, &parts);
    assert_eq!((rig.module.drops().of(PIECES), rig.module.held()), (65, 1));
    let mut one = Rig::new(IpDefrag::new(pool.clone(), 1, 1).unwrap());
    let mut other = fragment(&frame, 0, 8, true);
    other[19] = 9;
    give(&mut one, &pool, &[fragment(&frame, 0, 8, true), other]);
    assert_eq!((one.module.drops().of(FULL), one.module.held(), one.dropped), (1, 1, 1));
}
