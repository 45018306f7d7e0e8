//! Compose files as drafts.

use std::collections::{BTreeMap, BTreeSet};

use super::needs::{Mention, host_variable, image_ports, mentions};
use super::{Built, Container, Dockerfile, Draft, Link, Source, dynamics, label};
use crate::compose::{
    Build, Compose, Environment, Names, PortEntry, Published, Scalar, Service, VolumeEntry, Words,
};
use crate::model::{Ports, Protocol, Restart, Text};

/// A draft of what a compose file runs. `name` is used where the file does not name its project.
pub fn draft(compose: &Compose, name: &str, origin: &str) -> Draft {
    let mut draft = Draft {
        name: label(compose.name.as_deref().unwrap_or(name)),
        origin: origin.to_owned(),
        ..Draft::default()
    };
    let mut labels: BTreeMap<&str, String> = BTreeMap::new();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for service in compose.services.keys() {
        let mut unique = label(service);
        while !taken.insert(unique.clone()) {
            unique.truncate(60);
            unique.push_str("-x");
        }
        if unique != *service {
            draft.note(format!("{service} is called {unique}: names are DNS labels"));
        }
        labels.insert(service, unique);
    }
    let nothing = Service::default();
    for (name, service) in &compose.services {
        let service = service.as_ref().unwrap_or(&nothing);
        let mut container = container(&labels[name.as_str()], service, &mut draft);
        let depends = service.depends_on.as_ref().map(Names::names).unwrap_or_default();
        container.depends_on = depends.into_iter().filter_map(|name| labels.get(name).cloned()).collect();
        draft.containers.push(container);
    }
    let services: Vec<(&str, &Service)> = compose
        .services
        .iter()
        .map(|(name, service)| (name.as_str(), service.as_ref().unwrap_or(&nothing)))
        .collect();
    for (name, service) in &services {
        let others = services.iter().filter(|(other, _)| other != name && compose.reaches(name, other));
        for (other, target) in others {
            for (ports, protocol, why) in needs(service, other, target) {
                let (from, to) = (labels[name].clone(), Some(labels[other].clone()));
                draft.link(Link { from, to, ports, protocol, why });
            }
        }
        publish(&labels[name], service, &mut draft);
    }
    for (name, service) in &services {
        let needed = draft.links.iter().any(|link| link.to.as_ref() == Some(&labels[name]));
        let waited = services.iter().any(|(_, other)| waits(other, name));
        if waited && !needed && listens(service).is_empty() {
            draft.note(format!(
                "others wait for {name}, and nothing shows on which port: there is no link to it"
            ));
        }
    }
    draft
}

fn waits(service: &Service, other: &str) -> bool {
    let depends = service.depends_on.as_ref().map(Names::names).unwrap_or_default();
    let links = service.links.iter().flatten().map(|link| link.split(':').next().unwrap_or(link));
    depends.into_iter().chain(links).any(|name| name == other)
}

/// Ports that a service is known to listen on.
fn listens(service: &Service) -> Vec<(Ports, Protocol)> {
    let mut ports = BTreeSet::new();
    for text in service.expose.iter().flatten() {
        let text = text.to_string();
        let (range, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        let (min, max) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(min), Ok(max)) = (min.parse(), max.parse()) {
            let protocol = if protocol == "udp" { Protocol::Udp } else { Protocol::Tcp };
            if 0 < min && min <= max {
                ports.insert((Ports { min, max }, protocol));
            }
        }
    }
    for port in service.ports.iter().flatten().filter_map(PortEntry::published).flatten() {
        let protocol = if port.is_udp { Protocol::Udp } else { Protocol::Tcp };
        ports.insert((Ports::one(port.container), protocol));
    }
    if let Some(image) = &service.image {
        ports.extend(image_ports(image).iter().map(|port| (Ports::one(*port), Protocol::Tcp)));
    }
    ports.into_iter().collect()
}

/// What `service` needs of `other`, and what shows it.
fn needs(service: &Service, other: &str, target: &Service) -> Vec<(Ports, Protocol, String)> {
    let mut needs = Vec::new();
    let mut unknown: Vec<String> = Vec::new();
    let mut mention = |found: Vec<Mention>, why: &str, sibling: Option<u16>| {
        for Mention { port } in found {
            match port.or(sibling) {
                Some(port) => needs.push((Ports::one(port), Protocol::Tcp, why.to_owned())),
                None => unknown.push(why.to_owned()),
            }
        }
    };
    let env = environment(service.environment.as_ref());
    for (key, value) in &env {
        let of_host = host_variable(key);
        let sibling = of_host.as_ref().and_then(|port| env.get(port)?.parse().ok()).filter(|port| *port != 0);
        mention(mentions(value, other, &[], of_host.is_some()), key, sibling);
    }
    for word in words(service.entrypoint.as_ref()).iter().chain(&words(service.command.as_ref())) {
        mention(mentions(word, other, &[], false), "command", None);
    }
    // Waiting alone shows that there is something, not on which port: then all that the other is known to have.
    if needs.is_empty() && waits(service, other) {
        unknown.push("depends_on".into());
    }
    if needs.is_empty()
        && let Some(why) = unknown.first()
    {
        needs.extend(listens(target).into_iter().map(|(ports, protocol)| (ports, protocol, why.clone())));
    }
    needs
}

fn environment(environment: Option<&Environment>) -> BTreeMap<String, String> {
    let entry = |text: &Scalar| {
        let text = text.to_string();
        let (name, value) = text.split_once('=')?;
        Some((name.to_owned(), interpolated(value)))
    };
    match environment {
        None => BTreeMap::new(),
        Some(Environment::List(list)) => list.iter().filter_map(entry).collect(),
        Some(Environment::Map(map)) => map
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), interpolated(&value.as_ref()?.to_string()))))
            .collect(),
    }
}

/// The text with what stands for variables of whoever starts it: their defaults, else nothing; `$$` is a dollar.
pub(super) fn interpolated(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = inner.find('}').unwrap_or(inner.len());
            let default =
                inner[..end].find(":-").map(|at| at + 2).or_else(|| Some(inner[..end].find('-')? + 1));
            out.push_str(default.map_or("", |at| &inner[at..end]));
            rest = inner.get(end + 1..).unwrap_or_default();
        } else {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            if end == 0 {
                out.push('$');
            }
            rest = &rest[end..];
        }
    }
    out + rest
}

/// Words of a command; a line is split as a shell would split one without variables.
fn words(words: Option<&Words>) -> Vec<String> {
    match words {
        None => Vec::new(),
        Some(Words::List(list)) => list.iter().map(|word| interpolated(&word.to_string())).collect(),
        Some(Words::Line(line)) => split(&interpolated(line)),
    }
}

fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn publish(name: &str, service: &Service, draft: &mut Draft) {
    for port in service.ports.iter().flatten().filter_map(PortEntry::published).flatten() {
        let Published { host, container, is_udp } = port;
        let protocol = if is_udp { Protocol::Udp } else { Protocol::Tcp };
        let host = host.unwrap_or(container);
        if draft.publishes.iter().any(|(_, other, _, of)| (*other, *of) == (host, protocol)) {
            draft.note(format!("port {host} of the host is taken: {name} is not published there"));
        } else {
            draft.publishes.push((name.to_owned(), host, container, protocol));
        }
    }
}

fn container(name: &str, service: &Service, draft: &mut Draft) -> Container {
    let entry = words(service.entrypoint.as_ref());
    let own = words(service.command.as_ref());
    let deploy = service.deploy.clone().unwrap_or_default();
    let limits = deploy.resources.and_then(|resources| resources.limits).unwrap_or_default();
    if service.image.is_none() && service.build.is_none() {
        draft.note(format!("{name} has no image: it runs on this machine's files"));
    }
    let lost = [
        (service.env_file.is_some(), "env_file"),
        (service.extends.is_some(), "extends"),
        (service.hostname.is_some(), "hostname"),
        (service.secrets.is_some(), "secrets"),
        (service.configs.is_some(), "configs"),
        (service.network_mode.as_deref().is_some_and(|mode| mode != "none"), "network_mode"),
    ];
    for (_, option) in lost.iter().filter(|(is, _)| *is) {
        draft.note(format!("{option} of {name} is not taken over"));
    }
    let env = environment(service.environment.as_ref())
        .into_iter()
        .map(|(key, value)| (key, Text::Plain(value)))
        .collect();
    let memory = service.mem_limit.as_ref().or(limits.memory.as_ref()).map(memory);
    let cpu = service.cpus.as_ref().or(limits.cpus.as_ref()).and_then(|cpus| cpus.to_string().parse().ok());
    let pids = service.pids_limit.and_then(|pids| u32::try_from(pids).ok()).or(limits.pids);
    Container {
        name: name.to_owned(),
        image: service.image.as_ref().map(|image| interpolated(image)),
        build: service.build.as_ref().map(|build| built(build, name, draft)),
        command: entry.into_iter().chain(own).collect(),
        env,
        files: BTreeMap::new(),
        mounts: mounts(name, service, draft),
        user: service.user.as_ref().map(|user| interpolated(&user.to_string())),
        workdir: service.working_dir.clone(),
        memory,
        cpu: cpu.filter(|cpu: &f64| *cpu > 0.0),
        pids: pids.filter(|pids| *pids > 0),
        restart: match service.restart.as_ref().map(ToString::to_string).as_deref() {
            Some(word) if word.starts_with("on-failure") => Restart::OnFailure,
            Some("always" | "unless-stopped") => Restart::Always,
            Some(_) => Restart::Never,
            // Compose starts nothing again unless told so; what is deployed is kept running.
            None => Restart::Never,
        },
        health: service.healthcheck.as_ref().and_then(dynamics::health),
        depends_on: Vec::new(),
        replicas: service.scale.or(deploy.replicas).unwrap_or(1),
    }
}

/// What an image is built from, seen from where the compose file lies.
fn built(build: &Build, name: &str, draft: &mut Draft) -> Built {
    let (context, file, text, args, target) = match build {
        Build::Context(context) => (Some(context), None, None, None, None),
        Build::Options { context, dockerfile, dockerfile_inline, args, target } => (
            context.as_ref(),
            dockerfile.as_ref(),
            dockerfile_inline.as_ref(),
            args.as_ref(),
            target.as_ref(),
        ),
    };
    let context = interpolated(context.map_or(".", |context| context));
    if context.contains("://") || context.starts_with("git@") {
        draft.note(format!("{name} is built from {context}: bring that here, and write its directory"));
    }
    let file = interpolated(file.map_or("Dockerfile", |file| file));
    let file = if file.starts_with('/') || context == "." {
        file
    } else {
        format!("{}/{file}", context.trim_end_matches('/'))
    };
    Built {
        dockerfile: text.map_or(Dockerfile::File(file), |text| Dockerfile::Text(interpolated(text))),
        context,
        args: environment(args),
        target: target.map(|target| interpolated(target)),
    }
}

/// Compose writes `512m`; weft writes `512M`.
fn memory(amount: &Scalar) -> String {
    let text = amount.to_string();
    text.trim_end_matches(['b', 'B']).to_ascii_uppercase()
}

fn mounts(name: &str, service: &Service, draft: &mut Draft) -> BTreeMap<String, (Source, bool)> {
    let mut mounts = BTreeMap::new();
    for entry in service.volumes.iter().flatten() {
        let (source, target, read_only) = match entry {
            VolumeEntry::Short(text) => {
                let text = interpolated(text);
                let mut parts = text.split(':');
                let first = parts.next().unwrap_or_default().to_owned();
                match parts.next() {
                    Some(target) => {
                        let options = parts.next().unwrap_or_default();
                        (Some(first), target.to_owned(), options.split(',').any(|option| option == "ro"))
                    }
                    None => (None, first, false),
                }
            }
            VolumeEntry::Long { kind, source, target, read_only } => {
                let source = source.clone().filter(|_| kind.as_deref() != Some("tmpfs"));
                (source, target.clone(), read_only.unwrap_or(false))
            }
        };
        let source = match source {
            None => continue,
            Some(path) if path.starts_with('/') => Source::Host(path),
            Some(path) if path.starts_with(['.', '~']) => {
                draft.note(format!("{path} of {name} is not mounted at {target}: write its absolute path"));
                continue;
            }
            Some(volume) => Source::Named(label(&volume)),
        };
        let target = target.trim_end_matches('/');
        mounts.insert(if target.is_empty() { "/".into() } else { target.to_owned() }, (source, read_only));
    }
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_their_defaults() {
        assert_eq!(interpolated("a${X:-b}c$$d${Y}e$Z/f${Q-g}$"), "abc$de/fg$");
    }

    #[test]
    fn lines_are_split_as_shells_do() {
        assert_eq!(split(r#"a "b c" d'e f'g \" '' "#), ["a", "b c", "de fg", "\"", ""]);
    }
}
