//! The typed model every dialect is lowered into.
//!
//! A [`Blueprint`] is plain data: it can be compared, stored as JSON and read back. Nothing in it knows
//! which dialect of JavaScript it was written in. Values that came from a script are only *shaped* here
//! (a port is a `u16`); whether they make sense together is decided by [`crate::check`].

mod dynamics;
mod emulated;
mod function;
mod image;
mod invariant;
mod machine;
mod placement;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use dynamics::{Health, Probe, READY_WITHIN_MS, Update};
pub use emulated::{EmulatedLink, LinkShape};
pub use function::{Affinity, NetworkFunction};
pub use image::{BuiltImage, Image, OciImage, Recipe};
pub use invariant::{Claim, Invariant};
pub use machine::{Floating, Machine, Machines, Role};
pub use placement::{MachineKind, Placement, PlacementRule};
/// What a link allows and how everything else is turned away: as the dataplane has it.
pub use softnic::fabric::program::{Denied, Protocol};

/// What one blueprint asks for: containers, the names they hide behind, and who may talk to whom.
///
/// Everything not named by a [`Link`] or a [`Publish`] is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blueprint {
    /// Name of the deployment, a DNS label; state directories and process titles carry it.
    pub name: String,
    /// What a sender sees when its packet is not allowed.
    pub denied: Denied,
    /// Containers in the order the script made them.
    pub containers: Vec<Container>,
    /// Services in the order the script made them.
    pub services: Vec<Service>,
    /// Allowed connections.
    pub links: Vec<Link>,
    /// Ports of the host that lead into the deployment.
    pub publishes: Vec<Publish>,
    /// Links between parties that are emulated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emulated: Vec<EmulatedLink>,
    /// Network functions that links go through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<NetworkFunction>,
    /// What the author expects of the network, proved before anything runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invariants: Vec<Invariant>,
    /// Which containers may run on which machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placements: Vec<Placement>,
    /// Further host names, and the container or service that each is a name of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, String>,
    /// What the images are built from that weft builds, by their digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recipes: BTreeMap<String, Recipe>,
    /// Machines that it asks a cloud for.
    #[serde(default, skip_serializing_if = "Machines::is_empty")]
    pub machines: Machines,
}

impl Blueprint {
    /// The container called `name`.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The service called `name`.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The containers a party stands for: itself, the members of a service, or none for the internet.
    pub fn members<'a>(&'a self, party: &'a Party) -> Vec<&'a str> {
        match party {
            Party::Container(name) => vec![name.as_str()],
            Party::Service(name) => self
                .service(name)
                .map(|service| service.members.iter().map(String::as_str).collect())
                .unwrap_or_default(),
            Party::PublicInternet => Vec::new(),
        }
    }
}

/// One program in its own namespaces, with one address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Unique host name, a DNS label (RFC 1123 section 2.1).
    pub name: String,
    /// Where the root file system comes from.
    pub image: Image,
    /// Program and arguments; the program is looked up in the container's `PATH`.
    pub command: Vec<String>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Text>,
    /// Files written before the program starts: absolute path to content.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Text>,
    /// Directories of the host, or kept between runs, seen inside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Absolute path the program starts in; `/` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// User the program runs as (`name`, `uid` or `uid:gid`); root of the container without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Upper bounds, enforced where the kernel lets us.
    #[serde(default, skip_serializing_if = "Limits::is_unlimited")]
    pub limits: Limits,
    /// What happens when the program ends.
    #[serde(default)]
    pub restart: Restart,
    /// How it is found out whether it does its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// What must be ready before it is started: containers, or all containers of a service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Party>,
    /// How long it may take from its start until it is ready, in milliseconds; [`READY_WITHIN_MS`] without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_within_ms: Option<u32>,
    /// Where the script made it.
    pub span: Span,
}

impl Container {
    /// A hexadecimal fingerprint of everything that decides how the container runs (so without the span, and without
    /// what only decides when it is started): equal containers have equal fingerprints, in every version of weft that
    /// keeps the model.
    pub fn fingerprint(&self) -> String {
        let plain = Container {
            span: Span::default(),
            depends_on: Vec::new(),
            ready_within_ms: None,
            ..self.clone()
        };
        let json = serde_json::to_vec(&plain).unwrap_or_default();
        // FNV-1a, 128 bit: http://www.isthe.com/chongo/tech/comp/fnv/
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        for byte in json {
            hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
        format!("{hash:032x}")
    }
}

/// A string of the blueprint, or the name of a secret that is looked up when the container starts.
///
/// The value of a secret is never part of a blueprint, so it cannot leak into plans, listings or state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// The text itself.
    Plain(String),
    /// A secret, by name.
    Secret {
        /// Name as the blueprint wrote it.
        secret: String,
    },
}

impl Text {
    /// The text, with a secret looked up by its name; the name of the secret when there is none.
    pub fn resolve(&self, lookup: impl FnOnce(&str) -> Option<String>) -> Result<Cow<'_, str>, &str> {
        match self {
            Text::Plain(text) => Ok(Cow::Borrowed(text)),
            Text::Secret { secret } => lookup(secret).map(Cow::Owned).ok_or(secret.as_str()),
        }
    }

    /// The environment variable of the `weft` command that holds the secret `name`:
    /// `WEFT_SECRET_` and the name in capitals, with `_` for everything but letters and digits.
    ///
    /// ```
    /// assert_eq!(quilt::model::Text::secret_variable("db-password"), "WEFT_SECRET_DB_PASSWORD");
    /// ```
    pub fn secret_variable(name: &str) -> String {
        let name = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
        "WEFT_SECRET_".chars().chain(name).collect()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text::Plain(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text::Plain(text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text::Plain(text) => f.write_str(text),
            Text::Secret { secret } => write!(f, "(secret {secret})"),
        }
    }
}

/// A directory seen inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Absolute path inside the container.
    pub target: String,
    /// Whether the container may only read it.
    #[serde(default)]
    pub read_only: bool,
}

/// What a [`Mount`] shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountSource {
    /// An existing path of the host, absolute.
    Host(String),
    /// A directory of this name that weft keeps beside the deployment's state and that outlives containers.
    Named(String),
}

/// Upper bounds of one container; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processor time, in thousandths of one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<u32>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
}

impl Limits {
    /// Whether nothing is bounded.
    pub fn is_unlimited(&self) -> bool {
        *self == Limits::default()
    }
}

/// What happens when a container's program ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// It is started again, with growing pauses.
    #[default]
    Always,
    /// It is started again if it failed.
    OnFailure,
    /// It stays ended.
    Never,
}

/// One name and one virtual address for several containers; connections are spread over them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Host name of the service, in the same name space as the containers.
    pub name: String,
    /// Names of the containers behind it, in order.
    pub members: Vec<String>,
    /// How its members are replaced; all at once without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Update>,
    /// Where the script made it.
    pub span: Span,
}

/// One end of a [`Link`] or [`Publish`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// A container, by name.
    Container(String),
    /// A service, by name: as a destination its virtual address and every member, as a source every member.
    Service(String),
    /// Everything outside the deployment.
    PublicInternet,
}

impl Party {
    /// The name as the network shows it.
    pub fn name(&self) -> &str {
        match self {
            Party::Container(name) | Party::Service(name) => name,
            Party::PublicInternet => "public internet",
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Ports `min` to `max`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ports {
    /// Lowest port.
    pub min: u16,
    /// Highest port.
    pub max: u16,
}

impl Ports {
    /// A single port.
    pub const fn one(port: u16) -> Ports {
        Ports { min: port, max: port }
    }

    /// Whether `port` is among them.
    pub const fn contains(self, port: u16) -> bool {
        self.min <= port && port <= self.max
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{}-{}", self.min, self.max) }
    }
}

/// `from` may open connections to `to` on these ports; replies pass, nothing else comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Who connects: a container or (every member of) a service.
    pub from: Party,
    /// Who is connected to.
    pub to: Party,
    /// Destination ports.
    pub ports: Ports,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Network functions that its packets pass, from who connects to who is connected to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
    /// Where the script allowed it.
    pub span: Span,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}:{}", self.from, self.to, self.ports)?;
        if self.protocol != Protocol::Any {
            write!(f, "/{}", self.protocol)?;
        }
        led(f, &self.through)
    }
}

/// A port of the host that leads to a container or service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Who answers: a container or a service.
    pub to: Party,
    /// Port on the host.
    pub host_port: u16,
    /// Port of the container or service.
    pub container_port: u16,
    /// `Tcp` or `Udp`, never `Any` (the checks see to it).
    pub protocol: Protocol,
    /// Network functions that its packets pass, from outside in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
    /// Where the script published it.
    pub span: Span,
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}:{}/{}", self.host_port, self.to, self.container_port, self.protocol)?;
        led(f, &self.through)
    }
}

/// What something goes through, behind what it is.
fn led(f: &mut fmt::Formatter<'_>, through: &[String]) -> fmt::Result {
    if through.is_empty() { Ok(()) } else { write!(f, " through {}", through.join(", ")) }
}

/// A place in a source file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// File name as given on the command line, or relative to the blueprint's directory.
    pub file: String,
    /// Line, from 1; 0 means unknown.
    pub line: u32,
    /// Column in characters, from 1; 0 means unknown.
    pub column: u32,
    /// Byte offset in the file.
    pub offset: usize,
    /// Length in bytes.
    pub len: usize,
}

impl Span {
    /// Whether the place is known.
    pub fn is_known(&self) -> bool {
        self.line != 0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_known(), self.file.as_str()) {
            (true, file) => write!(f, "{file}:{}:{}", self.line, self.column),
            (false, "") => f.write_str("unknown place"),
            (false, file) => f.write_str(file),
        }
    }
}
