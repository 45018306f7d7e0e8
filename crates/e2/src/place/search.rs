//! Tabu search (Glover, 1989) over moves and swaps, from several starts.
//!
//! The paper's swaps stop at the first state that no swap improves. Here the best change is taken even where it costs
//! something, what was just moved stays for a while, and the best state seen is kept; so the search leaves such states again.

use super::problem::{Problem, RANDOM_SEED, Random, Servers};

/// How much a search may do: looks at one instance on one server.
const LOOKS_MAX: usize = 60_000;
/// A start is given up after so many changes without a better state, and this for every instance.
const PATIENCE: usize = 40;
const PATIENCE_EACH: usize = 2;
/// The most starts.
const STARTS_MAX: usize = 64;

/// The best assignment found in which live instances stay. The caller has checked that there are cores.
pub(super) fn best(problem: &Problem, live: &[Option<usize>]) -> Servers {
    let (count, movable) = (problem.instances(), live.iter().filter(|server| server.is_none()).count());
    let mut random = Random(RANDOM_SEED);
    let start = if movable == count { clustered(problem) } else { grown(problem, live, &mut random, false) };
    let mut best = Servers { cut: problem.cut(&start), servers: start };
    if movable < 2 && count > movable || best.cut == 0 {
        return best; // one new instance is where it adds least already
    }
    let mut looks = LOOKS_MAX;
    let mut walk = Walk::new(problem, live);
    for number in 0..STARTS_MAX {
        if number > 0 {
            let start = if number % 3 == 1 || movable < count {
                grown(problem, live, &mut random, true)
            } else {
                shaken(problem, live, &best.servers, &mut random)
            };
            walk.start(&start);
        } else {
            walk.start(&best.servers);
        }
        walk.run(&mut best, &mut looks, &mut random);
        if looks == 0 || best.cut == 0 {
            break;
        }
    }
    best
}

/// Joins what has most traffic as long as it fits on a server, then packs what was joined, the largest first; what does not fit
/// in one piece anywhere goes where its neighbours are.
fn clustered(problem: &Problem) -> Vec<usize> {
    let count = problem.instances();
    let mut group: Vec<usize> = (0..count).collect();
    let mut members: Vec<Vec<usize>> = (0..count).map(|one| vec![one]).collect();
    let mut pairs: Vec<_> = problem.pairs().collect();
    pairs.sort_by_key(|(one, other, rate)| (std::cmp::Reverse(*rate), *one, *other));
    for (one, other, _) in pairs {
        let (kept, lost) = (group[one].min(group[other]), group[one].max(group[other]));
        if kept != lost && members[kept].len() + members[lost].len() <= problem.widest() {
            let moved = std::mem::take(&mut members[lost]);
            moved.iter().for_each(|place| group[*place] = kept);
            members[kept].extend(moved);
        }
    }
    members.sort_by_key(|members| std::cmp::Reverse(members.len()));
    let mut free = problem.cores.clone();
    let mut placed = vec![None; count];
    for cluster in &members {
        // The tightest server that holds all of it.
        let fitting = free.iter().enumerate().filter(|(_, cores)| **cores as usize >= cluster.len());
        if let Some(server) = fitting.min_by_key(|(_, cores)| **cores).map(|(server, _)| server) {
            free[server] -= cluster.len() as u32;
            cluster.iter().for_each(|place| placed[*place] = Some(server));
        }
    }
    grown(problem, &placed, &mut Random(RANDOM_SEED), false)
}

/// Places what is not placed yet: always what hangs most on what is placed, where it hangs most and there is room; with
/// `shuffled`, what is tried first is left to chance.
fn grown(problem: &Problem, placed: &[Option<usize>], random: &mut Random, shuffled: bool) -> Vec<usize> {
    let servers = problem.cores.len();
    let mut placed = placed.to_vec();
    let mut free = problem.cores.clone();
    placed.iter().flatten().for_each(|server| free[*server] -= 1);
    let mut waiting: Vec<usize> = (0..placed.len()).filter(|place| placed[*place].is_none()).collect();
    if shuffled {
        random.shuffle(&mut waiting);
    }
    let mut pull = vec![0u64; placed.len() * servers];
    for (one, server) in placed.iter().enumerate().filter_map(|(one, server)| Some((one, (*server)?))) {
        problem.near(one).iter().for_each(|(other, rate)| pull[other * servers + server] += rate);
    }
    let mut current = 0;
    while !waiting.is_empty() {
        // Grow the server at hand by what hangs most on it; open the emptiest where none hangs anywhere.
        let strongest = |place: usize| {
            let row = &pull[place * servers..][..servers];
            let open = row.iter().enumerate().filter(|(server, _)| free[*server] > 0);
            open.map(|(server, pull)| (*pull, free[server], server)).max()
        };
        let mut chosen: Option<(u64, usize, usize)> = None;
        for (at, place) in waiting.iter().enumerate() {
            let Some((pull, _, server)) = strongest(*place) else { continue };
            if chosen.is_none_or(|(most, ..)| pull > most) {
                chosen = Some((pull, at, server));
            }
        }
        let Some((pulled, at, server)) = chosen else { break };
        let server = if pulled == 0 && free[current] > 0 && shuffled { current } else { server };
        current = server;
        let place = if shuffled { waiting.swap_remove(at) } else { waiting.remove(at) };
        placed[place] = Some(server);
        free[server] -= 1;
        problem.near(place).iter().for_each(|(other, rate)| pull[other * servers + server] += rate);
    }
    placed.into_iter().map(|server| server.unwrap_or(0)).collect()
}

/// The best so far with a part of it exchanged at random.
fn shaken(problem: &Problem, live: &[Option<usize>], best: &[usize], random: &mut Random) -> Vec<usize> {
    let movable: Vec<usize> = (0..problem.instances()).filter(|place| live[*place].is_none()).collect();
    let mut servers = best.to_vec();
    for _ in 0..movable.len().div_ceil(6).max(2) {
        let (one, other) = (movable[random.below(movable.len())], movable[random.below(movable.len())]);
        servers.swap(one, other);
    }
    servers
}

/// One instance that might go from one server to another, and what that takes off the cut.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    gain: i64,
    place: usize,
}

const NOBODY: Candidate = Candidate { gain: i64::MIN / 4, place: usize::MAX };

/// A change: instances that go to another server.
#[derive(Clone, Copy, Debug)]
struct Change {
    gain: i64,
    first: (usize, usize),
    second: Option<(usize, usize)>,
}

/// Takes one among the two best, if it is; of equal ones the first stays.
#[inline]
fn consider(cell: &mut [Candidate; 2], candidate: Candidate) {
    if candidate.gain > cell[1].gain {
        *cell = if candidate.gain > cell[0].gain { [candidate, cell[0]] } else { [cell[0], candidate] };
    }
}

struct Walk<'a> {
    problem: &'a Problem,
    movable: Vec<usize>,
    count: usize,
    servers: Vec<usize>,
    free: Vec<u32>,
    /// By instance and server: the traffic between them.
    pull: Vec<i64>,
    /// By instance: the change before which it stays.
    stays: Vec<usize>,
    /// Those that stay for now.
    staying: Vec<usize>,
    /// By server: what is there and may move, by number.
    members: Vec<Vec<usize>>,
    /// By server and server: the two best that go from one to the other.
    cells: Vec<[Candidate; 2]>,
    /// By server: whether all cells of what goes from it are to be looked at again.
    stale: Vec<bool>,
    /// Other cells that are: what goes from one server to another.
    stale_cells: Vec<(usize, usize)>,
    cut: u64,
}

impl<'a> Walk<'a> {
    fn new(problem: &'a Problem, live: &[Option<usize>]) -> Self {
        let (places, count) = (problem.instances(), problem.cores.len());
        Self {
            problem,
            movable: (0..places).filter(|place| live[*place].is_none()).collect(),
            count,
            servers: vec![0; places],
            free: vec![0; count],
            pull: vec![0; places * count],
            stays: vec![0; places],
            staying: Vec::new(),
            members: vec![Vec::new(); count],
            cells: vec![[NOBODY; 2]; count * count],
            stale: vec![true; count],
            stale_cells: Vec::new(),
            cut: 0,
        }
    }

    fn start(&mut self, servers: &[usize]) {
        self.servers.copy_from_slice(servers);
        self.free.copy_from_slice(&self.problem.cores);
        self.pull.fill(0);
        self.stays.fill(0);
        self.staying.clear();
        self.stale.fill(true);
        self.stale_cells.clear();
        self.members.iter_mut().for_each(Vec::clear);
        self.movable.iter().for_each(|place| self.members[servers[*place]].push(*place));
        for (place, server) in servers.iter().enumerate() {
            self.free[*server] -= 1;
            for (other, rate) in self.problem.near(place) {
                self.pull[other * self.count + server] += *rate as i64;
            }
        }
        self.cut = self.problem.cut(servers);
    }

    fn run(&mut self, best: &mut Servers, looks: &mut usize, random: &mut Random) {
        let patience = PATIENCE + PATIENCE_EACH * self.movable.len();
        let (mut seen, mut since) = (self.cut, 0);
        if self.cut < best.cut {
            best.servers.copy_from_slice(&self.servers);
            best.cut = self.cut;
        }
        for now in 1.. {
            if *looks == 0 || since > patience {
                return;
            }
            *looks = looks.saturating_sub(self.candidates(now) + self.count * self.count);
            let Some(change) = self.change() else { return };
            let tenure = 3 + self.movable.len() / 10;
            for (place, server) in [Some(change.first), change.second].into_iter().flatten() {
                self.go(place, server);
                self.stays[place] = now + tenure + random.below(tenure);
                self.staying.push(place);
            }
            self.cut = self.cut.wrapping_add_signed(-change.gain);
            since += 1;
            if self.cut < seen {
                (seen, since) = (self.cut, 0);
            }
            if self.cut < best.cut {
                best.servers.copy_from_slice(&self.servers);
                best.cut = self.cut;
            }
        }
    }

    /// Brings the cells up to date; returns how many looks that took.
    fn candidates(&mut self, now: usize) -> usize {
        let (stays, stale, servers) = (&self.stays, &mut self.stale, &self.servers);
        self.staying.retain(|place| {
            let still = stays[*place] > now;
            stale[servers[*place]] |= !still;
            still
        });
        let mut looks = 0;
        for (own, members) in self.members.iter().enumerate().filter(|(own, _)| stale[*own]) {
            let cells = &mut self.cells[own * self.count..][..self.count];
            cells.fill([NOBODY; 2]);
            for place in members.iter().copied().filter(|place| stays[*place] <= now) {
                looks += self.count;
                let row = &self.pull[place * self.count..][..self.count];
                let here = row[own];
                for (pull, cell) in row.iter().zip(&mut *cells) {
                    consider(cell, Candidate { gain: pull - here, place });
                }
            }
            cells[own] = [NOBODY; 2];
        }
        for (own, to) in self.stale_cells.drain(..).filter(|(own, to)| own != to && !stale[*own]) {
            let members = &self.members[own];
            looks += members.len();
            let cell = &mut self.cells[own * self.count + to];
            *cell = [NOBODY; 2];
            for place in members.iter().copied().filter(|place| stays[*place] <= now) {
                let row = &self.pull[place * self.count..][..self.count];
                consider(cell, Candidate { gain: row[to] - row[own], place });
            }
        }
        stale.fill(false);
        looks
    }

    /// The best move or swap of the candidates. A pair with traffic of its own may hide a better one behind the second best of
    /// its servers; that costs a step, not the result.
    fn change(&self) -> Option<Change> {
        let mut best: Option<Change> = None;
        let beats = |best: &Option<Change>, gain: i64| best.is_none_or(|best| gain > best.gain);
        for from in 0..self.count {
            for to in 0..self.count {
                let there = self.cells[from * self.count + to];
                if there[0].place == usize::MAX {
                    continue;
                }
                if self.free[to] > 0 && beats(&best, there[0].gain) {
                    best = Some(Change { gain: there[0].gain, first: (there[0].place, to), second: None });
                }
                if from > to {
                    continue; // seen from the other side
                }
                let back = self.cells[to * self.count + from];
                if back[0].place == usize::MAX || !beats(&best, there[0].gain + back[0].gain) {
                    continue; // nor do the second best
                }
                for (one, other) in there.iter().flat_map(|one| back.iter().map(move |other| (one, other))) {
                    let most = one.gain + other.gain;
                    if one.place == usize::MAX || other.place == usize::MAX || !beats(&best, most) {
                        continue;
                    }
                    let gain = most - 2 * self.problem.between(one.place, other.place) as i64;
                    if beats(&best, gain) {
                        best =
                            Some(Change { gain, first: (one.place, to), second: Some((other.place, from)) });
                    }
                }
            }
        }
        best
    }

    fn go(&mut self, place: usize, server: usize) {
        let own = std::mem::replace(&mut self.servers[place], server);
        self.free[own] = self.free[own].wrapping_add(1);
        self.free[server] = self.free[server].wrapping_sub(1); // the other half of a swap gives it back
        (self.stale[own], self.stale[server]) = (true, true);
        self.members[own].retain(|member| *member != place);
        let at = self.members[server].partition_point(|member| *member < place);
        self.members[server].insert(at, place);
        for (other, rate) in self.problem.near(place) {
            let near = self.servers[*other];
            self.stale_cells.extend([(near, own), (near, server)]);
            self.pull[other * self.count + own] -= *rate as i64;
            self.pull[other * self.count + server] += *rate as i64;
        }
    }
}
