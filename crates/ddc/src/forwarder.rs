//! The forwarding state machine: one node, one destination.

use crate::guide::Guide;
use crate::header::{Header, Phase, Scout};
use crate::map::Map;
use crate::plan::Plan;
use crate::slot::Slot;

/// The hops that a scout is given.
pub const SCOUT_HOPS: u8 = u8::MAX;

/// Why a packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// No link of the node is alive.
    Isolated,
    /// It came over a link that leads in with a bit that the neighbour cannot have sent: the link does not keep order.
    OutOfOrder,
    /// It came over a link, or a virtual end of one, that the destination's graph does not have.
    UnknownLink,
}

/// How a packet leaves a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Forward {
    /// By which port.
    pub port: u16,
    /// What it carries.
    pub header: Header,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It is at its destination. A ghost is thrown away there.
    Deliver,
    /// It leaves.
    Forward(Forward),
    /// It is gone.
    Drop(Cause),
}

/// What a packet did to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What becomes of it.
    pub decision: Decision,
    /// Where the packet became a scout: a packet without contents to be sent as well, which goes on as it would have gone.
    pub ghost: Option<Forward>,
    /// The links that were reversed. State was written only where this is not 0 or `heard` is set.
    pub reversed: u32,
    /// It told the node that a neighbour had reversed the link.
    pub heard: bool,
    /// It goes back, because the neighbour does not know that this node reversed the link.
    pub bounced: bool,
    /// Data came to a virtual node that is not complete: its making must be given up.
    pub early: bool,
}

/// Which test says that a packet must go back. The misprint of the paper is kept so that the checker can be checked.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BounceTest {
    #[default]
    Equal,
    Misprinted,
}

/// One node's state for one destination: two bytes a link, and the order in which links are tried.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Forwarder {
    node: u32,
    is_destination: bool,
    /// Both virtual ends of port p at 2p and 2p + 1.
    slots: Box<[Slot]>,
    order: Box<[u16]>,
}

impl Forwarder {
    /// The state that a plan begins with.
    pub fn new(map: &Map, plan: &Plan, node: usize) -> Self {
        let slots = map.ports(node).iter().flat_map(|port| {
            let initial = Slot::initial(plan.leads(node, port.node as usize));
            [if plan.reaches(node) { initial } else { Slot::default() }, Slot::default()]
        });
        Self {
            node: node as u32,
            is_destination: node == plan.destination,
            slots: slots.collect(),
            order: plan.order(node).into(),
        }
    }

    /// Which node it is.
    pub fn node(&self) -> usize {
        self.node as usize
    }

    /// Is it the destination's own?
    pub fn is_destination(&self) -> bool {
        self.is_destination
    }

    /// Both virtual ends of every port.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// Takes a packet that came over a port, or that starts here. `live` says which ports are alive.
    pub fn receive(
        &mut self,
        arrival: Option<u16>,
        header: Header,
        live: impl Fn(u16) -> bool + Copy,
        guide: &mut Guide<'_>,
    ) -> Outcome {
        self.receive_by(BounceTest::Equal, arrival, header, live, guide)
    }

    #[doc(hidden)]
    pub fn receive_by(
        &mut self,
        test: BounceTest,
        mut arrival: Option<u16>,
        mut header: Header,
        live: impl Fn(u16) -> bool + Copy,
        guide: &mut Guide<'_>,
    ) -> Outcome {
        let mut outcome = Outcome {
            decision: Decision::Deliver,
            ghost: None,
            reversed: 0,
            heard: false,
            bounced: false,
            early: false,
        };
        let mut back = None;
        if let Phase::Scout(mut scout) = header.phase {
            if self.is_destination {
                return outcome;
            }
            if let Some(port) = guide.next(self.node(), &mut scout, live) {
                let forward = Forward { port, header: Header::new(Phase::Scout(scout)) };
                outcome.decision = Decision::Forward(forward);
                return outcome;
            }
            // It goes on as if it started here.
            header = Header::new(Phase::Plain);
            arrival = None;
        } else if let Some(port) = arrival {
            match self.arrive(test, port, header, &mut outcome) {
                Ok(way) => back = way.filter(|(port, _)| live(*port)),
                Err(cause) => {
                    outcome.decision = Decision::Drop(cause);
                    return outcome;
                }
            }
        }
        if self.is_destination {
            return outcome;
        }
        self.depart(live, &mut outcome);
        outcome.bounced = back.is_some();
        let way = back.or_else(|| self.way_out(arrival, live));
        let along = |phase| {
            way.map(|(port, vnode)| {
                let seq = self.slots[place(port, vnode)].lseq();
                Forward { port, header: Header { seq, vnode, phase } }
            })
        };
        if let Phase::Patient(patience) = header.phase {
            match patience.checked_sub(1).filter(|_| outcome.reversed == 0) {
                Some(patience) => header.phase = Phase::Patient(patience),
                None => {
                    let mut scout = Scout::new(SCOUT_HOPS);
                    if let Some(port) = guide.next(self.node(), &mut scout, live) {
                        let forward = Forward { port, header: Header::new(Phase::Scout(scout)) };
                        outcome.decision = Decision::Forward(forward);
                        outcome.ghost = along(Phase::Ghost);
                        return outcome;
                    }
                    header.phase = Phase::Plain;
                }
            }
        }
        outcome.decision = along(header.phase).map_or(Decision::Drop(Cause::Isolated), Decision::Forward);
        outcome
    }

    /// What a packet says of the link it came over. Gives the way where it must go back.
    fn arrive(
        &mut self,
        test: BounceTest,
        port: u16,
        header: Header,
        outcome: &mut Outcome,
    ) -> Result<Option<(u16, bool)>, Cause> {
        let slot = self.slots.get_mut(place(port, header.vnode)).ok_or(Cause::UnknownLink)?;
        if slot.is_next() || slot.is_draining() {
            outcome.early = slot.is_next();
            // The neighbour has not heard of it: it may go back over the end that counts, behind the message that says so.
            return Ok(self.out_end(port));
        }
        if slot.is_none() {
            return Err(Cause::UnknownLink);
        }
        let known = header.seq == slot.rseq();
        if !slot.is_out() {
            return if known { Ok(None) } else { Err(Cause::OutOfOrder) };
        }
        if !known {
            slot.hear();
            outcome.heard = true;
        }
        let stale = match test {
            BounceTest::Equal => known,
            BounceTest::Misprinted => !known,
        };
        Ok(stale.then_some((port, header.vnode)))
    }

    /// Makes sure that a live link leads out.
    fn depart(&mut self, live: impl Fn(u16) -> bool, outcome: &mut Outcome) {
        let alive = |place: usize, slot: &Slot| slot.is_used() && live((place / 2) as u16);
        if self.slots.iter().enumerate().any(|(place, slot)| slot.is_out() && alive(place, slot)) {
            return;
        }
        let listed = |place: usize, slot: &Slot| slot.is_to_reverse() && alive(place, slot);
        let any_listed = self.slots.iter().enumerate().any(|(place, slot)| listed(place, slot));
        for (place, slot) in self.slots.iter_mut().enumerate() {
            if alive(place, slot) && (slot.is_to_reverse() || !any_listed) {
                slot.reverse();
                outcome.reversed += 1;
            }
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.is_used() && outcome.reversed > 0) {
            slot.remember();
        }
    }

    /// The first live link in the order of priority that leads out; the one that the packet came over only if it is the only one.
    fn way_out(&self, arrival: Option<u16>, live: impl Fn(u16) -> bool) -> Option<(u16, bool)> {
        let mut back = None;
        let ports = self.order.iter().copied().filter(|port| live(*port));
        for way in ports.filter_map(|port| self.out_end(port)) {
            if Some(way.0) != arrival {
                return Some(way);
            }
            back = Some(way);
        }
        back
    }
}

/// What virtual nodes need; [`crate::Router`] says when.
impl Forwarder {
    /// The first virtual end of a port's link that is part of the graph and for which `wanted` holds.
    fn used(&self, port: u16, wanted: impl Fn(Slot) -> bool) -> Option<bool> {
        let used = |vnode: &bool| {
            let slot = self.slots[place(port, *vnode)];
            slot.is_used() && wanted(slot)
        };
        [false, true].into_iter().find(used)
    }

    /// The end of a port's link that leads out.
    fn out_end(&self, port: u16) -> Option<(u16, bool)> {
        self.used(port, Slot::is_out).map(|vnode| (port, vnode))
    }

    /// May this port be tried, and does it lead out?
    pub fn leads_out(&self, port: u16) -> bool {
        self.out_end(port).is_some()
    }

    /// May this port be tried, once it is reversed if need be?
    pub fn is_in_graph(&self, port: u16) -> bool {
        self.used(port, |_| true).is_some()
    }

    /// The ports, the first to try in front.
    pub fn order(&self) -> &[u16] {
        &self.order
    }

    /// A virtual end of a port's link, and what packets say over it; the first end where there is none.
    pub(crate) fn says(&self, port: u16) -> Option<(bool, bool)> {
        let vnode = self.used(port, |_| true).unwrap_or_default();
        Some((vnode, self.slots.get(place(port, vnode))?.lseq()))
    }

    /// What is said over a virtual end of a port's link, by other than packets.
    pub(crate) fn hear(&mut self, port: u16, vnode: bool, seq: bool) {
        let slot = &mut self.slots[place(port, vnode)];
        if slot.is_used() && slot.is_out() && slot.rseq() != seq {
            slot.hear();
        }
    }

    /// Makes the end of this port's link of the next virtual node; says which of the two it is.
    pub(crate) fn prepare(&mut self, port: u16) -> bool {
        let free = |vnode: &bool| {
            let slot = self.slots[place(port, *vnode)];
            !slot.is_used() && !slot.is_next()
        };
        let vnode = [false, true].into_iter().find(free).unwrap_or_default();
        self.slots[place(port, vnode)] = Slot::of_next();
        vnode
    }

    /// A neighbour has a new virtual node.
    pub(crate) fn admit(&mut self, port: u16, vnode: bool) {
        self.slots[place(port, vnode)] = Slot::admitted();
    }

    /// The next virtual node is this node now.
    pub(crate) fn promote(&mut self) {
        self.slots.iter_mut().for_each(Slot::promote);
    }

    /// The next virtual node will not be.
    pub(crate) fn abandon(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.is_next()) {
            *slot = Slot::draining();
        }
    }

    /// A neighbour's virtual node is no more.
    pub(crate) fn retire(&mut self, port: u16, vnode: bool) {
        self.slots[place(port, vnode)] = Slot::draining();
    }

    /// A neighbour has let go of this node's old virtual node, or of the one that was given up.
    pub(crate) fn let_go(&mut self, port: u16) {
        for vnode in [false, true] {
            let slot = &mut self.slots[place(port, vnode)];
            if slot.is_draining() {
                *slot = Slot::default();
            }
        }
    }

    /// The link has failed: when it comes back, nothing is known of it.
    pub(crate) fn forget(&mut self, port: u16) {
        self.slots[place(port, false)] = Slot::default();
        self.slots[place(port, true)] = Slot::default();
    }

    /// The order in which links are tried from now on.
    pub(crate) fn set_order(&mut self, order: &[u16]) {
        self.order = order.into();
    }
}

fn place(port: u16, vnode: bool) -> usize {
    usize::from(port) * 2 + usize::from(vnode)
}
