//! JSON text of copied script values, as `JSON.stringify` writes it, and with sorted keys.

use crate::eval::raw::{Raw, number};

/// How the members of objects are ordered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As the script made them.
    Made,
    /// By their UTF-16 code units, which is how JavaScript sorts strings.
    Sorted,
}

/// What `JSON.stringify` makes of a value; an absent one is `null`.
///
/// Members that are `undefined` or a function are left out, in lists they are `null`, and so are numbers that
/// JSON has no text for (ECMA-262, SerializeJSONProperty).
pub(super) fn plain(value: &Raw) -> String {
    let mut text = String::new();
    write(value, Order::Made, &mut text);
    text
}

/// The same with the members of every object sorted by name: equal values have equal texts.
pub(super) fn sorted(value: &Raw) -> String {
    let mut text = String::new();
    write(value, Order::Sorted, &mut text);
    text
}

fn write(value: &Raw, order: Order, into: &mut String) {
    match value {
        Raw::Bool(value) => into.push_str(if *value { "true" } else { "false" }),
        Raw::Number(value) if value.is_finite() => into.push_str(&number(*value)),
        Raw::Text(text) => string(text, into),
        Raw::List(items) => {
            into.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    into.push(',');
                }
                write(item, order, into);
            }
            into.push(']');
        }
        Raw::Map(members) => {
            let mut members: Vec<_> = members.iter().filter(|(_, value)| is_written(value)).collect();
            if order == Order::Sorted {
                members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            }
            into.push('{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    into.push(',');
                }
                string(key, into);
                into.push(':');
                write(value, order, into);
            }
            into.push('}');
        }
        Raw::Bytes(bytes) => {
            let list: Vec<String> = bytes.iter().map(ToString::to_string).collect();
            into.push_str(&format!("{{\"type\":\"Buffer\",\"data\":[{}]}}", list.join(",")));
        }
        Raw::Undefined | Raw::Null | Raw::Number(_) | Raw::Other(_) => into.push_str("null"),
    }
}

/// Whether a member of an object appears at all.
fn is_written(value: &Raw) -> bool {
    !matches!(value, Raw::Undefined | Raw::Other(_))
}

/// A string in quotes; serde escapes exactly what JavaScript does.
fn string(text: &str, into: &mut String) {
    into.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(members: &[(&str, Raw)]) -> Raw {
        Raw::Map(members.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    #[test]
    fn absent_members_are_left_out_and_absent_items_are_null() {
        let value = map(&[
            ("a", Raw::Undefined),
            ("b", Raw::List(vec![Raw::Undefined, Raw::Other("function"), Raw::Null])),
            ("c", Raw::Number(f64::NAN)),
            ("d", Raw::Other("function")),
            ("e", Raw::Bytes(vec![1, 255])),
        ]);
        let expected = "{\"b\":[null,null,null],\"c\":null,\"e\":{\"type\":\"Buffer\",\"data\":[1,255]}}";
        assert_eq!(plain(&value), expected);
        assert_eq!(plain(&Raw::Undefined), "null");
    }

    #[test]
    fn strings_are_escaped_as_in_javascript() {
        let text = Raw::Text("\"\\/\u{8}\u{c}\n\r\t\u{1f}\u{7f}\u{2028}é😀".into());
        assert_eq!(plain(&text), "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\u{7f}\u{2028}é😀\"");
    }

    #[test]
    fn keys_are_sorted_by_utf_16() {
        // U+1F600 is D83D DE00 in UTF-16 and so comes before U+FF5E, though not by code point.
        let value = map(&[
            ("～", Raw::Bool(true)),
            ("😀", Raw::Null),
            ("b", map(&[("z", Raw::Null), ("a", Raw::Null)])),
        ]);
        assert_eq!(sorted(&value), "{\"b\":{\"a\":null,\"z\":null},\"😀\":null,\"～\":true}");
        assert_eq!(plain(&value), "{\"～\":true,\"😀\":null,\"b\":{\"z\":null,\"a\":null}}");
    }
}
