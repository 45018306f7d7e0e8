//! Shapes as SVG.

use std::fmt::Write;

use super::{Anchor, HEIGHT, INK, SIZE, Shape, WIDTH};

/// A document of its own.
pub(super) fn write(shapes: &[Shape], title: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         role=\"img\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"{SIZE}\" fill=\"#{INK:06x}\"><title>{}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>",
        escape(title)
    );
    for shape in shapes {
        let _ = match shape {
            Shape::Line { points, colour, width } => {
                let mut path = String::new();
                for (number, (x, y)) in points.iter().enumerate() {
                    let _ = write!(path, "{}{x:.2} {y:.2}", if number == 0 { 'M' } else { 'L' });
                }
                writeln!(
                    out,
                    "<path d=\"{path}\" fill=\"none\" stroke=\"#{colour:06x}\" stroke-width=\"{width}\"/>"
                )
            }
            Shape::Dot { at: (x, y), radius, colour } => {
                writeln!(out, "<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius}\" fill=\"#{colour:06x}\"/>")
            }
            Shape::Text { at: (x, y), size, anchor, turned, text } => {
                let place = if *turned {
                    format!("transform=\"translate({x:.2} {y:.2}) rotate(-90)\"")
                } else {
                    format!("x=\"{x:.2}\" y=\"{y:.2}\"")
                };
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => " text-anchor=\"middle\"",
                    Anchor::End => " text-anchor=\"end\"",
                };
                let size = if *size == SIZE { String::new() } else { format!(" font-size=\"{size}\"") };
                writeln!(out, "<text {place}{anchor}{size}>{}</text>", escape(text))
            }
        };
    }
    out.push_str("</svg>\n");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
