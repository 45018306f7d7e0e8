//! Connections from containers to the world: what links allow, and nothing else; never to the machine itself.
//!
//! The machine is a namespace of its own, and the world another one beyond a cable: a web server, an echo, a resolver.
//! Making these takes root; what runs in the machine is root's once, and an ordinary user's once.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Weft, Who};

/// A place in the world, over IPv4 and IPv6, and one beside it where nobody listens.
const SITE: (&str, &str) = ("93.184.216.34", "2001:db8:99::1");
const CLOSED: &str = "93.184.216.35";
/// A network that the world's router says is not there.
const NOWHERE: &str = "203.0.113.9";
/// The machine's own address.
const MACHINE: &str = "198.18.0.1";
/// How long a failure may take to be told.
const PROMPT: Duration = Duration::from_secs(5);

const BLUEPRINT: &str = "import {Container, allow, deployment, publicInternet, tcp, udp} from 'weft';
deployment({name: 'out'});
const a = new Container('a', {command: ['sleep', '1000']});
const b = new Container('b', {command: ['sleep', '1000']});
allow(a, publicInternet, tcp(80));
allow(a, publicInternet, udp(7, 8));
";

/// Sends a datagram to an address and port, and says what came back; also errors that a program has to ask for.
const ASK: &str = r#"use IO::Socket::INET;
    my $socket = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Proto => "udp") or die "no socket: $!";
    setsockopt($socket, 0, 11, pack("i", 1)) or die "no IP_RECVERR: $!";
    $socket->send("hello") or die "not sent: $!";
    local $SIG{ALRM} = sub { die "silence" }; alarm 8;
    defined($socket->recv(my $text, 65535)) or die "refused: $!";
    print $text;"#;

/// A namespace that goes when it is dropped.
struct Namespace(String);

impl Namespace {
    fn new(role: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wt{role}{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]);
        let made = Self(name);
        made.ip(&["link", "set", "lo", "up"]);
        made
    }

    fn path(&self) -> String {
        format!("/run/netns/{}", self.0)
    }

    fn ip(&self, words: &[&str]) {
        ip(&[&["-n", &self.0], words].concat());
    }

    /// Runs something inside, on a thread of its own.
    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = OwnedFd::from(File::open(self.path()).expect("the namespace"));
        host::netns::within(&namespace, work).expect("to enter it")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).output();
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("ip, which tests/install.sh installs");
    assert!(output.status.success(), "ip {words:?}: {output:?}");
}

/// The machine and the world, and what the world serves.
struct World {
    machine: Namespace,
    _world: Namespace,
    /// Connections that reached a service of the machine itself.
    at_machine: Arc<AtomicU32>,
}

impl World {
    fn new() -> Self {
        let (machine, world) = (Namespace::new("m"), Namespace::new("w"));
        machine.ip(&["link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", &world.0]);
        for (namespace, own) in [(&machine, 1), (&world, 2)] {
            namespace.ip(&["address", "add", &format!("198.18.0.{own}/24"), "dev", "cable"]);
            namespace.ip(&["address", "add", &format!("2001:db8:18::{own}/64"), "dev", "cable", "nodad"]);
            namespace.ip(&["link", "set", "cable", "up"]);
        }
        machine.ip(&["route", "add", "default", "via", "198.18.0.2"]);
        machine.ip(&["-6", "route", "add", "default", "via", "2001:db8:18::2"]);
        for address in [SITE.0, CLOSED, SITE.1] {
            world.ip(&["address", "add", address, "dev", "lo"]);
        }
        world.ip(&["route", "add", "unreachable", "203.0.113.0/24"]);
        world.within(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("to route"));
        let web = |namespace: &Namespace, address: &str| {
            let address = address.to_owned();
            namespace.within(move || TcpListener::bind((address.as_str(), 80)).expect("a web server"))
        };
        for address in [SITE.0, SITE.1] {
            let listener = web(&world, address);
            std::thread::spawn(move || listener.incoming().flatten().for_each(page));
        }
        let at_machine = Arc::new(AtomicU32::new(0));
        let (own, count) = (web(&machine, "0.0.0.0"), at_machine.clone());
        std::thread::spawn(move || {
            own.incoming().flatten().for_each(|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        });
        let echo = world.within(|| UdpSocket::bind((SITE.0, 7)).expect("an echo"));
        std::thread::spawn(move || answer(&echo, <[u8]>::to_vec));
        let server = name_server();
        if !server.is_loopback() {
            world.ip(&["address", "add", &server.to_string(), "dev", "lo"]);
        }
        let place = if server.is_loopback() { &machine } else { &world };
        let resolver = place.within(|| UdpSocket::bind((server, 53)).expect("a resolver"));
        std::thread::spawn(move || answer(&resolver, resolve));
        Self { machine, _world: world, at_machine }
    }
}

/// The name server of whoever runs this test: the machine's files are theirs, so the machine's resolver has this address.
fn name_server() -> IpAddr {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let named = text.lines().find_map(|line| line.strip_prefix("nameserver ")?.trim().parse().ok());
    named.unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// One page, whatever is asked for.
fn page(mut stream: std::net::TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
    let from = stream.peer_addr().map(|from| from.ip().to_string()).unwrap_or_default();
    let body = format!("hello {from}\n");
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn answer(socket: &UdpSocket, make: impl Fn(&[u8]) -> Vec<u8>) {
    let mut text = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut text) {
        let _ = socket.send_to(&make(&text[..length]), from);
    }
}

/// Knows the A record of `www.example.test`, that it has no others, and no other name.
fn resolve(question: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"\x03www\x07example\x04test\x00";
    let known = question[12..].starts_with(NAME);
    let asks_v4 = known && question[12 + NAME.len()..].starts_with(&[0, 1]);
    let mut message = question[..2].to_vec();
    message.extend([0x81, if known { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(asks_v4), 0, 0, 0, 0]);
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).expect("a name") + 5;
    message.extend(&question[12..end]);
    if asks_v4 {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 93, 184, 216, 34]);
    }
    message
}

#[test]
fn containers_reach_the_world_as_links_allow_as_root() {
    reaches(Who::Root);
}

#[test]
fn containers_reach_the_world_as_links_allow_as_a_user() {
    reaches(Who::User);
}

fn reaches(who: Who) {
    let world = World::new();
    let weft = Weft::run_by(who, &["nsenter", &format!("--net={}", world.machine.path()), "--"]);
    let file = weft.blueprint("out.js", BLUEPRINT);
    weft.ok(&["up", &file]);
    let run = |container: &str, words: &[&str]| {
        let start = Instant::now();
        let output = weft.run(&[&["exec", container, "--"], words].concat());
        (output, start.elapsed())
    };
    let fetch = |container: &str, url: &str| run(container, &["curl", "-sS", "--max-time", "20", url]);
    let text = |output: &Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };

    // What is allowed: both families, by address and by name. The world sees the machine.
    let urls =
        [format!("http://{}/", SITE.0), "http://www.example.test/".into(), format!("http://[{}]/", SITE.1)];
    for (url, sender) in urls.iter().zip([MACHINE, MACHINE, "2001:db8:18::1"]) {
        let (output, _) = fetch("a", url);
        assert_eq!(text(&output), format!("hello {sender}\n"), "{url} as {who:?}");
    }
    let (echo, _) = run("a", &["perl", "-e", ASK, SITE.0, "7"]);
    assert_eq!(text(&echo), "hello");

    // What is not: refused at once, and names of the world are nobody's business.
    for (container, url) in [("a", format!("http://{}:81/", SITE.0)), ("b", urls[0].clone())] {
        let (output, took) = fetch(container, &url);
        assert!(
            output.status.code() == Some(7) && took < PROMPT,
            "{container} {url}: {} {took:?}",
            text(&output)
        );
    }
    let (output, _) = fetch("b", "http://www.example.test/");
    assert_eq!(output.status.code(), Some(6), "{}", text(&output));

    // Failures are told, and soon.
    for url in [format!("http://{CLOSED}/"), format!("http://{NOWHERE}/"), format!("http://{MACHINE}/")] {
        let (output, took) = fetch("a", &url);
        assert!(!output.status.success() && took < PROMPT, "{url}: {} {took:?}", text(&output));
    }
    assert_eq!(world.at_machine.load(Ordering::Relaxed), 0, "the machine is not outside");
    for (to, port) in [(SITE.0, "8"), (NOWHERE, "7")] {
        let (output, took) = run("a", &["perl", "-e", ASK, to, port]);
        assert!(
            text(&output).starts_with("refused:") && took < PROMPT,
            "{to}:{port}: {} {took:?}",
            text(&output)
        );
    }

    let why = weft.ok(&["why", "a", "publicInternet", "80"]);
    assert!(why.contains("out.js:5:1 (link a -> public internet"), "{why}");
    let denied = weft.run(&["why", "b", SITE.0, "80"]);
    assert_eq!(denied.status.code(), Some(1));
    assert!(text(&denied).contains("no link allows it"), "{}", text(&denied));
    let carried = weft.json(&["ps", "--json"])["outside"].clone();
    assert_eq!(carried["connections"]["total"], 6, "{carried}");
    assert_eq!(carried["connections"]["failed"], 3, "{carried}");
    assert!(carried["names"]["total"].as_u64().is_some_and(|asked| asked >= 1), "{carried}");

    // Less is allowed later: the ports go, and containers stay.
    let pids = weft.pids();
    let file = weft.blueprint("out.js", &BLUEPRINT.replace("allow(a, publicInternet, tcp(80));\n", ""));
    weft.ok(&["up", &file]);
    assert_eq!(fetch("a", &urls[0]).0.status.code(), Some(7));
    assert_eq!(weft.pids(), pids);
    weft.ok(&["stop"]);
    weft.nothing_left();
}
