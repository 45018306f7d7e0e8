//! Rules on the 5-tuple, in order: the first that matches a packet decides (an access control list).
//!
//! ```text
//!  source ──▶ class ─┐ roots, by the class of the        tree: parts of        leaf: 8 rules,
//!                    ├▶ narrower address: one for  ────▶ 5 dimensions,  ────▶  compared lane
//!  dest.  ──▶ class ─┘ every class                       4 ways a node         by lane
//!           Classes    Forest, Group                     Node                  Block
//! ```
//!
//! The addresses are cut at the bounds of all prefixes, and a packet's two addresses become the numbers of the pieces they
//! lie in. From there on both families look alike: five small numbers. Rules whose source is narrow hang below the
//! classes of their source, the others below those of their destination, and the few that are broad on both sides in a
//! tree of their own; so a rule is repeated below few roots. Below each root a tree cuts the remaining space, as HyperSplit
//! does (Qi et al., "Packet Classification Algorithms: From Theory to Practice", INFOCOM 2009), though four ways a node,
//! until eight rules are left; the partition by narrow fields is that of EffiCuts (Vamanan et al., SIGCOMM 2010) and
//! CutSplit (Li et al., INFOCOM 2018). Sixteen packets walk side by side, without branches that depend on one packet.
//!
//! Nodes and leaves stay within [`BYTES_PER_RULE`]: where cutting would repeat rules beyond it, a leaf is long and
//! searched from its start, so the worst rule sets cost time linear in their number and never more memory.
//!
//! There is no insertion: building 10,000 rules takes tens of milliseconds, so a change builds a new classifier beside the
//! old one and swaps them.
//!
//! ```
//! use lookup::acl::{Acl, from_classbench};
//! use packet::{flow::FlowKey, wire::IpProtocol};
//!
//! let rules = from_classbench("\
//!     @10.0.0.0/8 192.0.2.1/32 0 : 65535 80 : 80 0x06/0xFF\n\
//!     @10.0.0.0/8 0.0.0.0/0 0 : 65535 0 : 65535 0x00/0x00\n")?;
//! let acl = Acl::build(rules.into_iter().zip(["allow", "deny"]))?;
//! let key = FlowKey::new(IpProtocol::TCP, "10.1.2.3:4000".parse()?, "192.0.2.1:80".parse()?).unwrap();
//! assert_eq!(acl.lookup(&key), Some((0, &"allow")));
//! assert_eq!(acl.lookup(&key.reversed()), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod block;
mod build;
pub mod classbench;
mod classes;
mod family;
mod forest;
mod region;
mod rule;
mod text;

use packet::flow::FlowKey;
use thiserror::Error;

use classes::{V4Classes, V6Classes};
use family::{Family, Gathered};
use forest::SIDE_BY_SIDE;
pub use rule::{Networks, Prefix, ProtocolMatch, Rule};
pub use text::{Fault, Field, TextError, from_classbench};

/// Rules of a classifier.
pub const RULES_MAX: usize = 1 << 17;
/// Bytes of nodes and leaves of a family, on average over the rules: what a rule set that defies splitting is held to.
pub const BYTES_PER_RULE: usize = 2048;

/// Why no classifier was built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AclError {
    /// More than [`RULES_MAX`].
    #[error("more than {RULES_MAX} rules")]
    TooManyRules,
    /// A port range whose end is below its start.
    #[error("rule {rule}: the ports {first} : {last} are no range")]
    EmptyRange {
        /// Which rule, counted from 0.
        rule: usize,
        /// Start of the range.
        first: u16,
        /// End of the range.
        last: u16,
    },
}

/// An ordered list of rules, and what each asks to be done: the first rule that matches a packet decides.
pub struct Acl<A> {
    rules: Vec<(Rule, A)>,
    v4: Family<V4Classes>,
    v6: Family<V6Classes>,
}

/// What a classifier is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Trees a packet may have to walk, IPv4 and IPv6.
    pub groups: [usize; 2],
    /// Bytes on the heap for addresses, nodes and leaves, IPv4 and IPv6.
    pub bytes: [usize; 2],
}

impl<A> Acl<A> {
    /// A classifier of `rules`, the most important first.
    pub fn build(rules: impl IntoIterator<Item = (Rule, A)>) -> Result<Self, AclError> {
        let rules: Vec<(Rule, A)> = rules.into_iter().take(RULES_MAX + 1).collect();
        if rules.len() > RULES_MAX {
            return Err(AclError::TooManyRules);
        }
        for (index, (rule, _)) in rules.iter().enumerate() {
            let empty =
                [&rule.source_ports, &rule.destination_ports].into_iter().find(|range| range.is_empty());
            if let Some(range) = empty {
                return Err(AclError::EmptyRange { rule: index, first: *range.start(), last: *range.end() });
            }
        }
        let v4 = Family::new(rules.iter().map(|(rule, _)| rule), u32::MAX.into(), Networks::v4_bounds);
        let v6 = Family::new(rules.iter().map(|(rule, _)| rule), u128::MAX, Networks::v6_bounds);
        Ok(Self { rules, v4, v6 })
    }

    /// The first rule that matches: its place, counted from 0, and its action.
    #[must_use]
    pub fn lookup(&self, key: &FlowKey) -> Option<(usize, &A)> {
        let mut found = [None];
        self.lookup_batch(std::slice::from_ref(key), &mut found);
        let place = found[0]? as usize;
        Some((place, &self.rules[place].1))
    }

    /// The places of the first rules that match, one for each key, in a fraction of the time that single lookups take;
    /// as many as the shorter of the two slices has.
    pub fn lookup_batch(&self, keys: &[FlowKey], found: &mut [Option<u32>]) {
        for (keys, found) in keys.chunks(SIDE_BY_SIDE).zip(found.chunks_mut(SIDE_BY_SIDE)) {
            let count = keys.len().min(found.len());
            let (keys, found) = (&keys[..count], &mut found[..count]);
            let mut four = Gathered::default();
            for (lane, key) in keys.iter().enumerate() {
                if let FlowKey::V4(tuple) = key {
                    four.add(lane, tuple.source.to_bits(), tuple.destination.to_bits(), key);
                }
            }
            self.v4.lookup(&four, found);
            if four.count() == count {
                continue;
            }
            let mut six = Gathered::default();
            for (lane, key) in keys.iter().enumerate() {
                if let FlowKey::V6(tuple) = key {
                    six.add(lane, tuple.source.to_bits(), tuple.destination.to_bits(), key);
                }
            }
            self.v6.lookup(&six, found);
        }
    }

    /// A rule and its action.
    #[must_use]
    pub fn rule(&self, place: usize) -> Option<&(Rule, A)> {
        self.rules.get(place)
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What it is made of.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape { groups: [self.v4.groups(), self.v6.groups()], bytes: [self.v4.bytes(), self.v6.bytes()] }
    }
}
