//! `weft softnic run`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report, miette};
use softnic::bess::process::{self, Options, ProcessError};
use softnic::bess::{Bess, Client, Config, ServeError};
use softnic::config::{self, ApplyError, Parsed, StatementKind};

use super::picture::Picture;
use super::{HOME, address, duration, show};
use crate::commands::{log, print_json};

/// Bytes of the longest configuration.
const FILE_MAX: u64 = 16 << 20;

/// Run a configuration file until Ctrl-C, and print what was counted.
///
/// A file names ports, modules and the gates between them, traffic classes and workers, one statement a line; the
/// examples show all of it. While it runs, clients of BESS's control interface and the other commands of `weft softnic`
/// can watch and change it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft softnic run examples/softnic/shares.weft --duration 10s\n  \
                        weft softnic run examples/softnic/acl.weft --check")]
pub(crate) struct Run {
    /// The configuration
    file: PathBuf,
    /// Only look for mistakes: names, classes, arguments
    #[arg(long)]
    check: bool,
    /// Stop after that time, such as 10s or 1.5s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// The address that clients connect to, or `none`
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = Listen(Some(HOME)), value_parser = listen)]
    listen: Listen,
    /// The core of the worker that is started when the file starts none
    #[arg(short = 'c', long, value_name = "CORE", default_value_t = 0)]
    core: usize,
    /// Packet buffers of 2 KiB
    #[arg(long, value_name = "COUNT", default_value_t = 32768)]
    buffers: usize,
    /// Print the counters as JSON
    #[arg(long)]
    json: bool,
}

/// Where to listen, if anywhere.
#[derive(Clone, Copy, Debug)]
struct Listen(Option<SocketAddr>);

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("none"),
        }
    }
}

fn listen(text: &str) -> Result<Listen, String> {
    if text == "none" { Ok(Listen(None)) } else { address(text).map(|address| Listen(Some(address))) }
}

/// Why it did not run.
enum Stopped {
    File(ApplyError),
    Process(ProcessError),
}

impl From<ProcessError> for Stopped {
    fn from(error: ProcessError) -> Self {
        Self::Process(error)
    }
}

impl Run {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let text = read(&self.file)?;
        let located = |line, column, problem: String| located(&self.file, &text, line, column, problem);
        let parsed = config::parse(&text)
            .map_err(|error| located(error.line, Some(error.column), error.problem.clone()))?;
        let at_fault = |error: ApplyError| located(error.line, None, error.problem.to_string());
        config::check(&parsed).map_err(at_fault)?;
        if self.check {
            println!("{}: {}", self.file.display(), told(&parsed));
            return Ok(ExitCode::SUCCESS);
        }
        let begin = Instant::now();
        let bess = self.carry_out(&parsed).map_err(|stopped| match stopped {
            Stopped::File(error) => at_fault(error),
            Stopped::Process(error) => explained(&error),
        })?;
        let picture = Picture::take(&mut Client::within(bess)).map_err(super::report)?;
        if self.json {
            print_json(&picture)?;
        } else {
            print!("{}", show::counters(&picture, begin.elapsed()));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Runs it to its end; gives the daemon as it was then.
    fn carry_out(&self, parsed: &Parsed) -> Result<Arc<Bess>, Stopped> {
        log();
        let seed =
            super::seed().map_err(|error| ProcessError::Runtime(std::io::Error::other(error.to_string())))?;
        let options = Options {
            listen: self.listen.0,
            pid_file: None,
            replace: false,
            duration: self.duration,
            config: Config { buffers: self.buffers, core: self.core, seed, ..Config::default() },
            state: None,
        };
        let mut kept = None;
        let start = |bess: &Arc<Bess>, _: Option<&_>| -> Result<(), Stopped> {
            config::apply(bess, parsed).map_err(Stopped::File)?;
            eprintln!("running {}; Ctrl-C ends", told(parsed));
            kept = Some(bess.clone());
            Ok(())
        };
        let ready = |address: SocketAddr| eprintln!("serving BESS's clients on {address}");
        process::run(&options, start, ready)?;
        Ok(kept.expect("it has started before it ends"))
    }
}

fn read(path: &Path) -> miette::Result<String> {
    let failed = |error: std::io::Error| miette!("{}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(file, FILE_MAX + 1), &mut text).map_err(failed)?;
    if text.len() as u64 > FILE_MAX {
        return Err(miette!("{}: a configuration has at most {FILE_MAX} bytes", path.display()));
    }
    Ok(text)
}

/// How many of what a file has.
fn told(parsed: &Parsed) -> String {
    let (mut ports, mut modules, mut connections, mut classes) = (0, 0, 0, 0);
    for statement in &parsed.statements {
        match &statement.kind {
            StatementKind::Port(..) => ports += 1,
            StatementKind::Class { .. } => classes += 1,
            StatementKind::Chain(chain) => {
                modules += chain.iter().filter(|step| step.create.is_some()).count();
                connections += chain.len() - 1;
            }
            _ => {}
        }
    }
    let of = |count: usize, one: &str, more: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {more}")),
    };
    let parts = [
        of(ports, "port", "ports"),
        of(modules, "module", "modules"),
        of(connections, "connection", "connections"),
        of(classes, "traffic class", "traffic classes"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// An error with its line.
fn located(path: &Path, text: &str, line: usize, column: Option<usize>, problem: String) -> Report {
    let whole = text.split_inclusive('\n').nth(line.saturating_sub(1)).unwrap_or_default();
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let shown = whole.trim_end_matches(['\r', '\n']);
    let skipped = match column {
        Some(column) => shown.char_indices().nth(column.saturating_sub(1)).map_or(shown.len(), |(at, _)| at),
        None => shown.len() - shown.trim_start().len(),
    };
    let len = if column.is_some() { 0 } else { shown.trim_end().len().saturating_sub(skipped) };
    let label = LabeledSpan::new_primary_with_span(Some("here".to_owned()), (before + skipped, len));
    Report::new(MietteDiagnostic::new(problem).with_labels([label]).with_help(
        "`weft softnic show mclass NAME` lists a class's arguments and commands, once a daemon runs",
    ))
    .with_source_code(NamedSource::new(path.display().to_string(), text.to_owned()))
}

fn explained(error: &ProcessError) -> Report {
    match error {
        ProcessError::Serve(ServeError::Listen { .. }) => {
            miette!(help = "--listen takes another address, or `none`", "{error}")
        }
        _ => miette!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_beyond_the_text_is_its_end() {
        for (text, line, column) in
            [("", 1, Some(1)), ("a ->", 1, Some(5)), ("ä\n", 9, None), ("ä", 1, Some(9))]
        {
            let report = located(Path::new("x"), text, line, column, "wrong".into());
            let mut shown = String::new();
            miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
                .render_report(&mut shown, report.as_ref())
                .unwrap();
            assert!(shown.contains("wrong") && shown.contains("x:"), "{shown}");
        }
    }
}
