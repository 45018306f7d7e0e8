//! Self-contained SVG: no script, no font file, nothing loaded. It brings its own background, and follows the
//! reader's preference for light or dark.

use std::fmt::Write;

use super::picture::{DETAIL_SIZE, LABEL_SIZE, NAME_SIZE, Picture, Point, Rect, Wire, compose};
use super::text::{escape_xml, shorten};
use super::{PICTURE_LINKS_MAX, PICTURE_NODES_MAX, RenderError, Style, title};
use crate::graph::Topology;
use crate::node::{Node, NodeKind};

const MARGIN: f64 = 24.0;
const TITLE_SIZE: f64 = 16.0;
const TITLE_HEIGHT: f64 = 30.0;
/// Corner cut off a switch.
const CUT: f64 = 7.0;

const STYLE: &str = "
.t{font-family:system-ui,-apple-system,'Segoe UI','Helvetica Neue',Arial,'DejaVu Sans',sans-serif;fill:#1f2328}
.bg{fill:#fff}.m{fill:#57606a}.n{font-weight:600}
.w{fill:none;stroke:#7d8590;stroke-width:1.4}.a{fill:#7d8590}
.c{fill:#f6f8fa;stroke:#d0d7de}
.host{fill:#ddf4ff;stroke:#54aeff}.switch{fill:#fff8c5;stroke:#d4a72c}.service{fill:#dafbe1;stroke:#4ac26b}
.external{fill:#fff;stroke:#8c959f;stroke-dasharray:4 3}.custom{fill:#fbefff;stroke:#c297ff}
@media(prefers-color-scheme:dark){
.t{fill:#e6edf3}.bg{fill:#0d1117}.m{fill:#9198a1}.w{stroke:#7d8590}
.c{fill:#151b23;stroke:#3d444d}
.host{fill:#121d2f;stroke:#388bfd}.switch{fill:#272115;stroke:#bb8009}.service{fill:#12261e;stroke:#2ea043}
.external{fill:#0d1117;stroke:#7d8590}.custom{fill:#211933;stroke:#8957e5}}
";

/// The topology as a picture.
///
/// # Errors
/// When there are more nodes or links than anyone could read.
pub fn svg(topology: &Topology, style: &Style) -> Result<String, RenderError> {
    let (nodes, links) = (topology.node_count(), topology.link_count());
    if nodes > PICTURE_NODES_MAX || links > PICTURE_LINKS_MAX {
        return Err(RenderError::TooLarge { nodes, links });
    }
    let mut out = String::new();
    write(&mut out, topology, style, &compose(topology, style)).expect("writing to a string cannot fail");
    Ok(out)
}

fn write(out: &mut String, topology: &Topology, style: &Style, picture: &Picture) -> std::fmt::Result {
    let heading = title(topology, style);
    let above = if heading.is_some() { TITLE_HEIGHT } else { 0.0 };
    let (x, y) = (picture.extent.left() - MARGIN, picture.extent.top() - MARGIN - above);
    let heading_width = heading.map_or(0.0, |text| super::text::width(&shorten(text), TITLE_SIZE));
    let width = picture.extent.size.width.max(heading_width) + 2.0 * MARGIN;
    let height = picture.extent.size.height + 2.0 * MARGIN + above;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{x:.1} {y:.1} {width:.1} {height:.1}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">"
    )?;
    writeln!(out, "<title>{}</title>", escape_xml(heading.unwrap_or("topology")))?;
    writeln!(out, "<style>{STYLE}</style>")?;
    writeln!(
        out,
        "<rect class=\"bg\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\"/>"
    )?;
    if let Some(text) = heading {
        let (x, y, text) = (x + MARGIN, y + MARGIN + 8.0, escape_xml(&shorten(text)));
        writeln!(
            out,
            "<text class=\"t n\" x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{TITLE_SIZE}\">{text}</text>"
        )?;
    }
    for (name, rect) in &picture.clusters {
        write_cluster(out, name, rect)?;
    }
    for wire in &picture.wires {
        write_wire(out, topology, wire)?;
    }
    for (id, rect) in &picture.nodes {
        if let Some(node) = topology.node(*id) {
            write_node(out, node, rect, style)?;
        }
    }
    // Labels come last: nothing hides them.
    for wire in &picture.wires {
        if let Some(label) = &wire.label {
            write_label(out, &label.text, &label.rect, LABEL_SIZE, "t")?;
        }
        for label in &wire.ports {
            write_label(out, &label.text, &label.rect, LABEL_SIZE - 1.5, "t m")?;
        }
    }
    writeln!(out, "</svg>")
}

fn write_cluster(out: &mut String, name: &str, rect: &Rect) -> std::fmt::Result {
    let (x, y) = (rect.left(), rect.top());
    let (width, height) = (rect.size.width, rect.size.height);
    writeln!(
        out,
        "<rect class=\"c\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"12\"/>"
    )?;
    let (x, y, name) = (x + 14.0, y + 19.0, escape_xml(&shorten(name)));
    writeln!(out, "<text class=\"t m\" x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{DETAIL_SIZE}\">{name}</text>")
}

fn write_wire(out: &mut String, topology: &Topology, wire: &Wire) -> std::fmt::Result {
    let start = wire.curve[0];
    write!(out, "<path class=\"w\" d=\"M{:.1} {:.1}", start.x, start.y)?;
    for part in wire.curve[1..].chunks_exact(3) {
        write!(out, "C{:.1} {:.1} {:.1} {:.1}", part[0].x, part[0].y, part[1].x, part[1].y)?;
        write!(out, " {:.1} {:.1}", part[2].x, part[2].y)?;
    }
    writeln!(out, "\"/>")?;
    if topology.link(wire.link).is_some_and(crate::link::Link::is_directed) {
        write_arrow(out, wire.curve[wire.curve.len() - 2], wire.curve[wire.curve.len() - 1])?;
    }
    Ok(())
}

/// An arrowhead of its own rather than a marker: markers need ids, which clash when a page holds two pictures.
fn write_arrow(out: &mut String, from: Point, tip: Point) -> std::fmt::Result {
    let (dx, dy) = (tip.x - from.x, tip.y - from.y);
    let length = (dx * dx + dy * dy).sqrt().max(1e-9);
    let (ux, uy) = (dx / length, dy / length);
    let (back_x, back_y) = (tip.x - ux * 8.0, tip.y - uy * 8.0);
    let (ax, ay) = (back_x - uy * 3.6, back_y + ux * 3.6);
    let (bx, by) = (back_x + uy * 3.6, back_y - ux * 3.6);
    writeln!(out, "<path class=\"a\" d=\"M{:.1} {:.1}L{ax:.1} {ay:.1}L{bx:.1} {by:.1}Z\"/>", tip.x, tip.y)
}

fn write_node(out: &mut String, node: &Node, rect: &Rect, style: &Style) -> std::fmt::Result {
    let (class, corner) = match node.kind {
        NodeKind::Host => ("host", 8.0),
        NodeKind::Switch => ("switch", 0.0),
        NodeKind::Service => ("service", rect.size.height / 2.0),
        NodeKind::External => ("external", rect.size.height / 2.0),
        NodeKind::Custom => ("custom", 2.0),
    };
    write!(out, "<g><title>{} ({class})", escape_xml(node.name()))?;
    for (name, value) in &node.attributes {
        write!(out, ", {}: {}", escape_xml(name), escape_xml(value))?;
    }
    writeln!(out, "</title>")?;
    let (left, top, right, bottom) = (rect.left(), rect.top(), rect.right(), rect.bottom());
    if node.kind == NodeKind::Switch {
        let (l, t, r, b) = (left + CUT, top + CUT, right - CUT, bottom - CUT);
        writeln!(
            out,
            "<path class=\"{class}\" d=\"M{l:.1} {top:.1}H{r:.1}L{right:.1} {t:.1}V{b:.1}L{r:.1} {bottom:.1}\
             H{l:.1}L{left:.1} {b:.1}V{t:.1}Z\"/>"
        )?;
    } else {
        let (width, height) = (rect.size.width, rect.size.height);
        writeln!(
            out,
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             rx=\"{corner}\"/>"
        )?;
    }
    let detail = style.detail.as_ref().and_then(|name| node.attributes.get(name));
    let name_y = rect.middle.y + if detail.is_some() { -3.0 } else { NAME_SIZE * 0.36 };
    let (x, name) = (rect.middle.x, escape_xml(&shorten(node.name())));
    writeln!(
        out,
        "<text class=\"t n\" x=\"{x:.1}\" y=\"{name_y:.1}\" font-size=\"{NAME_SIZE}\" text-anchor=\"middle\">{name}</text>"
    )?;
    if let Some(detail) = detail {
        let (y, detail) = (rect.middle.y + 13.0, escape_xml(&shorten(detail)));
        writeln!(
            out,
            "<text class=\"t m\" x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{DETAIL_SIZE}\" text-anchor=\"middle\">{detail}</text>"
        )?;
    }
    writeln!(out, "</g>")
}

/// A text on a patch of background, so that the link it stands on does not cross it out.
fn write_label(out: &mut String, text: &str, rect: &Rect, size: f64, class: &str) -> std::fmt::Result {
    let (width, height) = (rect.size.width, rect.size.height);
    writeln!(
        out,
        "<rect class=\"bg\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"4\"/>",
        rect.left(),
        rect.top()
    )?;
    let (x, y, text) = (rect.middle.x, rect.middle.y + size * 0.36, escape_xml(text));
    writeln!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"middle\">{text}</text>"
    )
}
