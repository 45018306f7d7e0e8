//! A packet's way through network functions, between the decision about it and its delivery.
//!
//! ```text
//!              ┌ decide ──▶ 0 firewall 1 ──▶ 0 ids 1 ──▶ translate ─▶
//!   who opens ─┤                                                      the other side
//!              └ ◀───────── 0 firewall 1 ◀── 0 ids 1 ◀── translate, decide ─
//! ```
//!
//! Functions see packets as who opened the flow sees them: under the address of a service, not of its member. So a flow
//! has one key in both directions, and what a function answers or makes itself finds its way by the headers that it has.
//! Packets of functions are looked up anew after each of them, since a function may have made them.

use packet::wire::EtherType;
use packet::{Packet, PortId};

use super::conntrack::Found;
use super::datapath::Fabric;
use super::functions::{Affinity, Functions, share};
use super::header::{ETHERNET, Fragment, Headers, Key, Transport, be16};
use super::program::FUNCTION_PORTS;
use super::report::DropReason;
use super::rewrite;
use super::state::{SlotState, To};
use super::tables::NONE;

impl Fabric {
    /// Takes in a packet that left the instance in `slot` at a gate: 0, on the side of who opened the flow, or 1. Gives it
    /// out to the next function, or where it goes.
    pub fn resume(
        &mut self,
        now_ns: u64,
        mut packet: Packet,
        slot: u16,
        gate: u16,
        out: &mut impl FnMut(Packet),
    ) {
        match self.onward(now_ns, &mut packet, slot, usize::from(gate & 1)) {
            Ok(to) => self.leave(packet, to, out),
            Err(reason) => self.drops[reason as usize] += 1,
        }
    }

    /// Counts packets that went away with a function that is no more.
    pub fn count_lost(&mut self, packets: u64) {
        self.drops[DropReason::ChainChanged as usize] += packets;
    }

    /// The port that stands for a gate of an instance.
    pub(crate) fn function_port(slot: u16, gate: usize) -> PortId {
        PortId(FUNCTION_PORTS + 2 * u32::from(slot) + gate as u32)
    }

    /// Says where the instances of each function are, in the program's order; without, they have the slots from 0 on.
    /// Counters stay with a slot for as long as a function of the same name has it.
    pub(crate) fn keep_slots(&mut self, old: &Functions) {
        let functions = &self.tables.functions;
        let slots = functions.entries.iter().flat_map(|entry| entry.slots.iter()).max();
        self.slots.resize(slots.map_or(0, |most| usize::from(*most) + 1), SlotState::default());
        let name = |functions: &Functions, slot| {
            functions.at(slot).map(|function| functions.entries[function as usize].name.clone())
        };
        for (slot, state) in (0_u16..).zip(&mut self.slots) {
            if name(functions, slot).is_none() || name(functions, slot) != name(old, slot) {
                *state = SlotState::default();
            }
        }
    }

    /// The first function that a packet of a flow goes to, if its rule leads through any. Questions that are passed on to a
    /// resolver outside pass none: they are the gateway's.
    #[inline]
    pub(crate) fn enter(&mut self, found: Found, chain: u32) -> Option<To> {
        if chain == NONE {
            return None;
        }
        let key = self.flows.get(found.flow).keys[0];
        if key.destination == self.tables.gateway_v4 || key.destination == self.tables.gateway_v6 {
            return None;
        }
        let functions = &self.tables.functions.chains[chain as usize];
        let function = if found.direction == 0 { functions.first() } else { functions.last() };
        function.copied().map(|function| self.instance(function, &key, found.direction))
    }

    /// Where a packet goes that comes to a function at a gate.
    fn instance(&mut self, function: u32, key: &Key, gate: usize) -> To {
        let entry = &self.tables.functions.entries[function as usize];
        let count = entry.slots.len();
        let at = match entry.affinity {
            _ if count == 1 => 0,
            Affinity::None => {
                self.function_turn = self.function_turn.wrapping_add(1);
                self.function_turn as usize % count
            }
            affinity => share(&self.spread, affinity, key, count),
        };
        To::Function { slot: entry.slots[at], gate }
    }

    /// What is done to a packet before it goes to the first function.
    #[inline]
    pub(crate) fn prepare(
        packet: &mut Packet,
        headers: &Headers,
        translate: impl FnOnce(&mut [u8], packet::Offload),
    ) {
        packet.truncate(headers.end);
        let offload = packet.offload();
        let frame = packet.data_mut();
        translate(frame, offload);
        rewrite::decrement_ttl(frame, headers);
    }

    fn onward(&mut self, now: u64, packet: &mut Packet, slot: u16, gate: usize) -> Result<To, DropReason> {
        if let Some(state) = self.slots.get_mut(usize::from(slot)) {
            state.left[gate] += 1;
        }
        let frame = packet.data();
        if frame.len() < ETHERNET {
            return Err(DropReason::Malformed);
        }
        let headers = Headers::of_frame(frame, EtherType(be16(&frame[12..])))?;
        headers.check_offload(&packet.offload())?;
        let direction = 1 - gate;
        let (flow, quoted) = self.flow_between(now, frame, &headers, direction)?;
        let flow = self.flows.get(flow);
        let key = flow.keys[0];
        let functions = &self.tables.functions;
        let chain = functions.chains.get(self.rules[flow.rule as usize].chain as usize);
        let place = |chain: &[u32]| chain.iter().position(|function| functions.at(slot) == Some(*function));
        let (chain, at) =
            chain.and_then(|chain| Some((chain, place(chain)?))).ok_or(DropReason::ChainChanged)?;
        let next = if direction == 0 { chain.get(at + 1) } else { at.checked_sub(1).map(|at| &chain[at]) };
        if let Some(next) = next.copied() {
            return Ok(self.instance(next, &key, direction));
        }
        let (to, source) = (flow.to[direction], flow.to[gate]);
        if !self.endpoints[to as usize].up {
            return Err(DropReason::PortDown);
        }
        // Towards who opened the flow it has its addresses already.
        let new = (direction == 0 && flow.is_translated()).then(|| (flow.translated(0), flow.keys[1]));
        packet.set_ingress(self.tables.endpoints[source as usize].port);
        packet.truncate(headers.end);
        let (offload, link) = (packet.offload(), self.link_of(to));
        let frame = packet.data_mut();
        match (new, quoted) {
            (Some((outer, inner)), Some(quoted)) => {
                rewrite::icmp_error(frame, &headers, &quoted, &outer, &inner);
            }
            (Some((outer, _)), None) => rewrite::addresses(frame, &headers, &outer, &offload),
            (None, _) => {}
        }
        rewrite::ethernet(frame, link.to, link.gateway);
        Ok(To::Endpoint(to))
    }

    /// The flow of a packet that is between functions on its way in a direction, and what it quotes if it is an ICMP error.
    fn flow_between(
        &mut self,
        now: u64,
        frame: &[u8],
        headers: &Headers,
        direction: usize,
    ) -> Result<(u32, Option<Headers>), DropReason> {
        let (key, quoted) = match (headers.transport, headers.fragment) {
            (Transport::Absent, Fragment::Later(id)) => {
                let (found, generation) = self
                    .fragments
                    .find(now, &headers.key, headers.v4, id)
                    .filter(|(found, _)| found.direction == direction)
                    .ok_or(DropReason::FragmentUnknown)?;
                let flow = self.flows.get_if(found.flow, generation);
                return flow.map(|_| (found.flow, None)).ok_or(DropReason::FragmentUnknown);
            }
            (Transport::IcmpError, _) => {
                let quoted = Headers::of_quoted(&frame[..headers.end], headers.l4 + 8, headers.v4)?;
                // It goes the way of a reply to what it quotes.
                (quoted.key.reversed(), Some(quoted))
            }
            _ => (headers.key, None),
        };
        let opener = if direction == 0 { key } else { key.reversed() };
        let found = self.flows.find(&opener).filter(|found| found.direction == 0);
        Ok((found.ok_or(DropReason::Strayed)?.flow, quoted))
    }
}
