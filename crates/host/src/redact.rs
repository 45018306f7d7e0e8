//! Values that must not be written down: the output of a container's command goes through here on its way to the log.
//!
//! What comes out is the same however the output was cut into pieces: bytes that could be the beginning of a value are
//! held back until it is known whether they are.

use std::collections::BTreeMap;

use memchr::memmem::Finder;

use crate::log::Stream;

/// Shortest value that is looked for. Shorter ones are in every text, and hide nothing from anybody.
pub const SECRET_BYTES_MIN: usize = 4;

/// One value, and what is written in its place.
#[derive(Debug)]
struct Secret {
    finder: Finder<'static>,
    instead: Vec<u8>,
}

impl Secret {
    fn bytes(&self) -> &[u8] {
        self.finder.needle()
    }
}

/// Replaces secrets in two streams of bytes.
#[derive(Debug)]
pub(crate) struct Redactor {
    /// Longest first: of two that begin at the same place, the longer one is meant.
    secrets: Vec<Secret>,
    held: [Vec<u8>; 2],
}

impl Redactor {
    /// For values by their names. Line ends at the end of a value do not count: a program prints it without.
    pub(crate) fn new(secrets: &BTreeMap<String, String>) -> Self {
        let mut secrets: Vec<_> = secrets
            .iter()
            .map(|(name, value)| (name, value.trim_end_matches(['\r', '\n'])))
            .filter(|(_, value)| value.len() >= SECRET_BYTES_MIN)
            .map(|(name, value)| Secret {
                finder: Finder::new(value).into_owned(),
                instead: format!("(secret {name})").into_bytes(),
            })
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.bytes().len()));
        Self { secrets, held: [Vec::new(), Vec::new()] }
    }

    /// Takes more of a stream; what may be written of it now.
    pub(crate) fn pass(&mut self, stream: Stream, bytes: &[u8]) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.held[stream as usize]);
        text.extend_from_slice(bytes);
        if self.secrets.is_empty() {
            return text;
        }
        let mut out = Vec::with_capacity(text.len());
        let rest = self.replace(&text, &mut out, |from| self.beginning(&text, from));
        self.held[stream as usize] = text[rest..].to_vec();
        out
    }

    /// What was held back of a stream that has ended.
    pub(crate) fn finish(&mut self, stream: Stream) -> Vec<u8> {
        let text = std::mem::take(&mut self.held[stream as usize]);
        self.whole(&text)
    }

    /// A text that is not continued.
    pub(crate) fn whole(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        self.replace(text, &mut out, |_| text.len());
        out
    }

    /// Writes `text` with its secrets replaced, up to where `hold` says that one may begin which has not ended yet; says
    /// where that is. `hold` is asked about the text from a place on.
    fn replace(&self, text: &[u8], out: &mut Vec<u8>, hold: impl Fn(usize) -> usize) -> usize {
        let mut from = 0;
        loop {
            let held = hold(from);
            match self.first(text, from).filter(|(at, _)| *at < held) {
                Some((at, secret)) => {
                    out.extend_from_slice(&text[from..at]);
                    out.extend_from_slice(&secret.instead);
                    from = at + secret.bytes().len();
                }
                None => {
                    out.extend_from_slice(&text[from..held]);
                    return held;
                }
            }
        }
    }

    /// The first secret in a text from a place on; the longest of those that begin there.
    fn first(&self, text: &[u8], from: usize) -> Option<(usize, &Secret)> {
        let found = |secret: &Secret| secret.finder.find(&text[from..]).map(|at| from + at);
        // min_by_key keeps the first of equals, and longer ones come first.
        self.secrets.iter().filter_map(|secret| Some((found(secret)?, secret))).min_by_key(|(at, _)| *at)
    }

    /// Where, from a place on, the end of a text is the beginning of a secret; its length when nowhere.
    fn beginning(&self, text: &[u8], from: usize) -> usize {
        let longest = self.secrets.first().map_or(0, |secret| secret.bytes().len());
        let start = from.max((text.len() + 1).saturating_sub(longest));
        let begins = |at: &usize| {
            let end = &text[*at..];
            self.secrets
                .iter()
                .any(|secret| secret.bytes().len() > end.len() && secret.bytes().starts_with(end))
        };
        (start..text.len()).find(begins).unwrap_or(text.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redactor(values: &[&str]) -> Redactor {
        Redactor::new(
            &values.iter().enumerate().map(|(at, value)| (format!("s{at}"), (*value).into())).collect(),
        )
    }

    fn through(redactor: &mut Redactor, pieces: &[&str]) -> String {
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(redactor.pass(Stream::Stdout, piece.as_bytes()));
        }
        out.extend(redactor.finish(Stream::Stdout));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_value_is_found_however_it_is_cut() {
        let mut redactor = redactor(&["hunter2!", "BEGIN\nkey\nEND\n", "abc"]);
        assert_eq!(through(&mut redactor, &["a hunter2! b"]), "a (secret s0) b");
        assert_eq!(through(&mut redactor, &["a hun", "ter", "2", "! b"]), "a (secret s0) b");
        assert_eq!(through(&mut redactor, &["hunthunter2!", "hunter2"]), "hunt(secret s0)hunter2");
        assert_eq!(through(&mut redactor, &["x\nBEGIN\n", "key\nEN", "D\n"]), "x\n(secret s1)\n");
        assert_eq!(through(&mut redactor, &["abc"]), "abc", "too short to be one");
    }

    #[test]
    fn streams_are_apart() {
        let mut redactor = redactor(&["hunter2"]);
        let mut out = redactor.pass(Stream::Stdout, b"hunt");
        out.extend(redactor.pass(Stream::Stderr, b"er2"));
        assert_eq!(out, b"er2");
        assert_eq!(redactor.pass(Stream::Stdout, b"er2"), b"(secret s0)");
    }

    #[test]
    fn the_longer_of_two_is_meant() {
        let mut redactor = redactor(&["abcd", "abcdef"]);
        assert_eq!(through(&mut redactor, &["abcd", "ef abcd e"]), "(secret s1) (secret s0) e");
        assert_eq!(through(&mut redactor, &["abcde"]), "(secret s0)e");
    }

    /// The slow, obvious way: at each place the longest value that stands there.
    fn twin(values: &[String], text: &[u8]) -> Vec<u8> {
        let (mut out, mut at) = (Vec::new(), 0);
        while at < text.len() {
            let here = values.iter().enumerate().filter(|(_, value)| {
                value.len() >= SECRET_BYTES_MIN && text[at..].starts_with(value.as_bytes())
            });
            match here.max_by_key(|(_, value)| value.len()) {
                Some((number, value)) => {
                    out.extend(format!("(secret s{number})").bytes());
                    at += value.len();
                }
                None => {
                    out.push(text[at]);
                    at += 1;
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            values in prop::collection::btree_set("[ab\n]{1,6}[ab]", 0..4),
            pieces in prop::collection::vec("[ab\n]{0,7}", 0..12),
        ) {
            let values: Vec<String> = values.into_iter().collect();
            let words: Vec<&str> = values.iter().map(String::as_str).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let got = through(&mut redactor(&words), &pieces);
            prop_assert_eq!(got.into_bytes(), twin(&values, pieces.concat().as_bytes()));
        }
    }
}
