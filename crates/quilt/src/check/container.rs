//! One container on its own: something to run, texts a program can be given, sane paths and limits.

use std::path::{Component, Path};

use super::{COMMAND_BYTES_MAX, ENV_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX, MEMORY_BYTES_MIN};
use crate::fault::{Fault, Kind};
use crate::model::{Container, Image, MountSource, Probe, Restart, Text};

pub(super) fn check(container: &Container, secret: &dyn Fn(&str) -> bool, faults: &mut Vec<Fault>) {
    let mut kinds = Vec::new();
    command(container, &mut kinds);
    env(container, &mut kinds);
    files(container, &mut kinds);
    mounts(container, &mut kinds);
    identity(container, &mut kinds);
    limits(container, &mut kinds);
    secrets(container, secret, &mut kinds);
    health(container, &mut kinds);
    faults.extend(kinds.into_iter().map(|kind| Fault::new(kind, container.span.clone())));
}

fn text(container: &Container, what: impl Into<String>, reason: &'static str) -> Kind {
    Kind::Text { name: container.name.clone(), what: what.into(), reason }
}

fn command(container: &Container, kinds: &mut Vec<Kind>) {
    let empty = container.command.first().is_none_or(String::is_empty);
    if empty {
        let image = match &container.image {
            Image::Alias(image) => Some(image.clone()),
            Image::Host | Image::Scratch | Image::Oci(_) | Image::Built(_) => None,
        };
        kinds.push(Kind::NoCommand { name: container.name.clone(), image });
    }
    if container.command.iter().any(|word| word.contains('\0')) {
        kinds.push(text(container, "command", "has a zero byte"));
    }
    if container.command.iter().map(|word| word.len() + 1).sum::<usize>() > COMMAND_BYTES_MAX {
        kinds.push(text(container, "command", "is longer than 64 KiB"));
    }
}

fn env(container: &Container, kinds: &mut Vec<Kind>) {
    let mut bytes = 0;
    for (name, value) in &container.env {
        bytes += name.len() + 2;
        if name.is_empty() || name.contains(['=', '\0']) {
            let what = format!("environment variable '{}'", name.escape_debug());
            kinds.push(text(container, what, "has no valid name"));
        }
        if let Text::Plain(value) = value {
            bytes += value.len();
            if value.contains('\0') {
                kinds.push(text(container, format!("environment variable '{name}'"), "has a zero byte"));
            }
        }
    }
    if bytes > ENV_BYTES_MAX {
        kinds.push(text(container, "environment", "is larger than 64 KiB"));
    }
}

fn files(container: &Container, kinds: &mut Vec<Kind>) {
    for (path, content) in &container.files {
        self::path(container, path, kinds);
        if matches!(content, Text::Plain(content) if content.len() > FILE_BYTES_MAX) {
            kinds.push(text(container, format!("file '{path}'"), "is larger than 1 MiB"));
        }
    }
    if container.files.len() > FILES_MAX {
        kinds.push(text(container, "list of files", "is longer than 1000"));
    }
    // A file cannot also be a directory: BTreeMap order puts `/a` before `/a/b`.
    for path in container.files.keys() {
        let parents = Path::new(path).ancestors().skip(1);
        let clash = parents.filter_map(Path::to_str).any(|parent| container.files.contains_key(parent));
        if clash {
            kinds.push(path_fault(container, path, "lies below another file"));
        }
    }
}

fn mounts(container: &Container, kinds: &mut Vec<Kind>) {
    for (at, mount) in container.mounts.iter().enumerate() {
        self::path(container, &mount.target, kinds);
        if container.mounts[..at].iter().any(|other| other.target == mount.target) {
            kinds.push(path_fault(container, &mount.target, "is mounted twice"));
        }
        match &mount.source {
            MountSource::Host(path) => self::path(container, path, kinds),
            MountSource::Named(name) => {
                let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                if name.is_empty() || name.len() > 63 || !name.chars().all(allowed) {
                    let what = format!("volume name '{}'", name.escape_debug());
                    kinds.push(text(container, what, "must be 1 to 63 letters, digits, '-' and '_'"));
                }
            }
        }
    }
}

fn identity(container: &Container, kinds: &mut Vec<Kind>) {
    if let Some(user) = &container.user {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if user.is_empty() || user.len() > 64 || !user.chars().all(allowed) {
            let what = format!("user '{}'", user.escape_debug());
            kinds.push(text(container, what, "must be a user name, a uid or uid:gid"));
        }
    }
    if let Some(workdir) = container.workdir.as_ref().filter(|workdir| *workdir != "/") {
        self::path(container, workdir, kinds);
    }
}

fn limits(container: &Container, kinds: &mut Vec<Kind>) {
    let mut fault = |what: &'static str, found: String, allowed: &'static str| {
        kinds.push(Kind::Limit { name: container.name.clone(), what, found, allowed });
    };
    match container.limits.memory_bytes {
        Some(bytes) if bytes < MEMORY_BYTES_MIN => {
            fault("memory", format!("of {bytes} bytes"), "give it at least 1 MiB, such as '64M'");
        }
        _ => {}
    }
    if container.limits.cpu_milli == Some(0) {
        fault("cpu", "of 0".into(), "a number of cores above 0, such as 0.5");
    }
    if container.limits.pids == Some(0) {
        fault("pids", "of 0".into(), "give it at least 1 process");
    }
}

fn secrets(container: &Container, secret: &dyn Fn(&str) -> bool, kinds: &mut Vec<Kind>) {
    for value in container.env.values().chain(container.files.values()) {
        if let Text::Secret { secret: name } = value
            && (name.is_empty() || !secret(name))
        {
            kinds.push(Kind::NoSecret { container: container.name.clone(), name: name.clone() });
        }
    }
}

fn health(container: &Container, kinds: &mut Vec<Kind>) {
    let Some(health) = &container.health else { return };
    if health.restart_after.is_some() && container.restart == Restart::Never {
        kinds.push(text(container, "restartAfter of the health check", "contradicts `restart: 'never'`"));
    }
    if let Probe::Command(words) = &health.probe {
        if words.iter().any(|word| word.contains('\0')) {
            kinds.push(text(container, "command of the health check", "has a zero byte"));
        }
        if words.iter().map(|word| word.len() + 1).sum::<usize>() > COMMAND_BYTES_MAX {
            kinds.push(text(container, "command of the health check", "is longer than 64 KiB"));
        }
    }
}

fn path_fault(container: &Container, path: &str, reason: &'static str) -> Kind {
    Kind::Path { name: container.name.clone(), path: path.escape_debug().to_string(), reason }
}

/// A path must be absolute, name something below `/`, and be written in its shortest form.
fn path(container: &Container, path: &str, kinds: &mut Vec<Kind>) {
    const PATH_BYTES_MAX: usize = 4_095; // PATH_MAX of linux/limits.h, without its zero byte
    let mut components = Path::new(path).components();
    let reason = if !path.starts_with('/') {
        "is not absolute"
    } else if path.contains('\0') {
        "has a zero byte"
    } else if path.len() > PATH_BYTES_MAX || path.split('/').any(|part| part.len() > 255) {
        "is too long"
    } else if components.any(|part| part == Component::ParentDir)
        || path.split('/').skip(1).any(|part| part.is_empty() || part == ".")
    {
        "is not in its shortest form"
    } else {
        return;
    };
    kinds.push(path_fault(container, path, reason));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Limits, Mount};

    fn faults(container: &Container) -> Vec<String> {
        let mut faults = Vec::new();
        check(container, &|name| name == "known", &mut faults);
        faults.iter().map(ToString::to_string).collect()
    }

    fn sound() -> Container {
        Container { name: "c".into(), command: vec!["true".into()], ..Container::default() }
    }

    #[test]
    fn paths_are_absolute_and_normal() {
        for bad in ["etc/x", "/", "/etc/../x", "/etc/./x", "/etc//x", "/etc/", "", "/a\0b"] {
            let container = Container { files: [(bad.to_owned(), "".into())].into(), ..sound() };
            assert_eq!(faults(&container).len(), 1, "{bad:?}: {:?}", faults(&container));
        }
        let container = Container { files: [("/etc/a b".to_owned(), "".into())].into(), ..sound() };
        assert_eq!(faults(&container), Vec::<String>::new());
    }

    #[test]
    fn a_file_is_no_directory() {
        let files = ["/a", "/a/b/c", "/ab"].map(|path| (path.to_owned(), Text::from("")));
        let container = Container { files: files.into(), ..sound() };
        assert_eq!(faults(&container), ["path '/a/b/c' of container 'c' lies below another file"]);
    }

    #[test]
    fn every_fault_is_reported() {
        let container = Container {
            command: vec![],
            env: [("A=B".to_owned(), "x\0".into()), ("S".to_owned(), Text::Secret { secret: "lost".into() })]
                .into(),
            mounts: vec![Mount {
                source: MountSource::Named("a/b".into()),
                target: "x".into(),
                read_only: false,
            }],
            user: Some("no way".into()),
            limits: Limits { memory_bytes: Some(1), cpu_milli: Some(0), pids: Some(0) },
            ..sound()
        };
        assert_eq!(faults(&container).len(), 10, "{:#?}", faults(&container));
    }
}
