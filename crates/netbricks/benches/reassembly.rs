//! What reassembly costs: `cargo bench -p netbricks --bench reassembly`.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use netbricks::reassembly::fuzz::frame;
use netbricks::reassembly::{Config, Conversation, Event, Reassembler, Sink, StreamConfig};
use packet::flow::FlowHasher;
use packet::parse::Layers;
use packet::wire::tcp::{self, Flags};

/// Segments of one iteration.
const SEGMENTS: usize = 1024;
/// Bytes of each.
const PAYLOAD: usize = 1448;

fn main() {
    divan::main();
}

/// An NF that looks at every byte: the byte sum, as cheap as looking can be.
#[derive(Default)]
struct Sum(u64);

impl Sink<()> for Sum {
    fn event(&mut self, _: &mut Conversation<'_, ()>, event: Event<'_>) {
        if let Event::Data { bytes, .. } = event {
            self.0 = bytes.iter().fold(self.0, |sum, &byte| sum.wrapping_add(u64::from(byte)));
        }
    }
}

/// An NF that looks at none.
#[derive(Default)]
struct Count(u64);

impl Sink<()> for Count {
    fn event(&mut self, _: &mut Conversation<'_, ()>, event: Event<'_>) {
        if let Event::Data { bytes, .. } = event {
            self.0 += bytes.len() as u64;
        }
    }
}

/// One connection's segments, every pair of neighbours swapped or not.
fn frames(swapped: bool) -> Vec<Vec<u8>> {
    let (a, b) = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
    let mut frames: Vec<_> = (0..SEGMENTS as u32)
        .map(|at| {
            let sequence = at * PAYLOAD as u32;
            let header = tcp::Repr { sequence, flags: Flags::ACK, ..tcp::Repr::default() };
            frame(a, b, &header, &[at as u8; PAYLOAD])
        })
        .collect();
    if swapped {
        frames[1..].chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    }
    frames
}

fn measure<S: Sink<()> + Default>(bencher: Bencher<'_, '_>, swapped: bool, history_bytes: u32) {
    let frames = frames(swapped);
    let config = Config {
        connections: 16,
        stream: StreamConfig { pool_bytes: 1 << 20, history_bytes, ..StreamConfig::default() },
        ..Config::default()
    };
    let mut reassembler = Reassembler::new(config, FlowHasher::new(1));
    bencher.counter(ItemsCount::new(SEGMENTS)).counter(BytesCount::new(SEGMENTS * PAYLOAD)).bench_local(
        || {
            let mut sink = S::default();
            for frame in &frames {
                let layers = Layers::of(frame).unwrap();
                reassembler.segment(0, &layers, frame, &mut sink);
            }
            reassembler.finish(&mut sink);
            black_box(sink)
        },
    );
}

#[divan::bench]
fn in_order_one_counting(bencher: Bencher<'_, '_>) {
    measure::<Count>(bencher, false, 0);
}

#[divan::bench]
fn in_order_three_counting(bencher: Bencher<'_, '_>) {
    measure::<(Count, Count, Count)>(bencher, false, 0);
}

#[divan::bench]
fn in_order_one_summing(bencher: Bencher<'_, '_>) {
    measure::<Sum>(bencher, false, 0);
}

#[divan::bench]
fn in_order_with_history(bencher: Bencher<'_, '_>) {
    measure::<Count>(bencher, false, 1 << 16);
}

#[divan::bench]
fn swapped_one_counting(bencher: Bencher<'_, '_>) {
    measure::<Count>(bencher, true, 0);
}
