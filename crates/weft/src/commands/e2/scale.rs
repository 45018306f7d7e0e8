//! A function gets one instance more, or one less, while packets flow.

use std::time::Instant;

use ::e2::live::{Event, Manager, Way};
use ::e2::scale::{Limits, Next, Step};
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Direction {
    Out,
    In,
}

const SECOND: u64 = 1_000_000_000;

impl Scale {
    pub(super) fn run(&self) -> miette::Result<()> {
        let store = store()?;
        let which = Which { name: self.name.clone() };
        let limits = Limits {
            entries: self.entries,
            wait_ns: u64::from(self.wait) * SECOND,
            cut_ns: self.cut.map(|cut| u64::from(cut) * SECOND),
        };
        let mut manager = Manager::take_over(&store, &which.name(&store)?, limits).into_diagnostic()?;
        let began = Instant::now();
        let mut said = |event: Event| println!("{:8.3} s  {}", began.elapsed().as_secs_f64(), text(&event));
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

fn text(event: &Event) -> String {
    match event {
        Event::Begins { source, target, range } => format!("{range} goes from {source} to {target}"),
        Event::Did(step) => match step {
            Step::StartDetour => "new flows take the detour".to_owned(),
            Step::EndDetour => "no detour any more".to_owned(),
            Step::Return(keys) => {
                format!("{} old flows are sent back by the target's data plane", keys.len())
            }
            Step::Except(keys) => format!("{} old flows have entries of the table", keys.len()),
            Step::Flip => "the range has moved".to_owned(),
            Step::RouteAll(side) => format!("all goes to the {side:?}, the other has died").to_lowercase(),
            Step::Cut(keys) => format!("{} old flows are cut", keys.len()),
            Step::Narrow | Step::Widen => format!("{step:?}"),
        },
        Event::Converged { after_ns, old } => {
            format!("converged after {:.3} s; {old} flows stay where they are", *after_ns as f64 / 1e9)
        }
        Event::Ended(Next::Moved) => "over: moved, and nothing is left of the way there".to_owned(),
        Event::Ended(Next::Back) => "over: the target died, all is the source's again".to_owned(),
        Event::Ended(Next::TakenOver) => "over: the source died, all is the target's".to_owned(),
        Event::Ended(next) => format!("over: {next:?}"),
    }
}
