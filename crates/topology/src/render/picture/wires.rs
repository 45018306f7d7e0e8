//! How links run: from the side of a box to the side of another, round what is between, with their labels.

use std::collections::BTreeMap;

use super::super::{Layout, link_text, text};
use super::{LABEL_SIZE, Label, Plan, Point, Rect, Size, Wire};

/// How far parallel straight links are apart.
const PARALLEL_GAP: f64 = 14.0;
/// Where along a link its label may stand, the best place first.
const LABEL_PLACES: [f64; 9] = [0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74, 0.18, 0.82];

/// Runs the links between the nodes' boxes; labels keep clear of the obstacles where they can.
pub(super) fn run(plan: &Plan<'_>, rects: &[Rect], bends: &[Vec<Point>], obstacles: &[Rect]) -> Vec<Wire> {
    let curves =
        if plan.layout == Layout::Layered { curved(plan, rects, bends) } else { straight(plan, rects) };
    let mut labels = Labels { obstacles, placed: Vec::new() };
    let wires = plan.links.iter().zip(curves).map(|(link, curve)| {
        let text = link_text(link, plan.style).filter(|text| !text.is_empty());
        let label = text.map(|text| labels.put(text::shorten(&text), &curve));
        let ports = if plan.style.port_numbers {
            vec![
                port_label(link.from().port.to_string(), curve[0], curve[1]),
                port_label(link.to().port.to_string(), curve[curve.len() - 1], curve[curve.len() - 2]),
            ]
        } else {
            Vec::new()
        };
        Wire { link: link.id(), curve, label, ports }
    });
    wires.collect()
}

/// A small curve at the upper right corner.
fn loop_at(rect: &Rect) -> Vec<Point> {
    let (right, top) = (rect.right(), rect.top());
    let at = |x, y| Point { x: right + x, y: top + y };
    vec![at(-18.0, 0.0), at(-18.0, -26.0), at(26.0, -20.0), at(0.0, rect.size.height * 0.3)]
}

/// The left or (true) the right side of a node.
type Side = (usize, bool);
/// An end of a link: the height of what it leads to, the link, and whether it is the start.
type End = (f64, usize, bool);

/// Curves that leave and enter boxes at their left and right sides.
fn curved(plan: &Plan<'_>, rects: &[Rect], bends: &[Vec<Point>]) -> Vec<Vec<Point>> {
    let mut sides: BTreeMap<Side, Vec<End>> = BTreeMap::new();
    for (index, link) in plan.links.iter().enumerate() {
        let (from, to) = plan.ends(link);
        if from == to {
            continue;
        }
        let ends = [(from, to, bends[index].first(), true), (to, from, bends[index].last(), false)];
        for (node, other, bend, start) in ends {
            let towards = bend.copied().unwrap_or(rects[other].middle);
            let right = towards.x > rects[node].middle.x;
            sides.entry((node, right)).or_default().push((towards.y, index, start));
        }
    }
    let mut ends = vec![[Point::ORIGIN; 2]; plan.links.len()];
    for ((node, right), mut links) in sides {
        links.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let rect = &rects[node];
        let step = (rect.size.height * 0.8 / links.len() as f64).min(16.0);
        let first = rect.middle.y - step * (links.len() - 1) as f64 / 2.0;
        for (at, (_, link, start)) in links.into_iter().enumerate() {
            let x = if right { rect.right() } else { rect.left() };
            ends[link][usize::from(!start)] = Point { x, y: first + step * at as f64 };
        }
    }
    let curve = |(index, link): (usize, &&crate::link::Link)| {
        let (from, to) = plan.ends(link);
        if from == to {
            return loop_at(&rects[from]);
        }
        let mut curve = vec![ends[index][0]];
        for next in bends[index].iter().copied().chain([ends[index][1]]) {
            let last = curve[curve.len() - 1];
            let middle = f64::midpoint(last.x, next.x);
            curve.extend([Point { x: middle, y: last.y }, Point { x: middle, y: next.y }, next]);
        }
        curve
    };
    plan.links.iter().enumerate().map(curve).collect()
}

/// Straight lines from border to border; several between the same boxes side by side.
fn straight(plan: &Plan<'_>, rects: &[Rect]) -> Vec<Vec<Point>> {
    let mut between: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let key = |(a, b): (usize, usize)| (a.min(b), a.max(b));
    for link in &plan.links {
        *between.entry(key(plan.ends(link))).or_default() += 1;
    }
    let mut drawn: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let line = |link: &&crate::link::Link| {
        let (from, to) = plan.ends(link);
        if from == to {
            return loop_at(&rects[from]);
        }
        let pair = key((from, to));
        let number = drawn.entry(pair).or_default();
        let aside = (*number as f64 - (between[&pair] - 1) as f64 / 2.0) * PARALLEL_GAP;
        *number += 1;
        // Aside is measured from the lower node to the higher, so that links of either direction spread.
        let aside = if from < to { aside } else { -aside };
        let (a, b) = (rects[from].middle, rects[to].middle);
        let (dx, dy) = (b.x - a.x, b.y - a.y);
        let length = (dx * dx + dy * dy).sqrt().max(1e-9);
        let shift = Point { x: -dy / length * aside, y: dx / length * aside };
        let (start, end) = (
            border(&rects[from], a.plus(shift), b.plus(shift)),
            border(&rects[to], b.plus(shift), a.plus(shift)),
        );
        let third = |t: f64| Point { x: start.x + (end.x - start.x) * t, y: start.y + (end.y - start.y) * t };
        vec![start, third(1.0 / 3.0), third(2.0 / 3.0), end]
    };
    plan.links.iter().map(line).collect()
}

/// Where the line from a point inside a box to one outside leaves it.
fn border(rect: &Rect, inside: Point, outside: Point) -> Point {
    let (dx, dy) = (outside.x - inside.x, outside.y - inside.y);
    let reach = |delta: f64, low: f64, high: f64| {
        if delta > 0.0 {
            high / delta
        } else if delta < 0.0 {
            low / delta
        } else {
            f64::INFINITY
        }
    };
    let t = reach(dx, rect.left() - inside.x, rect.right() - inside.x)
        .min(reach(dy, rect.top() - inside.y, rect.bottom() - inside.y))
        .clamp(0.0, 1.0);
    Point { x: inside.x + dx * t, y: inside.y + dy * t }
}

/// A port number beside the end of a link.
fn port_label(text: String, end: Point, towards: Point) -> Label {
    let (dx, dy) = (towards.x - end.x, towards.y - end.y);
    let length = (dx * dx + dy * dy).sqrt().max(1e-9);
    let width = text::width(&text, LABEL_SIZE - 1.5);
    let out = 5.0 + width / 2.0;
    let middle = Point {
        x: end.x + dx / length * out - dy / length * 6.0,
        y: end.y + dy / length * out - 6.0 * (dx / length).abs(),
    };
    Label { text, rect: Rect { middle, size: Size { width, height: LABEL_SIZE } } }
}

/// Puts labels where they hide least.
struct Labels<'a> {
    obstacles: &'a [Rect],
    placed: Vec<Rect>,
}

impl Labels<'_> {
    fn put(&mut self, text: String, curve: &[Point]) -> Label {
        let size = Size { width: text::width(&text, LABEL_SIZE) + 6.0, height: LABEL_SIZE + 4.0 };
        // The gap beside the left end was made wide enough for the label.
        let leftward = curve[0].x > curve[curve.len() - 1].x;
        let first = if leftward { curve.len() - 4 } else { 0 };
        let places = LABEL_PLACES.iter().map(|t| Rect { middle: bezier(&curve[first..first + 4], *t), size });
        let hidden = |rect: &Rect| {
            let labels: f64 = self.placed.iter().map(|other| rect.overlap(other)).sum();
            let boxes: f64 = self.obstacles.iter().map(|other| rect.overlap(other)).sum();
            labels * 2.0 + boxes
        };
        let best = places
            .map(|rect| (hidden(&rect), rect))
            .reduce(|best, next| if next.0 < best.0 { next } else { best });
        let rect = best.map_or(Rect { middle: curve[first], size }, |(_, rect)| rect);
        self.placed.push(rect);
        Label { text, rect }
    }
}

fn bezier(points: &[Point], t: f64) -> Point {
    let u = 1.0 - t;
    let weights = [u * u * u, 3.0 * u * u * t, 3.0 * u * t * t, t * t * t];
    let mut place = Point::ORIGIN;
    for (point, weight) in points.iter().zip(weights) {
        place = Point { x: place.x + point.x * weight, y: place.y + point.y * weight };
    }
    place
}
