//! NAT64 between real hosts: programs in namespaces without IPv4 reach a server without IPv6 through our function.

mod lab;

use lab::{Echo, Internet, Program, V6, Web, ask};

const WORDS: &str =
    "nat64 inside=fd00::1/64 outside=192.0.2.2/24 gateway=192.0.2.1 forward=tcp/8080:[fd00::6]:80";
/// The server, seen from inside.
const SERVER: &str = "64:ff9b::203.0.113.9";

fn hops(traceroute: &str) -> Vec<&str> {
    traceroute.lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap_or("?")).collect()
}

fn programs(lab: &Internet) {
    let _web = Web::start(&lab.server, "80");
    let seen = lab.a.run(&format!("curl -gsS -m 10 --local-port 40000 http://[{SERVER}]/"));
    assert_eq!(seen, "192.0.2.2 40000");
    assert!(lab.b.run(&format!("curl -gsS -m 10 http://[{SERVER}]/")).starts_with("192.0.2.2 "));

    let _echo = Echo::start(&lab.server, "203.0.113.9:7");
    assert_eq!(ask(&lab.a, "[fd00::5]:5000", "[64:ff9b::203.0.113.9]:7", 100), "192.0.2.2:5000 100");
    assert_eq!(ask(&lab.a, "[fd00::5]:5001", "[64:ff9b::203.0.113.9]:7", 5000), "192.0.2.2:5001 5000");
    assert_eq!(ask(&lab.a, "[fd00::5]:5002", "[64:ff9b::203.0.113.9]:9", 1), "connection refused");

    let nobody = lab.a.tries("curl -gsS -m 10 http://[64:ff9b::192.0.2.77]/");
    assert!(nobody.contains("curl: (7)"), "{nobody}");

    for size in [56, 1400] {
        let ping = lab.a.tries(&format!("ping -n -c 3 -i 0.2 -W 5 -s {size} {SERVER}"));
        assert!(ping.contains("3 received"), "{ping}");
    }
    for how in ["", "-I"] {
        let traceroute = lab.a.run(&format!("traceroute -6 {how} -n -q 1 -w 5 -m 6 {SERVER}"));
        let expected = ["fd00::1", "64:ff9b::c000:201", "64:ff9b::cb00:7109"];
        assert_eq!(hops(&traceroute), expected, "{traceroute}");
    }
}

#[test]
fn programs_without_ipv4_reach_a_server_without_ipv6() {
    let mut lab = Internet::ours(&V6, WORDS);
    programs(&lab);
    let summary = lab.finish();
    assert!(summary.packets_out > 50, "{summary:#?}");
}

#[test]
fn tcpdump_finds_every_checksum_right_in_both_families() {
    let lab = Internet::ours(&V6, WORDS);
    let mut inside = 0;
    let outside = lab.captured(&lab.router, "eth0", || {
        inside = lab.captured(&lab.a, "eth0", || programs(&lab));
    });
    assert!(outside > 30 && inside > 20, "it looked at {outside} packets outside and {inside} inside");
}

#[test]
fn large_segments_change_family_both_ways() {
    let lab = Internet::ours(&V6, WORDS);
    for direction in ["", "-R", "-u -b 50M -l 1400"] {
        let serve = lab.server.program("iperf3 -s -1 -p 5201 --forceflush");
        let _server = Program::start(serve, false, "Server listening");
        let mut moved = 0.0;
        let (mut inside, mut outside) = (0, 0);
        let work = || {
            let said = lab.a.run(&format!("iperf3 -6 -c {SERVER} -p 5201 -n 20M -J {direction}"));
            let bytes = said.lines().rev().find_map(|line| line.trim().strip_prefix("\"bytes\":"));
            moved = bytes.unwrap().trim().trim_end_matches(',').parse().unwrap();
        };
        outside += lab.captured(&lab.router, "eth0", || inside += lab.captured(&lab.a, "eth0", work));
        assert!(moved > 1e7, "{moved} bytes {direction}");
        assert!(outside > 10 && inside > 10, "it looked at {outside} and {inside} packets {direction}");
    }
}

#[test]
fn large_datagrams_from_outside_are_fragmented_for_the_inside() {
    let lab = Internet::ours(&V6, &format!("{WORDS} filter=off"));
    // From here on the server lets its packets be fragmented (Linux' IP_PMTUDISC_DONT).
    lab.server.run("sysctl -qw net.ipv4.ip_no_pmtu_disc=1");
    let _echo = Echo::start(&lab.router, "192.0.2.1:7");
    let (tell, told) = std::sync::mpsc::channel();
    let listener = lab.a.enter(move || {
        let socket = std::net::UdpSocket::bind("[fd00::5]:5000").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        socket.send_to(b"x", "[64:ff9b::192.0.2.1]:7").unwrap();
        let mut buffer = [0; 8000];
        socket.recv(&mut buffer).unwrap();
        tell.send(()).unwrap();
        let mut next = || {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            assert!(buffer[..length].iter().all(|byte| *byte == 7));
            (length, from.to_string())
        };
        [next(), next()]
    });
    told.recv().unwrap();
    lab.server
        .enter(|| {
            let socket = std::net::UdpSocket::bind("203.0.113.9:6000").unwrap();
            socket.send_to(&[7; 1400], "192.0.2.2:5000").unwrap(); // one packet that may be fragmented
            socket.send_to(&[7; 5000], "192.0.2.2:5000").unwrap(); // fragments, larger than fits
        })
        .join()
        .unwrap();
    let from = "[64:ff9b::cb00:7109]:6000".to_owned();
    assert_eq!(listener.join().unwrap(), [(1400, from.clone()), (5000, from)]);
}

#[test]
fn a_server_inside_is_reached_from_outside_by_its_forward_and_by_a_hairpin() {
    let lab = Internet::ours(&V6, WORDS);
    let _web = Web::start(&lab.b, "[::]:80");
    let seen = lab.router.run("curl -sS -m 10 --local-port 41000 http://192.0.2.2:8080/");
    assert_eq!(seen, "64:ff9b::c000:201 41000");
    let seen = lab.a.run("curl -gsS -m 10 --local-port 42000 http://[64:ff9b::192.0.2.2]:8080/");
    assert_eq!(seen, "64:ff9b::c000:202 42000");
}
