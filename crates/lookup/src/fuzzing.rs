//! Bodies of the fuzz targets, shared by `tests/fuzz_bounded.rs` and the coverage-guided targets in `fuzz/`.
//!
//! Not for other uses.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use packet::flow::{FlowKey, Tuple};
use packet::wire::IpProtocol;

use crate::acl::{Acl, Rule, from_classbench};
use crate::lpm::{Address, Lpm, Prefix};

/// Rules that a run builds a classifier of.
const RULES_BUILT: usize = 64;
/// Changes of a table in a run.
const CHANGES: usize = 200;

/// Any text as a filter file. What is read can be written and reads back the same; and the classifier agrees with the
/// rules one by one.
pub fn acl(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let rules: Vec<Rule> = match from_classbench(&text) {
        Ok(rules) => rules,
        Err(error) => {
            assert!(error.line <= text.lines().count() && error.to_string().len() < 512, "{error}");
            text.lines().filter_map(|line| line.parse().ok()).collect()
        }
    };
    let written: String = rules.iter().map(|rule| format!("{rule}\n")).collect();
    assert_eq!(from_classbench(&written).as_ref(), Ok(&rules), "{written}");

    let rules = &rules[..rules.len().min(RULES_BUILT)];
    let acl = Acl::build(rules.iter().cloned().map(|rule| (rule, ()))).expect("what is read can be built");
    for window in data.windows(12).step_by(7) {
        let word =
            |at: usize| u32::from_be_bytes([window[at], window[at + 1], window[at + 2], window[at + 3]]);
        let (source_port, destination_port) = (word(8) as u16, (word(8) >> 16) as u16);
        let protocol = IpProtocol(window[0]);
        let (source, destination) = (Ipv4Addr::from_bits(word(0)), Ipv4Addr::from_bits(word(4)));
        let four = Tuple { source, destination, source_port, destination_port, protocol };
        let (source, destination) =
            (source.to_ipv6_compatible(), Ipv6Addr::from_bits(u128::from(word(4)) << 96));
        let six = Tuple { source, destination, source_port, destination_port, protocol };
        for key in [FlowKey::V4(four), FlowKey::V6(six)] {
            let first = rules.iter().position(|rule| rule.matches(&key));
            assert_eq!(acl.lookup(&key).map(|(place, ())| place), first, "{key} in\n{written}");
        }
    }
}

/// Any bytes as changes of two tables of prefixes, seven a change: what to do, length, four of the address, value. After each
/// the addresses at its ends go where a scan over all prefixes says, and at the end all of them, in one batch.
pub fn lpm(data: &[u8]) {
    changes(data, |bytes| Ipv4Addr::from_bits(u32::from_be_bytes(bytes)));
    // Differences lie as deep as the length may.
    changes(data, |bytes| Ipv6Addr::from_bits(u128::from_be_bytes([bytes; 4].concat().try_into().unwrap())));
}

fn changes<A: Address>(data: &[u8], address: impl Fn([u8; 4]) -> A) {
    let (mut table, mut twin) = (Lpm::<A, u8>::new(), BTreeMap::<Prefix<A>, u8>::new());
    let scan = |twin: &BTreeMap<Prefix<A>, u8>, address| {
        let fits = twin.iter().filter(|(prefix, _)| prefix.contains(address));
        fits.max_by_key(|(prefix, _)| prefix.len()).map(|(_, &value)| value)
    };
    let mut ends = Vec::new();
    for &[what, len, a, b, c, d, value] in data.as_chunks().0.iter().take(CHANGES) {
        let bits = address([a, b, c, d]);
        let mut prefix = Prefix::containing(bits, len % (A::WIDTH + 1)).expect("a length");
        if what % 4 == 0 {
            // Rather one that is there.
            prefix = twin.range(prefix..).next().map_or(prefix, |(&there, _)| there);
            assert_eq!(table.remove(prefix), twin.remove(&prefix), "{prefix}");
        } else {
            assert_eq!(table.insert(prefix, value), Ok(twin.insert(prefix, value)), "{prefix}");
        }
        for end in [bits, prefix.address(), prefix.last()] {
            assert_eq!(table.lookup(end), scan(&twin, end), "{end} after {prefix}");
            ends.push(end);
        }
    }
    let mut answers = vec![None; ends.len()];
    table.lookup_batch(&ends, &mut answers);
    for (end, answer) in ends.into_iter().zip(answers) {
        assert_eq!(answer, scan(&twin, end), "{end}");
    }
    assert!(table.iter().eq(twin));
}
