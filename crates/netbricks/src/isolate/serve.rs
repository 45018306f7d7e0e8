//! The confined program's side.

use std::collections::VecDeque;

use host::confine;
use packet::{Batch, Packet, PortId};
use ports::shm::Guest;

use super::{IsolateError, Question, batch_extend, told};
use crate::cause::Cause;
use crate::{Context, Gate, NetworkFunction, Report};

/// Packets that a function let out, and for which no slot had come, kept until some do.
const WAITING_MAX: usize = 512;
/// It was let out, and there was no slot for it to leave in.
const NO_SLOT: Cause = Cause::new("no slot to leave in");

/// A confined program that has been found by the function that it serves.
#[derive(Debug)]
pub struct Joined(Guest);

/// Inside the confined program, before anything else: takes hold of the memory that it was passed.
///
/// # Errors
/// The program was not started by [`Isolated`](super::Isolated).
pub fn join() -> Result<Joined, IsolateError> {
    let [memory, wake] = confine::passed()?;
    Ok(Joined(Guest::attach(memory, wake)?))
}

/// [`join`], then [`Joined::serve`].
///
/// # Errors
/// Theirs.
pub fn serve(function: &mut dyn NetworkFunction, spins: u32) -> Result<(), IsolateError> {
    join()?.serve(function, spins)
}

impl Joined {
    /// What [`Isolation::brief`](super::Isolation::brief) says.
    #[must_use]
    pub fn brief(&self) -> Vec<u8> {
        self.0.brief()
    }

    /// Runs `function` on what comes, until the other side is gone. From the first packet on nothing but that is allowed
    /// ([`confine::tighten`]), so the function must have been built before.
    ///
    /// It looks `spins` times for packets before it sleeps: as often as the core can be spared.
    ///
    /// # Errors
    /// The kernel has no seccomp filters.
    pub fn serve(self, function: &mut dyn NetworkFunction, spins: u32) -> Result<(), IsolateError> {
        let mut server = Server {
            ctx: Context::new(function.gates()),
            guest: self.0,
            function,
            work: Batch::new(),
            part: Batch::new(),
            waiting: VecDeque::with_capacity(WAITING_MAX),
        };
        confine::tighten(2)?;
        let mut idle = 0;
        loop {
            if server.serve() {
                idle = 0;
                continue;
            }
            idle += 1;
            std::hint::spin_loop();
            if idle > spins {
                idle = 0;
                if !server.guest.wait() {
                    return Ok(());
                }
            }
        }
    }
}

struct Server<'a> {
    guest: Guest,
    function: &'a mut dyn NetworkFunction,
    ctx: Context,
    /// The packets at hand.
    work: Batch,
    /// Those of them that came in at one gate.
    part: Batch,
    /// What was let out.
    waiting: VecDeque<Packet>,
}

impl Server<'_> {
    /// Does what there is to do; false when there was nothing.
    fn serve(&mut self) -> bool {
        let count = self.guest.receive(&mut self.work);
        if count > 0 {
            self.ctx.set_now_ns(self.guest.now_ns());
            self.process();
            self.collect();
            let most = count.min(self.waiting.len());
            batch_extend(&mut self.work, self.waiting.drain(..most));
            self.guest.send(&mut self.work);
            return true;
        }
        // Only once no packets wait, so that an answer is about all that came before the question.
        let question = self.guest.asked();
        if let Some(question) = question {
            self.answer(question);
        }
        question.is_some()
    }

    /// Calls the function for each run of packets that came in at one gate. What it leaves is dropped.
    fn process(&mut self) {
        while let Some(first) = self.work.iter().next() {
            let gate = first.egress();
            let count = self.work.iter().take_while(|packet| packet.egress() == gate).count();
            if count == self.work.len() {
                std::mem::swap(&mut self.work, &mut self.part);
            } else {
                batch_extend(&mut self.part, self.work.drain(..count));
            }
            self.part.iter_mut().for_each(|packet| packet.set_egress(PortId::NONE));
            self.function.process(gate.0 as Gate, &mut self.part, &mut self.ctx);
            self.ctx.count(Cause::LEFT_BEHIND, self.part.len() as u64);
            self.part.clear();
        }
        if self.function.deadline_ns().is_some_and(|deadline_ns| deadline_ns <= self.ctx.now_ns()) {
            self.function.expire(&mut self.ctx);
        }
    }

    /// Puts what has left the function on its way.
    fn collect(&mut self) {
        let (waiting, mut lost) = (&mut self.waiting, 0);
        for gate in 0..self.ctx.gates() {
            self.ctx.drain(gate, |batch| {
                for mut packet in batch.drain(..) {
                    packet.set_egress(PortId(gate.into()));
                    if waiting.len() < WAITING_MAX {
                        waiting.push_back(packet);
                    } else {
                        lost += 1;
                    }
                }
            });
        }
        self.ctx.count(NO_SLOT, lost);
    }

    #[cold]
    fn answer(&mut self, question: u32) {
        if question == Question::Finish as u32 {
            self.ctx.set_now_ns(self.guest.now_ns());
            self.function.finish(&mut self.ctx);
            self.collect();
        }
        let mut report = Report::default();
        self.function.report(&mut report);
        for (cause, count) in self.ctx.drops().iter() {
            report.counter(format!("dropped, {cause}"), count);
        }
        if !self.waiting.is_empty() {
            report.counter("waiting for a slot to leave in", self.waiting.len() as u64);
        }
        self.guest.answer(&told::write(&report));
    }
}
