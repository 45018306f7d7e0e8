//! One destination, as a router sees it.

use std::sync::Arc;

use super::report::{DestinationReport, Direction, Way};
use crate::forwarder::{Decision, Outcome};
use crate::guide::Guide;
use crate::header::{Header, Phase};
use crate::map::{FAR, Map};
use crate::plan::{Plan, Priority};
use crate::router::Router;

/// What a router knows of one destination, and what it did for it.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) router: Router,
    pub(super) guide: Guide<'static>,
    pub(super) distance: u32,
    pub(super) started: u64,
    pub(super) forwarded: u64,
    pub(super) delivered: u64,
    pub(super) reversals: u64,
    pub(super) bounced: u64,
    pub(super) scouts: u64,
    pub(super) ghosts: u64,
}

impl Destination {
    /// How a router begins: no link lives, and rounds of heartbeats before `start` are of an earlier life.
    pub(super) fn new(map: &Arc<Map>, number: usize, me: usize, start: u32) -> Self {
        let plan = Plan::towards(map, number, Priority::Nearest);
        let mut router = Router::new(map, &plan, me);
        (0..map.ports(me).len() as u16).for_each(|port| router.link_down(port));
        router.resume(start);
        Self {
            router,
            guide: Guide::shared(map.clone(), number),
            distance: plan.distance[me],
            started: 0,
            forwarded: 0,
            delivered: 0,
            reversals: 0,
            bounced: 0,
            scouts: 0,
            ghosts: 0,
        }
    }

    pub(super) fn note(&mut self, outcome: &Outcome, header: Header, arrived: bool, is_ghost: bool) {
        self.reversals += u64::from(outcome.reversed);
        self.bounced += u64::from(outcome.bounced);
        let scout = |header: Header| matches!(header.phase, Phase::Scout(_));
        match outcome.decision {
            _ if is_ghost => {}
            Decision::Deliver => self.delivered += 1,
            Decision::Forward(forward) => {
                self.forwarded += u64::from(arrived);
                self.scouts += u64::from(scout(forward.header) && !scout(header));
            }
            Decision::Drop(_) => {}
        }
    }

    pub(super) fn report(&self, name: &str, to: impl Fn(usize) -> String) -> DestinationReport {
        let forwarder = self.router.forwarder();
        let direction = |port: u16| match forwarder.leads_out(port) {
            _ if !self.router.is_live(port) => Direction::Down,
            true => Direction::Out,
            false if forwarder.is_in_graph(port) => Direction::In,
            false => Direction::Unknown,
        };
        let way = |port: &u16| Way { to: to(usize::from(*port)), direction: direction(*port) };
        DestinationReport {
            router: name.to_owned(),
            distance: Some(self.distance).filter(|distance| *distance != FAR),
            round: self.router.round(),
            ways: forwarder.order().iter().map(way).collect(),
            started: self.started,
            forwarded: self.forwarded,
            delivered: self.delivered,
            reversals: self.reversals,
            bounced: self.bounced,
            scouts: self.scouts,
            ghosts: self.ghosts,
        }
    }
}
