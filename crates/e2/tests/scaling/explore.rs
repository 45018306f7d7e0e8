//! Every state that a system can reach, breadth first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// The most states; more say that the system was made too large.
const STATES_MAX: usize = 4_000_000;

/// A system that is explored.
pub(crate) trait System {
    type State: Clone + Eq + Hash;

    /// What can happen next: its name and what comes of it, or what is wrong with it.
    fn next(&self, state: &Self::State) -> Vec<(String, Result<Self::State, String>)>;

    /// What is wrong with a state.
    fn check(&self, state: &Self::State) -> Result<(), String>;
}

/// What was found out.
#[derive(Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
}

/// Explores everything; or the shortest way to what is wrong.
pub(crate) fn explore<S: System>(system: &S, start: S::State) -> Result<Explored, String> {
    // By place: how it was reached first.
    let mut ways: Vec<(usize, String)> = vec![(usize::MAX, "start".into())];
    let mut states = vec![start.clone()];
    let mut seen = HashMap::from([(start, 0usize)]);
    let trace = |ways: &[(usize, String)], mut at: usize, last: &str, wrong: &str| {
        let mut steps = vec![last.to_owned()];
        while at != usize::MAX {
            steps.push(ways[at].1.clone());
            at = ways[at].0;
        }
        steps.reverse();
        format!("{wrong}\n  {}", steps.join("\n  "))
    };
    let (mut at, mut transitions) = (0, 0);
    while at < states.len() {
        let state = states[at].clone();
        system.check(&state).map_err(|wrong| trace(&ways, at, "", &wrong))?;
        for (name, outcome) in system.next(&state) {
            transitions += 1;
            let next = outcome.map_err(|wrong| trace(&ways, at, &name, &wrong))?;
            if let Entry::Vacant(entry) = seen.entry(next) {
                states.push(entry.key().clone());
                entry.insert(ways.len());
                ways.push((at, name));
            }
        }
        at += 1;
        assert!(states.len() < STATES_MAX, "too many states");
    }
    Ok(Explored { states: states.len(), transitions })
}
