//! Placement by forces (Fruchterman and Reingold, Software: Practice and Experience 21(11), 1991), and on a
//! circle. Boxes have sizes, so what still overlaps at the end is pushed apart.

use super::picture::{Point, Size};
use crate::random::sin_cos_turns;

/// Between two boxes, at least.
const MARGIN: f64 = 26.0;
/// Rounds, and the work (pairs of boxes looked at) that limits them for large pictures.
const ROUNDS_MAX: usize = 500;
const ROUNDS_MIN: usize = 40;
const PAIRS_MAX: usize = 40_000_000;
/// Rounds of pushing apart what overlaps.
const PUSHES_MAX: usize = 200;

/// Places boxes so that linked ones are near each other. Starts from a circle: nothing is random.
pub(super) fn place(sizes: &[Size], edges: &[(usize, usize)]) -> Vec<Point> {
    let count = sizes.len();
    let mut places = start(sizes, edges);
    if count < 3 {
        return push_apart(places, sizes);
    }
    let diagonal = |size: &Size| (size.width * size.width + size.height * size.height).sqrt();
    let ideal = sizes.iter().map(diagonal).sum::<f64>() / count as f64 * 0.75 + 45.0;
    let rounds = (PAIRS_MAX / (count * count)).clamp(ROUNDS_MIN, ROUNDS_MAX);
    for round in 0..rounds {
        let mut moves = vec![Point { x: 0.0, y: 0.0 }; count];
        repel(&places, ideal, &mut moves);
        for (a, b) in edges.iter().filter(|(a, b)| a != b) {
            let (dx, dy) = (places[*b].x - places[*a].x, places[*b].y - places[*a].y);
            let pull = (dx * dx + dy * dy).sqrt() / ideal;
            moves[*a] = Point { x: moves[*a].x + dx * pull, y: moves[*a].y + dy * pull };
            moves[*b] = Point { x: moves[*b].x - dx * pull, y: moves[*b].y - dy * pull };
        }
        let heat = ideal * 1.5 * (1.0 - round as f64 / rounds as f64) + 0.5;
        for (place, step) in places.iter_mut().zip(moves) {
            // A faint pull to the middle keeps separate pieces in the picture.
            let (x, y) = (step.x - place.x * 0.12, step.y - place.y * 0.2);
            let length = (x * x + y * y).sqrt().max(1e-9);
            let limited = length.min(heat) / length;
            *place = Point { x: place.x + x * limited, y: place.y + y * limited };
        }
    }
    push_apart(places, sizes)
}

fn repel(places: &[Point], ideal: f64, moves: &mut [Point]) {
    for a in 0..places.len() {
        for b in a + 1..places.len() {
            let (mut dx, dy) = (places[a].x - places[b].x, places[a].y - places[b].y);
            if dx == 0.0 && dy == 0.0 {
                dx = 0.01 * (b - a) as f64;
            }
            let push = ideal * ideal / (dx * dx + dy * dy).max(1.0);
            moves[a] = Point { x: moves[a].x + dx * push, y: moves[a].y + dy * push };
            moves[b] = Point { x: moves[b].x - dx * push, y: moves[b].y - dy * push };
        }
    }
}

/// On a circle, or near it where boxes need more room.
pub(super) fn circle(sizes: &[Size], edges: &[(usize, usize)]) -> Vec<Point> {
    push_apart(start(sizes, edges), sizes)
}

/// On a circle, each box near those it is linked with: in the order of a breadth-first walk.
fn start(sizes: &[Size], edges: &[(usize, usize)]) -> Vec<Point> {
    let count = sizes.len();
    let mut near = vec![Vec::new(); count];
    for (a, b) in edges {
        near[*a].push(*b);
        near[*b].push(*a);
    }
    let (mut order, mut seen, mut next) = (Vec::with_capacity(count), vec![false; count], 0);
    for start in 0..count {
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        order.push(start);
        while let Some(node) = order.get(next).copied() {
            next += 1;
            for other in &near[node] {
                if !std::mem::replace(&mut seen[*other], true) {
                    order.push(*other);
                }
            }
        }
    }
    let around: f64 = sizes.iter().map(|size| size.width.max(size.height) + MARGIN).sum();
    let radius = if count > 1 { (around / std::f64::consts::TAU).max(90.0) } else { 0.0 };
    let mut places = vec![Point { x: 0.0, y: 0.0 }; count];
    for (at, node) in order.into_iter().enumerate() {
        let (sin, cos) = sin_cos_turns(at as f64 / count as f64);
        places[node] = Point { x: radius * sin, y: -radius * cos };
    }
    places
}

/// Moves boxes that overlap apart, along the axis where they overlap less.
fn push_apart(mut places: Vec<Point>, sizes: &[Size]) -> Vec<Point> {
    for _ in 0..PUSHES_MAX {
        let mut moved = false;
        for a in 0..places.len() {
            for b in a + 1..places.len() {
                let (dx, dy) = (places[b].x - places[a].x, places[b].y - places[a].y);
                let over_x = f64::midpoint(sizes[a].width, sizes[b].width) + MARGIN - dx.abs();
                let over_y = f64::midpoint(sizes[a].height, sizes[b].height) + MARGIN - dy.abs();
                if over_x <= 0.01 || over_y <= 0.01 {
                    continue;
                }
                moved = true;
                if over_x < over_y {
                    let push = if dx < 0.0 { -over_x } else { over_x } / 2.0;
                    places[a].x -= push;
                    places[b].x += push;
                } else {
                    let push = if dy < 0.0 { -over_y } else { over_y } / 2.0;
                    places[a].y -= push;
                    places[b].y += push;
                }
            }
        }
        if !moved {
            break;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_do_not_overlap() {
        let sizes = vec![Size { width: 90.0, height: 34.0 }; 20];
        let edges: Vec<(usize, usize)> = (1..20).map(|node| (node / 2, node)).collect();
        let places = place(&sizes, &edges);
        for a in 0..20 {
            for b in a + 1..20 {
                let apart =
                    (places[a].x - places[b].x).abs() >= 90.0 || (places[a].y - places[b].y).abs() >= 34.0;
                assert!(apart, "{a} and {b} overlap");
            }
        }
    }
}
