//! The function of a run and what is attached to it: what both clocks have in common.

use std::any::Any;

use packet::Batch;

use super::link::Link;
use super::stop::Stop;
use super::summary::{Ended, Stage, Summary};
use crate::{Cause, Context, Drops, Gate, Line, NetworkFunction, Report};

/// Came in, or was to go out, after the last packet that was wanted.
const BEYOND_LIMIT: Cause = Cause::new("beyond the limit of packets");

/// A function, its context, its ports.
pub(super) struct Core {
    function: Box<dyn NetworkFunction>,
    pub(super) ctx: Context,
    /// By gate.
    pub(super) links: Vec<Link>,
    /// What ends outside the function.
    lost: Drops,
    packets_in: u64,
    packets_out: u64,
    packets_max: u64,
    /// When the run began, on its clock.
    pub(super) began_ns: Option<u64>,
    pub(super) stamp: Stamp,
}

/// The timestamp with which packets leave.
#[derive(Clone, Copy)]
pub(super) enum Stamp {
    /// What they have.
    Own,
    /// The time, unless they have this one, with which the packet at hand came in.
    NowBut(Option<u64>),
}

impl Core {
    pub(super) fn new(function: Box<dyn NetworkFunction>) -> Self {
        Self {
            ctx: Context::new(function.gates()),
            function,
            links: Vec::new(),
            lost: Drops::default(),
            packets_in: 0,
            packets_out: 0,
            packets_max: u64::MAX,
            began_ns: None,
            stamp: Stamp::Own,
        }
    }

    pub(super) fn function_mut(&mut self) -> &mut dyn NetworkFunction {
        &mut *self.function
    }

    /// All that will be attached is, and the limits are known.
    pub(super) fn begin(&mut self, stop: &Stop) {
        self.packets_max = stop.packets.unwrap_or(u64::MAX);
        // A gate beyond what is attached is one with nothing attached.
        self.links.resize_with(self.links.len().max(usize::from(self.ctx.gates())), Link::none);
    }

    /// Sets the time. The first is when the run began.
    pub(super) fn set_now_ns(&mut self, now_ns: u64) {
        self.ctx.set_now_ns(now_ns);
        self.began_ns.get_or_insert(self.ctx.now_ns());
    }

    /// Hands what came in at a gate to the function, and what leaves to the ports. The batch is empty afterwards.
    pub(super) fn hand_in(&mut self, gate: usize, batch: &mut Batch) {
        let room = self.packets_max - self.packets_in;
        if batch.len() as u64 > room {
            self.lost.count(BEYOND_LIMIT, batch.len() as u64 - room);
            drop(batch.drain(room as usize..));
        }
        self.packets_in += batch.len() as u64;
        self.function.process(gate as Gate, batch, &mut self.ctx);
        self.lost.count(Cause::LEFT_BEHIND, batch.len() as u64);
        batch.clear();
        self.flush();
    }

    pub(super) fn deadline_ns(&self) -> Option<u64> {
        self.function.deadline_ns()
    }

    pub(super) fn held(&self) -> usize {
        self.function.held()
    }

    /// Has the function expire what is due. Returns how many packets that let out.
    pub(super) fn expire(&mut self) -> u64 {
        let before = self.ctx.sent();
        self.function.expire(&mut self.ctx);
        self.flush();
        self.ctx.sent() - before
    }

    /// No more packets will come in.
    pub(super) fn finish(&mut self) {
        self.function.finish(&mut self.ctx);
        self.flush();
    }

    /// Sends what has left the function.
    fn flush(&mut self) {
        let now_ns = self.ctx.now_ns();
        for (gate, link) in self.links.iter_mut().enumerate() {
            self.ctx.drain(gate as Gate, |batch| {
                let room = self.packets_max - self.packets_out;
                if batch.len() as u64 > room {
                    self.lost.count(BEYOND_LIMIT, batch.len() as u64 - room);
                    drop(batch.drain(room as usize..));
                }
                if let Stamp::NowBut(own) = self.stamp {
                    let late = batch.iter_mut().filter(|packet| Some(packet.timestamp_ns()) != own);
                    late.for_each(|packet| packet.set_timestamp_ns(now_ns));
                }
                self.packets_out += link.send(batch, &mut self.lost);
            });
        }
    }

    /// The limit that has been reached, if one has.
    pub(super) fn limit(&self, stop: &Stop) -> Option<Ended> {
        if stop.is_stopped() {
            return Some(Ended::Stopped);
        }
        if self.packets_in.max(self.packets_out) >= self.packets_max {
            return Some(Ended::Packets);
        }
        self.end_ns(stop).filter(|end| self.ctx.now_ns() >= *end).map(|_| Ended::Duration)
    }

    /// When the limit of time will be reached.
    pub(super) fn end_ns(&self, stop: &Stop) -> Option<u64> {
        Some(self.began_ns?.saturating_add(stop.duration_ns?))
    }

    pub(super) fn summary(&self, ended: Option<Ended>) -> Summary {
        let mut drops = self.lost.clone();
        let line = (&*self.function as &dyn Any).downcast_ref::<Line>();
        let stages = match line {
            Some(line) => {
                drops.add(self.ctx.drops());
                let stage = |(name, report, drops): (&str, Report, &Drops)| Stage {
                    name: name.into(),
                    report,
                    drops: drops.clone(),
                };
                line.stages().map(stage).collect()
            }
            None => {
                let mut report = Report::default();
                self.function.report(&mut report);
                vec![Stage { name: "function".into(), report, drops: self.ctx.drops().clone() }]
            }
        };
        Summary {
            ended,
            elapsed_ns: self.ctx.now_ns() - self.began_ns.unwrap_or(self.ctx.now_ns()),
            packets_in: self.packets_in,
            packets_out: self.packets_out,
            stages,
            ports: self.links.iter().map(Link::summary).collect(),
            drops,
            held: self.held(),
        }
    }
}
