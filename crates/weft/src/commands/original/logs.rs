//! `quilt logs`: what a container wrote, or what carries the containers.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use host::log::{Follower, Line, read};
use miette::miette;

use super::flags::Flags;
use super::show::seconds;
use super::target::{self, Target};
use super::{client, failed};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn run(flags: &Flags) -> miette::Result<ExitCode> {
    let id = flags.words.first().ok_or_else(|| miette!("must specify a target container or machine"))?;
    let since = flags.value("since").map(since).transpose()?;
    let mut client = client(flags)?;
    let target = target::find(&mut client, id)?;
    let deployment = target::deployment(&mut client)?;
    drop(client);
    let printed = match target {
        Target::Machine(_) => machine(deployment.directory()),
        Target::Container(row) if row.docker_id.is_empty() => {
            return Err(miette!("Container not yet running"));
        }
        Target::Container(row) => {
            let container = deployment.containers().container(&row.docker_id);
            Printer { since, timestamps: flags.is_set("t") }.print(&container, flags.is_set("f"))
        }
    };
    printed.map_err(|error| miette!("cannot read logs: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

/// What the processes that carry a deployment had to say.
fn machine(directory: &Path) -> io::Result<()> {
    for role in ["sandbox", "dataplane", "edge"] {
        match std::fs::read(directory.join(role).with_extension("log")) {
            Ok(text) => io::stdout().write_all(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

struct Printer {
    /// Seconds after 1970.
    since: Option<Duration>,
    timestamps: bool,
}

impl Printer {
    fn print(&self, container: &host::Container, follow: bool) -> io::Result<()> {
        let mut follower = Follower::new(container);
        if follow {
            follower.skip_to_end()?;
        }
        let mut out = io::stdout().lock();
        for line in read(container)? {
            self.line(&mut out, &line)?;
        }
        if !follow {
            return Ok(());
        }
        loop {
            out.flush()?;
            std::thread::sleep(PAUSE);
            for line in follower.next_lines()? {
                self.line(&mut out, &line)?;
            }
        }
    }

    fn line(&self, out: &mut impl Write, line: &Line) -> io::Result<()> {
        if self.since.is_some_and(|since| seconds(&line.time).is_some_and(|time| time < since)) {
            return Ok(());
        }
        if self.timestamps {
            write!(out, "{} ", line.time)?;
        }
        out.write_all(&line.text)?;
        out.write_all(b"\n")
    }
}

/// A time, or one that is so long ago: `2017-07-01T13:23:37`, `1h40m`.
fn since(text: &str) -> miette::Result<Duration> {
    if let Some(ago) = go_duration(text) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(failed)?;
        return Ok(now.saturating_sub(ago));
    }
    seconds(text).ok_or_else(|| {
        miette!("'{text}' is neither a time such as 2017-07-01T13:23:37 nor a duration such as 1h40m")
    })
}

/// A duration as Go writes it.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let value: f64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        total += value
            * match &rest[digits..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    (!text.is_empty() && total < 1e12).then(|| Duration::from_secs_f64(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_times_are_told_apart() {
        assert_eq!(go_duration("1h40m"), Some(Duration::from_secs(6000)));
        assert_eq!(go_duration("1.5s"), Some(Duration::from_millis(1500)));
        for text in ["", "5", "5x", "m", "2017-07-01T13:23:37", "1e9h", "..s"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
        assert_eq!(since("2017-07-01T13:23:37").unwrap().as_secs(), 1_498_915_417);
        assert!(since("yesterday").is_err());
    }
}
