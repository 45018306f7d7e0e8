//! NAT44 between real hosts: their programs through our function on veth ports, beside the kernel's own masquerading.

mod lab;

use lab::{Echo, Internet, Netns, Program, V4, Web, ask};

const WORDS: &str =
    "nat44 inside=10.0.0.1/24 outside=192.0.2.2/24 gateway=192.0.2.1 forward=tcp/8080:10.0.0.6:80";

/// What programs inside and outside see of each other.
fn transcript(lab: &Internet) -> Vec<(&'static str, String)> {
    let _web = Web::start(&lab.server, "80");
    let _inner = Web::start(&lab.b, "80");
    let _echo = Echo::start(&lab.server, "203.0.113.9:7");
    let curl = |from: &Netns, rest: &str| from.tries(&format!("curl -sS -m 10 {rest}"));
    let hops = |text: String| {
        let hops = text.lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap_or("?").to_owned());
        hops.collect::<Vec<_>>().join(" ")
    };
    let ping = lab.a.tries("ping -n -c 3 -i 0.2 -W 5 203.0.113.9");
    let received = ping.lines().find(|line| line.contains("received")).unwrap_or(&ping);
    vec![
        ("a keeps its port", curl(&lab.a, "--local-port 40000 http://203.0.113.9/")),
        ("a again", curl(&lab.a, "--local-port 40001 http://203.0.113.9/")),
        ("b has another", {
            let seen = curl(&lab.b, "http://203.0.113.9/");
            seen.split(' ').next().unwrap().to_owned()
        }),
        ("ping", received.split(", time").next().unwrap().to_owned()),
        ("traceroute", hops(lab.a.tries("traceroute -n -q 1 -w 5 -m 6 203.0.113.9"))),
        ("traceroute by icmp", hops(lab.a.tries("traceroute -I -n -q 1 -w 5 -m 6 203.0.113.9"))),
        ("udp", ask(&lab.a, "10.0.0.5:5000", "203.0.113.9:7", 100)),
        ("fragments", ask(&lab.a, "10.0.0.5:5001", "203.0.113.9:7", 5000)),
        ("a closed port", ask(&lab.a, "10.0.0.5:5002", "203.0.113.9:9", 1)),
        ("a forwarded port", {
            let seen = curl(&lab.router, "http://192.0.2.2:8080/");
            seen.split(' ').next().unwrap().to_owned()
        }),
        ("an unmapped port", {
            let refused = curl(&lab.server, "-m 1 http://192.0.2.2:8081/");
            refused.contains("200").to_string()
        }),
        ("a host that is not there", curl(&lab.a, "http://192.0.2.77/").contains("curl: (7)").to_string()),
        ("the gateway", lab.a.tries("ping -n -c 1 -W 5 10.0.0.1").contains("1 received").to_string()),
        ("the outside address", {
            lab.server.tries("ping -n -c 1 -W 5 192.0.2.2").contains("1 received").to_string()
        }),
    ]
}

#[test]
fn programs_see_what_they_see_through_the_kernels_masquerading() {
    let mut lab = Internet::ours(&V4, WORDS);
    let ours = transcript(&lab);
    let summary = lab.finish();
    drop(lab);
    let kernel = transcript(&Internet::kernel());
    for (ours, kernel) in ours.iter().zip(&kernel) {
        assert_eq!(ours, kernel, "ours, then the kernel's; {summary:#?}");
    }
    let of = |what: &str| ours.iter().find(|(name, _)| *name == what).unwrap().1.as_str();
    assert_eq!(of("a keeps its port"), "192.0.2.2 40000");
    assert_eq!(of("traceroute"), "10.0.0.1 192.0.2.1 203.0.113.9");
    assert_eq!(of("udp"), "192.0.2.2:5000 100");
    assert_eq!(of("a closed port"), "connection refused");
    assert_eq!(of("a host that is not there"), "true");
}

#[test]
fn tcpdump_finds_every_checksum_right_on_both_sides() {
    let lab = Internet::ours(&V4, WORDS);
    let work = || {
        transcript(&lab);
    };
    let mut inside = 0;
    let outside = lab.captured(&lab.router, "eth0", || inside = lab.captured(&lab.a, "eth0", work));
    assert!(outside > 30 && inside > 20, "it looked at {outside} packets outside and {inside} inside");
}

#[test]
fn large_segments_go_through_both_ways() {
    let mut lab = Internet::ours(&V4, WORDS);
    for direction in ["", "-R", "-u -b 50M"] {
        let serve = lab.server.program("iperf3 -s -1 -p 5201 --forceflush");
        let _server = Program::start(serve, false, "Server listening");
        let mut moved = 0.0;
        let seen = lab.captured(&lab.router, "eth0", || {
            let said = lab.a.run(&format!("iperf3 -c 203.0.113.9 -p 5201 -n 20M -J {direction}"));
            let bytes = said.lines().rev().find_map(|line| line.trim().strip_prefix("\"bytes\":"));
            moved = bytes.unwrap().trim().trim_end_matches(',').parse().unwrap();
        });
        assert!(moved > 1e7, "{moved} bytes {direction}");
        assert!(seen > 10, "tcpdump looked at {seen} packets");
    }
    let summary = lab.finish();
    assert!(summary.packets_in > 100, "{summary:#?}");
}

#[test]
fn hosts_inside_reach_each_other_by_the_external_address() {
    let lab = Internet::ours(&V4, WORDS);
    let _web = Web::start(&lab.b, "80");
    let seen = lab.a.run("curl -sS -m 10 --local-port 41000 http://192.0.2.2:8080/");
    assert_eq!(seen, "192.0.2.2 41000", "both are translated (RFC 4787 REQ-9)");
}

#[test]
fn an_end_outside_may_begin_only_where_the_filter_is_off() {
    for (filter, expected) in [("on", "timed out"), ("off", "203.0.113.9:6000 3")] {
        let lab = Internet::ours(&V4, &format!("{WORDS} filter={filter}"));
        let _echo = Echo::start(&lab.router, "192.0.2.1:7");
        // A packet to another makes the mapping.
        let seen = lab.a.enter(|| {
            use std::net::UdpSocket;
            let socket = UdpSocket::bind("10.0.0.5:0").unwrap();
            socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
            socket.send_to(b"x", "192.0.2.1:7").unwrap();
            let mut buffer = [0; 100];
            let (length, _) = socket.recv_from(&mut buffer).unwrap();
            let seen = String::from_utf8_lossy(&buffer[..length]).into_owned();
            (socket, seen)
        });
        let (socket, seen) = seen.join().unwrap();
        let external = seen.split(' ').next().unwrap().to_owned();
        assert!(external.starts_with("192.0.2.2:"), "{seen}");
        let answers = std::thread::spawn(move || {
            socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
            let mut buffer = [0; 100];
            match socket.recv_from(&mut buffer) {
                Ok((length, from)) => format!("{from} {length}"),
                Err(_) => "timed out".to_owned(),
            }
        });
        let to: std::net::SocketAddr = external.parse().unwrap();
        lab.server
            .enter(move || {
                let socket = std::net::UdpSocket::bind("203.0.113.9:6000").unwrap();
                socket.send_to(b"hey", to).unwrap();
            })
            .join()
            .unwrap();
        assert_eq!(answers.join().unwrap(), expected, "filter={filter}");
    }
}
