//! What others do, to be compared with: chance, packing, and the heuristic of the paper (section 4.3 of Palkar et al., SOSP'15).

use super::problem::{Problem, Random};

/// Anywhere, as far as there are cores.
pub fn random(problem: &Problem, seed: u64) -> Vec<usize> {
    let each = problem.cores.iter().enumerate();
    let mut cores: Vec<usize> = each.flat_map(|(server, cores)| vec![server; *cores as usize]).collect();
    Random(seed).shuffle(&mut cores);
    cores.truncate(problem.instances());
    cores
}

/// One server after the other, each until it is full, in the order of the instances.
pub fn packing(problem: &Problem) -> Vec<usize> {
    let each = problem.cores.iter().enumerate();
    each.flat_map(|(server, cores)| vec![server; *cores as usize]).take(problem.instances()).collect()
}

/// Packing, then always the swap that gains most, until none gains.
pub fn paper(problem: &Problem) -> Vec<usize> {
    let servers = problem.cores.len();
    let mut placed = packing(problem);
    let mut traffic = vec![0i64; problem.instances() * servers];
    for (one, other, rate) in problem.pairs() {
        traffic[one * servers + placed[other]] += rate as i64;
        traffic[other * servers + placed[one]] += rate as i64;
    }
    loop {
        let with = |place: usize, server: usize| traffic[place * servers + server];
        let mut best = (0, 0, 0);
        for i in 0..placed.len() {
            for j in i + 1..placed.len() {
                let (si, sj) = (placed[i], placed[j]);
                if si != sj {
                    let gain = with(i, sj) - with(i, si) + with(j, si)
                        - with(j, sj)
                        - 2 * problem.between(i, j) as i64;
                    best = best.max((gain, usize::MAX - i, usize::MAX - j)); // of equal ones the first
                }
            }
        }
        if best.0 <= 0 {
            return placed;
        }
        let (i, j) = (usize::MAX - best.1, usize::MAX - best.2);
        for (place, from, to) in [(i, placed[i], placed[j]), (j, placed[j], placed[i])] {
            for (other, rate) in problem.near(place) {
                traffic[other * servers + from] -= *rate as i64;
                traffic[other * servers + to] += *rate as i64;
            }
        }
        placed.swap(i, j);
    }
}
