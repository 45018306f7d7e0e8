//! What a message costs to read and write: instructions and CPU time.
//!
//! `cargo bench -p openflow --bench codec`. Instructions are counted by valgrind's callgrind, of three times as many
//! messages less those of once as many, so that only messages count. Times are the thread's CPU time: the best of some
//! runs. Messages are those of a learning switch: a packet-in of the smallest frame, a flow-mod of port and addresses
//! with one output, a packet-out of the frame.

use std::hint::black_box;
use std::process::Command;

use openflow::Version;
use openflow::action::Action;
use openflow::codec::{self, PacketInView};
use openflow::flow::{FlowMod, NO_BUFFER, PacketIn, PacketInFormat, PacketInReason, PacketOut};
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{Body, Message};
use openflow::port::PortNo;
use packet::wire::MacAddr;
use rustix::time::{ClockId, clock_gettime};

/// Bytes of the smallest frame, without its check sequence.
const FRAME_LEN: u16 = 60;
/// Messages of a count, and of a run that is timed.
const COUNTED: u64 = 2000;
const TIMED: u64 = 200_000;
/// Runs that are timed.
const RUNS: usize = 7;

const WORK: [&str; 5] =
    ["packet-in viewed", "packet-in decoded", "flow-mod encoded", "flow-mod decoded", "packet-out encoded"];

fn frame() -> Vec<u8> {
    vec![2; FRAME_LEN.into()]
}

fn packet_in() -> Body {
    Body::PacketIn(PacketIn {
        format: PacketInFormat::Standard,
        buffer: NO_BUFFER,
        total_len: FRAME_LEN,
        reason: PacketInReason::NoMatch,
        table: 0,
        cookie: 0,
        metadata: Match::new().in_port(PortNo(3)),
        data: frame(),
    })
}

fn flow_mod(version: Version) -> Body {
    let matching = Match::new().in_port(PortNo(3)).eth_src(MacAddr([2; 6])).eth_dst(MacAddr([4; 6]));
    Body::FlowMod(FlowMod {
        idle_timeout: 10,
        hard_timeout: 30,
        matching: matching.for_version(version),
        instructions: vec![Instruction::ApplyActions(vec![Action::output(PortNo(4))])],
        ..FlowMod::default()
    })
}

fn packet_out() -> Body {
    let actions = vec![Action::output(PortNo(4))];
    Body::PacketOut(PacketOut { buffer: NO_BUFFER, in_port: PortNo(3), actions, data: frame() })
}

/// Does one kind of work so many times.
fn run(work: &str, version: Version, times: u64) {
    let body = match work {
        "packet-in viewed" | "packet-in decoded" => packet_in(),
        "flow-mod encoded" | "flow-mod decoded" => flow_mod(version),
        _ => packet_out(),
    };
    let message = Message::new(1, body);
    let mut bytes = Vec::new();
    codec::encode(version, &message, &mut bytes).expect("a message of that version");
    let mut out = Vec::with_capacity(bytes.len());
    for _ in 0..times {
        match work {
            "packet-in viewed" => {
                black_box(PacketInView::new(black_box(&bytes)).expect("a packet-in"));
            }
            "packet-in decoded" | "flow-mod decoded" => {
                black_box(codec::decode(black_box(&bytes)).expect("a message"));
            }
            _ => {
                out.clear();
                codec::encode(version, black_box(&message), &mut out).expect("a message of that version");
                black_box(&out);
            }
        }
    }
}

/// Instructions per message, as callgrind counts them.
fn instructions(work: &str, version: Version) -> u64 {
    let count = |times: u64| -> u64 {
        let program = std::env::current_exe().expect("this program");
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(program)
            .args(["run", work, &version.wire().to_string(), &times.to_string()])
            .output()
            .expect("valgrind: `tests/install.sh bench` installs it");
        let text = String::from_utf8_lossy(&output.stderr);
        let count =
            text.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim());
        count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("callgrind says: {text}"))
    };
    (count(3 * COUNTED) - count(COUNTED)) / (2 * COUNTED)
}

/// Nanoseconds of CPU per message, at best.
fn nanoseconds(work: &str, version: Version) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let timed = |_| {
        let start = now();
        run(work, version, TIMED);
        (now() - start) / TIMED as f64
    };
    (0..RUNS).map(timed).fold(f64::INFINITY, f64::min)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, work, version, times] = &arguments[..]
        && word == "run"
    {
        let version = version.parse().ok().and_then(Version::from_wire).expect("a version");
        return run(work, version, times.parse().expect("a number"));
    }
    println!("| work | version | instructions | ns |\n|---|---|---|---|");
    for work in WORK {
        for version in Version::ALL {
            let (instructions, ns) = (instructions(work, version), nanoseconds(work, version));
            println!("| {work} | {version} | {instructions} | {ns:.0} |");
        }
    }
}
