//! From copied script values to the typed model; every misfit is a fault with its place.

mod dynamics;
mod emulated;
mod expect;
mod function;
mod image;
mod machine;
mod placement;

pub(crate) use function::words;

use std::collections::{BTreeMap, HashMap, HashSet};

use self::image::Images;
use super::Note;
use super::files::Files;
use super::raw::{Raw, number};
use crate::check::CONTAINERS_MAX;
use crate::fault::{Fault, Kind, similar};
use crate::images;
use crate::images::resolve::Resolver;
use crate::model::{
    Blueprint, Container, Denied, Image, Limits, Link, Mount, MountSource, Party, Ports, Protocol, Publish,
    Restart, Service, Span, Text, Update,
};

/// Text a blueprint may hold once its replicas are counted, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// Most notes given.
const NOTES_MAX: usize = 100;

/// Options of a container in weft's dialect.
const CONTAINER_OPTIONS: [&str; 17] = [
    "command",
    "cpu",
    "dependsOn",
    "entrypoint",
    "env",
    "files",
    "health",
    "image",
    "memory",
    "mounts",
    "pids",
    "readyWithin",
    "replicas",
    "restart",
    "update",
    "user",
    "workdir",
];

/// What lowering gave.
pub(crate) struct Lowered {
    pub(crate) blueprint: Blueprint,
    pub(crate) faults: Vec<Fault>,
    pub(crate) notes: Vec<Note>,
}

/// Lowers what `collect()` of `core.js` returns; `file` gives the deployment its default name.
pub(crate) fn lower(raw: Raw, spans: &[Span], file: &str, files: &mut Files) -> Lowered {
    let images = Some(Images { files, resolver: Resolver::default() });
    let mut lower = Lower { spans, images, ..Lower::new(file) };
    let mut raw = raw;
    lower.notes(raw.take("notes"));
    lower.deployment(&raw.take("deployment"));
    each(raw.take("containers"), |entry| lower.container(entry));
    each(raw.take("services"), |entry| lower.service(&entry));
    lower.dependencies();
    lower.pipelets(&raw);
    each(raw.take("functions"), |entry| lower.function(&entry));
    each(raw.take("links"), |entry| lower.link(&entry));
    each(raw.take("publishes"), |entry| lower.publish(&entry));
    each(raw.take("emulated"), |entry| lower.emulated(&entry));
    each(raw.take("invariants"), |entry| lower.invariant(&entry));
    each(raw.take("placements"), |entry| lower.placement(&entry));
    each(raw.take("aliases"), |entry| lower.alias(entry));
    lower.machines(raw.take("machines"));
    lower.idle_functions();
    Lowered { blueprint: lower.blueprint, faults: lower.faults, notes: lower.notes }
}

fn each(list: Raw, mut lower: impl FnMut(Raw)) {
    if let Raw::List(entries) = list {
        entries.into_iter().for_each(&mut lower);
    }
}

struct Lower<'a> {
    spans: &'a [Span],
    blueprint: Blueprint,
    faults: Vec<Fault>,
    notes: Vec<Note>,
    noted: HashSet<String>,
    /// What each name is.
    parties: HashMap<String, Party>,
    /// Containers whose own faults would make faults of everything that names them.
    broken: HashSet<String>,
    dependents: Vec<dynamics::Dependent>,
    /// Functions that pipelets pass, and those that links go through.
    of_pipelets: HashSet<String>,
    of_links: HashSet<String>,
    text_bytes: usize,
    claimed_parties: usize,
    too_large: bool,
    /// What finds images.
    images: Option<Images<'a>>,
    /// Ports that the images of containers and services expose.
    exposed: HashMap<String, Vec<(Ports, Protocol)>>,
}

/// The place a fault is about, and what it is called.
struct At<'a> {
    span: &'a Span,
    what: &'a str,
}

impl<'a> Lower<'a> {
    fn new(file: &str) -> Lower<'a> {
        Lower {
            spans: &[],
            blueprint: Blueprint { name: default_name(file), ..Blueprint::default() },
            faults: Vec::new(),
            notes: Vec::new(),
            noted: HashSet::new(),
            parties: HashMap::new(),
            broken: HashSet::new(),
            dependents: Vec::new(),
            of_pipelets: HashSet::new(),
            of_links: HashSet::new(),
            text_bytes: 0,
            claimed_parties: 0,
            too_large: false,
            images: None,
            exposed: HashMap::new(),
        }
    }

    fn fault(&mut self, kind: Kind, span: &Span) {
        self.faults.push(Fault::new(kind, span.clone()));
    }

    fn shape(&mut self, at: &At<'_>, expected: &'static str, found: &Raw) {
        let kind = Kind::Shape { what: at.what.to_owned(), expected, found: found.describe() };
        self.fault(kind, at.span);
    }

    fn span(&self, entry: &Raw) -> Span {
        match entry.get("at") {
            Raw::Number(at) => self.spans.get(*at as usize).cloned().unwrap_or_default(),
            _ => Span::default(),
        }
    }

    fn notes(&mut self, notes: Raw) {
        each(notes, |entry| {
            if let Raw::Text(text) = entry.get("text") {
                self.note(text.clone(), self.span(&entry));
            }
        });
    }

    /// Adds a note unless it was given before.
    fn note(&mut self, text: String, span: Span) {
        if self.noted.len() < NOTES_MAX && self.noted.insert(text.clone()) {
            self.notes.push(Note { text, span });
        }
    }

    fn deployment(&mut self, entry: &Raw) {
        let span = self.span(entry);
        let options = entry.get("options");
        if options.is_absent() {
            return;
        }
        if !matches!(options, Raw::Map(_)) {
            return self.shape(&At { span: &span, what: "argument of deployment()" }, "an object", options);
        }
        self.unknown_options("deployment()", options, &["name", "denied", "adminACL", "maxPrice"], &span);
        if let Some(name) =
            self.text(&At { span: &span, what: "name of the deployment" }, options.get("name"))
        {
            self.blueprint.name = name;
        }
        match options.get("denied") {
            Raw::Text(word) if word == "refuse" => self.blueprint.denied = Denied::Refuse,
            Raw::Text(word) if word == "drop" => self.blueprint.denied = Denied::Drop,
            Raw::Undefined => {}
            other => self.shape(&At { span: &span, what: "denied" }, "'refuse' or 'drop'", other),
        }
        self.admins(options, &span);
    }

    fn unknown_options(&mut self, of: &str, options: &Raw, known: &[&str], span: &Span) {
        let Raw::Map(members) = options else { return };
        for (name, _) in members.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            let similar = similar(name, known.iter().copied());
            self.fault(Kind::UnknownOption { of: of.to_owned(), name: name.clone(), similar }, span);
        }
    }

    /// A text that may be left out.
    fn text(&mut self, at: &At<'_>, raw: &Raw) -> Option<String> {
        match raw {
            Raw::Text(text) => Some(text.clone()),
            Raw::Undefined | Raw::Null => None,
            other => {
                self.shape(at, "a string", other);
                None
            }
        }
    }

    fn container(&mut self, mut entry: Raw) {
        let span = self.span(&entry);
        let name = match entry.take("name") {
            Raw::Text(name) => name,
            other => return self.shape(&At { span: &span, what: "name of a container" }, "a string", &other),
        };
        let faults_before = self.faults.len();
        let options = entry.take("options");
        if !matches!(options, Raw::Map(_)) {
            let what = format!("options of container '{name}'");
            self.shape(&At { span: &span, what: &what }, "an object", &options);
            self.broken.insert(name);
            return;
        }
        let of = format!("container '{name}'");
        self.unknown_options(&of, &options, &CONTAINER_OPTIONS, &span);
        let container = self.options(&name, &options, &span);
        let replicas = self.replicas(&name, options.get("replicas"), &span);
        let what = format!("update of container '{name}'");
        let update = self.update(&At { span: &span, what: &what }, options.get("update"));
        if update.is_some() && replicas.is_none() {
            let reason = "needs `replicas`; a service of several containers has it as `new Service(name, containers, { update })`";
            self.fault(Kind::Text { name: name.clone(), what: "update".into(), reason }, &span);
        }
        if self.faults.len() > faults_before {
            self.broken.insert(name.clone());
        }
        let names = match replicas {
            None => {
                self.push(container);
                vec![name]
            }
            Some(count) => self.replicate(&container, count, update),
        };
        self.note_dependencies(names, options.get("dependsOn"), &span);
    }

    fn options(&mut self, name: &str, options: &Raw, span: &Span) -> Container {
        let named = |what: &str| format!("{what} of container '{name}'");
        let (image, config) = self.image(name, options.get("image"), span);
        let mut command = self.command(name, "command", options.get("command"), span);
        let entrypoint = options.get("entrypoint");
        let entrypoint =
            (!entrypoint.is_absent()).then(|| self.command(name, "entrypoint", entrypoint, span));
        if let Image::Alias(image) = &image {
            command = images::command(image, command);
        }
        self.exposed.insert(name.to_owned(), config.exposed.clone());
        let mut container = Container {
            name: name.to_owned(),
            image,
            command,
            env: self.texts(&At { span, what: &named("env") }, options.get("env")),
            files: self.texts(&At { span, what: &named("files") }, options.get("files")),
            mounts: self.mounts(&At { span, what: &named("mounts") }, options.get("mounts")),
            workdir: self.text(&At { span, what: &named("workdir") }, options.get("workdir")),
            user: self.user(&At { span, what: &named("user") }, options.get("user")),
            limits: Limits {
                memory_bytes: self.memory(&At { span, what: &named("memory") }, options.get("memory")),
                cpu_milli: self.cpu(name, options.get("cpu"), span),
                pids: self.count(&At { span, what: &named("pids") }, options.get("pids")),
            },
            restart: self.restart(&At { span, what: &named("restart") }, options.get("restart")),
            health: self.health(&At { span, what: &named("health") }, options.get("health")),
            depends_on: Vec::new(),
            ready_within_ms: self.time(
                &At { span, what: &named("readyWithin") },
                options.get("readyWithin"),
                1,
            ),
            span: span.clone(),
        };
        config.apply(&mut container, entrypoint);
        container
    }

    fn command(&mut self, name: &str, what: &str, raw: &Raw, span: &Span) -> Vec<String> {
        let what = format!("{what} of container '{name}'");
        self.words(&At { span, what: &what }, raw)
    }

    /// A command: its words, or a line for the shell.
    fn words(&mut self, at: &At<'_>, raw: &Raw) -> Vec<String> {
        match raw {
            Raw::Undefined | Raw::Null => Vec::new(),
            Raw::Text(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
            Raw::List(words) => words
                .iter()
                .filter_map(|word| match word {
                    Raw::Text(word) => Some(word.clone()),
                    Raw::Number(value) => Some(number(*value)),
                    other => {
                        self.shape(
                            at,
                            "a list of strings",
                            &Raw::Text(format!("{} in it", other.describe())),
                        );
                        None
                    }
                })
                .collect(),
            other => {
                self.shape(at, "a list of strings, or one string for the shell", other);
                Vec::new()
            }
        }
    }

    fn texts(&mut self, at: &At<'_>, raw: &Raw) -> BTreeMap<String, Text> {
        let members = match raw {
            Raw::Undefined | Raw::Null => return BTreeMap::new(),
            Raw::Map(members) => members,
            other => {
                self.shape(at, "an object", other);
                return BTreeMap::new();
            }
        };
        let mut texts = BTreeMap::new();
        for (key, value) in members {
            let text = match value {
                Raw::Text(text) => Text::Plain(text.clone()),
                Raw::Number(value) => Text::Plain(number(*value)),
                Raw::Bool(value) => Text::Plain(value.to_string()),
                Raw::Map(_) if matches!(value.get("secret"), Raw::Text(_)) => {
                    let Raw::Text(secret) = value.get("secret") else { continue };
                    Text::Secret { secret: secret.clone() }
                }
                other => {
                    let what = format!("'{key}' in {}", at.what);
                    self.shape(&At { span: at.span, what: &what }, "a string or a Secret", other);
                    continue;
                }
            };
            texts.insert(key.clone(), text);
        }
        texts
    }

    fn mounts(&mut self, at: &At<'_>, raw: &Raw) -> Vec<Mount> {
        let members = match raw {
            Raw::Undefined | Raw::Null => return Vec::new(),
            Raw::Map(members) => members,
            other => {
                self.shape(at, "an object of paths to volumes", other);
                return Vec::new();
            }
        };
        let mut mounts = Vec::new();
        for (target, value) in members {
            let source = match (value.get("host"), value.get("named")) {
                (Raw::Text(path), _) => MountSource::Host(path.clone()),
                (_, Raw::Text(name)) => MountSource::Named(name.clone()),
                _ => {
                    self.shape(at, "an object of paths to `new Volume(name)` or `hostPath(path)`", value);
                    continue;
                }
            };
            let read_only = matches!(value.get("readOnly"), Raw::Bool(true));
            mounts.push(Mount { source, target: target.clone(), read_only });
        }
        mounts
    }

    fn user(&mut self, at: &At<'_>, raw: &Raw) -> Option<String> {
        match raw {
            Raw::Number(_) => self.count(at, raw).map(|uid| uid.to_string()),
            other => self.text(at, other),
        }
    }

    /// Bytes, as a number or with a unit.
    fn memory(&mut self, at: &At<'_>, raw: &Raw) -> Option<u64> {
        let bytes = match raw {
            Raw::Undefined | Raw::Null => return None,
            Raw::Number(value) if value.fract() == 0.0 && *value >= 0.0 => Some(*value as u64),
            Raw::Text(text) => parse_bytes(text),
            _ => None,
        };
        if bytes.is_none() {
            self.shape(at, "a number of bytes or a string such as '256M'", raw);
        }
        bytes
    }

    fn cpu(&mut self, name: &str, raw: &Raw, span: &Span) -> Option<u32> {
        match raw {
            Raw::Undefined | Raw::Null => None,
            Raw::Number(cores) if *cores > 0.0 && *cores <= 4096.0 => Some((cores * 1000.0).ceil() as u32),
            Raw::Number(cores) => {
                let (found, allowed) = (number(*cores), "a number of cores above 0, such as 0.5");
                self.fault(Kind::Limit { name: name.to_owned(), what: "cpu", found, allowed }, span);
                None
            }
            other => {
                let what = format!("cpu of container '{name}'");
                self.shape(&At { span, what: &what }, "a number of cores, such as 0.5", other);
                None
            }
        }
    }

    fn count(&mut self, at: &At<'_>, raw: &Raw) -> Option<u32> {
        match raw {
            Raw::Undefined | Raw::Null => None,
            Raw::Number(value) if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(value) => {
                Some(*value as u32)
            }
            other => {
                self.shape(at, "a whole number", other);
                None
            }
        }
    }

    fn restart(&mut self, at: &At<'_>, raw: &Raw) -> Restart {
        match raw {
            Raw::Undefined | Raw::Null => Restart::default(),
            Raw::Text(word) if word == "always" => Restart::Always,
            Raw::Text(word) if word == "on-failure" => Restart::OnFailure,
            Raw::Text(word) if word == "never" => Restart::Never,
            other => {
                self.shape(at, "'always', 'on-failure' or 'never'", other);
                Restart::default()
            }
        }
    }

    fn replicas(&mut self, name: &str, raw: &Raw, span: &Span) -> Option<usize> {
        match raw {
            Raw::Undefined | Raw::Null => None,
            Raw::Number(count) if count.fract() == 0.0 && (1.0..=CONTAINERS_MAX as f64).contains(count) => {
                Some(*count as usize)
            }
            other => {
                let what = format!("replicas of container '{name}'");
                self.shape(&At { span, what: &what }, "a whole number from 1 to 10000", other);
                None
            }
        }
    }

    /// `web` with three replicas is `web-1`, `web-2`, `web-3` behind a service `web`.
    fn replicate(&mut self, container: &Container, count: usize, update: Option<Update>) -> Vec<String> {
        let mut members = Vec::new();
        for index in 1..=count {
            let name = format!("{}-{index}", container.name);
            members.push(name.clone());
            self.push(Container { name, ..container.clone() });
        }
        let (name, span) = (container.name.clone(), container.span.clone());
        self.push_service(Service { name, members: members.clone(), update, span });
        members
    }

    fn push(&mut self, container: Container) {
        let texts = |map: &BTreeMap<String, Text>| {
            map.iter().map(|(key, text)| key.len() + text.to_string().len()).sum::<usize>()
        };
        let bytes = texts(&container.env) + texts(&container.files);
        self.text_bytes += bytes + container.command.iter().map(String::len).sum::<usize>();
        let what = if self.blueprint.containers.len() >= CONTAINERS_MAX {
            "too many containers"
        } else if self.text_bytes > TEXT_BYTES_MAX {
            "too much text in its containers"
        } else {
            self.parties.insert(container.name.clone(), Party::Container(container.name.clone()));
            return self.blueprint.containers.push(container);
        };
        if !std::mem::replace(&mut self.too_large, true) {
            self.fault(Kind::TooLarge { what: what.into() }, &container.span);
        }
    }

    fn service(&mut self, entry: &Raw) {
        let span = self.span(entry);
        let Raw::Text(name) = entry.get("name") else {
            return self.shape(&At { span: &span, what: "name of a service" }, "a string", entry.get("name"));
        };
        let mut members = Vec::new();
        let what = format!("service '{name}'");
        if let Raw::List(entries) = entry.get("members") {
            for entry in entries {
                match self.party(entry, &what, &span) {
                    Some(Party::Container(member)) => members.push(member),
                    Some(party @ Party::Service(_)) => {
                        members.extend(self.blueprint.members(&party).into_iter().map(str::to_owned));
                    }
                    Some(Party::PublicInternet) => {
                        self.shape(&At { span: &span, what: &what }, "a list of containers", entry);
                    }
                    None => {
                        self.broken.insert(name.clone());
                    }
                }
            }
        }
        let of = format!("service '{name}'");
        let options = entry.get("options");
        if !options.is_absent() {
            match options {
                Raw::Map(_) => self.unknown_options(&of, options, &["update"], &span),
                other => {
                    self.shape(&At { span: &span, what: &format!("options of {of}") }, "an object", other);
                }
            }
        }
        let what = format!("update of {of}");
        let update = self.update(&At { span: &span, what: &what }, options.get("update"));
        self.push_service(Service { name: name.clone(), members, update, span });
    }

    /// Adds a service, and what its name is.
    fn push_service(&mut self, service: Service) {
        self.parties.insert(service.name.clone(), Party::Service(service.name.clone()));
        self.blueprint.services.push(service);
    }

    fn party(&mut self, raw: &Raw, what: &str, span: &Span) -> Option<Party> {
        if matches!(raw.get("internet"), Raw::Bool(true)) {
            return Some(Party::PublicInternet);
        }
        let Raw::Text(name) = raw.get("name") else {
            self.shape(&At { span, what }, "between things with names", raw.get("name"));
            return None;
        };
        if let Some(party) = self.parties.get(name) {
            return Some(party.clone());
        }
        if !self.broken.contains(name) && !self.too_large {
            let (what, name) = (what.to_owned(), name.clone());
            let kind = if matches!(raw.get("object"), Raw::Bool(true)) {
                Kind::Undeployed { what, name }
            } else {
                let similar = similar(&name, self.parties.keys().map(String::as_str));
                Kind::Unknown { what, name, similar }
            };
            self.fault(kind, span);
        }
        None
    }

    fn link(&mut self, entry: &Raw) {
        let span = self.span(entry);
        let through = self.chain(entry);
        let from = self.party(entry.get("from"), "the link", &span);
        let to = self.party(entry.get("to"), "the link", &span);
        if entry.get("ports").is_absent()
            && let (Some(from), Some(to)) = (&from, &to)
            && let Some(exposed) = self.exposed.get(to.name()).filter(|exposed| !exposed.is_empty())
        {
            let links = exposed.iter().map(|(ports, protocol)| Link {
                from: from.clone(),
                to: to.clone(),
                ports: *ports,
                protocol: *protocol,
                through: through.clone(),
                span: span.clone(),
            });
            return self.blueprint.links.extend(links);
        }
        if entry.get("ports").is_absent() && to.as_ref().is_some_and(|to| self.broken.contains(to.name())) {
            // What its image exposes is not known.
            return;
        }
        let what = format!("the link {} -> {}", shown(entry.get("from")), shown(entry.get("to")));
        let ports = self.ports(&what, entry.get("ports"), &span);
        let protocol = self.protocol(&what, entry, &span, Protocol::Any);
        if let (Some(from), Some(to), Some(ports), Some(protocol)) = (from, to, ports, protocol) {
            self.blueprint.links.push(Link { from, to, ports, protocol, through, span });
        }
    }

    fn publish(&mut self, entry: &Raw) {
        let span = self.span(entry);
        let to = self.party(entry.get("to"), "the published port", &span);
        let what = format!("the published port of {}", shown(entry.get("to")));
        let host = self.ports(&what, entry.get("host"), &span);
        let same = entry.get("host") == entry.get("inside");
        let inside = if same { host } else { self.ports(&what, entry.get("inside"), &span) };
        let default = match entry.get("host").get("protocol") {
            Raw::Text(word) if word == "udp" => Protocol::Udp,
            _ => Protocol::Tcp,
        };
        let protocol = self.protocol(&what, entry, &span, default);
        let (Some(to), Some(host), Some(inside), Some(protocol)) = (to, host, inside, protocol) else {
            return;
        };
        if host.min != host.max || inside.min != inside.max {
            let help = "publish each port on its own";
            return self.fault(Kind::Link { what: "a published port must be a single port", help }, &span);
        }
        let (host_port, container_port, through) = (host.min, inside.min, self.chain(entry));
        self.blueprint.publishes.push(Publish { to, host_port, container_port, protocol, through, span });
    }

    fn alias(&mut self, mut entry: Raw) {
        if let (Raw::Text(alias), Raw::Text(name)) = (entry.take("alias"), entry.take("name")) {
            self.blueprint.aliases.insert(alias, name);
        }
    }

    fn ports(&mut self, what: &str, raw: &Raw, span: &Span) -> Option<Ports> {
        let mut port = |value: &Raw| match value {
            Raw::Number(port) if port.fract() == 0.0 && (1.0..=65_535.0).contains(port) => Some(*port as u16),
            Raw::Number(port) => {
                self.fault(Kind::Port { what: what.to_owned(), found: number(*port) }, span);
                None
            }
            other => {
                let what = format!("port of {what}");
                self.shape(&At { span, what: &what }, "a number, Port or PortRange", other);
                None
            }
        };
        let (min, max) = match raw {
            Raw::Map(_) if raw.get("min") == raw.get("max") => {
                let only = port(raw.get("min"))?;
                (only, only)
            }
            Raw::Map(_) => {
                let ends = (port(raw.get("min")), port(raw.get("max")));
                (ends.0?, ends.1?)
            }
            single => {
                let only = port(single)?;
                (only, only)
            }
        };
        if min > max {
            self.fault(Kind::PortOrder { what: what.to_owned(), min, max }, span);
            return None;
        }
        Some(Ports { min, max })
    }

    fn protocol(&mut self, what: &str, entry: &Raw, span: &Span, default: Protocol) -> Option<Protocol> {
        let given = match entry.get("protocol") {
            Raw::Undefined => entry.get("ports").get("protocol"),
            given => given,
        };
        match given {
            Raw::Undefined => Some(default),
            Raw::Text(word) if word == "tcp" => Some(Protocol::Tcp),
            Raw::Text(word) if word == "udp" => Some(Protocol::Udp),
            Raw::Text(word) if word == "any" => Some(Protocol::Any),
            other => {
                let what = format!("protocol of {what}");
                self.shape(&At { span, what: &what }, "'tcp', 'udp' or 'any'", other);
                None
            }
        }
    }
}

/// How an end of a link is called in a fault.
fn shown(raw: &Raw) -> String {
    match raw.get("name") {
        Raw::Text(name) => name.clone(),
        _ => "the public internet".into(),
    }
}

/// The deployment's name where the script gives none: the file's, made a DNS label.
fn default_name(file: &str) -> String {
    let stem = std::path::Path::new(file).file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let label: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .skip_while(|c| *c == '-')
        .take(40)
        .collect();
    let label = label.trim_end_matches('-');
    if label.is_empty() { "blueprint".into() } else { label.into() }
}

/// `256M`, `1.5G`, `64KiB`: powers of 1,024.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let value: f64 = text[..digits].parse().ok()?;
    let shift = match text[digits..].trim() {
        "" | "B" => 0,
        "K" | "KB" | "KiB" | "k" => 10,
        "M" | "MB" | "MiB" | "m" => 20,
        "G" | "GB" | "GiB" | "g" => 30,
        "T" | "TB" | "TiB" | "t" => 40,
        _ => return None,
    };
    let bytes = value * (1_u64 << shift) as f64;
    (bytes.is_finite() && bytes < 9e18).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_units() {
        assert_eq!(parse_bytes("256M"), Some(256 << 20));
        assert_eq!(parse_bytes("1.5G"), Some(3 << 29));
        assert_eq!(parse_bytes("17"), Some(17));
        assert_eq!(parse_bytes("M"), None);
        assert_eq!(parse_bytes("1X"), None);
        assert_eq!(parse_bytes("99999999999999999999T"), None);
    }

    #[test]
    fn a_file_name_becomes_a_label() {
        assert_eq!(default_name("examples/shop.js"), "shop");
        assert_eq!(default_name("/x/My Shop_2.blueprint.js"), "my-shop-2-blueprint");
        assert_eq!(default_name("--.js"), "blueprint");
    }
}
