//! Lines over a logarithmic axis, as self-contained SVG that follows the reader's preference for light or dark.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 430.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 56.0;
/// As many lines as can be told apart.
const COLOURS: [&str; 6] = ["#d1242f", "#0969da", "#1a7f37", "#bf8700", "#8250df", "#57606a"];

/// A plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Below the horizontal axis.
    pub x: String,
    /// Beside the vertical axis.
    pub y: String,
    /// Is the vertical axis logarithmic? Then what is below 1 is drawn as 1.
    pub logarithmic: bool,
    /// The lines, by name: points of x and y.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Plot {
    /// As SVG. Points that are no numbers are left out.
    pub fn svg(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("writing to a string cannot fail");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let finite = |point: &&(f64, f64)| point.0.is_finite() && point.1.is_finite();
        let points = || self.lines.iter().flat_map(|(_, points)| points.iter().filter(finite));
        let low_x = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let high_x = points().map(|point| point.0).fold(low_x + 1e-9, f64::max);
        let high_y = points().map(|point| self.scale(point.1)).fold(1e-9, f64::max);
        let high_y = if self.logarithmic { high_y.ceil() } else { high_y * 1.05 };
        let low_x = if low_x.is_finite() { low_x } else { 0.0 };
        let at_x = |x: f64| LEFT + (x - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT);
        let at_y = |y: f64| HEIGHT - BOTTOM - y / high_y * (HEIGHT - TOP - BOTTOM);
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" role=\"img\"><title>{}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"bg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"8\"/>",
            escape(&self.title)
        )?;
        text(out, LEFT, 28.0, "start", "t b", &self.title)?;
        let (middle_x, middle_y) = ((LEFT + WIDTH - RIGHT) / 2.0, (TOP + HEIGHT - BOTTOM) / 2.0);
        text(out, middle_x, HEIGHT - 14.0, "middle", "t", &self.x)?;
        writeln!(
            out,
            "<text class=\"t\" text-anchor=\"middle\" transform=\"translate(16 {middle_y:.1}) rotate(-90)\">{}</text>",
            escape(&self.y)
        )?;
        for (value, label) in self.marks(high_y) {
            let y = at_y(value);
            writeln!(out, "<path class=\"g\" d=\"M{LEFT} {y:.1}H{:.1}\"/>", WIDTH - RIGHT)?;
            text(out, LEFT - 8.0, y + 4.0, "end", "t m", &label)?;
        }
        let step = nice((high_x - low_x) / 8.0);
        let mut x = (low_x / step).ceil() * step;
        while x <= high_x + step * 1e-6 {
            text(out, at_x(x), HEIGHT - BOTTOM + 18.0, "middle", "t m", &short(x))?;
            x += step;
        }
        for ((name, points), (number, colour)) in self.lines.iter().zip(COLOURS.iter().cycle().enumerate()) {
            let mut path = String::new();
            for point in points.iter().filter(finite) {
                let command = if path.is_empty() { 'M' } else { 'L' };
                write!(path, "{command}{:.1} {:.1}", at_x(point.0), at_y(self.scale(point.1)))?;
            }
            writeln!(out, "<path class=\"l\" stroke=\"{colour}\" d=\"{path}\"/>")?;
            let y = TOP + 14.0 + 22.0 * number as f64;
            let x = WIDTH - RIGHT + 12.0;
            writeln!(out, "<path class=\"l\" stroke=\"{colour}\" d=\"M{x:.1} {y:.1}h18\"/>")?;
            text(out, x + 24.0, y + 4.0, "start", "t", name)?;
        }
        writeln!(out, "</svg>")
    }

    fn scale(&self, y: f64) -> f64 {
        if self.logarithmic { y.max(1.0).log10() } else { y.max(0.0) }
    }

    fn marks(&self, high: f64) -> Vec<(f64, String)> {
        if self.logarithmic {
            let decades = 0..=(high as i32).min(12);
            return decades.map(|decade| (f64::from(decade), short(10_f64.powi(decade)))).collect();
        }
        let step = nice(high / 6.0);
        (0..=(high / step) as i32).map(|mark| f64::from(mark) * step).map(|y| (y, short(y))).collect()
    }
}

const STYLE: &str = "
.t{font:12px system-ui,-apple-system,'Segoe UI',Arial,'DejaVu Sans',sans-serif;fill:#1f2328}
.b{font-size:15px;font-weight:600}.m{fill:#57606a}.bg{fill:#fff}.g{stroke:#d0d7de;stroke-width:.7}
.l{fill:none;stroke-width:2}
@media(prefers-color-scheme:dark){.t{fill:#e6edf3}.m{fill:#9198a1}.bg{fill:#0d1117}.g{stroke:#3d444d}}
";

fn text(out: &mut String, x: f64, y: f64, anchor: &str, class: &str, text: &str) -> std::fmt::Result {
    writeln!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escape(text)
    )
}

/// The step of 1, 2 or 5 times a power of ten that is not smaller.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|times| times * power).find(|nice| *nice >= step).unwrap_or(10.0 * power)
}

fn short(value: f64) -> String {
    format!("{}", (value * 1000.0).round() / 1000.0)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_its_lines_and_no_loose_markup() {
        let line = |name: &str| (name.to_owned(), vec![(1.0, 1.0), (2.0, 100.0), (3.0, f64::NAN)]);
        let plot = Plot {
            title: "a < b".into(),
            x: "packet".into(),
            y: "hops".into(),
            logarithmic: true,
            lines: vec![line("one"), line("two")],
        };
        let svg = plot.svg();
        assert!(svg.contains("a &lt; b") && !svg.contains("NaN"), "{svg}");
        assert_eq!(svg.matches("stroke=\"#").count(), 4, "a line and its sample each");
        let none = Plot { lines: Vec::new(), ..plot };
        assert!(!none.svg().contains("NaN") && !none.svg().contains("inf"), "{}", none.svg());
    }
}
