//! One state of the network, and what can happen in it.

use std::fmt::Write;

use super::table::{Frame, Input, Table};
use super::{Limits, Violation};
use crate::forwarder::Cause;
use crate::header::Phase;
use crate::map::Map;
use crate::plan::Plan;
use crate::router::Router;
use crate::slot::Slot;

/// What can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A packet starts at a node.
    Start(usize),
    /// The first frame of a channel arrives.
    Arrive(u16),
    /// The frame at this place of the list is lost.
    Lose(usize),
    /// A link is cut: what is on it is lost, and what is sent over it from now on.
    Cut(usize),
    /// An end notices that its link is cut.
    Notice(usize),
    /// A node begins to make all its links lead out.
    Aeo(usize),
    /// A link whose cut both ends know comes back.
    Restore(usize),
}

/// What an event was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Happened {
    /// A hop of a packet.
    pub(super) hop: bool,
    /// Is there another way for this to happen?
    pub(super) more: bool,
}

/// A state. Channel 2l leads from the first end of link l to the second, channel 2l + 1 back; end 2l is the first end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// By node: its state, by the number of the table.
    pub(super) nodes: Vec<u32>,
    /// Channel and number of all frames under way, sorted by channel, those of a channel in their order.
    pub(super) frames: Vec<(u16, u16)>,
    pub(super) cut: Vec<bool>,
    pub(super) noticed: Vec<bool>,
    pub(super) reversals: u32,
    pub(super) aeos: u8,
    pub(super) restores: u8,
}

impl State {
    /// Becomes the same as another, without asking for memory.
    pub(super) fn copy(&mut self, other: &Self) {
        self.nodes.clone_from(&other.nodes);
        self.frames.clone_from(&other.frames);
        self.cut.clone_from(&other.cut);
        self.noticed.clone_from(&other.noticed);
        (self.reversals, self.aeos, self.restores) = (other.reversals, other.aeos, other.restores);
    }

    /// The channels that something is on.
    pub(super) fn busy(&self) -> impl Iterator<Item = u16> {
        let first = |place: &usize| *place == 0 || self.frames[*place - 1].0 != self.frames[*place].0;
        (0..self.frames.len()).filter(first).map(|place| self.frames[place].0)
    }

    /// The ends that do not know yet that their link is cut.
    pub(super) fn unnoticed(&self) -> impl Iterator<Item = usize> {
        (0..self.noticed.len()).filter(|end| self.cut[end / 2] && !self.noticed[*end])
    }
}

/// What holds for all states of a network.
#[derive(Debug)]
pub(super) struct World<'m> {
    pub(super) map: &'m Map,
    pub(super) destination: usize,
    pub(super) limits: Limits,
    pub(super) table: Table<'m>,
    pub(super) start: State,
    arcs: Arcs,
}

impl<'m> World<'m> {
    pub(super) fn new(map: &'m Map, plan: &Plan, limits: &Limits) -> Self {
        let mut table = Table::new(map, plan, limits);
        let nodes = (0..map.node_count()).map(|node| table.number(&Router::new(map, plan, node))).collect();
        let start = State {
            nodes,
            frames: Vec::new(),
            cut: vec![false; map.link_count()],
            noticed: vec![false; 2 * map.link_count()],
            reversals: 0,
            aeos: 0,
            restores: 0,
        };
        Self { map, destination: plan.destination, limits: *limits, table, start, arcs: Arcs::default() }
    }

    /// What may happen, but for cuts and what is noticed of them.
    pub(super) fn events(&self, state: &State, events: &mut Vec<Event>) {
        events.clear();
        if self.in_flight(state) < self.limits.in_flight_max {
            let nodes = (0..state.nodes.len()).filter(|node| *node != self.destination);
            events.extend(nodes.map(Event::Start));
        }
        events.extend(state.busy().map(Event::Arrive));
        events.extend(self.losable(state).map(Event::Lose));
        if state.aeos < self.limits.aeos_max {
            let nodes = (0..state.nodes.len()).filter(|node| self.may_aeo(state, *node));
            events.extend(nodes.map(Event::Aeo));
        }
        if state.restores < self.limits.restores_max {
            let links = (0..state.cut.len()).filter(|link| self.may_restore(state, *link));
            events.extend(links.map(Event::Restore));
        }
    }

    /// Lets an event happen, in the `way`th of the ways in which it can. Holds I4 and I5 to it.
    pub(super) fn happen(
        &mut self,
        state: &mut State,
        event: Event,
        way: u32,
    ) -> Result<Happened, Violation> {
        let (node, input) = match event {
            Event::Start(node) => (node, Input::Start),
            Event::Arrive(channel) => {
                let place = state.frames.partition_point(|(other, _)| *other < channel);
                let (_, frame) = state.frames.remove(place);
                let (node, port) = self.map.ends(usize::from(channel / 2))[1 - usize::from(channel % 2)];
                (node as usize, Input::Arrive(port, frame))
            }
            Event::Lose(place) => {
                state.frames.remove(place);
                return Ok(Happened { hop: false, more: false });
            }
            Event::Cut(link) => {
                state.cut[link] = true;
                state.frames.retain(|(channel, _)| usize::from(channel / 2) != link);
                if !self.limits.late {
                    self.happen(state, Event::Notice(2 * link), 0)?;
                    self.happen(state, Event::Notice(2 * link + 1), 0)?;
                }
                return Ok(Happened { hop: false, more: false });
            }
            Event::Notice(end) => {
                state.noticed[end] = true;
                let (node, port) = self.map.ends(end / 2)[end % 2];
                (node as usize, Input::Down(port))
            }
            Event::Aeo(node) => {
                state.aeos += 1;
                (node, Input::Aeo)
            }
            Event::Restore(link) => {
                state.restores += 1;
                state.cut[link] = false;
                for end in [2 * link, 2 * link + 1] {
                    state.noticed[end] = false;
                    let (node, port) = self.map.ends(link)[end % 2];
                    self.meet(state, node as usize, Input::Up(port), 0)?;
                }
                return Ok(Happened { hop: false, more: false });
            }
        };
        let happened = self.meet(state, node, input, way)?;
        Ok(Happened { hop: happened.hop && matches!(event, Event::Arrive(_)), ..happened })
    }

    fn meet(
        &mut self,
        state: &mut State,
        node: usize,
        input: Input,
        way: u32,
    ) -> Result<Happened, Violation> {
        let ways = self.table.step(state.nodes[node], input);
        let effect = self.table.effect(ways.start + way);
        state.nodes[node] = effect.to;
        state.reversals += u32::from(self.limits.connected && effect.reversed);
        if state.reversals > self.limits.reversals_max {
            let reversals_max = self.limits.reversals_max;
            return Err(Violation::Reversals { reversals_max, state: self.show(state) });
        }
        match effect.dropped {
            Some(Cause::Isolated) if !self.limits.connected => {}
            Some(cause) => return Err(Violation::Dropped { cause, state: self.show(state) }),
            None => {}
        }
        let mut hop = false;
        for (port, frame) in self.table.sent(effect) {
            hop |= send(self.map, state, node, *port, *frame) && self.table.frame(*frame).is_data();
        }
        Ok(Happened { hop, more: ways.start + way + 1 < ways.end })
    }

    /// Does to a node what is no event.
    pub(super) fn edit(&mut self, state: &mut State, node: usize, change: impl FnOnce(&mut Router)) {
        let (to, sent) = self.table.edit(state.nodes[node], change);
        state.nodes[node] = to;
        for (port, frame) in sent {
            send(self.map, state, node, port, frame);
        }
    }

    pub(super) fn may_aeo(&self, state: &State, node: usize) -> bool {
        let router = self.table.router(state.nodes[node]);
        state.aeos < self.limits.aeos_max && router.is_idle() && node != self.destination
    }

    pub(super) fn may_restore(&self, state: &State, link: usize) -> bool {
        let known = state.noticed[2 * link] && state.noticed[2 * link + 1];
        state.restores < self.limits.restores_max && state.cut[link] && known
    }

    /// May this link be cut, too?
    pub(super) fn may_cut(&self, state: &State, link: usize) -> bool {
        let cuts = state.cut.iter().filter(|cut| **cut).count();
        cuts < self.limits.cuts_max
            && !state.cut[link]
            && (!self.limits.connected || self.connected_without(state, link))
    }

    /// Is the network connected by links that are not cut, and that are part of the graph?
    fn connected_without(&self, state: &State, link: usize) -> bool {
        let in_graph = |other: usize| {
            let ends = self.map.ends(other);
            let [a, b] = ends.map(|(node, port)| self.table.slots(state.nodes[node as usize], port));
            (0..2).any(|vnode| a[vnode].is_used() && b[vnode].is_used())
        };
        let left = |other: u16| {
            let other = usize::from(other);
            other != link && !state.cut[other] && in_graph(other)
        };
        self.map.distances(self.destination, left).iter().all(|distance| *distance != crate::map::FAR)
    }

    /// The places of what may be lost: data is, what routers say is repeated until it comes.
    pub(super) fn losable(&self, state: &State) -> impl Iterator<Item = usize> {
        (0..state.frames.len()).filter(|place| self.table.frame(state.frames[*place].1).is_data())
    }

    /// How many packets are under way.
    pub(super) fn in_flight(&self, state: &State) -> usize {
        self.losable(state).count()
    }

    /// Holds I1 and I2 to a state.
    pub(super) fn check(&mut self, state: &State) -> Result<(), Violation> {
        // Of every virtual link that both ends know: from which virtual node the last reversal leads.
        let mut arcs = std::mem::take(&mut self.arcs);
        arcs.list.clear();
        for link in (0..self.map.link_count()).filter(|link| !state.cut[*link]) {
            let at = self.map.ends(link);
            let both = at.map(|(node, port)| self.table.slots(state.nodes[node as usize], port));
            for vnode in [0, 1] {
                let ends = [both[0][vnode], both[1][vnode]];
                if ends.iter().any(|end| end.is_none() || end.is_draining()) {
                    continue;
                }
                let out = ends.iter().filter(|end| end.is_out()).count();
                let stale = [ends[0].rseq() != ends[1].lseq(), ends[1].rseq() != ends[0].lseq()];
                let stale_count = stale.iter().filter(|stale| **stale).count();
                if out == 0 {
                    return Err(Violation::InIn { link, state: self.show(state) });
                }
                if stale_count != out - 1 {
                    let state = self.show(state);
                    return Err(Violation::Stale { link, stale: stale_count, out, state });
                }
                let from_first = if out == 2 { stale[1] } else { ends[0].is_out() };
                let virtual_node = |side: usize| 2 * at[side].0 + u32::from(!ends[side].is_used());
                let (a, b) = (virtual_node(0), virtual_node(1));
                arcs.list.push(if from_first { (a, b) } else { (b, a) });
            }
        }
        let way_round = arcs.have_way_round(2 * state.nodes.len());
        self.arcs = arcs;
        if way_round { Err(Violation::WayRound(self.show(state))) } else { Ok(()) }
    }

    /// The state in words.
    pub(super) fn show(&self, state: &State) -> String {
        let mut text = String::new();
        for link in 0..self.map.link_count() {
            let [a, b] = self.map.ends(link);
            let slots = |(node, port): (u32, u16)| -> Vec<Slot> {
                let both = self.table.slots(state.nodes[node as usize], port);
                both.into_iter().filter(|slot| !slot.is_none()).collect()
            };
            let (name_a, name_b) = (self.map.name(a.0 as usize), self.map.name(b.0 as usize));
            let cut = if state.cut[link] { " cut" } else { "" };
            let _ = write!(text, "{name_a} {:?} — {:?} {name_b}{cut}", slots(a), slots(b));
            for (channel, frame) in
                state.frames.iter().filter(|(channel, _)| usize::from(channel / 2) == link)
            {
                let arrow = if channel % 2 == 0 { '→' } else { '←' };
                let _ = match self.table.frame(*frame) {
                    Frame::Data(header) => {
                        write!(text, " {arrow}{}{}", u8::from(header.seq), phase_name(header.phase))
                    }
                    Frame::Control(message) => write!(text, " {arrow}{message:?}"),
                };
            }
            text.push('\n');
        }
        text
    }
}

/// Puts a frame on a link; false where the link is cut.
fn send(map: &Map, state: &mut State, node: usize, port: u16, frame: u16) -> bool {
    let link = map.ports(node)[usize::from(port)].link;
    let second = map.ends(link.into())[0] != (node as u32, port);
    if state.cut[usize::from(link)] {
        return false;
    }
    let channel = 2 * link + u16::from(second);
    let place = state.frames.partition_point(|(other, _)| *other <= channel);
    state.frames.insert(place, (channel, frame));
    true
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Plain => "",
        Phase::Patient(_) => " patient",
        Phase::Scout(_) => " scout",
        Phase::Ghost => " ghost",
    }
}

/// Arcs, and what is needed to look for a way round.
#[derive(Debug, Default)]
struct Arcs {
    list: Vec<(u32, u32)>,
    into: Vec<u32>,
    ready: Vec<u32>,
    begins: Vec<usize>,
}

impl Arcs {
    /// Takes away nodes that nothing leads to; what cannot be taken away is on a way round, or behind one.
    fn have_way_round(&mut self, nodes: usize) -> bool {
        let Self { list, into, ready, begins } = self;
        list.sort_unstable();
        into.clear();
        into.resize(nodes, 0);
        begins.clear();
        begins.resize(nodes + 1, 0);
        for (from, to) in list.iter() {
            into[*to as usize] += 1;
            begins[*from as usize + 1] += 1;
        }
        for node in 0..nodes {
            begins[node + 1] += begins[node];
        }
        ready.clear();
        ready.extend((0..nodes as u32).filter(|node| into[*node as usize] == 0));
        let mut taken = 0;
        while let Some(node) = ready.pop() {
            taken += 1;
            for (_, to) in &list[begins[node as usize]..begins[node as usize + 1]] {
                into[*to as usize] -= 1;
                if into[*to as usize] == 0 {
                    ready.push(*to);
                }
            }
        }
        taken < nodes
    }
}

#[cfg(test)]
mod tests {
    use super::Arcs;

    #[test]
    fn ways_round_are_seen() {
        let has = |nodes, list: &[(u32, u32)]| {
            Arcs { list: list.to_vec(), ..Arcs::default() }.have_way_round(nodes)
        };
        assert!(!has(3, &[(0, 1), (0, 2), (1, 2)]));
        assert!(has(4, &[(3, 0), (0, 1), (1, 2), (2, 0)]));
    }
}
