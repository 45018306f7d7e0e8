//! Rule sets as the tables of a switch hold them, and packets for each.
//!
//! A key's words: IPv4 addresses; ports and protocol; destination MAC address and VLAN; source MAC address and Ethernet
//! type; four that these rules leave alone, as IPv6 would use them.

use std::ops::RangeInclusive;

use lookup::acl::classbench::{self, Flavour, Version};
use lookup::acl::{Networks, Prefix, Rule};
use lookup::lpm::sample::{self, Random};
use lookup::tuple_space::TUPLES_MAX;
use packet::flow::FlowKey;

pub(crate) const WORDS: usize = 8;
pub(crate) type Key = [u64; WORDS];

/// A mask, bits under it, and a priority.
#[derive(Clone, Copy)]
pub(crate) struct Masked {
    pub(crate) key: Key,
    pub(crate) mask: Key,
    pub(crate) priority: u32,
}

/// Rules, and keys of packets for them.
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) rules: Vec<Masked>,
    pub(crate) keys: Vec<Key>,
}

fn key(words: [u64; 4]) -> Key {
    let mut key = [0; WORDS];
    key[..4].copy_from_slice(&words);
    key
}

/// As many tuples as said, all of one priority, so that a lookup visits every one. Masks have two words and a part of a
/// third; rules are spread evenly, and every key is under one.
pub(crate) fn even(rules: usize, tuples: usize, keys: usize) -> Set {
    let mut random = Random(1);
    let mask = |at: usize| {
        let mut mask = [0; WORDS];
        (mask[0], mask[1 + at % 6]) = (u64::MAX, u64::MAX << (at / 6 % 48));
        mask
    };
    let drawn: Vec<(Key, Key)> =
        (0..rules).map(|at| (std::array::from_fn(|_| random.next_u64()), mask(at % tuples))).collect();
    let under = |(key, mask): (Key, Key)| std::array::from_fn(|word| key[word] & mask[word]);
    Set {
        name: format!("{rules} rules, {tuples} masks"),
        rules: drawn.iter().map(|&drawn| Masked { key: under(drawn), mask: drawn.1, priority: 0 }).collect(),
        keys: (0..keys).map(|_| drawn[random.below(rules as u64) as usize].0).collect(),
    }
}

/// What a learning switch installs: VLAN and destination address of each host, and a rule that floods the rest.
pub(crate) fn learning_switch(hosts: usize, keys: usize) -> Set {
    let mut random = Random(2);
    let mac: Vec<u64> = (0..hosts).map(|_| random.next_u64() >> 16 << 16 | 10).collect();
    let mut rules: Vec<_> = mac
        .iter()
        .map(|&mac| Masked { key: key([0, 0, mac, 0]), mask: key([0, 0, u64::MAX, 0]), priority: 1 })
        .collect();
    rules.push(Masked { key: [0; WORDS], mask: [0; WORDS], priority: 0 });
    let keys = (0..keys)
        .map(|_| {
            let to = mac[random.below(hosts as u64) as usize];
            key([random.next_u64(), random.next_u64(), to, random.next_u64()])
        })
        .collect();
    Set { name: format!("learning switch, {hosts} hosts"), rules, keys }
}

/// Routes as flows: the longer prefix has the higher priority.
pub(crate) fn routes(count: usize, keys: usize) -> Set {
    let mut random = Random(3);
    let routes = sample::ipv4(count, 3);
    let rules = routes
        .iter()
        .map(|(prefix, _)| {
            let mask = u64::from(u32::MAX.checked_shl(32 - u32::from(prefix.len())).unwrap_or(0));
            let bits = u64::from(prefix.address().to_bits());
            Masked { key: key([bits, 0, 0, 0]), mask: key([mask, 0, 0, 0]), priority: prefix.len().into() }
        })
        .collect();
    let keys = (0..keys)
        .map(|_| {
            let to = sample::address_in(routes[random.below(count as u64) as usize].0, &mut random);
            let from = random.next_u64() << 32;
            key([from | u64::from(to.to_bits()), random.next_u64(), 0, 0])
        })
        .collect();
    Set { name: format!("{count} routes as flows"), rules, keys }
}

/// ClassBench's rules as flows: ranges of ports in prefixes, the first rule of the highest priority. Rules whose masks
/// would be too many are left out, as a switch would refuse them.
pub(crate) fn access_list(flavour: Flavour, count: usize, keys: usize) -> Set {
    let from = classbench::rules(flavour, Version::V4, count, 1);
    let (mut rules, mut masks, mut taken) = (Vec::new(), std::collections::HashSet::new(), Vec::new());
    for (at, rule) in from.iter().enumerate() {
        let flows = flows(rule, (count - at) as u32);
        let mut wanted = masks.clone();
        wanted.extend(flows.iter().map(|flow| flow.mask));
        if wanted.len() <= TUPLES_MAX {
            masks = wanted;
            rules.extend(flows);
            taken.push(rule.clone());
        }
    }
    let keys = classbench::trace(&taken, keys, 0.1, 1).iter().map(of_flow).collect();
    Set { name: format!("access list '{}', {} rules", flavour.name(), taken.len()), rules, keys }
}

fn of_flow(flow: &FlowKey) -> Key {
    let FlowKey::V4(tuple) = flow else { return [0; WORDS] };
    let addresses = u64::from(tuple.source.to_bits()) << 32 | u64::from(tuple.destination.to_bits());
    let ports = u64::from(tuple.source_port) << 48 | u64::from(tuple.destination_port) << 32;
    key([addresses, ports | u64::from(tuple.protocol.0), 0, 0])
}

fn flows(rule: &Rule, priority: u32) -> Vec<Masked> {
    let Networks::V4 { source, destination } = rule.networks else { return Vec::new() };
    let mask =
        |prefix: Prefix<_>| u64::from(u32::MAX.checked_shl(32 - u32::from(prefix.length())).unwrap_or(0));
    let bits = |prefix: Prefix<std::net::Ipv4Addr>| u64::from(prefix.address().to_bits());
    let addresses = (bits(source) << 32 | bits(destination), mask(source) << 32 | mask(destination));
    let protocol = (u64::from(rule.protocol.value()), u64::from(rule.protocol.mask()));
    let mut flows = Vec::new();
    for from in prefixes(&rule.source_ports) {
        for to in prefixes(&rule.destination_ports) {
            flows.push(Masked {
                key: key([addresses.0, from.0 << 48 | to.0 << 32 | protocol.0, 0, 0]),
                mask: key([addresses.1, from.1 << 48 | to.1 << 32 | protocol.1, 0, 0]),
                priority,
            });
        }
    }
    flows
}

/// A range of ports as bits and masks, as few as there can be.
fn prefixes(range: &RangeInclusive<u16>) -> Vec<(u64, u64)> {
    let (mut at, end) = (u32::from(*range.start()), u32::from(*range.end()));
    let mut prefixes = Vec::new();
    while at <= end {
        let aligned = if at == 0 { 16 } else { at.trailing_zeros().min(16) };
        let free = (0..=aligned).rev().find(|free| at + (1 << free) - 1 <= end).unwrap_or(0);
        prefixes.push((u64::from(at), 0xffff_u64 >> free << free));
        at += 1 << free;
    }
    prefixes
}
