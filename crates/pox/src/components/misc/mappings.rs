//! Which port of one outside address stands for which inside host's.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// First port that is given out.
pub const PORT_MIN: u16 = 1024;
/// Mappings of one protocol.
pub const MAPPINGS_MAX: usize = 1 << 15;
/// A mapping that nobody has used ends after so long (RFC 4787, REQ-5).
pub const IDLE: Duration = Duration::from_secs(300);

/// An inside end: protocol, address, port or ICMP identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inside {
    /// IP protocol.
    pub protocol: u8,
    /// Address.
    pub ip: Ipv4Addr,
    /// Port, or identifier.
    pub port: u16,
}

/// What an outside port stands for.
#[derive(Debug, Clone, Copy)]
struct Mapping {
    inside: Inside,
    seen: Duration,
    /// Flows in the switch that use it.
    flows: u32,
}

/// The mappings of one outside address: the same port whomever the host speaks to (RFC 4787, REQ-1).
#[derive(Debug, Default)]
pub struct Mappings {
    outside: BTreeMap<(u8, u16), Mapping>,
    inside: BTreeMap<Inside, u16>,
    /// How many each protocol has.
    counts: BTreeMap<u8, usize>,
    /// Where to look for a free port when a host's own number is taken.
    next: u16,
}

impl Mappings {
    /// The port of an inside end, a new one where it has none: its own number if that is free. `None` where all are in use.
    pub fn map(&mut self, inside: Inside, now: Duration) -> Option<u16> {
        if let Some(port) = self.inside.get(&inside).copied() {
            self.touch(inside.protocol, port, now);
            return Some(port);
        }
        let count = self.counts.entry(inside.protocol).or_default();
        if *count >= MAPPINGS_MAX {
            return None;
        }
        let free = |port: &u16| !self.outside.contains_key(&(inside.protocol, *port));
        let next = self.next.max(PORT_MIN);
        let port = Some(inside.port)
            .filter(|port| *port >= PORT_MIN && free(port))
            .or_else(|| (next..=u16::MAX).chain(PORT_MIN..next).find(free))?;
        self.next = port.wrapping_add(1);
        *count += 1;
        self.outside.insert((inside.protocol, port), Mapping { inside, seen: now, flows: 0 });
        self.inside.insert(inside, port);
        Some(port)
    }

    /// What an outside port stands for.
    pub fn find(&mut self, protocol: u8, port: u16, now: Duration) -> Option<Inside> {
        self.touch(protocol, port, now);
        self.outside.get(&(protocol, port)).map(|mapping| mapping.inside)
    }

    fn touch(&mut self, protocol: u8, port: u16, now: Duration) {
        if let Some(mapping) = self.outside.get_mut(&(protocol, port)) {
            mapping.seen = now;
        }
    }

    /// A flow that uses a mapping was installed.
    pub fn flow_added(&mut self, protocol: u8, port: u16) {
        if let Some(mapping) = self.outside.get_mut(&(protocol, port)) {
            mapping.flows += 1;
        }
    }

    /// A flow that used a mapping is gone.
    pub fn flow_removed(&mut self, protocol: u8, port: u16, now: Duration) {
        if let Some(mapping) = self.outside.get_mut(&(protocol, port)) {
            mapping.flows = mapping.flows.saturating_sub(1);
            mapping.seen = now;
        }
    }

    /// Forgets what nobody has used for [`IDLE`].
    pub fn expire(&mut self, now: Duration) {
        let Self { outside, inside, counts, .. } = self;
        outside.retain(|_, mapping| {
            let keep = mapping.flows > 0 || mapping.seen + IDLE > now;
            if !keep {
                inside.remove(&mapping.inside);
                if let Some(count) = counts.get_mut(&mapping.inside.protocol) {
                    *count -= 1;
                }
            }
            keep
        });
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outside.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outside.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn end(host: u8, port: u16) -> Inside {
        Inside { protocol: 6, ip: Ipv4Addr::new(10, 0, 0, host), port }
    }
    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_end_has_a_port_of_its_own_and_its_own_number_if_it_can() {
        let mut mappings = Mappings::default();
        assert_eq!(mappings.map(end(1, 5000), at(0)), Some(5000));
        assert_eq!(mappings.map(end(2, 5000), at(0)), Some(5001));
        assert_eq!(mappings.map(end(1, 5000), at(0)), Some(5000));
        assert_eq!(mappings.map(end(1, 80), at(0)), Some(5002), "none below 1024 is given out");
        assert_eq!(mappings.find(6, 5001, at(0)), Some(end(2, 5000)));
        assert_eq!(mappings.find(17, 5001, at(0)), None);
    }

    #[test]
    fn what_nobody_uses_is_forgotten_and_what_a_flow_uses_is_not() {
        let mut mappings = Mappings::default();
        mappings.map(end(1, 5000), at(0));
        mappings.map(end(2, 6000), at(0));
        mappings.flow_added(6, 6000);
        mappings.expire(at(300));
        assert_eq!((mappings.find(6, 5000, at(300)), mappings.len()), (None, 1));
        mappings.flow_removed(6, 6000, at(400));
        mappings.expire(at(699));
        assert_eq!(mappings.len(), 1);
        mappings.expire(at(700));
        assert!(mappings.is_empty() && mappings.inside.is_empty());
    }

    #[test]
    fn a_full_protocol_says_so() {
        let mut mappings = Mappings::default();
        for n in 0..MAPPINGS_MAX {
            let inside = end((n >> 14) as u8, (n & 0x3fff) as u16 + PORT_MIN);
            assert!(mappings.map(inside, at(0)).is_some());
        }
        assert_eq!(mappings.map(end(9, 9), at(0)), None);
        assert!(mappings.map(Inside { protocol: 17, ..end(9, 9) }, at(0)).is_some());
    }
}
