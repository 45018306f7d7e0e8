//! `weft netbricks`, with the real binary.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use packet::pcap::{LinkType, Writer};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

/// Ethernet from 02:00:00:00:00:02 to 02:00:00:00:00:01, IPv4, UDP 10.0.0.1:12345 -> 10.0.0.2:53, `hi`.
const FRAME: [u8; 44] = [
    2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, // Ethernet
    0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0x66, 0xcd, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
    0x30, 0x39, 0, 53, 0, 10, 0, 0, b'h', b'i', // UDP
];

fn weft(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.arg("netbricks").args(args).current_dir(directory).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn run(directory: &Path, args: &[&str]) -> Output {
    weft(directory, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command that does its job prints.
fn ok(directory: &Path, args: &[&str]) -> String {
    let output = run(directory, args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// What a command says that fails with a code.
fn fails(directory: &Path, code: i32, args: &[&str]) -> String {
    let output = run(directory, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
    // Without the frame and the line breaks of a terminal.
    text(&output.stderr).split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

/// A directory with `in.pcap`: three frames, a second apart, and one that is too short for Ethernet.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(Vec::new(), LinkType::ETHERNET).unwrap();
    (1..=3).for_each(|second| writer.write(second * 1_000_000_000, &FRAME).unwrap());
    writer.write(4_000_000_000, &FRAME[..13]).unwrap();
    std::fs::write(directory.path().join("in.pcap"), writer.into_inner().unwrap()).unwrap();
    directory
}

#[test]
fn tcpdump_reads_what_macswap_wrote_and_every_frame_is_accounted_for() {
    let directory = directory();
    let args = ["run", "macswap", "--in", "pcap:in.pcap", "--out", "pcap:out.pcap"];
    let said = ok(directory.path(), &args);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "macswap");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("  dropped, truncated: ethernet header") && line.ends_with(" 1"))
    );
    assert_eq!(*lines.last().unwrap(), "4 packets in, 3 out, 0 kept, 3.000 s: no input is left");
    let tcpdump =
        Command::new("tcpdump").args(["-nettr", "out.pcap"]).current_dir(directory.path()).output().unwrap();
    let told = text(&tcpdump.stdout);
    assert_eq!(told.lines().count(), 3, "{told}{}", text(&tcpdump.stderr));
    for (line, second) in told.lines().zip(1..) {
        let swapped = format!("{second}.000000 02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype IPv4");
        assert!(line.starts_with(&swapped) && line.contains("10.0.0.1.12345 > 10.0.0.2.53"), "{line}");
    }
    let once = std::fs::read(directory.path().join("out.pcap")).unwrap();
    ok(directory.path(), &args);
    assert_eq!(once, std::fs::read(directory.path().join("out.pcap")).unwrap());
}

#[test]
fn programs_read_json_and_limits_hold() {
    let directory = directory();
    let args = [
        "run",
        "macswap",
        "macswap",
        "--in",
        "pcap:in.pcap",
        "--out",
        "pcap:out.pcap",
        "--json",
        "--packets",
        "2",
    ];
    let said: Value = serde_json::from_str(&ok(directory.path(), &args)).unwrap();
    assert_eq!(
        (&said["packets_in"], &said["packets_out"], &said["elapsed_ns"]),
        (&2.into(), &2.into(), &1_000_000_000.into())
    );
    assert_eq!(said["functions"].as_array().unwrap().len(), 2);
    assert_eq!(said["functions"][1]["counters"]["packets in at gate 0"], 2);
    assert_eq!(
        (&said["ports"][1]["port"], &said["ports"][1]["tx_packets"]),
        (&"pcap:,out=out.pcap".into(), &2.into())
    );
    // Swapped twice, it is what it was.
    let mut written = packet::pcap::open(directory.path().join("out.pcap")).unwrap();
    assert_eq!(written.next().unwrap().unwrap().data, FRAME);
}

#[test]
fn an_interrupt_ends_a_run_cleanly() {
    let directory = directory();
    let args = ["run", "macswap", "--in", "ring:quiet", "--every", "10ms", "--json"];
    let mut child = weft(directory.path(), &args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let first: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(first["ended"], Value::Null);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let last: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert_eq!(last["ended"], "stopped");
    assert!(child.wait().unwrap().success());
}

#[test]
fn isolated_functions_write_the_same_file() {
    let directory = directory();
    let rules = "# one a line\ndeny tcp any any\npermit udp 10.0.0.0/8 any 53\n";
    std::fs::write(directory.path().join("rules.txt"), rules).unwrap();
    let words =
        ["run", "macswap", "acl", "rule=@rules.txt", "firewall", "rule=permit out any any", "--seed", "1"];
    let into = |out: &str, more: &[&str]| {
        let out = format!("pcap:{out}");
        let args = [&words, &["--json", "--in", "pcap:in.pcap", "--out", &out][..], more].concat();
        serde_json::from_str::<Value>(&ok(directory.path(), &args)).unwrap()
    };
    let (plain, isolated) = (into("plain.pcap", &[]), into("isolated.pcap", &["--isolate"]));
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    assert_eq!(read("plain.pcap"), read("isolated.pcap"));
    assert_eq!((&plain["packets_out"], &isolated["packets_out"]), (&3.into(), &3.into()));
    let counters = &isolated["functions"][0]["counters"];
    assert_eq!(
        (&counters["restarts of the process"], &counters["dropped by the process"]),
        (&0.into(), &1.into())
    );
    assert_eq!(plain["functions"][0]["counters"]["restarts of the process"], Value::Null);
}

/// What the function itself says is the same; its drops are counters where it is isolated.
#[test]
fn an_isolated_function_reports_what_it_reports_elsewhere() {
    let directory = directory();
    for words in [
        &["acl", "rule=deny udp any any", "rule=permit tcp any any"][..],
        &["firewall", "rule=permit out any any"],
        &["nat44", "inside=10.0.0.2/24", "outside=192.0.2.2/24", "gateway=192.0.2.1"],
        &["signature", "rule=drop \"greeting\" content \"hi\" udp"],
        &["router", "interface=0,address=10.0.0.2/24", "interface=1,address=192.0.2.2/30"],
    ] {
        let said = |more: &[&str]| -> Value {
            let args = ["--seed", "1", "--json", "--in", "pcap:in.pcap", "--out", "pcap:out.pcap"];
            serde_json::from_str(&ok(directory.path(), &[&["run"], words, &args, more].concat())).unwrap()
        };
        let (plain, isolated) = (said(&[]), said(&["--isolate"]));
        let (plain, isolated) = (&plain["functions"][0], &isolated["functions"][0]);
        assert_eq!(plain["lines"], isolated["lines"], "{words:?}");
        let counters = plain["counters"].as_object().unwrap().iter();
        let drops = plain["drops"].as_object().unwrap().iter();
        let expected: Vec<_> = counters
            .map(|(name, value)| (name.clone(), value))
            .chain(drops.map(|(cause, value)| (format!("dropped, {cause}"), value)))
            .collect();
        // More than what the line itself counts.
        assert!(
            expected.len() > 2 && expected.iter().any(|(name, _)| name.starts_with("dropped")),
            "{plain}"
        );
        for (name, value) in expected {
            assert_eq!(&isolated["counters"][&name], value, "{words:?}, {name}: {isolated}");
        }
    }
}

#[test]
fn every_function_that_may_be_isolated_runs_under_the_filter() {
    let directory = directory();
    for words in [
        &["maglev", "vip=10.0.0.2:53/udp", "backend=10.0.0.3:53"][..],
        &["nat44", "inside=10.0.0.2/24", "outside=192.0.2.2/24", "gateway=192.0.2.1"],
        &["nat64", "inside=fd00::1/64", "outside=192.0.2.2/24", "gateway=192.0.2.1"],
        &["ping", "address=192.0.2.7"],
        &["ratelimit", "rate=10mbit", "per=source"],
        &["router", "interface=0,address=10.0.0.2/24", "interface=1,address=192.0.2.2/30"],
        &["signature", "rule=drop \"greeting\" content \"hi\" udp"],
        &["synguard", "rate=500"],
    ] {
        let args = ["--seed", "1", "--isolate", "--json", "--in", "pcap:in.pcap", "--out", "pcap:out.pcap"];
        let said: Value =
            serde_json::from_str(&ok(directory.path(), &[&["run"], words, &args].concat())).unwrap();
        let counters = &said["functions"][0]["counters"];
        let deaths = (&counters["restarts of the process"], &counters["lost with the process"]);
        assert_eq!((deaths, &said["held"]), ((&0.into(), &0.into()), &0.into()), "{words:?}: {said}");
        assert_eq!(counters["packets in at gate 0"], 4);
    }
}

/// A listening socket that `unix:PATH,connect=on` connects to, and gives up waiting after a minute.
fn listener(path: &Path) -> OwnedFd {
    let socket = net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    let minute = Some(Duration::from_secs(60));
    net::sockopt::set_socket_timeout(&socket, net::sockopt::Timeout::Recv, minute).unwrap();
    net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    net::listen(&socket, 1).unwrap();
    socket
}

#[test]
fn an_isolated_function_that_is_killed_is_replaced() {
    let directory = directory();
    let listeners = ["a", "b"].map(|name| listener(&directory.path().join(name)));
    let ports = ["--in", "unix:a,connect=on", "--out", "unix:b,connect=on"];
    let secret = "981726354";
    let args = [&["run", "macswap", "--isolate", "--json", "--seed", secret][..], &ports].concat();
    let weft = weft(directory.path(), &args).stdout(Stdio::piped()).spawn().unwrap();
    let [a, b] = listeners.map(|listener| {
        let socket = net::accept(&listener).unwrap();
        let minute = Some(Duration::from_secs(60));
        net::sockopt::set_socket_timeout(&socket, net::sockopt::Timeout::Recv, minute).unwrap();
        socket
    });
    let passes = || {
        net::send(&a, &FRAME, SendFlags::empty()).unwrap();
        let mut got = [0; 64];
        // A receive with a timeout is not restarted after a signal (signal(7)).
        let (count, _) = retry_on_intr(|| net::recv(&b, &mut got, RecvFlags::empty())).unwrap();
        assert_eq!(got[..count], [&FRAME[6..12], &FRAME[..6], &FRAME[12..]].concat());
    };
    passes();
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", weft.id())).unwrap();
    let [guest] = children.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{children}") };
    let arguments = text(&std::fs::read(format!("/proc/{guest}/cmdline")).unwrap());
    assert!(arguments.ends_with("__function\0macswap\0") && !arguments.contains(secret), "{arguments:?}");
    assert!(std::fs::read(format!("/proc/{guest}/environ")).unwrap().is_empty());
    let guest = Pid::from_raw(guest.parse().unwrap()).unwrap();
    let end = pidfd_open(guest, PidfdFlags::empty()).unwrap();
    kill_process(guest, Signal::KILL).unwrap();
    poll(&mut [PollFd::new(&end, PollFlags::IN)], None).unwrap();
    passes();
    kill_process(Pid::from_child(&weft), Signal::INT).unwrap();
    let output = weft.wait_with_output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counters = &said["functions"][0]["counters"];
    assert_eq!(
        (&counters["restarts of the process"], &counters["lost with the process"]),
        (&1.into(), &0.into())
    );
    assert_eq!((&said["packets_in"], &said["packets_out"]), (&2.into(), &2.into()));
}

#[test]
fn every_function_is_listed_with_its_manual() {
    let directory = directory();
    let listed: Value = serde_json::from_str(&ok(directory.path(), &["list", "--json"])).unwrap();
    let (listed, short) = (listed.as_array().unwrap(), ok(directory.path(), &["list"]));
    assert!(!listed.is_empty());
    assert_eq!(short.lines().count(), listed.len());
    for (function, line) in listed.iter().zip(short.lines()) {
        let word = |key: &str| function[key].as_str().unwrap();
        assert!(line.starts_with(word("name")) && line.ends_with(word("summary")), "{line}");
        let manual = ok(directory.path(), &["list", word("name")]);
        assert!(manual.contains(word("manual")) && manual.contains("Example:"), "{manual}");
    }
}

#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    let directory = directory();
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let output = weft(directory.path(), &["list"]).stdout(full()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr).trim(), "× standard output: No space left on device (os error 28)");
    let files = ["run", "macswap", "--in", "pcap:in.pcap", "--out", "pcap:/dev/full"];
    assert!(
        fails(directory.path(), 1, &files).contains("pcap:/dev/full: the capture file: at byte 24: No space")
    );
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let directory = directory();
    let files = ["--in", "pcap:in.pcap", "--out", "pcap:out.pcap"];
    let fails = |code, words: &[&str], ports: &[&str], said: &str| {
        let error = fails(directory.path(), code, &[&["run"], words, ports].concat());
        assert!(error.contains(said), "{words:?} {ports:?}: {error}");
    };
    fails(2, &["macswop"], &files, "there is no network function 'macswop'");
    fails(2, &["macswop"], &files, "did you mean 'macswap'?");
    fails(2, &["macswap", "to=x"], &files, "macswap: it takes no to=…; it takes no arguments");
    fails(2, &["macswap", "to=x"], &files, "`weft netbricks list macswap` prints its manual");
    fails(2, &["to=x", "macswap"], &files, "KEY=VALUE follows the name of the function");
    let isolated = [&files[..], &["--isolate"]].concat();
    fails(2, &["dump"], &isolated, "dump: it cannot be isolated: it tells what it sees");
    fails(2, &["acl", "rule=@none"], &isolated, "acl: rule=@none: No such file");
    fails(2, &["macswap"], &[], "--in <PORT>");
    fails(2, &["macswap"], &["--in", "dpdk:0"], "kind dpdk: the kinds are tap, packet, veth");
    fails(2, &["macswap"], &["--in", "pcap:in.pcap", "--duration", "3"], "a duration is wanted: 20ms, 1.5s");
    fails(1, &["macswap"], &["--in", "pcap:none.pcap"], "none.pcap is not there: check the path");
    fails(1, &["macswap"], &["--in", "pcap:in.pcap", "--out", "pcap:./in.pcap"], "write to another file");
    assert_eq!(
        packet::pcap::open(directory.path().join("in.pcap")).unwrap().next().unwrap().unwrap().data,
        FRAME
    );
}
