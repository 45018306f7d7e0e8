//! `weft pox COMPONENT …`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use miette::{IntoDiagnostic, Report};
use pox::launch::{self, FILE_BYTES_MAX};
use pox::live::Live;
use pox::{Controller, Launcher, Level, Remote};
use tokio::signal::unix::{SignalKind, signal};

use super::wrong_usage;

/// Exit code when it was interrupted twice: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

#[derive(Debug, Args)]
pub(super) struct Run {
    /// A file with a component a line
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say more
    #[arg(long, short)]
    verbose: bool,
    /// Components, each followed by its options
    #[arg(
        value_name = "COMPONENT [--OPTION=VALUE]",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required_unless_present = "config"
    )]
    words: Vec<String>,
}

impl Run {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let mut lines = match &self.config {
            None => Vec::new(),
            Some(file) => match launch::read_file(&read(file)?) {
                Ok(lines) => lines,
                Err(error) => return Ok(wrong_usage(&error, Some(file))),
            },
        };
        match launch::read_words(&self.words) {
            Ok(words) => lines.extend(words),
            Err(error) => return Ok(wrong_usage(&error, None)),
        }
        self.log();
        let mut controller = Controller::new();
        let core = controller.core_mut();
        if self.verbose {
            core.set_log_level(Level::Debug);
        }
        let from_file = self.config.as_ref().filter(|_| self.words.is_empty());
        if let Err(error) = Launcher::stock().launch(core, &launch::with_listener(lines)) {
            return Ok(wrong_usage(&error, from_file));
        }
        let mut live = Live::new(controller).map_err(Report::msg)?;
        quit_at_signals(live.remote())?;
        live.run().map_err(Report::msg)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Writes down what components say on standard error; WEFT_LOG says how much, else --verbose.
    fn log(&self) {
        let level = if self.verbose { "debug" } else { "info" };
        let filter = tracing_subscriber::EnvFilter::try_from_env("WEFT_LOG").unwrap_or_else(|_| level.into());
        let subscriber =
            tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_target(false);
        subscriber.with_writer(std::io::stderr).init();
    }
}

fn read(file: &Path) -> miette::Result<String> {
    let failed = |error: std::io::Error| miette::miette!("{}: {error}", file.display());
    let opened = std::fs::File::open(file).map_err(failed)?;
    let mut text = String::new();
    // One byte more than fits, so that what is too long is told as such.
    let limit = FILE_BYTES_MAX as u64 + 1;
    std::io::Read::read_to_string(&mut std::io::Read::take(opened, limit), &mut text).map_err(failed)?;
    Ok(text)
}

/// Ends the controller at the first Ctrl-C or SIGTERM, and the program at the second.
fn quit_at_signals(remote: Remote) -> miette::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt()).into_diagnostic()?,
            signal(SignalKind::terminate()).into_diagnostic()?,
        )
    };
    let mut next = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
    };
    std::thread::spawn(move || {
        next();
        if remote.post(pox::Core::quit).is_ok() {
            next();
        }
        // A component that hangs does not end by itself.
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}
