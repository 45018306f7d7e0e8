//! A small internet of namespaces with a translator in the middle, ours or the kernel's.
//!
//! ```text
//!  a 10.0.0.5 ─┐        ┌────── nat ───────┐
//!              lan ── in0: 10.0.0.1   192.0.2.2 :out0 ── 192.0.2.1 r 203.0.113.1 ── 203.0.113.9 s
//!  b 10.0.0.6 ─┘     gate 0  [function]  gate 1
//! ```
//!
//! The interfaces that the translator sends on have no offloads, so the kernel finishes the checksums it is told to finish
//! and cuts segments; then every frame is complete where it is captured.

use netbricks::functions::{self, Setup};
use netbricks::live::Summary;

use super::{Capture, Netns, Running, checksums_are_right};

/// The whole internet. Fields are dropped in order: the function before its namespaces.
pub struct Internet {
    running: Option<Running>,
    pub a: Netns,
    pub b: Netns,
    lan: Netns,
    pub nat: Netns,
    pub router: Netns,
    pub server: Netns,
}

/// Addresses of the inside: of the translator, `a` and `b`.
pub struct Inside {
    pub gateway: &'static str,
    pub hosts: [&'static str; 2],
    pub length: u8,
}

pub const V4: Inside = Inside { gateway: "10.0.0.1", hosts: ["10.0.0.5", "10.0.0.6"], length: 24 };
pub const V6: Inside = Inside { gateway: "fd00::1", hosts: ["fd00::5", "fd00::6"], length: 64 };

impl Internet {
    /// Namespaces and links, nobody in the middle yet.
    pub fn new(inside: &Inside) -> Self {
        let [a, b, lan, nat, router, server] = ["a", "b", "lan", "nat", "r", "s"].map(Netns::new);
        [&lan, &nat].into_iter().for_each(Netns::without_ipv6);
        lan.ip("link add br0 type bridge");
        lan.ip("link set br0 up");
        for (host, address, port) in [(&a, inside.hosts[0], "a0"), (&b, inside.hosts[1], "b0")] {
            lan.ip(&format!("link add {port} type veth peer name eth0 netns {}", host.name()));
            lan.ip(&format!("link set {port} master br0 up"));
            host.ip("link set eth0 up");
            host.ip(&format!("addr add {address}/{} dev eth0{}", inside.length, nodad(address)));
            host.ip(&format!("route add default via {}", inside.gateway));
        }
        nat.ip(&format!("link add in0 type veth peer name in1 netns {}", lan.name()));
        lan.ip("link set in1 master br0 up");
        nat.ip("link set in0 up");
        nat.ip(&format!("link add out0 type veth peer name eth0 netns {}", router.name()));
        nat.ip("link set out0 up");
        router.ip("link set eth0 up");
        router.ip("addr add 192.0.2.1/24 dev eth0");
        router.ip(&format!("link add eth1 type veth peer name eth0 netns {}", server.name()));
        router.ip("link set eth1 up");
        router.ip("addr add 203.0.113.1/24 dev eth1");
        router.run("sysctl -qw net.ipv4.ip_forward=1");
        for talkative in [&router, &server] {
            // The limit on errors is one for all tests that run at a time.
            talkative.run("sysctl -qw net.ipv4.icmp_ratemask=0");
        }
        server.ip("link set eth0 up");
        server.ip("addr add 203.0.113.9/24 dev eth0");
        server.ip("route add default via 203.0.113.1");
        for port in ["in0", "out0"] {
            nat.run(&format!("ethtool -K {port} tx off tso off gso off"));
        }
        Self { running: None, a, b, lan, nat, router, server }
    }

    /// Puts our function in the middle.
    pub fn ours(inside: &Inside, words: &str) -> Self {
        let mut lab = Self::new(inside);
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let ports = ["veth:in0", "veth:out0"].map(str::to_owned);
        let make = move |setup: &Setup| Box::new(functions::build(&words, setup).unwrap()) as _;
        lab.running = Some(Running::start(&lab.nat, &ports, make));
        lab
    }

    /// Puts the kernel in the middle: the same router with nftables' masquerading.
    pub fn kernel() -> Self {
        let lab = Self::new(&V4);
        lab.nat.ip("addr add 10.0.0.1/24 dev in0");
        lab.nat.ip("addr add 192.0.2.2/24 dev out0");
        lab.nat.ip("route add default via 192.0.2.1");
        lab.nat.run("sysctl -qw net.ipv4.ip_forward=1");
        let rules = "
            table ip nat {
              chain post {
                type nat hook postrouting priority 100
                oifname out0 masquerade
              }
              chain pre {
                type nat hook prerouting priority -100
                iifname out0 tcp dport 8080 dnat to 10.0.0.6:80
              }
            }";
        lab.nat.feed("nft -f -", rules);
        lab
    }

    /// Ends our function; what it has counted.
    pub fn finish(&mut self) -> Summary {
        self.running.take().expect("our function runs").finish()
    }

    /// Captures what comes in on an interface while `work` runs, and has tcpdump look at every checksum. Returns how many
    /// packets it saw.
    pub fn captured(&self, ns: &Netns, interface: &str, work: impl FnOnce()) -> usize {
        let capture = Capture::start(ns, interface, "-Q in ip or ip6");
        work();
        checksums_are_right(capture.end().path())
    }
}

fn nodad(address: &str) -> &'static str {
    if address.contains(':') { " nodad" } else { "" }
}
