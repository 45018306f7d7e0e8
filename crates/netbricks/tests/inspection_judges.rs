//! tcpflow and tshark judge what functions say of a capture. Needs Debian's `tcpflow` and `tshark`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use netbricks::functions::{Kind, Setup, TcpMonitor};
use netbricks::{Args, Context, NetworkFunction};
use packet::flow::FlowHasher;
use packet::pcap::{self, LinkType, Writer};
use packet::wire::tcp::{self, Flags};
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4};
use packet::{Batch, Pool, PoolConfig};

/// A directory that goes when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nb-nf-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: install it"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn segment(ends: [([u8; 4], u16); 2], sequence: u32, flags: Flags, payload: &[u8]) -> Vec<u8> {
    let [(source, source_port), (destination, destination_port)] = ends;
    let ack = u32::from(flags.contains(Flags::ACK));
    let repr =
        tcp::Repr { source_port, destination_port, sequence, ack, flags, window: 1000, ..Default::default() };
    let mut frame = vec![0; 54];
    ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr([4; 6]), ethertype: EtherType::IPV4 }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    ipv4::Repr::new(source.into(), destination.into(), IpProtocol::TCP, 20 + payload.len())
        .emit(&mut ipv4::View::new_unchecked(&mut frame[14..34]));
    frame.extend_from_slice(payload);
    let mut view = tcp::View::new_unchecked(&mut frame[34..]);
    repr.emit(&mut view);
    view.fill_checksum(source.into(), destination.into());
    frame
}

/// Twenty connections to one server, each with a text of its own, some segments twice, some late.
fn capture(path: &Path) {
    let mut writer = Writer::new(std::fs::File::create(path).unwrap(), LinkType::ETHERNET).unwrap();
    let mut time_ns = 1_700_000_000_000_000_000;
    for n in 0..20u16 {
        let (client, server) = (([10, 0, 0, 1], 40_000 + n), ([10, 0, 0, 2], 80));
        let mut put = |frame: Vec<u8>| {
            time_ns += 50_000_000;
            writer.write(time_ns, &frame).unwrap();
        };
        put(segment([client, server], 999, Flags::SYN, b""));
        put(segment([server, client], 0, Flags::SYN | Flags::ACK, b""));
        put(segment([client, server], 1000, Flags::ACK, b""));
        let pieces: Vec<Vec<u8>> =
            (0..12u16).map(|k| format!("{n:05}-{k:04};").repeat(40).into_bytes()).collect();
        let mut starts = vec![1000];
        pieces.iter().for_each(|piece| starts.push(starts[starts.len() - 1] + piece.len() as u32));
        for k in 0..12 {
            // Every fifth comes behind the next one, every fourth twice.
            let k = if k % 5 == 3 {
                k + 1
            } else if k % 5 == 4 {
                k - 1
            } else {
                k
            };
            let k = k.min(11);
            for _ in 0..1 + usize::from(k % 4 == 0) {
                put(segment([client, server], starts[k], Flags::ACK | Flags::PSH, &pieces[k]));
            }
        }
        put(segment([server, client], 1, Flags::ACK, b"thanks"));
        put(segment([client, server], starts[12], Flags::ACK | Flags::FIN, b""));
        put(segment([server, client], 7, Flags::ACK | Flags::FIN, b""));
    }
    writer.into_inner().unwrap();
}

/// Hands all packets of a capture to a function, each at its time.
fn run(function: &mut dyn NetworkFunction, path: &Path) {
    let pool = Pool::new(PoolConfig { buffers: 64, ..PoolConfig::default() }).unwrap();
    let (mut ctx, mut capture) = (Context::new(2), pcap::open(path).unwrap());
    while let Some(record) = capture.next().unwrap() {
        ctx.set_now_ns(record.timestamp_ns);
        let mut batch = Batch::new();
        batch.push(pool.packet(record.data).unwrap()).unwrap();
        function.process(0, &mut batch, &mut ctx);
        ctx.drain(1, Batch::clear);
    }
    function.finish(&mut ctx);
}

fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let named =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()));
    named.filter(|(name, _)| name != "report.xml").collect()
}

#[test]
fn streams_writes_the_files_that_tcpflow_writes() {
    let scratch = Scratch::new("streams");
    let (path, ours, theirs) = (scratch.0.join("x.pcap"), scratch.0.join("ours"), scratch.0.join("theirs"));
    std::fs::create_dir(&ours).unwrap();
    capture(&path);
    output("tcpflow", &["-q", "-r", path.to_str().unwrap(), "-o", theirs.to_str().unwrap()]);
    let pool = Pool::new(PoolConfig { buffers: 4, ..PoolConfig::default() }).unwrap();
    let mut args = Args::parse("streams", [format!("dir={}", ours.display())]).unwrap();
    let setup = Setup { pool, key: 1, seed: 1 };
    let mut streams = Kind::find("streams").unwrap().build(&mut args, &setup).unwrap();
    run(&mut *streams, &path);
    let (ours, theirs) = (files(&ours), files(&theirs));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    assert!(ours == theirs && ours.len() == 40);
}

#[test]
fn monitor_counts_what_tshark_counts() {
    let scratch = Scratch::new("monitor");
    let path = scratch.0.join("x.pcap");
    capture(&path);
    let file = path.to_str().unwrap();
    let mut monitor = TcpMonitor::new(100, 1 << 50, 500, FlowHasher::new(1));
    run(&mut monitor, &path);
    let frames = output("tshark", &["-r", file, "-Tfields", "-etcp.srcport", "-eframe.len"]);
    let mut theirs: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
    for line in frames.lines() {
        let (port, length) = line.split_once('\t').unwrap();
        let count = theirs.entry(port.parse().unwrap()).or_default();
        *count = (count.0 + 1, count.1 + length.parse::<u64>().unwrap());
    }
    let mut again = 0;
    for connection in monitor.top() {
        let there = connection.ends[0];
        assert_eq!(theirs[&connection.key.source_port()], (there.packets, there.bytes), "{connection}");
        again += there.retransmissions + there.out_of_order;
    }
    let filter = "tcp.analysis.retransmission or tcp.analysis.out_of_order";
    let lines = output("tshark", &["-r", file, "-Y", filter]).lines().count() as u64;
    assert!(again == lines && again > 20, "{again} and {lines}");
}
