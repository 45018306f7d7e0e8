//! One description of a text's form for both ways: a pen that writes it, and a pen that reads it.
//!
//! A form is a function over `impl Pen` and a value. With a [`Writer`] it writes the value; with a [`Reader`] it takes what
//! stands there into a value that starts out empty. So what is written and what is read cannot drift apart. White space in a
//! form's words stands for any, or none, when it is read.

use std::fmt;

use super::piece::{ParseError, Piece};
use super::value::{self, Duration, Hex};
use crate::Version;
use crate::port::PortNo;

/// Names of bits: which bits, their value, the name.
pub(super) type Bits = [(u32, u32, &'static str)];

/// A thing's number, and the thing of a number.
pub(super) type Numbered<T> = (fn(T) -> u32, fn(u32) -> Option<T>);

/// Writes or reads a form.
pub(super) trait Pen {
    type Error;

    /// The version of the message, where it is known.
    fn version(&self) -> Option<Version>;

    /// These words.
    fn text(&mut self, words: &'static str) -> Result<(), Self::Error>;

    /// These words if `there`; returns whether they are.
    fn maybe(&mut self, words: &'static str, there: bool) -> Result<bool, Self::Error>;

    /// One value without white space, of the characters that `of` takes.
    fn token<T>(
        &mut self,
        value: &mut T,
        of: fn(char) -> bool,
        write: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
        read: impl Fn(Piece<'_>) -> Result<T, ParseError>,
    ) -> Result<(), Self::Error>;

    /// Text up to `end`, or up to the end of the line.
    fn name(&mut self, text: &mut String, end: char) -> Result<(), Self::Error>;

    /// Names of the bits that are set, or `none`; others in hexadecimal.
    fn bits(&mut self, bits: &mut u32, names: &'static Bits, none: &'static str) -> Result<(), Self::Error>;

    /// Each of a list's items behind `start`; when reading, as long as there are `more`.
    fn each_while<T: Default>(
        &mut self,
        start: &'static str,
        items: &mut Vec<T>,
        more: impl Fn(&Self) -> bool,
        form: impl Fn(&mut Self, usize, &mut T) -> Result<(), Self::Error>,
    ) -> Result<(), Self::Error>;

    /// Whether these words are next, when reading, and what is behind them begins so.
    fn ahead(&self, words: &str, then: fn(char) -> bool) -> bool;

    /// Each of a list's items behind `start`.
    fn each<T: Default>(
        &mut self,
        start: &'static str,
        items: &mut Vec<T>,
        form: impl Fn(&mut Self, usize, &mut T) -> Result<(), Self::Error>,
    ) -> Result<(), Self::Error> {
        self.each_while(start, items, |pen| pen.ahead(start, |_| true), form)
    }

    /// Each of a list's items behind `start` and its number, from 0.
    fn indexed<T: Default>(
        &mut self,
        start: &'static str,
        items: &mut Vec<T>,
        form: impl Fn(&mut Self, &mut T) -> Result<(), Self::Error>,
    ) -> Result<(), Self::Error> {
        let more = |pen: &Self| pen.ahead(start, |c| c.is_ascii_digit());
        self.each_while(start, items, more, |pen, index, item| {
            pen.decimal(&mut u64::try_from(index).unwrap_or(u64::MAX))?;
            form(pen, item)
        })
    }

    /// A decimal number.
    fn decimal<T: Number>(&mut self, value: &mut T) -> Result<(), Self::Error> {
        self.token(value, is_digit, |value, f| write!(f, "{}", value.wide()), T::read)
    }

    /// A hexadecimal number.
    fn hex<T: Number>(&mut self, value: &mut T) -> Result<(), Self::Error> {
        self.token(value, is_digit, |value, f| write!(f, "{:#x}", value.wide()), T::read)
    }

    /// A counter, `?` for one that is not kept.
    fn counter(&mut self, value: &mut u64) -> Result<(), Self::Error> {
        let read = |piece: Piece<'_>| if piece.text == "?" { Ok(u64::MAX) } else { u64::read(piece) };
        let write = |value: &u64, f: &mut fmt::Formatter<'_>| match *value {
            u64::MAX => f.write_str("?"),
            value => write!(f, "{value}"),
        };
        self.token(value, |c| is_digit(c) || c == '?', write, read)
    }

    fn port(&mut self, port: &mut PortNo) -> Result<(), Self::Error> {
        self.token(port, is_word, |port, f| write!(f, "{port}"), value::port)
    }

    /// Seconds and nanoseconds, with their unit.
    fn duration(&mut self, duration: &mut (u32, u32)) -> Result<(), Self::Error> {
        let number = |c: char| c.is_ascii_digit() || c == '.';
        self.token(duration, number, |duration, f| write!(f, "{}", Duration(*duration)), value::duration)?;
        self.text("s")
    }

    /// Bytes in hexadecimal.
    fn bytes(&mut self, bytes: &mut Vec<u8>) -> Result<(), Self::Error> {
        self.token(bytes, is_digit, |bytes, f| write!(f, "0x{}", Hex(bytes)), |piece| piece.bytes("bytes"))
    }

    /// Something with a name of its own, else its number.
    fn named<T: Copy + PartialEq + 'static>(
        &mut self,
        value: &mut T,
        names: &'static [(T, &'static str)],
        what: &'static str,
        number: Numbered<T>,
    ) -> Result<(), Self::Error> {
        let write =
            |value: &T, f: &mut fmt::Formatter<'_>| match names.iter().find(|(known, _)| known == value) {
                Some((_, name)) => f.write_str(name),
                None => write!(f, "{}", number.0(*value)),
            };
        let read = |piece: Piece<'_>| match names.iter().find(|(_, name)| *name == piece.text) {
            Some((value, _)) => Ok(*value),
            None => {
                number.1(piece.u32(what)?).ok_or_else(|| piece.unexpected(what, "write a smaller number"))
            }
        };
        self.token(value, is_word, write, read)
    }
}

fn is_digit(c: char) -> bool {
    c.is_ascii_hexdigit() || c == 'x'
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

/// An unsigned number.
pub(super) trait Number: Copy {
    fn wide(self) -> u64;
    fn read(piece: Piece<'_>) -> Result<Self, ParseError>;
}

macro_rules! numbers {
    ($($kind:ident),+) => {$(
        impl Number for $kind {
            fn wide(self) -> u64 {
                self.into()
            }

            fn read(piece: Piece<'_>) -> Result<Self, ParseError> {
                piece.$kind("number")
            }
        }
    )+};
}

numbers!(u8, u16, u32, u64);

/// Writes a form.
pub(super) struct Writer<'a, 'b> {
    pub(super) f: &'a mut fmt::Formatter<'b>,
    pub(super) version: Option<Version>,
}

/// Writes as `write` does.
struct With<T>(T);

impl<T: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for With<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

impl Pen for Writer<'_, '_> {
    type Error = fmt::Error;

    fn version(&self) -> Option<Version> {
        self.version
    }

    fn text(&mut self, words: &'static str) -> fmt::Result {
        self.f.write_str(words)
    }

    fn maybe(&mut self, words: &'static str, there: bool) -> Result<bool, fmt::Error> {
        if there {
            self.f.write_str(words)?;
        }
        Ok(there)
    }

    fn token<T>(
        &mut self,
        value: &mut T,
        _: fn(char) -> bool,
        write: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
        _: impl Fn(Piece<'_>) -> Result<T, ParseError>,
    ) -> fmt::Result {
        write!(self.f, "{}", With(|f: &mut fmt::Formatter<'_>| write(value, f)))
    }

    fn name(&mut self, text: &mut String, end: char) -> fmt::Result {
        let last = text.chars().count();
        for (index, c) in text.chars().enumerate() {
            let edge = c == ' ' && (index == 0 || index + 1 == last);
            if c.is_control() || c == '\\' || c == end || edge || c.is_whitespace() && c != ' ' {
                write!(self.f, "\\u{{{:x}}}", u32::from(c))?;
            } else {
                write!(self.f, "{c}")?;
            }
        }
        Ok(())
    }

    fn bits(&mut self, bits: &mut u32, names: &'static Bits, none: &'static str) -> fmt::Result {
        let mut rest = *bits;
        let mut blank = "";
        for (mask, value, name) in names {
            if rest & mask == *value {
                write!(self.f, "{blank}{name}")?;
                rest &= !mask;
                blank = " ";
            }
        }
        match (rest, blank) {
            (0, "") => self.f.write_str(none),
            (0, _) => Ok(()),
            _ => write!(self.f, "{blank}{rest:#x}"),
        }
    }

    fn ahead(&self, _: &str, _: fn(char) -> bool) -> bool {
        false
    }

    fn each_while<T: Default>(
        &mut self,
        start: &'static str,
        items: &mut Vec<T>,
        _: impl Fn(&Self) -> bool,
        form: impl Fn(&mut Self, usize, &mut T) -> fmt::Result,
    ) -> fmt::Result {
        items.iter_mut().enumerate().try_for_each(|(index, item)| {
            self.f.write_str(start)?;
            form(self, index, item)
        })
    }
}

/// Reads a form.
pub(super) struct Reader<'a> {
    /// What is not read yet.
    pub(super) rest: Piece<'a>,
    pub(super) version: Option<Version>,
}

/// Characters of a text quoted in an error.
const QUOTED_MAX: usize = 24;

impl<'a> Reader<'a> {
    fn skip_blank(&mut self) {
        let blank = self.rest.text.len() - self.rest.text.trim_start().len();
        self.rest = self.rest.from(blank);
    }

    /// What is behind `words`, if they are next.
    fn behind(&self, words: &str) -> Option<Piece<'a>> {
        let mut rest = self.rest;
        for c in words.chars().filter(|c| !c.is_whitespace()) {
            rest = rest.from(rest.text.len() - rest.text.trim_start().len());
            let next = rest.text.chars().next().filter(|next| *next == c)?;
            rest = rest.from(next.len_utf8());
        }
        Some(rest)
    }

    /// The next characters that `of` takes.
    fn take(&mut self, of: fn(char) -> bool) -> Piece<'a> {
        self.skip_blank();
        let end = self.rest.text.find(|c| !of(c)).unwrap_or(self.rest.text.len());
        let token = self.rest.part(0..end);
        self.rest = self.rest.from(end);
        token
    }

    /// What is left must be nothing.
    pub(super) fn end(mut self) -> Result<(), ParseError> {
        self.skip_blank();
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.rest.unexpected("part of this message", "remove it"))
    }
}

impl Pen for Reader<'_> {
    type Error = ParseError;

    fn version(&self) -> Option<Version> {
        self.version
    }

    fn text(&mut self, words: &'static str) -> Result<(), ParseError> {
        match self.behind(words) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => {
                self.skip_blank();
                let quoted: usize = self.rest.text.chars().take(QUOTED_MAX).map(char::len_utf8).sum();
                let here = self.rest.part(0..quoted);
                Err(here.unexpected("continuation of this message", format!("write `{}`", words.trim())))
            }
        }
    }

    fn maybe(&mut self, words: &'static str, _: bool) -> Result<bool, ParseError> {
        let behind = self.behind(words);
        self.rest = behind.unwrap_or(self.rest);
        Ok(behind.is_some())
    }

    fn token<T>(
        &mut self,
        value: &mut T,
        of: fn(char) -> bool,
        _: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
        read: impl Fn(Piece<'_>) -> Result<T, ParseError>,
    ) -> Result<(), ParseError> {
        let token = self.take(of);
        *value = read(token)?;
        Ok(())
    }

    fn name(&mut self, text: &mut String, end: char) -> Result<(), ParseError> {
        self.rest = self.rest.strip_prefix(" ").unwrap_or(self.rest);
        let stop = self.rest.text.find([end, '\n']).unwrap_or(self.rest.text.len());
        let name = self.rest.part(0..stop);
        self.rest = self.rest.from(stop);
        let mut parts = name.text.split('\\');
        *text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let code = part.strip_prefix("u{").and_then(|code| code.split_once('}'));
            let read = code
                .and_then(|(code, rest)| Some((char::from_u32(u32::from_str_radix(code, 16).ok()?)?, rest)));
            let Some((c, rest)) = read else {
                return Err(name.unexpected("name", "write a backslash as `\\u{5c}`"));
            };
            text.push(c);
            text.push_str(rest);
        }
        Ok(())
    }

    fn bits(&mut self, bits: &mut u32, names: &'static Bits, none: &'static str) -> Result<(), ParseError> {
        *bits = 0;
        if let Some(rest) =
            self.behind(none).filter(|rest| !rest.text.starts_with(|c| is_word(c) || c == '('))
        {
            self.rest = rest;
            return Ok(());
        }
        loop {
            let before = self.rest;
            let word = self.take(is_word);
            match names.iter().find(|(.., name)| *name == word.text) {
                Some((_, value, _)) => *bits |= value,
                None if word.text.starts_with("0x") => *bits |= word.u32("bits")?,
                None => {
                    self.rest = before;
                    return Ok(());
                }
            }
        }
    }

    fn ahead(&self, words: &str, then: fn(char) -> bool) -> bool {
        self.behind(words).is_some_and(|rest| rest.text.trim_start().starts_with(then))
    }

    fn each_while<T: Default>(
        &mut self,
        start: &'static str,
        items: &mut Vec<T>,
        more: impl Fn(&Self) -> bool,
        form: impl Fn(&mut Self, usize, &mut T) -> Result<(), ParseError>,
    ) -> Result<(), ParseError> {
        /// Items of a list: more do not fit into a message.
        const ITEMS_MAX: usize = 16_384;
        items.clear();
        while more(self) {
            let before = self.rest;
            if items.len() == ITEMS_MAX {
                return Err(before.end().unexpected("list that fits into a message", "leave items out"));
            }
            self.text(start)?;
            let mut item = T::default();
            form(self, items.len(), &mut item)?;
            if self.rest.text.len() == before.text.len() {
                return Err(before.unexpected("part of this message", "remove it"));
            }
            items.push(item);
        }
        Ok(())
    }
}
