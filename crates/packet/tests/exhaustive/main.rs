//! Every header parser on every value of the fields that decide lengths, at every buffer length these can reach.
//!
//! Each rule is written here a second time, as plainly as it goes; `new_checked` must accept exactly what the rule
//! accepts, what it hands out must lie where the rule says, and printing must not fail.

use std::fmt::Display;
use std::ops::Range;

mod control;
mod dns;
mod ip;
mod link;
mod transport;

/// Where `part` lies in `buffer`: it must lie in it.
fn place(buffer: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - buffer.as_ptr() as usize;
    assert!(start + part.len() <= buffer.len(), "{start}+{} beyond {}", part.len(), buffer.len());
    start..start + part.len()
}

/// Whether the parser agrees with the rule; prints what was accepted.
#[track_caller]
fn agree<V: Display, E: Display>(
    parsed: Result<V, E>,
    accepts: bool,
    case: impl FnOnce() -> String,
) -> Option<V> {
    match parsed {
        Ok(view) => {
            assert!(accepts, "accepted {}: {view}", case());
            assert!(!view.to_string().is_empty());
            Some(view)
        }
        Err(wrong) => {
            assert!(!accepts, "refused {}: {wrong}", case());
            assert!(!wrong.to_string().is_empty());
            None
        }
    }
}

/// Every string of `length` bytes out of `alphabet`, each once.
fn strings(alphabet: &[u8], length: usize, mut each: impl FnMut(&[u8])) {
    let mut digits = vec![0usize; length];
    let mut string = vec![alphabet[0]; length];
    loop {
        each(&string);
        let Some(at) = digits.iter().rposition(|digit| *digit + 1 < alphabet.len()) else { return };
        digits[at] += 1;
        digits[at + 1..].fill(0);
        (at..length).for_each(|at| string[at] = alphabet[digits[at]]);
    }
}

/// The kinds and bodies of a list of options as IPv4 and TCP have them, and whether it ends well.
fn option_list(mut area: &[u8]) -> (Vec<(u8, &[u8])>, bool) {
    let mut found = Vec::new();
    loop {
        match area {
            [] => return (found, true),
            [0, ..] => {
                found.push((0, &[][..]));
                return (found, true);
            }
            [1, rest @ ..] => {
                found.push((1, &[]));
                area = rest;
            }
            [kind, length, ..] if (2..=area.len()).contains(&usize::from(*length)) => {
                found.push((*kind, &area[2..usize::from(*length)]));
                area = &area[usize::from(*length)..];
            }
            _ => return (found, false),
        }
    }
}

/// Every kind and length of a first option with what may follow, and longer areas out of the bytes that mean something.
fn option_areas(mut each: impl FnMut(&[u8])) {
    let meaningful = [0, 1, 2, 3, 4, 5, 8];
    for kind in 0..=255 {
        for length in 0..=255 {
            strings(&[0, 1, 2, 4, 7], 2, |rest| each(&[kind, length, rest[0], rest[1]]));
            each(&[&[kind, length], &[2; 38][..]].concat());
        }
    }
    strings(&meaningful, 7, |area| each(&[&[1], area].concat()));
}

/// Whether a walk ends without an error.
trait AllOk {
    fn all_ok(self) -> bool;
}

impl<T, E, I: Iterator<Item = Result<T, E>>> AllOk for I {
    fn all_ok(mut self) -> bool {
        self.all(|item| item.is_ok())
    }
}
