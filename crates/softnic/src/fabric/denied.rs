//! Who was denied what: a bounded table of (source, destination) pairs for people to look at.

use super::header::{Address, Headers};
use super::report::DropReason;
use super::tables::FastMap;

/// Pairs kept in all.
pub(crate) const PAIRS_MAX: usize = 16_384;
/// Pairs kept of one source, so that one that scans leaves room for others.
pub(crate) const PAIRS_PER_SOURCE_MAX: u32 = 256;

/// What was denied between two addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) packets: u64,
    pub(crate) last_ns: u64,
    pub(crate) reason: DropReason,
    pub(crate) protocol: u8,
    pub(crate) port: u16,
}

/// The table. Sources are known by their IPv4 or IPv6 address, which outlives programs.
#[derive(Debug)]
pub(crate) struct DeniedPairs {
    pairs: FastMap<(Address, Address), Pair>,
    per_source: FastMap<Address, u32>,
    pub(crate) unlisted: u64,
}

impl DeniedPairs {
    pub(crate) fn new() -> Self {
        let mut pairs = FastMap::default();
        pairs.reserve(PAIRS_MAX);
        Self { pairs, per_source: FastMap::default(), unlisted: 0 }
    }

    pub(crate) fn note(&mut self, now: u64, headers: &Headers, reason: DropReason) {
        let key = (headers.key.source, headers.key.destination);
        if !self.pairs.contains_key(&key) {
            let mine = self.per_source.get(&key.0).copied().unwrap_or(0);
            if self.pairs.len() >= PAIRS_MAX || mine >= PAIRS_PER_SOURCE_MAX {
                self.unlisted += 1;
                return;
            }
            *self.per_source.entry(key.0).or_default() += 1;
        }
        let fresh = Pair { packets: 0, last_ns: now, reason, protocol: 0, port: 0 };
        let pair = self.pairs.entry(key).or_insert(fresh);
        pair.packets += 1;
        (pair.last_ns, pair.reason) = (now, reason);
        (pair.protocol, pair.port) = (headers.key.protocol(), headers.key.destination_port());
    }

    pub(crate) fn packets(&self, source: Address, destination: Address) -> u64 {
        self.pairs.get(&(source, destination)).map_or(0, |pair| pair.packets)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Address, Address, &Pair)> {
        self.pairs.iter().map(|((source, destination), pair)| (*source, *destination, pair))
    }

    /// Forgets pairs whose source is gone.
    pub(crate) fn retain_sources(&mut self, mut keep: impl FnMut(Address) -> bool) {
        self.pairs.retain(|(source, _), _| keep(*source));
        self.per_source.retain(|source, _| keep(*source));
    }
}
