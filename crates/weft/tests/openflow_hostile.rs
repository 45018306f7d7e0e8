//! Hostile peers of the controller and of the switch, both the real binary: garbage, lies in lengths, stalls in a message, floods,
//! a thousand reconnections. All of them are dropped and said why, no descriptor and no memory is left behind, and whoever
//! behaves is served all along.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openflow::Version;
use openflow::codec;
use openflow::flow::{NO_BUFFER, PacketIn, PacketInFormat, PacketInReason};
use openflow::matching::Match;
use openflow::message::{Body, Features, Message};
use openflow::multipart::{MultipartReply, Reply};
use openflow::port::{Port, PortNo};
use packet::wire::MacAddr;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than a peer that behaves ever waits for an answer, whatever the others do.
const SERVICE: Duration = Duration::from_secs(20);
/// What a process may grow by in an attack like one that it has been through, in KiB.
const GROWTH_KIB: u64 = 8 << 10;
const RECONNECTIONS: usize = 1000;

/// A program under attack.
struct Victim {
    child: Child,
    directory: tempfile::TempDir,
    at: SocketAddr,
    /// Whether switches connect to it, or controllers.
    is_controller: bool,
}

impl Victim {
    fn start(arguments: &[&str], waits: &str, is_controller: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(directory.path().join(name)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
        command.args(arguments).env("NO_COLOR", "1").env_remove("WEFT_LOG").current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("said"));
        let mut victim = Self {
            child: command.spawn().unwrap(),
            directory,
            at: SocketAddr::from(([127, 0, 0, 1], 0)),
            is_controller,
        };
        let begin = Instant::now();
        victim.at = loop {
            let said = victim.said("said");
            let at = said.split_once(waits).and_then(|(_, rest)| rest.split_whitespace().next());
            if let Some(port) = at.and_then(|at| at.split(':').find_map(|part| part.parse::<u16>().ok())) {
                break SocketAddr::from(([127, 0, 0, 1], port));
            }
            assert!(begin.elapsed() < PATIENCE, "{said}");
            std::thread::sleep(Duration::from_millis(20));
        };
        victim
    }

    fn controller() -> Self {
        let words = ["pox", "openflow.of_01", "--address=127.0.0.1", "--port=0", "forwarding.l2_learning"];
        Self::start(&words, "listens at tcp:127.0.0.1", true)
    }

    fn switch() -> Self {
        let words = ["openflow", "switch", "--json", "--port", "unix:left", "--port", "unix:right"];
        let words = [&words[..], &["--listen", "ptcp:0:127.0.0.1"]].concat();
        Self::start(&words, "waiting for controllers at ptcp", false)
    }

    fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Whoever behaves.
    fn honest(&self, datapath: u64) -> Honest {
        Honest::new(self.at, datapath, self.is_controller)
    }

    /// Ends it as Ctrl-C does; what it said.
    fn end(mut self) -> String {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::INT,
        );
        let begin = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        format!("{}\n{}", self.said("said"), self.said("out"))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A peer that behaves: a switch with two ports, or a controller.
struct Honest {
    socket: TcpStream,
    read: Vec<u8>,
    datapath: u64,
    is_switch: bool,
    count: u32,
}

impl Honest {
    fn new(at: SocketAddr, datapath: u64, is_switch: bool) -> Self {
        let mut socket = TcpStream::connect(at).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket.write_all(&[4, 0, 0, 8, 0, 0, 0, 1]).unwrap();
        let mut honest = Self { socket, read: Vec::new(), datapath, is_switch, count: 0 };
        if is_switch {
            // One at the end of the channel's handshake, one behind what the controller puts in order.
            for _ in 0..2 {
                honest.until(|message| matches!(message.body, Body::BarrierRequest));
            }
        } else {
            honest.until(|message| matches!(message.body, Body::Hello(_)));
        }
        honest
    }

    fn send(&mut self, xid: u32, body: Body) {
        let mut bytes = Vec::new();
        codec::encode(Version::V13, &Message::new(xid, body), &mut bytes).unwrap();
        self.socket.write_all(&bytes).unwrap();
    }

    /// Has something done that takes all of the other side, and waits for it: a switch a packet forwarded, a controller a
    /// barrier.
    fn is_served(&mut self) {
        self.count += 1;
        let xid = 0x4711_0000 + self.count;
        if self.is_switch {
            let [.., a, b] = self.count.to_be_bytes();
            let mut data = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 1, a, b, 0x88, 0xb5];
            data.resize(60, 0);
            self.send(xid, packet_in(data.clone()));
            self.until(|message| matches!(&message.body, Body::PacketOut(packet) if packet.data == data));
        } else {
            self.send(xid, Body::BarrierRequest);
            self.until(|message| message.xid == xid && message.body == Body::BarrierReply);
        }
    }

    fn until(&mut self, what: impl Fn(&Message) -> bool) {
        let begin = Instant::now();
        loop {
            while let Some(message) = self.next() {
                let is_it = what(&message);
                self.answer(&message);
                if is_it {
                    return;
                }
            }
            assert!(begin.elapsed() < SERVICE, "who behaves is not served");
            let mut bytes = [0; 65_536];
            match self.socket.read(&mut bytes) {
                Ok(0) => panic!("who behaves is cut off"),
                Ok(count) => self.read.extend(&bytes[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("who behaves is cut off: {error}"),
            }
        }
    }

    fn next(&mut self) -> Option<Message> {
        let length = usize::from(u16::from_be_bytes([*self.read.get(2)?, *self.read.get(3)?]));
        if self.read.len() < length {
            return None;
        }
        let bytes: Vec<u8> = self.read.drain(..length).collect();
        Some(codec::decode(&bytes).unwrap().1)
    }

    fn answer(&mut self, message: &Message) {
        let port = |number: u32| Port {
            number: PortNo(number),
            address: MacAddr([2, 0, 0, 2, 0, number as u8]),
            name: format!("p{number}"),
            ..Port::default()
        };
        let body = match &message.body {
            Body::FeaturesRequest => {
                Body::FeaturesReply(Features { datapath: self.datapath, ..Features::default() })
            }
            Body::MultipartRequest(_) => {
                let ports = Reply::PortDescription(vec![port(1), port(2)]);
                Body::MultipartReply(MultipartReply { flags: 0, body: ports })
            }
            Body::BarrierRequest => Body::BarrierReply,
            Body::EchoRequest(data) => Body::EchoReply(data.clone()),
            _ => return,
        };
        self.send(message.xid, body);
    }
}

fn packet_in(data: Vec<u8>) -> Body {
    Body::PacketIn(PacketIn {
        format: PacketInFormat::Standard,
        buffer: NO_BUFFER,
        total_len: data.len() as u16,
        reason: PacketInReason::NoMatch,
        table: 0,
        cookie: u64::MAX,
        metadata: Match::new().in_port(PortNo(1)),
        data,
    })
}

/// What begins like a peer and is none, or lies: its header's length is shorter than a header, it says another version than
/// agreed on, it is no OpenFlow at all.
const RUBBISH: [(&str, &[u8]); 6] = [
    ("a web browser", b"GET / HTTP/1.1\r\n\r\n"),
    ("noise", &[0xff; 4000]),
    ("a message of no length", &[4, 0, 0, 0, 0, 0, 0, 1]),
    ("a hello, then a header shorter than itself", &[4, 0, 0, 8, 0, 0, 0, 1, 4, 2, 0, 7, 0, 0, 0, 2]),
    ("a hello, then another version", &[4, 0, 0, 8, 0, 0, 0, 1, 1, 2, 0, 8, 0, 0, 0, 2]),
    ("another version alone", &[9, 5, 0, 8, 0, 0, 0, 1]),
];

/// Whether the other side ends the connection, while whoever behaves is served.
fn is_dropped(peer: &mut TcpStream, honest: &mut Honest, within: Duration) -> bool {
    peer.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let begin = Instant::now();
    while begin.elapsed() < within {
        match peer.read(&mut [0; 65_536]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                honest.is_served();
            }
            Err(_) => return true,
        }
    }
    false
}

fn attack(victim: &Victim) {
    let mut honest = victim.honest(1);
    honest.is_served();

    for (what, bytes) in RUBBISH {
        let mut peer = TcpStream::connect(victim.at).unwrap();
        peer.write_all(bytes).unwrap();
        assert!(is_dropped(&mut peer, &mut honest, PATIENCE), "{what}");
    }

    // A length that lies within a message is answered with an error, and no more than that.
    let mut liar = victim.honest(2);
    let lies: [&[u8]; 2] = [
        // A packet-in or packet-out whose inner lengths point behind its end.
        &[
            4, 10, 0, 40, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff,
            0xf8,
        ],
        &[4, 13, 0, 40, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xf8, 0, 0, 0, 0, 0, 0],
    ];
    for lie in lies {
        let mut bytes = lie.to_vec();
        bytes.resize(40, 0);
        liar.socket.write_all(&bytes).unwrap();
        liar.until(|message| message.xid == 9 && matches!(message.body, Body::Error(_)));
    }
    liar.is_served();
    honest.is_served();

    // A thousand who come and go, in all stages of a handshake, leave nothing behind.
    drop(liar);
    let settled = |victim: &Victim, honest: &mut Honest, wanted: usize| {
        let begin = Instant::now();
        while victim.descriptors() != wanted {
            assert!(begin.elapsed() < PATIENCE, "{} descriptors, not {wanted}", victim.descriptors());
            honest.is_served();
        }
    };
    let before = {
        // Until those of before are gone.
        let mut counts = (victim.descriptors(), Instant::now());
        while counts.1.elapsed() < Duration::from_millis(500) {
            honest.is_served();
            let now = victim.descriptors();
            if now != counts.0 {
                counts = (now, Instant::now());
            }
        }
        counts.0
    };
    for n in 0..RECONNECTIONS {
        let mut peer = TcpStream::connect(victim.at).unwrap();
        let bytes: &[u8] = match n % 4 {
            0 => &[],
            1 => &[4, 0, 0, 8, 0, 0, 0, 1],
            2 => &[4, 0, 0, 8, 0, 0, 0, 1, 4, 6],
            _ => RUBBISH[n % RUBBISH.len()].1,
        };
        // It may be closed on us before we are done.
        let _ = peer.write_all(bytes);
        drop(peer);
        if n % 20 == 0 {
            honest.is_served();
        }
    }
    settled(victim, &mut honest, before);

    // Floods by one that never reads: of echo requests, and of what costs the most here.
    for costly in [false, true] {
        let mut flood = victim.honest(3);
        let mut chunk = Vec::new();
        while chunk.len() < 1 << 20 {
            let body = match (costly, victim.is_controller) {
                (false, _) => Body::EchoRequest(vec![0; 1000]),
                (true, true) => packet_in(vec![0x5a; 1000]),
                (true, false) => Body::BarrierRequest,
            };
            codec::encode(Version::V13, &Message::new(7, body), &mut chunk).unwrap();
        }
        flood.socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        for _ in 0..64 {
            // It is cut off, or left waiting: both are well.
            if flood.socket.write_all(&chunk).is_err() {
                break;
            }
            honest.is_served();
        }
        honest.is_served();
    }
    settled(victim, &mut honest, before);

    // Stalls: before a hello, within one, and within a message of a connection that was up, byte by byte.
    let mut silent = TcpStream::connect(victim.at).unwrap();
    let mut cut = TcpStream::connect(victim.at).unwrap();
    cut.write_all(&[4, 0, 0, 8, 0]).unwrap();
    let mut late = victim.honest(4);
    late.socket.write_all(&[4, 10, 0xff, 0xff, 0, 0, 0, 1]).unwrap();
    let begin = Instant::now();
    let mut trickles = true;
    while trickles {
        assert!(begin.elapsed() < PATIENCE, "one that trickles is not dropped");
        trickles = late.socket.write_all(&[0]).is_ok();
        std::thread::sleep(Duration::from_millis(100));
        honest.is_served();
    }
    assert!(is_dropped(&mut silent, &mut honest, PATIENCE) && is_dropped(&mut cut, &mut honest, PATIENCE));
    settled(victim, &mut honest, before);
    honest.is_served();
}

/// Twice: what the first attack has made it reserve serves the second, and what is lost each time shows.
fn attack_and_again(victim: &Victim) {
    attack(victim);
    let memory = victim.memory_kib();
    attack(victim);
    let after = victim.memory_kib();
    println!("{memory} KiB after one attack, {after} KiB after two");
    let grown = after.saturating_sub(memory);
    assert!(grown < GROWTH_KIB, "{grown} KiB more");
}

#[test]
fn the_controller_drops_hostile_switches_and_serves_the_others() {
    let victim = Victim::controller();
    attack_and_again(&victim);
    let said = victim.end();
    let reasons = said.lines().filter(|line| line.contains("did not become a switch: ")).count();
    assert!(reasons > RECONNECTIONS / 2, "{reasons} reasons");
    assert!(said.contains("switch 0000000000000004 is down: "), "why the one that stalled is gone");
}

#[test]
fn the_switch_drops_hostile_controllers_and_serves_the_others() {
    let victim = Victim::switch();
    attack_and_again(&victim);
    let said = victim.end();
    let summary = said.lines().skip_while(|line| !line.starts_with('{')).collect::<String>();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap_or_else(|_| panic!("{said}"));
    assert!(summary["connections_ended"].as_u64() > Some(RECONNECTIONS as u64), "{summary}");
    assert!(summary["last_ended"].as_str().is_some_and(|reason| reason.contains(": ")), "{summary}");
}
