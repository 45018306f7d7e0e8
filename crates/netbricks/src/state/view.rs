//! What all cores' state adds up to, seen from outside while they run.

use std::sync::{Arc, Mutex, PoisonError};

/// The most cores that one view has.
pub const CORES_MAX: usize = 256;

/// State of which several cores' parts make one whole.
pub trait Merge: Clone + Send + 'static {
    /// Adds another core's part to this one. What both count is added up, never overwritten.
    fn merge(&mut self, other: &Self);
}

impl Merge for u64 {
    fn merge(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }
}

/// One core's latest part, and when it was published.
type Slot<T> = Mutex<Option<(T, u64)>>;

/// A core's side of a [`View`].
#[derive(Debug)]
pub struct Publisher<T> {
    slots: Arc<[Slot<T>]>,
    core: usize,
    interval_ns: u64,
    next_ns: u64,
}

/// All cores' parts, merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged<T> {
    /// The whole; `None` before any core has published.
    pub value: Option<T>,
    /// When the oldest part was published; what happened later on that core is not in it. `None` while a core has not
    /// published at all.
    pub oldest_ns: Option<u64>,
    /// Cores that have published.
    pub cores: usize,
}

/// The control plane's side. It may be cloned and read from any thread; no core waits for it.
#[derive(Debug)]
pub struct View<T> {
    slots: Arc<[Slot<T>]>,
}

impl<T> Clone for View<T> {
    fn clone(&self) -> Self {
        Self { slots: self.slots.clone() }
    }
}

/// A publisher for each of `cores` cores ([`CORES_MAX`] at most) and a view of all. A core's part is at most `interval_ns`
/// older than that core's last call of [`Publisher::publish`].
///
/// ```
/// use netbricks::state::{Merged, view};
///
/// let (mut publishers, view) = view::<u64>(2, 1_000);
/// publishers[0].publish(0, || 5);
/// assert_eq!(view.read(), Merged { value: Some(5), oldest_ns: None, cores: 1 });
/// publishers[1].publish(10, || 7);
/// publishers[0].publish(999, || 6); // not yet due
/// assert_eq!(view.read(), Merged { value: Some(12), oldest_ns: Some(0), cores: 2 });
/// publishers[0].publish(1_000, || 8);
/// assert_eq!(view.read(), Merged { value: Some(15), oldest_ns: Some(10), cores: 2 });
/// ```
#[must_use]
pub fn view<T: Merge>(cores: usize, interval_ns: u64) -> (Vec<Publisher<T>>, View<T>) {
    let cores = cores.clamp(1, CORES_MAX);
    let slots: Arc<[Slot<T>]> = (0..cores).map(|_| Mutex::new(None)).collect();
    let publisher = |core| Publisher { slots: slots.clone(), core, interval_ns, next_ns: 0 };
    ((0..cores).map(publisher).collect(), View { slots: slots.clone() })
}

impl<T: Merge> Publisher<T> {
    /// Publishes the core's whole part, if it is due; `part` is asked for only then. To be called once a batch.
    ///
    /// Never waits: should a reader hold the slot at this moment, it is tried again at the next call. Nothing is lost by
    /// that, since what is published is the whole and no difference.
    pub fn publish(&mut self, now_ns: u64, part: impl FnOnce() -> T) {
        if now_ns < self.next_ns {
            return;
        }
        if let Ok(mut slot) = self.slots[self.core].try_lock() {
            *slot = Some((part(), now_ns));
            self.next_ns = now_ns.saturating_add(self.interval_ns);
        }
    }
}

impl<T: Merge> View<T> {
    /// All parts, merged in the order of the cores, and how old the oldest is.
    #[must_use]
    pub fn read(&self) -> Merged<T> {
        let mut merged = Merged::<T> { value: None, oldest_ns: Some(u64::MAX), cores: 0 };
        for slot in &*self.slots {
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let Some((part, at_ns)) = &*slot else {
                merged.oldest_ns = None;
                continue;
            };
            merged.cores += 1;
            merged.oldest_ns = merged.oldest_ns.map(|oldest| oldest.min(*at_ns));
            match &mut merged.value {
                Some(whole) => whole.merge(part),
                none => *none = Some(part.clone()),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NetBricks' merged stores overwrote counters instead of adding them, and lost counts when a send failed.
    #[test]
    fn merging_adds_and_a_slot_that_is_held_loses_nothing() {
        let (mut publishers, view) = view::<u64>(3, 0);
        let mut counts = [0u64; 3];
        for round in 1..=100u64 {
            for (core, publisher) in publishers.iter_mut().enumerate() {
                counts[core] += core as u64 + 1;
                let slots = publisher.slots.clone();
                let _held = (round % 3 == 0).then(|| slots[core].lock().unwrap());
                publisher.publish(round, || counts[core]);
            }
        }
        publishers
            .iter_mut()
            .enumerate()
            .for_each(|(core, publisher)| publisher.publish(101, || counts[core]));
        assert_eq!(view.read(), Merged { value: Some(100 + 200 + 300), oldest_ns: Some(101), cores: 3 });
    }

    #[test]
    fn a_reader_on_another_thread_sees_counts_that_only_grow() {
        let (mut publishers, view) = view::<u64>(2, 0);
        let reader = std::thread::spawn(move || {
            let mut last = 0;
            while last < 20_000 {
                let now = view.read().value.unwrap_or(0);
                assert!(now >= last);
                last = now;
            }
        });
        let mut count = 0u64;
        while !reader.is_finished() {
            count += 1;
            publishers.iter_mut().for_each(|publisher| publisher.publish(count, || count.min(10_000)));
        }
        reader.join().unwrap();
    }
}
