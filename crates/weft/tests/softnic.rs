//! `weft softnic`, with the real binary.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

/// Ethernet, IPv4, UDP 10.0.0.1:12345 -> 10.0.0.2:53, `hi`.
const FRAME: [u8; 44] = [
    2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, // Ethernet
    0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0x66, 0xcd, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
    0x30, 0x39, 0, 53, 0, 10, 0, 0, b'h', b'i', // UDP
];
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn weft(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.arg("softnic").args(args).env("NO_COLOR", "1").env_remove("WEFT_LOG").stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(args: &[&str]) -> Output {
    weft(args).output().unwrap()
}

/// What a command that does its job prints.
fn ok(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// What a command says that fails with a code.
fn fails(code: i32, args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&ok(args)).unwrap()
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/softnic").join(name)
}

/// A process that is ended with the test.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for its end.
    fn ended(&mut self) -> ExitStatus {
        let process = pidfd_open(Pid::from_child(&self.0), PidfdFlags::empty()).unwrap();
        let patience = Timespec::try_from(PATIENCE).unwrap();
        let mut polled = [PollFd::new(&process, PollFlags::IN)];
        let ready = retry_on_intr(|| poll(&mut polled, Some(&patience))).unwrap();
        assert_eq!(ready, 1, "it does not end");
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A run of a configuration, which serves a free port.
struct Daemon {
    process: Running,
    at: String,
    /// What it says later.
    said: BufReader<std::process::ChildStderr>,
}

impl Daemon {
    fn start(file: &Path) -> Self {
        let mut command = weft(&["run", file.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let process = Running(child);
        let mut all = String::new();
        let at = loop {
            let mut line = String::new();
            assert!(said.read_line(&mut line).unwrap() > 0, "it does not serve: {all}");
            if let Some(at) = line.strip_prefix("serving BESS's clients on ") {
                break at.trim().parse::<SocketAddr>().unwrap().to_string();
            }
            all += &line;
        };
        assert!(all.starts_with("running "), "{all}");
        Self { process, at, said }
    }

    /// A command to it.
    fn ask<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        [args, &["--at", &self.at]].concat()
    }

    /// Ends it as Ctrl-C does, and gives what it prints.
    fn end(mut self) -> String {
        self.process.signal(Signal::INT);
        let mut printed = String::new();
        self.process.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        let status = self.process.ended();
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        assert!(status.success(), "{rest}");
        printed
    }
}

/// `acl.weft` with sockets of the test's own, and two peers on them.
struct Acl {
    daemon: Daemon,
    inside: OwnedFd,
    outside: OwnedFd,
    _directory: tempfile::TempDir,
}

impl Acl {
    fn start(test: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let own = format!("weft_{test}_{}_", std::process::id());
        let configuration = std::fs::read_to_string(example("acl.weft")).unwrap();
        let file = directory.path().join("acl.weft");
        std::fs::write(
            &file,
            configuration.replace("path=@weft_", &format!("confirm_connect=true, path=@{own}")),
        )
        .unwrap();
        let daemon = Daemon::start(&file);
        let [inside, outside] = ["inside", "outside"].map(|name| peer(&format!("{own}{name}")));
        Self { daemon, inside, outside, _directory: directory }
    }

    /// Sends a frame from the inside to a port of 10.0.0.2.
    fn send(&self, port: u8) {
        let mut frame = FRAME;
        frame[37] = port;
        assert_eq!(net::send(&self.inside, &frame, SendFlags::empty()).unwrap(), frame.len());
    }

    /// Sends one that the rules let through, and receives it.
    fn pass(&self) {
        self.send(53);
        assert_eq!(received(&self.outside), FRAME);
    }
}

/// What a port sends next.
fn received(socket: &OwnedFd) -> Vec<u8> {
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    let patience = Timespec::try_from(PATIENCE).unwrap();
    assert_eq!(retry_on_intr(|| poll(&mut polled, Some(&patience))).unwrap(), 1, "nothing comes");
    let mut bytes = [0; 2048];
    let (len, _) = retry_on_intr(|| net::recv(socket, &mut bytes[..], RecvFlags::empty())).unwrap();
    bytes[..len].to_vec()
}

fn peer(name: &str) -> OwnedFd {
    let socket = net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    net::connect(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap()).unwrap();
    // From now on the port has a peer to send to.
    assert_eq!(received(&socket), b"yes\0");
    socket
}

#[test]
fn a_file_is_checked_and_its_mistakes_are_shown_where_they_stand() {
    for name in ["acl.weft", "shares.weft"] {
        let file = example(name);
        assert!(ok(&["run", file.to_str().unwrap(), "--check"]).contains("modules, "));
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wrong.weft");
    for (configuration, problem, place) in [
        ("a::Source()\na -> \n", "a module is wanted, not the end of the line", "wrong.weft:2:6"),
        (
            "a::Source()\n\n  a -> Sink(size=1)\n",
            "Sink has no argument `size`; it has none",
            "wrong.weft:3:3",
        ),
        ("worker 0 core=100000\n", "invalid core 100000", "wrong.weft:1:1"),
    ] {
        std::fs::write(&file, configuration).unwrap();
        let said = fails(1, &["run", file.to_str().unwrap(), "--listen", "none"]);
        assert!(said.contains(problem) && said.contains(place), "{said}");
    }
    assert!(fails(1, &["run", "/nowhere.weft"]).contains("/nowhere.weft"));
    fails(2, &["run", "x.weft", "--listen", "nowhere"]);
    fails(2, &["run"]);
}

#[test]
fn sources_share_as_their_classes_say() {
    let file = example("shares.weft");
    let args = ["run", file.to_str().unwrap(), "--listen", "none", "--duration", "1s", "--json"];
    let counted = json(&args);
    let bits = |name: &str| {
        let classes = counted["classes"].as_array().unwrap();
        let class = classes.iter().find(|class| class["name"] == name).unwrap();
        class["bits"].as_u64().unwrap()
    };
    let (gold, bulk) = (bits("!leaf_gold:0"), bits("!leaf_bulk:0"));
    let share = gold as f64 / (gold + bulk) as f64;
    assert!((share - 0.75).abs() < 0.02, "{gold} {bulk}");
    // 100 Mbit/s for a second; a slow start on a busy machine only makes it less.
    assert!((1_000_000..=110_000_000).contains(&(gold + bulk)), "{gold} {bulk}");
}

#[test]
fn the_rates_of_traffic_are_watched() {
    let daemon = Daemon::start(&example("shares.weft"));
    // From the start on, and then for as long as it takes the shares to be seen: 100 Mbit/s are some 12,000 packets.
    let rates = json(&daemon.ask(&["monitor", "--json", "--count", "1", "--interval", "1s"]));
    let seconds = rates["seconds"].as_f64().unwrap();
    let of = |list: &str, key: &str, name: &str, rate: &str| {
        let list = rates[list].as_array().unwrap();
        let one = list.iter().find(|one| one[key] == name).unwrap_or_else(|| panic!("{name}: {rates}"));
        one[rate].as_f64().unwrap()
    };
    let gate = |name: &str| of("gates", "module", name, "packets");
    let class = |name: &str, rate: &str| of("classes", "class", name, rate);
    let mut bits = 0.0;
    for name in ["gold", "bulk"] {
        let leaf = format!("!leaf_{name}:0");
        let (packets, own) = (class(&leaf, "packets"), class(&leaf, "bits"));
        assert!(gate(name) > 0.0 && packets > 0.0 && class(&leaf, "turns") > 0.0, "{rates}");
        assert!(class(&leaf, "cycles_per_packet") > 0.0, "{rates}");
        // 1,000 bytes, and 24 of the wire's.
        assert!((own / packets - 8192.0).abs() < 1.0, "{rates}");
        // The two are counted one after the other.
        assert!((gate(name) - packets).abs() <= 0.1 * packets + 64.0 / seconds, "{rates}");
        bits += own;
    }
    let share = class("!leaf_gold:0", "bits") / bits;
    assert!((share - 0.75).abs() < 0.05, "{share}: {rates}");
    for name in ["link", "fair"] {
        assert!((class(name, "bits") - bits).abs() <= 0.1 * bits, "{rates}");
    }
    // A busy machine only makes it less.
    assert!(bits > 1e6 && bits < 1.2e8, "{rates}");
    let line = ok(&daemon.ask(&["monitor", "--count", "1", "--interval", "500ms"]));
    let moved: Vec<&str> = line.trim().split(", ").collect();
    for wanted in ["gold:0 ", "bulk:0 ", "tc !leaf_gold:0 ", "tc !leaf_bulk:0 ", "tc link ", "tc fair "] {
        let rate = moved.iter().find_map(|part| part.strip_prefix(wanted));
        assert!(rate.is_some_and(|rate| rate.ends_with("/s") && !rate.starts_with('0')), "{wanted}: {line}");
    }
    daemon.end();
}

#[test]
fn a_running_daemon_is_shown() {
    let acl = Acl::start("show");
    acl.send(54);
    acl.pass();
    let daemon = &acl.daemon;
    let drawn = ok(&daemon.ask(&["show", "pipeline"]));
    let lines: Vec<&str> = drawn.lines().collect();
    assert!(lines.contains(&"from_inside  PortInc  inside/UnixSocketPort"), "{drawn}");
    assert!(lines.contains(&"│ 2") && lines.contains(&"rules  ACL  3 rules  1 ended here"), "{drawn}");
    let dot = ok(&daemon.ask(&["show", "pipeline", "--dot"]));
    assert!(
        dot.contains("\"from_inside\" -> \"rules\" [taillabel=\"0\", headlabel=\"0\", label=\"2\"];"),
        "{dot}"
    );
    let modules = json(&daemon.ask(&["show", "pipeline", "--json"]));
    assert_eq!(modules.as_array().unwrap().len(), 5);

    let ports = json(&daemon.ask(&["show", "port", "--json"]));
    let inside = ports.as_array().unwrap().iter().find(|port| port["name"] == "inside").unwrap();
    assert_eq!((&inside["received"]["packets"], &inside["driver"]), (&2.into(), &"UnixSocketPort".into()));
    assert!(ok(&daemon.ask(&["show", "port"])).contains("UnixSocketPort  up"));
    assert!(ok(&daemon.ask(&["show", "worker"])).contains("runs"));
    assert!(ok(&daemon.ask(&["show", "tc"])).contains("!leaf_from_inside:0"));
    assert!(ok(&daemon.ask(&["show", "module", "rules"])).contains("input gate 0: from from_inside:0"));
    assert!(fails(1, &daemon.ask(&["show", "module", "nobody"])).contains("nobody"));
    let manual = ok(&daemon.ask(&["show", "mclass", "ACL"]));
    assert!(
        manual.contains("rules  list of records of src_ip, dst_ip") && manual.contains(".add(…)"),
        "{manual}"
    );
    assert!(ok(&daemon.ask(&["show", "mclass"])).contains("\nACL") || manual.starts_with("ACL"));
    assert!(ok(&daemon.ask(&["show", "hook"])).contains("Track"));

    let rates = json(&daemon.ask(&["monitor", "--json", "--count", "1", "--interval", "50ms"]));
    assert_eq!(rates["gates"].as_array().unwrap().len(), 3);
    let line = ok(&daemon.ask(&["monitor", "--count", "2", "--interval", "50ms"]));
    assert_eq!(line, "nothing moves\nnothing moves\n");

    let printed = acl.daemon.end();
    assert!(printed.contains("rules  ACL  3 rules  1 ended here") && printed.contains("inside"), "{printed}");
}

#[test]
fn without_a_daemon_commands_say_how_to_start_one() {
    let said = fails(1, &["show", "pipeline", "--at", "127.0.0.1:1"]);
    assert!(
        said.contains("no daemon answers on 127.0.0.1:1") && said.contains("weft softnic run FILE"),
        "{said}"
    );
}

#[test]
fn a_packet_is_traced_through_the_rules() {
    let acl = Acl::start("trace");
    let hex = |port: u8| {
        let mut frame = FRAME;
        frame[37] = port;
        frame.iter().fold("hex:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
    };
    let passed = ok(&acl.daemon.ask(&["trace", "from_inside", "--packet", &hex(53)]));
    for wanted in [
        "0: from_inside  PortInc  inside/UnixSocketPort\n   on worker 0\n   44 bytes: ",
        "10.0.0.1 > 10.0.0.2: 12345 > 53: UDP",
        "-> gate 0 to 1: 0:rules",
        "would leave by to_outside (outside/UnixSocketPort); --send lets it",
    ] {
        assert!(passed.contains(wanted), "{wanted}\n{passed}");
    }
    let dropped = json(&acl.daemon.ask(&["trace", "rules:0", "--json", "--packet", &hex(54)]));
    assert_eq!(dropped["steps"][0]["exits"][0]["end"], "dropped");
    // It was neither counted nor sent: the next frame is the first.
    acl.pass();
    let sent = ok(&acl.daemon.ask(&["trace", "rules", "--send", "--packet", &hex(53)]));
    assert!(sent.contains("left by to_outside"), "{sent}");
    let modules = json(&acl.daemon.ask(&["show", "module", "--json"]));
    let rules = modules.as_array().unwrap().iter().find(|module| module["name"] == "rules").unwrap();
    assert_eq!(rules["outputs"][0]["packets"], 1);
    fails(2, &["trace", "rules"]);
    fails(2, &["trace", "rules", "--packet", "0200"]);
    assert!(
        fails(1, &acl.daemon.ask(&["trace", "rules:1", "--packet", "hex:00"])).contains("no input gate 1")
    );
}

/// How many captures are on gates.
fn captures(daemon: &Daemon) -> usize {
    let hooks = json(&daemon.ask(&["show", "hook", "--json"]));
    hooks.as_array().unwrap().iter().filter(|hook| hook["class"] == "TcpDump").count()
}

#[test]
fn captures_end_without_a_trace() {
    let acl = Acl::start("dump");
    let daemon = &acl.daemon;
    let temporary = tempfile::tempdir().unwrap();
    let left = || std::fs::read_dir(temporary.path()).unwrap().count();
    let start = |args: &[&str]| {
        let mut command = weft(&daemon.ask(args));
        command.env("TMPDIR", temporary.path()).stdout(Stdio::piped());
        Running(command.spawn().unwrap())
    };
    // The file's header comes once the hook is there.
    let header = |process: &mut Running| {
        let mut header = [0; 24];
        process.0.stdout.as_mut().unwrap().read_exact(&mut header).unwrap();
        assert_eq!(header[..4], 0xa1b2_3c4du32.to_le_bytes());
    };

    for signal in [Signal::INT, Signal::TERM] {
        let mut process = start(&["tcpdump", "rules"]);
        header(&mut process);
        assert_eq!((captures(daemon), left()), (1, 1));
        acl.send(54);
        acl.pass();
        let mut record = [0; 16 + FRAME.len()];
        process.0.stdout.as_mut().unwrap().read_exact(&mut record).unwrap();
        assert_eq!(record[16..], FRAME);
        process.signal(signal);
        assert_eq!((process.ended().code(), captures(daemon), left()), (Some(0), 0, 0));
    }

    // Its reader goes, and no packet tells.
    let mut process = start(&["tcpdump", "rules:0", "--in"]);
    header(&mut process);
    drop(process.0.stdout.take());
    assert_eq!((process.ended().code(), captures(daemon), left()), (Some(0), 0, 0));

    // Two at once; a file; the end of the time.
    let file = temporary.path().join("rules.pcap");
    let mut process = start(&["tcpdump", "rules", "--in", "-w", file.to_str().unwrap(), "--duration", "3s"]);
    let mut beside = start(&["tcpdump", "rules", "--in"]);
    header(&mut beside);
    while captures(daemon) < 2 {
        std::thread::yield_now();
    }
    acl.send(54);
    acl.pass();
    assert_eq!(process.ended().code(), Some(0));
    let dumped = Command::new("tcpdump").args(["-nr", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(text(&dumped.stdout).lines().count(), 2, "{}", text(&dumped.stderr));
    assert_eq!(captures(daemon), 1);
    drop(beside);

    let said = fails(1, &daemon.ask(&["tcpdump", "rules:5"]));
    assert!(said.contains("ogate '5' does not exist"), "{said}");
}
