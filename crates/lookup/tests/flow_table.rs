//! The flow table beside a list that is scanned.

use lookup::flow_table::{FlowId, FlowTable, Full, RECLAIM_TURNS, Stats};
use packet::flow::FlowHasher;
use proptest::prelude::*;

/// A hasher under which most keys collide.
#[derive(Clone)]
struct Poor;

impl std::hash::BuildHasher for Poor {
    type Hasher = PoorState;

    fn build_hasher(&self) -> PoorState {
        PoorState(0)
    }
}

struct PoorState(u64);

impl std::hash::Hasher for PoorState {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, &byte| sum + u64::from(byte));
    }

    fn finish(&self) -> u64 {
        self.0 % 3
    }
}

/// The twin: every question is a scan.
#[derive(Default)]
struct Scan(Vec<Held>);

#[derive(Clone, Copy, Debug)]
struct Held {
    id: FlowId,
    key: u8,
    value: u32,
    deadline_ns: u64,
}

impl Scan {
    fn find(&self, key: u8, now_ns: u64) -> Option<FlowId> {
        self.0.iter().find(|held| held.key == key && held.deadline_ns > now_ns).map(|held| held.id)
    }

    fn at(&mut self, id: FlowId) -> Option<&mut Held> {
        self.0.iter_mut().find(|held| held.id == id)
    }

    fn take(&mut self, which: impl Fn(&Held) -> bool) -> Option<Held> {
        self.0.iter().position(which).map(|at| self.0.remove(at))
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert { key: u8, after_ns: u64 },
    Find { key: u8 },
    SetDeadline { id: usize, after_ns: u64 },
    Remove { id: usize },
    Expire { most: usize },
    Wait { ns: u64 },
}

/// Times of every magnitude.
fn after_ns() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        0..4u64,
        (0..60u32, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1))
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..64usize;
    prop_oneof![
        4 => (0..48u8, after_ns()).prop_map(|(key, after_ns)| Step::Insert { key, after_ns }),
        2 => (0..48u8).prop_map(|key| Step::Find { key }),
        3 => (id.clone(), after_ns()).prop_map(|(id, after_ns)| Step::SetDeadline { id, after_ns }),
        1 => id.prop_map(|id| Step::Remove { id }),
        2 => prop_oneof![0..4usize, Just(usize::MAX)].prop_map(|most| Step::Expire { most }),
        2 => after_ns().prop_map(|ns| Step::Wait { ns }),
    ]
}

/// A table and its twin, every id ever handed out, and the time.
struct Both<S> {
    table: FlowTable<u8, u32, S>,
    twin: Scan,
    ids: Vec<FlowId>,
    now_ns: u64,
    next_value: u32,
}

impl<S: std::hash::BuildHasher> Both<S> {
    fn new(capacity: usize, hasher: S) -> Self {
        let table = FlowTable::with_hasher(capacity, hasher);
        Self { table, twin: Scan::default(), ids: Vec::new(), now_ns: 0, next_value: 0 }
    }

    fn id(&self, at: usize) -> Option<FlowId> {
        // Counted from the last, so that fresh ids come up as often as stale ones.
        self.ids.len().checked_sub(1 + at % self.ids.len().max(1)).map(|at| self.ids[at])
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Insert { key, after_ns } => self.insert(key, self.now_ns.saturating_add(after_ns))?,
            Step::Find { key } => {
                prop_assert_eq!(self.table.find(&key, self.now_ns), self.twin.find(key, self.now_ns));
            }
            Step::SetDeadline { id, after_ns } => {
                if let Some(id) = self.id(id) {
                    let deadline_ns = self.now_ns.saturating_add(after_ns);
                    self.table.set_deadline(id, deadline_ns);
                    self.twin.at(id).into_iter().for_each(|held| held.deadline_ns = deadline_ns);
                }
            }
            Step::Remove { id } => {
                if let Some(id) = self.id(id) {
                    let twin = self.twin.take(|held| held.id == id).map(|held| (held.key, held.value));
                    prop_assert_eq!(self.table.remove(id), twin);
                }
            }
            Step::Expire { most } => self.expire(most)?,
            Step::Wait { ns } => self.now_ns = self.now_ns.saturating_add(ns),
        }
        self.compare()
    }

    fn insert(&mut self, key: u8, deadline_ns: u64) -> Result<(), TestCaseError> {
        let (value, now_ns) = (self.next_value, self.now_ns);
        self.next_value += 1;
        let mut way = Vec::new();
        let result =
            self.table.insert_with(key, value, deadline_ns, now_ns, |key, value| way.push((key, value)));

        let mut expected = Vec::from_iter(self.twin.take(|held| held.key == key));
        if self.twin.0.len() == self.table.capacity()
            && self.twin.0.iter().any(|held| held.deadline_ns <= now_ns)
        {
            // Which of those past their deadline makes way is the table's choice.
            prop_assert_eq!(way.len(), 1, "an expired entry makes way before the table is full");
            let held = self.twin.take(|held| held.value == way[0].1 && held.deadline_ns <= now_ns);
            prop_assert!(held.is_some(), "{:?} was not expired", way);
            expected.extend(held);
        }
        prop_assert_eq!(way, expected.iter().map(|held| (held.key, held.value)).collect::<Vec<_>>());
        if self.twin.0.len() == self.table.capacity() {
            prop_assert_eq!(result, Err(Full { capacity: self.table.capacity() }));
        } else {
            let id = result.expect("room");
            prop_assert!(!self.ids.contains(&id), "{:?} was handed out before", id);
            self.ids.push(id);
            self.twin.0.push(Held { id, key, value, deadline_ns });
        }
        Ok(())
    }

    fn expire(&mut self, most: usize) -> Result<(), TestCaseError> {
        let (now_ns, mut gone) = (self.now_ns, Vec::new());
        let count = self.table.expire(now_ns, most, |key, value| gone.push((key, value)));
        prop_assert_eq!(count, gone.len());
        prop_assert!(count <= most);
        for (key, value) in gone {
            let held = self.twin.take(|held| (held.key, held.value) == (key, value));
            prop_assert!(held.is_some_and(|held| held.deadline_ns <= now_ns), "{} {} {:?}", key, value, held);
        }
        if most == usize::MAX || self.table.next_deadline_ns().is_none_or(|next| next > now_ns) {
            prop_assert!(self.twin.0.iter().all(|held| held.deadline_ns > now_ns), "none is left");
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.table.len(), self.twin.0.len());
        prop_assert_eq!(self.table.is_empty(), self.twin.0.is_empty());
        let earliest_ns = self.twin.0.iter().map(|held| held.deadline_ns).min();
        match (self.table.next_deadline_ns(), earliest_ns) {
            (Some(bound), Some(earliest)) => prop_assert!(bound <= earliest),
            (bound, earliest) => prop_assert_eq!(bound, earliest),
        }
        for &id in &self.ids {
            let held = self.twin.at(id).copied();
            prop_assert_eq!(self.table.get(id).copied(), held.map(|held| held.value));
            prop_assert_eq!(self.table.key(id).copied(), held.map(|held| held.key));
            prop_assert_eq!(self.table.deadline_ns(id), held.map(|held| held.deadline_ns));
            // Whoever lies there now, unless its time is over.
            let there = self.twin.0.iter().find(|held| held.id.place() == id.place());
            let live = there.filter(|held| held.deadline_ns > self.now_ns);
            let mut touched = Vec::new();
            self.table.fetch_at([id.place(), u32::MAX], |value| {
                touched.push(*value);
                0
            });
            prop_assert_eq!(touched, there.map(|held| held.value).into_iter().collect::<Vec<_>>());
            let entry = self.table.entry_at(id.place(), self.now_ns);
            let seen =
                entry.map(|(id, mut entry)| (id, *entry.key(), *entry.value_mut(), entry.deadline_ns()));
            prop_assert_eq!(seen, live.map(|held| (held.id, held.key, held.value, held.deadline_ns)));
        }
        prop_assert!(self.table.entry_at(u32::MAX, self.now_ns).is_none());
        let keys: Vec<u8> = (0..70).collect();
        let mut found = [None; 70];
        self.table.find_batch(&keys, self.now_ns, &mut found);
        let tags: Vec<_> = keys.iter().map(|key| self.table.tag(key)).collect();
        let mut touched = [false; 70];
        self.table.fetch(&tags, |at, _| {
            touched[at] = true;
            0
        });
        for (at, (&key, found)) in keys.iter().zip(found).enumerate() {
            prop_assert_eq!(found, self.twin.find(key, self.now_ns));
            prop_assert_eq!(found, self.table.find(&key, self.now_ns));
            prop_assert_eq!(found, self.table.find_tagged(tags[at], &key, self.now_ns));
            let entry = self.table.find_entry(tags[at], &key, self.now_ns);
            let seen = entry.map(|(id, mut entry)| (id, *entry.value_mut(), entry.deadline_ns()));
            let known = found.and_then(|id| Some((id, *self.table.get(id)?, self.table.deadline_ns(id)?)));
            prop_assert_eq!(seen, known);
            prop_assert!(touched[at] || found.is_none());
        }
        let mut all: Vec<_> = self.table.iter().map(|(id, &key, &value)| (value, key, id)).collect();
        all.sort_unstable_by_key(|&(value, ..)| value);
        let mut twin: Vec<_> = self.twin.0.iter().map(|held| (held.value, held.key, held.id)).collect();
        twin.sort_unstable_by_key(|&(value, ..)| value);
        prop_assert_eq!(all, twin);
        Ok(())
    }
}

/// In a table this small, the bound on what an insertion looks at is never felt.
const CAPACITY: usize = RECLAIM_TURNS / 2;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn does_what_a_scan_does(start_ns in prop_oneof![Just(0), any::<u64>()], steps in prop::collection::vec(step(), 1..120)) {
        let mut both = Both::new(CAPACITY, FlowHasher::new(0x5eed));
        both.now_ns = start_ns;
        for step in &steps {
            both.step(step)?;
        }
    }

    #[test]
    fn does_so_when_all_keys_collide(steps in prop::collection::vec(step(), 1..120)) {
        let mut both = Both::new(CAPACITY, Poor);
        for step in &steps {
            both.step(step)?;
        }
    }
}

#[test]
fn a_table_without_room_is_full() {
    let mut table = FlowTable::with_hasher(0, FlowHasher::new(1));
    assert_eq!(table.insert(1, "", 10, 0), Err(Full { capacity: 0 }));
    assert_eq!(table.find(&1, 0), None);
    assert_eq!((table.expire(u64::MAX, 9, |_, _| ()), table.next_deadline_ns()), (0, None));
    assert_eq!(table.stats(), Stats { refused: 1, ..Stats::default() });
}

#[test]
fn a_reset_shortens_what_packets_had_extended() {
    let mut table = FlowTable::with_hasher(4, FlowHasher::new(1));
    let hour_ns = 3_600_000_000_000;
    let id = table.insert("tcp", (), hour_ns, 0).unwrap();
    table.set_deadline(id, 2 * hour_ns);
    table.set_deadline(id, 10);
    assert!(table.next_deadline_ns().unwrap() <= 10);
    assert_eq!(table.find(&"tcp", 9), Some(id));
    assert_eq!(table.find(&"tcp", 10), None);
    assert_eq!(table.expire(9, 8, |_, _| ()), 0);
    assert_eq!(table.expire(10, 8, |_, _| ()), 1);
    assert_eq!(table.stats().requeued, 0, "no turn was spent on its former deadlines");
}

#[test]
fn a_call_does_bounded_work() {
    let mut table = FlowTable::with_hasher(1000, FlowHasher::new(1));
    let ids: Vec<_> = (0..1000).map(|key| table.insert(key, (), 100, 0).unwrap()).collect();
    ids[..500].iter().for_each(|&id| table.set_deadline(id, 1_000_000));
    let (mut handed_out, mut calls) = (0, 0);
    while table.next_deadline_ns().is_some_and(|next| next <= 100) {
        let before = table.stats();
        let count = table.expire(100, 7, |key, ()| assert!(key >= 500));
        let looked_at = count as u64 + table.stats().requeued - before.requeued;
        assert!(looked_at <= 7);
        (handed_out, calls) = (handed_out + count, calls + 1);
    }
    assert_eq!((handed_out, calls), (500, 1000usize.div_ceil(7)));

    // A full table, all of it busy: the insertion gives up after RECLAIM_TURNS.
    let mut table = FlowTable::with_hasher(1000, FlowHasher::new(1));
    let ids: Vec<_> = (0..1000).map(|key| table.insert(key, (), 100, 0).unwrap()).collect();
    ids.iter().for_each(|&id| table.set_deadline(id, 1_000_000));
    assert!(table.insert(1000, (), 100, 100).is_err());
    assert_eq!(table.stats().requeued, RECLAIM_TURNS as u64);
}

/// Five million flows through 50,000 places: every one comes out once, and no memory is added.
#[test]
fn churn_neither_grows_nor_loses_nor_doubles() {
    const FLOWS: u64 = 5_000_000;
    const CAPACITY: usize = 50_000;
    const LIFE_NS: u64 = 30_000_000;
    let mut table = FlowTable::with_hasher(CAPACITY, FlowHasher::new(7));
    let mut out = vec![0u8; FLOWS as usize];
    let (mut now_ns, mut random) = (1 << 40, 1u64);
    let memory_bytes = table.memory_bytes();
    for flow in 0..FLOWS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        now_ns += 500 + (random >> 54); // about a microsecond
        let life_ns = if flow % 16 == 0 { LIFE_NS / 16 } else { LIFE_NS + (random >> 48) };
        let mut gone = |key: u64, ()| out[key as usize] += 1;
        let id = table.insert_with(flow, (), now_ns + life_ns, now_ns, &mut gone).expect("room");
        if flow % 3 == 0 {
            table.set_deadline(id, now_ns + 2 * life_ns);
        }
        if flow % 5 == 0 {
            table.set_deadline(id, now_ns + life_ns / 7);
        }
        table.expire(now_ns, 2, &mut gone);
    }
    assert_eq!(table.memory_bytes(), memory_bytes, "all memory was there at the start");
    assert!(table.len() > 1000, "{}", table.len());
    table.expire(u64::MAX, usize::MAX, |key, ()| out[key as usize] += 1);
    assert!(table.is_empty());
    let wrong: Vec<_> = out.iter().enumerate().filter(|&(_, &times)| times != 1).take(3).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let stats = table.stats();
    assert_eq!(stats.inserted, FLOWS);
    assert_eq!(stats.expired + stats.reclaimed, FLOWS);
}
