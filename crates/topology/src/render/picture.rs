//! From a topology to a picture: how large every box is, where it stands, how links run.
//!
//! Clusters never overlap: the nodes of a cluster are placed first, within it, and then the whole cluster is
//! placed as one box among the others.

mod wires;

use std::collections::BTreeMap;

use super::layered::{self, Edge};
use super::{Layout, Style, force, link_text, text};
use crate::graph::Topology;
use crate::link::{Link, LinkId};
use crate::node::{Node, NodeId};

/// The sizes of text.
pub(super) const NAME_SIZE: f64 = 13.0;
pub(super) const DETAIL_SIZE: f64 = 11.0;
pub(super) const LABEL_SIZE: f64 = 10.5;
/// Inside a cluster's border, and above its nodes for its name.
const CLUSTER_PADDING: f64 = 16.0;
const CLUSTER_HEADER: f64 = 18.0;
/// Above this many boxes, forces give way to a circle where nobody asked for them.
const FORCE_AUTO_MAX: usize = 600;
/// Nodes without links of a cluster stand in one column up to this many, else in a grid.
const COLUMN_NODES_MAX: usize = 16;

/// In pixels, x to the right and y down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Point {
    const ORIGIN: Self = Self { x: 0.0, y: 0.0 };

    fn plus(self, other: Self) -> Self {
        Self { x: self.x + other.x, y: self.y + other.y }
    }
}

/// In pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A rectangle by its middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub(super) middle: Point,
    pub(super) size: Size,
}

impl Rect {
    pub(super) fn left(&self) -> f64 {
        self.middle.x - self.size.width / 2.0
    }
    pub(super) fn right(&self) -> f64 {
        self.middle.x + self.size.width / 2.0
    }
    pub(super) fn top(&self) -> f64 {
        self.middle.y - self.size.height / 2.0
    }
    pub(super) fn bottom(&self) -> f64 {
        self.middle.y + self.size.height / 2.0
    }

    /// How much two rectangles overlap, in square pixels.
    fn overlap(&self, other: &Self) -> f64 {
        let width = self.right().min(other.right()) - self.left().max(other.left());
        let height = self.bottom().min(other.bottom()) - self.top().max(other.top());
        width.max(0.0) * height.max(0.0)
    }

    fn around(rects: impl Iterator<Item = Self>) -> Option<Self> {
        let sides = rects.map(|rect| (rect.left(), rect.top(), rect.right(), rect.bottom()));
        let (left, top, right, bottom) =
            sides.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1), a.2.max(b.2), a.3.max(b.3)))?;
        let middle = Point { x: f64::midpoint(left, right), y: f64::midpoint(top, bottom) };
        Some(Self { middle, size: Size { width: right - left, height: bottom - top } })
    }
}

/// A text at a place, and how large it is.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) text: String,
    pub(super) rect: Rect,
}

/// A link as it is drawn.
pub(super) struct Wire {
    pub(super) link: LinkId,
    /// A chain of cubic Bézier curves: the start, then three points each.
    pub(super) curve: Vec<Point>,
    pub(super) label: Option<Label>,
    pub(super) ports: Vec<Label>,
}

/// Everything that is drawn, and where.
pub(super) struct Picture {
    pub(super) nodes: Vec<(NodeId, Rect)>,
    pub(super) clusters: Vec<(String, Rect)>,
    pub(super) wires: Vec<Wire>,
    /// Around all of it.
    pub(super) extent: Rect,
}

/// A box of the outer layout: a node by itself, or a cluster with its nodes.
struct Unit {
    cluster: Option<String>,
    /// Nodes by their place in the topology's order, and where they are, from the middle of the unit.
    members: Vec<(usize, Point)>,
    size: Size,
}

/// What the layouts work on.
struct Plan<'a> {
    style: &'a Style,
    layout: Layout,
    nodes: Vec<&'a Node>,
    sizes: Vec<Size>,
    /// By node index: its place in the order above.
    place_of: Vec<usize>,
    links: Vec<&'a Link>,
}

pub(super) fn compose(topology: &Topology, style: &Style) -> Picture {
    let plan = Plan::new(topology, style);
    let mut bends: Vec<Vec<Point>> = vec![Vec::new(); plan.links.len()];
    let units = plan.units(&mut bends);
    let middles = plan.place_units(&units, &mut bends);

    let mut rects =
        vec![Rect { middle: Point::ORIGIN, size: Size { width: 0.0, height: 0.0 } }; plan.nodes.len()];
    let mut clusters = Vec::new();
    for (unit, middle) in units.iter().zip(&middles) {
        for (node, offset) in &unit.members {
            rects[*node] = Rect { middle: middle.plus(*offset), size: plan.sizes[*node] };
        }
        if let Some(name) = &unit.cluster {
            clusters.push((name.clone(), Rect { middle: *middle, size: unit.size }));
        }
    }
    let headers = clusters.iter().map(|(name, rect)| cluster_header(name, rect));
    let obstacles: Vec<Rect> = rects.iter().copied().chain(headers).collect();
    let wires = wires::run(&plan, &rects, &bends, &obstacles);
    let points = wires.iter().flat_map(|wire| &wire.curve);
    let points = points.map(|point| Rect { middle: *point, size: Size { width: 4.0, height: 4.0 } });
    let labels = wires.iter().flat_map(|wire| wire.label.iter().chain(&wire.ports)).map(|label| label.rect);
    let boxes = rects.iter().copied().chain(clusters.iter().map(|(_, rect)| *rect));
    let extent = Rect::around(boxes.chain(points).chain(labels))
        .unwrap_or(Rect { middle: Point::ORIGIN, size: Size { width: 200.0, height: 40.0 } });
    let nodes = plan.nodes.iter().map(|node| node.id()).zip(rects).collect();
    Picture { nodes, clusters, wires, extent }
}

impl<'a> Plan<'a> {
    fn new(topology: &'a Topology, style: &'a Style) -> Self {
        let nodes: Vec<&Node> = topology.nodes().collect();
        let mut place_of = vec![usize::MAX; topology.node_bound()];
        nodes.iter().enumerate().for_each(|(place, node)| place_of[node.id().index()] = place);
        let layout = match style.layout {
            Layout::Auto if topology.has_directed_links() => Layout::Layered,
            Layout::Auto if nodes.len() > FORCE_AUTO_MAX => Layout::Circular,
            Layout::Auto => Layout::Force,
            chosen => chosen,
        };
        let sizes = nodes.iter().map(|node| node_size(node, style)).collect();
        Self { style, layout, nodes, sizes, place_of, links: topology.links().collect() }
    }

    /// The places of a link's nodes.
    fn ends(&self, link: &Link) -> (usize, usize) {
        (self.place_of[link.from().node.index()], self.place_of[link.to().node.index()])
    }

    /// Clusters and single nodes, in the order of their first node; places the nodes within clusters.
    fn units(&self, bends: &mut [Vec<Point>]) -> Vec<Unit> {
        let mut groups: Vec<(Option<&str>, Vec<usize>)> = Vec::new();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let Some(cluster) = node.cluster.as_deref() else {
                groups.push((None, vec![place]));
                continue;
            };
            let group = *known.entry(cluster).or_insert(groups.len());
            if group == groups.len() {
                groups.push((Some(cluster), Vec::new()));
            }
            groups[group].1.push(place);
        }
        let mut inner: Vec<Vec<usize>> = vec![Vec::new(); groups.len()];
        let mut group_of = vec![0; self.nodes.len()];
        for (group, (_, members)) in groups.iter().enumerate() {
            members.iter().for_each(|member| group_of[*member] = group);
        }
        for (index, link) in self.links.iter().enumerate() {
            let (from, to) = self.ends(link);
            if from != to && group_of[from] == group_of[to] {
                inner[group_of[from]].push(index);
            }
        }
        let pairs = groups.into_iter().zip(inner);
        pairs.map(|((cluster, members), links)| self.unit(cluster, &members, &links, bends)).collect()
    }

    fn unit(
        &self,
        cluster: Option<&str>,
        members: &[usize],
        links: &[usize],
        bends: &mut [Vec<Point>],
    ) -> Unit {
        let Some(cluster) = cluster else {
            let members: Vec<(usize, Point)> = members.iter().map(|node| (*node, Point::ORIGIN)).collect();
            return Unit { cluster: None, size: self.sizes[members[0].0], members };
        };
        let places = self.place_inner(members, links, bends);
        let rects =
            members.iter().zip(&places).map(|(node, place)| Rect { middle: *place, size: self.sizes[*node] });
        let curves = links.iter().flat_map(|link| &bends[*link]);
        let curves = curves.map(|point| Rect { middle: *point, size: Size { width: 8.0, height: 8.0 } });
        let around = Rect::around(rects.chain(curves)).expect("a cluster has a node");
        // The name stands above the nodes, so the middle of the box is above the middle of the nodes.
        let middle = around.middle.plus(Point { x: 0.0, y: -CLUSTER_HEADER / 2.0 });
        let name_width = text::width(&text::shorten(cluster), DETAIL_SIZE);
        let size = Size {
            width: around.size.width.max(name_width) + 2.0 * CLUSTER_PADDING,
            height: around.size.height + 2.0 * CLUSTER_PADDING + CLUSTER_HEADER,
        };
        let shift = Point { x: -middle.x, y: -middle.y };
        links.iter().for_each(|link| bends[*link].iter_mut().for_each(|point| *point = point.plus(shift)));
        let members =
            members.iter().copied().zip(places.into_iter().map(|place| place.plus(shift))).collect();
        Unit { cluster: Some(cluster.to_owned()), members, size }
    }

    fn place_inner(&self, members: &[usize], links: &[usize], bends: &mut [Vec<Point>]) -> Vec<Point> {
        let sizes: Vec<Size> = members.iter().map(|node| self.sizes[*node]).collect();
        if links.is_empty() || self.layout == Layout::Circular {
            return grid(&sizes, self.layout == Layout::Layered);
        }
        let at: BTreeMap<usize, usize> =
            members.iter().copied().enumerate().map(|(at, node)| (node, at)).collect();
        let ends: Vec<(usize, usize)> = links.iter().map(|link| self.ends(self.links[*link])).collect();
        let ends = ends.into_iter().map(|(from, to)| (at[&from], at[&to]));
        if self.layout == Layout::Force {
            return force::place(&sizes, &ends.collect::<Vec<_>>());
        }
        let edges: Vec<Edge> = ends
            .zip(links)
            .map(|((from, to), link)| Edge {
                from,
                to,
                from_offset: 0.0,
                to_offset: 0.0,
                label_width: self.label_width(self.links[*link]),
            })
            .collect();
        let placed = layered::place(&sizes, &edges);
        for (link, points) in links.iter().zip(placed.bends) {
            bends[*link] = points;
        }
        placed.middles
    }

    /// The middles of the units; moves the bends of links inside them along.
    fn place_units(&self, units: &[Unit], bends: &mut [Vec<Point>]) -> Vec<Point> {
        let mut home = vec![(0, Point::ORIGIN); self.nodes.len()];
        for (index, unit) in units.iter().enumerate() {
            unit.members.iter().for_each(|(node, offset)| home[*node] = (index, *offset));
        }
        let sizes: Vec<Size> = units.iter().map(|unit| unit.size).collect();
        let edges: Vec<Edge> = self
            .links
            .iter()
            .map(|link| {
                let (from, to) = self.ends(link);
                let ((from, from_at), (to, to_at)) = (home[from], home[to]);
                let label_width = self.label_width(link);
                Edge { from, to, from_offset: from_at.y, to_offset: to_at.y, label_width }
            })
            .collect();
        let pairs = || edges.iter().map(|edge| (edge.from, edge.to)).collect::<Vec<_>>();
        let middles = match self.layout {
            Layout::Force => force::place(&sizes, &pairs()),
            Layout::Circular => force::circle(&sizes, &pairs()),
            Layout::Layered | Layout::Auto => {
                let placed = layered::place(&sizes, &edges);
                for ((edge, points), bends) in edges.iter().zip(placed.bends).zip(bends.iter_mut()) {
                    if edge.from != edge.to {
                        *bends = points;
                    }
                }
                placed.middles
            }
        };
        for (edge, bends) in edges.iter().zip(bends).filter(|(edge, _)| edge.from == edge.to) {
            bends.iter_mut().for_each(|point| *point = point.plus(middles[edge.from]));
        }
        middles
    }

    fn label_width(&self, link: &Link) -> f64 {
        let label =
            link_text(link, self.style).map_or(0.0, |label| text::width(&text::shorten(&label), LABEL_SIZE));
        label + if self.style.port_numbers { 30.0 } else { 0.0 }
    }
}

/// How large a node is drawn: its text decides.
fn node_size(node: &Node, style: &Style) -> Size {
    let name = text::width(&text::shorten(node.name()), NAME_SIZE) * 1.06;
    let detail = style.detail.as_ref().and_then(|name| node.attributes.get(name));
    let detail_width = detail.map_or(0.0, |detail| text::width(&text::shorten(detail), DETAIL_SIZE));
    Size {
        width: (name.max(detail_width) + 28.0).max(54.0),
        height: if detail.is_some() { 46.0 } else { 32.0 },
    }
}

/// Where the name of a cluster is written.
fn cluster_header(name: &str, rect: &Rect) -> Rect {
    let width = text::width(&text::shorten(name), DETAIL_SIZE);
    let middle = Point { x: rect.left() + 14.0 + width / 2.0, y: rect.top() + 15.0 };
    Rect { middle, size: Size { width, height: DETAIL_SIZE + 4.0 } }
}

/// Nodes without links between them: a column, or rows and columns.
fn grid(sizes: &[Size], columns_first: bool) -> Vec<Point> {
    let count = sizes.len();
    let rows = if count <= COLUMN_NODES_MAX && columns_first {
        count
    } else {
        // About as wide as it is high: boxes are two to three times as wide as high.
        (1..=count).find(|rows| rows * rows >= count * 2).unwrap_or(count)
    };
    let widest = sizes.iter().map(|size| size.width).fold(0.0, f64::max) + 16.0;
    let highest = sizes.iter().map(|size| size.height).fold(0.0, f64::max) + 16.0;
    (0..count).map(|at| Point { x: (at / rows) as f64 * widest, y: (at % rows) as f64 * highest }).collect()
}
