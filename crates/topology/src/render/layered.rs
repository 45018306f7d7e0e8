//! The geometric half of the layered layout: columns from left to right, links as curves between them.

use super::order::Layers;
use super::picture::{Point, Size};

/// Between two boxes of a column.
const BOX_GAP: f64 = 26.0;
/// Between two links, or a link and a box.
const LINK_GAP: f64 = 16.0;
/// Between two columns, and how much more than its widest label it needs.
const COLUMN_GAP: f64 = 64.0;
const LABEL_ROOM: f64 = 44.0;
/// Rounds of pulling boxes towards their neighbours.
const ROUNDS: usize = 24;

/// An edge between boxes, and where on them it ends: above (negative) or below the middle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) from_offset: f64,
    pub(super) to_offset: f64,
    pub(super) label_width: f64,
}

/// Where everything is.
pub(super) struct Placed {
    /// By box: its middle.
    pub(super) middles: Vec<Point>,
    /// By edge: the points between its ends through which it goes, in its own direction.
    pub(super) bends: Vec<Vec<Point>>,
}

/// Places boxes of the given sizes. Edges between a box and itself have no bends.
pub(super) fn place(sizes: &[Size], edges: &[Edge]) -> Placed {
    let proper: Vec<usize> = (0..edges.len()).filter(|edge| edges[*edge].from != edges[*edge].to).collect();
    let ends: Vec<(usize, usize)> = proper.iter().map(|edge| (edges[*edge].from, edges[*edge].to)).collect();
    let layers = Layers::new(sizes.len(), &ends);
    let xs = columns(&layers, sizes, &proper.iter().map(|edge| edges[*edge].label_width).collect::<Vec<_>>());
    let ys = rows(&layers, sizes, &proper.iter().map(|edge| &edges[*edge]).collect::<Vec<_>>());

    let middles =
        (0..sizes.len()).map(|node| Point { x: xs[layers.layer_of[node]].0, y: ys[node] }).collect();
    let mut bends = vec![Vec::new(); edges.len()];
    for ((chain, turned), edge) in layers.chains.iter().zip(&layers.turned).zip(proper) {
        let inner = chain.get(1..chain.len().saturating_sub(1)).unwrap_or(&[]);
        // Straight across the column, so that the curve stays clear of the boxes in it.
        bends[edge] = inner
            .iter()
            .flat_map(|dummy| {
                let (x, width) = xs[layers.layer_of[*dummy]];
                let y = ys[*dummy];
                [Point { x: x - width / 2.0, y }, Point { x: x + width / 2.0, y }]
            })
            .collect();
        if *turned {
            bends[edge].reverse();
        }
    }
    Placed { middles, bends }
}

/// By layer: the middle and the width of its column.
fn columns(layers: &Layers, sizes: &[Size], label_widths: &[f64]) -> Vec<(f64, f64)> {
    let mut gaps = vec![COLUMN_GAP; layers.rows.len()];
    for (chain, label) in layers.chains.iter().zip(label_widths) {
        if *label > 0.0 {
            let gap = &mut gaps[layers.layer_of[chain[0]]];
            *gap = gap.max(label + LABEL_ROOM);
        }
    }
    let mut left = 0.0;
    let mut columns = Vec::with_capacity(layers.rows.len());
    for (row, gap) in layers.rows.iter().zip(gaps) {
        let width = row.iter().filter_map(|node| sizes.get(*node)).map(|size| size.width).fold(0.0, f64::max);
        columns.push((left + width / 2.0, width));
        left += width + gap;
    }
    columns
}

/// A pull of one box on another: `other`'s middle plus `offset` is where this one would like to be.
struct Pull {
    other: usize,
    offset: f64,
    strength: f64,
}

/// By box: its middle. Each column in turn goes as near to its neighbours as its order and gaps allow.
fn rows(layers: &Layers, sizes: &[Size], edges: &[&Edge]) -> Vec<f64> {
    let count = layers.layer_of.len();
    let height = |node: usize| sizes.get(node).map_or(0.0, |size| size.height);
    let apart = |a: usize, b: usize| {
        let gap = if a < sizes.len() && b < sizes.len() { BOX_GAP } else { LINK_GAP };
        f64::midpoint(height(a), height(b)) + gap
    };
    let (mut before, mut after): (Vec<Vec<Pull>>, Vec<Vec<Pull>>) = (Vec::new(), Vec::new());
    before.resize_with(count, Vec::new);
    after.resize_with(count, Vec::new);
    for ((chain, turned), edge) in layers.chains.iter().zip(&layers.turned).zip(edges) {
        let (first, last) =
            if *turned { (edge.to_offset, edge.from_offset) } else { (edge.from_offset, edge.to_offset) };
        for (step, pair) in chain.windows(2).enumerate() {
            let from_offset = if step == 0 { first } else { 0.0 };
            let to_offset = if step + 2 == chain.len() { last } else { 0.0 };
            // Long links are kept straight rather than short ones.
            let strength = if pair[0] >= sizes.len() && pair[1] >= sizes.len() { 4.0 } else { 1.0 };
            after[pair[0]].push(Pull { other: pair[1], offset: to_offset - from_offset, strength });
            before[pair[1]].push(Pull { other: pair[0], offset: from_offset - to_offset, strength });
        }
    }
    let mut ys = vec![0.0; count];
    for row in &layers.rows {
        let mut y = 0.0;
        for (at, node) in row.iter().enumerate() {
            y += if at == 0 { 0.0 } else { apart(row[at - 1], *node) };
            ys[*node] = y;
        }
        // Columns are centred on each other to begin with.
        row.iter().for_each(|node| ys[*node] -= y / 2.0);
    }
    for round in 0..ROUNDS {
        let last = round + 2 >= ROUNDS;
        for step in 0..layers.rows.len() {
            let layer = if round % 2 == 0 { step } else { layers.rows.len() - 1 - step };
            let row = &layers.rows[layer];
            let wishes: Vec<Option<(f64, f64)>> = row
                .iter()
                .map(|node| {
                    let sides: [&[Pull]; 2] = match (round % 2 == 0, last) {
                        (_, true) => [&before[*node], &after[*node]],
                        (true, false) => [&before[*node], &[]],
                        (false, false) => [&after[*node], &[]],
                    };
                    wish(sides, &ys)
                })
                .collect();
            let wanted = fill_wishes(&wishes, row.iter().map(|node| ys[*node]));
            let gaps: Vec<f64> = row.windows(2).map(|pair| apart(pair[0], pair[1])).collect();
            for (node, y) in row.iter().zip(settle(&wanted, &gaps)) {
                ys[*node] = y;
            }
        }
    }
    ys
}

/// Where a box would like to be, and how much; none if nothing pulls it.
fn wish(sides: [&[Pull]; 2], ys: &[f64]) -> Option<(f64, f64)> {
    let (mut sum, mut strength) = (0.0, 0.0);
    for pull in sides.into_iter().flatten() {
        sum += (ys[pull.other] + pull.offset) * pull.strength;
        strength += pull.strength;
    }
    (strength > 0.0).then(|| (sum / strength, strength))
}

/// Boxes without a wish join the others of their column, faintly, so that they do not stay far off.
fn fill_wishes(wishes: &[Option<(f64, f64)>], now: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
    let (count, sum) = wishes.iter().flatten().fold((0, 0.0), |(count, sum), (y, _)| (count + 1, sum + y));
    let join = |now: f64| (if count > 0 { sum / f64::from(count) } else { now }, 0.001);
    wishes.iter().zip(now).map(|(wish, now)| wish.unwrap_or_else(|| join(now))).collect()
}

/// The places nearest to the wanted ones (least weighted squares) at least the gaps apart, in order: isotonic
/// regression by pooling adjacent violators.
fn settle(wanted: &[(f64, f64)], gaps: &[f64]) -> Vec<f64> {
    let mut shift = 0.0;
    // Blocks of (weighted sum, weight, members) of the wishes with the gaps before them taken off.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    let mut shifts = Vec::with_capacity(wanted.len());
    for (at, (want, weight)) in wanted.iter().enumerate() {
        shift += if at == 0 { 0.0 } else { gaps[at - 1] };
        shifts.push(shift);
        let mut block = ((want - shift) * weight, *weight, 1);
        while let Some(last) = blocks.last().filter(|last| last.0 / last.1 > block.0 / block.1) {
            block = (last.0 + block.0, last.1 + block.1, last.2 + block.2);
            blocks.pop();
        }
        blocks.push(block);
    }
    let levels = blocks.iter().flat_map(|(sum, weight, members)| std::iter::repeat_n(sum / weight, *members));
    levels.zip(shifts).map(|(level, shift)| level + shift).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_settle_where_they_wish_and_no_nearer_than_the_gap() {
        assert_eq!(settle(&[(0.0, 1.0), (50.0, 1.0)], &[10.0]), [0.0, 50.0]);
        assert_eq!(settle(&[(0.0, 1.0), (0.0, 1.0), (0.0, 1.0)], &[10.0, 10.0]), [-10.0, 0.0, 10.0]);
        assert_eq!(settle(&[(5.0, 1.0), (0.0, 1.0)], &[3.0]), [1.0, 4.0]);
    }
}
