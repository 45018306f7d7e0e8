//! The paths under test: each joins a client and a server, and tells how to run programs at both ends.

mod bridge;
mod ovs;
mod weft;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::error::{Error, Result};
use crate::namespace::Namespace;
use crate::process::{Running, require, run, start};

pub(crate) use weft::{Weft, state_variable};

/// Address of the client where we choose it.
pub(crate) const CLIENT: &str = "10.77.0.1/24";
/// Address of the server where we choose it.
pub(crate) const SERVER: &str = "10.77.0.2/24";
/// How long a path may take until its first connection passes.
const SETTLE: Duration = Duration::from_secs(15);

/// One end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// The paths there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A kernel bridge between two veth pairs
    Bridge,
    /// Open vSwitch's userspace datapath on two veth pairs
    OvsVeth,
    /// Open vSwitch's userspace datapath on two TAP devices of its own
    OvsTap,
    /// The same on veth pairs, with userspace-tso-enable=true
    OvsVethTso,
    /// The same on TAP devices, with userspace-tso-enable=true
    OvsTapTso,
    /// weft's dataplane between two containers
    Weft,
}

/// All of them, in the order they are shown.
pub(crate) const ALL: [Kind; 6] =
    [Kind::Bridge, Kind::OvsVeth, Kind::OvsTap, Kind::OvsVethTso, Kind::OvsTapTso, Kind::Weft];

impl Kind {
    /// Its name in tables and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::OvsVeth => "ovs-veth",
            Self::OvsTap => "ovs-tap",
            Self::OvsVethTso => "ovs-veth-tso",
            Self::OvsTapTso => "ovs-tap-tso",
            Self::Weft => "weft",
        }
    }

    /// Programs it needs.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Bridge => &["ip", "iperf3"],
            Self::Weft => &["iperf3"],
            _ => &["ip", "iperf3", "ethtool", "ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl"],
        }
    }

    /// Builds the path, and waits until a connection passes.
    pub(crate) fn build(self, directory: &Path, weft: &Path) -> Result<Box<dyn Peer>> {
        for program in self.programs() {
            require(program)?;
        }
        let ovs = |port, offload| ovs::Ovs::new(self, directory, port, offload);
        let peer: Box<dyn Peer> = match self {
            Self::Bridge => Box::new(bridge::Bridge::new()?),
            Self::OvsVeth => Box::new(ovs(ovs::Port::Veth, false)?),
            Self::OvsTap => Box::new(ovs(ovs::Port::Tap, false)?),
            Self::OvsVethTso => Box::new(ovs(ovs::Port::Veth, true)?),
            Self::OvsTapTso => Box::new(ovs(ovs::Port::Tap, true)?),
            Self::Weft => Box::new(Weft::new(directory, weft)?),
        };
        settle(peer.as_ref())?;
        Ok(peer)
    }
}

/// A path between a client and a server that runs `iperf3 -s`.
pub(crate) trait Peer {
    /// Which it is.
    fn kind(&self) -> Kind;
    /// A command that runs a program at one end.
    fn command(&self, side: Side, program: &str) -> Command;

    /// The same with every privilege over the side's network, for tools that watch it or change its settings.
    fn admin(&self, side: Side, program: &str) -> Result<Command> {
        Ok(self.command(side, program))
    }

    /// How the client calls the server.
    fn server(&self) -> &str {
        SERVER.trim_end_matches("/24")
    }
    /// Where this very program lies at both ends.
    fn interop(&self) -> PathBuf {
        this_program()
    }

    /// The named network namespace of one end, where there is one.
    fn namespace(&self, _side: Side) -> Option<&Namespace> {
        None
    }

    /// The processes that move packets; none where the kernel does.
    fn dataplane(&self) -> Vec<u32>;
}

/// Where this very program lies.
pub(crate) fn this_program() -> PathBuf {
    PathBuf::from("/proc/self/exe").read_link().unwrap_or_else(|_| "interop".into())
}

/// Two namespaces for a path that does not bring its own, with the server running.
struct Ends {
    client: Namespace,
    server: Namespace,
    _iperf: Option<Running>,
}

impl Ends {
    fn new(letter: char) -> Result<Self> {
        let client = Namespace::new(&format!("{letter}c"))?;
        let server = Namespace::new(&format!("{letter}s"))?;
        Ok(Self { client, server, _iperf: None })
    }

    fn serve(&mut self) -> Result<()> {
        self._iperf = Some(start(self.server.command("iperf3").arg("-s"))?);
        Ok(())
    }

    fn of(&self, side: Side) -> &Namespace {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    fn command(&self, side: Side, program: &str) -> Command {
        self.of(side).command(program)
    }
}

/// Tries until a short connection passes: addresses learned, server listening.
fn settle(peer: &dyn Peer) -> Result<()> {
    let started = Instant::now();
    loop {
        let mut command = peer.command(Side::Client, "iperf3");
        command.args(["-4", "-c", peer.server(), "-n", "1M", "--connect-timeout", "1000"]);
        match run(&mut command, Duration::from_secs(5)) {
            Ok(_) => return Ok(()),
            Err(error) if started.elapsed() > SETTLE => {
                let what = format!("no connection passes: {error}");
                return Err(Error::Peer { peer: peer.kind().name().into(), what });
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
