//! Which of the ports that are asked for some rules allow.

use super::quotient::Edge;
use crate::model::{Ports, Protocol};

/// Ports and protocol of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) ports: Option<Ports>,
    pub(super) protocol: Protocol,
}

impl Asked {
    /// Anything at all.
    pub(super) const ANY: Asked = Asked { ports: None, protocol: Protocol::Any };

    /// Whether a rule allows some of it.
    pub(super) fn touches(self, edge: &Edge<'_>) -> bool {
        let protocol = edge.protocol.covers(self.protocol) || self.protocol.covers(edge.protocol);
        protocol && self.ports.is_none_or(|asked| asked.min <= edge.ports.max && edge.ports.min <= asked.max)
    }
}

/// What of it is allowed: for TCP and for UDP, ranges in order that do not touch.
#[derive(Clone, Debug, Default)]
pub(super) struct Covered {
    any: bool,
    tcp: Vec<(u16, u16)>,
    udp: Vec<(u16, u16)>,
}

impl Covered {
    pub(super) fn of<'e, 'a: 'e>(edges: impl Iterator<Item = &'e Edge<'a>>, asked: Asked) -> Covered {
        let mut covered = Covered::default();
        for edge in edges.filter(|edge| asked.touches(edge)) {
            covered.any = true;
            if asked.ports.is_some() {
                let range = (edge.ports.min, edge.ports.max);
                covered.tcp.extend(edge.protocol.covers(Protocol::Tcp).then_some(range));
                covered.udp.extend(edge.protocol.covers(Protocol::Udp).then_some(range));
            }
        }
        Covered { any: covered.any, tcp: merged(covered.tcp), udp: merged(covered.udp) }
    }

    pub(super) fn with(mut self, other: &Covered) -> Covered {
        if other.any {
            self.any = true;
            self.tcp.extend(&other.tcp);
            self.udp.extend(&other.udp);
            self.tcp = merged(self.tcp);
            self.udp = merged(self.udp);
        }
        self
    }

    /// Whether something is allowed.
    pub(super) fn is_some(&self) -> bool {
        self.any
    }

    /// Whether everything asked for is allowed.
    pub(super) fn is_all(&self, asked: Asked) -> bool {
        let Some(ports) = asked.ports else { return self.any };
        let within =
            |ranges: &[(u16, u16)]| ranges.iter().any(|(min, max)| *min <= ports.min && ports.max <= *max);
        let tcp = asked.protocol == Protocol::Udp || within(&self.tcp);
        let udp = asked.protocol == Protocol::Tcp || within(&self.udp);
        tcp && udp
    }
}

/// The same ports as ranges in order that neither meet nor overlap.
fn merged(mut ranges: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (min, max) in ranges {
        match merged.last_mut() {
            Some(last) if min <= last.1.saturating_add(1) => last.1 = last.1.max(max),
            _ => merged.push((min, max)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::merged;

    #[test]
    fn neighbouring_ranges_become_one() {
        assert_eq!(merged(vec![(5, 9), (1, 3), (4, 4)]), [(1, 9)]);
        assert_eq!(merged(vec![(5, 9), (1, 3)]), [(1, 3), (5, 9)]);
        assert_eq!(merged(vec![(1, 65535), (2, 3)]), [(1, 65535)]);
    }
}
