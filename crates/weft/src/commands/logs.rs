//! `weft logs`: what containers wrote.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use host::Container;
use host::log::{Follower, Line, Stream, read};
use quilt::runtime::RuntimeError;

use super::{Which, report};
use crate::style::tint;

/// Pause between two looks at the logs.
const PAUSE: Duration = Duration::from_millis(100);

/// Print what containers wrote.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft logs -f web-1 client")]
pub(crate) struct Logs {
    /// Whose output; everyone's when absent
    containers: Vec<String>,
    /// Go on with what they write from now on
    #[arg(short, long)]
    follow: bool,
    /// Show when each line was written
    #[arg(short, long)]
    timestamps: bool,
    /// Only the last lines of each
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<usize>,
    #[command(flatten)]
    which: Which,
}

impl Logs {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let deployment = self.which.find()?;
        let all = deployment.containers().containers().map_err(report)?;
        let known = || all.iter().map(|container| container.name().to_owned()).collect();
        let unknown =
            self.containers.iter().find(|name| all.iter().all(|container| container.name() != name.as_str()));
        if let Some(name) = unknown {
            return Err(report(RuntimeError::NoContainer { name: name.clone(), known: known() }));
        }
        let shown: Vec<_> = all
            .iter()
            .filter(|container| {
                self.containers.is_empty() || self.containers.iter().any(|name| name == container.name())
            })
            .cloned()
            .collect();
        self.print(&shown).map_err(|error| miette::miette!("cannot read logs: {error}"))
    }

    fn print(&self, containers: &[Container]) -> io::Result<()> {
        let width = containers.iter().map(|container| container.name().len()).max().unwrap_or(0);
        let name_of =
            |container: &Container| (containers.len() > 1).then(|| format!("{:width$}", container.name()));
        let mut followers = Vec::new();
        let mut old = Vec::new();
        for container in containers {
            let mut follower = Follower::new(container);
            if self.follow {
                follower.skip_to_end()?;
            }
            followers.push((name_of(container), follower));
            let mut lines = read(container)?;
            let skipped = self.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
            old.extend(lines.drain(skipped..).map(|line| (name_of(container), line)));
        }
        // Several containers' lines in the order of time; a stable sort keeps each one's own order.
        old.sort_by(|a, b| a.1.time.cmp(&b.1.time));
        let mut output = io::stdout().lock();
        for (name, line) in &old {
            self.line(&mut output, name.as_deref(), line)?;
        }
        if !self.follow {
            return Ok(());
        }
        loop {
            for (name, follower) in &mut followers {
                for line in follower.next_lines()? {
                    self.line(&mut output, name.as_deref(), &line)?;
                }
            }
            output.flush()?;
            std::thread::sleep(PAUSE);
        }
    }

    fn line(&self, output: &mut impl Write, name: Option<&str>, line: &Line) -> io::Result<()> {
        if let Some(name) = name {
            write!(output, "{} ", tint(&format!("{name} |"), line.stream == Stream::Stdout))?;
        }
        if self.timestamps {
            write!(output, "{} ", line.time)?;
        }
        output.write_all(&line.text)?;
        output.write_all(b"\n")
    }
}
