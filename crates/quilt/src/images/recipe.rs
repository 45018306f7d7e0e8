//! From a Dockerfile to what is to be done: stages of steps, each with a key of everything that it depends on.
//!
//! ```text
//!  Dockerfile ──parse──▶ instructions ──▶ stages ──▶ steps: key = hash(key before, instruction, what it copies)
//!       context ─────────────────────────────┘        └──▶ configuration
//! ```
//!
//! Nothing is run: so a plan can say whether an image changes, and a step that was done once is found by its key.

mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::config::Config;
use super::context::Context;
use super::dockerfile::{self, Dockerfile, Instruction, fault, words::Words};
use super::layout::{architecture, hex, sha256};
use crate::fault::Fault;
use crate::model::{Recipe, Span};

/// What is to be done for an image.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// All stages, in order.
    pub(crate) stages: Vec<Stage>,
    /// The one that is wanted.
    pub(crate) target: usize,
    /// What names everything that the image depends on.
    pub(crate) digest: String,
    /// How it is run.
    pub(crate) config: Config,
    /// Files that were read for it.
    pub(crate) inputs: Vec<PathBuf>,
    /// What its author should know.
    pub(crate) notes: Vec<(String, Span)>,
}

/// A stage.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) name: Option<String>,
    pub(crate) base: Base,
    pub(crate) steps: Vec<Step>,
    /// The key of all of it.
    pub(crate) key: String,
    pub(crate) config: Config,
}

/// What a stage begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Host,
    Scratch,
    Image(Stored),
    Stage(usize),
}

/// An image below the blueprint's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// As the Dockerfile has it, without `oci:`.
    pub(crate) reference: String,
    pub(crate) digest: String,
}

/// A step that changes files.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) key: String,
    pub(crate) span: Span,
    /// The instruction, for people.
    pub(crate) shown: String,
    pub(crate) what: What,
}

/// What a step does.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Run(Run),
    Copy(Copy),
    /// Makes a directory, if it is not there.
    Directory(String),
}

/// A command that is run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) command: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) user: Option<String>,
    pub(crate) workdir: String,
}

/// Files that are copied.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) from: From,
    pub(crate) sources: Vec<String>,
    /// Texts of the Dockerfile itself, by name.
    pub(crate) texts: Vec<(String, String)>,
    /// Absolute; ends in `/` if it must be a directory.
    pub(crate) destination: String,
    pub(crate) owner: Option<String>,
    pub(crate) mode: Option<u32>,
    /// Whether archives are unpacked.
    pub(crate) unpack: bool,
    /// The digest of what is copied, where that is known before.
    pub(crate) content: Option<String>,
}

/// Where files are copied from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Context,
    Host,
    Stage(usize),
    Image(Stored),
}

/// Where a recipe's files are.
pub(crate) struct Pantry<'a> {
    /// The blueprint's directory, resolved; there may be none.
    pub(crate) root: Option<&'a Path>,
    pub(crate) recipe: &'a Recipe,
}

impl Pantry<'_> {
    /// The directory that COPY takes from.
    pub(crate) fn context(&self) -> Result<Context, super::ImageError> {
        let Some(root) = self.root else {
            return Err(super::ImageError::Work("this blueprint has no directory to copy from".into()));
        };
        let shown = match self.recipe.context.as_str() {
            "" | "." => "the blueprint's directory".to_owned(),
            context => format!("the context '{context}'"),
        };
        let place = super::resolve::below(root, &self.recipe.context)?;
        let ignore = self.recipe.path.as_ref().map(|path| root.join(format!("{path}.dockerignore")));
        Context::new(&place, &shown, ignore.as_deref())
    }
}

/// Says what is to be done for an image.
pub(crate) fn plan(pantry: &Pantry<'_>) -> Result<Plan, Vec<Fault>> {
    let recipe = pantry.recipe;
    let Dockerfile { instructions, escape } = dockerfile::parse(&recipe.dockerfile, &recipe.file)?;
    let mut cook = Cook {
        pantry,
        escape,
        context: None,
        arguments: platform_arguments(),
        asked: BTreeSet::new(),
        stages: Vec::new(),
        current: None,
        inputs: Vec::new(),
        notes: Vec::new(),
        faults: Vec::new(),
    };
    for instruction in &instructions {
        cook.instruction(instruction);
    }
    cook.finish(&instructions)
}

/// What is known as a stage is read.
struct Current {
    stage: Stage,
    /// Build arguments that the stage declared.
    arguments: BTreeMap<String, String>,
    shell: Vec<String>,
    /// Whether the stage has said what it runs.
    has_command: bool,
}

struct Cook<'a> {
    pantry: &'a Pantry<'a>,
    escape: char,
    context: Option<Context>,
    /// Build arguments before the first stage.
    arguments: BTreeMap<String, String>,
    /// Names of the arguments that some ARG takes.
    asked: BTreeSet<String>,
    stages: Vec<Stage>,
    current: Option<Current>,
    inputs: Vec<PathBuf>,
    notes: Vec<(String, Span)>,
    faults: Vec<Fault>,
}

impl Cook<'_> {
    fn fault(&mut self, instruction: &Instruction, what: impl Into<String>, help: &str) {
        self.faults.push(fault(&instruction.span, what, help));
    }

    fn instruction(&mut self, instruction: &Instruction) {
        match instruction.keyword.as_str() {
            "FROM" => self.from(instruction),
            "ARG" => self.argument(instruction),
            _ if self.current.is_none() => {
                // One fault is enough where FROM itself was wrong.
                if self.faults.is_empty() {
                    let what = format!("{} stands before the first FROM", instruction.keyword);
                    self.fault(instruction, what, "begin with FROM host, FROM scratch or FROM oci:PATH");
                }
            }
            _ => self.stage_instruction(instruction),
        }
    }

    /// Words of an instruction, with what variables stand for there.
    fn words(&mut self, instruction: &Instruction, text: &str) -> Option<Vec<String>> {
        self.read(instruction, |words| words.split(text))
    }

    fn read<T>(
        &mut self,
        instruction: &Instruction,
        read: impl FnOnce(&Words<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let mut variables = match &self.current {
            None => self.arguments.clone(),
            Some(current) => current.arguments.clone(),
        };
        if let Some(current) = &self.current {
            variables.extend(current.stage.config.env.clone());
        }
        match read(&Words { variables: &variables, escape: self.escape }) {
            Ok(value) => Some(value),
            Err(why) => {
                self.fault(instruction, why, "see the Dockerfile reference on replacing variables");
                None
            }
        }
    }

    /// `ARG NAME`, `ARG NAME=VALUE`.
    fn argument(&mut self, instruction: &Instruction) {
        let Some(words) = self.words(instruction, &instruction.rest) else { return };
        if words.is_empty() {
            self.fault(instruction, "ARG names no argument", "write ARG NAME or ARG NAME=VALUE");
        }
        for word in words {
            let (name, default) = word
                .split_once('=')
                .map_or((word.as_str(), None), |(name, value)| (name, Some(value.to_owned())));
            self.asked.insert(name.to_owned());
            let given = self.pantry.recipe.args.get(name).cloned();
            let before = || self.arguments.get(name).cloned();
            let value = given.or(default).or_else(before);
            let arguments = match &mut self.current {
                None => &mut self.arguments,
                Some(current) => &mut current.arguments,
            };
            if let Some(value) = value {
                arguments.insert(name.to_owned(), value);
            }
        }
    }

    fn end_stage(&mut self) {
        if let Some(current) = self.current.take() {
            self.stages.push(current.stage);
        }
    }

    /// A fault of the Dockerfile as a whole, at its first instruction.
    fn whole_fault(&mut self, instructions: &[Instruction], what: String, help: &str) {
        let span = instructions.first().map(|first| first.span.clone()).unwrap_or_default();
        self.faults.push(fault(&span, what, help));
    }

    fn finish(mut self, instructions: &[Instruction]) -> Result<Plan, Vec<Fault>> {
        self.end_stage();
        let recipe = self.pantry.recipe;
        for name in recipe.args.keys().filter(|name| !self.asked.contains(*name)).collect::<Vec<_>>() {
            let what = format!("no ARG takes the build argument '{name}'");
            self.whole_fault(instructions, what, "declare it: ARG NAME, or leave it out");
        }
        let target = match &recipe.target {
            None => self.stages.len().checked_sub(1),
            Some(name) => self.stages.iter().position(|stage| stage.name.as_ref() == Some(name)),
        };
        match (&recipe.target, target) {
            (Some(name), None) => {
                let what = format!("no stage is called '{name}'");
                self.whole_fault(instructions, what, "name one: FROM … AS NAME");
            }
            (None, None) if self.faults.is_empty() => {
                self.whole_fault(instructions, "the Dockerfile has no FROM".into(), "begin with FROM");
            }
            _ => {}
        }
        let Some(target) = target.filter(|_| self.faults.is_empty()) else { return Err(self.faults) };
        let Stage { key, config, .. } = &self.stages[target];
        let config = config.clone();
        let json = serde_json::to_vec(&config).unwrap_or_default();
        let digest = sha256(format!("{key} {}", sha256(&json)).as_bytes());
        let Cook { stages, inputs, notes, .. } = self;
        Ok(Plan { stages, target, digest, config, inputs, notes })
    }
}

/// Arguments that every builder knows.
fn platform_arguments() -> BTreeMap<String, String> {
    let platform = format!("linux/{}", architecture());
    [
        ("TARGETPLATFORM", platform.as_str()),
        ("BUILDPLATFORM", &platform),
        ("TARGETOS", "linux"),
        ("BUILDOS", "linux"),
        ("TARGETARCH", architecture()),
        ("BUILDARCH", architecture()),
        ("TARGETVARIANT", ""),
        ("BUILDVARIANT", ""),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A key of fields.
pub(crate) fn key<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field);
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests;
