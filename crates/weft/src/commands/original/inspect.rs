//! `quilt inspect`: a blueprint as a picture of who may connect to whom.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use miette::miette;
use quilt::daemon::Deployment;

use super::failed;
use super::flags::Flags;
use super::run::compile;

pub(super) fn run(flags: &Flags) -> miette::Result<ExitCode> {
    let [file, format, ..] = flags.words.as_slice() else {
        return Err(miette!("not enough arguments: quilt inspect BLUEPRINT OUTPUT_FORMAT"));
    };
    let deployment = compile(file)?;
    // Up to the first dot, as it was.
    let slug = file.split_once('.').map_or("", |(slug, _)| slug);
    let slug = if slug.is_empty() {
        Path::new(file).file_stem().map_or(file.as_str().into(), |stem| stem.to_string_lossy())
    } else {
        slug.into()
    };
    match format.as_str() {
        "graphviz" => std::fs::write(format!("{slug}.dot"), graphviz(&deployment)).map_err(failed)?,
        "pdf" => pdf(&graphviz(&deployment), &format!("{slug}.pdf"))?,
        "ascii" => print!("{}", ascii(&deployment)),
        other => return Err(miette!("'{other}' is no output format: there are pdf, ascii and graphviz")),
    }
    Ok(ExitCode::SUCCESS)
}

/// Containers, by identifier, and those that each may connect to.
fn edges(deployment: &Deployment) -> BTreeSet<(&str, &str)> {
    let members = |label: &str| -> Vec<&str> {
        let found = deployment.labels.iter().find(|one| one.name == label);
        found.map_or_else(|| vec!["public"], |label| label.ids.iter().map(String::as_str).collect())
    };
    let mut edges = BTreeSet::new();
    for connection in &deployment.connections {
        for from in members(&connection.from) {
            edges.extend(members(&connection.to).into_iter().filter(|to| *to != from).map(|to| (from, to)));
        }
    }
    edges
}

/// The text that the original gave graphviz: all that may run on one machine in one box, and an arrow for each permission.
fn graphviz(deployment: &Deployment) -> String {
    let nodes: BTreeSet<&str> =
        deployment.labels.iter().flat_map(|label| &label.ids).map(String::as_str).chain(["public"]).collect();
    let nodes: String = nodes.iter().map(|node| format!("{node}; ")).collect();
    let mut text = format!("strict digraph {{\n    subgraph cluster_0 {{\n        {nodes}\n    }}\n");
    for (from, to) in edges(deployment) {
        text += &format!("    {from} -> {to}\n\n");
    }
    text + "}\n"
}

fn pdf(dot: &str, path: &str) -> miette::Result<()> {
    let mut child =
        Command::new("dot").args(["-Tpdf", "-o", path]).stdin(Stdio::piped()).spawn().map_err(|error| {
            miette!(help = "install graphviz (Debian: apt-get install graphviz)", "cannot run dot: {error}")
        })?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(dot.as_bytes()).map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    if status.success() { Ok(()) } else { Err(miette!("dot: {status}")) }
}

/// Drawn by graph-easy where it is installed; else a line for each label that may connect, and where to.
fn ascii(deployment: &Deployment) -> String {
    drawn(&graphviz(deployment)).unwrap_or_else(|| listed(deployment))
}

fn drawn(dot: &str) -> Option<String> {
    let mut child = Command::new("graph-easy")
        .arg("--as_ascii")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(dot.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn listed(deployment: &Deployment) -> String {
    let boxed = |name: &str| format!("[ {name} ]");
    let mut lines = Vec::new();
    let mut joined = BTreeSet::new();
    for connection in &deployment.connections {
        let ports = match connection.minport == connection.maxport {
            true => connection.minport.to_string(),
            false => format!("{}-{}", connection.minport, connection.maxport),
        };
        lines.push((boxed(&connection.from), ports, boxed(&connection.to)));
        joined.extend([&connection.from, &connection.to]);
    }
    let wide = lines.iter().map(|(from, ..)| from.chars().count()).max().unwrap_or(0);
    let long = lines.iter().map(|(_, ports, _)| ports.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (from, ports, to) in lines {
        text += &format!("{from:wide$} --{ports:->long$}--> {to}\n");
    }
    for label in deployment.labels.iter().filter(|label| !joined.contains(&label.name)) {
        text += &format!("{}\n", boxed(&label.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENT: &str = r#"{"labels": [{"name": "web", "ids": ["a", "b"]}, {"name": "db", "ids": ["c"]}, {"name": "x", "ids": ["d"]}],
        "connections": [{"from": "web", "to": "db", "minPort": 80, "maxPort": 80}, {"from": "public", "to": "web", "minPort": 8, "maxPort": 8}]}"#;

    #[test]
    fn every_permission_is_an_arrow() {
        let deployment = Deployment::parse(DEPLOYMENT).unwrap();
        let expected = "strict digraph {\n    subgraph cluster_0 {\n        a; b; c; d; public; \n    }\n    a -> c\n\n    b -> c\n\n    \
                        public -> a\n\n    public -> b\n\n}\n";
        assert_eq!(graphviz(&deployment), expected);
        assert_eq!(listed(&deployment), "[ web ]    --80--> [ db ]\n[ public ] ---8--> [ web ]\n[ x ]\n");
    }
}
