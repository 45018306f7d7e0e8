//! `weft rc3`: its baseline experiment, files, and the pair of proxies.

mod files;
mod options;
mod pair;

use ::rc3::scenario::{BASELINE, Scenario};
use clap::{Args, Subcommand};

use super::log;
use super::sim::Output;

/// RC3: recursively cautious congestion control.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  weft rc3 key rc3.key                                          # on both machines the same\n  \
                  weft rc3 egress --key rc3.key --listen 0.0.0.0:7700             # far away\n  \
                  weft rc3 proxy --key rc3.key --egress far.example.org:7700      # here\n  \
                  curl -x socks5h://127.0.0.1:1080 http://example.org/"
)]
pub(crate) enum Rc3 {
    Sim(Baseline),
    Key(files::Key),
    Serve(files::Serve),
    Get(files::Get),
    Proxy(pair::Proxy),
    Egress(pair::Egress),
}

impl Rc3 {
    pub(crate) fn run(&self) -> miette::Result<()> {
        if let Self::Serve(_) | Self::Proxy(_) | Self::Egress(_) = self {
            log();
        }
        match self {
            Self::Sim(command) => command.run(),
            Self::Key(command) => command.run(),
            Self::Serve(command) => command.run(),
            Self::Get(command) => command.run(),
            Self::Proxy(command) => command.run(),
            Self::Egress(command) => command.run(),
        }
    }
}

/// Run the baseline experiment of the RC3 paper: 3,500 flows on an Internet2-like network at 30 % load, with TCP and with RC3
///
/// Twenty seeds by default. Scenario files have everything else: `weft sim run`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft rc3 sim --seeds 3 --svg baseline.svg")]
pub(crate) struct Baseline {
    #[command(flatten)]
    output: Output,
}

impl Baseline {
    fn run(&self) -> miette::Result<()> {
        let scenario = Scenario::parse(BASELINE, &|path| Err(format!("{path}: not here")));
        self.output.run(scenario.map_err(|error| miette::miette!("{error}"))?)
    }
}

/// Has Ctrl-C, or a request to terminate, end a loop; a second one ends the program.
fn on_interrupt(stop: ::rc3::live::Stop) -> miette::Result<()> {
    use miette::IntoDiagnostic;
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt()).into_diagnostic()?,
            signal(SignalKind::terminate()).into_diagnostic()?,
        )
    };
    std::thread::spawn(move || {
        for last in [false, true] {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            if last {
                std::process::exit(130);
            }
            stop.stop();
        }
    });
    Ok(())
}

fn report(error: impl std::fmt::Display) -> miette::Report {
    miette::miette!("{error}")
}
