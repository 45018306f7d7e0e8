//! GML (Himsolt, 1997), the Topology Zoo's other format: nested lists of keys and values.

use super::{Attributes, LoadError, Loader, check_length, excerpt, take_link_attribute};
use crate::graph::Topology;
use crate::link::LinkSpec;

/// The deepest nesting of lists.
pub const GML_DEPTH_MAX: usize = 32;

/// Reads the first `graph` of a GML file. A node is named by its `label`, else by its `id`.
///
/// # Errors
/// When the file is too long or no such GML.
pub fn gml(text: &str) -> Result<Topology, LoadError> {
    check_length(text)?;
    let mut parser = Parser { text, at: 0, line: 1 };
    let entries = parser.list(0)?;
    let graph = entries.iter().find(|entry| entry.key == "graph");
    let Some(Entry { value: Value::List(graph), .. }) = graph else {
        return Err(LoadError::at(1, "there is no `graph [ … ]` in it"));
    };
    let mut loader = Loader::new();
    let directed = graph.iter().any(|entry| entry.key == "directed" && entry.text() == Some("1"));
    if let Some(name) = ["Network", "label"].iter().find_map(|key| find(graph, key)) {
        loader.topology.name = name.chars().take(200).collect();
    }
    for entry in graph.iter().filter(|entry| entry.key == "node") {
        let list = entry.list()?;
        let id = find(list, "id").ok_or_else(|| LoadError::at(entry.line, "a node without an id"))?;
        let mut attributes = Attributes::default();
        for other in list.iter().filter(|other| !matches!(other.key, "id" | "label")) {
            attributes.take(other.key, &unescape(other.text().unwrap_or_default()));
        }
        loader.node(entry.line, id, &unescape(find(list, "label").unwrap_or_default()), attributes)?;
    }
    for entry in graph.iter().filter(|entry| entry.key == "edge") {
        let list = entry.list()?;
        let mut spec = LinkSpec { directed, ..LinkSpec::default() };
        for other in list {
            take_link_attribute(&mut spec, other.key, &unescape(other.text().unwrap_or_default()));
        }
        let end = |name: &str| {
            find(list, name).ok_or_else(|| LoadError::at(entry.line, format!("an edge without a {name}")))
        };
        loader.link(entry.line, end("source")?, end("target")?, spec)?;
    }
    Ok(loader.topology)
}

struct Entry<'a> {
    line: usize,
    key: &'a str,
    value: Value<'a>,
}

enum Value<'a> {
    Text(&'a str),
    List(Vec<Entry<'a>>),
}

impl<'a> Entry<'a> {
    fn text(&self) -> Option<&'a str> {
        match self.value {
            Value::Text(text) => Some(text),
            Value::List(_) => None,
        }
    }

    fn list(&self) -> Result<&[Self], LoadError> {
        match &self.value {
            Value::List(list) => Ok(list),
            Value::Text(_) => {
                Err(LoadError::at(self.line, format!("`{}` is not followed by `[`", excerpt(self.key))))
            }
        }
    }
}

fn find<'a>(list: &[Entry<'a>], key: &str) -> Option<&'a str> {
    list.iter().find(|entry| entry.key == key)?.text()
}

/// GML strings hold quotes and ampersands as XML does.
fn unescape(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Parser<'a> {
    /// Entries up to `]`, or to the end of the file at depth 0.
    fn list(&mut self, depth: usize) -> Result<Vec<Entry<'a>>, LoadError> {
        if depth > GML_DEPTH_MAX {
            return Err(LoadError::at(self.line, format!("lists nest deeper than {GML_DEPTH_MAX}")));
        }
        let mut entries = Vec::new();
        loop {
            self.skip_blanks();
            let line = self.line;
            match self.token()? {
                None if depth == 0 => return Ok(entries),
                None => return Err(LoadError::at(line, "the file ends inside a list")),
                Some("]") if depth > 0 => return Ok(entries),
                Some(key) if key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                    self.skip_blanks();
                    let value = match self.token()? {
                        Some("[") => Value::List(self.list(depth + 1)?),
                        Some("]") | None => {
                            return Err(LoadError::at(self.line, format!("`{}` has no value", excerpt(key))));
                        }
                        Some(text) => Value::Text(text.strip_prefix('"').unwrap_or(text)),
                    };
                    entries.push(Entry { line, key, value });
                }
                Some(other) => {
                    return Err(LoadError::at(line, format!("expected a key, found `{}`", excerpt(other))));
                }
            }
        }
    }

    fn skip_blanks(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'\n' => self.line += 1,
                b'#' => {
                    while bytes.get(self.at + 1).is_some_and(|next| *next != b'\n') {
                        self.at += 1;
                    }
                }
                byte if byte.is_ascii_whitespace() => {}
                _ => return,
            }
            self.at += 1;
        }
    }

    /// A bracket, a word, or a string with its opening quote left on and the closing one off.
    fn token(&mut self) -> Result<Option<&'a str>, LoadError> {
        let rest = &self.text[self.at..];
        let length = match rest.as_bytes().first() {
            None => return Ok(None),
            Some(b'[' | b']') => 1,
            Some(b'"') => {
                let close =
                    rest[1..].find('"').ok_or_else(|| LoadError::at(self.line, "a string does not end"))?;
                self.line += rest[..=close].matches('\n').count();
                self.at += close + 2;
                return Ok(Some(&rest[..=close]));
            }
            Some(_) => rest.find(|c: char| c.is_whitespace() || "[]\"".contains(c)).unwrap_or(rest.len()),
        };
        self.at += length;
        Ok(Some(&rest[..length]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Capacity;

    const ZOO: &str = "# made by hand\ngraph [\n  directed 0\n  Network \"Example\"\n  node [\n    id 0\n    label \"A &amp; B\"\n  ]\n\
                       node [ id 1 ]\n  edge [\n    source 0\n    target 1\n    LinkSpeedRaw 155000000.0\n  ]\n]\n";

    #[test]
    fn the_topology_zoo_is_read() {
        let topology = gml(ZOO).unwrap();
        assert_eq!(topology.name, "Example");
        assert!(topology.find("A & B").is_some() && topology.find("1").is_some());
        assert_eq!(topology.links().next().unwrap().capacity, Some(Capacity::from_mbit(155)));
    }

    #[test]
    fn faults_are_named_by_line() {
        let fault = |text: &str| gml(text).unwrap_err().to_string();
        let broken = |from: &str, to: &str| fault(&ZOO.replacen(from, to, 1));
        assert_eq!(broken("target 1", "target 7"), "line 10: a link to `7`, which is no node");
        assert_eq!(broken("target 1", ""), "line 10: an edge without a target");
        assert_eq!(broken("id 0", "7 id"), "line 6: expected a key, found `7`");
        assert_eq!(broken("    id 0", ""), "line 5: a node without an id");
        assert_eq!(fault("graph [\n\nnode 5 ]"), "line 3: `node` is not followed by `[`");
        assert_eq!(fault("graph [ a"), "line 1: `a` has no value");
        assert_eq!(fault("graph ["), "line 1: the file ends inside a list");
        assert_eq!(fault("graph [\n\"x"), "line 2: a string does not end");
        assert_eq!(fault("x 1"), "line 1: there is no `graph [ … ]` in it");
        assert_eq!(fault(&"a [".repeat(100_000)), "line 1: lists nest deeper than 32");
    }
}
