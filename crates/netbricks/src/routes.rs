//! Where a router sends packets: prefixes of both families, and the next hop of each.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lookup::lpm::{Full, Lpm, Prefix};
use thiserror::Error;

use crate::Gate;

/// What happens to packets for a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// They leave at a gate, to a neighbour; `None`: to whoever has the destination address.
    Gate(Gate, Option<IpAddr>),
    /// They are for the router.
    Local,
    /// Nobody has the address: that of a subnet, or its broadcast address.
    Nobody,
}

/// Why a route was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RouteError {
    /// Not `ADDRESS/LENGTH`.
    #[error("'{0}' is no prefix such as 10.0.0.0/8 or fd00::/8")]
    Prefix(String),
    /// Bits behind the length, or a length beyond the address.
    #[error("{0}")]
    Bits(String),
    /// The next hop is of the other family.
    #[error("the next hop {0} is of the other address family")]
    Family(IpAddr),
    /// No room.
    #[error(transparent)]
    Full(#[from] Full),
}

/// A routing table.
///
/// ```
/// use netbricks::routes::{Hop, Routes};
///
/// let mut routes = Routes::default();
/// routes.insert("10.0.0.0/8", Hop::Gate(1, Some("192.0.2.1".parse()?)))?;
/// routes.insert("10.1.0.0/16", Hop::Gate(0, None))?;
/// assert_eq!(routes.find("10.1.2.3".parse()?), Some(Hop::Gate(0, None)));
/// assert_eq!(routes.find("11.1.2.3".parse()?), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Routes {
    v4: Lpm<Ipv4Addr, u32>,
    v6: Lpm<Ipv6Addr, u32>,
    /// What the tables' values stand for.
    hops: Vec<Hop>,
    known: HashMap<Hop, u32>,
}

impl Routes {
    /// Adds a route, or replaces the one of the same prefix.
    ///
    /// # Errors
    /// It is no prefix, its next hop is of the other family, or there is no room.
    pub fn insert(&mut self, prefix: &str, hop: Hop) -> Result<(), RouteError> {
        let wrong = || RouteError::Prefix(prefix.chars().take(60).collect());
        let (address, length) = prefix.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        if let Hop::Gate(_, Some(via)) = hop
            && via.is_ipv4() != address.is_ipv4()
        {
            return Err(RouteError::Family(via));
        }
        let length = length.parse().map_err(|_| wrong())?;
        match address {
            IpAddr::V4(address) => {
                let prefix =
                    Prefix::new(address, length).map_err(|error| RouteError::Bits(error.to_string()))?;
                let place = self.place(hop);
                self.v4.insert(prefix, place)?;
            }
            IpAddr::V6(address) => {
                let prefix =
                    Prefix::new(address, length).map_err(|error| RouteError::Bits(error.to_string()))?;
                let place = self.place(hop);
                self.v6.insert(prefix, place)?;
            }
        }
        Ok(())
    }

    fn place(&mut self, hop: Hop) -> u32 {
        *self.known.entry(hop).or_insert_with(|| {
            self.hops.push(hop);
            self.hops.len() as u32 - 1
        })
    }

    /// What happens to packets for an address; `None`: there is no route.
    #[inline]
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<Hop> {
        let place = match address {
            IpAddr::V4(address) => self.v4.lookup(address),
            IpAddr::V6(address) => self.v6.lookup(address),
        };
        place.map(|place| self.hops[place as usize])
    }

    /// Routes of both families.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
