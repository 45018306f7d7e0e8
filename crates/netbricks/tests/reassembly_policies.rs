//! Overlaps: the pattern that tells hosts apart, and a slow twin that decides byte by byte.

use std::collections::BTreeMap;

use netbricks::reassembly::{Event, Policy, Segment, Shared, Stream, StreamConfig};
use packet::wire::tcp::Flags;
use proptest::prelude::*;

/// What one stream told: bytes, and `None` for each byte of a gap.
#[derive(Default)]
struct Heard {
    bytes: Vec<Option<u8>>,
    conflicts: usize,
}

impl Heard {
    fn hear(&mut self, event: Event<'_>) {
        match event {
            Event::Data { offset, bytes } => {
                assert_eq!(offset, self.bytes.len() as u64);
                self.bytes.extend(bytes.iter().copied().map(Some));
            }
            Event::Gap { offset, len, .. } => {
                assert_eq!(offset, self.bytes.len() as u64);
                self.bytes.extend((0..len).map(|_| None));
            }
            Event::Conflict { .. } => self.conflicts += 1,
            _ => {}
        }
    }
}

/// Runs segments, by their offsets, through a stream whose first byte has the sequence number `first`.
fn run(policy: Policy, first: u32, chunk_bytes: usize, segments: &[(u32, Vec<u8>)]) -> Heard {
    let mut shared =
        Shared::new(StreamConfig { chunk_bytes, pool_bytes: 100 * chunk_bytes, ..StreamConfig::default() });
    let (mut stream, mut heard) = (Stream::new(policy), Heard::default());
    stream.begin(first);
    for (offset, payload) in segments {
        let sequence = first.wrapping_add(*offset);
        let segment = Segment { sequence, flags: Flags::ACK, urgent: 0, payload };
        stream.segment(&mut shared, &segment, &mut |event| heard.hear(event)).unwrap();
    }
    stream.close(&mut shared, &mut |event| heard.hear(event));
    assert_eq!(shared.used_bytes(), 0);
    heard
}

/// Every way two segments can lie to each other, as in Shankar and Paxson's and in Novak and Sturges' experiments: nine
/// segments behind a hole, eight over them, and last the one that fills the hole. Positions and outcomes are the ones
/// Suricata holds its `host-os-policy` to; its Vista is our `First`.
const PATTERN: [(u32, &str); 18] = [
    (1, "AAA"),
    (5, "BB"),
    (7, "CCC"),
    (11, "D"),
    (14, "EE"),
    (16, "FFF"),
    (19, "GG"),
    (21, "HH"),
    (23, "I"),
    (2, "JJJJ"), // begins inside A, ends inside B
    (7, "KKK"),  // lies where C lies
    (10, "LLL"), // covers D on both sides
    (13, "MMM"), // begins before E and ends with it
    (17, "N"),   // inside F
    (20, "O"),   // begins inside G and ends with it
    (21, "P"),   // begins with H and ends before it
    (23, "QQ"),  // begins with I and ends after it
    (0, "0"),
];

#[test]
fn the_pattern_tells_the_policies_apart() {
    let segments = PATTERN.map(|(offset, text)| (offset, text.as_bytes().to_vec()));
    for (policy, expected) in [
        (Policy::First, "0AAAJBBCCCLDLMEEFFFGGHHIQ"),
        (Policy::Last, "0AJJJJBKKKLLLMMMFNFGOPHQQ"),
        (Policy::Bsd, "0AAAJJBCCCLLLMMMFFFGGHHIQ"),
        (Policy::Linux, "0AAAJJBCCCLLLMMMFFFGGHHQQ"),
        (Policy::OldLinux, "0AAAJJBKKKLLLMMMFFFGGHHQQ"),
    ] {
        for first in [1, u32::MAX, u32::MAX - 10] {
            for chunk_bytes in [1, 2, 3, 1500] {
                let heard = run(policy, first, chunk_bytes, &segments);
                let text: String = heard.bytes.iter().map(|byte| char::from(byte.unwrap_or(b'_'))).collect();
                assert_eq!(text, expected, "{policy} from {first} in chunks of {chunk_bytes}");
                assert!(heard.conflicts >= 8, "{policy}: {} conflicts", heard.conflicts);
            }
        }
    }
}

#[test]
fn an_empty_segment_far_ahead_shows_a_hole_that_later_bytes_do_not_hide() {
    let heard = run(Policy::First, 1000, 1, &[(7, vec![]), (0, vec![5])]);
    assert_eq!(heard.bytes, [&[Some(5)][..], &[None; 6]].concat());
}

/// The obvious twin: of every byte, whose it is.
fn twin(policy: Policy, segments: &[(u32, Vec<u8>)]) -> (Vec<Option<u8>>, bool) {
    let mut bytes: BTreeMap<u32, (u8, u32, u32)> = BTreeMap::new();
    let (mut next, mut end, mut conflict) = (0, 0, false);
    for (start, payload) in segments {
        let stop = start + payload.len() as u32;
        end = end.max(stop);
        for (at, &byte) in (*start..stop).zip(payload).filter(|(at, _)| *at >= next) {
            if let Some((old, old_start, old_stop)) = bytes.get(&at) {
                conflict |= *old != byte;
                let takes = match policy {
                    Policy::First => false,
                    Policy::Last => true,
                    Policy::Bsd => start < old_start,
                    Policy::Linux => start < old_start || start == old_start && stop > *old_stop,
                    Policy::OldLinux => start < old_start || start == old_start && stop >= *old_stop,
                };
                if !takes {
                    continue;
                }
            }
            bytes.insert(at, (byte, *start, stop));
        }
        while bytes.contains_key(&next) {
            next += 1;
        }
    }
    ((0..end).map(|at| bytes.get(&at).map(|(byte, ..)| *byte)).collect(), conflict)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn bytes_are_those_of_the_twin(
        policy in prop::sample::select(&Policy::ALL[..]),
        first in prop_oneof![Just(1000u32), u32::MAX - 40..=u32::MAX],
        chunk_bytes in 1usize..20,
        segments in prop::collection::vec((0u32..40, prop::collection::vec(0u8..3, 0..14)), 0..24),
    ) {
        let heard = run(policy, first, chunk_bytes, &segments);
        let (bytes, conflict) = twin(policy, &segments);
        prop_assert_eq!(heard.bytes, bytes);
        prop_assert_eq!(heard.conflicts > 0, conflict);
    }
}
