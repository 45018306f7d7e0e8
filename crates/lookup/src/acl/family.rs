//! The rules of one address family: addresses to classes, classes to rules.

use packet::flow::FlowKey;

use super::block::{Class, NONE};
use super::build;
use super::classes::{self, Classes};
use super::forest::{Forest, SIDE_BY_SIDE};
use super::region::{Bounds, DESTINATION, DESTINATION_PORT, Key, PROTOCOL, SOURCE, SOURCE_PORT};
use super::rule::{Networks, Rule};

/// First and last address of a prefix, as numbers.
pub(super) type Range = (u128, u128);

/// What classifies the packets of one family; `None` where no rule is of it.
pub(super) struct Family<M>(Option<Tables<M>>);

struct Tables<M> {
    sources: M,
    destinations: M,
    trees: Trees,
}

enum Trees {
    Narrow(Forest<u16>),
    Wide(Forest<u32>),
}

/// Packets of one family out of a batch.
#[derive(Default)]
pub(super) struct Gathered<A> {
    count: usize,
    /// Where in the batch they are.
    lanes: [u8; SIDE_BY_SIDE],
    sources: [A; SIDE_BY_SIDE],
    destinations: [A; SIDE_BY_SIDE],
    keys: [Key; SIDE_BY_SIDE],
}

impl<A> Gathered<A> {
    #[inline(always)]
    pub(super) fn add(&mut self, lane: usize, source: A, destination: A, key: &FlowKey) {
        let at = self.count % SIDE_BY_SIDE;
        self.count += 1;
        self.lanes[at] = lane as u8;
        self.sources[at] = source;
        self.destinations[at] = destination;
        let values = &mut self.keys[at];
        values[SOURCE_PORT] = key.source_port().into();
        values[DESTINATION_PORT] = key.destination_port().into();
        values[PROTOCOL] = key.protocol().0.into();
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl<M: Classes> Family<M> {
    /// `last`: the family's last address; `networks`: the addresses of a rule, if it is of this family.
    pub(super) fn new<'a>(
        rules: impl Iterator<Item = &'a Rule>,
        last: u128,
        networks: fn(&Networks) -> Option<(Range, Range)>,
    ) -> Self {
        let rules: Vec<(usize, &Rule, Range, Range)> = rules
            .enumerate()
            .filter_map(|(number, rule)| networks(&rule.networks).map(|(s, d)| (number, rule, s, d)))
            .collect();
        if rules.is_empty() {
            return Self(None);
        }
        let sources = classes::starts(rules.iter().map(|rule| rule.2), last);
        let destinations = classes::starts(rules.iter().map(|rule| rule.3), last);
        let ports =
            |range: &std::ops::RangeInclusive<u16>| (u32::from(*range.start()), u32::from(*range.end()));
        let bounds: Vec<Bounds> = rules
            .into_iter()
            .map(|(number, rule, source, destination)| Bounds {
                region: [
                    classes::range(&sources, source),
                    classes::range(&destinations, destination),
                    ports(&rule.source_ports),
                    ports(&rule.destination_ports),
                    Bounds::protocols(rule.protocol),
                ],
                protocol: rule.protocol,
                number: number as u32,
            })
            .collect();
        let counts = [sources.len(), destinations.len()];
        let trees = if counts.into_iter().all(|count| count <= u16::COUNT_MAX) {
            Trees::Narrow(build::forest(&bounds, counts))
        } else {
            Trees::Wide(build::forest(&bounds, counts))
        };
        Self(Some(Tables { sources: M::new(&sources), destinations: M::new(&destinations), trees }))
    }

    /// Writes what `packets` match to their lanes of `found`.
    #[inline(always)]
    pub(super) fn lookup(&self, packets: &Gathered<M::Address>, found: &mut [Option<u32>]) {
        let first = match &self.0 {
            Some(tables) => tables.first(packets),
            None => [NONE; SIDE_BY_SIDE],
        };
        for (&lane, rule) in packets.lanes.iter().zip(first).take(packets.count) {
            found[usize::from(lane)] = (rule != NONE).then_some(rule);
        }
    }

    pub(super) fn groups(&self) -> usize {
        match &self.0 {
            Some(Tables { trees: Trees::Narrow(forest), .. }) => forest.groups.len(),
            Some(Tables { trees: Trees::Wide(forest), .. }) => forest.groups.len(),
            None => 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let Some(tables) = &self.0 else { return 0 };
        let trees = match &tables.trees {
            Trees::Narrow(forest) => forest.bytes(),
            Trees::Wide(forest) => forest.bytes(),
        };
        tables.sources.bytes() + tables.destinations.bytes() + trees
    }
}

impl<M: Classes> Tables<M> {
    fn first(&self, packets: &Gathered<M::Address>) -> [u32; SIDE_BY_SIDE] {
        let mut keys = packets.keys;
        let sources = self.sources.of(&packets.sources);
        let destinations = self.destinations.of(&packets.destinations);
        for (key, (source, destination)) in keys.iter_mut().zip(sources.into_iter().zip(destinations)) {
            key[SOURCE] = source;
            key[DESTINATION] = destination;
        }
        match &self.trees {
            Trees::Narrow(forest) => forest.first(&keys, packets.count),
            Trees::Wide(forest) => forest.first(&keys, packets.count),
        }
    }
}
