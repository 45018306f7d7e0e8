//! Docker compose files: the parts that say what runs and who may reach whom.
//!
//! Source: the Compose Specification. Every container of a network reaches every port of every other one in it;
//! nothing else decides.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Faults, Kind, Sources};
use crate::model::Span;

/// Most bytes of a compose file.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// Most services in one.
pub const SERVICES_MAX: usize = 2_000;

/// A compose file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Compose {
    /// The project.
    #[serde(default)]
    pub name: Option<String>,
    /// What runs.
    #[serde(default)]
    pub services: BTreeMap<String, Option<Service>>,
    /// Networks; `default` is always one.
    #[serde(default)]
    pub networks: Option<BTreeMap<String, Option<Network>>>,
    /// Secrets.
    #[serde(default)]
    pub secrets: Option<BTreeMap<String, serde_json::Value>>,
    /// Configurations.
    #[serde(default)]
    pub configs: Option<BTreeMap<String, serde_json::Value>>,
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Network {
    /// Whether nothing outside can be reached.
    #[serde(default)]
    pub internal: Option<bool>,
}

/// What runs, once or several times.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Service {
    /// Its image.
    #[serde(default)]
    pub image: Option<String>,
    /// What its image is built from.
    #[serde(default)]
    pub build: Option<Build>,
    /// Program and arguments, in place of the image's entry point.
    #[serde(default)]
    pub entrypoint: Option<Words>,
    /// Arguments, in place of the image's command.
    #[serde(default)]
    pub command: Option<Words>,
    /// Environment.
    #[serde(default)]
    pub environment: Option<Environment>,
    /// Files with more environment.
    #[serde(default)]
    pub env_file: Option<serde_json::Value>,
    /// Ports of the host that lead to it.
    #[serde(default)]
    pub ports: Option<Vec<PortEntry>>,
    /// Ports it listens on.
    #[serde(default)]
    pub expose: Option<Vec<Scalar>>,
    /// What has to be started before.
    #[serde(default)]
    pub depends_on: Option<Names>,
    /// How it is found out whether it does its work.
    #[serde(default)]
    pub healthcheck: Option<Healthcheck>,
    /// Others, by names of its own.
    #[serde(default)]
    pub links: Option<Vec<String>>,
    /// Its networks.
    #[serde(default)]
    pub networks: Option<Names>,
    /// `none`, `host`, `bridge`, `service:NAME`.
    #[serde(default)]
    pub network_mode: Option<String>,
    /// Directories.
    #[serde(default)]
    pub volumes: Option<Vec<VolumeEntry>>,
    /// Secrets, seen in `/run/secrets`.
    #[serde(default)]
    pub secrets: Option<Vec<serde_json::Value>>,
    /// Configurations.
    #[serde(default)]
    pub configs: Option<Vec<serde_json::Value>>,
    /// User it runs as.
    #[serde(default)]
    pub user: Option<Scalar>,
    /// Directory it starts in.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// `no`, `always`, `on-failure`, `unless-stopped`.
    #[serde(default)]
    pub restart: Option<Scalar>,
    /// How many.
    #[serde(default)]
    pub scale: Option<u32>,
    /// Most memory.
    #[serde(default)]
    pub mem_limit: Option<Scalar>,
    /// Most processor time.
    #[serde(default)]
    pub cpus: Option<Scalar>,
    /// Most processes.
    #[serde(default)]
    pub pids_limit: Option<i64>,
    /// How it is deployed.
    #[serde(default)]
    pub deploy: Option<Deploy>,
    /// Another service that it is like.
    #[serde(default)]
    pub extends: Option<serde_json::Value>,
    /// A name of its own in place of the service's.
    #[serde(default)]
    pub hostname: Option<String>,
}

/// What an image is built from, in its two forms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Build {
    /// The directory; its Dockerfile is called that.
    Context(String),
    /// In words.
    Options {
        /// The directory.
        #[serde(default)]
        context: Option<String>,
        /// The Dockerfile, relative to the directory.
        #[serde(default)]
        dockerfile: Option<String>,
        /// The Dockerfile itself.
        #[serde(default)]
        dockerfile_inline: Option<String>,
        /// Values for ARG.
        #[serde(default)]
        args: Option<Environment>,
        /// The stage that is wanted.
        #[serde(default)]
        target: Option<String>,
    },
}

/// How it is found out whether a service does its work.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Healthcheck {
    /// A line for the shell, or `CMD` or `CMD-SHELL` and words.
    #[serde(default)]
    pub test: Option<Words>,
    /// Pause between checks.
    #[serde(default)]
    pub interval: Option<Scalar>,
    /// How long a check may take.
    #[serde(default)]
    pub timeout: Option<Scalar>,
    /// Failures in a row that count.
    #[serde(default)]
    pub retries: Option<u32>,
    /// How long failures do not count.
    #[serde(default)]
    pub start_period: Option<Scalar>,
    /// Whether it is switched off.
    #[serde(default)]
    pub disable: Option<bool>,
}

/// How a service is deployed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Deploy {
    /// How many.
    #[serde(default)]
    pub replicas: Option<u32>,
    /// What it may use.
    #[serde(default)]
    pub resources: Option<Resources>,
}

/// What a service may use.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Resources {
    /// At most.
    #[serde(default)]
    pub limits: Option<Limits>,
}

/// Most of each.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Limits {
    /// Processor time, in cores.
    #[serde(default)]
    pub cpus: Option<Scalar>,
    /// Memory.
    #[serde(default)]
    pub memory: Option<Scalar>,
    /// Processes.
    #[serde(default)]
    pub pids: Option<u32>,
}

/// A text that YAML may take for something else.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool(value) => value.fmt(f),
            Scalar::Whole(value) => value.fmt(f),
            Scalar::Number(value) => value.fmt(f),
            Scalar::Text(text) => f.write_str(text),
        }
    }
}

/// A command.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Words {
    /// As a shell would split it.
    Line(String),
    /// Word for word.
    List(Vec<Scalar>),
}

/// Environment in its two forms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Environment {
    /// `NAME=value`; a name alone is taken from the environment of whoever starts it.
    List(Vec<Scalar>),
    /// By name.
    Map(BTreeMap<String, Option<Scalar>>),
}

/// A list of names in its two forms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// The names.
    List(Vec<String>),
    /// With options.
    Map(BTreeMap<String, serde_json::Value>),
}

impl Names {
    /// The names.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Names::List(names) => names.iter().map(String::as_str).collect(),
            Names::Map(names) => names.keys().map(String::as_str).collect(),
        }
    }
}

/// A published port in its two forms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum PortEntry {
    /// `[[address:]host:]container[/protocol]`.
    Short(Scalar),
    /// In words.
    Long {
        /// Port of the container.
        target: u16,
        /// Port of the host.
        #[serde(default)]
        published: Option<Scalar>,
        /// `tcp` or `udp`.
        #[serde(default)]
        protocol: Option<String>,
    },
}

/// A directory in its two forms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum VolumeEntry {
    /// `[source:]target[:ro]`.
    Short(String),
    /// In words.
    Long {
        /// `volume`, `bind` or `tmpfs`.
        #[serde(rename = "type", default)]
        kind: Option<String>,
        /// What is seen.
        #[serde(default)]
        source: Option<String>,
        /// Where.
        target: String,
        /// Whether it can only be read.
        #[serde(default)]
        read_only: Option<bool>,
    },
}

/// A port of the host that leads to one of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Published {
    /// Port of the host; chosen when it is started without.
    pub host: Option<u16>,
    /// Port of the container.
    pub container: u16,
    /// Whether it is one of UDP.
    pub is_udp: bool,
}

impl PortEntry {
    /// The ports it publishes; `None` if it makes no sense.
    pub fn published(&self) -> Option<Vec<Published>> {
        match self {
            PortEntry::Long { target, published, protocol } => {
                let host = published.as_ref().map(|host| host.to_string().parse().ok());
                let host = match host {
                    Some(None) => return None,
                    Some(host) => host,
                    None => None,
                };
                Some(vec![Published { host, container: *target, is_udp: protocol.as_deref() == Some("udp") }])
            }
            PortEntry::Short(text) => short(&text.to_string()),
        }
    }
}

fn short(text: &str) -> Option<Vec<Published>> {
    let (text, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let is_udp = match protocol {
        "tcp" => false,
        "udp" => true,
        _ => return None,
    };
    // An address of IPv6 is in brackets, and has colons of its own.
    let text = text.rsplit_once("]:").map_or(text, |(_, rest)| rest);
    let mut parts: Vec<&str> = text.split(':').collect();
    let (min, max) = range(parts.pop()?)?;
    let hosts = match parts.pop() {
        None | Some("") => None,
        Some(host) => Some(range(host)?),
    };
    if let Some((host_min, host_max)) = hosts
        && host_max - host_min != max - min
    {
        return None;
    }
    let published = |container: u16| {
        let host = hosts.map(|(host_min, _)| host_min + (container - min));
        Published { host, container, is_udp }
    };
    Some((min..=max).map(published).collect())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    let (min, max) = (min.parse().ok().filter(|port| *port != 0)?, max.parse().ok()?);
    (min <= max).then_some((min, max))
}

impl Compose {
    /// The networks of a service: `None` for the host's own, nothing for none.
    pub fn networks_of(&self, name: &str) -> Option<Vec<&str>> {
        let mut name = name;
        // A chain of services that share a network is as long as there are services at most.
        for _ in 0..=self.services.len() {
            let Some(Some(service)) = self.services.get(name) else { return Some(vec!["default"]) };
            match service.network_mode.as_deref() {
                None | Some("bridge") => {
                    let own = service.networks.as_ref().map(Names::names).filter(|names| !names.is_empty());
                    return Some(own.unwrap_or_else(|| vec!["default"]));
                }
                Some("host") => return None,
                Some(mode) => match mode.strip_prefix("service:") {
                    Some(other) => name = other,
                    None => return Some(Vec::new()),
                },
            }
        }
        Some(Vec::new())
    }

    /// Whether one service's containers reach another's: on every port, or on none.
    pub fn reaches(&self, from: &str, to: &str) -> bool {
        match (self.networks_of(from), self.networks_of(to)) {
            (Some(from), Some(to)) => from.iter().any(|network| to.contains(network)),
            // The host reaches every container, and containers the host.
            (None, Some(networks)) | (Some(networks), None) => !networks.is_empty(),
            (None, None) => true,
        }
    }

    /// Whether a service's containers reach what is outside.
    pub fn reaches_outside(&self, name: &str) -> bool {
        let is_internal = |network: &str| {
            let networks = self.networks.as_ref().and_then(|networks| networks.get(network)?.as_ref());
            networks.is_some_and(|network| network.internal == Some(true))
        };
        self.networks_of(name).is_none_or(|networks| networks.iter().any(|network| !is_internal(network)))
    }
}

/// Whether a text looks like a compose file and not like a manifest of Kubernetes.
pub fn is_compose(text: &str) -> bool {
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    has("services:") && !has("kind:") && !has("apiVersion:")
}

/// Reads a compose file.
///
/// ```
/// let text = "services: {web: {image: nginx, ports: ['8080:80']}, db: {image: redis, networks: [back]}}";
/// let compose = quilt::compose::read("compose.yaml", &text.into())?;
/// assert!(!compose.reaches("web", "db"));
/// # Ok::<(), quilt::fault::Faults>(())
/// ```
pub fn read(file: &str, text: &Arc<str>) -> Result<Compose, Faults> {
    let failed = |message: String, place: Option<(u32, u32, usize)>| {
        let mut span = Span { file: file.to_owned(), ..Span::default() };
        if let Some((line, column, offset)) = place {
            let rest = text.get(offset..).unwrap_or_default();
            let len = rest.find('\n').unwrap_or(rest.len());
            span = Span { line, column, offset, len, ..span };
        }
        let sources: Sources = [(file.to_owned(), text.clone())].into();
        Faults::finish(vec![Fault::new(Kind::Manifest { message }, span)], &sources, String::new())
    };
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes, and {FILE_BYTES_MAX} are the most", text.len());
        return Err(failed(message, None));
    }
    let compose: Compose = crate::yaml::decode(text).map_err(|error| failed(error.message, error.place))?;
    if compose.services.is_empty() {
        return Err(failed("the file has no services".into(), None));
    }
    if compose.services.len() > SERVICES_MAX {
        return Err(failed(format!("there are more than {SERVICES_MAX} services"), None));
    }
    for (name, service) in &compose.services {
        for port in service.iter().flat_map(|service| service.ports.iter().flatten()) {
            if port.published().is_none() {
                return Err(failed(format!("service {name} has a port that makes no sense: {port:?}"), None));
            }
        }
    }
    Ok(compose)
}

/// Who reaches whom by a compose file.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The services.
    pub services: Vec<Entry>,
}

/// One service.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Services that reach all of its ports.
    pub from: Vec<String>,
    /// Ports of the host that lead to it.
    pub published: Vec<Published>,
    /// Whether it reaches what is outside.
    pub reaches_outside: bool,
}

impl Report {
    /// Sums up a compose file.
    pub fn of(compose: &Compose) -> Report {
        let entry = |(name, service): (&String, &Option<Service>)| {
            let from = compose.services.keys().filter(|from| *from != name && compose.reaches(from, name));
            let ports = service.iter().flat_map(|service| service.ports.iter().flatten());
            Entry {
                name: name.clone(),
                from: from.cloned().collect(),
                published: ports.filter_map(PortEntry::published).flatten().collect(),
                reaches_outside: compose.reaches_outside(name),
            }
        };
        Report { services: compose.services.iter().map(entry).collect() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.services {
            writeln!(f, "{}", entry.name)?;
            if !entry.from.is_empty() {
                let everyone = entry.from.len() + 1 == self.services.len();
                let who = if everyone { "every service".to_owned() } else { entry.from.join(", ") };
                writeln!(f, "  from {who}: everything")?;
            }
            for port in &entry.published {
                let protocol = if port.is_udp { "udp" } else { "tcp" };
                match port.host {
                    Some(host) => writeln!(f, "  from outside, port {host}: {}/{protocol}", port.container)?,
                    None => {
                        writeln!(f, "  from outside, a port that is chosen: {}/{protocol}", port.container)?;
                    }
                }
            }
            if entry.reaches_outside {
                writeln!(f, "  to all addresses outside: everything")?;
            }
        }
        write!(f, "{} services", self.services.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Option<Vec<(Option<u16>, u16, bool)>> {
        Some(short(text)?.into_iter().map(|port| (port.host, port.container, port.is_udp)).collect())
    }

    #[test]
    fn short_ports_have_every_form() {
        assert_eq!(ports("80"), Some(vec![(None, 80, false)]));
        assert_eq!(ports("8080:80"), Some(vec![(Some(8080), 80, false)]));
        assert_eq!(ports("127.0.0.1:5353:53/udp"), Some(vec![(Some(5353), 53, true)]));
        assert_eq!(ports("[::1]:8080:80"), Some(vec![(Some(8080), 80, false)]));
        assert_eq!(ports("9000-9001:80-81"), Some(vec![(Some(9000), 80, false), (Some(9001), 81, false)]));
        assert_eq!(ports("127.0.0.1::80"), Some(vec![(None, 80, false)]));
        for bad in ["", "x", "0", "70000", "1-2:3", "5-4", "80/icmp"] {
            assert_eq!(ports(bad), None, "{bad}");
        }
    }

    #[test]
    fn networks_decide_who_reaches_whom() {
        let text = "
services:
  front: {image: a, networks: [outer, inner]}
  back: {image: b, networks: {inner: null}}
  alone: {image: c, network_mode: none}
  side: {image: d, network_mode: 'service:back'}
  loop: {image: d, network_mode: 'service:loop'}
  plain:
networks: {inner: {internal: true}, outer: null}
";
        let compose = read("c.yaml", &text.into()).unwrap();
        let reached = |name: &str| -> Vec<String> {
            Report::of(&compose).services.iter().find(|entry| entry.name == name).unwrap().from.clone()
        };
        assert_eq!(reached("front"), ["back", "side"]);
        assert_eq!(reached("back"), ["front", "side"]);
        assert_eq!(reached("plain"), Vec::<String>::new());
        assert_eq!(reached("loop"), Vec::<String>::new());
        assert!(compose.reaches_outside("front") && compose.reaches_outside("plain"));
        assert!(!compose.reaches_outside("back") && !compose.reaches_outside("alone"));
    }

    #[test]
    fn faults_have_their_line() {
        let faults = read("c.yaml", &"services:\n  a:\n    ports: 7\n".into()).unwrap_err();
        assert!(faults.to_string().starts_with("c.yaml:3:12: "), "{faults}");
        let faults = read("c.yaml", &"services: {}\n".into()).unwrap_err();
        assert_eq!(faults.to_string(), "c.yaml: the file has no services");
    }
}
