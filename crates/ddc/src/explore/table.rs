//! What single nodes do, learnt once: every state of a node that was seen has a number, and so has every frame. What an input
//! makes of a state is asked of the real [`Router`] the first time, and read from the table from then on.

use std::ops::Range;

use hashbrown::HashMap;

use super::Limits;
use crate::forwarder::{Cause, Decision};
use crate::guide::Guide;
use crate::header::{Header, Phase};
use crate::map::Map;
use crate::plan::Plan;
use crate::router::{Message, Router};
use crate::slot::Slot;

type Numbers<K, V = u32> = HashMap<K, V, foldhash::fast::FixedState>;

/// What is on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Frame {
    Data(Header),
    Control(Message),
}

impl Frame {
    pub(super) fn is_data(self) -> bool {
        matches!(self, Self::Data(_))
    }
}

/// What a node meets with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Input {
    /// A packet starts.
    Start,
    /// A frame, by its number, comes over a port.
    Arrive(u16, u16),
    Down(u16),
    Up(u16),
    Aeo,
    /// Not an event: the state that differs in how often this end has reversed the link, modulo 2.
    Reversed(u16),
    /// Not an event: the state that differs in how often this end knows the other to have reversed the link, modulo 2.
    Heard(u16),
}

/// What becomes of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effect {
    /// The number of its new state.
    pub(super) to: u32,
    /// Did it reverse links?
    pub(super) reversed: bool,
    /// Why the packet is gone, where it is.
    pub(super) dropped: Option<Cause>,
    sent: (u32, u32),
}

/// The table.
#[derive(Debug)]
pub(super) struct Table<'m> {
    limits: Limits,
    guide: Guide<'m>,
    routers: Vec<Router>,
    numbers: Numbers<Router>,
    frames: Vec<Frame>,
    frame_numbers: Numbers<Frame, u16>,
    known: Numbers<(u32, Input), (u32, u32)>,
    effects: Vec<Effect>,
    /// Port and frame of all that was ever sent.
    sent: Vec<(u16, u16)>,
}

impl<'m> Table<'m> {
    pub(super) fn new(map: &'m Map, plan: &Plan, limits: &Limits) -> Self {
        Self {
            limits: *limits,
            guide: Guide::new(map, plan.destination),
            routers: Vec::new(),
            numbers: Numbers::default(),
            frames: Vec::new(),
            frame_numbers: Numbers::default(),
            known: Numbers::default(),
            effects: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// The number of a node's state.
    pub(super) fn number(&mut self, router: &Router) -> u32 {
        if let Some(number) = self.numbers.get(router) {
            return *number;
        }
        let number = self.routers.len() as u32;
        self.routers.push(router.clone());
        self.numbers.insert(router.clone(), number);
        number
    }

    /// The state of a number.
    pub(super) fn router(&self, number: u32) -> &Router {
        &self.routers[number as usize]
    }

    /// Both virtual ends of a port.
    pub(super) fn slots(&self, number: u32, port: u16) -> [Slot; 2] {
        let slots = self.router(number).forwarder().slots();
        let place = 2 * usize::from(port);
        [slots[place], slots[place + 1]]
    }

    /// The number of a frame.
    pub(super) fn frame_number(&mut self, frame: Frame) -> u16 {
        if let Some(number) = self.frame_numbers.get(&frame) {
            return *number;
        }
        // There are some hundreds at most: messages, and headers with the failed links of a small network.
        let number = self.frames.len() as u16;
        self.frames.push(frame);
        self.frame_numbers.insert(frame, number);
        number
    }

    /// The frame of a number.
    pub(super) fn frame(&self, number: u16) -> Frame {
        self.frames[usize::from(number)]
    }

    /// The number of the same frame with the other bit; what has no bit stays as it is.
    pub(super) fn flipped(&mut self, number: u16) -> u16 {
        match self.frame(number) {
            Frame::Data(header) if !matches!(header.phase, Phase::Scout(_)) => {
                self.frame_number(Frame::Data(Header { seq: !header.seq, ..header }))
            }
            Frame::Data(_) | Frame::Control(_) => number,
        }
    }

    /// What an input makes of a state: one effect, or several where any link may be taken.
    pub(super) fn step(&mut self, number: u32, input: Input) -> Range<u32> {
        if let Some((begin, end)) = self.known.get(&(number, input)) {
            return *begin..*end;
        }
        let begin = self.effects.len() as u32;
        let is_packet = match input {
            Input::Start => true,
            Input::Arrive(_, frame) => self.frame(frame).is_data(),
            _ => false,
        };
        let ports = self.router(number).forwarder().order().len();
        let orders = if is_packet && self.limits.any { ports.max(1) } else { 1 };
        for first in 0..orders {
            let mut router = self.router(number).clone();
            let order: Box<[u16]> = router.forwarder().order().into();
            if orders > 1 {
                let mut other = order.clone();
                other[..=first].rotate_right(1);
                router.set_order(&other);
            }
            let (effect, sent) = self.ask(&mut router, input);
            router.set_order(&order);
            let to = self.number(&router);
            let found = (begin as usize..self.effects.len()).any(|other| {
                Effect { to, sent: self.effects[other].sent, ..effect } == self.effects[other]
                    && self.sent(self.effects[other]) == sent
            });
            if !found {
                let from = self.sent.len() as u32;
                self.sent.extend(sent);
                self.effects.push(Effect { to, sent: (from, self.sent.len() as u32), ..effect });
            }
        }
        let end = self.effects.len() as u32;
        self.known.insert((number, input), (begin, end));
        begin..end
    }

    fn ask(&mut self, router: &mut Router, input: Input) -> (Effect, Vec<(u16, u16)>) {
        let mut effect = Effect { to: 0, reversed: false, dropped: None, sent: (0, 0) };
        let mut frames = Vec::new();
        let packet = match input {
            Input::Start => Some((None, Header::new(self.limits.phase))),
            Input::Arrive(port, frame) => match self.frame(frame) {
                Frame::Data(header) => Some((Some(port), header)),
                Frame::Control(message) => {
                    router.handle(port, message);
                    None
                }
            },
            Input::Down(port) => {
                router.link_down(port);
                None
            }
            Input::Up(port) => {
                router.link_up(port);
                None
            }
            Input::Aeo => {
                router.begin_aeo();
                None
            }
            Input::Reversed(port) => {
                router.slots_mut()[2 * usize::from(port)].toggle_lseq();
                None
            }
            Input::Heard(port) => {
                router.slots_mut()[2 * usize::from(port)].toggle_rseq();
                None
            }
        };
        if let Some((arrival, header)) = packet {
            let outcome = router.receive_by(self.limits.test, arrival, header, &mut self.guide);
            effect.reversed = outcome.reversed > 0;
            let mut forwards = [None, outcome.ghost];
            match outcome.decision {
                Decision::Deliver => {}
                Decision::Drop(cause) => effect.dropped = Some(cause),
                Decision::Forward(forward) => forwards[0] = Some(forward),
            }
            frames.extend(forwards.into_iter().flatten().map(|to| (to.port, Frame::Data(to.header))));
        }
        while let Some((port, message)) = router.poll_output() {
            frames.push((port, Frame::Control(message)));
        }
        let sent = frames.into_iter().map(|(port, frame)| (port, self.frame_number(frame))).collect();
        (effect, sent)
    }

    /// An effect of [`Table::step`].
    pub(super) fn effect(&self, place: u32) -> Effect {
        self.effects[place as usize]
    }

    /// What the node sends, in order: ports and numbers of frames.
    pub(super) fn sent(&self, effect: Effect) -> &[(u16, u16)] {
        &self.sent[effect.sent.0 as usize..effect.sent.1 as usize]
    }

    /// Does to a node what is no input; gives its new number, and what it says.
    pub(super) fn edit(&mut self, number: u32, change: impl FnOnce(&mut Router)) -> (u32, Vec<(u16, u16)>) {
        let mut router = self.router(number).clone();
        change(&mut router);
        let mut sent = Vec::new();
        while let Some((port, message)) = router.poll_output() {
            sent.push((port, self.frame_number(Frame::Control(message))));
        }
        (self.number(&router), sent)
    }
}
