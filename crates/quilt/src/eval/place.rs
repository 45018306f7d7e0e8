//! From the engine's stack traces to places in the source.

use crate::fault::Sources;
use crate::model::Span;

/// Modules of ours: frames in them are not where the user's mistake is.
pub(crate) const INTERNAL: &str = "weft:";

/// The innermost frame of `stack` that lies in one of `sources`.
///
/// A frame is `at function (file:line:column)` or `at file:line:column`. `wrapped` tells for a file how many
/// characters of the first line are ours (the CommonJS wrapper).
pub(crate) fn innermost(stack: &str, sources: &Sources, wrapped: impl Fn(&str) -> u32) -> Option<Span> {
    stack.lines().take(200).find_map(|frame| {
        let (file, line, column) = parse(frame, sources)?;
        let column = if line == 1 { column.saturating_sub(wrapped(file)) } else { column };
        Some(span(file, sources.get(file)?, line, column))
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

/// Where `needle` first stands in `text`, as a span of its own length.
pub(crate) fn find(file: &str, text: &str, needle: &str) -> Option<Span> {
    let offset = text.find(needle)?;
    let line = text[..offset].matches('\n').count() as u32 + 1;
    let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let column = text[start..offset].chars().count() as u32 + 1;
    Some(Span { file: file.to_owned(), line, column, offset, len: needle.len() })
}

/// The first loop after `offset` in the same block, unless the block ends before.
pub(crate) fn loop_after(text: &str, offset: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_word =
        |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'$');
    let skip = |from: usize, end: &str| {
        bytes.get(from..).map_or(bytes.len(), |_| {
            text.get(from..)
                .and_then(|rest| rest.find(end))
                .map_or(bytes.len(), |found| from + found + end.len())
        })
    };
    let mut depth = 0_usize;
    let mut at = offset;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
                at += 1;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => at = skip(at, "\n"),
            b'/' if bytes.get(at + 1) == Some(&b'*') => at = skip(at + 2, "*/"),
            b'{' => (depth, at) = (depth + 1, at + 1),
            b'}' => (depth, at) = (depth.checked_sub(1)?, at + 1),
            _ if depth == 0 && (at == 0 || !is_word(at - 1)) => {
                let is_loop = ["while", "for", "do"]
                    .iter()
                    .any(|word| bytes[at..].starts_with(word.as_bytes()) && !is_word(at + word.len()));
                if is_loop {
                    return Some(at);
                }
                at += 1;
            }
            _ => at += 1,
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
        let at = |stack: &str| innermost(stack, &sources(), |_| 0).map(|s| (s.file, s.line, s.offset, s.len));
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
}
