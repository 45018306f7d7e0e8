//! Text in drawings: escaped, shortened, and measured without a font.

/// The longest text that is drawn, in characters; the whole is in the tooltip.
const SHOWN_CHARS_MAX: usize = 40;

/// For XML content and attribute values. What XML 1.0 cannot hold becomes U+FFFD.
pub(super) fn escape_xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// For a quoted Graphviz string: a backslash or quote in a name is no escape sequence of Graphviz.
pub(super) fn escape_dot(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            character if character.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// The text, or as much of it as is drawn and an ellipsis.
pub(super) fn shorten(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(SHOWN_CHARS_MAX - 1).chain(['…']).collect()
}

/// About how wide a text is in a common sans-serif font, in pixels: a little generous, because fonts differ.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let ems: f64 = text
        .chars()
        .map(|character| match character {
            'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '|' | '!' | '\'' => 0.32,
            'f' | 't' | 'r' | ' ' | '(' | ')' | '-' | '/' | '[' | ']' => 0.42,
            'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 0.96,
            'A'..='Z' => 0.7,
            character if (character as u32) >= 0x1100 => 1.05,
            _ => 0.61,
        })
        .sum();
    ems * size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        assert_eq!(escape_xml("<a b='\"'>&\u{1}"), "&lt;a b=&#39;&quot;&#39;&gt;&amp;\u{fffd}");
        assert_eq!(escape_dot("a\"b\\"), "a\\\"b\\\\");
        assert_eq!(shorten(&"x".repeat(50)).chars().count(), 40);
        assert!(width("wide", 10.0) > width("ill", 10.0));
    }
}
