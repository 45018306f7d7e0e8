//! From text to a filter.

use std::net::IpAddr;
use std::str::FromStr;

use lookup::lpm::Prefix;

use super::{Attribute, DEPTH_MAX, Filter, FilterError, Net, Side, TESTS_MAX, TEXT_MAX, Test};
use crate::rate::shown;

/// Words of the language, which no attribute is called.
const WORDS: [&str; 20] = [
    "and",
    "or",
    "not",
    "any",
    "host",
    "net",
    "port",
    "portrange",
    "proto",
    "src",
    "dst",
    "ip",
    "ip6",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "true",
    "false",
];

/// Whether a name may be that of an attribute or a network function: letters, digits, `_` and `-`, a letter first, and no word
/// of the language.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        && !WORDS.contains(&text)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Open,
    Close,
    And,
    Or,
    Not,
}

struct Parser<'a> {
    tokens: Vec<(Token<'a>, usize)>,
    next: usize,
    end: usize,
    depth: usize,
    tests: usize,
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text.len() > TEXT_MAX {
            let message = format!("{} bytes (a filter has at most {TEXT_MAX})", text.len());
            return Err(FilterError { at: TEXT_MAX, message });
        }
        let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.len(), depth: 0, tests: 0 };
        let filter = parser.filter()?;
        if parser.peek().is_some() {
            return Err(parser.wrong("`and` or `or` is wanted"));
        }
        Ok(filter)
    }
}

fn tokens(text: &str) -> Result<Vec<(Token<'_>, usize)>, FilterError> {
    let in_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | b'/');
    let bytes = text.as_bytes();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let (token, length) = match (byte, bytes.get(at + 1)) {
            (b' ' | b'\t' | b'\r' | b'\n', _) => {
                at += 1;
                continue;
            }
            (b'(', _) => (Token::Open, 1),
            (b')', _) => (Token::Close, 1),
            (b'&', Some(b'&')) => (Token::And, 2),
            (b'|', Some(b'|')) => (Token::Or, 2),
            (b'!', _) => (Token::Not, 1),
            (byte, _) if in_word(*byte) => {
                let length = bytes[at..].iter().take_while(|byte| in_word(**byte)).count();
                let token = match &text[at..at + length] {
                    "and" => Token::And,
                    "or" => Token::Or,
                    "not" => Token::Not,
                    word => Token::Word(word),
                };
                (token, length)
            }
            _ => {
                let odd = text[at..].chars().next().unwrap_or(' ');
                return Err(FilterError { at, message: format!("{odd:?} has no meaning here") });
            }
        };
        tokens.push((token, at));
        at += length;
    }
    Ok(tokens)
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).map(|(token, _)| *token)
    }

    fn take(&mut self, wanted: Token<'_>) -> bool {
        let there = self.peek() == Some(wanted);
        self.next += usize::from(there);
        there
    }

    fn wrong(&self, message: impl Into<String>) -> FilterError {
        let at = self.tokens.get(self.next).map_or(self.end, |(_, at)| *at);
        FilterError { at, message: message.into() }
    }

    /// A complaint of the word that was taken last.
    fn wrong_last(&mut self, message: impl Into<String>) -> FilterError {
        self.next -= 1;
        self.wrong(message)
    }

    fn filter(&mut self) -> Result<Filter, FilterError> {
        let first = self.term()?;
        let Some(joint @ (Token::And | Token::Or)) = self.peek() else { return Ok(first) };
        let mut terms = vec![first];
        while self.take(joint) {
            terms.push(self.term()?);
        }
        if matches!(self.peek(), Some(Token::And | Token::Or)) {
            return Err(self.wrong("`and` and `or` side by side want brackets that say which comes first"));
        }
        Ok(if joint == Token::And { Filter::All(terms) } else { Filter::Any(terms) })
    }

    fn deeper<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, FilterError>,
    ) -> Result<T, FilterError> {
        if self.depth == DEPTH_MAX {
            return Err(self.wrong(format!("nested more than {DEPTH_MAX} deep")));
        }
        self.depth += 1;
        let outcome = inner(self);
        self.depth -= 1;
        outcome
    }

    fn term(&mut self) -> Result<Filter, FilterError> {
        if self.take(Token::Not) {
            return self.deeper(Self::term).map(|filter| Filter::Not(Box::new(filter)));
        }
        if self.take(Token::Open) {
            let filter = self.deeper(Self::filter)?;
            return if self.take(Token::Close) { Ok(filter) } else { Err(self.wrong("`)` is wanted")) };
        }
        self.tests += 1;
        if self.tests > TESTS_MAX {
            return Err(self.wrong(format!("more than {TESTS_MAX} tests")));
        }
        self.test()
    }

    fn word(&mut self, wanted: &str) -> Result<&'a str, FilterError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.next += 1;
                Ok(word)
            }
            _ => Err(self.wrong(format!("{wanted} is wanted"))),
        }
    }

    fn test(&mut self) -> Result<Filter, FilterError> {
        let word = self.word("a test, `not` or `(`")?;
        if word == "any" {
            return Ok(Filter::ANY);
        }
        if let Some(protocol) = protocol(word) {
            // `tcp dst port 80`: both. `ip` and `ip6` before ports say the family.
            let qualified = matches!(
                self.peek(),
                Some(Token::Word("src" | "dst" | "host" | "net" | "port" | "portrange"))
            );
            let protocol = Filter::Header(protocol);
            if !qualified {
                return Ok(protocol);
            }
            let word = self.word("a test")?;
            return Ok(Filter::All(vec![protocol, self.primitive(word)?]));
        }
        self.primitive(word)
    }

    fn primitive(&mut self, word: &'a str) -> Result<Filter, FilterError> {
        let (side, word) = match word {
            "src" => (Side::Source, self.word("`host`, `net`, `port` or `portrange`")?),
            "dst" => (Side::Destination, self.word("`host`, `net`, `port` or `portrange`")?),
            word => (Side::Either, word),
        };
        let test = match word {
            "host" => Test::Net(side, self.host()?),
            "net" => Test::Net(side, self.net()?),
            "port" => {
                let text = self.word("a port")?;
                let port = self.number(text)?;
                Test::Port(side, port, port)
            }
            "portrange" => {
                let text = self.word("two ports, as in 8000-8100,")?;
                let Some((first, last)) = text.split_once('-') else {
                    return Err(self.wrong_last("two ports are wanted, as in 8000-8100"));
                };
                let (first, last) = (self.number(first)?, self.number(last)?);
                if first > last {
                    return Err(self.wrong_last(format!("{first} is behind {last}")));
                }
                Test::Port(side, first, last)
            }
            "proto" if side == Side::Either => {
                let text = self.word("a protocol's number")?;
                Test::Protocol(self.number(text)?)
            }
            name if side == Side::Either => return self.attribute(name),
            other => {
                let message = format!("`{}`: host, net, port or portrange is wanted", shown(other));
                return Err(self.wrong_last(message));
            }
        };
        Ok(Filter::Header(test))
    }

    fn attribute(&mut self, word: &str) -> Result<Filter, FilterError> {
        let (function, name) = match word.split_once('.') {
            Some((function, name)) => (Some(function), name),
            None => (None, word),
        };
        if !is_name(name) || function.is_some_and(|function| !is_name(function)) {
            return Err(
                self.wrong_last(format!("`{}` is neither a test nor an attribute's name", shown(word)))
            );
        }
        Ok(Filter::Attribute(Attribute { function: function.map(str::to_owned), name: name.to_owned() }))
    }

    fn number<T: FromStr>(&mut self, text: &str) -> Result<T, FilterError> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.ok_or_else(|| self.wrong_last(format!("`{}` is no number that can stand here", shown(text))))
    }

    fn host(&mut self) -> Result<Net, FilterError> {
        let text = self.word("an address")?;
        match text.parse() {
            Ok(IpAddr::V4(address)) => Ok(Net::V4(Prefix::containing(address, 32).expect("a length"))),
            Ok(IpAddr::V6(address)) => Ok(Net::V6(Prefix::containing(address, 128).expect("a length"))),
            Err(_) => Err(self.wrong_last(format!("`{}` is no address", shown(text)))),
        }
    }

    fn net(&mut self) -> Result<Net, FilterError> {
        let text = self.word("a prefix, as in 10.0.0.0/8,")?;
        let net = match text.split_once('/').map(|(address, length)| (address.parse(), length)) {
            Some((Ok(IpAddr::V4(address)), length)) => {
                Prefix::new(address, self.number(length)?).ok().map(Net::V4)
            }
            Some((Ok(IpAddr::V6(address)), length)) => {
                Prefix::new(address, self.number(length)?).ok().map(Net::V6)
            }
            _ => None,
        };
        net.ok_or_else(|| {
            let message = format!("`{}` is no prefix, or has bits behind its length", shown(text));
            self.wrong_last(message)
        })
    }
}

fn protocol(word: &str) -> Option<Test> {
    Some(match word {
        "ip" => Test::Version(4),
        "ip6" => Test::Version(6),
        "tcp" => Test::Protocol(6),
        "udp" => Test::Protocol(17),
        "sctp" => Test::Protocol(132),
        "icmp" => Test::Protocol(1),
        "icmp6" => Test::Protocol(58),
        _ => return None,
    })
}
