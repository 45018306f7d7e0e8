//! Refinement between pairs of parts.

use std::collections::BTreeSet;

use super::{Attempt, PASSES_MAX, Problem};

/// Improves an attempt until a pass over all pairs of parts that touch gains nothing.
pub(super) fn refine(problem: &Problem, attempt: &mut Attempt) {
    let mut members = vec![Vec::new(); problem.parts];
    for node in &problem.nodes {
        members[attempt.part_of[*node]].push(*node);
    }
    for _ in 0..PASSES_MAX {
        let mut gained = false;
        for (a, b) in pairs(problem, attempt) {
            let mut nodes = std::mem::take(&mut members[a]);
            nodes.append(&mut members[b]);
            gained |= refine_pair(problem, attempt, &nodes, a, b);
            for node in nodes {
                members[attempt.part_of[node]].push(node);
            }
        }
        if !gained {
            break;
        }
    }
}

/// The pairs of parts with a link between them, and those with a part that is too heavy.
fn pairs(problem: &Problem, attempt: &Attempt) -> BTreeSet<(usize, usize)> {
    let mut pairs = BTreeSet::new();
    for node in &problem.nodes {
        let own = attempt.part_of[*node];
        for (other, _) in &problem.near[*node] {
            let other = attempt.part_of[*other];
            if own != other {
                pairs.insert((own.min(other), own.max(other)));
            }
        }
    }
    let lightest = (0..problem.parts).min_by_key(|part| attempt.weights[*part]);
    for part in (0..problem.parts).filter(|part| attempt.weights[*part] > problem.limit) {
        let other = lightest.unwrap_or(0);
        if other != part {
            pairs.insert((part.min(other), part.max(other)));
        }
    }
    pairs
}

/// How good a state of two parts is, lower is better: first that none is too heavy, then the cut (as a
/// difference to where it began), then that they weigh the same.
type Badness = (u64, i64, u64);

/// One pass: every node of the two parts moves at most once, the best move first; then back to the best state
/// seen. True if that is better than the start.
fn refine_pair(problem: &Problem, attempt: &mut Attempt, nodes: &[usize], a: usize, b: usize) -> bool {
    let mut gains = Gains::new(problem, attempt, nodes, a, b);
    // One node beyond the limit on the way, so that two nodes can change places.
    let slack = gains.heaviest;
    let badness = |attempt: &Attempt, cut: i64| -> Badness {
        let (heavy, light) =
            (attempt.weights[a].max(attempt.weights[b]), attempt.weights[a].min(attempt.weights[b]));
        let over = |weight: u64| weight.saturating_sub(problem.limit);
        (over(heavy) + over(light), cut, heavy - light)
    };
    let start = badness(attempt, 0);
    let (mut best, mut best_moves) = (start, 0);
    let (mut cut, mut moves) = (0, Vec::new());
    while let Some((node, gain)) = gains.take(problem, attempt, slack) {
        let from = attempt.part_of[node];
        attempt.put(problem, node, if from == a { b } else { a });
        gains.moved(problem, attempt, node);
        moves.push((node, from));
        cut -= gain;
        let now = badness(attempt, cut);
        if now < best {
            (best, best_moves) = (now, moves.len());
        }
    }
    for (node, from) in moves.drain(best_moves..).rev() {
        attempt.put(problem, node, from);
    }
    // Evening out weights is welcome but no reason for another pass, or passes might never end.
    (best.0, best.1) < (start.0, start.1)
}

/// What moving each node of two parts to the other one would take off the cut.
struct Gains {
    parts: [usize; 2],
    /// By node: its gain, where it can still move.
    gain: std::collections::HashMap<usize, i64>,
    /// By side: (gain, node).
    ranked: [BTreeSet<(i64, usize)>; 2],
    heaviest: u64,
}

impl Gains {
    fn new(problem: &Problem, attempt: &Attempt, nodes: &[usize], a: usize, b: usize) -> Self {
        let mut gains = Self {
            parts: [a, b],
            gain: std::collections::HashMap::new(),
            ranked: Default::default(),
            heaviest: 0,
        };
        for node in nodes.iter().copied() {
            let own = attempt.part_of[node];
            let Some(side) = gains.side(own) else { continue };
            let mut gain = 0;
            for (other, weight) in &problem.near[node] {
                let theirs = attempt.part_of[*other];
                if theirs == own {
                    gain -= *weight as i64;
                } else if theirs == a || theirs == b {
                    gain += *weight as i64;
                }
            }
            gains.gain.insert(node, gain);
            gains.ranked[side].insert((gain, node));
            gains.heaviest = gains.heaviest.max(problem.node_weight[node]);
        }
        gains
    }

    fn side(&self, part: usize) -> Option<usize> {
        self.parts.iter().position(|own| *own == part)
    }

    /// Takes the node whose move gains most and does not overfill the other part.
    fn take(&mut self, problem: &Problem, attempt: &Attempt, slack: u64) -> Option<(usize, i64)> {
        let fits = |side: usize, node: usize| {
            let (own, other) = (attempt.weights[self.parts[side]], attempt.weights[self.parts[1 - side]]);
            let weight = problem.node_weight[node];
            other + weight <= problem.limit + slack && (other + weight <= problem.limit || own >= other)
        };
        let best_of = |side: usize| {
            // Few steps in practice: nodes that do not fit are as heavy as the room that is left.
            let best = self.ranked[side].iter().rev().find(|(_, node)| fits(side, *node))?;
            Some((best.0, attempt.weights[self.parts[side]], best.1, side))
        };
        let (gain, _, node, side) = [best_of(0), best_of(1)].into_iter().flatten().max()?;
        self.ranked[side].remove(&(gain, node));
        self.gain.remove(&node);
        Some((node, gain))
    }

    /// Corrects the gains of the neighbours of a node that has just moved.
    fn moved(&mut self, problem: &Problem, attempt: &Attempt, node: usize) {
        let now = attempt.part_of[node];
        for (other, weight) in &problem.near[node] {
            let theirs = attempt.part_of[*other];
            let Some(side) = self.side(theirs) else { continue };
            let Some(gain) = self.gain.get_mut(other) else { continue };
            self.ranked[side].remove(&(*gain, *other));
            *gain += if theirs == now { -2 } else { 2 } * *weight as i64;
            self.ranked[side].insert((*gain, *other));
        }
    }
}
