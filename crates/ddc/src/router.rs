//! A forwarder and the control that keeps its graph short: heartbeats from the destination, and AEO (all edges outward), by
//! which a node becomes a source without a moment in which the graph has a way round.
//!
//! ```text
//!  v                     every neighbour u, in the order of numbers      the graph
//!    ── Lock ──▶  one after the other                  ◀── Locked ──     no other AEO touches v, u or a link of v
//!    ── Create ▶  u has an end that leads in           ◀─ Created ──     v′: nothing leads to it
//!    ── Switch ▶  u lets go of its end of the old v    ◀ Switched ──     v′ is v; what comes to the old v goes back, behind the Switch
//!    ── Unlock ▶
//! ```
//!
//! From one moment to the next the links of v′ are those of v, so that at no time two orientations of one link count. A packet that
//! comes to an end of the old v is from a neighbour that has not heard of it: it goes back over the link's new end, which leads
//! out, behind the message; where that neighbour has reversed the new end, too, it came as if over that one. (Were the old v to
//! forward it, as a node of its own, packets could go round for as long as a `Switch` and a `Switched` are under way.) If data
//! comes to v′ before it is complete, a neighbour has reversed its link to it, and v′ is no source any more: it is given up
//! (`Abort`), and v tries again with the next heartbeat; what comes to it from then on goes back just so.
//!
//! Messages must come in order with the data of their link and must not be lost while the link lives: the transport repeats
//! them. Links must be agreed on: an end may say that a link lives again only after the other end has said that it failed, as
//! BFD does (RFC 5880).

use std::collections::VecDeque;

use crate::forwarder::{BounceTest, Forwarder, Outcome};
use crate::guide::Guide;
use crate::header::Header;
use crate::map::Map;
use crate::plan::Plan;
use crate::slot::Slot;

/// What neighbours say to each other, of one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// Take part in no other AEO until I unlock you.
    Lock,
    /// You have my lock.
    Locked,
    /// I have a new virtual node; this is which of the two ends of our link is its.
    Create {
        /// Which.
        vnode: bool,
    },
    /// I have an end of it.
    Created,
    /// It is complete: it is I.
    Switch {
        /// Which end is its.
        vnode: bool,
    },
    /// I have let go of what you were.
    Switched,
    /// It will not be.
    Abort {
        /// Which end was its.
        vnode: bool,
    },
    /// I have let go of it.
    Aborted,
    /// You may lend your lock to others.
    Unlock,
    /// From the destination, passed on in the order of distance. Like data, it says whether its sender has reversed the link:
    /// otherwise a node could take a link for one that leads out, and leave it.
    Heartbeat {
        /// Which, counted from 1.
        round: u32,
        /// How often the sender has reversed this virtual end of the link, modulo 2.
        seq: bool,
        /// Which virtual end.
        vnode: bool,
    },
}

/// Who takes part in an AEO, or waits for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Member {
    Own,
    Port(u16),
}

/// Who has the lock: a node, over one or more of its links.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    Own,
    Ports(Vec<u16>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Stage {
    /// The lock of `members[got]` is asked for.
    Locking {
        got: usize,
    },
    Creating,
    Switching,
    Aborting,
}

/// An AEO under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Aeo {
    stage: Stage,
    /// Itself and the live ports, by the number of the node there.
    members: Vec<Member>,
    /// Which virtual end each port has, and whether its answer is missing.
    ends: Vec<(u16, bool, bool)>,
}

/// One node, one destination: forwarder and control. Data goes through [`Router::receive`], what neighbours say through
/// [`Router::handle`]; what is to be said comes out of [`Router::poll_output`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Router {
    forwarder: Forwarder,
    /// By port: the node there, and whether it is nearer to the destination.
    neighbours: Vec<(u32, bool)>,
    live: Vec<bool>,
    holder: Option<Holder>,
    waiting: VecDeque<Member>,
    aeo: Option<Aeo>,
    round: u32,
    /// By port: the last heartbeat heard.
    heard: Vec<u32>,
    outputs: VecDeque<(u16, Message)>,
}

impl Router {
    /// The state that a plan begins with; all links live.
    pub fn new(map: &Map, plan: &Plan, node: usize) -> Self {
        let count = map.ports(node).len();
        let mut router = Self {
            forwarder: Forwarder::new(map, plan, node),
            neighbours: Vec::new(),
            live: vec![true; count],
            holder: None,
            waiting: VecDeque::new(),
            aeo: None,
            round: 0,
            heard: vec![0; count],
            outputs: VecDeque::new(),
        };
        router.replan(map, plan);
        router
    }

    /// The control plane has a new map: distances and priorities change, the graph does not until the next heartbeat.
    pub fn replan(&mut self, map: &Map, plan: &Plan) {
        let node = self.forwarder.node();
        let at = |port: &crate::map::Port| (port.node, plan.leads(node, port.node as usize));
        self.neighbours = map.ports(node).iter().map(at).collect();
        self.forwarder.set_order(plan.order(node));
    }

    /// The forwarding state.
    pub fn forwarder(&self) -> &Forwarder {
        &self.forwarder
    }

    /// Is a port's link alive, as far as this end knows?
    pub fn is_live(&self, port: u16) -> bool {
        self.live[usize::from(port)]
    }

    /// Is no AEO of this node under way, and its lock free?
    pub fn is_idle(&self) -> bool {
        self.aeo.is_none() && self.holder.is_none()
    }

    /// Takes a packet that came over a port, or that starts here.
    pub fn receive(&mut self, arrival: Option<u16>, header: Header, guide: &mut Guide<'_>) -> Outcome {
        self.receive_by(BounceTest::Equal, arrival, header, guide)
    }

    pub(crate) fn receive_by(
        &mut self,
        test: BounceTest,
        arrival: Option<u16>,
        header: Header,
        guide: &mut Guide<'_>,
    ) -> Outcome {
        let Self { forwarder, live, .. } = self;
        let outcome = forwarder.receive_by(test, arrival, header, |port| live[usize::from(port)], guide);
        if outcome.early {
            self.abort();
        }
        outcome
    }

    /// The last heartbeat that it acted upon.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// What the explorer changes where it renames nodes.
    pub(crate) fn slots_mut(&mut self) -> &mut [Slot] {
        self.forwarder.slots_mut()
    }

    /// The same.
    pub(crate) fn set_live(&mut self, port: u16, live: bool) {
        self.live[usize::from(port)] = live;
    }

    /// The order in which links are tried.
    pub(crate) fn set_order(&mut self, order: &[u16]) {
        self.forwarder.set_order(order);
    }

    /// What is to be said next, and by which port.
    pub fn poll_output(&mut self) -> Option<(u16, Message)> {
        self.outputs.pop_front()
    }

    /// At the destination, when it starts again: the heartbeats that it began before had lower numbers than this.
    pub fn resume(&mut self, round: u32) {
        if self.forwarder.is_destination() {
            self.round = round;
        }
    }

    /// At the destination: begins the next heartbeat.
    pub fn beat(&mut self) {
        if self.forwarder.is_destination() {
            self.round = self.round.wrapping_add(1);
            self.pass_on();
        }
    }

    /// The link of a port has failed.
    pub fn link_down(&mut self, port: u16) {
        self.live[usize::from(port)] = false;
        self.forwarder.forget(port);
        self.waiting.retain(|waiting| *waiting != Member::Port(port));
        self.unlock(port);
        if let Some(aeo) = &mut self.aeo {
            let place = aeo.members.iter().position(|member| *member == Member::Port(port));
            aeo.ends.retain(|(end, ..)| *end != port);
            if let Some(place) = place {
                aeo.members.remove(place);
                if let Stage::Locking { got } = &mut aeo.stage {
                    // The answer of the one that was asked will not come; ask the next in its place.
                    let asked = *got == place;
                    *got -= usize::from(*got > place);
                    if asked {
                        self.ask();
                    }
                }
            }
            self.advance();
        }
        self.look_at_heartbeats();
    }

    /// The link of a port is back. It is not used before the next AEO of one of its ends.
    pub fn link_up(&mut self, port: u16) {
        self.forwarder.forget(port);
        self.live[usize::from(port)] = true;
        self.heard[usize::from(port)] = 0;
        // Its locks would leave this neighbour out, whose own AEO may bring the link into the graph in the meantime.
        if let Some(Aeo { stage: Stage::Locking { got }, members, .. }) = &self.aeo {
            let locked: Vec<Member> = members[..*got].to_vec();
            self.aeo = None;
            self.waiting.retain(|waiting| *waiting != Member::Own);
            self.give_back(locked);
            self.begin_aeo();
        }
    }

    fn give_back(&mut self, members: Vec<Member>) {
        for member in members {
            match member {
                Member::Own => self.release(),
                Member::Port(port) => self.outputs.push_back((port, Message::Unlock)),
            }
        }
    }

    /// Makes all links lead out. Nothing happens where an AEO is under way.
    pub fn begin_aeo(&mut self) {
        if self.aeo.is_some() || self.forwarder.is_destination() {
            return;
        }
        let number = |member: &Member| match member {
            Member::Own => self.forwarder.node() as u32,
            Member::Port(port) => self.neighbours[usize::from(*port)].0,
        };
        let ports = (0..self.live.len() as u16).filter(|port| self.is_live(*port)).map(Member::Port);
        let mut members: Vec<Member> = ports.chain([Member::Own]).collect();
        members.sort_by_key(number);
        self.aeo = Some(Aeo { stage: Stage::Locking { got: 0 }, members, ends: Vec::new() });
        self.ask();
    }

    /// Asks for the lock that is next, or goes on where all are there.
    fn ask(&mut self) {
        let Some(Aeo { stage: Stage::Locking { got }, members, .. }) = &self.aeo else { return };
        match members.get(*got) {
            Some(Member::Port(port)) => self.outputs.push_back((*port, Message::Lock)),
            Some(Member::Own) => {
                self.waiting.push_back(Member::Own);
                self.lend();
            }
            None => {
                let port = |member: &Member| match member {
                    Member::Own => None,
                    Member::Port(port) => Some(*port),
                };
                let ports: Vec<u16> = members.iter().filter_map(port).collect();
                let ends = ports.into_iter().map(|port| (port, self.forwarder.prepare(port), true)).collect();
                self.tell_all(Stage::Creating, ends, |vnode| Message::Create { vnode });
            }
        }
    }

    fn got_lock(&mut self) {
        if let Some(Aeo { stage: Stage::Locking { got }, .. }) = &mut self.aeo {
            *got += 1;
            self.ask();
        }
    }

    /// Begins a stage: tells all, and waits for all to answer.
    fn tell_all(&mut self, stage: Stage, ends: Vec<(u16, bool, bool)>, message: impl Fn(bool) -> Message) {
        self.outputs.extend(ends.iter().map(|(port, vnode, _)| (*port, message(*vnode))));
        if let Some(aeo) = &mut self.aeo {
            aeo.stage = stage;
            aeo.ends = ends.into_iter().map(|(port, vnode, _)| (port, vnode, true)).collect();
        }
        self.advance();
    }

    fn answered(&mut self, port: u16) {
        if let Some(aeo) = &mut self.aeo {
            for end in aeo.ends.iter_mut().filter(|(end, ..)| *end == port) {
                end.2 = false;
            }
        }
        self.advance();
    }

    /// Goes to the next stage where all have answered.
    fn advance(&mut self) {
        let Some(aeo) = &self.aeo else { return };
        if matches!(aeo.stage, Stage::Locking { .. }) || aeo.ends.iter().any(|(_, _, missing)| *missing) {
            return;
        }
        let (stage, ends) = (aeo.stage.clone(), aeo.ends.clone());
        if stage == Stage::Creating {
            self.forwarder.promote();
            self.tell_all(Stage::Switching, ends, |vnode| Message::Switch { vnode });
            return;
        }
        let Some(aeo) = self.aeo.take() else { return };
        self.give_back(aeo.members);
        if stage == Stage::Switching {
            self.pass_on();
        }
    }

    fn abort(&mut self) {
        if let Some(Aeo { stage: Stage::Creating, ends, .. }) = &self.aeo {
            let ends = ends.clone();
            self.forwarder.abandon();
            self.tell_all(Stage::Aborting, ends, |vnode| Message::Abort { vnode });
        }
    }

    /// Lends the lock to the first that waits.
    fn lend(&mut self) {
        if self.holder.is_some() {
            return;
        }
        match self.waiting.pop_front() {
            Some(Member::Port(port)) => {
                self.holder = Some(Holder::Ports(vec![port]));
                self.outputs.push_back((port, Message::Locked));
            }
            Some(Member::Own) => {
                self.holder = Some(Holder::Own);
                self.got_lock();
            }
            None => {}
        }
    }

    /// A port gives its lock back, or cannot keep it.
    fn unlock(&mut self, port: u16) {
        if let Some(Holder::Ports(ports)) = &mut self.holder
            && ports.contains(&port)
        {
            ports.retain(|other| *other != port);
            if ports.is_empty() {
                self.release();
            }
        }
    }

    fn release(&mut self) {
        self.holder = None;
        self.lend();
    }

    /// Takes what a neighbour said. What does not fit the state is ignored.
    pub fn handle(&mut self, port: u16, message: Message) {
        let Some(true) = self.live.get(usize::from(port)).copied() else { return };
        let from = self.neighbours[usize::from(port)].0;
        let lent_to: &[u16] = match &self.holder {
            Some(Holder::Ports(ports)) => ports,
            _ => &[],
        };
        let lent = lent_to.contains(&port);
        let lent_to_node = lent_to.iter().any(|other| self.neighbours[usize::from(*other)].0 == from);
        let stage = self.aeo.as_ref().map(|aeo| aeo.stage.clone());
        match message {
            Message::Lock if lent_to_node && !lent => {
                if let Some(Holder::Ports(ports)) = &mut self.holder {
                    ports.push(port);
                }
                self.outputs.push_back((port, Message::Locked));
            }
            Message::Lock if !lent && !self.waiting.contains(&Member::Port(port)) => {
                self.waiting.push_back(Member::Port(port));
                self.lend();
            }
            Message::Locked => {
                if let Some(Aeo { stage: Stage::Locking { got }, members, .. }) = &self.aeo
                    && members.get(*got) == Some(&Member::Port(port))
                {
                    self.got_lock();
                } else {
                    self.outputs.push_back((port, Message::Unlock)); // asked for before a new beginning
                }
            }
            Message::Create { vnode } if lent => {
                self.forwarder.admit(port, vnode);
                self.outputs.push_back((port, Message::Created));
            }
            Message::Switch { vnode } if lent => {
                self.forwarder.retire(port, !vnode);
                self.outputs.push_back((port, Message::Switched));
            }
            Message::Abort { vnode } if lent => {
                self.forwarder.retire(port, vnode);
                self.outputs.push_back((port, Message::Aborted));
            }
            Message::Created if stage == Some(Stage::Creating) => self.answered(port),
            Message::Switched if stage == Some(Stage::Switching) => {
                self.forwarder.let_go(port);
                self.answered(port);
            }
            Message::Aborted if stage == Some(Stage::Aborting) => {
                self.forwarder.let_go(port);
                self.answered(port);
            }
            Message::Unlock => self.unlock(port),
            Message::Heartbeat { round, seq, vnode } => {
                self.forwarder.hear(port, vnode, seq);
                self.heard[usize::from(port)] = round;
                self.look_at_heartbeats();
            }
            _ => {}
        }
    }

    /// Acts once the heartbeat came from all live neighbours that are nearer.
    fn look_at_heartbeats(&mut self) {
        let nearer: Vec<u16> = (0..self.live.len() as u16)
            .filter(|port| self.is_live(*port) && self.neighbours[usize::from(*port)].1)
            .collect();
        let Some(round) = nearer.iter().map(|port| self.heard[usize::from(*port)]).min() else { return };
        if round <= self.round || self.forwarder.is_destination() {
            return;
        }
        self.round = round;
        if nearer.iter().all(|port| self.forwarder.leads_out(*port)) {
            self.pass_on();
        } else {
            self.begin_aeo();
        }
    }

    fn pass_on(&mut self) {
        let round = self.round;
        if round == 0 {
            return; // an AEO before the first heartbeat
        }
        let farther = (0..self.live.len() as u16).filter(|port| !self.neighbours[usize::from(*port)].1);
        let ports: Vec<u16> = farther.filter(|port| self.is_live(*port)).collect();
        for port in ports {
            if let Some((vnode, seq)) = self.forwarder.says(port) {
                self.outputs.push_back((port, Message::Heartbeat { round, seq, vnode }));
            }
        }
    }
}
