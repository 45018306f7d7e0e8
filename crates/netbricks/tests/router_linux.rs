//! The router before judges: ping and traceroute of the kernel's hosts go through it, the kernel puts its fragments
//! together, and the kernel's routing table decides beside ours.

mod lab;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lab::{
    Capture, Echo, Netns, Program, Random, Star, ask, checksums_are_right, counter, dropped, function, seed,
    tshark,
};
use netbricks::Context;
use netbricks::routes::{Hop, Routes};
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, ipv6};
use packet::{Batch, Pool, PoolConfig};

const ROUTER: [&str; 4] = [
    "interface=0,address=10.0.0.254/24,address=fd00::fe/64",
    "interface=1,address=10.1.0.254/24,address=fd01::fe/64",
    "interface=2,address=10.2.0.254/24,address=fd02::fe/64,mtu=1300",
    "route=10.9.0.0/16,gate=1,via=10.1.0.99",
];

fn routed() -> Star {
    let hosts: Vec<[String; 4]> = (0..3)
        .map(|n| {
            [
                format!("addr add 10.{n}.0.1/24 dev eth0"),
                format!("addr add fd0{n}::1/64 dev eth0 nodad"),
                format!("route add default via 10.{n}.0.254"),
                format!("-6 route add default via fd0{n}::fe"),
            ]
        })
        .collect();
    let hosts: Vec<Vec<&str>> = hosts.iter().map(|host| host.iter().map(String::as_str).collect()).collect();
    let hosts: Vec<&[&str]> = hosts.iter().map(Vec::as_slice).collect();
    Star::new(&hosts, "router", &ROUTER)
}

#[test]
fn the_router_is_a_hop_and_says_why_packets_end() {
    let lab = routed();
    let host = &lab.hosts[0];
    let says = |line: &str, words: &str| {
        let said = host.tries(line);
        assert!(said.contains(words), "{line}: '{words}' is wanted: {said}");
    };
    says("ping -n -c 3 -i 0.05 -W 5 10.1.0.1", "3 received");
    says("ping -6 -n -c 3 -i 0.05 -W 5 fd02::1", "3 received");
    says("ping -n -c 1 -W 5 10.2.0.254", "1 received");
    let hops = |line: &str| -> Vec<String> {
        let said = host.run(line);
        said.lines().skip(1).filter_map(|line| Some(line.split_whitespace().nth(1)?.to_owned())).collect()
    };
    assert_eq!(hops("traceroute -n -q 1 -w 5 -m 5 10.2.0.1"), ["10.0.0.254", "10.2.0.1"]);
    assert_eq!(hops("traceroute -6 -n -q 1 -w 5 -m 5 fd02::1"), ["fd00::fe", "fd02::1"]);
    assert_eq!(hops("traceroute -n -q 1 -w 5 -m 5 10.2.0.254"), ["10.2.0.254"]);
    says("ping -n -c 1 -W 5 -t 1 10.1.0.1", "From 10.0.0.254 icmp_seq=1 Time to live exceeded");
    says("ping -6 -n -c 1 -W 5 -t 1 fd01::1", "From fd00::fe icmp_seq=1 Time exceeded: Hop limit");
    says("ping -n -c 1 -W 5 -M do -s 1400 10.2.0.1", "Frag needed and DF set (mtu = 1300)");
    says("ping -6 -n -c 1 -W 5 -M do -s 1400 fd02::1", "Packet too big: mtu=1300");
    says("ping -n -c 1 -W 5 -M do -s 1272 10.2.0.1", "1 received");
    says("ping -n -c 1 -W 5 172.16.0.1", "From 10.0.0.254 icmp_seq=1 Destination Net Unreachable");
    says("ping -6 -n -c 1 -W 5 2001:db8::1", "From fd00::fe icmp_seq=1 Destination unreachable: No route");
    says("ping -n -c 1 -W 8 10.1.0.77", "From 10.0.0.254 icmp_seq=1 Destination Host Unreachable");
    says(
        "ping -6 -n -c 1 -W 8 fd01::77",
        "From fd00::fe icmp_seq=1 Destination unreachable: Address unreachable",
    );
    says("ping -n -c 1 -W 8 10.9.1.1", "Destination Host Unreachable");
    let summary = lab.finish();
    assert!(counter(&summary, "forwarded") >= 20, "{summary:#?}");
    assert_eq!(dropped(&summary, "wrong IP checksum"), 0);
}

/// A random address or prefix of a few bits' choice, so that prefixes contain each other.
fn random_v4(random: &mut Random) -> Ipv4Addr {
    let bits = random.next();
    Ipv4Addr::new(20 + (bits & 3) as u8, (bits >> 8) as u8 & 0x83, (bits >> 16) as u8, (bits >> 24) as u8)
}

fn random_v6(random: &mut Random) -> Ipv6Addr {
    let (high, low) = (random.next(), random.next());
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(high & 0x0103_00ff) << 64 | u128::from(low))
}

const VIA: [(u16, &str, &str); 5] = [
    (0, "10.0.0.7", "fd00::7"),
    (0, "10.0.0.8", "fd00::8"),
    (1, "10.1.0.7", "fd01::7"),
    (2, "10.2.0.7", "fd02::7"),
    (2, "10.2.0.8", "fd02::8"),
];

/// Routes as we write them and as `ip -batch` does.
fn random_routes(random: &mut Random, count: usize) -> (Vec<(String, Hop)>, String) {
    let (mut ours, mut theirs) = (Vec::new(), String::new());
    let mut known = std::collections::HashSet::new();
    while ours.len() < count {
        let (gate, via4, via6) = random.one_of(&VIA);
        let (prefix, via) = if random.below(2) == 0 {
            let length = 20 + random.below(13) as u32;
            let address = random_v4(random).to_bits() & u32::MAX << (32 - length);
            (format!("{}/{length}", Ipv4Addr::from_bits(address)), via4)
        } else {
            let length = 60 + random.below(69) as u32;
            let address = random_v6(random).to_bits() & u128::MAX << (128 - length);
            (format!("{}/{length}", Ipv6Addr::from_bits(address)), via6)
        };
        if known.insert(prefix.clone()) {
            theirs += &format!("route add {prefix} via {via} dev d{gate}\n");
            ours.push((prefix, Hop::Gate(gate, Some(via.parse().unwrap()))));
        }
    }
    (ours, theirs)
}

#[test]
fn the_router_decides_as_the_kernels_table_does() {
    let mut random = Random(seed());
    let kernel = Netns::new("table");
    for n in 0..3 {
        kernel.ip(&format!("link add d{n} type veth peer name e{n}"));
        kernel.ip(&format!("link set e{n} up"));
        kernel.ip(&format!("link set d{n} up"));
        kernel.ip(&format!("addr add 10.{n}.0.254/24 dev d{n}"));
        kernel.ip(&format!("addr add fd0{n}::fe/64 dev d{n} nodad"));
    }
    let (routes, batch) = random_routes(&mut random, 3000);
    kernel.feed("ip -batch -", &batch);
    let mut table = Routes::default();
    routes.iter().for_each(|(prefix, hop)| table.insert(prefix, *hop).unwrap());
    let addresses: Vec<IpAddr> = (0..4000)
        .map(|n| if n % 2 == 0 { random_v4(&mut random).into() } else { random_v6(&mut random).into() })
        .collect();
    let asks: String = addresses.iter().map(|address| format!("route get {address}\n")).collect();
    let said = kernel.tries_batch(&asks);
    let mut words = vec![
        "interface=0,address=10.0.0.254/24,address=fd00::fe/64,mac=02:00:00:00:00:02,peer=02:00:00:00:00:09"
            .to_owned(),
    ];
    words.extend((1..3).map(|n| {
        format!("interface={n},address=10.{n}.0.254/24,address=fd0{n}::fe/64,peer=02:00:00:00:00:0{n}")
    }));
    words.extend(routes.iter().map(|(prefix, hop)| match hop {
        Hop::Gate(gate, Some(via)) => format!("route={prefix},gate={gate},via={via}"),
        other => panic!("{other:?}"),
    }));
    let pool = Pool::new(PoolConfig { buffers: 64, ..PoolConfig::default() }).unwrap();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut router = function("router", &words, &pool);
    let mut ctx = Context::new(router.gates());
    let mut unrouted = 0;
    for address in &addresses {
        let kernels = said.iter().find(|(asked, _)| asked == address).map(|(_, hop)| *hop);
        let ours = table.find(*address);
        assert_eq!(ours, kernels.map(|(gate, via)| Hop::Gate(gate, Some(via))), "{address}");
        unrouted += usize::from(ours.is_none());
        let mut batch = Batch::new();
        batch.push(pool.packet(&datagram(*address)).unwrap()).unwrap();
        router.process(0, &mut batch, &mut ctx);
        let mut out = None;
        for gate in 0..3 {
            ctx.drain(gate, |batch| {
                // What goes back to the sender is an ICMP error, and no datagram.
                let is_error = batch
                    .iter()
                    .any(|packet| [packet.data()[23], packet.data()[20]].iter().any(|p| [1, 58].contains(p)));
                out = (!is_error).then_some(gate);
                batch.clear();
            });
        }
        assert_eq!(out, kernels.map(|(gate, _)| gate), "{address}");
    }
    assert!((1..3900).contains(&unrouted), "{unrouted} of 4000 addresses without a route");
}

/// A UDP datagram to an address that is routed, from a host at gate 0.
fn datagram(to: IpAddr) -> Vec<u8> {
    let body = [0, 5, 0, 9, 0, 8, 0, 0];
    let mut frame = vec![0; ethernet::HEADER_LEN + 40 + body.len()];
    let link = ethernet::Repr {
        source: MacAddr([2, 0, 0, 0, 0, 9]),
        destination: MacAddr([2, 0, 0, 0, 0, 2]),
        ethertype: if to.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 },
    };
    link.emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    let header = match to {
        IpAddr::V4(to) => {
            ipv4::Repr::new([10, 0, 0, 1].into(), to, IpProtocol::UDP, body.len())
                .emit(&mut ipv4::View::new_unchecked(&mut frame[14..]));
            ipv4::HEADER_LEN
        }
        IpAddr::V6(to) => {
            ipv6::Repr::new("fd00::1".parse().unwrap(), to, IpProtocol::UDP, body.len())
                .emit(&mut ipv6::View::new_unchecked(&mut frame[14..]));
            ipv6::HEADER_LEN
        }
    };
    frame[14 + header..14 + header + body.len()].copy_from_slice(&body);
    frame.truncate(14 + header + body.len());
    frame
}

/// The link to the third host takes 1300 bytes, as its interface of the router says.
fn narrow() -> Star {
    let lab = routed();
    lab.hosts[2].ip("link set eth0 mtu 1300");
    lab.middle().ip("link set p2 mtu 1300");
    lab
}

/// A counter of a host's IP (`/proc/net/snmp`).
fn snmp(host: &Netns, name: &str) -> u64 {
    let said = host.run("cat /proc/net/snmp");
    let mut lines = said.lines().filter(|line| line.starts_with("Ip:")).map(str::split_whitespace);
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let (_, value) = names.zip(values).find(|(known, _)| *known == name).unwrap();
    value.parse().unwrap()
}

#[test]
fn the_kernel_puts_together_what_the_router_fragments() {
    let lab = narrow();
    let (near, far) = (&lab.hosts[0], &lab.hosts[2]);
    let capture = Capture::start(far, "eth0", "-Q in ip");
    // One that fits its own link; fragments already; options, of which the second fragment has none; many fragments.
    for more in ["-s 1400", "-s 3000", "-s 1400 -R", "-s 20000"] {
        let said = near.run(&format!("ping -n -c 3 -i 0.05 -W 5 -M dont {more} 10.2.0.1"));
        let is_right = said.contains("3 received") && !said.contains("wrong data") && !said.contains("DUP");
        assert!(is_right, "{more}: {said}");
    }
    // Datagrams that may be fragmented: one whose checksum the sender leaves to its port, and one in fragments.
    near.run("sysctl -qw net.ipv4.ip_no_pmtu_disc=1");
    let _echo = Echo::start(far, "10.2.0.1:7");
    for (port, length) in [(5000, 1400), (5001, 5000)] {
        let from = format!("10.0.0.1:{port}");
        assert_eq!(ask(near, &from, "10.2.0.1:7", length), format!("{from} {length}"));
    }
    assert_eq!((snmp(far, "ReasmOKs"), snmp(far, "ReasmFails")), (14, 0));
    near.run("ping -n -c 1 -W 5 -s 99 10.2.0.1");
    let file = capture.end_after("the last ping", |frame| frame.len() == 14 + 20 + 8 + 99);
    checksums_are_right(file.path());
    let seen = tshark(file.path(), "ip", &["ip.len", "ip.checksum.status", "ip.flags.mf", "ip.frag_offset"]);
    for packet in &seen {
        let length: usize = packet[0].parse().unwrap();
        assert!(length <= 1300 && packet[1] == "1", "{packet:?}");
    }
    let pieces = seen.iter().filter(|packet| packet[2] == "1" || packet[3] != "0").count() as u64;
    let summary = lab.finish();
    // Fragments that the sender made and that fitted are pieces as well.
    assert!(counter(&summary, "of these, in fragments") >= 14, "{summary:#?}");
    let made = counter(&summary, "fragments");
    assert!(made >= 28 && pieces >= made, "{pieces} pieces seen; {summary:#?}");
}

#[test]
fn who_may_not_be_fragmented_is_told_and_sends_less() {
    let lab = narrow();
    let near = &lab.hosts[0];
    let said = near.tries("ping -n -c 1 -W 5 -M do -s 1400 10.2.0.1");
    assert!(said.contains("Frag needed and DF set (mtu = 1300)"), "{said}");
    let said = near.tries("ip route get 10.2.0.1");
    assert!(said.contains("mtu 1300"), "the kernel believes it: {said}");
    // IPv6 is fragmented by its sender alone, once it knows.
    let said = near.tries("ping -6 -n -c 4 -i 0.2 -W 5 -s 3000 fd02::1");
    assert!(said.contains("Packet too big: mtu=1300") && !said.contains(" 0 received"), "{said}");
    assert_eq!(counter(&lab.finish(), "of these, in fragments"), 0);
}

#[test]
fn segments_of_64_kib_are_left_to_the_port() {
    let lab = narrow();
    let (near, far) = (&lab.hosts[0], &lab.hosts[2]);
    for direction in ["", "-R"] {
        let serve = far.program("iperf3 -s -1 -p 5201 --forceflush");
        let _server = Program::start(serve, false, "Server listening");
        near.run(&format!("iperf3 -c 10.2.0.1 -p 5201 -n 20M {direction}"));
    }
    let summary = lab.finish();
    assert_eq!(counter(&summary, "of these, in fragments"), 0);
    // 40 MB in segments of 1260 bytes would be more than 31,000.
    assert!(summary.packets_in < 20_000, "they came whole: {summary:#?}");
}
