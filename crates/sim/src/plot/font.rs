//! Letters as strokes of a pen, of our own making: no font has to be there, and none is carried along.
//!
//! A letter is a width and strokes. A stroke is a list of places, two digits each: how far right, and how far down from the top of the
//! capitals; their foot is at 7, the top of small letters at 2, and what hangs down ends at 9. `~` before a stroke rounds its corners,
//! `o` joins its ends and rounds them all.

/// Height of capitals, by the size of the text, and in the unit of the letters.
const CAPITALS: f64 = 0.72;
const UNITS: f64 = 7.0;
/// Between two letters.
const GAP: u8 = 2;
/// How often corners are cut: each halves what is left of them.
const ROUNDINGS: usize = 3;

type Letter = (u8, &'static str);

/// What is drawn for a letter that is not known.
const UNKNOWN: Letter = (4, "0040470700");

/// From the space to the tilde.
#[rustfmt::skip]
const ASCII: [Letter; 95] = [
    (2, ""), (0, "0005 07"), (2, "0002 2022"), (6, "2017 5047 0262 0565"),
    (5, "~5140000354571706 3027"), (5, "o00202202 5007 o35555737"), (6, "~6712112030414204050617374664"), (0, "0002"),
    (2, "~20020527"), (2, "~00222507"), (4, "2125 0244 0442"), (4, "2226 0444"),
    (1, "1708"), (3, "0434"), (0, "07"), (4, "0740"),
    (4, "o00404707"), (4, "022027"), (4, "~020040432507 0747"), (4, "~0100404313 ~1343470706"),
    (4, "37300545"), (4, "400003 ~031242470706"), (4, "~40100305 o03434707"), (4, "004017"),
    (4, "o00404303 o03434707"), (4, "o00404404 ~42443707"), (0, "03 07"), (1, "13 1708"),
    (4, "420446"), (4, "0343 0545"), (4, "024406"), (4, "~010040432325 27"),
    (6, "o22424525 ~42456561501001061757"), (6, "073067 1555"), (5, "0007 ~003050533303 ~033353573707"), (5, "~514000074756"),
    (5, "0007 ~002050572707"), (4, "40000747 0333"), (4, "400007 0333"), (5, "~514000075754 5434"),
    (5, "0007 5057 0353"), (0, "0007"), (3, "~3034370706"), (5, "0007 5004 2257"),
    (4, "000747"), (6, "0700356067"), (5, "07005750"), (6, "o00606707"),
    (5, "0007 ~003050543404"), (6, "o00606707 4567"), (5, "0007 ~003050543404 3457"), (5, "~5140000354571706"),
    (6, "0060 3037"), (5, "~000407575450"), (6, "003760"), (8, "0027416780"),
    (5, "0057 5007"), (6, "003360 3337"), (5, "00500757"), (2, "20000828"),
    (4, "0047"), (2, "00202808"), (4, "022042"), (4, "0848"),
    (1, "0011"), (4, "o02424707 4247"), (4, "0007 o02424707"), (4, "~433202073746"),
    (4, "4047 o02424707"), (4, "0444 ~444202073746"), (3, "~301013 1317 0232"), (4, "o02424707 ~42474909"),
    (4, "0007 ~04024244 4447"), (0, "0207 00"), (1, "~12171909 10"), (4, "0007 4205 1447"),
    (0, "0007"), (6, "0207 ~04023234 3437 ~34326264 6467"), (4, "0207 ~04024244 4447"), (4, "o02424707"),
    (4, "0209 o02424707"), (4, "4249 o02424707"), (3, "0207 ~040232"), (4, "~4332020445471706"),
    (3, "1014 ~141737 0232"), (4, "0204 ~04074745 4247"), (4, "022742"), (6, "0217335762"),
    (4, "0247 4207"), (4, "0227 4219"), (4, "02420747"), (2, "~20101404 ~04141828"),
    (0, "0009"), (2, "~00101424 ~24141808"), (4, "~05133644"),
];

fn letter(of: char) -> Letter {
    match of {
        ' '..='~' => ASCII[of as usize - ' ' as usize],
        'µ' | 'μ' => (4, "0209 ~04074745 4247"),
        '±' => (4, "2125 0343 0747"),
        '×' => (4, "0347 4307"),
        '–' | '−' => (4, "0444"),
        '≤' => (4, "410345 0747"),
        '≥' => (4, "014305 0747"),
        '°' => (2, "o00202202"),
        _ => UNKNOWN,
    }
}

/// How wide a text of size 1 is.
pub(super) fn width(text: &str) -> f64 {
    let units: u32 = text.chars().map(|of| u32::from(letter(of).0 + GAP)).sum();
    f64::from(units.saturating_sub(u32::from(GAP))) * CAPITALS / UNITS
}

/// The strokes of a text of size 1 that begins at (0, 0), the foot of its first letter.
pub(super) fn strokes(text: &str) -> Vec<Vec<(f64, f64)>> {
    let (mut found, mut left) = (Vec::new(), 0);
    for of in text.chars() {
        let (width, strokes) = letter(of);
        let place = |pair: &[u8]| {
            let [right, down] = [pair[0], pair[1]].map(|digit| f64::from(digit - b'0'));
            ((f64::from(left) + right) * CAPITALS / UNITS, (down - UNITS) * CAPITALS / UNITS)
        };
        for stroke in strokes.split_ascii_whitespace() {
            let digits = stroke.trim_start_matches(['~', 'o']);
            let places: Vec<(f64, f64)> = digits.as_bytes().chunks_exact(2).map(place).collect();
            found.push(match stroke.as_bytes()[0] {
                b'~' => (0..ROUNDINGS).fold(places, |places, _| round(&places)),
                b'o' => ring(places),
                _ => places,
            });
        }
        left += u32::from(width + GAP);
    }
    found
}

/// Cuts the corners of a line, whose ends stay (Chaikin's algorithm).
fn round(places: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let [first, .., last] = places else { return places.to_vec() };
    let cut =
        places.windows(2).flat_map(|pair| [between(pair[0], pair[1], 0.25), between(pair[0], pair[1], 0.75)]);
    std::iter::once(*first).chain(cut).chain([*last]).collect()
}

/// Joins the ends, and cuts all corners.
fn ring(mut places: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    for _ in 0..ROUNDINGS {
        let next = places.iter().cycle().skip(1);
        places = places
            .iter()
            .zip(next)
            .flat_map(|(from, to)| [between(*from, *to, 0.25), between(*from, *to, 0.75)])
            .collect();
    }
    places.extend(places.first().copied());
    places
}

fn between(from: (f64, f64), to: (f64, f64), share: f64) -> (f64, f64) {
    (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_stays_in_its_box() {
        let extra = "µ±×–≤≥°\u{1f600}".chars();
        for of in (' '..='~').chain(extra) {
            let (wide, drawn) = letter(of);
            assert!(
                drawn.split(' ').all(|stroke| stroke.trim_start_matches(['~', 'o']).len().is_multiple_of(2)),
                "{of}"
            );
            let (wide, strokes) = (f64::from(wide) * CAPITALS / UNITS, strokes(&of.to_string()));
            assert_eq!(strokes.is_empty(), of == ' ', "{of}");
            let unit = CAPITALS / UNITS;
            for (x, y) in strokes.into_iter().flatten() {
                assert!((0.0..=wide + 1e-9).contains(&x), "{of}: {x} of {wide}");
                assert!((-CAPITALS - 1e-9..=2.0 * unit + 1e-9).contains(&y), "{of}: {y}");
            }
        }
    }

    #[test]
    fn no_two_letters_look_the_same() {
        let mut known = std::collections::HashMap::new();
        for of in '!'..='~' {
            let same = known.insert(letter(of).1, of);
            // A capital I and a small l are one stroke in many a font.
            assert!(same.is_none() || (same, of) == (Some('I'), 'l'), "{of} is {same:?}");
        }
        assert_eq!(width(""), 0.0);
        assert!((width("ab") - 10.0 * CAPITALS / UNITS).abs() < 1e-9);
    }
}
