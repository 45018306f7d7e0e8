//! What an isolated function reports, as bytes that cross to a side that does not trust them.
//!
//! | bytes | of a counter | of a line |
//! |---|---|---|
//! | 1 | 0 | 1 |
//! | 2 | length of the text, little-endian | the same |
//! | 8 | value, little-endian | |
//! | length | text in UTF-8 | the same |

use std::collections::HashSet;

use ports::shm::NOTE_MAX;

use crate::{REPORT_LINES_MAX, Report};

/// The longest name of a counter, and the longest line, in bytes.
const TEXT_MAX: usize = 1024;
const COUNTER: u8 = 0;
const LINE: u8 = 1;

/// No report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonsense;

/// A report as bytes. Texts that are too long are cut, and what does not fit a note is left out.
pub(super) fn write(report: &Report) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut add = |tag: u8, text: &str, value: &[u8]| {
        let text = &text[..text.floor_char_boundary(TEXT_MAX)];
        if bytes.len() + 3 + value.len() + text.len() <= NOTE_MAX {
            bytes.push(tag);
            bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(text.as_bytes());
        }
    };
    report.counters().iter().for_each(|(name, value)| add(COUNTER, name, &value.to_le_bytes()));
    report.lines().iter().for_each(|line| add(LINE, line, &[]));
    bytes
}

/// Reads a report, whoever wrote it: no more counters and lines than a report takes, none twice, texts that are safe to
/// print.
pub(super) fn read(mut bytes: &[u8]) -> Result<Report, Nonsense> {
    let (mut report, mut names) = (Report::default(), HashSet::new());
    while let Some((&tag, rest)) = bytes.split_first() {
        let (len, rest) = rest.split_first_chunk().ok_or(Nonsense)?;
        let len = usize::from(u16::from_le_bytes(*len));
        let (value, rest) = match tag {
            COUNTER => rest.split_first_chunk().map(|(value, rest)| (u64::from_le_bytes(*value), rest)),
            LINE => Some((0, rest)),
            _ => None,
        }
        .ok_or(Nonsense)?;
        let (text, rest) = rest.split_at_checked(len).filter(|_| len <= TEXT_MAX).ok_or(Nonsense)?;
        let text = printable(std::str::from_utf8(text).map_err(|_| Nonsense)?);
        match tag {
            LINE => report.line(text),
            _ if names.len() < REPORT_LINES_MAX && names.insert(text.clone()) => report.counter(text, value),
            _ => {}
        }
        bytes = rest;
    }
    Ok(report)
}

/// Adds what was read to a report, but nothing to a counter that is there already, or whose name is `reserved`.
pub(super) fn add(told: &Report, reserved: &[&str], report: &mut Report) {
    let known: HashSet<_> = report.counters().iter().map(|(name, _)| name.clone()).collect();
    told.lines().iter().for_each(|line| report.line(line));
    for (name, value) in told.counters() {
        if !known.contains(name) && !reserved.contains(&&**name) {
            report.counter(name, *value);
        }
    }
}

/// Without what a terminal would obey: control characters, and those that turn the direction of writing.
fn printable(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if obeyed(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_passed_on() {
        let mut report = Report::default();
        report.line("\x1b[2Jgone\r\u{202e}\n");
        report.counter("a\x07", 1);
        let read = read(&write(&report)).unwrap();
        assert_eq!(read.lines(), ["\u{fffd}[2Jgone\u{fffd}\u{fffd}\u{fffd}"]);
        assert_eq!(read.counters(), [("a\u{fffd}".to_owned(), 1)]);
    }

    #[test]
    fn nothing_is_added_to_what_is_counted_here() {
        let mut bytes = Vec::new();
        for (name, value) in [("ours", 5_u64), ("later", 5), ("theirs", u64::MAX), ("theirs", u64::MAX)] {
            bytes.push(COUNTER);
            bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&value.to_le_bytes());
            bytes.extend_from_slice(name.as_bytes());
        }
        let mut report = Report::default();
        report.counter("ours", 1);
        add(&read(&bytes).unwrap(), &["later"], &mut report);
        assert_eq!((report.get("ours"), report.get("later"), report.get("theirs")), (1, 0, u64::MAX));
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let mut report = Report::default();
        (0..REPORT_LINES_MAX).for_each(|n| report.line(format!("{n} {}", "ä".repeat(TEXT_MAX))));
        let bytes = write(&report);
        assert!((NOTE_MAX - TEXT_MAX..=NOTE_MAX).contains(&bytes.len()));
        let read = read(&bytes).unwrap();
        assert!(read.lines().len() > 60 && read.lines().iter().all(|line| line.len() > TEXT_MAX - 2));
        let flood = [LINE, 0, 0].repeat(NOTE_MAX / 3);
        assert_eq!(super::read(&flood).unwrap().lines().len(), REPORT_LINES_MAX + 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_report_or_nonsense(bytes: Vec<u8>, tags in prop::collection::vec(0..2_u8, 0..9)) {
            let _ = read(&bytes);
            // Bytes that are nearly one: as many texts as there are tags, cut anywhere.
            let near = tags.iter().flat_map(|tag| [*tag, 1, 0].into_iter().chain(bytes.iter().copied()));
            let _ = read(&near.collect::<Vec<_>>());
        }

        #[test]
        fn a_report_survives_the_way(
            counters in prop::collection::btree_map("[a-z ]{0,20}", any::<u64>(), 0..20),
            lines in prop::collection::vec("[ -~]{0,80}", 0..20),
        ) {
            let mut report = Report::default();
            counters.iter().for_each(|(name, value)| report.counter(name, *value));
            lines.iter().for_each(|line| report.line(line));
            prop_assert_eq!(read(&write(&report)), Ok(report));
        }
    }
}
