//! The combinatorial half of the layered layout: which layer a box is in, and where in it.

/// Sweeps of crossing reduction; the best order seen is kept.
const SWEEPS: usize = 24;
/// The most dummies. Above, long edges are not cut: they pass nothing, and are drawn straight.
const DUMMIES_MAX: usize = 20_000;

/// Boxes and edges in layers. Every edge leads from a layer to the next: longer ones have been cut by dummies.
pub(super) struct Layers {
    /// By box, dummies last: its layer.
    pub(super) layer_of: Vec<usize>,
    /// By layer: its boxes from top to bottom.
    pub(super) rows: Vec<Vec<usize>>,
    /// By edge given: the boxes it passes, in the direction of the layers, ends included.
    pub(super) chains: Vec<Vec<usize>>,
    /// By edge given: was it turned round to break a cycle?
    pub(super) turned: Vec<bool>,
}

impl Layers {
    /// Layers `count` boxes.
    pub(super) fn new(count: usize, edges: &[(usize, usize)]) -> Self {
        let turned = break_cycles(count, edges);
        let forward: Vec<(usize, usize)> = edges
            .iter()
            .zip(&turned)
            .map(|((a, b), turned)| if *turned { (*b, *a) } else { (*a, *b) })
            .collect();
        let mut layer_of = assign_layers(count, &forward);
        let mut chains = Vec::with_capacity(edges.len());
        let dummies: usize = forward.iter().map(|(from, to)| layer_of[*to] - layer_of[*from] - 1).sum();
        for (from, to) in forward {
            let mut chain = vec![from];
            if dummies > DUMMIES_MAX && layer_of[to] - layer_of[from] > 1 {
                chains.push(chain);
                continue;
            }
            for layer in layer_of[from] + 1..layer_of[to] {
                chain.push(layer_of.len());
                layer_of.push(layer);
            }
            chain.push(to);
            chains.push(chain);
        }
        let mut rows = vec![Vec::new(); layer_of.iter().max().map_or(0, |last| last + 1)];
        for (node, layer) in layer_of.iter().enumerate() {
            rows[*layer].push(node);
        }
        let mut layers = Self { layer_of, rows, chains, turned };
        layers.reduce_crossings();
        layers
    }

    /// By box: its neighbours in the layer before and in the layer after.
    pub(super) fn neighbours(&self) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
        let mut before = vec![Vec::new(); self.layer_of.len()];
        let mut after = vec![Vec::new(); self.layer_of.len()];
        for pair in self.chains.iter().flat_map(|chain| chain.windows(2)) {
            after[pair[0]].push(pair[1]);
            before[pair[1]].push(pair[0]);
        }
        (before, after)
    }

    /// Barycentre sweeps, forth and back.
    fn reduce_crossings(&mut self) {
        let (before, after) = self.neighbours();
        let mut place = vec![0.0; self.layer_of.len()];
        let mut best = (self.crossings(&after), self.rows.clone());
        for sweep in 0..SWEEPS {
            if best.0 == 0 {
                break;
            }
            for row in &self.rows {
                row.iter().enumerate().for_each(|(at, node)| place[*node] = at as f64);
            }
            let count = self.rows.len();
            let forth = sweep % 2 == 0;
            for step in 1..count {
                let (layer, near) = if forth { (step, &before) } else { (count - 1 - step, &after) };
                let mean = |node: usize| {
                    let near = &near[node];
                    let sum: f64 = near.iter().map(|other| place[*other]).sum();
                    if near.is_empty() { place[node] } else { sum / near.len() as f64 }
                };
                let mut keyed: Vec<(f64, usize)> =
                    self.rows[layer].iter().map(|node| (mean(*node), *node)).collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0)); // stable: equals keep their order
                for (at, (_, node)) in keyed.iter().enumerate() {
                    self.rows[layer][at] = *node;
                    place[*node] = at as f64;
                }
            }
            let crossings = self.crossings(&after);
            if crossings < best.0 {
                best = (crossings, self.rows.clone());
            }
        }
        self.rows = best.1;
    }

    /// How many pairs of edges cross: inversions between each two layers.
    pub(super) fn crossings(&self, after: &[Vec<usize>]) -> usize {
        let mut place = vec![0; self.layer_of.len()];
        for row in &self.rows {
            row.iter().enumerate().for_each(|(at, node)| place[*node] = at);
        }
        let mut total = 0;
        for row in &self.rows {
            let mut ends: Vec<usize> = Vec::new();
            for node in row {
                let mut own: Vec<usize> = after[*node].iter().map(|next| place[*next]).collect();
                own.sort_unstable();
                ends.extend(own);
            }
            total += inversions(&mut ends);
        }
        total
    }
}

/// Pairs out of order, by merge sort.
fn inversions(values: &mut [usize]) -> usize {
    if values.len() < 2 {
        return 0;
    }
    let middle = values.len() / 2;
    let (left, right) = values.split_at_mut(middle);
    let mut count = inversions(left) + inversions(right);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut a, mut b) = (0, 0);
    while a < left.len() || b < right.len() {
        if b == right.len() || (a < left.len() && left[a] <= right[b]) {
            merged.push(left[a]);
            a += 1;
        } else {
            merged.push(right[b]);
            count += left.len() - a;
            b += 1;
        }
    }
    values.copy_from_slice(&merged);
    count
}

/// Which edges to turn round so that no cycle is left: those that lead back to a box the depth-first search is
/// still in. It starts from boxes nothing leads to, so that a picture begins where the traffic does.
fn break_cycles(count: usize, edges: &[(usize, usize)]) -> Vec<bool> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut entered = vec![false; count];
    for (index, (from, to)) in edges.iter().enumerate() {
        out[*from].push(index);
        entered[*to] = true;
    }
    let mut turned = vec![false; edges.len()];
    let mut state = vec![0_u8; count]; // 0 new, 1 inside, 2 done
    let mut starts: Vec<usize> = (0..count).collect();
    starts.sort_by_key(|node| entered[*node]);
    for start in starts {
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        let mut stack = vec![(start, 0)];
        while let Some((node, next)) = stack.last_mut() {
            let Some(edge) = out[*node].get(*next).copied() else {
                state[*node] = 2;
                stack.pop();
                continue;
            };
            *next += 1;
            let to = edges[edge].1;
            match state[to] {
                0 => {
                    state[to] = 1;
                    stack.push((to, 0));
                }
                1 => turned[edge] = true,
                _ => {}
            }
        }
    }
    turned
}

/// The longest way to a box from the left is its layer; boxes nothing leads to move next to what they lead to.
fn assign_layers(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut open = vec![0; count];
    for (from, to) in edges {
        out[*from].push(*to);
        open[*to] += 1;
    }
    let sources: Vec<usize> = (0..count).filter(|node| open[*node] == 0).collect();
    let mut layer_of = vec![0; count];
    let mut ready = sources.clone();
    while let Some(node) = ready.pop() {
        for to in &out[node] {
            layer_of[*to] = layer_of[*to].max(layer_of[node] + 1);
            open[*to] -= 1;
            if open[*to] == 0 {
                ready.push(*to);
            }
        }
    }
    for source in sources {
        if let Some(nearest) = out[source].iter().map(|to| layer_of[*to]).min() {
            layer_of[source] = nearest - 1;
        }
    }
    layer_of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_lead_to_the_next_layer_and_cycles_are_broken() {
        let edges = [(0, 1), (1, 2), (2, 0), (0, 3), (3, 2), (2, 4), (0, 4)];
        let layers = Layers::new(5, &edges);
        assert_eq!(layers.turned.iter().filter(|turned| **turned).count(), 1);
        for chain in &layers.chains {
            for pair in chain.windows(2) {
                assert_eq!(layers.layer_of[pair[0]] + 1, layers.layer_of[pair[1]]);
            }
        }
        for (index, (from, to)) in edges.into_iter().enumerate() {
            let ends = (layers.chains[index][0], *layers.chains[index].last().unwrap());
            assert_eq!(ends, if layers.turned[index] { (to, from) } else { (from, to) });
        }
    }

    #[test]
    fn crossings_that_need_not_be_are_removed() {
        // Two crossing pairs in the order given; none in the order 3, 2 below 0, 1.
        let layers = Layers::new(4, &[(0, 3), (1, 2)]);
        assert_eq!(layers.crossings(&layers.neighbours().1), 0);
        assert_eq!(inversions(&mut [3, 1, 2, 0]), 5);
    }
}
