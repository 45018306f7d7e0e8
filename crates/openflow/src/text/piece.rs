//! Pieces of the text being parsed, which know where they lie, and what is wrong with them.

use std::ops::Range;
use std::str::FromStr;

use thiserror::Error;

/// Bytes of the longest text that is parsed: a message of 64 KiB with room for its words.
pub const TEXT_LEN_MAX: usize = 1 << 20;

/// Why text cannot be parsed: where, what is there, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{wrong}")]
pub struct ParseError {
    /// The place in the text, in bytes.
    pub at: Range<usize>,
    /// What is there.
    pub wrong: Wrong,
    /// What to change.
    pub help: String,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Wrong {
    /// Something else was wanted.
    #[error("`{found}` is no {wanted}")]
    Unexpected {
        /// What was wanted.
        wanted: &'static str,
        /// What is there.
        found: String,
    },
    /// Something is missing.
    #[error("{wanted} is missing")]
    Missing {
        /// What.
        wanted: &'static str,
    },
    /// A number that is too large for where it stands.
    #[error("`{found}` is more than {limit}, the most that {what} takes")]
    TooLarge {
        /// What the number is.
        what: &'static str,
        /// What is there.
        found: String,
        /// The most there may be.
        limit: u128,
    },
    /// A field without another one that gives it a meaning.
    #[error("`{field}` says nothing without {need}")]
    Prerequisite {
        /// The field.
        field: &'static str,
        /// What it needs.
        need: &'static str,
    },
    /// A field for the second time.
    #[error("`{what}` is said twice")]
    Twice {
        /// What.
        what: String,
    },
    /// More text than [`TEXT_LEN_MAX`].
    #[error("{length} bytes of text are more than {TEXT_LEN_MAX}")]
    TooLong {
        /// Its length.
        length: usize,
    },
}

pub(super) type Result<T> = std::result::Result<T, ParseError>;

/// Characters of a text quoted in an error.
const QUOTED_MAX: usize = 40;

/// A part of the text, and where it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Piece<'a> {
    /// The whole text.
    pub(super) fn new(text: &'a str) -> Result<Self> {
        let piece = Self { text, at: 0 };
        if text.len() > TEXT_LEN_MAX {
            let start = Self { text: "", at: 0 };
            return Err(start.error(Wrong::TooLong { length: text.len() }, "split it into several"));
        }
        Ok(piece)
    }

    pub(super) fn error(self, wrong: Wrong, help: impl Into<String>) -> ParseError {
        ParseError { at: self.at..self.at + self.text.len(), wrong, help: help.into() }
    }

    pub(super) fn unexpected(self, wanted: &'static str, help: impl Into<String>) -> ParseError {
        if self.text.trim().is_empty() {
            return self.error(Wrong::Missing { wanted }, help);
        }
        let found = self.text.trim().chars().take(QUOTED_MAX).collect();
        self.error(Wrong::Unexpected { wanted, found }, help)
    }

    pub(super) fn is_empty(self) -> bool {
        self.text.is_empty()
    }

    /// The bytes `range` of it; the range lies on character boundaries.
    pub(super) fn part(self, range: Range<usize>) -> Self {
        Self { text: &self.text[range.clone()], at: self.at + range.start }
    }

    pub(super) fn from(self, start: usize) -> Self {
        self.part(start..self.text.len())
    }

    /// Its end, of no length.
    pub(super) fn end(self) -> Self {
        self.from(self.text.len())
    }

    pub(super) fn trim(self) -> Self {
        let start = self.text.len() - self.text.trim_start().len();
        let text = self.text.trim();
        self.part(start..start + text.len())
    }

    /// What is before and behind the first `separator`.
    pub(super) fn split_once(self, separator: &str) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((self.part(0..at), self.from(at + separator.len())))
    }

    /// What is before and behind the last `separator`.
    pub(super) fn rsplit_once(self, separator: &str) -> Option<(Self, Self)> {
        let at = self.text.rfind(separator)?;
        Some((self.part(0..at), self.from(at + separator.len())))
    }

    pub(super) fn strip_prefix(self, prefix: &str) -> Option<Self> {
        self.text.starts_with(prefix).then(|| self.from(prefix.len()))
    }

    pub(super) fn strip_suffix(self, suffix: &str) -> Option<Self> {
        self.text.ends_with(suffix).then(|| self.part(0..self.text.len() - suffix.len()))
    }

    /// Its parts between separators.
    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut at = 0;
        self.text.split(separator).map(move |text| {
            let start = at;
            at += text.len() + separator.len_utf8();
            self.part(start..start + text.len())
        })
    }

    /// What is in the parentheses that all of it stands in.
    pub(super) fn unwrapped(self) -> Option<Self> {
        self.strip_prefix("(")?.strip_suffix(")")
    }

    /// A number up to `limit`: decimal, or hexadecimal behind `0x`.
    pub(super) fn number(self, what: &'static str, limit: u128) -> Result<u128> {
        let piece = self.trim();
        let text = piece.text;
        let wrong = || piece.unexpected(what, "write a decimal number, or a hexadecimal one behind `0x`");
        let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => (digits, 16),
            None => (text, 10),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| char::from(byte).is_digit(radix)) {
            return Err(wrong());
        }
        let too_large = || {
            let found = text.chars().take(QUOTED_MAX).collect();
            piece.error(Wrong::TooLarge { what, found, limit }, format!("write a number from 0 to {limit}"))
        };
        let value = u128::from_str_radix(digits, radix).map_err(|_| too_large())?;
        if value > limit { Err(too_large()) } else { Ok(value) }
    }

    pub(super) fn u8(self, what: &'static str) -> Result<u8> {
        self.number(what, u8::MAX.into()).map(|value| value as u8)
    }

    pub(super) fn u16(self, what: &'static str) -> Result<u16> {
        self.number(what, u16::MAX.into()).map(|value| value as u16)
    }

    pub(super) fn u32(self, what: &'static str) -> Result<u32> {
        self.number(what, u32::MAX.into()).map(|value| value as u32)
    }

    pub(super) fn u64(self, what: &'static str) -> Result<u64> {
        self.number(what, u64::MAX.into()).map(|value| value as u64)
    }

    /// Whatever parses itself.
    pub(super) fn parsed<T: FromStr>(self, what: &'static str, help: &str) -> Result<T> {
        self.trim().text.parse().map_err(|_| self.unexpected(what, help))
    }

    /// Bytes as pairs of hexadecimal digits, behind `0x` or not.
    pub(super) fn bytes(self, what: &'static str) -> Result<Vec<u8>> {
        let piece = self.trim();
        let digits = piece.text.strip_prefix("0x").unwrap_or(piece.text).as_bytes();
        let nibble = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
        let pairs = digits.chunks(2).map(|pair| match pair {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            _ => None,
        });
        pairs
            .collect::<Option<_>>()
            .ok_or_else(|| piece.unexpected(what, "write pairs of hexadecimal digits"))
    }

    /// Its `key`, `key=value`, `key:value` and `key(value)` parts, between commas and white space.
    pub(super) fn pairs(self) -> Pairs<'a> {
        Pairs { rest: self }
    }
}

/// One part of a list: a key and what it is set to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) key: Piece<'a>,
    /// What is behind `=`, `:` or between parentheses.
    pub(super) value: Option<Piece<'a>>,
    /// All of it.
    pub(super) whole: Piece<'a>,
}

impl<'a> Pair<'a> {
    /// The value, which must be there.
    pub(super) fn needed(self, what: &'static str) -> Result<Piece<'a>> {
        self.value.filter(|value| !value.is_empty()).ok_or_else(|| {
            let help = format!("write `{}=` and its value", self.key.text);
            self.whole.error(Wrong::Missing { wanted: what }, help)
        })
    }

    /// There must be no value.
    pub(super) fn bare(self) -> Result<()> {
        match self.value {
            Some(value) if !value.is_empty() => {
                Err(value.unexpected("part of this word", format!("write `{}` alone", self.key.text)))
            }
            _ => Ok(()),
        }
    }
}

/// Walks the parts of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pairs<'a> {
    rest: Piece<'a>,
}

const fn separates(c: char) -> bool {
    matches!(c, ',' | ' ' | '\t' | '\r' | '\n')
}

impl<'a> Pairs<'a> {
    /// What is not walked yet.
    pub(super) fn rest(&self) -> Piece<'a> {
        self.rest
    }

    /// The value that starts `rest`: up to a separator outside parentheses.
    fn value(rest: Piece<'a>) -> Result<usize> {
        let mut depth = 0usize;
        for (at, c) in rest.text.char_indices() {
            match c {
                '(' => depth += 1,
                ')' if depth == 0 => {
                    let here = rest.part(at..at + 1);
                    return Err(here.unexpected("end of anything", "remove it, or open it before"));
                }
                ')' => depth -= 1,
                _ if depth == 0 && separates(c) => return Ok(at),
                _ => {}
            }
        }
        if depth > 0 {
            return Err(rest.end().error(Wrong::Missing { wanted: "a `)`" }, "close what `(` opens"));
        }
        Ok(rest.text.len())
    }

    fn advance(&mut self) -> Result<Option<Pair<'a>>> {
        let start = self.rest.text.len() - self.rest.text.trim_start_matches(separates).len();
        let rest = self.rest.from(start);
        if rest.is_empty() {
            self.rest = rest;
            return Ok(None);
        }
        let key_end =
            rest.text.find(|c| separates(c) || matches!(c, '=' | ':' | '(' | ')')).unwrap_or(rest.text.len());
        let key = rest.part(0..key_end);
        let (value, end) = match rest.text[key_end..].chars().next() {
            Some('=' | ':') => {
                let end = key_end + 1 + Self::value(rest.from(key_end + 1))?;
                (Some(rest.part(key_end + 1..end)), end)
            }
            Some('(' | ')') => {
                let end = key_end + Self::value(rest.from(key_end))?;
                let value = rest.part(key_end..end);
                let inner = value
                    .unwrapped()
                    .ok_or_else(|| value.unexpected("list in parentheses", "put a comma behind the `)`"))?;
                (Some(inner), end)
            }
            _ => (None, key_end),
        };
        self.rest = rest.from(end);
        Ok(Some(Pair { key, value, whole: rest.part(0..end) }))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<Pair<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.advance().transpose();
        if matches!(pair, Some(Err(_))) {
            self.rest = self.rest.end();
        }
        pair
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(&str, Option<&str>, usize)> {
        let pairs = Piece::new(text).unwrap().pairs();
        pairs
            .map(|pair| {
                pair.map(|pair| (pair.key.text, pair.value.map(|value| value.text), pair.key.at)).unwrap()
            })
            .collect()
    }

    #[test]
    fn lists_are_keys_and_values() {
        assert_eq!(
            pairs("ip, nw_dst=10.0.0.0/8 ,learn(a=1,b(c,d)),resubmit(,1) output:IN_PORT,x="),
            [
                ("ip", None, 0),
                ("nw_dst", Some("10.0.0.0/8"), 4),
                ("learn", Some("a=1,b(c,d)"), 23),
                ("resubmit", Some(",1"), 41),
                ("output", Some("IN_PORT"), 54),
                ("x", Some(""), 69)
            ]
        );
        assert_eq!(pairs(" , "), []);
    }

    #[test]
    fn parentheses_must_match() {
        for (text, at) in [("a(b", 3..3), ("a)b", 1..2), ("a=b)", 3..4), ("a(b)c", 1..5)] {
            let wrong = Piece::new(text).unwrap().pairs().next().unwrap().unwrap_err();
            assert_eq!(wrong.at, at, "{text}: {wrong}");
        }
    }

    #[test]
    fn numbers_keep_to_their_limit() {
        let number =
            |text, limit| Piece { text, at: 0 }.number("port", limit).map_err(|wrong| wrong.to_string());
        assert_eq!(number("0x1f", 31), Ok(31));
        assert_eq!(number("31", 31), Ok(31));
        assert_eq!(number("32", 31), Err("`32` is more than 31, the most that port takes".to_owned()));
        for wrong in ["", "0x", "+1", "-1", "1a", "0x1g", "1 2", "é"] {
            assert!(number(wrong, u128::MAX).is_err(), "{wrong}");
        }
        assert!(number("0x1ffffffffffffffffffffffffffffffff", u128::MAX).is_err());
    }
}
