//! `quilt run`: evaluates a blueprint, shows what would change, and deploys it.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use miette::miette;
use quilt::daemon::Deployment;
use quilt::eval::{Dialect, Options};
use quilt::original;
use similar::TextDiff;

use super::super::blueprint::pass_on;
use super::flags::Flags;
use super::{client, current, failed};

/// Lines around a change that are shown.
const CONTEXT: usize = 3;

pub(super) fn run(flags: &Flags) -> miette::Result<ExitCode> {
    let given = flags.value("blueprint").or(flags.words.first().map(String::as_str));
    let file = given.ok_or_else(|| miette!("no blueprint specified"))?;
    let deployment = compile(file)?;
    let mut client = client(flags)?;
    let current =
        current(&mut client).map_err(|error| miette!("Unable to get current deployment. {error}"))?;
    if let Some(current) = current.filter(|_| !flags.is_set("f")) {
        let diff = difference(&current, &deployment)?;
        print!("{}", if diff.is_empty() { "No change.\n".into() } else { coloured(&diff) });
        if !confirmed("Continue with deployment?")? {
            println!("Deployment aborted by user.");
            return Ok(ExitCode::SUCCESS);
        }
    }
    client.deploy(&deployment.to_string()).map_err(|error| miette!("Error while starting run. {error}"))?;
    Ok(ExitCode::SUCCESS)
}

/// The deployment that a blueprint asks for.
pub(super) fn compile(file: &str) -> miette::Result<Deployment> {
    match original::deployment(Path::new(file), Dialect::Quilt, &Options::default()) {
        Ok(printed) => {
            pass_on(&printed.console);
            Deployment::parse(&printed.json).map_err(failed)
        }
        Err(faults) => {
            pass_on(&faults.console);
            Err(faults.into_report())
        }
    }
}

fn difference(current: &Deployment, proposed: &Deployment) -> miette::Result<String> {
    let (current, proposed) = (pretty(current)?, pretty(proposed)?);
    let diff = TextDiff::from_lines(&current, &proposed);
    Ok(diff.unified_diff().context_radius(CONTEXT).header("Current", "Proposed").to_string())
}

/// The deployment with a line for each member, indented by tabs.
fn pretty(deployment: &Deployment) -> miette::Result<String> {
    let value: serde_json::Value = serde_json::from_str(&deployment.to_string()).map_err(failed)?;
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(&value, &mut serializer).map_err(failed)?;
    Ok(String::from_utf8_lossy(&text).into_owned() + "\n")
}

fn coloured(diff: &str) -> String {
    if !crate::style::colour_out() || !std::io::stdout().is_terminal() {
        return diff.to_owned();
    }
    let line = |line: &str| match line.chars().next() {
        Some('+') => format!("\x1b[32m{line}\x1b[0m"),
        Some('-') => format!("\x1b[31m{line}\x1b[0m"),
        _ => line.to_owned(),
    };
    diff.split_inclusive('\n').map(line).collect()
}

/// What a person answers.
fn confirmed(prompt: &str) -> miette::Result<bool> {
    let mut lines = std::io::stdin().lock().lines();
    loop {
        print!("{prompt} [y/n]: ");
        std::io::stdout().flush().map_err(failed)?;
        let line =
            lines.next().ok_or_else(|| miette!("Unable to get user response. EOF"))?.map_err(failed)?;
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_as_the_original_showed_them() {
        let parse = |text| Deployment::parse(text).unwrap();
        let current = parse(r#"{"namespace": "a", "adminACL": ["x"]}"#);
        let diff = difference(&current, &parse(r#"{"namespace": "b", "adminACL": ["x"]}"#)).unwrap();
        let expected = "--- Current\n+++ Proposed\n@@ -2,5 +2,5 @@\n \t\"AdminACL\": [\n \t\t\"x\"\n \t],\n-\t\"Namespace\": \"a\"\n\
                        +\t\"Namespace\": \"b\"\n }\n";
        assert_eq!(diff, expected);
        assert_eq!(difference(&current, &current).unwrap(), "");
    }
}
