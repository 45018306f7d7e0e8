//! `weft softnic tcpdump`.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use miette::{IntoDiagnostic, miette};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::io::Errno;
use softnic::bess::{Client, pack, pb};
use tokio::signal::unix::{SignalKind, signal};

use super::{At, GateOf, duration, report};

/// Bytes taken from the FIFO at a time.
const CHUNK: usize = 64 << 10;

/// Write the packets that pass a gate to standard output, as tcpdump and tshark read them.
///
/// The daemon must run on this machine, under a user who may open our FIFO. A reader that is too slow misses packets; it
/// never holds up traffic. The hook is taken off the gate again however this ends, short of being killed by force.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft softnic tcpdump rules | tcpdump -nr -\n  \
                        weft softnic tcpdump rules:0 --duration 10s -w rules.pcap\n  \
                        weft softnic tcpdump rules --in | tshark -r -")]
pub(crate) struct Tcpdump {
    /// The module, and which of its gates (0 if none is given)
    #[arg(value_name = "MODULE[:GATE]")]
    gate: GateOf,
    /// An input gate, not an output gate
    #[arg(long = "in")]
    input: bool,
    /// Write a file
    #[arg(short, long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Stop after that time, such as 10s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    #[command(flatten)]
    at: At,
}

impl Tcpdump {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let client = self.at.connect()?;
        // Before there is anything to clean up.
        let end = end_at_signals()?;
        let mut out: Box<dyn Output> = match &self.write {
            Some(path) => {
                let file = File::create(path);
                Box::new(file.map_err(|error| miette!("{}: {error}", path.display()))?)
            }
            None => Box::new(io::stdout()),
        };
        let fifo = Fifo::new().into_diagnostic()?;
        let hooked = Hooked::put(client, &self.gate, self.input, &fifo.path)?;
        let due = self.duration.map(|duration| Instant::now() + duration);
        let copied = copy(&fifo.reader, &mut *out, &end, due);
        drop(hooked);
        match copied {
            Ok(true) => Ok(ExitCode::SUCCESS),
            Ok(false) => Err(miette!("the daemon has taken the hook off: the gate or the daemon is gone")),
            Err(error) => Err(miette!("writing: {error}")),
        }
    }
}

/// Where packets go.
trait Output: Write + AsFd {}
impl<T: Write + AsFd> Output for T {}

/// Copies until the end is signalled, nobody reads any more, or the time is over; false when the FIFO has ended first.
fn copy(mut fifo: &File, out: &mut dyn Output, end: &OwnedFd, due: Option<Instant>) -> io::Result<bool> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(true);
        }
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let (ready, over, gone) = {
            let descriptor = out.as_fd();
            let mut polled = [
                PollFd::new(fifo, PollFlags::IN),
                PollFd::new(end, PollFlags::IN),
                // Only whether its reader is gone.
                PollFd::new(&descriptor, PollFlags::empty()),
            ];
            match poll(&mut polled, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let [fifo, end, out] = polled.map(|one| one.revents());
            (!fifo.is_empty(), !end.is_empty(), out.intersects(PollFlags::ERR | PollFlags::HUP))
        };
        if over || gone {
            return Ok(true);
        }
        if !ready {
            continue;
        }
        match fifo.read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(count) => match out.write_all(&chunk[..count]).and_then(|()| out.flush()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(true),
                written => written?,
            },
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A FIFO in a directory of its own, which nobody else may open; both go with it.
struct Fifo {
    directory: PathBuf,
    path: PathBuf,
    reader: File,
}

impl Fifo {
    fn new() -> io::Result<Self> {
        let base = std::env::temp_dir();
        let directory = (0..100u32)
            .map(|number| base.join(format!("weft-tcpdump-{}-{number}", std::process::id())))
            .find_map(|path| match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => Some(Ok(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
                Err(error) => Some(Err(error)),
            })
            .unwrap_or_else(|| Err(io::Error::other("no temporary directory is to be had")))?;
        let path = directory.join("packets.pcap");
        let made = (|| {
            mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::open(&path, flags, Mode::empty())
        })();
        match made {
            Ok(reader) => Ok(Self { directory, path, reader: File::from(reader) }),
            Err(error) => {
                remove(&path, &directory);
                Err(error.into())
            }
        }
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        remove(&self.path, &self.directory);
    }
}

fn remove(path: &Path, directory: &Path) {
    // What is not there need not be removed.
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_dir(directory);
}

/// A hook on a gate of the daemon, taken off when this is dropped.
struct Hooked {
    client: Client,
    hook: pb::GateHookInfo,
}

impl Hooked {
    fn put(mut client: Client, of: &GateOf, input: bool, path: &Path) -> miette::Result<Self> {
        use pb::gate_hook_info::Gate;
        let gate = i64::from(of.gate);
        let arg = pb::TcpdumpArg { fifo: path.display().to_string(), ..Default::default() };
        let mut hook = pb::GateHookInfo {
            class_name: "TcpDump".to_owned(),
            module_name: of.module.clone(),
            gate: Some(if input { Gate::Igate(gate) } else { Gate::Ogate(gate) }),
            arg: Some(pack(&arg)),
            ..Default::default()
        };
        let request = pb::ConfigureGateHookRequest { hook: Some(hook.clone()), enable: true };
        hook.hook_name = client.configure_gate_hook(request).map_err(report)?.name;
        Ok(Self { client, hook })
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        let hook = Some(self.hook.clone());
        // A daemon that is gone has no hook either.
        let _ = self.client.configure_gate_hook(pb::ConfigureGateHookRequest { hook, enable: false });
    }
}

/// A descriptor that becomes readable at Ctrl-C or SIGTERM.
fn end_at_signals() -> miette::Result<OwnedFd> {
    let end = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).into_diagnostic()?;
    let ring = end.try_clone().into_diagnostic()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt()).into_diagnostic()?,
            signal(SignalKind::terminate()).into_diagnostic()?,
            signal(SignalKind::hangup()).into_diagnostic()?,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
        });
        // An eventfd that was just made takes a 1.
        let _ = rustix::io::write(&ring, &1u64.to_ne_bytes());
    });
    Ok(end)
}
