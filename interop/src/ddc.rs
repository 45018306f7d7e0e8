//! `interop ddc`: the same twelve routers by Data-Driven Connectivity, by static routes, and by BIRD's OSPF, while links are cut
//! under a stream.
//!
//! ```text
//!  host ─ R1 ── R2 ── R3 ── R4        the network of examples/ddc/twelve.ddc; the stream goes R1, R6, R7, R12
//!          │  ╲  │     │  ╲  │
//!         R5 ── R6 ═══ R7 ── R8       R6 ═ R7 has a bridge in its midst, which can be made to lose everything
//!          │     │     │  ╲  │
//!         R9 ── R10 ── R11 ─ R12 ─ host
//! ```

mod lab;
mod stream;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cleanup;
use crate::error::{During, Error, Result};
use crate::process::require;
use crate::table::{figure, markdown, median};

use lab::Lab;
use stream::{Stream, Window};

/// Routers between the hosts on the shortest way.
const SHORTEST: u32 = 4;
/// The longest that a system may take to find the shortest way, at first and after a link is back.
const SETTLE: Duration = Duration::from_secs(120);
/// The stream flows again when it came without a gap for so long.
const STEADY: Duration = Duration::from_millis(1500);
/// After so long it is not waited for any more.
const DARK_MAX: Duration = Duration::from_secs(60);
/// So long static routes are watched, which do nothing.
const STATIC_DARK: Duration = Duration::from_secs(5);

/// Cut links of twelve routers under a stream of 1000 packets a second: weft's ddc, static routes, BIRD's OSPF
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cargo run --release -p interop -- ddc --systems ddc,static --rounds 1")]
pub(crate) struct Ddc {
    /// Which systems; all without
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SYSTEM,…")]
    systems: Vec<System>,
    /// How often every cut is made
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The weft binary; the one beside this program without
    #[arg(long, value_name = "FILE")]
    weft: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum System {
    /// weft ddc router, links given up after 200 ms
    Ddc,
    /// The kernel with the shortest routes written in
    Static,
    /// BIRD with its own timers: hello 10 s, dead 40 s
    Ospf,
    /// BIRD with hello 1 s, dead 3 s
    OspfFast,
    /// The same and BFD, links given up after 200 ms
    OspfBfd,
}

impl System {
    fn name(self) -> &'static str {
        match self {
            Self::Ddc => "ddc",
            Self::Static => "static",
            Self::Ospf => "ospf",
            Self::OspfFast => "ospf-fast",
            Self::OspfBfd => "ospf-bfd",
        }
    }
}

/// What happens to the way of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cut {
    /// R6's interface to R7 is switched off. Both ends notice, as their carriers go.
    Down,
    /// R6 and R7 hear nothing from each other any more, and have their carriers.
    Silent,
    /// All interfaces of R7 are switched off at once.
    Router,
}

const CUTS: [Cut; 3] = [Cut::Down, Cut::Silent, Cut::Router];

/// What one cut did.
#[derive(Debug, Serialize)]
struct Measured {
    system: System,
    cut: Cut,
    /// At the cut, and when the link came back.
    cut_window: Window,
    back_window: Window,
    /// Did the stream flow again before the link was back?
    recovered: bool,
}

impl Ddc {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        cleanup::on_signals()?;
        cleanup::sweep();
        let systems = if self.systems.is_empty() { System::value_variants() } else { &self.systems };
        if systems.iter().any(|system| !matches!(system, System::Ddc | System::Static)) {
            require("bird")?;
        }
        let beside = std::env::current_exe().during("find this program")?.with_file_name("weft");
        let weft = self.weft.clone().unwrap_or(beside);
        let mut all = Vec::new();
        for system in systems {
            eprintln!("{}", system.name());
            let lab = Lab::new(*system, &weft)?;
            settle(&lab)?;
            for _ in 0..self.rounds {
                for cut in CUTS {
                    all.push(measure(&lab, *system, cut)?);
                }
            }
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&all).during("write JSON")?);
        } else {
            print!("{}", table(systems, &all));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits for the shortest way.
fn settle(lab: &Lab) -> Result<()> {
    let begin = Instant::now();
    while lab.routers_between() != Some(SHORTEST) {
        if begin.elapsed() > SETTLE {
            let what = format!("no shortest way after {} s", SETTLE.as_secs());
            return Err(Error::Peer { peer: lab.name().into(), what });
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn measure(lab: &Lab, system: System, cut: Cut) -> Result<Measured> {
    let stream = Stream::start(lab)?;
    thread::sleep(Duration::from_millis(500));
    let before = stream.mark();
    lab.cut(cut, true)?;
    let limit = if system == System::Static { STATIC_DARK } else { DARK_MAX };
    let recovered = stream.await_steady(STEADY, limit);
    let after = stream.mark();
    lab.cut(cut, false)?;
    settle(lab)?;
    thread::sleep(STEADY);
    let end = stream.mark();
    let arrivals = stream.end()?;
    let window = |from, to| Window::of(&arrivals, from, to);
    Ok(Measured {
        system,
        cut,
        cut_window: window(before, after),
        back_window: window(after, end),
        recovered,
    })
}

fn table(systems: &[System], all: &[Measured]) -> String {
    let words = |cut| match cut {
        Cut::Down => "down",
        Cut::Silent => "silent",
        Cut::Router => "router",
    };
    let mut rows = Vec::new();
    for cut in CUTS {
        for system in systems {
            let these: Vec<&Measured> =
                all.iter().filter(|one| one.system == *system && one.cut == cut).collect();
            let spread = |value: &dyn Fn(&Measured) -> f64| {
                let (middle, low, high) = median(these.iter().map(|one| value(one)));
                format!("{} ({}–{})", figure(middle), figure(low), figure(high))
            };
            let recovered = these.iter().all(|one| one.recovered);
            rows.push(vec![
                format!("{}, {}", words(cut), system.name()),
                spread(&|one| one.cut_window.lost as f64),
                if recovered { spread(&|one| one.cut_window.dark_ms) } else { "until it is back".into() },
                spread(&|one| one.back_window.lost as f64),
                spread(&|one| one.back_window.dark_ms),
            ]);
        }
    }
    markdown(&["cut, system", "lost", "dark, ms", "lost when back", "dark when back, ms"], &rows)
}
