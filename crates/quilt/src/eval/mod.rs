//! Evaluation: a blueprint's JavaScript in, plain values out.
//!
//! The engine (QuickJS, through rquickjs) runs on its own thread with a bounded stack, bounded memory and a
//! deadline. It sees no clock, no randomness, no network, no environment and only the files below the
//! blueprint's directory, so the same files and arguments always give the same blueprint.

mod engine;
mod files;
mod hash;
mod host;
mod lower;
mod packages;
pub(crate) mod place;
pub(crate) mod raw;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

pub use files::{READ_BYTES_MAX, READS_MAX, VIRTUAL_ROOT};
pub use host::CONSOLE_BYTES_MAX;
pub(crate) use lower::words;

use crate::fault::{Fault, Faults, Kind, Sources};
use crate::model::{Blueprint, Span};
use crate::policy::Policy;

/// The types of the module `weft`, in TypeScript, for editors.
pub const TYPES: &str = include_str!("../js/weft.d.ts");
/// Those of the module `weft/nf`.
pub const NF_TYPES: &str = include_str!("../js/weft-nf.d.ts");

/// A dialect of old, exactly as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `@quilt/quilt` 0.2, July 2017.
    Quilt,
    /// `kelda` 0.8, January 2018: arguments by position.
    Kelda08,
    /// `kelda` 0.13, March 2018: one object of options.
    Kelda13,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 3] = [Dialect::Quilt, Dialect::Kelda08, Dialect::Kelda13];

    /// What the command line calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::Quilt => "quilt",
            Dialect::Kelda08 => "kelda-0.8",
            Dialect::Kelda13 => "kelda-0.13",
        }
    }
}

impl std::str::FromStr for Dialect {
    type Err = String;

    fn from_str(name: &str) -> Result<Dialect, String> {
        let names = Dialect::ALL.map(Dialect::name).join(", ");
        let found = Dialect::ALL.into_iter().find(|dialect| dialect.name() == name);
        found.ok_or_else(|| format!("there is no dialect '{name}': there are {names}"))
    }
}

/// Bounds and inputs of one evaluation.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the script sees as `args`.
    pub args: BTreeMap<String, String>,
    /// Which of the old dialects the script is in. Without, `kelda` takes arguments of both its versions, and every
    /// dialect can be used.
    pub dialect: Option<Dialect>,
    /// What the script sees as `process.argv`, after the program and the script itself.
    pub argv: Vec<String>,
    /// What the script sees as `process.env`.
    pub env: BTreeMap<String, String>,
    /// The directory below which the script may read; its own without.
    pub root: Option<PathBuf>,
    /// How long it may run.
    pub time_limit: Duration,
    /// How much memory the engine may hold, in bytes.
    pub memory_limit_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            args: BTreeMap::new(),
            dialect: None,
            argv: Vec::new(),
            env: BTreeMap::new(),
            root: None,
            time_limit: Duration::from_secs(10),
            memory_limit_bytes: 256 << 20,
        }
    }
}

/// How deep the engine's own stack may grow, in bytes; the thread has several times that.
const STACK_BYTES_MAX: usize = 1 << 20;
/// Stack of the evaluating thread, in bytes.
const THREAD_STACK_BYTES: usize = 8 << 20;
/// How long past its deadline a script may stay inside one built-in function before it is abandoned.
const GRACE: Duration = Duration::from_secs(4);

/// Something the author should know that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// What an evaluation gave.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// What errors call the blueprint's file.
    pub name: String,
    /// The model; not yet checked.
    pub blueprint: Blueprint,
    /// What it says of pipelets and hardware; none where there are no pipelets.
    pub policy: Option<Policy>,
    /// Faults met while giving values their types; with any of these the blueprint is incomplete.
    pub faults: Vec<Fault>,
    /// What the author should know.
    pub notes: Vec<Note>,
    /// What the script printed.
    pub console: String,
    /// The text behind the spans.
    pub sources: Sources,
    /// Every file read and directory listed, resolved; the plan depends on these and nothing else.
    pub inputs: Vec<PathBuf>,
    /// With [`Options::dialect`], the deployment as the original prints it, or everything it would refuse.
    pub(crate) document: Option<Result<String, Vec<Fault>>>,
}

/// Evaluates the blueprint in the file `path`.
pub fn evaluate(path: &Path, options: &Options) -> Result<Evaluation, Faults> {
    let shown = path.to_string_lossy().into_owned();
    let fault = |reason: String| Faults::one(Kind::Read { path: shown.clone(), reason }, Span::default());
    let text = files::read_text(path).map_err(fault)?;
    let real = path.canonicalize().map_err(|error| fault(error.to_string()))?;
    // A name of ours would be taken for one of our modules.
    let name = if shown.starts_with(place::INTERNAL) { format!("./{shown}") } else { shown.clone() };
    let (root, shown_root) = match &options.root {
        None => (real.parent().map(Path::to_owned), path.parent().unwrap_or(Path::new("")).to_owned()),
        Some(root) => {
            let real_root =
                root.canonicalize().map_err(|error| fault(format!("{}: {error}", root.display())))?;
            (Some(real_root), root.clone())
        }
    };
    let below = root.as_deref().and_then(|root| real.strip_prefix(root).ok());
    let relative =
        below.ok_or_else(|| fault("it is outside the directory it may read from".into()))?.to_owned();
    let mut files = files::Files::new(root, shown_root);
    files.add(&name, relative, text);
    files.inputs.push(real);
    run(name, files, options)
}

/// Evaluates blueprint text that is no file and so can read none; `name` is what errors call it.
///
/// ```
/// use quilt::eval::{evaluate_text, Options};
///
/// let text = "import {Container} from 'weft';
///             new Container('web', {command: ['weft', 'tool', 'web'], replicas: 2});";
/// let blueprint = evaluate_text("web.js", text, &Options::default()).unwrap().blueprint;
/// assert_eq!(blueprint.containers[1].name, "web-2");
/// assert_eq!(blueprint.services[0].members, ["web-1", "web-2"]);
/// ```
pub fn evaluate_text(name: &str, text: &str, options: &Options) -> Result<Evaluation, Faults> {
    let name = if name.is_empty() || name.starts_with(place::INTERNAL) { "blueprint.js" } else { name };
    let mut files = files::Files::new(None, PathBuf::new());
    files.add(name, PathBuf::from(name), text.into());
    run(name.to_owned(), files, options)
}

/// Runs the engine on a thread of its own and waits no longer than its deadline and a grace period.
fn run(name: String, files: files::Files, options: &Options) -> Result<Evaluation, Faults> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let limits = options.clone();
    let file = name.clone();
    let sources = files.sources.clone();
    let failed = |kind: Kind| {
        let span = Span { file: file.clone(), ..Span::default() };
        Err(Faults::finish(vec![Fault::new(kind, span)], &sources, String::new()))
    };
    let work = move || {
        let _ = sender.send(engine::evaluate(&name, files, &limits));
    };
    let thread = std::thread::Builder::new().name("blueprint".into()).stack_size(THREAD_STACK_BYTES);
    if let Err(error) = thread.spawn(work) {
        return failed(Kind::Engine { message: error.to_string() });
    }
    match receiver.recv_timeout(options.time_limit + GRACE) {
        Ok(result) => result,
        // Inside one endless built-in call the engine cannot be interrupted; its thread ends with the process.
        Err(mpsc::RecvTimeoutError::Timeout) => {
            failed(Kind::TimeLimit { limit_ms: options.time_limit.as_millis() })
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            failed(Kind::Engine { message: "the evaluating thread ended early".into() })
        }
    }
}
