//! Emulated links: between what exists, and one between two at most.

use std::collections::HashMap;

use super::{EMULATED_MAX, Known};
use crate::fault::{Fault, Kind};
use crate::model::{Blueprint, EmulatedLink, Party, Span};

/// Pairs of containers that all links together may join.
const PAIRS_MAX: usize = softnic::fabric::program::LINK_PAIRS_MAX;

pub(super) fn check(blueprint: &Blueprint, known: &Known<'_>, faults: &mut Vec<Fault>) {
    if let Some(link) = blueprint.emulated.get(EMULATED_MAX) {
        let what = format!("more than {EMULATED_MAX} emulated links");
        return faults.push(Fault::new(Kind::TooLarge { what }, link.span.clone()));
    }
    let mut joined: HashMap<(&str, &str), &Span> = HashMap::new();
    for link in &blueprint.emulated {
        let ends = ends(link, known);
        if !ends.is_empty() {
            faults.extend(ends.into_iter().map(|kind| Fault::new(kind, link.span.clone())));
            continue;
        }
        let (a, b) = (blueprint.members(&link.a), blueprint.members(&link.b));
        if joined.len() + a.len().saturating_mul(b.len()) > PAIRS_MAX {
            let what =
                format!("more than {PAIRS_MAX} pairs of containers with an emulated link between them");
            return faults.push(Fault::new(Kind::TooLarge { what }, link.span.clone()));
        }
        faults.extend(twice(link, &a, &b, &mut joined).map(|kind| Fault::new(kind, link.span.clone())));
    }
}

/// What is wrong with the ends of a link.
fn ends(link: &EmulatedLink, known: &Known<'_>) -> Vec<Kind> {
    let outside = |party: &Party| {
        (*party == Party::PublicInternet).then_some(Kind::Link {
            what: "the public internet cannot be an end of an emulated link",
            help: "emulate links between containers and services",
        })
    };
    [&link.a, &link.b]
        .into_iter()
        .filter_map(|party| known.missing(party, "the link").or_else(|| outside(party)))
        .collect()
}

/// The first pair of containers that has a link already, or that is one container.
fn twice<'a>(
    link: &'a EmulatedLink,
    a: &[&'a str],
    b: &[&'a str],
    joined: &mut HashMap<(&'a str, &'a str), &'a Span>,
) -> Option<Kind> {
    for a in a {
        for b in b {
            let (a, b) = (*a, *b);
            if a == b {
                return Some(Kind::Link {
                    what: "an emulated link has the same container at both ends",
                    help: "emulate links between containers and services that have none in common",
                });
            }
            if let Some(first) = joined.insert((a.min(b), a.max(b)), &link.span) {
                let (a, b, first) = (a.to_owned(), b.to_owned(), first.clone());
                return Some(Kind::LinkedTwice { a, b, first });
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::check::check;
    use crate::eval::{Options, evaluate_text};

    const HEAD: &str = "import {Container, Service, link, publicInternet} from 'weft';
const [a, b, c] = ['a', 'b', 'c'].map((name) => new Container(name, {command: ['x']}));
const both = new Service('both', [a, b]);
const wan = {rate: '50mbit', delay: '40ms'};
";

    fn faults(lines: &str) -> Vec<String> {
        let evaluated = evaluate_text("a.js", &format!("{HEAD}{lines}"), &Options::default()).unwrap();
        let found = match evaluated.faults.is_empty() {
            true => check(&evaluated.blueprint, &|_| true),
            false => evaluated.faults,
        };
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_make_sense() {
        assert_eq!(
            faults("link(a, b, wan); link(both, c, {...wan, loss: '0.1%', jitter: '1ms', buffer: 9000});"),
            [""; 0]
        );
    }

    #[test]
    fn links_that_make_none() {
        for (lines, fault) in [
            ("link(a, 'd', wan)", "the link names 'd', which does not exist"),
            ("link(a, publicInternet, wan)", "the public internet cannot be an end of an emulated link"),
            ("link(a, a, wan)", "an emulated link has the same container at both ends"),
            ("link(both, b, wan)", "an emulated link has the same container at both ends"),
            (
                "link(a, c, wan); link(c, both, wan)",
                "packets between c and a would go over two emulated links",
            ),
        ] {
            assert_eq!(faults(lines), [fault], "{lines}");
        }
        for (options, fault) in [
            (
                "",
                "options of the link a <-> b must be an object such as { rate: '50mbit', delay: '40ms' }, found nothing",
            ),
            (
                "{delay: '1ms'}",
                "rate of the link a <-> b must be a rate such as '50mbit' or '1gbit', found nothing",
            ),
            (
                "{rate: '50mbit', delay: 40}",
                "delay of the link a <-> b must be a time such as '40ms', up to '1000000s', found 40",
            ),
            (
                "{rate: '50mbit', loss: 2}",
                "loss of the link a <-> b must be a share of packets, such as 0.001 or '0.1%', found 2",
            ),
            (
                "{rate: '50mbit', buffer: 'big'}",
                "buffer of the link a <-> b must be bytes, '64KB', or '0.5bdp', found 'big'",
            ),
            ("{rate: '50mbit', delays: '1ms'}", "the link a <-> b has no option 'delays'"),
        ] {
            assert_eq!(faults(&format!("link(a, b, {options})").replace(", )", ")")), [fault], "{options}");
        }
        let many = "for (let at = 0; at < 70; at += 1) link(a, c, wan);";
        assert_eq!(faults(many), ["the blueprint is too large: more than 64 emulated links"]);
    }
}
