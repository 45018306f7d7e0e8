//! Fragments that are not the first have no ports; they follow the first one of their packet.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use lookup::flow_table::FlowTable;
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::IpProtocol;

use crate::Gate;

/// Packets whose fragments are followed at a time.
pub const PACKETS_MAX: usize = 4096;
/// How long fragments follow their first one (Linux' `ipfrag_time`).
pub const FOLLOW_NS: u64 = 30_000_000_000;

/// What the fragments of a packet share (RFC 791 §3.2, RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Whole {
    gate: Gate,
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProtocol,
    ident: u32,
}

impl Hash for Whole {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for address in [self.source, self.destination] {
            match address {
                IpAddr::V4(address) => state.write_u64(u64::from(address.to_bits())),
                IpAddr::V6(address) => {
                    state.write_u64((address.to_bits() >> 64) as u64);
                    state.write_u64(address.to_bits() as u64);
                }
            }
        }
        let protocol = u64::from(self.protocol.0) << 16 | u64::from(self.gate);
        state.write_u64(protocol << 32 | u64::from(self.ident));
    }
}

impl Whole {
    fn of(gate: Gate, layers: &Layers, frame: &[u8]) -> Option<Self> {
        let (source, destination) = layers.addresses(frame)?;
        let ident = layers.fragment?.ident;
        Some(Self { gate, source, destination, protocol: layers.protocol, ident })
    }
}

/// Where fragments go.
pub(super) struct Fragments(FlowTable<Whole, (Gate, FlowKey)>);

impl Fragments {
    pub(super) fn new(hasher: FlowHasher) -> Self {
        Self(FlowTable::with_hasher(PACKETS_MAX, hasher))
    }

    /// Notes where a first fragment went, and with which addresses. Whether there was room.
    pub(super) fn lead(
        &mut self,
        now_ns: u64,
        gate: Gate,
        (layers, frame): (&Layers, &[u8]),
        to: (Gate, FlowKey),
    ) -> bool {
        let Some(whole) = Whole::of(gate, layers, frame) else { return true };
        self.0.insert(whole, to, now_ns.saturating_add(FOLLOW_NS), now_ns).is_ok()
    }

    /// Where a later fragment goes; `None` where its first one was not seen.
    pub(super) fn follow(
        &self,
        now_ns: u64,
        gate: Gate,
        layers: &Layers,
        frame: &[u8],
    ) -> Option<(Gate, FlowKey)> {
        let id = self.0.find(&Whole::of(gate, layers, frame)?, now_ns)?;
        self.0.get(id).copied()
    }
}
