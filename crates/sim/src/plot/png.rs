//! Shapes as pixels, and these as PNG (ISO/IEC 15948).
//!
//! Everything is drawn with a round pen: a pixel is covered by as much as the pen's edge is beyond its middle, half a pixel more or
//! less. Only sums, products, quotients and square roots are used, which IEEE 754 rounds the same everywhere.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

use super::{Anchor, Colour, HEIGHT, INK, Shape, WIDTH, font};

/// Pixels to a unit.
pub(super) const SCALE: f64 = 2.0;
const ACROSS: usize = (WIDTH * SCALE) as usize;
const DOWN: usize = (HEIGHT * SCALE) as usize;
/// The pen of letters, by the size of the text.
const PEN: f64 = 0.095;

/// The bytes of a file.
pub(super) fn write(shapes: &[Shape]) -> Vec<u8> {
    let mut canvas = Canvas::new();
    for shape in shapes {
        match shape {
            Shape::Line { points, colour, width } => {
                canvas.draw(std::slice::from_ref(points), *width, *colour);
            }
            Shape::Dot { at, radius, colour } => canvas.draw(&[vec![*at]], 2.0 * radius, *colour),
            Shape::Text { at, size, anchor, turned, text } => {
                let back = font::width(text)
                    * size
                    * match anchor {
                        Anchor::Start => 0.0,
                        Anchor::Middle => 0.5,
                        Anchor::End => 1.0,
                    };
                let place = |(x, y): (f64, f64)| {
                    let (along, up) = (x * size - back, y * size);
                    if *turned { (at.0 + up, at.1 - along) } else { (at.0 + along, at.1 + up) }
                };
                let strokes: Vec<Vec<(f64, f64)>> = font::strokes(text)
                    .into_iter()
                    .map(|stroke| stroke.into_iter().map(place).collect())
                    .collect();
                canvas.draw(&strokes, PEN * size, INK);
            }
        }
    }
    encode(&canvas.pixels)
}

struct Canvas {
    pixels: Vec<[u8; 3]>,
    /// How much of each pixel the shape covers that is being drawn.
    covered: Vec<f64>,
}

impl Canvas {
    fn new() -> Self {
        Self { pixels: vec![[0xff; 3]; ACROSS * DOWN], covered: vec![0.0; ACROSS * DOWN] }
    }

    /// Draws strokes as one shape, so that where they meet nothing is darker. A stroke of one point is a dot.
    fn draw(&mut self, strokes: &[Vec<(f64, f64)>], width: f64, colour: Colour) {
        let reach = width * SCALE / 2.0 + 0.5;
        let mut touched: Option<[usize; 4]> = None;
        for stroke in strokes {
            let scaled: Vec<(f64, f64)> = stroke.iter().map(|(x, y)| (x * SCALE, y * SCALE)).collect();
            let dot = scaled.first().filter(|_| scaled.len() == 1).map(|at| [*at, *at]);
            for [from, to] in dot.into_iter().chain(scaled.windows(2).map(|pair| [pair[0], pair[1]])) {
                let area = self.segment(from, to, reach);
                touched = Some(touched.map_or(area, |[left, right, top, bottom]| {
                    [left.min(area[0]), right.max(area[1]), top.min(area[2]), bottom.max(area[3])]
                }));
            }
        }
        let Some([left, right, top, bottom]) = touched else { return };
        let ink = [16, 8, 0].map(|shift| f64::from(colour >> shift & 0xff));
        for at in (top..bottom).flat_map(|row| row * ACROSS + left..row * ACROSS + right) {
            let share = std::mem::take(&mut self.covered[at]);
            if share > 0.0 {
                for (old, new) in self.pixels[at].iter_mut().zip(ink) {
                    *old = (f64::from(*old) * (1.0 - share) + new * share + 0.5) as u8;
                }
            }
        }
    }

    /// Covers what lies within `reach` of a segment; the columns and rows that it looked at.
    fn segment(&mut self, from: (f64, f64), to: (f64, f64), reach: f64) -> [usize; 4] {
        let span = |a: f64, b: f64, most: usize| {
            let first = (a.min(b) - reach).floor().clamp(0.0, most as f64) as usize;
            (first, (a.max(b) + reach).ceil().clamp(first as f64, most as f64) as usize)
        };
        let ((left, right), (top, bottom)) = (span(from.0, to.0, ACROSS), span(from.1, to.1, DOWN));
        let (along_x, along_y) = (to.0 - from.0, to.1 - from.1);
        let length = along_x * along_x + along_y * along_y;
        for row in top..bottom {
            for column in left..right {
                let (x, y) = (column as f64 + 0.5 - from.0, row as f64 + 0.5 - from.1);
                let share =
                    if length > 0.0 { ((x * along_x + y * along_y) / length).clamp(0.0, 1.0) } else { 0.0 };
                let (off_x, off_y) = (x - share * along_x, y - share * along_y);
                let cover = (reach - (off_x * off_x + off_y * off_y).sqrt()).clamp(0.0, 1.0);
                let known = &mut self.covered[row * ACROSS + column];
                *known = known.max(cover);
            }
        }
        [left, right, top, bottom]
    }
}

fn encode(pixels: &[[u8; 3]]) -> Vec<u8> {
    let mut rows = Vec::with_capacity(DOWN * (1 + 3 * ACROSS));
    for row in pixels.chunks(ACROSS) {
        rows.push(0); // no filter
        rows.extend(row.iter().flatten());
    }
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&rows).expect("a vector takes all");
    let packed = packer.finish().expect("a vector takes all");
    let mut header = Vec::new();
    header.extend((ACROSS as u32).to_be_bytes());
    header.extend((DOWN as u32).to_be_bytes());
    header.extend([8, 2, 0, 0, 0]); // 8 bits each of red, green and blue; deflated, not interlaced
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, body) in [(b"IHDR", &header), (b"IDAT", &packed), (b"IEND", &Vec::new())] {
        let mut sum = Crc::new();
        sum.update(kind);
        sum.update(body);
        out.extend((body.len() as u32).to_be_bytes());
        out.extend(kind);
        out.extend(body);
        out.extend(sum.sum().to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// The pixels of a file, by an inflater that wrote none of it.
    fn pixels(file: &[u8]) -> Vec<[u8; 3]> {
        let length = u32::from_be_bytes(file[33..37].try_into().unwrap()) as usize;
        assert_eq!(&file[37..41], b"IDAT");
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(&file[41..41 + length]).read_to_end(&mut rows).unwrap();
        let rows = rows.chunks(1 + 3 * ACROSS);
        rows.flat_map(|row| row[1..].chunks(3).map(|pixel| pixel.try_into().unwrap())).collect()
    }

    #[test]
    fn a_line_covers_what_it_should() {
        // Two units wide from (10, 10) to (30, 10): pixels 20 to 60 across, 18 to 22 down, and round ends.
        let line = Shape::Line {
            points: vec![(10.0, 10.0), (20.0, 10.0), (30.0, 10.0)],
            colour: 0xff0000,
            width: 2.0,
        };
        let file = write(&[line]);
        let found = pixels(&file);
        assert_eq!(found.len(), ACROSS * DOWN);
        let at = |x: usize, y: usize| found[y * ACROSS + x];
        for x in 21..59 {
            assert!((18..22).all(|y| at(x, y) == [0xff, 0, 0]), "{x}");
            assert_eq!([17, 22].map(|y| at(x, y)), [[0xff; 3]; 2], "{x}");
        }
        assert_eq!((at(15, 19), at(64, 19), at(5, 5)), ([0xff; 3], [0xff; 3], [0xff; 3]));
        // The area of the line and of a circle's two halves, by how red pixels are.
        let area: f64 = found.iter().map(|pixel| 1.0 - f64::from(pixel[1]) / 255.0).sum();
        let wanted = 40.0 * 4.0 + std::f64::consts::PI * 4.0;
        assert!((area / wanted - 1.0).abs() < 0.02, "{area} instead of {wanted}");
    }

    #[test]
    fn nothing_off_the_picture_is_drawn_and_texts_have_their_places() {
        let off = Shape::Line { points: vec![(-50.0, -9.0), (1e6, -5.0)], colour: 0, width: 2.0 };
        assert!(pixels(&write(&[off])).iter().all(|pixel| *pixel == [0xff; 3]));
        let dark = |anchor, turned| {
            let (at, text) = ((300.0, 200.0), "mean FCT".to_owned());
            let found = pixels(&write(&[Shape::Text { at, size: 12.0, anchor, turned, text }]));
            let places = (0..found.len()).filter(|at| found[*at] != [0xff; 3]);
            let (mut x, mut y) = ([usize::MAX, 0], [usize::MAX, 0]);
            for place in places {
                let (across, down) = (place % ACROSS, place / ACROSS);
                (x, y) = ([x[0].min(across), x[1].max(across)], [y[0].min(down), y[1].max(down)]);
            }
            (x, y)
        };
        let (x, y) = dark(Anchor::Start, false);
        assert!((598..=602).contains(&x[0]) && y[1] <= 402 && y[0] >= 378, "{x:?} {y:?}");
        let (x, _) = dark(Anchor::End, false);
        assert!((597..=602).contains(&x[1]), "{x:?}");
        let (x, y) = dark(Anchor::Middle, true);
        assert!(x[1] <= 602 && x[0] >= 578 && y[0] < 380 && y[1] > 420, "{x:?} {y:?}");
    }
}
