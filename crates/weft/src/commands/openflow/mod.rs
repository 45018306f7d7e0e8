//! `weft openflow`: OpenFlow messages, the switch that they drive, and what loads its controller.

mod bench;
mod parse;
mod print;
mod switch;
mod trace;

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use miette::{IntoDiagnostic, LabeledSpan, MietteDiagnostic, NamedSource, Report, WrapErr};
use openflow::text::ParseError;

/// OpenFlow 1.0 and 1.3: a switch of any ports, a load for controllers, messages printed and parsed.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  weft openflow parse 'priority=10,ip,nw_dst=10.0.0.0/8 actions=output:2' | \
                        weft openflow print\n  \
                        weft openflow switch --port veth:eth1 --port tap:wt0 --controller tcp:127.0.0.1"
)]
pub(crate) enum Openflow {
    Print(print::Print),
    Parse(parse::Parse),
    Switch(switch::Switch),
    Trace(trace::Packet),
    Bench(bench::Bench),
}

impl Openflow {
    pub(crate) fn run(&self) -> miette::Result<ExitCode> {
        match self {
            Self::Print(command) => command.run(),
            Self::Parse(command) => command.run(),
            Self::Switch(command) => command.run(),
            Self::Trace(command) => command.run(),
            Self::Bench(command) => command.run(),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    netbricks::parse_duration_ns(text).map(Duration::from_nanos)
}

/// A version of the protocol, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Version {
    #[value(name = "1.0")]
    V10,
    #[value(name = "1.3")]
    V13,
}

impl From<Version> for openflow::Version {
    fn from(version: Version) -> Self {
        match version {
            Version::V10 => Self::V10,
            Version::V13 => Self::V13,
        }
    }
}

/// `1.0`, `1.3`.
fn number(version: openflow::Version) -> &'static str {
    match version {
        openflow::Version::V10 => "1.0",
        openflow::Version::V13 => "1.3",
    }
}

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of the longest input.
const INPUT_MAX: u64 = 1 << 28;

/// A file, or standard input where it is `-`.
fn read(path: &Path) -> miette::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(INPUT_MAX).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(INPUT_MAX).read_to_end(&mut bytes))
    };
    read.into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    Ok(bytes)
}

/// What is wrong with a text, and where.
fn report(text: &str, wrong: &ParseError) -> Report {
    let diagnostic = MietteDiagnostic::new(wrong.to_string())
        .with_help(wrong.help.clone())
        .with_label(LabeledSpan::at(wrong.at.clone(), "here"));
    Report::new(diagnostic).with_source_code(NamedSource::new("text", text.to_owned()))
}
