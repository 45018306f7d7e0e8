//! From a file to a checked blueprint, in one call.

use std::path::{Path, PathBuf};

use crate::check;
use crate::eval::{self, Evaluation, Note, Options};
use crate::fault::{Faults, Sources};
use crate::model::{Blueprint, Text};

/// A blueprint that passed every check.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The model.
    pub blueprint: Blueprint,
    /// What the author should know.
    pub notes: Vec<Note>,
    /// What the script printed.
    pub console: String,
    /// The text behind the spans.
    pub sources: Sources,
    /// Every file read.
    pub inputs: Vec<PathBuf>,
}

/// Evaluates and checks the blueprint in `path`; secrets must be set in the environment.
pub fn load(path: &Path, options: &Options) -> Result<Loaded, Faults> {
    checked(eval::evaluate(path, options)?, &|name| secret(name).is_some())
}

/// Checks what was evaluated; every fault of both steps is reported at once.
pub fn checked(evaluation: Evaluation, secret: &dyn Fn(&str) -> bool) -> Result<Loaded, Faults> {
    let Evaluation { name, blueprint, mut faults, notes, console, sources, inputs, .. } = evaluation;
    let found = check::check(&blueprint, secret);
    // A container that could not be read leaves holes that are no faults of their own.
    let holes = !faults.is_empty();
    let follows =
        |fault: &crate::fault::Fault| holes && (!fault.span.is_known() || same_place(&faults, fault));
    let found: Vec<_> = found.into_iter().filter(|fault| !follows(fault)).collect();
    faults.extend(found);
    if faults.is_empty() {
        return Ok(Loaded { blueprint, notes, console, sources, inputs });
    }
    // What has no line of its own is at least about this file.
    for fault in faults.iter_mut().filter(|fault| fault.span.file.is_empty()) {
        fault.span.file.clone_from(&name);
    }
    Err(Faults::finish(faults, &sources, console))
}

fn same_place(faults: &[crate::fault::Fault], fault: &crate::fault::Fault) -> bool {
    faults.iter().any(|known| known.span == fault.span)
}

/// The value of a secret: the environment variable [`Text::secret_variable`] names.
pub fn secret(name: &str) -> Option<String> {
    std::env::var(Text::secret_variable(name)).ok()
}
