//! What the hooks TcpDump and PcapNg write is what has passed, as tshark reads it: packet by packet lengths, addresses, ports
//! and types of each protocol, times, every byte, and with PcapNg the metadata attributes. Needs Debian's `tshark`.

mod bess_kit;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use bess_kit::frames::{datagram, framed, ip, segment, tagged};
use bess_kit::{Daemon, packed};
use packet::fuzzing::bounded::{self, Random};
use packet::pcap::Reader;
use packet::wire::{EtherType, IpProtocol, tcp};
use pb::gate_hook_info::Gate;
use prost_types::Any;
use rustix::net::{SendFlags, send};
use softnic::bess::{Config, pb};

const EMPTY: pb::EmptyRequest = pb::EmptyRequest {};
const NO_ARG: pb::EmptyArg = pb::EmptyArg {};
/// Frames that are sent.
const FRAMES: u64 = 120;
/// How far the clocks that stamp and judge may be apart: both run from the same one, which may be set right meanwhile.
const CLOCKS_APART: Duration = Duration::from_millis(5);

/// What tshark is asked of each packet.
const FIELDS: [&str; 22] = [
    "frame.len",
    "frame.cap_len",
    "eth.src",
    "eth.dst",
    "eth.type",
    "vlan.id",
    "vlan.etype",
    "ip.src",
    "ip.dst",
    "ip.proto",
    "ipv6.src",
    "ipv6.dst",
    "udp.srcport",
    "udp.dstport",
    "udp.length",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags",
    "tcp.len",
    "icmp.type",
    "icmpv6.type",
    "arp.opcode",
];

/// A frame, and what tshark should say of it: fields that it does not have are left out.
struct Sent {
    frame: Vec<u8>,
    said: BTreeMap<&'static str, String>,
    /// When it was sent, and when it had passed, since 1970.
    span: (Duration, Duration),
}

/// A frame of one of seven kinds, with random ends and length.
fn frame(random: &mut Random) -> Sent {
    let mut said = BTreeMap::new();
    let (six, length) = (random.one_in(2), random.below(1300));
    let [from, to] = [(); 2].map(|()| random.below(250) + 1);
    let host = |host: usize| if six { format!("fd00::{host:x}") } else { format!("10.1.2.{host}") };
    // Above those that name a protocol, so that a payload is a payload.
    let [from_port, to_port] = [(); 2].map(|()| random.below(5000) + 60_000);
    let end = |at: usize, port: usize| {
        if six { format!("[{}]:{port}", host(at)) } else { format!("{}:{port}", host(at)) }
    };
    let ends = [end(from, from_port), end(to, to_port)];
    let ends = [&*ends[0], &*ends[1]];
    let payload = random.bytes(length);
    let kind = random.below(4);
    let mut frame = match kind {
        0 => {
            said.insert("udp.srcport", from_port.to_string());
            said.insert("udp.dstport", to_port.to_string());
            said.insert("udp.length", (8 + length).to_string());
            datagram(ends, &payload)
        }
        1 => {
            let flags = [tcp::Flags::SYN, tcp::Flags::ACK, tcp::Flags::RST, tcp::Flags::FIN][random.below(4)];
            said.insert("tcp.srcport", from_port.to_string());
            said.insert("tcp.dstport", to_port.to_string());
            said.insert("tcp.flags", flags.0.to_string());
            said.insert("tcp.len", length.to_string());
            segment(ends, flags, &payload)
        }
        2 => {
            let (kind, protocol, field) = if six {
                (128, IpProtocol::ICMPV6, "icmpv6.type")
            } else {
                (8, IpProtocol::ICMP, "icmp.type")
            };
            said.insert(field, kind.to_string());
            let message = [&[kind, 0, 0, 0, 0, 7, 0, 9][..], &payload].concat();
            ip(host(from).parse().unwrap(), host(to).parse().unwrap(), protocol, &message)
        }
        _ => {
            let opcode = random.below(2) as u8 + 1;
            said.insert("arp.opcode", opcode.to_string());
            let ask = [&[0, 1, 8, 0, 6, 4, 0, opcode][..], &[2; 6], &[10, 0, 0, 1], &[0; 6], &[10, 0, 0, 2]];
            framed(EtherType::ARP, &ask.concat())
        }
    };
    let inner = match kind {
        3 => EtherType::ARP,
        _ if six => EtherType::IPV6,
        _ => EtherType::IPV4,
    };
    if kind < 3 {
        let [source, destination] = if six { ["ipv6.src", "ipv6.dst"] } else { ["ip.src", "ip.dst"] };
        said.insert(source, host(from));
        said.insert(destination, host(to));
        if !six {
            said.insert("ip.proto", ["17", "6", "1"][kind].to_owned());
        }
    }
    let mut outer = inner;
    if random.one_in(3) {
        let id = random.below(4094) as u16 + 1;
        frame = tagged(&frame, EtherType::VLAN, id);
        outer = EtherType::VLAN;
        said.insert("vlan.id", id.to_string());
        said.insert("vlan.etype", inner.0.to_string());
    }
    said.insert("eth.src", "02:00:00:00:00:01".to_owned());
    said.insert("eth.dst", "02:00:00:00:00:02".to_owned());
    said.insert("eth.type", outer.0.to_string());
    said.insert("frame.len", frame.len().to_string());
    said.insert("frame.cap_len", frame.len().to_string());
    Sent { frame, said, span: (Duration::ZERO, Duration::ZERO) }
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

/// What tshark says of each packet of a file: these fields, of each the first there is.
fn tshark(file: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(file).args(["-T", "fields", "-E", "separator=|", "-E", "occurrence=f"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark is installed (tests/install.sh test)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

/// A number that tshark writes in hexadecimal, with as many digits as its version likes, in decimal.
fn decimal(text: &str) -> String {
    let number = text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16).unwrap());
    number.map_or_else(|| text.to_owned(), |number| number.to_string())
}

/// The packets of a file, as tshark writes them anew.
fn bytes(file: &Path) -> Vec<Vec<u8>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-F", "nsecpcap", "-w", "-"]);
    let output = command.output().unwrap();
    let mut reader = Reader::new(&output.stdout[..]).unwrap();
    let mut packets = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        packets.push(record.data.to_vec());
    }
    packets
}

/// Seconds since 1970, as tshark writes them.
fn time(text: &str) -> Duration {
    let (seconds, fraction) = text.split_once('.').unwrap();
    let nanoseconds: u32 = format!("{fraction:0<9}").parse().unwrap();
    Duration::new(seconds.parse().unwrap(), nanoseconds)
}

fn hook(class: &str, module: &str, gate: Gate, fifo: &Path) -> pb::GateHookInfo {
    let fifo = fifo.to_str().unwrap().to_owned();
    let arg = if class == "TcpDump" {
        packed(&pb::TcpdumpArg { fifo, ..Default::default() })
    } else {
        packed(&pb::PcapngArg { fifo, ..Default::default() })
    };
    let (class_name, module_name) = (class.to_owned(), module.to_owned());
    pb::GateHookInfo { class_name, module_name, gate: Some(gate), arg: Some(arg), ..Default::default() }
}

fn configure(daemon: &mut Daemon, hook: pb::GateHookInfo, enable: bool) -> i32 {
    daemon.tell("ConfigureGateHook", &pb::ConfigureGateHookRequest { hook: Some(hook), enable }).0
}

/// Sends a frame, and waits until it has been taken through the graph, the `count`th there is.
fn pass(daemon: &mut Daemon, socket: &OwnedFd, frame: &[u8], count: u64) {
    send(socket, frame, SendFlags::empty()).unwrap();
    let request = pb::GetTcStatsRequest { name: "!leaf_in:0".to_owned() };
    let start = Instant::now();
    while daemon.ask::<pb::GetTcStatsResponse>("GetTcStats", &request).packets < count {
        assert!(start.elapsed() < Duration::from_secs(20), "frame {count} never passed");
    }
}

/// A socket, from which everything goes through modules of these classes, names and arguments to a sink.
fn daemon(modules: &[(&str, &str, Any)]) -> (Daemon, OwnedFd) {
    let mut daemon = Daemon::start(Config { buffers: 1024, ..Config::default() });
    let socket = daemon.socket("p");
    daemon.module("PortInc", "in", &pb::PortIncArg { port: "p".to_owned(), prefetch: false });
    let mut way = vec!["in"];
    for (class, name, arg) in modules.iter().chain(&[("Sink", "sink", packed(&NO_ARG))]) {
        way.push(*name);
        let (name, mclass, arg) = ((*name).to_owned(), (*class).to_owned(), Some(arg.clone()));
        daemon.must("CreateModule", &pb::CreateModuleRequest { name, mclass, arg });
    }
    for pair in way.windows(2) {
        daemon.connect(pair[0], 0, 0, pair[1]);
    }
    (daemon, socket)
}

#[test]
fn every_packet_is_as_it_was_sent() {
    let seed = bounded::seed(None);
    println!("WEFT_FUZZ_SEED={seed}");
    let mut random = Random(seed);
    let (mut daemon, socket) = daemon(&[]);
    let directory = tempfile::tempdir().unwrap();
    let [fifo, pcap, pcapng] = ["fifo", "a.pcap", "a.pcapng"].map(|name| directory.path().join(name));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // The one on the way in, through a FIFO; the other on the way out, into a file.
    let on_fifo = hook("TcpDump", "sink", Gate::Igate(0), &fifo);
    assert_eq!(configure(&mut daemon, on_fifo.clone(), true), 6, "it has no reader yet");
    let reader = Command::new("cat")
        .arg(&fifo)
        .stdout(std::fs::File::create(&pcap).unwrap())
        .stdin(Stdio::null())
        .spawn();
    let start = Instant::now();
    while configure(&mut daemon, on_fifo.clone(), true) != 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "nobody reads");
    }
    let on_file = hook("PcapNg", "in", Gate::Ogate(0), &pcapng);
    assert_eq!(configure(&mut daemon, on_file.clone(), true), 0);
    let hooks: pb::ListGateHooksResponse = daemon.ask("ListGateHooks", &EMPTY);
    assert_eq!(hooks.hooks.len(), 3, "the two, and Track");
    daemon.must("ResumeAll", &EMPTY);
    let mut sent = Vec::new();
    for count in 1..=FRAMES {
        let mut one = frame(&mut random);
        one.span.0 = now();
        pass(&mut daemon, &socket, &one.frame, count);
        one.span.1 = now();
        sent.push(one);
    }
    for hook in [on_fifo, on_file] {
        assert_eq!(configure(&mut daemon, hook, false), 0);
    }
    assert!(reader.unwrap().wait().unwrap().success());

    for file in [&pcap, &pcapng] {
        let said = tshark(file, &FIELDS);
        assert_eq!(said.len(), sent.len(), "{}", file.display());
        for (number, (said, sent)) in said.iter().zip(&sent).enumerate() {
            for (field, said) in FIELDS.iter().zip(said) {
                let wanted = sent.said.get(field).map_or("", String::as_str);
                assert_eq!(
                    decimal(said),
                    wanted,
                    "seed {seed}, {}: {field} of packet {number}",
                    file.display()
                );
            }
        }
        let frames: Vec<Vec<u8>> = sent.iter().map(|sent| sent.frame.clone()).collect();
        assert_eq!(bytes(file), frames, "seed {seed}, {}", file.display());
        let times: Vec<Duration> =
            tshark(file, &["frame.time_epoch"]).iter().map(|said| time(&said[0])).collect();
        assert!(times.is_sorted(), "{times:?}");
        for (number, (time, sent)) in times.iter().zip(&sent).enumerate() {
            let span = sent.span.0.saturating_sub(CLOCKS_APART)..=sent.span.1 + CLOCKS_APART;
            assert!(
                span.contains(time),
                "{}: packet {number} at {time:?}, not within {span:?}",
                file.display()
            );
        }
    }
    let named = tshark(&pcapng, &["frame.interface_name", "frame.comment"]);
    assert!(named.iter().all(|said| *said == ["weft", ""]), "{:?}", named[0]);
}

/// BESS writes what the module of the gate knows of each packet as a comment.
#[test]
fn metadata_attributes_are_comments() {
    let attribute = |name: &str, size, offset, value: &[u8]| pb::set_metadata_arg::Attribute {
        name: name.to_owned(),
        size,
        offset,
        value: (!value.is_empty()).then(|| pb::set_metadata_arg::attribute::Value::ValueBin(value.to_vec())),
        ..Default::default()
    };
    let attrs = vec![
        attribute("kind", 2, 12, &[]),
        attribute("mark", 4, 0, &[0xde, 0xad, 0xbe, 0xef]),
        attribute("later", 1, 0, &[7]),
    ];
    let reads = |attributes: &[(&str, i64)]| {
        let read = attributes.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
        pb::MetadataTestArg { read, ..Default::default() }
    };
    let modules = [
        ("SetMetadata", "meta", packed(&pb::SetMetadataArg { attrs })),
        ("MetadataTest", "reads", packed(&reads(&[("kind", 2), ("mark", 4)]))),
    ];
    let (mut daemon, socket) = daemon(&modules);
    let directory = tempfile::tempdir().unwrap();
    let [sets, has] = ["sets.pcapng", "has.pcapng"].map(|name| directory.path().join(name));
    let hooks = [hook("PcapNg", "meta", Gate::Ogate(0), &sets), hook("PcapNg", "in", Gate::Ogate(0), &has)];
    for hook in &hooks {
        assert_eq!(configure(&mut daemon, hook.clone(), true), 0);
    }
    daemon.must("ResumeAll", &EMPTY);
    let frames = [datagram(["10.0.0.1:1000", "10.0.0.2:2000"], b"x"), framed(EtherType::ARP, &[0; 28])];
    pass(&mut daemon, &socket, &frames[0], 1);
    pass(&mut daemon, &socket, &frames[1], 2);
    // Once somebody reads it, it lies somewhere; the hook stays where it is.
    daemon.module("MetadataTest", "reads_later", &reads(&[("later", 1)]));
    daemon.connect("reads_later", 0, 0, "sink");
    daemon.must("DisconnectModules", &pb::DisconnectModulesRequest { name: "reads".to_owned(), ogate: 0 });
    daemon.connect("reads", 0, 0, "reads_later");
    pass(&mut daemon, &socket, &frames[0], 3);
    for hook in hooks {
        assert_eq!(configure(&mut daemon, hook, false), 0);
    }
    let comments: Vec<String> = tshark(&sets, &["frame.comment"]).concat();
    let wanted = [
        "kind = 0800 mark = DEADBEEF later = XX",
        "kind = 0806 mark = DEADBEEF later = XX",
        "kind = 0800 mark = DEADBEEF later = 07",
    ];
    assert_eq!(comments, wanted);
    assert_eq!(bytes(&sets), [frames[0].clone(), frames[1].clone(), frames[0].clone()]);
    // The port knows nothing of them.
    assert_eq!(tshark(&has, &["frame.comment"]).concat(), ["", "", ""]);
}
