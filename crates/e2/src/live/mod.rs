//! A cluster that runs: processes, their wires, and what they are told.
//!
//! ```text
//!  namespace of the caller          namespace of s1              namespace of an instance of a legacy function
//!  ┌──────────────┐                ┌────────────────────────┐   ┌───────────────────────────┐
//!  │ switch ══════╪══ veth ════════╪ s1   firewall   cache ═╪═══╪ inside   nft, nginx …  outside │
//!  │  │ ports     │                │      (in it)           │   │                           │
//!  └──┴───────────┘                └────────────────────────┘   └───────────────────────────┘
//! ```
//!
//! The switch and every server are a software NIC, `weft softnic daemon`, and are told everything by BESS's interface: a server on another
//! machine would be told the same. What runs is held by processes alone: where a server's process ends, its namespace and its wires end
//! too. A directory holds the [record](Record): who they are, and what they were told last.
//!
//! A [`Manager`] moves ranges of hashes between instances and starts again what has died. All that it knows is in the record: it may be
//! killed at any time, and another goes on. A [`Watch`] is one that decides by itself when a function grows and shrinks.

mod building;
mod cluster;
mod event;
mod hold;
mod instances;
mod process;
mod record;
mod repair;
mod scaling;
mod site;
mod status;
mod watch;
mod wires;

use std::path::PathBuf;

use softnic::bess::ClientError;
use thiserror::Error;

use crate::deploy::DeployError;
use crate::policy::Faults;
use crate::scale::load::SettingsError;

pub use cluster::{Options, stop, up};
pub use event::Event;
pub use hold::hold;
pub use record::{HISTORY_MAX, Past, Record, Shifting, SiteRecord, Store};
pub use scaling::{Hears, Manager, Way};
pub use site::Site;
pub use status::{InstanceStatus, PortStatus, SiteStatus, Status, status};
pub use watch::{EVERY_MIN, Watch};

/// Why a cluster does not run as it should.
#[derive(Debug, Error)]
pub enum LiveError {
    /// What it is to be cannot be.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// What is written down is no policy any more.
    #[error("the policy that is written down: {0}")]
    Policy(Faults),
    /// A function that cannot have more instances, or less.
    #[error("`{function}` does not scale: {reason}")]
    Scale {
        /// Which.
        function: String,
        /// Why.
        reason: String,
    },
    /// Settings of a watch that make no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Somebody manages it.
    #[error("`{name}` is managed by {}: end that first", .by.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Managed {
        /// Which.
        name: String,
        /// By whom.
        by: Option<u32>,
    },
    /// Who started it has died on the way.
    #[error("`{0}` was never started to its end: `weft e2 stop {0}` takes away what there is of it")]
    Half(String),
    /// It runs already.
    #[error("`{0}` runs already: `weft e2 stop {0}` ends it")]
    Runs(String),
    /// It does not run.
    #[error("no policy `{name}` runs{}", if .known.is_empty() { String::new() } else { format!(": {} do", .known.join(", ")) })]
    Unknown {
        /// Its name.
        name: String,
        /// Those that do.
        known: Vec<String>,
    },
    /// A name that no directory can have.
    #[error("`{0}` cannot be a name: letters, digits, `-`, `_`, at most 63")]
    Name(String),
    /// A file.
    #[error("{}: {error}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the kernel says.
        error: std::io::Error,
    },
    /// The kernel, when asked for namespaces and wires.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// A process.
    #[error("{what}: {error}")]
    Process {
        /// Which.
        what: String,
        /// What the kernel says.
        error: std::io::Error,
    },
    /// A process that ends, or does not do what it is started for.
    #[error("{what} {problem}{}", if .said.is_empty() { String::new() } else { format!("; it said:\n{said}") })]
    Ended {
        /// Which.
        what: String,
        /// What it does or does not do.
        problem: &'static str,
        /// What it wrote.
        said: String,
    },
    /// A process of a site that has ended.
    #[error("{0} has died: `weft e2 watch` starts it again")]
    Died(String),
    /// A site refuses, or is gone.
    #[error("{site}: {error}")]
    Site {
        /// Which.
        site: String,
        /// Why.
        error: ClientError,
    },
    /// A site that has no such thing, or answers something else than was asked.
    #[error("{site} gives no answer to `{asked}`")]
    Answer {
        /// Which.
        site: String,
        /// What it was asked.
        asked: &'static str,
    },
}

impl LiveError {
    /// Whether a site has heard and said no; else it is gone.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Site { error: ClientError::Refused(_), .. })
    }

    /// Whether nobody listens to this manager any more: a later one has spoken.
    pub(crate) fn is_deposed(&self) -> bool {
        let busy = rustix::io::Errno::BUSY.raw_os_error();
        matches!(self, Self::Site { error: ClientError::Refused(failure), .. } if failure.code == busy)
    }
}
