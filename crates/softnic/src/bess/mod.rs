//! BESS's control interface: `bess.pb.BESSControl`, as the clients of NetSys's BESS and of omec's speak it.
//!
//! ```text
//!   bessctl, pybess ── gRPC ──► server ──► control ──► engine
//!                                            │ modules: one face per class, arguments and commands
//!                                            │ drivers: ports under BESS's names
//!                                            └ placement: which worker each module belongs to
//! ```
//!
//! Compatibility ends here: below, modules, traffic classes and hooks know nothing of protobuf or errno. What differs:
//!
//! - **Nothing needs a pause.** `PauseAll` pauses, because clients ask for it; no command and no edit does by itself.
//! - **A module has one worker.** BESS runs a module on every worker whose tasks lead to it, and leaves it to the module
//!   to be thread-safe. Here packets of other workers come through a ring, in order; see [`placement`].
//! - **Errors** travel in the answer, as they do there; the sentences are ours.

pub mod class;
mod client;
mod control;
mod drivers;
mod face;
mod failure;
mod handover;
mod modules;
mod placement;
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod pb {
    tonic::include_proto!("bess.pb");
}
pub mod process;
pub mod saving;
mod server;

pub use client::{Client, ClientError, pack};
pub use control::{Bess, Config};
pub use face::{End as TraceEnd, Exit as TraceExit, Step as TraceStep, TraceReply, TraceRequest};
pub use failure::Failure;
pub use handover::HandoverError;
pub use server::{CallError, ServeError, serve};

/// The message that creates a module of a class.
pub fn argument_of(class: &str) -> Option<&'static str> {
    modules::find(class).map(|class| class.arg)
}

/// The message that a command of a class takes.
pub(crate) fn command_argument_of(class: &str, command: &str) -> Option<&'static str> {
    let commands = modules::find(class)?.commands;
    commands.iter().find(|known| known.name == command).map(|command| command.arg)
}

/// What the names of a class's modules begin with when they are given none.
pub(crate) fn name_template(class: &str) -> String {
    match modules::find(class) {
        Some(class) if !class.template.is_empty() => class.template.to_owned(),
        _ => class::template(class),
    }
}

/// Whether there is a port driver of that name.
pub(crate) fn has_driver(name: &str) -> bool {
    drivers::DRIVERS.iter().any(|driver| driver.name == name)
}

/// The schema of the interface, an encoded `FileDescriptorSet`.
pub const SCHEMA: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bess.bin"));

/// Which line of clients is served; they differ in two limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// NetSys's BESS: bursts of 32, NAT on one worker.
    #[default]
    NetSys,
    /// omec's BESS, the dataplane of a 5G core: bursts of 64, NAT on two workers.
    Omec,
}

impl Flavour {
    /// The largest burst that a client may ask for.
    pub fn burst_max(self) -> u64 {
        match self {
            Self::NetSys => 32,
            Self::Omec => 64,
        }
    }

    /// How many workers may lead to a module of a class, if that is limited.
    pub(crate) fn workers_max(self, class: &str) -> Option<usize> {
        match class {
            "NAT" if self == Self::Omec => Some(2),
            "ArpResponder" | "Buffer" | "Dump" | "NAT" | "RoundRobin" | "StaticNAT" | "UrlFilter" => Some(1),
            _ => None,
        }
    }
}
