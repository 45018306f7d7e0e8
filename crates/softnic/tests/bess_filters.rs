//! The module class BPF under BESS's interface, beside tcpdump: filters come, go and are cleared by its commands, and each frame
//! leaves at the gate of the first filter that tcpdump says it passes.

mod bess_kit;
mod filter_kit;

use bess_kit::bench::Bench;
use filter_kit::{Random, expression, frame, judge, seed};
use packet::pcap::{LinkType, Writer};
use softnic::bess::pb;

/// Changes of the list of filters, frames that are sent after each, and filters at a time.
const TURNS: usize = 40;
const FRAMES: usize = 60;
const FILTERS_MAX: usize = 6;
/// Gates; the last one is never a filter's.
const GATES: usize = 5;

const NO_ARG: pb::EmptyArg = pb::EmptyArg {};

/// Which of the frames tcpdump passes; `None` for what is no filter to it.
fn passed(frames: &[Vec<u8>], filter: &str) -> Option<Vec<usize>> {
    let mut writer = Writer::new(Vec::new(), LinkType::ETHERNET).unwrap();
    for (at, frame) in frames.iter().enumerate() {
        writer.write(at as u64 * 1_000_000_000, frame).unwrap();
    }
    // Unoptimised: its optimiser leaves loads out, and with them what becomes of frames that end before.
    match judge(&writer.into_inner().unwrap(), filter, false) {
        Ok(passed) => Some(passed),
        Err(sentence) if sentence.contains("rejects all packets") => Some(Vec::new()),
        Err(_) => None,
    }
}

/// A filter that tcpdump takes, of a random priority and gate.
fn filter(random: &mut Random) -> pb::bpf_arg::Filter {
    loop {
        let filter = expression(random, 1);
        if passed(&[], &filter).is_some() {
            let (priority, gate) = (random.below(4) as i64 - 1, random.below(GATES - 1) as i64);
            return pb::bpf_arg::Filter { priority, filter, gate };
        }
    }
}

/// Filters as they are tried: the highest priority first, the older one among equals.
fn in_order(filters: &[pb::bpf_arg::Filter]) -> Vec<&pb::bpf_arg::Filter> {
    let mut order: Vec<&pb::bpf_arg::Filter> = filters.iter().collect();
    order.sort_by_key(|one| -one.priority);
    order
}

/// The gate of each frame: that of the first filter that passes it, 0 where none does.
fn gates(filters: &[pb::bpf_arg::Filter], frames: &[Vec<u8>]) -> Vec<usize> {
    let passed: Vec<(usize, Vec<usize>)> = in_order(filters)
        .iter()
        .map(|one| (one.gate as usize, passed(frames, &one.filter).unwrap()))
        .collect();
    let gate = |frame| passed.iter().find(|(_, passed)| passed.contains(&frame)).map_or(0, |(gate, _)| *gate);
    (0..frames.len()).map(gate).collect()
}

#[test]
fn frames_leave_where_tcpdump_says() {
    let seed = seed();
    println!("WEFT_SEED={seed}");
    let mut random = Random(seed);
    let mut filters = vec![filter(&mut random), filter(&mut random)];
    let mut bench = Bench::new("BPF", &pb::BpfArg { filters: filters.clone() }, GATES);
    let mut left = [0; GATES];
    for turn in 0..TURNS {
        match random.below(8) {
            0 => {
                bench.ask::<_, pb::EmptyArg>("clear", &NO_ARG);
                filters.clear();
            }
            1 | 2 if !filters.is_empty() => {
                let gone = filters[random.below(filters.len())].clone();
                bench.ask::<_, pb::EmptyArg>("delete", &pb::BpfArg { filters: vec![gone.clone()] });
                // The first one that is the same.
                filters.remove(filters.iter().position(|one| *one == gone).unwrap());
            }
            _ if filters.len() < FILTERS_MAX => {
                let new: Vec<_> = (0..1 + random.below(2)).map(|_| filter(&mut random)).collect();
                bench.ask::<_, pb::EmptyArg>("add", &pb::BpfArg { filters: new.clone() });
                filters.extend(new);
            }
            _ => {}
        }
        let listed = bench.ask::<_, pb::BpfArg>("get_initial_arg", &NO_ARG).filters;
        assert_eq!(listed.iter().collect::<Vec<_>>(), in_order(&filters), "WEFT_SEED={seed}");
        let frames: Vec<Vec<u8>> = (0..FRAMES).map(|_| frame(&mut random)).collect();
        for (frame, wanted) in frames.iter().zip(gates(&filters, &frames)) {
            bench.send(0, frame);
            let (gate, out) = bench.next();
            assert_eq!(out, *frame);
            assert_eq!(gate, wanted, "WEFT_SEED={seed}, turn {turn}: {filters:?}, {frame:02x?}");
            left[gate] += 1;
        }
    }
    println!("{left:?} frames left at the gates");
    let most = left.iter().max().unwrap();
    assert!(left[..GATES - 1].iter().filter(|left| **left > 0).count() > 2, "WEFT_SEED={seed}: {left:?}");
    assert!(*most < TURNS * FRAMES * 19 / 20 && left[GATES - 1] == 0, "WEFT_SEED={seed}: {left:?}");
}
