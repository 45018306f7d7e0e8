//! A packet as a translator sees it come.

use arrayvec::ArrayVec;
use lookup::flow_table::Tag;
use packet::BATCH;
use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, WireError, icmpv4, icmpv6};

use super::express::Glances;
use super::mapping::External;
use super::{Nat, OUTSIDE, number};
use crate::Gate;
use crate::conntrack;

/// What a packet is to a translator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has a tuple of its own.
    Query,
    /// It quotes one that has.
    Error,
}

impl Kind {
    fn of(layers: &Layers, frame: &[u8]) -> Option<Self> {
        let message = layers.segment(frame);
        let (is_echo, is_error) = match (layers.protocol, layers.network) {
            (IpProtocol::TCP | IpProtocol::UDP, _) => return Some(Self::Query),
            (IpProtocol::ICMP, Network::V4) => {
                let kind = icmpv4::View::new_checked(message).ok()?.kind();
                // A redirect is for the link, and source quench for nobody (RFC 6633).
                (kind.is_echo(), matches!(kind.0, 3 | 11 | 12))
            }
            (IpProtocol::ICMPV6, Network::V6) => {
                let kind = icmpv6::View::new_checked(message).ok()?.kind();
                (kind.is_echo(), kind.is_error())
            }
            _ => return None,
        };
        if is_error && layers.fragment.is_none() {
            return Some(Self::Error);
        }
        is_echo.then_some(Self::Query)
    }
}

/// A packet that came: what the tracker looks for, its tuple, and the external end it may be for.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    tracked: conntrack::Arrival,
    subject: Option<(Kind, FlowKey)>,
    external: Option<(External, Tag)>,
}

impl Arrival {
    /// Where its layers are.
    #[inline]
    #[must_use]
    pub const fn layers(&self) -> &Layers {
        self.tracked.layers()
    }

    pub(super) const fn tracked(&self) -> &conntrack::Arrival {
        &self.tracked
    }

    /// What it is, and its tuple; `None` where it is not translated, or has no tuple.
    pub(super) const fn subject(&self) -> Option<(Kind, &FlowKey)> {
        match &self.subject {
            Some((kind, key)) => Some((*kind, key)),
            None => None,
        }
    }

    /// Of a query from outside, whom it is for.
    pub(super) const fn external(&self) -> Option<(External, Tag)> {
        self.external
    }
}

/// Those packets of a batch that go the long way from the start, each at its number in the batch.
#[derive(Debug, Default)]
pub struct Arrivals(ArrayVec<Option<Result<Arrival, WireError>>, BATCH>);

impl Arrivals {
    /// The packet of this number; `None` where the short way may know it.
    #[inline]
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&Result<Arrival, WireError>> {
        self.0.get(number)?.as_ref()
    }
}

impl Nat {
    /// Reads those packets of a batch whose flows are not known at a [glance](Self::glance), and has in the cache what
    /// translating them will read. They are large, so they are written where the caller has them.
    #[inline]
    pub fn arrivals<'a>(
        &self,
        gate: Gate,
        glances: &Glances,
        frames: impl IntoIterator<Item = &'a [u8]>,
        arrivals: &mut Arrivals,
    ) {
        arrivals.0.clear();
        if !glances.all_known() {
            arrivals.0.extend(glances.iter().zip(frames).map(|(glance, frame)| {
                if glance.is_known() { None } else { Some(self.arrival(gate, frame)) }
            }));
            self.fetch(arrivals.0.iter().flatten().flatten());
        }
    }

    /// Reads a packet that came in at `gate`. It is an arrival at this translator, and says nothing to another.
    ///
    /// # Errors
    /// As [`Layers::of`].
    #[inline]
    pub fn arrival(&self, gate: Gate, frame: &[u8]) -> Result<Arrival, WireError> {
        let tracked = self.tracker.arrival(frame)?;
        let layers = tracked.layers();
        let subject = Kind::of(layers, frame).zip(FlowKey::of(layers, frame));
        let external = match &subject {
            Some((Kind::Query, key)) if gate == OUTSIDE => {
                let (protocol, port) = (number(key.protocol()), key.destination_port());
                let external = self.mappings.external_of(protocol, key.destination(), port);
                external.map(|external| (external, self.mappings.tag(&external)))
            }
            _ => None,
        };
        Ok(Arrival { tracked, subject, external })
    }

    /// Has in the cache what translating these packets, [`BATCH`] at most at a time, will read.
    #[inline]
    pub fn fetch<'a>(&self, arrivals: impl IntoIterator<Item = &'a Arrival> + Clone) {
        let external = arrivals.clone().into_iter().filter_map(|arrival| Some(arrival.external?.1));
        let tags: ArrayVec<Tag, BATCH> = external.take(BATCH).collect();
        self.mappings.fetch(&tags);
        self.tracker.fetch(arrivals.into_iter().map(|arrival| &arrival.tracked));
    }
}
