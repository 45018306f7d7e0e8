//! The rules of `signature`, as text.

use packet::flow::FlowKey;
use packet::wire::IpProtocol;
use thiserror::Error;

/// The most rules.
pub(super) const RULES_MAX: usize = 1024;
/// The longest literal, and the longest regular expression, in bytes.
pub(super) const PATTERN_BYTES_MAX: usize = 1024;

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// A word that does not belong there.
    #[error("{rule}: {word:?}: {wanted} is wanted")]
    Word {
        /// The rule.
        rule: String,
        /// The word at fault; empty at the end.
        word: String,
        /// What should be there.
        wanted: &'static str,
    },
    /// A text without its closing quote.
    #[error("{rule}: a text without its closing quote")]
    Unclosed {
        /// The rule.
        rule: String,
    },
    /// Hexadecimal bytes that are none.
    #[error("{rule}: |{hex}|: pairs of hexadecimal digits are wanted")]
    Hex {
        /// The rule.
        rule: String,
        /// What stands between the bars.
        hex: String,
    },
    /// Nothing to look for, or too much.
    #[error("{rule}: a pattern of {length} bytes; 1 to 1024 are wanted")]
    Length {
        /// The rule.
        rule: String,
        /// Bytes of the pattern.
        length: usize,
    },
}

/// What to do about a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell.
    Alert,
    /// Tell, and let nothing of the connection pass any more.
    Drop,
}

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Bytes; with `nocase` ASCII letters are equal to their other case.
    Literal {
        /// The bytes.
        bytes: Vec<u8>,
        /// Whether case does not count.
        nocase: bool,
    },
    /// A regular expression.
    Regex(String),
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is called in alerts.
    pub name: String,
    /// What to do.
    pub action: Action,
    /// What to look for.
    pub pattern: Pattern,
    /// TCP or UDP; both if there is none.
    pub protocol: Option<IpProtocol>,
    /// A port that one end must have.
    pub port: Option<u16>,
}

impl Rule {
    /// Whether it looks into packets of that flow.
    #[must_use]
    pub fn concerns(&self, key: &FlowKey) -> bool {
        self.protocol.is_none_or(|protocol| protocol == key.protocol())
            && self.port.is_none_or(|port| port == key.source_port() || port == key.destination_port())
    }

    /// Reads `ACTION "NAME" content "TEXT" [nocase] [tcp|udp] [port N]` or `ACTION "NAME" regex "EXPRESSION" …`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let mut words = Words { rule: text, rest: text.trim() };
        let action = match words.word()? {
            "alert" => Action::Alert,
            "drop" => Action::Drop,
            word => return Err(words.wrong(word, "alert or drop")),
        };
        let name = words.text()?.replace("\\\"", "\"");
        let mut pattern = match words.word()? {
            "content" => Pattern::Literal { bytes: literal(text, words.text()?)?, nocase: false },
            "regex" => Pattern::Regex(words.text()?.replace("\\\"", "\"")),
            word => return Err(words.wrong(word, "content or regex")),
        };
        let length = match &pattern {
            Pattern::Literal { bytes, .. } => bytes.len(),
            Pattern::Regex(expression) => expression.len(),
        };
        if !(1..=PATTERN_BYTES_MAX).contains(&length) {
            return Err(RuleError::Length { rule: shortened(text), length });
        }
        let (mut protocol, mut port) = (None, None);
        while !words.rest.is_empty() {
            match (words.word()?, &mut pattern) {
                ("nocase", Pattern::Literal { nocase, .. }) => *nocase = true,
                ("tcp", _) => protocol = Some(IpProtocol::TCP),
                ("udp", _) => protocol = Some(IpProtocol::UDP),
                ("port", _) => {
                    let word = words.word()?;
                    port = Some(word.parse().map_err(|_| words.wrong(word, "a port"))?);
                }
                (word, Pattern::Regex(_)) => return Err(words.wrong(word, "tcp, udp or port")),
                (word, _) => return Err(words.wrong(word, "nocase, tcp, udp or port")),
            }
        }
        Ok(Self { name, action, pattern, protocol, port })
    }
}

/// As much of a rule as an error shows.
fn shortened(rule: &str) -> String {
    rule.chars().take(80).collect()
}

struct Words<'a> {
    rule: &'a str,
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn wrong(&self, word: &str, wanted: &'static str) -> RuleError {
        RuleError::Word { rule: shortened(self.rule), word: shortened(word), wanted }
    }

    fn word(&mut self) -> Result<&'a str, RuleError> {
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        if word.is_empty() { Err(self.wrong("", "more")) } else { Ok(word) }
    }

    /// What stands in quotes; a backslash keeps the character behind it from ending it, and stays.
    fn text(&mut self) -> Result<&'a str, RuleError> {
        let Some(inside) = self.rest.strip_prefix('"') else {
            return Err(self.wrong(self.rest, "a text in quotes"));
        };
        let mut escaped = false;
        let end = inside.find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let end = end.ok_or_else(|| RuleError::Unclosed { rule: shortened(self.rule) })?;
        self.rest = inside[end + 1..].trim_start();
        Ok(&inside[..end])
    }
}

/// The bytes of `GET |20 2f|`, with `\"`, `\\` and `\|` for the characters themselves.
fn literal(rule: &str, text: &str) -> Result<Vec<u8>, RuleError> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['|', '\\']) {
        let (before, special) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        rest = &special[1..];
        if special.starts_with('\\') {
            let next = rest.chars().next().map_or(0, char::len_utf8);
            bytes.extend_from_slice(&rest.as_bytes()[..next]);
            rest = &rest[next..];
            continue;
        }
        let (hex, behind) = rest.split_once('|').unwrap_or((rest, ""));
        let wrong = || RuleError::Hex { rule: shortened(rule), hex: shortened(hex) };
        let digits: Vec<u8> = hex.bytes().filter(|digit| !digit.is_ascii_whitespace()).collect();
        if !digits.len().is_multiple_of(2)
            || !digits.iter().all(u8::is_ascii_hexdigit)
            || rest.len() == hex.len()
        {
            return Err(wrong());
        }
        let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
        bytes.extend(digits.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])));
        rest = behind;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_with_all_they_may_say() {
        let rule = Rule::parse(r#"drop "a \"b\"" content "GET |20 2F|\|\"x" nocase tcp port 80"#).unwrap();
        let bytes = b"GET  /|\"x".to_vec();
        assert_eq!(
            rule,
            Rule {
                name: "a \"b\"".into(),
                action: Action::Drop,
                pattern: Pattern::Literal { bytes, nocase: true },
                protocol: Some(IpProtocol::TCP),
                port: Some(80),
            }
        );
        let rule = Rule::parse(r#"alert "r" regex "a\d+\"" udp"#).unwrap();
        assert_eq!(rule.pattern, Pattern::Regex("a\\d+\"".into()));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_word() {
        for (text, said) in [
            ("", "more"),
            (r#"log "x" content "y""#, "\"log\": alert or drop"),
            (r#"alert x content "y""#, "a text in quotes"),
            (r#"alert "x" content "y"#, "closing quote"),
            (r#"alert "x" content "|4|""#, "|4|"),
            (r#"alert "x" content "|41""#, "|41|"),
            (r#"alert "x" content "" nocase"#, "0 bytes"),
            (r#"alert "x" regex "a" nocase"#, "tcp, udp or port is wanted"),
            (r#"alert "x" content "a" port 70000"#, "\"70000\": a port"),
        ] {
            let error = Rule::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
