//! Where in a script the parts of an object literal stand. The engine knows the line of a call, and not those of what it is given.

use std::ops::Range;

use crate::eval::place::past_text;

/// How far is looked: more than any call is long.
const BYTES_MAX: usize = 256 << 10;

/// A step down into a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A member of an object.
    Key(&'a str),
    /// An item of a list.
    Item(usize),
}

/// The text of an argument of the first call of one of `names` from `from` on, as far down the path as it is written there: of what
/// is a variable, the variable.
pub(crate) fn find(
    text: &str,
    from: usize,
    names: &[&str],
    argument: usize,
    path: &[Step<'_>],
) -> Option<Range<usize>> {
    let text = &text[..text.len().min(from.saturating_add(BYTES_MAX))];
    let text = (0..4).find_map(|less| text.get(..text.len().saturating_sub(less)))?;
    let open = call(text, from, names)?;
    let mut found = elements(text, open).into_iter().nth(argument)?;
    for step in path {
        let Some(next) = down(text, &found, *step) else { break };
        found = next;
    }
    Some(found)
}

/// Whether a byte may be part of a name.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// The opening parenthesis of the call.
fn call(text: &str, from: usize, names: &[&str]) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            at = past_text(text, at);
            continue;
        }
        let end = at + bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
        let open = past_space(text, end);
        if bytes.get(open) == Some(&b'(') && names.iter().any(|name| name.as_bytes() == &bytes[at..end]) {
            return Some(open);
        }
        at = end;
    }
    None
}

/// Behind blanks and comments.
fn past_space(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    loop {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(byte), _) if byte.is_ascii_whitespace() => at += 1,
            (Some(b'/'), Some(b'/' | b'*')) => at = past_text(text, at),
            _ => return at.min(bytes.len()),
        }
    }
}

/// What stands between the commas of the bracket that opens at `open`, without blanks around it.
fn elements(text: &str, open: usize) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut elements, mut depth) = (Vec::new(), 0_usize);
    let (mut start, mut at) = (past_space(text, open + 1), open + 1);
    let mut push = |start: usize, end: usize| {
        let end = start + text.get(start..end).unwrap_or_default().trim_end().len();
        if start < end {
            elements.push(start..end);
        }
    };
    while at < bytes.len() {
        match bytes[at] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth == 0 => {
                push(start, at);
                break;
            }
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                push(start, at);
                start = past_space(text, at + 1);
            }
            _ => {
                at = past_text(text, at);
                continue;
            }
        }
        at += 1;
    }
    elements
}

fn down(text: &str, value: &Range<usize>, step: Step<'_>) -> Option<Range<usize>> {
    let first = *text.as_bytes().get(value.start)?;
    match step {
        Step::Item(number) if first == b'[' => {
            let items = elements(text, value.start);
            // What is spread has any number of items.
            let spread = items.iter().take(number + 1).any(|item| text[item.clone()].starts_with("..."));
            items.get(number).filter(|_| !spread).cloned()
        }
        Step::Key(key) if first == b'{' => {
            let members = elements(text, value.start).into_iter();
            members
                .filter_map(|member| member_of(text, member))
                .find(|(name, _)| *name == key)
                .map(|(_, at)| at)
        }
        _ => None,
    }
}

/// The name of an object's member, and where its value stands.
fn member_of(text: &str, member: Range<usize>) -> Option<(&str, Range<usize>)> {
    let bytes = text.as_bytes();
    let (name, end) = match bytes[member.start] {
        b'\'' | b'"' => {
            let end = past_text(text, member.start);
            (text.get(member.start + 1..end - 1)?, end)
        }
        _ => {
            let length = bytes[member.clone()].iter().take_while(|byte| is_word(**byte)).count();
            (text.get(member.start..member.start + length)?, member.start + length)
        }
    };
    let colon = past_space(text, end);
    match bytes.get(colon) {
        Some(b':') if colon < member.end => Some((name, past_space(text, colon + 1)..member.end)),
        // `rate` for `rate: rate`.
        _ if end >= member.end => Some((name, member)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "const x = 1; // Pipelet('no', {})
const web = new Pipelet('web, {', {
  traffic, // all of it: {
  rate: '8 Gbit/s',
  'edges': [
    { from: 'a', to: firewall, },
    { from: f({ when: 'no' }, [1]), when: 'safe' }, ...more, { from: 'late' },
  ],
});
";

    fn found(argument: usize, path: &[Step<'_>]) -> Option<&'static str> {
        find(TEXT, 0, &["Pipelet", "super"], argument, path).map(|range| &TEXT[range])
    }

    #[test]
    fn values_are_found_where_they_are_written() {
        use Step::{Item, Key};
        assert_eq!(found(0, &[]), Some("'web, {'"));
        assert_eq!(found(1, &[Key("traffic")]), Some("traffic"));
        assert_eq!(found(1, &[Key("rate")]), Some("'8 Gbit/s'"));
        assert_eq!(found(1, &[Key("edges"), Item(0)]), Some("{ from: 'a', to: firewall, }"));
        assert_eq!(found(1, &[Key("edges"), Item(0), Key("to")]), Some("firewall"));
        assert_eq!(found(1, &[Key("edges"), Item(1), Key("when")]), Some("'safe'"));
        // As far as it goes.
        assert_eq!(found(1, &[Key("edges"), Item(0), Key("when")]), Some("{ from: 'a', to: firewall, }"));
        assert!(
            found(1, &[Key("edges"), Item(3), Key("from")]).unwrap().starts_with("[\n"),
            "after a spread"
        );
        assert!(found(1, &[Key("none")]).unwrap().starts_with("{\n"));
        assert_eq!(found(2, &[]), None);
        assert_eq!(find(TEXT, 0, &["NF"], 0, &[]), None);
    }

    #[test]
    fn no_text_is_too_odd() {
        let mut state = 1u64;
        let letters: Vec<char> = "Pé()[]{}'\"`,:/*. \n\\x".chars().collect();
        for _ in 0..3000 {
            let mut text = String::new();
            for _ in 0..40 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push(letters[(state >> 33) as usize % letters.len()]);
                if state >> 60 == 0 {
                    text.push_str("P('a', {x: [");
                }
            }
            for path in [&[][..], &[Step::Key("x")], &[Step::Key("x"), Step::Item(1)]] {
                if let Some(range) = find(&text, 0, &["P"], 1, path) {
                    assert!(text.get(range).is_some(), "{text}");
                }
            }
        }
    }
}
