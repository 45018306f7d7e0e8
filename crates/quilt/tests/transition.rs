//! The network between two blueprints, held against what it is to be: between each two containers, whatever each of them
//! is at that moment, random blueprints and random moments.

use std::collections::BTreeSet;

use proptest::prelude::*;
use quilt::address::AddressPlan;
use quilt::check::reach::allowed;
use quilt::compile::compile;
use quilt::model::{Blueprint, Container, Link, Party, Ports, Protocol, Service, Span};
use quilt::transition::{Instances, program};
use softnic::fabric::Fabric;
use softnic::fabric::program::Program;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const SERVICES: [&str; 3] = ["s", "t", "u"];

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![
        (0..NAMES.len()).prop_map(|at| Party::Container(NAMES[at].into())),
        (0..SERVICES.len()).prop_map(|at| Party::Service(SERVICES[at].into())),
    ]
}

/// Containers by name with the version that each is at, services, links.
fn blueprint() -> impl Strategy<Value = Blueprint> {
    let versions = prop::collection::vec(prop::option::weighted(0.8, 0_u8..2), NAMES.len());
    let members = prop::collection::vec(prop::collection::btree_set(0..NAMES.len(), 0..4), SERVICES.len());
    let ports = (1_u16..4, 0_u16..2).prop_map(|(min, more)| Ports { min, max: min + more });
    let protocol = prop_oneof![Just(Protocol::Any), Just(Protocol::Tcp), Just(Protocol::Udp)];
    let links = prop::collection::vec((party(), party(), ports, protocol), 0..8);
    (versions, members, links).prop_map(|(versions, members, links)| {
        let containers: Vec<Container> = NAMES
            .iter()
            .zip(versions)
            .filter_map(|(name, version)| {
                let command = vec![format!("v{}", version?)];
                Some(Container { name: (*name).into(), command, ..Container::default() })
            })
            .collect();
        let there = |name: &str| containers.iter().any(|container| container.name == name);
        let services: Vec<Service> = SERVICES
            .iter()
            .zip(members)
            .map(|(name, members)| Service {
                name: (*name).into(),
                members: members
                    .into_iter()
                    .map(|at| NAMES[at].to_owned())
                    .filter(|name| there(name))
                    .collect(),
                update: None,
                span: Span::default(),
            })
            .filter(|service| !service.members.is_empty())
            .collect();
        let exists = |party: &Party| match party {
            Party::Container(name) => there(name),
            Party::Service(name) => services.iter().any(|service| service.name == *name),
            Party::PublicInternet => false,
        };
        let links = links
            .into_iter()
            .filter(|(from, to, ..)| exists(from) && exists(to))
            .map(|(from, to, ports, protocol)| {
                let (through, span) = (Vec::new(), Span::default());
                Link { from, to, ports, protocol, through, span }
            })
            .collect();
        Blueprint { name: "x".into(), containers, services, links, ..Blueprint::default() }
    })
}

fn port(name: &str) -> Option<u32> {
    NAMES.iter().position(|known| *known == name).map(|at| at as u32 + 1)
}

/// What a container is at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Is {
    Kept,
    Old,
    Fresh,
}

struct Moment<'a> {
    old: &'a Blueprint,
    new: &'a Blueprint,
    instances: Instances,
    program: Program,
}

impl<'a> Moment<'a> {
    /// `gone` says of which containers that have to go the time has come.
    fn new(old: &'a Blueprint, new: &'a Blueprint, gone: &[bool], resting: &[bool]) -> Self {
        let chosen =
            |flags: &[bool], name: &str| flags[NAMES.iter().position(|known| *known == name).unwrap()];
        let same = |name: &str| {
            let print = |blueprint: &Blueprint| blueprint.container(name).map(Container::fingerprint);
            print(old).is_some() && print(old) == print(new)
        };
        let names = |blueprint: &Blueprint| -> BTreeSet<String> {
            blueprint.containers.iter().map(|container| container.name.clone()).collect()
        };
        let old_ones: BTreeSet<String> =
            names(old).into_iter().filter(|name| !same(name) && !chosen(gone, name)).collect();
        let fresh = names(new).into_iter().filter(|name| !same(name) && !old_ones.contains(name)).collect();
        let resting = old_ones.iter().filter(|name| chosen(resting, name)).cloned().collect();
        let instances = Instances { old: old_ones, fresh, resting };
        let addresses = AddressPlan::default().next(old).unwrap();
        let before = compile(old, &addresses, port);
        let after = compile(new, &addresses.next(new).unwrap(), port);
        let program = program(&before, &after, &instances);
        Self { old, new, instances, program }
    }

    fn is(&self, name: &str) -> Is {
        if self.instances.old.contains(name) {
            Is::Old
        } else if self.instances.fresh.contains(name) {
            Is::Fresh
        } else {
            Is::Kept
        }
    }

    fn may(&self, from: &str, to: &str, port: u16, protocol: Protocol) -> bool {
        let old = allowed(self.old, from, to, port, protocol).is_some();
        let new = allowed(self.new, from, to, port, protocol).is_some();
        match (self.is(from), self.is(to)) {
            (Is::Old, Is::Fresh) | (Is::Fresh, Is::Old) => old && new,
            (Is::Old, _) | (_, Is::Old) => old,
            _ => new,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn everybody_lives_under_the_blueprint_it_was_started_from(
        old in blueprint(),
        new in blueprint(),
        gone in prop::collection::vec(any::<bool>(), NAMES.len()),
        resting in prop::collection::vec(any::<bool>(), NAMES.len()),
    ) {
        let moment = Moment::new(&old, &new, &gone, &resting);
        let fabric = Fabric::new(&moment.program, 1).expect("a program that makes sense");
        let there: Vec<&str> =
            moment.program.endpoints.iter().map(|endpoint| endpoint.name.as_str()).filter(|name| *name != "_edge").collect();
        for from in &there {
            for port in 1..6 {
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    let passes = |to: &str| fabric.explain(from, to, protocol, port).unwrap().rule.is_some();
                    for to in there.iter().filter(|to| *to != from) {
                        prop_assert_eq!(
                            passes(to), moment.may(from, to, port, protocol),
                            "{} ({:?}) -> {} ({:?}) on {}/{}", from, moment.is(from), to, moment.is(to), port, protocol
                        );
                    }
                    for service in moment.program.services.iter().filter(|service| passes(&service.name)) {
                        // One that rests gets no new connections, and what was started anew has no older ones.
                        let meet = |to: &&String| {
                            to != from && !(moment.is(from) == Is::Fresh && moment.instances.resting.contains(*to))
                        };
                        for to in service.members.iter().filter(meet) {
                            prop_assert!(
                                moment.may(from, to, port, protocol),
                                "{} -> {} leads to {} on {}/{}", from, service.name, to, port, protocol
                            );
                        }
                    }
                }
            }
        }
    }

    /// Once nobody is left that is to go, it is the new blueprint's network and nothing else.
    #[test]
    fn the_end_is_the_new_blueprint(old in blueprint(), new in blueprint()) {
        let moment = Moment::new(&old, &new, &[true; NAMES.len()], &[false; NAMES.len()]);
        let addresses = AddressPlan::default().next(&old).unwrap().next(&new).unwrap();
        prop_assert_eq!(&moment.program, &compile(&new, &addresses, port));
    }

    /// Services go on while their members are replaced, where both blueprints allow it.
    #[test]
    fn who_may_ask_a_service_before_and_after_may_ask_it_meanwhile(
        old in blueprint(),
        flags in prop::collection::vec(any::<bool>(), NAMES.len()),
        changed in prop::collection::vec(any::<bool>(), NAMES.len()),
    ) {
        let mut new = old.clone();
        for (container, _) in new.containers.iter_mut().zip(&changed).filter(|(_, changed)| **changed) {
            container.command.push("changed".into());
        }
        let moment = Moment::new(&old, &new, &flags, &[false; NAMES.len()]);
        let fabric = Fabric::new(&moment.program, 1).unwrap();
        for service in &new.services {
            let now = moment.program.services.iter().find(|now| now.name == service.name).unwrap();
            prop_assert_eq!(&now.members, &service.members);
            for container in &new.containers {
                let may = allowed(&new, &container.name, &service.name, 2, Protocol::Tcp).is_some();
                let passes = fabric.explain(&container.name, &service.name, Protocol::Tcp, 2).unwrap().rule.is_some();
                prop_assert_eq!(passes, may);
            }
        }
    }
}

/// A service of one name whose only member now is one that rests: the new blueprint speaks of others by that name.
#[test]
fn who_rests_behind_a_name_is_not_who_has_it_next() {
    let read = |text: &str| {
        let text = format!("import {{Container, PortRange, Service, allow}} from 'weft';\n{text}");
        quilt::eval::evaluate_text("x.js", &text, &quilt::eval::Options::default()).expect(&text).blueprint
    };
    let one = |name: &str, version: u32| {
        format!("const {name} = new Container('{name}', {{command: ['v{version}']}});\n")
    };
    let old = one("a", 0) + &one("d", 0) + &one("f", 1);
    let old = read(&(old + "allow(new Service('s', [a]), new Service('u', [d]), 3);"));
    let new = one("d", 1) + &one("f", 0);
    let new = read(&(new + "allow(new Service('s', [f]), new Service('t', [d]), new PortRange(2, 3));"));
    let flags = |name: &str| NAMES.map(|one| one == name);
    let moment = Moment::new(&old, &new, &flags("d"), &flags("a"));
    assert_eq!((moment.is("a"), moment.is("d"), moment.is("f")), (Is::Old, Is::Fresh, Is::Old));
    let fabric = Fabric::new(&moment.program, 1).expect("a program that makes sense");
    assert!(fabric.explain("a", "d", Protocol::Tcp, 3).expect("both are there").rule.is_none());
}

/// The network of a link between `a` and `b` through functions, each with what it runs.
fn led(functions: &[(&str, &str)], through: &[&str]) -> Program {
    let functions: String =
        functions.iter().map(|(name, run)| format!("new NF('{name}', {{run: '{run}'}});")).collect();
    let through = if through.is_empty() { String::new() } else { format!(".through({through:?})") };
    let text = format!(
        "import {{Container, allow}} from 'weft'; import {{NF}} from 'weft/nf'; {functions}
        const [a, b] = ['a', 'b'].map((name) => new Container(name, {{command: ['x']}}));
        allow(a, b, 80){through};"
    );
    let blueprint = quilt::eval::evaluate_text("a.js", &text, &Default::default()).unwrap().blueprint;
    compile(&blueprint, &AddressPlan::default().next(&blueprint).unwrap(), port)
}

#[test]
fn what_is_still_to_go_goes_through_what_it_went_through() {
    let old = led(&[("gone", "monitor"), ("kept", "monitor top=1")], &["gone", "kept"]);
    let new = led(&[("kept", "monitor top=2"), ("added", "monitor")], &["added"]);
    let none = Instances::default();
    let shown = |program: &Program| {
        let functions: Vec<String> = program
            .functions
            .iter()
            .map(|function| format!("{} {:?}", function.name, function.words))
            .collect();
        (program.rules[0].through.clone(), functions)
    };
    assert_eq!(shown(&program(&old, &new, &none)), shown(&new));
    // With `b` still to go, what passes is what passed, through what it passed; a function of both is the new one.
    let leaving = Instances { old: BTreeSet::from(["b".to_owned()]), ..Instances::default() };
    let between = program(&old, &new, &leaving);
    let functions = ["kept [\"monitor\", \"top=2\"]", "added [\"monitor\"]", "gone [\"monitor\"]"];
    assert_eq!(shown(&between), (vec!["gone".into(), "kept".into()], functions.map(str::to_owned).to_vec()));
    softnic::fabric::tables::compile(&between).expect("a program that makes sense");
    // Where both have a word, it is the new one's way.
    let fresh = Instances { fresh: BTreeSet::from(["a".to_owned()]), ..leaving };
    let between = program(&old, &new, &fresh);
    assert_eq!(between.rules[0].through, ["added"]);
    softnic::fabric::tables::compile(&between).expect("a program that makes sense");
}
