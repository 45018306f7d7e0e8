//! `weft up`: the main job.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quilt::runtime::{self, Progress, Store};

use super::blueprint::{Source, coloured, located};
use super::{ps, report};

/// Start what a blueprint asks for, or change what runs into it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft up examples/shop.js && curl http://localhost:8080/")]
pub(crate) struct Up {
    #[command(flatten)]
    source: Source,
    /// Say nothing but what went wrong
    #[arg(short, long)]
    quiet: bool,
}

impl Up {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let bar = if self.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        bar.set_draw_target(if self.quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        });
        bar.enable_steady_tick(Duration::from_millis(80));
        bar.set_message("reading the blueprint");
        let loaded = bar.suspend(|| self.source.load())?;
        let store = Store::from_env().map_err(report)?;
        let file = std::path::absolute(self.source.file()).unwrap_or_else(|_| self.source.file().to_owned());
        let result = runtime::up(&store, &loaded.blueprint, &file, &mut |progress| show(&bar, progress));
        bar.finish_and_clear();
        let (deployment, plan) = result.map_err(|error| located(&error, &loaded))?;
        if self.quiet {
            return Ok(());
        }
        println!("{}", coloured(&plan.to_string()).trim_end());
        println!();
        print!("{}", ps::table(&runtime::list(&deployment).map_err(report)?));
        Ok(())
    }
}

fn show(bar: &ProgressBar, progress: Progress) {
    match progress {
        Progress::Step(step) => bar.set_message(step),
        Progress::Containers { done, total } => {
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} starting containers {wide_bar} {pos}/{len}")
            {
                bar.set_style(style);
            }
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
        Progress::Image(text) => bar.set_message(text),
        Progress::Output(line) => {
            let step = bar.message();
            let step = step.split('\n').next().unwrap_or_default();
            bar.set_message(format!("{step}\n  {line}"));
        }
        Progress::Warning(text) => bar.suspend(|| eprintln!("warning: {text}")),
    }
}
