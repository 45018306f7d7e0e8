//! The guard against SYN floods before judges: the kernel's TCP on both sides, curl, a flood, a server that comes late.

mod lab;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lab::{Netns, Random, Star, Web, Wire, counter, seed, until};
use netbricks::live::{Handle, Summary};
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, tcp};
use packet::{Pool, PoolConfig};

/// Whoever is not on the link is behind the second.
const PAIR: [&[&str]; 2] = [
    &["addr add 10.0.0.1/24 dev eth0", "route add default via 10.0.0.2"],
    &["addr add 10.0.0.2/24 dev eth0"],
];

/// A web server in a namespace, until dropped.
struct Page(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Page {
    fn start(ns: &Netns) -> Self {
        let listener = ns.enter(|| TcpListener::bind("0.0.0.0:80").unwrap()).join().unwrap();
        listener.set_nonblocking(true).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let is_ended = ended.clone();
        let thread = std::thread::spawn(move || {
            while !is_ended.load(Ordering::Relaxed) {
                let ready = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
                let mut fds = [rustix::event::PollFd::new(&listener, rustix::event::PollFlags::IN)];
                rustix::event::poll(&mut fds, Some(&ready)).unwrap();
                let Ok((mut stream, _)) = listener.accept() else { continue };
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let body = "x".repeat(100_000);
                let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        Self(ended, Some(thread))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let _ = self.1.take().unwrap().join();
    }
}

/// A SYN to the server from an address that nobody has.
fn forged(random: &mut Random, server: MacAddr) -> Vec<u8> {
    let (source, destination) =
        (Ipv4Addr::from_bits(0x6400_0000 | random.next() as u32 >> 8), Ipv4Addr::new(10, 0, 0, 1));
    let mut frame = vec![0; 14 + 20 + 20];
    let link = ethernet::Repr {
        source: MacAddr([2, 0, 0, 0, 0, 0x66]),
        destination: server,
        ethertype: EtherType::IPV4,
    };
    link.emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    ipv4::Repr::new(source, destination, IpProtocol::TCP, 20)
        .emit(&mut ipv4::View::new_unchecked(&mut frame[14..]));
    let mut view = tcp::View::new_unchecked(&mut frame[34..]);
    view.set_source_port(1024 + random.below(60_000) as u16);
    view.set_destination_port(80);
    view.set_sequence(random.next() as u32);
    view.set_header_len_flags(20, tcp::Flags::SYN);
    view.set_window(1024);
    view.fill_checksum(source.into(), destination.into());
    frame
}

/// Whether more of so many frames wait for the function than its port takes.
fn behind(handle: &Handle, sent: u64) -> bool {
    let came =
        |run: Summary| run.packets_in + run.ports.iter().map(|port| port.counters.rx_dropped).sum::<u64>();
    handle.report().is_ok_and(|run| came(run) + 256 < sent)
}

/// How many of six transfers succeed while a flood goes on through a function.
fn transfers_under_flood(name: &str, words: &[&str]) -> (usize, Summary) {
    let lab = Star::new(&PAIR, name, words);
    let (server, client) = (&lab.hosts[0], &lab.hosts[1]);
    server.run("sysctl -qw net.ipv4.tcp_syncookies=0 net.ipv4.tcp_max_syn_backlog=64 net.core.somaxconn=64");
    // Else those who have been served before are let in first.
    server.run("sysctl -qw net.ipv4.tcp_no_metrics_save=1");
    let web = Page::start(server);
    let healthy =
        client.tries("curl -sS -m 10 -o /dev/null -w %{http_code}:%{size_download} http://10.0.0.1/");
    assert_eq!(healthy, "200:100000");
    let ended = Arc::new(AtomicBool::new(false));
    let is_ended = ended.clone();
    let mut random = Random(seed());
    let pool = Pool::new(PoolConfig { buffers: 256, ..PoolConfig::default() }).unwrap();
    let mut wire = Wire::open(client, "eth0", &pool);
    let (under_way, is_under_way) = std::sync::mpsc::channel();
    let handle = lab.handle().clone();
    let flood = std::thread::spawn(move || {
        let (start, mut sent) = (Instant::now(), 0u64);
        while !is_ended.load(Ordering::Relaxed) {
            // 10,000 a second.
            if sent < start.elapsed().as_micros() as u64 / 100 {
                wire.send(&pool, &forged(&mut random, MacAddr([2, 0, 0, 0, 1, 0])));
                sent += 1;
                if sent == 3000 {
                    under_way.send(()).unwrap();
                }
                // A machine with other work gets as many as it takes: a wire that loses the transfers is no flood.
                while sent.is_multiple_of(64) && !is_ended.load(Ordering::Relaxed) && behind(&handle, sent) {
                    std::thread::yield_now();
                }
            } else {
                std::thread::yield_now();
            }
        }
        sent
    });
    is_under_way.recv().unwrap();
    let connects = (0..6).filter(|_| {
        let said =
            client.tries("curl -sS -m 4 -o /dev/null -w %{http_code}:%{size_download} http://10.0.0.1/");
        said == "200:100000"
    });
    let connected = connects.count();
    ended.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    drop(web);
    (connected, lab.finish())
}

#[test]
fn curl_gets_through_a_syn_flood_with_the_guard_and_not_without() {
    // So few of the flood's pass that the server's backlog, of which it keeps 16 for those it knows, never fills.
    let (connected, summary) = transfers_under_flood("synguard", &["rate=2", "burst=10"]);
    assert_eq!(connected, 6, "{summary:#?}");
    assert!(counter(&summary, "SYNs answered with a cookie") > 2900, "{summary:#?}");
    let (connected, _) = transfers_under_flood("acl", &["default=permit"]);
    assert!(connected < 3, "{connected} of 6 without a guard: this was no flood");
}

/// A server whose host has not got its address yet, and a client that knows its station all the same.
fn without_a_server(words: &[&str]) -> Star {
    let client = [
        "addr add 10.0.0.2/24 dev eth0",
        "neigh add 10.0.0.1 lladdr 02:00:00:00:01:00 dev eth0 nud permanent",
    ];
    Star::new(&[&[], &client], "synguard", words)
}

/// Connects, says nothing, and reads what the server says first.
fn listen(client: &Netns) -> std::thread::JoinHandle<(std::io::Result<String>, Duration)> {
    client.enter(|| {
        let start = Instant::now();
        let mut stream =
            TcpStream::connect_timeout(&"10.0.0.1:80".parse().unwrap(), Duration::from_secs(5)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut said = String::new();
        let read = stream.read_to_string(&mut said).map(|_| said);
        (read, start.elapsed())
    })
}

#[test]
fn a_server_that_comes_up_late_is_reached() {
    let lab = without_a_server(&["rate=0"]);
    let (server, client) = (&lab.hosts[0], &lab.hosts[1]);
    let _web = Web::start(server, "8080");
    let listener = server.enter(|| TcpListener::bind("0.0.0.0:80").unwrap()).join().unwrap();
    let greeter = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"hello").unwrap());
    let listens = listen(client);
    let curl = client.program("curl -sS -m 10 http://10.0.0.1:8080/").stdout(Stdio::piped()).spawn().unwrap();
    until("both are asked for again", || counter(&lab.report(), "SYNs sent again") >= 2);
    server.ip("addr add 10.0.0.1/24 dev eth0");
    let (said, took) = listens.join().unwrap();
    assert_eq!(said.unwrap(), "hello", "who says nothing is connected by the guard alone");
    assert!((2.9..6.0).contains(&took.as_secs_f64()), "asked after 1 s and after 3 s: {took:?}");
    let said = String::from_utf8(curl.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.starts_with("10.0.0.2 "), "{said}");
    greeter.join().unwrap();
    let summary = lab.finish();
    assert_eq!(counter(&summary, "connections given up, server silent"), 0, "{summary:#?}");
}

#[test]
fn the_client_of_a_server_that_never_comes_is_reset() {
    let lab = without_a_server(&["rate=0", "syns=2"]);
    let client = &lab.hosts[1];
    let listens = listen(client);
    let curl = client.tries("curl -sS -m 8 http://10.0.0.1/");
    assert!(curl.contains("reset by peer"), "{curl}");
    let (said, took) = listens.join().unwrap();
    assert_eq!(said.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert!(
        (2.9..6.0).contains(&took.as_secs_f64()),
        "asked at once and after 1 s, given up after 3 s: {took:?}"
    );
    let summary = lab.finish();
    let counts = ["connections given up, server silent", "connections opened by cookie", "SYNs sent again"];
    assert_eq!(counts.map(|name| counter(&summary, name)), [2, 0, 2], "{summary:#?}");
}
