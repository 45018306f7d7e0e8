//! A draft as JavaScript.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{Built, Container, Dockerfile, Draft, Link, Source, dynamics};
use crate::model::{Ports, Protocol, Restart, Text};

/// Words that no variable can be called, and names that the blueprint imports.
const TAKEN: [&str; 57] = [
    "Container",
    "Image",
    "PortRange",
    "Secret",
    "Service",
    "Volume",
    "allow",
    "args",
    "arguments",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "deployment",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "hostPath",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "publicInternet",
    "publish",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "yield",
];

/// Writes a draft as a blueprint in weft's own dialect.
pub fn write(draft: &Draft) -> String {
    let mut text = String::new();
    let names = names(draft);
    let _ = writeln!(
        text,
        "// Made from {}. Look at each link: it is what the file shows to be needed.",
        line(&draft.origin)
    );
    for note in &draft.notes {
        let _ = writeln!(text, "// - {}", line(note));
    }
    let _ = writeln!(
        text,
        "\nimport {{ {} }} from 'weft';\n",
        imports(draft).into_iter().collect::<Vec<_>>().join(", ")
    );
    let _ = writeln!(text, "deployment({{ name: {} }});\n", quoted(&draft.name));
    for container in &draft.containers {
        let variable = &names[container.name.as_str()];
        let _ = writeln!(text, "const {variable} = new Container({}, {{", quoted(&container.name));
        options(&mut text, container);
        text.push_str("});\n");
    }
    for (name, members) in &draft.services {
        let members: Vec<&str> =
            members.iter().filter_map(|name| names.get(name.as_str())).map(String::as_str).collect();
        let _ = writeln!(
            text,
            "const {} = new Service({}, [{}]);",
            names[name.as_str()],
            quoted(name),
            members.join(", ")
        );
    }
    if !draft.links.is_empty() {
        text.push('\n');
    }
    for link in &draft.links {
        let to = link.to.as_ref().map_or("publicInternet", |to| names[to.as_str()].as_str());
        let ends = format!("{}, {to}", names[link.from.as_str()]);
        let _ = writeln!(text, "allow({ends}, {}); // {}", on(link), line(&link.why));
    }
    if !draft.publishes.is_empty() {
        text.push('\n');
    }
    for (to, host, inside, protocol) in &draft.publishes {
        let to = &names[to.as_str()];
        let _ = match protocol {
            Protocol::Udp => writeln!(text, "publish({to}, {host}, {inside}, 'udp');"),
            _ if host == inside => writeln!(text, "publish({to}, {host});"),
            _ => writeln!(text, "publish({to}, {host}, {inside});"),
        };
    }
    text
}

fn imports(draft: &Draft) -> BTreeSet<&'static str> {
    let mut imports: BTreeSet<&str> = ["Container", "deployment"].into();
    let texts =
        draft.containers.iter().flat_map(|container| container.env.values().chain(container.files.values()));
    if texts.into_iter().any(|text| matches!(text, Text::Secret { .. })) {
        imports.insert("Secret");
    }
    for (source, _) in draft.containers.iter().flat_map(|container| container.mounts.values()) {
        imports.insert(if matches!(source, Source::Host(_)) { "hostPath" } else { "Volume" });
    }
    if draft.containers.iter().any(|container| container.build.is_some()) {
        imports.insert("Image");
    }
    if !draft.services.is_empty() {
        imports.insert("Service");
    }
    if !draft.links.is_empty() {
        imports.insert("allow");
    }
    if draft.links.iter().any(|link| link.to.is_none()) {
        imports.insert("publicInternet");
    }
    if draft.links.iter().any(|link| link.ports.min != link.ports.max) {
        imports.insert("PortRange");
    }
    if !draft.publishes.is_empty() {
        imports.insert("publish");
    }
    imports
}

/// A variable for each container and service.
fn names(draft: &Draft) -> BTreeMap<&str, String> {
    let mut taken: BTreeSet<String> = TAKEN.iter().map(|word| (*word).to_owned()).collect();
    let mut names = BTreeMap::new();
    let all = draft.containers.iter().map(|container| &container.name);
    for name in all.chain(draft.services.iter().map(|(name, _)| name)) {
        let mut variable = String::new();
        let mut capital = false;
        for c in name.chars() {
            if !c.is_ascii_alphanumeric() {
                capital = !variable.is_empty();
            } else if std::mem::replace(&mut capital, false) {
                variable.push(c.to_ascii_uppercase());
            } else {
                variable.push(c);
            }
        }
        if !variable.starts_with(|c: char| c.is_ascii_alphabetic()) {
            variable.insert(0, '_');
        }
        while !taken.insert(variable.clone()) {
            variable.push('_');
        }
        names.insert(name.as_str(), variable);
    }
    names
}

/// An image that is built.
fn built(build: &Built, name: Option<&str>) -> String {
    let mut options = Vec::new();
    options.extend(name.map(|name| format!("name: {}", quoted(name))));
    options.push(match &build.dockerfile {
        Dockerfile::File(file) => format!("file: {}", quoted(file)),
        Dockerfile::Text(text) => format!("dockerfile: {}", quoted(text)),
    });
    options.push(format!("context: {}", quoted(&build.context)));
    if !build.args.is_empty() {
        let args = build.args.iter().map(|(name, value)| format!("{}: {}", quoted(name), quoted(value)));
        options.push(format!("args: {{ {} }}", args.collect::<Vec<_>>().join(", ")));
    }
    options.extend(build.target.as_ref().map(|target| format!("target: {}", quoted(target))));
    format!("new Image({{ {} }})", options.join(", "))
}

fn options(text: &mut String, container: &Container) {
    let mut option = |name: &str, value: String| {
        let _ = writeln!(text, "  {name}: {value},");
    };
    match (&container.build, &container.image) {
        (Some(build), name) => option("image", built(build, name.as_deref())),
        (None, Some(image)) => option("image", quoted(image)),
        (None, None) => {}
    }
    if !container.command.is_empty() {
        let words: Vec<String> = container.command.iter().map(|word| quoted(word)).collect();
        option("command", format!("[{}]", words.join(", ")));
    }
    if !container.env.is_empty() {
        option("env", texts(&container.env));
    }
    if !container.files.is_empty() {
        option("files", texts(&container.files));
    }
    if !container.mounts.is_empty() {
        let mounts = container.mounts.iter().map(|(path, (source, read_only))| {
            let more = if *read_only { ", { readOnly: true }" } else { "" };
            match source {
                Source::Host(from) => format!("{}: hostPath({}{more})", quoted(path), quoted(from)),
                Source::Named(name) => format!("{}: new Volume({}{more})", quoted(path), quoted(name)),
            }
        });
        option("mounts", format!("{{ {} }}", mounts.collect::<Vec<_>>().join(", ")));
    }
    if let Some(user) = &container.user {
        option("user", quoted(user));
    }
    if let Some(workdir) = &container.workdir {
        option("workdir", quoted(workdir));
    }
    if let Some(memory) = &container.memory {
        option("memory", quoted(memory));
    }
    if let Some(cpu) = container.cpu {
        option("cpu", cpu.to_string());
    }
    if let Some(pids) = container.pids {
        option("pids", pids.to_string());
    }
    match container.restart {
        Restart::Always => {}
        Restart::OnFailure => option("restart", "'on-failure'".into()),
        Restart::Never => option("restart", "'never'".into()),
    }
    if let Some(health) = &container.health {
        option("health", dynamics::written(health, quoted));
    }
    if !container.depends_on.is_empty() {
        let names: Vec<String> = container.depends_on.iter().map(|name| quoted(name)).collect();
        option("dependsOn", format!("[{}]", names.join(", ")));
    }
    if container.replicas > 1 {
        option("replicas", container.replicas.to_string());
    }
}

fn texts(texts: &BTreeMap<String, Text>) -> String {
    // A member called `__proto__` would not be one (ECMA-262, section 13.2.5.5), unless its name is computed.
    let key = |key: &str| if key == "__proto__" { "['__proto__']".to_owned() } else { quoted(key) };
    let members = texts.iter().map(|(name, text)| match text {
        Text::Plain(text) => format!("    {}: {},\n", key(name), quoted(text)),
        Text::Secret { secret } => format!("    {}: new Secret({}),\n", key(name), quoted(secret)),
    });
    format!("{{\n{}  }}", members.collect::<String>())
}

fn on(link: &Link) -> String {
    let Ports { min, max } = link.ports;
    let ports = if min == max { min.to_string() } else { format!("new PortRange({min}, {max})") };
    match link.protocol {
        Protocol::Any => ports,
        protocol => format!("{ports}, '{protocol}'"),
    }
}

/// A string of JavaScript: JSON's strings are (ECMA-262, section 12.9.4).
fn quoted(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap_or_default();
    // Single quotes, as the examples have them, where nothing has to be escaped.
    if json.contains(['\\', '\'']) { json } else { format!("'{}'", &json[1..json.len() - 1]) }
}

/// A text that stays within its comment: every terminator of a line ends one.
fn line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}
