//! [`Counter`].

use packet::Batch;

use crate::engine::{Attribute, Context, Gate, Module, Place};

/// Counts packets and bytes, each packet at the number that an attribute says.
///
/// *Input gates*: one. *Output gates*: one. *Attributes*: reads the one it is told, 4 bytes, a number in the machine's byte
/// order. Packets of numbers that are not below its size pass without being counted.
///
/// Counters need not be added to count. Adding and removing, which sets a counter to 0, is how a controller notes which
/// are in use, as in `show`.
///
/// ```
/// # use softnic::modules::Counter;
/// let counter = Counter::new("ctr_id", 1000)?;
/// # Ok::<(), softnic::modules::CounterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Counter {
    attribute: String,
    place: Place,
    /// Packets and bytes: as arrays, memory for which comes zeroed and costs nothing before it is written to.
    counts: Vec<[u64; 2]>,
    added: u64,
}

/// What one counter has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Counters that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CounterError {
    /// Nothing says which counter.
    #[error("Invalid counter idx name")]
    NoName,
    /// None, or more than there may be.
    #[error("Invalid total number: {0}, not 1 to {max}", max = Counter::COUNTERS_MAX)]
    Total(usize),
}

impl From<[u64; 2]> for Counts {
    fn from([packets, bytes]: [u64; 2]) -> Self {
        Self { packets, bytes }
    }
}

impl Counter {
    /// The most counters: 256 MiB of them.
    pub const COUNTERS_MAX: usize = 1 << 24;

    /// So many counters; the attribute says which.
    ///
    /// # Errors
    /// See [`CounterError`].
    pub fn new(attribute: impl Into<String>, count: usize) -> Result<Self, CounterError> {
        let attribute = attribute.into();
        if attribute.is_empty() {
            return Err(CounterError::NoName);
        }
        if !(1..=Self::COUNTERS_MAX).contains(&count) {
            return Err(CounterError::Total(count));
        }
        Ok(Self { attribute, place: Place::default(), counts: vec![[0; 2]; count], added: 0 })
    }

    /// What a counter has counted; `None` where there is no such counter.
    pub fn counts(&self, number: u32) -> Option<Counts> {
        self.counts.get(number as usize).copied().map(Counts::from)
    }

    /// Notes that one more is in use.
    pub fn add(&mut self) {
        self.added = self.added.saturating_add(1);
    }

    /// Notes that this one is not in use any more, and returns what it has counted.
    pub fn remove(&mut self, number: u32) -> Counts {
        self.added = self.added.saturating_sub(1);
        self.counts.get_mut(number as usize).map(std::mem::take).map(Counts::from).unwrap_or_default()
    }

    /// Sets all to 0; none is in use any more.
    pub fn remove_all(&mut self) {
        self.counts = vec![[0; 2]; self.counts.len()];
        self.added = 0;
    }
}

impl Module for Counter {
    fn class(&self) -> &'static str {
        "Counter"
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::read(&self.attribute, 4)]
    }

    fn place(&mut self, places: &[Place]) {
        self.place = places.first().copied().unwrap_or_default();
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        for packet in &*batch {
            let number = u32::from_ne_bytes(self.place.read(packet));
            if let Some([packets, bytes]) = self.counts.get_mut(number as usize) {
                *packets += 1;
                *bytes += packet.len() as u64;
            }
        }
    }

    fn status(&self) -> String {
        format!("{} sessions", self.added)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::packet;
    use super::*;
    use crate::engine::Rig;

    #[test]
    fn each_number_counts_for_itself() {
        let mut rig = Rig::new(Counter::new("id", 3).unwrap());
        let place = rig.place("id");
        let numbered = |number: u32, length: usize| {
            let mut packet = packet(&vec![0; length]);
            place.write(&mut packet, number.to_ne_bytes());
            packet
        };
        let packets =
            [numbered(0, 10), numbered(2, 20), numbered(2, 5), numbered(3, 7), numbered(u32::MAX, 7)];
        assert_eq!(rig.process(0, packets).len(), 5);
        let counts = |packets, bytes| Counts { packets, bytes };
        let all = [0, 1, 2, 3].map(|number| rig.module.counts(number));
        assert_eq!(all, [Some(counts(1, 10)), Some(counts(0, 0)), Some(counts(2, 25)), None]);
        rig.module.add();
        rig.module.add();
        assert_eq!(rig.module.status(), "2 sessions");
        assert_eq!((rig.module.remove(2), rig.module.remove(9)), (counts(2, 25), counts(0, 0)));
        assert_eq!((rig.module.counts(2), rig.module.status()), (Some(counts(0, 0)), "0 sessions".into()));
        rig.module.remove(0);
        rig.module.remove_all();
        assert_eq!(rig.module.counts(0), Some(counts(0, 0)));
    }

    #[test]
    fn counters_that_cannot_be_are_refused() {
        assert_eq!(Counter::new("", 1).unwrap_err(), CounterError::NoName);
        assert_eq!(Counter::new("id", 0).unwrap_err(), CounterError::Total(0));
        assert_eq!(Counter::new("id", (1 << 24) + 1).unwrap_err(), CounterError::Total((1 << 24) + 1));
    }
}
