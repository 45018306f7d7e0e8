//! What a container is made from. Plain data: it travels as JSON to the process that launches.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::health::HealthSpec;
use crate::process::ProcessId;

/// Longest name of a container or deployment.
pub const NAME_BYTES_MAX: usize = 63;
/// Longest name of an interface (`IFNAMSIZ` in linux/if.h, less the terminating zero).
pub const INTERFACE_NAME_BYTES_MAX: usize = 15;
/// Most files, mounts or hidden paths of one container.
pub const ENTRIES_MAX: usize = 1024;
/// Largest total size of the files of one container.
pub const FILES_BYTES_MAX: usize = 64 << 20;

/// Most layers of a root: the kernel takes 4,095 bytes of options for one mount.
pub const LAYERS_MAX: usize = 100;

/// Everything needed to start one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The deployment it belongs to; names its cgroups.
    pub deployment: String,
    /// Directory of the deployment's state; the container keeps its own below `containers/NAME`.
    pub state: PathBuf,
    /// Its name, unique in the deployment.
    pub name: String,
    /// What `hostname` prints inside.
    pub hostname: String,
    /// Program and arguments. A program without a slash is looked up in the container's `PATH`.
    pub command: Vec<String>,
    /// Environment, on top of `PATH`, `HOME` and `HOSTNAME`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Working directory.
    #[serde(default = "root_path")]
    pub cwd: PathBuf,
    /// User name, `uid` or `uid:gid`; root when absent.
    #[serde(default)]
    pub user: Option<String>,
    /// Files written into the root before the command starts.
    #[serde(default)]
    pub files: BTreeMap<PathBuf, FileSpec>,
    /// Host paths shown inside.
    #[serde(default)]
    pub mounts: Vec<MountSpec>,
    /// Where its root comes from.
    #[serde(default)]
    pub root: RootSpec,
    /// Host directories covered by an empty, read-only directory. The deployment's state is always hidden.
    #[serde(default)]
    pub hide: Vec<PathBuf>,
    /// Limits on memory, processor and processes.
    #[serde(default)]
    pub limits: Limits,
    /// The one interface, `eth0`; only loopback when absent.
    #[serde(default)]
    pub network: Option<NetworkSpec>,
    /// Content of `/etc/resolv.conf`; the host's when absent.
    #[serde(default)]
    pub resolv_conf: Option<String>,
    /// Content of `/etc/hosts`; the host's when absent.
    #[serde(default)]
    pub hosts: Option<String>,
    /// What happens when the command ends.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// How it is found out whether it does its work; a container that runs does when absent.
    #[serde(default)]
    pub health: Option<HealthSpec>,
    /// Values that its kept output must not show, each with the name that stands there instead. No part of the journal.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// How much output is kept.
    #[serde(default)]
    pub log: LogSpec,
    /// Which capabilities the command may hold.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Whether set-uid programs lose their effect (`PR_SET_NO_NEW_PRIVS`).
    #[serde(default)]
    pub no_new_privs: bool,
    /// An OCI runtime of the host (runc, crun) that starts the command; the init does so itself when absent.
    #[serde(default)]
    pub runtime: Option<PathBuf>,
}

fn root_path() -> PathBuf {
    PathBuf::from("/")
}

/// A file put into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Its content.
    pub content: Content,
    /// Its permission bits.
    #[serde(default = "file_mode")]
    pub mode: u32,
}

fn file_mode() -> u32 {
    0o644
}

/// Bytes of a file: text stays readable in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl Content {
    /// The bytes themselves.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::Text)
    }
}

/// A host path shown inside a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// File or directory on the host.
    pub source: PathBuf,
    /// Where it appears; made when it does not exist.
    pub target: PathBuf,
    /// Whether the container may write to it.
    #[serde(default)]
    pub writable: bool,
}

/// Where a container's root comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootSpec {
    /// Directories of the host, seen through an overlay: writes stay in the container.
    Overlay {
        /// The lowest one; `/` gives the container everything installed on the host.
        lower: PathBuf,
        /// Directories laid over it, the topmost first, with whiteouts and opaque directories as overlays have
        /// them (Documentation/filesystems/overlayfs.rst). All lie in one directory.
        #[serde(default)]
        layers: Vec<PathBuf>,
        /// Whether [`crate::Container::written`] shall find all that was written, once the container has ended.
        #[serde(default)]
        kept: bool,
    },
}

impl RootSpec {
    /// Whether it shows the programs of the host.
    #[must_use]
    pub fn is_host(&self) -> bool {
        let Self::Overlay { lower, .. } = self;
        lower == Path::new("/")
    }
}

impl Default for RootSpec {
    fn default() -> Self {
        Self::Overlay { lower: root_path(), layers: Vec::new(), kept: false }
    }
}

/// Limits of a container; absent means none. Where the kernel offers no writable cgroup they are
/// not applied, and the launch says so in its warnings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Processor time in thousandths of one CPU.
    pub cpu_millis: Option<u32>,
    /// Number of processes and threads.
    pub pids: Option<u32>,
}

/// The interface `eth0` of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// What stands behind it.
    pub kind: NetworkKind,
    /// Its hardware address.
    pub mac: Mac,
    /// Its IPv4 address, a /32.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address, a /128.
    pub ipv6: Option<Ipv6Addr>,
    /// IPv4 default gateway, reached on-link.
    pub gateway4: Option<Ipv4Addr>,
    /// IPv6 default gateway, reached on-link.
    pub gateway6: Option<Ipv6Addr>,
    /// The gateway's hardware address, if it shall not be asked for by ARP and neighbour discovery.
    #[serde(default)]
    pub gateway_mac: Option<Mac>,
    /// Largest IP packet.
    pub mtu: u32,
}

/// What stands behind a container's interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkKind {
    /// A persistent TAP device, whose other end the dataplane opens.
    Tap {
        /// How many queues it may be read through; more than one costs the kernel memory for 256.
        #[serde(default = "one_queue")]
        queues: u16,
        /// Length of the queue towards the dataplane, in packets.
        txqueuelen: u32,
    },
    /// A veth pair, whose other end stands in the network namespace of another process.
    Veth {
        /// Name of the other end.
        peer_name: String,
        /// The process in whose network namespace the other end is put.
        peer_netns: ProcessId,
    },
}

fn one_queue() -> u16 {
    1
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad =
            || Error::invalid("hardware address", text, "is not six hexadecimal bytes joined by colons");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
                .ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for Mac {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

/// What happens when a container's command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// When it is started again.
    pub when: Restart,
    /// First pause before a restart; it doubles with each one.
    pub backoff_ms_min: u32,
    /// Longest pause. A command that ran longer than this starts again from the first pause.
    pub backoff_ms_max: u32,
    /// Most restarts; without end when absent.
    pub restarts_max: Option<u32>,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { when: Restart::Never, backoff_ms_min: 100, backoff_ms_max: 10_000, restarts_max: None }
    }
}

/// When a command is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// Not at all: its end is the container's end.
    Never,
    /// When it ends with a code other than 0, or by a signal.
    OnFailure,
    /// Whenever it ends.
    Always,
}

/// How much of a container's output is kept: at most `files` × `bytes_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// Size at which a log file is put aside.
    pub bytes_max: u64,
    /// Number of files kept, the current one included.
    pub files: u32,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self { bytes_max: 8 << 20, files: 2 }
    }
}

/// Capabilities a container's command may hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Capabilities {
    /// What servers need: no mounting, no devices, no change of the network, no tracing of others.
    #[default]
    Server,
    /// `Server` and the change of its own network (`CAP_NET_ADMIN`).
    Network,
    /// Everything the launcher holds. As root this is no confinement at all.
    All,
}

impl ContainerSpec {
    /// A container with defaults for everything but its identity and command.
    #[must_use]
    pub fn new(deployment: &str, state: &Path, name: &str, command: &[&str]) -> Self {
        Self {
            deployment: deployment.into(),
            state: state.into(),
            name: name.into(),
            hostname: name.into(),
            command: command.iter().map(|&word| word.into()).collect(),
            env: BTreeMap::new(),
            cwd: root_path(),
            user: None,
            files: BTreeMap::new(),
            mounts: Vec::new(),
            root: RootSpec::default(),
            hide: Vec::new(),
            limits: Limits::default(),
            network: None,
            resolv_conf: None,
            hosts: None,
            restart: RestartPolicy::default(),
            health: None,
            secrets: BTreeMap::new(),
            log: LogSpec::default(),
            capabilities: Capabilities::default(),
            no_new_privs: false,
            runtime: None,
        }
    }

    /// Checks every value that the kernel would refuse late or that could name something outside.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn check(&self) -> Result<()> {
        check_name("deployment", &self.deployment)?;
        check_name("container name", &self.name)?;
        check_name("hostname", &self.hostname)?;
        check_path("state directory", &self.state)?;
        check_path("working directory", &self.cwd)?;
        self.runtime.as_deref().map_or(Ok(()), |path| check_path("runtime", path))?;
        if self.command.first().is_none_or(String::is_empty) {
            return Err(Error::invalid("command of container", &self.name, "is empty"));
        }
        let words = self.command.iter().map(String::as_str);
        let pairs = self.env.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
        if let Some(word) = words.chain(pairs).find(|word| word.contains('\0')) {
            return Err(Error::invalid("command or environment", word.escape_debug(), "holds a zero byte"));
        }
        if let Some(key) = self.env.keys().find(|key| key.is_empty() || key.contains('=')) {
            return Err(Error::invalid("environment variable", key, "is not a name"));
        }
        self.check_paths()?;
        self.health.as_ref().map_or(Ok(()), |health| health.check(&self.name))?;
        self.network.as_ref().map_or(Ok(()), NetworkSpec::check)
    }

    fn check_paths(&self) -> Result<()> {
        let RootSpec::Overlay { lower, layers, .. } = &self.root;
        check_path("root", lower)?;
        layers.iter().try_for_each(|layer| check_path("layer", layer))?;
        for (field, count, count_max) in [
            ("files", self.files.len(), ENTRIES_MAX),
            ("mounts", self.mounts.len(), ENTRIES_MAX),
            ("hidden paths", self.hide.len(), ENTRIES_MAX),
            ("layers", layers.len(), LAYERS_MAX),
        ] {
            if count > count_max {
                return Err(Error::invalid(field, count, "are too many"));
            }
        }
        let bytes: usize = self.files.values().map(|file| file.content.as_bytes().len()).sum();
        if bytes > FILES_BYTES_MAX {
            return Err(Error::invalid("total size of files", bytes, "is too large"));
        }
        for path in self.files.keys() {
            check_path("file", path)?;
        }
        for mount in &self.mounts {
            check_path("mount source", &mount.source)?;
            check_path("mount target", &mount.target)?;
        }
        self.hide.iter().try_for_each(|path| check_path("hidden path", path))
    }
}

impl NetworkSpec {
    fn check(&self) -> Result<()> {
        if let NetworkKind::Veth { peer_name, .. } = &self.kind {
            check_interface(peer_name)?;
        }
        if !(68..=65_535).contains(&self.mtu) {
            return Err(Error::invalid("mtu", self.mtu, "is outside 68 to 65535"));
        }
        if self.mac.0[0] & 1 != 0 {
            return Err(Error::invalid("hardware address", self.mac, "is a group address"));
        }
        Ok(())
    }
}

/// Refuses names that are empty, too long, or could be read as a path or an option.
pub(crate) fn check_name(field: &str, name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let good = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) && name.bytes().all(plain);
    if good && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        name,
        "must be 1 to 63 letters, digits, `.`, `_` or `-`, starting with one of the first two",
    ))
}

pub(crate) fn check_interface(name: &str) -> Result<()> {
    let good = (1..=INTERFACE_NAME_BYTES_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    if good {
        Ok(())
    } else {
        Err(Error::invalid("interface name", name, "must be 1 to 15 visible characters without `/` and `:`"))
    }
}

fn check_path(field: &str, path: &Path) -> Result<()> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if path.is_absolute() && path.components().all(plain) && !bytes.contains(&0) {
        return Ok(());
    }
    Err(Error::invalid(field, path.display(), "must be an absolute path without `..`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ContainerSpec {
        ContainerSpec::new("shop", Path::new("/var/lib/weft/shop"), "web-1", &["sleep", "1"])
    }

    #[test]
    fn a_spec_survives_json() {
        let mut spec = spec();
        spec.files.insert("/etc/motd".into(), FileSpec { content: b"hi\n".to_vec().into(), mode: 0o600 });
        spec.files.insert("/bin/x".into(), FileSpec { content: vec![0xff, 0].into(), mode: 0o755 });
        spec.network = Some(NetworkSpec {
            kind: NetworkKind::Tap { queues: 1, txqueuelen: 1000 },
            mac: Mac([2, 0, 0, 0, 0, 1]),
            ipv4: Some(Ipv4Addr::new(10, 0, 0, 2)),
            ipv6: None,
            gateway4: Some(Ipv4Addr::new(10, 0, 0, 1)),
            gateway6: None,
            gateway_mac: None,
            mtu: 1500,
        });
        let text = serde_json::to_string(&spec).unwrap();
        assert!(text.contains("\"02:00:00:00:00:01\"") && text.contains("hi\\n"));
        assert_eq!(serde_json::from_str::<ContainerSpec>(&text).unwrap(), spec);
        spec.check().unwrap();
    }

    #[test]
    fn values_that_could_escape_are_refused() {
        for name in ["", "..", "-x", "a/b", "a b", &"x".repeat(64)] {
            assert!(ContainerSpec { name: name.into(), ..spec() }.check().is_err(), "{name}");
        }
        assert!(ContainerSpec { command: vec![], ..spec() }.check().is_err());
        assert!(ContainerSpec { command: vec!["a\0b".into()], ..spec() }.check().is_err());
        assert!(ContainerSpec { cwd: "tmp".into(), ..spec() }.check().is_err());
        let file = FileSpec { content: Content::Text(String::new()), mode: 0o644 };
        let files = BTreeMap::from([(PathBuf::from("/etc/../../x"), file)]);
        assert!(ContainerSpec { files, ..spec() }.check().is_err());
        assert!(check_interface("a-name-of-16-byt").is_err() && check_interface("a/b").is_err());
    }

    #[test]
    fn hardware_addresses_are_read_strictly() {
        assert_eq!("02:00:5e:00:00:ff".parse::<Mac>().unwrap(), Mac([2, 0, 0x5e, 0, 0, 0xff]));
        for bad in
            ["", "02:00", "02:00:00:00:00:00:00", "2:0:0:0:0:0", "gg:00:00:00:00:00", "+2:00:00:00:00:00"]
        {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
