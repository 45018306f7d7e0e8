//! `weft softnic daemon`, and the same under the name and flags of `bessd`.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use miette::{IntoDiagnostic, Report, miette};
use softnic::bess::process::{Begin, Options, ProcessError, State};
use softnic::bess::saving::{RestoreError, Restored};
use softnic::bess::{Bess, Config, Flavour, process};

use crate::commands::roles::Role;

/// Where BESS's clients look.
pub(super) const PORT: u16 = 10514;
/// Where BESS's clients look for the pid file.
const PID_FILE: &str = "/var/run/bessd.pid";
/// Packet buffers when nobody says how many.
pub(super) const BUFFERS: usize = 32768;
/// The first word of the line by which a daemon says that it serves.
const READY: &str = "ready";

/// Serve BESS's control interface, for bessctl, pybess and any gRPC client.
///
/// The process goes to the background once clients can connect. Called as `bessd` (a link of that name to weft), it takes
/// bessd's flags.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  weft softnic daemon --foreground --listen 127.0.0.1:10514\n  \
                        weft softnic daemon && weft softnic show pipeline")]
pub(crate) struct Daemon {
    /// The address that clients connect to
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT))]
    listen: SocketAddr,
    /// The file that holds the process's number and a lock
    #[arg(long, value_name = "FILE", default_value = PID_FILE)]
    pid_file: PathBuf,
    /// End a daemon that runs already
    #[arg(short = 'k', long)]
    kill: bool,
    /// Stay in the foreground
    #[arg(short = 'f', long)]
    foreground: bool,
    /// The core of the worker that is started when a client starts none
    #[arg(short = 'c', long, value_name = "CORE", default_value_t = 0)]
    core: usize,
    /// Packet buffers of 2 KiB
    #[arg(long, value_name = "COUNT", default_value_t = BUFFERS)]
    buffers: usize,
    /// Make them 64 KiB, for ports whose kernel hands over large segments uncut
    #[arg(long)]
    large: bool,
    /// Which line of clients is served; they differ in two limits
    #[arg(long, value_enum, default_value_t = Line::Netsys)]
    clients: Line,
    /// Write down what happens (WEFT_LOG says how much)
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Save what runs in this directory, and restore it at the start
    #[arg(long, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
    /// Forget what is saved there, and start empty
    #[arg(long, requires = "state")]
    forget: bool,
    /// Go on where the daemon ends that runs and saves there: what `weft softnic upgrade` starts
    #[arg(long, hide = true, requires = "state")]
    take_over: bool,
    /// Set in the process that serves
    #[arg(long, hide = true)]
    detached: bool,
}

/// A line of BESS's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Line {
    /// NetSys/bess: bursts of 32, NAT on one worker
    Netsys,
    /// omec-project/bess: bursts of 64, NAT on two workers
    Omec,
}

impl Daemon {
    pub(crate) fn run(&self) -> miette::Result<ExitCode> {
        if !self.foreground && !self.detached {
            return self.detach();
        }
        if self.detached {
            rustix::process::setsid().into_diagnostic()?;
        }
        self.write_log()?;
        // Any daemon may be a server of E2's.
        e2::plane::register(Role::FUNCTION).map_err(|failure| miette!("{}", failure.message))?;
        let options = Options {
            listen: Some(self.listen),
            pid_file: Some(self.pid_file.clone()),
            replace: self.kill,
            duration: None,
            config: self.config()?,
            state: self.state.clone().map(|directory| State { directory, begin: self.begin() }),
        };
        let detached = self.detached;
        let ready = move |address: SocketAddr| {
            if !detached {
                eprintln!("serving BESS's clients on {address}");
                return;
            }
            // The parent waits for this line; from then on nobody reads.
            println!("{READY} {address}");
            let _ = std::io::stdout().flush();
            release_output();
        };
        let start = |_: &Arc<Bess>, restored: Option<&Restored>| {
            if let (Some(restored), Some(State { directory, .. })) = (restored, &options.state) {
                let from = if self.take_over { "taken over" } else { "restored" };
                eprintln!("{from} from {}: {restored}", directory.display());
            }
            Ok::<(), ProcessError>(())
        };
        process::run(&options, start, ready).map_err(explained)?;
        Ok(ExitCode::SUCCESS)
    }

    /// One that takes over from the daemon that saves in a directory.
    pub(super) fn successor(state: PathBuf, log: Option<PathBuf>, buffers: usize, foreground: bool) -> Self {
        Self { state: Some(state), log, buffers, foreground, take_over: true, ..Self::plain() }
    }

    /// One without flags.
    fn plain() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
            pid_file: PID_FILE.into(),
            kill: false,
            foreground: false,
            core: 0,
            buffers: BUFFERS,
            large: false,
            clients: Line::Netsys,
            log: None,
            state: None,
            forget: false,
            take_over: false,
            detached: false,
        }
    }

    fn begin(&self) -> Begin {
        match (self.take_over, self.forget) {
            (true, _) => Begin::TakeOver,
            (false, true) => Begin::Forget,
            (false, false) => Begin::Restore,
        }
    }

    fn config(&self) -> miette::Result<Config> {
        let flavour = match self.clients {
            Line::Netsys => Flavour::NetSys,
            Line::Omec => Flavour::Omec,
        };
        let room = if self.large { packet::ROOM_GSO } else { packet::ROOM };
        Ok(Config { flavour, buffers: self.buffers, room, core: self.core, seed: super::seed()? })
    }

    fn write_log(&self) -> miette::Result<()> {
        let filter =
            tracing_subscriber::EnvFilter::try_from_env("WEFT_LOG").unwrap_or_else(|_| "info".into());
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
        match &self.log {
            Some(path) => {
                let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
                let file =
                    file.into_diagnostic().map_err(|error| error.wrap_err(path.display().to_string()))?;
                subscriber.with_writer(std::sync::Arc::new(file)).init();
            }
            None => subscriber.with_writer(std::io::stderr).init(),
        }
        Ok(())
    }

    /// Starts the process that serves, and waits until it does.
    fn detach(&self) -> miette::Result<ExitCode> {
        let program = std::env::current_exe().into_diagnostic()?;
        let mut command = std::process::Command::new(program);
        command.args(["softnic", "daemon", "--detached"]);
        command.arg("--listen").arg(self.listen.to_string()).arg("--pid-file").arg(&self.pid_file);
        command.arg("--core").arg(self.core.to_string()).arg("--buffers").arg(self.buffers.to_string());
        let clients = self.clients.to_possible_value().map(|value| value.get_name().to_owned());
        command.arg("--clients").arg(clients.unwrap_or_default());
        if self.large {
            command.arg("--large");
        }
        if self.kill {
            command.arg("--kill");
        }
        if let Some(log) = &self.log {
            command.arg("--log").arg(absolute(log)?);
        }
        if let Some(state) = &self.state {
            command.arg("--state").arg(absolute(state)?);
        }
        if self.forget {
            command.arg("--forget");
        }
        if self.take_over {
            command.arg("--take-over");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).current_dir("/");
        let mut child = command.spawn().into_diagnostic()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line).into_diagnostic()?;
        }
        match line.strip_prefix(READY) {
            Some(address) => {
                eprintln!("serving BESS's clients on {} (process {})", address.trim(), child.id());
                Ok(ExitCode::SUCCESS)
            }
            // It has said why.
            None => Ok(ExitCode::from(crate::FAILED)),
        }
    }

    /// Understands bessd's flags: `-k`, `-m 0`, `--grpc_url=…` and the rest, with one dash or two.
    ///
    /// # Errors
    /// A flag that bessd does not have, or a value that makes no sense.
    pub(crate) fn from_bessd(words: impl IntoIterator<Item = String>) -> miette::Result<Self> {
        // bessd starts empty; who wants to have this one go on says so where its clients need not know of it.
        let state = std::env::var_os("WEFT_BESS_STATE").filter(|state| !state.is_empty());
        let mut daemon = Self { state: state.map(PathBuf::from), ..Self::plain() };
        let (mut address, mut port, mut url) = (None, None, None);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
            let flag = flag.ok_or_else(|| miette!("bessd takes flags only, not `{word}`"))?;
            let (name, value) =
                flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value.to_owned())));
            let mut value =
                || value.clone().or_else(|| words.next()).ok_or_else(|| miette!("`{word}` needs a value"));
            let wrong = || miette!("`{word}`: the value makes no sense");
            match name {
                "k" => daemon.kill = true,
                "f" => daemon.foreground = true,
                "i" => daemon.pid_file = value()?.into(),
                "c" => daemon.core = value()?.parse().map_err(|_| wrong())?,
                "p" => port = Some(value()?.parse::<u16>().map_err(|_| wrong())?),
                "b" => address = Some(value()?),
                "grpc_url" => url = Some(value()?),
                "buffers" => daemon.buffers = value()?.parse().map_err(|_| wrong())?,
                // Huge pages are not asked for; DPDK and shared libraries are not there.
                "m" | "modules" | "iova" | "allow" | "a" => drop(value()?),
                "d" | "t" | "skip_root_check" | "noskip_root_check" | "core_dump" | "no_crashlog"
                | "dpdk" | "nodpdk" => {}
                _ => {
                    return Err(miette!(
                        help = "bessd -h is `weft softnic daemon --help`",
                        "bessd has no flag `{word}`"
                    ));
                }
            }
        }
        let host = address.unwrap_or_else(|| Ipv4Addr::LOCALHOST.to_string());
        let url = url.unwrap_or_else(|| format!("{host}:{}", port.unwrap_or(PORT)));
        daemon.listen = resolve(&url)?;
        if std::env::var_os("WEFT_BESS_CLIENTS").is_some_and(|line| line == "omec") {
            daemon.clients = Line::Omec;
        }
        Ok(daemon)
    }
}

/// A path that means the same to a process that runs elsewhere.
fn absolute(path: &Path) -> miette::Result<PathBuf> {
    std::path::absolute(path).into_diagnostic()
}

/// Why it did not run, and what to do about it.
fn explained(error: ProcessError) -> Report {
    let help = match &error {
        ProcessError::Restore(RestoreError::Flavour { .. }) => "--clients says whose clients are served",
        ProcessError::Restore(RestoreError::File { .. } | RestoreError::Refused { .. }) => {
            "nothing runs; --forget starts empty, another --state keeps the file as it is"
        }
        _ => return Report::msg(error),
    };
    miette!(help = help, "{error}")
}

/// Lets go of standard output and standard error, as those who started us may wait for their end.
fn release_output() {
    if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

/// An address with its port, by name or number.
pub(super) fn resolve(url: &str) -> miette::Result<SocketAddr> {
    use std::net::ToSocketAddrs;
    let found = url.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.ok_or_else(|| miette!("`{url}` is not ADDRESS:PORT"))
}
