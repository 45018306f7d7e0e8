//! Network functions before judges: ping, and sockets that count what comes.

mod lab;

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lab::{Star, counter, dropped};

const ALONE: [&str; 2] = ["addr add 10.0.0.1/24 dev eth0", "addr add fd00::1/64 dev eth0 nodad"];

#[test]
fn ping_is_answered_and_fragments_are_counted() {
    let lab = Star::new(&[&ALONE], "ping", &["address=10.0.0.9", "address=fd00::9"]);
    let host = &lab.hosts[0];
    for line in [
        "ping -n -c 3 -i 0.05 -W 5 10.0.0.9",
        "ping -n -c 3 -i 0.05 -W 5 -s 1472 10.0.0.9",
        "ping -n -c 3 -i 0.05 -W 5 -s 1 10.0.0.9",
        "ping -n -c 3 -i 0.05 -W 5 -R 10.0.0.9",
        "ping -6 -n -c 3 -i 0.05 -W 5 fd00::9",
        "ping -6 -n -c 3 -i 0.05 -W 5 -s 1452 fd00::9",
    ] {
        let said = host.run(line);
        assert!(
            said.contains("3 received") && !said.contains("wrong data") && !said.contains("DUP"),
            "{said}"
        );
    }
    assert!(host.tries("ping -n -c 1 -W 1 -s 4000 10.0.0.9").contains("0 received"));
    assert!(host.tries("ping -n -c 1 -W 1 10.0.0.8").contains("0 received"), "another's address");
    let summary = lab.finish();
    assert_eq!(counter(&summary, "echo replies"), 18);
    assert_eq!(dropped(&summary, "fragment of an echo request"), 3);
}

const PAIR: [&[&str]; 2] = [&["addr add 10.0.0.1/24 dev eth0"], &["addr add 10.0.0.2/24 dev eth0"]];

#[test]
fn the_limiter_passes_its_rate() {
    let lab = Star::new(&PAIR, "ratelimit", &["rate=20mbit", "burst=250k", "from=0"]);
    let done = Arc::new(AtomicBool::new(false));
    let is_done = done.clone();
    let receiver = lab.hosts[1].enter(|| UdpSocket::bind("10.0.0.2:9").unwrap()).join().unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let received = std::thread::spawn(move || {
        let (mut buffer, mut bytes, mut first, mut last) = ([0; 2000], 0u64, None, Instant::now());
        while !is_done.load(Ordering::Relaxed) {
            let Ok(length) = receiver.recv(&mut buffer) else { continue };
            last = Instant::now();
            first.get_or_insert(last);
            bytes += length as u64 + 42; // the frame
        }
        (bytes, last - first.expect("something came"))
    });
    let sender = lab.hosts[0].enter(|| UdpSocket::bind("10.0.0.1:0").unwrap()).join().unwrap();
    sender.connect("10.0.0.2:9").unwrap();
    let (start, mut sent) = (Instant::now(), 0u64);
    // 60 Mbit/s, paced, so that what is lost is lost in the limiter.
    while start.elapsed() < Duration::from_secs(4) {
        if sent * 8 < start.elapsed().as_micros() as u64 * 60 {
            sender.send(&[7; 958]).unwrap();
            sent += 1000;
        } else {
            std::thread::yield_now();
        }
    }
    let summary = lab.finish();
    done.store(true, Ordering::Relaxed);
    let (bytes, elapsed) = received.join().unwrap();
    let rate = (bytes - 250_000) as f64 * 8.0 / elapsed.as_secs_f64() / 1e6;
    assert!((19.6..=20.4).contains(&rate), "{rate:.2} Mbit/s in {elapsed:?}; {summary:#?}");
    assert!(dropped(&summary, "beyond the rate") > 1000, "{summary:#?}");
}
