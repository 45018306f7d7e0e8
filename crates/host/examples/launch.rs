//! Launches, watches and stops containers from the command line; the tests' way to a process with one thread.
//!
//! ```text
//! launch host-helper                        one request as JSON on standard input (see host::helper)
//! launch run STATE NAME COMMAND…            launch one container and show its log until it ends
//! launch many STATE COUNT COMMAND…          launch and stop COUNT containers, and say how long it took
//! launch exec STATE NAME COMMAND…           run a command in a container
//! launch hold                               keep a sandbox with a network namespace until standard input ends
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use host::helper::{self, Request};
use host::{ContainerSpec, Deployment, ExecSpec, Sandbox, Status, StopOptions};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["host-helper"] => return ExitCode::from(helper::serve() as u8),
        ["run", state, name, command @ ..] => run(Path::new(state), name, command),
        ["many", state, count, command @ ..] => many(Path::new(state), count.parse().unwrap_or(1), command),
        ["exec", state, name, command @ ..] => {
            let spec = ExecSpec {
                command: command.iter().map(|&word| word.into()).collect(),
                ..ExecSpec::default()
            };
            host::exec(&Deployment::new(Path::new(state)).container(name), &spec).map(|code| code as u8)
        }
        ["hold"] => hold(),
        _ => {
            eprintln!("usage: launch run|many|exec STATE …; see the source");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("launch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(state: &Path, name: &str, command: &[&str]) -> host::Result<u8> {
    Sandbox::detect().create_here()?;
    let container = Deployment::new(state).container(name);
    let mut failure = None;
    host::launch([ContainerSpec::new("example", state, name, command)], |_, outcome| match outcome {
        Ok(launched) => launched.warnings.iter().for_each(|warning| eprintln!("{warning}")),
        Err(error) => failure = Some(error),
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    let mut follower = host::log::Follower::new(&container);
    let status = loop {
        let status = Status::observe(&container)?;
        for line in follower.next_lines().unwrap_or_default() {
            println!("{}", String::from_utf8_lossy(&line.text));
        }
        match status {
            Some(status) if !status.is_live() => break status,
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    host::stop(&container, StopOptions::default())?;
    Ok(status.exit.map_or(1, |exit| exit.code() as u8))
}

fn many(state: &Path, count: usize, command: &[&str]) -> host::Result<u8> {
    let sandbox = Sandbox::detect();
    sandbox.create_here()?;
    let specs =
        (0..count).map(|number| ContainerSpec::new("example", state, &format!("many-{number}"), command));
    let begin = Instant::now();
    let mut failures = 0;
    host::launch(specs, |_, outcome| {
        if let Err(error) = outcome {
            failures += 1;
            eprintln!("{error}");
        }
    })?;
    let up = begin.elapsed();
    let containers = Deployment::new(state).containers()?;
    let begin = Instant::now();
    let stopped = host::stop_many(&containers, StopOptions::default());
    let down = begin.elapsed();
    for error in stopped.into_iter().filter_map(Result::err) {
        eprintln!("{error}");
    }
    println!("{count} containers, {sandbox:?}: up in {up:.2?}, down in {down:.2?}, {failures} failed");
    Ok(u8::from(failures > 0))
}

fn hold() -> host::Result<u8> {
    let holder = Sandbox::detect().hold(true)?;
    println!("{}", serde_json::to_string(&holder.process).unwrap_or_default());
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    holder.stop()?;
    Ok(0)
}

/// The request type is part of what this example shows.
const _: fn(&Request) = |_| {};
