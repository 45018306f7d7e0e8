//! What keeps time before judges: `delay` between hosts that ping, and `generate` at a wire where tcpdump listens.

mod lab;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use lab::{Capture, Netns, PATIENCE, Star, counter, dropped, frames, tshark, until};
use netbricks::live::Summary;

/// Two hosts that know each other, so that nothing crosses but what the test sends.
const PAIR: [&[&str]; 2] = [
    &["addr add 10.0.0.1/24 dev eth0", "neigh add 10.0.0.2 lladdr 02:00:00:00:01:01 dev eth0 nud permanent"],
    &["addr add 10.0.0.2/24 dev eth0", "neigh add 10.0.0.1 lladdr 02:00:00:00:01:00 dev eth0 nud permanent"],
];

fn delayed(words: &[&str]) -> Star {
    let mut lab = Star::idle(&PAIR.each_ref().map(std::slice::from_ref));
    lab.hosts.iter().for_each(Netns::without_ipv6);
    lab.run_one("delay", words);
    lab
}

/// How much longer than asked the fastest of all pings may take. The others wait for this machine's other work as well.
const LATE_MS: f64 = 3.0;
const PINGS: usize = 40;
/// So often are that many tried until one was not kept waiting.
const ROUNDS: usize = 6;

/// What each of some pings took.
fn pings_ms(host: &Netns) -> Vec<f64> {
    let said = host.run(&format!("ping -n -c {PINGS} -i 0.02 -W 5 10.0.0.2"));
    let took = said.lines().filter_map(|line| line.split_once("time=")?.1.strip_suffix(" ms")?.parse().ok());
    let took: Vec<f64> = took.collect();
    assert_eq!(took.len(), PINGS, "{said}");
    took
}

#[test]
fn pings_take_as_long_as_was_asked_for() {
    for (words, asked_ms) in [(&["by=20ms", "back=30ms"][..], 50.0), (&["by=4ms"], 8.0)] {
        let lab = delayed(words);
        let mut took_ms = Vec::new();
        let fastest = |took_ms: &[f64]| took_ms.iter().copied().fold(f64::INFINITY, f64::min);
        while took_ms.len() < ROUNDS * PINGS && fastest(&took_ms) >= asked_ms + LATE_MS {
            took_ms.extend(pings_ms(&lab.hosts[0]));
        }
        // ping prints three digits.
        assert!(fastest(&took_ms) >= asked_ms - 0.05, "never less than was asked: {took_ms:?}");
        assert!(fastest(&took_ms) < asked_ms + LATE_MS, "{took_ms:?}");
        let summary = lab.finish();
        let ways = ["delayed, from gate 0", "delayed, from gate 1"];
        assert_eq!(ways.map(|way| counter(&summary, way)), [took_ms.len() as u64; 2]);
    }
}

/// Numbered datagrams from the first host to the second, one every so often. What came, in its order, with how long it
/// was on its way.
fn datagrams(lab: &Star, count: u32, every: Duration, expected: usize) -> Vec<(u32, Duration)> {
    let receiver = lab.hosts[1].enter(|| UdpSocket::bind("10.0.0.2:9").unwrap()).join().unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let sender = lab.hosts[0].enter(|| UdpSocket::bind("10.0.0.1:0").unwrap()).join().unwrap();
    sender.connect("10.0.0.2:9").unwrap();
    let start = Instant::now();
    let receiving = std::thread::spawn(move || {
        let mut received = Vec::new();
        let mut buffer = [0; 100];
        while received.len() < expected {
            let length = receiver.recv(&mut buffer).expect("as many as are expected");
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            let (number, sent) = text.split_once(' ').unwrap();
            let sent = Duration::from_nanos(sent.parse().unwrap());
            received.push((number.parse().unwrap(), start.elapsed() - sent));
        }
        received
    });
    for number in 0..count {
        while start.elapsed() < every * number {
            std::thread::yield_now();
        }
        sender.send(format!("{number} {}", start.elapsed().as_nanos()).as_bytes()).unwrap();
    }
    receiving.join().unwrap()
}

#[test]
fn jitter_keeps_the_order_unless_told_otherwise() {
    // As many as a socket holds when nobody reads for a while.
    const COUNT: u32 = 200;
    for (words, in_order) in
        [(&["by=10ms", "jitter=5ms"][..], true), (&["by=10ms", "jitter=5ms", "reorder=on"], false)]
    {
        let lab = delayed(words);
        let received = datagrams(&lab, COUNT, Duration::from_micros(200), COUNT as usize);
        assert_eq!(received.is_sorted_by_key(|(number, _)| *number), in_order, "{received:?}");
        let shortest = received.iter().map(|(_, took)| *took).min().unwrap();
        let longest = received.iter().map(|(_, took)| *took).max().unwrap();
        assert!(shortest >= Duration::from_millis(5) && longest >= Duration::from_millis(14), "{received:?}");
        let mut numbers: Vec<u32> = received.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..COUNT), "each once: {numbers:?}");
    }
}

#[test]
fn a_burst_beyond_the_queue_is_counted() {
    let lab = delayed(&["by=1s", "queue=50"]);
    let received = datagrams(&lab, 200, Duration::ZERO, 50);
    assert!(received.iter().map(|(number, _)| *number).eq(0..50), "those that came first: {received:?}");
    assert!(received.iter().all(|(_, took)| *took >= Duration::from_secs(1)), "{received:?}");
    let counts =
        |summary: &Summary| [counter(summary, "delayed, from gate 0"), dropped(summary, "delay queue full")];
    until("all have come to the queue", || counts(&lab.report()).iter().sum::<u64>() == 200);
    let summary = lab.finish();
    assert_eq!((counts(&summary), summary.packets_out), ([50, 150], 50), "{summary:#?}");
}

/// What the generator sends to a wire, until it has sent so many.
fn generated(lab: &mut Star, words: &[&str], count: u64) -> Summary {
    let number = format!("count={count}");
    lab.run_one("generate", &[words, &[&number]].concat());
    until("all are sent", || counter(&lab.report(), "packets generated") == count);
    lab.end()
}

/// A wire without traffic of its own, and what comes out of it from a station.
fn wire() -> (Star, Capture) {
    let lab = Star::idle(&[&[&[]], &[&[]]]);
    lab.hosts.iter().for_each(Netns::without_ipv6);
    let capture = Capture::start(&lab.hosts[1], "eth0", "-Q in ether src 02:00:00:00:00:01");
    (lab, capture)
}

/// The frames, once all have been written.
fn all_of(capture: Capture, count: usize) -> tempfile::NamedTempFile {
    until("tcpdump has seen all", || capture.frames().len() >= count);
    let file = capture.end();
    assert_eq!(frames(file.path()).len(), count, "and no more");
    file
}

/// Kind, addresses, what tshark must find of each packet: protocol, and ports or identifier.
const KINDS: [(&str, &[&str], &str); 8] = [
    ("udp", &[], "udp"),
    ("tcp", &[], "tcp"),
    ("syn", &[], "tcp"),
    ("icmp", &[], "icmp"),
    ("udp", &SIX, "udp"),
    ("tcp", &SIX, "tcp"),
    ("syn", &SIX, "tcp"),
    ("icmp", &SIX, "icmpv6"),
];
const SIX: [&str; 2] = ["source=2001:db8::/127", "destination=2001:db8:1::1"];
const FOUR: [&str; 2] = ["source=10.0.0.0-10.0.0.1", "destination=10.1.0.1"];

/// What tshark is asked of each packet.
const FIELDS: [&str; 18] = [
    "frame.len",
    "ip.src",
    "ipv6.src",
    "ip.dst",
    "ipv6.dst",
    "ip.checksum.status",
    "udp.srcport",
    "tcp.srcport",
    "icmp.ident",
    "icmpv6.echo.identifier",
    "udp.dstport",
    "tcp.dstport",
    "udp.checksum.status",
    "tcp.checksum.status",
    "icmp.checksum.status",
    "icmpv6.checksum.status",
    "tcp.flags",
    "frame.protocols",
];

#[test]
fn tshark_reads_what_the_generator_sends() {
    const COUNT: usize = 120;
    let (mut lab, capture) = wire();
    for (kind, addresses, _) in KINDS {
        let kind = format!("frame={kind}");
        let size = if kind == "frame=syn" { "size=90" } else { "size=90-1514" };
        let addresses = if addresses.is_empty() { &FOUR[..] } else { addresses };
        let words =
            [&[kind.as_str(), size, "rate=5kpps", "flows=6", "sport=5000-5002", "dport=7777"], addresses]
                .concat();
        generated(&mut lab, &words, COUNT as u64);
    }
    let file = all_of(capture, COUNT * KINDS.len());
    let packets = tshark(file.path(), "frame", &FIELDS);
    let frames = frames(file.path());
    for (nth, ((kind, addresses, protocol), packets)) in KINDS.iter().zip(packets.chunks(COUNT)).enumerate() {
        let mut flows = std::collections::BTreeSet::new();
        for (number, packet) in packets.iter().enumerate() {
            let (_, frame) = &frames[nth * COUNT + number];
            is_as_asked((kind, addresses.is_empty(), protocol), packet);
            assert_eq!(packet[0], frame.len().to_string());
            flows.insert(packet[1..3].concat() + " " + &packet[6..10].concat());
            let stamp = u64::from_be_bytes(frame[frame.len() - 16..frame.len() - 8].try_into().unwrap());
            assert!(*kind == "syn" || stamp == number as u64, "{kind} {number}: {stamp}");
        }
        assert_eq!(flows.len(), 6, "{kind}: {flows:?}");
    }
}

/// Whether tshark has read of a packet what the generator was told.
fn is_as_asked((kind, four, protocol): (&str, bool, &str), packet: &[String]) {
    let destination = if four { [&packet[3], "10.1.0.1"] } else { [&packet[4], "2001:db8:1::1"] };
    assert_eq!(destination[0], destination[1], "{packet:?}");
    assert!(!four || packet[5] == "1", "the IP checksum: {packet:?}");
    let checks: Vec<&str> =
        packet[12..16].iter().map(String::as_str).filter(|check| !check.is_empty()).collect();
    assert_eq!(checks, ["1"], "the checksum: {packet:?}");
    assert!(packet[17].split(':').any(|found| found == protocol), "{protocol}: {packet:?}");
    let flags = match kind {
        "tcp" => "0x0018",
        "syn" => "0x0002",
        _ => "",
    };
    assert_eq!(packet[16], flags, "{packet:?}");
    assert!(kind == "icmp" || packet[10..12].concat() == "7777", "{packet:?}");
}

/// How far from the rate that was asked for a second of packets may be, as the kernel stamps them.
const RATE_TOLERANCE: f64 = 0.05;
/// So many are tried until the machine's other work has left one alone.
const SECONDS: usize = 4;

/// The frame, of some, that is the least late for the rate that was asked for: how much had been sent before it, and when,
/// in seconds.
fn most_punctual(frames: &[(f64, f64)], asked: f64) -> (f64, f64) {
    let late = |(sent, time): &(f64, f64)| time - sent / asked;
    frames.iter().copied().min_by(|a, b| late(a).total_cmp(&late(b))).unwrap()
}

/// The rate at which `count` packets leave, in packets or in bits a second.
fn rate(words: &[&str], count: u64, in_bits: bool, asked: f64) -> f64 {
    let (mut lab, capture) = wire();
    let summary = generated(&mut lab, words, count);
    let file = all_of(capture, count as usize);
    let (mut sent, mut seen) = (0.0, Vec::new());
    for (time_ns, frame) in frames(file.path()) {
        seen.push((sent, time_ns as f64 / 1e9));
        sent += if in_bits { frame.len() as f64 * 8.0 } else { 1.0 };
    }
    // This machine's other work makes frames late, and none early: those count that it has left alone.
    let quarter = seen.len() / 4;
    let (from, to) = (&seen[..quarter], &seen[3 * quarter..]);
    let (from, to) = (most_punctual(from, asked), most_punctual(to, asked));
    let left_out = counter(&summary, "nanoseconds left out") as f64 / 1e9;
    (to.0 - from.0) / (to.1 - from.1 - left_out)
}

#[test]
fn the_rate_is_right_over_a_second() {
    for (words, count, in_bits, asked) in
        [(&["rate=2000pps"][..], 2000, false, 2e3), (&["rate=20mbit", "size=imix"], 7000, true, 2e7)]
    {
        let mut rates = Vec::new();
        let is_right = |rate: &f64| (rate / asked - 1.0).abs() < RATE_TOLERANCE;
        while rates.len() < SECONDS && !rates.iter().any(is_right) {
            rates.push(rate(words, count, in_bits, asked));
        }
        assert!(rates.iter().any(is_right), "{rates:?} a second, {asked} asked");
    }
}

#[test]
fn a_capture_is_sent_as_it_was() {
    let (mut lab, capture) = wire();
    generated(&mut lab, &["size=imix", "rate=5kpps", "flows=7"], 60);
    let original = all_of(capture, 60);
    let capture = Capture::start(&lab.hosts[1], "eth0", "-Q in ether src 02:00:00:00:00:01");
    let word = format!("pcap={}", original.path().display());
    generated(&mut lab, &[&word, "rate=5kpps"], 120);
    let again = frames(all_of(capture, 120).path());
    let original = frames(original.path());
    assert!(
        again.iter().zip(original.iter().cycle()).all(|((_, ours), (_, theirs))| ours == theirs),
        "twice the same"
    );
}
