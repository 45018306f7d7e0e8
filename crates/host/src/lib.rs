//! **host**: Linux plumbing. Runs containers as root or as an ordinary user, with no daemon and no image
//! registry: namespaces, an overlay over the host's own root, cgroups of any version, one interface,
//! and a small init that supervises the command and writes its log.
//!
//! ```text
//!  caller ──▶ helper (one thread)          STATE/containers/web-1/
//!              │ clone3                       journal.json  status.json  log/output.log
//!              ▼                                        ▲
//!  ┌─ container web-1 ──────────────────────────────────┼──┐
//!  │ 1  weft:web-1 (init) ─ restarts, reaps, writes ────┘  │
//!  │ 2  └ the command                                      │
//!  │ /  overlay over the host's /      eth0 ═══════════════╪══ TAP → dataplane
//!  └───────────────────────────────────────────────────────┘   (or a veth peer)
//! ```
//!
//! Everything that outlives a process is in the state directory; everything else (namespaces, mounts,
//! interfaces) is held by processes only and ends with them. So there is nothing to be found again but
//! two facts, and [`Status::observe`] joins them: what is written, and who lives.
//!
//! # Example
//!
//! A container that says where it is. Launching forks, so it wants a process with one thread; see
//! [`helper`] for how a larger program gets one.
//!
//! ```no_run
//! use host::{ContainerSpec, Deployment, Sandbox, Status, StopOptions};
//!
//! # fn main() -> Result<(), host::Error> {
//! Sandbox::detect().create_here()?; // a user namespace, unless this is root
//! let state = std::path::Path::new("/tmp/weft-doc");
//! let spec = ContainerSpec::new("doc", state, "hello", &["sh", "-c", "hostname; sleep 60"]);
//! host::launch([spec], |_, _| Ok(()), |_, outcome| println!("{outcome:?}"))?;
//! let container = Deployment::new(state).container("hello");
//! assert!(Status::observe(&container)?.is_some_and(|status| status.is_live()));
//! for line in host::log::read(&container).unwrap_or_default() {
//!     println!("{}", String::from_utf8_lossy(&line.text));
//! }
//! host::stop(&container, StopOptions::default())?;
//! # Ok(()) }
//! ```

pub mod cgroup;
pub mod confine;
pub mod cycles;
pub mod helper;
pub mod link;
pub mod log;
pub mod netns;
pub mod network;
pub mod tap;

mod command;
mod devices;
mod error;
mod exec;
mod health;
mod init;
mod inside;
mod launch;
mod layout;
mod lower;
mod mounts;
mod oci;
mod probe;
mod process;
mod redact;
mod root;
mod sandbox;
mod skeleton;
mod spec;
mod status;
mod stop;
mod sys;
mod user;

pub use command::DEFAULT_PATH;
pub use error::{Error, Result};
pub use exec::{ExecSpec, exec};
pub use health::{Health, HealthSpec, HealthStatus, Probe};
pub use inside::inside;
pub use launch::{Launched, launch};
pub use layout::{Container, Deployment, Journal, Written};
pub use process::{ProcessId, close_inherited};
pub use redact::SECRET_BYTES_MIN;
pub use sandbox::{Enter, Holder, Sandbox, in_first_user_namespace};
pub use spec::{
    Capabilities, ContainerSpec, Content, ENTRIES_MAX, FILES_BYTES_MAX, FileSpec, INTERFACE_NAME_BYTES_MAX,
    LAYERS_MAX, Limits, LogSpec, Mac, MountSpec, NAME_BYTES_MAX, NetworkKind, NetworkSpec, Restart,
    RestartPolicy, RootSpec,
};
pub use status::{Exit, State, Status};
pub use stop::{StopOptions, remove_tree, stop, stop_many};
pub use user::{User, find as find_user};
