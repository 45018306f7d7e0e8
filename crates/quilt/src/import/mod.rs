//! Other systems' files as blueprints, with the least policy that they need.
//!
//! ```text
//!  compose file ──compose──┐
//!                          ├──▶ Draft ──▶ blueprint in weft's own dialect
//!  manifests ──kubernetes──┘
//! ```
//!
//! What a file *allows* is usually far more than what its programs *need*: in a compose file everyone may talk to
//! everyone. A link is drafted where the file shows a need: one container waits for the other, or its environment,
//! command or files name the other as a host. Every link says why it is there, so that an author can judge it.

pub mod compose;
mod dynamics;
pub mod kubernetes;
mod needs;
mod write;

use std::collections::BTreeMap;

use crate::model::{Health, Ports, Protocol, Restart, Text};

pub use write::write;

/// A blueprint that is about to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// Name of the deployment.
    pub name: String,
    /// What it was made from.
    pub origin: String,
    /// Its containers, in order.
    pub containers: Vec<Container>,
    /// Names for several containers, or second names for one.
    pub services: Vec<(String, Vec<String>)>,
    /// Its links.
    pub links: Vec<Link>,
    /// Its published ports: to whom, port of the host, port inside, protocol.
    pub publishes: Vec<(String, u16, u16, Protocol)>,
    /// What is lost or has to be looked at.
    pub notes: Vec<String>,
}

/// A container of a draft.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image; the host's own files without.
    pub image: Option<String>,
    /// What its image is built from; then `image` is only what it is called.
    pub build: Option<Built>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, Text>,
    /// Files.
    pub files: BTreeMap<String, Text>,
    /// Paths inside, the volume or path of the host that is seen there, and whether it can only be read.
    pub mounts: BTreeMap<String, (Source, bool)>,
    /// User it runs as.
    pub user: Option<String>,
    /// Directory it starts in.
    pub workdir: Option<String>,
    /// Most memory.
    pub memory: Option<String>,
    /// Most processor time, in cores.
    pub cpu: Option<f64>,
    /// Most processes.
    pub pids: Option<u32>,
    /// What happens when it ends.
    pub restart: Restart,
    /// How it is found out whether it does its work.
    pub health: Option<Health>,
    /// Names of what must be ready before.
    pub depends_on: Vec<String>,
    /// How many there are.
    pub replicas: u32,
}

/// What an image is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// The directory that COPY takes from.
    pub context: String,
    /// Values for ARG.
    pub args: BTreeMap<String, String>,
    /// The stage that is wanted; the last one without.
    pub target: Option<String>,
}

/// A Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dockerfile {
    /// Its path.
    File(String),
    /// Its text.
    Text(String),
}

/// What is seen at a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path of the host.
    Host(String),
    /// A volume.
    Named(String),
}

/// A link of a draft.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Who connects; `None` is everyone outside as a destination only.
    pub from: String,
    /// To whom; `None` is the public internet.
    pub to: Option<String>,
    /// On which ports.
    pub ports: Ports,
    /// Over which protocol.
    pub protocol: Protocol,
    /// What shows that it is needed.
    pub why: String,
}

impl Draft {
    fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Adds a link unless the same one is there; then it gets one more reason.
    fn link(&mut self, link: Link) {
        let same = |other: &&mut Link| {
            other.from == link.from
                && other.to == link.to
                && other.ports == link.ports
                && other.protocol == link.protocol
        };
        match self.links.iter_mut().find(same) {
            Some(known) if known.why.split(", ").any(|why| why == link.why) => {}
            Some(known) => known.why = format!("{}, {}", known.why, link.why),
            None => self.links.push(link),
        }
    }
}

/// A name as a DNS label.
fn label(name: &str) -> String {
    let label: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(63)
        .collect();
    let label = label.trim_matches('-');
    match label {
        "" => "x".into(),
        "localhost" | "gateway" => format!("{label}-x"),
        label if label.chars().all(|c| c.is_ascii_digit()) => format!("x{label}"),
        label => label.into(),
    }
}
