//! `weft softnic upgrade`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::daemon::{BUFFERS, Daemon};

/// Go on in a new process where a running daemon ends, such as after weft itself was replaced.
///
/// Ports, connections, the tables of NAT and all that clients have built go to the new process; packets wait in the kernel
/// for a few milliseconds meanwhile. When anything goes wrong, the daemon that runs goes on.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft softnic daemon --state /tmp/weft-softnic --pid-file /tmp/weft-softnic.pid\n  \
                        weft softnic upgrade --state /tmp/weft-softnic"
)]
pub(crate) struct Upgrade {
    /// The directory in which the daemon saves what it runs
    #[arg(long, value_name = "DIRECTORY")]
    state: PathBuf,
    /// Packet buffers of 2 KiB
    #[arg(long, value_name = "COUNT", default_value_t = BUFFERS)]
    buffers: usize,
    /// Stay in the foreground
    #[arg(short = 'f', long)]
    foreground: bool,
    /// Write down what happens (WEFT_LOG says how much)
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

impl Upgrade {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        Daemon::successor(self.state.clone(), self.log.clone(), self.buffers, self.foreground).run()
    }
}
