//! Process 1 of a container: starts its command, waits, writes its log and its status.
//!
//! It is forked from the launcher without an exec, sleeps in poll(2), and holds nothing but two
//! pipes, a signal descriptor, its log and status directories (which the container's root no longer
//! shows) and a lock that says it lives. Where the container has health checks it forks one now and then,
//! and shows in the deployment's directory of ready marks whether they succeed.

use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};

use crate::command::Prepared;
use crate::error::{During, Error, Result};
use crate::health::{Checks, Health};
use crate::log::{self, Stream};
use crate::oci::{Oci, Outside};
use crate::probe::{Prober, Running};
use crate::process::OneThread;
use crate::redact::Redactor;
use crate::spec::{ContainerSpec, Restart, RestartPolicy};
use crate::status::{Exit, ReadyMark, State, Status, StatusFile, now_ms};
use crate::sys::{self, Fork};

/// What a container tells its launcher, once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The command runs.
    Ready {
        /// What had to be done differently than asked for.
        warnings: Vec<String>,
    },
    /// It could not be started.
    Failed(Error),
}

/// Bytes read from a command's output at once.
const READ_BYTES: usize = 16 << 10;
/// Most reads in a row from one pipe, so that a flood on one does not starve the rest.
const READS_MAX: usize = 8;

/// How long a command that fails its health checks may take to end by itself.
const UNHEALTHY_GRACE: Duration = Duration::from_secs(2);

/// What the launcher's child hands over when the container is built.
pub(crate) struct Handover {
    pub(crate) status: Status,
    pub(crate) status_file: StatusFile,
    pub(crate) ready: Option<ReadyMark>,
    pub(crate) log_directory: OwnedFd,
    pub(crate) lock: OwnedFd,
    pub(crate) report: File,
    pub(crate) warnings: Vec<String>,
    /// For an OCI runtime, with the container's own control group.
    pub(crate) outside: Option<(Outside, Option<String>)>,
}

struct Init {
    command: Prepared,
    /// What starts the command, if not the init itself.
    runtime: Option<Oci>,
    policy: RestartPolicy,
    status: Status,
    status_file: StatusFile,
    log: log::Writer,
    secrets: Redactor,
    care: Option<Care>,
    signals: OwnedFd,
    /// Reading and writing ends of the command's output and error output.
    pipes: [(PipeReader, OwnedFd); 2],
    stdin: OwnedFd,
    main: Option<Pid>,
    started: Instant,
    backoff: Duration,
    retry: Option<Instant>,
    stopping: bool,
    /// The command is to start anew whatever the policy says, and is killed then if it has not ended by itself.
    anew: Option<Instant>,
    _lock: OwnedFd,
    single: OneThread,
}

/// What a container with health checks has for them.
struct Care {
    checks: Checks,
    prober: Prober,
    running: Option<Running>,
    mark: Option<ReadyMark>,
}

/// Runs the container's command to its end. Never returns.
pub(crate) fn run(single: OneThread, spec: &ContainerSpec, handover: Handover) -> ! {
    let Handover { status, status_file, ready, log_directory, lock, mut report, warnings, outside } =
        handover;
    let log = log::Writer::new(log_directory, spec.log);
    let mut init = match Init::new(single, spec, (status, status_file, ready), log, lock, outside) {
        Ok(init) => init,
        Err(error) => fail(&mut report, error),
    };
    match init.start() {
        Ok(()) => {
            // From here on the container outlives its launcher.
            let _ = rustix::process::set_parent_process_death_signal(None);
            init.status_file.write(&init.status);
            tell(&mut report, &Report::Ready { warnings });
            drop(report);
        }
        Err(error) => {
            init.status.state = State::Failed;
            init.status.message = Some(error.to_string());
            init.status_file.write(&init.status);
            fail(&mut report, error)
        }
    }
    loop {
        init.turn();
    }
}

pub(crate) fn fail(report: &mut File, error: Error) -> ! {
    tell(report, &Report::Failed(error));
    sys::exit_now(1)
}

fn tell(report: &mut File, message: &Report) {
    if let Ok(text) = serde_json::to_vec(message) {
        let _ = report.write_all(&text);
    }
}

impl Init {
    fn new(
        single: OneThread,
        spec: &ContainerSpec,
        (status, status_file, mark): (Status, StatusFile, Option<ReadyMark>),
        log: log::Writer,
        lock: OwnedFd,
        outside: Option<(Outside, Option<String>)>,
    ) -> Result<Self> {
        let command = Prepared::new(spec)?;
        let runtime = match (&spec.runtime, outside) {
            (Some(program), Some((outside, group))) => {
                Some(Oci::new(spec, program, &command, outside, group.as_deref())?)
            }
            _ => None,
        };
        let signals = sys::signals_to_descriptor().during("receive", "signals")?;
        let pipe = || -> Result<(PipeReader, OwnedFd)> {
            let (reader, writer) = std::io::pipe().during("make", "a pipe")?;
            rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK).during("configure", "a pipe")?;
            // Commands reopen their output by /dev/stdout, which asks for permission anew.
            let user = command.user();
            let (uid, gid) =
                (rustix::process::Uid::from_raw(user.uid), rustix::process::Gid::from_raw(user.gid));
            let _ = rustix::fs::fchown(&writer, Some(uid), Some(gid));
            Ok((reader, writer.into()))
        };
        let pipes = [pipe()?, pipe()?];
        let stdin = File::open("/dev/null").during("open", "/dev/null")?.into();
        let care = spec.health.as_ref().map(|health| -> Result<Care> {
            let (checks, prober) = (Checks::new(health.clone(), Instant::now()), Prober::new(health, spec)?);
            Ok(Care { checks, prober, running: None, mark })
        });
        Ok(Self {
            command,
            runtime,
            policy: spec.restart,
            status,
            status_file,
            log,
            secrets: Redactor::new(&spec.secrets),
            care: care.transpose()?,
            signals,
            pipes,
            stdin,
            main: None,
            started: Instant::now(),
            backoff: backoff_min(&spec.restart),
            retry: None,
            stopping: false,
            anew: None,
            _lock: lock,
            single,
        })
    }

    /// Forks the command and waits until it has become its program.
    fn start(&mut self) -> Result<()> {
        let (mut failure, failure_writer) = std::io::pipe().during("make", "a pipe")?;
        match sys::fork(self.single).during("fork", "the command")? {
            Fork::Child => {
                let mut failure_writer = failure_writer;
                let error = self.become_command();
                let _ = failure_writer.write_all(&serde_json::to_vec(&error).unwrap_or_default());
                sys::exit_now(127)
            }
            Fork::Parent(pid) => {
                drop(failure_writer);
                let mut text = Vec::new();
                // The writing end closes when the program starts.
                failure.read_to_end(&mut text).during("hear from", "the command")?;
                if !text.is_empty() {
                    let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
                    let error = serde_json::from_slice(&text);
                    return Err(error.unwrap_or_else(|error| Error::Message(error.to_string())));
                }
                self.main = Some(pid);
                self.started = Instant::now();
                self.retry = None;
                self.status.state = State::Running;
                self.status.pid = Some(pid.as_raw_pid() as u32);
                self.status.started_ms = Some(now_ms());
                self.status.retry_ms = None;
                if let Some(care) = &mut self.care {
                    care.checks.restarted(Instant::now());
                    self.status.health = Some(care.checks.status().clone());
                }
                Ok(())
            }
        }
    }

    fn become_command(&self) -> Error {
        let _ = rustix::process::setsid();
        let [(_, stdout), (_, stderr)] = &self.pipes;
        let joined = rustix::stdio::dup2_stdin(&self.stdin)
            .and_then(|()| rustix::stdio::dup2_stdout(stdout))
            .and_then(|()| rustix::stdio::dup2_stderr(stderr));
        if let Err(error) = joined.during("connect the output of", "the command") {
            return error;
        }
        sys::default_signals();
        match &self.runtime {
            Some(runtime) => self.command.find().err().unwrap_or_else(|| runtime.run()),
            None => self.command.run(),
        }
    }

    /// Sleeps until something happens, and sees to it.
    fn turn(&mut self) {
        let timeout = self.deadline().map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        let mut polled = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.pipes[0].0, PollFlags::IN),
            PollFd::new(&self.pipes[1].0, PollFlags::IN),
        ];
        let check = self.care.as_ref().and_then(|care| care.running.as_ref());
        polled.extend(
            check.filter(|check| !check.is_silent()).map(|check| PollFd::new(&check.output, PollFlags::IN)),
        );
        let _ = rustix::event::poll(&mut polled, timeout.as_ref());
        let ready: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        for (number, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            if ready[number + 1] {
                self.read_output(number, stream);
            }
        }
        if ready.get(3) == Some(&true)
            && let Some(check) = self.care.as_mut().and_then(|care| care.running.as_mut())
        {
            check.listen();
        }
        if ready[0] {
            while let Some(signal) = sys::next_signal(&self.signals) {
                self.receive(signal);
            }
        }
        if self.retry.is_some_and(|retry| retry <= Instant::now()) {
            self.restart();
        }
        self.see_to_health(Instant::now());
        if let (Some(main), Some(at)) = (self.main, self.anew)
            && at <= Instant::now()
        {
            self.pass_on(main, libc::SIGKILL);
            self.anew = Some(Instant::now() + UNHEALTHY_GRACE);
        }
    }

    /// When something is to be done even if nothing happens.
    fn deadline(&self) -> Option<Instant> {
        let check = self.care.as_ref().filter(|_| self.main.is_some()).and_then(|care| match &care.running {
            Some(running) => running.deadline,
            None => Some(care.checks.due()),
        });
        let kill = self.anew.filter(|_| self.main.is_some());
        [self.retry, check, kill].into_iter().flatten().min()
    }

    /// Starts the check that is due, and ends the one that takes too long.
    fn see_to_health(&mut self, now: Instant) {
        let Some(care) = self.care.as_mut().filter(|_| self.main.is_some()) else { return };
        match &mut care.running {
            Some(running) if running.deadline.is_some_and(|deadline| deadline <= now) => {
                running.end(Duration::from_millis(care.checks.spec().timeout_ms.into()));
            }
            Some(_) => {}
            None if care.checks.due() <= now => match care.prober.start(self.single, now) {
                Ok(running) => care.running = Some(running),
                Err(error) => self.checked(Err(error.to_string())),
            },
            None => {}
        }
    }

    /// Takes what came of a check, tells it, and draws the consequence.
    fn checked(&mut self, outcome: std::result::Result<(), String>) {
        let Some(care) = &mut self.care else { return };
        let outcome = outcome
            .map_err(|message| String::from_utf8_lossy(&self.secrets.whole(message.as_bytes())).into_owned());
        let consequence = care.checks.outcome(Instant::now(), outcome);
        let status = care.checks.status().clone();
        if consequence.told {
            let ready = (status.state == Health::Healthy).then_some(self.status.init);
            let changed = self.status.health.as_ref().is_none_or(|before| before.state != status.state);
            if let Some(mark) = care.mark.as_ref().filter(|_| changed) {
                mark.set(ready);
            }
            self.status.health = Some(status);
            self.status_file.write(&self.status);
        }
        if let (true, None, Some(main)) = (consequence.restart, self.anew, self.main) {
            self.anew = Some(Instant::now() + UNHEALTHY_GRACE);
            self.pass_on(main, libc::SIGTERM);
        }
    }

    /// Nothing is known of a command that does not run.
    fn forget_health(&mut self) {
        if let Some(care) = &mut self.care {
            care.running = None;
            self.status.health = None;
            if let Some(mark) = &care.mark {
                mark.set(None);
            }
        }
    }

    fn read_output(&mut self, number: usize, stream: Stream) {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS_MAX {
            match self.pipes[number].0.read(&mut buffer) {
                Ok(read @ 1..) => self.log.take(stream, &self.secrets.pass(stream, &buffer[..read])),
                _ => break,
            }
        }
    }

    fn receive(&mut self, signal: i32) {
        match signal {
            libc::SIGCHLD => self.reap(),
            libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => {
                self.stopping = true;
                match self.main {
                    Some(main) => self.pass_on(main, signal),
                    None => self.end(State::Exited),
                }
            }
            libc::SIGHUP | libc::SIGUSR1 | libc::SIGUSR2 | libc::SIGWINCH | libc::SIGCONT => {
                if let Some(main) = self.main {
                    self.pass_on(main, signal);
                }
            }
            _ => {}
        }
    }

    fn pass_on(&self, main: Pid, signal: i32) {
        let _ = sys::kill_raw(main.as_raw_pid(), signal);
    }

    /// Buries every dead child: the command, a health check, and orphans that fell to process 1.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let Some(exit) = exit_of(status) else { continue };
            if Some(pid) == self.main {
                self.main = None;
                self.ended(exit);
            } else if let Some(care) = &mut self.care
                && let Some(running) = care.running.take_if(|running| running.pid == pid)
            {
                self.checked(running.outcome(exit));
            }
        }
    }

    fn ended(&mut self, exit: Exit) {
        self.status.exit = Some(exit);
        self.status.pid = None;
        self.status.ended_ms = Some(now_ms());
        // What the command left running ends with it; the next start finds an empty container.
        let _ = sys::kill_raw(-1, libc::SIGKILL);
        self.forget_health();
        let again = match self.policy.when {
            _ if self.anew.take().is_some() => true,
            Restart::Never => false,
            Restart::OnFailure => !exit.success(),
            Restart::Always => true,
        };
        if self.stopping || !again {
            self.end(State::Exited);
        }
        if self.policy.restarts_max.is_some_and(|most| self.status.restarts >= most) {
            self.status.message = Some(format!("gave up after {} restarts", self.status.restarts));
            self.end(State::Failed);
        }
        self.drain();
        self.back_off();
    }

    fn back_off(&mut self) {
        let longest = Duration::from_millis(self.policy.backoff_ms_max.max(1).into());
        if self.started.elapsed() > longest {
            self.backoff = backoff_min(&self.policy);
        }
        let pause = self.backoff.min(longest);
        self.backoff = (self.backoff * 2).min(longest);
        self.retry = Some(Instant::now() + pause);
        self.status.state = State::Backoff;
        self.status.retry_ms = Some(now_ms() + pause.as_millis() as u64);
        self.status_file.write(&self.status);
    }

    fn restart(&mut self) {
        self.status.restarts += 1;
        match self.start() {
            Ok(()) => self.status_file.write(&self.status),
            Err(error) => {
                self.started = Instant::now();
                self.status.message = Some(error.to_string());
                self.ended(Exit::Code(127));
            }
        }
    }

    /// The container's end: the kernel takes its processes, mounts and interfaces with process 1.
    fn end(&mut self, state: State) -> ! {
        self.drain();
        self.status.state = state;
        self.status_file.write(&self.status);
        sys::exit_now(self.status.exit.map_or(0, Exit::code) & 0xff)
    }

    /// Writes out what the pipes still hold: at most their capacity, since nobody is left to write.
    fn drain(&mut self) {
        for (number, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            self.read_output(number, stream);
            self.log.take(stream, &self.secrets.finish(stream));
        }
        self.log.finish();
    }
}

fn backoff_min(policy: &RestartPolicy) -> Duration {
    Duration::from_millis(policy.backoff_ms_min.max(1).into())
}

pub(crate) fn exit_of(status: WaitStatus) -> Option<Exit> {
    let code = status.exit_status().map(Exit::Code);
    code.or_else(|| status.terminating_signal().map(Exit::Signal))
}

/// Descriptors a container's first process keeps of what it inherited.
pub(crate) fn keep_only(kept: &[&dyn AsRawFd]) -> Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null").during("open", "/dev/null")?;
    rustix::stdio::dup2_stdin(null.as_fd())
        .and_then(|()| rustix::stdio::dup2_stdout(null.as_fd()))
        .and_then(|()| rustix::stdio::dup2_stderr(null.as_fd()))
        .during("connect", "/dev/null")?;
    let mut kept: Vec<RawFd> = kept.iter().map(|file| file.as_raw_fd()).collect();
    kept.extend([0, 1, 2]);
    drop(null);
    sys::close_all_but(&mut kept);
    Ok(())
}

/// Ends a process that must not outlive its parent as soon as the parent is gone.
pub(crate) fn die_with_parent(report: &File) {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // It may have gone before: then nobody reads the report.
    let mut polled = [PollFd::new(report, PollFlags::OUT)];
    let _ = rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    if polled[0].revents().contains(PollFlags::ERR) {
        sys::exit_now(1);
    }
}
