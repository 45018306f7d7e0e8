//! The firewalls before nftables: random rules and random traffic, and each packet passes both or neither.

use std::time::Instant;

mod functions_traffic;
mod lab;
mod nft_judge;

use functions_traffic::{Rule, Traffic};
use lab::{Random, function, seed};
use netbricks::{Context, NetworkFunction};
use nft_judge::Judge;
use packet::{Batch, Pool, PoolConfig};

/// Packets under each set of rules.
const PACKETS: usize = 1500;
/// Sets of random rules that are tried at most.
const SETS_MAX: usize = 12;

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
    assert!(judge.still_drops());
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
