//! Signatures in real transfers: curl fetches from nginx through `signature`, tcpdump looks on, tcpflow puts the streams
//! together, and grep finds in them what our function tells of.

mod lab;

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;

use lab::{Capture, Netns, Random, Star, Web, counter, frames, function, must, seed, until};
use netbricks::{Context, NetworkFunction, Report};
use packet::parse::Layers;
use packet::wire::IpProtocol;
use packet::{Batch, Pool, PoolConfig};

/// A rule, what grep is asked for it (`-P`), and how often what it matches is put into each file.
const RULES: [(&str, &str, &str); 7] = [
    (r#"alert "word" content "needle-7f3a""#, "needle-7f3a", "needle-7f3a"),
    (r#"alert "bytes" content "|00 ff 10 80|tail" tcp"#, r"\x00\xff\x10\x80tail", "\0\u{ff}\u{10}\u{80}tail"),
    (r#"alert "case" content "MiXeD-CaSe" nocase"#, "(?i)mixed-case", "mIxEd-cAsE"),
    (r#"alert "expression" regex "user-[0-9]{4}@" port 80"#, "user-[0-9]{4}@", "user-0815@"),
    (r#"alert "request" regex "GET /[x-z] HTTP""#, "GET /[x-z] HTTP", ""),
    (r#"alert "other port" content "needle-7f3a" port 81"#, "", ""),
    (r#"alert "nowhere" content "no file has this""#, "no file has this", ""),
];
/// How often each is put into each file, and how long that is.
const TIMES: u64 = 80;
const FILE_BYTES: usize = 150_000;

/// Bytes at random with all patterns at random places.
fn text(random: &mut Random) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..FILE_BYTES).map(|_| random.next() as u8).collect();
    let slots: Vec<usize> = (0..FILE_BYTES / 64).collect();
    for (at, (_, _, pattern)) in RULES.iter().enumerate() {
        // Of a character of up to U+00FF one byte.
        let pattern: Vec<u8> = pattern.chars().map(|c| c as u8).collect();
        for nth in 0..if pattern.is_empty() { 0 } else { TIMES as usize } {
            let slot = slots[(nth * RULES.len() + at) * slots.len() / (RULES.len() * TIMES as usize)];
            let start = slot * 64 + random.below(64 - pattern.len());
            bytes[start..start + pattern.len()].copy_from_slice(&pattern);
        }
    }
    bytes
}

/// A client and a server with short segments that are complete where they are captured.
fn site() -> Star {
    let hosts: [&[&str]; 2] = [
        &["addr add 10.0.0.1/24 dev eth0", "link set eth0 mtu 200"],
        &["addr add 10.0.0.2/24 dev eth0", "link set eth0 mtu 200"],
    ];
    let lab = Star::idle(&hosts.each_ref().map(std::slice::from_ref));
    for host in &lab.hosts {
        host.run("ethtool -K eth0 tx off tso off gso off gro off");
    }
    lab
}

fn rules() -> Vec<String> {
    RULES.iter().map(|(rule, ..)| format!("rule={rule}")).collect()
}

/// Alerts by rule and stream: how many bytes were read by the end of the first hit. And the hits of each rule.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    first: BTreeMap<(String, String), u64>,
    hits: BTreeMap<String, u64>,
}

impl Found {
    /// What a function has told.
    fn ours(report: &Report) -> Self {
        let mut found = Self::default();
        for line in report.lines() {
            let (name, rest) = line.strip_prefix('"').unwrap().split_once("\" tcp ").expect(line);
            let (flow, end) = rest.rsplit_once(' ').unwrap();
            let again = found.first.insert((name.into(), flow.into()), end.parse().unwrap());
            assert_eq!(again, None, "one alert a stream: {line}");
        }
        for (name, _, _) in RULES {
            let name = name.split('"').nth(1).unwrap();
            found.hits.insert(name.into(), report.get(&format!("hits of {name:?}")));
        }
        found
    }

    /// What grep finds in tcpflow's streams.
    fn theirs(capture: &Path) -> Self {
        let mut found = Self::default();
        let directory = tempfile::tempdir().unwrap();
        must(Command::new("tcpflow").args(["-q", "-r"]).arg(capture).arg("-o").arg(directory.path()));
        let entries = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let streams: Vec<_> = entries.filter_map(|path| Some((flow(&path)?, path))).collect();
        assert!(streams.len() >= 10, "{streams:?}");
        for (rule, expression, _) in RULES {
            let name = rule.split('"').nth(1).unwrap();
            let hits = found.hits.entry(name.into()).or_default();
            for (flow, path) in streams.iter().filter(|_| !expression.is_empty()) {
                let hit = grep(expression, path);
                *hits += hit.len() as u64;
                if let Some(end) = hit.first() {
                    found.first.insert((name.into(), flow.clone()), *end);
                }
            }
        }
        found
    }
}

/// The flow of which tcpflow has named a file: `010.000.000.001.40000-010.000.000.002.00080`.
fn flow(path: &Path) -> Option<String> {
    let end = |text: &str| {
        let numbers: Vec<u16> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let [a, b, c, d, port] = numbers[..] else { return None };
        Some(SocketAddrV4::new([a as u8, b as u8, c as u8, d as u8].into(), port))
    };
    let (source, destination) = path.file_name()?.to_str()?.split_once('-')?;
    Some(format!("{} -> {}", end(source)?, end(destination)?))
}

/// Where matches of an expression end in a file.
fn grep(expression: &str, path: &Path) -> Vec<u64> {
    let output =
        Command::new("grep").env("LC_ALL", "C").args(["-obaP", "-e", expression]).arg(path).output().unwrap();
    assert!(output.status.code() <= Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let end = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':').unwrap();
        let start: u64 = std::str::from_utf8(&line[..colon]).unwrap().parse().unwrap();
        start + (line.len() - colon - 1) as u64
    };
    lines.map(end).collect()
}

/// What the function finds in the frames of a capture, all in at one gate.
fn replay(frames: &[(u64, Vec<u8>)], words: &[&str]) -> Found {
    let pool = Pool::new(PoolConfig { buffers: 64, ..PoolConfig::default() }).unwrap();
    let (mut signature, mut ctx) = (function("signature", words, &pool), Context::new(2));
    for (time_ns, frame) in frames {
        ctx.set_now_ns(*time_ns);
        let mut batch = Batch::new();
        batch.push(pool.packet(frame).unwrap()).unwrap();
        signature.process(0, &mut batch, &mut ctx);
        ctx.drain(1, Batch::clear);
    }
    signature.finish(&mut ctx);
    let mut report = Report::default();
    signature.report(&mut report);
    Found::ours(&report)
}

/// How often a text stands whole in a segment.
fn whole_in_segments(frames: &[(u64, Vec<u8>)], text: &[u8]) -> u64 {
    let in_segment = |frame: &[u8]| {
        let layers = Layers::of(frame).unwrap();
        let payload = if layers.protocol == IpProtocol::TCP { layers.l4_payload(frame) } else { &[] };
        payload.windows(text.len()).filter(|window| *window == text).count() as u64
    };
    frames.iter().map(|(_, frame)| in_segment(frame)).sum()
}

#[test]
fn alerts_are_what_grep_finds_in_the_streams_of_tcpflow() {
    let mut random = Random(seed());
    let mut lab = site();
    let rules = rules();
    let words: Vec<&str> = rules.iter().map(String::as_str).collect();
    lab.run_one("signature", &words);
    let (client, server) = (&lab.hosts[0], &lab.hosts[1]);
    let web = Web::with(server, "80", "keepalive_timeout 0; default_type application/octet-stream;");
    let files = ["x", "y", "z"];
    files.iter().for_each(|name| std::fs::write(web.directory().join(name), text(&mut random)).unwrap());
    let capture = Capture::start(client, "eth0", "tcp");
    for name in ["x", "y", "z", "x", "y", "missing"] {
        let fetched = tempfile::NamedTempFile::new().unwrap();
        client.run(&format!("curl -sS -m 10 -o {} http://10.0.0.2/{name}", fetched.path().display()));
        let is_there = files.contains(&name);
        let same = is_there
            && std::fs::read(fetched.path()).unwrap() == std::fs::read(web.directory().join(name)).unwrap();
        assert_eq!(same, is_there, "{name} comes as it is");
    }
    let summary = lab.report();
    let ours = Found::ours(&summary.stages[0].report);
    let last = b"GET /missing";
    let file =
        capture.end_after("the last request", |frame| frame.windows(last.len()).any(|text| text == last));
    let theirs = Found::theirs(file.path());
    assert_eq!(ours, theirs, "ours, and grep's");
    let frames = frames(file.path());
    assert_eq!(replay(&frames, &words), theirs, "of the capture, and grep's");
    // There was something to find, and much of it in two segments.
    assert_eq!((theirs.hits["request"], theirs.hits["nowhere"], theirs.hits["other port"]), (5, 0, 0));
    assert!(theirs.hits["word"] >= 5 * TIMES && theirs.first.len() == 25, "{theirs:?}");
    let whole = whole_in_segments(&frames, b"needle-7f3a");
    assert!(whole > 0 && whole < theirs.hits["word"], "{whole} in one segment each: {theirs:?}");
    assert_eq!(counter(&lab.finish(), "malformed packets"), 0);
}

#[test]
fn a_transfer_that_carries_what_is_to_be_dropped_ends_there() {
    let mut random = Random(seed());
    let mut lab = site();
    lab.run_one("signature", &[r#"rule=drop "exe" content "needle-7f3a""#]);
    let (client, server) = (&lab.hosts[0], &lab.hosts[1]);
    let web = Web::with(server, "80", "keepalive_timeout 0;");
    let mut text = text(&mut random);
    std::fs::write(web.directory().join("bad"), &text).unwrap();
    let at = text.windows(11).position(|window| window == b"needle-7f3a").unwrap();
    text.truncate(at);
    std::fs::write(web.directory().join("good"), &text).unwrap();
    let fetch = |client: &Netns, name: &str| {
        client.tries(&format!("curl -sS -m 2 -o /dev/null -w %{{size_download}} http://10.0.0.2/{name}"))
    };
    assert_eq!(fetch(client, "good"), at.to_string());
    let said = fetch(client, "bad");
    let got: usize = said.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    assert!(got <= at + 10 && got + 300 > at && said.contains("timed out"), "{at}: {said}");
    assert_eq!(fetch(client, "good"), at.to_string(), "another connection passes");
    until("the connection is ended", || counter(&lab.report(), "connections ended") == 1);
}
