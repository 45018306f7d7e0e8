//! From the engine's stack traces to places in the source.

use std::ops::Range;

use crate::fault::Sources;
use crate::model::Span;

/// Modules of ours: frames in them are not where the user's mistake is.
pub(crate) const INTERNAL: &str = "weft:";

/// The innermost frame of `stack` that lies in one of `sources`.
///
/// A frame is `at function (file:line:column)` or `at file:line:column`. `wrapped` tells for a file how many
/// characters of the first line are ours (the CommonJS wrapper).
pub(crate) fn innermost<'a>(
    stack: &'a str,
    sources: &Sources,
    wrapped: impl Fn(&str) -> u32,
) -> Option<(&'a str, u32, u32)> {
    stack.lines().take(200).find_map(|frame| {
        let (file, line, column) = parse(frame, sources)?;
        let column = if line == 1 { column.saturating_sub(wrapped(file)) } else { column };
        Some((file, line, column))
    })
}

/// File, line and column of one frame; the column is 0 where the engine gives none.
fn parse<'a>(frame: &'a str, sources: &Sources) -> Option<(&'a str, u32, u32)> {
    let frame = frame.trim();
    let frame = frame.strip_prefix("at ").unwrap_or(frame);
    let bare = std::iter::once(frame);
    let inner = frame.strip_suffix(')').into_iter();
    let starts = inner.flat_map(|inside| inside.match_indices('(').map(move |(at, _)| &inside[at + 1..]));
    bare.chain(starts).find_map(|place| {
        let (rest, last) = place.rsplit_once(':')?;
        let last: u32 = last.parse().ok()?;
        if sources.contains_key(rest) {
            return Some((rest, last, 0));
        }
        let (file, line) = rest.rsplit_once(':')?;
        let line: u32 = line.parse().ok()?;
        sources.contains_key(file).then_some((file, line, last))
    })
}

/// The statement-sized piece of `text` at `line` and `column` (both from 1; column 0 for the whole line).
pub(crate) fn span(file: &str, text: &str, line: u32, column: u32) -> Span {
    let mut start = 0;
    for _ in 1..line {
        match text[start..].find('\n') {
            Some(newline) => start += newline + 1,
            None => break,
        }
    }
    let content = text[start..].lines().next().unwrap_or("");
    let code = content.trim_end();
    let indent = code.len() - code.trim_start().len();
    let at = match column {
        0 => indent,
        _ => code.char_indices().nth(column as usize - 1).map_or(indent, |(at, _)| at),
    };
    let from = indent.min(at);
    let column = content[..from].chars().count() as u32 + 1;
    Span { file: file.to_owned(), line, column, offset: start + from, len: (code.len() - from).max(1) }
}

/// As [`span`], for a call of one of `names` (separated by spaces) whose arguments hold calls themselves.
///
/// The engine reports the last call begun before it, which may be an argument lines further down.
pub(crate) fn call_span(file: &str, text: &str, line: u32, column: u32, names: &str) -> Span {
    let plain = span(file, text, line, column);
    let at = offset(text, line, column);
    let call = at.and_then(|at| enclosing_call(text, at, names)).filter(|call| *call < plain.offset);
    call.map_or(plain, |call| {
        let line = text[..call].matches('\n').count() as u32 + 1;
        span(file, text, line, 0)
    })
}

/// The byte offset of a line and column.
fn offset(text: &str, line: u32, column: u32) -> Option<usize> {
    let start = match line {
        0 | 1 => 0,
        _ => text.match_indices('\n').nth(line as usize - 2)?.0 + 1,
    };
    let (at, _) = text[start..].char_indices().nth(column.checked_sub(1)? as usize)?;
    Some(start + at)
}

/// Where the call of one of `names` begins whose parentheses hold `at`.
fn enclosing_call(text: &str, at: usize, names: &str) -> Option<usize> {
    const TEXT_BYTES_MAX: usize = 256 << 10;
    if at > TEXT_BYTES_MAX {
        return None;
    }
    let bytes = text.as_bytes();
    let mut open: Vec<usize> = Vec::new();
    let mut here = 0;
    while here < at {
        match bytes[here] {
            b'(' | b'[' | b'{' => open.push(here),
            b')' | b']' | b'}' => _ = open.pop(),
            _ => {
                here = past_text(text, here);
                continue;
            }
        }
        here += 1;
    }
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'$';
    open.into_iter().rev().filter(|at| bytes[*at] == b'(').find_map(|paren| {
        let length = bytes[..paren].iter().rev().take_while(|b| is_word(**b)).count();
        let start = paren - length;
        let is_call = names.split(' ').any(|name| name.as_bytes() == &bytes[start..paren]);
        is_call.then_some(start)
    })
}

/// The offset after the string, comment or other character at `at`.
pub(crate) fn past_text(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let past = |from: usize, end: &str| {
        text.get(from..).and_then(|rest| rest.find(end)).map_or(bytes.len(), |found| from + found + end.len())
    };
    match (bytes[at], bytes.get(at + 1)) {
        (quote @ (b'\'' | b'"' | b'`'), _) => {
            let mut end = at + 1;
            while end < bytes.len() && bytes[end] != quote {
                end += 1 + usize::from(bytes[end] == b'\\');
            }
            end + 1
        }
        (b'/', Some(b'/')) => past(at, "\n"),
        (b'/', Some(b'*')) => past(at + 2, "*/"),
        _ => at + 1,
    }
}

/// Where `needle` first stands in `text`, as a span of its own length.
pub(crate) fn find(file: &str, text: &str, needle: &str) -> Option<Span> {
    let offset = text.find(needle)?;
    let line = text[..offset].matches('\n').count() as u32 + 1;
    let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let column = text[start..offset].chars().count() as u32 + 1;
    Some(Span { file: file.to_owned(), line, column, offset, len: needle.len() })
}

/// A part of `text`, as far as its first line goes.
pub(crate) fn of_range(file: &str, text: &str, range: Range<usize>) -> Span {
    let start = text[..range.start].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[..start].matches('\n').count() as u32 + 1;
    let column = text[start..range.start].chars().count() as u32 + 1;
    let len = text[range.clone()].lines().next().unwrap_or_default().trim_end().len().max(1);
    Span { file: file.to_owned(), line, column, offset: range.start, len }
}

/// The first loop after `offset` in the same block, unless the block ends before.
pub(crate) fn loop_after(text: &str, offset: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_word =
        |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'$');
    let mut depth = 0_usize;
    let mut at = offset;
    while at < bytes.len() {
        match bytes[at] {
            b'{' => (depth, at) = (depth + 1, at + 1),
            b'}' => (depth, at) = (depth.checked_sub(1)?, at + 1),
            _ if depth == 0 && (at == 0 || !is_word(at - 1)) => {
                let is_loop = ["while", "for", "do"]
                    .iter()
                    .any(|word| bytes[at..].starts_with(word.as_bytes()) && !is_word(at + word.len()));
                if is_loop {
                    return Some(at);
                }
                at = past_text(text, at);
            }
            _ => at = past_text(text, at),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        Sources::from([
            ("dir/a (1).js".to_owned(), "one\n  two(3)\n\nfour".into()),
            ("b.js".into(), "x".into()),
        ])
    }

    #[test]
    fn frames_are_found_by_known_files_only() {
        let at = |stack: &str| {
            let sources = sources();
            let (file, line, column) = innermost(stack, &sources, |_| 0)?;
            let span = span(file, &sources[file], line, column);
            Some((span.file, span.line, span.offset, span.len))
        };
        let file = "dir/a (1).js".to_owned();
        assert_eq!(at("    at f (dir/a (1).js:2:3)\n"), Some((file.clone(), 2, 6, 6)));
        assert_eq!(at("    at weft:core:9:1\n  at dir/a (1).js:4:1"), Some((file.clone(), 4, 14, 4)));
        assert_eq!(at("    at f (dir/a (1).js:2)\n"), Some((file, 2, 6, 6)));
        assert_eq!(at("at b.js:900:77"), Some(("b.js".into(), 900, 0, 1)));
        assert_eq!(at("nonsense"), None);
        assert_eq!(at("at (((((:1:1)"), None);
    }

    #[test]
    fn a_loop_is_found_in_the_same_block_only() {
        let text = "f('for', {a}); // while\nwhile (1) {}";
        assert_eq!(loop_after(text, 0), Some(24));
        assert_eq!(loop_after("function g() { g(); } for (;;) {}", 15), None);
        assert_eq!(loop_after("form(); dog`do`; é", 0), None);
        assert_eq!(loop_after("'open", 0), None);
    }

    #[test]
    fn a_call_is_found_from_its_last_argument() {
        let text = "x;\nnew C('(', {\n  a: f(1), // )\n  b: g(2),\n});";
        let found = |at: &str, names: &str| enclosing_call(text, text.find(at).unwrap(), names);
        assert_eq!(found("g(2)", "B C"), Some(7));
        assert_eq!(found("g(2)", "D"), None);
        assert_eq!(found("x;", "C"), None);
        let span = call_span("f", text, 4, 6, "C");
        assert_eq!((span.line, span.column), (2, 1));
        assert_eq!(call_span("f", text, 4, 6, "D").line, 4);
        assert_eq!(call_span("f", text, 99, 99, "C").line, 99);
    }
}
