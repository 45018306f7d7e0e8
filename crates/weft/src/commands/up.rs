//! `weft up`: the main job.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quilt::cluster::READY_LIMIT;
use quilt::runtime::{self, Progress, Start, Store};

use super::blueprint::{Source, coloured, located};
use super::cluster::{Access, Apply, Manifests, Where};
use super::machines::{self, Booting};
use super::{ps, report};

/// Start what a blueprint asks for, or change what runs into it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft up examples/shop.js && curl http://localhost:8080/\n  weft up --timings examples/shop.js\n  \
                  weft up examples/shop.js --target kubernetes --context staging\n  \
                  weft up cluster.js --target machines --admin 203.0.113.7/32\n\n\
                  Containers with `dependsOn` are started once what they depend on is ready; members of a service with\n\
                  `update` are replaced a batch at a time. What is interrupted, or stops since something does not get\n\
                  ready, the next `weft up` goes on with."
)]
pub(crate) struct Up {
    #[command(flatten)]
    source: Source,
    /// Say nothing but what went wrong
    #[arg(short, long)]
    quiet: bool,
    /// Have an OCI runtime of this machine start what comes anew: runc, crun, or the path of one
    #[arg(long, value_name = "PROGRAM", value_parser = program)]
    runtime: Option<PathBuf>,
    /// Say on standard error how long each step took
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    manifests: Manifests,
    #[command(flatten)]
    booting: Booting,
    /// Take over fields that another program has set
    #[arg(long, help_heading = "Kubernetes")]
    force: bool,
    /// How long to wait for containers to become ready
    #[arg(long, value_name = "SECONDS", default_value_t = READY_LIMIT.as_secs(), help_heading = "Kubernetes")]
    timeout: u64,
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
        let mut timings = Timings::new();
        let loaded = bar.suspend(|| self.source.load())?;
        match self.access.target()? {
            Where::Kubernetes => return self.apply().run(&loaded, &self.access.connect()?, &bar),
            Where::Machines => return machines::up(&self.apply(), &self.booting, &loaded, &bar),
            Where::Here => bar.suspend(|| machines::note(&loaded.blueprint)),
        }
        let store = Store::from_env().map_err(report)?;
        let file = std::path::absolute(self.source.file()).unwrap_or_else(|_| self.source.file().to_owned());
        let start = Start { source: &file, runtime: self.runtime.as_deref() };
        let result = runtime::up(&store, &loaded.blueprint, start, &mut |progress| {
            timings.hear(&progress);
            show(&bar, progress);
        });
        bar.finish_and_clear();
        let (deployment, plan) = result.map_err(|error| located(&error, &loaded))?;
        if !self.quiet {
            timings.begin("showing what runs");
            println!("{}", coloured(&plan.to_string()).trim_end());
            println!();
            print!("{}", ps::table(&runtime::list(&deployment).map_err(report)?));
        }
        if self.timings {
            eprint!("{}", timings.text());
        }
        Ok(())
    }

    fn apply(&self) -> Apply<'_> {
        Apply {
            access: &self.access,
            manifests: &self.manifests,
            force: self.force,
            limit: Duration::from_secs(self.timeout),
            is_quiet: self.quiet,
        }
    }
}

/// A program of this machine, by its path or a name that is looked for in `PATH`.
fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = if name.contains('/') {
        vec![std::path::absolute(name).map_err(|error| error.to_string())?]
    } else {
        let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        std::env::split_paths(&path).chain(usual).map(|directory| directory.join(name)).collect()
    };
    let found = candidates.into_iter().find(|path| path.is_absolute() && path.is_file());
    found.ok_or_else(|| {
        format!("there is no '{name}' here: install it (Debian, Ubuntu: apt-get install runc)")
    })
}

/// How long each step took, steps of one name together, in the order in which they first came.
struct Timings {
    steps: Vec<(&'static str, Duration)>,
    at: usize,
    since: Instant,
}

impl Timings {
    fn new() -> Self {
        Self { steps: vec![("reading the blueprint", Duration::ZERO)], at: 0, since: Instant::now() }
    }

    fn hear(&mut self, progress: &Progress) {
        match progress {
            Progress::Step(step) => self.begin(step),
            Progress::Containers { .. } => self.begin("starting containers"),
            Progress::Waiting(_) => self.begin("waiting until they are ready"),
            Progress::Update { .. } => self.begin("updating in batches"),
            Progress::Image(_) | Progress::Output(_) => self.begin("making images"),
            Progress::Warning(_) => {}
        }
    }

    fn begin(&mut self, step: &'static str) {
        let now = Instant::now();
        self.steps[self.at].1 += now - self.since;
        self.since = now;
        self.at = self.steps.iter().position(|(name, _)| *name == step).unwrap_or_else(|| {
            self.steps.push((step, Duration::ZERO));
            self.steps.len() - 1
        });
    }

    /// One line a step, with the time in seconds first.
    fn text(&mut self) -> String {
        self.begin(self.steps[self.at].0);
        self.steps.iter().map(|(step, took)| format!("{:9.3} s  {step}\n", took.as_secs_f64())).collect()
    }
}

fn show(bar: &ProgressBar, progress: Progress) {
    match progress {
        Progress::Step(step) => bar.set_message(step),
        Progress::Containers { done, total } => {
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} starting containers {wide_bar} {pos}/{len} {msg}")
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
        Progress::Waiting(names) => bar.set_message(format!("waiting for {}", some(&names))),
        Progress::Update { service, done, total, doing } => {
            bar.set_style(ProgressStyle::default_spinner());
            bar.set_message(format!("updating {service}, {done} of {total} done: {doing}"));
        }
        Progress::Warning(text) => bar.suspend(|| eprintln!("warning: {text}")),
    }
}

/// The first of some names.
fn some(names: &[String]) -> String {
    const SHOWN_MAX: usize = 3;
    let shown = names.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
