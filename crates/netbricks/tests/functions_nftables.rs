//! The firewalls before nftables: random rules and random traffic, and each packet passes both or neither.
//!
//! ```text
//!  ours: in1 ──veth── in0 [ router: nft forward chain ] out0 ──veth── out1 :ours
//!       10.1.0.0/24, fd01::/64                         10.2.0.0/24, fd02::/64
//! ```
//!
//! Behind every packet goes a mark that always passes: once it is there, what was before it has come or was dropped.

use std::time::Instant;

mod functions_traffic;
mod lab;

use functions_traffic::{Rule, Traffic, mark, number_of};
use lab::{Netns, Random, Wire, function, seed};
use netbricks::{Context, NetworkFunction};
use packet::wire::{MacAddr, ethernet};
use packet::{Batch, Pool, PoolConfig};

/// Address of a side of the router, the same on both.
const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xfe]);
const SIDES: [(&str, &str, &str, &str); 2] =
    [("in0", "in1", "10.1.0", "fd01::"), ("out0", "out1", "10.2.0", "fd02::")];

/// Packets under each set of rules.
const PACKETS: usize = 1500;
/// Sets of random rules that are tried at most.
const SETS_MAX: usize = 12;

/// The kernel with a forward chain.
struct Judge {
    router: Netns,
    _ours: Netns,
    wires: [Wire; 2],
    pool: Pool,
    number: u16,
}

impl Judge {
    fn new(chain: &str) -> Self {
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
        let mark = "udp dport 9999 notrack";
        let rules = format!(
            "table inet judge {{
               chain marks {{ type filter hook prerouting priority -300; {mark}; }}
               chain forward {{ type filter hook forward priority 0; policy drop; udp dport 9999 accept\n{chain} }}
             }}"
        );
        router.feed("nft -f -", &rules);
        let pool = Pool::new(PoolConfig { buffers: 1024, ..PoolConfig::default() }).unwrap();
        let wires = SIDES.map(|(_, peer, ..)| Wire::open(&ours, peer, &pool));
        Self { router, _ours: ours, wires, pool, number: 0 }
    }

    /// Whether a frame passes from one side to the other.
    fn passes(&mut self, gate: u16, frame: &[u8]) -> bool {
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
}

/// Whether a frame passes our function to the other gate.
fn passes(
    function: &mut dyn NetworkFunction,
    ctx: &mut Context,
    pool: &Pool,
    gate: u16,
    frame: &[u8],
) -> bool {
    let mut batch = Batch::new();
    batch.push(pool.packet(frame).unwrap()).unwrap();
    function.process(gate, &mut batch, ctx);
    let mut passed = false;
    for out in 0..2 {
        ctx.drain(out, |batch| {
            passed |= out == gate ^ 1 && !batch.is_empty();
            batch.clear();
        });
    }
    passed
}

fn rules(random: &mut Random, count: usize) -> (Vec<Rule>, Vec<String>) {
    let rules: Vec<Rule> = (0..count).map(|_| Rule::random(random)).collect();
    let words = rules.iter().map(|rule| format!("rule={}", rule.ours())).collect();
    (rules, words)
}

/// Shows both the same traffic; returns how many packets passed and how many did not.
fn compare(
    name: &str,
    (rules, words): (Vec<Rule>, Vec<String>),
    chain: &str,
    random: &mut Random,
    count: usize,
) -> (usize, usize) {
    let (mut judge, start) = (Judge::new(chain), Instant::now());
    let pool = Pool::new(PoolConfig { buffers: 64, ..PoolConfig::default() }).unwrap();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut ours = function(name, &words, &pool);
    let (mut ctx, mut traffic, mut counts) = (Context::new(2), Traffic::default(), (0, 0));
    for at in 0..count {
        let (gate, what, frame) = traffic.next(random, &rules);
        let kernel = judge.passes(gate, &frame);
        ctx.set_now_ns(start.elapsed().as_nanos() as u64); // connections end as late as the kernel's
        let we = passes(&mut *ours, &mut ctx, &pool, gate, &frame);
        assert_eq!(
            we,
            kernel,
            "packet {at}, {what} at gate {gate}: passes ours, the kernel; {words:#?} {:?} {frame:02x?}",
            ctx.drops()
        );
        traffic.passed(we);
        counts = (counts.0 + usize::from(we), counts.1 + usize::from(!we));
    }
    assert_eq!(judge.router.tries("nft list ruleset").matches("policy drop").count(), 1);
    counts
}

/// Compares a function under random sets of `count` rules with the chain that `chain` makes of them.
fn decides_as_nftables_does(name: &str, count: usize, chain: impl Fn(&[Rule]) -> String) {
    let mut random = Random(seed());
    let (mut passed, mut dropped) = (0, 0);
    // Some sets of random rules let next to nothing through, or next to everything.
    for set in 0..SETS_MAX {
        if set >= 2 && passed > 100 && dropped > 100 {
            break;
        }
        let made = rules(&mut random, count);
        let chain = chain(&made.0);
        let counts = compare(name, made, &chain, &mut random, PACKETS);
        (passed, dropped) = (passed + counts.0, dropped + counts.1);
    }
    assert!(passed > 100 && dropped > 100, "{passed} passed, {dropped} did not");
}

/// Rules as nftables reads them, each with a condition in front.
fn lines(rules: &[Rule], condition: &str) -> String {
    rules.iter().map(|rule| format!("{}\n", rule.nft(condition))).collect()
}

#[test]
fn the_stateless_firewall_decides_as_nftables_does() {
    decides_as_nftables_does("acl", 40, |rules| lines(rules, ""));
}

#[test]
fn the_stateful_firewall_decides_as_nftables_does() {
    let states = "ct state invalid drop\nct state established,related accept\n";
    decides_as_nftables_does("firewall", 25, |rules| states.to_owned() + &lines(rules, "ct state new"));
}
