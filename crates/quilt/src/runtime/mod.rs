//! Running a blueprint on this machine: processes, their network, and the state that outlives a command.
//!
//! ```text
//!  weft up ──launches──▶ launcher ──▶ container  container  …      (each its own namespaces, eth0)
//!     │                                  │ TAP       │ TAP
//!     ├──gRPC──▶ dataplane ══════════════╧═══════════╧═══ eth0 ┐
//!     └──socket─▶ edge ◀── curl http://localhost:8080          ┘
//! ```
//!
//! Nothing runs in the background but what carries the deployment: the dataplane, the edge (only when ports are
//! published or links lead outside), the sandbox that holds their namespaces, and one init per container. A command reads the state
//! directory, looks which of these live, does its work and ends; killing one takes nothing down.

mod carriers;
pub mod edge;
mod error;
mod images;
mod launcher;
mod outside;
mod process;
mod publish;
mod ready;
mod record;
mod roles;
mod rolling;
mod spec;
mod start;
mod stop;
mod store;
mod up;
mod view;
mod watcher;

pub use error::{ContainerFailure, RuntimeError};
pub use images::{images, prune_images, remove_images};
pub use launcher::run as run_launcher;
pub use process::RoleContext;
pub use ready::NotReady;
pub use record::{Record, Unfinished};
pub use roles::{dataplane as run_dataplane, edge as run_edge, sandbox as run_sandbox};
pub use stop::{GRACE, Stopped, run as run_stopper, stop};
pub use store::{Deployment, Store};
pub use up::{Progress, Start, plan, up};
pub use view::{
    ContainerRow, Listing, PublishedRow, ServiceRow, dataplane, list, snapshot, state_name, this_machine,
};

pub(crate) use error::During;
