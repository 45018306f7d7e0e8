//! The guard against SYN floods before judges: curl under a flood.

mod lab;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lab::{Netns, Random, Star, Wire, counter, seed};
use netbricks::live::Summary;
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
    let (connected, summary) = transfers_under_flood("synguard", &["rate=20", "burst=20"]);
    assert_eq!(connected, 6, "{summary:#?}");
    assert!(counter(&summary, "SYNs answered with a cookie") > 2900, "{summary:#?}");
    let (connected, _) = transfers_under_flood("acl", &["default=permit"]);
    assert!(connected < 3, "{connected} of 6 without a guard: this was no flood");
}
