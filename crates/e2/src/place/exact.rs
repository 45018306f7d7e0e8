//! The best placement, for small problems: branch and bound from the back (Verfaillie, Lemaître and Schiex, "Russian doll
//! search", AAAI 1996).
//!
//! Instances are put in an order, and the last one, the last two, … are solved one after the other. What the last `k` cost at least
//! bounds the search for more of them; added to it is what instances that are still open cost with those already placed: each
//! goes to its best server with room, and where more want a server than it has room for, the rest goes to their second best.
//! Empty servers with as many cores are alike, so only the first of them is tried.

use super::problem::{Problem, Servers};

/// What a search found out in the steps that it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exact {
    /// A better assignment than the one that was given, the best of all if the search was `finished`.
    pub better: Option<Vec<usize>>,
    /// No placement has less than this, in bit/s.
    pub bound: u64,
    /// Whether the search came to its end: then the bound is the cut of the best.
    pub finished: bool,
    /// Steps taken.
    pub steps: u64,
}

/// Proves that an assignment is the best, or finds the best, in at most `steps_max` steps.
pub fn improve(problem: &Problem, found: &Servers, steps_max: u64) -> Exact {
    let order = order(problem);
    let count = order.len();
    let mut search = Search {
        problem,
        rest: vec![0; count + 1],
        servers: vec![usize::MAX; count],
        free: problem.cores.clone(),
        pull: vec![0; count * problem.cores.len()],
        best: 0,
        best_servers: None,
        steps: steps_max,
        first: 0,
        regrets: Vec::new(),
        order,
    };
    for first in (0..count).rev() {
        // Nothing costs more with fewer instances, so the whole's best bounds every part's.
        let part: u64 = search.within(&found.servers, first);
        search.first = first;
        search.best = part;
        search.best_servers = None;
        search.descend(first, 0);
        if search.steps == 0 {
            let bound = search.rest[first + 1];
            let better = if first == 0 { search.best_servers } else { None };
            return Exact { better, bound, finished: false, steps: steps_max };
        }
        search.rest[first] = search.best;
    }
    let steps = steps_max - search.steps;
    Exact { better: search.best_servers, bound: search.rest[0], finished: true, steps }
}

/// The core first: each next one has most traffic with those before it, so that bad beginnings cost much early. (The other way
/// round, with the core last, some policies of 20 functions took a thousand times the steps.)
fn order(problem: &Problem) -> Vec<usize> {
    let count = problem.instances();
    let degree = |place: usize| problem.near(place).iter().map(|(_, rate)| rate).sum::<u64>();
    let mut pull = vec![0u64; count];
    let mut open: Vec<usize> = (0..count).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(at) =
        (0..open.len()).max_by_key(|at| (pull[open[*at]], degree(open[*at]), std::cmp::Reverse(open[*at])))
    {
        let place = open.swap_remove(at);
        problem.near(place).iter().for_each(|(other, rate)| pull[*other] += rate);
        order.push(place);
    }
    order
}

struct Search<'a> {
    problem: &'a Problem,
    order: Vec<usize>,
    /// By number of the first: what it and all behind it cost at least among themselves.
    rest: Vec<u64>,
    servers: Vec<usize>,
    free: Vec<u32>,
    pull: Vec<u64>,
    best: u64,
    best_servers: Option<Vec<usize>>,
    steps: u64,
    first: usize,
    /// By server, of those that want it: what their second best costs more.
    regrets: Vec<(usize, u64)>,
}

impl Search<'_> {
    /// What an assignment costs among the instances from a number on.
    fn within(&self, servers: &[usize], first: usize) -> u64 {
        let mut inside = vec![false; servers.len()];
        self.order[first..].iter().for_each(|place| inside[*place] = true);
        let pairs = self.problem.pairs().filter(|(one, other, _)| inside[*one] && inside[*other]);
        pairs.filter(|(one, other, _)| servers[*one] != servers[*other]).map(|(.., rate)| rate).sum()
    }

    /// What open instances, from a number on, cost at least with those that are placed; none where one has no server left.
    fn open_cost(&mut self, from: usize) -> Option<u64> {
        let count = self.free.len();
        let mut total = 0;
        self.regrets.clear();
        for place in &self.order[from..] {
            let row = &self.pull[place * count..][..count];
            let (mut best, mut second, mut all) = ((0, usize::MAX), None, 0);
            for (server, pull) in row.iter().enumerate() {
                all += pull;
                if self.free[server] == 0 {
                    continue;
                }
                if best.1 == usize::MAX || *pull > best.0 {
                    second = (best.1 != usize::MAX).then_some(best.0);
                    best = (*pull, server);
                } else if second.is_none_or(|second| *pull > second) {
                    second = Some(*pull);
                }
            }
            if best.1 == usize::MAX {
                return None;
            }
            total += all - best.0;
            self.regrets.push((best.1, best.0 - second.unwrap_or(0)));
        }
        self.regrets.sort_unstable_by(|one, other| (one.0, other.1).cmp(&(other.0, one.1)));
        let mut of = (usize::MAX, 0);
        for (server, regret) in &self.regrets {
            of = if of.0 == *server { (*server, of.1 + 1) } else { (*server, 1) };
            // The largest regrets come first and are spared.
            total += if of.1 > self.free[*server] { *regret } else { 0 };
        }
        Some(total)
    }

    fn descend(&mut self, at: usize, cost: u64) {
        if self.steps == 0 {
            return;
        }
        self.steps -= 1;
        let Some(place) = self.order.get(at).copied() else {
            if cost < self.best {
                self.best = cost;
                self.best_servers = Some(self.servers.clone());
            }
            return;
        };
        match self.open_cost(at) {
            Some(open) if cost + open + self.rest_from(at) < self.best => {}
            _ => return,
        }
        let count = self.free.len();
        let row = &self.pull[place * count..][..count];
        let all: u64 = row.iter().sum();
        let mut choices: Vec<(u64, usize)> = Vec::with_capacity(count);
        for (server, pull) in row.iter().enumerate() {
            let empty = |server: usize| self.free[server] == self.problem.cores[server];
            let alike =
                |other: usize| self.problem.cores[other] == self.problem.cores[server] && empty(other);
            if self.free[server] > 0 && !(empty(server) && (0..server).any(alike)) {
                choices.push((all - pull, server));
            }
        }
        choices.sort_unstable();
        for (added, server) in choices {
            self.put(place, server, true);
            self.descend(at + 1, cost + added);
            self.put(place, server, false);
        }
    }

    /// What instances from a number on cost among themselves: known for all that were solved before.
    fn rest_from(&self, at: usize) -> u64 {
        self.rest[if at == self.first { at + 1 } else { at }]
    }

    fn put(&mut self, place: usize, server: usize, there: bool) {
        let count = self.free.len();
        self.servers[place] = if there { server } else { usize::MAX };
        self.free[server] = if there { self.free[server] - 1 } else { self.free[server] + 1 };
        for (other, rate) in self.problem.near(place) {
            let pull = &mut self.pull[other * count + server];
            *pull = if there { *pull + rate } else { *pull - rate };
        }
    }
}
