//! The deployment as the systems a dialect comes from print it, byte for byte.
//!
//! ```text
//!  blueprint ──▶ what its objects say (Raw) ──vet──▶ one list of faults
//!                                            └────▶ deployment, with identifiers ──▶ JSON
//! ```
//!
//! Quilt and Kelda ran a blueprint with Node, turned what it had deployed into JSON and gave that to their daemon.
//! The layout is theirs, and no part of the model: members stand in the order they were assigned in, what was left
//! out has their defaults, and identifiers are the SHA-1 of a thing's sorted JSON and its rank among its equals.
//! What they refused is refused here too, every fault at once, with its line.

mod ids;
mod json;
mod kelda;
mod quilt;
pub(crate) mod sizes;

use std::path::{Path, PathBuf};

use crate::eval::raw::Raw;
use crate::eval::{self, Dialect, Evaluation, Options};
use crate::fault::{Fault, Faults, Kind};
use crate::model::Span;

/// A deployment as the original prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The JSON, without a line break at the end.
    pub json: String,
    /// What the script printed.
    pub console: String,
    /// Every file read and directory listed, resolved.
    pub inputs: Vec<PathBuf>,
}

/// The deployment of the blueprint in `path`.
pub fn deployment(path: &Path, dialect: Dialect, options: &Options) -> Result<Deployment, Faults> {
    let options = Options { dialect: Some(dialect), ..options.clone() };
    finish(eval::evaluate(path, &options)?)
}

/// The deployment of blueprint text that is no file and so can read none; `name` is what errors call it.
///
/// ```
/// use quilt::eval::{Dialect, Options};
/// use quilt::original::deployment_of_text;
///
/// let text = "const { Machine, createDeployment } = require('@quilt/quilt');
///             createDeployment({ namespace: 'mine' }).deploy(new Machine({ provider: 'Amazon' }).asMaster());";
/// let json = deployment_of_text("mine.js", text, Dialect::Quilt, &Options::default())?.json;
/// assert!(json.starts_with("{\"machines\":[{\"_refID\":1,\"provider\":\"Amazon\",\"role\":\"Master\","));
/// assert!(json.contains("\"id\":\"4a364f325f7143db589a507cd3defb41a385d1bd\""));
/// # Ok::<(), quilt::fault::Faults>(())
/// ```
pub fn deployment_of_text(
    name: &str,
    text: &str,
    dialect: Dialect,
    options: &Options,
) -> Result<Deployment, Faults> {
    let options = Options { dialect: Some(dialect), ..options.clone() };
    finish(eval::evaluate_text(name, text, &options)?)
}

fn finish(evaluation: Evaluation) -> Result<Deployment, Faults> {
    let Evaluation { document, console, inputs, sources, .. } = evaluation;
    match document.unwrap_or_else(|| Ok(String::new())) {
        Ok(json) => Ok(Deployment { json, console, inputs }),
        Err(faults) => Err(Faults::finish(faults, &sources, console)),
    }
}

/// The JSON of a record that a dialect's module made; `spans` are the places it points into.
pub(crate) fn document(record: &Raw, spans: &[Span]) -> Result<String, Vec<Fault>> {
    let places = Places(spans);
    let (faults, deployment) = match record.text("dialect") {
        "quilt" => (quilt::vet(record, places), quilt::deployment(record)),
        _ => (kelda::vet(record, places), kelda::deployment(record)),
    };
    if faults.is_empty() { Ok(json::plain(&deployment)) } else { Err(faults) }
}

/// Where the entries of a record were made.
#[derive(Clone, Copy)]
struct Places<'a>(&'a [Span]);

impl Places<'_> {
    fn of(self, entry: &Raw) -> Span {
        match entry.get("at") {
            Raw::Number(at) => self.0.get(*at as usize).cloned().unwrap_or_default(),
            _ => Span::default(),
        }
    }

    /// A fault of `entry`.
    fn fault(self, entry: &Raw, what: String, help: impl Into<String>) -> Fault {
        Fault::new(Kind::Deployment { what, help: help.into() }, self.of(entry))
    }
}

/// An object with these members.
fn map<const N: usize>(members: [(&str, Raw); N]) -> Raw {
    Raw::Map(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Sets a member as an assignment does: in its place if the object has it, else at the end.
fn assign(object: &mut Raw, key: &str, value: Raw) {
    let Raw::Map(members) = object else { return };
    match members.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => *old = value,
        None => members.push((key.to_owned(), value)),
    }
}

/// The number an object was made with.
fn number_of(object: &Raw) -> f64 {
    match object.get("_refID") {
        Raw::Number(number) => *number,
        _ => f64::NAN,
    }
}

/// Images that are used with two Dockerfiles: the first use decides, and a use without one decides nothing.
///
/// `containers` are entries with their container in `value`.
fn dockerfiles<'a>(containers: impl Iterator<Item = &'a Raw>, places: Places<'_>) -> Vec<Fault> {
    let mut known: std::collections::HashMap<String, Raw> = std::collections::HashMap::new();
    let mut faults = Vec::new();
    for entry in containers {
        let image = entry.get("value").get("image");
        let (name, dockerfile) = (json::plain(image.get("name")), image.get("dockerfile"));
        if known.get(&name).is_some_and(|first| *first != Raw::Undefined && first != dockerfile) {
            let what = format!("image {name} is used with two different Dockerfiles");
            faults.push(places.fault(entry, what, "give one of the images another name"));
        }
        known.insert(name, dockerfile.clone());
    }
    faults
}
