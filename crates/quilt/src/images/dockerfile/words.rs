//! Words of an instruction: quotes, escapes and variables, as Docker reads them.

use std::collections::BTreeMap;

/// Longest text after variables are replaced, in bytes: some grow with every line.
pub(crate) const EXPANDED_BYTES_MAX: usize = 1 << 20;
/// How deep variables may nest.
const DEPTH_MAX: usize = 32;

/// Reads words.
pub(crate) struct Words<'a> {
    /// What variables stand for.
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// The escape character.
    pub(crate) escape: char,
}

/// The state of one pass over a text.
struct Pass<'w, 'a> {
    words: &'w Words<'a>,
    chars: Vec<char>,
    at: usize,
    written: usize,
}

impl Words<'_> {
    /// The words of a text, without their quotes and with their variables replaced.
    pub(crate) fn split(&self, text: &str) -> Result<Vec<String>, String> {
        let mut pass = self.pass(text);
        let mut words = Vec::new();
        loop {
            while pass.peek().is_some_and(char::is_whitespace) {
                pass.at += 1;
            }
            if pass.peek().is_none() {
                return Ok(words);
            }
            let word = pass.until(&|c| c.is_whitespace(), 0)?;
            words.push(word);
        }
    }

    /// A whole text as one word, blanks and all.
    pub(crate) fn whole(&self, text: &str) -> Result<String, String> {
        self.pass(text).until(&|_| false, 0)
    }

    /// A text in which only variables are replaced.
    pub(crate) fn variables_of(&self, text: &str) -> Result<String, String> {
        let mut pass = self.pass(text);
        let mut out = String::new();
        while let Some(c) = pass.peek() {
            pass.at += 1;
            match c {
                '$' => pass.variable(&mut out, 0)?,
                c if c == self.escape && pass.peek() == Some('$') => {
                    pass.at += 1;
                    out.push('$');
                }
                c => out.push(c),
            }
            pass.bounded(&out)?;
        }
        Ok(out)
    }

    fn pass(&self, text: &str) -> Pass<'_, '_> {
        Pass { words: self, chars: text.chars().collect(), at: 0, written: 0 }
    }
}

impl Pass<'_, '_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn bounded(&self, out: &str) -> Result<(), String> {
        if self.written + out.len() > EXPANDED_BYTES_MAX {
            return Err(format!("its variables stand for more than {} KiB", EXPANDED_BYTES_MAX >> 10));
        }
        Ok(())
    }

    /// Reads to a character that ends it, outside of quotes.
    fn until(&mut self, ends: &dyn Fn(char) -> bool, depth: usize) -> Result<String, String> {
        if depth > DEPTH_MAX {
            return Err(format!("its variables nest deeper than {DEPTH_MAX}"));
        }
        let mut out = String::new();
        while let Some(c) = self.peek() {
            if ends(c) {
                break;
            }
            self.at += 1;
            match c {
                '\'' => loop {
                    match self.take() {
                        None => return Err("a quote ' has no end".into()),
                        Some('\'') => break,
                        Some(c) => out.push(c),
                    }
                },
                '"' => self.double(&mut out, depth)?,
                '$' => self.variable(&mut out, depth)?,
                c if c == self.words.escape => out.extend(self.take()),
                c => out.push(c),
            }
            self.bounded(&out)?;
        }
        self.written += out.len();
        Ok(out)
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    fn double(&mut self, out: &mut String, depth: usize) -> Result<(), String> {
        loop {
            match self.take() {
                None => return Err("a quote \" has no end".into()),
                Some('"') => return Ok(()),
                Some('$') => self.variable(out, depth)?,
                Some(c) if c == self.words.escape => match self.take() {
                    Some(next) if next == '"' || next == '$' || next == self.words.escape => out.push(next),
                    next => {
                        out.push(c);
                        out.extend(next);
                    }
                },
                Some(c) => out.push(c),
            }
            self.bounded(out)?;
        }
    }

    /// What stands after a `$`.
    fn variable(&mut self, out: &mut String, depth: usize) -> Result<(), String> {
        let braced = self.peek() == Some('{');
        self.at += usize::from(braced);
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.at += 1;
        }
        let name: String = self.chars[start..self.at].iter().collect();
        let value = self.words.variables.get(&name).cloned();
        if !braced {
            if name.is_empty() {
                out.push('$');
            }
            out.push_str(value.as_deref().unwrap_or(""));
            return Ok(());
        }
        if name.is_empty() {
            return Err("'${' has no name after it".into());
        }
        let (colon, how) = match (self.take(), self.peek()) {
            (Some('}'), _) => {
                out.push_str(value.as_deref().unwrap_or(""));
                return Ok(());
            }
            (Some(':'), Some(how)) => {
                self.at += 1;
                (true, how)
            }
            (Some(how), _) => (false, how),
            (None, _) => return Err(format!("'${{{name}' has no end")),
        };
        let word = self.until(&|c| c == '}', depth + 1)?;
        if self.take() != Some('}') {
            return Err(format!("'${{{name}' has no end"));
        }
        let value = value.filter(|value| !colon || !value.is_empty());
        match how {
            '-' => out.push_str(&value.unwrap_or(word)),
            '+' => out.push_str(if value.is_some() { &word } else { "" }),
            '?' => out.push_str(&value.ok_or_else(|| format!("{name} has no value: {word}"))?),
            other => return Err(format!("'${{{name}' goes on with '{other}': write -, + or ? there")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<Vec<String>, String> {
        let variables =
            [("A", "1 2"), ("E", ""), ("b_1", "x")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        Words { variables: &variables.into(), escape: '\\' }.split(text)
    }

    #[test]
    fn words_are_as_docker_has_them() {
        for (text, words) in [
            ("a  b\tc", vec!["a", "b", "c"]),
            ("'a $A' \"b $A\" c\\ d", vec!["a $A", "b 1 2", "c d"]),
            ("$A ${A}x $b_1.y \\$A", vec!["1 2", "1 2x", "x.y", "$A"]),
            ("${E:-empty} ${E-set} ${N-none} ${N:-'a b'}", vec!["empty", "", "none", "a b"]),
            ("${A:+yes} x${N:+no} ${E+set}", vec!["yes", "x", "set"]),
            ("${N:-${A:-z}} ${N:-${M:-deep}}", vec!["1 2", "deep"]),
            ("a\"b\"'c'", vec!["abc"]),
            ("\"a\\\"b\\n\"", vec!["a\"b\\n"]),
            ("$ cost$", vec!["$", "cost$"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        for (text, why) in [
            ("'a", "a quote ' has no end"),
            ("\"a", "a quote \" has no end"),
            ("${A", "'${A' has no end"),
            ("${}", "'${' has no name after it"),
            ("${A%x}", "'${A' goes on with '%': write -, + or ? there"),
            ("${N:?say it}", "N has no value: say it"),
        ] {
            assert_eq!(split(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn growth_and_depth_are_bounded() {
        let variables = BTreeMap::from([("A".to_owned(), "x".repeat(100_000))]);
        let words = Words { variables: &variables, escape: '\\' };
        assert!(words.split(&"$A".repeat(20)).unwrap_err().contains("KiB"));
        assert!(words.split(&"$A ".repeat(20)).unwrap_err().contains("KiB"));
        assert!(words.split(&"${N:-".repeat(50_000)).unwrap_err().contains("deeper"));
    }
}
