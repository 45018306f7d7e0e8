//! Where a policy comes from: a file in YAML, or a blueprint.

use std::io::Read;
use std::path::{Path, PathBuf};

use ::e2::compile::{Plan, plan};
use ::e2::policy::{FILE_BYTES_MAX, Faults, Policy};
use clap::Args;
use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report, miette};
use quilt::eval::{Evaluation, Options, evaluate};
use quilt::fault;

use crate::commands::blueprint::{key_value, pass_on};

/// Endings of blueprints.
const SCRIPTS: [&str; 3] = ["js", "mjs", "cjs"];

/// The policy that a command is about.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The policy, in YAML, or a blueprint (.js) with pipelets
    file: PathBuf,
    /// A value that the blueprint reads as `args.KEY`; may be given again
    #[arg(long = "arg", value_name = "KEY=VALUE", value_parser = key_value)]
    args: Vec<(String, String)>,
}

/// What is asked for.
pub(super) struct Asked {
    /// The policy in YAML: what is written down of it while it runs.
    pub(super) text: String,
    pub(super) policy: Policy,
    pub(super) plan: Plan,
}

impl Source {
    /// The file, as it was given.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The policy, and its plan.
    pub(super) fn read(&self) -> miette::Result<Asked> {
        let ending = self.file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match SCRIPTS.contains(&ending) {
            true => self.blueprint(),
            false => self.yaml(),
        }
    }

    fn yaml(&self) -> miette::Result<Asked> {
        let (path, mut text) = (&*self.file, String::new());
        let file = std::fs::File::open(path).map_err(|error| miette!("{}: {error}", path.display()))?;
        // What is longer is refused when it is read.
        let read = file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text);
        read.map_err(|error| miette!("{}: {error}", path.display()))?;
        let (policy, plan) = compiled(&text).map_err(|faults| report(&faults, path, &text))?;
        Ok(Asked { text, policy, plan })
    }

    fn blueprint(&self) -> miette::Result<Asked> {
        let options = Options { args: self.args.iter().cloned().collect(), ..Options::default() };
        let evaluated = evaluate(&self.file, &options).map_err(|faults| {
            pass_on(&faults.console);
            faults.into_report()
        })?;
        pass_on(&evaluated.console);
        let Evaluation { policy, faults, sources, .. } = evaluated;
        let told = |faults| fault::Faults::finish(faults, &sources, String::new()).into_report();
        if !faults.is_empty() {
            return Err(told(faults));
        }
        let none =
            || miette!("{} has no pipelets: new Pipelet(…), of 'weft/nf', makes one", self.file.display());
        let said = policy.ok_or_else(none)?;
        let (policy, plan) = compiled(&said.text).map_err(|faults| {
            let fault = |one: ::e2::policy::Fault| {
                let message = one.kind.with_lines(|line| said.place(line).line).to_string();
                fault::Fault::new(fault::Kind::Policy { message }, said.place(one.place.line))
            };
            told(faults.0.into_iter().map(fault).collect())
        })?;
        Ok(Asked { text: said.text, policy, plan })
    }
}

fn compiled(text: &str) -> Result<(Policy, Plan), Faults> {
    let policy = Policy::read(text)?;
    let plan = plan(&policy)?;
    Ok((policy, plan))
}

/// Faults of a file at their lines.
fn report(faults: &Faults, path: &Path, text: &str) -> Report {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let label = |fault: &::e2::policy::Fault| {
        let line = (fault.place.line as usize).clamp(1, lines.len().max(1)) - 1;
        let before: usize = lines.iter().take(line).map(|line| line.len()).sum();
        let own = lines.get(line).map_or("", |line| line.trim_end());
        let column = own.chars().take((fault.place.column as usize).saturating_sub(1));
        let column: usize = column.map(char::len_utf8).sum();
        let length = own[column..].split([',', '}', ']']).next().map_or(1, str::len);
        LabeledSpan::at(before + column..before + column + length, fault.kind.to_string())
    };
    let what = match faults.0.len() {
        1 => "the policy has a fault".to_owned(),
        count => format!("the policy has {count} faults"),
    };
    let diagnostic = MietteDiagnostic::new(what).with_code("e2::policy");
    let diagnostic = diagnostic.with_labels(faults.0.iter().map(label));
    Report::new(diagnostic).with_source_code(NamedSource::new(path.display().to_string(), text.to_owned()))
}
