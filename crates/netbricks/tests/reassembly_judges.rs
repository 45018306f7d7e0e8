//! tcpflow, tshark and the kernel say what the streams are. Needs Debian's `tcpflow`, `tshark`, `tcpdump`, `nginx-light`,
//! `curl` and `iproute2`, and root for the transfer.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use netbricks::reassembly::fuzz::frame;
use netbricks::reassembly::{
    CloseCause, Config, Conversation, Direction, Event, Reassembler, Sink, StreamConfig,
};
use packet::flow::{FlowHasher, FlowKey};
use packet::fuzzing::bounded::Random;
use packet::parse::Layers;
use packet::pcap::{self, Capture, LinkType};
use packet::wire::tcp::{self, Flags};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program; that it is there is part of the test.
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", PATH);
    command
}

fn output(command: &mut Command) -> Vec<u8> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}: apt-get install it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0); // tests of one process share its id
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("weft-reassembly-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The bytes of each direction, by its ends, and how connections closed.
#[derive(Default)]
struct Streams {
    bytes: BTreeMap<(String, String), Vec<u8>>,
    closed: Vec<CloseCause>,
    gap_bytes: u64,
    conflicts: u64,
}

impl Sink<()> for Streams {
    fn event(&mut self, conversation: &mut Conversation<'_, ()>, event: Event<'_>) {
        match event {
            Event::Data { bytes, .. } => {
                let from_initiator = conversation.direction == Direction::FromInitiator;
                let key = if from_initiator { *conversation.key } else { conversation.key.reversed() };
                self.bytes.entry(ends(&key)).or_default().extend(bytes);
            }
            Event::Gap { len, .. } => self.gap_bytes += len,
            Event::Conflict { .. } => self.conflicts += 1,
            Event::Closed { cause } => self.closed.push(cause),
            _ => {}
        }
    }
}

/// Source and destination as tcpflow names its files.
fn ends(key: &FlowKey) -> (String, String) {
    let end = |address: std::net::IpAddr, port: u16| {
        let std::net::IpAddr::V4(address) = address else { panic!("{address}") };
        let [a, b, c, d] = address.octets();
        format!("{a:03}.{b:03}.{c:03}.{d:03}.{port:05}")
    };
    (end(key.source(), key.source_port()), end(key.destination(), key.destination_port()))
}

fn reassemble(path: &Path) -> Streams {
    let config = Config { connections: 64, ..Config::default() };
    let (mut reassembler, mut streams) = (Reassembler::new(config, FlowHasher::new(3)), Streams::default());
    let mut capture = pcap::open(path).unwrap();
    while let Some(record) = capture.next().unwrap() {
        reassembler.segment(
            record.timestamp_ns,
            &Layers::of(record.data).unwrap(),
            record.data,
            &mut streams,
        );
    }
    reassembler.finish(&mut streams);
    streams
}

/// What becomes of a connection's segments on the way.
#[derive(Clone, Copy, Debug)]
enum Way {
    InOrder,
    Shuffled,
    Duplicated,
    Overlapping,
    LostAndSentAgain,
}

/// One direction's bytes cut into segments, as offset and bytes.
fn cut(random: &mut Random, text: &[u8], way: Way) -> Vec<(usize, Vec<u8>)> {
    let mut segments = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let end = (at + 1 + random.below(1400)).min(text.len());
        let start = if matches!(way, Way::Overlapping) { at - random.below(200).min(at) } else { at };
        segments.push((start, text[start..end].to_vec()));
        at = end;
    }
    match way {
        Way::InOrder => {}
        Way::Overlapping | Way::Shuffled => {
            // Within a window, as on a network.
            for window in segments.chunks_mut(8) {
                (1..window.len()).rev().for_each(|last| window.swap(last, random.below(last + 1)));
            }
        }
        Way::Duplicated => segments = segments.iter().flat_map(|one| [one.clone(), one.clone()]).collect(),
        Way::LostAndSentAgain => {
            for at in 0..segments.len().saturating_sub(6) {
                if random.below(4) == 0 {
                    let lost = segments.remove(at);
                    segments.insert(at + 5, lost);
                }
            }
        }
    }
    segments
}

/// A connection's frames. Neither end acknowledges data: in these captures segments overtake what answers them.
fn connection(random: &mut Random, client_port: u16, isn: u32, way: Way) -> (Vec<Vec<u8>>, [Vec<u8>; 2]) {
    let client = SocketAddrV4::new([10, 0, 0, 1].into(), client_port);
    let server = SocketAddrV4::new([10, 0, 0, 2].into(), 7000);
    let isns = [isn, isn.wrapping_mul(3)];
    let segment = |from: usize, offset: u32, flags: Flags, payload: &[u8]| {
        let ack = if flags == Flags::SYN { 0 } else { isns[1 - from].wrapping_add(1) };
        let sequence = isns[from].wrapping_add(offset);
        let header = tcp::Repr { sequence, ack, flags, window: 65_535, ..tcp::Repr::default() };
        let (source, destination) = if from == 0 { (client, server) } else { (server, client) };
        frame(source, destination, &header, payload)
    };
    let mut frames = vec![
        segment(0, 0, Flags::SYN, b""),
        segment(1, 0, Flags::SYN | Flags::ACK, b""),
        segment(0, 1, Flags::ACK, b""),
    ];
    let texts = [30_000, 60_000].map(|len| (0..len).map(|_| random.below(256) as u8).collect::<Vec<u8>>());
    for (from, text) in texts.iter().enumerate() {
        for (offset, payload) in cut(random, text, way) {
            frames.push(segment(from, 1 + offset as u32, Flags::ACK | Flags::PSH, &payload));
        }
    }
    for (from, text) in texts.iter().enumerate() {
        frames.push(segment(from, 1 + text.len() as u32, Flags::FIN | Flags::ACK, b""));
    }
    (frames, texts)
}

/// Connections of every kind in one file, their frames interleaved; and the bytes they carry.
fn capture(directory: &Path) -> (PathBuf, Vec<[Vec<u8>; 2]>) {
    let mut random = Random(42);
    let ways = [Way::InOrder, Way::Shuffled, Way::Duplicated, Way::Overlapping, Way::LostAndSentAgain];
    let mut connections = Vec::new();
    for (at, way) in ways.into_iter().enumerate() {
        // The second of each wraps round within its first segments.
        for (second, isn) in [1_000_000, u32::MAX - 9000].into_iter().enumerate() {
            connections.push(connection(&mut random, (5000 + 10 * at + second) as u16, isn, way));
        }
    }
    let texts = connections.iter().map(|(_, texts)| texts.clone()).collect();
    let mut queues: Vec<_> = connections.into_iter().map(|(frames, _)| frames.into_iter()).collect();
    let path = directory.join("judged.pcap");
    let mut writer = pcap::Writer::new(fs::File::create(&path).unwrap(), LinkType::ETHERNET).unwrap();
    let mut timestamp_ns = 1_000_000_000_000_000_000;
    while !queues.is_empty() {
        let at = random.below(queues.len());
        match queues[at].next() {
            Some(frame) => writer.write(timestamp_ns, &frame).unwrap(),
            None => drop(queues.remove(at)),
        }
        timestamp_ns += 100_000;
    }
    writer.flush().unwrap();
    (path, texts)
}

#[test]
fn tcpflow_extracts_the_same_streams() {
    let scratch = Scratch::new();
    let (path, texts) = capture(&scratch.0);
    let ours = reassemble(&path);
    assert_eq!((ours.bytes.len(), ours.gap_bytes, ours.conflicts), (2 * texts.len(), 0, 0));
    assert!(ours.closed.iter().all(|cause| *cause == CloseCause::Finished), "{:?}", ours.closed);
    output(program("tcpflow").arg("-q").arg("-r").arg(&path).arg("-o").arg(scratch.0.join("flows")));
    for ((source, destination), bytes) in &ours.bytes {
        let name = format!("{source}-{destination}");
        let theirs = fs::read(scratch.0.join("flows").join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(*bytes == theirs, "{name}: {} bytes, tcpflow {}", bytes.len(), theirs.len());
    }
    let ours: Vec<_> = ours.bytes.into_values().collect();
    assert!(texts.iter().flatten().all(|text| ours.contains(text)));
}

/// The two directions of a stream as `-z follow,tcp,raw` prints them.
fn follow(path: &Path, stream: usize) -> [Vec<u8>; 2] {
    let follow = format!("follow,tcp,raw,{stream}");
    let text = output(program("tshark").args(["-q", "-z", &follow, "-r"]).arg(path));
    let text = String::from_utf8(text).unwrap();
    let mut directions = [Vec::new(), Vec::new()];
    for line in text.lines() {
        let hex = line.trim_start_matches('\t');
        if !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let digits = hex.as_bytes().chunks(2);
            let bytes =
                digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
            directions[usize::from(line.starts_with('\t'))].extend(bytes);
        }
    }
    directions
}

#[test]
fn tshark_follows_the_same_streams() {
    let scratch = Scratch::new();
    let (path, texts) = capture(&scratch.0);
    let ours: Vec<_> = reassemble(&path).bytes.into_values().collect();
    for stream in 0..texts.len() {
        for theirs in follow(&path, stream) {
            assert!(
                ours.contains(&theirs),
                "stream {stream}: {} bytes of tshark's are not ours",
                theirs.len()
            );
        }
    }
}

/// Two namespaces joined by a veth pair, removed on every way out.
struct Pair([String; 2]);

impl Pair {
    fn new() -> Self {
        let pair = Self([0, 1].map(|end| format!("wt-reasm-{}-{end}", std::process::id())));
        for name in &pair.0 {
            output(program("ip").args(["netns", "add", name]));
        }
        let [a, b] = &pair.0;
        output(program("ip").args(["-n", a, "link", "add", "v0", "type", "veth", "peer", "v0", "netns", b]));
        for (end, name) in pair.0.iter().enumerate() {
            let address = format!("10.77.0.{}/24", end + 1);
            output(program("ip").args(["-n", name, "addr", "add", &address, "dev", "v0"]));
            output(program("ip").args(["-n", name, "link", "set", "v0", "up"]));
        }
        pair
    }

    fn inside(&self, end: usize, arguments: &[&str]) -> Command {
        let mut command = program("ip");
        command.args(["netns", "exec", &self.0[end]]).args(arguments);
        command
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = program("ip").args(["netns", "del", name]).status();
        }
    }
}

/// A program that is stopped with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_transfer_out_of_order_comes_out_as_it_went_in() {
    let scratch = Scratch::new();
    let pair = Pair::new();
    let file: Vec<u8> = (0..4_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(scratch.0.join("file"), &file).unwrap();
    let directory = scratch.0.to_str().unwrap();
    let configuration = format!(
        "daemon off; master_process off; pid {directory}/pid; error_log {directory}/error; events {{}}
         http {{ access_log off; client_body_temp_path {directory}/t; proxy_temp_path {directory}/t;
         fastcgi_temp_path {directory}/t; uwsgi_temp_path {directory}/t; scgi_temp_path {directory}/t;
         server {{ listen 10.77.0.2:80; root {directory}; }} }}"
    );
    fs::write(scratch.0.join("nginx.conf"), configuration).unwrap();
    let _nginx = Running(
        pair.inside(1, &["nginx", "-c"])
            .arg(scratch.0.join("nginx.conf"))
            .spawn()
            .expect("apt-get install nginx-light iproute2"),
    );
    // In this mode each packet takes a slot of its longest length: room for a thousand of them, or a busy machine drops some. The
    // time ends a wait for what was dropped all the same.
    let buffer = ["--immediate-mode", "-U", "-s", "66000", "-B", "131072"];
    let tcpdump = [&["timeout", "120", "tcpdump", "-i", "v0"][..], &buffer, &["-w", "-", "tcp"]].concat();
    let mut tcpdump = Running(
        pair.inside(0, &tcpdump).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("tcpdump"),
    );
    // The file header comes once tcpdump listens.
    let mut capture = Capture::new(tcpdump.0.stdout.take().unwrap()).unwrap();
    let url = "http://10.77.0.2/file";
    let retry = ["--retry", "100", "--retry-connrefused", "--retry-delay", "1"];
    let mut curl = pair.inside(0, &["curl", "-s", "--fail", "--max-time", "60"]);
    let mut curl = curl.args(retry).arg("-o").arg(scratch.0.join("got")).arg(url).spawn().expect("curl");

    let stream = StreamConfig { stream_bytes: 8 << 20, ahead_bytes: 16 << 20, ..StreamConfig::default() };
    // One large packet in seven is overtaken by the next two, so the other end acknowledges it before we see it.
    let config = Config { connections: 64, stream, acknowledgements: false, ..Config::default() };
    let (mut reassembler, mut streams) = (Reassembler::new(config, FlowHasher::new(3)), Streams::default());
    let (mut large, mut held, mut pended) = (0, None, false);
    while !streams.closed.contains(&CloseCause::Finished) {
        let record = capture.next().unwrap().expect("the capture goes on");
        let mut take = |frame: &[u8]| {
            let layers = Layers::of(frame).unwrap();
            reassembler.segment(record.timestamp_ns, &layers, frame, &mut streams);
            pended |= reassembler.used_bytes() > 0;
        };
        large += u32::from(record.data.len() > 500);
        if held.is_none() && record.data.len() > 500 && large % 7 == 0 {
            held = Some((2, record.data.to_vec()));
            continue;
        }
        take(record.data);
        held = match held {
            Some((1, frame)) => {
                take(&frame);
                None
            }
            other => other.map(|(left, frame)| (left - 1, frame)),
        };
    }
    assert!(curl.wait().unwrap().success());
    assert_eq!(fs::read(scratch.0.join("got")).unwrap(), file);
    let answer = streams.bytes.values().max_by_key(|bytes| bytes.len()).unwrap();
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert_eq!((streams.gap_bytes, streams.conflicts), (0, 0));
    assert!(answer[body..] == file, "{} bytes of {}", answer.len() - body, file.len());
    assert!(pended, "nothing was out of order: the capture shows nothing");
}
