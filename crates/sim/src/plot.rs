//! Line plots, as a person would put them into a paper: labelled axes with round numbers, confidence intervals as bars, colours
//! that print and that the colour-blind tell apart (Okabe and Ito).
//!
//! A plot is laid out as lines, dots and texts, and these are written as SVG or PNG. The same plot gives the same bytes on every
//! machine.

mod font;
mod png;
mod svg;

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

/// Of the picture, in units of SVG; a PNG has [`png::SCALE`] pixels to each.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 52.0;
/// Of texts.
const SIZE: f64 = 12.0;
const TITLE_SIZE: f64 = 14.0;
const COLOURS: [Colour; 7] = [0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x000000];
const INK: Colour = 0x000000;
const AXIS: Colour = 0x222222;
const GRID: Colour = 0xe5e5e5;

/// The legend: height of a row, length of the sample, room around, width of a letter where it is guessed.
const ROW: f64 = 17.0;
const SAMPLE: f64 = 22.0;
const ROOM: f64 = 12.0;
const LETTER: f64 = 6.2;

/// Red, green and blue, 8 bits each.
type Colour = u32;

/// Which part of a text is at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// What a plot is drawn from. Places are from the upper left corner; the background is white.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Line {
        points: Vec<(f64, f64)>,
        colour: Colour,
        width: f64,
    },
    Dot {
        at: (f64, f64),
        radius: f64,
        colour: Colour,
    },
    /// Its baseline; turned, it is read from below.
    Text {
        at: (f64, f64),
        size: f64,
        anchor: Anchor,
        turned: bool,
        text: String,
    },
}

fn line(points: &[(f64, f64)], colour: Colour, width: f64) -> Shape {
    Shape::Line { points: points.to_vec(), colour, width }
}

fn text(at: (f64, f64), anchor: Anchor, text: &str) -> Shape {
    Shape::Text { at, size: SIZE, anchor, turned: false, text: text.to_owned() }
}

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

impl Plot {
    /// The plot as an SVG document of its own.
    ///
    /// ```
    /// use sim::plot::{Plot, Point, Series};
    /// let points = vec![Point { x: 10.0, y: 0.4, half_width: 0.02 }, Point { x: 30.0, y: 0.5, half_width: 0.03 }];
    /// let series = vec![Series { name: "RC3".into(), points }];
    /// let plot = Plot { x_label: "load (%)".into(), y_label: "mean FCT (s)".into(), series, ..Plot::default() };
    /// assert!(plot.svg().starts_with("<svg"));
    /// assert!(plot.png().starts_with(b"\x89PNG"));
    /// ```
    pub fn svg(&self) -> String {
        svg::write(&self.shapes(), &self.title)
    }

    /// The plot as the bytes of a PNG file of 1280 by 800 pixels. Letters are drawn as strokes; those that are not known are boxes.
    pub fn png(&self) -> Vec<u8> {
        png::write(&self.shapes())
    }

    fn shown(&self, point: &Point) -> bool {
        point.x.is_finite()
            && point.y.is_finite()
            && point.half_width.is_finite()
            && !(self.x_log && point.x <= 0.0)
            && !(self.y_log && point.y <= 0.0)
    }

    fn points<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = &'a Point> {
        series.points.iter().filter(|point| self.shown(point)).take(POINTS_MAX)
    }

    fn shapes(&self) -> Vec<Shape> {
        let all = || self.series.iter().flat_map(|series| self.points(series)).take(POINTS_MAX);
        let x = Axis::of(all().map(|point| point.x), self.x_log, false);
        // An interval that reaches below what a logarithm has ends at the point.
        let low = |point: &Point| if self.y_log { point.y } else { point.y - point.half_width };
        let y = Axis::of(all().flat_map(|point| [low(point), point.y + point.half_width]), self.y_log, true);
        let at_x = |value: f64| LEFT + x.place(value) * (WIDTH - LEFT - RIGHT);
        let at_y = |value: f64| HEIGHT - BOTTOM - y.place(value).max(0.0) * (HEIGHT - TOP - BOTTOM);

        let mut shapes = Vec::new();
        self.frame(&mut shapes, &x, &y, at_x, at_y);
        let mut lines: Vec<Vec<(f64, f64)>> = Vec::new();
        for (series, colour) in self.series.iter().zip(COLOURS.into_iter().cycle()) {
            let places: Vec<_> = self.points(series).map(|point| (at_x(point.x), at_y(point.y))).collect();
            shapes.push(line(&places, colour, 1.8));
            for (point, &(across, down)) in self.points(series).zip(&places) {
                if point.half_width > 0.0 {
                    let (top, bottom) = (at_y(point.y + point.half_width), at_y(low(point)));
                    shapes.push(line(&[(across, top), (across, bottom)], colour, 1.0));
                    shapes.extend(
                        [top, bottom]
                            .map(|end| line(&[(across - 3.0, end), (across + 3.0, end)], colour, 1.0)),
                    );
                }
                shapes.push(Shape::Dot { at: (across, down), radius: 2.6, colour });
            }
            lines.push(places);
        }
        self.legend(&mut shapes, &lines);
        shapes
    }

    /// What each line is, in the corner where it hides the least of them.
    fn legend(&self, shapes: &mut Vec<Shape>, lines: &[Vec<(f64, f64)>]) {
        let letters = self.series.iter().map(|series| series.name.chars().count()).max().unwrap_or(0);
        let width = SAMPLE + 6.0 + letters as f64 * LETTER;
        let height = ROW * self.series.len() as f64;
        let (left, right) = (LEFT + ROOM, (WIDTH - RIGHT - ROOM - width).max(LEFT + ROOM));
        let (top, bottom) = (TOP + ROOM / 2.0, HEIGHT - BOTTOM - ROOM / 2.0 - height);
        let hidden = |&(x, y): &(f64, f64)| {
            let within = |at: &(f64, f64)| {
                (x - 4.0..=x + width + 4.0).contains(&at.0) && (y - 4.0..=y + height + 4.0).contains(&at.1)
            };
            let steps = lines.iter().flat_map(|line| line.windows(2)).flat_map(|pair| {
                let between = move |share: f64| {
                    (pair[0].0 + share * (pair[1].0 - pair[0].0), pair[0].1 + share * (pair[1].1 - pair[0].1))
                };
                (0..=16).map(move |step| between(f64::from(step) / 16.0))
            });
            steps.filter(within).count()
        };
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        let (left, top) = corners.into_iter().min_by_key(hidden).unwrap_or((left, top));
        for ((series, colour), row) in self.series.iter().zip(COLOURS.into_iter().cycle()).zip(0..) {
            let y = top + ROW * (f64::from(row) + 0.5);
            shapes.push(line(&[(left, y), (left + SAMPLE, y)], colour, 1.8));
            shapes.push(text((left + SAMPLE + 6.0, y + 4.0), Anchor::Start, &series.name));
        }
    }

    /// What is round the lines.
    fn frame(
        &self,
        shapes: &mut Vec<Shape>,
        x: &Axis,
        y: &Axis,
        at_x: impl Fn(f64) -> f64,
        at_y: impl Fn(f64) -> f64,
    ) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for mark in &x.marks {
            let place = at_x(*mark);
            shapes.push(line(&[(place, TOP), (place, bottom)], GRID, 1.0));
            shapes.push(text((place, bottom + 17.0), Anchor::Middle, &number(*mark)));
        }
        for mark in &y.marks {
            let place = at_y(*mark);
            shapes.push(line(&[(LEFT, place), (right, place)], GRID, 1.0));
            shapes.push(text((LEFT - 7.0, place + 4.0), Anchor::End, &number(*mark)));
        }
        shapes.push(line(&[(LEFT, TOP), (LEFT, bottom), (right, bottom)], AXIS, 1.0));
        let (middle, centre) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, bottom));
        let title = |at, size, turned, text: &str| Shape::Text {
            at,
            size,
            anchor: Anchor::Middle,
            turned,
            text: text.to_owned(),
        };
        shapes.push(title((middle, 22.0), TITLE_SIZE, false, &self.title));
        shapes.push(title((middle, HEIGHT - 14.0), SIZE, false, &self.x_label));
        shapes.push(title((18.0, centre), SIZE, true, &self.y_label));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: &[(f64, f64)], log: bool) -> Plot {
        let points = points.iter().map(|&(x, y)| Point { x, y, half_width: 0.1 }).collect();
        let series = vec![Series { name: "a < b & c".into(), points }];
        Plot { title: "T".into(), x_log: log, y_log: log, series, ..Plot::default() }
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
                let plot = plot(points, log);
                assert!(plot.png().ends_with(b"IEND\xaeB`\x82"));
                let svg = plot.svg();
                let document =
                    roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                let texts: Vec<_> = document.descendants().filter_map(|node| node.text()).collect();
                assert!(texts.contains(&"a < b & c"));
            }
        }
    }

    #[test]
    fn the_legend_goes_where_no_line_is() {
        let legend = |points: &[(f64, f64)]| {
            let plot = plot(points, false);
            let name = |shape: &Shape| match shape {
                Shape::Text { at, text, .. } if *text == "a < b & c" => Some(*at),
                _ => None,
            };
            plot.shapes().iter().find_map(name).unwrap()
        };
        let (up, down) = (legend(&[(0.0, 0.0), (1.0, 9.0)]), legend(&[(0.0, 9.8), (0.4, 9.8), (1.0, 0.0)]));
        assert!(up.0 < 200.0 && up.1 < 100.0, "rising: upper left, {up:?}");
        assert!(down.0 > 400.0 && down.1 < 100.0, "falling: upper right, {down:?}");
        let tent = legend(&[(0.0, 9.8), (1.0, 9.8)]);
        assert!(tent.1 > 250.0, "along the top: below, {tent:?}");
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
