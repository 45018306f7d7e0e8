//! What `NORMAL` knows: behind which port an address of a VLAN was seen (IEEE 802.1D, section 7.8).

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use packet::flow::FlowHasher;

/// Addresses learned at most.
pub const MACS_MAX: usize = 8192;
/// How long an address is known after its last packet (802.1D, table 7-5).
pub const MAC_LIFETIME: Duration = Duration::from_secs(300);

/// A VLAN's id, 0 for none, and an address in the lowest 48 bits.
pub(super) type Station = (u16, u64);

/// Whether it is a group's address.
pub(super) const fn is_group(address: u64) -> bool {
    address >> 40 & 1 != 0
}

/// Whether bridges keep such frames to themselves (01-80-c2-00-00-00 to -0f).
pub(super) const fn is_reserved(address: u64) -> bool {
    address & !0xf == 0x0180_c200_0000
}

/// Where stations are.
#[derive(Debug)]
pub(super) struct Macs {
    known: HashMap<Station, (u32, Duration), FlowHasher>,
    /// By last packet, for the oldest.
    by_age: BTreeSet<(Duration, Station)>,
}

impl Macs {
    pub(super) fn new(hasher: FlowHasher) -> Self {
        Self { known: HashMap::with_hasher(hasher), by_age: BTreeSet::new() }
    }

    pub(super) fn port(&self, station: Station) -> Option<u32> {
        self.known.get(&station).map(|&(port, _)| port)
    }

    /// A packet of that station came in there; whether that is news.
    pub(super) fn learn(&mut self, now: Duration, station: Station, port: u32) -> bool {
        if is_group(station.1) {
            return false;
        }
        let old = self.known.insert(station, (port, now));
        if let Some((_, seen)) = old {
            self.by_age.remove(&(seen, station));
        } else if self.known.len() > MACS_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.known.remove(&oldest);
        }
        self.by_age.insert((now, station));
        old.is_none_or(|(before, _)| before != port)
    }

    /// Forgets what was not seen for too long; whether there was any.
    pub(super) fn expire(&mut self, now: Duration) -> bool {
        let before = self.known.len();
        while let Some(&(seen, station)) = self.by_age.first()
            && seen + MAC_LIFETIME <= now
        {
            self.by_age.pop_first();
            self.known.remove(&station);
        }
        before != self.known.len()
    }

    /// Forgets what is behind a port that is gone.
    pub(super) fn forget(&mut self, port: u32) {
        let known = &mut self.known;
        self.by_age.retain(|(_, station)| {
            let stays = known.get(station).is_some_and(|&(at, _)| at != port);
            if !stays {
                known.remove(station);
            }
            stays
        });
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.by_age.first().map(|&(seen, _)| seen + MAC_LIFETIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stations_move_age_and_are_bounded() {
        let mut macs = Macs::new(FlowHasher::new(1));
        let second = Duration::from_secs;
        assert!(macs.learn(second(0), (0, 2), 1));
        assert!(!macs.learn(second(1), (0, 2), 1));
        assert!(macs.learn(second(2), (0, 2), 3), "moved");
        assert!(!macs.learn(second(2), (0, 0x0100_0000_0000), 3), "a group is nowhere");
        assert_eq!((macs.port((0, 2)), macs.port((5, 2))), (Some(3), None));
        assert!(!macs.expire(second(301)));
        assert!(macs.expire(second(302)));
        for station in 0..=MACS_MAX as u64 {
            macs.learn(second(400 + station), (0, station), 1);
        }
        assert_eq!((macs.port((0, 0)), macs.port((0, 1))), (None, Some(1)), "the oldest went");
        macs.forget(1);
        assert_eq!(macs.deadline(), None);
    }
}
