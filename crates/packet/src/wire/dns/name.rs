//! Domain names: on the wire with compression, as text, compared without regard to case.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{HEADER_LEN, LABEL_LEN_MAX, NAME_LEN_MAX, POINTERS_MAX};
use crate::wire::{WireError, be16, need, span};

/// A name in wire form, compared without regard to case (RFC 4343).
#[derive(Clone, Copy)]
pub struct Name {
    wire: [u8; NAME_LEN_MAX],
    len: u8,
}

/// Text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a domain name: labels have 1 to 63 bytes, the whole at most 253")]
pub struct NameError(pub String);

impl Name {
    /// The root.
    pub const ROOT: Self = Self { wire: [0; NAME_LEN_MAX], len: 1 };

    /// Length bytes and labels, ending in 0.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.wire[..usize::from(self.len)]
    }

    /// The labels, leftmost first.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.as_wire();
        std::iter::from_fn(move || {
            let length = usize::from(*rest.first()?);
            let label = rest.get(1..=length).filter(|label| !label.is_empty())?;
            rest = &rest[1 + length..];
            Some(label)
        })
    }

    /// Whether it ends in `suffix`, label by label.
    #[must_use]
    pub fn ends_with(&self, suffix: &Self) -> bool {
        let mut rest = self.as_wire();
        loop {
            if rest.eq_ignore_ascii_case(suffix.as_wire()) {
                return true;
            }
            match rest.first() {
                Some(length) if *length > 0 => rest = span(rest, 1 + usize::from(*length), usize::MAX),
                _ => return false,
            }
        }
    }

    /// The name in lower case as text, without the dot of the root at its end: a key for tables. Bytes that are not
    /// printable become `\DDD`.
    #[must_use]
    pub fn to_lower(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }

    fn push(&mut self, label: &[u8]) -> Result<(), WireError> {
        let start = usize::from(self.len) - 1;
        let end = start + 1 + label.len();
        if end >= NAME_LEN_MAX {
            return Err(WireError::BadLength { what: "dns name", value: end + 1 });
        }
        self.wire[start] = label.len() as u8;
        self.wire[start + 1..end].copy_from_slice(label);
        self.wire[end] = 0;
        self.len = (end + 1) as u8;
        Ok(())
    }

    /// Reads a name at `at`; returns it with where the bytes after it start.
    pub(super) fn read(message: &[u8], at: usize) -> Result<(Self, usize), WireError> {
        let mut name = Self::ROOT;
        let (mut at, mut after, mut pointers) = (at, None, 0);
        loop {
            need("dns name", message, at + 1)?;
            let length = usize::from(message[at]);
            match length >> 6 {
                0 if length == 0 => return Ok((name, after.unwrap_or(at + 1))),
                0 => {
                    need("dns label", message, at + 1 + length)?;
                    name.push(&message[at + 1..=at + length])?;
                    at += 1 + length;
                }
                3 => {
                    need("dns name pointer", message, at + 2)?;
                    let target = usize::from(be16(&message[at..]) & 0x3fff);
                    pointers += 1;
                    if pointers > POINTERS_MAX {
                        return Err(WireError::TooMany { what: "dns name pointers", limit: POINTERS_MAX });
                    }
                    if target >= at || target < HEADER_LEN {
                        return Err(WireError::BadValue { what: "dns name pointer", value: target as u64 });
                    }
                    after.get_or_insert(at + 2);
                    at = target;
                }
                _ => return Err(WireError::BadValue { what: "dns label type", value: length as u64 }),
            }
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_wire().eq_ignore_ascii_case(other.as_wire())
    }
}

impl Eq for Name {}

impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_wire().iter().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
    }
}

/// Reads `a.b.c`, with or without a dot at the end; no escapes.
impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError(text.chars().take(80).collect());
        let mut name = Self::ROOT;
        let trimmed = text.strip_suffix('.').unwrap_or(text);
        if trimmed.is_empty() {
            return if text == "." { Ok(name) } else { Err(wrong()) };
        }
        for label in trimmed.split('.') {
            if label.is_empty() || label.len() > LABEL_LEN_MAX {
                return Err(wrong());
            }
            name.push(label.as_bytes()).map_err(|_| wrong())?;
        }
        Ok(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len == 1 {
            return f.write_str(".");
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            for byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
                    0x21..=0x7e => write!(f, "{}", char::from(*byte))?,
                    other => write!(f, "\\{other:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn names_read_compare_and_print() {
        assert_eq!(name("a.B.c."), name("A.b.C"));
        assert_ne!(name("ab.c"), name("a.bc"));
        assert!(name("x.shop.WEFT").ends_with(&name("shop.weft")));
        assert!(!name("xshop.weft").ends_with(&name("shop.weft")));
        assert!(name("x").ends_with(&Name::ROOT));
        assert_eq!((Name::ROOT.to_string().as_str(), name(".")), (".", Name::ROOT));
        assert_eq!(name("Web.Shop").to_lower(), "web.shop");
        for wrong in ["", "..", "a..b", ".a", &"a".repeat(64), &"abc.".repeat(64)] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
        assert_eq!("abc.".repeat(63).parse::<Name>().unwrap().as_wire().len(), 253);
    }
}
