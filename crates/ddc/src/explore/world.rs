//! One state of the network, and what can happen in it.

use std::collections::VecDeque;
use std::fmt::Write;

use super::{Limits, Violation};
use crate::forwarder::{Cause, Decision};
use crate::guide::Guide;
use crate::header::{Header, Phase};
use crate::map::Map;
use crate::plan::Plan;
use crate::router::{Message, Router};

/// What can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A packet starts at a node.
    Start(usize),
    /// The first packet of a channel arrives.
    Arrive(usize),
    /// The first packet of a channel is lost.
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

/// What is on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Frame {
    Data(Header),
    Control(Message),
}

/// A state. Channel 2l leads from the first end of link l to the second, channel 2l + 1 back; end 2l is the first end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) nodes: Vec<Router>,
    channels: Vec<VecDeque<Frame>>,
    cut: Vec<bool>,
    noticed: Vec<bool>,
    pub(super) reversals: u32,
    aeos: u8,
    restores: u8,
}

impl World {
    pub(super) fn new(map: &Map, plan: &Plan) -> Self {
        Self {
            nodes: (0..map.node_count()).map(|node| Router::new(map, plan, node)).collect(),
            channels: vec![VecDeque::new(); 2 * map.link_count()],
            cut: vec![false; map.link_count()],
            noticed: vec![false; 2 * map.link_count()],
            reversals: 0,
            aeos: 0,
            restores: 0,
        }
    }

    /// The state as bytes: equal exactly for equal states.
    pub(super) fn key(&self) -> Box<[u8]> {
        let mut key = Vec::with_capacity(64);
        let step = if self.aeos == 0 { 2 } else { 1 };
        for node in &self.nodes {
            key.extend(node.forwarder().slots().iter().step_by(step).map(|slot| slot.bits()));
            node.write_key(&mut key);
        }
        for pair in [&self.cut, &self.noticed] {
            key.extend(
                pair.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))),
            );
        }
        key.extend([self.reversals as u8, self.aeos, self.restores]);
        for (number, channel) in self.channels.iter().enumerate().filter(|(_, channel)| !channel.is_empty()) {
            key.extend([number as u8, channel.len() as u8]);
            for frame in channel {
                match frame {
                    Frame::Data(header) => header.write(&mut key),
                    Frame::Control(message) => key.extend(code(*message)),
                }
            }
        }
        key.into()
    }

    pub(super) fn events(&self, map: &Map, plan: &Plan, limits: &Limits) -> Vec<Event> {
        let mut events = Vec::new();
        if self.in_flight() < limits.in_flight_max {
            events.extend((0..self.nodes.len()).filter(|node| *node != plan.destination).map(Event::Start));
        }
        events.extend(self.busy().map(Event::Arrive));
        events.extend(self.losable().map(Event::Lose));
        events.extend((0..self.cut.len()).filter(|link| self.may_cut(*link, map, limits)).map(Event::Cut));
        events.extend(self.unnoticed().map(Event::Notice));
        events.extend((0..self.nodes.len()).filter(|node| self.may_aeo(*node, limits)).map(Event::Aeo));
        events.extend((0..self.cut.len()).filter(|link| self.may_restore(*link, limits)).map(Event::Restore));
        events
    }

    /// Is the network connected by links that are not cut, and that are part of the graph?
    fn connected_without(&self, map: &Map, link: usize) -> bool {
        let in_graph = |other: usize| {
            let slots = map.ends(other).map(|(node, port)| {
                let slots = self.nodes[node as usize].forwarder().slots();
                [slots[2 * usize::from(port)], slots[2 * usize::from(port) + 1]]
            });
            (0..2).any(|vnode| slots[0][vnode].is_used() && slots[1][vnode].is_used())
        };
        let left = |other: u16| {
            let other = usize::from(other);
            other != link && !self.cut[other] && in_graph(other)
        };
        map.distances(0, left).iter().all(|distance| *distance != crate::map::FAR)
    }

    /// Lets an event happen; says whether it was a packet's hop.
    pub(super) fn happen(
        &mut self,
        event: Event,
        map: &Map,
        limits: &Limits,
        guide: &mut Guide<'_>,
    ) -> Result<bool, Violation> {
        match event {
            Event::Start(node) => {
                self.receive(node, None, Header::new(limits.phase), map, limits, guide)?;
            }
            Event::Arrive(number) => {
                let (node, port) = map.ends(number / 2)[1 - number % 2];
                match self.channels[number].pop_front() {
                    None => {}
                    Some(Frame::Data(header)) => {
                        return self.receive(node as usize, Some(port), header, map, limits, guide);
                    }
                    Some(Frame::Control(message)) => {
                        self.nodes[node as usize].handle(port, message);
                        self.say(node as usize, map);
                    }
                }
            }
            Event::Lose(number) => {
                self.channels[number].pop_front();
            }
            Event::Cut(link) => {
                self.cut[link] = true;
                self.channels[2 * link].clear();
                self.channels[2 * link + 1].clear();
                for end in [2 * link, 2 * link + 1] {
                    if !limits.late {
                        self.happen(Event::Notice(end), map, limits, guide)?;
                    }
                }
            }
            Event::Notice(end) => {
                self.noticed[end] = true;
                let (node, port) = map.ends(end / 2)[end % 2];
                self.nodes[node as usize].link_down(port);
                self.say(node as usize, map);
            }
            Event::Aeo(node) => {
                self.aeos += 1;
                self.nodes[node].begin_aeo();
                self.say(node, map);
            }
            Event::Restore(link) => {
                self.restores += 1;
                self.cut[link] = false;
                for end in [2 * link, 2 * link + 1] {
                    self.noticed[end] = false;
                    let (node, port) = map.ends(link)[end % 2];
                    self.nodes[node as usize].link_up(port);
                }
            }
        }
        Ok(false)
    }

    /// Puts what a node says on its links.
    pub(super) fn say(&mut self, node: usize, map: &Map) {
        while let Some((port, message)) = self.nodes[node].poll_output() {
            let number = end_of(map, node, port);
            if !self.cut[number / 2] {
                self.channels[number].push_back(Frame::Control(message));
            }
        }
    }

    pub(super) fn may_aeo(&self, node: usize, limits: &Limits) -> bool {
        self.aeos < limits.aeos_max
            && self.nodes[node].is_idle()
            && !self.nodes[node].forwarder().is_destination()
    }

    pub(super) fn may_restore(&self, link: usize, limits: &Limits) -> bool {
        let known = self.noticed[2 * link] && self.noticed[2 * link + 1];
        self.restores < limits.restores_max && self.cut[link] && known
    }

    /// The channels whose first frame may be lost: data is, what routers say is repeated until it comes.
    pub(super) fn losable(&self) -> impl Iterator<Item = usize> {
        self.busy().filter(|number| matches!(self.channels[*number].front(), Some(Frame::Data(_))))
    }

    /// The channels that something is on.
    pub(super) fn busy(&self) -> impl Iterator<Item = usize> {
        (0..self.channels.len()).filter(|number| !self.channels[*number].is_empty())
    }

    /// The ends that do not know yet that their link is cut.
    pub(super) fn unnoticed(&self) -> impl Iterator<Item = usize> {
        (0..self.noticed.len()).filter(|end| self.cut[end / 2] && !self.noticed[*end])
    }

    /// May this link be cut, too?
    pub(super) fn may_cut(&self, link: usize, map: &Map, limits: &Limits) -> bool {
        let cuts = self.cut.iter().filter(|cut| **cut).count();
        cuts < limits.cuts_max && !self.cut[link] && (!limits.connected || self.connected_without(map, link))
    }

    /// Is a link cut?
    pub(super) fn is_cut(&self, link: usize) -> bool {
        self.cut[link]
    }

    /// How many packets are under way.
    pub(super) fn in_flight(&self) -> usize {
        self.channels.iter().flatten().filter(|frame| matches!(frame, Frame::Data(_))).count()
    }

    fn receive(
        &mut self,
        node: usize,
        arrival: Option<u16>,
        header: Header,
        map: &Map,
        limits: &Limits,
        guide: &mut Guide<'_>,
    ) -> Result<bool, Violation> {
        let outcome = self.nodes[node].receive_by(limits.test, arrival, header, guide);
        self.reversals += u32::from(limits.connected && outcome.reversed > 0);
        let mut forwards = [None, outcome.ghost];
        match outcome.decision {
            Decision::Deliver => {}
            Decision::Drop(Cause::Isolated) if !limits.connected => {}
            Decision::Drop(cause) => return Err(Violation::Dropped { cause, state: self.show(map) }),
            Decision::Forward(forward) => forwards[0] = Some(forward),
        }
        let mut sent = false;
        for forward in forwards.into_iter().flatten() {
            let number = end_of(map, node, forward.port);
            if !self.cut[number / 2] {
                self.channels[number].push_back(Frame::Data(forward.header));
                sent = true;
            }
        }
        self.say(node, map);
        let given_up = |frame: &Frame| matches!(frame, Frame::Control(Message::Abort { .. }));
        Ok(sent && !self.channels.iter().flatten().any(given_up))
    }

    /// Holds I1, I2 and I4 to this state.
    pub(super) fn check(&self, map: &Map, limits: &Limits) -> Result<(), Violation> {
        if self.reversals > limits.reversals_max {
            let state = self.show(map);
            return Err(Violation::Reversals { reversals_max: limits.reversals_max, state });
        }
        // Of every virtual link that both ends know: from which virtual node the last reversal leads.
        let mut last = Vec::new();
        let pairs =
            (0..map.link_count()).filter(|link| !self.cut[*link]).flat_map(|link| [(link, 0), (link, 1)]);
        for (link, vnode) in pairs {
            let slot = |(node, port): (u32, u16)| {
                self.nodes[node as usize].forwarder().slots()[usize::from(port) * 2 + vnode]
            };
            let ends = map.ends(link).map(slot);
            if ends.iter().any(|end| end.is_none() || end.is_draining()) {
                continue;
            }
            let out = ends.iter().filter(|end| end.is_out()).count();
            let stale = [ends[0].rseq() != ends[1].lseq(), ends[1].rseq() != ends[0].lseq()];
            let stale_count = stale.iter().filter(|stale| **stale).count();
            if out == 0 {
                return Err(Violation::InIn { link, state: self.show(map) });
            }
            if stale_count != out - 1 {
                return Err(Violation::Stale { link, stale: stale_count, out, state: self.show(map) });
            }
            let from_first = if out == 2 { stale[1] } else { ends[0].is_out() };
            let virtual_node = |side: usize| 2 * map.ends(link)[side].0 + u32::from(!ends[side].is_used());
            let (a, b) = (virtual_node(0), virtual_node(1));
            last.push(if from_first { (a, b) } else { (b, a) });
        }
        if has_way_round(2 * self.nodes.len(), &last) {
            Err(Violation::WayRound(self.show(map)))
        } else {
            Ok(())
        }
    }

    /// The state in words.
    pub(super) fn show(&self, map: &Map) -> String {
        let mut text = String::new();
        for link in 0..map.link_count() {
            let [(a, at_a), (b, at_b)] = map.ends(link);
            let slot = |node: u32, port: u16| {
                let slots = self.nodes[node as usize].forwarder().slots();
                let known = slots.iter().skip(2 * usize::from(port)).take(2).filter(|slot| !slot.is_none());
                known.copied().collect::<Vec<_>>()
            };
            let (name_a, name_b) = (map.name(a as usize), map.name(b as usize));
            let cut = if self.cut[link] { " cut" } else { "" };
            let _ = write!(text, "{name_a} {:?} — {:?} {name_b}{cut}", slot(a, at_a), slot(b, at_b));
            for (number, arrow) in [(2 * link, '→'), (2 * link + 1, '←')] {
                for frame in &self.channels[number] {
                    let _ = match frame {
                        Frame::Data(header) => {
                            write!(text, " {arrow}{}{}", u8::from(header.seq), phase_name(header.phase))
                        }
                        Frame::Control(message) => write!(text, " {arrow}{message:?}"),
                    };
                }
            }
            text.push('\n');
        }
        text
    }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Plain => "",
        Phase::Patient(_) => " patient",
        Phase::Scout(_) => " scout",
        Phase::Ghost => " ghost",
    }
}

/// The end that a port is; the channel that begins there has its number.
fn end_of(map: &Map, node: usize, port: u16) -> usize {
    let link = usize::from(map.ports(node)[usize::from(port)].link);
    2 * link + usize::from(map.ends(link)[0] != (node as u32, port))
}

/// A message in two bytes, of which the first is none of a header's.
fn code(message: Message) -> [u8; 2] {
    let (kind, value) = match message {
        Message::Lock => (0, 0),
        Message::Locked => (1, 0),
        Message::Create { vnode } => (2, u8::from(vnode)),
        Message::Created => (3, 0),
        Message::Switch { vnode } => (4, u8::from(vnode)),
        Message::Switched => (5, 0),
        Message::Abort { vnode } => (6, u8::from(vnode)),
        Message::Aborted => (7, 0),
        Message::Unlock => (8, 0),
        Message::Heartbeat { round, seq, vnode } => {
            (9, (round as u8) << 2 | u8::from(seq) << 1 | u8::from(vnode))
        }
    };
    [0xf0 | kind, value]
}

/// Takes away nodes that nothing leads to; what cannot be taken away is on a way round, or behind one.
fn has_way_round(nodes: usize, arcs: &[(u32, u32)]) -> bool {
    let (mut into, mut leads) = (vec![0; nodes], vec![Vec::new(); nodes]);
    for (from, to) in arcs {
        into[*to as usize] += 1;
        leads[*from as usize].push(*to as usize);
    }
    let mut ready: Vec<usize> = (0..nodes).filter(|node| into[*node] == 0).collect();
    let mut taken = 0;
    while let Some(node) = ready.pop() {
        taken += 1;
        for to in &leads[node] {
            into[*to] -= 1;
            if into[*to] == 0 {
                ready.push(*to);
            }
        }
    }
    taken < nodes
}

#[cfg(test)]
mod tests {
    use super::has_way_round;

    #[test]
    fn ways_round_are_seen() {
        assert!(!has_way_round(3, &[(0, 1), (0, 2), (1, 2)]));
        assert!(has_way_round(4, &[(3, 0), (0, 1), (1, 2), (2, 0)]));
    }
}
