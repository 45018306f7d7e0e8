//! tcpdump says what a filter passes: random filters over random packets, whole and cut. Needs Debian's `tcpdump`.

use std::io::Write;
use std::process::{Command, Stdio};

use packet::pcap::{LinkType, Reader, Writer};
use softnic::filter::Filter;

/// Packets of one judgement, and filters of a run.
const FRAMES: usize = 200;
const FILTERS: usize = 150;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_in(&mut self, cases: usize) -> bool {
        self.below(cases) == 0
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// From `WEFT_SEED`, else from the clock.
fn seed() -> u64 {
    let given = std::env::var("WEFT_SEED").ok().and_then(|seed| seed.parse().ok());
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    given.unwrap_or_else(now)
}

/// A frame of few different values, so that filters hit.
fn frame(random: &mut Random) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, random.below(3) as u8, 2, 0, 0, 0, 0, random.below(3) as u8];
    match random.below(8) {
        0 => frame[..6].fill(0xff),
        1 => frame[0] |= 1,
        _ => {}
    }
    for _ in 0..[0, 0, 0, 1, 1, 2][random.below(6)] {
        frame.extend([[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]][random.below(3)]);
        frame.extend([random.below(2) as u8 * 0x20, random.below(3) as u8]);
    }
    let protocol = [6, 6, 6, 17, 17, 1, 58, 132, 2, 47, 50, 44][random.below(12)];
    match random.below(12) {
        0 => {
            frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1]);
            frame.extend([
                10,
                0,
                0,
                random.below(3) as u8,
                0,
                0,
                0,
                0,
                0,
                0,
                10,
                0,
                0,
                random.below(3) as u8,
            ]);
        }
        1 => frame.extend([[0x80, 0x35], [0, 0x2e], [0x88, 0x47], [0x05, 0xdc]][random.below(4)]),
        2..5 => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 40, protocol, 64]);
            for _ in 0..2 {
                frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, random.below(3) as u8]);
            }
            if protocol == 44 {
                frame.extend([[6, 17][random.below(2)], 0, 0, 0, 0, 0, 0, 1]);
            }
        }
        _ => {
            let options = random.below(3) as u8;
            let fragment = [[0, 0], [0x40, 0], [0x20, 0], [0, 3]][random.below(4)];
            frame.extend([
                0x08,
                0x00,
                0x45 + options,
                0,
                0,
                60,
                0,
                1,
                fragment[0],
                fragment[1],
                64,
                protocol,
                0,
                0,
            ]);
            frame.extend([10, 0, random.below(2) as u8, random.below(3) as u8]);
            frame.extend([[10, 0, 0, random.below(3) as u8], [224, 0, 0, 1]][usize::from(random.one_in(6))]);
            frame.extend(std::iter::repeat_n(1, usize::from(options) * 4));
        }
    }
    frame.extend([0, random.below(4) as u8 + 78, 0, random.below(4) as u8 + 78]);
    frame.extend([0, 0, 0, random.below(4) as u8, 0, 0, 0, 0, 0x50, random.below(32) as u8]);
    frame.resize(frame.len() + random.below(80), random.next() as u8 & 3);
    frame
}

fn number(random: &mut Random) -> String {
    let number = [0, 1, 2, 5, 6, 17, 20, 40, 60, 78, 80, 255, 0x0800, 65_535][random.below(14)];
    match random.below(4) {
        0 => format!("{number:#x}"),
        1 if number < 8 => format!("0{number}"),
        _ => number.to_string(),
    }
}

fn arithmetic(random: &mut Random, depth: usize) -> String {
    match random.below(if depth == 0 { 4 } else { 7 }) {
        0 => number(random),
        1 => "len".to_owned(),
        2 | 3 => {
            let protocol =
                random.pick(&["ether", "ip", "ip6", "tcp", "udp", "icmp", "arp", "icmp6", "sctp", "igmp"]);
            let size = random.pick(&["", "", ":1", ":2", ":4"]);
            format!("{protocol}[{}{size}]", random.below(24))
        }
        4 => format!("({})", arithmetic(random, depth - 1)),
        5 => format!("ip[{} & 15]", arithmetic(random, depth - 1)),
        _ => {
            let sign = random.pick(&["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"]);
            // Behind a shift, few bits; behind a division, perhaps none.
            let right =
                if sign == "<<" || sign == ">>" { "3".to_owned() } else { arithmetic(random, depth - 1) };
            format!("{} {sign} {right}", arithmetic(random, depth - 1))
        }
    }
}

fn id(random: &mut Random, kind: &str) -> String {
    match kind {
        "host" => match random.below(6) {
            0 => format!("2001:db8::{}", random.below(3)),
            1 => "224.0.0.1".to_owned(),
            2 => "10.0".to_owned(),
            _ => format!("10.0.{}.{}", random.below(2), random.below(3)),
        },
        "net" => random
            .pick(&[
                "10",
                "10.0",
                "10.0.0.0/8",
                "10.0.1.0/24",
                "10.0.0.2/31",
                "2001:db8::/32",
                "2001:db8::2/127",
                "224.0.0.0 mask 240.0.0.0",
                "0.0.0.0/0",
                "::/0",
                "10.0.0.1/8",
                "10.1",
            ])
            .to_owned(),
        "port" => random.pick(&["78", "79", "80", "81", "http", "domain", "0x50"]).to_owned(),
        "portrange" => random.pick(&["78-79", "81-79", "80", "0-80"]).to_owned(),
        _ => random.pick(&["6", "17", "\\tcp", "\\udp", "1", "\\icmp", "44", "47", "300"]).to_owned(),
    }
}

fn primitive(random: &mut Random) -> String {
    match random.below(12) {
        0 => random
            .pick(&[
                "tcp", "udp", "icmp", "icmp6", "ip", "ip6", "arp", "rarp", "sctp", "igmp", "esp", "ah",
                "pim", "vrrp",
            ])
            .to_owned(),
        1 => format!("vlan {}", random.pick(&["", "0", "1", "2", "4095"])),
        2 => format!("{} {}", random.pick(&["less", "greater"]), 30 + random.below(100)),
        3 => random
            .pick(&["broadcast", "multicast", "ether multicast", "ip multicast", "ip6 multicast"])
            .to_owned(),
        4 => format!(
            "ether {} 2:0:0:0:0:{}",
            random.pick(&["src", "dst", "host", "src or dst"]),
            random.below(3)
        ),
        5 => format!(
            "ether proto {}",
            random.pick(&["0x800", "0x86dd", "\\arp", "46", "0x06", "0x80f3", "0x809b", "0xfe"])
        ),
        6 => random
            .pick(&[
                "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
                "icmp[icmptype] = icmp-echo",
                "icmp6[icmp6type] != icmp6-echo",
            ])
            .to_owned(),
        7 => {
            let relation = random.pick(&["=", "==", "!=", "<", ">", "<=", ">="]);
            format!("{} {relation} {}", arithmetic(random, 2), arithmetic(random, 1))
        }
        _ => {
            let kind = random.pick(&["host", "net", "port", "port", "portrange", "proto"]);
            let protocol = match kind {
                "host" | "net" => random.pick(&["", "", "", "ip", "ip6", "arp", "rarp", "tcp"]),
                "port" | "portrange" => random.pick(&["", "", "tcp", "udp", "sctp", "ip"]),
                _ => random.pick(&["", "ip", "ip6"]),
            };
            let end = if kind == "proto" {
                ""
            } else {
                random.pick(&["", "src", "dst", "src or dst", "src and dst", "dst or src"])
            };
            let mut ids = id(random, kind);
            match random.below(6) {
                0 => ids = format!("({ids} or {})", id(random, kind)),
                1 => {
                    ids =
                        format!("{ids} {} {}", random.pick(&["or", "and", "or not", "||"]), id(random, kind));
                }
                _ => {}
            }
            format!("{protocol} {end} {kind} {ids}")
        }
    }
}

fn expression(random: &mut Random, depth: usize) -> String {
    let mut text = String::new();
    for term in 0..1 + random.below(3) {
        if term > 0 {
            text.push_str(random.pick(&[" and ", " or ", " && ", " || "]));
        }
        if random.one_in(4) {
            text.push_str(random.pick(&["not ", "! "]));
        }
        match depth > 0 && random.one_in(4) {
            true => text.push_str(&format!("({})", expression(random, depth - 1))),
            false => text.push_str(&primitive(random)),
        }
    }
    text
}

/// Which of the frames tcpdump passes; the sentence, if it does not take the filter.
fn judge(capture: &[u8], filter: &str, optimised: bool) -> Result<Vec<usize>, String> {
    let mut tcpdump = Command::new("tcpdump");
    if !optimised {
        tcpdump.arg("-O");
    }
    tcpdump.args(["-n", "-r", "-", "-w", "-", filter]);
    let mut tcpdump =
        tcpdump.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tcpdump");
    let mut input = tcpdump.stdin.take().unwrap();
    let capture = capture.to_vec();
    // It may end before it has read all.
    let writing = std::thread::spawn(move || input.write_all(&capture).is_ok());
    let output = tcpdump.wait_with_output().unwrap();
    writing.join().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut reader = Reader::new(output.stdout.as_slice()).unwrap();
    let mut passed = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        passed.push((record.timestamp_ns / 1_000_000_000) as usize);
    }
    Ok(passed)
}

/// Compares; whether tcpdump took the filter, and how many frames passed.
fn compare(frames: &[(Vec<u8>, u32)], text: &str, optimised: bool, seed: u64) -> Option<usize> {
    let mut writer = Writer::new(Vec::new(), LinkType::ETHERNET).unwrap();
    for (at, (frame, length)) in frames.iter().enumerate() {
        writer.write_cut(at as u64 * 1_000_000_000, frame, *length).unwrap();
    }
    let capture = writer.into_inner().unwrap();
    let ours: Result<Filter, _> = text.parse();
    match (judge(&capture, text, optimised), ours) {
        (Ok(theirs), Ok(filter)) => {
            let ours: Vec<usize> = (0..frames.len())
                .filter(|at| filter.matches_captured(&frames[*at].0, frames[*at].1))
                .collect();
            let differs = (0..frames.len()).find(|at| ours.contains(at) != theirs.contains(at));
            if let Some(at) = differs {
                let (frame, length) = &frames[at];
                panic!(
                    "WEFT_SEED={seed}: '{text}', tcpdump passes it: {}, {length} bytes: {frame:02x?}",
                    theirs.contains(&at)
                );
            }
            Some(theirs.len())
        }
        (Err(sentence), Ok(filter)) if sentence.contains("rejects all packets") => {
            let passed =
                frames.iter().filter(|(frame, length)| filter.matches_captured(frame, *length)).count();
            assert_eq!(passed, 0, "WEFT_SEED={seed}: '{text}': {sentence}");
            None
        }
        // libpcap takes `x % ip[0]` for a division by the index.
        (Err(sentence), Ok(_)) if sentence.contains("by zero") => None,
        (Err(_), Err(_)) => None,
        (Err(sentence), Ok(_)) => panic!("WEFT_SEED={seed}: only we take '{text}': {sentence}"),
        (Ok(_), Err(error)) => panic!("WEFT_SEED={seed}: only tcpdump takes '{text}': {error}"),
    }
}

#[test]
fn random_filters_pass_what_tcpdump_passes() {
    let seed = seed();
    let mut random = Random(seed);
    let (mut taken, mut passed) = (0, 0);
    for turn in 0..FILTERS {
        // The optimiser leaves loads out, and with them the failures of cut frames.
        let optimised = turn % 3 == 0;
        let frames: Vec<(Vec<u8>, u32)> = (0..FRAMES)
            .map(|_| {
                let mut frame = frame(&mut random);
                let length = frame.len() as u32;
                if optimised {
                    frame.resize(200, 0);
                } else if random.one_in(4) {
                    frame.truncate(random.below(60).min(frame.len()));
                }
                let length = length.max(frame.len() as u32);
                (frame, length)
            })
            .collect();
        let text = expression(&mut random, 2);
        if let Some(frames) = compare(&frames, &text, optimised, seed) {
            taken += 1;
            passed += frames;
        }
    }
    println!("WEFT_SEED={seed}: {taken} filters taken, {passed} frames passed");
    assert!(taken > FILTERS / 3, "WEFT_SEED={seed}: {taken}");
    let all = taken * FRAMES;
    assert!(passed > all / 20 && passed < all * 19 / 20, "WEFT_SEED={seed}: {passed} of {all}");
}

#[test]
fn what_is_no_filter_is_told_where() {
    for (text, at) in [
        ("host", 4),
        ("tcp and", 7),
        ("port 80 80", 8),
        ("10.0.0.1", 0),
        ("host example.org", 5),
        ("src 10.0.0.0/8", 4),
        ("tcp[0:3] = 1", 6),
        ("ip[0] = 1 / 0", 13),
        ("(tcp", 4),
        ("vlan 4096", 9),
        ("tcp or $", 7),
    ] {
        assert_eq!(text.parse::<Filter>().unwrap_err().at, at, "{text}");
    }
    let deep = format!("{}tcp{}", "(".repeat(40), ")".repeat(40));
    assert!(deep.parse::<Filter>().is_err());
    assert!(" ".repeat(5000).parse::<Filter>().is_err());
    assert!(format!("tcp{}", " or tcp".repeat(511)).parse::<Filter>().is_ok());
    assert!(format!("tcp{}", " or tcp".repeat(512)).parse::<Filter>().is_err());
    assert!("".parse::<Filter>().unwrap().matches(&[]));
}
