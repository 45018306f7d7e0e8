//! Functions that change the key by which packets find them: the packets that come back must find the same instance.
//!
//! An address translator's instance owns a range of hashes. Of the ports that it may give a flow it takes one with which the
//! packets on their way back have a hash in that range. With `k` instances one port in `k` fits, so that is found soon, and all
//! instances may share one pool of addresses without asking each other. While a range moves, the target leaves out the keys that
//! the source still has ([`super::Observed::old`]), since packets that come back by these find the source.

use packet::flow::{FlowHasher, FlowKey};

use crate::key::{Fields, HashRange};

/// The first flow among those that an instance could turn a flow into whose returning packets find that instance.
///
/// ```
/// use e2::{key::{Fields, HashRange}, scale::reverse};
/// use packet::{flow::{FlowHasher, FlowKey}, wire::IpProtocol};
///
/// let (hasher, own) = (FlowHasher::new(1), HashRange { start: 0, end: 1 << 14 }); // one of four
/// let outside = |port: u16| FlowKey::new(
///     IpProtocol::TCP,
///     ([192, 0, 2, 1], port).into(),
///     ([198, 51, 100, 7], 443).into(),
/// );
/// let translated = reverse::allocate(&hasher, Fields::FLOW, own, (1024..).filter_map(outside)).unwrap();
/// assert!(own.contains(Fields::FLOW.hash(&hasher, &translated.reversed())));
/// ```
pub fn allocate(
    hasher: &FlowHasher,
    key: Fields,
    own: HashRange,
    mut candidates: impl Iterator<Item = FlowKey>,
) -> Option<FlowKey> {
    candidates.find(|flow| own.contains(key.hash(hasher, &flow.reversed())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::wire::IpProtocol;

    #[test]
    fn of_four_instances_each_finds_its_own_port_soon() {
        let hasher = FlowHasher::new(3);
        let (mut tried, mut found) = (0, std::collections::BTreeSet::new());
        for server in 0..250u8 {
            for own in HashRange::split(4) {
                let outside = |port: u16| {
                    FlowKey::new(
                        IpProtocol::UDP,
                        ([192, 0, 2, 1], port).into(),
                        ([198, 51, 100, server], 53).into(),
                    )
                };
                let counted = (1024..).filter_map(outside).inspect(|_| tried += 1);
                let flow = allocate(&hasher, Fields::FLOW, own, counted).unwrap();
                assert!(found.insert(flow), "no two instances take the same");
            }
        }
        assert!((3000..5000).contains(&tried), "{tried} ports for 1000 flows");
    }
}
