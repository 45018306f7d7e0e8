//! `weft softnic upgrade`, with the real binary: TCP and UDP through a NAT between two namespaces, while one daemon after
//! the other takes over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use softnic::bess::{Client, pack, pb};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Daemons that take over, one from the other.
const UPGRADES: usize = 5;

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().unwrap();
    assert!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A namespace that goes with the test.
struct Namespace(String);

impl Namespace {
    fn new(name: &str) -> Self {
        let name = format!("w7-{}-{name}", std::process::id());
        ip(&["netns", "add", &name]);
        let namespace = Self(name);
        ip(&["-n", &namespace.0, "link", "set", "lo", "up"]);
        namespace
    }

    /// Runs something in it; sockets that it makes stay there.
    fn within<R: Send>(&self, run: impl FnOnce() -> R + Send) -> R {
        let path = Path::new("/var/run/netns").join(&self.0);
        host::netns::within(host::netns::open(&path).unwrap(), run).unwrap()
    }

    /// The address of the interface in it.
    fn mac(&self, interface: &str) -> String {
        let output =
            Command::new("ip").args(["-n", &self.0, "-o", "link", "show", interface]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

struct Daemon {
    process: Child,
    address: SocketAddr,
    said: String,
    lines: Receiver<String>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(args: &[&str]) -> Daemon {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.arg("softnic").args(args).args(["--foreground", "--buffers", "8192"]);
    command.env("NO_COLOR", "1").env_remove("WEFT_LOG").stdin(Stdio::null()).stdout(Stdio::null());
    let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(process.stderr.take().unwrap());
    let (tell, lines) = channel();
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    // It is ended whatever comes.
    let mut daemon = Daemon { process, address: ([0; 4], 0).into(), said: String::new(), lines };
    loop {
        let line = daemon.lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("it does not serve: {}", daemon.said));
        if let Some(address) = line.strip_prefix("serving BESS's clients on ") {
            daemon.address = address.parse().unwrap();
            return daemon;
        }
        daemon.said += &line;
        daemon.said.push('\n');
    }
}

fn create(client: &mut Client, class: &str, name: &str, arg: pb::CreateModuleRequest) {
    let (mclass, name) = (class.to_owned(), name.to_owned());
    client.create_module(pb::CreateModuleRequest { name, mclass, ..arg }).unwrap();
}

fn link(client: &mut Client, m1: &str, ogate: u64, m2: &str, igate: u64) {
    let (m1, m2) = (m1.to_owned(), m2.to_owned());
    let request = pb::ConnectModulesRequest { m1, m2, ogate, igate, skip_default_hooks: false };
    client.connect_modules(request).unwrap();
}

/// inside ─► in_a ─► NAT ─► out_b ─► outside, and back.
fn build(client: &mut Client, sides: [(&str, &Namespace, &str); 2]) {
    client.pause_all(pb::EmptyRequest {}).unwrap();
    for (name, namespace, address) in sides {
        let cpid = Some(pb::v_port_arg::Cpid::Netns(namespace.0.clone()));
        let ip_addrs = vec![address.to_owned()];
        let arg = pb::VPortArg { ifname: name.to_owned(), ip_addrs, cpid, ..Default::default() };
        let (name, driver, arg) = (name.to_owned(), "VPort".to_owned(), Some(pack(&arg)));
        client.create_port(pb::CreatePortRequest { name, driver, arg, ..Default::default() }).unwrap();
    }
    for (name, _, _) in sides {
        let port = name.to_owned();
        let arg = Some(pack(&pb::PortIncArg { port: port.clone(), prefetch: false }));
        create(
            client,
            "PortInc",
            &format!("in_{name}"),
            pb::CreateModuleRequest { arg, ..Default::default() },
        );
        let arg = Some(pack(&pb::PortOutArg { port }));
        create(
            client,
            "PortOut",
            &format!("out_{name}"),
            pb::CreateModuleRequest { arg, ..Default::default() },
        );
    }
    let external = pb::nat_arg::ExternalAddress { ext_addr: "192.0.2.1".to_owned(), port_ranges: Vec::new() };
    let arg = Some(pack(&pb::NatArg { ext_addrs: vec![external] }));
    create(client, "NAT", "nat", pb::CreateModuleRequest { arg, ..Default::default() });
    create(client, "Queue", "queue", pb::CreateModuleRequest::default());
    let [a, b] = sides.map(|(name, ..)| name);
    link(client, &format!("in_{a}"), 0, "nat", 0);
    link(client, "nat", 1, "queue", 0);
    link(client, "queue", 0, &format!("out_{b}"), 0);
    link(client, &format!("in_{b}"), 0, "nat", 1);
    link(client, "nat", 0, &format!("out_{a}"), 0);
    client.resume_all(pb::EmptyRequest {}).unwrap();
}

/// Sends numbers over a connection and reads them back, in order, until told to stop; how many.
fn converse(mut stream: TcpStream, stop: &AtomicBool) -> u64 {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sent, mut back) = (0u64, [0; 64 * 8]);
    while !stop.load(Ordering::Relaxed) {
        let numbers: Vec<u8> = (sent..sent + 64).flat_map(u64::to_be_bytes).collect();
        stream.write_all(&numbers).expect("the connection holds");
        stream.read_exact(&mut back).expect("the connection holds");
        assert_eq!(back[..], numbers[..], "in order, and once");
        sent += 64;
    }
    sent
}

#[test]
fn no_connection_breaks_while_daemons_take_over() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let (pid, state) = (directory.path().join("pid"), state.to_str().unwrap());
    let [inside, outside] = ["in", "out"].map(Namespace::new);
    let first = ["daemon", "--listen", "127.0.0.1:0", "--pid-file", pid.to_str().unwrap(), "--state", state];
    let mut daemon = start(&first);
    let sides = [("w7a", &inside, "10.0.0.2/8"), ("w7b", &outside, "192.0.2.9/24")];
    build(&mut daemon.client(), sides);
    ip(&["-n", &inside.0, "route", "add", "192.0.2.0/24", "dev", "w7a"]);
    let (near, far) = (inside.mac("w7a"), outside.mac("w7b"));
    ip(&["-n", &inside.0, "neigh", "add", "192.0.2.9", "lladdr", &far, "dev", "w7a", "nud", "permanent"]);
    ip(&["-n", &outside.0, "neigh", "add", "192.0.2.1", "lladdr", &near, "dev", "w7b", "nud", "permanent"]);

    let listener = outside.within(|| TcpListener::bind("192.0.2.9:5000").unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    let (stop, received) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let connections: Vec<_> = (0..3)
        .map(|_| {
            let stream =
                inside.within(|| TcpStream::connect("192.0.2.9:5000").expect("it reaches the other side"));
            let stop = stop.clone();
            std::thread::spawn(move || converse(stream, &stop))
        })
        .collect();
    // Datagrams with numbers, of which none may be missing, twice there or late.
    let to = outside.within(|| UdpSocket::bind("192.0.2.9:6000").unwrap());
    let from = inside.within(|| UdpSocket::bind("10.0.0.2:6000").unwrap());
    to.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let counted = received.clone();
    let receiver = std::thread::spawn(move || {
        let (mut next, mut wrong, mut bytes) = (0u64, 0u64, [0; 8]);
        while let Ok((8, _)) = to.recv_from(&mut bytes) {
            let number = u64::from_be_bytes(bytes);
            wrong += u64::from(number != next);
            next = number + 1;
            counted.fetch_add(1, Ordering::Relaxed);
        }
        wrong
    });
    let halt = stop.clone();
    let sender = std::thread::spawn(move || {
        let mut number = 0u64;
        while !halt.load(Ordering::Relaxed) {
            from.send_to(&number.to_be_bytes(), "192.0.2.9:6000").unwrap();
            number += 1;
            std::thread::sleep(Duration::from_micros(500));
        }
        number
    });

    let address = daemon.address;
    for upgrade in 1..=UPGRADES {
        std::thread::sleep(Duration::from_millis(300));
        let begin = Instant::now();
        let next = start(&["upgrade", "--state", state]);
        print!("{upgrade}: {} ms, {}", begin.elapsed().as_millis(), next.said);
        assert!(next.said.contains("taken over from"), "{}", next.said);
        assert!(next.said.contains(": 2 ports, 6 modules, 1 worker; packets waited for"), "{}", next.said);
        assert_eq!(next.address, address, "clients find it where it was");
        assert!(daemon.process.wait().unwrap().success());
        daemon = next;
        let running = std::fs::read_to_string(&pid).unwrap();
        assert_eq!(running.trim(), daemon.process.id().to_string());
        assert_eq!(daemon.client().list_modules(pb::EmptyRequest {}).unwrap().modules.len(), 6);
    }
    std::thread::sleep(Duration::from_millis(300));
    stop.store(true, Ordering::Relaxed);
    let numbers: Vec<u64> = connections.into_iter().map(|connection| connection.join().unwrap()).collect();
    let (sent, wrong) = (sender.join().unwrap(), receiver.join().unwrap());
    let received = received.load(Ordering::Relaxed);
    println!("TCP: {numbers:?} numbers; UDP: {sent} sent, {received} received, {wrong} gaps");
    assert!(numbers.iter().all(|count| *count > 0));
    assert_eq!((received, wrong), (sent, 0), "nothing is lost, and nothing overtaken");

    // What is saved is what runs: the next one, after a kill, has the same.
    daemon.process.kill().unwrap();
    daemon.process.wait().unwrap();
    let again = start(&first);
    assert!(
        again.said.contains("restored from") && again.said.contains("2 ports, 6 modules"),
        "{}",
        again.said
    );
}

impl Daemon {
    fn client(&self) -> Client {
        Client::connect(self.address).unwrap()
    }
}

/// What an upgrade says that is refused.
fn refused(state: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.args(["softnic", "upgrade", "--foreground", "--state"]).arg(state).env("NO_COLOR", "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

/// The old one goes on, whatever comes over its socket, and where a port cannot go along.
#[test]
fn what_cannot_be_handed_over_stays() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let pid = directory.path().join("pid");
    let daemon = start(&[
        "daemon",
        "--listen",
        "127.0.0.1:0",
        "--pid-file",
        pid.to_str().unwrap(),
        "--state",
        state.to_str().unwrap(),
    ]);
    let mut client = daemon.client();
    create(&mut client, "Source", "source", pb::CreateModuleRequest::default());
    create(&mut client, "Sink", "sink", pb::CreateModuleRequest::default());
    link(&mut client, "source", 0, "sink", 0);
    client.resume_all(pb::EmptyRequest {}).unwrap();
    let turns = |client: &mut Client| {
        let name = "!leaf_source:0".to_owned();
        client.get_tc_stats(pb::GetTcStatsRequest { name }).unwrap().packets
    };
    let runs = |client: &mut Client| {
        let before = turns(client);
        let begin = Instant::now();
        while turns(client) <= before {
            assert!(begin.elapsed() < PATIENCE, "it does not go on");
        }
    };
    // One that hangs up, one that says nonsense, one that says what comes much later.
    for nonsense in [&b""[..], b"\xff\xff\xff", b"\x2a\x00"] {
        let address = rustix::net::SocketAddrUnix::new(state.join("bess.sock")).unwrap();
        let (family, kind) = (rustix::net::AddressFamily::UNIX, rustix::net::SocketType::SEQPACKET);
        let peer = rustix::net::socket(family, kind, None).unwrap();
        rustix::net::connect(&peer, &address).unwrap();
        rustix::net::send(&peer, nonsense, rustix::net::SendFlags::empty()).unwrap();
        drop(peer);
        runs(&mut client);
    }
    let vdev = format!("net_pcap0,tx_pcap={}", directory.path().join("out.pcap").display());
    let arg = pb::PmdPortArg { port: Some(pb::pmd_port_arg::Port::Vdev(vdev)), ..Default::default() };
    let (name, driver, arg) = ("file".to_owned(), "PMDPort".to_owned(), Some(pack(&arg)));
    client.create_port(pb::CreatePortRequest { name, driver, arg, ..Default::default() }).unwrap();
    let said = refused(&state);
    assert!(said.contains("the daemon that runs goes on: port file (pcap) cannot be handed over"), "{said}");
    runs(&mut client);
    client.destroy_port(pb::DestroyPortRequest { name: "file".to_owned() }).unwrap();
    let next = start(&["upgrade", "--state", state.to_str().unwrap()]);
    assert!(next.said.contains("0 ports, 2 modules, 1 worker"), "{}", next.said);
    runs(&mut next.client());
}

#[test]
fn without_a_daemon_nothing_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let said = refused(directory.path());
    assert!(said.contains("no daemon can be taken over from"), "{said}");
}
