//! Running other programs: never without a deadline, never left behind.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cleanup::Guard;
use crate::error::{During, Error, Result};

/// How often a running program is looked at. Short against a measurement, long against what looking costs.
const LOOK: Duration = Duration::from_millis(5);
/// How long a program that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(3);
/// Most output kept of one program.
const OUTPUT_BYTES_MAX: u64 = 16 << 20;

/// A program that runs until it is dropped or ends.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    guard: Guard,
    shown: String,
    output: File,
    errors: File,
}

/// What a program that succeeded wrote.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) text: String,
    /// What it said on standard error.
    pub(crate) said: String,
}

/// Starts a program with its output kept in files that have no name.
pub(crate) fn start(command: &mut Command) -> Result<Running> {
    let shown = shown(command);
    let (output, errors) = (unnamed()?, unnamed()?);
    let handle = |file: &File| file.try_clone().during("share an output file");
    let child = command
        .stdin(Stdio::null())
        .stdout(handle(&output)?)
        .stderr(handle(&errors)?)
        .spawn()
        .during(format!("run `{shown}`"))?;
    let guard = Guard::process(Pid::from_child(&child));
    Ok(Running { child, guard, shown, output, errors })
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Output> {
    start(command)?.finish(limit)
}

/// Runs a program that should be done at once.
pub(crate) fn quick(command: &mut Command) -> Result<Output> {
    run(command, Duration::from_secs(20))
}

impl Running {
    /// The process id, of the program itself: `ip netns exec` becomes what it runs.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    pub(crate) fn written(&mut self) -> Result<String> {
        text(&mut self.output)
    }

    /// Waits until it has written `needle`.
    pub(crate) fn await_text(&mut self, needle: &str, limit: Duration) -> Result<()> {
        let started = Instant::now();
        while !self.written()?.contains(needle) {
            if let Some(status) = self.status()? {
                return Err(self.failed(status));
            }
            if started.elapsed() > limit {
                return Err(Error::TimedOut { command: self.shown.clone(), seconds: limit.as_secs() });
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits for its end, which must be a success.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<Output> {
        let started = Instant::now();
        loop {
            match self.status()? {
                Some(status) if status.success() => {
                    return Ok(Output { text: self.written()?, said: text(&mut self.errors)? });
                }
                Some(status) => return Err(self.failed(status)),
                None if started.elapsed() > limit => {
                    return Err(Error::TimedOut { command: self.shown.clone(), seconds: limit.as_secs() });
                }
                None => thread::sleep(LOOK),
            }
        }
    }

    /// How it ended, once it has.
    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>> {
        let child = &mut self.child;
        self.guard.release_if(|| child.try_wait().transpose()).transpose().during("wait for a program")
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(mut self, signal: Signal) -> Result<Output> {
        self.end(signal);
        Ok(Output { text: self.written()?, said: text(&mut self.errors)? })
    }

    fn end(&mut self, signal: Signal) {
        let started = Instant::now();
        let pid = Pid::from_child(&self.child);
        while let Ok(None) = self.status() {
            // Not yet reaped, so the id is still ours.
            let signal = if started.elapsed() < GRACE { signal } else { Signal::KILL };
            // It may have ended meanwhile, which is what we want.
            let _ = kill_process(pid, signal);
            thread::sleep(LOOK);
        }
    }

    fn failed(&mut self, status: ExitStatus) -> Error {
        let both = [&mut self.errors, &mut self.output].map(|file| text(file).unwrap_or_default());
        let output = both.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        let status = status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
        Error::Command { command: self.shown.clone(), status, output: output.chars().take(600).collect() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(Signal::TERM);
    }
}

/// A file that is gone once it is closed.
fn unnamed() -> Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::APPEND;
    let file = rustix::fs::open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR);
    Ok(File::from(file.during("make a file without a name in the temporary directory")?))
}

fn text(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).during("read the output of a program")?;
    file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes).during("read the output of a program")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Is the program in `PATH`?
pub(crate) fn require(program: &'static str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if there { Ok(()) } else { Err(Error::NoProgram { program }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_comes_back() {
        let output = quick(Command::new("echo").arg("hello")).unwrap();
        assert_eq!(output.text, "hello\n");
    }

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = quick(Command::new("sh").args(["-c", "echo no >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("exit 3") && error.ends_with(": no"), "{error}");
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let started = Instant::now();
        let error = run(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn dropping_a_program_ends_it() {
        let running = start(Command::new("sleep").arg("60")).unwrap();
        let entry = format!("/proc/{}", running.id());
        assert!(std::path::Path::new(&entry).exists());
        drop(running);
        assert!(!std::path::Path::new(&entry).exists());
    }
}
