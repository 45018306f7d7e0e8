//! What a chain of network functions costs beside one loop written by hand: instructions and CPU time per packet.
//!
//! `cargo bench -p netbricks --bench chain`. Every function lowers the time to live, mends the checksum, swaps the Ethernet
//! addresses and counts, as NetBricks' chain test does. The hand-written loop does the same, one step after the other,
//! on one slice. Instructions are counted by valgrind's callgrind, of twice as many packets less those of once as
//! many, so that only packets count.

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use netbricks::header::{Ethernet, Ipv4};
use netbricks::operator::{Operator, Then};
use netbricks::{Cause, Contained, Context, Frame, Layer, Line, NetworkFunction, Raw, chain};
use packet::wire::{ethernet, ipv4};
use packet::{Batch, Packet, Pool, PoolConfig};

type Ip = Frame<Layer<Ipv4, Layer<Ethernet, Raw>>>;

/// One function on a parsed packet.
#[derive(Default)]
struct Hop {
    packets: u64,
}

impl Operator<Ip> for Hop {
    type Out = Ip;

    #[inline(always)]
    fn apply(&mut self, mut frame: Ip, _: &mut Context) -> netbricks::Step<Ip> {
        if !frame.header_mut().decrement_ttl() {
            return Err(Cause::new("time to live used up").into());
        }
        let mut ethernet = frame.layer_mut::<Ethernet, _>();
        let (source, destination) = (ethernet.source(), ethernet.destination());
        ethernet.set_source(destination);
        ethernet.set_destination(source);
        self.packets += 1;
        Ok(frame)
    }
}

// Chains as types, halved so that the types are shallow.
type H2 = Then<Hop, Hop>;
type H4 = Then<H2, H2>;
type H8 = Then<H4, H4>;
type H16 = Then<H8, H8>;
type H32 = Then<H16, H16>;
type H64 = Then<H32, H32>;

/// The same by hand: parsed once, `N` steps on one slice.
struct ByHand<const N: usize> {
    packets: [u64; N],
}

impl<const N: usize> ByHand<N> {
    #[inline]
    fn packet(&mut self, packet: &mut Packet) -> Result<(), Cause> {
        let data = packet.data_mut();
        let frame = ethernet::View::new_checked(&data[..]).map_err(Cause::from)?;
        if frame.ethertype() != packet::wire::EtherType::IPV4 {
            return Err(Cause::new("not ipv4"));
        }
        ipv4::View::new_checked(frame.payload()).map_err(Cause::from)?;
        for packets in &mut self.packets {
            if !ipv4::View::new_unchecked(&mut data[14..]).decrement_ttl() {
                return Err(Cause::new("time to live used up"));
            }
            let mut ethernet = ethernet::View::new_unchecked(&mut data[..]);
            let (source, destination) = (ethernet.source(), ethernet.destination());
            ethernet.set_source(destination);
            ethernet.set_destination(source);
            *packets += 1;
        }
        Ok(())
    }
}

impl<const N: usize> NetworkFunction for ByHand<N> {
    fn process(&mut self, _: u16, batch: &mut Batch, ctx: &mut Context) {
        for mut packet in batch.drain(..) {
            match self.packet(&mut packet) {
                Ok(()) => ctx.send(1, packet),
                Err(cause) => ctx.drop(packet, cause),
            }
        }
    }
}

/// A chain that parses once.
fn fused<Op: Operator<Ip, Out = Ip> + Send + Default + 'static>() -> Box<dyn NetworkFunction> {
    Box::new(chain().parse::<Ethernet>().parse::<Ipv4>().then(Op::default()).reset().build())
}

/// The same, its panics caught.
fn contained<Op: Operator<Ip, Out = Ip> + Send + Default + 'static>() -> Box<dyn NetworkFunction> {
    let one = || chain().parse::<Ethernet>().parse::<Ipv4>().then(Op::default()).reset();
    Box::new(one().contain(one).build())
}

/// Functions that know nothing of each other: each parses for itself, each is contained, each is called once a batch.
fn line(length: usize) -> Box<dyn NetworkFunction> {
    let mut line = Line::new();
    for _ in 0..length {
        line.push("hop", Box::new(Contained::new(fused::<Hop>(), Box::new(fused::<Hop>))));
    }
    Box::new(line)
}

const LENGTHS: [usize; 6] = [1, 2, 4, 8, 16, 64];
const KINDS: [&str; 4] = ["by hand", "fused", "contained", "line"];

fn function(kind: &str, length: usize) -> Box<dyn NetworkFunction> {
    macro_rules! of_length {
        ($($length:literal $type:ty),*) => {
            match (kind, length) {
                $(("by hand", $length) => Box::new(ByHand::<$length> { packets: [0; $length] }),
                  ("fused", $length) => fused::<$type>(),
                  ("contained", $length) => contained::<$type>(),)*
                ("line", length) => line(length),
                other => panic!("{other:?}"),
            }
        };
    }
    of_length!(1 Hop, 2 H2, 4 H4, 8 H8, 16 H16, 64 H64)
}

/// A UDP datagram of 60 bytes.
fn frame() -> Vec<u8> {
    let mut bytes = vec![0; 60];
    ethernet::Repr {
        source: packet::wire::MacAddr([2, 0, 0, 0, 0, 1]),
        destination: packet::wire::MacAddr([2, 0, 0, 0, 0, 2]),
        ethertype: packet::wire::EtherType::IPV4,
    }
    .emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    let (source, destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let ip =
        ipv4::Repr { ttl: 255, ..ipv4::Repr::new(source, destination, packet::wire::IpProtocol::UDP, 26) };
    ip.emit(&mut ipv4::View::new_unchecked(&mut bytes[14..]));
    bytes
}

/// Runs `packets` packets through; they are made, written and freed as a port would. Returns seconds.
fn run(kind: &str, length: usize, packets: usize) -> f64 {
    let pool = Pool::new(PoolConfig { buffers: 256, ..PoolConfig::default() }).expect("a pool");
    let (mut function, mut ctx) = (function(kind, length), Context::new(2));
    let (mut batch, frame, mut out) = (Batch::new(), frame(), 0);
    let start = Instant::now();
    for _ in 0..packets / packet::BATCH {
        pool.alloc_batch(packet::BATCH, &mut batch);
        for packet in &mut batch {
            packet.set_len(frame.len()).expect("room");
            packet.data_mut().copy_from_slice(&frame);
        }
        function.process(0, &mut batch, &mut ctx);
        ctx.drain(1, |batch| out += black_box(batch).len());
    }
    assert_eq!(out, packets / packet::BATCH * packet::BATCH, "{:?}", ctx.drops());
    start.elapsed().as_secs_f64()
}

/// Instructions of a run, as callgrind counts them.
fn instructions(kind: &str, length: usize, packets: usize) -> u64 {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", kind, &length.to_string(), &packets.to_string()])
        .output()
        .expect("valgrind: `tests/install.sh bench` installs it");
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("callgrind says: {text}"))
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, verb, kind, length, packets] = &args[..]
        && verb == "run"
    {
        run(kind, length.parse().expect("a length"), packets.parse().expect("a number"));
        return;
    }
    println!("instructions per packet (callgrind), and ns per packet (wall time, best of 5)\n");
    println!("| functions | {} | fused / by hand |", KINDS.join(" | "));
    println!("| --- | {} --- |", "--- | ".repeat(KINDS.len()));
    for length in LENGTHS {
        let counts = KINDS.map(|kind| {
            let (few, many) = (3_200, 6_400);
            (instructions(kind, length, many) - instructions(kind, length, few)) as f64 / (many - few) as f64
        });
        let times = KINDS.map(|kind| {
            let packets = 3_200_000 / length.max(4);
            (0..5).map(|_| run(kind, length, packets)).fold(f64::MAX, f64::min) * 1e9 / packets as f64
        });
        let cells = counts.iter().zip(times).map(|(count, ns)| format!("{count:.1}, {ns:.1} ns"));
        println!("| {length} | {} | {:.3} |", cells.collect::<Vec<_>>().join(" | "), counts[1] / counts[0]);
    }
}
