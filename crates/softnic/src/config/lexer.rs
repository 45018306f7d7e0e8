//! From text to words and signs.

use std::fmt;

use super::SyntaxError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Word(String),
    Text(String),
    Bytes(Vec<u8>),
    Arrow,
    Define,
    Sign(char),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Bytes(_) => f.write_str("bytes"),
            Self::Arrow => f.write_str("`->`"),
            Self::Define => f.write_str("`::`"),
            Self::Sign(sign) => write!(f, "`{sign}`"),
            Self::End => f.write_str("the end of the line"),
        }
    }
}

pub(super) struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
    /// Brackets that are open: a line goes on until they are closed.
    open: usize,
}

pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// What bare words are made of: names, numbers, addresses, paths. A colon belongs to a word only inside brackets, where
/// addresses stand; outside it separates gates.
fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || "_./@!%+*".contains(letter)
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.chars().peekable(), line: 1, column: 1, open: 0 }
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.rest.next()?;
        if letter == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(letter)
    }

    fn error(&self, problem: impl Into<String>) -> SyntaxError {
        SyntaxError { line: self.line, column: self.column, problem: problem.into() }
    }

    pub(super) fn all(mut self) -> Result<Vec<Placed>, SyntaxError> {
        let mut tokens = Vec::new();
        loop {
            let (line, column) = (self.line, self.column);
            let Some(&letter) = self.rest.peek() else {
                tokens.push(Placed { token: Token::End, line, column });
                tokens.push(Placed { token: Token::End, line, column });
                return Ok(tokens);
            };
            let token = match letter {
                '\n' | ';' => {
                    self.next();
                    if self.open > 0 && letter == '\n' {
                        continue;
                    }
                    Token::End
                }
                letter if letter.is_whitespace() => {
                    self.next();
                    continue;
                }
                '#' => {
                    while self.rest.peek().is_some_and(|&letter| letter != '\n') {
                        self.next();
                    }
                    continue;
                }
                '"' => Token::Text(self.text()?),
                '-' => self.dash()?,
                ':' if self.open == 0 => self.colon(),
                letter if is_word(letter) || letter == ':' => self.word()?,
                letter if "()[]{},=".contains(letter) => {
                    self.next();
                    match letter {
                        '(' | '[' | '{' => self.open += 1,
                        ')' | ']' | '}' => self.open = self.open.saturating_sub(1),
                        _ => {}
                    }
                    Token::Sign(letter)
                }
                other => return Err(self.error(format!("`{}` means nothing here", other.escape_default()))),
            };
            tokens.push(Placed { token, line, column });
        }
    }

    fn text(&mut self) -> Result<String, SyntaxError> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None | Some('\n') => return Err(self.error("the text does not end: `\"` is missing")),
                Some('"') => return Ok(text),
                Some('\\') => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(letter @ ('"' | '\\')) => text.push(letter),
                    _ => return Err(self.error("after a backslash comes one of n t \" \\")),
                },
                Some(letter) => text.push(letter),
            }
        }
    }

    fn dash(&mut self) -> Result<Token, SyntaxError> {
        self.next();
        match self.rest.peek() {
            Some('>') => {
                self.next();
                Ok(Token::Arrow)
            }
            Some(letter) if letter.is_ascii_digit() => {
                let Token::Word(word) = self.word()? else { return Err(self.error("a number is wanted")) };
                Ok(Token::Word(format!("-{word}")))
            }
            _ => Err(self.error("`->` or a number is wanted")),
        }
    }

    fn colon(&mut self) -> Token {
        self.next();
        if self.rest.peek() == Some(&':') {
            self.next();
            return Token::Define;
        }
        Token::Sign(':')
    }

    fn word(&mut self) -> Result<Token, SyntaxError> {
        let mut word = String::new();
        while let Some(&letter) = self.rest.peek() {
            let part = is_word(letter)
                || (self.open > 0 && letter == ':')
                || (letter == '-' && !word.is_empty() && !self.arrow());
            if !part {
                break;
            }
            word.push(letter);
            self.next();
        }
        if word == "hex" && self.rest.peek() == Some(&'"') {
            let digits: Vec<char> = self.text()?.chars().filter(|letter| !letter.is_whitespace()).collect();
            let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok();
            let bytes: Option<Vec<u8>> =
                digits.chunks(2).map(|pair| byte(pair).filter(|_| pair.len() == 2)).collect();
            return bytes
                .map(Token::Bytes)
                .ok_or_else(|| self.error("hex\"…\" has pairs of hexadecimal digits"));
        }
        Ok(Token::Word(word))
    }

    /// Whether `->` comes next.
    fn arrow(&self) -> bool {
        let mut ahead = self.rest.clone();
        ahead.next() == Some('-') && ahead.next() == Some('>')
    }
}
