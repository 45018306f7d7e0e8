//! A function gets one instance more, or one less, while packets flow.

use std::time::Instant;

use ::e2::live::{Event, Manager, Way};
use ::e2::scale::Limits;
use clap::{Args, ValueEnum};
use miette::{IntoDiagnostic, miette};

use super::run::{Which, store};

/// Give a function one instance more, or one less, without a flow changing its instance
///
/// New flows of a half of the largest range go to the new instance; those that are there stay, beyond their part of the switch's table by a
/// detour. It is over when the last of them has ended. Killed, it is taken up by `--continue`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft e2 scale firewall out\n  weft e2 scale --continue")]
pub(crate) struct Scale {
    /// The function
    #[arg(required_unless_present = "go_on")]
    function: Option<String>,
    /// One more, or one less
    #[arg(value_enum, required_unless_present = "go_on")]
    way: Option<Direction>,
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Go on with what was begun
    #[arg(long = "continue", conflicts_with_all = ["function", "way"])]
    go_on: bool,
    #[command(flatten)]
    allowed: Allowed,
}

/// What a shift may take.
#[derive(Debug, Args)]
pub(super) struct Allowed {
    /// Entries of the table for flows that stay
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    entries: usize,
    /// How many seconds to wait for flows to end before the range moves all the same
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    wait: u32,
    /// After how many seconds from then flows that stay are taken from their instance by force
    #[arg(long, value_name = "SECONDS")]
    cut: Option<u32>,
}

impl Allowed {
    /// Takes over a policy that runs.
    pub(super) fn manager(&self, which: &Which) -> miette::Result<Manager> {
        let store = store()?;
        let limits = Limits {
            entries: self.entries,
            wait_ns: u64::from(self.wait) * SECOND,
            cut_ns: self.cut.map(|cut| u64::from(cut) * SECOND),
        };
        let program = std::env::current_exe().into_diagnostic()?;
        Manager::take_over(&store, &which.name(&store)?, limits, &program).into_diagnostic()
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Direction {
    Out,
    In,
}

pub(super) const SECOND: u64 = 1_000_000_000;

impl Scale {
    pub(super) fn run(&self) -> miette::Result<()> {
        let mut manager = self.allowed.manager(&Which { name: self.name.clone() })?;
        let began = Instant::now();
        let mut said = |about: &str, event: &Event| {
            println!("{:8.3} s  {about}: {event}", began.elapsed().as_secs_f64());
        };
        match (&self.function, self.way) {
            (Some(function), Some(way)) => {
                let way = match way {
                    Direction::Out => Way::Out,
                    Direction::In => Way::In,
                };
                manager.scale(function, way, &mut said).into_diagnostic()
            }
            _ if manager.go_on(&mut said).into_diagnostic()? => Ok(()),
            _ => Err(miette!("nothing was begun that is not over")),
        }
    }
}
