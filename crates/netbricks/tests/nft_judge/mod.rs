//! nftables as the judge of firewalls: a router in a namespace whose forward chain decides of real packets.
//!
//! ```text
//!  ours: in1 ──veth── in0 [ router: nft forward chain ] out0 ──veth── out1 :ours
//!       10.1.0.0/24, fd01::/64                         10.2.0.0/24, fd02::/64
//! ```
//!
//! Behind every packet goes a mark that always passes: once it is there, what was before it has come or was dropped.

#![allow(dead_code, unreachable_pub)]

use packet::wire::{MacAddr, ethernet};
use packet::{Pool, PoolConfig};

use crate::functions_traffic::{self, mark, number_of};
use crate::lab::{Netns, Wire};

/// Address of a side of the router, the same on both.
const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xfe]);
const SIDES: [(&str, &str, &str, &str); 2] =
    [("in0", "in1", "10.1.0", "fd01::"), ("out0", "out1", "10.2.0", "fd02::")];

/// What marks are, and where rules are.
const MARKS: &str = "udp dport 9999";
const CHAIN: &str = "inet judge forward";

/// The kernel with a forward chain.
pub struct Judge {
    router: Netns,
    _ours: Netns,
    wires: [Wire; 2],
    pool: Pool,
    number: u16,
}

impl Judge {
    /// A router that drops what none of these rules accepts, and follows connections that they may speak of.
    pub fn new(chain: &str) -> Self {
        Self::of(
            &format!("chain marks {{ type filter hook prerouting priority -300; {MARKS} notrack; }}"),
            chain,
        )
    }

    /// A router without connections: it forwards each fragment by itself, and drops everything but marks.
    pub fn stateless() -> Self {
        Self::of("", "")
    }

    fn of(marks: &str, chain: &str) -> Self {
        let (router, ours) = (Netns::new("nft"), Netns::new("wires"));
        router.run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
        ours.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
        for (theirs, peer, four, six) in SIDES {
            router.ip(&format!(
                "link add {theirs} address {ROUTER} type veth peer name {peer} netns {}",
                ours.name()
            ));
            ours.ip(&format!("link set {peer} up"));
            router.ip(&format!("link set {theirs} up"));
            router.ip(&format!("addr add {four}.254/24 dev {theirs}"));
            router.ip(&format!("addr add {six}fe/64 dev {theirs} nodad"));
            for host in 1..=functions_traffic::HOSTS {
                for address in [format!("{four}.{host}"), format!("{six}{host}")] {
                    router.ip(&format!(
                        "neigh replace {address} lladdr 02:00:00:00:00:01 dev {theirs} nud permanent"
                    ));
                }
            }
        }
        router.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        let rules = format!(
            "table inet judge {{
               {marks}
               chain forward {{ type filter hook forward priority 0; policy drop; {MARKS} accept\n{chain} }}
             }}"
        );
        router.feed("nft -f -", &rules);
        let pool = Pool::new(PoolConfig { buffers: 1024, ..PoolConfig::default() }).unwrap();
        let wires = SIDES.map(|(_, peer, ..)| Wire::open(&ours, peer, &pool));
        Self { router, _ours: ours, wires, pool, number: 0 }
    }

    /// Whether a frame passes from one side to the other.
    pub fn passes(&mut self, gate: u16, frame: &[u8]) -> bool {
        self.number += 1;
        let mark = mark(gate, self.number);
        for frame in [frame, &mark] {
            let mut frame = frame.to_vec();
            ethernet::View::new_checked(&mut frame[..]).unwrap().set_destination(ROUTER);
            self.wires[usize::from(gate)].send(&self.pool, &frame);
        }
        let mut passed = false;
        loop {
            for seen in self.wires[usize::from(gate ^ 1)].receive() {
                match number_of(&seen) {
                    Some(number) if number == self.number => return passed,
                    Some(_) => {}
                    None => passed |= functions_traffic::is_same(&seen, frame),
                }
            }
        }
    }

    /// Behind the chain's rules come these.
    pub fn add(&self, rules: &[String]) {
        self.change(String::new(), rules);
    }

    /// Instead of the chain's rules there are these.
    pub fn replace(&self, rules: &[String]) {
        self.change(format!("flush chain inet judge forward\nadd rule {CHAIN} {MARKS} accept\n"), rules);
    }

    fn change(&self, first: String, rules: &[String]) {
        let lines = rules.iter().fold(first, |lines, rule| format!("{lines}add rule {CHAIN} {rule}\n"));
        self.router.feed("nft -f -", &lines);
    }

    /// Whether the chain is still there.
    pub fn still_drops(&self) -> bool {
        self.router.tries("nft list ruleset").matches("policy drop").count() == 1
    }
}
