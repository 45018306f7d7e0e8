//! What a blueprint says of network functions that are placed and scaled: pipelets, functions and hardware.
//!
//! ```text
//!  new NF, new Pipelet, new Hardware ─► Policy { text, places } ─► the room e2, which reads the text, and says by its lines what is wrong
//! ```
//!
//! The text is a policy as the room `e2` reads it from a file, with a line for each value; of each line is known where the
//! blueprint says so. Nothing of it is checked here but that it can be written.

pub(crate) mod literal;

use crate::eval::place;
use crate::eval::raw::{Raw, number};
use crate::fault::{Fault, Kind, Sources};
use crate::model::Span;
use literal::Step;

/// What a policy's functions may say beside what those of links say.
pub(crate) const FUNCTION_OPTIONS: [&str; 8] =
    ["attributes", "capacity", "inside", "isolated", "kind", "rewrites", "scalable", "switchEntries"];

/// A policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// It, in YAML.
    pub text: String,
    places: Vec<Span>,
}

impl Policy {
    /// Where the blueprint says what stands in a line of the text; lines count from 1. What is said nowhere is about the first
    /// pipelet.
    pub fn place(&self, line: u32) -> Span {
        let line = (line as usize).max(1) - 1;
        self.places.get(line).or(self.places.first()).cloned().unwrap_or_default()
    }
}

/// The policy of a script, from what `collect()` of `core.js` returns; none where it has no pipelets. What cannot be written is a
/// fault.
pub(crate) fn of(raw: &Raw, spans: &[Span], sources: &Sources) -> (Option<Policy>, Vec<Fault>) {
    let pipelets = raw.list("pipelets");
    let mut writer = Writer { sources, policy: Policy::default(), faults: Vec::new() };
    let hardware = raw.list("hardware");
    let [first, ..] = pipelets else {
        for entry in hardware {
            writer.fault(
                "there is hardware and no pipelet: new Pipelet(…) says what is to run",
                &Made::of(entry, spans),
            );
        }
        return (None, writer.faults);
    };
    let used = used(raw);
    writer.line(0, "nfs:", &Made::of(first, spans).span);
    for entry in raw.list("functions").iter().filter(|entry| used.contains(&entry.text("name"))) {
        let made = Made { names: &["NF", "super"], argument: 1, ..Made::of(entry, spans) };
        writer.function(entry, &made);
    }
    writer.line(0, "pipelets:", &Made::of(first, spans).span);
    for entry in pipelets {
        let made = Made { names: &["Pipelet", "super"], argument: 1, ..Made::of(entry, spans) };
        writer.named(entry, &made, |_, value| value);
    }
    match hardware {
        [only] => {
            let made = Made { names: &["Hardware", "super"], argument: 0, ..Made::of(only, spans) };
            writer.value(0, "hardware:", only.get("options"), &made, &mut Vec::new());
        }
        [] => {
            let message = "there are pipelets and no hardware: new Hardware({ switch, servers, links, ports }) says what they run on";
            writer.fault(message, &Made::of(first, spans));
        }
        [_, second, ..] => writer.fault("the hardware is described a second time", &Made::of(second, spans)),
    }
    (Some(writer.policy), writer.faults)
}

/// The names of what pipelets lead to and from.
pub(crate) fn used(raw: &Raw) -> std::collections::HashSet<&str> {
    let edges = raw.list("pipelets").iter().flat_map(|pipelet| pipelet.get("options").list("edges"));
    edges.flat_map(|edge| [end(edge.get("from")), end(edge.get("to"))]).flatten().collect()
}

/// What an end is called: by its name, or as the function itself.
fn end(raw: &Raw) -> Option<&str> {
    match raw {
        Raw::Text(name) => Some(name),
        object => match object.get("name") {
            Raw::Text(name) => Some(name),
            _ => None,
        },
    }
}

/// Something that a script made by a call.
struct Made<'a> {
    span: Span,
    names: &'a [&'a str],
    /// Which of the call's arguments are its options.
    argument: usize,
}

impl Made<'_> {
    fn of(entry: &Raw, spans: &[Span]) -> Self {
        let span = match entry.get("at") {
            Raw::Number(at) => spans.get(*at as usize).cloned().unwrap_or_default(),
            _ => Span::default(),
        };
        Self { span, names: &[], argument: 0 }
    }
}

struct Writer<'a> {
    sources: &'a Sources,
    policy: Policy,
    faults: Vec<Fault>,
}

impl Writer<'_> {
    fn fault(&mut self, message: &str, made: &Made<'_>) {
        self.faults.push(Fault::new(Kind::Policy { message: message.to_owned() }, made.span.clone()));
    }

    fn line(&mut self, depth: usize, line: &str, span: &Span) {
        self.policy.text += &format!("{:1$}{line}\n", "", depth * 2);
        self.policy.places.push(span.clone());
    }

    /// Where a value is written, if it is in the call itself; else the call.
    fn place(&self, made: &Made<'_>, path: &[Step<'_>]) -> Span {
        let text = self.sources.get(&made.span.file).filter(|_| !path.is_empty());
        let found = text.and_then(|text| {
            let range = literal::find(text, made.span.offset, made.names, made.argument, path)?;
            Some(place::of_range(&made.span.file, text, range))
        });
        found.unwrap_or_else(|| made.span.clone())
    }

    /// An item of a list that has a name and options; `change` makes of each option what is written.
    fn named<'r>(&mut self, entry: &'r Raw, made: &Made<'_>, change: impl Fn(&'r str, Raw) -> Raw) {
        self.line(1, "-", &made.span);
        self.line(2, &format!("name: {}", quoted(end(entry).unwrap_or_default())), &made.span);
        match entry.get("options") {
            Raw::Map(members) => {
                for (key, value) in members {
                    let head = format!("{}:", quoted(&snake(key)));
                    self.value(2, &head, &change(key, value.clone()), made, &mut vec![Step::Key(key)]);
                }
            }
            Raw::Undefined => {}
            other => {
                let message = format!(
                    "options of '{}' must be an object, found {}",
                    end(entry).unwrap_or_default(),
                    other.describe()
                );
                self.fault(&message, made);
            }
        }
    }

    fn function(&mut self, entry: &Raw, made: &Made<'_>) {
        let legacy = entry.get("options").text("kind") == "legacy";
        self.named(entry, made, |key, value| match (key, value) {
            // A line for the shell, or a function and its arguments.
            ("run", Raw::Text(line)) if legacy => list(["sh".into(), "-ec".into(), line]),
            ("run", Raw::Text(line)) => list(crate::eval::words(&line)),
            ("run", Raw::List(words)) => Raw::List(words.into_iter().map(text).collect()),
            ("attributes", Raw::Map(given)) => {
                let one = |(name, by)| Raw::Map(vec![("name".into(), Raw::Text(name)), ("by".into(), by)]);
                Raw::List(given.into_iter().map(one).collect())
            }
            ("instances", Raw::Number(count)) => {
                let count = || Raw::Number(count);
                Raw::Map(vec![("least".into(), count()), ("most".into(), count())])
            }
            (_, value) => value,
        });
    }

    /// A value behind its key, or behind the dash of a list.
    fn value<'r>(
        &mut self,
        depth: usize,
        head: &str,
        raw: &'r Raw,
        made: &Made<'_>,
        path: &mut Vec<Step<'r>>,
    ) {
        let span = self.place(made, path);
        let scalar = match raw {
            Raw::Undefined | Raw::Null => return,
            Raw::Text(text) => quoted(text),
            Raw::Number(value) => number(*value),
            Raw::Bool(value) => value.to_string(),
            Raw::List(items) if items.is_empty() => "[]".into(),
            Raw::List(items) => {
                self.line(depth, head, &span);
                for (at, item) in items.iter().enumerate() {
                    path.push(Step::Item(at));
                    self.value(depth + 1, "-", item, made, path);
                    path.pop();
                }
                return;
            }
            // A function stands for its name.
            Raw::Map(_) if matches!(path.last(), Some(Step::Key("from" | "to"))) && end(raw).is_some() => {
                quoted(end(raw).unwrap_or_default())
            }
            Raw::Map(members) if members.is_empty() => "{}".into(),
            Raw::Map(members) => {
                self.line(depth, head, &span);
                for (key, value) in members {
                    path.push(Step::Key(key));
                    self.value(depth + 1, &format!("{}:", quoted(key)), value, made, path);
                    path.pop();
                }
                return;
            }
            Raw::Bytes(_) | Raw::Other(_) => {
                let kind =
                    Kind::Policy { message: format!("{} is nothing that a policy can say", raw.describe()) };
                self.faults.push(Fault::new(kind, span));
                return;
            }
        };
        self.line(depth, &format!("{head} {scalar}"), &span);
    }
}

fn list(words: impl IntoIterator<Item = String>) -> Raw {
    Raw::List(words.into_iter().map(Raw::Text).collect())
}

/// A word of a command, which may be a number.
fn text(word: Raw) -> Raw {
    if let Raw::Number(value) = word { Raw::Text(number(value)) } else { word }
}

/// As YAML reads it: a JSON string is one of its forms.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `switchEntries` as `switch_entries`.
fn snake(name: &str) -> String {
    let letter = |letter: char| match letter {
        'A'..='Z' => format!("_{}", letter.to_ascii_lowercase()),
        other => other.to_string(),
    };
    name.chars().map(letter).collect()
}
