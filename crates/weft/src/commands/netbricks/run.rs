//! `weft netbricks run`.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use miette::{IntoDiagnostic, Report};
use netbricks::functions::{self, IsolatedError, Setup};
use netbricks::live::{self, Handle, Runner, Stop, Summary};
use ports::PortSpec;
use ports::pcap::PcapConfig;
use tokio::signal::unix::{SignalKind, signal};

use super::{summary, wrong_usage};
use crate::commands::roles::Role;

/// How often the line on the terminal changes.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Exit code when it was interrupted twice: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Run network functions, one behind the other, between two ports or capture files.
///
/// Each function is named by its name, followed by its arguments. The first one's inside is the port of --in, the last
/// one's outside that of --out; packets pass in both directions, and an answer leaves by the port that its question
/// came from. `weft netbricks list FUNCTION` tells what a function takes.
///
/// With --isolate a function that crashes, or is taken over by what it is fed, reaches no file, no network and no other
/// process. It has no output and no clock either: generate, delay, dump, monitor, payload and streams are refused.
///
/// A run ends at the end of the capture files, or at a limit, or with Ctrl-C; then what was counted is printed. Packets
/// of capture files have the time of their timestamps. Captures that are played into live ports go as fast as they can;
/// with --duration the run waits that long for answers.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft netbricks run macswap --in pcap:in.pcap --out pcap:out.pcap\n  \
                  weft netbricks run macswap --in veth:eth1 --out veth:eth2 --duration 10s\n  \
                  weft netbricks run acl rule=@rules.txt --isolate --in veth:eth1 --out veth:eth2\n\n\
                  Ports: tap:NAME, veth:NAME, xdp:NAME, unix:PATH, memif:PATH,role=server, pcap:FILE. With \
                  pcap:FILE,out=FILE2 a gate reads one file and writes another; --out pcap:FILE writes.\n\
                  Exit codes: 0 done, 1 a port failed, 2 wrong usage.")]
pub(crate) struct Run {
    /// Names of functions, each followed by its arguments as KEY=VALUE
    #[arg(required = true, value_name = "FUNCTION [KEY=VALUE]")]
    words: Vec<String>,
    /// The port on the inside, gate 0
    #[arg(long = "in", value_name = "PORT", required_unless_present = "outside")]
    inside: Option<PortSpec>,
    /// The port on the outside, gate 1
    #[arg(long = "out", value_name = "PORT")]
    outside: Option<PortSpec>,
    /// Stop once that many packets have come in, or have gone out
    #[arg(long, value_name = "N")]
    packets: Option<u64>,
    /// Stop after that time, such as 10s or 1.5s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Print the counters that often, not only at the end
    #[arg(long, value_name = "TIME", value_parser = pause)]
    every: Option<Duration>,
    /// What is drawn at random, drawn from this number: the same run each time
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Run each function in a confined process of its own, which is replaced if it dies or hangs
    #[arg(long)]
    isolate: bool,
    /// Print JSON; with --every, one line each time
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    netbricks::parse_duration_ns(text).map(Duration::from_nanos)
}

fn pause(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|pause| match pause {
        Duration::ZERO => Err("a pause of at least 1ns is wanted".into()),
        pause => Ok(pause),
    })
}

impl Run {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let (inside, outside) = (self.inside.clone(), self.outside.clone().map(written));
        let ports: Vec<_> = [&inside, &outside].into_iter().flatten().collect();
        no_file_is_overwritten(&ports)?;
        let pool = live::pool(ports).map_err(Report::msg)?;
        let (key, seed) = self.random();
        let setup = Setup { pool: pool.clone(), key, seed };
        let built = match self.isolate {
            false => functions::build(&self.words, &setup).map_err(IsolatedError::from),
            true => {
                let in_step = live::on_the_clock_of_captures([&inside, &outside].into_iter().flatten());
                functions::build_isolated(&self.words, &setup, Role::FUNCTION, in_step)
            }
        };
        let line = match built {
            Ok(line) => line,
            Err(IsolatedError::Args(error)) => return Ok(wrong_usage(&error)),
            Err(error) => return Err(Report::msg(error)),
        };
        let mut runner = Runner::new(Box::new(line), pool).map_err(Report::msg)?;
        for port in [&inside, &outside] {
            match port {
                Some(port) => runner.open(port).map_err(Report::msg)?,
                None => runner.leave_open(),
            }
        }
        let summary = self.drive(runner)?;
        summary::print(&summary, self.json, self.every.is_some())?;
        let errors: Vec<_> = summary.ports.iter().filter_map(|port| port.error.as_deref()).collect();
        errors.iter().for_each(|error| eprintln!("warning: {error}"));
        Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// A key for hash tables and a seed, from the operating system (`getrandom(2)`, through [`RandomState`]).
    fn random(&self) -> (u128, u64) {
        if let Some(seed) = self.seed {
            return (seed.into(), seed);
        }
        let state = RandomState::new();
        let drawn = |n: u8| state.hash_one(n);
        (u128::from(drawn(0)) << 64 | u128::from(drawn(1)), drawn(2))
    }

    /// Runs on a thread of its own, while this one shows how it goes.
    fn drive(&self, runner: Runner) -> miette::Result<Summary> {
        let mut stop = Stop::new();
        if let Some(packets) = self.packets {
            stop = stop.after_packets(packets);
        }
        if let Some(duration) = self.duration {
            stop = stop.after(duration);
        }
        stop_at_signals(stop.clone())?;
        let handle = runner.handle();
        std::thread::scope(|scope| {
            let (running, ended) = mpsc::channel::<()>();
            let run = scope.spawn(|| {
                // Its end is the end of the run, however that comes about.
                let _running = running;
                runner.run(&stop)
            });
            let watched = self.watch(&handle, &ended);
            if watched.is_err() {
                stop.stop();
            }
            let summary =
                run.join().map_err(|_| miette::miette!("the run panicked"))?.map_err(Report::msg)?;
            watched.map(|()| summary)
        })
    }

    /// Shows how the run goes until it is over.
    fn watch(&self, handle: &Handle, ended: &Receiver<()>) -> miette::Result<()> {
        let bar = ProgressBar::new_spinner();
        let mut due = self.every.map(|every| Instant::now() + every);
        loop {
            let look = if bar.is_hidden() { Duration::MAX } else { PROGRESS_EVERY };
            let pause = due.map_or(look, |due| due.saturating_duration_since(Instant::now()).min(look));
            if ended.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                break;
            }
            // One that has ended meanwhile says so in the next round.
            let Ok(now) = handle.report() else { continue };
            bar.set_message(format!("{} packets in, {} out; Ctrl-C ends", now.packets_in, now.packets_out));
            bar.tick();
            if let (Some(at), Some(every)) = (due, self.every)
                && Instant::now() >= at
            {
                bar.suspend(|| summary::print(&now, self.json, true))?;
                due = Some(Instant::now() + every);
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// Ends the run at the first Ctrl-C or SIGTERM, and the program at the second.
fn stop_at_signals(stop: Stop) -> miette::Result<()> {
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
        stop.stop();
        next();
        // A function that hangs does not end by itself.
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

/// As the outside, a capture file is one to write, unless it says itself what to write.
fn written(port: PortSpec) -> PortSpec {
    match port {
        PortSpec::Pcap(PcapConfig { read, write: None, repeat: false }) => {
            PortSpec::Pcap(PcapConfig { read: None, write: read, repeat: false })
        }
        other => other,
    }
}

/// A capture file that is read must not be one that is written: it would be emptied first.
fn no_file_is_overwritten(ports: &[&PortSpec]) -> miette::Result<()> {
    let configs = || {
        ports.iter().filter_map(|port| match port {
            PortSpec::Pcap(config) => Some(config),
            _ => None,
        })
    };
    let same = |a: &Path, b: &Path| a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b));
    for written in configs().filter_map(|config| config.write.as_deref()) {
        if configs().filter_map(|config| config.read.as_deref()).any(|read| same(read, written)) {
            let written = written.display();
            return Err(miette::miette!(
                help = "write to another file",
                "{written} is to be read and to be written"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outside_is_written_unless_it_says_otherwise() {
        for (asked, meant) in [
            ("pcap:b.pcap", "pcap:,out=b.pcap"),
            ("pcap:b.pcap,out=c.pcap", "pcap:b.pcap,out=c.pcap"),
            ("pcap:,out=c.pcap", "pcap:,out=c.pcap"),
            ("pcap:b.pcap,loop=on", "pcap:b.pcap,loop=on"),
            ("tap:wt0", "tap:wt0"),
        ] {
            assert_eq!(written(asked.parse().unwrap()).to_string(), meant);
        }
    }
}
