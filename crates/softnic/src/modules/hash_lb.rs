//! [`HashLb`].

use std::hash::{BuildHasher, Hasher};

use packet::Batch;
use packet::flow::{FlowHasher, FlowKey};
use packet::wire::IpProtocol;

use super::field::Fields;
use super::flow_key::shared_key;
use super::gates::{Gates, send_by};
use crate::engine::{Context, GATES_MAX, Gate, Module};

/// Spreads flows over gates, each flow to one.
///
/// *Input gates*: one. *Output gates*: those of its list, up to 8191; a gate that is in it twice gets twice as many flows.
///
/// What makes a flow is the mode: [`HashMode`]. In the modes of a layer both directions of a flow have one gate. Fragments
/// go by their hosts in [`HashMode::L4`] as well, so that those of a packet stay together; what is not IP goes by its MAC
/// addresses. Where the list is empty, and where a field lies behind a packet's end, the packet is dropped.
///
/// The hash is keyed, so that those who send packets cannot aim them all at one gate.
///
/// ```
/// use softnic::modules::{Gates, HashLb, HashMode};
/// let module = HashLb::new(Gates::first(4), HashMode::L4, 0x5eed);
/// ```
pub struct HashLb {
    gates: Gates,
    mode: HashMode,
    hasher: FlowHasher,
}

/// What packets of one flow have in common.
#[derive(Clone, Debug)]
pub enum HashMode {
    /// MAC addresses.
    L2,
    /// IP addresses.
    L3,
    /// IP addresses, protocol and ports.
    L4,
    /// These fields, of the frame alone.
    Fields(Fields),
}

/// The MAC addresses.
const STATIONS: usize = 12;

impl HashLb {
    /// Spreads over `gates`. The seed keys the hash.
    pub fn new(gates: Gates, mode: HashMode, seed: u64) -> Self {
        Self { gates, mode, hasher: FlowHasher::new(seed.into()) }
    }

    /// Spreads over other gates.
    pub fn set_gates(&mut self, gates: Gates) {
        self.gates = gates;
    }

    /// Spreads by something else.
    pub fn set_mode(&mut self, mode: HashMode) {
        self.mode = mode;
    }
}

fn stations(hasher: FlowHasher, frame: &[u8]) -> Option<u64> {
    let ends = frame.first_chunk::<STATIONS>()?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (to, from) = (number(&ends[..STATIONS / 2]), number(&ends[STATIONS / 2..]));
    let mut state = hasher.build_hasher();
    state.write_u64(to.min(from));
    state.write_u64(to.max(from));
    Some(state.finish())
}

/// A key without ports and protocol.
fn hosts(key: FlowKey) -> FlowKey {
    match key {
        FlowKey::V4(mut tuple) => {
            (tuple.source_port, tuple.destination_port, tuple.protocol) = (0, 0, IpProtocol(0));
            FlowKey::V4(tuple)
        }
        FlowKey::V6(mut tuple) => {
            (tuple.source_port, tuple.destination_port, tuple.protocol) = (0, 0, IpProtocol(0));
            FlowKey::V6(tuple)
        }
    }
}

impl Module for HashLb {
    fn class(&self) -> &'static str {
        "HashLB"
    }

    fn outputs(&self) -> Gate {
        GATES_MAX
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let (gates, hasher) = (&self.gates, self.hasher);
        let of = |hash: Option<u64>| hash.map_or(super::gates::DROP, |hash| gates.of_hash(hash));
        let flow = |frame: &[u8], of_key: fn(FlowKey) -> FlowKey| match shared_key(frame) {
            Some(key) => Some(hasher.hash(&of_key(key).symmetric())),
            None => stations(hasher, frame),
        };
        match &self.mode {
            HashMode::L2 => send_by(ctx, batch, |packet| of(stations(hasher, packet.data()))),
            HashMode::L3 => send_by(ctx, batch, |packet| of(flow(packet.data(), hosts))),
            HashMode::L4 => send_by(ctx, batch, |packet| of(flow(packet.data(), |key| key))),
            HashMode::Fields(fields) => send_by(ctx, batch, |packet| {
                of(fields.gather(packet).map(|key| {
                    let mut state = hasher.build_hasher();
                    key[..fields.words()].iter().for_each(|word| state.write_u64(*word));
                    state.finish()
                }))
            }),
        }
    }

    fn status(&self) -> String {
        let by = match &self.mode {
            HashMode::L2 => "MAC addresses".to_owned(),
            HashMode::L3 => "IP addresses".to_owned(),
            HashMode::L4 => "flows".to_owned(),
            HashMode::Fields(fields) => format!("{} fields", fields.len()),
        };
        format!("{by}, to {} gates", self.gates.as_slice().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::{Random, Rig};
    use crate::modules::field::Field;

    const ETHERNET: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];

    /// A UDP datagram, or a fragment of one.
    fn frame(hosts: [u8; 2], ports: [u8; 2], fragment: [u8; 2]) -> Vec<u8> {
        let mut frame = ETHERNET.to_vec();
        let [source, destination] = hosts;
        frame.extend([0x45, 0, 0, 28, 0, 0, fragment[0], fragment[1], 64, 17, 0, 0, 10, 0, 0, source]);
        frame.extend([10, 0, 0, destination, 0, ports[0], 0, ports[1], 0, 8, 0, 0]);
        frame
    }

    fn module(mode: HashMode) -> HashLb {
        HashLb::new(Gates::first(16), mode, 7)
    }

    #[test]
    fn both_directions_of_a_flow_have_one_gate() {
        let mut random = Random::seeded();
        for mode in [HashMode::L2, HashMode::L3, HashMode::L4] {
            let mut module = module(mode);
            for _ in 0..200 {
                let [a, b, c, d] = [(); 4].map(|()| random.next() as u8);
                let there = frame([a, b], [c, d], [0, 0]);
                let mut back = frame([b, a], [d, c], [0, 0]);
                back.swap(5, 11);
                let gate = Rig::on(&mut module).gate(&there);
                assert!(gate.is_some());
                assert_eq!(gate, Rig::on(&mut module).gate(&back), "{random:?}");
            }
        }
    }

    #[test]
    fn flows_spread_by_what_the_mode_looks_at() {
        let gates = |mode: HashMode, frames: &[Vec<u8>]| {
            let mut module = module(mode);
            let mut seen: Vec<_> =
                frames.iter().map(|frame| Rig::on(&mut module).gate(frame).unwrap()).collect();
            seen.sort_unstable();
            seen.dedup();
            seen.len()
        };
        let by_port: Vec<_> = (0..200).map(|port| frame([1, 2], [port, 80], [0, 0])).collect();
        let by_host: Vec<_> = (0..200).map(|host| frame([host, 2], [1, 80], [0, 0])).collect();
        assert_eq!((gates(HashMode::L4, &by_port), gates(HashMode::L4, &by_host)), (16, 16));
        assert_eq!((gates(HashMode::L3, &by_port), gates(HashMode::L3, &by_host)), (1, 16));
        assert_eq!((gates(HashMode::L2, &by_port), gates(HashMode::L2, &by_host)), (1, 1));
        let port = || HashMode::Fields(Fields::new(vec![Field::at(34, 2)]).unwrap());
        assert_eq!((gates(port(), &by_port), gates(port(), &by_host)), (16, 1));
    }

    #[test]
    fn fragments_stay_together() {
        let mut module = module(HashMode::L4);
        for host in 0..100 {
            let first = frame([host, 2], [5, 6], [0x20, 0]);
            let later = frame([host, 2], [7, 8], [0, 9]);
            let gate = Rig::on(&mut module).gate(&first);
            assert_eq!(gate, Rig::on(&mut module).gate(&later));
        }
    }

    #[test]
    fn what_has_no_flow_goes_by_stations_or_is_dropped() {
        let mut module = module(HashMode::L4);
        assert!(Rig::on(&mut module).gate(&[0; 12]).is_some());
        assert_eq!(Rig::on(&mut module).gate(&[0; 11]), None);
        module.set_mode(HashMode::Fields(Fields::new(vec![Field::at(12, 1)]).unwrap()));
        assert_eq!(Rig::on(&mut module).gate(&[0; 12]), None);
        module.set_mode(HashMode::L2);
        module.set_gates(Gates::default());
        assert_eq!(Rig::on(&mut module).gate(&[0; 60]), None);
    }
}
