//! Network functions: ones that can be on a link, with arguments that they take; and what goes through them, once.

use std::collections::{HashMap, HashSet};

use netbricks::functions::{Kind as NetworkKind, Setup};
use netbricks::{Args, ArgsError};
use packet::{Pool, PoolConfig};

use super::{CHAIN_MAX, INSTANCES_MAX, Known, LED_MAX, names};
use crate::fault::{Fault, Kind, similar};
use crate::model::{Blueprint, Link, NetworkFunction, Party, Protocol, Span};

/// Functions that make sense on a link: they pass what they are given on as it is, or drop it, or answer it.
const ON_LINKS: [&str; 5] = ["acl", "firewall", "monitor", "ratelimit", "signature"];

/// Why others do not.
const NOT_ON_LINKS: [(&str, &str); 12] = [
    ("delay", "links are delayed by `link(a, b, { rate, delay })`"),
    ("dump", "packets are shown by `tcpdump` in a container, see examples/capture.js"),
    ("generate", "it makes packets of its own"),
    ("macswap", "it sends all back"),
    ("maglev", "connections are shared out by `new Service(name, containers)`"),
    ("nat44", "it changes addresses, by which the network knows its connections"),
    ("nat64", "it changes addresses, by which the network knows its connections"),
    ("payload", "it writes files of this machine"),
    ("ping", "the network answers for its own addresses"),
    ("router", "the network is its own router"),
    ("streams", "it writes files of this machine"),
    ("synguard", "its servers are at the side that opens connections here"),
];

pub(super) fn check(blueprint: &Blueprint, known: &Known<'_>, faults: &mut Vec<Fault>) {
    let instances: usize = blueprint.functions.iter().map(|function| usize::from(function.instances)).sum();
    if instances > usize::from(INSTANCES_MAX) {
        let what =
            format!("{instances} instances of network functions: at most {INSTANCES_MAX} are possible");
        let span = blueprint.functions.last().map(|function| function.span.clone()).unwrap_or_default();
        return faults.push(Fault::new(Kind::TooLarge { what }, span));
    }
    let mut taken: HashMap<&str, &Span> = HashMap::new();
    for function in &blueprint.functions {
        let mut fault = |kind: Kind| faults.push(Fault::new(kind, function.span.clone()));
        if let Some(reason) = names::label(&function.name) {
            fault(Kind::Name { what: "network function", name: function.name.clone(), reason });
        }
        if let Some(kind) = name_taken(blueprint, known, function, &mut taken) {
            fault(kind);
        }
        if let Some(kind) = cannot_run(function) {
            fault(kind);
        }
    }
    let led = blueprint.links.iter().map(|link| (&link.through, &link.span));
    let led = led.chain(blueprint.publishes.iter().map(|publish| (&publish.through, &publish.span)));
    for (through, span) in led {
        faults.extend(chain(through, &taken).into_iter().map(|kind| Fault::new(kind, span.clone())));
    }
    two_ways(blueprint, faults);
}

fn name_taken<'a>(
    blueprint: &'a Blueprint,
    known: &Known<'_>,
    function: &'a NetworkFunction,
    taken: &mut HashMap<&'a str, &'a Span>,
) -> Option<Kind> {
    let name = function.name.as_str();
    if let Some(first) = taken.insert(name, &function.span) {
        let first = first.clone();
        return Some(Kind::Duplicate { what: "network functions", name: name.to_owned(), first });
    }
    let other = match (known.containers.contains(name), known.services.contains(name)) {
        (true, _) => blueprint.container(name).map(|container| &container.span),
        (_, true) => blueprint.service(name).map(|service| &service.span),
        _ => None,
    };
    other.map(|first| Kind::Duplicate { what: "things", name: name.to_owned(), first: first.clone() })
}

/// Why a function cannot be what it says: it is built, as the dataplane builds it.
fn cannot_run(function: &NetworkFunction) -> Option<Kind> {
    let fault = |what: String, help: String| {
        Some(Kind::Function { what: format!("network function '{}': {what}", function.name), help })
    };
    let Some((name, arguments)) = function.run.split_first() else {
        // What `run` is has been told already, or it is empty.
        return fault("it runs nothing".into(), format!("say what, with `run`: {}", ON_LINKS.join(", ")));
    };
    if !ON_LINKS.contains(&name.as_str()) {
        let Some((_, why)) = NOT_ON_LINKS.iter().find(|(kind, _)| kind == name) else {
            let meant = similar(name, ON_LINKS);
            let help = meant.map(|meant| format!("did you mean '{meant}'?"));
            let what = ArgsError::Function(name.clone()).to_string();
            return fault(what, help.unwrap_or_else(|| format!("links go through: {}", ON_LINKS.join(", "))));
        };
        let help = format!("{why}; links go through: {}", ON_LINKS.join(", "));
        return fault(format!("{name} cannot be on a link"), help);
    }
    // Blueprints read files with `fs`, below their own directory, and write none.
    let file = |word: &&String| word.starts_with("file=") || word.contains("=@");
    if let Some(word) = arguments.iter().find(file) {
        let help = "give rules one by one, `rule=…`; what a blueprint reads from files it reads with `fs`";
        return fault(format!("{name}: '{word}' names a file of this machine"), help.into());
    }
    let manual = || format!("`weft netbricks list {name}` says what it takes");
    if let Some(word) = arguments.iter().find(|word| !word.contains('=')) {
        let help = "arguments are KEY=VALUE; further functions are functions of their own: `.through(a, b)`";
        return fault(format!("{name}: '{word}' is no argument"), help.into());
    }
    let built = (|| {
        let kind = NetworkKind::find(name).ok_or_else(|| ArgsError::Function(name.clone()))?;
        let mut args = Args::parse(name, arguments)?;
        match Pool::new(PoolConfig { buffers: 1, ..PoolConfig::default() }) {
            Ok(pool) => kind.build(&mut args, &Setup { pool, key: 0, seed: 0 }).map(drop),
            // Without memory for one packet nothing can be said of it here; the dataplane will.
            Err(_) => Ok(()),
        }
    })();
    built.err().and_then(|error| fault(error.to_string(), manual()))
}

/// What is wrong with a chain.
fn chain(through: &[String], functions: &HashMap<&str, &Span>) -> Vec<Kind> {
    if through.len() > CHAIN_MAX {
        let what = format!(
            "a link goes through {} network functions: at most {CHAIN_MAX} are possible",
            through.len()
        );
        return vec![Kind::TooLarge { what }];
    }
    let mut seen = HashSet::new();
    let mut kinds = Vec::new();
    for name in through {
        if !seen.insert(name) {
            let what = format!("the link goes through '{name}' twice");
            let help = "name each function once; for two alike make two: `new NF(…)`".into();
            kinds.push(Kind::Function { what, help });
        } else if !functions.contains_key(name.as_str()) {
            let what = format!("the link goes through '{name}', which is no network function");
            let help = match similar(name, functions.keys().copied()) {
                Some(meant) => format!("did you mean '{meant}'?"),
                None => "make it: `new NF(name, { run: 'monitor' })`, of 'weft/nf'".into(),
            };
            kinds.push(Kind::Function { what, help });
        }
    }
    kinds
}

/// Packets that one link leads through functions, and another through others or none: which of them is in force would
/// depend on their order.
fn two_ways(blueprint: &Blueprint, faults: &mut Vec<Fault>) {
    let led: Vec<(usize, &Link)> =
        blueprint.links.iter().enumerate().filter(|(_, link)| !link.through.is_empty()).collect();
    if let Some((_, link)) = led.get(LED_MAX) {
        let what = format!("more than {LED_MAX} links that go through network functions");
        return faults.push(Fault::new(Kind::TooLarge { what }, link.span.clone()));
    }
    for (at, link) in &led {
        let another = blueprint.links.iter().enumerate().find(|(other_at, other)| {
            // Of two that are led, the later one is at fault.
            let counts = other.through.is_empty() || other_at < at;
            counts && other.through != link.through && overlap(blueprint, link, other)
        });
        if let Some((_, other)) = another {
            let what = format!("{link}; but a part of that also goes {}", words(&other.through));
            faults.push(Fault::new(ambiguous(what, &other.span), link.span.clone()));
        }
    }
    for (at, publish) in blueprint.publishes.iter().enumerate() {
        let another = blueprint.publishes[..at].iter().find(|other| {
            other.through != publish.through
                && (&other.to, other.container_port, other.protocol)
                    == (&publish.to, publish.container_port, publish.protocol)
        });
        if let Some(other) = another {
            let what = format!(
                "{publish}; but what comes by port {} goes {}",
                other.host_port,
                words(&other.through)
            );
            faults.push(Fault::new(ambiguous(what, &other.span), publish.span.clone()));
        }
    }
}

fn words(through: &[String]) -> String {
    if through.is_empty() { "through none".into() } else { format!("through {}", through.join(", ")) }
}

fn ambiguous(what: String, other: &Span) -> Kind {
    let help = format!("the other is at {other}: lead both through the same, or allow each packet once");
    Kind::Function { what, help }
}

/// Whether two links allow a packet in common.
fn overlap(blueprint: &Blueprint, one: &Link, other: &Link) -> bool {
    let protocols = [one.protocol, other.protocol];
    let same_protocol = protocols.contains(&Protocol::Any) || one.protocol == other.protocol;
    same_protocol
        && one.ports.min <= other.ports.max
        && other.ports.min <= one.ports.max
        && meet(blueprint, &one.to, &other.to)
        && meet(blueprint, &one.from, &other.from)
}

/// Whether two parties are the same, or have a container in common.
fn meet(blueprint: &Blueprint, one: &Party, other: &Party) -> bool {
    one == other || {
        let members: HashSet<&str> = blueprint.members(one).into_iter().collect();
        blueprint.members(other).iter().any(|member| members.contains(member))
    }
}

#[cfg(test)]
mod tests {
    use crate::check::check;
    use crate::eval::{Options, evaluate_text};

    const HEAD: &str = "import {Container, Service, allow, publish, publicInternet} from 'weft';
import {NF} from 'weft/nf';
const [a, b, c] = ['a', 'b', 'c'].map((name) => new Container(name, {command: ['x']}));
const both = new Service('both', [a, b]);
const watch = new NF('watch', {run: 'monitor'});
const guard = new NF('guard', {run: 'firewall rule=permit out any any', instances: 2, affinity: 'host pair'});
";

    fn faults(lines: &str) -> Vec<String> {
        let evaluated = evaluate_text("a.js", &format!("{HEAD}{lines}"), &Options::default())
            .unwrap_or_else(|faults| panic!("{lines}: {faults}"));
        let found = match evaluated.faults.is_empty() {
            true => check(&evaluated.blueprint, &|_| true),
            false => evaluated.faults,
        };
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn chains_that_make_sense() {
        for lines in [
            "allow(a, b, 80).through(watch, guard);",
            "b.allowFrom(a, 80).through(watch).allowFrom(c, 81).through(guard); b.allowTraffic(a, 82).through(guard);",
            "allow(a, both, 80).through(watch); allow(a, b, 81); allow(c, b, 80);",
            "publish(b, 8080, 80).through(guard); allow(b, publicInternet, 443).through(watch);",
            "allow(a, b, 80).through(guard); allow(a, b, 80).through(guard);",
            "allow(a, b, 80).through([watch, guard]); publicInternet.allowFrom(a, 443).through('watch');",
        ] {
            assert_eq!(faults(lines), [""; 0], "{lines}");
        }
    }

    #[test]
    fn chains_that_make_none() {
        for (lines, fault) in [
            ("allow(a, b, 80).through(watch, watch)", "the link goes through 'watch' twice"),
            (
                "allow(a, b, 80).through('wacht')",
                "the link goes through 'wacht', which is no network function",
            ),
            ("allow(a, 'd', 80).through(watch)", "the link names 'd', which does not exist"),
            (
                "allow(a, c, 80).through(watch); allow(both, c, 1)\nallow(both, c, 80)",
                "a -> c:80 through watch; but a part of that also goes through none",
            ),
            (
                "allow(a, both, 80).through(watch); allow(a, b, 80).through(watch, guard)",
                "a -> b:80 through watch, guard; but a part of that also goes through watch",
            ),
            (
                "publish(a, 81, 80).through(watch); publish(a, 82, 80)",
                "82 -> a:80/tcp; but what comes by port 81 goes through watch",
            ),
        ] {
            assert_eq!(faults(lines), [fault], "{lines}");
        }
    }

    #[test]
    fn functions_that_cannot_be() {
        for (line, fault) in [
            ("new NF('x', {run: 'firewal'})", "network function 'x': there is no network function 'firewal'"),
            ("new NF('x', {run: 'nat44'})", "network function 'x': nat44 cannot be on a link"),
            (
                "new NF('x', {run: 'monitor tops=3'})",
                "network function 'x': monitor: it takes no tops=…; it takes ",
            ),
            ("new NF('x', {run: 'acl rule=allow all'})", "network function 'x': acl: rule=allow all: "),
            (
                "new NF('x', {run: 'acl rule=@/etc/passwd'})",
                "network function 'x': acl: 'rule=@/etc/passwd' names a file of this machine",
            ),
            (
                "new NF('x', {run: 'signature file=/tmp/x'})",
                "network function 'x': signature: 'file=/tmp/x' names a file of this machine",
            ),
            ("new NF('x', {run: 'acl monitor'})", "network function 'x': acl: 'monitor' is no argument"),
            ("new NF('x', {run: ''})", "network function 'x': it runs nothing"),
            ("new NF('x')", "run of network function 'x' must be a function and its arguments"),
            (
                "new NF('x', {run: 'monitor', instances: 33})",
                "instances of network function 'x' must be a whole number from 1 to 32, found",
            ),
            (
                "new NF('x', {run: 'monitor', affinity: 'host'})",
                "affinity of network function 'x' must be 'flow', 'host pair' or 'none', found",
            ),
            ("new NF('x', {run: 'monitor', instance: 2})", "network function 'x' has no option 'instance'"),
            (
                "new NF('x', {run: 'monitor', instances: 30})",
                "the blueprint is too large: 33 instances of network functions",
            ),
            ("new NF('watch', {run: 'monitor'})", "two network functions are called 'watch'"),
            ("new NF('both', {run: 'monitor'})", "two things are called 'both'"),
            ("new NF('Watch', {run: 'monitor'})", "'Watch' is not a valid name for a network function"),
        ] {
            let found = faults(line);
            assert!(found.len() == 1 && found[0].starts_with(fault), "{line}: {found:?}");
        }
    }

    #[test]
    fn only_network_functions_are_gone_through() {
        let thrown = |line: &str| {
            let faults = evaluate_text("a.js", &format!("{HEAD}{line}"), &Options::default()).unwrap_err();
            (faults.faults[0].span.line, faults.to_string())
        };
        let (line, text) = thrown("allow(a, b, 80).through(c)");
        assert!(line == 7 && text.contains("a link goes through network functions: new NF"), "{line} {text}");
        let (line, text) = thrown("allow(a, b, 80).through()");
        assert!(line == 7 && text.contains("a link goes through network functions: new NF"), "{line} {text}");
        let (line, text) = thrown("allow(a, b, 80).through(watch).through(guard)");
        assert!(line == 7 && text.contains("goes through network functions already"), "{line} {text}");
    }
}
