//! The search itself: breadth first through all states, then the hops among them put in order.

use hashbrown::HashMap;

use super::world::World;
use super::{Limits, Report, Violation};
use crate::guide::Guide;
use crate::map::Map;
use crate::plan::Plan;

/// Tries every schedule.
///
/// # Errors
/// With the first state found in which a property does not hold, or when there are too many states.
pub fn explore(map: &Map, plan: &Plan, limits: &Limits) -> Result<Report, Violation> {
    let mut guide = Guide::new(map, plan.destination);
    let mut numbers: HashMap<Box<[u8]>, u32, foldhash::fast::FixedState> = HashMap::default();
    let mut report = Report::default();
    let start = World::new(map, plan);
    start.check(map, limits)?;
    numbers.insert(start.key(), 0);
    let (mut hops, mut waiting, mut first) = (Vec::new(), vec![start], 0_u32);
    // Ends: every state is visited once, and there are at most `states_max`.
    while !waiting.is_empty() {
        let mut found = Vec::new();
        for (world, number) in waiting.iter().zip(first..) {
            for event in world.events(map, plan, limits) {
                let mut next = world.clone();
                let is_hop = next.happen(event, map, limits, &mut guide)?;
                report.steps += 1;
                let fresh = numbers.len() as u32;
                let to = *numbers.entry(next.key()).or_insert(fresh);
                if is_hop {
                    hops.push((number, to));
                }
                if to == fresh {
                    if numbers.len() > limits.states_max {
                        return Err(Violation::TooManyStates(limits.states_max));
                    }
                    next.check(map, limits)?;
                    report.reversals = report.reversals.max(next.reversals);
                    found.push(next);
                }
            }
        }
        first += waiting.len() as u32;
        waiting = found;
    }
    report.states = numbers.len();
    if !limits.connected {
        return Ok(report);
    }
    match longest(report.states, &hops) {
        Ok(longest) => report.hops = longest,
        Err(state) => return Err(Violation::Endless(show(&numbers, state))),
    }
    Ok(report)
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
    // The search numbers states in the order in which it visits them, so hops are sorted by where they begin.
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

fn show(numbers: &HashMap<Box<[u8]>, u32, foldhash::fast::FixedState>, state: u32) -> String {
    let key = numbers.iter().find(|(_, number)| **number == state).map(|(key, _)| key);
    format!("state {state}: {:02x?}", key.map(|key| &key[..]).unwrap_or_default())
}
