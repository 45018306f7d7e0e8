//! The words of a filter.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::FilterError;

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword, or a name that stands for something.
    Word(String),
    /// A name that cannot be a keyword: it was written behind a backslash.
    Quoted(String),
    Number(u32),
    /// Two to four numbers between dots; how many.
    Dotted(u32, u8),
    V6(Ipv6Addr),
    Mac([u8; 6]),
    And,
    Or,
    Not,
    /// Brackets and operators.
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: [&str; 23] = [
    "&&", "||", "<<", ">>", "<=", ">=", "!=", "==", "!", "(", ")", "[", "]", ":", "=", "<", ">", "+", "-",
    "*", "/", "%", "^",
];

/// The words of `text`, each with where it begins.
pub(super) fn words(text: &str) -> Result<Vec<(Token, usize)>, FilterError> {
    let (mut words, mut at) = (Vec::new(), 0);
    while let Some(letter) = text[at..].chars().next() {
        if letter.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let (token, length) = word(&text[at..]).ok_or_else(|| {
            FilterError::new(at, format!("{:?} is no word of a filter", first(&text[at..])))
        })?;
        words.push((token, at));
        at += length;
    }
    Ok(words)
}

/// As far as the next space.
fn first(text: &str) -> &str {
    text.split_ascii_whitespace().next().unwrap_or("")
}

fn word(text: &str) -> Option<(Token, usize)> {
    if let Some(name) = text.strip_prefix('\\') {
        let length = name.find(|letter: char| letter.is_ascii_whitespace() || "()!".contains(letter));
        let name = &name[..length.unwrap_or(name.len())];
        return (!name.is_empty()).then(|| (Token::Quoted(name.to_owned()), name.len() + 1));
    }
    if let Some((token, length)) = address(text) {
        return Some((token, length));
    }
    if text.starts_with(|letter: char| letter.is_ascii_alphanumeric()) {
        return name(text);
    }
    let sign = SIGNS.into_iter().chain(["&", "|"]).find(|sign| text.starts_with(sign))?;
    let token = match sign {
        "&&" => Token::And,
        "||" => Token::Or,
        "!" => Token::Not,
        "==" => Token::Sign("="),
        sign => Token::Sign(sign),
    };
    Some((token, sign.len()))
}

/// An IPv6 or MAC address, which has colons; or a MAC address in one of the other ways.
fn address(text: &str) -> Option<(Token, usize)> {
    let end = text.find(|letter: char| !letter.is_ascii_hexdigit() && letter != ':' && letter != '.');
    let candidate = &text[..end.unwrap_or(text.len())];
    let mac = |text: &str, between: char, digits: usize| -> Option<[u8; 6]> {
        let mut octets = Vec::with_capacity(6);
        for part in text.split(between) {
            if part.is_empty() || part.len() > digits || octets.len() == 6 {
                return None;
            }
            let number = u16::from_str_radix(part, 16).ok()?;
            match digits {
                4 => octets.extend(number.to_be_bytes()),
                _ => octets.push(number.try_into().ok()?),
            }
        }
        octets.try_into().ok()
    };
    if candidate.contains(':') {
        if let Some(octets) = mac(candidate, ':', 2) {
            return Some((Token::Mac(octets), candidate.len()));
        }
        let address: Ipv6Addr = candidate.parse().ok()?;
        return Some((Token::V6(address), candidate.len()));
    }
    let octets = match candidate.matches('.').count() {
        2 if candidate.len() == 14 => mac(candidate, '.', 4),
        5 => mac(candidate, '.', 2),
        _ => None,
    };
    if let Some(octets) = octets {
        return Some((Token::Mac(octets), candidate.len()));
    }
    let end = text.find(|letter: char| !letter.is_ascii_hexdigit() && letter != '-');
    let candidate = &text[..end.unwrap_or(text.len())];
    let octets = mac(candidate, '-', 2)?;
    Some((Token::Mac(octets), candidate.len()))
}

/// A number, dotted numbers, or a name.
fn name(text: &str) -> Option<(Token, usize)> {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && !"-_.".contains(letter));
    // A name does not end in a sign that may stand in it.
    let name = text[..end.unwrap_or(text.len())].trim_end_matches(['-', '_']);
    let token = match name {
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        _ => number(name).map(Token::Number).or_else(|| dotted(name)).unwrap_or(Token::Word(name.to_owned())),
    };
    Some((token, name.len()))
}

/// Decimal, hexadecimal behind `0x`, octal behind `0`.
pub(super) fn number(text: &str) -> Option<u32> {
    if !text.bytes().all(|letter| letter.is_ascii_alphanumeric()) {
        return None;
    }
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u32::from_str_radix(digits, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => u32::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
}

/// `10.1` to `10.1.2.3`; the parts that are missing are 0.
fn dotted(text: &str) -> Option<Token> {
    let (mut octets, mut count) = ([0; 4], 0);
    for part in text.split('.') {
        *octets.get_mut(count)? = part.parse().ok()?;
        count += 1;
    }
    (count > 1).then(|| Token::Dotted(Ipv4Addr::from(octets).to_bits(), count as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        words(text).unwrap().into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn words_are_told_apart() {
        let name = |text: &str| Token::Word(text.to_owned());
        assert_eq!(
            tokens("tcp[13]&2!=0||not len<=0x10"),
            [
                name("tcp"),
                Token::Sign("["),
                Token::Number(13),
                Token::Sign("]"),
                Token::Sign("&"),
                Token::Number(2),
                Token::Sign("!="),
                Token::Number(0),
                Token::Or,
                Token::Not,
                name("len"),
                Token::Sign("<="),
                Token::Number(16),
            ]
        );
        assert_eq!(tokens("80-90 tcp-syn 010"), [name("80-90"), name("tcp-syn"), Token::Number(8)]);
        assert_eq!(tokens("\\tcp 10.1"), [Token::Quoted("tcp".to_owned()), Token::Dotted(0x0a01_0000, 2)]);
        assert_eq!(tokens("2001:db8::1/64")[0], Token::V6("2001:db8::1".parse().unwrap()));
        for mac in ["1:2:3:4:5:6", "01-02-03-04-05-06", "0102.0304.0506", "1.2.3.4.5.6"] {
            assert_eq!(tokens(mac), [Token::Mac([1, 2, 3, 4, 5, 6])], "{mac}");
        }
        assert_eq!(tokens("1.2.3.4"), [Token::Dotted(0x0102_0304, 4)]);
        assert!(words("tcp $").is_err() && words("\\").is_err());
    }
}
