//! Every call of the old languages is made by a blueprint whose deployment is compared with what the original printed
//! (`tests/original`): the calls are those that the modules have, so that none can be added without one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use quilt::eval::{Dialect, Options, evaluate_text};

/// What prints the names: of what a module exports, and of the methods of its classes and objects.
const LIST: &str = "
const names = new Set();
const own = (of) => Object.getOwnPropertyNames(of).filter((name) => name !== 'constructor');
for (const [name, value] of Object.entries(exported)) {
  names.add(name);
  if (typeof value === 'function' && value.prototype) own(value.prototype).forEach((method) => names.add(`.${method}`));
  if (typeof value === 'object') own(value).forEach((method) => names.add(`.${method}`));
}
console.log([...names].join(' '));
";

/// Of our own making, or for the originals' own tests.
const NOT_CALLED_BY_BLUEPRINTS: [&str; 13] = [
    // A path below the home of whoever ran it.
    "baseInfraLocation",
    // Members of descriptions, not calls.
    "Assertion",
    ".form",
    ".nodes",
    ".min",
    ".max",
    ".toString",
    "Deployment",
    "resetGlobals",
    // What the originals' programs called once a blueprint had run.
    ".toQuiltRepresentation",
    ".toKeldaRepresentation",
    ".vet",
    ".resourceKey",
];

fn calls(dialect: Dialect) -> BTreeSet<String> {
    let module = if dialect == Dialect::Quilt { "@quilt/quilt" } else { "kelda" };
    let text = format!("const exported = require('{module}');{LIST}");
    let options = Options { dialect: Some(dialect), ..Options::default() };
    let console = evaluate_text("names.js", &text, &options).unwrap().console;
    console
        .split_whitespace()
        .filter(|name| !NOT_CALLED_BY_BLUEPRINTS.contains(name))
        .map(str::to_owned)
        .collect()
}

/// The blueprints of a dialect, without comments.
fn blueprints(dialect: Dialect) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/original").join(dialect.name());
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "js"));
    let text: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Whether a name is called, made, or (what is no function) named at all, other than where it is taken in.
fn is_made(name: &str, text: &str) -> bool {
    let used = |(at, _): (usize, &str)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
        let alone = name.starts_with('.') || !word(before);
        alone && !word(after) && (!name.starts_with('.') || after == Some('('))
    };
    let taken_in = usize::from(!name.starts_with('.'));
    text.match_indices(name).filter(|found| used(*found)).count() > taken_in
}

#[test]
fn every_call_is_made_by_a_blueprint_that_is_compared() {
    for dialect in [Dialect::Quilt, Dialect::Kelda08, Dialect::Kelda13] {
        let (mut calls, text) = (calls(dialect), blueprints(dialect));
        if dialect == Dialect::Quilt {
            // Ranges could be asked from Kelda on.
            calls.remove(".inRange");
        }
        assert!(calls.len() > 20, "{}: {calls:?}", dialect.name());
        let missing: Vec<_> = calls.iter().filter(|name| !is_made(name, &text)).collect();
        assert!(missing.is_empty(), "{}: no blueprint of tests/original makes {missing:?}", dialect.name());
    }
}
