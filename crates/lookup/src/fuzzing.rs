//! Bodies of the fuzz targets, shared by `tests/fuzz_bounded.rs` and the coverage-guided targets in `fuzz/`.
//!
//! Not for other uses.

use std::net::{Ipv4Addr, Ipv6Addr};

use packet::flow::{FlowKey, Tuple};
use packet::wire::IpProtocol;

use crate::acl::{Acl, Rule, from_classbench};

/// Rules that a run builds a classifier of.
const RULES_BUILT: usize = 64;

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
