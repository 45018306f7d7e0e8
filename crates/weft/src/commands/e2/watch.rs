//! `weft e2 watch`: a manager that nobody need tell anything.

use std::time::{Duration, Instant};

use ::e2::Share;
use ::e2::live::{EVERY_MIN, Event, Watch as Watching};
use ::e2::scale::load::Settings;
use clap::Args;
use miette::{IntoDiagnostic, miette};

use super::run::Which;
use super::scale::{Allowed, SECOND};

/// Grow and shrink functions by what they carry, and start again what dies, until it is ended
///
/// A function gets an instance more when one of its instances gets more than --high of its capacity in the policy, or packets wait in front
/// of it; it gets one less when two neighbours together get less than --low. No flow changes its instance. A site that dies
/// is started again with all its instances; what they knew is lost, and said. It may be killed at any time: another goes on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft e2 up crates/e2/examples/live.yaml && weft e2 watch")]
pub(crate) struct Watch {
    #[command(flatten)]
    which: Which,
    /// Seconds between two reports of what instances carry
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    every: f64,
    /// The part of its capacity above which an instance has too much
    #[arg(long, value_name = "SHARE", default_value = "80%")]
    high: Share,
    /// The part of one instance's capacity below which two are one too many
    #[arg(long, value_name = "SHARE", default_value = "50%")]
    low: Share,
    /// Reports over which too much is measured
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    reports: usize,
    /// Reports over which too little is measured
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    calm: usize,
    /// Seconds that a function rests after a decision
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pause: f64,
    /// Look at how long the core of each native instance works, too: --high and --low are parts of the time then
    #[arg(long)]
    cores: bool,
    #[command(flatten)]
    allowed: Allowed,
}

/// How long it counts what an instance carried while packets waited in front of it, though it was said to carry more.
const REMEMBER_NS: u64 = 600 * SECOND;

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    let least = EVERY_MIN.as_secs_f64();
    match (least..=3600.0).contains(&seconds) {
        true => Ok(seconds),
        false => Err(format!("from {least} to 3600 seconds")),
    }
}

impl Watch {
    pub(super) fn run(&self) -> miette::Result<()> {
        let settings = Settings {
            high: self.high,
            low: self.low,
            reports: self.reports,
            calm: self.calm,
            pause_ns: (self.pause * SECOND as f64) as u64,
            queue: 0,
            remember_ns: REMEMBER_NS,
        };
        settings.check().into_diagnostic()?;
        let manager = self.allowed.manager(&self.which)?;
        let every = Duration::from_secs_f64(self.every);
        let mut watch = Watching::new(manager, settings, every).into_diagnostic()?.with_cores(self.cores);
        let began = Instant::now();
        let mut said = |about: &str, event: &Event| {
            println!("{:8.3} s  {about}: {event}", began.elapsed().as_secs_f64());
        };
        loop {
            let pause =
                watch.turn(&mut said).map_err(|error| miette!("another manager has taken over: {error}"))?;
            std::thread::sleep(pause);
        }
    }
}
