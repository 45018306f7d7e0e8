//! Which address each name has, the same from one deployment to the next.
//!
//! ```text
//! 10.181.0.1   fd77:6566:74::1    gateway: router and name server of every container
//! 10.181.0.2   fd77:6566:74::2    edge: where published ports come in
//! 10.181.0.10… fd77:6566:74::a…   containers and services, in the order they first appeared
//! ```
//!
//! A name keeps its address for as long as it is deployed. The address of a name that went away is handed out
//! again only after all others have been: a packet still under way to it does not reach a stranger.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::model::Blueprint;

/// First address of the IPv4 network, a /16 of RFC 1918 space.
pub const IPV4_NETWORK: Ipv4Addr = Ipv4Addr::new(10, 181, 0, 0);
/// Length of the IPv4 network's prefix.
pub const IPV4_PREFIX: u8 = 16;
/// First address of the IPv6 network, a /64 of RFC 4193 space.
pub const IPV6_NETWORK: Ipv6Addr = Ipv6Addr::new(0xfd77, 0x6566, 0x74, 0, 0, 0, 0, 0);
/// Length of the IPv6 network's prefix.
pub const IPV6_PREFIX: u8 = 64;

/// Index of the gateway in the networks.
const GATEWAY: u16 = 1;
/// Index of the edge.
const EDGE: u16 = 2;
/// First index given to a name.
const FIRST: u16 = 10;
/// Last index given to a name.
const LAST: u16 = 0xfffe;
/// Names that can have an address: all indices between, less the two of each 256 that look like a network's or
/// a broadcast address.
pub const NAMES_MAX: usize = (LAST - FIRST) as usize + 1 - 2 * 256 + 2;

/// The addresses of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// IPv4 address.
    pub ipv4: Ipv4Addr,
    /// IPv6 address.
    pub ipv6: Ipv6Addr,
    /// Ethernet address, locally administered: `02:77` and the bytes of the IPv4 address.
    pub mac: [u8; 6],
}

impl Address {
    const fn at(index: u16) -> Address {
        let [high, low] = index.to_be_bytes();
        let [a, b, _, _] = IPV4_NETWORK.octets();
        let v6 = IPV6_NETWORK.segments();
        Address {
            ipv4: Ipv4Addr::new(a, b, high, low),
            ipv6: Ipv6Addr::new(v6[0], v6[1], v6[2], v6[3], 0, 0, 0, index),
            mac: [0x02, 0x77, a, b, high, low],
        }
    }
}

/// There are more names than addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{names} names need an address, and there are {NAMES_MAX}")]
pub struct Exhausted {
    /// Names in the blueprint.
    pub names: usize,
}

/// Who has which address; stored with the deployment and given to [`AddressPlan::next`] the next time.
///
/// ```
/// use quilt::address::AddressPlan;
/// use quilt::eval::{evaluate_text, Options};
///
/// let text = |name: &str| format!("import {{Container}} from 'weft'; new Container('{name}', {{command: 'x'}});");
/// let blueprint = |name: &str| evaluate_text("a.js", &text(name), &Options::default()).unwrap().blueprint;
/// let first = AddressPlan::default().next(&blueprint("web"))?;
/// assert_eq!(first.get("web").unwrap().ipv4.to_string(), "10.181.0.10");
/// let second = first.next(&blueprint("db"))?;
/// assert_eq!(second.get("db").unwrap().ipv4.to_string(), "10.181.0.11");
/// assert_eq!(second.get("web"), None);
/// # Ok::<(), quilt::address::Exhausted>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPlan {
    indices: BTreeMap<String, u16>,
    cursor: u16,
}

impl Default for AddressPlan {
    fn default() -> Self {
        AddressPlan { indices: BTreeMap::new(), cursor: FIRST }
    }
}

impl AddressPlan {
    /// The plan after this one: names of the blueprint that have an address keep it, new ones get one.
    pub fn next(&self, blueprint: &Blueprint) -> Result<AddressPlan, Exhausted> {
        let services = blueprint.services.iter().map(|service| &service.name);
        let names: Vec<&String> = blueprint.containers.iter().map(|c| &c.name).chain(services).collect();
        let wanted: BTreeSet<&String> = names.iter().copied().collect();
        if wanted.len() > NAMES_MAX {
            return Err(Exhausted { names: wanted.len() });
        }
        let kept = self.indices.iter().filter(|(name, index)| wanted.contains(name) && is_given(**index));
        let mut next = AddressPlan {
            indices: kept.map(|(name, index)| (name.clone(), *index)).collect(),
            cursor: self.cursor.clamp(FIRST, LAST),
        };
        let mut taken: BTreeSet<u16> = next.indices.values().copied().collect();
        if taken.len() < next.indices.len() {
            // A damaged record: two names with one address. Nothing of it can be trusted.
            return AddressPlan { cursor: next.cursor, ..AddressPlan::default() }.next(blueprint);
        }
        for name in names {
            if !next.indices.contains_key(name) {
                let index = next.take(&mut taken);
                next.indices.insert(name.clone(), index);
            }
        }
        Ok(next)
    }

    /// The next free index; there is one, because names are counted first.
    fn take(&mut self, taken: &mut BTreeSet<u16>) -> u16 {
        loop {
            let index = self.cursor;
            self.cursor = if index >= LAST { FIRST } else { index + 1 };
            if is_given(index) && taken.insert(index) {
                return index;
            }
        }
    }

    /// The addresses of the container or service `name`.
    pub fn get(&self, name: &str) -> Option<Address> {
        self.indices.get(name).map(|index| Address::at(*index))
    }

    /// Every name with its addresses.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Address)> {
        self.indices.iter().map(|(name, index)| (name.as_str(), Address::at(*index)))
    }

    /// The name that has `address`.
    pub fn name_of(&self, address: std::net::IpAddr) -> Option<&str> {
        self.iter().find(|(_, own)| own.ipv4 == address || own.ipv6 == address).map(|(name, _)| name)
    }

    /// The addresses of the gateway.
    pub const fn gateway() -> Address {
        Address::at(GATEWAY)
    }

    /// The addresses of the edge.
    pub const fn edge() -> Address {
        Address::at(EDGE)
    }
}

/// Whether names are given `index`.
const fn is_given(index: u16) -> bool {
    let low = index & 0xff;
    FIRST <= index && index <= LAST && low != 0 && low != 0xff
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Container;

    fn blueprint(names: &[String]) -> Blueprint {
        let containers = names.iter().map(|name| Container { name: name.clone(), ..Container::default() });
        Blueprint { containers: containers.collect(), ..Blueprint::default() }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|at| format!("c{at}")).collect()
    }

    #[test]
    fn every_index_can_be_given_and_no_more() {
        let given = (0..=u16::MAX).filter(|index| is_given(*index)).count();
        assert_eq!(given, NAMES_MAX);
        let full = AddressPlan::default().next(&blueprint(&names(NAMES_MAX))).unwrap();
        let distinct: BTreeSet<Ipv4Addr> = full.iter().map(|(_, address)| address.ipv4).collect();
        assert_eq!(distinct.len(), NAMES_MAX);
        assert_eq!(full.next(&blueprint(&names(NAMES_MAX))).unwrap(), full);
        let names = names(NAMES_MAX + 1);
        assert_eq!(AddressPlan::default().next(&blueprint(&names)), Err(Exhausted { names: NAMES_MAX + 1 }));
    }

    #[test]
    fn a_damaged_record_is_not_trusted() {
        let json = r#"{"indices": {"a": 10, "b": 10, "c": 1, "d": 256}, "cursor": 0}"#;
        let damaged: AddressPlan = serde_json::from_str(json).unwrap();
        let plan = damaged.next(&blueprint(&["a".into(), "b".into(), "c".into()])).unwrap();
        let distinct: BTreeSet<Ipv4Addr> = plan.iter().map(|(_, address)| address.ipv4).collect();
        assert_eq!(distinct.len(), 3);
        assert!(!distinct.contains(&AddressPlan::gateway().ipv4));
    }

    proptest! {
        /// Through any series of blueprints: no two names share an address, none moves while it stays, and
        /// none gets an address that another gave up in the same step.
        #[test]
        fn addresses_are_unique_and_stable(steps in prop::collection::vec(prop::collection::btree_set(0_u8..40, 0..30), 1..12)) {
            let mut plan = AddressPlan::default();
            for step in steps {
                let names: Vec<String> = step.iter().map(|at| format!("c{at}")).collect();
                let next = plan.next(&blueprint(&names)).unwrap();
                let distinct: BTreeSet<Ipv4Addr> = next.iter().map(|(_, address)| address.ipv4).collect();
                prop_assert_eq!(distinct.len(), names.len());
                for name in &names {
                    match plan.get(name) {
                        Some(before) => prop_assert_eq!(next.get(name), Some(before)),
                        None => prop_assert_eq!(plan.name_of(next.get(name).unwrap().ipv4.into()), None),
                    }
                }
                plan = next;
            }
        }
    }
}
