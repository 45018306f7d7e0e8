//! Random filters and random frames, and tcpdump, which says what passes. Needs Debian's `tcpdump`.

use std::io::Write;
use std::process::{Command, Stdio};

use packet::pcap::Reader;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn one_in(&mut self, cases: usize) -> bool {
        self.below(cases) == 0
    }

    pub(crate) fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// From `WEFT_SEED`, else from the clock.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("WEFT_SEED").ok().and_then(|seed| seed.parse().ok());
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    given.unwrap_or_else(now)
}

/// A frame of few different values, so that filters hit.
pub(crate) fn frame(random: &mut Random) -> Vec<u8> {
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

pub(crate) fn expression(random: &mut Random, depth: usize) -> String {
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
pub(crate) fn judge(capture: &[u8], filter: &str, optimised: bool) -> Result<Vec<usize>, String> {
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
