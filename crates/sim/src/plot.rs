//! Line plots as SVG, as a person would put them into a paper: labelled axes with round numbers, confidence intervals as bars,
//! colours that print and that the colour-blind tell apart (Okabe and Ito).

use std::fmt::Write;

use crate::math::log10;

/// Most points of a plot; more are left out.
pub const POINTS_MAX: usize = 100_000;

/// A point, with half the width of its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Where.
    pub x: f64,
    /// How much.
    pub y: f64,
    /// Give or take.
    pub half_width: f64,
}

/// A line of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<Point>,
}

/// A plot.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plot {
    /// What is above it.
    pub title: String,
    /// What is along the x axis, with its unit.
    pub x_label: String,
    /// What is along the y axis, with its unit.
    pub y_label: String,
    /// Is the x axis logarithmic? Points at or below 0 are left out then.
    pub x_log: bool,
    /// Is the y axis logarithmic?
    pub y_log: bool,
    /// Its lines.
    pub series: Vec<Series>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 52.0;
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// An axis: what it spans, and where its marks are.
struct Axis {
    log: bool,
    from: f64,
    to: f64,
    marks: Vec<f64>,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64>, log: bool, from_zero: bool) -> Self {
        let (mut least, mut most) = values.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
        if least > most {
            (least, most) = (1.0, 2.0);
        }
        if log {
            let (from, to) = (log10(least).floor(), log10(most).ceil());
            let to = if to > from { to } else { from + 1.0 };
            let marks = (0..=(to - from) as i32).map(|n| power_of_ten(from as i32 + n)).collect();
            return Self { log, from, to, marks };
        }
        if from_zero {
            (least, most) = (least.min(0.0), most.max(0.0));
        }
        if most - least <= f64::EPSILON * most.abs().max(1.0) {
            (least, most) = (least - 0.5, most + 0.5);
        }
        let step = round_step((most - least) / 6.0);
        let (first, last) = ((least / step).floor(), (most / step).ceil());
        let marks = (0..=(last - first) as i32).map(|n| (first + f64::from(n)) * step).collect();
        Self { log, from: first * step, to: last * step, marks }
    }

    /// Where a value is on it, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let value = if self.log { log10(value) } else { value };
        (value - self.from) / (self.to - self.from)
    }
}

fn power_of_ten(exponent: i32) -> f64 {
    let size = (0..exponent.abs()).fold(1.0, |size, _| size * 10.0);
    if exponent < 0 { 1.0 / size } else { size }
}

/// The next of 1, 2, 5, 10, … at or above.
fn round_step(least: f64) -> f64 {
    let size = power_of_ten(log10(least).floor() as i32);
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * size)
        .find(|step| *step >= least * 0.999_999)
        .unwrap_or(least)
}

/// A number on an axis: no more digits than it needs.
fn number(value: f64) -> String {
    if value != 0.0 && (value.abs() >= 1e6 || value.abs() < 1e-4) {
        return format!("{value:e}");
    }
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.to_owned() }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Plot {
    /// The plot as a document of its own.
    ///
    /// ```
    /// use sim::plot::{Plot, Point, Series};
    /// let points = vec![Point { x: 10.0, y: 0.4, half_width: 0.02 }, Point { x: 30.0, y: 0.5, half_width: 0.03 }];
    /// let series = vec![Series { name: "RC3".into(), points }];
    /// let plot = Plot { x_label: "load (%)".into(), y_label: "mean FCT (s)".into(), series, ..Plot::default() };
    /// assert!(plot.svg().starts_with("<svg"));
    /// ```
    pub fn svg(&self) -> String {
        let shown = |point: &&Point| {
            point.x.is_finite()
                && point.y.is_finite()
                && !(self.x_log && point.x <= 0.0)
                && !(self.y_log && point.y <= 0.0)
        };
        let all = || self.series.iter().flat_map(|series| &series.points).filter(shown).take(POINTS_MAX);
        let x = Axis::of(all().map(|point| point.x), self.x_log, false);
        let low = |point: &Point| if self.y_log { point.y } else { point.y - point.half_width };
        let y = Axis::of(all().flat_map(|point| [low(point), point.y + point.half_width]), self.y_log, true);
        let at_x = |value: f64| LEFT + x.place(value) * (WIDTH - LEFT - RIGHT);
        let at_y = |value: f64| HEIGHT - BOTTOM - y.place(value).max(0.0) * (HEIGHT - TOP - BOTTOM);

        let mut out = String::new();
        self.frame(&mut out, &x, &y, at_x, at_y);
        for (number, series) in self.series.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let points: Vec<&Point> = series.points.iter().filter(shown).take(POINTS_MAX).collect();
            let line: Vec<String> =
                points.iter().map(|point| format!("{:.2},{:.2}", at_x(point.x), at_y(point.y))).collect();
            let line = line.join(" ");
            let _ = writeln!(
                out,
                "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>"
            );
            for point in points {
                let (px, py) = (at_x(point.x), at_y(point.y));
                let (top, bottom) = (at_y(point.y + point.half_width), at_y(low(point)));
                if point.half_width > 0.0 {
                    let _ = writeln!(
                        out,
                        "<path d=\"M{px:.2} {top:.2}V{bottom:.2}M{:.2} {top:.2}h6M{:.2} {bottom:.2}h6\" \
                         stroke=\"{colour}\" fill=\"none\"/>",
                        px - 3.0,
                        px - 3.0
                    );
                }
                let _ = writeln!(out, "<circle cx=\"{px:.2}\" cy=\"{py:.2}\" r=\"2.6\" fill=\"{colour}\"/>");
            }
            let row = TOP + 14.0 + 17.0 * number as f64;
            let (start, end, text) = (LEFT + 12.0, LEFT + 34.0, LEFT + 40.0);
            let _ = writeln!(
                out,
                "<path d=\"M{start} {row}H{end}\" stroke=\"{colour}\" stroke-width=\"1.8\"/>\
                 <text x=\"{text}\" y=\"{:.2}\">{}</text>",
                row + 4.0,
                escape(&series.name)
            );
        }
        out.push_str("</svg>\n");
        out
    }

    /// What is round the lines.
    fn frame(
        &self,
        out: &mut String,
        x: &Axis,
        y: &Axis,
        at_x: impl Fn(f64) -> f64,
        at_y: impl Fn(f64) -> f64,
    ) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>"
        );
        for mark in &x.marks {
            let (place, text) = (at_x(*mark), number(*mark));
            let _ = writeln!(
                out,
                "<path d=\"M{place:.2} {TOP}V{bottom}\" stroke=\"#e5e5e5\"/>\
                 <text x=\"{place:.2}\" y=\"{:.2}\" text-anchor=\"middle\">{text}</text>",
                bottom + 17.0
            );
        }
        for mark in &y.marks {
            let (place, text) = (at_y(*mark), number(*mark));
            let _ = writeln!(
                out,
                "<path d=\"M{LEFT} {place:.2}H{right}\" stroke=\"#e5e5e5\"/>\
                 <text x=\"{:.2}\" y=\"{:.2}\" text-anchor=\"end\">{text}</text>",
                LEFT - 7.0,
                place + 4.0
            );
        }
        let (middle, centre) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, bottom));
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" stroke=\"#222222\" fill=\"none\"/>\n\
             <text x=\"{middle}\" y=\"22\" text-anchor=\"middle\" font-size=\"14\">{}</text>\n\
             <text x=\"{middle}\" y=\"{:.2}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(18 {centre}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escape(&self.title),
            HEIGHT - 14.0,
            escape(&self.x_label),
            escape(&self.y_label)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: &[(f64, f64)], log: bool) -> String {
        let points = points.iter().map(|&(x, y)| Point { x, y, half_width: 0.1 }).collect();
        let series = vec![Series { name: "a < b & c".into(), points }];
        Plot { title: "T".into(), x_log: log, y_log: log, series, ..Plot::default() }.svg()
    }

    #[test]
    fn whatever_is_plotted_is_a_document() {
        let cases: [&[(f64, f64)]; 6] = [
            &[],
            &[(1.0, 1.0)],
            &[(0.0, 0.0), (-1.0, -5.0)],
            &[(10.0, 0.3), (10_000.0, 80.0)],
            &[(f64::NAN, 1.0), (f64::INFINITY, 2.0)],
            &[(1e-300, 1e300), (1.0, 2.0)],
        ];
        for points in cases {
            for log in [false, true] {
                let svg = plot(points, log);
                let document =
                    roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                let texts: Vec<_> = document.descendants().filter_map(|node| node.text()).collect();
                assert!(texts.contains(&"a < b & c"));
            }
        }
    }

    #[test]
    fn marks_are_round() {
        let marks = |values: &[f64]| Axis::of(values.iter().copied(), false, true).marks;
        assert_eq!(marks(&[0.0, 70.0]), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(
            Axis::of([3.0, 4_000.0].into_iter(), true, false).marks,
            [1.0, 10.0, 100.0, 1_000.0, 10_000.0]
        );
        assert_eq!([0.25, -0.0, 2e7].map(number), ["0.25", "0", "2e7"]);
    }
}
