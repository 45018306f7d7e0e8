//! Sets of ports, for each protocol that policies know.

use std::fmt;

use serde::{Serialize, Serializer};

/// What a policy can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Transport {
    /// All of them.
    pub const ALL: [Transport; 3] = [Transport::Tcp, Transport::Udp, Transport::Sctp];

    /// By the name that manifests give it; TCP without one.
    pub fn named(name: Option<&str>) -> Option<Transport> {
        match name {
            None | Some("TCP") => Some(Transport::Tcp),
            Some("UDP") => Some(Transport::Udp),
            Some("SCTP") => Some(Transport::Sctp),
            Some(_) => None,
        }
    }

    /// The name that manifests give it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
            Transport::Sctp => "SCTP",
        }
    }
}

/// Ports of each protocol, and whether every other protocol passes too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortSet {
    /// Ranges of TCP, UDP and SCTP: in order, none touching the next.
    ranges: [Vec<(u16, u16)>; 3],
    /// Whether what has no ports passes.
    pub other: bool,
}

impl PortSet {
    /// Everything.
    pub fn all() -> PortSet {
        let every = || vec![(1, u16::MAX)];
        PortSet { ranges: [every(), every(), every()], other: true }
    }

    /// Ports `min` to `max` of one protocol, both included.
    pub fn range(transport: Transport, min: u16, max: u16) -> PortSet {
        let mut set = PortSet::default();
        set.add(transport, min, max);
        set
    }

    /// Adds ports `min` to `max`, both included.
    pub fn add(&mut self, transport: Transport, min: u16, max: u16) {
        if min <= max {
            let ranges = &mut self.ranges[transport as usize];
            ranges.push((min.max(1), max));
            merge(ranges);
        }
    }

    /// Ranges of one protocol, in order.
    pub fn ranges(&self, transport: Transport) -> &[(u16, u16)] {
        &self.ranges[transport as usize]
    }

    /// Whether a port is in it.
    pub fn contains(&self, transport: Transport, port: u16) -> bool {
        self.ranges(transport).iter().any(|(min, max)| *min <= port && port <= *max)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        !self.other && self.ranges.iter().all(Vec::is_empty)
    }

    /// Whether everything is in it.
    pub fn is_all(&self) -> bool {
        self.other && self.ranges.iter().all(|ranges| ranges.as_slice() == [(1, u16::MAX)])
    }

    /// Adds all of another set.
    pub fn union(&mut self, with: &PortSet) {
        self.other |= with.other;
        for (own, with) in self.ranges.iter_mut().zip(&with.ranges) {
            if !with.is_empty() {
                own.extend(with);
                merge(own);
            }
        }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, with: &PortSet) -> PortSet {
        let mut both = PortSet { other: self.other && with.other, ..PortSet::default() };
        for (both, (own, with)) in both.ranges.iter_mut().zip(self.ranges.iter().zip(&with.ranges)) {
            for (min, max) in own {
                let common =
                    with.iter().map(|(other_min, other_max)| (*min.max(other_min), *max.min(other_max)));
                both.extend(common.filter(|(min, max)| min <= max));
            }
        }
        both
    }
}

fn merge(ranges: &mut Vec<(u16, u16)>) {
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
    for (min, max) in ranges.drain(..) {
        match merged.last_mut() {
            Some(last) if min <= last.1.saturating_add(1) => last.1 = last.1.max(max),
            _ => merged.push((min, max)),
        }
    }
    *ranges = merged;
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("everything");
        }
        let mut words = Vec::new();
        for transport in Transport::ALL {
            let name = transport.name().to_lowercase();
            for (min, max) in self.ranges(transport) {
                words.push(match (*min, *max) {
                    (1, u16::MAX) => format!("all {name}"),
                    (min, max) if min == max => format!("{min}/{name}"),
                    (min, max) => format!("{min}-{max}/{name}"),
                });
            }
        }
        if self.other {
            words.push("other protocols".into());
        }
        f.write_str(if words.is_empty() { "nothing".into() } else { words.join(", ") }.as_str())
    }
}

impl Serialize for PortSet {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_join_and_meet() {
        let mut set = PortSet::range(Transport::Tcp, 80, 90);
        set.union(&PortSet::range(Transport::Tcp, 91, 100));
        set.union(&PortSet::range(Transport::Udp, 53, 53));
        assert_eq!(set.to_string(), "80-100/tcp, 53/udp");
        assert_eq!(set.intersection(&PortSet::all()), set);
        let meeting = set.intersection(&PortSet::range(Transport::Tcp, 100, u16::MAX));
        assert_eq!(meeting.to_string(), "100/tcp");
        assert!(PortSet::all().is_all() && !set.is_all() && PortSet::default().is_empty());
        assert_eq!(PortSet::default().to_string(), "nothing");
    }
}
