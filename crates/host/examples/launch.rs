//! Launches, watches and stops containers from the command line; the tests' way to a process with one thread.
//!
//! ```text
//! launch launch                             launch what the request on standard input names (see host::helper)
//! launch stop                               stop what the request on standard input names
//! launch run STATE NAME COMMAND…            launch one container and show its log until it ends
//! launch many STATE COUNT COMMAND…          launch and stop COUNT containers, and say how long it took
//! launch exec STATE NAME COMMAND…           run a command in a container
//! launch hold                               keep a sandbox with a network namespace until standard input ends
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use host::{
    ContainerSpec, Deployment, Enter, ExecSpec, Launched, ProcessId, Sandbox, Status, StopOptions, helper,
};
use request::{LaunchRequest, StopRequest};

#[path = "../tests/stage/request.rs"]
mod request;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["launch"] => {
            helper::serve(launch);
            Ok(0)
        }
        ["stop"] => {
            helper::serve(stop);
            Ok(0)
        }
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

fn launch(request: LaunchRequest, answer: &dyn Fn((usize, host::Result<Launched>))) -> host::Result<()> {
    match request.member {
        Some(member) => Sandbox::detect().enter(member, Enter::User)?,
        None => Sandbox::detect().create_here()?,
    }
    let attach = |spec: &ContainerSpec, _| match &request.unattached {
        Some(name) if *name == spec.name => Err("nobody is there".into()),
        _ => Ok(()),
    };
    host::launch(request.specs, attach, |place, outcome| answer((place, outcome)))
}

fn stop(request: StopRequest, answer: &dyn Fn(host::Result<()>)) -> host::Result<()> {
    let deployment = Deployment::new(&request.state);
    let containers = match request.names {
        Some(names) => names.iter().map(|name| deployment.container(name)).collect(),
        None => deployment.containers()?,
    };
    // Files of other users of the namespace can only be removed from within one with the same map.
    Sandbox::detect().create_here()?;
    host::stop_many(&containers, request.options).into_iter().for_each(answer);
    Ok(())
}

fn run(state: &Path, name: &str, command: &[&str]) -> host::Result<u8> {
    Sandbox::detect().create_here()?;
    let container = Deployment::new(state).container(name);
    let mut failure = None;
    let spec = ContainerSpec::new("example", state, name, command);
    host::launch([spec], unread, |_, outcome| match outcome {
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
    host::launch(specs, unread, |_, outcome| {
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

/// Containers without an interface have nobody at its other end.
fn unread(_: &ContainerSpec, _: ProcessId) -> Result<(), String> {
    Ok(())
}
