//! What waits for what: dependencies exist, and none waits for itself.

use std::collections::{HashMap, HashSet};

use super::Known;
use crate::fault::{Fault, Kind};
use crate::model::{Blueprint, Party, Span};

pub(super) fn check(blueprint: &Blueprint, known: &Known<'_>, faults: &mut Vec<Fault>) {
    for container in &blueprint.containers {
        for party in &container.depends_on {
            let what = format!("dependsOn of container '{}'", container.name);
            let kind = match party {
                Party::PublicInternet => Some(Kind::Shape {
                    what,
                    expected: "a list of containers and services",
                    found: "the public internet".into(),
                }),
                party => known.missing(party, &what),
            };
            faults.extend(kind.map(|kind| Fault::new(kind, container.span.clone())));
        }
    }
    if blueprint.containers.iter().any(|container| !container.depends_on.is_empty()) {
        cycles(blueprint, faults);
    }
}

/// Containers, then services, and what each waits for: a service for its members.
struct Graph<'a> {
    names: Vec<&'a str>,
    spans: Vec<&'a Span>,
    edges: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    fn of(blueprint: &'a Blueprint) -> Self {
        let number = |names: &mut dyn Iterator<Item = &'a String>, from: usize| -> HashMap<&'a str, usize> {
            names.enumerate().map(|(at, name)| (name.as_str(), from + at)).collect()
        };
        let containers = number(&mut blueprint.containers.iter().map(|container| &container.name), 0);
        let count = blueprint.containers.len();
        let services = number(&mut blueprint.services.iter().map(|service| &service.name), count);
        let at = |party: &Party| match party {
            Party::Container(name) => containers.get(name.as_str()).copied(),
            Party::Service(name) => services.get(name.as_str()).copied(),
            Party::PublicInternet => None,
        };
        let waits = blueprint.containers.iter().map(|one| one.depends_on.iter().filter_map(at).collect());
        let members = blueprint.services.iter().map(|service| {
            service.members.iter().filter_map(|member| containers.get(member.as_str()).copied()).collect()
        });
        Self {
            names: blueprint
                .containers
                .iter()
                .map(|container| container.name.as_str())
                .chain(blueprint.services.iter().map(|service| service.name.as_str()))
                .collect(),
            spans: blueprint
                .containers
                .iter()
                .map(|container| &container.span)
                .chain(blueprint.services.iter().map(|service| &service.span))
                .collect(),
            edges: waits.chain(members).collect(),
        }
    }
}

/// Depth first with a stack of its own, since a chain may be as long as there are containers.
fn cycles(blueprint: &Blueprint, faults: &mut Vec<Fault>) {
    let graph = Graph::of(blueprint);
    let (mut entered, mut left) = (vec![false; graph.names.len()], vec![false; graph.names.len()]);
    let mut told: HashSet<&Span> = HashSet::new();
    for start in 0..blueprint.containers.len() {
        if entered[start] {
            continue;
        }
        entered[start] = true;
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.last_mut() {
            let Some(&to) = graph.edges[*node].get(*next) else {
                left[*node] = true;
                path.pop();
                continue;
            };
            *next += 1;
            if !entered[to] {
                entered[to] = true;
                path.push((to, 0));
            } else if !left[to] {
                let from = path.iter().position(|(node, _)| *node == to).unwrap_or(0);
                let cycle: Vec<usize> = path[from..].iter().map(|(node, _)| *node).collect();
                faults.extend(fault(&graph, &cycle, blueprint.containers.len(), &mut told));
            }
        }
    }
}

/// The fault of a cycle, unless one at the same place was told of.
fn fault<'a>(
    graph: &Graph<'a>,
    cycle: &[usize],
    containers: usize,
    told: &mut HashSet<&'a Span>,
) -> Option<Fault> {
    let nexts = cycle.iter().skip(1).chain(cycle.first());
    let waits = |(from, to): (&usize, &usize)| {
        let text = format!("{} waits for {}", graph.names[*from], graph.names[*to]);
        (*from < containers).then(|| (text, graph.spans[*from].clone()))
    };
    let places: Vec<(String, Span)> = cycle.iter().zip(nexts).filter_map(waits).collect();
    let span =
        cycle.iter().map(|node| graph.spans[*node]).min_by_key(|span| (span.file.as_str(), span.offset))?;
    if span.is_known() && !told.insert(span) {
        return None;
    }
    let names = cycle.iter().chain(cycle.first()).map(|node| graph.names[*node].to_owned()).collect();
    Some(Fault::new(Kind::Cycle { names, places }, span.clone()))
}

#[cfg(test)]
mod tests {
    use crate::eval::{Options, evaluate_text};

    fn faults(text: &str) -> Vec<String> {
        let text = format!(
            "import {{Container, Service}} from 'weft';\nconst c = (name, ...dependsOn) => new Container(name, {{command: 'x', dependsOn}});\n{text}"
        );
        let blueprint = evaluate_text("a.js", &text, &Options::default()).unwrap().blueprint;
        crate::check::check(&blueprint, &|_| true).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn who_waits_for_others_waits_for_all_of_them() {
        assert_eq!(
            faults("const a = c('a'); const s = new Service('s', [a]); c('b', s, a); c('d', 'b')"),
            [""; 0]
        );
    }

    #[test]
    fn a_circle_is_told_once_with_its_names() {
        assert_eq!(
            faults("c('a', 'b'); c('b', 'd'); c('d', 'a'); c('e', 'a')"),
            ["containers wait for each other: a -> b -> d -> a"]
        );
        assert_eq!(faults("c('a', 'a')"), ["containers wait for each other: a -> a"]);
        assert_eq!(
            faults("c('a', 's'); const b = c('b', 'a'); new Service('s', [b]);"),
            ["containers wait for each other: a -> s -> b -> a"]
        );
        let long: String = (0..5000).map(|at| format!("c('n{at}', 'n{}');", (at + 1) % 5000)).collect();
        assert_eq!(faults(&long).len(), 1);
    }
}
