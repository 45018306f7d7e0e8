//! Plans: applying the plan from a to b to a gives b, and from b to b there is nothing to do.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use quilt::model::{
    Blueprint, Container, Denied, Limits, Link, Party, Ports, Protocol, Publish, Restart, Service, Span, Text,
};
use quilt::plan::{Deployed, Plan};

fn span() -> impl Strategy<Value = Span> {
    (0_u32..50).prop_map(|line| Span { file: "a.js".into(), line, ..Span::default() })
}

fn container(name: String) -> impl Strategy<Value = Container> {
    let env = prop::collection::btree_map("[AB]", "[xy]".prop_map(Text::from), 0..3);
    let files = prop::collection::btree_map("/[ab]", "[xy]".prop_map(Text::from), 0..3);
    let command = prop::collection::vec("[pq]", 1..3);
    (command, env, files, prop::option::of(1_u32..3), any::<bool>(), span()).prop_map(
        move |(command, env, files, pids, never, span)| Container {
            name: name.clone(),
            command,
            env,
            files,
            limits: Limits { pids, ..Limits::default() },
            restart: if never { Restart::Never } else { Restart::Always },
            span,
            ..Container::default()
        },
    )
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![
        "[abcd]".prop_map(Party::Container),
        "[st]".prop_map(Party::Service),
        Just(Party::PublicInternet)
    ]
}

fn link() -> impl Strategy<Value = Link> {
    let protocol = prop_oneof![Just(Protocol::Any), Just(Protocol::Tcp)];
    (party(), party(), 1_u16..4, protocol, span()).prop_map(|(from, to, port, protocol, span)| Link {
        from,
        to,
        ports: Ports::one(port),
        protocol,
        through: Vec::new(),
        span,
    })
}

fn publish() -> impl Strategy<Value = Publish> {
    (party(), 1_u16..3, 1_u16..3, span()).prop_map(|(to, host_port, container_port, span)| Publish {
        to,
        host_port,
        container_port,
        protocol: Protocol::Tcp,
        through: Vec::new(),
        span,
    })
}

fn blueprint() -> impl Strategy<Value = Blueprint> {
    let containers = prop::collection::btree_set("[abcd]", 0..5)
        .prop_flat_map(|names| names.into_iter().map(container).collect::<Vec<_>>());
    let members = Just(["a", "b", "c", "d"].map(str::to_owned).to_vec()).prop_shuffle();
    let members = (members, 0_usize..4).prop_map(|(all, count)| all[..count].to_vec());
    let services = prop::collection::btree_map("[st]", members, 0..3);
    let links = prop::collection::vec(link(), 0..5);
    let publishes = prop::collection::vec(publish(), 0..3);
    let aliases = prop::collection::btree_map("[xy][.]q", "[ab]", 0..3);
    (containers, services, links, publishes, aliases, any::<bool>()).prop_map(
        |(containers, services, links, publishes, aliases, drop)| Blueprint {
            name: "test".into(),
            denied: if drop { Denied::Drop } else { Denied::Refuse },
            containers,
            services: services
                .into_iter()
                .map(|(name, members)| Service { name, members, update: None, span: Span::default() })
                .collect(),
            links,
            publishes,
            aliases,
            ..Blueprint::default()
        },
    )
}

/// A blueprint without order, repetition and places: what the network and the programs can tell.
#[derive(Debug, PartialEq)]
struct Seen {
    containers: BTreeMap<String, Container>,
    services: BTreeMap<String, Vec<String>>,
    links: BTreeSet<String>,
    publishes: BTreeSet<String>,
    aliases: BTreeMap<String, String>,
    denied: Denied,
}

fn seen(blueprint: &Blueprint) -> Seen {
    let bare = |container: &Container| Container { span: Span::default(), ..container.clone() };
    Seen {
        containers: blueprint.containers.iter().map(|c| (c.name.clone(), bare(c))).collect(),
        services: blueprint.services.iter().map(|s| (s.name.clone(), s.members.clone())).collect(),
        links: blueprint.links.iter().map(link_text).collect(),
        publishes: blueprint.publishes.iter().map(publish_text).collect(),
        aliases: blueprint.aliases.clone(),
        denied: blueprint.denied,
    }
}

fn link_text(link: &Link) -> String {
    format!("{:?}", Link { span: Span::default(), ..link.clone() })
}

fn publish_text(publish: &Publish) -> String {
    format!("{:?}", Publish { span: Span::default(), ..publish.clone() })
}

/// Does what the plan says to what runs; definitions come from `wanted`, decisions from the plan alone.
fn apply(plan: &Plan, old: &Blueprint, wanted: &Blueprint) -> Seen {
    let mut state = seen(old);
    let definition = |name: &String| seen(wanted).containers[name].clone();
    for name in plan.remove.iter().chain(plan.replace.iter().map(|replace| &replace.name)) {
        assert!(state.containers.remove(name).is_some(), "{name} does not run");
    }
    for name in plan.create.iter().chain(plan.replace.iter().map(|replace| &replace.name)) {
        assert!(state.containers.insert(name.clone(), definition(name)).is_none(), "{name} runs already");
    }
    let network = &plan.network;
    for name in &network.services_removed {
        assert!(state.services.remove(name).is_some());
    }
    for service in &network.services_added {
        assert!(state.services.insert(service.name.clone(), service.members.clone()).is_none());
    }
    for change in &network.services_changed {
        let members = &wanted.service(&change.name).unwrap().members;
        let mut expected: BTreeSet<&String> = state.services[&change.name].iter().collect();
        expected.extend(&change.added);
        change.removed.iter().for_each(|member| assert!(expected.remove(member)));
        assert_eq!(expected, members.iter().collect());
        state.services.insert(change.name.clone(), members.clone());
    }
    for link in &network.links_removed {
        assert!(state.links.remove(&link_text(link)));
    }
    state.links.extend(network.links_added.iter().map(link_text));
    for publish in &network.publishes_removed {
        assert!(state.publishes.remove(&publish_text(publish)));
    }
    state.publishes.extend(network.publishes_added.iter().map(publish_text));
    for alias in &network.aliases_removed {
        assert!(state.aliases.remove(alias).is_some());
    }
    state.aliases.extend(network.aliases_added.clone());
    if let Some((before, after)) = network.denied {
        assert_eq!(before, state.denied);
        state.denied = after;
    }
    state
}

proptest! {
    #[test]
    fn a_plan_leads_from_any_blueprint_to_any_other(a in blueprint(), b in blueprint()) {
        let plan = Plan::between(Some(&Deployed::of(&a)), &b);
        prop_assert_eq!(apply(&plan, &a, &b), seen(&b));
        prop_assert_eq!(plan.is_empty(), seen(&a) == seen(&b));
        for replace in &plan.replace {
            prop_assert!(!replace.changed.is_empty(), "{} is replaced for no reason", replace.name);
        }
    }

    #[test]
    fn from_a_blueprint_to_itself_nothing_changes(a in blueprint()) {
        let plan = Plan::between(Some(&Deployed::of(&a)), &a);
        prop_assert!(plan.is_empty());
        prop_assert_eq!(plan.keep.len(), a.containers.len());
        prop_assert_eq!(plan.to_string(), "nothing to change\n");
    }

    #[test]
    fn from_nothing_everything_is_made(a in blueprint()) {
        let plan = Plan::between(None, &a);
        let nothing = Blueprint { denied: a.denied, ..Blueprint::default() };
        prop_assert_eq!(apply(&plan, &nothing, &a), seen(&a));
    }

    #[test]
    fn records_survive_json(a in blueprint()) {
        let deployed = Deployed::of(&a);
        let json = serde_json::to_string(&deployed).unwrap();
        prop_assert_eq!(serde_json::from_str::<Deployed>(&json).unwrap(), deployed);
    }
}

#[test]
fn a_container_that_died_is_made_again() {
    let c = Container { name: "a".into(), command: vec!["x".into()], ..Container::default() };
    let blueprint = Blueprint { containers: vec![c], ..Blueprint::default() };
    let mut deployed = Deployed::of(&blueprint);
    deployed.fingerprints.clear();
    assert_eq!(Plan::between(Some(&deployed), &blueprint).to_string(), "+ container a\n");
}

#[test]
fn a_plan_names_what_changed_and_never_a_value() {
    let container = |word: &str| Container {
        name: "a".into(),
        command: vec![word.into()],
        env: [("TOKEN".to_owned(), Text::from(word))].into(),
        files: [("/etc/key".to_owned(), Text::from(word))].into(),
        ..Container::default()
    };
    let blueprint = |word: &str| Blueprint { containers: vec![container(word)], ..Blueprint::default() };
    let plan = Plan::between(Some(&Deployed::of(&blueprint("hunter1"))), &blueprint("hunter2"));
    assert_eq!(plan.to_string(), "~ container a (command, env TOKEN, file /etc/key changed)\n");
    assert!(!serde_json::to_string(&plan).unwrap().contains("hunter"));
}

#[test]
fn chains_and_functions_change_and_links_stay() {
    let blueprint = |functions: &[(&str, &str, u16)], through: &[&str]| {
        let functions: String = functions
            .iter()
            .map(|(name, run, count)| format!("new NF('{name}', {{run: '{run}', instances: {count}}});"))
            .collect();
        let through = if through.is_empty() { String::new() } else { format!(".through({through:?})") };
        let text = format!(
            "import {{Container, allow, publish}} from 'weft'; import {{NF}} from 'weft/nf'; {functions}
            const a = new Container('a', {{command: ['x']}});
            allow(a, a, 80){through}; publish(a, 8080, 80){through};"
        );
        quilt::eval::evaluate_text("a.js", &text, &Default::default()).unwrap().blueprint
    };
    let none = blueprint(&[], &[]);
    let one = blueprint(&[("watch", "monitor", 1)], &["watch"]);
    let two = blueprint(&[("watch", "monitor top=1", 3), ("guard", "acl", 1)], &["guard", "watch"]);
    let plan = |old: &Blueprint, new: &Blueprint| Plan::between(Some(&Deployed::of(old)), new).to_string();
    assert_eq!(
        plan(&none, &one),
        "+ function watch (monitor)\n~ chain a -> a:80 (none -> watch)\n~ chain 8080 -> a:80/tcp (none -> watch)\n"
    );
    assert_eq!(
        plan(&one, &two),
        "+ function guard (acl)\n~ function watch (run, instances changed)\n\
         ~ chain a -> a:80 (watch -> guard, watch)\n~ chain 8080 -> a:80/tcp (watch -> guard, watch)\n"
    );
    assert_eq!(
        plan(&one, &none),
        "~ chain a -> a:80 (watch -> none)\n~ chain 8080 -> a:80/tcp (watch -> none)\n- function watch\n"
    );
    assert_eq!(plan(&two, &two), "nothing to change\n");
    assert!(Plan::between(None, &one).to_string().contains("+ link a -> a:80 through watch\n"));
}
