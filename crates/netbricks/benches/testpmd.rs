//! weft beside DPDK's `dpdk-testpmd`: CPU time per packet of 64 bytes.
//!
//! `cargo bench -p netbricks --bench testpmd`; Debian's `dpdk-dev` has the peer. Both run one worker thread, in turn, five
//! rounds each; CPU time is the worker's own, from `/proc/…/schedstat`. Two tables:
//!
//! * **null ports**: testpmd forwards between two `net_null` ports, whose receiving side takes a buffer from the pool and
//!   sets its length, and whose sending side gives it back. Ours do the same; nobody writes the packet's bytes. Theirs are
//!   all zero, so `5tswap` finds no IP header to swap and `csum` none to sum; ours are valid, and all of the work is done;
//! * **copied frames**: testpmd forwards between two `net_pcap` ports with `infinite_rx`, whose receiving side takes a
//!   buffer and copies one valid frame into it. Ours do the same, on the same frame: here both do all of the work.

use std::fs;
use std::time::{Duration, Instant};

use netbricks::functions::macswap;
use netbricks::header::{Ethernet, Ipv4, Udp};
use netbricks::operator::Operator;
use netbricks::{Context, Frame, NetworkFunction, chain};
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, udp};
use packet::{Batch, Pool, PoolConfig};

#[path = "peer/testpmd.rs"]
mod peer;

use peer::{BUFFERS, Device, Testpmd, cpu_ns, median};

const FRAME: usize = 64;
const ROUNDS: usize = 5;
const MODES: [&str; 4] = ["io", "macswap", "5tswap", "csum"];
/// How long one measurement takes.
const TIME: Duration = Duration::from_secs(1);

/// Swaps addresses and ports of all three headers; no checksum changes by that.
fn five_tuple_swap() -> impl Operator<Frame, Out = Frame> + Send + 'static {
    chain()
        .parse::<Ethernet>()
        .transform(|frame| {
            let mut ethernet = frame.header_mut();
            let (source, destination) = (ethernet.source(), ethernet.destination());
            ethernet.set_source(destination);
            ethernet.set_destination(source);
        })
        .parse::<Ipv4>()
        .transform(|packet| {
            let mut ip = packet.header_mut();
            let (source, destination) = (ip.source(), ip.destination());
            ip.set_source(destination);
            ip.set_destination(source);
        })
        .parse::<Udp>()
        .transform(|datagram| {
            let mut udp = datagram.header_mut();
            let (source, destination) = (udp.source_port(), udp.destination_port());
            udp.set_source_port(destination);
            udp.set_destination_port(source);
        })
        .reset()
}

/// Swaps the Ethernet addresses and computes both checksums anew, as testpmd's `csum` does.
fn csum() -> impl Operator<Frame, Out = Frame> + Send + 'static {
    chain()
        .then(macswap())
        .parse::<Ethernet>()
        .parse::<Ipv4>()
        .transform(|packet| packet.header_mut().fill_checksum())
        .parse::<Udp>()
        .transform(|datagram| {
            let ip = datagram.layer::<Ipv4, _>();
            let (source, destination) = (ip.source().into(), ip.destination().into());
            datagram.header_mut().fill_checksum(source, destination);
        })
        .reset()
}

fn function(mode: &str) -> Box<dyn NetworkFunction> {
    match mode {
        "io" => Box::new(chain().build()),
        "macswap" => Box::new(chain().then(macswap()).build()),
        "5tswap" => Box::new(chain().then(five_tuple_swap()).build()),
        "csum" => Box::new(chain().then(csum()).build()),
        other => panic!("{other}"),
    }
}

/// A UDP datagram with right checksums.
fn frame() -> [u8; FRAME] {
    let mut bytes = [0; FRAME];
    let (source, destination) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    ethernet::Repr { source, destination, ethertype: EtherType::IPV4 }
        .emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    let (source, destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    ipv4::Repr::new(source, destination, IpProtocol::UDP, FRAME - 34)
        .emit(&mut ipv4::View::new_unchecked(&mut bytes[14..]));
    let mut datagram = udp::View::new_unchecked(&mut bytes[34..]);
    udp::Repr { source_port: 9, destination_port: 10, payload_len: FRAME - 42 }.emit(&mut datagram);
    datagram.fill_checksum(source.into(), destination.into());
    bytes
}

/// CPU nanoseconds per packet of ours.
fn ours(mode: &str, device: Device<'_>) -> f64 {
    let pool = Pool::new(PoolConfig { buffers: BUFFERS, ..PoolConfig::default() }).expect("a pool");
    let frame = frame();
    let all: Vec<_> = (0..BUFFERS).map(|_| pool.packet(&frame).expect("a buffer")).collect();
    drop(all);
    let (mut function, mut ctx, mut batch) = (function(mode), Context::new(2), Batch::new());
    let (start, before, mut packets) = (Instant::now(), cpu_ns("thread-self"), 0u64);
    while start.elapsed() < TIME {
        for _ in 0..1024 {
            pool.alloc_batch(packet::BATCH, &mut batch);
            for packet in &mut batch {
                packet.set_len(FRAME).expect("room");
                if matches!(device, Device::Copied(_)) {
                    packet.data_mut().copy_from_slice(&frame);
                }
            }
            function.process(0, &mut batch, &mut ctx);
            ctx.drain(1, |batch| {
                packets += batch.len() as u64;
                batch.clear();
            });
        }
    }
    assert_eq!(ctx.drops().total(), 0, "{:?}", ctx.drops());
    (cpu_ns("thread-self") - before) as f64 / packets as f64
}

fn table(name: &str, device: Device<'_>) {
    println!("\n| {name} | dpdk-testpmd | weft | weft / testpmd |");
    println!("| --- | --- | --- | --- |");
    for mode in MODES {
        let (mut peer, mut own) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            peer.push(Testpmd::start(mode, device).measure(TIME));
            own.push(ours(mode, device));
        }
        let show = |values: &[f64]| {
            let (low, high) =
                values.iter().fold((f64::MAX, 0f64), |(low, high), v| (low.min(*v), high.max(*v)));
            format!("{:.1} ({low:.1}–{high:.1})", median(values.to_vec()))
        };
        println!(
            "| {mode} | {} | {} | {:.2} |",
            show(&peer),
            show(&own),
            median(own.clone()) / median(peer.clone())
        );
    }
}

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let capture = directory.path().join("frame.pcap");
    let file = fs::File::create(&capture).expect("a file");
    let mut writer = packet::pcap::Writer::new(file, packet::pcap::LinkType::ETHERNET).expect("a header");
    writer.write(0, &frame()).and_then(|()| writer.flush()).expect("a record");
    println!(
        "CPU ns per packet of {FRAME} B, one worker, median of {ROUNDS} rounds in turn (lowest–highest)"
    );
    table("null ports", Device::Null(FRAME));
    table("copied frames", Device::Copied(&capture));
}
