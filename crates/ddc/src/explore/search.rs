//! The search itself. It goes from one set of failures to the next: all states in which the same ends know of the same cuts,
//! breadth first, and the hops among them put in order; then they are forgotten. So memory holds the states of some sets alone.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashTable;

use super::state::{Event, State, World};
use super::symmetry::{self, Symmetry};
use super::{Limits, Report, Violation};
use crate::header::Phase;
use crate::map::Map;
use crate::plan::Plan;

/// Tries every schedule.
///
/// # Errors
/// With the first state found in which a property does not hold, or when there are too many states.
pub fn explore(map: &Map, plan: &Plan, limits: &Limits) -> Result<Report, Violation> {
    all(map, plan, limits, true)
}

/// The same; `fewer` says whether states that differ in names or bits alone count once.
fn all(map: &Map, plan: &Plan, limits: &Limits, fewer: bool) -> Result<Report, Violation> {
    let mut search = Search::new(map, plan, limits, fewer);
    search.begin()?;
    while let Some((stage, states)) = search.waiting.pop_first() {
        search.run(&stage, states)?;
    }
    Ok(search.report)
}

/// A set of failures, in an order in which they come: links that came back, ends that know of a cut, and which.
type Stage = (u8, usize, Box<[bool]>);

/// The states of a stage, as bytes, one after the other.
#[derive(Debug, Default)]
struct States {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    places: HashTable<u32>,
    /// The most reversals of the schedules that were found to lead to a state.
    reversals: Vec<u16>,
}

impl States {
    fn key(&self, place: u32) -> &[u8] {
        let place = place as usize;
        let begin = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin..self.ends[place]]
    }

    /// The place of a state, whether it is new, and whether it was not known with so many reversals.
    fn insert(&mut self, key: &[u8], reversals: u32) -> (u32, bool, bool) {
        let reversals = u16::try_from(reversals).unwrap_or(u16::MAX);
        let hash = |key: &[u8]| {
            use std::hash::BuildHasher;
            foldhash::fast::FixedState::default().hash_one(key)
        };
        let of_key = hash(key);
        if let Some(place) = self.places.find(of_key, |place| self.key(*place) == key) {
            let (place, known) = (*place, &mut self.reversals[*place as usize]);
            let more = reversals > *known;
            *known = reversals.max(*known);
            return (place, false, more);
        }
        let place = self.ends.len() as u32;
        self.bytes.extend(key);
        self.ends.push(self.bytes.len());
        self.reversals.push(reversals);
        let Self { bytes, ends, places, .. } = self;
        places.insert_unique(of_key, place, |place| {
            let place = *place as usize;
            let begin = place.checked_sub(1).map_or(0, |before| ends[before]);
            hash(&bytes[begin..ends[place]])
        });
        (place, true, true)
    }
}

struct Search<'m> {
    world: World<'m>,
    symmetry: Symmetry,
    /// Do bits count only beside those that they are compared with? With virtual nodes, which are made with bits of zero, no.
    level: bool,
    waiting: BTreeMap<Stage, States>,
    report: Report,
    key: Vec<u8>,
    spare: Vec<u8>,
}

impl<'m> Search<'m> {
    fn new(map: &'m Map, plan: &Plan, limits: &Limits, fewer: bool) -> Self {
        let world = World::new(map, plan, limits);
        let level = fewer && limits.aeos_max == 0;
        let symmetry = Symmetry::new(&world, limits.any && level && limits.phase == Phase::Plain);
        Self {
            world,
            symmetry,
            level,
            waiting: BTreeMap::new(),
            report: Report::default(),
            key: Vec::new(),
            spare: Vec::new(),
        }
    }

    fn begin(&mut self) -> Result<(), Violation> {
        let mut start = self.world.start.clone();
        self.world.check(&start)?;
        self.put_aside(&mut start)
    }

    /// The bytes of a state.
    fn write(&mut self, state: &mut State) {
        if self.level {
            symmetry::level(&mut self.world, state);
        }
        let Self { world, symmetry, key, spare, .. } = self;
        symmetry.write(world, state, key, spare);
    }

    /// A new state; `known` says that its nodes are those of one that was checked.
    fn found(&mut self, state: &State, known: bool) -> Result<(), Violation> {
        self.report.states += 1;
        if self.report.states > self.world.limits.states_max {
            return Err(Violation::TooManyStates(self.world.limits.states_max));
        }
        if known { Ok(()) } else { self.world.check(state) }
    }

    /// Keeps a state of another stage for later.
    fn put_aside(&mut self, state: &mut State) -> Result<(), Violation> {
        self.write(state);
        let known = state.noticed.iter().filter(|noticed| **noticed).count();
        let stage = (state.restores, known, self.symmetry.stage(state));
        let states = self.waiting.entry(stage).or_default();
        if states.insert(&self.key, state.reversals).1 {
            self.found(state, false)?;
        }
        Ok(())
    }

    fn run(&mut self, stage: &Stage, mut states: States) -> Result<(), Violation> {
        let mut state = self.world.start.clone();
        state.restores = stage.0;
        state.noticed.copy_from_slice(&stage.2);
        for link in 0..state.cut.len() {
            state.cut[link] = state.noticed[2 * link] || state.noticed[2 * link + 1];
        }
        let mut next = state.clone();
        let (mut hops, mut events) = (Vec::new(), Vec::new());
        let mut queue: VecDeque<u32> = (0..states.ends.len() as u32).collect();
        // States are visited for the first time in the order of their places.
        let mut visited = 0;
        // The links that may be cut, which are the same for all states unless some links are not in the graph.
        let mut cuttable = None;
        // Ends: a state is visited at most once for each number of reversals, and there are at most `states_max`.
        while let Some(place) = queue.pop_front() {
            let is_first = place == visited;
            visited += u32::from(is_first);
            symmetry::read(states.key(place), &mut state);
            state.reversals = states.reversals[place as usize].into();
            self.world.events(&state, &mut events);
            for event in events.drain(..) {
                let mut way = 0;
                loop {
                    next.copy(&state);
                    let happened = self.world.happen(&mut next, event, way)?;
                    self.report.steps += 1;
                    if matches!(event, Event::Restore(_)) {
                        self.put_aside(&mut next)?;
                    } else {
                        self.write(&mut next);
                        let (to, is_new, is_more) = states.insert(&self.key, next.reversals);
                        if is_new {
                            self.found(&next, next.nodes == state.nodes)?;
                        }
                        if is_more {
                            queue.push_back(to);
                        }
                        if happened.hop && is_first {
                            hops.push((place, to));
                        }
                    }
                    way += 1;
                    if !happened.more {
                        break;
                    }
                }
            }
            self.fail(&state, &mut next, &mut cuttable)?;
        }
        self.report.stages += 1;
        self.report.reversals =
            self.report.reversals.max(states.reversals.iter().copied().max().unwrap_or(0).into());
        if self.world.limits.connected {
            match longest(states.ends.len(), &hops) {
                Ok(longest) => self.report.hops = self.report.hops.max(longest),
                Err(place) => {
                    symmetry::read(states.key(place), &mut state);
                    return Err(Violation::Endless(self.world.show(&state)));
                }
            }
        }
        Ok(())
    }

    /// What can fail, or be noticed, in a state. A link that is cut and that neither end knows of loses all that is sent over
    /// it, and any link may do that: so a cut is tried together with the first end that notices it.
    fn fail(
        &mut self,
        state: &State,
        next: &mut State,
        cuttable: &mut Option<Vec<usize>>,
    ) -> Result<(), Violation> {
        let constant = self.world.limits.restores_max == 0 && self.world.limits.aeos_max == 0;
        let links = match cuttable.take() {
            Some(links) if constant => links,
            _ => (0..state.cut.len()).filter(|link| self.world.may_cut(state, *link)).collect(),
        };
        for link in &links {
            for end in 0..if self.world.limits.late { 2 } else { 1 } {
                next.copy(state);
                self.world.happen(next, Event::Cut(*link), 0)?;
                if self.world.limits.late {
                    self.world.happen(next, Event::Notice(2 * link + end), 0)?;
                }
                self.report.steps += 1;
                self.put_aside(next)?;
            }
        }
        let ends: Vec<usize> = state.unnoticed().collect();
        for end in ends {
            next.copy(state);
            self.world.happen(next, Event::Notice(end), 0)?;
            self.report.steps += 1;
            self.put_aside(next)?;
        }
        *cuttable = Some(links);
        Ok(())
    }
}

/// The longest chain of hops; where hops lead back, one of the states that they lead back to.
fn longest(states: usize, hops: &[(u32, u32)]) -> Result<u32, u32> {
    let mut begins = vec![0_u32; states + 1];
    let mut into = vec![0_u32; states];
    for (from, to) in hops {
        begins[*from as usize + 1] += 1;
        into[*to as usize] += 1;
    }
    for place in 0..states {
        begins[place + 1] += begins[place];
    }
    debug_assert!(hops.is_sorted_by_key(|(from, _)| *from));
    let mut length = vec![0_u32; states];
    let mut ready: Vec<u32> = (0..states as u32).filter(|state| into[*state as usize] == 0).collect();
    let mut done = 0;
    while let Some(state) = ready.pop() {
        done += 1;
        let from = state as usize;
        for (_, to) in &hops[begins[from] as usize..begins[from + 1] as usize] {
            let to = *to as usize;
            length[to] = length[to].max(length[from] + 1);
            into[to] -= 1;
            if into[to] == 0 {
                ready.push(to as u32);
            }
        }
    }
    if done == states {
        return Ok(length.into_iter().max().unwrap_or(0));
    }
    Err((0..states as u32).find(|state| into[*state as usize] > 0).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forwarder::BounceTest;
    use crate::plan::Priority;

    #[test]
    fn fewer_states_say_the_same() {
        for nodes in [3, 4] {
            let mesh = topology::generate::full_mesh(nodes, &topology::LinkSpec::default()).unwrap();
            let map = Map::new(&mesh, topology::paths::by_hops).unwrap();
            for (test, any, phase) in [
                (BounceTest::Equal, true, Phase::Plain),
                (BounceTest::Equal, false, Phase::Patient(1)),
                (BounceTest::Misprinted, true, Phase::Plain),
            ] {
                let limits = Limits {
                    in_flight_max: 2,
                    cuts_max: if nodes == 3 { 3 } else { 2 },
                    late: true,
                    connected: true,
                    aeos_max: 0,
                    restores_max: 0,
                    reversals_max: 16,
                    states_max: 1 << 20,
                    phase,
                    any,
                    test,
                };
                let plan = Plan::towards(&map, 0, Priority::Nearest);
                let [fewer, more] = [true, false].map(|fewer| all(&map, &plan, &limits, fewer));
                match (fewer, more) {
                    (Ok(fewer), Ok(more)) => {
                        assert_eq!((fewer.reversals, fewer.hops), (more.reversals, more.hops));
                        assert!(fewer.states <= more.states, "{fewer:?} {more:?}");
                    }
                    (fewer, more) => assert!(fewer.is_err() && more.is_err(), "{fewer:?} {more:?}"),
                }
            }
        }
    }
}
