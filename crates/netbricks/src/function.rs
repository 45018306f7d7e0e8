//! What a network function is to whoever runs it.

use std::any::Any;
use std::fmt;

use packet::Batch;

use crate::{Context, Gate};

/// A network function: takes packets in at gates, lets packets out at gates.
///
/// It does no I/O and reads no clock: packets and the time come in through the call, packets go out through the
/// [`Context`], so the same function runs on capture files, live ports, inside a module of the software NIC, in the
/// simulator, and in a process of its own. One owner runs it, so everything is `&mut` and nothing is locked.
///
/// ```
/// use netbricks::{Context, Gate, NetworkFunction};
/// use packet::Batch;
///
/// /// Lets frames through that are shorter than a limit.
/// struct Short(usize);
///
/// impl NetworkFunction for Short {
///     fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
///         for packet in batch.drain(..) {
///             if packet.len() < self.0 {
///                 ctx.send(1 - gate, packet);
///             } else {
///                 ctx.drop(packet, netbricks::Cause::new("too long"));
///             }
///         }
///     }
/// }
/// ```
pub trait NetworkFunction: Any + Send {
    /// How many gates it has; the same ones serve in and out. With two, gate 0 is the inside and 1 the outside, and
    /// what passes from one to the other leaves at the other.
    fn gates(&self) -> Gate {
        2
    }

    /// Takes the packets of a batch that came in at `gate`. What it leaves in the batch is dropped and counted by
    /// whoever runs it.
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context);

    /// When it wants [`expire`](Self::expire) to be called, on the clock of [`Context::now_ns`].
    fn deadline_ns(&self) -> Option<u64> {
        None
    }

    /// Its deadline has passed. It must move its deadline.
    fn expire(&mut self, _ctx: &mut Context) {}

    /// Packets that it keeps inside between calls.
    fn held(&self) -> usize {
        0
    }

    /// No more packets will come in: what it was waiting to see is over. A file runner calls this at the end.
    fn finish(&mut self, _ctx: &mut Context) {}

    /// What it has counted and what it keeps, for people.
    fn report(&self, _report: &mut Report) {}
}

impl NetworkFunction for Box<dyn NetworkFunction> {
    fn gates(&self) -> Gate {
        (**self).gates()
    }

    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        (**self).process(gate, batch, ctx);
    }

    fn deadline_ns(&self) -> Option<u64> {
        (**self).deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context) {
        (**self).expire(ctx);
    }

    fn held(&self) -> usize {
        (**self).held()
    }

    fn finish(&mut self, ctx: &mut Context) {
        (**self).finish(ctx);
    }

    fn report(&self, report: &mut Report) {
        (**self).report(report);
    }
}

/// The most lines that a report takes; what comes beyond is left out, and the last line says so.
pub const REPORT_LINES_MAX: usize = 1024;

/// What a network function says of itself: counters by name, and lines of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    counters: Vec<(String, u64)>,
    lines: Vec<String>,
}

impl Report {
    /// Adds a counter. Two of one name are one, added up.
    pub fn counter(&mut self, name: impl Into<String>, value: u64) {
        let name = name.into();
        if let Some((_, count)) = self.counters.iter_mut().find(|(known, _)| *known == name) {
            *count += value;
        } else if self.counters.len() < REPORT_LINES_MAX {
            self.counters.push((name, value));
        }
    }

    /// Adds a line.
    pub fn line(&mut self, line: impl Into<String>) {
        match self.lines.len() {
            0..REPORT_LINES_MAX => self.lines.push(line.into()),
            REPORT_LINES_MAX => self.lines.push("and more".into()),
            _ => {}
        }
    }

    /// The counters, in the order in which they were added.
    #[must_use]
    pub fn counters(&self) -> &[(String, u64)] {
        &self.counters
    }

    /// A counter's value; 0 if there is none of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.counters.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| *value)
    }

    /// The lines.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.counters.iter().try_for_each(|(name, value)| writeln!(f, "{name} {value}"))
    }
}
